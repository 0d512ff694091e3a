/* hq/acme/resource: whatever a CA sends, what is accepted is printable, bounded and https. The first byte chooses the
 * parser. */
#include <stdlib.h>
#include <string.h>

#include "hq/acme/ari.h"
#include "hq/acme/resource.h"
#include "resolver/base/text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool good)
{
    if (!good)
        abort();
}

static void check_problem(const struct np_acme_problem *problem)
{
    for (const char *p = problem->detail; *p; p++)
        must(*p >= 0x20 && *p <= 0x7e);
    must(strlen(problem->type) < sizeof problem->type);
}

static void check_directory(const struct np_acme_directory *directory)
{
    must(np_acme_is_url(directory->new_order));
    must(directory->caa_identity_count <= NP_ACME_CAA_MAX);
    for (size_t i = 0; i < directory->caa_identity_count; i++)
        must(np_is_hostname(directory->caa_identities[i]));
    must(directory->profile_count <= NP_ACME_PROFILES_MAX);
    for (size_t i = 0; i < directory->profile_count; i++)
        must(np_is_token(directory->profiles[i], NP_ACME_PROFILE_LEN));
    must(!directory->renewal_info[0] || np_acme_is_url(directory->renewal_info));
}

static void check_order(const char *json, size_t len)
{
    struct np_acme_order order;
    if (np_acme_order_parse(json, len, &order))
        return;
    must(order.identifier_count >= 1 && order.identifier_count <= NP_SAN_MAX);
    must(order.authorization_count >= 1 && order.authorization_count <= NP_SAN_MAX);
    must(np_acme_is_url(order.finalize));
    must(order.status != NP_ACME_VALID || np_acme_is_url(order.certificate));
    for (size_t i = 0; i < order.authorization_count; i++)
        must(np_acme_is_url(order.authorizations[i]));
    check_problem(&order.error);
}

static void check_authorization(const char *json, size_t len)
{
    struct np_acme_authorization authorization;
    if (np_acme_authorization_parse(json, len, &authorization))
        return;
    must(authorization.name[0] && strlen(authorization.name) <= NP_NAME_MAX);
    must(authorization.challenge_count <= NP_ACME_CHALLENGES_MAX);
    for (size_t i = 0; i < authorization.challenge_count; i++) {
        const struct np_acme_challenge *challenge = &authorization.challenges[i];
        must(np_acme_is_url(challenge->url));
        must(!challenge->token[0] || np_is_token(challenge->token, NP_ACME_TOKEN_MAX));
        check_problem(&challenge->error);
    }
}

static void check_list(const char *json, size_t len)
{
    struct np_acme_list list;
    if (np_acme_list_parse(json, len, &list))
        return;
    must(list.count <= NP_ACME_LIST_MAX);
    for (size_t i = 0; i < list.count; i++)
        must(np_acme_is_url(list.urls[i]));
    free(list.urls);
}

static void check_header(const char *text, size_t len)
{
    char value[256];
    if (len >= sizeof value)
        return;
    memcpy(value, text, len);
    value[len] = 0;
    long long ms = np_acme_retry_after_ms(value, 1790000000);
    must(ms >= 0 && ms <= 7LL * 86400 * 1000);
    (void)np_acme_is_nonce(value);
    struct np_acme_links links = {.alternate_count = 0};
    np_acme_links_add(value, &links);
    must(!links.next[0] || np_acme_is_url(links.next));
    must(links.alternate_count <= NP_ACME_ALTERNATES_MAX);
    for (size_t i = 0; i < links.alternate_count; i++)
        must(np_acme_is_url(links.alternates[i]));
}

static void check_ari(const char *json, size_t len)
{
    struct np_ari_info info;
    if (np_ari_parse(json, len, &info))
        return;
    must(info.window.from_ms < info.window.until_ms);
    must(!info.explanation[0] || np_acme_is_url(info.explanation));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct np_acme_directory directory;
    struct np_acme_account account;
    struct np_acme_problem problem;
    if (size == 0)
        return 0;
    const char *json = (const char *)data + 1;
    size_t len = size - 1;
    switch (data[0] % 8) {
    case 0:
        check_order(json, len);
        break;
    case 1:
        check_authorization(json, len);
        break;
    case 2:
        if (np_acme_directory_parse(json, len, &directory) == 0)
            check_directory(&directory);
        break;
    case 3:
        if (np_acme_account_parse(json, len, &account) == 0)
            must(!account.orders[0] || np_acme_is_url(account.orders));
        break;
    case 4:
        check_list(json, len);
        break;
    case 5:
        np_acme_problem_parse(json, len, &problem);
        check_problem(&problem);
        break;
    case 6:
        check_ari(json, len);
        break;
    default:
        check_header(json, len);
    }
    return 0;
}

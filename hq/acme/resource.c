#include "hq/acme/resource.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "hq/acme/jws.h"
#include "hq/proto/json.h"
#include "resolver/base/error.h"
#include "resolver/base/text.h"

#define PROBLEM_SPACE      "urn:ietf:params:acme:error:"
#define RETRY_AFTER_MAX_MS (7LL * 86400 * 1000)

bool np_acme_is_url(const char *text)
{
    static const char scheme[] = "https://";
    size_t len = strnlen(text, NP_URL_MAX + 1);
    return len <= NP_URL_MAX && strncmp(text, scheme, sizeof scheme - 1) == 0 && text[sizeof scheme - 1] != 0 &&
           np_is_token(text, NP_URL_MAX) && !strpbrk(text, "\"\\<>^`{|}");
}

static bool is_base64url(const char *text, size_t max)
{
    static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    size_t len = strnlen(text, max + 1);
    return len > 0 && len <= max && strspn(text, alphabet) == len;
}

bool np_acme_is_nonce(const char *text)
{
    return is_base64url(text, NP_ACME_NONCE_MAX);
}

static void get_url(struct np_json_in *in, const char *member, char out[NP_URL_MAX + 1])
{
    np_json_text(in, member, out, NP_URL_MAX + 1);
    if (in->rc == 0 && !np_acme_is_url(out))
        np_json_fail(in, member, NP_E_MALFORMED);
}

static void get_url_optional(struct np_json_in *in, const char *member, char out[NP_URL_MAX + 1])
{
    out[0] = 0;
    if (json_object_get(in->object, member))
        get_url(in, member, out);
}

static void get_status(struct np_json_in *in, enum np_acme_status *out_status)
{
    static const struct {
        const char *word;
        enum np_acme_status status;
    } words[] = {
        {"pending", NP_ACME_PENDING}, {"ready", NP_ACME_READY},     {"processing", NP_ACME_PROCESSING},
        {"valid", NP_ACME_VALID},     {"invalid", NP_ACME_INVALID}, {"deactivated", NP_ACME_INVALID},
        {"expired", NP_ACME_INVALID}, {"revoked", NP_ACME_INVALID},
    };
    char text[16] = "";
    np_json_text(in, "status", text, sizeof text);
    if (in->rc)
        return;
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (strcmp(words[i].word, text) == 0) {
            *out_status = words[i].status;
            return;
        }
    }
    np_json_fail(in, "status", NP_E_UNKNOWN);
}

/* The problem in object; whatever is not as it should be is left empty, for this ends in a log line only. */
static void get_problem(json_t *object, struct np_acme_problem *out)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    memset(out, 0, sizeof *out);
    if (!json_is_object(object))
        return;
    snprintf(out->type, sizeof out->type, "other");
    const char *type = json_string_value(json_object_get(object, "type"));
    const char *detail = json_string_value(json_object_get(object, "detail"));
    json_t *status = json_object_get(object, "status");
    if (type && strncmp(type, PROBLEM_SPACE, strlen(PROBLEM_SPACE)) == 0) {
        const char *word = type + strlen(PROBLEM_SPACE);
        size_t len = strlen(word);
        if (len > 0 && len < sizeof out->type && strspn(word, allowed) == len)
            snprintf(out->type, sizeof out->type, "%s", word);
    }
    if (detail)
        np_text_sanitize(detail, out->detail, sizeof out->detail);
    if (json_is_integer(status) && json_integer_value(status) >= 100 && json_integer_value(status) <= 599)
        out->status = (int)json_integer_value(status);
}

void np_acme_problem_parse(const char *body, size_t len, struct np_acme_problem *out)
{
    json_t *object = len <= NP_ACME_BODY_MAX ? np_json_load(body, len) : NULL;
    get_problem(object, out);
    if (!object)
        snprintf(out->type, sizeof out->type, "other");
    json_decref(object);
}

/* Names that are none are left out: they only serve to compare. */
static void get_caa_identities(json_t *list, struct np_acme_directory *directory)
{
    for (size_t i = 0; i < json_array_size(list) && directory->caa_identity_count < NP_ACME_CAA_MAX; i++) {
        const char *name = json_string_value(json_array_get(list, i));
        char *out = directory->caa_identities[directory->caa_identity_count];
        if (!name || strlen(name) > NP_NAME_MAX || !np_is_hostname(name))
            continue;
        for (size_t k = 0; k <= strlen(name); k++)
            out[k] = name[k] >= 'A' && name[k] <= 'Z' ? (char)(name[k] + 'a' - 'A') : name[k];
        directory->caa_identity_count++;
    }
}

/* {name: explanation, ...}; a name that we could not send back is left out. */
static void get_profiles(json_t *object, struct np_acme_directory *directory)
{
    const char *name;
    json_t *text;
    json_object_foreach(object, name, text)
    {
        if (directory->profile_count < NP_ACME_PROFILES_MAX && np_is_token(name, NP_ACME_PROFILE_LEN))
            snprintf(directory->profiles[directory->profile_count++], sizeof directory->profiles[0], "%s", name);
    }
}

bool np_acme_offers_profile(const struct np_acme_directory *directory, const char *profile)
{
    for (size_t i = 0; i < directory->profile_count; i++) {
        if (strcmp(directory->profiles[i], profile) == 0)
            return true;
    }
    return false;
}

int np_acme_directory_parse(const char *json, size_t len, struct np_acme_directory *out)
{
    struct np_acme_directory directory = {0};
    json_t *object = len <= NP_ACME_BODY_MAX ? np_json_load(json, len) : NULL;
    if (!object)
        return NP_E_MALFORMED;
    struct np_json_in in = {object, 0, NULL};
    get_url(&in, "newNonce", directory.new_nonce);
    get_url(&in, "newAccount", directory.new_account);
    get_url(&in, "newOrder", directory.new_order);
    get_url_optional(&in, "revokeCert", directory.revoke_certificate);
    get_url_optional(&in, "keyChange", directory.key_change);
    get_url_optional(&in, "renewalInfo", directory.renewal_info);
    json_t *meta = json_object_get(object, "meta");
    directory.eab_required = json_is_true(json_object_get(meta, "externalAccountRequired"));
    get_caa_identities(json_object_get(meta, "caaIdentities"), &directory);
    get_profiles(json_object_get(meta, "profiles"), &directory);
    json_decref(object);
    if (in.rc == 0)
        *out = directory;
    return in.rc;
}

/* {"type": "dns", "value": NAME} -> lower-case name. */
static void get_identifier(struct np_json_in *in, json_t *identifier, char out[NP_NAME_MAX + 1])
{
    char type[16] = "";
    if (!json_is_object(identifier)) {
        np_json_fail(in, "identifier", NP_E_TYPE);
        return;
    }
    struct np_json_in inner = {identifier, in->rc, in->error};
    np_json_text(&inner, "type", type, sizeof type);
    np_json_text(&inner, "value", out, NP_NAME_MAX + 1);
    if (inner.rc == 0 && strcmp(type, "dns") != 0)
        inner.rc = NP_E_UNKNOWN;
    if (inner.rc == 0 && !np_is_hostname(strncmp(out, "*.", 2) == 0 ? out + 2 : out))
        inner.rc = NP_E_NAME;
    for (char *p = out; *p; p++) {
        if (*p >= 'A' && *p <= 'Z')
            *p = (char)(*p + 'a' - 'A');
    }
    if (inner.rc)
        np_json_fail(in, "identifier", inner.rc == NP_E_NAME ? NP_E_MALFORMED : inner.rc);
}

static void get_identifiers(struct np_json_in *in, struct np_acme_order *order)
{
    json_t *list = np_json_member(in, "identifiers", JSON_ARRAY);
    size_t count = json_array_size(list);
    if (in->rc == 0 && (count == 0 || count > NP_SAN_MAX))
        np_json_fail(in, "identifiers", NP_E_LIMIT);
    for (size_t i = 0; in->rc == 0 && i < count; i++)
        get_identifier(in, json_array_get(list, i), order->identifiers[i]);
    order->identifier_count = count;
}

static void get_authorization_urls(struct np_json_in *in, struct np_acme_order *order)
{
    json_t *list = np_json_member(in, "authorizations", JSON_ARRAY);
    size_t count = json_array_size(list);
    if (in->rc == 0 && (count == 0 || count > NP_SAN_MAX))
        np_json_fail(in, "authorizations", NP_E_LIMIT);
    for (size_t i = 0; in->rc == 0 && i < count; i++) {
        const char *url = json_string_value(json_array_get(list, i));
        if (url && np_acme_is_url(url))
            snprintf(order->authorizations[i], sizeof order->authorizations[i], "%s", url);
        else
            np_json_fail(in, "authorizations", NP_E_MALFORMED);
    }
    order->authorization_count = count;
}

int np_acme_order_parse(const char *json, size_t len, struct np_acme_order *out)
{
    struct np_acme_order order = {0};
    json_t *object = len <= NP_ACME_BODY_MAX ? np_json_load(json, len) : NULL;
    if (!object)
        return NP_E_MALFORMED;
    struct np_json_in in = {object, 0, NULL};
    get_status(&in, &order.status);
    get_identifiers(&in, &order);
    get_authorization_urls(&in, &order);
    get_url(&in, "finalize", order.finalize);
    get_url_optional(&in, "certificate", order.certificate);
    if (in.rc == 0 && order.status == NP_ACME_VALID && !order.certificate[0])
        np_json_fail(&in, "certificate", NP_E_MISSING);
    get_problem(json_object_get(object, "error"), &order.error);
    json_decref(object);
    if (in.rc == 0)
        *out = order;
    return in.rc;
}

static void get_challenge(json_t *object, struct np_acme_authorization *authorization)
{
    struct np_acme_challenge challenge = {.token = ""};
    struct np_json_in in = {object, 0, NULL};
    if (!json_is_object(object) || authorization->challenge_count == NP_ACME_CHALLENGES_MAX)
        return;
    np_json_text(&in, "type", challenge.type, sizeof challenge.type);
    get_url(&in, "url", challenge.url);
    get_status(&in, &challenge.status);
    np_json_text_optional(&in, "token", challenge.token, sizeof challenge.token);
    /* Section 8.1: nothing outside base64url, which also keeps the digest's input unambiguous. */
    if (in.rc || (challenge.token[0] && !is_base64url(challenge.token, NP_ACME_TOKEN_MAX)))
        return;
    get_problem(json_object_get(object, "error"), &challenge.error);
    authorization->challenges[authorization->challenge_count++] = challenge;
}

static void get_wildcard(struct np_json_in *in, struct np_acme_authorization *authorization)
{
    if (in->rc || !json_is_true(json_object_get(in->object, "wildcard")))
        return;
    size_t len = strlen(authorization->name);
    if (len + 2 > NP_NAME_MAX) {
        np_json_fail(in, "identifier", NP_E_LIMIT);
        return;
    }
    memmove(authorization->name + 2, authorization->name, len + 1);
    memcpy(authorization->name, "*.", 2);
}

int np_acme_authorization_parse(const char *json, size_t len, struct np_acme_authorization *out)
{
    struct np_acme_authorization authorization = {0};
    json_t *object = len <= NP_ACME_BODY_MAX ? np_json_load(json, len) : NULL;
    if (!object)
        return NP_E_MALFORMED;
    struct np_json_in in = {object, 0, NULL};
    get_status(&in, &authorization.status);
    json_t *identifier = np_json_member(&in, "identifier", JSON_OBJECT);
    if (identifier)
        get_identifier(&in, identifier, authorization.name);
    get_wildcard(&in, &authorization);
    json_t *challenges = np_json_member(&in, "challenges", JSON_ARRAY);
    for (size_t i = 0; in.rc == 0 && i < json_array_size(challenges); i++)
        get_challenge(json_array_get(challenges, i), &authorization);
    json_decref(object);
    if (in.rc == 0)
        *out = authorization;
    return in.rc;
}

int np_acme_account_parse(const char *json, size_t len, struct np_acme_account *out)
{
    struct np_acme_account account = {0};
    json_t *object = len <= NP_ACME_BODY_MAX ? np_json_load(json, len) : NULL;
    if (!object)
        return NP_E_MALFORMED;
    struct np_json_in in = {object, 0, NULL};
    get_status(&in, &account.status);
    get_url_optional(&in, "orders", account.orders);
    json_decref(object);
    if (in.rc == 0)
        *out = account;
    return in.rc;
}

int np_acme_list_parse(const char *json, size_t len, struct np_acme_list *out)
{
    struct np_acme_list list = {0};
    json_t *object = len <= NP_ACME_BODY_MAX ? np_json_load(json, len) : NULL;
    if (!object)
        return NP_E_MALFORMED;
    struct np_json_in in = {object, 0, NULL};
    json_t *orders = np_json_member(&in, "orders", JSON_ARRAY);
    size_t size = json_array_size(orders), first = size > NP_ACME_LIST_MAX ? size - NP_ACME_LIST_MAX : 0;
    if (in.rc == 0) {
        list.urls = calloc(size - first + 1, sizeof *list.urls);
        if (!list.urls)
            in.rc = -ENOMEM;
    }
    for (size_t i = first; in.rc == 0 && i < size; i++) {
        const char *url = json_string_value(json_array_get(orders, i));
        if (url && np_acme_is_url(url))
            snprintf(list.urls[list.count++], sizeof list.urls[0], "%s", url);
        else
            np_json_fail(&in, "orders", NP_E_MALFORMED);
    }
    json_decref(object);
    if (in.rc)
        free(list.urls);
    else
        *out = list;
    return in.rc;
}

/* Does a link's parameters' part (up to len) say that relation? */
static bool has_relation(const char *parameters, size_t len, const char *relation)
{
    size_t n = strlen(relation);
    for (const char *p = parameters; (p = memmem(p, len - (size_t)(p - parameters), "rel=", 4)); p += 4) {
        const char *value = p + 4;
        size_t left = len - (size_t)(value - parameters), quote = left > 0 && *value == '"';
        if (left < n + 2 * quote || memcmp(value + quote, relation, n) != 0)
            continue;
        const char *end = value + quote + n;
        if (quote ? *end == '"' : (size_t)(end - parameters) == len || *end == ';' || *end == ' ')
            return true;
    }
    return false;
}

void np_acme_links_add(const char *value, struct np_acme_links *links)
{
    while ((value = strchr(value, '<'))) {
        char url[NP_URL_MAX + 1];
        const char *end = strchr(value, '>');
        if (!end)
            return;
        size_t len = (size_t)(end - value - 1), rest = strcspn(end, ",");
        if (len > NP_URL_MAX)
            len = 0;
        memcpy(url, value + 1, len);
        url[len] = 0;
        if (!np_acme_is_url(url)) {
            /* not one that we follow */
        } else if (has_relation(end, rest, "next")) {
            memcpy(links->next, url, len + 1);
        } else if (has_relation(end, rest, "alternate") && links->alternate_count < NP_ACME_ALTERNATES_MAX) {
            memcpy(links->alternates[links->alternate_count++], url, len + 1);
        }
        value = end + rest;
    }
}

long long np_acme_retry_after_ms(const char *value, long long now_s)
{
    int64_t seconds;
    struct tm tm = {0};
    if (np_parse_int(value, 0, INT64_MAX / 2000, &seconds) != 0) {
        const char *end = strptime(value, "%a, %d %b %Y %H:%M:%S GMT", &tm);
        if (!end || *end)
            return 0;
        seconds = (long long)timegm(&tm) - now_s;
    }
    if (seconds <= 0)
        return 0;
    return seconds > RETRY_AFTER_MAX_MS / 1000 ? RETRY_AFTER_MAX_MS : seconds * 1000;
}

#include "hq/acme/challenge.h"

#include <string.h>

#include "hq/acme/issuance_private.h"
#include "hq/acme/jws.h"
#include "resolver/base/error.h"

static int dns01_proof(const struct np_acme_key *key, const char *account_url,
                       const struct np_acme_challenge *challenge, char out_value[NP_TXT_VALUE_MAX + 1])
{
    (void)account_url;
    if (!challenge->token[0])
        return NP_E_MALFORMED;
    np_acme_dns01_value(key, challenge->token, out_value);
    return 0;
}

static const struct np_challenge_method dns01 = {.type = "dns-01",
                                                 .proof = dns01_proof,
                                                 .publish = np_job_txt_publish,
                                                 .withdraw = np_job_txt_withdraw,
                                                 .release = np_job_txt_release};

static const struct np_challenge_method *const table[] = {&dns01};

const struct np_challenge_method *np_challenge_find(const char *type)
{
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        if (strcmp(table[i]->type, type) == 0)
            return table[i];
    }
    return NULL;
}

const char *np_challenge_types(void)
{
    return "dns-01";
}

const struct np_challenge_method *np_challenge_choose(const struct np_challenge_method *const *methods, size_t count,
                                                      const struct np_acme_authorization *authorization,
                                                      const struct np_acme_challenge **out_challenge)
{
    *out_challenge = NULL;
    for (size_t i = 0; i < count; i++) {
        for (size_t k = 0; k < authorization->challenge_count; k++) {
            if (strcmp(authorization->challenges[k].type, methods[i]->type) != 0)
                continue;
            *out_challenge = &authorization->challenges[k];
            return methods[i];
        }
    }
    return NULL;
}

/* challenge: the ways in which HQ proves to a CA that a name is its own. One struct of functions for each, so that
 * another one is a file and a line in the table of challenge.c: what the authorization offers and what the
 * configuration allows (acme-challenges) decide which one an order goes by.
 *
 * dns-01 (RFC 8555 section 8.4) is there: a value for each authorization, shown while it is looked for. What stands in
 * DNS for longer (dns-persist-01, whose draft still moves) is the same interface: publish sees to a standing record,
 * withdraw and release leave it alone.
 *
 * The part of the order's state machine (acme/order.h) is the same for all: publish, answer the challenge, withdraw. */
#ifndef HQ_ACME_CHALLENGE_H
#define HQ_ACME_CHALLENGE_H

#include <stddef.h>

#include "hq/acme/key.h"
#include "hq/acme/resource.h"
#include "hq/store/store.h"

struct np_job;

/* One way; static storage. */
struct np_challenge_method {
    const char *type; /* as authorizations name it */

    /* What DNS is to show for the challenge. Returns 0, or NP_E_MALFORMED for a challenge that lacks what it needs. */
    int (*proof)(const struct np_acme_key *key, const char *account_url, const struct np_acme_challenge *challenge,
                 char out_value[NP_TXT_VALUE_MAX + 1]);

    /* Shows the proofs of the job's open authorizations, and feeds SHOWN once every name server does. Returns 0 (the
     * event comes from the loop), -ENOMEM, or the zone's error. */
    int (*publish)(struct np_job *job);

    /* The certificate is there: takes back what is to be taken back, and feeds WITHDRAWN. Returns as publish. */
    int (*withdraw)(struct np_job *job);

    /* The order has ended one way or the other: takes it back without waiting. */
    void (*release)(struct np_job *job);
};

/* The method of that type; NULL: HQ has none. */
const struct np_challenge_method *np_challenge_find(const char *type);

/* The types that HQ knows, for people: "dns-01". Static storage. */
const char *np_challenge_types(void);

/* The first of the methods (in the order of the configuration) for which the authorization has a challenge. NULL: it
 * has none of them; *out_challenge is then NULL, too. */
const struct np_challenge_method *np_challenge_choose(const struct np_challenge_method *const *methods, size_t count,
                                                      const struct np_acme_authorization *authorization,
                                                      const struct np_acme_challenge **out_challenge);

#endif

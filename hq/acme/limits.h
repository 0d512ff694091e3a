/* limits: a CA's rate limits, mirrored, so that it never has to refuse an order. Pure: times and bucket states go in,
 * waits and new states come out; hq/acme/meter.c keeps the states in the database.
 *
 * A bucket is one number, the time at which it will be full again (0 or past: it is full): that is a token bucket that
 * fills evenly, and the form in which it needs no clock to be stored (GCRA). Let's Encrypt counts the same way.
 *
 * Shares: half of each bucket that all devices share is kept for certificates in their last quarter, three quarters
 * are kept from `open`. A bucket that belongs to one device has no shares: there is nobody to keep it for. */
#ifndef HQ_ACME_LIMITS_H
#define HQ_ACME_LIMITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "hq/store/store.h"

#define NP_LIMIT_COUNT_MAX    1000000
#define NP_LIMIT_PERIOD_MAX_S (366 * 86400)
#define NP_LIMIT_RENEWAL_MS                                                                                            \
    (120 * INT64_C(86400000)) /* a certificate so young makes an order for its names a renewal */
#define NP_LIMIT_REFUSED_MAX_MS (7 * INT64_C(86400000)) /* no Retry-After is taken to be longer */
#define NP_LIMIT_PAUSE_MS       INT64_C(60000)          /* after a refusal without Retry-After that says not why */
#define NP_LIMIT_PAUSE_MAX_MS   INT64_C(3600000) /* after many of them: longer only when the CA names the limit */

/* What a CA counts. The numbers are stored. */
enum np_limit {
    NP_LIMIT_ORDERS,   /* new orders of the account */
    NP_LIMIT_DOMAIN,   /* certificates of the registered domain: of the zone, or of the device in a public suffix */
    NP_LIMIT_NAMES,    /* certificates for the same names */
    NP_LIMIT_FAILURES, /* failed authorizations of a device's names */
    NP_LIMIT_PAUSE     /* Retry-After: no rule, its bucket's time is the end of the pause */
};

#define NP_LIMIT_RULES NP_LIMIT_PAUSE       /* kinds that have a rule */
#define NP_LIMIT_KINDS (NP_LIMIT_PAUSE + 1) /* kinds that have a bucket */

/* count in period_ms; count 0: no limit. */
struct np_limit_rule {
    int64_t count, period_ms;
};

/* A CA's limits, with the headroom taken off. */
struct np_limits {
    struct np_limit_rule rules[NP_LIMIT_RULES];
    bool public_suffix;   /* the zone is on the Public Suffix List: each device is a registered domain */
    bool renewals_exempt; /* renewals do not count as orders of the account nor as certificates of the domain */
};

/* The word of a kind, as in the configuration: "orders", "domain", "names", "failures", "pause". Static storage. */
const char *np_limit_name(enum np_limit kind);

/* Sets rules and renewals_exempt to those that are known by a name: "letsencrypt", "letsencrypt-staging", "none". False
 * for another name. */
bool np_limits_preset(const char *name, struct np_limits *out_limits);

/* The preset of a directory URL: Let's Encrypt's by its host, else "none". Static storage. */
const char *np_limits_preset_of(const char *directory);

/* Reads "50/7d": a count, and a period in s, m, h, d or w; "none". Returns 0 or NP_E_MALFORMED. */
int np_limit_rule_parse(const char *text, struct np_limit_rule *out_rule);

/* Takes percent off every count; at least 1 stays. */
void np_limits_headroom(struct np_limits *limits, int64_t percent);

/* ---- One bucket ---- */

/* How long to wait until the n-th token from now (n = 1: the next) may be taken, with `reserve` of them left in the
 * bucket; 0: now. */
int64_t np_limit_wait_ms(const struct np_limit_rule *rule, int64_t full_ms, int64_t reserve, int64_t n, int64_t now_ms);

/* The bucket after a token was taken. */
int64_t np_limit_take(const struct np_limit_rule *rule, int64_t full_ms, int64_t now_ms);

/* The bucket after a token was put back. */
int64_t np_limit_give_back(const struct np_limit_rule *rule, int64_t full_ms);

/* The bucket of which the CA says that it will give a token in wait_ms. Never fuller than full_ms says. */
int64_t np_limit_exhaust(const struct np_limit_rule *rule, int64_t full_ms, int64_t wait_ms, int64_t now_ms);

/* How many tokens there are, for people. */
int64_t np_limit_level(const struct np_limit_rule *rule, int64_t full_ms, int64_t now_ms);

/* ---- An order ---- */

/* What the CA does not count against an order. */
enum np_exemption {
    NP_EXEMPT_NONE,
    NP_EXEMPT_RENEWAL, /* the same names as a certificate of less than 120 days */
    NP_EXEMPT_ARI      /* replaces a certificate inside its suggested window: nothing */
};

/* An order as the limits see it, with the buckets that it draws from. */
struct np_limit_view {
    enum np_order_priority priority;
    enum np_exemption exemption;
    int64_t full_ms[NP_LIMIT_KINDS];
};

/* Does the order draw from this bucket? */
bool np_limits_counts(const struct np_limits *limits, enum np_exemption exemption, enum np_limit kind);

/* Is the bucket one that all devices share? */
bool np_limits_is_shared(const struct np_limits *limits, enum np_limit kind);

/* How long the n-th order like this one from now has to wait, 0: it may begin. *out_kind says for what. */
int64_t np_limits_wait_ms(const struct np_limits *limits, const struct np_limit_view *view, int64_t n, int64_t now_ms,
                          enum np_limit *out_kind);

/* Takes what the order costs out of view's buckets. Returns the kinds that were paid, 1 << kind each: FAILURES and
 * PAUSE are never paid. */
unsigned np_limits_pay(const struct np_limits *limits, struct np_limit_view *view, int64_t now_ms);

/* Which limit a refusal speaks of, by Boulder's words; NP_LIMIT_PAUSE where it does not say. */
enum np_limit np_limit_of_refusal(const char *detail);

/* How long to begin no order after a refusal that does not say why: at first no longer than a minute, so that one
 * device's limit does not stop the others, doubled with each that follows without a success between. refusals: how many
 * before this one. */
int64_t np_limit_pause_ms(int64_t retry_after_ms, unsigned refusals);

#endif

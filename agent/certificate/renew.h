/* renew: when the device looks for a new certificate and when it checks in: the decisions alone, as numbers. Pure.
 *
 * HQ renews; the device only fetches (docs/protocol.md, Renewal). It looks from a quarter of the lifetime left on, 32
 * times in a lifetime (every 6 h at most, every second at least), so that 60 seconds and 90 days both work. What people
 * wait for (nothing valid to serve, or an order that HQ said is under way) is looked for sooner: from HQ's poll
 * interval on, doubling, to half a minute where nothing valid is served and to the usual pace otherwise. Every delay is
 * random in [half, whole]. */
#ifndef AGENT_CERTIFICATE_RENEW_H
#define AGENT_CERTIFICATE_RENEW_H

#include <stdbool.h>
#include <stdint.h>

#include "hq/proto/message.h"
#include "resolver/base/random.h"

#define NP_RENEW_LOOKS             32 /* looks in one lifetime, so eight in its last quarter */
#define NP_RENEW_PACE_MIN_MS       1000
#define NP_RENEW_PACE_MAX_MS       21600000 /* 6 h */
#define NP_RENEW_URGENT_MS         30000    /* between looks while nothing valid is served, at most */
#define NP_RENEW_CHECKIN_MS        86400000 /* where HQ names no interval */
#define NP_RENEW_CHECKIN_MIN_MS    1000
#define NP_RENEW_CHECKIN_MAX_MS    INT64_C(2592000000) /* 30 days: HQ forgets to renew for who is silent longer */
#define NP_RENEW_CHECKIN_DEFECT_MS 3600000 /* after a check-in that HQ cannot read, or an answer that we cannot */

/* How urgently a new package is wanted. */
enum np_renew_need {
    NP_RENEW_ROUTINE, /* the last quarter */
    NP_RENEW_AWAITED, /* HQ said that one is under way */
    NP_RENEW_URGENT   /* nothing valid is served */
};

/* The Unix time from which on the device looks by itself: a quarter of the lifetime before not_after. */
int64_t np_renew_from_s(int64_t not_before_s, int64_t not_after_s);

/* Is the certificate missing (not_after 0), expired or in its last quarter at now? */
bool np_renew_is_due(int64_t not_before_s, int64_t not_after_s, int64_t now_s);

/* The usual time between two looks for a certificate of that lifetime. */
int64_t np_renew_pace_ms(int64_t not_before_s, int64_t not_after_s);

/* The time to the next look, after `looks` in a row that brought nothing; pace_ms is np_renew_pace_ms', poll_ms HQ's
 * poll interval. */
int64_t np_renew_delay_ms(enum np_renew_need need, int64_t pace_ms, int64_t poll_ms, unsigned looks,
                          np_random_below_fn *below, void *ctx);

/* The time to the next check-in: HQ's `next`, else its interval (0: not given), else a day; within bounds. */
int64_t np_renew_checkin_ms(int64_t next_s, int64_t interval_s);

/* The same addresses, in whatever order? That is all that an answer of the zone can be compared by. */
bool np_renew_same_addresses(const struct np_addresses *a, const struct np_addresses *b);

#endif

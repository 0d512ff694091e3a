/* publish: what to push to HQ's address endpoint, and when. Pure: times come in, the due time and the request go out;
 * the owner arms a timer (kind of its job planner) for np_publisher_due and sends what np_publisher_take gives.
 *
 * - A change waits out a debounce of 1 s; of several changes the last state wins.
 * - Three pushes may follow each other; after that one in 10 s (a bucket of 3 that gains one each 10 s).
 * - A set that HQ has already is not pushed again, and neither is an empty one: that an address set became empty by
 *   itself (cable pulled, DHCP lost) is no reason to take the name out of the DNS. np_publisher_withdraw is.
 * - seq is one more than the highest known. A 409 tells the highest that HQ has, and the push is repeated at once with
 *   a higher one.
 * - One push at a time; what is wanted meanwhile is sent after it.
 *
 * Lifecycle: np_publisher_init, np_publisher_known after enrolment (or session), np_publisher_want at each new choice,
 * take/done/stale/failed around each request. Nothing is sent before np_publisher_known was called once. */
#ifndef AGENT_NETWORK_PUBLISH_H
#define AGENT_NETWORK_PUBLISH_H

#include <stdbool.h>
#include <stdint.h>

#include "hq/proto/message.h"
#include "resolver/base/jobs.h"
#include "resolver/base/random.h"

#define NP_PUBLISH_DEBOUNCE_MS 1000
#define NP_PUBLISH_BURST       3
#define NP_PUBLISH_REFILL_MS   10000
#define NP_PUBLISH_RETRY_MS    2000   /* first retry after a failure; doubles to the cap */
#define NP_PUBLISH_RETRY_CAP   300000 /* 5 min: the address in public DNS is wrong meanwhile */

/* The planner of pushes. All members are private. */
struct np_publisher {
    struct np_addresses wanted;    /* empty: withdraw */
    struct np_addresses confirmed; /* what HQ is known to have */
    struct np_addresses inflight;  /* the last that was sent */
    bool has_wanted, has_confirmed, known, sending;
    bool unanswered; /* the last request failed: HQ may or may not have taken it */
    int64_t seq;     /* highest known, ours or HQ's */
    int64_t inflight_seq;
    int64_t changed_ms;   /* when wanted was set: the debounce runs from here; NP_JOB_NEVER: it does not run */
    int64_t retry_ms;     /* not before: backoff, ends with a new wanted set */
    int64_t hold_ms;      /* not before: the server's Retry-After, stands */
    int64_t tokens_ms;    /* the burst's bucket, in ms of credit at tokens_at_ms */
    int64_t tokens_at_ms; /* NP_JOB_NEVER: full */
    struct np_backoff backoff;
};

/* Nothing known, nothing wanted. */
void np_publisher_init(struct np_publisher *publisher);

/* HQ's highest seq, and what it has there; addresses NULL: unknown (after a boot), so that the wanted set is pushed
 * once. Ends the waiting for enrolment, and the backoff of a push that failed for want of it (a server's Retry-After
 * stands). Called again after each enrolment or session answer. */
void np_publisher_known(struct np_publisher *publisher, int64_t seq, const struct np_addresses *addresses);

/* HQ's highest seq alone (a check-in's answer): what is wanted and confirmed stays as it is. */
void np_publisher_heard(struct np_publisher *publisher, int64_t seq);

/* The set that should be published from now on. Empty sets are ignored. Ends a withdrawal. */
void np_publisher_want(struct np_publisher *publisher, const struct np_addresses *addresses, int64_t now_ms);

/* Nothing is to be published (publish = local-only was set, the device leaves): pushes empty lists with withdraw. */
void np_publisher_withdraw(struct np_publisher *publisher, int64_t now_ms);

/* When np_publisher_take will give a request: a time at or before now_ms means at once; NP_JOB_NEVER: nothing to do
 * until the next want, known, done, stale or failed. */
int64_t np_publisher_due(const struct np_publisher *publisher, int64_t now_ms);

/* Fills the request and counts it against the burst when one is due at now_ms. Returns true when there is one; it is
 * then under way until done, stale or failed is called. */
bool np_publisher_take(struct np_publisher *publisher, int64_t now_ms, struct np_addresses_request *out_request);

/* 200: HQ has taken the request that is under way. */
void np_publisher_done(struct np_publisher *publisher, int64_t now_ms);

/* 409 stale-seq with HQ's seq: the state is sent again at once with a higher one (that push is counted too). */
void np_publisher_stale(struct np_publisher *publisher, int64_t hq_seq, int64_t now_ms);

/* Any other failure: retried with backoff, not before retry_after_ms (0: not given). The retry sends what is wanted
 * then; the seq is used again where the set is still the same, since HQ may have taken it. */
void np_publisher_failed(struct np_publisher *publisher, int64_t now_ms, int64_t retry_after_ms,
                         np_random_below_fn *below, void *ctx);

#endif

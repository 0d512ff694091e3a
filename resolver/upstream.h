/* upstream: which upstream to ask next, how long to wait for it, and when to give a question up. Pure: times come in,
 * decisions go out; the sockets are forward's.
 *
 * A struct np_upstream is what is known about one server: its round-trip time (RFC 6298's estimator), whether it
 * answers at all, and what it cannot do. A struct np_attempt is one question on its way. */
#ifndef RESOLVER_UPSTREAM_H
#define RESOLVER_UPSTREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "resolver/base/address.h"
#include "resolver/base/random.h"
#include "resolver/view.h"

#define NP_UPSTREAM_RTO_FIRST_MS   400  /* before the first answer */
#define NP_UPSTREAM_RTO_MIN_MS     250  /* a recursive server needs time for what it has not cached */
#define NP_UPSTREAM_RTO_MAX_MS     900  /* so that a second try fits before the offline deadline */
#define NP_UPSTREAM_DEAD_AFTER     3    /* tries without an answer in a row */
#define NP_UPSTREAM_PROBE_FIRST_MS 1000 /* a dead one is asked again after this, doubling */
#define NP_UPSTREAM_PROBE_CAP_MS   30000
#define NP_UPSTREAM_CASE_STRIKES   2      /* answers with another case before 0x20 is given up */
#define NP_UPSTREAM_FORGIVE_MS     600000 /* then case and EDNS are tried again */
#define NP_UPSTREAM_EXPLORE        16     /* one question in so many goes to a server that is not the fastest */

#define NP_ATTEMPT_TRIES_MAX   8
#define NP_ATTEMPT_GRACE_MS    400  /* for a better answer than SERVFAIL from a server that was asked before */
#define NP_ATTEMPT_OFFLINE_MS  1900 /* nothing has answered anything since the question came: offline, fail */
#define NP_ATTEMPT_DEADLINE_MS 4500 /* the upstream is alive but slow: under the 5 s after which stubs ask again */

/* What is known about one server. Zero but for the endpoint: nothing yet. */
struct np_upstream {
    struct np_endpoint endpoint;
    bool measured;           /* srtt_us holds something */
    int64_t srtt_us, var_us; /* smoothed round-trip time and its deviation */
    unsigned timeouts;       /* tries without an answer since the last one that had one */
    int64_t probe_ms;        /* when a dead one may be asked again */
    int64_t last_answer_ms;  /* 0: never */
    uint64_t answers;        /* in all */
    uint64_t failures;       /* tries without one in all; a probe counts as one when it is sent */
    unsigned case_strikes;
    int64_t case_until_ms;  /* until then 0x20 is not checked */
    int64_t plain_until_ms; /* until then it is asked without EDNS */
};

/* It answered a try that was sent rtt_ms ago. */
void np_upstream_answered(struct np_upstream *upstream, int64_t now_ms, int64_t rtt_ms);

/* A try got no answer within waited_ms, or could not be sent (waited_ms 0). */
void np_upstream_failed(struct np_upstream *upstream, int64_t now_ms, int64_t waited_ms);

/* It answered with the question in another case. */
void np_upstream_broke_case(struct np_upstream *upstream, int64_t now_ms);

/* It kept the case of a question: what came in another case before was somebody else's. */
void np_upstream_kept_case(struct np_upstream *upstream);

/* It did not understand EDNS. */
void np_upstream_broke_edns(struct np_upstream *upstream, int64_t now_ms);

/* Is the case of its answers checked? */
bool np_upstream_checks_case(const struct np_upstream *upstream, int64_t now_ms);

/* Is it asked with EDNS? */
bool np_upstream_has_edns(const struct np_upstream *upstream, int64_t now_ms);

/* Has it failed to answer so often that others are asked first? */
bool np_upstream_is_dead(const struct np_upstream *upstream);

/* How long to wait for it before another try, in milliseconds. */
int64_t np_upstream_rto(const struct np_upstream *upstream);

/* One question on its way through a group of at most NP_VIEW_UPSTREAMS_MAX servers. Zero but for start_ms at first. */
struct np_attempt {
    int64_t start_ms;
    int64_t fallback_ms;                   /* when the first SERVFAIL or its like came; 0: none has */
    unsigned tries;                        /* sent so far */
    unsigned active;                       /* of these, still able to answer */
    uint8_t sent[NP_VIEW_UPSTREAMS_MAX];   /* tries by server */
    bool exhausted[NP_VIEW_UPSTREAMS_MAX]; /* refused, failed, or cannot be reached: not asked again */
};

enum np_attempt_step {
    NP_ATTEMPT_SEND,   /* ask group[*out_index], then come back at *out_due_ms */
    NP_ATTEMPT_WAIT,   /* come back at *out_due_ms */
    NP_ATTEMPT_GIVE_UP /* the deadline has passed, or nobody is left to ask: give the fallback, or fail */
};

/* The next step for a question whose due time has come, or whose last try failed. group has count servers; below gives
 * random numbers from ctx. The caller counts what it does with np_attempt_sent and the members. */
enum np_attempt_step np_attempt_next(const struct np_attempt *attempt, const struct np_upstream *const *group,
                                     size_t count, int64_t now_ms, np_random_below_fn *below, void *ctx,
                                     size_t *out_index, int64_t *out_due_ms);

/* Counts a try sent to group[index]. */
void np_attempt_sent(struct np_attempt *attempt, size_t index);

/* The moment at which the attempt is given up, as things stand. */
int64_t np_attempt_deadline(const struct np_attempt *attempt, const struct np_upstream *const *group, size_t count);

/* A dead server of the group whose probe is due, to be asked beside the one that np_attempt_next chose; -1: none. The
 * caller counts it as failed (np_upstream_failed with 0) when it sends it: the question may be answered and gone before
 * anybody sees the probe fail, and the next question must not send another one. */
int np_attempt_probe(const struct np_upstream *const *group, size_t count, size_t chosen, int64_t now_ms);

#endif

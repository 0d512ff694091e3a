/* attempt: one question on its way through a group of servers: whom to ask next, how long to wait, what follows from an
 * answer, when to give up. Pure: times come in, decisions go out; the sockets are forward's, what is known about a
 * server is upstream.h's.
 *
 * Questions go to the fastest living server; the others are asked beside it now and then (np_attempt_beside), never
 * instead of it, so that finding out about a server costs a packet and not somebody's time. When a question is late,
 * but not lost, a second server may be asked: a hedge. Hedges are a bounded share of the questions.
 *
 * What may come from a forger (all UDP that the ID, the port and the letters' case do not vouch for) never ends a try:
 * the true answer is waited for while something else is done (NP_FOLLOW_STREAM, NP_FOLLOW_PLAIN, NP_FOLLOW_HINT), and
 * nothing is believed about a server until it has done the same where nobody can forge.
 *
 * In turn: np_attempt_next until it says to wait; np_try_init and np_attempt_sent for each try sent; np_attempt_answer
 * for what comes back for a try, and what it says is done; np_attempt_timed_out for tries that have waited too long. */
#ifndef RESOLVER_ATTEMPT_H
#define RESOLVER_ATTEMPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "resolver/base/random.h"
#include "resolver/response.h"
#include "resolver/upstream.h"
#include "resolver/view.h"

#define NP_ATTEMPT_TRIES_MAX   8    /* by np_attempt_next; those over streams and those beside come on top */
#define NP_ATTEMPT_GRACE_MS    400  /* for a better answer than SERVFAIL from a server that was asked before */
#define NP_ATTEMPT_OFFLINE_MS  1900 /* nothing has answered anything since the question came: offline, fail */
#define NP_ATTEMPT_DEADLINE_MS 4500 /* the upstream is alive but slow: under the 5 s after which stubs ask again */
#define NP_ATTEMPT_EXPLORE     16   /* one question in so many is also asked of a server that is not the fastest */
#define NP_ATTEMPT_SILENT_EDNS 2    /* tries with EDNS that nobody answers; the third goes without */

#define NP_HEDGE_SHARE 10 /* one question in so many may be hedged, on average */
#define NP_HEDGE_BURST 16 /* hedges saved up at most: the moment in which a server dies */

/* Credit for hedges. Zero is empty. */
struct np_hedge {
    unsigned credit; /* in shares of a hedge */
};

/* A question came: earns its share. */
void np_hedge_earn(struct np_hedge *hedge);

/* Takes the credit of one hedge. Returns false when there is not enough. */
bool np_hedge_take(struct np_hedge *hedge);

/* How a try differs from the usual one: bits. */
enum {
    NP_TRY_BESIDE = 1, /* nobody waits for it: it tells about the server */
    NP_TRY_PLAIN = 2,  /* without EDNS, after it was refused, or not answered, with */
    NP_TRY_FLAT = 4    /* in small letters, after capitals were lost and no stream could be had */
};

/* Why a question goes over a stream. */
enum np_stream_why { NP_STREAM_USUAL, NP_STREAM_TRUNCATED, NP_STREAM_CASE, NP_STREAM_FORGED };

/* A try: one query sent to one server. */
struct np_try {
    int64_t sent_us; /* on a clock in microseconds */
    int64_t wait_ms; /* then it has timed out */
    uint8_t how;
    uint8_t why;     /* over a stream */
    uint8_t refused; /* what may be forged and has been acted on: internal */
    bool stream;     /* over a stream, where nobody can forge */
    bool edns;       /* has an OPT */
    bool check_case; /* the answer must repeat the letters' case */
    bool timed_out;
};

/* One question. Zero but for start_ms at first. */
struct np_attempt {
    int64_t start_ms;
    int64_t fallback_ms; /* when the first SERVFAIL or its like came; 0: none has */
    int64_t late_ms;     /* when the last try is late; 0: nothing is to be done then */
    int64_t lost_ms;     /* when it is taken for lost */
    unsigned tries;      /* sent so far */
    unsigned active;     /* of these, still able to answer: counted by np_attempt_sent, given back by the caller */
    uint8_t sent[NP_VIEW_UPSTREAMS_MAX];   /* tries by server */
    uint8_t silent[NP_VIEW_UPSTREAMS_MAX]; /* of these, with EDNS and without an answer */
    bool plain[NP_VIEW_UPSTREAMS_MAX];     /* has refused EDNS */
    bool exhausted[NP_VIEW_UPSTREAMS_MAX]; /* refused, failed, or cannot be reached: not asked again */
};

enum np_attempt_step {
    NP_ATTEMPT_SEND,   /* ask group[*out_index], or mark it exhausted; then come back at once */
    NP_ATTEMPT_WAIT,   /* come back at *out_due_ms */
    NP_ATTEMPT_GIVE_UP /* the deadline has passed, or nobody is left to ask: give the fallback, or fail */
};

/* The next step for a question that is new, whose due time has come, or one of whose tries has ended. group has count
 * servers. */
enum np_attempt_step np_attempt_next(struct np_attempt *attempt, const struct np_upstream *const *group, size_t count,
                                     int64_t now_ms, struct np_hedge *hedge, size_t *out_index, int64_t *out_due_ms);

/* A try over UDP to the group's server index (-1: it is in the group no more), as things stand. */
struct np_try np_try_init(const struct np_attempt *attempt, int index, const struct np_upstream *upstream, unsigned how,
                          int64_t now_ms, int64_t now_us);

/* The same over a stream. */
struct np_try np_try_init_stream(const struct np_attempt *attempt, int index, const struct np_upstream *upstream,
                                 unsigned how, enum np_stream_why why, int64_t now_ms, int64_t now_us);

/* Counts a try that np_attempt_next asked for and that was sent. */
void np_attempt_sent(struct np_attempt *attempt, size_t index, const struct np_upstream *upstream, int64_t now_ms);

/* The question has gone on to a stream of upstream, which is waited for from now on. */
void np_attempt_streamed(struct np_attempt *attempt, const struct np_upstream *upstream, int64_t now_ms);

/* The moment at which the attempt is given up, as things stand. */
int64_t np_attempt_deadline(const struct np_attempt *attempt, const struct np_upstream *const *group, size_t count);

/* A server to be asked beside the one that the question's first try went to, for what its answer tells about it: one
 * that is not alive and whose probe is due, one that was never measured, now and then any other living one (below gives
 * random numbers from ctx). -1: none. The caller tells np_upstream_probed when it sends it. */
int np_attempt_beside(const struct np_upstream *const *group, size_t count, size_t chosen, int64_t now_ms,
                      np_random_below_fn *below, void *ctx);

/* Has an open try waited too long just now? Then it is counted, once. */
bool np_attempt_timed_out(struct np_attempt *attempt, int index, struct np_try *try, struct np_upstream *upstream,
                          int64_t now_ms, int64_t now_us);

/* Another server has just answered the question, to a try sent at winner_sent_us. Was this open try, sent before it,
 * late by then? Then its server was too slow this time, and that is counted. */
void np_attempt_beaten(struct np_try *try, int64_t winner_sent_us, struct np_upstream *upstream, int64_t now_ms,
                       int64_t now_us);

/* What follows from an answer. "Goes on": the try can still be answered; else it is to be ended. */
enum np_follow {
    NP_FOLLOW_DROP,   /* none of ours, or one that was acted on before: the try goes on */
    NP_FOLLOW_DONE,   /* it is the answer */
    NP_FOLLOW_STREAM, /* ended: ask the same server over a stream, for *out_why (np_attempt_stream) */
    NP_FOLLOW_ALSO,   /* the same, but the try goes on */
    NP_FOLLOW_PLAIN,  /* goes on: ask the same server in the same way without EDNS (NP_TRY_PLAIN) */
    NP_FOLLOW_NEXT,   /* ended: this server is exhausted, come back to np_attempt_next now */
    NP_FOLLOW_KEEP,   /* the same, and keep the message: it is given when nothing better comes */
    NP_FOLLOW_HINT    /* goes on: this server is exhausted, come back now */
};

/* What a message shows beside its verdict. */
struct np_answer_facts {
    bool kept_case; /* the question stands in it as it was sent, letter by letter */
    bool opt;       /* it has an OPT */
};

/* Judges what came back for an open try to the group's server index (-1: it is in the group no more), and notes what it
 * tells about upstream. facts are looked at for GOOD alone. */
enum np_follow np_attempt_answer(struct np_attempt *attempt, int index, struct np_try *try,
                                 struct np_upstream *upstream, enum np_response_verdict verdict,
                                 const struct np_answer_facts *facts, int64_t now_ms, int64_t now_us,
                                 enum np_stream_why *out_why);

/* Are facts.opt worth finding out? (It costs a walk.) */
bool np_attempt_wants_opt(const struct np_try *try, const struct np_upstream *upstream);

/* May the question go over a stream of group[index]? Not where its streams have failed lately, unless nobody better is
 * there to ask what was truncated. */
bool np_attempt_may_stream(const struct np_attempt *attempt, const struct np_upstream *const *group, size_t count,
                           int index, const struct np_upstream *upstream, enum np_stream_why why, int64_t now_ms);

/* No stream could be had for it, or it has failed: ask the same server over UDP again, with *how changed (true), or
 * another one (false: this server is exhausted). */
bool np_attempt_without_stream(struct np_attempt *attempt, int index, enum np_stream_why why, unsigned *how);

#endif

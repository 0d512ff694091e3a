/* upstream: what is known about one server: its round-trip time (RFC 6298's estimator), whether it answers at all, and
 * what it cannot do. Pure: times come in, decisions go out; attempt.h decides with it whom a question is put to, the
 * sockets are forward's.
 *
 * A server is alive, suspect from its first try without an answer on, dead from the third one in a row. */
#ifndef RESOLVER_UPSTREAM_H
#define RESOLVER_UPSTREAM_H

#include <stdbool.h>
#include <stdint.h>

#include "resolver/base/address.h"

#define NP_UPSTREAM_RTO_FIRST_MS   400 /* before the first answer */
#define NP_UPSTREAM_RTO_MIN_MS     250 /* a recursive server needs time for what it has not cached */
#define NP_UPSTREAM_RTO_MAX_MS     900 /* so that a second try fits before the offline deadline */
#define NP_UPSTREAM_LATE_MIN_MS    30  /* nobody notices less */
#define NP_UPSTREAM_STREAM_MIN_MS  600 /* over a stream, where the network repeats what it lost after 200 ms */
#define NP_UPSTREAM_STREAM_MAX_MS  1500
#define NP_UPSTREAM_DEAD_AFTER     3    /* tries without an answer in a row */
#define NP_UPSTREAM_PROBE_FIRST_MS 1000 /* between the first two probes of one that does not answer, doubling */
#define NP_UPSTREAM_PROBE_CAP_MS   30000
#define NP_UPSTREAM_PING_MS        300    /* between two pings of one: two fit before the offline deadline */
#define NP_UPSTREAM_CASE_STRIKES   2      /* confirmed answers with another case before 0x20 is given up */
#define NP_UPSTREAM_EDNS_STRIKES   2      /* questions that only went without EDNS before it is given up */
#define NP_UPSTREAM_FORGIVE_MS     600000 /* then case, EDNS and pipelining are tried again */
#define NP_UPSTREAM_NO_STREAM_MS   60000  /* one whose streams fail is not asked over them for so long, if others are */
#define NP_UPSTREAM_EXPLORE        16    /* one question in so many is also asked of a server that is not the fastest */
#define NP_UPSTREAM_LOOP_BITS      24    /* of evidence that it sends our questions back to us */
#define NP_UPSTREAM_ECHO_MS        2000  /* evidence older than this says nothing: a loop is quick */
#define NP_UPSTREAM_LOOP_MS        60000 /* then it is left alone for so long */

/* What is known about one server. Zero but for the endpoint: nothing yet. */
struct np_upstream {
    struct np_endpoint endpoint;
    bool measured;           /* srtt_us holds something */
    int64_t srtt_us, var_us; /* smoothed round-trip time and its deviation */
    unsigned timeouts;       /* tries without an answer since the last one that had one */
    unsigned probes;         /* of these, probes */
    int64_t probe_ms;        /* when one that is not alive may be asked again */
    int64_t ping_ms;         /* when it may be pinged again */
    int64_t last_answer_ms;  /* 0: never */
    int64_t reached_ms;      /* last time that a stream to it stood, which is no answer yet; 0: never */
    uint64_t answers;        /* in all */
    uint64_t failures;       /* tries without one in all; a probe counts as one when it is sent */
    unsigned case_strikes, edns_strikes;
    bool edns_seen;             /* has answered with an OPT */
    int64_t case_until_ms;      /* until then 0x20 is not checked */
    int64_t plain_until_ms;     /* until then it is asked without EDNS */
    unsigned pipeline;          /* questions that it takes on one stream; 0: no limit known */
    int64_t pipeline_until_ms;  /* until then that is believed */
    int64_t no_stream_until_ms; /* until then others are asked over streams */
    unsigned loop_bits;         /* evidence that it sends questions back to us, since its last answer */
    int64_t echo_ms;            /* when the last of it came */
    int64_t loop_until_ms;      /* until then it is not asked */
    bool itself;                /* its address is one of ours: never asked */
};

/* It answered a try that was sent rtt_us ago. */
void np_upstream_answered(struct np_upstream *upstream, int64_t now_ms, int64_t rtt_us);

/* It answered something, whose time says nothing about the network: over a stream that was just opened, late, ... */
void np_upstream_lives(struct np_upstream *upstream, int64_t now_ms);

/* A try got no answer within waited_ms, or could not be sent (waited_ms 0). */
void np_upstream_failed(struct np_upstream *upstream, int64_t now_ms, int64_t waited_ms);

/* A probe is sent to it. Where it has not answered before, this counts as a failure until it answers: nobody waits for
 * the probe, and the next one must not follow at once. */
void np_upstream_probed(struct np_upstream *upstream, int64_t now_ms);

/* It answered with the question in another case, and it was no forger: it did so over a stream, or there was no other
 * way to ask. */
void np_upstream_broke_case(struct np_upstream *upstream, int64_t now_ms);

/* It kept the case of a question: what came in another case before was somebody else's. */
void np_upstream_kept_case(struct np_upstream *upstream);

/* It answered a question without EDNS after it had refused the same one with EDNS (FORMERR or NOTIMP without OPT), or
 * had not answered it. A refusal alone proves nothing: it may be forged, and a short one repeats no question. */
void np_upstream_broke_edns(struct np_upstream *upstream, int64_t now_ms);

/* It answered with an OPT. */
void np_upstream_kept_edns(struct np_upstream *upstream);

/* It ended a stream after so many answers, with more questions on it. */
void np_upstream_cut_stream(struct np_upstream *upstream, int64_t now_ms, uint64_t answers);

/* Its streams fail. */
void np_upstream_lost_stream(struct np_upstream *upstream, int64_t now_ms);

/* One of our questions to it came back to us, bits: how unlikely it is that somebody else sent it by chance or
 * guessed. Returns true when it is sure now: it is not asked for NP_UPSTREAM_LOOP_MS. */
bool np_upstream_echoed(struct np_upstream *upstream, int64_t now_ms, unsigned bits);

/* It gave a good answer to a question, or somebody guessed at the secret and missed: no loop. */
void np_upstream_resolved(struct np_upstream *upstream);

/* May it be asked at all? Not itself, and not while it sends questions back to us. */
bool np_upstream_may_ask(const struct np_upstream *upstream, int64_t now_ms);

/* Is the case of its answers checked? */
bool np_upstream_checks_case(const struct np_upstream *upstream, int64_t now_ms);

/* Is it asked with EDNS? */
bool np_upstream_has_edns(const struct np_upstream *upstream, int64_t now_ms);

/* The questions that it takes at once on one stream: at most max. */
unsigned np_upstream_pipeline(const struct np_upstream *upstream, int64_t now_ms, unsigned max);

/* Has it failed to answer so often that it is only asked when nobody else is left? */
bool np_upstream_is_dead(const struct np_upstream *upstream);

/* How long to wait for it before the try is taken for lost, in milliseconds. */
int64_t np_upstream_rto(const struct np_upstream *upstream);

/* How long to wait for it before it is late against what it usually takes, in milliseconds; never over the RTO. */
int64_t np_upstream_late(const struct np_upstream *upstream);

/* How long to wait for an answer over a stream: a handshake and the answer. In milliseconds. */
int64_t np_upstream_stream_wait(const struct np_upstream *upstream);

/* Should it be asked whether it is there at all (something it has cached, ".": NS), since a question that came at
 * start_ms has timed out? Not when it has answered anything since. Counts the ping when it says yes. */
bool np_upstream_wants_ping(struct np_upstream *upstream, int64_t start_ms, int64_t now_ms);

#endif

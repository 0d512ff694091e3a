#include "resolver/attempt.h"

#include <string.h>

#define US 1000

/* Answers that may be forged, acted on once. */
enum { REFUSED_EDNS = 1, REFUSED_CASE = 2, REFUSED_BARE = 4 };

void np_hedge_earn(struct np_hedge *hedge)
{
    if (hedge->credit < NP_HEDGE_BURST * NP_HEDGE_SHARE)
        hedge->credit++;
}

bool np_hedge_take(struct np_hedge *hedge)
{
    if (hedge->credit < NP_HEDGE_SHARE)
        return false;
    hedge->credit -= NP_HEDGE_SHARE;
    return true;
}

/* The order in which servers are asked: the living that were measured, those nobody knows yet, the suspect, the dead.
 */
static unsigned class_of(const struct np_upstream *upstream)
{
    if (np_upstream_is_dead(upstream))
        return 3;
    if (upstream->timeouts > 0)
        return 2;
    return upstream->measured ? 0 : 1;
}

/* Is a better than b for this attempt? Each try sent counts one, a suspect server one, a dead one two: a living server
 * is asked twice before a dead one is asked at all. Then by class, then the fastest. */
static bool is_better(const struct np_attempt *attempt, const struct np_upstream *const *group, size_t a, size_t b)
{
    static const unsigned weights[] = {0, 0, 1, 2};
    unsigned class_a = class_of(group[a]), class_b = class_of(group[b]);
    unsigned cost_a = attempt->sent[a] + weights[class_a], cost_b = attempt->sent[b] + weights[class_b];
    if (cost_a != cost_b)
        return cost_a < cost_b;
    if (class_a != class_b)
        return class_a < class_b;
    if (class_a == 3)
        return group[a]->probe_ms < group[b]->probe_ms;
    return group[a]->srtt_us < group[b]->srtt_us;
}

/* The server to ask next; fresh: only one that lives and was not asked yet. -1: none. */
static int choose(const struct np_attempt *attempt, const struct np_upstream *const *group, size_t count,
                  int64_t now_ms, bool fresh)
{
    int best = -1;
    for (size_t i = 0; i < count; i++) {
        if (attempt->exhausted[i] || !np_upstream_may_ask(group[i], now_ms))
            continue;
        if (fresh && (attempt->sent[i] > 0 || np_upstream_is_dead(group[i])))
            continue;
        if (best < 0 || is_better(attempt, group, i, (size_t)best))
            best = (int)i;
    }
    return best;
}

int64_t np_attempt_deadline(const struct np_attempt *attempt, const struct np_upstream *const *group, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (group[i]->last_answer_ms > attempt->start_ms || group[i]->reached_ms > attempt->start_ms)
            return attempt->start_ms + NP_ATTEMPT_DEADLINE_MS;
    }
    return attempt->start_ms + NP_ATTEMPT_OFFLINE_MS;
}

/* A try is under way: wait for it, or hedge it when it is late. Returns the server to hedge with, -1 to wait. */
static int hedge_with(struct np_attempt *attempt, const struct np_upstream *const *group, size_t count, int64_t now_ms,
                      struct np_hedge *hedge)
{
    if (attempt->late_ms == 0 || now_ms < attempt->late_ms)
        return -1;
    attempt->late_ms = 0;
    int index = choose(attempt, group, count, now_ms, true);
    return index >= 0 && group[index]->timeouts == 0 && np_hedge_take(hedge) ? index : -1;
}

enum np_attempt_step np_attempt_next(struct np_attempt *attempt, const struct np_upstream *const *group, size_t count,
                                     int64_t now_ms, struct np_hedge *hedge, size_t *out_index, int64_t *out_due_ms)
{
    if (count > NP_VIEW_UPSTREAMS_MAX)
        count = NP_VIEW_UPSTREAMS_MAX;
    int64_t deadline = np_attempt_deadline(attempt, group, count), due = deadline;
    bool waiting = attempt->active > 0 && now_ms < attempt->lost_ms;
    int index = -1;
    /* With a SERVFAIL in hand only a living server that was not asked yet may still better it. */
    if (attempt->fallback_ms && attempt->fallback_ms + NP_ATTEMPT_GRACE_MS < deadline)
        due = deadline = attempt->fallback_ms + NP_ATTEMPT_GRACE_MS;
    if (now_ms >= deadline)
        return NP_ATTEMPT_GIVE_UP;
    if (waiting) {
        index = hedge_with(attempt, group, count, now_ms, hedge);
        due = attempt->late_ms ? attempt->late_ms : attempt->lost_ms;
    } else if (attempt->tries < NP_ATTEMPT_TRIES_MAX) {
        index = choose(attempt, group, count, now_ms, attempt->fallback_ms != 0);
    }
    if (index >= 0) {
        *out_index = (size_t)index;
        return NP_ATTEMPT_SEND;
    }
    if (attempt->active == 0)
        return NP_ATTEMPT_GIVE_UP;
    *out_due_ms = due < deadline ? due : deadline;
    return NP_ATTEMPT_WAIT;
}

void np_attempt_sent(struct np_attempt *attempt, size_t index, const struct np_upstream *upstream, int64_t now_ms)
{
    /* Half as long again each time round, so that a slow server is not flooded with the same question. */
    int64_t wait = np_upstream_rto(upstream);
    for (unsigned i = 0; index < NP_VIEW_UPSTREAMS_MAX && i < attempt->sent[index]; i++)
        wait += wait / 2;
    attempt->late_ms = attempt->tries == 0 ? now_ms + np_upstream_late(upstream) : 0;
    attempt->lost_ms = now_ms + wait;
    attempt->tries++;
    if (index < NP_VIEW_UPSTREAMS_MAX && attempt->sent[index] < UINT8_MAX)
        attempt->sent[index]++;
}

void np_attempt_streamed(struct np_attempt *attempt, const struct np_upstream *upstream, int64_t now_ms)
{
    attempt->late_ms = 0;
    attempt->lost_ms = now_ms + np_upstream_stream_wait(upstream);
}

int np_attempt_beside(const struct np_upstream *const *group, size_t count, size_t chosen, int64_t now_ms,
                      np_random_below_fn *below, void *ctx)
{
    if (count < 2)
        return -1;
    for (size_t i = 0; i < count && i < NP_VIEW_UPSTREAMS_MAX; i++) {
        bool unknown = group[i]->timeouts > 0 || !group[i]->measured;
        if (i != chosen && unknown && np_upstream_may_ask(group[i], now_ms) && now_ms >= group[i]->probe_ms)
            return (int)i;
    }
    if (below(ctx, NP_ATTEMPT_EXPLORE) != 0)
        return -1;
    size_t other = below(ctx, (uint32_t)count);
    bool fit = other != chosen && group[other]->timeouts == 0 && np_upstream_may_ask(group[other], now_ms);
    return fit ? (int)other : -1;
}

/* Tries. */

static bool in_group(int index)
{
    return index >= 0 && index < NP_VIEW_UPSTREAMS_MAX;
}

struct np_try np_try_init(const struct np_attempt *attempt, int index, const struct np_upstream *upstream, unsigned how,
                          int64_t now_ms, int64_t now_us)
{
    bool known = in_group(index);
    if (known && attempt->plain[index])
        how |= NP_TRY_PLAIN;
    /* Something on the way may drop what has an OPT. */
    if (known && attempt->silent[index] >= NP_ATTEMPT_SILENT_EDNS && !upstream->edns_seen)
        how |= NP_TRY_PLAIN;
    return (struct np_try){
        .sent_us = now_us,
        .wait_ms = np_upstream_rto(upstream),
        .how = (uint8_t)how,
        .edns = !(how & NP_TRY_PLAIN) && np_upstream_has_edns(upstream, now_ms),
        .check_case = (how & NP_TRY_FLAT) || np_upstream_checks_case(upstream, now_ms),
    };
}

struct np_try np_try_init_stream(const struct np_attempt *attempt, int index, const struct np_upstream *upstream,
                                 unsigned how, enum np_stream_why why, int64_t now_ms, int64_t now_us)
{
    struct np_try try = np_try_init(attempt, index, upstream, how, now_ms, now_us);
    try.wait_ms = np_upstream_stream_wait(upstream);
    try.why = (uint8_t)why;
    try.stream = true;
    try.check_case = false; /* nobody guesses there: an upstream that changes the case is believed */
    return try;
}

bool np_attempt_timed_out(struct np_attempt *attempt, int index, struct np_try *try, struct np_upstream *upstream,
                          int64_t now_ms, int64_t now_us)
{
    int64_t waited_ms = (now_us - try->sent_us) / US;
    if (try->timed_out || waited_ms < try->wait_ms)
        return false;
    try->timed_out = true;
    if (in_group(index) && try->edns && !try->stream && attempt->silent[index] < UINT8_MAX)
        attempt->silent[index]++;
    if (try->how & NP_TRY_BESIDE)
        return false; /* counted when it was sent */
    np_upstream_failed(upstream, now_ms, try->stream ? 0 : waited_ms);
    return true;
}

void np_attempt_beaten(struct np_try *try, int64_t winner_sent_us, struct np_upstream *upstream, int64_t now_ms,
                       int64_t now_us)
{
    int64_t waited_ms = (now_us - try->sent_us) / US;
    if (try->stream || try->timed_out || (try->how & NP_TRY_BESIDE) || try->sent_us > winner_sent_us ||
        waited_ms < np_upstream_late(upstream))
        return;
    try->timed_out = true;
    np_upstream_failed(upstream, now_ms, waited_ms);
}

/* Answers. */

static void exhaust(struct np_attempt *attempt, int index)
{
    if (in_group(index))
        attempt->exhausted[index] = true;
}

bool np_attempt_wants_opt(const struct np_try *try, const struct np_upstream *upstream)
{
    return try->edns && (!upstream->edns_seen || upstream->edns_strikes > 0);
}

/* What a good answer tells about the server that gave it. */
static void learn(const struct np_try *try, struct np_upstream *upstream, const struct np_answer_facts *facts,
                  int64_t now_ms)
{
    np_upstream_resolved(upstream);
    if (try->how & NP_TRY_FLAT)
        np_upstream_broke_case(upstream, now_ms);
    else if (facts->kept_case)
        np_upstream_kept_case(upstream);
    else if (try->why == NP_STREAM_CASE)
        np_upstream_broke_case(upstream, now_ms);
    if (try->edns && facts->opt)
        np_upstream_kept_edns(upstream);
    if ((try->how & NP_TRY_PLAIN) && np_upstream_has_edns(upstream, now_ms))
        np_upstream_broke_edns(upstream, now_ms);
}

/* Something that may be forged says that it went wrong. */
static enum np_follow refuse(struct np_attempt *attempt, int index, struct np_try *try, unsigned refused,
                             int64_t now_ms)
{
    if (try->refused & refused)
        return NP_FOLLOW_DROP;
    try->refused |= (uint8_t)refused;
    try->timed_out = true; /* it is no silence */
    if (refused == REFUSED_CASE)
        return NP_FOLLOW_ALSO;
    if (refused == REFUSED_EDNS) {
        if (in_group(index))
            attempt->plain[index] = true;
        return NP_FOLLOW_PLAIN;
    }
    exhaust(attempt, index);
    attempt->lost_ms = now_ms;
    if (!attempt->fallback_ms)
        attempt->fallback_ms = now_ms;
    return NP_FOLLOW_HINT;
}

enum np_follow np_attempt_answer(struct np_attempt *attempt, int index, struct np_try *try,
                                 struct np_upstream *upstream, enum np_response_verdict verdict,
                                 const struct np_answer_facts *facts, int64_t now_ms, int64_t now_us,
                                 enum np_stream_why *out_why)
{
    *out_why = verdict == NP_RESPONSE_CASE ? NP_STREAM_CASE : NP_STREAM_TRUNCATED;
    switch (verdict) {
    case NP_RESPONSE_FOREIGN:
        return NP_FOLLOW_DROP;
    case NP_RESPONSE_CASE:
        return refuse(attempt, index, try, REFUSED_CASE, now_ms);
    case NP_RESPONSE_NO_EDNS:
        return refuse(attempt, index, try, REFUSED_EDNS, now_ms);
    case NP_RESPONSE_BARE:
        return refuse(attempt, index, try, REFUSED_BARE, now_ms);
    default:
        break;
    }
    if (try->stream && try->why != NP_STREAM_USUAL) /* a server that is always asked over one is measured there */
        np_upstream_lives(upstream, now_ms);
    else
        np_upstream_answered(upstream, now_ms, now_us - try->sent_us);
    if (verdict == NP_RESPONSE_GOOD) {
        learn(try, upstream, facts, now_ms);
        return NP_FOLLOW_DONE;
    }
    if (verdict == NP_RESPONSE_TRUNCATED)
        return NP_FOLLOW_STREAM;
    exhaust(attempt, index);
    if (verdict != NP_RESPONSE_FAILED)
        return NP_FOLLOW_NEXT;
    if (!attempt->fallback_ms && !(try->how & NP_TRY_BESIDE)) /* the server that is waited for keeps its time */
        attempt->fallback_ms = now_ms;
    return NP_FOLLOW_KEEP;
}

/* Streams. */

bool np_attempt_may_stream(const struct np_attempt *attempt, const struct np_upstream *const *group, size_t count,
                           int index, const struct np_upstream *upstream, enum np_stream_why why, int64_t now_ms)
{
    if (now_ms >= upstream->no_stream_until_ms)
        return true;
    if (why != NP_STREAM_TRUNCATED)
        return why == NP_STREAM_USUAL;
    for (size_t i = 0; i < count && i < NP_VIEW_UPSTREAMS_MAX; i++) {
        if ((int)i != index && !attempt->exhausted[i] && !np_upstream_is_dead(group[i]) &&
            np_upstream_may_ask(group[i], now_ms) && now_ms >= group[i]->no_stream_until_ms)
            return false;
    }
    return true;
}

bool np_attempt_without_stream(struct np_attempt *attempt, int index, enum np_stream_why why, unsigned *how)
{
    if (why == NP_STREAM_CASE)
        *how |= NP_TRY_FLAT;
    if (why == NP_STREAM_CASE || why == NP_STREAM_FORGED)
        return true;
    exhaust(attempt, index); /* a truncated answer is not better the second time */
    return false;
}

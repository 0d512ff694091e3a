#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "resolver/base/error.h"
#include "resolver/forward_private.h"

#define US 1000

/* The heap of questions by due time. */

static void heap_put(struct np_forward *forward, size_t at, struct question *question)
{
    forward->heap[at] = question;
    question->heap_index = at;
}

static void heap_fix(struct np_forward *forward, size_t at)
{
    struct question *question = forward->heap[at];
    while (at > 0 && question->due_ms < forward->heap[(at - 1) / 2]->due_ms) {
        heap_put(forward, at, forward->heap[(at - 1) / 2]);
        at = (at - 1) / 2;
    }
    for (;;) {
        size_t child = at * 2 + 1;
        if (child + 1 < forward->inflight && forward->heap[child + 1]->due_ms < forward->heap[child]->due_ms)
            child++;
        if (child >= forward->inflight || question->due_ms <= forward->heap[child]->due_ms)
            break;
        heap_put(forward, at, forward->heap[child]);
        at = child;
    }
    heap_put(forward, at, question);
}

static void heap_remove(struct np_forward *forward, struct question *question)
{
    size_t at = question->heap_index;
    struct question *last = forward->heap[--forward->inflight];
    if (last == question)
        return;
    heap_put(forward, at, last);
    heap_fix(forward, at);
}

static void timer_callback(uv_timer_t *timer);

static void arm(struct np_forward *forward)
{
    if (forward->inflight == 0 || forward->closing)
        return; /* a timer that is running finds nothing due, and stops */
    int64_t due = forward->heap[0]->due_ms, now = (int64_t)uv_now(forward->loop);
    if (forward->armed_ms != 0 && forward->armed_ms <= due)
        return;
    forward->armed_ms = due > 0 ? due : 1;
    uv_timer_start(&forward->timer, timer_callback, due > now ? (uint64_t)(due - now) : 0, 0);
}

void np_forward_set_due(struct question *question, int64_t due_ms)
{
    int64_t late_ms = question->attempt.start_ms + NP_FORWARD_LATE_MS;
    question->due_ms = due_ms > late_ms && !question->told_late ? late_ms : due_ms;
    heap_fix(question->forward, question->heap_index);
    arm(question->forward);
}

/* Beginning and end. */

struct question *np_forward_find(const struct np_forward *forward, uint64_t hash, const struct np_query *query)
{
    struct question *question = forward->buckets[hash % BUCKETS];
    bool cd = (query->flags & NP_FLAG_CD) != 0;
    while (question &&
           !(question->hash == hash && question->qtype == query->qtype && question->dnssec_ok == query->dnssec_ok &&
             question->checking_disabled == cd && np_name_equal(&question->name, &query->qname)))
        question = question->next;
    return question;
}

struct question *np_forward_question_new(struct np_forward *forward, uint64_t hash, const struct np_query *query)
{
    struct question *question = malloc(sizeof *question);
    if (!question)
        return NULL;
    memset(question, 0, offsetof(struct question, name));
    question->forward = forward;
    question->hash = hash;
    question->name = query->qname;
    question->qtype = query->qtype;
    question->dnssec_ok = query->dnssec_ok;
    question->checking_disabled = (query->flags & NP_FLAG_CD) != 0;
    question->group = np_forward_group(forward, &question->name);
    question->due_ms = question->attempt.start_ms = (int64_t)uv_now(forward->loop);
    question->next = forward->buckets[hash % BUCKETS];
    forward->buckets[hash % BUCKETS] = question;
    heap_put(forward, forward->inflight++, question);
    heap_fix(forward, question->heap_index);
    np_hedge_earn(&forward->hedge);
    return question;
}

/* Takes the question out of every table. Its tries can no longer be answered. */
static void question_remove(struct question *question)
{
    struct np_forward *forward = question->forward;
    struct question **at = &forward->buckets[question->hash % BUCKETS];
    while (*at != question)
        at = &(*at)->next;
    *at = question->next;
    heap_remove(forward, question);
    for (struct pending *pending = question->tries; pending; pending = pending->next)
        np_forward_try_end(pending);
}

static void question_free(struct question *question, const struct np_forward_result *result)
{
    np_forward_tell(question, result);
    for (struct pending *pending = question->tries, *next; pending; pending = next) {
        next = pending->next;
        free(pending);
    }
    free(question->fallback);
    free(question);
}

void np_forward_drop(struct question *question)
{
    question_remove(question);
    question_free(question, NULL);
}

void np_forward_finish(struct question *question, const uint8_t *message, size_t len)
{
    struct np_forward *forward = question->forward;
    if (!message && !question->looped) { /* what a loop says about itself is nobody's answer */
        message = question->fallback;
        len = question->fallback_len;
    }
    struct np_forward_result result = {
        .qname = &question->name,
        .qtype = question->qtype,
        .dnssec_ok = question->dnssec_ok,
        .checking_disabled = question->checking_disabled,
        .message = message,
        .len = message ? len : 0,
        .trusted = question->trusted,
        .looped = question->looped,
        .ede = question->unreachable ? NP_EDE_NETWORK_ERROR : NP_EDE_NO_REACHABLE_AUTHORITY,
    };
    question_remove(question);
    if (result.message)
        forward->stats.answered++;
    else
        forward->stats.failed++;
    forward->owner.judge(forward->ctx, &result);
    question_free(question, &result);
}

/* Tries. */

struct pending *np_forward_try(struct question *question, struct remote *remote, struct np_try try)
{
    struct pending *pending = question->try_count < TRIES_ALL ? malloc(sizeof *pending) : NULL;
    if (!pending)
        return NULL;
    *pending = (struct pending){.next = question->tries, .question = question, .remote = remote, .try = try};
    np_forward_random(question->forward, &pending->case_seed, sizeof pending->case_seed);
    question->tries = pending;
    question->try_count++;
    question->attempt.active += !(try.how & NP_TRY_BESIDE);
    remote->asked++;
    return pending;
}

void np_forward_try_end(struct pending *pending)
{
    if (pending->socket)
        np_forward_udp_take_off(pending);
    else if (pending->connection)
        np_forward_stream_take_off(pending);
    else
        return;
    pending->socket = NULL;
    pending->connection = NULL;
    pending->question->attempt.active -= !(pending->try.how & NP_TRY_BESIDE);
}

int np_forward_index(const struct question *question, const struct remote *remote)
{
    for (size_t i = 0; i < question->group->count; i++) {
        if (question->group->remotes[i] == remote)
            return (int)i;
    }
    return -1;
}

void np_forward_unreachable(struct question *question, struct remote *remote)
{
    int index = np_forward_index(question, remote);
    remote->errors++;
    question->unreachable |= np_forward_is_network(remote);
    if (index >= 0)
        question->attempt.exhausted[index] = true;
    np_forward_set_due(question, (int64_t)uv_now(question->forward->loop));
}

void np_forward_try_failed(struct pending *pending)
{
    struct remote *remote = pending->remote;
    np_forward_try_end(pending);
    np_upstream_failed(&remote->state, (int64_t)uv_now(remote->forward->loop), 0);
    np_forward_unreachable(pending->question, remote);
}

void np_forward_sent_name(const struct pending *pending, struct np_name *out_name)
{
    *out_name = pending->question->name;
    if (pending->try.how & NP_TRY_FLAT)
        np_name_lower(out_name);
    else
        np_response_mix_case(out_name, pending->case_seed);
}

size_t np_forward_write(const struct pending *pending, uint8_t *out, size_t size)
{
    const struct question *question = pending->question;
    uint16_t flags = (uint16_t)(NP_FLAG_RD | NP_FLAG_AD | (question->checking_disabled ? NP_FLAG_CD : 0));
    struct np_name name;
    np_forward_sent_name(pending, &name);
    int len =
        np_query_write(out, size, pending->id, flags, &name, question->qtype, pending->try.edns, question->dnssec_ok);
    return len < 0 ? 0 : (size_t)len;
}

/* Steps. */

/* The tries that have waited long enough count as failures, and whoever has not answered anything since the question
 * came is asked whether it is there: it may be alive, and the question one that takes long. */
static void note_timeouts(struct question *question, int64_t now)
{
    struct np_forward *forward = question->forward;
    int64_t now_us = np_forward_us();
    for (struct pending *pending = question->tries; pending; pending = pending->next) {
        struct remote *remote = pending->remote;
        if (!pending->socket && !pending->connection)
            continue;
        if (np_attempt_timed_out(&question->attempt, np_forward_index(question, remote), &pending->try, &remote->state,
                                 now, now_us)) {
            forward->stats.timeouts++;
            remote->timeouts++;
        }
        if (!pending->try.timed_out)
            continue;
        if (pending->connection)
            np_forward_stream_silent(pending->connection, pending->try.wait_ms);
        else if (np_upstream_wants_ping(&remote->state, question->attempt.start_ms, now))
            np_forward_udp_ping(remote);
    }
}

/* Asks group[index]. Returns false when that could not be. */
static bool ask(struct question *question, size_t index, const struct np_upstream *const *states, int64_t now)
{
    struct np_forward *forward = question->forward;
    struct group *group = question->group;
    struct remote *remote = group->remotes[index];
    bool first = question->attempt.tries == 0;
    forward->stats.hedged += question->attempt.active > 0 && now < question->attempt.lost_ms;
    int rc = np_forward_send(question, remote, 0);
    if (rc) {
        question->unreachable |= np_forward_is_network(remote);
        question->attempt.exhausted[index] = true;
        if (rc != NP_E_LIMIT && rc != NP_E_REFUSED && rc != NP_E_TLS)
            np_upstream_failed(&remote->state, now, 0);
        return false;
    }
    np_attempt_sent(&question->attempt, index, &remote->state, now);
    if (question->tries && question->tries->connection && !question->tries->connection->open)
        np_attempt_streamed(&question->attempt, &remote->state, now); /* a handshake comes first */
    int beside = first ? np_attempt_beside(states, group->count, index, now, np_forward_below, forward) : -1;
    if (beside >= 0 && np_forward_send(question, group->remotes[beside], NP_TRY_BESIDE) == 0) {
        np_upstream_probed(&group->remotes[beside]->state, now);
        forward->stats.beside++;
    }
    return true;
}

bool np_forward_step(struct question *question)
{
    struct np_forward *forward = question->forward;
    int64_t now = (int64_t)uv_now(forward->loop), due = now;
    struct group *group = question->group;
    const struct np_upstream *states[NP_VIEW_UPSTREAMS_MAX];
    for (size_t i = 0; i < group->count; i++)
        states[i] = &group->remotes[i]->state;
    for (;;) {
        size_t index = 0;
        enum np_attempt_step step =
            np_attempt_next(&question->attempt, states, group->count, now, &forward->hedge, &index, &due);
        if (step == NP_ATTEMPT_GIVE_UP)
            return false;
        if (step == NP_ATTEMPT_WAIT)
            break;
        (void)ask(question, index, states, now);
    }
    np_forward_set_due(question, due);
    return true;
}

static void timer_callback(uv_timer_t *timer)
{
    struct np_forward *forward = timer->data;
    int64_t now = (int64_t)uv_now(forward->loop);
    forward->armed_ms = 0;
    while (forward->inflight > 0 && forward->heap[0]->due_ms <= now) {
        struct question *question = forward->heap[0];
        if (!question->told_late && now >= question->attempt.start_ms + NP_FORWARD_LATE_MS)
            np_forward_tell_late(question);
        note_timeouts(question, now);
        if (!np_forward_step(question))
            np_forward_finish(question, NULL, 0);
        else if (question->due_ms <= now)
            break; /* never twice in one turn */
    }
    arm(forward);
}

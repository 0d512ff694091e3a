#include "resolver/forward.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "resolver/base/error.h"
#include "resolver/base/random.h"
#include "resolver/forward_private.h"
#include "resolver/special.h"

#define SWEEP_MS     1000
#define TCP_WAIT_MS  1500 /* for an answer over TCP: a handshake and the answer, before another upstream is asked */
#define REPEATS_SEEN 16   /* waiters looked through for a client that asks again */

void np_forward_random(struct np_forward *forward, void *out, size_t len)
{
    if (forward->random_left < len) {
        np_random_bytes(forward->random, sizeof forward->random);
        forward->random_left = sizeof forward->random;
    }
    uint8_t *from = forward->random + sizeof forward->random - forward->random_left;
    memcpy(out, from, len);
    memset(from, 0, len);
    forward->random_left -= len;
}

static uint32_t random_below(void *ctx, uint32_t bound)
{
    uint32_t value;
    np_forward_random(ctx, &value, sizeof value);
    return (uint32_t)((uint64_t)value * bound >> 32); /* the bias of 2^-32 tells nobody anything */
}

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

static void set_due(struct question *question, int64_t due_ms)
{
    question->due_ms = due_ms;
    heap_fix(question->forward, question->heap_index);
    arm(question->forward);
}

/* Tries. */

struct try *np_forward_try(struct question *question, struct remote *remote, bool probe)
{
    struct np_forward *forward = question->forward;
    int64_t now = (int64_t)uv_now(forward->loop);
    if (question->try_count == TRIES_ALL)
        return NULL;
    struct try *try = &question->tries[question->try_count++];
    *try = (struct try){
        .question = question,
        .remote = remote,
        .sent_ms = now,
        .check_case = np_upstream_checks_case(&remote->state, now),
        .edns = np_upstream_has_edns(&remote->state, now),
        .probe = probe,
    };
    question->attempt.active += !probe; /* nobody waits for a probe */
    remote->asked++;
    return try;
}

void np_forward_try_end(struct try *try)
{
    struct udp_socket *sock = try->socket;
    if (!sock && !try->connection)
        return;
    if (try->connection)
        np_forward_stream_take_off(try);
    try->socket = NULL;
    try->connection = NULL;
    if (!try->probe)
        try->question->attempt.active--;
    if (!sock)
        return;
    sock->tries[try->place] = NULL;
    if (--sock->active == 0)
        np_forward_udp_idle(sock);
}

size_t np_forward_write(const struct try *try, uint8_t *out, size_t size)
{
    const struct question *question = try->question;
    uint16_t flags = (uint16_t)(NP_FLAG_RD | NP_FLAG_AD | (question->checking_disabled ? NP_FLAG_CD : 0));
    int len = np_query_write(out, size, try->id, flags, &question->sent_name, question->qtype, try->edns,
                             question->dnssec_ok);
    return len < 0 ? 0 : (size_t)len;
}

/* The servers for the question's name, as the view has them now. */
static struct group *find_group(struct np_forward *forward, const struct np_name *qname)
{
    struct group *best = &forward->groups[0];
    for (size_t i = 1; i < forward->group_count; i++) {
        struct group *group = &forward->groups[i];
        if ((best == forward->groups || group->zone.len > best->zone.len) && np_name_within(qname, &group->zone))
            best = group;
    }
    return best;
}

static void exhaust(struct question *question, const struct remote *remote)
{
    const struct group *group = find_group(question->forward, &question->sent_name);
    for (size_t i = 0; i < group->count; i++) {
        if (group->remotes[i] == remote)
            question->attempt.exhausted[i] = true;
    }
}

void np_forward_unreachable(struct question *question, struct remote *remote)
{
    int64_t now = (int64_t)uv_now(question->forward->loop);
    np_upstream_failed(&remote->state, now, 0);
    remote->errors++;
    question->unreachable = true;
    exhaust(question, remote);
    set_due(question, now);
}

void np_forward_try_failed(struct try *try)
{
    struct remote *remote = try->remote;
    np_forward_try_end(try);
    np_forward_unreachable(try->question, remote);
}

/* Ends of questions. */

static uint16_t *client_counter(struct np_forward *forward, const struct np_client *client)
{
    uint64_t hash = forward->key;
    for (size_t i = 0; i < sizeof client->remote.addr.bytes; i++)
        hash = (hash ^ client->remote.addr.bytes[i]) * 0x100000001b3u;
    return &forward->clients[(hash ^ hash >> 32) % CLIENT_COUNTERS];
}

static void question_remove(struct question *question)
{
    struct np_forward *forward = question->forward;
    struct question **at = &forward->buckets[question->hash % BUCKETS];
    while (*at != question)
        at = &(*at)->next;
    *at = question->next;
    heap_remove(forward, question);
    for (size_t i = 0; i < question->try_count; i++)
        np_forward_try_end(&question->tries[i]);
}

static void question_free(struct question *question, const struct np_forward_result *result)
{
    struct np_forward *forward = question->forward;
    while (question->waiters) {
        struct waiter *waiter = question->waiters;
        question->waiters = waiter->next;
        if (result && result->message)
            np_latency_add(&forward->stats.latency, (int64_t)uv_hrtime() - waiter->asked_ns);
        if (result)
            forward->done(forward->ctx, &waiter->ticket, &waiter->query, result);
        (*client_counter(forward, &waiter->ticket.client))--;
        forward->waiters--;
        free(waiter);
    }
    free(question->fallback);
    free(question);
}

/* message NULL: nothing better than the fallback came, or nothing at all. */
static void question_finish(struct question *question, const uint8_t *message, size_t len)
{
    struct np_forward *forward = question->forward;
    struct np_forward_result result = {
        .qname = &question->sent_name,
        .qtype = question->qtype,
        .dnssec_ok = question->dnssec_ok,
        .checking_disabled = question->checking_disabled,
        .message = message ? message : question->fallback,
        .len = message ? len : question->fallback_len,
        .ede = question->unreachable ? NP_EDE_NETWORK_ERROR : NP_EDE_NO_REACHABLE_AUTHORITY,
    };
    question_remove(question);
    if (result.message)
        forward->stats.answered++;
    else
        forward->stats.failed++;
    forward->judge(forward->ctx, &result);
    question_free(question, &result);
}

/* Steps. */

static void note_timeouts(struct question *question, int64_t now)
{
    for (size_t i = 0; i < question->try_count; i++) {
        struct try *try = &question->tries[i];
        if (!try->socket || try->probe || try->timed_out || now - try->sent_ms < np_upstream_rto(&try->remote->state))
            continue;
        try->timed_out = true;
        question->forward->stats.timeouts++;
        try->remote->timeouts++;
        np_upstream_failed(&try->remote->state, now, now - try->sent_ms);
    }
}

/* Asks whom np_attempt_next names, until it says to wait. Returns false when the question is to be given up. */
static bool question_step(struct question *question)
{
    struct np_forward *forward = question->forward;
    int64_t now = (int64_t)uv_now(forward->loop), due = now;
    struct group *group = find_group(forward, &question->sent_name);
    const struct np_upstream *states[NP_VIEW_UPSTREAMS_MAX];
    for (size_t i = 0; i < group->count; i++)
        states[i] = &group->remotes[i]->state;
    for (;;) {
        size_t index = 0;
        enum np_attempt_step step =
            np_attempt_next(&question->attempt, states, group->count, now, random_below, forward, &index, &due);
        if (step == NP_ATTEMPT_GIVE_UP)
            return false;
        if (step == NP_ATTEMPT_WAIT)
            break;
        bool first = question->attempt.tries == 0;
        int rc = np_forward_udp_send(question, group->remotes[index], false);
        np_attempt_sent(&question->attempt, index);
        if (rc) {
            question->unreachable = true;
            question->attempt.exhausted[index] = true;
            if (rc != NP_E_LIMIT)
                np_upstream_failed(&group->remotes[index]->state, now, 0);
            continue;
        }
        int probe = first ? np_attempt_probe(states, group->count, index, now) : -1;
        if (probe >= 0) {
            np_upstream_failed(&group->remotes[probe]->state, now, 0);
            (void)np_forward_udp_send(question, group->remotes[probe], true);
        }
        break;
    }
    set_due(question, due);
    return true;
}

static void timer_callback(uv_timer_t *timer)
{
    struct np_forward *forward = timer->data;
    int64_t now = (int64_t)uv_now(forward->loop);
    forward->armed_ms = 0;
    while (forward->inflight > 0 && forward->heap[0]->due_ms <= now) {
        struct question *question = forward->heap[0];
        note_timeouts(question, now);
        if (!question_step(question))
            question_finish(question, NULL, 0);
        else if (question->due_ms <= now)
            break; /* never twice in one turn */
    }
    arm(forward);
}

static void keep_fallback(struct question *question, const uint8_t *message, size_t len)
{
    if (question->fallback || !(question->fallback = malloc(len)))
        return;
    memcpy(question->fallback, message, len);
    question->fallback_len = len;
    question->attempt.fallback_ms = (int64_t)uv_now(question->forward->loop);
}

/* Asks the same server over TCP, unless that is under way. */
static void ask_over_tcp(struct question *question, struct remote *remote)
{
    for (size_t i = 0; i < question->try_count; i++) {
        if (question->tries[i].connection && question->tries[i].remote == remote)
            return;
    }
    if (np_forward_stream_send(question, remote))
        np_forward_unreachable(question, remote);
    else
        set_due(question, (int64_t)uv_now(question->forward->loop) + TCP_WAIT_MS);
}

/* Does the answer's question stand as it was sent, capitals and all? One without capitals says nothing: an upstream
 * that writes everything small returns it as it was, too. */
static bool keeps_case(const struct question *question, const uint8_t *message)
{
    const struct np_name *sent = &question->sent_name;
    struct np_name lower = *sent;
    np_name_lower(&lower);
    return memcmp(message + NP_DNS_HEADER_LEN, sent->wire, sent->len) == 0 &&
           memcmp(lower.wire, sent->wire, sent->len) != 0;
}

static void handle(struct try *try, enum np_response_verdict verdict, const uint8_t *message, size_t len)
{
    struct question *question = try->question;
    struct np_forward *forward = question->forward;
    struct remote *remote = try->remote;
    bool tcp = try->connection != NULL;
    int64_t now = (int64_t)uv_now(forward->loop);
    if (!tcp)
        np_upstream_answered(&remote->state, now, now - try->sent_ms);
    else
        remote->state.last_answer_ms = now;
    if (verdict == NP_RESPONSE_GOOD) {
        if (keeps_case(question, message))
            np_upstream_kept_case(&remote->state);
        question_finish(question, message, len);
        return;
    }
    np_forward_try_end(try);
    switch (verdict) {
    case NP_RESPONSE_CASE:
        forward->stats.case_broken++;
        np_upstream_broke_case(&remote->state, now);
        ask_over_tcp(question, remote);
        break;
    case NP_RESPONSE_TRUNCATED:
        ask_over_tcp(question, remote);
        break;
    case NP_RESPONSE_NO_EDNS:
        np_upstream_broke_edns(&remote->state, now);
        if (tcp ? np_forward_stream_send(question, remote) : np_forward_udp_send(question, remote, false))
            np_forward_unreachable(question, remote);
        break;
    case NP_RESPONSE_FAILED:
        keep_fallback(question, message, len);
        /* fall through */
    default:
        remote->errors++;
        exhaust(question, remote);
        set_due(question, now);
        break;
    }
}

bool np_forward_received(struct np_forward *forward, struct try *const *tries, size_t count, bool tcp,
                         const uint8_t *message, size_t len)
{
    for (size_t i = 0; i < count; i++) {
        struct try *try = tries[i];
        if (!try || len < 2 || try->id != (message[0] << 8 | message[1]))
            continue;
        struct np_asked asked = {
            .id = try->id,
            .qname = &try->question->sent_name,
            .qtype = try->question->qtype,
            /* Over TCP nobody guesses: an upstream that changes the case is believed there. */
            .check_case = try->check_case && !tcp,
            .edns = try->edns,
            .tcp = tcp,
        };
        enum np_response_verdict verdict = np_response_check(&asked, message, len);
        if (verdict == NP_RESPONSE_FOREIGN)
            break;
        handle(try, verdict, message, len);
        return true;
    }
    forward->stats.foreign++;
    return false;
}

/* Questions. */

static struct question *find_question(const struct np_forward *forward, uint64_t hash, const struct np_query *query)
{
    struct question *question = forward->buckets[hash % BUCKETS];
    bool cd = (query->flags & NP_FLAG_CD) != 0;
    while (question &&
           !(question->hash == hash && question->qtype == query->qtype && question->dnssec_ok == query->dnssec_ok &&
             question->checking_disabled == cd && np_name_equal(&question->sent_name, &query->qname)))
        question = question->next;
    return question;
}

static struct question *question_new(struct np_forward *forward, uint64_t hash, const struct np_query *query)
{
    uint8_t random[NP_NAME_WIRE_MAX / 8 + 1];
    struct question *question = calloc(1, sizeof *question);
    if (!question)
        return NULL;
    question->forward = forward;
    question->hash = hash;
    question->sent_name = query->qname;
    np_forward_random(forward, random, sizeof random);
    np_response_mix_case(&question->sent_name, random);
    question->qtype = query->qtype;
    question->dnssec_ok = query->dnssec_ok;
    question->checking_disabled = (query->flags & NP_FLAG_CD) != 0;
    question->attempt.start_ms = (int64_t)uv_now(forward->loop);
    question->due_ms = question->attempt.start_ms;
    question->next = forward->buckets[hash % BUCKETS];
    forward->buckets[hash % BUCKETS] = question;
    heap_put(forward, forward->inflight++, question);
    heap_fix(forward, question->heap_index);
    return question;
}

/* Did this client send this very packet before? Then it has been impatient, and one answer is enough. */
static bool is_repeat(const struct question *question, const struct np_ticket *ticket, const struct np_query *query)
{
    const struct waiter *waiter = question->waiters;
    if (ticket->client.tcp)
        return false;
    for (int i = 0; waiter && i < REPEATS_SEEN; i++, waiter = waiter->next) {
        if (!waiter->ticket.client.tcp && waiter->query.id == query->id &&
            waiter->ticket.client.remote.port == ticket->client.remote.port &&
            np_addr_equal(&waiter->ticket.client.remote.addr, &ticket->client.remote.addr))
            return true;
    }
    return false;
}

int np_forward_ask(struct np_forward *forward, const struct np_ticket *ticket, const struct np_query *query)
{
    uint64_t hash = np_name_hash(&query->qname, forward->key) ^ (uint64_t)query->qtype * 0x9e3779b97f4a7c15u;
    struct question *question = find_question(forward, hash, query);
    uint16_t *counter = client_counter(forward, &ticket->client);
    if (question && is_repeat(question, ticket, query))
        return 0;
    if (forward->closing || forward->waiters >= NP_FORWARD_WAITERS_MAX || *counter >= forward->per_client ||
        (!question && forward->inflight >= NP_FORWARD_INFLIGHT_MAX) ||
        query->question_len > sizeof((struct waiter *)0)->question) {
        forward->stats.refused++;
        return NP_E_LIMIT;
    }
    struct waiter *waiter = malloc(sizeof *waiter);
    bool joined = question != NULL;
    if (waiter && !question)
        question = question_new(forward, hash, query);
    if (!waiter || !question) {
        free(waiter);
        return -ENOMEM;
    }
    waiter->asked_ns = (int64_t)uv_hrtime();
    waiter->ticket = *ticket;
    waiter->query = *query;
    memcpy(waiter->question, query->question, query->question_len);
    waiter->query.question = waiter->question;
    waiter->next = question->waiters;
    question->waiters = waiter;
    forward->waiters++;
    (*counter)++;
    forward->stats.asked++;
    forward->stats.joined += joined;
    /* Given up at once (no upstream, no network): said at the next turn of the loop, not from in here. */
    if (!joined && !question_step(question))
        set_due(question, (int64_t)uv_now(forward->loop));
    return 0;
}

/* Lifecycle. */

int np_forward_new(uv_loop_t *loop, np_forward_judge_fn *judge, np_forward_done_fn *done, void *ctx,
                   struct np_forward **out_forward)
{
    struct np_forward *forward = calloc(1, sizeof *forward);
    if (!forward)
        return -ENOMEM;
    forward->loop = loop;
    forward->judge = judge;
    forward->done = done;
    forward->ctx = ctx;
    forward->group_count = 1;
    forward->per_client = NP_VIEW_INFLIGHT;
    np_random_bytes(&forward->key, sizeof forward->key);
    uv_timer_init(loop, &forward->timer);
    uv_timer_init(loop, &forward->sweep);
    uv_prepare_init(loop, &forward->flush);
    forward->timer.data = forward->sweep.data = forward->flush.data = forward;
    forward->handles = 3;
    *out_forward = forward;
    return 0;
}

static void sweep_callback(uv_timer_t *timer)
{
    struct np_forward *forward = timer->data;
    np_forward_udp_sweep(forward, false);
    np_forward_stream_sweep(forward, false);
    if (!forward->sockets && !forward->connections)
        uv_timer_stop(timer);
}

void np_forward_need_sweep(struct np_forward *forward)
{
    if (!forward->closing && !uv_is_active((uv_handle_t *)&forward->sweep))
        uv_timer_start(&forward->sweep, sweep_callback, SWEEP_MS, SWEEP_MS);
}

void np_forward_remote_release(struct remote *remote)
{
    if (--remote->references == 0)
        free(remote);
}

void np_forward_handle_closed(struct np_forward *forward)
{
    if (--forward->handles > 0 || !forward->closing)
        return;
    void (*closed)(void *) = forward->closed;
    void *ctx = forward->closed_ctx;
    free(forward);
    if (closed)
        closed(ctx);
}

static void handle_closed(uv_handle_t *handle)
{
    np_forward_handle_closed(handle->data);
}

void np_forward_close(struct np_forward *forward, void (*closed)(void *ctx), void *ctx)
{
    if (forward->closing)
        return;
    forward->closing = true;
    forward->closed = closed;
    forward->closed_ctx = ctx;
    while (forward->inflight > 0) {
        struct question *question = forward->heap[0];
        question_remove(question);
        question_free(question, NULL);
    }
    np_forward_udp_sweep(forward, true);
    np_forward_stream_sweep(forward, true);
    for (size_t i = 0; i < forward->remote_count; i++)
        np_forward_remote_release(forward->remotes[i]);
    forward->remote_count = 0;
    uv_close((uv_handle_t *)&forward->timer, handle_closed);
    uv_close((uv_handle_t *)&forward->sweep, handle_closed);
    uv_close((uv_handle_t *)&forward->flush, handle_closed);
}

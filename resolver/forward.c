#include "resolver/forward.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "resolver/base/error.h"
#include "resolver/base/random.h"
#include "resolver/forward_private.h"

#define SWEEP_MS     1000
#define REPEATS_SEEN 16 /* waiters looked through for a client that asks again */

#define NETWORK_BYTES    8                                 /* a /64 */
#define NETWORK_CLIENTS  4                                 /* a /64 as a whole has so many clients' share */
#define SMALL_SHARE      8                                 /* who has less than this part of a client's share has few */
#define WAITERS_CROWDED  (NP_FORWARD_WAITERS_MAX / 4 * 3)  /* from here on places are for those who have few */
#define INFLIGHT_CROWDED (NP_FORWARD_INFLIGHT_MAX / 4 * 3) /* likewise */

int64_t np_forward_us(void)
{
    return (int64_t)(uv_hrtime() / 1000);
}

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

uint32_t np_forward_below(void *ctx, uint32_t bound)
{
    uint32_t value;
    np_forward_random(ctx, &value, sizeof value);
    return (uint32_t)((uint64_t)value * bound >> 32); /* the bias of 2^-32 tells nobody anything */
}

/* Clients. */

/* The counter of whoever shares the first len bytes of the address. */
static uint16_t *counter_of(struct np_forward *forward, uint16_t *counters, const struct np_addr *addr, size_t len)
{
    uint64_t hash = forward->key;
    for (size_t i = 0; i < len; i++)
        hash = (hash ^ addr->bytes[i]) * 0x100000001b3u;
    return &counters[(hash ^ hash >> 32) % CLIENT_COUNTERS];
}

static uint16_t *client_counter(struct np_forward *forward, const struct np_client *client)
{
    return counter_of(forward, forward->clients, &client->remote.addr, sizeof client->remote.addr.bytes);
}

/* NULL: the client's network is not counted. An IPv6 host has as many addresses as it likes, all in one /64. */
static uint16_t *network_counter(struct np_forward *forward, const struct np_client *client)
{
    const struct np_addr *addr = &client->remote.addr;
    return addr->family == AF_INET6 ? counter_of(forward, forward->networks, addr, NETWORK_BYTES) : NULL;
}

static void count_waiter(struct np_forward *forward, const struct np_client *client, int change)
{
    uint16_t *client_count = client_counter(forward, client), *network_count = network_counter(forward, client);
    *client_count = (uint16_t)(*client_count + change);
    if (network_count)
        *network_count = (uint16_t)(*network_count + change);
    forward->waiters = (size_t)((ptrdiff_t)forward->waiters + change);
}

/* May one more query of the client wait? The last places are for those who have few. */
static bool may_wait(struct np_forward *forward, const struct np_client *client)
{
    unsigned count = *client_counter(forward, client);
    const uint16_t *network = network_counter(forward, client);
    bool crowded = forward->waiters >= WAITERS_CROWDED || forward->inflight >= INFLIGHT_CROWDED;
    if (count >= forward->per_client || (network && *network >= NETWORK_CLIENTS * forward->per_client))
        return false;
    return !crowded || count < forward->per_client / SMALL_SHARE;
}

static void waiter_free(struct np_forward *forward, struct waiter *waiter)
{
    count_waiter(forward, &waiter->ticket.client, -1);
    free(waiter);
}

void np_forward_tell(struct question *question, const struct np_forward_result *result)
{
    struct np_forward *forward = question->forward;
    int64_t now_ns = result && result->message ? (int64_t)uv_hrtime() : 0;
    while (question->waiters) {
        struct waiter *waiter = question->waiters;
        question->waiters = waiter->next;
        if (now_ns > 0)
            np_latency_add(&forward->stats.latency, now_ns - waiter->asked_ns);
        if (result)
            forward->owner.done(forward->ctx, &waiter->ticket, &waiter->query, result);
        waiter_free(forward, waiter);
    }
}

void np_forward_tell_late(struct question *question)
{
    struct np_forward *forward = question->forward;
    struct waiter **at = &question->waiters;
    question->told_late = true;
    while (*at) {
        struct waiter *waiter = *at;
        if (forward->owner.late(forward->ctx, &waiter->ticket, &waiter->query)) {
            *at = waiter->next;
            waiter_free(forward, waiter);
        } else {
            at = &waiter->next;
        }
    }
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

static struct waiter *waiter_new(const struct np_ticket *ticket, const struct np_query *query)
{
    struct waiter *waiter = malloc(sizeof *waiter + query->question_len);
    if (!waiter)
        return NULL;
    waiter->asked_ns = (int64_t)uv_hrtime();
    waiter->ticket = *ticket;
    waiter->query = *query;
    memcpy(waiter->question, query->question, query->question_len);
    waiter->query.question = waiter->question;
    return waiter;
}

static uint64_t hash_of(const struct np_forward *forward, const struct np_query *query)
{
    return np_name_hash(&query->qname, forward->key) ^ (uint64_t)query->qtype * 0x9e3779b97f4a7c15u;
}

int np_forward_ask(struct np_forward *forward, const struct np_ticket *ticket, const struct np_query *query)
{
    uint64_t hash = hash_of(forward, query);
    struct question *question = np_forward_find(forward, hash, query);
    bool joined = question != NULL;
    if (question && is_repeat(question, ticket, query))
        return 0;
    if (np_forward_is_echo(forward, hash, ticket, query))
        return NP_E_REFUSED;
    if (forward->closing || forward->waiters >= NP_FORWARD_WAITERS_MAX || !may_wait(forward, &ticket->client) ||
        (!question && forward->inflight >= NP_FORWARD_INFLIGHT_MAX)) {
        forward->stats.refused++;
        return NP_E_LIMIT;
    }
    struct waiter *waiter = waiter_new(ticket, query);
    if (waiter && !question)
        question = np_forward_question_new(forward, hash, query);
    if (!waiter || !question) {
        free(waiter);
        return -ENOMEM;
    }
    waiter->next = question->waiters;
    question->waiters = waiter;
    count_waiter(forward, &ticket->client, 1);
    forward->stats.asked++;
    forward->stats.joined += joined;
    /* Given up at once (no upstream, no network): said at the next turn of the loop, not from in here. */
    if (!joined && !np_forward_step(question))
        np_forward_set_due(question, (int64_t)uv_now(forward->loop));
    return 0;
}

int np_forward_refresh(struct np_forward *forward, const struct np_query *query)
{
    uint64_t hash = hash_of(forward, query);
    if (np_forward_find(forward, hash, query))
        return 0;
    /* What nobody waits for must not take the last places from those who wait. */
    if (forward->closing || forward->inflight >= NP_FORWARD_INFLIGHT_MAX / 2)
        return NP_E_LIMIT;
    struct question *question = np_forward_question_new(forward, hash, query);
    if (!question)
        return -ENOMEM;
    forward->stats.refreshed++;
    if (!np_forward_step(question))
        np_forward_set_due(question, (int64_t)uv_now(forward->loop));
    return 0;
}

/* Lifecycle. */

int np_forward_new(uv_loop_t *loop, const struct np_forward_owner *owner, void *ctx, struct np_forward **out_forward)
{
    struct np_forward *forward = calloc(1, sizeof *forward);
    if (!forward)
        return -ENOMEM;
    forward->loop = loop;
    forward->owner = *owner;
    forward->ctx = ctx;
    forward->group_count = 1;
    forward->per_client = NP_VIEW_INFLIGHT;
    forward->hedge.credit = NP_HEDGE_BURST * NP_HEDGE_SHARE;
    np_random_bytes(&forward->key, sizeof forward->key);
    np_forward_udp_init(forward);
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
    while (forward->inflight > 0)
        np_forward_drop(forward->heap[0]);
    np_forward_udp_sweep(forward, true);
    np_forward_stream_sweep(forward, true);
    for (size_t i = 0; i < forward->remote_count; i++)
        np_forward_remote_release(forward->remotes[i]);
    forward->remote_count = 0;
    uv_close((uv_handle_t *)&forward->timer, handle_closed);
    uv_close((uv_handle_t *)&forward->sweep, handle_closed);
    uv_close((uv_handle_t *)&forward->flush, handle_closed);
}

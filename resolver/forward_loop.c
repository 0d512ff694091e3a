#include <string.h>
#include <sys/socket.h>

#include "resolver/base/log.h"
#include "resolver/forward_private.h"

#define TELL_MS      60000 /* the log is told once in so long */
#define ADDRESS_BITS 8 /* the upstream's own host asks for just what we are asking the upstream: rare, but it happens  \
                        */
#define LOOPBACK_BITS  3 /* there everybody has one address */
#define BITS_FOR_KNOWN 4 /* enough for an upstream that is known to do it */

static void tell(struct remote *remote, int64_t now)
{
    struct np_forward *forward = remote->forward;
    char text[NP_VIEW_UPSTREAM_TEXT_MAX];
    if (forward->told_loop_ms && now - forward->told_loop_ms < TELL_MS)
        return;
    forward->told_loop_ms = now;
    np_warning("forwarding loop: upstream %s sends our own questions back to us; it is not asked for a while. Name an "
               "upstream that does not forward to this box, or take this box out of that server's upstreams",
               np_view_upstream_format(&remote->server, text));
}

/* The remote has sent back so much, and answered nothing, that it is sure. What waits for it would wait for itself. */
static void give_up_on(struct remote *remote, int64_t now)
{
    struct np_forward *forward = remote->forward;
    tell(remote, now);
    for (size_t i = 0; i < BUCKETS; i++) {
        for (struct question *question = forward->buckets[i]; question; question = question->next) {
            for (struct pending *pending = question->tries; pending; pending = pending->next) {
                if (pending->remote != remote || (!pending->socket && !pending->connection))
                    continue;
                np_forward_try_end(pending);
                question->looped = true;
                np_forward_set_due(question, now);
            }
        }
    }
}

static bool is_same(const struct np_name *a, const struct np_name *b)
{
    return a->len == b->len && memcmp(a->wire, b->wire, a->len) == 0;
}

/* Does the query have the capitals that we drew at random for this very try? Only who has seen it knows them. Clients
 * do not hit them by accident, since there is always one, and few clients write capitals. */
static bool has_our_case(const struct pending *pending, const struct np_query *query)
{
    struct np_name sent;
    np_forward_sent_name(pending, &sent);
    return is_same(&sent, &query->qname);
}

/* How much it says that this query came in while the try is open. *out_against_it is how much of that may count against
 * the upstream, which then is not asked by anybody for a while: a secret that only it has seen does; a source address,
 * which may be forged or a neighbour's, does where it answers nobody anyway. */
static unsigned evidence(struct pending *pending, const struct np_ticket *ticket, const struct np_query *query,
                         unsigned *out_against_it)
{
    const struct np_addr *from = &ticket->client.remote.addr;
    const struct np_upstream *upstream = &pending->remote->state;
    *out_against_it = 0;
    if (!(pending->try.how & NP_TRY_FLAT) && has_our_case(pending, query)) {
        *out_against_it = np_response_case_bits(&query->qname);
        return *out_against_it;
    }
    if (!np_addr_equal(from, &upstream->endpoint.addr))
        return 0;
    unsigned bits = np_addr_classify(from) == NP_ADDR_LOOPBACK ? LOOPBACK_BITS : ADDRESS_BITS;
    *out_against_it = np_upstream_is_dead(upstream) ? bits : 0;
    return bits;
}

/* The query has the capitals of none of the question's tries: it is a client's own, or a guess. Each try may be guessed
 * at once, and a guess that misses takes what was gathered before with it, so that guessing never adds up. */
static void missed(struct question *question)
{
    for (struct pending *pending = question->tries; pending; pending = pending->next) {
        if (pending->echoed || (!pending->socket && !pending->connection))
            continue;
        pending->echoed = true;
        np_upstream_resolved(&pending->remote->state);
    }
}

static bool is_echo_of(struct question *question, const struct np_ticket *ticket, const struct np_query *query)
{
    struct np_forward *forward = question->forward;
    int64_t now = (int64_t)uv_now(forward->loop);
    bool ours = false;
    for (struct pending *pending = question->tries; pending; pending = pending->next) {
        unsigned against_it = 0, bits = 0;
        if (!pending->echoed && (pending->socket || pending->connection))
            bits = evidence(pending, ticket, query, &against_it);
        if (bits == 0)
            continue;
        struct remote *remote = pending->remote;
        ours |= against_it > 0;
        pending->echoed = true;
        question->echo_bits += bits;
        bool known = now < remote->state.loop_until_ms && bits >= BITS_FOR_KNOWN;
        bool sure = against_it > 0 && np_upstream_echoed(&remote->state, now, against_it);
        if (sure)
            give_up_on(remote, now);
        if (!sure && !known && question->echo_bits < NP_UPSTREAM_LOOP_BITS)
            continue;
        forward->stats.looped++;
        question->looped = true;
        return true;
    }
    if (!ours)
        missed(question);
    return false;
}

bool np_forward_is_echo(struct np_forward *forward, uint64_t hash, const struct np_ticket *ticket,
                        const struct np_query *query)
{
    for (struct question *question = forward->buckets[hash % BUCKETS]; question; question = question->next) {
        if (question->hash == hash && question->qtype == query->qtype &&
            np_name_equal(&question->name, &query->qname) && is_echo_of(question, ticket, query))
            return true;
    }
    return false;
}

bool np_forward_is_own(struct remote *remote, int fd)
{
    struct np_forward *forward = remote->forward;
    struct sockaddr_storage sa;
    socklen_t len = sizeof sa;
    char text[NP_VIEW_UPSTREAM_TEXT_MAX];
    if (getsockname(fd, (struct sockaddr *)&sa, &len))
        return false;
    struct np_endpoint local = np_endpoint_from_sockaddr((struct sockaddr *)&sa);
    if (!forward->owner.own(forward->ctx, &remote->state.endpoint, &local.addr))
        return false;
    remote->state.itself = true;
    if (!remote->told_itself)
        np_warning("upstream %s is this resolver itself: it is not asked. Name another upstream",
                   np_view_upstream_format(&remote->server, text));
    remote->told_itself = true;
    return true;
}

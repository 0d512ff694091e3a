#include <string.h>
#include <sys/socket.h>

#include "resolver/base/log.h"
#include "resolver/forward_private.h"

#define TELL_MS 60000 /* the log is told once in so long */
#define ADDRESS_BITS                                                                                                   \
    8 /* the upstream's own host asks for just what we are asking the upstream: rare, but it happens                   \
       */
#define LOOPBACK_BITS  3 /* there everybody has one address */
#define BITS_FOR_KNOWN 4 /* enough for one that is known to do it */

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

/* How much it says that this query came in while the try is open; 0: nothing. */
static unsigned evidence(const struct pending *pending, const struct np_ticket *ticket, const struct np_query *query)
{
    struct np_name sent;
    np_forward_sent_name(pending, &sent);
    /* The capitals that we drew at random for this very try: only who has seen it knows them. Clients do not hit them
     * by accident, since there is always one, and few clients write capitals. */
    if (!(pending->try.how & NP_TRY_FLAT) && is_same(&sent, &query->qname))
        return np_response_case_bits(&sent);
    const struct np_addr *from = &ticket->client.remote.addr;
    if (!np_addr_equal(from, &pending->remote->state.endpoint.addr))
        return 0;
    return np_addr_classify(from) == NP_ADDR_LOOPBACK ? LOOPBACK_BITS : ADDRESS_BITS;
}

static bool is_echo_of(struct question *question, const struct np_ticket *ticket, const struct np_query *query)
{
    struct np_forward *forward = question->forward;
    int64_t now = (int64_t)uv_now(forward->loop);
    for (struct pending *pending = question->tries; pending; pending = pending->next) {
        if (pending->echoed || (!pending->socket && !pending->connection))
            continue;
        unsigned bits = evidence(pending, ticket, query);
        if (bits == 0)
            continue;
        struct remote *remote = pending->remote;
        pending->echoed = true;
        question->echo_bits += bits;
        bool known = now < remote->state.loop_until_ms && bits >= BITS_FOR_KNOWN;
        bool sure = np_upstream_echoed(&remote->state, now, bits);
        if (sure)
            give_up_on(remote, now);
        if (!sure && !known && question->echo_bits < NP_UPSTREAM_LOOP_BITS)
            continue;
        forward->stats.looped++;
        question->looped = true;
        return true;
    }
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

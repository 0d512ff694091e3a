#include "agent/tls/lookup.h"

#include <ares.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "resolver/base/error.h"

#define EDNS_SIZE     1232
#define PROCESS_MS    100 /* c-ares' own time-outs are looked at this often: ares_timeout is O(queries) */
#define SOCKETS_MAX   16  /* UDP and TCP to each server */
#define SERVERS_TEXT  (NP_LOOKUP_SERVERS_MAX * NP_ADDR_TEXT_MAX)
#define WHY_MAX       200
#define HOST_TEXT_MAX 255 /* with a final dot and the NUL */
#define OF_FAMILY_MAX (NP_LOOKUP_ADDRESSES_MAX / 2)

struct watch {
    uv_poll_t poll;
    struct np_lookup *lookup;
    ares_socket_t fd;
    bool used;
};

struct np_lookup {
    uv_timer_t timer;
    ares_channel channel;
    bool has_channel, over;
    unsigned pending; /* questions without an answer yet: A and AAAA */
    struct watch *watches[SOCKETS_MAX];
    np_lookup_done_fn *done; /* NULL: cancelled, or called */
    void *ctx;
    char host[HOST_TEXT_MAX];
    int status;       /* of the question that failed last */
    unsigned nothing; /* questions that were answered: there is no such record */
    struct np_addr v4[OF_FAMILY_MAX], v6[OF_FAMILY_MAX];
    size_t v4_count, v6_count;
};

static void watch_closed(uv_handle_t *handle)
{
    free(handle->data);
}

static void unwatch(struct np_lookup *lookup, size_t i)
{
    struct watch *watch = lookup->watches[i];
    lookup->watches[i] = NULL;
    uv_poll_stop(&watch->poll);
    uv_close((uv_handle_t *)&watch->poll, watch_closed);
}

static void on_readable(uv_poll_t *poll, int status, int events)
{
    struct watch *watch = poll->data;
    bool in = status < 0 || (events & UV_READABLE), out = status < 0 || (events & UV_WRITABLE);
    ares_process_fd(watch->lookup->channel, in ? watch->fd : ARES_SOCKET_BAD, out ? watch->fd : ARES_SOCKET_BAD);
}

/* c-ares tells which of its sockets it wants watched; neither closes the socket before the last call for it. */
static void on_socket(void *ctx, ares_socket_t fd, int readable, int writable)
{
    struct np_lookup *lookup = ctx;
    size_t i = 0, free_slot = SOCKETS_MAX;
    for (i = 0; i < SOCKETS_MAX; i++) {
        if (lookup->watches[i] && lookup->watches[i]->fd == fd)
            break;
        if (!lookup->watches[i])
            free_slot = i;
    }
    if (!readable && !writable) {
        if (i < SOCKETS_MAX)
            unwatch(lookup, i);
        return;
    }
    if (i == SOCKETS_MAX) {
        struct watch *watch = free_slot < SOCKETS_MAX ? calloc(1, sizeof *watch) : NULL;
        if (!watch)
            return; /* that server then times out */
        watch->lookup = lookup;
        watch->fd = fd;
        if (uv_poll_init(lookup->timer.loop, &watch->poll, fd)) {
            free(watch);
            return;
        }
        watch->poll.data = watch;
        lookup->watches[free_slot] = watch;
        i = free_slot;
    }
    uv_poll_start(&lookup->watches[i]->poll, (readable ? UV_READABLE : 0) | (writable ? UV_WRITABLE : 0), on_readable);
}

/* IPv6 and IPv4 in turn, so that a family that does not work costs one try (RFC 8305 section 4). */
static size_t interleave(const struct np_lookup *lookup, struct np_addr out[NP_LOOKUP_ADDRESSES_MAX])
{
    size_t count = 0;
    for (size_t i = 0; i < OF_FAMILY_MAX; i++) {
        if (i < lookup->v6_count)
            out[count++] = lookup->v6[i];
        if (i < lookup->v4_count)
            out[count++] = lookup->v4[i];
    }
    return count;
}

static void timer_closed(uv_handle_t *handle)
{
    struct np_lookup *lookup = handle->data;
    if (lookup->done) {
        struct np_addr addresses[NP_LOOKUP_ADDRESSES_MAX];
        char why[WHY_MAX + HOST_TEXT_MAX];
        size_t count = interleave(lookup, addresses);
        snprintf(why, sizeof why, "the address of %s could not be found: %s", lookup->host,
                 lookup->status == ARES_SUCCESS ? "it has none" : ares_strerror(lookup->status));
        int none = lookup->nothing == 2 ? NP_E_NOT_FOUND : NP_E_DNS;
        lookup->done(lookup->ctx, count > 0 ? 0 : none, count > 0 ? "" : why, addresses, count);
    }
    free(lookup);
}

/* Never from inside a c-ares callback: destroying the channel there would free what c-ares still uses. */
static void finish(struct np_lookup *lookup)
{
    if (uv_is_closing((uv_handle_t *)&lookup->timer))
        return;
    if (lookup->has_channel)
        ares_destroy(lookup->channel);
    for (size_t i = 0; i < SOCKETS_MAX; i++) {
        if (lookup->watches[i])
            unwatch(lookup, i);
    }
    uv_close((uv_handle_t *)&lookup->timer, timer_closed);
}

static void on_over(uv_timer_t *timer)
{
    finish(timer->data);
}

static void on_timer(uv_timer_t *timer)
{
    struct np_lookup *lookup = timer->data;
    if (!lookup->over)
        ares_process_fd(lookup->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
}

/* Both answers are there: done at once. One with addresses: the other one has NP_LOOKUP_GRACE_MS left, so that a server
 * that swallows AAAA questions costs little. */
static void on_answer(void *ctx, int status, int timeouts, struct ares_addrinfo *result)
{
    struct np_lookup *lookup = ctx;
    (void)timeouts;
    if (status == ARES_EDESTRUCTION)
        return;
    lookup->pending--;
    if (status != ARES_SUCCESS)
        lookup->status = status;
    if (status == ARES_ENODATA || status == ARES_ENOTFOUND)
        lookup->nothing++;
    for (struct ares_addrinfo_node *node = result ? result->nodes : NULL; node; node = node->ai_next) {
        struct np_addr address = np_endpoint_from_sockaddr(node->ai_addr).addr;
        if (address.family == AF_INET && lookup->v4_count < OF_FAMILY_MAX)
            lookup->v4[lookup->v4_count++] = address;
        else if (address.family == AF_INET6 && lookup->v6_count < OF_FAMILY_MAX)
            lookup->v6[lookup->v6_count++] = address;
    }
    if (result)
        ares_freeaddrinfo(result);
    if (lookup->pending == 0) {
        lookup->over = true;
        uv_timer_start(&lookup->timer, on_over, 0, 0);
    } else if (lookup->v4_count + lookup->v6_count > 0) {
        uv_timer_start(&lookup->timer, on_over, NP_LOOKUP_GRACE_MS, 0);
    }
}

static int start_channel(struct np_lookup *lookup, const struct np_endpoint *servers, size_t server_count)
{
    char list[SERVERS_TEXT] = "", text[NP_ADDR_TEXT_MAX], lookups[] = "b"; /* DNS alone, no hosts file */
    struct ares_options options = {.flags = ARES_FLAG_NOSEARCH | ARES_FLAG_NOALIASES | ARES_FLAG_EDNS,
                                   .timeout = NP_LOOKUP_TRY_MS,
                                   .tries = NP_LOOKUP_TRIES,
                                   .ednspsz = EDNS_SIZE,
                                   .lookups = lookups,
                                   .ndomains = 0, /* a search domain would tell others what we look for */
                                   .sock_state_cb = on_socket,
                                   .sock_state_cb_data = lookup};
    int mask = ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_EDNSPSZ | ARES_OPT_LOOKUPS |
               ARES_OPT_DOMAINS | ARES_OPT_SOCK_STATE_CB;
    for (size_t i = 0, used = 0; i < server_count && i < NP_LOOKUP_SERVERS_MAX; i++) {
        int n =
            snprintf(list + used, sizeof list - used, "%s%s", used ? "," : "", np_endpoint_format(&servers[i], text));
        used += n > 0 ? (size_t)n : 0;
    }
    if (ares_init_options(&lookup->channel, &options, mask) != ARES_SUCCESS)
        return NP_E_DNS;
    lookup->has_channel = true;
    return ares_set_servers_ports_csv(lookup->channel, list) == ARES_SUCCESS ? 0 : NP_E_DNS;
}

int np_lookup_start(uv_loop_t *loop, const char *host, const struct np_endpoint *servers, size_t server_count,
                    np_lookup_done_fn *done, void *ctx, struct np_lookup **out_lookup)
{
    if (server_count == 0)
        return NP_E_MISSING;
    struct np_lookup *lookup = calloc(1, sizeof *lookup);
    if (!lookup)
        return -ENOMEM;
    snprintf(lookup->host, sizeof lookup->host, "%s", host);
    uv_timer_init(loop, &lookup->timer);
    lookup->timer.data = lookup;
    int rc = start_channel(lookup, servers, server_count);
    if (rc) {
        finish(lookup); /* done is not set yet */
        return rc;
    }
    lookup->done = done;
    lookup->ctx = ctx;
    lookup->pending = 2;
    uv_timer_start(&lookup->timer, on_timer, PROCESS_MS, PROCESS_MS);
    struct ares_addrinfo_hints hints = {.ai_family = AF_INET, .ai_flags = ARES_AI_NOSORT};
    ares_getaddrinfo(lookup->channel, lookup->host, NULL, &hints, on_answer, lookup);
    hints.ai_family = AF_INET6;
    ares_getaddrinfo(lookup->channel, lookup->host, NULL, &hints, on_answer, lookup);
    *out_lookup = lookup;
    return 0;
}

void np_lookup_cancel(struct np_lookup *lookup)
{
    lookup->done = NULL;
    finish(lookup);
}

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
#define HOST_TEXT_MAX 254

struct watch {
    uv_poll_t poll;
    struct np_lookup *lookup;
    ares_socket_t fd;
    bool used;
};

struct np_lookup {
    uv_timer_t timer;
    ares_channel channel;
    bool has_channel, answered;
    struct watch *watches[SOCKETS_MAX];
    np_lookup_done_fn *done; /* NULL: cancelled, or called */
    void *ctx;
    char host[HOST_TEXT_MAX];
    int status;
    struct np_addr addresses[NP_LOOKUP_ADDRESSES_MAX];
    size_t count;
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

static void timer_closed(uv_handle_t *handle)
{
    struct np_lookup *lookup = handle->data;
    np_lookup_done_fn *done = lookup->done;
    char why[WHY_MAX + HOST_TEXT_MAX];
    if (done) {
        snprintf(why, sizeof why, "the address of %s could not be found: %s", lookup->host,
                 lookup->status == ARES_SUCCESS ? "it has none" : ares_strerror(lookup->status));
        done(lookup->ctx, lookup->count > 0 ? 0 : NP_E_DNS, lookup->count > 0 ? "" : why, lookup->addresses,
             lookup->count);
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

static void on_timer(uv_timer_t *timer)
{
    struct np_lookup *lookup = timer->data;
    if (!lookup->answered)
        ares_process_fd(lookup->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
    if (lookup->answered)
        finish(lookup);
}

static void on_answer(void *ctx, int status, int timeouts, struct ares_addrinfo *result)
{
    struct np_lookup *lookup = ctx;
    (void)timeouts;
    if (status == ARES_EDESTRUCTION)
        return;
    lookup->answered = true;
    lookup->status = status;
    for (struct ares_addrinfo_node *node = result ? result->nodes : NULL; node; node = node->ai_next) {
        if (lookup->count < NP_LOOKUP_ADDRESSES_MAX)
            lookup->addresses[lookup->count++] = np_endpoint_from_sockaddr(node->ai_addr).addr;
    }
    if (result)
        ares_freeaddrinfo(result);
    uv_timer_start(&lookup->timer, on_timer, 0, 0);
}

static int start_channel(struct np_lookup *lookup, const struct np_endpoint *servers, size_t server_count)
{
    char list[SERVERS_TEXT] = "", text[NP_ADDR_TEXT_MAX], lookups[] = "b"; /* DNS alone, no hosts file */
    struct ares_options options = {.flags = ARES_FLAG_NOSEARCH | ARES_FLAG_NOALIASES | ARES_FLAG_EDNS,
                                   .timeout = NP_LOOKUP_TRY_MS,
                                   .tries = NP_LOOKUP_TRIES,
                                   .ednspsz = EDNS_SIZE,
                                   .lookups = lookups,
                                   .sock_state_cb = on_socket,
                                   .sock_state_cb_data = lookup};
    int mask = ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_EDNSPSZ | ARES_OPT_LOOKUPS |
               ARES_OPT_SOCK_STATE_CB;
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
    struct ares_addrinfo_hints hints = {.ai_family = AF_UNSPEC, .ai_flags = ARES_AI_NOSORT};
    uv_timer_start(&lookup->timer, on_timer, PROCESS_MS, PROCESS_MS);
    ares_getaddrinfo(lookup->channel, lookup->host, NULL, &hints, on_answer, lookup);
    *out_lookup = lookup;
    return 0;
}

void np_lookup_cancel(struct np_lookup *lookup)
{
    lookup->done = NULL;
    finish(lookup);
}

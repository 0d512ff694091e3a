#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/front/front_private.h"
#include "resolver/base/error.h"
#include "resolver/base/log.h"

static void on_readable(uv_poll_t *poll, int status, int events)
{
    (void)status; /* accept4 says what is wrong */
    (void)events;
    np_front_accept(poll->data);
}

static void on_tick(uv_timer_t *timer)
{
    struct np_front *front = timer->data;
    uint64_t now = uv_now(front->loop);
    bool needed = front->connection_count > 0;
    for (size_t i = 0; i < NP_FRONT_CONNECTIONS_MAX; i++) {
        struct np_front_connection *connection = front->connections[i];
        if (connection && now >= connection->due_ms)
            np_front_connection_abort(connection);
    }
    for (size_t i = 0; i < NP_FRONT_LISTENERS_MAX; i++) {
        struct np_front_listener *listener = front->listeners[i];
        if (!listener || !listener->paused)
            continue;
        listener->paused = false;
        uv_poll_start(&listener->poll, UV_READABLE, on_readable);
    }
    if (!needed)
        uv_timer_stop(timer);
}

void np_front_need_tick(struct np_front *front)
{
    if (!uv_is_active((uv_handle_t *)&front->tick))
        uv_timer_start(&front->tick, on_tick, NP_FRONT_TICK_MS, NP_FRONT_TICK_MS);
}

void np_front_init(struct np_front *front, uv_loop_t *loop)
{
    memset(front, 0, sizeof *front);
    front->loop = loop;
    np_view_init(&front->view);
    (void)np_view_admit(&front->view, &front->admit); /* an empty view has no limits to break */
    (void)uv_timer_init(loop, &front->tick);          /* cannot fail */
    front->tick.data = front;
    br_ssl_session_cache_lru_init(&front->sessions, front->session_store, sizeof front->session_store);
}

static void on_listener_closed(uv_handle_t *handle)
{
    free(handle->data);
}

static void close_listener(struct np_front_listener *listener)
{
    uv_poll_stop(&listener->poll);
    close(listener->fd);
    uv_close((uv_handle_t *)&listener->poll, on_listener_closed);
}

void np_front_close(struct np_front *front)
{
    for (size_t i = 0; i < NP_FRONT_LISTENERS_MAX; i++) {
        if (front->listeners[i])
            close_listener(front->listeners[i]);
        front->listeners[i] = NULL;
    }
    for (size_t i = 0; i < NP_FRONT_CONNECTIONS_MAX; i++) {
        if (front->connections[i])
            np_front_connection_abort(front->connections[i]);
    }
    uv_close((uv_handle_t *)&front->tick, NULL);
    np_peer_close(front->peer);
    front->peer = NULL;
    np_front_certificate_free(front->certificate);
    front->certificate = NULL;
}

void np_front_set_view(struct np_front *front, const struct np_view *view)
{
    front->view = *view;
    if (np_view_admit(view, &front->admit))
        np_warning("view: more LAN subnets than can be served");
}

void np_front_set_certificate_take(struct np_front *front, struct np_front_certificate *certificate)
{
    np_front_certificate_free(front->certificate);
    front->certificate = certificate;
    br_ssl_session_cache_lru_init(&front->sessions, front->session_store, sizeof front->session_store);
}

/* Nothing comes from the resolver that a client of the LAN waits for. */
static void peer_frame(void *ctx, uint32_t type, const struct np_peer_message *message, int *fd)
{
    (void)ctx;
    (void)type;
    (void)message;
    (void)fd;
}

static void peer_gone(void *ctx)
{
    struct np_front *front = ctx;
    np_peer_close(front->peer);
    front->peer = NULL;
}

void np_front_set_peer_take(struct np_front *front, int fd)
{
    static const struct np_peer_events events = {peer_frame, peer_gone};
    np_peer_close(front->peer);
    front->peer = NULL;
    int rc = np_peer_new(front->loop, fd, &events, front, &front->peer);
    if (!rc)
        return;
    np_error("stream channel: %s", np_strerror(rc));
    close(fd);
}

int np_front_add_listener(struct np_front *front, const struct np_listen *what, int fd)
{
    size_t slot = 0;
    while (slot < NP_FRONT_LISTENERS_MAX && front->listeners[slot])
        slot++;
    if (slot == NP_FRONT_LISTENERS_MAX)
        return NP_E_LIMIT;
    struct np_front_listener *listener = calloc(1, sizeof *listener);
    if (!listener)
        return -ENOMEM;
    int rc = uv_poll_init(front->loop, &listener->poll, fd);
    if (rc) {
        free(listener);
        return rc;
    }
    listener->front = front;
    listener->what = *what;
    listener->fd = fd;
    listener->poll.data = listener;
    rc = uv_poll_start(&listener->poll, UV_READABLE, on_readable);
    if (rc) {
        uv_close((uv_handle_t *)&listener->poll, on_listener_closed);
        return rc;
    }
    front->listeners[slot] = listener;
    return 0;
}

static bool same_listener(const struct np_listen *a, const struct np_listen *b)
{
    return a->kind == b->kind && a->local.port == b->local.port && np_addr_equal(&a->local.addr, &b->local.addr);
}

void np_front_drop_listener(struct np_front *front, const struct np_listen *what)
{
    for (size_t i = 0; i < NP_FRONT_LISTENERS_MAX; i++) {
        if (!front->listeners[i] || !same_listener(&front->listeners[i]->what, what))
            continue;
        close_listener(front->listeners[i]);
        front->listeners[i] = NULL;
        return;
    }
}

struct np_answer_facts np_front_facts(const struct np_front *front)
{
    struct np_answer_facts facts = {.view = &front->view,
                                    .leaf = front->certificate ? &front->certificate->leaf : NULL};
    for (size_t i = 0; i < NP_FRONT_LISTENERS_MAX; i++) {
        const struct np_front_listener *listener = front->listeners[i];
        if (listener && listener->what.kind == NP_LISTEN_HTTPS && facts.https_port != NP_ANSWER_PORT_TLS)
            facts.https_port = listener->what.local.port;
    }
    return facts;
}

char *np_front_stats_json(const struct np_front *front)
{
    const struct np_front_stats *stats = &front->stats;
    json_t *root = json_pack(
        "{s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I}", "connections", (json_int_t)front->connection_count,
        "accepted", (json_int_t)stats->accepted, "not-admitted", (json_int_t)stats->not_admitted, "refused",
        (json_int_t)stats->refused, "requests", (json_int_t)stats->requests, "handshakes",
        (json_int_t)stats->handshakes, "handshakes-failed", (json_int_t)stats->handshakes_failed, "relayed",
        (json_int_t)stats->relayed, "backend-failed", (json_int_t)stats->backend_failed, "dot-accepted",
        (json_int_t)stats->dot_accepted, "dot-refused", (json_int_t)stats->dot_refused, "dot-handshakes",
        (json_int_t)stats->dot_handshakes, "dot-handshakes-failed", (json_int_t)stats->dot_handshakes_failed);
    char *text = json_dumps(root, JSON_COMPACT);
    json_decref(root);
    return text;
}

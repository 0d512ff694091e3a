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
    bool waiting = np_front_upstreams_tick(front), needed = front->connection_count > 0 || waiting;
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

static void on_queue(uv_timer_t *timer)
{
    struct np_front *front = timer->data;
    np_front_connections_begin(front);
    if (front->queued == 0)
        uv_timer_stop(timer);
}

void np_front_need_queue(struct np_front *front)
{
    if (!uv_is_active((uv_handle_t *)&front->queue))
        uv_timer_start(&front->queue, on_queue, NP_FRONT_QUEUE_MS, NP_FRONT_QUEUE_MS);
}

/* So many handshakes a second take half of this processor's one core. */
static uint32_t measure_rate(void)
{
    int64_t rate = 1000000 / NP_FRONT_CPU_SHARE / np_tls_handshake_us();
    if (rate < NP_FRONT_RATE_MIN)
        return NP_FRONT_RATE_MIN;
    return rate < NP_FRONT_PACE_RATE_MAX ? (uint32_t)rate : NP_FRONT_PACE_RATE_MAX;
}

void np_front_set_settings(struct np_front *front, const struct np_front_settings *settings)
{
    front->settings = *settings;
    np_front_pace_init(&front->pace, settings->handshakes ? settings->handshakes : front->own_rate,
                       (int64_t)uv_now(front->loop));
}

void np_front_init(struct np_front *front, uv_loop_t *loop)
{
    static const struct np_front_settings none;
    memset(front, 0, sizeof *front);
    front->loop = loop;
    np_view_init(&front->view);
    (void)np_view_admit(&front->view, &front->admit); /* an empty view has no limits to break */
    (void)uv_timer_init(loop, &front->tick);          /* cannot fail */
    (void)uv_timer_init(loop, &front->queue);
    front->tick.data = front->queue.data = front;
    front->own_rate = measure_rate();
    np_front_set_settings(front, &none);
    np_clock_init(&front->clock, 0, 0);
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

static void peer_frame(void *ctx, uint32_t type, const struct np_peer_message *message, int *fd)
{
    (void)fd;
    if (type == NP_PEER_OPEN)
        np_front_upstream_open(ctx, message->id, &message->server);
}

/* The resolver is gone, and with it everybody who waits for an upstream. */
static void drop_peer(struct np_front *front)
{
    np_peer_close(front->peer);
    front->peer = NULL;
    np_front_upstreams_abort(front);
}

static void peer_gone(void *ctx)
{
    drop_peer(ctx);
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
    uv_close((uv_handle_t *)&front->queue, NULL);
    drop_peer(front);
    np_front_upstreams_forget(front);
    np_front_certificate_free(front->certificate);
    front->certificate = NULL;
    np_tls_anchors_free(front->anchors);
    front->anchors = NULL;
}

void np_front_set_view(struct np_front *front, const struct np_view *view)
{
    front->view = *view;
    if (np_view_admit(view, &front->admit))
        np_warning("view: more LAN subnets than can be served");
    np_front_upstreams_view(front);
}

void np_front_set_certificate_take(struct np_front *front, struct np_front_certificate *certificate)
{
    np_front_certificate_free(front->certificate);
    front->certificate = certificate;
    br_ssl_session_cache_lru_init(&front->sessions, front->session_store, sizeof front->session_store);
}

void np_front_set_peer_take(struct np_front *front, int fd)
{
    static const struct np_peer_events events = {peer_frame, peer_gone};
    drop_peer(front);
    int rc = np_peer_new(front->loop, fd, &events, front, &front->peer);
    if (!rc)
        return;
    np_error("stream channel: %s", np_strerror(rc));
    close(fd);
}

void np_front_set_anchors_take(struct np_front *front, struct np_tls_anchors *anchors)
{
    np_front_upstreams_abort(front);
    np_front_upstreams_forget(front);
    np_tls_anchors_free(front->anchors);
    front->anchors = anchors;
}

void np_front_set_clock(struct np_front *front, int64_t floor_s, int64_t steady_s, bool has_signed, bool doubted)
{
    bool anew = (front->clock.doubted && !doubted) || (!front->clock.has_signed && has_signed);
    np_clock_init(&front->clock, floor_s, steady_s);
    front->clock.has_signed = has_signed;
    front->clock.doubted = doubted;
    if (!anew)
        return;
    np_front_upstreams_abort(front);
    np_front_upstreams_forget(front);
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
    struct np_answer_facts facts = {
        .view = &front->view,
        .leaf = front->certificate ? &front->certificate->leaf : NULL,
        .news = &front->news,
        .fallback = front->settings.address_access && front->settings.has_backend,
    };
    for (size_t i = 0; i < NP_FRONT_LISTENERS_MAX; i++) {
        const struct np_front_listener *listener = front->listeners[i];
        if (listener && listener->what.kind == NP_LISTEN_HTTPS && facts.https_port != NP_ANSWER_PORT_TLS)
            facts.https_port = listener->what.local.port;
        if (listener && listener->what.kind == NP_LISTEN_HTTP && facts.http_port != NP_ANSWER_PORT)
            facts.http_port = listener->what.local.port;
    }
    return facts;
}

static json_t *failures_json(const struct np_front_stats *stats)
{
    json_t *object = json_object();
    for (int i = 0; i < NP_PEER_REASONS && object; i++)
        json_object_set_new(object, np_peer_reason_name((enum np_peer_reason)i),
                            json_integer((json_int_t)stats->upstream_failed[i]));
    return object;
}

char *np_front_stats_json(const struct np_front *front)
{
    const struct np_front_stats *stats = &front->stats;
    const struct {
        const char *name;
        uint64_t value;
    } counters[] = {
        {"connections", front->connection_count},
        {"accepted", stats->accepted},
        {"not-admitted", stats->not_admitted},
        {"refused", stats->refused},
        {"evicted", stats->evicted},
        {"waited", stats->waited},
        {"waiting", front->queued},
        {"handshake-limit", front->pace.rate},
        {"requests", stats->requests},
        {"handshakes", stats->handshakes},
        {"handshakes-failed", stats->handshakes_failed},
        {"relayed", stats->relayed},
        {"backend-failed", stats->backend_failed},
        {"dot-accepted", stats->dot_accepted},
        {"dot-refused", stats->dot_refused},
        {"dot-handshakes", stats->dot_handshakes},
        {"dot-handshakes-failed", stats->dot_handshakes_failed},
        {"upstreams", front->upstream_count},
        {"upstream-opened", stats->upstream_opened},
        {"upstream-resumed", stats->upstream_resumed},
    };
    json_t *root = json_object();
    int failed = !root || json_object_set_new(root, "upstream-failed", failures_json(stats));
    for (size_t i = 0; i < sizeof counters / sizeof *counters && !failed; i++)
        failed = json_object_set_new(root, counters[i].name, json_integer((json_int_t)counters[i].value));
    char *text = failed ? NULL : json_dumps(root, JSON_COMPACT);
    json_decref(root);
    return text;
}

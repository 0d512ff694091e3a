#include "hq/frontdoor.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "hq/frontdoor_private.h"
#include "resolver/base/error.h"
#include "resolver/base/log.h"
#include "resolver/base/random.h"

/* ---- Waiting ---- */

static void unlink_connection(struct np_door_connection *c)
{
    struct np_door_queue *queue = &c->door->queues[c->wait];
    if (c->previous)
        c->previous->next = c->next;
    else
        queue->first = c->next;
    if (c->next)
        c->next->previous = c->previous;
    else
        queue->last = c->previous;
    c->next = c->previous = NULL;
}

/* Counts a connection out of one state and into another. */
static void move(struct np_door_stats *stats, enum np_door_wait from, enum np_door_wait to)
{
    stats->handshaking -= from == NP_DOOR_HANDSHAKING;
    stats->handshaking += to == NP_DOOR_HANDSHAKING;
    stats->refusing -= from == NP_DOOR_REFUSED;
    stats->refusing += to == NP_DOOR_REFUSED;
    stats->open -= from != NP_DOOR_REFUSED && from != NP_DOOR_WAITS;
    stats->open += to != NP_DOOR_REFUSED && to != NP_DOOR_WAITS;
}

void np_door_wait(struct np_door_connection *c, enum np_door_wait wait)
{
    struct np_door *door = c->door;
    if (c->wait != NP_DOOR_WAITS)
        unlink_connection(c);
    move(&door->stats, c->wait, wait);
    c->wait = wait;
    if (wait == NP_DOOR_WAITS)
        return;
    struct np_door_queue *queue = &door->queues[wait];
    c->since_ms = uv_now(door->loop);
    c->previous = queue->last;
    if (c->previous)
        c->previous->next = c;
    else
        queue->first = c;
    queue->last = c;
}

/* The oldest of a list, where it has waited that long. */
static struct np_door_connection *waited(const struct np_door *door, enum np_door_wait wait, uint64_t ms)
{
    struct np_door_connection *c = door->queues[wait].first;
    return c && uv_now(door->loop) - c->since_ms >= ms ? c : NULL;
}

/* While the door drains: whoever has asked nothing for a while is not about to (a device asks for a nonce first, and
 * then uses it on the same connection). */
static void end_idle(struct np_door *door)
{
    struct np_door_connection *c;
    while ((c = waited(door, NP_DOOR_IDLE, NP_DOOR_DRAIN_IDLE_MS)))
        np_door_connection_end(c);
}

/* How late the timer is tells how long a turn of the loop takes; forgotten by half with every sweep. */
static void note_lateness(struct np_door *door)
{
    uint64_t now = uv_now(door->loop), passed = now - door->sweep_ms;
    uint64_t late = passed > NP_DOOR_SWEEP_MS ? passed - NP_DOOR_SWEEP_MS : 0;
    door->sweep_ms = now;
    door->late_ms = late > door->late_ms / 2 ? late : door->late_ms / 2;
}

static void on_sweep(uv_timer_t *timer)
{
    struct np_door *door = timer->data;
    const uint64_t limits[NP_DOOR_WAITS] = {[NP_DOOR_HANDSHAKING] = door->config.handshake_ms,
                                            [NP_DOOR_ASKED] = door->config.request_ms,
                                            [NP_DOOR_IDLE] = door->config.idle_ms,
                                            [NP_DOOR_LINGERING] =
                                                door->draining ? NP_DOOR_DRAIN_LINGER_MS : NP_DOOR_LINGER_MS,
                                            [NP_DOOR_REFUSED] = NP_DOOR_LINGER_MS};
    struct np_door_connection *c;
    note_lateness(door);
    if (door->draining)
        end_idle(door);
    for (enum np_door_wait wait = 0; wait < NP_DOOR_WAITS; wait++) {
        while ((c = waited(door, wait, limits[wait]))) {
            door->stats.timeouts += wait < NP_DOOR_LINGERING;
            np_door_connection_close(c);
        }
    }
    if (door->stats.open + door->stats.refusing == 0)
        uv_timer_stop(timer);
}

/* ---- Accepting ---- */

/* Ends whoever has waited longest, for a newcomer. False: all that are there are at work. */
static bool displace(struct np_door *door)
{
    struct np_door_connection *c = waited(door, NP_DOOR_LINGERING, 0);
    uint64_t ours_ms = NP_DOOR_TURNS * door->late_ms;
    if (!c)
        c = waited(door, NP_DOOR_IDLE, door->config.displace_idle_ms);
    if (!c)
        c = waited(door, NP_DOOR_HANDSHAKING, door->config.displace_handshake_ms + ours_ms);
    if (!c)
        c = waited(door, NP_DOOR_ASKED, door->config.displace_asked_ms + ours_ms);
    if (!c)
        return false;
    door->stats.displaced++;
    np_door_connection_close(c);
    return true;
}

/* Is there room for one more connection? It is counted already. */
static bool has_room(struct np_door *door)
{
    if (door->stats.open <= door->config.connections_max || displace(door))
        return true;
    door->stats.refused_total++;
    return false;
}

static void begin_plain(struct np_door_connection *c)
{
    struct np_door *door = c->door;
    if (has_room(door))
        np_door_connection_start(c);
    else if (door->stats.refusing < NP_DOOR_REFUSALS_MAX)
        np_door_connection_refuse(c);
    else
        np_door_connection_close(c);
}

static void begin_tls(struct np_door_connection *c)
{
    struct np_door *door = c->door;
    struct sockaddr_storage address;
    int len = sizeof address;
    if (uv_tcp_getpeername(&c->front.tcp, (struct sockaddr *)&address, &len) || !has_room(door)) {
        np_door_connection_close(c);
        return;
    }
    c->client = np_endpoint_from_sockaddr((struct sockaddr *)&address);
    c->peer = np_door_peer_take(&door->peers, &c->client.addr, door->config.per_address_max);
    if (!c->peer) {
        door->stats.refused_address++;
        np_door_connection_close(c);
        return;
    }
    if (np_tls_stream_new(door->tls, &c->tls)) {
        np_door_connection_close(c);
        return;
    }
    uv_tcp_nodelay(&c->front.tcp, 1);
    np_door_connection_start(c);
}

static void on_connection(uv_stream_t *stream, int status)
{
    const struct np_door_listener *listener = (struct np_door_listener *)stream;
    struct np_door *door = stream->data;
    if (status || door->closing)
        return;
    struct np_door_connection *c = np_door_connection_new(door, listener->plain);
    if (!c) {
        np_error("no memory for a connection");
        abort(); /* libuv accepts nothing more until this one is taken: better to be started again */
    }
    if (uv_accept(stream, &c->front.stream)) {
        np_door_connection_close(c);
        return;
    }
    door->stats.accepted++;
    if (!uv_is_active((uv_handle_t *)&door->sweep)) {
        door->sweep_ms = uv_now(door->loop);
        uv_timer_start(&door->sweep, on_sweep, NP_DOOR_SWEEP_MS, NP_DOOR_SWEEP_MS);
    }
    if (listener->plain)
        begin_plain(c);
    else
        begin_tls(c);
}

/* ---- Listening ---- */

/* The next listener's place. From when it is counted on, np_door_close closes it. */
static int add_listener(struct np_door *door, bool plain, struct np_door_listener **out_listener)
{
    _Static_assert(offsetof(struct np_door_listener, handle) == 0, "on_connection casts");
    if (door->listener_count == NP_DOOR_LISTENERS_MAX)
        return NP_E_LIMIT;
    struct np_door_listener *listener = &door->listeners[door->listener_count];
    int rc =
        plain ? uv_pipe_init(door->loop, &listener->handle.path, 0) : uv_tcp_init(door->loop, &listener->handle.tcp);
    if (rc)
        return rc;
    listener->handle.handle.data = door;
    listener->plain = plain;
    door->listener_count++;
    door->handles++;
    *out_listener = listener;
    return 0;
}

int np_door_listen(struct np_door *door, const struct np_endpoint *local)
{
    struct sockaddr_storage address;
    struct np_door_listener *listener;
    if (np_endpoint_to_sockaddr(local, &address) == 0)
        return -EAFNOSUPPORT;
    int rc = add_listener(door, false, &listener);
    if (rc)
        return rc;
    unsigned flags = local->addr.family == AF_INET6 ? UV_TCP_IPV6ONLY : 0;
    rc = uv_tcp_bind(&listener->handle.tcp, (struct sockaddr *)&address, flags);
    if (rc)
        return rc;
    /* libuv reports an address in use only here. */
    return uv_listen(&listener->handle.stream, NP_DOOR_BACKLOG, on_connection);
}

/* Removes the socket of an HQ that is gone. Anything else stays, and bind will say that it is in use. */
static void remove_stale(const struct sockaddr_un *address)
{
    struct stat status;
    if (lstat(address->sun_path, &status) || !S_ISSOCK(status.st_mode))
        return;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return;
    if (connect(fd, (const struct sockaddr *)address, sizeof *address) && errno == ECONNREFUSED)
        unlink(address->sun_path);
    close(fd);
}

/* A socket bound to the path, nobody else's for a moment: its mode is what bind gives it under this umask. */
static int bind_path(const struct sockaddr_un *address, mode_t mode, uid_t uid, gid_t gid, int *out_fd)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    mode_t old = umask(0777);
    int rc = bind(fd, (const struct sockaddr *)address, sizeof *address) ? -errno : 0;
    umask(old);
    if (rc == 0 && (uid != (uid_t)-1 || gid != (gid_t)-1) && lchown(address->sun_path, uid, gid))
        rc = -errno;
    if (rc == 0 && chmod(address->sun_path, mode))
        rc = -errno;
    if (rc) {
        close(fd);
        return rc;
    }
    *out_fd = fd;
    return 0;
}

int np_door_listen_path(struct np_door *door, const char *path, mode_t mode, uid_t uid, gid_t gid)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct np_door_listener *listener;
    int fd = -1;
    _Static_assert(NP_DOOR_PATH_MAX < sizeof address.sun_path, "a NUL follows");
    if (strlen(path) > NP_DOOR_PATH_MAX)
        return NP_E_LIMIT;
    memcpy(address.sun_path, path, strlen(path) + 1);
    int rc = add_listener(door, true, &listener);
    if (rc)
        return rc;
    remove_stale(&address);
    rc = bind_path(&address, mode, uid, gid, &fd);
    if (rc)
        return rc;
    rc = uv_pipe_open(&listener->handle.path, fd);
    if (rc) {
        close(fd);
        return rc;
    }
    return uv_listen(&listener->handle.stream, NP_DOOR_BACKLOG, on_connection);
}

struct np_endpoint np_door_local(const struct np_door *door, size_t index)
{
    struct sockaddr_storage address;
    int len = sizeof address;
    struct np_endpoint none = {0};
    if (index >= door->listener_count || door->listeners[index].plain ||
        uv_tcp_getsockname(&door->listeners[index].handle.tcp, (struct sockaddr *)&address, &len))
        return none;
    return np_endpoint_from_sockaddr((struct sockaddr *)&address);
}

/* ---- The door ---- */

int np_door_new(uv_loop_t *loop, struct np_tls *tls, const struct np_door_config *config, struct np_door **out_door)
{
    struct np_door *door = calloc(1, sizeof *door);
    if (!door)
        return -ENOMEM;
    door->loop = loop;
    door->tls = tls;
    door->config = *config;
    np_random_bytes(&door->peers.hash_key, sizeof door->peers.hash_key);
    uv_timer_init(loop, &door->sweep);
    uv_timer_init(loop, &door->drain);
    door->sweep.data = door->drain.data = door;
    door->handles = 2;
    *out_door = door;
    return 0;
}

void np_door_drop_all(struct np_door *door)
{
    for (enum np_door_wait wait = 0; wait < NP_DOOR_WAITS; wait++) {
        while (door->queues[wait].first)
            np_door_connection_close(door->queues[wait].first);
    }
}

const struct np_door_stats *np_door_stats(const struct np_door *door)
{
    return &door->stats;
}

void np_door_handle_closed(struct np_door *door)
{
    if (--door->handles > 0 || !door->closing)
        return;
    void (*done)(void *ctx) = door->done;
    void *ctx = door->done_ctx;
    free(door);
    if (done)
        done(ctx);
}

static void on_closed(uv_handle_t *handle)
{
    np_door_handle_closed(handle->data);
}

static void close_listeners(struct np_door *door)
{
    for (size_t i = 0; i < door->listener_count; i++) {
        if (!uv_is_closing(&door->listeners[i].handle.handle))
            uv_close(&door->listeners[i].handle.handle, on_closed);
    }
}

static void on_drained(uv_timer_t *timer)
{
    struct np_door *door = timer->data;
    void (*drained)(void *ctx) = door->drained;
    door->drained = NULL;
    if (drained)
        drained(door->drained_ctx);
}

static void on_drain_limit(uv_timer_t *timer)
{
    np_door_drop_all(timer->data);
}

void np_door_connection_gone(struct np_door *door)
{
    bool empty = door->stats.open + door->stats.refusing == 0;
    if (door->draining && empty && !door->closing) /* from the loop: who drops connections is in the middle of a turn */
        uv_timer_start(&door->drain, on_drained, 0, 0);
}

void np_door_drain(struct np_door *door, unsigned limit_ms, void (*done)(void *ctx), void *ctx)
{
    door->draining = true;
    door->drained = done;
    door->drained_ctx = ctx;
    close_listeners(door);
    uv_timer_start(&door->drain, on_drain_limit, limit_ms, 0);
    end_idle(door);
    np_door_connection_gone(door);
}

void np_door_close(struct np_door *door, void (*done)(void *ctx), void *ctx)
{
    door->closing = true;
    door->done = done;
    door->done_ctx = ctx;
    close_listeners(door);
    uv_close((uv_handle_t *)&door->drain, on_closed);
    uv_close((uv_handle_t *)&door->sweep, on_closed);
    np_door_drop_all(door);
}

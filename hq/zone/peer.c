#include "hq/zone/peer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "resolver/base/error.h"
#include "resolver/base/random.h"
#include "resolver/message.h"

#define TICK_MS 200 /* deadlines are looked at so often while there are any */

/* A message without answer. */
struct pending {
    bool used, sent;
    uint16_t id;
    uint8_t *message;
    size_t len;
    unsigned tries; /* over UDP */
    uint64_t deadline_ms;
};

/* A TCP connection; it outlives the peer by the time libuv takes to close it. */
struct connection {
    uv_tcp_t tcp;
    uv_connect_t connect;
    struct np_peer *peer; /* NULL: given up */
    bool connected;
    size_t len; /* bytes in buffer */
    uint8_t buffer[2 + NP_DNS_MESSAGE_MAX];
};

struct datagrams {
    uv_udp_t udp;
    struct np_peer *peer; /* NULL: given up */
    uint8_t buffer[NP_DNS_MESSAGE_MAX];
};

struct write {
    uv_write_t req;
    uint8_t bytes[];
};

struct np_peer {
    uv_loop_t *loop;
    struct sockaddr_storage address;
    struct np_peer_owner owner;
    struct pending pending[NP_PEER_PENDING_MAX];
    size_t pending_count;
    struct connection *connection;
    struct datagrams *datagrams;
    uv_timer_t timer;
    bool use_udp, tcp_worked;
    bool closing;
    uint64_t udp_until_ms;
    uint64_t idle_since_ms, connect_until_ms;
};

static void on_timer(uv_timer_t *timer);

/* ---- Pending messages ---- */

static struct pending *find(struct np_peer *peer, uint16_t id)
{
    for (size_t i = 0; i < NP_PEER_PENDING_MAX; i++) {
        if (peer->pending[i].used && peer->pending[i].id == id)
            return &peer->pending[i];
    }
    return NULL;
}

static void forget(struct np_peer *peer, struct pending *pending)
{
    free(pending->message);
    *pending = (struct pending){.used = false};
    if (--peer->pending_count == 0)
        peer->idle_since_ms = uv_now(peer->loop);
}

static void lose(struct np_peer *peer, struct pending *pending, int rc)
{
    uint16_t id = pending->id;
    bool sent = pending->sent;
    forget(peer, pending);
    peer->owner.lost(peer->owner.ctx, id, sent, rc);
}

/* The owner may send from his callback: what he sends then is not lost. */
static void lose_all(struct np_peer *peer, int rc)
{
    uint16_t ids[NP_PEER_PENDING_MAX];
    size_t count = 0;
    for (size_t i = 0; i < NP_PEER_PENDING_MAX; i++) {
        if (peer->pending[i].used)
            ids[count++] = peer->pending[i].id;
    }
    for (size_t i = 0; i < count && !peer->closing; i++) {
        struct pending *pending = find(peer, ids[i]);
        if (pending)
            lose(peer, pending, rc);
    }
}

static void take_answer(struct np_peer *peer, const uint8_t *message, size_t len)
{
    struct np_reader r = np_reader_make(message, len);
    uint16_t id = np_read_u16(&r);
    struct pending *pending = r.error ? NULL : find(peer, id);
    if (!pending || !pending->sent || !peer->owner.answer(peer->owner.ctx, id, message, len, pending->tries > 1) ||
        peer->closing)
        return;
    pending = find(peer, id);
    if (pending)
        forget(peer, pending);
}

/* ---- TCP ---- */

static void on_connection_closed(uv_handle_t *handle)
{
    free(handle->data);
}

static void drop_connection(struct np_peer *peer)
{
    struct connection *connection = peer->connection;
    if (!connection)
        return;
    peer->connection = NULL;
    connection->peer = NULL;
    uv_close((uv_handle_t *)&connection->tcp, on_connection_closed);
}

static void fail_connection(struct np_peer *peer, int rc)
{
    bool connected = peer->connection && peer->connection->connected;
    drop_connection(peer);
    if (!connected && !peer->tcp_worked) {
        peer->use_udp = true; /* for the next try; a server that took TCP before is merely away */
        peer->udp_until_ms = uv_now(peer->loop) + NP_PEER_UDP_STAY_MS;
    }
    lose_all(peer, rc);
}

static void on_written(uv_write_t *req, int status)
{
    (void)status; /* the reading side hears of it, too */
    free(req);
}

static int write_message(struct connection *connection, struct pending *pending)
{
    struct write *write = malloc(sizeof *write + 2 + pending->len);
    if (!write)
        return -ENOMEM;
    write->bytes[0] = (uint8_t)(pending->len >> 8);
    write->bytes[1] = (uint8_t)pending->len;
    memcpy(write->bytes + 2, pending->message, pending->len);
    uv_buf_t buf = uv_buf_init((char *)write->bytes, (unsigned)pending->len + 2);
    int rc = uv_write(&write->req, (uv_stream_t *)&connection->tcp, &buf, 1, on_written);
    if (rc) {
        free(write);
        return rc;
    }
    pending->sent = true;
    pending->deadline_ms = uv_now(connection->peer->loop) + NP_PEER_ANSWER_MS;
    return 0;
}

static void write_all(struct np_peer *peer)
{
    for (size_t i = 0; i < NP_PEER_PENDING_MAX; i++) {
        struct pending *pending = &peer->pending[i];
        if (!pending->used || pending->sent)
            continue;
        int rc = write_message(peer->connection, pending);
        if (rc) {
            fail_connection(peer, rc);
            return;
        }
    }
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    struct connection *connection = handle->data;
    (void)suggested;
    *buf = uv_buf_init((char *)connection->buffer + connection->len,
                       (unsigned)(sizeof connection->buffer - connection->len));
}

/* Hands on whole messages from the front of the buffer. */
static void take_messages(struct connection *connection)
{
    size_t pos = 0;
    while (connection->peer && connection->len - pos >= 2) {
        size_t len = (size_t)connection->buffer[pos] << 8 | connection->buffer[pos + 1];
        if (connection->len - pos - 2 < len)
            break;
        take_answer(connection->peer, connection->buffer + pos + 2, len);
        pos += 2 + len;
    }
    connection->len -= pos;
    memmove(connection->buffer, connection->buffer + pos, connection->len);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct connection *connection = stream->data;
    (void)buf;
    if (!connection->peer)
        return;
    if (n < 0) {
        fail_connection(connection->peer, n == UV_EOF ? NP_E_CLOSED : (int)n);
        return;
    }
    connection->len += (size_t)n;
    take_messages(connection);
}

static void on_connected(uv_connect_t *connect, int status)
{
    struct connection *connection = connect->data;
    struct np_peer *peer = connection->peer;
    if (!peer)
        return;
    if (status == 0) {
        connection->connected = peer->tcp_worked = true;
        uv_tcp_nodelay(&connection->tcp, 1);
        status = uv_read_start((uv_stream_t *)&connection->tcp, on_alloc, on_read);
    }
    if (status)
        fail_connection(peer, status);
    else
        write_all(peer);
}

static int open_connection(struct np_peer *peer)
{
    struct connection *connection = calloc(1, sizeof *connection);
    if (!connection)
        return -ENOMEM;
    int rc = uv_tcp_init(peer->loop, &connection->tcp);
    if (rc) {
        free(connection);
        return rc;
    }
    connection->tcp.data = connection->connect.data = connection;
    connection->peer = peer;
    peer->connection = connection;
    peer->connect_until_ms = uv_now(peer->loop) + NP_PEER_CONNECT_MS;
    rc = uv_tcp_connect(&connection->connect, &connection->tcp, (const struct sockaddr *)&peer->address, on_connected);
    if (rc)
        drop_connection(peer);
    return rc;
}

/* ---- UDP ---- */

static void on_udp_closed(uv_handle_t *handle)
{
    free(handle->data);
}

static void drop_datagrams(struct np_peer *peer)
{
    struct datagrams *datagrams = peer->datagrams;
    if (!datagrams)
        return;
    peer->datagrams = NULL;
    datagrams->peer = NULL;
    uv_close((uv_handle_t *)&datagrams->udp, on_udp_closed);
}

/* The next try is over TCP again. */
static void fail_datagrams(struct np_peer *peer, int rc)
{
    drop_datagrams(peer);
    peer->use_udp = false;
    lose_all(peer, rc);
}

static void on_udp_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    struct datagrams *datagrams = handle->data;
    (void)suggested;
    *buf = uv_buf_init((char *)datagrams->buffer, sizeof datagrams->buffer);
}

static void on_datagram(uv_udp_t *udp, ssize_t n, const uv_buf_t *buf, const struct sockaddr *from, unsigned flags)
{
    struct datagrams *datagrams = udp->data;
    struct np_peer *peer = datagrams->peer;
    (void)buf;
    if (!peer || (n == 0 && !from))
        return;
    if (n < 0) {
        fail_datagrams(peer, (int)n);
        return;
    }
    if (!(flags & UV_UDP_PARTIAL))
        take_answer(peer, datagrams->buffer, (size_t)n);
}

static int open_datagrams(struct np_peer *peer)
{
    struct datagrams *datagrams = calloc(1, sizeof *datagrams);
    if (!datagrams)
        return -ENOMEM;
    int rc = uv_udp_init(peer->loop, &datagrams->udp);
    if (rc) {
        free(datagrams);
        return rc;
    }
    datagrams->udp.data = datagrams;
    datagrams->peer = peer;
    peer->datagrams = datagrams;
    rc = uv_udp_connect(&datagrams->udp, (const struct sockaddr *)&peer->address);
    if (rc == 0)
        rc = uv_udp_recv_start(&datagrams->udp, on_udp_alloc, on_datagram);
    if (rc)
        drop_datagrams(peer);
    return rc;
}

static int send_datagram(struct np_peer *peer, struct pending *pending)
{
    uv_buf_t buf = uv_buf_init((char *)pending->message, (unsigned)pending->len);
    int rc = uv_udp_try_send(&peer->datagrams->udp, &buf, 1, NULL);
    if (rc < 0 && rc != -EAGAIN)
        return rc;
    pending->sent = true;
    pending->deadline_ms = uv_now(peer->loop) + ((uint64_t)NP_PEER_UDP_MS << pending->tries);
    pending->tries++;
    return 0;
}

/* ---- Sending ---- */

size_t np_peer_limit(const struct np_peer *peer)
{
    return peer->use_udp ? NP_DNS_UDP_MAX : NP_DNS_MESSAGE_MAX;
}

uint16_t np_peer_id(const struct np_peer *peer)
{
    for (;;) {
        uint16_t id;
        size_t i = 0;
        np_random_bytes(&id, sizeof id);
        while (i < NP_PEER_PENDING_MAX && !(peer->pending[i].used && peer->pending[i].id == id))
            i++;
        if (i == NP_PEER_PENDING_MAX)
            return id;
    }
}

/* From a timer, so that the owner never hears from inside his own call. */
static void start_later(struct np_peer *peer)
{
    uv_timer_start(&peer->timer, on_timer, 0, TICK_MS);
}

int np_peer_send(struct np_peer *peer, uint16_t id, const uint8_t *message, size_t len)
{
    size_t i = 0;
    while (i < NP_PEER_PENDING_MAX && peer->pending[i].used)
        i++;
    if (i == NP_PEER_PENDING_MAX || len > np_peer_limit(peer))
        return NP_E_LIMIT;
    uint8_t *copy = malloc(len);
    if (!copy)
        return -ENOMEM;
    memcpy(copy, message, len);
    peer->pending[i] = (struct pending){
        .used = true, .id = id, .message = copy, .len = len, .deadline_ms = uv_now(peer->loop) + NP_PEER_ANSWER_MS};
    peer->pending_count++;
    if (!peer->use_udp && peer->connection && peer->connection->connected &&
        write_message(peer->connection, &peer->pending[i]) == 0) {
        if (!uv_is_active((uv_handle_t *)&peer->timer))
            uv_timer_start(&peer->timer, on_timer, TICK_MS, TICK_MS);
        return 0;
    }
    start_later(peer);
    return 0;
}

/* Sends what was not sent yet, opening what it takes. */
static void send_waiting(struct np_peer *peer)
{
    int rc = 0;
    if (!peer->use_udp) {
        if (!peer->connection)
            rc = open_connection(peer);
        else if (peer->connection->connected)
            write_all(peer);
        if (rc)
            fail_connection(peer, rc);
        return;
    }
    if (!peer->datagrams)
        rc = open_datagrams(peer);
    for (size_t i = 0; i < NP_PEER_PENDING_MAX && rc == 0; i++) {
        if (peer->pending[i].used && !peer->pending[i].sent)
            rc = send_datagram(peer, &peer->pending[i]);
    }
    if (rc)
        fail_datagrams(peer, rc);
}

/* Messages whose time is over. A TCP connection on which one is not answered is taken for dead. */
static void look_at_deadlines(struct np_peer *peer, uint64_t now_ms)
{
    for (size_t i = 0; i < NP_PEER_PENDING_MAX; i++) {
        struct pending *pending = &peer->pending[i];
        if (!pending->used || pending->deadline_ms > now_ms)
            continue;
        if (!peer->use_udp) {
            fail_connection(peer, -ETIMEDOUT);
            return;
        }
        if (pending->tries >= NP_PEER_UDP_TRIES || send_datagram(peer, pending)) {
            fail_datagrams(peer, -ETIMEDOUT);
            return;
        }
    }
}

static void on_timer(uv_timer_t *timer)
{
    struct np_peer *peer = timer->data;
    uint64_t now_ms = uv_now(peer->loop);
    if (peer->connection && !peer->connection->connected && now_ms >= peer->connect_until_ms) {
        fail_connection(peer, -ETIMEDOUT);
        return;
    }
    if (peer->pending_count > 0) {
        send_waiting(peer);
        if (!peer->closing)
            look_at_deadlines(peer, now_ms);
        return;
    }
    if ((!peer->connection && !peer->datagrams) || now_ms - peer->idle_since_ms >= NP_PEER_IDLE_MS) {
        drop_connection(peer);
        drop_datagrams(peer);
        if (now_ms >= peer->udp_until_ms)
            peer->use_udp = false;
        uv_timer_stop(timer);
    }
}

/* ---- Life ---- */

int np_peer_new(uv_loop_t *loop, const struct np_endpoint *endpoint, const struct np_peer_owner *owner,
                struct np_peer **out_peer)
{
    struct np_peer *peer = calloc(1, sizeof *peer);
    if (!peer)
        return -ENOMEM;
    peer->loop = loop;
    peer->owner = *owner;
    np_endpoint_to_sockaddr(endpoint, &peer->address);
    uv_timer_init(loop, &peer->timer);
    peer->timer.data = peer;
    *out_peer = peer;
    return 0;
}

static void on_peer_closed(uv_handle_t *handle)
{
    free(handle->data);
}

void np_peer_close(struct np_peer *peer)
{
    peer->closing = true;
    drop_connection(peer);
    drop_datagrams(peer);
    for (size_t i = 0; i < NP_PEER_PENDING_MAX; i++)
        free(peer->pending[i].message);
    memset(peer->pending, 0, sizeof peer->pending);
    uv_close((uv_handle_t *)&peer->timer, on_peer_closed);
}

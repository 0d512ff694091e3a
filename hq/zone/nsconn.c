#include "hq/zone/nsconn.h"

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

/* A TCP connection; it outlives the conn by the time libuv takes to close it. */
struct connection {
    uv_tcp_t tcp;
    uv_connect_t connect;
    struct np_nsconn *conn; /* NULL: given up */
    bool connected;
    size_t len; /* bytes in buffer */
    uint8_t buffer[2 + NP_DNS_MESSAGE_MAX];
};

struct datagrams {
    uv_udp_t udp;
    struct np_nsconn *conn; /* NULL: given up */
    uint8_t buffer[NP_DNS_MESSAGE_MAX];
};

struct write {
    uv_write_t req;
    uint8_t bytes[];
};

struct np_nsconn {
    uv_loop_t *loop;
    struct sockaddr_storage address;
    struct np_nsconn_owner owner;
    struct pending pending[NP_NSCONN_PENDING_MAX];
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

static struct pending *find(struct np_nsconn *conn, uint16_t id)
{
    for (size_t i = 0; i < NP_NSCONN_PENDING_MAX; i++) {
        if (conn->pending[i].used && conn->pending[i].id == id)
            return &conn->pending[i];
    }
    return NULL;
}

static void forget(struct np_nsconn *conn, struct pending *pending)
{
    free(pending->message);
    *pending = (struct pending){.used = false};
    if (--conn->pending_count == 0)
        conn->idle_since_ms = uv_now(conn->loop);
}

static void lose(struct np_nsconn *conn, struct pending *pending, int rc)
{
    uint16_t id = pending->id;
    bool sent = pending->sent;
    forget(conn, pending);
    conn->owner.lost(conn->owner.ctx, id, sent, rc);
}

/* The owner may send from his callback: what he sends then is not lost. */
static void lose_all(struct np_nsconn *conn, int rc)
{
    uint16_t ids[NP_NSCONN_PENDING_MAX];
    size_t count = 0;
    for (size_t i = 0; i < NP_NSCONN_PENDING_MAX; i++) {
        if (conn->pending[i].used)
            ids[count++] = conn->pending[i].id;
    }
    for (size_t i = 0; i < count && !conn->closing; i++) {
        struct pending *pending = find(conn, ids[i]);
        if (pending)
            lose(conn, pending, rc);
    }
}

static void take_answer(struct np_nsconn *conn, const uint8_t *message, size_t len)
{
    struct np_reader r = np_reader_make(message, len);
    uint16_t id = np_read_u16(&r);
    struct pending *pending = r.error ? NULL : find(conn, id);
    if (!pending || !pending->sent || !conn->owner.answer(conn->owner.ctx, id, message, len, pending->tries > 1) ||
        conn->closing)
        return;
    pending = find(conn, id);
    if (pending)
        forget(conn, pending);
}

/* ---- TCP ---- */

static void on_connection_closed(uv_handle_t *handle)
{
    free(handle->data);
}

static void drop_connection(struct np_nsconn *conn)
{
    struct connection *connection = conn->connection;
    if (!connection)
        return;
    conn->connection = NULL;
    connection->conn = NULL;
    uv_close((uv_handle_t *)&connection->tcp, on_connection_closed);
}

static void fail_connection(struct np_nsconn *conn, int rc)
{
    bool connected = conn->connection && conn->connection->connected;
    drop_connection(conn);
    if (!connected && !conn->tcp_worked) {
        conn->use_udp = true; /* for the next try; a server that took TCP before is merely away */
        conn->udp_until_ms = uv_now(conn->loop) + NP_NSCONN_UDP_STAY_MS;
    }
    lose_all(conn, rc);
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
    pending->deadline_ms = uv_now(connection->conn->loop) + NP_NSCONN_ANSWER_MS;
    return 0;
}

static void write_all(struct np_nsconn *conn)
{
    for (size_t i = 0; i < NP_NSCONN_PENDING_MAX; i++) {
        struct pending *pending = &conn->pending[i];
        if (!pending->used || pending->sent)
            continue;
        int rc = write_message(conn->connection, pending);
        if (rc) {
            fail_connection(conn, rc);
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
    while (connection->conn && connection->len - pos >= 2) {
        size_t len = (size_t)connection->buffer[pos] << 8 | connection->buffer[pos + 1];
        if (connection->len - pos - 2 < len)
            break;
        take_answer(connection->conn, connection->buffer + pos + 2, len);
        pos += 2 + len;
    }
    connection->len -= pos;
    memmove(connection->buffer, connection->buffer + pos, connection->len);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct connection *connection = stream->data;
    (void)buf;
    if (!connection->conn)
        return;
    if (n < 0) {
        fail_connection(connection->conn, n == UV_EOF ? NP_E_CLOSED : (int)n);
        return;
    }
    connection->len += (size_t)n;
    take_messages(connection);
}

static void on_connected(uv_connect_t *connect, int status)
{
    struct connection *connection = connect->data;
    struct np_nsconn *conn = connection->conn;
    if (!conn)
        return;
    if (status == 0) {
        connection->connected = conn->tcp_worked = true;
        uv_tcp_nodelay(&connection->tcp, 1);
        status = uv_read_start((uv_stream_t *)&connection->tcp, on_alloc, on_read);
    }
    if (status)
        fail_connection(conn, status);
    else
        write_all(conn);
}

static int open_connection(struct np_nsconn *conn)
{
    struct connection *connection = calloc(1, sizeof *connection);
    if (!connection)
        return -ENOMEM;
    int rc = uv_tcp_init(conn->loop, &connection->tcp);
    if (rc) {
        free(connection);
        return rc;
    }
    connection->tcp.data = connection->connect.data = connection;
    connection->conn = conn;
    conn->connection = connection;
    conn->connect_until_ms = uv_now(conn->loop) + NP_NSCONN_CONNECT_MS;
    rc = uv_tcp_connect(&connection->connect, &connection->tcp, (const struct sockaddr *)&conn->address, on_connected);
    if (rc)
        drop_connection(conn);
    return rc;
}

/* ---- UDP ---- */

static void on_udp_closed(uv_handle_t *handle)
{
    free(handle->data);
}

static void drop_datagrams(struct np_nsconn *conn)
{
    struct datagrams *datagrams = conn->datagrams;
    if (!datagrams)
        return;
    conn->datagrams = NULL;
    datagrams->conn = NULL;
    uv_close((uv_handle_t *)&datagrams->udp, on_udp_closed);
}

/* The next try is over TCP again. */
static void fail_datagrams(struct np_nsconn *conn, int rc)
{
    drop_datagrams(conn);
    conn->use_udp = false;
    lose_all(conn, rc);
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
    struct np_nsconn *conn = datagrams->conn;
    (void)buf;
    if (!conn || (n == 0 && !from))
        return;
    if (n < 0) {
        fail_datagrams(conn, (int)n);
        return;
    }
    if (!(flags & UV_UDP_PARTIAL))
        take_answer(conn, datagrams->buffer, (size_t)n);
}

static int open_datagrams(struct np_nsconn *conn)
{
    struct datagrams *datagrams = calloc(1, sizeof *datagrams);
    if (!datagrams)
        return -ENOMEM;
    int rc = uv_udp_init(conn->loop, &datagrams->udp);
    if (rc) {
        free(datagrams);
        return rc;
    }
    datagrams->udp.data = datagrams;
    datagrams->conn = conn;
    conn->datagrams = datagrams;
    rc = uv_udp_connect(&datagrams->udp, (const struct sockaddr *)&conn->address);
    if (rc == 0)
        rc = uv_udp_recv_start(&datagrams->udp, on_udp_alloc, on_datagram);
    if (rc)
        drop_datagrams(conn);
    return rc;
}

static int send_datagram(struct np_nsconn *conn, struct pending *pending)
{
    uv_buf_t buf = uv_buf_init((char *)pending->message, (unsigned)pending->len);
    int rc = uv_udp_try_send(&conn->datagrams->udp, &buf, 1, NULL);
    if (rc < 0 && rc != -EAGAIN)
        return rc;
    pending->sent = true;
    pending->deadline_ms = uv_now(conn->loop) + ((uint64_t)NP_NSCONN_UDP_MS << pending->tries);
    pending->tries++;
    return 0;
}

/* ---- Sending ---- */

size_t np_nsconn_limit(const struct np_nsconn *conn)
{
    return conn->use_udp ? NP_DNS_UDP_MAX : NP_DNS_MESSAGE_MAX;
}

uint16_t np_nsconn_id(const struct np_nsconn *conn)
{
    for (;;) {
        uint16_t id;
        size_t i = 0;
        np_random_bytes(&id, sizeof id);
        while (i < NP_NSCONN_PENDING_MAX && !(conn->pending[i].used && conn->pending[i].id == id))
            i++;
        if (i == NP_NSCONN_PENDING_MAX)
            return id;
    }
}

/* From a timer, so that the owner never hears from inside his own call. */
static void start_later(struct np_nsconn *conn)
{
    uv_timer_start(&conn->timer, on_timer, 0, TICK_MS);
}

int np_nsconn_send(struct np_nsconn *conn, uint16_t id, const uint8_t *message, size_t len)
{
    size_t i = 0;
    while (i < NP_NSCONN_PENDING_MAX && conn->pending[i].used)
        i++;
    if (i == NP_NSCONN_PENDING_MAX || len > np_nsconn_limit(conn))
        return NP_E_LIMIT;
    uint8_t *copy = malloc(len);
    if (!copy)
        return -ENOMEM;
    memcpy(copy, message, len);
    conn->pending[i] = (struct pending){
        .used = true, .id = id, .message = copy, .len = len, .deadline_ms = uv_now(conn->loop) + NP_NSCONN_ANSWER_MS};
    conn->pending_count++;
    if (!conn->use_udp && conn->connection && conn->connection->connected &&
        write_message(conn->connection, &conn->pending[i]) == 0) {
        if (!uv_is_active((uv_handle_t *)&conn->timer))
            uv_timer_start(&conn->timer, on_timer, TICK_MS, TICK_MS);
        return 0;
    }
    start_later(conn);
    return 0;
}

/* Sends what was not sent yet, opening what it takes. */
static void send_waiting(struct np_nsconn *conn)
{
    int rc = 0;
    if (!conn->use_udp) {
        if (!conn->connection)
            rc = open_connection(conn);
        else if (conn->connection->connected)
            write_all(conn);
        if (rc)
            fail_connection(conn, rc);
        return;
    }
    if (!conn->datagrams)
        rc = open_datagrams(conn);
    for (size_t i = 0; i < NP_NSCONN_PENDING_MAX && rc == 0; i++) {
        if (conn->pending[i].used && !conn->pending[i].sent)
            rc = send_datagram(conn, &conn->pending[i]);
    }
    if (rc)
        fail_datagrams(conn, rc);
}

/* Messages whose time is over. A TCP connection on which one is not answered is taken for dead. */
static void look_at_deadlines(struct np_nsconn *conn, uint64_t now_ms)
{
    for (size_t i = 0; i < NP_NSCONN_PENDING_MAX; i++) {
        struct pending *pending = &conn->pending[i];
        if (!pending->used || pending->deadline_ms > now_ms)
            continue;
        if (!conn->use_udp) {
            fail_connection(conn, -ETIMEDOUT);
            return;
        }
        if (pending->tries >= NP_NSCONN_UDP_TRIES || send_datagram(conn, pending)) {
            fail_datagrams(conn, -ETIMEDOUT);
            return;
        }
    }
}

static void on_timer(uv_timer_t *timer)
{
    struct np_nsconn *conn = timer->data;
    uint64_t now_ms = uv_now(conn->loop);
    if (conn->connection && !conn->connection->connected && now_ms >= conn->connect_until_ms) {
        fail_connection(conn, -ETIMEDOUT);
        return;
    }
    if (conn->pending_count > 0) {
        send_waiting(conn);
        if (!conn->closing)
            look_at_deadlines(conn, now_ms);
        return;
    }
    if ((!conn->connection && !conn->datagrams) || now_ms - conn->idle_since_ms >= NP_NSCONN_IDLE_MS) {
        drop_connection(conn);
        drop_datagrams(conn);
        if (now_ms >= conn->udp_until_ms)
            conn->use_udp = false;
        uv_timer_stop(timer);
    }
}

/* ---- Life ---- */

int np_nsconn_new(uv_loop_t *loop, const struct np_endpoint *endpoint, const struct np_nsconn_owner *owner,
                  struct np_nsconn **out_peer)
{
    struct np_nsconn *conn = calloc(1, sizeof *conn);
    if (!conn)
        return -ENOMEM;
    conn->loop = loop;
    conn->owner = *owner;
    np_endpoint_to_sockaddr(endpoint, &conn->address);
    uv_timer_init(loop, &conn->timer);
    conn->timer.data = conn;
    *out_peer = conn;
    return 0;
}

static void on_conn_closed(uv_handle_t *handle)
{
    free(handle->data);
}

void np_nsconn_close(struct np_nsconn *conn)
{
    conn->closing = true;
    drop_connection(conn);
    drop_datagrams(conn);
    for (size_t i = 0; i < NP_NSCONN_PENDING_MAX; i++)
        free(conn->pending[i].message);
    memset(conn->pending, 0, sizeof conn->pending);
    uv_close((uv_handle_t *)&conn->timer, on_conn_closed);
}

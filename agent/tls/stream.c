#include "agent/tls/stream.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "resolver/base/error.h"
#include "resolver/base/text.h"

#define SERVER_NAME_MAX 253

/* Room for one outgoing record. Separate from the incoming one, so that both directions flow at once: with BearSSL's
 * shared buffer a peer that only writes while we only write would stop the two for ever. Half of the largest record
 * costs 2 % of the throughput and saves 8 KiB a connection. */
#define OUT_RECORD (8192 + (BR_SSL_BUFSIZE_OUTPUT - 16384))

/* Bytes read at once where the engine wants fewer. It asks for a record's head and then for its body, which for a DNS
 * query would be two reads of a few bytes each. */
#define AHEAD 2048

enum stream_state {
    STATE_CONNECTING,
    STATE_HANDSHAKE,
    STATE_OPEN,
    STATE_CLOSING,  /* close_notify is on its way; what comes in is thrown away */
    STATE_FINISHED, /* the engine is done; its last record is still being written */
    STATE_CLOSED    /* handles are closing, on_closed comes from the last of them */
};

struct np_stream {
    struct np_stream_options options;
    enum stream_state state;
    uv_tcp_t tcp;
    uv_timer_t timer;
    uv_connect_t connect;
    uv_write_t write;
    size_t write_len; /* bytes under way in write */
    unsigned open_handles;
    uint64_t active_ms; /* uv_now of the last byte either way */
    bool reading, writing;
    bool paused;  /* the owner took less than was offered */
    bool blocked; /* the owner was told that there is no room */
    bool pumping, again;
    bool close_sent;
    bool public;    /* a client of np_stream_connect_public */
    bool resumable; /* a session was offered */
    uint8_t offered_id[32];
    bool silent; /* no on_closed: the creating function failed and said so itself */
    int err;
    const char *why;
    br_ssl_engine_context *engine;
    const char *protocols[1];         /* ALPN: the engine points to it */
    struct np_tls_identity *identity; /* server */
    union {
        struct {
            br_ssl_client_context context;
            union {
                br_x509_minimal_context own; /* HQ's, by the vendor's anchors */
                struct np_server_check public;
            } x509;
        } client;
        br_ssl_server_context server;
    } tls;
    size_t ahead_pos, ahead_len; /* of ahead: what the engine has taken, and what was read */
    uint8_t ahead[AHEAD];
    uint8_t in[BR_SSL_BUFSIZE_INPUT];
    uint8_t out[OUT_RECORD];
};

static void pump(struct np_stream *stream);

/* The end. */

static void on_handle_closed(uv_handle_t *handle)
{
    struct np_stream *stream = handle->data;
    if (--stream->open_handles > 0)
        return;
    if (!stream->silent)
        stream->options.events.on_closed(stream->options.ctx, stream->err, stream->why);
    np_tls_identity_unref(stream->identity);
    if (stream->public)
        np_server_check_deinit(&stream->tls.client.x509.public);
    np_wipe(stream, sizeof *stream); /* session keys, and what the home talks about */
    free(stream);
}

/* Closes the handles. The first reason wins; an end that the owner asked for is no error whatever the peer did. */
static void finish(struct np_stream *stream, int err, const char *why)
{
    if (stream->state == STATE_CLOSED)
        return;
    if (stream->state < STATE_CLOSING) {
        stream->err = err;
        stream->why = why ? why : err ? np_strerror(err) : "closed";
    }
    stream->state = STATE_CLOSED;
    uv_close((uv_handle_t *)&stream->tcp, on_handle_closed);
    uv_close((uv_handle_t *)&stream->timer, on_handle_closed);
}

/* The deadlines. */

static void arm(struct np_stream *stream, uint64_t delay_ms);

static void on_timer(uv_timer_t *timer)
{
    struct np_stream *stream = timer->data;
    uint64_t idle_ms = uv_now(stream->options.loop) - stream->active_ms;
    switch (stream->state) {
    case STATE_CONNECTING:
        finish(stream, -ETIMEDOUT, "no connection in time");
        break;
    case STATE_HANDSHAKE:
        finish(stream, -ETIMEDOUT, "no TLS handshake in time");
        break;
    case STATE_OPEN:
        if (idle_ms >= stream->options.idle_ms)
            finish(stream, -ETIMEDOUT, "idle for too long");
        else
            arm(stream, stream->options.idle_ms - idle_ms);
        break;
    default:
        /* What was written before the close gets the time that an open stream has; a paused client is not cut. */
        if (stream->writing && idle_ms < stream->options.idle_ms)
            arm(stream, stream->options.idle_ms - idle_ms);
        else
            finish(stream, stream->err, stream->why);
    }
}

static void arm(struct np_stream *stream, uint64_t delay_ms)
{
    uv_timer_start(&stream->timer, on_timer, delay_ms, 0);
}

static uint64_t close_ms(const struct np_stream *stream)
{
    return stream->options.close_ms ? stream->options.close_ms : NP_STREAM_CLOSE_MS;
}

/* Records in and out. */

static void on_written(uv_write_t *write, int status)
{
    struct np_stream *stream = write->data;
    stream->writing = false;
    if (stream->state == STATE_CLOSED)
        return;
    if (status < 0) {
        finish(stream, status, NULL);
        return;
    }
    stream->active_ms = uv_now(stream->options.loop);
    if (stream->state == STATE_CLOSING)
        arm(stream, close_ms(stream));   /* anew: the peer was still taking */
    if (stream->state != STATE_FINISHED) /* else there is nothing to acknowledge any more */
        br_ssl_engine_sendrec_ack(stream->engine, stream->write_len);
    pump(stream);
}

/* Sends the records that are ready. What the socket does not take at once stays in the engine's buffer, which nobody
 * touches until on_written. Calls nobody. */
static void send_records(struct np_stream *stream)
{
    while (!stream->writing && stream->state != STATE_CLOSED && stream->state != STATE_CONNECTING) {
        size_t len;
        unsigned char *record = br_ssl_engine_sendrec_buf(stream->engine, &len);
        if (!record)
            return;
        uv_buf_t buf = uv_buf_init((char *)record, (unsigned)len);
        int n = uv_try_write((uv_stream_t *)&stream->tcp, &buf, 1);
        if (n > 0) {
            stream->active_ms = uv_now(stream->options.loop);
            br_ssl_engine_sendrec_ack(stream->engine, (size_t)n);
            continue;
        }
        int rc = n == UV_EAGAIN ? uv_write(&stream->write, (uv_stream_t *)&stream->tcp, &buf, 1, on_written) : n;
        if (rc < 0)
            finish(stream, rc, NULL);
        stream->writing = rc >= 0;
        stream->write_len = len;
    }
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    struct np_stream *stream = handle->data;
    size_t len = 0;
    unsigned char *record = br_ssl_engine_recvrec_buf(stream->engine, &len);
    (void)suggested;
    if (record && len < sizeof stream->ahead)
        *buf = uv_buf_init((char *)stream->ahead, sizeof stream->ahead);
    else
        *buf = uv_buf_init((char *)record, record ? (unsigned)len : 0); /* length 0: on_read gets UV_ENOBUFS */
}

/* Gives the engine what was read ahead. True when it took some. */
static bool feed(struct np_stream *stream)
{
    size_t left = stream->ahead_len - stream->ahead_pos, len;
    unsigned char *record = left > 0 ? br_ssl_engine_recvrec_buf(stream->engine, &len) : NULL;
    if (!record)
        return false;
    if (len > left)
        len = left;
    memcpy(record, stream->ahead + stream->ahead_pos, len);
    stream->ahead_pos += len;
    br_ssl_engine_recvrec_ack(stream->engine, len);
    return true;
}

static void on_read(uv_stream_t *tcp, ssize_t n, const uv_buf_t *buf)
{
    struct np_stream *stream = tcp->data;
    if (n > 0) {
        stream->active_ms = uv_now(stream->options.loop);
        if (buf->base == (char *)stream->ahead) {
            stream->ahead_pos = 0;
            stream->ahead_len = (size_t)n;
        } else {
            br_ssl_engine_recvrec_ack(stream->engine, (size_t)n);
        }
        pump(stream);
    } else if (n == UV_EOF) {
        finish(stream, NP_E_CLOSED,
               stream->state == STATE_HANDSHAKE ? "the peer closed during the TLS handshake"
                                                : "the peer closed without close_notify");
    } else if (n < 0 && n != UV_ENOBUFS) {
        finish(stream, (int)n, NULL);
    }
}

/* Reads from the socket exactly while the engine wants a record and has taken what was read before: that is the
 * back-pressure. */
static void set_reading(struct np_stream *stream, bool wanted)
{
    if (wanted == stream->reading || stream->state == STATE_CLOSED)
        return;
    stream->reading = wanted;
    if (!wanted) {
        uv_read_stop((uv_stream_t *)&stream->tcp);
        return;
    }
    int rc = uv_read_start((uv_stream_t *)&stream->tcp, on_alloc, on_read);
    if (rc < 0)
        finish(stream, rc, NULL);
}

/* Tells a server what is wrong with its certificate. Neither side encrypts yet at that point of the handshake. */
static void send_alert(struct np_stream *stream, int error)
{
    uint8_t alert[7] = {21, 3, 3, 0, 2, 2, (uint8_t)np_tls_error_alert(error)};
    uv_buf_t buf = uv_buf_init((char *)alert, sizeof alert);
    if (alert[6] && stream->state == STATE_HANDSHAKE && !stream->writing)
        uv_try_write((uv_stream_t *)&stream->tcp, &buf, 1);
}

/* The engine has closed: in order (both close_notify, or the peer's), or by an error. */
static void engine_closed(struct np_stream *stream)
{
    int error = br_ssl_engine_last_error(stream->engine);
    const char *why = error ? np_tls_error_text(error) : "closed";
    send_alert(stream, error);
    if (!stream->writing) {
        finish(stream, np_tls_error_code(error), why);
        return;
    }
    /* Our close_notify or alert is still on its way. */
    if (stream->state < STATE_CLOSING) {
        stream->err = np_tls_error_code(error);
        stream->why = why;
    }
    stream->state = STATE_FINISHED;
    arm(stream, close_ms(stream));
    set_reading(stream, false);
}

/* Offers decrypted bytes to the owner. True when some were taken. */
static bool deliver(struct np_stream *stream)
{
    size_t len;
    unsigned char *data = br_ssl_engine_recvapp_buf(stream->engine, &len);
    if (!data || stream->paused || !stream->options.events.on_data)
        return false;
    stream->paused = true; /* before the call: np_stream_resume inside it must not be undone */
    size_t taken = stream->options.events.on_data(stream->options.ctx, stream, data, len);
    if (taken >= len) {
        stream->paused = false;
        taken = len;
    }
    if (stream->state == STATE_CLOSED || taken == 0)
        return false;
    br_ssl_engine_recvapp_ack(stream->engine, taken);
    return true;
}

/* Starts the close. Data that nobody will read is thrown away first: afterwards the engine neither hands it out nor
 * passes over it, and would wait for ever. What comes in later it drops by itself. */
static void send_close(struct np_stream *stream)
{
    size_t len;
    stream->close_sent = true;
    if (br_ssl_engine_recvapp_buf(stream->engine, &len))
        br_ssl_engine_recvapp_ack(stream->engine, len);
    br_ssl_engine_close(stream->engine);
}

/* One round: records out, then what the engine's state allows. True when something moved. */
static bool pump_once(struct np_stream *stream)
{
    const struct np_stream_events *events = &stream->options.events;
    send_records(stream);
    if (stream->state == STATE_CLOSED)
        return false;
    if (stream->state == STATE_CLOSING && !stream->close_sent) {
        send_close(stream);
        return true;
    }
    unsigned state = br_ssl_engine_current_state(stream->engine);
    if (state & BR_SSL_CLOSED) {
        engine_closed(stream);
        return false;
    }
    if (stream->state == STATE_HANDSHAKE && (state & (BR_SSL_SENDAPP | BR_SSL_RECVAPP))) {
        stream->state = STATE_OPEN;
        if (stream->options.idle_ms)
            arm(stream, stream->options.idle_ms);
        else
            uv_timer_stop(&stream->timer);
        if (events->on_ready)
            events->on_ready(stream->options.ctx, stream);
        return true;
    }
    if ((state & BR_SSL_RECVAPP) && deliver(stream))
        return true;
    if (stream->state == STATE_OPEN && (state & BR_SSL_SENDAPP) && stream->blocked) {
        stream->blocked = false;
        if (events->on_writable)
            events->on_writable(stream->options.ctx, stream);
        return true;
    }
    if (feed(stream))
        return true;
    set_reading(stream, br_ssl_engine_current_state(stream->engine) & BR_SSL_RECVREC);
    return false;
}

/* Moves everything that can move. Callbacks that come back into this file only mark that there is more to do. */
static void pump(struct np_stream *stream)
{
    if (stream->pumping) {
        stream->again = true;
        return;
    }
    stream->pumping = true;
    do {
        stream->again = false;
        while (stream->state != STATE_CLOSED && stream->state != STATE_FINISHED && pump_once(stream))
            ;
    } while (stream->again && stream->state != STATE_CLOSED && stream->state != STATE_FINISHED);
    stream->pumping = false;
    if (stream->state == STATE_FINISHED && !stream->writing)
        finish(stream, stream->err, stream->why);
}

/* The beginning. */

static struct np_stream *stream_alloc(const struct np_stream_options *options)
{
    struct np_stream *stream = malloc(sizeof *stream);
    if (!stream)
        return NULL;
    /* The buffers stay as they are: pages of theirs that no large record has touched cost nothing. */
    memset(stream, 0, offsetof(struct np_stream, ahead));
    stream->options = *options;
    stream->why = "closed";
    stream->active_ms = uv_now(options->loop);
    stream->tcp.data = stream->timer.data = stream->connect.data = stream->write.data = stream;
    return stream;
}

/* After the profile, before the reset. */
static void engine_prepare(struct np_stream *stream)
{
    stream->protocols[0] = stream->options.protocol ? stream->options.protocol : "http/1.1";
    br_ssl_engine_set_protocol_names(stream->engine, stream->protocols, 1);
    if (stream->options.protocol_required)
        br_ssl_engine_add_flags(stream->engine, BR_OPT_FAIL_ON_ALPN_MISMATCH);
    br_ssl_engine_set_buffers_bidi(stream->engine, stream->in, sizeof stream->in, stream->out, sizeof stream->out);
}

/* From here on the memory goes through finish(). */
static int stream_open_handles(struct np_stream *stream)
{
    int rc = uv_tcp_init(stream->options.loop, &stream->tcp);
    if (rc < 0)
        return rc;
    uv_timer_init(stream->options.loop, &stream->timer);
    stream->open_handles = 2;
    arm(stream, stream->options.handshake_ms);
    return 0;
}

static void stream_discard(struct np_stream *stream)
{
    stream->silent = true;
    if (stream->open_handles > 0) {
        finish(stream, 0, NULL);
    } else {
        np_tls_identity_unref(stream->identity);
        free(stream); /* no handshake has begun: a check holds nothing yet */
    }
}

static void begin_handshake(struct np_stream *stream)
{
    stream->state = STATE_HANDSHAKE;
    uv_tcp_nodelay(&stream->tcp, 1); /* Nagle and delayed ACK cost 40 ms a handshake */
    pump(stream);
}

static void on_connected(uv_connect_t *connect, int status)
{
    struct np_stream *stream = connect->data;
    if (stream->state == STATE_CLOSED)
        return;
    if (status < 0)
        finish(stream, status, NULL);
    else
        begin_handshake(stream);
}

/* The profile is set: resets the engine and connects. The stream is gone where this fails. */
static int connect_take(struct np_stream *stream, const struct np_endpoint *remote, const char *server_name,
                        bool resume)
{
    struct sockaddr_storage address;
    br_ssl_client_context *client = &stream->tls.client.context;
    const char *name = server_name[0] ? server_name : NULL;
    int rc = np_endpoint_to_sockaddr(remote, &address) ? 0 : -EAFNOSUPPORT;
    if (rc == 0 && !br_ssl_client_reset(client, name, resume))
        rc = np_tls_error_code(br_ssl_engine_last_error(stream->engine));
    if (rc == 0)
        rc = stream_open_handles(stream);
    if (rc == 0)
        rc = uv_tcp_connect(&stream->connect, &stream->tcp, (const struct sockaddr *)&address, on_connected);
    if (rc < 0)
        stream_discard(stream);
    return rc;
}

int np_stream_connect(const struct np_stream_options *options, const struct np_endpoint *remote,
                      const char *server_name, const struct np_tls_anchors *anchors, int64_t now_s,
                      struct np_stream **out_stream)
{
    if (!server_name || !*server_name || strlen(server_name) > SERVER_NAME_MAX)
        return NP_E_NAME;
    struct np_stream *stream = stream_alloc(options);
    if (!stream)
        return -ENOMEM;
    br_ssl_client_context *client = &stream->tls.client.context;
    np_tls_profile_client(client, &stream->tls.client.x509.own, anchors, now_s);
    stream->engine = &client->eng;
    engine_prepare(stream);
    int rc = connect_take(stream, remote, server_name, false);
    if (rc == 0)
        *out_stream = stream;
    return rc;
}

int np_stream_connect_public(const struct np_stream_options *options, const struct np_stream_target *target,
                             struct np_stream **out_stream)
{
    const br_ssl_session_parameters *session = target->session;
    if ((target->rules.anchors && !target->server_name[0]) || strlen(target->server_name) > SERVER_NAME_MAX)
        return NP_E_NAME;
    struct np_stream *stream = stream_alloc(options);
    if (!stream)
        return -ENOMEM;
    br_ssl_client_context *client = &stream->tls.client.context;
    np_tls_profile_public(client);
    np_server_check_init(&stream->tls.client.x509.public, &target->rules, client);
    stream->public = true;
    stream->engine = &client->eng;
    engine_prepare(stream);
    if (session && session->session_id_len == sizeof stream->offered_id) {
        br_ssl_engine_set_session_parameters(stream->engine, session);
        memcpy(stream->offered_id, session->session_id, sizeof stream->offered_id);
        stream->resumable = true;
    }
    int rc = connect_take(stream, &target->remote, target->server_name, stream->resumable);
    if (rc == 0)
        *out_stream = stream;
    return rc;
}

bool np_stream_peer_digest(const struct np_stream *stream, uint8_t out_digest[32])
{
    if (!stream->public || stream->tls.client.x509.public.rules.anchors ||
        stream->tls.client.x509.public.certificate == 0)
        return false;
    br_sha256_out(&stream->tls.client.x509.public.digest, out_digest);
    return true;
}

int np_stream_accept(const struct np_stream_options *options, int fd, struct np_tls_identity *identity,
                     br_ssl_session_cache_lru *cache, struct np_stream **out_stream)
{
    struct np_stream *stream = stream_alloc(options);
    if (!stream)
        return -ENOMEM;
    br_ssl_server_context *server = &stream->tls.server;
    stream->identity = np_tls_identity_ref(identity);
    np_tls_profile_server(server, identity, cache);
    stream->engine = &server->eng;
    engine_prepare(stream);
    int rc = br_ssl_server_reset(server) ? stream_open_handles(stream)
                                         : np_tls_error_code(br_ssl_engine_last_error(stream->engine));
    if (rc == 0)
        rc = uv_tcp_open(&stream->tcp, fd);
    if (rc < 0) {
        stream_discard(stream);
        return rc;
    }
    begin_handshake(stream);
    *out_stream = stream;
    return 0;
}

/* What the owner calls. */

bool np_stream_session(const struct np_stream *stream, br_ssl_session_parameters *out_session)
{
    br_ssl_engine_get_session_parameters(stream->engine, out_session);
    return stream->resumable && out_session->session_id_len == sizeof stream->offered_id &&
           memcmp(out_session->session_id, stream->offered_id, sizeof stream->offered_id) == 0;
}

const char *np_stream_server_name(const struct np_stream *stream)
{
    const char *name = br_ssl_engine_get_server_name(stream->engine);
    return name ? name : "";
}

size_t np_stream_room(struct np_stream *stream)
{
    size_t len = 0;
    if (stream->state != STATE_OPEN)
        return 0;
    if (!br_ssl_engine_sendapp_buf(stream->engine, &len)) {
        stream->blocked = true;
        return 0;
    }
    return len;
}

size_t np_stream_write(struct np_stream *stream, const void *data, size_t len)
{
    size_t taken = 0;
    while (taken < len && stream->state == STATE_OPEN) {
        size_t room;
        unsigned char *to = br_ssl_engine_sendapp_buf(stream->engine, &room);
        if (!to) {
            stream->blocked = true;
            break;
        }
        size_t n = len - taken < room ? len - taken : room;
        memcpy(to, (const uint8_t *)data + taken, n);
        br_ssl_engine_sendapp_ack(stream->engine, n);
        br_ssl_engine_flush(stream->engine, 0);
        taken += n;
        send_records(stream);
    }
    return taken;
}

void np_stream_resume(struct np_stream *stream)
{
    stream->paused = false;
    pump(stream);
}

void np_stream_close(struct np_stream *stream)
{
    if (stream->state >= STATE_CLOSING)
        return;
    stream->err = 0;
    stream->why = "closed";
    if (stream->state == STATE_CONNECTING) {
        np_stream_abort(stream);
        return;
    }
    stream->state = STATE_CLOSING;
    arm(stream, close_ms(stream));
    pump(stream);
}

void np_stream_abort(struct np_stream *stream)
{
    finish(stream, 0, NULL);
}

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/front/forward.h"
#include "agent/front/front_private.h"
#include "resolver/base/error.h"

/* Sends what is left of the answer. True when it has left, and the connection goes on. */
static bool send_on(struct np_front_connection *connection)
{
    connection->out_pos += np_front_connection_write(connection, connection->out + connection->out_pos,
                                                     connection->out_len - connection->out_pos);
    if (connection->out_pos < connection->out_len)
        return false;
    free(connection->out);
    connection->out = NULL;
    if (connection->out_last) {
        np_front_connection_end(connection);
        return false;
    }
    np_front_connection_due(connection, connection->in_len ? NP_FRONT_HEAD_MS : NP_FRONT_KEEP_MS);
    return true;
}

static struct np_answer_place place_of(const struct np_front_connection *connection)
{
    return (struct np_answer_place){.secure = connection->client.tls,
                                    .backend_failed = connection->backend_failed,
                                    .local = connection->client.local};
}

/* Answers the head that was received; parsed is np_request_parse's result, not 0. */
static void answer(struct np_front_connection *connection, long parsed, const struct np_request *request)
{
    struct np_front *front = connection->front;
    struct np_answer_facts facts = np_front_facts(front);
    struct np_answer_place place = place_of(connection);
    uint8_t *out = malloc(NP_ANSWER_MAX);
    if (!out) {
        np_front_connection_abort(connection);
        return;
    }
    struct np_writer w = np_writer_make(out, NP_ANSWER_MAX);
    bool keep_alive = ++connection->requests < NP_FRONT_REQUESTS_MAX && !connection->out_last;
    if (connection->tcp && connection->backend_failed)
        keep_alive = false; /* the next request may find it */
    if (parsed > 0)
        np_answer_write(&w, &facts, &place, request, &keep_alive);
    else
        np_answer_write_error(&w, parsed);
    front->stats.requests++;
    uint8_t *fitting = realloc(out, w.pos); /* many slow clients may hold one */
    connection->out = fitting ? fitting : out;
    connection->out_pos = 0;
    connection->out_len = w.pos;
    connection->out_last = parsed < 0 || !keep_alive;
    np_front_connection_due(connection, NP_FRONT_ANSWER_MS);
}

/* The backend for a request over http; NULL: the front answers. */
static const struct np_endpoint *backend_for(const struct np_front_connection *connection,
                                             const struct np_request *request)
{
    const struct np_front *front = connection->front;
    struct np_answer_facts facts = np_front_facts(front);
    struct np_answer_place place = place_of(connection);
    if (!np_answer_to_backend(&facts, &place, request))
        return NULL;
    return np_front_settings_backend(&front->settings, &front->view, request->host);
}

/* Gives the head, and what came behind it, to the backend. Both are kept until it is there. */
static void hand_on(struct np_front_connection *connection, size_t head_len, const struct np_request *request,
                    const struct np_endpoint *backend)
{
    size_t size = NP_PROXY_MAX + connection->in_len + NP_FORWARD_MORE;
    uint8_t *out = malloc(size);
    if (!out) {
        np_front_connection_abort(connection);
        return;
    }
    struct np_writer w = np_writer_make(out, size);
    np_front_relay_introduce(connection, &w);
    np_forward_head(&w, connection->in, head_len, request);
    np_write_bytes(&w, connection->in + head_len, connection->in_len - head_len);
    connection->out = out;
    connection->out_pos = 0;
    connection->out_len = w.pos;
    np_front_relay_start(connection, backend);
}

/* Answers the whole heads that are there, one after the other. */
static void process(struct np_front_connection *connection)
{
    struct np_request request;
    while (connection->mode == NP_FRONT_HTTP && connection->in_len > 0 && !connection->out && !connection->ending) {
        long parsed = np_request_parse(connection->in, connection->in_len, &request);
        if (parsed == 0)
            return;
        const struct np_endpoint *backend = parsed > 0 ? backend_for(connection, &request) : NULL;
        if (backend) {
            hand_on(connection, (size_t)parsed, &request, backend);
            return;
        }
        size_t used = parsed > 0 ? (size_t)parsed : connection->in_len;
        connection->in_len -= used;
        memmove(connection->in, connection->in + used, connection->in_len);
        answer(connection, parsed, &request);
        if (connection->ending || !send_on(connection))
            return;
    }
}

void np_front_http_start(struct np_front_connection *connection)
{
    connection->mode = NP_FRONT_HTTP;
    np_front_connection_due(connection, NP_FRONT_HEAD_MS);
}

size_t np_front_http_data(struct np_front_connection *connection, const uint8_t *data, size_t len)
{
    size_t taken = 0;
    while (taken < len && connection->mode == NP_FRONT_HTTP && !connection->out && !connection->ending) {
        if (!connection->in && !(connection->in = malloc(NP_REQUEST_HEAD_MAX))) {
            np_front_connection_abort(connection);
            break;
        }
        size_t n = NP_REQUEST_HEAD_MAX - connection->in_len;
        if (n > len - taken)
            n = len - taken;
        if (connection->in_len == 0)
            np_front_connection_due(connection, NP_FRONT_HEAD_MS);
        memcpy(connection->in + connection->in_len, data + taken, n);
        connection->in_len += n;
        taken += n;
        process(connection); /* a full buffer is always answered */
    }
    if (connection->in_len == 0) {
        free(connection->in); /* idle connections are the most frequent ones */
        connection->in = NULL;
    }
    return connection->ending ? len : taken;
}

void np_front_http_retry(struct np_front_connection *connection)
{
    process(connection);
}

void np_front_http_writable(struct np_front_connection *connection)
{
    if (!connection->out || !send_on(connection))
        return;
    process(connection);
    if (!connection->out && !connection->ending)
        np_front_connection_resume(connection);
}

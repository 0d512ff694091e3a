#include "agent/tls/hqclient.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/tls/lookup.h"
#include "agent/tls/stream.h"
#include "resolver/base/error.h"
#include "resolver/base/text.h"

#define HEAD_MAX   4096 /* bytes of a request's head: a path, a token, an ETag */
#define VALUE_MAX  90   /* characters of a media type, token or ETag that is sent */
#define HTTPS_PORT 443
#define HOST_MAX   253

/* One connection, or the try at one. It outlives the client's interest in it: client is NULL then. */
struct connection {
    struct np_hqclient *client;
    struct np_stream *stream;
    bool ready, reused, answering;
};

/* Where HQ is. */
struct place {
    char host[HOST_MAX + 1];
    uint16_t port;
};

struct np_hqclient {
    uv_loop_t *loop;
    uv_timer_t timer;
    struct place places[NP_HQCLIENT_URLS_MAX];
    size_t place_count, place; /* place: the one that is asked now */
    const struct np_tls_anchors *anchors;
    int64_t (*now_s)(void *ctx);
    void *now_ctx;
    struct np_endpoint servers[NP_HQCLIENT_SERVERS_MAX];
    size_t server_count;
    struct np_lookup *lookup;
    struct np_addr addresses[NP_LOOKUP_ADDRESSES_MAX];
    size_t address_count, address_next;
    struct connection *tries[NP_LOOKUP_ADDRESSES_MAX]; /* by address; NULL: not begun, or over */
    int try_err;                                       /* what is reported when all of them fail */
    char try_why[NP_HQCLIENT_WHY_MAX];
    struct connection *connection; /* the one that came through */
    np_hq_done_fn *done;           /* NULL: no request under way */
    void *done_ctx;
    char *wire;
    size_t wire_len, wire_sent;
    bool head;
    int64_t judge_s; /* of the request */
    struct np_http_parser *parser;
    void (*closed)(void *ctx);
    void *closed_ctx;
};

static void begin(struct np_hqclient *client);
static void connect_next(struct np_hqclient *client);

static int parse_url(const char *url, struct place *out_place)
{
    int64_t port = HTTPS_PORT;
    char number[8];
    if (strncmp(url, "https://", 8) != 0)
        return NP_E_MALFORMED;
    const char *start = url + 8;
    size_t len = strcspn(start, ":/"), digits = 0;
    const char *rest = start + len;
    if (len > HOST_MAX)
        return NP_E_MALFORMED;
    memcpy(out_place->host, start, len);
    out_place->host[len] = 0;
    if (*rest == ':') {
        digits = strcspn(rest + 1, "/");
        snprintf(number, sizeof number, "%.*s", (int)(digits < 7 ? digits : 7), rest + 1);
        if (np_parse_int(number, 1, 65535, &port))
            return NP_E_MALFORMED;
        rest += 1 + digits;
    }
    out_place->port = (uint16_t)port;
    return np_is_hostname(out_place->host) && (!*rest || strcmp(rest, "/") == 0) ? 0 : NP_E_MALFORMED;
}

int np_hqclient_new(uv_loop_t *loop, const char *url, const struct np_tls_anchors *anchors, int64_t (*now_s)(void *ctx),
                    void *ctx, struct np_hqclient **out_client)
{
    struct place place;
    int rc = parse_url(url, &place);
    if (rc)
        return rc;
    struct np_hqclient *client = calloc(1, sizeof *client);
    if (!client || !(client->parser = malloc(sizeof *client->parser))) {
        free(client);
        return -ENOMEM;
    }
    client->loop = loop;
    client->places[client->place_count++] = place;
    client->anchors = anchors;
    client->now_s = now_s;
    client->now_ctx = ctx;
    uv_timer_init(loop, &client->timer);
    client->timer.data = client;
    *out_client = client;
    return 0;
}

int np_hqclient_add_url(struct np_hqclient *client, const char *url)
{
    if (client->place_count == NP_HQCLIENT_URLS_MAX)
        return NP_E_LIMIT;
    int rc = parse_url(url, &client->places[client->place_count]);
    client->place_count += rc == 0;
    return rc;
}

static const struct place *place_of(const struct np_hqclient *client)
{
    return &client->places[client->place];
}

const char *np_hqclient_host(const struct np_hqclient *client)
{
    return place_of(client)->host;
}

void np_hqclient_set_servers(struct np_hqclient *client, const struct np_endpoint *servers, size_t count)
{
    client->server_count = count < NP_HQCLIENT_SERVERS_MAX ? count : NP_HQCLIENT_SERVERS_MAX;
    for (size_t i = 0; i < client->server_count; i++)
        client->servers[i] = servers[i];
}

/* Lets go of a connection: politely while it is idle, at once in the middle of something. */
static void let_go(struct connection **connection, bool politely)
{
    struct connection *gone = *connection;
    if (!gone)
        return;
    *connection = NULL;
    gone->client = NULL;
    if (politely)
        np_stream_close(gone->stream);
    else
        np_stream_abort(gone->stream);
}

static void drop_connection(struct np_hqclient *client, bool politely)
{
    let_go(&client->connection, politely);
}

static void drop_tries(struct np_hqclient *client)
{
    for (size_t i = 0; i < NP_LOOKUP_ADDRESSES_MAX; i++)
        let_go(&client->tries[i], false);
}

static void forget_request(struct np_hqclient *client)
{
    uv_timer_stop(&client->timer);
    if (client->lookup)
        np_lookup_cancel(client->lookup);
    client->lookup = NULL;
    drop_tries(client);
    if (client->wire)
        np_wipe(client->wire, client->wire_len); /* it may hold a token */
    free(client->wire);
    client->wire = NULL;
    client->done = NULL;
}

/* The request ends here. The client may be freed by done: nothing may touch it afterwards. */
static void finish(struct np_hqclient *client, int err, const char *why)
{
    np_hq_done_fn *done = client->done;
    void *ctx = client->done_ctx;
    if (err) {
        drop_connection(client, false);
        client->place = (client->place + 1) % client->place_count; /* the next request goes to another place */
    } else if (client->judge_s || !client->parser->response.keep_alive)
        drop_connection(client, true);
    forget_request(client);
    if (done)
        done(ctx, err, why, err ? NULL : &client->parser->response);
}

static void on_deadline(uv_timer_t *timer)
{
    struct np_hqclient *client = timer->data;
    char why[NP_HQCLIENT_WHY_MAX];
    snprintf(why, sizeof why, "HQ at %.120s did not answer in time", place_of(client)->host);
    finish(client, -ETIMEDOUT, why);
}

static void send_more(struct connection *connection)
{
    struct np_hqclient *client = connection->client;
    if (client && client->done && client->wire_sent < client->wire_len)
        client->wire_sent +=
            np_stream_write(connection->stream, client->wire + client->wire_sent, client->wire_len - client->wire_sent);
}

static void start_sending(struct np_hqclient *client)
{
    np_http_parser_init(client->parser, client->head);
    client->wire_sent = 0;
    uv_timer_start(&client->timer, on_deadline, NP_HQCLIENT_ANSWER_MS, 0);
    send_more(client->connection);
}

static void on_ready(void *ctx, struct np_stream *stream)
{
    struct connection *connection = ctx;
    struct np_hqclient *client = connection->client;
    (void)stream;
    connection->ready = true;
    if (!client)
        return;
    for (size_t i = 0; i < NP_LOOKUP_ADDRESSES_MAX; i++) {
        if (client->tries[i] == connection)
            client->tries[i] = NULL;
    }
    drop_tries(client);
    client->connection = connection;
    start_sending(client);
}

static void on_writable(void *ctx, struct np_stream *stream)
{
    (void)stream;
    send_more(ctx);
}

static size_t on_data(void *ctx, struct np_stream *stream, const uint8_t *data, size_t len)
{
    struct connection *connection = ctx;
    struct np_hqclient *client = connection->client;
    (void)stream;
    if (!client)
        return len;
    if (!client->done) { /* nobody asked for anything */
        drop_connection(client, false);
        return len;
    }
    size_t used = 0;
    connection->answering = true;
    int rc = np_http_parser_feed(client->parser, data, len, &used);
    if (rc < 0) {
        finish(client, rc == NP_E_LIMIT ? NP_E_LIMIT : NP_E_HTTP,
               rc == NP_E_LIMIT ? "HQ's answer is longer than the protocol allows"
                                : "HQ's answer is not one that HTTP/1.1 allows");
    } else if (rc == 1) {
        if (used < len)
            client->parser->response.keep_alive = false; /* more than one answer to one request */
        connection->reused = true;
        finish(client, 0, "");
    }
    return len;
}

static bool about_certificate(int err)
{
    return err == NP_E_CHAIN || err == NP_E_DATE || err == NP_E_NAME;
}

/* Remembers why a try failed: the last reason, but what a server's certificate said weighs more than an address that
 * cannot be reached. */
static void note_failure(struct np_hqclient *client, const struct np_addr *address, int err, const char *why)
{
    char text[NP_ADDR_TEXT_MAX];
    if (about_certificate(client->try_err) && !about_certificate(err))
        return;
    client->try_err = err ? err : NP_E_CLOSED;
    snprintf(client->try_why, sizeof client->try_why, "no connection to HQ at %.60s (%s): %.70s",
             place_of(client)->host, np_addr_format(address, text), why);
}

static void try_failed(struct np_hqclient *client, struct connection *connection, int err, const char *why)
{
    for (size_t i = 0; i < NP_LOOKUP_ADDRESSES_MAX; i++) {
        if (client->tries[i] == connection) {
            client->tries[i] = NULL;
            note_failure(client, &client->addresses[i], err, why);
        }
    }
    connect_next(client);
}

static void on_closed(void *ctx, int err, const char *why)
{
    struct connection *connection = ctx;
    struct np_hqclient *client = connection->client;
    bool ready = connection->ready, reused = connection->reused, answering = connection->answering;
    if (client && !ready)
        try_failed(client, connection, err, why);
    free(connection);
    if (!client || !ready)
        return;
    client->connection = NULL;
    if (!client->done)
        return;
    if (reused && !answering)
        begin(client); /* the kept connection had died: once more on a fresh one */
    else if (np_http_parser_end(client->parser) == 1)
        finish(client, 0, "");
    else
        finish(client, err ? err : NP_E_CLOSED, err ? why : "HQ closed the connection in the middle of its answer");
}

static int try_address(struct np_hqclient *client, size_t i)
{
    struct connection *connection = calloc(1, sizeof *connection);
    if (!connection)
        return -ENOMEM;
    connection->client = client;
    struct np_endpoint remote = {client->addresses[i], place_of(client)->port};
    struct np_stream_options options = {.loop = client->loop,
                                        .events = {on_ready, on_data, on_writable, on_closed},
                                        .ctx = connection,
                                        .handshake_ms = NP_HQCLIENT_CONNECT_MS,
                                        .idle_ms = NP_HQCLIENT_IDLE_MS};
    struct np_stream_target target = {.remote = remote,
                                      .server_name = place_of(client)->host,
                                      .rules = {.anchors = client->anchors, .now_s = client->judge_s}};
    int rc = client->judge_s ? np_stream_connect_public(&options, &target, &connection->stream)
                             : np_stream_connect(&options, &remote, place_of(client)->host, client->anchors,
                                                 client->now_s(client->now_ctx), &connection->stream);
    if (rc)
        free(connection);
    else
        client->tries[i] = connection;
    return rc;
}

static void on_stagger(uv_timer_t *timer)
{
    connect_next(timer->data);
}

/* Begins with the next address, while the earlier ones go on. When none is left and none goes on, the request fails. */
static void connect_next(struct np_hqclient *client)
{
    while (client->address_next < client->address_count) {
        size_t i = client->address_next++;
        int rc = try_address(client, i);
        if (rc == 0) {
            uv_timer_start(&client->timer, on_stagger, NP_HQCLIENT_STAGGER_MS, 0);
            return;
        }
        note_failure(client, &client->addresses[i], rc, np_strerror(rc));
    }
    uv_timer_stop(&client->timer); /* each try has a deadline of its own */
    for (size_t i = 0; i < NP_LOOKUP_ADDRESSES_MAX; i++) {
        if (client->tries[i])
            return;
    }
    char why[NP_HQCLIENT_WHY_MAX];
    memcpy(why, client->try_why, sizeof why); /* the client's own may be gone while done looks at it */
    finish(client, client->try_err, why);
}

static void on_lookup(void *ctx, int err, const char *why, const struct np_addr *addresses, size_t count)
{
    struct np_hqclient *client = ctx;
    client->lookup = NULL;
    if (err) {
        finish(client, err == NP_E_NOT_FOUND ? NP_E_DNS : err, why);
        return;
    }
    memcpy(client->addresses, addresses, count * sizeof *addresses);
    client->address_count = count;
    client->address_next = 0;
    client->try_err = 0;
    connect_next(client);
}

static void begin(struct np_hqclient *client)
{
    int rc = np_lookup_start(client->loop, place_of(client)->host, client->servers, client->server_count, on_lookup,
                             client, &client->lookup);
    if (rc == 0)
        uv_timer_start(&client->timer, on_deadline, NP_HQCLIENT_LOOKUP_MS, 0);
    else
        finish(client, rc == NP_E_MISSING ? NP_E_DNS : rc,
               rc == NP_E_MISSING ? "no name server is known to look up HQ's address" : "the look-up cannot start");
}

static void on_start(uv_timer_t *timer)
{
    struct np_hqclient *client = timer->data;
    if (client->connection && client->connection->ready && !client->judge_s) {
        client->connection->answering = false;
        start_sending(client);
    } else {
        drop_connection(client, false);
        begin(client);
    }
}

/* Nothing that could end the line or begin another one. */
static int check_value(const char *text, size_t max)
{
    if (!text)
        return 0;
    return strlen(text) > max ? NP_E_LIMIT : np_is_token(text, max) ? 0 : NP_E_MALFORMED;
}

static int check_request(const struct np_hq_request *request)
{
    int rc = check_value(request->path, HEAD_MAX / 2);
    rc = rc ? rc : check_value(request->content_type, VALUE_MAX);
    rc = rc ? rc : check_value(request->bearer, VALUE_MAX);
    return rc ? rc : check_value(request->if_none_match, VALUE_MAX);
}

static int build_wire(struct np_hqclient *client, const struct np_hq_request *request)
{
    char port[8] = "", type[128] = "", length[48] = "", bearer[128] = "", match[128] = "", head[HEAD_MAX];
    int rc = check_request(request);
    if (rc)
        return rc;
    if (place_of(client)->port != HTTPS_PORT)
        snprintf(port, sizeof port, ":%u", place_of(client)->port);
    if (request->content_type) {
        snprintf(type, sizeof type, "Content-Type: %s\r\n", request->content_type);
        snprintf(length, sizeof length, "Content-Length: %zu\r\n", request->body_len);
    }
    if (request->bearer)
        snprintf(bearer, sizeof bearer, "Authorization: Bearer %s\r\n", request->bearer);
    if (request->if_none_match)
        snprintf(match, sizeof match, "If-None-Match: %s\r\n", request->if_none_match);
    int n =
        snprintf(head, sizeof head,
                 "%s %s HTTP/1.1\r\nHost: %s%s\r\nUser-Agent: nameplate/%s\r\n"
                 "Accept: application/json, application/problem+json\r\n%s%s%s%s\r\n",
                 request->method, request->path, place_of(client)->host, port, NP_VERSION, type, length, bearer, match);
    np_wipe(bearer, sizeof bearer);
    if (n < 0 || (size_t)n >= sizeof head)
        return NP_E_LIMIT;
    client->wire_len = (size_t)n + request->body_len;
    client->wire = malloc(client->wire_len);
    if (client->wire) {
        memcpy(client->wire, head, (size_t)n);
        if (request->body_len)
            memcpy(client->wire + n, request->body, request->body_len);
    }
    np_wipe(head, sizeof head);
    return client->wire ? 0 : -ENOMEM;
}

int np_hqclient_send(struct np_hqclient *client, const struct np_hq_request *request, np_hq_done_fn *done, void *ctx)
{
    if (client->done)
        return -EBUSY;
    int rc = build_wire(client, request);
    if (rc)
        return rc;
    client->judge_s = request->judge_s;
    client->head = strcmp(request->method, "HEAD") == 0;
    client->done = done;
    client->done_ctx = ctx;
    uv_timer_start(&client->timer, on_start, 0, 0); /* done never comes from inside this call */
    return 0;
}

void np_hqclient_cancel(struct np_hqclient *client)
{
    if (!client->done)
        return;
    drop_connection(client, false);
    forget_request(client);
}

void np_hqclient_disconnect(struct np_hqclient *client)
{
    drop_connection(client, !client->done);
    if (!client->done)
        return;
    drop_tries(client);
    if (client->lookup)
        np_lookup_cancel(client->lookup);
    client->lookup = NULL;
    uv_timer_start(&client->timer, on_start, 0, 0);
}

static void timer_closed(uv_handle_t *handle)
{
    struct np_hqclient *client = handle->data;
    void (*closed)(void *) = client->closed;
    void *ctx = client->closed_ctx;
    np_wipe(client->parser, sizeof *client->parser); /* answers carry tokens */
    free(client->parser);
    free(client);
    if (closed)
        closed(ctx);
}

void np_hqclient_free(struct np_hqclient *client, void (*closed)(void *ctx), void *ctx)
{
    if (client->done)
        np_hqclient_cancel(client);
    drop_connection(client, true);
    client->closed = closed;
    client->closed_ctx = ctx;
    uv_close((uv_handle_t *)&client->timer, timer_closed);
}

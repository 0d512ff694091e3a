#include "hq/api/web.h"

#include <errno.h>
#include <microhttpd.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>

#include "hq/api/forwarded.h"
#include "hq/body.h"
#include "resolver/base/error.h"
#include "resolver/base/log.h"

/* A request that was answered in this turn. */
struct answered {
    enum np_api_route route;
    int status;
    int64_t begun_ns;
};

struct np_web {
    struct np_api *api;
    struct np_web_events events;
    struct MHD_Daemon *daemon;
    uv_poll_t poll;
    uv_timer_t timer;
    bool last; /* answers end their connections */
    struct np_api_stats stats;
    struct answered turn[NP_WEB_TURN_MAX];
    size_t turn_count;
    unsigned handles; /* still to be closed */
    bool told;        /* that the proxy does not say who asks */
    void (*done)(void *ctx);
    void *done_ctx;
};

static int64_t now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static int64_t monotonic_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* The answers of the turn are on their way. */
static void count_turn(struct np_web *web)
{
    int64_t now_ns = web->turn_count ? monotonic_ns() : 0;
    for (size_t i = 0; i < web->turn_count; i++)
        np_api_stats_add(&web->stats, web->turn[i].route, web->turn[i].status, now_ns - web->turn[i].begun_ns);
    web->turn_count = 0;
}

const struct np_api_stats *np_web_stats(const struct np_web *web)
{
    return &web->stats;
}

static const char *header(struct MHD_Connection *connection, const char *name)
{
    return MHD_lookup_connection_value(connection, MHD_HEADER_KIND, name);
}

static void add_header(struct MHD_Response *response, const char *name, const char *value)
{
    if (value && value[0])
        MHD_add_response_header(response, name, value);
}

static enum MHD_Result send_response(const struct np_web *web, struct MHD_Connection *connection,
                                     struct np_api_response *answer)
{
    char retry_after[24] = "";
    struct MHD_Response *response =
        MHD_create_response_from_buffer(answer->body ? answer->body_len : 0, answer->body, MHD_RESPMEM_MUST_FREE);
    if (!response) {
        np_api_response_free(answer);
        return MHD_NO;
    }
    if (answer->retry_after_s > 0)
        snprintf(retry_after, sizeof retry_after, "%lld", (long long)answer->retry_after_s);
    add_header(response, "Content-Type", answer->content_type);
    add_header(response, "Replay-Nonce", answer->nonce);
    add_header(response, "Cache-Control", "no-store");
    add_header(response, "ETag", answer->etag);
    add_header(response, "Allow", answer->allow);
    add_header(response, "Retry-After", retry_after);
    if (web->last)
        add_header(response, "Connection", "close");
    if (answer->status == 401)
        add_header(response, "WWW-Authenticate", "Bearer"); /* RFC 9110 section 11.6.1 */
    enum MHD_Result result = MHD_queue_response(connection, (unsigned)answer->status, response);
    MHD_destroy_response(response);
    return result;
}

static void log_request(const struct np_web *web, const struct np_api_request *request,
                        const struct np_api_response *answer)
{
    char client[NP_ADDR_TEXT_MAX];
    np_addr_format(&request->client, client);
    if (answer->store_error)
        np_error("%s %.120s from %s: %d (%s: %s)", request->method, request->path, client, answer->status,
                 np_strerror(answer->store_error), np_store_error(web->api->store));
    else
        np_debug("%s %.120s from %s: %d", request->method, request->path, client, answer->status);
}

/* MHD gives the values of a header that comes more than once in their order; the last is the proxy's. */
static enum MHD_Result keep_last(void *ctx, enum MHD_ValueKind kind, const char *name, const char *value)
{
    const char **last = ctx;
    (void)kind;
    if (strcasecmp(name, "X-Forwarded-For") == 0)
        *last = value;
    return MHD_YES;
}

/* Who asks: the connection's other end, or who the proxy there says; AF_UNSPEC where it does not say. */
static struct np_addr client_of(struct np_web *web, struct MHD_Connection *connection)
{
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    struct np_addr client = {0};
    const char *forwarded = NULL;
    if (!info || !info->client_addr)
        return client;
    if (info->client_addr->sa_family != AF_UNIX)
        return np_endpoint_from_sockaddr(info->client_addr).addr;
    MHD_get_connection_values(connection, MHD_HEADER_KIND, keep_last, &forwarded);
    if (np_forwarded_client(forwarded, &client) && !web->told) {
        np_warning("the proxy on HQ's socket does not say who asks (X-Forwarded-For): devices without a credential "
                   "('open') are refused, and no global addresses are published");
        web->told = true;
    }
    return client;
}

static enum MHD_Result answer_request(struct np_web *web, struct MHD_Connection *connection, const char *method,
                                      const char *path, const struct np_body *body)
{
    struct np_api_response answer;
    struct np_api_request request = {
        .method = method,
        .path = path,
        .content_type = header(connection, "Content-Type"),
        .authorization = header(connection, "Authorization"),
        .if_none_match = header(connection, "If-None-Match"),
        .body = body->data,
        .body_len = body->len,
        .too_large = body->discarded > 0,
        .now_us = now_us(),
    };
    request.client = client_of(web, connection);
    np_api_handle(web->api, &request, &answer);
    if (web->turn_count == NP_WEB_TURN_MAX)
        count_turn(web);
    web->turn[web->turn_count++] = (struct answered){answer.route, answer.status, body->begun_ns};
    log_request(web, &request, &answer);
    return send_response(web, connection, &answer);
}

static enum MHD_Result on_request(void *ctx, struct MHD_Connection *connection, const char *url, const char *method,
                                  const char *version, const char *data, size_t *data_size, void **request_ctx)
{
    struct np_body *body = *request_ctx;
    (void)version;
    if (!body) {
        /* MHD keeps a connection alive only when the answer is queued at a later call than this first one. */
        body = np_body_new(NP_BODY_MAX);
        if (body)
            body->begun_ns = monotonic_ns();
        *request_ctx = body;
        return body ? MHD_YES : MHD_NO;
    }
    if (*data_size > 0) {
        size_t len = *data_size;
        *data_size = 0;
        return np_body_add(body, data, len, NP_WEB_DISCARD_MAX) ? MHD_YES : MHD_NO;
    }
    return answer_request(ctx, connection, method, url, body);
}

static void on_request_end(void *ctx, struct MHD_Connection *connection, void **request_ctx,
                           enum MHD_RequestTerminationCode why)
{
    (void)ctx;
    (void)connection;
    (void)why;
    np_body_free(*request_ctx);
    *request_ctx = NULL;
}

/* MHD complains about TCP options that a socket pair does not have: nothing that an operator could mend. */
static void __attribute__((format(printf, 2, 0))) on_log(void *ctx, const char *format, va_list args)
{
    char text[256];
    (void)ctx;
    vsnprintf(text, sizeof text, format, args);
    np_debug("http: %s", text);
}

static void on_timer(uv_timer_t *timer);

/* One turn of MHD, the commit of all it did, and the timer for its next own time. */
static void run(struct np_web *web)
{
    MHD_UNSIGNED_LONG_LONG wait_ms = 0;
    MHD_run(web->daemon);
    int rc = np_store_commit(web->api->store);
    count_turn(web);
    web->events.committed(web->events.ctx, rc);
    if (MHD_get_timeout(web->daemon, &wait_ms) == MHD_YES)
        uv_timer_start(&web->timer, on_timer, wait_ms, 0);
    else
        uv_timer_stop(&web->timer);
}

static void on_timer(uv_timer_t *timer)
{
    run(timer->data);
}

static void on_readable(uv_poll_t *poll, int status, int events)
{
    (void)status;
    (void)events;
    run(poll->data);
}

int np_web_new(uv_loop_t *loop, struct np_api *api, unsigned connections_max, const struct np_web_events *events,
               struct np_web **out_web)
{
    struct np_web *web = calloc(1, sizeof *web);
    if (!web)
        return -ENOMEM;
    web->api = api;
    web->events = *events;
    web->daemon = MHD_start_daemon(
        MHD_USE_EPOLL | MHD_USE_NO_LISTEN_SOCKET | MHD_USE_ITC | MHD_USE_ERROR_LOG, 0, NULL, NULL, on_request, web,
        MHD_OPTION_EXTERNAL_LOGGER, on_log, NULL, MHD_OPTION_CONNECTION_LIMIT, connections_max,
        MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)NP_WEB_IDLE_S, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
        (size_t)NP_WEB_MEMORY_MAX, MHD_OPTION_NOTIFY_COMPLETED, on_request_end, web, MHD_OPTION_END);
    const union MHD_DaemonInfo *info = web->daemon ? MHD_get_daemon_info(web->daemon, MHD_DAEMON_INFO_EPOLL_FD) : NULL;
    if (!info) {
        if (web->daemon)
            MHD_stop_daemon(web->daemon);
        free(web);
        return NP_E_HTTP;
    }
    uv_timer_init(loop, &web->timer);
    web->timer.data = web;
    int rc = uv_poll_init(loop, &web->poll, info->epoll_fd);
    if (rc) {
        web->handles = 1;
        web->done = NULL;
        np_web_close(web, NULL, NULL);
        return rc;
    }
    web->poll.data = web;
    web->handles = 2;
    uv_poll_start(&web->poll, UV_READABLE, on_readable);
    *out_web = web;
    return 0;
}

int np_web_add(struct np_web *web, int fd, const struct np_endpoint *client)
{
    struct sockaddr_storage address;
    socklen_t len = np_endpoint_to_sockaddr(client, &address);
    if (len == 0) { /* a proxy */
        address = (struct sockaddr_storage){.ss_family = AF_UNIX};
        len = sizeof address;
    }
    if (MHD_add_connection(web->daemon, fd, (struct sockaddr *)&address, len) != MHD_YES)
        return NP_E_LIMIT;
    return 0; /* MHD wakes its epoll descriptor, and takes the connection up in its next turn */
}

void np_web_last(struct np_web *web)
{
    web->last = true;
}

static void on_handle_closed(uv_handle_t *handle)
{
    struct np_web *web = handle->data;
    if (--web->handles > 0)
        return;
    void (*done)(void *ctx) = web->done;
    void *ctx = web->done_ctx;
    free(web);
    if (done)
        done(ctx);
}

void np_web_close(struct np_web *web, void (*done)(void *ctx), void *ctx)
{
    web->done = done;
    web->done_ctx = ctx;
    if (web->handles == 2) {
        uv_poll_stop(&web->poll);
        uv_close((uv_handle_t *)&web->poll, on_handle_closed);
    }
    MHD_stop_daemon(web->daemon);
    uv_close((uv_handle_t *)&web->timer, on_handle_closed);
}

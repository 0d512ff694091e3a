#include "hq/admin/http.h"

#include <errno.h>
#include <microhttpd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "hq/body.h"
#include "resolver/base/error.h"
#include "resolver/base/log.h"

#define IDLE_S     30
#define MEMORY_MAX ((size_t)16 * 1024)
#define BACKLOG    16

struct np_admin_http {
    struct np_admin_handler handler;
    struct MHD_Daemon *daemon;
    uv_poll_t poll;
    uv_timer_t timer;
    unsigned handles; /* still to be closed */
    void (*done)(void *ctx);
    void *done_ctx;
};

int np_admin_listen(const struct np_endpoint *local)
{
    struct sockaddr_storage address;
    socklen_t len = np_endpoint_to_sockaddr(local, &address);
    int on = 1;
    int fd = socket(address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, (struct sockaddr *)&address, len) || listen(fd, BACKLOG)) {
        int rc = -errno;
        close(fd);
        return rc;
    }
    return fd;
}

static void add_headers(struct MHD_Response *response, const struct np_admin_response *answer)
{
    static const char *const always[][2] = {
        {"Cache-Control", "no-store"},
        {"X-Content-Type-Options", "nosniff"},
        {"X-Frame-Options", "DENY"},
        {"Referrer-Policy", "no-referrer"},
        {"Cross-Origin-Resource-Policy", "same-origin"},
        {"Cross-Origin-Opener-Policy", "same-origin"},
        {"Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
                                    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"},
    };
    for (size_t i = 0; i < sizeof always / sizeof *always; i++)
        MHD_add_response_header(response, always[i][0], always[i][1]);
    if (answer->content_type)
        MHD_add_response_header(response, "Content-Type", answer->content_type);
    for (size_t i = 0; i < answer->header_count; i++)
        MHD_add_response_header(response, answer->headers[i].name, answer->headers[i].value);
}

static enum MHD_Result answer_request(struct np_admin_http *http, struct MHD_Connection *connection, const char *method,
                                      const char *path, const struct np_body *body)
{
    struct np_admin_response answer = {.status = 500};
    struct np_admin_request request = {
        .method = method,
        .path = path,
        .query = MHD_lookup_connection_value(connection, MHD_GET_ARGUMENT_KIND, "q"),
        .host = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "Host"),
        .authorization = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "Authorization"),
        .cookie = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "Cookie"),
        .accept = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "Accept"),
        .body = body->data,
        .body_len = body->len,
        .too_large = body->discarded > 0,
    };
    http->handler.handle(http->handler.ctx, &request, &answer);
    struct MHD_Response *response =
        MHD_create_response_from_buffer(answer.body ? answer.body_len : 0, (void *)(uintptr_t)answer.body,
                                        answer.owned ? MHD_RESPMEM_MUST_FREE : MHD_RESPMEM_PERSISTENT);
    if (!response) {
        if (answer.owned)
            free((void *)(uintptr_t)answer.body);
        return MHD_NO;
    }
    add_headers(response, &answer);
    enum MHD_Result result = MHD_queue_response(connection, (unsigned)answer.status, response);
    MHD_destroy_response(response);
    return result;
}

static enum MHD_Result on_request(void *ctx, struct MHD_Connection *connection, const char *url, const char *method,
                                  const char *version, const char *data, size_t *data_size, void **request_ctx)
{
    struct np_body *body = *request_ctx;
    (void)version;
    if (!body) { /* MHD keeps a connection alive only when the answer is queued at a later call than this first one */
        body = np_body_new(NP_ADMIN_BODY_MAX);
        *request_ctx = body;
        return body ? MHD_YES : MHD_NO;
    }
    if (*data_size > 0) {
        size_t len = *data_size;
        *data_size = 0;
        return np_body_add(body, data, len, NP_ADMIN_DISCARD_MAX) ? MHD_YES : MHD_NO;
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

static void __attribute__((format(printf, 2, 0))) on_log(void *ctx, const char *format, va_list args)
{
    char text[256];
    (void)ctx;
    vsnprintf(text, sizeof text, format, args);
    np_debug("admin: %s", text);
}

static void on_timer(uv_timer_t *timer);

static void run(struct np_admin_http *http)
{
    MHD_UNSIGNED_LONG_LONG wait_ms = 0;
    MHD_run(http->daemon);
    if (MHD_get_timeout(http->daemon, &wait_ms) == MHD_YES)
        uv_timer_start(&http->timer, on_timer, wait_ms, 0);
    else
        uv_timer_stop(&http->timer);
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

int np_admin_http_new(uv_loop_t *loop, int fd, const struct np_admin_handler *handler, struct np_admin_http **out_http)
{
    struct np_admin_http *http = calloc(1, sizeof *http);
    if (!http)
        return -ENOMEM;
    http->handler = *handler;
    http->daemon = MHD_start_daemon(MHD_USE_EPOLL | MHD_USE_ERROR_LOG, 0, NULL, NULL, on_request, http,
                                    MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_EXTERNAL_LOGGER, on_log, NULL,
                                    MHD_OPTION_CONNECTION_LIMIT, (unsigned)NP_ADMIN_CONNECTIONS,
                                    MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)IDLE_S, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
                                    MEMORY_MAX, MHD_OPTION_NOTIFY_COMPLETED, on_request_end, http, MHD_OPTION_END);
    const union MHD_DaemonInfo *info =
        http->daemon ? MHD_get_daemon_info(http->daemon, MHD_DAEMON_INFO_EPOLL_FD) : NULL;
    if (!info || uv_poll_init(loop, &http->poll, info->epoll_fd)) {
        if (http->daemon)
            MHD_quiesce_daemon(http->daemon); /* fd stays the caller's */
        if (http->daemon)
            MHD_stop_daemon(http->daemon);
        free(http);
        return NP_E_HTTP;
    }
    uv_timer_init(loop, &http->timer);
    http->timer.data = http->poll.data = http;
    http->handles = 2;
    uv_poll_start(&http->poll, UV_READABLE, on_readable);
    *out_http = http;
    return 0;
}

static void on_handle_closed(uv_handle_t *handle)
{
    struct np_admin_http *http = handle->data;
    if (--http->handles > 0)
        return;
    void (*done)(void *ctx) = http->done;
    void *ctx = http->done_ctx;
    free(http);
    done(ctx);
}

void np_admin_http_close(struct np_admin_http *http, void (*done)(void *ctx), void *ctx)
{
    http->done = done;
    http->done_ctx = ctx;
    uv_poll_stop(&http->poll);
    uv_close((uv_handle_t *)&http->poll, on_handle_closed);
    MHD_stop_daemon(http->daemon);
    uv_close((uv_handle_t *)&http->timer, on_handle_closed);
}

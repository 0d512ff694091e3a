#include "hq/acme/http.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include <curl/curl.h>

#include "hq/acme/resource.h"
#include "resolver/base/error.h"
#include "resolver/base/text.h"

#define HALT_MS 200 /* between two questions whether requests may go on */

/* One request. Lives from np_http_send to its callback. */
struct request {
    struct np_http *http;
    struct request *next, **link; /* in http->requests */
    CURL *easy;
    struct curl_slist *headers;
    char *url, *body;
    char *received;
    size_t received_len;
    int64_t started_ms;
    struct np_http_response response;
    char error[CURL_ERROR_SIZE], why[NP_HTTP_WHY_MAX];
    np_http_done_fn *done;
    void *ctx;
};

/* A socket that libcurl wants watched. */
struct watch {
    uv_poll_t poll;
    struct np_http *http;
    struct watch *next, **link; /* in http->watches */
    curl_socket_t fd;
    int events;
};

struct np_http {
    uv_loop_t *loop;
    CURLM *multi;
    uv_timer_t timer;
    struct request *requests;
    struct watch *watches;
    char *anchors;
    size_t handles; /* open uv handles */
    bool closing;
    bool halted; /* no socket is looked at, the timer asks whether that is over */
    bool (*allowed)(void *ctx);
    void *allowed_ctx;
    void (*closed)(void *ctx);
    void *closed_ctx;
};

static void release_handle(struct np_http *http)
{
    if (--http->handles > 0 || !http->closing)
        return;
    void (*closed)(void *ctx) = http->closed;
    void *ctx = http->closed_ctx;
    free(http->anchors);
    free(http);
    if (closed)
        closed(ctx);
}

static void on_timer_closed(uv_handle_t *handle)
{
    release_handle(handle->data);
}

static void on_watch_closed(uv_handle_t *handle)
{
    struct watch *watch = handle->data;
    struct np_http *http = watch->http;
    free(watch);
    release_handle(http);
}

static void request_unlink(struct request *request)
{
    *request->link = request->next;
    if (request->next)
        request->next->link = request->link;
}

static void request_free(struct request *request)
{
    if (request->easy) {
        curl_multi_remove_handle(request->http->multi, request->easy);
        curl_easy_cleanup(request->easy);
    }
    curl_slist_free_all(request->headers);
    free(request->url);
    free(request->body);
    free(request->received);
    free(request);
}

static int translate(CURLcode code)
{
    switch (code) {
    case CURLE_OK:
        return 0;
    case CURLE_OPERATION_TIMEDOUT:
        return -ETIMEDOUT;
    case CURLE_COULDNT_CONNECT:
        return -ECONNREFUSED;
    case CURLE_COULDNT_RESOLVE_HOST:
        return NP_E_DNS;
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
        return NP_E_TLS;
    case CURLE_OUT_OF_MEMORY:
        return -ENOMEM;
    case CURLE_WRITE_ERROR: /* on_body refused it */
    case CURLE_FILESIZE_EXCEEDED:
        return NP_E_LIMIT;
    default:
        return NP_E_HTTP;
    }
}

static void finish(struct request *request, CURLcode code)
{
    struct np_http_response *response = &request->response;
    long status = 0;
    curl_easy_getinfo(request->easy, CURLINFO_RESPONSE_CODE, &status);
    response->rc = translate(code);
    response->status = (int)status;
    np_text_sanitize(request->error[0] ? request->error : curl_easy_strerror(code), request->why, sizeof request->why);
    response->why = code == CURLE_OK ? "" : request->why;
    response->body = request->received ? request->received : "";
    response->len = request->received_len;
    response->took_ms = (int64_t)uv_now(request->http->loop) - request->started_ms;
    curl_multi_remove_handle(request->http->multi, request->easy);
    curl_easy_cleanup(request->easy);
    request->easy = NULL;
    request_unlink(request); /* the callback may close everything */
    request->done(request->ctx, response);
    request_free(request);
}

static void collect(struct np_http *http)
{
    CURLMsg *message;
    int left;
    while ((message = curl_multi_info_read(http->multi, &left))) {
        struct request *request;
        if (message->msg != CURLMSG_DONE)
            continue;
        CURLcode code = message->data.result;
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &request);
        finish(request, code);
        if (http->closing)
            return;
    }
}

static void on_timeout(uv_timer_t *timer);
static void on_socket(uv_poll_t *poll, int status, int events);
static int curl_wants_timer(CURLM *multi, long timeout_ms, void *ctx);

/* May bytes go out? Where they may not, everything stands still, and it is asked again later. */
static bool is_allowed(struct np_http *http)
{
    bool allowed = !http->allowed || http->allowed(http->allowed_ctx);
    if (allowed == !http->halted)
        return allowed;
    http->halted = !allowed;
    for (struct watch *watch = http->watches; watch; watch = watch->next) {
        if (allowed)
            uv_poll_start(&watch->poll, watch->events, on_socket);
        else
            uv_poll_stop(&watch->poll);
    }
    if (!allowed)
        uv_timer_start(&http->timer, on_timeout, HALT_MS, HALT_MS);
    return allowed;
}

static void on_timeout(uv_timer_t *timer)
{
    struct np_http *http = timer->data;
    int running;
    bool halted = http->halted;
    if (!is_allowed(http))
        return;
    if (halted)
        uv_timer_stop(timer);
    curl_multi_socket_action(http->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    long next_ms = -1;
    /* libcurl does not repeat a time that it has named before the halt. */
    if (halted && curl_multi_timeout(http->multi, &next_ms) == CURLM_OK && next_ms >= 0)
        curl_wants_timer(http->multi, next_ms, http);
    collect(http);
}

static void on_socket(uv_poll_t *poll, int status, int events)
{
    struct watch *watch = poll->data;
    struct np_http *http = watch->http;
    int flags = 0, running;
    if (!is_allowed(http))
        return;
    if (status < 0)
        flags = CURL_CSELECT_ERR;
    if (events & UV_READABLE)
        flags |= CURL_CSELECT_IN;
    if (events & UV_WRITABLE)
        flags |= CURL_CSELECT_OUT;
    curl_multi_socket_action(http->multi, watch->fd, flags, &running);
    collect(http);
}

static int curl_wants_timer(CURLM *multi, long timeout_ms, void *ctx)
{
    struct np_http *http = ctx;
    (void)multi;
    if (http->closing || http->halted)
        return 0;
    /* Never from inside: libcurl forbids socket_action in its callbacks, a zero timer comes in the next turn. */
    if (timeout_ms < 0)
        uv_timer_stop(&http->timer);
    else
        uv_timer_start(&http->timer, on_timeout, (uint64_t)timeout_ms, 0);
    return 0;
}

static int curl_wants_socket(CURL *easy, curl_socket_t fd, int what, void *ctx, void *socket_ctx)
{
    struct np_http *http = ctx;
    struct watch *watch = socket_ctx;
    int events = 0;
    (void)easy;
    if (what == CURL_POLL_REMOVE) {
        if (watch) {
            curl_multi_assign(http->multi, fd, NULL);
            *watch->link = watch->next;
            if (watch->next)
                watch->next->link = watch->link;
            uv_poll_stop(&watch->poll);
            uv_close((uv_handle_t *)&watch->poll, on_watch_closed);
        }
        return 0;
    }
    if (!watch) {
        watch = calloc(1, sizeof *watch);
        if (!watch)
            return -1;
        watch->http = http;
        watch->fd = fd;
        if (uv_poll_init_socket(http->loop, &watch->poll, fd) < 0) {
            free(watch);
            return -1;
        }
        watch->poll.data = watch;
        watch->next = http->watches;
        watch->link = &http->watches;
        if (watch->next)
            watch->next->link = &watch->next;
        http->watches = watch;
        http->handles++;
        curl_multi_assign(http->multi, fd, watch);
    }
    if (what & CURL_POLL_IN)
        events |= UV_READABLE;
    if (what & CURL_POLL_OUT)
        events |= UV_WRITABLE;
    watch->events = events;
    uv_poll_start(&watch->poll, events, on_socket);
    return 0;
}

static size_t on_body(char *data, size_t size, size_t count, void *ctx)
{
    struct request *request = ctx;
    size_t len = size * count;
    if (len > NP_ACME_BODY_MAX - request->received_len)
        return 0;
    char *grown = realloc(request->received, request->received_len + len + 1);
    if (!grown)
        return 0;
    memcpy(grown + request->received_len, data, len);
    request->received = grown;
    request->received_len += len;
    grown[request->received_len] = 0;
    return len;
}

static size_t on_header(char *data, size_t size, size_t count, void *ctx)
{
    struct request *request = ctx;
    struct np_http_response *response = &request->response;
    size_t len = size * count, n = len;
    char value[NP_URL_MAX + 1];
    const char *colon = memchr(data, ':', len);
    if (!colon)
        return len;
    const char *p = colon + 1;
    while (n > 0 && (data[n - 1] == '\r' || data[n - 1] == '\n' || data[n - 1] == ' '))
        n--;
    while (p < data + n && (*p == ' ' || *p == '\t'))
        p++;
    size_t value_len = p < data + n ? (size_t)(data + n - p) : 0;
    if (value_len > NP_URL_MAX || memchr(p, 0, value_len))
        return len;
    memcpy(value, p, value_len);
    value[value_len] = 0;
    size_t name_len = (size_t)(colon - data);
    if (name_len == 12 && strncasecmp(data, "replay-nonce", 12) == 0 && np_acme_is_nonce(value))
        memcpy(response->nonce, value, value_len + 1);
    else if (name_len == 8 && strncasecmp(data, "location", 8) == 0 && np_acme_is_url(value))
        memcpy(response->location, value, value_len + 1);
    else if (name_len == 4 && strncasecmp(data, "link", 4) == 0)
        np_acme_links_add(value, &response->links);
    else if (name_len == 11 && strncasecmp(data, "retry-after", 11) == 0)
        response->retry_after_ms = np_acme_retry_after_ms(value, (long long)time(NULL));
    return len;
}

int np_http_new(uv_loop_t *loop, const char *anchors, struct np_http **out_http)
{
    struct np_http *http = calloc(1, sizeof *http);
    if (!http)
        return -ENOMEM;
    http->loop = loop;
    http->anchors = strdup(anchors);
    http->multi = curl_multi_init();
    if (!http->anchors || !http->multi) {
        curl_multi_cleanup(http->multi);
        free(http->anchors);
        free(http);
        return -ENOMEM;
    }
    curl_multi_setopt(http->multi, CURLMOPT_SOCKETFUNCTION, curl_wants_socket);
    curl_multi_setopt(http->multi, CURLMOPT_SOCKETDATA, http);
    curl_multi_setopt(http->multi, CURLMOPT_TIMERFUNCTION, curl_wants_timer);
    curl_multi_setopt(http->multi, CURLMOPT_TIMERDATA, http);
    curl_multi_setopt(http->multi, CURLMOPT_MAX_HOST_CONNECTIONS,
                      (long)(NP_HTTP_CONNECTIONS_MAX + NP_HTTP_CONNECTIONS_SPARE));
    uv_timer_init(loop, &http->timer);
    http->timer.data = http;
    http->handles = 1;
    *out_http = http;
    return 0;
}

void np_http_guard(struct np_http *http, bool (*allowed)(void *ctx), void *ctx)
{
    http->allowed = allowed;
    http->allowed_ctx = ctx;
}

static void set_options(struct request *request, enum np_http_method method)
{
    CURL *easy = request->easy;
    curl_easy_setopt(easy, CURLOPT_URL, request->url);
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "https");
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_PROXY, "");
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)NP_HTTP_CONNECT_TIMEOUT_MS);
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)NP_HTTP_TIMEOUT_MS);
    curl_easy_setopt(easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    curl_easy_setopt(easy, CURLOPT_USERAGENT, "nameplate-hq/" NP_VERSION); /* RFC 8555 section 6.1 */
    curl_easy_setopt(easy, CURLOPT_MAXFILESIZE, (long)NP_ACME_BODY_MAX);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, request);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, request);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, request->error);
    curl_easy_setopt(easy, CURLOPT_PRIVATE, request);
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, request->headers);
    if (request->http->anchors[0]) {
        curl_easy_setopt(easy, CURLOPT_CAINFO, request->http->anchors);
        curl_easy_setopt(easy, CURLOPT_CAPATH, NULL);
    }
    if (method == NP_HTTP_HEAD)
        curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
    if (method == NP_HTTP_POST_JOSE) {
        curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE, (long)strlen(request->body));
        curl_easy_setopt(easy, CURLOPT_POSTFIELDS, request->body);
    }
}

/* Appends a header line; false when out of memory. */
static bool add_header(struct request *request, const char *line)
{
    struct curl_slist *list = curl_slist_append(request->headers, line);
    if (list)
        request->headers = list;
    return list != NULL;
}

int np_http_send(struct np_http *http, enum np_http_method method, const char *url, const char *accept,
                 const char *body, np_http_done_fn *done, void *ctx)
{
    char line[128];
    struct request *request = calloc(1, sizeof *request);
    if (!request)
        return -ENOMEM;
    request->http = http;
    request->done = done;
    request->ctx = ctx;
    request->started_ms = (int64_t)uv_now(http->loop);
    request->next = http->requests;
    request->link = &http->requests;
    if (request->next)
        request->next->link = &request->next;
    http->requests = request;
    request->url = strdup(url);
    request->body = body ? strdup(body) : NULL;
    bool good = request->url && (!body || request->body);
    if (good && accept) {
        snprintf(line, sizeof line, "Accept: %s", accept);
        good = add_header(request, line);
    }
    if (good && method == NP_HTTP_POST_JOSE)
        good = add_header(request, "Content-Type: application/jose+json") && add_header(request, "Expect:");
    request->easy = good ? curl_easy_init() : NULL;
    if (!request->easy) {
        request_unlink(request);
        request_free(request);
        return -ENOMEM;
    }
    set_options(request, method);
    if (curl_multi_add_handle(http->multi, request->easy) != CURLM_OK) {
        request_unlink(request);
        request_free(request);
        return -ENOMEM;
    }
    return 0;
}

void np_http_close(struct np_http *http, void (*done)(void *ctx), void *ctx)
{
    http->closing = true;
    http->closed = done;
    http->closed_ctx = ctx;
    while (http->requests) {
        struct request *request = http->requests;
        request_unlink(request);
        request_free(request);
    }
    curl_multi_cleanup(http->multi); /* its sockets end through curl_wants_socket */
    uv_close((uv_handle_t *)&http->timer, on_timer_closed);
}

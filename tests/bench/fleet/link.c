#include "tests/bench/fleet/link.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/x509_vfy.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "resolver/base/error.h"

#define READ_SIZE 16384

struct link {
    uv_tcp_t tcp;
    uv_timer_t timer;
    uv_connect_t connect;
    SSL *ssl;
    BIO *in, *out; /* owned by ssl */
    struct link_events events;
    void *ctx;
    char *pending; /* to be sent after the handshake */
    size_t pending_len;
    bool ready, closing;
    unsigned handles;
    char buffer[READ_SIZE];
};

struct transfer {
    uv_write_t request;
    char data[];
};

SSL_CTX *link_tls(const char *anchors, bool tls12)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    int version = tls12 ? TLS1_2_VERSION : TLS1_3_VERSION;
    if (ctx && SSL_CTX_load_verify_file(ctx, anchors) == 1 && SSL_CTX_set_min_proto_version(ctx, version) &&
        SSL_CTX_set_max_proto_version(ctx, version) &&
        SSL_CTX_set_cipher_list(ctx, "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-CHACHA20-POLY1305") == 1) {
        SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
        SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF); /* the agent resumes no session with HQ */
        SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
        return ctx;
    }
    SSL_CTX_free(ctx);
    return NULL;
}

static void on_closed(uv_handle_t *handle)
{
    struct link *link = handle->data;
    if (--link->handles > 0)
        return;
    SSL_free(link->ssl);
    free(link->pending);
    free(link);
}

void link_close(struct link *link)
{
    if (!link || link->closing)
        return;
    link->closing = true;
    link->handles = 2;
    uv_close((uv_handle_t *)&link->tcp, on_closed);
    uv_close((uv_handle_t *)&link->timer, on_closed);
}

static void end(struct link *link, int err)
{
    if (link->closing)
        return;
    link_close(link);
    link->events.ended(link->ctx, err);
}

static void on_written(uv_write_t *request, int status)
{
    struct link *link = request->handle->data;
    free(request);
    if (status && status != UV_ECANCELED)
        end(link, status);
}

static void flush(struct link *link)
{
    size_t len = BIO_ctrl_pending(link->out);
    if (len == 0 || link->closing)
        return;
    struct transfer *transfer = malloc(sizeof *transfer + len);
    if (!transfer)
        abort();
    BIO_read(link->out, transfer->data, (int)len);
    uv_buf_t buf = uv_buf_init(transfer->data, (unsigned)len);
    if (uv_write(&transfer->request, (uv_stream_t *)&link->tcp, &buf, 1, on_written))
        free(transfer); /* the read says why */
}

void link_send(struct link *link, const char *data, size_t len)
{
    if (link->ready) {
        SSL_write(link->ssl, data, (int)len);
        flush(link);
        return;
    }
    link->pending = malloc(len);
    if (!link->pending)
        abort();
    memcpy(link->pending, data, len);
    link->pending_len = len;
}

static bool handshake(struct link *link)
{
    int result = SSL_do_handshake(link->ssl);
    int why = result == 1 ? SSL_ERROR_NONE : SSL_get_error(link->ssl, result);
    ERR_clear_error();
    flush(link);
    if (result != 1) {
        if (why != SSL_ERROR_WANT_READ && why != SSL_ERROR_WANT_WRITE)
            end(link, NP_E_TLS);
        return false;
    }
    link->ready = true;
    uv_timer_stop(&link->timer);
    if (link->pending) {
        link_send(link, link->pending, link->pending_len);
        free(link->pending);
        link->pending = NULL;
    }
    return true;
}

static void pump(struct link *link)
{
    uint8_t plain[READ_SIZE];
    while (!link->closing) {
        int n = SSL_read(link->ssl, plain, sizeof plain);
        int why = n > 0 ? SSL_ERROR_NONE : SSL_get_error(link->ssl, n);
        ERR_clear_error();
        if (n > 0)
            link->events.data(link->ctx, plain, (size_t)n);
        else if (why != SSL_ERROR_WANT_READ)
            end(link, why == SSL_ERROR_ZERO_RETURN ? 0 : NP_E_TLS);
        if (n <= 0)
            break;
    }
    flush(link);
}

static void on_alloc(uv_handle_t *handle, size_t size, uv_buf_t *buf)
{
    struct link *link = handle->data;
    (void)size;
    *buf = uv_buf_init(link->buffer, sizeof link->buffer);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct link *link = stream->data;
    if (n == 0 || link->closing)
        return;
    if (n < 0) {
        end(link, n == UV_EOF ? 0 : (int)n);
        return;
    }
    BIO_write(link->in, buf->base, (int)n);
    if (link->ready || handshake(link))
        pump(link);
}

static void on_connected(uv_connect_t *request, int status)
{
    struct link *link = request->data;
    if (link->closing)
        return;
    if (status) {
        end(link, status);
        return;
    }
    uv_tcp_nodelay(&link->tcp, 1);
    uv_read_start((uv_stream_t *)&link->tcp, on_alloc, on_read);
    handshake(link);
}

static void on_timeout(uv_timer_t *timer)
{
    end(timer->data, -ETIMEDOUT);
}

/* A socket bound to the source address alone: the port is chosen at connect, so that each address has all of them. */
static int open_socket(struct link *link, uint32_t source)
{
    struct sockaddr_in local = {.sin_family = AF_INET, .sin_addr = {source}};
    int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one);
    int rc = bind(fd, (struct sockaddr *)&local, sizeof local) ? -errno : uv_tcp_open(&link->tcp, fd);
    if (rc)
        close(fd);
    return rc;
}

static int open_tls(struct link *link, const struct link_target *target)
{
    link->ssl = SSL_new(target->tls);
    link->in = BIO_new(BIO_s_mem());
    link->out = BIO_new(BIO_s_mem());
    if (!link->ssl || !link->in || !link->out)
        return -ENOMEM;
    SSL_set_bio(link->ssl, link->in, link->out);
    SSL_set_connect_state(link->ssl);
    SSL_set_tlsext_host_name(link->ssl, target->host);
    return SSL_set1_host(link->ssl, target->host) == 1 ? 0 : -ENOMEM;
}

struct link *link_open(uv_loop_t *loop, const struct link_target *target, uint32_t source,
                       const struct link_events *events, void *ctx)
{
    struct link *link = calloc(1, sizeof *link);
    if (!link)
        return NULL;
    link->events = *events;
    link->ctx = ctx;
    uv_tcp_init(loop, &link->tcp);
    uv_timer_init(loop, &link->timer);
    link->tcp.data = link->timer.data = link->connect.data = link;
    if (open_tls(link, target) || open_socket(link, source) ||
        uv_tcp_connect(&link->connect, &link->tcp, (const struct sockaddr *)&target->server, on_connected)) {
        link_close(link);
        return NULL;
    }
    uv_timer_start(&link->timer, on_timeout, LINK_CONNECT_MS, 0);
    return link;
}

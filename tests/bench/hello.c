/* bench_hello: the least that an HTTPS server on libssl and libuv has to do: a handshake over memory BIOs, one request
 * read to its empty line, one short answer. What HQ costs a new connection is compared with this.
 *
 *     bench_hello PORT CERTIFICATE KEY
 *
 * TLS 1.2 and 1.3 as HQ's own settings (hq/tls.c) have them, with as many sessions kept. One thread. Keeps a connection
 * while the client does. Prints "ready". */
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#define READ_SIZE 16384
#define SESSIONS  8192

static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";

struct server {
    uv_loop_t loop;
    uv_tcp_t listener;
    SSL_CTX *tls;
    char buffer[READ_SIZE];
};

struct connection {
    uv_tcp_t tcp;
    struct server *server;
    SSL *ssl;
    BIO *in, *out; /* owned by ssl */
    bool ready;
    unsigned matched; /* bytes of "\r\n\r\n" */
};

struct transfer {
    uv_write_t request;
    char data[];
};

static void on_closed(uv_handle_t *handle)
{
    struct connection *c = handle->data;
    SSL_free(c->ssl);
    free(c);
}

static void end(struct connection *c)
{
    if (!uv_is_closing((uv_handle_t *)&c->tcp))
        uv_close((uv_handle_t *)&c->tcp, on_closed);
}

static void on_written(uv_write_t *request, int status)
{
    (void)status;
    free(request);
}

static void flush(struct connection *c)
{
    size_t len = BIO_ctrl_pending(c->out);
    struct transfer *transfer = len ? malloc(sizeof *transfer + len) : NULL;
    if (!transfer)
        return;
    BIO_read(c->out, transfer->data, (int)len);
    uv_buf_t buf = uv_buf_init(transfer->data, (unsigned)len);
    if (uv_write(&transfer->request, (uv_stream_t *)&c->tcp, &buf, 1, on_written))
        free(transfer);
}

/* Answers every request whose head has ended. */
static void take(struct connection *c, const char *data, int len)
{
    for (int i = 0; i < len; i++) {
        c->matched = data[i] == "\r\n\r\n"[c->matched] ? c->matched + 1 : data[i] == '\r';
        if (c->matched == 4) {
            c->matched = 0;
            SSL_write(c->ssl, answer, sizeof answer - 1);
        }
    }
}

static void go_on(struct connection *c)
{
    char plain[READ_SIZE];
    int n = 1;
    if (!c->ready) {
        n = SSL_do_handshake(c->ssl);
        c->ready = n == 1;
    }
    while (c->ready && (n = SSL_read(c->ssl, plain, sizeof plain)) > 0)
        take(c, plain, n);
    int why = SSL_get_error(c->ssl, n);
    ERR_clear_error();
    flush(c);
    if (why != SSL_ERROR_WANT_READ)
        end(c);
}

static void on_alloc(uv_handle_t *handle, size_t size, uv_buf_t *buf)
{
    struct connection *c = handle->data;
    (void)size;
    *buf = uv_buf_init(c->server->buffer, READ_SIZE);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct connection *c = stream->data;
    if (n < 0) {
        end(c);
    } else if (n > 0) {
        BIO_write(c->in, buf->base, (int)n);
        go_on(c);
    }
}

static void on_connection(uv_stream_t *listener, int status)
{
    struct server *server = listener->data;
    struct connection *c = status ? NULL : calloc(1, sizeof *c);
    if (!c)
        return;
    c->server = server;
    c->tcp.data = c;
    uv_tcp_init(&server->loop, &c->tcp);
    c->ssl = SSL_new(server->tls);
    c->in = BIO_new(BIO_s_mem());
    c->out = BIO_new(BIO_s_mem());
    if (!c->ssl || !c->in || !c->out || uv_accept(listener, (uv_stream_t *)&c->tcp)) {
        end(c);
        return;
    }
    SSL_set_bio(c->ssl, c->in, c->out);
    SSL_set_accept_state(c->ssl);
    uv_tcp_nodelay(&c->tcp, 1);
    uv_read_start((uv_stream_t *)&c->tcp, on_alloc, on_read);
}

static SSL_CTX *open_tls(const char *certificate, const char *key)
{
    SSL_CTX *tls = SSL_CTX_new(TLS_server_method());
    if (!tls || SSL_CTX_use_certificate_chain_file(tls, certificate) != 1 ||
        SSL_CTX_use_PrivateKey_file(tls, key, SSL_FILETYPE_PEM) != 1)
        return NULL;
    SSL_CTX_set_min_proto_version(tls, TLS1_2_VERSION);
    SSL_CTX_set1_groups_list(tls, "X25519:P-256");
    SSL_CTX_set_session_id_context(tls, (const unsigned char *)"hello", 5);
    SSL_CTX_set_session_cache_mode(tls, SSL_SESS_CACHE_SERVER);
    SSL_CTX_sess_set_cache_size(tls, SESSIONS);
    SSL_CTX_set_num_tickets(tls, 1);
    SSL_CTX_set_mode(tls, SSL_MODE_RELEASE_BUFFERS);
    return tls;
}

int main(int argc, char **argv)
{
    static struct server server;
    struct sockaddr_in address;
    signal(SIGPIPE, SIG_IGN);
    if (argc != 4 || uv_ip4_addr("127.0.0.1", atoi(argv[1]), &address)) {
        fprintf(stderr, "usage: bench_hello PORT CERTIFICATE KEY\n");
        return 2;
    }
    server.tls = open_tls(argv[2], argv[3]);
    uv_loop_init(&server.loop);
    uv_tcp_init(&server.loop, &server.listener);
    server.listener.data = &server;
    if (!server.tls || uv_tcp_bind(&server.listener, (struct sockaddr *)&address, 0) ||
        uv_listen((uv_stream_t *)&server.listener, 1024, on_connection)) {
        fprintf(stderr, "bench_hello: cannot listen\n");
        return 1;
    }
    puts("ready");
    fflush(stdout);
    return uv_run(&server.loop, UV_RUN_DEFAULT);
}

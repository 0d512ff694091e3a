#include "agent/tls/served.h"

#include <bearssl.h>
#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/identity/keys.h"
#include "agent/tls/profile.h"
#include "resolver/base/error.h"
#include "resolver/base/monotonic.h"

/* An X.509 engine that keeps the leaf and judges nothing. */
struct leaf_taker {
    const br_x509_class *vtable; /* first: BearSSL sees this */
    br_x509_decoder_context decoder;
    unsigned certificate;
    size_t len;
    bool too_long;
    uint8_t leaf[NP_SERVED_DER_MAX];
};

/* One handshake. */
struct handshake {
    br_ssl_client_context client;
    struct leaf_taker taker;
    uint8_t buffer[BR_SSL_BUFSIZE_MONO];
    int fd;
    int64_t end_ms;
};

static struct leaf_taker *taker_of(const br_x509_class **ctx)
{
    return (struct leaf_taker *)(void *)ctx;
}

static void start_chain(const br_x509_class **ctx, const char *server_name)
{
    struct leaf_taker *taker = taker_of(ctx);
    (void)server_name;
    br_x509_decoder_init(&taker->decoder, NULL, NULL);
    taker->certificate = 0;
    taker->len = 0;
    taker->too_long = false;
}

static void start_cert(const br_x509_class **ctx, uint32_t length)
{
    struct leaf_taker *taker = taker_of(ctx);
    if (taker->certificate == 0 && length > sizeof taker->leaf)
        taker->too_long = true;
}

static void append(const br_x509_class **ctx, const unsigned char *data, size_t len)
{
    struct leaf_taker *taker = taker_of(ctx);
    if (taker->certificate > 0 || taker->too_long || len > sizeof taker->leaf - taker->len)
        return;
    memcpy(taker->leaf + taker->len, data, len);
    taker->len += len;
    br_x509_decoder_push(&taker->decoder, data, len);
}

static void end_cert(const br_x509_class **ctx)
{
    taker_of(ctx)->certificate++;
}

static unsigned end_chain(const br_x509_class **ctx)
{
    struct leaf_taker *taker = taker_of(ctx);
    if (taker->certificate == 0)
        return BR_ERR_X509_EMPTY_CHAIN;
    if (taker->too_long)
        return BR_ERR_X509_LIMIT_EXCEEDED;
    int error = br_x509_decoder_last_error(&taker->decoder);
    return error > 0 ? (unsigned)error : 0;
}

static const br_x509_pkey *get_pkey(const br_x509_class *const *ctx, unsigned *usages)
{
    struct leaf_taker *taker = (struct leaf_taker *)(uintptr_t)ctx;
    if (usages)
        *usages = BR_KEYTYPE_KEYX | BR_KEYTYPE_SIGN;
    return br_x509_decoder_get_pkey(&taker->decoder);
}

static const br_x509_class taker_class = {
    .context_size = sizeof(struct leaf_taker),
    .start_chain = start_chain,
    .start_cert = start_cert,
    .append = append,
    .end_cert = end_cert,
    .end_chain = end_chain,
    .get_pkey = get_pkey,
};

/* Until the socket is ready, or the deadline. 0 or -errno. */
static int wait_for(const struct handshake *h, short events)
{
    struct pollfd pollfd = {.fd = h->fd, .events = events};
    for (;;) {
        int64_t left = h->end_ms - np_monotonic_ms();
        int n = left > 0 ? poll(&pollfd, 1, (int)left) : 0;
        if (n > 0)
            return 0;
        if (n == 0)
            return -ETIMEDOUT;
        if (errno != EINTR)
            return -errno;
    }
}

static int connect_to(struct handshake *h, const struct np_endpoint *remote)
{
    struct sockaddr_storage address;
    socklen_t len = np_endpoint_to_sockaddr(remote, &address);
    int error = 0;
    socklen_t error_len = sizeof error;
    h->fd = len ? socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0) : -1;
    if (h->fd < 0)
        return len ? -errno : -EADDRNOTAVAIL;
    if (connect(h->fd, (struct sockaddr *)&address, len) == 0)
        return 0;
    if (errno != EINPROGRESS)
        return -errno;
    int rc = wait_for(h, POLLOUT);
    if (rc == 0 && getsockopt(h->fd, SOL_SOCKET, SO_ERROR, &error, &error_len) < 0)
        return -errno;
    return rc ? rc : -error;
}

/* Sends what the engine has to send. 0, -EAGAIN (wait for room), or -errno. */
static int send_records(struct handshake *h)
{
    size_t len;
    const uint8_t *bytes = br_ssl_engine_sendrec_buf(&h->client.eng, &len);
    ssize_t n = send(h->fd, bytes, len, MSG_NOSIGNAL);
    if (n < 0)
        return errno == EAGAIN || errno == EINTR ? -EAGAIN : -errno;
    br_ssl_engine_sendrec_ack(&h->client.eng, (size_t)n);
    return 0;
}

/* Gives the engine what came. 0, -EAGAIN (wait for more), NP_E_CLOSED or -errno. */
static int receive_records(struct handshake *h)
{
    size_t len;
    uint8_t *room = br_ssl_engine_recvrec_buf(&h->client.eng, &len);
    ssize_t n = recv(h->fd, room, len, 0);
    if (n < 0)
        return errno == EAGAIN || errno == EINTR ? -EAGAIN : -errno;
    if (n == 0)
        return NP_E_CLOSED;
    br_ssl_engine_recvrec_ack(&h->client.eng, (size_t)n);
    return 0;
}

/* To the end of the handshake: application data could be sent. */
static int shake(struct handshake *h)
{
    for (;;) {
        unsigned state = br_ssl_engine_current_state(&h->client.eng);
        int rc;
        if (state & BR_SSL_CLOSED)
            return NP_E_TLS;
        if (np_monotonic_ms() >= h->end_ms)
            return -ETIMEDOUT; /* also to one who always has something to say */
        if (state & BR_SSL_SENDREC)
            rc = send_records(h);
        else if (state & BR_SSL_SENDAPP)
            return 0;
        else
            rc = receive_records(h);
        if (rc == -EAGAIN)
            rc = wait_for(h, state & BR_SSL_SENDREC ? POLLOUT : POLLIN);
        if (rc)
            return rc;
    }
}

/* A word of goodbye, so that no server logs us as broken; nobody waits for its answer. */
static void say_goodbye(struct handshake *h)
{
    br_ssl_engine_close(&h->client.eng);
    while (br_ssl_engine_current_state(&h->client.eng) & BR_SSL_SENDREC) {
        if (send_records(h))
            return;
    }
}

static void explain(int rc, const struct handshake *h, char why[NP_SERVED_WHY_MAX])
{
    int error = br_ssl_engine_last_error(&h->client.eng);
    if (rc == NP_E_TLS && error)
        snprintf(why, NP_SERVED_WHY_MAX, "no TLS 1.2 handshake: %s", np_tls_error_text(error));
    else if (rc == NP_E_LIMIT)
        snprintf(why, NP_SERVED_WHY_MAX, "its certificate has more than %d bytes", NP_SERVED_DER_MAX);
    else
        snprintf(why, NP_SERVED_WHY_MAX, "%s", np_strerror(rc));
}

int np_served_leaf(const struct np_endpoint *remote, const char *server_name, unsigned timeout_ms,
                   uint8_t out_sha256[32], char why[NP_SERVED_WHY_MAX])
{
    struct handshake *h = calloc(1, sizeof *h);
    why[0] = '\0';
    if (!h) {
        snprintf(why, NP_SERVED_WHY_MAX, "%s", np_strerror(-ENOMEM));
        return -ENOMEM;
    }
    h->end_ms = np_monotonic_ms() + timeout_ms;
    h->taker.vtable = &taker_class;
    int rc = connect_to(h, remote);
    if (rc)
        goto out;
    np_tls_profile_public(&h->client);
    br_ssl_engine_set_buffer(&h->client.eng, h->buffer, sizeof h->buffer, 0);
    br_ssl_engine_set_x509(&h->client.eng, &h->taker.vtable);
    rc = br_ssl_client_reset(&h->client, server_name && server_name[0] ? server_name : NULL, 0) ? shake(h) : NP_E_TLS;
    if (rc == 0) {
        np_sha256(h->taker.leaf, h->taker.len, out_sha256);
        say_goodbye(h);
    } else if (rc == NP_E_TLS && h->taker.too_long) {
        rc = NP_E_LIMIT;
    }
out:
    if (rc)
        explain(rc, h, why);
    if (h->fd >= 0)
        close(h->fd);
    free(h);
    return rc;
}

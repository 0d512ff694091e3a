/* link: a box's HTTPS connection to HQ: TLS by libssl on libuv (the agent's own client, BearSSL, costs 4 ms of CPU a
 * handshake: ten thousand boxes of it would measure themselves). The server's certificate is checked against the
 * vendor's anchors, as the agent does.
 *
 * Lifecycle: np_link_open, np_link_send, np_link_close; after `ended` the link is gone as well. The memory goes in the
 * loop. */
#ifndef TESTS_BENCH_FLEET_LINK_H
#define TESTS_BENCH_FLEET_LINK_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>
#include <uv.h>

#define LINK_CONNECT_MS 10000 /* TCP and TLS, as the agent's NP_HQCLIENT_CONNECT_MS */

struct link;

/* What the owner hears. None of them is called from inside link_open, link_send or link_close. */
struct link_events {
    void (*data)(void *ctx, const uint8_t *data, size_t len);
    void (*ended)(void *ctx, int err); /* 0: closed by HQ; -ETIMEDOUT; NP_E_TLS; -errno */
};

/* Where to connect. */
struct link_target {
    struct sockaddr_in server;
    const char *host; /* of HQ's URL: SNI, and what the certificate must be for */
    SSL_CTX *tls;
};

/* TLS settings for all links: TLS 1.2 where tls12, as BearSSL speaks, else 1.3. NULL: the anchors cannot be read. */
SSL_CTX *link_tls(const char *anchors, bool tls12);

/* Begins to connect from the source address (network byte order). NULL: no memory or no socket. */
struct link *link_open(uv_loop_t *loop, const struct link_target *target, uint32_t source,
                       const struct link_events *events, void *ctx);

/* Sends a copy, at once or when the handshake is through. */
void link_send(struct link *link, const char *data, size_t len);

/* Closes without a word to the owner. NULL is fine. */
void link_close(struct link *link);

#endif

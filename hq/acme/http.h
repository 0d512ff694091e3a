/* http: HTTPS requests by libcurl's multi interface on the libuv loop. The only place that knows libcurl.
 *
 * https only, connections kept, HTTP/2 where the CA speaks it, no redirects, no proxy from the environment, the
 * server's certificate checked against one anchors file (or the system's). Bodies over a limit end the request with
 * NP_E_LIMIT.
 *
 * Lifecycle: np_http_new, any number of np_http_send, np_http_close, and after its callback the loop may go. */
#ifndef HQ_ACME_HTTP_H
#define HQ_ACME_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "hq/acme/jws.h"
#include "hq/acme/resource.h"
#include "hq/proto/jws.h"

#define NP_HTTP_CONNECT_TIMEOUT_MS 10000
#define NP_HTTP_TIMEOUT_MS         60000 /* of a whole request: Boulder may take 30 s under load */
#define NP_HTTP_CONNECTIONS_MAX    16    /* to the CA at once for signed requests, */
#define NP_HTTP_CONNECTIONS_SPARE  4     /* and for others */
#define NP_HTTP_WHY_MAX            160   /* characters of libcurl's reason */

struct np_http;

/* A finished request; borrowed, valid inside the callback. */
struct np_http_response {
    int rc; /* 0 when there is an answer of any status; else NP_E_TLS, NP_E_HTTP, NP_E_LIMIT, -ETIMEDOUT, ... */
    const char *why;  /* libcurl's reason, sanitised; "" when rc is 0 */
    int status;       /* HTTP status code */
    const char *body; /* len bytes and a NUL */
    size_t len;
    char nonce[NP_ACME_NONCE_MAX + 1]; /* Replay-Nonce; empty: none, or no nonce at all */
    char location[NP_URL_MAX + 1];     /* empty: none, or not a URL as this client follows them */
    struct np_acme_links links;
    int64_t retry_after_ms; /* 0: none */
    int64_t took_ms;
};

/* Called once for every request that was sent, never from inside np_http_send. */
typedef void np_http_done_fn(void *ctx, const struct np_http_response *response);

/* anchors: PEM file, copied; empty: the system's. Returns 0 or -ENOMEM. */
int np_http_new(uv_loop_t *loop, const char *anchors, struct np_http **out_http);

/* Before bytes go to a server allowed(ctx) is asked; while it says no, every request stands still where it is. For an
 * HQ that may have lost its work to another one. allowed is called from the loop itself, and may commit. */
void np_http_guard(struct np_http *http, bool (*allowed)(void *ctx), void *ctx);

enum np_http_method { NP_HTTP_GET, NP_HTTP_HEAD, NP_HTTP_POST_JOSE /* application/jose+json */ };

/* Sends a request; body (POST only, NUL-terminated) is copied. accept NULL: anything. Returns 0 or -ENOMEM; then, and
 * only then, done is called later (unless the whole np_http is closed before). */
int np_http_send(struct np_http *http, enum np_http_method method, const char *url, const char *accept,
                 const char *body, np_http_done_fn *done, void *ctx);

/* Drops all requests without calling their callbacks; done(ctx) comes from the loop when the memory has been freed. */
void np_http_close(struct np_http *http, void (*done)(void *ctx), void *ctx);

#endif

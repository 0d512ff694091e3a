/* http: plain HTTP/1.1 for the operator on one listening socket: libmicrohttpd in the libuv loop. What is answered is
 * the owner's. Bodies are a login form's: short.
 *
 * Lifecycle: np_admin_http_new, np_admin_http_close; after its callback the loop may go. */
#ifndef HQ_ADMIN_HTTP_H
#define HQ_ADMIN_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <uv.h>

#include "resolver/base/address.h"

#define NP_ADMIN_CONNECTIONS 32    /* a browser opens six, a monitoring system one */
#define NP_ADMIN_BODY_MAX    512   /* a token has at most 128 */
#define NP_ADMIN_DISCARD_MAX 16384 /* bytes of a longer one that are read to be able to answer */
#define NP_ADMIN_HEADERS_MAX 4

/* A request. Header members are NULL when absent. All borrowed. */
struct np_admin_request {
    const char *method, *path;
    const char *query; /* the value of "q", decoded; NULL: none */
    const char *host, *authorization, *cookie, *accept;
    const char *body;
    size_t body_len;
    bool too_large;
};

/* An answer. Security headers and Cache-Control: no-store go with every one. */
struct np_admin_response {
    int status;
    const char *content_type; /* NULL: no body */
    const void *body;         /* static; or malloc'd where owned is set */
    size_t body_len;
    bool owned;
    struct {
        const char *name; /* static */
        char value[256];
    } headers[NP_ADMIN_HEADERS_MAX];
    size_t header_count;
};

/* Who answers. */
struct np_admin_handler {
    void *ctx;
    void (*handle)(void *ctx, const struct np_admin_request *request, struct np_admin_response *out_response);
};

struct np_admin_http;

/* Opens a listening socket. Returns the descriptor or -errno. */
int np_admin_listen(const struct np_endpoint *local);

/* Serves on fd, which it takes over on success. Returns 0, -ENOMEM or NP_E_HTTP. */
int np_admin_http_new(uv_loop_t *loop, int fd, const struct np_admin_handler *handler, struct np_admin_http **out_http);

/* Ends all connections and frees; done(ctx) is called from the loop. */
void np_admin_http_close(struct np_admin_http *http, void (*done)(void *ctx), void *ctx);

#endif

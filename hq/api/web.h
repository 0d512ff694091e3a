/* web: HTTP/1.1 for the API: libmicrohttpd on connections that the front door has already taken out of TLS.
 *
 * MHD listens on nothing and never does TLS: it is handed one end of a socket pair with the client's address
 * (np_web_add), and runs in the libuv loop through its epoll descriptor. All requests of one turn share one commit of
 * the store, before any of their answers can be read from the socket pairs.
 *
 * Lifecycle: np_web_new, np_web_add for each connection, np_web_close; after its callback the loop and the api may
 * go. */
#ifndef HQ_API_WEB_H
#define HQ_API_WEB_H

#include <uv.h>

#include "hq/api/api.h"
#include "resolver/base/address.h"

#define NP_WEB_IDLE_S      60          /* an idle keep-alive connection is closed */
#define NP_WEB_MEMORY_MAX  (16 * 1024) /* of one connection, for its headers */
#define NP_WEB_TURN_MAX    256         /* requests of one turn whose time counts up to their commit */
#define NP_WEB_DISCARD_MAX (64 * 1024) /* bytes of a too large body that are read to be able to answer 413 */

struct np_web;

/* What the server wants to know. */
struct np_web_events {
    void *ctx;
    /* After a turn's commit: 0, or the error, in which case no answer of this turn may reach its client: every
     * connection must be dropped before this function returns. */
    void (*committed)(void *ctx, int rc);
};

/* Starts. connections_max bounds what np_web_add accepts. api is borrowed. Returns 0, -ENOMEM or NP_E_HTTP. */
int np_web_new(uv_loop_t *loop, struct np_api *api, unsigned connections_max, const struct np_web_events *events,
               struct np_web **out_web);

/* Takes over fd, a connected, non-blocking stream socket, on success. client AF_UNSPEC: a proxy's, whose
 * X-Forwarded-For is believed (hq/api/forwarded). Returns 0 or NP_E_LIMIT. */
int np_web_add(struct np_web *web, int fd, const struct np_endpoint *client);

/* From now on every answer is the last one of its connection (Connection: close). */
void np_web_last(struct np_web *web);

/* What was counted since the start, borrowed. */
const struct np_api_stats *np_web_stats(const struct np_web *web);

/* Ends all connections and frees; done(ctx) is called from the loop. */
void np_web_close(struct np_web *web, void (*done)(void *ctx), void *ctx);

#endif

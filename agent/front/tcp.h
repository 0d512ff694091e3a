/* tcp: one plain TCP connection on a libuv loop, shaped like agent/tls/stream, so that what serves one serves both.
 *
 * Lifecycle: np_tcp_connect or np_tcp_accept; np_tcp_write and on_data; then np_tcp_close (or an error), and exactly
 * one on_closed, after which the memory is gone. Nothing is ever freed inside another callback. Callbacks may call any
 * function of this file. Limits: NP_TCP_CONNECT_MS, NP_TCP_LINGER_MS; other deadlines are the owner's. */
#ifndef AGENT_FRONT_TCP_H
#define AGENT_FRONT_TCP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "resolver/base/address.h"

#define NP_TCP_READ_MAX    16384 /* bytes read at once, and kept while the owner takes none */
#define NP_TCP_PENDING_MAX 32768 /* bytes taken by np_tcp_write beyond what the kernel takes */
#define NP_TCP_CONNECT_MS  5000  /* deadline of connecting: a backend is near */
#define NP_TCP_LINGER_MS   5000  /* how long a close waits for its bytes to leave and for the peer's end */

struct np_tcp;

/* What the owner hears. on_data and on_closed must be set. */
struct np_tcp_events {
    /* Connected (after np_tcp_connect only); writing is possible. */
    void (*on_ready)(void *ctx, struct np_tcp *tcp);
    /* Bytes. Returns how many were taken (0 to len); if fewer than len, no more come until np_tcp_resume. */
    size_t (*on_data)(void *ctx, struct np_tcp *tcp, const uint8_t *data, size_t len);
    /* There is room again after a write took less than it was given. May come more often than that. */
    void (*on_writable)(void *ctx, struct np_tcp *tcp);
    /* The peer sends no more, and all that it sent was taken; writing is still possible. NULL: np_tcp_close. */
    void (*on_eof)(void *ctx, struct np_tcp *tcp);
    /* The end. err: 0 (own close or abort), -ETIMEDOUT, -ECONNREFUSED, -ECONNRESET or another -errno. */
    void (*on_closed)(void *ctx, int err);
};

/* Connects. Returns 0 with *out_tcp (errors from then on come by on_closed), -ENOMEM or -errno. */
int np_tcp_connect(uv_loop_t *loop, const struct np_tcp_events *events, void *ctx, const struct np_endpoint *remote,
                   struct np_tcp **out_tcp);

/* Serves a connected descriptor, which becomes the connection's on success. Returns 0, -ENOMEM or -errno. */
int np_tcp_accept(uv_loop_t *loop, const struct np_tcp_events *events, void *ctx, int fd, struct np_tcp **out_tcp);

/* Sends. Returns how many bytes were taken (0 to len); if fewer than len, on_writable comes when there is room. 0
 * before on_ready and after np_tcp_close. */
size_t np_tcp_write(struct np_tcp *tcp, const void *data, size_t len);

/* Delivers again after on_data took less than it was given. */
void np_tcp_resume(struct np_tcp *tcp);

/* Can np_tcp_write take something now? If not, on_writable comes when it can. */
bool np_tcp_has_room(const struct np_tcp *tcp);

/* Sends what was written, then FIN, and goes on reading as before. np_tcp_write takes nothing any more. */
void np_tcp_finish(struct np_tcp *tcp);

/* Sends what was written, then FIN, and reads on into nothing until the peer's end, so that no RST overtakes the last
 * bytes; at most NP_TCP_LINGER_MS. Only on_closed comes any more. A second call does nothing. */
void np_tcp_close(struct np_tcp *tcp);

/* Closes the socket at once. on_closed still comes, with err 0. */
void np_tcp_abort(struct np_tcp *tcp);

#endif

/* frontdoor: accepts TLS connections, ends TLS, and relays the plaintext to a stream socket that its owner hands to the
 * HTTP server. Whatever a client does here costs it more than us: a handshake has a deadline, connections are counted
 * in all and by address, silence ends them, and a slow reader stops its own stream alone.
 *
 *     client <= TCP, TLS => frontdoor <= socket pair, plaintext => opened(fd)
 *
 * A connection reaches `opened` only after its handshake, so half-open ones never take a place behind. Lifecycle:
 * np_door_new, np_door_listen for each address (before privileges are dropped), np_door_close; after its
 * callback the loop and the tls may go. */
#ifndef HQ_FRONTDOOR_H
#define HQ_FRONTDOOR_H

#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "hq/tls.h"
#include "resolver/base/address.h"

#define NP_DOOR_LISTENERS_MAX 16
#define NP_DOOR_BACKLOG       1024
#define NP_DOOR_BUFFER        (16 * 1024)  /* read at once from either side */
#define NP_DOOR_QUEUE_MAX     (128 * 1024) /* bytes waiting for one side before the other is no longer read */

struct np_door;

/* Limits and the owner. Times in milliseconds. */
struct np_door_config {
    unsigned connections_max;
    unsigned per_address_max; /* an IPv4 address, or an IPv6 /64 */
    unsigned handshake_ms;    /* from accept to the end of the handshake */
    unsigned idle_ms;         /* without a byte in either direction */
    /* A connection is through: fd (non-blocking) is its plaintext. Takes fd over by returning 0; otherwise the
     * connection is closed. */
    int (*opened)(void *ctx, int fd, const struct np_endpoint *client);
    void *ctx;
};

/* Counters since the start; open and handshaking are now. */
struct np_door_stats {
    uint64_t accepted, refused_total, refused_address, handshakes, handshakes_failed, timeouts;
    unsigned open, handshaking;
};

/* Allocates. tls is borrowed; config is copied. Returns 0 or -ENOMEM. */
int np_door_new(uv_loop_t *loop, struct np_tls *tls, const struct np_door_config *config, struct np_door **out_door);

/* Binds and listens; accepting begins when the loop runs. Returns 0, NP_E_LIMIT or -errno. */
int np_door_listen(struct np_door *door, const struct np_endpoint *local);

/* The endpoint that listener number index is bound to (the port where 0 was asked for). AF_UNSPEC past the end. */
struct np_endpoint np_door_local(const struct np_door *door, size_t index);

/* Cuts every connection at once, without sending what waits. */
void np_door_drop_all(struct np_door *door);

/* The counters, borrowed. */
const struct np_door_stats *np_door_stats(const struct np_door *door);

/* Closes listeners and connections; done(ctx) is called from the loop when the memory has been freed. */
void np_door_close(struct np_door *door, void (*done)(void *ctx), void *ctx);

#endif

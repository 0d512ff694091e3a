/* frontdoor: takes the devices' connections and relays their plaintext to a stream socket that its owner hands to the
 * HTTP server: TLS that it ends itself, or plain HTTP on a Unix socket, from a proxy that has ended TLS.
 *
 *     client <= TCP, TLS  => frontdoor <= socket pair, plaintext => opened(fd)
 *     proxy  <= Unix socket => frontdoor <= socket pair, plaintext => opened(fd)
 *
 * Whatever a client does here costs it more than us. A connection is always in one of five states, each of which ends
 * by itself, and all that wait in one state wait equally long, so that a list in the order of arrival knows who is
 * next:
 *
 *     handshaking  until TLS is through                                       handshake_ms
 *     asked        has sent something that has no answer yet                  request_ms, however it trickles
 *     idle         nothing is owed to it                                      idle_ms
 *     lingering    all is said; it has not closed yet                         2 s
 *     refused      a proxy that is being told 503                             2 s
 *
 * Connections are counted in all and by address. When the table is full, the newcomer takes the place of whoever has
 * waited longest: a connection idle for displace_idle_ms, a handshake under way for displace_handshake_ms, then a
 * request that has not come whole in displace_asked_ms; where there is none, it is refused (nobody is displaced for
 * what HQ itself is late with: these times are longer by how late the loop is): by closing (which devices read as 503),
 * and a proxy by a 503 with Retry-After, since it would make a 502 of anything else. A slow reader stops its own stream
 * alone.
 *
 * A connection reaches `opened` only after its handshake, so half-open ones never take a place behind. Lifecycle:
 * np_door_new, np_door_listen and np_door_listen_path for each address (before privileges are dropped), np_door_close;
 * after its callback the loop and the tls may go. */
#ifndef HQ_FRONTDOOR_H
#define HQ_FRONTDOOR_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <uv.h>

#include "hq/tls.h"
#include "resolver/base/address.h"

#define NP_DOOR_LISTENERS_MAX 16
#define NP_DOOR_BACKLOG       1024
#define NP_DOOR_BUFFER        (16 * 1024)  /* read at once from either side */
#define NP_DOOR_QUEUE_MAX     (128 * 1024) /* bytes waiting for one side before the other is no longer read */
#define NP_DOOR_PATH_MAX      107          /* bytes of a Unix socket's path: what struct sockaddr_un holds */
#define NP_DOOR_REFUSALS_MAX  64           /* connections of a proxy that are being told 503, beyond connections_max */

struct np_door;

/* Limits and the owner. Times in milliseconds. */
struct np_door_config {
    unsigned connections_max;
    unsigned per_address_max; /* an IPv4 address, or an IPv6 /64; not behind a proxy, which has limits of its own */
    unsigned handshake_ms;    /* from accept to the end of the handshake */
    unsigned request_ms;      /* from the first byte of a request to the first of its answer */
    unsigned idle_ms;         /* without a byte in either direction */
    unsigned displace_idle_ms, displace_handshake_ms, displace_asked_ms;
    /* A connection is through: fd (non-blocking) is its plaintext. client is AF_UNSPEC for a proxy's connection. Takes
     * fd over by returning 0; otherwise the connection is closed. */
    int (*opened)(void *ctx, int fd, const struct np_endpoint *client);
    void *ctx;
};

/* Counters since the start; open and handshaking are now. */
struct np_door_stats {
    uint64_t accepted, refused_total, refused_address, handshakes, resumed, handshakes_failed, timeouts;
    uint64_t displaced;                   /* made room for a newcomer */
    unsigned open, handshaking, refusing; /* open: without those being refused */
};

/* Allocates. tls is borrowed, and may be NULL where np_door_listen is not called; config is copied. Returns 0 or
 * -ENOMEM.
 */
int np_door_new(uv_loop_t *loop, struct np_tls *tls, const struct np_door_config *config, struct np_door **out_door);

/* Binds and listens for TLS; accepting begins when the loop runs. Returns 0, NP_E_LIMIT or -errno. */
int np_door_listen(struct np_door *door, const struct np_endpoint *local);

/* Makes a Unix socket for plain HTTP with that mode and owner (uid or gid -1: as it is made) and listens. A socket that
 * nobody listens on any more is replaced; any other file is -EADDRINUSE. Returns 0, NP_E_LIMIT or -errno. */
int np_door_listen_path(struct np_door *door, const char *path, mode_t mode, uid_t uid, gid_t gid);

/* The endpoint that listener number index is bound to (the port where 0 was asked for). AF_UNSPEC past the end and for
 * a Unix socket. */
struct np_endpoint np_door_local(const struct np_door *door, size_t index);

/* Cuts every connection at once, without sending what waits. */
void np_door_drop_all(struct np_door *door);

/* Stops listening, lets requests under way be answered and those that follow at once (the HTTP server is to close
 * behind each of them), and closes what asks nothing any more, for at most limit_ms; done(ctx) is called once no
 * connection is left. */
void np_door_drain(struct np_door *door, unsigned limit_ms, void (*done)(void *ctx), void *ctx);

/* The counters, borrowed. */
const struct np_door_stats *np_door_stats(const struct np_door *door);

/* Closes listeners and connections; done(ctx) is called from the loop when the memory has been freed. */
void np_door_close(struct np_door *door, void (*done)(void *ctx), void *ctx);

#endif

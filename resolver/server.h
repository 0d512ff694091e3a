/* server: the sockets of a DNS server: UDP by recvmmsg/sendmmsg with the packet's own local address and interface, TCP
 * with pipelining (RFC 7766). Shared by the device's resolver and HQ's built-in authoritative server; what to answer is
 * the caller's function.
 *
 * Lifecycle: np_server_init on a libuv loop, add listeners (bound descriptors, which the server then owns),
 * np_server_close, and after its callback the memory may go. Answers leave from the address that was asked. */
#ifndef RESOLVER_SERVER_H
#define RESOLVER_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "resolver/base/address.h"
#include "resolver/message.h"

#define NP_SERVER_LISTENERS_MAX   128   /* 32 interfaces, two families, UDP and TCP */
#define NP_SERVER_TCP_MAX         256   /* connections at once; from 224 on the idlest makes way for a new one */
#define NP_SERVER_TCP_PER_CLIENT  16    /* connections of one address at once */
#define NP_SERVER_TCP_PER_NETWORK 64    /* of one IPv6 /64: a host there has any number of addresses */
#define NP_SERVER_TCP_IDLE_MS     10000 /* RFC 7766 section 6.2.3 */
#define NP_SERVER_TLS_IDLE_MS     30000 /* a handshake costs a small router 50 ms and more (RFC 7858 section 3.4) */
#define NP_SERVER_TCP_PIPELINE    64    /* unanswered queries on one connection */
#define NP_SERVER_TCP_QUERY_MAX   4096  /* bytes of one query: a longer one ends its connection */

struct np_server;

/* Who asked, how, and where it arrived. */
struct np_client {
    struct np_endpoint remote;
    struct np_addr local; /* the address that was asked */
    uint32_t ifindex;     /* the ingress interface; 0 when unknown */
    bool tcp;
    bool tls; /* over a stream that was TLS to the client; tcp is set too */
};

/* A query whose answer comes later. Plain value; stays valid (and harmless) when the connection has gone meanwhile. */
struct np_ticket {
    struct np_client client;
    uint32_t listener; /* internal */
    uint32_t slot;     /* internal */
    uint64_t serial;   /* internal */
};

/* Answers one packet. Returns the number of bytes written to out (size bytes: NP_DNS_MESSAGE_MAX for TCP,
 * NP_DNS_UDP_MAX for UDP), 0 to drop it, or -1 when the answer comes later through np_server_reply with the ticket
 * (copied by then). packet is borrowed. */
typedef long np_serve_fn(void *ctx, const struct np_ticket *ticket, const uint8_t *packet, size_t len, uint8_t *out,
                         size_t size);

/* Decides before anything is parsed whether the client is served at all. NULL: everybody is. */
typedef bool np_serve_admit_fn(void *ctx, const struct np_client *client);

/* Counters since the start. */
struct np_server_stats {
    uint64_t udp_in, udp_out, udp_dropped, tcp_in, tcp_out, tcp_accepted, tcp_refused, not_admitted;
    uint64_t tls_in, tls_accepted, tls_refused; /* of the TCP ones, what came over TLS */
};

/* Allocates a server on loop. Returns 0 or -ENOMEM. */
int np_server_new(uv_loop_t *loop, np_serve_fn *serve, np_serve_admit_fn *admit, void *ctx,
                  struct np_server **out_server);

/* Adds a bound (for TCP also listening) descriptor, which becomes the server's on success. Returns 0, NP_E_LIMIT or
 * -errno. */
int np_server_add(struct np_server *server, int fd, bool tcp);

/* Serves a connected stream that somebody else accepted (and whose TLS he ends) as a connection of client, tcp and tls
 * being set there: admitted and limited as those that come in over a listener. fd becomes the server's on success.
 * Returns 0, -EACCES (not admitted), NP_E_LIMIT, -ENOMEM or -errno. */
int np_server_adopt(struct np_server *server, int fd, const struct np_client *client);

/* Closes the listener on that local endpoint and transport; open connections of it end after their answers. A
 * link-local endpoint without a scope matches the first of its kind. 0 or NP_E_NOT_FOUND. */
int np_server_remove(struct np_server *server, const struct np_endpoint *local, bool tcp);

/* Would a packet to that endpoint, sent from the address local, come in on one of our UDP listeners? A listener on the
 * wildcard address takes what is sent to any address of this machine: one from which it is sent to itself, or loopback.
 */
bool np_server_listens(const struct np_server *server, const struct np_endpoint *endpoint, const struct np_addr *local);

/* Sends a late answer; len 0 gives the query up. Ignored when the connection or the listener has gone. Not to be called
 * from inside serve, which answers by its own return value. */
void np_server_reply(struct np_server *server, const struct np_ticket *ticket, const uint8_t *message, size_t len);

/* The counters, borrowed. */
const struct np_server_stats *np_server_stats(const struct np_server *server);

/* Closes everything; done(ctx) is called from the loop when the memory has been freed. done may be NULL. */
void np_server_close(struct np_server *server, void (*done)(void *ctx), void *ctx);

/* Opens a non-blocking UDP socket, or a listening TCP one, bound to local (port 0: any), with the options that this
 * server needs (packet info, IPV6_V6ONLY; SO_REUSEADDR on TCP alone, since on UDP it would share the port silently).
 * Returns the descriptor or -errno. */
int np_server_open(const struct np_endpoint *local, bool tcp);

#endif

/* server_private: what server.c (lifecycle and listeners), server_udp.c and server_tcp.c share. Included by these three
 * alone. */
#ifndef RESOLVER_SERVER_PRIVATE_H
#define RESOLVER_SERVER_PRIVATE_H

#include "resolver/server.h"

#define UDP_BATCH       32           /* packets a recvmmsg: past that the syscall's share is noise */
#define UDP_BATCHES     4            /* in one go, so that TCP and timers get their turn under a flood */
#define UDP_QUERY_MAX   2048         /* bytes: a query with padding and options; longer ones are dropped */
#define UDP_CONTROL_LEN 64           /* bytes: CMSG_SPACE(struct in6_pktinfo), the larger of the two, is 40 */
#define TCP_BATCH_OUT   (128 * 1024) /* answers gathered for one write */
#define TCP_QUEUE_MAX   (256 * 1024) /* bytes unsent to a client that does not read: it is closed */
#define TCP_SPARE       32           /* places kept free: what two listeners accept in one turn of the loop */
#define TCP_TICK_MS     1000         /* how often idle connections are looked for */
#define NO_LISTENER     UINT32_MAX   /* in the ticket of an adopted connection */

/* A bound socket. Allocated, since its poll handle lives until its close callback. */
struct listener {
    struct np_server *server;
    uv_poll_t poll;
    int fd;
    bool tcp;
    bool wildcard; /* bound to no address of its own */
    bool paused;   /* out of descriptors: listens again at the next tick */
    struct np_endpoint local;
    uint32_t index;  /* in server->listeners */
    uint32_t serial; /* tells a listener from an earlier one in the same place */
};

/* A TCP connection. */
struct connection {
    struct np_server *server;
    uv_tcp_t tcp;
    struct np_ticket ticket; /* as given to serve */
    uint32_t pending;        /* queries whose answers come later */
    bool eof;                /* the client sends no more: closed after the last answer */
    bool closing;
    bool reading;
    uint64_t active_ms; /* last whole query or written answer */
    size_t in_len;
    uint8_t in[2 + NP_SERVER_TCP_QUERY_MAX];
};

/* The buffers of one UDP batch. What does not change from packet to packet is set once, by np_server_udp_init. */
struct udp_batch {
    struct mmsghdr in[UDP_BATCH], out[UDP_BATCH];
    struct iovec in_iov[UDP_BATCH], out_iov[UDP_BATCH];
    struct sockaddr_storage peers[UDP_BATCH];
    union {
        struct cmsghdr align;
        uint8_t bytes[UDP_CONTROL_LEN];
    } in_control[UDP_BATCH], out_control[UDP_BATCH];
    uint8_t in_data[UDP_BATCH][UDP_QUERY_MAX];
    uint8_t out_data[UDP_BATCH][NP_DNS_UDP_MAX];
};

struct np_server {
    uv_loop_t *loop;
    np_serve_fn *serve;
    np_serve_admit_fn *admit;
    void *ctx;
    struct np_server_stats stats;
    struct listener *listeners[NP_SERVER_LISTENERS_MAX];
    struct connection *connections[NP_SERVER_TCP_MAX];
    size_t connection_count;
    uint64_t serial; /* of the last listener or connection */
    uv_timer_t tick; /* runs while there are connections or paused listeners */
    size_t handles;  /* not yet closed: the memory waits for them */
    bool closing;
    void (*done)(void *ctx);
    void *done_ctx;
    struct udp_batch udp;
    uint8_t tcp_out[TCP_BATCH_OUT];
};

/* Prepares the buffers of the UDP batch, once. */
void np_server_udp_init(struct np_server *server);

/* The listener's socket is readable: receives, serves and sends what is there. */
void np_server_udp_readable(struct listener *listener);

/* Sends one late answer from the listener. */
void np_server_udp_reply(struct listener *listener, const struct np_client *client, const uint8_t *message, size_t len);

/* The listener's socket has connections to accept. */
void np_server_tcp_readable(struct listener *listener);

/* Sends one late answer over the ticket's connection, if that is still there. */
void np_server_tcp_reply(struct np_server *server, const struct np_ticket *ticket, const uint8_t *message, size_t len);

/* Closes connections that have been idle too long. */
void np_server_tcp_tick(struct np_server *server);

/* Closes the connections that came in over the listener (NULL: all), at once or after their pending answers. */
void np_server_tcp_end(struct np_server *server, const struct listener *listener, bool at_once);

/* Starts the tick unless it runs. */
void np_server_need_tick(struct np_server *server);

/* Counts a closed handle; frees the server after the last one. */
void np_server_handle_closed(struct np_server *server);

#endif

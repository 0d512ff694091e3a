/* forward_private: what the parts of the forwarding engine share, and nobody else includes.
 *
 *   forward.c         questions and their tries, from the client's query to its answer
 *   forward_groups.c  which upstreams there are
 *   forward_udp.c     tries on UDP sockets
 *   forward_stream.c  tries on streams of DNS messages (dns_stream.h): pipelining, reuse, retry; whoever opened the
 * stream forward_tcp.c     opens a stream over plain TCP forward_stats.c   what people are told about all of it
 *
 * Another transport that carries a stream (TLS that ends in another process) is another opener beside forward_tcp.c:
 * connection_start in forward_stream.c calls it with a new struct connection; it hands in the descriptor through
 * np_forward_stream_opened, at once or later, or gives up through np_forward_stream_failed. Later, the connection may
 * have gone: remember its serial and look it up with np_forward_stream_find. */
#ifndef RESOLVER_FORWARD_PRIVATE_H
#define RESOLVER_FORWARD_PRIVATE_H

#include "resolver/forward.h"
#include "resolver/response.h"
#include "resolver/dns_stream.h"
#include "resolver/upstream.h"

#define REMOTES_MAX     (NP_VIEW_UPSTREAMS_MAX + NP_VIEW_FORWARDS_MAX * NP_VIEW_FORWARD_TO_MAX)
#define BUCKETS         4096 /* of the table of questions in flight: two a question at most */
#define CLIENT_COUNTERS 1024 /* clients share counters when their hashes meet: a limit, not an account */
#define RANDOM_POOL     4096 /* bytes from the kernel at a time: one getrandom for 100 questions */
#define UDP_RECEIVE_MAX 4096 /* an upstream that ignores our 1232 */
#define TRIES_ALL       (NP_ATTEMPT_TRIES_MAX * 2) /* those over TCP and the probes counted */
#define QUERY_SIZE_MAX  (2 + NP_DNS_HEADER_LEN + NP_NAME_WIRE_MAX + 4 + 11)

struct question;
struct remote;

/* One query sent. Either its socket or its connection is set while it can still be answered. */
struct
try {
    struct question *question;
    struct remote *remote; /* valid while socket or connection is set */
    struct udp_socket *socket;
    struct connection *connection;
    int64_t sent_ms;
    uint16_t id;
    uint8_t place; /* in the socket's or connection's tries */
    bool check_case, edns;
    bool timed_out; /* counted as a failure of the remote already */
    bool probe;     /* sent beside the real try */
    bool unsent;    /* waits on its connection for its turn */
};

/* A client that waits. */
struct waiter {
    struct waiter *next;
    int64_t asked_ns; /* uv_hrtime's clock */
    struct np_ticket ticket;
    struct np_query query;
    uint8_t question[NP_NAME_WIRE_MAX + 4];
};

/* A question in flight. */
struct question {
    struct np_forward *forward;
    struct question *next; /* in its bucket */
    uint64_t hash;
    struct np_name sent_name; /* in mixed case */
    uint16_t qtype;
    bool dnssec_ok, checking_disabled;
    struct waiter *waiters;
    struct np_attempt attempt;
    int64_t due_ms;
    size_t heap_index;
    bool unreachable; /* a try failed in the network, not by silence */
    size_t try_count;
    struct try tries[TRIES_ALL];
    uint8_t *fallback; /* the first SERVFAIL or its like, in case nothing better comes */
    size_t fallback_len;
};

/* A connected UDP socket. */
struct udp_socket {
    struct udp_socket *next;
    struct remote *remote;
    uv_poll_t poll;
    int fd;
    unsigned used, active;
    int64_t born_ms;
    bool closing;
    struct try *tries[NP_FORWARD_SOCKET_QUERIES];
};

/* A connection to an upstream. */
struct connection {
    struct connection *next; /* in the engine's list */
    struct remote *remote;
    uint64_t serial;              /* tells it from every other one there ever was */
    struct np_dns_stream *stream; /* NULL while somebody else opens it */
    bool open, closing;
    bool dirty;              /* has something to flush */
    unsigned active, unsent; /* tries on it; of these, not yet given to the stream */
    uint64_t answers;        /* any: it has been of use, and when it ends, its questions get a new one */
    unsigned foreign;        /* messages that answered nothing */
    int64_t active_ms;       /* last question or answer */
    struct try *tries[NP_FORWARD_STREAM_QUERIES];
};

/* An upstream. */
struct remote {
    struct np_forward *forward;
    struct np_view_upstream server;                                      /* as the view has it */
    struct np_upstream state;                                            /* its endpoint is the one for clear text */
    struct udp_socket *current;                                          /* takes new queries; NULL: none */
    struct connection *connections[NP_FORWARD_CONNECTIONS_PER_UPSTREAM]; /* NULL: none */
    uint64_t asked, timeouts, errors, streamed;                          /* see np_forward_upstream */
    unsigned references; /* sockets and connections, and the table's own */
};

/* The servers of a zone (the root for the view's upstreams). */
struct group {
    struct np_name zone;
    size_t count;
    struct remote *remotes[NP_VIEW_UPSTREAMS_MAX];
};

struct np_forward {
    uv_loop_t *loop;
    np_forward_judge_fn *judge;
    np_forward_done_fn *done;
    void *ctx;
    struct np_forward_stats stats;
    struct remote *remotes[REMOTES_MAX];
    size_t remote_count;
    size_t group_count;
    struct group groups[1 + NP_VIEW_FORWARDS_MAX]; /* the first is for everything else */
    struct question *buckets[BUCKETS];
    struct question *heap[NP_FORWARD_INFLIGHT_MAX]; /* by due_ms */
    size_t inflight, waiters;
    uint64_t key;
    uint16_t clients[CLIENT_COUNTERS];
    uint32_t per_client; /* how high one of these may go */
    struct udp_socket *sockets;
    size_t socket_count;
    struct connection *connections;
    size_t connection_count;
    uint64_t connection_serial;
    uv_prepare_t flush; /* runs before the loop waits, when a connection has something to send */
    uv_timer_t timer;   /* at the earliest due_ms */
    int64_t armed_ms;   /* when the timer fires; 0: not set */
    uv_timer_t sweep;   /* while there are sockets or connections: closes those that are old */
    uint8_t random[RANDOM_POOL];
    size_t random_left;
    size_t handles;
    bool closing;
    void (*closed)(void *ctx);
    void *closed_ctx;
    uint8_t receive[UDP_RECEIVE_MAX];
};

/* Sends the question to the remote over UDP, as a try. Returns 0, NP_E_LIMIT, or -errno when the network refuses it. */
int np_forward_udp_send(struct question *question, struct remote *remote, bool probe);

/* The socket's last try has ended: closes it unless it takes new ones. */
void np_forward_udp_idle(struct udp_socket *sock);

/* Closes idle and overaged sockets; all when everything is set. */
void np_forward_udp_sweep(struct np_forward *forward, bool everything);

/* Sends the question to the remote over one of its streams, which is opened if need be. Returns 0, NP_E_LIMIT or
 * -errno.
 */
int np_forward_stream_send(struct question *question, struct remote *remote);

/* An opener has the connection's descriptor, which is the engine's on success; a TCP connect may still be under way.
 * Returns 0 or -errno. */
int np_forward_stream_opened(struct connection *connection, int fd);

/* An opener gives up, later than its call (inside it, it returns an error): the connection's questions go elsewhere. */
void np_forward_stream_failed(struct connection *connection);

/* The connection with that serial, NULL when it has gone. Borrowed. */
struct connection *np_forward_stream_find(struct np_forward *forward, uint64_t serial);

/* The opener for plain TCP: connects to the remote. Returns 0 or -errno. */
int np_forward_tcp_open(struct connection *connection);

/* Takes an ending try off its connection. For np_forward_try_end alone. */
void np_forward_stream_take_off(struct try *try);

/* Sends what the connections gathered. The callback of the flush handle. */
void np_forward_stream_flush(uv_prepare_t *prepare);

/* Closes idle connections; all when everything is set. */
void np_forward_stream_sweep(struct np_forward *forward, bool everything);

/* Takes a new try from the question, NULL when it has had enough. The caller puts it on a socket or connection, and
 * ends it with np_forward_try_end. */
struct try *np_forward_try(struct question *question, struct remote *remote, bool probe);

/* The try can no longer be answered: takes it off its socket or connection. */
void np_forward_try_end(struct try *try);

/* Bytes came in for a socket or connection with those tries. Returns after the question they answer, if any, has been
 * dealt with: true if they answered one. */
bool np_forward_received(struct np_forward *forward, struct try *const *tries, size_t count, bool tcp,
                         const uint8_t *message, size_t len);

/* The network failed the try (and np_forward_try_end was not yet called). */
void np_forward_try_failed(struct try *try);

/* The question cannot be asked of the remote: another one is asked at the next turn of the loop. */
void np_forward_unreachable(struct question *question, struct remote *remote);

/* Random bytes from the pool. */
void np_forward_random(struct np_forward *forward, void *out, size_t len);

/* Writes the try's query. Returns its length. */
size_t np_forward_write(const struct try *try, uint8_t *out, size_t size);

/* Drops a reference; frees the remote after the last. */
void np_forward_remote_release(struct remote *remote);

/* Starts the sweep unless it runs. */
void np_forward_need_sweep(struct np_forward *forward);

/* Counts a closed handle; frees the engine after the last one. */
void np_forward_handle_closed(struct np_forward *forward);

#endif

/* forward_private: what the parts of the forwarding engine share, and nobody else includes.
 *
 *   forward.c           the engine: clients' queries come in, answers go out, beginning and end
 *   forward_question.c  a question on its way: when whom is asked (attempt.h decides), its tries, its end
 *   forward_answer.c    what comes back for a try (response.h judges), and what follows from it (attempt.h decides)
 *   forward_loop.c      questions that come back to us: an upstream that is ourselves, or that forwards to us
 *   forward_groups.c    which upstreams there are
 *   forward_udp.c       tries on UDP sockets
 *   forward_stream.c    tries on streams of DNS messages (dns_stream.h), whoever opened the stream: pipelining, reuse
 *   forward_tcp.c       opens a stream over plain TCP
 *   forward_dot.c       opens a stream over TLS, which somebody else ends; and which way a server is asked
 *   forward_stats.c     what people are told about all of it
 *
 * connection_start in forward_stream.c calls an opener (forward_tcp.c, forward_dot.c) with a new struct connection; it
 * hands in the descriptor through np_forward_stream_opened, at once or later, or gives up through
 * np_forward_stream_failed. Later, the connection may have gone: its serial tells. */
#ifndef RESOLVER_FORWARD_PRIVATE_H
#define RESOLVER_FORWARD_PRIVATE_H

#include <sys/socket.h>

#include "resolver/attempt.h"
#include "resolver/dns_stream.h"
#include "resolver/forward.h"
#include "resolver/response.h"

#define REMOTES_MAX     (NP_VIEW_UPSTREAMS_MAX + NP_VIEW_FORWARDS_MAX * NP_VIEW_FORWARD_TO_MAX)
#define BUCKETS         8192 /* of the table of questions in flight: as many as there are questions at most */
#define CLIENT_COUNTERS 1024 /* clients share counters when their hashes meet: a limit, not an account */
#define RANDOM_POOL     4096 /* bytes from the kernel at a time: one getrandom for 400 queries */
#define UDP_RECEIVE_MAX 4096 /* an upstream that ignores our 1232 */
#define UDP_BATCH       8    /* answers received at a time */
#define TRIES_ALL       (NP_ATTEMPT_TRIES_MAX * 2) /* of a question; those over streams and those beside counted */
#define QUERY_SIZE_MAX  512                        /* a query with the longest name, padded (RFC 8467: blocks of 128) */

struct question;
struct remote;

/* A query that was sent. Either its socket or its connection is set while it can still be answered. */
struct pending {
    struct pending *next; /* of the question's, the newest first */
    struct question *question;
    struct remote *remote; /* valid while socket or connection is set */
    struct udp_socket *socket;
    struct connection *connection;
    struct np_try try;
    uint64_t case_seed; /* secret: what its name's letters look like */
    uint16_t id;
    uint8_t place; /* in the socket's or connection's tries */
    bool echoed;   /* its question came back to us */
    bool unsent;   /* waits on its connection for its turn */
    bool answered; /* on a connection */
};

/* A client that waits. */
struct waiter {
    struct waiter *next;
    int64_t asked_ns; /* uv_hrtime's clock */
    struct np_ticket ticket;
    struct np_query query; /* its names are in question */
    uint8_t question[];    /* as it was asked */
};

/* A question in flight. */
struct question {
    struct np_forward *forward;
    struct question *next; /* in its bucket */
    uint64_t hash;
    uint16_t qtype;
    bool dnssec_ok, checking_disabled;
    bool unreachable;   /* a try failed in the network, not by silence */
    bool looped;        /* an upstream sent it back to us */
    bool trusted;       /* the AD bit in its answer is believed */
    bool told_late;     /* its clients have been told that it takes long */
    unsigned echo_bits; /* evidence of that */
    struct waiter *waiters;
    struct group *group; /* in the engine's table */
    struct np_attempt attempt;
    int64_t due_ms;
    size_t heap_index;
    struct pending *tries;
    size_t try_count;
    uint8_t *fallback; /* the first SERVFAIL or its like, in case nothing better comes */
    size_t fallback_len;
    struct np_name name;
};

/* A connected UDP socket. A place is used once. */
struct udp_socket {
    struct udp_socket *next;
    struct remote *remote;
    uv_poll_t poll;
    int fd;
    unsigned used;    /* places taken so far */
    unsigned active;  /* tries that can still be answered */
    unsigned foreign; /* packets that answered nothing */
    uint64_t waiting; /* places, as bits, from which no answer has come, whether somebody waits for it or not */
    int64_t born_ms;
    bool closing;
    uint16_t ids[NP_FORWARD_SOCKET_QUERIES];
    int64_t sent_us[NP_FORWARD_SOCKET_QUERIES];
    struct pending *tries[NP_FORWARD_SOCKET_QUERIES]; /* NULL: the question has gone, or it was a ping */
};

/* A connection to an upstream. */
struct connection {
    struct connection *next; /* in the engine's list */
    struct remote *remote;
    uint64_t serial;              /* tells it from every other one there ever was */
    struct np_dns_stream *stream; /* NULL while somebody else opens it */
    bool open, closing;
    bool tls;                /* over TLS, which somebody else ends */
    bool retired;            /* takes no new questions */
    bool dirty;              /* has something to flush */
    unsigned active, unsent; /* tries on it; of these, not yet given to the stream */
    unsigned abandoned;      /* queries sent whose answers are still to come, but nobody waits for them */
    uint64_t answers;        /* messages that answered something: then its end is no failure */
    unsigned foreign;        /* messages that answered nothing */
    int64_t active_ms;       /* last question or answer */
    int64_t heard_ms;        /* last answer; before one: when it was begun */
    uint16_t ids[NP_FORWARD_STREAM_QUERIES];
    struct pending *tries[NP_FORWARD_STREAM_QUERIES];
};

/* An upstream. */
struct remote {
    struct np_forward *forward;
    struct np_view_upstream server; /* as the view has it */
    struct np_upstream state;       /* its endpoint is the one for clear text */
    struct np_upstream_tls tls;
    struct udp_socket *current;                                          /* takes new queries; NULL: none */
    struct connection *connections[NP_FORWARD_CONNECTIONS_PER_UPSTREAM]; /* NULL: none */
    uint64_t asked, timeouts, errors, streamed;                          /* see np_forward_upstream */
    bool told_itself;                                                    /* said in the log */
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
    struct np_forward_owner owner;
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
    uint16_t networks[CLIENT_COUNTERS]; /* of IPv6 clients, by /64 */
    uint32_t per_client;                /* how high one of clients may go */
    struct np_hedge hedge;
    struct udp_socket *sockets;
    size_t socket_count;
    struct connection *connections;
    size_t connection_count;
    uint64_t connection_serial;
    np_forward_open_fn *open; /* NULL: no TLS */
    void *open_ctx;
    uv_prepare_t flush;                   /* runs before the loop waits, when a connection has something to send */
    uv_timer_t timer;                     /* at the earliest due_ms */
    int64_t armed_ms;                     /* when the timer fires; 0: not set */
    uv_timer_t sweep;                     /* while there are sockets or connections: closes those that are old */
    int64_t told_loop_ms, told_forged_ms; /* last said in the log; 0: never */
    uint8_t random[RANDOM_POOL];
    size_t random_left;
    size_t handles;
    bool closing;
    void (*closed)(void *ctx);
    void *closed_ctx;
    struct mmsghdr headers[UDP_BATCH]; /* set up once: the kernel changes nothing in them but lengths */
    struct iovec iov[UDP_BATCH];
    uint8_t receive[UDP_BATCH][UDP_RECEIVE_MAX];
};

/* The engine. */

/* A clock in microseconds, for what is measured; uv_now is for what is waited for. */
int64_t np_forward_us(void);

/* Random bytes from the pool. */
void np_forward_random(struct np_forward *forward, void *out, size_t len);

/* A number below bound from the same. ctx is the engine. */
uint32_t np_forward_below(void *ctx, uint32_t bound);

/* Starts the sweep unless it runs. */
void np_forward_need_sweep(struct np_forward *forward);

/* Counts a closed handle; frees the engine after the last one. */
void np_forward_handle_closed(struct np_forward *forward);

/* Lets those waiters go who can be told something else meanwhile. */
void np_forward_tell_late(struct question *question);

/* Tells the waiters how their question ended (NULL: the engine closes, nobody is told), and frees them. */
void np_forward_tell(struct question *question, const struct np_forward_result *result);

/* Drops a reference; frees the remote after the last. */
void np_forward_remote_release(struct remote *remote);

/* The servers for that name, as the view has them now. */
struct group *np_forward_group(struct np_forward *forward, const struct np_name *qname);

/* Questions. */

/* The question in flight, NULL when there is none. */
struct question *np_forward_find(const struct np_forward *forward, uint64_t hash, const struct np_query *query);

/* Puts a new question, which nobody waits for yet, into the tables. NULL when out of memory. */
struct question *np_forward_question_new(struct np_forward *forward, uint64_t hash, const struct np_query *query);

/* Asks whom np_attempt_next names, until it says to wait. Returns false when the question is to be given up. */
bool np_forward_step(struct question *question);

/* The question's next step is then. */
void np_forward_set_due(struct question *question, int64_t due_ms);

/* Ends it. message NULL: nothing better than the fallback came, or nothing at all. */
void np_forward_finish(struct question *question, const uint8_t *message, size_t len);

/* Ends it without telling anybody. */
void np_forward_drop(struct question *question);

/* Makes the try one of the question's; NULL when it has had enough or memory is out. The caller puts it on a socket or
 * connection, and ends it with np_forward_try_end. */
struct pending *np_forward_try(struct question *question, struct remote *remote, struct np_try try);

/* The remote's place in the question's group, -1 when it is there no more. */
int np_forward_index(const struct question *question, const struct remote *remote);

/* The try can no longer be answered: takes it off its socket or connection. */
void np_forward_try_end(struct pending *pending);

/* The network failed the try (and np_forward_try_end was not yet called). */
void np_forward_try_failed(struct pending *pending);

/* The question cannot be asked of the remote: another one is asked at the next turn of the loop. */
void np_forward_unreachable(struct question *question, struct remote *remote);

/* The name as the try sends it. */
void np_forward_sent_name(const struct pending *pending, struct np_name *out_name);

/* Writes the try's query. Returns its length. */
size_t np_forward_write(const struct pending *pending, uint8_t *out, size_t size);

/* Answers. */

/* Bytes came in with the try's ID from where it was sent to. Returns true when they answer it, and what follows has
 * been done; false when they must be somebody else's. */
bool np_forward_received(struct pending *pending, const uint8_t *message, size_t len);

/* Puts the question to the remote over a stream, unless that is under way. */
void np_forward_over_stream(struct question *question, struct remote *remote, unsigned how, enum np_stream_why why);

/* The try's stream has failed: asked in another way, or of somebody else. */
void np_forward_stream_lost(struct pending *pending);

/* Loops. */

/* Is the query one that we sent, come back through an upstream? Then it must not wait for itself. DO and CD are not
 * looked at: a forwarder has its own mind about them. hash is the query's. */
bool np_forward_is_echo(struct np_forward *forward, uint64_t hash, const struct np_ticket *ticket,
                        const struct np_query *query);

/* Is the remote, whose socket has the local address, one of our own listeners? Said in the log, once. */
bool np_forward_is_own(struct remote *remote, int fd);

/* UDP. */

/* Sets up what receives. */
void np_forward_udp_init(struct np_forward *forward);

/* Sends the question to the remote over UDP. Returns 0, NP_E_LIMIT, NP_E_REFUSED when the remote is ourselves, NP_E_TLS
 * where clear text is forbidden, or -errno when the network refuses it. */
int np_forward_udp_send(struct question *question, struct remote *remote, unsigned how);

/* Asks the remote something it has ready, to learn whether it is there at all. */
void np_forward_udp_ping(struct remote *remote);

/* Takes an ending try off its socket. For np_forward_try_end alone. */
void np_forward_udp_take_off(struct pending *pending);

/* Closes idle and overaged sockets; all when everything is set. */
void np_forward_udp_sweep(struct np_forward *forward, bool everything);

/* Streams. */

/* Sends the question to the remote over one of its streams, which is opened if need be. Returns 0, NP_E_LIMIT, NP_E_TLS
 * when it is not to be asked now, or -errno. */
int np_forward_stream_send(struct question *question, struct remote *remote, unsigned how, enum np_stream_why why);

/* An opener has the connection's descriptor, which is the engine's on success; a TCP connect may still be under way.
 * Returns 0 or -errno. */
int np_forward_stream_opened(struct connection *connection, int fd);

/* An opener gives up, later than its call (inside it, it returns an error): the connection's questions go elsewhere. */
void np_forward_stream_failed(struct connection *connection);

/* A question on it was not answered in time. When nothing at all has come for wait_ms, it takes no new questions. */
void np_forward_stream_silent(struct connection *connection, int64_t wait_ms);

/* The opener for plain TCP: connects to the remote. Returns 0, NP_E_TLS where that is forbidden, or -errno. */
int np_forward_tcp_open(struct connection *connection);

/* TLS. */

/* How the remote is asked now. */
enum np_upstream_way np_forward_way(const struct remote *remote);

/* Was it the network that failed last, and not the server's TLS? */
bool np_forward_is_network(const struct remote *remote);

/* Sends the question to the remote over the transport that is right for it now, or leaves it where it waits already.
 * Returns 0, NP_E_LIMIT, NP_E_REFUSED when the remote is ourselves, NP_E_TLS when it is not to be asked now, or -errno.
 */
int np_forward_send(struct question *question, struct remote *remote, unsigned how);

/* The opener for TLS: asks for a stream, which comes later. Returns 0. */
int np_forward_dot_open(struct connection *connection);

/* What streams over TLS to the remote tell beyond the handshake; said in the log when it is news. An answer came: */
void np_forward_dot_answered(struct remote *remote);

/* The remote ended one that had a question on it and gave no answer: TLS is left alone for a while. */
void np_forward_dot_cut(struct remote *remote);

/* One has given no answer in time. An opportunistic server is asked in clear text for a while. */
void np_forward_dot_silent(struct remote *remote);

/* Takes an ending try off its connection. For np_forward_try_end alone. */
void np_forward_stream_take_off(struct pending *pending);

/* Sends what the connections gathered. The callback of the flush handle. */
void np_forward_stream_flush(uv_prepare_t *prepare);

/* Closes idle connections; all when everything is set. */
void np_forward_stream_sweep(struct np_forward *forward, bool everything);

#endif

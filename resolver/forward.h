/* forward: the forwarding engine: questions that are not ours, asked of the upstreams.
 *
 * UDP from connected sockets that rotate (a new source port at least every 64 queries or 2 s), IDs from the kernel's
 * random, 0x20, identical questions in flight asked once, failover by round-trip time, TCP after truncation on kept
 * connections with many questions at once. The shell around upstream.h (decisions) and response.h (bytes).
 *
 * Lifecycle: np_forward_new on a loop, np_forward_set_upstreams at every view, np_forward_ask for each query,
 * np_forward_close. Queries in flight when the upstreams change go on with the new ones. There is no cache here: the
 * judge function sees each upstream answer once, and is where a cache takes it in. */
#ifndef RESOLVER_FORWARD_H
#define RESOLVER_FORWARD_H

#include <stdint.h>
#include <uv.h>

#include "resolver/latency.h"
#include "resolver/message.h"
#include "resolver/server.h"
#include "resolver/upstream_tls.h"
#include "resolver/view.h"

#define NP_FORWARD_INFLIGHT_MAX   8192 /* different questions at once: 4 MB at the worst */
#define NP_FORWARD_WAITERS_MAX    8192 /* clients waiting for them in all: 5 MB at the worst */
#define NP_FORWARD_SOCKETS_MAX    512  /* UDP sockets open at once: under the usual limit of 1024 descriptors */
#define NP_FORWARD_SOCKET_QUERIES 64   /* then the port is given up */
#define NP_FORWARD_SOCKET_AGE_MS  2000 /* or then */
#define NP_FORWARD_LATE_MS        1800 /* then clients may be told something else (RFC 8767 section 5) */
#define NP_FORWARD_FOREIGN_MAX    32   /* packets to one port that answer nothing: then its questions go over TCP */

#define NP_FORWARD_STREAM_QUERIES           128   /* unanswered questions on one connection */
#define NP_FORWARD_CONNECTIONS_PER_UPSTREAM 8     /* 1024 questions at once over streams */
#define NP_FORWARD_CONNECTIONS_MAX          64    /* to all upstreams */
#define NP_FORWARD_STREAM_IDLE_MS           5000  /* a connection without questions is closed after this */
#define NP_FORWARD_TLS_IDLE_MS              15000 /* ... over TLS, where a new one costs a handshake */
#define NP_FORWARD_TLS_PER_UPSTREAM         2     /* connections over TLS to one server */
#define NP_FORWARD_STREAM_FOREIGN_MAX       64    /* messages that answer nothing: then the peer is mad, and it ends */

struct np_forward;

/* How a question ended. */
struct np_forward_result {
    const struct np_name *qname; /* borrowed */
    uint16_t qtype;
    bool dnssec_ok, checking_disabled; /* with qname and qtype what a cache would key on */
    const uint8_t *message;            /* the upstream's answer, well-formed, question matched; NULL: none came */
    size_t len;
    bool trusted;    /* the AD bit of whoever sent it is believed */
    enum np_ede ede; /* why none came */
    bool looped;     /* an upstream sent the question back to us */
};

/* Called once when a question has ended, well or not, before its clients are told. */
typedef void np_forward_judge_fn(void *ctx, const struct np_forward_result *result);

/* Tells one client how its question ended. query is as it was given to np_forward_ask. Never called from inside
 * np_forward_ask. */
typedef void np_forward_done_fn(void *ctx, const struct np_ticket *ticket, const struct np_query *query,
                                const struct np_forward_result *result);

/* A client's question has been under way for NP_FORWARD_LATE_MS. Returns whether the client was told something else;
 * then it waits no longer. The question goes on. */
typedef bool np_forward_late_fn(void *ctx, const struct np_ticket *ticket, const struct np_query *query);

/* Is the endpoint one of this resolver's own listeners? local is the address from which it would be asked (the very
 * same one where the endpoint is an address of this machine, but for loopback). */
typedef bool np_forward_own_fn(void *ctx, const struct np_endpoint *endpoint, const struct np_addr *local);

/* Asks whoever can for a stream over TLS to the server. The answer comes later, by np_forward_opened or
 * np_forward_not_opened with the same id; never from inside this call. */
typedef void np_forward_open_fn(void *ctx, uint32_t id, const struct np_view_upstream *server);

/* What the engine tells and asks its owner. */
struct np_forward_owner {
    np_forward_judge_fn *judge;
    np_forward_done_fn *done;
    np_forward_late_fn *late;
    np_forward_own_fn *own;
};

/* Counters since the start. */
struct np_forward_stats {
    uint64_t asked;   /* np_forward_ask calls that were taken */
    uint64_t joined;  /* of these, joined to one in flight */
    uint64_t refused; /* over a limit */
    uint64_t sent_udp, sent_tcp, sent_tls;
    uint64_t answered;         /* upstream questions that ended with an answer */
    uint64_t failed;           /* ... without one */
    uint64_t timeouts;         /* tries */
    uint64_t hedged;           /* questions asked of a second server because the first was late */
    uint64_t beside;           /* queries sent beside those, to learn about a server */
    uint64_t pinged;           /* queries sent to learn whether a server is there at all */
    uint64_t refreshed;        /* questions nobody waits for (np_forward_refresh) */
    uint64_t late;             /* answers to what nobody waits for any more */
    uint64_t foreign;          /* packets that answered nothing we asked: forged, or nonsense */
    uint64_t distrusted;       /* tries moved to TCP since many of those came to their port */
    uint64_t looped;           /* our own questions, come back from an upstream */
    uint64_t case_broken;      /* answers in another case */
    struct np_latency latency; /* of clients' questions that were answered, from query to answer */
};

enum np_forward_health {
    NP_FORWARD_UNTRIED, /* never asked, or not yet answered */
    NP_FORWARD_ALIVE,   /* has answered, and nothing is wrong */
    NP_FORWARD_SUSPECT, /* the last try got no answer: others are asked first */
    NP_FORWARD_DEAD,    /* several in a row got none: only probed */
    NP_FORWARD_LOOP,    /* it sends our questions back to us: left alone for a while */
    NP_FORWARD_ITSELF   /* its address is one of our own listeners: never asked */
};

/* How one server does. Counters are of tries, and run on while views come and go that have it. */
struct np_forward_upstream {
    struct np_name zone;            /* what is asked of it; the root: everything else */
    struct np_view_upstream server; /* as the view has it */
    enum np_forward_health health;
    bool alive, measured;       /* alive: not dead; measured: srtt_us says something */
    bool checks_case, edns;     /* is 0x20 checked, is it asked with EDNS; false for a while after it did not bear it */
    int64_t srtt_us;            /* smoothed round-trip time */
    int64_t answered_ms;        /* since the last answer; -1: there was none */
    uint64_t answers, failures; /* a probe of a dead one counts as a failure when it is sent */
    uint64_t asked, timeouts;   /* sent, and without an answer in time */
    uint64_t errors;      /* answers that are none: SERVFAIL, REFUSED, malformed; or the network refused the try */
    uint64_t streamed;    /* of those asked: over TCP or TLS */
    unsigned connections; /* streams open now */
    struct np_upstream_tls tls; /* where the server is asked over TLS */
};

/* Allocates an engine. owner is copied; ctx is for its functions. Returns 0 or -errno. */
int np_forward_new(uv_loop_t *loop, const struct np_forward_owner *owner, void *ctx, struct np_forward **out_forward);

/* Takes upstreams, forwarded zones and the limit of one client's queries out of the view (copied). What is known about
 * those that stay is kept. Returns 0 or -ENOMEM (then nothing has changed). */
int np_forward_set_upstreams(struct np_forward *forward, const struct np_view *view);

/* Asks for the client. query (class IN, one question) and ticket are copied. Returns 0 (done will be called),
 * NP_E_LIMIT, NP_E_REFUSED when the query is our own, come back through an upstream that forwards to us, or -ENOMEM. */
int np_forward_ask(struct np_forward *forward, const struct np_ticket *ticket, const struct np_query *query);

/* Asks for nobody: judge sees the answer, if one comes. For a cache that wants to have it anew before it has run out.
 * Returns 0 (also when it is being asked already), NP_E_LIMIT or -ENOMEM. */
int np_forward_refresh(struct np_forward *forward, const struct np_query *query);

/* From now on servers are asked over TLS where the view says so. Without an opener strict ones are not asked, and
 * opportunistic ones in clear text. */
void np_forward_set_opener(struct np_forward *forward, np_forward_open_fn *open, void *ctx);

/* Asks anew for every stream that has not come: whoever was asked is gone. */
void np_forward_open_again(struct np_forward *forward);

/* The stream of that id has come. *fd is taken (and set to -1) where it is still wanted. Returns true when it is news
 * that TLS works with *out_server. */
bool np_forward_opened(struct np_forward *forward, uint32_t id, int *fd, struct np_view_upstream *out_server);

/* The stream of that id will not come; its questions go elsewhere. Returns true when the reason is news about
 * *out_server. */
bool np_forward_not_opened(struct np_forward *forward, uint32_t id, enum np_peer_reason reason,
                           struct np_view_upstream *out_server);

/* Does no server for the name answer anything at present? True also where there is none. */
bool np_forward_is_offline(struct np_forward *forward, const struct np_name *qname);

/* The counters, borrowed. */
const struct np_forward_stats *np_forward_stats(const struct np_forward *forward);

/* How the servers do, at most max of them: the view's upstreams first, then those of forwarded zones. Returns their
 * number. */
size_t np_forward_upstreams(const struct np_forward *forward, struct np_forward_upstream *out_upstreams, size_t max);

/* A word for it: "untried", "alive", "suspect", "dead", "loop", "itself". Static storage. */
const char *np_forward_health_name(enum np_forward_health health);

/* Questions in flight now. */
size_t np_forward_inflight(const struct np_forward *forward);

/* Drops every question (done is not called any more) and closes; closed(ctx), which may be NULL, is called from the
 * loop when the memory has been freed. */
void np_forward_close(struct np_forward *forward, void (*closed)(void *ctx), void *ctx);

#endif

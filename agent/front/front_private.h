/* front_private: what the files of agent/front share, and nobody else sees.
 *
 *   child.c       descriptor 3: frames in, REDY and STAT out
 *   front.c       the top: view, certificate, listeners, deadlines, counters
 *   accept.c      who comes in: admit, ingress interface, limits
 *   places.c      which connection gives its place to a newcomer
 *   connection.c  a client's connection over TCP or TLS, and its end
 *   http.c        the own pages on a connection
 *   relay.c       the bytes between a client and the backend, or the resolver
 *   upstream.c    streams to DNS servers over TLS, for the resolver
 *   dot.c         LAN clients of DNS over TLS, handed to the resolver over the stream channel */
#ifndef AGENT_FRONT_FRONT_PRIVATE_H
#define AGENT_FRONT_FRONT_PRIVATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "agent/front/answer.h"
#include "agent/front/certificate.h"
#include "agent/front/news.h"
#include "agent/front/pace.h"
#include "agent/front/settings.h"
#include "agent/front/request.h"
#include "agent/front/tcp.h"
#include "agent/identity/clock.h"
#include "agent/tls/stream.h"
#include "resolver/base/admit.h"
#include "resolver/base/channel.h"
#include "resolver/listen.h"
#include "resolver/peer.h"
#include "resolver/view.h"

#define NP_FRONT_LISTENERS_MAX    NP_CHANNEL_FDS_MAX /* what one LSTN brings */
#define NP_FRONT_CONNECTIONS_MAX  256                /* clients at once; a relayed one is about 70 KiB */
#define NP_FRONT_PER_CLIENT_MAX   32                 /* of one address: a browser opens 6, a phone and its apps more */
#define NP_FRONT_NETWORK_CLIENTS  4                  /* an IPv6 /64 as a whole has so many clients' share */
#define NP_FRONT_DOT_PER_CLIENT   16                 /* DNS over TLS from one address: as many as the resolver takes */
#define NP_FRONT_REQUESTS_MAX     100                /* requests on one connection to the own pages */
#define NP_FRONT_HANDSHAKE_MS     10000              /* TLS */
#define NP_FRONT_HEAD_MS          10000              /* from accept, handshake or a first byte to a whole head */
#define NP_FRONT_ANSWER_MS        30000              /* to take an answer */
#define NP_FRONT_KEEP_MS          15000              /* between two requests */
#define NP_FRONT_RELAY_IDLE_MS    300000             /* a relayed connection without a byte either way */
#define NP_FRONT_DOT_IDLE_MS      60000   /* twice the resolver's own deadline, which is the one that ends them */
#define NP_FRONT_UPSTREAMS_MAX    64      /* streams to DNS servers at once: as many as the resolver asks for */
#define NP_FRONT_UPSTREAM_MS      5000    /* to connect to one, with the handshake: no client waits for longer */
#define NP_FRONT_UPSTREAM_IDLE_MS 120000  /* the resolver ends idle ones long before */
#define NP_FRONT_UPSTREAM_VIEW_MS 2000    /* to learn of a server that the resolver knows already */
#define NP_FRONT_SESSIONS_MAX     16      /* of DNS servers: twice the view's upstreams */
#define NP_FRONT_SESSION_MS       3600000 /* then the certificate is judged again */
#define NP_FRONT_ENDING_MS        300000  /* to take what was written before the end; one that pauses is not cut */
#define NP_FRONT_TICK_MS          500     /* how exactly these are kept */
#define NP_FRONT_QUEUE_MS         10      /* how often those that wait for a handshake are looked at */
#define NP_FRONT_CPU_SHARE        2       /* handshakes may take one half of a core, where no limit is set */
#define NP_FRONT_RATE_MIN         4       /* a second, however slow the processor is */
#define NP_FRONT_QUIET_MS         30000   /* a relayed connection without a byte for so long may give its place away */
#define NP_FRONT_SESSIONS_BYTES   16384   /* TLS session cache: about 160 sessions */
#define NP_FRONT_NEVER            UINT64_MAX

struct np_front;

/* What a client gets. */
enum np_front_mode {
    NP_FRONT_QUEUED,    /* its handshake has to wait: there are too many (agent/front/pace.h) */
    NP_FRONT_HANDSHAKE, /* TLS not yet done */
    NP_FRONT_HTTP,      /* the own pages */
    NP_FRONT_RELAY      /* the backend, or the resolver */
};

/* A client. Lives until its own connection and the backend's are both gone. The backend of a client of DNS over TLS is
 * one end of a socket pair, whose other end the resolver has. */
struct np_front_connection {
    struct np_front *front;
    size_t slot;
    struct np_client client;
    enum np_listen_kind kind;
    enum np_front_mode mode;
    struct np_tcp *tcp;     /* port 80; NULL otherwise or when gone */
    struct np_stream *tls;  /* ports 443 and 853; likewise */
    struct np_tcp *backend; /* RELAY; NULL when gone */
    int fd;                 /* QUEUED: the client's socket; else -1 */
    bool backend_ready, backend_failed, backend_done;
    bool client_done; /* port 80: the client sends no more, and still reads */
    struct np_endpoint backend_endpoint;
    uint64_t due_ms;   /* closed at this time of the loop */
    uint64_t number;   /* in the order of being accepted */
    uint64_t moved_ms; /* RELAY: the last byte, either way */
    bool ending;       /* np_front_connection_end was called */
    bool passed;       /* QUEUED: looked at in this round */
    unsigned requests;
    size_t in_len; /* HTTP: bytes of heads not yet answered */
    uint8_t *in;   /* NP_REQUEST_HEAD_MAX bytes, or NULL */
    uint8_t *out;  /* HTTP: an answer on its way; RELAY: what the backend gets first; or NULL */
    size_t out_pos, out_len;
    bool out_last; /* the connection ends after it */
};

/* A socket that is listened on. Freed in its close callback. */
struct np_front_listener {
    struct np_front *front;
    struct np_listen what;
    uv_poll_t poll;
    int fd;
    bool paused; /* until the next tick: no descriptors left */
};

/* A stream to a DNS server over TLS, for the resolver. Lives until both its sides are gone. */
struct np_front_upstream {
    struct np_front *front;
    uint32_t id; /* the resolver's number for it */
    struct np_view_upstream server;
    struct np_stream *tls; /* NULL when gone */
    struct np_tcp *plain;  /* one end of a pair, the other one is the resolver's; NULL before and after */
    bool waiting;          /* for a view that knows the server */
    bool ready;            /* TLS stands */
    bool ending;
    uint64_t due_ms; /* while waiting */
};

/* A TLS session with a DNS server. */
struct np_front_session {
    struct np_view_upstream server;
    br_ssl_session_parameters parameters;
    uint64_t made_ms; /* 0: none */
};

/* Counters since the start. */
struct np_front_stats {
    uint64_t accepted, not_admitted, refused, evicted, waited, requests, handshakes, handshakes_failed, relayed,
        backend_failed;
    uint64_t upstream_opened, upstream_resumed; /* streams to DNS servers; of these, by an earlier session */
    uint64_t upstream_failed[NP_PEER_REASONS];
    uint64_t dot_accepted, dot_refused, dot_handshakes, dot_handshakes_failed; /* port 853 alone */
};

/* The top. About 72 KiB. */
struct np_front {
    uv_loop_t *loop;
    uv_timer_t tick; /* runs while there are connections or paused listeners */
    struct np_view view;
    struct np_admit admit;
    struct np_front_certificate *certificate; /* NULL: none yet */
    struct np_peer *peer;                     /* the resolver; NULL: there is none now */
    br_ssl_session_cache_lru sessions;
    uint8_t session_store[NP_FRONT_SESSIONS_BYTES];
    struct np_front_listener *listeners[NP_FRONT_LISTENERS_MAX];
    struct np_front_connection *connections[NP_FRONT_CONNECTIONS_MAX];
    size_t connection_count;
    uint64_t connection_number;     /* of the last one */
    struct np_tls_anchors *anchors; /* for strict DNS servers; NULL: none */
    struct np_clock clock;
    struct np_news news;
    struct np_front_settings settings;
    uint32_t own_rate; /* handshakes a second that this processor can do with half of itself */
    struct np_front_pace pace;
    uv_timer_t queue; /* runs while connections wait for their handshakes */
    size_t queued;
    struct np_front_upstream *upstreams[NP_FRONT_UPSTREAMS_MAX];
    size_t upstream_count;
    struct np_front_session upstream_sessions[NP_FRONT_SESSIONS_MAX];
    struct np_front_stats stats;
};

/* front.c */

/* An empty front on loop: admits loopback alone, has no certificate. */
void np_front_init(struct np_front *front, uv_loop_t *loop);

/* Closes everything at once; the memory may go once the loop has run out of handles. */
void np_front_close(struct np_front *front);

/* Replaces the view, which is copied. */
void np_front_set_view(struct np_front *front, const struct np_view *view);

/* Replaces the settings, which are copied: new connections go by them. */
void np_front_set_settings(struct np_front *front, const struct np_front_settings *settings);

/* Takes over a certificate for new connections; sessions of the old one are forgotten, so that every client sees it. */
void np_front_set_certificate_take(struct np_front *front, struct np_front_certificate *certificate);

/* Takes over fd, the front's end of the channel to the resolver (resolver/peer.h), in the place of an earlier one. */
void np_front_set_peer_take(struct np_front *front, int fd);

/* Takes over the anchors that strict DNS servers are checked by; NULL: none. Streams that are open end. */
void np_front_set_anchors_take(struct np_front *front, struct np_tls_anchors *anchors);

/* Replaces the clock that DNS servers are judged by: floor_s, when the steady clock showed steady_s. A stream that was
 * opened while the clock was doubted, or before HQ had signed a time, is judged anew: all of them end. */
void np_front_set_clock(struct np_front *front, int64_t floor_s, int64_t steady_s, bool has_signed, bool doubted);

/* Listens on a descriptor, which becomes the front's on success. Returns 0, NP_E_LIMIT, -ENOMEM or -errno. */
int np_front_add_listener(struct np_front *front, const struct np_listen *what, int fd);

/* Closes the listener on that endpoint; connections that it brought go on. */
void np_front_drop_listener(struct np_front *front, const struct np_listen *what);

/* What answers are made of now. Borrowed. */
struct np_answer_facts np_front_facts(const struct np_front *front);

/* Makes sure that the tick runs. */
void np_front_need_tick(struct np_front *front);

/* Makes sure that waiting handshakes are looked at. */
void np_front_need_queue(struct np_front *front);

/* The counters as JSON, malloc'd; NULL when out of memory. */
char *np_front_stats_json(const struct np_front *front);

/* accept.c */

/* Accepts what waits on a listener. */
void np_front_accept(struct np_front_listener *listener);

/* places.c */

/* A free place for a client. Where it has its share already, or no place is left, the connection that has done nothing
 * for the longest gives its own: of the same client, or of the one that has most, if that has more than the newcomer
 * would. Where all of them are busy, or about to end, the oldest one of whoever has most gives it likewise: so a host
 * with many prefixes, or with many addresses in one, keeps nobody out. A client is an IPv4 address or an IPv6 /64, in
 * which the addresses share alike. Returns the slot, or NP_E_LIMIT: the client has its share, or all have as little. */
int np_front_find_place(struct np_front *front, bool dot, const struct np_addr *remote);

/* connection.c */

/* Begins handshakes that had to wait, the oldest first, as many as may be begun now. */
void np_front_connections_begin(struct np_front *front);

/* Ends at once, and frees its place now; its memory goes as always. */
void np_front_connection_evict(struct np_front_connection *connection);

/* Starts serving fd, which is the connection's on success. Returns 0, NP_E_MISSING (no certificate, or no resolver) or
 * -errno. */
int np_front_connection_open(struct np_front *front, size_t slot, int fd, enum np_listen_kind kind,
                             const struct np_client *client);

/* May a client talk to us who named that server by SNI ("" for none)? */
bool np_front_connection_is_for_us(const struct np_front_connection *connection, const char *server_name);

/* Writes to the client; as np_tcp_write. */
size_t np_front_connection_write(struct np_front_connection *connection, const void *data, size_t len);

/* Delivers again what the client sent. */
void np_front_connection_resume(struct np_front_connection *connection);

/* Ends in peace: what was written still leaves. */
void np_front_connection_end(struct np_front_connection *connection);

/* Ends at once. */
void np_front_connection_abort(struct np_front_connection *connection);

/* Frees the connection once both its sides are gone. Called by those that saw a side go; the connection is not to be
 * touched afterwards. */
void np_front_connection_settle(struct np_front_connection *connection);

/* The connection is over at ms from now. */
void np_front_connection_due(struct np_front_connection *connection, uint64_t ms);

/* http.c */

/* Serves the own pages from now on. */
void np_front_http_start(struct np_front_connection *connection);

/* Answers what was kept while the backend was tried in vain. */
void np_front_http_retry(struct np_front_connection *connection);

/* Bytes of the client; as np_stream's on_data. */
size_t np_front_http_data(struct np_front_connection *connection, const uint8_t *data, size_t len);

/* There is room for the rest of an answer. */
void np_front_http_writable(struct np_front_connection *connection);

/* relay.c */

/* Connects to the backend; where that fails the own pages say so. What connection->out holds goes there first. */
void np_front_relay_start(struct np_front_connection *connection, const struct np_endpoint *backend);

/* Writes what the backend is told about the client (PROXY protocol), if anything. */
void np_front_relay_introduce(const struct np_front_connection *connection, struct np_writer *w);

/* The client sends no more: so it is for the backend. */
void np_front_relay_client_done(struct np_front_connection *connection);

/* Relays to a connected descriptor, which becomes the connection's on success. Returns 0, -ENOMEM or -errno. */
int np_front_relay_adopt(struct np_front_connection *connection, int fd);

/* Bytes of the client; as np_stream's on_data. */
size_t np_front_relay_data(struct np_front_connection *connection, const uint8_t *data, size_t len);

/* The client has room again. */
void np_front_relay_writable(struct np_front_connection *connection);

/* dot.c */

/* The client's TLS stands: hands its plain bytes to the resolver, or ends the connection. */
void np_front_dot_start(struct np_front_connection *connection);

/* upstream.c */

/* The resolver wants a stream to the server. The answer goes over the stream channel: a stream, or why there is none.
 */
void np_front_upstream_open(struct np_front *front, uint32_t id, const struct np_view_upstream *server);

/* There is a new view: those that waited for it begin. */
void np_front_upstreams_view(struct np_front *front);

/* Gives up those that have waited too long for a view. True while some wait. */
bool np_front_upstreams_tick(struct np_front *front);

/* Closes all at once. */
void np_front_upstreams_abort(struct np_front *front);

/* Forgets every session with a DNS server, as is due when other anchors come. */
void np_front_upstreams_forget(struct np_front *front);

#endif

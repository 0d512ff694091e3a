/* frontdoor_private: the door's parts: frontdoor (listening, admission, deadlines), frontdoor_connection (one
 * connection from accept to its end), frontdoor_peers (how many connections an address has). */
#ifndef HQ_FRONTDOOR_PRIVATE_H
#define HQ_FRONTDOOR_PRIVATE_H

#include <stdbool.h>

#include "hq/frontdoor.h"

#define NP_DOOR_BUCKETS         1024 /* of the table of client addresses */
#define NP_DOOR_LINGER_MS       2000 /* for the client to have read the last answer: closing earlier can reset it away */
#define NP_DOOR_DRAIN_IDLE_MS   500  /* without a request, when the door drains */
#define NP_DOOR_DRAIN_LINGER_MS 300  /* likewise: who stays now has read what there was */
#define NP_DOOR_SWEEP_MS        100  /* how late a deadline may be noticed */
#define NP_DOOR_TURNS           8    /* of the loop, that a handshake or an answer may take */

/* What a connection waits for; also its list. */
enum np_door_wait {
    NP_DOOR_HANDSHAKING,
    NP_DOOR_ASKED,
    NP_DOOR_IDLE,
    NP_DOOR_LINGERING,
    NP_DOOR_REFUSED,
    NP_DOOR_WAITS
};

/* How many connections one client address has. */
struct np_door_peer {
    struct np_addr addr;
    unsigned count;
    struct np_door_peer *next;
};

/* The clients by address. */
struct np_door_peers {
    struct np_door_peer *buckets[NP_DOOR_BUCKETS];
    uint32_t hash_key; /* so that a stranger cannot choose the bucket */
};

/* One connection. Freed when its handles have been closed and no write is under way (libuv ends writes before it calls
 * the close callback). */
struct np_door_connection {
    struct np_door *door;
    struct np_door_connection *next, *previous; /* in the list of its wait; oldest first */
    enum np_door_wait wait;
    uint64_t since_ms; /* in that list, by the loop's clock */
    union {
        uv_handle_t handle;
        uv_stream_t stream;
        uv_tcp_t tcp;
        uv_pipe_t path;
    } front;                   /* the client's side */
    uv_pipe_t behind;          /* our end of the socket pair; in use once it is open */
    struct np_tls_stream *tls; /* NULL: plain */
    struct np_endpoint client; /* AF_UNSPEC: a proxy */
    struct np_door_peer *peer;
    unsigned handles;          /* still to be closed */
    bool open_behind, closing; /* `behind` is in use; the end has begun */
    bool front_reading, behind_reading;
    bool client_done; /* the client will send no more */
    bool server_done; /* the HTTP server will send no more */
    bool deaf;        /* the HTTP server takes no more: what the client sends is thrown away */
    size_t lingered;  /* bytes thrown away while lingering */
};

/* A list of connections that wait for the same, oldest first. */
struct np_door_queue {
    struct np_door_connection *first, *last;
};

/* A listener: TLS on TCP, or plain on a Unix socket. */
struct np_door_listener {
    union {
        uv_handle_t handle;
        uv_stream_t stream;
        uv_tcp_t tcp;
        uv_pipe_t path;
    } handle;
    bool plain;
};

struct np_door {
    uv_loop_t *loop;
    struct np_tls *tls;
    struct np_door_config config;
    struct np_door_stats stats;
    struct np_door_listener listeners[NP_DOOR_LISTENERS_MAX];
    size_t listener_count;
    struct np_door_queue queues[NP_DOOR_WAITS];
    struct np_door_peers peers;
    uv_timer_t sweep;  /* runs while there are connections */
    uint64_t sweep_ms; /* when it ran last */
    uint64_t late_ms; /* how far the loop is behind, of late: what a client has sent may lie there unread for so long */
    size_t handles;   /* of door and connections, not yet closed */
    bool closing, draining;
    uv_timer_t drain; /* the end of the time for draining; then the call of drained */
    void (*drained)(void *ctx);
    void *drained_ctx;
    void (*done)(void *ctx);
    void *done_ctx;
    uint8_t buffer[NP_DOOR_BUFFER]; /* what a read callback is looking at */
    uint8_t plain[NP_DOOR_BUFFER];
};

/* Counts one more connection of client's address (IPv6: its /64). NULL: it has max already, or there is no memory. */
struct np_door_peer *np_door_peer_take(struct np_door_peers *peers, const struct np_addr *client, unsigned max);

/* One connection less; NULL is fine. */
void np_door_peer_release(struct np_door_peers *peers, struct np_door_peer *peer);

/* Appends the connection to that list, its time beginning now; it leaves the one that it was in. */
void np_door_wait(struct np_door_connection *c, enum np_door_wait wait);

/* One of the door's handles has been closed for good: the last one ends the door. */
void np_door_handle_closed(struct np_door *door);

/* A connection has gone: where the door drains, it may have been the last one. */
void np_door_connection_gone(struct np_door *door);

/* All is said to the client: told in TLS, and closed in order. */
void np_door_connection_end(struct np_door_connection *c);

/* Makes a connection with its handles, in the list of those that handshake. NULL: no memory. */
struct np_door_connection *np_door_connection_new(struct np_door *door, bool plain);

/* An accepted and admitted connection begins: with its handshake, or at once where it is plain. */
void np_door_connection_start(struct np_door_connection *c);

/* Tells a proxy 503 with Retry-After, whatever it asks, and closes. */
void np_door_connection_refuse(struct np_door_connection *c);

/* Ends the connection without another word. More than once is fine. */
void np_door_connection_close(struct np_door_connection *c);

#endif

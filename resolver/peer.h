/* peer: the stream channel between resolver and front, on which byte streams travel as descriptors: the front ends TLS,
 * the resolver speaks DNS, and neither can do the other's work.
 *
 * A channel (resolver/base/channel.h) whose two ends the agent gives its children in a PEER frame on descriptor 3, anew
 * each time one of the two has been started, so that it has no number of its own and outlives either process. Frames:
 *
 *   CLNT  front -> resolver  a LAN client over TLS: who it is, and where it came in; one descriptor, its plain bytes
 *   OPEN  resolver -> front  wants a stream to a server of the view: a number of the resolver's choice, the server
 *   STRM  front -> resolver  the stream is there: the number of the OPEN; one descriptor, its plain bytes
 *   FAIL  front -> resolver  there is none: the number of the OPEN, the reason, a text for a person
 *
 * Either side reads the other's frames as it would a stranger's: a frame that is malformed ends the channel, one of an
 * unknown type is passed over.
 *
 * Lifecycle of a struct np_peer: np_peer_new on one end, frame() from the loop, np_peer_send, np_peer_close. When the
 * other end goes, gone() is called once, after which np_peer_close is still due. */
#ifndef RESOLVER_PEER_H
#define RESOLVER_PEER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "resolver/base/channel.h"
#include "resolver/server.h"
#include "resolver/view.h"

#define NP_PEER_MESSAGE_MAX 512 /* bytes of a frame's payload: an OPEN with the longest name is under 400 */
#define NP_PEER_WHY_MAX     120 /* bytes of a FAIL's text, with its NUL */
#define NP_PEER_QUEUE_MAX   64  /* frames that wait for a slow other side: the kernel itself takes 10 */

#define NP_PEER_CLIENT NP_FRAME('C', 'L', 'N', 'T')
#define NP_PEER_OPEN   NP_FRAME('O', 'P', 'E', 'N')
#define NP_PEER_STREAM NP_FRAME('S', 'T', 'R', 'M')
#define NP_PEER_FAILED NP_FRAME('F', 'A', 'I', 'L')

/* Why there is no stream to a server. */
enum np_peer_reason {
    NP_PEER_UNREACHABLE, /* no route, no answer in time */
    NP_PEER_REFUSED,     /* nobody listens there */
    NP_PEER_NO_TLS,      /* connected, but no handshake came about */
    NP_PEER_NAME,        /* the certificate is for another name */
    NP_PEER_UNTRUSTED,   /* no trusted issuer, or a broken chain */
    NP_PEER_DATE,        /* expired, or not valid yet */
    NP_PEER_LIMIT,       /* the front cannot: too many streams, no memory */
    NP_PEER_UNKNOWN,     /* the front's view has no such server */
    NP_PEER_NO_DNS,      /* TLS stood, but no answer came over it: found out by the resolver, never in a FAIL */
    NP_PEER_REASONS
};

/* A word for the reason, as counters and logs have it: "unreachable", "refused", "no-tls", ... Static. */
const char *np_peer_reason_name(enum np_peer_reason reason);

/* What a frame says; which members count is up to its type. */
struct np_peer_message {
    struct np_client client;        /* CLNT; tcp and tls are set */
    uint32_t id;                    /* OPEN, STRM, FAIL */
    struct np_view_upstream server; /* OPEN */
    enum np_peer_reason reason;     /* FAIL */
    char why[NP_PEER_WHY_MAX];      /* FAIL: printable ASCII */
};

/* Writes a frame's payload to out. Returns its length, or NP_E_LIMIT or NP_E_UNKNOWN (another type). Pure. */
long np_peer_encode(uint32_t type, const struct np_peer_message *message, uint8_t out[NP_PEER_MESSAGE_MAX]);

/* Reads a frame's payload. Returns 0, NP_E_MALFORMED, or NP_E_UNKNOWN for a type that is none of the four; on an error
 * *out_message is untouched. Pure. */
int np_peer_decode(uint32_t type, const uint8_t *payload, size_t len, struct np_peer_message *out_message);

struct np_peer;

/* What the owner hears. */
struct np_peer_events {
    /* A frame of one of the four types. *fd is its descriptor, -1 where it brings none; set it to -1 to take it. */
    void (*frame)(void *ctx, uint32_t type, const struct np_peer_message *message, int *fd);
    /* The other end is gone, or talks nonsense. Called from the loop, once. */
    void (*gone)(void *ctx);
};

/* Takes over fd, one end of a channel. Returns 0, -ENOMEM or -errno (fd is then the caller's still). */
int np_peer_new(uv_loop_t *loop, int fd, const struct np_peer_events *events, void *ctx, struct np_peer **out_peer);

/* Sends a frame; takes over fd (-1: none), whatever the result. Returns 0, NP_E_CLOSED, NP_E_LIMIT (the other side does
 * not read), or -errno. */
int np_peer_send_take(struct np_peer *peer, uint32_t type, const struct np_peer_message *message, int fd);

/* Closes; the memory goes with the loop's next turn. No event comes any more. NULL is fine. */
void np_peer_close(struct np_peer *peer);

#endif

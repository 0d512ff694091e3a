/* nsconn: DNS messages to one name server and their answers, for UPDATE: over one TCP connection that is opened when
 * there is something to send (RFC 7766: pipelined, answers in any order), and over UDP where TCP has never worked.
 * Which answer belongs to which message is told by the ID; whether it is believed is the owner's matter.
 *
 * A connection that is idle for NP_NSCONN_IDLE_MS is closed before the server does it: a message that crosses the
 * server's close would be one whose fate is not known.
 *
 * Lifecycle: np_nsconn_new, np_nsconn_send, ..., np_nsconn_close; it frees itself in the next turns of the loop. */
#ifndef HQ_ZONE_NSCONN_H
#define HQ_ZONE_NSCONN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "resolver/base/address.h"

#define NP_NSCONN_PENDING_MAX 40 /* messages without answer: what a outbox has in flight, and its epoch */
#define NP_NSCONN_CONNECT_MS  5000
#define NP_NSCONN_ANSWER_MS   20000 /* over TCP: Knot takes 7 s for 32 updates of a zone of a million names */
#define NP_NSCONN_IDLE_MS     2000  /* PowerDNS closes after 5 s, Knot after 10, BIND after 30 */
#define NP_NSCONN_UDP_MS      2000  /* until the message is sent again; doubles */
#define NP_NSCONN_UDP_TRIES   3
#define NP_NSCONN_UDP_STAY_MS 600000 /* so long UDP is used, where it works, until TCP is tried again */

struct np_nsconn;

/* Who sends. Called from the loop, never from inside np_nsconn_send. */
struct np_nsconn_owner {
    void *ctx;
    /* Something came with the ID of a message. True: it is the answer. False: go on waiting. repeated: the message was
     * sent more than once, and another copy may still arrive there. */
    bool (*answer)(void *ctx, uint16_t id, const uint8_t *message, size_t len, bool repeated);
    /* No answer will come. sent: the server may have got it. rc says why: -errno, NP_E_CLOSED or -ETIMEDOUT. */
    void (*lost)(void *ctx, uint16_t id, bool sent, int rc);
};

/* Returns 0 or -ENOMEM. */
int np_nsconn_new(uv_loop_t *loop, const struct np_endpoint *endpoint, const struct np_nsconn_owner *owner,
                  struct np_nsconn **out_peer);

/* The longest message that it takes now. */
size_t np_nsconn_limit(const struct np_nsconn *conn);

/* An ID that no message without answer has, random. */
uint16_t np_nsconn_id(const struct np_nsconn *conn);

/* Sends a message (copied) with that ID. Returns 0, -ENOMEM, or NP_E_LIMIT (too long, or too many without answer). */
int np_nsconn_send(struct np_nsconn *conn, uint16_t id, const uint8_t *message, size_t len);

/* Gives everything up, without calling the owner any more, and frees. */
void np_nsconn_close(struct np_nsconn *conn);

#endif

/* link: the DNS child as a process: its sockets, its start, its channel, its end and its next start. What is sent over
 * the channel is zone.c's business.
 *
 * Frames are queued and sent as the channel takes them; who has much to say (a snapshot of a million names is some 30
 * MB) looks at np_link_queued and goes on when drained is called. When the child
 * dies, the queue is dropped and the owner is told; after a backoff the child is started again, and the owner is told
 * again, so that it can queue a snapshot. */
#ifndef HQ_ZONE_LINK_H
#define HQ_ZONE_LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "resolver/base/address.h"
#include "resolver/base/channel.h"
#include "resolver/base/jobs.h"

#define NP_LINK_LISTENERS_MAX 32            /* UDP and TCP of each `dns-listen` entry */
#define NP_LINK_SILENCE_MS    20000         /* a child that leaves a frame unacknowledged for so long is killed */
#define NP_LINK_FULL          (1024 * 1024) /* queued bytes from which on nobody should queue more */
#define NP_LINK_STEADY_MS     60000         /* a child that lived so long restarts without backoff */

/* Who owns the link. Called from the loop. */
struct np_link_owner {
    void *ctx;
    void (*up)(void *ctx);                                  /* a new child: queue setup and snapshot now */
    void (*down)(void *ctx);                                /* it died; what was queued is gone */
    void (*frame)(void *ctx, const struct np_frame *frame); /* from the child; descriptors are closed afterwards */
    void (*drained)(void *ctx);                             /* the queue was full and is nearly empty */
};

struct np_link;

/* Opens UDP and TCP sockets on the endpoints (at most NP_LINK_LISTENERS_MAX / 2). Returns 0, -ENOMEM, NP_E_LIMIT, or
 * the error of endpoint *out_index. */
int np_link_new(uv_loop_t *loop, const struct np_endpoint *listen, size_t count, const struct np_link_owner *owner,
                struct np_link **out_link, size_t *out_index);

/* Starts the child and queues its listeners. Returns 0 or -errno. */
int np_link_start(struct np_link *link);

/* Queues a frame; data is malloc'd and becomes the link's, also on errors. Ignored (and freed) while there is no child.
 */
void np_link_send_take(struct np_link *link, uint32_t type, uint8_t *data, size_t len);

/* Bytes that the channel has not taken yet. */
size_t np_link_queued(const struct np_link *link);

/* Tells the link whether an answer is owed: starts or stops the silence watch. Each frame received starts it anew. */
void np_link_expect(struct np_link *link, bool owed);

/* Process id, 0 when there is no child. */
int np_link_pid(const struct np_link *link);

/* Ends the child and frees; done(ctx) comes from the loop. */
void np_link_close(struct np_link *link, void (*done)(void *ctx), void *ctx);

#endif

/* queue: in which order certificates are made, and what a device is told about its turn. Pure.
 *
 * The lanes (hq/store) are served in the order of np_queue_lane: certificates in their last quarter, devices without
 * one, renewals in good time, `open`; in each of them renewals before fresh orders, because CAs count those less.
 * The outlook is what issuance knows about its own pace; hq/api turns it into the `eta` of its answers. */
#ifndef HQ_ACME_QUEUE_H
#define HQ_ACME_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "hq/acme/limits.h"
#include "hq/store/store.h"

#define NP_QUEUE_LANES      (2 * (NP_PRIORITY_OPEN + 1))
#define NP_QUEUE_TYPICAL_MS 1000 /* of an order, before one was seen: an ACME dialogue with DNS takes about that */

/* Lane i of NP_QUEUE_LANES, the first to be served first. */
struct np_lane np_queue_lane(size_t i);

/* How fast orders become certificates. */
struct np_outlook {
    int64_t typical_ms;             /* from an order's beginning to its certificate: a moving average */
    int64_t places;                 /* orders worked on at once */
    int64_t free;                   /* of them, at this moment */
    const struct np_limits *limits; /* of the CA that orders are begun at; NULL: not known yet */
    struct np_limit_view shared;    /* its buckets that all share */
};

/* The outlook of an issuance that has made nothing yet. */
void np_outlook_init(struct np_outlook *outlook, int64_t places);

/* A certificate took so long. */
void np_outlook_note(struct np_outlook *outlook, int64_t took_ms);

/* Seconds until the certificate of an order should be there: its backoff, then the longer of the queue's and the CA's
 * limits' wait, then what an order takes. At least 1, and 0 for an order that is done or dead. */
int64_t np_outlook_eta_s(const struct np_outlook *outlook, const struct np_order *order,
                         const struct np_queue_place *place, int64_t now_ms);

#endif

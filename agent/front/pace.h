/* pace: how many TLS handshakes are begun, over all and by one client: token buckets. Pure: the time comes in.
 *
 * A handshake is the dearest thing that a stranger on the LAN can make the box do (1.5 ms of a PC's core, 50 to 300 ms
 * of a small router's). What is over the limit is not refused: it waits until its turn comes. A client may have a
 * quarter of all, so that four can always do something. Clients are told apart by address, IPv6 ones by their /64. */
#ifndef AGENT_FRONT_PACE_H
#define AGENT_FRONT_PACE_H

#include <stdbool.h>
#include <stdint.h>

#include "resolver/base/address.h"

#define NP_FRONT_PACE_CLIENTS  64 /* remembered at once; one that is forgotten has a full bucket again */
#define NP_FRONT_PACE_SHARE    4  /* one client has this part of the rate */
#define NP_FRONT_PACE_BURST    16 /* at least: a browser opens 6 connections, and there may be two of them */
#define NP_FRONT_PACE_RATE_MAX 10000

/* What is left to somebody, in thousandths of a handshake. */
struct np_front_bucket {
    int64_t level, filled_ms;
};

/* All buckets. */
struct np_front_pace {
    uint32_t rate; /* a second */
    struct np_front_bucket all;
    struct {
        struct np_addr addr; /* AF_UNSPEC: free */
        struct np_front_bucket bucket;
    } clients[NP_FRONT_PACE_CLIENTS];
};

/* Full buckets for that rate (1 to NP_FRONT_PACE_RATE_MAX). */
void np_front_pace_init(struct np_front_pace *pace, uint32_t rate, int64_t now_ms);

/* May the client begin a handshake now? If so, it is counted. */
bool np_front_pace_take(struct np_front_pace *pace, const struct np_addr *client, int64_t now_ms);

#endif

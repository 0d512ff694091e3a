#include "agent/front/pace.h"

#include <string.h>

#define TOKEN 1000 /* one handshake */

static int64_t burst_of(uint32_t rate)
{
    return (int64_t)TOKEN * (rate > NP_FRONT_PACE_BURST ? rate : NP_FRONT_PACE_BURST);
}

/* rate tokens a second are as many thousandths a millisecond. */
static void refill(struct np_front_bucket *bucket, uint32_t rate, int64_t now_ms)
{
    int64_t passed_ms = now_ms - bucket->filled_ms, burst = burst_of(rate);
    if (passed_ms <= 0)
        return;
    bucket->filled_ms = now_ms;
    if (passed_ms >= burst / (rate ? rate : 1))
        bucket->level = burst;
    else
        bucket->level += passed_ms * rate;
    if (bucket->level > burst)
        bucket->level = burst;
}

static uint32_t share_of(uint32_t rate)
{
    return rate > NP_FRONT_PACE_SHARE ? rate / NP_FRONT_PACE_SHARE : 1;
}

void np_front_pace_init(struct np_front_pace *pace, uint32_t rate, int64_t now_ms)
{
    memset(pace, 0, sizeof *pace);
    pace->rate = rate;
    pace->all = (struct np_front_bucket){.level = burst_of(rate), .filled_ms = now_ms};
}

/* The client's bucket; a new one in the place of the one that was not used for the longest. */
static struct np_front_bucket *bucket_of(struct np_front_pace *pace, const struct np_addr *client, int64_t now_ms)
{
    size_t oldest = 0;
    for (size_t i = 0; i < NP_FRONT_PACE_CLIENTS; i++) {
        const struct np_addr *known = &pace->clients[i].addr;
        if (np_addr_equal(known, client) || np_addr_same_network(known, client))
            return &pace->clients[i].bucket;
        if (pace->clients[i].bucket.filled_ms < pace->clients[oldest].bucket.filled_ms)
            oldest = i;
    }
    pace->clients[oldest].addr = *client;
    pace->clients[oldest].bucket =
        (struct np_front_bucket){.level = burst_of(share_of(pace->rate)), .filled_ms = now_ms};
    return &pace->clients[oldest].bucket;
}

bool np_front_pace_take(struct np_front_pace *pace, const struct np_addr *client, int64_t now_ms)
{
    struct np_front_bucket *own = bucket_of(pace, client, now_ms);
    refill(own, share_of(pace->rate), now_ms);
    refill(&pace->all, pace->rate, now_ms);
    if (own->level < TOKEN || pace->all.level < TOKEN)
        return false;
    own->level -= TOKEN;
    pace->all.level -= TOKEN;
    return true;
}

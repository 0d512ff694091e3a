#include "resolver/limit.h"

#include <stdbool.h>
#include <string.h>

#define QUERY         1000u /* thousandths */
#define NETWORK_BYTES 8     /* of an IPv6 address: its /64 */

void np_limit_init(struct np_limit *limit, const uint64_t key[2])
{
    memset(limit, 0, sizeof *limit);
    limit->key[0] = key[0];
    limit->key[1] = key[1];
}

void np_limit_set_rate(struct np_limit *limit, uint32_t rate)
{
    limit->rate = rate < NP_LIMIT_RATE_MAX ? rate : NP_LIMIT_RATE_MAX;
}

static uint64_t mix(uint64_t x)
{
    x = (x ^ x >> 32) * 0x9e3779b97f4a7c15u;
    x = (x ^ x >> 29) * 0xbf58476d1ce4e5b9u;
    return x ^ x >> 32;
}

/* Of the first len bytes of the address; len keeps a /64 apart from an address. */
static uint64_t hash(const struct np_limit *limit, const struct np_addr *addr, size_t len)
{
    uint64_t half[2] = {0, 0};
    memcpy(half, addr->bytes, len);
    return mix(mix(limit->key[0] ^ half[0]) + (limit->key[1] ^ half[1]) + len);
}

static uint32_t refilled(uint32_t have, uint64_t more, uint32_t full)
{
    return have + more < full ? (uint32_t)(have + more) : full;
}

/* The client's bucket, filled up to now. */
static struct np_limit_bucket *find(struct np_limit *limit, uint64_t hashed, uint32_t rate, uint32_t now_ms)
{
    struct np_limit_bucket *set = limit->buckets[hashed % NP_LIMIT_SETS], *bucket = set;
    uint32_t tag = (uint32_t)(hashed >> 32) | 1, full = rate * NP_LIMIT_BURST_S * QUERY;
    for (int i = 0; i < NP_LIMIT_WAYS; i++) {
        if (set[i].tag == tag) {
            bucket = &set[i];
            /* A thousandth a millisecond is one a second. */
            uint64_t more = (uint64_t)(uint32_t)(now_ms - bucket->seen_ms) * rate;
            bucket->answers = refilled(bucket->answers, more, full);
            bucket->truncated = refilled(bucket->truncated, more, full);
            bucket->seen_ms = now_ms;
            return bucket;
        }
        if (set[i].tag == 0 || (bucket->tag != 0 && now_ms - set[i].seen_ms > now_ms - bucket->seen_ms))
            bucket = &set[i];
    }
    *bucket = (struct np_limit_bucket){tag, now_ms, full, full};
    return bucket;
}

/* Takes from every bucket, or from none. */
static bool take(uint32_t *client, uint32_t *network)
{
    if (*client < QUERY || (network && *network < QUERY))
        return false;
    *client -= QUERY;
    if (network)
        *network -= QUERY;
    return true;
}

enum np_limit_verdict np_limit_query(struct np_limit *limit, const struct np_addr *client, uint32_t now_ms)
{
    if (limit->rate == 0)
        return NP_LIMIT_PASS;
    struct np_limit_bucket *own = find(limit, hash(limit, client, np_addr_len(client)), limit->rate, now_ms);
    struct np_limit_bucket *network = NULL;
    if (client->family == AF_INET6) {
        network = find(limit, hash(limit, client, NETWORK_BYTES), limit->rate * NP_LIMIT_NETWORK_SHARE, now_ms);
        /* In one set with its own network, a new client's bucket may just have been given to that. */
        if (network == own)
            own = NULL;
    }
    if (!own)
        own = network, network = NULL;
    if (take(&own->answers, network ? &network->answers : NULL))
        return NP_LIMIT_PASS;
    return take(&own->truncated, network ? &network->truncated : NULL) ? NP_LIMIT_TRUNCATE : NP_LIMIT_DROP;
}

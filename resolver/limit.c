#include "resolver/limit.h"

#include <stdbool.h>
#include <string.h>

#define QUERY 1000u /* thousandths */

enum { SALT_V4 = 1, SALT_V6, SALT_NETWORK };

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

/* Of two halves of an address; salt keeps the kinds of client apart. It is mixed with the secret before the second half
 * comes in: added beside that, it could be made up for by an address. */
static uint64_t hash(const struct np_limit *limit, uint64_t first, uint64_t second, uint64_t salt)
{
    return mix(mix((limit->key[0] ^ first) + salt) + (limit->key[1] ^ second));
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

/* Takes from both, where there are two, or from none. */
static bool take(uint32_t *one, uint32_t *other)
{
    if (*one < QUERY || (other && *other < QUERY))
        return false;
    *one -= QUERY;
    if (other)
        *other -= QUERY;
    return true;
}

static enum np_limit_verdict query_v4(struct np_limit *limit, const struct np_addr *client, uint32_t now_ms)
{
    uint32_t address;
    memcpy(&address, client->bytes, sizeof address);
    struct np_limit_bucket *bucket = find(limit, hash(limit, address, 0, SALT_V4), limit->rate, now_ms);
    if (take(&bucket->answers, NULL))
        return NP_LIMIT_PASS;
    return take(&bucket->truncated, NULL) ? NP_LIMIT_TRUNCATE : NP_LIMIT_DROP;
}

enum np_limit_verdict np_limit_query(struct np_limit *limit, const struct np_addr *client, uint32_t now_ms)
{
    uint64_t half[2];
    if (limit->rate == 0)
        return NP_LIMIT_PASS;
    if (client->family == AF_INET)
        return query_v4(limit, client, now_ms);
    memcpy(half, client->bytes, sizeof half);
    struct np_limit_bucket *own = find(limit, hash(limit, half[0], half[1], SALT_V6), limit->rate, now_ms);
    struct np_limit_bucket *network =
        find(limit, hash(limit, half[0], 0, SALT_NETWORK), limit->rate * NP_LIMIT_NETWORK_SHARE, now_ms);
    /* In one set with its own network, a new client's bucket may just have been given to that. */
    uint32_t *answers = own == network ? NULL : &own->answers, *truncated = own == network ? NULL : &own->truncated;
    if (take(&network->answers, answers))
        return NP_LIMIT_PASS;
    return take(&network->truncated, truncated) ? NP_LIMIT_TRUNCATE : NP_LIMIT_DROP;
}

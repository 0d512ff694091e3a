/* limit: how many queries one client may ask over UDP, as a fixed table of token buckets. Pure: the time goes in.
 *
 * A client is an IPv4 address, or an IPv6 address; and since an IPv6 host has 2^64 addresses to ask from, its /64 has a
 * bucket too, which holds NP_LIMIT_NETWORK_SHARE times as much. A bucket holds NP_LIMIT_BURST_S seconds' worth of
 * queries and as much again of truncated answers: over the rate a client is told to come over TCP, which proves that
 * the address is its own (as response rate limiting does), and over twice the rate it gets nothing.
 *
 * The table's hash is keyed, so that nobody can choose with whom he shares a bucket. A new client takes the place of
 * the one of its set that has been silent longest, and begins with a full bucket. */
#ifndef RESOLVER_LIMIT_H
#define RESOLVER_LIMIT_H

#include <stdint.h>

#include "resolver/base/address.h"

#define NP_LIMIT_SETS          256 /* of NP_LIMIT_WAYS buckets: 1,024 clients asking at the same time, 16 KiB */
#define NP_LIMIT_WAYS          4
#define NP_LIMIT_BURST_S       2
#define NP_LIMIT_NETWORK_SHARE 8
#define NP_LIMIT_RATE_MAX      100000 /* queries a second; keeps a bucket's thousandths in 32 bits */

enum np_limit_verdict {
    NP_LIMIT_PASS,     /* answer it */
    NP_LIMIT_TRUNCATE, /* answer with TC and nothing else */
    NP_LIMIT_DROP      /* no answer */
};

/* One client's bucket. */
struct np_limit_bucket {
    uint32_t tag; /* of the client, by the keyed hash */
    uint32_t seen_ms;
    uint32_t answers, truncated; /* what it may still have, in thousandths of a query */
};

/* The table. */
struct np_limit {
    struct np_limit_bucket buckets[NP_LIMIT_SETS][NP_LIMIT_WAYS];
    uint64_t key[2];
    uint32_t rate;
};

/* Empties the table; key is random. No limit is in force yet. */
void np_limit_init(struct np_limit *limit, const uint64_t key[2]);

/* Sets the queries a second (NP_LIMIT_RATE_MAX at most; 0: no limit). A bucket that holds more than now fits keeps no
 * more than that. */
void np_limit_set_rate(struct np_limit *limit, uint32_t rate);

/* Takes one query of the client at now_ms (any clock of milliseconds that does not go back; it may wrap). */
enum np_limit_verdict np_limit_query(struct np_limit *limit, const struct np_addr *client, uint32_t now_ms);

#endif

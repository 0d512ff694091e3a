/* cache: upstream answers, kept in packed form (packed.h) until their TTL has passed, and for a while after it.
 *
 * Pure: no socket, clock or log; the time is passed in (monotonic milliseconds, never going back). All memory is one
 * arena of the size that np_cache_new was given, so the bound is hard: nothing is allocated afterwards.
 *
 * Keys are name (without regard to case), type, DO and CD; the class is IN. Nothing of a client is in an entry.
 *
 * What is forgotten first is arena.h's business: a flood of names that nobody asks for twice pushes nothing out that
 * somebody did. What was found stays valid until the next call that puts something. */
#ifndef RESOLVER_CACHE_H
#define RESOLVER_CACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "resolver/base/address.h"
#include "resolver/name.h"
#include "resolver/packed.h"

#define NP_CACHE_SIZE_DEFAULT (4u << 20)   /* bytes: about 30,000 usual answers */
#define NP_CACHE_SIZE_MIN     (256u << 10) /* so that the small ring holds several of the largest answers */
#define NP_CACHE_SIZE_MAX     (1u << 30)   /* past that it is a mistake in a configuration */
#define NP_CACHE_ANSWER_MAX   8192         /* bytes packed: larger ones are rare, and one would push out 80 others */

struct np_cache;

/* What is asked for. */
struct np_cache_key {
    const struct np_name *qname;
    uint16_t qtype;
    bool dnssec_ok, checking_disabled;
};

enum np_cache_state {
    NP_CACHE_MISS,
    NP_CACHE_FRESH,
};

/* What was found. */
struct np_cache_found {
    enum np_cache_state state;
    const struct np_packed *packed; /* NULL: a miss, or an answer that the filter blocked */
    uint32_t age_s;                 /* for np_packed_write */
    struct np_addr blocked;         /* for which address the filter blocked it */
};

/* Counters since the start, and what is there now. */
struct np_cache_stats {
    uint64_t hits;     /* found fresh */
    uint64_t negative; /* of these, negative answers */
    uint64_t misses;
    uint64_t inserted, replaced;
    uint64_t moved;   /* from probation to the main ring */
    uint64_t evicted; /* forgotten for want of room */
    uint64_t refused; /* not kept: transient, or larger than NP_CACHE_ANSWER_MAX */
    uint64_t entries;
    uint64_t bytes; /* of the rings that hold something */
    uint64_t size;  /* of everything */
};

/* Reads a configured size: bytes with or without K, M or G, within the limits above, or 0 for no cache at all. Returns
 * 0 or NP_E_MALFORMED. */
int np_cache_parse_size(const char *text, uint32_t *out_bytes);

/* Allocates a cache of size bytes (NP_CACHE_SIZE_MIN to NP_CACHE_SIZE_MAX). hash_key is random. Memory that is not yet
 * used is not yet touched. Returns 0, NP_E_LIMIT or -ENOMEM. */
int np_cache_new(size_t size, uint64_t hash_key, struct np_cache **out_cache);

/* Gives it another size; what fits is kept. While this runs both sizes are taken. Returns 0, NP_E_LIMIT or -ENOMEM
 * (then nothing has changed). */
int np_cache_resize(struct np_cache *cache, size_t size);

/* Frees it; NULL is allowed. */
void np_cache_free(struct np_cache *cache);

/* Looks an answer up. */
void np_cache_find(struct np_cache *cache, const struct np_cache_key *key, int64_t now_ms,
                   struct np_cache_found *out_found);

/* Keeps an answer that np_packed_make made (len bytes) for as long as life says, in place of what the key had. */
void np_cache_put(struct np_cache *cache, const struct np_cache_key *key, const struct np_packed *packed, size_t len,
                  const struct np_packed_life *life, int64_t now_ms);

/* Keeps for as long that the filter blocked an answer for that address, and nothing of the answer. */
void np_cache_put_blocked(struct np_cache *cache, const struct np_cache_key *key, const struct np_addr *blocked,
                          const struct np_packed_life *life, int64_t now_ms);

/* Forgets everything. */
void np_cache_flush(struct np_cache *cache);

/* The counters, borrowed. */
const struct np_cache_stats *np_cache_stats(struct np_cache *cache);

#endif

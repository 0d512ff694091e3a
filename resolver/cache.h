/* cache: upstream answers, kept in packed form (packed.h) until their TTL has passed and for a while after it, and
 * which questions cannot be answered just now.
 *
 * Pure: no socket, clock or log; the time is passed in (milliseconds, never going back). All memory is one arena of the
 * size that np_cache_new was given, so the bound is hard: nothing is allocated afterwards.
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

#define NP_CACHE_SIZE_DEFAULT (4u << 20)   /* bytes: about 20,000 usual answers */
#define NP_CACHE_SIZE_MIN     (256u << 10) /* so that the small ring holds several of the largest answers */
#define NP_CACHE_SIZE_MAX     (1u << 30)   /* past that it is a mistake in a configuration */
#define NP_CACHE_ANSWER_MAX   8192         /* bytes packed: larger ones are rare, and one would push out 80 others */

#define NP_CACHE_STALE_S     86400 /* an answer may be given so long after its TTL (RFC 8767 section 5: 1 to 3 days) */
#define NP_CACHE_STALE_TTL_S 30    /* with this TTL (RFC 8767 section 4) */

/* How long a question that failed is not asked again: 1 s, then twice as long each time (RFC 9520 section 3.2). Long
 * only when others were answered meanwhile: a home whose line was away comes back as soon as the line does. */
#define NP_CACHE_FAILED_MAX_S 299 /* a second is added by rounding: 5 min at most */
#define NP_CACHE_OUTAGE_MAX_S 4   /* when nothing was answered since it failed before, or nobody said that it failed */
#define NP_CACHE_LATE_S       4   /* an answer that was late, so that stale was given, and is on its way still */
#define NP_CACHE_OFFLINE_S    1   /* between looks whether stale answers can be had anew while nobody answers */

struct np_cache;

/* What is asked for. */
struct np_cache_key {
    const struct np_name *qname;
    uint16_t qtype;
    bool dnssec_ok, checking_disabled;
};

enum np_cache_state {
    NP_CACHE_MISS,
    NP_CACHE_FRESH,  /* give it */
    NP_CACHE_STALE,  /* give it with np_packed_how.fixed_s NP_CACHE_STALE_TTL_S and the EDE for it */
    NP_CACHE_FAILURE /* the question failed a moment ago: say so, do not ask */
};

/* What was found. */
struct np_cache_found {
    enum np_cache_state state;
    bool refresh;                   /* ask for it anew, for nobody; said once until it was put or has failed */
    bool has_stale;                 /* MISS: something stale is there */
    bool doubtful;                  /* judged by another filter than today's: np_cache_judged is to be told */
    bool is_blocked;                /* FRESH, STALE: the filter blocked it, there is no answer to give */
    struct np_addr blocked;         /* then: for which address */
    const struct np_packed *packed; /* FRESH, STALE: the answer; FAILURE: what an upstream said, NULL: none did */
    uint32_t age_s;                 /* for np_packed_write */
    enum np_ede ede;                /* FAILURE without an answer: why */
};

/* Counters since the start, and what is there now. */
struct np_cache_stats {
    uint64_t hits;               /* found fresh */
    uint64_t negative;           /* of these, negative answers */
    uint64_t failures;           /* found failed a moment ago */
    uint64_t misses;             /* nothing of either kind found */
    uint64_t stale;              /* stale answers given */
    uint64_t prefetches;         /* asked for anew while fresh */
    uint64_t inserted, replaced; /* answers and failures that were kept */
    uint64_t moved;              /* from probation to the main ring */
    uint64_t evicted;            /* forgotten for want of room */
    uint64_t refused;            /* answers not kept: transient, or larger than NP_CACHE_ANSWER_MAX */
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

/* Looks an answer up for a client. Stale ones are found when the question failed, or was late, a moment ago. Fresh ones
 * that are asked for again and again and are in the last tenth of their TTL are to be refreshed. */
void np_cache_find(struct np_cache *cache, const struct np_cache_key *key, int64_t now_ms,
                   struct np_cache_found *out_found);

/* Looks for a stale answer (STALE or MISS), since there is no other. offline: none can be expected, for no upstream
 * answers anything; now and then it is to be refreshed all the same. */
void np_cache_find_stale(struct np_cache *cache, const struct np_cache_key *key, bool offline, int64_t now_ms,
                         struct np_cache_found *out_found);

/* Keeps an answer that np_packed_make made (len bytes) for as long as life says, in place of what the key had. One that
 * may not be kept leaves that as it is. */
void np_cache_put(struct np_cache *cache, const struct np_cache_key *key, const struct np_packed *packed, size_t len,
                  const struct np_packed_life *life, int64_t now_ms);

/* Keeps for as long that the filter blocked an answer for that address, and nothing of the answer. */
void np_cache_put_blocked(struct np_cache *cache, const struct np_cache_key *key, const struct np_addr *blocked,
                          const struct np_packed_life *life, int64_t now_ms);

/* Notes that the question failed. packed (len bytes) is what an upstream said (SERVFAIL and its like), NULL: none said
 * anything, and ede tells why. An answer that may still be given, fresh or stale, stays. */
void np_cache_fail(struct np_cache *cache, const struct np_cache_key *key, const struct np_packed *packed, size_t len,
                   enum np_ede ede, int64_t now_ms);

/* Notes that stale was given because the answer is late: for a moment others get it without waiting. */
void np_cache_late(struct np_cache *cache, const struct np_cache_key *key, int64_t now_ms);

/* Forgets failures and what was late: an upstream has come back, or there are others. */
void np_cache_forgive(struct np_cache *cache);

/* The filter is another one from now on: what was judged until now is doubtful. */
void np_cache_doubt(struct np_cache *cache);

/* Today's filter has looked at a doubtful answer: keep it, or forget it. */
void np_cache_judged(struct np_cache *cache, const struct np_cache_key *key, bool good);

/* Forgets everything. */
void np_cache_flush(struct np_cache *cache);

/* The counters, borrowed. */
const struct np_cache_stats *np_cache_stats(struct np_cache *cache);

#endif

#include "resolver/cache.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "resolver/arena.h"
#include "resolver/base/error.h"
#include "resolver/base/text.h"

#define FLAG_DO         0x01u /* of the key */
#define FLAG_CD         0x02u
#define FLAGS_KEY       0x03u
#define FLAG_NEGATIVE   0x04u
#define FLAG_BLOCKED    0x08u /* by the filter */
#define FLAG_FAILURE    0x10u /* no answer, only that there was none */
#define FLAG_SAID       0x20u /* an upstream said so */
#define FLAG_REFRESHING 0x40u /* somebody was told to ask anew */

#define PREFETCH_PART 10 /* one part in so many of the TTL is left */
#define PREFETCH_USES 2
#define FAILURE_MAX   512 /* bytes packed of what an upstream said: with more, only the RCODE is kept */
#define FAILURES_MAX  9   /* 2^9 s is over every maximum */
#define AMNESTY_S     300 /* a failure so long over does not count towards the next one */

/* What an item holds: this, the name, and aligned to 2 the packed answer; for what is blocked a struct np_addr, for a
 * failure that nobody said a uint16_t with the EDE. */
struct entry {
    uint32_t stored_s, expires_s;
    uint32_t held_s; /* since when it is held: not asked, after a failure or because it is late */
    uint16_t hold_s; /* for how long; 0: not at all */
    uint16_t judged; /* by which filter */
    uint16_t qtype;
    uint8_t epoch;    /* in which it is held; in another one it is not */
    uint8_t failures; /* in a row */
    uint8_t flags;
    uint8_t qname_len;
    uint8_t qname[];
};

struct np_cache {
    struct np_arena *arena;
    uint64_t hash_key;
    struct np_cache_stats stats;
    uint64_t moved, evicted; /* in arenas before this one */
    uint16_t filter;         /* today's number */
    uint8_t epoch;           /* begins when an upstream comes back */
    uint32_t answered_s;     /* when the last question was answered */
};

/* Whole seconds: an answer that came late in one is old at the beginning of the next, never the other way round. */
static uint32_t seconds(int64_t now_ms)
{
    return (uint32_t)(now_ms / 1000);
}

static uint8_t key_flags(const struct np_cache_key *key)
{
    return (uint8_t)((key->dnssec_ok ? FLAG_DO : 0) | (key->checking_disabled ? FLAG_CD : 0));
}

static uint32_t hash_of(const struct np_cache *cache, const struct np_cache_key *key)
{
    uint32_t kind = (uint32_t)key->qtype | (uint32_t)key_flags(key) << 16;
    return (uint32_t)np_name_hash(key->qname, cache->hash_key) ^ kind * 0x9e3779b1u;
}

/* Bytes before the packed answer, or the address. */
static size_t content_at(size_t qname_len)
{
    return (sizeof(struct entry) + qname_len + 1) & ~(size_t)1;
}

static uint8_t *content_of(struct entry *entry)
{
    return (uint8_t *)entry + content_at(entry->qname_len);
}

static struct np_item *find(const struct np_cache *cache, uint32_t hash, const struct np_cache_key *key)
{
    size_t slot;
    struct np_item *item = np_arena_first(cache->arena, hash, &slot);
    for (; item; item = np_arena_next(cache->arena, hash, &slot)) {
        const struct entry *entry = np_item_data(item);
        if (entry->qtype == key->qtype && (entry->flags & FLAGS_KEY) == key_flags(key) &&
            np_name_is(key->qname, entry->qname, entry->qname_len))
            return item;
    }
    return NULL;
}

static bool may_be_stale(const struct entry *entry, uint32_t now_s)
{
    return !(entry->flags & FLAG_FAILURE) && now_s < entry->expires_s + NP_CACHE_STALE_S;
}

/* Has it failed, or been late, a moment ago? */
static bool is_held(const struct np_cache *cache, const struct entry *entry, uint32_t now_s)
{
    return entry->epoch == cache->epoch && now_s < entry->held_s + entry->hold_s;
}

static void hold(const struct np_cache *cache, struct entry *entry, uint32_t now_s, uint32_t hold_s)
{
    entry->held_s = now_s;
    entry->hold_s = (uint16_t)hold_s;
    entry->epoch = cache->epoch;
}

static void describe(const struct np_cache *cache, struct entry *entry, enum np_cache_state state, uint32_t now_s,
                     struct np_cache_found *out)
{
    const uint8_t *content = content_of(entry);
    out->state = state;
    out->doubtful = state != NP_CACHE_FAILURE && entry->judged != cache->filter;
    out->is_blocked = (entry->flags & FLAG_BLOCKED) != 0;
    out->age_s = now_s > entry->stored_s ? now_s - entry->stored_s : 0;
    out->packed = NULL;
    if (out->is_blocked) {
        memcpy(&out->blocked, content, sizeof out->blocked);
    } else if ((entry->flags & (FLAG_FAILURE | FLAG_SAID)) == FLAG_FAILURE) {
        uint16_t ede;
        memcpy(&ede, content, sizeof ede);
        out->ede = (enum np_ede)ede;
    } else {
        out->packed = (const struct np_packed *)(const void *)content;
    }
}

static void miss(struct np_cache_found *out, bool has_stale)
{
    out->state = NP_CACHE_MISS;
    out->has_stale = has_stale;
    out->doubtful = out->is_blocked = false;
    out->packed = NULL;
}

/* Is a fresh entry about to end that many want? */
static bool wants_prefetch(const struct np_cache *cache, const struct np_item *item, const struct entry *entry,
                           uint32_t now_s)
{
    return (uint64_t)(entry->expires_s - now_s) * PREFETCH_PART <= entry->expires_s - entry->stored_s &&
           item->uses >= PREFETCH_USES && !(entry->flags & FLAG_REFRESHING) && !is_held(cache, entry, now_s);
}

void np_cache_find(struct np_cache *cache, const struct np_cache_key *key, int64_t now_ms,
                   struct np_cache_found *out_found)
{
    struct np_item *item = find(cache, hash_of(cache, key), key);
    struct entry *entry = item ? np_item_data(item) : NULL;
    uint32_t now_s = seconds(now_ms);
    out_found->refresh = false;
    if (entry && !(entry->flags & FLAG_FAILURE) && now_s < entry->expires_s) {
        np_item_use(item);
        cache->stats.hits++;
        cache->stats.negative += (entry->flags & FLAG_NEGATIVE) != 0;
        if (wants_prefetch(cache, item, entry, now_s)) {
            entry->flags |= FLAG_REFRESHING;
            cache->stats.prefetches++;
            out_found->refresh = true;
        }
        describe(cache, entry, NP_CACHE_FRESH, now_s, out_found);
        return;
    }
    bool held = entry && is_held(cache, entry, now_s), stale = entry && may_be_stale(entry, now_s);
    cache->stats.failures += held && !stale;
    cache->stats.misses += !held || stale;
    cache->stats.stale += held && stale;
    if (!held)
        miss(out_found, stale);
    else
        describe(cache, entry, stale ? NP_CACHE_STALE : NP_CACHE_FAILURE, now_s, out_found);
    if (held && stale)
        np_item_use(item);
}

void np_cache_find_stale(struct np_cache *cache, const struct np_cache_key *key, bool offline, int64_t now_ms,
                         struct np_cache_found *out_found)
{
    struct np_item *item = find(cache, hash_of(cache, key), key);
    struct entry *entry = item ? np_item_data(item) : NULL;
    uint32_t now_s = seconds(now_ms);
    out_found->refresh = false;
    if (!entry || !may_be_stale(entry, now_s)) {
        miss(out_found, false);
        return;
    }
    np_item_use(item);
    cache->stats.stale++;
    if (offline && !is_held(cache, entry, now_s)) {
        hold(cache, entry, now_s, NP_CACHE_OFFLINE_S + 1);
        out_found->refresh = true;
    }
    describe(cache, entry, NP_CACHE_STALE, now_s, out_found);
}

/* A place for len bytes under the key: the old entry's where they fit without waste, so that a name that changes every
 * minute does not eat its ring, else a new one in the same ring. */
static struct np_item *place(struct np_cache *cache, const struct np_cache_key *key, size_t len)
{
    uint32_t hash = hash_of(cache, key);
    struct np_item *item = find(cache, hash, key);
    if (!item) {
        cache->stats.inserted++;
        return np_arena_add(cache->arena, hash, len, false);
    }
    cache->stats.replaced++;
    if (len <= np_item_room(item) && len >= np_item_room(item) / 2)
        return item;
    bool proven = np_arena_proven(cache->arena, item) || item->uses > 0;
    np_arena_remove(cache->arena, item);
    return np_arena_add(cache->arena, hash, len, proven);
}

/* Writes an entry in place of what the key had. Returns it, NULL where there is no room for its size. */
static struct entry *keep(struct np_cache *cache, const struct np_cache_key *key, uint8_t flags, const void *content,
                          size_t len, uint32_t ttl_s, int64_t now_ms)
{
    size_t at = content_at(key->qname->len);
    struct np_item *item = place(cache, key, at + len);
    if (!item)
        return NULL;
    struct entry *entry = np_item_data(item);
    *entry = (struct entry){
        .stored_s = seconds(now_ms),
        .expires_s = seconds(now_ms) + ttl_s,
        .qtype = key->qtype,
        .flags = (uint8_t)(key_flags(key) | flags),
        .qname_len = key->qname->len,
        .judged = cache->filter,
    };
    memcpy(entry->qname, key->qname->wire, key->qname->len);
    memcpy(content_of(entry), content, len);
    return entry;
}

void np_cache_put(struct np_cache *cache, const struct np_cache_key *key, const struct np_packed *packed, size_t len,
                  const struct np_packed_life *life, int64_t now_ms)
{
    cache->answered_s = seconds(now_ms);
    if (life->ttl_s == 0 || len > NP_CACHE_ANSWER_MAX)
        cache->stats.refused++; /* what was known stays: a forwarder in between gives TTL 0 every now and then */
    else
        keep(cache, key, life->kind == NP_PACKED_NEGATIVE ? FLAG_NEGATIVE : 0, packed, len, life->ttl_s, now_ms);
}

void np_cache_put_blocked(struct np_cache *cache, const struct np_cache_key *key, const struct np_addr *blocked,
                          const struct np_packed_life *life, int64_t now_ms)
{
    cache->answered_s = seconds(now_ms);
    if (life->ttl_s == 0)
        cache->stats.refused++;
    else
        keep(cache, key, FLAG_BLOCKED, blocked, sizeof *blocked, life->ttl_s, now_ms);
}

/* RFC 9520 section 3.2: at least 1 s, longer each time. */
static uint32_t backoff_s(unsigned failures, bool outage)
{
    uint32_t delay = 1u << (failures < FAILURES_MAX ? failures : FAILURES_MAX);
    uint32_t most = outage ? NP_CACHE_OUTAGE_MAX_S : NP_CACHE_FAILED_MAX_S;
    return delay < most ? delay : most;
}

void np_cache_fail(struct np_cache *cache, const struct np_cache_key *key, const struct np_packed *packed, size_t len,
                   enum np_ede ede, int64_t now_ms)
{
    struct np_item *item = find(cache, hash_of(cache, key), key);
    struct entry *entry = item ? np_item_data(item) : NULL;
    struct np_packed brief;
    uint32_t now_s = seconds(now_ms);
    uint16_t why = (uint16_t)ede;
    unsigned failures = 0;
    bool outage = !packed;
    if (entry && entry->epoch == cache->epoch && now_s < entry->held_s + entry->hold_s + AMNESTY_S) {
        failures = entry->failures;
        outage = outage || cache->answered_s < entry->held_s;
    }
    if (packed && len > FAILURE_MAX) {
        len = (size_t)np_packed_empty(key->qname, packed->rcode, &brief, sizeof brief);
        packed = &brief;
    }
    if (entry && may_be_stale(entry, now_s))
        entry->flags &= (uint8_t)~FLAG_REFRESHING;
    else if (packed)
        entry = keep(cache, key, FLAG_FAILURE | FLAG_SAID, packed, len, 0, now_ms);
    else
        entry = keep(cache, key, FLAG_FAILURE, &why, sizeof why, 0, now_ms);
    if (!entry)
        return;
    hold(cache, entry, now_s, backoff_s(failures, outage) + 1);
    entry->failures = (uint8_t)(failures < FAILURES_MAX ? failures + 1 : FAILURES_MAX);
}

void np_cache_late(struct np_cache *cache, const struct np_cache_key *key, int64_t now_ms)
{
    struct np_item *item = find(cache, hash_of(cache, key), key);
    if (item)
        hold(cache, np_item_data(item), seconds(now_ms), NP_CACHE_LATE_S);
}

void np_cache_forgive(struct np_cache *cache)
{
    cache->epoch++;
}

void np_cache_doubt(struct np_cache *cache)
{
    if (++cache->filter == 0) /* numbers come round: what has the next ones must go */
        np_cache_flush(cache);
}

void np_cache_judged(struct np_cache *cache, const struct np_cache_key *key, bool good)
{
    struct np_item *item = find(cache, hash_of(cache, key), key);
    if (item && good)
        ((struct entry *)np_item_data(item))->judged = cache->filter;
    else if (item)
        np_arena_remove(cache->arena, item);
}

int np_cache_parse_size(const char *text, uint32_t *out_bytes)
{
    uint64_t bytes;
    int rc = np_parse_size(text, 0, NP_CACHE_SIZE_MAX, &bytes);
    if (rc || (bytes > 0 && bytes < NP_CACHE_SIZE_MIN))
        return NP_E_MALFORMED;
    *out_bytes = (uint32_t)bytes;
    return 0;
}

void np_cache_flush(struct np_cache *cache)
{
    np_arena_clear(cache->arena);
}

const struct np_cache_stats *np_cache_stats(struct np_cache *cache)
{
    const struct np_arena_stats *arena = np_arena_stats(cache->arena);
    cache->stats.entries = arena->items;
    cache->stats.bytes = arena->bytes;
    cache->stats.moved = cache->moved + arena->moved;
    cache->stats.evicted = cache->evicted + arena->forgotten;
    return &cache->stats;
}

int np_cache_resize(struct np_cache *cache, size_t size)
{
    struct np_arena *arena;
    if (size < NP_CACHE_SIZE_MIN)
        return NP_E_LIMIT;
    int rc = np_arena_new(size, &arena);
    if (rc)
        return rc;
    struct np_item *item;
    for (size_t pos = 0; cache->arena && (item = np_arena_each(cache->arena, &pos));) {
        struct np_item *copy = np_arena_add(arena, item->tag, np_item_room(item), np_arena_proven(cache->arena, item));
        if (!copy)
            continue;
        memcpy(np_item_data(copy), np_item_data(item), np_item_room(item));
        copy->uses = item->uses;
    }
    if (cache->arena) {
        cache->moved += np_arena_stats(cache->arena)->moved;
        cache->evicted += np_arena_stats(cache->arena)->forgotten;
        np_arena_free(cache->arena);
    }
    cache->arena = arena;
    cache->stats.size = size;
    return 0;
}

int np_cache_new(size_t size, uint64_t hash_key, struct np_cache **out_cache)
{
    struct np_cache *cache = calloc(1, sizeof *cache);
    if (!cache)
        return -ENOMEM;
    cache->hash_key = hash_key;
    int rc = np_cache_resize(cache, size);
    if (rc) {
        free(cache);
        return rc;
    }
    *out_cache = cache;
    return 0;
}

void np_cache_free(struct np_cache *cache)
{
    if (cache)
        np_arena_free(cache->arena);
    free(cache);
}

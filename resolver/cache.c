#include "resolver/cache.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "resolver/arena.h"
#include "resolver/base/error.h"
#include "resolver/base/text.h"

#define FLAG_DO       0x01u /* of the key */
#define FLAG_CD       0x02u
#define FLAGS_KEY     0x03u
#define FLAG_NEGATIVE 0x04u
#define FLAG_BLOCKED  0x08u /* by the filter: nothing is stored but this */

/* What an item holds: this, the name, and aligned to 2 the packed answer, or for what is blocked a struct np_addr. */
struct entry {
    uint32_t stored_s, expires_s;
    uint16_t qtype;
    uint8_t flags;
    uint8_t qname_len;
    uint8_t qname[];
};

struct np_cache {
    struct np_arena *arena;
    uint64_t hash_key;
    struct np_cache_stats stats;
    uint64_t moved, evicted; /* in arenas before this one */
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

void np_cache_find(struct np_cache *cache, const struct np_cache_key *key, int64_t now_ms,
                   struct np_cache_found *out_found)
{
    struct np_item *item = find(cache, hash_of(cache, key), key);
    struct entry *entry = item ? np_item_data(item) : NULL;
    if (!entry || seconds(now_ms) >= entry->expires_s) {
        cache->stats.misses++;
        out_found->state = NP_CACHE_MISS;
        out_found->packed = NULL;
        return;
    }
    np_item_use(item);
    cache->stats.hits++;
    cache->stats.negative += (entry->flags & FLAG_NEGATIVE) != 0;
    out_found->state = NP_CACHE_FRESH;
    out_found->age_s = seconds(now_ms) - entry->stored_s;
    if (entry->flags & FLAG_BLOCKED) {
        out_found->packed = NULL;
        memcpy(&out_found->blocked, content_of(entry), sizeof out_found->blocked);
    } else {
        out_found->packed = (const struct np_packed *)(const void *)content_of(entry);
    }
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

static void keep(struct np_cache *cache, const struct np_cache_key *key, uint8_t flags, const void *content, size_t len,
                 const struct np_packed_life *life, int64_t now_ms)
{
    size_t at = content_at(key->qname->len);
    struct np_item *item = place(cache, key, at + len);
    if (!item)
        return;
    struct entry *entry = np_item_data(item);
    *entry = (struct entry){
        .stored_s = seconds(now_ms),
        .expires_s = seconds(now_ms) + life->ttl_s,
        .qtype = key->qtype,
        .flags = (uint8_t)(key_flags(key) | flags),
        .qname_len = key->qname->len,
    };
    memcpy(entry->qname, key->qname->wire, key->qname->len);
    memcpy(content_of(entry), content, len);
}

/* What is not kept still says that what was known holds no longer. */
static void refuse(struct np_cache *cache, const struct np_cache_key *key, const struct np_packed_life *life)
{
    struct np_item *old = life->kind == NP_PACKED_FAILURE ? NULL : find(cache, hash_of(cache, key), key);
    cache->stats.refused++;
    if (old)
        np_arena_remove(cache->arena, old);
}

void np_cache_put(struct np_cache *cache, const struct np_cache_key *key, const struct np_packed *packed, size_t len,
                  const struct np_packed_life *life, int64_t now_ms)
{
    if (life->ttl_s == 0 || len > NP_CACHE_ANSWER_MAX)
        refuse(cache, key, life);
    else
        keep(cache, key, life->kind == NP_PACKED_NEGATIVE ? FLAG_NEGATIVE : 0, packed, len, life, now_ms);
}

void np_cache_put_blocked(struct np_cache *cache, const struct np_cache_key *key, const struct np_addr *blocked,
                          const struct np_packed_life *life, int64_t now_ms)
{
    if (life->ttl_s == 0)
        refuse(cache, key, life);
    else
        keep(cache, key, FLAG_BLOCKED, blocked, sizeof *blocked, life, now_ms);
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

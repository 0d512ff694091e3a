/* arena: items of any size in one piece of memory of fixed size, found by a hash, forgotten in a good order. The store
 * under the cache. Pure.
 *
 * Two rings in which items stand one behind the other, and an index (open addressing). New items go into the small
 * ring, on probation. What was used there until it comes to the end moves to the main ring; the rest is forgotten but
 * for a trace of its hash, and goes straight to the main ring when it is added again while the trace is there. In the
 * main ring what was used since goes round again (S3-FIFO: Yang et al., SOSP 2023). A flood of items that are never
 * used passes through the small ring and pushes nothing out of the main one. While the main ring has room it takes what
 * leaves the small one, so nothing is forgotten before the arena is full.
 *
 * Every call takes bounded time, whatever is in the arena. Pointers to items are valid until the next np_arena_add. */
#ifndef RESOLVER_ARENA_H
#define RESOLVER_ARENA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NP_ARENA_SIZE_MIN  (64u << 10) /* bytes */
#define NP_ARENA_SIZE_MAX  (1u << 30)
#define NP_ARENA_SMALL     10 /* one part in so many is the small ring, as in the paper */
#define NP_ARENA_USES_MAX  3  /* uses that count: so many rounds an item stays without further ones */
#define NP_ARENA_ROUND_MAX 32 /* items that go round again for one that is added; past it they are forgotten */

struct np_arena;

/* An item's head; its bytes follow, aligned to 8. Only arena.c changes it. */
struct np_item {
    uint32_t tag;      /* its hash */
    uint16_t granules; /* of 8 bytes, this head included */
    uint8_t uses;      /* since it was added or went round, at most NP_ARENA_USES_MAX */
    uint8_t state;
};

/* What is there now, and what happened since the start. */
struct np_arena_stats {
    size_t items, bytes;
    uint64_t moved;     /* from the small ring to the main one */
    uint64_t forgotten; /* for want of room */
};

/* Allocates an arena of size bytes, index and all. What is not used is not touched. 0, NP_E_LIMIT or -ENOMEM. */
int np_arena_new(size_t size, struct np_arena **out_arena);

/* Frees it; NULL is allowed. */
void np_arena_free(struct np_arena *arena);

/* The first item with that hash, NULL when there is none; *slot is the place in the index for np_arena_next. Different
 * items may have the same hash: the caller compares what it has put in. */
struct np_item *np_arena_first(const struct np_arena *arena, uint32_t hash, size_t *slot);

/* The next one. */
struct np_item *np_arena_next(const struct np_arena *arena, uint32_t hash, size_t *slot);

/* Adds an item of len bytes, which are not initialised, forgetting others where there is no room. proven: straight into
 * the main ring. Returns NULL only when len is over np_arena_item_max. */
struct np_item *np_arena_add(struct np_arena *arena, uint32_t hash, size_t len, bool proven);

/* Takes the item out. */
void np_arena_remove(struct np_arena *arena, struct np_item *item);

/* Takes everything out, traces too. The counters stay. */
void np_arena_clear(struct np_arena *arena);

/* The next item after *pos (0 at first), the oldest of the main ring first; NULL at the end. For walks over everything,
 * during which nothing may be added. */
struct np_item *np_arena_each(const struct np_arena *arena, size_t *pos);

/* Is the item in the main ring? */
bool np_arena_proven(const struct np_arena *arena, const struct np_item *item);

/* The largest item's bytes: half of the small ring, at most 512 KB. */
size_t np_arena_item_max(const struct np_arena *arena);

/* The counters, borrowed. */
const struct np_arena_stats *np_arena_stats(const struct np_arena *arena);

/* The item's bytes. */
static inline void *np_item_data(struct np_item *item)
{
    return item + 1;
}

/* Bytes there is room for. */
static inline size_t np_item_room(const struct np_item *item)
{
    return item->granules * 8u - sizeof *item;
}

/* Counts a use. */
static inline void np_item_use(struct np_item *item)
{
    if (item->uses < NP_ARENA_USES_MAX)
        item->uses++;
}

#endif

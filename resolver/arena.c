#include "resolver/arena.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "resolver/base/error.h"

#define GRANULE 8 /* bytes: alignment and unit of size */
#define BYTES_A_SLOT                                                                                                   \
    128 /* of the arena for one slot of the index, so that most arenas are full before their index is */
#define SLOTS_FULL(n) ((n) / 4 * 3) /* items in an index of n slots: past it searches grow long */
#define TRACES_A_SLOT 2             /* slots for one trace */

enum item_state { ITEM_LIVE = 1, ITEM_DEAD, ITEM_PAD };

struct slot {
    uint32_t tag;
    uint32_t where; /* granules from the start of the items, plus 1; 0: empty */
};

/* Items from tail to head, in granules; head wraps to 0. What does not fit at the end is preceded by a pad up to it. */
struct ring {
    uint32_t base, size;
    uint32_t head, tail, used;
};

struct np_arena {
    struct np_arena_stats stats;
    struct ring small, main;
    size_t small_items;
    uint32_t mask; /* slots - 1 */
    uint32_t *traces;
    uint8_t *items;
    struct slot slots[];
};

static struct np_item *item_at(const struct np_arena *arena, uint32_t where)
{
    return (struct np_item *)(void *)(arena->items + (size_t)where * GRANULE);
}

static uint32_t where_of(const struct np_arena *arena, const struct np_item *item)
{
    return (uint32_t)((size_t)((const uint8_t *)item - arena->items) / GRANULE);
}

/* The index. An item's slot is at its home (the tag's low bits) or behind it without a gap between. */

static uint32_t find_slot(const struct np_arena *arena, const struct np_item *item)
{
    uint32_t where = where_of(arena, item) + 1, at = item->tag & arena->mask;
    while (arena->slots[at].where != where)
        at = (at + 1) & arena->mask;
    return at;
}

static void index_add(struct np_arena *arena, const struct np_item *item)
{
    uint32_t at = item->tag & arena->mask;
    while (arena->slots[at].where)
        at = (at + 1) & arena->mask;
    arena->slots[at] = (struct slot){item->tag, where_of(arena, item) + 1};
    arena->stats.items++;
}

/* Closes the gap: each later slot of the run moves into it unless that would put it before its home. */
static void index_remove(struct np_arena *arena, const struct np_item *item)
{
    uint32_t gap = find_slot(arena, item), at = gap;
    for (;;) {
        at = (at + 1) & arena->mask;
        if (!arena->slots[at].where)
            break;
        uint32_t home = arena->slots[at].tag & arena->mask;
        if (((at - home) & arena->mask) < ((at - gap) & arena->mask))
            continue;
        arena->slots[gap] = arena->slots[at];
        gap = at;
    }
    arena->slots[gap].where = 0;
    arena->stats.items--;
}

static struct np_item *search(const struct np_arena *arena, uint32_t tag, size_t *slot)
{
    size_t at = *slot;
    while (arena->slots[at].where && arena->slots[at].tag != tag)
        at = (at + 1) & arena->mask;
    *slot = at;
    return arena->slots[at].where ? item_at(arena, arena->slots[at].where - 1) : NULL;
}

struct np_item *np_arena_first(const struct np_arena *arena, uint32_t hash, size_t *slot)
{
    *slot = hash & arena->mask;
    return search(arena, hash, slot);
}

struct np_item *np_arena_next(const struct np_arena *arena, uint32_t hash, size_t *slot)
{
    *slot = (*slot + 1) & arena->mask;
    return search(arena, hash, slot);
}

/* Traces of what was forgotten: the tags themselves, a newer one over an older one in the same place. */

static uint32_t *trace_of(const struct np_arena *arena, uint32_t tag)
{
    return &arena->traces[(tag & arena->mask) / TRACES_A_SLOT];
}

/* The rings. */

/* Is there room for n granules at the head in one piece? Where it is only at the start of the ring, pads the end. */
static bool ring_fits(struct np_arena *arena, struct ring *ring, uint32_t n)
{
    if (ring->used == 0)
        ring->head = ring->tail = 0;
    if (ring->used == ring->size)
        return false;
    if (ring->head < ring->tail)
        return ring->tail - ring->head >= n;
    uint32_t end = ring->size - ring->head;
    if (end >= n)
        return true;
    if (ring->tail < n)
        return false;
    *item_at(arena, ring->base + ring->head) = (struct np_item){.granules = (uint16_t)end, .state = ITEM_PAD};
    ring->used += end;
    ring->head = 0;
    return true;
}

/* Takes n granules, which fit. */
static struct np_item *ring_take(struct np_arena *arena, struct ring *ring, uint32_t n)
{
    struct np_item *item = item_at(arena, ring->base + ring->head);
    ring->head += n;
    if (ring->head == ring->size)
        ring->head = 0;
    ring->used += n;
    return item;
}

static struct np_item *ring_tail(const struct np_arena *arena, const struct ring *ring)
{
    return item_at(arena, ring->base + ring->tail);
}

static void ring_drop(struct ring *ring, uint32_t n)
{
    ring->tail += n;
    if (ring->tail == ring->size)
        ring->tail = 0;
    ring->used -= n;
}

void np_arena_remove(struct np_arena *arena, struct np_item *item)
{
    index_remove(arena, item);
    arena->small_items -= !np_arena_proven(arena, item);
    item->state = ITEM_DEAD;
}

static void forget(struct np_arena *arena, struct np_item *item)
{
    np_arena_remove(arena, item);
    arena->stats.forgotten++;
}

/* Moves the item, which has left its ring's tail, to the head of ring, where it fits. The places may overlap. */
static void move(struct np_arena *arena, struct np_item *item, struct ring *ring)
{
    uint32_t slot = find_slot(arena, item), n = item->granules;
    struct np_item *to = ring_take(arena, ring, n);
    memmove(to, item, (size_t)n * GRANULE);
    arena->slots[slot].where = where_of(arena, to) + 1;
}

/* Frees the oldest item of the main ring, or lets it go round again while *rounds lasts. */
static void main_step(struct np_arena *arena, unsigned *rounds)
{
    struct np_item *item = ring_tail(arena, &arena->main);
    uint32_t n = item->granules;
    bool again = item->state == ITEM_LIVE && item->uses > 0 && *rounds > 0;
    if (item->state == ITEM_LIVE && !again)
        forget(arena, item);
    ring_drop(&arena->main, n);
    /* What was just taken off the tail always fits at the head: the room between them has grown by it. */
    if (again && ring_fits(arena, &arena->main, n)) {
        (*rounds)--;
        item->uses--;
        move(arena, item, &arena->main);
    }
}

/* Frees the oldest item of the small ring: what was used moves to the main ring, and so does what was not while there
 * is room, unless the index is full. */
static void small_step(struct np_arena *arena, bool crowded, unsigned *rounds)
{
    struct np_item *item = ring_tail(arena, &arena->small);
    uint32_t n = item->granules;
    bool live = item->state == ITEM_LIVE, used = live && item->uses > 0 && *rounds > 0;
    if (live && !used && (crowded || !ring_fits(arena, &arena->main, n))) {
        forget(arena, item);
        *trace_of(arena, item->tag) = item->tag;
        live = false;
    }
    ring_drop(&arena->small, n);
    if (!live)
        return;
    *rounds -= used;
    while (!ring_fits(arena, &arena->main, n))
        main_step(arena, rounds);
    item->uses = 0;
    move(arena, item, &arena->main);
    arena->small_items--;
    arena->stats.moved++;
}

struct np_item *np_arena_add(struct np_arena *arena, uint32_t hash, size_t len, bool proven)
{
    uint32_t n = (uint32_t)((sizeof(struct np_item) + len + GRANULE - 1) / GRANULE);
    unsigned rounds = NP_ARENA_ROUND_MAX;
    if (len > np_arena_item_max(arena))
        return NULL;
    struct ring *ring = proven || *trace_of(arena, hash) == hash ? &arena->main : &arena->small;
    size_t most = SLOTS_FULL((size_t)arena->mask + 1);
    while (arena->stats.items >= most) {
        if (arena->small_items > most / NP_ARENA_SMALL)
            small_step(arena, true, &rounds);
        else
            main_step(arena, &rounds);
    }
    while (!ring_fits(arena, ring, n)) {
        if (ring == &arena->main)
            main_step(arena, &rounds);
        else
            small_step(arena, false, &rounds);
    }
    struct np_item *item = ring_take(arena, ring, n);
    *item = (struct np_item){.tag = hash, .granules = (uint16_t)n, .state = ITEM_LIVE};
    index_add(arena, item);
    arena->small_items += ring == &arena->small;
    arena->stats.bytes = ((size_t)arena->small.used + arena->main.used) * GRANULE;
    return item;
}

void np_arena_clear(struct np_arena *arena)
{
    size_t slots = (size_t)arena->mask + 1;
    memset(arena->slots, 0, slots * sizeof *arena->slots);
    memset(arena->traces, 0, slots / TRACES_A_SLOT * sizeof *arena->traces);
    arena->small.used = arena->main.used = 0;
    arena->small_items = arena->stats.items = arena->stats.bytes = 0;
}

struct np_item *np_arena_each(const struct np_arena *arena, size_t *pos)
{
    while (*pos < (size_t)arena->main.used + arena->small.used) {
        bool main = *pos < arena->main.used;
        const struct ring *ring = main ? &arena->main : &arena->small;
        size_t offset = ring->tail + *pos - (main ? 0 : arena->main.used);
        struct np_item *item = item_at(arena, ring->base + (uint32_t)(offset % ring->size));
        *pos += item->granules;
        if (item->state == ITEM_LIVE)
            return item;
    }
    return NULL;
}

bool np_arena_proven(const struct np_arena *arena, const struct np_item *item)
{
    return where_of(arena, item) >= arena->main.base;
}

size_t np_arena_item_max(const struct np_arena *arena)
{
    size_t granules = arena->small.size / 2;
    return (granules < UINT16_MAX ? granules : UINT16_MAX) * GRANULE - sizeof(struct np_item);
}

const struct np_arena_stats *np_arena_stats(const struct np_arena *arena)
{
    return &arena->stats;
}

int np_arena_new(size_t size, struct np_arena **out_arena)
{
    size_t slots = 1;
    if (size < NP_ARENA_SIZE_MIN || size > NP_ARENA_SIZE_MAX)
        return NP_E_LIMIT;
    while (slots * 2 * BYTES_A_SLOT <= size)
        slots *= 2;
    size_t head = sizeof(struct np_arena) + slots * sizeof(struct slot) + slots / TRACES_A_SLOT * sizeof(uint32_t);
    struct np_arena *arena = calloc(1, size);
    if (!arena)
        return -ENOMEM;
    uint32_t granules = (uint32_t)((size - head) / GRANULE);
    arena->mask = (uint32_t)slots - 1;
    arena->traces = (uint32_t *)(void *)(arena->slots + slots);
    arena->items = (uint8_t *)(arena->traces + slots / TRACES_A_SLOT);
    arena->small.size = granules / NP_ARENA_SMALL;
    arena->main.base = arena->small.size;
    arena->main.size = granules - arena->small.size;
    *out_arena = arena;
    return 0;
}

void np_arena_free(struct np_arena *arena)
{
    free(arena);
}

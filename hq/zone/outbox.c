#include "hq/zone/outbox.h"

#include <string.h>

#define NONE NP_OUTBOX_NONE

/* ---- Lists ---- */

static uint16_t *bucket_of(struct np_outbox *outbox, const char *name)
{
    uint32_t hash = 2166136261u; /* FNV-1a: names are HQ's own, nobody chooses collisions */
    for (; *name; name++)
        hash = (hash ^ (uint8_t)*name) * 16777619u;
    return &outbox->buckets[hash % NP_OUTBOX_ITEMS_MAX];
}

static void queue_last(struct np_outbox *outbox, uint16_t number, int64_t now_ms)
{
    struct np_outbox_item *item = &outbox->items[number];
    item->state = NP_OUTBOX_QUEUED;
    item->when_ms = now_ms;
    item->next = NONE;
    if (outbox->queue_first == NONE)
        outbox->queue_first = number;
    else
        outbox->items[outbox->queue_last].next = number;
    outbox->queue_last = number;
    outbox->queued++;
}

/* A chain of count items, linked by next, goes to the front of the queue. They have waited before. */
static void queue_first(struct np_outbox *outbox, uint16_t first, size_t count)
{
    uint16_t last = first;
    for (size_t i = 1;; i++) {
        outbox->items[last].state = NP_OUTBOX_QUEUED;
        if (i == count)
            break;
        last = outbox->items[last].next;
    }
    outbox->items[last].next = outbox->queue_first;
    if (outbox->queue_first == NONE)
        outbox->queue_last = last;
    outbox->queue_first = first;
    outbox->queued += count;
}

static uint16_t take_first(struct np_outbox *outbox)
{
    uint16_t number = outbox->queue_first;
    outbox->queue_first = outbox->items[number].next;
    if (outbox->queue_first == NONE)
        outbox->queue_last = NONE;
    outbox->queued--;
    return number;
}

static void park(struct np_outbox *outbox, uint16_t number, int64_t until_ms)
{
    struct np_outbox_item *item = &outbox->items[number];
    item->state = NP_OUTBOX_PARKED;
    item->when_ms = until_ms;
    item->next = outbox->parked_first;
    outbox->parked_first = number;
    outbox->parked++;
}

/* Takes parked items whose time has come (or all of them) back into the queue. */
static void unpark(struct np_outbox *outbox, int64_t now_ms, bool all)
{
    for (uint16_t *link = &outbox->parked_first; *link != NONE;) {
        uint16_t number = *link;
        struct np_outbox_item *item = &outbox->items[number];
        if (!all && item->when_ms > now_ms) {
            link = &item->next;
            continue;
        }
        *link = item->next;
        outbox->parked--;
        item->fragment = 0;
        queue_last(outbox, number, now_ms);
    }
}

static void release(struct np_outbox *outbox, uint16_t number)
{
    struct np_outbox_item *item = &outbox->items[number];
    for (uint16_t *link = bucket_of(outbox, item->name); *link != NONE; link = &outbox->items[*link].hash_next) {
        if (*link == number) {
            *link = item->hash_next;
            break;
        }
    }
    *item = (struct np_outbox_item){.state = NP_OUTBOX_FREE, .next = outbox->free_first};
    outbox->free_first = number;
    outbox->free_count++;
}

void np_outbox_init(struct np_outbox *outbox, size_t rrs)
{
    memset(outbox, 0, sizeof *outbox);
    outbox->full_names = rrs < NP_OUTBOX_RRS_MAX ? NP_OUTBOX_RRS_MAX / rrs : 1;
    if (outbox->full_names > NP_OUTBOX_OFFER_MAX)
        outbox->full_names = NP_OUTBOX_OFFER_MAX;
    for (size_t i = 0; i < NP_OUTBOX_ITEMS_MAX; i++) {
        outbox->items[i].next = i + 1 < NP_OUTBOX_ITEMS_MAX ? (uint16_t)(i + 1) : NONE;
        outbox->buckets[i] = NONE;
    }
    outbox->free_count = NP_OUTBOX_ITEMS_MAX;
    outbox->queue_first = outbox->queue_last = outbox->parked_first = NONE;
    outbox->backoff = (struct np_backoff){NP_OUTBOX_RETRY_FIRST, NP_OUTBOX_RETRY_CAP, 0};
    outbox->failing_since_ms = NP_JOB_NEVER;
    outbox->retry_ms = INT64_MIN;
}

struct np_outbox_item *np_outbox_find(struct np_outbox *outbox, const char *name)
{
    for (uint16_t i = *bucket_of(outbox, name); i != NONE; i = outbox->items[i].hash_next) {
        if (strcmp(outbox->items[i].name, name) == 0)
            return &outbox->items[i];
    }
    return NULL;
}

size_t np_outbox_room(const struct np_outbox *outbox)
{
    return outbox->free_count;
}

/* A parked name has changed: what was refused may be taken now. */
static void wake(struct np_outbox *outbox, struct np_outbox_item *item, int64_t now_ms)
{
    item->when_ms = INT64_MIN;
    unpark(outbox, INT64_MIN, false);
    item->when_ms = now_ms;
}

bool np_outbox_add(struct np_outbox *outbox, const char *name, int64_t now_ms)
{
    struct np_outbox_item *item = np_outbox_find(outbox, name);
    if (item) {
        if (item->state == NP_OUTBOX_FLYING)
            item->again = true;
        if (item->state == NP_OUTBOX_PARKED)
            wake(outbox, item, now_ms);
        return true;
    }
    if (outbox->free_count == 0)
        return false;
    uint16_t number = outbox->free_first, *bucket = bucket_of(outbox, name);
    item = &outbox->items[number];
    outbox->free_first = item->next;
    outbox->free_count--;
    *item = (struct np_outbox_item){.hash_next = *bucket};
    memcpy(item->name, name, strnlen(name, NP_NAME_MAX));
    *bucket = number;
    queue_last(outbox, number, now_ms);
    return true;
}

/* ---- Failing ---- */

static void fail(struct np_outbox *outbox, int64_t now_ms, np_random_below_fn *below, void *ctx)
{
    if (outbox->failing_since_ms == NP_JOB_NEVER)
        outbox->failing_since_ms = now_ms;
    outbox->retry_ms = now_ms + np_backoff_fail(&outbox->backoff, 0, below, ctx);
}

static void succeed(struct np_outbox *outbox)
{
    outbox->failing_since_ms = NP_JOB_NEVER;
    outbox->retry_ms = INT64_MIN;
    np_backoff_reset(&outbox->backoff);
}

int64_t np_outbox_failing_since(const struct np_outbox *outbox)
{
    return outbox->failing_since_ms;
}

/* ---- The epoch ---- */

bool np_outbox_wants_fence(const struct np_outbox *outbox, int64_t now_ms)
{
    return outbox->fence == NP_OUTBOX_FENCE_WANTED && outbox->flying == 0 && now_ms >= outbox->retry_ms;
}

void np_outbox_fence_sent(struct np_outbox *outbox)
{
    outbox->fence = NP_OUTBOX_FENCE_FLYING;
}

void np_outbox_renew_fence(struct np_outbox *outbox)
{
    if (outbox->fence == NP_OUTBOX_FENCE_UP)
        outbox->fence = NP_OUTBOX_FENCE_WANTED;
}

void np_outbox_fence_result(struct np_outbox *outbox, enum np_outbox_outcome outcome, int64_t now_ms,
                            np_random_below_fn *below, void *below_ctx)
{
    if (outcome == NP_OUTBOX_DONE) {
        outbox->fence = NP_OUTBOX_FENCE_UP;
        if (!outbox->blanket)
            succeed(outbox);
        return;
    }
    outbox->fence = NP_OUTBOX_FENCE_WANTED;
    fail(outbox, now_ms, below, below_ctx);
}

/* ---- Sending ---- */

/* How many items, from the first of the queue on, make the next message. */
static size_t measure(const struct np_outbox *outbox)
{
    if (outbox->blanket)
        return 1;
    uint32_t fragment = outbox->items[outbox->queue_first].fragment;
    size_t count = 0;
    for (uint16_t i = outbox->queue_first; i != NONE && count < NP_OUTBOX_OFFER_MAX; i = outbox->items[i].next) {
        if (outbox->items[i].fragment != fragment)
            break;
        count++;
    }
    return count;
}

/* When the first of the queue may go. */
static int64_t go_at(const struct np_outbox *outbox)
{
    const struct np_outbox_item *first = &outbox->items[outbox->queue_first];
    if (outbox->flying == 0 || first->fragment != 0 || outbox->queued >= outbox->full_names)
        return INT64_MIN;
    return first->when_ms + NP_OUTBOX_GATHER_MS;
}

static bool is_held(const struct np_outbox *outbox)
{
    bool trying = outbox->failing_since_ms != NP_JOB_NEVER || outbox->blanket;
    return outbox->fence != NP_OUTBOX_FENCE_UP || outbox->flying == NP_OUTBOX_IN_FLIGHT ||
           (trying && outbox->flying > 0);
}

size_t np_outbox_offer(struct np_outbox *outbox, int64_t now_ms, uint16_t out_items[NP_OUTBOX_OFFER_MAX])
{
    unpark(outbox, now_ms, false);
    if (is_held(outbox) || outbox->queue_first == NONE || now_ms < outbox->retry_ms || now_ms < go_at(outbox))
        return 0;
    size_t count = measure(outbox);
    uint16_t number = outbox->queue_first;
    for (size_t i = 0; i < count; i++) {
        out_items[i] = number;
        number = outbox->items[number].next;
    }
    return count;
}

size_t np_outbox_sent(struct np_outbox *outbox, const uint16_t *items, size_t count)
{
    size_t slot = 0;
    while (outbox->groups[slot].used)
        slot++;
    outbox->groups[slot] = (struct np_outbox_group){.used = true, .first = items[0], .count = count};
    for (size_t i = 0; i < count; i++) {
        struct np_outbox_item *item = &outbox->items[take_first(outbox)];
        item->state = NP_OUTBOX_FLYING;
        item->again = false;
        item->next = i + 1 < count ? items[i + 1] : NONE;
    }
    outbox->flying++;
    return slot;
}

/* ---- Results ---- */

static void finish(struct np_outbox *outbox, struct np_outbox_group group, int64_t now_ms,
                   const struct np_outbox_events *events)
{
    outbox->refused_in_row = outbox->fenced_in_row = 0;
    outbox->blanket = false;
    succeed(outbox);
    for (uint16_t number = group.first, next; number != NONE; number = next) {
        struct np_outbox_item *item = &outbox->items[number];
        next = item->next;
        events->done(events->ctx, item);
        item->fragment = 0;
        item->refusals = item->broken = 0;
        if (item->again)
            queue_last(outbox, number, now_ms);
        else
            release(outbox, number);
    }
}

/* Two halves, each of which goes out alone. */
static void halve(struct np_outbox *outbox, struct np_outbox_group group)
{
    uint32_t fragments[2] = {++outbox->last_fragment, ++outbox->last_fragment};
    size_t i = 0;
    for (uint16_t number = group.first; number != NONE; number = outbox->items[number].next, i++) {
        outbox->items[number].fragment = fragments[i >= group.count / 2];
        outbox->items[number].broken = 0;
    }
    queue_first(outbox, group.first, group.count);
}

static int64_t park_delay(unsigned refusals)
{
    int64_t delay_ms = NP_OUTBOX_PARK_FIRST;
    for (unsigned i = 1; i < refusals && delay_ms < NP_OUTBOX_PARK_CAP; i++)
        delay_ms *= 2;
    return delay_ms < NP_OUTBOX_PARK_CAP ? delay_ms : NP_OUTBOX_PARK_CAP;
}

/* One name is refused: it waits, unless so many were that the names cannot be to blame. */
static void refuse_one(struct np_outbox *outbox, uint16_t number, int64_t now_ms, const struct np_outbox_events *events,
                       np_random_below_fn *below, void *below_ctx)
{
    struct np_outbox_item *item = &outbox->items[number];
    item->fragment = 0;
    item->broken = 0;
    bool known = item->refusals > 0; /* a bad name that is tried again says nothing about the others */
    if (!outbox->blanket && (known || ++outbox->refused_in_row < NP_OUTBOX_BLANKET)) {
        item->refusals++;
        park(outbox, number, now_ms + park_delay(item->refusals));
        events->refused(events->ctx, item);
        return;
    }
    outbox->blanket = true;
    unpark(outbox, now_ms, true);
    for (uint16_t i = outbox->queue_first; i != NONE; i = outbox->items[i].next)
        outbox->items[i].fragment = 0;
    queue_last(outbox, number, now_ms); /* the next try is another name's */
    fail(outbox, now_ms, below, below_ctx);
}

void np_outbox_result(struct np_outbox *outbox, size_t slot, enum np_outbox_outcome outcome, int64_t now_ms,
                      const struct np_outbox_events *events, np_random_below_fn *below, void *below_ctx)
{
    struct np_outbox_group group = outbox->groups[slot];
    struct np_outbox_item *first = &outbox->items[group.first];
    outbox->groups[slot].used = false;
    outbox->flying--;
    switch (outcome) {
    case NP_OUTBOX_DONE:
        finish(outbox, group, now_ms, events);
        return;
    case NP_OUTBOX_BROKEN:
        if (++first->broken < NP_OUTBOX_BROKEN_MAX) {
            queue_first(outbox, group.first, group.count);
            fail(outbox, now_ms, below, below_ctx);
            return;
        }
        /* fall through */
    case NP_OUTBOX_REFUSED:
        if (group.count > 1)
            halve(outbox, group);
        else
            refuse_one(outbox, group.first, now_ms, events, below, below_ctx);
        return;
    case NP_OUTBOX_FENCED:
        queue_first(outbox, group.first, group.count);
        outbox->fence = NP_OUTBOX_FENCE_WANTED;
        if (++outbox->fenced_in_row > 1)
            fail(outbox, now_ms, below, below_ctx); /* somebody writes epochs as fast as we do: not a race to win */
        return;
    case NP_OUTBOX_FAILED:
        outbox->fence = NP_OUTBOX_FENCE_WANTED; /* it may still be applied, at any time: from now on it must not */
        break;
    case NP_OUTBOX_UNSENT:
        break;
    }
    queue_first(outbox, group.first, group.count);
    fail(outbox, now_ms, below, below_ctx);
}

int64_t np_outbox_due(const struct np_outbox *outbox, int64_t now_ms)
{
    int64_t due_ms = NP_JOB_NEVER;
    for (uint16_t i = outbox->parked_first; i != NONE; i = outbox->items[i].next) {
        if (outbox->items[i].when_ms < due_ms)
            due_ms = outbox->items[i].when_ms;
    }
    if (outbox->fence == NP_OUTBOX_FENCE_WANTED && outbox->flying == 0)
        return outbox->retry_ms > now_ms ? outbox->retry_ms : now_ms;
    if (is_held(outbox) || outbox->queue_first == NONE)
        return due_ms;
    int64_t next_ms = go_at(outbox);
    if (next_ms < outbox->retry_ms)
        next_ms = outbox->retry_ms;
    if (next_ms < now_ms)
        next_ms = now_ms;
    return next_ms < due_ms ? next_ms : due_ms;
}

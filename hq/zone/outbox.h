/* outbox: the plan of one name server's updates to one zone: which names go into which message and when, what becomes
 * of them. Pure: the time goes in, names come out; zone/target sends them.
 *
 * - Only names are kept. What is written about a name is read when its message is made: always its current state.
 * - A name is in one message at a time, so no two of its states race. A name that changes while it is in flight goes
 * out again after the answer.
 * - The epoch keeps messages whose fate is not known from doing harm later: it is a record in the zone, each message
 *   requires its value (RFC 2136 section 2.4.2), and a new one is written, alone, at the start and after every answer
 *   that did not come. A message of an older epoch, from this process or one before, is refused from then on, however
 *   late it is read.
 * - Grouped: a message goes at once when none is in flight, else after NP_OUTBOX_GATHER_MS or with a full message of
 *   names; at most NP_OUTBOX_IN_FLIGHT at a time.
 * - A refused message is cut into halves until the name is found that is to blame. That one is tried again later, the
 *   others go on. Where everything is refused, it is the server's matter (np_outbox_failing).
 * - A server that fails is tried again with growing pauses, one message at a time. Nothing is forgotten. */
#ifndef HQ_ZONE_OUTBOX_H
#define HQ_ZONE_OUTBOX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "hq/proto/message.h"
#include "resolver/base/jobs.h"

#define NP_OUTBOX_ITEMS_MAX   1024 /* names taken in at once; the rest waits in the store */
#define NP_OUTBOX_IN_FLIGHT   32   /* messages: BIND drops updates past 100 */
#define NP_OUTBOX_RRS_MAX     200  /* records in one message, unless a single name needs more */
#define NP_OUTBOX_OFFER_MAX   100  /* names in one message: each is at least two records */
#define NP_OUTBOX_GATHER_MS   200  /* how long the first name waits for others */
#define NP_OUTBOX_RETRY_FIRST 1000 /* ms between two tries of a failing server; doubles */
#define NP_OUTBOX_RETRY_CAP   30000
#define NP_OUTBOX_PARK_FIRST  60000 /* ms until a refused name is tried again; doubles */
#define NP_OUTBOX_PARK_CAP    3600000
#define NP_OUTBOX_BLANKET     8 /* single names refused in a row: it is not the names */
#define NP_OUTBOX_BROKEN_MAX  2 /* failures of one message until it is cut */
#define NP_OUTBOX_NONE        0xffff

/* What became of a message. */
enum np_outbox_outcome {
    NP_OUTBOX_DONE,    /* applied */
    NP_OUTBOX_FENCED,  /* not applied: the zone has another epoch */
    NP_OUTBOX_REFUSED, /* not applied, and a name may be to blame */
    NP_OUTBOX_BROKEN,  /* not applied, the server failed at it; a name may be to blame */
    NP_OUTBOX_FAILED,  /* the server as a whole; or nobody knows whether it was applied */
    NP_OUTBOX_UNSENT   /* the server as a whole; surely not applied */
};

enum np_outbox_state { NP_OUTBOX_FREE, NP_OUTBOX_QUEUED, NP_OUTBOX_FLYING, NP_OUTBOX_PARKED };

/* A name in the outbox. mark and challenge are the owner's. */
struct np_outbox_item {
    char name[NP_NAME_MAX + 1];
    enum np_outbox_state state;
    bool again;    /* it has changed while in flight */
    uint16_t next; /* in its list or message */
    uint16_t hash_next;
    uint32_t fragment; /* of a refused message: goes out with its equals alone; 0: of none */
    unsigned refusals; /* as a single name */
    unsigned broken;   /* failures of its messages in a row */
    int64_t when_ms;   /* queued since; parked until */
    int64_t mark;      /* the dirty mark that the message in flight carries out */
    uint64_t challenge;
};

/* A message in flight. */
struct np_outbox_group {
    bool used;
    uint16_t first; /* item */
    size_t count;
};

enum np_outbox_fence { NP_OUTBOX_FENCE_WANTED, NP_OUTBOX_FENCE_FLYING, NP_OUTBOX_FENCE_UP };

/* The outbox: some 300 KB, to be allocated. */
struct np_outbox {
    size_t full_names; /* names that usually fill a message */
    struct np_outbox_item items[NP_OUTBOX_ITEMS_MAX];
    uint16_t buckets[NP_OUTBOX_ITEMS_MAX];
    uint16_t free_first;
    uint16_t queue_first, queue_last, parked_first;
    size_t free_count, queued, parked;
    struct np_outbox_group groups[NP_OUTBOX_IN_FLIGHT];
    size_t flying;
    uint32_t last_fragment;
    unsigned refused_in_row, fenced_in_row;
    bool blanket; /* everything is refused: single names are tried until one is taken */
    enum np_outbox_fence fence;
    struct np_backoff backoff;
    int64_t failing_since_ms; /* NP_JOB_NEVER: it is not failing */
    int64_t retry_ms;
};

/* Who hears of single names. Called from np_outbox_result; neither may call back into the outbox. */
struct np_outbox_events {
    void *ctx;
    void (*done)(void *ctx, const struct np_outbox_item *item);    /* applied; it leaves the outbox unless it changed */
    void (*refused)(void *ctx, const struct np_outbox_item *item); /* it alone is refused; tried again at when_ms */
};

/* An empty outbox. rrs is the number of records that a name usually needs. */
void np_outbox_init(struct np_outbox *outbox, size_t rrs);

/* A name is to be written (again). False when the outbox is full. */
bool np_outbox_add(struct np_outbox *outbox, const char *name, int64_t now_ms);

/* The name's item; NULL when the outbox has nothing to do for it. */
struct np_outbox_item *np_outbox_find(struct np_outbox *outbox, const char *name);

/* Names that it still takes. */
size_t np_outbox_room(const struct np_outbox *outbox);

/* Is the epoch to be written now, before anything else? */
bool np_outbox_wants_fence(const struct np_outbox *outbox, int64_t now_ms);

/* It was sent. */
void np_outbox_fence_sent(struct np_outbox *outbox);

/* Messages of this epoch may still arrive there that were answered already: it is to be renewed. */
void np_outbox_renew_fence(struct np_outbox *outbox);

/* Its answer. */
void np_outbox_fence_result(struct np_outbox *outbox, enum np_outbox_outcome outcome, int64_t now_ms,
                            np_random_below_fn *below, void *below_ctx);

/* The names that may go into one message now: their items' numbers in order, at most NP_OUTBOX_OFFER_MAX; 0: none now.
 */
size_t np_outbox_offer(struct np_outbox *outbox, int64_t now_ms, uint16_t out_items[NP_OUTBOX_OFFER_MAX]);

/* The first count of the offered items were sent as one message. Returns its number. */
size_t np_outbox_sent(struct np_outbox *outbox, const uint16_t *items, size_t count);

/* What became of the message. */
void np_outbox_result(struct np_outbox *outbox, size_t group, enum np_outbox_outcome outcome, int64_t now_ms,
                      const struct np_outbox_events *events, np_random_below_fn *below, void *below_ctx);

/* Since when the server fails without a break; NP_JOB_NEVER: it does not. */
int64_t np_outbox_failing_since(const struct np_outbox *outbox);

/* When np_outbox_wants_fence or np_outbox_offer is worth calling again; NP_JOB_NEVER: only after a result or an add. */
int64_t np_outbox_due(const struct np_outbox *outbox, int64_t now_ms);

#endif

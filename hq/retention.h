/* retention: the records of devices that nobody has seen for long go out of the zone, so that it does not fill with
 * addresses of boxes that are gone. A time in which HQ itself was away does not count. The device keeps its name (which
 * is tombstoned: nobody else ever gets it), its order and its place; with its next request its records come back.
 *
 * Pure: np_retention_cutoff_s. The shell looks every NP_RETENTION_LOOK_MS and takes NP_RETENTION_BATCH devices a turn.
 *
 * Lifecycle: np_retention_new, np_retention_start, np_retention_close; after its callback store and loop may go. */
#ifndef HQ_RETENTION_H
#define HQ_RETENTION_H

#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "hq/store/store.h"

#define NP_RETENTION_SEEN_S   3600            /* last_seen is written at most once an hour: the hour is the device's */
#define NP_RETENTION_LOOK_MS  INT64_C(600000) /* between two looks */
#define NP_RETENTION_BATCH    100             /* devices a turn: some 5 ms of the database */
#define NP_RETENTION_PAUSE_MS 100             /* between two full turns, so that requests go on */

/* The latest last_seen_s that means "silent for limit_s at now_s, HQ's own absence not counted". Outages may be in any
 * order but do not overlap. May be negative: nobody is silent for so long. */
int64_t np_retention_cutoff_s(int64_t now_s, int64_t limit_s, const struct np_store_outage *outages, size_t count);

struct np_retention;

/* Allocates. store is borrowed. Returns 0 or -ENOMEM. */
int np_retention_new(uv_loop_t *loop, struct np_store *store, int64_t limit_s, struct np_retention **out_retention);

/* Begins to look. */
void np_retention_start(struct np_retention *retention);

/* Ends and frees; done(ctx) is called from the loop. */
void np_retention_close(struct np_retention *retention, void (*done)(void *ctx), void *ctx);

#endif

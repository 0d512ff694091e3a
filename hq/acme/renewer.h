/* renewer: looks after the certificates whose time has come, and keeps HQ's heartbeat. The shell around acme/renewal.h;
 * it only writes orders into the store, issuance does the rest.
 *
 * Due times are in the database, so that a restart changes nothing. A turn of the loop takes at most NP_RENEWER_BATCH
 * rows, by an index, and the next turn comes NP_RENEWER_PAUSE_MS later, so that a million certificates that became due
 * while HQ was away keep nobody waiting.
 *
 * Lifecycle: np_renewer_new, np_renewer_start, np_renewer_wake after each stored package, np_renewer_close; after its
 * callback the store and the loop may go. */
#ifndef HQ_ACME_RENEWER_H
#define HQ_ACME_RENEWER_H

#include <uv.h>

#include "hq/acme/renewal.h"
#include "hq/store/store.h"

#define NP_RENEWER_BATCH    32  /* rows a turn */
#define NP_RENEWER_PAUSE_MS 100 /* between two full turns */

struct np_renewer;

/* Allocates; store is borrowed. Returns 0 or -ENOMEM. */
int np_renewer_new(uv_loop_t *loop, struct np_store *store, struct np_renewer **out_renewer);

/* Notes how long HQ was away, and begins. */
void np_renewer_start(struct np_renewer *renewer);

/* The store has a new due time. Cheap. */
void np_renewer_wake(struct np_renewer *renewer);

/* One turn at that time: looks at what is due, at most NP_RENEWER_BATCH rows. Returns their number or a database error.
 * The renewer's timer does it; a simulation does it by its own clock, and never starts the renewer. */
int np_renewer_turn(struct np_renewer *renewer, int64_t now_ms);

/* Notes that HQ lives at that time, and how long it was away before. Likewise. */
void np_renewer_beat(struct np_renewer *renewer, int64_t now_ms);

/* Frees; done(ctx) is called from the loop. */
void np_renewer_close(struct np_renewer *renewer, void (*done)(void *ctx), void *ctx);

/* Makes the renewal order that action says, from the CSR of last, and writes the row's next look; out_order is the new
 * order. Also for hq/api, where a device that came back is served at once. renewal and last are as they were read:
 * where one of them is not so any more, nothing is written. Returns 0, NP_E_CONFLICT (so it is), or a database error.
 */
int np_renewer_order(struct np_store *store, const struct np_renewal *renewal, const struct np_order *last,
                     const struct np_renewal_action *action, int64_t now_ms, struct np_order *out_order);

#endif

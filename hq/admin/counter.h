/* counter: keeps a census of the fleet (hq/store/browse.h) at hand, so that whoever asks is answered at once and a
 * million devices cost no request its time.
 *
 * It is taken by a thread of the loop's pool, through a connection to the database of its own; only while somebody
 * asks, and never for more than a twentieth of the time.
 *
 * Lifecycle: np_counter_new, np_counter_get, np_counter_close; after its callback the loop may go. */
#ifndef HQ_ADMIN_COUNTER_H
#define HQ_ADMIN_COUNTER_H

#include <uv.h>

#include "hq/store/browse.h"

#define NP_COUNTER_EVERY_MS 5000 /* a monitoring system asks less often */
#define NP_COUNTER_SHARE    20   /* the pause after a census is at least so many times as long as it took */

struct np_counter;

/* Begins with a first census. database is copied. Returns 0 or -ENOMEM. */
int np_counter_new(uv_loop_t *loop, const char *database, struct np_counter **out_counter);

/* The newest census, borrowed until the loop goes on; NULL: there is none yet. Has a newer one taken where it is old.
 * *out_age_ms: since when it is true, *out_took_ms: how long it took. */
const struct np_census *np_counter_get(struct np_counter *counter, int64_t *out_age_ms, int64_t *out_took_ms);

/* Waits for a census under way and frees; done(ctx) is called from the loop. */
void np_counter_close(struct np_counter *counter, void (*done)(void *ctx), void *ctx);

#endif

/* lease: which of the HQs on one database does the work behind the requests: issuance, renewals, revocations,
 * publishing, retention. All of them answer devices; one of them works, the others stand by.
 *
 * No clocks are compared. The holder beats every NP_LEASE_BEAT_MS; who has seen the same beat for NP_LEASE_TAKE_MS of
 * his own time takes the lease, which raises its fence. The holder in turn does nothing outside (asks no CA, updates no
 * name server) once NP_LEASE_HOLD_MS have gone by since a beat that succeeded was sent, by a clock that goes on while
 * the machine sleeps; and every transaction of his begins by checking the fence (np_store_fence), so that one who was
 * stopped for long writes nothing late. One whose lease was taken has lost for good: the program ends and is started
 * afresh.
 *
 * np_lease_judge is pure; the rest is its shell. Lifecycle: np_lease_new, np_lease_start, np_lease_release (all work
 * has ended), np_lease_close. */
#ifndef HQ_LEASE_H
#define HQ_LEASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "hq/store/lease.h"

#define NP_LEASE_BEAT_MS 2000
#define NP_LEASE_LOOK_MS 500   /* who stands by looks so often */
#define NP_LEASE_HOLD_MS 8000  /* four beats */
#define NP_LEASE_TAKE_MS 12000 /* what lies between is for a request that was sent just before */

/* What somebody who stands by has seen. Zero it. */
struct np_lease_watch {
    struct np_store_lease seen;
    int64_t since_ms;
    bool looked;
};

/* May the lease be taken, which looked like this at some moment between the question (asked_ms) and its answer
 * (answered_ms, of the same clock, which only grows)? Notes in *watch what was seen. A beat counts as new until the
 * answer that first showed it, and as old by the question that last did: however slowly the database answers, or if we
 * were stopped meanwhile, the holder is thought to have beaten later than he has, and never earlier. */
bool np_lease_judge(struct np_lease_watch *watch, const struct np_store_lease *now, int64_t asked_ms,
                    int64_t answered_ms);

/* It could not be looked at: what was seen before says nothing about how long it has not moved. */
void np_lease_forget(struct np_lease_watch *watch);

struct np_lease;

/* Who hears of it; called from the loop. */
struct np_lease_events {
    void (*looked)(void *ctx); /* somebody else has it, or the database is away: called for every look */
    void (*won)(void *ctx);
    void (*lost)(void *ctx); /* once; nothing comes after it */
    void *ctx;
};

/* Allocates. store is borrowed. Returns 0 or -ENOMEM. */
int np_lease_new(uv_loop_t *loop, struct np_store *store, const struct np_lease_events *events,
                 struct np_lease **out_lease);

/* Looks for the first time, in the loop's next turn. */
void np_lease_start(struct np_lease *lease);

/* May something be done outside at this moment? Cheap. */
bool np_lease_held(const struct np_lease *lease);

/* Likewise, but beats first where the last one is too old (we were stopped, and go on), which commits: only to be
 * called by a callback of the loop itself. */
bool np_lease_ask(struct np_lease *lease);

/* Gives it back, where it is held, so that another one takes it at once. */
void np_lease_release(struct np_lease *lease);

/* For a program beside them: does one of the HQs on the database work? Waits for its next beat, 5 s at most. Returns 1
 * (out_holder says which), 0, or a database error. */
int np_lease_somebody_works(struct np_store *store, char out_holder[NP_STORE_HOLDER_MAX + 1]);

/* Frees; done(ctx) is called from the loop when the memory has gone. */
void np_lease_close(struct np_lease *lease, void (*done)(void *ctx), void *ctx);

#endif

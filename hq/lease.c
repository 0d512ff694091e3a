#include "hq/lease.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "hq/store/ledger.h"
#include "resolver/base/error.h"
#include "resolver/base/log.h"

#define SOMEBODY_MS 5000 /* two beats, and one that is late */

static const char work[] = "work"; /* the lease's name */

struct np_lease {
    struct np_store *store;
    struct np_lease_events events;
    char holder[NP_STORE_HOLDER_MAX + 1];
    uv_timer_t timer;
    struct np_lease_watch watch;
    int64_t fence;    /* 0: not ours */
    int64_t beat;     /* the last one that was committed */
    int64_t good_ms;  /* when the last beat that succeeded was sent */
    int64_t asked_ms; /* when it was tried last, by np_lease_ask */
    bool lost, late;
    void (*closed)(void *ctx);
    void *closed_ctx;
};

/* Goes on while the machine, or we, are stopped. */
static int64_t boot_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_BOOTTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

bool np_lease_judge(struct np_lease_watch *watch, const struct np_store_lease *now, int64_t asked_ms,
                    int64_t answered_ms)
{
    if (!watch->looked || watch->seen.fence != now->fence || watch->seen.beat != now->beat) {
        watch->looked = true;
        watch->seen = *now;
        watch->since_ms = answered_ms;
    }
    return now->holder[0] == 0 || asked_ms - watch->since_ms >= NP_LEASE_TAKE_MS;
}

void np_lease_forget(struct np_lease_watch *watch)
{
    watch->looked = false;
}

static void on_timer(uv_timer_t *timer);

/* Told from the loop: whoever has found out is in the middle of something. */
static void lose(struct np_lease *lease)
{
    lease->lost = true;
    uv_timer_start(&lease->timer, on_timer, 0, 0);
}

static void tell_loss(struct np_lease *lease)
{
    np_error("this HQ stood still for %lld s, and another one has taken over its work",
             (long long)(boot_ms() - lease->good_ms) / 1000);
    lease->events.lost(lease->events.ctx);
}

/* One look of somebody who stands by. Returns 0 when the lease has become ours, NP_E_STALE when not, or an error. */
static int try_to_take(struct np_lease *lease)
{
    struct np_store_lease now;
    int64_t asked_ms = boot_ms(), fence = 0;
    int rc = np_store_lease_get(lease->store, work, &now);
    if (rc) { /* nobody can beat while the database is away: that is nobody's silence */
        np_lease_forget(&lease->watch);
        return rc;
    }
    if (!np_lease_judge(&lease->watch, &now, asked_ms, boot_ms()))
        return NP_E_STALE;
    rc = np_store_lease_take(lease->store, work, lease->holder, &now, &fence);
    if (rc == 0)
        rc = np_store_commit(lease->store);
    if (rc)
        return rc;
    lease->fence = fence;
    lease->beat = 0;
    lease->good_ms = asked_ms;
    np_store_fence(lease->store, work, fence);
    if (now.holder[0])
        np_notice("taking over the work of %s, of whom nothing was heard for %d s (fence %lld)", now.holder,
                  NP_LEASE_TAKE_MS / 1000, (long long)fence);
    else
        np_notice("this HQ does the work behind the requests (fence %lld)", (long long)fence);
    return 0;
}

/* A beat that was committed is not there any more: nor is what else was committed since. Another server has become the
 * database, from a copy that was behind, or it was put back under us. */
static void note_loss(struct np_lease *lease, int64_t now)
{
    np_error("the database has gone back: what was committed in about the last %lld s is lost; recovery begins "
             "('nameplate-hq recovery')",
             (long long)(lease->beat - now + 1) * NP_LEASE_BEAT_MS / 1000);
    int rc = np_store_recovery_set(lease->store, (int64_t)time(NULL) + NP_RECOVERY_S);
    if (rc == 0)
        rc = np_store_commit(lease->store);
    if (rc)
        np_error("recovery cannot be begun (%s): do it by 'nameplate-hq recovery begin'", np_store_error(lease->store));
}

static void beat(struct np_lease *lease)
{
    int64_t asked_ms = boot_ms(), now = 0;
    int rc = np_store_lease_beat(lease->store, work, lease->fence, &now);
    if (rc == 0)
        rc = np_store_commit(lease->store);
    if (rc == 0) {
        lease->good_ms = asked_ms;
        if (now <= lease->beat)
            note_loss(lease, now);
        lease->beat = now;
    } else if (rc == NP_E_STALE || np_store_fenced(lease->store)) {
        lose(lease);
        return;
    }
    bool late = !np_lease_held(lease);
    if (late && !lease->late)
        np_error("the database does not answer (%s): no work outside until it does", np_store_error(lease->store));
    else if (!late && lease->late)
        np_notice("the database answers again");
    lease->late = late;
}

static void on_timer(uv_timer_t *timer)
{
    struct np_lease *lease = timer->data;
    int64_t next_ms = NP_LEASE_BEAT_MS;
    if (lease->lost) {
        tell_loss(lease);
        return;
    }
    if (lease->fence) {
        beat(lease);
    } else {
        int rc = try_to_take(lease);
        if (rc && rc != NP_E_STALE)
            np_debug("lease: %s", np_store_error(lease->store));
        if (rc)
            next_ms = NP_LEASE_LOOK_MS;
        void (*heard)(void *ctx) = rc ? lease->events.looked : lease->events.won;
        heard(lease->events.ctx);
    }
    if (!lease->lost && !uv_is_closing((uv_handle_t *)timer))
        uv_timer_start(timer, on_timer, (uint64_t)next_ms, 0);
}

int np_lease_new(uv_loop_t *loop, struct np_store *store, const struct np_lease_events *events,
                 struct np_lease **out_lease)
{
    char host[65] = "";
    struct np_lease *lease = calloc(1, sizeof *lease);
    if (!lease)
        return -ENOMEM;
    gethostname(host, sizeof host - 1);
    snprintf(lease->holder, sizeof lease->holder, "%s:%d", host, (int)getpid());
    lease->store = store;
    lease->events = *events;
    uv_timer_init(loop, &lease->timer);
    lease->timer.data = lease;
    *out_lease = lease;
    return 0;
}

void np_lease_start(struct np_lease *lease)
{
    uv_timer_start(&lease->timer, on_timer, 0, 0);
}

bool np_lease_held(const struct np_lease *lease)
{
    return lease->fence && !lease->lost && boot_ms() - lease->good_ms < NP_LEASE_HOLD_MS;
}

bool np_lease_ask(struct np_lease *lease)
{
    int64_t now_ms = boot_ms();
    if (np_lease_held(lease) || !lease->fence || lease->lost)
        return np_lease_held(lease);
    if (now_ms - lease->asked_ms >= NP_LEASE_LOOK_MS) {
        beat(lease);
        lease->asked_ms = boot_ms();
    }
    return np_lease_held(lease);
}

void np_lease_release(struct np_lease *lease)
{
    if (!lease->fence || lease->lost)
        return;
    uv_timer_stop(&lease->timer);
    int rc = np_store_lease_release(lease->store, work, lease->fence);
    if (rc == 0)
        rc = np_store_commit(lease->store);
    if (rc)
        np_warning("the work cannot be handed over (%s): another HQ begins in %d s", np_store_error(lease->store),
                   NP_LEASE_TAKE_MS / 1000);
    lease->lost = true;
    np_store_fence(lease->store, work, 0);
}

int np_lease_somebody_works(struct np_store *store, char out_holder[NP_STORE_HOLDER_MAX + 1])
{
    struct np_store_lease first, now;
    int64_t end_ms = boot_ms() + SOMEBODY_MS;
    int rc = np_store_lease_get(store, work, &first);
    now = first;
    while (rc == 0 && now.holder[0] && now.fence == first.fence && now.beat == first.beat && boot_ms() < end_ms) {
        poll(NULL, 0, NP_LEASE_LOOK_MS);
        rc = np_store_lease_get(store, work, &now);
    }
    if (rc)
        return rc;
    memcpy(out_holder, now.holder, sizeof now.holder);
    return now.holder[0] && (now.fence != first.fence || now.beat != first.beat);
}

static void on_closed(uv_handle_t *handle)
{
    struct np_lease *lease = handle->data;
    void (*closed)(void *ctx) = lease->closed;
    void *ctx = lease->closed_ctx;
    free(lease);
    if (closed)
        closed(ctx);
}

void np_lease_close(struct np_lease *lease, void (*done)(void *ctx), void *ctx)
{
    lease->closed = done;
    lease->closed_ctx = ctx;
    uv_close((uv_handle_t *)&lease->timer, on_closed);
}

#include "hq/acme/renewer.h"

#include <errno.h>
#include <stdlib.h>

#include "hq/acme/issuance_private.h"
#include "hq/crypto.h"
#include "hq/store/naming.h"
#include "resolver/base/error.h"
#include "resolver/base/log.h"

#define SLEEP_MAX_MS   INT64_C(600000) /* the clock may be set meanwhile */
#define AFTER_ERROR_MS INT64_C(5000)

struct np_renewer {
    uv_loop_t *loop;
    struct np_store *store;
    uv_timer_t timer, heartbeat;
    struct np_store_outage outages[NP_STORE_OUTAGES_MAX];
    size_t outage_count;
    unsigned open_handles;
    bool started;
    void (*closed)(void *ctx);
    void *closed_ctx;
};

int np_renewer_order(struct np_store *store, const struct np_renewal *renewal, const struct np_order *last,
                     const struct np_renewal_action *action, int64_t now_ms, struct np_order *out_order)
{
    struct np_renewal next = *renewal;
    struct np_order order;
    char id[NP_DEVICE_ID_MAX + 1];
    np_hq_make_id(id);
    np_renewal_order(last, id, renewal->n, action->priority, now_ms, &order);
    next.due_ms = action->due_ms;
    next.attempts++;
    int rc = np_store_renewal_order(store, renewal, &next, last, &order);
    if (rc == 0)
        *out_order = order;
    return rc;
}

/* Rows copied out of the store, to be written once it may be written again. */
struct batch {
    struct np_renewal rows[NP_RENEWER_BATCH];
    size_t count;
};

static int collect(void *ctx, const struct np_renewal *renewal)
{
    struct batch *batch = ctx;
    batch->rows[batch->count++] = *renewal;
    return 0;
}

static int look(struct np_renewer *renewer, const struct np_renewal *renewal, int64_t now_ms)
{
    struct np_renewal next = *renewal;
    struct np_renewal_action action;
    struct np_device device;
    struct np_order last, order;
    struct np_naming naming;
    int rc = np_store_device_get(renewer->store, renewal->device, &device);
    /* By the time that what is served is to be renewed, a name without a certificate has had its chance. */
    if (rc == 0 && now_ms >= renewal->point_ms)
        rc = np_store_naming_give_up(renewer->store, &device, "no certificate came in time", now_ms);
    if (rc == -EAGAIN)
        rc = 0; /* its order is under way */
    if (rc == 0)
        rc = np_store_order_newest(renewer->store, renewal->device, &last);
    if (rc == 0)
        rc = np_store_naming_get(renewer->store, device.id, &naming);
    if (rc)
        return rc;
    struct np_renewal_facts facts = {
        .device = device.state,
        .credential = device.credential,
        .absent_s = np_renewal_absent_s(device.last_seen_s, now_ms / 1000, renewer->outages, renewer->outage_count),
        .order = last.state,
        .not_before_s = renewal->not_before_s,
        .not_after_s = renewal->not_after_s,
        .attempts = renewal->attempts,
        .window = {renewal->window_from_ms, renewal->window_until_ms},
        .now_ms = now_ms};
    np_renewal_decide(&facts, &action);
    if (action.what == NP_RENEWAL_ORDER && !np_naming_covers(&device, &naming, &last)) {
        action.what = NP_RENEWAL_PARK; /* for a name that has ended: the device's next CSR is for those that it has */
    } else if (action.what == NP_RENEWAL_ORDER) {
        rc = np_renewer_order(renewer->store, renewal, &last, &action, now_ms, &order);
        if (rc == 0)
            np_info("renewal: %s: order for certificate %lld (%lld s left)", device.name, (long long)renewal->n + 1,
                    (long long)renewal->not_after_s - (long long)now_ms / 1000);
        return rc;
    }
    if (action.what == NP_RENEWAL_LOOK && action.priority < last.priority)
        rc = np_store_order_hurry(renewer->store, last.id, action.priority);
    next.due_ms = action.due_ms;
    return rc ? rc : np_store_renewal_update(renewer->store, renewal, &next);
}

static void on_timer(uv_timer_t *timer);

static void sleep_until_next(struct np_renewer *renewer, int64_t now_ms)
{
    int64_t next_ms = INT64_MAX, delay_ms = AFTER_ERROR_MS;
    if (np_store_renewals_next(renewer->store, &next_ms) == 0)
        delay_ms = next_ms <= now_ms ? 1 : next_ms - now_ms < SLEEP_MAX_MS ? next_ms - now_ms : SLEEP_MAX_MS;
    uv_timer_start(&renewer->timer, on_timer, (uint64_t)delay_ms, 0);
}

int np_renewer_turn(struct np_renewer *renewer, int64_t now_ms)
{
    struct batch batch = {.count = 0};
    int rc = np_store_renewals_due(renewer->store, now_ms, NP_RENEWER_BATCH, collect, &batch);
    for (size_t i = 0; i < batch.count; i++) {
        int one = look(renewer, &batch.rows[i], now_ms);
        if (one == 0 || one == NP_E_CONFLICT) /* somebody else has seen to it */
            continue;
        /* A row that cannot be worked on must not be the first one for ever. */
        struct np_renewal later = batch.rows[i];
        np_error("renewal: device %s: %s", later.device, np_strerror(one));
        later.due_ms = now_ms + NP_RENEWAL_LOOK_MAX;
        one = np_store_renewal_update(renewer->store, &batch.rows[i], &later);
        if (one && one != NP_E_CONFLICT)
            rc = one;
    }
    return rc < 0 ? rc : (int)batch.count;
}

static void on_timer(uv_timer_t *timer)
{
    struct np_renewer *renewer = timer->data;
    int64_t now_ms = np_issuance_now_ms();
    int rc = np_renewer_turn(renewer, now_ms);
    if (rc < 0) {
        np_error("renewal: the database: %s", np_strerror(rc));
        uv_timer_start(timer, on_timer, AFTER_ERROR_MS, 0);
    } else if (rc == NP_RENEWER_BATCH) {
        uv_timer_start(timer, on_timer, NP_RENEWER_PAUSE_MS, 0);
    } else {
        sleep_until_next(renewer, now_ms);
    }
}

void np_renewer_beat(struct np_renewer *renewer, int64_t now_ms)
{
    int rc = np_store_heartbeat(renewer->store, now_ms / 1000, NP_RENEWAL_OUTAGE_S);
    if (rc == 0)
        rc = np_store_outages(renewer->store, renewer->outages, &renewer->outage_count);
    if (rc == 0)
        rc = np_store_buckets_purge(renewer->store, now_ms);
    if (rc)
        np_warning("renewal: the heartbeat was not noted: %s", np_strerror(rc));
}

static void on_heartbeat(uv_timer_t *timer)
{
    np_renewer_beat(timer->data, np_issuance_now_ms());
}

int np_renewer_new(uv_loop_t *loop, struct np_store *store, struct np_renewer **out_renewer)
{
    struct np_renewer *renewer = calloc(1, sizeof *renewer);
    if (!renewer)
        return -ENOMEM;
    renewer->loop = loop;
    renewer->store = store;
    uv_timer_init(loop, &renewer->timer);
    uv_timer_init(loop, &renewer->heartbeat);
    renewer->timer.data = renewer->heartbeat.data = renewer;
    renewer->open_handles = 2;
    *out_renewer = renewer;
    return 0;
}

void np_renewer_start(struct np_renewer *renewer)
{
    renewer->started = true;
    on_heartbeat(&renewer->heartbeat);
    uv_timer_start(&renewer->heartbeat, on_heartbeat, NP_RENEWAL_BEAT_S * 1000, NP_RENEWAL_BEAT_S * 1000);
    uv_timer_start(&renewer->timer, on_timer, 0, 0);
}

void np_renewer_wake(struct np_renewer *renewer)
{
    /* While full turns follow one another the pause between them is kept. */
    if (renewer->started && uv_timer_get_due_in(&renewer->timer) > NP_RENEWER_PAUSE_MS)
        sleep_until_next(renewer, np_issuance_now_ms());
}

static void on_closed(uv_handle_t *handle)
{
    struct np_renewer *renewer = handle->data;
    if (--renewer->open_handles > 0)
        return;
    void (*closed)(void *ctx) = renewer->closed;
    void *ctx = renewer->closed_ctx;
    free(renewer);
    if (closed)
        closed(ctx);
}

void np_renewer_close(struct np_renewer *renewer, void (*done)(void *ctx), void *ctx)
{
    renewer->closed = done;
    renewer->closed_ctx = ctx;
    renewer->started = false;
    uv_close((uv_handle_t *)&renewer->timer, on_closed);
    uv_close((uv_handle_t *)&renewer->heartbeat, on_closed);
}

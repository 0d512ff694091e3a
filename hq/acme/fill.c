/* Out of the queue into work: those of an earlier life first, then lane by lane as the CA's limits let them. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hq/acme/issuance_private.h"
#include "resolver/base/error.h"
#include "resolver/base/log.h"

#define AFTER_ERROR_MS   5000             /* after a database error */
#define NEXT_LOOK_MAX_MS INT64_C(3600000) /* the clock may be set meanwhile */

static bool in_flight(const struct np_issuance *issuance, const char *id)
{
    for (const struct np_job *job = issuance->jobs; job; job = job->next) {
        if (strcmp(job->run.order.id, id) == 0)
            return true;
    }
    return false;
}

static size_t room(const struct np_ca *ca)
{
    return NP_ISSUANCE_IN_FLIGHT > ca->job_count ? NP_ISSUANCE_IN_FLIGHT - ca->job_count : 0;
}

/* Orders copied out of the store, to be begun once the store may be written again. */
struct batch {
    struct np_issuance *issuance;
    struct np_order *orders;
    size_t count, room;
    bool cut; /* there were more, for which the end of a job must be waited */
    int rc;
};

static int keep(struct batch *batch, const struct np_order *order)
{
    if (batch->count == batch->room) {
        batch->cut = true;
        return 1;
    }
    struct np_order *grown = reallocarray(batch->orders, batch->count + 1, sizeof *grown);
    if (!grown) {
        batch->rc = -ENOMEM;
        return 1;
    }
    batch->orders = grown;
    batch->orders[batch->count++] = *order;
    return 0;
}

/* The end of a batch: 0, or it is looked again later. */
static int finish_batch(struct np_issuance *issuance, struct batch *batch, int rc)
{
    free(batch->orders);
    if (rc >= 0)
        rc = batch->rc;
    if (rc < 0) {
        np_error("acme: orders cannot be read: %s", np_strerror(rc));
        np_issuance_look_again(issuance, AFTER_ERROR_MS);
    }
    return rc < 0 ? rc : 0;
}

/* ---- Those under way ---- */

/* What was begun and has no URL yet may be adopted: not before the CA's list was read, which comes back here. */
static int collect_under_way(void *ctx, const struct np_order *order)
{
    struct batch *batch = ctx;
    const struct np_ca *ca = np_ca_find(batch->issuance, order->ca);
    if (in_flight(batch->issuance, order->id))
        return 0;
    if (ca && order->state == NP_ORDER_QUEUED && !ca->adopt.finished && !np_ca_has_better(ca))
        return 0;
    return keep(batch, order);
}

/* Its CA is not configured any more, or is down: as if it had never been begun. */
static int put_back(struct np_issuance *issuance, struct np_order *order)
{
    np_notice("acme: %s: %s: begun anew at another CA", order->authorizations[0].name,
              np_order_state_name(order->state));
    const struct np_ca *ca = np_ca_find(issuance, order->ca);
    int rc = ca ? np_meter_give_back(&ca->meter, order) : 0;
    np_order_forget(order);
    order->state = NP_ORDER_QUEUED;
    order->paid = 0;
    order->updated_ms = np_issuance_now_ms();
    if (rc == 0)
        rc = np_store_order_update(issuance->store, order);
    return rc == NP_E_STALE ? 0 : rc;
}

static int resume(struct np_issuance *issuance, struct np_order *order)
{
    struct np_ca *ca = np_ca_find(issuance, order->ca);
    if (order->state != NP_ORDER_ISSUED && (!ca || (order->state == NP_ORDER_QUEUED && np_ca_has_better(ca))))
        return put_back(issuance, order);
    return np_job_start(ca ? ca : &issuance->cas[0], order, true);
}

/* They come first: they may have cost the CA's patience already. */
static void fill_under_way(struct np_issuance *issuance)
{
    struct batch batch = {.issuance = issuance, .room = NP_ISSUANCE_IN_FLIGHT};
    int rc = np_store_orders_under_way(issuance->store, collect_under_way, &batch);
    for (size_t i = 0; rc >= 0 && batch.rc == 0 && i < batch.count; i++)
        batch.rc = resume(issuance, &batch.orders[i]);
    issuance->under_way_wanted = batch.cut || rc < 0 || batch.rc;
    finish_batch(issuance, &batch, rc);
}

/* ---- The queue ---- */

/* One pass over the queue for one CA. */
struct pass {
    struct np_issuance *issuance;
    struct np_ca *ca;
    int64_t now_ms;
    size_t most;      /* orders to begin */
    int64_t next_ms;  /* when the limits let something begin again */
    int64_t deferred; /* orders that wait for a bucket that all share, outside of the fresh lanes */
};

static void wait_until(struct pass *pass, int64_t wait_ms)
{
    if (pass->now_ms + wait_ms < pass->next_ms)
        pass->next_ms = pass->now_ms + wait_ms;
}

/* Two orders of one device would take each other's challenge values away: the second one waits. The store has left out
 * those whose device has one begun. */
static int collect_queued(void *ctx, const struct np_order *order)
{
    struct batch *batch = ctx;
    for (size_t i = 0; i < batch->count; i++) {
        if (strcmp(batch->orders[i].device, order->device) == 0)
            return 0;
    }
    return keep(batch, order);
}

/* How many fresh orders of a priority may begin now, at most `most`. */
static int fresh_room(struct pass *pass, enum np_order_priority priority, size_t most, size_t *out_room)
{
    const struct np_limits *limits = &pass->ca->config->limits;
    struct np_limit_view view;
    enum np_limit kind;
    size_t n = 0;
    int64_t wait_ms = 0;
    int rc = np_meter_shared(&pass->ca->meter, priority, &view);
    while (rc == 0 && n < most &&
           (wait_ms = np_limits_wait_ms(limits, &view, (int64_t)n + 1, pass->now_ms, &kind)) == 0)
        n++;
    if (wait_ms > 0)
        wait_until(pass, wait_ms);
    *out_room = n;
    return rc;
}

/* An order that may not begin before its own limit lets it: out of the queue until then, so that it is in nobody's way.
 */
static int defer(struct pass *pass, struct np_order *order, enum np_limit kind, int64_t wait_ms)
{
    order->state = NP_ORDER_BACKOFF;
    order->next_try_ms = pass->now_ms + wait_ms;
    order->updated_ms = pass->now_ms;
    snprintf(order->error, sizeof order->error, "the CA's limit '%s' is reached", np_limit_name(kind));
    np_info("acme: %s: waits %lld s for the CA's limit '%s'", order->authorizations[0].name,
            (long long)(wait_ms + 999) / 1000, np_limit_name(kind));
    int rc = np_store_order_update(pass->issuance->store, order);
    return rc == NP_E_STALE ? 0 : rc; /* a newer CSR has ended it, or the operator */
}

static int pay_and_start(struct pass *pass, struct np_order *order, const struct np_limit_view *view)
{
    int rc = np_meter_pay(&pass->ca->meter, order, view, pass->now_ms);
    if (rc == NP_E_CONFLICT) {
        wait_until(pass, 1); /* another HQ was faster */
        return 0;
    }
    if (rc == 0)
        rc = np_job_start(pass->ca, order, false);
    if (rc == 0)
        pass->most--;
    return rc;
}

/* Begins an order where the limits let it. */
static int begin(struct pass *pass, struct np_order *order, bool fresh)
{
    const struct np_meter *meter = &pass->ca->meter;
    struct np_limit_view view;
    enum np_limit kind;
    int rc = np_meter_view(meter, order, pass->now_ms, &view);
    if (rc)
        return rc;
    int64_t wait_ms = np_limits_wait_ms(meter->limits, &view, 1, pass->now_ms, &kind);
    if (wait_ms == 0)
        return pay_and_start(pass, order, &view);
    bool shared = np_limits_is_shared(meter->limits, kind);
    if (kind == NP_LIMIT_PAUSE || (shared && fresh)) {
        wait_until(pass, wait_ms);
        return 0;
    }
    if (shared) /* they must not all come back for one token */
        wait_ms = np_limits_wait_ms(meter->limits, &view, ++pass->deferred, pass->now_ms, &kind);
    return defer(pass, order, kind, wait_ms);
}

static int fill_lane(struct pass *pass, struct np_lane lane)
{
    struct np_issuance *issuance = pass->issuance;
    struct batch batch = {.issuance = issuance, .room = room(pass->ca)};
    if (batch.room > pass->most)
        batch.room = pass->most;
    int rc = lane.fresh ? fresh_room(pass, lane.priority, batch.room, &batch.room) : 0;
    if (rc == 0 && batch.room > 0)
        rc = np_store_queue_each(issuance->store, lane, batch.room, collect_queued, &batch);
    for (size_t i = 0; rc >= 0 && batch.rc == 0 && i < batch.count; i++)
        batch.rc = begin(pass, &batch.orders[i], lane.fresh);
    return finish_batch(issuance, &batch, rc);
}

/* Does the CA want no order at all for a while? */
static bool is_paused(struct pass *pass)
{
    struct np_limit_view view;
    if (np_meter_shared(&pass->ca->meter, NP_PRIORITY_URGENT, &view) || view.full_ms[NP_LIMIT_PAUSE] <= pass->now_ms)
        return false;
    wait_until(pass, view.full_ms[NP_LIMIT_PAUSE] - pass->now_ms);
    return true;
}

static void fill_from_queue(struct pass *pass)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < NP_QUEUE_LANES && pass->most > 0 && !is_paused(pass) && room(pass->ca) > 0; i++)
        rc = fill_lane(pass, np_queue_lane(i));
}

/* At a CA that is down one order is tried now and then: the one that can best wait. */
static void probe(struct np_issuance *issuance, struct np_ca *ca, int64_t now_ms)
{
    struct pass pass = {.issuance = issuance, .ca = ca, .now_ms = now_ms, .most = 1, .next_ms = INT64_MAX};
    int rc = 0;
    for (size_t i = NP_QUEUE_LANES; rc == 0 && i > 0 && pass.most > 0 && !is_paused(&pass); i--)
        rc = fill_lane(&pass, np_queue_lane(i - 1));
    if (pass.most == 0)
        np_ca_probed(&ca->health, (int64_t)uv_now(issuance->loop));
}

/* Fresh orders that the first CA's limits hold up go to the second one, where that is wanted. */
static void overflow(struct pass *pass, struct np_ca *second)
{
    struct pass other = {
        .issuance = pass->issuance, .ca = second, .now_ms = pass->now_ms, .most = pass->most, .next_ms = INT64_MAX};
    int rc = 0;
    if (!np_ca_is_good(second))
        return;
    for (size_t i = 0; rc == 0 && i < NP_QUEUE_LANES && !is_paused(&other) && room(second) > 0; i++) {
        struct np_lane lane = np_queue_lane(i);
        size_t at_first = 0;
        if (lane.fresh)
            rc = fresh_room(pass, lane.priority, 1, &at_first);
        if (rc == 0 && lane.fresh && at_first == 0)
            rc = fill_lane(&other, lane);
    }
    if (other.next_ms < pass->next_ms)
        pass->next_ms = other.next_ms;
}

static void plan_next_look(struct pass *pass)
{
    int64_t next_ms = INT64_MAX;
    if (np_store_queue_next_try(pass->issuance->store, &next_ms) == 0 && next_ms < pass->next_ms && room(pass->ca) > 0)
        pass->next_ms = next_ms;
    if (pass->next_ms == INT64_MAX)
        return; /* the end of a job comes back here */
    int64_t delay_ms = pass->next_ms - pass->now_ms;
    np_issuance_look_again(pass->issuance, delay_ms < 1                  ? 1
                                           : delay_ms < NEXT_LOOK_MAX_MS ? delay_ms
                                                                         : NEXT_LOOK_MAX_MS);
}

void np_issuance_look_ahead(struct np_issuance *issuance)
{
    struct np_ca *ca = np_ca_choose(issuance);
    if (np_meter_shared(&ca->meter, NP_PRIORITY_NEW, &issuance->outlook.shared) == 0)
        issuance->outlook.limits = &ca->config->limits;
    issuance->outlook.free = (int64_t)room(ca);
}

void np_issuance_fill(struct np_issuance *issuance)
{
    struct pass pass = {
        .issuance = issuance, .now_ms = np_issuance_now_ms(), .most = NP_ISSUANCE_IN_FLIGHT, .next_ms = INT64_MAX};
    if (!issuance->started || issuance->closing)
        return;
    int64_t check_ms = np_ca_check(issuance);
    if (check_ms != INT64_MAX)
        wait_until(&pass, check_ms);
    if (pass.now_ms < issuance->paused_until_ms) {
        np_issuance_look_again(issuance, issuance->paused_until_ms - pass.now_ms);
        return;
    }
    if (issuance->under_way_wanted)
        fill_under_way(issuance);
    if (np_store_queue_refill(issuance->store, pass.now_ms)) {
        np_issuance_look_again(issuance, AFTER_ERROR_MS);
        return;
    }
    pass.ca = np_ca_choose(issuance);
    for (size_t i = 0; i < issuance->ca_count; i++) {
        struct np_ca *other = &issuance->cas[i];
        if (other != pass.ca && other->down && np_ca_may_probe(&other->health, (int64_t)uv_now(issuance->loop)))
            probe(issuance, other, pass.now_ms);
    }
    fill_from_queue(&pass);
    if (issuance->config.overflow && pass.ca == &issuance->cas[0] && issuance->ca_count > 1)
        overflow(&pass, &issuance->cas[1]);
    plan_next_look(&pass);
    np_issuance_look_ahead(issuance);
}

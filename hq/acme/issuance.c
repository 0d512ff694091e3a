#include "hq/acme/issuance.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "hq/acme/issuance_private.h"
#include "resolver/base/error.h"
#include "resolver/base/log.h"

#define LOOK_AGAIN_MS   5000               /* after a database error */
#define NEXT_TRY_CAP_MS (60 * 60 * 1000LL) /* the clock may be set meanwhile */

int64_t np_issuance_now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static bool in_flight(const struct np_issuance *issuance, const char *id)
{
    for (const struct np_job *job = issuance->jobs; job; job = job->next) {
        if (strcmp(job->run.order.id, id) == 0)
            return true;
    }
    return false;
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

/* Those of an earlier life. What was begun and has no URL yet may be adopted: not before the CA's list was read. */
static int collect_under_way(void *ctx, const struct np_order *order)
{
    struct batch *batch = ctx;
    if (in_flight(batch->issuance, order->id))
        return 0;
    if (order->state == NP_ORDER_QUEUED && !batch->issuance->ca.adopt.finished) {
        batch->cut = true;
        return 0;
    }
    return keep(batch, order);
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

static void look_again(struct np_issuance *issuance, int64_t delay_ms);

/* The end of a batch: 0, or it is looked again later. */
static int finish_batch(struct np_issuance *issuance, struct batch *batch, int rc)
{
    free(batch->orders);
    if (rc >= 0)
        rc = batch->rc;
    if (rc < 0) {
        np_error("acme: orders cannot be read: %s", np_strerror(rc));
        look_again(issuance, LOOK_AGAIN_MS);
    }
    return rc < 0 ? rc : 0;
}

static size_t room(const struct np_issuance *issuance)
{
    return NP_ISSUANCE_IN_FLIGHT > issuance->job_count ? NP_ISSUANCE_IN_FLIGHT - issuance->job_count : 0;
}

/* Those under way before a crash come first: they may have cost the CA's patience already. */
static void fill_under_way(struct np_issuance *issuance)
{
    struct batch batch = {.issuance = issuance, .room = room(issuance)};
    int rc = np_store_orders_under_way(issuance->store, collect_under_way, &batch);
    for (size_t i = 0; rc >= 0 && batch.rc == 0 && i < batch.count; i++)
        batch.rc = np_job_start(&issuance->ca, &batch.orders[i], true);
    issuance->under_way_wanted = batch.cut || rc < 0 || batch.rc;
    finish_batch(issuance, &batch, rc);
}

/* ---- The queue ---- */

/* One pass over the queue. */
struct pass {
    struct np_issuance *issuance;
    struct np_ca *ca;
    int64_t now_ms;
    int64_t next_ms;  /* when the limits let something begin again */
    int64_t deferred; /* orders that wait for a bucket that all share, outside of the fresh lanes */
};

static void wait_until(struct pass *pass, int64_t wait_ms)
{
    if (pass->now_ms + wait_ms < pass->next_ms)
        pass->next_ms = pass->now_ms + wait_ms;
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

/* An order that may not begin before its own limit lets it: out of the queue until then, so that it is nobody's way. */
static int defer(struct pass *pass, struct np_order *order, enum np_limit kind, int64_t wait_ms)
{
    order->state = NP_ORDER_BACKOFF;
    order->next_try_ms = pass->now_ms + wait_ms;
    order->updated_ms = pass->now_ms;
    snprintf(order->error, sizeof order->error, "the CA's limit '%s' is reached", np_limit_name(kind));
    np_info("acme: %s: waits %lld s for the CA's limit '%s'", order->authorizations[0].name,
            (long long)(wait_ms + 999) / 1000, np_limit_name(kind));
    return np_store_order_update(pass->issuance->store, order);
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
    if (wait_ms == 0) {
        rc = np_meter_pay(meter, order, &view, pass->now_ms);
        if (rc == NP_E_CONFLICT) {
            wait_until(pass, 1); /* another HQ was faster */
            return 0;
        }
        return rc ? rc : np_job_start(pass->ca, order, false);
    }
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
    struct batch batch = {.issuance = issuance, .room = room(issuance)};
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

static void plan_next_look(struct pass *pass)
{
    int64_t next_ms = INT64_MAX;
    if (room(pass->issuance) == 0)
        return; /* the end of a job comes back here */
    if (np_store_queue_next_try(pass->issuance->store, &next_ms) == 0 && next_ms < pass->next_ms)
        pass->next_ms = next_ms;
    if (pass->next_ms == INT64_MAX)
        return;
    int64_t delay_ms = pass->next_ms - pass->now_ms;
    look_again(pass->issuance, delay_ms < 1 ? 1 : delay_ms < NEXT_TRY_CAP_MS ? delay_ms : NEXT_TRY_CAP_MS);
}

void np_issuance_look_ahead(struct np_issuance *issuance)
{
    struct np_ca *ca = &issuance->ca;
    if (np_meter_shared(&ca->meter, NP_PRIORITY_NEW, &issuance->outlook.shared) == 0)
        issuance->outlook.limits = &ca->config->limits;
    issuance->outlook.free = (int64_t)room(issuance);
}

void np_issuance_fill(struct np_issuance *issuance)
{
    struct pass pass = {
        .issuance = issuance, .ca = &issuance->ca, .now_ms = np_issuance_now_ms(), .next_ms = INT64_MAX};
    if (!issuance->started || issuance->closing)
        return;
    if (issuance->under_way_wanted)
        fill_under_way(issuance);
    if (issuance->under_way_wanted || !issuance->ca.adopt.finished)
        return; /* the end of a job, or of the adoption, comes back here */
    if (pass.now_ms < issuance->paused_until_ms) {
        look_again(issuance, issuance->paused_until_ms - pass.now_ms);
        return;
    }
    int rc = np_store_queue_refill(issuance->store, pass.now_ms);
    for (size_t i = 0; rc == 0 && !is_paused(&pass) && i < NP_QUEUE_LANES && room(issuance) > 0; i++)
        rc = fill_lane(&pass, np_queue_lane(i));
    plan_next_look(&pass);
    np_issuance_look_ahead(issuance);
}

static void on_timer(uv_timer_t *timer)
{
    np_issuance_fill(timer->data);
}

/* Arms the timer unless it fires earlier already. */
static void look_again(struct np_issuance *issuance, int64_t delay_ms)
{
    if (issuance->closing)
        return;
    if (uv_is_active((uv_handle_t *)&issuance->timer) && uv_timer_get_due_in(&issuance->timer) <= (uint64_t)delay_ms)
        return;
    uv_timer_start(&issuance->timer, on_timer, (uint64_t)delay_ms, 0);
}

static void on_adopted(void *ctx)
{
    np_issuance_fill(ctx);
}

struct leftovers {
    struct np_adopt *adopt;
    bool begun; /* an order may be at the CA without our knowing its URL */
};

static int note_leftover(void *ctx, const struct np_order *order)
{
    struct leftovers *leftovers = ctx;
    if (order->state == NP_ORDER_QUEUED) {
        leftovers->begun = true;
        return 0;
    }
    return np_adopt_exclude(leftovers->adopt, order->order_url);
}

static void prepare_adoption(struct np_issuance *issuance)
{
    struct leftovers leftovers = {.adopt = &issuance->ca.adopt};
    int rc = np_store_orders_under_way(issuance->store, note_leftover, &leftovers);
    if (rc || !leftovers.begun)
        np_adopt_skip(&issuance->ca.adopt);
}

static void on_account(void *ctx, const char *url)
{
    struct np_issuance *issuance = ctx;
    if (np_zone_set_account(issuance->zone, url))
        np_warning("acme: the account's URL is too long for the CAA record: %s", url);
    np_revoker_ready(&issuance->revoker, issuance->ca.acme);
    if (!issuance->ca.adopt.running && !issuance->ca.adopt.finished)
        np_adopt_start(&issuance->ca.adopt, issuance->ca.acme, on_adopted, issuance);
}

int np_issuance_new(uv_loop_t *loop, const struct np_issuance_config *config, struct np_store *store,
                    struct np_zone *zone, struct np_issuance **out_issuance)
{
    struct np_issuance *issuance = calloc(1, sizeof *issuance);
    if (!issuance)
        return -ENOMEM;
    issuance->loop = loop;
    issuance->config = *config;
    issuance->store = store;
    issuance->zone = zone;
    issuance->ca.issuance = issuance;
    issuance->ca.config = &issuance->config.ca;
    issuance->ca.meter =
        (struct np_meter){.store = store, .ca = issuance->config.ca.directory, .limits = &issuance->config.ca.limits};
    issuance->under_way_wanted = true;
    np_outlook_init(&issuance->outlook, NP_ISSUANCE_IN_FLIGHT);
    uv_timer_init(loop, &issuance->timer);
    issuance->timer.data = issuance;
    np_revoker_init(&issuance->revoker, loop, store);
    issuance->open_handles = 2;
    *out_issuance = issuance;
    return 0;
}

int np_issuance_start(struct np_issuance *issuance)
{
    char path[NP_ISSUANCE_PATH_MAX + 32];
    snprintf(path, sizeof path, "%s/acme-account.pem", issuance->config.secrets);
    int rc = np_acme_key_load(path, &issuance->ca.key);
    if (rc) {
        np_error("acme: %s: %s", path, np_strerror(rc));
        return rc;
    }
    rc = np_acme_new(issuance->loop, issuance->ca.config, issuance->ca.key, on_account, issuance, &issuance->ca.acme);
    if (rc)
        return rc;
    issuance->started = true;
    prepare_adoption(issuance);
    np_acme_start(issuance->ca.acme);
    np_issuance_fill(issuance);
    return 0;
}

void np_issuance_wake(struct np_issuance *issuance)
{
    np_issuance_fill(issuance);
}

const struct np_outlook *np_issuance_outlook(const struct np_issuance *issuance)
{
    return &issuance->outlook;
}

void np_issuance_wake_revoker(struct np_issuance *issuance)
{
    np_revoker_wake(&issuance->revoker);
}

static void release_handle(struct np_issuance *issuance)
{
    if (--issuance->open_handles > 0)
        return;
    void (*closed)(void *ctx) = issuance->closed;
    void *ctx = issuance->closed_ctx;
    np_acme_key_free(issuance->ca.key);
    np_adopt_deinit(&issuance->ca.adopt);
    free(issuance);
    if (closed)
        closed(ctx);
}

static void on_acme_closed(void *ctx)
{
    release_handle(ctx);
}

static void on_timer_closed(uv_handle_t *handle)
{
    release_handle(handle->data);
}

void np_issuance_close(struct np_issuance *issuance, void (*done)(void *ctx), void *ctx)
{
    issuance->closing = true;
    issuance->closed = done;
    issuance->closed_ctx = ctx;
    for (struct np_job *job = issuance->jobs, *next; job; job = next) {
        next = job->next;
        np_job_end(job);
    }
    if (issuance->ca.acme) {
        issuance->open_handles++;
        np_acme_close(issuance->ca.acme, on_acme_closed, issuance);
    }
    np_revoker_close(&issuance->revoker, issuance, on_timer_closed);
    uv_close((uv_handle_t *)&issuance->timer, on_timer_closed);
}

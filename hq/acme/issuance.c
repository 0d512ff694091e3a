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
    if (order->state == NP_ORDER_QUEUED && !batch->issuance->adopt.finished) {
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

static void start_batch(struct np_issuance *issuance, struct batch *batch, int rc, bool resumed)
{
    for (size_t i = 0; i < batch->count; i++) {
        if (np_job_start(issuance, &batch->orders[i], resumed))
            batch->rc = -ENOMEM;
    }
    free(batch->orders);
    if (rc >= 0 && batch->rc == 0)
        return;
    np_error("acme: orders cannot be read: %s", np_strerror(rc < 0 ? rc : batch->rc));
    look_again(issuance, LOOK_AGAIN_MS);
}

static struct batch new_batch(struct np_issuance *issuance)
{
    size_t room = NP_ISSUANCE_IN_FLIGHT > issuance->job_count ? NP_ISSUANCE_IN_FLIGHT - issuance->job_count : 0;
    return (struct batch){.issuance = issuance, .room = room};
}

/* Those under way before a crash come first: they may have cost the CA's patience already. */
static void fill_under_way(struct np_issuance *issuance)
{
    struct batch batch = new_batch(issuance);
    int rc = np_store_orders_under_way(issuance->store, collect_under_way, &batch);
    issuance->under_way_wanted = batch.cut || rc < 0;
    start_batch(issuance, &batch, rc, true);
}

static void plan_next_try(struct np_issuance *issuance, int64_t now_ms)
{
    int64_t next_ms = INT64_MAX;
    if (np_store_queue_next_try(issuance->store, &next_ms) || next_ms == INT64_MAX)
        return;
    int64_t delay_ms = next_ms - now_ms;
    look_again(issuance, delay_ms < 1 ? 1 : delay_ms < NEXT_TRY_CAP_MS ? delay_ms : NEXT_TRY_CAP_MS);
}

void np_issuance_fill(struct np_issuance *issuance)
{
    int64_t now_ms = np_issuance_now_ms();
    if (!issuance->started || issuance->closing)
        return;
    if (issuance->under_way_wanted)
        fill_under_way(issuance);
    if (issuance->under_way_wanted || issuance->job_count >= NP_ISSUANCE_IN_FLIGHT || !issuance->adopt.finished)
        return; /* the end of a job, or of the adoption, comes back here */
    if (now_ms < issuance->paused_until_ms) {
        look_again(issuance, issuance->paused_until_ms - now_ms);
        return;
    }
    int rc = np_store_queue_refill(issuance->store, now_ms);
    for (size_t i = 0; rc >= 0 && i < NP_QUEUE_LANES && issuance->job_count < NP_ISSUANCE_IN_FLIGHT; i++) {
        struct batch batch = new_batch(issuance);
        rc = np_store_queue_each(issuance->store, np_queue_lane(i), batch.room, collect_queued, &batch);
        start_batch(issuance, &batch, rc, false);
    }
    issuance->outlook.free = NP_ISSUANCE_IN_FLIGHT - (int64_t)issuance->job_count;
    if (issuance->job_count < NP_ISSUANCE_IN_FLIGHT)
        plan_next_try(issuance, now_ms);
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
    struct leftovers leftovers = {.adopt = &issuance->adopt};
    int rc = np_store_orders_under_way(issuance->store, note_leftover, &leftovers);
    if (rc || !leftovers.begun)
        np_adopt_skip(&issuance->adopt);
}

static void on_account(void *ctx, const char *url)
{
    struct np_issuance *issuance = ctx;
    if (np_zone_set_account(issuance->zone, url))
        np_warning("acme: the account's URL is too long for the CAA record: %s", url);
    np_revoker_ready(&issuance->revoker, issuance->acme);
    if (!issuance->adopt.running && !issuance->adopt.finished)
        np_adopt_start(&issuance->adopt, issuance->acme, on_adopted, issuance);
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
    int rc = np_acme_key_load(path, &issuance->key);
    if (rc) {
        np_error("acme: %s: %s", path, np_strerror(rc));
        return rc;
    }
    rc = np_acme_new(issuance->loop, &issuance->config, issuance->key, on_account, issuance, &issuance->acme);
    if (rc)
        return rc;
    issuance->started = true;
    prepare_adoption(issuance);
    np_acme_start(issuance->acme);
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
    np_acme_key_free(issuance->key);
    np_adopt_deinit(&issuance->adopt);
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
    if (issuance->acme) {
        issuance->open_handles++;
        np_acme_close(issuance->acme, on_acme_closed, issuance);
    }
    np_revoker_close(&issuance->revoker, issuance, on_timer_closed);
    uv_close((uv_handle_t *)&issuance->timer, on_timer_closed);
}

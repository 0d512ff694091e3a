#include "hq/acme/issuance.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "hq/acme/issuance_private.h"
#include "resolver/base/error.h"
#include "resolver/base/log.h"

int64_t np_issuance_now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void on_timer(uv_timer_t *timer)
{
    np_issuance_fill(timer->data);
}

void np_issuance_look_again(struct np_issuance *issuance, int64_t delay_ms)
{
    if (issuance->closing || !issuance->started)
        return;
    if (uv_is_active((uv_handle_t *)&issuance->timer) && uv_timer_get_due_in(&issuance->timer) <= (uint64_t)delay_ms)
        return;
    uv_timer_start(&issuance->timer, on_timer, (uint64_t)delay_ms, 0);
}

static struct np_acme *revoking_account(void *ctx, const char *directory)
{
    const struct np_issuance *issuance = ctx;
    for (size_t i = 0; i < issuance->ca_count; i++) {
        const struct np_ca *ca = &issuance->cas[i];
        bool wanted = !directory || ca == np_ca_find(ctx, directory);
        if (wanted && ca->acme && np_acme_is_ready(ca->acme))
            return ca->acme;
    }
    return NULL;
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
    issuance->ca_count = config->ca_count;
    for (size_t i = 0; i < issuance->ca_count; i++)
        np_ca_init(&issuance->cas[i], issuance, i);
    issuance->under_way_wanted = true;
    np_outlook_init(&issuance->outlook, NP_ISSUANCE_IN_FLIGHT);
    uv_timer_init(loop, &issuance->timer);
    issuance->timer.data = issuance;
    np_revoker_init(&issuance->revoker, loop, store, revoking_account, issuance);
    issuance->open_handles = 2 + (unsigned)issuance->ca_count;
    *out_issuance = issuance;
    return 0;
}

void np_issuance_guard(struct np_issuance *issuance, bool (*allowed)(void *ctx), void *ctx)
{
    issuance->allowed = allowed;
    issuance->allowed_ctx = ctx;
}

int np_issuance_load(struct np_issuance *issuance)
{
    for (size_t i = 0; i < issuance->ca_count; i++) {
        int rc = np_ca_load(&issuance->cas[i]);
        if (rc)
            return rc;
    }
    return 0;
}

void np_issuance_start(struct np_issuance *issuance)
{
    issuance->started = true;
    for (size_t i = 0; i < issuance->ca_count; i++)
        np_ca_start(&issuance->cas[i]);
    np_issuance_fill(issuance);
}

void np_issuance_watch(struct np_issuance *issuance)
{
    np_issuance_look_ahead(issuance);
}

void np_issuance_wake(struct np_issuance *issuance)
{
    np_issuance_fill(issuance);
}

const struct np_outlook *np_issuance_outlook(const struct np_issuance *issuance)
{
    return &issuance->outlook;
}

static void describe_ca(const struct np_ca *ca, struct np_issuance_ca *out)
{
    const struct np_limits *limits = &ca->config->limits;
    struct np_limit_view view;
    int64_t now_ms = np_issuance_now_ms();
    *out = (struct np_issuance_ca){.directory = ca->config->directory,
                                   .ready = ca->acme && np_acme_is_ready(ca->acme),
                                   .down = ca->down,
                                   .in_flight = ca->job_count,
                                   .issued = ca->issued,
                                   .backoff = ca->backoff,
                                   .dead = ca->dead};
    if (np_meter_shared(&ca->meter, NP_PRIORITY_URGENT, &view))
        return;
    if (view.full_ms[NP_LIMIT_PAUSE] > now_ms)
        out->pause_ms = view.full_ms[NP_LIMIT_PAUSE] - now_ms;
    for (int kind = 0; kind < NP_LIMIT_RULES; kind++) {
        const struct np_limit_rule *rule = &limits->rules[kind];
        if (rule->count == 0 || !np_limits_is_shared(limits, (enum np_limit)kind))
            continue;
        out->limits[kind].size = rule->count;
        out->limits[kind].left = np_limit_level(rule, view.full_ms[kind], now_ms);
    }
}

size_t np_issuance_cas(const struct np_issuance *issuance, struct np_issuance_ca out_cas[NP_CA_MAX])
{
    for (size_t i = 0; i < issuance->ca_count; i++)
        describe_ca(&issuance->cas[i], &out_cas[i]);
    return issuance->ca_count;
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
    for (size_t i = 0; i < issuance->ca_count; i++)
        np_ca_deinit(&issuance->cas[i]);
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
    for (size_t i = 0; i < issuance->ca_count; i++) {
        np_ari_poller_close(&issuance->cas[i].windows, issuance, on_timer_closed);
        if (!issuance->cas[i].acme)
            continue;
        issuance->open_handles++;
        np_ca_close(&issuance->cas[i], on_acme_closed, issuance);
    }
    np_revoker_close(&issuance->revoker, issuance, on_timer_closed);
    uv_close((uv_handle_t *)&issuance->timer, on_timer_closed);
}

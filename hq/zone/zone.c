#include "hq/zone/zone.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hq/zone/backend.h"
#include "hq/zone/check.h"
#include "hq/zone/feed.h"
#include "resolver/base/error.h"

#define POLL_MS 1000 /* other programs mark names dirty too (`zone repair`) */

struct np_zone {
    struct np_zone_core core;
    struct np_zone_backend backend;
    struct np_check_health health;
    uv_timer_t poll;
    unsigned closing; /* what has not closed yet */
    void (*closed)(void *ctx);
    void *closed_ctx;
};

int np_zone_new(uv_loop_t *loop, const struct np_zone_config *config, struct np_store *store, struct np_zone **out_zone,
                char error[NP_ZONE_ERROR_MAX])
{
    struct np_zone *zone = calloc(1, sizeof *zone);
    snprintf(error, NP_ZONE_ERROR_MAX, "out of memory");
    if (!zone)
        return -ENOMEM;
    zone->core = (struct np_zone_core){.loop = loop, .config = *config, .store = store};
    zone->health.skip_ms = config->skip_ms;
    int rc = config->backend == NP_ZONE_RFC2136 ? np_rfc2136_new(&zone->core, &zone->backend, error)
                                                : np_builtin_new(&zone->core, &zone->backend, error);
    if (rc) {
        free(zone);
        return rc;
    }
    uv_timer_init(loop, &zone->poll);
    zone->poll.data = zone;
    *out_zone = zone;
    return 0;
}

void np_zone_guard(struct np_zone *zone, bool (*allowed)(void *ctx), void *ctx)
{
    zone->core.allowed = allowed;
    zone->core.allowed_ctx = ctx;
}

static void on_poll(uv_timer_t *timer)
{
    np_zone_wake(timer->data);
}

int np_zone_start(struct np_zone *zone)
{
    int rc = zone->backend.start(zone->backend.self);
    if (rc == 0)
        uv_timer_start(&zone->poll, on_poll, POLL_MS, POLL_MS);
    return rc;
}

void np_zone_wake(struct np_zone *zone)
{
    if (!zone->closing)
        zone->backend.wake(zone->backend.self);
}

int np_zone_set_challenges(struct np_zone *zone, const char *name,
                           const char values[NP_ZONE_TXT_MAX][NP_ZONE_TXT_LEN + 1], size_t count, np_zone_done_fn *done,
                           void *ctx)
{
    if (np_feed_label(zone->core.config.origin, name) == 0)
        return NP_E_NAME;
    int rc = np_challenges_set(&zone->core.challenges, name, values, count, done, ctx);
    if (rc == 0)
        np_zone_wake(zone);
    return rc;
}

int np_zone_set_account(struct np_zone *zone, size_t caa, const char *url)
{
    size_t len = strlen(url);
    char *stored = zone->core.accounts.url[caa < NP_ZONE_CAA_MAX ? caa : 0];
    if (caa >= zone->core.config.caa_count || len > NP_ZONE_CAA_LEN)
        return NP_E_LIMIT;
    if (strcmp(stored, url) == 0)
        return 0;
    memcpy(stored, url, len + 1);
    zone->backend.account(zone->backend.self);
    return 0;
}

const struct np_zone_config *np_zone_settings(const struct np_zone *zone)
{
    return &zone->core.config;
}

struct np_check_health *np_zone_health(struct np_zone *zone)
{
    return &zone->health;
}

bool np_zone_ready(const struct np_zone *zone)
{
    return zone->backend.ready(zone->backend.self);
}

int np_zone_child_pid(const struct np_zone *zone)
{
    return zone->backend.child_pid(zone->backend.self);
}

void np_zone_report(const struct np_zone *zone, struct np_zone_report *out_report)
{
    const struct np_zone_config *config = &zone->core.config;
    int64_t now_ms = (int64_t)uv_now(zone->core.loop);
    *out_report = (struct np_zone_report){.ready = np_zone_ready(zone)};
    for (size_t i = 0; i < config->nameserver_count + config->challenge_nameserver_count; i++) {
        const struct np_zone_nameserver *server = i < config->nameserver_count
                                                      ? &config->nameservers[i]
                                                      : &config->challenge_nameservers[i - config->nameserver_count];
        bool failing = zone->health.servers[i].failing && now_ms - zone->health.servers[i].last_ms < NP_CHECK_FORGET_MS;
        out_report->nameservers[i].name = server->name;
        out_report->nameservers[i].address = server->address;
        out_report->nameservers[i].failing_ms = failing ? now_ms - zone->health.servers[i].since_ms + 1 : 0;
        out_report->nameserver_count++;
    }
    if (zone->backend.report)
        out_report->update_count =
            zone->backend.report(zone->backend.self, out_report->updates, 2 * NP_ZONE_SERVERS_MAX);
}

static void on_one_closed(struct np_zone *zone)
{
    if (--zone->closing > 0)
        return;
    void (*closed)(void *ctx) = zone->closed;
    void *ctx = zone->closed_ctx;
    np_challenges_close(&zone->core.challenges);
    free(zone);
    if (closed)
        closed(ctx);
}

static void on_poll_closed(uv_handle_t *handle)
{
    on_one_closed(handle->data);
}

static void on_backend_closed(void *ctx)
{
    on_one_closed(ctx);
}

void np_zone_close(struct np_zone *zone, void (*done)(void *ctx), void *ctx)
{
    zone->closing = 2;
    zone->closed = done;
    zone->closed_ctx = ctx;
    uv_close((uv_handle_t *)&zone->poll, on_poll_closed);
    zone->backend.close(zone->backend.self, on_backend_closed, zone);
}

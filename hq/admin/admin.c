#include "hq/admin/admin.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "hq/acme/queue.h"
#include "hq/admin/counter.h"
#include "hq/admin/facts.h"
#include "hq/admin/http.h"
#include "hq/admin/lag.h"
#include "hq/admin/routes.h"
#include "resolver/base/error.h"
#include "resolver/base/log.h"
#include "resolver/base/text.h"

#define LOOK_MS 1000 /* between two looks at the oldest change that is not confirmed */

struct np_admin {
    uv_loop_t *loop;
    int fd; /* until np_admin_start; -1: none */
    struct np_admin_auth auth;
    struct np_admin_sources sources;
    struct np_admin_http *http;
    struct np_counter *counter;
    struct np_lag lag;
    uv_timer_t timer;
    int64_t started_s;
    bool store_good;
    unsigned closing; /* what has not closed yet */
    void (*closed)(void *ctx);
    void *closed_ctx;
};

/* ---- Gathering ---- */

static void on_look(uv_timer_t *timer)
{
    struct np_admin *admin = timer->data;
    int64_t oldest = 0, newest = 0;
    admin->store_good = np_store_dirty_oldest(admin->sources.store, &oldest, &newest) == 0;
    if (admin->store_good)
        np_lag_note(&admin->lag, (int64_t)uv_now(admin->loop), oldest, newest);
}

/* What the queue means for an order without certificate that came now. */
static void estimate(struct np_admin_facts *facts, const struct np_outlook *outlook)
{
    struct np_queue_place place = {0};
    struct np_order *order = calloc(1, sizeof *order);
    facts->typical_ms = outlook->typical_ms;
    for (int i = 0; order && facts->census && i <= NP_PRIORITY_OPEN; i++) {
        place.ahead += facts->census->lanes[i][0] + facts->census->lanes[i][1];
        place.fresh_ahead += facts->census->lanes[i][1];
        order->priority = (enum np_order_priority)i;
        facts->eta_s[i] = np_outlook_eta_s(outlook, order, &place, facts->now_s * 1000);
    }
    free(order);
}

static int64_t count_descriptors(void)
{
    DIR *folder = opendir("/proc/self/fd");
    int64_t count = 0;
    while (folder && readdir(folder))
        count++;
    if (folder)
        closedir(folder);
    return count > 3 ? count - 3 : 0; /* without ".", ".." and the folder's own */
}

static void read_process(struct np_admin_facts *facts)
{
    struct rusage usage;
    long pages = 0, ignored = 0;
    FILE *file = fopen("/proc/self/statm", "re");
    if (file && fscanf(file, "%ld %ld", &ignored, &pages) == 2)
        facts->rss_bytes = pages * sysconf(_SC_PAGESIZE);
    if (file)
        fclose(file);
    if (getrusage(RUSAGE_SELF, &usage) == 0)
        facts->cpu_s = (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
                       (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
    facts->open_fds = count_descriptors();
}

static void gather(void *ctx, struct np_admin_facts *facts)
{
    struct np_admin *admin = ctx;
    const struct np_admin_sources *sources = &admin->sources;
    *facts = (struct np_admin_facts){.now_s = (int64_t)time(NULL),
                                     .started_s = admin->started_s,
                                     .requests = np_web_stats(sources->web),
                                     .door = np_door_stats(sources->door)};
    facts->standby = sources->working && !*sources->working;
    on_look(&admin->timer);
    facts->store_good = admin->store_good;
    if (!admin->store_good)
        snprintf(facts->store_error, sizeof facts->store_error, "%s", np_store_error(sources->store));
    facts->lag_ms = admin->lag.lag_ms;
    facts->census = np_counter_get(admin->counter, &facts->census_age_ms, &facts->census_took_ms);
    np_zone_report(sources->zone, &facts->zone);
    facts->ca_count = np_issuance_cas(sources->issuance, facts->cas);
    estimate(facts, np_issuance_outlook(sources->issuance));
    read_process(facts);
}

static void on_request(void *ctx, const struct np_admin_request *request, struct np_admin_response *response)
{
    struct np_admin *admin = ctx;
    struct np_admin_routes routes = {
        .auth = &admin->auth, .store = admin->sources.store, .gather = gather, .gather_ctx = admin};
    np_admin_route(&routes, request, (int64_t)time(NULL), response);
}

/* ---- Life ---- */

int np_admin_new(uv_loop_t *loop, const struct np_endpoint *local, const char *token_path, struct np_admin **out_admin,
                 char error[NP_ADMIN_ERROR_MAX])
{
    char where[NP_ADDR_TEXT_MAX];
    struct np_admin *admin = calloc(1, sizeof *admin);
    if (!admin) {
        snprintf(error, NP_ADMIN_ERROR_MAX, "out of memory");
        return -ENOMEM;
    }
    int rc = np_admin_auth_load(token_path, &admin->auth, error);
    if (rc) {
        free(admin);
        return rc;
    }
    admin->fd = np_admin_listen(local);
    if (admin->fd < 0) {
        rc = admin->fd;
        snprintf(error, NP_ADMIN_ERROR_MAX, "cannot listen on %s: %s (admin-listen)", np_endpoint_format(local, where),
                 np_strerror(rc));
        np_wipe(&admin->auth, sizeof admin->auth);
        free(admin);
        return rc;
    }
    admin->loop = loop;
    admin->started_s = (int64_t)time(NULL);
    uv_timer_init(loop, &admin->timer);
    admin->timer.data = admin;
    *out_admin = admin;
    return 0;
}

int np_admin_start(struct np_admin *admin, const struct np_admin_sources *sources)
{
    const struct np_admin_handler handler = {admin, on_request};
    admin->sources = *sources;
    int rc = np_counter_new(admin->loop, sources->database, &admin->counter);
    if (rc == 0)
        rc = np_admin_http_new(admin->loop, admin->fd, &handler, &admin->http);
    if (rc)
        return rc;
    admin->fd = -1;
    uv_timer_start(&admin->timer, on_look, 0, LOOK_MS);
    return 0;
}

static void on_one_closed(void *ctx)
{
    struct np_admin *admin = ctx;
    if (--admin->closing > 0)
        return;
    void (*closed)(void *ctx) = admin->closed;
    void *closed_ctx = admin->closed_ctx;
    np_wipe(&admin->auth, sizeof admin->auth);
    free(admin);
    closed(closed_ctx);
}

static void on_timer_closed(uv_handle_t *handle)
{
    on_one_closed(handle->data);
}

void np_admin_close(struct np_admin *admin, void (*done)(void *ctx), void *ctx)
{
    admin->closed = done;
    admin->closed_ctx = ctx;
    admin->closing = 1 + (admin->http != NULL) + (admin->counter != NULL);
    if (admin->fd >= 0)
        close(admin->fd);
    if (admin->http)
        np_admin_http_close(admin->http, on_one_closed, admin);
    if (admin->counter)
        np_counter_close(admin->counter, on_one_closed, admin);
    uv_close((uv_handle_t *)&admin->timer, on_timer_closed);
}

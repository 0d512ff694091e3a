#include <stdio.h>
#include <stdlib.h>

#include "hq/server_private.h"
#include "resolver/base/error.h"
#include "resolver/base/log.h"
#include "resolver/base/text.h"

#define READY_CHECK_MS 20
#define COMMITS_A_TURN 16    /* an order takes three steps; more would starve the sockets */
#define OTHERS_MS      2000  /* other programs write into the database, too: the operator's verbs */
#define DRAIN_MS       10000 /* for requests under way, at the end */
#define HEAR_MS        100   /* how soon the work of another HQ's requests begins */

static void on_leaf_timer(uv_timer_t *timer)
{
    struct np_hq *hq = timer->data;
    np_leaf_check(&hq->leaf);
}

/* ---- Commits, and who is woken by them ---- */

static void wake_for(struct np_hq *hq, unsigned events)
{
    if (hq->stopping || !hq->working)
        return;
    if (events & NP_STORE_NAMES_CHANGED)
        np_zone_wake(hq->zone);
    if (events & NP_STORE_ORDERS_CHANGED)
        np_issuance_wake(hq->issuance);
    if (events & NP_STORE_RENEWALS_CHANGED)
        np_renewer_wake(hq->renewer);
    if (events & NP_STORE_REVOCATIONS_CHANGED)
        np_issuance_wake_revoker(hq->issuance);
}

static void wake(struct np_hq *hq)
{
    wake_for(hq, np_store_take_events(hq->store));
}

/* What another program has queued is found by looking. */
static void on_others_timer(uv_timer_t *timer)
{
    wake_for(timer->data, NP_STORE_ORDERS_CHANGED | NP_STORE_REVOCATIONS_CHANGED);
}

/* What the other HQs have taken in is to be worked on here. */
static void on_hear_timer(uv_timer_t *timer)
{
    struct np_hq *hq = timer->data;
    wake_for(hq, np_store_heard(hq->store));
}

void np_hq_on_committed(void *ctx, int rc)
{
    struct np_hq *hq = ctx;
    if (rc) {
        np_error("the database did not take the last requests (%s); their connections are cut",
                 np_store_error(hq->store));
        np_door_drop_all(hq->door);
    }
    wake(hq);
}

/* While it is active the loop looks at its sockets without sleeping on them. */
static void on_again(uv_idle_t *idle)
{
    (void)idle;
}

static void on_prepare(uv_prepare_t *prepare)
{
    struct np_hq *hq = prepare->data;
    /* A callback of one commit may queue for the next (an order's step that publishes): the loop must not sleep on it
     * until the next packet comes. */
    for (int round = 0; round == 0 || (round < COMMITS_A_TURN && np_store_awaited(hq->store)); round++) {
        if (np_store_commit(hq->store))
            np_error("the database did not take the last changes: %s", np_store_error(hq->store));
        wake(hq);
    }
    if (np_store_awaited(hq->store))
        uv_idle_start(&hq->again, on_again);
    else
        uv_idle_stop(&hq->again);
}

/* ---- Running ---- */

static void start_admin(struct np_hq *hq)
{
    const struct np_admin_sources sources = {.database = hq->config.database,
                                             .store = hq->store,
                                             .zone = hq->zone,
                                             .issuance = hq->issuance,
                                             .web = hq->web,
                                             .door = hq->door,
                                             .working = hq->lease ? &hq->working : NULL};
    int rc = hq->admin ? np_admin_start(hq->admin, &sources) : 0;
    if (rc)
        np_error("no operator's listener: %s", np_strerror(rc));
}

static void describe(const struct np_hq *hq, char *out, size_t size)
{
    const struct np_zone_config *zone = np_zone_settings(hq->zone);
    char text[NP_ADDR_TEXT_MAX];
    size_t used = (size_t)snprintf(out, size, "%s", hq->config.listen_count ? "https" : "");
    for (size_t i = 0; i < hq->config.listen_count && used < size; i++) {
        struct np_endpoint local = np_door_local(hq->door, i);
        used += (size_t)snprintf(out + used, size - used, " %s", np_endpoint_format(&local, text));
    }
    for (size_t i = 0; i < hq->config.socket_count && used < size; i++)
        used += (size_t)snprintf(out + used, size - used, "%sunix:%s",
                                 i      ? " "
                                 : used ? "; http "
                                        : "http ",
                                 hq->config.sockets[i]);
    if (used < size)
        used += (size_t)snprintf(out + used, size - used, zone->backend == NP_ZONE_BUILTIN ? "; dns" : "; updates to");
    const struct np_endpoint *dns = zone->backend == NP_ZONE_BUILTIN ? zone->listen : zone->update.servers;
    size_t count = zone->backend == NP_ZONE_BUILTIN ? zone->listen_count : zone->update.count;
    for (size_t i = 0; i < count && used < size; i++)
        used += (size_t)snprintf(out + used, size - used, " %s", np_endpoint_format(&dns[i], text));
}

static void on_ready_timer(uv_timer_t *timer)
{
    struct np_hq *hq = timer->data;
    char listening[1024];
    if (!hq->looked || (hq->working && !np_zone_ready(hq->zone)))
        return;
    uv_timer_stop(timer);
    describe(hq, listening, sizeof listening);
    hq->ready(hq->ready_ctx, listening);
}

/* Starts what one HQ alone does. */
static int start_work(struct np_hq *hq)
{
    int rc = np_zone_start(hq->zone);
    if (rc)
        return rc;
    hq->working = hq->looked = true;
    if (hq->ledger)
        np_ledger_keep_days(hq->ledger);
    np_issuance_start(hq->issuance);
    np_renewer_start(hq->renewer); /* its first heartbeat notes the time in which HQ was away: before retention looks */
    np_retention_start(hq->retention);
    return 0;
}

void np_hq_begin_work(void *ctx)
{
    struct np_hq *hq = ctx;
    if (hq->stopping)
        return;
    int rc = start_work(hq);
    if (rc == 0)
        return;
    np_error("the DNS process cannot be started: %s", np_strerror(rc));
    hq->ended(hq->ready_ctx);
}

void np_hq_on_standby(void *ctx)
{
    struct np_hq *hq = ctx;
    if (!hq->looked)
        np_notice("standing by: another HQ does the work behind the requests");
    hq->looked = true;
    np_issuance_watch(hq->issuance);
}

void np_hq_on_lost(void *ctx)
{
    struct np_hq *hq = ctx;
    np_error("ending, to be started afresh by the service manager");
    hq->ended(hq->ready_ctx);
}

int np_hq_start(struct np_hq *hq, const struct np_hq_events *events, char error[NP_HQ_ERROR_MAX])
{
    hq->ready = events->ready;
    hq->ended = events->ended;
    hq->ready_ctx = events->ctx;
    if (hq->ledger)
        np_ledger_start(hq->ledger);
    if (hq->lease) {
        np_lease_start(hq->lease);
        uv_timer_start(&hq->hear_timer, on_hear_timer, HEAR_MS, HEAR_MS);
    } else {
        int rc = start_work(hq);
        if (rc)
            return np_explain(error, NP_HQ_ERROR_MAX, rc, "the DNS process cannot be started: %s", np_strerror(rc));
    }
    uv_prepare_start(&hq->prepare, on_prepare);
    uv_unref((uv_handle_t *)&hq->prepare);
    start_admin(hq);
    uv_timer_start(&hq->leaf_timer, on_leaf_timer, NP_LEAF_CHECK_MS, NP_LEAF_CHECK_MS);
    uv_timer_start(&hq->ready_timer, on_ready_timer, 1, READY_CHECK_MS);
    uv_timer_start(&hq->others_timer, on_others_timer, OTHERS_MS, OTHERS_MS);
    return 0;
}

/* ---- The end ---- */

static void on_one_closed(void *ctx)
{
    struct np_hq *hq = ctx;
    if (--hq->closing == 0 && hq->stopped)
        hq->stopped(hq->stopped_ctx);
}

static void on_handle_closed(uv_handle_t *handle)
{
    on_one_closed(handle->data);
}

/* The work has ended: another HQ may begin it at once. */
static void on_ledger_closed(void *ctx)
{
    struct np_hq *hq = ctx;
    if (hq->lease) {
        np_lease_release(hq->lease);
        np_lease_close(hq->lease, on_one_closed, hq);
        hq->lease = NULL;
    } else {
        on_one_closed(hq);
    }
}

static void on_work_closed(void *ctx)
{
    struct np_hq *hq = ctx;
    if (hq->ledger)
        np_ledger_close(hq->ledger, on_ledger_closed, hq);
    else
        on_ledger_closed(hq);
    hq->ledger = NULL;
}

static void on_issuance_closed(void *ctx)
{
    struct np_hq *hq = ctx;
    hq->issuance = NULL;
    if (hq->zone)
        np_zone_close(hq->zone, on_work_closed, hq);
    else
        on_work_closed(hq);
    hq->zone = NULL;
}

static void on_door_closed(void *ctx)
{
    struct np_hq *hq = ctx;
    hq->door = NULL;
    if (hq->web)
        np_web_close(hq->web, on_one_closed, hq);
    else
        on_one_closed(hq);
    hq->web = NULL;
}

static void close_all(struct np_hq *hq)
{
    hq->closing = 11; /* six handles, admin, renewer, retention, the door with HTTP behind it, issuance with the zone
                        and the lease behind */
    uv_close((uv_handle_t *)&hq->hear_timer, on_handle_closed);
    uv_close((uv_handle_t *)&hq->prepare, on_handle_closed);
    uv_close((uv_handle_t *)&hq->again, on_handle_closed);
    uv_close((uv_handle_t *)&hq->leaf_timer, on_handle_closed);
    uv_close((uv_handle_t *)&hq->ready_timer, on_handle_closed);
    uv_close((uv_handle_t *)&hq->others_timer, on_handle_closed);
    if (hq->admin) /* first: it looks at all the others */
        np_admin_close(hq->admin, on_one_closed, hq);
    else
        on_one_closed(hq);
    hq->admin = NULL;
    if (hq->renewer)
        np_renewer_close(hq->renewer, on_one_closed, hq);
    else
        on_one_closed(hq);
    hq->renewer = NULL;
    if (hq->retention)
        np_retention_close(hq->retention, on_one_closed, hq);
    else
        on_one_closed(hq);
    hq->retention = NULL;
    if (hq->door)
        np_door_close(hq->door, on_door_closed, hq);
    else
        on_door_closed(hq);
    if (hq->issuance)
        np_issuance_close(hq->issuance, on_issuance_closed, hq);
    else
        on_issuance_closed(hq);
}

static void on_drained(void *ctx)
{
    struct np_hq *hq = ctx;
    if (hq->closing == 0)
        close_all(hq);
}

void np_hq_stop(struct np_hq *hq, void (*stopped)(void *ctx), void *ctx)
{
    hq->stopping = true;
    hq->stopped = stopped;
    hq->stopped_ctx = ctx;
    if (!hq->door) {
        close_all(hq);
        return;
    }
    if (hq->web)
        np_web_last(hq->web);
    np_door_drain(hq->door, DRAIN_MS, on_drained, hq);
}

void np_hq_free(struct np_hq *hq)
{
    if (!hq)
        return;
    if (hq->store && np_store_commit(hq->store))
        np_error("the database did not take the last changes: %s", np_store_error(hq->store));
    np_store_close(hq->store);
    np_tls_free(hq->leaf.tls);
    np_factorycert_free(hq->factorycert);
    np_words_free(&hq->api.vanity.reserved);
    np_words_free(&hq->api.vanity.banned);
    np_secrets_deinit(&hq->secrets);
    np_wipe(&hq->api, sizeof hq->api);
    free(hq);
}

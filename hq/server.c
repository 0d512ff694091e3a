#include "hq/server.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "hq/acme/issuance.h"
#include "hq/acme/renewer.h"
#include "hq/admin/admin.h"
#include "hq/api/api.h"
#include "hq/api/web.h"
#include "hq/database.h"
#include "hq/frontdoor.h"
#include "hq/leaf.h"
#include "hq/lease.h"
#include "hq/retention.h"
#include "hq/secrets.h"
#include "hq/store/store.h"
#include "hq/zone/zone.h"
#include "resolver/base/error.h"
#include "resolver/base/file.h"
#include "resolver/base/log.h"
#include "resolver/base/text.h"

#define HANDSHAKE_MS          10000
#define REQUEST_MS            30000 /* a request is 8 KiB at most, and its answer takes milliseconds */
#define IDLE_MS               75000 /* longer than HTTP's own keep-alive, which ends in a friendlier way */
#define DISPLACE_IDLE_MS      1000  /* a small box signs its next request in less; it can come again */
#define DISPLACE_HANDSHAKE_MS 1000  /* a client with a slow line needs as much */
#define DISPLACE_ASKED_MS     5000  /* what comes in pieces for so long comes from nobody in need */
#define READY_CHECK_MS        20
#define DESCRIPTORS           128   /* for all but the connections, each of which needs 3 */
#define COMMITS_A_TURN        16    /* an order takes three steps; more would starve the sockets */
#define OTHERS_MS             2000  /* other programs write into the database, too: the operator's verbs */
#define DRAIN_MS              10000 /* for requests under way, at the end */
#define HEAR_MS               100   /* how soon the work of another HQ's requests begins */

struct np_hq {
    uv_loop_t *loop;
    struct np_hq_config config;
    struct np_hq_secrets secrets;
    struct np_store *store;
    struct np_api api;
    struct np_factorycert *factorycert; /* NULL: not taken */
    struct np_leaf leaf;
    struct np_door *door;
    struct np_web *web;
    struct np_zone *zone;
    struct np_issuance *issuance;
    struct np_renewer *renewer;
    struct np_retention *retention;
    struct np_admin *admin;   /* NULL: no operator's listener */
    struct np_ledger *ledger; /* NULL: none */
    struct np_lease *lease;   /* NULL: nobody else has our database */
    bool working;             /* zone, issuance, renewer and retention have been started */
    bool looked;              /* it is known whether they are to be */
    uv_prepare_t prepare;     /* commits what a turn wrote outside of HTTP requests */
    uv_idle_t again;          /* another turn at once: somebody waits for a commit */
    uv_timer_t leaf_timer, ready_timer, others_timer, hear_timer;
    void (*ready)(void *ctx, const char *listening);
    void *ready_ctx;
    void (*ended)(void *ctx);
    bool stopping;
    unsigned closing; /* closes that have not called back */
    void (*stopped)(void *ctx);
    void *stopped_ctx;
};

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

/* The end of a turn of HTTP. */
static void on_committed(void *ctx, int rc)
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

/* ---- Opening ---- */

/* Each connection needs three descriptors; what the system allows decides how many there can be. */
static unsigned connection_limit(const struct np_hq_config *config)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit))
        return (unsigned)config->connections;
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    getrlimit(RLIMIT_NOFILE, &limit);
    rlim_t possible = limit.rlim_cur > 2 * DESCRIPTORS ? (limit.rlim_cur - DESCRIPTORS) / 3 : DESCRIPTORS / 3;
    if (possible >= (rlim_t)config->connections)
        return (unsigned)config->connections;
    np_warning("connections = %lld, but the limit of open files allows %llu", (long long)config->connections,
               (unsigned long long)possible);
    return (unsigned)possible;
}

static void fill_api(struct np_hq *hq)
{
    const struct np_hq_config *c = &hq->config;
    struct np_api *api = &hq->api;
    memcpy(api->url, c->url, sizeof api->url);
    memcpy(api->zone, c->zone, sizeof api->zone);
    memcpy(api->nameservers, c->nameservers, sizeof api->nameservers);
    api->nameserver_count = c->nameserver_count;
    api->ttl_s = c->ttl_s;
    api->poll_s = c->poll_s;
    api->checkin_s = c->checkin_s;
    api->boot_jitter_s = c->boot_jitter_s;
    api->policy = (struct np_policy){.factory_secret = c->enrol[NP_CREDENTIAL_FACTORY_SECRET],
                                     .open = c->enrol[NP_CREDENTIAL_OPEN],
                                     .claim_code = c->enrol[NP_CREDENTIAL_CLAIM_CODE],
                                     .factory_certificate = hq->factorycert,
                                     .listed_only = c->listed_only,
                                     .serial_live = c->serial_names,
                                     .serial_recent = c->serial_enrolments,
                                     .network_recent = c->open_enrolments,
                                     .publish_shared = c->publish_shared,
                                     .publish_global = c->publish_global};
    memcpy(api->policy.master, hq->secrets.factory_master, sizeof api->policy.master);
    memcpy(api->pepper, hq->secrets.pepper, sizeof api->pepper);
    memcpy(api->nonce_key, hq->secrets.nonce_key, sizeof api->nonce_key);
    api->grant_key = hq->secrets.grant_key;
    api->store = hq->store;
}

static int read_words(const char *key, const char *path, struct np_words *out_words, char error[NP_HQ_ERROR_MAX])
{
    char why[NP_WORDS_ERROR_MAX];
    uint8_t *text;
    size_t len;
    if (!path[0])
        return 0;
    int rc = np_file_read(path, NP_WORDS_FILE_MAX, &text, &len);
    if (rc)
        return np_explain(error, NP_HQ_ERROR_MAX, rc, "%s = %s: %s", key, path, np_strerror(rc));
    rc = np_words_parse((const char *)text, len, out_words, why);
    free(text);
    return rc ? np_explain(error, NP_HQ_ERROR_MAX, rc, "%s = %s: %s", key, path, why) : 0;
}

/* What may be chosen. The lists are read where nobody may choose, too: a mistake in one shows before the day it counts.
 */
static int open_vanity(struct np_hq *hq, char error[NP_HQ_ERROR_MAX])
{
    const struct np_hq_config *c = &hq->config;
    struct np_vanity *vanity = &hq->api.vanity;
    *vanity = (struct np_vanity){.allowed = c->vanity,
                                 .least = c->vanity_least,
                                 .greatest = c->vanity_greatest,
                                 .days = c->vanity_days,
                                 .per_device = c->vanity_per_device,
                                 .per_network = c->vanity_per_network};
    int rc = read_words("vanity-reserved", c->vanity_reserved, &vanity->reserved, error);
    if (rc == 0)
        rc = read_words("vanity-banned", c->vanity_banned, &vanity->banned, error);
    if (rc)
        return rc;
    rc = np_vanity_reserve_host(vanity, c->zone, c->host);
    for (size_t i = 0; rc == 0 && i < c->nameserver_count; i++)
        rc = np_vanity_reserve_host(vanity, c->zone, c->nameservers[i]);
    return rc ? np_explain(error, NP_HQ_ERROR_MAX, rc, "reserved names: %s", np_strerror(rc)) : 0;
}

/* The vendor's own CAs, where factory certificates are taken. */
static int open_factorycert(struct np_hq *hq, char error[NP_HQ_ERROR_MAX])
{
    const char *path = hq->config.factory_ca;
    uint8_t *pem;
    size_t len;
    if (!path[0])
        return 0;
    int rc = np_file_read(path, NP_FACTORYCERT_FILE_MAX, &pem, &len);
    if (rc)
        return np_explain(error, NP_HQ_ERROR_MAX, rc, "factory-ca = %s: %s", path, np_strerror(rc));
    rc = np_factorycert_new((const char *)pem, len, hq->config.factory_dates, &hq->factorycert);
    free(pem);
    switch (rc) {
    case 0:
        return 0;
    case NP_E_MALFORMED:
        return np_explain(error, NP_HQ_ERROR_MAX, rc, "factory-ca = %s: all in it must be certificates of CAs, in PEM",
                          path);
    case NP_E_NOT_FOUND:
        return np_explain(error, NP_HQ_ERROR_MAX, rc, "factory-ca = %s: there is no certificate in it", path);
    default:
        return np_explain(error, NP_HQ_ERROR_MAX, rc, "factory-ca = %s: %s", path, np_strerror(rc));
    }
}

static int open_store(struct np_hq *hq, uid_t uid, gid_t gid, char error[NP_HQ_ERROR_MAX])
{
    struct np_database database = {0};
    int rc = np_database_open(hq->loop, &hq->config, uid, gid, &database, error);
    hq->store = database.store;
    hq->ledger = database.ledger;
    return rc;
}

static bool may_publish(void *ctx)
{
    return np_lease_held(ctx);
}

static bool may_issue(void *ctx)
{
    return np_lease_ask(ctx);
}

static void begin_work(void *ctx);
static void on_standby(void *ctx);
static void on_lost(void *ctx);

/* Where other HQs may have the database too, one of them works: see hq/lease.h. */
static int open_lease(struct np_hq *hq)
{
    const struct np_lease_events events = {.looked = on_standby, .won = begin_work, .lost = on_lost, .ctx = hq};
    if (!np_store_is_server(hq->config.database))
        return 0;
    int rc = np_lease_new(hq->loop, hq->store, &events, &hq->lease);
    if (rc)
        return rc;
    np_zone_guard(hq->zone, may_publish, hq->lease);
    np_issuance_guard(hq->issuance, may_issue, hq->lease);
    return 0;
}

static int open_zone(struct np_hq *hq, const struct np_config *config, char error[NP_HQ_ERROR_MAX])
{
    struct np_issuance_config issuance_config;
    char config_error[NP_CONFIG_ERROR_MAX], zone_error[NP_ZONE_ERROR_MAX];
    struct np_zone_config *zone_config = calloc(1, sizeof *zone_config);
    if (!zone_config)
        return np_explain(error, NP_HQ_ERROR_MAX, -ENOMEM, "out of memory");
    int rc = np_zone_config_load(config, zone_config, config_error);
    if (rc == 0)
        rc = np_issuance_config_load(config, &issuance_config, config_error);
    if (rc) {
        np_explain(error, NP_HQ_ERROR_MAX, rc, "%s", config_error);
        goto out;
    }
    rc = np_zone_new(hq->loop, zone_config, hq->store, &hq->zone, zone_error);
    if (rc) {
        np_explain(error, NP_HQ_ERROR_MAX, rc, "%s", zone_error);
        goto out;
    }
    rc = np_issuance_new(hq->loop, &issuance_config, hq->store, hq->zone, &hq->issuance);
    if (rc == 0)
        rc = open_lease(hq);
    if (rc == 0)
        rc = np_renewer_new(hq->loop, hq->store, &hq->renewer);
    if (rc == 0)
        rc = np_retention_new(hq->loop, hq->store, hq->config.silent_days * 86400, &hq->retention);
    if (rc)
        np_explain(error, NP_HQ_ERROR_MAX, rc, "issuance: %s", np_strerror(rc));
out:
    free(zone_config);
    return rc;
}

static int on_opened(void *ctx, int fd, const struct np_endpoint *client)
{
    struct np_hq *hq = ctx;
    return np_web_add(hq->web, fd, client);
}

/* The socket for a proxy, with the rights that let it in. uid and gid are those of `user`. */
static int listen_socket(struct np_hq *hq, const char *path, uid_t uid, gid_t gid, char error[NP_HQ_ERROR_MAX])
{
    const struct np_hq_config *c = &hq->config;
    if (c->socket_owner[0]) {
        const struct passwd *owner = getpwnam(c->socket_owner);
        if (!owner)
            return np_explain(error, NP_HQ_ERROR_MAX, NP_E_CONFIG, "there is no user '%s' (listen-owner)",
                              c->socket_owner);
        uid = owner->pw_uid;
    }
    if (c->socket_group[0]) {
        const struct group *group = getgrnam(c->socket_group);
        if (!group)
            return np_explain(error, NP_HQ_ERROR_MAX, NP_E_CONFIG, "there is no group '%s' (listen-group)",
                              c->socket_group);
        gid = group->gr_gid;
    }
    int rc = np_door_listen_path(hq->door, path, (mode_t)c->socket_mode, uid, gid);
    return rc ? np_explain(error, NP_HQ_ERROR_MAX, rc,
                           "cannot listen on unix:%s: %s (listen, listen-owner, listen-group)", path, np_strerror(rc))
              : 0;
}

static int open_door(struct np_hq *hq, uid_t uid, gid_t gid, char error[NP_HQ_ERROR_MAX])
{
    unsigned connections = connection_limit(&hq->config);
    struct np_web_events events = {.ctx = hq, .committed = on_committed};
    struct np_door_config config = {.connections_max = connections,
                                    .per_address_max = (unsigned)hq->config.connections_per_address,
                                    .handshake_ms = HANDSHAKE_MS,
                                    .request_ms = REQUEST_MS,
                                    .idle_ms = IDLE_MS,
                                    .displace_idle_ms = DISPLACE_IDLE_MS,
                                    .displace_handshake_ms = DISPLACE_HANDSHAKE_MS,
                                    .displace_asked_ms = DISPLACE_ASKED_MS,
                                    .opened = on_opened,
                                    .ctx = hq};
    /* MHD sees the end of a connection only in its next turn, when another may have its place already. */
    int rc = np_web_new(hq->loop, &hq->api, connections + NP_DOOR_REFUSALS_MAX + connections / 8, &events, &hq->web);
    if (rc == 0)
        rc = np_door_new(hq->loop, hq->leaf.tls, &config, &hq->door);
    if (rc)
        return np_explain(error, NP_HQ_ERROR_MAX, rc, "HTTP: %s", np_strerror(rc));
    for (size_t i = 0; i < hq->config.listen_count; i++) {
        char where[NP_ADDR_TEXT_MAX];
        rc = np_door_listen(hq->door, &hq->config.listen[i]);
        if (rc)
            return np_explain(error, NP_HQ_ERROR_MAX, rc, "cannot listen on %s: %s (listen)",
                              np_endpoint_format(&hq->config.listen[i], where), np_strerror(rc));
    }
    for (size_t i = 0; rc == 0 && i < hq->config.socket_count; i++)
        rc = listen_socket(hq, hq->config.sockets[i], uid, gid, error);
    return rc;
}

/* The devices are served whether or not the operator is: a port that is taken is told, and is no reason to end. */
static void open_admin(struct np_hq *hq)
{
    char error[NP_ADMIN_ERROR_MAX];
    if (hq->config.admin_listen.addr.family == AF_UNSPEC)
        return;
    if (np_admin_new(hq->loop, &hq->config.admin_listen, hq->config.admin_token, &hq->admin, error))
        np_error("no operator's listener: %s", error);
}

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

int np_hq_new(uv_loop_t *loop, const struct np_config *config, uid_t uid, gid_t gid, struct np_hq **out_hq,
              char error[NP_HQ_ERROR_MAX])
{
    char config_error[NP_CONFIG_ERROR_MAX], secrets_error[NP_SECRETS_ERROR_MAX];
    struct np_hq *hq = calloc(1, sizeof *hq);
    if (!hq)
        return np_explain(error, NP_HQ_ERROR_MAX, -ENOMEM, "out of memory");
    hq->loop = loop;
    uv_prepare_init(loop, &hq->prepare);
    uv_idle_init(loop, &hq->again);
    uv_timer_init(loop, &hq->leaf_timer);
    uv_timer_init(loop, &hq->ready_timer);
    uv_timer_init(loop, &hq->others_timer);
    uv_timer_init(loop, &hq->hear_timer);
    hq->prepare.data = hq->again.data = hq->leaf_timer.data = hq->ready_timer.data = hq->others_timer.data =
        hq->hear_timer.data = hq;
    *out_hq = hq; /* also after an error: what is open already is closed by np_hq_stop */
    int rc = np_hq_config_read(config, &hq->config, config_error);
    if (rc)
        return np_explain(error, NP_HQ_ERROR_MAX, rc, "%s", config_error);
    rc = np_secrets_load(hq->config.secrets, &hq->secrets, secrets_error);
    if (rc)
        return np_explain(error, NP_HQ_ERROR_MAX, rc, "%s; 'nameplate-hq init' makes the secrets of a new HQ",
                          secrets_error);
    rc = open_factorycert(hq, error);
    if (rc == 0)
        rc = open_vanity(hq, error);
    hq->leaf.config = &hq->config;
    hq->leaf.secrets = &hq->secrets;
    if (rc == 0 && hq->config.listen_count > 0) /* else only behind a proxy */
        rc = np_leaf_open(&hq->leaf, error);
    if (rc == 0)
        rc = open_store(hq, uid, gid, error);
    if (rc)
        return rc;
    fill_api(hq);
    rc = open_zone(hq, config, error);
    if (rc == 0)
        hq->api.outlook = np_issuance_outlook(hq->issuance);
    if (rc == 0)
        rc = open_door(hq, uid, gid, error);
    if (rc)
        return rc;
    open_admin(hq);
    rc = np_issuance_load(hq->issuance);
    return rc ? np_explain(error, NP_HQ_ERROR_MAX, rc, "%s: the ACME account key cannot be read or made: %s",
                           hq->config.secrets, np_strerror(rc))
              : 0;
}

/* ---- Running ---- */

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

static void begin_work(void *ctx)
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

static void on_standby(void *ctx)
{
    struct np_hq *hq = ctx;
    if (!hq->looked)
        np_notice("standing by: another HQ does the work behind the requests");
    hq->looked = true;
    np_issuance_watch(hq->issuance);
}

static void on_lost(void *ctx)
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

/* Makes HQ's parts from its configuration, in the order in which they need each other. */
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "hq/server_private.h"
#include "resolver/base/error.h"
#include "resolver/base/file.h"
#include "resolver/base/log.h"

#define HANDSHAKE_MS          10000
#define REQUEST_MS            30000 /* a request is 8 KiB at most, and its answer takes milliseconds */
#define IDLE_MS               75000 /* longer than HTTP's own keep-alive, which ends in a friendlier way */
#define DISPLACE_IDLE_MS      1000  /* a small box signs its next request in less; it can come again */
#define DISPLACE_HANDSHAKE_MS 1000  /* a client with a slow line needs as much */
#define DISPLACE_ASKED_MS     5000  /* what comes in pieces for so long comes from nobody in need */
#define DESCRIPTORS           128   /* for all but the connections, each of which needs 3 */

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

/* Where other HQs may have the database too, one of them works: see hq/lease.h. */
static int open_lease(struct np_hq *hq)
{
    const struct np_lease_events events = {
        .looked = np_hq_on_standby, .won = np_hq_begin_work, .lost = np_hq_on_lost, .ctx = hq};
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
    struct np_web_events events = {.ctx = hq, .committed = np_hq_on_committed};
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

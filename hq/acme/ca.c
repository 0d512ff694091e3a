/* One CA of the issuance: its account, what an earlier life left there, and whether it works. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "hq/acme/issuance_private.h"
#include "resolver/base/error.h"
#include "resolver/base/log.h"

#define DOWN_LOOK_MS INT64_C(30000) /* while a CA is down */

static int64_t loop_ms(const struct np_issuance *issuance)
{
    return (int64_t)uv_now(issuance->loop) + 1; /* 0 means never there */
}

void np_ca_init(struct np_ca *ca, struct np_issuance *issuance, size_t index)
{
    const struct np_ca_config *config = &issuance->config.cas[index];
    *ca = (struct np_ca){.issuance = issuance, .index = index, .config = config};
    np_ari_poller_init(&ca->windows, issuance->loop, issuance->store, config->directory, index == 0);
    ca->account.lock_fd = -1;
    ca->meter = (struct np_meter){.store = issuance->store, .ca = config->directory, .limits = &config->limits};
}

struct np_ca *np_ca_find(struct np_issuance *issuance, const char *directory)
{
    for (size_t i = 0; i < issuance->ca_count; i++) {
        if (!directory[0] || strcmp(issuance->cas[i].config->directory, directory) == 0)
            return &issuance->cas[i];
    }
    return NULL;
}

/* ---- The account ---- */

static bool is_identity(const struct np_acme_directory *directory, const char *domain)
{
    for (size_t i = 0; i < directory->caa_identity_count; i++) {
        if (strcmp(directory->caa_identities[i], domain) == 0)
            return true;
    }
    return false;
}

/* The account's URL into the CAA records that are this CA's: by what it says of itself, else the one at its place. */
static void bind_caa(struct np_ca *ca, const char *url)
{
    const struct np_zone_config *zone = np_zone_settings(ca->issuance->zone);
    const struct np_acme_directory *directory = np_acme_directory(ca->acme);
    bool bound = false;
    for (size_t i = 0; i < zone->caa_count; i++) {
        if (directory->caa_identity_count ? !is_identity(directory, zone->caa[i]) : i != ca->index)
            continue;
        bound = true;
        if (np_zone_set_account(ca->issuance->zone, i, url))
            np_warning("acme: the account's URL is too long for the CAA record: %s", url);
    }
    if (zone->caa_count && !bound && directory->caa_identity_count)
        np_warning("acme: 'caa' does not name %s, so that it will issue nothing: add \"%s\"", ca->config->directory,
                   directory->caa_identities[0]);
}

/* What the configuration wants of the CA and cannot have. */
static void check_offers(const struct np_ca *ca)
{
    const struct np_acme_directory *directory = np_acme_directory(ca->acme);
    char offered[NP_ACME_PROFILES_MAX * (NP_ACME_PROFILE_LEN + 2) + 1] = "";
    size_t used = 0;
    if (!ca->config->profile[0] || np_acme_offers_profile(directory, ca->config->profile))
        return;
    for (size_t i = 0; i < directory->profile_count; i++)
        used += (size_t)snprintf(offered + used, sizeof offered - used, "%s%s", i ? ", " : "", directory->profiles[i]);
    np_error("acme: %s offers no profile '%s' (%s-profile; it has: %s): certificates are made with its default one",
             ca->config->directory, ca->config->profile, ca->config->prefix, used ? offered : "none");
}

/* ---- Which account, of several HQs ---- */

static bool is_key(const struct np_acme_key *key, const char *thumbprint)
{
    return key && strcmp(np_acme_key_thumbprint(key), thumbprint) == 0;
}

/* May an account be made where the CA knows none for our key? Not where HQ has one already, of another key: then ours
 * is from before a rollover, which another HQ's folder has seen. */
static bool may_make(const struct np_ca *ca, const struct np_store_account *known)
{
    if (!known->key[0])
        return true;
    return is_key(ca->account.key, known->key) && (!known->next[0] || is_key(ca->account.next, known->next));
}

static void on_identify(void *ctx, struct np_acme_identity *identity)
{
    struct np_ca *ca = ctx;
    struct np_store_account known;
    np_account_refresh(&ca->account);
    identity->key = ca->account.key;
    identity->next = ca->account.next;
    int rc = np_store_account_get(ca->issuance->store, ca->config->directory, &known);
    identity->found_only = rc != 0 || !may_make(ca, &known);
    if (rc == 0 && identity->found_only && !ca->foreign)
        np_error(
            "acme: %s is not the key of HQ's account %s: copy the file from the HQ whose 'ca rollover' has changed "
            "it (its file is read again by itself); where that is lost, 'nameplate-hq ca forget' lets a new "
            "account be made",
            ca->account.path, known.url);
    ca->foreign = identity->found_only;
}

static bool on_replaced(void *ctx)
{
    struct np_ca *ca = ctx;
    const struct np_acme_key *used = np_acme_key(ca->acme);
    np_account_refresh(&ca->account);
    return used != ca->account.key && used != ca->account.next;
}

/* The account is there: what all HQs are to know of it. */
static void note_account(struct np_ca *ca, const char *url)
{
    struct np_store *store = ca->issuance->store;
    struct np_store_account known, now = {.next = ""};
    snprintf(now.url, sizeof now.url, "%s", url);
    snprintf(now.key, sizeof now.key, "%s", np_acme_key_thumbprint(np_acme_key(ca->acme)));
    int rc = np_store_account_get(store, ca->config->directory, &known);
    if (rc == 0 && strcmp(known.url, now.url) == 0 && strcmp(known.key, now.key) == 0 && !known.next[0])
        return;
    if (rc == 0 && known.url[0] && strcmp(known.url, now.url) != 0)
        np_warning("acme: HQ's account is %s now, and not %s any more", now.url, known.url);
    if (rc == 0)
        rc = np_store_account_put(store, ca->config->directory, &now);
    if (rc)
        np_error("acme: account %s cannot be noted: %s", now.url, np_strerror(rc));
}

static void on_adopted(void *ctx)
{
    struct np_ca *ca = ctx;
    ca->issuance->under_way_wanted = true;
    np_issuance_fill(ca->issuance);
}

static void on_account(void *ctx, const char *url)
{
    struct np_ca *ca = ctx;
    np_ca_note(&ca->health, NP_CA_ACCOUNT, true, 0);
    note_account(ca, url);
    bind_caa(ca, url);
    check_offers(ca);
    np_revoker_wake(&ca->issuance->revoker);
    np_ari_poller_wake(&ca->windows, 0);
    if (!ca->adopt.running && !ca->adopt.finished)
        np_adopt_start(&ca->adopt, ca->acme, on_adopted, ca);
    np_issuance_fill(ca->issuance);
}

static void on_trouble(void *ctx)
{
    struct np_ca *ca = ctx;
    np_ca_note(&ca->health, NP_CA_ACCOUNT, false, loop_ms(ca->issuance));
    np_issuance_look_again(ca->issuance, 0);
}

/* What an earlier life has left at this CA. */
struct leftovers {
    struct np_ca *ca;
    bool begun; /* an order may be there without our knowing its URL */
};

static int note_leftover(void *ctx, const struct np_order *order)
{
    struct leftovers *leftovers = ctx;
    if (np_ca_find(leftovers->ca->issuance, order->ca) != leftovers->ca)
        return 0;
    if (order->state == NP_ORDER_QUEUED) {
        leftovers->begun = true;
        return 0;
    }
    return np_adopt_exclude(&leftovers->ca->adopt, order->order_url);
}

int np_ca_load(struct np_ca *ca)
{
    struct np_issuance *issuance = ca->issuance;
    struct np_acme_events events = {.ready = on_account,
                                    .trouble = on_trouble,
                                    .identify = on_identify,
                                    .replaced = on_replaced,
                                    .allowed = issuance->allowed,
                                    .allowed_ctx = issuance->allowed_ctx,
                                    .ctx = ca};
    int rc = np_account_open(&ca->account, issuance->config.secrets, ca->config->prefix, false);
    if (rc) {
        np_error("acme: %s: %s%s", ca->account.path, np_strerror(rc),
                 rc == -EBUSY ? ": 'nameplate-hq ca rollover' is changing it" : "");
        return rc;
    }
    if (ca->account.next)
        np_warning("acme: a rollover of %s was interrupted: finish it with 'nameplate-hq ca rollover'",
                   ca->account.path);
    rc = np_acme_new(issuance->loop, ca->config, ca->account.key, ca->account.next, &events, &ca->acme);
    if (rc)
        np_error("acme: %s: %s", ca->config->directory, np_strerror(rc));
    return rc;
}

void np_ca_start(struct np_ca *ca)
{
    struct leftovers leftovers = {.ca = ca};
    int rc = np_store_orders_under_way(ca->issuance->store, note_leftover, &leftovers);
    if (rc || !leftovers.begun)
        np_adopt_skip(&ca->adopt);
    np_acme_start(ca->acme);
    np_ari_poller_start(&ca->windows, ca->acme);
}

void np_ca_close(struct np_ca *ca, void (*done)(void *ctx), void *ctx)
{
    np_acme_close(ca->acme, done, ctx);
    ca->acme = NULL;
}

void np_ca_deinit(struct np_ca *ca)
{
    np_account_close(&ca->account);
    np_adopt_deinit(&ca->adopt);
}

/* ---- Does it work? ---- */

static bool is_down(const struct np_ca *ca)
{
    return np_ca_is_down(&ca->health, ca->issuance->config.switch_after_ms, loop_ms(ca->issuance));
}

bool np_ca_is_good(const struct np_ca *ca)
{
    return np_acme_is_ready(ca->acme) && !is_down(ca);
}

struct np_ca *np_ca_choose(struct np_issuance *issuance)
{
    /* Where none is good the first one that is not down yet: its client waits, and so do orders. */
    for (size_t i = 0; i < issuance->ca_count; i++) {
        if (!is_down(&issuance->cas[i]))
            return &issuance->cas[i];
    }
    return &issuance->cas[0];
}

bool np_ca_has_better(const struct np_ca *ca)
{
    if (!is_down(ca))
        return false;
    for (size_t i = 0; i < ca->issuance->ca_count; i++) {
        if (i != ca->index && np_ca_is_good(&ca->issuance->cas[i]))
            return true;
    }
    return false;
}

static void tell(struct np_ca *ca, bool down)
{
    ca->down = down;
    ca->issuance->under_way_wanted = true; /* what waits for this CA's list of orders may go elsewhere */
    if (!down)
        np_notice("acme: %s works again", ca->config->directory);
    else
        np_warning("acme: %s has not worked for %lld s%s", ca->config->directory,
                   (long long)ca->issuance->config.switch_after_ms / 1000,
                   np_ca_has_better(ca) ? ": orders go to another CA" : "");
}

/* Requests that wait for an account that does not come would wait for ever. */
static void take_away(struct np_ca *ca)
{
    for (struct np_job *job = ca->issuance->jobs, *next; job; job = next) {
        next = job->next;
        if (job->ca == ca && np_acme_is_waiting(ca->acme, job))
            np_job_leave(job);
    }
}

int64_t np_ca_check(struct np_issuance *issuance)
{
    int64_t look_ms = INT64_MAX;
    for (size_t i = 0; i < issuance->ca_count; i++) {
        struct np_ca *ca = &issuance->cas[i];
        bool down = is_down(ca);
        int64_t at_ms = np_ca_down_at(&ca->health, issuance->config.switch_after_ms);
        if (down != ca->down)
            tell(ca, down);
        if (np_ca_has_better(ca))
            take_away(ca);
        if (down && look_ms > DOWN_LOOK_MS)
            look_ms = DOWN_LOOK_MS;
        if (!down && at_ms != INT64_MAX && at_ms - loop_ms(issuance) < look_ms)
            look_ms = at_ms - loop_ms(issuance);
    }
    return look_ms;
}

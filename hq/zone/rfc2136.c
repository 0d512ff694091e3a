/* The publisher to other name servers: dirty names and challenge values go to each of the servers that are updated, by
 * way of one target each (zone/target.h).
 *
 * A target walks over the dirty marks in the order of their versions, at its own pace: one that is away holds its place
 * and nobody else. A mark is cleared when every target of its zone has passed it and has nothing left to do for its
 * name. After a restart everything that is still marked is written again. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "hq/zone/backend.h"
#include "hq/zone/feed.h"
#include "hq/zone/records.h"
#include "hq/zone/target.h"
#include "resolver/base/error.h"
#include "resolver/base/file.h"
#include "resolver/base/log.h"
#include "resolver/base/text.h"

#define SLOTS_MAX     (2 * NP_ZONE_SERVERS_MAX)
#define OWN           "" /* the item of the zone's own records */
#define NAME_RRS      9  /* a name with two addresses */
#define CHALLENGE_RRS 2
#define TICK_MS       1000

struct rfc2136;

/* One target and how far it is. */
struct slot {
    struct rfc2136 *backend;
    struct np_target *target;
    size_t index;   /* among those of its zone */
    bool challenge; /* of the challenge zone */
    int64_t passed; /* marks up to this version were taken */
    bool told_dead;
};

struct rfc2136 {
    struct np_zone_core *core;
    struct np_records_zone zone;
    char challenge_origin[NP_NAME_MAX + 1];
    struct np_tsig_key keys[2]; /* of the device zone, of the challenge zone */
    struct slot slots[SLOTS_MAX];
    size_t slot_count;
    struct np_store_waiter committed;
    uv_timer_t tick;
    bool closing;
    void (*closed)(void *ctx);
    void *closed_ctx;
};

static int64_t now_ms(const struct rfc2136 *backend)
{
    return (int64_t)uv_now(backend->core->loop);
}

static void wake(void *self)
{
    struct rfc2136 *backend = self;
    if (!backend->closing)
        np_store_after_commit(backend->core->store, &backend->committed);
}

/* ---- Names of the challenge zone ---- */

static bool is_challenge_name(const struct rfc2136 *backend, const char *name)
{
    return np_feed_label(backend->challenge_origin, name) > 0;
}

/* "nifty-babbage.devices.example" <-> "nifty-babbage.acme.devices.example": the same label below another origin. */
static void move_name(const char *name, const char *origin, char out[NP_NAME_MAX + 1])
{
    if ((size_t)snprintf(out, NP_NAME_MAX + 1, "%.*s.%s", (int)strcspn(name, "."), name, origin) > NP_NAME_MAX)
        out[0] = 0; /* the challenge name of a name that is itself nearly too long: refused by np_records_challenge */
}

/* ---- What is to be written ---- */

/* A walk over new marks into a outbox. */
struct intake {
    struct slot *slot;
    size_t taken;
};

static int take_mark(void *ctx, const struct np_zone_name *name)
{
    struct intake *intake = ctx;
    struct slot *slot = intake->slot;
    if (is_challenge_name(slot->backend, name->name) == slot->challenge &&
        !np_outbox_add(np_target_outbox(slot->target), name->name, now_ms(slot->backend)))
        return 1;
    slot->passed = name->version;
    intake->taken++;
    return 0;
}

static void take_marks(struct slot *slot)
{
    struct intake intake = {slot, 0};
    size_t room = np_outbox_room(np_target_outbox(slot->target));
    if (room == 0)
        return;
    int rc = np_store_dirty_after(slot->backend->core->store, slot->passed, room, take_mark, &intake);
    if (rc < 0)
        np_error("zone: dirty names cannot be read: %s", np_store_error(slot->backend->core->store));
    else if (intake.taken == room)
        wake(slot->backend); /* marks of the other zone took the places: there may be more */
}

/* Gives changed challenge values to all servers of their zone. One that has no place any more (it was away for long)
 * finds the name by its mark. */
static void take_challenges(struct rfc2136 *backend)
{
    for (struct np_challenge *c = backend->core->challenges.first; c; c = c->next) {
        char name[NP_NAME_MAX + 1];
        bool full = false;
        if (c->sent == c->version)
            continue;
        move_name(c->name, backend->challenge_origin, name);
        for (size_t i = 0; i < backend->slot_count; i++) {
            struct slot *slot = &backend->slots[i];
            if (slot->challenge && !np_outbox_add(np_target_outbox(slot->target), name, now_ms(backend)))
                full = true;
        }
        int rc = full ? np_store_name_mark(backend->core->store, name) : 0;
        if (rc == 0)
            c->sent = c->version;
    }
}

static void on_committed(void *ctx, int rc)
{
    struct rfc2136 *backend = ctx;
    (void)rc; /* what was lost is not dirty; what is there may be published */
    if (backend->core->allowed && !backend->core->allowed(backend->core->allowed_ctx))
        return; /* the next tick asks again */
    take_challenges(backend);
    for (size_t i = 0; i < backend->slot_count; i++) {
        take_marks(&backend->slots[i]);
        np_target_pump(backend->slots[i].target);
    }
}

static int describe_challenge(struct rfc2136 *backend, struct np_outbox_item *item, struct np_records *out_records)
{
    static const char none[NP_ZONE_TXT_MAX][NP_ZONE_TXT_LEN + 1];
    char device[NP_NAME_MAX + 1];
    move_name(item->name, backend->core->config.origin, device);
    const struct np_challenge *c = np_challenges_find(&backend->core->challenges, device);
    item->challenge = c ? c->version : 0;
    return np_records_challenge(&backend->zone, item->name, c ? c->values : none, c ? c->count : 0, out_records);
}

static int describe(void *ctx, struct np_outbox_item *item, struct np_records *out_records)
{
    struct slot *slot = ctx;
    struct rfc2136 *backend = slot->backend;
    const struct np_zone_core *core = backend->core;
    struct np_zone_name name;
    item->mark = 0;
    item->challenge = 0;
    if (strcmp(item->name, OWN) == 0)
        return np_records_own(&backend->zone, &core->config, &core->accounts, out_records);
    int rc = np_store_name_get(core->store, item->name, &name);
    if (rc)
        return rc;
    item->mark = name.version;
    rc = slot->challenge ? describe_challenge(backend, item, out_records)
                         : np_records_name(&backend->zone, &name, out_records);
    if (rc != NP_E_NAME)
        return rc;
    np_warning("zone: %s is not directly below %s: not published", item->name, core->config.origin);
    out_records->count = out_records->cleared_count = 0; /* its mark goes with an update that says nothing */
    return 0;
}

/* ---- What was written ---- */

/* Has every server of that zone but `but` what the name had at this version? */
static bool settled(struct rfc2136 *backend, const struct slot *but, const char *name, int64_t version)
{
    for (size_t i = 0; i < backend->slot_count; i++) {
        const struct slot *slot = &backend->slots[i];
        if (slot == but || slot->challenge != but->challenge)
            continue;
        if (slot->passed < version || np_outbox_find(np_target_outbox(slot->target), name))
            return false;
    }
    return true;
}

/* Confirms what all servers have that somebody waits for. c must not be used afterwards. */
static void settle_challenge(struct rfc2136 *backend, struct np_challenge *c)
{
    uint64_t version = UINT64_MAX;
    for (size_t i = 0; i < backend->slot_count; i++) {
        const struct slot *slot = &backend->slots[i];
        if (slot->challenge && !np_target_is_dead(slot->target, backend->core->config.skip_ms) &&
            c->confirmed[slot->index] < version)
            version = c->confirmed[slot->index];
    }
    if (version != UINT64_MAX && version > 0)
        np_challenges_confirm(&backend->core->challenges, c->name, version);
}

static void done(void *ctx, struct np_target *target, const struct np_outbox_item *item)
{
    struct slot *slot = ctx;
    struct rfc2136 *backend = slot->backend;
    (void)target;
    if (item->mark && settled(backend, slot, item->name, item->mark)) {
        int rc = np_store_dirty_done(backend->core->store, item->name, item->mark);
        if (rc)
            np_error("zone: mark of %s: %s", item->name, np_strerror(rc));
    }
    if (!slot->challenge || !item->challenge)
        return;
    char device[NP_NAME_MAX + 1];
    move_name(item->name, backend->core->config.origin, device);
    struct np_challenge *c = np_challenges_find(&backend->core->challenges, device);
    if (!c)
        return;
    c->confirmed[slot->index] = item->challenge;
    settle_challenge(backend, c);
}

/* A server that has just become dead, or alive, changes what is waited for. */
static void settle_all(struct rfc2136 *backend)
{
    const struct np_challenges *challenges = &backend->core->challenges;
    size_t count = 0;
    char(*names)[NP_NAME_MAX + 1] = calloc(challenges->count + 1, sizeof *names);
    if (!names)
        return; /* the next tick tries again */
    for (const struct np_challenge *c = challenges->first; c; c = c->next)
        memcpy(names[count++], c->name, sizeof *names);
    for (size_t i = 0; i < count; i++) {
        struct np_challenge *c = np_challenges_find(challenges, names[i]);
        if (c)
            settle_challenge(backend, c);
    }
    free(names);
}

static void on_tick(uv_timer_t *timer)
{
    struct rfc2136 *backend = timer->data;
    bool any_dead = false;
    for (size_t i = 0; i < backend->slot_count; i++) {
        struct slot *slot = &backend->slots[i];
        bool dead = slot->challenge && np_target_is_dead(slot->target, backend->core->config.skip_ms);
        if (dead && !slot->told_dead)
            np_error("dns: %s has failed for %lld s: challenges go on without it", np_target_title(slot->target),
                     (long long)backend->core->config.skip_ms / 1000);
        slot->told_dead = dead;
        any_dead = any_dead || dead;
    }
    if (any_dead && backend->core->challenges.count)
        settle_all(backend);
}

/* ---- Life ---- */

static void wants(void *ctx)
{
    wake(((struct slot *)ctx)->backend);
}

/* The zone's own records to one server. One that is away with a full outbox gets them at the next start. */
static void add_own(void *ctx)
{
    struct slot *slot = ctx;
    if (!slot->challenge && !np_outbox_add(np_target_outbox(slot->target), OWN, now_ms(slot->backend)))
        np_warning("dns: %s does not get the zone's own records now", np_target_title(slot->target));
}

static void add_own_to_all(void *self)
{
    struct rfc2136 *backend = self;
    for (size_t i = 0; i < backend->slot_count; i++)
        add_own(&backend->slots[i]);
    wake(backend);
}

static int start(void *self)
{
    struct rfc2136 *backend = self;
    uv_timer_start(&backend->tick, on_tick, TICK_MS, TICK_MS);
    add_own_to_all(backend);
    return 0;
}

static bool ready(const void *self)
{
    (void)self;
    return true; /* devices are served whether or not a name server is up */
}

static int child_pid(const void *self)
{
    (void)self;
    return 0;
}

static void free_backend(struct rfc2136 *backend)
{
    np_wipe(backend->keys, sizeof backend->keys);
    free(backend);
}

static void on_tick_closed(uv_handle_t *handle)
{
    struct rfc2136 *backend = handle->data;
    void (*closed)(void *ctx) = backend->closed;
    void *ctx = backend->closed_ctx;
    free_backend(backend);
    closed(ctx);
}

static void close_targets(struct rfc2136 *backend)
{
    for (size_t i = 0; i < backend->slot_count; i++)
        np_target_close(backend->slots[i].target);
    backend->slot_count = 0;
}

static void close_all(void *self, void (*closed)(void *ctx), void *ctx)
{
    struct rfc2136 *backend = self;
    backend->closing = true;
    backend->closed = closed;
    backend->closed_ctx = ctx;
    np_store_waiter_cancel(backend->core->store, &backend->committed);
    close_targets(backend);
    uv_close((uv_handle_t *)&backend->tick, on_tick_closed);
}

int np_zone_key_load(const char *path, struct np_tsig_key *out_key, char error[NP_ZONE_ERROR_MAX])
{
    uint8_t *text = NULL;
    size_t len = 0;
    struct stat st;
    int rc = np_file_read(path, NP_TSIG_FILE_MAX, &text, &len);
    if (rc) {
        snprintf(error, NP_ZONE_ERROR_MAX, "%s: %s (update-key); 'tsig-keygen NAME' makes a key", path,
                 np_strerror(rc));
        return rc;
    }
    rc = np_tsig_key_parse((const char *)text, out_key);
    np_wipe(text, len);
    free(text);
    if (rc == NP_E_UNKNOWN)
        snprintf(error, NP_ZONE_ERROR_MAX, "%s: HQ signs with hmac-sha256 or hmac-sha512 alone", path);
    else if (rc)
        snprintf(error, NP_ZONE_ERROR_MAX,
                 "%s is not the file of one TSIG key, as tsig-keygen writes it: key \"NAME\" { algorithm hmac-sha256; "
                 "secret \"...\"; };",
                 path);
    else if (stat(path, &st) == 0 && (st.st_mode & 077))
        np_warning("%s can be read by others than its owner: who has the key can change the zone", path);
    return rc;
}

static int add_targets(struct rfc2136 *backend, const struct np_zone_servers *servers, bool challenge)
{
    for (size_t i = 0; i < servers->count; i++) {
        struct slot *slot = &backend->slots[backend->slot_count];
        const struct np_target_owner owner = {slot, wants, describe, done, add_own};
        *slot = (struct slot){.backend = backend, .index = i, .challenge = challenge};
        int rc = np_target_new(backend->core->loop, &servers->servers[i],
                               challenge ? backend->challenge_origin : backend->core->config.origin,
                               &backend->keys[challenge], challenge ? CHALLENGE_RRS : NAME_RRS, &owner, &slot->target);
        if (rc)
            return rc;
        backend->slot_count++;
    }
    return 0;
}

static size_t report(const void *self, struct np_zone_update_report *out, size_t max)
{
    const struct rfc2136 *backend = self;
    size_t count = backend->slot_count < max ? backend->slot_count : max;
    for (size_t i = 0; i < count; i++)
        np_target_report(backend->slots[i].target, &out[i]);
    return count;
}

int np_rfc2136_new(struct np_zone_core *core, struct np_zone_backend *out_backend, char error[NP_ZONE_ERROR_MAX])
{
    const struct np_zone_config *config = &core->config;
    struct rfc2136 *backend = calloc(1, sizeof *backend);
    if (!backend)
        return -ENOMEM;
    backend->core = core;
    backend->committed = (struct np_store_waiter){.done = on_committed, .ctx = backend};
    int rc = np_records_zone_init(&backend->zone, config);
    if (rc == 0 && snprintf(backend->challenge_origin, sizeof backend->challenge_origin, "acme.%s", config->origin) >=
                       (int)sizeof backend->challenge_origin)
        rc = NP_E_LIMIT;
    if (rc)
        snprintf(error, NP_ZONE_ERROR_MAX, "zone = %s: %s", config->origin, np_strerror(rc));
    if (rc == 0)
        rc = np_zone_key_load(config->update.key_path, &backend->keys[0], error);
    if (rc == 0)
        rc = np_zone_key_load(config->challenge.key_path, &backend->keys[1], error);
    if (rc) {
        free_backend(backend);
        return rc;
    }
    rc = add_targets(backend, &config->update, false);
    if (rc == 0)
        rc = add_targets(backend, &config->challenge, true);
    if (rc) {
        close_targets(backend);
        free_backend(backend);
        return rc;
    }
    uv_timer_init(core->loop, &backend->tick);
    backend->tick.data = backend;
    *out_backend = (struct np_zone_backend){backend, start, wake, add_own_to_all, ready, child_pid, report, close_all};
    return 0;
}

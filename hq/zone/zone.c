#include "hq/zone/zone.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "hq/store/store.h"
#include "hq/zone/feed.h"
#include "hq/zone/link.h"
#include "resolver/base/error.h"
#include "resolver/base/log.h"

#define CHANGES_MAX  200 /* names in one batch of changes */
#define CHANGE_BYTES ((size_t)NP_FEED_HEAD_LEN + CHANGES_MAX * 160 + NP_ZONE_CHALLENGES_MAX)

/* A name's challenge values. */
struct challenge {
    struct challenge *next;
    char name[NP_NAME_MAX + 1];
    char values[NP_ZONE_TXT_MAX][NP_ZONE_TXT_LEN + 1];
    size_t count;
    uint64_t batch; /* that carries the newest values; 0: none yet */
};

/* Somebody who waits for a change to be confirmed. */
struct waiter {
    struct waiter *next;
    struct challenge *challenge;
    uint64_t batch; /* 0: not sent yet */
    np_zone_done_fn *done;
    void *ctx;
};

/* A dirty name that is on its way to the child. */
struct sent_name {
    char name[NP_NAME_MAX + 1];
    int64_t version;
};

struct np_zone {
    struct np_feed_setup setup;
    struct np_store *store;
    struct np_link *link;
    struct np_store_waiter committed;
    uint64_t last_batch, live_batch; /* live_batch: the snapshot's last one, until it is acknowledged */
    uint64_t change_batch;           /* the changes under way; 0: none */
    bool live, wanted, closing;
    uint32_t serial, challenge_serial;
    struct challenge *challenges;
    size_t challenge_count;
    struct waiter *waiters;
    struct sent_name sent[CHANGES_MAX];
    size_t sent_count;
    void (*closed)(void *ctx);
    void *closed_ctx;
};

/* ---- Snapshot ---- */

/* Batches of a snapshot being cut. */
struct cutter {
    struct np_zone *zone;
    struct np_writer w;
    uint8_t flags;
    int rc;
};

static int open_batch(struct cutter *cutter)
{
    struct np_zone *zone = cutter->zone;
    uint8_t *data = malloc(NP_FEED_BATCH_MAX);
    if (!data)
        return -ENOMEM;
    cutter->w = np_writer_make(data, NP_FEED_BATCH_MAX);
    struct np_feed_head head = {++zone->last_batch, zone->serial, zone->challenge_serial, cutter->flags};
    np_feed_begin(&cutter->w, &head);
    cutter->flags = 0;
    return 0;
}

static void send_batch(struct cutter *cutter)
{
    np_link_send_take(cutter->zone->link, NP_FEED_DATA, cutter->w.data, cutter->w.pos);
    cutter->w.data = NULL;
}

static int cut_name(void *ctx, const struct np_zone_name *name)
{
    struct cutter *cutter = ctx;
    int rc = np_feed_name(&cutter->w, cutter->zone->setup.config.origin, name);
    if (rc == NP_E_LIMIT) {
        send_batch(cutter);
        rc = open_batch(cutter);
        if (rc == 0)
            rc = np_feed_name(&cutter->w, cutter->zone->setup.config.origin, name);
    }
    if (rc == NP_E_NAME) {
        np_warning("zone: %s is not directly below %s: not published", name->name, cutter->zone->setup.config.origin);
        return 0;
    }
    cutter->rc = rc;
    return rc != 0;
}

static void read_serial(struct np_zone *zone)
{
    int64_t serial = 0;
    if (np_store_zone_serial(zone->store, &serial) == 0)
        zone->serial = (uint32_t)serial;
}

/* Cuts the whole store into batches. The marks of dirty names stay: they go out as changes once the child is live. */
static int send_snapshot(struct np_zone *zone)
{
    struct cutter cutter = {.zone = zone, .flags = NP_FEED_RESET};
    read_serial(zone);
    int rc = open_batch(&cutter);
    if (rc == 0)
        rc = np_store_names_each(zone->store, cut_name, &cutter);
    if (cutter.rc)
        rc = cutter.rc;
    if (rc) {
        free(cutter.w.data);
        return rc;
    }
    send_batch(&cutter);
    cutter.flags = NP_FEED_LIVE;
    rc = open_batch(&cutter);
    if (rc)
        return rc;
    zone->live_batch = zone->last_batch;
    send_batch(&cutter);
    np_link_expect(zone->link, true);
    return 0;
}

static void send_setup(struct np_zone *zone)
{
    uint8_t *data = malloc(sizeof zone->setup);
    if (data)
        memcpy(data, &zone->setup, sizeof zone->setup);
    np_link_send_take(zone->link, NP_FEED_CONF, data, data ? sizeof zone->setup : 0);
}

/* ---- Changes ---- */

static int take_dirty(void *ctx, const struct np_zone_name *name)
{
    struct cutter *cutter = ctx;
    struct np_zone *zone = cutter->zone;
    int rc = np_feed_name(&cutter->w, zone->setup.config.origin, name);
    if (rc == NP_E_LIMIT)
        return 1; /* the rest comes with the next batch */
    if (rc == NP_E_NAME)
        np_warning("zone: %s is not directly below %s: not published", name->name, zone->setup.config.origin);
    struct sent_name *sent = &zone->sent[zone->sent_count++];
    memcpy(sent->name, name->name, sizeof sent->name);
    sent->version = name->version;
    return 0;
}

/* Appends the challenge values that were not sent yet. Returns their number. */
static size_t take_challenges(struct np_zone *zone, struct np_writer *w, uint64_t batch)
{
    size_t taken = 0;
    for (struct challenge *challenge = zone->challenges; challenge; challenge = challenge->next) {
        if (challenge->batch != 0)
            continue;
        if (np_feed_challenges(w, zone->setup.config.origin, challenge->name, challenge->values, challenge->count)) {
            zone->wanted = true; /* the batch is full: the rest comes with the next one */
            break;
        }
        challenge->batch = batch;
        taken++;
        for (struct waiter *waiter = zone->waiters; waiter; waiter = waiter->next) {
            if (waiter->challenge == challenge && waiter->batch == 0)
                waiter->batch = batch;
        }
    }
    return taken;
}

static uint32_t next_challenge_serial(const struct np_zone *zone)
{
    /* The values are not stored, so the clock keeps this serial growing over restarts. */
    uint32_t now = (uint32_t)time(NULL), next = zone->challenge_serial + 1;
    return (int32_t)(now - next) > 0 ? now : next;
}

/* Everything that was committed and is not yet with the child goes out as one batch; the next one follows the
 * acknowledgement. */
static void send_changes(struct np_zone *zone)
{
    uint8_t *data = malloc(CHANGE_BYTES);
    if (!data)
        return; /* the next wake tries again */
    struct cutter cutter = {.zone = zone, .w = np_writer_make(data, CHANGE_BYTES)};
    struct np_feed_head head = {zone->last_batch + 1, 0, 0, 0};
    zone->wanted = false;
    zone->sent_count = 0;
    np_feed_begin(&cutter.w, &head);
    size_t challenges = take_challenges(zone, &cutter.w, head.batch);
    int rc = np_store_dirty_each(zone->store, CHANGES_MAX, take_dirty, &cutter);
    if (rc < 0)
        np_error("zone: dirty names cannot be read: %s", np_store_error(zone->store));
    if (challenges + zone->sent_count == 0) {
        free(data);
        return;
    }
    read_serial(zone);
    if (challenges)
        zone->challenge_serial = next_challenge_serial(zone);
    struct np_writer again = np_writer_make(data, CHANGE_BYTES);
    head.serial = zone->serial;
    head.challenge_serial = zone->challenge_serial;
    np_feed_begin(&again, &head);
    zone->change_batch = ++zone->last_batch;
    np_link_send_take(zone->link, NP_FEED_DATA, data, cutter.w.pos);
    np_link_expect(zone->link, true);
}

static void on_committed(void *ctx, int rc)
{
    struct np_zone *zone = ctx;
    (void)rc; /* what was lost is not dirty; what is there may be published */
    if (zone->live && zone->change_batch == 0)
        send_changes(zone);
}

/* Only what is on disk is published: reading waits for the commit that ends this turn of the loop. */
static void pump(struct np_zone *zone)
{
    if (zone->live && zone->change_batch == 0 && zone->wanted && !zone->closing)
        np_store_after_commit(zone->store, &zone->committed);
}

void np_zone_wake(struct np_zone *zone)
{
    zone->wanted = true;
    pump(zone);
}

/* ---- Acknowledgements ---- */

static void forget_empty_challenges(struct np_zone *zone, uint64_t batch)
{
    for (struct challenge **link = &zone->challenges; *link;) {
        struct challenge *challenge = *link;
        if (challenge->batch != batch || challenge->count > 0) {
            link = &challenge->next;
            continue;
        }
        *link = challenge->next;
        free(challenge);
        zone->challenge_count--;
    }
}

static void tell_waiters(struct np_zone *zone, uint64_t batch)
{
    struct waiter *done = NULL, **last = &done;
    for (struct waiter **link = &zone->waiters; *link;) {
        struct waiter *waiter = *link;
        if (waiter->batch != batch) {
            link = &waiter->next;
            continue;
        }
        *link = waiter->next;
        waiter->next = NULL;
        *last = waiter;
        last = &waiter->next;
    }
    while (done) {
        struct waiter *waiter = done;
        done = waiter->next;
        waiter->done(waiter->ctx, 0);
        free(waiter);
    }
}

static void on_ack(struct np_zone *zone, uint64_t batch)
{
    if (batch == zone->live_batch) {
        zone->live_batch = 0;
        zone->live = true;
        zone->wanted = true;
        np_link_expect(zone->link, false);
        np_info("zone: %s is served, serial %u", zone->setup.config.origin, (unsigned)zone->serial);
    } else if (batch == zone->change_batch) {
        zone->change_batch = 0;
        np_link_expect(zone->link, false);
        for (size_t i = 0; i < zone->sent_count; i++) {
            int rc = np_store_dirty_done(zone->store, zone->sent[i].name, zone->sent[i].version);
            if (rc)
                np_error("zone: mark of %s: %s", zone->sent[i].name, np_strerror(rc));
        }
        zone->wanted = zone->wanted || zone->sent_count > 0;
        zone->sent_count = 0;
        forget_empty_challenges(zone, batch);
        tell_waiters(zone, batch);
    }
    pump(zone);
}

/* ---- The child ---- */

static void on_up(void *ctx)
{
    struct np_zone *zone = ctx;
    send_setup(zone);
    int rc = send_snapshot(zone);
    if (rc) /* the silence watch ends the child, and the next one gets another snapshot */
        np_error("zone: no snapshot: %s", np_strerror(rc));
    np_link_expect(zone->link, true);
}

static void on_down(void *ctx)
{
    struct np_zone *zone = ctx;
    zone->live = false;
    zone->live_batch = zone->change_batch = 0;
    zone->sent_count = 0;
    for (struct challenge *challenge = zone->challenges; challenge; challenge = challenge->next)
        challenge->batch = 0;
    for (struct waiter *waiter = zone->waiters; waiter; waiter = waiter->next)
        waiter->batch = 0;
}

static void on_frame(void *ctx, const struct np_frame *frame)
{
    struct np_zone *zone = ctx;
    if (frame->type != NP_FEED_ACKN)
        return;
    struct np_reader r = np_reader_make(frame->payload, frame->len);
    uint64_t batch = np_read_u64(&r);
    if (!r.error && batch != 0)
        on_ack(zone, batch);
}

/* ---- Challenges ---- */

static struct challenge *find_challenge(struct np_zone *zone, const char *name)
{
    for (struct challenge *challenge = zone->challenges; challenge; challenge = challenge->next) {
        if (strcmp(challenge->name, name) == 0)
            return challenge;
    }
    return NULL;
}

int np_zone_set_challenges(struct np_zone *zone, const char *name,
                           const char values[NP_ZONE_TXT_MAX][NP_ZONE_TXT_LEN + 1], size_t count, np_zone_done_fn *done,
                           void *ctx)
{
    struct challenge *challenge = find_challenge(zone, name);
    struct waiter *waiter = NULL;
    if (np_feed_label(zone->setup.config.origin, name) == 0)
        return NP_E_NAME;
    if (count > NP_ZONE_TXT_MAX || (!challenge && zone->challenge_count >= NP_ZONE_CHALLENGES_MAX))
        return NP_E_LIMIT;
    for (size_t i = 0; i < count; i++) {
        if (strnlen(values[i], NP_ZONE_TXT_LEN + 1) != NP_ZONE_TXT_LEN)
            return NP_E_LIMIT;
    }
    if (done) {
        waiter = calloc(1, sizeof *waiter);
        if (!waiter)
            return -ENOMEM;
    }
    if (!challenge) {
        challenge = calloc(1, sizeof *challenge);
        if (!challenge) {
            free(waiter);
            return -ENOMEM;
        }
        memcpy(challenge->name, name, strlen(name) + 1);
        challenge->next = zone->challenges;
        zone->challenges = challenge;
        zone->challenge_count++;
    }
    if (count)
        memcpy(challenge->values, values, count * sizeof values[0]);
    challenge->count = count;
    challenge->batch = 0;
    if (waiter) {
        *waiter = (struct waiter){zone->waiters, challenge, 0, done, ctx};
        zone->waiters = waiter;
    }
    np_zone_wake(zone);
    return 0;
}

/* ---- Life ---- */

int np_zone_new(uv_loop_t *loop, const struct np_zone_config *config, struct np_store *store, struct np_zone **out_zone,
                struct np_endpoint *out_failed)
{
    struct np_zone *zone = calloc(1, sizeof *zone);
    size_t failed = 0;
    if (!zone)
        return -ENOMEM;
    zone->setup.config = *config;
    zone->store = store;
    zone->committed = (struct np_store_waiter){.done = on_committed, .ctx = zone};
    zone->challenge_serial = (uint32_t)time(NULL);
    const struct np_link_owner owner = {zone, on_up, on_down, on_frame};
    int rc = np_link_new(loop, config->listen, config->listen_count, &owner, &zone->link, &failed);
    if (rc) {
        if (out_failed)
            *out_failed = config->listen[failed];
        free(zone);
        return rc;
    }
    *out_zone = zone;
    return 0;
}

int np_zone_start(struct np_zone *zone)
{
    return np_link_start(zone->link);
}

int np_zone_set_account(struct np_zone *zone, const char *url)
{
    size_t len = strlen(url);
    if (len >= sizeof zone->setup.account)
        return NP_E_LIMIT;
    if (strcmp(zone->setup.account, url) == 0)
        return 0;
    memcpy(zone->setup.account, url, len + 1);
    send_setup(zone);
    return 0;
}

const struct np_zone_config *np_zone_settings(const struct np_zone *zone)
{
    return &zone->setup.config;
}

bool np_zone_ready(const struct np_zone *zone)
{
    return zone->live;
}

int np_zone_child_pid(const struct np_zone *zone)
{
    return np_link_pid(zone->link);
}

static void on_link_closed(void *ctx)
{
    struct np_zone *zone = ctx;
    void (*closed)(void *ctx) = zone->closed;
    void *closed_ctx = zone->closed_ctx;
    while (zone->waiters) {
        struct waiter *waiter = zone->waiters;
        zone->waiters = waiter->next;
        waiter->done(waiter->ctx, NP_E_CLOSED);
        free(waiter);
    }
    while (zone->challenges) {
        struct challenge *challenge = zone->challenges;
        zone->challenges = challenge->next;
        free(challenge);
    }
    free(zone);
    if (closed)
        closed(closed_ctx);
}

void np_zone_close(struct np_zone *zone, void (*done)(void *ctx), void *ctx)
{
    zone->closing = true;
    zone->closed = done;
    zone->closed_ctx = ctx;
    np_store_waiter_cancel(zone->store, &zone->committed);
    np_link_close(zone->link, on_link_closed, zone);
}

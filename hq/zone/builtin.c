/* The built-in DNS server, seen from HQ: a child process (zone/link.h) that is fed a snapshot and then the changes
 * (zone/feed.h). */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "hq/zone/backend.h"
#include "hq/zone/feed.h"
#include "hq/zone/link.h"
#include "resolver/base/error.h"
#include "resolver/base/log.h"

#define SLICE_MAX      1000 /* names of a snapshot that are read in one turn of the loop: some 2 ms */
#define CHANGES_MAX    200  /* names in one batch of changes */
#define CHALLENGES_MAX 64   /* names whose challenge values go into one batch of changes */
#define CHANGE_BYTES   ((size_t)NP_FEED_HEAD_LEN + CHANGES_MAX * 170 + CHALLENGES_MAX * 240)
#define SERIALS_LEFT   (NP_STORE_SERIALS / 2) /* fewer serials in reserve: reserve more */

/* A name, or its challenge values, on its way to the child. */
struct sent {
    char name[NP_NAME_MAX + 1];
    int64_t version;
};

struct builtin {
    struct np_zone_core *core;
    struct np_link *link;
    struct np_store_waiter committed;
    uint64_t last_batch;
    uint64_t live_batch;   /* the snapshot's last one, until it is acknowledged; 0: none */
    uint64_t change_batch; /* the changes under way; 0: none */
    bool live, wanted, closing;
    uint32_t serial;
    int64_t challenge_serial, challenge_serials_end; /* used last; reserved in the store: used from here on by nobody */
    /* The snapshot being cut, a slice a turn: the names after this one are missing. */
    uv_idle_t turns;
    bool cutting, full;
    uint8_t flags; /* of its next batch */
    char after[NP_NAME_MAX + 1];
    struct sent sent[CHANGES_MAX], sent_challenges[CHALLENGES_MAX];
    size_t sent_count, sent_challenge_count;
    unsigned open;
    void (*closed)(void *ctx);
    void *closed_ctx;
};

static void read_serial(struct builtin *builtin)
{
    int64_t serial = 0;
    if (np_store_zone_serial(builtin->core->store, &serial) == 0)
        builtin->serial = (uint32_t)serial;
}

/* ---- The serial of the challenge zone ---- */

/* Challenge values are not stored, so their serial is not either; what is stored is a number that it has never reached,
 * so that it goes on growing after a crash. */
static int reserve_serials(struct builtin *builtin)
{
    int64_t from = 0, now_s = (int64_t)time(NULL);
    if (builtin->challenge_serials_end - builtin->challenge_serial > SERIALS_LEFT)
        return 0;
    int rc = np_store_serials_reserve(builtin->core->store, now_s, &from);
    if (rc)
        return rc;
    if (builtin->challenge_serials_end == 0)
        builtin->challenge_serial = from;
    builtin->challenge_serials_end = from + NP_STORE_SERIALS;
    return 0;
}

static uint32_t next_challenge_serial(struct builtin *builtin)
{
    int rc = reserve_serials(builtin);
    if (rc)
        np_error("zone: no serials for the challenge zone: %s", np_strerror(rc));
    return (uint32_t)++builtin->challenge_serial;
}

/* ---- Snapshot ---- */

/* A batch being filled. */
struct batch {
    struct builtin *builtin;
    struct np_writer w;
    size_t count;
    bool full;
};

static int open_batch(struct builtin *builtin, struct batch *out_batch)
{
    uint8_t *data = malloc(NP_FEED_BATCH_MAX);
    if (!data)
        return -ENOMEM;
    read_serial(builtin);
    *out_batch = (struct batch){.builtin = builtin, .w = np_writer_make(data, NP_FEED_BATCH_MAX)};
    struct np_feed_head head = {++builtin->last_batch, builtin->serial, (uint32_t)builtin->challenge_serial,
                                builtin->flags};
    np_feed_begin(&out_batch->w, &head);
    builtin->flags = 0;
    return 0;
}

static int cut_name(void *ctx, const struct np_zone_name *name)
{
    struct batch *batch = ctx;
    struct builtin *builtin = batch->builtin;
    int rc = np_feed_name(&batch->w, builtin->core->config.origin, name);
    if (rc == NP_E_LIMIT) {
        batch->full = true;
        return 1;
    }
    if (rc == NP_E_NAME)
        np_warning("zone: %s is not directly below %s: not published", name->name, builtin->core->config.origin);
    memcpy(builtin->after, name->name, sizeof builtin->after);
    batch->count++;
    return 0;
}

static void end_cut(struct builtin *builtin)
{
    builtin->cutting = false;
    uv_idle_stop(&builtin->turns);
}

/* Sends the next names, or the end of the snapshot. The marks of dirty names stay: they go out as changes once the
 * child is live, so that a change behind the slice is not lost. */
static int cut_slice(struct builtin *builtin)
{
    struct batch batch;
    int rc = open_batch(builtin, &batch);
    if (rc == 0)
        rc = np_store_names_after(builtin->core->store, builtin->after, SLICE_MAX, cut_name, &batch);
    if (rc < 0) {
        free(batch.w.data);
        return rc;
    }
    np_link_send_take(builtin->link, NP_FEED_DATA, batch.w.data, batch.w.pos);
    np_link_expect(builtin->link, true);
    if (batch.full || batch.count == SLICE_MAX)
        return 0;
    builtin->flags = NP_FEED_LIVE;
    rc = open_batch(builtin, &batch);
    if (rc)
        return rc;
    end_cut(builtin);
    builtin->live_batch = builtin->last_batch;
    np_link_send_take(builtin->link, NP_FEED_DATA, batch.w.data, batch.w.pos);
    return 0;
}

/* Each turn of the loop: what is to be read must be on disk. */
static void on_turn(uv_idle_t *turns)
{
    struct builtin *builtin = turns->data;
    if (np_link_queued(builtin->link) >= NP_LINK_FULL) {
        builtin->full = true; /* on_drained goes on */
        uv_idle_stop(turns);
        return;
    }
    np_store_after_commit(builtin->core->store, &builtin->committed);
}

static void on_drained(void *ctx)
{
    struct builtin *builtin = ctx;
    if (builtin->cutting && builtin->full)
        uv_idle_start(&builtin->turns, on_turn);
    builtin->full = false;
}

static void send_setup(struct builtin *builtin)
{
    struct np_feed_setup *setup = calloc(1, sizeof *setup);
    if (setup) {
        setup->config = builtin->core->config;
        setup->accounts = builtin->core->accounts;
    }
    np_link_send_take(builtin->link, NP_FEED_CONF, (uint8_t *)setup, setup ? sizeof *setup : 0);
}

/* ---- Changes ---- */

static int take_dirty(void *ctx, const struct np_zone_name *name)
{
    struct batch *batch = ctx;
    struct builtin *builtin = batch->builtin;
    int rc = np_feed_name(&batch->w, builtin->core->config.origin, name);
    if (rc == NP_E_LIMIT)
        return 1; /* the rest comes with the next batch */
    if (rc == NP_E_NAME)
        np_warning("zone: %s is not directly below %s: not published", name->name, builtin->core->config.origin);
    struct sent *sent = &builtin->sent[builtin->sent_count++];
    memcpy(sent->name, name->name, sizeof sent->name);
    sent->version = name->version;
    return 0;
}

/* Appends the challenge values that were not sent yet. */
static void take_challenges(struct builtin *builtin, struct np_writer *w)
{
    const char *origin = builtin->core->config.origin;
    for (struct np_challenge *c = builtin->core->challenges.first; c; c = c->next) {
        if (c->sent == c->version)
            continue;
        if (builtin->sent_challenge_count == CHALLENGES_MAX ||
            np_feed_challenges(w, origin, c->name, c->values, c->count)) {
            builtin->wanted = true; /* the batch is full: the rest comes with the next one */
            return;
        }
        struct sent *sent = &builtin->sent_challenges[builtin->sent_challenge_count++];
        memcpy(sent->name, c->name, sizeof sent->name);
        sent->version = (int64_t)c->version;
        c->sent = c->version;
    }
}

/* Everything that was committed and is not yet with the child goes out as one batch; the next one follows the
 * acknowledgement. */
static void send_changes(struct builtin *builtin)
{
    uint8_t *data = malloc(CHANGE_BYTES);
    if (!data)
        return; /* the next wake tries again */
    struct batch batch = {.builtin = builtin, .w = np_writer_make(data, CHANGE_BYTES)};
    struct np_feed_head head = {builtin->last_batch + 1, 0, 0, 0};
    builtin->wanted = false;
    builtin->sent_count = builtin->sent_challenge_count = 0;
    np_feed_begin(&batch.w, &head);
    take_challenges(builtin, &batch.w);
    int rc = np_store_dirty_after(builtin->core->store, 0, CHANGES_MAX, take_dirty, &batch);
    if (rc < 0)
        np_error("zone: dirty names cannot be read: %s", np_store_error(builtin->core->store));
    if (builtin->sent_challenge_count + builtin->sent_count == 0) {
        free(data);
        return;
    }
    read_serial(builtin);
    if (builtin->sent_challenge_count)
        next_challenge_serial(builtin);
    struct np_writer again = np_writer_make(data, CHANGE_BYTES);
    head.serial = builtin->serial;
    head.challenge_serial = (uint32_t)builtin->challenge_serial;
    np_feed_begin(&again, &head);
    builtin->change_batch = ++builtin->last_batch;
    np_link_send_take(builtin->link, NP_FEED_DATA, data, batch.w.pos);
    np_link_expect(builtin->link, true);
}

static void on_committed(void *ctx, int rc)
{
    struct builtin *builtin = ctx;
    (void)rc; /* what was lost is not dirty; what is there may be published */
    if (builtin->cutting) {
        rc = cut_slice(builtin);
        if (rc == 0)
            return;
        end_cut(builtin); /* the silence watch ends the child, and the next one gets another snapshot */
        np_error("zone: no snapshot: %s", rc == NP_E_STORE ? np_store_error(builtin->core->store) : np_strerror(rc));
    } else if (builtin->live && builtin->change_batch == 0) {
        send_changes(builtin);
    }
}

/* Only what is on disk is published: reading waits for the commit that ends this turn of the loop. */
static void pump(struct builtin *builtin)
{
    if (builtin->live && builtin->change_batch == 0 && builtin->wanted && !builtin->closing)
        np_store_after_commit(builtin->core->store, &builtin->committed);
}

static void wake(void *self)
{
    struct builtin *builtin = self;
    builtin->wanted = true;
    pump(builtin);
}

/* ---- Acknowledgements ---- */

static void on_changes_acked(struct builtin *builtin)
{
    struct np_zone_core *core = builtin->core;
    size_t challenges = builtin->sent_challenge_count;
    builtin->change_batch = 0;
    np_link_expect(builtin->link, false);
    for (size_t i = 0; i < builtin->sent_count; i++) {
        int rc = np_store_dirty_done(core->store, builtin->sent[i].name, builtin->sent[i].version);
        if (rc)
            np_error("zone: mark of %s: %s", builtin->sent[i].name, np_strerror(rc));
    }
    builtin->wanted = builtin->wanted || builtin->sent_count > 0;
    builtin->sent_count = builtin->sent_challenge_count = 0;
    for (size_t i = 0; i < challenges; i++)
        np_challenges_confirm(&core->challenges, builtin->sent_challenges[i].name,
                              (uint64_t)builtin->sent_challenges[i].version);
}

static void on_ack(struct builtin *builtin, uint64_t batch)
{
    if (batch == builtin->live_batch) {
        builtin->live_batch = 0;
        builtin->live = true;
        builtin->wanted = true;
        np_link_expect(builtin->link, false);
        np_info("zone: %s is served, serial %u", builtin->core->config.origin, (unsigned)builtin->serial);
    } else if (batch == builtin->change_batch) {
        on_changes_acked(builtin);
    }
    pump(builtin);
}

/* ---- The child ---- */

static void on_up(void *ctx)
{
    struct builtin *builtin = ctx;
    send_setup(builtin);
    builtin->after[0] = 0;
    builtin->flags = NP_FEED_RESET;
    builtin->cutting = true;
    builtin->full = false;
    uv_idle_start(&builtin->turns, on_turn);
    np_link_expect(builtin->link, true);
}

static void on_down(void *ctx)
{
    struct builtin *builtin = ctx;
    end_cut(builtin);
    builtin->live = false;
    builtin->live_batch = builtin->change_batch = 0;
    builtin->sent_count = builtin->sent_challenge_count = 0;
    for (struct np_challenge *c = builtin->core->challenges.first; c; c = c->next)
        c->sent = 0;
}

static void on_frame(void *ctx, const struct np_frame *frame)
{
    struct builtin *builtin = ctx;
    if (frame->type != NP_FEED_ACKN)
        return;
    struct np_reader r = np_reader_make(frame->payload, frame->len);
    uint64_t batch = np_read_u64(&r);
    if (!r.error && batch != 0)
        on_ack(builtin, batch);
}

/* ---- Life ---- */

static int start(void *self)
{
    struct builtin *builtin = self;
    int rc = reserve_serials(builtin);
    if (rc == 0)
        rc = np_store_commit(builtin->core->store); /* they are used from the first snapshot on */
    return rc ? rc : np_link_start(builtin->link);
}

static void account(void *self)
{
    send_setup(self);
}

static bool ready(const void *self)
{
    return ((const struct builtin *)self)->live;
}

static int child_pid(const void *self)
{
    return np_link_pid(((const struct builtin *)self)->link);
}

static void on_one_closed(struct builtin *builtin)
{
    if (--builtin->open > 0)
        return;
    void (*closed)(void *ctx) = builtin->closed;
    void *ctx = builtin->closed_ctx;
    free(builtin);
    closed(ctx);
}

static void on_turns_closed(uv_handle_t *handle)
{
    on_one_closed(handle->data);
}

static void on_link_closed(void *ctx)
{
    on_one_closed(ctx);
}

static void close_all(void *self, void (*done)(void *ctx), void *ctx)
{
    struct builtin *builtin = self;
    builtin->closing = true;
    builtin->closed = done;
    builtin->closed_ctx = ctx;
    builtin->open = 2;
    np_store_waiter_cancel(builtin->core->store, &builtin->committed);
    uv_close((uv_handle_t *)&builtin->turns, on_turns_closed);
    np_link_close(builtin->link, on_link_closed, builtin);
}

int np_builtin_new(struct np_zone_core *core, struct np_zone_backend *out_backend, char error[NP_ZONE_ERROR_MAX])
{
    size_t failed = 0;
    struct builtin *builtin = calloc(1, sizeof *builtin);
    snprintf(error, NP_ZONE_ERROR_MAX, "out of memory");
    if (!builtin)
        return -ENOMEM;
    builtin->core = core;
    builtin->committed = (struct np_store_waiter){.done = on_committed, .ctx = builtin};
    const struct np_link_owner owner = {builtin, on_up, on_down, on_frame, on_drained};
    int rc = np_link_new(core->loop, core->config.listen, core->config.listen_count, &owner, &builtin->link, &failed);
    if (rc) {
        char where[NP_ADDR_TEXT_MAX];
        snprintf(error, NP_ZONE_ERROR_MAX, "cannot serve DNS on %s: %s (dns-listen)",
                 np_endpoint_format(&core->config.listen[failed], where), np_strerror(rc));
        free(builtin);
        return rc;
    }
    uv_idle_init(core->loop, &builtin->turns);
    builtin->turns.data = builtin;
    *out_backend = (struct np_zone_backend){builtin, start, wake, account, ready, child_pid, NULL, close_all};
    return 0;
}

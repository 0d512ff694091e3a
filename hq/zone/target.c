#include "hq/zone/target.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "hq/zone/nsconn.h"
#include "hq/zone/update.h"
#include "resolver/base/error.h"
#include "resolver/base/log.h"
#include "resolver/base/random.h"
#include "resolver/message.h"

#define FLIGHTS_MAX  (NP_OUTBOX_IN_FLIGHT + 1) /* and the epoch */
#define EPOCH_MAX    48
#define FENCE        NP_OUTBOX_IN_FLIGHT /* the slot number of the epoch's message */
#define UDP_NAMES    4                   /* that surely fit into NP_DNS_UDP_MAX bytes */
#define FENCED_EVERY 60000
#define HELD_MS      1000 /* after an error of our own: memory, or the store */

/* A message that was sent. */
struct flight {
    bool used;
    uint16_t id;
    size_t slot;
    uint8_t mac[NP_TSIG_MAC_MAX];
    size_t mac_len;
};

struct np_target {
    uv_loop_t *loop;
    char title[NP_ADDR_TEXT_MAX];
    char zone[NP_NAME_MAX + 1];
    struct np_name zone_name;
    const struct np_tsig_key *key;
    struct np_target_owner owner;
    struct np_outbox outbox;
    struct np_nsconn *conn;
    uv_timer_t timer;
    struct flight flights[FLIGHTS_MAX];
    char epoch[EPOCH_MAX];
    int64_t held_until_ms;
    /* What the log was told. */
    bool told_failing;
    int64_t told_ms, fenced_ms;
    char told[NP_UPDATE_WHY_MAX];
    unsigned names_told;
    int64_t names_told_ms;
};

static uint32_t below(void *ctx, uint32_t bound)
{
    (void)ctx;
    return np_random_below(bound);
}

static int64_t now_ms(const struct np_target *target)
{
    return (int64_t)uv_now(target->loop);
}

/* ---- The log ---- */

static void tell_failure(struct np_target *target, const char *why)
{
    int64_t now = now_ms(target);
    bool same = strcmp(target->told, why) == 0;
    if (target->told_failing && same && now - target->told_ms < NP_TARGET_TELL_MS)
        return;
    target->told_failing = true;
    target->told_ms = now;
    snprintf(target->told, sizeof target->told, "%s", why);
    np_error("dns: %s does not take updates of %s: %s. Nothing is lost; tried again until it does", target->title,
             target->zone, why);
}

static void tell_recovery(struct np_target *target)
{
    if (!target->told_failing || np_outbox_failing_since(&target->outbox) != NP_JOB_NEVER)
        return;
    target->told_failing = false;
    target->told[0] = 0;
    np_notice("dns: %s takes updates of %s again", target->title, target->zone);
}

static void on_refused(void *ctx, const struct np_outbox_item *item)
{
    struct np_target *target = ctx;
    int64_t now = now_ms(target);
    if (target->names_told_ms == 0 || now - target->names_told_ms >= NP_TARGET_TELL_MS) {
        target->names_told = 0;
        target->names_told_ms = now;
    }
    if (target->names_told++ < NP_TARGET_NAMES)
        np_error("dns: %s refuses %s: not published; the other names are. Tried again in %lld s. %s", target->title,
                 item->name[0] ? item->name : "the zone's own records", (long long)(item->when_ms - now) / 1000,
                 target->told);
    else if (target->names_told == NP_TARGET_NAMES + 1)
        np_error("dns: %s refuses more names ('nameplate-hq zone check' shows them)", target->title);
}

void np_target_report(const struct np_target *target, struct np_zone_update_report *out_report)
{
    const struct np_outbox *outbox = &target->outbox;
    int64_t since_ms = np_outbox_failing_since(outbox);
    *out_report = (struct np_zone_update_report){.refused = outbox->parked};
    snprintf(out_report->server, sizeof out_report->server, "%s", target->title);
    snprintf(out_report->zone, sizeof out_report->zone, "%s", target->zone);
    out_report->waiting = NP_OUTBOX_ITEMS_MAX - np_outbox_room(outbox) - outbox->parked;
    if (since_ms == NP_JOB_NEVER)
        return;
    out_report->failing_ms = now_ms(target) - since_ms + 1;
    snprintf(out_report->why, sizeof out_report->why, "%.*s", NP_ZONE_WHY_MAX - 1, target->told);
}

/* ---- Results ---- */

static void on_done(void *ctx, const struct np_outbox_item *item)
{
    struct np_target *target = ctx;
    target->owner.done(target->owner.ctx, target, item);
}

static void arm(struct np_target *target);

static void conclude(struct np_target *target, struct flight *flight, enum np_outbox_outcome outcome, const char *why)
{
    const struct np_outbox_events events = {target, on_done, on_refused};
    size_t slot = flight->slot;
    int64_t now = now_ms(target);
    flight->used = false;
    if (outcome == NP_OUTBOX_FENCED && (target->fenced_ms == 0 || now - target->fenced_ms >= FENCED_EVERY)) {
        target->fenced_ms = now;
        np_warning("dns: %s: %s", target->title, why);
    }
    if (outcome == NP_OUTBOX_REFUSED || outcome == NP_OUTBOX_BROKEN)
        snprintf(target->told, sizeof target->told, "%s", why); /* on_refused tells it */
    if (slot == FENCE)
        np_outbox_fence_result(&target->outbox, outcome, now, below, NULL);
    else
        np_outbox_result(&target->outbox, slot, outcome, now, &events, below, NULL);
    if (outcome == NP_OUTBOX_FENCED)
        target->owner.fenced(target->owner.ctx);
    if (outcome != NP_OUTBOX_DONE && outcome != NP_OUTBOX_FENCED &&
        np_outbox_failing_since(&target->outbox) != NP_JOB_NEVER)
        tell_failure(target, why);
    tell_recovery(target);
    arm(target);
    target->owner.wants(target->owner.ctx);
}

static struct flight *find_flight(struct np_target *target, uint16_t id)
{
    for (size_t i = 0; i < FLIGHTS_MAX; i++) {
        if (target->flights[i].used && target->flights[i].id == id)
            return &target->flights[i];
    }
    return NULL;
}

static bool on_answer(void *ctx, uint16_t id, const uint8_t *message, size_t len, bool repeated)
{
    struct np_target *target = ctx;
    struct flight *flight = find_flight(target, id);
    struct np_update_verdict verdict;
    if (!flight || np_update_judge(target->key, target->zone, flight->mac, flight->mac_len, message, len,
                                   (int64_t)time(NULL), &verdict))
        return false;
    if (repeated)
        np_outbox_renew_fence(&target->outbox);
    conclude(target, flight, verdict.outcome, verdict.why);
    return true;
}

static void on_lost(void *ctx, uint16_t id, bool sent, int rc)
{
    struct np_target *target = ctx;
    struct flight *flight = find_flight(target, id);
    char why[NP_UPDATE_WHY_MAX];
    if (!flight)
        return;
    if (rc == -ETIMEDOUT)
        snprintf(why, sizeof why, "no answer; is it up, and does a firewall let HQ reach it?");
    else
        snprintf(why, sizeof why, "%s", np_strerror(rc));
    conclude(target, flight, sent ? NP_OUTBOX_FAILED : NP_OUTBOX_UNSENT, why);
}

/* ---- Sending ---- */

static int send_update(struct np_target *target, struct np_update *update, size_t slot)
{
    struct np_update_message message;
    struct flight *flight = target->flights;
    while (flight->used)
        flight++;
    uint16_t id = np_nsconn_id(target->conn);
    int rc = np_update_sign(update, id, target->key, &message);
    if (rc)
        return rc;
    rc = np_nsconn_send(target->conn, id, message.wire, message.len);
    if (rc == 0) {
        *flight = (struct flight){.used = true, .id = id, .slot = slot, .mac_len = message.mac_len};
        memcpy(flight->mac, message.mac, message.mac_len);
    }
    free(message.wire);
    return rc;
}

/* A new epoch: never one that was used before, whatever the clock does. */
static void make_epoch(struct np_target *target)
{
    uint8_t random[8];
    struct timespec now;
    np_random_bytes(random, sizeof random);
    clock_gettime(CLOCK_REALTIME, &now);
    int len = snprintf(target->epoch, sizeof target->epoch, "epoch=%lld-", (long long)now.tv_sec);
    for (size_t i = 0; i < sizeof random; i++)
        len += snprintf(target->epoch + len, sizeof target->epoch - (size_t)len, "%02x", random[i]);
}

static int send_fence(struct np_target *target)
{
    struct np_records *records = calloc(1, sizeof *records);
    struct np_update *update = NULL;
    int rc = records ? np_update_new(&target->zone_name, &update) : -ENOMEM;
    if (rc)
        goto out;
    make_epoch(target);
    rc = np_records_epoch(&target->zone_name, target->epoch, &records->records[0]);
    if (rc)
        goto out;
    records->count = records->cleared_count = 1;
    records->cleared[0].owner = records->records[0].owner;
    records->cleared[0].type = records->records[0].type;
    rc = np_update_put(update, records);
    if (rc == 0)
        rc = send_update(target, update, FENCE);
    if (rc == 0)
        np_outbox_fence_sent(&target->outbox);
out:
    np_update_free(update);
    free(records);
    return rc;
}

/* Fills an update with the first of the items, at most NP_OUTBOX_RRS_MAX records. */
static int fill(struct np_target *target, const uint16_t *items, size_t count, struct np_update *update,
                size_t *out_used)
{
    struct np_record epoch;
    struct np_records *records = malloc(sizeof *records);
    int rc = records ? np_records_epoch(&target->zone_name, target->epoch, &epoch) : -ENOMEM;
    if (rc == 0)
        rc = np_update_require(update, &epoch);
    size_t used = 0;
    for (; used < count && rc == 0; used++) {
        rc = target->owner.describe(target->owner.ctx, &target->outbox.items[items[used]], records);
        if (rc == 0 && used > 0 &&
            np_update_count(update) + records->cleared_count + records->count > NP_OUTBOX_RRS_MAX)
            break;
        if (rc == 0)
            rc = np_update_put(update, records);
    }
    free(records);
    *out_used = used;
    return rc;
}

/* Sends one message; *out_used of the items are in it. */
static int send_names(struct np_target *target, const uint16_t *items, size_t count, size_t *out_used)
{
    struct np_update *update = NULL;
    size_t used = 0;
    int rc = np_update_new(&target->zone_name, &update);
    if (rc == 0)
        rc = fill(target, items, count, update, &used);
    if (rc == 0) {
        size_t slot = 0;
        while (target->outbox.groups[slot].used)
            slot++;
        rc = send_update(target, update, slot);
    }
    np_update_free(update);
    *out_used = used;
    return rc;
}

static void send_waiting(struct np_target *target)
{
    uint16_t items[NP_OUTBOX_OFFER_MAX];
    size_t count, used = 0;
    while ((count = np_outbox_offer(&target->outbox, now_ms(target), items)) > 0) {
        if (np_nsconn_limit(target->conn) <= NP_DNS_UDP_MAX && count > UDP_NAMES)
            count = UDP_NAMES;
        int rc = send_names(target, items, count, &used);
        if (rc == NP_E_LIMIT && count > 1)
            rc = send_names(target, items, 1, &used);
        if (rc) {
            np_error("dns: %s: an update of %s cannot be sent: %s", target->title, target->zone, np_strerror(rc));
            target->held_until_ms = now_ms(target) + HELD_MS;
            return;
        }
        np_outbox_sent(&target->outbox, items, used);
    }
}

void np_target_pump(struct np_target *target)
{
    int rc = 0;
    if (now_ms(target) < target->held_until_ms)
        return; /* the timer is armed */
    if (np_outbox_wants_fence(&target->outbox, now_ms(target)))
        rc = send_fence(target);
    if (rc) {
        np_error("dns: %s: the epoch of %s cannot be sent: %s", target->title, target->zone, np_strerror(rc));
        target->held_until_ms = now_ms(target) + HELD_MS;
    } else {
        send_waiting(target);
    }
    arm(target);
}

static void on_timer(uv_timer_t *timer)
{
    struct np_target *target = timer->data;
    target->owner.wants(target->owner.ctx);
}

static void arm(struct np_target *target)
{
    int64_t now = now_ms(target), due = np_outbox_due(&target->outbox, now);
    if (due < target->held_until_ms)
        due = target->held_until_ms;
    if (due == NP_JOB_NEVER)
        uv_timer_stop(&target->timer);
    else
        uv_timer_start(&target->timer, on_timer, due > now ? (uint64_t)(due - now) : 1, 0);
}

/* ---- Life ---- */

struct np_outbox *np_target_outbox(struct np_target *target)
{
    return &target->outbox;
}

bool np_target_is_dead(const struct np_target *target, int64_t skip_ms)
{
    int64_t since = np_outbox_failing_since(&target->outbox);
    return since != NP_JOB_NEVER && now_ms(target) - since >= skip_ms;
}

const char *np_target_title(const struct np_target *target)
{
    return target->title;
}

int np_target_new(uv_loop_t *loop, const struct np_endpoint *server, const char *zone, const struct np_tsig_key *key,
                  size_t rrs, const struct np_target_owner *owner, struct np_target **out_target)
{
    struct np_target *target = calloc(1, sizeof *target);
    if (!target)
        return -ENOMEM;
    target->loop = loop;
    target->key = key;
    target->owner = *owner;
    np_endpoint_format(server, target->title);
    snprintf(target->zone, sizeof target->zone, "%s", zone);
    np_outbox_init(&target->outbox, rrs);
    const struct np_nsconn_owner peer_owner = {target, on_answer, on_lost};
    int rc = np_name_parse(zone, &target->zone_name) ? NP_E_MALFORMED : 0;
    if (rc == 0)
        rc = np_nsconn_new(loop, server, &peer_owner, &target->conn);
    if (rc) {
        free(target);
        return rc;
    }
    uv_timer_init(loop, &target->timer);
    target->timer.data = target;
    *out_target = target;
    return 0;
}

static void on_closed(uv_handle_t *handle)
{
    free(handle->data);
}

void np_target_close(struct np_target *target)
{
    np_nsconn_close(target->conn);
    uv_close((uv_handle_t *)&target->timer, on_closed);
}

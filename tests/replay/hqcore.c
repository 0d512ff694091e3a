#include "tests/replay/hqcore.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "hq/acme/order.h"
#include "hq/acme/renewal.h"
#include "hq/acme/renewer.h"
#include "hq/api/api.h"
#include "hq/store/browse.h"
#include "hq/store/lives.h"
#include "hq/store/naming.h"
#include "resolver/base/error.h"
#include "resolver/base/jobs.h"
#include "resolver/base/random.h"
#include "tests/support/test_ca.h"

#define ZONE         "devices.example"
#define ROOT         200 /* numbers of test_ca's keys */
#define CA           201
#define CA_MS        1500 /* of an order at the CA */
#define BATCH        16
#define DEVICES_PAGE 1000
#define ORDERS_MAX   1000 /* of one device */

static const uint8_t master[32] = "replay master";

struct hqcore {
    struct np_api api;
    struct np_store *store;
    struct np_hq_key *grant_key;
    struct np_outlook outlook;
    uv_loop_t loop; /* never run: the renewer's timers need one */
    struct np_renewer *renewer;
    bool ca_away;
    bool due_known; /* nothing has changed since due_ms was looked for */
    int64_t life_s, beat_ms, due_ms, certificates;
};

static void must(int rc, const char *what)
{
    if (rc >= 0)
        return;
    printf("hqcore: %s: %s\n", what, np_strerror(rc));
    abort();
}

struct hqcore *hqcore_new(const char *database)
{
    struct hqcore *core = calloc(1, sizeof *core);
    char error[256];
    if (!core)
        abort();
    if (np_store_open(database, false, &core->store, error, sizeof error)) {
        printf("hqcore: %s\n", error);
        free(core);
        return NULL;
    }
    must(np_hq_key_make(&core->grant_key), "grant key");
    np_outlook_init(&core->outlook, 64);
    core->api =
        (struct np_api){.url = HQCORE_URL,
                        .zone = ZONE,
                        .nameservers = {"ns1." ZONE},
                        .nameserver_count = 1,
                        .ttl_s = 60,
                        .poll_s = 1,
                        .checkin_s = 86400,
                        .boot_jitter_s = 600,
                        .vanity = {.allowed = true, .least = 3, .greatest = 30, .per_device = 5, .per_network = 1000},
                        .policy = {.factory_secret = true, .serial_live = 3, .serial_recent = 1000},
                        .pepper = "pepper",
                        .nonce_key = "nonce key",
                        .grant_key = core->grant_key,
                        .store = core->store,
                        .outlook = &core->outlook};
    memcpy(core->api.policy.master, master, sizeof master);
    core->life_s = HQCORE_LIFE_S;
    uv_loop_init(&core->loop);
    must(np_renewer_new(&core->loop, core->store, &core->renewer), "renewer");
    return core;
}

bool hqcore_restore(struct hqcore *core, const char *database)
{
    char error[256];
    np_renewer_close(core->renewer, NULL, NULL);
    uv_run(&core->loop, UV_RUN_DEFAULT);
    np_store_close(core->store);
    core->store = core->api.store = NULL;
    core->renewer = NULL;
    core->due_known = false;
    if (np_store_open(database, false, &core->store, error, sizeof error)) {
        printf("hqcore: %s\n", error);
        return false;
    }
    core->api.store = core->store;
    must(np_renewer_new(&core->loop, core->store, &core->renewer), "renewer");
    return true;
}

void hqcore_free(struct hqcore *core)
{
    if (!core)
        return;
    np_renewer_close(core->renewer, NULL, NULL);
    uv_run(&core->loop, UV_RUN_DEFAULT);
    uv_loop_close(&core->loop);
    np_store_close(core->store);
    np_hq_key_free(core->grant_key);
    free(core);
}

void hqcore_key(const struct hqcore *core, struct np_public_key *out_key)
{
    np_hq_key_public(core->grant_key, out_key);
}

void hqcore_secret(const char *serial, uint8_t out_secret[32])
{
    np_hq_factory_secret(master, serial, out_secret);
}

void hqcore_handle(struct hqcore *core, const struct hqcore_request *request, int64_t now_us,
                   struct hqcore_answer *out_answer)
{
    char authorization[HQCORE_TEXT];
    struct np_api_request r = {.method = request->method,
                               .path = request->path,
                               .content_type = request->content_type,
                               .if_none_match = request->etag,
                               .body = request->body,
                               .body_len = request->body_len,
                               .now_us = now_us};
    struct np_api_response response;
    if (request->bearer) {
        snprintf(authorization, sizeof authorization, "Bearer %s", request->bearer);
        r.authorization = authorization;
    }
    must(np_addr_parse("198.51.100.77", &r.client), "client");
    core->due_known = false;
    np_api_handle(&core->api, &r, &response);
    must(np_store_commit(core->store), "commit");
    *out_answer = (struct hqcore_answer){.status = response.status,
                                         .retry_after_s = response.retry_after_s,
                                         .body = response.body,
                                         .body_len = response.body_len};
    snprintf(out_answer->nonce, sizeof out_answer->nonce, "%s", response.nonce);
    snprintf(out_answer->etag, sizeof out_answer->etag, "%s", response.etag);
}

void hqcore_ca(struct hqcore *core, bool away, int64_t life_s)
{
    core->due_known = false;
    core->ca_away = away;
    core->life_s = life_s;
}

/* Orders copied out of the store. */
struct batch {
    struct np_order orders[BATCH];
    size_t count;
};

static int collect(void *ctx, const struct np_order *order)
{
    struct batch *batch = ctx;
    if (batch->count == BATCH)
        return 1;
    batch->orders[batch->count++] = *order;
    return 0;
}

static void queued(struct hqcore *core, struct batch *batch)
{
    batch->count = 0;
    for (size_t i = 0; i < NP_QUEUE_LANES && batch->count < BATCH; i++)
        must(np_store_queue_each(core->store, np_queue_lane(i), BATCH, collect, batch), "queue");
}

static void sign(struct hqcore *core, struct np_order *order, int64_t now_ms)
{
    static const uint8_t point[] = {0x03, 0x42, 0x00}; /* a BIT STRING of 65 bytes */
    const uint8_t *at = memmem(order->csr, order->csr_len, point, sizeof point);
    struct np_public_key key;
    struct np_private_key root = test_ca_key(ROOT), ca = test_ca_key(CA);
    struct np_package *package = calloc(1, sizeof *package);
    const char *sans[NP_SAN_MAX];
    if (!package || !at || np_public_key_decode(at + sizeof point, 65, &key))
        abort();
    for (size_t i = 0; i < order->authorization_count; i++)
        sans[i] = order->authorizations[i].name;
    int64_t now_s = now_ms / 1000, n;
    struct test_certificate leaf = {.subject = "",
                                    .issuer = "CA",
                                    .key = &key,
                                    .signer = &ca,
                                    .sans = sans,
                                    .san_count = order->authorization_count,
                                    .not_before_s = now_s - 3600,
                                    .not_after_s = now_s - 3600 + core->life_s};
    struct test_certificate above = {.subject = "CA",
                                     .issuer = "Root",
                                     .key = &ca.public,
                                     .signer = &root,
                                     .ca = true,
                                     .not_before_s = now_s - 86400,
                                     .not_after_s = now_s + 3650LL * 86400};
    struct np_renewal_window window;
    test_ca_pem(&leaf, package->chain, sizeof package->chain);
    test_ca_pem(&above, package->chain, sizeof package->chain);
    package->not_before_s = leaf.not_before_s;
    package->not_after_s = leaf.not_after_s;
    package->created_ms = now_ms;
    np_renewal_window_of_life(leaf.not_before_s, leaf.not_after_s, &window);
    package->renew_ms = np_renewal_point(&window, order->device);
    must(np_store_package_add(core->store, order, package, &n), "package");
    order->state = NP_ORDER_DONE;
    order->updated_ms = now_ms;
    must(np_store_order_update(core->store, order), "order");
    core->certificates++;
    free(package);
}

static uint32_t below(void *ctx, uint32_t bound)
{
    (void)ctx;
    return np_random_below(bound);
}

/* As hq/acme/order.c after a CA that does not answer. */
static void put_off(struct hqcore *core, struct np_order *order, int64_t now_ms)
{
    struct np_backoff backoff = {NP_ORDER_BACKOFF_FIRST_MS, NP_ORDER_BACKOFF_CAP_MS, (unsigned)order->attempts};
    order->state = NP_ORDER_BACKOFF;
    order->attempts++;
    order->next_try_ms = now_ms + np_backoff_fail(&backoff, 0, below, NULL);
    order->updated_ms = now_ms;
    must(np_store_order_update(core->store, order), "order");
}

static int64_t ready_ms(const struct np_order *order)
{
    return (order->updated_ms > order->created_ms ? order->updated_ms : order->created_ms) + CA_MS;
}

static int64_t find_due_ms(struct hqcore *core)
{
    struct batch batch;
    int64_t due_ms = core->beat_ms, next_ms;
    if (np_store_naming_next_end(core->store, &next_ms) == 0 && next_ms < due_ms / 1000)
        due_ms = next_ms * 1000;
    if (np_store_renewals_next(core->store, &next_ms) == 0 && next_ms < due_ms)
        due_ms = next_ms;
    if (np_store_queue_next_try(core->store, &next_ms) == 0 && next_ms < due_ms)
        due_ms = next_ms;
    queued(core, &batch);
    for (size_t i = 0; i < batch.count; i++)
        due_ms = ready_ms(&batch.orders[i]) < due_ms ? ready_ms(&batch.orders[i]) : due_ms;
    return due_ms;
}

int64_t hqcore_due_ms(struct hqcore *core)
{
    if (!core->due_known)
        core->due_ms = find_due_ms(core);
    core->due_known = true;
    return core->due_ms;
}

void hqcore_turn(struct hqcore *core, int64_t now_ms)
{
    struct batch batch;
    core->due_known = false;
    if (now_ms >= core->beat_ms) {
        np_renewer_beat(core->renewer, now_ms);
        core->beat_ms = now_ms + HQCORE_BEAT_MS;
    }
    must(np_store_naming_end_due(core->store, NULL, now_ms / 1000, BATCH), "names");
    must(np_renewer_turn(core->renewer, now_ms), "renewals");
    must(np_store_queue_refill(core->store, now_ms), "queue");
    queued(core, &batch);
    for (size_t i = 0; i < batch.count; i++) {
        if (now_ms < ready_ms(&batch.orders[i]))
            continue;
        if (core->ca_away)
            put_off(core, &batch.orders[i], now_ms);
        else
            sign(core, &batch.orders[i], now_ms);
    }
    must(np_store_commit(core->store), "commit");
}

/* A walk over the devices. */
struct walk {
    struct hqcore *core;
    struct hqcore_counts counts;
    const char *name;
    int64_t holders;
    size_t page; /* rows of this one */
    char after[NP_NAME_MAX + 1];
};

static int count_order(void *ctx, const struct np_order *order)
{
    struct walk *walk = ctx;
    walk->counts.live_orders += order->state != NP_ORDER_DEAD || order->order_url[0];
    return 0;
}

static int count_device(void *ctx, const struct np_device *device)
{
    struct walk *walk = ctx;
    int64_t orders = 0, oldest;
    struct np_lives lives;
    must(np_store_lives_get(walk->core->store, device->id, &lives), "lives");
    walk->counts.clones += lives.suspected_s != 0;
    walk->page++;
    snprintf(walk->after, sizeof walk->after, "%s", device->name);
    walk->counts.devices++;
    walk->counts.live += device->state == NP_DEVICE_ACTIVE;
    if (walk->name && device->state == NP_DEVICE_ACTIVE && strcmp(walk->name, device->name) == 0)
        walk->holders++;
    must(np_store_order_count(walk->core->store, device->id, 0, &orders, &oldest), "orders");
    walk->counts.orders += orders;
    if (device->state == NP_DEVICE_ACTIVE) {
        must(np_store_orders_of(walk->core->store, device->id, ORDERS_MAX, count_order, walk), "orders");
        walk->counts.live_packages += device->auth_n;
    }
    return 0;
}

static void walk_devices(struct walk *walk)
{
    do {
        char after[sizeof walk->after];
        memcpy(after, walk->after, sizeof after);
        walk->page = 0;
        must(np_store_devices_page(walk->core->store, NP_DEVICES_ALL, after, DEVICES_PAGE, count_device, walk),
             "devices");
    } while (walk->page == DEVICES_PAGE);
}

struct hqcore_counts hqcore_count(struct hqcore *core)
{
    struct walk walk = {.core = core};
    walk_devices(&walk);
    walk.counts.certificates = core->certificates;
    return walk.counts;
}

bool hqcore_shows(struct hqcore *core, const char *name)
{
    struct np_zone_name shown;
    must(np_store_name_get(core->store, name, &shown), "name");
    return shown.present;
}

int64_t hqcore_holders(struct hqcore *core, const char *name)
{
    struct walk walk = {.core = core, .name = name};
    walk_devices(&walk);
    return walk.holders;
}

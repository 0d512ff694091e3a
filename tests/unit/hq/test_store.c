/* The store: what is written is read back, unique names hold between programs, a newer schema is refused, and commits
 * tell their waiters the truth. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "hq/acme/queue.h"
#include "hq/store/account.h"
#include "hq/store/store.h"
#include "resolver/base/error.h"
#include "resolver/base/monotonic.h"
#include "tests/unit/hq/database.h"

#define NOW_S INT64_C(1790000000)

struct fixture {
    struct database database;
    struct np_store *store;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    database_make(&f->database);
    f->store = database_open(&f->database);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    np_store_close(f->store);
    database_remove(&f->database);
    free(f);
    return 0;
}

static struct np_addr addr(const char *text)
{
    struct np_addr a;
    assert_int_equal(np_addr_parse(text, &a), 0);
    return a;
}

static struct np_device make_device(unsigned n, const char *name)
{
    struct np_device d = {.state = NP_DEVICE_ACTIVE, .credential = NP_CREDENTIAL_FACTORY_SECRET};
    snprintf(d.id, sizeof d.id, "device-%u", n);
    snprintf(d.name, sizeof d.name, "%s", name);
    snprintf(d.serial, sizeof d.serial, "NP-%04u", n);
    snprintf(d.network, sizeof d.network, "192.0.2.0/24");
    snprintf(d.model, sizeof d.model, "model");
    snprintf(d.version, sizeof d.version, "0.1.0");
    memset(d.identity.x, (int)n, 32);
    memset(d.identity.y, (int)n + 1, 32);
    memset(d.thumbprint, (int)n + 2, 32);
    memset(d.epoch, (int)n + 3, sizeof d.epoch);
    memset(d.token_hash, (int)n + 4, 32);
    d.nonce_us = NOW_S * 1000000;
    d.stated.v4[d.stated.v4_count++] = addr("192.168.1.10");
    d.stated.v4[d.stated.v4_count++] = addr("203.0.113.9");
    d.stated.v6[d.stated.v6_count++] = addr("fd00::1");
    d.published.v4[d.published.v4_count++] = addr("192.168.1.10");
    d.published.v6[d.published.v6_count++] = addr("fd00::1");
    d.created_s = d.last_seen_s = NOW_S;
    return d;
}

static struct np_order make_order(unsigned n, const struct np_device *device, enum np_order_priority priority)
{
    struct np_order o = {.state = NP_ORDER_QUEUED, .priority = priority, .csr_len = 5, .authorization_count = 1};
    snprintf(o.id, sizeof o.id, "order-%u", n);
    memcpy(o.device, device->id, sizeof o.device);
    memset(o.key, 0x80 + (int)n, 32);
    memcpy(o.csr, "\x30\x03\x02\x01\x00", 5);
    memcpy(o.authorizations[0].name, device->name, sizeof device->name);
    o.created_ms = o.updated_ms = NOW_S * 1000 + n;
    return o;
}

/* Every member, member by member: struct padding is not compared. */
static void assert_device_equal(const struct np_device *a, const struct np_device *b)
{
    assert_string_equal(a->id, b->id);
    assert_memory_equal(&a->identity, &b->identity, sizeof a->identity);
    assert_memory_equal(a->thumbprint, b->thumbprint, 32);
    assert_memory_equal(a->epoch, b->epoch, sizeof a->epoch);
    assert_memory_equal(a->token_hash, b->token_hash, 32);
    assert_int_equal(a->auth_n, b->auth_n);
    assert_int_equal(a->auth_n_used, b->auth_n_used);
    assert_string_equal(a->name, b->name);
    assert_string_equal(a->serial, b->serial);
    assert_int_equal(a->credential, b->credential);
    assert_int_equal(a->state, b->state);
    assert_string_equal(a->network, b->network);
    assert_int_equal(a->nonce_us, b->nonce_us);
    assert_int_equal(a->seq, b->seq);
    assert_true(np_addresses_equal(&a->stated, &b->stated));
    assert_true(np_addresses_equal(&a->published, &b->published));
    assert_int_equal(a->publish, b->publish);
    assert_string_equal(a->model, b->model);
    assert_string_equal(a->version, b->version);
    assert_int_equal(a->created_s, b->created_s);
    assert_int_equal(a->last_seen_s, b->last_seen_s);
    assert_int_equal(a->silent_s, b->silent_s);
}

static void test_device_round_trip(void **state)
{
    struct fixture *f = *state;
    struct np_device d = make_device(1, "nifty-babbage.devices.example"), got;
    assert_int_equal(np_store_device_add(f->store, &d), 0);
    assert_int_equal(np_store_device_get(f->store, d.id, &got), 0);
    assert_device_equal(&d, &got);
    d.silent_s = NOW_S + 7;
    d.auth_n = 3;
    d.auth_n_used = 2;
    d.seq = 9;
    d.nonce_us++;
    d.state = NP_DEVICE_BLOCKED;
    d.publish = NP_PUBLISH_LOCAL_ONLY;
    d.published = (struct np_addresses){0};
    d.stated = (struct np_addresses){0};
    d.last_seen_s++;
    memset(d.token_hash, 0xee, 32);
    snprintf(d.version, sizeof d.version, "0.2.0");
    assert_int_equal(np_store_device_update(f->store, &d), 0);
    /* After a restart as well. */
    assert_int_equal(np_store_commit(f->store), 0);
    np_store_close(f->store);
    f->store = database_open(&f->database);
    assert_int_equal(np_store_device_find(f->store, d.thumbprint, d.epoch, &got), 0);
    assert_device_equal(&d, &got);
    assert_int_equal(np_store_device_get(f->store, "nobody", &got), NP_E_NOT_FOUND);
    snprintf(d.id, sizeof d.id, "nobody");
    assert_int_equal(np_store_device_update(f->store, &d), NP_E_NOT_FOUND);
}

static void test_names_are_unique(void **state)
{
    struct fixture *f = *state;
    struct np_store *second = database_open(&f->database); /* another HQ process on the same file */
    struct np_device a = make_device(1, "nifty-babbage.devices.example"), b = make_device(2, a.name), got;
    assert_int_equal(np_store_device_add(f->store, &a), 0);
    assert_int_equal(np_store_device_add(f->store, &b), NP_E_CONFLICT);
    assert_int_equal(np_store_commit(f->store), 0);
    assert_int_equal(np_store_device_add(second, &b), NP_E_CONFLICT);
    snprintf(b.name, sizeof b.name, "Nifty-BABBAGE.devices.example");
    assert_int_equal(np_store_device_add(second, &b), NP_E_CONFLICT);
    snprintf(b.name, sizeof b.name, "calm-noether.devices.example");
    assert_int_equal(np_store_device_add(second, &b), 0);
    assert_int_equal(np_store_commit(second), 0);
    np_store_close(second);
    assert_int_equal(np_store_device_get(f->store, b.id, &got), 0);
    /* The same identity in the same epoch is a repetition, in another epoch a device of its own. */
    b = make_device(3, "bold-curie.devices.example");
    memcpy(b.thumbprint, a.thumbprint, 32);
    memcpy(b.epoch, a.epoch, sizeof b.epoch);
    assert_int_equal(np_store_device_add(f->store, &b), -EEXIST);
    b.epoch[0] ^= 1;
    assert_int_equal(np_store_device_add(f->store, &b), 0);
    /* A tombstone keeps a name for ever. */
    b = make_device(4, "gone-lovelace.devices.example");
    assert_int_equal(np_store_tombstone_add(f->store, b.name, NOW_S), 0);
    assert_int_equal(np_store_device_add(f->store, &b), NP_E_CONFLICT);
}

static void wait_for_lock(struct np_store *store)
{
    int64_t end_ms = np_monotonic_ms() + 20000;
    while (np_store_lock(store) && np_monotonic_ms() < end_ms)
        poll(NULL, 0, 10);
}

/* While another program keeps its lock, who wants to write waits for it once: the rest of his requests is told at once
 * that it cannot be. */
static void test_a_lock_is_waited_for_once(void **state)
{
    struct fixture *f = *state;
    struct np_store *other = database_open(&f->database);
    struct np_device d = make_device(1, "nifty-babbage.devices.example");
    np_store_set_patience(f->store, 300);
    assert_int_equal(np_store_lock(other), 0);
    assert_int_equal(np_store_lock(f->store), -EAGAIN);
    assert_null(strstr(np_store_error(f->store), "a moment ago"));
    assert_int_equal(np_store_lock(f->store), -EAGAIN);
    assert_non_null(strstr(np_store_error(f->store), "a moment ago"));
    assert_int_equal(np_store_device_add(f->store, &d), -EAGAIN);
    assert_int_equal(np_store_device_get(f->store, d.id, &d), NP_E_NOT_FOUND); /* who reads is served */
    assert_int_equal(np_store_commit(f->store), 0);
    np_store_close(other);
    wait_for_lock(f->store);
    assert_int_equal(np_store_device_add(f->store, &d), 0);
    assert_int_equal(np_store_commit(f->store), 0);
}

static void test_newer_schema_is_refused(void **state)
{
    struct fixture *f = *state;
    struct np_store *store = NULL;
    char error[512], other[128], at_server[128];
    assert_int_equal(np_store_commit(f->store), 0);
    np_store_close(f->store);
    f->store = NULL;
    snprintf(other, sizeof other, "PRAGMA user_version = %d", NP_STORE_SCHEMA + 1);
    snprintf(at_server, sizeof at_server, "UPDATE nameplate_schema SET version = %d", NP_STORE_SCHEMA + 1);
    database_run(&f->database, other, at_server);
    assert_int_equal(np_store_open(f->database.where, false, &store, error, sizeof error), NP_E_VERSION);
    snprintf(other, sizeof other, "schema %d", NP_STORE_SCHEMA + 1);
    assert_non_null(strstr(error, other));
    assert_null(store);
    /* Nor is somebody else's database taken for ours, or made by who only reads. */
    database_run(&f->database, "PRAGMA user_version = 1; PRAGMA application_id = 7", "DROP TABLE nameplate_schema");
    assert_int_equal(np_store_open(f->database.where, false, &store, error, sizeof error), NP_E_STORE);
    snprintf(other, sizeof other, "%s/other.db", f->database.folder);
    assert_int_equal(np_store_open(other, true, &store, error, sizeof error), NP_E_NOT_FOUND);
    assert_int_not_equal(access(other, F_OK), 0);
}

static void test_no_database_at_all(void **state)
{
    (void)state;
    struct np_store *store = NULL;
    char error[256] = "";
    assert_int_equal(np_store_open("/nowhere/hq.db", false, &store, error, sizeof error), NP_E_STORE);
    assert_non_null(strstr(error, "/nowhere/hq.db"));
}

static void test_keys(void **state)
{
    struct fixture *f = *state;
    struct np_device a = make_device(1, "a-a.devices.example"), b = make_device(2, "b-b.devices.example");
    char owner[NP_DEVICE_ID_MAX + 1];
    int64_t count, oldest;
    assert_int_equal(np_store_device_add(f->store, &a), 0);
    assert_int_equal(np_store_device_add(f->store, &b), 0);
    struct np_order first = make_order(1, &a, NP_PRIORITY_NEW), second = make_order(2, &b, NP_PRIORITY_NEW);
    assert_int_equal(np_store_order_add(f->store, &first), 0);
    memcpy(second.key, first.key, 32);
    assert_int_equal(np_store_order_add(f->store, &second), NP_E_CONFLICT); /* another device's */
    memcpy(second.key, a.thumbprint, 32);
    assert_int_equal(np_store_order_add(f->store, &second), NP_E_CONFLICT); /* somebody's identity */
    assert_int_equal(np_store_key_owner(f->store, a.thumbprint, owner), NP_E_NOT_FOUND);
    assert_int_equal(np_store_key_is_identity(f->store, a.thumbprint), 1);
    assert_int_equal(np_store_key_is_identity(f->store, first.key), 0);
    assert_int_equal(np_store_key_owner(f->store, first.key, owner), 0);
    assert_string_equal(owner, a.id);
    struct np_order again = make_order(3, &a, NP_PRIORITY_NEW);
    memcpy(again.key, first.key, 32);
    assert_int_equal(np_store_order_add(f->store, &again), 0); /* its own, again */
    assert_int_equal(np_store_key_count(f->store, a.id, NOW_S - 10, &count, &oldest), 0);
    assert_int_equal(count, 1);
    assert_int_equal(oldest, NOW_S);
    assert_int_equal(np_store_key_count(f->store, a.id, NOW_S + 10, &count, &oldest), 0);
    assert_int_equal(count, 0);
}

static int remember_ids(void *ctx, const struct np_order *order)
{
    char *text = ctx;
    size_t used = strlen(text);
    snprintf(text + used, 256 - used, "%s ", order->id);
    return 0;
}

/* The whole queue, lane by lane. */
static void expect_queue(struct np_store *store, const char *wanted)
{
    char ids[256] = "";
    for (size_t i = 0; i < NP_QUEUE_LANES; i++)
        assert_int_equal(np_store_queue_each(store, np_queue_lane(i), 10, remember_ids, ids), 0);
    assert_string_equal(ids, wanted);
}

static void expect_position(struct np_store *store, const struct np_order *order, int64_t wanted, int64_t fresh)
{
    struct np_queue_place place;
    assert_int_equal(np_store_queue_place(store, order, &place), 0);
    assert_int_equal(place.ahead, wanted);
    assert_int_equal(place.fresh_ahead, fresh);
}

/* Orders 0 to 6, each of a device of its own: by priority, renewals before fresh ones, then by age. */
static void test_queue(void **state)
{
    struct fixture *f = *state;
    static const struct {
        enum np_order_priority priority;
        int64_t renews;
    } rows[] = {{NP_PRIORITY_OPEN, 0},    {NP_PRIORITY_NEW, 0},    {NP_PRIORITY_URGENT, 0}, {NP_PRIORITY_NEW, 0},
                {NP_PRIORITY_ROUTINE, 0}, {NP_PRIORITY_URGENT, 4}, {NP_PRIORITY_ROUTINE, 1}};
    struct np_order o[7];
    char name[64], ids[64] = "";
    for (unsigned i = 0; i < 7; i++) {
        snprintf(name, sizeof name, "a-%u.devices.example", i);
        struct np_device d = make_device(i, name);
        assert_int_equal(np_store_device_add(f->store, &d), 0);
        o[i] = make_order(i, &d, rows[i].priority);
        o[i].renews = rows[i].renews;
        o[i].created_ms += i;
        assert_int_equal(np_store_order_add(f->store, &o[i]), 0);
    }
    expect_queue(f->store, "order-5 order-2 order-1 order-3 order-6 order-4 order-0 ");
    expect_position(f->store, &o[5], 0, 0);
    expect_position(f->store, &o[3], 3, 2);
    expect_position(f->store, &o[0], 6, 4);
    /* One more of a device that has one begun: left out, but counted. */
    struct np_order again = o[3];
    snprintf(again.id, sizeof again.id, "again");
    again.created_ms += 100;
    assert_int_equal(np_store_order_add(f->store, &again), 0);
    expect_queue(f->store, "order-5 order-2 order-1 order-3 again order-6 order-4 order-0 ");
    o[3].begun = true;
    assert_int_equal(np_store_order_update(f->store, &o[3]), 0);
    expect_queue(f->store, "order-5 order-2 order-1 order-6 order-4 order-0 ");
    expect_position(f->store, &o[0], 6, 4);
    assert_int_equal(np_store_orders_under_way(f->store, remember_ids, ids), 0);
    assert_string_equal(ids, "order-3 ");
    assert_int_equal(np_store_queue_each(f->store, np_queue_lane(NP_QUEUE_LANES - 1), 0, remember_ids, ids), 0);
    assert_string_equal(ids, "order-3 ");
    /* In the meantime it became urgent. */
    assert_int_equal(np_store_order_hurry(f->store, "order-6", NP_PRIORITY_URGENT), 0);
    assert_int_equal(np_store_order_hurry(f->store, "order-3", NP_PRIORITY_URGENT), 0);
    expect_queue(f->store, "order-5 order-6 order-2 order-1 order-4 order-0 ");
}

static void test_orders(void **state)
{
    struct fixture *f = *state;
    struct np_device d = make_device(1, "a-a.devices.example");
    struct np_order got, o[5];
    int64_t next;
    char ids[256] = "";
    assert_int_equal(np_store_device_add(f->store, &d), 0);
    for (unsigned i = 0; i < 5; i++) {
        o[i] = make_order(i, &d, NP_PRIORITY_NEW);
        assert_int_equal(np_store_order_add(f->store, &o[i]), 0);
    }
    assert_int_equal(np_store_queue_next_try(f->store, &next), 0);
    assert_true(next == INT64_MAX);
    o[3].state = NP_ORDER_BACKOFF;
    o[3].next_try_ms = 5000;
    o[3].attempts = 2;
    snprintf(o[3].error, sizeof o[3].error, "the CA said no");
    assert_int_equal(np_store_order_update(f->store, &o[3]), 0);
    expect_queue(f->store, "order-0 order-1 order-2 order-4 ");
    assert_int_equal(np_store_queue_next_try(f->store, &next), 0);
    assert_int_equal(next, 5000);
    assert_int_equal(np_store_queue_refill(f->store, 4999), 0);
    expect_queue(f->store, "order-0 order-1 order-2 order-4 ");
    assert_int_equal(np_store_queue_refill(f->store, 5000), 0);
    expect_queue(f->store, "order-0 order-1 order-2 order-3 order-4 ");
    assert_int_equal(np_store_queue_next_try(f->store, &next), 0);
    assert_true(next == INT64_MAX);
    assert_int_equal(np_store_order_get(f->store, "order-3", &got), 0);
    assert_int_equal(got.attempts, 2);
    o[4].state = NP_ORDER_TXT_QUEUED;
    snprintf(o[4].order_url, sizeof o[4].order_url, "https://ca.example/order/1");
    snprintf(o[4].authorizations[0].txt, sizeof o[4].authorizations[0].txt, "value");
    snprintf(o[4].authorizations[0].url, sizeof o[4].authorizations[0].url, "https://ca.example/authz/1");
    assert_int_equal(np_store_order_update(f->store, &o[4]), 0);
    assert_int_equal(np_store_orders_under_way(f->store, remember_ids, ids), 0);
    assert_string_equal(ids, "order-4 ");
    expect_queue(f->store, ""); /* all of one device */

    assert_int_equal(np_store_commit(f->store), 0);
    np_store_close(f->store);
    f->store = database_open(&f->database);
    assert_int_equal(np_store_order_get(f->store, "order-4", &got), 0);
    assert_int_equal(got.state, NP_ORDER_TXT_QUEUED);
    assert_string_equal(got.order_url, o[4].order_url);
    assert_int_equal(got.authorization_count, 1);
    assert_string_equal(got.authorizations[0].name, d.name);
    assert_string_equal(got.authorizations[0].txt, "value");
    assert_string_equal(got.authorizations[0].url, "https://ca.example/authz/1");
    assert_int_equal(got.csr_len, 5);
    assert_memory_equal(got.csr, o[4].csr, 5);
    assert_int_equal(np_store_order_get(f->store, "order-3", &got), 0);
    assert_string_equal(got.error, "the CA said no");
    assert_int_equal(got.attempts, 2);
    assert_int_equal(np_store_order_newest(f->store, d.id, &got), 0);
    assert_string_equal(got.id, "order-4");
    snprintf(got.id, sizeof got.id, "none");
    assert_int_equal(np_store_order_update(f->store, &got), NP_E_STALE);
}

static void test_packages_count_up(void **state)
{
    struct fixture *f = *state;
    struct np_device d = make_device(1, "a-a.devices.example"), got;
    struct np_order o = make_order(1, &d, NP_PRIORITY_NEW);
    struct np_package p = {.not_before_s = 1, .not_after_s = 2, .created_ms = 3}, read;
    int64_t n = 0;
    assert_int_equal(np_store_device_add(f->store, &d), 0);
    assert_int_equal(np_store_order_add(f->store, &o), 0);
    assert_int_equal(np_store_package_newest(f->store, d.id, o.key, &read), NP_E_NOT_FOUND);
    for (int i = 1; i <= 2; i++) {
        snprintf(p.chain, sizeof p.chain, "-----BEGIN CERTIFICATE----- %d", i);
        assert_int_equal(np_store_package_add(f->store, &o, &p, &n), 0);
        assert_int_equal(n, i);
        assert_int_equal(np_store_package_newest(f->store, d.id, o.key, &read), 0);
        assert_int_equal(read.n, i);
        assert_string_equal(read.chain, p.chain);
        assert_string_equal(read.order, o.id);
        assert_int_equal(np_store_device_get(f->store, d.id, &got), 0);
        assert_int_equal(got.auth_n, i);
    }
    assert_int_equal(np_store_order_get(f->store, o.id, &o), 0);
    assert_int_equal(o.state, NP_ORDER_ISSUED);
    /* An order without its device changes nothing at all. */
    struct np_order stray = make_order(9, &d, NP_PRIORITY_NEW);
    assert_int_equal(np_store_order_add(f->store, &stray), 0);
    snprintf(stray.device, sizeof stray.device, "nobody");
    assert_int_equal(np_store_package_add(f->store, &stray, &p, &n), NP_E_NOT_FOUND);
    assert_int_equal(np_store_order_get(f->store, stray.id, &stray), 0);
    assert_int_equal(stray.state, NP_ORDER_QUEUED);
}

static int remember_name(void *ctx, const struct np_zone_name *name)
{
    *(struct np_zone_name *)ctx = *name;
    return 1;
}

static void test_dirty_names(void **state)
{
    struct fixture *f = *state;
    struct np_device d = make_device(1, "a-a.devices.example");
    struct np_zone_name name;
    int64_t before, serial;
    assert_int_equal(np_store_zone_serial(f->store, &before), 0);
    assert_int_equal(np_store_device_add(f->store, &d), 0);
    assert_int_equal(np_store_take_events(f->store), 0); /* not committed yet */
    assert_int_equal(np_store_commit(f->store), 0);
    assert_int_equal(np_store_take_events(f->store), NP_STORE_NAMES_CHANGED);
    assert_int_equal(np_store_take_events(f->store), 0);
    assert_int_equal(np_store_zone_serial(f->store, &serial), 0);
    assert_true(serial > before);
    assert_int_equal(np_store_dirty_after(f->store, 0, 5, remember_name, &name), 1);
    assert_string_equal(name.name, d.name);
    assert_true(name.present);
    assert_true(np_addresses_equal(&name.published, &d.published));
    /* Marked again while it was being published: the older confirmation must not take the mark away. */
    d.published.v4[0] = addr("192.168.1.11");
    assert_int_equal(np_store_device_update(f->store, &d), 0);
    assert_int_equal(np_store_dirty_done(f->store, d.name, name.version), 0);
    assert_int_equal(np_store_dirty_after(f->store, 0, 5, remember_name, &name), 1);
    assert_true(np_addr_equal(&name.published.v4[0], &d.published.v4[0]));
    assert_int_equal(np_store_dirty_done(f->store, d.name, name.version), 0);
    assert_int_equal(np_store_dirty_after(f->store, 0, 5, remember_name, &name), 0);
    /* What the zone does not show makes nothing dirty. */
    d.seq = 12;
    assert_int_equal(np_store_device_update(f->store, &d), 0);
    assert_int_equal(np_store_dirty_after(f->store, 0, 5, remember_name, &name), 0);
    assert_int_equal(np_store_names_after(f->store, "", 100, remember_name, &name), 1);
    d.state = NP_DEVICE_RETIRED;
    assert_int_equal(np_store_device_update(f->store, &d), 0);
    assert_int_equal(np_store_names_after(f->store, "", 100, remember_name, &name), 0);
    assert_int_equal(np_store_dirty_after(f->store, 0, 5, remember_name, &name), 1);
    assert_false(name.present);
}

/* What a walk in slices has seen. */
struct walk {
    char last[NP_NAME_MAX + 1];
    unsigned count;
};

static int walk_on(void *ctx, const struct np_zone_name *name)
{
    struct walk *walk = ctx;
    assert_true(strcmp(walk->last, name->name) < 0);
    memcpy(walk->last, name->name, sizeof walk->last);
    walk->count++;
    return 0;
}

/* Names that come and go between the slices neither stop nor double the walk. */
static void test_names_in_slices(void **state)
{
    struct fixture *f = *state;
    struct walk walk = {.last = ""};
    struct np_device d;
    char name[32];
    for (unsigned i = 0; i < 50; i++) {
        snprintf(name, sizeof name, "n%02u.devices.example", i * 2);
        d = make_device(i, name);
        assert_int_equal(np_store_device_add(f->store, &d), 0);
    }
    for (unsigned slice = 0; slice < 5; slice++) {
        assert_int_equal(np_store_names_after(f->store, walk.last, 7, walk_on, &walk), 0);
        assert_int_equal(walk.count, (slice + 1) * 7);
    }
    snprintf(name, sizeof name, "device-%u", 35); /* the next one leaves */
    assert_int_equal(np_store_device_retire(f->store, name, NP_REVOKE_CESSATION, NOW_S * 1000), 0);
    d = make_device(50, "n01.devices.example"); /* behind the walk */
    assert_int_equal(np_store_device_add(f->store, &d), 0);
    d = make_device(51, "n91.devices.example"); /* before it */
    assert_int_equal(np_store_device_add(f->store, &d), 0);
    assert_int_equal(np_store_names_after(f->store, walk.last, 100, walk_on, &walk), 0);
    assert_int_equal(walk.count, 50);
    assert_int_equal(np_store_names_after(f->store, walk.last, 100, walk_on, &walk), 0);
    assert_int_equal(walk.count, 50);
}

/* What `zone check` asks the store about a name. */
static void test_names_one_by_one(void **state)
{
    struct fixture *f = *state;
    struct np_device d = make_device(1, "a-a.devices.example");
    struct np_zone_name name;
    assert_int_equal(np_store_name_get(f->store, d.name, &name), 0);
    assert_string_equal(name.name, d.name);
    assert_false(name.present);
    assert_int_equal(name.version, 0);
    assert_int_equal(np_store_name_known(f->store, d.name), 0);
    assert_int_equal(np_store_device_add(f->store, &d), 0);
    assert_int_equal(np_store_name_known(f->store, "A-A.devices.example"), 1);
    assert_int_equal(np_store_name_get(f->store, d.name, &name), 0);
    assert_true(name.present && name.version > 0);
    assert_true(np_addresses_equal(&name.published, &d.published));
    assert_int_equal(np_store_dirty_done(f->store, d.name, name.version), 0);
    assert_int_equal(np_store_name_get(f->store, d.name, &name), 0);
    assert_int_equal(name.version, 0);
    assert_int_equal(np_store_name_mark(f->store, d.name), 0);
    assert_int_equal(np_store_name_mark(f->store, "nobody.devices.example"), 0);
    assert_int_equal(np_store_name_get(f->store, d.name, &name), 0);
    int64_t first = name.version;
    assert_true(first > 0);
    assert_int_equal(np_store_dirty_after(f->store, first, 5, remember_name, &name), 1);
    assert_string_equal(name.name, "nobody.devices.example");
    assert_false(name.present);
    assert_int_equal(np_store_dirty_after(f->store, name.version, 5, remember_name, &name), 0);
    /* Orders: one that waits counts, one that is over does not. */
    assert_int_equal(np_store_name_ordered(f->store, d.name), 0);
    struct np_order order = make_order(1, &d, NP_PRIORITY_NEW);
    assert_int_equal(np_store_order_add(f->store, &order), 0);
    assert_int_equal(np_store_name_ordered(f->store, d.name), 1);
    order.state = NP_ORDER_DEAD;
    assert_int_equal(np_store_order_update(f->store, &order), 0);
    assert_int_equal(np_store_name_ordered(f->store, d.name), 0);
    /* Gone: left, or silent. */
    assert_int_equal(np_store_names_gone_after(f->store, "", 5, remember_name, &name), 0);
    assert_int_equal(np_store_device_silence(f->store, d.id, NOW_S, NOW_S), 0);
    assert_int_equal(np_store_names_gone_after(f->store, "", 5, remember_name, &name), 1);
    assert_false(name.present);
    assert_int_equal(np_store_names_gone_after(f->store, d.name, 5, remember_name, &name), 0);
    assert_int_equal(np_store_names_after(f->store, "", 5, remember_name, &name), 0);
}

static void test_account(void **state)
{
    struct fixture *f = *state;
    static const char ca[] = "https://ca.example/dir";
    struct np_store_account account = {.url = "https://ca.example/acct/1", .key = "old", .next = "new"}, got;
    assert_int_equal(np_store_account_get(f->store, ca, &got), 0);
    assert_string_equal(got.key, "");
    assert_int_equal(np_store_account_forget(f->store, ca), NP_E_NOT_FOUND);
    assert_int_equal(np_store_account_put(f->store, ca, &account), 0);
    assert_int_equal(np_store_account_get(f->store, ca, &got), 0);
    assert_memory_equal(&got, &account, sizeof got);
    account = (struct np_store_account){.url = "https://ca.example/acct/1", .key = "new"};
    assert_int_equal(np_store_account_put(f->store, ca, &account), 0);
    assert_int_equal(np_store_account_get(f->store, ca, &got), 0);
    assert_string_equal(got.key, "new");
    assert_string_equal(got.next, "");
    assert_int_equal(np_store_account_get(f->store, "https://other.example/dir", &got), 0);
    assert_string_equal(got.url, "");
    assert_int_equal(np_store_account_forget(f->store, ca), 0);
    assert_int_equal(np_store_account_get(f->store, ca, &got), 0);
    assert_string_equal(got.url, "");
}

/* No number is given twice, also after a crash that loses those in reserve. */
static void test_serials(void **state)
{
    struct fixture *f = *state;
    int64_t from, next;
    assert_int_equal(np_store_serials_reserve(f->store, 1000, &from), 0);
    assert_int_equal(from, 1000);
    assert_int_equal(np_store_serials_reserve(f->store, 1000, &next), 0);
    assert_int_equal(next, from + NP_STORE_SERIALS);
    assert_int_equal(np_store_commit(f->store), 0);
    np_store_close(f->store);
    f->store = database_open(&f->database);
    assert_int_equal(np_store_serials_reserve(f->store, 5, &next), 0);
    assert_int_equal(next, from + 2 * NP_STORE_SERIALS);
    assert_int_equal(np_store_serials_reserve(f->store, NOW_S, &next), 0);
    assert_int_equal(next, NOW_S);
}

static void test_counts(void **state)
{
    struct fixture *f = *state;
    struct np_store_counts counts;
    for (unsigned i = 1; i <= 4; i++) {
        char name[64];
        snprintf(name, sizeof name, "n-%u.devices.example", i);
        struct np_device d = make_device(i, name);
        snprintf(d.serial, sizeof d.serial, "NP-1");
        d.created_s = NOW_S + i;
        d.credential = i == 4 ? NP_CREDENTIAL_OPEN : NP_CREDENTIAL_FACTORY_SECRET;
        d.state = i == 1 ? NP_DEVICE_RETIRED : NP_DEVICE_ACTIVE;
        assert_int_equal(np_store_device_add(f->store, &d), 0);
    }
    assert_int_equal(np_store_count_serial(f->store, "NP-1", NOW_S + 3, &counts), 0);
    assert_int_equal(counts.live, 2); /* the fourth only says that it has this serial number */
    assert_int_equal(counts.recent, 1);
    assert_int_equal(np_store_count_serial(f->store, "", 0, &counts), 0);
    assert_int_equal(counts.live, 0);
    assert_int_equal(np_store_count_network(f->store, "192.0.2.0/24", 0, &counts), 0);
    assert_int_equal(counts.recent, 1);
}

struct heard {
    struct np_store *store;
    struct np_store_waiter *other, *again;
    int rc, calls;
};

static void on_commit(void *ctx, int rc)
{
    struct heard *heard = ctx;
    heard->rc = rc;
    heard->calls++;
    if (heard->other)
        np_store_waiter_cancel(heard->store, heard->other);
    if (heard->again)
        np_store_after_commit(heard->store, heard->again);
    heard->again = NULL;
}

static void test_waiters(void **state)
{
    struct fixture *f = *state;
    struct heard a = {.store = f->store, .rc = 1}, b = {.store = f->store, .rc = 1};
    struct np_store_waiter wait_a = {.done = on_commit, .ctx = &a}, wait_b = {.done = on_commit, .ctx = &b};
    struct np_device d = make_device(1, "a-a.devices.example");
    assert_int_equal(np_store_device_add(f->store, &d), 0);
    np_store_after_commit(f->store, &wait_a);
    np_store_after_commit(f->store, &wait_a); /* once is enough */
    np_store_after_commit(f->store, &wait_b);
    assert_int_equal(a.calls, 0);
    a.other = &wait_b; /* one object of a connection may go because of the other's news */
    assert_int_equal(np_store_commit(f->store), 0);
    assert_int_equal(a.calls, 1);
    assert_int_equal(a.rc, 0);
    assert_int_equal(b.calls, 0);
    assert_int_equal(np_store_commit(f->store), 0);
    assert_int_equal(a.calls, 1);
}

/* Who queues again from his callback waits for the next commit, and the loop must know that there is to be one. */
static void test_waiting_again(void **state)
{
    struct fixture *f = *state;
    struct heard heard = {.store = f->store};
    struct np_store_waiter waiter = {.done = on_commit, .ctx = &heard};
    heard.again = &waiter;
    assert_false(np_store_awaited(f->store));
    np_store_after_commit(f->store, &waiter);
    assert_true(np_store_awaited(f->store));
    assert_int_equal(np_store_commit(f->store), 0);
    assert_int_equal(heard.calls, 1);
    assert_true(np_store_awaited(f->store));
    assert_int_equal(np_store_commit(f->store), 0);
    assert_int_equal(heard.calls, 2);
    assert_false(np_store_awaited(f->store));
}

static void test_busy_database(void **state)
{
    struct fixture *f = *state;
    struct heard heard = {.rc = 1};
    struct np_store_waiter waiter = {.done = on_commit, .ctx = &heard};
    struct np_device first = make_device(1, "a-a.devices.example"), got;
    assert_int_equal(np_store_device_add(f->store, &first), 0);
    assert_int_equal(np_store_commit(f->store), 0);
    np_store_take_events(f->store);
    /* A second program holds the write lock: nothing can be written, and that is said at once after the busy time. */
    struct np_store *other = database_open(&f->database);
    assert_int_equal(np_store_lock(other), 0);
    np_store_set_patience(f->store, 10);
    struct np_device second = make_device(2, "b-b.devices.example");
    np_store_after_commit(f->store, &waiter);
    assert_int_equal(np_store_device_add(f->store, &second), -EAGAIN);
    assert_int_equal(np_store_commit(f->store), 0); /* nothing was written, nothing lost */
    np_store_close(other);
    assert_int_equal(np_store_device_get(f->store, second.id, &got), NP_E_NOT_FOUND);
    wait_for_lock(f->store);
    assert_int_equal(np_store_device_add(f->store, &second), 0);
    assert_int_equal(np_store_commit(f->store), 0);
    assert_int_equal(np_store_take_events(f->store), NP_STORE_NAMES_CHANGED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_device_round_trip, setup, teardown),
        cmocka_unit_test_setup_teardown(test_names_are_unique, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_lock_is_waited_for_once, setup, teardown),
        cmocka_unit_test_setup_teardown(test_newer_schema_is_refused, setup, teardown),
        cmocka_unit_test(test_no_database_at_all),
        cmocka_unit_test_setup_teardown(test_keys, setup, teardown),
        cmocka_unit_test_setup_teardown(test_queue, setup, teardown),
        cmocka_unit_test_setup_teardown(test_orders, setup, teardown),
        cmocka_unit_test_setup_teardown(test_packages_count_up, setup, teardown),
        cmocka_unit_test_setup_teardown(test_dirty_names, setup, teardown),
        cmocka_unit_test_setup_teardown(test_names_in_slices, setup, teardown),
        cmocka_unit_test_setup_teardown(test_names_one_by_one, setup, teardown),
        cmocka_unit_test_setup_teardown(test_account, setup, teardown),
        cmocka_unit_test_setup_teardown(test_serials, setup, teardown),
        cmocka_unit_test_setup_teardown(test_counts, setup, teardown),
        cmocka_unit_test_setup_teardown(test_waiters, setup, teardown),
        cmocka_unit_test_setup_teardown(test_waiting_again, setup, teardown),
        cmocka_unit_test_setup_teardown(test_busy_database, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

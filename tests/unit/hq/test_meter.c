/* The limits in the database: what orders pay and get back, over a crash, between two HQs, and what a refusal changes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "hq/acme/meter.h"
#include "resolver/base/error.h"
#include "tests/unit/hq/database.h"

#define NOW_MS INT64_C(1790000000000)
#define HOUR   INT64_C(3600000)
#define CA     "https://ca.example/dir"

struct fixture {
    struct database database;
    struct np_store *store;
    struct np_limits limits;
    struct np_meter meter;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    database_make(&f->database);
    f->store = database_open(&f->database);
    assert_true(np_limits_preset("letsencrypt", &f->limits));
    f->meter = (struct np_meter){.store = f->store, .ca = CA, .limits = &f->limits};
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

static struct np_order make_order(const char *label)
{
    struct np_order order = {.authorization_count = 1, .priority = NP_PRIORITY_NEW, .csr_len = 1};
    snprintf(order.id, sizeof order.id, "order-%s", label);
    snprintf(order.device, sizeof order.device, "device-%s", label);
    snprintf(order.authorizations[0].name, sizeof order.authorizations[0].name, "%s.devices.example", label);
    return order;
}

/* Where the order stands: how long it has to wait, and for what. */
static int64_t wait_of(const struct np_meter *meter, const struct np_order *order, int64_t now_ms,
                       enum np_limit *out_kind)
{
    struct np_limit_view view;
    assert_int_equal(np_meter_view(meter, order, now_ms, &view), 0);
    return np_limits_wait_ms(meter->limits, &view, 1, now_ms, out_kind);
}

static void pay(const struct np_meter *meter, struct np_order *order, int64_t now_ms)
{
    struct np_limit_view view;
    assert_int_equal(np_meter_view(meter, order, now_ms, &view), 0);
    assert_int_equal(np_meter_pay(meter, order, &view, now_ms), 0);
}

static int64_t level(const struct np_meter *meter, enum np_limit kind, const char *key, int64_t now_ms)
{
    int64_t full_ms;
    assert_int_equal(np_store_bucket_get(meter->store, meter->ca, (int)kind, key, &full_ms), 0);
    return np_limit_level(&meter->limits->rules[kind], full_ms, now_ms);
}

static void test_pay_and_give_back(void **state)
{
    struct fixture *f = *state;
    struct np_order order = make_order("a");
    pay(&f->meter, &order, NOW_MS);
    assert_string_equal(order.ca, CA);
    assert_int_equal(order.paid, 7);
    assert_int_equal(level(&f->meter, NP_LIMIT_ORDERS, "", NOW_MS), 299);
    assert_int_equal(level(&f->meter, NP_LIMIT_DOMAIN, "", NOW_MS), 49);
    assert_int_equal(level(&f->meter, NP_LIMIT_NAMES, "a.devices.example", NOW_MS), 4);
    assert_int_equal(level(&f->meter, NP_LIMIT_NAMES, "b.devices.example", NOW_MS), 5);
    /* No certificate came of it: the CA has counted the order alone. Twice gives nothing more. */
    for (int i = 0; i < 2; i++) {
        assert_int_equal(np_meter_give_back(&f->meter, &order), 0);
        assert_int_equal(order.paid, 0);
        assert_int_equal(level(&f->meter, NP_LIMIT_ORDERS, "", NOW_MS), 299);
        assert_int_equal(level(&f->meter, NP_LIMIT_DOMAIN, "", NOW_MS), 50);
        assert_int_equal(level(&f->meter, NP_LIMIT_NAMES, "a.devices.example", NOW_MS), 5);
    }
}

/* Half of what all share is for others; what is its own it has whole. */
static void test_waits(void **state)
{
    struct fixture *f = *state;
    enum np_limit kind;
    for (int i = 0; i < 25; i++) {
        char label[16];
        snprintf(label, sizeof label, "box-%d", i);
        struct np_order order = make_order(label);
        assert_int_equal(wait_of(&f->meter, &order, NOW_MS, &kind), 0);
        pay(&f->meter, &order, NOW_MS);
    }
    struct np_order order = make_order("late");
    assert_int_equal(wait_of(&f->meter, &order, NOW_MS, &kind), 7 * 24 * HOUR / 50);
    assert_int_equal(kind, NP_LIMIT_DOMAIN);
    order.priority = NP_PRIORITY_URGENT;
    assert_int_equal(wait_of(&f->meter, &order, NOW_MS, &kind), 0);
    f->limits.public_suffix = true;
    for (int i = 0; i < 5; i++) {
        assert_int_equal(wait_of(&f->meter, &order, NOW_MS, &kind), 0);
        pay(&f->meter, &order, NOW_MS);
    }
    assert_int_equal(wait_of(&f->meter, &order, NOW_MS, &kind), 7 * 24 * HOUR / 5);
    assert_int_equal(kind, NP_LIMIT_NAMES);
    assert_int_equal(level(&f->meter, NP_LIMIT_DOMAIN, "late.devices.example", NOW_MS), 45);
}

/* A set of names has one key, whatever their order. */
static void test_names_key(void **state)
{
    struct fixture *f = *state;
    struct np_order order = make_order("a"), swapped;
    order.authorization_count = 2;
    snprintf(order.authorizations[1].name, sizeof order.authorizations[1].name, "*.a.devices.example");
    swapped = order;
    swapped.authorizations[0] = order.authorizations[1];
    swapped.authorizations[1] = order.authorizations[0];
    pay(&f->meter, &order, NOW_MS);
    pay(&f->meter, &swapped, NOW_MS);
    assert_int_equal(level(&f->meter, NP_LIMIT_NAMES, "*.a.devices.example,a.devices.example", NOW_MS), 3);
    assert_int_equal(np_meter_failed(&f->meter, &swapped, NOW_MS), 0);
    assert_int_equal(level(&f->meter, NP_LIMIT_FAILURES, "a.devices.example", NOW_MS), 4);
}

static void store_package(struct fixture *f, struct np_order *order, int64_t created_ms)
{
    struct np_device device = {.state = NP_DEVICE_ACTIVE};
    struct np_package *package = calloc(1, sizeof *package);
    int64_t n;
    memcpy(device.id, order->device, sizeof device.id);
    memcpy(device.name, order->authorizations[0].name, sizeof device.name);
    device.thumbprint[0] = 7;
    order->key[0] = 8;
    package->created_ms = created_ms;
    package->not_after_s = created_ms / 1000 + 1000;
    assert_int_equal(np_store_device_add(f->store, &device), 0);
    assert_int_equal(np_store_order_add(f->store, order), 0);
    assert_int_equal(np_store_package_add(f->store, order, package, &n), 0);
    free(package);
}

/* A renewal pays for its names alone: at the same CA, and within 120 days. */
static void test_renewal(void **state)
{
    struct fixture *f = *state;
    struct np_order first = make_order("a"), renewal;
    snprintf(first.ca, sizeof first.ca, "%s", CA);
    store_package(f, &first, NOW_MS);
    renewal = make_order("a");
    renewal.renews = 1;
    pay(&f->meter, &renewal, NOW_MS + 119 * 24 * HOUR);
    assert_int_equal(renewal.paid, 1 << NP_LIMIT_NAMES);
    renewal = make_order("a");
    renewal.renews = 1;
    pay(&f->meter, &renewal, NOW_MS + 121 * 24 * HOUR);
    assert_int_equal(renewal.paid, 7);
    struct np_meter other = {.store = f->store, .ca = "https://other.example/dir", .limits = &f->limits};
    pay(&other, &renewal, NOW_MS + 24 * HOUR);
    assert_int_equal(renewal.paid, 7);
    renewal.renews = 5; /* a package that is not there (any more) */
    pay(&f->meter, &renewal, NOW_MS + 24 * HOUR);
    assert_int_equal(renewal.paid, 7);
}

/* Inside the window that the CA has suggested nothing counts; before and after it, it is a renewal like others. */
static void test_renewal_in_the_window(void **state)
{
    struct fixture *f = *state;
    struct np_order first = make_order("a"), renewal;
    struct np_renewal row;
    snprintf(first.ca, sizeof first.ca, "%s", CA);
    store_package(f, &first, NOW_MS);
    assert_int_equal(np_store_renewal_get(f->store, first.device, &row), 0);
    struct np_renewal suggested = row;
    suggested.window_from_ms = NOW_MS + 10 * HOUR;
    suggested.window_until_ms = NOW_MS + 20 * HOUR;
    assert_int_equal(np_store_renewal_answer(f->store, &row, &suggested), 0);
    static const struct {
        int64_t at, renews, paid;
    } rows[] = {{9, 1, 1 << NP_LIMIT_NAMES},
                {10, 1, 0},
                {19, 1, 0},
                {20, 1, 1 << NP_LIMIT_NAMES},
                {15, 0, 7}, /* another certificate for the device */
                {15, 2, 7}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        renewal = make_order("a");
        renewal.renews = rows[i].renews;
        pay(&f->meter, &renewal, NOW_MS + rows[i].at * HOUR);
        assert_int_equal(renewal.paid, rows[i].paid);
    }
    struct np_meter other = {.store = f->store, .ca = "https://other.example/dir", .limits = &f->limits};
    renewal = make_order("a");
    renewal.renews = 1;
    pay(&other, &renewal, NOW_MS + 15 * HOUR);
    assert_int_equal(renewal.paid, 7);
    /* The CA will not have `replaces`: it pays as a renewal, once, and what had paid already pays nothing more. */
    assert_int_equal(np_meter_unreplaced(&f->meter, &renewal, NOW_MS + 15 * HOUR), 0);
    assert_int_equal(renewal.paid, 7);
    renewal = make_order("a");
    renewal.renews = 1;
    pay(&f->meter, &renewal, NOW_MS + 15 * HOUR);
    int64_t before = level(&f->meter, NP_LIMIT_NAMES, "a.devices.example", NOW_MS + 15 * HOUR);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(np_meter_unreplaced(&f->meter, &renewal, NOW_MS + 15 * HOUR), 0);
        assert_int_equal(renewal.paid, 1 << NP_LIMIT_NAMES);
        assert_int_equal(level(&f->meter, NP_LIMIT_NAMES, "a.devices.example", NOW_MS + 15 * HOUR), before - 1);
    }
}

/* Two HQs on one database: who read first and writes last is told, and nothing is counted twice. */
static void test_two_hqs(void **state)
{
    struct fixture *f = *state;
    struct np_order a = make_order("a"), b = make_order("b");
    struct np_limit_view view;
    struct np_store *second = database_open(&f->database);
    struct np_meter meter = {.store = second, .ca = CA, .limits = &f->limits};
    assert_int_equal(np_meter_view(&f->meter, &a, NOW_MS, &view), 0);
    pay(&meter, &b, NOW_MS);
    assert_int_equal(np_store_commit(second), 0);
    assert_int_equal(np_meter_pay(&f->meter, &a, &view, NOW_MS), NP_E_CONFLICT);
    assert_int_equal(a.paid, 0);
    assert_int_equal(level(&f->meter, NP_LIMIT_ORDERS, "", NOW_MS), 299);
    pay(&f->meter, &a, NOW_MS);
    assert_int_equal(level(&f->meter, NP_LIMIT_ORDERS, "", NOW_MS), 298);
    assert_int_equal(np_store_commit(f->store), 0);
    np_store_close(second);
}

/* Closed and opened again: the bucket is as it was. Full ones are forgotten. */
static void test_over_a_restart(void **state)
{
    struct fixture *f = *state;
    struct np_order order = make_order("a");
    pay(&f->meter, &order, NOW_MS);
    assert_int_equal(np_store_commit(f->store), 0);
    np_store_close(f->store);
    f->store = f->meter.store = database_open(&f->database);
    assert_int_equal(level(&f->meter, NP_LIMIT_DOMAIN, "", NOW_MS), 49);
    assert_int_equal(np_store_buckets_purge(f->store, NOW_MS + HOUR), 0); /* the account's order is back already */
    assert_int_equal(level(&f->meter, NP_LIMIT_ORDERS, "", NOW_MS), 300);
    assert_int_equal(level(&f->meter, NP_LIMIT_DOMAIN, "", NOW_MS + HOUR), 49);
    assert_int_equal(np_store_buckets_purge(f->store, NOW_MS + 34 * HOUR), 0);
    assert_int_equal(level(&f->meter, NP_LIMIT_DOMAIN, "", NOW_MS), 50);
}

/* The CA refuses: what it speaks of is empty, and only that. */
static void test_refusals(void **state)
{
    struct fixture *f = *state;
    static const struct {
        int status;
        const char *detail;
        int64_t retry_ms;
        enum np_limit kind;
        int64_t wait_ms;
        int64_t same_ms, other_ms; /* what this order and another device's wait then */
    } rows[] = {
        {429, "too many certificates (5) already issued for this exact set of identifiers", 34 * HOUR, NP_LIMIT_NAMES,
         34 * HOUR, 34 * HOUR, 0},
        {429, "too many failed authorizations (5) for", 2 * HOUR, NP_LIMIT_FAILURES, 2 * HOUR, 2 * HOUR, 0},
        {429, "too many new orders (300) from this account", 0, NP_LIMIT_ORDERS, 60000, 60000, 60000},
        {429, "too many certificates (50) already issued for \"devices.example\"", HOUR, NP_LIMIT_DOMAIN, HOUR, HOUR,
         HOUR},
        {429, "slow down", 34 * HOUR, NP_LIMIT_PAUSE, 60000, 60000, 60000},
        {503, "down for an hour", HOUR, NP_LIMIT_PAUSE, HOUR, HOUR, HOUR},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct np_order order = make_order("a"), other = make_order("b");
        char ca[64];
        enum np_limit kind;
        int64_t wait_ms;
        snprintf(ca, sizeof ca, "https://ca-%zu.example/dir", i);
        struct np_meter meter = {.store = f->store, .ca = ca, .limits = &f->limits};
        order.priority = other.priority = NP_PRIORITY_URGENT;
        pay(&meter, &order, NOW_MS);
        assert_int_equal(
            np_meter_refused(&meter, &order, rows[i].status, rows[i].detail, rows[i].retry_ms, NOW_MS, &kind, &wait_ms),
            0);
        if (kind != rows[i].kind || wait_ms != rows[i].wait_ms)
            fail_msg("row %zu: %s for %lld ms", i, np_limit_name(kind), (long long)wait_ms);
        /* Giving back what was paid does not open again what the CA has closed. */
        assert_int_equal(np_meter_give_back(&meter, &order), 0);
        assert_int_equal(wait_of(&meter, &order, NOW_MS, &kind), rows[i].same_ms);
        assert_int_equal(wait_of(&meter, &other, NOW_MS, &kind), rows[i].other_ms);
    }
    /* Without a reason, again and again: longer each time, until an order was taken. A pause is never made shorter. */
    struct np_order order = make_order("a");
    enum np_limit kind;
    int64_t wait_ms;
    for (int64_t wanted = 60000; wanted <= 240000; wanted *= 2) {
        assert_int_equal(np_meter_refused(&f->meter, &order, 429, "", HOUR, NOW_MS, &kind, &wait_ms), 0);
        assert_int_equal(wait_ms, wanted);
    }
    np_meter_taken(&f->meter);
    assert_int_equal(np_meter_refused(&f->meter, &order, 429, "", HOUR, NOW_MS, &kind, &wait_ms), 0);
    assert_int_equal(wait_ms, 60000);
    assert_int_equal(wait_of(&f->meter, &order, NOW_MS, &kind), 240000);
    /* A limit that is off is not made by a refusal. */
    assert_true(np_limits_preset("none", &f->limits));
    assert_int_equal(np_meter_refused(&f->meter, &order, 429, "exact set of", 5000, NOW_MS, &kind, &wait_ms), 0);
    assert_int_equal(kind, NP_LIMIT_PAUSE);
}

int main(void)
{
#define METER_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        METER_TEST(test_pay_and_give_back),
        METER_TEST(test_waits),
        METER_TEST(test_names_key),
        METER_TEST(test_renewal),
        METER_TEST(test_renewal_in_the_window),
        METER_TEST(test_two_hqs),
        METER_TEST(test_over_a_restart),
        METER_TEST(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

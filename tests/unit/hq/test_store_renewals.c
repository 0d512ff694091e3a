/* What the store keeps for renewals: due rows in their order, outages, the end of a device, and an older schema. */

#include "hq/acme/renewer.h"
#include "tests/unit/hq/box.h"

#define NOW_S (NOW_US / 1000000)
#define CA    "https://ca.example/dir"

/* A device with one package that is to be renewed at renew_s. */
static struct np_order add(struct fixture *f, unsigned n, int64_t renew_s, int64_t not_after_s)
{
    struct np_device d = {.state = NP_DEVICE_ACTIVE, .created_s = NOW_S, .last_seen_s = NOW_S};
    struct np_order o = {.authorization_count = 1, .csr_len = 1, .created_ms = NOW_S * 1000};
    struct np_package *package = calloc(1, sizeof *package);
    int64_t number;
    snprintf(d.id, sizeof d.id, "device-%u", n);
    snprintf(d.name, sizeof d.name, "name-%u.devices.example", n);
    d.thumbprint[0] = (uint8_t)n;
    d.published.v4_count = 1;
    assert_int_equal(np_addr_parse("10.0.0.1", &d.published.v4[0]), 0);
    snprintf(o.id, sizeof o.id, "order-%u", n);
    snprintf(o.ca, sizeof o.ca, "%s", CA);
    memcpy(o.device, d.id, sizeof o.device);
    memcpy(o.authorizations[0].name, d.name, sizeof d.name);
    o.key[0] = (uint8_t)(0x80 + n);
    assert_int_equal(np_store_device_add(f->store, &d), 0);
    assert_int_equal(np_store_order_add(f->store, &o), 0);
    *package = (struct np_package){.chain = "c",
                                   .not_before_s = NOW_S,
                                   .not_after_s = not_after_s,
                                   .renew_ms = renew_s * 1000,
                                   .ask_ms = NOW_S * 1000 + n,
                                   .created_ms = NOW_S * 1000};
    assert_int_equal(np_store_package_add(f->store, &o, package, &number), 0);
    free(package);
    o.stored.state = NP_ORDER_QUEUED; /* other orders are made of it */
    return o;
}

struct seen {
    char text[256];
    size_t count;
};

static int collect(void *ctx, const struct np_renewal *renewal)
{
    struct seen *seen = ctx;
    size_t used = strlen(seen->text);
    snprintf(seen->text + used, sizeof seen->text - used, "%s%s", seen->count++ ? " " : "", renewal->device + 7);
    return 0;
}

static void test_due_in_order(void **state)
{
    struct fixture *f = *state;
    int64_t next = 0;
    assert_int_equal(np_store_renewals_next(f->store, &next), 0);
    assert_true(next == INT64_MAX);
    add(f, 1, NOW_S + 300, NOW_S + 1000);
    add(f, 2, NOW_S + 100, NOW_S + 1000);
    add(f, 3, NOW_S + 200, NOW_S + 1000);
    static const struct {
        int64_t at_s;
        size_t limit;
        const char *wanted;
    } rows[] = {{99, 10, ""}, {100, 10, "2"}, {250, 10, "2 3"}, {1000, 10, "2 3 1"}, {1000, 2, "2 3"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct seen seen = {.count = 0};
        assert_int_equal(np_store_renewals_due(f->store, (NOW_S + rows[i].at_s) * 1000, rows[i].limit, collect, &seen),
                         0);
        assert_string_equal(seen.text, rows[i].wanted);
    }
    struct np_renewal renewal;
    assert_int_equal(np_store_renewal_get(f->store, "device-2", &renewal), 0);
    assert_int_equal(renewal.n, 1);
    assert_int_equal(renewal.point_ms, (NOW_S + 100) * 1000);
    struct np_renewal next_look = renewal;
    next_look.due_ms = (NOW_S + 900) * 1000;
    next_look.attempts = 3;
    assert_int_equal(np_store_renewal_update(f->store, &renewal, &next_look), 0);
    assert_int_equal(np_store_renewals_next(f->store, &next), 0);
    assert_int_equal(next, (NOW_S + 200) * 1000);
    /* A look that was decided before another one, or before a new package came, says nothing about it. */
    struct np_renewal stale = next_look;
    stale.due_ms = 1;
    assert_int_equal(np_store_renewal_update(f->store, &renewal, &stale), NP_E_CONFLICT);
    renewal = next_look;
    renewal.n = 0;
    assert_int_equal(np_store_renewal_update(f->store, &renewal, &stale), NP_E_CONFLICT);
    assert_int_equal(np_store_renewal_get(f->store, "device-2", &renewal), 0);
    assert_int_equal(renewal.due_ms, (NOW_S + 900) * 1000);
    assert_int_equal(renewal.attempts, 3);
    assert_int_equal(renewal.point_ms, (NOW_S + 100) * 1000);
}

static struct np_renewal renewal_of(struct fixture *f, const char *device)
{
    struct np_renewal renewal = {.n = 0};
    assert_int_equal(np_store_renewal_get(f->store, device, &renewal), 0);
    return renewal;
}

/* Questions about windows: in their order, by CA, claimed by one HQ alone, and answered only while the row is as it
 * was. */
static void test_questions(void **state)
{
    struct fixture *f = *state;
    int64_t next = 0;
    for (unsigned n = 1; n <= 3; n++)
        add(f, n, NOW_S + 600, NOW_S + 1000);
    struct np_renewal first = renewal_of(f, "device-1");
    assert_string_equal(first.ca, CA);
    assert_int_equal(first.ask_ms, NOW_S * 1000 + 1);
    assert_int_equal(np_store_renewal_claim(f->store, &first, NOW_S * 1000 + 5), 0);
    assert_int_equal(np_store_renewal_claim(f->store, &first, NOW_S * 1000 + 5), NP_E_CONFLICT);
    struct seen seen = {.count = 0};
    assert_int_equal(np_store_renewals_to_ask(f->store, CA, NOW_S * 1000 + 4, 10, collect, &seen), 0);
    assert_string_equal(seen.text, "2 3");
    seen = (struct seen){.count = 0};
    assert_int_equal(np_store_renewals_to_ask(f->store, CA, NOW_S * 1000 + 5, 2, collect, &seen), 0);
    assert_string_equal(seen.text, "2 3");
    assert_int_equal(np_store_renewals_to_ask(f->store, "", NOW_S * 1000 + 5, 10, collect, &seen), 0);
    assert_int_equal(seen.count, 2);
    assert_int_equal(np_store_renewals_next_ask(f->store, CA, &next), 0);
    assert_int_equal(next, NOW_S * 1000 + 2);
    assert_int_equal(np_store_renewals_next_ask(f->store, "", &next), 0);
    assert_true(next == INT64_MAX);

    struct np_renewal before = renewal_of(f, "device-1"), after = before;
    after.ask_ms = NOW_S * 1000 + 900;
    after.failures = 2;
    after.window_from_ms = 7;
    after.window_until_ms = 9;
    after.point_ms = 8;
    after.due_ms = 10;
    assert_int_equal(np_store_renewal_answer(f->store, &before, &after), 0);
    struct np_renewal read = renewal_of(f, "device-1");
    assert_memory_equal(&read, &after, sizeof read);
    /* A look has moved the due time meanwhile: the answer does not undo it. */
    assert_int_equal(np_store_renewal_answer(f->store, &before, &after), NP_E_CONFLICT);
    before = after;
    after.attempts = 1;
    assert_int_equal(np_store_renewal_update(f->store, &before, &after), 0);
    after.attempts = 0;
    assert_int_equal(np_store_renewal_answer(f->store, &after, &before), NP_E_CONFLICT);
}

/* A new certificate begins without a window; how many came early in a row is carried on. */
static void test_early_renewals(void **state)
{
    struct fixture *f = *state;
    static const struct {
        int64_t at_s, early; /* each lives for 1000 s */
    } rows[] = {{400, 1}, {890, 2}, {1390, 1}, {1800, 2}};
    struct np_order order;
    struct np_package *package = calloc(1, sizeof *package);
    int64_t n;
    assert_non_null(package);
    add(f, 1, NOW_S + 600, NOW_S + 1000);
    assert_int_equal(np_store_order_get(f->store, "order-1", &order), 0);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct np_renewal before = renewal_of(f, "device-1"), after = before;
        after.window_from_ms = after.window_until_ms = after.failures = 5;
        assert_int_equal(np_store_renewal_answer(f->store, &before, &after), 0);
        *package = (struct np_package){.chain = "c",
                                       .not_before_s = NOW_S + rows[i].at_s,
                                       .not_after_s = NOW_S + rows[i].at_s + 1000,
                                       .renew_ms = 3,
                                       .ask_ms = 4};
        assert_int_equal(np_store_package_add(f->store, &order, package, &n), 0);
        before = renewal_of(f, "device-1");
        assert_int_equal(before.early, rows[i].early);
        assert_int_equal(before.window_from_ms + before.window_until_ms + before.failures + before.attempts, 0);
        assert_int_equal(before.ask_ms, 4);
    }
    free(package);
}

static void test_outages(void **state)
{
    struct fixture *f = *state;
    struct np_store_outage outages[NP_STORE_OUTAGES_MAX];
    size_t count = 99;
    assert_int_equal(np_store_heartbeat(f->store, NOW_S, 3600), 0); /* the first beat of all */
    assert_int_equal(np_store_heartbeat(f->store, NOW_S + 3600, 3600), 0);
    assert_int_equal(np_store_outages(f->store, outages, &count), 0);
    assert_int_equal(count, 0);
    int64_t now_s = NOW_S + 3600;
    for (int i = 0; i < NP_STORE_OUTAGES_MAX + 5; i++) {
        now_s += 4000 + i;
        assert_int_equal(np_store_heartbeat(f->store, now_s, 3600), 0);
    }
    assert_int_equal(np_store_heartbeat(f->store, now_s - 50000, 3600), 0); /* the clock was set back */
    assert_int_equal(np_store_outages(f->store, outages, &count), 0);
    assert_int_equal(count, NP_STORE_OUTAGES_MAX);
    assert_int_equal(outages[0].until_s, now_s);
    assert_int_equal(outages[0].until_s - outages[0].from_s, 4000 + NP_STORE_OUTAGES_MAX + 4);
}

static int count_due(void *ctx, const struct np_order *order)
{
    (void)order;
    ++*(size_t *)ctx;
    return 0;
}

static void test_retire(void **state)
{
    struct fixture *f = *state;
    struct np_order order = add(f, 1, NOW_S + 100, NOW_S + 1000);
    struct np_device device;
    struct np_revocation revocation;
    int64_t n, next;
    size_t due = 0;
    assert_int_equal(np_store_device_retire(f->store, "nobody", NP_REVOKE_CESSATION, NOW_S * 1000), NP_E_NOT_FOUND);
    /* A second order waits, and a third is in the CA's hands when the device leaves. */
    struct np_order waiting = order, working = order;
    snprintf(waiting.id, sizeof waiting.id, "waiting");
    snprintf(working.id, sizeof working.id, "working");
    waiting.state = NP_ORDER_QUEUED;
    assert_int_equal(np_store_order_add(f->store, &waiting), 0);
    assert_int_equal(np_store_order_add(f->store, &working), 0);
    working.state = NP_ORDER_FINALIZING;
    assert_int_equal(np_store_order_update(f->store, &working), 0);
    assert_int_equal(np_store_device_retire(f->store, "device-1", NP_REVOKE_KEY_COMPROMISE, NOW_S * 1000), 0);
    assert_int_equal(np_store_device_retire(f->store, "device-1", NP_REVOKE_CESSATION, NOW_S * 1000), 0);
    assert_int_equal(np_store_device_get(f->store, "device-1", &device), 0);
    assert_int_equal(device.state, NP_DEVICE_RETIRED);
    assert_int_equal(np_store_queue_each(f->store, np_order_lane(&waiting), 10, count_due, &due), 0);
    assert_int_equal(due, 0);
    assert_int_equal(np_store_renewals_next(f->store, &next), 0);
    assert_true(next == INT64_MAX);
    assert_int_equal(np_store_revocation_next(f->store, &revocation), 0);
    assert_int_equal(revocation.n, 1);
    assert_int_equal(revocation.reason, NP_REVOKE_KEY_COMPROMISE);
    revocation.attempts = 2;
    revocation.next_try_ms = NOW_S * 1000 + 5;
    assert_int_equal(np_store_revocation_update(f->store, &revocation), 0);
    /* What the CA still delivers is revoked for the same reason, and is not renewed. */
    struct np_package *package = calloc(1, sizeof *package);
    package->not_after_s = NOW_S + 2000;
    package->created_ms = NOW_S * 1000 + 1;
    assert_int_equal(np_store_package_add(f->store, &working, package, &n), 0);
    free(package);
    assert_int_equal(np_store_renewals_next(f->store, &next), 0);
    assert_true(next == INT64_MAX);
    assert_int_equal(np_store_revocation_next(f->store, &revocation), 0);
    assert_int_equal(revocation.n, 2);
    assert_int_equal(revocation.reason, NP_REVOKE_KEY_COMPROMISE);
    revocation.state = NP_REVOCATION_DONE;
    assert_int_equal(np_store_revocation_update(f->store, &revocation), 0);
    assert_int_equal(np_store_revocation_next(f->store, &revocation), 0);
    assert_int_equal(revocation.n, 1);
    assert_int_equal(revocation.attempts, 2);
    revocation.state = NP_REVOCATION_MOOT;
    assert_int_equal(np_store_revocation_update(f->store, &revocation), 0);
    assert_int_equal(np_store_revocation_next(f->store, &revocation), NP_E_NOT_FOUND);
    /* The name is nobody's for ever. */
    snprintf(device.id, sizeof device.id, "other");
    device.thumbprint[0] = 77;
    assert_int_equal(np_store_device_add(f->store, &device), NP_E_CONFLICT);
}

/* Certificates that have ended need no revocation. */
static void test_ended_is_not_revoked(void **state)
{
    struct fixture *f = *state;
    struct np_revocation revocation;
    add(f, 1, NOW_S + 100, NOW_S + 1000);
    assert_int_equal(np_store_device_retire(f->store, "device-1", NP_REVOKE_CESSATION, (NOW_S + 1000) * 1000), 0);
    assert_int_equal(np_store_revocation_next(f->store, &revocation), NP_E_NOT_FOUND);
}

static void test_hurry(void **state)
{
    struct fixture *f = *state;
    struct np_order order = add(f, 1, NOW_S + 100, NOW_S + 1000);
    snprintf(order.id, sizeof order.id, "second");
    order.state = NP_ORDER_QUEUED;
    order.priority = NP_PRIORITY_ROUTINE;
    assert_int_equal(np_store_order_add(f->store, &order), 0);
    assert_int_equal(np_store_order_hurry(f->store, "second", NP_PRIORITY_URGENT), 0);
    assert_int_equal(np_store_order_hurry(f->store, "second", NP_PRIORITY_NEW), 0);
    assert_int_equal(np_store_order_get(f->store, "second", &order), 0);
    assert_int_equal(order.priority, NP_PRIORITY_URGENT);
    /* Who has read it before, and begins it, does not take that away; what is begun hurries no more. */
    order.state = NP_ORDER_READY;
    order.priority = NP_PRIORITY_OPEN;
    assert_int_equal(np_store_order_update(f->store, &order), 0);
    assert_int_equal(np_store_order_get(f->store, "second", &order), 0);
    assert_int_equal(order.priority, NP_PRIORITY_URGENT);
    order = add(f, 2, NOW_S + 100, NOW_S + 1000);
    snprintf(order.id, sizeof order.id, "third");
    order.state = NP_ORDER_QUEUED;
    order.priority = NP_PRIORITY_ROUTINE;
    assert_int_equal(np_store_order_add(f->store, &order), 0);
    order.state = NP_ORDER_READY;
    assert_int_equal(np_store_order_update(f->store, &order), 0);
    assert_int_equal(np_store_order_hurry(f->store, "third", NP_PRIORITY_URGENT), 0);
    assert_int_equal(np_store_order_get(f->store, "third", &order), 0);
    assert_int_equal(order.priority, NP_PRIORITY_ROUTINE);
}

/* ---- Two HQs at once: each has read, and then writes ---- */

static struct np_order newest_of(struct np_store *store, const char *device)
{
    struct np_order order;
    assert_int_equal(np_store_order_newest(store, device, &order), 0);
    return order;
}

static int count_orders(struct fixture *f, const char *device)
{
    int64_t count, oldest;
    assert_int_equal(np_store_order_count(f->store, device, 0, &count, &oldest), 0);
    return (int)count;
}

static int order_renewal(struct np_store *store, const struct np_renewal *renewal, const struct np_order *last)
{
    struct np_renewal_action action = {
        .what = NP_RENEWAL_ORDER, .priority = NP_PRIORITY_ROUTINE, .due_ms = (NOW_S + 500) * 1000};
    struct np_order order;
    int rc = np_renewer_order(store, renewal, last, &action, NOW_S * 1000, &order);
    int committed = np_store_commit(store);
    return rc ? rc : committed;
}

/* One renewal is ordered once, and not when a CSR, a block or the device's end came in between. */
static void test_one_order_for_a_renewal(void **state)
{
    struct fixture *f = *state;
    struct np_store *other = database_open(&f->database);
    for (unsigned n = 1; n <= 4; n++)
        add(f, n, NOW_S + 100, NOW_S + 1000);
    assert_int_equal(np_store_commit(f->store), 0);
    struct np_renewal row = renewal_of(f, "device-1");
    struct np_order last = newest_of(f->store, "device-1"), seen_there = newest_of(other, "device-1");
    assert_int_equal(order_renewal(other, &row, &seen_there), 0);
    assert_int_equal(order_renewal(f->store, &row, &last), NP_E_CONFLICT);
    assert_int_equal(count_orders(f, "device-1"), 2);
    assert_int_equal(renewal_of(f, "device-1").attempts, 1);

    row = renewal_of(f, "device-2");
    last = newest_of(f->store, "device-2");
    struct np_order csr = last;
    snprintf(csr.id, sizeof csr.id, "new csr");
    csr.state = NP_ORDER_QUEUED;
    csr.key[1]++;
    assert_int_equal(np_store_order_add(other, &csr), 0);
    assert_int_equal(np_store_commit(other), 0);
    assert_int_equal(order_renewal(f->store, &row, &last), NP_E_CONFLICT);
    assert_int_equal(count_orders(f, "device-2"), 2);
    assert_int_equal(renewal_of(f, "device-2").attempts, 0);

    row = renewal_of(f, "device-3");
    last = newest_of(f->store, "device-3");
    assert_int_equal(np_store_device_block(other, "device-3", NOW_S * 1000), 0);
    assert_int_equal(np_store_commit(other), 0);
    assert_int_equal(order_renewal(f->store, &row, &last), NP_E_CONFLICT);
    row = renewal_of(f, "device-4");
    last = newest_of(f->store, "device-4");
    assert_int_equal(np_store_device_retire(other, "device-4", NP_REVOKE_CESSATION, NOW_S * 1000), 0);
    assert_int_equal(np_store_commit(other), 0);
    assert_int_equal(order_renewal(f->store, &row, &last), NP_E_CONFLICT);
    assert_int_equal(count_orders(f, "device-3") + count_orders(f, "device-4"), 2);
    np_store_close(other);
}

/* An order that was ended after somebody had read it is not brought back to life by what he writes. */
static void test_dead_stays_dead(void **state)
{
    struct fixture *f = *state;
    struct np_store *other = database_open(&f->database);
    struct np_order order = add(f, 1, NOW_S + 100, NOW_S + 1000), read;
    snprintf(order.id, sizeof order.id, "waits");
    order.state = NP_ORDER_QUEUED;
    assert_int_equal(np_store_order_add(f->store, &order), 0);
    assert_int_equal(np_store_commit(f->store), 0);
    read = newest_of(f->store, "device-1");
    struct np_order begins = read, waits = read;
    assert_int_equal(np_store_orders_supersede(other, "device-1", NOW_S * 1000), 0);
    assert_int_equal(np_store_commit(other), 0);
    begins.begun = true;
    assert_int_equal(np_store_order_update(f->store, &begins), NP_E_STALE);
    waits.state = NP_ORDER_BACKOFF;
    assert_int_equal(np_store_order_update(f->store, &waits), NP_E_STALE);
    assert_int_equal(np_store_commit(f->store), 0);
    assert_int_equal(newest_of(other, "device-1").state, NP_ORDER_DEAD);
    /* The operator takes it up again: that is for who reads it then. */
    assert_int_equal(np_store_order_retry(other, "waits", NOW_S * 1000), 0);
    assert_int_equal(np_store_commit(other), 0);
    begins = newest_of(f->store, "device-1");
    begins.begun = true;
    assert_int_equal(np_store_order_update(f->store, &begins), 0);
    /* Its own next step goes on from there. */
    begins.state = NP_ORDER_ORDERED;
    assert_int_equal(np_store_order_update(f->store, &begins), 0);
    assert_int_equal(np_store_order_update(f->store, &waits), NP_E_STALE);
    assert_int_equal(np_store_commit(f->store), 0);
    np_store_close(other);
}

static char *read_source_file(const char *name)
{
    char path[512];
    char *text = calloc(1, 65536);
    snprintf(path, sizeof path, "%s/%s", getenv("NP_SOURCE_DIR") ? getenv("NP_SOURCE_DIR") : ".", name);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    assert_true(fread(text, 1, 65535, file) > 0);
    fclose(file);
    return text;
}

/* A database of the first version: opened, brought up to date once, with its certificates to be renewed and its orders
 * in the queue. */
static void test_schema_1(void **state)
{
    struct fixture *f = *state;
    struct np_renewal renewal;
    struct np_order order;
    int64_t next_ms;
    const char *path = f->database.where;
    char error[512], *sql;
    if (database_is_server())
        return; /* the first version knew SQLite only */
    sql = read_source_file("tests/unit/hq/schema_1.sql");
    np_store_close(f->store);
    f->store = NULL;
    unlink(path);
    database_run(&f->database, sql, "");
    free(sql);
    assert_int_equal(np_store_open(path, true, &f->store, error, sizeof error), NP_E_VERSION);
    assert_non_null(strstr(error, "older schema 1"));
    for (int i = 0; i < 2; i++) {
        size_t due = 0;
        assert_int_equal(np_store_open(path, false, &f->store, error, sizeof error), 0);
        assert_int_equal(np_store_renewal_get(f->store, "device-1", &renewal), 0);
        assert_int_equal(renewal.due_ms, (NOW_S + 600) * 1000);
        assert_int_equal(renewal.not_after_s, NOW_S + 900);
        assert_int_equal(np_store_renewal_get(f->store, "device-2", &renewal), NP_E_NOT_FOUND);
        assert_int_equal(np_store_order_get(f->store, "order-3", &order), 0);
        assert_int_equal(order.authorization_count, 1);
        assert_int_equal(np_store_queue_each(f->store, np_order_lane(&order), 10, count_due, &due), 0);
        assert_int_equal(due, 1);
        assert_int_equal(np_store_queue_next_try(f->store, &next_ms), 0);
        assert_int_equal(next_ms, NOW_S * 1000 + 600000);
        np_store_close(f->store);
        f->store = NULL;
    }
}

int main(void)
{
#define STORE_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        STORE_TEST(test_due_in_order),    STORE_TEST(test_questions),
        STORE_TEST(test_early_renewals),  STORE_TEST(test_outages),
        STORE_TEST(test_retire),          STORE_TEST(test_ended_is_not_revoked),
        STORE_TEST(test_hurry),           STORE_TEST(test_one_order_for_a_renewal),
        STORE_TEST(test_dead_stays_dead), STORE_TEST(test_schema_1),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* What the operator sees of the store: pages, searches, one device's history, and the fleet in numbers. */
#include "hq/store/browse.h"
#include "tests/unit/hq/box.h"

#define NOW_S (NOW_US / 1000000)
#define DAY_S 86400

/* Device n: "name-n", serial "NP-n", 10.0.0.n. */
static struct np_device add(struct fixture *f, unsigned n, enum np_device_state state, const char *version)
{
    struct np_device d = {.state = state,
                          .credential = NP_CREDENTIAL_FACTORY_SECRET,
                          .created_s = NOW_S - 1000,
                          .last_seen_s = NOW_S - 10};
    char text[32];
    snprintf(d.id, sizeof d.id, "Id%u", n);
    snprintf(d.name, sizeof d.name, "name-%u.devices.example", n);
    snprintf(d.serial, sizeof d.serial, "NP-%u", n);
    snprintf(d.version, sizeof d.version, "%s", version);
    snprintf(text, sizeof text, "10.0.0.%u", n);
    d.thumbprint[0] = (uint8_t)n;
    d.stated.v4_count = d.published.v4_count = 1;
    assert_int_equal(np_addr_parse(text, &d.stated.v4[0]), 0);
    d.published = d.stated;
    assert_int_equal(np_store_device_add(f->store, &d), 0);
    return d;
}

static struct np_order order_of(const struct np_device *d, const char *id, int64_t created_s)
{
    struct np_order o = {.authorization_count = 1, .csr_len = 1, .created_ms = created_s * 1000};
    snprintf(o.id, sizeof o.id, "%s", id);
    memcpy(o.device, d->id, sizeof o.device);
    memcpy(o.authorizations[0].name, d->name, sizeof d->name);
    memcpy(o.key, d->thumbprint, sizeof o.key);
    o.key[1] = 1;
    return o;
}

static void give_certificate(struct fixture *f, struct np_order *order, int64_t not_after_s, int64_t renew_s)
{
    struct np_package *package = calloc(1, sizeof *package);
    int64_t n;
    *package = (struct np_package){.chain = "c",
                                   .not_before_s = NOW_S - 100,
                                   .not_after_s = not_after_s,
                                   .renew_ms = renew_s * 1000,
                                   .created_ms = (NOW_S - 50) * 1000};
    assert_int_equal(np_store_package_add(f->store, order, package, &n), 0);
    free(package);
}

struct seen {
    char text[512];
    size_t count;
};

static void note(struct seen *seen, const char *id)
{
    size_t used = strlen(seen->text);
    snprintf(seen->text + used, sizeof seen->text - used, "%s%s", seen->count++ ? " " : "", id);
}

static int note_device(void *ctx, const struct np_device *device)
{
    note(ctx, device->id);
    return 0;
}

static int note_order(void *ctx, const struct np_order *order)
{
    note(ctx, order->id);
    return 0;
}

static void fill(struct fixture *f)
{
    struct np_device d = add(f, 1, NP_DEVICE_ACTIVE, "1.0");
    add(f, 2, NP_DEVICE_ACTIVE, "1.0");
    add(f, 3, NP_DEVICE_BLOCKED, "1.0");
    add(f, 4, NP_DEVICE_ACTIVE, "2.0");
    add(f, 10, NP_DEVICE_ACTIVE, "1.0");
    assert_int_equal(np_store_device_silence(f->store, "Id2", NOW_S - 5, NOW_S - 5), 0);
    assert_int_equal(np_store_device_retire(f->store, "Id4", NP_REVOKE_CESSATION, NOW_S * 1000), 0);
    (void)d;
}

static void test_pages(void **state)
{
    struct fixture *f = *state;
    fill(f);
    static const struct {
        enum np_device_filter filter;
        const char *after;
        size_t limit;
        const char *wanted;
    } rows[] = {
        {NP_DEVICES_ALL, "", 10, "Id1 Id10 Id2 Id3 Id4"},
        {NP_DEVICES_ALL, "", 2, "Id1 Id10"},
        {NP_DEVICES_ALL, "name-10.devices.example", 2, "Id2 Id3"},
        {NP_DEVICES_ALL, "name-4.devices.example", 2, ""},
        {NP_DEVICES_ACTIVE, "", 10, "Id1 Id10"},
        {NP_DEVICES_ACTIVE, "name-1.devices.example", 10, "Id10"},
        {NP_DEVICES_SILENT, "", 10, "Id2"},
        {NP_DEVICES_BLOCKED, "", 10, "Id3"},
        {NP_DEVICES_RETIRED, "", 10, "Id4"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct seen seen = {.count = 0};
        assert_int_equal(
            np_store_devices_page(f->store, rows[i].filter, rows[i].after, rows[i].limit, note_device, &seen), 0);
        assert_string_equal(seen.text, rows[i].wanted);
    }
}

static void test_find(void **state)
{
    struct fixture *f = *state;
    fill(f);
    static const struct {
        const char *text;
        size_t limit;
        const char *wanted;
    } rows[] = {
        {"Id1", 10, "Id1 Id10"}, /* the exact one first, once */
        {"name-1", 10, "Id1 Id10"},
        {"NAME-1.devices.example", 10, "Id1"},
        {"NP-1", 10, "Id1 Id10"},
        {"np-1", 10, ""}, /* serial numbers are what they are */
        {"NP-", 2, "Id1 Id10"},
        {"NP-", 10, "Id1 Id10 Id2 Id3 Id4"},
        {"%", 10, ""},
        {"name_1", 10, ""},
        {"", 10, ""},
        {"zzz", 10, ""},
        {"name-1", 0, ""},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct seen seen = {.count = 0};
        assert_int_equal(np_store_devices_find(f->store, rows[i].text, rows[i].limit, note_device, &seen), 0);
        assert_string_equal(seen.text, rows[i].wanted);
    }
    char longest[NP_NAME_MAX + 2];
    struct seen seen = {.count = 0};
    memset(longest, 'a', sizeof longest - 1);
    longest[sizeof longest - 1] = 0;
    assert_int_equal(np_store_devices_find(f->store, longest, 10, note_device, &seen), 0);
    assert_int_equal(np_store_devices_find(f->store, longest + 1, 10, note_device, &seen), 0);
    assert_int_equal(seen.count, 0);
    struct np_addr address;
    assert_int_equal(np_addr_parse("10.0.0.1", &address), 0);
    assert_int_equal(np_store_devices_at(f->store, &address, 10, note_device, &seen), 0);
    assert_string_equal(seen.text, "Id1"); /* and not 10.0.0.10 */
}

static void test_orders(void **state)
{
    struct fixture *f = *state;
    struct np_device d = add(f, 1, NP_DEVICE_ACTIVE, "1.0");
    struct np_order one = order_of(&d, "one", NOW_S - 300), two = order_of(&d, "two", NOW_S - 200);
    assert_int_equal(np_store_order_add(f->store, &one), 0);
    assert_int_equal(np_store_order_add(f->store, &two), 0);
    struct seen queued = {.count = 0}, of = {.count = 0}, newest = {.count = 0}, dead = {.count = 0};
    assert_int_equal(np_store_orders_page(f->store, NP_ORDER_QUEUED, 10, note_order, &queued), 0);
    assert_string_equal(queued.text, "one two");
    assert_int_equal(np_store_orders_of(f->store, "Id1", 10, note_order, &of), 0);
    assert_string_equal(of.text, "two one");
    assert_int_equal(np_store_orders_of(f->store, "Id1", 1, note_order, &newest), 0);
    assert_string_equal(newest.text, "two");
    assert_int_equal(np_store_orders_page(f->store, NP_ORDER_DEAD, 10, note_order, &dead), 0);
    assert_int_equal(dead.count, 0);
    assert_int_equal(np_order_state_parse("txt-visible"), NP_ORDER_TXT_VISIBLE);
    assert_int_equal(np_order_state_parse("visible"), -1);
}

static void test_retry(void **state)
{
    struct fixture *f = *state;
    struct np_device d = add(f, 1, NP_DEVICE_ACTIVE, "1.0");
    struct np_order o = order_of(&d, "one", NOW_S - 300), stored;
    assert_int_equal(np_store_order_add(f->store, &o), 0);
    assert_int_equal(np_store_order_retry(f->store, "one", NOW_S * 1000), NP_E_NOT_FOUND); /* it waits already */
    assert_int_equal(np_store_order_retry(f->store, "none", NOW_S * 1000), NP_E_NOT_FOUND);
    o.state = NP_ORDER_DEAD;
    o.begun = true;
    o.attempts = 9;
    snprintf(o.order_url, sizeof o.order_url, "https://ca.example/order/1");
    snprintf(o.authorizations[0].txt, sizeof o.authorizations[0].txt, "old");
    assert_int_equal(np_store_order_update(f->store, &o), 0);
    np_store_commit(f->store);
    np_store_take_events(f->store);
    assert_int_equal(np_store_order_retry(f->store, "one", NOW_S * 1000), 0);
    np_store_commit(f->store);
    assert_true(np_store_take_events(f->store) & NP_STORE_ORDERS_CHANGED);
    assert_int_equal(np_store_order_get(f->store, "one", &stored), 0);
    assert_int_equal(stored.state, NP_ORDER_QUEUED);
    assert_false(stored.begun);
    assert_int_equal(stored.attempts, 0);
    assert_string_equal(stored.order_url, "");
    assert_string_equal(stored.authorizations[0].txt, "");
    assert_string_equal(stored.authorizations[0].name, d.name);
}

static void test_timeline(void **state)
{
    struct fixture *f = *state;
    struct np_device d = add(f, 1, NP_DEVICE_ACTIVE, "1.0");
    struct np_order first = order_of(&d, "first", NOW_S - 900), second = order_of(&d, "second", NOW_S - 40);
    struct np_timeline_event events[NP_TIMELINE_MAX];
    char text[256] = "";
    size_t count = 0;
    assert_int_equal(np_store_order_add(f->store, &first), 0);
    give_certificate(f, &first, NOW_S + 10 * DAY_S, NOW_S + 5 * DAY_S);
    assert_int_equal(np_store_order_add(f->store, &second), 0);
    second.state = NP_ORDER_DEAD;
    second.updated_ms = (NOW_S - 30) * 1000;
    snprintf(second.error, sizeof second.error, "the CA says no");
    assert_int_equal(np_store_order_update(f->store, &second), 0);
    assert_int_equal(np_store_timeline(f->store, &d, NP_TIMELINE_MAX, events, &count), 0);
    for (size_t i = 0; i < count; i++) {
        size_t used = strlen(text);
        snprintf(text + used, sizeof text - used, "%s ", np_timeline_kind_name(events[i].kind));
    }
    assert_string_equal(text, "enrolled order package order dead seen ");
    assert_string_equal(events[4].detail, "the CA says no");
    assert_int_equal(events[2].n, 1);
    assert_string_equal(events[2].order, "first");
    /* A short one holds the newest. */
    assert_int_equal(np_store_timeline(f->store, &d, 2, events, &count), 0);
    assert_int_equal(count, 2);
    assert_int_equal(events[0].kind, NP_TIMELINE_DEAD);
    assert_int_equal(events[1].kind, NP_TIMELINE_SEEN);
    assert_int_equal(np_store_device_retire(f->store, "Id1", NP_REVOKE_CESSATION, NOW_S * 1000), 0);
    assert_int_equal(np_store_device_get(f->store, "Id1", &d), 0);
    assert_int_equal(np_store_timeline(f->store, &d, NP_TIMELINE_MAX, events, &count), 0);
    bool left = false, revocation = false;
    for (size_t i = 0; i < count; i++) {
        left = left || events[i].kind == NP_TIMELINE_TOMBSTONE;
        revocation = revocation || events[i].kind == NP_TIMELINE_REVOCATION;
    }
    assert_true(left && revocation);
}

static void test_census(void **state)
{
    struct fixture *f = *state;
    struct np_census census;
    assert_int_equal(np_store_census(f->store, NOW_S, &census), 0);
    assert_int_equal(census.active + census.silent + census.certificates + census.dirty, 0);
    fill(f);
    /* Certificates: over, within the hour, tomorrow's, far away. */
    static const int64_t ends[] = {-1, 3600, DAY_S, 1000 * DAY_S};
    for (unsigned i = 0; i < 4; i++) {
        struct np_device d = add(f, 20 + i, NP_DEVICE_ACTIVE, "3.0");
        char id[16];
        snprintf(id, sizeof id, "order-%u", i);
        struct np_order o = order_of(&d, id, NOW_S - 500);
        assert_int_equal(np_store_order_add(f->store, &o), 0);
        give_certificate(f, &o, NOW_S + ends[i], i == 0 ? NOW_S - 2 * DAY_S : NOW_S + 1);
    }
    struct np_device d = add(f, 30, NP_DEVICE_ACTIVE, "3.0");
    struct np_order o = order_of(&d, "waiting", NOW_S);
    o.priority = NP_PRIORITY_NEW;
    assert_int_equal(np_store_order_add(f->store, &o), 0);
    d = add(f, 31, NP_DEVICE_ACTIVE, "3.0");
    o = order_of(&d, "working", NOW_S);
    assert_int_equal(np_store_order_add(f->store, &o), 0);
    o.state = NP_ORDER_CHALLENGED;
    snprintf(o.ca, sizeof o.ca, "https://ca.example/dir");
    assert_int_equal(np_store_order_update(f->store, &o), 0);
    assert_int_equal(np_store_census(f->store, NOW_S, &census), 0);
    assert_int_equal(census.active, 8);
    assert_int_equal(census.silent, 1);
    assert_int_equal(census.blocked, 1);
    assert_int_equal(census.retired, 1);
    assert_int_equal(census.open, 0);
    assert_int_equal(census.seen_day, 9); /* the blocked one too: it is a live device */
    assert_int_equal(census.version_count, 2);
    assert_string_equal(census.versions[0].version, "3.0");
    assert_int_equal(census.versions[0].count, 6);
    assert_int_equal(census.versions[1].count, 3);
    assert_int_equal(census.certificates, 4);
    assert_int_equal(census.expired, 1);
    assert_int_equal(census.days[0], 1);
    assert_int_equal(census.days[1], 1);
    assert_int_equal(census.days[NP_CENSUS_DAYS_MAX - 1], 1);
    assert_int_equal(np_census_expiring(&census, 0), 1);
    assert_int_equal(np_census_expiring(&census, 1), 2);
    assert_int_equal(np_census_expiring(&census, 2), 3);
    assert_int_equal(census.overdue, 1);
    assert_int_equal(census.orders[NP_ORDER_QUEUED], 1);
    assert_int_equal(census.orders[NP_ORDER_CHALLENGED], 1);
    assert_int_equal(census.orders[NP_ORDER_ISSUED], 4);
    assert_int_equal(census.lanes[NP_PRIORITY_NEW][1], 1);
    assert_true(census.dirty > 0);
    bool found = false;
    for (size_t i = 0; i < census.ca_count; i++)
        found = found || (strcmp(census.cas[i].ca, "https://ca.example/dir") == 0 &&
                          census.cas[i].states[NP_ORDER_CHALLENGED] == 1);
    assert_true(found);
    int64_t oldest = 0, newest = 0;
    assert_int_equal(np_store_dirty_oldest(f->store, &oldest, &newest), 0);
    assert_true(oldest > 0 && newest >= oldest);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_pages, setup, teardown),
        cmocka_unit_test_setup_teardown(test_find, setup, teardown),
        cmocka_unit_test_setup_teardown(test_orders, setup, teardown),
        cmocka_unit_test_setup_teardown(test_retry, setup, teardown),
        cmocka_unit_test_setup_teardown(test_timeline, setup, teardown),
        cmocka_unit_test_setup_teardown(test_census, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Retention: who is silent for too long, what becomes of his name, and that it comes back. */
#include "hq/acme/renewal.h"
#include "hq/retention.h"
#include "tests/unit/hq/box.h"

#define NOW_S (NOW_US / 1000000)
#define DAY   INT64_C(86400)

/* The cutoff is exactly the last second that np_renewal_absent_s counts as long enough. */
static void test_cutoff(void **state)
{
    (void)state;
    static const struct {
        struct np_store_outage outages[3];
        size_t count;
        int64_t days; /* before now */
    } rows[] = {
        {{{0, 0}}, 0, 14},
        {{{NOW_S - 2 * DAY, NOW_S - DAY}}, 1, 15},
        {{{NOW_S - DAY, NOW_S}}, 1, 15},
        {{{NOW_S - DAY, NOW_S}, {NOW_S - 9 * DAY, NOW_S - 4 * DAY}}, 2, 20},
        {{{NOW_S - 90 * DAY, NOW_S - 80 * DAY}}, 1, 14}, /* long over */
        {{{NOW_S - 16 * DAY, NOW_S - 13 * DAY}}, 1, 17}, /* at the edge */
        {{{NOW_S - 300 * DAY, NOW_S - 10 * DAY}, {NOW_S - 9 * DAY, NOW_S - DAY}},
         2,
         312},                                                                         /* HQ itself was hardly there */
        {{{NOW_S + DAY, NOW_S + 2 * DAY}, {NOW_S - DAY, NOW_S + DAY}, {5, 4}}, 3, 15}, /* a clock set back, nonsense */
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        int64_t cutoff = np_retention_cutoff_s(NOW_S, 14 * DAY, rows[i].outages, rows[i].count);
        if (cutoff != NOW_S - rows[i].days * DAY)
            fail_msg("row %zu: %.3f days", i, (double)(NOW_S - cutoff) / (double)DAY);
        assert_true(np_renewal_absent_s(cutoff, NOW_S, rows[i].outages, rows[i].count) >= 14 * DAY);
        assert_true(np_renewal_absent_s(cutoff + 1, NOW_S, rows[i].outages, rows[i].count) < 14 * DAY);
    }
}

static int copy_name(void *ctx, const struct np_zone_name *name)
{
    *(struct np_zone_name *)ctx = *name;
    return 1;
}

static int count_name(void *ctx, const struct np_zone_name *name)
{
    (void)name;
    ++*(int *)ctx;
    return 0;
}

/* The one dirty name, whose mark goes. */
static struct np_zone_name take_dirty(struct fixture *f)
{
    struct np_zone_name name;
    assert_int_equal(np_store_dirty_after(f->store, 0, 1, copy_name, &name), 1);
    assert_int_equal(np_store_dirty_done(f->store, name.name, name.version), 0);
    assert_int_equal(np_store_dirty_after(f->store, 0, 1, copy_name, &name), 0);
    return name;
}

static int quiet(struct fixture *f, int64_t seen_s)
{
    char ids[4][NP_DEVICE_ID_MAX + 1];
    return np_store_devices_quiet(f->store, seen_s, 4, ids);
}

static struct box *silent_box(struct fixture *f)
{
    struct box *box = box_new("NP-0001");
    enrol(f, box, 201);
    assert_true(take_dirty(f).present);
    int64_t seen_s = f->now_us / 1000000;
    assert_int_equal(quiet(f, seen_s - 1), 0);
    assert_int_equal(quiet(f, seen_s), 1);
    f->now_us += 15 * 24 * HOUR_US;
    f->nonce[0] = 0;
    assert_int_equal(np_store_device_silence(f->store, box->told.device, f->now_us / 1000000, f->now_us / 1000000), 0);
    assert_int_equal(quiet(f, f->now_us), 0);
    struct np_zone_name name = take_dirty(f);
    int present = 0;
    assert_string_equal(name.name, box->told.names.name);
    assert_false(name.present);
    assert_int_equal(np_store_names_after(f->store, "", 100, count_name, &present), 0);
    assert_int_equal(present, 0);
    return box;
}

static void expect_back(struct fixture *f, const struct box *box)
{
    struct np_zone_name name = take_dirty(f);
    struct np_device device;
    assert_string_equal(name.name, box->told.names.name);
    assert_true(name.present);
    assert_int_equal(name.published.v4_count, 1);
    assert_int_equal(np_store_device_get(f->store, box->told.device, &device), 0);
    assert_int_equal(device.silent_s, 0);
}

static void test_any_request_brings_back(void **state)
{
    struct fixture *f = *state;
    struct box *box = silent_box(f);
    expect_status(get_package(f, box, box->request.token, NULL), 202); /* by token */
    expect_back(f, box);
    assert_int_equal(np_store_device_silence(f->store, box->told.device, f->now_us / 1000000, f->now_us / 1000000), 0);
    assert_false(take_dirty(f).present);
    expect_status(post(f, box, "/v1/session", "{}", (struct twist){0}), 200); /* signed */
    expect_back(f, box);
    box_free(box);
}

/* Found silent, and back before it is made so: by the other HQ, between the look and the write. */
static void test_back_in_time(void **state)
{
    struct fixture *f = *state;
    struct box *box = box_new("NP-0001");
    struct np_store *other = database_open(&f->database);
    char ids[4][NP_DEVICE_ID_MAX + 1];
    enrol(f, box, 201);
    assert_true(take_dirty(f).present);
    assert_int_equal(np_store_commit(f->store), 0);
    int64_t seen_s = f->now_us / 1000000;
    f->now_us += 15 * 24 * HOUR_US;
    f->nonce[0] = 0;
    assert_int_equal(np_store_devices_quiet(other, seen_s, 4, ids), 1);
    expect_status(get_package(f, box, box->request.token, NULL), 202);
    assert_int_equal(np_store_device_silence(other, ids[0], seen_s, f->now_us / 1000000), NP_E_STALE);
    assert_int_equal(np_store_commit(other), 0);
    struct np_device device;
    assert_int_equal(np_store_device_get(f->store, box->told.device, &device), 0);
    assert_int_equal(device.silent_s, 0);
    /* Likewise one that has left. */
    assert_int_equal(np_store_device_retire(f->store, ids[0], NP_REVOKE_CESSATION, f->now_us / 1000), 0);
    assert_int_equal(np_store_commit(f->store), 0);
    assert_int_equal(np_store_device_silence(other, ids[0], f->now_us, f->now_us), NP_E_STALE);
    np_store_close(other);
    box_free(box);
}

static void test_enrolling_again_brings_back(void **state)
{
    struct fixture *f = *state;
    struct box *box = silent_box(f);
    enrol(f, box, 200);
    expect_back(f, box);
    box_free(box);
}

/* Not even to a device that shows a grant for it, while its own is away. */
static void test_the_name_is_nobody_elses(void **state)
{
    struct fixture *f = *state;
    struct box *box = silent_box(f);
    struct np_device other;
    assert_int_equal(np_store_device_get(f->store, box->told.device, &other), 0);
    snprintf(other.id, sizeof other.id, "another");
    memset(other.thumbprint, 1, sizeof other.thumbprint);
    assert_int_equal(np_store_device_add(f->store, &other), NP_E_CONFLICT);
    box_free(box);
}

static void test_leaving_while_silent(void **state)
{
    struct fixture *f = *state;
    struct box *box = silent_box(f);
    assert_int_equal(np_store_device_retire(f->store, box->told.device, NP_REVOKE_CESSATION, f->now_us / 1000), 0);
    assert_false(take_dirty(f).present);
    assert_int_equal(quiet(f, f->now_us), 0);
    box_free(box);
}

int main(void)
{
#define API_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cutoff),
        API_TEST(test_any_request_brings_back),
        API_TEST(test_back_in_time),
        API_TEST(test_enrolling_again_brings_back),
        API_TEST(test_the_name_is_nobody_elses),
        API_TEST(test_leaving_while_silent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Where an order stands in the queue: exactly near the front, by marks further back. */

#include "tests/unit/hq/box.h"

#define NOW_MS (NOW_US / 1000)
#define ORDERS 1000

/* Order number n of ORDERS: every third device already has a certificate, and so stands before all the others. */
static struct np_order make(unsigned n)
{
    struct np_order o = {.authorization_count = 1, .csr_len = 1, .priority = NP_PRIORITY_NEW, .created_ms = NOW_MS + n};
    snprintf(o.id, sizeof o.id, "order-%u", n);
    snprintf(o.device, sizeof o.device, "device-%u", n);
    snprintf(o.authorizations[0].name, sizeof o.authorizations[0].name, "name-%u.devices.example", n);
    memcpy(o.key, &n, sizeof n);
    o.renews = n % 3 == 0;
    return o;
}

static void add(struct fixture *f, unsigned n)
{
    struct np_device d = {.state = NP_DEVICE_ACTIVE, .created_s = NOW_MS / 1000, .last_seen_s = NOW_MS / 1000};
    struct np_order o = make(n);
    memcpy(d.id, o.device, sizeof d.id);
    memcpy(d.name, o.authorizations[0].name, sizeof o.authorizations[0].name);
    memcpy(d.thumbprint, &n, sizeof n);
    d.thumbprint[31] = 1;
    d.identity.x[0] = 1;
    memcpy(d.identity.y, &n, sizeof n);
    assert_int_equal(np_store_device_add(f->store, &d), 0);
    assert_int_equal(np_store_order_add(f->store, &o), 0);
}

/* How many of the first ORDERS stand before number n, and how many of them are fresh, counted one by one. */
static void expect(unsigned n, int64_t *out_ahead, int64_t *out_fresh)
{
    *out_ahead = *out_fresh = 0;
    for (unsigned i = 0; i < ORDERS; i++) {
        bool fresh = i % 3 != 0, own = n % 3 != 0;
        bool before = fresh == own ? i < n : own;
        *out_ahead += before;
        *out_fresh += before && fresh;
    }
}

static void test_places(void **state)
{
    struct fixture *f = *state;
    for (unsigned n = 0; n < ORDERS; n++)
        add(f, n);
    for (unsigned n = 0; n < ORDERS; n++) {
        struct np_order order = make(n);
        struct np_queue_place place;
        int64_t ahead, fresh;
        expect(n, &ahead, &fresh);
        assert_int_equal(np_store_queue_place(f->store, &order, &place), 0);
        int64_t slack = ahead < NP_STORE_POSITION_EXACT ? 0 : 32;
        assert_in_range(place.ahead, ahead - (ahead ? slack : 0), ahead + slack);
        assert_in_range(place.fresh_ahead, fresh > slack ? fresh - slack : 0, fresh + slack);
    }
}

/* Newer than the marks: never less than what was counted. */
static void test_after_the_marks(void **state)
{
    struct fixture *f = *state;
    struct np_queue_place place;
    for (unsigned n = 0; n < 200; n++)
        add(f, n);
    struct np_order last = make(199);
    last.renews = 0;
    assert_int_equal(np_store_queue_place(f->store, &last, &place), 0);
    assert_in_range(place.ahead, NP_STORE_POSITION_EXACT, 200);
    for (unsigned n = 200; n < 400; n++)
        add(f, n);
    struct np_order renewal = make(399); /* behind more renewals than there were when the marks were made */
    assert_int_equal(np_store_queue_place(f->store, &renewal, &place), 0);
    assert_in_range(place.ahead, 67, 133);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_places, setup, teardown),
        cmocka_unit_test_setup_teardown(test_after_the_marks, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

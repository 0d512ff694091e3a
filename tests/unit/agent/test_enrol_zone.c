/* The enrolment machine and the zone: what it asks after a boot, and hourly from then on. */
#include "tests/unit/agent/enrol_box.h"

static void zone_has_the_same(void **state)
{
    (void)state;
    struct np_addresses set = set_of(1);
    whole_way();
    boot_asking();
    give_address(1);
    assert_int_equal(questions, 0);
    assert_int_equal(wait_timer(), NP_PUBLISH_DEBOUNCE_MS); /* the addresses stand still first */
    assert_int_equal(questions, 1);
    answer_zone(0, &set);
    assert_int_equal(wait_request(NP_REQUEST_CHECKIN) > 500000, 1); /* no push */
    answer_checkin(NP_CHECKIN_KEEP, 7, DAY);
    give_address(2);
    assert_int_equal(wait_request(NP_REQUEST_ADDRESSES), NP_PUBLISH_DEBOUNCE_MS);
    assert_int_equal(action.addresses.seq, 8); /* the check-in told, no 409 is needed */
    assert_int_equal(questions, 1);
}

static void zone_has_others(void **state)
{
    (void)state;
    struct np_addresses others[2] = {set_of(9), {.v4_count = 0}};
    for (size_t i = 0; i < 2; i++) {
        setup(state);
        whole_way();
        boot_asking();
        give_address(1);
        wait_timer();
        answer_zone(0, &others[i]);
        expect_request(NP_REQUEST_ADDRESSES); /* at once */
        assert_int_equal(action.addresses.seq, 1);
    }
}

static void zone_cannot_be_asked(void **state)
{
    (void)state;
    whole_way();
    boot_asking();
    give_address(1);
    wait_timer();
    answer_zone(NP_E_DNS, NULL);
    /* The name servers can be reached now: asked again, soon. */
    step((struct np_enrol_event){.type = NP_EVENT_ROUTE});
    assert_true(wait_timer() <= 250);
    assert_int_equal(questions, 2);
    answer_zone(NP_E_DNS, NULL);
    /* Not at all: after the boot jitter, by the check-in. */
    int64_t waited = wait_request(NP_REQUEST_CHECKIN);
    assert_in_range(waited, 500000, 600000);
    answer_checkin(NP_CHECKIN_KEEP, 7, DAY);
    expect_request(NP_REQUEST_ADDRESSES);
    assert_int_equal(action.addresses.seq, 8);
}

static void zone_unknown_and_moved(void **state)
{
    (void)state;
    whole_way();
    boot_asking();
    give_address(1);
    wait_timer();
    answer_zone(NP_E_DNS, NULL);
    give_address(2); /* this is news whatever the zone has */
    assert_int_equal(wait_request(NP_REQUEST_ADDRESSES), NP_PUBLISH_DEBOUNCE_MS);
}

/* At rest for an hour. */
static void rest_until_compared(void)
{
    unsigned before = questions;
    int64_t end = now_ms + NP_ENROL_COMPARE_MS + 1000;
    while (questions == before) {
        int64_t due = np_enrol_due(&e);
        assert_true(due <= end);
        now_s += (due - now_ms) / 1000;
        now_ms = due;
        step((struct np_enrol_event){.type = NP_EVENT_TIMER});
        if (action.type == NP_ACTION_SEND && action.request == NP_REQUEST_CHECKIN)
            answer_checkin(NP_CHECKIN_KEEP, 7, DAY);
    }
}

/* HQ takes the push, and publishes these. */
static void take_push(const struct np_addresses *published)
{
    clear();
    response.addresses.published = *published;
    answer(200);
}

static void boot_in_step_with_the_zone(void)
{
    struct np_addresses set = set_of(1);
    whole_way();
    boot_asking();
    give_address(1);
    wait_timer();
    answer_zone(0, &set);
}

static void zone_compared_hourly(void **state)
{
    struct np_addresses set = set_of(1), lost = {.v4_count = 0};
    (void)state;
    boot_in_step_with_the_zone();
    for (unsigned hour = 0; hour < 3; hour++) {
        rest_until_compared();
        assert_int_equal(questions, 2 + hour);
        answer_zone(0, &set);
        assert_int_equal(action.type, NP_ACTION_NONE); /* the same: nothing */
    }
    rest_until_compared();
    answer_zone(NP_E_DNS, NULL); /* not asked successfully: says nothing */
    assert_int_equal(action.type, NP_ACTION_NONE);
    rest_until_compared();
    answer_zone(0, &lost); /* HQ has lost it */
    expect_request(NP_REQUEST_ADDRESSES);
    assert_int_equal(action.addresses.seq, 8);
    assert_int_equal(e.compared, 1);
    take_push(&set);
    assert_int_equal(e.state, NP_ENROL_INSTALLED);
    /* It stays lost: once an hour, not more. */
    rest_until_compared();
    answer_zone(0, &lost);
    expect_request(NP_REQUEST_ADDRESSES);
    assert_int_equal(e.compared, 2);
}

/* What HQ refused to publish is no difference; a change meanwhile makes the answer one of yesterday. */
static void zone_compared_with_what_hq_promised(void **state)
{
    struct np_addresses two = set_of(1), one = set_of(1);
    (void)state;
    boot_in_step_with_the_zone();
    two.v4[two.v4_count++] = set_of(99).v4[0];
    step((struct np_enrol_event){.type = NP_EVENT_ADDRESSES, .addresses = &two, .usable = true});
    wait_request(NP_REQUEST_ADDRESSES);
    take_push(&one);
    rest_until_compared();
    answer_zone(0, &one);
    assert_int_equal(action.type, NP_ACTION_NONE);
    rest_until_compared();
    give_address(5);
    answer_zone(0, &two);
    assert_int_equal(e.compared, 0);
    assert_int_equal(wait_request(NP_REQUEST_ADDRESSES),
                     NP_PUBLISH_DEBOUNCE_MS); /* the change's own push, in its time */
}

static void zone_compared_as_sets(void **state)
{
    (void)state;
    struct np_addresses a = set_of(1), b = set_of(2);
    a.v4[a.v4_count++] = b.v4[0];
    b.v4[b.v4_count++] = a.v4[0];
    assert_true(np_renew_same_addresses(&a, &b));
    b.v4_count = 1;
    assert_false(np_renew_same_addresses(&a, &b));
    struct np_addresses c = set_of(1), d = set_of(2);
    assert_false(np_renew_same_addresses(&c, &d));
    b = c;
    b.v6[b.v6_count++] = np_addr_from_bytes((uint8_t[16]){0xfd, 0x42}, 16);
    assert_false(np_renew_same_addresses(&c, &b));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(zone_has_the_same),      TEST(zone_has_others),      TEST(zone_cannot_be_asked),
        TEST(zone_unknown_and_moved), TEST(zone_compared_hourly), TEST(zone_compared_with_what_hq_promised),
        TEST(zone_compared_as_sets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

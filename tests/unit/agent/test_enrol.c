/* The enrolment machine when all goes well: first boot, reboots, pushes, renewal. */
#include "tests/unit/agent/enrol_box.h"

static void happy_path(void **state)
{
    (void)state;
    boot(false);
    assert_int_equal(identities, 1);
    assert_int_equal(stores, 1); /* who we are is on flash before anybody hears of it */
    give_address(1);
    expect_request(NP_REQUEST_NONCE);
    answer_nonce();
    expect_request(NP_REQUEST_ENROL);
    assert_string_equal(action.nonce, "bm9uY2U");
    assert_int_equal(action.addresses.addresses.v4_count, 1);
    answer_enrol("device-1", NAME, 201);
    /* a key is made, name and key are stored at once, then the CSR goes out on the answer's nonce */
    expect_request(NP_REQUEST_CSR);
    assert_int_equal(stores, 2);
    assert_int_equal(keys, 1);
    assert_string_equal(device.name, NAME);
    answer_csr(2);
    assert_int_equal(e.state, NP_ENROL_WAITING_PACKAGE);
    assert_int_equal(wait_request(NP_REQUEST_PACKAGE), 2000);
    answer_pending("txt-visible", 3);
    assert_int_equal(wait_request(NP_REQUEST_PACKAGE), 3000);
    assert_memory_equal(np_enrol_bearer(&e), device.token, NP_TOKEN_LEN);
    answer_package(1, &device.next, true, 45);
    assert_int_equal(installs, 1);
    assert_int_equal(stores, 3);
    assert_true(device.has_chain && device.has_auth && !device.has_next);
    assert_int_equal(device.tls.scalar[0], test_ca_key(1).scalar[0]);
    assert_memory_equal(np_enrol_bearer(&e), device.auth_token, NP_TOKEN_LEN);
    /* The addresses were stated at enrolment: nothing to push. */
    assert_int_equal(e.state, NP_ENROL_INSTALLED);
    /* The first check-in, in the second half of the interval. */
    int64_t due_ms = np_enrol_due(&e) - now_ms;
    assert_in_range(due_ms, NP_ENROL_DAY_MS / 2 - 10000, NP_ENROL_DAY_MS);
}

static void waits_for_entropy(void **state)
{
    (void)state;
    np_enrol_init(&e, &device, false, no_jitter, NULL);
    step((struct np_enrol_event){.type = NP_EVENT_START});
    assert_int_equal(e.state, NP_ENROL_WAITING_ENTROPY);
    give_address(1);
    assert_int_equal(identities, 0);
    assert_int_equal(np_enrol_due(&e), now_ms + NP_ENROL_ENTROPY_MS);
    step((struct np_enrol_event){.type = NP_EVENT_ENTROPY});
    assert_int_equal(identities, 1);
    expect_request(NP_REQUEST_NONCE);
}

static void reboot_with_certificate(void **state)
{
    (void)state;
    whole_way();
    unsigned before = stores;
    boot(false);
    give_address(1);
    assert_int_equal(e.state, NP_ENROL_INSTALLED);
    /* Only the addresses: HQ's 409 tells the sequence number, the push follows at once. */
    wait_request(NP_REQUEST_ADDRESSES);
    assert_int_equal(action.addresses.seq, 1);
    clear();
    snprintf(response.problem.type, sizeof response.problem.type, "stale-seq");
    response.problem.has_seq = true;
    response.problem.seq = 7;
    answer(409);
    assert_true(wait_request(NP_REQUEST_ADDRESSES) == 0);
    assert_true(action.addresses.seq > 7);
    answer_addresses();
    assert_int_equal(e.state, NP_ENROL_INSTALLED);
    assert_int_equal(stores, before); /* nothing was written: nothing changed */
    assert_int_equal(keys, 1);
}

static void reboot_while_waiting(void **state)
{
    (void)state;
    boot(false);
    give_address(1);
    answer_nonce();
    answer_enrol("device-1", NAME, 201);
    answer_csr(1);
    boot(false);
    give_address(1);
    /* The same key again, so HQ sees the same CSR: no second enrolment, no second order. */
    expect_request(NP_REQUEST_NONCE);
    answer_nonce();
    expect_request(NP_REQUEST_CSR);
    assert_int_equal(keys, 1);
}

static void pushes_while_waiting(void **state)
{
    (void)state;
    boot(false);
    give_address(1);
    answer_nonce();
    answer_enrol("device-1", NAME, 201);
    answer_csr(600);
    give_address(2);
    assert_int_equal(wait_request(NP_REQUEST_ADDRESSES), NP_PUBLISH_DEBOUNCE_MS);
    assert_int_equal(action.addresses.seq, 1);
    answer_addresses();
    assert_int_equal(e.state, NP_ENROL_WAITING_PACKAGE);
}

static void fetches_in_the_last_quarter(void **state)
{
    (void)state;
    whole_way();
    int64_t waited = wait_over_checkins(NP_REQUEST_PACKAGE);
    assert_true(waited >= 33LL * DAY * 1000 && waited <= 34LL * DAY * 1000);
    assert_int_equal(e.state, NP_ENROL_FETCHING);
    clear();
    answer(304);
    assert_int_equal(e.state, NP_ENROL_INSTALLED);
    assert_true(wait_over_checkins(NP_REQUEST_PACKAGE) <= NP_RENEW_PACE_MAX_MS);
    /* Renewed by HQ from the stored CSR: the same key. */
    answer_package(2, &device.tls, false, 45);
    assert_int_equal(installs, 2);
    assert_int_equal(device.n, 2);
    assert_int_equal(keys, 1);
    assert_int_equal(e.state, NP_ENROL_INSTALLED);
}

static void local_only(void **state)
{
    (void)state;
    whole_way();
    boot(true);
    give_address(1);
    wait_request(NP_REQUEST_ADDRESSES);
    assert_true(action.addresses.withdraw);
    assert_int_equal(action.addresses.addresses.v4_count, 0);
}

static void logs_each_change(void **state)
{
    (void)state;
    struct np_addresses set = {0};
    boot(false);
    step((struct np_enrol_event){.type = NP_EVENT_ADDRESSES, .addresses = &set});
    assert_int_equal(e.state, NP_ENROL_WAITING_ADDRESS);
    set = set_of(1);
    struct np_enrol_time time = {.now_ms = now_ms, .judged_s = now_s};
    struct np_enrol_event event = {.type = NP_EVENT_ADDRESSES, .addresses = &set, .usable = true};
    np_enrol_step(&e, &time, &event, &action);
    assert_int_equal(action.transition_count, 1);
    assert_string_equal(np_enrol_state_name(action.transitions[0].from), "waiting-address");
    assert_string_equal(np_enrol_state_name(action.transitions[0].to), "nonce");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(happy_path),           TEST(waits_for_entropy),    TEST(reboot_with_certificate),
        TEST(reboot_while_waiting), TEST(pushes_while_waiting), TEST(fetches_in_the_last_quarter),
        TEST(local_only),           TEST(logs_each_change),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

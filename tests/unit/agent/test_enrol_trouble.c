/* The enrolment machine when HQ, the network or the disk is in trouble. */
#include "tests/unit/agent/enrol_box.h"

#include "agent/identity/clock.h"
#include "resolver/base/error.h"

static void backs_off(void **state)
{
    (void)state;
    static const int64_t delays[] = {1000, 2000, 4000, 8000};
    boot(false);
    give_address(1);
    for (size_t i = 0; i < sizeof delays / sizeof delays[0]; i++) {
        expect_request(NP_REQUEST_NONCE);
        fail_request();
        assert_int_equal(e.state, NP_ENROL_BACKOFF);
        assert_int_equal(wait_timer(), delays[i]);
    }
    for (int i = 0; i < 20; i++) {
        fail_request();
        wait_timer();
    }
    fail_request();
    assert_int_equal(wait_timer(), NP_ENROL_RETRY_CAP_MS);
    /* A new way to the Internet: soon, and the delays begin anew. */
    fail_request();
    step((struct np_enrol_event){.type = NP_EVENT_ROUTE});
    assert_true(wait_timer() < 500);
    fail_request();
    assert_int_equal(wait_timer(), 1000);
}

static void keeps_retry_after(void **state)
{
    (void)state;
    boot(false);
    give_address(1);
    answer_nonce();
    expect_request(NP_REQUEST_ENROL);
    answer_problem(429, "rate-limited", 120);
    assert_int_equal(e.state, NP_ENROL_BACKOFF);
    step((struct np_enrol_event){.type = NP_EVENT_ROUTE}); /* no excuse */
    int64_t waited = wait_timer();
    assert_true(waited >= 120000 && waited <= 132000);
    expect_request(NP_REQUEST_ENROL); /* on the nonce of the answer */
    answer_problem(503, "busy", 30);
    assert_true(wait_timer() >= 30000);
    expect_request(NP_REQUEST_ENROL);
}

static void bad_nonce(void **state)
{
    (void)state;
    boot(false);
    give_address(1);
    answer_nonce();
    for (int i = 0; i < NP_ENROL_NONCE_RETRIES; i++) {
        expect_request(NP_REQUEST_ENROL);
        answer_problem(400, "bad-nonce", 0); /* brings a new one: at once again */
    }
    expect_request(NP_REQUEST_ENROL);
    answer_problem(400, "bad-nonce", 0);
    assert_int_equal(e.state, NP_ENROL_BACKOFF);
}

static void old_nonce(void **state)
{
    (void)state;
    boot(false);
    give_address(1);
    answer_nonce();
    answer_problem(503, "busy", 3000);
    wait_timer();
    expect_request(NP_REQUEST_NONCE); /* 50 minutes later the one at hand is too old */
}

static void token_not_accepted(void **state)
{
    (void)state;
    whole_way();
    unsigned before = stores;
    give_address(2);
    wait_request(NP_REQUEST_ADDRESSES);
    answer_problem(401, "stale-token", 0);
    expect_request(NP_REQUEST_SESSION);
    answer_session(2, 9);
    assert_int_equal(stores, before + 1); /* the new token is stored before its first use */
    assert_int_equal(device.n, 2);
    wait_request(NP_REQUEST_ADDRESSES);
    assert_int_equal(action.addresses.seq, 10);
    answer_addresses();
    assert_int_equal(e.state, NP_ENROL_INSTALLED);
}

static void session_does_not_help(void **state)
{
    (void)state;
    whole_way();
    wait_over_checkins(NP_REQUEST_PACKAGE);
    answer_problem(401, "unknown-token", 0);
    expect_request(NP_REQUEST_SESSION);
    answer_session(2, 1);
    while (action.type != NP_ACTION_SEND)
        wait_timer();
    /* The fresh token is not taken either: no quick circle of sessions, and each round waits longer. */
    int64_t before = 0;
    for (int i = 0; i < 4; i++) {
        answer_problem(401, "unknown-token", 0);
        assert_int_equal(e.state, NP_ENROL_BACKOFF);
        int64_t waited = wait_request(NP_REQUEST_SESSION);
        assert_true(waited > before);
        before = waited;
        answer_session(2, 1);
        while (action.type != NP_ACTION_SEND)
            wait_timer();
    }
}

static void nonce_is_used_once(void **state)
{
    (void)state;
    boot(false);
    give_address(1);
    answer_nonce();
    expect_request(NP_REQUEST_ENROL);
    fail_request(); /* perhaps HQ saw it, perhaps not */
    wait_request(NP_REQUEST_NONCE);
}

static void unknown_device(void **state)
{
    (void)state;
    whole_way();
    give_address(2);
    wait_request(NP_REQUEST_ADDRESSES);
    answer_problem(404, "unknown-device", 0);
    expect_request(NP_REQUEST_SESSION);
    answer_problem(404, "unknown-device", 0);
    expect_request(NP_REQUEST_ENROL); /* with the grant that is in the state */
    assert_string_equal(device.grant, "grant");
    assert_true(device.has_chain);
    answer_enrol("device-2", NAME, 201);
    /* The name is the old one, so the certificate stays: no order. The new row's token is the poll token. */
    assert_true(device.has_chain);
    assert_memory_equal(np_enrol_bearer(&e), device.token, NP_TOKEN_LEN);
    assert_int_equal(e.state, NP_ENROL_INSTALLED);
    assert_int_equal(keys, 1);
}

static void other_name(void **state)
{
    (void)state;
    whole_way();
    e.need_enrol = true;
    step((struct np_enrol_event){.type = NP_EVENT_TIMER});
    if (action.request == NP_REQUEST_NONCE)
        answer_nonce();
    expect_request(NP_REQUEST_ENROL);
    answer_enrol("device-2", "other.devices.example", 201);
    /* A certificate for the new name is needed; the old one and its key stay until it is there. */
    expect_request(NP_REQUEST_CSR);
    assert_true(device.has_chain && device.has_next);
    assert_int_equal(keys, 2);
    assert_memory_equal(device.tls.scalar, test_ca_key(1).scalar, 32);
}

static void blocked(void **state)
{
    static const char *const words[] = {"blocked", "retired"};
    static const int statuses[] = {403, 410};
    for (size_t i = 0; i < 2; i++) {
        setup(state);
        whole_way();
        give_address(2);
        wait_request(NP_REQUEST_ADDRESSES);
        answer_problem(statuses[i], words[i], 0);
        assert_int_equal(e.state, NP_ENROL_BLOCKED);
        assert_int_equal(np_enrol_due(&e), NP_JOB_NEVER);
        give_address(3);
        step((struct np_enrol_event){.type = NP_EVENT_ROUTE});
        assert_int_equal(action.type, NP_ACTION_NONE);
        assert_true(device.has_chain && device.has_identity && device.name[0]);
    }
}

static void refused(void **state)
{
    (void)state;
    boot(false);
    give_address(1);
    answer_nonce();
    answer_problem(403, "bad-credential", 0);
    assert_int_equal(e.state, NP_ENROL_REFUSED);
    step((struct np_enrol_event){.type = NP_EVENT_ROUTE});
    assert_true(np_enrol_due(&e) - now_ms >= NP_ENROL_REFUSED_MS);
}

static void key_reused(void **state)
{
    (void)state;
    boot(false);
    give_address(1);
    answer_nonce();
    answer_enrol("device-1", NAME, 201);
    expect_request(NP_REQUEST_CSR);
    answer_problem(409, "key-reused", 0);
    wait_request(NP_REQUEST_CSR);
    assert_int_equal(keys, 2);
    assert_memory_equal(device.next.scalar, test_ca_key(2).scalar, 32);
}

static void order_died(void **state)
{
    (void)state;
    boot(false);
    give_address(1);
    answer_nonce();
    answer_enrol("device-1", NAME, 201);
    answer_csr(1);
    wait_request(NP_REQUEST_PACKAGE);
    answer_pending("dead", 0);
    assert_int_equal(e.state, NP_ENROL_BACKOFF);
    int64_t began_ms = now_ms;
    unsigned before = stores;
    while (keys == 1 && now_ms - began_ms < 7LL * DAY * 1000) {
        wait_over_checkins(NP_REQUEST_CSR);
        answer_csr(1);
        wait_over_checkins(NP_REQUEST_PACKAGE);
        answer_pending("dead", 0);
    }
    assert_int_equal(stores, before + 1);
    /* The same CSR for days, at a pace that slows down, before another key is tried. */
    assert_in_range(now_ms - began_ms, 3LL * DAY * 1000, 3LL * DAY * 1000 + 3600000);
}

static void bad_package(void **state)
{
    (void)state;
    boot(false);
    give_address(1);
    answer_nonce();
    answer_enrol("device-1", NAME, 201);
    answer_csr(1);
    wait_request(NP_REQUEST_PACKAGE);
    clear();
    answer(200);
    assert_int_equal(action.type, NP_ACTION_CHECK);
    step((struct np_enrol_event){
        .type = NP_EVENT_CHECKED, .response = &response, .rc = NP_E_CHAIN, .reason = "not signed"});
    assert_int_equal(installs, 0);
    assert_false(device.has_auth || device.has_chain);
    assert_int_equal(e.state, NP_ENROL_BACKOFF);
    wait_request(NP_REQUEST_PACKAGE);
}

static void full_disk(void **state)
{
    (void)state;
    store_rc = -28;
    boot(false);
    give_address(1);
    assert_int_equal(e.state, NP_ENROL_BACKOFF); /* an identity that is not stored is shown to nobody */
    assert_int_equal(wait_timer(), 1000);
    store_rc = 0;
    wait_request(NP_REQUEST_NONCE);
}

/* With a certificate and a flash that fails: everything goes on, with the token that is stored; the write is tried
 * again at a pace of its own. */
static void failing_flash(void **state)
{
    (void)state;
    whole_way_of(40 * DAY);
    const uint8_t first = device.auth_token[0];
    assert_int_equal(np_enrol_bearer(&e)[0], first);
    store_rc = -5;
    wait_over_checkins(NP_REQUEST_PACKAGE);
    answer_package(2, &device.tls, false, 40);
    assert_int_equal(installs, 2);
    assert_int_equal(e.state, NP_ENROL_INSTALLED);
    assert_non_null(strstr(e.store_problem, "cannot be written"));
    assert_int_not_equal(device.auth_token[0], first);
    assert_int_equal(np_enrol_bearer(&e)[0], first); /* the new one is not used before it is stored */
    give_address(7);
    wait_request(NP_REQUEST_ADDRESSES);
    answer_addresses();
    /* Until HQ takes no other. */
    give_address(8);
    wait_request(NP_REQUEST_ADDRESSES);
    answer_problem(401, "stale-token", 0);
    expect_request(NP_REQUEST_SESSION);
    answer_session(2, 1);
    assert_int_equal(np_enrol_bearer(&e)[0], device.auth_token[0]);
    wait_request(NP_REQUEST_ADDRESSES);
    answer_addresses();
    store_rc = 0;
    wait_timer();
    assert_int_equal(e.store_problem[0], 0);
}

/* The key of a CSR that a power cut would lose is not shown to HQ. */
static void failing_flash_and_new_key(void **state)
{
    (void)state;
    whole_way();
    give_address(2);
    wait_over_checkins(NP_REQUEST_ADDRESSES);
    answer_addresses();
    store_rc = -30;
    while (action.type != NP_ACTION_SEND)
        wait_timer();
    expect_request(NP_REQUEST_CHECKIN);
    answer_checkin(NP_CHECKIN_SEND_CSR, 1, DAY);
    assert_int_equal(keys, 2);
    assert_int_equal(e.state, NP_ENROL_BACKOFF);
    assert_non_null(strstr(e.reason, "cannot be written"));
    give_address(3);
    wait_request(NP_REQUEST_ADDRESSES);
    answer_addresses();
    assert_int_equal(e.state, NP_ENROL_BACKOFF);
    store_rc = 0;
    wait_timer();
    expect_request(NP_REQUEST_CSR);
}

static void fail_date(void)
{
    step((struct np_enrol_event){.type = NP_EVENT_FAILED, .rc = NP_E_DATE, .reason = "hq: expired or not yet valid"});
}

/* HQ's certificate is not valid by the clock: HQ is asked the time, once, and what failed is done again at once. */
static void asks_the_time(void **state)
{
    (void)state;
    np_enrol_init(&e, &device, false, no_jitter, NULL);
    np_enrol_ask_time(&e);
    memset(&action, 0, sizeof action);
    step((struct np_enrol_event){.type = NP_EVENT_START, .entropy = true});
    give_address(1);
    expect_request(NP_REQUEST_NONCE);
    fail_date();
    expect_request(NP_REQUEST_TIME);
    clear();
    response.nonce[0] = 0;
    answer(200);
    expect_request(NP_REQUEST_NONCE);
    fail_date(); /* it is HQ's certificate that is wrong: no second question within the hour */
    assert_int_equal(e.state, NP_ENROL_BACKOFF);
    int64_t asked_ms = now_ms;
    for (int i = 0; now_ms - asked_ms < 2 * NP_ENROL_TIME_MS; i++) {
        while (action.type != NP_ACTION_SEND)
            wait_timer();
        if (action.request == NP_REQUEST_TIME) {
            assert_true(now_ms - asked_ms >= NP_ENROL_TIME_MS);
            asked_ms = now_ms;
            fail_request();
            assert_int_equal(e.state, NP_ENROL_BACKOFF);
            return;
        }
        fail_date();
    }
    fail_msg("the time was not asked again after an hour");
}

static void answer_at(int64_t time_s)
{
    clear();
    response.time_s = time_s;
    answer(204);
}

/* HQ's certificate is valid by the clock, and its answer says another time: it is asked for a signed one, once. */
static void asks_about_another_time(void **state)
{
    (void)state;
    static const int64_t off_s[] = {-60 * DAY, -NP_CLOCK_LEAD_S - 1, NP_CLOCK_LEAD_S + 1, 60 * DAY};
    for (size_t i = 0; i < sizeof off_s / sizeof *off_s; i++) {
        np_enrol_init(&e, &device, false, no_jitter, NULL);
        np_enrol_ask_time(&e);
        memset(&action, 0, sizeof action);
        memset(&device, 0, sizeof device);
        step((struct np_enrol_event){.type = NP_EVENT_START, .entropy = true});
        give_address(1);
        expect_request(NP_REQUEST_NONCE);
        answer_at(now_s - off_s[i]);
        expect_request(NP_REQUEST_TIME);
        clear();
        answer(200);
        expect_request(NP_REQUEST_ENROL);
        clear();
        response.time_s = now_s - off_s[i]; /* it was not the clock: not asked again within the hour */
        response.problem.status = 503;
        answer(503);
        assert_int_equal(e.state, NP_ENROL_BACKOFF);
    }
}

static void believes_about_the_same_time(void **state)
{
    (void)state;
    np_enrol_init(&e, &device, false, no_jitter, NULL);
    np_enrol_ask_time(&e);
    memset(&action, 0, sizeof action);
    step((struct np_enrol_event){.type = NP_EVENT_START, .entropy = true});
    give_address(1);
    answer_at(now_s - NP_CLOCK_LEAD_S);
    expect_request(NP_REQUEST_ENROL);
}

/* A box whose clock stands at 1970 asks first of all; an answer that does not verify is no answer. */
static void asks_the_time_first(void **state)
{
    (void)state;
    np_enrol_init(&e, &device, false, no_jitter, NULL);
    np_enrol_ask_time(&e);
    memset(&action, 0, sizeof action);
    step((struct np_enrol_event){.type = NP_EVENT_START, .entropy = true, .no_clock = true});
    give_address(1);
    expect_request(NP_REQUEST_TIME);
    clear();
    response.nonce[0] = 0;
    response.rc = NP_E_SIGNATURE;
    answer(200);
    assert_int_equal(e.state, NP_ENROL_BACKOFF);
    wait_request(NP_REQUEST_NONCE);
}

static void useless_answers(void **state)
{
    (void)state;
    boot(false);
    give_address(1);
    answer_nonce();
    clear();
    response.rc = NP_E_MALFORMED; /* a captive portal's page */
    answer(200);
    assert_int_equal(e.state, NP_ENROL_BACKOFF);
    wait_request(NP_REQUEST_ENROL);
    clear();
    answer(302);
    assert_int_equal(e.state, NP_ENROL_BACKOFF);
    assert_false(device.device[0]);
    /* An answer to something that was not asked changes nothing. */
    clear();
    response.request = NP_REQUEST_SESSION;
    response.status = 200;
    step((struct np_enrol_event){.type = NP_EVENT_RESPONSE, .response = &response});
    assert_false(device.has_auth);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(backs_off),
        TEST(keeps_retry_after),
        TEST(bad_nonce),
        TEST(old_nonce),
        TEST(token_not_accepted),
        TEST(session_does_not_help),
        TEST(nonce_is_used_once),
        TEST(unknown_device),
        TEST(other_name),
        TEST(blocked),
        TEST(refused),
        TEST(key_reused),
        TEST(order_died),
        TEST(bad_package),
        TEST(asks_the_time),
        TEST(asks_the_time_first),
        TEST(asks_about_another_time),
        TEST(believes_about_the_same_time),
        TEST(full_disk),
        TEST(failing_flash),
        TEST(failing_flash_and_new_key),
        TEST(useless_answers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

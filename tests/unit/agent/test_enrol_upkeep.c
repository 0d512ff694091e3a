/* The enrolment machine once there is a certificate: check-in, renewal, leave. */
#include "tests/unit/agent/enrol_box.h"

static uint32_t least(void *ctx, uint32_t bound)
{
    (void)ctx;
    (void)bound;
    return 0;
}

/* Lets time pass without a step: a box that is off. */
static void pass(int64_t seconds)
{
    now_ms += seconds * 1000;
    now_s += seconds;
}

static void answer_not_modified(void)
{
    clear();
    answer(304);
}

static void checks_in_daily(void **state)
{
    (void)state;
    whole_way();
    unsigned before = stores;
    wait_request(NP_REQUEST_CHECKIN);
    assert_int_equal(e.state, NP_ENROL_CHECKING_IN);
    assert_true(action.checkin.certificate.installed);
    assert_int_equal(action.checkin.certificate.n, 1);
    assert_int_equal(action.checkin.certificate.not_after_s, e.not_after_s);
    assert_int_equal(action.checkin.addresses.v4_count, 1);
    assert_string_equal(action.checkin.health, "ok");
    /* Once a day, at the second that HQ gives. */
    answer_checkin(NP_CHECKIN_KEEP, 0, 85012);
    assert_int_equal(e.state, NP_ENROL_INSTALLED);
    assert_int_equal(wait_request(NP_REQUEST_CHECKIN), 85012000);
    answer_checkin(NP_CHECKIN_KEEP, 0, 0); /* none given: the interval */
    assert_int_equal(e.checkin_ms - now_ms, DAY * 1000);
    assert_int_equal(stores, before); /* nothing changed */
}

static void takes_intervals_over(void **state)
{
    (void)state;
    whole_way();
    unsigned before = stores;
    wait_request(NP_REQUEST_CHECKIN);
    clear();
    response.checkin.poll_s = 5;
    response.checkin.checkin_s = 3600;
    response.checkin.boot_jitter_s = 60;
    answer(200);
    assert_int_equal(stores, before + 1);
    assert_int_equal(device.poll_s, 5);
    assert_int_equal(device.checkin_s, 3600);
    assert_int_equal(device.boot_jitter_s, 60);
    assert_int_equal(wait_request(NP_REQUEST_CHECKIN), 3600000);
}

static void verdict_fetch(void **state)
{
    (void)state;
    whole_way();
    wait_request(NP_REQUEST_CHECKIN);
    answer_checkin(NP_CHECKIN_FETCH, 0, DAY);
    expect_request(NP_REQUEST_PACKAGE); /* at once, long before the last quarter */
    answer_package(2, &device.tls, false, 45);
    assert_int_equal(installs, 2);
    assert_int_equal(e.state, NP_ENROL_INSTALLED);
    assert_int_equal(wait_request(NP_REQUEST_CHECKIN), DAY * 1000);
}

static void verdict_wait(void **state)
{
    (void)state;
    whole_way();
    wait_request(NP_REQUEST_CHECKIN);
    answer_checkin(NP_CHECKIN_WAIT, 0, DAY);
    /* HQ's pace, doubling up to the usual one. */
    int64_t before = 0, waited = 0;
    for (int i = 0; i < 12; i++) {
        waited = wait_request(NP_REQUEST_PACKAGE);
        assert_true(waited >= before && waited <= NP_RENEW_PACE_MAX_MS);
        before = waited;
        answer_not_modified();
    }
    assert_true(waited > 600000);
    wait_request(NP_REQUEST_PACKAGE);
    answer_package(2, &device.tls, false, 45);
    assert_int_equal(wait_request(NP_REQUEST_CHECKIN) > 0, 1); /* and nothing is asked for any more */
}

static void verdict_send_csr(void **state)
{
    (void)state;
    whole_way();
    wait_request(NP_REQUEST_CHECKIN);
    answer_checkin(NP_CHECKIN_SEND_CSR, 0, DAY);
    assert_int_equal(keys, 2); /* a fresh key, the one in use stays in use */
    if (action.request == NP_REQUEST_NONCE)
        answer_nonce();
    expect_request(NP_REQUEST_CSR);
    assert_true(device.has_chain && device.has_next);
    answer_csr(1);
    wait_request(NP_REQUEST_PACKAGE);
    answer_not_modified(); /* HQ still has the old one */
    assert_true(wait_request(NP_REQUEST_PACKAGE) <= NP_RENEW_URGENT_MS);
    answer_package(2, &device.next, true, 45);
    assert_memory_equal(device.tls.scalar, test_ca_key(2).scalar, 32);
    assert_false(device.has_next);
    assert_int_equal(e.state, NP_ENROL_INSTALLED);
}

static void checkin_not_understood(void **state)
{
    (void)state;
    whole_way();
    wait_request(NP_REQUEST_CHECKIN);
    answer_problem(404, "not-found", 0); /* an older HQ: nothing else has to wait */
    assert_int_equal(e.state, NP_ENROL_INSTALLED);
    assert_true(e.checkin_ms - now_ms >= NP_RENEW_CHECKIN_DEFECT_MS);
    give_address(2);
    assert_int_equal(wait_request(NP_REQUEST_ADDRESSES), NP_PUBLISH_DEBOUNCE_MS);
    answer_addresses();
    wait_request(NP_REQUEST_CHECKIN);
    answer_problem(503, "busy", 120);
    assert_int_equal(e.state, NP_ENROL_BACKOFF);
    assert_true(wait_request(NP_REQUEST_CHECKIN) >= 120000);
    answer_problem(401, "stale-token", 0);
    if (action.request == NP_REQUEST_NONCE)
        answer_nonce();
    expect_request(NP_REQUEST_SESSION);
    answer_session(2, 1);
    wait_over_checkins(NP_REQUEST_ADDRESSES); /* what HQ has is unknown after a session */
}

/* Looks for the certificate of that lifetime until it has expired by half. Returns how many there were. */
static unsigned looks_until_expired(int64_t lifetime_s, int64_t *out_first_s)
{
    int64_t issued_s;
    unsigned looks = 0;
    setup(NULL);
    whole_way_of(lifetime_s);
    issued_s = e.not_before_s;
    while (now_s - issued_s <= lifetime_s) {
        wait_over_checkins(NP_REQUEST_PACKAGE);
        if (looks++ == 0)
            *out_first_s = now_s - issued_s;
        answer_not_modified();
    }
    return looks;
}

static void pace_fits_lifetime(void **state)
{
    (void)state;
    static const int64_t lifetimes[] = {30, 60, 3600, 6 * DAY, 45 * DAY, 90 * DAY};
    for (size_t i = 0; i < sizeof lifetimes / sizeof lifetimes[0]; i++) {
        int64_t lifetime = lifetimes[i], first_s = 0;
        unsigned looks = looks_until_expired(lifetime, &first_s);
        assert_true(first_s >= lifetime * 3 / 4);
        assert_true(first_s <= lifetime * 3 / 4 + lifetime / 32 + 2);
        assert_true(looks >= 6);
        /* 90 days: every 3 to 6 hours of 22.5 days; short ones: twice 8 and a few of the urgent ones. */
        assert_true(looks <= (lifetime >= 6 * DAY ? 200 : 20));
        /* Expired: from seconds up to half a minute. */
        assert_true(wait_over_checkins(NP_REQUEST_PACKAGE) <= NP_RENEW_URGENT_MS);
        assert_string_equal(e.reason, "the certificate has expired");
        for (int j = 0; j < 10; j++) {
            answer_not_modified();
            assert_in_range(wait_over_checkins(NP_REQUEST_PACKAGE), 1, NP_RENEW_URGENT_MS);
        }
        answer_package_of(2, &device.tls, false, lifetime);
        assert_int_equal(installs, 2);
        assert_int_equal(e.state, NP_ENROL_INSTALLED);
    }
}

/* HQ has nothing newer, but no 304 tells so: the ETag was lost on the way, or differs each time. */
static void same_package_again(void **state)
{
    (void)state;
    whole_way();
    wait_over_checkins(NP_REQUEST_PACKAGE);
    memset(&package, 0, sizeof package);
    memcpy(package.chain, device.chain, sizeof package.chain);
    for (int i = 0; i < 5; i++) {
        clear();
        memcpy(response.package.auth_token, device.auth_token, sizeof device.auth_token);
        response.package.n = device.n;
        snprintf(response.etag, sizeof response.etag, "\"other-%d\"", i);
        answer(200);
        step((struct np_enrol_event){.type = NP_EVENT_CHECKED, .response = &response, .package = &package});
        assert_int_equal(e.state, NP_ENROL_INSTALLED);
        assert_int_equal(installs, 1);
        assert_true(wait_over_checkins(NP_REQUEST_PACKAGE) >= NP_RENEW_PACE_MAX_MS / 2);
    }
}

/* Two HQs that do not agree: each look brings another package, and none of them is fresh. */
static void old_packages_in_turn(void **state)
{
    (void)state;
    char chains[2][sizeof package.chain];
    whole_way();
    memcpy(chains[0], device.chain, sizeof chains[0]);
    pass(1);
    step((struct np_enrol_event){.type = NP_EVENT_TIMER});
    wait_over_checkins(NP_REQUEST_PACKAGE);
    now_s -= 40 * DAY;
    answer_package(2, &device.tls, false, 45);
    now_s += 40 * DAY;
    memcpy(chains[1], device.chain, sizeof chains[1]);
    for (int i = 0; i < 5; i++) {
        assert_true(wait_over_checkins(NP_REQUEST_PACKAGE) >= NP_RENEW_PACE_MAX_MS / 4);
        memcpy(package.chain, chains[i % 2], sizeof package.chain);
        clear();
        response.package.n = 3 + i;
        answer(200);
        step((struct np_enrol_event){.type = NP_EVENT_CHECKED, .response = &response, .package = &package});
    }
}

static void jitter_has_bounds(void **state)
{
    (void)state;
    static const enum np_renew_need needs[] = {NP_RENEW_ROUTINE, NP_RENEW_AWAITED, NP_RENEW_URGENT};
    for (unsigned looks = 0; looks < 40; looks++) {
        for (size_t i = 0; i < 3; i++) {
            int64_t most = np_renew_delay_ms(needs[i], 21600000, 1000, looks, least, NULL);
            int64_t fewest = np_renew_delay_ms(needs[i], 21600000, 1000, looks, no_jitter, NULL);
            assert_in_range(fewest, most / 2, most / 2 + 1);
            assert_in_range(most, 1000, 21600000);
            if (needs[i] == NP_RENEW_URGENT)
                assert_true(most <= NP_RENEW_URGENT_MS);
        }
    }
    assert_int_equal(np_renew_delay_ms(NP_RENEW_ROUTINE, 21600000, 1000, 0, least, NULL), 21600000);
    assert_int_equal(np_renew_delay_ms(NP_RENEW_URGENT, 21600000, 1000, 3, least, NULL), 8000);
    assert_int_equal(np_renew_pace_ms(0, 60), 1875);
    assert_int_equal(np_renew_pace_ms(0, 10), NP_RENEW_PACE_MIN_MS);
    assert_int_equal(np_renew_pace_ms(0, 90 * DAY), NP_RENEW_PACE_MAX_MS);
    assert_int_equal(np_renew_checkin_ms(0, 0), DAY * 1000);
    assert_int_equal(np_renew_checkin_ms(INT32_MAX, 0), NP_RENEW_CHECKIN_MAX_MS);
}

static void retry_after_of_a_look(void **state)
{
    (void)state;
    whole_way_of(60);
    wait_request(NP_REQUEST_PACKAGE);
    answer_pending("queued", 20);
    int64_t waited = wait_request(NP_REQUEST_PACKAGE); /* beyond the end of the 60 s, all the same */
    assert_in_range(waited, 20000, 22000);
    assert_true(now_s > e.not_after_s);
}

static void boot_with_good_certificate(void **state)
{
    (void)state;
    whole_way();
    boot_asking();
    assert_in_range(e.checkin_ms - now_ms, 0, 600000);
    assert_in_range(e.checkin_ms - now_ms, 599000, 600000); /* the random part is the whole here */
    np_enrol_init(&e, &device, false, least, NULL);
    step((struct np_enrol_event){.type = NP_EVENT_START, .entropy = true});
    assert_int_equal(e.checkin_ms, now_ms);
}

static void boot_with_expired_certificate(void **state)
{
    (void)state;
    static const int64_t ages[] = {34 * DAY, 46 * DAY, 400 * DAY};
    for (size_t i = 0; i < 3; i++) {
        setup(state);
        whole_way();
        pass(ages[i]);
        boot_asking();
        give_address(1);
        expect_request(NP_REQUEST_CHECKIN); /* at once */
        assert_string_equal(action.checkin.health, i == 0 ? "ok" : "expired");
        assert_int_equal(action.checkin.seq, 0);
        answer_checkin(NP_CHECKIN_WAIT, 7, DAY);
        /* HQ gets one: there within seconds of its being ready. */
        for (int j = 0; j < 4; j++) {
            if (action.type != NP_ACTION_SEND)
                assert_true(wait_request(NP_REQUEST_PACKAGE) <= 16000);
            answer_not_modified();
        }
        wait_request(NP_REQUEST_PACKAGE);
        answer_package(2, &device.tls, false, 45);
        assert_int_equal(installs, 2);
        assert_true(e.not_after_s > now_s);
    }
}

static void boot_without_certificate(void **state)
{
    (void)state;
    boot(false);
    give_address(1);
    answer_nonce();
    answer_enrol("device-1", NAME, 201);
    answer_csr(1);
    boot_asking();
    give_address(1);
    answer_nonce();
    expect_request(NP_REQUEST_CSR); /* the same one: that is asking at once */
    answer_csr(2);
    expect_request(NP_REQUEST_CHECKIN);
    assert_false(action.checkin.certificate.installed);
    assert_string_equal(action.checkin.health, "no-certificate");
    answer_checkin(NP_CHECKIN_FETCH, 0, DAY);
    expect_request(NP_REQUEST_PACKAGE);
    answer_package(1, &device.next, true, 45);
    assert_int_equal(e.state, NP_ENROL_INSTALLED);
}

static void leave(bool local)
{
    step((struct np_enrol_event){.type = NP_EVENT_LEAVE, .leave = NP_LEAVE_RESALE, .local = local});
}

static void expect_new_device(void)
{
    assert_int_equal(e.leave, NP_LEAVE_DONE);
    assert_int_equal(forgotten, 1);
    assert_int_equal(identities, 2);
    assert_false(device.has_chain || device.has_auth || device.has_next || device.device[0] || device.name[0]);
    expect_request(NP_REQUEST_NONCE);
    answer_nonce();
    expect_request(NP_REQUEST_ENROL);
    assert_int_equal(action.addresses.addresses.v4_count, 1); /* where it is has not changed */
    answer_enrol("device-2", "other.devices.example", 201);
    expect_request(NP_REQUEST_CSR);
}

static void leaves(void **state)
{
    (void)state;
    whole_way();
    leave(false);
    assert_int_equal(e.leave, NP_LEAVE_UNDER_WAY);
    expect_request(NP_REQUEST_LEAVE); /* on the nonce at hand */
    assert_int_equal(action.leave.reason, NP_LEAVE_RESALE);
    assert_true(device.has_chain && device.name[0]); /* nothing is given up before HQ has let it go */
    clear();
    response.nonce[0] = 0;
    answer(204);
    expect_new_device();
}

static void leaves_again(void **state)
{
    static const char *const words[] = {"retired", "unknown-device"};
    for (size_t i = 0; i < 2; i++) { /* HQ did it before the answer was lost, or knows nothing of the device */
        setup(state);
        whole_way();
        leave(false);
        expect_request(NP_REQUEST_LEAVE);
        answer_problem(i ? 404 : 410, words[i], 0);
        assert_int_equal(e.leave, NP_LEAVE_DONE);
        assert_int_equal(identities, 2);
    }
}

static void leave_fails(void **state)
{
    (void)state;
    whole_way();
    leave(false);
    expect_request(NP_REQUEST_LEAVE);
    fail_request();
    assert_int_equal(e.leave, NP_LEAVE_FAILED);
    assert_non_null(strstr(e.leave_problem, "refused"));
    assert_true(device.has_chain && device.name[0] && identities == 1);
    /* It was asked for once and is not tried again behind anybody's back. */
    wait_request(NP_REQUEST_CHECKIN);
    answer_problem(503, "busy", 60);
    leave(false);
    assert_int_equal(e.leave, NP_LEAVE_FAILED);
    assert_non_null(strstr(e.leave_problem, "asked this box to wait 6"));
    leave(true);
    assert_int_equal(e.leave, NP_LEAVE_DONE);
    assert_int_equal(identities, 2);
    assert_false(device.has_chain);
}

static void leave_while_asking(void **state)
{
    (void)state;
    whole_way();
    wait_request(NP_REQUEST_CHECKIN);
    leave(false); /* one request at a time */
    assert_int_equal(action.type, NP_ACTION_NONE);
    answer_checkin(NP_CHECKIN_KEEP, 0, DAY);
    expect_request(NP_REQUEST_LEAVE);
    answer_problem(403, "blocked", 0);
    assert_int_equal(e.leave, NP_LEAVE_FAILED);
    assert_int_equal(e.state, NP_ENROL_BLOCKED);
    leave(true); /* always possible */
    assert_int_equal(e.leave, NP_LEAVE_DONE);
}

static void lost_key(void **state)
{
    (void)state;
    whole_way();
    for (int i = 0; i < 2; i++) {
        wait_over_checkins(NP_REQUEST_PACKAGE);
        clear();
        answer(200);
        step((struct np_enrol_event){
            .type = NP_EVENT_CHECKED, .response = &response, .rc = NP_E_KEY, .reason = "another key"});
    }
    /* HQ renews from a CSR whose key is gone: another CSR, or there would never be a renewal. */
    while (action.type != NP_ACTION_SEND)
        wait_timer();
    if (action.request == NP_REQUEST_NONCE)
        answer_nonce();
    expect_request(NP_REQUEST_CSR);
    assert_true(device.has_chain);
}

static void moving_ends_the_waiting(void **state)
{
    (void)state;
    whole_way();
    wait_request(NP_REQUEST_CHECKIN);
    for (int i = 0; i < 12; i++) {
        fail_request();
        wait_request(NP_REQUEST_CHECKIN);
    }
    fail_request();
    give_address(2); /* plugged in elsewhere */
    assert_true(np_enrol_due(&e) - now_ms <= 250);
}

/* The power is cut: what was stored is all that is left. The nonces were not. */
static void restart(void)
{
    boot(false);
    give_address(1);
}

/* Before HQ has heard it, or after: the wish is on the flash, and goes on by itself. */
static void leave_and_power_cut(void **state)
{
    (void)state;
    for (int heard = 0; heard < 2; heard++) {
        setup(NULL);
        whole_way();
        leave(false);
        assert_int_equal(device.leaving, NP_LEAVING_ASKED);
        assert_int_equal(stores, 4); /* identity, name, certificate, and its own, before anything is sent */
        restart();
        expect_request(NP_REQUEST_NONCE);
        answer_nonce();
        expect_request(NP_REQUEST_LEAVE);
        assert_int_equal(action.leave.reason, NP_LEAVE_RESALE);
        fail_request(); /* nobody waits: it is tried again */
        assert_int_equal(e.leave, NP_LEAVE_UNDER_WAY);
        wait_request(NP_REQUEST_NONCE);
        answer_nonce();
        clear();
        if (heard)
            answer_problem(410, "retired", 0);
        else
            answer(204);
        expect_new_device();
    }
}

/* The owner was told that it failed; HQ had heard it. */
static void leave_answer_lost(void **state)
{
    (void)state;
    whole_way();
    leave(false);
    expect_request(NP_REQUEST_LEAVE);
    fail_request();
    assert_int_equal(e.leave, NP_LEAVE_FAILED);
    assert_int_equal(device.leaving, NP_LEAVING_UNSURE);
    restart(); /* not taken up again: the owner decides */
    while (action.type != NP_ACTION_SEND)
        wait_timer();
    answer_problem(410, "retired", 0); /* whatever it asks */
    expect_new_device();
}

/* A wish that the flash cannot keep is not begun; a box that has left says what it could not store. */
static void leave_and_full_flash(void **state)
{
    (void)state;
    whole_way();
    store_rc = -28;
    leave(false);
    assert_int_equal(e.leave, NP_LEAVE_FAILED);
    assert_non_null(strstr(e.leave_problem, "cannot be written"));
    assert_int_equal(device.leaving, NP_LEAVING_NOT);
    store_rc = 0;
    leave(false);
    expect_request(NP_REQUEST_LEAVE);
    store_rc = -28;
    clear();
    answer(204);
    assert_int_equal(forgotten, 1);
    assert_int_equal(e.leave, NP_LEAVE_UNWRITTEN);
    assert_int_not_equal(action.type, NP_ACTION_SEND); /* the new identity is not stored either */
    store_rc = 0;
    wait_timer();
    assert_int_equal(e.leave, NP_LEAVE_DONE);
}

/* Another key on demand: its CSR is sent, the old certificate serves meanwhile; a restart goes on with the same key,
 * and a renewal for the old one that comes first is taken and ends nothing. */
static void rotates(void **state)
{
    (void)state;
    whole_way();
    give_address(1);
    step((struct np_enrol_event){.type = NP_EVENT_ROTATE});
    assert_int_equal(keys, 2);
    assert_memory_equal(&device.next, &(struct np_private_key[]){test_ca_key(2)}[0], sizeof device.next);
    expect_request(NP_REQUEST_CSR);
    restart();
    answer_nonce();
    expect_request(NP_REQUEST_CSR);
    assert_int_equal(keys, 2);
    step((struct np_enrol_event){.type = NP_EVENT_ROTATE}); /* it is on its way already */
    answer_csr(1);
    while (action.type != NP_ACTION_SEND || action.request != NP_REQUEST_PACKAGE) {
        if (action.type != NP_ACTION_SEND)
            wait_timer();
        else
            answer_checkin(NP_CHECKIN_KEEP, 0, DAY);
    }
    answer_package(2, &device.tls, false, 45);
    assert_true(device.has_next);
    wait_request(NP_REQUEST_PACKAGE);
    answer_package(3, &device.next, true, 45);
    assert_false(device.has_next);
    assert_int_equal(keys, 2);
    assert_int_equal(e.state, NP_ENROL_INSTALLED);
}

/* The wish for another key comes while a renewal for the old one is being fetched: it is not forgotten over that. */
static void rotates_while_fetching(void **state)
{
    (void)state;
    whole_way();
    give_address(1);
    wait_over_checkins(NP_REQUEST_PACKAGE);
    step((struct np_enrol_event){.type = NP_EVENT_ROTATE});
    answer_package(2, &device.tls, false, 45);
    assert_int_equal(keys, 2);
    expect_request(NP_REQUEST_CSR);
    /* Likewise while a check-in is answered that says to fetch: that is not for the new key. */
    setup(NULL);
    whole_way();
    give_address(1);
    while (action.type == NP_ACTION_SEND)
        answer_addresses();
    step((struct np_enrol_event){.type = NP_EVENT_RENEW});
    expect_request(NP_REQUEST_CHECKIN);
    step((struct np_enrol_event){.type = NP_EVENT_ROTATE});
    answer_checkin(NP_CHECKIN_FETCH, 0, DAY);
    assert_int_equal(keys, 2);
    expect_request(NP_REQUEST_CSR);
}

/* Asked for by a person: the check-in comes now, but not before HQ wants it. */
static void renews_on_demand(void **state)
{
    (void)state;
    whole_way();
    give_address(1);
    while (action.type == NP_ACTION_SEND)
        answer_addresses();
    step((struct np_enrol_event){.type = NP_EVENT_RENEW});
    expect_request(NP_REQUEST_CHECKIN);
    answer_problem(503, "busy", 600);
    step((struct np_enrol_event){.type = NP_EVENT_RENEW});
    assert_int_equal(action.type, NP_ACTION_NONE);
    assert_true(wait_request(NP_REQUEST_CHECKIN) >= 600000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(checks_in_daily),
        TEST(takes_intervals_over),
        TEST(verdict_fetch),
        TEST(verdict_wait),
        TEST(verdict_send_csr),
        TEST(checkin_not_understood),
        TEST(pace_fits_lifetime),
        TEST(same_package_again),
        TEST(old_packages_in_turn),
        TEST(jitter_has_bounds),
        TEST(retry_after_of_a_look),
        TEST(boot_with_good_certificate),
        TEST(boot_with_expired_certificate),
        TEST(boot_without_certificate),
        TEST(leaves),
        TEST(leaves_again),
        TEST(leave_fails),
        TEST(leave_while_asking),
        TEST(leave_and_power_cut),
        TEST(rotates),
        TEST(rotates_while_fetching),
        TEST(renews_on_demand),
        TEST(leave_answer_lost),
        TEST(leave_and_full_flash),
        TEST(lost_key),
        TEST(moving_ends_the_waiting),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* The enrolment machine under a clock and an HQ of our own: scripted scenarios. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "agent/certificate/enrol.h"
#include "resolver/base/error.h"
#include "tests/support/test_ca.h"

#define NOW_S 1795320000
#define DAY   86400
#define NAME  "nifty-babbage.devices.example"

/* One box and what happened to it. */
static struct np_enrol e;
static struct np_state device;
static struct np_enrol_action action;
static struct np_response response;
static struct np_package package;
static int64_t now_ms, now_s;
static unsigned stores, keys, identities, installs;
static int store_rc;
static uint8_t last_key;

static uint32_t no_jitter(void *ctx, uint32_t bound)
{
    (void)ctx;
    return bound ? bound - 1 : 0;
}

static void step(struct np_enrol_event event);

/* Carries out what is done at once, as the agent does. */
static void carry_out(void)
{
    struct np_enrol_event event = {.type = NP_EVENT_MADE};
    switch (action.type) {
    case NP_ACTION_MAKE_IDENTITY:
        device.identity = test_ca_key(100);
        device.has_identity = true;
        identities++;
        break;
    case NP_ACTION_MAKE_KEY:
        device.next = test_ca_key(++last_key);
        device.has_next = true;
        keys++;
        break;
    case NP_ACTION_STORE:
        event = (struct np_enrol_event){.type = NP_EVENT_STORED, .rc = store_rc};
        stores++;
        break;
    case NP_ACTION_INSTALL:
        event.type = NP_EVENT_TIMER;
        installs++;
        break;
    default:
        return;
    }
    step(event);
}

static void step(struct np_enrol_event event)
{
    struct np_enrol_time time = {.now_ms = now_ms, .judged_s = now_s};
    np_enrol_step(&e, &time, &event, &action);
    carry_out();
}

static void boot(bool local_only)
{
    np_enrol_init(&e, &device, local_only, no_jitter, NULL);
    memset(&action, 0, sizeof action);
    step((struct np_enrol_event){.type = NP_EVENT_START, .entropy = true});
}

static int setup(void **state)
{
    (void)state;
    memset(&device, 0, sizeof device);
    now_ms = 1000;
    now_s = NOW_S;
    stores = keys = identities = installs = 0;
    store_rc = 0;
    last_key = 0;
    return 0;
}

static struct np_addresses set_of(uint8_t last)
{
    struct np_addresses set = {0};
    set.v4[set.v4_count++] = np_addr_from_bytes((uint8_t[4]){192, 168, 1, last}, 4);
    return set;
}

static void give_address(uint8_t last)
{
    struct np_addresses set = set_of(last);
    step((struct np_enrol_event){.type = NP_EVENT_ADDRESSES, .addresses = &set, .usable = true});
}

/* Waits until the machine wants its timer, and at least that is the next thing. Returns how long. */
static int64_t wait_timer(void)
{
    int64_t due = np_enrol_due(&e), waited;
    assert_true(action.type == NP_ACTION_NONE);
    assert_true(due != NP_JOB_NEVER);
    waited = due > now_ms ? due - now_ms : 0;
    now_ms += waited;
    now_s += waited / 1000;
    step((struct np_enrol_event){.type = NP_EVENT_TIMER});
    return waited;
}

/* Like wait_timer, but steps that only wait on are passed. */
static int64_t wait_request(enum np_request request)
{
    int64_t waited = 0;
    for (int i = 0; i < 50 && action.type != NP_ACTION_SEND; i++)
        waited += wait_timer();
    assert_int_equal(action.type, NP_ACTION_SEND);
    assert_int_equal(action.request, request);
    return waited;
}

static void expect_request(enum np_request request)
{
    assert_int_equal(action.type, NP_ACTION_SEND);
    assert_string_equal(np_request_name(action.request), np_request_name(request));
}

static void answer(int status)
{
    response.request = e.inflight;
    response.status = status;
    step((struct np_enrol_event){.type = NP_EVENT_RESPONSE, .response = &response});
}

static void clear(void)
{
    memset(&response, 0, sizeof response);
    snprintf(response.nonce, sizeof response.nonce, "bm9uY2U");
}

static void answer_nonce(void)
{
    clear();
    answer(204);
}

static void answer_enrol(const char *id, const char *name, int status)
{
    clear();
    snprintf(response.enrol.device, sizeof response.enrol.device, "%s", id);
    snprintf(response.enrol.name, sizeof response.enrol.name, "%s", name);
    snprintf(response.enrol.san[0], sizeof response.enrol.san[0], "%s", name);
    snprintf(response.enrol.grant, sizeof response.enrol.grant, "grant");
    response.enrol.san_count = 1;
    response.enrol.poll_s = 1;
    answer(status);
}

static void answer_csr(int64_t eta_s)
{
    clear();
    response.csr.eta_s = eta_s;
    answer(202);
}

static void answer_pending(const char *state, int64_t retry_after_s)
{
    clear();
    snprintf(response.pending.state, sizeof response.pending.state, "%s", state);
    response.retry_after_ms = retry_after_s * 1000;
    answer(202);
}

static void answer_problem(int status, const char *type, int64_t retry_after_s)
{
    clear();
    snprintf(response.problem.type, sizeof response.problem.type, "%s", type);
    response.problem.status = status;
    response.retry_after_ms = retry_after_s * 1000;
    answer(status);
}

static void answer_addresses(void)
{
    clear();
    answer(200);
}

static void answer_session(int64_t n, int64_t seq)
{
    clear();
    snprintf(response.session.name, sizeof response.session.name, "%s", device.name);
    memset(response.session.auth_token, (int)(0x50 + n), sizeof response.session.auth_token);
    response.session.n = n;
    response.session.seq = seq;
    answer(200);
}

static void fail_request(void)
{
    step((struct np_enrol_event){.type = NP_EVENT_FAILED, .rc = -111, .reason = "hq: connection refused"});
}

/* HQ's package for the key: an own certificate of that many days, from now on. */
static void answer_package(int64_t n, const struct np_private_key *key, bool from_next, int64_t days)
{
    static const char *const sans[] = {NAME};
    struct np_private_key ca = test_ca_key(200);
    struct test_certificate leaf = {.subject = "",
                                    .issuer = "CA",
                                    .key = &key->public,
                                    .signer = &ca,
                                    .sans = sans,
                                    .san_count = 1,
                                    .not_before_s = now_s,
                                    .not_after_s = now_s + days * DAY};
    memset(&package, 0, sizeof package);
    test_ca_pem(&leaf, package.chain, sizeof package.chain);
    clear();
    response.package.n = n;
    memset(response.package.auth_token, (int)(0x50 + n), sizeof response.package.auth_token);
    snprintf(response.etag, sizeof response.etag, "\"%d\"", (int)n);
    answer(200);
    assert_int_equal(action.type, NP_ACTION_CHECK);
    step((struct np_enrol_event){
        .type = NP_EVENT_CHECKED, .response = &response, .package = &package, .from_next = from_next});
}

/* From nothing to a certificate of 45 days. */
static void whole_way(void)
{
    boot(false);
    give_address(1);
    answer_nonce();
    answer_enrol("device-1", NAME, 201);
    answer_csr(1);
    wait_request(NP_REQUEST_PACKAGE);
    answer_package(1, &device.next, true, 45);
}

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
    assert_int_equal(np_enrol_due(&e), now_ms + NP_ENROL_DAY_MS);
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
    give_address(2);
    int64_t begun = now_ms;
    unsigned sessions = 0;
    for (int i = 0; i < 20; i++) {
        if (action.type != NP_ACTION_SEND) {
            wait_timer();
        } else if (action.request == NP_REQUEST_ADDRESSES) {
            answer_problem(401, "unknown-token", 0);
        } else {
            expect_request(NP_REQUEST_SESSION);
            sessions++;
            answer_session(2, 1);
        }
    }
    assert_true(sessions >= 2);
    assert_true(now_ms - begun > 5000); /* no quick circle */
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
    wait_request(NP_REQUEST_CSR);
    assert_int_equal(keys, 2);
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
    int64_t waited = wait_request(NP_REQUEST_PACKAGE);
    assert_true(waited >= 33LL * DAY * 1000 && waited <= 34LL * DAY * 1000);
    assert_int_equal(e.state, NP_ENROL_FETCHING);
    clear();
    answer(304);
    assert_int_equal(e.state, NP_ENROL_INSTALLED);
    assert_true(wait_request(NP_REQUEST_PACKAGE) <= NP_ENROL_FETCH_MS);
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

#define TEST(name) cmocka_unit_test_setup(name, setup)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(happy_path),
        TEST(waits_for_entropy),
        TEST(reboot_with_certificate),
        TEST(reboot_while_waiting),
        TEST(backs_off),
        TEST(keeps_retry_after),
        TEST(bad_nonce),
        TEST(old_nonce),
        TEST(token_not_accepted),
        TEST(session_does_not_help),
        TEST(unknown_device),
        TEST(other_name),
        TEST(blocked),
        TEST(refused),
        TEST(key_reused),
        TEST(order_died),
        TEST(bad_package),
        TEST(full_disk),
        TEST(pushes_while_waiting),
        TEST(fetches_in_the_last_quarter),
        TEST(local_only),
        TEST(useless_answers),
        TEST(logs_each_change),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

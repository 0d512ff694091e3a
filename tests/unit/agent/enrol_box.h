/* enrol_box: one box and a scripted HQ, for the tests of the enrolment machine: what is done at once is carried out,
 * time moves only when a test says so. */
#ifndef TESTS_UNIT_AGENT_ENROL_BOX_H
#define TESTS_UNIT_AGENT_ENROL_BOX_H

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
static unsigned stores, keys, identities, installs, questions, forgotten;
static int store_rc;
static uint8_t last_key;

static inline uint32_t no_jitter(void *ctx, uint32_t bound)
{
    (void)ctx;
    return bound ? bound - 1 : 0;
}

static inline void step(struct np_enrol_event event);

/* Carries out what is done at once, as the agent does. */
static inline void carry_out(void)
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
    case NP_ACTION_ASK_ZONE:
        event.type = NP_EVENT_TIMER;
        questions++;
        break;
    case NP_ACTION_FORGET:
        event.type = NP_EVENT_TIMER;
        forgotten++;
        break;
    default:
        return;
    }
    step(event);
}

static inline void step(struct np_enrol_event event)
{
    struct np_enrol_time time = {.now_ms = now_ms, .judged_s = now_s};
    np_enrol_step(&e, &time, &event, &action);
    carry_out();
}

/* As the agent boots, which can ask the zone. */
static inline void boot_asking(void)
{
    np_enrol_init(&e, &device, false, no_jitter, NULL);
    np_enrol_ask_zone_first(&e);
    memset(&action, 0, sizeof action);
    step((struct np_enrol_event){.type = NP_EVENT_START, .entropy = true});
}

static inline void boot(bool local_only)
{
    np_enrol_init(&e, &device, local_only, no_jitter, NULL);
    memset(&action, 0, sizeof action);
    step((struct np_enrol_event){.type = NP_EVENT_START, .entropy = true});
}

static inline int setup(void **state)
{
    (void)state;
    memset(&device, 0, sizeof device);
    now_ms = 1000;
    now_s = NOW_S;
    stores = keys = identities = installs = questions = forgotten = 0;
    store_rc = 0;
    last_key = 0;
    return 0;
}

static inline struct np_addresses set_of(uint8_t last)
{
    struct np_addresses set = {0};
    set.v4[set.v4_count++] = np_addr_from_bytes((uint8_t[4]){192, 168, 1, last}, 4);
    return set;
}

static inline void give_address(uint8_t last)
{
    struct np_addresses set = set_of(last);
    step((struct np_enrol_event){.type = NP_EVENT_ADDRESSES, .addresses = &set, .usable = true});
}

/* Waits until the machine wants its timer, and at least that is the next thing. Returns how long. */
static inline int64_t wait_timer(void)
{
    int64_t due = np_enrol_due(&e), waited;
    assert_true(action.type == NP_ACTION_NONE);
    assert_true(due != NP_JOB_NEVER);
    waited = due > now_ms ? due - now_ms : 0;
    now_ms += waited;
    now_s += now_ms / 1000 - (now_ms - waited) / 1000;
    step((struct np_enrol_event){.type = NP_EVENT_TIMER});
    return waited;
}

/* Like wait_timer, but steps that only wait on are passed. */
static inline int64_t wait_request(enum np_request request)
{
    int64_t waited = 0;
    for (int i = 0; i < 50 && action.type != NP_ACTION_SEND; i++)
        waited += wait_timer();
    assert_int_equal(action.type, NP_ACTION_SEND);
    assert_int_equal(action.request, request);
    return waited;
}

static inline void expect_request(enum np_request request)
{
    assert_int_equal(action.type, NP_ACTION_SEND);
    assert_string_equal(np_request_name(action.request), np_request_name(request));
}

static inline void answer(int status)
{
    response.request = e.inflight;
    response.status = status;
    step((struct np_enrol_event){.type = NP_EVENT_RESPONSE, .response = &response});
}

static inline void clear(void)
{
    memset(&response, 0, sizeof response);
    snprintf(response.nonce, sizeof response.nonce, "bm9uY2U");
}

static inline void answer_nonce(void)
{
    clear();
    answer(204);
}

static inline void answer_enrol(const char *id, const char *name, int status)
{
    clear();
    snprintf(response.enrol.device, sizeof response.enrol.device, "%s", id);
    snprintf(response.enrol.names.name, sizeof response.enrol.names.name, "%s", name);
    snprintf(response.enrol.names.san[0], sizeof response.enrol.names.san[0], "%s", name);
    snprintf(response.enrol.grant, sizeof response.enrol.grant, "grant");
    response.enrol.names.san_count = 1;
    response.enrol.poll_s = 1;
    response.enrol.checkin_s = DAY;
    response.enrol.boot_jitter_s = 600;
    response.enrol.nameserver_count = 1;
    snprintf(response.enrol.nameservers[0], sizeof response.enrol.nameservers[0], "ns1.devices.example");
    answer(status);
}

static inline void answer_csr(int64_t eta_s)
{
    clear();
    response.csr.eta_s = eta_s;
    answer(202);
}

static inline void answer_pending(const char *state, int64_t retry_after_s)
{
    clear();
    snprintf(response.pending.state, sizeof response.pending.state, "%s", state);
    response.retry_after_ms = retry_after_s * 1000;
    answer(202);
}

static inline void answer_problem(int status, const char *type, int64_t retry_after_s)
{
    clear();
    snprintf(response.problem.type, sizeof response.problem.type, "%s", type);
    response.problem.status = status;
    response.retry_after_ms = retry_after_s * 1000;
    answer(status);
}

/* HQ's intervals are those of answer_enrol. */
static inline void answer_checkin(enum np_checkin_verdict verdict, int64_t seq, int64_t next_s)
{
    clear();
    response.checkin.certificate = verdict;
    response.checkin.seq = seq;
    response.checkin.next_s = next_s;
    response.checkin.poll_s = 1;
    response.checkin.checkin_s = DAY;
    response.checkin.boot_jitter_s = 600;
    answer(200);
}

/* Passes check-ins, which HQ answers with keep, until the request comes. Returns how long. */
static inline int64_t wait_over_checkins(enum np_request request)
{
    int64_t waited = 0;
    for (int i = 0; i < 200; i++) {
        while (action.type != NP_ACTION_SEND)
            waited += wait_timer();
        if (action.request != NP_REQUEST_CHECKIN)
            break;
        answer_checkin(NP_CHECKIN_KEEP, 0, DAY);
    }
    expect_request(request);
    return waited;
}

static inline void answer_zone(int rc, const struct np_addresses *found)
{
    step((struct np_enrol_event){.type = NP_EVENT_ZONE, .rc = rc, .addresses = found});
}

static inline void answer_addresses(void)
{
    clear();
    answer(200);
}

static inline void answer_session(int64_t n, int64_t seq)
{
    clear();
    snprintf(response.session.name, sizeof response.session.name, "%s", device.name);
    memset(response.session.auth_token, (int)(0x50 + n), sizeof response.session.auth_token);
    response.session.n = n;
    response.session.seq = seq;
    answer(200);
}

static inline void fail_request(void)
{
    step((struct np_enrol_event){.type = NP_EVENT_FAILED, .rc = -111, .reason = "hq: connection refused"});
}

/* HQ's package for the key: an own certificate of that lifetime, from now on. */
static inline void answer_package_of(int64_t n, const struct np_private_key *key, bool from_next, int64_t lifetime_s)
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
                                    .not_after_s = now_s + lifetime_s};
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

static inline void answer_package(int64_t n, const struct np_private_key *key, bool from_next, int64_t days)
{
    answer_package_of(n, key, from_next, days * DAY);
}

/* From nothing to a certificate of that lifetime. */
static inline void whole_way_of(int64_t lifetime_s)
{
    boot(false);
    give_address(1);
    answer_nonce();
    answer_enrol("device-1", NAME, 201);
    answer_csr(1);
    wait_request(NP_REQUEST_PACKAGE);
    answer_package_of(1, &device.next, true, lifetime_s);
}

/* From nothing to a certificate of 45 days. */
static inline void whole_way(void)
{
    whole_way_of(45 * DAY);
}

#define TEST(name) cmocka_unit_test_setup(name, setup)

#endif

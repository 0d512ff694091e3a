/* Protocol v1 without sockets: enrolment, sessions, nonces, and what HTTP asks for. */
#include "tests/unit/hq/box.h"

/* ---- Enrolment ---- */

static void test_enrol_and_repeat(void **state)
{
    struct fixture *f = *state;
    struct box *box = box_new("NP-0001");
    struct np_device device;
    struct np_public_key grant_public;
    struct np_grant grant;
    enrol(f, box, 201);
    assert_int_equal(strlen(box->told.device), 22);
    assert_string_equal(strchr(box->told.names.name, '.'), ".devices.example");
    assert_int_equal(box->told.names.san_count, 1);
    assert_string_equal(box->told.names.san[0], box->told.names.name);
    assert_int_equal(box->told.ttl_s, 60);
    assert_int_equal(box->told.time_s, f->now_us / 1000000);
    np_hq_key_public(f->grant_key, &grant_public);
    assert_int_equal(np_grant_verify(&box->crypto, box->told.grant, &grant_public, &grant), 0);
    assert_string_equal(grant.name, box->told.names.name);
    assert_memory_equal(grant.thumbprint, box->thumbprint, 32);
    assert_int_equal(np_store_device_get(f->store, box->told.device, &device), 0);
    assert_int_equal(device.published.v4_count, 1);
    assert_string_equal(device.network, "198.51.100.0/24");

    struct np_enrol_answer first = box->told;
    assert_int_equal(np_addr_parse("192.168.1.11", &box->request.addresses.v4[0]), 0);
    np_random_bytes(box->request.token, sizeof box->request.token);
    enrol(f, box, 200);
    assert_string_equal(box->told.device, first.device);
    assert_string_equal(box->told.names.name, first.names.name);
    assert_int_equal(np_store_device_get(f->store, box->told.device, &device), 0);
    assert_true(np_addr_equal(&device.published.v4[0], &box->request.addresses.v4[0]));
    expect_status(get_package(f, box, box->request.token, NULL), 202);
    box_free(box);
}

static void test_new_epoch_is_a_new_device(void **state)
{
    struct fixture *f = *state;
    struct box *box = box_new("NP-0001");
    char names[4][NP_NAME_MAX + 1];
    for (int i = 0; i < 3; i++) {
        enrol(f, box, 201);
        memcpy(names[i], box->told.names.name, sizeof names[i]);
        for (int k = 0; k < i; k++)
            assert_string_not_equal(names[k], names[i]);
        np_random_bytes(box->request.epoch, sizeof box->request.epoch);
    }
    /* Three live names are all that a serial gets; its repetitions are no new ones. */
    expect_problem(enrol_twisted(f, box, (struct twist){0}), "rate-limited");
    box_free(box);
}

static void test_open_enrolment_has_a_quota(void **state)
{
    struct fixture *f = *state;
    struct box *box[3];
    for (int i = 0; i < 3; i++) {
        box[i] = box_new("");
        box[i]->request.credential.type = NP_CREDENTIAL_OPEN;
    }
    expect_problem(enrol_twisted(f, box[0], (struct twist){0}), "credential-unsupported");
    f->api.policy.open = true;
    enrol(f, box[0], 201);
    enrol(f, box[1], 201);
    expect_problem(enrol_twisted(f, box[2], (struct twist){0}), "rate-limited");
    enrol(f, box[1], 200);
    f->now_us += 25 * HOUR_US;
    f->nonce[0] = 0;
    enrol(f, box[2], 201);
    for (int i = 0; i < 3; i++)
        box_free(box[i]);
}

/* Each /64 has its quota, and all of a /48 together another, so that nobody goes on from one network of his to the
 * next; neighbours in the order of the index do not count. */
static void test_open_quota_of_ipv6(void **state)
{
    struct fixture *f = *state;
    char client[64];
    f->api.policy.open = true; /* network_recent is 2: 2 of a /64, 16 of a /48 */
    unsigned taken = 0;
    for (unsigned i = 0; i < 40; i++) {
        struct box *box = box_new("");
        box->request.credential.type = NP_CREDENTIAL_OPEN;
        snprintf(client, sizeof client, "2001:db8:1:%x::7", i / 4);
        f->client = client;
        struct np_api_response response = enrol_twisted(f, box, (struct twist){0});
        assert_int_equal(response.status, i % 4 < 2 && taken < 16 ? 201 : 429);
        taken += response.status == 201;
        np_api_response_free(&response);
        box_free(box);
    }
    assert_int_equal(taken, 16);
    static const char *const others[] = {"2001:db8:10:1::7", "2001:db8::1", "2001:db8:2::1", "198.51.100.1"};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        struct box *box = box_new("");
        box->request.credential.type = NP_CREDENTIAL_OPEN;
        f->client = others[i];
        enrol(f, box, 201);
        box_free(box);
    }
}

/* Whoever enrols with nothing to show may state any serial number: that must not use up its owner's names. */
static void test_open_takes_nothing_from_a_serial(void **state)
{
    struct fixture *f = *state;
    struct box *owner = box_new("NP-0001");
    f->api.policy.open = true;
    f->api.policy.network_recent = 10;
    for (int i = 0; i < 6; i++) {
        struct box *stranger = box_new("NP-0001");
        stranger->request.credential.type = NP_CREDENTIAL_OPEN;
        enrol(f, stranger, 201);
        box_free(stranger);
    }
    enrol(f, owner, 201);
    box_free(owner);
}

static void test_grant_brings_the_name_back(void **state)
{
    struct fixture *f = *state;
    struct box *box = box_new("NP-0001"), *thief = box_new("NP-0002");
    struct fixture *lost; /* an HQ with the same keys and an empty database */
    enrol(f, box, 201);
    struct np_enrol_answer before = box->told;
    setup((void **)&lost);
    np_hq_key_free(lost->grant_key);
    lost->grant_key = NULL;
    lost->api.grant_key = f->grant_key;
    /* Somebody else's grant is worth nothing. */
    memcpy(thief->request.grant, before.grant, sizeof before.grant);
    enrol(lost, thief, 201);
    assert_string_not_equal(thief->told.names.name, before.names.name);
    memcpy(box->request.grant, before.grant, sizeof before.grant);
    enrol(lost, box, 201);
    assert_string_equal(box->told.names.name, before.names.name);
    /* Nor does it take a name from its holder: the same identity in another epoch. */
    np_random_bytes(box->request.epoch, sizeof box->request.epoch);
    enrol(lost, box, 201);
    assert_string_not_equal(box->told.names.name, before.names.name);
    teardown((void **)&lost);
    box_free(box);
    box_free(thief);
}

static void test_bad_enrolments(void **state)
{
    struct fixture *f = *state;
    struct box *box = box_new("NP-0001"), *other = box_new("NP-0002");
    char old[NP_NONCE_MAX + 1];
    expect_problem(enrol_twisted(f, box, (struct twist){.nonce = "AAAA"}), "bad-nonce");
    expect_problem(enrol_twisted(f, box, (struct twist){.url = "https://other.example"}), "bad-url");
    expect_problem(enrol_twisted(f, box, (struct twist){.signer = other}), "bad-signature");
    expect_problem(enrol_twisted(f, box, (struct twist){.without_jwk = true, .kid = "somebody"}), "malformed");
    expect_problem(enrol_twisted(f, box, (struct twist){.content_type = "application/json"}), "unsupported-media");
    expect_problem(enrol_twisted(f, box, (struct twist){.content_type = "application/jose+jsonx"}),
                   "unsupported-media");
    memcpy(old, fresh_nonce(f), sizeof old);
    f->now_us += HOUR_US + 1000;
    expect_problem(enrol_twisted(f, box, (struct twist){.nonce = old}), "bad-nonce");
    box->request.credential.serial[0] = 'X';
    enrol(f, box, 201); /* another serial, with its own right secret */
    expect_problem(post(f, other, "/v1/devices", "{}", (struct twist){0}), "malformed");
    expect_problem(post(f, other, "/v1/devices", "[]", (struct twist){0}), "malformed");
    expect_problem(post(f, other, "/v1/devices", "{\"credential\":{\"type\":\"claim-code\"}}", (struct twist){0}),
                   "malformed");
    expect_problem(ask(f, (struct np_api_request){.method = "POST",
                                                  .path = "/v1/devices",
                                                  .content_type = "application/jose+json",
                                                  .body = "{",
                                                  .body_len = 1}),
                   "malformed");
    expect_problem(ask(f, (struct np_api_request){.method = "POST", .path = "/v1/devices", .too_large = true}),
                   "too-large");
    box_free(box);
    box_free(other);
}

static void test_nonces_are_used_once(void **state)
{
    struct fixture *f = *state;
    struct box *box = box_new("NP-0001"), *other = box_new("NP-0002");
    char used[NP_NONCE_MAX + 1], older[NP_NONCE_MAX + 1];
    memcpy(older, fresh_nonce(f), sizeof older);
    f->nonce[0] = 0;
    memcpy(used, fresh_nonce(f), sizeof used);
    expect_status(enrol_twisted(f, box, (struct twist){.nonce = used}), 201);
    expect_problem(enrol_twisted(f, box, (struct twist){.nonce = used}), "bad-nonce");
    expect_problem(enrol_twisted(f, box, (struct twist){.nonce = older}), "bad-nonce");
    /* Another device's row does not care. */
    expect_status(enrol_twisted(f, other, (struct twist){.nonce = older}), 201);
    /* HQ's clock goes back a day: the row is from the future, and must not lock the device out. */
    f->now_us -= 24 * HOUR_US;
    f->nonce[0] = 0;
    enrol(f, box, 200);
    expect_problem(enrol_twisted(f, box, (struct twist){.nonce = used}), "bad-nonce");
    box_free(box);
    box_free(other);
}

/* Two HQs on one database, one clock 5 s behind: a request that one has taken the other one refuses, and what either
 * gives out is good at both. */
static void test_nonces_of_two_clocks(void **state)
{
    struct fixture *f = *state;
    struct box *box = box_new("NP-0001");
    struct np_api ahead = f->api, behind = f->api;
    char used[NP_NONCE_MAX + 1];
    enrol(f, box, 201);
    ahead = f->api;
    f->now_us += 1000000;
    f->nonce[0] = 0;
    memcpy(used, fresh_nonce(f), sizeof used);
    expect_status(post(f, box, "/v1/session", "{}", (struct twist){.nonce = used}), 200);
    char next[NP_NONCE_MAX + 1];
    memcpy(next, f->nonce, sizeof next);
    f->api = behind;
    f->now_us -= 5000000;
    expect_problem(post(f, box, "/v1/session", "{}", (struct twist){.nonce = used}), "bad-nonce");
    expect_status(post(f, box, "/v1/session", "{}", (struct twist){0}), 200); /* with what the refusal brought */
    expect_problem(post(f, box, "/v1/session", "{}", (struct twist){.nonce = used}), "bad-nonce");
    expect_status(post(f, box, "/v1/session", "{}", (struct twist){.nonce = next}), 200); /* from the one ahead */
    expect_status(post(f, box, "/v1/session", "{}", (struct twist){0}), 200);
    memcpy(next, f->nonce, sizeof next);
    f->api = ahead;
    f->now_us += 5000000;
    expect_status(post(f, box, "/v1/session", "{}", (struct twist){.nonce = next}), 200);
    box_free(box);
}

/* ---- The lock ---- */

static void expect_unlocked(struct fixture *f, struct np_api_response response, const char *problem)
{
    expect_problem(response, problem);
    if (np_store_is_locked(f->store))
        fail_msg("%s: the database was locked for nobody", problem);
}

/* Whoever is refused, because nobody knows who he is or because he may not, has not taken the database's lock. */
static void test_strangers_lock_nothing(void **state)
{
    struct fixture *f = *state;
    struct box *box = box_new("NP-0001"), *other = box_new("NP-0002");
    const uint8_t token[NP_TOKEN_LEN] = {1};
    char path[96];
    f->api.policy.claim_code = f->api.policy.open = true;
    f->api.policy.network_recent = 1;
    enrol(f, box, 201);
    struct box *open = box_new("");
    open->request.credential.type = NP_CREDENTIAL_OPEN;
    enrol(f, open, 201);
    f->group_commit = true;
    snprintf(path, sizeof path, "/v1/devices/%s/leave", box->told.device);
    expect_unlocked(f, post(f, box, path, "{\"reason\":\"reset\"}", (struct twist){.signer = other}), "bad-signature");
    expect_unlocked(f, post(f, box, "/v1/session", "{}", (struct twist){.kid = "nobody"}), "unknown-device");
    expect_unlocked(f, put_addresses(f, box, token, "{\"seq\":1,\"v4\":[\"192.168.1.7\"],\"v6\":[]}"), "unknown-token");
    struct box *guess = box_new("");
    guess->request.credential.type = NP_CREDENTIAL_CLAIM_CODE;
    snprintf(guess->request.credential.code, sizeof guess->request.credential.code, "ABCDEFGHJKLMNPQR");
    struct np_api_response response = enrol_twisted(f, guess, (struct twist){0});
    assert_true(response.status >= 400);
    np_api_response_free(&response);
    assert_false(np_store_is_locked(f->store));
    struct box *second = box_new("");
    second->request.credential.type = NP_CREDENTIAL_OPEN;
    expect_unlocked(f, enrol_twisted(f, second, (struct twist){0}), "rate-limited");
    /* Who is known does. */
    expect_status(post(f, box, "/v1/session", "{}", (struct twist){0}), 200);
    assert_true(np_store_is_locked(f->store));
    assert_int_equal(np_store_commit(f->store), 0);
    box_free(box);
    box_free(other);
    box_free(open);
    box_free(guess);
    box_free(second);
}

/* ---- Session ---- */

static void test_session(void **state)
{
    struct fixture *f = *state;
    struct box *box = box_new("NP-0001"), *other = box_new("NP-0002");
    struct np_session_answer answer;
    struct np_message_error error;
    enrol(f, box, 201);
    enrol(f, other, 201);
    struct np_api_response response = post(f, box, "/v1/session", "{}", (struct twist){0});
    assert_int_equal(response.status, 200);
    assert_int_equal(np_session_answer_parse(response.body, response.body_len, &answer, &error), 0);
    assert_string_equal(answer.name, box->told.names.name);
    assert_int_equal(answer.n, 0);
    np_api_response_free(&response);
    /* Before the first package there is a token too, and it works beside the poll token. */
    expect_status(get_package(f, box, answer.auth_token, NULL), 202);
    expect_status(get_package(f, box, box->request.token, NULL), 202);
    expect_problem(post(f, box, "/v1/session", "{}", (struct twist){.signer = other}), "bad-signature");
    expect_problem(post(f, box, "/v1/session", "{}", (struct twist){.kid = other->told.device}), "bad-signature");
    expect_problem(post(f, box, "/v1/session", "{}", (struct twist){.kid = "nobody"}), "unknown-device");
    expect_problem(post(f, box, "/v1/session", "{}", (struct twist){.with_jwk = true}), "malformed");
    box_free(box);
    box_free(other);
}

static void test_blocked_and_retired(void **state)
{
    struct fixture *f = *state;
    struct box *box = box_new("NP-0001");
    struct np_device device;
    enrol(f, box, 201);
    static const struct {
        enum np_device_state state;
        const char *word;
    } rows[] = {{NP_DEVICE_BLOCKED, "blocked"}, {NP_DEVICE_RETIRED, "retired"}};
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(np_store_device_get(f->store, box->told.device, &device), 0);
        device.state = rows[i].state;
        assert_int_equal(np_store_device_update(f->store, &device), 0);
        expect_problem(enrol_twisted(f, box, (struct twist){0}), rows[i].word);
        expect_problem(post(f, box, "/v1/session", "{}", (struct twist){0}), rows[i].word);
        expect_problem(get_package(f, box, box->request.token, NULL), rows[i].word);
        expect_problem(put_addresses(f, box, box->request.token, "{\"seq\":1,\"v4\":[\"10.0.0.1\"],\"v6\":[]}"),
                       rows[i].word);
        expect_problem(send_csr(f, box, NULL, NULL), rows[i].word);
    }
    box_free(box);
}

/* Neither a factory reset nor a new identity key under the same serial takes a block away. */
static void test_blocked_does_not_enrol_anew(void **state)
{
    struct fixture *f = *state;
    struct box *box = box_new("NP-0001"), *reborn = box_new("NP-0001"), *other = box_new("NP-0002");
    struct box *liar = box_new("NP-0002");
    struct np_device device;
    f->api.policy.open = true;
    liar->request.credential.type = NP_CREDENTIAL_OPEN;
    enrol(f, box, 201);
    enrol(f, liar, 201);
    const char *const ids[] = {box->told.device, liar->told.device};
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(np_store_device_get(f->store, ids[i], &device), 0);
        device.state = NP_DEVICE_BLOCKED;
        assert_int_equal(np_store_device_update(f->store, &device), 0);
    }
    np_random_bytes(box->request.epoch, sizeof box->request.epoch);
    expect_problem(enrol_twisted(f, box, (struct twist){.with_jwk = true}), "blocked");
    expect_problem(enrol_twisted(f, reborn, (struct twist){0}), "blocked");
    enrol(f, other, 201); /* whose serial a blocked stranger had only stated */
    box_free(box);
    box_free(reborn);
    box_free(other);
    box_free(liar);
}

/* ---- HTTP ---- */

static void test_routes(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *method, *path, *word, *allow;
    } rows[] = {
        {"GET", "/", "not-found", NULL},
        {"GET", "/v1", "not-found", NULL},
        {"GET", "/v1/nonce/", "not-found", NULL},
        {"GET", "/v1/devices//package", "not-found", NULL},
        {"GET", "/v1/devices/a/b/package", "not-found", NULL},
        {"GET", "/v1/devices/a%2f/package", "not-found", NULL},
        {"GET", "/v1/devices/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa/package", "not-found", NULL}, /* 33 characters */
        {"GET", "/v1/devices/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa/package", "unknown-token", NULL},
        {"POST", "/v1/nonce", "method-not-allowed", "GET, HEAD"},
        {"HEAD", "/v1/session", "method-not-allowed", "POST"},
        {"GET", "/v1/devices/a/csr", "method-not-allowed", "POST"},
        {"POST", "/v1/devices/a/addresses", "method-not-allowed", "PUT"},
        {"get", "/v1/nonce", "method-not-allowed", "GET, HEAD"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct np_api_response response =
            ask(f, (struct np_api_request){.method = rows[i].method, .path = rows[i].path});
        if (rows[i].allow)
            assert_string_equal(response.allow, rows[i].allow);
        else
            assert_null(response.allow);
        expect_problem(response, rows[i].word);
    }
    char previous[NP_NONCE_MAX + 1] = "";
    for (int i = 0; i < 3; i++) {
        static const char *const methods[] = {"GET", "HEAD", "GET"};
        expect_status(ask(f, (struct np_api_request){.method = methods[i], .path = "/v1/nonce"}), 204);
        assert_string_not_equal(previous, f->nonce);
        memcpy(previous, f->nonce, sizeof previous);
    }
}

/* Two requests in one microsecond: their nonces still have different times, or the second would be refused. */
static void test_nonce_times_differ(void **state)
{
    struct fixture *f = *state;
    struct box *box = box_new("NP-0001");
    char first[NP_NONCE_MAX + 1], second[NP_NONCE_MAX + 1];
    int64_t frozen = f->now_us - 1000;
    expect_status(ask(f, (struct np_api_request){.method = "GET", .path = "/v1/nonce"}), 204);
    memcpy(first, f->nonce, sizeof first);
    f->now_us = frozen + 1000 - 1000;
    expect_status(ask(f, (struct np_api_request){.method = "GET", .path = "/v1/nonce"}), 204);
    memcpy(second, f->nonce, sizeof second);
    expect_status(enrol_twisted(f, box, (struct twist){.nonce = first}), 201);
    expect_status(enrol_twisted(f, box, (struct twist){.nonce = second}), 200);
    box_free(box);
}

int main(void)
{
#define API_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        API_TEST(test_enrol_and_repeat),
        API_TEST(test_new_epoch_is_a_new_device),
        API_TEST(test_open_enrolment_has_a_quota),
        API_TEST(test_open_quota_of_ipv6),
        API_TEST(test_open_takes_nothing_from_a_serial),
        API_TEST(test_grant_brings_the_name_back),
        API_TEST(test_bad_enrolments),
        API_TEST(test_nonces_are_used_once),
        API_TEST(test_nonces_of_two_clocks),
        API_TEST(test_strangers_lock_nothing),
        API_TEST(test_session),
        API_TEST(test_blocked_and_retired),
        API_TEST(test_blocked_does_not_enrol_anew),
        API_TEST(test_routes),
        API_TEST(test_nonce_times_differ),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

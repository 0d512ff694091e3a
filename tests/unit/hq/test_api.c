/* Protocol v1 without sockets: a device made of hq/proto and libcrypto against np_api_handle and a real store. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "hq/api/api.h"
#include "resolver/base/error.h"
#include "resolver/base/random.h"
#include "resolver/base/text.h"
#include "tests/unit/hq/make_csr.h"

#define NOW_US  INT64_C(1790000000000000)
#define HOUR_US INT64_C(3600000000)
#define URL     "https://hq.devices.example"

struct fixture {
    char folder[64];
    struct np_store *store;
    struct np_hq_key *grant_key;
    struct np_api api;
    int64_t now_us;
    char nonce[NP_NONCE_MAX + 1]; /* of the last answer */
};

/* A box: its identity and what it was told. */
struct box {
    struct np_hq_key *identity;
    struct np_crypto crypto;
    struct np_public_key public_key;
    uint8_t thumbprint[32];
    struct np_enrol_request request;
    struct np_enrol_answer told;
    struct np_csr_request csr;
    EVP_PKEY *tls;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    char path[96], error[256];
    snprintf(f->folder, sizeof f->folder, "/tmp/np-api-XXXXXX");
    assert_non_null(mkdtemp(f->folder));
    snprintf(path, sizeof path, "%s/hq.db", f->folder);
    assert_int_equal(np_store_open(path, false, &f->store, error, sizeof error), 0);
    assert_int_equal(np_hq_key_make(&f->grant_key), 0);
    f->now_us = NOW_US;
    f->api = (struct np_api){.url = URL,
                             .zone = "devices.example",
                             .nameservers = {"ns1.devices.example"},
                             .nameserver_count = 1,
                             .ttl_s = 60,
                             .poll_s = 1,
                             .checkin_s = 86400,
                             .boot_jitter_s = 600,
                             .policy = {.factory_secret = true,
                                        .master = "master",
                                        .serial_live = 3,
                                        .serial_recent = 5,
                                        .network_recent = 2},
                             .pepper = "pepper",
                             .nonce_key = "nonce key",
                             .grant_key = f->grant_key,
                             .store = f->store};
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    char path[128];
    np_store_close(f->store);
    for (size_t i = 0; i < 3; i++) {
        snprintf(path, sizeof path, "%s/hq.db%s", f->folder, (const char *[]){"", "-wal", "-shm"}[i]);
        unlink(path);
    }
    rmdir(f->folder);
    np_hq_key_free(f->grant_key);
    free(f);
    return 0;
}

/* One request a millisecond later than the last. */
static struct np_api_response ask(struct fixture *f, struct np_api_request request)
{
    struct np_api_response response;
    f->now_us += 1000;
    request.now_us = f->now_us;
    assert_int_equal(np_addr_parse("198.51.100.77", &request.client), 0);
    np_api_handle(&f->api, &request, &response);
    assert_int_equal(np_store_commit(f->store), 0);
    assert_int_equal(strlen(response.nonce), 43);
    memcpy(f->nonce, response.nonce, sizeof f->nonce);
    return response;
}

/* Frees the response; fails unless it is the wanted problem. */
static void expect_problem(struct np_api_response response, const char *word)
{
    struct np_problem problem;
    assert_non_null(response.body);
    assert_int_equal(np_problem_parse(response.body, response.body_len, &problem, NULL), 0);
    if (strcmp(problem.type, word) != 0)
        fail_msg("%s (%s) instead of %s", problem.type, problem.detail, word);
    assert_int_equal(problem.status, response.status);
    assert_string_equal(response.content_type, "application/problem+json");
    assert_true(strlen(problem.detail) > 10 && strlen(problem.detail) < sizeof problem.detail - 1);
    assert_int_equal(response.retry_after_s > 0, response.status == 429 || response.status == 503);
    np_api_response_free(&response);
}

static void expect_status(struct np_api_response response, int status)
{
    if (response.status != status)
        fail_msg("%d instead of %d: %s", response.status, status, response.body ? response.body : "-");
    np_api_response_free(&response);
}

static const char *fresh_nonce(struct fixture *f)
{
    if (!f->nonce[0])
        expect_status(ask(f, (struct np_api_request){.method = "GET", .path = "/v1/nonce"}), 204);
    return f->nonce;
}

static struct box *box_new(const char *serial)
{
    struct box *box = calloc(1, sizeof *box);
    assert_int_equal(np_hq_key_make(&box->identity), 0);
    np_hq_key_crypto(box->identity, &box->crypto);
    np_hq_key_public(box->identity, &box->public_key);
    np_jwk_thumbprint(&box->crypto, &box->public_key, box->thumbprint);
    np_random_bytes(box->request.epoch, sizeof box->request.epoch);
    np_random_bytes(box->request.token, sizeof box->request.token);
    box->request.credential.type = NP_CREDENTIAL_FACTORY_SECRET;
    snprintf(box->request.credential.serial, sizeof box->request.credential.serial, "%s", serial);
    snprintf(box->request.model, sizeof box->request.model, "model");
    snprintf(box->request.version, sizeof box->request.version, "0.1.0");
    box->request.addresses.v4_count = 1;
    assert_int_equal(np_addr_parse("192.168.1.10", &box->request.addresses.v4[0]), 0);
    box->tls = EVP_EC_gen("P-256");
    return box;
}

static void box_free(struct box *box)
{
    np_hq_key_free(box->identity);
    EVP_PKEY_free(box->tls);
    free(box);
}

/* How a signed request may be wrong; zero: right. */
struct twist {
    const char *nonce, *url, *kid, *content_type;
    const struct box *signer;
    bool with_jwk, without_jwk;
};

static struct np_api_response post(struct fixture *f, const struct box *box, const char *path, const char *payload,
                                   struct twist twist)
{
    struct np_jws_header header = {.has_jwk = twist.with_jwk || (!box->told.device[0] && !twist.without_jwk),
                                   .jwk = box->public_key};
    char *body = NULL;
    if (!header.has_jwk)
        snprintf(header.kid, sizeof header.kid, "%s", twist.kid ? twist.kid : box->told.device);
    snprintf(header.nonce, sizeof header.nonce, "%s", twist.nonce ? twist.nonce : fresh_nonce(f));
    snprintf(header.url, sizeof header.url, "%s%s", twist.url ? twist.url : URL, path);
    const struct np_crypto *crypto = twist.signer ? &twist.signer->crypto : &box->crypto;
    assert_int_equal(np_jws_sign(crypto, &header, payload, strlen(payload), &body), 0);
    struct np_api_response response = ask(
        f, (struct np_api_request){.method = "POST",
                                   .path = path,
                                   .content_type = twist.content_type ? twist.content_type : "application/jose+json",
                                   .body = body,
                                   .body_len = strlen(body)});
    free(body);
    return response;
}

static struct np_api_response enrol_twisted(struct fixture *f, struct box *box, struct twist twist)
{
    uint8_t secret[32], input[NP_FACTORY_MAC_INPUT_MAX];
    const char *nonce = twist.nonce ? twist.nonce : fresh_nonce(f);
    char *payload = NULL, url[NP_URL_MAX];
    snprintf(url, sizeof url, "%s/v1/devices", twist.url ? twist.url : URL);
    np_hq_factory_secret(f->api.policy.master, box->request.credential.serial, secret);
    size_t len = np_factory_mac_input(box->thumbprint, nonce, url, input);
    np_hq_hmac(secret, sizeof secret, input, len, box->request.credential.mac);
    assert_int_equal(np_enrol_request_encode(&box->request, &payload), 0);
    twist.with_jwk = !twist.without_jwk;
    struct np_api_response response = post(f, box, "/v1/devices", payload, twist);
    free(payload);
    return response;
}

/* Enrols and keeps the answer. */
static void enrol(struct fixture *f, struct box *box, int status)
{
    struct np_api_response response = enrol_twisted(f, box, (struct twist){0});
    struct np_message_error error;
    if (response.status != status)
        fail_msg("%d: %s", response.status, response.body);
    assert_int_equal(np_enrol_answer_parse(response.body, response.body_len, &box->told, &error), 0);
    np_api_response_free(&response);
}

static struct np_api_response send_csr(struct fixture *f, struct box *box, EVP_PKEY *key, const char *name)
{
    char san[NP_NAME_MAX + 8], path[96], *payload = NULL;
    snprintf(san, sizeof san, "DNS:%s", name ? name : box->told.name);
    struct csr_recipe recipe = {.san = san};
    box->csr.csr_len = csr_make(key ? key : box->tls, &recipe, box->csr.csr, sizeof box->csr.csr);
    assert_int_equal(np_csr_request_encode(&box->csr, &payload), 0);
    snprintf(path, sizeof path, "/v1/devices/%s/csr", box->told.device);
    struct np_api_response response = post(f, box, path, payload, (struct twist){0});
    free(payload);
    return response;
}

static void bearer(const uint8_t token[32], char out[80])
{
    size_t n = (size_t)snprintf(out, 80, "Bearer ");
    np_base64url_encode(token, 32, out + n);
}

static struct np_api_response get_package(struct fixture *f, const struct box *box, const uint8_t token[32],
                                          const char *etag)
{
    char authorization[80], path[96];
    bearer(token, authorization);
    snprintf(path, sizeof path, "/v1/devices/%s/package", box->told.device);
    return ask(f, (struct np_api_request){
                      .method = "GET", .path = path, .authorization = authorization, .if_none_match = etag});
}

static struct np_api_response put_addresses(struct fixture *f, const struct box *box, const uint8_t token[32],
                                            const char *json)
{
    char authorization[80], path[96];
    bearer(token, authorization);
    snprintf(path, sizeof path, "/v1/devices/%s/addresses", box->told.device);
    return ask(f, (struct np_api_request){.method = "PUT",
                                          .path = path,
                                          .authorization = authorization,
                                          .content_type = "application/json; charset=utf-8",
                                          .body = json,
                                          .body_len = strlen(json)});
}

/* What issuance does: the newest order becomes a package. */
static void issue(struct fixture *f, const struct box *box, const char *chain)
{
    struct np_order order;
    struct np_package *package = calloc(1, sizeof *package);
    int64_t n;
    assert_int_equal(np_store_order_newest(f->store, box->told.device, &order), 0);
    snprintf(package->chain, sizeof package->chain, "%s", chain);
    assert_int_equal(np_store_package_add(f->store, &order, package, &n), 0);
    free(package);
}

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
    assert_string_equal(strchr(box->told.name, '.'), ".devices.example");
    assert_int_equal(box->told.san_count, 1);
    assert_string_equal(box->told.san[0], box->told.name);
    assert_int_equal(box->told.ttl_s, 60);
    assert_int_equal(box->told.time_s, f->now_us / 1000000);
    np_hq_key_public(f->grant_key, &grant_public);
    assert_int_equal(np_grant_verify(&box->crypto, box->told.grant, &grant_public, &grant), 0);
    assert_string_equal(grant.name, box->told.name);
    assert_memory_equal(grant.thumbprint, box->thumbprint, 32);
    assert_int_equal(np_store_device_get(f->store, box->told.device, &device), 0);
    assert_int_equal(device.published.v4_count, 1);
    assert_string_equal(device.network, "198.51.100.0/24");

    struct np_enrol_answer first = box->told;
    assert_int_equal(np_addr_parse("192.168.1.11", &box->request.addresses.v4[0]), 0);
    np_random_bytes(box->request.token, sizeof box->request.token);
    enrol(f, box, 200);
    assert_string_equal(box->told.device, first.device);
    assert_string_equal(box->told.name, first.name);
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
        memcpy(names[i], box->told.name, sizeof names[i]);
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
    assert_string_not_equal(thief->told.name, before.name);
    memcpy(box->request.grant, before.grant, sizeof before.grant);
    enrol(lost, box, 201);
    assert_string_equal(box->told.name, before.name);
    /* Nor does it take a name from its holder: the same identity in another epoch. */
    np_random_bytes(box->request.epoch, sizeof box->request.epoch);
    enrol(lost, box, 201);
    assert_string_not_equal(box->told.name, before.name);
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
    assert_string_equal(answer.name, box->told.name);
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

/* ---- Certificates ---- */

static void test_csr_and_package(void **state)
{
    struct fixture *f = *state;
    struct box *box = box_new("NP-0001");
    struct np_message_error error;
    struct np_pending_answer pending;
    struct np_csr_answer first, second;
    struct np_package_answer *package = calloc(1, sizeof *package);
    char etag[NP_API_ETAG_MAX + 1];
    enrol(f, box, 201);
    struct np_api_response response = get_package(f, box, box->request.token, NULL);
    assert_int_equal(np_pending_answer_parse(response.body, response.body_len, &pending, &error), 0);
    assert_string_equal(pending.state, "none");
    np_api_response_free(&response);

    response = send_csr(f, box, NULL, NULL);
    assert_int_equal(response.status, 202);
    assert_int_equal(np_csr_answer_parse(response.body, response.body_len, &first, &error), 0);
    np_api_response_free(&response);
    response = send_csr(f, box, NULL, NULL);
    assert_int_equal(np_csr_answer_parse(response.body, response.body_len, &second, &error), 0);
    assert_string_equal(first.order, second.order);
    np_api_response_free(&response);

    response = get_package(f, box, box->request.token, NULL);
    assert_int_equal(response.status, 202);
    assert_int_equal(response.retry_after_s, 1);
    assert_int_equal(np_pending_answer_parse(response.body, response.body_len, &pending, &error), 0);
    assert_string_equal(pending.state, "queued");
    np_api_response_free(&response);

    issue(f, box, "PEM");
    response = get_package(f, box, box->request.token, NULL);
    assert_int_equal(response.status, 200);
    assert_int_equal(np_package_answer_parse(response.body, response.body_len, package, &error), 0);
    assert_string_equal(package->chain, "PEM");
    assert_int_equal(package->n, 1);
    memcpy(etag, response.etag, sizeof etag);
    np_api_response_free(&response);
    expect_status(get_package(f, box, box->request.token, etag), 304);
    expect_status(get_package(f, box, box->request.token, etag + 2), 304); /* without W/ */
    expect_status(get_package(f, box, box->request.token, "\"x\", W/\"1-1\""), 304);
    expect_status(get_package(f, box, box->request.token, "\"1-12\""), 200);
    expect_status(get_package(f, box, box->request.token, "\"x\""), 200);

    /* A new key: its own order, and no certificate of the old key meanwhile. */
    EVP_PKEY *renewed = EVP_EC_gen("P-256");
    response = send_csr(f, box, renewed, NULL);
    assert_int_equal(np_csr_answer_parse(response.body, response.body_len, &second, &error), 0);
    assert_string_not_equal(first.order, second.order);
    np_api_response_free(&response);
    expect_status(get_package(f, box, box->request.token, NULL), 202);
    issue(f, box, "PEM 2");
    response = get_package(f, box, box->request.token, etag);
    assert_int_equal(response.status, 200);
    np_api_response_free(&response);
    EVP_PKEY_free(renewed);
    free(package);
    box_free(box);
}

static void test_bad_csrs(void **state)
{
    struct fixture *f = *state;
    struct box *box = box_new("NP-0001"), *other = box_new("NP-0002");
    char path[96];
    enrol(f, box, 201);
    enrol(f, other, 201);
    expect_problem(send_csr(f, box, NULL, other->told.name), "bad-csr");
    expect_problem(send_csr(f, box, np_hq_key_handle(box->identity), NULL), "key-reused");
    expect_problem(send_csr(f, box, np_hq_key_handle(other->identity), NULL), "key-reused");
    expect_status(send_csr(f, box, NULL, NULL), 202);
    expect_problem(send_csr(f, other, box->tls, NULL), "key-reused");
    /* Signed by the right device for another one's path. */
    snprintf(path, sizeof path, "/v1/devices/%s/csr", other->told.device);
    expect_problem(post(f, box, path, "{\"csr\":\"AAAA\"}", (struct twist){0}), "bad-signature");
    snprintf(path, sizeof path, "/v1/devices/%s/csr", box->told.device);
    expect_problem(post(f, box, path, "{\"csr\":\"\"}", (struct twist){0}), "malformed");
    expect_problem(post(f, box, path, "{}", (struct twist){0}), "malformed");
    /* A key that was somebody's TLS key cannot become an identity. */
    struct box *third = box_new("NP-0003");
    np_hq_key_free(third->identity);
    char *pem = NULL;
    BIO *bio = BIO_new(BIO_s_mem());
    assert_int_equal(PEM_write_bio_PrivateKey(bio, box->tls, NULL, NULL, 0, NULL, NULL), 1);
    long len = BIO_get_mem_data(bio, &pem);
    assert_int_equal(np_hq_key_parse(pem, (size_t)len, &third->identity), 0);
    BIO_free(bio);
    np_hq_key_crypto(third->identity, &third->crypto);
    np_hq_key_public(third->identity, &third->public_key);
    np_jwk_thumbprint(&third->crypto, &third->public_key, third->thumbprint);
    expect_problem(enrol_twisted(f, third, (struct twist){0}), "key-reused");
    box_free(third);
    box_free(box);
    box_free(other);
}

static void test_three_keys_a_week(void **state)
{
    struct fixture *f = *state;
    struct box *box = box_new("NP-0001");
    EVP_PKEY *keys[5];
    enrol(f, box, 201);
    for (int i = 0; i < 5; i++) {
        keys[i] = EVP_EC_gen("P-256");
        if (i < 3) {
            expect_status(send_csr(f, box, keys[i], NULL), 202);
        } else {
            struct np_api_response response = send_csr(f, box, keys[i], NULL);
            assert_true(response.retry_after_s > 6 * 86400 && response.retry_after_s <= 7 * 86400 + 1);
            expect_problem(response, "rate-limited");
        }
    }
    expect_status(send_csr(f, box, keys[0], NULL), 202); /* an old key is no new one */
    f->now_us += 8 * 24 * HOUR_US;
    f->nonce[0] = 0;
    expect_status(send_csr(f, box, keys[4], NULL), 202);
    for (int i = 0; i < 5; i++)
        EVP_PKEY_free(keys[i]);
    box_free(box);
}

static void test_dead_order_comes_back(void **state)
{
    struct fixture *f = *state;
    struct box *box = box_new("NP-0001");
    struct np_order order;
    enrol(f, box, 201);
    expect_status(send_csr(f, box, NULL, NULL), 202);
    assert_int_equal(np_store_order_newest(f->store, box->told.device, &order), 0);
    order.state = NP_ORDER_DEAD;
    order.updated_ms = f->now_us / 1000;
    snprintf(order.order_url, sizeof order.order_url, "https://ca.example/order/1");
    assert_int_equal(np_store_order_update(f->store, &order), 0);
    expect_status(send_csr(f, box, NULL, NULL), 202);
    assert_int_equal(np_store_order_newest(f->store, box->told.device, &order), 0);
    assert_int_equal(order.state, NP_ORDER_DEAD);
    f->now_us += HOUR_US + 1000;
    f->nonce[0] = 0;
    expect_status(send_csr(f, box, NULL, NULL), 202);
    assert_int_equal(np_store_order_newest(f->store, box->told.device, &order), 0);
    assert_int_equal(order.state, NP_ORDER_QUEUED);
    assert_string_equal(order.order_url, "");
    box_free(box);
}

/* ---- Tokens ---- */

static void test_tokens(void **state)
{
    struct fixture *f = *state;
    struct box *box = box_new("NP-0001");
    struct np_device device;
    uint8_t auth[4][32], wrong[32] = {1};
    enrol(f, box, 201);
    assert_int_equal(np_store_device_get(f->store, box->told.device, &device), 0);
    for (int n = 0; n < 4; n++)
        np_hq_auth_token(f->api.pepper, device.id, device.epoch, n, auth[n]);
    const uint8_t *poll = box->request.token;
    expect_status(send_csr(f, box, NULL, NULL), 202);
    expect_problem(get_package(f, box, wrong, NULL), "unknown-token");
    expect_problem(get_package(f, box, auth[1], NULL), "unknown-token"); /* not handed out yet */
    issue(f, box, "1");
    expect_status(get_package(f, box, poll, NULL), 200);
    expect_status(get_package(f, box, auth[1], NULL), 200); /* used: the poll token's time is over */
    expect_problem(get_package(f, box, poll, NULL), "stale-token");
    expect_problem(get_package(f, box, auth[0], NULL), "stale-token");
    issue(f, box, "2");
    expect_status(get_package(f, box, auth[1], NULL), 200); /* the box does not know of 2 yet */
    expect_status(get_package(f, box, auth[2], NULL), 200);
    expect_problem(get_package(f, box, auth[1], NULL), "stale-token");
    expect_problem(get_package(f, box, auth[3], NULL), "unknown-token");
    /* Enrolled again, with a new token of its own, it may begin with that. */
    np_random_bytes(box->request.token, sizeof box->request.token);
    enrol(f, box, 200);
    expect_status(get_package(f, box, box->request.token, NULL), 200);
    expect_status(get_package(f, box, auth[2], NULL), 200);
    expect_problem(get_package(f, box, box->request.token, NULL), "stale-token");
    box_free(box);
}

static void test_authorization_header(void **state)
{
    struct fixture *f = *state;
    struct box *box = box_new("NP-0001");
    static const char *const bad[] = {NULL, "", "Bearer", "Bearer ", "Basic QUFBQQ==", "Bearer QUFBQQ", "Bearer  x"};
    char path[96], good[80];
    enrol(f, box, 201);
    snprintf(path, sizeof path, "/v1/devices/%s/package", box->told.device);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        expect_problem(ask(f, (struct np_api_request){.method = "GET", .path = path, .authorization = bad[i]}),
                       "unknown-token");
    bearer(box->request.token, good);
    memcpy(good, "bEARER", 6); /* RFC 9110 section 11.1: the scheme's case does not matter */
    expect_status(ask(f, (struct np_api_request){.method = "GET", .path = path, .authorization = good}), 202);
    box_free(box);
}

/* ---- Addresses ---- */

static void test_addresses(void **state)
{
    struct fixture *f = *state;
    struct box *box = box_new("NP-0001");
    const uint8_t *token = box->request.token;
    struct np_addresses_answer answer;
    struct np_message_error error;
    struct np_problem problem;
    enrol(f, box, 201);
    np_store_take_events(f->store);
    static const char first[] = "{\"seq\":5,\"v4\":[\"10.0.0.1\",\"8.8.8.8\"],\"v6\":[\"fd00::1\"]}";
    struct np_api_response response = put_addresses(f, box, token, first);
    assert_int_equal(response.status, 200);
    assert_int_equal(np_addresses_answer_parse(response.body, response.body_len, &answer, &error), 0);
    assert_int_equal(answer.seq, 5);
    assert_int_equal(answer.published.v4_count, 1);
    assert_int_equal(answer.rejected_count, 1);
    int64_t serial = answer.serial;
    np_api_response_free(&response);
    assert_int_equal(np_store_take_events(f->store), NP_STORE_NAMES_CHANGED);
    /* Again: 200, and nothing changes. */
    response = put_addresses(f, box, token, first);
    assert_int_equal(np_addresses_answer_parse(response.body, response.body_len, &answer, &error), 0);
    assert_int_equal(answer.serial, serial);
    np_api_response_free(&response);
    assert_int_equal(np_store_take_events(f->store), 0);
    static const char *const stale[] = {
        "{\"seq\":5,\"v4\":[\"10.0.0.2\"],\"v6\":[]}",
        "{\"seq\":4,\"v4\":[\"10.0.0.1\",\"8.8.8.8\"],\"v6\":[\"fd00::1\"]}",
        "{\"seq\":1,\"v4\":[],\"v6\":[],\"withdraw\":true}",
    };
    for (size_t i = 0; i < sizeof stale / sizeof *stale; i++) {
        response = put_addresses(f, box, token, stale[i]);
        assert_int_equal(response.status, 409);
        assert_int_equal(np_problem_parse(response.body, response.body_len, &problem, &error), 0);
        assert_true(problem.has_seq);
        assert_int_equal(problem.seq, 5);
        expect_problem(response, "stale-seq");
    }
    static const char *const malformed[] = {
        "",
        "[]",
        "{}",
        "{\"seq\":6,\"v4\":[],\"v6\":[]}", /* nothing, and not meant */
        "{\"seq\":0,\"v4\":[\"10.0.0.1\"],\"v6\":[]}",
        "{\"seq\":\"6\",\"v4\":[\"10.0.0.1\"],\"v6\":[]}",
        "{\"seq\":6,\"v4\":[\"10.0.0.1\"]}",
        "{\"seq\":6,\"v4\":[\"fd00::1\"],\"v6\":[]}",
        "{\"seq\":6,\"v4\":[\"10.0.0.256\"],\"v6\":[]}",
        "{\"seq\":6,\"v4\":[\"10.0.0.1\"],\"v4\":[],\"v6\":[]}",
        "{\"seq\":6,\"v4\":[1,2],\"v6\":[]}",
        "{\"seq\":9007199254740993,\"v4\":[\"10.0.0.1\"],\"v6\":[]}",
    };
    for (size_t i = 0; i < sizeof malformed / sizeof *malformed; i++)
        expect_problem(put_addresses(f, box, token, malformed[i]), "malformed");
    expect_status(put_addresses(f, box, token, "{\"seq\":6,\"v4\":[],\"v6\":[],\"withdraw\":true}"), 200);
    struct np_device device;
    assert_int_equal(np_store_device_get(f->store, box->told.device, &device), 0);
    assert_int_equal(device.seq, 6);
    assert_int_equal(device.published.v4_count + device.published.v6_count, 0);
    box_free(box);
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
        API_TEST(test_grant_brings_the_name_back),
        API_TEST(test_bad_enrolments),
        API_TEST(test_nonces_are_used_once),
        API_TEST(test_session),
        API_TEST(test_blocked_and_retired),
        API_TEST(test_csr_and_package),
        API_TEST(test_bad_csrs),
        API_TEST(test_three_keys_a_week),
        API_TEST(test_dead_order_comes_back),
        API_TEST(test_tokens),
        API_TEST(test_authorization_header),
        API_TEST(test_addresses),
        API_TEST(test_routes),
        API_TEST(test_nonce_times_differ),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

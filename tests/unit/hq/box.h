/* box: a device made of hq/proto and libcrypto, and an API with a real store in front of it, for the tests of hq/api.
 */
#ifndef TESTS_UNIT_HQ_BOX_H
#define TESTS_UNIT_HQ_BOX_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "hq/api/api.h"
#include "resolver/base/error.h"
#include "resolver/base/random.h"
#include "resolver/base/text.h"
#include "tests/unit/hq/database.h"
#include "tests/unit/hq/make_csr.h"

#define NOW_US  INT64_C(1790000000000000)
#define HOUR_US INT64_C(3600000000)
#define URL     "https://hq.devices.example"

struct fixture {
    struct database database;
    struct np_store *store;
    struct np_hq_key *grant_key;
    struct np_api api;
    struct np_outlook outlook;
    int64_t now_us;
    char nonce[NP_NONCE_MAX + 1]; /* of the last answer */
    const char *client;           /* where requests come from; NULL: 198.51.100.77 */
    bool group_commit;            /* the test commits, not each request */
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

static inline int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    database_make(&f->database);
    f->store = database_open(&f->database);
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
                             .store = f->store,
                             .outlook = &f->outlook};
    np_outlook_init(&f->outlook, 64);
    *state = f;
    return 0;
}

static inline int teardown(void **state)
{
    struct fixture *f = *state;
    np_store_close(f->store);
    database_remove(&f->database);
    np_hq_key_free(f->grant_key);
    free(f);
    return 0;
}

/* One request a millisecond later than the last. */
static inline struct np_api_response ask(struct fixture *f, struct np_api_request request)
{
    struct np_api_response response;
    f->now_us += 1000;
    request.now_us = f->now_us;
    assert_int_equal(np_addr_parse(f->client ? f->client : "198.51.100.77", &request.client), 0);
    np_api_handle(&f->api, &request, &response);
    if (!f->group_commit)
        assert_int_equal(np_store_commit(f->store), 0);
    assert_int_equal(strlen(response.nonce), 43);
    memcpy(f->nonce, response.nonce, sizeof f->nonce);
    return response;
}

/* Frees the response; fails unless it is the wanted problem. */
static inline void expect_problem(struct np_api_response response, const char *word)
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

static inline void expect_status(struct np_api_response response, int status)
{
    if (response.status != status)
        fail_msg("%d instead of %d: %s", response.status, status, response.body ? response.body : "-");
    np_api_response_free(&response);
}

static inline const char *fresh_nonce(struct fixture *f)
{
    if (!f->nonce[0])
        expect_status(ask(f, (struct np_api_request){.method = "GET", .path = "/v1/nonce"}), 204);
    return f->nonce;
}

static inline struct box *box_new(const char *serial)
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

static inline void box_free(struct box *box)
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

static inline struct np_api_response post(struct fixture *f, const struct box *box, const char *path,
                                          const char *payload, struct twist twist)
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

static inline struct np_api_response enrol_twisted(struct fixture *f, struct box *box, struct twist twist)
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
static inline void enrol(struct fixture *f, struct box *box, int status)
{
    struct np_api_response response = enrol_twisted(f, box, (struct twist){0});
    struct np_message_error error;
    if (response.status != status)
        fail_msg("%d: %s", response.status, response.body);
    assert_int_equal(np_enrol_answer_parse(response.body, response.body_len, &box->told, &error), 0);
    np_api_response_free(&response);
}

static inline struct np_api_response send_csr(struct fixture *f, struct box *box, EVP_PKEY *key, const char *name)
{
    char san[3 * NP_NAME_MAX], path[96], *payload = NULL; /* two names with "DNS:" */
    snprintf(san, sizeof san, "DNS:%s", name ? name : box->told.names.name);
    struct csr_recipe recipe = {.san = san};
    box->csr.csr_len = csr_make(key ? key : box->tls, &recipe, box->csr.csr, sizeof box->csr.csr);
    assert_int_equal(np_csr_request_encode(&box->csr, &payload), 0);
    snprintf(path, sizeof path, "/v1/devices/%s/csr", box->told.device);
    struct np_api_response response = post(f, box, path, payload, (struct twist){0});
    free(payload);
    return response;
}

static inline void bearer(const uint8_t token[32], char out[80])
{
    size_t n = (size_t)snprintf(out, 80, "Bearer ");
    np_base64url_encode(token, 32, out + n);
}

static inline struct np_api_response get_package(struct fixture *f, const struct box *box, const uint8_t token[32],
                                                 const char *etag)
{
    char authorization[80], path[96];
    bearer(token, authorization);
    snprintf(path, sizeof path, "/v1/devices/%s/package", box->told.device);
    return ask(f, (struct np_api_request){
                      .method = "GET", .path = path, .authorization = authorization, .if_none_match = etag});
}

static inline struct np_api_response put_addresses(struct fixture *f, const struct box *box, const uint8_t token[32],
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
static inline void issue(struct fixture *f, const struct box *box, const char *chain)
{
    struct np_order order;
    struct np_package *package = calloc(1, sizeof *package);
    int64_t n;
    assert_int_equal(np_store_order_newest(f->store, box->told.device, &order), 0);
    snprintf(package->chain, sizeof package->chain, "%s", chain);
    package->not_before_s = f->now_us / 1000000;
    package->not_after_s = package->not_before_s + 90 * 86400;
    package->renew_ms = (package->not_before_s + 60 * 86400) * 1000;
    assert_int_equal(np_store_package_add(f->store, &order, package, &n), 0);
    free(package);
}

#endif

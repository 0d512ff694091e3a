/* Requests as HQ sees them, and answers as the machine gets them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "agent/certificate/exchange.h"
#include "resolver/base/error.h"
#include "tests/support/test_ca.h"

#define URL "https://hq.devices.example"

static struct np_state device;
static struct np_exchange_self self;
static struct np_exchange x;
static struct np_enrol_action action;
static struct np_response response;

static int setup(void **state)
{
    (void)state;
    memset(&device, 0, sizeof device);
    memset(&action, 0, sizeof action);
    device.has_identity = device.has_next = true;
    device.identity = test_ca_key(1);
    device.next = test_ca_key(2);
    memset(device.epoch, 1, sizeof device.epoch);
    memset(device.token, 2, sizeof device.token);
    snprintf(device.device, sizeof device.device, "abcdefghijklmnopqrstuv");
    snprintf(device.san[0], sizeof device.san[0], "nifty-babbage.devices.example");
    device.san_count = 1;
    self = (struct np_exchange_self){.url = URL,
                                     .model = "lab",
                                     .version = "0.1.0",
                                     .factory = {.type = NP_CREDENTIAL_FACTORY_SECRET, .serial = "NP-1"}};
    memset(self.factory.secret, 3, sizeof self.factory.secret);
    snprintf(action.nonce, sizeof action.nonce, "bm9uY2U");
    action.type = NP_ACTION_SEND;
    return 0;
}

static void build(enum np_request request)
{
    action.request = request;
    assert_int_equal(np_exchange_build(&self, &device, device.token, &action, &x), 0);
}

/* Parses the body as HQ does and checks its signature. */
static struct np_jws *check_signed(const char *path)
{
    struct np_jws *jws;
    struct np_crypto crypto;
    char url[NP_URL_MAX + 1];
    snprintf(url, sizeof url, URL "%s", path);
    np_crypto_init(&crypto, NULL);
    assert_string_equal(x.method, "POST");
    assert_string_equal(x.path, path);
    assert_string_equal(x.content_type, "application/jose+json");
    assert_string_equal(x.bearer, "");
    assert_int_equal(np_jws_parse(x.body, x.body_len, &jws), 0);
    assert_int_equal(np_jws_verify(&crypto, jws, &device.identity.public), 0);
    assert_string_equal(jws->header.url, url);
    assert_string_equal(jws->header.nonce, "bm9uY2U");
    return jws;
}

static void enrols(void **state)
{
    (void)state;
    struct np_enrol_request m;
    struct np_message_error error;
    uint8_t thumbprint[32], input[NP_FACTORY_MAC_INPUT_MAX], mac[32];
    struct np_crypto crypto;
    action.addresses.addresses.v4[0] = np_addr_from_bytes((uint8_t[4]){192, 168, 1, 1}, 4);
    action.addresses.addresses.v4_count = 1;
    build(NP_REQUEST_ENROL);
    struct np_jws *jws = check_signed("/v1/devices");
    assert_true(jws->header.has_jwk);
    assert_memory_equal(&jws->header.jwk, &device.identity.public, sizeof jws->header.jwk);
    assert_int_equal(np_enrol_request_parse((char *)jws->payload, jws->payload_len, &m, &error), 0);
    assert_memory_equal(m.epoch, device.epoch, sizeof m.epoch);
    assert_memory_equal(m.token, device.token, sizeof m.token);
    assert_int_equal(m.addresses.v4_count, 1);
    assert_int_equal(m.credential.type, NP_CREDENTIAL_FACTORY_SECRET);
    assert_string_equal(m.credential.serial, "NP-1");
    np_crypto_init(&crypto, NULL);
    np_jwk_thumbprint(&crypto, &device.identity.public, thumbprint);
    size_t len = np_factory_mac_input(thumbprint, jws->header.nonce, jws->header.url, input);
    np_hmac_sha256(self.factory.secret, sizeof self.factory.secret, input, len, mac);
    assert_memory_equal(m.credential.mac, mac, sizeof mac);
    np_jws_free(jws);
    np_exchange_free(&x);
    self.factory.type = NP_CREDENTIAL_OPEN;
    build(NP_REQUEST_ENROL);
    jws = check_signed("/v1/devices");
    assert_int_equal(np_enrol_request_parse((char *)jws->payload, jws->payload_len, &m, &error), 0);
    assert_int_equal(m.credential.type, NP_CREDENTIAL_OPEN);
    np_jws_free(jws);
    np_exchange_free(&x);
}

static void signs_with_its_id(void **state)
{
    (void)state;
    struct np_csr_request m;
    struct np_message_error error;
    build(NP_REQUEST_CSR);
    struct np_jws *jws = check_signed("/v1/devices/abcdefghijklmnopqrstuv/csr");
    assert_false(jws->header.has_jwk);
    assert_string_equal(jws->header.kid, device.device);
    assert_int_equal(np_csr_request_parse((char *)jws->payload, jws->payload_len, &m, &error), 0);
    assert_true(m.csr_len > 200);
    np_jws_free(jws);
    np_exchange_free(&x);
    build(NP_REQUEST_SESSION);
    jws = check_signed("/v1/session");
    assert_string_equal((char *)jws->payload, "{}");
    np_jws_free(jws);
    np_exchange_free(&x);
}

static void bears_a_token(void **state)
{
    (void)state;
    char token[NP_BASE64URL_LEN(NP_TOKEN_LEN)];
    np_base64url_encode(device.token, NP_TOKEN_LEN, token);
    build(NP_REQUEST_PACKAGE);
    assert_string_equal(x.method, "GET");
    assert_string_equal(x.path, "/v1/devices/abcdefghijklmnopqrstuv/package");
    assert_string_equal(x.bearer, token);
    assert_string_equal(x.etag, "");
    assert_null(x.body);
    np_exchange_free(&x);
    device.has_chain = device.has_auth = true;
    snprintf(device.etag, sizeof device.etag, "\"1\"");
    build(NP_REQUEST_PACKAGE);
    assert_string_equal(x.etag, ""); /* another key is under way: the installed one is no answer */
    np_exchange_free(&x);
    device.has_next = false;
    build(NP_REQUEST_PACKAGE);
    assert_string_equal(x.etag, "\"1\"");
    np_exchange_free(&x);
    action.addresses.seq = 7;
    action.addresses.withdraw = true;
    build(NP_REQUEST_ADDRESSES);
    assert_string_equal(x.method, "PUT");
    assert_string_equal(x.bearer, token);
    assert_non_null(strstr(x.body, "\"seq\":7"));
    np_exchange_free(&x);
    build(NP_REQUEST_NONCE);
    assert_string_equal(x.method, "HEAD");
    assert_string_equal(x.bearer, "");
    np_exchange_free(&x);
}

static void checks_in_and_leaves(void **state)
{
    (void)state;
    char token[NP_BASE64URL_LEN(NP_TOKEN_LEN)];
    struct np_checkin_request m;
    struct np_leave_request wish;
    struct np_message_error error;
    np_base64url_encode(device.token, NP_TOKEN_LEN, token);
    action.checkin = (struct np_checkin_request){.seq = 7, .certificate = {true, 3, 1803096000}, .health = "expired"};
    build(NP_REQUEST_CHECKIN);
    assert_string_equal(x.method, "POST");
    assert_string_equal(x.path, "/v1/devices/abcdefghijklmnopqrstuv/checkin");
    assert_string_equal(x.content_type, "application/json");
    assert_string_equal(x.bearer, token);
    assert_int_equal(np_checkin_request_parse(x.body, x.body_len, &m, &error), 0);
    assert_int_equal(m.seq, 7);
    assert_int_equal(m.certificate.n, 3);
    assert_string_equal(m.version, self.version);
    assert_string_equal(m.health, "expired");
    np_exchange_free(&x);
    action.leave.reason = NP_LEAVE_COMPROMISE;
    build(NP_REQUEST_LEAVE);
    struct np_jws *jws = check_signed("/v1/devices/abcdefghijklmnopqrstuv/leave");
    assert_string_equal(jws->header.kid, device.device);
    assert_int_equal(np_leave_request_parse((char *)jws->payload, jws->payload_len, &wish, &error), 0);
    assert_int_equal(wish.reason, NP_LEAVE_COMPROMISE);
    np_jws_free(jws);
    np_exchange_free(&x);
}

static void parse(enum np_request request, int status, const char *nonce, const char *etag, int64_t retry,
                  const char *body)
{
    struct np_exchange_headers headers = {.nonce = nonce, .etag = etag, .retry_after_s = retry};
    np_exchange_parse(request, status, &headers, body, strlen(body), &response);
}

static void reads_answers(void **state)
{
    (void)state;
    parse(NP_REQUEST_NONCE, 204, "bm9uY2U", NULL, 0, "");
    assert_string_equal(response.nonce, "bm9uY2U");
    assert_int_equal(response.rc, 0);
    parse(NP_REQUEST_PACKAGE, 202, "bm9uY2U", "", 3, "{\"state\":\"queued\",\"eta\":2,\"time\":1795320000}");
    assert_int_equal(response.rc, 0);
    assert_int_equal(response.retry_after_ms, 3000);
    assert_int_equal(response.time_s, 1795320000);
    assert_string_equal(response.pending.state, "queued");
    parse(NP_REQUEST_PACKAGE, 304, NULL, "\"1\"", 0, "");
    assert_int_equal(response.rc, 0);
    assert_string_equal(response.etag, "\"1\"");
    parse(NP_REQUEST_CHECKIN, 200, NULL, NULL, 0,
          "{\"certificate\":\"wait\",\"seq\":7,\"next\":85012,\"intervals\":{\"poll\":1,\"checkin\":86400,"
          "\"boot_jitter\":600},\"time\":1795320004}");
    assert_int_equal(response.rc, 0);
    assert_int_equal(response.checkin.certificate, NP_CHECKIN_WAIT);
    assert_int_equal(response.checkin.next_s, 85012);
    assert_int_equal(response.time_s, 1795320004);
    parse(NP_REQUEST_LEAVE, 204, "bm9uY2U", NULL, 0, "");
    assert_int_equal(response.rc, 0);
    parse(NP_REQUEST_ADDRESSES, 409, NULL, NULL, 0,
          "{\"type\":\"urn:nameplate:problem:stale-seq\",\"status\":409,\"detail\":\"old\",\"seq\":9}");
    assert_string_equal(response.problem.type, "stale-seq");
    assert_true(response.problem.has_seq);
    assert_int_equal(response.problem.seq, 9);
}

static void reads_nonsense(void **state)
{
    (void)state;
    parse(NP_REQUEST_ENROL, 200, "no nonce!", "two words", 999999999, "<html>log in here</html>");
    assert_int_equal(response.rc, NP_E_MALFORMED);
    assert_string_equal(response.nonce, "");
    assert_string_equal(response.etag, "");
    assert_int_equal(response.retry_after_ms, 7 * 86400 * 1000LL);
    parse(NP_REQUEST_SESSION, 502, NULL, NULL, 0, "<html>bad gateway</html>");
    assert_string_equal(response.problem.type, "other");
    parse(NP_REQUEST_PACKAGE, 200, NULL, NULL, 0, "{}");
    assert_int_not_equal(response.rc, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(enrols, setup),         cmocka_unit_test_setup(signs_with_its_id, setup),
        cmocka_unit_test_setup(bears_a_token, setup),  cmocka_unit_test_setup(reads_answers, setup),
        cmocka_unit_test_setup(reads_nonsense, setup), cmocka_unit_test_setup(checks_in_and_leaves, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

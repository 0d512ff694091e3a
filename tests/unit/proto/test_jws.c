/* JWS requests, grants and the factory MAC's input. The crypto is HQ's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hq/crypto.h"
#include "hq/proto/jws.h"
#include "hq/proto/message.h"
#include "resolver/base/error.h"
#include "resolver/base/text.h"

struct fixture {
    struct np_hq_key *key;
    struct np_crypto crypto;
    struct np_public_key public_key;
    struct np_jws_header header;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    assert_int_equal(np_hq_key_make(&f->key), 0);
    np_hq_key_crypto(f->key, &f->crypto);
    np_hq_key_public(f->key, &f->public_key);
    f->header = (struct np_jws_header){
        .has_jwk = true, .jwk = f->public_key, .nonce = "nonce", .url = "https://hq.devices.example/v1/devices"};
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    np_hq_key_free(f->key);
    free(f);
    return 0;
}

static void test_round_trip(void **state)
{
    struct fixture *f = *state;
    struct np_jws *jws = NULL;
    char *body = NULL;
    static const char payload[] = "{\"a\":1}";
    for (int with_jwk = 1; with_jwk >= 0; with_jwk--) {
        f->header.has_jwk = with_jwk;
        snprintf(f->header.kid, sizeof f->header.kid, "%s", with_jwk ? "" : "device");
        assert_int_equal(np_jws_sign(&f->crypto, &f->header, payload, sizeof payload - 1, &body), 0);
        assert_int_equal(np_jws_parse(body, strlen(body), &jws), 0);
        assert_int_equal(jws->header.has_jwk, with_jwk);
        assert_string_equal(jws->header.kid, f->header.kid);
        assert_string_equal(jws->header.nonce, "nonce");
        assert_string_equal(jws->header.url, f->header.url);
        assert_int_equal(jws->payload_len, sizeof payload - 1);
        assert_string_equal((char *)jws->payload, payload);
        if (with_jwk)
            assert_memory_equal(&jws->header.jwk, &f->public_key, sizeof f->public_key);
        assert_int_equal(np_jws_verify(&f->crypto, jws, &f->public_key), 0);
        /* One bit of what is signed, of the signature, of the key. */
        jws->signing_input[3] ^= 1;
        assert_int_equal(np_jws_verify(&f->crypto, jws, &f->public_key), NP_E_SIGNATURE);
        jws->signing_input[3] ^= 1;
        jws->signature[63] ^= 1;
        assert_int_equal(np_jws_verify(&f->crypto, jws, &f->public_key), NP_E_SIGNATURE);
        jws->signature[63] ^= 1;
        struct np_public_key off_curve = f->public_key;
        off_curve.y[31] ^= 1;
        assert_int_equal(np_jws_verify(&f->crypto, jws, &off_curve), NP_E_KEY);
        np_jws_free(jws);
        free(body);
    }
    np_jws_free(NULL);
}

/* RFC 7515 appendix A.3: a signature that another implementation made. */
static void test_rfc7515_signature(void **state)
{
    struct fixture *f = *state;
    static const char input[] =
        "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0"
        "cnVlfQ";
    struct np_public_key key;
    uint8_t signature[64], hash[32];
    assert_int_equal(np_base64url_decode_exact("f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU", key.x, 32), 0);
    assert_int_equal(np_base64url_decode_exact("x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0", key.y, 32), 0);
    assert_int_equal(
        np_base64url_decode_exact("DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJ"
                                  "qPP3-Kg6NU1Q",
                                  signature, 64),
        0);
    f->crypto.sha256(input, strlen(input), hash);
    assert_int_equal(f->crypto.verify(&key, hash, signature), 0);
    signature[0] ^= 1;
    assert_int_equal(f->crypto.verify(&key, hash, signature), NP_E_SIGNATURE);
    memset(signature, 0, sizeof signature);
    assert_int_equal(f->crypto.verify(&key, hash, signature), NP_E_SIGNATURE);
    /* RFC 7638 over the same key; the value is Python's. */
    char text[NP_BASE64URL_LEN(32)];
    np_jwk_thumbprint(&f->crypto, &key, hash);
    np_base64url_encode(hash, 32, text);
    assert_string_equal(text, "oKIywvGUpTVTyxMQ3bwIIeQUudfr_CkLMjCE19ECD-U");
}

/* Builds a body from JSON texts of header and payload; the signature is 64 zero bytes. */
static int parse_parts(const char *header, const char *payload, const char *more)
{
    char h[2048], p[1024], s[NP_BASE64URL_LEN(64)], body[4096];
    uint8_t zero[64] = {0};
    struct np_jws *jws = NULL;
    np_base64url_encode(header, strlen(header), h);
    np_base64url_encode(payload, strlen(payload), p);
    np_base64url_encode(zero, sizeof zero, s);
    snprintf(body, sizeof body, "{\"protected\":\"%s\",\"payload\":\"%s\",\"signature\":\"%s\"%s}", h, p, s, more);
    int rc = np_jws_parse(body, strlen(body), &jws);
    np_jws_free(jws);
    return rc;
}

#define GOOD_TAIL "\"nonce\":\"n\",\"url\":\"https://hq\"}"
#define X         "\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\""
#define Y         "\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\""
#define JWK       "\"jwk\":{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":" X ",\"y\":" Y "},"

static void test_headers(void **state)
{
    (void)state;
    static const struct {
        const char *header;
        int rc;
    } rows[] = {
        {"{\"alg\":\"ES256\",\"kid\":\"d\"," GOOD_TAIL, 0},
        {"{\"alg\":\"ES256\"," JWK GOOD_TAIL, 0},
        {"{\"alg\":\"ES256\",\"other\":[1],\"kid\":\"d\"," GOOD_TAIL, 0},
        {"{\"alg\":\"none\",\"kid\":\"d\"," GOOD_TAIL, NP_E_UNKNOWN},
        {"{\"alg\":\"HS256\",\"kid\":\"d\"," GOOD_TAIL, NP_E_UNKNOWN},
        {"{\"alg\":\"ES256K\",\"kid\":\"d\"," GOOD_TAIL, NP_E_UNKNOWN},
        {"{\"alg\":\"ES256\",\"crit\":[\"exp\"],\"kid\":\"d\"," GOOD_TAIL, NP_E_UNKNOWN},
        {"{\"alg\":\"ES256\",\"b64\":false,\"kid\":\"d\"," GOOD_TAIL, NP_E_UNKNOWN},
        {"{\"alg\":\"ES256\"," JWK "\"kid\":\"d\"," GOOD_TAIL, NP_E_MALFORMED},
        {"{\"alg\":\"ES256\",\"kid\":\"\"," GOOD_TAIL, NP_E_MALFORMED},
        {"{\"alg\":\"ES256\"," GOOD_TAIL, NP_E_MISSING},
        {"{\"kid\":\"d\"," GOOD_TAIL, NP_E_MISSING},
        {"{\"alg\":\"ES256\",\"kid\":\"d\",\"url\":\"https://hq\"}", NP_E_MISSING},
        {"{\"alg\":\"ES256\",\"kid\":\"d\",\"nonce\":\"n\"}", NP_E_MISSING},
        {"{\"alg\":1,\"kid\":\"d\"," GOOD_TAIL, NP_E_TYPE},
        {"{\"alg\":\"ES256\",\"kid\":\"ddddddddddddddddddddddddddddddddd\"," GOOD_TAIL, NP_E_LIMIT}, /* 33 characters */
        {"{\"alg\":\"ES256\",\"kid\":\"d\\n\"," GOOD_TAIL, NP_E_MALFORMED},
        {"{\"alg\":\"ES256\",\"kid\":\"d\",\"kid\":\"e\"," GOOD_TAIL, NP_E_MALFORMED},
        {"{\"alg\":\"ES256\",\"jwk\":{\"kty\":\"EC\",\"crv\":\"P-384\",\"x\":" X ",\"y\":" Y "}," GOOD_TAIL,
         NP_E_UNKNOWN},
        {"{\"alg\":\"ES256\",\"jwk\":{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":" X "}," GOOD_TAIL, NP_E_MISSING},
        {"{\"alg\":\"ES256\",\"jwk\":{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"AAAA\",\"y\":" Y "}," GOOD_TAIL,
         NP_E_MALFORMED},
        {"{\"alg\":\"ES256\",\"jwk\":\"k\"," GOOD_TAIL, NP_E_TYPE},
        {"[]", NP_E_MALFORMED},
        {"", NP_E_MALFORMED},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        int rc = parse_parts(rows[i].header, "{}", "");
        if (rc != rows[i].rc)
            fail_msg("row %zu: %s instead of %s", i, np_err_name(rc), np_err_name(rows[i].rc));
    }
    static const char good[] = "{\"alg\":\"ES256\",\"kid\":\"d\"," GOOD_TAIL;
    assert_int_equal(parse_parts(good, "{}", ",\"header\":{}"), NP_E_MALFORMED);
    assert_int_equal(parse_parts(good, "{}", ",\"signatures\":[]"), NP_E_MALFORMED);
    assert_int_equal(parse_parts(good, "{}", ",\"payload\":\"e30\""), NP_E_MALFORMED);
    assert_int_equal(parse_parts(good, "", ""), 0); /* an empty payload is the message parser's matter */
}

static void test_bodies(void **state)
{
    struct fixture *f = *state;
    struct np_jws *jws = NULL;
    char *body = NULL, *big;
    assert_int_equal(np_jws_sign(&f->crypto, &f->header, "{}", 2, &body), 0);
    size_t len = strlen(body);
    for (size_t cut = 0; cut < len; cut++)
        assert_int_equal(np_jws_parse(body, cut, &jws), NP_E_MALFORMED);
    /* Base64url is strict: no padding, no white space, no other alphabet. */
    for (const char *bad = "=+/ \n"; *bad; bad++) {
        char *copy = strdup(body), *at = strstr(copy, "\"payload\":\"");
        at[11] = *bad;
        assert_int_equal(np_jws_parse(copy, len, &jws), NP_E_MALFORMED);
        free(copy);
    }
    free(body);
    /* The largest payload that fits, and one byte more. */
    big = malloc(NP_BODY_MAX);
    memset(big, ' ', NP_BODY_MAX);
    size_t low = 0, high = NP_BODY_MAX;
    while (high - low > 1) {
        size_t middle = (low + high) / 2;
        body = NULL;
        if (np_jws_sign(&f->crypto, &f->header, big, middle, &body) == 0)
            low = middle;
        else
            high = middle;
        free(body);
    }
    assert_int_equal(np_jws_sign(&f->crypto, &f->header, big, high, &body), NP_E_LIMIT);
    assert_int_equal(np_jws_sign(&f->crypto, &f->header, big, low, &body), 0);
    assert_true(strlen(body) <= NP_BODY_MAX && strlen(body) > NP_BODY_MAX - 4);
    assert_int_equal(np_jws_parse(body, strlen(body), &jws), 0);
    np_jws_free(jws);
    free(body);
    assert_int_equal(np_jws_parse(big, NP_BODY_MAX, &jws), NP_E_MALFORMED);
    assert_int_equal(np_jws_parse(big, NP_BODY_MAX + 1, &jws), NP_E_LIMIT);
    free(big);
}

static void test_signed_time(void **state)
{
    const struct fixture *f = *state;
    static const char nonce[] = "AAAAAAAAAAAAAAAAAAAAAA",
                      longest[] = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    char text[NP_SIGNED_TIME_MAX + 1], grant_text[NP_GRANT_MAX + 1];
    struct np_grant grant = {.name = "nifty-babbage.devices.example", .issued_s = 1790000000};
    struct np_public_key other = f->public_key;
    int64_t time_s = 0;
    assert_int_equal(np_time_sign(&f->crypto, nonce, 1790000000, text), 0);
    assert_int_equal(np_time_verify(&f->crypto, text, &f->public_key, nonce, &time_s), 0);
    assert_int_equal(time_s, 1790000000);
    assert_int_equal(np_time_verify(&f->crypto, text, &f->public_key, "BAAAAAAAAAAAAAAAAAAAAA", &time_s), NP_E_STALE);
    other.x[0] ^= 1;
    assert_true(np_time_verify(&f->crypto, text, &other, nonce, &time_s) < 0);
    text[strlen(text) / 2] ^= 1;
    assert_true(np_time_verify(&f->crypto, text, &f->public_key, nonce, &time_s) < 0);
    assert_int_equal(np_time_sign(&f->crypto, longest, INT64_MAX / 2, text), 0);
    assert_int_equal(np_time_verify(&f->crypto, text, &f->public_key, longest, &time_s), 0);
    assert_int_equal(np_time_sign(&f->crypto, "AAAAAAAAAAAAAAA", 1, text), NP_E_MALFORMED);
    assert_int_equal(np_time_sign(&f->crypto, "AAAAAAAAAAAAAAAAA\"A", 1, text), NP_E_MALFORMED);
    /* The one is not taken for the other. */
    assert_int_equal(np_grant_sign(&f->crypto, &grant, grant_text), 0);
    assert_int_equal(np_time_verify(&f->crypto, grant_text, &f->public_key, nonce, &time_s), NP_E_MALFORMED);
    assert_int_equal(np_grant_verify(&f->crypto, text, &f->public_key, &grant), NP_E_MALFORMED);
}

static void test_grants(void **state)
{
    struct fixture *f = *state;
    struct np_grant grant = {.name = "nifty-babbage.devices.example", .issued_s = 1790000000}, read;
    struct np_public_key other;
    struct np_hq_key *other_key = NULL;
    char text[NP_GRANT_MAX + 1], changed[NP_GRANT_MAX + 1];
    memset(grant.thumbprint, 7, 32);
    assert_int_equal(np_grant_sign(&f->crypto, &grant, text), 0);
    assert_int_equal(np_grant_verify(&f->crypto, text, &f->public_key, &read), 0);
    assert_string_equal(read.name, grant.name);
    assert_memory_equal(read.thumbprint, grant.thumbprint, 32);
    assert_int_equal(read.issued_s, grant.issued_s);
    assert_int_equal(np_hq_key_make(&other_key), 0);
    np_hq_key_public(other_key, &other);
    assert_int_equal(np_grant_verify(&f->crypto, text, &other, &read), NP_E_SIGNATURE);
    np_hq_key_free(other_key);
    for (size_t i = 0; i < strlen(text); i++) {
        memcpy(changed, text, sizeof text);
        changed[i] = changed[i] == 'A' ? 'B' : 'A';
        assert_int_not_equal(np_grant_verify(&f->crypto, changed, &f->public_key, &read), 0);
        memcpy(changed, text, i);
        changed[i] = 0;
        assert_int_not_equal(np_grant_verify(&f->crypto, changed, &f->public_key, &read), 0);
    }
    /* The longest name still fits in what a message carries. */
    memset(grant.name, 'a', 253);
    for (size_t i = 60; i < 253; i += 61)
        grant.name[i] = '.';
    grant.name[253] = 0;
    assert_int_equal(np_grant_sign(&f->crypto, &grant, text), 0);
    assert_int_equal(np_grant_verify(&f->crypto, text, &f->public_key, &read), 0);
}

static void test_factory_mac_input(void **state)
{
    (void)state;
    uint8_t thumbprint[32], input[NP_FACTORY_MAC_INPUT_MAX];
    char nonce[NP_NONCE_MAX + 1], url[NP_URL_MAX + 1];
    memset(thumbprint, 0x55, 32);
    size_t len = np_factory_mac_input(thumbprint, "N", "U", input);
    assert_int_equal(len, 19 + 32 + 1 + 1 + 1);
    assert_memory_equal(input, "nameplate enrol v1\0", 19);
    assert_memory_equal(input + 19, thumbprint, 32);
    assert_memory_equal(input + 51, "N\0U", 3);
    memset(nonce, 'n', NP_NONCE_MAX);
    nonce[NP_NONCE_MAX] = 0;
    memset(url, 'u', NP_URL_MAX);
    url[NP_URL_MAX] = 0;
    assert_true(np_factory_mac_input(thumbprint, nonce, url, input) <= sizeof input);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_round_trip, setup, teardown),
        cmocka_unit_test_setup_teardown(test_rfc7515_signature, setup, teardown),
        cmocka_unit_test(test_headers),
        cmocka_unit_test_setup_teardown(test_bodies, setup, teardown),
        cmocka_unit_test_setup_teardown(test_signed_time, setup, teardown),
        cmocka_unit_test_setup_teardown(test_grants, setup, teardown),
        cmocka_unit_test(test_factory_mac_input),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

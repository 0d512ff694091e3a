/* Keys: known vectors, reading and writing DER, the generator. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "agent/identity/keys.h"
#include "resolver/base/error.h"
#include "resolver/base/text.h"

/* RFC 6979 appendix A.2.5: the key, its point, and the signature of "sample" with SHA-256. */
#define VECTOR_KEY "c9afa9d845ba75166b5c215767b1d6934e50c3db36e89b127b8a622b120f6721"
#define VECTOR_X   "60fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb6"
#define VECTOR_Y   "7903fe1008b8bc99a41ae9e95628bc64f2f1b20c2d7e9f5177a3c294d4462299"
#define VECTOR_R   "efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716"
#define VECTOR_S   "f7cb1c942d657c41d436c7a1b6e29f65f3e900dbb9aff4064dc4ab2f843acda8"

/* The beginning, up to the point, of what OpenSSL 3 writes: `openssl ec -outform DER`. */
static const char OPENSSL_SEC1[] =
    "307702010104209068ad00c5bdd9c8d6e53bd2da1271a14058a73bb656bd72263b11332d1f6d81a00a06082a8648ce3d030107a144034200";

static void unhex(const char *hex, uint8_t *out, size_t len)
{
    assert_int_equal(np_hex_decode_exact(hex, out, len), 0);
}

static struct np_private_key vector_key(void)
{
    uint8_t scalar[32];
    struct np_private_key key;
    unhex(VECTOR_KEY, scalar, sizeof scalar);
    assert_int_equal(np_key_from_scalar(scalar, &key), 0);
    return key;
}

static void known_vector(void **state)
{
    (void)state;
    struct np_private_key key = vector_key();
    uint8_t expected[32], hash[32], signature[64];
    unhex(VECTOR_X, expected, 32);
    assert_memory_equal(key.public.x, expected, 32);
    unhex(VECTOR_Y, expected, 32);
    assert_memory_equal(key.public.y, expected, 32);
    np_sha256("sample", 6, hash);
    assert_int_equal(np_key_sign(&key, hash, signature), 0);
    unhex(VECTOR_R, expected, 32);
    assert_memory_equal(signature, expected, 32);
    unhex(VECTOR_S, expected, 32);
    assert_memory_equal(signature + 32, expected, 32);
    assert_int_equal(np_key_verify(&key.public, hash, signature), 0);
}

static void refuses_wrong_signatures(void **state)
{
    (void)state;
    struct np_private_key key = vector_key();
    struct np_public_key off = key.public;
    uint8_t hash[32], signature[64];
    np_sha256("sample", 6, hash);
    np_key_sign(&key, hash, signature);
    signature[63] ^= 1;
    assert_int_equal(np_key_verify(&key.public, hash, signature), NP_E_SIGNATURE);
    signature[63] ^= 1;
    hash[0] ^= 1;
    assert_int_equal(np_key_verify(&key.public, hash, signature), NP_E_SIGNATURE);
    hash[0] ^= 1;
    off.y[31] ^= 1;
    assert_int_equal(np_key_verify(&off, hash, signature), NP_E_KEY);
    memset(signature, 0, sizeof signature);
    assert_int_equal(np_key_verify(&key.public, hash, signature), NP_E_SIGNATURE);
}

static void scalar_range(void **state)
{
    (void)state;
    uint8_t scalar[32] = {0};
    struct np_private_key key;
    assert_int_equal(np_key_from_scalar(scalar, &key), NP_E_KEY);
    scalar[31] = 1;
    assert_int_equal(np_key_from_scalar(scalar, &key), 0);
    unhex("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551", scalar, 32);
    assert_int_equal(np_key_from_scalar(scalar, &key), NP_E_KEY);
    scalar[31]--;
    assert_int_equal(np_key_from_scalar(scalar, &key), 0);
}

/* Each form: reads back the same key; cut anywhere or with a byte more it is refused. */
static void check_form(const uint8_t *der, size_t len, const struct np_private_key *key)
{
    struct np_private_key read;
    uint8_t copy[NP_KEY_DER_MAX];
    assert_int_equal(np_key_parse(der, len, &read), 0);
    assert_memory_equal(&read, key, sizeof read);
    for (size_t n = 0; n < len; n++) {
        uint8_t *exact = malloc(n ? n : 1); /* so that a sanitizer sees a byte too many */
        memcpy(exact, der, n);
        assert_int_not_equal(np_key_parse(exact, n, &read), 0);
        free(exact);
    }
    memcpy(copy, der, len);
    copy[len] = 0;
    assert_int_equal(np_key_parse(copy, len + 1, &read), NP_E_MALFORMED);
    copy[len - 1] ^= 1; /* the last byte of the public half */
    assert_int_equal(np_key_parse(copy, len, &read), NP_E_KEY);
}

static void writes_and_reads(void **state)
{
    (void)state;
    struct np_private_key key = vector_key();
    uint8_t sec1[NP_KEY_SEC1_LEN], pkcs8[NP_KEY_PKCS8_LEN];
    np_key_encode_sec1(&key, sec1);
    np_key_encode_pkcs8(&key, pkcs8);
    check_form(sec1, sizeof sec1, &key);
    check_form(pkcs8, sizeof pkcs8, &key);
}

static void same_layout_as_openssl(void **state)
{
    (void)state;
    uint8_t head[(sizeof OPENSSL_SEC1 - 1) / 2], sec1[NP_KEY_SEC1_LEN];
    struct np_private_key key = vector_key();
    char hex[sizeof OPENSSL_SEC1];
    unhex(OPENSSL_SEC1, head, sizeof head);
    np_key_encode_sec1(&key, sec1);
    memcpy(sec1 + 7, head + 7, 32);
    np_hex_encode(sec1, sizeof head, hex);
    assert_string_equal(hex, OPENSSL_SEC1);
}

static void refuses_other_keys(void **state)
{
    (void)state;
    uint8_t pkcs8[NP_KEY_PKCS8_LEN], sec1[NP_KEY_SEC1_LEN], large[NP_KEY_DER_MAX + 1] = {0};
    struct np_private_key key = vector_key(), read;
    np_key_encode_pkcs8(&key, pkcs8);
    np_key_encode_sec1(&key, sec1);
    pkcs8[25] = 0x08; /* the curve's last arc */
    assert_int_equal(np_key_parse(pkcs8, sizeof pkcs8, &read), NP_E_MALFORMED);
    sec1[4] = 2; /* the version */
    assert_int_equal(np_key_parse(sec1, sizeof sec1, &read), NP_E_MALFORMED);
    assert_int_equal(np_key_parse(large, sizeof large, &read), NP_E_MALFORMED);
    assert_int_equal(np_key_parse("", 0, &read), NP_E_MALFORMED);
}

static void generator(void **state)
{
    (void)state;
    struct np_entropy a, b, c;
    uint8_t from_a[32], from_b[32], from_c[32];
    np_entropy_init_seed(&a, "seed", 4);
    np_entropy_init_seed(&b, "seed", 4);
    np_entropy_init_seed(&c, "seed", 4);
    np_entropy_bytes(&a, from_a, 32);
    np_entropy_bytes(&b, from_b, 32);
    assert_memory_equal(from_a, from_b, 32);
    np_entropy_mix(&a, "hq-seed", "x", 1);
    np_entropy_mix(&b, "factory-secret", "x", 1);
    np_entropy_bytes(&a, from_a, 32);
    np_entropy_bytes(&b, from_b, 32);
    assert_memory_not_equal(from_a, from_b, 32);
    /* Mixing the same thing into another state does not make them meet: nothing is replaced. */
    np_entropy_mix(&c, "hq-seed", "x", 1);
    np_entropy_bytes(&c, from_c, 32);
    assert_memory_not_equal(from_a, from_c, 32);
}

static void generated_keys(void **state)
{
    (void)state;
    struct np_entropy entropy = {.ready = false};
    struct np_private_key one, two, again;
    assert_int_equal(np_entropy_init(&entropy), 0);
    assert_int_equal(np_key_generate(&entropy, &one), 0);
    assert_int_equal(np_key_generate(&entropy, &two), 0);
    assert_memory_not_equal(one.scalar, two.scalar, 32);
    assert_int_equal(np_key_from_scalar(one.scalar, &again), 0);
    assert_memory_equal(&again.public, &one.public, sizeof one.public);
}

static void hmac_vector(void **state)
{
    (void)state;
    uint8_t mac[32], expected[32];
    /* RFC 4231 test case 2. */
    np_hmac_sha256("Jefe", 4, "what do ya want for nothing?", 28, mac);
    unhex("5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843", expected, 32);
    assert_memory_equal(mac, expected, 32);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_vector),
        cmocka_unit_test(refuses_wrong_signatures),
        cmocka_unit_test(scalar_range),
        cmocka_unit_test(writes_and_reads),
        cmocka_unit_test(same_layout_as_openssl),
        cmocka_unit_test(refuses_other_keys),
        cmocka_unit_test(generator),
        cmocka_unit_test(generated_keys),
        cmocka_unit_test(hmac_vector),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

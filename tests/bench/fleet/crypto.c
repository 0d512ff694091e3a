/* The boxes' signatures by OpenSSL instead of BearSSL, which needs 0.4 ms for one: linked in the place of
 * agent/identity/keys' np_key_sign and np_crypto_init (--wrap). What is signed, and how it travels, is the agent's. */
#define OPENSSL_SUPPRESS_DEPRECATED /* EC_KEY: no EVP_PKEY has to be made for each signature */
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/obj_mac.h>
#include <stdlib.h>
#include <string.h>

#include "agent/identity/keys.h"
#include "hq/proto/message.h"
#include "resolver/base/error.h"
#include "resolver/base/file.h"
#include "resolver/base/text.h"
#include "tests/bench/fleet/crypto.h"

int __wrap_np_key_sign(const struct np_private_key *key, const uint8_t hash[32], uint8_t out_signature[64]);
void __wrap_np_crypto_init(struct np_crypto *crypto, const struct np_private_key *key);

int __wrap_np_key_sign(const struct np_private_key *key, const uint8_t hash[32], uint8_t out_signature[64])
{
    EC_KEY *ec = EC_KEY_new_by_curve_name(NID_X9_62_prime256v1);
    BIGNUM *scalar = BN_bin2bn(key->scalar, sizeof key->scalar, NULL);
    ECDSA_SIG *signature = NULL;
    int rc = NP_E_KEY;
    if (ec && scalar && EC_KEY_set_private_key(ec, scalar) == 1)
        signature = ECDSA_do_sign(hash, 32, ec);
    if (signature && BN_bn2binpad(ECDSA_SIG_get0_r(signature), out_signature, 32) == 32 &&
        BN_bn2binpad(ECDSA_SIG_get0_s(signature), out_signature + 32, 32) == 32)
        rc = 0;
    ECDSA_SIG_free(signature);
    BN_free(scalar);
    EC_KEY_free(ec);
    return rc;
}

static int sign(void *ctx, const uint8_t hash[32], uint8_t out_signature[64])
{
    return __wrap_np_key_sign(ctx, hash, out_signature);
}

void __wrap_np_crypto_init(struct np_crypto *crypto, const struct np_private_key *key)
{
    *crypto = (struct np_crypto){
        .ctx = (void *)(uintptr_t)key, .sha256 = np_sha256, .sign = key ? sign : NULL, .verify = np_key_verify};
}

int fleet_make_key(struct np_private_key *out_key)
{
    EC_KEY *ec = EC_KEY_new_by_curve_name(NID_X9_62_prime256v1);
    uint8_t point[65];
    int rc = NP_E_KEY;
    if (ec && EC_KEY_generate_key(ec) == 1 &&
        BN_bn2binpad(EC_KEY_get0_private_key(ec), out_key->scalar, sizeof out_key->scalar) == 32 &&
        EC_POINT_point2oct(EC_KEY_get0_group(ec), EC_KEY_get0_public_key(ec), POINT_CONVERSION_UNCOMPRESSED, point,
                           sizeof point, NULL) == sizeof point)
        rc = np_public_key_decode(point, sizeof point, &out_key->public);
    EC_KEY_free(ec);
    return rc;
}

int fleet_read_master(const char *path, uint8_t out_master[32])
{
    uint8_t *text;
    size_t len;
    int rc = np_file_read(path, 65, &text, &len);
    if (rc)
        return rc;
    text[strcspn((char *)text, "\n")] = 0;
    rc = np_hex_decode_exact((char *)text, out_master, 32);
    free(text);
    return rc;
}

void fleet_factory_secret(const uint8_t master[32], const char *serial, uint8_t out_secret[32])
{
    static const char label[] = "nameplate factory-secret v1"; /* hq/proto/jws.h; its NUL separates */
    uint8_t input[sizeof label + NP_SERIAL_MAX];
    size_t len = strnlen(serial, NP_SERIAL_MAX);
    memcpy(input, label, sizeof label);
    memcpy(input + sizeof label, serial, len);
    np_hmac_sha256(master, 32, input, sizeof label + len, out_secret);
}

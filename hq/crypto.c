#include "hq/crypto.h"

#include <errno.h>
#include <limits.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hq/proto/message.h"
#include "resolver/base/cursor.h"
#include "resolver/base/error.h"
#include "resolver/base/random.h"
#include "resolver/base/text.h"

struct np_hq_key {
    EVP_PKEY *pkey;
};

void np_hq_sha256(const void *data, size_t len, uint8_t out_hash[32])
{
    if (!EVP_Digest(data, len, out_hash, NULL, EVP_sha256(), NULL))
        abort(); /* out of memory in libcrypto: nothing sound can follow */
}

void np_hq_hmac(const void *key, size_t key_len, const void *data, size_t len, uint8_t out_mac[32])
{
    unsigned out_len = 32;
    if (key_len > INT_MAX || !HMAC(EVP_sha256(), key, (int)key_len, data, len, out_mac, &out_len))
        abort();
}

static EVP_PKEY *public_pkey(const struct np_public_key *key)
{
    uint8_t point[65] = {POINT_CONVERSION_UNCOMPRESSED};
    char group[] = "prime256v1";
    EVP_PKEY *pkey = NULL;
    memcpy(point + 1, key->x, 32);
    memcpy(point + 33, key->y, 32);
    OSSL_PARAM params[] = {OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, group, 0),
                           OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, point, sizeof point),
                           OSSL_PARAM_construct_end()};
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
    /* Decoding the point checks that it lies on the curve; P-256 has cofactor 1, so that is all there is to check. */
    if (!ctx || EVP_PKEY_fromdata_init(ctx) <= 0 || EVP_PKEY_fromdata(ctx, &pkey, EVP_PKEY_PUBLIC_KEY, params) <= 0)
        pkey = NULL;
    EVP_PKEY_CTX_free(ctx);
    return pkey;
}

/* r||s to the DER that libcrypto takes. */
static int raw_to_der(const uint8_t signature[64], uint8_t **out_der)
{
    int len = -1;
    ECDSA_SIG *sig = ECDSA_SIG_new();
    BIGNUM *r = BN_bin2bn(signature, 32, NULL), *s = BN_bin2bn(signature + 32, 32, NULL);
    if (sig && r && s && ECDSA_SIG_set0(sig, r, s)) {
        r = s = NULL;
        *out_der = NULL;
        len = i2d_ECDSA_SIG(sig, out_der);
    }
    BN_free(r);
    BN_free(s);
    ECDSA_SIG_free(sig);
    return len;
}

static int verify(const struct np_public_key *key, const uint8_t hash[32], const uint8_t signature[64])
{
    uint8_t *der = NULL;
    EVP_PKEY_CTX *ctx = NULL;
    int rc = NP_E_KEY, len;
    EVP_PKEY *pkey = public_pkey(key);
    if (!pkey)
        goto out;
    rc = NP_E_SIGNATURE;
    len = raw_to_der(signature, &der);
    ctx = EVP_PKEY_CTX_new(pkey, NULL);
    if (len > 0 && ctx && EVP_PKEY_verify_init(ctx) > 0 && EVP_PKEY_verify(ctx, der, (size_t)len, hash, 32) == 1)
        rc = 0;
out:
    OPENSSL_free(der);
    EVP_PKEY_CTX_free(ctx);
    EVP_PKEY_free(pkey);
    ERR_clear_error();
    return rc;
}

static void sha256_callback(const void *data, size_t len, uint8_t out_hash[32])
{
    np_hq_sha256(data, len, out_hash);
}

void np_hq_crypto(struct np_crypto *out_crypto)
{
    *out_crypto = (struct np_crypto){.sha256 = sha256_callback, .verify = verify};
}

static int wrap(EVP_PKEY *pkey, struct np_hq_key **out_key)
{
    struct np_hq_key *key = malloc(sizeof *key);
    if (!key) {
        EVP_PKEY_free(pkey);
        return -ENOMEM;
    }
    key->pkey = pkey;
    *out_key = key;
    return 0;
}

int np_hq_key_parse(const char *pem, size_t len, struct np_hq_key **out_key)
{
    char group[32] = "";
    if (len > INT_MAX)
        return NP_E_KEY;
    BIO *bio = BIO_new_mem_buf(pem, (int)len);
    if (!bio)
        return -ENOMEM;
    EVP_PKEY *pkey = PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL);
    BIO_free(bio);
    ERR_clear_error();
    if (!pkey)
        return NP_E_KEY;
    if (!EVP_PKEY_is_a(pkey, "EC") || !EVP_PKEY_get_group_name(pkey, group, sizeof group, NULL) ||
        strcmp(group, "prime256v1") != 0) {
        EVP_PKEY_free(pkey);
        ERR_clear_error();
        return NP_E_KEY;
    }
    return wrap(pkey, out_key);
}

int np_hq_key_make(struct np_hq_key **out_key)
{
    EVP_PKEY *pkey = EVP_EC_gen("P-256");
    return pkey ? wrap(pkey, out_key) : -ENOMEM;
}

int np_hq_key_public_pem(const struct np_hq_key *key, char **out_pem)
{
    int rc = -ENOMEM;
    char *data;
    BIO *bio = BIO_new(BIO_s_mem());
    if (bio && PEM_write_bio_PUBKEY(bio, key->pkey)) {
        long len = BIO_get_mem_data(bio, &data);
        char *pem = len > 0 ? strndup(data, (size_t)len) : NULL;
        if (pem) {
            *out_pem = pem;
            rc = 0;
        }
    }
    BIO_free(bio);
    return rc;
}

int np_hq_key_pem(const struct np_hq_key *key, char **out_pem)
{
    int rc = -ENOMEM;
    char *data;
    BIO *bio = BIO_new(BIO_s_secmem());
    if (bio && PEM_write_bio_PKCS8PrivateKey(bio, key->pkey, NULL, NULL, 0, NULL, NULL)) {
        long len = BIO_get_mem_data(bio, &data);
        char *pem = len > 0 ? strndup(data, (size_t)len) : NULL;
        if (pem) {
            *out_pem = pem;
            rc = 0;
        }
    }
    BIO_free(bio);
    return rc;
}

void np_hq_key_public(const struct np_hq_key *key, struct np_public_key *out_public)
{
    uint8_t point[65];
    size_t len = 0;
    if (!EVP_PKEY_get_octet_string_param(key->pkey, OSSL_PKEY_PARAM_PUB_KEY, point, sizeof point, &len) || len != 65)
        abort(); /* the key was checked when it was read or made here */
    memcpy(out_public->x, point + 1, 32);
    memcpy(out_public->y, point + 33, 32);
}

static int sign(void *ctx, const uint8_t hash[32], uint8_t out_signature[64])
{
    struct np_hq_key *key = ctx;
    uint8_t der[80];
    size_t len = sizeof der;
    int rc = NP_E_KEY;
    ECDSA_SIG *sig = NULL;
    EVP_PKEY_CTX *pctx = EVP_PKEY_CTX_new(key->pkey, NULL);
    if (!pctx || EVP_PKEY_sign_init(pctx) <= 0 || EVP_PKEY_sign(pctx, der, &len, hash, 32) <= 0)
        goto out;
    const uint8_t *at = der;
    sig = d2i_ECDSA_SIG(NULL, &at, (long)len);
    if (sig && BN_bn2binpad(ECDSA_SIG_get0_r(sig), out_signature, 32) == 32 &&
        BN_bn2binpad(ECDSA_SIG_get0_s(sig), out_signature + 32, 32) == 32)
        rc = 0;
out:
    ECDSA_SIG_free(sig);
    EVP_PKEY_CTX_free(pctx);
    return rc;
}

void np_hq_key_crypto(struct np_hq_key *key, struct np_crypto *out_crypto)
{
    *out_crypto = (struct np_crypto){.ctx = key, .sha256 = sha256_callback, .sign = sign, .verify = verify};
}

struct evp_pkey_st *np_hq_key_handle(struct np_hq_key *key)
{
    return key->pkey;
}

void np_hq_key_free(struct np_hq_key *key)
{
    if (!key)
        return;
    EVP_PKEY_free(key->pkey);
    free(key);
}

void np_hq_auth_token(const uint8_t pepper[32], const char *device, const uint8_t epoch[16], int64_t n,
                      uint8_t out_token[32])
{
    static const char label[] = "nameplate auth v1"; /* its NUL is part of the input */
    uint8_t input[sizeof label + NP_DEVICE_ID_MAX + 1 + 16 + 8];
    struct np_writer w = np_writer_make(input, sizeof input);
    np_write_bytes(&w, label, sizeof label);
    np_write_bytes(&w, device, strnlen(device, NP_DEVICE_ID_MAX));
    np_write_u8(&w, 0);
    np_write_bytes(&w, epoch, 16);
    np_write_u64(&w, (uint64_t)n);
    np_hq_hmac(pepper, 32, input, w.pos, out_token);
}

void np_hq_factory_secret(const uint8_t master[32], const char *serial, uint8_t out_secret[32])
{
    static const char label[] = "nameplate factory-secret v1"; /* likewise */
    uint8_t input[sizeof label + NP_SERIAL_MAX];
    struct np_writer w = np_writer_make(input, sizeof input);
    np_write_bytes(&w, label, sizeof label);
    np_write_bytes(&w, serial, strnlen(serial, NP_SERIAL_MAX));
    np_hq_hmac(master, 32, input, w.pos, out_secret);
}

void np_hq_claim_hash(const uint8_t master[32], const char code[NP_CLAIM_LEN + 1], uint8_t out_hash[32])
{
    static const char label[] = "nameplate claim-code v1"; /* likewise */
    uint8_t input[sizeof label + NP_CLAIM_LEN];
    struct np_writer w = np_writer_make(input, sizeof input);
    np_write_bytes(&w, label, sizeof label);
    np_write_bytes(&w, code, NP_CLAIM_LEN);
    np_hq_hmac(master, 32, input, w.pos, out_hash);
    np_wipe(input, sizeof input);
}

void np_hq_make_id(char out_id[NP_DEVICE_ID_MAX + 1])
{
    uint8_t random[16];
    _Static_assert(NP_DEVICE_ID_MAX + 1 >= NP_BASE64URL_LEN(sizeof random), "there is room");
    do {
        np_random_bytes(random, sizeof random);
        np_base64url_encode(random, sizeof random, out_id);
    } while (out_id[0] == '-');
}

uint64_t np_hq_spread(const char *use, const char *device, uint64_t bound)
{
    char text[128];
    uint8_t hash[32];
    uint64_t number = 0;
    int len = snprintf(text, sizeof text, "nameplate spread %s %s", use, device);
    np_hq_sha256(text, (size_t)len < sizeof text ? (size_t)len : sizeof text - 1, hash);
    for (size_t i = 0; i < 8; i++)
        number = number << 8 | hash[i];
    return number % bound;
}

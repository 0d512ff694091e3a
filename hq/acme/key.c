#include "hq/acme/key.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/bio.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/sha.h>

#include "resolver/base/error.h"
#include "resolver/base/file.h"
#include "resolver/base/text.h"

#define KEY_FILE_MAX 4096 /* a P-256 key in PEM has about 240 bytes */

struct np_acme_key {
    EVP_PKEY *pkey;
    struct np_public_key public;
    char thumbprint[NP_BASE64URL_LEN(32)];
};

void np_acme_sha256(const void *data, size_t len, uint8_t out_hash[32])
{
    SHA256(data, len, out_hash);
}

/* Takes over pkey on success. */
static int wrap_take(EVP_PKEY *pkey, struct np_acme_key **out_key)
{
    static const struct np_crypto crypto = {.sha256 = np_acme_sha256};
    char group[32] = "";
    uint8_t point[65], thumbprint[32];
    size_t len = 0;
    if (EVP_PKEY_get_group_name(pkey, group, sizeof group, NULL) != 1 || strcmp(group, "prime256v1") != 0)
        return NP_E_KEY;
    if (EVP_PKEY_get_octet_string_param(pkey, OSSL_PKEY_PARAM_PUB_KEY, point, sizeof point, &len) != 1 ||
        len != sizeof point || point[0] != 4)
        return NP_E_KEY;
    struct np_acme_key *key = calloc(1, sizeof *key);
    if (!key)
        return -ENOMEM;
    key->pkey = pkey;
    memcpy(key->public.x, point + 1, 32);
    memcpy(key->public.y, point + 33, 32);
    np_jwk_thumbprint(&crypto, &key->public, thumbprint);
    np_base64url_encode(thumbprint, sizeof thumbprint, key->thumbprint);
    *out_key = key;
    return 0;
}

int np_acme_key_make(struct np_acme_key **out_key)
{
    EVP_PKEY *pkey = EVP_EC_gen("P-256");
    int rc = pkey ? wrap_take(pkey, out_key) : NP_E_KEY;
    if (rc)
        EVP_PKEY_free(pkey);
    return rc;
}

static int write_key(const char *path, const struct np_acme_key *key)
{
    char *data;
    int rc = NP_E_KEY;
    BIO *bio = BIO_new(BIO_s_mem());
    if (!bio || PEM_write_bio_PKCS8PrivateKey(bio, key->pkey, NULL, NULL, 0, NULL, NULL) != 1)
        goto out;
    long len = BIO_get_mem_data(bio, &data);
    rc = np_file_write_atomic(path, data, (size_t)len, 0600);
    np_wipe(data, (size_t)len);
out:
    BIO_free(bio);
    return rc;
}

static int parse_key(const uint8_t *pem, size_t len, struct np_acme_key **out_key)
{
    BIO *bio = BIO_new_mem_buf(pem, (int)len);
    EVP_PKEY *pkey = bio ? PEM_read_bio_PrivateKey(bio, NULL, NULL, (void *)(uintptr_t) "") : NULL;
    BIO_free(bio);
    int rc = pkey ? wrap_take(pkey, out_key) : NP_E_KEY;
    if (rc)
        EVP_PKEY_free(pkey);
    return rc;
}

int np_acme_key_load(const char *path, struct np_acme_key **out_key)
{
    struct np_acme_key *key = NULL;
    uint8_t *pem;
    size_t len;
    int rc = np_file_read(path, KEY_FILE_MAX, &pem, &len);
    if (rc == 0) {
        rc = parse_key(pem, len, out_key);
        np_wipe(pem, len);
        free(pem);
        return rc;
    }
    if (rc != -ENOENT)
        return rc;
    rc = np_acme_key_make(&key);
    if (rc == 0)
        rc = write_key(path, key);
    if (rc) {
        np_acme_key_free(key);
        return rc;
    }
    *out_key = key;
    return 0;
}

void np_acme_key_free(struct np_acme_key *key)
{
    if (!key)
        return;
    EVP_PKEY_free(key->pkey); /* clears the scalar */
    free(key);
}

const struct np_public_key *np_acme_key_public(const struct np_acme_key *key)
{
    return &key->public;
}

const char *np_acme_key_thumbprint(const struct np_acme_key *key)
{
    return key->thumbprint;
}

/* ECDSA-Sig-Value (DER) -> r||s. */
static int raw_signature(const uint8_t *der, size_t len, uint8_t out_signature[64])
{
    const uint8_t *p = der;
    const BIGNUM *r, *s;
    ECDSA_SIG *sig = d2i_ECDSA_SIG(NULL, &p, (long)len);
    if (!sig)
        return NP_E_KEY;
    ECDSA_SIG_get0(sig, &r, &s);
    int good = BN_bn2binpad(r, out_signature, 32) == 32 && BN_bn2binpad(s, out_signature + 32, 32) == 32;
    ECDSA_SIG_free(sig);
    return good ? 0 : NP_E_KEY;
}

int np_acme_key_sign(const struct np_acme_key *key, const void *data, size_t len, uint8_t out_signature[64])
{
    uint8_t der[80];
    size_t der_len = sizeof der;
    int rc = NP_E_KEY;
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    if (md && EVP_DigestSignInit(md, NULL, EVP_sha256(), NULL, key->pkey) == 1 &&
        EVP_DigestSign(md, der, &der_len, data, len) == 1)
        rc = raw_signature(der, der_len, out_signature);
    EVP_MD_CTX_free(md);
    return rc;
}

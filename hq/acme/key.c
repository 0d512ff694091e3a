#include "hq/acme/key.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "hq/crypto.h"
#include "resolver/base/error.h"
#include "resolver/base/file.h"
#include "resolver/base/text.h"

#define KEY_FILE_MAX 4096 /* a P-256 key in PEM has about 240 bytes */

struct np_acme_key {
    struct np_hq_key *key;
    struct np_crypto crypto; /* signs with key */
    struct np_public_key public;
    char thumbprint[NP_BASE64URL_LEN(32)];
};

void np_acme_sha256(const void *data, size_t len, uint8_t out_hash[32])
{
    np_hq_sha256(data, len, out_hash);
}

/* Takes over hq_key, also on errors. */
static int wrap_take(struct np_hq_key *hq_key, struct np_acme_key **out_key)
{
    uint8_t thumbprint[32];
    struct np_acme_key *key = calloc(1, sizeof *key);
    if (!key) {
        np_hq_key_free(hq_key);
        return -ENOMEM;
    }
    key->key = hq_key;
    np_hq_key_public(hq_key, &key->public);
    np_hq_key_crypto(hq_key, &key->crypto);
    np_jwk_thumbprint(&key->crypto, &key->public, thumbprint);
    np_base64url_encode(thumbprint, sizeof thumbprint, key->thumbprint);
    *out_key = key;
    return 0;
}

int np_acme_key_make(struct np_acme_key **out_key)
{
    struct np_hq_key *hq_key;
    int rc = np_hq_key_make(&hq_key);
    return rc ? rc : wrap_take(hq_key, out_key);
}

static int write_key(const char *path, const struct np_acme_key *key)
{
    char *pem;
    int rc = np_hq_key_pem(key->key, &pem);
    if (rc)
        return rc;
    size_t len = strlen(pem);
    rc = np_file_write_atomic(path, pem, len, 0600);
    np_wipe(pem, len);
    free(pem);
    return rc;
}

int np_acme_key_read(const char *path, struct np_acme_key **out_key)
{
    struct np_hq_key *hq_key;
    uint8_t *pem;
    size_t len;
    int rc = np_file_read(path, KEY_FILE_MAX, &pem, &len);
    if (rc)
        return rc;
    rc = np_hq_key_parse((const char *)pem, len, &hq_key);
    np_wipe(pem, len);
    free(pem);
    return rc ? rc : wrap_take(hq_key, out_key);
}

int np_acme_key_load(const char *path, struct np_acme_key **out_key)
{
    struct np_acme_key *key = NULL;
    int rc = np_acme_key_read(path, out_key);
    if (rc != -ENOENT)
        return rc; /* never replaced by a new key: the account would be lost */
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
    np_hq_key_free(key->key);
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

int np_acme_key_sign(const struct np_acme_key *key, const void *data, size_t len, uint8_t out_signature[64])
{
    uint8_t hash[32];
    np_hq_sha256(data, len, hash);
    return key->crypto.sign(key->crypto.ctx, hash, out_signature);
}

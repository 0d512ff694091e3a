/* A signed request body, and the same bytes as a grant and as a signed time. What is accepted must be printable and
 * bounded. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "hq/proto/jws.h"

static void no_hash(const void *data, size_t len, uint8_t out_hash[32])
{
    (void)data;
    memset(out_hash, (int)len, 32);
}

static int any_signature(const struct np_public_key *key, const uint8_t hash[32], const uint8_t signature[64])
{
    (void)key;
    (void)hash;
    (void)signature;
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct np_crypto crypto = {.sha256 = no_hash, .verify = any_signature};
    const struct np_public_key key = {0};
    struct np_jws *jws = NULL;
    struct np_grant grant;
    if (np_jws_parse((const char *)data, size, &jws) == 0) {
        if (jws->header.has_jwk != (jws->header.kid[0] == 0) || jws->payload[jws->payload_len] != 0 ||
            np_jws_verify(&crypto, jws, &key) != 0)
            abort();
        np_jws_free(jws);
    }
    char *text = strndup((const char *)data, size);
    if (text && np_grant_verify(&crypto, text, &key, &grant) == 0 && strlen(grant.name) > 253)
        abort();
    int64_t time_s = -1;
    if (text && np_time_verify(&crypto, text, &key, "AAAAAAAAAAAAAAAAAAAAAA", &time_s) == 0 && time_s < 0)
        abort();
    free(text);
    return 0;
}

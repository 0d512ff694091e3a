#include "hq/acme/jws.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "hq/proto/json.h"
#include "resolver/base/error.h"
#include "resolver/base/text.h"

static json_t *jwk_json(const struct np_acme_key *key)
{
    const struct np_public_key *public = np_acme_key_public(key);
    char x[NP_BASE64URL_LEN(32)], y[NP_BASE64URL_LEN(32)];
    np_base64url_encode(public->x, sizeof public->x, x);
    np_base64url_encode(public->y, sizeof public->y, y);
    return json_pack("{s:s,s:s,s:s,s:s}", "kty", "EC", "crv", "P-256", "x", x, "y", y);
}

/* "base64url(header).base64url(payload)"; takes over header. */
static int signing_input_take(json_t *header, const char *payload, char **out_input)
{
    char *protected;
    int rc = np_json_dump_take(header, &protected);
    if (rc)
        return rc;
    size_t header_len = strlen(protected), payload_len = payload ? strlen(payload) : 0;
    char *input = malloc(NP_BASE64URL_LEN(header_len) + 1 + NP_BASE64URL_LEN(payload_len));
    if (input) {
        size_t n = np_base64url_encode(protected, header_len, input);
        input[n++] = '.';
        np_base64url_encode(payload, payload_len, input + n);
        *out_input = input;
    }
    free(protected);
    return input ? 0 : -ENOMEM;
}

/* Splits input at its dot and packs the three parts. */
static int flatten(char *input, const uint8_t *signature, size_t len, char **out_body)
{
    char text[NP_BASE64URL_LEN(64)];
    char *dot = strchr(input, '.');
    np_base64url_encode(signature, len, text);
    *dot = 0;
    return np_json_dump_take(json_pack("{s:s,s:s,s:s}", "protected", input, "payload", dot + 1, "signature", text),
                             out_body);
}

/* Signs payload under header, which it takes over. */
static int sign_take(const struct np_acme_key *key, json_t *header, const char *payload, char **out_body)
{
    uint8_t signature[64];
    char *input;
    int rc = signing_input_take(header, payload, &input);
    if (rc)
        return rc;
    rc = np_acme_key_sign(key, input, strlen(input), signature);
    if (rc == 0)
        rc = flatten(input, signature, sizeof signature, out_body);
    free(input);
    return rc;
}

int np_acme_jws_sign(const struct np_acme_key *key, const char *kid, const char *nonce, const char *url,
                     const char *payload, char **out_body)
{
    json_t *header = json_pack("{s:s,s:s,s:s}", "alg", "ES256", "nonce", nonce, "url", url);
    int bad =
        kid ? json_object_set_new(header, "kid", json_string(kid)) : json_object_set_new(header, "jwk", jwk_json(key));
    if (bad) {
        json_decref(header);
        return -ENOMEM;
    }
    return sign_take(key, header, payload, out_body);
}

int np_acme_key_change_sign(const struct np_acme_key *old, const struct np_acme_key *new, const char *account_url,
                            const char *url, char **out_json)
{
    char *payload;
    int rc = np_json_dump_take(json_pack("{s:s,s:o}", "account", account_url, "oldKey", jwk_json(old)), &payload);
    if (rc)
        return rc;
    rc =
        sign_take(new, json_pack("{s:s,s:o,s:s}", "alg", "ES256", "jwk", jwk_json(new), "url", url), payload, out_json);
    free(payload);
    return rc;
}

int np_acme_eab_sign(const struct np_acme_key *key, const char *eab_kid, const uint8_t *mac_key, size_t mac_key_len,
                     const char *url, char **out_json)
{
    uint8_t mac[EVP_MAX_MD_SIZE];
    unsigned mac_len = 0;
    char *payload, *input;
    int rc = np_json_dump_take(jwk_json(key), &payload);
    if (rc)
        return rc;
    rc = signing_input_take(json_pack("{s:s,s:s,s:s}", "alg", "HS256", "kid", eab_kid, "url", url), payload, &input);
    free(payload);
    if (rc)
        return rc;
    if (HMAC(EVP_sha256(), mac_key, (int)mac_key_len, (const uint8_t *)input, strlen(input), mac, &mac_len))
        rc = flatten(input, mac, mac_len, out_json);
    else
        rc = NP_E_KEY;
    free(input);
    return rc;
}

void np_acme_dns01_value(const struct np_acme_key *key, const char *token, char out_value[44])
{
    char authorization[256];
    uint8_t hash[32];
    int n = snprintf(authorization, sizeof authorization, "%s.%s", token, np_acme_key_thumbprint(key));
    np_acme_sha256(authorization, (size_t)n, hash);
    np_base64url_encode(hash, sizeof hash, out_value);
}

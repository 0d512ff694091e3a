#include "hq/proto/jws.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hq/proto/json.h"
#include "resolver/base/error.h"
#include "resolver/base/text.h"

#define GRANT_TYP "nameplate-grant+jwt"
#define TIME_TYP  "nameplate-time+jwt"

static void jwk_coordinates(const struct np_public_key *key, char x[NP_BASE64URL_LEN(32)], char y[NP_BASE64URL_LEN(32)])
{
    np_base64url_encode(key->x, 32, x);
    np_base64url_encode(key->y, 32, y);
}

void np_jwk_thumbprint(const struct np_crypto *crypto, const struct np_public_key *key, uint8_t out_thumbprint[32])
{
    char x[NP_BASE64URL_LEN(32)], y[NP_BASE64URL_LEN(32)], text[192];
    jwk_coordinates(key, x, y);
    /* RFC 7638 section 3.2: the required members in lexicographic order, no white space. */
    int n = snprintf(text, sizeof text, "{\"crv\":\"P-256\",\"kty\":\"EC\",\"x\":\"%s\",\"y\":\"%s\"}", x, y);
    crypto->sha256(text, (size_t)n, out_thumbprint);
}

static int encode_header(const struct np_jws_header *header, char **out_json)
{
    json_t *jwk = NULL, *object;
    if (header->has_jwk) {
        char x[NP_BASE64URL_LEN(32)], y[NP_BASE64URL_LEN(32)];
        jwk_coordinates(&header->jwk, x, y);
        jwk = json_pack("{s:s,s:s,s:s,s:s}", "kty", "EC", "crv", "P-256", "x", x, "y", y);
        if (!jwk)
            return -ENOMEM;
        object = json_pack("{s:s,s:o,s:s,s:s}", "alg", "ES256", "jwk", jwk, "nonce", header->nonce, "url", header->url);
    } else {
        object = json_pack("{s:s,s:s,s:s,s:s}", "alg", "ES256", "kid", header->kid, "nonce", header->nonce, "url",
                           header->url);
    }
    return np_json_dump_take(object, out_json);
}

/* "base64url(a).base64url(b)", malloc'd. */
static char *join_encoded(const char *a, size_t a_len, const char *b, size_t b_len)
{
    char *text = malloc(NP_BASE64URL_LEN(a_len) + NP_BASE64URL_LEN(b_len) + 1);
    if (!text)
        return NULL;
    size_t n = np_base64url_encode(a, a_len, text);
    text[n++] = '.';
    np_base64url_encode(b, b_len, text + n);
    return text;
}

static int sign_text(const struct np_crypto *crypto, const char *text, char out_signature[NP_BASE64URL_LEN(64)])
{
    uint8_t hash[32], signature[64];
    crypto->sha256(text, strlen(text), hash);
    int rc = crypto->sign(crypto->ctx, hash, signature);
    if (rc == 0)
        np_base64url_encode(signature, sizeof signature, out_signature);
    return rc;
}

int np_jws_sign(const struct np_crypto *crypto, const struct np_jws_header *header, const char *payload, size_t len,
                char **out_body)
{
    char *protected = NULL, *input = NULL, *body = NULL, signature[NP_BASE64URL_LEN(64)];
    int rc = encode_header(header, &protected);
    if (rc)
        goto out;
    rc = -ENOMEM;
    input = join_encoded(protected, strlen(protected), payload, len);
    if (!input)
        goto out;
    rc = sign_text(crypto, input, signature);
    if (rc)
        goto out;
    char *dot = strchr(input, '.');
    *dot = 0;
    rc = np_json_dump_take(json_pack("{s:s,s:s,s:s}", "protected", input, "payload", dot + 1, "signature", signature),
                           &body);
    if (rc)
        goto out;
    if (strlen(body) > NP_BODY_MAX) {
        rc = NP_E_LIMIT;
        goto out;
    }
    *out_body = body;
    body = NULL;
out:
    free(protected);
    free(input);
    free(body);
    return rc;
}

static void parse_jwk(struct np_json_in *in, struct np_public_key *out_key)
{
    char kty[8] = "", crv[8] = "";
    json_t *jwk = np_json_member(in, "jwk", JSON_OBJECT);
    if (!jwk)
        return;
    struct np_json_in inner = {jwk, 0, in->error};
    np_json_text(&inner, "kty", kty, sizeof kty);
    np_json_text(&inner, "crv", crv, sizeof crv);
    np_json_bytes(&inner, "x", out_key->x, 32);
    np_json_bytes(&inner, "y", out_key->y, 32);
    if (inner.rc == 0 && (strcmp(kty, "EC") != 0 || strcmp(crv, "P-256") != 0))
        inner.rc = NP_E_UNKNOWN;
    if (inner.rc)
        np_json_fail(in, "jwk", inner.rc);
}

static int parse_header(const char *json, size_t len, struct np_jws_header *out_header)
{
    struct np_jws_header header = {0};
    char alg[16] = "";
    json_t *object = np_json_load(json, len);
    if (!object)
        return NP_E_MALFORMED;
    struct np_json_in in = {object, 0, NULL};
    np_json_text(&in, "alg", alg, sizeof alg);
    np_json_text(&in, "nonce", header.nonce, sizeof header.nonce);
    np_json_text(&in, "url", header.url, sizeof header.url);
    header.has_jwk = json_object_get(object, "jwk") != NULL;
    if (header.has_jwk)
        parse_jwk(&in, &header.jwk);
    else
        np_json_text(&in, "kid", header.kid, sizeof header.kid);
    if (in.rc == 0 && strcmp(alg, "ES256") != 0)
        in.rc = NP_E_UNKNOWN;
    if (in.rc == 0 && header.has_jwk && json_object_get(object, "kid"))
        in.rc = NP_E_MALFORMED;
    if (in.rc == 0 && !header.has_jwk && header.kid[0] == 0)
        in.rc = NP_E_MALFORMED;
    if (in.rc == 0 && (json_object_get(object, "crit") || json_object_get(object, "b64")))
        in.rc = NP_E_UNKNOWN; /* RFC 7515 section 4.1.11: extensions that we do not know must be refused */
    json_decref(object);
    if (in.rc == 0)
        *out_header = header;
    return in.rc;
}

/* Decodes text to malloc'd bytes with a NUL behind them. */
static int decode_alloc(const char *text, size_t len, uint8_t **out_data, size_t *out_len)
{
    size_t size = len / 4 * 3 + 3;
    uint8_t *data = malloc(size + 1);
    if (!data)
        return -ENOMEM;
    long n = np_base64url_decode(text, len, data, size);
    if (n < 0) {
        free(data);
        return NP_E_MALFORMED;
    }
    data[n] = 0;
    *out_data = data;
    *out_len = (size_t)n;
    return 0;
}

static int parse_members(json_t *object, struct np_jws *jws)
{
    struct np_json_in in = {object, 0, NULL};
    json_t *protected = np_json_member(&in, "protected", JSON_STRING);
    json_t *payload = np_json_member(&in, "payload", JSON_STRING);
    np_json_bytes(&in, "signature", jws->signature, sizeof jws->signature);
    if (in.rc)
        return in.rc;
    if (json_object_get(object, "header") || json_object_get(object, "signatures"))
        return NP_E_MALFORMED; /* RFC 8555 section 6.2: no unprotected header, one signature */
    size_t protected_len = json_string_length(protected), payload_len = json_string_length(payload);
    uint8_t *header = NULL;
    size_t header_len;
    int rc = decode_alloc(json_string_value(protected), protected_len, &header, &header_len);
    if (rc)
        return rc;
    rc = parse_header((const char *)header, header_len, &jws->header);
    free(header);
    if (rc)
        return rc;
    rc = decode_alloc(json_string_value(payload), payload_len, &jws->payload, &jws->payload_len);
    if (rc)
        return rc;
    jws->signing_input = malloc(protected_len + payload_len + 2);
    if (!jws->signing_input)
        return -ENOMEM;
    memcpy(jws->signing_input, json_string_value(protected), protected_len);
    jws->signing_input[protected_len] = '.';
    memcpy(jws->signing_input + protected_len + 1, json_string_value(payload), payload_len + 1);
    return 0;
}

int np_jws_parse(const char *body, size_t len, struct np_jws **out_jws)
{
    if (len > NP_BODY_MAX)
        return NP_E_LIMIT;
    json_t *object = np_json_load(body, len);
    if (!object)
        return NP_E_MALFORMED;
    struct np_jws *jws = calloc(1, sizeof *jws);
    int rc = jws ? parse_members(object, jws) : -ENOMEM;
    json_decref(object);
    if (rc) {
        np_jws_free(jws);
        return rc;
    }
    *out_jws = jws;
    return 0;
}

int np_jws_verify(const struct np_crypto *crypto, const struct np_jws *jws, const struct np_public_key *key)
{
    uint8_t hash[32];
    crypto->sha256(jws->signing_input, strlen(jws->signing_input), hash);
    return crypto->verify(key, hash, jws->signature);
}

void np_jws_free(struct np_jws *jws)
{
    if (!jws)
        return;
    if (jws->payload)
        np_wipe(jws->payload, jws->payload_len); /* an enrolment carries a token */
    free(jws->payload);
    free(jws->signing_input);
    free(jws);
}

/* HEADER.CLAIMS.SIGNATURE into out (size bytes). */
static int compact_sign(const struct np_crypto *crypto, const char *typ, const char *claims, size_t len, char *out,
                        size_t size)
{
    char header[64], signature[NP_BASE64URL_LEN(64)];
    int n = snprintf(header, sizeof header, "{\"alg\":\"ES256\",\"typ\":\"%s\"}", typ);
    char *input = join_encoded(header, (size_t)n, claims, len);
    if (!input)
        return -ENOMEM;
    int rc = sign_text(crypto, input, signature);
    if (rc == 0 && snprintf(out, size, "%s.%s", input, signature) >= (int)size)
        rc = NP_E_LIMIT;
    free(input);
    return rc;
}

int np_grant_sign(const struct np_crypto *crypto, const struct np_grant *grant, char out_text[NP_GRANT_MAX + 1])
{
    char thumbprint[NP_BASE64URL_LEN(32)], claims[NP_NAME_MAX + 256], old[128] = "";
    np_base64url_encode(grant->thumbprint, 32, thumbprint);
    /* The names are checked host names and the rest is ours: nothing here needs escaping. */
    if (grant->old[0])
        snprintf(old, sizeof old, ",\"old\":\"%s\",\"until\":%lld", grant->old, (long long)grant->old_until_s);
    int n = snprintf(claims, sizeof claims, "{\"name\":\"%s\",\"jkt\":\"%s\",\"iat\":%lld%s}", grant->name, thumbprint,
                     (long long)grant->issued_s, old);
    return compact_sign(crypto, GRANT_TYP, claims, (size_t)n, out_text, NP_GRANT_MAX + 1);
}

static bool is_time_nonce(const char *nonce)
{
    uint8_t bytes[NP_TIME_NONCE_MAX];
    size_t len = strlen(nonce);
    return len >= NP_TIME_NONCE_MIN && len <= NP_TIME_NONCE_MAX &&
           np_base64url_decode(nonce, len, bytes, sizeof bytes) > 0;
}

int np_time_sign(const struct np_crypto *crypto, const char *nonce, int64_t time_s,
                 char out_text[NP_SIGNED_TIME_MAX + 1])
{
    char claims[NP_TIME_NONCE_MAX + 64];
    if (!is_time_nonce(nonce))
        return NP_E_MALFORMED;
    int n = snprintf(claims, sizeof claims, "{\"nonce\":\"%s\",\"iat\":%lld}", nonce, (long long)time_s);
    return compact_sign(crypto, TIME_TYP, claims, (size_t)n, out_text, NP_SIGNED_TIME_MAX + 1);
}

static int parse_grant_claims(const uint8_t *json, size_t len, struct np_grant *out_grant)
{
    struct np_grant grant = {0};
    json_t *object = np_json_load((const char *)json, len);
    if (!object)
        return NP_E_MALFORMED;
    struct np_json_in in = {object, 0, NULL};
    np_json_text(&in, "name", grant.name, sizeof grant.name);
    np_json_bytes(&in, "jkt", grant.thumbprint, 32);
    np_json_int(&in, "iat", 0, INT64_MAX / 2, &grant.issued_s);
    if (in.rc == 0 && json_object_get(object, "old")) {
        np_json_text(&in, "old", grant.old, sizeof grant.old);
        np_json_int(&in, "until", 0, INT64_MAX / 2, &grant.old_until_s);
    }
    if (in.rc == 0 && (!np_is_hostname(grant.name) || strchr(grant.old, '.')))
        in.rc = NP_E_MALFORMED;
    json_decref(object);
    if (in.rc)
        return NP_E_MALFORMED;
    *out_grant = grant;
    return 0;
}

static int check_compact_header(const char *text, size_t len, const char *wanted)
{
    uint8_t json[128];
    char alg[16] = "", typ[32] = "";
    long n = np_base64url_decode(text, len, json, sizeof json);
    json_t *object = n > 0 ? np_json_load((const char *)json, (size_t)n) : NULL;
    if (!object)
        return NP_E_MALFORMED;
    struct np_json_in in = {object, 0, NULL};
    np_json_text(&in, "alg", alg, sizeof alg);
    np_json_text(&in, "typ", typ, sizeof typ);
    bool good = in.rc == 0 && strcmp(alg, "ES256") == 0 && strcmp(typ, wanted) == 0;
    json_decref(object);
    return good ? 0 : NP_E_MALFORMED;
}

/* Checks header and signature, and decodes the claims (malloc'd). */
static int compact_verify(const struct np_crypto *crypto, const char *text, size_t max, const char *typ,
                          const struct np_public_key *key, uint8_t **out_claims, size_t *out_len)
{
    uint8_t signature[64], hash[32];
    if (strlen(text) > max)
        return NP_E_MALFORMED;
    const char *first = strchr(text, '.'), *second = first ? strchr(first + 1, '.') : NULL;
    if (!second || np_base64url_decode_exact(second + 1, signature, sizeof signature))
        return NP_E_MALFORMED;
    if (check_compact_header(text, (size_t)(first - text), typ))
        return NP_E_MALFORMED;
    crypto->sha256(text, (size_t)(second - text), hash);
    int rc = crypto->verify(key, hash, signature);
    return rc ? rc : decode_alloc(first + 1, (size_t)(second - first - 1), out_claims, out_len);
}

int np_grant_verify(const struct np_crypto *crypto, const char *text, const struct np_public_key *key,
                    struct np_grant *out_grant)
{
    uint8_t *claims;
    size_t len;
    int rc = compact_verify(crypto, text, NP_GRANT_MAX, GRANT_TYP, key, &claims, &len);
    if (rc)
        return rc;
    rc = parse_grant_claims(claims, len, out_grant);
    free(claims);
    return rc;
}

int np_time_verify(const struct np_crypto *crypto, const char *text, const struct np_public_key *key, const char *nonce,
                   int64_t *out_time_s)
{
    uint8_t *claims;
    size_t len;
    char seen[NP_TIME_NONCE_MAX + 1] = "";
    int64_t time_s = 0;
    int rc = compact_verify(crypto, text, NP_SIGNED_TIME_MAX, TIME_TYP, key, &claims, &len);
    if (rc)
        return rc;
    json_t *object = np_json_load((const char *)claims, len);
    free(claims);
    if (!object)
        return NP_E_MALFORMED;
    struct np_json_in in = {object, 0, NULL};
    np_json_text(&in, "nonce", seen, sizeof seen);
    np_json_int(&in, "iat", 0, INT64_MAX / 2, &time_s);
    json_decref(object);
    if (in.rc)
        return NP_E_MALFORMED;
    if (strcmp(seen, nonce) != 0)
        return NP_E_STALE;
    *out_time_s = time_s;
    return 0;
}

size_t np_factory_mac_input(const uint8_t thumbprint[32], const char *nonce, const char *url,
                            uint8_t out_input[NP_FACTORY_MAC_INPUT_MAX])
{
    static const char label[] = "nameplate enrol v1"; /* its NUL is part of the input */
    size_t n = 0, nonce_len = strnlen(nonce, NP_NONCE_MAX), url_len = strnlen(url, NP_URL_MAX);
    memcpy(out_input, label, sizeof label);
    n += sizeof label;
    memcpy(out_input + n, thumbprint, 32);
    n += 32;
    memcpy(out_input + n, nonce, nonce_len);
    n += nonce_len;
    out_input[n++] = 0;
    memcpy(out_input + n, url, url_len);
    return n + url_len;
}

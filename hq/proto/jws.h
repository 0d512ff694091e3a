/* jws: the signed requests between device and HQ: flattened JSON Web Signatures as in ACME (RFC 8555 section 6.2, RFC
 * 7515), and the compact form for the grant. ES256 (RFC 7518 section 3.4) only.
 *
 * The codec holds no key and knows no crypto library: the caller brings struct np_crypto. Nothing here checks a nonce's
 * age or whether a key may do what it asks: that is the caller's. */
#ifndef HQ_PROTO_JWS_H
#define HQ_PROTO_JWS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NP_NONCE_MAX     64   /* characters of a Replay-Nonce: HQ's have 43 */
#define NP_URL_MAX       512  /* characters of a request URL */
#define NP_DEVICE_ID_MAX 32   /* characters of a device id: HQ's have 22 */
#define NP_BODY_MAX      8192 /* bytes of a request body */
#define NP_GRANT_MAX     1024 /* characters of a grant */

/* A P-256 public key: the affine coordinates, big-endian. */
struct np_public_key {
    uint8_t x[32], y[32];
};

/* The crypto that a side links. Every function may be called at any time after it was filled in; ctx is passed through.
 */
struct np_crypto {
    void *ctx;
    /* SHA-256 of len bytes. Cannot fail. */
    void (*sha256)(const void *data, size_t len, uint8_t out_hash[32]);
    /* Signs a hash with the key behind ctx; r||s, 32 bytes each. 0 or a negative np_err. NULL where nothing is signed.
     */
    int (*sign)(void *ctx, const uint8_t hash[32], uint8_t out_signature[64]);
    /* 0, NP_E_SIGNATURE, or NP_E_KEY when the point is not on the curve. NULL where nothing is verified. */
    int (*verify)(const struct np_public_key *key, const uint8_t hash[32], const uint8_t signature[64]);
};

/* The protected header. Exactly one of jwk (has_jwk) and kid (not empty) identifies the key (RFC 8555 section 6.2). */
struct np_jws_header {
    bool has_jwk;
    struct np_public_key jwk;
    char kid[NP_DEVICE_ID_MAX + 1];
    char nonce[NP_NONCE_MAX + 1];
    char url[NP_URL_MAX + 1];
};

/* A parsed, not yet verified request. */
struct np_jws {
    struct np_jws_header header;
    uint8_t *payload; /* payload_len bytes and a NUL */
    size_t payload_len;
    char *signing_input; /* "protected.payload", NUL-terminated */
    uint8_t signature[64];
};

/* RFC 7638 thumbprint of the key: SHA-256 over its canonical JWK. */
void np_jwk_thumbprint(const struct np_crypto *crypto, const struct np_public_key *key, uint8_t out_thumbprint[32]);

/* Signs payload (len bytes of JSON) under header: *out_body is the flattened JWS as malloc'd text. Returns 0, -ENOMEM,
 * NP_E_LIMIT when the body would exceed NP_BODY_MAX, or what crypto->sign returned. */
int np_jws_sign(const struct np_crypto *crypto, const struct np_jws_header *header, const char *payload, size_t len,
                char **out_body);

/* Parses a flattened JWS of at most NP_BODY_MAX bytes. Strict: alg ES256, no "b64" or "crit" member, no unprotected
 * header. On success the caller owns *out_jws and frees it with np_jws_free. Returns 0, NP_E_MALFORMED, NP_E_MISSING,
 * NP_E_TYPE, NP_E_UNKNOWN (another alg or curve), NP_E_LIMIT or -ENOMEM. */
int np_jws_parse(const char *body, size_t len, struct np_jws **out_jws);

/* Verifies the signature with key (header.jwk, or the stored key of kid). 0, NP_E_SIGNATURE or NP_E_KEY. */
int np_jws_verify(const struct np_crypto *crypto, const struct np_jws *jws, const struct np_public_key *key);

/* Frees; NULL is fine. */
void np_jws_free(struct np_jws *jws);

/* HQ's promise that a name belongs to an identity key: a compact JWS (typ "nameplate-grant+jwt") over these claims. */
struct np_grant {
    char name[254];         /* lower case, no final dot */
    uint8_t thumbprint[32]; /* of the device's identity key */
    int64_t issued_s;       /* Unix time */
    char old[64]; /* label of the name before, in the same zone, that is served until old_until_s; empty: none */
    int64_t old_until_s;
};

/* Signs a grant. Returns 0, or what crypto->sign returned. out_text is NUL-terminated. */
int np_grant_sign(const struct np_crypto *crypto, const struct np_grant *grant, char out_text[NP_GRANT_MAX + 1]);

/* Parses a grant and verifies it with HQ's grant key. Returns 0, NP_E_MALFORMED, NP_E_SIGNATURE or NP_E_KEY. */
int np_grant_verify(const struct np_crypto *crypto, const char *text, const struct np_public_key *key,
                    struct np_grant *out_grant);

#define NP_TIME_NONCE_MAX  64 /* characters of a nonce that time is asked with; NP_TIME_NONCE_MIN at least */
#define NP_TIME_NONCE_MIN  16
#define NP_SIGNED_TIME_MAX 384 /* characters of a signed time */

/* HQ's statement what time it is, over the nonce of whoever asks: a compact JWS (typ "nameplate-time+jwt") with the
 * claims nonce and iat, by the grant key. nonce is base64url. Returns 0, NP_E_MALFORMED (nonce), -ENOMEM, or what
 * crypto->sign returned. */
int np_time_sign(const struct np_crypto *crypto, const char *nonce, int64_t time_s,
                 char out_text[NP_SIGNED_TIME_MAX + 1]);

/* Verifies it with HQ's grant key, and that it answers this nonce. Returns 0, NP_E_MALFORMED, NP_E_STALE (of another
 * nonce), NP_E_SIGNATURE or NP_E_KEY. */
int np_time_verify(const struct np_crypto *crypto, const char *text, const struct np_public_key *key, const char *nonce,
                   int64_t *out_time_s);

#define NP_FACTORY_MAC_INPUT_MAX (24 + 32 + NP_NONCE_MAX + 1 + NP_URL_MAX) /* bytes */

/* The bytes that a factory-secret credential's MAC covers: "nameplate enrol v1", NUL, the thumbprint, the nonce, NUL,
 * the URL. The MAC is HMAC-SHA256 with the device's factory secret, which is HMAC-SHA256(master, "nameplate
 * factory-secret v1" NUL serial). Returns the number of bytes. */
size_t np_factory_mac_input(const uint8_t thumbprint[32], const char *nonce, const char *url,
                            uint8_t out_input[NP_FACTORY_MAC_INPUT_MAX]);

#endif

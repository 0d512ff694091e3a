/* crypto: what HQ needs of libcrypto, behind plain bytes: hashes, MACs, ES256 for the requests (struct np_crypto of
 * hq/proto), and the grant key. */
#ifndef HQ_CRYPTO_H
#define HQ_CRYPTO_H

#include <stddef.h>
#include <stdint.h>

#include "hq/proto/claim.h"
#include "hq/proto/jws.h"

/* SHA-256 of len bytes. */
void np_hq_sha256(const void *data, size_t len, uint8_t out_hash[32]);

/* HMAC-SHA256 (RFC 2104). key_len is at most INT_MAX. */
void np_hq_hmac(const void *key, size_t key_len, const void *data, size_t len, uint8_t out_mac[32]);

/* Fills in sha256 and verify; sign stays NULL. */
void np_hq_crypto(struct np_crypto *out_crypto);

/* A P-256 private key. */
struct np_hq_key;

/* Parses PEM (PKCS#8 or SEC1). Returns 0, -ENOMEM, or NP_E_KEY for anything but one P-256 private key. */
int np_hq_key_parse(const char *pem, size_t len, struct np_hq_key **out_key);

/* Makes a new key. Returns 0 or -ENOMEM. */
int np_hq_key_make(struct np_hq_key **out_key);

/* PEM (PKCS#8) of the key, malloc'd; the caller wipes and frees it. Returns 0 or -ENOMEM. */
int np_hq_key_pem(const struct np_hq_key *key, char **out_pem);

/* PEM (SubjectPublicKeyInfo) of its public half, malloc'd. Returns 0 or -ENOMEM. */
int np_hq_key_public_pem(const struct np_hq_key *key, char **out_pem);

/* The public half. */
void np_hq_key_public(const struct np_hq_key *key, struct np_public_key *out_public);

/* Fills in all of out_crypto; sign uses key, which is borrowed as ctx. */
void np_hq_key_crypto(struct np_hq_key *key, struct np_crypto *out_crypto);

/* libcrypto's own handle, borrowed: for hq/pki, which signs certificates. */
struct evp_pkey_st *np_hq_key_handle(struct np_hq_key *key);

/* Frees; NULL is fine. */
void np_hq_key_free(struct np_hq_key *key);

/* The auth token of a device: HMAC-SHA256(pepper, "nameplate auth v1" NUL device NUL epoch n), n in 8 bytes. */
void np_hq_auth_token(const uint8_t pepper[32], const char *device, const uint8_t epoch[16], int64_t n,
                      uint8_t out_token[32]);

/* The factory secret of a serial number: HMAC-SHA256(master, "nameplate factory-secret v1" NUL serial). */
void np_hq_factory_secret(const uint8_t master[32], const char *serial, uint8_t out_secret[32]);

/* What the database keeps of a claim code (in np_claim_parse's plain form): HMAC-SHA256(master, "nameplate claim-code
 * v1" NUL code). */
void np_hq_claim_hash(const uint8_t master[32], const char code[NP_CLAIM_LEN + 1], uint8_t out_hash[32]);

/* A new id of a device or an order: 16 random bytes in base64url. Never with a hyphen first: on a command line that would
 * be an option. */
void np_hq_make_id(char out_id[NP_DEVICE_ID_MAX + 1]);

/* A number below bound (not 0) that depends on use and device alone: what a device's renewals and check-ins are spread
 * by. use keeps one spread apart from another. */
uint64_t np_hq_spread(const char *use, const char *device, uint64_t bound);

#endif

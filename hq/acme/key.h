/* key: the ACME account's P-256 key (RFC 8555 section 6.2 with ES256), made once and kept in the secrets folder. */
#ifndef HQ_ACME_KEY_H
#define HQ_ACME_KEY_H

#include <stddef.h>
#include <stdint.h>

#include "hq/proto/jws.h"

struct np_acme_key;

/* Makes a new key in memory. Returns 0 or NP_E_KEY. */
int np_acme_key_make(struct np_acme_key **out_key);

/* Reads a PEM file (PKCS#8 or SEC1). Returns 0, -errno, or NP_E_KEY for a file that holds no P-256 key. */
int np_acme_key_read(const char *path, struct np_acme_key **out_key);

/* Reads a PEM file (PKCS#8 or SEC1), or makes a key and writes it there (PKCS#8, mode 0600, atomically) when there is
 * no such file. Returns 0, -errno, or NP_E_KEY for a file that holds no P-256 key. */
int np_acme_key_load(const char *path, struct np_acme_key **out_key);

/* Wipes and frees; NULL is fine. */
void np_acme_key_free(struct np_acme_key *key);

/* The public point. */
const struct np_public_key *np_acme_key_public(const struct np_acme_key *key);

/* The RFC 7638 thumbprint in base64url, as key authorizations want it (RFC 8555 section 8.1). */
const char *np_acme_key_thumbprint(const struct np_acme_key *key);

/* ES256: signs len bytes, r||s (RFC 7518 section 3.4). Returns 0 or NP_E_KEY. */
int np_acme_key_sign(const struct np_acme_key *key, const void *data, size_t len, uint8_t out_signature[64]);

/* SHA-256 of len bytes. */
void np_acme_sha256(const void *data, size_t len, uint8_t out_hash[32]);

#endif

/* keys: P-256 key pairs of the device (identity key, TLS key), by BearSSL.
 *
 * A key is a plain value; wipe it with np_wipe when it goes. Reading is by a fixed-layout parser of this module: SEC1
 * (RFC 5915) and PKCS#8 (RFC 5958) DER of P-256 and nothing else. BearSSL's br_skey_decoder is never used: it overflows
 * on a crafted RSA key. Every key that is read has its public half computed anew and compared with the one in the file.
 */
#ifndef AGENT_IDENTITY_KEYS_H
#define AGENT_IDENTITY_KEYS_H

#include <stddef.h>
#include <stdint.h>

#include "agent/identity/entropy.h"
#include "hq/proto/jws.h"

#define NP_KEY_SCALAR_LEN 32
#define NP_KEY_SEC1_LEN   121 /* bytes of the SEC1 DER that np_key_encode_sec1 writes */
#define NP_KEY_PKCS8_LEN  138 /* bytes of the PKCS#8 DER that np_key_encode_pkcs8 writes */
#define NP_KEY_DER_MAX    256 /* bytes that np_key_parse accepts: PKCS#8 with both optional parts stays under it */

/* A key pair: the private scalar, big-endian, and its point. */
struct np_private_key {
    uint8_t scalar[NP_KEY_SCALAR_LEN];
    struct np_public_key public;
};

/* Makes a key from entropy's generator. 0, or NP_E_KEY when the generator is broken (cannot happen otherwise). */
int np_key_generate(struct np_entropy *entropy, struct np_private_key *out_key);

/* A key pair from a scalar. 0, or NP_E_KEY when it is zero or not below the order of the curve. */
int np_key_from_scalar(const uint8_t scalar[NP_KEY_SCALAR_LEN], struct np_private_key *out_key);

/* Parses SEC1 or PKCS#8 DER of a P-256 key. The whole input must be the key. Returns 0, NP_E_MALFORMED (including any
 * other kind of key), or NP_E_KEY (scalar out of range, or the public half inside does not belong to it). */
int np_key_parse(const void *der, size_t len, struct np_private_key *out_key);

/* Writes SEC1 DER (RFC 5915 ECPrivateKey with parameters and public key). */
void np_key_encode_sec1(const struct np_private_key *key, uint8_t out_der[NP_KEY_SEC1_LEN]);

/* Writes PKCS#8 DER (RFC 5958 OneAsymmetricKey, version 0, the SEC1 key inside without parameters). */
void np_key_encode_pkcs8(const struct np_private_key *key, uint8_t out_der[NP_KEY_PKCS8_LEN]);

/* The point in SEC1's uncompressed form: 04 x y. */
void np_public_key_encode(const struct np_public_key *key, uint8_t out_point[65]);

/* Reads an uncompressed point. 0 or NP_E_KEY for another form. Does not check that it lies on the curve: verify does.
 */
int np_public_key_decode(const uint8_t *point, size_t len, struct np_public_key *out_key);

/* Reads a SubjectPublicKeyInfo (RFC 5480) of a P-256 key with the curve by name and an uncompressed point, and nothing
 * else. 0 or NP_E_MALFORMED. */
int np_public_key_parse(const void *der, size_t len, struct np_public_key *out_key);

/* ECDSA (deterministic, RFC 6979) over a SHA-256 hash; r||s. 0 or NP_E_KEY. */
int np_key_sign(const struct np_private_key *key, const uint8_t hash[32], uint8_t out_signature[64]);

/* Verifies r||s over a SHA-256 hash. 0, NP_E_SIGNATURE, or NP_E_KEY when the point is not on the curve. */
int np_key_verify(const struct np_public_key *key, const uint8_t hash[32], const uint8_t signature[64]);

/* SHA-256 of len bytes. */
void np_sha256(const void *data, size_t len, uint8_t out_hash[32]);

/* HMAC-SHA256. */
void np_hmac_sha256(const void *key, size_t key_len, const void *data, size_t len, uint8_t out_mac[32]);

/* Fills in the functions that hq/proto calls: np_sha256, signing with key (borrowed; may be NULL where nothing is
 * signed), np_key_verify. */
void np_crypto_init(struct np_crypto *crypto, const struct np_private_key *key);

#endif

/* jws: the signed bodies of ACME requests (RFC 8555 section 6.2; external account binding, section 7.3.4).
 *
 * Apart from hq/proto/jws because ACME's kid is an account URL, POST-as-GET has an empty payload, and a chain's CSR
 * makes bodies that our own protocol would refuse. */
#ifndef HQ_ACME_JWS_H
#define HQ_ACME_JWS_H

#include <stddef.h>
#include <stdint.h>

#include "hq/acme/key.h"

#define NP_ACME_NONCE_MAX 128 /* characters of a CA's Replay-Nonce */

/* A flattened JWS, ES256, as malloc'd text. kid NULL: the key itself goes into the header ("jwk"). payload NULL: the
 * empty payload of POST-as-GET (section 6.3). nonce and url must be printable ASCII without quotes or backslashes
 * (np_acme_is_nonce, URLs as acme/resource delivers them). Returns 0, -ENOMEM or NP_E_KEY. */
int np_acme_jws_sign(const struct np_acme_key *key, const char *kid, const char *nonce, const char *url,
                     const char *payload, char **out_body);

/* The payload of a request to keyChange (RFC 8555 section 7.3.5): a JWS by the new key over the account and its old
 * key, as malloc'd JSON. url is keyChange's. Returns 0, -ENOMEM or NP_E_KEY. */
int np_acme_key_change_sign(const struct np_acme_key *old, const struct np_acme_key *new, const char *account_url,
                            const char *url, char **out_json);

/* The externalAccountBinding object: HS256 over the account's public key with the CA's MAC key, as malloc'd JSON.
 * Returns 0, -ENOMEM or NP_E_KEY. */
int np_acme_eab_sign(const struct np_acme_key *key, const char *eab_kid, const uint8_t *mac_key, size_t mac_key_len,
                     const char *url, char **out_json);

/* The TXT value of a DNS-01 challenge: base64url(SHA-256(token "." thumbprint)) (RFC 8555 section 8.4). */
void np_acme_dns01_value(const struct np_acme_key *key, const char *token, char out_value[44]);

#endif

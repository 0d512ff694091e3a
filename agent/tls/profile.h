/* profile: the one set of TLS parameters that nameplate uses, for BearSSL's client and server.
 *
 * TLS 1.2 only (BearSSL has no 1.3), ECDHE-ECDSA with AES-128-GCM, AES-256-GCM and ChaCha20-Poly1305, P-256, P-384 and
 * X25519 as BearSSL's default curves, SHA-256 and SHA-384. AES stands first only where the processor does it in
 * hardware, since BearSSL's constant-time software AES-GCM is slower than ChaCha20. None of BearSSL's own profiles is
 * used: the "full" ones turn on TLS 1.0, SHA-1 and CBC, the "min" ones hard-code slow curve code. */
#ifndef AGENT_TLS_PROFILE_H
#define AGENT_TLS_PROFILE_H

#include <bearssl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/identity/keys.h"
#include "agent/tls/anchors.h"

#define NP_TLS_CHAIN_MAX 6 /* certificates in a chain that is served */

/* A certificate chain with its private key, as a server presents it. Reference-counted: a stream keeps the one it began
 * with, so that a new certificate never disturbs an open connection. */
struct np_tls_identity;

/* Makes an identity from PEM (leaf first) and the leaf's P-256 key, with one reference. Returns 0, NP_E_MALFORMED,
 * NP_E_LIMIT, NP_E_MISSING, NP_E_KEY (the leaf has another key) or -ENOMEM. */
int np_tls_identity_new(const char *chain_pem, size_t len, const struct np_private_key *key,
                        struct np_tls_identity **out_identity);

/* One more reference; returns identity. */
struct np_tls_identity *np_tls_identity_ref(struct np_tls_identity *identity);

/* One reference less; the last wipes the key and frees. NULL is fine. */
void np_tls_identity_unref(struct np_tls_identity *identity);

/* Sets up a client context: the profile, fresh random bytes from the kernel, and X.509 checking against anchors at
 * now_s (Unix seconds; the caller's clock, not the system's). The server's name comes with br_ssl_client_reset. */
void np_tls_profile_client(br_ssl_client_context *client, br_x509_minimal_context *x509,
                           const struct np_tls_anchors *anchors, int64_t now_s);

/* Sets up a client context for a server of the public web: as np_tls_profile_client, with ECDHE-RSA besides, since DNS
 * servers have RSA certificates too. How its certificate is checked is set after this (agent/tls/server_check.h). */
void np_tls_profile_public(br_ssl_client_context *client);

/* Sets up X.509 checking against anchors at now_s, as np_tls_profile_client does. anchors are borrowed. */
void np_tls_x509_init(br_x509_minimal_context *x509, const struct np_tls_anchors *anchors, int64_t now_s);

/* Another time to judge by, in Unix seconds; before the first certificate. */
void np_tls_x509_set_time(br_x509_minimal_context *x509, int64_t now_s);

/* Sets up a server context with the identity's chain and key, which must outlive it. cache may be NULL. */
void np_tls_profile_server(br_ssl_server_context *server, const struct np_tls_identity *identity,
                           br_ssl_session_cache_lru *cache);

/* Microseconds of this processor's time that a server's part of a full handshake takes: two multiplications on P-256
 * and a signature, done once to see. At least 1. */
int64_t np_tls_handshake_us(void);

/* A text for a BearSSL error (br_ssl_engine_last_error): "unknown issuer", "certificate expired or not yet valid", ...
 * Static. */
const char *np_tls_error_text(int error);

/* The np_err for a BearSSL error: NP_E_CHAIN (unknown issuer, bad signature, ...), NP_E_DATE, NP_E_NAME, or NP_E_TLS
 * for everything that is not about the peer's certificate. 0 for 0. */
int np_tls_error_code(int error);

/* The alert (RFC 5246 section 7.2.2) that tells the peer about an error of its certificate; 0 for any other error.
 * BearSSL closes without one, which leaves the other side's operator guessing. */
int np_tls_error_alert(int error);

#endif

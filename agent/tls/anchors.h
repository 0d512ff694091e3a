/* anchors: the certificates that a chain must lead to, as BearSSL wants them, each in just the memory that it needs. */
#ifndef AGENT_TLS_ANCHORS_H
#define AGENT_TLS_ANCHORS_H

#include <bearssl.h>
#include <stddef.h>

#define NP_TLS_ANCHORS_MAX      8     /* certificates in a vendor's anchors file */
#define NP_TLS_ANCHORS_FILE_MAX 65536 /* bytes of it */
#define NP_TLS_BUNDLE_MAX       512   /* certificates in the system's bundle: Debian's has 144 */
#define NP_TLS_BUNDLE_FILE_MAX  (1024 * 1024)

/* Parsed trust anchors; opaque, immutable, shared by any number of connections. */
struct np_tls_anchors;

/* Parses PEM text with one or more CERTIFICATE objects, of which every one must be good. Returns 0, NP_E_MALFORMED,
 * NP_E_LIMIT, NP_E_MISSING (none inside) or -ENOMEM. The caller frees *out_anchors after the last stream that uses
 * them. */
int np_tls_anchors_parse(const char *pem, size_t len, struct np_tls_anchors **out_anchors);

/* np_tls_anchors_parse for a bundle that others keep (ca-certificates.crt): certificates that BearSSL cannot use (other
 * keys than RSA up to 4096 bits and EC) are passed over and counted in *out_skipped. */
int np_tls_bundle_parse(const char *pem, size_t len, struct np_tls_anchors **out_anchors, size_t *out_skipped);

/* The anchors, for br_x509_minimal_init. Borrowed. */
const br_x509_trust_anchor *np_tls_anchors_list(const struct np_tls_anchors *anchors, size_t *out_count);

/* Frees; NULL is fine. */
void np_tls_anchors_free(struct np_tls_anchors *anchors);

#endif

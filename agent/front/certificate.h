/* certificate: what a CERT frame brings: the certificate with its key, ready to be served. Pure. */
#ifndef AGENT_FRONT_CERTIFICATE_H
#define AGENT_FRONT_CERTIFICATE_H

#include <stddef.h>

#include "agent/certificate/x509.h"
#include "agent/tls/profile.h"

/* A certificate that can be served. */
struct np_front_certificate {
    struct np_tls_identity *identity; /* one reference */
    struct np_x509 leaf;
};

/* Parses the JSON of a CERT frame (front.h). The key must be the leaf's. The names in the JSON are for the reader; what
 * counts is what the leaf says. Returns 0 (the caller frees *out_certificate), NP_E_MALFORMED, NP_E_MISSING, NP_E_KEY,
 * NP_E_LIMIT or -ENOMEM. */
int np_front_certificate_parse(const char *text, size_t len, struct np_front_certificate **out_certificate);

/* Frees; streams keep their own reference to the identity. NULL is fine. */
void np_front_certificate_free(struct np_front_certificate *certificate);

#endif

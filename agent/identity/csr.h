/* csr: a PKCS#10 certificate request (RFC 2986) for a P-256 key: empty subject, the names as dNSName SANs in an
 * extensionRequest (RFC 2985 section 5.4.2), ecdsa-with-SHA256. The SAN extension is critical, as RFC 5280 section
 * 4.2.1.6 wants it beside an empty subject. Pure. */
#ifndef AGENT_IDENTITY_CSR_H
#define AGENT_IDENTITY_CSR_H

#include <stddef.h>
#include <stdint.h>

#include "agent/identity/keys.h"

#define NP_CSR_NAMES_MAX 4 /* NP_SAN_MAX of hq/proto/message.h */

/* Writes the request for the names (lower case, no final dot, may begin with "*.") as DER to out (size bytes,
 * NP_CSR_MAX of hq/proto/message.h is enough for one name of any length). The signature is deterministic: the same key
 * and names give the same bytes, so that a repeated request is recognised. Returns 0, NP_E_NAME for a text that is no
 * host name, NP_E_LIMIT, or NP_E_KEY. */
int np_csr_build(const struct np_private_key *key, const char *const *names, size_t count, uint8_t *out, size_t size,
                 size_t *out_len);

#endif

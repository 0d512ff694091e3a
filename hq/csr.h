/* csr: is a device's PKCS#10 request (RFC 2986) one that HQ may send to the CA? Only what was checked here goes there,
 * so that a device cannot spend the account's limits on a request that the CA refuses, nor get any name but its own. */
#ifndef HQ_CSR_H
#define HQ_CSR_H

#include <stddef.h>
#include <stdint.h>

#include "hq/proto/message.h"
#include "hq/refusal.h"

/* What a good request is checked against. */
struct np_csr_expect {
    char names[NP_SAN_MAX][NP_NAME_MAX + 1]; /* lower case */
    size_t name_count;
    struct np_public_key identity; /* may not be the TLS key */
};

/* Checks der: at most NP_CSR_MAX bytes and nothing behind the request; self-signed with ECDSA and SHA-256; an
 * uncompressed point on P-256 with the curve by name; the subject empty or just a CN that is one of the names; the
 * subjectAltName exactly the names, in any order and case, each once; no extension but subjectAltName, keyUsage and
 * extendedKeyUsage; a key that is not the identity's. Returns 0 with the public key, or NP_E_REFUSED (bad-csr,
 * key-reused for the identity key). */
int np_csr_check(const uint8_t *der, size_t len, const struct np_csr_expect *expect, struct np_public_key *out_key,
                 struct np_refusal *out_refusal);

#endif

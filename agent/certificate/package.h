/* package: a certificate chain from HQ, checked before it is installed.
 *
 * The device has no public trust anchors and needs none: that HQ sent the chain is known from HQ's own certificate.
 * What is checked is what would make the box useless: each link's signature by the next certificate in exact order (by
 * BearSSL's br_x509_minimal, one link a time, so that no certificate is skipped), CA flags, the leaf's key (ours), its
 * names (exactly ours), all dates. Weak links (RSA under 2048 bits, SHA-1) are refused. Pure: the time is brought. */
#ifndef AGENT_CERTIFICATE_PACKAGE_H
#define AGENT_CERTIFICATE_PACKAGE_H

#include <stddef.h>
#include <stdint.h>

#include "agent/certificate/x509.h"
#include "hq/proto/message.h"

#define NP_PACKAGE_CERTIFICATES_MAX 6    /* leaf, intermediates, perhaps a cross-signed root */
#define NP_PACKAGE_DER_MAX          4096 /* bytes of one certificate: an RSA-4096 one with many extensions has 2.2 kB */
#define NP_PACKAGE_WHY_MAX          160

/* What the certificate must be good for. */
struct np_package_wanted {
    const struct np_public_key *key;
    const char (*names)[NP_NAME_MAX + 1]; /* lower case, "*." allowed; any order */
    size_t name_count;
    int64_t now_s; /* the time to judge by (agent/identity/clock) */
};

/* A chain that passed. */
struct np_package {
    struct np_x509 leaf;
    size_t certificate_count;
    char chain[NP_CHAIN_MAX + 1]; /* normalised PEM: the same certificates, 64 characters a line, LF */
};

/* Checks pem (len bytes). Returns 0; NP_E_MALFORMED, NP_E_TRUNCATED or NP_E_LIMIT (not a chain), NP_E_KEY (another
 * key), NP_E_NAME, NP_E_DATE, NP_E_CHAIN (order, a signature, a CA flag); why then says for a person what is wrong. The
 * checks are made in that order. */
int np_package_check(const char *pem, size_t len, const struct np_package_wanted *wanted,
                     struct np_package *out_package, char why[NP_PACKAGE_WHY_MAX]);

#endif

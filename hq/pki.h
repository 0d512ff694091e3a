/* pki: the small private CA that signs HQ's own TLS certificate. Devices hold the CA's certificate as their anchor, so
 * the leaf may be renewed as often as one likes. All keys are P-256. */
#ifndef HQ_PKI_H
#define HQ_PKI_H

#include <stddef.h>
#include <stdint.h>

#include "hq/crypto.h"

#define NP_PKI_CA_DAYS   (20 * 365) /* longer than a device lives in a cupboard */
#define NP_PKI_LEAF_DAYS 397        /* what browsers would still take, should an operator look at it */
#define NP_PKI_PEM_MAX   16384

/* Makes a self-signed CA certificate with the name for key, valid from a day before now_s. *out_pem is malloc'd.
 * Returns 0 or -ENOMEM. */
int np_pki_make_ca(struct np_hq_key *key, const char *name, int64_t now_s, char **out_pem);

/* Makes a server certificate for host, signed by the CA, for leaf_key. *out_pem is malloc'd. Returns 0, NP_E_CHAIN
 * (ca_pem is no certificate, or not of ca_key) or -ENOMEM. */
int np_pki_make_leaf(struct np_hq_key *ca_key, const char *ca_pem, struct np_hq_key *leaf_key, const char *host,
                     int64_t now_s, char **out_pem);

/* The validity of the first certificate in pem. Returns 0 or NP_E_CHAIN. */
int np_pki_validity(const char *pem, size_t len, int64_t *out_not_before_s, int64_t *out_not_after_s);

/* Is it time for a new leaf: less than a third of its life left? */
static inline int np_pki_is_due(int64_t not_before_s, int64_t not_after_s, int64_t now_s)
{
    return now_s >= not_after_s - (not_after_s - not_before_s) / 3;
}

#endif

/* chain: is what the CA delivered what was ordered? */
#ifndef HQ_ACME_CHAIN_H
#define HQ_ACME_CHAIN_H

#include <stddef.h>
#include <stdint.h>

#include "hq/proto/message.h"

#define NP_CHAIN_CERTIFICATES_MAX 8
#define NP_CHAIN_LEAF_MAX         4096 /* bytes of a leaf's DER: P-256 with a name or two has about 900 */

/* What is kept of a leaf. */
struct np_chain_info {
    int64_t not_before_s, not_after_s;
    size_t certificates;
};

/* Checks a PEM chain (len bytes, leaf first) against the PKCS#10 that was sent: the leaf has the CSR's key and exactly
 * the names (lower case, any order), its dates make sense and are not over at now_s, every certificate is signed by the
 * next one's key. Whether the last one leads to a root that browsers know is not judged here. Returns 0,
 * NP_E_MALFORMED, NP_E_LIMIT (over NP_CHAIN_MAX bytes or too many certificates), NP_E_KEY, NP_E_NAME, NP_E_DATE or
 * NP_E_CHAIN. */
int np_chain_check(const char *pem, size_t len, const uint8_t *csr, size_t csr_len, const char *const *names,
                   size_t name_count, int64_t now_s, struct np_chain_info *out_info);

/* The DER of a chain's first certificate, at most size bytes. Returns 0, NP_E_MALFORMED or NP_E_LIMIT. */
int np_chain_leaf(const char *pem, size_t len, uint8_t *out_der, size_t size, size_t *out_len);

#endif

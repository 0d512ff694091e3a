/* chain: is what the CA delivered what was ordered? */
#ifndef HQ_ACME_CHAIN_H
#define HQ_ACME_CHAIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "hq/proto/message.h"
#include "resolver/base/text.h"

#define NP_CHAIN_CERTIFICATES_MAX 8
#define NP_CHAIN_LEAF_MAX         4096 /* bytes of a leaf's DER: P-256 with a name or two has about 900 */
#define NP_CHAIN_KEY_ID_MAX       64   /* bytes of an authority key identifier: a hash */
#define NP_CHAIN_SERIAL_MAX       21   /* bytes of a serial number: 20, and a zero before a high bit */

/* Characters of a certificate's identifier, with NUL. */
#define NP_CHAIN_ARI_ID_SIZE (NP_BASE64URL_LEN(NP_CHAIN_KEY_ID_MAX) + NP_BASE64URL_LEN(NP_CHAIN_SERIAL_MAX))

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

/* Does a chain lead to the root of that common name, which issued its last certificate? Letters' case does not count.
 */
bool np_chain_leads_to(const char *pem, size_t len, const char *root);

/* How a CA that suggests renewal windows knows a chain's first certificate (RFC 9773 section 4.1): its authority key
 * identifier and its serial number, base64url, with a dot between them. Returns 0, NP_E_MALFORMED (no certificate, or
 * one without that identifier) or NP_E_LIMIT. */
int np_chain_ari_id(const char *pem, size_t len, char out_id[NP_CHAIN_ARI_ID_SIZE]);

#endif

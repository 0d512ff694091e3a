/* x509: what the device reads from a certificate: dates, DNS names, issuer, key, CA flag. A DER walk of our own, since
 * BearSSL offers neither the dates nor all names. It verifies no signature: that is agent/certificate/package. Pure. */
#ifndef AGENT_CERTIFICATE_X509_H
#define AGENT_CERTIFICATE_X509_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "hq/proto/jws.h"
#include "hq/proto/message.h"

#define NP_X509_NAMES_MAX 8  /* dNSName entries kept: twice what a device's certificate may carry */
#define NP_X509_TEXT_MAX  96 /* characters of the issuer for a person */

/* What a certificate says. */
struct np_x509 {
    int64_t not_before_s, not_after_s; /* Unix time; valid from the first to the last second, both included */
    char names[NP_X509_NAMES_MAX][NP_NAME_MAX + 1]; /* dNSName SANs, lower case */
    size_t name_count;
    bool other_names;                  /* it has SANs that are no dNSName, or more than NP_X509_NAMES_MAX */
    char issuer[NP_X509_TEXT_MAX + 1]; /* the issuer's CN, else its O, made printable; may be empty */
    bool has_p256;                     /* the subject's key is P-256 */
    struct np_public_key key;
};

/* Parses the DER of one certificate (RFC 5280). Returns 0, NP_E_MALFORMED or NP_E_TRUNCATED. */
int np_x509_parse(const void *der, size_t len, struct np_x509 *out_x509);

#endif

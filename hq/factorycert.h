/* factorycert: factory certificates: is a device's chain from the vendor's factory, what serial number does it name,
 * and does the device have its key (docs/protocol.md, credential factory-certificate)?
 *
 * What is required beyond RFC 5280's path validation: a leaf on P-256 that is no CA, may sign (keyUsage, where it is
 * there, has digitalSignature) and identify a client (extendedKeyUsage, where it is there, has clientAuth or any), with
 * exactly one serialNumber in its subject; no weak key or hash in the chain (OpenSSL's security level 2). Revocation
 * lists are not asked: the operator blocks a device instead.
 *
 * Lifecycle: np_factorycert_new, any number of checks, np_factorycert_free. A check changes nothing. */
#ifndef HQ_FACTORYCERT_H
#define HQ_FACTORYCERT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "hq/proto/message.h"
#include "hq/refusal.h"

#define NP_FACTORYCERT_ANCHORS_MAX 32           /* factories, their lines, and the CAs before those of today */
#define NP_FACTORYCERT_FILE_MAX    (256 * 1024) /* bytes of PEM */

struct np_factorycert;

/* Makes the check from the CAs in pem (len bytes): each is an anchor, a root or not. dates false: notBefore and
 * notAfter of the whole chain are not looked at, for factories whose certificates end before their boxes are sold.
 * Returns 0, NP_E_MALFORMED (something in there is no certificate, or no CA's), NP_E_NOT_FOUND (nothing in there),
 * NP_E_LIMIT or -ENOMEM. */
int np_factorycert_new(const char *pem, size_t len, bool dates, struct np_factorycert **out_check);

/* Frees; NULL is fine. */
void np_factorycert_free(struct np_factorycert *check);

/* Checks credential's chain at now_s, and its signature over input (len bytes, np_factory_mac_input), and sets its
 * serial. Returns 0, or NP_E_REFUSED with bad-credential. */
int np_factorycert_check(const struct np_factorycert *check, struct np_credential *credential, const uint8_t *input,
                         size_t len, int64_t now_s, struct np_refusal *out_refusal);

#endif

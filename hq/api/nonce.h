/* nonce: Replay-Nonce values (RFC 8555 section 6.5) that HQ need not remember: they carry their issue time and a MAC.
 * A device row takes only nonces issued after the last one it took, so none works twice for the same device. */
#ifndef HQ_API_NONCE_H
#define HQ_API_NONCE_H

#include <stdbool.h>
#include <stdint.h>

#include "hq/proto/jws.h"

#define NP_NONCE_LIFE_US                                                                                               \
    INT64_C(3600000000)                    /* an hour: a device that slept through a request gets a new one for free */
#define NP_NONCE_SKEW_US INT64_C(60000000) /* so far apart the clocks of several HQs may be; more is a set clock */

/* Writes the nonce issued at now_us (Unix time, microseconds): base64url of time (8 bytes), random (8), and the first
 * 16 bytes of HMAC-SHA256(key, the 16 before). */
void np_nonce_make(const uint8_t key[32], int64_t now_us, const uint8_t random[8], char out_nonce[NP_NONCE_MAX + 1]);

/* Returns 0 with the issue time, NP_E_SIGNATURE (not ours), or NP_E_STALE (older than NP_NONCE_LIFE_US, or more
 * than NP_NONCE_SKEW_US from the future: the clock was set back). */
int np_nonce_check(const uint8_t key[32], int64_t now_us, const char *nonce, int64_t *out_issued_us);

/* May issued_us follow after last_us, that of the device's last nonce? A last one from the future by more than
 * NP_NONCE_SKEW_US means that HQ's clock was set back: until it has caught up, it says nothing. */
bool np_nonce_follows(int64_t issued_us, int64_t last_us, int64_t now_us);

/* When the next nonce is to be issued at now_us: after the last one, and after all that were seen (which another HQ may
 * have issued by a clock that is ahead), so that a device can always go on with what it is given. */
int64_t np_nonce_next(int64_t last_us, int64_t now_us);

/* A nonce's or a device's time has been seen: what np_nonce_next is to be called with from now on. */
int64_t np_nonce_seen(int64_t last_us, int64_t seen_us, int64_t now_us);

#endif

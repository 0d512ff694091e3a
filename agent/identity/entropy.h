/* entropy: the device's random generator: one HMAC-DRBG (SHA-256, BearSSL), seeded with 48 bytes of getrandom(2).
 *
 * Lifecycle: np_entropy_init once the kernel's pool is ready (-EAGAIN until then: a state that the agent shows, not an
 * error); np_entropy_mix whatever the device has besides (factory secret, HQ's seed); np_entropy_bytes for keys and
 * tokens; np_entropy_wipe. Mixing adds to the state and never replaces it (HKDF's extract over fresh kernel bytes and
 * the input, RFC 5869), so a known or hostile input does no harm. Not shared between threads. */
#ifndef AGENT_IDENTITY_ENTROPY_H
#define AGENT_IDENTITY_ENTROPY_H

#include <bearssl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The generator. drbg.vtable may be handed to BearSSL as its br_prng_class; np_entropy_prng does. */
struct np_entropy {
    br_hmac_drbg_context drbg;
    bool ready;
};

/* Seeds from the kernel. 0, or -EAGAIN while getrandom(2) would block (nothing is set up then). */
int np_entropy_init(struct np_entropy *entropy);

/* The same with a seed from the caller instead of the kernel's: for tests, which want the same bytes again. */
void np_entropy_init_seed(struct np_entropy *entropy, const void *seed, size_t len);

/* Mixes len bytes in under a label that tells the sources apart ("factory-secret", "hq-seed"). */
void np_entropy_mix(struct np_entropy *entropy, const char *label, const void *data, size_t len);

/* Writes len random bytes. The generator must be ready: anything else ends the process, since a key would follow. */
void np_entropy_bytes(struct np_entropy *entropy, void *out, size_t len);

/* The generator as BearSSL's functions want it. */
const br_prng_class **np_entropy_prng(struct np_entropy *entropy);

/* Forgets everything. */
void np_entropy_wipe(struct np_entropy *entropy);

#endif

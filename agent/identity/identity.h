/* identity: the keys and tokens that a device makes for itself, and what its random numbers are made of.
 *
 * The generator is seeded by the kernel (agent/identity/entropy); np_identity_seed then mixes in what only this box
 * has: the vendor's factory secret, and the keys that it made before. Two boxes of one image, whose kernels give the
 * same bytes at the first boot, make different keys by it; HQ's own seed is mixed in at enrolment, before the first TLS
 * key. Pure. */
#ifndef AGENT_IDENTITY_IDENTITY_H
#define AGENT_IDENTITY_IDENTITY_H

#include "agent/identity/entropy.h"
#include "agent/identity/state.h"

#define NP_IDENTITY_SECRET_LEN 32 /* bytes of a factory secret */

/* Mixes in what only this box has, after each seeding: secret (NULL: the vendor gave none) and the state's keys. */
void np_identity_seed(struct np_entropy *entropy, const uint8_t *secret, const struct np_state *state);

/* Makes identity key, epoch and poll token into the state. */
void np_identity_make(struct np_entropy *entropy, struct np_state *state);

/* Makes the TLS key of the next CSR into the state. */
void np_identity_make_next(struct np_entropy *entropy, struct np_state *state);

#endif

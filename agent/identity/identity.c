#include "agent/identity/identity.h"

#include <stdlib.h>

void np_identity_seed(struct np_entropy *entropy, const uint8_t *secret, const struct np_state *state)
{
    if (secret)
        np_entropy_mix(entropy, "factory-secret", secret, NP_IDENTITY_SECRET_LEN);
    if (state->has_identity) {
        np_entropy_mix(entropy, "identity-key", state->identity.scalar, sizeof state->identity.scalar);
        np_entropy_mix(entropy, "epoch", state->epoch, sizeof state->epoch);
    }
    if (state->has_chain)
        np_entropy_mix(entropy, "tls-key", state->tls.scalar, sizeof state->tls.scalar);
}

void np_identity_make(struct np_entropy *entropy, struct np_state *state)
{
    if (np_key_generate(entropy, &state->identity))
        abort(); /* only a broken generator */
    np_entropy_bytes(entropy, state->epoch, sizeof state->epoch);
    np_entropy_bytes(entropy, state->token, sizeof state->token);
    state->has_identity = true;
}

void np_identity_make_next(struct np_entropy *entropy, struct np_state *state)
{
    if (np_key_generate(entropy, &state->next))
        abort(); /* only a broken generator */
    state->has_next = true;
}

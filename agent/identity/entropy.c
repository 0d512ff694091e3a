#include "agent/identity/entropy.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "resolver/base/log.h"
#include "resolver/base/random.h"
#include "resolver/base/text.h"

#define SEED_LEN 48 /* 32 of strength and 16 for SP 800-90A's nonce */

int np_entropy_init(struct np_entropy *entropy)
{
    uint8_t seed[SEED_LEN];
    if (!np_random_ready())
        return -EAGAIN;
    np_random_bytes(seed, sizeof seed);
    np_entropy_init_seed(entropy, seed, sizeof seed);
    np_wipe(seed, sizeof seed);
    return 0;
}

void np_entropy_init_seed(struct np_entropy *entropy, const void *seed, size_t len)
{
    br_hmac_drbg_init(&entropy->drbg, &br_sha256_vtable, seed, len);
    entropy->ready = true;
}

void np_entropy_mix(struct np_entropy *entropy, const char *label, const void *data, size_t len)
{
    uint8_t salt[32], mixed[32];
    br_hkdf_context hkdf;
    /* The salt comes from the generator itself: what is mixed in is unknown to whoever knows only the input. The update
     * below takes the old state in (SP 800-90A HMAC_DRBG_Update), so nothing is ever replaced. */
    np_entropy_bytes(entropy, salt, sizeof salt);
    br_hkdf_init(&hkdf, &br_sha256_vtable, salt, sizeof salt);
    br_hkdf_inject(&hkdf, data, len);
    br_hkdf_flip(&hkdf);
    br_hkdf_produce(&hkdf, label, strlen(label), mixed, sizeof mixed);
    br_hmac_drbg_update(&entropy->drbg, mixed, sizeof mixed);
    np_wipe(&hkdf, sizeof hkdf);
    np_wipe(salt, sizeof salt);
    np_wipe(mixed, sizeof mixed);
}

void np_entropy_bytes(struct np_entropy *entropy, void *out, size_t len)
{
    if (!entropy->ready) {
        np_error("internal error: random bytes were asked for before the generator was seeded");
        abort();
    }
    br_hmac_drbg_generate(&entropy->drbg, out, len);
}

const br_prng_class **np_entropy_prng(struct np_entropy *entropy)
{
    return (const br_prng_class **)&entropy->drbg.vtable;
}

void np_entropy_wipe(struct np_entropy *entropy)
{
    np_wipe(entropy, sizeof *entropy);
}

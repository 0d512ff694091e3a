/* The kernel's random in a simulation: takes the place of resolver/base/random.c when it is linked in. The same numbers
 * in every run. */
#include "resolver/base/random.h"

static uint64_t state = 1;

static uint32_t draw(void)
{
    state = state * 6364136223846793005u + 1442695040888963407u; /* Knuth's MMIX */
    return (uint32_t)(state >> 32);
}

void np_random_bytes(void *out, size_t len)
{
    uint8_t *bytes = out;
    for (size_t i = 0; i < len; i++)
        bytes[i] = (uint8_t)(draw() >> 11);
}

bool np_random_ready(void)
{
    return true;
}

uint32_t np_random_below(uint32_t bound)
{
    return bound < 2 ? 0 : draw() % bound;
}

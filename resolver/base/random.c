#include "resolver/base/random.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>

#include "resolver/base/error.h"
#include "resolver/base/log.h"

void np_random_bytes(void *out, size_t len)
{
    unsigned char *p = out;
    while (len > 0) {
        ssize_t n = getrandom(p, len, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            np_error("getrandom: %s", np_strerror(-errno));
            abort();
        }
        p += n;
        len -= (size_t)n;
    }
}

bool np_random_ready(void)
{
    unsigned char byte;
    return getrandom(&byte, 1, GRND_NONBLOCK) == 1;
}

uint32_t np_random_below(uint32_t bound)
{
    if (bound < 2)
        return 0;
    /* Rejection sampling: values below 2^32 mod bound would make small results more likely. */
    uint32_t floor = (uint32_t)-bound % bound, value;
    do {
        np_random_bytes(&value, sizeof value);
    } while (value < floor);
    return value % bound;
}

/* LD_PRELOAD for a kernel whose random pool is not ready: while the file $NP_RANDOM_LATE exists, getrandom(2) with
 * GRND_NONBLOCK says EAGAIN, as it does in the first seconds of a small router. Calls that would block are let through.
 */
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/types.h>
#include <unistd.h>

ssize_t getrandom(void *buffer, size_t length, unsigned flags)
{
    static ssize_t (*real)(void *, size_t, unsigned);
    const char *late = getenv("NP_RANDOM_LATE");
    if ((flags & GRND_NONBLOCK) && late && access(late, F_OK) == 0) {
        errno = EAGAIN;
        return -1;
    }
    if (!real)
        *(void **)&real = dlsym(RTLD_NEXT, "getrandom");
    return real(buffer, length, flags);
}

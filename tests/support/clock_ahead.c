/* LD_PRELOAD (or /etc/ld.so.preload, for children that get no environment) for a box whose clock is wrong: the system's
 * clock is $NP_CLOCK_AHEAD seconds ahead, or as many as /etc/nameplate-clock-ahead says. It is read at the start,
 * before a sandbox forbids that. Clocks that nobody sets stay right. */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static long ahead_s;

__attribute__((constructor)) static void read_ahead(void)
{
    const char *text = getenv("NP_CLOCK_AHEAD");
    char line[32];
    FILE *file = text ? NULL : fopen("/etc/nameplate-clock-ahead", "r");
    if (file) {
        text = fgets(line, sizeof line, file);
        (void)fclose(file);
    }
    ahead_s = text ? strtol(text, NULL, 10) : 0;
}

int clock_gettime(clockid_t id, struct timespec *out)
{
    static int (*real)(clockid_t, struct timespec *);
    if (!real)
        *(void **)&real = dlsym(RTLD_NEXT, "clock_gettime");
    int rc = real(id, out);
    if (rc == 0 && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE))
        out->tv_sec += ahead_s;
    return rc;
}

time_t time(time_t *out)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (out)
        *out = now.tv_sec;
    return now.tv_sec;
}

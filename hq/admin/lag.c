#include "hq/admin/lag.h"

/* When had the newest version reached this one? The samples' versions rise with their times. */
static int64_t time_of(const struct np_lag *lag, int64_t version, int64_t now_ms)
{
    size_t first = lag->count < NP_LAG_SAMPLES ? 0 : lag->next, low = 0, high = lag->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (lag->samples[(first + middle) % NP_LAG_SAMPLES].newest >= version)
            high = middle;
        else
            low = middle + 1;
    }
    return low == lag->count ? now_ms : lag->samples[(first + low) % NP_LAG_SAMPLES].at_ms;
}

void np_lag_note(struct np_lag *lag, int64_t now_ms, int64_t oldest, int64_t newest)
{
    lag->samples[lag->next].at_ms = now_ms;
    lag->samples[lag->next].newest = newest;
    lag->next = (lag->next + 1) % NP_LAG_SAMPLES;
    if (lag->count < NP_LAG_SAMPLES)
        lag->count++;
    lag->lag_ms = oldest ? now_ms - time_of(lag, oldest, now_ms) : 0;
}

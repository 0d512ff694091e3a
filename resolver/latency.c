#include "resolver/latency.h"

#define FIRST_US 16 /* bound of the first bucket; a power of two, at least 4 */

int64_t np_latency_bound(size_t i)
{
    if (i >= NP_LATENCY_BUCKETS - 1)
        return INT64_MAX;
    int64_t octave = (int64_t)FIRST_US << i / 4;
    return octave + octave / 4 * (int64_t)(i % 4);
}

/* The first bucket whose bound is at or over us. */
static size_t bucket_of(int64_t us)
{
    size_t octave = 0;
    if (us <= FIRST_US)
        return 0;
    for (int64_t top = FIRST_US * 2; us > top && octave < NP_LATENCY_BUCKETS / 4; top *= 2)
        octave++;
    size_t i = octave * 4;
    while (i < NP_LATENCY_BUCKETS - 1 && us > np_latency_bound(i))
        i++;
    return i < NP_LATENCY_BUCKETS ? i : NP_LATENCY_BUCKETS - 1;
}

void np_latency_add(struct np_latency *latency, int64_t us)
{
    if (us < 0)
        us = 0;
    latency->count++;
    latency->sum_us += (uint64_t)us;
    latency->buckets[bucket_of(us)]++;
}

int64_t np_latency_percentile(const struct np_latency *latency, unsigned permille)
{
    uint64_t wanted = (latency->count * permille + 999) / 1000, seen = 0;
    if (latency->count == 0)
        return 0;
    for (size_t i = 0; i < NP_LATENCY_BUCKETS - 1; i++) {
        seen += latency->buckets[i];
        if (seen >= wanted)
            return np_latency_bound(i);
    }
    return np_latency_bound(NP_LATENCY_BUCKETS - 2);
}

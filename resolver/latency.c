#include "resolver/latency.h"

int64_t np_latency_bound(size_t i)
{
    if (i >= NP_LATENCY_BUCKETS - 1)
        return INT64_MAX;
    int64_t octave = (int64_t)NP_LATENCY_FIRST_NS << i / 4;
    return octave + octave / 4 * (int64_t)(i % 4);
}

/* The first bucket whose bound is at or over ns: an octave's first bound is its power of two, so what lies over that
 * and under the next one is in one of the four that follow. */
static size_t bucket_of(uint64_t ns)
{
    if (ns <= NP_LATENCY_FIRST_NS)
        return 0;
    unsigned octave = 63u - (unsigned)__builtin_clzll((ns - 1) / NP_LATENCY_FIRST_NS);
    if (octave >= NP_LATENCY_OCTAVES)
        return NP_LATENCY_BUCKETS - 1;
    uint64_t quarter = ((uint64_t)NP_LATENCY_FIRST_NS << octave) / 4;
    size_t i = octave * 4 + (size_t)((ns - 1 - quarter * 4) / quarter) + 1;
    return i < NP_LATENCY_BUCKETS ? i : NP_LATENCY_BUCKETS - 1;
}

void np_latency_add(struct np_latency *latency, int64_t ns)
{
    uint64_t value = ns > 0 ? (uint64_t)ns : 0;
    latency->count++;
    latency->sum_ns += value;
    latency->buckets[bucket_of(value)]++;
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

/* latency: how long answers took, as a histogram of fixed size: four buckets an octave, so that a percentile is right
 * to within a fifth whatever the scale. A plain value; zero is empty. */
#ifndef RESOLVER_LATENCY_H
#define RESOLVER_LATENCY_H

#include <stddef.h>
#include <stdint.h>

#define NP_LATENCY_FIRST_NS 256 /* what is shorter than the first bucket's bound is not told apart; a power of two */
#define NP_LATENCY_OCTAVES  26  /* up to 14 s, and all that is longer */
#define NP_LATENCY_BUCKETS  (NP_LATENCY_OCTAVES * 4)

struct np_latency {
    uint64_t count, sum_ns;
    uint64_t buckets[NP_LATENCY_BUCKETS];
};

/* Counts an answer that took so many nanoseconds (negative: 0). */
void np_latency_add(struct np_latency *latency, int64_t ns);

/* The longest time that bucket i counts, in nanoseconds; INT64_MAX for the last one. Rises with i. */
int64_t np_latency_bound(size_t i);

/* The time within which so many of a thousand answers came (500: the median, 990: p99), in nanoseconds: the bound of
 * the bucket that it lies in (the last one's lower bound there). 0 when nothing was counted. */
int64_t np_latency_percentile(const struct np_latency *latency, unsigned permille);

#endif

/* latency: how long answers took, as a histogram of fixed size: four buckets an octave, so that a percentile is right
 * to within a fifth whatever the scale. A plain value; zero is empty. */
#ifndef RESOLVER_LATENCY_H
#define RESOLVER_LATENCY_H

#include <stddef.h>
#include <stdint.h>

#define NP_LATENCY_BUCKETS                                                                                             \
    80 /* 20 octaves: up to 16 us (all that is shorter), ... up to 14 s, and all that is longer */

struct np_latency {
    uint64_t count, sum_us;
    uint64_t buckets[NP_LATENCY_BUCKETS];
};

/* Counts an answer that took so many microseconds (negative: 0). */
void np_latency_add(struct np_latency *latency, int64_t us);

/* The longest time that bucket i counts, in microseconds; INT64_MAX for the last one. Rises with i. */
int64_t np_latency_bound(size_t i);

/* The time within which so many of a thousand answers came (500: the median, 990: p99), in microseconds: the bound of
 * the bucket that it lies in (the last one's lower bound there). 0 when nothing was counted. */
int64_t np_latency_percentile(const struct np_latency *latency, unsigned permille);

#endif

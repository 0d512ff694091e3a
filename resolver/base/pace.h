/* pace: how often something may be done that strangers can cause, such as a log line: a token bucket. Pure: the time
 * comes in. */
#ifndef RESOLVER_BASE_PACE_H
#define RESOLVER_BASE_PACE_H

#include <stdbool.h>
#include <stdint.h>

/* One bucket. */
struct np_pace {
    unsigned burst;   /* so often at once */
    int64_t every_ms; /* then once in so long */
    unsigned left;
    int64_t since_ms; /* of the last token that was put in */
    uint64_t missed;  /* refused since the last grant */
};

/* A full bucket. burst and every_ms are at least 1. */
void np_pace_init(struct np_pace *pace, unsigned burst, int64_t every_ms, int64_t now_ms);

/* May it be done now? If so, *out_missed is how often it was refused since it was granted last. */
bool np_pace_take(struct np_pace *pace, int64_t now_ms, uint64_t *out_missed);

#endif

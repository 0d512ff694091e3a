/* monotonic: the clock that nobody sets, for deadlines of programs that wait by themselves. What runs on a loop takes
 * the loop's time, and pure code takes its time from its caller. */
#ifndef RESOLVER_BASE_MONOTONIC_H
#define RESOLVER_BASE_MONOTONIC_H

#include <stdint.h>

/* Milliseconds of CLOCK_MONOTONIC: they stand still while the machine is suspended. */
int64_t np_monotonic_ms(void);

#endif

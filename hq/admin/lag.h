/* lag: how far publishing is behind: the age of the oldest change that the name servers have not confirmed. Pure.
 *
 * A change carries a version, not a time; versions only grow. Once a second the newest version is written down beside
 * the time, so that later the time of any version is known to within that second. */
#ifndef HQ_ADMIN_LAG_H
#define HQ_ADMIN_LAG_H

#include <stddef.h>
#include <stdint.h>

#define NP_LAG_SAMPLES 3600 /* an hour of seconds; what is older is "an hour or more" */

/* Zero: nothing was written down. Times are any clock that only goes forward, in ms. */
struct np_lag {
    struct {
        int64_t at_ms, newest;
    } samples[NP_LAG_SAMPLES];
    size_t next, count;
    int64_t lag_ms;
};

/* Writes down the newest version at this time and finds the age of the oldest one that is not confirmed (0: there is
 * none). To be called once a second. */
void np_lag_note(struct np_lag *lag, int64_t now_ms, int64_t oldest, int64_t newest);

#endif

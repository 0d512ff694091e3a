#include "resolver/base/pace.h"

void np_pace_init(struct np_pace *pace, unsigned burst, int64_t every_ms, int64_t now_ms)
{
    *pace = (struct np_pace){.burst = burst, .every_ms = every_ms, .left = burst, .since_ms = now_ms};
}

/* Whole tokens alone: what is left of the time counts for the next one. */
static void refill(struct np_pace *pace, int64_t now_ms)
{
    int64_t due = (now_ms - pace->since_ms) / pace->every_ms;
    if (due <= 0)
        return;
    if (due >= (int64_t)(pace->burst - pace->left)) {
        pace->left = pace->burst;
        pace->since_ms = now_ms;
        return;
    }
    pace->left += (unsigned)due;
    pace->since_ms += due * pace->every_ms;
}

bool np_pace_take(struct np_pace *pace, int64_t now_ms, uint64_t *out_missed)
{
    refill(pace, now_ms);
    if (pace->left == 0) {
        pace->missed++;
        return false;
    }
    pace->left--;
    *out_missed = pace->missed;
    pace->missed = 0;
    return true;
}

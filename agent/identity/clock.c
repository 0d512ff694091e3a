#include "agent/identity/clock.h"

/* NP_BUILD_TIME comes from CMake (SOURCE_DATE_EPOCH where set): a number, so that no date text needs parsing. */
int64_t np_clock_build_s(void)
{
    return NP_BUILD_TIME;
}

void np_clock_init(struct np_clock *clock, int64_t stored_s)
{
    clock->floor_s = np_clock_build_s();
    np_clock_raise(clock, stored_s);
}

bool np_clock_raise(struct np_clock *clock, int64_t authenticated_s)
{
    if (authenticated_s <= clock->floor_s || authenticated_s > np_clock_build_s() + 10 * NP_CLOCK_YEAR_S)
        return false;
    clock->floor_s = authenticated_s;
    return true;
}

bool np_clock_believed(const struct np_clock *clock, int64_t system_s)
{
    return system_s >= clock->floor_s;
}

int64_t np_clock_judge(const struct np_clock *clock, int64_t system_s)
{
    return np_clock_believed(clock, system_s) ? system_s : clock->floor_s;
}

#include "agent/identity/clock.h"

/* NP_BUILD_TIME comes from CMake (SOURCE_DATE_EPOCH where set): a number, so that no date text needs parsing. */
int64_t np_clock_build_s(void)
{
    return NP_BUILD_TIME;
}

void np_clock_init(struct np_clock *clock, int64_t stored_s, int64_t steady_s)
{
    *clock = (struct np_clock){.floor_s = np_clock_build_s(), .steady_s = steady_s};
    np_clock_raise(clock, stored_s, steady_s);
}

bool np_clock_raise(struct np_clock *clock, int64_t authenticated_s, int64_t steady_s)
{
    if (authenticated_s <= clock->floor_s || authenticated_s > np_clock_build_s() + 10 * NP_CLOCK_YEAR_S)
        return false;
    clock->floor_s = authenticated_s;
    clock->steady_s = steady_s;
    return true;
}

bool np_clock_hear(struct np_clock *clock, int64_t authenticated_s, int64_t system_s, int64_t steady_s)
{
    bool believed = np_clock_believed(clock, system_s, steady_s);
    int64_t now_s = np_clock_judge(clock, system_s, steady_s);
    if (!believed && clock->wants_signed && !clock->has_signed)
        return false;
    if ((believed || clock->has_signed) && authenticated_s > now_s + NP_CLOCK_LEAD_S)
        return false;
    return np_clock_raise(clock, authenticated_s, steady_s);
}

bool np_clock_sign(struct np_clock *clock, int64_t signed_s, int64_t steady_s)
{
    if (signed_s < np_clock_build_s() || signed_s > np_clock_build_s() + 10 * NP_CLOCK_YEAR_S)
        return false;
    clock->floor_s = signed_s;
    clock->steady_s = steady_s;
    clock->has_signed = true;
    return true;
}

bool np_clock_differs(int64_t a_s, int64_t b_s)
{
    return a_s < b_s - NP_CLOCK_LEAD_S || a_s > b_s + NP_CLOCK_LEAD_S;
}

int64_t np_clock_floor(const struct np_clock *clock, int64_t steady_s)
{
    return clock->floor_s + (steady_s > clock->steady_s ? steady_s - clock->steady_s : 0);
}

bool np_clock_believed(const struct np_clock *clock, int64_t system_s, int64_t steady_s)
{
    int64_t floor_s = np_clock_floor(clock, steady_s);
    if (clock->has_signed)
        return !np_clock_differs(system_s, floor_s);
    return !clock->doubted && system_s >= floor_s;
}

int64_t np_clock_judge(const struct np_clock *clock, int64_t system_s, int64_t steady_s)
{
    return np_clock_believed(clock, system_s, steady_s) ? system_s : np_clock_floor(clock, steady_s);
}

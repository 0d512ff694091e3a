#include "agent/certificate/renew.h"

static int64_t clamp(int64_t value, int64_t low, int64_t high)
{
    return value < low ? low : value > high ? high : value;
}

int64_t np_renew_from_s(int64_t not_before_s, int64_t not_after_s)
{
    return not_after_s - (not_after_s - not_before_s) / 4;
}

bool np_renew_is_due(int64_t not_before_s, int64_t not_after_s, int64_t now_s)
{
    return not_after_s == 0 || now_s >= np_renew_from_s(not_before_s, not_after_s);
}

int64_t np_renew_pace_ms(int64_t not_before_s, int64_t not_after_s)
{
    return clamp((not_after_s - not_before_s) * 1000 / NP_RENEW_LOOKS, NP_RENEW_PACE_MIN_MS, NP_RENEW_PACE_MAX_MS);
}

int64_t np_renew_delay_ms(enum np_renew_need need, int64_t pace_ms, int64_t poll_ms, unsigned looks,
                          np_random_below_fn *below, void *ctx)
{
    int64_t cap_ms = need == NP_RENEW_URGENT ? NP_RENEW_URGENT_MS : pace_ms, delay_ms = cap_ms;
    if (need != NP_RENEW_ROUTINE) {
        delay_ms = poll_ms;
        for (unsigned i = 0; i < looks && delay_ms < cap_ms; i++)
            delay_ms *= 2;
    }
    delay_ms = clamp(delay_ms, 2, cap_ms);
    return delay_ms - (int64_t)below(ctx, (uint32_t)(delay_ms / 2));
}

int64_t np_renew_checkin_ms(int64_t next_s, int64_t interval_s)
{
    int64_t ms = next_s > 0 ? next_s * 1000 : interval_s > 0 ? interval_s * 1000 : NP_RENEW_CHECKIN_MS;
    return clamp(ms, NP_RENEW_CHECKIN_MIN_MS, NP_RENEW_CHECKIN_MAX_MS);
}

static bool contains(const struct np_addr *list, size_t count, const struct np_addr *addr)
{
    for (size_t i = 0; i < count; i++) {
        if (np_addr_equal(&list[i], addr))
            return true;
    }
    return false;
}

bool np_renew_same_addresses(const struct np_addresses *a, const struct np_addresses *b)
{
    bool same = a->v4_count == b->v4_count && a->v6_count == b->v6_count;
    for (size_t i = 0; same && i < a->v4_count; i++)
        same = contains(b->v4, b->v4_count, &a->v4[i]);
    for (size_t i = 0; same && i < a->v6_count; i++)
        same = contains(b->v6, b->v6_count, &a->v6[i]);
    return same;
}

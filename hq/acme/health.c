#include "hq/acme/health.h"

void np_ca_note(struct np_ca_health *health, enum np_order_do kind, bool good, int64_t now_ms)
{
    int64_t *since_ms = &health->failing_since_ms[kind];
    if (good)
        *since_ms = 0;
    else if (*since_ms == 0)
        *since_ms = now_ms > 0 ? now_ms : 1;
}

int64_t np_ca_down_at(const struct np_ca_health *health, int64_t after_ms)
{
    int64_t first_ms = INT64_MAX;
    for (unsigned i = 0; i < NP_CA_KINDS; i++) {
        if (health->failing_since_ms[i] && health->failing_since_ms[i] < first_ms)
            first_ms = health->failing_since_ms[i];
    }
    return first_ms == INT64_MAX ? INT64_MAX : first_ms + after_ms;
}

bool np_ca_is_down(const struct np_ca_health *health, int64_t after_ms, int64_t now_ms)
{
    return np_ca_down_at(health, after_ms) <= now_ms;
}

bool np_ca_may_probe(const struct np_ca_health *health, int64_t now_ms)
{
    return health->failing_since_ms[NP_CA_ACCOUNT] == 0 && now_ms >= health->probe_ms;
}

void np_ca_probed(struct np_ca_health *health, int64_t now_ms)
{
    health->probe_ms = now_ms + NP_CA_PROBE_MS;
}

bool np_ca_should_leave(enum np_order_state state, int64_t failing_ms)
{
    return state < NP_ORDER_READY || (state < NP_ORDER_ISSUED && failing_ms >= NP_CA_PATIENCE_MS);
}

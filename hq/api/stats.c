#include "hq/api/stats.h"

static const int statuses[NP_API_STATUSES] = {0,   200, 201, 202, 204, 304, 400, 401, 403, 404, 405,
                                              409, 410, 413, 415, 421, 422, 429, 500, 502, 503};

const char *np_api_route_name(enum np_api_route route)
{
    static const char *const names[] = {
#define NP_API_ROUTE_TEXT(name, text) text,
        NP_API_ROUTE_MAP(NP_API_ROUTE_TEXT)
#undef NP_API_ROUTE_TEXT
    };
    return names[route];
}

int np_api_status(size_t i)
{
    return statuses[i];
}

void np_api_stats_add(struct np_api_stats *stats, enum np_api_route route, int status, int64_t ns)
{
    size_t column = NP_API_STATUSES - 1;
    while (column > 0 && statuses[column] != status)
        column--;
    stats->counts[route][column]++;
    np_latency_add(&stats->latency[route], ns);
}

/* stats: how many requests of which kind were answered how, and how long that took. Plain values, counted by
 * hq/api/web, shown by hq/admin. Zero is empty. */
#ifndef HQ_API_STATS_H
#define HQ_API_STATS_H

#include <stddef.h>
#include <stdint.h>

#include "resolver/latency.h"

/* The kinds of requests. Their words are the values of a metric's label: they stay. */
#define NP_API_ROUTE_MAP(X)                                                                                            \
    X(OTHER, "other") /* there is nothing at this path */                                                              \
    X(NONCE, "nonce")                                                                                                  \
    X(ENROL, "enrol")                                                                                                  \
    X(CSR, "csr")                                                                                                      \
    X(PACKAGE, "package")                                                                                              \
    X(ADDRESSES, "addresses")                                                                                          \
    X(CHECKIN, "checkin")                                                                                              \
    X(LEAVE, "leave")                                                                                                  \
    X(SESSION, "session")                                                                                              \
    X(TIME, "time")                                                                                                    \
    X(NAME, "name")

enum np_api_route {
#define NP_API_ROUTE_ENUM(name, text) NP_ROUTE_##name,
    NP_API_ROUTE_MAP(NP_API_ROUTE_ENUM)
#undef NP_API_ROUTE_ENUM
};

#define NP_API_ROUTES   (NP_ROUTE_NAME + 1)
#define NP_API_STATUSES 21 /* different ones that are counted; protocol v1 has 19 */

/* The route's word, as in the map above. Static storage. */
const char *np_api_route_name(enum np_api_route route);

struct np_api_stats {
    uint64_t counts[NP_API_ROUTES][NP_API_STATUSES]; /* by np_api_status */
    struct np_latency latency[NP_API_ROUTES]; /* from the request's headers being read to its writes being stored */
};

/* The HTTP status that column i of counts is of; 0: all others. */
int np_api_status(size_t i);

/* Counts an answer that took so many nanoseconds. */
void np_api_stats_add(struct np_api_stats *stats, enum np_api_route route, int status, int64_t ns);

#endif

/* stats: what the resolver counts, as one plain value, and its JSON: the payload of the STAT frame, and the member
 * "resolver" of `nameplate status --json`.
 *
 *   {"answers": {"own": 5, "special": 0, "forwarded": 12, "blocked": 1, "failed": 0, "errors": 0, "dropped": 0},
 *    "server": {"udp_in": 18, ...}, "forward": {"asked": 12, ...}, "cache": {"hits": 7, ...},
 *    "latency": {"local": {"count": 1, "sum_ns": 1500, "p50_ns": 1536, "p99_ns": 1536, "buckets": [[1536, 1]]},
 *                "cached": {...}, "forwarded": {...}},
 *    "upstreams": [{"zone": ".", "address": "198.51.100.53:53", "alive": true, "srtt_us": 1800, "answers": 12,
 *                   "failures": 0, "tls": "works", "tls_opened": 3, "tls_failed": 0}],
 *    "blocked": [{"name": "evil.example", "count": 3, "error": 0, "type": 1, "address": "192.168.1.1",
 *                 "last_seconds": 20}]}
 *
 * The shape is stable: members are added, never renamed or removed. Counters run from the resolver's start. Which there
 * are is one table in stats_fields.c. Latencies run from the packet's being read to the answer's being ready: "local"
 * and "cached" are a sample of what needed no upstream, "forwarded" is all that did. A bucket is [longest time,
 * answers], the last one's time being 2^63 - 1; those that are empty are left out. The agent parses what its resolver
 * sends as it would a stranger's: that process reads hostile packets. */
#ifndef RESOLVER_STATS_H
#define RESOLVER_STATS_H

#include <stddef.h>
#include <stdint.h>

#include "resolver/base/metrics.h"
#include "resolver/blocked.h"
#include "resolver/cache.h"
#include "resolver/forward.h"
#include "resolver/server.h"

#define NP_STATS_TEXT_MAX      (120 * 1024) /* bytes of JSON: fits a channel frame */
#define NP_STATS_NAMES_MAX     (32 * 1024)  /* of these for blocked names: one of 255 odd bytes takes 1,300 */
#define NP_STATS_UPSTREAMS_MAX 40           /* eight for everything, and one of each forwarded zone */

/* Queries by what became of them. Each is in one of own, special, cached, forwarded, errors, dropped, truncated and
 * over_rate; blocked and failed are ends of cached and forwarded ones. */
struct np_stats_answers {
    uint64_t own, special, cached, errors, dropped, forwarded, blocked, failed;
    uint64_t truncated, over_rate; /* over the client's rate: told to come over TCP, and not answered at all */
};

/* Everything. */
struct np_stats {
    struct np_stats_answers answers;
    struct np_server_stats server;
    struct np_forward_stats forward;
    struct np_cache_stats cache;     /* all 0: there is none */
    uint64_t inflight;               /* questions that are being asked now */
    struct np_latency local, cached; /* of a sample of the answers that needed no upstream */
    size_t upstream_count;
    struct np_forward_upstream upstreams[NP_STATS_UPSTREAMS_MAX];
    size_t blocked_count;
    struct np_blocked_name blocked[NP_BLOCKED_MAX]; /* most frequent first; last_ms is how long ago */
};

/* Writes it as compact JSON, with as many blocked names as have room: malloc'd (the caller frees it), NULL when out of
 * memory. */
char *np_stats_encode(const struct np_stats *stats);

/* Parses len bytes of JSON. What is absent is 0, unknown members are ignored. Returns 0, NP_E_MALFORMED (also for
 * numbers below 0), NP_E_TYPE, NP_E_LIMIT or -ENOMEM; *out_stats is written on success alone. */
int np_stats_parse(const char *text, size_t len, struct np_stats *out_stats);

/* Writes it as metrics, all named nameplate_dns_...: counters by family and label, latencies as histograms with a
 * bucket an octave, upstreams with labels of their own. Names of the rebinding filter are not among them: strangers
 * make them up. */
void np_stats_write_metrics(const struct np_stats *stats, struct np_metrics *metrics);

#endif

#include "resolver/stats_fields.h"

#include <string.h>

#define AT(member) offsetof(struct np_stats, member)

/* The first row of a family, and the rows that follow it. */
#define COUNTER(group, name, family, label, value, help)                                                               \
    {                                                                                                                  \
#group, #name, AT(group.name), NP_METRIC_COUNTER, family, label, value, help                                   \
    }
#define MORE(group, name, family, label, value) COUNTER(group, name, family, label, value, NULL)
#define GAUGE(group, name, member, family, help)                                                                       \
    {                                                                                                                  \
        group, name, AT(member), NP_METRIC_GAUGE, family, NULL, NULL, help                                             \
    }

const struct np_stats_field np_stats_fields[] = {
    COUNTER(answers, own, "queries", "outcome", "own", "Queries of clients by what became of them."),
    MORE(answers, special, "queries", "outcome", "special"),
    MORE(answers, cached, "queries", "outcome", "cached"),
    MORE(answers, forwarded, "queries", "outcome", "forwarded"),
    MORE(answers, errors, "queries", "outcome", "error"),
    MORE(answers, dropped, "queries", "outcome", "dropped"),
    MORE(answers, truncated, "queries", "outcome", "truncated"),
    MORE(answers, over_rate, "queries", "outcome", "over_rate"),
    COUNTER(answers, blocked, "blocked", NULL, NULL, "Answers that the rebinding filter blocked."),
    COUNTER(answers, failed, "failed", NULL, NULL, "Queries that no upstream answered."),
    COUNTER(server, udp_in, "udp_packets", "direction", "in", "Packets from and to clients over UDP."),
    MORE(server, udp_out, "udp_packets", "direction", "out"),
    MORE(server, udp_dropped, "udp_packets", "direction", "dropped"),
    COUNTER(server, tcp_in, "tcp_messages", "direction", "in", "Messages from and to clients over TCP, TLS among it."),
    MORE(server, tcp_out, "tcp_messages", "direction", "out"),
    COUNTER(server, tcp_accepted, "tcp_connections", "result", "accepted",
            "Connections of clients, over TLS among them."),
    MORE(server, tcp_refused, "tcp_connections", "result", "refused"),
    COUNTER(server, not_admitted, "not_admitted", NULL, NULL,
            "Packets and connections of sources that are not served."),
    COUNTER(server, tls_in, "tls_messages", NULL, NULL, "Messages from clients over TLS."),
    COUNTER(server, tls_accepted, "tls_connections", "result", "accepted", "Connections of clients over TLS."),
    MORE(server, tls_refused, "tls_connections", "result", "refused"),
    COUNTER(forward, asked, "forward_queries", NULL, NULL, "Queries that the forwarding engine took."),
    COUNTER(forward, joined, "forward_joined", NULL, NULL, "Of these, joined to the same question in flight."),
    COUNTER(forward, refused, "forward_refused", NULL, NULL, "Queries over a limit of the forwarding engine."),
    COUNTER(forward, sent_udp, "forward_sent", "transport", "udp", "Queries sent to upstreams."),
    MORE(forward, sent_tcp, "forward_sent", "transport", "tcp"),
    MORE(forward, sent_tls, "forward_sent", "transport", "tls"),
    COUNTER(forward, answered, "forward_ends", "result", "answered", "Questions to upstreams by how they ended."),
    MORE(forward, failed, "forward_ends", "result", "failed"),
    COUNTER(forward, timeouts, "forward_timeouts", NULL, NULL, "Tries that got no answer in time."),
    COUNTER(forward, hedged, "forward_hedged", NULL, NULL,
            "Questions asked of a second server because the first was late."),
    COUNTER(forward, beside, "forward_probes", "kind", "beside",
            "Queries sent to learn about a server, beside a real one or alone."),
    MORE(forward, pinged, "forward_probes", "kind", "pinged"),
    COUNTER(forward, refreshed, "forward_refreshed", NULL, NULL,
            "Questions asked for the cache, for which nobody waits."),
    COUNTER(forward, late, "forward_strays", "kind", "late",
            "Answers that answered nothing any more, or nothing that was asked."),
    MORE(forward, foreign, "forward_strays", "kind", "foreign"),
    COUNTER(forward, distrusted, "forward_distrusted", NULL, NULL,
            "Tries moved to TCP since strays came to their port."),
    COUNTER(forward, looped, "forward_looped", NULL, NULL, "Own questions that came back from an upstream."),
    COUNTER(forward, case_broken, "forward_case_broken", NULL, NULL, "Answers with the question in another case."),
    GAUGE("forward", "inflight", inflight, "forward_inflight", "Questions that are being asked now."),
    COUNTER(cache, hits, "cache_lookups", "result", "hit", "Looks into the cache by what was found."),
    MORE(cache, misses, "cache_lookups", "result", "miss"),
    MORE(cache, failures, "cache_lookups", "result", "failure"),
    COUNTER(cache, negative, "cache_negative", NULL, NULL, "Hits that were negative answers."),
    COUNTER(cache, stale, "cache_stale", NULL, NULL, "Stale answers given."),
    COUNTER(cache, prefetches, "cache_prefetches", NULL, NULL, "Answers asked for anew while fresh."),
    COUNTER(cache, inserted, "cache_events", "event", "inserted", "What became of answers."),
    MORE(cache, replaced, "cache_events", "event", "replaced"),
    MORE(cache, moved, "cache_events", "event", "moved"),
    MORE(cache, evicted, "cache_events", "event", "evicted"),
    MORE(cache, refused, "cache_events", "event", "refused"),
    GAUGE("cache", "entries", cache.entries, "cache_entries", "Answers in the cache."),
    GAUGE("cache", "bytes", cache.bytes, "cache_used_bytes", "Bytes of the cache that hold something."),
    GAUGE("cache", "size", cache.size, "cache_size_bytes", "Bytes of the whole cache."),
    {.group = NULL},
};

const struct np_stats_histogram np_stats_histograms[] = {
    {"local", AT(local)},
    {"cached", AT(cached)},
    {"forwarded", AT(forward.latency)},
    {NULL, 0},
};

uint64_t np_stats_get(const struct np_stats *stats, const struct np_stats_field *field)
{
    uint64_t value;
    memcpy(&value, (const char *)stats + field->offset, sizeof value);
    return value;
}

void np_stats_set(struct np_stats *stats, const struct np_stats_field *field, uint64_t value)
{
    memcpy((char *)stats + field->offset, &value, sizeof value);
}

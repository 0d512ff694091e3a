/* What HQ does at this moment, for the dashboard and for /readyz. */
#include <errno.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "hq/admin/facts.h"
#include "hq/proto/json.h"

static json_t *cas_json(const struct np_admin_facts *f)
{
    json_t *list = json_array();
    for (size_t i = 0; i < f->ca_count; i++) {
        const struct np_issuance_ca *ca = &f->cas[i];
        json_t *limits = json_array();
        for (int kind = 0; kind < NP_LIMIT_RULES; kind++) {
            if (ca->limits[kind].size)
                json_array_append_new(limits, json_pack("{s:s,s:I,s:I}", "limit", np_limit_name((enum np_limit)kind),
                                                        "size", (json_int_t)ca->limits[kind].size, "left",
                                                        (json_int_t)ca->limits[kind].left));
        }
        json_array_append_new(list, json_pack("{s:s,s:b,s:b,s:I,s:I,s:I,s:I,s:I,s:o}", "ca", ca->directory, "ready",
                                              ca->ready, "down", ca->down, "in_flight", (json_int_t)ca->in_flight,
                                              "issued", (json_int_t)ca->issued, "backoff", (json_int_t)ca->backoff,
                                              "dead", (json_int_t)ca->dead, "pause",
                                              (json_int_t)((ca->pause_ms + 999) / 1000), "limits", limits));
    }
    return list;
}

static json_t *dns_json(const struct np_admin_facts *f)
{
    json_t *servers = json_array(), *updates = json_array();
    char address[NP_ADDR_TEXT_MAX];
    for (size_t i = 0; i < f->zone.nameserver_count; i++)
        json_array_append_new(servers, json_pack("{s:s,s:s,s:I}", "name", f->zone.nameservers[i].name, "address",
                                                 np_endpoint_format(&f->zone.nameservers[i].address, address),
                                                 "failing", (json_int_t)(f->zone.nameservers[i].failing_ms / 1000)));
    for (size_t i = 0; i < f->zone.update_count; i++) {
        const struct np_zone_update_report *u = &f->zone.updates[i];
        json_array_append_new(updates,
                              json_pack("{s:s,s:s,s:I,s:I,s:I,s:s}", "server", u->server, "zone", u->zone, "failing",
                                        (json_int_t)(u->failing_ms / 1000), "waiting", (json_int_t)u->waiting,
                                        "refused", (json_int_t)u->refused, "why", u->why));
    }
    return json_pack("{s:b,s:f,s:o,s:o}", "ready", f->zone.ready, "lag", (double)f->lag_ms / 1000, "nameservers",
                     servers, "updates", updates);
}

static json_t *requests_json(const struct np_api_stats *s)
{
    json_t *list = json_array();
    for (int route = 0; route < NP_API_ROUTES; route++) {
        uint64_t failed = 0;
        for (size_t i = 0; i < NP_API_STATUSES; i++)
            failed += np_api_status(i) == 0 || np_api_status(i) >= 400 ? s->counts[route][i] : 0;
        json_array_append_new(list,
                              json_pack("{s:s,s:I,s:I,s:f,s:f}", "request", np_api_route_name((enum np_api_route)route),
                                        "count", (json_int_t)s->latency[route].count, "refused", (json_int_t)failed,
                                        "p50", (double)np_latency_percentile(&s->latency[route], 500) / 1e9, "p99",
                                        (double)np_latency_percentile(&s->latency[route], 990) / 1e9));
    }
    return list;
}

int np_admin_live_json(const struct np_admin_facts *f, char **out_json)
{
    static const char *const priorities[] = {"urgent", "new", "routine", "open"};
    json_t *eta = json_array();
    for (size_t i = 0; i <= NP_PRIORITY_OPEN; i++)
        json_array_append_new(eta, json_pack("{s:s,s:I}", "priority", priorities[i], "eta", (json_int_t)f->eta_s[i]));
    return np_json_dump_take(json_pack("{s:s,s:I,s:I,s:I,s:b,s:b,s:I,s:f,s:o,s:o,s:o,s:o,s:{s:I,s:I,s:I,s:I}}",
                                       "version", NP_VERSION, "time", (json_int_t)f->now_s, "started",
                                       (json_int_t)f->started_s, "census_age", (json_int_t)(f->census_age_ms / 1000),
                                       "store", f->store_good, "standby", f->standby, "memory",
                                       (json_int_t)f->rss_bytes, "cpu", f->cpu_s, "cas", cas_json(f), "eta", eta, "dns",
                                       dns_json(f), "requests", requests_json(f->requests), "connections", "open",
                                       (json_int_t)f->door->open, "handshaking", (json_int_t)f->door->handshaking,
                                       "refused", (json_int_t)(f->door->refused_total + f->door->refused_address),
                                       "failed", (json_int_t)f->door->handshakes_failed),
                             out_json);
}

/* ---- Readiness ---- */

/* Appends a line. */
static void say(char *out, size_t size, const char *format, ...) __attribute__((format(printf, 3, 4)));

static void say(char *out, size_t size, const char *format, ...)
{
    size_t used = strlen(out);
    va_list args;
    va_start(args, format);
    vsnprintf(out + used, size - used, format, args);
    va_end(args);
}

bool np_admin_readiness(const struct np_admin_facts *f, char *out, size_t size)
{
    bool issuing = false;
    out[0] = 0;
    if (f->store_good)
        say(out, size, "store: ready\n");
    else
        say(out, size, "store: not ready: %s\n", f->store_error);
    if (f->standby) {
        say(out, size, "zone, ca: another HQ sees to them\n");
        return f->store_good;
    }
    say(out, size, f->zone.ready ? "zone: ready\n" : "zone: not ready: what it is published into is not there yet\n");
    for (size_t i = 0; i < f->ca_count; i++)
        issuing = issuing || f->cas[i].ready;
    if (issuing)
        say(out, size, "ca: ready\n");
    for (size_t i = 0; i < f->ca_count && !issuing; i++)
        say(out, size, "ca: not ready: there is no account at %s yet; HQ's log says why\n", f->cas[i].directory);
    return f->store_good && f->zone.ready && issuing;
}

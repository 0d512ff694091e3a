/* HQ's metrics. A name here is a promise: docs/operations.md, the alert rules and the Grafana dashboard use it. */
#include <math.h>
#include <stdio.h>

#include "hq/admin/facts.h"

#define P "nameplate_hq_"

static void one(struct np_metrics *m, const char *name, enum np_metrics_type type, const char *help, uint64_t value)
{
    np_metrics_family(m, name, type, help);
    np_metrics_sample(m, NULL, 0, value);
}

static void gauge(struct np_metrics *m, const char *name, const char *help, int64_t value)
{
    one(m, name, NP_METRIC_GAUGE, help, value > 0 ? (uint64_t)value : 0);
}

static void real(struct np_metrics *m, const char *name, const char *help, double value)
{
    np_metrics_family(m, name, NP_METRIC_GAUGE, help);
    np_metrics_sample_real(m, NULL, 0, value);
}

/* A sample of the running family with one label. */
static void with(struct np_metrics *m, const char *name, const char *value, int64_t number)
{
    struct np_metrics_label labels[] = {{name, value}};
    np_metrics_sample(m, labels, 1, number > 0 ? (uint64_t)number : 0);
}

static const char *const priorities[] = {"urgent", "new", "routine", "open"};

/* ---- The fleet ---- */

static void write_devices(const struct np_census *c, struct np_metrics *m)
{
    np_metrics_family(m, P "devices", NP_METRIC_GAUGE, "Devices by state; silent: active, but not seen for long.");
    with(m, "state", "active", c->active);
    with(m, "state", "silent", c->silent);
    with(m, "state", "blocked", c->blocked);
    with(m, "state", "retired", c->retired);
    gauge(m, P "devices_open", "Devices that enrolled without a credential.", c->open);
    gauge(m, P "devices_seen_day", "Active devices that were seen in the last day.", c->seen_day);
    np_metrics_family(m, P "device_versions", NP_METRIC_GAUGE, "Devices by software version, the commonest 24.");
    for (size_t i = 0; i < c->version_count; i++)
        with(m, "version", c->versions[i].version, c->versions[i].count);
}

static void write_certificates(const struct np_census *c, struct np_metrics *m)
{
    static const size_t days[] = {1, 3, 7, 14, 30, 60};
    char text[16];
    gauge(m, P "certificates", "Newest certificates of devices that have not left.", c->certificates);
    gauge(m, P "certificates_expired", "Of them, those that have ended.", c->expired);
    gauge(m, P "certificates_overdue", "Of them, those whose renewal point is more than a day past.", c->overdue);
    np_metrics_family(m, P "certificates_expiring", NP_METRIC_GAUGE,
                      "Of them, those that end within so many days, expired ones left out.");
    for (size_t i = 0; i < sizeof days / sizeof *days; i++) {
        snprintf(text, sizeof text, "%zu", days[i]);
        with(m, "days", text, np_census_expiring(c, days[i]) - c->expired);
    }
}

static void write_orders(const struct np_census *c, struct np_metrics *m)
{
    np_metrics_family(m, P "orders", NP_METRIC_GAUGE, "Orders that have not ended well, by state.");
    for (int i = 0; i < NP_CENSUS_ORDER_STATES; i++) {
        if (i != NP_ORDER_DONE)
            with(m, "state", np_order_state_name((enum np_order_state)i), c->orders[i]);
    }
    np_metrics_family(m, P "orders_waiting", NP_METRIC_GAUGE,
                      "Orders in the queue; fresh: for devices without certificate.");
    for (size_t i = 0; i < 2 * (NP_PRIORITY_OPEN + 1); i++) {
        struct np_metrics_label labels[] = {{"priority", priorities[i / 2]}, {"fresh", i % 2 ? "1" : "0"}};
        np_metrics_sample(m, labels, 2, (uint64_t)c->lanes[i / 2][i % 2]);
    }
    np_metrics_family(m, P "ca_orders", NP_METRIC_GAUGE, "Orders begun at a CA that have not ended, by state.");
    for (size_t i = 0; i < c->ca_count; i++) {
        for (int k = 0; k < NP_CENSUS_ORDER_STATES; k++) {
            struct np_metrics_label labels[] = {{"ca", c->cas[i].ca},
                                                {"state", np_order_state_name((enum np_order_state)k)}};
            if (c->cas[i].states[k])
                np_metrics_sample(m, labels, 2, (uint64_t)c->cas[i].states[k]);
        }
    }
    gauge(m, P "unpublished_names", "Names with a change that is not confirmed.", c->dirty);
    gauge(m, P "revocations_open", "Certificates that the CA is still to be told to revoke.", c->revocations);
}

/* ---- CAs ---- */

static void write_cas(const struct np_admin_facts *f, struct np_metrics *m)
{
    np_metrics_family(m, P "ca_up", NP_METRIC_GAUGE, "1: our account is known and the CA works.");
    for (size_t i = 0; i < f->ca_count; i++)
        with(m, "ca", f->cas[i].directory, f->cas[i].ready && !f->cas[i].down);
    np_metrics_family(m, P "ca_orders_in_flight", NP_METRIC_GAUGE, "Orders worked on.");
    for (size_t i = 0; i < f->ca_count; i++)
        with(m, "ca", f->cas[i].directory, (int64_t)f->cas[i].in_flight);
    np_metrics_family(m, P "ca_pause_seconds", NP_METRIC_GAUGE, "Until orders may be begun again, at the CA's wish.");
    for (size_t i = 0; i < f->ca_count; i++)
        with(m, "ca", f->cas[i].directory, (f->cas[i].pause_ms + 999) / 1000);
    np_metrics_family(m, P "certificates_issued", NP_METRIC_COUNTER, "Certificates stored since the start.");
    for (size_t i = 0; i < f->ca_count; i++)
        with(m, "ca", f->cas[i].directory, (int64_t)f->cas[i].issued);
    np_metrics_family(m, P "order_failures", NP_METRIC_COUNTER,
                      "Orders that failed since the start: backoff, to be tried again; dead, given up.");
    for (size_t i = 0; i < 2 * f->ca_count; i++) {
        const struct np_issuance_ca *ca = &f->cas[i / 2];
        struct np_metrics_label labels[] = {{"ca", ca->directory}, {"outcome", i % 2 ? "dead" : "backoff"}};
        np_metrics_sample(m, labels, 2, i % 2 ? ca->dead : ca->backoff);
    }
}

static void write_limits(const struct np_admin_facts *f, struct np_metrics *m, bool size)
{
    if (size)
        np_metrics_family(m, P "ca_limit", NP_METRIC_GAUGE, "Size of a limit of the CA that all devices share.");
    else
        np_metrics_family(m, P "ca_limit_left", NP_METRIC_GAUGE, "What is left of it now.");
    for (size_t i = 0; i < f->ca_count; i++) {
        for (int kind = 0; kind < NP_LIMIT_RULES; kind++) {
            struct np_metrics_label labels[] = {{"ca", f->cas[i].directory},
                                                {"limit", np_limit_name((enum np_limit)kind)}};
            int64_t value = size ? f->cas[i].limits[kind].size : f->cas[i].limits[kind].left;
            if (f->cas[i].limits[kind].size)
                np_metrics_sample(m, labels, 2, value > 0 ? (uint64_t)value : 0);
        }
    }
}

static void write_issuance(const struct np_admin_facts *f, struct np_metrics *m)
{
    write_cas(f, m);
    write_limits(f, m, true);
    write_limits(f, m, false);
    real(m, P "issuance_seconds", "From an order's beginning to its certificate, a moving average.",
         (double)f->typical_ms / 1000);
    if (!f->census)
        return;
    np_metrics_family(m, P "issuance_eta_seconds", NP_METRIC_GAUGE,
                      "Until the certificate of a device that asks now, by priority.");
    for (size_t i = 0; i <= NP_PRIORITY_OPEN; i++)
        with(m, "priority", priorities[i], f->eta_s[i]);
}

/* ---- DNS ---- */

static void update_labels(const struct np_zone_update_report *update, struct np_metrics_label out[2])
{
    out[0] = (struct np_metrics_label){"server", update->server};
    out[1] = (struct np_metrics_label){"zone", update->zone};
}

static void write_updates(const struct np_zone_report *zone, struct np_metrics *m)
{
    struct np_metrics_label labels[2];
    np_metrics_family(m, P "dns_update_up", NP_METRIC_GAUGE, "1: the server takes HQ's updates of the zone.");
    for (size_t i = 0; i < zone->update_count; i++) {
        update_labels(&zone->updates[i], labels);
        np_metrics_sample(m, labels, 2, zone->updates[i].failing_ms == 0);
    }
    np_metrics_family(m, P "dns_update_waiting", NP_METRIC_GAUGE, "Names taken up that it does not show yet.");
    for (size_t i = 0; i < zone->update_count; i++) {
        update_labels(&zone->updates[i], labels);
        np_metrics_sample(m, labels, 2, zone->updates[i].waiting);
    }
    np_metrics_family(m, P "dns_update_refused", NP_METRIC_GAUGE, "Names that it refuses.");
    for (size_t i = 0; i < zone->update_count; i++) {
        update_labels(&zone->updates[i], labels);
        np_metrics_sample(m, labels, 2, zone->updates[i].refused);
    }
}

static void write_dns(const struct np_admin_facts *f, struct np_metrics *m)
{
    char address[NP_ADDR_TEXT_MAX];
    gauge(m, P "dns_ready", "1: what HQ publishes into is there.", f->zone.ready);
    real(m, P "publish_lag_seconds", "Age of the oldest change that the name servers have not confirmed.",
         (double)f->lag_ms / 1000);
    np_metrics_family(m, P "nameserver_up", NP_METRIC_GAUGE, "0: it failed when HQ looked for challenge values.");
    for (size_t i = 0; i < f->zone.nameserver_count; i++) {
        struct np_metrics_label labels[] = {{"name", f->zone.nameservers[i].name},
                                            {"address", np_endpoint_format(&f->zone.nameservers[i].address, address)}};
        np_metrics_sample(m, labels, 2, f->zone.nameservers[i].failing_ms == 0);
    }
    write_updates(&f->zone, m);
}

/* ---- Requests ---- */

static void write_requests(const struct np_api_stats *s, struct np_metrics *m)
{
    char code[16];
    np_metrics_family(m, P "requests", NP_METRIC_COUNTER, "Answers to devices; code 0: another one.");
    for (int route = 0; route < NP_API_ROUTES; route++) {
        for (size_t i = 0; i < NP_API_STATUSES; i++) {
            struct np_metrics_label labels[] = {{"request", np_api_route_name((enum np_api_route)route)},
                                                {"code", code}};
            snprintf(code, sizeof code, "%d", np_api_status(i));
            if (s->counts[route][i])
                np_metrics_sample(m, labels, 2, s->counts[route][i]);
        }
    }
    np_metrics_family(m, P "request_seconds", NP_METRIC_HISTOGRAM,
                      "From a request's headers being read to its writes being on disk.");
    for (int route = 0; route < NP_API_ROUTES; route++) {
        struct np_metrics_label labels[] = {{"request", np_api_route_name((enum np_api_route)route)}};
        const struct np_latency *latency = &s->latency[route];
        uint64_t cumulative = 0;
        for (size_t i = 0; i < NP_LATENCY_BUCKETS; i++) {
            cumulative += latency->buckets[i];
            bool last = i == NP_LATENCY_BUCKETS - 1, shown = i % 4 == 0 && np_latency_bound(i) >= 10000;
            if (last || shown) /* one bucket an octave, from 10 us on */
                np_metrics_bucket(m, labels, 1, last ? HUGE_VAL : (double)np_latency_bound(i) / 1e9, cumulative);
        }
        np_metrics_sum(m, labels, 1, (double)latency->sum_ns / 1e9, cumulative);
    }
}

static void write_door(const struct np_door_stats *d, struct np_metrics *m)
{
    gauge(m, P "connections_open", "Connections of devices.", d->open);
    gauge(m, P "connections_handshaking", "Of them, those whose TLS handshake is under way.", d->handshaking);
    one(m, P "connections_accepted", NP_METRIC_COUNTER, "Connections since the start.", d->accepted);
    np_metrics_family(m, P "connections_refused", NP_METRIC_COUNTER,
                      "Connections refused: for their number in all, or of one address.");
    with(m, "limit", "total", (int64_t)d->refused_total);
    with(m, "limit", "address", (int64_t)d->refused_address);
    one(m, P "connections_displaced", NP_METRIC_COUNTER, "Connections that made room for newcomers.", d->displaced);
    one(m, P "connections_timed_out", NP_METRIC_COUNTER, "Connections ended for their silence.", d->timeouts);
    np_metrics_family(m, P "tls_handshakes", NP_METRIC_COUNTER, "TLS handshakes by outcome.");
    with(m, "outcome", "full", (int64_t)(d->handshakes - (d->resumed < d->handshakes ? d->resumed : d->handshakes)));
    with(m, "outcome", "resumed", (int64_t)d->resumed);
    with(m, "outcome", "failed", (int64_t)d->handshakes_failed);
}

static void write_process(const struct np_admin_facts *f, struct np_metrics *m)
{
    struct np_metrics_label version[] = {{"version", NP_VERSION}};
    np_metrics_family(m, P "build", NP_METRIC_GAUGE, "Always 1; the program's version.");
    np_metrics_sample(m, version, 1, 1);
    gauge(m, P "store_up", "1: the database answers.", f->store_good);
    gauge(m, P "working", "1: this HQ publishes and issues; 0: another one does, this one stands by.", !f->standby);
    gauge(m, P "census_age_seconds", "Age of what is counted over all devices.", f->census_age_ms / 1000);
    real(m, P "census_seconds", "How long counting it took.", (double)f->census_took_ms / 1000);
    gauge(m, "process_start_time_seconds", "When the process began, in Unix time.", f->started_s);
    gauge(m, "process_resident_memory_bytes", "Memory in use.", f->rss_bytes);
    gauge(m, "process_open_fds", "Open file descriptors.", f->open_fds);
    np_metrics_family(m, "process_cpu_seconds", NP_METRIC_COUNTER, "CPU time used.");
    np_metrics_sample_real(m, NULL, 0, f->cpu_s);
}

void np_admin_metrics(const struct np_admin_facts *facts, struct np_metrics *metrics)
{
    write_process(facts, metrics);
    if (facts->census) {
        write_devices(facts->census, metrics);
        write_certificates(facts->census, metrics);
        write_orders(facts->census, metrics);
    }
    if (!facts->standby) {
        write_issuance(facts, metrics);
        write_dns(facts, metrics);
    }
    write_requests(facts->requests, metrics);
    write_door(facts->door, metrics);
}

#include <time.h>

#include "agent/agent_private.h"
#include "resolver/base/metrics.h"

#define PREFIX "nameplate_"

static void gauge(struct np_metrics *metrics, const char *name, const char *help, uint64_t value)
{
    np_metrics_family(metrics, name, NP_METRIC_GAUGE, help);
    np_metrics_sample(metrics, NULL, 0, value);
}

static void write_certificate(const struct np_agent *agent, struct np_metrics *metrics)
{
    struct np_x509 leaf;
    gauge(metrics, PREFIX "certificate_valid", "1: the stored certificate is good now, and for the name.",
          np_agent_certificate_valid(agent));
    if (np_enrol_leaf(&agent->state, &leaf) == 0 && leaf.not_after_s > 0)
        gauge(metrics, PREFIX "certificate_expiry_timestamp_seconds", "When the stored certificate ends.",
              (uint64_t)leaf.not_after_s);
}

static void write_hq(struct np_agent *agent, struct np_metrics *metrics)
{
    const struct np_enrol *e = &agent->enrol;
    gauge(metrics, PREFIX "enrolled", "1: HQ has given the box a name.", agent->state.name[0] != 0);
    gauge(metrics, PREFIX "hq_failing", "1: the last request to HQ failed.", e->problem[0] != 0);
    if (e->last_contact_ms)
        gauge(metrics, PREFIX "hq_contact_age_seconds", "Since HQ answered last.",
              (uint64_t)(np_agent_now_ms(agent) - e->last_contact_ms) / 1000);
}

static void write_listeners(const struct np_agent *agent, struct np_metrics *metrics)
{
    uint64_t open = 0, closed = 0;
    for (size_t i = 0; i < agent->listeners.count; i++) {
        const struct np_listener *item = &agent->listeners.items[i];
        if (item->wanted && item->error == 0)
            open++;
        else if (item->wanted)
            closed++;
    }
    np_metrics_family(metrics, PREFIX "listeners", NP_METRIC_GAUGE, "Sockets that are wanted, open and not.");
    np_metrics_sample(metrics, &(struct np_metrics_label){"state", "open"}, 1, open);
    np_metrics_sample(metrics, &(struct np_metrics_label){"state", "failed"}, 1, closed);
}

static void write_children(const struct np_agent *agent, struct np_metrics *metrics)
{
    const struct np_child *children[] = {agent->resolver, agent->front};
    static const char *const names[] = {"resolver", "front"};
    for (int pass = 0; pass < 2; pass++) {
        for (size_t i = 0; i < 2; i++) {
            if (!children[i])
                continue;
            struct np_child_status status = np_child_status(children[i]);
            struct np_metrics_label label = {"process", names[i]};
            if (pass == 0)
                np_metrics_family(metrics, PREFIX "process_ready", NP_METRIC_GAUGE, "1: the child process works.");
            else
                np_metrics_family(metrics, PREFIX "process_restarts", NP_METRIC_COUNTER,
                                  "Starts of the child process after the first one.");
            np_metrics_sample(metrics, &label, 1, pass == 0 ? status.ready : status.restarts);
        }
    }
}

char *np_agent_metrics(struct np_agent *agent, enum np_metrics_format format)
{
    struct np_metrics metrics;
    np_metrics_init(&metrics, format);
    np_metrics_family(&metrics, PREFIX "build_info", NP_METRIC_GAUGE, "The program's version, as a label.");
    np_metrics_sample(&metrics, &(struct np_metrics_label){"version", NP_VERSION}, 1, 1);
    write_hq(agent, &metrics);
    write_certificate(agent, &metrics);
    write_listeners(agent, &metrics);
    write_children(agent, &metrics);
    gauge(&metrics, PREFIX "dns_up", "1: the resolver told its counters.", agent->counters != NULL);
    if (agent->counters)
        np_stats_write_metrics(agent->counters, &metrics);
    return np_metrics_finish(&metrics);
}

#include <errno.h>
#include <stdlib.h>

#include "agent/agent_private.h"
#include "resolver/base/error.h"
#include "resolver/base/log.h"

static char *write_report(struct np_agent *agent, enum np_agent_report what)
{
    switch (what) {
    case NP_REPORT_STATUS:
        return np_agent_status(agent);
    case NP_REPORT_PROMETHEUS:
        return np_agent_metrics(agent, NP_METRICS_PROMETHEUS);
    case NP_REPORT_OPENMETRICS:
        return np_agent_metrics(agent, NP_METRICS_OPENMETRICS);
    }
    return NULL;
}

static void answer_all(struct np_agent *agent)
{
    for (size_t i = 0; i < agent->waiting_count; i++)
        np_control_answer_take(agent->control, agent->waiting[i].ticket, write_report(agent, agent->waiting[i].what));
    agent->waiting_count = 0;
    np_jobs_reschedule(&agent->jobs, NP_JOB_REPORT, NP_JOB_NEVER);
}

/* The resolver is asked by the first who waits; who comes meanwhile gets the same answer. Places can only run out when
 * clients leave without waiting for theirs. */
void np_agent_report(struct np_agent *agent, uint64_t ticket, enum np_agent_report what)
{
    if (agent->waiting_count == NP_CONTROL_CLIENTS_MAX)
        answer_all(agent);
    agent->waiting[agent->waiting_count++] = (struct np_agent_waiting){ticket, what};
    if (agent->waiting_count > 1)
        return;
    if (np_agent_ask_counters(agent)) {
        answer_all(agent);
        return;
    }
    np_jobs_schedule(&agent->jobs, NP_JOB_REPORT, np_agent_now_ms(agent) + NP_REPORT_WAIT_MS);
    np_agent_arm(agent);
}

void np_agent_take_counters(struct np_agent *agent, const struct np_frame *frame)
{
    struct np_stats *stats = malloc(sizeof *stats);
    int rc = stats ? np_stats_parse((const char *)frame->payload, frame->len, stats) : -ENOMEM;
    if (rc)
        np_warning("the resolver's counters: %s", np_strerror(rc));
    agent->counters = rc ? NULL : stats;
    answer_all(agent);
    agent->counters = NULL;
    free(stats);
}

void np_agent_report_due(struct np_agent *agent)
{
    answer_all(agent);
}

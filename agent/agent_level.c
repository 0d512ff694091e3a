#include <time.h>

#include "agent/agent_private.h"

#define CLOCK_NEAR_S 60 /* a few seconds behind HQ are no news; certificates are judged by the floor meanwhile */

static void look_at_certificate(const struct np_agent *agent, struct np_level_facts *facts)
{
    struct np_x509 leaf;
    facts->has_certificate = np_enrol_leaf(&agent->state, &leaf) == 0;
    if (!facts->has_certificate)
        return;
    facts->valid = np_agent_certificate_valid(agent);
    facts->left_s = leaf.not_after_s - np_agent_judged_s(agent);
    facts->life_s = leaf.not_after_s - leaf.not_before_s;
}

static bool clock_right(const struct np_agent *agent)
{
    int64_t system_s = (int64_t)time(NULL), steady_s = np_agent_steady_s();
    return np_clock_believed(&agent->clock, system_s, steady_s) ||
           (!agent->clock.has_signed && system_s >= np_clock_floor(&agent->clock, steady_s) - CLOCK_NEAR_S);
}

static bool is_starting(const struct np_child *child)
{
    return child && !np_child_status(child).ready;
}

void np_agent_levels(struct np_agent *agent, struct np_levels *out_levels)
{
    const struct np_enrol *e = &agent->enrol;
    int64_t since_ms = e->last_contact_ms ? e->last_contact_ms : agent->begin_ms;
    struct np_level_facts facts = {
        .state = e->state,
        .failing = e->problem[0] != 0,
        .silent_s = (np_agent_now_ms(agent) - since_ms) / 1000,
        .has_name = agent->state.name[0] != 0,
        .clock_right = clock_right(agent),
        .starting = is_starting(agent->resolver) || is_starting(agent->front),
        .unstored = e->store_problem[0] != 0,
        .damaged = agent->flash_report.damaged_count > 0,
        .verdict = np_agent_verdict(agent),
    };
    look_at_certificate(agent, &facts);
    for (size_t i = 0; i < agent->choice.interface_count && !facts.has_address; i++)
        facts.has_address = agent->choice.interfaces[i].v4_count || agent->choice.interfaces[i].v6_count;
    for (size_t i = 0; i < agent->listeners.count; i++) {
        facts.listeners += agent->listeners.items[i].wanted;
        facts.listeners_failed += agent->listeners.items[i].wanted && agent->listeners.items[i].error;
    }
    np_level_judge(&facts, out_levels);
}

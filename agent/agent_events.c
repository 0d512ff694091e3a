#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "agent/agent_private.h"
#include "resolver/base/text.h"

#define EVENTS_WAIT_MS 4000 /* below the control socket's NP_CONTROL_TIMEOUT_MS: who waits is answered with nothing */

static json_t *event_json(const struct np_event *event)
{
    return json_pack("{s:I,s:o,s:s,s:o,s:o,s:s}", "number", (json_int_t)event->number, "at",
                     np_agent_iso_time(event->at_s), "event", np_happening_word(event->what), "change",
                     event->change ? json_integer((json_int_t)event->change) : json_null(), "took_ms",
                     event->took_ms >= 0 ? json_integer((json_int_t)event->took_ms) : json_null(), "text", event->text);
}

/* The events after that number, malloc'd; NULL when out of memory. */
static char *write_events(const struct np_agent *agent, uint64_t after)
{
    json_t *array = json_array();
    for (const struct np_event *event; (event = np_events_after(&agent->events, after)); after = event->number)
        json_array_append_new(array, event_json(event));
    json_t *object = json_pack("{s:I,s:o}", "last", (json_int_t)agent->events.last, "events", array);
    char *text = object ? json_dumps(object, JSON_COMPACT | JSON_ENSURE_ASCII) : NULL;
    json_decref(object);
    return text;
}

static void answer_all(struct np_agent *agent)
{
    for (size_t i = 0; i < agent->follower_count; i++)
        np_control_answer_take(agent->control, agent->followers[i].ticket,
                               write_events(agent, agent->followers[i].after));
    agent->follower_count = 0;
    np_jobs_reschedule(&agent->jobs, NP_JOB_EVENTS, NP_JOB_NEVER);
}

void np_agent_events_due(struct np_agent *agent)
{
    answer_all(agent);
}

void np_agent_events_asked(struct np_agent *agent, uint64_t ticket, const char *words)
{
    char number[24] = "";
    size_t len = strcspn(words, " ");
    int64_t after;
    bool waits = strcmp(words + len, " wait") == 0;
    if (len < sizeof number)
        memcpy(number, words, len);
    if ((words[len] && !waits) || np_parse_int(number, 0, INT64_MAX, &after)) {
        np_control_answer_take(agent->control, ticket,
                               strdup("{\"error\":\"events wants a number, and may have wait after it\"}\n"));
        return;
    }
    /* A number from before a restart: that one has never been given out. */
    if ((uint64_t)after > agent->events.last)
        after = 0;
    if (!waits || np_events_after(&agent->events, (uint64_t)after)) {
        np_control_answer_take(agent->control, ticket, write_events(agent, (uint64_t)after));
        return;
    }
    if (agent->follower_count == NP_CONTROL_CLIENTS_MAX)
        answer_all(agent); /* places run out only when clients go without waiting for theirs */
    agent->followers[agent->follower_count++] = (struct np_agent_follower){ticket, (uint64_t)after};
    np_jobs_schedule(&agent->jobs, NP_JOB_EVENTS, np_agent_now_ms(agent) + EVENTS_WAIT_MS);
    np_agent_arm(agent);
}

static void told(struct np_agent *agent)
{
    if (agent->follower_count > 0 && !agent->stopping)
        answer_all(agent);
}

void np_agent_event(struct np_agent *agent, enum np_happening what, const char *format, ...)
{
    char text[2 * NP_EVENT_TEXT_MAX];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    np_events_add(&agent->events, what, np_agent_now_ms(agent), np_agent_judged_s(agent), text);
    told(agent);
}

void np_agent_event_step(struct np_agent *agent, enum np_happening what, const char *text)
{
    if (np_events_step(&agent->events, what, np_agent_now_ms(agent), np_agent_judged_s(agent), text))
        told(agent);
}

const char *np_agent_list(const struct np_addresses *set, char *out, size_t size)
{
    char text[NP_ADDR_TEXT_MAX];
    size_t len = 0;
    snprintf(out, size, "%s", set->v4_count + set->v6_count ? "" : "no address");
    for (size_t i = 0; i < set->v4_count + set->v6_count && len < size; i++) {
        const struct np_addr *addr = i < set->v4_count ? &set->v4[i] : &set->v6[i - set->v4_count];
        len += (size_t)snprintf(out + len, size - len, "%s%s", i ? ", " : "", np_addr_format(addr, text));
    }
    return out;
}

void np_agent_event_change(struct np_agent *agent)
{
    const struct np_address_choice *choice = &agent->choice;
    char text[2 * NP_EVENT_TEXT_MAX] = "no LAN interface", address[NP_ADDR_TEXT_MAX];
    size_t len = 0;
    for (size_t i = 0; i < choice->interface_count && len < sizeof text; i++) {
        const struct np_choice_interface *link = &choice->interfaces[i];
        len += (size_t)snprintf(text + len, sizeof text - len, "%s%s%s:", i ? "; " : "", link->name,
                                link->running ? "" : " (no carrier)");
        for (size_t k = 0; k < link->v4_count + link->v6_count && len < sizeof text; k++) {
            const struct np_prefix *p = k < link->v4_count ? &link->v4[k] : &link->v6[k - link->v4_count];
            len += (size_t)snprintf(text + len, sizeof text - len, " %s", np_addr_format(&p->addr, address));
        }
        if (link->v4_count + link->v6_count == 0 && len < sizeof text)
            len += (size_t)snprintf(text + len, sizeof text - len, " no address");
    }
    np_events_change(&agent->events, agent->network.first_event_us / 1000, np_agent_judged_s(agent), text);
    told(agent);
}

void np_agent_event_hq(struct np_agent *agent)
{
    const char *problem = agent->enrol.problem;
    bool fails = problem[0] != 0;
    if (fails == agent->hq_fails)
        return;
    agent->hq_fails = fails;
    np_agent_event(agent, NP_HAPPENED_HQ, "%s", fails ? problem : "HQ answers again");
}

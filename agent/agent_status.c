#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "agent/agent_private.h"
#include "resolver/base/error.h"
#include "resolver/base/text.h"

json_t *np_agent_iso_time(int64_t at_s)
{
    char text[NP_TIME_TEXT_MAX];
    return np_time_format(at_s, text)[0] ? json_string(text) : json_null();
}

static json_t *text_or_null(const char *text)
{
    return text && text[0] ? json_string(text) : json_null();
}

static void problem(json_t *problems, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void problem(json_t *problems, const char *format, ...)
{
    char text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    json_array_append_new(problems, json_string(text));
}

static json_t *certificate(const struct np_agent *agent, json_t *problems)
{
    struct np_x509 leaf;
    int64_t now_s = np_agent_judged_s(agent);
    if (np_enrol_leaf(&agent->state, &leaf))
        return json_null();
    json_t *names = json_array();
    for (size_t i = 0; i < leaf.name_count; i++)
        json_array_append_new(names, json_string(leaf.names[i]));
    bool valid = np_agent_certificate_valid(agent);
    if (now_s > leaf.not_after_s)
        problem(problems, "the certificate has expired");
    else if (!valid)
        problem(problems, "the certificate is not valid for this name and time");
    int64_t left_s = leaf.not_after_s - now_s;
    return json_pack("{s:b,s:s,s:o,s:o,s:o,s:I}", "valid", valid, "issuer", leaf.issuer, "names", names, "not_before",
                     np_agent_iso_time(leaf.not_before_s), "not_after", np_agent_iso_time(leaf.not_after_s),
                     "days_left", (json_int_t)(left_s > 0 ? left_s / 86400 : 0));
}

static void append_addresses(json_t *array, const struct np_addr *list, size_t count)
{
    char text[NP_ADDR_TEXT_MAX];
    for (size_t i = 0; i < count; i++)
        json_array_append_new(array, json_string(np_addr_format(&list[i], text)));
}

static json_t *address_list(const struct np_addresses *addresses)
{
    json_t *array = json_array();
    append_addresses(array, addresses->v4, addresses->v4_count);
    append_addresses(array, addresses->v6, addresses->v6_count);
    return array;
}

static json_t *addresses(const struct np_agent *agent, json_t *problems)
{
    const struct np_address_choice *choice = &agent->choice;
    const struct np_publisher *publisher = &agent->enrol.publisher;
    json_t *answered = json_array();
    size_t total = 0;
    for (size_t i = 0; i < choice->interface_count; i++) {
        const struct np_choice_interface *link = &choice->interfaces[i];
        json_t *list = json_array();
        for (size_t j = 0; j < link->v4_count; j++)
            append_addresses(list, &link->v4[j].addr, 1);
        for (size_t j = 0; j < link->v6_count; j++)
            append_addresses(list, &link->v6[j].addr, 1);
        total += link->v4_count + link->v6_count;
        json_array_append_new(
            answered, json_pack("{s:s,s:b,s:o}", "interface", link->name, "carrier", link->running, "addresses", list));
    }
    for (size_t i = 0; i < choice->missing_lan_count; i++)
        problem(problems, "LAN interface %s does not exist: check lan = in the configuration", choice->missing_lan[i]);
    if (total == 0)
        problem(problems, "no LAN interface has a usable address");
    return json_pack("{s:o,s:o,s:o}", "answered", answered, "publish", address_list(&choice->publish), "published",
                     publisher->has_confirmed ? address_list(&publisher->confirmed) : json_null());
}

static json_t *seconds_to(int64_t at_ms, int64_t now_ms)
{
    return at_ms == NP_JOB_NEVER ? json_null() : json_integer(at_ms > now_ms ? (at_ms - now_ms) / 1000 : 0);
}

static json_t *hq(struct np_agent *agent, json_t *problems)
{
    const struct np_enrol *e = &agent->enrol;
    int64_t now_ms = np_agent_now_ms(agent), due_ms = np_enrol_due(e);
    json_t *last = e->last_contact_ms ? json_integer((now_ms - e->last_contact_ms) / 1000) : json_null();
    struct np_enrol_time now = {.now_ms = now_ms, .judged_s = np_agent_judged_s(agent)};
    if (e->problem[0])
        problem(problems, "HQ: %s", e->problem);
    return json_pack("{s:s,s:o,s:o,s:o,s:o,s:o}", "url", agent->config->hq.text, "last_contact_seconds", last,
                     "next_action_seconds", seconds_to(due_ms, now_ms), "next_checkin_seconds",
                     seconds_to(e->checkin_ms, now_ms), "next_look_seconds",
                     seconds_to(np_enrol_look_ms(e, &now), now_ms), "problem", text_or_null(e->problem));
}

static json_t *child(const struct np_child *process, const char *name, json_t *problems)
{
    if (!process)
        return json_null();
    struct np_child_status status = np_child_status(process);
    if (!status.ready)
        problem(problems, "the %s process is not ready", name);
    return json_pack("{s:i,s:b,s:i}", "pid", (int)status.pid, "ready", status.ready, "restarts", (int)status.restarts);
}

static json_t *listeners(const struct np_agent *agent, json_t *problems)
{
    json_t *array = json_array();
    char text[NP_ADDR_TEXT_MAX];
    for (size_t i = 0; i < agent->listeners.count; i++) {
        const struct np_listener *item = &agent->listeners.items[i];
        if (!item->wanted)
            continue;
        json_array_append_new(array,
                              json_pack("{s:s,s:s,s:i,s:o}", "kind", np_listener_kind_name(item->kind), "address",
                                        np_addr_format(&item->local.addr, text), "port", (int)item->local.port, "error",
                                        item->error ? json_string(np_strerror(item->error)) : json_null()));
        if (item->error)
            problem(problems, "%s on %s cannot be opened: %s", np_listener_kind_name(item->kind),
                    np_endpoint_format(&item->local, text), np_strerror(item->error));
    }
    if (agent->listeners.over)
        problem(problems, "more LAN addresses than listeners: some addresses are not served");
    return array;
}

/* Every name that is answered as the box's own. */
static json_t *names(const struct np_agent *agent)
{
    json_t *array = json_array();
    char text[NP_NAME_TEXT_MAX];
    for (size_t i = 0; i < agent->view.own_count; i++)
        json_array_append_new(array, json_string(np_name_format(&agent->view.own[i].name, text)));
    return array;
}

/* Those that are asked for everything, not those of forwarded zones. */
static bool nobody_answers(const struct np_stats *stats)
{
    size_t count = 0;
    for (size_t i = 0; i < stats->upstream_count; i++) {
        if (stats->upstreams[i].zone.len > 1)
            continue;
        if (stats->upstreams[i].alive)
            return false;
        count++;
    }
    return count > 0;
}

static json_t *upstreams(const struct np_agent *agent, json_t *problems)
{
    json_t *array = json_array();
    char text[NP_VIEW_UPSTREAM_TEXT_MAX];
    for (size_t i = 0; i < agent->server_count; i++)
        json_array_append_new(array, json_string(np_view_upstream_format(&agent->servers[i], text)));
    if (agent->server_count == 0)
        problem(problems, "no DNS server to forward to");
    return array;
}

/* As the resolver wrote it, once more: only what was understood is given on. */
static json_t *resolver(const struct np_agent *agent, json_t *problems)
{
    if (agent->resolver && !agent->counters && np_child_status(agent->resolver).ready)
        problem(problems, "the resolver process does not tell its counters");
    if (agent->counters && nobody_answers(agent->counters))
        problem(problems, "no DNS server that is forwarded to answers");
    char *text = agent->counters ? np_stats_encode(agent->counters) : NULL;
    json_t *object = text ? json_loads(text, 0, NULL) : NULL;
    free(text);
    return object ? object : json_null();
}

static json_t *state_folder(const struct np_agent *agent, json_t *problems)
{
    json_t *damaged = json_array();
    for (unsigned i = 0; i < agent->flash_report.damaged_count; i++)
        json_array_append_new(damaged, json_integer((json_int_t)agent->flash_report.damaged[i]));
    if (agent->flash_report.damaged_count)
        problem(problems, "%u damaged generations were found in %s at the start", agent->flash_report.damaged_count,
                agent->config->state);
    const char *unstored = agent->enrol.store_problem;
    if (unstored[0])
        problem(problems, "%s: %s; the box goes on from memory and tries again", agent->config->state, unstored);
    return json_pack("{s:s,s:I,s:o,s:o}", "path", agent->config->state, "generation",
                     (json_int_t)agent->state.generation, "damaged", damaged, "problem", text_or_null(unstored));
}

static json_t *clock_status(const struct np_agent *agent, json_t *problems)
{
    int64_t system_s = (int64_t)time(NULL), steady_s = np_agent_steady_s();
    bool believed = np_clock_believed(&agent->clock, system_s, steady_s);
    /* A few seconds behind HQ are no news; certificates are judged by the floor meanwhile. */
    if (system_s < np_clock_floor(&agent->clock, steady_s) - 60)
        problem(problems, "the system clock is behind a time that has certainly passed");
    return json_pack("{s:b,s:o}", "believed", believed, "judged", np_agent_iso_time(np_agent_judged_s(agent)));
}

/* What is in the way of the name at home; what the other members tell themselves (HQ, the Internet) is not repeated. */
static void doctor_problem(const struct np_agent *agent, json_t *problems)
{
    if (!agent->doctor || !agent->doctor->has_result)
        return;
    switch (agent->doctor->result.verdict) {
    case NP_PROBE_FILTERED:
    case NP_PROBE_BLOCKED:
    case NP_PROBE_HIJACKED:
    case NP_PROBE_PORTAL:
    case NP_PROBE_INTERCEPTED:
        problem(problems, "%s See nameplate doctor", agent->doctor->result.summary);
        break;
    default:
        break;
    }
}

/* How it does, of the whole and of each part. */
static void set_levels(struct np_agent *agent, json_t *object)
{
    struct np_levels levels;
    json_t *parts = json_object();
    np_agent_levels(agent, &levels);
#define SET_PART(part) json_object_set_new(parts, #part, json_string(np_level_name(levels.part)));
    NP_LEVEL_PART_MAP(SET_PART)
#undef SET_PART
    json_object_set_new(object, "level", json_string(np_level_name(levels.whole)));
    json_object_set_new(object, "levels", parts);
}

char *np_agent_status(struct np_agent *agent)
{
    const struct np_enrol *e = &agent->enrol;
    char url[NP_NAME_MAX + 32] = "";
    json_t *problems = json_array();
    if (agent->state.name[0] && agent->config->https_port == 443)
        snprintf(url, sizeof url, "https://%s/", agent->state.name);
    else if (agent->state.name[0])
        snprintf(url, sizeof url, "https://%s:%u/", agent->state.name, agent->config->https_port);
    json_t *processes =
        json_pack("{s:{s:i},s:o,s:o}", "agent", "pid", (int)getpid(), "resolver",
                  child(agent->resolver, "resolver", problems), "front", child(agent->front, "front", problems));
    json_t *object = json_pack("{s:s,s:o,s:o,s:o,s:s,s:s,s:o,s:o,s:o}", "version", NP_VERSION, "name",
                               text_or_null(agent->state.name), "url", text_or_null(url), "device",
                               text_or_null(agent->state.device), "state", np_enrol_state_name(e->state), "reason",
                               e->reason, "certificate", certificate(agent, problems), "addresses",
                               addresses(agent, problems), "hq", hq(agent, problems));
    if (object) {
        json_object_set_new(object, "names", names(agent));
        json_object_set_new(object, "naming", np_agent_naming(agent));
        json_object_set_new(object, "doctor", np_agent_doctor_brief(agent));
        doctor_problem(agent, problems);
        json_object_set_new(object, "interfaces", np_agent_why(agent));
        json_object_set_new(object, "mode",
                            json_string(agent->config->mode == NP_MODE_FULL ? "full" : "own-name-only"));
        json_object_set_new(object, "deploy", np_agent_deploy_status(agent, problems));
        json_object_set_new(object, "clock", clock_status(agent, problems));
        json_object_set_new(object, "processes", processes);
        json_object_set_new(object, "listeners", listeners(agent, problems));
        json_object_set_new(object, "upstreams", upstreams(agent, problems));
        json_object_set_new(object, "resolver", resolver(agent, problems));
        json_object_set_new(object, "state_folder", state_folder(agent, problems));
        json_object_set_new(object, "problems", problems);
        set_levels(agent, object);
    }
    char *text = object ? json_dumps(object, JSON_INDENT(2) | JSON_ENSURE_ASCII) : NULL;
    json_decref(object);
    size_t len = text ? strlen(text) : 0;
    char *line = text ? realloc(text, len + 2) : NULL;
    if (!line) {
        free(text);
        return NULL;
    }
    memcpy(line + len, "\n", 2);
    return line;
}

char *np_agent_leave_status(const struct np_agent *agent)
{
    static const char *const words[] = {[NP_LEAVE_NONE] = "none",           [NP_LEAVE_UNDER_WAY] = "under-way",
                                        [NP_LEAVE_FAILED] = "failed",       [NP_LEAVE_FORGETTING] = "under-way",
                                        [NP_LEAVE_UNWRITTEN] = "unwritten", [NP_LEAVE_DONE] = "done"};
    const struct np_enrol *e = &agent->enrol;
    json_t *object =
        json_pack("{s:s,s:o,s:o}", "leave", words[e->leave], "problem",
                  text_or_null(e->leave == NP_LEAVE_FAILED || e->leave == NP_LEAVE_UNWRITTEN ? e->leave_problem : NULL),
                  "name", text_or_null(agent->state.name));
    char *text = object ? json_dumps(object, JSON_COMPACT | JSON_ENSURE_ASCII) : NULL;
    json_decref(object);
    return text;
}

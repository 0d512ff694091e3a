/* Names that the owner chooses: what the control socket asks and shows, and what the events tell. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/agent_private.h"
#include "resolver/base/log.h"

static json_t *text_or_null(const char *text)
{
    return text && text[0] ? json_string(text) : json_null();
}

json_t *np_agent_naming(const struct np_agent *agent)
{
    const struct np_state *s = &agent->state;
    json_t *old = s->old[0] && strcmp(s->old, s->name) != 0
                      ? json_pack("{s:s,s:o}", "name", s->old, "until", np_agent_iso_time(s->old_until_s))
                      : json_null();
    return json_pack("{s:o,s:o}", "wanted", text_or_null(strcmp(s->wanted, s->name) != 0 ? s->wanted : NULL), "old",
                     old);
}

static json_t *offer(const struct np_enrol *e)
{
    if (e->ask != NP_NAME_DONE || !e->offer.name[0])
        return json_null();
    json_t *sentences = json_array();
    for (size_t i = 0; i < e->offer.public_count; i++)
        json_array_append_new(sentences, json_string(e->offer.becomes_public[i]));
    return json_pack("{s:s,s:o,s:o}", "name", e->offer.name, "until", np_agent_iso_time(e->offer.until_s), "public",
                     sentences);
}

/* How the last question stands, and what the box is called; malloc'd, NULL when out of memory. */
static char *name_status(const struct np_agent *agent)
{
    static const char *const words[] = {[NP_NAME_NONE] = "none",
                                        [NP_NAME_UNDER_WAY] = "under-way",
                                        [NP_NAME_FAILED] = "failed",
                                        [NP_NAME_DONE] = "done"};
    const struct np_enrol *e = &agent->enrol;
    json_t *problem = e->ask == NP_NAME_FAILED
                          ? json_pack("{s:o,s:s}", "type", text_or_null(e->ask_word), "detail", e->ask_problem)
                          : json_null();
    json_t *object =
        json_pack("{s:s,s:o,s:b,s:o,s:o,s:o}", "ask", words[e->ask], "asked", text_or_null(e->ask_label), "check",
                  e->ask_check, "problem", problem, "offer", offer(e), "name", text_or_null(agent->state.name));
    json_t *naming = np_agent_naming(agent);
    if (object && naming)
        json_object_update(object, naming);
    json_decref(naming);
    char *text = object ? json_dumps(object, JSON_COMPACT | JSON_ENSURE_ASCII) : NULL;
    json_decref(object);
    return text;
}

/* Is it one that HQ may be asked for: a label, and nothing that a control line or a log would stumble over? What is
 * wrong with it otherwise HQ says. */
static bool is_label(const char *text)
{
    size_t len = strlen(text);
    return len > 0 && len <= NP_NAME_MAX &&
           strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                        "0123456789-_.") == len;
}

char *np_agent_name_asked(struct np_agent *agent, const char *words, bool owner)
{
    struct np_enrol_event event = {.type = NP_EVENT_NAME, .check = strncmp(words, "check ", 6) == 0};
    if (!words[0])
        return name_status(agent);
    if (!owner)
        return strdup("{\"error\":\"only root and the agent's own user may ask for a name\"}\n");
    if (!event.check && strncmp(words, "request ", 8) != 0)
        return strdup("{\"error\":\"name wants check NAME, request NAME, or nothing\"}\n");
    event.reason = words + (event.check ? 6 : 8);
    if (!is_label(event.reason))
        return strdup("{\"error\":\"a name has letters, digits and hyphens\"}\n");
    if (agent->enrol.ask == NP_NAME_UNDER_WAY)
        return strdup("{\"error\":\"another question for a name is under way\"}\n");
    np_agent_enrol(agent, &event);
    return name_status(agent);
}

void np_agent_names_keep(const struct np_agent *agent, struct np_agent_names *out)
{
    const struct np_state *s = &agent->state;
    memcpy(out->name, s->name, sizeof out->name);
    memcpy(out->wanted, s->wanted, sizeof out->wanted);
    memcpy(out->old, s->old, sizeof out->old);
    memcpy(out->san, s->san, sizeof out->san);
    out->san_count = s->san_count;
}

static void tell_old(struct np_agent *agent, const struct np_agent_names *before)
{
    const struct np_state *s = &agent->state;
    char until[NP_TIME_TEXT_MAX];
    if (strcmp(before->old, s->old) == 0 || !s->name[0])
        return;
    if (s->old[0] && strcmp(s->old, s->name) != 0)
        np_agent_event(agent, NP_HAPPENED_NAME, "%.100s leads here until %s", s->old,
                       np_time_format(s->old_until_s, until));
    else if (before->old[0] && !s->old[0])
        np_agent_event(agent, NP_HAPPENED_NAME, "%.100s is not served any more", before->old);
}

void np_agent_names_compare(struct np_agent *agent, const struct np_agent_names *before)
{
    const struct np_state *s = &agent->state;
    bool name = strcmp(before->name, s->name) != 0, wanted = strcmp(before->wanted, s->wanted) != 0;
    if (!name && !wanted && strcmp(before->old, s->old) == 0 && before->san_count == s->san_count &&
        memcmp(before->san, s->san, sizeof before->san) == 0)
        return;
    if (name && s->name[0]) {
        np_notice("this box is %s", s->name);
        np_agent_event(agent, NP_HAPPENED_NAME, "this box is %s", s->name);
    }
    if (wanted && s->wanted[0] && strcmp(s->wanted, s->name) != 0) {
        np_notice("HQ gives this box the name %s; it counts once its certificate is there", s->wanted);
        np_agent_event(agent, NP_HAPPENED_NAME, "%.60s is given; it counts once its certificate is there", s->wanted);
    } else if (wanted && before->wanted[0] && s->name[0] && strcmp(before->wanted, s->name) != 0) {
        np_warning("the name %s got no certificate: this box stays %s", before->wanted, s->name);
        np_agent_event(agent, NP_HAPPENED_NAME, "%.60s got no certificate; this box stays %.60s", before->wanted,
                       s->name);
    }
    tell_old(agent, before);
    np_agent_update_view(agent);
}

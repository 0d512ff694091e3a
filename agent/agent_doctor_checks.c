/* What the doctor tells: checks of what the agent knows by itself, and the verdicts of a round. */
#include <errno.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "agent/agent_doctor.h"
#include "agent/agent_private.h"
#include "agent/certificate/pem.h"
#include "agent/certificate/renew.h"
#include "agent/network/exceptions.h"
#include "resolver/base/error.h"

#define TEXT_MAX       512
#define HQ_SILENCE_S   (30 * 3600) /* a check-in a day, and a retry */
#define MENDS_MAX      4           /* ways out shown for one finding */
#define CLOCK_BEHIND_S 60          /* a few seconds behind HQ are no news */

/* Grows with gravity; the words are docs/schema/doctor.schema.json's. */
enum level { FINE, NOTE, UNKNOWN, FINDING };

static const char *const level_words[] = {"fine", "note", "unknown", "finding"};

struct report {
    struct np_agent *agent;
    json_t *checks;
    enum level worst;
};

static json_t *check(struct report *r, enum level level, const char *id, const char *code, const char *format, ...)
    __attribute__((format(printf, 5, 6)));

/* Adds a check; the object is borrowed from the list (NULL when out of memory, which json_object_set_new takes). */
static json_t *check(struct report *r, enum level level, const char *id, const char *code, const char *format, ...)
{
    char text[TEXT_MAX];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    json_t *object = json_pack("{s:s,s:s,s:s,s:s,s:[]}", "check", id, "level", level_words[level], "code", code, "text",
                               text, "mend");
    if (level > r->worst)
        r->worst = level;
    if (json_array_append_new(r->checks, object) < 0)
        return NULL;
    return object;
}

/* The home's side of it. */

static void check_links(struct report *r)
{
    const struct np_address_choice *choice = &r->agent->choice;
    for (size_t i = 0; i < choice->missing_lan_count; i++)
        check(r, FINDING, "link", "missing", "%s: there is no such interface; lan = in the configuration names it",
              choice->missing_lan[i]);
    for (size_t i = 0; i < choice->interface_count; i++) {
        const struct np_choice_interface *link = &choice->interfaces[i];
        if (link->running)
            check(r, FINE, "link", "up", "%s: up, with carrier", link->name);
        else
            check(r, choice->interface_count > 1 ? NOTE : FINDING, "link", "no-carrier",
                  "%s: no carrier: the cable is out, or the other end is off", link->name);
    }
    if (choice->interface_count == 0)
        check(r, FINDING, "link", "none", "there is no LAN interface: nameplate status --why tells why");
}

static void check_addresses(struct report *r)
{
    const struct np_address_choice *choice = &r->agent->choice;
    char text[TEXT_MAX];
    size_t v4 = 0, v6 = 0;
    for (size_t i = 0; i < choice->interface_count; i++) {
        v4 += choice->interfaces[i].v4_count;
        v6 += choice->interfaces[i].v6_count;
    }
    if (v4 + v6 == 0) {
        check(r, FINDING, "address", "none", "no LAN interface has an address that clients can use");
        return;
    }
    check(r, FINE, "address", "present", "answered: %s", np_agent_list(&choice->primary, text, sizeof text));
    if (v6 > 0)
        check(r, FINE, "ipv6", "present", "%zu IPv6 addresses on the LAN", v6);
    else
        check(r, NOTE, "ipv6", "none", "no IPv6 address on the LAN: devices reach this box by IPv4 alone");
}

static void check_clock(struct report *r)
{
    const struct np_agent *agent = r->agent;
    int64_t system_s = (int64_t)time(NULL), steady_s = np_agent_steady_s();
    if (system_s < np_clock_floor(&agent->clock, steady_s) - CLOCK_BEHIND_S)
        check(r, FINDING, "clock", "behind",
              "the system clock is behind a time that has certainly passed: set it, or start its NTP client");
    else if (!np_clock_believed(&agent->clock, system_s, steady_s))
        check(r, NOTE, "clock", "unsure", "nobody has confirmed the system clock since the start");
    else
        check(r, FINE, "clock", "right", "the system clock is believed");
    if (agent->entropy.ready)
        check(r, FINE, "entropy", "ready", "the kernel's random pool is ready");
    else
        check(r, FINDING, "entropy", "waiting", "the kernel's random pool is not ready: no key is made until it is");
}

static void check_listeners(struct report *r)
{
    const struct np_listeners *l = &r->agent->listeners;
    char text[NP_ADDR_TEXT_MAX];
    size_t open = 0, wanted = 0;
    for (size_t i = 0; i < l->count; i++) {
        const struct np_listener *item = &l->items[i];
        wanted += item->wanted;
        open += item->wanted && item->error == 0;
        if (!item->wanted || item->error == 0)
            continue;
        json_t *object = check(r, FINDING, "listener", item->error == -EADDRINUSE ? "in-use" : "failed",
                               "%s on %s cannot be opened: %s", np_listener_kind_name(item->kind),
                               np_endpoint_format(&item->local, text), np_strerror(item->error));
        json_object_set_new(object, "listener",
                            json_pack("{s:s,s:s,s:i}", "kind", np_listener_kind_name(item->kind), "address",
                                      np_addr_format(&item->local.addr, text), "port", (int)item->local.port));
    }
    if (open == wanted && wanted > 0)
        check(r, FINE, "listener", "open", "all %zu are open", wanted);
    if (l->over)
        check(r, FINDING, "listener", "too-many", "more LAN addresses than listeners: some are not served");
}

static void check_child(struct report *r, const struct np_child *child, const char *name)
{
    if (!child)
        return;
    struct np_child_status status = np_child_status(child);
    if (!status.ready)
        check(r, FINDING, "process", "not-ready", "the %s process is not ready", name);
    else if (status.restarts > 0)
        check(r, NOTE, "process", "restarted", "the %s process was started again %u times", name, status.restarts);
    else
        check(r, FINE, "process", "ready", "%s: ready", name);
}

static void check_folder(struct report *r)
{
    const struct np_agent *agent = r->agent;
    const char *unstored = agent->enrol.store_problem, *path = agent->config->state;
    if (unstored[0])
        check(r, FINDING, "state-folder", "unwritable", "%s: %s; the box goes on from memory and tries again", path,
              unstored);
    else if (agent->flash_report.damaged_count)
        check(r, NOTE, "state-folder", "damaged", "%u damaged generations were found in %s at the start",
              agent->flash_report.damaged_count, path);
    else
        check(r, FINE, "state-folder", "good", "%s: generation %llu", path,
              (unsigned long long)agent->state.generation);
}

/* HQ and the certificate. */

static void check_hq(struct report *r)
{
    struct np_agent *agent = r->agent;
    const struct np_enrol *e = &agent->enrol;
    const struct np_doctor_shake *hq = &agent->doctor->hq;
    int64_t silent_s = e->last_contact_ms ? (np_agent_now_ms(agent) - e->last_contact_ms) / 1000 : -1;
    if (hq->asked && !hq->over)
        check(r, FINDING, "hq", "slow", "%s does not answer in time", agent->config->hq.host);
    else if (hq->asked && (hq->err == NP_E_CHAIN || hq->err == NP_E_NAME))
        check(r, FINDING, "hq", "impostor",
              "%s leads to a server that is not HQ (%s): a login page (captive portal), or something that opens TLS",
              agent->config->hq.host, hq->why);
    else if (hq->asked && hq->err)
        check(r, FINDING, "hq", "unreachable", "%s cannot be reached: %s", agent->config->hq.host, hq->why);
    else if (e->state == NP_ENROL_BLOCKED)
        check(r, FINDING, "hq", "blocked", "HQ wants no requests of this box: %s", e->problem);
    else if (e->state == NP_ENROL_REFUSED)
        check(r, FINDING, "hq", "refused", "%s", e->reason);
    else if (e->problem[0])
        check(r, FINDING, "hq", "failing", "%s", e->problem);
    else if (silent_s > HQ_SILENCE_S)
        check(r, FINDING, "hq", "silent", "no answer for %lld h", (long long)(silent_s / 3600));
    else if (silent_s < 0)
        check(r, NOTE, "hq", "not-asked", "%s %s; nothing had to be asked since the start", agent->config->hq.host,
              hq->asked ? "can be reached" : "was not asked yet");
    else
        check(r, FINE, "hq", "answers", "%s answers, last %lld s ago", agent->config->hq.host, (long long)silent_s);
}

static void check_name(struct report *r)
{
    const struct np_agent *agent = r->agent;
    if (agent->state.name[0])
        check(r, FINE, "name", "given", "%s", agent->state.name);
    else
        check(r, FINDING, "name", "none", "this box has no name yet: %s (%s)", np_enrol_state_name(agent->enrol.state),
              agent->enrol.reason);
}

static void check_certificate(struct report *r)
{
    const struct np_agent *agent = r->agent;
    struct np_x509 leaf;
    int64_t now_s = np_agent_judged_s(agent);
    if (np_enrol_leaf(&agent->state, &leaf)) {
        check(r, agent->state.name[0] ? FINDING : UNKNOWN, "certificate", "none", "there is none yet: %s (%s)",
              np_enrol_state_name(agent->enrol.state), agent->enrol.reason);
        return;
    }
    long long days = (long long)((leaf.not_after_s - now_s) / 86400);
    bool late = now_s > np_renew_from_s(leaf.not_before_s, leaf.not_after_s);
    if (now_s > leaf.not_after_s)
        check(r, FINDING, "certificate", "expired", "it ended %lld days ago: %s", -days,
              agent->enrol.problem[0] ? agent->enrol.problem : "HQ has no newer one yet");
    else if (!np_agent_certificate_valid(agent))
        check(r, FINDING, "certificate", "not-valid", "it is not valid for this name and time");
    else
        check(r, late ? NOTE : FINE, "certificate", late ? "ageing" : "valid", "valid for %lld days more%s", days,
              late ? "; a newer one is being looked for" : "");
}

/* The one that is stored is the one that clients get: "renewed but not served" is the most frequent failure of
 * certificates on routers. */
static void check_served(struct report *r)
{
    const struct np_agent *agent = r->agent;
    const struct np_doctor_shake *front = &agent->doctor->front;
    struct np_pem pem = {.text = agent->state.chain, .len = strlen(agent->state.chain)};
    uint8_t der[NP_PACKAGE_DER_MAX], digest[32];
    char text[NP_ADDR_TEXT_MAX];
    if (!front->asked)
        return;
    np_endpoint_format(&front->remote, text);
    long n = np_pem_next(&pem, "CERTIFICATE", der, sizeof der);
    if (n <= 0 || !front->over || front->err || !front->has_digest) {
        check(r, FINDING, "served", "no-handshake", "no TLS at %s: %s", text,
              front->over ? front->why : "no answer in time");
        return;
    }
    np_sha256(der, (size_t)n, digest);
    if (memcmp(digest, front->digest, sizeof digest) == 0)
        check(r, FINE, "served", "same", "%s serves the installed certificate (%lld ms)", text,
              (long long)front->took_ms);
    else
        check(r, FINDING, "served", "another", "%s serves another certificate than the one that is installed", text);
}

/* Other servers of the machine, as the root oneshot has found them. */
static void check_deployed(struct report *r)
{
    json_t *problems = json_array(), *status = np_agent_deploy_status(r->agent, problems);
    const char *state = json_string_value(json_object_get(status, "state"));
    for (size_t i = 0; i < json_array_size(problems); i++)
        check(r, FINDING, "deploy", "not-served", "%s", json_string_value(json_array_get(problems, i)));
    if (state && strcmp(state, "served") == 0)
        check(r, FINE, "deploy", "served", "every other server of the machine presents the certificate");
    else if (state && strcmp(state, "waiting") == 0)
        check(r, NOTE, "deploy", "waiting", "other servers of the machine have not been given the certificate yet");
    json_decref(status);
    json_decref(problems);
}

/* The round. */

static json_t *mend_json(const char *kind, const char *name)
{
    char text[NP_EXCEPTION_MAX];
    json_t *lines = json_array();
    if (np_exception_text(kind, name, text, sizeof text) < 0)
        text[0] = 0;
    for (char *rest = text, *line; (line = strsep(&rest, "\n"));) {
        if (rest || line[0])
            json_array_append_new(lines, json_string(line));
    }
    return json_pack("{s:s,s:s,s:o}", "kind", kind, "where", np_exception_title(kind), "lines", lines);
}

/* Ways out, by how the filter shows itself: the likeliest first. */
static const char *const ways[][MENDS_MAX + 1] = {
    [NP_SIGNATURE_NONE] = {NULL},
    [NP_SIGNATURE_DNSMASQ] = {"dnsmasq", "openwrt", NULL},
    [NP_SIGNATURE_UNBOUND] = {"unbound", "pfsense", NULL},
    [NP_SIGNATURE_KNOT_RESOLVER] = {"knot-resolver", NULL},
    [NP_SIGNATURE_NAMEPLATE] = {"nameplate", NULL},
    [NP_SIGNATURE_NODATA] = {"fritzbox", "openwrt", "unbound", "pfsense", NULL},
    [NP_SIGNATURE_ZEROS] = {"adguard", NULL},
    [NP_SIGNATURE_NXDOMAIN] = {"adguard", "fritzbox", NULL},
    [NP_SIGNATURE_REFUSED] = {"adguard", "fritzbox", NULL},
};

static void add_mends(json_t *object, enum np_probe_signature signature, const char *name)
{
    json_t *mend = json_object_get(object, "mend");
    for (size_t i = 0; ways[signature][i]; i++)
        json_array_append_new(mend, mend_json(ways[signature][i], name));
}

bool np_agent_is_homes_resolver(const struct np_agent *agent)
{
    const struct np_agent_config *c = agent->config;
    return c->policy.role == NP_ROLE_ROUTER && c->dns && c->mode == NP_MODE_FULL && !c->dns_loopback;
}

static enum level level_of(const struct report *r, const struct np_probe_server *server, enum np_probe_verdict verdict)
{
    bool upstream =
        np_agent_is_homes_resolver(r->agent) && server->role != NP_PROBE_SELF && server->role != NP_PROBE_ZONE;
    switch (verdict) {
    case NP_PROBE_FINE:
    case NP_PROBE_UNPUBLISHED:
        return FINE;
    case NP_PROBE_NO_ANSWER:
    case NP_PROBE_REFUSING:
        if (server->role == NP_PROBE_GATEWAY)
            return FINE;
        return server->role == NP_PROBE_ZONE ? NOTE : FINDING;
    case NP_PROBE_FILTERED:
    case NP_PROBE_STALE:
    case NP_PROBE_BLOCKED:
        return upstream ? NOTE : FINDING;
    case NP_PROBE_UNTESTED:
        return UNKNOWN;
    default:
        return FINDING;
    }
}

static void check_server(struct report *r, size_t i)
{
    static const char *const roles[] = {"the zone's server", "the home's resolver", "the gateway", "this box at"};
    const struct np_agent_doctor *d = r->agent->doctor;
    const struct np_probe_server *server = &d->servers[i];
    const struct np_probe_finding *finding = &d->result.servers[i];
    enum level level = level_of(r, server, finding->verdict);
    const char *software = server->answers[NP_PROBE_VERSION].software;
    const struct np_probe_answer *own = &server->answers[NP_PROBE_OWN4];
    char text[NP_ADDR_TEXT_MAX];
    np_addr_format(&server->server.addr, text);
    json_t *object =
        check(r, level, "dns", np_probe_verdict_word(finding->verdict), "%s %s: %s%s", roles[server->role], text,
              finding->why,
              level == NOTE && server->role != NP_PROBE_ZONE ? "; the home's devices ask this box, which answers itself"
                                                             : "");
    json_object_set_new(
        object, "server",
        json_pack("{s:s,s:i,s:s,s:s,s:o,s:o}", "address", text, "port", (int)server->server.port, "role",
                  np_probe_role_word(server->role), "signature", np_probe_signature_word(finding->signature),
                  "software", software[0] ? json_string(software) : json_null(), "rtt_ms",
                  own->state == NP_PROBE_ANSWERED ? json_integer((json_int_t)own->rtt_ms) : json_null()));
    if (level > FINE)
        add_mends(object, finding->signature, r->agent->state.name);
}

static void check_round(struct report *r)
{
    const struct np_agent_doctor *d = r->agent->doctor;
    const struct np_visible *v = &r->agent->visible;
    if (d->result.verdict == NP_PROBE_NO_INTERNET || d->result.verdict == NP_PROBE_PORTAL)
        check(r, FINDING, "internet", np_probe_verdict_word(d->result.verdict), "%s", d->result.summary);
    for (size_t i = 0; i < d->count; i++)
        check_server(r, i);
    if (r->agent->state.name[0] && r->agent->state.nameserver_count == 0)
        check(r, UNKNOWN, "dns", "no-servers", "HQ has not told the zone's name servers");
    else if (r->agent->state.name[0] && r->agent->zone_servers.count == 0)
        check(r, UNKNOWN, "dns", "no-servers", "the zone's name servers cannot be found");
    if (v->state == NP_VISIBLE_NO)
        check(r, FINDING, "visible", "not-visible",
              "HQ has taken the addresses, but the zone's name servers did not show them (%zu of %zu)", v->right,
              v->asked);
    else if (v->state == NP_VISIBLE_ASKING)
        check(r, NOTE, "visible", "asking", "the zone's name servers are being watched for the last push");
}

static const char *verdict_of(enum level worst)
{
    return worst == FINDING ? "findings" : worst == UNKNOWN ? "unknown" : "fine";
}

char *np_agent_doctor_write(struct np_agent *agent)
{
    const struct np_agent_doctor *d = agent->doctor;
    struct report r = {.agent = agent, .checks = json_array()};
    check_name(&r);
    check_links(&r);
    check_addresses(&r);
    check_clock(&r);
    check_listeners(&r);
    check_child(&r, agent->resolver, "resolver");
    check_child(&r, agent->front, "front");
    check_folder(&r);
    check_hq(&r);
    check_certificate(&r);
    check_served(&r);
    check_deployed(&r);
    check_round(&r);
    json_t *object = json_pack("{s:s,s:o,s:s,s:s,s:s,s:o,s:I,s:I,s:o}", "version", NP_VERSION, "name",
                               agent->state.name[0] ? json_string(agent->state.name) : json_null(), "verdict",
                               verdict_of(r.worst), "network", np_probe_verdict_word(d->result.verdict), "summary",
                               d->result.summary, "at", np_agent_iso_time(d->at_s), "took_ms", (json_int_t)d->took_ms,
                               "agent_pid", (json_int_t)getpid(), "checks", r.checks);
    char *text = object ? json_dumps(object, JSON_INDENT(2) | JSON_ENSURE_ASCII) : NULL;
    json_decref(object);
    return text;
}

/* The front's word for a verdict (agent/front/news.h); what it has none for says nothing to a person at home. */
static enum np_verdict_kind front_kind(enum np_probe_verdict verdict)
{
    switch (verdict) {
    case NP_PROBE_FINE:
        return NP_VERDICT_FINE;
    case NP_PROBE_FILTERED:
    case NP_PROBE_BLOCKED:
        return NP_VERDICT_FILTERED;
    case NP_PROBE_STALE:
        return NP_VERDICT_STALE;
    case NP_PROBE_HIJACKED:
        return NP_VERDICT_HIJACKED;
    case NP_PROBE_INTERCEPTED:
        return NP_VERDICT_INTERCEPTED;
    case NP_PROBE_NO_INTERNET:
        return NP_VERDICT_OFFLINE;
    case NP_PROBE_PORTAL:
        return NP_VERDICT_CAPTIVE;
    default:
        return NP_VERDICT_UNKNOWN;
    }
}

/* The lines of the likeliest way, where the filter is known well enough; else the page shows its general ones. */
static void fill_mend(struct np_verdict *out, enum np_probe_signature signature, const char *name)
{
    char text[NP_EXCEPTION_MAX];
    if (signature == NP_SIGNATURE_NODATA || signature == NP_SIGNATURE_NXDOMAIN || signature == NP_SIGNATURE_REFUSED ||
        !ways[signature][0] || np_exception_text(ways[signature][0], name, text, sizeof text) < 0)
        return;
    for (char *rest = text, *line; (line = strsep(&rest, "\n")) && out->mend_count < NP_NEWS_LINES_MAX;) {
        if (line[0])
            snprintf(out->mend[out->mend_count++], sizeof out->mend[0], "%s", line);
    }
}

void np_agent_doctor_tell_front(struct np_agent *agent)
{
    const struct np_agent_doctor *d = agent->doctor;
    const struct np_probe_result *result = &d->result;
    struct np_verdict verdict = {.kind = front_kind(result->verdict), .checked_s = d->at_s};
    char text[NP_ADDR_TEXT_MAX];
    if (result->culprit < d->count && result->verdict != NP_PROBE_INTERCEPTED) {
        snprintf(verdict.by, sizeof verdict.by, "%s", np_addr_format(&d->servers[result->culprit].server.addr, text));
        fill_mend(&verdict, result->servers[result->culprit].signature, agent->state.name);
    }
    np_agent_set_verdict(agent, &verdict);
}

json_t *np_agent_doctor_brief(struct np_agent *agent)
{
    const struct np_agent_doctor *d = agent->doctor;
    if (!d || !d->has_result)
        return json_null();
    bool about_one = d->result.culprit < d->count;
    char text[NP_ADDR_TEXT_MAX];
    return json_pack(
        "{s:s,s:s,s:s,s:o,s:I}", "verdict", np_probe_verdict_word(d->result.verdict), "summary", d->result.summary,
        "signature",
        np_probe_signature_word(about_one ? d->result.servers[d->result.culprit].signature : NP_SIGNATURE_NONE),
        "server",
        about_one ? json_string(np_addr_format(&d->servers[d->result.culprit].server.addr, text)) : json_null(),
        "seconds_ago", (json_int_t)((np_agent_now_ms(agent) - d->at_ms) / 1000));
}

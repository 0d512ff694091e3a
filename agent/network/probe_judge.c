#include "agent/network/probe_judge.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "resolver/message.h"

#define WORD(name, word) [name] = word,

const char *np_probe_verdict_word(enum np_probe_verdict verdict)
{
    static const char *const words[] = {NP_PROBE_VERDICT_MAP(WORD)};
    return (size_t)verdict < sizeof words / sizeof *words ? words[verdict] : "unknown";
}

const char *np_probe_signature_word(enum np_probe_signature signature)
{
    static const char *const words[] = {NP_PROBE_SIGNATURE_MAP(WORD)};
    return (size_t)signature < sizeof words / sizeof *words ? words[signature] : "unknown";
}

const char *np_probe_role_word(enum np_probe_role role)
{
    static const char *const words[] = {"zone", "offered", "gateway", "self"};
    return words[role];
}

static void conclude(struct np_probe_finding *out, enum np_probe_verdict verdict, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void conclude(struct np_probe_finding *out, enum np_probe_verdict verdict, const char *format, ...)
{
    va_list args;
    out->verdict = verdict;
    va_start(args, format);
    vsnprintf(out->why, sizeof out->why, format, args);
    va_end(args);
}

static bool is_in(const struct np_addr *list, size_t count, const struct np_addr *addr)
{
    for (size_t i = 0; i < count; i++) {
        if (np_addr_equal(&list[i], addr))
            return true;
    }
    return false;
}

static bool has(const struct np_addresses *set, const struct np_addr *addr)
{
    return addr->family == AF_INET ? is_in(set->v4, set->v4_count, addr) : is_in(set->v6, set->v6_count, addr);
}

static bool is_empty(const struct np_addresses *set)
{
    return set->v4_count + set->v6_count == 0;
}

static bool answered(const struct np_probe_server *server, enum np_probe_item item)
{
    return server->asked[item] && server->answers[item].state == NP_PROBE_ANSWERED;
}

static bool has_addresses(const struct np_probe_server *server, enum np_probe_item item)
{
    return answered(server, item) && server->answers[item].address_count > 0;
}

/* Has a server said that there is nothing (NODATA, NXDOMAIN, REFUSED), as a filter does? SERVFAIL is a failure. */
static bool says_nothing(const struct np_probe_server *server, enum np_probe_item item)
{
    const struct np_probe_answer *a = &server->answers[item];
    return answered(server, item) && a->address_count == 0 &&
           (a->rcode == NP_RCODE_NOERROR || a->rcode == NP_RCODE_NXDOMAIN || a->rcode == NP_RCODE_REFUSED);
}

/* An address that is no place at all: what block lists answer. */
static bool is_nowhere(const struct np_addr *addr)
{
    enum np_addr_class class = np_addr_classify(addr);
    return class == NP_ADDR_UNSPECIFIED || class == NP_ADDR_LOOPBACK;
}

static bool all_nowhere(const struct np_probe_answer *answer)
{
    for (size_t i = 0; i < answer->address_count; i++) {
        if (!is_nowhere(&answer->addresses[i]))
            return false;
    }
    return answer->address_count > 0;
}

static const char *first_address(const struct np_probe_answer *answer, char buffer[NP_ADDR_TEXT_MAX])
{
    return answer->address_count ? np_addr_format(&answer->addresses[0], buffer) : "nothing";
}

static const char *rcode_text(uint16_t rcode)
{
    switch (rcode) {
    case NP_RCODE_NOERROR:
        return "an empty answer";
    case NP_RCODE_SERVFAIL:
        return "SERVFAIL";
    case NP_RCODE_NXDOMAIN:
        return "NXDOMAIN";
    case NP_RCODE_REFUSED:
        return "REFUSED";
    default:
        return "an error";
    }
}

/* Who makes such an answer. The name that the software gives itself is worth more than the answer's shape. */
static enum np_probe_signature sign(const struct np_probe_server *server, const struct np_probe_answer *answer)
{
    static const struct {
        const char *name;
        enum np_probe_signature signature;
    } software[] = {{"dnsmasq", NP_SIGNATURE_DNSMASQ},
                    {"unbound", NP_SIGNATURE_UNBOUND},
                    {"knot resolver", NP_SIGNATURE_KNOT_RESOLVER},
                    {"kresd", NP_SIGNATURE_KNOT_RESOLVER}};
    const char *name = answered(server, NP_PROBE_VERSION) ? server->answers[NP_PROBE_VERSION].software : "";
    if (all_nowhere(answer))
        return NP_SIGNATURE_ZEROS;
    for (size_t i = 0; i < sizeof software / sizeof *software; i++) {
        if (strncasecmp(name, software[i].name, strlen(software[i].name)) == 0)
            return software[i].signature;
    }
    if (answer->rcode == NP_RCODE_REFUSED)
        return answer->ede == NP_EDE_PROHIBITED ? NP_SIGNATURE_KNOT_RESOLVER : NP_SIGNATURE_REFUSED;
    if (answer->rcode == NP_RCODE_NXDOMAIN)
        return NP_SIGNATURE_NXDOMAIN;
    if (answer->ede == NP_EDE_BLOCKED)
        return answer->soa ? NP_SIGNATURE_NAMEPLATE : NP_SIGNATURE_DNSMASQ;
    return NP_SIGNATURE_NODATA;
}

/* What the judging of one resolver goes by. */
struct judging {
    const struct np_probe_facts *facts;
    struct np_addresses wanted;                   /* what the own name should be answered with */
    bool has_rebind, has_plain;                   /* the zone has probe names; true too where it could not be asked */
    struct np_addr plain[NP_PROBE_ADDRESSES_MAX]; /* what it answers for plain names; none: not known */
    size_t plain_count;
};

/* Names that nobody registered are answered with something: two fresh names with the same address, or a plain name with
 * one that the zone does not give. */
static bool is_hijacked(const struct judging *j, const struct np_probe_server *server, struct np_probe_finding *out)
{
    const struct np_probe_answer *plain = &server->answers[NP_PROBE_PLAIN];
    const struct np_probe_answer *rebind = &server->answers[NP_PROBE_REBIND];
    char text[NP_ADDR_TEXT_MAX];
    if (!has_addresses(server, NP_PROBE_PLAIN) || all_nowhere(plain))
        return false;
    bool wrong = false;
    for (size_t i = 0; i < plain->address_count; i++) {
        wrong |= j->plain_count > 0 && !is_in(j->plain, j->plain_count, &plain->addresses[i]);
        wrong |= has_addresses(server, NP_PROBE_REBIND) && j->plain_count == 0 &&
                 is_in(rebind->addresses, rebind->address_count, &plain->addresses[i]);
    }
    if (wrong)
        conclude(out, NP_PROBE_HIJACKED, "it answers a fresh name with %s, which is not what the zone has",
                 first_address(plain, text));
    return wrong;
}

/* Does it take private addresses out of a name that nobody has an exception for, while public ones pass? */
static bool filters(const struct judging *j, const struct np_probe_server *server)
{
    bool nothing = says_nothing(server, NP_PROBE_REBIND);
    bool nowhere = has_addresses(server, NP_PROBE_REBIND) && all_nowhere(&server->answers[NP_PROBE_REBIND]);
    return j->has_rebind && (nothing || nowhere) && (!j->has_plain || has_addresses(server, NP_PROBE_PLAIN));
}

/* Its answers for the own name, both families as one. */
struct own {
    struct np_addr addresses[2 * NP_PROBE_ADDRESSES_MAX];
    size_t count;
    const struct np_probe_answer *empty; /* one that lacks what it should have; NULL: none does */
    bool failed, silent;                 /* SERVFAIL and the like; nothing came for either family */
};

static void gather_own(const struct judging *j, const struct np_probe_server *server, struct own *out)
{
    static const enum np_probe_item items[2] = {NP_PROBE_OWN4, NP_PROBE_OWN6};
    size_t wanted[2] = {j->wanted.v4_count, j->wanted.v6_count}, heard = 0;
    memset(out, 0, sizeof *out);
    for (int i = 0; i < 2; i++) {
        const struct np_probe_answer *a = &server->answers[items[i]];
        heard += answered(server, items[i]);
        if (says_nothing(server, items[i]) && wanted[i] > 0 && !out->empty)
            out->empty = a;
        out->failed |= answered(server, items[i]) && a->address_count == 0 && !says_nothing(server, items[i]);
        for (size_t k = 0; answered(server, items[i]) && k < a->address_count; k++)
            out->addresses[out->count++] = a->addresses[k];
    }
    out->silent = heard == 0;
}

/* An address that it should not have given, or NULL. */
static const struct np_addr *find_foreign(const struct judging *j, const struct own *own)
{
    for (size_t i = 0; i < own->count; i++) {
        if (!has(&j->wanted, &own->addresses[i]) && !has(&j->facts->local, &own->addresses[i]))
            return &own->addresses[i];
    }
    return NULL;
}

/* How long a resolver may keep what it has: the larger rest of the two families. */
static unsigned kept_s(const struct np_probe_server *server)
{
    uint32_t a = server->answers[NP_PROBE_OWN4].ttl_s, b = server->answers[NP_PROBE_OWN6].ttl_s;
    return (unsigned)(a > b ? a : b);
}

static void judge_foreign(const struct judging *j, const struct np_probe_server *server, const struct np_addr *foreign,
                          struct np_probe_finding *out)
{
    char text[NP_ADDR_TEXT_MAX];
    np_addr_format(foreign, text);
    if (is_nowhere(foreign)) {
        out->signature = NP_SIGNATURE_ZEROS;
        conclude(out, NP_PROBE_BLOCKED, "it answers the name with %s, as block lists do", text);
    } else if (is_in(j->facts->past, j->facts->past_count, foreign)) {
        conclude(out, NP_PROBE_STALE, "it still answers with %s, which this box had before, for %u s more", text,
                 kept_s(server));
    } else if (np_addr_is_private_form(foreign)) {
        conclude(out, NP_PROBE_STALE, "it answers with %s, which is not this box's address (any more), for %u s more",
                 text, kept_s(server));
    } else {
        conclude(out, NP_PROBE_HIJACKED, "it answers the name with %s, which this box never had", text);
    }
}

/* The name is not answered, or not whole. */
static void judge_missing(const struct judging *j, const struct np_probe_server *server, const struct own *own,
                          struct np_probe_finding *out)
{
    const char *what = rcode_text(own->empty->rcode);
    if (filters(j, server)) {
        out->signature = sign(server, own->empty);
        conclude(out, NP_PROBE_FILTERED, "it takes private addresses out of answers (rebinding protection): %s%s", what,
                 own->count ? " for one of the two families" : "");
    } else if (!j->has_rebind || !has_addresses(server, NP_PROBE_REBIND)) {
        out->signature = sign(server, own->empty);
        conclude(out, NP_PROBE_FILTERED, "it gives %s for the name, most likely by rebinding protection", what);
    } else if (own->empty->rcode == NP_RCODE_REFUSED) {
        out->signature = sign(server, own->empty);
        conclude(out, NP_PROBE_BLOCKED, "it refuses this name, while other names with private addresses pass");
    } else {
        conclude(out, NP_PROBE_STALE, "it gives %s for the name, kept from earlier, or by a block list", what);
    }
}

static bool refuses_all(const struct np_probe_server *server)
{
    for (int i = NP_PROBE_OWN4; i <= NP_PROBE_PLAIN; i++) {
        if (server->asked[i] && (!answered(server, i) || server->answers[i].rcode != NP_RCODE_REFUSED))
            return false;
    }
    return true;
}

static bool is_silent(const struct np_probe_server *server, int *out_error)
{
    for (int i = 0; i < NP_PROBE_ITEMS; i++) {
        if (server->asked[i] && server->answers[i].state == NP_PROBE_UNREACHABLE)
            *out_error = server->answers[i].error;
        if (server->asked[i] && server->answers[i].state >= NP_PROBE_BROKEN)
            return false;
    }
    return true;
}

static void judge_own(const struct judging *j, const struct np_probe_server *server, struct np_probe_finding *out)
{
    struct own own;
    gather_own(j, server, &own);
    const struct np_addr *foreign = find_foreign(j, &own);
    if (foreign)
        judge_foreign(j, server, foreign, out);
    else if (is_empty(&j->wanted))
        conclude(out, NP_PROBE_UNPUBLISHED, "nothing is to be in public DNS for the name, and it has nothing");
    else if (own.empty)
        judge_missing(j, server, &own, out);
    else if (own.failed || own.silent)
        conclude(out, NP_PROBE_FAILING,
                 own.silent ? "it does not answer questions for the name" : "it answers, but cannot resolve the name");
    else {
        out->excepted = filters(j, server);
        conclude(out, NP_PROBE_FINE,
                 out->excepted ? "it answers right: rebinding protection is on, with an exception for the name"
                               : "it answers right");
    }
}

/* Neither a fresh name nor the own one: SERVFAIL, or no answer to these alone. */
static bool cannot_resolve(const struct judging *j, const struct np_probe_server *server)
{
    for (int i = NP_PROBE_OWN4; i <= NP_PROBE_OWN6; i++) {
        if (has_addresses(server, i) || says_nothing(server, i))
            return false;
    }
    return j->has_plain && !has_addresses(server, NP_PROBE_PLAIN) && !says_nothing(server, NP_PROBE_PLAIN);
}

/* NXDOMAIN for all of them, public addresses or not: no filter of private addresses does that. */
static bool knows_no_name(const struct judging *j, const struct np_probe_server *server)
{
    static const enum np_probe_item items[] = {NP_PROBE_OWN4, NP_PROBE_PLAIN};
    for (size_t i = 0; i < sizeof items / sizeof *items; i++) {
        if (!answered(server, items[i]) || server->answers[items[i]].rcode != NP_RCODE_NXDOMAIN)
            return false;
    }
    return j->has_plain && !is_empty(&j->wanted);
}

static void judge_resolver(const struct judging *j, const struct np_probe_server *server, struct np_probe_finding *out)
{
    int error = 0;
    if (is_silent(server, &error))
        conclude(out, NP_PROBE_NO_ANSWER, "%s",
                 error ? "nothing listens there, or there is no way to it" : "it does not answer");
    else if (refuses_all(server))
        conclude(out, NP_PROBE_REFUSING, "it refuses every question of this box");
    else if (is_hijacked(j, server, out))
        return;
    else if (cannot_resolve(j, server))
        conclude(out, NP_PROBE_FAILING, "it cannot resolve names of the Internet (%s)",
                 answered(server, NP_PROBE_PLAIN) ? rcode_text(server->answers[NP_PROBE_PLAIN].rcode) : "no answer");
    else if (knows_no_name(j, server))
        conclude(out, NP_PROBE_BLOCKED, "it says that no name of this zone exists");
    else
        judge_own(j, server, out);
}

/* A server of the zone itself: it answers with AA and offers no recursion. A resolver that answers in its place may
 * keep AA, when it forwards, but never forgets to say that it recurses (RFC 1035 section 4.1.1). */
static void judge_zone(const struct np_probe_facts *facts, const struct np_probe_server *server,
                       struct np_probe_finding *out)
{
    struct judging j = {.facts = facts, .wanted = facts->published};
    struct own own;
    int error = 0;
    char text[NP_ADDR_TEXT_MAX];
    if (is_silent(server, &error)) {
        conclude(out, NP_PROBE_NO_ANSWER, "%s", error ? "there is no way to it" : "it does not answer");
        return;
    }
    for (int i = NP_PROBE_OWN4; i <= NP_PROBE_PLAIN; i++) {
        const struct np_probe_answer *a = &server->answers[i];
        if (!answered(server, i) || (a->aa && !a->ra) || a->rcode == NP_RCODE_SERVFAIL || a->rcode == NP_RCODE_REFUSED)
            continue;
        conclude(out, NP_PROBE_INTERCEPTED,
                 "another server answers in its place (%s): questions to port 53 are led elsewhere",
                 first_address(a, text));
        return;
    }
    gather_own(&j, server, &own);
    const struct np_addr *foreign = find_foreign(&j, &own);
    if (own.silent || own.failed)
        conclude(out, NP_PROBE_FAILING, "it does not answer questions for the name");
    else if (foreign || own.empty)
        conclude(out, NP_PROBE_STALE,
                 facts->confirmed ? "it does not have what HQ has confirmed (%s)"
                                  : "it does not have the newest addresses yet (%s)",
                 foreign ? np_addr_format(foreign, text) : "an empty answer");
    else
        conclude(out, is_empty(&facts->published) ? NP_PROBE_UNPUBLISHED : NP_PROBE_FINE, "%s",
                 is_empty(&facts->published) ? "nothing is to be published for the name" : "it answers right");
}

/* The box's own resolver, asked at one of its LAN addresses. */
static void judge_self(const struct np_probe_facts *facts, const struct np_probe_server *server,
                       struct np_probe_finding *out)
{
    struct judging j = {.facts = facts, .wanted = facts->local};
    struct own own;
    int error = 0;
    char text[NP_ADDR_TEXT_MAX];
    gather_own(&j, server, &own);
    const struct np_addr *foreign = find_foreign(&j, &own);
    if (is_silent(server, &error))
        conclude(out, NP_PROBE_NO_ANSWER, "this box's own resolver does not answer there");
    else if (foreign)
        conclude(out, NP_PROBE_HIJACKED, "another program answers there in the box's place, with %s",
                 np_addr_format(foreign, text));
    else if (own.count == 0 && !is_empty(&facts->local))
        conclude(out, NP_PROBE_FAILING, "this box's own resolver gives no address for the name");
    else
        conclude(out, NP_PROBE_FINE, "it answers right");
}

static void take_zone(const struct np_probe_server *server, struct judging *j, struct np_probe_result *out)
{
    struct own own;
    gather_own(j, server, &own);
    out->zone_answered = true;
    for (size_t i = 0; i < own.count; i++) {
        if (own.addresses[i].family == AF_INET && out->zone.v4_count < NP_WIRE_V4_MAX)
            out->zone.v4[out->zone.v4_count++] = own.addresses[i];
        else if (own.addresses[i].family == AF_INET6 && out->zone.v6_count < NP_WIRE_V6_MAX)
            out->zone.v6[out->zone.v6_count++] = own.addresses[i];
    }
    j->wanted = out->zone;
    j->has_rebind = !answered(server, NP_PROBE_REBIND) || has_addresses(server, NP_PROBE_REBIND);
    j->has_plain = !answered(server, NP_PROBE_PLAIN) || has_addresses(server, NP_PROBE_PLAIN);
    j->plain_count = has_addresses(server, NP_PROBE_PLAIN) ? server->answers[NP_PROBE_PLAIN].address_count : 0;
    memcpy(j->plain, server->answers[NP_PROBE_PLAIN].addresses, sizeof j->plain);
}

/* The zone's servers first: what they say is what the others are measured by. The best of them counts. */
static void judge_zones(const struct np_probe_facts *facts, const struct np_probe_server *servers, size_t count,
                        struct judging *j, struct np_probe_result *out)
{
    for (int pass = 0; pass < 2; pass++) {
        for (size_t i = 0; i < count; i++) {
            enum np_probe_verdict verdict = out->servers[i].verdict;
            if (servers[i].role != NP_PROBE_ZONE)
                continue;
            if (pass == 0)
                judge_zone(facts, &servers[i], &out->servers[i]);
            else if (!out->zone_answered && verdict != NP_PROBE_NO_ANSWER && verdict != NP_PROBE_INTERCEPTED &&
                     verdict != NP_PROBE_FAILING)
                take_zone(&servers[i], j, out);
        }
    }
}

static bool is_resolver(const struct np_probe_server *server)
{
    return server->role == NP_PROBE_OFFERED || server->role == NP_PROBE_GATEWAY;
}

/* How grave it is for a person; 0: nothing to do. A gateway that is no DNS server is no news. */
static unsigned gravity(const struct np_probe_facts *facts, const struct np_probe_server *server,
                        enum np_probe_verdict verdict, bool zone_answered)
{
    static const uint8_t grave[] = {
        [NP_PROBE_FILTERED] = 7, [NP_PROBE_STALE] = 4,       [NP_PROBE_BLOCKED] = 7,  [NP_PROBE_HIJACKED] = 8,
        [NP_PROBE_FAILING] = 5,  [NP_PROBE_INTERCEPTED] = 6, [NP_PROBE_REFUSING] = 3, [NP_PROBE_NO_ANSWER] = 3};
    if ((size_t)verdict >= sizeof grave)
        return 0;
    if (server->role == NP_PROBE_GATEWAY && (verdict == NP_PROBE_NO_ANSWER || verdict == NP_PROBE_REFUSING))
        return 0;
    if (facts->homes_resolver && is_resolver(server) &&
        (verdict == NP_PROBE_FILTERED || verdict == NP_PROBE_STALE || verdict == NP_PROBE_BLOCKED))
        return 0; /* the home's devices hear it from this box */
    if (server->role == NP_PROBE_ZONE && verdict == NP_PROBE_NO_ANSWER)
        return zone_answered ? 0 : 1; /* its IPv6 address, from a home without IPv6 */
    if (server->role == NP_PROBE_ZONE && verdict == NP_PROBE_STALE && !facts->confirmed)
        return 0; /* HQ is about to be told */
    return server->role == NP_PROBE_SELF && grave[verdict] ? 9 : grave[verdict];
}

/* How many resolvers there are, and how many of them have these verdicts. */
static size_t count_of(const struct np_probe_server *servers, size_t count, const struct np_probe_result *out,
                       enum np_probe_verdict verdict, size_t *out_all)
{
    size_t found = 0;
    *out_all = 0;
    for (size_t i = 0; i < count; i++) {
        *out_all += is_resolver(&servers[i]);
        found += is_resolver(&servers[i]) && out->servers[i].verdict == verdict;
    }
    return found;
}

static void pick_worst(const struct np_probe_facts *facts, const struct np_probe_server *servers, size_t count,
                       struct np_probe_result *out)
{
    unsigned worst = 0;
    bool fine = false, unpublished = false;
    for (size_t i = 0; i < count; i++) {
        unsigned grave = gravity(facts, &servers[i], out->servers[i].verdict, out->zone_answered);
        fine |= out->servers[i].verdict == NP_PROBE_FINE;
        unpublished |= out->servers[i].verdict == NP_PROBE_UNPUBLISHED;
        if (grave <= worst)
            continue;
        worst = grave;
        out->culprit = i;
        out->verdict = out->servers[i].verdict;
    }
    if (worst == 0)
        out->verdict = unpublished ? NP_PROBE_UNPUBLISHED : fine ? NP_PROBE_FINE : NP_PROBE_UNTESTED;
}

static void say(const struct np_probe_server *servers, struct np_probe_result *out)
{
    static const char *const roles[] = {"The zone's server", "The home's resolver", "The gateway", "This box at"};
    char text[NP_ADDR_TEXT_MAX];
    switch (out->verdict) {
    case NP_PROBE_FINE:
        snprintf(out->summary, sizeof out->summary, "The name works for every resolver of the home.");
        return;
    case NP_PROBE_NO_INTERNET:
        snprintf(out->summary, sizeof out->summary,
                 "There is no Internet: no DNS server outside answers, and HQ is not reached. Devices that ask this "
                 "box find it all the same.");
        return;
    case NP_PROBE_PORTAL:
        snprintf(out->summary, sizeof out->summary,
                 "A login page (captive portal) stands before the Internet: every name leads to it, and HQ is not "
                 "reached. Log in with a browser on this network.");
        return;
    case NP_PROBE_UNPUBLISHED:
        snprintf(out->summary, sizeof out->summary,
                 "Nothing is published for the name: only devices that ask this box find it.");
        return;
    case NP_PROBE_UNTESTED:
        snprintf(out->summary, sizeof out->summary, "Nobody could be asked.");
        return;
    default:
        break;
    }
    np_addr_format(&servers[out->culprit].server.addr, text);
    snprintf(out->summary, sizeof out->summary, "%s %s: %s.", roles[servers[out->culprit].role], text,
             out->servers[out->culprit].why);
}

void np_probe_judge(const struct np_probe_facts *facts, const struct np_probe_server *servers, size_t count,
                    struct np_probe_result *out)
{
    struct judging j = {.facts = facts, .wanted = facts->published, .has_rebind = true, .has_plain = true};
    size_t all, resolvers;
    memset(out, 0, sizeof *out);
    out->culprit = NP_PROBE_SERVERS_MAX;
    if (count > NP_PROBE_SERVERS_MAX)
        count = NP_PROBE_SERVERS_MAX;
    judge_zones(facts, servers, count, &j, out);
    for (size_t i = 0; i < count; i++) {
        if (is_resolver(&servers[i]))
            judge_resolver(&j, &servers[i], &out->servers[i]);
        else if (servers[i].role == NP_PROBE_SELF)
            judge_self(facts, &servers[i], &out->servers[i]);
    }
    pick_worst(facts, servers, count, out);
    size_t hijacked = count_of(servers, count, out, NP_PROBE_HIJACKED, &resolvers);
    size_t dead = count_of(servers, count, out, NP_PROBE_FAILING, &all) +
                  count_of(servers, count, out, NP_PROBE_NO_ANSWER, &all) +
                  count_of(servers, count, out, NP_PROBE_REFUSING, &all);
    bool self = out->culprit < count && servers[out->culprit].role == NP_PROBE_SELF;
    if (!self && !facts->hq_works && !out->zone_answered && hijacked > 0)
        out->verdict = NP_PROBE_PORTAL;
    else if (!self && !facts->hq_works && !out->zone_answered && dead == all)
        out->verdict = NP_PROBE_NO_INTERNET;
    if (out->verdict == NP_PROBE_PORTAL || out->verdict == NP_PROBE_NO_INTERNET)
        out->culprit = NP_PROBE_SERVERS_MAX;
    say(servers, out);
}

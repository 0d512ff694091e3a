/* What answers to the probe mean. A case is written as lines that a person can read:
 *
 *   zone|offered|gateway|self ADDRESS ITEM=WORD,WORD... ...
 *
 * with ITEM own4, own6, rebind, plain or version, and the words aa, ra, soa, edeN, ttlN, a code (noerror, nxdomain,
 * servfail, refused), silent, unreachable, broken, sw:NAME, or an address. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "agent/network/probe_judge.h"
#include "resolver/message.h"

#define GOOD_ZONE "zone 198.51.100.2 own4=aa,192.168.1.9 own6=aa,fd42::9 rebind=aa,192.168.0.1 plain=aa,198.51.100.7\n"
#define GOOD_SELF "self 192.168.1.9 own4=aa,192.168.1.9 own6=aa,fd42::9\n"

struct row {
    const char *name, *servers;
    const char *facts;    /* of: hq, unconfirmed, unpublished, homes-resolver, past=ADDRESS */
    const char *verdicts; /* of each server, in order: word, with "/signature" or "+excepted" */
    const char *whole;
};

static const struct row rows[] = {
    {"all is well",
     GOOD_ZONE "offered 192.168.1.1 own4=ra,192.168.1.9 own6=ra,fd42::9 rebind=ra,192.168.0.1 plain=ra,198.51.100.7 "
               "version=sw:dnsmasq-2.90\n" GOOD_SELF,
     "hq", "fine fine fine", "fine"},
    {"dnsmasq filters: EDE 15",
     GOOD_ZONE "offered 192.168.1.1 own4=ra,ede15 own6=ra,ede15 rebind=ra,ede15 plain=ra,198.51.100.7\n" GOOD_SELF,
     "hq", "fine filtered/dnsmasq fine", "filtered"},
    {"an older dnsmasq without EDE is known by its name",
     GOOD_ZONE "offered 192.168.1.1 own4=ra own6=ra rebind=ra plain=ra,198.51.100.7 version=sw:dnsmasq-2.80\n", "hq",
     "fine filtered/dnsmasq", "filtered"},
    {"Unbound is known by its name",
     GOOD_ZONE "offered 192.168.1.1 own4=ra own6=ra rebind=ra plain=ra,198.51.100.7 version=sw:unbound^1.17.1\n", "hq",
     "fine filtered/unbound", "filtered"},
    {"a bare NODATA may be many",
     GOOD_ZONE "offered 192.168.1.1 own4=ra own6=ra rebind=ra plain=ra,198.51.100.7 version=refused\n", "hq",
     "fine filtered/nodata", "filtered"},
    {"Knot Resolver refuses with EDE 18",
     GOOD_ZONE "offered 192.168.1.1 own4=refused,ede18 own6=refused,ede18 rebind=refused,ede18 plain=ra,198.51.100.7\n",
     "hq", "fine filtered/knot-resolver", "filtered"},
    {"another nameplate router: EDE 15 with an SOA",
     GOOD_ZONE "offered 192.168.1.1 own4=ra,soa,ede15 own6=ra,soa,ede15 rebind=ra,soa,ede15 plain=ra,198.51.100.7\n",
     "hq", "fine filtered/nameplate", "filtered"},
    {"NXDOMAIN for what is private",
     GOOD_ZONE "offered 192.168.1.1 own4=ra,nxdomain own6=ra,nxdomain rebind=ra,nxdomain plain=ra,198.51.100.7\n", "hq",
     "fine filtered/nxdomain", "filtered"},
    {"REFUSED for what is private",
     GOOD_ZONE "offered 192.168.1.1 own4=refused own6=refused rebind=refused plain=ra,198.51.100.7\n", "hq",
     "fine filtered/refused", "filtered"},
    {"only the ULA is filtered",
     GOOD_ZONE "offered 192.168.1.1 own4=ra,192.168.1.9 own6=ra,ede15 rebind=ra,ede15 plain=ra,198.51.100.7\n", "hq",
     "fine filtered/dnsmasq", "filtered"},
    {"an exception stands already",
     GOOD_ZONE "offered 192.168.1.1 own4=ra,192.168.1.9 own6=ra,fd42::9 rebind=ra,ede15 plain=ra,198.51.100.7\n", "hq",
     "fine fine+excepted", "fine"},
    {"a block list: 0.0.0.0",
     GOOD_ZONE "offered 192.168.1.1 own4=ra,0.0.0.0 own6=ra,:: rebind=ra,192.168.0.1 plain=ra,198.51.100.7\n", "hq",
     "fine blocked/zeros", "blocked"},
    {"a filter that answers 0.0.0.0 for everything private",
     GOOD_ZONE "offered 192.168.1.1 own4=ra,0.0.0.0 own6=ra,:: rebind=ra,0.0.0.0 plain=ra,198.51.100.7\n", "hq",
     "fine blocked/zeros", "blocked"},
    {"a list that refuses this one name",
     GOOD_ZONE "offered 192.168.1.1 own4=refused own6=refused rebind=ra,192.168.0.1 plain=ra,198.51.100.7\n", "hq",
     "fine blocked/refused", "blocked"},
    {"a resolver that blocks the whole zone",
     GOOD_ZONE "offered 192.168.1.1 own4=nxdomain own6=nxdomain rebind=nxdomain plain=nxdomain\n", "hq", "fine blocked",
     "blocked"},
    {"a negative answer from before the name was there",
     GOOD_ZONE "offered 192.168.1.1 own4=ra,nxdomain,soa own6=ra,nxdomain,soa rebind=ra,192.168.0.1 "
               "plain=ra,198.51.100.7\n",
     "hq", "fine stale", "stale"},
    {"an address that the box had before",
     GOOD_ZONE "offered 192.168.1.1 own4=ra,192.168.1.5,ttl44 own6=ra,fd42::9 rebind=ra,192.168.0.1 "
               "plain=ra,198.51.100.7\n",
     "hq past=192.168.1.5", "fine stale", "stale"},
    {"an address that is not ours, but private",
     GOOD_ZONE "offered 192.168.1.1 own4=ra,10.1.1.1 own6=ra,fd42::9 rebind=ra,192.168.0.1 plain=ra,198.51.100.7\n",
     "hq", "fine stale", "stale"},
    {"the name leads to an advertiser",
     GOOD_ZONE "offered 192.168.1.1 own4=ra,203.0.113.66 own6=ra rebind=ra,192.168.0.1 plain=ra,198.51.100.7\n", "hq",
     "fine hijacked", "hijacked"},
    {"every fresh name leads to an advertiser",
     GOOD_ZONE "offered 9.9.9.9 own4=ra,203.0.113.66 own6=ra rebind=ra,203.0.113.66 plain=ra,203.0.113.66\n", "hq",
     "fine hijacked", "hijacked"},
    {"the zone has older addresses than HQ confirmed",
     "zone 198.51.100.2 own4=aa,192.168.1.5 own6=aa,fd42::9 rebind=aa,192.168.0.1 plain=aa,198.51.100.7\n"
     "offered 192.168.1.1 own4=ra,192.168.1.5 own6=ra,fd42::9 rebind=ra,192.168.0.1 plain=ra,198.51.100.7\n",
     "hq past=192.168.1.5", "stale fine", "stale"},
    {"a push is under way",
     "zone 198.51.100.2 own4=aa,192.168.1.5 own6=aa,fd42::9 rebind=aa,192.168.0.1 plain=aa,198.51.100.7\n"
     "offered 192.168.1.1 own4=ra,192.168.1.5 own6=ra,fd42::9 rebind=ra,192.168.0.1 plain=ra,198.51.100.7\n",
     "hq unconfirmed past=192.168.1.5", "stale fine", "fine"},
    {"HQ has lost the name", "zone 198.51.100.2 own4=aa,nxdomain,soa own6=aa,nxdomain,soa rebind=aa,192.168.0.1\n",
     "hq", "stale", "stale"},
    {"port 53 is led to the ISP's resolver",
     "zone 198.51.100.2 own4=ra,192.168.1.9 own6=ra,fd42::9 rebind=ra,192.168.0.1 plain=ra,198.51.100.7\n"
     "offered 192.168.1.1 own4=ra,192.168.1.9 own6=ra,fd42::9 rebind=ra,192.168.0.1 plain=ra,198.51.100.7\n",
     "hq", "intercepted fine", "intercepted"},
    {"port 53 is led to a forwarder that keeps AA",
     "zone 198.51.100.2 own4=aa,ra,192.168.1.9 own6=aa,ra,fd42::9 rebind=aa,ra,192.168.0.1 plain=aa,ra,198.51.100.7\n",
     "hq", "intercepted", "intercepted"},
    {"port 53 is led to a filter",
     "zone 198.51.100.2 own4=ra,ede15 own6=ra,ede15 rebind=ra,ede15 plain=ra,198.51.100.7\n"
     "offered 192.168.1.1 own4=ra,ede15 own6=ra,ede15 rebind=ra,ede15 plain=ra,198.51.100.7\n",
     "hq", "intercepted filtered/dnsmasq", "filtered"},
    {"only the home's resolver may ask outside",
     "zone 198.51.100.2 own4=silent own6=silent rebind=silent plain=silent\n"
     "offered 192.168.1.1 own4=ra,192.168.1.9 own6=ra,fd42::9 rebind=ra,192.168.0.1 plain=ra,198.51.100.7\n",
     "hq", "no-answer fine", "no-answer"},
    {"no Internet: the router says SERVFAIL",
     "zone 198.51.100.2 own4=silent own6=silent rebind=silent plain=silent\n"
     "offered 192.168.1.1 own4=servfail own6=servfail rebind=servfail plain=servfail\n" GOOD_SELF,
     "", "no-answer failing fine", "no-internet"},
    {"no Internet: nothing answers",
     "zone 198.51.100.2 own4=unreachable own6=unreachable\noffered 192.168.1.1 own4=silent own6=silent plain=silent\n",
     "", "no-answer no-answer", "no-internet"},
    {"no Internet, and nobody to ask", "", "", "", "no-internet"},
    {"a captive portal answers everything",
     "zone 198.51.100.2 own4=ra,10.0.0.1 own6=ra rebind=ra,10.0.0.1 plain=ra,10.0.0.1\n"
     "offered 10.0.0.1 own4=ra,10.0.0.1 own6=ra rebind=ra,10.0.0.1 plain=ra,10.0.0.1\n" GOOD_SELF,
     "", "intercepted hijacked fine", "captive-portal"},
    {"the zone's server has an IPv6 address, the home has not",
     GOOD_ZONE "zone 2001:db8::53 own4=unreachable own6=unreachable rebind=unreachable plain=unreachable\n" GOOD_SELF,
     "hq", "fine no-answer fine", "fine"},
    {"one of two resolvers is dead",
     GOOD_ZONE "offered 192.168.1.1 own4=ra,192.168.1.9 own6=ra,fd42::9 rebind=ra,192.168.0.1 plain=ra,198.51.100.7\n"
               "offered 192.168.1.2 own4=silent own6=silent rebind=silent plain=silent\n",
     "hq", "fine fine no-answer", "no-answer"},
    {"one of two resolvers cannot resolve",
     GOOD_ZONE "offered 192.168.1.1 own4=ra,192.168.1.9 own6=ra,fd42::9 rebind=ra,192.168.0.1 plain=ra,198.51.100.7\n"
               "offered 192.168.1.2 own4=servfail own6=servfail rebind=servfail plain=servfail\n",
     "hq", "fine fine failing", "failing"},
    {"a resolver that does not serve this box",
     GOOD_ZONE "offered 10.9.9.9 own4=refused own6=refused rebind=refused plain=refused\n", "hq", "fine refusing",
     "refusing"},
    {"a gateway that is no DNS server is no news",
     GOOD_ZONE "gateway 192.168.1.1 own4=unreachable own6=unreachable rebind=unreachable plain=unreachable\n", "hq",
     "fine no-answer", "fine"},
    {"a gateway that filters is",
     GOOD_ZONE "gateway 192.168.1.1 own4=ra,ede15 own6=ra,ede15 rebind=ra,ede15 plain=ra,198.51.100.7\n", "hq",
     "fine filtered/dnsmasq", "filtered"},
    {"the home's devices ask this box, whatever its upstream filters",
     GOOD_ZONE "offered 192.0.2.53 own4=ra,ede15 own6=ra,ede15 rebind=ra,ede15 plain=ra,198.51.100.7\n" GOOD_SELF,
     "hq homes-resolver", "fine filtered/dnsmasq fine", "fine"},
    {"... but not what it hijacks",
     GOOD_ZONE
     "offered 192.0.2.53 own4=ra,203.0.113.66 own6=ra rebind=ra,203.0.113.66 plain=ra,203.0.113.66\n" GOOD_SELF,
     "hq homes-resolver", "fine hijacked fine", "hijacked"},
    {"the own resolver is not there",
     GOOD_ZONE "offered 192.168.1.1 own4=ra,192.168.1.9 own6=ra,fd42::9 rebind=ra,192.168.0.1 plain=ra,198.51.100.7\n"
               "self 192.168.1.9 own4=unreachable own6=unreachable\n",
     "hq", "fine fine no-answer", "no-answer"},
    {"another program answers in the own resolver's place", GOOD_ZONE "self 192.168.1.9 own4=ra,203.0.113.5 own6=ra\n",
     "hq", "fine hijacked", "hijacked"},
    {"local-only: nothing published, and nothing there",
     "zone 198.51.100.2 own4=aa,soa own6=aa,soa rebind=aa,192.168.0.1 plain=aa,198.51.100.7\n"
     "offered 192.168.1.1 own4=ra,soa own6=ra,soa rebind=ra,192.168.0.1 plain=ra,198.51.100.7\n" GOOD_SELF,
     "hq unpublished", "not-published not-published fine", "not-published"},
    {"local-only, and the router asks this box for its name",
     "zone 198.51.100.2 own4=aa,soa own6=aa,soa rebind=aa,192.168.0.1 plain=aa,198.51.100.7\n"
     "offered 192.168.1.1 own4=ra,192.168.1.9 own6=ra,fd42::9 rebind=ra,192.168.0.1 plain=ra,198.51.100.7\n",
     "hq unpublished", "not-published not-published", "not-published"},
    {"a zone without probe names: the own name alone tells",
     "zone 198.51.100.2 own4=aa,192.168.1.9 own6=aa,fd42::9 rebind=aa,nxdomain plain=aa,nxdomain\n"
     "offered 192.168.1.1 own4=ra,ede15 own6=ra,ede15 rebind=nxdomain plain=nxdomain\n",
     "hq", "fine filtered/dnsmasq", "filtered"},
    {"a resolver that says only broken things",
     GOOD_ZONE "offered 192.168.1.1 own4=broken own6=broken rebind=broken plain=broken\n", "hq", "fine failing",
     "failing"},
};

static enum np_probe_item item_of(const char *word)
{
    static const char *const words[] = {"own4", "own6", "rebind", "plain", "version"};
    for (int i = 0; i < NP_PROBE_ITEMS; i++) {
        if (strcmp(words[i], word) == 0)
            return i;
    }
    fail_msg("no item %s", word);
    return 0;
}

static bool read_code(const char *word, struct np_probe_answer *a)
{
    static const struct {
        const char *word;
        uint16_t rcode;
    } codes[] = {{"noerror", NP_RCODE_NOERROR},
                 {"nxdomain", NP_RCODE_NXDOMAIN},
                 {"servfail", NP_RCODE_SERVFAIL},
                 {"refused", NP_RCODE_REFUSED}};
    for (size_t i = 0; i < 4; i++) {
        if (strcmp(codes[i].word, word) != 0)
            continue;
        a->rcode = codes[i].rcode;
        return true;
    }
    return false;
}

static void read_word(const char *word, struct np_probe_answer *a)
{
    a->aa |= strcmp(word, "aa") == 0;
    a->ra |= strcmp(word, "ra") == 0;
    a->soa |= strcmp(word, "soa") == 0;
    if (strcmp(word, "aa") == 0 || strcmp(word, "ra") == 0 || strcmp(word, "soa") == 0 || read_code(word, a))
        return;
    if (strcmp(word, "silent") == 0)
        a->state = NP_PROBE_SILENT;
    else if (strcmp(word, "broken") == 0)
        a->state = NP_PROBE_BROKEN;
    else if (strcmp(word, "unreachable") == 0)
        *a = (struct np_probe_answer){.state = NP_PROBE_UNREACHABLE, .error = -111};
    else if (strncmp(word, "ede", 3) == 0)
        a->ede = (uint16_t)strtol(word + 3, NULL, 10);
    else if (strncmp(word, "ttl", 3) == 0)
        a->ttl_s = (uint32_t)strtol(word + 3, NULL, 10);
    else if (strncmp(word, "sw:", 3) == 0)
        snprintf(a->software, sizeof a->software, "%s", word + 3);
    else
        assert_int_equal(np_addr_parse(word, &a->addresses[a->address_count++]), 0);
}

static size_t read_servers(const char *text, struct np_probe_server servers[NP_PROBE_SERVERS_MAX])
{
    static const char *const roles[] = {"zone", "offered", "gateway", "self"};
    char *copy = strdup(text), *rest = copy;
    size_t count = 0;
    memset(servers, 0, NP_PROBE_SERVERS_MAX * sizeof *servers);
    for (char *line; (line = strsep(&rest, "\n")) && *line; count++) {
        struct np_probe_server *server = &servers[count];
        char *word = strsep(&line, " ");
        while (strcmp(roles[server->role], word) != 0)
            server->role++;
        assert_int_equal(np_addr_parse(strsep(&line, " "), &server->server.addr), 0);
        while ((word = strsep(&line, " "))) {
            enum np_probe_item item = item_of(strsep(&word, "="));
            struct np_probe_answer *answer = &server->answers[item];
            server->asked[item] = true;
            *answer = (struct np_probe_answer){.state = NP_PROBE_ANSWERED, .ede = NP_EDE_NONE};
            for (char *part; (part = strsep(&word, ","));)
                read_word(part, answer);
        }
    }
    free(copy);
    return count;
}

static struct np_probe_facts read_facts(const char *text)
{
    struct np_probe_facts facts = {.confirmed = !strstr(text, "unconfirmed"), .hq_works = strstr(text, "hq") != NULL};
    const char *past = strstr(text, "past=");
    facts.homes_resolver = strstr(text, "homes-resolver") != NULL;
    np_addr_parse("192.168.1.9", &facts.local.v4[facts.local.v4_count++]);
    np_addr_parse("fd42::9", &facts.local.v6[facts.local.v6_count++]);
    if (!strstr(text, "unpublished"))
        facts.published = facts.local;
    if (past)
        assert_int_equal(np_addr_parse(past + 5, &facts.past[facts.past_count++]), 0);
    return facts;
}

static void print_verdicts(const struct np_probe_result *result, size_t count, char *out, size_t size)
{
    size_t len = 0;
    out[0] = 0;
    for (size_t i = 0; i < count && len < size; i++) {
        const struct np_probe_finding *f = &result->servers[i];
        len += (size_t)snprintf(out + len, size - len, "%s%s%s%s%s", i ? " " : "", np_probe_verdict_word(f->verdict),
                                f->signature ? "/" : "", f->signature ? np_probe_signature_word(f->signature) : "",
                                f->excepted ? "+excepted" : "");
    }
}

static void test_rows(void **state)
{
    static struct np_probe_server servers[NP_PROBE_SERVERS_MAX];
    static struct np_probe_result result;
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct np_probe_facts facts = read_facts(rows[i].facts);
        size_t count = read_servers(rows[i].servers, servers);
        char text[512];
        np_probe_judge(&facts, servers, count, &result);
        print_verdicts(&result, count, text, sizeof text);
        if (strcmp(text, rows[i].verdicts) != 0)
            fail_msg("%s: '%s', wanted '%s'", rows[i].name, text, rows[i].verdicts);
        if (strcmp(np_probe_verdict_word(result.verdict), rows[i].whole) != 0)
            fail_msg("%s: %s, wanted %s", rows[i].name, np_probe_verdict_word(result.verdict), rows[i].whole);
        assert_true(strlen(result.summary) > 10);
        for (size_t k = 0; k < count; k++)
            assert_true(strlen(result.servers[k].why) > 5);
        bool about_one = result.culprit < count;
        assert_int_equal(about_one, result.verdict != NP_PROBE_FINE && result.verdict != NP_PROBE_NO_INTERNET &&
                                        result.verdict != NP_PROBE_PORTAL && result.verdict != NP_PROBE_UNPUBLISHED);
    }
}

/* Any mix of answers gets a verdict, and the tables' ends hold. */
static void test_everything(void **state)
{
    static struct np_probe_server servers[NP_PROBE_SERVERS_MAX];
    static struct np_probe_result result;
    struct np_probe_facts facts = read_facts("hq past=192.168.1.5");
    uint32_t seed = 1;
    (void)state;
    for (int round = 0; round < 20000; round++) {
        for (size_t i = 0; i < NP_PROBE_SERVERS_MAX * NP_PROBE_ITEMS; i++) {
            struct np_probe_server *server = &servers[i / NP_PROBE_ITEMS];
            struct np_probe_answer *a = &server->answers[i % NP_PROBE_ITEMS];
            seed = seed * 1664525 + 1013904223;
            *a = (struct np_probe_answer){.state = seed >> 30, .rcode = seed >> 24 & 7, .aa = seed >> 23 & 1};
            a->ede = seed >> 20 & 1 ? NP_EDE_NONE : NP_EDE_BLOCKED;
            a->address_count = a->state == NP_PROBE_ANSWERED ? (seed >> 8) % (NP_PROBE_ADDRESSES_MAX + 1) : 0;
            for (size_t k = 0; k < a->address_count; k++)
                a->addresses[k] = (seed >> 16 & 7) == k
                                      ? facts.local.v4[0]
                                      : np_addr_from_bytes((uint8_t[]){seed >> 4 & 0xff, 0, 0, (uint8_t)k}, 4);
            server->role = seed >> 12 & 3;
            server->server.addr = facts.local.v4[0];
            server->asked[i % NP_PROBE_ITEMS] = seed >> 14 & 1;
        }
        facts.hq_works = seed & 0x100;
        np_probe_judge(&facts, servers, NP_PROBE_SERVERS_MAX, &result);
        assert_true(result.summary[0] && strlen(result.summary) < sizeof result.summary);
        assert_true(result.zone.v4_count <= NP_WIRE_V4_MAX && result.zone.v6_count <= NP_WIRE_V6_MAX);
    }
    np_probe_judge(&facts, servers, NP_PROBE_SERVERS_MAX + 5, &result); /* the rest is not looked at */
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_rows), cmocka_unit_test(test_everything)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* own, special and local: each row is a question and the whole answer as text. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "resolver/local.h"
#include "resolver/own.h"
#include "resolver/special.h"
#include "tests/unit/resolver/dump.h"

static const char view_json[] =
    "{\"version\":1,\"role\":\"router\",\"own\":["
    "{\"name\":\"nifty-babbage.devices.example\",\"https\":true},"
    "{\"name\":\"wild.devices.example\",\"https\":true,\"wildcard\":true},"
    "{\"name\":\"bare.devices.example\"},"
    "{\"name\":\"deep.sub.nifty-babbage.devices.example\"},"
    "{\"name\":\"dot.devices.example\",\"dot\":true}],"
    "\"zone\":\"devices.example\",\"ttl\":10,\"serial\":17,\"interfaces\":["
    "{\"index\":3,\"lan\":true,\"v4\":[\"192.168.1.1/24\",\"192.168.1.9/24\"],\"v6\":[\"fd42::1/64\",\"fe80::1/64\"]},"
    "{\"index\":4,\"lan\":true,\"v4\":[\"192.168.4.1/24\"],\"v6\":[\"fe80::1/64\"]},"
    "{\"index\":5,\"lan\":true,\"v6\":[\"fd45::1/64\"]},"
    "{\"index\":6,\"lan\":true,\"v4\":[\"169.254.1.1/16\"],\"v6\":[\"fe80::1/64\"]},"
    "{\"index\":2,\"lan\":false,\"v4\":[\"203.0.113.5/24\"]}],"
    "\"primary\":{\"v4\":[\"192.168.1.1\"],\"v6\":[\"fd42::1\"]},"
    "\"forward\":[{\"zone\":\"lan\",\"to\":[\"127.0.0.1:5353\"]},{\"zone\":\"7.10.in-addr.arpa\",\"to\":[\"127.0.0.1\"]"
    "},"
    "{\"zone\":\"elsewhere.nifty-babbage.devices.example\",\"to\":[\"127.0.0.1:5353\"]},"
    "{\"zone\":\"a.b.home.arpa\",\"to\":[\"127.0.0.1:5353\"]}]}";

#define NAME      "nifty-babbage.devices.example"
#define SOA(zone) "AU " zone " SOA 10 " zone " hostmaster." zone " 17 3600 600 86400 10"

struct row {
    const char *name;
    uint16_t type;
    uint32_t ifindex;
    const char *want; /* after "flags name type" */
};

static struct np_view view;

static int load(void **state)
{
    char error[NP_VIEW_ERROR_MAX];
    (void)state;
    int rc = np_view_parse(view_json, sizeof view_json - 1, &view, error);
    if (rc)
        fprintf(stderr, "%s\n", error);
    return rc;
}

/* The answer to a question from that interface; "forward" when it is not answered here. */
static const char *ask(struct dump *dump, const char *name, uint16_t type, uint32_t ifindex, uint16_t flags, bool edns)
{
    uint8_t packet[512], out[NP_DNS_UDP_MAX];
    struct np_query query;
    struct np_client client = {.ifindex = ifindex};
    size_t out_len, len = dump_query(packet, name, type, flags, edns, false);
    (void)np_addr_parse("192.168.1.77", &client.remote.addr);
    enum np_local_kind kind = np_local_answer(&view, &client, packet, len, &query, out, sizeof out, &out_len);
    if (kind == NP_LOCAL_FORWARD)
        return "forward";
    if (kind == NP_LOCAL_DROPPED)
        return "dropped";
    return dump_message(dump, out, out_len);
}

static void check(const struct row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct dump dump;
        char want[1024], type[16];
        const char *got = ask(&dump, rows[i].name, rows[i].type, rows[i].ifindex, NP_FLAG_RD, false);
        const char *colon = strchr(rows[i].want, ':');
        if (colon)
            snprintf(want, sizeof want, "%.*s aa rd ra %s %s%s%s", (int)(colon - rows[i].want), rows[i].want,
                     rows[i].name, dump_type(rows[i].type, type), colon[1] ? "; " : "", colon + 1);
        else
            snprintf(want, sizeof want, "%s", rows[i].want);
        if (strcmp(got, want) != 0)
            fail_msg("row %zu:\n got  %s\n want %s", i, got, want);
    }
}

#define CHECK(rows) check(rows, sizeof(rows) / sizeof *(rows))

static void test_addresses(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {NAME, NP_RR_A, 3, "NOERROR:AN " NAME " A 10 192.168.1.1; AN " NAME " A 10 192.168.1.9"},
        {NAME, NP_RR_AAAA, 3, "NOERROR:AN " NAME " AAAA 10 fd42::1"},
        {"Nifty-BABBAGE.Devices.Example", NP_RR_AAAA, 3, "NOERROR:AN Nifty-BABBAGE.Devices.Example AAAA 10 fd42::1"},
        /* one family: the other is NODATA, not the primary's */
        {NAME, NP_RR_A, 4, "NOERROR:AN " NAME " A 10 192.168.4.1"},
        {NAME, NP_RR_AAAA, 4, "NOERROR:" SOA(NAME)},
        {NAME, NP_RR_A, 5, "NOERROR:" SOA(NAME)},
        {NAME, NP_RR_AAAA, 5, "NOERROR:AN " NAME " AAAA 10 fd45::1"},
        /* nothing usable, an interface that is not LAN, unknown, loopback: the primary addresses */
        {NAME, NP_RR_A, 6, "NOERROR:AN " NAME " A 10 192.168.1.1"},
        {NAME, NP_RR_AAAA, 6, "NOERROR:AN " NAME " AAAA 10 fd42::1"},
        {NAME, NP_RR_A, 2, "NOERROR:AN " NAME " A 10 192.168.1.1"},
        {NAME, NP_RR_A, 0, "NOERROR:AN " NAME " A 10 192.168.1.1"},
        {NAME, NP_RR_A, 1, "NOERROR:AN " NAME " A 10 192.168.1.1"},
    };
    CHECK(rows);
}

static void test_types(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {NAME, NP_RR_HTTPS, 3,
         "NOERROR:AN " NAME " HTTPS 10 000100; AD " NAME " A 10 192.168.1.1; AD " NAME " A 10 192.168.1.9; "
         "AD " NAME " AAAA 10 fd42::1"},
        {"bare.devices.example", NP_RR_HTTPS, 3, "NOERROR:" SOA("bare.devices.example")},
        {NAME, NP_RR_SOA, 3, "NOERROR:AN " NAME " SOA 10 " NAME " hostmaster." NAME " 17 3600 600 86400 10"},
        {NAME, NP_RR_MX, 3, "NOERROR:AN " NAME " MX 10 0 ."},
        {NAME, NP_RR_TXT, 3, "NOERROR:AN " NAME " TXT 10 0b763d73706631202d616c6c"},
        {NAME, NP_RR_ANY, 3, "NOERROR:AN " NAME " HINFO 10 075246433834383200"},
        {NAME, NP_RR_NS, 3, "NOERROR:" SOA(NAME)},
        {NAME, NP_RR_CNAME, 3, "NOERROR:" SOA(NAME)},
        {NAME, NP_RR_CAA, 3, "NOERROR:" SOA(NAME)},
        {NAME, 48, 3, "NOERROR:" SOA(NAME)},
        {NAME, 65280, 3, "NOERROR:" SOA(NAME)},
        {NAME, NP_RR_DS, 3, "forward"},
        {"devices.example", NP_RR_A, 3, "forward"},
        {"other.devices.example", NP_RR_A, 3, "forward"},
        {"xnifty-babbage.devices.example", NP_RR_A, 3, "forward"},
    };
    CHECK(rows);
}

static void test_below(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"a." NAME, NP_RR_A, 3, "NXDOMAIN:" SOA(NAME)},
        {"a.b." NAME, NP_RR_ANY, 3, "NXDOMAIN:" SOA(NAME)},
        {"a." NAME, NP_RR_DS, 3, "NXDOMAIN:" SOA(NAME)},
        {"_443._tcp." NAME, 52, 3, "NXDOMAIN:" SOA(NAME)},
        /* an empty non-terminal above another own name */
        {"sub." NAME, NP_RR_A, 3, "NOERROR:" SOA(NAME)},
        {"deep.sub." NAME, NP_RR_A, 5, "NOERROR:" SOA("deep.sub." NAME)},
        {"deep.sub." NAME, NP_RR_AAAA, 5, "NOERROR:AN deep.sub." NAME " AAAA 10 fd45::1"},
        {("_acme-challenge." NAME), NP_RR_TXT, 3, "forward"},
        {"_ACME-challenge." NAME, NP_RR_CNAME, 3, "forward"},
        {"x._acme-challenge." NAME, NP_RR_TXT, 3, "forward"},
        {"_acme-challenge.x." NAME, NP_RR_TXT, 3, "NXDOMAIN:" SOA(NAME)},
        {"x_acme-challenge." NAME, NP_RR_TXT, 3, "NXDOMAIN:" SOA(NAME)},
        {"a.Wild.devices.example", NP_RR_A, 4, "NOERROR:AN a.Wild.devices.example A 10 192.168.4.1"},
        {"a.b.wild.devices.example", NP_RR_A, 4, "NOERROR:AN a.b.wild.devices.example A 10 192.168.4.1"},
        {"a.wild.devices.example", NP_RR_HTTPS, 4,
         "NOERROR:AN a.wild.devices.example HTTPS 10 000100; AD a.wild.devices.example A 10 192.168.4.1"},
        {"a.b.wild.devices.example", NP_RR_HTTPS, 4, "NOERROR:" SOA("wild.devices.example")},
        {"a.wild.devices.example", NP_RR_SOA, 4, "NOERROR:" SOA("wild.devices.example")},
        {"a.wild.devices.example", NP_RR_AAAA, 4, "NOERROR:" SOA("wild.devices.example")},
        {"_acme-challenge.wild.devices.example", NP_RR_TXT, 4, "forward"},
    };
    CHECK(rows);
}

/* A zone below the own name that the owner sends elsewhere is that server's; what is above it exists. */
static void test_forwarded_below(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"elsewhere." NAME, NP_RR_A, 3, "forward"},
        {"x.y.Elsewhere." NAME, NP_RR_A, 3, "forward"},
        {"xelsewhere." NAME, NP_RR_A, 3, "NXDOMAIN:" SOA(NAME)},
    };
    CHECK(rows);
}

/* _dns of a name under which DNS over TLS is served: 1 NAME alpn=dot (RFC 9461), 03646f74 being "dot" with its length.
 */
static void test_dns_service(void **state)
{
    (void)state;
#define DOT    "dot.devices.example"
#define TARGET "03646f740764657669636573076578616d706c6500"
    static const struct row rows[] = {
        {"_dns." DOT, NP_RR_SVCB, 4,
         "NOERROR:AN _dns." DOT " SVCB 10 0001" TARGET "0001000403646f74; AD " DOT " A 10 192.168.4.1"},
        {"_DNS." DOT, NP_RR_A, 4, "NOERROR:" SOA(DOT)},
        {"_dns." DOT, NP_RR_ANY, 4, "NOERROR:AN _dns." DOT " HINFO 10 075246433834383200"},
        {"a._dns." DOT, NP_RR_SVCB, 4, "NXDOMAIN:" SOA(DOT)},
        {DOT, NP_RR_HTTPS, 4, "NOERROR:" SOA(DOT)},
        {"_dns." NAME, NP_RR_SVCB, 4, "NXDOMAIN:" SOA(NAME)}, /* not served under this one */
    };
    static const struct row others[] = {
        {"_dns." DOT, NP_RR_SVCB, 4,
         "NOERROR:AN _dns." DOT " SVCB 10 0001" TARGET "0001000403646f74000300022295; AD " DOT " A 10 192.168.4.1"},
        {NAME, NP_RR_HTTPS, 4, "NOERROR:AN " NAME " HTTPS 10 0001000003000220fb; AD " NAME " A 10 192.168.4.1"},
    };
    CHECK(rows);
    view.https_port = 8443;
    view.dot_port = 8853;
    CHECK(others);
    view.dot_port = NP_VIEW_DOT_PORT;
    view.https_port = NP_VIEW_HTTPS_PORT;
}

static void test_ptr(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"1.1.168.192.in-addr.arpa", NP_RR_PTR, 3, "NOERROR:AN 1.1.168.192.in-addr.arpa PTR 10 " NAME},
        {"9.1.168.192.IN-ADDR.arpa", NP_RR_PTR, 3, "NOERROR:AN 9.1.168.192.IN-ADDR.arpa PTR 10 " NAME},
        {"1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.2.4.d.f.ip6.arpa", NP_RR_PTR, 3,
         "NOERROR:AN 1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.2.4.d.f.ip6.arpa PTR 10 " NAME},
        {"1.1.168.192.in-addr.arpa", NP_RR_A, 3, "NOERROR:" SOA("1.1.168.192.in-addr.arpa")},
        {"2.1.168.192.in-addr.arpa", NP_RR_PTR, 3, "NXDOMAIN:" SOA("168.192.in-addr.arpa")},
        {"1.168.192.in-addr.arpa", NP_RR_PTR, 3, "NOERROR:" SOA("168.192.in-addr.arpa")},
        {"2.168.192.in-addr.arpa", NP_RR_PTR, 3, "NXDOMAIN:" SOA("168.192.in-addr.arpa")},
        /* the provider's, not ours */
        {"9.9.9.9.in-addr.arpa", NP_RR_PTR, 3, "forward"},
        {"5.113.0.203.in-addr.arpa", NP_RR_PTR, 3, "NXDOMAIN:" SOA("113.0.203.in-addr.arpa")},
    };
    CHECK(rows);
}

static void test_special(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"localhost", NP_RR_A, 3, "NOERROR:AN localhost A 10 127.0.0.1"},
        {"a.LocalHost", NP_RR_AAAA, 3, "NOERROR:AN a.LocalHost AAAA 10 ::1"},
        {"localhost", NP_RR_MX, 3, "NOERROR:" SOA("localhost")},
        {"1.0.0.127.in-addr.arpa", NP_RR_PTR, 3, "NOERROR:AN 1.0.0.127.in-addr.arpa PTR 10 localhost"},
        {"0.127.in-addr.arpa", NP_RR_PTR, 3, "NOERROR:" SOA("127.in-addr.arpa")},
        {"2.0.0.127.in-addr.arpa", NP_RR_PTR, 3, "NXDOMAIN:" SOA("127.in-addr.arpa")},
        {"1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.ip6.arpa", NP_RR_PTR, 3,
         "NOERROR:AN 1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.ip6.arpa PTR 10 localhost"},
        {"x.invalid", NP_RR_A, 3, "NXDOMAIN:" SOA("invalid")},
        {"x.Test", NP_RR_A, 3, "NXDOMAIN:AU Test SOA 10 Test hostmaster.Test 17 3600 600 86400 10"},
        {"test", NP_RR_A, 3, "NOERROR:" SOA("test")},
        {"abc.onion", NP_RR_A, 3, "NXDOMAIN:" SOA("onion")},
        {"abc.alt", NP_RR_A, 3, "NXDOMAIN:" SOA("alt")},
        {"printer.local", NP_RR_A, 3, "NXDOMAIN:" SOA("local")},
        {"home.arpa", NP_RR_SOA, 3, "NOERROR:AN home.arpa SOA 10 home.arpa hostmaster.home.arpa 17 3600 600 86400 10"},
        {"nas.home.arpa", NP_RR_A, 3, "NXDOMAIN:" SOA("home.arpa")},
        {"b.home.arpa", NP_RR_A, 3, "NOERROR:" SOA("home.arpa")}, /* above a forwarded zone */
        {"x.a.b.home.arpa", NP_RR_A, 3, "forward"},
        {"home.arpa", NP_RR_DS, 3, "forward"},
        {"_dns.resolver.arpa", NP_RR_SVCB, 3, "NOERROR:" SOA("resolver.arpa")},
        {"x.y.resolver.arpa", NP_RR_A, 3, "NOERROR:" SOA("resolver.arpa")},
        {"_ipps._tcp.default.service.arpa", NP_RR_PTR, 3, "NXDOMAIN:" SOA("service.arpa")},
        {"service.arpa", NP_RR_DS, 3, "forward"},
        {"1.2.0.10.in-addr.arpa", NP_RR_PTR, 3, "NXDOMAIN:" SOA("10.in-addr.arpa")},
        {"1.2.7.10.in-addr.arpa", NP_RR_PTR, 3, "forward"},
        {"1.2.16.172.in-addr.arpa", NP_RR_PTR, 3, "NXDOMAIN:" SOA("16.172.in-addr.arpa")},
        {"1.2.31.172.in-addr.arpa", NP_RR_PTR, 3, "NXDOMAIN:" SOA("31.172.in-addr.arpa")},
        {"1.2.32.172.in-addr.arpa", NP_RR_PTR, 3, "forward"},
        {"1.2.15.172.in-addr.arpa", NP_RR_PTR, 3, "forward"},
        {"1.2.64.100.in-addr.arpa", NP_RR_PTR, 3, "NXDOMAIN:" SOA("64.100.in-addr.arpa")},
        {"127.100.in-addr.arpa", NP_RR_PTR, 3, "NOERROR:" SOA("127.100.in-addr.arpa")},
        {"1.2.128.100.in-addr.arpa", NP_RR_PTR, 3, "forward"},
        {"1.2.63.100.in-addr.arpa", NP_RR_PTR, 3, "forward"},
        {"1.2.064.100.in-addr.arpa", NP_RR_PTR, 3, "forward"},
        {"100.in-addr.arpa", NP_RR_PTR, 3, "forward"},
        {"1.2.254.169.in-addr.arpa", NP_RR_PTR, 3, "NXDOMAIN:" SOA("254.169.in-addr.arpa")},
        {"1.d.f.ip6.arpa", NP_RR_PTR, 3, "NXDOMAIN:" SOA("d.f.ip6.arpa")},
        {"2.4.d.f.ip6.arpa", NP_RR_PTR, 3, "NOERROR:" SOA("d.f.ip6.arpa")}, /* above fd42::1 */
        {"x.8.e.f.ip6.arpa", NP_RR_PTR, 3, "NXDOMAIN:" SOA("8.e.f.ip6.arpa")},
        {"x.0.0.2.ip6.arpa", NP_RR_PTR, 3, "forward"},
        {"x.0.f.f.f.3.ip6.arpa", NP_RR_PTR, 3, "NXDOMAIN:" SOA("0.f.f.f.3.ip6.arpa")},
        {"x.1.f.f.f.3.ip6.arpa", NP_RR_PTR, 3, "forward"},
        {"0.0.192.in-addr.arpa", NP_RR_PTR, 3, "forward"},
        {"ipv4only.arpa", NP_RR_AAAA, 3, "forward"},
        {"host.lan", NP_RR_A, 3, "forward"},
        {"lan", NP_RR_A, 3, "forward"},
        {"www.example", NP_RR_A, 3, "forward"},
        {".", NP_RR_NS, 3, "forward"},
        {"arpa", NP_RR_NS, 3, "forward"},
    };
    CHECK(rows);
}

static void test_canary(void **state)
{
    (void)state;
    struct dump dump;
    static const struct row on[] = {
        {"use-application-dns.net", NP_RR_A, 3, "NXDOMAIN:" SOA("use-application-dns.net")},
        {"use-application-dns.net", NP_RR_SOA, 3, "NXDOMAIN:" SOA("use-application-dns.net")},
        {"a.use-application-dns.net", NP_RR_AAAA, 3, "NXDOMAIN:" SOA("use-application-dns.net")},
        {"xuse-application-dns.net", NP_RR_A, 3, "forward"},
        {"net", NP_RR_NS, 3, "forward"},
    };
    CHECK(on);
    view.canary = false;
    assert_string_equal(ask(&dump, "use-application-dns.net", NP_RR_A, 3, NP_FLAG_RD, false), "forward");
    view.canary = true;
}

/* The addresses of a lone label mean something in the home or nothing: on a router they go nowhere. Its other types may
 * be a validator's way down from the root. */
static void test_lone_label(void **state)
{
    (void)state;
    struct dump dump;
    static const struct row router[] = {
        {"wpad", NP_RR_A, 3, "NOERROR:" SOA("wpad")},
        {"Com", NP_RR_AAAA, 3, "NOERROR:" SOA("Com")},
        {"printer", NP_RR_HTTPS, 3, "NOERROR:" SOA("printer")},
        {"com", NP_RR_NS, 3, "forward"},
        {"com", NP_RR_DS, 3, "forward"},
        {"com", NP_RR_SOA, 3, "forward"},
        {"com", NP_RR_MX, 3, "forward"},
        {".", NP_RR_A, 3, "forward"},
        {"a.com", NP_RR_A, 3, "forward"},
    };
    CHECK(router);
    view.role = NP_ROLE_HOST;
    assert_string_equal(ask(&dump, "wpad", NP_RR_A, 3, NP_FLAG_RD, false), "forward");
    view.role = NP_ROLE_ROUTER;
}

/* Beside another resolver: what is ours is answered, without RA; everything else is refused with EDE 20, special names
 * and forwarded zones too. */
static void test_own_name_only(void **state)
{
    (void)state;
    struct dump dump;
    static const char *const refused[] = {"www.example",
                                          "localhost",
                                          "printer.local",
                                          "host.lan",
                                          "resolver.arpa",
                                          "devices.example",
                                          "wpad",
                                          "use-application-dns.net",
                                          ("_acme-challenge." NAME),
                                          "other.devices.example",
                                          "."};
    char want[512];
    view.mode = NP_MODE_OWN_NAME_ONLY;
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        snprintf(want, sizeof want, "REFUSED rd %s A; AD . OPT 1232 00000000 000f00020014", refused[i]);
        assert_string_equal(ask(&dump, refused[i], NP_RR_A, 3, NP_FLAG_RD, true), want);
    }
    assert_string_equal(ask(&dump, "9.1.168.192.in-addr.arpa", NP_RR_PTR, 3, NP_FLAG_RD, false),
                        "NOERROR aa rd 9.1.168.192.in-addr.arpa PTR; AN 9.1.168.192.in-addr.arpa PTR 10 " NAME);
    assert_string_equal(ask(&dump, "7.1.168.192.in-addr.arpa", NP_RR_PTR, 3, NP_FLAG_RD, false),
                        "REFUSED rd 7.1.168.192.in-addr.arpa PTR");
    assert_string_equal(ask(&dump, NAME, NP_RR_AAAA, 3, NP_FLAG_RD, false),
                        "NOERROR aa rd " NAME " AAAA; AN " NAME " AAAA 10 fd42::1");
    assert_string_equal(ask(&dump, NAME, NP_RR_AAAA, 3, 0, false),
                        "NOERROR aa " NAME " AAAA; AN " NAME " AAAA 10 fd42::1");
    assert_string_equal(ask(&dump, NAME, NP_RR_DS, 3, NP_FLAG_RD, false), "NOERROR aa rd " NAME " DS; " SOA(NAME));
    assert_string_equal(ask(&dump, "x." NAME, NP_RR_A, 3, NP_FLAG_RD, false),
                        "NXDOMAIN aa rd x." NAME " A; " SOA(NAME));
    view.mode = NP_MODE_FULL;
}

static void test_refused(void **state)
{
    (void)state;
    struct dump dump;
    /* Recursion not desired: ours is answered, the rest refused with EDE 18. */
    assert_string_equal(ask(&dump, NAME, NP_RR_AAAA, 3, 0, false),
                        "NOERROR aa ra " NAME " AAAA; AN " NAME " AAAA 10 fd42::1");
    assert_string_equal(ask(&dump, "www.example", NP_RR_A, 3, 0, true),
                        "REFUSED ra www.example A; AD . OPT 1232 00000000 000f00020014");
    assert_string_equal(ask(&dump, NAME, NP_RR_AXFR, 3, NP_FLAG_RD, false), "REFUSED rd " NAME " TYPE252");
    /* What is no question gets the RCODE and the EDE (18, 21, 30) that says why. */
    static const struct {
        uint16_t type;
        const char *want;
    } never[] = {
        {0, "FORMERR rd " NAME " TYPE0; AD . OPT 1232 00000000 000f0002001e"},
        {NP_RR_OPT, "FORMERR rd " NAME " OPT; AD . OPT 1232 00000000 000f0002001e"},
        {NP_RR_TSIG, "FORMERR rd " NAME " TYPE250; AD . OPT 1232 00000000 000f0002001e"},
        {NP_RR_NXNAME, "FORMERR rd " NAME " TYPE128; AD . OPT 1232 00000000 000f0002001e"},
        {NP_RR_TKEY, "NOTIMP rd " NAME " TYPE249; AD . OPT 1232 00000000 000f00020015"},
        {NP_RR_MAILB, "NOTIMP rd " NAME " TYPE253; AD . OPT 1232 00000000 000f00020015"},
        {NP_RR_MAILA, "NOTIMP rd " NAME " TYPE254; AD . OPT 1232 00000000 000f00020015"},
        {NP_RR_AXFR, "REFUSED rd " NAME " TYPE252; AD . OPT 1232 00000000 000f00020012"},
        {NP_RR_IXFR, "REFUSED rd " NAME " TYPE251; AD . OPT 1232 00000000 000f00020012"},
    };
    for (size_t i = 0; i < sizeof never / sizeof *never; i++)
        assert_string_equal(ask(&dump, NAME, never[i].type, 3, NP_FLAG_RD, true), never[i].want);
    /* AD of the query is not repeated, CD is (RFC 4035 section 3.1.6). */
    assert_string_equal(ask(&dump, NAME, NP_RR_AAAA, 3, NP_FLAG_AD | NP_FLAG_CD, false),
                        "NOERROR aa ra cd " NAME " AAAA; AN " NAME " AAAA 10 fd42::1");
    /* An OPT is answered with one. */
    assert_string_equal(ask(&dump, NAME, NP_RR_AAAA, 3, NP_FLAG_RD, true),
                        "NOERROR aa rd ra " NAME " AAAA; AN " NAME " AAAA 10 fd42::1; AD . OPT 1232 00000000 ");
    uint8_t packet[512], out[512];
    struct np_client client = {.ifindex = 3};
    struct np_query query;
    size_t out_len, len = dump_query(packet, NAME, NP_RR_A, 0, false, false);
    packet[len - 1] = 3; /* class CH */
    assert_int_equal(np_local_answer(&view, &client, packet, len, &query, out, sizeof out, &out_len), NP_LOCAL_ERROR);
    assert_int_equal(out[3] & 15, NP_RCODE_REFUSED);
}

/* Over the rate, and with no place to wait. */
static void test_limits(void **state)
{
    (void)state;
    uint8_t packet[512], out[NP_DNS_UDP_MAX];
    struct np_client client = {.ifindex = 3};
    struct np_query query;
    struct dump dump;
    size_t len = dump_query(packet, "WWW.example", NP_RR_A, NP_FLAG_RD, true, false);
    size_t out_len = np_local_truncated(&view, packet, len, out, sizeof out);
    assert_string_equal(dump_message(&dump, out, out_len), "NOERROR tc rd ra WWW.example A; AD . OPT 1232 00000000 ");
    assert_int_equal(np_query_parse(packet, len, &query), NP_QUERY_GOOD);
    out_len = np_local_busy(&client, &query, out, sizeof out);
    dump_message(&dump, out, out_len);
    assert_non_null(strstr(dump.text, "SERVFAIL rd ra WWW.example A; AD . OPT 1232 00000000 000f002e0000746f6f"));
    packet[2] |= 0x80; /* a response, a broken query, another opcode: nothing */
    assert_int_equal(np_local_truncated(&view, packet, len, out, sizeof out), 0);
    packet[2] = 0x28;
    assert_int_equal(np_local_truncated(&view, packet, len, out, sizeof out), 0);
    packet[2] = 1;
    assert_int_equal(np_local_truncated(&view, packet, len - 1, out, sizeof out), 0);
}

/* A forwarder on loopback tells its client's subnet by ECS, and hears for whom the answer holds (RFC 7871
 * section 7.2.1); from elsewhere ECS says nothing. */
static void test_client_subnet(void **state)
{
    (void)state;
    static const struct {
        const char *remote, *option, *want, *opt;
        size_t len;
    } rows[] = {
        {"127.0.0.1", "\0\10\0\7\0\1\30\0\300\250\4", "192.168.4.1", "0008000700011818c0a804", 11},
        {"127.0.0.1", "\0\10\0\10\0\1\40\0\300\250\4\7", "192.168.4.1", "0008000800012018c0a80407", 12},
        {"::1", "\0\10\0\10\0\1\40\0\300\250\4\7", "192.168.4.1", "0008000800012018c0a80407", 12},
        /* of no LAN, too short for one, nobody's in particular */
        {"127.0.0.1", "\0\10\0\7\0\1\30\0\300\250\143", "192.168.1.1", "0008000700011800c0a863", 11},
        {"127.0.0.1", "\0\10\0\6\0\1\20\0\300\250", "192.168.1.1", "0008000600011000c0a8", 10},
        {"127.0.0.1", "\0\10\0\4\0\2\0\0", "192.168.1.1", "0008000400020000", 8},
        {"192.168.1.77", "\0\10\0\7\0\1\30\0\300\250\4", "192.168.1.1", "", 11},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        uint8_t packet[512], out[512];
        char opt[128];
        struct np_client client = {.ifindex = 1};
        struct np_query query;
        struct dump dump;
        size_t out_len, len = dump_query(packet, NAME, NP_RR_A, 0, true, false);
        packet[len - 1] = (uint8_t)rows[i].len;
        memcpy(packet + len, rows[i].option, rows[i].len);
        assert_int_equal(np_addr_parse(rows[i].remote, &client.remote.addr), 0);
        assert_int_equal(np_local_answer(&view, &client, packet, len + rows[i].len, &query, out, sizeof out, &out_len),
                         NP_LOCAL_OWN);
        if (!strstr(dump_message(&dump, out, out_len), rows[i].want))
            fail_msg("row %zu: %s", i, dump.text);
        snprintf(opt, sizeof opt, "OPT 1232 00000000 %s", rows[i].opt);
        if (strcmp(strstr(dump.text, "OPT "), opt) != 0)
            fail_msg("row %zu: %s", i, dump.text);
    }
}

static void test_offline_and_blocked(void **state)
{
    (void)state;
    uint8_t packet[512], out[512];
    struct np_client client = {.ifindex = 3};
    struct np_query query;
    struct dump dump;
    size_t len = dump_query(packet, NAME, NP_RR_DS, NP_FLAG_RD, true, false);
    assert_int_equal(np_query_parse(packet, len, &query), NP_QUERY_GOOD);
    len = np_local_offline(&view, &client, &query, NP_EDE_NETWORK_ERROR, out, sizeof out);
    assert_string_equal(dump_message(&dump, out, len),
                        "NOERROR aa rd ra " NAME " DS; " SOA(NAME) "; AD . OPT 1232 00000000 ");
    len = dump_query(packet, "www.example", NP_RR_A, NP_FLAG_RD, true, false);
    assert_int_equal(np_query_parse(packet, len, &query), NP_QUERY_GOOD);
    len = np_local_offline(&view, &client, &query, NP_EDE_NO_REACHABLE_AUTHORITY, out, sizeof out);
    assert_string_equal(dump_message(&dump, out, len),
                        "SERVFAIL rd ra www.example A; AD . OPT 1232 00000000 000f00020016");
    len = np_local_blocked(&view, &client, &query, out, sizeof out);
    assert_string_equal(dump_message(&dump, out, len),
                        "NOERROR rd ra www.example A; " SOA("www.example") "; AD . OPT 1232 00000000 000f0002000f");
}

/* Before enrolment there is nothing of our own. */
static void test_no_name(void **state)
{
    (void)state;
    struct np_name name = dump_name(NAME), reverse = dump_name("1.1.168.192.in-addr.arpa");
    struct np_view empty = view;
    empty.own_count = 0;
    assert_int_equal(np_own_find(&empty, &name, NP_RR_A).kind, NP_OWN_NONE);
    assert_int_equal(np_own_find(&empty, &reverse, NP_RR_PTR).kind, NP_OWN_NONE);
    assert_false(np_own_below(&empty, &reverse));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_addresses),     cmocka_unit_test(test_types),
        cmocka_unit_test(test_below),         cmocka_unit_test(test_forwarded_below),
        cmocka_unit_test(test_dns_service),   cmocka_unit_test(test_ptr),
        cmocka_unit_test(test_special),       cmocka_unit_test(test_canary),
        cmocka_unit_test(test_own_name_only), cmocka_unit_test(test_lone_label),
        cmocka_unit_test(test_refused),       cmocka_unit_test(test_limits),
        cmocka_unit_test(test_client_subnet), cmocka_unit_test(test_offline_and_blocked),
        cmocka_unit_test(test_no_name),
    };
    return cmocka_run_group_tests(tests, load, NULL);
}

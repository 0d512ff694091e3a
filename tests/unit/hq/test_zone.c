/* The zone's answers, by a table of queries; the table of names against a plain model; the feed between HQ and its DNS
 * child. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hq/zone/answer.h"
#include "hq/zone/feed.h"
#include "resolver/base/error.h"

#define VALUE_A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define VALUE_B "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"

struct fixture {
    struct np_zone_config config;
    struct np_zone_view view;
    struct np_table *table;
};

static struct np_addr addr(const char *text)
{
    struct np_addr out;
    assert_int_equal(np_addr_parse(text, &out), 0);
    return out;
}

static void nameserver(struct np_zone_config *config, const char *name, const char *address)
{
    struct np_zone_nameserver *entry = &config->nameservers[config->nameserver_count++];
    snprintf(entry->name, sizeof entry->name, "%s", name);
    assert_int_equal(np_endpoint_parse(address, 53, &entry->address), 0);
}

static int setup(void **state)
{
    static const uint8_t v4[2][4] = {{192, 168, 1, 7}, {10, 0, 0, 7}};
    static const uint8_t v6[1][16] = {{0xfd, [15] = 7}};
    struct fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    struct np_zone_config *config = &f->config;
    snprintf(config->origin, sizeof config->origin, "devices.example");
    nameserver(config, "NS1.devices.example", "198.51.100.10");
    nameserver(config, "ns1.devices.example", "2001:db8:1::10");
    nameserver(config, "ns2.infra.devices.example", "198.51.100.11");
    nameserver(config, "ns.other.example", "198.51.100.12");
    snprintf(config->host, sizeof config->host, "hq.devices.example");
    config->host_addresses[config->host_address_count++] = addr("198.51.100.10");
    snprintf(config->caa[config->caa_count++], NP_ZONE_CAA_LEN, "ca.example");
    snprintf(config->caa[config->caa_count++], NP_ZONE_CAA_LEN, "other-ca.example");
    config->ttl_s = 60;
    config->probe_private[config->probe_private_count++] = addr("192.168.0.1");
    config->probe_public[config->probe_public_count++] = addr("192.0.2.1");
    config->probe_public[config->probe_public_count++] = addr("2001:db8::1");
    const struct np_zone_accounts accounts = {{"https://ca.example/acct/1", "https://second.example/acct/2"}};
    assert_int_equal(np_zone_view_init(&f->view, config, &accounts), 0);
    assert_int_equal(np_table_new(42, &f->table), 0);
    f->view.table = f->table;
    f->view.serial = 2026112201;
    f->view.challenge_serial = 7;
    assert_int_equal(np_table_put(f->table, "nifty-babbage", 13, true, v4, 2, v6, 1), 0);
    assert_int_equal(np_table_put(f->table, "odd-turing", 10, true, v4, 1, NULL, 0), 0);
    assert_int_equal(np_table_put(f->table, "local-only", 10, true, NULL, 0, NULL, 0), 0);
    const char values[2][NP_ZONE_TXT_LEN + 1] = {VALUE_A, VALUE_B};
    char packed[2][NP_ZONE_TXT_LEN];
    for (size_t i = 0; i < 2; i++)
        memcpy(packed[i], values[i], NP_ZONE_TXT_LEN);
    assert_int_equal(np_table_put_txt(f->table, "nifty-babbage", 13, (const char(*)[NP_ZONE_TXT_LEN])packed, 2), 0);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    np_table_free(f->table);
    free(f);
    return 0;
}

/* ---- Answers as text ---- */

static void append(char *out, size_t size, const char *format, ...) __attribute__((format(printf, 3, 4)));
static void append(char *out, size_t size, const char *format, ...)
{
    size_t len = strlen(out);
    va_list args;
    va_start(args, format);
    vsnprintf(out + len, size - len, format, args);
    va_end(args);
}

/* The next len bytes of the reader. */
static void append_text(char *out, size_t size, struct np_reader *r, size_t len)
{
    const uint8_t *text = np_read_bytes(r, len);
    append(out, size, "%.*s", text ? (int)len : 0, text ? (const char *)text : "");
}

static void append_name(char *out, size_t size, const uint8_t *message, size_t len, size_t pos, size_t *out_pos)
{
    char text[NP_NAME_TEXT_MAX];
    struct np_name name;
    struct np_reader r = np_reader_make(message, len);
    np_read_seek(&r, pos);
    np_name_read(&r, &name);
    assert_int_equal(r.error, 0);
    append(out, size, "%s", np_name_format(&name, text));
    if (out_pos)
        *out_pos = r.pos;
}

static void append_strings(char *out, size_t size, struct np_reader r, char separator)
{
    while (np_reader_left(&r) > 0) {
        uint8_t n = np_read_u8(&r);
        const uint8_t *text = np_read_bytes(&r, n);
        append(out, size, "%.*s%c", n, text ? (const char *)text : "", np_reader_left(&r) ? separator : ' ');
    }
}

static void append_rdata(char *out, size_t size, const uint8_t *message, size_t len, const struct np_rr *rr)
{
    struct np_reader whole = np_reader_make(message, len);
    char text[NP_ADDR_TEXT_MAX];
    size_t pos = rr->rdata_pos;
    np_read_seek(&whole, pos);
    struct np_reader r = np_read_sub(&whole, rr->rdata_len);
    switch (rr->type) {
    case NP_RR_A:
    case NP_RR_AAAA: {
        struct np_addr value = np_addr_from_bytes(message + pos, rr->rdata_len);
        append(out, size, "%s", np_addr_format(&value, text));
        break;
    }
    case NP_RR_NS:
    case NP_RR_CNAME:
        append_name(out, size, message, len, pos, NULL);
        break;
    case NP_RR_SOA: {
        append_name(out, size, message, len, pos, &pos);
        append(out, size, " ");
        append_name(out, size, message, len, pos, &pos);
        np_read_seek(&whole, pos);
        append(out, size, " %u", np_read_u32(&whole));
        np_read_skip(&whole, 12);
        append(out, size, " min %u", np_read_u32(&whole));
        break;
    }
    case NP_RR_MX:
        append(out, size, "%u ", np_read_u16(&r));
        append_name(out, size, message, len, pos + 2, NULL);
        break;
    case NP_RR_CAA: {
        append(out, size, "%u ", np_read_u8(&r));
        append_text(out, size, &r, np_read_u8(&r));
        append(out, size, " ");
        append_text(out, size, &r, np_reader_left(&r));
        break;
    }
    default:
        append_strings(out, size, r, '|');
    }
}

/* "NOERROR aa | A name ttl TYPE rdata | U ... | D ..." of a message (A answer, U authority, D additional). */
static void describe(const uint8_t *message, size_t len, char *out, size_t size)
{
    static const char *const rcodes[] = {"NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED"};
    char text[NP_NAME_TEXT_MAX];
    struct np_walk walk;
    struct np_rr rr;
    out[0] = 0;
    assert_int_equal(np_walk_start(&walk, message, len), 0);
    assert_true(walk.flags & NP_FLAG_QR);
    assert_false(walk.flags & (NP_FLAG_RA | NP_FLAG_AD));
    append(out, size, "%s%s%s", rcodes[walk.flags & 15], walk.flags & NP_FLAG_AA ? " aa" : "",
           walk.flags & NP_FLAG_TC ? " tc" : "");
    while (np_walk_next(&walk, &rr) == 1) {
        if (rr.type == NP_RR_OPT)
            continue;
        append(out, size, "\n%c %s %u %u ", " AUD"[rr.section], np_name_format(&rr.owner, text), rr.ttl, rr.type);
        append_rdata(out, size, message, len, &rr);
        for (size_t n = strlen(out); n > 0 && out[n - 1] == ' ';)
            out[--n] = 0;
    }
}

static size_t ask(const struct fixture *f, const char *qname, uint16_t qtype, bool edns, bool tcp, uint8_t *out,
                  size_t size)
{
    uint8_t packet[512];
    struct np_name name;
    assert_int_equal(np_name_parse(qname, &name), 0);
    int len = np_query_write(packet, sizeof packet, 0x1234, 0, &name, qtype, edns, false);
    assert_true(len > 0);
    return np_zone_answer(&f->view, packet, (size_t)len, tcp, out, size, &(struct np_zone_class){0});
}

#define SOA  "devices.example 60 6 ns1.devices.example hostmaster.devices.example 2026112201 min 60"
#define SOA2 "acme.devices.example 1 6 ns1.devices.example hostmaster.devices.example 7 min 1"
#define NS3(zone)                                                                                                      \
    "\nA " zone " 60 2 ns1.devices.example\nA " zone " 60 2 ns2.infra.devices.example\nA " zone                        \
    " 60 2 ns.other.example\nD ns1.devices.example 60 1 198.51.100.10"                                                 \
    "\nD ns1.devices.example 60 28 2001:db8:1::10\nD ns2.infra.devices.example 60 1 198.51.100.11"
#define NODATA   "NOERROR aa\nU " SOA
#define NXDOMAIN "NXDOMAIN aa\nU " SOA

static const struct {
    const char *qname;
    uint16_t qtype;
    const char *answer;
} rows[] = {
    /* the apex */
    {"devices.example", NP_RR_SOA, "NOERROR aa\nA " SOA},
    {"devices.example", NP_RR_NS, "NOERROR aa" NS3("devices.example")},
    {"devices.example", NP_RR_CAA,
     "NOERROR aa\nA devices.example 60 257 0 issue ca.example; accounturi=https://ca.example/acct/1"
     "\nA devices.example 60 257 0 issue other-ca.example; accounturi=https://second.example/acct/2"},
    {"devices.example", NP_RR_MX, "NOERROR aa\nA devices.example 60 15 0 ."},
    {"devices.example", NP_RR_TXT, "NOERROR aa\nA devices.example 60 16 v=spf1 -all"},
    {"devices.example", NP_RR_A, NODATA},
    {"devices.example", NP_RR_DS, NODATA},
    {"devices.example", NP_RR_ANY, "NOERROR aa\nA devices.example 3600 13 RFC8482|"},
    /* names of the configuration */
    {"hq.devices.example", NP_RR_A, "NOERROR aa\nA hq.devices.example 60 1 198.51.100.10"},
    {"hq.devices.example", NP_RR_AAAA, NODATA},
    {"ns1.devices.example", NP_RR_AAAA, "NOERROR aa\nA ns1.devices.example 60 28 2001:db8:1::10"},
    {"ns2.infra.devices.example", NP_RR_A, "NOERROR aa\nA ns2.infra.devices.example 60 1 198.51.100.11"},
    {"infra.devices.example", NP_RR_A, NODATA}, /* an empty non-terminal */
    {"infra.devices.example", NP_RR_ANY, NODATA},
    {"ns3.infra.devices.example", NP_RR_A, NXDOMAIN},
    /* devices */
    {"nifty-babbage.devices.example", NP_RR_A,
     "NOERROR aa\nA nifty-babbage.devices.example 60 1 192.168.1.7\nA nifty-babbage.devices.example 60 1 10.0.0.7"},
    {"nifty-babbage.devices.example", NP_RR_AAAA, "NOERROR aa\nA nifty-babbage.devices.example 60 28 fd00::7"},
    {"NiFTy-bABBage.DEVices.example", NP_RR_AAAA, "NOERROR aa\nA NiFTy-bABBage.DEVices.example 60 28 fd00::7"},
    {"nifty-babbage.devices.example", NP_RR_MX, "NOERROR aa\nA nifty-babbage.devices.example 60 15 0 ."},
    {"nifty-babbage.devices.example", NP_RR_TXT, "NOERROR aa\nA nifty-babbage.devices.example 60 16 v=spf1 -all"},
    {"nifty-babbage.devices.example", NP_RR_ANY, "NOERROR aa\nA nifty-babbage.devices.example 3600 13 RFC8482|"},
    {"nifty-babbage.devices.example", NP_RR_HTTPS, NODATA},
    {"nifty-babbage.devices.example", NP_RR_SOA, NODATA},
    {"nifty-babbage.devices.example", NP_RR_NS, NODATA},
    {"nifty-babbage.devices.example", NP_RR_CAA, NODATA}, /* RFC 8659: the CA climbs to the apex */
    {"nifty-babbage.devices.example", NP_RR_CNAME, NODATA},
    {"nifty-babbage.devices.example", 65280, NODATA},
    {"odd-turing.devices.example", NP_RR_AAAA, NODATA},
    {"local-only.devices.example", NP_RR_A, NODATA},
    {"www.nifty-babbage.devices.example", NP_RR_A, NXDOMAIN},
    {"a.b.c.d.e.nifty-babbage.devices.example", NP_RR_A, NXDOMAIN},
    {"nobody.devices.example", NP_RR_A, NXDOMAIN},
    {"nobody.devices.example", NP_RR_ANY, NXDOMAIN},
    {"*.devices.example", NP_RR_A, NXDOMAIN},
    {"nifty-babbage\\.x.devices.example", NP_RR_A, NXDOMAIN},
    /* challenges */
    {"_acme-challenge.nifty-babbage.devices.example", NP_RR_TXT,
     "NOERROR aa\nA _acme-challenge.nifty-babbage.devices.example 60 5 nifty-babbage.acme.devices.example"
     "\nA nifty-babbage.acme.devices.example 1 16 " VALUE_A "\nA nifty-babbage.acme.devices.example 1 16 " VALUE_B},
    {"_ACME-challenge.Nifty-Babbage.devices.example", NP_RR_CNAME,
     "NOERROR aa\nA _ACME-challenge.Nifty-Babbage.devices.example 60 5 nifty-babbage.acme.devices.example"},
    {"_acme-challenge.nifty-babbage.devices.example", NP_RR_A,
     "NOERROR aa\nA _acme-challenge.nifty-babbage.devices.example 60 5 nifty-babbage.acme.devices.example\nU " SOA2},
    {"_acme-challenge.nifty-babbage.devices.example", NP_RR_ANY,
     "NOERROR aa\nA _acme-challenge.nifty-babbage.devices.example 60 5 nifty-babbage.acme.devices.example"},
    {"_acme-challenge.odd-turing.devices.example", NP_RR_TXT, /* RFC 6604: the rcode is the target's */
     "NXDOMAIN aa\nA _acme-challenge.odd-turing.devices.example 60 5 odd-turing.acme.devices.example\nU " SOA2},
    {"_acme-challenge.nobody.devices.example", NP_RR_TXT, NXDOMAIN},
    {"_acme-challenge.devices.example", NP_RR_TXT, NXDOMAIN},
    {"x._acme-challenge.nifty-babbage.devices.example", NP_RR_TXT, NXDOMAIN},
    {"_acme-challengf.nifty-babbage.devices.example", NP_RR_TXT, NXDOMAIN},
    {"acme.devices.example", NP_RR_SOA,
     "NOERROR aa\nA acme.devices.example 60 6 ns1.devices.example hostmaster.devices.example 7 min 1"},
    {"acme.devices.example", NP_RR_NS, "NOERROR aa" NS3("acme.devices.example")},
    {"acme.devices.example", NP_RR_DS, NODATA}, /* the parent's to answer: its SOA */
    {"acme.devices.example", NP_RR_A, "NOERROR aa\nU " SOA2},
    {"acme.devices.example", NP_RR_MX, "NOERROR aa\nU " SOA2},
    {"nifty-babbage.acme.devices.example", NP_RR_TXT,
     "NOERROR aa\nA nifty-babbage.acme.devices.example 1 16 " VALUE_A
     "\nA nifty-babbage.acme.devices.example 1 16 " VALUE_B},
    {"nifty-babbage.acme.devices.example", NP_RR_A, "NOERROR aa\nU " SOA2},
    {"odd-turing.acme.devices.example", NP_RR_TXT, "NXDOMAIN aa\nU " SOA2},
    {"x.nifty-babbage.acme.devices.example", NP_RR_TXT, "NXDOMAIN aa\nU " SOA2},
    /* probes: wildcards */
    {"a.rebind-test.devices.example", NP_RR_A, "NOERROR aa\nA a.rebind-test.devices.example 60 1 192.168.0.1"},
    {"a.b.rebind-test.devices.example", NP_RR_A, "NOERROR aa\nA a.b.rebind-test.devices.example 60 1 192.168.0.1"},
    {"a.rebind-test.devices.example", NP_RR_AAAA, NODATA},
    {"a.plain-test.devices.example", NP_RR_AAAA, "NOERROR aa\nA a.plain-test.devices.example 60 28 2001:db8::1"},
    {"a.plain-test.devices.example", NP_RR_HTTPS, NODATA},
    {"*.plain-test.devices.example", NP_RR_A, "NOERROR aa\nA *.plain-test.devices.example 60 1 192.0.2.1"},
    {"rebind-test.devices.example", NP_RR_A, NODATA},
    {"_acme-challenge.plain-test.devices.example", NP_RR_TXT,
     "NOERROR aa\nA _acme-challenge.plain-test.devices.example 60 16 v=spf1 -all"},
    /* not ours */
    {"example", NP_RR_A, "REFUSED"},
    {"other.example", NP_RR_A, "REFUSED"},
    {"xdevices.example", NP_RR_A, "REFUSED"},
    {".", NP_RR_NS, "REFUSED"},
    {"devices.example", NP_RR_AXFR, "REFUSED"},
    {"devices.example", NP_RR_IXFR, "REFUSED"},
    {"acme.devices.example", NP_RR_AXFR, "REFUSED"},
    {"devices.example", 253, "REFUSED"}, /* MAILB */
    {"devices.example", NP_RR_OPT, "FORMERR"},
    {"devices.example", 0, "FORMERR"},
};

static void test_answers(void **state)
{
    uint8_t out[NP_DNS_MESSAGE_MAX];
    char text[4096];
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        for (int mode = 0; mode < 4; mode++) { /* EDNS and TCP change nothing in what is said */
            size_t len = ask(*state, rows[i].qname, rows[i].qtype, mode & 1, mode & 2, out, sizeof out);
            assert_true(len >= NP_DNS_HEADER_LEN);
            describe(out, len, text, sizeof text);
            if (strcmp(text, rows[i].answer) != 0)
                fail_msg("%s %u:\n%s\nwanted:\n%s", rows[i].qname, rows[i].qtype, text, rows[i].answer);
        }
    }
}

static void test_classes_and_opcodes(void **state)
{
    const struct fixture *f = *state;
    uint8_t packet[512], out[NP_DNS_UDP_MAX];
    char text[512];
    struct np_name name;
    assert_int_equal(np_name_parse("devices.example", &name), 0);
    int len = np_query_write(packet, sizeof packet, 1, 0, &name, NP_RR_TXT, false, false);
    packet[len - 1] = 3; /* CHAOS */
    describe(out, np_zone_answer(&f->view, packet, (size_t)len, false, out, sizeof out, &(struct np_zone_class){0}),
             text, sizeof text);
    assert_string_equal(text, "REFUSED");
    packet[len - 1] = 1;
    packet[2] = 4 << 3; /* NOTIFY */
    describe(out, np_zone_answer(&f->view, packet, (size_t)len, false, out, sizeof out, &(struct np_zone_class){0}),
             text, sizeof text);
    assert_string_equal(text, "NOTIMP");
    packet[2] = 0x80; /* a response */
    assert_int_equal(np_zone_answer(&f->view, packet, (size_t)len, false, out, sizeof out, &(struct np_zone_class){0}),
                     0);
    packet[2] = 0;
    for (int cut = 0; cut < len; cut++) {
        size_t n = np_zone_answer(&f->view, packet, (size_t)cut, false, out, sizeof out, &(struct np_zone_class){0});
        assert_int_equal(n > 0, cut >= NP_DNS_HEADER_LEN);
        if (n > 0)
            assert_int_equal(out[3] & 15, NP_RCODE_FORMERR);
    }
}

/* Four challenge values and a CNAME do not fit into 512 bytes with a long enough name: TC over UDP, whole over TCP. */
static size_t answer_to(const struct fixture *f, const char *qname, uint16_t qtype, uint8_t *out,
                        struct np_zone_class *out_class)
{
    uint8_t packet[NP_DNS_UDP_PLAIN];
    struct np_name name;
    assert_int_equal(np_name_parse(qname, &name), 0);
    int len = np_query_write(packet, sizeof packet, 1, 0, &name, qtype, false, false);
    assert_true(len > 0);
    return np_zone_answer(&f->view, packet, (size_t)len, false, out, NP_DNS_UDP_MAX, out_class);
}

/* While the table is loading, what is there is answered, and nothing is denied. */
static void test_loading(void **state)
{
    struct fixture *f = *state;
    uint8_t out[NP_DNS_UDP_MAX];
    struct np_zone_class class;
    static const struct {
        const char *name;
        uint16_t type;
        bool answered;
    } asked[] = {
        {"nifty-babbage.devices.example", NP_RR_A, true},
        {"nifty-babbage.devices.example", NP_RR_CAA, true},
        {"_acme-challenge.nifty-babbage.devices.example", NP_RR_TXT, true},
        {"devices.example", NP_RR_SOA, true},
        {"x.rebind-test.devices.example", NP_RR_A, true},
        {"nobody.devices.example", NP_RR_A, false},
        {"_acme-challenge.nobody.devices.example", NP_RR_TXT, false},
        {"_acme-challenge.odd-turing.devices.example", NP_RR_TXT, false}, /* its CNAME's end is not there, or not yet */
        {"odd-turing.acme.devices.example", NP_RR_TXT, false},
        {"www.other.example", NP_RR_A, true}, /* REFUSED as always */
    };
    for (int loading = 1; loading >= 0; loading--) {
        f->view.loading = loading;
        for (size_t i = 0; i < sizeof asked / sizeof *asked; i++) {
            if ((answer_to(f, asked[i].name, asked[i].type, out, &class) > 0) != (asked[i].answered || !loading))
                fail_msg("%s %u, loading %d", asked[i].name, asked[i].type, loading);
        }
    }
}

/* What response rate limiting counts together: random names are one subject, names and types of their own are not. */
static void test_classes(void **state)
{
    struct fixture *f = *state;
    uint8_t out[NP_DNS_UDP_MAX];
    struct np_zone_class class, same, other;
    static const struct {
        const char *name, *same, *other;
        uint16_t type;
        enum np_rrl_kind kind;
    } pairs[] = {
        {"nifty-babbage.devices.example", "NIFTY-babbage.devices.example", "odd-turing.devices.example", NP_RR_A,
         NP_RRL_ANSWER},
        {"nifty-babbage.devices.example", "NIFTY-babbage.devices.example", "odd-turing.devices.example", NP_RR_CAA,
         NP_RRL_NODATA},
        {"a.devices.example", "b.c.devices.example", "d.acme.devices.example", NP_RR_A, NP_RRL_NXDOMAIN},
        {"a.rebind-test.devices.example", "b.c.rebind-test.devices.example", "a.plain-test.devices.example", NP_RR_A,
         NP_RRL_ANSWER},
    };
    f->view.hash_key = 99;
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        answer_to(f, pairs[i].name, pairs[i].type, out, &class);
        answer_to(f, pairs[i].same, pairs[i].type, out, &same);
        answer_to(f, pairs[i].other, pairs[i].type, out, &other);
        assert_int_equal(class.kind, pairs[i].kind);
        assert_int_equal(same.kind, pairs[i].kind);
        assert_int_equal(other.kind, pairs[i].kind);
        assert_int_equal(class.subject, same.subject);
        assert_int_not_equal(class.subject, other.subject);
    }
    answer_to(f, "nifty-babbage.devices.example", NP_RR_A, out, &class);
    answer_to(f, "nifty-babbage.devices.example", NP_RR_AAAA, out, &other);
    assert_int_not_equal(class.subject, other.subject);
    answer_to(f, "nifty-babbage.devices.example", NP_RR_CAA, out, &class);
    answer_to(f, "nifty-babbage.devices.example", NP_RR_HTTPS, out, &other);
    assert_int_equal(class.subject, other.subject); /* NODATA of one name, whatever the type */
    answer_to(f, "www.other.example", NP_RR_A, out, &class);
    assert_int_equal(class.kind, NP_RRL_ERROR);
    assert_int_equal(class.subject, 0);
}

static void test_truncation(void **state)
{
    struct fixture *f = *state;
    char label[64], values[4][NP_ZONE_TXT_LEN], qname[200], text[4096];
    uint8_t out[NP_DNS_MESSAGE_MAX];
    memset(label, 'l', 63);
    label[63] = 0;
    memset(values, 'v', sizeof values);
    assert_int_equal(np_table_put(f->table, label, 63, true, NULL, 0, NULL, 0), 0);
    assert_int_equal(np_table_put_txt(f->table, label, 63, (const char(*)[NP_ZONE_TXT_LEN])values, 4), 0);
    snprintf(qname, sizeof qname, "_acme-challenge.%s.devices.example", label);
    size_t len = ask(f, qname, NP_RR_TXT, false, false, out, sizeof out);
    assert_in_range(len, NP_DNS_HEADER_LEN, NP_DNS_UDP_PLAIN);
    describe(out, len, text, sizeof text);
    assert_memory_equal(text, "NOERROR aa tc", 13);
    len = ask(f, qname, NP_RR_TXT, false, true, out, sizeof out);
    describe(out, len, text, sizeof text);
    assert_memory_equal(text, "NOERROR aa\n", 11);
    len = ask(f, qname, NP_RR_TXT, true, false, out, sizeof out);
    describe(out, len, text, sizeof text);
    assert_memory_equal(text, "NOERROR aa\n", 11);
}

static void test_bad_configurations(void **state)
{
    struct fixture *f = *state;
    struct np_zone_view view;
    struct np_zone_config config = f->config;
    config.nameserver_count = 0;
    assert_int_equal(np_zone_view_init(&view, &config, NULL), NP_E_MISSING);
    config = f->config;
    config.origin[0] = 0;
    assert_int_equal(np_zone_view_init(&view, &config, NULL), NP_E_MALFORMED);
    config = f->config;
    memset(config.origin, 'a', 253);
    for (size_t i = 63; i < 253; i += 64)
        config.origin[i] = '.';
    config.origin[253] = 0;
    assert_int_equal(np_zone_view_init(&view, &config, NULL), NP_E_LIMIT);
}

/* ---- The table ---- */

#define MODEL_NAMES 5000

/* Many names with random states, put and removed in random order, against an array. */
static void test_table_against_model(void **state)
{
    struct model {
        bool present;
        uint8_t v4[2][4], v6[4][16];
        size_t v4_count, v6_count, txt_count;
        char txt[4][NP_ZONE_TXT_LEN];
    } *model = calloc(MODEL_NAMES, sizeof *model);
    struct np_table *table;
    uint64_t seed = 88172645463325252u;
    (void)state;
    assert_non_null(model);
    assert_int_equal(np_table_new(7, &table), 0);
    for (size_t step = 0; step < 60000; step++) {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        size_t i = (seed >> 8) % MODEL_NAMES;
        struct model *m = &model[i];
        char label[32];
        size_t len = (size_t)snprintf(label, sizeof label, "%s%zu", step % 2 ? "name-" : "NAME-", i);
        if (seed % 3 == 0) {
            m->txt_count = (seed >> 40) % 5;
            memset(m->txt, (int)('a' + (seed >> 50) % 26), sizeof m->txt);
            assert_int_equal(np_table_put_txt(table, label, len, (const char(*)[NP_ZONE_TXT_LEN])m->txt, m->txt_count),
                             0);
        } else {
            m->present = seed % 4 != 0;
            m->v4_count = m->present ? (seed >> 32) % 3 : 0;
            m->v6_count = m->present ? (seed >> 36) % 5 : 0;
            memset(m->v4, (int)(seed >> 44 & 255), sizeof m->v4);
            memset(m->v6, (int)(seed >> 52 & 255), sizeof m->v6);
            assert_int_equal(np_table_put(table, label, len, m->present, (const uint8_t(*)[4])m->v4, m->v4_count,
                                          (const uint8_t(*)[16])m->v6, m->v6_count),
                             0);
        }
    }
    size_t count = 0;
    for (size_t i = 0; i < MODEL_NAMES; i++) {
        struct np_table_entry entry;
        char label[32];
        size_t len = (size_t)snprintf(label, sizeof label, "nAme-%zu", i);
        bool known = np_table_get(table, label, len, &entry);
        assert_int_equal(known, model[i].present || model[i].txt_count > 0);
        count += known;
        assert_int_equal(entry.present, model[i].present);
        assert_int_equal(entry.v4_count, model[i].v4_count);
        assert_int_equal(entry.v6_count, model[i].v6_count);
        assert_int_equal(entry.txt_count, model[i].txt_count);
        if (entry.v4_count)
            assert_memory_equal(entry.v4, model[i].v4, entry.v4_count * 4);
        if (entry.v6_count)
            assert_memory_equal(entry.v6, model[i].v6, entry.v6_count * 16);
        if (entry.txt_count)
            assert_memory_equal(entry.txt, model[i].txt, entry.txt_count * NP_ZONE_TXT_LEN);
    }
    assert_int_equal(np_table_count(table), count);
    np_table_free(table);
    free(model);
}

static void test_table_limits(void **state)
{
    static const uint8_t v4[3][4], v6[5][16];
    static const char txt[5][NP_ZONE_TXT_LEN];
    struct fixture *f = *state;
    char label[65];
    struct np_table_entry entry;
    memset(label, 'x', sizeof label);
    assert_int_equal(np_table_put(f->table, label, 63, true, v4, 2, v6, 4), 0);
    assert_int_equal(np_table_put_txt(f->table, label, 63, txt, 4), 0);
    assert_true(np_table_get(f->table, label, 63, &entry));
    assert_int_equal(np_table_put(f->table, label, 64, true, v4, 1, NULL, 0), NP_E_LIMIT);
    assert_int_equal(np_table_put(f->table, label, 0, true, v4, 1, NULL, 0), NP_E_LIMIT);
    assert_int_equal(np_table_put(f->table, "a", 1, true, v4, 3, NULL, 0), NP_E_LIMIT);
    assert_int_equal(np_table_put(f->table, "a", 1, true, NULL, 0, v6, 5), NP_E_LIMIT);
    assert_int_equal(np_table_put_txt(f->table, "a", 1, txt, 5), NP_E_LIMIT);
    assert_false(np_table_get(f->table, "a", 1, &entry));
    assert_false(np_table_get(f->table, label, 64, &entry));
    assert_false(np_table_get(f->table, label, 0, &entry));
}

/* DESIGN: a million devices; the child must stay small. */
static void test_table_is_compact(void **state)
{
    static const uint8_t v4[1][4] = {{192, 168, 1, 1}};
    struct np_table *table;
    (void)state;
    assert_int_equal(np_table_new(9, &table), 0);
    for (size_t i = 0; i < 200000; i++) {
        char label[32];
        size_t len = (size_t)snprintf(label, sizeof label, "nifty-%07zu", i);
        assert_int_equal(np_table_put(table, label, len, true, v4, 1, NULL, 0), 0);
    }
    assert_in_range(np_table_bytes(table) / np_table_count(table), 1, 50);
    np_table_free(table);
}

/* ---- The feed ---- */

static void test_feed_round_trip(void **state)
{
    uint8_t buffer[512];
    char values[NP_ZONE_TXT_MAX][NP_ZONE_TXT_LEN + 1] = {VALUE_A, VALUE_B};
    struct np_zone_name name = {.name = "new-name.devices.example", .present = true};
    struct np_table_entry entry;
    struct np_feed_head head = {5, 6, 7, NP_FEED_RESET}, read;
    struct np_table *table;
    (void)state;
    name.published.v4[name.published.v4_count++] = addr("10.1.2.3");
    name.published.v6[name.published.v6_count++] = addr("fd00::1");
    struct np_writer w = np_writer_make(buffer, sizeof buffer);
    np_feed_begin(&w, &head);
    assert_int_equal(np_feed_name(&w, "devices.example", &name), 0);
    assert_int_equal(np_feed_challenges(&w, "devices.example", name.name, values, 2), 0);
    for (size_t cut = 0; cut <= w.pos; cut++) {
        struct np_reader r = np_reader_make(buffer, cut);
        assert_int_equal(np_table_new(1, &table), 0);
        int rc = np_feed_read_head(&r, &read);
        if (rc == 0)
            rc = np_feed_apply(&r, table);
        if (cut == w.pos) {
            assert_int_equal(rc, 0);
            assert_true(np_table_get(table, "new-name", 8, &entry));
            assert_true(entry.present && entry.v4_count == 1 && entry.v6_count == 1 && entry.txt_count == 2);
            assert_int_equal(read.batch, 5);
            assert_int_equal(read.serial, 6);
            assert_int_equal(read.challenge_serial, 7);
            assert_int_equal(read.flags, NP_FEED_RESET);
        }
        np_table_free(table);
    }
}

static void test_feed_refuses_other_names(void **state)
{
    static const char *const names[] = {"devices.example",    "a.b.devices.example", "a.devices.example.org",
                                        "a.xdevices.example", ".devices.example",    ""};
    uint8_t buffer[512];
    struct np_writer w = np_writer_make(buffer, sizeof buffer);
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        struct np_zone_name name = {.present = true};
        snprintf(name.name, sizeof name.name, "%s", names[i]);
        assert_int_equal(np_feed_name(&w, "devices.example", &name), NP_E_NAME);
        assert_int_equal(w.pos, 0);
    }
}

static void test_feed_full_buffer_takes_entry_out(void **state)
{
    uint8_t buffer[40];
    struct np_zone_name name = {.name = "a.devices.example", .present = true};
    struct np_writer w = np_writer_make(buffer, sizeof buffer);
    size_t fitted = 0;
    (void)state;
    while (np_feed_name(&w, "devices.example", &name) == 0)
        fitted++;
    assert_int_equal(w.error, 0);
    assert_int_equal(w.pos, fitted * 6);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_answers, setup, teardown),
        cmocka_unit_test_setup_teardown(test_classes_and_opcodes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_loading, setup, teardown),
        cmocka_unit_test_setup_teardown(test_classes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_truncation, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bad_configurations, setup, teardown),
        cmocka_unit_test(test_table_against_model),
        cmocka_unit_test_setup_teardown(test_table_limits, setup, teardown),
        cmocka_unit_test(test_table_is_compact),
        cmocka_unit_test(test_feed_round_trip),
        cmocka_unit_test(test_feed_refuses_other_names),
        cmocka_unit_test(test_feed_full_buffer_takes_entry_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

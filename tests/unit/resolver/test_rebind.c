#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "resolver/base/text.h"
#include "resolver/rebind.h"
#include "tests/unit/resolver/dump.h"

static struct np_view view;

static int load(void **state)
{
    static const char json[] = "{\"version\":1,\"role\":\"router\",\"zone\":\"devices.example\",\"interfaces\":["
                               "{\"index\":3,\"lan\":true,\"v4\":[\"192.168.1.1/24\"],\"v6\":[\"fd42::1/64\"]},"
                               "{\"index\":2,\"lan\":false,\"v4\":[\"10.64.0.5/24\"]}]}";
    char error[NP_VIEW_ERROR_MAX];
    (void)state;
    return np_view_parse(json, sizeof json - 1, &view, error);
}

/* A response with one record beside a harmless one. */
static size_t build(uint8_t *out, size_t size, const char *qname, enum np_section section, const char *owner,
                    uint16_t type, const void *rdata, size_t rdata_len)
{
    uint8_t packet[512];
    struct np_query query;
    struct np_answer answer;
    struct np_name name = dump_name(owner);
    size_t len = dump_query(packet, qname, type, NP_FLAG_RD, false, false);
    assert_int_equal(np_query_parse(packet, len, &query), NP_QUERY_GOOD);
    np_answer_start(&answer, &query, out, size, 0);
    np_answer_rr(&answer, NP_SECTION_ANSWER, &query.qname, NP_RR_A, 60, "\x08\x08\x08\x08", 4);
    np_answer_rr(&answer, section, &name, type, 60, rdata, rdata_len);
    return np_answer_finish(&answer);
}

static enum np_rebind check_address(const char *qname, enum np_section section, const char *owner, const char *text)
{
    uint8_t message[512];
    struct np_addr addr, found;
    assert_int_equal(np_addr_parse(text, &addr), 0);
    size_t len = build(message, sizeof message, qname, section, owner, addr.family == AF_INET ? NP_RR_A : NP_RR_AAAA,
                       addr.bytes, np_addr_len(&addr));
    enum np_rebind verdict = np_rebind_check(&view, message, len, &found);
    if (verdict != NP_REBIND_PASS)
        assert_true(np_addr_equal(&addr, &found));
    return verdict;
}

static void test_forms(void **state)
{
    (void)state;
    static const char *const blocked[] = {"10.0.0.1",
                                          "172.16.0.1",
                                          "172.31.255.255",
                                          "192.168.0.1",
                                          "100.64.0.1",
                                          "100.127.255.255",
                                          "127.0.0.1",
                                          "169.254.1.1",
                                          "0.0.0.0",
                                          "0.1.2.3",
                                          "::",
                                          "::1",
                                          "fc00::1",
                                          "fdff::1",
                                          "fe80::1",
                                          "febf::1",
                                          "::ffff:192.168.1.1",
                                          "::ffff:8.8.8.8",
                                          "::10.0.0.1",
                                          "::ffff:0:192.168.1.1",
                                          "64:ff9b::a00:1",
                                          "64:ff9b::c0a8:101",
                                          "64:ff9b:1::1",
                                          "64:ff9b:1::808:808",
                                          "2002:a00:1::1",
                                          "2002:808:808::1"};
    static const char *const passed[] = {"8.8.8.8",      "172.15.0.1",  "172.32.0.1", "100.63.0.1",
                                         "100.128.0.1",  "126.0.0.1",   "128.0.0.1",  "192.167.0.1",
                                         "2606:4700::1", "2001:db8::1", "fec0::1",    "64:ff9b::808:808"};
    for (size_t i = 0; i < sizeof blocked / sizeof *blocked; i++) {
        if (check_address("evil.example", NP_SECTION_ANSWER, "evil.example", blocked[i]) != NP_REBIND_BLOCK)
            fail_msg("%s passes", blocked[i]);
    }
    for (size_t i = 0; i < sizeof passed / sizeof *passed; i++) {
        if (check_address("good.example", NP_SECTION_ANSWER, "good.example", passed[i]) != NP_REBIND_PASS)
            fail_msg("%s is blocked", passed[i]);
    }
}

static void test_places(void **state)
{
    (void)state;
    /* behind a CNAME, in the additional section, as glue */
    assert_int_equal(check_address("evil.example", NP_SECTION_ANSWER, "elsewhere.example", "10.0.0.1"),
                     NP_REBIND_BLOCK);
    assert_int_equal(check_address("a.example", NP_SECTION_ADDITIONAL, "b.example", "10.0.0.1"), NP_REBIND_STRIP);
    assert_int_equal(check_address("a.example", NP_SECTION_AUTHORITY, "b.example", "10.0.0.1"), NP_REBIND_PASS);
}

/* Stub resolvers exist that look at a record's type alone. */
static void test_class(void **state)
{
    (void)state;
    uint8_t message[512];
    size_t len = build(message, sizeof message, "evil.example", NP_SECTION_ANSWER, "evil.example", NP_RR_A,
                       "\x0a\x00\x00\x01", 4);
    message[len - 11] = 3; /* CH: the class stands before TTL, length and address */
    assert_int_equal(np_rebind_check(&view, message, len, NULL), NP_REBIND_BLOCK);
}

static void test_siblings(void **state)
{
    (void)state;
    static const struct {
        const char *qname, *owner, *addr;
        enum np_rebind verdict;
    } rows[] = {
        {"nas.devices.example", "nas.devices.example", "192.168.1.77", NP_REBIND_PASS},
        {"NAS.Devices.example", "nas.devices.example", "fd42::77", NP_REBIND_PASS},
        {"nas.devices.example", "nas.devices.example", "192.168.2.77", NP_REBIND_BLOCK}, /* not connected */
        {"nas.devices.example", "nas.devices.example", "10.64.0.7", NP_REBIND_BLOCK},    /* connected, but not LAN */
        {"nas.devices.example", "nas.devices.example", "127.0.0.1", NP_REBIND_BLOCK},
        {"nas.devices.example", "nas.devices.example", "::ffff:192.168.1.77", NP_REBIND_BLOCK},
        {"evil.example", "nas.devices.example", "192.168.1.77", NP_REBIND_BLOCK}, /* a CNAME from outside */
        {"nas.devices.example", "evil.example", "192.168.1.77", NP_REBIND_BLOCK},
        {"xdevices.example", "xdevices.example", "192.168.1.77", NP_REBIND_BLOCK},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (check_address(rows[i].qname, NP_SECTION_ANSWER, rows[i].owner, rows[i].addr) != rows[i].verdict)
            fail_msg("row %zu", i);
    }
    /* An unknown zone exempts nobody. */
    struct np_name zone = view.zone;
    view.zone.len = 0;
    assert_int_equal(check_address("nas.devices.example", NP_SECTION_ANSWER, "nas.devices.example", "192.168.1.77"),
                     NP_REBIND_BLOCK);
    view.zone = zone;
}

/* The question decides: what it leads to is the affair of who was excepted, what leads to it is not. */
static void test_exceptions(void **state)
{
    (void)state;
    static const struct {
        const char *qname, *owner, *addr;
        enum np_rebind verdict;
    } rows[] = {
        {"router.example", "router.example", "192.168.2.1", NP_REBIND_PASS},
        {"Router.EXAMPLE", "router.example", "::ffff:10.0.0.1", NP_REBIND_PASS},
        {"router.example", "elsewhere.example", "127.0.0.1", NP_REBIND_PASS},
        {"www.router.example", "www.router.example", "192.168.2.1", NP_REBIND_BLOCK},
        {"evil.example", "router.example", "192.168.2.1", NP_REBIND_BLOCK},
        {"2.0.0.127.list.example", "2.0.0.127.list.example", "127.0.0.2", NP_REBIND_PASS},
        {"list.example", "list.example", "127.0.0.2", NP_REBIND_BLOCK},
        {"xlist.example", "xlist.example", "127.0.0.2", NP_REBIND_BLOCK},
    };
    view.rebind_count = 2;
    assert_int_equal(np_view_pattern_parse("router.example", &view.rebind_allow[0]), 0);
    assert_int_equal(np_view_pattern_parse("*.list.example", &view.rebind_allow[1]), 0);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (check_address(rows[i].qname, NP_SECTION_ANSWER, rows[i].owner, rows[i].addr) != rows[i].verdict)
            fail_msg("row %zu", i);
    }
    assert_int_equal(check_address("router.example", NP_SECTION_ADDITIONAL, "b.example", "10.0.0.1"), NP_REBIND_PASS);
    view.rebind_count = 0;
    assert_int_equal(check_address("router.example", NP_SECTION_ANSWER, "router.example", "192.168.2.1"),
                     NP_REBIND_BLOCK);
}

static void test_svcb(void **state)
{
    (void)state;
#define RDATA(bytes, verdict)                                                                                          \
    {                                                                                                                  \
        bytes, sizeof(bytes) - 1, verdict                                                                              \
    }
    static const struct {
        const char *rdata;
        size_t len;
        enum np_rebind verdict;
    } rows[] = {
        RDATA("\0\1\0", NP_REBIND_PASS),
        RDATA("\0\1\0\0\1\0\3\2h2\0\4\0\4\10\10\10\10", NP_REBIND_PASS),
        RDATA("\0\1\0\0\4\0\4\12\0\0\1", NP_REBIND_BLOCK),
        RDATA("\0\1\0\0\4\0\10\10\10\10\10\300\250\1\1", NP_REBIND_BLOCK),
        RDATA("\0\1\3foo\0\0\6\0\20\375\102\0\0\0\0\0\0\0\0\0\0\0\0\0\1", NP_REBIND_BLOCK),
        RDATA("\0\1\0\0\6\0\20\46\6\107\0\0\0\0\0\0\0\0\0\0\0\0\1", NP_REBIND_PASS),
        /* malformed: clients differ in what they make of it */
        RDATA("\0\1\0\0\4\0\3\10\10\10", NP_REBIND_BLOCK),
        RDATA("\0\1\0\0\4\0\5\10\10\10\10\12", NP_REBIND_BLOCK),
        RDATA("\0\1\0\0\4\0\4\10\10\10", NP_REBIND_BLOCK),
        RDATA("\0\1\0\0\4", NP_REBIND_BLOCK),
        RDATA("\0\1\3fo", NP_REBIND_BLOCK),
        RDATA("\0", NP_REBIND_BLOCK),
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        uint8_t message[512];
        for (uint16_t type = NP_RR_SVCB; type <= NP_RR_HTTPS; type++) {
            size_t len = build(message, sizeof message, "svc.example", NP_SECTION_ANSWER, "svc.example", type,
                               rows[i].rdata, rows[i].len);
            if (np_rebind_check(&view, message, len, NULL) != rows[i].verdict)
                fail_msg("row %zu", i);
        }
    }
}

static void test_malformed(void **state)
{
    (void)state;
    uint8_t message[512];
    size_t len = build(message, sizeof message, "a.example", NP_SECTION_ANSWER, "a.example", NP_RR_A, "\10\10\10", 3);
    assert_int_equal(np_rebind_check(&view, message, len, NULL), NP_REBIND_BLOCK);
    len = build(message, sizeof message, "a.example", NP_SECTION_ANSWER, "a.example", NP_RR_A, "\10\10\10\10", 4);
    assert_int_equal(np_rebind_check(&view, message, len, NULL), NP_REBIND_PASS);
    for (size_t cut = 0; cut < len; cut++)
        assert_int_equal(np_rebind_check(&view, message, cut, NULL), NP_REBIND_BLOCK);
}

static void test_role(void **state)
{
    (void)state;
    view.role = NP_ROLE_HOST;
    assert_int_equal(check_address("evil.example", NP_SECTION_ANSWER, "evil.example", "10.0.0.1"), NP_REBIND_PASS);
    view.rebind_filter = NP_FILTER_ON;
    assert_int_equal(check_address("evil.example", NP_SECTION_ANSWER, "evil.example", "10.0.0.1"), NP_REBIND_BLOCK);
    view.role = NP_ROLE_ROUTER;
    view.rebind_filter = NP_FILTER_OFF;
    assert_int_equal(check_address("evil.example", NP_SECTION_ANSWER, "evil.example", "10.0.0.1"), NP_REBIND_PASS);
    view.rebind_filter = NP_FILTER_AUTO;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forms),    cmocka_unit_test(test_places),     cmocka_unit_test(test_class),
        cmocka_unit_test(test_siblings), cmocka_unit_test(test_svcb),       cmocka_unit_test(test_malformed),
        cmocka_unit_test(test_role),     cmocka_unit_test(test_exceptions),
    };
    return cmocka_run_group_tests(tests, load, NULL);
}

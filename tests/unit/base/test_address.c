#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "resolver/base/address.h"
#include "resolver/base/error.h"

static struct np_addr addr(const char *text)
{
    struct np_addr out;
    if (np_addr_parse(text, &out))
        fail_msg("%s does not parse", text);
    return out;
}

static struct np_prefix prefix(const char *text)
{
    struct np_prefix out;
    if (np_prefix_parse(text, &out))
        fail_msg("%s does not parse", text);
    return out;
}

/* First and last address of every range, and their neighbours. private_form: does the rebinding filter take it? */
static const struct {
    const char *text;
    enum np_addr_class class;
    bool private_form;
} classes[] = {
    {"0.0.0.0", NP_ADDR_UNSPECIFIED, true},
    {"0.255.255.255", NP_ADDR_UNSPECIFIED, true},
    {"1.0.0.0", NP_ADDR_GLOBAL, false},
    {"9.255.255.255", NP_ADDR_GLOBAL, false},
    {"10.0.0.0", NP_ADDR_PRIVATE, true},
    {"10.255.255.255", NP_ADDR_PRIVATE, true},
    {"11.0.0.0", NP_ADDR_GLOBAL, false},
    {"100.63.255.255", NP_ADDR_GLOBAL, false},
    {"100.64.0.0", NP_ADDR_SHARED, true},
    {"100.127.255.255", NP_ADDR_SHARED, true},
    {"100.128.0.0", NP_ADDR_GLOBAL, false},
    {"126.255.255.255", NP_ADDR_GLOBAL, false},
    {"127.0.0.0", NP_ADDR_LOOPBACK, true},
    {"127.0.0.53", NP_ADDR_LOOPBACK, true},
    {"127.255.255.255", NP_ADDR_LOOPBACK, true},
    {"128.0.0.0", NP_ADDR_GLOBAL, false},
    {"169.253.255.255", NP_ADDR_GLOBAL, false},
    {"169.254.0.0", NP_ADDR_LINK_LOCAL, true},
    {"169.254.255.255", NP_ADDR_LINK_LOCAL, true},
    {"169.255.0.0", NP_ADDR_GLOBAL, false},
    {"172.15.255.255", NP_ADDR_GLOBAL, false},
    {"172.16.0.0", NP_ADDR_PRIVATE, true},
    {"172.31.255.255", NP_ADDR_PRIVATE, true},
    {"172.32.0.0", NP_ADDR_GLOBAL, false},
    {"192.0.0.1", NP_ADDR_RESERVED, false},
    {"192.0.1.0", NP_ADDR_GLOBAL, false},
    {"192.0.2.255", NP_ADDR_RESERVED, false},
    {"192.167.255.255", NP_ADDR_GLOBAL, false},
    {"192.168.0.0", NP_ADDR_PRIVATE, true},
    {"192.168.255.255", NP_ADDR_PRIVATE, true},
    {"192.169.0.0", NP_ADDR_GLOBAL, false},
    {"198.17.255.255", NP_ADDR_GLOBAL, false},
    {"198.18.0.0", NP_ADDR_RESERVED, false},
    {"198.19.255.255", NP_ADDR_RESERVED, false},
    {"198.20.0.0", NP_ADDR_GLOBAL, false},
    {"198.51.100.1", NP_ADDR_RESERVED, false},
    {"203.0.113.1", NP_ADDR_RESERVED, false},
    {"223.255.255.255", NP_ADDR_GLOBAL, false},
    {"224.0.0.0", NP_ADDR_MULTICAST, false},
    {"239.255.255.255", NP_ADDR_MULTICAST, false},
    {"240.0.0.0", NP_ADDR_RESERVED, false},
    {"255.255.255.255", NP_ADDR_RESERVED, false},
    {"::", NP_ADDR_UNSPECIFIED, true},
    {"::1", NP_ADDR_LOOPBACK, true},
    {"::2", NP_ADDR_COMPATIBLE, true},
    {"::192.168.1.1", NP_ADDR_COMPATIBLE, true},
    {"::ffff:ffff", NP_ADDR_COMPATIBLE, true},
    {"::ffff:0:192.168.1.1", NP_ADDR_COMPATIBLE, true},
    {"::1:0:0", NP_ADDR_GLOBAL, false},
    {"::ffff:0:0", NP_ADDR_MAPPED, true},
    {"::ffff:8.8.8.8", NP_ADDR_MAPPED, true},
    {"::ffff:255.255.255.255", NP_ADDR_MAPPED, true},
    {"64:ff9a:ffff::1", NP_ADDR_GLOBAL, false},
    {"64:ff9b::", NP_ADDR_NAT64, true},
    {"64:ff9b::10.0.0.1", NP_ADDR_NAT64, true},
    {"64:ff9b::100.64.0.1", NP_ADDR_NAT64, true},
    {"64:ff9b::127.0.0.1", NP_ADDR_NAT64, true},
    {"64:ff9b::169.254.1.1", NP_ADDR_NAT64, true},
    {"64:ff9b::192.168.1.1", NP_ADDR_NAT64, true},
    {"64:ff9b::8.8.8.8", NP_ADDR_NAT64, false},
    {"64:ff9b::192.0.0.170", NP_ADDR_NAT64, false}, /* ipv4only.arpa, RFC 7050 */
    {"64:ff9b::ffff:ffff", NP_ADDR_NAT64, false},
    {"64:ff9b:1::8.8.8.8", NP_ADDR_NAT64, true},
    {"64:ff9b:0:0:0:1::", NP_ADDR_GLOBAL, false},
    {"64:ff9b:1::1", NP_ADDR_NAT64, true},
    {"64:ff9b:1:ffff:ffff:ffff:ffff:ffff", NP_ADDR_NAT64, true},
    {"64:ff9b:2::", NP_ADDR_GLOBAL, false},
    {"100::1", NP_ADDR_RESERVED, false},
    {"100:0:0:1::", NP_ADDR_GLOBAL, false},
    {"2001:2::1", NP_ADDR_RESERVED, false},
    {"2001:2:1::1", NP_ADDR_GLOBAL, false},
    {"2001:db7:ffff::1", NP_ADDR_GLOBAL, false},
    {"2001:db8::1", NP_ADDR_RESERVED, false},
    {"2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", NP_ADDR_RESERVED, false},
    {"2001:db9::", NP_ADDR_GLOBAL, false},
    {"2001:ffff::", NP_ADDR_GLOBAL, false},
    {"2002::", NP_ADDR_6TO4, true},
    {"2002:c0a8:101::1", NP_ADDR_6TO4, true},
    {"2002:ffff:ffff:ffff:ffff:ffff:ffff:ffff", NP_ADDR_6TO4, true},
    {"2003::", NP_ADDR_GLOBAL, false},
    {"2a00:1450::1", NP_ADDR_GLOBAL, false},
    {"3fff::1", NP_ADDR_RESERVED, false},
    {"3fff:1000::1", NP_ADDR_GLOBAL, false},
    {"fbff:ffff::1", NP_ADDR_GLOBAL, false},
    {"fc00::", NP_ADDR_ULA, true},
    {"fd42::1", NP_ADDR_ULA, true},
    {"fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", NP_ADDR_ULA, true},
    {"fe00::", NP_ADDR_GLOBAL, false},
    {"fe7f:ffff::1", NP_ADDR_GLOBAL, false},
    {"fe80::", NP_ADDR_LINK_LOCAL, true},
    {"fe80::1", NP_ADDR_LINK_LOCAL, true},
    {"febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff", NP_ADDR_LINK_LOCAL, true},
    {"fec0::1", NP_ADDR_GLOBAL, false},
    {"feff::1", NP_ADDR_GLOBAL, false},
    {"ff00::", NP_ADDR_MULTICAST, false},
    {"ff02::fb", NP_ADDR_MULTICAST, false},
};

static void test_classes(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof classes / sizeof *classes; i++) {
        struct np_addr a = addr(classes[i].text);
        if (np_addr_classify(&a) != classes[i].class)
            fail_msg("%s is '%s', not '%s'", classes[i].text, np_addr_class_name(np_addr_classify(&a)),
                     np_addr_class_name(classes[i].class));
        if (np_addr_is_private_form(&a) != classes[i].private_form)
            fail_msg("%s: private form %d", classes[i].text, !classes[i].private_form);
    }
    struct np_addr none = {0};
    assert_int_equal(np_addr_classify(&none), NP_ADDR_NONE);
    assert_false(np_addr_is_private_form(&none));
    assert_string_equal(np_addr_class_name((enum np_addr_class)99), "unknown");
    for (int class = 0; class <= NP_ADDR_GLOBAL; class ++)
        assert_string_not_equal(np_addr_class_name((enum np_addr_class) class), "unknown");
}

static void test_embedded(void **state)
{
    static const struct {
        const char *text, *inner;
    } rows[] = {
        {"::ffff:192.168.1.1", "192.168.1.1"},
        {"::10.1.2.3", "10.1.2.3"},
        {"64:ff9b::192.0.2.33", "192.0.2.33"},
        {"64:ff9b:1:c000:2:2100::", "192.0.2.33"}, /* RFC 6052 section 2.4 */
        {"2002:c0a8:0101::1", "192.168.1.1"},
        {"fd42::1", NULL},
        {"2001:db8::1", NULL},
        {"10.0.0.1", NULL},
        {"::1", NULL},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct np_addr a = addr(rows[i].text), inner;
        char text[NP_ADDR_TEXT_MAX];
        assert_int_equal(np_addr_embedded_v4(&a, &inner), rows[i].inner != NULL);
        if (rows[i].inner)
            assert_string_equal(np_addr_format(&inner, text), rows[i].inner);
    }
}

static void test_parse_and_format(void **state)
{
    static const struct {
        const char *text, *printed; /* NULL: malformed */
    } rows[] = {
        {"192.0.2.1", "192.0.2.1"},
        {"2001:DB8:0::1", "2001:db8::1"},
        {"fe80::1%3", "fe80::1%3"},
        {"fe80::1%lo", "fe80::1%1"},
        {"fe80::1%4294967295", "fe80::1%4294967295"},
        {"::ffff:1.2.3.4", "::ffff:1.2.3.4"},
        {"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff%4294967295", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff%4294967295"},
        {"", NULL},
        {" 1.2.3.4", NULL},
        {"1.2.3.4 ", NULL},
        {"1.2.3", NULL},
        {"1.2.3.256", NULL},
        {"01.2.3.4", NULL},
        {"1.2.3.4%1", NULL},
        {":::1", NULL},
        {"1::2::3", NULL},
        {"fe80::1%", NULL},
        {"fe80::1%0", NULL},
        {"fe80::1%-1", NULL},
        {"fe80::1% 3", NULL},
        {"fe80::1%+3", NULL},
        {"fe80::1%4294967296", NULL},
        {"fe80::1%no-such-interface", NULL},
        {"2001:db8::1/64", NULL},
        {"1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa:bbbb:cccc", NULL},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct np_addr a = {.family = 77};
        char text[NP_ADDR_TEXT_MAX];
        int rc = np_addr_parse(rows[i].text, &a);
        if (rc != (rows[i].printed ? 0 : NP_E_MALFORMED))
            fail_msg("'%s': %d", rows[i].text, rc);
        if (rows[i].printed)
            assert_string_equal(np_addr_format(&a, text), rows[i].printed);
        else
            assert_int_equal(a.family, 77);
    }
    struct np_addr none = {0};
    char text[NP_ADDR_TEXT_MAX];
    assert_string_equal(np_addr_format(&none, text), "-");
}

static void test_prefix(void **state)
{
    static const struct {
        const char *text, *printed;
    } rows[] = {
        {"10.0.0.0/8", "10.0.0.0/8"},
        {"10.1.2.3", "10.1.2.3/32"},
        {"0.0.0.0/0", "0.0.0.0/0"},
        {"::/0", "::/0"},
        {"fd42::/64", "fd42::/64"},
        {"fd42::1", "fd42::1/128"},
        {"10.0.0.0/32", "10.0.0.0/32"},
        {"10.0.0.1/8", NULL},
        {"10.0.0.0/33", NULL},
        {"10.0.0.0/", NULL},
        {"10.0.0.0/-1", NULL},
        {"10.0.0.0/+8", NULL},
        {"10.0.0.0/8x", NULL},
        {"10.0.0.0/ 8", NULL},
        {"/8", NULL},
        {"fd42::1/64", NULL},
        {"fd42::/129", NULL},
        {"fe80::%1/64", NULL},
        {"10.0.0.0/8/8", NULL},
        {"10.0.0.0/99999999999999999999", NULL},
        {"fd42::/63", "fd42::/63"},
        {"fd42:0:0:1::/63", NULL},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct np_prefix p;
        char text[NP_ADDR_TEXT_MAX];
        int rc = np_prefix_parse(rows[i].text, &p);
        if (rc != (rows[i].printed ? 0 : NP_E_MALFORMED))
            fail_msg("'%s': %d", rows[i].text, rc);
        if (rows[i].printed)
            assert_string_equal(np_prefix_format(&p, text), rows[i].printed);
    }
}

static void test_contains(void **state)
{
    static const struct {
        const char *prefix, *addr;
        bool inside;
    } rows[] = {
        {"192.168.1.0/24", "192.168.1.0", true},
        {"192.168.1.0/24", "192.168.1.255", true},
        {"192.168.1.0/24", "192.168.2.0", false},
        {"192.168.1.128/25", "192.168.1.127", false},
        {"192.168.1.128/25", "192.168.1.128", true},
        {"0.0.0.0/0", "8.8.8.8", true},
        {"0.0.0.0/0", "::1", false},
        {"::/0", "8.8.8.8", false},
        {"10.0.0.1/32", "10.0.0.1", true},
        {"10.0.0.1/32", "10.0.0.2", false},
        {"fd40::/10", "fd42::", true},
        {"fe80::/10", "febf::1", true},
        {"fe80::/10", "fec0::1", false},
        {"fd42::/65", "fd42::8000:0:0:0", false},
        {"fd42::/65", "fd42::7fff:0:0:0", true},
        {"fd42::1/128", "fd42::1", true},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct np_addr a = addr(rows[i].addr);
        struct np_prefix p = prefix(rows[i].prefix);
        if (np_prefix_contains(&p, &a) != rows[i].inside)
            fail_msg("%s in %s: %d", rows[i].addr, rows[i].prefix, !rows[i].inside);
    }
    struct np_prefix nothing = {0};
    struct np_addr none = {0};
    assert_false(np_prefix_contains(&nothing, &none));
    struct np_addr scoped = addr("fe80::1%7");
    struct np_prefix link_local = prefix("fe80::/10");
    assert_true(np_prefix_contains(&link_local, &scoped)); /* scope is not looked at */
}

/* For every length: the network holds its address, and one flipped bit inside the prefix leaves it. */
static void test_prefix_of_every_length(void **state)
{
    static const char *const texts[] = {"203.0.113.201", "2001:db8:1234:5678:9abc:def0:1357:9bdf%5"};
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct np_addr a = addr(texts[i]);
        unsigned bits = (unsigned)np_addr_len(&a) * 8;
        for (unsigned length = 0; length <= bits; length++) {
            struct np_prefix p = np_prefix_of(&a, (uint8_t)length);
            assert_int_equal(p.length, length);
            assert_int_equal(p.addr.scope, 0);
            assert_true(np_prefix_contains(&p, &a));
            for (unsigned bit = 0; bit < bits; bit++) {
                struct np_addr flipped = a;
                flipped.bytes[bit / 8] ^= (uint8_t)(0x80 >> bit % 8);
                assert_int_equal(np_prefix_contains(&p, &flipped), bit >= length);
            }
        }
        assert_int_equal(np_prefix_of(&a, 255).length, bits);
    }
}

static void test_endpoint(void **state)
{
    static const struct {
        const char *text, *printed;
    } rows[] = {
        {"192.0.2.1", "192.0.2.1:53"},
        {"192.0.2.1:5353", "192.0.2.1:5353"},
        {"2001:db8::53", "[2001:db8::53]:53"},
        {"[2001:db8::53]", "[2001:db8::53]:53"},
        {"[2001:db8::53]:65535", "[2001:db8::53]:65535"},
        {"[fe80::1%2]:53", "[fe80::1%2]:53"},
        {"192.0.2.1:0", NULL},
        {"192.0.2.1:65536", NULL},
        {"192.0.2.1:", NULL},
        {"192.0.2.1: 53", NULL},
        {"192.0.2.1:53x", NULL},
        {"[2001:db8::53", NULL},
        {"[2001:db8::53]53", NULL},
        {"[2001:db8::53]:", NULL},
        {"[]:53", NULL},
        {"", NULL},
        {":53", NULL},
        {"localhost:53", NULL},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct np_endpoint e, back;
        struct sockaddr_storage ss;
        char text[NP_ADDR_TEXT_MAX];
        int rc = np_endpoint_parse(rows[i].text, 53, &e);
        if (rc != (rows[i].printed ? 0 : NP_E_MALFORMED))
            fail_msg("'%s': %d", rows[i].text, rc);
        if (!rows[i].printed)
            continue;
        assert_string_equal(np_endpoint_format(&e, text), rows[i].printed);
        assert_int_not_equal(np_endpoint_to_sockaddr(&e, &ss), 0);
        back = np_endpoint_from_sockaddr((struct sockaddr *)&ss);
        assert_true(np_addr_equal(&back.addr, &e.addr));
        assert_int_equal(back.port, e.port);
    }
    struct np_endpoint none = {0};
    struct sockaddr_storage ss;
    assert_int_equal(np_endpoint_to_sockaddr(&none, &ss), 0);
    ss.ss_family = AF_UNIX;
    assert_int_equal(np_endpoint_from_sockaddr((struct sockaddr *)&ss).addr.family, AF_UNSPEC);
    struct np_endpoint mapped = {.addr = addr("::ffff:192.0.2.7"), .port = 1}; /* what a dual-stack socket reports */
    np_endpoint_to_sockaddr(&mapped, &ss);
    struct np_addr v4 = addr("192.0.2.7"), got = np_endpoint_from_sockaddr((struct sockaddr *)&ss).addr;
    assert_true(np_addr_equal(&got, &v4));
}

static void test_bytes_and_order(void **state)
{
    (void)state;
    uint8_t raw[16] = {192, 0, 2, 1};
    struct np_addr a = np_addr_from_bytes(raw, 4), b = addr("192.0.2.1"), c = addr("192.0.2.2"), d = addr("::1");
    assert_true(np_addr_equal(&a, &b));
    assert_true(np_addr_compare(&b, &c) < 0 && np_addr_compare(&c, &b) > 0);
    assert_true(np_addr_compare(&c, &d) < 0); /* IPv4 first */
    struct np_addr s1 = addr("fe80::1%1"), s2 = addr("fe80::1%2");
    assert_false(np_addr_equal(&s1, &s2));
    assert_true(np_addr_compare(&s1, &s2) < 0);
    struct np_addr n1 = addr("2001:db8:1:2::1"), n2 = addr("2001:db8:1:2:ffff::9"), n3 = addr("2001:db8:1:3::1");
    assert_true(np_addr_same_network(&n1, &n2));
    assert_false(np_addr_same_network(&n1, &n3));
    assert_false(np_addr_same_network(&b, &b));
    for (size_t n = 0; n <= 16; n++)
        assert_int_equal(np_addr_from_bytes(raw, n).family, n == 4 ? AF_INET : n == 16 ? AF_INET6 : AF_UNSPEC);
    a.bytes[12] = 9; /* what lies behind the four bytes says nothing */
    assert_true(np_addr_equal(&a, &b));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_classes),          cmocka_unit_test(test_embedded),
        cmocka_unit_test(test_parse_and_format), cmocka_unit_test(test_prefix),
        cmocka_unit_test(test_contains),         cmocka_unit_test(test_prefix_of_every_length),
        cmocka_unit_test(test_endpoint),         cmocka_unit_test(test_bytes_and_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "resolver/base/admit.h"
#include "resolver/base/error.h"

#define WAN   2
#define LAN   3
#define GUEST 4

static struct np_admit home(void)
{
    static const struct {
        const char *prefix;
        uint32_t ifindex;
    } subnets[] = {{"192.168.1.0/24", LAN}, {"fd42::/64", LAN}, {"192.168.2.0/24", GUEST}};
    struct np_admit admit = {0};
    struct np_prefix prefix;
    for (size_t i = 0; i < sizeof subnets / sizeof *subnets; i++) {
        assert_int_equal(np_prefix_parse(subnets[i].prefix, &prefix), 0);
        assert_int_equal(np_admit_add_subnet(&admit, &prefix, subnets[i].ifindex), 0);
    }
    assert_int_equal(np_prefix_parse("10.9.0.0/16", &prefix), 0);
    assert_int_equal(np_admit_add_allow(&admit, &prefix), 0);
    return admit;
}

static void test_home(void **state)
{
    static const struct {
        const char *source;
        uint32_t ifindex;
        bool served;
    } rows[] = {
        {"192.168.1.50", LAN, true},
        {"fd42::50", LAN, true},
        {"192.168.2.50", GUEST, true},
        {"192.168.1.50", WAN, false}, /* a LAN source spoofed on the WAN */
        {"fd42::50", WAN, false},
        {"192.168.1.50", GUEST, false}, /* and on the other LAN */
        {"192.168.1.50", 0, false},     /* interface unknown */
        {"192.168.1.50", 1, true},      /* this host to its own address, which the kernel delivers on loopback */
        {"192.168.3.50", LAN, false},
        {"8.8.8.8", LAN, false},
        {"8.8.8.8", WAN, false},
        {"203.0.113.9", WAN, false},
        {"2a00::1", LAN, false},
        {"10.9.200.1", LAN, true}, /* routed, allowed by name: wherever it comes in */
        {"10.9.200.1", WAN, true},
        {"10.9.200.1", 0, true},
        {"10.10.0.1", LAN, false},
        {"127.0.0.1", 1, true},
        {"::1", 1, true},
        {"127.0.0.1", 0, true},
        {"127.0.0.1", LAN, false}, /* martian */
        {"::1", WAN, false},
        {"fe80::50", LAN, true},
        {"fe80::50", GUEST, true},
        {"fe80::50", WAN, false},
        {"fe80::50", 0, false},
        {"fe80::50", 1, true},
        {"169.254.3.4", LAN, false}, /* only where that subnet is connected */
        {"::ffff:192.168.1.50", LAN, true},
        {"::ffff:192.168.1.50", WAN, false},
        {"::ffff:127.0.0.1", 1, true},
        {"::ffff:8.8.8.8", LAN, false},
        {"::192.168.1.50", LAN, false}, /* compatible is not mapped */
        {"0.0.0.0", LAN, false},
        {"::", LAN, false},
        {"224.0.0.251", LAN, false},
        {"ff02::fb", LAN, false},
        {"255.255.255.255", LAN, false},
    };
    (void)state;
    struct np_admit admit = home();
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct np_addr source;
        assert_int_equal(np_addr_parse(rows[i].source, &source), 0);
        if (np_admit(&admit, &source, rows[i].ifindex) != rows[i].served)
            fail_msg("%s on interface %u: served %d", rows[i].source, (unsigned)rows[i].ifindex, !rows[i].served);
    }
    struct np_addr none = {0};
    assert_false(np_admit(&admit, &none, LAN));
}

static void test_empty_admits_loopback_alone(void **state)
{
    static const char *const others[] = {"192.168.1.1", "10.0.0.1", "fe80::1", "fd42::1", "8.8.8.8"};
    struct np_admit admit = {0};
    struct np_addr source;
    (void)state;
    np_addr_parse("127.0.0.1", &source);
    assert_true(np_admit(&admit, &source, 1));
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        np_addr_parse(others[i], &source);
        for (uint32_t ifindex = 0; ifindex < 4; ifindex++) {
            if (ifindex == 1 && source.family == AF_INET6 && np_addr_classify(&source) == NP_ADDR_LINK_LOCAL)
                continue;
            assert_false(np_admit(&admit, &source, ifindex));
        }
    }
}

static void test_other_loopback_index(void **state)
{
    struct np_admit admit = home();
    struct np_addr source;
    (void)state;
    admit.loopback_ifindex = 9; /* a namespace whose lo is not the first */
    np_addr_parse("127.0.0.1", &source);
    assert_true(np_admit(&admit, &source, 9));
    assert_false(np_admit(&admit, &source, 1));
}

static void test_limits(void **state)
{
    struct np_admit admit = {0};
    struct np_prefix prefix;
    (void)state;
    np_prefix_parse("10.0.0.0/8", &prefix);
    for (size_t i = 0; i < NP_ADMIT_SUBNETS_MAX; i++)
        assert_int_equal(np_admit_add_subnet(&admit, &prefix, 2), 0);
    assert_int_equal(np_admit_add_subnet(&admit, &prefix, 2), NP_E_LIMIT);
    for (size_t i = 0; i < NP_ADMIT_ALLOW_MAX; i++)
        assert_int_equal(np_admit_add_allow(&admit, &prefix), 0);
    assert_int_equal(np_admit_add_allow(&admit, &prefix), NP_E_LIMIT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_home),
        cmocka_unit_test(test_empty_admits_loopback_alone),
        cmocka_unit_test(test_other_loopback_index),
        cmocka_unit_test(test_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* DNR options (RFC 9463), against bytes written down by hand from the RFC's figures. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "agent/dnr.h"
#include "resolver/base/error.h"

#define NAME "\4dns1\7example\3com" /* and its final NUL: the RFC's example of an ADN, 18 bytes */

static struct np_dnr dnr;

static void add(const char *text)
{
    struct np_addr addr;
    assert_int_equal(np_addr_parse(text, &addr), 0);
    if (addr.family == AF_INET)
        dnr.v4[dnr.v4_count++] = addr;
    else
        dnr.v6[dnr.v6_count++] = addr;
}

static int setup(void **state)
{
    (void)state;
    memset(&dnr, 0, sizeof dnr);
    assert_int_equal(np_name_parse("dns1.example.com", &dnr.name), 0);
    dnr.port = 853;
    return 0;
}

static void expect(long len, const uint8_t *option, const char *bytes, size_t count)
{
    assert_int_equal(len, count);
    assert_memory_equal(option, bytes, count);
}

static void dhcp4(void **state)
{
    (void)state;
    uint8_t option[NP_DNR_OPTION_MAX];
    assert_int_equal(np_dnr_dhcp4(&dnr, option), NP_E_MISSING);
    add("192.168.1.1");
    /* Instance data length 34, priority 1, ADN, address length 4, the address, alpn=dot. */
    static const char one[] = "\0\42\0\1\22" NAME "\0\4\300\250\1\1\0\1\0\4\3dot";
    expect(np_dnr_dhcp4(&dnr, option), option, one, sizeof one - 1);
    add("10.0.0.1");
    dnr.port = 8853;
    static const char two[] = "\0\54\0\1\22" NAME "\0\10\300\250\1\1\12\0\0\1\0\1\0\4\3dot\0\3\0\2\42\225";
    expect(np_dnr_dhcp4(&dnr, option), option, two, sizeof two - 1);
}

static void dhcp6(void **state)
{
    (void)state;
    uint8_t option[NP_DNR_OPTION_MAX];
    add("192.168.1.1");
    assert_int_equal(np_dnr_dhcp6(&dnr, option), NP_E_MISSING);
    add("fd42::1");
    static const char one[] = "\0\1\0\22" NAME "\0\0\20\375\102\0\0\0\0\0\0\0\0\0\0\0\0\0\1\0\1\0\4\3dot";
    expect(np_dnr_dhcp6(&dnr, option), option, one, sizeof one - 1);
}

static void advertisement(void **state)
{
    (void)state;
    uint8_t option[NP_DNR_OPTION_MAX];
    assert_int_equal(np_dnr_ra(&dnr, option), NP_E_MISSING);
    add("fd42::1");
    /* Type 144, length 7 (56 bytes), priority 1, lifetime 1800, ADN, addresses, SvcParams length 8, no padding. */
    static const char one[] = "\220\7\0\1\0\0\7\10\0\22" NAME "\0\0\20\375\102\0\0\0\0\0\0\0\0\0\0\0\0\0\1"
                              "\0\10\0\1\0\4\3dot";
    expect(np_dnr_ra(&dnr, option), option, one, sizeof one - 1);
    /* With a port: 62 bytes, so two of padding. */
    dnr.port = 8853;
    static const char two[] = "\220\10\0\1\0\0\7\10\0\22" NAME "\0\0\20\375\102\0\0\0\0\0\0\0\0\0\0\0\0\0\1"
                              "\0\16\0\1\0\4\3dot\0\3\0\2\42\225\0\0";
    expect(np_dnr_ra(&dnr, option), option, two, sizeof two - 1);
}

/* With a name of the longest kind and every address. */
static void limits(void **state)
{
    (void)state;
    uint8_t option[NP_DNR_OPTION_MAX];
    char name[4 * 63];
    for (int i = 0; i < 63; i++)
        memcpy(name + 4 * i, i < 62 ? "abc." : "abc", 4);
    assert_int_equal(np_name_parse(name, &dnr.name), 0);
    add("192.168.1.1");
    add("fd42::1");
    assert_int_equal(np_dnr_dhcp4(&dnr, option), NP_E_LIMIT); /* 253 bytes of name on the wire leave no room in 255 */
    for (int i = 1; i < NP_DNR_ADDRESSES_MAX; i++)
        add("fd42::2");
    long len = np_dnr_dhcp6(&dnr, option);
    assert_int_equal(len, 4 + dnr.name.len + 2 + NP_DNR_ADDRESSES_MAX * 16 + 8);
    len = np_dnr_ra(&dnr, option);
    assert_true(len > 0 && len % 8 == 0 && option[1] == len / 8);
    /* Twelve IPv4 addresses and a usual name fit. */
    assert_int_equal(np_name_parse("nifty-babbage.devices.example", &dnr.name), 0);
    for (int i = 1; i < NP_DNR_ADDRESSES_MAX; i++)
        add("192.168.1.2");
    assert_true(np_dnr_dhcp4(&dnr, option) > 0);
}

static void hex(void **state)
{
    (void)state;
    char text[NP_DNR_TEXT_MAX];
    assert_string_equal(np_dnr_hex((const uint8_t *)"", 0, text), "");
    assert_string_equal(np_dnr_hex((const uint8_t *)"\0", 1, text), "00");
    assert_string_equal(np_dnr_hex((const uint8_t *)"\0\54\377", 3, text), "00:2c:ff");
    uint8_t longest[NP_DNR_OPTION_MAX] = {0};
    assert_int_equal(strlen(np_dnr_hex(longest, sizeof longest, text)), NP_DNR_TEXT_MAX - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(dhcp4, setup),
        cmocka_unit_test_setup(dhcp6, setup),
        cmocka_unit_test_setup(advertisement, setup),
        cmocka_unit_test_setup(limits, setup),
        cmocka_unit_test(hex),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

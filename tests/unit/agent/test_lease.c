#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "agent/lease.h"

#define MAX 8

/* The servers of the text, as "A B C", those on another port than 53 with it. */
static const char *servers_of(const char *text, size_t len, char out[MAX * NP_ADDR_TEXT_MAX])
{
    struct np_endpoint servers[MAX];
    char one[NP_ADDR_TEXT_MAX];
    size_t used = 0, count = np_lease_parse(text, len, servers, 0, MAX);
    assert_true(count <= MAX);
    out[0] = 0;
    for (size_t i = 0; i < count; i++)
        used += (size_t)snprintf(out + used, MAX * NP_ADDR_TEXT_MAX - used, "%s%s", i ? " " : "",
                                 servers[i].port == 53 ? np_addr_format(&servers[i].addr, one)
                                                       : np_endpoint_format(&servers[i], one));
    return out;
}

static void test_forms(void **state)
{
    (void)state;
    static const struct {
        const char *text, *want;
    } rows[] = {
        /* resolv.conf(5) */
        {"# comment\nsearch lan\nnameserver 192.0.2.1\nnameserver\t2001:db8::1 # second\r\nnameserver 192.0.2.1\n"
         "nameservers 192.0.2.9\nnameserver bad\n;nameserver 192.0.2.8\n#nameserver 192.0.2.8\nnameserver fe80::1%1\n"
         "options edns0 trust-ad\n nameserver 192.0.2.2",
         "192.0.2.1 2001:db8::1 fe80::1%1 192.0.2.2"},
        {"# Interface wan\nnameserver 192.0.2.1\nsearch isp.example\n# Interface wan6\nnameserver 2001:db8::1\n",
         "192.0.2.1 2001:db8::1"}, /* OpenWrt's resolv.conf.auto */
        /* dnsmasq's servers-file */
        {"server=192.0.2.1\nserver=192.0.2.2#5353\nserver=/lan/192.168.1.9\nserver=2001:db8::1#5353\nserver=/x/#\n"
         "server=192.0.2.3#0\nserver=192.0.2.3#x\nserver=\n",
         "192.0.2.1 192.0.2.2:5353 [2001:db8::1]:5353"},
        /* /run/systemd/netif/leases/2 */
        {"# This is private data. Do not parse.\nADDRESS=192.0.2.7\nNETMASK=255.255.255.0\nROUTER=192.0.2.254\n"
         "DNS=192.0.2.1 192.0.2.2\nNTP=192.0.2.3\nDOMAINNAME=isp.example\n",
         "192.0.2.1 192.0.2.2"},
        /* udhcpc's, dhcpcd's and odhcp6c's variables, as a script may save them */
        {"export subnet='255.255.255.0'\nexport dns='192.0.2.1 192.0.2.2'\nexport lease='3600'\n",
         "192.0.2.1 192.0.2.2"},
        {"new_domain_name_servers='192.0.2.1 192.0.2.2'\nnew_routers=192.0.2.9\ndhcp6_name_servers=\"2001:db8::1\"\n"
         "domain_name_servers=192.0.2.3\n",
         "192.0.2.1 192.0.2.2 2001:db8::1 192.0.2.3"},
        {"RDNSS=2001:db8::1 2001:db8::2\nRA_DNS=2001:db8::3\n", "2001:db8::1 2001:db8::2"},
        /* dhclient.leases: the last lease */
        {"lease {\n  interface \"eth0\";\n  option domain-name-servers 192.0.2.8,192.0.2.9;\n  renew 2 2026/01/01;\n}\n"
         "lease {\n  interface \"eth0\";\n  option routers 192.0.2.7;\n"
         "  option domain-name-servers 192.0.2.1, 192.0.2.2;\n}\n",
         "192.0.2.1 192.0.2.2"},
        {"lease6 {\n ia-na 1:2:3:4 {\n  option dhcp6.name-servers 2001:db8::1,2001:db8::2;\n }\n}\n",
         "2001:db8::1 2001:db8::2"},
        /* addresses that no server has, and lines of no kind */
        {"nameserver 0.0.0.0\nnameserver ::\nnameserver 224.0.0.1\nnameserver ff02::fb\nnameserver\n=\n==\nDNS\nDNS=\n"
         "option\noption domain-name-servers\nlease\nexport\nexport =\n",
         ""},
        {"nameserver 127.0.0.1\n", "127.0.0.1"},
        {"", ""},
        {"\n\n\n", ""},
        {"nameserver 192.0.2.1\nnameserver 192.0.2.2\nnameserver 192.0.2.3\nnameserver 192.0.2.4\n"
         "nameserver 192.0.2.5\nnameserver 192.0.2.6\nnameserver 192.0.2.7\nnameserver 192.0.2.8\n"
         "nameserver 192.0.2.9\n",
         "192.0.2.1 192.0.2.2 192.0.2.3 192.0.2.4 192.0.2.5 192.0.2.6 192.0.2.7 192.0.2.8"},
    };
    char out[MAX * NP_ADDR_TEXT_MAX];
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        size_t len = strlen(rows[i].text);
        assert_string_equal(servers_of(rows[i].text, len, out), rows[i].want);
        for (size_t cut = 0; cut < len; cut++)
            (void)servers_of(rows[i].text, cut, out);
    }
    static const char binary[] = "nameserver 192.0.2.1\0nameserver 192.0.2.2\nnameserver 192.0.2.3\n";
    assert_string_equal(servers_of(binary, sizeof binary - 1, out), "192.0.2.3");
}

/* Files are read one after the other: each server once, a lease in the second takes nothing from the first. */
static void test_several(void **state)
{
    (void)state;
    static const char first[] = "nameserver 192.0.2.1\n", second[] =
                                                              "nameserver 192.0.2.1\nnameserver 192.0.2.2\nlease {\n"
                                                              "option domain-name-servers 192.0.2.3;\n}\n";
    struct np_endpoint servers[MAX];
    size_t count = np_lease_parse(first, sizeof first - 1, servers, 0, MAX);
    count = np_lease_parse(second, sizeof second - 1, servers, count, MAX);
    assert_int_equal(count, 2);
    assert_int_equal(servers[0].addr.bytes[3], 1);
    assert_int_equal(servers[1].addr.bytes[3], 3);
    assert_int_equal(np_lease_parse(second, sizeof second - 1, servers, 1, 1), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_forms), cmocka_unit_test(test_several)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

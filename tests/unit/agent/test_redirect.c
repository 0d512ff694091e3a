/* The nftables rules for clients that ask another DNS server. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "agent/cli/redirect.h"

static void check(const struct np_redirect *what, const char *want)
{
    char *text;
    size_t len;
    FILE *out = open_memstream(&text, &len);
    np_redirect_write(out, what);
    fclose(out);
    assert_string_equal(text, want);
    free(text);
}

#define HEAD                                                                                                           \
    "table inet nameplate\ndelete table inet nameplate\ntable inet nameplate {\n"                                      \
    "    chain to_box {\n        type nat hook prerouting priority dstnat; policy accept;\n"

static void rules(void **state)
{
    (void)state;
    static const char *const lan[] = {"br-lan", "br-guest"};
    struct np_redirect what = {.lan = lan, .lan_count = 1, .port = 53};
    check(&what, HEAD "        iifname { \"br-lan\" } meta l4proto { tcp, udp } th dport 53 fib daddr type != local "
                      "redirect to :53\n    }\n}\n");
    what.lan_count = 2;
    what.port = 5354;
    what.reject_dot = true;
    what.except_count = 2;
    assert_int_equal(np_prefix_parse("192.168.1.5", &what.except[0]), 0);
    assert_int_equal(np_prefix_parse("fd42::/64", &what.except[1]), 0);
    check(&what, HEAD "        ip saddr 192.168.1.5/32 accept\n        ip6 saddr fd42::/64 accept\n"
                      "        iifname { \"br-lan\", \"br-guest\" } meta l4proto { tcp, udp } th dport 53 "
                      "fib daddr type != local redirect to :5354\n    }\n"
                      "    chain no_dot {\n        type filter hook forward priority filter; policy accept;\n"
                      "        ip saddr 192.168.1.5/32 accept\n        ip6 saddr fd42::/64 accept\n"
                      "        iifname { \"br-lan\", \"br-guest\" } tcp dport 853 reject with tcp reset\n"
                      "        iifname { \"br-lan\", \"br-guest\" } udp dport 853 reject\n    }\n}\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(rules)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

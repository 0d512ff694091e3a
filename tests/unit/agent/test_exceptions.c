/* The lines for routers' rebinding protection. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "agent/network/exceptions.h"
#include "resolver/base/error.h"

#define NAME "nifty-babbage.devices.example"

static void lines(void **state)
{
    (void)state;
    static const struct {
        const char *kind, *text;
    } cases[] = {
        {"dnsmasq", "rebind-domain-ok=/" NAME "/\n"},
        {"unbound", "server:\n    private-domain: \"" NAME "\"\n"},
        {"pfsense", "server:\n    private-domain: \"" NAME "\"\n"},
        {"openwrt",
         "uci add_list dhcp.@dnsmasq[0].rebind_domain='" NAME "'\nuci commit dhcp\n/etc/init.d/dnsmasq restart\n"},
        {"adguard", "@@||" NAME "^$important\n"},
        {"knot-resolver", "policy.add(policy.suffix(policy.FLAGS('ALLOW_LOCAL'), policy.todnames({'" NAME ".'})))\n"},
        {"nameplate", "rebind-allow = {\"" NAME "\"}\n"},
        {"fritzbox", NAME "\n"},
    };
    char text[1024];
    size_t count = 0;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(np_exception_text(cases[i].kind, NAME, text, sizeof text), strlen(cases[i].text));
        assert_string_equal(text, cases[i].text);
    }
    while (np_exception_kind(count))
        count++;
    assert_int_equal(count, sizeof cases / sizeof cases[0]);
    assert_int_equal(np_exception_text("bind", NAME, text, sizeof text), NP_E_UNKNOWN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(lines)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

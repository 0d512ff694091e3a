/* The lines that make another resolver ask this box for its own names. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "agent/cli/integrate.h"
#include "resolver/base/error.h"

#define NAME  "nifty-babbage.devices.example"
#define ALIAS "nas.home.arpa"

static const char *const both[] = {NAME, ALIAS};

/* The lines without comments. */
static void check(const char *kind, const char *server, size_t names, const char *want)
{
    struct np_integrate what = {.names = both, .name_count = names};
    char *text, seen[4096] = "";
    size_t len;
    assert_int_equal(np_endpoint_parse(server, 53, &what.server), 0);
    FILE *out = open_memstream(&text, &len);
    assert_int_equal(np_integrate_write(out, kind, &what), 0);
    fclose(out);
    for (char *rest = text, *line; (line = strsep(&rest, "\n"));) {
        if (line[0] && line[0] != '#')
            snprintf(seen + strlen(seen), sizeof seen - strlen(seen), "%s\n", line);
    }
    assert_string_equal(seen, want);
    free(text);
}

static void lines(void **state)
{
    (void)state;
    static const char dnsmasq[] = "server=/" NAME "/127.0.0.1#5354\nserver=/" ALIAS "/127.0.0.1#5354\n"
                                  "server=/_acme-challenge." NAME "/#\nrebind-domain-ok=/" NAME "/" ALIAS "/\n";
    check("dnsmasq", "127.0.0.1:5354", 2, dnsmasq);
    check("pihole", "127.0.0.1:5354", 2, dnsmasq);
    check("dnsmasq", "fd42::1", 1,
          "server=/" NAME "/fd42::1#53\nserver=/_acme-challenge." NAME "/#\nrebind-domain-ok=/" NAME "/\n");
    check("openwrt", "192.168.1.1", 1,
          "uci add_list dhcp.@dnsmasq[0].server='/" NAME "/192.168.1.1#53'\n"
          "uci add_list dhcp.@dnsmasq[0].rebind_domain='" NAME "'\n"
          "uci add_list dhcp.@dnsmasq[0].server='/_acme-challenge." NAME "/#'\n"
          "uci commit dhcp\n/etc/init.d/dnsmasq restart\n");
    check("unbound", "127.0.0.1:5354", 2,
          "server:\n    private-domain: \"" NAME "\"\n    domain-insecure: \"" NAME "\"\n"
          "    private-domain: \"" ALIAS "\"\n    domain-insecure: \"" ALIAS "\"\n"
          "    local-zone: \"" ALIAS "\" transparent\n    do-not-query-localhost: no\n"
          "stub-zone:\n    name: \"" NAME "\"\n    stub-addr: 127.0.0.1@5354\n    stub-no-cache: yes\n"
          "stub-zone:\n    name: \"" ALIAS "\"\n    stub-addr: 127.0.0.1@5354\n    stub-no-cache: yes\n");
    check("unbound", "192.168.1.1", 1,
          "server:\n    private-domain: \"" NAME "\"\n    domain-insecure: \"" NAME "\"\n"
          "stub-zone:\n    name: \"" NAME "\"\n    stub-addr: 192.168.1.1@53\n    stub-no-cache: yes\n");
    check("adguard", "[fd42::1]:5354", 1, "[/" NAME "/][fd42::1]:5354\n[/_acme-challenge." NAME "/]#\n");
    check("knot-resolver", "192.168.1.1", 1,
          "nameplate_names = policy.todnames({'" NAME ".'})\n"
          "policy.add(policy.suffix(policy.FLAGS({'ALLOW_LOCAL', 'NO_CACHE'}), nameplate_names))\n"
          "policy.add(policy.suffix(policy.STUB({'192.168.1.1@53'}), nameplate_names))\n");
}

static void kinds(void **state)
{
    (void)state;
    struct np_integrate what = {.names = both, .name_count = 1};
    size_t count = 0;
    FILE *out = fopen("/dev/null", "w");
    assert_non_null(out);
    for (; np_integrate_kind(count); count++)
        assert_int_equal(np_integrate_write(out, np_integrate_kind(count), &what), 0);
    assert_int_equal(count, 6);
    assert_int_equal(np_integrate_write(out, "bind", &what), NP_E_UNKNOWN);
    fclose(out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(lines), cmocka_unit_test(kinds)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* nameplate.conf: what is read, and what an error says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "agent/config.h"
#include "resolver/base/error.h"

#define GOOD "hq = \"https://hq.devices.example\"\nhq-anchors = /etc/ca.pem\n"

static struct np_agent_config config;
static char error[NP_CONFIG_ERROR_MAX];

static int parse(const char *text)
{
    return np_agent_config_parse(text, strlen(text), "box.conf", &config, error);
}

static void defaults(void **state)
{
    (void)state;
    assert_int_equal(parse(GOOD), 0);
    assert_string_equal(config.hq.text, "https://hq.devices.example");
    assert_string_equal(config.hq.host, "hq.devices.example");
    assert_int_equal(config.hq.port, 443);
    assert_int_equal(config.policy.role, NP_ROLE_HOST);
    assert_string_equal(config.state, "/var/lib/nameplate");
    assert_string_equal(config.run, "/run/nameplate");
    assert_true(config.dns && config.http && config.https && !config.front.has_backend &&
                config.secret.type == NP_CREDENTIAL_OPEN && !config.factory[0]);
    assert_int_equal(config.dns_port, 53);
    assert_false(config.dns_loopback);
    assert_int_equal(config.cache, 4 << 20);
    assert_int_equal(config.rebind_filter, NP_FILTER_AUTO);
    assert_true(config.dot);
    assert_int_equal(config.dot_port, 853);
    assert_true(config.canary);
    assert_int_equal(config.log_level, NP_LOG_INFO);
}

static void everything(void **state)
{
    (void)state;
    assert_int_equal(parse(GOOD
                           "role = router\nlan = {\"br-lan\", \"br-guest\"}\npublish = local-only\n"
                           "alias = {\"NAS.home.arpa\", \"box\"}\n"
                           "allow = {\"10.9.0.0/16\"}\nupstream = {\"192.0.2.53\", \"[2001:db8::53]:5353\"}\n"
                           "forward = {\"home.arpa=127.0.0.1:5353\", \"home.arpa=127.0.0.2\", \"lan=127.0.0.1:5353\"}\n"
                           "mode = own-name-only\ndns-port = 5354\ncanary = no\nrebind-filter = off\nrebind-allow = "
                           "{\"router.example\", \"*.plex.direct\"}\n"
                           "backends = {\"files=127.0.0.1:9000\", \"Nas.home.arpa=[::1]:9001\"}\n"
                           "backend-proxy = v2\nhandshake-limit = 20\naddress-access = false\n"
                           "backend = \"127.0.0.1:8080\"\nhttps-port = 8443\nhttp = false\ncache = 64M\n"),
                     0);
    assert_int_equal(config.policy.role, NP_ROLE_ROUTER);
    assert_int_equal(config.policy.lan_count, 2);
    assert_true(config.policy.local_only);
    assert_int_equal(config.alias_count, 2);
    assert_int_equal(config.aliases[1].len, 5);
    assert_int_equal(config.allow_count, 1);
    assert_int_equal(config.upstream_count, 2);
    assert_int_equal(config.upstreams[0].endpoint.port, 53);
    assert_int_equal(config.upstreams[1].endpoint.port, 5353);
    assert_int_equal(config.forward_count, 2);
    assert_int_equal(config.forwards[0].to_count, 2);
    assert_int_equal(config.rebind_filter, NP_FILTER_OFF);
    assert_false(config.canary);
    assert_int_equal(config.mode, NP_MODE_OWN_NAME_ONLY);
    assert_true(config.dns_loopback);
    assert_int_equal(config.rebind_count, 2);
    assert_true(config.rebind_allow[1].below && !config.rebind_allow[0].below);
    assert_int_equal(config.front.backend.port, 8080);
    assert_int_equal(config.front.backend_count, 2);
    assert_string_equal(config.front.backends[1].name, "nas.home.arpa");
    assert_int_equal(config.front.backends[1].to.port, 9001);
    assert_int_equal(config.front.proxy, NP_PROXY_V2);
    assert_int_equal(config.front.handshakes, 20);
    assert_false(config.front.address_access);
    assert_int_equal(config.cache, 64 << 20);
    assert_false(config.http);
    /* Without the resolver there is nobody to ask behind the TLS. */
    assert_int_equal(parse(GOOD "dns = false\ndot = true\n"), 0);
    assert_false(config.dot);
    assert_int_equal(parse(GOOD "dot = no\n"), 0);
    assert_true(config.dns && !config.dot);
    /* Nobody passes by the resolver that this one stands beside, unless the owner says so. */
    assert_int_equal(parse(GOOD "dns-port = 5354\n"), 0);
    assert_true(config.dns && !config.dot);
    assert_int_equal(parse(GOOD "mode = own-name-only\n"), 0);
    assert_true(config.dns && !config.dot);
    assert_int_equal(parse(GOOD "mode = own-name-only\ndns-port = 5354\ndot = yes\n"), 0);
    assert_true(config.dot);
}

static void tls_upstreams(void **state)
{
    (void)state;
    assert_int_equal(parse(GOOD "upstream = {\"tls://9.9.9.9#dns.quad9.net trust-ad\", \"opportunistic://192.0.2.1\"}\n"
                                "forward = {\"corp.example=tls://10.9.0.1#dns.corp.example\"}\n"),
                     0);
    assert_int_equal(config.upstreams[0].tls, NP_TLS_STRICT);
    assert_int_equal(config.upstreams[0].endpoint.port, 853);
    assert_string_equal(config.upstreams[0].name, "dns.quad9.net");
    assert_true(config.upstreams[0].trusted);
    assert_int_equal(config.upstreams[1].tls, NP_TLS_OPPORTUNISTIC);
    assert_false(config.upstreams[1].trusted);
    assert_int_equal(config.forwards[0].to[0].tls, NP_TLS_STRICT);
    assert_string_equal(config.forwards[0].to[0].name, "dns.corp.example");
}

static void errors(void **state)
{
    (void)state;
    static const struct {
        const char *text, *says;
    } cases[] = {
        {"", "box.conf: hq is missing"},
        {"hq = \"https://hq.devices.example\"\n", "box.conf: hq-anchors is missing"},
        {"hq = \"http://hq.devices.example\"\nhq-anchors = x\n", "box.conf:1: hq = http://hq.devices.example: must be"},
        {GOOD "role = router\n", "needs the LAN interfaces"},
        {GOOD "roel = router\n", "box.conf:3: unknown key 'roel', did you mean 'role'?"},
        {GOOD "\nallow = {\"10.9.0.1/16\"}\n", "box.conf:4: allow: '10.9.0.1/16'"},
        {GOOD "alias = {\"a_b.lan\"}\n", "box.conf:3: alias: 'a_b.lan' is not a host name"},
        {GOOD "alias = {a, b, c, d, e}\n", "box.conf:3: alias has more than 4 names"},
        {GOOD "upstream = {\"dns.example\"}\n", "box.conf:3: upstream"},
        {GOOD "upstream = {\"tls://9.9.9.9\"}\n", "box.conf:3: upstream: 'tls://9.9.9.9': tls:// needs the name"},
        {GOOD "forward = {\"home.arpa\"}\n", "box.conf:3: forward"},
        {GOOD "forward = {\"home.arpa=tls://10.0.0.1\"}\n",
         "box.conf:3: forward: 'home.arpa=tls://10.0.0.1': tls:// needs"},
        {GOOD "cache = 4X\n", "box.conf:3: cache = 4X: must be a size such as 4M, from 256K to 1G, or 0"},
        {GOOD "cache = 255K\n", "box.conf:3: cache = 255K: must be"},
        {GOOD "mode = own\n", "box.conf:3: mode"},
        {GOOD "rebind-filter = maybe\n", "box.conf:3: rebind-filter"},
        {GOOD "rebind-allow = {\"*\", \"*.\"}\n", "box.conf:3: rebind-allow: '*.' is not a name such as"},
        {GOOD "backend = \"127.0.0.1\"\n", "has no port"},
        {GOOD "backends = {\"files\"}\n", "is not NAME=ADDRESS:PORT"},
        {GOOD "backends = {\"files=127.0.0.1\"}\n", "is not NAME=ADDRESS:PORT"},
        {GOOD "backends = {\"fi les=127.0.0.1:80\"}\n", "is not NAME=ADDRESS:PORT"},
        {GOOD "backend-proxy = \"v3\"\n", "backend-proxy"},
        {GOOD "handshake-limit = 10001\n", "handshake-limit"},
        {GOOD "http-port = 443\n", "must differ"},
        {GOOD "dot-port = 53\n", "must differ"},
        {GOOD "dns = false\nforward = {\"corp.example=tls://10.0.0.1#dns.corp.example\"}\n",
         "need a resolver that asks them, which dns = false turns off"},
        {GOOD "mode = own-name-only\nupstream = {\"tls://10.0.0.1#dns.corp.example\"}\n",
         "box.conf:4: upstream and forward with tls:// need a resolver that asks them, which mode = own-name-only"},
        {GOOD "dot-anchors = \"\"\n", "dot-anchors: a path"},
        {GOOD "lan = {\"averyveryverylongname\"}\n", "is not an interface name"},
        {GOOD "factory-secret = \"/nonexistent/secret\"\n", "/nonexistent/secret: "},
        {GOOD "model = \"two words\"\n", "model"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(parse(cases[i].text), NP_E_CONFIG);
        if (!strstr(error, cases[i].says))
            fail_msg("'%s' does not say '%s'", error, cases[i].says);
    }
}

static void urls(void **state)
{
    (void)state;
    struct np_hq_url url;
    static const char *const bad[] = {"",
                                      "hq.example",
                                      "https://",
                                      "https://:1",
                                      "https://h:",
                                      "https://hq:0",
                                      "https://hq:65536",
                                      "https://hq/path",
                                      "https://h q",
                                      "https://hq:443:443",
                                      "https://user@host"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(np_hq_url_parse(bad[i], &url), NP_E_MALFORMED);
    assert_int_equal(np_hq_url_parse("https://hq.example:8443/", &url), 0);
    assert_string_equal(url.text, "https://hq.example:8443");
    assert_int_equal(url.port, 8443);
    assert_int_equal(np_hq_url_parse("https://hq.example/", &url), 0);
    assert_string_equal(url.text, "https://hq.example");
}

static void factory_secret(void **state)
{
    (void)state;
    char path[] = "/tmp/np-secret-XXXXXX", text[256];
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    dprintf(fd, "serial = NP-0001\nsecret = %064d\n", 7);
    snprintf(text, sizeof text, GOOD "factory-secret = \"%s\"\n", path);
    assert_int_equal(parse(text), 0);
    assert_int_equal(config.secret.type, NP_CREDENTIAL_FACTORY_SECRET);
    assert_string_equal(config.secret.serial, "NP-0001");
    assert_int_equal(config.secret.secret[31], 7);
    assert_int_equal(ftruncate(fd, 17), 0);
    assert_int_equal(parse(text), NP_E_CONFIG);
    assert_non_null(strstr(error, "64 hex digits"));
    close(fd);
    unlink(path);
}

static void upstream_files(void **state)
{
    (void)state;
    assert_int_equal(parse(GOOD "resolv-conf = \"/run/r\"\n"), 0);
    assert_int_equal(config.upstream_file_count, 1);
    assert_string_equal(config.upstream_files[0], "/run/r");
    assert_int_equal(parse(GOOD "upstreams-from = {\"/a\", \"/b\"}\n"), 0);
    assert_int_equal(config.upstream_file_count, 2);
    assert_string_equal(config.upstream_files[1], "/b");
    assert_int_equal(parse(GOOD "upstreams-from = {\"/a\", \"/b\", \"/c\", \"/d\", \"/e\"}\n"), NP_E_CONFIG);
    assert_non_null(strstr(error, "upstreams-from has more than 4 files"));
    assert_int_equal(parse(GOOD "upstreams-from = {\"\"}\n"), NP_E_CONFIG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults),       cmocka_unit_test(everything), cmocka_unit_test(errors),
        cmocka_unit_test(tls_upstreams),  cmocka_unit_test(urls),       cmocka_unit_test(factory_secret),
        cmocka_unit_test(upstream_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

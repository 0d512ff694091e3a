/* Policy tables: which addresses are published, who may enrol, how often. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "hq/crypto.h"
#include "hq/policy.h"
#include "resolver/base/error.h"

static struct np_addr addr(const char *text)
{
    struct np_addr a;
    if (np_addr_parse(text, &a))
        fail_msg("%s", text);
    return a;
}

static const struct np_policy closed; /* every member zero */

/* Fills addresses from a text such as "10.0.0.1 fd00::1". */
static struct np_addresses list(const char *text)
{
    struct np_addresses out = {0};
    char copy[512], *rest = copy, *word;
    assert_true(strlen(text) < sizeof copy);
    memcpy(copy, text, strlen(text) + 1);
    while ((word = strsep(&rest, " "))) {
        if (!*word)
            continue;
        struct np_addr a = addr(word);
        if (a.family == AF_INET)
            out.v4[out.v4_count++] = a;
        else
            out.v6[out.v6_count++] = a;
    }
    return out;
}

static void test_publish(void **state)
{
    (void)state;
    static const struct {
        const char *stated, *published;
        size_t rejected;
        bool shared;
        enum np_publish publish;
    } rows[] = {
        {"", "", 0, false, NP_PUBLISH_PUBLIC},
        {"10.0.0.1 172.16.0.1", "10.0.0.1 172.16.0.1", 0, false, NP_PUBLISH_PUBLIC},
        {"172.31.255.255 192.168.0.1", "172.31.255.255 192.168.0.1", 0, false, NP_PUBLISH_PUBLIC},
        {"172.32.0.1 192.169.0.1", "", 2, false, NP_PUBLISH_PUBLIC},
        {"100.64.0.1", "", 1, false, NP_PUBLISH_PUBLIC},
        {"100.64.0.1", "100.64.0.1", 0, true, NP_PUBLISH_PUBLIC},
        {"100.128.0.1", "", 1, true, NP_PUBLISH_PUBLIC},
        {"127.0.0.1 169.254.1.1 0.0.0.0 224.0.0.1 255.255.255.255 8.8.8.8 192.0.2.1", "", 7, true, NP_PUBLISH_PUBLIC},
        {"fd00::1 fc00::1", "fd00::1 fc00::1", 0, false, NP_PUBLISH_PUBLIC},
        {"fe80::1 ::1 :: 2001:4860::1 ff02::1 2001:db8::1", "", 6, true, NP_PUBLISH_PUBLIC},
        /* Private addresses in other clothes. */
        {"::ffff:10.0.0.1 64:ff9b::a00:1 2002:a00:1::1 ::10.0.0.1", "", 4, true, NP_PUBLISH_PUBLIC},
        {"10.0.0.1 10.0.0.2 10.0.0.3", "10.0.0.1 10.0.0.2", 1, false, NP_PUBLISH_PUBLIC},
        {"10.0.0.1 10.0.0.1 10.0.0.2", "10.0.0.1 10.0.0.2", 0, false, NP_PUBLISH_PUBLIC},
        {"8.8.8.8 10.0.0.1", "10.0.0.1", 1, false, NP_PUBLISH_PUBLIC},
        {"fd00::1 fd00::2 fd00::3 fd00::4 fd00::5", "fd00::1 fd00::2 fd00::3 fd00::4", 1, false, NP_PUBLISH_PUBLIC},
        {"10.0.0.1 fd00::1", "", 2, true, NP_PUBLISH_LOCAL_ONLY},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct np_policy policy = closed;
        struct np_addresses stated = list(rows[i].stated), expected = list(rows[i].published), published;
        struct np_rejections rejections;
        policy.publish_shared = rows[i].shared;
        const struct np_policy_statement statement = {.stated = &stated, .publish = rows[i].publish};
        np_policy_publish(&policy, &statement, &published, &rejections);
        if (!np_addresses_equal(&published, &expected) || rejections.count != rows[i].rejected)
            fail_msg("row %zu (%s): %zu rejected", i, rows[i].stated, rejections.count);
        for (size_t k = 0; k < rejections.count; k++)
            assert_non_null(strstr(rejections.why[k], ": "));
    }
}

/* Global addresses: by policy, inside the connection's own /64, never for `open`. */
static void test_publish_global(void **state)
{
    (void)state;
    static const char own[] = "2001:4860:1:2::7", other[] = "2001:4860:1:3::7";
    static const struct {
        const char *stated, *client, *before, *published;
        bool global;
        enum np_credential_type credential;
        enum np_publish publish;
    } rows[] = {
        {own, "2001:4860:1:2:ffff::1", NULL, own, true, NP_CREDENTIAL_FACTORY_SECRET, NP_PUBLISH_PUBLIC},
        {own, "2001:4860:1:2:ffff::1", NULL, "", false, NP_CREDENTIAL_FACTORY_SECRET, NP_PUBLISH_PUBLIC},
        {own, "2001:4860:1:2:ffff::1", NULL, "", true, NP_CREDENTIAL_OPEN, NP_PUBLISH_PUBLIC},
        {own, "2001:4860:1:2:ffff::1", own, "", true, NP_CREDENTIAL_OPEN, NP_PUBLISH_PUBLIC},
        {own, "2001:4860:1:2:ffff::1", NULL, "", true, NP_CREDENTIAL_FACTORY_SECRET, NP_PUBLISH_LOCAL_ONLY},
        {other, "2001:4860:1:2:ffff::1", NULL, "", true, NP_CREDENTIAL_FACTORY_SECRET, NP_PUBLISH_PUBLIC},
        {own, "198.51.100.7", NULL, "", true, NP_CREDENTIAL_FACTORY_SECRET, NP_PUBLISH_PUBLIC},
        {own, NULL, NULL, "", true, NP_CREDENTIAL_FACTORY_SECRET, NP_PUBLISH_PUBLIC},
        /* Looked at again over IPv4: what was proved stays, what was not does not come. */
        {own, "198.51.100.7", own, own, true, NP_CREDENTIAL_FACTORY_SECRET, NP_PUBLISH_PUBLIC},
        {other, "198.51.100.7", own, "", true, NP_CREDENTIAL_FACTORY_SECRET, NP_PUBLISH_PUBLIC},
        {own, "198.51.100.7", own, "", false, NP_CREDENTIAL_FACTORY_SECRET, NP_PUBLISH_PUBLIC},
        /* A global IPv4 address is never published, and a connection's /64 opens nothing but global addresses. */
        {"198.51.101.9", "198.51.101.9", NULL, "", true, NP_CREDENTIAL_FACTORY_SECRET, NP_PUBLISH_PUBLIC},
        {"2001:db8::1", "2001:db8::2", NULL, "", true, NP_CREDENTIAL_FACTORY_SECRET, NP_PUBLISH_PUBLIC},
        {"fe80::1", "fe80::2", NULL, "", true, NP_CREDENTIAL_FACTORY_SECRET, NP_PUBLISH_PUBLIC},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct np_policy policy = {.publish_global = rows[i].global};
        struct np_addresses stated = list(rows[i].stated), expected = list(rows[i].published);
        struct np_addresses published = rows[i].before ? list(rows[i].before) : (struct np_addresses){0};
        struct np_addr client = rows[i].client ? addr(rows[i].client) : (struct np_addr){0};
        struct np_rejections rejections;
        const struct np_policy_statement statement = {.stated = &stated,
                                                      .publish = rows[i].publish,
                                                      .credential = rows[i].credential,
                                                      .client = rows[i].client ? &client : NULL,
                                                      .published = rows[i].before ? &published : NULL};
        np_policy_publish(&policy, &statement, &published, &rejections);
        if (!np_addresses_equal(&published, &expected) || rejections.count != !*rows[i].published)
            fail_msg("row %zu (%s): %zu rejected", i, rows[i].stated, rejections.count);
    }
}

/* The longest address and the longest reason fit in what the message carries. */
static void test_reasons_are_whole(void **state)
{
    (void)state;
    struct np_addresses stated = {0}, published;
    struct np_rejections rejections;
    for (stated.v6_count = 0; stated.v6_count < NP_WIRE_V6_MAX; stated.v6_count++)
        stated.v6[stated.v6_count] = addr("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff");
    for (stated.v4_count = 0; stated.v4_count < NP_WIRE_V4_MAX; stated.v4_count++)
        stated.v4[stated.v4_count] = addr("100.127.255.255");
    const struct np_policy_statement statement = {.stated = &stated, .publish = NP_PUBLISH_PUBLIC};
    np_policy_publish(&closed, &statement, &published, &rejections);
    assert_int_equal(rejections.count, NP_WIRE_V4_MAX + NP_WIRE_V6_MAX);
    for (size_t i = 0; i < rejections.count; i++) {
        size_t len = strlen(rejections.why[i]);
        assert_true(len < NP_WHY_MAX);
        /* Cut texts would end anywhere. */
        assert_true(strcmp(rejections.why[i] + len - 9, "published") == 0 || strstr(rejections.why[i], "this HQ"));
    }
}

static void test_factory_secret(void **state)
{
    (void)state;
    struct np_policy policy = {.factory_secret = true, .master = "master"};
    struct np_credential credential = {.type = NP_CREDENTIAL_FACTORY_SECRET, .serial = "NP-0001"};
    struct np_refusal refusal;
    uint8_t thumbprint[32] = "thumbprint", other[32] = "another", secret[32], input[NP_FACTORY_MAC_INPUT_MAX];
    const char *nonce = "nonce", *url = "https://hq.devices.example/v1/devices";
    np_hq_factory_secret(policy.master, credential.serial, secret);
    np_hq_hmac(secret, 32, input, np_factory_mac_input(thumbprint, nonce, url, input), credential.mac);
    assert_int_equal(np_policy_credential(&policy, &credential, thumbprint, nonce, url, 0, &refusal), 0);
    /* It is bound to the key, the nonce and the URL. */
    assert_int_equal(np_policy_credential(&policy, &credential, other, nonce, url, 0, &refusal), NP_E_REFUSED);
    assert_string_equal(refusal.problem.type, "bad-credential");
    assert_int_equal(refusal.problem.status, 403);
    assert_int_equal(np_policy_credential(&policy, &credential, thumbprint, "nonc", url, 0, &refusal), NP_E_REFUSED);
    assert_int_equal(np_policy_credential(&policy, &credential, thumbprint, nonce, "https://x", 0, &refusal),
                     NP_E_REFUSED);
    credential.serial[0] = 'X';
    assert_int_equal(np_policy_credential(&policy, &credential, thumbprint, nonce, url, 0, &refusal), NP_E_REFUSED);
    credential.serial[0] = 'N';
    policy.factory_secret = false;
    assert_int_equal(np_policy_credential(&policy, &credential, thumbprint, nonce, url, 0, &refusal), NP_E_REFUSED);
    assert_string_equal(refusal.problem.type, "credential-unsupported");
    credential.type = NP_CREDENTIAL_OPEN;
    assert_int_equal(np_policy_credential(&policy, &credential, thumbprint, nonce, url, 0, &refusal), NP_E_REFUSED);
    assert_string_equal(refusal.problem.type, "credential-unsupported");
    policy.open = true;
    assert_int_equal(np_policy_credential(&policy, &credential, thumbprint, nonce, url, 0, &refusal), 0);
}

/* The derivations, against values from Python's hmac: another implementation must be able to make the file. */
static void test_derivations(void **state)
{
    (void)state;
    static const uint8_t factory[] = {0x2a, 0x34, 0x04, 0xf5, 0xa8, 0xc3, 0x5b, 0x19, 0xf6, 0xd7, 0x51,
                                      0xb9, 0x78, 0x2b, 0x90, 0xb7, 0x97, 0x75, 0x61, 0x28, 0x66, 0x1d,
                                      0xd2, 0xbc, 0x1d, 0x29, 0x34, 0x61, 0x9b, 0x01, 0x4e, 0xaa};
    static const uint8_t auth[] = {0x32, 0x3a, 0x1e, 0x6e, 0x75, 0x91, 0x93, 0x19, 0x6a, 0x31, 0x72,
                                   0xe9, 0xf4, 0xfd, 0x20, 0xc6, 0x36, 0x05, 0xf5, 0x03, 0x7f, 0x38,
                                   0x60, 0xd7, 0x41, 0x98, 0x27, 0x90, 0xb1, 0xd8, 0x45, 0xad};
    uint8_t key[32], epoch[16], out[32];
    for (size_t i = 0; i < sizeof key; i++)
        key[i] = (uint8_t)i;
    for (size_t i = 0; i < sizeof epoch; i++)
        epoch[i] = (uint8_t)(0xf0 + i);
    np_hq_factory_secret(key, "NP-0001", out);
    assert_memory_equal(out, factory, sizeof factory);
    np_hq_auth_token(key, "AAAAAAAAAAAAAAAAAAAAAA", epoch, 258, out);
    assert_memory_equal(out, auth, sizeof auth);
}

static void test_quota(void **state)
{
    (void)state;
    const struct np_policy policy = {.serial_live = 3, .serial_recent = 5, .network_recent = 10};
    static const struct {
        enum np_credential_type type;
        int64_t live, recent;
        bool allowed;
        int64_t site;
    } rows[] = {
        {NP_CREDENTIAL_FACTORY_SECRET, 0, 0, true, 0},  {NP_CREDENTIAL_FACTORY_SECRET, 2, 4, true, 0},
        {NP_CREDENTIAL_FACTORY_SECRET, 3, 3, false, 0}, {NP_CREDENTIAL_FACTORY_SECRET, 2, 5, false, 0},
        {NP_CREDENTIAL_OPEN, 1000, 9, true, 0},         {NP_CREDENTIAL_OPEN, 0, 10, false, 0},
        {NP_CREDENTIAL_OPEN, 0, 0, true, 79},           {NP_CREDENTIAL_OPEN, 0, 0, false, 80},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct np_credential credential = {.type = rows[i].type, .serial = "NP-0001"};
        struct np_store_counts counts = {rows[i].live, rows[i].recent, rows[i].site};
        struct np_refusal refusal = {0};
        assert_int_equal(np_policy_quota(&policy, &credential, &counts, &refusal), rows[i].allowed ? 0 : NP_E_REFUSED);
        if (!rows[i].allowed) {
            assert_string_equal(refusal.problem.type, "rate-limited");
            assert_true(refusal.retry_after_s > 0);
        }
    }
}

static void test_network(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"192.0.2.77", "192.0.2.0/24"},
        {"2001:db8:1:2:3:4:5:6", "2001:db8:1::/48 2001:db8:1:2::/64"},
        {"2001:db8:ffff:eeee:1::1", "2001:db8:ffff::/48 2001:db8:ffff:eeee::/64"},
        {"fe80::1%3", "fe80::/48 fe80::/64"},
        {"ffff:eeee:dddd:cccc::", "ffff:eeee:dddd::/48 ffff:eeee:dddd:cccc::/64"},
    };
    char text[NP_STORE_NETWORK_MAX];
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct np_addr a = addr(rows[i][0]);
        np_policy_network(&a, text);
        assert_string_equal(text, rows[i][1]);
    }
    np_policy_network(&(struct np_addr){0}, text);
    assert_string_equal(text, "-");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_publish),           cmocka_unit_test(test_publish_global),
        cmocka_unit_test(test_reasons_are_whole), cmocka_unit_test(test_factory_secret),
        cmocka_unit_test(test_derivations),       cmocka_unit_test(test_quota),
        cmocka_unit_test(test_network),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

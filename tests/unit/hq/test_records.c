/* What other name servers are to show, by a table of texts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "hq/zone/records.h"
#include "resolver/base/error.h"
#include "resolver/message.h"

#define TEXT_MAX 4096
#define VALUE    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

static struct np_zone_config make_config(void)
{
    struct np_zone_config config = {.origin = "devices.example", .ttl_s = 60};
    return config;
}

static struct np_records_zone make_zone(void)
{
    struct np_records_zone zone;
    struct np_zone_config config = make_config();
    assert_int_equal(np_records_zone_init(&zone, &config), 0);
    return zone;
}

static struct np_addr addr(const char *text)
{
    struct np_addr out;
    assert_int_equal(np_addr_parse(text, &out), 0);
    return out;
}

/* "-OWNER TYPE" for what is cleared, "OWNER TTL TYPE LENGTH" for what comes. */
static const char *describe(const struct np_records *records, char out[TEXT_MAX])
{
    char owner[NP_NAME_TEXT_MAX];
    size_t used = 0;
    out[0] = 0;
    for (size_t i = 0; i < records->cleared_count; i++)
        used += (size_t)snprintf(out + used, TEXT_MAX - used, "-%s %u\n",
                                 np_name_format(&records->cleared[i].owner, owner), records->cleared[i].type);
    for (size_t i = 0; i < records->count; i++)
        used += (size_t)snprintf(out + used, TEXT_MAX - used, "%s %u %u %zu\n",
                                 np_name_format(&records->records[i].owner, owner), records->records[i].ttl,
                                 records->records[i].type, records->records[i].rdata_len);
    return out;
}

static void test_names(void **state)
{
    (void)state;
    struct np_records_zone zone = make_zone();
    struct np_zone_name name = {.name = "a-b.devices.example", .present = true};
    struct np_records records;
    char text[TEXT_MAX];
    static const char cleared[] = "-a-b.devices.example 255\n-_acme-challenge.a-b.devices.example 255\n";
    char expected[TEXT_MAX];
    snprintf(
        expected, sizeof expected,
        "%sa-b.devices.example 60 15 3\na-b.devices.example 60 16 12\n_acme-challenge.a-b.devices.example 60 5 26\n",
        cleared);
    assert_int_equal(np_records_name(&zone, &name, &records), 0);
    assert_string_equal(describe(&records, text), expected);
    name.published.v4[name.published.v4_count++] = addr("10.0.0.1");
    name.published.v6[name.published.v6_count++] = addr("fd00::1");
    snprintf(expected, sizeof expected,
             "%sa-b.devices.example 60 1 4\na-b.devices.example 60 28 16\na-b.devices.example 60 15 3\n"
             "a-b.devices.example 60 16 12\n_acme-challenge.a-b.devices.example 60 5 26\n",
             cleared);
    assert_int_equal(np_records_name(&zone, &name, &records), 0);
    assert_string_equal(describe(&records, text), expected);
    name.present = false;
    assert_int_equal(np_records_name(&zone, &name, &records), 0);
    assert_string_equal(describe(&records, text), cleared);
    static const char *const others[] = {
        "devices.example",  "x.a-b.devices.example", "a-b.other.example", "a-b.xdevices.example", "",
        ".devices.example", "a-b.devices.example.x"};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        snprintf(name.name, sizeof name.name, "%s", others[i]);
        assert_int_equal(np_records_name(&zone, &name, &records), NP_E_NAME);
    }
}

/* The most that a name may have fits. */
static void test_most(void **state)
{
    (void)state;
    struct np_records_zone zone = make_zone();
    struct np_zone_name name = {.present = true};
    struct np_records records;
    memset(name.name, 'l', 63);
    snprintf(name.name + 63, sizeof name.name - 63, ".devices.example");
    for (; name.published.v4_count < NP_WIRE_V4_MAX; name.published.v4_count++)
        name.published.v4[name.published.v4_count] = addr("10.0.0.1");
    for (; name.published.v6_count < NP_WIRE_V6_MAX; name.published.v6_count++)
        name.published.v6[name.published.v6_count] = addr("fd00::1");
    assert_int_equal(np_records_name(&zone, &name, &records), 0);
    assert_int_equal(records.count, 9);
    assert_int_equal(records.count + records.cleared_count, 11);
}

static void test_challenges(void **state)
{
    (void)state;
    struct np_records_zone zone = make_zone();
    struct np_records records;
    char text[TEXT_MAX];
    const char values[NP_ZONE_TXT_MAX][NP_ZONE_TXT_LEN + 1] = {VALUE, VALUE};
    assert_int_equal(np_records_challenge(&zone, "a-b.acme.devices.example", values, 2, &records), 0);
    assert_string_equal(describe(&records, text), "-a-b.acme.devices.example 16\na-b.acme.devices.example 1 16 44\n"
                                                  "a-b.acme.devices.example 1 16 44\n");
    assert_int_equal(np_records_challenge(&zone, "a-b.acme.devices.example", values, 0, &records), 0);
    assert_string_equal(describe(&records, text), "-a-b.acme.devices.example 16\n");
    assert_int_equal(np_records_challenge(&zone, "a-b.devices.example", values, 1, &records), NP_E_NAME);
    assert_int_equal(np_records_challenge(&zone, "acme.devices.example", values, 1, &records), NP_E_NAME);
}

static void test_own(void **state)
{
    (void)state;
    struct np_records_zone zone = make_zone();
    struct np_zone_config config = make_config();
    const struct np_zone_accounts accounts = {{"https://ca.example/1"}};
    struct np_records records;
    char text[TEXT_MAX];
    /* Nothing configured: nothing of the operator's is touched. */
    assert_int_equal(np_records_own(&zone, &config, NULL, &records), 0);
    assert_string_equal(describe(&records, text), "");
    snprintf(config.host, sizeof config.host, "hq.devices.example");
    assert_int_equal(np_records_own(&zone, &config, NULL, &records), 0);
    assert_string_equal(describe(&records, text), "");
    config.host_addresses[config.host_address_count++] = addr("198.51.100.10");
    snprintf(config.caa[config.caa_count++], NP_ZONE_CAA_LEN, "ca.example");
    snprintf(config.caa[config.caa_count++], NP_ZONE_CAA_LEN, "other.example");
    config.probe_private[config.probe_private_count++] = addr("192.168.0.1");
    config.probe_public[config.probe_public_count++] = addr("2001:db8::1");
    assert_int_equal(np_records_own(&zone, &config, &accounts, &records), 0);
    assert_string_equal(describe(&records, text),
                        "-devices.example 257\n-hq.devices.example 1\n-hq.devices.example 28\n"
                        "-*.rebind-test.devices.example 255\n-*.plain-test.devices.example 255\n"
                        "devices.example 60 257 50\ndevices.example 60 257 20\nhq.devices.example 60 1 4\n"
                        "*.rebind-test.devices.example 60 1 4\n*.rebind-test.devices.example 60 15 3\n"
                        "*.rebind-test.devices.example 60 16 12\n*.plain-test.devices.example 60 28 16\n"
                        "*.plain-test.devices.example 60 15 3\n*.plain-test.devices.example 60 16 12\n");
    /* Everything that may be configured fits. */
    config.caa_count = NP_ZONE_CAA_MAX;
    config.host_address_count = NP_ZONE_HOST_MAX;
    config.probe_private_count = config.probe_public_count = NP_ZONE_PROBE_MAX;
    assert_int_equal(np_records_own(&zone, &config, NULL, &records), 0);
    assert_true(records.count <= NP_RECORDS_MAX && records.cleared_count <= NP_RECORDS_MAX);
}

static void test_equal(void **state)
{
    (void)state;
    struct np_record a = {.type = NP_RR_CNAME, .ttl = 1, .rdata = "\1a\2bc", .rdata_len = 6}, b = a;
    assert_int_equal(np_name_parse("x.example", &a.owner), 0);
    assert_int_equal(np_name_parse("X.EXAMPLE", &b.owner), 0);
    b.ttl = 2;
    memcpy(b.rdata, "\1A\2Bc", 6);
    assert_true(np_record_equal(&a, &b));
    b.rdata[1] = 'x';
    assert_false(np_record_equal(&a, &b));
    b = a;
    b.rdata_len--;
    assert_false(np_record_equal(&a, &b));
    b = a;
    b.type = NP_RR_TXT;
    assert_false(np_record_equal(&a, &b));
    a.type = NP_RR_TXT; /* text has no names in it */
    assert_true(np_record_equal(&a, &a));
    b = a;
    b.rdata[1] = 'A';
    assert_false(np_record_equal(&a, &b));
    a.type = b.type = NP_RR_MX; /* the preference is no name */
    memcpy(a.rdata, "aa\1a", 5);
    memcpy(b.rdata, "aA\1a", 5);
    a.rdata_len = b.rdata_len = 5;
    assert_false(np_record_equal(&a, &b));
    memcpy(b.rdata, "aa\1A", 5);
    assert_true(np_record_equal(&a, &b));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names), cmocka_unit_test(test_most),  cmocka_unit_test(test_challenges),
        cmocka_unit_test(test_own),   cmocka_unit_test(test_equal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Answers to the probe as bytes: what is kept of them, and what is no answer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "agent/network/probe_read.h"
#include "resolver/base/error.h"
#include "resolver/message.h"

static struct np_probe_question question(const char *name, uint16_t type)
{
    struct np_probe_question q = {.type = type, .class = NP_CLASS_IN};
    assert_int_equal(np_name_parse(name, &q.name), 0);
    return q;
}

/* An answer of the real encoder to the real query. */
static size_t make(const struct np_probe_question *q, uint16_t flags, uint16_t rcode, const char *const *addresses,
                   enum np_ede ede, bool soa, uint8_t out[NP_DNS_UDP_MAX])
{
    uint8_t packet[512];
    struct np_query query;
    struct np_answer answer;
    int len = np_probe_write(q, 0x1234, true, true, packet, sizeof packet);
    assert_true(len > 0);
    assert_int_equal(np_query_parse(packet, (size_t)len, &query), NP_QUERY_GOOD);
    np_answer_start(&answer, &query, out, NP_DNS_UDP_MAX, flags);
    answer.rcode = rcode;
    answer.ede = ede;
    for (; addresses && *addresses; addresses++) {
        struct np_addr addr;
        assert_int_equal(np_addr_parse(*addresses, &addr), 0);
        np_answer_address(&answer, NP_SECTION_ANSWER, &q->name, 30, &addr);
    }
    if (soa)
        np_answer_soa(&answer, NP_SECTION_AUTHORITY, &q->name, 10, &q->name, &q->name, 1,
                      (uint32_t[4]){3600, 600, 86400, 10});
    return np_answer_finish(&answer);
}

static void test_addresses(void **state)
{
    static const char *const addresses[] = {"192.168.1.9", "192.168.1.9", "10.0.0.9", NULL};
    struct np_probe_question q = question("box.devices.example", NP_RR_A);
    struct np_probe_answer a = {.rtt_ms = 7};
    uint8_t message[NP_DNS_UDP_MAX];
    (void)state;
    size_t len = make(&q, NP_FLAG_AA, 0, addresses, NP_EDE_NONE, false, message);
    assert_true(np_probe_read(&q, 0x1234, message, len, &a));
    assert_int_equal(a.state, NP_PROBE_ANSWERED);
    assert_true(a.aa && !a.ra && !a.soa && !a.alias && !a.truncated);
    assert_int_equal(a.rcode, 0);
    assert_int_equal(a.ede, NP_EDE_NONE);
    assert_int_equal(a.address_count, 2); /* each once */
    assert_int_equal(a.ttl_s, 30);
    assert_int_equal(a.rtt_ms, 7);
    /* Cut at each byte: broken, or not the answer; never more than there is. */
    for (size_t cut = 0; cut < len; cut++) {
        struct np_probe_answer b = {0};
        if (np_probe_read(&q, 0x1234, message, cut, &b))
            assert_int_equal(b.state, NP_PROBE_BROKEN);
    }
}

static void test_negative(void **state)
{
    struct np_probe_question q = question("box.devices.example", NP_RR_AAAA);
    struct np_probe_answer a = {0};
    uint8_t message[NP_DNS_UDP_MAX];
    (void)state;
    size_t len = make(&q, NP_FLAG_RA, 0, NULL, NP_EDE_BLOCKED, true, message);
    assert_true(np_probe_read(&q, 0x1234, message, len, &a));
    assert_true(a.ra && a.soa && a.address_count == 0);
    assert_int_equal(a.ede, NP_EDE_BLOCKED);
    len = make(&q, NP_FLAG_RA, NP_RCODE_BADVERS, NULL, NP_EDE_NONE, false, message);
    assert_true(np_probe_read(&q, 0x1234, message, len, &a));
    assert_int_equal(a.rcode, NP_RCODE_BADVERS); /* the upper bits are in the OPT */
}

static void test_not_the_answer(void **state)
{
    struct np_probe_question q = question("box.devices.example", NP_RR_A), other = q;
    struct np_probe_answer a = {.state = NP_PROBE_SILENT};
    uint8_t message[NP_DNS_UDP_MAX];
    (void)state;
    size_t len = make(&q, 0, 0, NULL, NP_EDE_NONE, false, message);
    assert_false(np_probe_read(&q, 0x1235, message, len, &a)); /* another id */
    other.type = NP_RR_AAAA;
    assert_false(np_probe_read(&other, 0x1234, message, len, &a));
    other = question("fox.devices.example", NP_RR_A);
    assert_false(np_probe_read(&other, 0x1234, message, len, &a));
    other = q;
    other.class = NP_CLASS_CHAOS;
    assert_false(np_probe_read(&other, 0x1234, message, len, &a));
    message[2] &= 0x7f; /* a query */
    assert_false(np_probe_read(&q, 0x1234, message, len, &a));
    assert_int_equal(a.state, NP_PROBE_SILENT);
}

static void test_bare_header(void **state)
{
    static const uint8_t refused[12] = {0x12, 0x34, 0x80, 0x05}, good[12] = {0x12, 0x34, 0x80, 0x00};
    struct np_probe_question q = question("box.devices.example", NP_RR_A);
    struct np_probe_answer a = {0};
    (void)state;
    assert_true(np_probe_read(&q, 0x1234, refused, sizeof refused, &a));
    assert_int_equal(a.rcode, NP_RCODE_REFUSED);
    assert_false(np_probe_read(&q, 0x1234, good, sizeof good, &a)); /* answers nothing: anybody could have sent it */
}

static void test_software(void **state)
{
    struct np_probe_question q = question("version.bind", NP_RR_TXT);
    struct np_probe_answer a = {0};
    uint8_t message[512];
    (void)state;
    q.class = NP_CLASS_CHAOS;
    int len = np_probe_write(&q, 0x1234, true, false, message, sizeof message);
    assert_true(len > 0);
    assert_int_equal(message[len - 1], NP_CLASS_CHAOS);
    static const uint8_t record[] = {0xc0, 12,  0,   16,  0,   3,   0,   0,   0, 0,   0,   14, 13,
                                     'd',  'n', 's', 'm', 'a', 's', 'q', '-', 7, '2', '.', 27, '9'};
    message[2] |= 0x80;
    message[7] = 1; /* one answer */
    memcpy(message + len, record, sizeof record);
    assert_true(np_probe_read(&q, 0x1234, message, (size_t)len + sizeof record, &a));
    assert_int_equal(a.state, NP_PROBE_ANSWERED);
    assert_string_equal(a.software, "dnsmasq-?2.?9"); /* nothing that a log line would obey */
}

static void test_address_of_the_wrong_length(void **state)
{
    static const char *const addresses[] = {"192.168.1.9", NULL};
    struct np_probe_question q = question("box.devices.example", NP_RR_A);
    struct np_probe_answer a = {0};
    uint8_t message[NP_DNS_UDP_MAX];
    (void)state;
    size_t len = make(&q, 0, 0, addresses, NP_EDE_NONE, false, message);
    size_t at = 12 + q.name.len + 4u + 2 + 8; /* header, question, pointer, fixed part: the record's length */
    assert_int_equal(message[at + 1], 4);
    memmove(message + at + 5, message + at + 6, len - at - 6);
    message[at + 1] = 3;
    assert_true(np_probe_read(&q, 0x1234, message, len - 1, &a));
    assert_int_equal(a.state, NP_PROBE_BROKEN);
    assert_int_equal(a.address_count, 0);
}

static void test_write_limits(void **state)
{
    struct np_probe_question q = question("box.devices.example", NP_RR_A);
    uint8_t message[512];
    (void)state;
    int len = np_probe_write(&q, 1, false, true, message, sizeof message);
    assert_true(len > 0);
    for (size_t size = 0; size < (size_t)len; size++)
        assert_int_equal(np_probe_write(&q, 1, false, true, message, size), NP_E_LIMIT);
    assert_int_equal(message[2] & 1, 0); /* RD */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_addresses),      cmocka_unit_test(test_negative),
        cmocka_unit_test(test_not_the_answer), cmocka_unit_test(test_bare_header),
        cmocka_unit_test(test_software),       cmocka_unit_test(test_address_of_the_wrong_length),
        cmocka_unit_test(test_write_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

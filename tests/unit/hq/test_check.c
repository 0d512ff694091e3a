/* When a challenge is taken for visible: the decision over several name servers, and the judgement of one answer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "hq/zone/check.h"
#include "resolver/message.h"

static const char values[NP_ZONE_TXT_MAX][NP_ZONE_TXT_LEN + 1] = {"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
                                                                  "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"};

static void test_check_waits_for_all(void **state)
{
    struct np_check check;
    struct np_check_health health = {0};
    (void)state;
    np_check_init(&check, 2, &health, 0);
    assert_int_equal(np_check_next(&check, 0), 0);
    assert_int_equal(np_check_next(&check, 0), 1);
    assert_int_equal(np_check_next(&check, 0), -1);
    np_check_take(&check, 0, NP_CHECK_SHOWN, 5);
    assert_false(np_check_done(&check));
    np_check_take(&check, 1, NP_CHECK_ABSENT, 5);
    assert_false(np_check_done(&check));
    assert_int_equal(np_check_due_ms(&check), 5 + NP_CHECK_PAUSE_FIRST_MS);
    assert_int_equal(np_check_next(&check, 5), -1);
    assert_int_equal(np_check_next(&check, 5 + NP_CHECK_PAUSE_FIRST_MS), 1);
    np_check_take(&check, 1, NP_CHECK_SHOWN, 40);
    assert_true(np_check_done(&check));
}

/* Runs server 1 with one result each second; returns when the check was done, -1: not within 200 s. */
static int64_t run_check(enum np_check_result first, enum np_check_result second, int64_t first_changes_ms)
{
    struct np_check check;
    struct np_check_health health = {0};
    np_check_init(&check, 2, &health, 0);
    for (int64_t now_ms = 0; now_ms < 200000; now_ms += 10) {
        long index;
        while ((index = np_check_next(&check, now_ms)) >= 0)
            np_check_take(&check, (size_t)index,
                          index == 1                   ? second
                          : now_ms >= first_changes_ms ? NP_CHECK_SHOWN
                                                       : first,
                          now_ms);
        if (np_check_done(&check))
            return now_ms;
    }
    return -1;
}

static void test_check_skips_the_dead(void **state)
{
    (void)state;
    assert_in_range(run_check(NP_CHECK_SHOWN, NP_CHECK_FAILED, 0), NP_CHECK_SKIP_MS, NP_CHECK_SKIP_MS + 1000);
    assert_int_equal(run_check(NP_CHECK_FAILED, NP_CHECK_FAILED, INT64_MAX), -1); /* at least one must confirm */
    assert_int_equal(run_check(NP_CHECK_SHOWN, NP_CHECK_ABSENT, 0), -1);          /* alive, but does not show it */
    assert_in_range(run_check(NP_CHECK_ABSENT, NP_CHECK_FAILED, 100000), 100000, 101000);
}

/* A server that has failed for a minute is left out by the next checks as soon as it fails them too. */
static void test_check_remembers_the_dead(void **state)
{
    (void)state;
    struct np_check_health health = {0};
    struct np_check check;
    np_check_init(&check, 2, &health, 0);
    assert_int_equal(np_check_take(&check, 1, NP_CHECK_FAILED, 0), 0);
    assert_int_equal(np_check_take(&check, 1, NP_CHECK_FAILED, NP_CHECK_SKIP_MS - 1), 0);
    assert_int_equal(np_check_take(&check, 1, NP_CHECK_FAILED, NP_CHECK_SKIP_MS), 1);
    assert_int_equal(np_check_take(&check, 1, NP_CHECK_FAILED, NP_CHECK_SKIP_MS + 1), 0);
    int64_t now_ms = 2 * NP_CHECK_SKIP_MS;
    np_check_init(&check, 2, &health, now_ms);
    np_check_take(&check, 0, NP_CHECK_SHOWN, now_ms);
    assert_false(np_check_done(&check)); /* it was not asked yet: it may be back */
    assert_int_equal(np_check_take(&check, 1, NP_CHECK_FAILED, now_ms), 0);
    assert_true(np_check_done(&check));
    /* Back, and told so once; then it counts again. */
    np_check_init(&check, 2, &health, now_ms);
    assert_int_equal(np_check_take(&check, 1, NP_CHECK_ABSENT, now_ms), -1);
    assert_int_equal(np_check_take(&check, 1, NP_CHECK_ABSENT, now_ms), 0);
    np_check_take(&check, 0, NP_CHECK_SHOWN, now_ms);
    assert_false(np_check_done(&check));
    np_check_take(&check, 1, NP_CHECK_FAILED, now_ms);
    assert_false(np_check_done(&check));
    /* A failure of yesterday is not the beginning of today's. */
    now_ms += NP_CHECK_FORGET_MS;
    np_check_init(&check, 2, &health, now_ms);
    np_check_take(&check, 0, NP_CHECK_SHOWN, now_ms);
    assert_int_equal(np_check_take(&check, 1, NP_CHECK_FAILED, now_ms), 0);
    assert_false(np_check_done(&check));
}

/* Servers that only have the CNAME confirm nothing by themselves. */
static void test_check_wants_a_server_of_the_values(void **state)
{
    (void)state;
    struct np_check_health health = {0};
    struct np_check check;
    np_check_init(&check, 2, &health, 0);
    check.servers[0].values = false;
    np_check_take(&check, 0, NP_CHECK_SHOWN, 0);
    np_check_take(&check, 1, NP_CHECK_FAILED, 0);
    np_check_take(&check, 1, NP_CHECK_FAILED, NP_CHECK_SKIP_MS);
    assert_false(np_check_done(&check));
    np_check_take(&check, 1, NP_CHECK_FOLLOW, NP_CHECK_SKIP_MS + 1);
    assert_int_equal(np_check_due_ms(&check), NP_CHECK_SKIP_MS + 1); /* at once */
    np_check_take(&check, 1, NP_CHECK_SHOWN, NP_CHECK_SKIP_MS + 2);
    assert_true(np_check_done(&check));
}

struct built {
    uint8_t bytes[NP_DNS_UDP_MAX];
    size_t len;
};

/* A response to a TXT question for name: optionally a CNAME to target, then TXT values at its end. */
static struct built response(const char *name, const char *target, unsigned value_mask, uint16_t rcode)
{
    struct built built = {.len = 0};
    struct np_query query;
    struct np_answer answer;
    struct np_name qname, owner;
    uint8_t packet[512];
    assert_int_equal(np_name_parse(name, &qname), 0);
    int len = np_query_write(packet, sizeof packet, 7, 0, &qname, NP_RR_TXT, false, false);
    assert_int_equal(np_query_parse(packet, (size_t)len, &query), NP_QUERY_GOOD);
    np_answer_start(&answer, &query, built.bytes, sizeof built.bytes, NP_FLAG_AA);
    answer.rcode = rcode;
    owner = qname;
    if (target) {
        assert_int_equal(np_name_parse(target, &owner), 0);
        np_answer_rr(&answer, NP_SECTION_ANSWER, &qname, NP_RR_CNAME, 1, owner.wire, owner.len);
    }
    for (unsigned i = 0; i < 2; i++) {
        uint8_t rdata[NP_ZONE_TXT_LEN + 2] = {20};
        memcpy(rdata + 1, values[i], 20); /* in two character-strings */
        rdata[21] = NP_ZONE_TXT_LEN - 20;
        memcpy(rdata + 22, values[i] + 20, NP_ZONE_TXT_LEN - 20);
        if (value_mask & 1u << i)
            np_answer_rr(&answer, NP_SECTION_ANSWER, &owner, NP_RR_TXT, 1, rdata, sizeof rdata);
    }
    built.len = np_answer_finish(&answer);
    return built;
}

static void test_check_judges(void **state)
{
    static const char name[] = "_acme-challenge.a.devices.example", target[] = "a.acme.devices.example";
    static const struct {
        const char *target;
        unsigned mask;
        uint16_t rcode;
        enum np_check_result result;
        bool follow;
    } cases[] = {
        {NULL, 3, NP_RCODE_NOERROR, NP_CHECK_SHOWN, false},    {target, 3, NP_RCODE_NOERROR, NP_CHECK_SHOWN, false},
        {target, 1, NP_RCODE_NOERROR, NP_CHECK_ABSENT, false}, /* one of two values */
        {target, 0, NP_RCODE_NOERROR, NP_CHECK_FOLLOW, true},  /* the chain leads out of that server's zone */
        {target, 0, NP_RCODE_NXDOMAIN, NP_CHECK_FOLLOW, true}, {NULL, 0, NP_RCODE_NXDOMAIN, NP_CHECK_ABSENT, false},
        {NULL, 3, NP_RCODE_REFUSED, NP_CHECK_FAILED, false},   {NULL, 0, NP_RCODE_SERVFAIL, NP_CHECK_FAILED, false},
    };
    struct np_name qname, other, out;
    (void)state;
    assert_int_equal(np_name_parse(name, &qname), 0);
    assert_int_equal(np_name_parse("b.example", &other), 0);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct built built = response(name, cases[i].target, cases[i].mask, cases[i].rcode);
        assert_int_equal(np_check_judge(built.bytes, built.len, &qname, values, 2, &out), cases[i].result);
        assert_int_equal(out.len > 0, cases[i].follow);
        assert_int_equal(np_check_judge(built.bytes, built.len, &other, values, 2, &out), NP_CHECK_FAILED);
        for (size_t cut = 0; cut < built.len; cut++) /* never both values in less than the whole */
            assert_int_not_equal(np_check_judge(built.bytes, cut, &qname, values, 2, &out), NP_CHECK_SHOWN);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_check_waits_for_all),
        cmocka_unit_test(test_check_skips_the_dead),
        cmocka_unit_test(test_check_remembers_the_dead),
        cmocka_unit_test(test_check_wants_a_server_of_the_values),
        cmocka_unit_test(test_check_judges),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

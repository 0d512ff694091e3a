/* Response rate limiting under a fake clock: what passes, what slips, who shares an account with whom. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "hq/zone/rrl.h"

#define RATE 10

static struct np_addr addr(const char *text)
{
    struct np_addr out;
    assert_int_equal(np_addr_parse(text, &out), 0);
    return out;
}

struct counts {
    unsigned pass, slip, drop;
};

static struct counts flood(struct np_rrl *rrl, const char *client, enum np_rrl_kind kind, uint64_t subject,
                           unsigned count, int64_t now_ms)
{
    struct counts counts = {0};
    const struct np_addr from = addr(client);
    for (unsigned i = 0; i < count; i++) {
        enum np_rrl_verdict verdict = np_rrl_judge(rrl, &from, kind, subject, now_ms);
        counts.pass += verdict == NP_RRL_PASS;
        counts.slip += verdict == NP_RRL_SLIP_TC;
        counts.drop += verdict == NP_RRL_DROP;
    }
    return counts;
}

static struct np_rrl *make(void)
{
    struct np_rrl *rrl;
    assert_int_equal(np_rrl_new(RATE, 7, &rrl), 0);
    return rrl;
}

static void test_a_second_passes_the_rest_slips(void **state)
{
    (void)state;
    struct np_rrl *rrl = make();
    struct counts c = flood(rrl, "192.0.2.1", NP_RRL_ANSWER, 1, 100, 5000);
    assert_int_equal(c.pass, RATE);
    assert_int_equal(c.slip, 45);
    assert_int_equal(c.drop, 45);
    /* In debt by 90: 9 seconds pay it back, and one earns the next. */
    assert_int_equal(flood(rrl, "192.0.2.1", NP_RRL_ANSWER, 1, 1, 5000 + 9000).pass, 0);
    assert_int_equal(flood(rrl, "192.0.2.1", NP_RRL_ANSWER, 1, 1, 5000 + 9200).pass, 1);
    /* A steady rate passes for ever. */
    np_rrl_free(rrl);
    rrl = make();
    for (int64_t now_ms = 0; now_ms < 60000; now_ms += 1000 / RATE)
        assert_int_equal(flood(rrl, "192.0.2.1", NP_RRL_ANSWER, 1, 1, now_ms).pass, 1);
    np_rrl_free(rrl);
}

static void test_debt_ends(void **state)
{
    (void)state;
    struct np_rrl *rrl = make();
    flood(rrl, "192.0.2.1", NP_RRL_ANSWER, 1, 100000, 0);
    assert_int_equal(flood(rrl, "192.0.2.1", NP_RRL_ANSWER, 1, 1, NP_RRL_WINDOW_S * 1000).pass, 0);
    assert_int_equal(flood(rrl, "192.0.2.1", NP_RRL_ANSWER, 1, 1, NP_RRL_WINDOW_S * 1000 + 300).pass, 1);
    /* After a long silence there is a second's worth in hand, not more. */
    assert_int_equal(flood(rrl, "192.0.2.1", NP_RRL_ANSWER, 1, 50, 10000000).pass, RATE);
    np_rrl_free(rrl);
}

static void test_who_shares_an_account(void **state)
{
    (void)state;
    static const struct {
        const char *client;
        enum np_rrl_kind kind;
        uint64_t subject;
        bool own;
    } rows[] = {
        {"192.0.2.255", NP_RRL_ANSWER, 1, false},    {"192.0.3.1", NP_RRL_ANSWER, 1, true},
        {"192.0.2.1", NP_RRL_ANSWER, 2, true},       {"192.0.2.1", NP_RRL_NODATA, 1, true},
        {"192.0.2.1", NP_RRL_NXDOMAIN, 1, true},     {"192.0.2.1", NP_RRL_ERROR, 0, true},
        {"2001:db8:1:2::1", NP_RRL_ANSWER, 1, true},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct np_rrl *rrl = make();
        flood(rrl, "192.0.2.1", NP_RRL_ANSWER, 1, RATE, 0);
        assert_int_equal(flood(rrl, rows[i].client, rows[i].kind, rows[i].subject, 1, 0).pass, rows[i].own);
        np_rrl_free(rrl);
    }
    struct np_rrl *rrl = make();
    flood(rrl, "2001:db8:1:200::1", NP_RRL_ANSWER, 1, RATE, 0);
    assert_int_equal(flood(rrl, "2001:db8:1:2ff::9", NP_RRL_ANSWER, 1, 1, 0).pass, 0); /* the same /56 */
    assert_int_equal(flood(rrl, "2001:db8:1:300::1", NP_RRL_ANSWER, 1, 1, 0).pass, 1);
    np_rrl_free(rrl);
}

static void test_errors_never_slip(void **state)
{
    (void)state;
    struct np_rrl *rrl = make();
    struct counts c = flood(rrl, "192.0.2.1", NP_RRL_ERROR, 0, 100, 0);
    assert_int_equal(c.pass, RATE);
    assert_int_equal(c.drop, 90);
    np_rrl_free(rrl);
}

/* More networks than the table holds: new ones are served, and a flood that goes on stays limited. */
static void test_full_table(void **state)
{
    (void)state;
    struct np_rrl *rrl = make();
    unsigned passed = 0;
    const struct np_addr flooder = addr("198.51.100.1");
    for (uint32_t i = 0; i < 200000; i++) {
        struct np_addr client = {.family = AF_INET, .bytes = {10, (uint8_t)(i >> 16), (uint8_t)(i >> 8), (uint8_t)i}};
        client.bytes[0] = (uint8_t)(11 + i % 97);
        np_rrl_judge(rrl, &client, NP_RRL_ANSWER, i, (int64_t)i / 100);
        passed += np_rrl_judge(rrl, &flooder, NP_RRL_ANSWER, 1, (int64_t)i / 100) == NP_RRL_PASS;
    }
    assert_in_range(passed, RATE, RATE * 3); /* 2 seconds long */
    np_rrl_free(rrl);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_second_passes_the_rest_slips),
        cmocka_unit_test(test_debt_ends),
        cmocka_unit_test(test_who_shares_an_account),
        cmocka_unit_test(test_errors_never_slip),
        cmocka_unit_test(test_full_table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* The mirrored limits under a fake clock: one bucket, shares, exemptions, what a refusal means, and a model CA that
 * counts for itself and must never have to refuse. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "hq/acme/limits.h"
#include "resolver/base/error.h"

#define NOW_MS INT64_C(1790000000000)
#define HOUR   INT64_C(3600000)
#define DAY    (24 * HOUR)

static void test_parse(void **state)
{
    static const struct {
        const char *text;
        int rc;
        int64_t count, period_ms;
    } rows[] = {
        {"50/7d", 0, 50, 7 * DAY},
        {"300/3h", 0, 300, 3 * HOUR},
        {"5/1w", 0, 5, 7 * DAY},
        {"1/1s", 0, 1, 1000},
        {"20/90m", 0, 20, 90 * 60000},
        {"none", 0, 0, 0},
        {"1000000/366d", 0, 1000000, 366 * DAY},
        {"1000001/1d", NP_E_MALFORMED, 0, 0},
        {"1/367d", NP_E_MALFORMED, 0, 0},
        {"1/53w", NP_E_MALFORMED, 0, 0},
        {"0/1d", NP_E_MALFORMED, 0, 0},
        {"50/0d", NP_E_MALFORMED, 0, 0},
        {"50/7", NP_E_MALFORMED, 0, 0},
        {"50/d", NP_E_MALFORMED, 0, 0},
        {"50/7D", NP_E_MALFORMED, 0, 0},
        {"50 per 7d", NP_E_MALFORMED, 0, 0},
        {"/7d", NP_E_MALFORMED, 0, 0},
        {"50/", NP_E_MALFORMED, 0, 0},
        {"-5/7d", NP_E_MALFORMED, 0, 0},
        {"", NP_E_MALFORMED, 0, 0},
        {"12345678901234567890/1d", NP_E_MALFORMED, 0, 0},
        {"1/12345678901234567890d", NP_E_MALFORMED, 0, 0},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct np_limit_rule rule = {-1, -1};
        int rc = np_limit_rule_parse(rows[i].text, &rule);
        if (rc != rows[i].rc || (rc == 0 && (rule.count != rows[i].count || rule.period_ms != rows[i].period_ms)))
            fail_msg("%s: %d %lld %lld", rows[i].text, rc, (long long)rule.count, (long long)rule.period_ms);
    }
}

static void test_presets(void **state)
{
    struct np_limits limits = {.public_suffix = true};
    (void)state;
    assert_true(np_limits_preset("letsencrypt", &limits));
    assert_int_equal(limits.rules[NP_LIMIT_ORDERS].count, 300);
    assert_int_equal(limits.rules[NP_LIMIT_DOMAIN].count, 50);
    assert_int_equal(limits.rules[NP_LIMIT_NAMES].period_ms, 7 * DAY);
    assert_int_equal(limits.rules[NP_LIMIT_FAILURES].period_ms, HOUR);
    assert_true(limits.renewals_exempt && limits.public_suffix);
    np_limits_headroom(&limits, 10);
    assert_int_equal(limits.rules[NP_LIMIT_ORDERS].count, 270);
    assert_int_equal(limits.rules[NP_LIMIT_DOMAIN].count, 45);
    assert_int_equal(limits.rules[NP_LIMIT_NAMES].count, 4); /* off is rounded up */
    np_limits_headroom(&limits, 90);
    assert_int_equal(limits.rules[NP_LIMIT_NAMES].count, 1);
    assert_true(np_limits_preset("none", &limits));
    np_limits_headroom(&limits, 10);
    for (size_t i = 0; i < NP_LIMIT_RULES; i++)
        assert_int_equal(limits.rules[i].count, 0);
    assert_false(np_limits_preset("letsencript", &limits));
    assert_string_equal(np_limits_preset_of("https://acme-v02.api.letsencrypt.org/directory"), "letsencrypt");
    assert_string_equal(np_limits_preset_of("https://acme-staging-v02.api.letsencrypt.org/directory"),
                        "letsencrypt-staging");
    assert_string_equal(np_limits_preset_of("https://acme.zerossl.com/v2/DV90"), "none");
    assert_string_equal(np_limits_preset_of("https://evil-letsencrypt.org/letsencrypt.org"), "none");
    assert_string_equal(np_limits_preset_of("https://localhost:14000/dir"), "none");
}

/* Five an hour: five at once, then one each twelve minutes, and full again after an hour's rest. */
static void test_bucket(void **state)
{
    const struct np_limit_rule rule = {5, HOUR};
    int64_t full_ms = 0;
    (void)state;
    for (int i = 0; i < 5; i++) {
        assert_int_equal(np_limit_level(&rule, full_ms, NOW_MS), 5 - i);
        assert_int_equal(np_limit_wait_ms(&rule, full_ms, 0, 1, NOW_MS), 0);
        full_ms = np_limit_take(&rule, full_ms, NOW_MS);
    }
    assert_int_equal(np_limit_level(&rule, full_ms, NOW_MS), 0);
    assert_int_equal(np_limit_wait_ms(&rule, full_ms, 0, 1, NOW_MS), HOUR / 5);
    assert_int_equal(np_limit_wait_ms(&rule, full_ms, 0, 3, NOW_MS), 3 * HOUR / 5);
    assert_int_equal(np_limit_wait_ms(&rule, full_ms, 0, 1, NOW_MS + HOUR / 5 - 1), 1);
    assert_int_equal(np_limit_wait_ms(&rule, full_ms, 0, 1, NOW_MS + HOUR / 5), 0);
    assert_int_equal(np_limit_level(&rule, full_ms, NOW_MS + HOUR / 5), 1);
    assert_int_equal(np_limit_level(&rule, full_ms, NOW_MS + HOUR), 5);
    assert_int_equal(np_limit_level(&rule, full_ms, NOW_MS + 9 * HOUR), 5);
    full_ms = np_limit_give_back(&rule, full_ms);
    assert_int_equal(np_limit_wait_ms(&rule, full_ms, 0, 1, NOW_MS), 0);
    assert_int_equal(np_limit_give_back(&rule, 0), 0);
    /* The CA says that there will be nothing for two hours, whatever we thought. */
    full_ms = np_limit_exhaust(&rule, full_ms, 2 * HOUR, NOW_MS);
    assert_int_equal(np_limit_wait_ms(&rule, full_ms, 0, 1, NOW_MS), 2 * HOUR);
    assert_int_equal(np_limit_wait_ms(&rule, full_ms, 0, 2, NOW_MS), 2 * HOUR + HOUR / 5);
    assert_int_equal(np_limit_exhaust(&rule, full_ms, 0, NOW_MS), full_ms);
    /* A clock that was a year ahead does not stop us for a year. */
    assert_true(np_limit_wait_ms(&rule, NOW_MS + 366 * DAY, 0, 1, NOW_MS) <= NP_LIMIT_REFUSED_MAX_MS + HOUR);
    /* A reserve: the token that would break into it waits. */
    assert_int_equal(np_limit_wait_ms(&rule, 0, 2, 3, NOW_MS), 0);
    assert_int_equal(np_limit_wait_ms(&rule, 0, 2, 4, NOW_MS), HOUR / 5);
    assert_int_equal(np_limit_wait_ms(&rule, 0, 99, 1, NOW_MS), 0); /* a full bucket always gives one */
    const struct np_limit_rule none = {0, 0};
    assert_int_equal(np_limit_wait_ms(&none, NOW_MS + HOUR, 0, 1000, NOW_MS), 0);
    assert_int_equal(np_limit_take(&none, 7, NOW_MS), 7);
    assert_int_equal(np_limit_give_back(&none, 7), 7);
    assert_int_equal(np_limit_exhaust(&none, 7, HOUR, NOW_MS), 7);
}

static struct np_limits letsencrypt(bool public_suffix)
{
    struct np_limits limits = {.public_suffix = public_suffix};
    assert_true(np_limits_preset("letsencrypt", &limits));
    return limits;
}

/* How many orders of a priority may begin at once out of full buckets. */
static int64_t burst(const struct np_limits *limits, enum np_order_priority priority, enum np_exemption exemption)
{
    struct np_limit_view view = {.priority = priority, .exemption = exemption};
    enum np_limit kind;
    int64_t n = 0;
    while (n < 1000 && np_limits_wait_ms(limits, &view, n + 1, NOW_MS, &kind) == 0)
        n++;
    return n;
}

static void test_shares(void **state)
{
    struct np_limits le = letsencrypt(false), suffix = letsencrypt(true);
    (void)state;
    assert_int_equal(burst(&le, NP_PRIORITY_URGENT, NP_EXEMPT_NONE), 50);
    assert_int_equal(burst(&le, NP_PRIORITY_NEW, NP_EXEMPT_NONE), 25);
    assert_int_equal(burst(&le, NP_PRIORITY_ROUTINE, NP_EXEMPT_NONE), 25);
    assert_int_equal(burst(&le, NP_PRIORITY_OPEN, NP_EXEMPT_NONE), 13);
    /* On the Public Suffix List each device has its 50: what all share are the account's orders. */
    assert_int_equal(burst(&suffix, NP_PRIORITY_URGENT, NP_EXEMPT_NONE), 300);
    assert_int_equal(burst(&suffix, NP_PRIORITY_NEW, NP_EXEMPT_NONE), 150);
    assert_int_equal(burst(&suffix, NP_PRIORITY_OPEN, NP_EXEMPT_NONE), 75);
    /* Renewals do not count, but for CAs that count them. */
    assert_int_equal(burst(&le, NP_PRIORITY_ROUTINE, NP_EXEMPT_RENEWAL), 1000);
    le.renewals_exempt = false;
    assert_int_equal(burst(&le, NP_PRIORITY_ROUTINE, NP_EXEMPT_RENEWAL), 25);
    assert_int_equal(burst(&le, NP_PRIORITY_ROUTINE, NP_EXEMPT_ARI), 1000);
}

/* What each order pays, and what it waits for. */
static void test_order(void **state)
{
    struct np_limits le = letsencrypt(false);
    const int64_t names_empty = np_limit_exhaust(&le.rules[NP_LIMIT_NAMES], 0, HOUR, NOW_MS);
    const struct {
        enum np_exemption exemption;
        int64_t full_ms[NP_LIMIT_KINDS];
        int64_t wait_ms;
        enum np_limit kind;
        unsigned paid;
    } rows[] = {
        {NP_EXEMPT_NONE, {0}, 0, NP_LIMIT_PAUSE, 7},
        {NP_EXEMPT_RENEWAL, {0}, 0, NP_LIMIT_PAUSE, 1 << NP_LIMIT_NAMES},
        {NP_EXEMPT_ARI, {0}, 0, NP_LIMIT_PAUSE, 0},
        {NP_EXEMPT_NONE, {[NP_LIMIT_NAMES] = names_empty}, HOUR, NP_LIMIT_NAMES, 7},
        {NP_EXEMPT_RENEWAL, {[NP_LIMIT_NAMES] = names_empty}, HOUR, NP_LIMIT_NAMES, 1 << NP_LIMIT_NAMES},
        {NP_EXEMPT_ARI, {[NP_LIMIT_NAMES] = names_empty}, 0, NP_LIMIT_PAUSE, 0},
        {NP_EXEMPT_RENEWAL, {NOW_MS + DAY, NOW_MS + 30 * DAY}, 0, NP_LIMIT_PAUSE, 1 << NP_LIMIT_NAMES},
        {NP_EXEMPT_ARI, {[NP_LIMIT_PAUSE] = NOW_MS + 7000}, 7000, NP_LIMIT_PAUSE, 0},
        {NP_EXEMPT_ARI, {[NP_LIMIT_PAUSE] = NOW_MS - 7000}, 0, NP_LIMIT_PAUSE, 0},
        /* The longest decides. */
        {NP_EXEMPT_NONE, {[NP_LIMIT_NAMES] = names_empty, [NP_LIMIT_PAUSE] = NOW_MS + 5}, HOUR, NP_LIMIT_NAMES, 7},
        {NP_EXEMPT_ARI, {[NP_LIMIT_FAILURES] = NOW_MS + HOUR}, 12 * 60000, NP_LIMIT_FAILURES, 0},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct np_limit_view view = {.priority = NP_PRIORITY_NEW, .exemption = rows[i].exemption};
        enum np_limit kind;
        memcpy(view.full_ms, rows[i].full_ms, sizeof view.full_ms);
        int64_t wait_ms = np_limits_wait_ms(&le, &view, 1, NOW_MS, &kind);
        if (wait_ms != rows[i].wait_ms || kind != rows[i].kind)
            fail_msg("row %zu: %lld ms for %s", i, (long long)wait_ms, np_limit_name(kind));
        if (np_limits_pay(&le, &view, NOW_MS) != rows[i].paid)
            fail_msg("row %zu pays something else", i);
        for (size_t k = 0; k < NP_LIMIT_KINDS; k++)
            assert_int_equal(view.full_ms[k] != rows[i].full_ms[k], (rows[i].paid >> k) & 1);
    }
}

/* Counts for itself, in another way: a level that fills. */
struct model {
    double level, at_ms;
};

static bool model_takes(struct model *model, const struct np_limit_rule *rule, int64_t now_ms)
{
    model->level += ((double)now_ms - model->at_ms) * (double)rule->count / (double)rule->period_ms;
    model->at_ms = (double)now_ms;
    if (model->level > (double)rule->count)
        model->level = (double)rule->count;
    if (model->level < 1 - 1e-6)
        return false;
    model->level -= 1;
    return true;
}

/* A year of orders as fast as the mirror lets them: the CA refuses none, and the mirror wastes next to nothing. */
static void test_never_refused(void **state)
{
    static const struct np_limit_rule rules[] = {{300, 3 * HOUR}, {50, 7 * DAY}, {5, 7 * DAY}, {7, HOUR}, {1, 1000}};
    uint32_t random = 1;
    (void)state;
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++) {
        struct model model = {.level = (double)rules[i].count, .at_ms = (double)NOW_MS};
        int64_t full_ms = 0, now_ms = NOW_MS, taken = 0;
        while (taken < 2000) {
            random = random * 1664525 + 1013904223;
            int64_t wait_ms = np_limit_wait_ms(&rules[i], full_ms, 0, 1, now_ms);
            if (wait_ms > 0) {
                now_ms += wait_ms;
            } else {
                assert_true(model_takes(&model, &rules[i], now_ms));
                full_ms = np_limit_take(&rules[i], full_ms, now_ms);
                taken++;
                now_ms += random % 4 == 0 ? random % (uint32_t)(rules[i].period_ms / rules[i].count) : 0;
            }
        }
        int64_t interval = rules[i].period_ms / rules[i].count;
        assert_true(now_ms - NOW_MS <= 2000 * (interval + interval / 2 + 1));
    }
}

static void test_refusals(void **state)
{
    static const struct {
        const char *detail;
        enum np_limit kind;
    } rows[] = {
        {"too many new orders (300) from this account in the last 3h0m0s, retry after 2026-11-29 11:37:27 UTC: see "
         "https://letsencrypt.org/docs/rate-limits/#new-orders-per-account",
         NP_LIMIT_ORDERS},
        {"too many certificates (50) already issued for \"devices.example\" in the last 168h0m0s, retry after x: see "
         "https://letsencrypt.org/docs/rate-limits/#new-certificates-per-registered-domain",
         NP_LIMIT_DOMAIN},
        {"too many certificates (5) already issued for this exact set of identifiers in the last 168h0m0s, retry after",
         NP_LIMIT_NAMES},
        {"too many failed authorizations (5) for \"a.devices.example\" in the last 1h0m0s", NP_LIMIT_FAILURES},
        {"Service busy; retry later.", NP_LIMIT_PAUSE},
        {"", NP_LIMIT_PAUSE},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_int_equal(np_limit_of_refusal(rows[i].detail), rows[i].kind);
    assert_int_equal(np_limit_pause_ms(5000, 0), 5000);
    assert_int_equal(np_limit_pause_ms(34 * HOUR, 0), 60000);
    assert_int_equal(np_limit_pause_ms(34 * HOUR, 1), 120000);
    assert_int_equal(np_limit_pause_ms(34 * HOUR, 1000), HOUR);
    assert_int_equal(np_limit_pause_ms(0, 0), 60000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse),    cmocka_unit_test(test_presets), cmocka_unit_test(test_bucket),
        cmocka_unit_test(test_shares),   cmocka_unit_test(test_order),   cmocka_unit_test(test_never_refused),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

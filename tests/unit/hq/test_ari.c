/* Renewal windows as a CA suggests them: what is read of an answer, and what becomes of point and due time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "hq/acme/ari.h"
#include "resolver/base/error.h"

#define HOUR INT64_C(3600000)
#define DAY  (24 * HOUR)
#define T0   INT64_C(1790000000000) /* a certificate of 40 days begins */

/* ---- What the CA says ---- */

#define INFO                                                                                                           \
    "{\"suggestedWindow\":{\"start\":\"2025-01-02T04:00:00Z\",\"end\":\"2025-01-03T04:00:00Z\"},"                      \
    "\"explanationURL\":\"https://acme.example.com/docs/ari\"}" /* RFC 9773 section 4.2 */

static void test_answer(void **state)
{
    struct np_ari_info info;
    (void)state;
    assert_int_equal(np_ari_parse(INFO, strlen(INFO), &info), 0);
    assert_int_equal(info.window.from_ms, INT64_C(1735790400000));
    assert_int_equal(info.window.until_ms - info.window.from_ms, DAY);
    assert_string_equal(info.explanation, "https://acme.example.com/docs/ari");
    for (size_t cut = 0; cut < strlen(INFO); cut++)
        assert_int_equal(np_ari_parse(INFO, cut, &info), NP_E_MALFORMED);
}

static void test_answers(void **state)
{
    static const struct {
        const char *start, *end;
        int rc;
        int64_t from_s;
    } cases[] = {
        {"2025-01-02T04:00:00Z", "2025-01-02T04:00:01Z", 0, 1735790400},
        {"2025-01-02t04:00:00z", "2025-01-02T05:00:00z", 0, 1735790400},
        {"2025-01-02T04:00:00.123456789Z", "2025-01-02T04:00:05Z", 0, 1735790400},
        {"2025-01-02T04:30:00+00:30", "2025-01-02T04:00:01Z", 0, 1735790400},
        {"2025-01-01T20:00:00-08:00", "2025-01-02T04:00:01Z", 0, 1735790400},
        {"2016-12-31T23:59:60Z", "2025-01-02T04:00:01Z", 0, 1483228800}, /* a leap second */
        {"2025-01-02T04:00:00Z", "2025-01-02T04:00:00Z", NP_E_DATE, 0},
        {"2025-01-03T04:00:00Z", "2025-01-02T04:00:00Z", NP_E_DATE, 0},
        {"2025-01-02T04:00:00", "2025-01-02T04:00:01Z", NP_E_MALFORMED, 0},
        {"2025-01-02 04:00:00Z", "2025-01-02T04:00:01Z", NP_E_MALFORMED, 0},
        {"2025-13-02T04:00:00Z", "2026-01-02T04:00:01Z", NP_E_MALFORMED, 0},
        {"2025-00-02T04:00:00Z", "2026-01-02T04:00:01Z", NP_E_MALFORMED, 0},
        {"2025-01-02T24:00:00Z", "2026-01-02T04:00:01Z", NP_E_MALFORMED, 0},
        {"2025-01-02T04:00:00.Z", "2026-01-02T04:00:01Z", NP_E_MALFORMED, 0},
        {"2025-01-02T04:00:00+24:00", "2026-01-02T04:00:01Z", NP_E_MALFORMED, 0},
        {"2025-01-02T04:00:00+1:00", "2026-01-02T04:00:01Z", NP_E_MALFORMED, 0},
        {"2025-01-02T04:00:00Zulu", "2026-01-02T04:00:01Z", NP_E_MALFORMED, 0},
        {"20x5-01-02T04:00:00Z", "2026-01-02T04:00:01Z", NP_E_MALFORMED, 0},
        {"0001-01-02T04:00:00Z", "2026-01-02T04:00:01Z", NP_E_MALFORMED, 0},
        {"", "2026-01-02T04:00:01Z", NP_E_MALFORMED, 0},
        {"2025-01-02T04:00:00.0000000000000000000000000000000000000Z", "2026-01-02T04:00:01Z", NP_E_LIMIT, 0},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct np_ari_info info;
        char json[256];
        snprintf(json, sizeof json, "{\"suggestedWindow\":{\"start\":\"%s\",\"end\":\"%s\"},\"explanationURL\":7}",
                 cases[i].start, cases[i].end);
        int rc = np_ari_parse(json, strlen(json), &info);
        if (rc != cases[i].rc)
            fail_msg("%s: %s", json, np_strerror(rc));
        if (rc == 0) {
            assert_int_equal(info.window.from_ms, cases[i].from_s * 1000);
            assert_string_equal(info.explanation, "");
        }
    }
    struct np_ari_info info;
    assert_int_equal(np_ari_parse("{}", 2, &info), NP_E_MISSING);
    assert_int_equal(np_ari_parse("{\"suggestedWindow\":[]}", 22, &info), NP_E_TYPE);
    assert_int_equal(np_ari_parse("{\"suggestedWindow\":{\"start\":\"2025-01-02T04:00:00Z\"}}", 52, &info),
                     NP_E_MISSING);
}

/* ---- What becomes of it ---- */

/* Times in hours after T0; a certificate of 960 hours whose own point is somewhere in 620.8 to 659.2. */
static void test_plan(void **state)
{
    static const struct {
        const char *what;
        int64_t from, until; /* the window now */
        int64_t known;       /* its begin before; -1: none, else as long as now */
        int64_t now, attempts, early;
        int64_t due;         /* before */
        bool moved;          /* wanted */
        int64_t least, most; /* of the point wanted */
        int64_t due_wanted;  /* -1: the point; -2: as before; else that hour */
    } rows[] = {
        {"a usual window", 620, 640, -1, 5, 0, 0, 633, true, 620, 640, -1},
        {"the same one again", 620, 640, 620, 5, 0, 0, 633, false, 640, 640, -2},
        {"moved later", 700, 710, 620, 5, 0, 0, 633, true, 700, 710, -1},
        {"moved to sooner, not yet", 100, 110, 620, 50, 0, 0, 633, true, 100, 110, -1},
        {"moved into the past", 90, 99, 620, 100, 0, 0, 633, true, 90, 99, 100},
        {"long past", -500, -400, 620, 100, 0, 0, 633, true, 1, 1, 100},
        {"we are inside, our point is over or comes", 100, 101, 620, 101, 0, 0, 633, true, 100, 101, 101},
        {"too young for a window", -2, -1, -1, 0, 0, 0, 633, true, 1, 1, 1},
        {"the third renewal in a row that came early", -2, -1, -1, 0, 0, 2, 633, true, 4, 4, 4},
        {"the hundredth: only the own window counts", -2, -1, -1, 0, 0, 100, 633, true, 620, 660, -1},
        {"after the last quarter has begun", 900, 910, -1, 5, 0, 0, 633, true, 720, 720, 720},
        {"after the end of the certificate", 2000, 3000, -1, 5, 0, 0, 633, true, 720, 720, 720},
        {"in the past, an order was made", 90, 99, 620, 100, 1, 0, 633, true, 90, 99, -2},
        {"moved later, an order was made", 700, 710, 620, 100, 3, 0, 633, true, 700, 710, -2},
        {"of a parked device, in the past", 90, 99, 620, 100, 0, 0, 124, true, 90, 99, 100},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct np_ari_facts facts = {.device = "device-1",
                                     .not_before_s = T0 / 1000,
                                     .not_after_s = (T0 + 960 * HOUR) / 1000,
                                     .attempts = rows[i].attempts,
                                     .early = rows[i].early,
                                     .point_ms = T0 + 640 * HOUR,
                                     .due_ms = T0 + rows[i].due * HOUR};
        struct np_renewal_window window = {T0 + rows[i].from * HOUR, T0 + rows[i].until * HOUR};
        struct np_ari_plan plan;
        if (rows[i].known >= 0) {
            facts.known.from_ms = T0 + rows[i].known * HOUR;
            facts.known.until_ms = facts.known.from_ms + window.until_ms - window.from_ms;
        }
        np_ari_plan(&facts, &window, T0 + rows[i].now * HOUR, &plan);
        int64_t due_ms = rows[i].due_wanted == -1   ? plan.point_ms
                         : rows[i].due_wanted == -2 ? facts.due_ms
                                                    : T0 + rows[i].due_wanted * HOUR;
        if (plan.moved != rows[i].moved || plan.point_ms < T0 + rows[i].least * HOUR ||
            plan.point_ms > T0 + rows[i].most * HOUR || plan.due_ms != due_ms)
            fail_msg("%s: moved %d, point %.2f h, due %.2f h", rows[i].what, plan.moved,
                     (double)(plan.point_ms - T0) / HOUR, (double)(plan.due_ms - T0) / HOUR);
    }
}

/* A fleet's points spread over the window, and stay where they are. */
static void test_points_spread(void **state)
{
    int tenths[10] = {0};
    (void)state;
    for (int n = 0; n < 1000; n++) {
        char device[24];
        struct np_renewal_window window = {T0 + 600 * HOUR, T0 + 620 * HOUR};
        struct np_ari_facts facts = {
            .device = device, .not_before_s = T0 / 1000, .not_after_s = (T0 + 960 * HOUR) / 1000};
        struct np_ari_plan plan, again;
        snprintf(device, sizeof device, "device-%d", n);
        np_ari_plan(&facts, &window, T0, &plan);
        np_ari_plan(&facts, &window, T0 + DAY, &again);
        assert_int_equal(plan.point_ms, again.point_ms);
        tenths[(plan.point_ms - window.from_ms) * 10 / (20 * HOUR)]++;
    }
    for (int k = 0; k < 10; k++)
        assert_in_range(tenths[k], 60, 140);
}

/* A CA whose windows are in the past whatever is done: the renewals become rarer each time, until they come when they
 * would without it. */
static void test_a_ca_that_never_has_enough(void **state)
{
    int64_t now_ms = T0, early = 0;
    int renewals = 0;
    (void)state;
    for (; now_ms < T0 + 365 * DAY; renewals++) {
        struct np_ari_facts facts = {
            .device = "d", .not_before_s = now_ms / 1000, .not_after_s = (now_ms + 40 * DAY) / 1000, .early = early};
        struct np_renewal_window window = {now_ms - HOUR, now_ms - HOUR / 2};
        struct np_ari_plan plan;
        np_ari_plan(&facts, &window, now_ms, &plan);
        assert_true(plan.due_ms > now_ms);
        early = plan.due_ms - now_ms < 20 * DAY ? early + 1 : early > 0 ? early - 1 : 0;
        now_ms = plan.due_ms;
    }
    assert_in_range(renewals, 10, 40);
}

static void test_recalled(void **state)
{
    static const struct {
        int64_t from, until, now;
        bool recalled;
    } rows[] = {
        {0, 0, 500, false},     /* none known */
        {90, 99, 98, false},    /* not over */
        {90, 99, 99, true},     /* moved into the past */
        {90, 99, 700, true},    /* and still */
        {621, 640, 700, false}, /* an ordinary one that HQ was too late for */
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct np_renewal_window window = {T0 + rows[i].from * HOUR, T0 + rows[i].until * HOUR};
        if (rows[i].until == 0)
            window = (struct np_renewal_window){0, 0};
        assert_int_equal(np_renewal_is_recalled(&window, T0 / 1000, (T0 + 960 * HOUR) / 1000, T0 + rows[i].now * HOUR),
                         rows[i].recalled);
        struct np_renewal_facts facts = {.credential = NP_CREDENTIAL_FACTORY_SECRET,
                                         .order = NP_ORDER_DONE,
                                         .not_before_s = T0 / 1000,
                                         .not_after_s = (T0 + 960 * HOUR) / 1000,
                                         .window = window,
                                         .now_ms = T0 + rows[i].now * HOUR};
        struct np_renewal_action action;
        np_renewal_decide(&facts, &action);
        assert_int_equal(action.priority, rows[i].recalled ? NP_PRIORITY_URGENT : NP_PRIORITY_ROUTINE);
    }
}

/* ---- When to ask ---- */

static void test_pauses(void **state)
{
    static const struct {
        int64_t life_s, retry_after_ms, pause_ms;
    } rows[] = {
        {90 * 86400, 0, 6 * HOUR},
        {90 * 86400, 6 * HOUR, 6 * HOUR},
        {90 * 86400, 1000, 60000},
        {90 * 86400, 60000, 60000},
        {90 * 86400, 7 * DAY, DAY},
        {6 * 86400, 1000, 60000},
        {60, 100, 600},
        {60, 1000, 1000},
        {60, 0, 6 * HOUR},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_int_equal(np_ari_pause_ms(1000, 1000 + rows[i].life_s, rows[i].retry_after_ms), rows[i].pause_ms);
    int64_t last_ms = 0;
    for (int64_t failures = 1; failures < 50; failures++) {
        int64_t pause_ms = np_ari_retry_ms(1000, 1000 + 90 * 86400, failures, 0);
        assert_true(pause_ms >= last_ms && pause_ms >= 60000 && pause_ms <= 6 * HOUR);
        last_ms = pause_ms;
    }
    assert_int_equal(last_ms, 6 * HOUR);
    assert_int_equal(np_ari_retry_ms(1000, 1000 + 90 * 86400, 1, 1000), 60000);
    assert_int_equal(np_ari_retry_ms(1000, 1000 + 90 * 86400, 1, 2 * HOUR), 2 * HOUR);
    assert_int_equal(np_ari_retry_ms(1000, 1000 + 90 * 86400, 1, 3 * DAY), DAY);
}

/* First questions of a fleet that enrolled at once are spread over six hours; of short lives over a twentieth. */
static void test_first_question(void **state)
{
    int hours[6] = {0};
    (void)state;
    for (int n = 0; n < 1200; n++) {
        char device[24];
        snprintf(device, sizeof device, "device-%d", n);
        int64_t first_ms = np_ari_first_ms(T0 / 1000, T0 / 1000 + 45 * 86400, device) - T0;
        assert_in_range(first_ms, 0, 6 * HOUR - 1);
        hours[first_ms / HOUR]++;
        assert_in_range(np_ari_first_ms(T0 / 1000, T0 / 1000 + 60, device) - T0, 0, 2999);
    }
    for (int k = 0; k < 6; k++)
        assert_in_range(hours[k], 120, 280);
    assert_int_equal(np_ari_first_ms(5, 5, "d"), 5000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_answer),
        cmocka_unit_test(test_answers),
        cmocka_unit_test(test_plan),
        cmocka_unit_test(test_points_spread),
        cmocka_unit_test(test_a_ca_that_never_has_enough),
        cmocka_unit_test(test_recalled),
        cmocka_unit_test(test_pauses),
        cmocka_unit_test(test_first_question),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "resolver/blocked.h"
#include "tests/unit/resolver/dump.h"

static struct np_blocked blocked;
static const struct np_blocked_name *top[NP_BLOCKED_MAX];

static int clear(void **state)
{
    (void)state;
    memset(&blocked, 0, sizeof blocked);
    return 0;
}

static void add(const char *text, int64_t now_ms)
{
    struct np_name name = dump_name(text);
    struct np_addr addr;
    assert_int_equal(np_addr_parse("192.168.1.1", &addr), 0);
    np_blocked_add(&blocked, &name, NP_RR_A, &addr, now_ms);
}

static const char *name_at(size_t index)
{
    static char text[NP_NAME_TEXT_MAX];
    return np_name_format(&top[index]->name, text);
}

static void test_counts(void **state)
{
    (void)state;
    struct np_addr v6;
    struct np_name name = dump_name("Evil.EXAMPLE");
    assert_int_equal(np_blocked_top(&blocked, top, 64), 0);
    add("evil.example", 10);
    add("worse.example", 20);
    add("worse.example", 30);
    assert_int_equal(np_addr_parse("fd00::1", &v6), 0);
    np_blocked_add(&blocked, &name, NP_RR_AAAA, &v6, 40);
    add("rare.example", 50);
    assert_int_equal(np_blocked_top(&blocked, top, 64), 3);
    assert_string_equal(name_at(0), "evil.example"); /* as often as the next, but later */
    assert_int_equal(top[0]->count, 2);
    assert_int_equal(top[0]->qtype, NP_RR_AAAA);
    assert_true(np_addr_equal(&top[0]->addr, &v6));
    assert_int_equal(top[0]->last_ms, 40);
    assert_string_equal(name_at(1), "worse.example");
    assert_string_equal(name_at(2), "rare.example");
    assert_int_equal(np_blocked_top(&blocked, top, 1), 1);
    assert_string_equal(name_at(0), "evil.example");
    assert_int_equal(np_blocked_top(&blocked, top, 0), 0);
}

/* Noise of names that are asked once each, as an attacker makes it, cannot push a frequent one out. */
static void test_noise(void **state)
{
    (void)state;
    char text[64];
    uint64_t total = 0;
    for (int i = 0; i < 20000; i++) {
        snprintf(text, sizeof text, "x%d.noise.example", i);
        add(text, i);
        total++;
        if (i % 20 == 0) {
            add("frequent.example", i);
            total++;
        }
    }
    assert_int_equal(np_blocked_top(&blocked, top, 64), NP_BLOCKED_MAX);
    assert_string_equal(name_at(0), "frequent.example");
    assert_in_range(top[0]->count, 1000, 1000 + total / NP_BLOCKED_MAX);
    assert_in_range(top[0]->count - top[0]->error, 1, 1000);
    uint64_t sum = 0;
    for (size_t i = 0; i < NP_BLOCKED_MAX; i++) {
        sum += top[i]->count;
        assert_true(i == 0 || top[i - 1]->count >= top[i]->count);
        assert_true(top[i]->error < top[i]->count);
    }
    assert_int_equal(sum, total);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_counts, clear),
        cmocka_unit_test_setup(test_noise, clear),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "resolver/base/random.h"

static void test_bytes_differ(void **state)
{
    uint8_t a[64] = {0}, b[64] = {0};
    (void)state;
    np_random_bytes(a, sizeof a);
    np_random_bytes(b, sizeof b);
    assert_memory_not_equal(a, b, sizeof a);
    np_random_bytes(a, 0);
    assert_true(np_random_ready());
}

/* Every value comes, none past the bound, and none much too often (binomial: 6 sigma of 9000/9). */
static void test_below(void **state)
{
    unsigned seen[9] = {0};
    (void)state;
    for (int i = 0; i < 9000; i++) {
        uint32_t value = np_random_below(9);
        assert_in_range(value, 0, 8);
        seen[value]++;
    }
    for (size_t i = 0; i < 9; i++)
        assert_in_range(seen[i], 1000 - 180, 1000 + 180);
    assert_int_equal(np_random_below(0), 0);
    assert_int_equal(np_random_below(1), 0);
    for (int i = 0; i < 100; i++)
        assert_true(np_random_below(0x80000001u) <= 0x80000000u);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_bytes_differ), cmocka_unit_test(test_below)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "resolver/base/error.h"

static void test_own_codes(void **state)
{
    static const int codes[] = {
#define CODE(name, number, text) name,
        NP_ERR_MAP(CODE)
#undef CODE
    };
    (void)state;
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++) {
        assert_int_equal(codes[i], -1001 - (int)i); /* no gaps, no doubles: numbers appear in logs for years */
        assert_string_not_equal(np_strerror(codes[i]), "unknown error");
        assert_memory_equal(np_err_name(codes[i]), "NP_E_", 5);
        assert_int_not_equal(np_strerror(codes[i])[strlen(np_strerror(codes[i])) - 1], '.');
    }
    assert_string_equal(np_strerror(NP_E_LIMIT), "over a limit");
    assert_string_equal(np_err_name(NP_E_LIMIT), "NP_E_LIMIT");
}

static void test_errno_passes_through(void **state)
{
    (void)state;
    assert_string_equal(np_strerror(0), "success");
    assert_string_equal(np_strerror(-ENOENT), "No such file or directory");
    assert_string_equal(np_err_name(-ENOENT), "ENOENT");
    assert_string_equal(np_strerror(-ETIMEDOUT), strerror(ETIMEDOUT));
    assert_string_equal(np_err_name(-ECONNREFUSED), "ECONNREFUSED");
    assert_string_equal(np_err_name(-EDQUOT), "EDQUOT"); /* 1133 on MIPS, past where our own codes begin */
}

static void test_never_null(void **state)
{
    static const int odd[] = {1, 2, 4711, INT32_MAX, INT32_MIN, -999, -1000, -4095, -4096, -5000, -2000, -600};
    (void)state;
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) {
        assert_string_equal(np_strerror(odd[i]), "unknown error");
        assert_string_equal(np_err_name(odd[i]), "unknown");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_own_codes), cmocka_unit_test(test_errno_passes_through),
                                       cmocka_unit_test(test_never_null)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* A request's body: kept up to its room, and counted beyond it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "hq/body.h"

static void test_room(void **state)
{
    struct np_body *body = np_body_new(4);
    (void)state;
    assert_non_null(body);
    assert_true(np_body_add(body, "ab", 2, 3));
    assert_true(np_body_add(body, "", 0, 3));
    assert_true(np_body_add(body, "cd", 2, 3));
    assert_int_equal(body->len, 4);
    assert_int_equal(body->discarded, 0);
    assert_memory_equal(body->data, "abcd", 4);
    assert_true(np_body_add(body, "efg", 3, 3)); /* too large, and read to its end */
    assert_false(np_body_add(body, "h", 1, 3));  /* a flood */
    assert_int_equal(body->len, 4);
    assert_int_equal(body->discarded, 4);
    np_body_free(body);
    np_body_free(NULL);
    body = np_body_new(4);
    assert_true(np_body_add(body, "abcdef", 6, 2)); /* over the edge in one piece */
    assert_int_equal(body->len, 4);
    assert_int_equal(body->discarded, 2);
    np_body_free(body);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_room)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

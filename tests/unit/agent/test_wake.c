/* agent/network/wake: setting the clock (to the time that it has) is told, each time; nothing else is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include <cmocka.h>

#include "agent/network/wake.h"

static void on_woken(void *ctx)
{
    unsigned *count = ctx;
    (*count)++;
}

static bool set_clock(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return clock_settime(CLOCK_REALTIME, &now) == 0;
}

static void tells_each_time(void **state)
{
    uv_loop_t loop;
    struct np_wake *wake;
    unsigned woken = 0;
    (void)state;
    assert_int_equal(uv_loop_init(&loop), 0);
    assert_int_equal(np_wake_new(&loop, on_woken, &woken, &wake), 0);
    uv_run(&loop, UV_RUN_NOWAIT);
    bool may = false;
    if (woken == 0 && set_clock()) {
        may = true;
        uv_run(&loop, UV_RUN_ONCE);
        assert_true(woken >= 1);
        unsigned before = woken;
        assert_true(set_clock());
        uv_run(&loop, UV_RUN_ONCE);
        assert_true(woken > before);
    }
    np_wake_close(wake);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&loop), 0);
    if (!may)
        skip(); /* only who may set the clock can show it */
}

static void nothing_to_close(void **state)
{
    (void)state;
    np_wake_close(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(tells_each_time), cmocka_unit_test(nothing_to_close)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

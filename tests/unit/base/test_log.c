/* Lines are read back from a pipe that takes standard error's place. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "resolver/base/error.h"
#include "resolver/base/log.h"

static int pipe_fds[2], kept_stderr;

static int redirect(void **state)
{
    (void)state;
    unsetenv("JOURNAL_STREAM");
    unsetenv("NP_LOG_PRIORITY");
    kept_stderr = dup(STDERR_FILENO);
    return pipe2(pipe_fds, O_NONBLOCK) || dup2(pipe_fds[1], STDERR_FILENO) < 0;
}

static int restore(void **state)
{
    (void)state;
    dup2(kept_stderr, STDERR_FILENO);
    close(kept_stderr);
    close(pipe_fds[0]);
    close(pipe_fds[1]);
    return 0;
}

static const char *written(void)
{
    static char text[16384];
    ssize_t n = read(pipe_fds[0], text, sizeof text - 1);
    text[n > 0 ? n : 0] = 0;
    return text;
}

static void test_line(void **state)
{
    (void)state;
    np_log_init("nameplate[agent]", NP_LOG_INFO);
    errno = EXDEV;
    np_info("hello %d", 7);
    assert_int_equal(errno, EXDEV);
    assert_string_equal(written(), "nameplate[agent]: hello 7\n");
}

static void test_levels(void **state)
{
    static const struct {
        const char *word;
        enum np_log_level level;
    } rows[] = {{"error", NP_LOG_ERROR},
                {"warning", NP_LOG_WARNING},
                {"notice", NP_LOG_NOTICE},
                {"info", NP_LOG_INFO},
                {"debug", NP_LOG_DEBUG}};
    enum np_log_level level = NP_LOG_DEBUG;
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_int_equal(np_log_level_parse(rows[i].word, &level), 0);
        assert_int_equal(level, rows[i].level);
        np_log_init("x", level);
        for (int shown = NP_LOG_ERROR; shown <= NP_LOG_DEBUG; shown++) {
            np_log((enum np_log_level)shown, "m");
            assert_string_equal(written(), shown <= (int)level ? "x: m\n" : "");
        }
    }
    assert_int_equal(np_log_level_parse("Info", &level), NP_E_UNKNOWN);
    assert_int_equal(np_log_level_parse("", &level), NP_E_UNKNOWN);
    assert_int_equal(level, NP_LOG_DEBUG); /* outputs are written on success only */
}

static void test_priority(void **state)
{
    (void)state;
    setenv("JOURNAL_STREAM", "8:1", 1);
    np_log_init("x", NP_LOG_INFO);
    np_warning("m");
    assert_string_equal(written(), "<4>x: m\n");
    unsetenv("JOURNAL_STREAM");
    setenv("NP_LOG_PRIORITY", "1", 1);
    np_log_init("x", NP_LOG_INFO);
    np_error("m");
    assert_string_equal(written(), "<3>x: m\n");
    unsetenv("NP_LOG_PRIORITY");
}

/* What came from the network can neither begin a line of its own nor move the cursor. */
static void test_nothing_is_forged(void **state)
{
    (void)state;
    np_log_init("x", NP_LOG_INFO);
    np_info("name %s", "a\n<0>x: forged\r\x1b[2J\x7f\xc3\xa4\tz");
    assert_string_equal(written(), "x: name a\\x0a<0>x: forged\\x0d\\x1b[2J\\x7f\\xc3\\xa4\\x09z\n");
}

static void test_long_line_is_cut(void **state)
{
    static char text[5000];
    (void)state;
    np_log_init("x", NP_LOG_INFO);
    memset(text, 'a', sizeof text - 1);
    np_info("%s", text);
    size_t len = strlen(written());
    assert_int_equal(len, 3 + NP_LOG_LINE_MAX - 1 + 1);
    memset(text, '\n', sizeof text - 1); /* each character becomes four */
    np_info("%s", text);
    assert_int_equal(strlen(written()), 3 + 4 * (NP_LOG_LINE_MAX - 1) + 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_line, redirect, restore),
        cmocka_unit_test_setup_teardown(test_levels, redirect, restore),
        cmocka_unit_test_setup_teardown(test_priority, redirect, restore),
        cmocka_unit_test_setup_teardown(test_nothing_is_forged, redirect, restore),
        cmocka_unit_test_setup_teardown(test_long_line_is_cut, redirect, restore),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

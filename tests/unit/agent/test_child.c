/* Children of the test program itself: with a verb of VERBS as argv[1] it is one of them. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "agent/child/child.h"
#include "resolver/base/error.h"

#define VIEW NP_FRAME('V', 'I', 'E', 'W')
#define LSTN NP_FRAME('L', 'S', 'T', 'N')
#define REDY NP_FRAME('R', 'E', 'D', 'Y')
#define REPLY NP_FRAME('R', 'P', 'L', 'Y')

extern char **environ;

/* The child's side */

static void child_wait(int fd)
{
    struct pollfd ready = {.fd = fd, .events = POLLIN};
    poll(&ready, 1, -1);
}

static void child_reply(uint32_t type, const void *payload, size_t len)
{
    while (np_channel_send(NP_CHANNEL_FD, type, payload, len, NULL, 0) == -EAGAIN)
        poll(&(struct pollfd){.fd = NP_CHANNEL_FD, .events = POLLOUT}, 1, -1);
}

/* Answers VIEW with REDY once, everything with REPLY and the first 16 bytes; writes a byte to passed descriptors. */
static int child_echo(bool gated)
{
    static uint8_t buffer[NP_CHANNEL_FRAME_MAX + 4];
    bool ready = false;
    for (;;) {
        struct np_frame frame;
        child_wait(NP_CHANNEL_FD);
        int rc = np_channel_receive(NP_CHANNEL_FD, buffer, sizeof buffer, &frame);
        if (rc == -EAGAIN)
            continue;
        if (rc)
            return rc == NP_E_CLOSED ? 0 : 9;
        for (size_t i = 0; i < frame.fd_count && !gated; i++) {
            if (write(frame.fds[i], "x", 1) != 1)
                return 8;
        }
        if (gated && frame.fd_count) /* reads nothing more until the parent closes its end of the gate */
            child_wait(frame.fds[0]);
        np_frame_close_fds(&frame);
        if (frame.type == VIEW && !ready)
            child_reply(REDY, NULL, 0);
        ready |= frame.type == VIEW;
        child_reply(REPLY, frame.payload, frame.len < 16 ? frame.len : 16);
    }
}

/* Tells what it was born with: one REPLY of text. */
static int child_report(int argc, char **argv)
{
    char text[4096];
    int n =
        snprintf(text, sizeof text, "argc=%d argv0=%s nnp=%d", argc, argv[0], prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0));
    for (int fd = 0; fd < 256; fd++) {
        if (fcntl(fd, F_GETFD) >= 0)
            n += snprintf(text + n, sizeof text - (size_t)n, " fd%d", fd);
    }
    for (char **variable = environ; *variable; variable++)
        n += snprintf(text + n, sizeof text - (size_t)n, " env:%s", *variable);
    FILE *status = fopen("/proc/self/status", "r");
    char line[256];
    while (status && fgets(line, sizeof line, status)) {
        if (strncmp(line, "CapEff:", 7) == 0 || strncmp(line, "CapPrm:", 7) == 0)
            n += snprintf(text + n, sizeof text - (size_t)n, " %.6s=%s", line, line + 8);
    }
    child_reply(REPLY, text, strlen(text));
    child_wait(NP_CHANNEL_FD);
    return 0;
}

static int child_main(int argc, char **argv)
{
    if (strcmp(argv[1], "child-echo") == 0)
        return child_echo(false);
    if (strcmp(argv[1], "child-gated") == 0)
        return child_echo(true);
    if (strcmp(argv[1], "child-report") == 0)
        return child_report(argc, argv);
    if (strcmp(argv[1], "child-crash") == 0)
        return 3;
    if (strcmp(argv[1], "child-stubborn") == 0) {
        child_reply(REDY, NULL, 0);
        for (;;)
            pause();
    }
    return 99;
}

/* The parent's side */

struct fixture {
    uv_loop_t loop;
    struct np_child *child;
    unsigned feeds, deaths, echoes, done;
    int last_death;
    char last_echo[4096];
    bool close_in_frame;
    uv_timer_t guard;
};

static void on_done(void *ctx)
{
    ((struct fixture *)ctx)->done++;
}

static void on_feed(void *ctx, struct np_child *child)
{
    struct fixture *f = ctx;
    f->feeds++;
    assert_int_equal(np_child_send(child, VIEW, "view", 4, NULL, 0), 0);
}

static void on_feed_nothing(void *ctx, struct np_child *child)
{
    (void)child;
    ((struct fixture *)ctx)->feeds++;
}

static void on_frame(void *ctx, struct np_child *child, struct np_frame *frame)
{
    struct fixture *f = ctx;
    if (frame->type != REPLY)
        return;
    f->echoes++;
    size_t len = frame->len < sizeof f->last_echo - 1 ? frame->len : sizeof f->last_echo - 1;
    if (len)
        memcpy(f->last_echo, frame->payload, len);
    f->last_echo[len] = 0;
    if (f->close_in_frame)
        np_child_close(child, on_done, f);
}

static void on_died(void *ctx, struct np_child *child, int status)
{
    struct fixture *f = ctx;
    (void)child;
    f->deaths++;
    f->last_death = status;
}

static void on_guard(uv_timer_t *timer)
{
    (void)timer;
    fail_msg("nothing happened in 10 s");
}

static void begin(struct fixture *f, const char *verb, struct np_child_options options)
{
    memset(f, 0, sizeof *f);
    uv_loop_init(&f->loop);
    uv_timer_init(&f->loop, &f->guard);
    uv_timer_start(&f->guard, on_guard, 10000, 0);
    options.verb = verb;
    options.ctx = f;
    if (!options.events.feed)
        options.events.feed = on_feed;
    options.events.frame = on_frame;
    options.events.died = on_died;
    options.restart_first_ms = 4;
    options.restart_cap_ms = 20;
    assert_int_equal(np_child_new(&f->loop, &options, &f->child), 0);
}

static void run_until(struct fixture *f, const unsigned *counter, unsigned at_least)
{
    while (*counter < at_least)
        uv_run(&f->loop, UV_RUN_ONCE);
}

static void end(struct fixture *f)
{
    if (!f->done && !f->close_in_frame)
        np_child_close(f->child, on_done, f);
    run_until(f, &f->done, 1);
    uv_close((uv_handle_t *)&f->guard, NULL);
    uv_run(&f->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&f->loop), 0);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* nothing is left behind */
}

static void test_feed_and_echo(void **state)
{
    struct fixture f;
    int pipe_fds[2];
    char byte = 0;
    (void)state;
    begin(&f, "child-echo", (struct np_child_options){0});
    assert_int_equal(np_child_send(f.child, VIEW, "x", 1, NULL, 0), NP_E_CLOSED);
    assert_int_equal(np_child_start(f.child), 0);
    assert_int_equal(np_child_start(f.child), 0); /* does nothing */
    assert_int_equal(f.feeds, 1);
    assert_false(np_child_status(f.child).ready);
    run_until(&f, &f.echoes, 1);
    assert_string_equal(f.last_echo, "view");
    assert_true(np_child_status(f.child).ready);
    assert_int_equal(np_child_status(f.child).restarts, 0);
    assert_int_equal(pipe(pipe_fds), 0);
    assert_int_equal(np_child_send(f.child, LSTN, "listen", 6, &pipe_fds[1], 1), 0);
    run_until(&f, &f.echoes, 2);
    assert_string_equal(f.last_echo, "listen");
    assert_int_equal(read(pipe_fds[0], &byte, 1), 1);
    assert_int_equal(byte, 'x');
    close(pipe_fds[0]);
    close(pipe_fds[1]);
    static uint8_t large[NP_CHANNEL_FRAME_MAX + 1];
    assert_int_equal(np_child_send(f.child, LSTN, large, sizeof large, NULL, 0), NP_E_LIMIT);
    assert_int_equal(np_child_send(f.child, LSTN, large, NP_CHANNEL_FRAME_MAX, NULL, 0), 0);
    run_until(&f, &f.echoes, 3);
    pid_t pid = np_child_status(f.child).pid;
    end(&f);
    assert_int_equal(f.deaths, 0); /* a wanted end is no death */
    assert_int_equal(kill(pid, 0), -1);
}

static void test_born_with_nothing(void **state)
{
    struct fixture f;
    (void)state;
    setenv("SECRET", "do-not-pass", 1);
    int leak = open("/dev/null", O_RDONLY); /* not close-on-exec: must be closed all the same */
    begin(&f, "child-report", (struct np_child_options){.log_level = "debug", .events.feed = on_feed_nothing});
    assert_int_equal(np_child_start(f.child), 0);
    run_until(&f, &f.echoes, 1);
    assert_non_null(strstr(f.last_echo, "argc=2 argv0=nameplate nnp=1 fd0 fd1 fd2 fd3 env:"));
    assert_null(strstr(f.last_echo, "SECRET"));
    assert_non_null(strstr(f.last_echo, "env:NP_LOG_LEVEL=debug"));
    assert_non_null(strstr(f.last_echo, "CapPrm=0000000000000000"));
    assert_non_null(strstr(f.last_echo, "CapEff=0000000000000000"));
    close(leak);
    end(&f);
}

static void test_crash_restarts(void **state)
{
    struct fixture f;
    (void)state;
    begin(&f, "child-crash", (struct np_child_options){.events.feed = on_feed_nothing});
    assert_int_equal(np_child_start(f.child), 0);
    run_until(&f, &f.deaths, 4);
    assert_int_equal(f.feeds, 4);
    assert_true(WIFEXITED(f.last_death));
    assert_int_equal(WEXITSTATUS(f.last_death), 3);
    assert_int_equal(np_child_status(f.child).restarts, 3);
    assert_int_equal(np_child_status(f.child).pid, 0);
    assert_int_equal(np_child_status(f.child).last_status, f.last_death);
    end(&f);
}

static void test_killed_comes_back(void **state)
{
    struct fixture f;
    (void)state;
    begin(&f, "child-echo", (struct np_child_options){0});
    assert_int_equal(np_child_start(f.child), 0);
    run_until(&f, &f.echoes, 1);
    pid_t first = np_child_status(f.child).pid;
    kill(first, SIGKILL);
    run_until(&f, &f.echoes, 2);
    assert_int_equal(f.deaths, 1);
    assert_true(WIFSIGNALED(f.last_death));
    assert_int_equal(f.feeds, 2); /* everything was sent anew */
    assert_int_not_equal(np_child_status(f.child).pid, first);
    assert_true(np_child_status(f.child).ready);
    end(&f);
}

static void test_no_such_program(void **state)
{
    struct fixture f;
    (void)state;
    begin(&f, "child-echo", (struct np_child_options){.program = "/nonexistent", .events.feed = on_feed_nothing});
    assert_int_equal(np_child_start(f.child), 0);
    run_until(&f, &f.deaths, 2);
    assert_int_equal(WEXITSTATUS(f.last_death), 127);
    end(&f);
}

/* A slow peer: of many queued views only the newest arrives; listeners all do, in order. */
static void test_slow_peer(void **state)
{
    struct fixture f;
    static uint8_t view[60000];
    int gate[2];
    (void)state;
    begin(&f, "child-gated", (struct np_child_options){.events.feed = on_feed_nothing});
    assert_int_equal(np_child_start(f.child), 0);
    assert_int_equal(pipe(gate), 0);
    assert_int_equal(np_child_send(f.child, LSTN, "gate", 4, &gate[0], 1), 0);
    close(gate[0]);
    for (int i = 0; i < 200; i++) {
        memset(view, 0, sizeof view);
        snprintf((char *)view, sizeof view, "view %d", i);
        assert_int_equal(np_child_send(f.child, VIEW, view, sizeof view, NULL, 0), 0);
        if (i == 100)
            assert_int_equal(np_child_send(f.child, LSTN, "second", 6, NULL, 0), 0);
    }
    close(gate[1]);
    while (strcmp(f.last_echo, "view 199") != 0)
        uv_run(&f.loop, UV_RUN_ONCE);
    assert_true(f.echoes < 20); /* what the socket held, the second LSTN, the last view */
    assert_int_equal(f.deaths, 0);
    end(&f);
}

/* A peer that never reads is killed when the queue is full, and started anew. */
static void test_hung_peer(void **state)
{
    struct fixture f;
    static uint8_t payload[60000];
    (void)state;
    begin(&f, "child-stubborn", (struct np_child_options){.events.feed = on_feed_nothing});
    assert_int_equal(np_child_start(f.child), 0);
    int rc = 0, sent = 0;
    for (; rc == 0 && sent < 1000; sent++)
        rc = np_child_send(f.child, LSTN, payload, sizeof payload, NULL, 0);
    assert_int_equal(rc, NP_E_CLOSED);
    assert_true(sent > 10 && sent < 100);
    run_until(&f, &f.feeds, 2);
    assert_int_equal(f.deaths, 1);
    assert_true(WIFSIGNALED(f.last_death));
    np_child_close(f.child, on_done, &f);
    kill(np_child_status(f.child).pid, SIGKILL); /* it would not end by itself */
    f.close_in_frame = true;
    end(&f);
}

static void test_close_kills_the_stubborn(void **state)
{
    struct fixture f;
    (void)state;
    begin(&f, "child-stubborn", (struct np_child_options){.events.feed = on_feed_nothing, .stop_ms = 30});
    assert_int_equal(np_child_start(f.child), 0);
    while (!np_child_status(f.child).ready)
        uv_run(&f.loop, UV_RUN_ONCE);
    end(&f);
}

static void test_close_in_callback(void **state)
{
    struct fixture f;
    (void)state;
    begin(&f, "child-echo", (struct np_child_options){0});
    f.close_in_frame = true;
    assert_int_equal(np_child_start(f.child), 0);
    end(&f);
    assert_int_equal(f.echoes, 1);
}

static void test_close_without_start(void **state)
{
    struct fixture f;
    (void)state;
    begin(&f, "child-echo", (struct np_child_options){0});
    end(&f);
    np_child_close(NULL, on_done, &f);
    assert_int_equal(f.done, 2);
}

int main(int argc, char **argv)
{
    if (argc > 1 && strncmp(argv[1], "child-", 6) == 0)
        return child_main(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_feed_and_echo),     cmocka_unit_test(test_born_with_nothing),
        cmocka_unit_test(test_crash_restarts),    cmocka_unit_test(test_killed_comes_back),
        cmocka_unit_test(test_no_such_program),   cmocka_unit_test(test_slow_peer),
        cmocka_unit_test(test_hung_peer),         cmocka_unit_test(test_close_kills_the_stubborn),
        cmocka_unit_test(test_close_in_callback), cmocka_unit_test(test_close_without_start),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

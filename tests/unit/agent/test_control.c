/* The control socket: answers now and later, to clients that stay and clients that leave. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "agent/control.h"

#define TURNS 50 /* of the loop: enough for accept, read, write and close, one after the other */

static uv_loop_t loop;
static struct np_control *control;
static char path[64];
static uint64_t tickets[NP_CONTROL_CLIENTS_MAX];
static char requests[NP_CONTROL_CLIENTS_MAX][NP_CONTROL_REQUEST_MAX + 1];
static size_t count;

/* Keeps the ticket; "now" is answered at once. */
static void on_request(void *ctx, uint64_t ticket, const char *request, bool owner)
{
    (void)ctx;
    assert_true(owner);
    assert_true(count < NP_CONTROL_CLIENTS_MAX);
    tickets[count] = ticket;
    snprintf(requests[count++], sizeof requests[0], "%s", request);
    if (strcmp(request, "now") == 0)
        np_control_answer_take(control, ticket, strdup("at once\n"));
}

static void turn(void)
{
    for (int i = 0; i < TURNS; i++)
        uv_run(&loop, UV_RUN_NOWAIT);
}

static int setup(void **state)
{
    (void)state;
    count = 0;
    snprintf(path, sizeof path, "/tmp/np-control-%d", (int)getpid());
    assert_int_equal(uv_loop_init(&loop), 0);
    assert_int_equal(np_control_new(&loop, path, on_request, NULL, &control), 0);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    np_control_close(control);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&loop), 0);
    assert_int_equal(access(path, F_OK), -1);
    return 0;
}

static int ask(const char *request)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    memcpy(address.sun_path, path, strlen(path) + 1);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(send(fd, request, strlen(request), MSG_NOSIGNAL), strlen(request));
    turn();
    return fd;
}

/* What has come; NULL: the connection was closed without a word. "" while it is open and silent. */
static const char *answer(int fd)
{
    static char text[256];
    turn();
    ssize_t n = recv(fd, text, sizeof text - 1, MSG_DONTWAIT);
    text[n > 0 ? n : 0] = 0;
    return n == 0 ? NULL : text;
}

static void test_now(void **state)
{
    (void)state;
    int fd = ask("now\n");
    assert_string_equal(answer(fd), "at once\n");
    assert_null(answer(fd));
    close(fd);
}

static void test_later(void **state)
{
    (void)state;
    int first = ask("first\n"), second = ask("sec");
    assert_int_equal(count, 1);
    assert_int_equal(send(second, "ond\n", 4, MSG_NOSIGNAL), 4);
    turn();
    assert_int_equal(count, 2);
    assert_string_equal(requests[1], "second");
    assert_string_equal(answer(first), "");
    np_control_answer_take(control, tickets[1], strdup("two"));
    np_control_answer_take(control, tickets[0], strdup("one"));
    assert_string_equal(answer(first), "one");
    assert_string_equal(answer(second), "two");
    /* Once is enough; a ticket of nobody is nobody's. */
    np_control_answer_take(control, tickets[0], strdup("again"));
    np_control_answer_take(control, 0, strdup("nobody"));
    np_control_answer_take(control, 4711, strdup("nobody"));
    assert_null(answer(first));
    close(first);
    close(second);
}

/* A client that has gone before its answer, and one that gets none for want of memory. */
static void test_gone(void **state)
{
    (void)state;
    int fd = ask("status\n");
    close(fd);
    turn();
    np_control_answer_take(control, tickets[0], strdup("late"));
    turn();
    fd = ask("status\n");
    np_control_answer_take(control, tickets[1], NULL);
    assert_null(answer(fd));
    close(fd);
}

/* One that waits when the agent ends: teardown finds every handle closed. */
static void test_waits_at_the_end(void **state)
{
    (void)state;
    int fd = ask("status\n");
    np_control_close(control);
    turn();
    assert_null(answer(fd));
    close(fd);
    assert_int_equal(uv_loop_close(&loop), 0);
    setup(state);
}

static void test_limits(void **state)
{
    (void)state;
    int fds[NP_CONTROL_CLIENTS_MAX];
    for (size_t i = 0; i < NP_CONTROL_CLIENTS_MAX; i++)
        fds[i] = ask("wait\n");
    int over = ask("one too many\n");
    assert_int_equal(count, NP_CONTROL_CLIENTS_MAX);
    char byte;
    assert_true(recv(over, &byte, 1, MSG_DONTWAIT) <= 0);
    close(over);
    for (size_t i = 0; i < NP_CONTROL_CLIENTS_MAX; i++) {
        np_control_answer_take(control, tickets[i], strdup("served"));
        assert_string_equal(answer(fds[i]), "served");
        close(fds[i]);
    }
    turn();
    /* A request that never ends its line is taken where its room ends. */
    char noise[NP_CONTROL_REQUEST_MAX + 64];
    memset(noise, 'x', sizeof noise);
    noise[sizeof noise - 1] = 0;
    count = 0;
    int fd = ask(noise);
    assert_int_equal(count, 1);
    assert_int_equal(strlen(requests[0]), NP_CONTROL_REQUEST_MAX);
    np_control_answer_take(control, tickets[0], strdup("what?"));
    assert_string_equal(answer(fd), "what?");
    close(fd);
}

int main(void)
{
    signal(SIGPIPE, SIG_IGN); /* as the agent does */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_now, setup, teardown),
        cmocka_unit_test_setup_teardown(test_later, setup, teardown),
        cmocka_unit_test_setup_teardown(test_gone, setup, teardown),
        cmocka_unit_test_setup_teardown(test_waits_at_the_end, setup, teardown),
        cmocka_unit_test_setup_teardown(test_limits, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

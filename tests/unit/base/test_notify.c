#include <setjmp.h>
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

#include "resolver/base/notify.h"

/* A manager's socket; an abstract one is named with '@'. */
static int manager(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    memcpy(address.sun_path, path, strlen(path));
    if (path[0] == '@')
        address.sun_path[0] = 0;
    else
        unlink(path);
    socklen_t len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path));
    assert_int_equal(bind(fd, (struct sockaddr *)&address, len), 0);
    setenv("NOTIFY_SOCKET", path, 1);
    return fd;
}

static void assert_told(int fd, const char *text)
{
    char heard[128] = "";
    assert_int_equal(recv(fd, heard, sizeof heard - 1, 0), (ssize_t)strlen(text));
    assert_string_equal(heard, text);
}

static void test_tells(void **state)
{
    (void)state;
    char path[64], abstract[64];
    snprintf(path, sizeof path, "/tmp/np-notify-%d", (int)getpid());
    snprintf(abstract, sizeof abstract, "@np-notify-%d", (int)getpid());
    int fd = manager(path);
    np_notify("READY=1");
    assert_told(fd, "READY=1");
    close(fd);
    unlink(path);
    np_notify("STOPPING=1"); /* it is gone: nothing happens but a line in the log */
    fd = manager(abstract);
    np_notify("STATUS=all is well");
    assert_told(fd, "STATUS=all is well");
    close(fd);
}

static void test_without_manager(void **state)
{
    (void)state;
    char path[200];
    unsetenv("NOTIFY_SOCKET");
    np_notify("READY=1");
    memset(path, 'a', sizeof path);
    path[0] = '/';
    path[sizeof path - 1] = '\0';
    setenv("NOTIFY_SOCKET", path, 1); /* longer than an address can be */
    np_notify("READY=1");
    unsetenv("NOTIFY_SOCKET");
}

static void test_watchdog(void **state)
{
    (void)state;
    char pid[16];
    snprintf(pid, sizeof pid, "%d", (int)getpid());
    unsetenv("WATCHDOG_PID");
    unsetenv("WATCHDOG_USEC");
    assert_int_equal(np_notify_watchdog_ms(), 0);
    setenv("WATCHDOG_USEC", "120000000", 1);
    assert_int_equal(np_notify_watchdog_ms(), 60000);
    setenv("WATCHDOG_PID", pid, 1);
    assert_int_equal(np_notify_watchdog_ms(), 60000);
    setenv("WATCHDOG_PID", "1", 1); /* meant for the process that started us */
    assert_int_equal(np_notify_watchdog_ms(), 0);
    unsetenv("WATCHDOG_PID");
    setenv("WATCHDOG_USEC", "soon", 1);
    assert_int_equal(np_notify_watchdog_ms(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tells),
        cmocka_unit_test(test_without_manager),
        cmocka_unit_test(test_watchdog),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* agent/cli/holder: who holds a port, by the kernel's tables. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "agent/cli/holder.h"

static struct np_endpoint at(const char *text)
{
    struct np_endpoint endpoint;
    assert_int_equal(np_endpoint_parse(text, 0, &endpoint), 0);
    return endpoint;
}

/* As a little-endian machine prints it. */
static void test_tables(void **state)
{
    static const char tcp[] =
        "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
        "   0: 0101A8C0:01BB 00000000:0000 01 00000000:00000000 00:00000000 00000000    33        0 1001 1 0\n"
        "   1: 0101A8C0:0050 00000000:0000 0A 00000000:00000000 00:00000000 00000000    33        0 1002 1 0\n"
        "   2: 00000000:0035 00000000:0000 0A 00000000:00000000 00:00000000 00000000   101        0 1003 1 0\n";
    static const char tcp6[] =
        "  sl  local_address                         remote_address                        st\n"
        "   0: 000042FD000000000000000001000000:01BB 00000000000000000000000000000000:0000 0A 00000000:00000000 "
        "00:00000000 00000000     0        0 2001 1 0\n"
        "   1: 00000000000000000000000000000000:0050 00000000000000000000000000000000:0000 0A 00000000:00000000 "
        "00:00000000 00000000     0        0 2002 1 0\n";
    static const struct {
        const char *table, *wanted;
        bool tcp;
        unsigned inode; /* 0: none */
    } rows[] = {
        {tcp, "192.168.1.1:80", true, 1002},
        {tcp, "192.168.1.1:443", true, 0}, /* only connected */
        {tcp, "192.168.1.1:443", false, 1001},
        {tcp, "192.168.1.9:53", true, 1003},
        {tcp, "192.168.1.1:81", true, 0},
        {tcp, "192.168.1.9:80", true, 0},
        {tcp, "[fd42::1]:53", true, 0},
        {tcp6, "192.168.1.9:80", true, 2002},
        {tcp6, "[fd42::9]:80", true, 2002},
        {"", "192.168.1.9:80", true, 0},
        {"garbage\n\n: :\n 1: x y z\n", "192.168.1.9:80", true, 0},
    };
    uint32_t order = 1;
    (void)state;
    if (*(char *)&order != 1)
        skip();
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct np_endpoint wanted = at(rows[i].wanted);
        uint64_t inode = 0;
        unsigned uid = 77777;
        bool found = np_holder_find(rows[i].table, rows[i].tcp, &wanted, &inode, &uid);
        if (found != (rows[i].inode != 0) || inode != rows[i].inode)
            fail_msg("row %zu: %u", i, (unsigned)inode);
        assert_true(found == (uid != 77777));
    }
}

/* This very process holds one. */
static void test_myself(void **state)
{
    struct np_endpoint local = at("127.0.0.1:1");
    struct sockaddr_storage sa;
    char text[64], mine[32];
    local.port = 0;
    socklen_t len = np_endpoint_to_sockaddr(&local, &sa);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    (void)state;
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&sa, len), 0);
    assert_int_equal(listen(fd, 1), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&sa, &len), 0);
    local = np_endpoint_from_sockaddr((struct sockaddr *)&sa);
    assert_true(np_holder_describe(getpid(), true, &local, text, sizeof text));
    snprintf(mine, sizeof mine, "(pid %d)", (int)getpid());
    assert_non_null(strstr(text, mine));
    close(fd);
    assert_false(np_holder_describe(getpid(), true, &local, text, sizeof text));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_tables), cmocka_unit_test(test_myself)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

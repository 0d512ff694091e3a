/* The door's deadlines and who has to make room, seen from a proxy's side: over a Unix socket, with limits of
 * milliseconds and an HTTP server that says what the test wants. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "hq/frontdoor.h"
#include "resolver/base/error.h"

#define BEHIND_MAX 200
#define DEADLINE_S 20

struct world {
    uv_loop_t loop;
    uv_timer_t tick; /* so that uv_run returns */
    struct np_door *door;
    char folder[32], path[64];
    int behind[BEHIND_MAX]; /* the HTTP server's ends */
    size_t behind_count;
    bool closed;
};

static int on_opened(void *ctx, int fd, const struct np_endpoint *client)
{
    struct world *world = ctx;
    assert_int_equal(client->addr.family, AF_UNSPEC);
    if (world->behind_count == BEHIND_MAX)
        return NP_E_LIMIT;
    world->behind[world->behind_count++] = fd;
    return 0;
}

static void on_tick(uv_timer_t *tick)
{
    (void)tick;
}

static void on_closed(void *ctx)
{
    ((struct world *)ctx)->closed = true;
}

static struct world *open_world(struct np_door_config config)
{
    struct world *world = calloc(1, sizeof *world);
    assert_non_null(world);
    uv_loop_init(&world->loop);
    uv_timer_init(&world->loop, &world->tick);
    uv_timer_start(&world->tick, on_tick, 2, 2);
    snprintf(world->folder, sizeof world->folder, "/tmp/np-door-XXXXXX");
    assert_non_null(mkdtemp(world->folder));
    snprintf(world->path, sizeof world->path, "%s/http", world->folder);
    config.opened = on_opened;
    config.ctx = world;
    assert_int_equal(np_door_new(&world->loop, NULL, &config, &world->door), 0);
    assert_int_equal(np_door_listen_path(world->door, world->path, 0600, (uid_t)-1, (gid_t)-1), 0);
    return world;
}

static void close_world(struct world *world)
{
    np_door_close(world->door, on_closed, world);
    while (!world->closed)
        uv_run(&world->loop, UV_RUN_ONCE);
    uv_close((uv_handle_t *)&world->tick, NULL);
    uv_run(&world->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&world->loop), 0);
    for (size_t i = 0; i < world->behind_count; i++)
        close(world->behind[i]);
    unlink(world->path);
    rmdir(world->folder);
    free(world);
}

/* Lets the loop run until the condition holds. */
#define until(world, condition)                                                                                        \
    do {                                                                                                               \
        uint64_t end = uv_hrtime() + DEADLINE_S * UINT64_C(1000000000);                                                \
        while (!(condition)) {                                                                                         \
            if (uv_hrtime() > end)                                                                                     \
                fail_msg("not in time: %s", #condition);                                                               \
            uv_run(&(world)->loop, UV_RUN_ONCE);                                                                       \
        }                                                                                                              \
    } while (0)

static int client(struct world *world)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    uint64_t accepted = np_door_stats(world->door)->accepted;
    memcpy(address.sun_path, world->path, sizeof world->path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    until(world, np_door_stats(world->door)->accepted > accepted);
    return fd;
}

/* Has the other end been closed? What it sends before is appended to text. */
static bool ended(int fd, char *text, size_t size)
{
    char buffer[512];
    ssize_t n = read(fd, buffer, sizeof buffer);
    if (n > 0 && text) {
        size_t used = strlen(text);
        snprintf(text + used, size - used, "%.*s", (int)n, buffer);
    }
    return n == 0 || (n < 0 && errno == ECONNRESET);
}

static struct np_door_config limits(void)
{
    return (struct np_door_config){.connections_max = 3,
                                   .per_address_max = 1,
                                   .handshake_ms = 60000,
                                   .request_ms = 60000,
                                   .idle_ms = 60000,
                                   .displace_idle_ms = 60000,
                                   .displace_handshake_ms = 60000,
                                   .displace_asked_ms = 60000};
}

static void test_silence_ends(void **state)
{
    struct np_door_config config = limits();
    (void)state;
    config.idle_ms = 50;
    struct world *world = open_world(config);
    int fd = client(world);
    until(world, ended(fd, NULL, 0));
    assert_int_equal(np_door_stats(world->door)->timeouts, 1);
    assert_int_equal(np_door_stats(world->door)->open, 0);
    close(fd);
    close_world(world);
}

/* A byte now and then is no reason to wait for longer; but an answer is, for the next request. */
static void test_trickle_ends(void **state)
{
    struct np_door_config config = limits();
    (void)state;
    config.request_ms = 300;
    struct world *world = open_world(config);
    int fd = client(world);
    size_t sent = 0;
    uint64_t begun = uv_hrtime();
    until(world, (sent += write(fd, "x", 1) == 1, ended(fd, NULL, 0)));
    assert_in_range((uv_hrtime() - begun) / 1000000, 290, 10000);
    assert_true(sent > 3);
    close(fd);

    fd = client(world);
    for (int i = 0; i < 4; i++) { /* asks and is answered, for longer than one request may take */
        char got[8] = "";
        uint64_t asked = uv_hrtime();
        assert_int_equal(write(fd, "ask", 3), 3);
        until(world, uv_hrtime() - asked > 150000000);
        assert_int_equal(write(world->behind[1], "answer", 6), 6);
        until(world, (ended(fd, got, sizeof got), strcmp(got, "answer") == 0));
    }
    assert_int_equal(np_door_stats(world->door)->open, 1);
    close(fd);
    close_world(world);
}

static void test_oldest_makes_room(void **state)
{
    struct np_door_config config = limits();
    (void)state;
    config.displace_idle_ms = config.displace_asked_ms = 0;
    struct world *world = open_world(config);
    int fds[6], late;
    for (size_t i = 0; i < 3; i++)
        fds[i] = client(world);
    assert_int_equal(write(fds[0], "ask", 3), 3); /* the oldest is at work: the second has to go */
    char asked[8] = "";
    until(world, (ended(world->behind[0], asked, sizeof asked), strcmp(asked, "ask") == 0));
    late = client(world);
    until(world, ended(fds[1], NULL, 0));
    assert_int_equal(np_door_stats(world->door)->displaced, 1);
    assert_int_equal(np_door_stats(world->door)->open, 3);
    assert_false(ended(fds[0], NULL, 0) || ended(fds[2], NULL, 0) || ended(late, NULL, 0));
    assert_int_equal(write(fds[2], "ask", 3) + write(late, "ask", 3),
                     6); /* all are at work: the one that waits longest */
    for (size_t i = 2; i < 4; i++) {
        asked[0] = 0;
        until(world, (ended(world->behind[i], asked, sizeof asked), strcmp(asked, "ask") == 0));
    }
    close(client(world));
    until(world, ended(fds[0], NULL, 0));
    assert_false(ended(fds[2], NULL, 0) || ended(late, NULL, 0));
    for (size_t i = 3; i < 6; i++)
        fds[i] = client(world);
    for (size_t i = 0; i < 6; i++)
        close(fds[i]);
    close(late);
    close_world(world);
}

/* Nobody has waited for long: a proxy is told 503, also when it has asked already. */
static void test_refused(void **state)
{
    struct world *world = open_world(limits());
    char text[1024] = "";
    int fds[3];
    (void)state;
    for (size_t i = 0; i < 3; i++)
        fds[i] = client(world);
    int late = client(world);
    assert_int_equal(write(late, "GET / HTTP/1.1\r\n\r\n", 18), 18);
    until(world, ended(late, text, sizeof text));
    assert_non_null(strstr(text, "HTTP/1.1 503 "));
    assert_non_null(strstr(text, "\r\nRetry-After: 10\r\n"));
    assert_non_null(strstr(text, "urn:nameplate:problem:busy"));
    const char *length = strstr(text, "Content-Length: "), *body = strstr(text, "\r\n\r\n");
    assert_true(length && body);
    assert_int_equal(strtoul(length + 16, NULL, 10), strlen(body + 4));
    assert_int_equal(np_door_stats(world->door)->refused_total, 1);
    close(late);
    until(world, np_door_stats(world->door)->open == 3);
    close(fds[0]);
    until(world, ended(world->behind[0], NULL, 0)); /* the HTTP server sees the end, and closes */
    shutdown(world->behind[0], SHUT_RDWR);
    until(world, np_door_stats(world->door)->open == 2);
    close(client(world));
    assert_int_equal(np_door_stats(world->door)->refused_total, 1);
    close(fds[1]);
    close(fds[2]);
    close_world(world);
}

/* More than can be told anything are closed without a word: what is held stays bounded. */
static void test_refusals_are_bounded(void **state)
{
    struct world *world = open_world(limits());
    int fds[3 + NP_DOOR_REFUSALS_MAX + 20];
    (void)state;
    for (size_t i = 0; i < sizeof fds / sizeof *fds; i++) {
        fds[i] = client(world);
        assert_in_range(np_door_stats(world->door)->open, 1, 3);
        assert_in_range(np_door_stats(world->door)->refusing, 0, NP_DOOR_REFUSALS_MAX);
    }
    assert_int_equal(world->behind_count, 3);
    assert_int_equal(np_door_stats(world->door)->refusing, NP_DOOR_REFUSALS_MAX);
    until(world, ended(fds[sizeof fds / sizeof *fds - 1], NULL, 0)); /* the last, without a word */
    for (size_t i = 0; i < sizeof fds / sizeof *fds; i++)
        close(fds[i]);
    until(world, np_door_stats(world->door)->refusing == 0);
    close_world(world);
}

static void test_socket_file(void **state)
{
    struct world *world = open_world(limits());
    struct np_door *other;
    struct np_door_config config = limits();
    struct stat status;
    char file[80], path[200];
    (void)state;
    assert_int_equal(stat(world->path, &status), 0);
    assert_int_equal(status.st_mode & 07777, 0600);
    config.opened = on_opened;
    config.ctx = world;
    assert_int_equal(np_door_new(&world->loop, NULL, &config, &other), 0);
    assert_int_equal(np_door_listen_path(other, world->path, 0666, (uid_t)-1, (gid_t)-1), -EADDRINUSE); /* served */
    snprintf(file, sizeof file, "%s/file", world->folder);
    close(open(file, O_CREAT | O_WRONLY, 0600));
    assert_int_equal(np_door_listen_path(other, file, 0666, (uid_t)-1, (gid_t)-1), -EADDRINUSE);
    assert_int_equal(access(file, F_OK), 0); /* no socket: not ours to remove */
    unlink(file);
    /* Of one that was killed: the file is there, nobody listens. */
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    memcpy(address.sun_path, file, sizeof file);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    close(fd);
    assert_int_equal(np_door_listen_path(other, file, 0666, (uid_t)-1, (gid_t)-1), 0);
    assert_int_equal(stat(file, &status), 0);
    assert_int_equal(status.st_mode & 07777, 0666);
    unlink(file);
    memset(path, 'x', sizeof path);
    path[0] = '/';
    path[NP_DOOR_PATH_MAX + 1] = 0;
    assert_int_equal(np_door_listen_path(other, path, 0666, (uid_t)-1, (gid_t)-1), NP_E_LIMIT);
    assert_int_equal(np_door_local(other, 0).addr.family, AF_UNSPEC);
    world->closed = false;
    np_door_close(other, on_closed, world);
    until(world, world->closed);
    world->closed = false;
    close_world(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_silence_ends),         cmocka_unit_test(test_trickle_ends),
        cmocka_unit_test(test_oldest_makes_room),    cmocka_unit_test(test_refused),
        cmocka_unit_test(test_refusals_are_bounded), cmocka_unit_test(test_socket_file),
    };
    signal(SIGPIPE, SIG_IGN); /* a write to what has just been closed */
    return cmocka_run_group_tests(tests, NULL, NULL);
}

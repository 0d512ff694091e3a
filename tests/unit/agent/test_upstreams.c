#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <uv.h>

#include "agent/upstreams.h"

#define DEADLINE_MS 20000 /* for the kernel to tell; on a loaded machine */

struct world {
    uv_loop_t loop;
    uv_timer_t deadline;
    char folder[64], path[128], other[128];
    struct np_upstreams *upstreams;
    uint8_t wanted; /* last byte of the server's address; 0: no server */
    bool seen;
};

static uint8_t server_of(const struct world *world)
{
    struct np_endpoint servers[2];
    return np_upstreams_read(world->path, servers, 0, 2) == 1 ? servers[0].addr.bytes[3] : 0;
}

static void on_changed(void *ctx)
{
    struct world *world = ctx;
    world->seen = server_of(world) == world->wanted;
    if (world->seen)
        uv_stop(&world->loop);
}

static void on_deadline(uv_timer_t *timer)
{
    uv_stop(timer->loop);
}

/* Runs until the watch says that the file has that server. */
static void expect(struct world *world, uint8_t server, const char *what)
{
    world->wanted = server;
    world->seen = false;
    uv_timer_start(&world->deadline, on_deadline, DEADLINE_MS, 0);
    uv_run(&world->loop, UV_RUN_DEFAULT);
    if (!world->seen)
        fail_msg("%s: not seen", what);
}

static void write_file(const char *path, int server)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fprintf(file, "nameserver 192.0.2.%d\n", server);
    fclose(file);
}

static void replace_file(const char *path, int server)
{
    char temporary[160];
    snprintf(temporary, sizeof temporary, "%s.new", path);
    write_file(temporary, server);
    assert_int_equal(rename(temporary, path), 0);
}

static int world_begin(void **state)
{
    struct world *world = calloc(1, sizeof *world);
    if (!world)
        return -1;
    snprintf(world->folder, sizeof world->folder, "/tmp/nameplate-upstreams.XXXXXX");
    if (!mkdtemp(world->folder))
        return -1;
    snprintf(world->path, sizeof world->path, "%s/resolv.conf", world->folder);
    snprintf(world->other, sizeof world->other, "%s/run/resolv.conf", world->folder);
    uv_loop_init(&world->loop);
    uv_timer_init(&world->loop, &world->deadline);
    *state = world;
    return 0;
}

static int world_end(void **state)
{
    struct world *world = *state;
    char command[128];
    np_upstreams_close(world->upstreams);
    uv_close((uv_handle_t *)&world->deadline, NULL);
    uv_run(&world->loop, UV_RUN_DEFAULT);
    uv_loop_close(&world->loop);
    snprintf(command, sizeof command, "rm -rf %s", world->folder);
    int status = system(command);
    free(world);
    return status;
}

static void watch(struct world *world)
{
    assert_int_equal(np_upstreams_new(&world->loop, world->path, on_changed, world, &world->upstreams), 0);
}

static void test_written(void **state)
{
    struct world *world = *state;
    watch(world); /* before there is a file */
    write_file(world->path, 1);
    expect(world, 1, "a new file");
    write_file(world->path, 2);
    expect(world, 2, "written in place");
    replace_file(world->path, 3);
    expect(world, 3, "replaced");
    write_file(world->path, 4);
    expect(world, 4, "written in place after it was replaced");
    unlink(world->path);
    expect(world, 0, "removed");
    replace_file(world->path, 5);
    expect(world, 5, "there again");
}

/* /etc/resolv.conf -> /run/...: what happens is in another folder. */
static void test_link(void **state)
{
    struct world *world = *state;
    char run[80];
    snprintf(run, sizeof run, "%s/run", world->folder);
    assert_int_equal(mkdir(run, 0755), 0);
    assert_int_equal(symlink("run/resolv.conf", world->path), 0);
    watch(world); /* the link leads nowhere as yet */
    write_file(world->other, 1);
    expect(world, 1, "made where the link leads");
    write_file(world->other, 2);
    expect(world, 2, "written in place there");
    replace_file(world->other, 3);
    expect(world, 3, "replaced there");
    replace_file(world->other, 4);
    expect(world, 4, "replaced there again");
    unlink(world->path);
    write_file(world->path, 5);
    expect(world, 5, "a file in place of the link");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_written, world_begin, world_end),
        cmocka_unit_test_setup_teardown(test_link, world_begin, world_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Which connection gives its place to a newcomer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "agent/front/front_private.h"
#include "resolver/base/error.h"

static uv_loop_t loop;
static struct np_front *front;
static struct np_front_connection *made[4 * NP_FRONT_CONNECTIONS_MAX];
static size_t made_count;

static int setup(void **state)
{
    (void)state;
    made_count = 0;
    front = calloc(1, sizeof *front);
    if (!front || uv_loop_init(&loop))
        return -1;
    front->loop = &loop;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    for (size_t i = 0; i < made_count; i++)
        free(made[i]);
    free(front);
    return uv_loop_close(&loop);
}

enum doing { BUSY, ENDING, SILENT };

/* A connection as np_front_connection_open makes it, of nobody's socket. Returns its slot, or why there is none. */
static int come(const char *text, bool dot, enum doing doing)
{
    struct np_addr addr;
    assert_int_equal(np_addr_parse(text, &addr), 0);
    int slot = np_front_find_place(front, dot, &addr);
    if (slot < 0)
        return slot;
    assert_null(front->connections[slot]);
    assert_true(made_count < sizeof made / sizeof *made);
    struct np_front_connection *connection = calloc(1, sizeof *connection);
    assert_non_null(connection);
    connection->front = front;
    connection->slot = (size_t)slot;
    connection->kind = dot ? NP_LISTEN_DOT : NP_LISTEN_HTTPS;
    connection->client.remote.addr = addr;
    connection->mode = doing == SILENT ? NP_FRONT_HANDSHAKE : NP_FRONT_RELAY;
    connection->moved_ms = uv_now(&loop);
    connection->ending = doing == ENDING;
    connection->number = ++front->connection_number;
    front->connections[slot] = made[made_count++] = connection;
    front->connection_count++;
    return slot;
}

static size_t count_of(const char *text, bool network)
{
    struct np_addr addr;
    size_t count = 0;
    assert_int_equal(np_addr_parse(text, &addr), 0);
    for (size_t i = 0; i < NP_FRONT_CONNECTIONS_MAX; i++) {
        const struct np_front_connection *connection = front->connections[i];
        count += connection && (network ? np_addr_same_network(&connection->client.remote.addr, &addr)
                                        : np_addr_equal(&connection->client.remote.addr, &addr));
    }
    return count;
}

/* One host of two prefixes takes every place with connections that are busy or never end. */
static void fill(enum doing doing)
{
    char text[NP_ADDR_TEXT_MAX];
    for (int i = 0; i < NP_FRONT_CONNECTIONS_MAX; i++) {
        snprintf(text, sizeof text, "2001:db8:0:%d::%x", i % 2, 1 + i / 2 % 8);
        assert_true(come(text, false, doing) >= 0);
    }
    assert_int_equal(front->connection_count, NP_FRONT_CONNECTIONS_MAX);
}

static void one_host_keeps_nobody_out(void **state)
{
    (void)state;
    static const enum doing does[] = {BUSY, ENDING};
    for (size_t i = 0; i < sizeof does / sizeof *does; i++) {
        fill(does[i]);
        for (int k = 0; k < 8; k++) {
            assert_true(come("192.168.1.20", false, BUSY) >= 0);
            assert_true(come("2001:db8:0:7::20", k % 2 == 0, BUSY) >= 0);
        }
        assert_int_equal(count_of("192.168.1.20", false), 8);
        assert_int_equal(count_of("2001:db8:0:7::20", true), 8);
        /* It gets none back, and takes none from those with less. */
        assert_int_equal(come("2001:db8::1", false, BUSY), NP_E_LIMIT);
        assert_int_equal(front->connection_count, NP_FRONT_CONNECTIONS_MAX);
        teardown(NULL);
        setup(NULL);
    }
}

/* A neighbour in the prefix that is full gets its part of the prefix. */
static void one_host_of_many_addresses(void **state)
{
    (void)state;
    fill(BUSY);
    for (int i = 0; i < 6; i++)
        assert_true(come("2001:db8::20", false, BUSY) >= 0);
    assert_int_equal(count_of("2001:db8::20", false), 6);
    assert_int_equal(count_of("2001:db8::20", true), NP_FRONT_CONNECTIONS_MAX / 2);
    assert_int_equal(count_of("2001:db8:0:1::", true), NP_FRONT_CONNECTIONS_MAX / 2);
}

/* Places are shared alike; where all have as much, nobody is cut for anybody. */
static void shares_alike(void **state)
{
    (void)state;
    char text[NP_ADDR_TEXT_MAX];
    for (int i = 0; i < NP_FRONT_CONNECTIONS_MAX; i++) {
        snprintf(text, sizeof text, "10.0.0.%d", 1 + i % 8);
        assert_true(come(text, false, BUSY) >= 0);
    }
    int came = 0;
    while (come("10.0.1.1", false, BUSY) >= 0)
        came++;
    assert_int_equal(came, 28); /* 256 of nine: 28 each, and 4 over */
    for (int i = 1; i <= 8; i++) {
        snprintf(text, sizeof text, "10.0.0.%d", i);
        assert_in_range(count_of(text, false), 28, 29);
    }
}

/* Whoever has shown nothing goes before whoever is busy. */
static void silent_ones_first(void **state)
{
    (void)state;
    fill(BUSY);
    front->connections[100]->mode = NP_FRONT_HANDSHAKE;
    assert_int_equal(come("192.168.1.20", false, BUSY), 100);
}

/* The share of one address stays what it is, however busy. */
static void own_share(void **state)
{
    (void)state;
    int slot = -1;
    for (int i = 0; i < NP_FRONT_PER_CLIENT_MAX; i++)
        assert_true((slot = come("192.168.1.20", false, BUSY)) >= 0);
    assert_int_equal(come("192.168.1.20", false, BUSY), NP_E_LIMIT);
    for (int i = 0; i < NP_FRONT_DOT_PER_CLIENT; i++)
        assert_true(come("192.168.1.20", true, BUSY) >= 0);
    assert_int_equal(come("192.168.1.20", true, BUSY), NP_E_LIMIT);
    front->connections[slot]->mode = NP_FRONT_HANDSHAKE;
    assert_int_equal(come("192.168.1.20", false, BUSY), slot);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {TEST(one_host_keeps_nobody_out), TEST(one_host_of_many_addresses),
                                       TEST(shares_alike), TEST(silent_ones_first), TEST(own_share)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

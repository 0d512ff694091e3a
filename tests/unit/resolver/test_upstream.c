#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "resolver/upstream.h"

/* Random numbers that the test chooses. */
static uint32_t scripted(void *ctx, uint32_t bound)
{
    uint32_t *next = ctx;
    return *next % bound;
}

struct world {
    struct np_upstream servers[3];
    const struct np_upstream *group[3];
    struct np_attempt attempt;
    uint32_t random;
    size_t index;
    int64_t due;
};

static void world_init(struct world *world, int64_t now)
{
    memset(world, 0, sizeof *world);
    for (size_t i = 0; i < 3; i++)
        world->group[i] = &world->servers[i];
    world->attempt.start_ms = now;
    world->random = 1; /* never explores */
}

static enum np_attempt_step next(struct world *world, size_t count, int64_t now)
{
    enum np_attempt_step step = np_attempt_next(&world->attempt, world->group, count, now, scripted, &world->random,
                                                &world->index, &world->due);
    if (step == NP_ATTEMPT_SEND) {
        np_attempt_sent(&world->attempt, world->index);
        world->attempt.active++;
    }
    return step;
}

static void test_rto(void **state)
{
    (void)state;
    struct np_upstream server = {0};
    assert_int_equal(np_upstream_rto(&server), NP_UPSTREAM_RTO_FIRST_MS);
    for (int i = 0; i < 50; i++)
        np_upstream_answered(&server, 1000, 20);
    assert_int_equal(np_upstream_rto(&server), NP_UPSTREAM_RTO_MIN_MS);
    for (int i = 0; i < 50; i++)
        np_upstream_answered(&server, 1000, i % 2 ? 100 : 300);
    assert_in_range(np_upstream_rto(&server), 400, 800);
    for (int i = 0; i < 50; i++)
        np_upstream_answered(&server, 1000, 5000);
    assert_int_equal(np_upstream_rto(&server), NP_UPSTREAM_RTO_MAX_MS);
}

/* One server, silent: asked a few times with growing pauses, given up under 2 s. */
static void test_offline(void **state)
{
    (void)state;
    struct world world;
    int64_t now = 50000;
    int sent = 0;
    world_init(&world, now);
    for (;;) {
        enum np_attempt_step step = next(&world, 1, now);
        if (step == NP_ATTEMPT_GIVE_UP)
            break;
        assert_int_equal(step, NP_ATTEMPT_SEND);
        assert_true(world.due > now);
        sent++;
        np_upstream_failed(&world.servers[0], world.due, world.due - now);
        now = world.due;
    }
    assert_in_range(sent, 2, 4);
    assert_int_equal(now, 50000 + NP_ATTEMPT_OFFLINE_MS);
}

/* The same, but the server answers others meanwhile: it is alive, so it gets more time. */
static void test_slow(void **state)
{
    (void)state;
    struct world world;
    world_init(&world, 50000);
    assert_int_equal(next(&world, 1, 50000), NP_ATTEMPT_SEND);
    np_upstream_answered(&world.servers[0], 50500, 30);
    assert_int_equal(next(&world, 1, 50000 + NP_ATTEMPT_OFFLINE_MS), NP_ATTEMPT_SEND);
    assert_int_equal(np_attempt_deadline(&world.attempt, world.group, 1), 50000 + NP_ATTEMPT_DEADLINE_MS);
    assert_int_equal(next(&world, 1, 50000 + NP_ATTEMPT_DEADLINE_MS), NP_ATTEMPT_GIVE_UP);
    /* An answer from before the question came proves nothing. */
    world_init(&world, 60000);
    np_upstream_answered(&world.servers[0], 59999, 30);
    assert_int_equal(np_attempt_deadline(&world.attempt, world.group, 1), 60000 + NP_ATTEMPT_OFFLINE_MS);
}

static void test_choice(void **state)
{
    (void)state;
    struct world world;
    world_init(&world, 1000);
    np_upstream_answered(&world.servers[0], 900, 80);
    np_upstream_answered(&world.servers[1], 900, 20);
    np_upstream_answered(&world.servers[2], 900, 50);
    assert_int_equal(next(&world, 3, 1000), NP_ATTEMPT_SEND);
    assert_int_equal(world.index, 1); /* the fastest first, then the others, then round again */
    assert_int_equal(next(&world, 3, 1250), NP_ATTEMPT_SEND);
    assert_int_equal(world.index, 2);
    assert_int_equal(next(&world, 3, 1500), NP_ATTEMPT_SEND);
    assert_int_equal(world.index, 0);
    assert_int_equal(next(&world, 3, 1750), NP_ATTEMPT_SEND);
    assert_int_equal(world.index, 1);
    /* Now and then the first try explores. */
    world_init(&world, 1000);
    np_upstream_answered(&world.servers[0], 900, 80);
    world.random = 0;
    assert_int_equal(next(&world, 1, 1000), NP_ATTEMPT_SEND);
    world_init(&world, 1000);
    np_upstream_answered(&world.servers[0], 900, 80);
    np_upstream_answered(&world.servers[1], 900, 20);
    world.random = NP_UPSTREAM_EXPLORE * 3; /* 0 of 16, 0 of 2 */
    assert_int_equal(next(&world, 2, 1000), NP_ATTEMPT_SEND);
    assert_int_equal(world.index, 0);
}

static void test_dead(void **state)
{
    (void)state;
    struct world world;
    world_init(&world, 1000);
    for (int i = 0; i < NP_UPSTREAM_DEAD_AFTER; i++) {
        assert_false(np_upstream_is_dead(&world.servers[0]));
        np_upstream_failed(&world.servers[0], 1000, 0);
    }
    assert_true(np_upstream_is_dead(&world.servers[0]));
    np_upstream_answered(&world.servers[1], 900, 500);
    assert_int_equal(next(&world, 2, 1000), NP_ATTEMPT_SEND);
    assert_int_equal(world.index, 1);
    /* It is asked beside the other once its probe is due, later and later. */
    assert_int_equal(np_attempt_probe(world.group, 2, 1, 1999), -1);
    assert_int_equal(np_attempt_probe(world.group, 2, 1, 2000), 0);
    assert_int_equal(np_attempt_probe(world.group, 2, 0, 2000), -1);
    np_upstream_failed(&world.servers[0], 2000, 0);
    assert_int_equal(np_attempt_probe(world.group, 2, 1, 3999), -1);
    for (int i = 0; i < 2000; i++)
        np_upstream_failed(&world.servers[0], 2000, 0);
    assert_int_equal(world.servers[0].probe_ms, 2000 + NP_UPSTREAM_PROBE_CAP_MS);
    np_upstream_answered(&world.servers[0], 5000, 10);
    assert_false(np_upstream_is_dead(&world.servers[0]));
    /* When all are dead they are asked all the same. */
    for (size_t i = 0; i < 2; i++) {
        for (int k = 0; k < NP_UPSTREAM_DEAD_AFTER; k++)
            np_upstream_failed(&world.servers[i], 6000, 0);
    }
    world.attempt = (struct np_attempt){.start_ms = 6000};
    assert_int_equal(next(&world, 2, 6000), NP_ATTEMPT_SEND);
}

static void test_exhausted(void **state)
{
    (void)state;
    struct world world;
    world_init(&world, 1000);
    assert_int_equal(next(&world, 0, 1000), NP_ATTEMPT_GIVE_UP); /* no upstream at all */
    world.attempt.exhausted[0] = true;
    assert_int_equal(next(&world, 1, 1000), NP_ATTEMPT_GIVE_UP);
    /* With a SERVFAIL in hand the other is asked once, and not waited for long. */
    world_init(&world, 1000);
    assert_int_equal(next(&world, 2, 1000), NP_ATTEMPT_SEND);
    world.attempt.active--;
    world.attempt.exhausted[world.index] = true;
    world.attempt.fallback_ms = 1100;
    assert_int_equal(next(&world, 2, 1100), NP_ATTEMPT_SEND);
    assert_int_equal(world.due, 1100 + NP_ATTEMPT_GRACE_MS);
    assert_int_equal(next(&world, 2, 1200), NP_ATTEMPT_WAIT);
    assert_int_equal(next(&world, 2, world.due), NP_ATTEMPT_GIVE_UP);
    /* A dead one is not waited for at all. */
    world_init(&world, 1000);
    for (int k = 0; k < NP_UPSTREAM_DEAD_AFTER; k++)
        np_upstream_failed(&world.servers[1], 900, 0);
    assert_int_equal(next(&world, 2, 1000), NP_ATTEMPT_SEND);
    assert_int_equal(world.index, 0);
    world.attempt.active--;
    world.attempt.exhausted[0] = true;
    world.attempt.fallback_ms = 1010;
    assert_int_equal(next(&world, 2, 1010), NP_ATTEMPT_GIVE_UP);
}

static void test_tries_bounded(void **state)
{
    (void)state;
    struct world world;
    int sent = 0;
    world_init(&world, 1000);
    np_upstream_answered(&world.servers[0], 1000, 1);
    while (next(&world, 3, 1001) == NP_ATTEMPT_SEND)
        sent++;
    assert_int_equal(sent, NP_ATTEMPT_TRIES_MAX);
    assert_int_equal(next(&world, 3, 1001), NP_ATTEMPT_WAIT);
    assert_int_equal(world.due, 1000 + NP_ATTEMPT_DEADLINE_MS);
}

static void test_habits(void **state)
{
    (void)state;
    struct np_upstream server = {0};
    assert_true(np_upstream_checks_case(&server, 1000));
    np_upstream_broke_case(&server, 1000);
    np_upstream_kept_case(&server);
    np_upstream_broke_case(&server, 1000);
    assert_true(np_upstream_checks_case(&server, 1000));
    np_upstream_broke_case(&server, 1000);
    assert_false(np_upstream_checks_case(&server, 1000));
    assert_false(np_upstream_checks_case(&server, 1000 + NP_UPSTREAM_FORGIVE_MS - 1));
    assert_true(np_upstream_checks_case(&server, 1000 + NP_UPSTREAM_FORGIVE_MS));
    assert_true(np_upstream_has_edns(&server, 1000));
    np_upstream_broke_edns(&server, 1000);
    assert_false(np_upstream_has_edns(&server, 1001));
    assert_true(np_upstream_has_edns(&server, 1000 + NP_UPSTREAM_FORGIVE_MS));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rto),           cmocka_unit_test(test_offline), cmocka_unit_test(test_slow),
        cmocka_unit_test(test_choice),        cmocka_unit_test(test_dead),    cmocka_unit_test(test_exhausted),
        cmocka_unit_test(test_tries_bounded), cmocka_unit_test(test_habits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

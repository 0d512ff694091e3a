#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "resolver/attempt.h"

#define MS      1000
#define SERVERS 3

/* Random numbers that the test chooses. */
static uint32_t scripted(void *ctx, uint32_t bound)
{
    uint32_t *next = ctx;
    return *next % bound;
}

struct world {
    struct np_upstream servers[SERVERS];
    const struct np_upstream *group[SERVERS];
    struct np_attempt attempt;
    struct np_hedge hedge;
    uint32_t random;
    size_t index;
    int64_t due;
};

/* Nothing is known about anybody; there is no credit for hedges. */
static void world_init(struct world *world, int64_t now)
{
    memset(world, 0, sizeof *world);
    for (size_t i = 0; i < SERVERS; i++)
        world->group[i] = &world->servers[i];
    world->attempt.start_ms = now;
    world->random = 1; /* never explores */
}

/* Servers 0, 1 and 2 answer in 80, 20 and 50 ms. */
static void world_measured(struct world *world, int64_t now)
{
    static const int rtt_ms[SERVERS] = {80, 20, 50};
    world_init(world, now);
    for (size_t i = 0; i < SERVERS; i++) {
        for (int k = 0; k < 40; k++)
            np_upstream_answered(&world->servers[i], now - 100, rtt_ms[i] * MS);
    }
}

static enum np_attempt_step next(struct world *world, size_t count, int64_t now)
{
    enum np_attempt_step step =
        np_attempt_next(&world->attempt, world->group, count, now, &world->hedge, &world->index, &world->due);
    if (step == NP_ATTEMPT_SEND) {
        np_attempt_sent(&world->attempt, world->index, &world->servers[world->index], now);
        world->attempt.active++;
    }
    return step;
}

static void expect_send(struct world *world, size_t count, int64_t now, size_t index)
{
    assert_int_equal(next(world, count, now), NP_ATTEMPT_SEND);
    assert_int_equal(world->index, index);
}

static void expect_wait(struct world *world, size_t count, int64_t now, int64_t due)
{
    assert_int_equal(next(world, count, now), NP_ATTEMPT_WAIT);
    assert_int_equal(world->due, due);
}

static void kill_server(struct np_upstream *server, int64_t now)
{
    for (int i = 0; i < NP_UPSTREAM_DEAD_AFTER; i++)
        np_upstream_failed(server, now, 0);
}

/* One server, silent: asked a few times with growing pauses, given up under 2 s. */
static void test_offline(void **state)
{
    (void)state;
    struct world world;
    int64_t now = 50000;
    int sent = 0;
    world_init(&world, now);
    for (enum np_attempt_step step; (step = next(&world, 1, now)) != NP_ATTEMPT_GIVE_UP;) {
        if (step == NP_ATTEMPT_SEND) {
            sent++;
            continue;
        }
        assert_true(world.due > now);
        now = world.due;
    }
    assert_in_range(sent, 2, 4);
    assert_int_equal(now, 50000 + NP_ATTEMPT_OFFLINE_MS);
}

/* The same, but the server answers something else meanwhile (others, or a ping): it is alive, so it gets more time. */
static void test_slow(void **state)
{
    (void)state;
    struct world world;
    world_init(&world, 50000);
    expect_send(&world, 1, 50000, 0);
    np_upstream_answered(&world.servers[0], 50500, 30 * MS);
    expect_send(&world, 1, 50000 + NP_ATTEMPT_OFFLINE_MS, 0);
    assert_int_equal(np_attempt_deadline(&world.attempt, world.group, 1), 50000 + NP_ATTEMPT_DEADLINE_MS);
    assert_int_equal(next(&world, 1, 50000 + NP_ATTEMPT_DEADLINE_MS), NP_ATTEMPT_GIVE_UP);
    /* So is one that has come as far as a handshake. */
    world_init(&world, 50000);
    world.servers[0].reached_ms = 50001;
    assert_int_equal(np_attempt_deadline(&world.attempt, world.group, 1), 50000 + NP_ATTEMPT_DEADLINE_MS);
    /* An answer from before the question came proves nothing. */
    world_init(&world, 60000);
    np_upstream_answered(&world.servers[0], 60000, 30 * MS);
    assert_int_equal(np_attempt_deadline(&world.attempt, world.group, 1), 60000 + NP_ATTEMPT_OFFLINE_MS);
}

static void test_order(void **state)
{
    (void)state;
    struct world world;
    world_measured(&world, 1000);
    expect_send(&world, 3, 1000, 1); /* the fastest first, then the others, then round again */
    expect_send(&world, 3, 1250, 2);
    expect_send(&world, 3, 1500, 0);
    expect_send(&world, 3, 1750, 1);
    /* A suspect one comes after the others, a dead one last. */
    world_measured(&world, 1000);
    np_upstream_failed(&world.servers[1], 990, 0);
    kill_server(&world.servers[2], 990);
    expect_send(&world, 3, 1000, 0);
    expect_send(&world, 3, 1400, 0);
    static const size_t order[] = {1, 0, 1, 2};
    for (size_t i = 0; i < sizeof order / sizeof *order; i++) {
        world.attempt.start_ms = 2000 + (int64_t)i * 1000;
        expect_send(&world, 3, 2000 + (int64_t)i * 1000, order[i]);
    }
    /* One that nobody knows comes after those that are known to work. */
    world_measured(&world, 1000);
    world.servers[1] = (struct np_upstream){0};
    expect_send(&world, 2, 1000, 0);
    /* When all are dead they are asked all the same, first the one whose turn it is. */
    world_measured(&world, 6000);
    for (size_t i = 0; i < SERVERS; i++)
        kill_server(&world.servers[i], 6000 - (int64_t)i);
    expect_send(&world, 3, 6000, 2);
}

static void test_hedge_credit(void **state)
{
    (void)state;
    struct np_hedge hedge = {0};
    unsigned taken = 0;
    assert_false(np_hedge_take(&hedge));
    for (int i = 0; i < 1000; i++) {
        np_hedge_earn(&hedge);
        taken += np_hedge_take(&hedge);
    }
    assert_int_equal(taken, 1000 / NP_HEDGE_SHARE);
    for (int i = 0; i < 100000; i++)
        np_hedge_earn(&hedge);
    for (taken = 0; np_hedge_take(&hedge);)
        taken++;
    assert_int_equal(taken, NP_HEDGE_BURST);
}

static void test_hedging(void **state)
{
    (void)state;
    struct world world;
    int64_t late, lost;
    world_measured(&world, 1000);
    world.hedge.credit = NP_HEDGE_SHARE;
    late = 1000 + np_upstream_late(&world.servers[1]);
    lost = 1000 + np_upstream_rto(&world.servers[1]);
    assert_true(late < lost);
    expect_send(&world, 3, 1000, 1);
    expect_wait(&world, 3, 1000, late);
    expect_wait(&world, 3, late - 1, late);
    expect_send(&world, 3, late, 2); /* late: the second fastest is asked too */
    expect_wait(&world, 3, late, late + np_upstream_rto(&world.servers[2]));
    /* Once a question, and only for credit. */
    world_measured(&world, 1000);
    expect_send(&world, 3, 1000, 1);
    expect_wait(&world, 3, late, lost);
    expect_send(&world, 3, lost, 2); /* lost is lost */
    /* Not with one that may be silent itself, nor with nobody. */
    for (size_t count = 1; count <= 2; count++) {
        world_measured(&world, 1000);
        world.hedge.credit = NP_HEDGE_SHARE;
        np_upstream_failed(&world.servers[1], 900, 0);
        expect_send(&world, count, 1000, 0);
        assert_int_equal(next(&world, count, 1000 + np_upstream_late(&world.servers[0])), NP_ATTEMPT_WAIT);
        assert_int_equal(world.hedge.credit, NP_HEDGE_SHARE);
    }
}

static void test_beside(void **state)
{
    (void)state;
    struct world world;
    /* At first everybody is unknown: one of the others is asked beside the first. */
    world_init(&world, 1000);
    assert_int_equal(np_attempt_beside(world.group, 3, 0, 1000, scripted, &world.random), 1);
    np_upstream_probed(&world.servers[1], 1000);
    assert_int_equal(np_attempt_beside(world.group, 3, 0, 1000, scripted, &world.random), 2);
    np_upstream_probed(&world.servers[2], 1000);
    assert_int_equal(np_attempt_beside(world.group, 3, 0, 1000, scripted, &world.random), -1);
    assert_int_equal(np_attempt_beside(world.group, 3, 0, 1000 + NP_UPSTREAM_PROBE_FIRST_MS, scripted, &world.random),
                     1);
    /* Now and then one that lives, never the one that is asked anyway. */
    world_measured(&world, 1000);
    assert_int_equal(np_attempt_beside(world.group, 3, 1, 1000, scripted, &world.random), -1);
    world.random = NP_ATTEMPT_EXPLORE * 3; /* 0 of 16, 0 of 3 */
    assert_int_equal(np_attempt_beside(world.group, 3, 1, 1000, scripted, &world.random), 0);
    assert_int_equal(np_attempt_beside(world.group, 3, 0, 1000, scripted, &world.random), -1);
    assert_int_equal(np_attempt_beside(world.group, 1, 0, 1000, scripted, &world.random), -1);
    np_upstream_failed(&world.servers[0], 1000, 0);
    np_upstream_probed(&world.servers[0], 1000);
    assert_int_equal(np_attempt_beside(world.group, 3, 1, 1001, scripted, &world.random), -1);
    /* Nobody who is ourselves, or sends questions back. */
    world_init(&world, 1000);
    world.servers[1].itself = true;
    world.servers[2].loop_until_ms = 2000;
    assert_int_equal(np_attempt_beside(world.group, 3, 0, 1000, scripted, &world.random), -1);
}

static void test_give_up(void **state)
{
    (void)state;
    struct world world;
    world_init(&world, 1000);
    assert_int_equal(next(&world, 0, 1000), NP_ATTEMPT_GIVE_UP); /* no upstream at all */
    world.attempt.exhausted[0] = true;
    assert_int_equal(next(&world, 1, 1000), NP_ATTEMPT_GIVE_UP);
    world_init(&world, 1000);
    world.servers[0].itself = true;
    assert_int_equal(next(&world, 1, 1000), NP_ATTEMPT_GIVE_UP);
    world_init(&world, 1000);
    world.servers[0].loop_until_ms = 1001;
    assert_int_equal(next(&world, 1, 1000), NP_ATTEMPT_GIVE_UP);
    expect_send(&world, 1, 1001, 0);
    /* So many tries and no more. */
    world_measured(&world, 1000);
    int sent = 0;
    for (int64_t now = 1000; now < 1900; now++)
        sent += next(&world, 3, now) == NP_ATTEMPT_SEND;
    assert_in_range(sent, 2, 4);
    world_measured(&world, 1000);
    for (sent = 0; next(&world, 3, 1001) == NP_ATTEMPT_SEND; sent++)
        world.attempt.lost_ms = 0;
    assert_int_equal(sent, NP_ATTEMPT_TRIES_MAX);
    expect_wait(&world, 3, 1001, 1000 + NP_ATTEMPT_OFFLINE_MS);
}

/* One try to server index, and what comes back. */
struct back {
    struct np_try try;
    enum np_stream_why why;
};

static enum np_follow answer(struct world *world, int index, struct back *back, enum np_response_verdict verdict,
                             bool kept_case, bool opt)
{
    struct np_answer_facts facts = {kept_case, opt};
    return np_attempt_answer(&world->attempt, index, &back->try, &world->servers[index], verdict, &facts, 1020,
                             1020 * MS, &back->why);
}

static struct back usual(struct world *world, int index, unsigned how)
{
    return (struct back){np_try_init(&world->attempt, index, &world->servers[index], how, 1000, 1000 * MS),
                         NP_STREAM_USUAL};
}

static struct back stream(struct world *world, int index, unsigned how, enum np_stream_why why)
{
    return (struct back){np_try_init_stream(&world->attempt, index, &world->servers[index], how, why, 1000, 1000 * MS),
                         why};
}

static void test_answers(void **state)
{
    (void)state;
    struct world world;
    world_init(&world, 1000);
    struct back back = usual(&world, 0, 0);
    assert_true(back.try.edns && back.try.check_case && !back.try.stream);
    assert_int_equal(answer(&world, 0, &back, NP_RESPONSE_FOREIGN, false, false), NP_FOLLOW_DROP);
    assert_int_equal(world.servers[0].answers, 0);
    assert_int_equal(answer(&world, 0, &back, NP_RESPONSE_GOOD, true, true), NP_FOLLOW_DONE);
    assert_int_equal(world.servers[0].srtt_us, 20 * MS);
    assert_true(world.servers[0].edns_seen);
    assert_int_equal(answer(&world, 0, &back, NP_RESPONSE_TRUNCATED, false, false), NP_FOLLOW_STREAM);
    assert_int_equal(back.why, NP_STREAM_TRUNCATED);
    assert_int_equal(answer(&world, 0, &back, NP_RESPONSE_BROKEN, false, false), NP_FOLLOW_NEXT);
    assert_true(world.attempt.exhausted[0] && !world.attempt.fallback_ms);
    assert_int_equal(answer(&world, 1, &back, NP_RESPONSE_FAILED, false, false), NP_FOLLOW_KEEP);
    assert_true(world.attempt.exhausted[1] && world.attempt.fallback_ms == 1020);
    /* A server that is in the group no more. */
    struct np_answer_facts facts = {0};
    struct np_upstream gone = {0};
    assert_int_equal(
        np_attempt_answer(&world.attempt, -1, &back.try, &gone, NP_RESPONSE_FAILED, &facts, 1020, 1020 * MS, &back.why),
        NP_FOLLOW_KEEP);
    /* Over a stream the time says nothing about the network. */
    world_init(&world, 1000);
    back = stream(&world, 0, 0, NP_STREAM_TRUNCATED);
    assert_true(back.try.stream && !back.try.check_case && back.try.wait_ms >= NP_UPSTREAM_STREAM_MIN_MS);
    assert_int_equal(answer(&world, 0, &back, NP_RESPONSE_GOOD, true, true), NP_FOLLOW_DONE);
    assert_true(!world.servers[0].measured && world.servers[0].last_answer_ms == 1020);
}

/* A bare SERVFAIL: another server is asked, this one may still answer, and when nobody does it was the answer. */
static void test_bare(void **state)
{
    (void)state;
    struct world world;
    world_measured(&world, 1000);
    expect_send(&world, 2, 1000, 1);
    struct back back = usual(&world, 1, 0);
    assert_int_equal(answer(&world, 1, &back, NP_RESPONSE_BARE, false, false), NP_FOLLOW_HINT);
    assert_int_equal(answer(&world, 1, &back, NP_RESPONSE_BARE, false, false), NP_FOLLOW_DROP);
    expect_send(&world, 2, 1020, 0);
    expect_wait(&world, 2, 1020, 1020 + np_upstream_rto(&world.servers[0]));
    expect_wait(&world, 2, 1300, 1020 + NP_ATTEMPT_GRACE_MS);
    assert_int_equal(next(&world, 2, 1020 + NP_ATTEMPT_GRACE_MS), NP_ATTEMPT_GIVE_UP);
    assert_int_equal(answer(&world, 1, &back, NP_RESPONSE_GOOD, true, true), NP_FOLLOW_DONE);
}

static void test_fallback(void **state)
{
    (void)state;
    struct world world;
    /* With a SERVFAIL in hand the other is asked once, and not waited for long. */
    world_init(&world, 1000);
    expect_send(&world, 2, 1000, 0);
    struct back back = usual(&world, 0, 0);
    assert_int_equal(answer(&world, 0, &back, NP_RESPONSE_FAILED, false, false), NP_FOLLOW_KEEP);
    world.attempt.active--;
    expect_send(&world, 2, 1020, 1);
    assert_int_equal(next(&world, 2, 1020), NP_ATTEMPT_WAIT);
    assert_int_equal(next(&world, 2, 1020 + NP_ATTEMPT_GRACE_MS), NP_ATTEMPT_GIVE_UP);
    /* A dead one is not waited for at all. */
    world_init(&world, 1000);
    kill_server(&world.servers[1], 900);
    expect_send(&world, 2, 1000, 0);
    assert_int_equal(answer(&world, 0, &back, NP_RESPONSE_FAILED, false, false), NP_FOLLOW_KEEP);
    world.attempt.active--;
    assert_int_equal(next(&world, 2, 1020), NP_ATTEMPT_GIVE_UP);
}

/* A refusal of EDNS is believed when the same question goes without it, twice, and no answer with an OPT comes between:
 * a forger's FORMERR, which need not even repeat the question, changes nothing. */
static void test_no_edns(void **state)
{
    (void)state;
    struct world world;
    world_init(&world, 1000);
    for (int i = 0; i < 10; i++) {
        world.attempt = (struct np_attempt){.start_ms = 1000};
        struct back back = usual(&world, 0, 0);
        assert_true(back.try.edns);
        assert_int_equal(answer(&world, 0, &back, NP_RESPONSE_NO_EDNS, false, false), NP_FOLLOW_PLAIN);
        assert_int_equal(answer(&world, 0, &back, NP_RESPONSE_NO_EDNS, false, false), NP_FOLLOW_DROP);
        assert_int_equal(answer(&world, 0, &back, NP_RESPONSE_GOOD, true, true), NP_FOLLOW_DONE); /* the true one */
        assert_true(np_upstream_has_edns(&world.servers[0], 1020));
    }
    /* Even if the answer without EDNS comes first every other time. */
    for (int i = 0; i < 11; i++) {
        world.attempt = (struct np_attempt){.start_ms = 1000};
        struct back back = usual(&world, 0, 0);
        assert_int_equal(answer(&world, 0, &back, NP_RESPONSE_NO_EDNS, false, false), NP_FOLLOW_PLAIN);
        struct back plain = usual(&world, 0, 0);
        assert_true((plain.try.how & NP_TRY_PLAIN) && !plain.try.edns); /* every further try of this question */
        assert_int_equal(answer(&world, 0, i % 2 ? &plain : &back, NP_RESPONSE_GOOD, true, true), NP_FOLLOW_DONE);
        assert_true(np_upstream_has_edns(&world.servers[0], 1020));
    }
    for (int i = 0; i < 2; i++) {
        assert_true(np_upstream_has_edns(&world.servers[0], 1020));
        world.attempt = (struct np_attempt){.start_ms = 1000};
        world.attempt.plain[0] = true;
        struct back plain = usual(&world, 0, 0);
        assert_int_equal(answer(&world, 0, &plain, NP_RESPONSE_GOOD, true, false), NP_FOLLOW_DONE);
    }
    assert_false(np_upstream_has_edns(&world.servers[0], 1020));
}

/* Where nobody answers what has an OPT, the third try has none; not where an OPT was seen before. */
static void test_silent_edns(void **state)
{
    (void)state;
    struct world world;
    world_init(&world, 1000);
    for (int i = 0; i < 2; i++) {
        struct back back = usual(&world, 0, 0);
        assert_true(back.try.edns);
        assert_false(np_attempt_timed_out(&world.attempt, 0, &back.try, &world.servers[0], 1399, 1399 * MS));
        assert_true(np_attempt_timed_out(&world.attempt, 0, &back.try, &world.servers[0], 1400, 1400 * MS));
        assert_false(np_attempt_timed_out(&world.attempt, 0, &back.try, &world.servers[0], 1400, 1400 * MS));
    }
    assert_int_equal(world.servers[0].timeouts, 2);
    struct back plain = usual(&world, 0, 0);
    assert_false(plain.try.edns);
    assert_int_equal(answer(&world, 0, &plain, NP_RESPONSE_GOOD, true, false), NP_FOLLOW_DONE);
    assert_int_equal(world.servers[0].edns_strikes, 1);
    world.servers[0].edns_seen = true;
    struct back again = usual(&world, 0, 0);
    assert_true(again.try.edns);
    /* A try beside is no failure of its own: it was counted when it was sent. */
    struct back beside = usual(&world, 1, NP_TRY_BESIDE);
    assert_false(np_attempt_timed_out(&world.attempt, 1, &beside.try, &world.servers[1], 9000, 9000 * MS));
    assert_true(beside.try.timed_out);
    assert_int_equal(world.servers[1].timeouts, 0);
}

/* An answer in another case is asked again over a stream. Only what is so there too, or cannot be asked there, counts.
 */
static void test_case(void **state)
{
    (void)state;
    struct world world;
    unsigned how = 0;
    world_init(&world, 1000);
    for (int i = 0; i < 10; i++) { /* a forger: the stream, or the true answer, shows the case kept */
        struct back back = usual(&world, 0, 0), sure = stream(&world, 0, 0, NP_STREAM_CASE);
        assert_int_equal(answer(&world, 0, &back, NP_RESPONSE_CASE, false, false), NP_FOLLOW_ALSO);
        assert_int_equal(back.why, NP_STREAM_CASE);
        assert_int_equal(answer(&world, 0, &back, NP_RESPONSE_CASE, false, false), NP_FOLLOW_DROP);
        assert_int_equal(answer(&world, 0, i % 2 ? &back : &sure, NP_RESPONSE_GOOD, true, true), NP_FOLLOW_DONE);
    }
    assert_true(np_upstream_checks_case(&world.servers[0], 1020));
    for (int i = 0; i < 2; i++) { /* it does so over the stream as well */
        struct back sure = stream(&world, 0, 0, NP_STREAM_CASE);
        assert_true(np_upstream_checks_case(&world.servers[0], 1020));
        assert_int_equal(answer(&world, 0, &sure, NP_RESPONSE_GOOD, false, true), NP_FOLLOW_DONE);
    }
    assert_false(np_upstream_checks_case(&world.servers[0], 1020));
    struct back lax = usual(&world, 0, 0);
    assert_false(lax.try.check_case);
    /* What was truncated says nothing: servers may write everything small there too, but were not asked about it. */
    world_init(&world, 1000);
    for (int i = 0; i < 5; i++) {
        struct back sure = stream(&world, 0, 0, NP_STREAM_TRUNCATED);
        assert_int_equal(answer(&world, 0, &sure, NP_RESPONSE_GOOD, false, true), NP_FOLLOW_DONE);
    }
    assert_true(np_upstream_checks_case(&world.servers[0], 1020));
    /* Without streams: in small letters, which must come back as they are. */
    assert_true(np_attempt_without_stream(&world.attempt, 0, NP_STREAM_CASE, &how));
    assert_int_equal(how, NP_TRY_FLAT);
    for (int i = 0; i < 2; i++) {
        struct back flat = usual(&world, 0, how);
        assert_true(flat.try.check_case);
        assert_int_equal(answer(&world, 0, &flat, NP_RESPONSE_GOOD, true, true), NP_FOLLOW_DONE);
    }
    assert_false(np_upstream_checks_case(&world.servers[0], 1020));
}

static void test_streams(void **state)
{
    (void)state;
    struct world world;
    unsigned how = 0;
    world_measured(&world, 1000);
    np_attempt_streamed(&world.attempt, &world.servers[0], 1000);
    assert_int_equal(world.attempt.lost_ms, 1000 + np_upstream_stream_wait(&world.servers[0]));
    world.servers[0].no_stream_until_ms = 2000;
    static const struct {
        enum np_stream_why why;
        int64_t now;
        size_t count;
        bool may;
    } rows[] = {
        {NP_STREAM_TRUNCATED, 2000, 2, true},                                        /* forgiven */
        {NP_STREAM_TRUNCATED, 1999, 2, false}, {NP_STREAM_TRUNCATED, 1999, 1, true}, /* nobody else is there */
        {NP_STREAM_CASE, 1999, 1, false},      {NP_STREAM_FORGED, 1999, 1, false},   {NP_STREAM_USUAL, 1999, 2, true},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (np_attempt_may_stream(&world.attempt, world.group, rows[i].count, 0, &world.servers[0], rows[i].why,
                                  rows[i].now) != rows[i].may)
            fail_msg("row %zu", i);
    }
    world.servers[1].no_stream_until_ms = 2000;
    assert_true(np_attempt_may_stream(&world.attempt, world.group, 2, 0, &world.servers[0], NP_STREAM_TRUNCATED, 1999));
    world.servers[1].no_stream_until_ms = 0;
    kill_server(&world.servers[1], 1000);
    assert_true(np_attempt_may_stream(&world.attempt, world.group, 2, 0, &world.servers[0], NP_STREAM_TRUNCATED, 1999));
    assert_false(np_attempt_without_stream(&world.attempt, 0, NP_STREAM_TRUNCATED, &how));
    assert_true(world.attempt.exhausted[0]);
    assert_true(np_attempt_without_stream(&world.attempt, 1, NP_STREAM_FORGED, &how));
    assert_true(how == 0 && !world.attempt.exhausted[1]);
}

static void test_beaten(void **state)
{
    (void)state;
    struct world world;
    world_measured(&world, 1000);
    int64_t late = np_upstream_late(&world.servers[0]);
    struct back back = usual(&world, 0, 0);
    np_attempt_beaten(&back.try, 1001 * MS, &world.servers[0], 1000 + late - 1, (1000 + late - 1) * MS);
    assert_int_equal(world.servers[0].timeouts, 0); /* no slower than usual */
    np_attempt_beaten(&back.try, 999 * MS, &world.servers[0], 2000, 2000 * MS);
    assert_int_equal(world.servers[0].timeouts, 0); /* was asked later */
    np_attempt_beaten(&back.try, 1001 * MS, &world.servers[0], 1000 + late, (1000 + late) * MS);
    assert_int_equal(world.servers[0].timeouts, 1);
    np_attempt_beaten(&back.try, 1001 * MS, &world.servers[0], 2000, 2000 * MS);
    assert_int_equal(world.servers[0].timeouts, 1); /* once */
    struct back beside = usual(&world, 0, NP_TRY_BESIDE);
    np_attempt_beaten(&beside.try, 1001 * MS, &world.servers[0], 2000, 2000 * MS);
    assert_int_equal(world.servers[0].timeouts, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_offline),      cmocka_unit_test(test_slow),    cmocka_unit_test(test_order),
        cmocka_unit_test(test_hedge_credit), cmocka_unit_test(test_hedging), cmocka_unit_test(test_beside),
        cmocka_unit_test(test_give_up),      cmocka_unit_test(test_answers), cmocka_unit_test(test_bare),
        cmocka_unit_test(test_fallback),     cmocka_unit_test(test_no_edns), cmocka_unit_test(test_silent_edns),
        cmocka_unit_test(test_case),         cmocka_unit_test(test_streams), cmocka_unit_test(test_beaten),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

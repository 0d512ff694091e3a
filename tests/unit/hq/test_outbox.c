/* The plan of one server's updates: grouping, bisecting, ordering, failing, and that nothing old ever wins, against a
 * server that loses answers and applies messages late. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hq/zone/outbox.h"

#define RRS   10 /* 20 names make a full message */
#define FULL  20
#define NAMES 200

struct fixture {
    struct np_outbox outbox;
    int64_t now_ms;
    struct np_outbox_events events;
    unsigned done[NAMES], refused[NAMES];
    uint16_t items[NP_OUTBOX_OFFER_MAX];
    uint32_t random;
};

static uint32_t none_below(void *ctx, uint32_t bound)
{
    (void)ctx;
    (void)bound;
    return 0;
}

/* A number below bound, the same ones each time (xorshift). */
static unsigned dice(struct fixture *f, unsigned bound)
{
    f->random ^= f->random << 13;
    f->random ^= f->random >> 17;
    f->random ^= f->random << 5;
    return f->random % bound;
}

static unsigned number_of(const struct np_outbox_item *item)
{
    return (unsigned)strtoul(item->name + 1, NULL, 10);
}

static void on_done(void *ctx, const struct np_outbox_item *item)
{
    ((struct fixture *)ctx)->done[number_of(item)]++;
}

static void on_refused(void *ctx, const struct np_outbox_item *item)
{
    ((struct fixture *)ctx)->refused[number_of(item)]++;
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    np_outbox_init(&f->outbox, RRS);
    f->now_ms = 1000;
    f->random = 2463534242u;
    f->events = (struct np_outbox_events){f, on_done, on_refused};
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    free(*state);
    return 0;
}

static void add(struct fixture *f, unsigned n)
{
    char name[16];
    snprintf(name, sizeof name, "n%u", n);
    assert_true(np_outbox_add(&f->outbox, name, f->now_ms));
}

static size_t offer(struct fixture *f)
{
    return np_outbox_offer(&f->outbox, f->now_ms, f->items);
}

static void result(struct fixture *f, size_t group, enum np_outbox_outcome outcome)
{
    np_outbox_result(&f->outbox, group, outcome, f->now_ms, &f->events, none_below, NULL);
}

static void raise_fence(struct fixture *f)
{
    assert_true(np_outbox_wants_fence(&f->outbox, f->now_ms));
    assert_int_equal(offer(f), 0);
    np_outbox_fence_sent(&f->outbox);
    assert_false(np_outbox_wants_fence(&f->outbox, f->now_ms));
    assert_int_equal(offer(f), 0);
    np_outbox_fence_result(&f->outbox, NP_OUTBOX_DONE, f->now_ms, none_below, NULL);
}

static void test_grouping(void **state)
{
    struct fixture *f = *state;
    add(f, 0);
    raise_fence(f);
    /* Alone and nothing in flight: at once. */
    assert_int_equal(offer(f), 1);
    size_t first = np_outbox_sent(&f->outbox, f->items, 1);
    assert_int_equal(np_outbox_due(&f->outbox, f->now_ms), NP_JOB_NEVER);
    /* While it is in flight, others gather. */
    add(f, 1);
    f->now_ms += 50;
    add(f, 2);
    assert_int_equal(offer(f), 0);
    assert_int_equal(np_outbox_due(&f->outbox, f->now_ms), f->now_ms - 50 + NP_OUTBOX_GATHER_MS);
    f->now_ms += NP_OUTBOX_GATHER_MS - 51;
    assert_int_equal(offer(f), 0);
    f->now_ms++;
    assert_int_equal(offer(f), 2);
    np_outbox_sent(&f->outbox, f->items, 2);
    /* A full message does not wait. */
    for (unsigned i = 3; i < 3 + FULL - 1; i++)
        add(f, i);
    assert_int_equal(offer(f), 0);
    add(f, 3 + FULL - 1);
    assert_int_equal(offer(f), FULL);
    /* What the message has no room for stays, in order. */
    np_outbox_sent(&f->outbox, f->items, FULL - 5);
    assert_int_equal(offer(f), 0);
    /* The answers to all but one: it is not idle yet; then it is. */
    result(f, first, NP_OUTBOX_DONE);
    assert_int_equal(offer(f), 0);
    for (size_t i = 0; i < NP_OUTBOX_IN_FLIGHT; i++) {
        if (f->outbox.groups[i].used)
            result(f, i, NP_OUTBOX_DONE);
    }
    assert_int_equal(offer(f), 5);
    assert_string_equal(f->outbox.items[f->items[0]].name, "n18");
    for (unsigned i = 0; i < 18; i++)
        assert_int_equal(f->done[i], 1);
}

static void test_in_flight_limit(void **state)
{
    struct fixture *f = *state;
    size_t sent = 0, count;
    raise_fence(f);
    for (unsigned i = 0; i < NP_OUTBOX_ITEMS_MAX; i++)
        add(f, i);
    char name[] = "one more";
    assert_int_equal(np_outbox_room(&f->outbox), 0);
    assert_false(np_outbox_add(&f->outbox, name, f->now_ms));
    assert_true(np_outbox_add(&f->outbox, "n7", f->now_ms)); /* it has its place */
    while ((count = offer(f)) > 0) {
        np_outbox_sent(&f->outbox, f->items, count > FULL ? FULL : count);
        sent++;
        f->now_ms += NP_OUTBOX_GATHER_MS;
    }
    assert_int_equal(sent, NP_OUTBOX_IN_FLIGHT);
    assert_int_equal(np_outbox_due(&f->outbox, f->now_ms), NP_JOB_NEVER);
}

/* A name is in one message at a time, however often it changes. */
static void test_one_at_a_time(void **state)
{
    struct fixture *f = *state;
    raise_fence(f);
    add(f, 1);
    add(f, 1);
    assert_int_equal(offer(f), 1);
    size_t group = np_outbox_sent(&f->outbox, f->items, 1);
    add(f, 1);
    add(f, 1);
    f->now_ms += 1000;
    assert_int_equal(offer(f), 0);
    result(f, group, NP_OUTBOX_DONE);
    assert_int_equal(f->done[1], 1);
    assert_non_null(np_outbox_find(&f->outbox, "n1"));
    assert_int_equal(offer(f), 1);
    group = np_outbox_sent(&f->outbox, f->items, 1);
    result(f, group, NP_OUTBOX_DONE);
    assert_int_equal(f->done[1], 2);
    assert_null(np_outbox_find(&f->outbox, "n1"));
    assert_int_equal(np_outbox_room(&f->outbox), NP_OUTBOX_ITEMS_MAX);
}

/* Sends and answers until nothing may go: refused is every message that holds a bad name. Returns the messages. */
static unsigned run(struct fixture *f, const bool bad[NAMES])
{
    unsigned messages = 0;
    size_t count;
    while ((count = offer(f)) > 0) {
        bool refused = false;
        if (count > FULL)
            count = FULL;
        for (size_t i = 0; i < count; i++)
            refused = refused || bad[number_of(&f->outbox.items[f->items[i]])];
        result(f, np_outbox_sent(&f->outbox, f->items, count), refused ? NP_OUTBOX_REFUSED : NP_OUTBOX_DONE);
        messages++;
    }
    return messages;
}

static void test_one_bad_name(void **state)
{
    struct fixture *f = *state;
    bool bad[NAMES] = {[33] = true};
    raise_fence(f);
    for (unsigned i = 0; i < 100; i++)
        add(f, i);
    /* Five messages, and for the one with the bad name two more for each time it is halved. */
    assert_true(run(f, bad) <= 5 + 2 * 5);
    for (unsigned i = 0; i < 100; i++) {
        assert_int_equal(f->done[i], i != 33);
        assert_int_equal(f->refused[i], i == 33);
    }
    assert_int_equal(np_outbox_failing_since(&f->outbox), NP_JOB_NEVER);
    /* It is tried again, later and later, alone. */
    assert_int_equal(np_outbox_due(&f->outbox, f->now_ms), f->now_ms + NP_OUTBOX_PARK_FIRST);
    f->now_ms += NP_OUTBOX_PARK_FIRST;
    assert_int_equal(run(f, bad), 1);
    assert_int_equal(f->refused[33], 2);
    assert_int_equal(np_outbox_due(&f->outbox, f->now_ms), f->now_ms + 2 * NP_OUTBOX_PARK_FIRST);
    /* At once when it has changed. */
    add(f, 33);
    assert_int_equal(run(f, bad), 1);
    assert_int_equal(f->refused[33], 3);
    for (unsigned i = 0; i < 10; i++) {
        f->now_ms += NP_OUTBOX_PARK_CAP;
        run(f, bad);
    }
    assert_int_equal(np_outbox_due(&f->outbox, f->now_ms), f->now_ms + NP_OUTBOX_PARK_CAP);
    bad[33] = false;
    f->now_ms += NP_OUTBOX_PARK_CAP;
    run(f, bad);
    assert_int_equal(f->done[33], 1);
    assert_int_equal(np_outbox_room(&f->outbox), NP_OUTBOX_ITEMS_MAX);
}

static void test_any_few_bad_names(void **state)
{
    struct fixture *f = *state;
    raise_fence(f);
    for (unsigned round = 0; round < 200; round++) {
        bool bad[NAMES] = {false};
        memset(f->done, 0, sizeof f->done);
        memset(f->refused, 0, sizeof f->refused);
        for (int i = 0; i < 6; i++)
            bad[dice(f, 60)] = true;
        for (unsigned i = 0; i < 60; i++)
            add(f, i);
        run(f, bad);
        for (unsigned i = 0; i < 60; i++) {
            assert_int_equal(f->done[i], !bad[i]);
            assert_int_equal(f->refused[i], bad[i]);
        }
        memset(bad, 0, sizeof bad);
        f->now_ms += NP_OUTBOX_PARK_CAP;
        run(f, bad);
        assert_int_equal(np_outbox_room(&f->outbox), NP_OUTBOX_ITEMS_MAX);
    }
}

/* Everything is refused: that is the server's matter, told once, not one alarm a name; and it ends by itself. */
static void test_all_refused(void **state)
{
    struct fixture *f = *state;
    bool bad[NAMES];
    unsigned refused = 0, messages;
    memset(bad, true, sizeof bad);
    raise_fence(f);
    for (unsigned i = 0; i < 100; i++)
        add(f, i);
    messages = run(f, bad);
    assert_true(messages < 40);
    assert_int_equal(np_outbox_failing_since(&f->outbox), f->now_ms);
    for (unsigned i = 0; i < 100; i++)
        refused += f->refused[i];
    assert_int_equal(refused, NP_OUTBOX_BLANKET - 1);
    /* From now on one name a try, each time another one. */
    for (unsigned i = 0; i < 20; i++) {
        int64_t due = np_outbox_due(&f->outbox, f->now_ms);
        assert_true(due > f->now_ms && due <= f->now_ms + NP_OUTBOX_RETRY_CAP);
        f->now_ms = due;
        assert_int_equal(run(f, bad), 1);
    }
    /* One name that is taken ends it, though others are still bad. */
    memset(bad, false, sizeof bad);
    bad[5] = true;
    for (unsigned i = 0; i < 200; i++) {
        f->now_ms += NP_OUTBOX_RETRY_CAP;
        run(f, bad);
    }
    assert_int_equal(np_outbox_failing_since(&f->outbox), NP_JOB_NEVER);
    for (unsigned i = 0; i < 100; i++)
        assert_int_equal(f->done[i], i != 5);
}

/* A server that fails at one name's message, every time. */
static void test_broken_by_a_name(void **state)
{
    struct fixture *f = *state;
    raise_fence(f);
    for (unsigned i = 0; i < 40; i++)
        add(f, i);
    for (unsigned step = 0; step < 200; step++) {
        size_t count = offer(f);
        bool broken = false;
        f->now_ms += NP_OUTBOX_RETRY_CAP / 8;
        if (count == 0)
            continue;
        if (count > FULL)
            count = FULL;
        for (size_t i = 0; i < count; i++)
            broken = broken || number_of(&f->outbox.items[f->items[i]]) == 11;
        result(f, np_outbox_sent(&f->outbox, f->items, count), broken ? NP_OUTBOX_BROKEN : NP_OUTBOX_DONE);
    }
    for (unsigned i = 0; i < 40; i++)
        assert_int_equal(f->done[i], i != 11);
    assert_true(f->refused[11] > 0);
}

static void test_failing_and_back(void **state)
{
    struct fixture *f = *state;
    raise_fence(f);
    add(f, 1);
    add(f, 2);
    assert_int_equal(offer(f), 2);
    size_t group = np_outbox_sent(&f->outbox, f->items, 2);
    int64_t since = f->now_ms;
    result(f, group, NP_OUTBOX_UNSENT);
    /* Surely not applied: no new epoch is needed, only patience. */
    assert_int_equal(np_outbox_failing_since(&f->outbox), since);
    assert_false(np_outbox_wants_fence(&f->outbox, f->now_ms + 100000));
    assert_int_equal(offer(f), 0);
    int64_t last_ms = 0;
    for (int i = 0; i < 10; i++) {
        int64_t due = np_outbox_due(&f->outbox, f->now_ms);
        assert_true(due - f->now_ms >= last_ms / 2 && due - f->now_ms <= NP_OUTBOX_RETRY_CAP);
        last_ms = due - f->now_ms;
        f->now_ms = due;
        assert_int_equal(offer(f), 2);
        result(f, np_outbox_sent(&f->outbox, f->items, 2), i % 2 ? NP_OUTBOX_FAILED : NP_OUTBOX_UNSENT);
        if (i % 2) {
            assert_int_equal(offer(f), 0);
            f->now_ms = np_outbox_due(&f->outbox, f->now_ms);
            raise_fence(f);
            f->now_ms = since; /* a fence that was taken is a sign of life */
            assert_int_equal(np_outbox_failing_since(&f->outbox), NP_JOB_NEVER);
            assert_int_equal(offer(f), 2);
            result(f, np_outbox_sent(&f->outbox, f->items, 2), NP_OUTBOX_UNSENT);
            last_ms = 0;
        }
    }
    f->now_ms = np_outbox_due(&f->outbox, f->now_ms);
    assert_int_equal(offer(f), 2);
    result(f, np_outbox_sent(&f->outbox, f->items, 2), NP_OUTBOX_DONE);
    assert_int_equal(f->done[1] + f->done[2], 2);
    assert_int_equal(np_outbox_failing_since(&f->outbox), NP_JOB_NEVER);
}

/* While the epoch is unsettled nothing else is sent, and it waits for the messages of the old one. */
static void test_fence_waits_for_the_others(void **state)
{
    struct fixture *f = *state;
    raise_fence(f);
    for (unsigned i = 0; i < 2 * FULL; i++)
        add(f, i);
    offer(f);
    size_t first = np_outbox_sent(&f->outbox, f->items, FULL);
    offer(f);
    size_t second = np_outbox_sent(&f->outbox, f->items, FULL);
    result(f, first, NP_OUTBOX_FAILED);
    f->now_ms += 60000;
    assert_false(np_outbox_wants_fence(&f->outbox, f->now_ms));
    assert_int_equal(offer(f), 0);
    result(f, second, NP_OUTBOX_DONE);
    raise_fence(f);
    assert_int_equal(offer(f), FULL);
    assert_string_equal(f->outbox.items[f->items[0]].name, "n0");
    /* One refused epoch is put right at once, more of them with growing pauses. */
    result(f, np_outbox_sent(&f->outbox, f->items, FULL), NP_OUTBOX_FENCED);
    raise_fence(f);
    offer(f);
    result(f, np_outbox_sent(&f->outbox, f->items, FULL), NP_OUTBOX_FENCED);
    assert_false(np_outbox_wants_fence(&f->outbox, f->now_ms));
    assert_true(np_outbox_wants_fence(&f->outbox, f->now_ms + NP_OUTBOX_RETRY_FIRST));
}

/* ---- Nothing old wins ---- */

#define MODEL_NAMES 12
#define MODEL_LATE  64

/* A message as the network has it: what it writes, if the epoch is still that. */
struct late {
    bool used, fence;
    unsigned epoch;
    unsigned names[FULL], versions[FULL];
    size_t count;
};

struct model {
    struct fixture *f;
    unsigned wanted[MODEL_NAMES];  /* the newest version of each name */
    unsigned written[MODEL_NAMES]; /* what the server has */
    unsigned server_epoch, epoch;
    struct late late[MODEL_LATE];
};

/* The server reads a message, whenever that is. True: it was applied. */
static bool apply(struct model *m, const struct late *late)
{
    if (late->fence) {
        m->server_epoch = late->epoch;
        return true;
    }
    if (late->epoch != m->server_epoch)
        return false;
    for (size_t i = 0; i < late->count; i++)
        m->written[late->names[i]] = late->versions[i];
    return true;
}

static void keep_late(struct model *m, const struct late *late)
{
    size_t slot = dice(m->f, MODEL_LATE);
    m->late[slot] = *late;
    m->late[slot].used = true;
}

/* Sends a message on its way: applied and answered; applied, the answer lost; lost for now, applied at any time later;
 * lost for ever. */
static enum np_outbox_outcome deliver(struct model *m, const struct late *late, int luck)
{
    switch (luck) {
    case 0:
        apply(m, late);
        return NP_OUTBOX_FAILED;
    case 1:
        keep_late(m, late);
        return NP_OUTBOX_FAILED;
    case 2:
        return NP_OUTBOX_FAILED;
    case 3:
        return NP_OUTBOX_UNSENT;
    default:
        return apply(m, late) ? NP_OUTBOX_DONE : NP_OUTBOX_FENCED;
    }
}

static void step_names(struct model *m, int luck)
{
    struct fixture *f = m->f;
    struct late late = {.epoch = m->epoch};
    size_t count = offer(f);
    if (count > 5)
        count = 1 + dice(m->f, 5);
    if (count == 0)
        return;
    for (size_t i = 0; i < count; i++) {
        late.names[i] = number_of(&f->outbox.items[f->items[i]]);
        late.versions[i] = m->wanted[late.names[i]];
        for (size_t k = 0; k < i; k++)
            assert_int_not_equal(late.names[k], late.names[i]);
    }
    late.count = count;
    result(f, np_outbox_sent(&f->outbox, f->items, count), deliver(m, &late, luck));
}

static void step(struct model *m, bool calm)
{
    struct fixture *f = m->f;
    f->now_ms += dice(f, 3000);
    if (!calm && dice(f, 3) == 0) {
        unsigned n = dice(f, MODEL_NAMES);
        m->wanted[n]++;
        add(f, n);
    }
    if (dice(f, 4) == 0) {
        struct late *late = &m->late[dice(f, MODEL_LATE)];
        if (late->used)
            apply(m, late); /* once more, perhaps: a message may arrive twice */
    }
    if (!calm && dice(f, 200) == 0) {
        /* HQ is killed: what it knew is gone, the marks of the store are not. */
        np_outbox_init(&f->outbox, RRS);
        for (unsigned n = 0; n < MODEL_NAMES; n++)
            add(f, n);
    }
    int luck = calm ? 9 : (int)dice(f, 8);
    if (np_outbox_wants_fence(&f->outbox, f->now_ms)) {
        struct late late = {.fence = true, .epoch = ++m->epoch};
        np_outbox_fence_sent(&f->outbox);
        np_outbox_fence_result(&f->outbox, deliver(m, &late, luck), f->now_ms, none_below, NULL);
        return;
    }
    step_names(m, luck);
}

static void test_nothing_old_wins(void **state)
{
    struct fixture *f = *state;
    for (unsigned seed = 0; seed < 60; seed++) {
        struct model m = {.f = f};
        f->random = seed + 1;
        np_outbox_init(&f->outbox, RRS);
        for (unsigned i = 0; i < 3000; i++)
            step(&m, false);
        /* Calm: answers come; late messages do, too, until the end. */
        for (unsigned i = 0; i < 300; i++)
            step(&m, true);
        assert_int_equal(np_outbox_room(&f->outbox), NP_OUTBOX_ITEMS_MAX);
        for (unsigned i = 0; i < MODEL_LATE; i++) {
            if (m.late[i].used && !m.late[i].fence)
                apply(&m, &m.late[i]);
        }
        assert_memory_equal(m.written, m.wanted, sizeof m.wanted);
    }
}

int main(void)
{
#define OUTBOX_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        OUTBOX_TEST(test_grouping),
        OUTBOX_TEST(test_in_flight_limit),
        OUTBOX_TEST(test_one_at_a_time),
        OUTBOX_TEST(test_one_bad_name),
        OUTBOX_TEST(test_any_few_bad_names),
        OUTBOX_TEST(test_all_refused),
        OUTBOX_TEST(test_broken_by_a_name),
        OUTBOX_TEST(test_failing_and_back),
        OUTBOX_TEST(test_fence_waits_for_the_others),
        OUTBOX_TEST(test_nothing_old_wins),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

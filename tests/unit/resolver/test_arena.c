#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "resolver/arena.h"
#include "resolver/base/error.h"

/* Always the same numbers. */
static uint32_t next_random(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*state >> 33);
}

/* Items hold their number; the hash is derived from it, and a bad one on demand. */
static uint32_t hash_of(uint32_t number)
{
    return number * 2654435761u ^ number >> 7;
}

static struct np_item *find(struct np_arena *arena, uint32_t hash, uint32_t number)
{
    size_t slot;
    struct np_item *item = np_arena_first(arena, hash, &slot);
    while (item && memcmp(np_item_data(item), &number, sizeof number) != 0)
        item = np_arena_next(arena, hash, &slot);
    return item;
}

static struct np_item *add(struct np_arena *arena, uint32_t hash, uint32_t number, size_t len, bool proven)
{
    struct np_item *item = np_arena_add(arena, hash, len, proven);
    assert_non_null(item);
    assert_true(np_item_room(item) >= len && np_item_room(item) < len + 8);
    memset(np_item_data(item), (int)(number & 0xff), len);
    memcpy(np_item_data(item), &number, sizeof number);
    return item;
}

/* Everything that the walk finds is found by its hash, and the other way round; every byte is as it was written. */
static void check(struct np_arena *arena, uint32_t (*hash)(uint32_t))
{
    size_t count = 0, bytes = 0;
    struct np_item *item;
    for (size_t pos = 0; (item = np_arena_each(arena, &pos)); count++) {
        uint32_t number;
        const uint8_t *data = np_item_data(item);
        memcpy(&number, data, sizeof number);
        assert_ptr_equal(find(arena, hash(number), number), item);
        for (size_t i = sizeof number; i + 8 < np_item_room(item); i++)
            assert_int_equal(data[i], number & 0xff);
        bytes += np_item_room(item) + sizeof *item;
    }
    assert_int_equal(count, np_arena_stats(arena)->items);
    assert_true(bytes <= np_arena_stats(arena)->bytes);
}

static void test_limits(void **state)
{
    (void)state;
    struct np_arena *arena;
    assert_int_equal(np_arena_new(NP_ARENA_SIZE_MIN - 1, &arena), NP_E_LIMIT);
    assert_int_equal(np_arena_new((size_t)NP_ARENA_SIZE_MAX + 1, &arena), NP_E_LIMIT);
    assert_int_equal(np_arena_new(NP_ARENA_SIZE_MIN, &arena), 0);
    assert_null(np_arena_add(arena, 1, np_arena_item_max(arena) + 1, false));
    add(arena, 1, 1, np_arena_item_max(arena), false);
    add(arena, 2, 2, np_arena_item_max(arena), true);
    assert_int_equal(np_arena_stats(arena)->items, 2);
    np_arena_free(arena);
    np_arena_free(NULL);
}

/* Random sizes, uses, removals and hashes, many times the arena's size: nothing is lost track of, no byte changes. */
static void churn(uint32_t (*hash)(uint32_t), unsigned steps, uint32_t seed)
{
    struct np_arena *arena;
    uint64_t random = seed;
    assert_int_equal(np_arena_new(NP_ARENA_SIZE_MIN, &arena), 0);
    for (unsigned i = 0; i < steps; i++) {
        uint32_t number = next_random(&random) % 4000;
        size_t len = sizeof number + next_random(&random) % (next_random(&random) % 50 == 0 ? 2500 : 150);
        struct np_item *item = find(arena, hash(number), number);
        if (item && next_random(&random) % 4 == 0)
            np_arena_remove(arena, item);
        else if (item)
            np_item_use(item);
        else
            add(arena, hash(number), number, len, next_random(&random) % 8 == 0);
        if (i % 997 == 0)
            check(arena, hash);
    }
    check(arena, hash);
    np_arena_clear(arena);
    assert_int_equal(np_arena_stats(arena)->items, 0);
    size_t pos = 0;
    assert_null(np_arena_each(arena, &pos));
    add(arena, hash(5), 5, 100, false);
    check(arena, hash);
    np_arena_free(arena);
}

static uint32_t few_hashes(uint32_t number)
{
    return number % 37 * 0x01000193u;
}

/* Homes at the end of the index, so that runs go round it. */
static uint32_t last_homes(uint32_t number)
{
    return UINT32_MAX - number % 3;
}

static void test_churn(void **state)
{
    (void)state;
    for (uint32_t seed = 0; seed < 8; seed++)
        churn(hash_of, 20000, seed);
}

/* Equal hashes only cost time. */
static void test_collisions(void **state)
{
    (void)state;
    churn(few_hashes, 6000, 1);
    churn(last_homes, 3000, 2);
}

static size_t survivors(struct np_arena *arena, uint32_t first, uint32_t count)
{
    size_t alive = 0;
    for (uint32_t i = first; i < first + count; i++)
        alive += find(arena, hash_of(i), i) != NULL;
    return alive;
}

/* Until it is full an arena forgets nothing, used or not. */
static void test_nothing_is_forgotten_early(void **state)
{
    (void)state;
    struct np_arena *arena;
    assert_int_equal(np_arena_new(4 << 20, &arena), 0);
    for (uint32_t i = 0; i < 20000; i++)
        add(arena, hash_of(i), i, 120, false);
    assert_int_equal(survivors(arena, 0, 20000), 20000);
    assert_int_equal(np_arena_stats(arena)->forgotten, 0);
    np_arena_free(arena);
}

/* What is used now and then stays while a million others that nobody uses again pass by. */
static void flood(size_t hot_len, size_t cold_len, unsigned between)
{
    struct np_arena *arena;
    enum { HOT = 2000, COLD = 1000000 };
    assert_int_equal(np_arena_new(1 << 20, &arena), 0);
    for (uint32_t i = 0; i < HOT; i++)
        add(arena, hash_of(i), i, hot_len, false);
    for (uint32_t i = 0; i < HOT; i++)
        np_item_use(find(arena, hash_of(i), i));
    for (uint32_t i = 0; i < COLD; i++) {
        add(arena, hash_of(HOT + i), HOT + i, cold_len, false);
        struct np_item *hot = i % between == 0 ? find(arena, hash_of(i / between % HOT), i / between % HOT) : NULL;
        if (hot)
            np_item_use(hot);
    }
    assert_int_equal(survivors(arena, 0, HOT), HOT);
    assert_true(np_arena_stats(arena)->items <= (1 << 20) / 128 * 3 / 4);
    assert_true(np_arena_stats(arena)->bytes <= 1 << 20);
    check(arena, hash_of);
    np_arena_free(arena);
}

static void test_flood(void **state)
{
    (void)state;
    flood(100, 100, 10);
    flood(150, 400, 10);
    flood(150, 20, 10); /* so small that the index is full before the rings are */
}

/* What comes back soon after it was forgotten goes straight to the main ring; a flood does not. */
static void test_traces(void **state)
{
    (void)state;
    struct np_arena *arena;
    assert_int_equal(np_arena_new(1 << 20, &arena), 0);
    for (uint32_t i = 0; i < 20000; i++)
        add(arena, hash_of(i), i, 200, false);
    for (uint32_t i = 20000; find(arena, hash_of(19999), 19999); i++)
        add(arena, hash_of(i), i, 200, false);
    assert_true(np_arena_proven(arena, add(arena, hash_of(19999), 19999, 200, false)));
    assert_false(np_arena_proven(arena, add(arena, hash_of(1000000), 1000000, 200, false)));
    np_arena_free(arena);
}

/* New items get their time on probation even when the index, not the memory, is what is short. */
static void test_crowded_probation(void **state)
{
    (void)state;
    struct np_arena *arena;
    enum { BATCH = 100 };
    assert_int_equal(np_arena_new(1 << 20, &arena), 0);
    uint32_t number = 0;
    while (np_arena_stats(arena)->forgotten == 0)
        add(arena, hash_of(number), number, 4, false), number++;
    size_t kept = 0;
    for (int round = 0; round < 100; round++) {
        uint32_t first = number;
        for (int i = 0; i < BATCH; i++, number++)
            add(arena, hash_of(number), number, 4, false);
        kept += survivors(arena, first, BATCH);
    }
    assert_int_equal(kept, 100 * BATCH);
    np_arena_free(arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_churn),
        cmocka_unit_test(test_collisions),
        cmocka_unit_test(test_nothing_is_forgotten_early),
        cmocka_unit_test(test_flood),
        cmocka_unit_test(test_traces),
        cmocka_unit_test(test_crowded_probation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

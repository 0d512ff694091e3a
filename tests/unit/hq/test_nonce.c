/* Replay-Nonces: ours, in time, and untouched. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "hq/api/nonce.h"
#include "resolver/base/error.h"

#define NOW_US INT64_C(1790000000000000)

static const uint8_t key[32] = "a key of thirty-two bytes, about";
static const uint8_t random_bytes[8] = "random.";

static void test_round_trip(void **state)
{
    (void)state;
    char nonce[NP_NONCE_MAX + 1];
    int64_t issued = 0;
    np_nonce_make(key, NOW_US, random_bytes, nonce);
    assert_int_equal(strlen(nonce), 43);
    assert_int_equal(np_nonce_check(key, NOW_US, nonce, &issued), 0);
    assert_int_equal(issued, NOW_US);
}

static void test_life(void **state)
{
    (void)state;
    static const struct {
        int64_t age_us;
        int rc;
    } rows[] = {
        {0, 0},
        {NP_NONCE_LIFE_US, 0},
        {NP_NONCE_LIFE_US + 1, NP_E_STALE},
        {-1000, 0},             /* a nonce that was moved ahead to be unique */
        {-NP_NONCE_SKEW_US, 0}, /* of an HQ whose clock is ahead */
        {-NP_NONCE_SKEW_US - 1, NP_E_STALE},
    };
    char nonce[NP_NONCE_MAX + 1];
    int64_t issued;
    np_nonce_make(key, NOW_US, random_bytes, nonce);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_int_equal(np_nonce_check(key, NOW_US + rows[i].age_us, nonce, &issued), rows[i].rc);
}

/* Two HQs, whose clocks differ: no nonce twice, and what a device is given it can use. */
static void test_skew(void **state)
{
    (void)state;
    static const struct {
        int64_t issued_us, last_us, now_us;
        bool follows;
    } rows[] = {
        {NOW_US, 0, NOW_US, true},
        {NOW_US, NOW_US - 1, NOW_US, true},
        {NOW_US, NOW_US, NOW_US, false},
        {NOW_US, NOW_US, NOW_US - 1, false}, /* used at an HQ that is ahead, and again at one that is behind */
        {NOW_US - 9, NOW_US, NOW_US - NP_NONCE_SKEW_US, false},
        {NOW_US + 1, NOW_US, NOW_US - NP_NONCE_SKEW_US, true},
        {NOW_US - 9, NOW_US, NOW_US - NP_NONCE_SKEW_US - 1, true}, /* the clock was set back */
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (np_nonce_follows(rows[i].issued_us, rows[i].last_us, rows[i].now_us) != rows[i].follows)
            fail_msg("row %zu", i);
    }
    assert_int_equal(np_nonce_next(0, NOW_US), NOW_US);
    assert_int_equal(np_nonce_next(NOW_US, NOW_US), NOW_US + 1);
    assert_int_equal(np_nonce_next(NOW_US + NP_NONCE_SKEW_US, NOW_US), NOW_US + NP_NONCE_SKEW_US + 1);
    assert_int_equal(np_nonce_next(NOW_US + NP_NONCE_SKEW_US + 1, NOW_US), NOW_US); /* the clock was set back */
    int64_t last_us = np_nonce_seen(NOW_US - 5, NOW_US + 5000000, NOW_US);
    assert_int_equal(np_nonce_next(last_us, NOW_US), NOW_US + 5000001);
    assert_int_equal(np_nonce_seen(NOW_US, NOW_US - 1, NOW_US), NOW_US);
    assert_int_equal(np_nonce_seen(NOW_US, NOW_US + NP_NONCE_SKEW_US + 1, NOW_US), NOW_US);
}

static void test_forgeries(void **state)
{
    (void)state;
    uint8_t other[32];
    char nonce[NP_NONCE_MAX + 1], changed[NP_NONCE_MAX + 2];
    int64_t issued;
    memcpy(other, key, sizeof other);
    other[31] ^= 1;
    np_nonce_make(key, NOW_US, random_bytes, nonce);
    assert_int_equal(np_nonce_check(other, NOW_US, nonce, &issued), NP_E_SIGNATURE);
    for (size_t i = 0; i < strlen(nonce); i++) {
        memcpy(changed, nonce, sizeof nonce);
        changed[i] = changed[i] == 'A' ? 'B' : 'A';
        assert_int_equal(np_nonce_check(key, NOW_US, changed, &issued), NP_E_SIGNATURE);
        memcpy(changed, nonce, sizeof nonce);
        changed[i] = 0; /* truncated at each byte */
        assert_int_equal(np_nonce_check(key, NOW_US, changed, &issued), NP_E_SIGNATURE);
    }
    memcpy(changed, nonce, 43);
    memcpy(changed + 43, "A", 2);
    assert_int_equal(np_nonce_check(key, NOW_US, changed, &issued), NP_E_SIGNATURE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_life),
        cmocka_unit_test(test_skew),
        cmocka_unit_test(test_forgeries),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "resolver/base/cursor.h"
#include "resolver/base/error.h"

static const uint8_t bytes[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};

static void test_read(void **state)
{
    (void)state;
    struct np_reader r = np_reader_make(bytes, sizeof bytes);
    assert_int_equal(np_read_u8(&r), 1);
    assert_int_equal(np_read_u16(&r), 0x0203);
    assert_int_equal(np_read_u32(&r), 0x04050607);
    assert_true(np_read_u64(&r) == UINT64_C(0x08090a0b0c0d0e0f));
    assert_int_equal(np_reader_left(&r), 0);
    assert_int_equal(r.error, 0);
}

/* Each kind of read at each length too short by one: 0, the error, and nothing after it. */
static void test_read_past_end(void **state)
{
    (void)state;
    for (size_t n = 0; n < 8; n++) {
        struct np_reader r8 = np_reader_make(bytes, n), r4 = r8, r2 = r8, r1 = r8, rb = r8;
        (void)np_read_u64(&r8);
        assert_int_equal(r8.error, NP_E_TRUNCATED);
        assert_int_equal(np_read_u8(&r8), 0); /* sticky even where a byte is left */
        (void)np_read_u32(&r4);
        assert_int_equal(r4.error, n < 4 ? NP_E_TRUNCATED : 0);
        (void)np_read_u16(&r2);
        assert_int_equal(r2.error, n < 2 ? NP_E_TRUNCATED : 0);
        (void)np_read_u8(&r1);
        assert_int_equal(r1.error, n < 1 ? NP_E_TRUNCATED : 0);
        assert_null(np_read_bytes(&rb, n + 1));
        assert_int_equal(np_reader_left(&rb), 0);
        assert_null(np_read_bytes(&rb, 0));
    }
    struct np_reader huge = np_reader_make(bytes, 4);
    np_read_skip(&huge, 1);
    assert_null(np_read_bytes(&huge, SIZE_MAX)); /* no wrap-around */
    assert_int_equal(huge.pos, 1);
}

static void test_copy_clears_on_error(void **state)
{
    uint8_t out[4] = {9, 9, 9, 9};
    (void)state;
    struct np_reader r = np_reader_make(bytes, 3);
    np_read_copy(&r, out, 4);
    assert_memory_equal(out, "\0\0\0\0", 4);
    np_read_copy(&r, NULL, 0);
    assert_int_equal(r.error, NP_E_TRUNCATED);
}

static void test_seek_skip_sub(void **state)
{
    (void)state;
    struct np_reader r = np_reader_make(bytes, 8);
    np_read_seek(&r, 8);
    assert_int_equal(r.error, 0);
    np_read_seek(&r, 2);
    struct np_reader sub = np_read_sub(&r, 3);
    assert_int_equal(np_read_u8(&sub), 3);
    assert_int_equal(np_reader_left(&sub), 2);
    (void)np_read_u32(&sub);
    assert_int_equal(sub.error, NP_E_TRUNCATED); /* its own end, not the outer one */
    assert_int_equal(r.error, 0);
    assert_int_equal(np_read_u8(&r), 6);
    struct np_reader none = np_read_sub(&r, 3);
    assert_int_equal(none.error, NP_E_TRUNCATED);
    assert_int_equal(none.size, 0);
    struct np_reader s = np_reader_make(bytes, 8);
    np_read_seek(&s, 9);
    assert_int_equal(s.error, NP_E_TRUNCATED);
    struct np_reader empty = np_reader_make(NULL, 0);
    (void)np_read_sub(&empty, 0);
    assert_int_equal(empty.error, 0);
}

static void test_first_error_stays(void **state)
{
    (void)state;
    struct np_reader r = np_reader_make(bytes, 1);
    np_reader_fail(&r, NP_E_MALFORMED);
    np_reader_fail(&r, NP_E_LIMIT);
    (void)np_read_u64(&r);
    assert_int_equal(r.error, NP_E_MALFORMED);
}

static void test_write(void **state)
{
    uint8_t out[15];
    (void)state;
    struct np_writer w = np_writer_make(out, sizeof out);
    np_write_u8(&w, 1);
    np_write_u16(&w, 0x0203);
    np_write_u32(&w, 0x04050607);
    np_write_u64(&w, UINT64_C(0x08090a0b0c0d0e0f));
    assert_int_equal(w.error, 0);
    assert_int_equal(np_writer_left(&w), 0);
    assert_memory_equal(out, bytes, sizeof bytes);
    np_write_bytes(&w, NULL, 0);
    assert_int_equal(w.error, 0);
    np_write_u8(&w, 1);
    assert_int_equal(w.error, NP_E_LIMIT);
    assert_int_equal(w.pos, 15);
}

static void test_write_over_limit(void **state)
{
    uint8_t out[4] = {0, 0, 0, 0xee};
    (void)state;
    struct np_writer w = np_writer_make(out, 3);
    np_write_u32(&w, 0x01020304);
    assert_int_equal(w.error, NP_E_LIMIT);
    np_write_u8(&w, 5); /* sticky: nothing is written after the error, though it would fit */
    assert_int_equal(w.pos, 0);
    assert_memory_equal(out, "\0\0\0\xee", 4);
    assert_null(np_write_reserve(&w, 0));
    struct np_writer huge = np_writer_make(out, 3);
    np_write_u8(&huge, 1);
    assert_null(np_write_reserve(&huge, SIZE_MAX));
    /* A 64-bit number of which only half fits leaves no half behind that a reader would trust: the error is there. */
    uint8_t half[6];
    struct np_writer h = np_writer_make(half, sizeof half);
    np_write_u64(&h, 1);
    assert_int_equal(h.error, NP_E_LIMIT);
}

static void test_write_at_and_rewind(void **state)
{
    uint8_t out[8];
    (void)state;
    struct np_writer w = np_writer_make(out, sizeof out);
    np_write_u32(&w, 0);
    np_write_u16_at(&w, 2, 0xabcd);
    assert_memory_equal(out, "\0\0\xab\xcd", 4);
    np_write_u16_at(&w, 3, 1); /* half of it not yet written */
    assert_int_equal(w.error, NP_E_LIMIT);
    np_write_rewind(&w, 2);
    assert_int_equal(w.error, 0);
    assert_int_equal(w.pos, 2);
    np_write_rewind(&w, 3); /* never forward */
    assert_int_equal(w.pos, 2);
    np_write_u16_at(&w, SIZE_MAX, 1);
    assert_int_equal(w.error, NP_E_LIMIT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_read),
        cmocka_unit_test(test_read_past_end),
        cmocka_unit_test(test_copy_clears_on_error),
        cmocka_unit_test(test_seek_skip_sub),
        cmocka_unit_test(test_first_error_stays),
        cmocka_unit_test(test_write),
        cmocka_unit_test(test_write_over_limit),
        cmocka_unit_test(test_write_at_and_rewind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

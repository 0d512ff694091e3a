#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "resolver/base/error.h"
#include "resolver/frames.h"

/* Feeds the bytes in pieces of at most step and checks every message that comes out: message i is len(i) times byte i.
 */
static size_t feed(const uint8_t *bytes, size_t len, size_t step, const size_t *lengths, size_t count)
{
    struct np_frames frames = {0};
    size_t seen = 0;
    for (size_t pos = 0; pos < len;) {
        size_t room, n = len - pos < step ? len - pos : step, message_len;
        const uint8_t *message;
        uint8_t *to = np_frames_room(&frames, &room);
        assert_non_null(to);
        assert_true(room > 0);
        n = n < room ? n : room;
        memcpy(to, bytes + pos, n);
        np_frames_filled(&frames, n);
        pos += n;
        while (np_frames_next(&frames, &message, &message_len)) {
            assert_true(seen < count);
            assert_int_equal(message_len, lengths[seen]);
            for (size_t i = 0; i < message_len; i++)
                assert_int_equal(message[i], (uint8_t)seen);
            seen++;
        }
    }
    np_frames_deinit(&frames);
    return seen;
}

static void test_pieces(void **state)
{
    (void)state;
    static const size_t lengths[] = {12, 0, 1, 512, 4094, 4095, 4096, 65535, 30, 65535, 65534, 2};
    static const size_t steps[] = {1, 2, 3, 7, 100, 4096, 4097, 65536, 1 << 20};
    enum { COUNT = sizeof lengths / sizeof *lengths };
    static uint8_t bytes[256 * 1024];
    size_t len = 0;
    for (size_t i = 0; i < COUNT; i++) {
        bytes[len++] = (uint8_t)(lengths[i] >> 8);
        bytes[len++] = (uint8_t)lengths[i];
        memset(bytes + len, (int)i, lengths[i]);
        len += lengths[i];
    }
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        assert_int_equal(feed(bytes, len, steps[i], lengths, COUNT), COUNT);
        /* A byte short: all but the last. */
        assert_int_equal(feed(bytes, len - 1, steps[i], lengths, COUNT), COUNT - 1);
    }
}

static void test_take(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t len, pos;
        int result;
        size_t after; /* of pos, where one was taken */
    } rows[] = {
        {"", 0, 0, 0, 0},
        {"\0", 1, 0, 0, 0},
        {"\0\3", 2, 0, 0, 0},
        {"\0\3ab", 4, 0, 0, 0},
        {"\0\3abc", 5, 0, 1, 5},
        {"\0\3abc\0", 6, 5, 0, 5},
        {"xx\0\4abcdyy", 10, 2, 1, 8},
        {"\0\2ab", 4, 0, NP_E_MALFORMED, 0}, /* below and above the bounds: said as soon as the length is there */
        {"\0\5", 2, 0, NP_E_MALFORMED, 0},
        {"\0\0", 2, 0, NP_E_MALFORMED, 0},
        {"\377\377", 2, 0, NP_E_MALFORMED, 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const uint8_t *message = NULL;
        size_t pos = rows[i].pos, len = 0;
        assert_int_equal(np_frame_take((const uint8_t *)rows[i].bytes, rows[i].len, &pos, 3, 4, &message, &len),
                         rows[i].result);
        assert_int_equal(pos, rows[i].result == 1 ? rows[i].after : rows[i].pos);
        if (rows[i].result == 1)
            assert_ptr_equal(message + len, rows[i].bytes + pos);
    }
}

static void test_memory(void **state)
{
    (void)state;
    struct np_frames frames = {0};
    const uint8_t *message;
    size_t room, len;
    assert_false(np_frames_next(&frames, &message, &len));
    uint8_t *to = np_frames_room(&frames, &room);
    assert_int_equal(room, NP_FRAMES_SMALL);
    memcpy(to, "\xff\xff", 2);
    np_frames_filled(&frames, 2);
    assert_false(np_frames_next(&frames, &message, &len));
    to = np_frames_room(&frames, &room);
    assert_int_equal(room, NP_DNS_MESSAGE_MAX);
    memset(to, 7, room);
    np_frames_filled(&frames, room);
    assert_true(np_frames_next(&frames, &message, &len));
    assert_int_equal(len, NP_DNS_MESSAGE_MAX);
    assert_false(np_frames_next(&frames, &message, &len));
    (void)np_frames_room(&frames, &room);
    assert_int_equal(room, NP_FRAMES_SMALL);
    np_frames_deinit(&frames);
    np_frames_deinit(&frames);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_pieces), cmocka_unit_test(test_take),
                                       cmocka_unit_test(test_memory)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "resolver/message.h"
#include "resolver/padding.h"

#define SIZE 2048

static size_t query(uint8_t out[SIZE], const char *text, bool edns)
{
    struct np_name name;
    assert_int_equal(np_name_parse(text, &name), 0);
    int len = np_query_write(out, SIZE, 1, NP_FLAG_RD, &name, NP_RR_A, edns, false);
    assert_true(len > 0);
    return (size_t)len;
}

/* Still a message, and all that was added is one option of zeros. */
static void check(const uint8_t *before, size_t len, const uint8_t *after, size_t padded)
{
    struct np_query parsed;
    assert_int_equal(np_query_parse(after, padded, &parsed), NP_QUERY_GOOD);
    assert_true(parsed.padding);
    assert_memory_equal(before, after, len - 2);
    assert_int_equal(after[len - 2] << 8 | after[len - 1], padded - len); /* the OPT's length */
    assert_int_equal(after[len] << 8 | after[len + 1], NP_PADDING_OPTION);
    assert_int_equal(after[len + 2] << 8 | after[len + 3], padded - len - 4);
    for (size_t i = len + 4; i < padded; i++)
        assert_int_equal(after[i], 0);
}

static void test_blocks(void **state)
{
    (void)state;
    static const char *const names[] = {"a.example", "a-name-of-some-length.example",
                                        "a-name-of-some-more-length-that-fills-its-block.devices.example",
                                        "a-label-of-sixty-three-characters-which-is-the-longest-there-is.example",
                                        "a.b.c.d.e.f.g.h.i.j.k.l.m.n.o.p.q.r.s.t.u.v.w.x.y.z.example"};
    static const size_t blocks[] = {NP_PADDING_QUERY, NP_PADDING_RESPONSE, 1};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        for (size_t b = 0; b < sizeof blocks / sizeof *blocks; b++) {
            uint8_t before[SIZE], after[SIZE];
            size_t len = query(before, names[i], true);
            memset(after, 0xee, sizeof after);
            memcpy(after, before, len);
            size_t padded = np_padding_add(after, len, SIZE, blocks[b]);
            assert_int_equal(padded % blocks[b], 0);
            assert_true(padded >= len + 4 && padded < len + 4 + blocks[b]);
            check(before, len, after, padded);
        }
    }
}

/* At every size from too small to more than enough. */
static void test_room(void **state)
{
    (void)state;
    uint8_t before[SIZE], after[SIZE];
    size_t len = query(before, "a.example", true);
    for (size_t size = len; size < 200; size++) {
        memset(after, 0xee, sizeof after);
        memcpy(after, before, len);
        size_t padded = np_padding_add(after, len, size, NP_PADDING_QUERY);
        assert_int_equal(padded, size < len + 4 ? len : size < 128 ? size : 128);
        if (padded > len)
            check(before, len, after, padded);
        for (size_t i = padded; i < SIZE; i++)
            assert_int_equal(after[i], 0xee);
    }
}

static void test_nothing_to_pad(void **state)
{
    (void)state;
    uint8_t message[SIZE];
    struct np_query parsed;
    size_t len = query(message, "a.example", false);
    assert_int_equal(np_padding_add(message, len, SIZE, NP_PADDING_QUERY), len);
    assert_int_equal(np_query_parse(message, len, &parsed), NP_QUERY_GOOD);
    assert_false(parsed.padding);
    /* An OPT that is not the last record. */
    static const uint8_t behind[] = "\0\1\1\0\0\1\0\0\0\0\0\2\0\0\1\0\1"
                                    "\0\0\51\4\320\0\0\0\0\0\0"
                                    "\0\0\1\0\1\0\0\0\0\0\4\1\2\3\4";
    memcpy(message, behind, sizeof behind - 1);
    assert_int_equal(np_padding_add(message, sizeof behind - 1, SIZE, 128), sizeof behind - 1);
    for (size_t cut = 0; cut < sizeof behind - 16; cut++)
        assert_int_equal(np_padding_add(message, cut, SIZE, 128), cut);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_blocks), cmocka_unit_test(test_room),
                                       cmocka_unit_test(test_nothing_to_pad)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

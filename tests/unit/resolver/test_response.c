#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "resolver/response.h"
#include "tests/unit/resolver/dump.h"

#define HEAD(flags, an, ns, ar) "\x12\x34" flags "\0\1\0" an "\0" ns "\0" ar
#define QUESTION                "\3wWw\7exAmple\0\0\1\0\1"
#define ANSWER                  "\300\14\0\1\0\1\0\0\0\74\0\4\10\10\10\10"
#define OPT                     "\0\0\51\4\320\0\0\0\0\0\0"

static void test_check(void **state)
{
    (void)state;
#define ROW(packet, verdict)                                                                                           \
    {                                                                                                                  \
        packet, sizeof(packet) - 1, verdict, false                                                                     \
    }
    static const struct {
        const char *packet;
        size_t len;
        enum np_response_verdict verdict;
        bool tcp;
    } rows[] = {
        ROW(HEAD("\201\200", "\1", "\0", "\0") QUESTION ANSWER, NP_RESPONSE_GOOD),
        ROW(HEAD("\201\200", "\1", "\0", "\1") QUESTION ANSWER OPT, NP_RESPONSE_GOOD),
        ROW(HEAD("\201\203", "\0", "\0", "\0") QUESTION, NP_RESPONSE_GOOD),
        ROW(HEAD("\201\202", "\0", "\0", "\0") QUESTION, NP_RESPONSE_FAILED),
        ROW(HEAD("\201\205", "\0", "\0", "\1") QUESTION OPT, NP_RESPONSE_FAILED),
        ROW(HEAD("\201\201", "\0", "\0", "\1") QUESTION OPT, NP_RESPONSE_FAILED),
        ROW(HEAD("\201\201", "\0", "\0", "\0") QUESTION, NP_RESPONSE_NO_EDNS),
        ROW(HEAD("\201\204", "\0", "\0", "\0") QUESTION, NP_RESPONSE_NO_EDNS),
        ROW("\x12\x34\201\201\0\0\0\0\0\0\0\0", NP_RESPONSE_NO_EDNS),
        ROW("\x12\x34\201\202\0\0\0\0\0\0\0\0", NP_RESPONSE_BARE),
        ROW("\x12\x34\201\205\0\0\0\0\0\0\0\0", NP_RESPONSE_BARE),
        ROW("\x12\x34\201\200\0\0\0\0\0\0\0\0", NP_RESPONSE_FOREIGN),
        ROW(HEAD("\203\200", "\0", "\0", "\0") QUESTION, NP_RESPONSE_TRUNCATED),
        {HEAD("\203\200", "\0", "\0", "\0") QUESTION, 12 + 17, NP_RESPONSE_GOOD, true},
        /* another case, another ID, a query, another opcode, name, type, class, two questions, none */
        ROW(HEAD("\201\200", "\1", "\0", "\0") "\3www\7exAmple\0\0\1\0\1" ANSWER, NP_RESPONSE_CASE),
        ROW("\x12\x35\201\200\0\1\0\1\0\0\0\0" QUESTION ANSWER, NP_RESPONSE_FOREIGN),
        ROW(HEAD("\1\200", "\1", "\0", "\0") QUESTION ANSWER, NP_RESPONSE_FOREIGN),
        ROW(HEAD("\251\200", "\1", "\0", "\0") QUESTION ANSWER, NP_RESPONSE_FOREIGN),
        ROW(HEAD("\201\200", "\1", "\0", "\0") "\3wWx\7exAmple\0\0\1\0\1" ANSWER, NP_RESPONSE_FOREIGN),
        ROW(HEAD("\201\200", "\1", "\0", "\0") "\3wWw\7exAmple\0\0\34\0\1" ANSWER, NP_RESPONSE_FOREIGN),
        ROW(HEAD("\201\200", "\1", "\0", "\0") "\3wWw\7exAmple\0\0\1\0\3" ANSWER, NP_RESPONSE_FOREIGN),
        ROW("\x12\x34\201\200\0\2\0\1\0\0\0\0" QUESTION QUESTION ANSWER, NP_RESPONSE_FOREIGN),
        ROW("\x12\x34\201\200\0\0\0\1\0\0\0\0" ANSWER, NP_RESPONSE_FOREIGN),
        ROW("", NP_RESPONSE_FOREIGN),
        /* right, but cut, with something behind, or with two OPTs */
        ROW(HEAD("\201\200", "\2", "\0", "\0") QUESTION ANSWER, NP_RESPONSE_BROKEN),
        ROW(HEAD("\201\200", "\1", "\0", "\0") QUESTION ANSWER "x", NP_RESPONSE_BROKEN),
        ROW(HEAD("\201\200", "\0", "\0", "\2") QUESTION OPT OPT, NP_RESPONSE_BROKEN),
        ROW(HEAD("\201\200", "\1", "\0", "\0") QUESTION OPT, NP_RESPONSE_BROKEN),
        /* BADVERS and its like are in the OPT: given on, their header alone would say NOERROR */
        ROW(HEAD("\201\200", "\0", "\0", "\1") QUESTION "\0\0\51\4\320\1\0\0\0\0\0", NP_RESPONSE_BROKEN),
    };
    struct np_name name = dump_name("wWw.exAmple");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct np_asked asked = {0x1234, &name, NP_RR_A, .check_case = true, .edns = true, .tcp = rows[i].tcp};
        if (np_response_check(&asked, (const uint8_t *)rows[i].packet, rows[i].len) != rows[i].verdict)
            fail_msg("row %zu", i);
    }
    struct np_asked lax = {0x1234, &name, NP_RR_A, .check_case = false, .edns = false, .tcp = false};
    assert_int_equal(np_response_check(&lax, (const uint8_t *)rows[14].packet, rows[14].len), NP_RESPONSE_GOOD);
    assert_int_equal(np_response_check(&lax, (const uint8_t *)rows[6].packet, rows[6].len), NP_RESPONSE_FAILED);
}

static void test_has_opt(void **state)
{
    (void)state;
    static const char with[] = HEAD("\201\200", "\1", "\0", "\1") QUESTION ANSWER OPT;
    static const char without[] = HEAD("\201\200", "\1", "\0", "\0") QUESTION ANSWER;
    assert_true(np_response_has_opt((const uint8_t *)with, sizeof with - 1));
    assert_false(np_response_has_opt((const uint8_t *)without, sizeof without - 1));
    for (size_t len = 0; len < sizeof with - 1; len++)
        assert_false(np_response_has_opt((const uint8_t *)with, len));
}

/* Every letter is a capital half of the time, whatever the others are; nothing else changes; there is always one. */
static void test_mix_case(void **state)
{
    (void)state;
    const struct np_name plain =
        dump_name("@[`{.\\193\\001a-long-name-with-many-letters.in-it-so-that-it-has-over-sixty-four."
                  "of-them-all-in-all.example");
    unsigned capitals[NP_NAME_WIRE_MAX] = {0}, both[NP_NAME_WIRE_MAX] = {0}, letters = 0;
    enum { ROUNDS = 4000 };
    for (uint64_t seed = 0; seed < ROUNDS; seed++) {
        struct np_name mixed = plain;
        np_response_mix_case(&mixed, seed);
        assert_int_equal(mixed.len, plain.len);
        assert_true(np_name_equal(&mixed, &plain));
        for (size_t i = 0; i < plain.len; i++) {
            bool capital = mixed.wire[i] != plain.wire[i];
            assert_true(!capital || (plain.wire[i] >= 'a' && plain.wire[i] <= 'z'));
            capitals[i] += capital;
            both[i] += capital && i >= 1 && mixed.wire[i - 1] != plain.wire[i - 1];
        }
    }
    for (size_t i = 0; i < plain.len; i++) {
        if (plain.wire[i] < 'a' || plain.wire[i] > 'z')
            continue;
        letters++;
        assert_in_range(capitals[i], ROUNDS / 2 - 250, ROUNDS / 2 + 250); /* 8 sigma */
        if (plain.wire[i - 1] >= 'a' && plain.wire[i - 1] <= 'z')
            assert_in_range(both[i], ROUNDS / 4 - 220, ROUNDS / 4 + 220);
    }
    assert_true(letters > 64);
    assert_int_equal(np_response_case_bits(&plain), 64);
    struct np_name three = dump_name("abc");
    assert_int_equal(np_response_case_bits(&three), 2);
    for (uint64_t seed = 0; seed < 64; seed++) {
        struct np_name one = dump_name("1.a.2"), none = dump_name("1.2.3");
        np_response_mix_case(&one, seed);
        np_response_mix_case(&none, seed);
        assert_int_equal(one.wire[3], 'A');
        assert_int_equal(np_response_case_bits(&one), 0); /* it is a capital always */
        assert_int_equal(np_response_case_bits(&none), 0);
    }
    /* What is small already is drawn anew, as are capitals. */
    struct np_name small = dump_name("www.example"), large = dump_name("WWW.EXAMPLE");
    np_response_mix_case(&small, 7);
    np_response_mix_case(&large, 7);
    assert_memory_equal(small.wire, large.wire, small.len);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_check),
        cmocka_unit_test(test_has_opt),
        cmocka_unit_test(test_mix_case),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

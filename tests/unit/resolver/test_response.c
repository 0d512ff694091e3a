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
        ROW("\x12\x34\201\202\0\0\0\0\0\0\0\0", NP_RESPONSE_BROKEN),
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
    assert_int_equal(np_response_check(&lax, (const uint8_t *)rows[13].packet, rows[13].len), NP_RESPONSE_GOOD);
    assert_int_equal(np_response_check(&lax, (const uint8_t *)rows[6].packet, rows[6].len), NP_RESPONSE_FAILED);
}

static void test_mix_case(void **state)
{
    (void)state;
    uint8_t random[NP_NAME_WIRE_MAX / 8 + 1];
    char text[NP_NAME_TEXT_MAX];
    struct np_name name = dump_name("www-9_.example");
    memset(random, 0xff, sizeof random);
    np_response_mix_case(&name, random);
    assert_string_equal(np_name_format(&name, text), "WWW-9_.EXAMPLE");
    random[0] = 0x02; /* the first letter back, the rest of the first byte as it is */
    random[1] = random[2] = 0;
    np_response_mix_case(&name, random);
    assert_string_equal(np_name_format(&name, text), "wWW-9_.EXAMPLE");
    struct np_name odd = dump_name("@[`{.\\193\\001a");
    memset(random, 0xff, sizeof random);
    np_response_mix_case(&odd, random);
    struct np_name want = dump_name("@[`{.\\193\\001A");
    assert_int_equal(odd.len, want.len);
    assert_memory_equal(odd.wire, want.wire, want.len);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_check),
        cmocka_unit_test(test_mix_case),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

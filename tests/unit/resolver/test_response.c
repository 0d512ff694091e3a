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

struct rewriting {
    struct np_query query;
    uint8_t packet[512], out[4096];
    struct dump dump;
};

/* message, as given to a client that asked for WWW.example, as text. */
static const char *rewrite(struct rewriting *r, const void *message, size_t len, uint16_t flags, bool edns, bool dnssec,
                           struct np_response_pass pass, size_t limit)
{
    size_t n = dump_query(r->packet, "WWW.example", NP_RR_A, flags, edns, dnssec);
    assert_int_equal(np_query_parse(r->packet, n, &r->query), NP_QUERY_GOOD);
    n = np_response_rewrite(message, len, &r->query, &pass, r->out, limit);
    if (n == 0)
        return "nothing";
    assert_true(n <= limit);
    return dump_message(&r->dump, r->out, n);
}

static void test_rewrite(void **state)
{
    (void)state;
    static const char message[] =
        /* AA, AD, Z and another ID; the second owner repeats the question in full, the third its own tail */
        "\x77\x77\205\360\0\1\0\3\0\1\0\3" QUESTION ANSWER "\3wWw\7exAmple\0\0\5\0\1\0\0\0\74\0\4\1a\300\20"
        "\1a\300\55\0\1\0\1\0\0\0\74\0\4\10\10\10\10"
        "\300\20\0\2\0\1\0\0\0\74\0\2\300\14"
        "\3ns1\300\20\0\1\0\1\0\0\0\74\0\4\11\11\11\11"
        "\0\0\51\4\320\0\0\200\0\0\25\0\12\0\10cookie!!\0\17\0\5\0\3old"
        "\3ns2\300\20\0\1\0\1\0\0\0\74\0\4\11\11\11\11";
    struct rewriting *r = test_malloc(sizeof *r);
    struct np_response_pass all = {.ad = true, .additional = true}, some = {.ad = false, .additional = false};
    const char *records =
        "AN WWW.example A 60 8.8.8.8; AN WWW.example CNAME 60 a.example; AN a.WWW.example A 60 8.8.8.8; "
        "AU example NS 60 WWW.example";
    char want[1024];
    snprintf(want, sizeof want, "NOERROR rd ra WWW.example A; %s; AD ns1.example A 60 9.9.9.9", records);
    assert_string_equal(rewrite(r, message, sizeof message - 1, NP_FLAG_RD, false, false, all, 512), want);
    assert_memory_equal(r->out, "\x12\x34", 2);
    snprintf(want, sizeof want,
             "NOERROR rd ra ad cd WWW.example A; %s; AD ns1.example A 60 9.9.9.9; "
             "AD . OPT 1232 00008000 000f000500036f6c64",
             records);
    assert_string_equal(rewrite(r, message, sizeof message - 1, NP_FLAG_RD | NP_FLAG_CD, true, true, all, 512), want);
    snprintf(want, sizeof want, "NOERROR rd ra WWW.example A; %s; AD . OPT 1232 00000000 000f000500036f6c64", records);
    assert_string_equal(rewrite(r, message, sizeof message - 1, NP_FLAG_RD | NP_FLAG_AD, true, false, some, 512), want);
    test_free(r);
}

static void test_rewrite_refuses(void **state)
{
    (void)state;
    static const char other[] = HEAD("\201\200", "\0", "\0", "\0") "\3foo\7example\0\0\1\0\1";
    static const char cut[] = HEAD("\201\200", "\1", "\0", "\0") QUESTION;
    struct rewriting *r = test_malloc(sizeof *r);
    struct np_response_pass all = {.ad = true, .additional = true};
    assert_string_equal(rewrite(r, other, sizeof other - 1, NP_FLAG_RD, true, false, all, 512), "nothing");
    assert_string_equal(rewrite(r, cut, sizeof cut - 1, NP_FLAG_RD, true, false, all, 512), "nothing");
    assert_string_equal(rewrite(r, cut, 3, NP_FLAG_RD, true, false, all, 512), "nothing");
    test_free(r);
}

/* At every limit: complete, without additional records, or truncated and empty; never over it. */
static void test_rewrite_limits(void **state)
{
    (void)state;
    static const char message[] =
        HEAD("\201\200", "\2", "\0", "\2") QUESTION ANSWER ANSWER "\3ns1\300\20\0\1\0\1\0\0\0\74\0\4\11\11\11\11"
                                                                  "\0\0\51\4\320\0\0\0\0\0\11\0\17\0\5\0\3old";
    struct rewriting *r = test_malloc(sizeof *r);
    struct np_response_pass all = {.additional = true};
    for (size_t limit = 0; limit < 130; limit++) {
        memset(r->out, 0xaa, sizeof r->out);
        const char *got = rewrite(r, message, sizeof message - 1, NP_FLAG_RD, true, false, all, limit);
        assert_int_equal(r->out[limit], 0xaa);
        const char *want;
        if (limit < 12 + 17 + 11)
            want = "nothing";
        else if (limit < 12 + 17 + 32 + 11)
            want = "NOERROR tc rd ra WWW.example A; AD . OPT 1232 00000000 ";
        else if (limit < 12 + 17 + 32 + 11 + 9)
            want = "NOERROR rd ra WWW.example A; AN WWW.example A 60 8.8.8.8; AN WWW.example A 60 8.8.8.8; "
                   "AD . OPT 1232 00000000 ";
        else if (limit < 12 + 17 + 32 + 20 + 11)
            want = "NOERROR rd ra WWW.example A; AN WWW.example A 60 8.8.8.8; AN WWW.example A 60 8.8.8.8; "
                   "AD . OPT 1232 00000000 000f000500036f6c64";
        else if (limit < 12 + 17 + 32 + 20 + 11 + 9)
            want = "NOERROR rd ra WWW.example A; AN WWW.example A 60 8.8.8.8; AN WWW.example A 60 8.8.8.8; "
                   "AD ns1.example A 60 9.9.9.9; AD . OPT 1232 00000000 ";
        else
            want = "NOERROR rd ra WWW.example A; AN WWW.example A 60 8.8.8.8; AN WWW.example A 60 8.8.8.8; "
                   "AD ns1.example A 60 9.9.9.9; AD . OPT 1232 00000000 000f000500036f6c64";
        if (strcmp(got, want) != 0)
            fail_msg("limit %zu: %s", limit, got);
    }
    test_free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_check),           cmocka_unit_test(test_mix_case),       cmocka_unit_test(test_rewrite),
        cmocka_unit_test(test_rewrite_refuses), cmocka_unit_test(test_rewrite_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "resolver/base/error.h"
#include "tests/unit/resolver/dump.h"

#define HEADER           "\x12\x34\x01\x00\0\1\0\0\0\0\0\0"
#define HEAD(an, ns, ar) "\x12\x34\x01\x00\0\1\0" an "\0" ns "\0" ar
#define QUESTION         "\3www\7example\0\0\1\0\1"
#define OPT(ttl, len)    "\0\0\51\4\320" ttl len

static enum np_query_verdict parse(const char *packet, size_t len, struct np_query *query)
{
    return np_query_parse((const uint8_t *)packet, len, query);
}

#define PARSE(packet, query) parse(packet, sizeof(packet) - 1, query)

static void test_parse_plain(void **state)
{
    (void)state;
    struct np_query query;
    char text[NP_NAME_TEXT_MAX];
    assert_int_equal(PARSE(HEADER "\3wWw\7example\0\0\34\0\1", &query), NP_QUERY_GOOD);
    assert_int_equal(query.id, 0x1234);
    assert_int_equal(query.flags, NP_FLAG_RD);
    assert_int_equal(query.qtype, NP_RR_AAAA);
    assert_int_equal(query.qclass, NP_CLASS_IN);
    assert_string_equal(np_name_format(&query.qname, text), "wWw.example");
    assert_int_equal(query.question_len, 17);
    assert_false(query.edns);
    assert_int_equal(query.udp_size, 512);
    assert_int_equal(query.client_subnet.addr.family, AF_UNSPEC);
}

static void test_parse_edns(void **state)
{
    (void)state;
    struct np_query query;
    assert_int_equal(PARSE(HEAD("\0", "\0", "\1") QUESTION OPT("\0\0\200\0", "\0\0"), &query), NP_QUERY_GOOD);
    assert_true(query.edns);
    assert_true(query.dnssec_ok);
    assert_int_equal(query.udp_size, 1232);
    assert_int_equal(PARSE(HEAD("\0", "\0", "\1") QUESTION "\0\0\51\0\10\0\0\0\0\0\0", &query), NP_QUERY_GOOD);
    assert_int_equal(query.udp_size, 512); /* RFC 6891 section 6.2.3: below 512 is 512 */
    assert_int_equal(PARSE(HEAD("\0", "\0", "\1") QUESTION OPT("\0\1\0\0", "\0\0"), &query), NP_QUERY_BADVERS);
    assert_int_equal(query.edns_version, 1);
    /* What a later version puts into its options is not ours to judge. */
    assert_int_equal(PARSE(HEAD("\0", "\0", "\1") QUESTION OPT("\0\1\0\0", "\0\1") "x", &query), NP_QUERY_BADVERS);
    /* ECS 192.168.7.0/24 */
    assert_int_equal(
        PARSE(HEAD("\0", "\0", "\1") QUESTION OPT("\0\0\0\0", "\0\13") "\0\10\0\7\0\1\30\0\300\250\7", &query),
        NP_QUERY_GOOD);
    char text[NP_ADDR_TEXT_MAX];
    assert_string_equal(np_prefix_format(&query.client_subnet, text), "192.168.7.0/24");
    /* A cookie is nothing to us. */
    assert_int_equal(PARSE(HEAD("\0", "\0", "\1") QUESTION OPT("\0\0\0\0", "\0\14") "\0\12\0\0101234abcd", &query),
                     NP_QUERY_GOOD);
}

static void test_parse_bad(void **state)
{
    (void)state;
    struct np_query query;
#define ROW(packet, verdict)                                                                                           \
    {                                                                                                                  \
        packet, sizeof(packet) - 1, verdict                                                                            \
    }
    static const struct {
        const char *packet;
        size_t len;
        enum np_query_verdict verdict;
    } rows[] = {
        ROW("", NP_QUERY_DROP),
        ROW("\x12\x34\x01\x00\0\1\0\0\0\0\0", NP_QUERY_DROP),
        ROW("\x12\x34\x81\x00\0\1\0\0\0\0\0\0" QUESTION, NP_QUERY_DROP), /* a response: never answer one */
        ROW(HEADER, NP_QUERY_FORMERR),
        ROW("\x12\x34\x01\x00\0\0\0\0\0\0\0\0", NP_QUERY_FORMERR),                   /* no question */
        ROW("\x12\x34\x01\x00\0\2\0\0\0\0\0\0" QUESTION QUESTION, NP_QUERY_FORMERR), /* RFC 9619 */
        ROW("\x12\x34\x29\x00\0\1\0\0\0\0\0\0" QUESTION, NP_QUERY_NOTIMP),           /* UPDATE */
        ROW("\x12\x34\x79\x00\0\7\0\0\0\0\0\0", NP_QUERY_NOTIMP),                    /* opcode 15 */
        ROW(HEADER QUESTION "x", NP_QUERY_FORMERR),                                  /* trailing byte */
        ROW(HEADER "\3www\7example\0\0\1\0", NP_QUERY_FORMERR),
        ROW(HEADER "\300\14\0\1\0\1", NP_QUERY_FORMERR),
        ROW(HEADER "\300\0\0\1\0\1", NP_QUERY_FORMERR), /* into the header */
        ROW(HEAD("\1", "\0", "\0") QUESTION "\300\14\0\1\0\1\0\0\0\0\0\0", NP_QUERY_FORMERR),
        ROW(HEAD("\0", "\0", "\1") QUESTION, NP_QUERY_FORMERR),
        ROW(HEAD("\0", "\0", "\2") QUESTION OPT("\0\0\0\0", "\0\0") OPT("\0\0\0\0", "\0\0"), NP_QUERY_FORMERR),
        ROW(HEAD("\0", "\1", "\0") QUESTION OPT("\0\0\0\0", "\0\0"), NP_QUERY_FORMERR),        /* OPT in authority */
        ROW(HEAD("\0", "\0", "\1") QUESTION "\1a\0\0\51\4\320\0\0\0\0\0\0", NP_QUERY_FORMERR), /* owner not the root */
        ROW(HEAD("\0", "\0", "\1") QUESTION OPT("\0\0\0\0", "\0\3") "\0\10\0", NP_QUERY_FORMERR),
        ROW(HEAD("\0", "\0", "\1") QUESTION OPT("\0\0\0\0", "\0\4") "\0\10\0\1", NP_QUERY_FORMERR),
        /* ECS: host bits set, too few octets, too many, scope in a query, prefix too long */
        ROW(HEAD("\0", "\0", "\1") QUESTION OPT("\0\0\0\0", "\0\13") "\0\10\0\7\0\1\27\0\300\250\7", NP_QUERY_FORMERR),
        ROW(HEAD("\0", "\0", "\1") QUESTION OPT("\0\0\0\0", "\0\12") "\0\10\0\6\0\1\30\0\300\250", NP_QUERY_FORMERR),
        ROW(HEAD("\0", "\0", "\1") QUESTION OPT("\0\0\0\0", "\0\13") "\0\10\0\7\0\1\20\0\300\250\7", NP_QUERY_FORMERR),
        ROW(HEAD("\0", "\0", "\1") QUESTION OPT("\0\0\0\0", "\0\13") "\0\10\0\7\0\1\30\1\300\250\7", NP_QUERY_FORMERR),
        ROW(HEAD("\0", "\0", "\1") QUESTION OPT("\0\0\0\0", "\0\11") "\0\10\0\5\0\1\41\0\300", NP_QUERY_FORMERR),
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (parse(rows[i].packet, rows[i].len, &query) != rows[i].verdict)
            fail_msg("row %zu", i);
    }
}

/* Every cut of a good query is FORMERR or DROP, never GOOD, and never read past its end (AddressSanitizer sees to it).
 */
static void test_parse_cut(void **state)
{
    (void)state;
    static const char packet[] =
        HEAD("\0", "\0", "\1") QUESTION OPT("\0\0\0\0", "\0\13") "\0\10\0\7\0\1\30\0\300\250\7";
    struct np_query query;
    for (size_t len = 0; len < sizeof packet - 1; len++) {
        char *exact = test_malloc(len + 1);
        memcpy(exact, packet, len);
        enum np_query_verdict verdict = parse(exact, len, &query);
        assert_int_equal(verdict, len < 12 ? NP_QUERY_DROP : NP_QUERY_FORMERR);
        test_free(exact);
    }
}

static struct np_query query_of(const char *name, uint16_t type, bool edns, uint8_t *packet)
{
    struct np_query query;
    size_t len = dump_query(packet, name, type, NP_FLAG_RD, edns, false);
    assert_int_equal(np_query_parse(packet, len, &query), NP_QUERY_GOOD);
    return query;
}

static void test_answer(void **state)
{
    (void)state;
    uint8_t packet[512], out[512];
    struct np_query query = query_of("Box.Example", NP_RR_A, true, packet);
    struct np_answer answer;
    struct dump dump;
    struct np_addr v4, v6;
    struct np_name same = dump_name("box.EXAMPLE"), parent = dump_name("example"), other = dump_name("ns1.example");
    struct np_name root = dump_name(".");
    const uint32_t timers[4] = {1, 2, 3, 5};
    assert_int_equal(np_addr_parse("192.168.1.1", &v4), 0);
    assert_int_equal(np_addr_parse("fd42::1", &v6), 0);
    np_answer_start(&answer, &query, out, sizeof out, NP_FLAG_AA);
    np_answer_address(&answer, NP_SECTION_ANSWER, &same, 10, &v4);
    np_answer_soa(&answer, NP_SECTION_AUTHORITY, &parent, 10, &other, &root, 7, timers);
    np_answer_address(&answer, NP_SECTION_ADDITIONAL, &other, 10, &v6);
    answer.ede = NP_EDE_BLOCKED;
    answer.ede_text = "no";
    size_t len = np_answer_finish(&answer);
    /* Owners that the question holds have the question's case; the SOA's TTL is its minimum. */
    assert_string_equal(dump_message(&dump, out, len),
                        "NOERROR aa rd Box.Example A; AN Box.Example A 10 192.168.1.1; "
                        "AU Example SOA 5 ns1.Example . 7 1 2 3 5; AD ns1.Example AAAA 10 fd42::1; "
                        "AD . OPT 1232 00000000 000f0004000f6e6f");
    assert_int_equal(len, 12 + 17 + 16 + (2 + 10 + 6 + 1 + 20) + (6 + 26) + 11 + 8);
}

static void test_answer_truncated(void **state)
{
    (void)state;
    uint8_t packet[512], out[512];
    struct np_query query = query_of("box.example", NP_RR_TXT, true, packet);
    struct np_answer answer;
    struct dump dump;
    uint8_t rdata[200] = {199};
    np_answer_start(&answer, &query, out, sizeof out, 0);
    for (int i = 0; i < 5; i++)
        np_answer_rr(&answer, NP_SECTION_ANSWER, &query.qname, NP_RR_TXT, 10, rdata, sizeof rdata);
    np_answer_rr(&answer, NP_SECTION_ADDITIONAL, &query.qname, NP_RR_A, 10, "abcd", 4);
    size_t len = np_answer_finish(&answer);
    assert_true(len <= 512);
    assert_int_equal(answer.counts[NP_SECTION_ANSWER], 2);
    assert_int_equal(answer.counts[NP_SECTION_ADDITIONAL], 1); /* the OPT, and nothing else */
    assert_non_null(strstr(dump_message(&dump, out, len), "NOERROR tc rd"));
}

/* Whatever the limit, nothing is written past it, and what is written is a message. */
static void test_answer_limits(void **state)
{
    (void)state;
    uint8_t packet[512];
    struct np_query query = query_of("box.example", NP_RR_A, true, packet);
    struct np_name zone = dump_name("example");
    const uint32_t timers[4] = {1, 2, 3, 4};
    for (size_t limit = 0; limit < 140; limit++) {
        uint8_t *out = test_malloc(limit + 1);
        struct np_answer answer;
        struct dump dump;
        out[limit] = 0xaa;
        np_answer_start(&answer, &query, out, limit, 0);
        np_answer_rr(&answer, NP_SECTION_ANSWER, &query.qname, NP_RR_A, 10, "abcd", 4);
        np_answer_soa(&answer, NP_SECTION_AUTHORITY, &zone, 10, &zone, &zone, 7, timers);
        answer.ede = NP_EDE_OTHER;
        answer.ede_text = "a text that fits only where there is much room";
        size_t len = np_answer_finish(&answer);
        assert_true(len <= limit);
        assert_int_equal(out[limit], 0xaa);
        if (len > 0)
            assert_null(strstr(dump_message(&dump, out, len), "malformed"));
        assert_int_equal(len > 0, limit >= 12 + 17 + 17);
        test_free(out);
    }
}

static void test_answer_error(void **state)
{
    (void)state;
    uint8_t packet[512], out[512];
    struct np_query query = query_of("box.example", NP_RR_A, true, packet);
    struct dump dump;
    size_t len = np_answer_error(&query, NP_RCODE_BADVERS, 0, NP_EDE_NONE, out, sizeof out);
    assert_string_equal(dump_message(&dump, out, len), "NOERROR rd box.example A; AD . OPT 1232 01000000 ");
    len = np_answer_error(&query, NP_RCODE_SERVFAIL, NP_FLAG_RA, NP_EDE_NETWORK_ERROR, out, sizeof out);
    assert_string_equal(dump_message(&dump, out, len),
                        "SERVFAIL rd ra box.example A; AD . OPT 1232 00000000 000f00020017");
    /* A header alone, with the opcode repeated. */
    assert_int_equal(PARSE("\x12\x34\x79\x10\0\7\0\0\0\0\0\0", &query), NP_QUERY_NOTIMP);
    len = np_answer_error(&query, NP_RCODE_NOTIMP, 0, NP_EDE_NONE, out, sizeof out);
    assert_int_equal(len, 12);
    assert_memory_equal(out, "\x12\x34\xf9\x14\0\0\0\0\0\0\0\0", 12);
    assert_int_equal(np_answer_error(&query, NP_RCODE_NOTIMP, 0, NP_EDE_NONE, out, 11), 0);
}

static void test_walk(void **state)
{
    (void)state;
    static const char message[] = "\x12\x34\x81\x80\0\1\0\2\0\0\0\1" QUESTION "\300\14\0\5\0\1\0\0\0\12\0\4\1a\300\20"
                                  "\300\51\0\1\0\1\0\0\0\12\0\4\300\0\2\1" OPT("\0\0\0\0", "\0\0");
    struct dump dump;
    assert_string_equal(dump_message(&dump, (const uint8_t *)message, sizeof message - 1),
                        "NOERROR rd ra www.example A; AN www.example CNAME 10 a.example; AN a.example A 10 192.0.2.1; "
                        "AD . OPT 1232 00000000 ");
    for (size_t len = 0; len < sizeof message - 1; len++) {
        char *exact = test_malloc(len + 1);
        memcpy(exact, message, len);
        assert_non_null(strstr(dump_message(&dump, (const uint8_t *)exact, len), "malformed"));
        test_free(exact);
    }
    assert_non_null(strstr(dump_message(&dump, (const uint8_t *)message, sizeof message), "malformed"));
}

static void test_query_write(void **state)
{
    (void)state;
    struct np_name name = dump_name("www.example");
    uint8_t out[512];
    int len = np_query_write(out, sizeof out, 0x1234, NP_FLAG_RD, &name, NP_RR_A, true, true);
    static const char want[] = HEAD("\0", "\0", "\1") QUESTION OPT("\0\0\200\0", "\0\0");
    assert_int_equal(len, sizeof want - 1);
    assert_memory_equal(out, want, sizeof want - 1);
    assert_int_equal(np_query_write(out, sizeof want - 2, 1, 0, &name, NP_RR_A, true, true), NP_E_LIMIT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse_plain),   cmocka_unit_test(test_parse_edns),
        cmocka_unit_test(test_parse_bad),     cmocka_unit_test(test_parse_cut),
        cmocka_unit_test(test_answer),        cmocka_unit_test(test_answer_truncated),
        cmocka_unit_test(test_answer_limits), cmocka_unit_test(test_answer_error),
        cmocka_unit_test(test_walk),          cmocka_unit_test(test_query_write),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "resolver/base/error.h"
#include "resolver/packed.h"
#include "tests/unit/resolver/dump.h"

#define HEAD(flags, an, ns, ar) "\x12\x34" flags "\0\1\0" an "\0" ns "\0" ar
#define QUESTION                "\3wWw\7exAmple\0\0\1\0\1"
#define ANSWER                  "\300\14\0\1\0\1\0\0\0\74\0\4\10\10\10\10"

/* Packed answers are aligned to 2. */
union packed {
    struct np_packed head;
    uint8_t bytes[NP_PACKED_MAX];
};

struct showing {
    struct np_query query;
    union packed packed;
    uint8_t packet[512], out[4096];
    struct dump dump;
};

/* What of the upstream's answer a client is shown. */
struct pass {
    bool ad, additional;
};

/* message, as given to a client that asked for WWW.example, as text. */
static const char *show(struct showing *r, const void *message, size_t len, uint16_t flags, bool edns, bool dnssec,
                        struct pass pass, size_t limit)
{
    size_t n = dump_query(r->packet, "WWW.example", NP_RR_A, flags, edns, dnssec);
    assert_int_equal(np_query_parse(r->packet, n, &r->query), NP_QUERY_GOOD);
    struct np_packed_how how = {.ede = NP_EDE_NONE};
    if (np_packed_make(message, len, pass.additional, pass.ad, &r->packed, sizeof r->packed, NULL) < 0)
        return "malformed";
    n = np_packed_write(&r->packed.head, &r->query, &how, r->out, limit);
    if (n == 0)
        return "nothing";
    assert_true(n <= limit);
    return dump_message(&r->dump, r->out, n);
}

static void test_write(void **state)
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
    struct showing *r = test_malloc(sizeof *r);
    struct pass all = {.ad = true, .additional = true}, some = {.ad = false, .additional = false};
    const char *records =
        "AN WWW.example A 60 8.8.8.8; AN WWW.example CNAME 60 a.example; AN a.WWW.example A 60 8.8.8.8; "
        "AU example NS 60 WWW.example";
    char want[1024];
    snprintf(want, sizeof want, "NOERROR rd ra WWW.example A; %s; AD ns1.example A 60 9.9.9.9", records);
    assert_string_equal(show(r, message, sizeof message - 1, NP_FLAG_RD, false, false, all, 512), want);
    assert_memory_equal(r->out, "\x12\x34", 2);
    snprintf(want, sizeof want,
             "NOERROR rd ra ad cd WWW.example A; %s; AD ns1.example A 60 9.9.9.9; "
             "AD . OPT 1232 00008000 000f000500036f6c64",
             records);
    assert_string_equal(show(r, message, sizeof message - 1, NP_FLAG_RD | NP_FLAG_CD, true, true, all, 512), want);
    snprintf(want, sizeof want, "NOERROR rd ra WWW.example A; %s; AD . OPT 1232 00000000 000f000500036f6c64", records);
    assert_string_equal(show(r, message, sizeof message - 1, NP_FLAG_RD | NP_FLAG_AD, true, false, some, 512), want);
    test_free(r);
}

static void test_write_refuses(void **state)
{
    (void)state;
    static const char other[] = HEAD("\201\200", "\0", "\0", "\0") "\4foos\7example\0\0\1\0\1";
    static const char cut[] = HEAD("\201\200", "\1", "\0", "\0") QUESTION;
    struct showing *r = test_malloc(sizeof *r);
    struct pass all = {.ad = true, .additional = true};
    assert_string_equal(show(r, other, sizeof other - 1, NP_FLAG_RD, true, false, all, 512), "nothing");
    assert_string_equal(show(r, cut, sizeof cut - 1, NP_FLAG_RD, true, false, all, 512), "malformed");
    assert_string_equal(show(r, cut, 3, NP_FLAG_RD, true, false, all, 512), "malformed");
    test_free(r);
}

/* An upstream that cuts even over TCP: what is there is not given for all there is (RFC 2181 section 9). */
static void test_write_truncated(void **state)
{
    (void)state;
    static const char message[] = HEAD("\203\200", "\1", "\0", "\0") QUESTION ANSWER;
    struct showing *r = test_malloc(sizeof *r);
    assert_string_equal(show(r, message, sizeof message - 1, NP_FLAG_RD, false, false, (struct pass){.ad = false}, 512),
                        "NOERROR tc rd ra WWW.example A; AN WWW.example A 60 8.8.8.8");
    test_free(r);
}

/* At every limit: complete, without additional records, or truncated and empty; never over it. */
static void test_write_limits(void **state)
{
    (void)state;
    static const char message[] =
        HEAD("\201\200", "\2", "\0", "\2") QUESTION ANSWER ANSWER "\3ns1\300\20\0\1\0\1\0\0\0\74\0\4\11\11\11\11"
                                                                  "\0\0\51\4\320\0\0\0\0\0\11\0\17\0\5\0\3old";
    struct showing *r = test_malloc(sizeof *r);
    struct pass all = {.additional = true};
    for (size_t limit = 0; limit < 130; limit++) {
        memset(r->out, 0xaa, sizeof r->out);
        const char *got = show(r, message, sizeof message - 1, NP_FLAG_RD, true, false, all, limit);
        assert_int_equal(r->out[limit], 0xaa);
        const char *want;
        if (limit < 12 + 17 + 11)
            want = "nothing";
        else if (limit < 12 + 17 + 11 + 9)
            want = "NOERROR tc rd ra WWW.example A; AD . OPT 1232 00000000 ";
        else if (limit < 12 + 17 + 32 + 11)
            want = "NOERROR tc rd ra WWW.example A; AD . OPT 1232 00000000 000f000500036f6c64";
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

/* A message from words: "NOERROR aa", then records "AN owner type TTL rdata". Owners are written in full unless they
 * are
 * "@", a pointer to the question www.example. */
struct builder {
    struct np_writer w;
    uint16_t counts[4];
    uint8_t bytes[4096];
};

static void begin(struct builder *b, uint16_t flags, uint16_t qtype)
{
    struct np_name qname = dump_name("wWw.exAmple");
    memset(b->counts, 0, sizeof b->counts);
    b->w = np_writer_make(b->bytes, sizeof b->bytes);
    np_write_u16(&b->w, 0x1234);
    np_write_u16(&b->w, (uint16_t)(NP_FLAG_QR | NP_FLAG_RD | NP_FLAG_RA | flags));
    np_write_u16(&b->w, 1);
    np_write_bytes(&b->w, "\0\0\0\0\0\0", 6);
    np_write_bytes(&b->w, qname.wire, qname.len);
    np_write_u16(&b->w, qtype);
    np_write_u16(&b->w, NP_CLASS_IN);
}

static void add(struct builder *b, enum np_section section, const char *owner, uint16_t type, uint32_t ttl,
                const void *rdata, size_t len)
{
    if (strcmp(owner, "@") == 0) {
        np_write_u16(&b->w, 0xc00c);
    } else {
        struct np_name name = dump_name(owner);
        np_write_bytes(&b->w, name.wire, name.len);
    }
    np_write_u16(&b->w, type);
    np_write_u16(&b->w, NP_CLASS_IN);
    np_write_u32(&b->w, ttl);
    np_write_u16(&b->w, (uint16_t)len);
    np_write_bytes(&b->w, rdata, len);
    b->counts[section]++;
    for (size_t i = 1; i <= 3; i++)
        np_write_u16_at(&b->w, 4 + i * 2, b->counts[i]);
}

static void add_soa(struct builder *b, uint32_t ttl, uint32_t minimum)
{
    uint8_t rdata[2 + 20] = "\0\0" /* mname and rname are the root */;
    struct np_writer w = np_writer_make(rdata + 18, 4);
    np_write_u32(&w, minimum);
    add(b, NP_SECTION_AUTHORITY, "example", NP_RR_SOA, ttl, rdata, sizeof rdata);
}

/* What stands in the answer section (the last one: in the authority section). */
enum { NONE, A, A0, A_LONG, CNAME, CNAME_A, RRSIG, NS_ONLY };

/* RFC 2308, RFC 2181 section 8, RFC 8767 section 4: what is kept, and for how long. */
static void test_life(void **state)
{
    (void)state;
    static const struct {
        uint16_t flags; /* RCODE, TC */
        int answer;
        uint32_t soa_ttl, soa_minimum; /* 0 and 0: no SOA */
        enum np_packed_kind kind;
        uint32_t ttl;
    } rows[] = {
        {0, A, 0, 0, NP_PACKED_POSITIVE, 300},
        {0, A, 60, 10, NP_PACKED_POSITIVE, 60}, /* a SOA beside an answer is a record like another */
        {0, A0, 0, 0, NP_PACKED_TRANSIENT, 0},
        {0, A_LONG, 0, 0, NP_PACKED_POSITIVE, NP_PACKED_TTL_MAX},
        {0, CNAME_A, 0, 0, NP_PACKED_POSITIVE, 20},
        {0, RRSIG, 0, 0, NP_PACKED_TRANSIENT, 0}, /* not what was asked for */
        {NP_FLAG_TC, A, 0, 0, NP_PACKED_TRANSIENT, 0},
        {0, NONE, 900, 60, NP_PACKED_NEGATIVE, 60},
        {0, NONE, 30, 60, NP_PACKED_NEGATIVE, 30},
        {0, NONE, 86400, 86400, NP_PACKED_NEGATIVE, NP_PACKED_NEGATIVE_MAX},
        {0, NONE, 60, 0, NP_PACKED_TRANSIENT, 0},
        {0, NONE, 0, 0, NP_PACKED_TRANSIENT, 0},
        {0, CNAME, 900, 900, NP_PACKED_NEGATIVE, 20}, /* NODATA at the end of a chain */
        {0, CNAME, 10, 900, NP_PACKED_NEGATIVE, 10},
        {0, CNAME, 0, 0, NP_PACKED_TRANSIENT, 0},
        {0, NS_ONLY, 0, 0, NP_PACKED_TRANSIENT, 0}, /* a referral */
        {3, NONE, 900, 60, NP_PACKED_NEGATIVE, 60},
        {3, NONE, 0, 0, NP_PACKED_TRANSIENT, 0},
        {3, CNAME, 900, 900, NP_PACKED_NEGATIVE, 20},
        {3, CNAME, 0, 0, NP_PACKED_TRANSIENT, 0},
        {2, NONE, 0, 0, NP_PACKED_FAILURE, 0},
        {5, NONE, 900, 60, NP_PACKED_FAILURE, 0},
        {6, NONE, 900, 60, NP_PACKED_FAILURE, 0},
    };
    struct builder b;
    union packed *packed = test_malloc(sizeof *packed);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct np_packed_life life = {NP_PACKED_FAILURE, 77};
        begin(&b, rows[i].flags, NP_RR_A);
        if (rows[i].answer == CNAME || rows[i].answer == CNAME_A)
            add(&b, NP_SECTION_ANSWER, "@", NP_RR_CNAME, 20, "\1a\0", 3);
        if (rows[i].answer == CNAME_A)
            add(&b, NP_SECTION_ANSWER, "a", NP_RR_A, 400, "abcd", 4);
        if (rows[i].answer == A || rows[i].answer == A0)
            add(&b, NP_SECTION_ANSWER, "@", NP_RR_A, 300, "abcd", 4);
        if (rows[i].answer == A0)
            add(&b, NP_SECTION_ANSWER, "@", NP_RR_A, 0, "efgh", 4);
        if (rows[i].answer == A_LONG)
            add(&b, NP_SECTION_ANSWER, "@", NP_RR_A, 0xffffffff, "abcd", 4);
        if (rows[i].answer == RRSIG)
            add(&b, NP_SECTION_ANSWER, "@", 46, 300, "xxxxxxxxxxxxxxxxxx\0", 19);
        if (rows[i].answer == NS_ONLY)
            add(&b, NP_SECTION_AUTHORITY, "example", NP_RR_NS, 300, "\2ns\0", 4);
        if (rows[i].soa_ttl || rows[i].soa_minimum)
            add_soa(&b, rows[i].soa_ttl, rows[i].soa_minimum);
        long n = np_packed_make(b.bytes, b.w.pos, true, true, packed, sizeof *packed, &life);
        if (n <= 0 || life.kind != rows[i].kind || life.ttl_s != rows[i].ttl)
            fail_msg("row %zu: %ld, kind %d, ttl %u", i, n, life.kind, life.ttl_s);
    }
    test_free(packed);
}

/* Any type asked for, or ANY. */
static void test_life_of_any(void **state)
{
    (void)state;
    struct builder b;
    union packed *packed = test_malloc(sizeof *packed);
    struct np_packed_life life;
    begin(&b, 0, NP_RR_ANY);
    add(&b, NP_SECTION_ANSWER, "@", NP_RR_HINFO, 50, "\0\0", 2);
    assert_true(np_packed_make(b.bytes, b.w.pos, true, true, packed, sizeof *packed, &life) > 0);
    assert_int_equal(life.kind, NP_PACKED_POSITIVE);
    begin(&b, 0, NP_RR_CNAME);
    add(&b, NP_SECTION_ANSWER, "@", NP_RR_CNAME, 50, "\1a\0", 3);
    assert_true(np_packed_make(b.bytes, b.w.pos, true, true, packed, sizeof *packed, &life) > 0);
    assert_int_equal(life.kind, NP_PACKED_POSITIVE);
    assert_int_equal(life.ttl_s, 50);
    test_free(packed);
}

/* The answer at an age, as text. */
static const char *aged(struct showing *r, const union packed *packed, uint32_t age_s, uint32_t fixed_s,
                        enum np_ede ede)
{
    struct np_packed_how how = {.age_s = age_s, .fixed_s = fixed_s, .ede = ede};
    size_t n = dump_query(r->packet, "WWW.example", NP_RR_A, NP_FLAG_RD, true, true);
    assert_int_equal(np_query_parse(r->packet, n, &r->query), NP_QUERY_GOOD);
    n = np_packed_write(&packed->head, &r->query, &how, r->out, sizeof r->out);
    return n ? dump_message(&r->dump, r->out, n) : "nothing";
}

/* Every TTL but the OPT's counts down, none below 0; an RRSIG's original TTL stays. */
static void test_ageing(void **state)
{
    (void)state;
    struct builder b;
    struct showing *r = test_malloc(sizeof *r);
    union packed *packed = test_malloc(sizeof *packed);
    struct np_packed_life life;
    begin(&b, 0, NP_RR_A);
    add(&b, NP_SECTION_ANSWER, "@", NP_RR_A, 100000, "abcd", 4);
    add(&b, NP_SECTION_ANSWER, "www.EXAMPLE", 46, 300, "\0\1\10\2\0\0\1\54xxxxyyyyzz\0s", 20);
    add(&b, NP_SECTION_AUTHORITY, "example", NP_RR_NS, 40, "\2ns\0", 4);
    add(&b, NP_SECTION_ADDITIONAL, "ns", NP_RR_A, 50, "abcd", 4);
    np_write_bytes(&b.w, "\0\0\51\20\0\0\0\200\0\0\6\0\17\0\2\0\6", 17);
    np_write_u16_at(&b.w, 10, 2);
    assert_true(np_packed_make(b.bytes, b.w.pos, true, true, packed, sizeof *packed, &life) > 0);
    assert_int_equal(life.ttl_s, 40);
    static const struct {
        uint32_t age, fixed;
        enum np_ede ede;
        const char *want;
    } rows[] = {
#define WANT(a, sig, ns, ad, edes)                                                                                     \
    "NOERROR rd ra WWW.example A; AN WWW.example A " a " 97.98.99.100; "                                               \
    "AN WWW.example RRSIG " sig " 000108020000012c78787878797979797a7a0073; AU example NS " ns " ns; AD ns A " ad      \
    " 97.98.99.100; AD . OPT 1232 00008000 " edes
        {0, 0, NP_EDE_NONE, WANT("86400", "300", "40", "50", "000f00020006")},
        {1, 0, NP_EDE_NONE, WANT("86399", "299", "39", "49", "000f00020006")},
        {45, 0, NP_EDE_NONE, WANT("86355", "255", "0", "5", "000f00020006")},
        {UINT32_MAX, 0, NP_EDE_NONE, WANT("0", "0", "0", "0", "000f00020006")},
        {45, 30, NP_EDE_STALE, WANT("30", "30", "30", "30", "000f00020003000f00020006")},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_string_equal(aged(r, packed, rows[i].age, rows[i].fixed, rows[i].ede), rows[i].want);
    test_free(packed);
    test_free(r);
}

/* Several addresses take turns at the first place; nothing else moves. */
static void test_turns(void **state)
{
    (void)state;
    struct builder b;
    struct showing *r = test_malloc(sizeof *r);
    union packed *packed = test_malloc(sizeof *packed);
    static const struct {
        const char *owners, *ttls; /* a character for each address */
        const char *want;          /* the addresses' last numbers as they come with turn 1 */
    } rows[] = {
        {"@", "1", "1"},       {"@@", "11", "21"},       {"@@@@@", "11111", "23451"}, {"@@", "12", "12"},
        {"@@@", "112", "213"}, {"@@@", "122", "132"},    {"@@@@", "1122", "2134"},    {"xx", "11", "12"},
        {"x@@", "111", "132"}, {"@x@@", "1111", "1243"}, {"@@x@@", "11111", "21345"}, {"", "", ""},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char got[16] = "";
        begin(&b, 0, NP_RR_A);
        for (size_t k = 0; k < strlen(rows[i].owners); k++) {
            uint8_t address[4] = {192, 0, 2, (uint8_t)(k + 1)};
            add(&b, NP_SECTION_ANSWER, rows[i].owners[k] == '@' ? "@" : "www.example", NP_RR_A,
                (uint32_t)(rows[i].ttls[k] - '0') * 100, address, 4);
        }
        add(&b, NP_SECTION_ADDITIONAL, "@", NP_RR_A, 100, "abcd", 4);
        add(&b, NP_SECTION_ADDITIONAL, "@", NP_RR_A, 100, "efgh", 4);
        assert_true(np_packed_make(b.bytes, b.w.pos, true, true, packed, sizeof *packed, NULL) > 0);
        for (unsigned turn = 0; turn < 12; turn++) {
            struct np_packed_how how = {.turn = turn, .ede = NP_EDE_NONE};
            size_t n = dump_query(r->packet, "WWW.example", NP_RR_A, NP_FLAG_RD, false, false);
            assert_int_equal(np_query_parse(r->packet, n, &r->query), NP_QUERY_GOOD);
            n = np_packed_write(&packed->head, &r->query, &how, r->out, sizeof r->out);
            const char *text = dump_message(&r->dump, r->out, n);
            unsigned seen = 0;
            for (const char *at = text; (at = strstr(at, " 192.0.2.")); at++) {
                seen |= 1u << (at[9] - '0');
                if (turn == 1)
                    strncat(got, at + 9, 1);
            }
            assert_int_equal(seen, ((1u << strlen(rows[i].owners)) - 1) << 1);
            assert_non_null(strstr(text, "AD WWW.example A 100 97.98.99.100; AD WWW.example A 100 101.102.103.104"));
        }
        assert_string_equal(got, rows[i].want);
    }
    /* In a message that was cut there is nothing to turn. */
    begin(&b, 0, NP_RR_A);
    for (int i = 0; i < 200; i++)
        add(&b, NP_SECTION_ANSWER, "@", NP_RR_A, 100, "abcd", 4);
    assert_true(np_packed_make(b.bytes, b.w.pos, true, true, packed, sizeof *packed, NULL) > 0);
    struct np_packed_how how = {.turn = 7, .ede = NP_EDE_NONE};
    memset(r->out, 0xaa, sizeof r->out);
    size_t n = dump_query(r->packet, "WWW.example", NP_RR_A, NP_FLAG_RD, false, false);
    assert_int_equal(np_query_parse(r->packet, n, &r->query), NP_QUERY_GOOD);
    assert_int_equal(np_packed_write(&packed->head, &r->query, &how, r->out, 512), 29);
    assert_int_equal(r->out[29], 0xaa);
    test_free(packed);
    test_free(r);
}

/* A negative answer's SOA is given with the TTL by which it is kept (RFC 2308 section 5). */
static void test_negative_soa(void **state)
{
    (void)state;
    struct builder b;
    struct showing *r = test_malloc(sizeof *r);
    union packed *packed = test_malloc(sizeof *packed);
    begin(&b, NP_RCODE_NXDOMAIN, NP_RR_A);
    add_soa(&b, 900, 60);
    assert_true(np_packed_make(b.bytes, b.w.pos, true, true, packed, sizeof *packed, NULL) > 0);
    assert_string_equal(aged(r, packed, 7, 0, NP_EDE_NONE),
                        "NXDOMAIN rd ra WWW.example A; AU example SOA 53 . . 0 0 0 0 60; AD . OPT 1232 00008000 ");
    test_free(packed);
    test_free(r);
}

/* A pointer into a TTL, or a name that runs over one: given on as it came, not kept. */
static void test_pointers_into_ttls(void **state)
{
    (void)state;
    /* From byte 29: owner 2, type 2, class 2, TTL at 35; rdata at 41. */
#define FIRST(ttl, rdata) "\300\14\0\1\0\1" ttl "\0\4" rdata
#define SECOND(owner)     owner "\0\1\0\1\0\0\0\74\0\4\10\10\10\10"
    static const struct {
        const char *records;
        size_t len;
        uint8_t count;
        bool kept;
    } rows[] = {
#define POINTER_ROW(records, count, kept) {records, sizeof(records) - 1, count, kept}
        POINTER_ROW(FIRST("\0\0\1\1", "\1a\0x") SECOND("\300\51"), 2, false), /* an address, which changes places */
        POINTER_ROW(FIRST("\0\0\1\1", "\1a\0x") SECOND("\300\43"), 2, false), /* the TTL's first byte */
        POINTER_ROW(FIRST("\0\0\1\1", "\1a\0x") SECOND("\300\44"), 2, false),
        POINTER_ROW(FIRST("\0\0\1\0", "\1a\0x") SECOND("\300\45"), 2, false),
        POINTER_ROW(FIRST("\0\0\1\0", "\1a\0x") SECOND("\300\46"), 2, false),
        POINTER_ROW(FIRST("\17\0\1\0", "\1a\0x") SECOND("\300\46"), 2, false),      /* and too long: not cut */
        POINTER_ROW(FIRST("\0\0\1\1", "\1a\0x") SECOND("\300\47"), 2, true),        /* the length behind it */
        POINTER_ROW(FIRST("\0\0\0\74", "\10\10\10\10") SECOND("\300\35"), 2, true), /* an owner that is a pointer */
        POINTER_ROW(FIRST("\0\0\1\1", "\1a\0x") SECOND("\300\42"), 2, false),       /* the class, and on */
        POINTER_ROW(FIRST("\0\0\1\1", "abcd") "\300\14\0\5\0\1\0\0\0\74\0\2\300\45", 2, false),      /* CNAME */
        POINTER_ROW(FIRST("\0\0\1\1", "abcd") "\300\14\0\17\0\1\0\0\0\74\0\4\0\1\300\44", 2, false), /* MX */
        POINTER_ROW("\300\14\0\5\0\1\0\0\1\0\0\2\300\46" FIRST("\0\0\1\1", "abcd"), 2, false),       /* its own TTL */
        POINTER_ROW(FIRST("\14abc", "\1a\0x") SECOND("\300\32"), 2, false), /* from the question's type on */
    };
    struct showing *r = test_malloc(sizeof *r);
    union packed *packed = test_malloc(sizeof *packed);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct np_packed_life life;
        uint8_t message[256] = HEAD("\201\200", "\0", "\0", "\0") QUESTION;
        memcpy(message + 29, rows[i].records, rows[i].len);
        message[7] = rows[i].count;
        long n = np_packed_make(message, 29 + rows[i].len, true, true, packed, sizeof *packed, &life);
        if (n <= 0 || (life.kind == NP_PACKED_POSITIVE) != rows[i].kept)
            fail_msg("row %zu: %ld kind %d", i, n, life.kind);
        assert_string_not_equal(aged(r, packed, 0, 0, NP_EDE_NONE), "nothing");
        if (!rows[i].kept)
            assert_memory_equal(r->out + 29, rows[i].records, rows[i].len);
    }
    test_free(r);
    test_free(packed);
}

/* The largest message with the most records that it can hold is packed; one byte less of room is said. */
static void test_largest(void **state)
{
    (void)state;
    enum { RECORDS = (NP_DNS_MESSAGE_MAX - 17) / 11 };
    uint8_t *message = test_malloc(NP_DNS_MESSAGE_MAX), *copy;
    union packed *packed = test_malloc(sizeof *packed);
    struct np_writer w = np_writer_make(message, NP_DNS_MESSAGE_MAX);
    np_write_bytes(&w, "\0\0\201\200\0\1", 6);
    np_write_u16(&w, RECORDS);
    np_write_bytes(&w, "\0\0\0\0\0\0\1\0\1", 9); /* the root's addresses */
    for (size_t i = 0; i < RECORDS; i++)
        np_write_bytes(&w, "\0\377\377\0\1\0\0\1\0\0\0", 11);
    assert_int_equal(w.error, 0);
    long n = np_packed_make(message, w.pos, true, true, packed, sizeof *packed, NULL);
    assert_in_range(n, RECORDS * 13, NP_PACKED_MAX);
    copy = test_malloc((size_t)n);
    for (long size = 0; size < n; size += size < 100 ? 1 : 1009)
        assert_int_equal(np_packed_make(message, w.pos, true, true, copy, (size_t)size, NULL), NP_E_LIMIT);
    assert_int_equal(np_packed_make(message, w.pos, true, true, copy, (size_t)n - 1, NULL), NP_E_LIMIT);
    assert_int_equal(np_packed_make(message, w.pos, true, true, copy, (size_t)n, NULL), n);
    test_free(copy);
    test_free(packed);
    test_free(message);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_write),
        cmocka_unit_test(test_write_refuses),
        cmocka_unit_test(test_write_truncated),
        cmocka_unit_test(test_write_limits),
        cmocka_unit_test(test_life),
        cmocka_unit_test(test_life_of_any),
        cmocka_unit_test(test_ageing),
        cmocka_unit_test(test_turns),
        cmocka_unit_test(test_negative_soa),
        cmocka_unit_test(test_pointers_into_ttls),
        cmocka_unit_test(test_largest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

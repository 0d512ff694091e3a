/* One record behind a question, its data good and bad. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "resolver/rdata.h"

#define HEAD  "\x12\x34\201\200\0\1\0\1\0\0\0\0\3www\7example\0\0\1\0\1"
#define OWNER "\300\14"

struct row {
    const char *what;
    uint16_t type;
    const char *rdata;
    size_t len;
    bool sound;
};

#define ROW(what, type, rdata, sound)                                                                                  \
    {                                                                                                                  \
        what, type, rdata, sizeof(rdata) - 1, sound                                                                    \
    }

static const struct row rows[] = {
    ROW("A", 1, "\300\0\2\1", true),
    ROW("A of 3 bytes", 1, "\300\0\2", false),
    ROW("A of 5 bytes", 1, "\300\0\2\1\0", false),
    ROW("A of none", 1, "", false),
    ROW("AAAA", 28, "\40\1\15\270\0\0\0\0\0\0\0\0\0\0\0\1", true),
    ROW("AAAA of 15 bytes", 28, "\40\1\15\270\0\0\0\0\0\0\0\0\0\0\1", false),
    ROW("NS", 2, "\2ns\300\20", true),
    ROW("CNAME, the root", 5, "\0", true),
    ROW("CNAME of none", 5, "", false),
    ROW("CNAME and a byte", 5, "\1a\0x", false),
    ROW("CNAME that runs on", 5, "\1a", false),
    ROW("CNAME pointing into the header", 5, "\300\4", false),
    ROW("CNAME pointing at its own", 5, "\300\51", false),
    ROW("CNAME pointing forwards", 5, "\300\53\1a\0", false),
    ROW("CNAME beyond the message", 5, "\303\377", false),
    ROW("PTR", 12, "\300\14", true),
    ROW("DNAME", 39, "\1t\300\20", true),
    ROW("SOA", 6,
        "\300\14\1h\300\20"
        "12345678901234567890",
        true),
    ROW("SOA a byte short", 6,
        "\300\14\1h\300\20"
        "1234567890123456789",
        false),
    ROW("SOA a byte long", 6,
        "\300\14\1h\300\20"
        "123456789012345678901",
        false),
    ROW("MX", 15, "\0\12\4mail\300\20", true),
    ROW("MX without name", 15, "\0\12", false),
    ROW("MX of a byte", 15, "\0", false),
    ROW("SRV", 33, "\0\1\0\2\23\304\300\14", true),
    ROW("SRV without name", 33, "\0\1\0\2\23\304", false),
    ROW("NAPTR", 35, "\0\1\0\2\1s\3SIP\0\300\14", true),
    ROW("NAPTR, strings too long", 35, "\0\1\0\2\1s\3SIP\17\300\14", false),
    ROW("RP", 17, "\300\14\0", true),
    ROW("RP with one name", 17, "\300\14", false),
    ROW("RRSIG", 46, "\0\1\15\1\0\0\0\74\0\0\0\0\0\0\0\0\0\1\300\20sig", true),
    ROW("RRSIG of 17 bytes", 46, "\0\1\15\1\0\0\0\74\0\0\0\0\0\0\0\0\0", false),
    ROW("NSEC", 47, "\300\14\0\1\100", true),
    ROW("NSEC, name broken", 47, "\300\377\0\1\100", false),
    ROW("HTTPS", 65, "\0\1\0", true),
    ROW("HTTPS without target", 65, "\0\1", false),
    ROW("HTTPS, target runs on", 65, "\0\1\5abc", false),
    /* Others stand by themselves. */
    ROW("TXT of none", 16, "", true),
    ROW("TXT too long", 16, "\17abc", true),
    ROW("unknown", 65280, "\300\377", true),
};

static bool judge(const struct row *row, size_t behind)
{
    uint8_t message[512];
    struct np_writer w = np_writer_make(message, sizeof message);
    struct np_walk walk;
    struct np_rr rr;
    np_write_bytes(&w, HEAD OWNER, sizeof(HEAD OWNER) - 1);
    np_write_u16(&w, row->type);
    np_write_u16(&w, 1);
    np_write_u32(&w, 60);
    np_write_u16(&w, (uint16_t)row->len);
    np_write_bytes(&w, row->rdata, row->len);
    for (size_t i = 0; i < behind; i++)
        np_write_u8(&w, 0);
    /* A copy of the exact size, so that AddressSanitizer sees a read of one byte too many. */
    uint8_t *exact = test_malloc(w.pos);
    memcpy(exact, message, w.pos);
    assert_int_equal(np_walk_start(&walk, exact, w.pos), 0);
    assert_int_equal(np_walk_next(&walk, &rr), 1);
    bool sound = np_rdata_is_sound(exact, w.pos, &rr);
    test_free(exact);
    return sound;
}

static void test_rows(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        /* What follows in the message makes no difference. */
        for (size_t behind = 0; behind <= 24; behind += 12) {
            if (judge(&rows[i], behind) != rows[i].sound)
                fail_msg("%s, %zu bytes behind it: not %s", rows[i].what, behind, rows[i].sound ? "sound" : "refused");
        }
    }
}

/* Cut at each byte, no data with names is taken for whole. */
static void test_cut(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct row row = rows[i];
        bool open_ended = row.type == 46 || row.type == 47 || row.type == 65;
        if (!row.sound || row.type == 16 || row.type == 65280 || open_ended)
            continue;
        while (row.len-- > 0)
            assert_false(judge(&row, 12));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_rows), cmocka_unit_test(test_cut)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

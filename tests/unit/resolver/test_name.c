#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "resolver/base/error.h"
#include "resolver/name.h"

static struct np_name name_of(const char *text)
{
    struct np_name name = {0};
    assert_int_equal(np_name_parse(text, &name), 0);
    return name;
}

static void test_parse_and_format(void **state)
{
    (void)state;
    static const struct {
        const char *text, *formatted; /* formatted NULL: refused */
    } rows[] = {
        {"box.example", "box.example"},
        {"Box.Example.", "Box.Example"},
        {".", "."},
        {"_acme-challenge.box", "_acme-challenge.box"},
        {"*.box", "*.box"},
        {"a\\.b.c", "a\\046b.c"},
        {"\\001x", "\\001x"},
        {"\\255", "\\255"},
        {"", NULL},
        {"..", NULL},
        {".a", NULL},
        {"a..b", NULL},
        {"\\", NULL},
        {"\\25", NULL},
        {"\\256", NULL},
        {"\\2x5", NULL},
        {"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", /* 63 */
         "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"},
        {"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", NULL}, /* 64 */
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct np_name name;
        char text[NP_NAME_TEXT_MAX];
        int rc = np_name_parse(rows[i].text, &name);
        assert_int_equal(rc, rows[i].formatted ? 0 : NP_E_MALFORMED);
        if (!rc)
            assert_string_equal(np_name_format(&name, text), rows[i].formatted);
    }
}

/* 255 bytes are a name, 256 are not. */
static void test_longest(void **state)
{
    (void)state;
    char text[300], out[NP_NAME_TEXT_MAX];
    struct np_name name;
    for (size_t i = 0; i < sizeof text; i++)
        text[i] = i % 2 ? '.' : 'a';
    text[2 * 127] = 0; /* 127 labels of one byte: 254 and the root */
    assert_int_equal(np_name_parse(text, &name), 0);
    assert_int_equal(name.len, 255);
    assert_int_equal(np_name_labels(&name), 127);
    text[2 * 127] = 'a';
    text[2 * 127 + 1] = 0;
    assert_int_equal(np_name_parse(text, &name), NP_E_MALFORMED);
    /* The longest text: every byte escaped. */
    struct np_name ugly = {.len = 255};
    for (size_t i = 0; i < 254; i++)
        ugly.wire[i] = i % 64 ? 0xff : (uint8_t)(i + 64 < 254 ? 63 : 254 - i - 1);
    np_name_format(&ugly, out);
    assert_true(strlen(out) < NP_NAME_TEXT_MAX);
    assert_int_equal(np_name_parse(out, &name), 0);
    assert_true(np_name_equal(&name, &ugly));
}

static void test_compare(void **state)
{
    (void)state;
    struct np_name a = name_of("Nifty-Babbage.Devices.EXAMPLE"), b = name_of("nifty-babbage.devices.example");
    assert_true(np_name_equal(&a, &b));
    assert_true(np_name_hash(&a, 7) == np_name_hash(&b, 7));
    assert_true(np_name_hash(&a, 7) != np_name_hash(&a, 8));
    np_name_lower(&a);
    assert_memory_equal(a.wire, b.wire, b.len);
    /* Only letters fold: '@' and '`', '[' and '{' stay apart, and so do bytes over 0x7f. */
    static const uint8_t apart[][2] = {{'@', '`'}, {'[', '{'}, {'^', '~'}, {0xc1, 0xe1}, {0xda, 0xfa}, {0, ' '}};
    for (size_t i = 0; i < sizeof apart / sizeof *apart; i++) {
        for (size_t at = 1; at <= 11; at += 10) { /* in the fast path and in the tail */
            a = name_of("aaaaaaaaaaaa");
            b = name_of("aaaaaaaaaaaa");
            a.wire[at] = apart[i][0];
            b.wire[at] = apart[i][1];
            assert_false(np_name_equal(&a, &b));
        }
    }
    /* Every letter folds, in the fast path (8 bytes) and in the tail. */
    for (char c = 'A'; c <= 'Z'; c++) {
        a = name_of("aaaaaaaaaaa");
        b = a;
        a.wire[3] = a.wire[11] = (uint8_t)c;
        b.wire[3] = b.wire[11] = (uint8_t)(c + 32);
        assert_true(np_name_equal(&a, &b));
        assert_true(np_name_hash(&a, 1) == np_name_hash(&b, 1));
    }
}

/* Without the key nobody can write names that collide: for a hash of multiplications and shifts, two names that differ
 * in these three bits collide under every key. */
static void test_hash_flooding(void **state)
{
    (void)state;
    struct np_name a = name_of("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"), b = a;
    b.wire[7] ^= 0x80;
    b.wire[11] ^= 0x80;
    b.wire[15] ^= 0x80;
    unsigned low_bits_equal = 0;
    for (uint64_t key = 0; key < 64; key++) {
        uint64_t difference = np_name_hash(&a, key) ^ np_name_hash(&b, key);
        assert_true(difference != 0);
        low_bits_equal += (difference & 0xff) == 0;
    }
    assert_in_range(low_bits_equal, 0, 4);
    /* One bit of the name turns about half of the hash's. */
    unsigned turned = 0;
    for (uint64_t key = 0; key < 64; key++) {
        b = a;
        b.wire[1 + key % 32] ^= 0x08;
        turned += (unsigned)__builtin_popcountll(np_name_hash(&a, key) ^ np_name_hash(&b, key));
    }
    assert_in_range(turned / 64, 28, 36);
}

static void test_within(void **state)
{
    (void)state;
    static const struct {
        const char *name, *zone;
        bool within;
    } rows[] = {
        {"box.example", "box.example", true},
        {"a.box.example", "BOX.example", true},
        {"a.b.box.example", "example", true},
        {"box.example", ".", true},
        {".", ".", true},
        {".", "example", false},
        {"xbox.example", "box.example", false},
        {"example", "box.example", false},
        {"box.example.org", "box.example", false},
        /* The bytes of the zone end the name, but not at a label: \003box\004arpa inside a label. */
        {"x\\003box\\004arpa", "box.arpa", false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct np_name name = name_of(rows[i].name), zone = name_of(rows[i].zone);
        assert_int_equal(np_name_within(&name, &zone), rows[i].within);
    }
}

static void test_parent_and_prepend(void **state)
{
    (void)state;
    char text[NP_NAME_TEXT_MAX];
    struct np_name name = name_of("a.b.c"), out;
    out = np_name_parent(&name, 0);
    assert_string_equal(np_name_format(&out, text), "a.b.c");
    out = np_name_parent(&name, 2);
    assert_string_equal(np_name_format(&out, text), "c");
    out = np_name_parent(&name, 3);
    assert_string_equal(np_name_format(&out, text), ".");
    out = np_name_parent(&name, 9);
    assert_string_equal(np_name_format(&out, text), ".");
    assert_int_equal(np_name_prepend("_acme-challenge", &name, &out), 0);
    assert_string_equal(np_name_format(&out, text), "_acme-challenge.a.b.c");
    assert_int_equal(np_name_prepend("", &name, &out), NP_E_LIMIT);
    name.len = 0;
    struct np_name full = {.len = 250};
    assert_int_equal(np_name_prepend("aaaa", &full, &out), 0);
    assert_int_equal(out.len, 255);
    assert_int_equal(np_name_prepend("aaaaa", &full, &out), NP_E_LIMIT);
}

static void test_read(void **state)
{
    (void)state;
    static const uint8_t message[] = "\1x\0HEADER..."
                                     "\3www\7example\0\1a\300\14\300\31\300\37\2bb\300\32\300\0"
                                     "\4z\300\50z\0";
    static const struct {
        size_t at, end;
        const char *text; /* NULL: refused */
    } rows[] = {
        {12, 25, "www.example"}, {25, 29, "a.www.example"}, {29, 31, "a.www.example"},
        {31, 33, NULL}, /* points at itself */
        {33, 38, NULL}, /* into the middle of a label that then runs into a pointer pointing forward */
        {38, 40, NULL}, /* into the header */
        {42, 44, NULL}, /* back to a label that it lies in itself, and that ends well behind it */
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct np_reader r = np_reader_make(message, sizeof message - 1);
        struct np_name name;
        char text[NP_NAME_TEXT_MAX];
        r.pos = rows[i].at;
        np_name_read(&r, &name);
        if (rows[i].text) {
            assert_int_equal(r.error, 0);
            assert_string_equal(np_name_format(&name, text), rows[i].text);
            assert_int_equal(r.pos, rows[i].end);
        } else {
            assert_int_not_equal(r.error, 0);
            assert_int_equal(name.len, 1);
        }
    }
    /* Cut anywhere, it is refused. */
    for (size_t len = 12; len < 25; len++) {
        struct np_reader r = np_reader_make(message, len);
        struct np_name name;
        r.pos = 12;
        np_name_read(&r, &name);
        assert_int_equal(r.error, NP_E_TRUNCATED);
    }
    static const uint8_t strange[] = "\100abc"; /* label types 01 and 10 (RFC 6891 section 5 retired them) */
    struct np_reader r = np_reader_make(strange, sizeof strange);
    struct np_name name;
    np_name_read(&r, &name);
    assert_int_not_equal(r.error, 0);
}

/* A name that pointers make longer than 255 bytes is refused, and a chain of pointers ends. */
static void test_read_bombs(void **state)
{
    (void)state;
    uint8_t message[600] = {0};
    struct np_writer w = np_writer_make(message, sizeof message);
    struct np_name name;
    np_write_reserve(&w, 12);
    for (int i = 0; i < 64; i++)
        np_write_bytes(&w, "\3abc", 4);
    np_write_u8(&w, 0);
    struct np_reader r = np_reader_make(message, w.pos);
    r.pos = 12;
    np_name_read(&r, &name);
    assert_int_equal(r.error, NP_E_MALFORMED);
    r = np_reader_make(message, w.pos);
    r.pos = 20; /* 62 labels: 248 and the root */
    np_name_read(&r, &name);
    assert_int_equal(r.error, 0);
    assert_int_equal(name.len, 249);
    size_t at = w.pos;
    np_write_u16(&w, 0xc000 | 20);
    for (int i = 0; i < 100; i++)
        np_write_u16(&w, (uint16_t)(0xc000 | (at + (size_t)i * 2)));
    r = np_reader_make(message, w.pos);
    r.pos = w.pos - 2;
    np_name_read(&r, &name);
    assert_int_equal(r.error, 0);
    assert_int_equal(name.len, 249);
}

static void test_reverse(void **state)
{
    (void)state;
    static const struct {
        const char *addr, *name;
    } rows[] = {
        {"192.168.1.1", "1.1.168.192.in-addr.arpa"},
        {"10.0.100.255", "255.100.0.10.in-addr.arpa"},
        {"fd42::1", "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.2.4.d.f.ip6.arpa"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct np_addr addr;
        struct np_name name;
        char text[NP_NAME_TEXT_MAX];
        assert_int_equal(np_addr_parse(rows[i].addr, &addr), 0);
        np_name_reverse(&addr, &name);
        assert_string_equal(np_name_format(&name, text), rows[i].name);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse_and_format), cmocka_unit_test(test_longest),
        cmocka_unit_test(test_compare),          cmocka_unit_test(test_hash_flooding),
        cmocka_unit_test(test_within),           cmocka_unit_test(test_read),
        cmocka_unit_test(test_read_bombs),       cmocka_unit_test(test_parent_and_prepend),
        cmocka_unit_test(test_reverse),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "resolver/base/error.h"
#include "resolver/base/text.h"

static void test_base64url_vectors(void **state)
{
    /* RFC 4648 section 10 without the padding; then the two characters that differ from base64; RFC 7515 appendix C. */
    static const struct {
        const char *plain;
        size_t len;
        const char *coded;
    } rows[] = {
        {"", 0, ""},
        {"f", 1, "Zg"},
        {"fo", 2, "Zm8"},
        {"foo", 3, "Zm9v"},
        {"foob", 4, "Zm9vYg"},
        {"fooba", 5, "Zm9vYmE"},
        {"foobar", 6, "Zm9vYmFy"},
        {"\xfb\xff\xbf", 3, "-_-_"},
        {"\x03\xec\xff\xe0\xc1", 5, "A-z_4ME"},
        {"\0\0\0", 3, "AAAA"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char coded[32];
        uint8_t plain[32];
        assert_int_equal(np_base64url_encode(rows[i].plain, rows[i].len, coded), strlen(rows[i].coded));
        assert_string_equal(coded, rows[i].coded);
        assert_true(strlen(coded) < NP_BASE64URL_LEN(rows[i].len));
        assert_int_equal(np_base64url_decode(coded, strlen(coded), plain, rows[i].len), rows[i].len);
        assert_memory_equal(plain, rows[i].plain, rows[i].len);
        if (rows[i].len)
            assert_int_equal(np_base64url_decode(coded, strlen(coded), plain, rows[i].len - 1), NP_E_LIMIT);
    }
}

static void test_base64url_strict(void **state)
{
    static const char *const bad[] = {"Z",     "Zg==", "Zh",   "Zm9=", "Zm8 ", " Zm8",   "Zm\n8",
                                      "Zm9vY", "Zm+v", "Zm/v", "Zm9",  "Zm9*", "\x80mm", "Zm.v"};
    uint8_t out[16];
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        if (np_base64url_decode(bad[i], strlen(bad[i]), out, sizeof out) != NP_E_MALFORMED)
            fail_msg("'%s' was taken", bad[i]);
    }
    assert_int_equal(np_base64url_decode_exact("Zm9v", out, 3), 0);
    assert_int_equal(np_base64url_decode_exact("Zm9v", out, 4), NP_E_MALFORMED);
    assert_int_equal(np_base64url_decode_exact("Zm9v", out, 2), NP_E_MALFORMED);
    assert_int_equal(np_base64url_decode("Zm9v\0v", 6, out, sizeof out), NP_E_MALFORMED); /* a NUL is no end */
}

static void test_base64url_round_trip(void **state)
{
    uint8_t plain[67], back[67];
    char coded[NP_BASE64URL_LEN(67)];
    (void)state;
    for (size_t i = 0; i < sizeof plain; i++)
        plain[i] = (uint8_t)(i * 83 + 17);
    for (size_t len = 0; len <= sizeof plain; len++) {
        size_t n = np_base64url_encode(plain, len, coded);
        assert_int_equal(n + 1, NP_BASE64URL_LEN(len));
        assert_int_equal(np_base64url_decode(coded, n, back, sizeof back), len);
        assert_memory_equal(back, plain, len);
    }
}

static void test_hex(void **state)
{
    static const char *const bad[] = {"00f", "00fg", "0 ff", "00ff0", "00ff00ff", "0x00"};
    uint8_t out[2];
    char text[NP_HEX_LEN(2)];
    (void)state;
    assert_int_equal(np_hex_decode_exact("0aFf", out, 2), 0);
    np_hex_encode(out, 2, text);
    assert_string_equal(text, "0aff");
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(np_hex_decode_exact(bad[i], out, 2), NP_E_MALFORMED);
    np_hex_encode("", 0, text);
    assert_string_equal(text, "");
}

static void test_hostnames(void **state)
{
    static const char long_label[] = "a23456789012345678901234567890123456789012345678901234567890123"; /* 63 */
    static const char *const good[] = {
        "a",        "box", "nifty-babbage.devices.example", "xn--bcher-kva.example", "3com.com", "a--b.c", "A.B", "1a",
        long_label, "0.a"};
    static const char *const bad[] = {"",
                                      ".",
                                      "box.",
                                      ".box",
                                      "a..b",
                                      "-a",
                                      "a-",
                                      "a.-b",
                                      "a-.b",
                                      "a_b",
                                      "a b",
                                      "1.2.3.4",
                                      "123",
                                      "b\xc3\xbcx",
                                      "a\n",
                                      "*.a",
                                      "a23456789012345678901234567890123456789012345678901234567890123x",
                                      "a/b",
                                      "a:1"};
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        if (!np_is_hostname(good[i]))
            fail_msg("'%s' was refused", good[i]);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        if (np_is_hostname(bad[i]))
            fail_msg("'%s' was taken", bad[i]);
    }
    char name[260];
    for (size_t i = 0; i < 253; i++)
        name[i] = i % 4 == 3 ? '.' : 'a';
    name[253] = 0;
    assert_true(np_is_hostname(name));
    name[252] = name[253] = 'a';
    name[251] = '.';
    name[254] = 0;
    assert_false(np_is_hostname(name)); /* 254 characters */
}

static void test_token_and_sanitize(void **state)
{
    char out[8];
    (void)state;
    assert_true(np_is_token("NP-0001", 7));
    assert_false(np_is_token("NP-0001", 6));
    assert_false(np_is_token("", 7));
    assert_false(np_is_token("a b", 7));
    assert_false(np_is_token("a\x7f", 7));
    assert_false(np_is_token("\xc3\xa4", 7));
    np_text_sanitize("a\nb\x1b\xff~ and more", out, sizeof out);
    assert_string_equal(out, "a?b??~ ");
    np_text_sanitize("abc", out, 1);
    assert_string_equal(out, "");
    out[0] = 'x';
    np_text_sanitize("abc", out, 0);
    assert_int_equal(out[0], 'x');
}

static void test_compare_wipe(void **state)
{
    uint8_t secret[4] = {1, 2, 3, 4};
    (void)state;
    assert_true(np_equal_constant_time("abcd", "abcd", 4));
    assert_false(np_equal_constant_time("abcd", "abce", 4));
    assert_false(np_equal_constant_time("abcd",
                                        "\xe1"
                                        "bcd",
                                        4));
    assert_true(np_equal_constant_time("a", "b", 0));
    np_wipe(secret, sizeof secret);
    assert_memory_equal(secret, "\0\0\0\0", 4);
}

static void test_parse_int(void **state)
{
    static const char *const bad[] = {
        "", " 1", "1 ", "+1", "1x", "x", "-", "--1", "0x10", "101", "-6", "99999999999999999999999", "1.0", "1e2"};
    int64_t value = 77;
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        if (np_parse_int(bad[i], -5, 100, &value) != NP_E_MALFORMED)
            fail_msg("'%s' was taken", bad[i]);
    }
    assert_int_equal(value, 77);
    assert_int_equal(np_parse_int("100", -5, 100, &value), 0);
    assert_int_equal(value, 100);
    assert_int_equal(np_parse_int("-5", -5, 100, &value), 0);
    assert_int_equal(value, -5);
    assert_int_equal(np_parse_int("9223372036854775807", 0, INT64_MAX, &value), 0);
    assert_true(value == INT64_MAX);
    assert_int_equal(np_parse_int("9223372036854775808", 0, INT64_MAX, &value), NP_E_MALFORMED);
}

static void test_parse_size(void **state)
{
    static const struct {
        const char *text;
        uint64_t value;
    } good[] = {{"0", 0},
                {"1", 1},
                {"007", 7},
                {"4M", 4 << 20},
                {"4m", 4 << 20},
                {"256k", 256 << 10},
                {"1G", 1 << 30},
                {"18446744073709551615", UINT64_MAX},
                {"16383G", 17591112302592}};
    static const char *const bad[] = {"",
                                      " 1",
                                      "1 ",
                                      "-1",
                                      "+1",
                                      "M",
                                      "4MB",
                                      "4MM",
                                      "1.5M",
                                      "4T",
                                      "0x1",
                                      "4 M",
                                      "1KM",
                                      "18446744073709551616",
                                      "17179869184G"};
    uint64_t value = 77;
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        if (np_parse_size(good[i].text, 0, UINT64_MAX, &value) || value != good[i].value)
            fail_msg("'%s'", good[i].text);
    }
    value = 77;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        if (np_parse_size(bad[i], 0, UINT64_MAX, &value) != NP_E_MALFORMED)
            fail_msg("'%s' was taken", bad[i]);
    }
    assert_int_equal(np_parse_size("255K", 256 << 10, 1 << 20, &value), NP_E_MALFORMED);
    assert_int_equal(np_parse_size("1025K", 256 << 10, 1 << 20, &value), NP_E_MALFORMED);
    assert_int_equal(value, 77);
    assert_int_equal(np_parse_size("1024K", 256 << 10, 1 << 20, &value), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_base64url_vectors),
        cmocka_unit_test(test_base64url_strict),
        cmocka_unit_test(test_base64url_round_trip),
        cmocka_unit_test(test_hex),
        cmocka_unit_test(test_hostnames),
        cmocka_unit_test(test_token_and_sanitize),
        cmocka_unit_test(test_compare_wipe),
        cmocka_unit_test(test_parse_int),
        cmocka_unit_test(test_parse_size),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

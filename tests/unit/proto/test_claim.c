/* Claim codes: what is written comes back however people type it, and no single mistake passes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "hq/proto/claim.h"
#include "resolver/base/error.h"

static const char alphabet[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/* Made by hand from the definition in claim.h: also a check that codes printed today can be read tomorrow. */
static const struct {
    uint8_t random[NP_CLAIM_RANDOM];
    const char *label;
} samples[] = {
    {{0}, "0000-0000-0000-0000"},
    {{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, "ZZZZ-ZZZZ-ZZZZ-ZZZN"},
    {{0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef, 0x01, 0x23}, "04HM-ASW9-NF6Y-Y09Z"},
};

static void test_known_codes(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof samples / sizeof *samples; i++) {
        char code[NP_CLAIM_LEN + 1], text[NP_CLAIM_LEN + 4], read[NP_CLAIM_LEN + 1];
        np_claim_make(samples[i].random, code);
        np_claim_format(code, text);
        assert_string_equal(text, samples[i].label);
        assert_int_equal(np_claim_parse(text, read), 0);
        assert_string_equal(read, code);
    }
}

static void test_as_people_type(void **state)
{
    static const char *const same[] = {"04HMASW9NF6YY09Z", "04hm-asw9-nf6y-y09z", " 04HM ASW9 NF6Y Y09Z ",
                                       "O4HM-ASW9-NF6Y-YO9Z", "o4hm-asw9-nf6y-yo9z"};
    static const char *const none[] = {"",
                                       "04HM-ASW9-NF6Y-Y09",
                                       "04HM-ASW9-NF6Y-Y09Z3",
                                       "04HM-ASW9-NF6Y-Y09U",
                                       "04HM_ASW9_NF6Y_Y09Z",
                                       "04HM-ASW9-NF6Y-Y09\xc3"};
    char code[NP_CLAIM_LEN + 1];
    (void)state;
    for (size_t i = 0; i < sizeof same / sizeof *same; i++) {
        assert_int_equal(np_claim_parse(same[i], code), 0);
        assert_string_equal(code, "04HMASW9NF6YY09Z");
    }
    for (size_t i = 0; i < sizeof none / sizeof *none; i++)
        assert_int_equal(np_claim_parse(none[i], code), NP_E_MALFORMED);
    assert_int_equal(np_claim_parse("iIlL-1111-1111-1111", code), np_claim_parse("1111-1111-1111-1111", code));
}

/* Every wrong character at every place, and every exchange of two. */
static void test_single_mistakes(void **state)
{
    char good[] = "04HMASW9NF6YY09Z", code[NP_CLAIM_LEN + 1];
    unsigned tried = 0;
    (void)state;
    for (size_t i = 0; i < NP_CLAIM_LEN; i++) {
        char kept = good[i];
        for (size_t k = 0; k < 32; k++) {
            good[i] = alphabet[k];
            assert_int_equal(np_claim_parse(good, code), alphabet[k] == kept ? 0 : NP_E_CHECKSUM);
            tried++;
        }
        good[i] = kept;
        for (size_t k = i + 1; k < NP_CLAIM_LEN; k++) {
            char swapped[sizeof good];
            memcpy(swapped, good, sizeof good);
            swapped[i] = good[k];
            swapped[k] = good[i];
            assert_int_equal(np_claim_parse(swapped, code), good[i] == good[k] ? 0 : NP_E_CHECKSUM);
            tried++;
        }
    }
    assert_int_equal(tried, 16 * 32 + 16 * 15 / 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known_codes),
        cmocka_unit_test(test_as_people_type),
        cmocka_unit_test(test_single_mistakes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

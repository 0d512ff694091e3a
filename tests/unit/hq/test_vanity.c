/* Which names an owner may choose: the shape of a label, reserved and banned words and what looks like them, and names
 * of the form that HQ makes itself. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hq/names/vanity.h"
#include "resolver/base/error.h"

static struct np_vanity open_policy(void)
{
    return (struct np_vanity){.allowed = true, .least = 3, .greatest = 20};
}

static void expect(const struct np_vanity *vanity, const char *label, const char *word)
{
    struct np_refusal refusal = {.retry_after_s = 0};
    char lower[NP_LABEL_MAX + 1] = "";
    int rc = np_vanity_check(vanity, label, lower, &refusal);
    const char *got = rc == 0 ? "ok" : refusal.problem.type;
    if (strcmp(got, word) != 0)
        fail_msg("'%s': %s (%s) instead of %s", label, got, refusal.problem.detail, word);
    if (rc == 0) {
        assert_int_equal(strspn(lower, "abcdefghijklmnopqrstuvwxyz0123456789-"), strlen(lower));
        assert_int_equal(strlen(lower), strlen(label));
    } else {
        assert_string_equal(lower, "");
        assert_true(strlen(refusal.problem.detail) > 20);
    }
}

static void test_table(void **state)
{
    (void)state;
    static const struct {
        const char *label, *word;
    } table[] = {
        {"kitchen", "ok"},
        {"Kitchen", "ok"},
        {"the-smiths", "ok"},
        {"smith-2", "ok"},
        {"2nd-floor", "ok"},
        {"9lives", "ok"},
        {"abc", "ok"},
        {"abcdefghijklmnopqrst", "ok"},
        /* RFC 1035 section 2.3.1, RFC 5891 */
        {"", "bad-name"},
        {"ab", "bad-name"},
        {"abcdefghijklmnopqrstu", "bad-name"},
        {"-kitchen", "bad-name"},
        {"kitchen-", "bad-name"},
        {"my--kitchen", "bad-name"},
        {"ab--cd", "bad-name"},
        {"xn--kchen-kva", "bad-name"},
        {"XN--KCHEN", "bad-name"},
        {"k\xc3\xbc"
         "che",
         "bad-name"},
        {"kit_chen", "bad-name"},
        {"kit chen", "bad-name"},
        {"kit.chen", "bad-name"},
        {"_acme-challenge", "bad-name"},
        {"*", "bad-name"},
        {"*kitchen", "bad-name"},
        {"kitchen\n", "bad-name"},
        {"\"kitchen", "bad-name"},
        {"12345", "bad-name"},
        {"192-168-1-1", "bad-name"},
        /* The zone's own, services', the operator's, and what looks like them. */
        {"www", "name-reserved"},
        {"mail", "name-reserved"},
        {"acme", "name-reserved"},
        {"admin", "name-reserved"},
        {"rebind-test", "name-reserved"},
        {"plain-test", "name-reserved"},
        {"wpad", "name-reserved"},
        {"isatap", "name-reserved"},
        {"localhost", "name-reserved"},
        {"ns3", "name-reserved"},
        {"ns12", "name-reserved"},
        {"www2", "name-reserved"},
        {"w-w-w", "name-reserved"},
        {"adm1n", "name-reserved"},
        {"adrnin", "name-reserved"},
        {"vvww", "name-reserved"},
        {"ad-min", "name-reserved"},
        {"l0gin", "name-reserved"},
        {"my-login", "name-reserved"},
        {"login-home", "name-reserved"},
        {"smith-support", "name-reserved"},
        {"nameplate", "name-reserved"},
        {"router", "name-reserved"},
        {"mail01", "name-reserved"},
        {"autoconfig", "name-reserved"},
        {"mailbox", "ok"},
        {"adminton", "ok"},
        {"banker", "ok"},
        /* HQ's own form. */
        {"nifty-babbage", "name-reserved"},
        {"nifty-babbage-2bcd", "name-reserved"},
        {"nifty-babbage-xzwv", "name-reserved"},
        {"nifty-babbages", "ok"},
        {"nifty-kitchen", "ok"},
        {"babbage", "ok"},
        {"nifty", "ok"},
        {"glowing-curie", "name-reserved"},
        /* Banned words, as words or anywhere. */
        {"fuck", "name-reserved"},
        {"xfuckx", "name-reserved"},
        {"f-u-c-k", "name-reserved"},
        {"my-sex-box", "name-reserved"},
        {"5ex", "name-reserved"},
        {"grape", "ok"},
        {"essex", "ok"},
        {"scunthorpe", "ok"},
    };
    const struct np_vanity vanity = open_policy();
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        expect(&vanity, table[i].label, table[i].word);
}

static void test_off_and_lengths(void **state)
{
    (void)state;
    struct np_vanity vanity = open_policy();
    char label[80];
    vanity.allowed = false;
    expect(&vanity, "kitchen", "vanity-off");
    expect(&vanity, "", "vanity-off");
    vanity = (struct np_vanity){.allowed = true, .least = 1, .greatest = 63};
    for (size_t len = 1; len < sizeof label - 1; len++) {
        memset(label, 'q', len);
        label[len] = 0;
        expect(&vanity, label, len <= 63 ? "ok" : "bad-name");
    }
}

/* Whatever HQ proposes itself, nobody can choose. */
static void test_generated(void **state)
{
    (void)state;
    const struct np_vanity vanity = {.allowed = true, .least = 1, .greatest = 63};
    size_t adjectives, surnames;
    const char *const *a = np_names_adjectives(&adjectives), *const *s = np_names_surnames(&surnames);
    char label[80];
    for (size_t i = 0; i < adjectives; i += 7) {
        for (size_t k = i % 5; k < surnames; k += 5) {
            snprintf(label, sizeof label, "%s-%s", a[i], s[k]);
            assert_true(np_names_is_generated(label));
            expect(&vanity, label, "name-reserved");
            snprintf(label, sizeof label, "%s-%s-2345bcd", a[i], s[k]);
            assert_true(np_names_is_generated(label));
        }
    }
    assert_false(np_names_is_generated("nifty-babbage-abc"));
    assert_false(np_names_is_generated("nifty"));
    assert_false(np_names_is_generated("-babbage"));
    assert_false(np_names_is_generated(""));
}

static void test_own_lists(void **state)
{
    (void)state;
    static const char reserved[] = "# ours\n\nWidget # the product\r\n  help-desk\t\nns9x";
    static const char banned[] = "duck\nfoo-bar\nnut\nvine\n";
    struct np_vanity vanity = open_policy();
    char error[NP_WORDS_ERROR_MAX];
    assert_int_equal(np_words_parse(reserved, strlen(reserved), &vanity.reserved, error), 0);
    assert_int_equal(np_words_parse(banned, strlen(banned), &vanity.banned, error), 0);
    assert_int_equal(vanity.reserved.count, 3);
    assert_string_equal(vanity.reserved.words[0], "widget");
    expect(&vanity, "widget", "name-reserved");
    expect(&vanity, "w1dget", "name-reserved");
    expect(&vanity, "widget7", "name-reserved");
    expect(&vanity, "my-widget", "ok");
    expect(&vanity, "helpdesk", "name-reserved");
    expect(&vanity, "ducks", "name-reserved");
    expect(&vanity, "du-ck", "name-reserved");
    expect(&vanity, "xfoobarx", "name-reserved");
    /* Also where its first letter makes a pair with the one before: "rn", "vv". */
    expect(&vanity, "barnut", "name-reserved");
    expect(&vanity, "avvvine", "name-reserved");
    /* HQ's own hosts in the zone, whatever their depth; others are nobody's business. */
    assert_int_equal(np_vanity_reserve_host(&vanity, "devices.example", "enrolment.devices.example"), 0);
    assert_int_equal(np_vanity_reserve_host(&vanity, "devices.example", "a.b.names.devices.example"), 0);
    assert_int_equal(np_vanity_reserve_host(&vanity, "devices.example", "ns.other.example"), 0);
    assert_int_equal(np_vanity_reserve_host(&vanity, "devices.example", "devices.example"), 0);
    assert_int_equal(np_vanity_reserve_host(&vanity, "devices.example", "x.moredevices.example"), 0);
    assert_int_equal(vanity.reserved.count, 5);
    expect(&vanity, "enrolment", "name-reserved");
    expect(&vanity, "names", "name-reserved");
    expect(&vanity, "widget", "name-reserved");
    expect(&vanity, "other", "ok");
    np_words_free(&vanity.reserved);
    np_words_free(&vanity.banned);
}

static void test_bad_lists(void **state)
{
    (void)state;
    struct np_words words = {.count = 0};
    char error[NP_WORDS_ERROR_MAX], line[80];
    assert_int_equal(np_words_parse("", 0, &words, error), 0);
    assert_int_equal(words.count, 0);
    np_words_free(&words);
    assert_int_equal(np_words_parse("good\ntwo words\n", 15, &words, error), NP_E_MALFORMED);
    assert_non_null(strstr(error, "line 2"));
    assert_int_equal(np_words_parse("a\0b\n", 4, &words, error), NP_E_MALFORMED);
    memset(line, 'a', 64);
    assert_int_equal(np_words_parse(line, 64, &words, error), NP_E_MALFORMED);
    assert_int_equal(np_words_parse(line, 63, &words, error), 0);
    np_words_free(&words);
    char *many = malloc(2 * (NP_WORDS_MAX + 1));
    for (size_t i = 0; i <= NP_WORDS_MAX; i++)
        memcpy(many + 2 * i, "a\n", 2);
    assert_int_equal(np_words_parse(many, 2 * NP_WORDS_MAX, &words, error), 0);
    assert_int_equal(words.count, NP_WORDS_MAX);
    np_words_free(&words);
    assert_int_equal(np_words_parse(many, 2 * (NP_WORDS_MAX + 1), &words, error), NP_E_LIMIT);
    free(many);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),     cmocka_unit_test(test_off_and_lengths), cmocka_unit_test(test_generated),
        cmocka_unit_test(test_own_lists), cmocka_unit_test(test_bad_lists),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

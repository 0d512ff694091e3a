/* The name generator: every word and pair makes a good label, suffixes come when they should. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "hq/names/names.h"
#include "resolver/base/text.h"

/* Picks scripted numbers, then 0 for ever. */
struct script {
    uint32_t values[8];
    size_t count, at;
};

static uint32_t scripted(void *ctx, uint32_t bound)
{
    struct script *script = ctx;
    uint32_t value = script->at < script->count ? script->values[script->at] : 0;
    script->at++;
    assert_true(value < bound);
    return value;
}

static uint32_t last(void *ctx, uint32_t bound)
{
    (void)ctx;
    return bound - 1;
}

static void check_words(const char *const *words, size_t count, size_t longest)
{
    assert_true(count >= 300);
    for (size_t i = 0; i < count; i++) {
        assert_true(strlen(words[i]) >= 2 && strlen(words[i]) <= longest);
        assert_int_equal(strspn(words[i], "abcdefghijklmnopqrstuvwxyz"), strlen(words[i]));
        if (i > 0 && strcmp(words[i - 1], words[i]) >= 0)
            fail_msg("%s and %s: out of order or double", words[i - 1], words[i]);
    }
}

static void test_lists(void **state)
{
    (void)state;
    size_t adjectives, surnames;
    const char *const *a = np_names_adjectives(&adjectives), *const *s = np_names_surnames(&surnames);
    /* With the longest suffix a label still has room: 12 + 1 + 15 + 1 + 7. */
    check_words(a, adjectives, 12);
    check_words(s, surnames, 15);
}

static size_t index_of(const char *word, const char *const *words, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(words[i], word) == 0)
            return i;
    }
    fail_msg("%s is not in the list", word);
    return 0;
}

static void test_proposals(void **state)
{
    (void)state;
    size_t adjectives, surnames;
    const char *const *a = np_names_adjectives(&adjectives), *const *s = np_names_surnames(&surnames);
    char label[NP_LABEL_MAX + 1];
    uint32_t nifty = (uint32_t)index_of("nifty", a, adjectives), babbage = (uint32_t)index_of("babbage", s, surnames);
    for (unsigned attempt = 0; attempt < NP_NAMES_TRIES; attempt++) {
        struct script script = {{nifty, babbage}, 2, 0};
        np_names_propose(attempt, scripted, &script, label);
        assert_string_equal(label, attempt < NP_NAMES_PLAIN ? "nifty-babbage"
                                   : attempt < 8            ? "nifty-babbage-2222"
                                                            : "nifty-babbage-2222222");
        np_names_propose(attempt, last, NULL, label);
        assert_true(np_is_hostname(label));
    }
}

static void test_banned_pairs_are_drawn_again(void **state)
{
    (void)state;
    size_t adjectives, surnames;
    const char *const *a = np_names_adjectives(&adjectives), *const *s = np_names_surnames(&surnames);
    char label[NP_LABEL_MAX + 1];
    struct script script = {{(uint32_t)index_of("radiant", a, adjectives), (uint32_t)index_of("curie", s, surnames),
                             (uint32_t)index_of("calm", a, adjectives), (uint32_t)index_of("curie", s, surnames)},
                            4,
                            0};
    np_names_propose(0, scripted, &script, label);
    assert_string_equal(label, "calm-curie");
    assert_true(np_names_banned("radiant-curie"));
    assert_true(np_names_banned("hq"));
    assert_false(np_names_banned("nifty-babbage"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lists),
        cmocka_unit_test(test_proposals),
        cmocka_unit_test(test_banned_pairs_are_drawn_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

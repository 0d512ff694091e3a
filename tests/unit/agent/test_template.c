/* The templates of the pages: values, sections, lists, partials, and what is not whole. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "agent/front/template.h"

static const char *value(const void *ctx, const char *key, size_t len, size_t index)
{
    static char item[32];
    (void)ctx;
    if (len == 4 && memcmp(key, "name", 4) == 0)
        return "<a&b>";
    if (len == 5 && memcmp(key, "empty", 5) == 0)
        return "";
    if (len == 4 && memcmp(key, "part", 4) == 0)
        return "[{{name}}]";
    if (len == 4 && memcmp(key, "self", 4) == 0)
        return ".{{>self}}";
    if (len == 4 && memcmp(key, "item", 4) == 0) {
        snprintf(item, sizeof item, "%zu", index);
        return item;
    }
    return NULL;
}

static long count(const void *ctx, const char *key, size_t len)
{
    (void)ctx;
    if (len == 5 && memcmp(key, "items", 5) == 0)
        return 3;
    return len == 4 && memcmp(key, "none", 4) == 0 ? 0 : -1;
}

static void test_templates(void **state)
{
    static const struct {
        const char *template, *text;
    } cases[] = {
        {"", ""},
        {"plain { } }}", "plain { } }}"},
        {"{{name}}", "&lt;a&amp;b&gt;"},
        {"{{{name}}}", "<a&b>"},
        {"x{{>part}}y", "x[&lt;a&amp;b&gt;]y"},
        {"{{nothing}}{{empty}}{{>nothing}}{{}}", ""},
        {"a{{#name}}b{{/name}}c{{^name}}d{{/name}}e", "abce"},
        {"a{{#empty}}b{{/empty}}c{{^empty}}d{{/empty}}e", "acde"},
        {"{{#items}}<{{item}}>{{/items}}", "<0><1><2>"},
        {"{{#none}}x{{/none}}{{^none}}y{{/none}}{{^items}}z{{/items}}", "y"},
        {"{{#name}}{{#empty}}a{{/empty}}{{^empty}}b{{/empty}}{{/name}}", "b"},
        {"{{#items}}{{#name}}{{item}}{{/name}}{{/items}}", "012"},
        {"{{#name}}\nline\n{{/name}}\nend", "line\nend"},
        {"open {{name", "open {{name"},
        {"open {{{name}}", "open {{{name}}"},
        {"a{{#name}}b", "a"}, /* without its end a section is left out */
        {"{{#a-key-that-is-longer-than-any-of-ours}}x{{/a-key-that-is-longer-than-any-of-ours}}", ""},
    };
    struct np_template_values values = {NULL, value, count};
    char text[256];
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct np_writer w = np_writer_make(text, sizeof text - 1);
        np_template_write(&w, cases[i].template, strlen(cases[i].template), &values);
        text[w.pos] = '\0';
        assert_string_equal(text, cases[i].text);
    }
}

static void test_a_partial_within_itself_ends(void **state)
{
    struct np_template_values values = {NULL, value, count};
    char text[64];
    struct np_writer w = np_writer_make(text, sizeof text);
    (void)state;
    np_template_write(&w, "{{>self}}", 9, &values);
    assert_in_range(w.pos, 1, 20);
}

static void test_too_small_a_buffer(void **state)
{
    struct np_template_values values = {NULL, value, count};
    char text[8];
    struct np_writer w = np_writer_make(text, sizeof text);
    (void)state;
    np_template_write(&w, "{{#items}}{{name}}{{/items}}", 28, &values);
    assert_int_equal(w.error, NP_E_LIMIT);
}

static void test_escape(void **state)
{
    char text[64];
    struct np_writer w = np_writer_make(text, sizeof text);
    (void)state;
    np_template_escape(&w, "a&<b>\"'\n\x7f\xc3\xa4");
    np_template_escape(&w, NULL);
    text[w.pos] = '\0';
    assert_string_equal(text, "a&amp;&lt;b&gt;&quot;&#39;??\xc3\xa4");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_templates),
        cmocka_unit_test(test_a_partial_within_itself_ends),
        cmocka_unit_test(test_too_small_a_buffer),
        cmocka_unit_test(test_escape),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

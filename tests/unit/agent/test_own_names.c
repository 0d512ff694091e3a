/* The names that a box answers for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "agent/own_names.h"

#define NAME   "nifty-babbage.devices.example"
#define WILD   "*.nifty-babbage.devices.example"
#define WILD_B "*.b.nifty-babbage.devices.example"

static const char plain[NP_SAN_MAX][NP_NAME_MAX + 1] = {NAME};
static const char wild[NP_SAN_MAX][NP_NAME_MAX + 1] = {NAME, WILD, "second.example"};
static struct np_name aliases[NP_ALIAS_MAX];
static struct np_x509 leaf;
static struct np_own_names names;
static struct np_view view;

static int setup(void **state)
{
    (void)state;
    np_view_init(&view);
    leaf = (struct np_x509){.names = {NAME}, .name_count = 1};
    names = (struct np_own_names){.name = NAME,
                                  .san = plain,
                                  .san_count = 1,
                                  .aliases = aliases,
                                  .leaf = &leaf,
                                  .leaf_valid = true,
                                  .https = true};
    return 0;
}

static void alias(const char *text)
{
    assert_int_equal(np_name_parse(text, &aliases[names.alias_count++]), 0);
}

/* "name" or "name+w" (wildcard), "+h" (https), "+d" (DNS over TLS), separated by blanks. */
static void check(const char *want)
{
    char got[512] = "", text[NP_NAME_TEXT_MAX];
    np_own_names_to_view(&names, &view);
    for (size_t i = 0; i < view.own_count; i++) {
        const struct np_view_own *own = &view.own[i];
        size_t len = strlen(got);
        snprintf(got + len, sizeof got - len, "%s%.200s%s%s%s", i ? " " : "", np_name_format(&own->name, text),
                 own->wildcard ? "+w" : "", own->https ? "+h" : "", own->dot ? "+d" : "");
    }
    assert_string_equal(got, want);
}

static void own_name(void **state)
{
    char text[NP_NAME_TEXT_MAX];
    (void)state;
    check(NAME "+h");
    assert_string_equal(np_name_format(&view.zone, text), "devices.example");
    names.leaf_valid = false;
    check(NAME);
    names.leaf_valid = true;
    names.https = false;
    check(NAME);
    names.dot = true;
    check(NAME "+d");
    names.leaf_valid = false;
    check(NAME);
    names.leaf_valid = true;
    names.dot = false;
    names.https = true;
    snprintf(leaf.names[0], sizeof leaf.names[0], "old.example");
    check(NAME);
    names.leaf = NULL;
    check(NAME);
}

static void before_enrolment(void **state)
{
    (void)state;
    names = (struct np_own_names){.name = "", .san = plain, .aliases = aliases, .https = true};
    view.own_count = 3;
    check("");
    assert_int_equal(view.zone.len, 0);
    alias("nas.home.arpa");
    check("nas.home.arpa");
    assert_int_equal(view.zone.len, 0);
}

static void certificate_with_more(void **state)
{
    (void)state;
    names.san = wild;
    names.san_count = 3;
    check(NAME "+w+h second.example"); /* the leaf that is served does not cover the second yet */
    leaf = (struct np_x509){.names = {NAME, WILD, "second.example"}, .name_count = 3};
    check(NAME "+w+h second.example+h");
    names.leaf = NULL;
    check(NAME "+w second.example");
}

static void aliases_of_the_owner(void **state)
{
    (void)state;
    alias("NAS.home.arpa");
    alias("nifty-babbage.DEVICES.example"); /* there already */
    alias("printer." NAME);
    alias("a.b." NAME);
    check(NAME "+h NAS.home.arpa printer." NAME " a.b." NAME);
    leaf = (struct np_x509){.names = {NAME, WILD, WILD_B, "*.home.arpa"}, .name_count = 4};
    /* A wildcard stands for one label, and its own name's children are answered alike. */
    check(NAME "+w+h NAS.home.arpa+h printer." NAME "+h a.b." NAME "+h");
}

static void all_fit(void **state)
{
    (void)state;
    static const char sans[NP_SAN_MAX][NP_NAME_MAX + 1] = {NAME, "s2.example", "s3.example", "s4.example"};
    names.san = sans;
    names.san_count = NP_SAN_MAX;
    for (int i = 0; i < NP_ALIAS_MAX; i++) {
        char text[24];
        snprintf(text, sizeof text, "a%d.lan", i);
        alias(text);
    }
    np_own_names_to_view(&names, &view);
    assert_int_equal(view.own_count, NP_VIEW_OWN_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(own_name, setup),
        cmocka_unit_test_setup(before_enrolment, setup),
        cmocka_unit_test_setup(certificate_with_more, setup),
        cmocka_unit_test_setup(aliases_of_the_owner, setup),
        cmocka_unit_test_setup(all_fit, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

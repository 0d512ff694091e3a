#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "agent/certificate/deploy_private.h"
#include "resolver/base/error.h"

static void test_judgement(void **state)
{
    (void)state;
    static const struct {
        struct np_deploy_seen seen;
        enum np_deploy_outcome outcome;
    } cases[] = {
        {{.rc = 0, .wrote = true, .earlier = true, .reloaded = true, .served_before = true}, NP_DEPLOY_SERVED},
        /* A reload that does nothing: the files are right, and going back would help nobody. */
        {{.rc = NP_E_STALE, .wrote = true, .earlier = true, .reloaded = true, .served_before = true},
         NP_DEPLOY_NOT_SERVED},
        /* The server went down, or the reload said no. */
        {{.rc = -ECONNREFUSED, .wrote = true, .earlier = true, .reloaded = true, .served_before = true, .broken = true},
         NP_DEPLOY_ROLLED_BACK},
        {{.rc = NP_E_REFUSED, .wrote = true, .earlier = true, .served_before = true}, NP_DEPLOY_ROLLED_BACK},
        {{.rc = -ETIMEDOUT, .wrote = true, .earlier = true, .served_before = true}, NP_DEPLOY_ROLLED_BACK},
        /* One address of several is gone, another one presents the old certificate. */
        {{.rc = NP_E_STALE, .wrote = true, .earlier = true, .reloaded = true, .served_before = true, .broken = true},
         NP_DEPLOY_ROLLED_BACK},
        /* Nothing to go back to, nothing that was changed, or nothing that worked before. */
        {{.rc = NP_E_REFUSED, .wrote = true, .served_before = true}, NP_DEPLOY_FAILED},
        {{.rc = NP_E_REFUSED, .earlier = true, .served_before = true}, NP_DEPLOY_FAILED},
        {{.rc = -ECONNREFUSED, .wrote = true, .earlier = true, .reloaded = true}, NP_DEPLOY_FAILED},
        {{.rc = NP_E_STALE, .earlier = true, .served_before = true}, NP_DEPLOY_NOT_SERVED},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_int_equal(np_deploy_judge(&cases[i].seen), cases[i].outcome);
}

static int parse(const char *text, struct np_deploy_target *target, char error[NP_CONFIG_ERROR_MAX])
{
    return np_deploy_target_parse(text, strlen(text), "/etc/nameplate/deploy.d/nginx.conf", target, error);
}

static void test_target(void **state)
{
    (void)state;
    struct np_deploy_target target;
    char error[NP_CONFIG_ERROR_MAX] = "";
    assert_int_equal(parse("certificate = \"/a/b.crt\"\nkey = \"/a/b.key\"\ncheck = {\"127.0.0.1\", \"[::1]:8443\"}\n"
                           "reload = {\"/bin/true\", \"x\"}\nmode = \"0640\"\n",
                           &target, error),
                     0);
    assert_string_equal(target.name, "nginx");
    assert_string_equal(target.files[NP_DEPLOY_KEY], "/a/b.key");
    assert_string_equal(target.files[NP_DEPLOY_COMBINED], "");
    assert_int_equal(target.check_count, 2);
    assert_int_equal(target.checks[0].port, 443);
    assert_int_equal(target.checks[1].port, 8443);
    assert_int_equal(target.arg_count, 2);
    assert_int_equal(target.mode, 0640);
    assert_int_equal(target.certificate_mode, 0644);
    assert_int_equal(target.attempts, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_judgement),
        cmocka_unit_test(test_target),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

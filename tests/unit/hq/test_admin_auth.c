/* Who may see the dashboard: the token in a header, in the form, and the cookie that is given for it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "hq/admin/auth.h"
#include "resolver/base/error.h"
#include "resolver/base/file.h"

#define TOKEN "abcdefghijklmnopqrstuvwxyz0123456789-_ABCDE"
#define NOW   INT64_C(1790000000)

static struct np_admin_auth make(void)
{
    struct np_admin_auth auth = {.token = TOKEN};
    memset(auth.key, 7, sizeof auth.key);
    return auth;
}

static void test_bearer(void **state)
{
    struct np_admin_auth auth = make();
    (void)state;
    assert_true(np_admin_auth_bearer(&auth, "Bearer " TOKEN));
    assert_true(np_admin_auth_bearer(&auth, "bearer   " TOKEN));
    static const char *const wrong[] = {NULL,
                                        "",
                                        "Bearer",
                                        "Bearer ",
                                        TOKEN,
                                        "Basic " TOKEN,
                                        "Bearer" TOKEN,
                                        "Bearer " TOKEN "x",
                                        "Bearer " TOKEN " ",
                                        "Bearer abc"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_false(np_admin_auth_bearer(&auth, wrong[i]));
}

static void test_form(void **state)
{
    static const char good[] = "token=" TOKEN;
    struct np_admin_auth auth = make();
    (void)state;
    for (size_t len = 0; len < sizeof good - 1; len++)
        assert_false(np_admin_auth_form(&auth, good, len));
    assert_true(np_admin_auth_form(&auth, good, sizeof good - 1));
    assert_false(np_admin_auth_form(&auth, good, sizeof good));
    assert_false(np_admin_auth_form(&auth, "Token=" TOKEN, sizeof good - 1));
    assert_false(np_admin_auth_form(&auth, "token=" TOKEN "&a=b", sizeof good + 3));
}

static void test_cookie(void **state)
{
    struct np_admin_auth auth = make(), other = make();
    char cookie[NP_ADMIN_COOKIE_MAX], header[4 * NP_ADMIN_COOKIE_MAX];
    (void)state;
    np_admin_auth_cookie_make(&auth, NOW, cookie);
    snprintf(header, sizeof header, NP_ADMIN_COOKIE "=%s", cookie);
    assert_true(np_admin_auth_cookie(&auth, header, NOW));
    assert_true(np_admin_auth_cookie(&auth, header, NOW + NP_ADMIN_SESSION_S - 1));
    assert_false(np_admin_auth_cookie(&auth, header, NOW + NP_ADMIN_SESSION_S));
    assert_false(np_admin_auth_cookie(&auth, header, NOW - 1)); /* longer than any that was given */
    other.key[0] ^= 1;
    assert_false(np_admin_auth_cookie(&other, header, NOW));
    for (size_t i = sizeof NP_ADMIN_COOKIE; header[i]; i++) { /* each byte counts */
        header[i] ^= 1;
        assert_false(np_admin_auth_cookie(&auth, header, NOW));
        header[i] ^= 1;
    }
    for (size_t len = strlen(header) - 1; len > 0; len--) {
        char cut = header[len];
        header[len] = 0;
        assert_false(np_admin_auth_cookie(&auth, header, NOW));
        header[len] = cut;
    }
    snprintf(header, sizeof header, "a=b; " NP_ADMIN_COOKIE "=1.x; " NP_ADMIN_COOKIE "=%s; c", cookie);
    assert_true(np_admin_auth_cookie(&auth, header, NOW));
    snprintf(header, sizeof header, "x" NP_ADMIN_COOKIE "=%s", cookie);
    assert_false(np_admin_auth_cookie(&auth, header, NOW));
    assert_false(np_admin_auth_cookie(&auth, NULL, NOW));
    assert_false(np_admin_auth_cookie(&auth, ";;; ;", NOW));
    assert_false(np_admin_auth_cookie(&auth, NP_ADMIN_COOKIE "=99999999999999999999999.x", NOW));
}

static void test_host(void **state)
{
    static const char *const good[] = {"localhost", "LocalHost:9180", "127.0.0.1", "127.0.0.1:80", "[::1]:9180"};
    static const char *const bad[] = {
        NULL, "", "evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "localhosts", "127.0.0.1:80:80"};
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        assert_true(np_admin_host_is_literal(good[i]));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(np_admin_host_is_literal(bad[i]));
}

static void test_file(void **state)
{
    char folder[] = "/tmp/np-auth-XXXXXX", path[64], error[NP_ADMIN_ERROR_MAX];
    struct np_admin_auth first, second;
    struct stat found;
    (void)state;
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/token", folder);
    assert_int_equal(np_admin_auth_load(path, &first, error), 0);
    assert_int_equal(stat(path, &found), 0);
    assert_int_equal(found.st_mode & 0777, 0600);
    assert_int_equal(strlen(first.token), 43);
    assert_int_equal(np_admin_auth_load(path, &second, error), 0);
    assert_string_equal(first.token, second.token);
    assert_memory_not_equal(first.key, second.key, sizeof first.key);
    assert_int_equal(np_admin_token_make(path), -EEXIST);
    static const char *const wrong[] = {"", "short\n", "abcdefghijklmnopqrstuvwxyz 0123456789\n"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        assert_int_equal(np_file_write_atomic(path, wrong[i], strlen(wrong[i]), 0600), 0);
        assert_int_equal(np_admin_auth_load(path, &second, error), NP_E_MALFORMED);
        assert_non_null(strstr(error, path));
    }
    unlink(path);
    rmdir(folder);
    assert_int_equal(np_admin_auth_load(path, &second, error), -ENOENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_bearer), cmocka_unit_test(test_form),
                                       cmocka_unit_test(test_cookie), cmocka_unit_test(test_host),
                                       cmocka_unit_test(test_file)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

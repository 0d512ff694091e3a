#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "resolver/base/error.h"
#include "resolver/base/file.h"

static char folder[64];

static int make_folder(void **state)
{
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/np-test-file-XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static void remove_tree(const char *path)
{
    DIR *open_folder = opendir(path);
    if (open_folder) {
        for (struct dirent *entry; (entry = readdir(open_folder));) {
            char inner[PATH_MAX];
            if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
                continue;
            snprintf(inner, sizeof inner, "%s/%s", path, entry->d_name);
            remove_tree(inner);
        }
        closedir(open_folder);
        rmdir(path);
    } else {
        unlink(path);
    }
}

static int remove_folder(void **state)
{
    (void)state;
    remove_tree(folder);
    return 0;
}

static const char *in_folder(const char *name)
{
    static char path[4][PATH_MAX];
    static unsigned at;
    char *out = path[at++ % 4];
    snprintf(out, PATH_MAX, "%s/%s", folder, name);
    return out;
}

static void expect_content(const char *path, const char *content)
{
    uint8_t *data;
    size_t len;
    assert_int_equal(np_file_read(path, 1000, &data, &len), 0);
    assert_int_equal(len, strlen(content));
    assert_string_equal((char *)data, content); /* and a NUL behind it */
    free(data);
}

static void test_write_and_read(void **state)
{
    struct stat st;
    (void)state;
    assert_int_equal(np_file_write_atomic(in_folder("a"), "old", 3, 0600), 0);
    expect_content(in_folder("a"), "old");
    assert_int_equal(stat(in_folder("a"), &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    umask(077);
    assert_int_equal(np_file_write_atomic(in_folder("a"), "newer", 5, 0644), 0);
    umask(022);
    expect_content(in_folder("a"), "newer");
    assert_int_equal(stat(in_folder("a"), &st), 0);
    assert_int_equal(st.st_mode & 07777, 0644); /* the mode asked for, whatever the umask */
    assert_int_equal(access(in_folder("a.tmp"), F_OK), -1);
    assert_int_equal(np_file_write_atomic(in_folder("a"), "", 0, 0600), 0);
    expect_content(in_folder("a"), "");
}

/* What a power cut leaves: a half-written temporary file does not stop the next write. */
static void test_stale_temporary(void **state)
{
    (void)state;
    assert_int_equal(np_file_write_atomic(in_folder("a.tmp"), "half", 4, 0600), 0);
    assert_int_equal(np_file_write_atomic(in_folder("a"), "whole", 5, 0600), 0);
    expect_content(in_folder("a"), "whole");
    assert_int_equal(access(in_folder("a.tmp"), F_OK), -1);
    /* A link in its place is not followed. */
    assert_int_equal(np_file_write_atomic(in_folder("victim"), "untouched", 9, 0600), 0);
    assert_int_equal(symlink(in_folder("victim"), in_folder("b.tmp")), 0);
    assert_int_equal(np_file_write_atomic(in_folder("b"), "x", 1, 0600), 0);
    expect_content(in_folder("victim"), "untouched");
}

static void test_write_failures(void **state)
{
    char long_path[PATH_MAX + 8];
    (void)state;
    assert_int_equal(np_file_write_atomic(in_folder("no/such"), "x", 1, 0600), -ENOENT);
    assert_int_equal(np_folder_make(in_folder("taken"), 0700), 0);
    assert_int_equal(np_file_write_atomic(in_folder("taken"), "x", 1, 0600), -EISDIR);
    assert_int_equal(access(in_folder("taken.tmp"), F_OK), -1); /* the temporary file is gone */
    memset(long_path, 'a', sizeof long_path - 1);
    long_path[sizeof long_path - 1] = 0;
    assert_int_equal(np_file_write_atomic(long_path, "x", 1, 0600), -ENAMETOOLONG);
}

static void test_relative_path(void **state)
{
    char here[PATH_MAX];
    (void)state;
    assert_non_null(getcwd(here, sizeof here));
    assert_int_equal(chdir(folder), 0);
    assert_int_equal(np_file_write_atomic("plain", "x", 1, 0600), 0);
    expect_content("plain", "x");
    assert_int_equal(chdir(here), 0);
}

static void test_read_limits(void **state)
{
    static uint8_t large[10000];
    uint8_t *data = NULL;
    size_t len = 0;
    (void)state;
    for (size_t i = 0; i < sizeof large; i++)
        large[i] = (uint8_t)i;
    assert_int_equal(np_file_write_atomic(in_folder("large"), large, sizeof large, 0600), 0);
    assert_int_equal(np_file_read(in_folder("large"), sizeof large, &data, &len), 0);
    assert_int_equal(len, sizeof large);
    assert_memory_equal(data, large, len);
    assert_int_equal(data[len], 0);
    free(data);
    data = NULL;
    assert_int_equal(np_file_read(in_folder("large"), sizeof large - 1, &data, &len), NP_E_LIMIT);
    assert_null(data);
    assert_int_equal(np_file_read(in_folder("large"), 0, &data, &len), NP_E_LIMIT);
    assert_int_equal(np_file_read(in_folder("none"), 10, &data, &len), -ENOENT);
    assert_int_equal(np_file_read(folder, 10, &data, &len), -EISDIR);
    assert_int_equal(np_file_read("/dev/zero", 100000, &data, &len), NP_E_LIMIT); /* without an end */
}

static void test_folders(void **state)
{
    struct stat st;
    (void)state;
    assert_int_equal(np_folder_make(in_folder("x/y/z"), 0700), 0);
    assert_int_equal(stat(in_folder("x/y/z"), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
    assert_int_equal(stat(in_folder("x/y"), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0755);
    assert_int_equal(np_folder_make(in_folder("x/y/z"), 0700), 0); /* there already */
    assert_int_equal(np_folder_make(in_folder("x//w/"), 0700), 0);
    assert_int_equal(np_folder_make("", 0700), -EINVAL);
    assert_int_equal(np_file_write_atomic(in_folder("f"), "x", 1, 0600), 0);
    assert_int_equal(np_folder_make(in_folder("f"), 0700), -ENOTDIR);
    assert_int_equal(np_folder_make(in_folder("f/g"), 0700), -ENOTDIR);
    assert_int_equal(np_folder_sync(folder), 0);
    assert_int_equal(np_folder_sync(in_folder("none")), -ENOENT);
    assert_int_equal(np_folder_sync(in_folder("f")), -ENOTDIR);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_write_and_read, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(test_stale_temporary, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(test_write_failures, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(test_relative_path, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(test_read_limits, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(test_folders, make_folder, remove_folder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

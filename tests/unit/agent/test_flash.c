/* The state folder: generations, damage, no write without a change, the lock. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "agent/identity/flash.h"
#include "resolver/base/error.h"
#include "resolver/base/file.h"
#include "tests/support/memory_disk.h"
#include "tests/support/test_ca.h"

static char folder[64];
static struct np_flash flash, on_memory;
static struct np_state saved, loaded;
static struct np_flash_report report;

static int setup(void **state)
{
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/np-flash-XXXXXX");
    memset(&saved, 0, sizeof saved);
    saved.has_identity = true;
    saved.identity = test_ca_key(1);
    return mkdtemp(folder) && np_flash_open(&flash, folder) == 0 ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    char path[160];
    np_flash_close(&flash);
    for (int i = 0; i < 12; i++) {
        snprintf(path, sizeof path, "%s/generation-%d/state", folder, i);
        unlink(path);
        snprintf(path, sizeof path, "%s/generation-%d", folder, i);
        rmdir(path);
    }
    snprintf(path, sizeof path, "%s/lock", folder);
    unlink(path);
    return rmdir(folder);
}

static const char *file_of(unsigned generation)
{
    static char path[160];
    snprintf(path, sizeof path, "%s/generation-%u/state", folder, generation);
    return path;
}

static bool exists(unsigned generation)
{
    return access(file_of(generation), F_OK) == 0;
}

static void save(uint8_t mark, bool expect_written)
{
    bool written;
    saved.token[0] = mark;
    assert_int_equal(np_flash_save(&flash, &saved, &written), 0);
    assert_int_equal(written, expect_written);
}

static void damage(unsigned generation, long at)
{
    uint8_t *data;
    size_t len;
    assert_int_equal(np_file_read(file_of(generation), NP_STATE_BYTES_MAX, &data, &len), 0);
    if (at < 0) {
        assert_int_equal(truncate(file_of(generation), (off_t)len + at), 0);
    } else {
        data[at] ^= 1;
        int fd = open(file_of(generation), O_WRONLY);
        assert_int_equal(write(fd, data, len), len);
        close(fd);
    }
    free(data);
}

static void reopen(void)
{
    np_flash_close(&flash);
    assert_int_equal(np_flash_open(&flash, folder), 0);
}

static void empty(void **state)
{
    (void)state;
    assert_int_equal(np_flash_load(&flash, &loaded, &report), 0);
    assert_int_equal(report.generation, 0);
    assert_false(loaded.has_identity);
}

static void writes_only_changes(void **state)
{
    (void)state;
    save(1, true);
    save(1, false);
    saved.floor_s = 12345;
    save(1, false); /* the clock moves all the time */
    save(2, true);
    assert_true(exists(1) && exists(2));
    save(3, true);
    assert_false(exists(1));
    assert_true(exists(2) && exists(3));
    reopen();
    assert_int_equal(np_flash_load(&flash, &loaded, &report), 0);
    assert_int_equal(report.generation, 3);
    assert_int_equal(loaded.token[0], 3);
    assert_int_equal(loaded.floor_s, 12345);
    saved = loaded;
    save(3, false); /* also after a restart */
    struct stat st;
    assert_int_equal(stat(file_of(3), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
}

static void falls_back_one(void **state)
{
    (void)state;
    save(1, true);
    save(2, true);
    damage(2, 40);
    reopen();
    assert_int_equal(np_flash_load(&flash, &loaded, &report), 0);
    assert_int_equal(report.generation, 1);
    assert_int_equal(report.damaged_count, 1);
    assert_int_equal(report.damaged[0], 2);
    assert_int_equal(report.damage[0], NP_E_CHECKSUM);
    assert_int_equal(loaded.token[0], 1);
    /* The next one takes a new number; the good one stays behind it, the damaged one goes. */
    saved = loaded;
    save(7, true);
    assert_true(exists(1) && exists(3));
    assert_false(exists(2));
}

static void purge(void **state)
{
    (void)state;
    save(1, true);
    save(2, true);
    assert_true(exists(1) && exists(2));
    np_flash_purge(&flash);
    assert_true(exists(2));
    assert_false(exists(1)); /* nothing of the time before to fall back to */
    reopen();
    assert_int_equal(np_flash_load(&flash, &loaded, &report), 0);
    assert_int_equal(loaded.token[0], 2);
}

static void cut_file(void **state)
{
    (void)state;
    save(1, true);
    save(2, true);
    damage(2, -1);
    reopen();
    assert_int_equal(np_flash_load(&flash, &loaded, &report), 0);
    assert_int_equal(report.damage[0], NP_E_TRUNCATED);
    assert_int_equal(loaded.token[0], 1);
}

/* Nothing that a repaired mount or the later version again could still read may cost the box its name. */
static void unreadable_is_no_damage(void **state)
{
    (void)state;
    save(1, true);
    save(2, true);
    damage(2, 40);
    assert_int_equal(unlink(file_of(1)), 0);
    assert_int_equal(mkdir(file_of(1), 0700), 0);
    reopen();
    assert_int_equal(np_flash_load(&flash, &loaded, &report), -EISDIR);
    assert_int_equal(report.damage[0], NP_E_CHECKSUM);
    assert_int_equal(report.damage[1], -EISDIR);
    assert_int_equal(rmdir(file_of(1)), 0);
}

static void half_removed_is_damage(void **state)
{
    (void)state;
    save(1, true);
    save(2, true);
    damage(2, 40);
    assert_int_equal(unlink(file_of(1)), 0);
    reopen();
    assert_int_equal(np_flash_load(&flash, &loaded, &report), NP_E_CHECKSUM);
    assert_int_equal(report.damage[1], NP_E_NOT_FOUND);
}

static void later_version_is_no_damage(void **state)
{
    (void)state;
    save(1, true);
    save(2, true);
    damage(2, 40);
    damage(1, 15); /* the version's byte */
    reopen();
    assert_int_equal(np_flash_load(&flash, &loaded, &report), NP_E_VERSION);
    assert_int_equal(report.damage[0], NP_E_CHECKSUM);
}

static void all_damaged(void **state)
{
    (void)state;
    save(1, true);
    save(2, true);
    damage(1, 40);
    damage(2, 40);
    reopen();
    assert_int_equal(np_flash_load(&flash, &loaded, &report), NP_E_CHECKSUM);
    assert_int_equal(report.damaged_count, 2);
    assert_false(loaded.has_identity);
}

static void power_cut_while_writing(void **state)
{
    (void)state;
    char path[160];
    save(1, true);
    /* What a cut between mkdir and rename leaves. */
    snprintf(path, sizeof path, "%s/new.tmp", folder);
    assert_int_equal(mkdir(path, 0700), 0);
    snprintf(path, sizeof path, "%s/new.tmp/state", folder);
    assert_int_equal(np_file_write_atomic(path, "half", 4, 0600), 0);
    reopen();
    assert_int_equal(np_flash_load(&flash, &loaded, &report), 0);
    assert_int_equal(report.generation, 1);
    assert_int_equal(access(path, F_OK), -1);
    save(2, true);
}

static void one_agent(void **state)
{
    (void)state;
    struct np_flash second;
    assert_int_equal(np_flash_open(&second, folder), -EAGAIN);
    assert_int_equal(np_flash_open(&second, "/dev/null/x"), -ENOTDIR);
}

/* Saves generations 1 and 2, loses the power before the cut-th operation of the third and switches on again. Returns
 * what the third save said; *out_mark is what was loaded then. */
static int cut_third_save(unsigned cut, uint64_t random, bool *out_reached, uint8_t *out_mark)
{
    struct memory_disk *disk = memory_disk_new(1);
    np_flash_open_on(&on_memory, memory_disk_operations(disk), "");
    assert_int_equal(np_flash_load(&on_memory, &loaded, &report), 0);
    saved.token[0] = 1;
    assert_int_equal(np_flash_save(&on_memory, &saved, NULL), 0);
    saved.token[0] = 2;
    assert_int_equal(np_flash_save(&on_memory, &saved, NULL), 0);
    memory_disk_cut_before(disk, cut);
    saved.token[0] = 3;
    int rc = np_flash_save(&on_memory, &saved, NULL);
    *out_reached = memory_disk_is_cut(disk);
    memory_disk_power_on(disk, random);
    np_flash_open_on(&on_memory, memory_disk_operations(disk), "");
    assert_int_equal(np_flash_load(&on_memory, &loaded, &report), 0);
    *out_mark = loaded.token[0];
    saved = loaded;
    saved.token[0] = 4; /* and it goes on */
    assert_int_equal(np_flash_save(&on_memory, &saved, NULL), 0);
    memory_disk_power_on(disk, random);
    np_flash_open_on(&on_memory, memory_disk_operations(disk), "");
    assert_int_equal(np_flash_load(&on_memory, &loaded, &report), 0);
    assert_int_equal(loaded.token[0], 4);
    memory_disk_free(disk);
    return rc;
}

/* Before every operation of a write, with 60 fates of what was not synced: the generation before or the new one, and
 * the new one always once the save has said so. */
static void power_cut_anywhere(void **state)
{
    (void)state;
    unsigned cuts = 0, kept = 0;
    bool reached = true;
    memset(&saved, 0, sizeof saved);
    saved.has_identity = true;
    saved.identity = test_ca_key(1);
    for (unsigned cut = 1; reached; cut++) {
        for (uint64_t random = 0; random < 60; random++, cuts++) {
            uint8_t mark = 0;
            int rc = cut_third_save(cut, random, &reached, &mark);
            assert_true(mark == 3 || (mark == 2 && rc != 0));
            kept += mark == 3;
        }
    }
    assert_true(cuts >= 8 * 60 && kept > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(empty, setup, teardown),
        cmocka_unit_test_setup_teardown(writes_only_changes, setup, teardown),
        cmocka_unit_test_setup_teardown(falls_back_one, setup, teardown),
        cmocka_unit_test_setup_teardown(purge, setup, teardown),
        cmocka_unit_test_setup_teardown(cut_file, setup, teardown),
        cmocka_unit_test_setup_teardown(unreadable_is_no_damage, setup, teardown),
        cmocka_unit_test_setup_teardown(half_removed_is_damage, setup, teardown),
        cmocka_unit_test_setup_teardown(later_version_is_no_damage, setup, teardown),
        cmocka_unit_test_setup_teardown(all_damaged, setup, teardown),
        cmocka_unit_test_setup_teardown(power_cut_while_writing, setup, teardown),
        cmocka_unit_test_setup_teardown(one_agent, setup, teardown),
        cmocka_unit_test(power_cut_anywhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

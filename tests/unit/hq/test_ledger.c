/* The ledger: its lines, what the store notes and takes back, the file over power cuts, and copies of the database. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <glob.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "hq/ledger.h"
#include "hq/store/backup.h"
#include "resolver/base/error.h"
#include "tests/unit/hq/database.h"

#define NOW_S INT64_C(1790000000)

struct fixture {
    struct database database;
    struct np_store *store;
    char path[128]; /* of the ledger */
    uv_loop_t loop;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    database_make(&f->database);
    f->store = database_open(&f->database);
    snprintf(f->path, sizeof f->path, "%s/ledger", f->database.folder);
    uv_loop_init(&f->loop);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    np_store_close(f->store);
    unlink(f->path);
    database_remove(&f->database);
    assert_int_equal(uv_loop_close(&f->loop), 0);
    free(f);
    return 0;
}

static struct np_device make_device(unsigned n, const char *name)
{
    struct np_device d = {.state = NP_DEVICE_ACTIVE, .credential = NP_CREDENTIAL_FACTORY_SECRET, .created_s = NOW_S};
    snprintf(d.id, sizeof d.id, "device-%u", n);
    snprintf(d.name, sizeof d.name, "%s", name);
    snprintf(d.serial, sizeof d.serial, "NP %04u", n);
    memset(d.thumbprint, (int)n, 32);
    d.epoch[0] = (uint8_t)n;
    return d;
}

static void add(struct fixture *f, struct np_device *d)
{
    assert_int_equal(np_store_device_add(f->store, d), 0);
}

/* ---- Lines ---- */

static void test_lines(void **state)
{
    (void)state;
    static const char *const good[] = {
        "17 1790000000 left nifty-babbage.devices.example",
        "1 0 silent x",
        "18 1790003600 block 00ff NP 00 42",
        "19 1 unblock 00ff -",
        "999999999999999999 999999999999999999 day",
    };
    static const char *const bad[] = {
        "",
        "1",
        "1 2",
        "1 2 ",
        "0 2 day",
        "1 2 day x",
        "1 2 left",
        "1 2 left ",
        "1 2 lef x",
        "x 2 day",
        "-1 2 day",
        "1 -2 day",
        " 1 2 day",
        "1  2 day",
        "1000000000000000000 2 day",
        "1 2 left a\tb",
        "1 2 left \x7f",
        "1 2 Left a",
    };
    struct np_ledger_entry entry;
    char line[NP_LEDGER_LINE_MAX + 1], longest[NP_LEDGER_LINE_MAX + 2];
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        assert_int_equal(np_ledger_parse(good[i], strlen(good[i]), &entry), 0);
        assert_int_equal(np_ledger_format(&entry, line), strlen(good[i]) + 1);
        assert_memory_equal(line, good[i], strlen(good[i]));
        assert_int_equal(line[strlen(good[i])], '\n');
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        if (np_ledger_parse(bad[i], strlen(bad[i]), &entry) != NP_E_MALFORMED)
            fail_msg("'%s' is taken", bad[i]);
    }
    assert_int_equal(np_ledger_parse("1 2 left a\0b", 12, &entry), NP_E_MALFORMED);
    int head = snprintf(longest, sizeof longest, "1 2 left ");
    memset(longest + head, 'a', NP_LEDGER_VALUE_MAX + 1);
    assert_int_equal(np_ledger_parse(longest, (size_t)head + NP_LEDGER_VALUE_MAX, &entry), 0);
    assert_int_equal(np_ledger_parse(longest, (size_t)head + NP_LEDGER_VALUE_MAX + 1, &entry), NP_E_MALFORMED);
}

/* ---- The file ---- */

static char *read_all(const char *path)
{
    static char text[4096];
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    text[fread(text, 1, sizeof text - 1, file)] = 0;
    fclose(file);
    return text;
}

static void append_text(const char *path, const char *text)
{
    FILE *file = fopen(path, "a");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

/* One life of an HQ: what it took from the file, and after it all is written. */
static size_t live(struct fixture *f)
{
    char error[NP_LEDGER_ERROR_MAX];
    struct np_ledger *ledger;
    size_t taken = 0;
    if (np_ledger_new(&f->loop, f->store, f->path, &ledger, &taken, error))
        fail_msg("%s", error);
    np_ledger_start(ledger);
    uv_run(&f->loop, UV_RUN_NOWAIT);
    np_ledger_close(ledger, NULL, NULL);
    uv_run(&f->loop, UV_RUN_DEFAULT);
    return taken;
}

/* Loses the database. */
static void lose(struct fixture *f)
{
    np_store_close(f->store);
    database_remove(&f->database);
    database_make(&f->database);
    f->store = database_open(&f->database);
}

static void test_database_lost(void **state)
{
    struct fixture *f = *state;
    char elsewhere[] = "/tmp/np-ledger-XXXXXX";
    int64_t until_s = -1;
    close(mkstemp(elsewhere));
    snprintf(f->path, sizeof f->path, "%s", elsewhere);
    struct np_device left = make_device(1, "left-one.devices.example"),
                     silent = make_device(2, "silent-one.devices.example"),
                     bad = make_device(3, "bad-one.devices.example"), good = make_device(4, "good-one.devices.example");
    add(f, &left);
    add(f, &silent);
    add(f, &bad);
    add(f, &good);
    assert_int_equal(np_store_device_retire(f->store, left.id, NP_REVOKE_CESSATION, NOW_S * 1000), 0);
    assert_int_equal(np_store_device_retire(f->store, left.id, NP_REVOKE_CESSATION, NOW_S * 1000), 0); /* noted once */
    assert_int_equal(np_store_device_silence(f->store, silent.id, NOW_S, NOW_S), 0);
    bad.state = NP_DEVICE_BLOCKED;
    assert_int_equal(np_store_device_update(f->store, &bad), 0);
    good.state = NP_DEVICE_BLOCKED;
    assert_int_equal(np_store_device_update(f->store, &good), 0);
    good.state = NP_DEVICE_ACTIVE;
    assert_int_equal(np_store_device_update(f->store, &good), 0);
    assert_int_equal(live(f), 0);
    assert_int_equal(np_store_recovery_get(f->store, &until_s), 0);
    assert_int_equal(until_s, 0);
    assert_int_equal(live(f), 0); /* nothing twice */
    lose(f);
    assert_int_equal(live(f), 5);
    assert_int_equal(np_store_recovery_get(f->store, &until_s), 0);
    assert_true(until_s > time(NULL) + NP_RECOVERY_S - 100);
    assert_int_equal(live(f), 0);
    /* The names: nobody's, only its own device's by a grant, free. */
    struct np_device again = make_device(11, left.name);
    assert_int_equal(np_store_name_regain(f->store, left.name), 0);
    assert_int_equal(np_store_device_add(f->store, &again), NP_E_CONFLICT);
    snprintf(again.name, sizeof again.name, "%s", silent.name);
    assert_int_equal(np_store_device_add(f->store, &again), NP_E_CONFLICT);
    assert_int_equal(np_store_name_regain(f->store, silent.name), 0);
    assert_int_equal(np_store_device_add(f->store, &again), 0);
    /* The blocks, by key and by serial number. */
    uint8_t other[32] = {99};
    assert_int_equal(np_store_is_blocked(f->store, bad.thumbprint, ""), 1);
    assert_int_equal(np_store_is_blocked(f->store, other, bad.serial), 1);
    assert_int_equal(np_store_is_blocked(f->store, good.thumbprint, good.serial), 0);
    assert_int_equal(np_store_is_blocked(f->store, other, ""), 0);
    assert_int_equal(np_store_unbar(f->store, "nobody", NOW_S), 0);
    assert_int_equal(np_store_unbar(f->store, bad.serial, NOW_S), 1);
    assert_int_equal(np_store_unbar(f->store, bad.serial, NOW_S), 0);
    assert_int_equal(np_store_is_blocked(f->store, bad.thumbprint, bad.serial), 0);
    lose(f);
    assert_int_equal(live(f), 5); /* what was not written into the file is not known */
    assert_int_equal(np_store_is_blocked(f->store, bad.thumbprint, ""), 1);
    assert_int_equal(
        np_store_unbar(f->store, "0303030303030303030303030303030303030303030303030303030303030303", NOW_S), 1);
    assert_int_equal(live(f), 0);
    lose(f);
    assert_int_equal(live(f), 6);
    assert_int_equal(np_store_is_blocked(f->store, bad.thumbprint, bad.serial), 0);
    unlink(elsewhere);
}

static void test_file_is_cut(void **state)
{
    struct fixture *f = *state;
    char error[NP_LEDGER_ERROR_MAX];
    struct np_ledger *ledger;
    size_t taken;
    assert_int_equal(np_store_tombstone_add(f->store, "A-A.devices.example", NOW_S), 0);
    assert_int_equal(live(f), 0);
    assert_string_equal(read_all(f->path), "1 1790000000 left A-A.devices.example\n");
    struct stat status;
    assert_int_equal(stat(f->path, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0600);
    append_text(f->path, "2 1790000001 le"); /* the power went here */
    assert_int_equal(np_store_tombstone_add(f->store, "b-b.devices.example", NOW_S), 0);
    assert_int_equal(live(f), 0);
    assert_string_equal(read_all(f->path),
                        "1 1790000000 left A-A.devices.example\n2 1790000000 left b-b.devices.example\n");
    append_text(f->path, "2 1790000000 left b-b.devices.example\n"); /* written twice is harmless */
    assert_int_equal(live(f), 0);
    append_text(f->path, "what is this\n");
    assert_int_equal(np_ledger_new(&f->loop, f->store, f->path, &ledger, &taken, error), NP_E_MALFORMED);
    assert_non_null(strstr(error, f->path));
    assert_int_equal(np_ledger_new(&f->loop, f->store, "/nowhere/ledger", &ledger, &taken, error), -ENOENT);
}

/* ---- Copies ---- */

static void test_backup_and_restore(void **state)
{
    struct fixture *f = *state;
    char copy[160], kept[256], error[512];
    struct np_device a = make_device(1, "a-a.devices.example"), b = make_device(2, "b-b.devices.example"), got;
    int64_t until_s = 0;
    if (database_is_server()) {
        assert_int_equal(np_store_backup(f->database.where, "/tmp/x", error, sizeof error), NP_E_UNKNOWN);
        assert_non_null(strstr(error, "pg_dump"));
        assert_int_equal(np_store_restore("/tmp/x", f->database.where, 1, kept, error, sizeof error), NP_E_UNKNOWN);
        return;
    }
    snprintf(copy, sizeof copy, "%s/copy", f->database.folder);
    add(f, &a);
    assert_int_equal(np_store_commit(f->store), 0);
    add(f, &b); /* not committed: not in the copy, and no hindrance to it */
    assert_int_equal(np_store_backup(f->database.where, copy, error, sizeof error), 0);
    assert_int_equal(np_store_commit(f->store), 0);
    assert_int_equal(np_store_backup(f->database.where, copy, error, sizeof error), -EEXIST);
    struct stat status;
    assert_int_equal(stat(copy, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0600);
    assert_int_equal(np_store_restore(copy, f->database.where, 7, kept, error, sizeof error), -EBUSY);
    assert_non_null(strstr(error, "in use"));
    np_store_close(f->store);
    assert_int_equal(np_store_restore("/nowhere/copy", f->database.where, 7, kept, error, sizeof error),
                     NP_E_NOT_FOUND);
    assert_int_equal(np_store_restore(copy, f->database.where, 7, kept, error, sizeof error), 0);
    assert_int_equal(access(kept, F_OK), 0);
    unlink(kept);
    f->store = database_open(&f->database);
    assert_int_equal(np_store_device_get(f->store, a.id, &got), 0);
    assert_int_equal(np_store_device_get(f->store, b.id, &got), NP_E_NOT_FOUND);
    assert_int_equal(np_store_recovery_get(f->store, &until_s), 0);
    assert_int_equal(until_s, 7);
    /* A damaged copy, and one that is none, change nothing. */
    assert_int_equal(truncate(copy, status.st_size / 2), 0);
    np_store_close(f->store);
    assert_int_equal(np_store_restore(copy, f->database.where, 8, kept, error, sizeof error), NP_E_STORE);
    assert_int_equal(np_store_restore("/proc/self/cmdline", f->database.where, 8, kept, error, sizeof error),
                     NP_E_STORE);
    f->store = database_open(&f->database);
    assert_int_equal(np_store_device_get(f->store, a.id, &got), 0);
    unlink(copy);
}

/* ---- The database goes back ---- */

/* One look of a ledger that runs. */
static void look(struct fixture *f, struct np_ledger *ledger)
{
    np_ledger_start(ledger);
    uv_run(&f->loop, UV_RUN_NOWAIT);
}

static bool is_taken(struct fixture *f, const char *name)
{
    struct np_device d = make_device(1, name);
    int rc = np_store_device_add(f->store, &d);
    assert_true(rc == 0 || rc == NP_E_CONFLICT);
    np_store_close(f->store); /* takes it back */
    f->store = database_open(&f->database);
    return rc == NP_E_CONFLICT;
}

/* Loses what was committed behind the ledger's first entry: as another server that was behind, and took over. */
static void go_back(struct fixture *f)
{
    static const char text[] =
        "DELETE FROM ledger WHERE seq > 1; DELETE FROM tombstone WHERE name <> 'a-a.devices.example'";
    database_run(&f->database, text, text);
}

static void expect_aside(const char *path, const char *wanted)
{
    char pattern[160];
    glob_t found;
    snprintf(pattern, sizeof pattern, "%s.*", path);
    assert_int_equal(glob(pattern, 0, NULL, &found), 0);
    assert_int_equal(found.gl_pathc, 1);
    assert_string_equal(read_all(found.gl_pathv[0]), wanted);
    unlink(found.gl_pathv[0]);
    globfree(&found);
}

static void test_database_goes_back(void **state)
{
    struct fixture *f = *state;
    static const char both[] = "1 1790000000 left a-a.devices.example\n2 1790000000 left b-b.devices.example\n";
    char error[NP_LEDGER_ERROR_MAX];
    struct np_ledger *ledger;
    int64_t until_s = 0;
    size_t taken;
    assert_int_equal(np_store_tombstone_add(f->store, "a-a.devices.example", NOW_S), 0);
    assert_int_equal(np_store_tombstone_add(f->store, "b-b.devices.example", NOW_S), 0);
    assert_int_equal(np_ledger_new(&f->loop, f->store, f->path, &ledger, &taken, error), 0);
    look(f, ledger);
    assert_string_equal(read_all(f->path), both);
    go_back(f);
    look(f, ledger);
    assert_int_equal(np_store_recovery_get(f->store, &until_s), 0);
    assert_true(until_s > time(NULL) + NP_RECOVERY_S - 100);
    assert_string_equal(read_all(f->path), both);
    /* Back, and other entries have come under the same numbers before anybody has looked. */
    go_back(f);
    assert_int_equal(np_store_tombstone_add(f->store, "c-c.devices.example", NOW_S), 0);
    assert_int_equal(np_store_tombstone_add(f->store, "d-d.devices.example", NOW_S), 0);
    look(f, ledger);
    static const char all[] = "1 1790000000 left a-a.devices.example\n2 1790000000 left c-c.devices.example\n"
                              "3 1790000000 left d-d.devices.example\n4 1790000000 left b-b.devices.example\n";
    look(f, ledger);
    assert_string_equal(read_all(f->path), all);
    expect_aside(f->path, both);
    np_ledger_close(ledger, NULL, NULL);
    uv_run(&f->loop, UV_RUN_DEFAULT);
    for (char letter = 'a'; letter <= 'd'; letter++) {
        char name[32];
        snprintf(name, sizeof name, "%c-%c.devices.example", letter, letter);
        assert_true(is_taken(f, name));
    }
    /* The same, found at the start: nothing of it is noted twice, whoever comes with an old file. */
    assert_int_equal(live(f), 0);
    FILE *file = fopen(f->path, "w");
    assert_non_null(file);
    fputs(both, file);
    fclose(file);
    assert_int_equal(live(f), 1);
    assert_string_equal(read_all(f->path), all);
    expect_aside(f->path, both);
    assert_int_equal(live(f), 0);
}

static ino_t never_cut; /* the file that cannot be made shorter; 0: all can */

/* In the place of libc's. */
int ftruncate(int fd, off_t len)
{
    struct stat status;
    if (never_cut && fstat(fd, &status) == 0 && status.st_ino == never_cut) {
        errno = EIO;
        return -1;
    }
    return (int)syscall(SYS_ftruncate, fd, len);
}

static off_t size_of(const char *path)
{
    struct stat status;
    assert_int_equal(stat(path, &status), 0);
    return status.st_size;
}

/* No file of this process grows beyond so many bytes; RLIM_INFINITY: any may. */
static void limit_files(rlim_t bytes)
{
    const struct rlimit limit = {bytes, RLIM_INFINITY};
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

/* The disk is full in the middle of a line, which cannot be taken away at once either: nothing is glued to it. */
static void test_disk_is_full(void **state)
{
    struct fixture *f = *state;
    char error[NP_LEDGER_ERROR_MAX];
    struct np_ledger *ledger;
    struct stat status;
    size_t taken;
    struct np_device first = make_device(1, "first-one.devices.example"),
                     second = make_device(2, "second-one.devices.example");
    add(f, &first);
    add(f, &second);
    assert_int_equal(np_store_device_retire(f->store, first.id, NP_REVOKE_CESSATION, NOW_S * 1000), 0);
    assert_int_equal(np_store_commit(f->store), 0);
    assert_int_equal(np_ledger_new(&f->loop, f->store, f->path, &ledger, &taken, error), 0);
    np_ledger_start(ledger);
    uv_run(&f->loop, UV_RUN_NOWAIT);
    off_t whole = size_of(f->path);
    assert_true(whole > 0);
    assert_int_equal(np_store_device_retire(f->store, second.id, NP_REVOKE_CESSATION, NOW_S * 1000), 0);
    assert_int_equal(np_store_commit(f->store), 0);

    assert_int_equal(stat(f->path, &status), 0);
    never_cut = status.st_ino;
    signal(SIGXFSZ, SIG_IGN);
    limit_files((rlim_t)whole + 10);
    np_ledger_start(ledger);
    uv_run(&f->loop, UV_RUN_NOWAIT);
    limit_files(RLIM_INFINITY);
    assert_int_equal(size_of(f->path), whole + 10);
    np_ledger_start(ledger); /* there is room again, but half a line in the way */
    uv_run(&f->loop, UV_RUN_NOWAIT);
    assert_int_equal(size_of(f->path), whole + 10);
    never_cut = 0;
    np_ledger_close(ledger, NULL, NULL);
    uv_run(&f->loop, UV_RUN_DEFAULT);

    char wanted[2 * NP_LEDGER_LINE_MAX];
    const char *lines = read_all(f->path);
    snprintf(wanted, sizeof wanted, "1 %lld left %s\n2 %lld left %s\n", (long long)NOW_S, first.name, (long long)NOW_S,
             second.name);
    assert_string_equal(lines, wanted);
    assert_int_equal(live(f), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines),
        cmocka_unit_test_setup_teardown(test_database_lost, setup, teardown),
        cmocka_unit_test_setup_teardown(test_file_is_cut, setup, teardown),
        cmocka_unit_test_setup_teardown(test_database_goes_back, setup, teardown),
        cmocka_unit_test_setup_teardown(test_disk_is_full, setup, teardown),
        cmocka_unit_test_setup_teardown(test_backup_and_restore, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "hq/store/backup.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "hq/store/ledger.h"
#include "hq/store/store.h"
#include "resolver/base/error.h"
#include "resolver/base/file.h"

#define PATH_LEN_MAX 600
#define BUSY_MS      5000

static int complain(char *error, size_t size, int rc, const char *path, const char *why)
{
    snprintf(error, size, "%s: %s", path, why);
    return rc;
}

static int refuse_server(const char *path, char *error, size_t size)
{
    if (!np_store_is_server(path))
        return 0;
    snprintf(
        error, size,
        "the database is a PostgreSQL server's: use pg_dump and pg_restore, and then 'nameplate-hq recovery begin'");
    return NP_E_UNKNOWN;
}

/* The folder of path, synced, so that a rename in it lasts. */
static int sync_folder_of(const char *path)
{
    char copy[PATH_LEN_MAX];
    snprintf(copy, sizeof copy, "%s", path);
    return np_folder_sync(dirname(copy));
}

static int sync_file(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    int rc = fd < 0 || fsync(fd) ? -errno : 0;
    if (fd >= 0)
        close(fd);
    return rc;
}

/* Is every page of the database as SQLite left it? */
static int check(sqlite3 *db)
{
    sqlite3_stmt *statement = NULL;
    bool good = sqlite3_prepare_v2(db, "PRAGMA quick_check(1)", -1, &statement, NULL) == SQLITE_OK &&
                sqlite3_step(statement) == SQLITE_ROW &&
                strcmp((const char *)sqlite3_column_text(statement, 0), "ok") == 0;
    sqlite3_finalize(statement);
    return good ? 0 : NP_E_STORE;
}

/* Copies all pages of `from` into the new file at path, in one read transaction, and runs `then` (NULL: nothing) in it.
 */
static int copy_pages(sqlite3 *from, const char *path, const char *then, char *error, size_t size)
{
    sqlite3 *to = NULL;
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return complain(error, size, -errno, path, np_strerror(-errno));
    close(fd);
    int code = sqlite3_open_v2(path, &to, SQLITE_OPEN_READWRITE, NULL);
    sqlite3_backup *backup = code ? NULL : sqlite3_backup_init(to, "main", from, "main");
    if (backup) {
        while ((code = sqlite3_backup_step(backup, -1)) == SQLITE_BUSY || code == SQLITE_LOCKED)
            sqlite3_sleep(50);
        sqlite3_backup_finish(backup);
    }
    /* One file, not three: no -wal beside the copy. */
    bool good = code == SQLITE_DONE &&
                sqlite3_exec(to, "PRAGMA journal_mode = DELETE", NULL, NULL, NULL) == SQLITE_OK && check(to) == 0 &&
                (!then || sqlite3_exec(to, then, NULL, NULL, NULL) == SQLITE_OK);
    if (!good)
        complain(error, size, NP_E_STORE, path, to ? sqlite3_errmsg(to) : "out of memory");
    sqlite3_close(to);
    int rc = good ? sync_file(path) : NP_E_STORE;
    if (rc)
        unlink(path);
    return rc;
}

int np_store_backup(const char *path, const char *file, char *error, size_t size)
{
    char part[PATH_LEN_MAX];
    struct np_store *store = NULL;
    sqlite3 *from = NULL;
    int rc = refuse_server(path, error, size);
    if (rc)
        return rc;
    if (access(file, F_OK) == 0)
        return complain(error, size, -EEXIST, file, "is there already; a backup is a new file");
    if ((size_t)snprintf(part, sizeof part, "%s.part", file) >= sizeof part)
        return complain(error, size, -ENAMETOOLONG, file, np_strerror(-ENAMETOOLONG));
    rc = np_store_open(path, true, &store, error, size); /* is it ours, and of a schema that we know? */
    if (rc)
        return rc;
    np_store_close(store);
    unlink(part);
    if (sqlite3_open_v2(path, &from, SQLITE_OPEN_READONLY, NULL))
        rc = complain(error, size, NP_E_STORE, path, from ? sqlite3_errmsg(from) : "out of memory");
    if (rc == 0) {
        sqlite3_busy_timeout(from, BUSY_MS);
        rc = copy_pages(from, part, NULL, error, size);
    }
    sqlite3_close(from);
    if (rc == 0 && link(part, file)) /* as rename, but never over another file */
        rc = complain(error, size, -errno, file, np_strerror(-errno));
    unlink(part);
    if (rc == 0 && (rc = sync_folder_of(file)))
        complain(error, size, rc, file, np_strerror(rc));
    return rc;
}

/* ---- Putting one back ---- */

static bool is_older(sqlite3 *db)
{
    sqlite3_stmt *statement = NULL;
    bool older = sqlite3_prepare_v2(db, "PRAGMA user_version", -1, &statement, NULL) == SQLITE_OK &&
                 sqlite3_step(statement) == SQLITE_ROW && sqlite3_column_int(statement, 0) < NP_STORE_SCHEMA;
    sqlite3_finalize(statement);
    return older;
}

/* Is file a copy of ours? Opens it. */
static int open_copy(const char *file, sqlite3 **out_db, char *error, size_t size)
{
    struct np_store *store = NULL;
    sqlite3 *db = NULL;
    int rc = np_store_open(file, true, &store, error, size);
    np_store_close(store);
    if (rc && rc != NP_E_VERSION)
        return rc;
    if (sqlite3_open_v2(file, &db, SQLITE_OPEN_READONLY, NULL) || check(db)) {
        sqlite3_close(db);
        return complain(error, size, NP_E_STORE, file, "the copy is damaged");
    }
    if (rc == NP_E_VERSION && !is_older(db)) { /* error has the reason; an older one is brought up to date by serve */
        sqlite3_close(db);
        return rc;
    }
    *out_db = db;
    return 0;
}

/* Nobody may have the database open. Leaves no -wal and -shm behind. */
static int check_unused(const char *path, char *error, size_t size)
{
    sqlite3 *db = NULL;
    sqlite3_stmt *statement = NULL;
    if (access(path, F_OK))
        return 0;
    /* Only the single user of a database can take it out of WAL. */
    bool alone = sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, NULL) == SQLITE_OK &&
                 sqlite3_prepare_v2(db, "PRAGMA journal_mode = DELETE", -1, &statement, NULL) == SQLITE_OK &&
                 sqlite3_step(statement) == SQLITE_ROW &&
                 strcmp((const char *)sqlite3_column_text(statement, 0), "delete") == 0;
    bool damaged = !alone && db && (sqlite3_errcode(db) == SQLITE_NOTADB || sqlite3_errcode(db) == SQLITE_CORRUPT);
    sqlite3_finalize(statement);
    sqlite3_close(db);
    return alone || damaged ? 0
                            : complain(error, size, -EBUSY, path,
                                       "is in use: stop the HQ that serves it ('systemctl stop "
                                       "nameplate-hq'), then restore");
}

/* What was there keeps lying beside it, with its -wal where it was damaged. */
static int keep_old(const char *path, char *out_kept, char *error, size_t size)
{
    static const char *const parts[] = {"", "-wal", "-shm"};
    char from[PATH_LEN_MAX], to[PATH_LEN_MAX];
    out_kept[0] = 0;
    if (access(path, F_OK))
        return 0;
    snprintf(out_kept, size, "%s.before-%lld", path, (long long)time(NULL));
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        snprintf(from, sizeof from, "%s%s", path, parts[i]);
        snprintf(to, sizeof to, "%s%s", out_kept, parts[i]);
        if (rename(from, to) && errno != ENOENT)
            return complain(error, size, -errno, from, np_strerror(-errno));
    }
    return 0;
}

/* The new file belongs to whom its folder belongs: the user that serve becomes. */
static int give_to_folder_owner(const char *path)
{
    char copy[PATH_LEN_MAX];
    struct stat folder;
    snprintf(copy, sizeof copy, "%s", path);
    if (stat(dirname(copy), &folder))
        return -errno;
    return geteuid() == 0 && chown(path, folder.st_uid, folder.st_gid) ? -errno : 0;
}

int np_store_restore(const char *file, const char *path, int64_t until_s, char *out_kept, char *error, size_t size)
{
    char part[PATH_LEN_MAX], then[160];
    sqlite3 *from = NULL;
    int rc = refuse_server(path, error, size);
    if (rc)
        return rc;
    if ((size_t)snprintf(part, sizeof part, "%s.part", path) >= sizeof part - 16)
        return complain(error, size, -ENAMETOOLONG, path, np_strerror(-ENAMETOOLONG));
    rc = open_copy(file, &from, error, size);
    if (rc)
        return rc;
    snprintf(then, sizeof then, "INSERT OR REPLACE INTO meta(key, value) VALUES('recovery_until_s', %lld)",
             (long long)until_s);
    rc = check_unused(path, error, size);
    unlink(part);
    if (rc == 0)
        rc = copy_pages(from, part, then, error, size);
    sqlite3_close(from);
    if (rc == 0 && (rc = give_to_folder_owner(part)))
        complain(error, size, rc, part, np_strerror(rc));
    if (rc == 0)
        rc = keep_old(path, out_kept, error, size);
    if (rc == 0 && rename(part, path))
        rc = complain(error, size, -errno, path, np_strerror(-errno));
    if (rc)
        unlink(part);
    if (rc == 0 && (rc = sync_folder_of(path)))
        complain(error, size, rc, path, np_strerror(rc));
    return rc;
}

/* The driver for SQLite: one file (WAL, synchronous=FULL). */
#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "hq/store/driver.h"
#include "resolver/base/error.h"

#define APPLICATION_ID 0x6e704851 /* "npHQ": file(1) and a person can tell what the file is */
#define BUSY_MS        5000       /* how long another program (a backup) may hold the write lock */

static int fail(struct np_store *store)
{
    int code = sqlite3_errcode(store->connection);
    snprintf(store->error, sizeof store->error, "%s", sqlite3_errmsg(store->connection));
    /* After some errors (disk full, I/O, no memory) SQLite has ended the transaction by itself. */
    if (store->in_transaction && sqlite3_get_autocommit(store->connection))
        store->lost = true;
    return code == SQLITE_BUSY || code == SQLITE_LOCKED || code == SQLITE_FULL ? -EAGAIN : NP_E_STORE;
}

static int execute(struct np_store *store, const char *text)
{
    return sqlite3_exec(store->connection, text, NULL, NULL, NULL) ? fail(store) : 0;
}

static int run(struct np_store *store, const char *text)
{
    struct np_sql q = np_sql_start(store, text);
    return np_sql_run(&q);
}

/* ---- Opening ---- */

static int open_file(struct np_store *store, const char *path, bool read_only, char *error, size_t size)
{
    sqlite3 *db = NULL;
    if (read_only && access(path, F_OK)) {
        snprintf(error, size, "%s: there is no database yet; 'nameplate-hq serve' makes it", path);
        return NP_E_NOT_FOUND;
    }
    if (!read_only) {
        /* SQLite gives its own files the database's mode: nobody else may read tokens' hashes and addresses. */
        int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        if (fd < 0) {
            snprintf(error, size, "%s: %s", path, np_strerror(-errno));
            return NP_E_STORE;
        }
        close(fd);
    }
    int flags = (read_only ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE) | SQLITE_OPEN_NOMUTEX;
    int failed = sqlite3_open_v2(path, &db, flags, NULL);
    store->connection = db;
    if (failed) {
        snprintf(error, size, "%s: %s", path, db ? sqlite3_errmsg(db) : "out of memory");
        return NP_E_STORE;
    }
    sqlite3_busy_timeout(db, BUSY_MS);
    int rc = read_only
                 ? 0
                 : execute(store, "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA trusted_schema = OFF;");
    if (rc)
        snprintf(error, size, "%s: %s", path, store->error);
    return rc;
}

static void close_file(struct np_store *store)
{
    sqlite3_close(store->connection);
    store->connection = NULL;
}

/* ---- The schema ---- */

static int pragma_int(struct np_store *store, const char *text, int *out_value)
{
    struct np_sql q = np_sql_start(store, text);
    int value = np_sql_next(&q) ? (int)np_sql_get_int(&q) : 0;
    int rc = np_sql_finish(&q);
    if (rc == 0)
        *out_value = value;
    return rc;
}

static int schema_get(struct np_store *store, int *out_version)
{
    static const char version_text[] = "PRAGMA user_version", id_text[] = "PRAGMA application_id";
    int version = 0, id = 0;
    int rc = pragma_int(store, version_text, &version);
    if (rc == 0)
        rc = pragma_int(store, id_text, &id);
    if (rc)
        return rc;
    if (version > 0 && id != APPLICATION_ID) {
        snprintf(store->error, sizeof store->error, "this is not a database of nameplate-hq");
        return NP_E_STORE;
    }
    *out_version = version;
    return 0;
}

static int schema_set(struct np_store *store, int version)
{
    char pragmas[96];
    snprintf(pragmas, sizeof pragmas, "PRAGMA application_id = %d; PRAGMA user_version = %d;", APPLICATION_ID, version);
    return execute(store, pragmas);
}

/* Without the last one INSERT OR REPLACE would go past the second. */
static int append_only(struct np_store *store, const char *table)
{
    static const char format[] =
        "CREATE TRIGGER %1$s_no_update BEFORE UPDATE ON %1$s"
        " BEGIN SELECT RAISE(ABORT, '%1$s is append-only'); END;"
        "CREATE TRIGGER %1$s_no_delete BEFORE DELETE ON %1$s"
        " BEGIN SELECT RAISE(ABORT, '%1$s is append-only'); END;"
        "CREATE TRIGGER %1$s_next BEFORE INSERT ON %1$s WHEN NEW.seq <> (SELECT coalesce(max(seq), 0) + 1 FROM %1$s)"
        " BEGIN SELECT RAISE(ABORT, '%1$s is append-only'); END;";
    char text[640];
    if ((size_t)snprintf(text, sizeof text, format, table) >= sizeof text)
        return NP_E_STORE;
    return execute(store, text);
}

/* ---- Transactions ---- */

static int begin(struct np_store *store)
{
    static const char text[] = "BEGIN IMMEDIATE";
    return run(store, text);
}

static int commit(struct np_store *store, unsigned events)
{
    (void)events;
    static const char text[] = "COMMIT";
    return run(store, text);
}

static void rollback(struct np_store *store)
{
    static const char text[] = "ROLLBACK";
    if (!sqlite3_get_autocommit(store->connection))
        run(store, text);
}

static int savepoint(struct np_store *store)
{
    static const char text[] = "SAVEPOINT one";
    return run(store, text);
}

static int release(struct np_store *store)
{
    static const char text[] = "RELEASE one";
    return run(store, text);
}

static int undo(struct np_store *store)
{
    static const char text[] = "ROLLBACK TO one";
    int rc = run(store, text);
    return rc ? rc : release(store);
}

static unsigned heard(struct np_store *store)
{
    (void)store;
    return 0;
}

static void set_patience(struct np_store *store, int ms)
{
    sqlite3_busy_timeout(store->connection, ms);
}

/* ---- Statements ---- */

static int prepare(struct np_sql *q)
{
    sqlite3_stmt *statement = q->statement->prepared;
    if (!statement &&
        sqlite3_prepare_v3(q->store->connection, q->statement->text, -1, SQLITE_PREPARE_PERSISTENT, &statement, NULL))
        return fail(q->store);
    q->statement->prepared = statement;
    q->result = statement;
    int code = SQLITE_OK;
    for (int i = 0; i < q->bound && code == SQLITE_OK; i++) {
        const struct np_sql_value *v = &q->values[i];
        if (v->kind == NP_SQL_INT)
            code = sqlite3_bind_int64(statement, i + 1, v->number);
        else if (v->kind == NP_SQL_TEXT)
            code = sqlite3_bind_text(statement, i + 1, v->data, (int)v->len, SQLITE_STATIC);
        else
            code = sqlite3_bind_blob(statement, i + 1, v->data, (int)v->len, SQLITE_STATIC);
    }
    return code == SQLITE_OK ? 0 : fail(q->store);
}

static int next(struct np_sql *q)
{
    int rc = q->result ? 0 : prepare(q);
    if (rc)
        return rc;
    int code = sqlite3_step(q->result);
    if (code == SQLITE_ROW || code == SQLITE_DONE)
        return code == SQLITE_ROW;
    int extended = sqlite3_extended_errcode(q->store->connection);
    rc = fail(q->store);
    return extended == SQLITE_CONSTRAINT_UNIQUE || extended == SQLITE_CONSTRAINT_PRIMARYKEY ? -EEXIST : rc;
}

static int get_bytes(struct np_sql *q, int column, const void **out_data, size_t *out_len)
{
    *out_data = sqlite3_column_blob(q->result, column);
    *out_len = (size_t)sqlite3_column_bytes(q->result, column);
    return 0;
}

static int64_t get_int(struct np_sql *q, int column)
{
    return sqlite3_column_int64(q->result, column);
}

static const char *column_name(struct np_sql *q, int column)
{
    return sqlite3_column_name(q->result, column);
}

static void finish(struct np_sql *q)
{
    if (!q->result)
        return;
    sqlite3_reset(q->result);
    sqlite3_clear_bindings(q->result);
    q->result = NULL;
}

static void forget(struct np_store *store, struct np_sql_statement *statement)
{
    (void)store;
    sqlite3_finalize(statement->prepared);
    statement->prepared = NULL;
}

const struct np_sql_driver np_sql_sqlite = {
    .open = open_file,
    .close = close_file,
    .schema_get = schema_get,
    .schema_run = execute,
    .append_only = append_only,
    .schema_set = schema_set,
    .begin = begin,
    .commit = commit,
    .rollback = rollback,
    .savepoint = savepoint,
    .release = release,
    .undo = undo,
    .heard = heard,
    .set_patience = set_patience,
    .next = next,
    .get_bytes = get_bytes,
    .get_int = get_int,
    .column_name = column_name,
    .finish = finish,
    .forget = forget,
};

/* database: a new database for each test: an SQLite file in a folder of its own, or, where NP_TEST_POSTGRESQL is the
 * URL of a database ("postgresql://...?..."), a new schema in that (tests/net/test_postgres.py runs these programs so).
 */
#ifndef TESTS_UNIT_HQ_DATABASE_H
#define TESTS_UNIT_HQ_DATABASE_H

#include <postgresql/libpq-fe.h>
#include <sqlite3.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "hq/store/store.h"

#define DATABASE_MAX 320

struct database {
    char where[DATABASE_MAX]; /* for np_store_open */
    char folder[64];
    char schema[64]; /* PostgreSQL */
};

static inline bool database_is_server(void)
{
    return getenv("NP_TEST_POSTGRESQL") != NULL;
}

/* Runs text as it stands at the server, outside of any schema of ours. */
static inline void database_server_run(const char *url, const char *text)
{
    PGconn *pg = PQconnectdb(url);
    PGresult *result = PQexec(pg, text);
    ExecStatusType status = PQresultStatus(result);
    if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK)
        fail_msg("%s: %s", text, PQerrorMessage(pg));
    PQclear(result);
    PQfinish(pg);
}

/* Makes a database without a schema of HQ. */
static inline void database_make(struct database *d)
{
    static unsigned count;
    char text[128];
    snprintf(d->folder, sizeof d->folder, "/tmp/np-hq-XXXXXX");
    assert_non_null(mkdtemp(d->folder));
    if (!database_is_server()) {
        snprintf(d->where, sizeof d->where, "%s/hq.db", d->folder);
        return;
    }
    snprintf(d->schema, sizeof d->schema, "t%d_%u", (int)getpid(), count++);
    snprintf(text, sizeof text, "CREATE SCHEMA %s", d->schema);
    database_server_run(getenv("NP_TEST_POSTGRESQL"), text);
    snprintf(d->where, sizeof d->where, "%s&options=-csearch_path%%3D%s", getenv("NP_TEST_POSTGRESQL"), d->schema);
}

/* Removes it again; no store may have it open. */
static inline void database_remove(struct database *d)
{
    char path[128];
    if (database_is_server()) {
        snprintf(path, sizeof path, "SET client_min_messages = warning; DROP SCHEMA %s CASCADE", d->schema);
        database_server_run(getenv("NP_TEST_POSTGRESQL"), path);
    }
    for (size_t i = 0; i < 3; i++) {
        snprintf(path, sizeof path, "%s/hq.db%s", d->folder, (const char *[]){"", "-wal", "-shm"}[i]);
        unlink(path);
    }
    rmdir(d->folder);
}

/* Runs SQL past the store, in the words of each database. */
static inline void database_run(const struct database *d, const char *sqlite, const char *postgres)
{
    sqlite3 *db;
    if (database_is_server()) {
        database_server_run(d->where, postgres);
        return;
    }
    assert_int_equal(sqlite3_open(d->where, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, sqlite, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
}

/* Runs SQL past the store that the database should refuse, and does not mind what it says. */
static inline void database_try(const struct database *d, const char *text)
{
    sqlite3 *db;
    if (database_is_server()) {
        PGconn *pg = PQconnectdb(d->where);
        PQclear(PQexec(pg, text));
        PQfinish(pg);
        return;
    }
    assert_int_equal(sqlite3_open(d->where, &db), SQLITE_OK);
    assert_int_not_equal(sqlite3_exec(db, text, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
}

/* Opens it, and fails the test where that does not go. */
static inline struct np_store *database_open(const struct database *d)
{
    struct np_store *store = NULL;
    char error[512] = "";
    if (np_store_open(d->where, false, &store, error, sizeof error))
        fail_msg("%s", error);
    return store;
}

#endif

/* Statements and schema steps in PostgreSQL's words, and what is shown of a database's URL. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "hq/store/postgres.h"
#include "hq/store/store.h"

static void test_placeholders(void **state)
{
    (void)state;
    static const struct {
        const char *from, *to;
    } rows[] = {
        {"", ""},
        {"SELECT 1", "SELECT 1"},
        {"a = ? AND b = ?", "a = $1 AND b = $2"},
        {"VALUES(?,?,?,?,?,?,?,?,?,?)", "VALUES($1,$2,$3,$4,$5,$6,$7,$8,$9,$10)"},
        {"SELECT ?1, ?2 WHERE x = ?1", "SELECT $1, $2 WHERE x = $1"},
        {"a = '?' AND b = ? AND \"c?\" = ?", "a = '?' AND b = $1 AND \"c?\" = $2"},
        {"a = 'it''s ?' AND b = ?", "a = 'it''s ?' AND b = $1"},
        {"a = 'open ?", "a = 'open ?"},
    };
    char out[64];
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        size_t len = strlen(rows[i].to);
        assert_int_equal(np_pg_placeholders(rows[i].from, out, sizeof out), 0);
        assert_string_equal(out, rows[i].to);
        assert_int_equal(np_pg_placeholders(rows[i].from, out, len + 1), 0);
        assert_int_equal(np_pg_placeholders(rows[i].from, out, len), -ENOSPC);
    }
}

static void test_schema(void **state)
{
    (void)state;
    static const struct {
        const char *from, *to;
    } rows[] = {
        {"CREATE TABLE t(a INTEGER NOT NULL, b BLOB) STRICT;", "CREATE TABLE t(a BIGINT NOT NULL, b BYTEA) ;"},
        {"CREATE TABLE t(n TEXT PRIMARY KEY COLLATE NOCASE) STRICT, WITHOUT ROWID;",
         "CREATE TABLE t(n TEXT COLLATE \"C\" PRIMARY KEY ) ;"},
        {"ADD COLUMN ca TEXT NOT NULL DEFAULT ''", "ADD COLUMN ca TEXT COLLATE \"C\" NOT NULL DEFAULT ''"},
        {"INSERT INTO t VALUES('a TEXT in STRICT form')", "INSERT INTO t VALUES('a TEXT in STRICT form')"},
        {"CREATE TABLE \"BLOB\"(MY_BLOB INTEGER, TEXTS BLOB)", "CREATE TABLE \"BLOB\"(MY_BLOB BIGINT, TEXTS BYTEA)"},
        {"(a - b) * 2 / 3 <> 'x;'", "(a - b) * 2 / 3 <> 'x;'"},
    };
    char out[128];
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        size_t len = strlen(rows[i].to);
        assert_int_equal(np_pg_schema(rows[i].from, out, sizeof out), 0);
        assert_string_equal(out, rows[i].to);
        assert_int_equal(np_pg_schema(rows[i].from, out, len + 1), 0);
        assert_int_equal(np_pg_schema(rows[i].from, out, len), -ENOSPC);
    }
}

/* A password is never shown. */
static void test_describe(void **state)
{
    (void)state;
    static const struct {
        const char *url, *shown;
    } rows[] = {
        {"postgresql://hq:secret@db.example:5433/nameplate?sslmode=verify-full",
         "postgresql://db.example:5433/nameplate"},
        {"postgresql://db.example/nameplate?password=secret", "postgresql://db.example/nameplate"},
        {"postgresql:///nameplate?host=/run/postgresql", "postgresql:///run/postgresql/nameplate"},
        {"postgresql://hq:sec%ret@db.example/nameplate", "postgresql:///"}, /* not a URL: nothing of it */
        {"/var/lib/nameplate-hq/hq.db", "/var/lib/nameplate-hq/hq.db"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char shown[256];
        np_store_describe(rows[i].url, shown, sizeof shown);
        assert_string_equal(shown, rows[i].shown);
    }
    assert_true(np_store_is_server("postgres://x"));
    assert_false(np_store_is_server("postgresql.db"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_placeholders),
        cmocka_unit_test(test_schema),
        cmocka_unit_test(test_describe),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* The driver for PostgreSQL (libpq). Several HQs may have the database: their transactions that write come one after
 * the other, by an advisory lock, as those of SQLite do. Values and results are binary. */
#include "hq/store/postgres.h"

#include <endian.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hq/store/driver.h"
#include "resolver/base/error.h"

/* Types of values, as PostgreSQL numbers them (pg_type.dat; they never change). */
#define OID_BYTEA 17
#define OID_INT8  20
#define OID_TEXT  25

static struct np_pg_conn *conn_of(const struct np_store *store)
{
    return store->connection;
}

/* ---- Errors ---- */

/* The connection is gone, and what was open on it. */
static int lost(struct np_store *store)
{
    if (store->in_transaction)
        store->lost = true;
    return -EAGAIN;
}

/* SQLSTATE classes after which trying again later helps. */
static bool is_passing(const char *state)
{
    static const char *const classes[] = {"08", "40", "53", "57", "55P03", "25P"};
    for (size_t i = 0; i < sizeof classes / sizeof *classes; i++) {
        if (strncmp(state, classes[i], strlen(classes[i])) == 0)
            return true;
    }
    return false;
}

/* 0 for a result without error; else keeps its message and returns the driver's error. */
static int judge(struct np_store *store, const PGresult *result)
{
    ExecStatusType status = PQresultStatus(result);
    if (status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK)
        return 0;
    const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    const char *message = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
    if (!state)
        state = "";
    snprintf(store->error, sizeof store->error, "%s (%s)", message ? message : "no message", state);
    if (strcmp(state, "23505") == 0)
        return -EEXIST;
    return is_passing(state) ? -EAGAIN : NP_E_STORE;
}

/* ---- Plain texts ---- */

/* Runs text without values; *out_result may be NULL. A statement outside a transaction comes back once when the
 * connection turns out to be a dead one (the server was restarted). */
static int simple(struct np_store *store, const char *text, int timeout_ms, PGresult **out_result)
{
    struct np_pg_conn *conn = conn_of(store);
    PGresult *result = NULL;
    for (int attempt = 0; !result; attempt++) {
        bool kept = conn->pg != NULL;
        int rc = store->in_transaction && !kept ? -EAGAIN : np_pg_connect(conn, store->error, sizeof store->error);
        if (rc)
            return lost(store) && rc == NP_E_STORE ? rc : -EAGAIN;
        if (PQsendQuery(conn->pg, text))
            result = np_pg_wait(conn, timeout_ms, store->error, sizeof store->error);
        else
            np_pg_disconnect(conn);
        if (!result && (store->in_transaction || !kept || attempt > 0))
            return lost(store);
    }
    int rc = judge(store, result);
    if (out_result && rc == 0)
        *out_result = result;
    else
        PQclear(result);
    return rc;
}

static int execute(struct np_store *store, const char *text)
{
    return simple(store, text, NP_PG_ANSWER_MS, NULL);
}

/* ---- Opening ---- */

static int open_database(struct np_store *store, const char *url, bool read_only, char *error, size_t size)
{
    char shown[256];
    np_pg_describe(url, shown, sizeof shown);
    struct np_pg_conn *conn = calloc(1, sizeof *conn);
    if (conn)
        conn->url = strdup(url);
    store->connection = conn;
    if (!conn || !conn->url) {
        snprintf(error, size, "%s", np_strerror(-ENOMEM));
        return -ENOMEM;
    }
    conn->read_only = read_only;
    conn->lock_ms = NP_PG_LOCK_MS;
    int rc = np_pg_connect(conn, store->error, sizeof store->error);
    if (rc)
        snprintf(error, size, "%s: %s", shown, store->error);
    return rc;
}

static void close_database(struct np_store *store)
{
    struct np_pg_conn *conn = conn_of(store);
    if (!conn)
        return;
    np_pg_disconnect(conn);
    free(conn->url);
    free(conn);
    store->connection = NULL;
}

/* ---- The schema ---- */

static int schema_get(struct np_store *store, int *out_version)
{
    PGresult *result = NULL;
    int rc = simple(store, "SELECT to_regclass('nameplate_schema') IS NOT NULL, to_regclass('device') IS NOT NULL",
                    NP_PG_ANSWER_MS, &result);
    if (rc)
        return rc;
    bool ours = PQgetvalue(result, 0, 0)[0] == 't', theirs = PQgetvalue(result, 0, 1)[0] == 't';
    PQclear(result);
    if (!ours) {
        if (theirs) {
            snprintf(store->error, sizeof store->error,
                     "there are tables of something else in it: give nameplate-hq a database of its own");
            return NP_E_STORE;
        }
        *out_version = 0;
        return 0;
    }
    rc = simple(store, "SELECT version FROM nameplate_schema", NP_PG_ANSWER_MS, &result);
    if (rc)
        return rc;
    *out_version = PQntuples(result) > 0 ? atoi(PQgetvalue(result, 0, 0)) : 0;
    PQclear(result);
    return 0;
}

static int schema_run(struct np_store *store, const char *steps)
{
    char text[NP_PG_TEXT_MAX];
    int rc = execute(store, "SET LOCAL statement_timeout = 0");
    if (rc == 0 && np_pg_schema(steps, text, sizeof text)) {
        snprintf(store->error, sizeof store->error, "internal error: a schema step is too long");
        return NP_E_STORE;
    }
    return rc ? rc : simple(store, text, NP_PG_SCHEMA_MS, NULL);
}

static int schema_set(struct np_store *store, int version)
{
    char text[256];
    snprintf(text, sizeof text,
             "CREATE TABLE IF NOT EXISTS nameplate_schema(version BIGINT NOT NULL); DELETE FROM nameplate_schema;"
             " INSERT INTO nameplate_schema(version) VALUES(%d)",
             version);
    return execute(store, text);
}

static int append_only(struct np_store *store, const char *table)
{
    static const char format[] =
        "CREATE FUNCTION %1$s_refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " IF TG_OP = 'INSERT' AND NEW.seq = (SELECT coalesce(max(seq), 0) + 1 FROM %1$s) THEN RETURN NEW; END IF;"
        " RAISE EXCEPTION '%1$s is append-only'; END $$;"
        "CREATE TRIGGER %1$s_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON %1$s"
        " FOR EACH STATEMENT EXECUTE FUNCTION %1$s_refuse();"
        "CREATE TRIGGER %1$s_next BEFORE INSERT ON %1$s FOR EACH ROW EXECUTE FUNCTION %1$s_refuse();";
    char text[768];
    if ((size_t)snprintf(text, sizeof text, format, table) >= sizeof text)
        return NP_E_STORE;
    return execute(store, text);
}

/* ---- Transactions ---- */

static int begin(struct np_store *store)
{
    char text[96];
    /* Those who only read need no lock, and a connection that only reads cannot have it. */
    snprintf(text, sizeof text, "BEGIN; SELECT pg_advisory_xact_lock(%d)", NP_PG_LOCK_KEY);
    int rc = execute(store, text);
    if (rc && conn_of(store)->pg) {
        char kept[sizeof store->error];
        memcpy(kept, store->error, sizeof kept);
        execute(store, "ROLLBACK");
        memcpy(store->error, kept, sizeof kept);
    }
    return rc;
}

static int commit(struct np_store *store, unsigned events)
{
    PGresult *result = NULL;
    char text[64] = "COMMIT";
    if (events)
        snprintf(text, sizeof text, "NOTIFY " NP_PG_CHANNEL ", '%u'; COMMIT", events);
    int rc = simple(store, text, NP_PG_ANSWER_MS, &result);
    /* A transaction that had failed is rolled back by COMMIT, which says so only in its tag. */
    if (rc == 0 && strcmp(PQcmdStatus(result), "COMMIT") != 0) {
        snprintf(store->error, sizeof store->error, "the transaction had failed before");
        rc = -EAGAIN;
    }
    PQclear(result);
    return rc;
}

static void rollback(struct np_store *store)
{
    if (conn_of(store)->pg)
        execute(store, "ROLLBACK");
}

static int savepoint(struct np_store *store)
{
    return execute(store, "SAVEPOINT one");
}

static int release(struct np_store *store)
{
    return execute(store, "RELEASE one");
}

static int undo(struct np_store *store)
{
    return execute(store, "ROLLBACK TO one; RELEASE one");
}

static unsigned heard(struct np_store *store)
{
    struct np_pg_conn *conn = conn_of(store);
    unsigned events = 0;
    if (!conn->pg || !PQconsumeInput(conn->pg))
        return 0;                             /* the next statement finds out */
    if (conn->heard_in != conn->generation) { /* what was told while we were away */
        conn->heard_in = conn->generation;
        events = NP_STORE_ALL_CHANGED;
    }
    PGnotify *notify;
    while ((notify = PQnotifies(conn->pg))) {
        if (notify->be_pid != PQbackendPID(conn->pg))
            events |= (unsigned)strtoul(notify->extra, NULL, 10) & NP_STORE_ALL_CHANGED;
        PQfreemem(notify);
    }
    return events;
}

static void set_patience(struct np_store *store, int ms)
{
    char text[64];
    conn_of(store)->lock_ms = ms;
    snprintf(text, sizeof text, "SET lock_timeout = %d", ms);
    if (conn_of(store)->pg)
        execute(store, text);
}

/* ---- Statements ---- */

/* A statement's name in the server: its place in the cache. */
static void name_statement(const struct np_sql *q, char out[16])
{
    snprintf(out, 16, "s%d", (int)(q->statement - q->store->cache));
}

/* Prepares q's statement in this connection, where it is not yet. Types are told, not guessed by the server. */
static int prepare(struct np_sql *q)
{
    static const Oid oids[] = {[NP_SQL_INT] = OID_INT8, [NP_SQL_TEXT] = OID_TEXT, [NP_SQL_BLOB] = OID_BYTEA};
    struct np_store *store = q->store;
    struct np_pg_conn *conn = conn_of(store);
    char text[NP_PG_TEXT_MAX], name[16];
    Oid types[NP_SQL_VALUES_MAX];
    if (q->statement->generation == conn->generation)
        return 0;
    if (np_pg_placeholders(q->statement->text, text, sizeof text)) {
        snprintf(store->error, sizeof store->error, "internal error: a statement is too long");
        return NP_E_STORE;
    }
    for (int i = 0; i < q->bound; i++)
        types[i] = oids[q->values[i].kind];
    name_statement(q, name);
    if (!PQsendPrepare(conn->pg, name, text, q->bound, types)) {
        np_pg_disconnect(conn);
        return -EAGAIN;
    }
    PGresult *result = np_pg_wait(conn, NP_PG_ANSWER_MS, store->error, sizeof store->error);
    if (!result)
        return -EAGAIN;
    int rc = judge(store, result);
    PQclear(result);
    if (rc == 0)
        q->statement->generation = conn->generation;
    return rc;
}

static PGresult *send_values(struct np_sql *q)
{
    struct np_pg_conn *conn = conn_of(q->store);
    const char *values[NP_SQL_VALUES_MAX];
    int lengths[NP_SQL_VALUES_MAX], formats[NP_SQL_VALUES_MAX];
    int64_t numbers[NP_SQL_VALUES_MAX];
    char name[16];
    for (int i = 0; i < q->bound; i++) {
        const struct np_sql_value *v = &q->values[i];
        numbers[i] = (int64_t)htobe64((uint64_t)v->number);
        bool number = v->kind == NP_SQL_INT;
        values[i] = number ? (const char *)&numbers[i] : v->len > 0 ? v->data : "";
        lengths[i] = number ? (int)sizeof numbers[i] : (int)v->len;
        formats[i] = 1;
    }
    name_statement(q, name);
    if (!PQsendQueryPrepared(conn->pg, name, q->bound, values, lengths, formats, 1)) {
        np_pg_disconnect(conn);
        return NULL;
    }
    return np_pg_wait(conn, NP_PG_ANSWER_MS, q->store->error, sizeof q->store->error);
}

static int run(struct np_sql *q)
{
    struct np_store *store = q->store;
    struct np_pg_conn *conn = conn_of(store);
    PGresult *result = NULL;
    for (int attempt = 0; !result; attempt++) {
        bool kept = conn->pg != NULL;
        int rc = store->in_transaction && !kept ? -EAGAIN : np_pg_connect(conn, store->error, sizeof store->error);
        if (rc)
            return lost(store) && rc == NP_E_STORE ? rc : -EAGAIN;
        rc = prepare(q);
        if (rc && conn->pg)
            return rc;
        if (rc == 0)
            result = send_values(q);
        if (!result && (store->in_transaction || !kept || attempt > 0))
            return lost(store);
    }
    q->result = result;
    q->row = -1;
    return judge(store, result);
}

static int next(struct np_sql *q)
{
    int rc = q->result ? 0 : run(q);
    if (rc)
        return rc;
    return ++q->row < PQntuples(q->result);
}

static int get_bytes(struct np_sql *q, int column, const void **out_data, size_t *out_len)
{
    *out_data = PQgetvalue(q->result, q->row, column);
    *out_len = (size_t)PQgetlength(q->result, q->row, column);
    return 0;
}

static int64_t get_int(struct np_sql *q, int column)
{
    const uint8_t *bytes = (const uint8_t *)PQgetvalue(q->result, q->row, column);
    int len = PQgetlength(q->result, q->row, column);
    uint64_t value = len > 0 && len <= 8 && bytes[0] & 0x80 ? UINT64_MAX : 0; /* NULL has no bytes: 0, as in SQLite */
    for (int i = 0; i < len && len <= 8; i++)
        value = value << 8 | bytes[i];
    return (int64_t)value;
}

static const char *column_name(struct np_sql *q, int column)
{
    const char *name = PQfname(q->result, column);
    return name ? name : "?";
}

static void finish(struct np_sql *q)
{
    PQclear(q->result);
    q->result = NULL;
}

static void forget(struct np_store *store, struct np_sql_statement *statement)
{
    (void)store;
    (void)statement; /* it ends with the connection */
}

const struct np_sql_driver np_sql_postgres = {
    .open = open_database,
    .close = close_database,
    .schema_get = schema_get,
    .schema_run = schema_run,
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

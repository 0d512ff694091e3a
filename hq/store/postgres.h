/* postgres: what PostgreSQL's driver has beyond np_sql_postgres (hq/store/driver.h), inside hq/store and its tests.
 *
 * One connection, used with deadlines of our own (np_pg_conn): whatever the server or the network does, a statement
 * fails after NP_PG_ANSWER_MS, and the next one does not try to connect again before a pause that grows. */
#ifndef HQ_STORE_POSTGRES_H
#define HQ_STORE_POSTGRES_H

#include <postgresql/libpq-fe.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NP_PG_CONNECT_MS   3000    /* HQ stands still meanwhile */
#define NP_PG_ANSWER_MS    6000    /* likewise; the server has given up by itself before (STATEMENT_MS) */
#define NP_PG_STATEMENT_MS 5000    /* the server's limit for a statement */
#define NP_PG_LOCK_MS      4000    /* how long a write waits for another HQ's */
#define NP_PG_IDLE_MS      2000    /* an HQ that halts in a transaction loses it: less than NP_PG_LOCK_MS */
#define NP_PG_SCHEMA_MS    3600000 /* for a schema step over millions of rows */
#define NP_PG_RETRY_MIN_MS 200 /* between attempts to connect, doubled up to NP_PG_RETRY_MAX_MS; as long as one took   \
                                */
#define NP_PG_RETRY_MAX_MS 3000
#define NP_PG_CHANNEL      "nameplate_hq" /* of NOTIFY: what was committed */
#define NP_PG_LOCK_KEY     0x6e704851     /* "npHQ": the advisory lock of who writes */
#define NP_PG_TEXT_MAX     8192           /* a statement or schema step after translation */

/* A statement's '?' and '?1' as PostgreSQL's "$1", outside quotes. Returns 0 or -ENOSPC. */
int np_pg_placeholders(const char *text, char *out, size_t size);

/* A schema step in PostgreSQL's words: INTEGER is BIGINT, BLOB is BYTEA, TEXT compares by bytes, STRICT, WITHOUT ROWID
 * and COLLATE NOCASE go. Returns 0 or -ENOSPC. */
int np_pg_schema(const char *text, char *out, size_t size);

/* A database's URL as "postgresql://host:port/name": what may be shown of it. */
void np_pg_describe(const char *url, char *out, size_t size);

/* A connection that comes back. */
struct np_pg_conn {
    PGconn *pg; /* NULL: none just now */
    char *url;
    bool read_only;
    unsigned generation; /* counts connections: statements are prepared in one of them */
    unsigned heard_in;   /* the generation that np_store_heard was called in */
    int lock_ms;
    int64_t retry_at_ms; /* monotonic: not before */
    int retry_ms;
};

/* Connects where there is no connection and the pause is over. Returns 0, -EAGAIN, or, before there has ever been one,
 * NP_E_STORE where the server is there and does not let us in: later that passes, as what a server says while it ends
 * or begins does. error (size bytes) says why. */
int np_pg_connect(struct np_pg_conn *conn, char *error, size_t size);

/* Ends the connection. */
void np_pg_disconnect(struct np_pg_conn *conn);

/* Waits for the answer to what was sent. Returns its last result (the caller clears it), or NULL: no answer within
 * timeout_ms or no connection any more; then it is ended, and error says why. */
PGresult *np_pg_wait(struct np_pg_conn *conn, int timeout_ms, char *error, size_t size);

#endif

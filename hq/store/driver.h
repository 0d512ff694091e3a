/* driver: what hq/store/sql.c asks of a database. Two there are: np_sql_sqlite and np_sql_postgres.
 *
 * Errors are 0, -EAGAIN where it is worth trying again later (the disk is full, the database locked, away or too slow),
 * -EEXIST for a broken unique index, else NP_E_STORE; all but -EEXIST leave the database's own words in store->error. A
 * driver sets store->lost when a transaction has ended without having been asked to. */
#ifndef HQ_STORE_DRIVER_H
#define HQ_STORE_DRIVER_H

#include "hq/store/sql.h"

struct np_sql_driver {
    /* Opens where, which must be there where read_only; schema untouched. error as for np_store_open. */
    int (*open)(struct np_store *store, const char *where, bool read_only, char *error, size_t size);
    /* Ends store->connection; NULL is fine. */
    void (*close)(struct np_store *store);

    /* The schema's number, 0 where there is none yet. NP_E_STORE with store->error where this is no database of HQ. */
    int (*schema_get)(struct np_store *store, int *out_version);
    /* Runs schema steps (as they stand in hq/store/schema.c) and notes the new number, inside np_sql_lock. */
    int (*schema_run)(struct np_store *store, const char *steps);
    /* Makes the database refuse to change or delete rows of a table, and (where a new row could replace an old one)
     * rows out of their order of seq. See schema_run. */
    int (*append_only)(struct np_store *store, const char *table);
    /* See schema_run. */
    int (*schema_set)(struct np_store *store, int version);

    /* A transaction in which nobody else writes, and its end; other programs hear of the events (np_store_heard).
     * rollback: whatever state it is in. */
    int (*begin)(struct np_store *store);
    /* See begin. */
    int (*commit)(struct np_store *store, unsigned events);
    /* See begin. */
    void (*rollback)(struct np_store *store);
    /* SAVEPOINT, RELEASE and ROLLBACK TO of the savepoint "one". */
    int (*savepoint)(struct np_store *store);
    /* See savepoint. */
    int (*release)(struct np_store *store);
    /* See savepoint: undoes what came after it, and releases it. */
    int (*undo)(struct np_store *store);
    /* What other programs have committed since the last call (np_store_event bits). */
    unsigned (*heard)(struct np_store *store);
    /* How long begin waits for another program. */
    void (*set_patience)(struct np_store *store, int ms);

    /* Runs q, at its first call, and moves to the next row: 1, 0 at the end, or an error. */
    int (*next)(struct np_sql *q);
    /* The current row's column as bytes, borrowed until the next call. */
    int (*get_bytes)(struct np_sql *q, int column, const void **out_data, size_t *out_len);
    /* The current row's column as a number. */
    int64_t (*get_int)(struct np_sql *q, int column);
    /* The column's name, for a message. */
    const char *(*column_name)(struct np_sql *q, int column);
    /* Ends q. */
    void (*finish)(struct np_sql *q);
    /* Frees what np_sql_statement.prepared has. */
    void (*forget)(struct np_store *store, struct np_sql_statement *statement);
};

extern const struct np_sql_driver np_sql_sqlite, np_sql_postgres;

#endif

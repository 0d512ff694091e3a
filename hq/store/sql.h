/* sql: the thin layer between the store's functions and SQLite, inside hq/store only.
 *
 * A struct np_sql is one run of a cached statement: np_sql_start, values in the order of the '?', then np_sql_run or a
 * loop of np_sql_next with getters in the order of the columns, then np_sql_finish (np_sql_run does that itself). The
 * first error sticks in rc; later calls do nothing. */
#ifndef HQ_STORE_SQL_H
#define HQ_STORE_SQL_H

#include <sqlite3.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "hq/store/store.h"

#define NP_SQL_CACHE_MAX 96 /* different statements in hq/store: about 60 */

struct np_store {
    sqlite3 *db;
    bool in_transaction;
    bool lost;          /* SQLite has rolled the running transaction back by itself: nothing more goes into it */
    unsigned pending;   /* np_store_event bits of the running transaction */
    unsigned savepoint; /* the same before the running savepoint */
    unsigned events;    /* committed, not yet taken */
    struct np_store_waiter *waiting, *settled; /* for the next commit; being called */
    struct {
        const char *text; /* compared by address */
        sqlite3_stmt *statement;
    } cache[NP_SQL_CACHE_MAX];
    char error[256];
};

/* One run of a statement. */
struct np_sql {
    struct np_store *store;
    sqlite3_stmt *statement;
    int bound, column;
    int rc;
};

/* Keeps SQLite's message in store->error and returns -EAGAIN for a full disk or a busy database, else NP_E_STORE. */
int np_sql_fail(struct np_store *store);

/* Starts a run of text, which must be a string constant (the cache compares its address). */
struct np_sql np_sql_start(struct np_store *store, const char *text);

/* Binds the next value. Text and blobs are borrowed until the run ends. */
void np_sql_text(struct np_sql *q, const char *value);
/* See np_sql_text. */
void np_sql_blob(struct np_sql *q, const void *value, size_t len);
/* See np_sql_text. */
void np_sql_int(struct np_sql *q, int64_t value);

/* Runs a statement without rows (or whose rows do not matter) and finishes. Returns 0, -EEXIST for a broken unique
 * index, or an error. */
int np_sql_run(struct np_sql *q);

/* Moves to the next row: true while there is one. */
bool np_sql_next(struct np_sql *q);

/* The next column as text of at most size - 1 bytes. A longer one is an error. */
void np_sql_get_text(struct np_sql *q, char *out, size_t size);
/* The next column as exactly len bytes. */
void np_sql_get_bytes(struct np_sql *q, void *out, size_t len);
/* The next column as at most size bytes. */
void np_sql_get_blob(struct np_sql *q, void *out, size_t size, size_t *out_len);
/* The next column as a number. */
int64_t np_sql_get_int(struct np_sql *q);

/* Ends the run. Returns rc. */
int np_sql_finish(struct np_sql *q);

/* Opens the turn's transaction where none is open, and a savepoint in it. 0, or an error (nothing was opened then). */
int np_sql_begin(struct np_store *store);

/* Ends the savepoint: keeps its writes when rc is 0, undoes them otherwise. Returns rc, or the error of keeping. */
int np_sql_end(struct np_store *store, int rc);

/* Runs a query for "count, oldest" of a device's rows since a time (its two parameters). 0 or an error of the store. */
int np_sql_count_since(struct np_store *store, const char *text, const char *device, int64_t since, int64_t *out_count,
                       int64_t *out_oldest);

/* Marks name dirty under a new version (hq/store/names.c); inside np_sql_begin and np_sql_end. */
int np_sql_mark_dirty(struct np_store *store, const char *name);

/* An order's columns, in the order of np_sql_get_order. */
#define NP_SQL_ORDER_COLUMNS                                                                                           \
    "id, device, key, csr, state, order_url, finalize_url, certificate_url, error, ca, begun, paid, attempts, "        \
    "next_try_ms, priority, renews, created_ms, updated_ms"

/* The next columns as an order without its authorizations (hq/store/orders.c). */
void np_sql_get_order(struct np_sql *q, struct np_order *out_order);

/* Reads the authorizations of order->id into order (hq/store/orders.c). Returns 0 or a database error. */
int np_sql_order_names(struct np_store *store, struct np_order *order);

/* What belongs to a package that is being stored (hq/store/renewals.c): its renewal, or its revocation where the device
 * has left. Inside np_sql_begin and np_sql_end. */
int np_sql_package_follow(struct np_store *store, const char *device, int64_t n, const struct np_package *package);

/* Addresses as one text, "192.168.1.10 fd00::1", and back. Text has NP_SQL_ADDRESSES_MAX bytes. */
#define NP_SQL_ADDRESSES_MAX ((NP_WIRE_V4_MAX + NP_WIRE_V6_MAX) * NP_ADDR_TEXT_MAX)
/* See above. */
void np_sql_addresses_format(const struct np_addresses *addresses, char out[NP_SQL_ADDRESSES_MAX]);
/* See above. The next column, parsed. */
void np_sql_get_addresses(struct np_sql *q, struct np_addresses *out_addresses);

#endif

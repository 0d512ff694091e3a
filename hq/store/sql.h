/* sql: the thin layer between the store's functions and the database, inside hq/store only. A driver
 * (hq/store/driver.h) stands behind it: SQLite (hq/store/sqlite.c) or PostgreSQL (hq/store/postgres.c).
 *
 * A struct np_sql is one run of a cached statement: np_sql_start, values in the order of the '?', then np_sql_run or a
 * loop of np_sql_next with getters in the order of the columns, then np_sql_finish (np_sql_run does that itself). The
 * first error sticks in rc; later calls do nothing.
 *
 * Every text runs on both databases as it stands, so it keeps to what both know:
 * - parameters are '?' in their order, or '?1', '?2' where one is used twice (never both kinds in one text);
 * - numbers are 64 bits, truth is a number: count(*) FILTER (WHERE ...) instead of sum(a = b), CASE WHEN ... THEN 1
 * ELSE 0 END instead of a comparison as a column; no max() of two values; the time is a parameter;
 * - ON CONFLICT ... DO ..., never INSERT OR ...; no rowid; no COLLATE; the table "authorization" stands in quotes;
 * - names are bound by np_sql_name, which puts them in lower case, so that no query has to fold them. */
#ifndef HQ_STORE_SQL_H
#define HQ_STORE_SQL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "hq/store/store.h"

#define NP_SQL_CACHE_MAX  160 /* different statements in hq/store: about 110 */
#define NP_SQL_VALUES_MAX 32  /* values of one statement: a device has 23 */

/* A transaction that could not be begun is not tried again for as long as it was waited for, at most so long: a loop
 * full of requests does not stand still for each of them, and half of its time is its own. */
#define NP_SQL_PAUSE_MAX_MS 3000

struct np_sql_driver;

/* A cached statement. */
struct np_sql_statement {
    const char *text;    /* compared by address */
    void *prepared;      /* the driver's */
    unsigned generation; /* the driver's: in which connection it was prepared */
};

struct np_store {
    const struct np_sql_driver *driver;
    void *connection; /* the driver's */
    bool in_transaction;
    bool lost;              /* the database has ended the running transaction by itself: nothing more goes into it */
    int64_t fence;          /* of the lease that fence_name names: what every transaction begins by checking; 0: none */
    const char *fence_name; /* borrowed */
    bool fenced;            /* another one has the lease */
    int64_t pause_until_ms; /* monotonic: no transaction is begun before */
    unsigned pending;       /* np_store_event bits of the running transaction */
    unsigned savepoint;     /* the same before the running savepoint */
    unsigned depth;         /* savepoints of np_sql_begin that are open */
    struct np_sql_unit {
        bool running;
        bool open;        /* it has written: its savepoint is that of its first write, which is kept until its end */
        unsigned pending; /* before it */
    } unit;
    unsigned events;                           /* committed, not yet taken */
    struct np_store_waiter *waiting, *settled; /* for the next commit; being called */
    struct np_sql_statement cache[NP_SQL_CACHE_MAX];
    struct np_queue_marks *marks; /* hq/store/place.c's; NULL: none yet */
    char error[256];
};

enum np_sql_kind { NP_SQL_INT, NP_SQL_TEXT, NP_SQL_BLOB };

/* A value of a statement. */
struct np_sql_value {
    enum np_sql_kind kind;
    int64_t number;
    const void *data;
    size_t len;
};

/* One run of a statement. */
struct np_sql {
    struct np_store *store;
    struct np_sql_statement *statement;
    struct np_sql_value values[NP_SQL_VALUES_MAX];
    char name[NP_NAME_MAX + 1]; /* np_sql_name's */
    void *result;               /* the driver's */
    int bound, column, row;
    int rc;
};

/* Starts a run of text, which must be a string constant (the cache compares its address). */
struct np_sql np_sql_start(struct np_store *store, const char *text);

/* Binds the next value. Text and blobs are borrowed until the run ends. */
void np_sql_text(struct np_sql *q, const char *value);
/* See np_sql_text. */
void np_sql_blob(struct np_sql *q, const void *value, size_t len);
/* A domain name, in lower case as names are stored. One in each statement; copied. */
void np_sql_name(struct np_sql *q, const char *name);
/* See np_sql_text. */
void np_sql_int(struct np_sql *q, int64_t value);

/* Runs a statement without rows (or whose rows do not matter) and finishes. Returns 0, -EEXIST for a broken unique
 * index, or an error. */
int np_sql_run(struct np_sql *q);

/* Likewise, for a statement that has a row where it found what it was for ("RETURNING 1"). Returns 0, none where there
 * was no row, or an error. */
int np_sql_run_found(struct np_sql *q, int none);

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

/* Opens the turn's transaction where none is open, in which this program alone writes. 0, or an error (nothing was
 * opened then); after one that has taken long -EAGAIN at once, for a while (NP_SQL_PAUSE_MAX_MS). */
int np_sql_lock(struct np_store *store);

/* Is the lease that np_store_fence named still ours? Inside a new transaction. 0, NP_E_STALE, or a database error. */
int np_sql_check_fence(struct np_store *store);

/* np_sql_lock, and a savepoint in the transaction. 0, or an error (nothing was opened then). */
int np_sql_begin(struct np_store *store);

/* Ends the savepoint: keeps its writes when rc is 0, undoes them otherwise. Returns rc, or the error of keeping. */
int np_sql_end(struct np_store *store, int rc);

/* See np_store_unit_begin. Costs the database nothing: the first write's savepoint becomes the unit's. */
void np_sql_unit_begin(struct np_store *store);

/* See np_store_unit_end. */
int np_sql_unit_end(struct np_store *store, int rc);

/* Ends the transaction, keeping its writes unless it is lost. 0, or an error: its writes are gone. */
int np_sql_commit(struct np_store *store);

/* Runs a query for "count, oldest" of a device's rows since a time (its two parameters). 0 or an error of the store. */
int np_sql_count_since(struct np_store *store, const char *text, const char *device, int64_t since, int64_t *out_count,
                       int64_t *out_oldest);

/* Marks name dirty under a new version (hq/store/names.c); inside np_sql_begin and np_sql_end. */
int np_sql_mark_dirty(struct np_store *store, const char *name);

/* Takes a name out of use (hq/store/names.c): for ever (final), or until its own device comes back. *out_changed: it
 * was not so before. Inside np_sql_begin and np_sql_end. */
int np_sql_tombstone(struct np_store *store, const char *name, int64_t now_s, bool final, bool *out_changed);

/* np_sql_tombstone, with its entry in the ledger. */
int np_sql_retire_name(struct np_store *store, const char *name, int64_t now_s, bool final);

/* The operator has blocked a device, or let it in again: the ledger's entry (hq/store/ledger.c). */
int np_sql_note_block(struct np_store *store, const struct np_device *device, bool blocked);

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
int np_sql_package_follow(struct np_store *store, const struct np_order *order, int64_t n,
                          const struct np_package *package);

/* Marks the names dirty that a device has beside its own (this and those below: hq/store/naming.c, inside np_sql_begin
 * and np_sql_end). */
int np_sql_naming_mark(struct np_store *store, const char *device);

/* A device leaves: those names go too, for ever. */
int np_sql_naming_retire(struct np_store *store, const char *device, int64_t now_s);

/* The order has become package n: where it carries the name that the device wants, that is its name now. */
int np_sql_naming_confirm(struct np_store *store, const struct np_order *order, int64_t n, int64_t now_ms);

/* The order is dead: where it was for the name that the device wants, that is given up. */
int np_sql_naming_refused(struct np_store *store, const struct np_order *order);

/* The ledger says that a name belongs to a key that this database does not know. */
int np_sql_naming_keep(struct np_store *store, const char *name, const uint8_t thumbprint[32]);

/* A renewal's columns, in the order of np_sql_get_renewal. */
#define NP_SQL_RENEWAL_COLUMNS                                                                                         \
    "device, n, not_before_s, not_after_s, point_ms, due_ms, attempts, early, ask_ms, failures, window_from_ms, "      \
    "window_until_ms, ca"

/* The next columns as a renewal (hq/store/renewals.c). */
void np_sql_get_renewal(struct np_sql *q, struct np_renewal *out_renewal);

/* Addresses as one text, "192.168.1.10 fd00::1", and back. Text has NP_SQL_ADDRESSES_MAX bytes. */
#define NP_SQL_ADDRESSES_MAX ((NP_WIRE_V4_MAX + NP_WIRE_V6_MAX) * NP_ADDR_TEXT_MAX)
/* See above. */
void np_sql_addresses_format(const struct np_addresses *addresses, char out[NP_SQL_ADDRESSES_MAX]);
/* See above. The next column, parsed. */
void np_sql_get_addresses(struct np_sql *q, struct np_addresses *out_addresses);

#endif

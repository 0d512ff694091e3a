#include "hq/store/store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "hq/store/sql.h"
#include "resolver/base/error.h"

#define APPLICATION_ID 0x6e704851 /* "npHQ": file(1) and a person can tell what the file is */
#define BUSY_MS        5000       /* how long another program (a backup) may hold the write lock */

/* The schema's versions, each from the one before. Enumerations are stored as their words' numbers; addresses as text,
 * so that sqlite3(1) shows them. */
static const char schema_1[] =
    "CREATE TABLE meta(key TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;"
    "INSERT INTO meta VALUES('zone_serial', 1);"
    "CREATE TABLE device("
    " id TEXT NOT NULL PRIMARY KEY, x BLOB NOT NULL, y BLOB NOT NULL, thumbprint BLOB NOT NULL, epoch BLOB NOT NULL,"
    " token_hash BLOB NOT NULL, auth_n INTEGER NOT NULL, auth_n_used INTEGER NOT NULL,"
    " name TEXT NOT NULL UNIQUE COLLATE NOCASE, serial TEXT NOT NULL, credential INTEGER NOT NULL,"
    " state INTEGER NOT NULL, network TEXT NOT NULL, nonce_us INTEGER NOT NULL, seq INTEGER NOT NULL,"
    " stated TEXT NOT NULL, published TEXT NOT NULL, publish INTEGER NOT NULL, model TEXT NOT NULL,"
    " version TEXT NOT NULL, created_s INTEGER NOT NULL, last_seen_s INTEGER NOT NULL,"
    " UNIQUE(thumbprint, epoch)) STRICT;"
    "CREATE INDEX device_serial ON device(serial, created_s) WHERE serial <> '';"
    "CREATE INDEX device_network ON device(network, created_s) WHERE credential = 0;"
    "CREATE TABLE used_key("
    " thumbprint BLOB NOT NULL PRIMARY KEY, device TEXT NOT NULL, seen_s INTEGER NOT NULL) STRICT, WITHOUT ROWID;"
    "CREATE INDEX used_key_device ON used_key(device, seen_s);"
    "CREATE TABLE orders("
    " id TEXT NOT NULL PRIMARY KEY, device TEXT NOT NULL, key BLOB NOT NULL, csr BLOB NOT NULL, state INTEGER NOT NULL,"
    " order_url TEXT NOT NULL, finalize_url TEXT NOT NULL, certificate_url TEXT NOT NULL, error TEXT NOT NULL,"
    " attempts INTEGER NOT NULL, next_try_ms INTEGER NOT NULL, priority INTEGER NOT NULL, created_ms INTEGER NOT NULL,"
    " updated_ms INTEGER NOT NULL) STRICT;"
    "CREATE INDEX orders_device ON orders(device, created_ms);"
    "CREATE INDEX orders_open ON orders(state, priority, created_ms);"
    "CREATE TABLE authorization("
    " order_id TEXT NOT NULL, i INTEGER NOT NULL, name TEXT NOT NULL, url TEXT NOT NULL, challenge TEXT NOT NULL,"
    " txt TEXT NOT NULL, PRIMARY KEY(order_id, i)) STRICT, WITHOUT ROWID;"
    "CREATE TABLE package("
    " device TEXT NOT NULL, n INTEGER NOT NULL, order_id TEXT NOT NULL, chain TEXT NOT NULL,"
    " not_before_s INTEGER NOT NULL, not_after_s INTEGER NOT NULL, created_ms INTEGER NOT NULL,"
    " PRIMARY KEY(device, n)) STRICT;"
    "CREATE TABLE tombstone(name TEXT NOT NULL PRIMARY KEY COLLATE NOCASE, since_s INTEGER NOT NULL)"
    " STRICT, WITHOUT ROWID;"
    "CREATE TABLE dirty(name TEXT NOT NULL PRIMARY KEY COLLATE NOCASE, version INTEGER NOT NULL) STRICT, WITHOUT ROWID;"
    "CREATE INDEX dirty_version ON dirty(version);";

/* Renewals, revocations and outages. Certificates of version 1 are renewed at two thirds of their life. */
static const char schema_2[] =
    "CREATE TABLE renewal("
    " device TEXT NOT NULL PRIMARY KEY, n INTEGER NOT NULL, not_before_s INTEGER NOT NULL,"
    " not_after_s INTEGER NOT NULL, point_ms INTEGER NOT NULL, due_ms INTEGER NOT NULL, attempts INTEGER NOT NULL)"
    " STRICT, WITHOUT ROWID;"
    "CREATE INDEX renewal_due ON renewal(due_ms);"
    "CREATE TABLE revocation("
    " device TEXT NOT NULL, n INTEGER NOT NULL, reason INTEGER NOT NULL, state INTEGER NOT NULL,"
    " attempts INTEGER NOT NULL, next_try_ms INTEGER NOT NULL, PRIMARY KEY(device, n)) STRICT, WITHOUT ROWID;"
    "CREATE INDEX revocation_open ON revocation(next_try_ms) WHERE state = 0;"
    "CREATE TABLE outage(from_s INTEGER NOT NULL PRIMARY KEY, until_s INTEGER NOT NULL) STRICT;"
    "INSERT INTO renewal SELECT p.device, p.n, p.not_before_s, p.not_after_s,"
    " (p.not_before_s + (p.not_after_s - p.not_before_s) * 2 / 3) * 1000,"
    " (p.not_before_s + (p.not_after_s - p.not_before_s) * 2 / 3) * 1000, 0"
    " FROM package p JOIN device d ON d.id = p.device AND d.auth_n = p.n WHERE d.state <> 2;";

/* Since when a device is silent, so that its name shows nothing (0: it does). */
static const char schema_3[] = "ALTER TABLE device ADD COLUMN silent_s INTEGER NOT NULL DEFAULT 0;"
                               "CREATE INDEX device_quiet ON device(last_seen_s) WHERE state <> 2 AND silent_s = 0;";

/* The queue's lanes. What version 3 had under way when it ended is looked up at the CA again. */
static const char schema_4[] = "ALTER TABLE orders ADD COLUMN begun INTEGER NOT NULL DEFAULT 0;"
                               "ALTER TABLE orders ADD COLUMN renews INTEGER NOT NULL DEFAULT 0;"
                               "ALTER TABLE orders ADD COLUMN fresh INTEGER NOT NULL DEFAULT 1;"
                               "DROP INDEX orders_open;"
                               "CREATE INDEX orders_state ON orders(state, begun, priority, fresh, created_ms);"
                               "CREATE INDEX orders_backoff ON orders(next_try_ms) WHERE state = 9;";

/* The CAs' rate limits, and which CA an order and a certificate belong to (empty: the one there was). */
static const char schema_5[] = "ALTER TABLE orders ADD COLUMN ca TEXT NOT NULL DEFAULT '';"
                               "ALTER TABLE orders ADD COLUMN paid INTEGER NOT NULL DEFAULT 0;"
                               "ALTER TABLE package ADD COLUMN ca TEXT NOT NULL DEFAULT '';"
                               "CREATE TABLE bucket("
                               " ca TEXT NOT NULL, kind INTEGER NOT NULL, key TEXT NOT NULL, full_ms INTEGER NOT NULL,"
                               " PRIMARY KEY(ca, kind, key)) STRICT, WITHOUT ROWID;";

static const char *const schemas[NP_STORE_SCHEMA] = {schema_1, schema_2, schema_3, schema_4, schema_5};

static int pragma_int(struct np_store *store, const char *text, int *out_value)
{
    struct np_sql q = np_sql_start(store, text);
    int value = np_sql_next(&q) ? (int)np_sql_get_int(&q) : 0;
    int rc = np_sql_finish(&q);
    if (rc == 0)
        *out_value = value;
    return rc;
}

static int execute(struct np_store *store, const char *text)
{
    return sqlite3_exec(store->db, text, NULL, NULL, NULL) ? np_sql_fail(store) : 0;
}

/* Brings the schema up to date in one transaction; two programs that start together do it once. */
static int make_schema(struct np_store *store)
{
    static const char version_text[] = "PRAGMA user_version";
    char pragmas[96];
    int version = 0;
    int rc = execute(store, "BEGIN IMMEDIATE");
    if (rc)
        return rc;
    rc = pragma_int(store, version_text, &version);
    if (rc == 0 && version < NP_STORE_SCHEMA) {
        snprintf(pragmas, sizeof pragmas, "PRAGMA application_id = %d; PRAGMA user_version = %d;", APPLICATION_ID,
                 NP_STORE_SCHEMA);
        for (int i = version; rc == 0 && i < NP_STORE_SCHEMA; i++)
            rc = execute(store, schemas[i]);
        if (rc == 0)
            rc = execute(store, pragmas);
    }
    if (rc == 0)
        return execute(store, "COMMIT");
    char kept[sizeof store->error];
    memcpy(kept, store->error, sizeof kept);
    execute(store, "ROLLBACK");
    memcpy(store->error, kept, sizeof kept);
    return rc;
}

static int check_schema(struct np_store *store, const char *path, bool read_only, char *error, size_t size)
{
    static const char version_text[] = "PRAGMA user_version", id_text[] = "PRAGMA application_id";
    int version = 0, id = 0;
    int rc = pragma_int(store, version_text, &version);
    if (rc == 0)
        rc = pragma_int(store, id_text, &id);
    if (rc == 0 && version > NP_STORE_SCHEMA) {
        snprintf(error, size, "%s has schema %d, this nameplate-hq knows schemas up to %d: run a newer nameplate-hq",
                 path, version, NP_STORE_SCHEMA);
        return NP_E_VERSION;
    }
    if (rc == 0 && ((version > 0 && id != APPLICATION_ID) || (version == 0 && read_only))) {
        snprintf(error, size, "%s is not a database of nameplate-hq", path);
        return NP_E_STORE;
    }
    if (rc == 0 && version < NP_STORE_SCHEMA && read_only) {
        snprintf(error, size, "%s has the older schema %d: 'nameplate-hq serve' brings it up to date", path, version);
        return NP_E_VERSION;
    }
    if (rc == 0 && version < NP_STORE_SCHEMA)
        rc = make_schema(store);
    if (rc)
        snprintf(error, size, "%s: %s", path, store->error);
    return rc;
}

int np_store_open(const char *path, bool read_only, struct np_store **out_store, char *error, size_t size)
{
    int rc = -ENOMEM;
    struct np_store *store = calloc(1, sizeof *store);
    if (!store) {
        snprintf(error, size, "%s", np_strerror(rc));
        return rc;
    }
    if (read_only && access(path, F_OK)) {
        snprintf(error, size, "%s: there is no database yet; 'nameplate-hq serve' makes it", path);
        rc = NP_E_NOT_FOUND;
        goto fail;
    }
    if (!read_only) {
        /* SQLite gives its own files the database's mode: nobody else may read tokens' hashes and addresses. */
        int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        if (fd < 0) {
            snprintf(error, size, "%s: %s", path, np_strerror(-errno));
            rc = NP_E_STORE;
            goto fail;
        }
        close(fd);
    }
    int flags = (read_only ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE) | SQLITE_OPEN_NOMUTEX;
    if (sqlite3_open_v2(path, &store->db, flags, NULL)) {
        snprintf(error, size, "%s: %s", path, store->db ? sqlite3_errmsg(store->db) : "out of memory");
        rc = NP_E_STORE;
        goto fail;
    }
    sqlite3_busy_timeout(store->db, BUSY_MS);
    rc = read_only
             ? 0
             : execute(store, "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA trusted_schema = OFF;");
    if (rc) {
        snprintf(error, size, "%s: %s", path, store->error);
        goto fail;
    }
    rc = check_schema(store, path, read_only, error, size);
    if (rc)
        goto fail;
    *out_store = store;
    return 0;
fail:
    np_store_close(store);
    return rc;
}

void np_store_close(struct np_store *store)
{
    if (!store)
        return;
    if (store->db)
        np_store_commit(store);
    for (size_t i = 0; i < NP_SQL_CACHE_MAX; i++)
        sqlite3_finalize(store->cache[i].statement);
    sqlite3_close(store->db);
    free(store);
}

static int commit(struct np_store *store)
{
    static const char commit_text[] = "COMMIT", rollback_text[] = "ROLLBACK";
    if (!store->in_transaction)
        return 0;
    int rc = -EAGAIN;
    if (!store->lost) {
        struct np_sql q = np_sql_start(store, commit_text);
        rc = np_sql_run(&q);
    }
    if (rc && !sqlite3_get_autocommit(store->db)) {
        char kept[sizeof store->error];
        memcpy(kept, store->error, sizeof kept);
        struct np_sql q = np_sql_start(store, rollback_text);
        np_sql_run(&q);
        memcpy(store->error, kept, sizeof kept);
    }
    if (rc == 0)
        store->events |= store->pending;
    store->pending = 0;
    store->in_transaction = false;
    store->lost = false;
    return rc;
}

static void append(struct np_store_waiter **list, struct np_store_waiter *waiter)
{
    while (*list)
        list = &(*list)->next;
    *list = waiter;
}

int np_store_commit(struct np_store *store)
{
    int rc = commit(store);
    /* Only those that wait now: who queues again from his callback waits for the next commit. A callback may commit,
     * or cancel another waiter, so the list stays where both can see it. */
    for (struct np_store_waiter *waiter = store->waiting; waiter; waiter = waiter->next)
        waiter->rc = rc;
    append(&store->settled, store->waiting);
    store->waiting = NULL;
    while (store->settled) {
        struct np_store_waiter *waiter = store->settled;
        store->settled = waiter->next;
        waiter->next = NULL;
        waiter->queued = false;
        waiter->done(waiter->ctx, waiter->rc);
    }
    return rc;
}

void np_store_after_commit(struct np_store *store, struct np_store_waiter *waiter)
{
    if (waiter->queued)
        return;
    waiter->queued = true;
    waiter->next = NULL;
    append(&store->waiting, waiter);
}

bool np_store_awaited(const struct np_store *store)
{
    return store->waiting != NULL;
}

static bool take_out(struct np_store_waiter **list, struct np_store_waiter *waiter)
{
    for (; *list; list = &(*list)->next) {
        if (*list == waiter) {
            *list = waiter->next;
            return true;
        }
    }
    return false;
}

void np_store_waiter_cancel(struct np_store *store, struct np_store_waiter *waiter)
{
    if (!take_out(&store->waiting, waiter))
        take_out(&store->settled, waiter);
    waiter->next = NULL;
    waiter->queued = false;
}

unsigned np_store_take_events(struct np_store *store)
{
    unsigned events = store->events;
    store->events = 0;
    return events;
}

const char *np_store_error(const struct np_store *store)
{
    return store->error;
}

void np_store_set_patience(struct np_store *store, int ms)
{
    sqlite3_busy_timeout(store->db, ms);
}

/* schema: the store's schema, step by step, and bringing a database up to date.
 *
 * The steps are written in SQLite's words; hq/store/postgres.c replaces a few of them (np_pg_schema), so that both
 * databases come out of one text. A step that was released never changes. */
#include "hq/store/schema.h"

#include <stdio.h>
#include <string.h>

#include "hq/store/driver.h"
#include "resolver/base/error.h"

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
    "CREATE TABLE \"authorization\"("
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

/* Renewal windows of the CAs (ARI). */
static const char schema_6[] =
    "ALTER TABLE renewal ADD COLUMN early INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE renewal ADD COLUMN ask_ms INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE renewal ADD COLUMN failures INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE renewal ADD COLUMN window_from_ms INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE renewal ADD COLUMN window_until_ms INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE renewal ADD COLUMN ca TEXT NOT NULL DEFAULT '';"
    "UPDATE renewal SET ca = coalesce((SELECT p.ca FROM package p WHERE p.device = renewal.device AND p.n = renewal.n),"
    " '');"
    "CREATE INDEX renewal_ask ON renewal(ca, ask_ms);";

/* The fleet is counted by this index alone (hq/store/census.c). */
static const char schema_7[] = "CREATE INDEX device_census ON device(state, version, silent_s, credential);";

/* What was made, and the claim codes on its labels. */
static const char schema_8[] =
    "CREATE TABLE factory(serial TEXT NOT NULL PRIMARY KEY, model TEXT NOT NULL, added_s INTEGER NOT NULL)"
    " STRICT, WITHOUT ROWID;"
    "CREATE TABLE claim("
    " hash BLOB NOT NULL PRIMARY KEY, serial TEXT NOT NULL, model TEXT NOT NULL, added_s INTEGER NOT NULL,"
    " device TEXT NOT NULL, claimed_s INTEGER NOT NULL) STRICT, WITHOUT ROWID;"
    "CREATE INDEX claim_device ON claim(device) WHERE device <> '';";

/* Which of several HQs does the work behind the requests. */
static const char schema_9[] = "CREATE TABLE lease("
                               " name TEXT NOT NULL PRIMARY KEY, holder TEXT NOT NULL, fence INTEGER NOT NULL,"
                               " beat INTEGER NOT NULL) STRICT, WITHOUT ROWID;";

/* What outlives the database, and the blocks that came from there. A name is final where its device has left. */
static const char schema_10[] =
    "ALTER TABLE tombstone ADD COLUMN final INTEGER NOT NULL DEFAULT 1;"
    "UPDATE tombstone SET final = 0 WHERE name IN (SELECT name FROM device WHERE state <> 2);"
    "CREATE TABLE ledger("
    " seq INTEGER NOT NULL PRIMARY KEY, at_s INTEGER NOT NULL, kind INTEGER NOT NULL, value TEXT NOT NULL) STRICT;"
    "INSERT INTO ledger(seq, at_s, kind, value) SELECT row_number() OVER (ORDER BY since_s, name), since_s,"
    " CASE WHEN final = 1 THEN 1 ELSE 2 END, name FROM tombstone;"
    "CREATE TABLE barred("
    " thumbprint BLOB NOT NULL PRIMARY KEY, serial TEXT NOT NULL, since_s INTEGER NOT NULL) STRICT, WITHOUT ROWID;"
    "CREATE INDEX barred_serial ON barred(serial) WHERE serial <> '';";

/* The audit log; append_only below seals it. And the lives that devices have told, for those that do. */
static const char schema_11[] =
    "CREATE TABLE audit("
    " seq INTEGER NOT NULL PRIMARY KEY, at_ms INTEGER NOT NULL, actor TEXT NOT NULL, action TEXT NOT NULL,"
    " device TEXT NOT NULL, name TEXT NOT NULL, serial TEXT NOT NULL, detail TEXT NOT NULL) STRICT;"
    "CREATE INDEX audit_device ON audit(device, seq) WHERE device <> '';"
    "CREATE TABLE life("
    " device TEXT NOT NULL PRIMARY KEY, lives BLOB NOT NULL, returns BLOB NOT NULL, suspected_s INTEGER NOT NULL)"
    " STRICT, WITHOUT ROWID;"
    "CREATE INDEX life_suspected ON life(suspected_s) WHERE suspected_s > 0;";

/* Names that owners have chosen, and those that they had before (hq/store/naming.h). */
static const char schema_12[] =
    "CREATE TABLE naming("
    " name TEXT NOT NULL PRIMARY KEY COLLATE NOCASE, device TEXT NOT NULL, thumbprint BLOB NOT NULL,"
    " role INTEGER NOT NULL, network TEXT NOT NULL, asked_s INTEGER NOT NULL, until_s INTEGER NOT NULL)"
    " STRICT, WITHOUT ROWID;"
    "CREATE INDEX naming_device ON naming(device, role);"
    "CREATE INDEX naming_network ON naming(network, asked_s) WHERE network <> '';"
    "CREATE INDEX naming_end ON naming(until_s) WHERE role = 2;";

/* hq/store/account.h. */
static const char schema_13[] = "CREATE TABLE acme_account(ca TEXT NOT NULL PRIMARY KEY, url TEXT NOT NULL,"
                                " key TEXT NOT NULL, next TEXT NOT NULL) STRICT, WITHOUT ROWID;";

static const char *const schemas[NP_STORE_SCHEMA] = {schema_1,  schema_2,  schema_3, schema_4, schema_5,
                                                     schema_6,  schema_7,  schema_8, schema_9, schema_10,
                                                     schema_11, schema_12, schema_13};

/* In one transaction: two programs that start together do it once. */
static int bring_up_to_date(struct np_store *store)
{
    int version = 0;
    int rc = np_sql_lock(store);
    if (rc)
        return rc;
    rc = store->driver->schema_get(store, &version);
    for (int i = version; rc == 0 && i < NP_STORE_SCHEMA; i++) {
        rc = store->driver->schema_run(store, schemas[i]);
        if (rc == 0 && schemas[i] == schema_11)
            rc = store->driver->append_only(store, "audit");
    }
    if (rc == 0 && version < NP_STORE_SCHEMA)
        rc = store->driver->schema_set(store, NP_STORE_SCHEMA);
    if (rc)
        store->lost = true; /* all or nothing */
    char kept[sizeof store->error];
    memcpy(kept, store->error, sizeof kept);
    int committed = np_sql_commit(store);
    if (rc)
        memcpy(store->error, kept, sizeof kept);
    return rc ? rc : committed;
}

int np_schema_check(struct np_store *store, const char *where, bool read_only, char *error, size_t size)
{
    int version = 0;
    int rc = store->driver->schema_get(store, &version);
    if (rc == 0 && version > NP_STORE_SCHEMA) {
        snprintf(error, size, "%s has schema %d, this nameplate-hq knows schemas up to %d: run a newer nameplate-hq",
                 where, version, NP_STORE_SCHEMA);
        return NP_E_VERSION;
    }
    if (rc == 0 && version == 0 && read_only) {
        snprintf(error, size, "%s is not a database of nameplate-hq", where);
        return NP_E_STORE;
    }
    if (rc == 0 && version < NP_STORE_SCHEMA && read_only) {
        snprintf(error, size, "%s has the older schema %d: 'nameplate-hq serve' brings it up to date", where, version);
        return NP_E_VERSION;
    }
    if (rc == 0 && version < NP_STORE_SCHEMA)
        rc = bring_up_to_date(store);
    if (rc)
        snprintf(error, size, "%s: %s", where, store->error);
    return rc;
}

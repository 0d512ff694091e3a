#include "hq/store/sql.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "resolver/base/error.h"

int np_sql_fail(struct np_store *store)
{
    int code = sqlite3_errcode(store->db);
    snprintf(store->error, sizeof store->error, "%s", sqlite3_errmsg(store->db));
    /* After some errors (disk full, I/O, no memory) SQLite has ended the transaction by itself. */
    if (store->in_transaction && sqlite3_get_autocommit(store->db))
        store->lost = true;
    return code == SQLITE_BUSY || code == SQLITE_LOCKED || code == SQLITE_FULL ? -EAGAIN : NP_E_STORE;
}

static int corrupt(struct np_store *store, const char *what)
{
    snprintf(store->error, sizeof store->error, "unexpected content in the database: %s", what);
    return NP_E_STORE;
}

struct np_sql np_sql_start(struct np_store *store, const char *text)
{
    struct np_sql q = {.store = store};
    size_t i = 0;
    while (i < NP_SQL_CACHE_MAX && store->cache[i].text && store->cache[i].text != text)
        i++;
    if (i == NP_SQL_CACHE_MAX) {
        q.rc = corrupt(store, "too many different statements");
        return q;
    }
    if (!store->cache[i].text) {
        if (sqlite3_prepare_v3(store->db, text, -1, SQLITE_PREPARE_PERSISTENT, &store->cache[i].statement, NULL)) {
            q.rc = np_sql_fail(store);
            return q;
        }
        store->cache[i].text = text;
    }
    q.statement = store->cache[i].statement;
    return q;
}

static void bind_result(struct np_sql *q, int code)
{
    if (code != SQLITE_OK)
        q->rc = np_sql_fail(q->store);
}

void np_sql_text(struct np_sql *q, const char *value)
{
    if (!q->rc)
        bind_result(q, sqlite3_bind_text(q->statement, ++q->bound, value, -1, SQLITE_STATIC));
}

void np_sql_blob(struct np_sql *q, const void *value, size_t len)
{
    if (!q->rc)
        bind_result(q, sqlite3_bind_blob(q->statement, ++q->bound, value, (int)len, SQLITE_STATIC));
}

void np_sql_int(struct np_sql *q, int64_t value)
{
    if (!q->rc)
        bind_result(q, sqlite3_bind_int64(q->statement, ++q->bound, value));
}

bool np_sql_next(struct np_sql *q)
{
    if (q->rc)
        return false;
    q->column = 0;
    int code = sqlite3_step(q->statement);
    if (code == SQLITE_ROW)
        return true;
    if (code != SQLITE_DONE) {
        int extended = sqlite3_extended_errcode(q->store->db);
        q->rc = np_sql_fail(q->store);
        if (extended == SQLITE_CONSTRAINT_UNIQUE || extended == SQLITE_CONSTRAINT_PRIMARYKEY)
            q->rc = -EEXIST;
    }
    return false;
}

int np_sql_run(struct np_sql *q)
{
    while (np_sql_next(q))
        ;
    return np_sql_finish(q);
}

int np_sql_finish(struct np_sql *q)
{
    if (q->statement) {
        sqlite3_reset(q->statement);
        sqlite3_clear_bindings(q->statement);
        q->statement = NULL;
    }
    return q->rc;
}

void np_sql_get_blob(struct np_sql *q, void *out, size_t size, size_t *out_len)
{
    *out_len = 0;
    if (q->rc)
        return;
    int column = q->column++;
    const void *data = sqlite3_column_blob(q->statement, column);
    int len = sqlite3_column_bytes(q->statement, column);
    if (len < 0 || (size_t)len > size) {
        q->rc = corrupt(q->store, sqlite3_column_name(q->statement, column));
        return;
    }
    if (len > 0)
        memcpy(out, data, (size_t)len);
    *out_len = (size_t)len;
}

void np_sql_get_bytes(struct np_sql *q, void *out, size_t len)
{
    size_t got = 0;
    np_sql_get_blob(q, out, len, &got);
    if (!q->rc && got != len)
        q->rc = corrupt(q->store, sqlite3_column_name(q->statement, q->column - 1));
}

void np_sql_get_text(struct np_sql *q, char *out, size_t size)
{
    size_t len = 0;
    np_sql_get_blob(q, out, size - 1, &len);
    out[len] = 0;
    if (!q->rc && strlen(out) != len)
        q->rc = corrupt(q->store, sqlite3_column_name(q->statement, q->column - 1));
}

int64_t np_sql_get_int(struct np_sql *q)
{
    return q->rc ? 0 : sqlite3_column_int64(q->statement, q->column++);
}

static int execute(struct np_store *store, const char *text)
{
    struct np_sql q = np_sql_start(store, text);
    return np_sql_run(&q);
}

int np_sql_begin(struct np_store *store)
{
    static const char begin[] = "BEGIN IMMEDIATE", savepoint[] = "SAVEPOINT one";
    if (store->lost) {
        snprintf(store->error, sizeof store->error, "an earlier write of this turn has failed");
        return -EAGAIN;
    }
    if (!store->in_transaction) {
        int rc = execute(store, begin);
        if (rc)
            return rc;
        store->in_transaction = true;
    }
    store->savepoint = store->pending;
    return execute(store, savepoint);
}

int np_sql_end(struct np_store *store, int rc)
{
    static const char release[] = "RELEASE one", undo[] = "ROLLBACK TO one";
    if (rc) {
        store->pending = store->savepoint;
        if (store->lost)
            return rc;
        char kept[sizeof store->error];
        memcpy(kept, store->error, sizeof kept);
        if (execute(store, undo) || execute(store, release))
            store->lost = true; /* what the transaction holds is not known any more: it must not be committed */
        memcpy(store->error, kept, sizeof kept);
        return rc;
    }
    rc = execute(store, release);
    if (rc) {
        store->pending = store->savepoint;
        store->lost = true;
    }
    return rc;
}

void np_sql_addresses_format(const struct np_addresses *addresses, char out[NP_SQL_ADDRESSES_MAX])
{
    size_t used = 0;
    out[0] = 0;
    for (size_t i = 0; i < addresses->v4_count + addresses->v6_count; i++) {
        char text[NP_ADDR_TEXT_MAX];
        const struct np_addr *addr =
            i < addresses->v4_count ? &addresses->v4[i] : &addresses->v6[i - addresses->v4_count];
        used +=
            (size_t)snprintf(out + used, NP_SQL_ADDRESSES_MAX - used, "%s%s", i ? " " : "", np_addr_format(addr, text));
    }
}

void np_sql_get_addresses(struct np_sql *q, struct np_addresses *out_addresses)
{
    char text[NP_SQL_ADDRESSES_MAX];
    struct np_addresses addresses = {0};
    np_sql_get_text(q, text, sizeof text);
    char *rest = text;
    for (char *word; !q->rc && (word = strsep(&rest, " "));) {
        struct np_addr addr;
        if (!*word)
            continue;
        if (np_addr_parse(word, &addr))
            q->rc = corrupt(q->store, "an address");
        else if (addr.family == AF_INET && addresses.v4_count < NP_WIRE_V4_MAX)
            addresses.v4[addresses.v4_count++] = addr;
        else if (addr.family == AF_INET6 && addresses.v6_count < NP_WIRE_V6_MAX)
            addresses.v6[addresses.v6_count++] = addr;
        else
            q->rc = corrupt(q->store, "too many addresses");
    }
    if (!q->rc)
        *out_addresses = addresses;
}

int np_sql_count_since(struct np_store *store, const char *text, const char *device, int64_t since, int64_t *out_count,
                       int64_t *out_oldest)
{
    int64_t values[2] = {0, 0};
    struct np_sql q = np_sql_start(store, text);
    np_sql_text(&q, device);
    np_sql_int(&q, since);
    if (np_sql_next(&q)) {
        values[0] = np_sql_get_int(&q);
        values[1] = np_sql_get_int(&q);
    }
    int rc = np_sql_finish(&q);
    if (rc == 0) {
        *out_count = values[0];
        *out_oldest = values[1];
    }
    return rc;
}

#include "hq/store/sql.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "hq/store/driver.h"
#include "resolver/base/error.h"
#include "resolver/base/monotonic.h"

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
    store->cache[i].text = text;
    q.statement = &store->cache[i];
    return q;
}

static void add_value(struct np_sql *q, struct np_sql_value value)
{
    if (q->rc)
        return;
    if (q->bound == NP_SQL_VALUES_MAX)
        q->rc = corrupt(q->store, "too many values");
    else
        q->values[q->bound++] = value;
}

void np_sql_text(struct np_sql *q, const char *value)
{
    add_value(q, (struct np_sql_value){.kind = NP_SQL_TEXT, .data = value, .len = strlen(value)});
}

void np_sql_blob(struct np_sql *q, const void *value, size_t len)
{
    add_value(q, (struct np_sql_value){.kind = NP_SQL_BLOB, .data = value, .len = len});
}

void np_sql_name(struct np_sql *q, const char *name)
{
    size_t len = strnlen(name, NP_NAME_MAX);
    for (size_t i = 0; i < len; i++)
        q->name[i] = name[i] >= 'A' && name[i] <= 'Z' ? (char)(name[i] + 'a' - 'A') : name[i];
    add_value(q, (struct np_sql_value){.kind = NP_SQL_TEXT, .data = q->name, .len = len});
}

void np_sql_int(struct np_sql *q, int64_t value)
{
    add_value(q, (struct np_sql_value){.kind = NP_SQL_INT, .number = value});
}

bool np_sql_next(struct np_sql *q)
{
    if (q->rc)
        return false;
    q->column = 0;
    int rc = q->store->driver->next(q);
    if (rc < 0)
        q->rc = rc;
    return rc > 0;
}

int np_sql_run(struct np_sql *q)
{
    while (np_sql_next(q))
        ;
    return np_sql_finish(q);
}

int np_sql_run_found(struct np_sql *q, int none)
{
    if (np_sql_next(q))
        return np_sql_run(q);
    int rc = np_sql_finish(q);
    return rc ? rc : none;
}

int np_sql_finish(struct np_sql *q)
{
    if (q->statement)
        q->store->driver->finish(q);
    q->statement = NULL;
    return q->rc;
}

void np_sql_get_blob(struct np_sql *q, void *out, size_t size, size_t *out_len)
{
    const void *data = NULL;
    size_t len = 0;
    *out_len = 0;
    if (q->rc)
        return;
    int column = q->column++;
    q->rc = q->store->driver->get_bytes(q, column, &data, &len);
    if (q->rc == 0 && len > size)
        q->rc = corrupt(q->store, q->store->driver->column_name(q, column));
    if (q->rc)
        return;
    if (len > 0)
        memcpy(out, data, len);
    *out_len = len;
}

void np_sql_get_bytes(struct np_sql *q, void *out, size_t len)
{
    size_t got = 0;
    np_sql_get_blob(q, out, len, &got);
    if (!q->rc && got != len)
        q->rc = corrupt(q->store, q->store->driver->column_name(q, q->column - 1));
}

void np_sql_get_text(struct np_sql *q, char *out, size_t size)
{
    size_t len = 0;
    np_sql_get_blob(q, out, size - 1, &len);
    out[len] = 0;
    if (!q->rc && strlen(out) != len)
        q->rc = corrupt(q->store, q->store->driver->column_name(q, q->column - 1));
}

int64_t np_sql_get_int(struct np_sql *q)
{
    return q->rc ? 0 : q->store->driver->get_int(q, q->column++);
}

static int begin(struct np_store *store)
{
    int64_t asked_ms = np_monotonic_ms();
    if (asked_ms < store->pause_until_ms) {
        snprintf(store->error, sizeof store->error, "it could not be written to a moment ago; it is tried again");
        return -EAGAIN;
    }
    int rc = store->driver->begin(store);
    int64_t now_ms = np_monotonic_ms(), waited_ms = now_ms - asked_ms;
    if (rc)
        store->pause_until_ms = now_ms + (waited_ms < NP_SQL_PAUSE_MAX_MS ? waited_ms : NP_SQL_PAUSE_MAX_MS);
    return rc;
}

int np_sql_lock(struct np_store *store)
{
    if (store->lost) {
        snprintf(store->error, sizeof store->error, "an earlier write of this turn has failed");
        return -EAGAIN;
    }
    if (store->in_transaction)
        return 0;
    int rc = begin(store);
    if (rc)
        return rc;
    store->in_transaction = true;
    /* Once is enough: nobody else can take the lease before this transaction ends. */
    rc = np_sql_check_fence(store);
    if (rc == 0)
        return 0;
    if (rc == NP_E_STALE)
        snprintf(store->error, sizeof store->error, "another HQ has taken over this one's work");
    char kept[sizeof store->error];
    memcpy(kept, store->error, sizeof kept);
    store->driver->rollback(store);
    memcpy(store->error, kept, sizeof kept);
    store->in_transaction = store->lost = false;
    return -EAGAIN;
}

int np_sql_begin(struct np_store *store)
{
    int rc = np_sql_lock(store);
    if (rc)
        return rc;
    store->savepoint = store->pending;
    rc = store->driver->savepoint(store);
    if (rc)
        return rc;
    if (store->depth++ == 0 && !store->unit.open)
        store->unit.pending = store->pending;
    return 0;
}

static int end_savepoint(struct np_store *store, int rc)
{
    if (rc) {
        store->pending = store->savepoint;
        if (store->lost)
            return rc;
        char kept[sizeof store->error];
        memcpy(kept, store->error, sizeof kept);
        if (store->driver->undo(store))
            store->lost = true; /* what the transaction holds is not known any more: it must not be committed */
        memcpy(store->error, kept, sizeof kept);
        return rc;
    }
    rc = store->driver->release(store);
    if (rc) {
        store->pending = store->savepoint;
        store->lost = true;
    }
    return rc;
}

int np_sql_end(struct np_store *store, int rc)
{
    store->depth--;
    if (rc == 0 && store->depth == 0 && store->unit.running && !store->unit.open) {
        store->unit.open = true;
        return 0;
    }
    return end_savepoint(store, rc);
}

void np_sql_unit_begin(struct np_store *store)
{
    store->unit = (struct np_sql_unit){.running = true};
}

int np_sql_unit_end(struct np_store *store, int rc)
{
    bool open = store->unit.open;
    store->savepoint = store->unit.pending;
    store->unit = (struct np_sql_unit){.running = false};
    return open ? end_savepoint(store, rc) : rc;
}

int np_sql_commit(struct np_store *store)
{
    store->unit = (struct np_sql_unit){.running = false};
    store->depth = 0;
    if (!store->in_transaction)
        return 0;
    int rc = store->lost ? -EAGAIN : store->driver->commit(store, store->pending);
    if (rc) {
        char kept[sizeof store->error];
        memcpy(kept, store->error, sizeof kept);
        store->driver->rollback(store);
        memcpy(store->error, kept, sizeof kept);
    }
    store->in_transaction = false;
    store->lost = false;
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

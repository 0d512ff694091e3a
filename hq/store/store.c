#include "hq/store/store.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hq/store/driver.h"
#include "hq/store/postgres.h"
#include "hq/store/schema.h"
#include "resolver/base/error.h"

bool np_store_is_server(const char *where)
{
    return strncmp(where, "postgresql://", 13) == 0 || strncmp(where, "postgres://", 11) == 0;
}

void np_store_describe(const char *where, char *out, size_t size)
{
    if (np_store_is_server(where))
        np_pg_describe(where, out, size);
    else
        snprintf(out, size, "%s", where);
}

int np_store_open(const char *where, bool read_only, struct np_store **out_store, char *error, size_t size)
{
    char shown[256];
    int rc = -ENOMEM;
    struct np_store *store = calloc(1, sizeof *store);
    if (!store) {
        snprintf(error, size, "%s", np_strerror(rc));
        return rc;
    }
    store->driver = np_store_is_server(where) ? &np_sql_postgres : &np_sql_sqlite;
    np_store_describe(where, shown, sizeof shown);
    rc = store->driver->open(store, where, read_only, error, size);
    if (rc == 0)
        rc = np_schema_check(store, shown, read_only, error, size);
    if (rc) {
        np_store_close(store);
        return rc;
    }
    *out_store = store;
    return 0;
}

void np_store_close(struct np_store *store)
{
    if (!store)
        return;
    store->lost = store->in_transaction; /* its end undoes it */
    if (store->connection)
        np_store_commit(store);
    for (size_t i = 0; i < NP_SQL_CACHE_MAX; i++) {
        if (store->cache[i].prepared)
            store->driver->forget(store, &store->cache[i]);
    }
    store->driver->close(store);
    free(store->marks);
    free(store);
}

int np_store_lock(struct np_store *store)
{
    return np_sql_lock(store);
}

bool np_store_is_locked(const struct np_store *store)
{
    return store->in_transaction;
}

void np_store_unit_begin(struct np_store *store)
{
    np_sql_unit_begin(store);
}

int np_store_unit_end(struct np_store *store, int rc)
{
    return np_sql_unit_end(store, rc);
}

static int commit(struct np_store *store)
{
    int rc = np_sql_commit(store);
    if (rc == 0)
        store->events |= store->pending;
    store->pending = 0;
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

unsigned np_store_heard(struct np_store *store)
{
    return store->driver->heard(store);
}

void np_store_set_patience(struct np_store *store, int ms)
{
    store->driver->set_patience(store, ms);
}

/* The queue of orders: those under way, the lanes of those that wait, and those in backoff. */
#include "hq/store/sql.h"
#include "resolver/base/error.h"

_Static_assert(NP_ORDER_QUEUED == 0 && NP_ORDER_ORDERED == 1 && NP_ORDER_ISSUED == 7 && NP_ORDER_BACKOFF == 9,
               "the statements' numbers");

static int each_order(struct np_sql *q, np_store_order_fn *each, void *ctx)
{
    int stopped = 0;
    while (!stopped && np_sql_next(q)) {
        struct np_order order;
        np_sql_get_order(q, &order);
        if (!q->rc)
            q->rc = np_sql_order_names(q->store, &order);
        if (!q->rc)
            stopped = each(ctx, &order);
    }
    int rc = np_sql_finish(q);
    return rc ? rc : stopped;
}

int np_store_orders_under_way(struct np_store *store, np_store_order_fn *each, void *ctx)
{
    static const char text[] =
        "SELECT " NP_SQL_ORDER_COLUMNS " FROM orders WHERE state BETWEEN 1 AND 7 OR (state = 0 AND begun = 1)"
        " ORDER BY priority, created_ms";
    struct np_sql q = np_sql_start(store, text);
    return each_order(&q, each, ctx);
}

struct np_lane np_order_lane(const struct np_order *order)
{
    return (struct np_lane){order->priority, order->renews == 0};
}

int np_store_queue_each(struct np_store *store, struct np_lane lane, size_t limit, np_store_order_fn *each, void *ctx)
{
    static const char text[] =
        "SELECT " NP_SQL_ORDER_COLUMNS " FROM orders q WHERE state = 0 AND begun = 0 AND priority = ? AND fresh = ?"
        " AND NOT EXISTS (SELECT 1 FROM orders o WHERE o.device = q.device"
        " AND (o.state BETWEEN 1 AND 7 OR (o.state = 0 AND o.begun = 1))) ORDER BY created_ms LIMIT ?";
    struct np_sql q = np_sql_start(store, text);
    np_sql_int(&q, lane.priority);
    np_sql_int(&q, lane.fresh);
    np_sql_int(&q, (int64_t)limit);
    return each_order(&q, each, ctx);
}

int np_store_queue_refill(struct np_store *store, int64_t now_ms)
{
    static const char text[] =
        "UPDATE orders SET state = 0, begun = 0, updated_ms = ? WHERE state = 9 AND next_try_ms <= ?";
    int64_t next_ms;
    int rc = np_store_queue_next_try(store, &next_ms);
    if (rc || next_ms > now_ms)
        return rc; /* the usual case writes nothing */
    rc = np_sql_begin(store);
    if (rc)
        return rc;
    struct np_sql q = np_sql_start(store, text);
    np_sql_int(&q, now_ms);
    np_sql_int(&q, now_ms);
    return np_sql_end(store, np_sql_run(&q));
}

int np_store_queue_next_try(struct np_store *store, int64_t *out_ms)
{
    static const char text[] = "SELECT next_try_ms FROM orders WHERE state = 9 ORDER BY next_try_ms LIMIT 1";
    struct np_sql q = np_sql_start(store, text);
    int64_t next = np_sql_next(&q) ? np_sql_get_int(&q) : INT64_MAX;
    int rc = np_sql_finish(&q);
    if (rc == 0)
        *out_ms = next;
    return rc;
}

int np_store_order_hurry(struct np_store *store, const char *id, enum np_order_priority priority)
{
    static const char text[] =
        "UPDATE orders SET priority = ? WHERE id = ? AND (state = 9 OR (state = 0 AND begun = 0)) AND priority > ?";
    int rc = np_sql_begin(store);
    if (rc)
        return rc;
    struct np_sql q = np_sql_start(store, text);
    np_sql_int(&q, priority);
    np_sql_text(&q, id);
    np_sql_int(&q, priority);
    return np_sql_end(store, np_sql_run(&q));
}

/* A new order at the CA has new URLs and values. */
static int forget_urls(struct np_store *store, const char *id)
{
    static const char text[] = "UPDATE \"authorization\" SET url = '', challenge = '', txt = '' WHERE order_id = ?1";
    struct np_sql q = np_sql_start(store, text);
    np_sql_text(&q, id);
    return np_sql_run(&q);
}

int np_store_order_retry(struct np_store *store, const char *id, int64_t now_ms)
{
    static const char text[] =
        "UPDATE orders SET state = 0, begun = 0, attempts = 0, next_try_ms = 0, order_url = '', finalize_url = '',"
        " certificate_url = '', updated_ms = ?1 WHERE id = ?2 AND state IN (9, 10) RETURNING 1";
    int rc = np_sql_begin(store);
    if (rc)
        return rc;
    struct np_sql q = np_sql_start(store, text);
    np_sql_int(&q, now_ms);
    np_sql_text(&q, id);
    rc = np_sql_run_found(&q, NP_E_NOT_FOUND);
    if (rc == 0)
        rc = forget_urls(store, id);
    if (rc == 0)
        store->pending |= NP_STORE_ORDERS_CHANGED;
    return np_sql_end(store, rc);
}

int np_store_orders_supersede(struct np_store *store, const char *device, int64_t now_ms)
{
    static const char text[] = "UPDATE orders SET state = 10, error = 'a newer CSR has taken its place', updated_ms = ?"
                               " WHERE device = ? AND (state = 9 OR (state = 0 AND begun = 0))";
    _Static_assert(NP_ORDER_DEAD == 10, "the statement's number");
    int rc = np_sql_begin(store);
    if (rc)
        return rc;
    struct np_sql q = np_sql_start(store, text);
    np_sql_int(&q, now_ms);
    np_sql_text(&q, device);
    return np_sql_end(store, np_sql_run(&q));
}

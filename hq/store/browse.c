/* Pages of orders, and one device's history. */
#include "hq/store/browse.h"

#include <string.h>

#include "hq/store/sql.h"

const char *np_device_filter_name(enum np_device_filter filter)
{
    static const char *const names[] = {"all", "active", "silent", "blocked", "retired"};
    return (size_t)filter < sizeof names / sizeof *names ? names[filter] : NULL;
}

enum np_device_filter np_device_shown_state(const struct np_device *device)
{
    if (device->state == NP_DEVICE_RETIRED)
        return NP_DEVICES_RETIRED;
    if (device->state == NP_DEVICE_BLOCKED)
        return NP_DEVICES_BLOCKED;
    return device->silent_s ? NP_DEVICES_SILENT : NP_DEVICES_ACTIVE;
}

int np_order_state_parse(const char *word)
{
    for (int state = 0; state < NP_CENSUS_ORDER_STATES; state++) {
        if (strcmp(np_order_state_name((enum np_order_state)state), word) == 0)
            return state;
    }
    return -1;
}

/* ---- Orders ---- */

static int each_order(struct np_sql *q, np_store_order_fn *each, void *ctx)
{
    int stopped = 0;
    while (!stopped && np_sql_next(q)) {
        struct np_order order = {0};
        np_sql_get_order(q, &order);
        if (!q->rc)
            q->rc = np_sql_order_names(q->store, &order);
        if (!q->rc)
            stopped = each(ctx, &order);
    }
    int rc = np_sql_finish(q);
    return rc ? rc : stopped;
}

int np_store_orders_page(struct np_store *store, enum np_order_state state, size_t limit, np_store_order_fn *each,
                         void *ctx)
{
    static const char text[] = "SELECT " NP_SQL_ORDER_COLUMNS " FROM orders WHERE state = ?1"
                               " ORDER BY begun, priority, fresh, created_ms LIMIT ?2";
    struct np_sql q = np_sql_start(store, text);
    np_sql_int(&q, state);
    np_sql_int(&q, (int64_t)limit);
    return each_order(&q, each, ctx);
}

int np_store_orders_of(struct np_store *store, const char *device, size_t limit, np_store_order_fn *each, void *ctx)
{
    static const char text[] =
        "SELECT " NP_SQL_ORDER_COLUMNS " FROM orders WHERE device = ?1 ORDER BY created_ms DESC, id LIMIT ?2";
    struct np_sql q = np_sql_start(store, text);
    np_sql_text(&q, device);
    np_sql_int(&q, (int64_t)limit);
    return each_order(&q, each, ctx);
}

/* ---- Timeline ---- */

const char *np_timeline_kind_name(enum np_timeline_kind kind)
{
    static const char *const names[] = {
#define NP_TIMELINE_TEXT(name, text) text,
        NP_TIMELINE_KIND_MAP(NP_TIMELINE_TEXT)
#undef NP_TIMELINE_TEXT
    };
    return names[kind];
}

_Static_assert(NP_ORDER_BACKOFF == 9 && NP_ORDER_DEAD == 10 && NP_TIMELINE_ORDER == 1 && NP_TIMELINE_BACKOFF == 2 &&
                   NP_TIMELINE_DEAD == 3 && NP_TIMELINE_PACKAGE == 4 && NP_TIMELINE_TOMBSTONE == 6 &&
                   NP_TIMELINE_REVOCATION == 8,
               "the statement's numbers");

/* The newest rows first. */
static int read_rows(struct np_store *store, const struct np_device *device, size_t limit,
                     struct np_timeline_event *out_events, size_t *out_count)
{
    static const char text[] =
        "SELECT at_ms, kind, ref, n, detail FROM ("
        "SELECT created_ms AS at_ms, 1 AS kind, id AS ref, renews AS n, '' AS detail FROM orders WHERE device = ?1"
        " UNION ALL SELECT updated_ms, CASE WHEN state = 9 THEN 2 ELSE 3 END, id, 0, error FROM orders"
        " WHERE device = ?1 AND state IN (9, 10)"
        " UNION ALL SELECT created_ms, 4, order_id, n, ca FROM package WHERE device = ?1"
        " UNION ALL SELECT since_s * 1000, 6, '', 0, '' FROM tombstone WHERE name = ?2"
        " UNION ALL SELECT next_try_ms, 8, '', n, CASE WHEN state = 0 THEN 'to be told' WHEN state = 1 THEN 'done'"
        " ELSE 'it ended first' END FROM revocation WHERE device = ?1"
        ") events ORDER BY at_ms DESC, kind DESC LIMIT ?3";
    struct np_sql q = np_sql_start(store, text);
    size_t count = 0;
    np_sql_text(&q, device->id);
    np_sql_name(&q, device->name);
    np_sql_int(&q, (int64_t)limit);
    while (count < limit && np_sql_next(&q)) {
        struct np_timeline_event *event = &out_events[count];
        *event = (struct np_timeline_event){.at_ms = np_sql_get_int(&q)};
        event->kind = (enum np_timeline_kind)np_sql_get_int(&q);
        np_sql_get_text(&q, event->order, sizeof event->order);
        event->n = np_sql_get_int(&q);
        np_sql_get_text(&q, event->detail, sizeof event->detail);
        count += !q.rc;
    }
    *out_count = count;
    return np_sql_finish(&q);
}

/* Puts an event at its place in a list of the newest first; the oldest falls out of a full one. */
static void insert(struct np_timeline_event *events, size_t *count, size_t limit, enum np_timeline_kind kind,
                   int64_t at_ms)
{
    size_t at = 0;
    while (at < *count && events[at].at_ms > at_ms)
        at++;
    if (at == limit)
        return;
    if (*count < limit)
        ++*count;
    memmove(events + at + 1, events + at, (*count - 1 - at) * sizeof *events);
    events[at] = (struct np_timeline_event){.at_ms = at_ms, .kind = kind};
}

int np_store_timeline(struct np_store *store, const struct np_device *device, size_t limit,
                      struct np_timeline_event *out_events, size_t *out_count)
{
    size_t count = 0;
    if (limit > NP_TIMELINE_MAX)
        limit = NP_TIMELINE_MAX;
    int rc = read_rows(store, device, limit, out_events, &count);
    if (rc)
        return rc;
    insert(out_events, &count, limit, NP_TIMELINE_ENROLLED, device->created_s * 1000);
    if (device->silent_s)
        insert(out_events, &count, limit, NP_TIMELINE_SILENT, device->silent_s * 1000);
    /* Known to the second: behind what the same request has led to. */
    insert(out_events, &count, limit, NP_TIMELINE_SEEN, device->last_seen_s * 1000 + 999);
    for (size_t i = 0; i < count / 2; i++) {
        struct np_timeline_event event = out_events[i];
        out_events[i] = out_events[count - 1 - i];
        out_events[count - 1 - i] = event;
    }
    *out_count = count;
    return 0;
}

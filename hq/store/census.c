/* The fleet in numbers. Each statement is answered from an index, or from a table of narrow rows. */
#include <string.h>

#include "hq/store/browse.h"
#include "hq/store/sql.h"

_Static_assert(NP_DEVICE_ACTIVE == 0 && NP_DEVICE_RETIRED == 2 && NP_CREDENTIAL_OPEN == 0 && NP_ORDER_QUEUED == 0 &&
                   NP_ORDER_ISSUED == 7 && NP_ORDER_DONE == 8 && NP_ORDER_BACKOFF == 9,
               "the statements' numbers");

#define DAY_S 86400

static int count_devices(struct np_store *store, struct np_census *census)
{
    static const char text[] =
        "SELECT state, CASE WHEN silent_s <> 0 THEN 1 ELSE 0 END, CASE WHEN credential = 0 THEN 1 ELSE 0 END, count(*)"
        " FROM device GROUP BY 1, 2, 3";
    struct np_sql q = np_sql_start(store, text);
    while (np_sql_next(&q)) {
        int64_t state = np_sql_get_int(&q), silent = np_sql_get_int(&q), open = np_sql_get_int(&q);
        int64_t count = np_sql_get_int(&q);
        int64_t *into = state == NP_DEVICE_RETIRED   ? &census->retired
                        : state == NP_DEVICE_BLOCKED ? &census->blocked
                        : silent                     ? &census->silent
                                                     : &census->active;
        *into += count;
        census->open += open ? count : 0;
    }
    return np_sql_finish(&q);
}

static int count_seen(struct np_store *store, struct np_census *census)
{
    static const char text[] = "SELECT count(*) FROM device WHERE state <> 2 AND silent_s = 0 AND last_seen_s > ?1";
    struct np_sql q = np_sql_start(store, text);
    np_sql_int(&q, census->now_s - DAY_S);
    census->seen_day = np_sql_next(&q) ? np_sql_get_int(&q) : 0;
    return np_sql_finish(&q);
}

static int count_versions(struct np_store *store, struct np_census *census)
{
    static const char text[] = "SELECT version, count(*) FROM device WHERE state = 0 GROUP BY version"
                               " ORDER BY 2 DESC, 1 LIMIT ?1";
    struct np_sql q = np_sql_start(store, text);
    np_sql_int(&q, NP_CENSUS_VERSIONS_MAX);
    while (census->version_count < NP_CENSUS_VERSIONS_MAX && np_sql_next(&q)) {
        struct np_census_version *version = &census->versions[census->version_count++];
        np_sql_get_text(&q, version->version, sizeof version->version);
        version->count = np_sql_get_int(&q);
    }
    return np_sql_finish(&q);
}

static int count_certificates(struct np_store *store, struct np_census *census)
{
    /* Rounded down also below zero: SQL's division rounds towards it. */
    static const char text[] =
        "SELECT CASE WHEN not_after_s <= ?1 THEN -1 ELSE (not_after_s - ?1) / 86400 END, count(*),"
        " sum(CASE WHEN point_ms < ?2 THEN 1 ELSE 0 END) FROM renewal GROUP BY 1";
    struct np_sql q = np_sql_start(store, text);
    np_sql_int(&q, census->now_s);
    np_sql_int(&q, (census->now_s - DAY_S) * 1000);
    while (np_sql_next(&q)) {
        int64_t day = np_sql_get_int(&q), count = np_sql_get_int(&q);
        census->overdue += np_sql_get_int(&q);
        census->certificates += count;
        if (day < 0)
            census->expired += count;
        else
            census->days[day < NP_CENSUS_DAYS_MAX ? day : NP_CENSUS_DAYS_MAX - 1] += count;
    }
    return np_sql_finish(&q);
}

static int count_orders(struct np_store *store, struct np_census *census)
{
    /* Done orders are the whole past: not counted. */
    static const char text[] = "SELECT state, begun, priority, fresh, count(*) FROM orders WHERE state < 8 OR state > 8"
                               " GROUP BY state, begun, priority, fresh";
    struct np_sql q = np_sql_start(store, text);
    while (np_sql_next(&q)) {
        int64_t state = np_sql_get_int(&q), begun = np_sql_get_int(&q), priority = np_sql_get_int(&q);
        int64_t fresh = np_sql_get_int(&q), count = np_sql_get_int(&q);
        if (state < 0 || state >= NP_CENSUS_ORDER_STATES || priority < 0 || priority > NP_PRIORITY_OPEN)
            continue;
        census->orders[state] += count;
        if (state == NP_ORDER_QUEUED && !begun)
            census->lanes[priority][fresh != 0] += count;
    }
    return np_sql_finish(&q);
}

static struct np_census_ca *find_ca(struct np_census *census, const char *ca)
{
    for (size_t i = 0; i < census->ca_count; i++) {
        if (strcmp(census->cas[i].ca, ca) == 0)
            return &census->cas[i];
    }
    if (census->ca_count == NP_CENSUS_CAS_MAX)
        return NULL;
    struct np_census_ca *added = &census->cas[census->ca_count++];
    memcpy(added->ca, ca, strlen(ca) + 1);
    return added;
}

static int count_cas(struct np_store *store, struct np_census *census)
{
    static const char text[] = "SELECT ca, state, count(*) FROM orders WHERE state BETWEEN 1 AND 7 OR state = 9"
                               " GROUP BY ca, state";
    struct np_sql q = np_sql_start(store, text);
    while (np_sql_next(&q)) {
        char name[NP_URL_MAX + 1];
        np_sql_get_text(&q, name, sizeof name);
        int64_t state = np_sql_get_int(&q), count = np_sql_get_int(&q);
        struct np_census_ca *ca = q.rc ? NULL : find_ca(census, name);
        if (ca && state > 0 && state < NP_CENSUS_ORDER_STATES)
            ca->states[state] = count;
    }
    return np_sql_finish(&q);
}

static int read_errors(struct np_store *store, struct np_census *census)
{
    static const char text[] =
        "SELECT o.id, o.device, coalesce(d.name, ''), o.state, o.updated_ms, o.error FROM orders o"
        " LEFT JOIN device d ON d.id = o.device WHERE o.state IN (9, 10)"
        " ORDER BY o.updated_ms DESC LIMIT ?1";
    struct np_sql q = np_sql_start(store, text);
    np_sql_int(&q, NP_CENSUS_ERRORS_MAX);
    while (census->error_count < NP_CENSUS_ERRORS_MAX && np_sql_next(&q)) {
        struct np_census_error *error = &census->errors[census->error_count++];
        np_sql_get_text(&q, error->order, sizeof error->order);
        np_sql_get_text(&q, error->device, sizeof error->device);
        np_sql_get_text(&q, error->name, sizeof error->name);
        error->state = (enum np_order_state)np_sql_get_int(&q);
        error->at_ms = np_sql_get_int(&q);
        np_sql_get_text(&q, error->error, sizeof error->error);
    }
    return np_sql_finish(&q);
}

static int count_rest(struct np_store *store, struct np_census *census)
{
    static const char text[] = "SELECT (SELECT count(*) FROM dirty), (SELECT count(*) FROM revocation WHERE state = 0)";
    struct np_sql q = np_sql_start(store, text);
    if (np_sql_next(&q)) {
        census->dirty = np_sql_get_int(&q);
        census->revocations = np_sql_get_int(&q);
    }
    return np_sql_finish(&q);
}

int np_store_census(struct np_store *store, int64_t now_s, struct np_census *out_census)
{
    static int (*const counts[])(struct np_store *,
                                 struct np_census *) = {count_devices, count_seen, count_versions, count_certificates,
                                                        count_orders,  count_cas,  read_errors,    count_rest};
    *out_census = (struct np_census){.now_s = now_s};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        int rc = counts[i](store, out_census);
        if (rc)
            return rc;
    }
    return 0;
}

int64_t np_census_expiring(const struct np_census *census, size_t days)
{
    int64_t count = census->expired;
    for (size_t i = 0; i < days && i < NP_CENSUS_DAYS_MAX; i++)
        count += census->days[i];
    return count;
}

int np_store_dirty_oldest(struct np_store *store, int64_t *out_oldest, int64_t *out_newest)
{
    static const char text[] = "SELECT coalesce((SELECT min(version) FROM dirty), 0),"
                               " coalesce((SELECT value FROM meta WHERE key = 'zone_serial'), 0)";
    struct np_sql q = np_sql_start(store, text);
    int64_t oldest = 0, newest = 0;
    if (np_sql_next(&q)) {
        oldest = np_sql_get_int(&q);
        newest = np_sql_get_int(&q);
    }
    int rc = np_sql_finish(&q);
    if (rc)
        return rc;
    *out_oldest = oldest;
    *out_newest = newest;
    return 0;
}

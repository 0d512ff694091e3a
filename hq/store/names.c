#include <string.h>
#include <time.h>

#include "hq/store/ledger.h"
#include "hq/store/sql.h"
#include "resolver/base/error.h"

/* Whose a name is: a device's own (d), or one that it has beside it (e, by n). */
#define OWNERS(row)                                                                                                    \
    "LEFT JOIN device d ON d.name = " row ".name LEFT JOIN naming n ON n.name = " row ".name AND n.role IN (1, 2)"     \
    " LEFT JOIN device e ON e.id = n.device"

/* Is it shown, and what? */
#define SHOWN                                                                                                          \
    "CASE WHEN (d.state = 0 AND d.silent_s = 0) OR (e.state = 0 AND e.silent_s = 0) THEN 1 ELSE 0 END,"                \
    " coalesce(d.published, e.published, '')"

int np_sql_mark_dirty(struct np_store *store, const char *name)
{
    /* One number is the zone's serial and the mark's version: both only have to grow. */
    static const char step[] = "UPDATE meta SET value = CASE WHEN value + 1 > ?1 THEN value + 1 ELSE ?1 END"
                               " WHERE key = 'zone_serial'";
    static const char mark[] = "INSERT INTO dirty(name, version) SELECT ?, value FROM meta WHERE key = 'zone_serial'"
                               " ON CONFLICT(name) DO UPDATE SET version = excluded.version";
    struct np_sql q = np_sql_start(store, step);
    np_sql_int(&q, time(NULL));
    int rc = np_sql_run(&q);
    if (rc)
        return rc;
    q = np_sql_start(store, mark);
    np_sql_name(&q, name);
    rc = np_sql_run(&q);
    if (rc == 0)
        store->pending |= NP_STORE_NAMES_CHANGED;
    return rc;
}

static int each_name(struct np_sql *q, np_store_name_fn *each, void *ctx)
{
    int stopped = 0;
    while (!stopped && np_sql_next(q)) {
        struct np_zone_name name = {0};
        np_sql_get_text(q, name.name, sizeof name.name);
        name.present = np_sql_get_int(q) != 0;
        np_sql_get_addresses(q, &name.published);
        name.version = np_sql_get_int(q);
        if (!q->rc)
            stopped = each(ctx, &name);
    }
    int rc = np_sql_finish(q);
    return rc ? rc : stopped;
}

int np_store_names_after(struct np_store *store, const char *after, size_t limit, np_store_name_fn *each, void *ctx)
{
    /* Two walks by the indexes of names, merged: the devices' own names, and those that some have beside it. The signs
     * before the states and the CROSS JOIN keep SQLite to these indexes; by the one of states it would read and sort
     * every device for each slice. */
    static const char text[] =
        "SELECT w.name, 1, w.published, coalesce(m.version, 0) FROM ("
        "SELECT a.name, a.published FROM (SELECT name, published FROM device WHERE name > ?1 AND +state = 0"
        " AND +silent_s = 0 ORDER BY name LIMIT ?2) a UNION ALL"
        " SELECT b.name, b.published FROM (SELECT n.name, d.published FROM naming n CROSS JOIN device d"
        " WHERE n.name > ?1 AND n.role IN (1, 2) AND d.id = n.device AND +d.state = 0 AND +d.silent_s = 0"
        " ORDER BY n.name LIMIT ?2) b) w"
        " LEFT JOIN dirty m ON m.name = w.name ORDER BY w.name LIMIT ?2";
    struct np_sql q = np_sql_start(store, text);
    np_sql_name(&q, after);
    np_sql_int(&q, (int64_t)limit);
    return each_name(&q, each, ctx);
}

int np_store_names_gone_after(struct np_store *store, const char *after, size_t limit, np_store_name_fn *each,
                              void *ctx)
{
    static const char text[] =
        "SELECT w.name, 0, '', coalesce(m.version, 0) FROM ("
        "SELECT a.name FROM (SELECT name FROM device WHERE name > ?1 AND (state <> 0 OR silent_s <> 0)"
        " ORDER BY name LIMIT ?2) a UNION ALL"
        " SELECT b.name FROM (SELECT n.name FROM naming n LEFT JOIN device d ON d.id = n.device WHERE n.name > ?1"
        " AND (n.role = 4 OR (n.role IN (1, 2) AND (d.state <> 0 OR d.silent_s <> 0)))"
        " AND NOT EXISTS (SELECT 1 FROM device o WHERE o.name = n.name) ORDER BY n.name LIMIT ?2) b) w"
        " LEFT JOIN dirty m ON m.name = w.name ORDER BY w.name LIMIT ?2";
    struct np_sql q = np_sql_start(store, text);
    np_sql_name(&q, after);
    np_sql_int(&q, (int64_t)limit);
    return each_name(&q, each, ctx);
}

/* Has the query for a name a row? */
static int exists(struct np_store *store, const char *text, const char *name)
{
    struct np_sql q = np_sql_start(store, text);
    np_sql_name(&q, name);
    bool found = np_sql_next(&q);
    int rc = np_sql_finish(&q);
    return rc ? rc : found;
}

int np_store_name_known(struct np_store *store, const char *name)
{
    static const char text[] = "SELECT 1 FROM (SELECT ? AS name) w WHERE EXISTS (SELECT 1 FROM device d WHERE"
                               " d.name = w.name) OR EXISTS (SELECT 1 FROM tombstone t WHERE t.name = w.name)"
                               " OR EXISTS (SELECT 1 FROM naming n WHERE n.name = w.name)";
    return exists(store, text, name);
}

int np_store_name_ordered(struct np_store *store, const char *name)
{
    static const char text[] = "SELECT 1 FROM orders o WHERE o.device IN (SELECT id FROM device WHERE name = ?1"
                               " UNION ALL SELECT device FROM naming WHERE name = ?1 AND role IN (1, 2))"
                               " AND o.state NOT IN (8, 10) LIMIT 1";
    _Static_assert(NP_ORDER_DONE == 8 && NP_ORDER_DEAD == 10, "the statement's numbers");
    return exists(store, text, name);
}

int np_store_dirty_after(struct np_store *store, int64_t after, size_t limit, np_store_name_fn *each, void *ctx)
{
    static const char text[] =
        "SELECT m.name, " SHOWN
        ", m.version FROM dirty m " OWNERS("m") " WHERE m.version > ? ORDER BY m.version LIMIT ?";
    struct np_sql q = np_sql_start(store, text);
    np_sql_int(&q, after);
    np_sql_int(&q, (int64_t)limit);
    return each_name(&q, each, ctx);
}

static int copy_name(void *ctx, const struct np_zone_name *name)
{
    *(struct np_zone_name *)ctx = *name;
    return 0;
}

int np_store_name_get(struct np_store *store, const char *name, struct np_zone_name *out_name)
{
    static const char text[] =
        "SELECT w.name, " SHOWN
        ", coalesce(m.version, 0) FROM (SELECT ? AS name) w " OWNERS("w") " LEFT JOIN dirty m ON m.name = w.name";
    struct np_sql q = np_sql_start(store, text);
    np_sql_name(&q, name);
    return each_name(&q, copy_name, out_name);
}

int np_store_name_mark(struct np_store *store, const char *name)
{
    int rc = np_sql_begin(store);
    return rc ? rc : np_sql_end(store, np_sql_mark_dirty(store, name));
}

int np_store_dirty_done(struct np_store *store, const char *name, int64_t version)
{
    static const char text[] = "DELETE FROM dirty WHERE name = ? AND version = ?";
    int rc = np_sql_begin(store);
    if (rc)
        return rc;
    struct np_sql q = np_sql_start(store, text);
    np_sql_name(&q, name);
    np_sql_int(&q, version);
    return np_sql_end(store, np_sql_run(&q));
}

int np_sql_tombstone(struct np_store *store, const char *name, int64_t now_s, bool final, bool *out_changed)
{
    static const char text[] = "INSERT INTO tombstone(name, since_s, final) VALUES(?, ?, ?) ON CONFLICT(name)"
                               " DO UPDATE SET final = 1 WHERE tombstone.final = 0 AND excluded.final = 1 RETURNING 1";
    struct np_sql q = np_sql_start(store, text);
    np_sql_name(&q, name);
    np_sql_int(&q, now_s);
    np_sql_int(&q, final);
    bool changed = np_sql_next(&q);
    while (np_sql_next(&q))
        ;
    int rc = np_sql_finish(&q);
    if (rc == 0)
        *out_changed = changed;
    return rc;
}

int np_sql_retire_name(struct np_store *store, const char *name, int64_t now_s, bool final)
{
    bool changed = false;
    int rc = np_sql_tombstone(store, name, now_s, final, &changed);
    return rc || !changed ? rc : np_store_ledger_note(store, final ? NP_LEDGER_LEFT : NP_LEDGER_SILENT, name, now_s);
}

int np_store_tombstone_add(struct np_store *store, const char *name, int64_t now_s)
{
    int rc = np_sql_begin(store);
    return rc ? rc : np_sql_end(store, np_sql_retire_name(store, name, now_s, true));
}

int np_store_zone_serial(struct np_store *store, int64_t *out_serial)
{
    static const char text[] = "SELECT value FROM meta WHERE key = 'zone_serial'";
    struct np_sql q = np_sql_start(store, text);
    int64_t serial = np_sql_next(&q) ? np_sql_get_int(&q) : 0;
    int rc = np_sql_finish(&q);
    if (rc == 0)
        *out_serial = serial;
    return rc;
}

int np_store_serials_reserve(struct np_store *store, int64_t at_least, int64_t *out_from)
{
    static const char look[] = "SELECT value FROM meta WHERE key = 'challenge_serial'";
    static const char keep[] = "INSERT INTO meta(key, value) VALUES('challenge_serial', ?)"
                               " ON CONFLICT(key) DO UPDATE SET value = excluded.value";
    int rc = np_sql_begin(store);
    if (rc)
        return rc;
    struct np_sql q = np_sql_start(store, look);
    int64_t from = np_sql_next(&q) ? np_sql_get_int(&q) : 0;
    rc = np_sql_finish(&q);
    if (from < at_least)
        from = at_least;
    if (rc == 0) {
        q = np_sql_start(store, keep);
        np_sql_int(&q, from + NP_STORE_SERIALS);
        rc = np_sql_run(&q);
    }
    rc = np_sql_end(store, rc);
    if (rc == 0)
        *out_from = from;
    return rc;
}

/* The rate limits' buckets. */
#include "hq/store/sql.h"
#include "resolver/base/error.h"

int np_store_bucket_get(struct np_store *store, const char *ca, int kind, const char *key, int64_t *out_full_ms)
{
    static const char text[] = "SELECT full_ms FROM bucket WHERE ca = ? AND kind = ? AND key = ?";
    struct np_sql q = np_sql_start(store, text);
    np_sql_text(&q, ca);
    np_sql_int(&q, kind);
    np_sql_text(&q, key);
    int64_t full_ms = np_sql_next(&q) ? np_sql_get_int(&q) : 0;
    int rc = np_sql_finish(&q);
    if (rc == 0)
        *out_full_ms = full_ms;
    return rc;
}

int np_store_bucket_set(struct np_store *store, const char *ca, int kind, const char *key, int64_t old_ms,
                        int64_t new_ms)
{
    /* A bucket that is not kept was read as 0; one that another HQ has purged meanwhile was full, and is made anew. */
    static const char text[] = "INSERT INTO bucket(ca, kind, key, full_ms) VALUES(?, ?, ?, ?)"
                               " ON CONFLICT(ca, kind, key) DO UPDATE SET full_ms = excluded.full_ms"
                               " WHERE bucket.full_ms = ? RETURNING 1";
    int rc = np_sql_begin(store);
    if (rc)
        return rc;
    struct np_sql q = np_sql_start(store, text);
    np_sql_text(&q, ca);
    np_sql_int(&q, kind);
    np_sql_text(&q, key);
    np_sql_int(&q, new_ms);
    np_sql_int(&q, old_ms);
    return np_sql_end(store, np_sql_run_found(&q, NP_E_CONFLICT));
}

int np_store_buckets_purge(struct np_store *store, int64_t now_ms)
{
    static const char text[] = "DELETE FROM bucket WHERE full_ms <= ?";
    int rc = np_sql_begin(store);
    if (rc)
        return rc;
    struct np_sql q = np_sql_start(store, text);
    np_sql_int(&q, now_ms);
    return np_sql_end(store, np_sql_run(&q));
}

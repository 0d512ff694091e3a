/* Questions to the CAs about renewal windows: which are due, whose they are, what came of them. */
#include "hq/store/sql.h"
#include "resolver/base/error.h"

int np_store_renewals_to_ask(struct np_store *store, const char *ca, int64_t now_ms, size_t limit,
                             np_store_renewal_fn *each, void *ctx)
{
    static const char text[] = "SELECT " NP_SQL_RENEWAL_COLUMNS " FROM renewal WHERE ca = ? AND ask_ms <= ?"
                               " ORDER BY ask_ms LIMIT ?";
    struct np_sql q = np_sql_start(store, text);
    int stopped = 0;
    np_sql_text(&q, ca);
    np_sql_int(&q, now_ms);
    np_sql_int(&q, (int64_t)limit);
    while (!stopped && np_sql_next(&q)) {
        struct np_renewal renewal;
        np_sql_get_renewal(&q, &renewal);
        if (!q.rc)
            stopped = each(ctx, &renewal);
    }
    int rc = np_sql_finish(&q);
    return rc ? rc : stopped;
}

int np_store_renewals_next_ask(struct np_store *store, const char *ca, int64_t *out_ms)
{
    static const char text[] = "SELECT ask_ms FROM renewal WHERE ca = ? ORDER BY ask_ms LIMIT 1";
    struct np_sql q = np_sql_start(store, text);
    np_sql_text(&q, ca);
    int64_t next = np_sql_next(&q) ? np_sql_get_int(&q) : INT64_MAX;
    int rc = np_sql_finish(&q);
    if (rc == 0)
        *out_ms = next;
    return rc;
}

int np_store_renewal_claim(struct np_store *store, const struct np_renewal *renewal, int64_t until_ms)
{
    static const char text[] = "UPDATE renewal SET ask_ms = ? WHERE device = ? AND n = ? AND ask_ms = ? RETURNING 1";
    int rc = np_sql_begin(store);
    if (rc)
        return rc;
    struct np_sql q = np_sql_start(store, text);
    np_sql_int(&q, until_ms);
    np_sql_text(&q, renewal->device);
    np_sql_int(&q, renewal->n);
    np_sql_int(&q, renewal->ask_ms);
    return np_sql_end(store, np_sql_run_found(&q, NP_E_CONFLICT));
}

int np_store_renewal_answer(struct np_store *store, const struct np_renewal *before, const struct np_renewal *after)
{
    static const char text[] =
        "UPDATE renewal SET ask_ms = ?, failures = ?, window_from_ms = ?, window_until_ms = ?, point_ms = ?, due_ms = ?"
        " WHERE device = ? AND n = ? AND due_ms = ? AND attempts = ? RETURNING 1";
    int rc = np_sql_begin(store);
    if (rc)
        return rc;
    struct np_sql q = np_sql_start(store, text);
    np_sql_int(&q, after->ask_ms);
    np_sql_int(&q, after->failures);
    np_sql_int(&q, after->window_from_ms);
    np_sql_int(&q, after->window_until_ms);
    np_sql_int(&q, after->point_ms);
    np_sql_int(&q, after->due_ms);
    np_sql_text(&q, before->device);
    np_sql_int(&q, before->n);
    np_sql_int(&q, before->due_ms);
    np_sql_int(&q, before->attempts);
    rc = np_sql_run_found(&q, NP_E_CONFLICT);
    if (rc == 0 && before->due_ms != after->due_ms)
        store->pending |= NP_STORE_RENEWALS_CHANGED;
    return np_sql_end(store, rc);
}

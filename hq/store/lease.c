/* Leases, and the fence that keeps a holder who has lost one from writing. */
#include "hq/store/lease.h"

#include <string.h>

#include "hq/store/sql.h"
#include "resolver/base/error.h"

int np_store_lease_get(struct np_store *store, const char *name, struct np_store_lease *out_lease)
{
    static const char text[] = "SELECT holder, fence, beat FROM lease WHERE name = ?";
    struct np_store_lease lease = {.fence = 0};
    struct np_sql q = np_sql_start(store, text);
    np_sql_text(&q, name);
    if (np_sql_next(&q)) {
        np_sql_get_text(&q, lease.holder, sizeof lease.holder);
        lease.fence = np_sql_get_int(&q);
        lease.beat = np_sql_get_int(&q);
    }
    int rc = np_sql_finish(&q);
    if (rc == 0)
        *out_lease = lease;
    return rc;
}

/* Runs a conditional write that answers with a number of its row, which is never 0. */
static int change(struct np_sql *q, int64_t *out_number)
{
    struct np_store *store = q->store;
    int64_t number = np_sql_next(q) ? np_sql_get_int(q) : 0;
    int rc = number ? np_sql_run(q) : np_sql_finish(q);
    if (rc == 0 && number == 0)
        rc = NP_E_STALE;
    rc = np_sql_end(store, rc);
    if (rc == 0)
        *out_number = number;
    return rc;
}

int np_store_lease_take(struct np_store *store, const char *name, const char *holder, const struct np_store_lease *seen,
                        int64_t *out_fence)
{
    static const char text[] = "INSERT INTO lease(name, holder, fence, beat) VALUES(?1, ?2, 1, 0) ON CONFLICT(name)"
                               " DO UPDATE SET holder = excluded.holder, fence = lease.fence + 1, beat = 0"
                               " WHERE lease.fence = ?3 AND lease.beat = ?4 RETURNING fence";
    int rc = np_sql_begin(store);
    if (rc)
        return rc;
    struct np_sql q = np_sql_start(store, text);
    np_sql_text(&q, name);
    np_sql_text(&q, holder);
    np_sql_int(&q, seen->fence);
    np_sql_int(&q, seen->beat);
    return change(&q, out_fence);
}

int np_store_lease_beat(struct np_store *store, const char *name, int64_t fence, int64_t *out_beat)
{
    static const char text[] = "UPDATE lease SET beat = beat + 1 WHERE name = ? AND fence = ? RETURNING beat";
    int rc = np_sql_begin(store);
    if (rc)
        return rc;
    struct np_sql q = np_sql_start(store, text);
    np_sql_text(&q, name);
    np_sql_int(&q, fence);
    return change(&q, out_beat);
}

int np_store_lease_release(struct np_store *store, const char *name, int64_t fence)
{
    static const char text[] = "UPDATE lease SET holder = '', beat = beat + 1 WHERE name = ? AND fence = ?"
                               " RETURNING fence";
    int64_t same;
    int rc = np_sql_begin(store);
    if (rc)
        return rc;
    struct np_sql q = np_sql_start(store, text);
    np_sql_text(&q, name);
    np_sql_int(&q, fence);
    return change(&q, &same);
}

void np_store_fence(struct np_store *store, const char *name, int64_t fence)
{
    store->fence_name = name;
    store->fence = fence;
}

bool np_store_fenced(const struct np_store *store)
{
    return store->fenced;
}

int np_sql_check_fence(struct np_store *store)
{
    struct np_store_lease lease;
    if (store->fence == 0)
        return 0;
    int rc = np_store_lease_get(store, store->fence_name, &lease);
    if (rc == 0 && lease.fence != store->fence) {
        store->fenced = true;
        rc = NP_E_STALE;
    }
    return rc;
}

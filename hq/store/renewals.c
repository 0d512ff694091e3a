/* Renewals, outages, and the end of a device with its revocations. */
#include <string.h>

#include "hq/store/claims.h"
#include "hq/store/sql.h"
#include "resolver/base/error.h"

/* ---- Renewals ---- */

void np_sql_get_renewal(struct np_sql *q, struct np_renewal *r)
{
    *r = (struct np_renewal){0};
    np_sql_get_text(q, r->device, sizeof r->device);
    r->n = np_sql_get_int(q);
    r->not_before_s = np_sql_get_int(q);
    r->not_after_s = np_sql_get_int(q);
    r->point_ms = np_sql_get_int(q);
    r->due_ms = np_sql_get_int(q);
    r->attempts = np_sql_get_int(q);
    r->early = np_sql_get_int(q);
    r->ask_ms = np_sql_get_int(q);
    r->failures = np_sql_get_int(q);
    r->window_from_ms = np_sql_get_int(q);
    r->window_until_ms = np_sql_get_int(q);
    np_sql_get_text(q, r->ca, sizeof r->ca);
}

int np_store_renewals_due(struct np_store *store, int64_t now_ms, size_t limit, np_store_renewal_fn *each, void *ctx)
{
    static const char text[] =
        "SELECT " NP_SQL_RENEWAL_COLUMNS " FROM renewal WHERE due_ms <= ? ORDER BY due_ms LIMIT ?";
    struct np_sql q = np_sql_start(store, text);
    int stopped = 0;
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

int np_store_renewals_next(struct np_store *store, int64_t *out_ms)
{
    static const char text[] = "SELECT due_ms FROM renewal ORDER BY due_ms LIMIT 1";
    struct np_sql q = np_sql_start(store, text);
    int64_t next = np_sql_next(&q) ? np_sql_get_int(&q) : INT64_MAX;
    int rc = np_sql_finish(&q);
    if (rc == 0)
        *out_ms = next;
    return rc;
}

int np_store_renewal_get(struct np_store *store, const char *device, struct np_renewal *out_renewal)
{
    static const char text[] = "SELECT " NP_SQL_RENEWAL_COLUMNS " FROM renewal WHERE device = ?";
    struct np_renewal renewal;
    struct np_sql q = np_sql_start(store, text);
    np_sql_text(&q, device);
    bool found = np_sql_next(&q);
    if (found)
        np_sql_get_renewal(&q, &renewal);
    int rc = np_sql_finish(&q);
    if (rc)
        return rc;
    if (!found)
        return NP_E_NOT_FOUND;
    *out_renewal = renewal;
    return 0;
}

static int change_look(struct np_store *store, const struct np_renewal *before, const struct np_renewal *after)
{
    static const char text[] = "UPDATE renewal SET due_ms = ?, attempts = ?"
                               " WHERE device = ? AND n = ? AND due_ms = ? AND attempts = ? RETURNING 1";
    struct np_sql q = np_sql_start(store, text);
    np_sql_int(&q, after->due_ms);
    np_sql_int(&q, after->attempts);
    np_sql_text(&q, before->device);
    np_sql_int(&q, before->n);
    np_sql_int(&q, before->due_ms);
    np_sql_int(&q, before->attempts);
    int rc = np_sql_run_found(&q, NP_E_CONFLICT);
    if (rc == 0)
        store->pending |= NP_STORE_RENEWALS_CHANGED;
    return rc;
}

int np_store_renewal_update(struct np_store *store, const struct np_renewal *before, const struct np_renewal *after)
{
    int rc = np_sql_begin(store);
    return rc ? rc : np_sql_end(store, change_look(store, before, after));
}

/* Is last still the device's newest order, as it was read, and the device active? 0, NP_E_CONFLICT, or an error. */
static int check_newest(struct np_store *store, const struct np_order *last)
{
    static const char text[] =
        "SELECT 1 FROM orders o JOIN device d ON d.id = o.device AND d.state = 0 WHERE o.id = ? AND o.state = ?"
        " AND NOT EXISTS (SELECT 1 FROM orders n WHERE n.device = o.device AND n.created_ms > o.created_ms)";
    _Static_assert(NP_DEVICE_ACTIVE == 0, "the statement's number");
    struct np_sql q = np_sql_start(store, text);
    np_sql_text(&q, last->id);
    np_sql_int(&q, last->stored.state);
    return np_sql_run_found(&q, NP_E_CONFLICT);
}

int np_store_renewal_order(struct np_store *store, const struct np_renewal *before, const struct np_renewal *after,
                           const struct np_order *last, const struct np_order *order)
{
    int rc = np_sql_begin(store);
    if (rc)
        return rc;
    rc = change_look(store, before, after);
    if (rc == 0)
        rc = check_newest(store, last);
    if (rc == 0)
        rc = np_store_order_add(store, order);
    return np_sql_end(store, rc);
}

static int plan_renewal(struct np_store *store, const char *device, int64_t n, const char *ca,
                        const struct np_package *p)
{
    /* A renewal before half of the last certificate's life was over is counted: see hq/acme/ari.h. */
    static const char text[] =
        "INSERT INTO renewal(device, n, not_before_s, not_after_s, point_ms, due_ms, attempts, early, ask_ms, failures,"
        " window_from_ms, window_until_ms, ca) VALUES(?,?,?,?,?,?,0,0,?,0,0,0,?)"
        " ON CONFLICT(device) DO UPDATE SET n = excluded.n, not_before_s = excluded.not_before_s,"
        " not_after_s = excluded.not_after_s, point_ms = excluded.point_ms, due_ms = excluded.due_ms, attempts = 0,"
        " early = CASE WHEN excluded.not_before_s * 2 < renewal.not_before_s + renewal.not_after_s"
        " THEN renewal.early + 1 WHEN renewal.early > 0 THEN renewal.early - 1 ELSE 0 END,"
        " ask_ms = excluded.ask_ms, failures = 0, window_from_ms = 0, window_until_ms = 0, ca = excluded.ca";
    struct np_sql q = np_sql_start(store, text);
    np_sql_text(&q, device);
    np_sql_int(&q, n);
    np_sql_int(&q, p->not_before_s);
    np_sql_int(&q, p->not_after_s);
    np_sql_int(&q, p->renew_ms);
    np_sql_int(&q, p->renew_ms);
    np_sql_int(&q, p->ask_ms);
    np_sql_text(&q, ca);
    int rc = np_sql_run(&q);
    if (rc == 0)
        store->pending |= NP_STORE_RENEWALS_CHANGED;
    return rc;
}

/* A certificate that came after its device had left. The reason is the one of its others. */
static int revoke_late(struct np_store *store, const char *device, int64_t n, int64_t now_ms)
{
    static const char text[] =
        "INSERT INTO revocation(device, n, reason, state, attempts, next_try_ms)"
        " SELECT ?1, ?2, coalesce((SELECT min(reason) FROM revocation WHERE device = ?1), ?4), 0,"
        " 0, ?3 WHERE 1 = 1 ON CONFLICT DO NOTHING";
    struct np_sql q = np_sql_start(store, text);
    np_sql_text(&q, device);
    np_sql_int(&q, n);
    np_sql_int(&q, now_ms);
    np_sql_int(&q, NP_REVOKE_CESSATION);
    int rc = np_sql_run(&q);
    if (rc == 0)
        store->pending |= NP_STORE_REVOCATIONS_CHANGED;
    return rc;
}

int np_sql_package_follow(struct np_store *store, const struct np_order *order, int64_t n,
                          const struct np_package *package)
{
    static const char text[] = "SELECT state FROM device WHERE id = ?";
    struct np_sql q = np_sql_start(store, text);
    np_sql_text(&q, order->device);
    int64_t state = np_sql_next(&q) ? np_sql_get_int(&q) : NP_DEVICE_ACTIVE;
    int rc = np_sql_finish(&q);
    if (rc)
        return rc;
    return state == NP_DEVICE_RETIRED ? revoke_late(store, order->device, n, package->created_ms)
                                      : plan_renewal(store, order->device, n, order->ca, package);
}

/* ---- Outages ---- */

static int last_beat(struct np_store *store, int64_t *out_s)
{
    static const char text[] = "SELECT value FROM meta WHERE key = 'heartbeat_s'";
    struct np_sql q = np_sql_start(store, text);
    *out_s = np_sql_next(&q) ? np_sql_get_int(&q) : 0;
    return np_sql_finish(&q);
}

static int note_outage(struct np_store *store, int64_t from_s, int64_t until_s)
{
    static const char note[] = "INSERT INTO outage(from_s, until_s) VALUES(?, ?)"
                               " ON CONFLICT(from_s) DO UPDATE SET until_s = excluded.until_s";
    static const char forget[] = "DELETE FROM outage WHERE from_s NOT IN"
                                 " (SELECT from_s FROM outage ORDER BY from_s DESC LIMIT ?)";
    struct np_sql q = np_sql_start(store, note);
    np_sql_int(&q, from_s);
    np_sql_int(&q, until_s);
    int rc = np_sql_run(&q);
    if (rc)
        return rc;
    q = np_sql_start(store, forget);
    np_sql_int(&q, NP_STORE_OUTAGES_MAX);
    return np_sql_run(&q);
}

int np_store_heartbeat(struct np_store *store, int64_t now_s, int64_t gap_s)
{
    static const char text[] = "INSERT INTO meta(key, value) VALUES('heartbeat_s', ?)"
                               " ON CONFLICT(key) DO UPDATE SET value = excluded.value";
    int64_t last_s = 0;
    int rc = np_sql_begin(store);
    if (rc)
        return rc;
    rc = last_beat(store, &last_s);
    if (rc == 0 && last_s > 0 && now_s - last_s > gap_s)
        rc = note_outage(store, last_s, now_s);
    if (rc == 0) {
        struct np_sql q = np_sql_start(store, text);
        np_sql_int(&q, now_s);
        rc = np_sql_run(&q);
    }
    return np_sql_end(store, rc);
}

int np_store_outages(struct np_store *store, struct np_store_outage out_outages[NP_STORE_OUTAGES_MAX],
                     size_t *out_count)
{
    static const char text[] = "SELECT from_s, until_s FROM outage ORDER BY from_s DESC LIMIT ?";
    struct np_sql q = np_sql_start(store, text);
    size_t count = 0;
    np_sql_int(&q, NP_STORE_OUTAGES_MAX);
    while (count < NP_STORE_OUTAGES_MAX && np_sql_next(&q)) {
        out_outages[count].from_s = np_sql_get_int(&q);
        out_outages[count++].until_s = np_sql_get_int(&q);
    }
    int rc = np_sql_finish(&q);
    if (rc == 0)
        *out_count = count;
    return rc;
}

/* ---- Leaving ---- */

static int forget_renewal(struct np_store *store, const char *id)
{
    static const char text[] = "DELETE FROM renewal WHERE device = ?";
    struct np_sql q = np_sql_start(store, text);
    np_sql_text(&q, id);
    return np_sql_run(&q);
}

/* Orders that wait come to nothing; one that is under way comes to its end, and then to a revocation. */
static int end_orders(struct np_store *store, const char *id, const char *why, int64_t now_ms)
{
    static const char text[] = "UPDATE orders SET state = 10, error = ?, updated_ms = ?"
                               " WHERE device = ? AND (state = 9 OR (state = 0 AND begun = 0))";
    _Static_assert(NP_ORDER_QUEUED == 0 && NP_ORDER_BACKOFF == 9 && NP_ORDER_DEAD == 10, "the statement's numbers");
    struct np_sql q = np_sql_start(store, text);
    np_sql_text(&q, why);
    np_sql_int(&q, now_ms);
    np_sql_text(&q, id);
    return np_sql_run(&q);
}

static int revoke_all(struct np_store *store, const char *id, enum np_revocation_reason reason, int64_t now_ms)
{
    static const char text[] = "INSERT INTO revocation(device, n, reason, state, attempts, next_try_ms)"
                               " SELECT device, n, ?, 0, 0, ? FROM package WHERE device = ? AND not_after_s > ?"
                               " ON CONFLICT DO NOTHING";
    struct np_sql q = np_sql_start(store, text);
    np_sql_int(&q, reason);
    np_sql_int(&q, now_ms);
    np_sql_text(&q, id);
    np_sql_int(&q, now_ms / 1000);
    int rc = np_sql_run(&q);
    if (rc == 0)
        store->pending |= NP_STORE_REVOCATIONS_CHANGED;
    return rc;
}

int np_store_device_retire(struct np_store *store, const char *id, enum np_revocation_reason reason, int64_t now_ms)
{
    struct np_device device;
    int rc = np_sql_begin(store);
    if (rc)
        return rc;
    rc = np_store_device_get(store, id, &device);
    if (rc || device.state == NP_DEVICE_RETIRED)
        return np_sql_end(store, rc);
    device.state = NP_DEVICE_RETIRED;
    device.stated = device.published = (struct np_addresses){0};
    device.last_seen_s = now_ms / 1000;
    rc = np_store_device_update(store, &device);
    if (rc == 0)
        rc = np_store_tombstone_add(store, device.name, now_ms / 1000);
    if (rc == 0)
        rc = np_sql_naming_retire(store, id, now_ms / 1000);
    if (rc == 0)
        rc = forget_renewal(store, id);
    if (rc == 0)
        rc = end_orders(store, id, "the device has left", now_ms);
    if (rc == 0)
        rc = revoke_all(store, id, reason, now_ms);
    if (rc == 0)
        rc = np_store_claims_release_of(store, id);
    return np_sql_end(store, rc);
}

int np_store_device_block(struct np_store *store, const char *id, int64_t now_ms)
{
    struct np_device device;
    int rc = np_sql_begin(store);
    if (rc)
        return rc;
    rc = np_store_device_get(store, id, &device);
    if (rc == 0 && device.state == NP_DEVICE_RETIRED)
        rc = NP_E_REFUSED;
    if (rc || device.state == NP_DEVICE_BLOCKED)
        return np_sql_end(store, rc);
    device.state = NP_DEVICE_BLOCKED;
    rc = np_store_device_update(store, &device);
    if (rc == 0)
        rc = end_orders(store, id, "the operator has blocked the device", now_ms);
    return np_sql_end(store, rc);
}

int np_store_device_unblock(struct np_store *store, const char *id)
{
    struct np_device device;
    int rc = np_sql_begin(store);
    if (rc)
        return rc;
    rc = np_store_device_get(store, id, &device);
    if (rc == 0 && device.state != NP_DEVICE_BLOCKED)
        rc = NP_E_REFUSED;
    if (rc == 0) {
        device.state = NP_DEVICE_ACTIVE;
        rc = np_store_device_update(store, &device);
    }
    return np_sql_end(store, rc);
}

int np_store_revocation_next(struct np_store *store, struct np_revocation *out_revocation)
{
    static const char text[] = "SELECT device, n, reason, state, attempts, next_try_ms FROM revocation WHERE state = 0"
                               " ORDER BY next_try_ms LIMIT 1";
    struct np_revocation r = {.n = 0};
    struct np_sql q = np_sql_start(store, text);
    bool found = np_sql_next(&q);
    if (found) {
        np_sql_get_text(&q, r.device, sizeof r.device);
        r.n = np_sql_get_int(&q);
        r.reason = (enum np_revocation_reason)np_sql_get_int(&q);
        r.state = (enum np_revocation_state)np_sql_get_int(&q);
        r.attempts = np_sql_get_int(&q);
        r.next_try_ms = np_sql_get_int(&q);
    }
    int rc = np_sql_finish(&q);
    if (rc)
        return rc;
    if (!found)
        return NP_E_NOT_FOUND;
    *out_revocation = r;
    return 0;
}

int np_store_revocation_update(struct np_store *store, const struct np_revocation *revocation)
{
    static const char text[] =
        "UPDATE revocation SET state = ?, attempts = ?, next_try_ms = ? WHERE device = ? AND n = ?";
    int rc = np_sql_begin(store);
    if (rc)
        return rc;
    struct np_sql q = np_sql_start(store, text);
    np_sql_int(&q, revocation->state);
    np_sql_int(&q, revocation->attempts);
    np_sql_int(&q, revocation->next_try_ms);
    np_sql_text(&q, revocation->device);
    np_sql_int(&q, revocation->n);
    return np_sql_end(store, np_sql_run(&q));
}

#include <errno.h>
#include <string.h>

#include "hq/store/sql.h"
#include "resolver/base/error.h"

const char *np_order_state_name(enum np_order_state state)
{
    static const char *const names[] = {
#define NP_ORDER_STATE_TEXT(name, text) text,
        NP_ORDER_STATE_MAP(NP_ORDER_STATE_TEXT)
#undef NP_ORDER_STATE_TEXT
    };
    return (size_t)state < sizeof names / sizeof *names ? names[state] : "?";
}

int np_sql_order_names(struct np_store *store, struct np_order *order)
{
    static const char text[] = "SELECT name, url, challenge, txt FROM \"authorization\" WHERE order_id = ? ORDER BY i";
    struct np_sql q = np_sql_start(store, text);
    np_sql_text(&q, order->id);
    while (order->authorization_count < NP_SAN_MAX && np_sql_next(&q)) {
        struct np_order_authorization *a = &order->authorizations[order->authorization_count++];
        np_sql_get_text(&q, a->name, sizeof a->name);
        np_sql_get_text(&q, a->url, sizeof a->url);
        np_sql_get_text(&q, a->challenge, sizeof a->challenge);
        np_sql_get_text(&q, a->txt, sizeof a->txt);
    }
    return np_sql_finish(&q);
}

void np_sql_get_order(struct np_sql *q, struct np_order *o)
{
    *o = (struct np_order){0};
    np_sql_get_text(q, o->id, sizeof o->id);
    np_sql_get_text(q, o->device, sizeof o->device);
    np_sql_get_bytes(q, o->key, sizeof o->key);
    np_sql_get_blob(q, o->csr, sizeof o->csr, &o->csr_len);
    o->state = (enum np_order_state)np_sql_get_int(q);
    np_sql_get_text(q, o->order_url, sizeof o->order_url);
    np_sql_get_text(q, o->finalize_url, sizeof o->finalize_url);
    np_sql_get_text(q, o->certificate_url, sizeof o->certificate_url);
    np_sql_get_text(q, o->error, sizeof o->error);
    np_sql_get_text(q, o->ca, sizeof o->ca);
    o->begun = np_sql_get_int(q) != 0;
    o->paid = np_sql_get_int(q);
    o->attempts = np_sql_get_int(q);
    o->next_try_ms = np_sql_get_int(q);
    o->priority = (enum np_order_priority)np_sql_get_int(q);
    o->renews = np_sql_get_int(q);
    o->created_ms = np_sql_get_int(q);
    o->updated_ms = np_sql_get_int(q);
    o->stored.state = o->state;
    o->stored.begun = o->begun;
}

static int read_one(struct np_sql *q, struct np_order *out_order)
{
    struct np_order order;
    bool found = np_sql_next(q);
    if (found)
        np_sql_get_order(q, &order);
    int rc = np_sql_finish(q);
    if (rc == 0 && found)
        rc = np_sql_order_names(q->store, &order);
    if (rc)
        return rc;
    if (!found)
        return NP_E_NOT_FOUND;
    *out_order = order;
    return 0;
}

/* The key goes into the list of those seen, unless it is there for the same device. */
static int claim_key(struct np_store *store, const struct np_order *order)
{
    static const char text[] = "INSERT INTO used_key(thumbprint, device, seen_s) VALUES(?, ?, ?)";
    char owner[NP_DEVICE_ID_MAX + 1];
    int rc = np_store_key_is_identity(store, order->key);
    if (rc)
        return rc < 0 ? rc : NP_E_CONFLICT;
    rc = np_store_key_owner(store, order->key, owner);
    if (rc == 0)
        return strcmp(owner, order->device) == 0 ? 0 : NP_E_CONFLICT;
    if (rc != NP_E_NOT_FOUND)
        return rc;
    struct np_sql q = np_sql_start(store, text);
    np_sql_blob(&q, order->key, sizeof order->key);
    np_sql_text(&q, order->device);
    np_sql_int(&q, order->created_ms / 1000);
    return np_sql_run(&q);
}

/* A device's orders have different times, so that one of them is the newest. */
static int place_in_time(struct np_store *store, const struct np_order *order, int64_t *out_created_ms)
{
    static const char text[] = "SELECT coalesce(max(created_ms), 0) FROM orders WHERE device = ?";
    struct np_sql q = np_sql_start(store, text);
    np_sql_text(&q, order->device);
    int64_t last = np_sql_next(&q) ? np_sql_get_int(&q) : 0;
    int rc = np_sql_finish(&q);
    if (rc == 0)
        *out_created_ms = order->created_ms > last ? order->created_ms : last + 1;
    return rc;
}

static int insert_order(struct np_store *store, const struct np_order *o)
{
    static const char text[] =
        "INSERT INTO orders(" NP_SQL_ORDER_COLUMNS ", fresh) VALUES(?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)";
    int64_t created_ms = 0;
    int rc = place_in_time(store, o, &created_ms);
    if (rc)
        return rc;
    struct np_sql q = np_sql_start(store, text);
    np_sql_text(&q, o->id);
    np_sql_text(&q, o->device);
    np_sql_blob(&q, o->key, sizeof o->key);
    np_sql_blob(&q, o->csr, o->csr_len);
    np_sql_int(&q, o->state);
    np_sql_text(&q, o->order_url);
    np_sql_text(&q, o->finalize_url);
    np_sql_text(&q, o->certificate_url);
    np_sql_text(&q, o->error);
    np_sql_text(&q, o->ca);
    np_sql_int(&q, o->begun);
    np_sql_int(&q, o->paid);
    np_sql_int(&q, o->attempts);
    np_sql_int(&q, o->next_try_ms);
    np_sql_int(&q, o->priority);
    np_sql_int(&q, o->renews);
    np_sql_int(&q, created_ms);
    np_sql_int(&q, o->updated_ms);
    np_sql_int(&q, np_order_lane(o).fresh);
    return np_sql_run(&q);
}

static int write_authorizations(struct np_store *store, const struct np_order *order)
{
    static const char text[] = "INSERT INTO \"authorization\"(order_id, i, name, url, challenge, txt)"
                               " VALUES(?,?,?,?,?,?)"
                               " ON CONFLICT(order_id, i) DO UPDATE SET name = excluded.name, url = excluded.url,"
                               " challenge = excluded.challenge, txt = excluded.txt";
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < order->authorization_count; i++) {
        const struct np_order_authorization *a = &order->authorizations[i];
        struct np_sql q = np_sql_start(store, text);
        np_sql_text(&q, order->id);
        np_sql_int(&q, (int64_t)i);
        np_sql_text(&q, a->name);
        np_sql_text(&q, a->url);
        np_sql_text(&q, a->challenge);
        np_sql_text(&q, a->txt);
        rc = np_sql_run(&q);
    }
    return rc;
}

int np_store_order_add(struct np_store *store, const struct np_order *order)
{
    int rc = np_sql_begin(store);
    if (rc)
        return rc;
    rc = claim_key(store, order);
    if (rc == 0)
        rc = insert_order(store, order);
    if (rc == 0)
        rc = write_authorizations(store, order);
    if (rc == 0)
        store->pending |= NP_STORE_ORDERS_CHANGED;
    return np_sql_end(store, rc);
}

static int update_order(struct np_store *store, const struct np_order *o)
{
    static const char text[] = "UPDATE orders SET state=?, order_url=?, finalize_url=?, certificate_url=?, error=?,"
                               " ca=?, begun=?, paid=?, attempts=?, next_try_ms=?, updated_ms=? WHERE id=? AND state=? "
                               "AND begun=? RETURNING 1";
    struct np_sql q = np_sql_start(store, text);
    np_sql_int(&q, o->state);
    np_sql_text(&q, o->order_url);
    np_sql_text(&q, o->finalize_url);
    np_sql_text(&q, o->certificate_url);
    np_sql_text(&q, o->error);
    np_sql_text(&q, o->ca);
    np_sql_int(&q, o->begun);
    np_sql_int(&q, o->paid);
    np_sql_int(&q, o->attempts);
    np_sql_int(&q, o->next_try_ms);
    np_sql_int(&q, o->updated_ms);
    np_sql_text(&q, o->id);
    np_sql_int(&q, o->stored.state);
    np_sql_int(&q, o->stored.begun);
    int rc = np_sql_run_found(&q, NP_E_STALE);
    if (rc == 0)
        rc = write_authorizations(store, o);
    if (rc == 0 && o->state == NP_ORDER_QUEUED && !o->begun)
        store->pending |= NP_STORE_ORDERS_CHANGED;
    if (rc == 0 && o->state == NP_ORDER_DEAD)
        rc = np_sql_naming_refused(store, o);
    return rc;
}

/* It was written: what it has to be compared with from now on. Where the transaction comes to nothing, whoever has the
 * order forgets it. */
static void note_stored(struct np_order *order, enum np_order_state state)
{
    order->stored.state = state;
    order->stored.begun = order->begun;
}

int np_store_order_update(struct np_store *store, struct np_order *order)
{
    int rc = np_sql_begin(store);
    if (rc)
        return rc;
    rc = np_sql_end(store, update_order(store, order));
    if (rc == 0)
        note_stored(order, order->state);
    return rc;
}

int np_store_order_get(struct np_store *store, const char *id, struct np_order *out_order)
{
    static const char text[] = "SELECT " NP_SQL_ORDER_COLUMNS " FROM orders WHERE id = ?";
    struct np_sql q = np_sql_start(store, text);
    np_sql_text(&q, id);
    return read_one(&q, out_order);
}

int np_store_order_newest(struct np_store *store, const char *device, struct np_order *out_order)
{
    static const char text[] =
        "SELECT " NP_SQL_ORDER_COLUMNS " FROM orders WHERE device = ? ORDER BY created_ms DESC LIMIT 1";
    struct np_sql q = np_sql_start(store, text);
    np_sql_text(&q, device);
    return read_one(&q, out_order);
}

int np_store_order_count(struct np_store *store, const char *device, int64_t since_ms, int64_t *out_count,
                         int64_t *out_oldest_ms)
{
    static const char text[] =
        "SELECT count(*), coalesce(min(created_ms), 0) FROM orders WHERE device = ? AND created_ms >= ?";
    return np_sql_count_since(store, text, device, since_ms, out_count, out_oldest_ms);
}

static int next_n(struct np_store *store, const char *device, int64_t *out_n)
{
    static const char text[] = "UPDATE device SET auth_n = auth_n + 1 WHERE id = ? RETURNING auth_n";
    struct np_sql q = np_sql_start(store, text);
    np_sql_text(&q, device);
    int64_t n = np_sql_next(&q) ? np_sql_get_int(&q) : 0;
    while (np_sql_next(&q))
        ;
    int rc = np_sql_finish(&q);
    if (rc == 0 && n == 0)
        rc = NP_E_NOT_FOUND;
    if (rc == 0)
        *out_n = n;
    return rc;
}

static int insert_package(struct np_store *store, const struct np_order *order, const struct np_package *p, int64_t n)
{
    static const char text[] = "INSERT INTO package(device, n, order_id, ca, chain, not_before_s, not_after_s,"
                               " created_ms) VALUES(?,?,?,?,?,?,?,?)";
    struct np_sql q = np_sql_start(store, text);
    np_sql_text(&q, order->device);
    np_sql_int(&q, n);
    np_sql_text(&q, order->id);
    np_sql_text(&q, order->ca);
    np_sql_text(&q, p->chain);
    np_sql_int(&q, p->not_before_s);
    np_sql_int(&q, p->not_after_s);
    np_sql_int(&q, p->created_ms);
    return np_sql_run(&q);
}

int np_store_package_add(struct np_store *store, struct np_order *order, const struct np_package *package,
                         int64_t *out_n)
{
    struct np_order issued = *order;
    int64_t n = 0;
    issued.state = NP_ORDER_ISSUED;
    int rc = np_sql_begin(store);
    if (rc)
        return rc;
    rc = update_order(store, &issued);
    if (rc == 0)
        rc = next_n(store, order->device, &n);
    if (rc == 0)
        rc = insert_package(store, order, package, n);
    if (rc == 0)
        rc = np_sql_package_follow(store, order, n, package);
    if (rc == 0)
        rc = np_sql_naming_confirm(store, order, n, package->created_ms);
    rc = np_sql_end(store, rc);
    if (rc == 0) {
        note_stored(order, issued.state);
        *out_n = n;
    }
    return rc;
}

#define PACKAGE_COLUMNS "p.device, p.order_id, p.ca, p.n, p.chain, p.not_before_s, p.not_after_s, p.created_ms"

static int read_package(struct np_sql *q, struct np_package *out_package)
{
    bool found = np_sql_next(q);
    if (found) {
        np_sql_get_text(q, out_package->device, sizeof out_package->device);
        np_sql_get_text(q, out_package->order, sizeof out_package->order);
        np_sql_get_text(q, out_package->ca, sizeof out_package->ca);
        out_package->n = np_sql_get_int(q);
        np_sql_get_text(q, out_package->chain, sizeof out_package->chain);
        out_package->not_before_s = np_sql_get_int(q);
        out_package->not_after_s = np_sql_get_int(q);
        out_package->created_ms = np_sql_get_int(q);
    }
    int rc = np_sql_finish(q);
    return rc ? rc : found ? 0 : NP_E_NOT_FOUND;
}

int np_store_package_newest(struct np_store *store, const char *device, const uint8_t key[32],
                            struct np_package *out_package)
{
    static const char text[] = "SELECT " PACKAGE_COLUMNS " FROM package p JOIN orders o ON o.id = p.order_id"
                               " WHERE p.device = ? AND o.key = ? ORDER BY p.n DESC LIMIT 1";
    struct np_sql q = np_sql_start(store, text);
    np_sql_text(&q, device);
    np_sql_blob(&q, key, 32);
    return read_package(&q, out_package);
}

int np_store_package_origin(struct np_store *store, const char *device, int64_t n, struct np_package *out_package)
{
    static const char text[] = "SELECT ca, created_ms FROM package WHERE device = ? AND n = ?";
    struct np_sql q = np_sql_start(store, text);
    np_sql_text(&q, device);
    np_sql_int(&q, n);
    bool found = np_sql_next(&q);
    if (found) {
        np_sql_get_text(&q, out_package->ca, sizeof out_package->ca);
        out_package->created_ms = np_sql_get_int(&q);
    }
    int rc = np_sql_finish(&q);
    return rc ? rc : found ? 0 : NP_E_NOT_FOUND;
}

int np_store_package_get(struct np_store *store, const char *device, int64_t n, struct np_package *out_package)
{
    static const char text[] = "SELECT " PACKAGE_COLUMNS " FROM package p WHERE p.device = ? AND p.n = ?";
    struct np_sql q = np_sql_start(store, text);
    np_sql_text(&q, device);
    np_sql_int(&q, n);
    return read_package(&q, out_package);
}

#include "hq/store/naming.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "hq/store/audit.h"
#include "hq/store/ledger.h"
#include "hq/store/sql.h"
#include "resolver/base/error.h"
#include "resolver/base/text.h"

#define ENDS_MAX 64 /* old names ended in one call */

_Static_assert(NP_NAMING_WANTED == 1 && NP_NAMING_OLD == 2 && NP_NAMING_HELD == 3 && NP_NAMING_GONE == 4 &&
                   NP_NAMING_KEPT == 5,
               "the statements' numbers");

const char *np_naming_role_name(enum np_naming_role role)
{
    switch (role) {
#define NP_NAMING_CASE(number, name, word)                                                                             \
    case NP_NAMING_##name:                                                                                             \
        return word;
        NP_NAMING_MAP(NP_NAMING_CASE)
#undef NP_NAMING_CASE
    }
    return "?";
}

/* ---- What a device is called ---- */

int np_store_naming_get(struct np_store *store, const char *device, struct np_naming *out_naming)
{
    static const char text[] = "SELECT name, role, until_s FROM naming WHERE device = ? AND role IN (1, 2)";
    struct np_naming naming = {.old_until_s = 0};
    struct np_sql q = np_sql_start(store, text);
    np_sql_text(&q, device);
    while (np_sql_next(&q)) {
        char name[NP_NAME_MAX + 1] = "";
        np_sql_get_text(&q, name, sizeof name);
        bool old = np_sql_get_int(&q) == NP_NAMING_OLD;
        int64_t until_s = np_sql_get_int(&q);
        memcpy(old ? naming.old : naming.wanted, name, sizeof name);
        if (old)
            naming.old_until_s = until_s;
    }
    int rc = np_sql_finish(&q);
    if (rc == 0)
        *out_naming = naming;
    return rc;
}

void np_naming_san(const struct np_device *device, const struct np_naming *naming, struct np_names *out_names)
{
    struct np_names names = {.old_until_s = naming->old_until_s};
    const char *const all[] = {naming->wanted, device->name, naming->old};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        if (all[i][0])
            snprintf(names.san[names.san_count++], sizeof names.san[0], "%s", all[i]);
    }
    memcpy(names.name, device->name, sizeof names.name);
    memcpy(names.wanted, naming->wanted, sizeof names.wanted);
    memcpy(names.old, naming->old, sizeof names.old);
    *out_names = names;
}

bool np_naming_covers(const struct np_device *device, const struct np_naming *naming, const struct np_order *order)
{
    for (size_t i = 0; i < order->authorization_count; i++) {
        const char *name = order->authorizations[i].name;
        if (strcmp(name, device->name) != 0 && strcmp(name, naming->wanted) != 0 && strcmp(name, naming->old) != 0)
            return false;
    }
    return true;
}

int np_store_naming_rows(struct np_store *store, const char *device, struct np_naming_row out_rows[NP_NAMING_PAST_MAX],
                         size_t *out_count)
{
    static const char text[] =
        "SELECT name, role, asked_s, until_s FROM naming WHERE device = ? ORDER BY asked_s DESC, name LIMIT ?";
    struct np_sql q = np_sql_start(store, text);
    size_t count = 0;
    np_sql_text(&q, device);
    np_sql_int(&q, NP_NAMING_PAST_MAX);
    while (count < NP_NAMING_PAST_MAX && np_sql_next(&q)) {
        struct np_naming_row *row = &out_rows[count++];
        np_sql_get_text(&q, row->name, sizeof row->name);
        row->role = (enum np_naming_role)np_sql_get_int(&q);
        row->asked_s = np_sql_get_int(&q);
        row->until_s = np_sql_get_int(&q);
    }
    int rc = np_sql_finish(&q);
    if (rc == 0)
        *out_count = count;
    return rc;
}

/* ---- One row ---- */

/* Writes a row. Where there is one of that name it changes hands only from the ledger's keeping, and to its own key.
 * Returns 0, NP_E_CONFLICT, or a database error. */
static int take(struct np_store *store, const struct np_device *device, const char *name, const char *network,
                int64_t now_s)
{
    static const char text[] =
        "INSERT INTO naming(name, device, thumbprint, role, network, asked_s, until_s) VALUES(?1, ?2, ?3, 1, ?4, ?5, 0)"
        " ON CONFLICT(name) DO UPDATE SET device = excluded.device, role = 1, network = excluded.network,"
        " asked_s = excluded.asked_s WHERE naming.role = 5 AND naming.thumbprint = excluded.thumbprint RETURNING 1";
    struct np_sql q = np_sql_start(store, text);
    np_sql_name(&q, name);
    np_sql_text(&q, device->id);
    np_sql_blob(&q, device->thumbprint, sizeof device->thumbprint);
    np_sql_text(&q, network);
    np_sql_int(&q, now_s);
    bool taken = np_sql_next(&q);
    while (np_sql_next(&q))
        ;
    int rc = np_sql_finish(&q);
    return rc ? rc : taken ? 0 : NP_E_CONFLICT;
}

static int set_role(struct np_store *store, const char *name, enum np_naming_role role, int64_t until_s)
{
    static const char text[] = "UPDATE naming SET role = ?2, until_s = ?3 WHERE name = ?1";
    struct np_sql q = np_sql_start(store, text);
    np_sql_name(&q, name);
    np_sql_int(&q, role);
    np_sql_int(&q, until_s);
    return np_sql_run(&q);
}

/* The name is the device's old one: a row of its own where HQ had made it, else the one that it has. */
static int set_old(struct np_store *store, const struct np_device *device, const char *name, int64_t until_s)
{
    static const char text[] =
        "INSERT INTO naming(name, device, thumbprint, role, network, asked_s, until_s) VALUES(?1, ?2, ?3, 2, '', 0, ?4)"
        " ON CONFLICT(name) DO UPDATE SET role = 2, until_s = excluded.until_s, device = excluded.device";
    struct np_sql q = np_sql_start(store, text);
    np_sql_name(&q, name);
    np_sql_text(&q, device->id);
    np_sql_blob(&q, device->thumbprint, sizeof device->thumbprint);
    np_sql_int(&q, until_s);
    return np_sql_run(&q);
}

static int rename_device(struct np_store *store, const char *id, const char *name)
{
    static const char text[] = "UPDATE device SET name = ?1 WHERE id = ?2";
    struct np_sql q = np_sql_start(store, text);
    np_sql_name(&q, name);
    np_sql_text(&q, id);
    int rc = np_sql_run(&q);
    return rc == -EEXIST ? NP_E_CONFLICT : rc;
}

/* The name is nobody's for ever, and shows nothing. */
static int end_name(struct np_store *store, const char *name, int64_t now_s)
{
    int rc = set_role(store, name, NP_NAMING_GONE, now_s);
    if (rc == 0)
        rc = np_sql_retire_name(store, name, now_s, true);
    return rc ? rc : np_sql_mark_dirty(store, name);
}

/* "a, what happened to it, b". */
static int note(struct np_store *store, const struct np_device *device, const char *action, int64_t now_ms,
                const char *a, const char *what, const char *b)
{
    struct np_audit entry;
    np_audit_fill(&entry, now_ms, NP_AUDIT_HQ, action, device, "%.80s%s%.80s", a, what, b);
    return np_store_audit_add(store, &entry);
}

int np_sql_naming_mark(struct np_store *store, const char *device)
{
    struct np_naming naming;
    int rc = np_store_naming_get(store, device, &naming);
    if (rc == 0 && naming.wanted[0])
        rc = np_sql_mark_dirty(store, naming.wanted);
    if (rc == 0 && naming.old[0])
        rc = np_sql_mark_dirty(store, naming.old);
    return rc;
}

int np_sql_naming_retire(struct np_store *store, const char *device, int64_t now_s)
{
    static const char text[] = "UPDATE naming SET role = 4, until_s = ?1 WHERE device = ?2 AND role = 3";
    struct np_naming naming;
    int rc = np_store_naming_get(store, device, &naming);
    if (rc == 0 && naming.wanted[0])
        rc = end_name(store, naming.wanted, now_s);
    if (rc == 0 && naming.old[0])
        rc = end_name(store, naming.old, now_s);
    if (rc)
        return rc;
    struct np_sql q = np_sql_start(store, text);
    np_sql_int(&q, now_s);
    np_sql_text(&q, device);
    return np_sql_run(&q);
}

/* ---- A wish ---- */

int np_store_naming_free(struct np_store *store, const struct np_device *device, const char *name)
{
    static const char text[] =
        "SELECT 1 FROM device WHERE name = ?1 UNION ALL SELECT 1 FROM tombstone WHERE name = ?1"
        " UNION ALL SELECT 1 FROM naming WHERE name = ?1 AND NOT (role = 5 AND thumbprint = ?2) LIMIT 1";
    struct np_sql q = np_sql_start(store, text);
    np_sql_name(&q, name);
    np_sql_blob(&q, device->thumbprint, sizeof device->thumbprint);
    bool found = np_sql_next(&q);
    int rc = np_sql_finish(&q);
    return rc ? rc : found ? NP_E_CONFLICT : 0;
}

static int note_ledger(struct np_store *store, const struct np_device *device, const char *name, int64_t now_s)
{
    char value[NP_LEDGER_VALUE_MAX + 1], key[NP_BASE64URL_LEN(32)];
    np_base64url_encode(device->thumbprint, 32, key);
    snprintf(value, sizeof value, "%s %s", name, key);
    return np_store_ledger_note(store, NP_LEDGER_NAME, value, now_s);
}

int np_store_naming_ask(struct np_store *store, const struct np_device *device, const char *name, const char *network,
                        int64_t now_s)
{
    int rc = np_sql_begin(store);
    if (rc)
        return rc;
    rc = np_store_naming_free(store, device, name);
    if (rc == 0)
        rc = take(store, device, name, network, now_s);
    if (rc == 0)
        rc = note_ledger(store, device, name, now_s);
    if (rc == 0)
        rc = np_sql_mark_dirty(store, name);
    return np_sql_end(store, rc);
}

int np_store_naming_counts(struct np_store *store, const char *device, const char *network, int64_t since_s,
                           struct np_naming_counts *out_counts)
{
    static const char of_device[] =
        "SELECT count(*), coalesce(max(asked_s), 0) FROM naming WHERE device = ? AND asked_s > 0";
    static const char of_network[] = "SELECT count(*) FROM naming WHERE network = ? AND network <> '' AND asked_s >= ?";
    struct np_naming_counts counts = {.device = 0};
    struct np_sql q = np_sql_start(store, of_device);
    np_sql_text(&q, device);
    if (np_sql_next(&q)) {
        counts.device = np_sql_get_int(&q);
        counts.last_s = np_sql_get_int(&q);
    }
    int rc = np_sql_finish(&q);
    if (rc)
        return rc;
    q = np_sql_start(store, of_network);
    np_sql_text(&q, network);
    np_sql_int(&q, since_s);
    if (np_sql_next(&q))
        counts.network = np_sql_get_int(&q);
    rc = np_sql_finish(&q);
    if (rc == 0)
        *out_counts = counts;
    return rc;
}

/* ---- Its end, good or bad ---- */

/* When does the last certificate end that the device had before package n? 0: there was none. */
static int last_end(struct np_store *store, const char *device, int64_t n, int64_t *out_s)
{
    static const char text[] = "SELECT coalesce(max(not_after_s), 0) FROM package WHERE device = ? AND n < ?";
    struct np_sql q = np_sql_start(store, text);
    np_sql_text(&q, device);
    np_sql_int(&q, n);
    *out_s = np_sql_next(&q) ? np_sql_get_int(&q) : 0;
    return np_sql_finish(&q);
}

static bool names_it(const struct np_order *order, const char *name)
{
    for (size_t i = 0; i < order->authorization_count; i++) {
        if (strcmp(order->authorizations[i].name, name) == 0)
            return true;
    }
    return false;
}

int np_sql_naming_confirm(struct np_store *store, const struct np_order *order, int64_t n, int64_t now_ms)
{
    struct np_naming naming;
    struct np_device device;
    int64_t until_s = 0;
    int rc = np_store_naming_get(store, order->device, &naming);
    if (rc || !naming.wanted[0] || !names_it(order, naming.wanted))
        return rc;
    rc = np_store_device_get(store, order->device, &device);
    if (rc == 0)
        rc = last_end(store, device.id, n, &until_s);
    if (rc == 0)
        rc = rename_device(store, device.id, naming.wanted);
    if (rc == 0)
        rc = set_role(store, naming.wanted, NP_NAMING_HELD, 0);
    if (rc == 0)
        rc = set_old(store, &device, device.name, until_s);
    if (rc == 0)
        rc = note(store, &device, NP_AUDIT_NAME_CHANGE, now_ms, device.name, " is now ", naming.wanted);
    return rc;
}

/* An order that names it and is being worked on: 1; else 0 or a database error. */
static int is_under_way(struct np_store *store, const char *device, const char *name)
{
    static const char text[] = "SELECT 1 FROM orders o JOIN \"authorization\" a ON a.order_id = o.id"
                               " WHERE o.device = ?2 AND a.name = ?1 AND ((o.state = 0 AND o.begun = 1)"
                               " OR o.state BETWEEN 1 AND 7) LIMIT 1";
    _Static_assert(NP_ORDER_QUEUED == 0 && NP_ORDER_ISSUED == 7, "the statement's numbers");
    struct np_sql q = np_sql_start(store, text);
    np_sql_name(&q, name);
    np_sql_text(&q, device);
    bool found = np_sql_next(&q);
    int rc = np_sql_finish(&q);
    return rc ? rc : found;
}

/* Orders that would get the name: without them the newest one is again that of the names that the device has. */
static int forget_orders(struct np_store *store, const char *device, const char *name)
{
    static const char orders[] = "DELETE FROM orders WHERE device = ?2 AND id IN"
                                 " (SELECT order_id FROM \"authorization\" WHERE name = ?1)";
    static const char parts[] = "DELETE FROM \"authorization\" WHERE order_id IN"
                                " (SELECT a.order_id FROM \"authorization\" a WHERE a.name = ?1)"
                                " AND NOT EXISTS (SELECT 1 FROM orders o WHERE o.id = \"authorization\".order_id)";
    struct np_sql q = np_sql_start(store, orders);
    np_sql_name(&q, name);
    np_sql_text(&q, device);
    int rc = np_sql_run(&q);
    if (rc)
        return rc;
    q = np_sql_start(store, parts);
    np_sql_name(&q, name);
    return np_sql_run(&q);
}

/* A wish that came to nothing counts for no limit. */
static int forget_wish(struct np_store *store, const char *name)
{
    static const char text[] = "UPDATE naming SET asked_s = 0, network = '' WHERE name = ?";
    struct np_sql q = np_sql_start(store, text);
    np_sql_name(&q, name);
    return np_sql_run(&q);
}

int np_store_naming_give_up(struct np_store *store, const struct np_device *device, const char *why, int64_t now_ms)
{
    struct np_naming naming;
    int rc = np_sql_begin(store);
    if (rc)
        return rc;
    rc = np_store_naming_get(store, device->id, &naming);
    if (rc || !naming.wanted[0])
        return np_sql_end(store, rc);
    rc = is_under_way(store, device->id, naming.wanted);
    if (rc > 0)
        rc = -EAGAIN;
    if (rc == 0)
        rc = forget_orders(store, device->id, naming.wanted);
    if (rc == 0)
        rc = forget_wish(store, naming.wanted);
    if (rc == 0)
        rc = end_name(store, naming.wanted, now_ms / 1000);
    if (rc == 0)
        rc = note(store, device, NP_AUDIT_NAME_REFUSED, now_ms, naming.wanted, ": ", why);
    return np_sql_end(store, rc);
}

int np_sql_naming_refused(struct np_store *store, const struct np_order *order)
{
    struct np_naming naming;
    struct np_device device;
    int rc = np_store_naming_get(store, order->device, &naming);
    if (rc || !naming.wanted[0] || !names_it(order, naming.wanted))
        return rc;
    rc = np_store_device_get(store, order->device, &device);
    return rc ? rc : np_store_naming_give_up(store, &device, order->error, order->updated_ms);
}

/* ---- The end of an old name ---- */

/* An old name whose time is over. */
struct ending {
    char name[NP_NAME_MAX + 1];
    char device[NP_DEVICE_ID_MAX + 1];
};

static int read_endings(struct np_sql *q, size_t limit, struct ending *endings)
{
    size_t count = 0;
    while (count < limit && np_sql_next(q)) {
        np_sql_get_text(q, endings[count].name, sizeof endings[count].name);
        np_sql_get_text(q, endings[count].device, sizeof endings[count].device);
        count++;
    }
    int rc = np_sql_finish(q);
    return rc ? rc : (int)count;
}

static int find_endings(struct np_store *store, const char *device, int64_t now_s, size_t limit, struct ending *endings)
{
    static const char all[] =
        "SELECT name, device FROM naming WHERE role = 2 AND until_s <= ? ORDER BY until_s LIMIT ?";
    static const char one[] = "SELECT name, device FROM naming WHERE device = ? AND role = 2 AND until_s <= ? LIMIT ?";
    struct np_sql q = np_sql_start(store, device ? one : all);
    if (device)
        np_sql_text(&q, device);
    np_sql_int(&q, now_s);
    np_sql_int(&q, (int64_t)limit);
    return read_endings(&q, limit, endings);
}

static int end_one(struct np_store *store, const struct ending *ending, int64_t now_s)
{
    struct np_device device;
    int rc = np_store_device_get(store, ending->device, &device);
    if (rc == 0)
        rc = end_name(store, ending->name, now_s);
    return rc ? rc
              : note(store, &device, NP_AUDIT_NAME_END, now_s * 1000, ending->name,
                     " is served no more; it was followed by ", device.name);
}

int np_store_naming_end_due(struct np_store *store, const char *device, int64_t now_s, size_t limit)
{
    struct ending endings[ENDS_MAX];
    int found = find_endings(store, device, now_s, limit < ENDS_MAX ? limit : ENDS_MAX, endings);
    if (found <= 0)
        return found;
    int rc = np_sql_begin(store);
    for (int i = 0; rc == 0 && i < found; i++)
        rc = end_one(store, &endings[i], now_s);
    rc = np_sql_end(store, rc);
    return rc ? rc : found;
}

int np_store_naming_next_end(struct np_store *store, int64_t *out_s)
{
    static const char text[] = "SELECT until_s FROM naming WHERE role = 2 ORDER BY until_s LIMIT 1";
    struct np_sql q = np_sql_start(store, text);
    int64_t next_s = np_sql_next(&q) ? np_sql_get_int(&q) : INT64_MAX;
    int rc = np_sql_finish(&q);
    if (rc == 0)
        *out_s = next_s;
    return rc;
}

/* ---- Coming back ---- */

int np_sql_naming_keep(struct np_store *store, const char *name, const uint8_t thumbprint[32])
{
    static const char text[] =
        "INSERT INTO naming(name, device, thumbprint, role, network, asked_s, until_s) VALUES(?1, '', ?2, 5, '', 0, 0)"
        " ON CONFLICT(name) DO NOTHING";
    struct np_sql q = np_sql_start(store, text);
    np_sql_name(&q, name);
    np_sql_blob(&q, thumbprint, 32);
    return np_sql_run(&q);
}

/* Its row says that a device holds it; where there is none (its ledger was lost too) it is made. */
static int hold(struct np_store *store, const struct np_device *device, const char *name)
{
    static const char text[] =
        "INSERT INTO naming(name, device, thumbprint, role, network, asked_s, until_s) VALUES(?1, ?2, ?3, 3, '', 0, 0)"
        " ON CONFLICT(name) DO UPDATE SET role = 3, device = excluded.device";
    struct np_sql q = np_sql_start(store, text);
    np_sql_name(&q, name);
    np_sql_text(&q, device->id);
    np_sql_blob(&q, device->thumbprint, sizeof device->thumbprint);
    return np_sql_run(&q);
}

int np_store_naming_regain(struct np_store *store, const struct np_device *device)
{
    static const char text[] = "UPDATE naming SET role = 3, device = ?2 WHERE name = ?1 AND role = 5";
    int rc = np_sql_begin(store);
    if (rc)
        return rc;
    struct np_sql q = np_sql_start(store, text);
    np_sql_name(&q, device->name);
    np_sql_text(&q, device->id);
    return np_sql_end(store, np_sql_run(&q));
}

int np_store_naming_restore(struct np_store *store, struct np_device *device, const char *name, int64_t old_until_s,
                            int64_t now_s)
{
    struct np_naming naming;
    int rc = np_sql_begin(store);
    if (rc)
        return rc;
    rc = np_store_name_regain(store, name);
    if (rc == 0)
        rc = np_store_naming_get(store, device->id, &naming);
    if (rc == 0 && (naming.wanted[0] || naming.old[0]))
        rc = NP_E_CONFLICT; /* a change is under way that this HQ knows of */
    if (rc == 0)
        rc = np_store_naming_free(store, device, name);
    if (rc == 0)
        rc = rename_device(store, device->id, name);
    if (rc == 0)
        rc = hold(store, device, name);
    if (rc == 0)
        rc = set_old(store, device, device->name, old_until_s);
    if (rc == 0 && old_until_s <= now_s)
        rc = end_name(store, device->name, now_s);
    if (rc == 0)
        rc = np_sql_mark_dirty(store, name);
    rc = np_sql_end(store, rc);
    if (rc == 0)
        snprintf(device->name, sizeof device->name, "%s", name);
    return rc;
}

int np_store_naming_restore_old(struct np_store *store, const struct np_device *device, const char *name,
                                int64_t until_s)
{
    int rc = np_sql_begin(store);
    if (rc)
        return rc;
    rc = np_store_name_regain(store, name);
    if (rc == 0)
        rc = np_store_naming_free(store, device, name);
    if (rc == 0)
        rc = set_old(store, device, name, until_s);
    if (rc == 0)
        rc = np_sql_mark_dirty(store, name);
    rc = np_sql_end(store, rc);
    return rc == NP_E_CONFLICT ? 0 : rc;
}

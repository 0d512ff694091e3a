#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hq/store/browse.h"
#include "hq/store/sql.h"
#include "resolver/base/error.h"

#define DEVICES_A_SLICE 1000    /* PostgreSQL brings all rows of an answer at once */
#define FOUND_ENOUGH    1000001 /* stops a search; no number of a caller's */

#define DEVICE_COLUMNS                                                                                                 \
    "id, x, y, thumbprint, epoch, token_hash, auth_n, auth_n_used, name, serial, credential, state, network, "         \
    "nonce_us, "                                                                                                       \
    "seq, stated, published, publish, model, version, created_s, last_seen_s, silent_s"

static void read_device(struct np_sql *q, struct np_device *d)
{
    np_sql_get_text(q, d->id, sizeof d->id);
    np_sql_get_bytes(q, d->identity.x, sizeof d->identity.x);
    np_sql_get_bytes(q, d->identity.y, sizeof d->identity.y);
    np_sql_get_bytes(q, d->thumbprint, sizeof d->thumbprint);
    np_sql_get_bytes(q, d->epoch, sizeof d->epoch);
    np_sql_get_bytes(q, d->token_hash, sizeof d->token_hash);
    d->auth_n = np_sql_get_int(q);
    d->auth_n_used = np_sql_get_int(q);
    np_sql_get_text(q, d->name, sizeof d->name);
    np_sql_get_text(q, d->serial, sizeof d->serial);
    d->credential = (enum np_credential_type)np_sql_get_int(q);
    d->state = (enum np_device_state)np_sql_get_int(q);
    np_sql_get_text(q, d->network, sizeof d->network);
    d->nonce_us = np_sql_get_int(q);
    d->seq = np_sql_get_int(q);
    np_sql_get_addresses(q, &d->stated);
    np_sql_get_addresses(q, &d->published);
    d->publish = (enum np_publish)np_sql_get_int(q);
    np_sql_get_text(q, d->model, sizeof d->model);
    np_sql_get_text(q, d->version, sizeof d->version);
    d->created_s = np_sql_get_int(q);
    d->last_seen_s = np_sql_get_int(q);
    d->silent_s = np_sql_get_int(q);
}

static int read_one(struct np_sql *q, struct np_device *out_device)
{
    struct np_device device = {0};
    bool found = np_sql_next(q);
    if (found)
        read_device(q, &device);
    int rc = np_sql_finish(q);
    if (rc)
        return rc;
    if (!found)
        return NP_E_NOT_FOUND;
    *out_device = device;
    return 0;
}

/* 0 when the name was never taken out of use, nor chosen by another, NP_E_CONFLICT when it was. */
static int check_taken(struct np_store *store, const struct np_device *device)
{
    static const char text[] = "SELECT 1 FROM tombstone WHERE name = ?1 UNION ALL SELECT 1 FROM naming"
                               " WHERE name = ?1 AND NOT (role = 5 AND thumbprint = ?2) LIMIT 1";
    struct np_sql q = np_sql_start(store, text);
    np_sql_name(&q, device->name);
    np_sql_blob(&q, device->thumbprint, sizeof device->thumbprint);
    bool found = np_sql_next(&q);
    int rc = np_sql_finish(&q);
    return rc ? rc : found ? NP_E_CONFLICT : 0;
}

static int insert_device(struct np_store *store, const struct np_device *d)
{
    static const char text[] =
        "INSERT INTO device(" DEVICE_COLUMNS ") VALUES(?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)";
    char stated[NP_SQL_ADDRESSES_MAX], published[NP_SQL_ADDRESSES_MAX];
    np_sql_addresses_format(&d->stated, stated);
    np_sql_addresses_format(&d->published, published);
    struct np_sql q = np_sql_start(store, text);
    np_sql_text(&q, d->id);
    np_sql_blob(&q, d->identity.x, sizeof d->identity.x);
    np_sql_blob(&q, d->identity.y, sizeof d->identity.y);
    np_sql_blob(&q, d->thumbprint, sizeof d->thumbprint);
    np_sql_blob(&q, d->epoch, sizeof d->epoch);
    np_sql_blob(&q, d->token_hash, sizeof d->token_hash);
    np_sql_int(&q, d->auth_n);
    np_sql_int(&q, d->auth_n_used);
    np_sql_name(&q, d->name);
    np_sql_text(&q, d->serial);
    np_sql_int(&q, d->credential);
    np_sql_int(&q, d->state);
    np_sql_text(&q, d->network);
    np_sql_int(&q, d->nonce_us);
    np_sql_int(&q, d->seq);
    np_sql_text(&q, stated);
    np_sql_text(&q, published);
    np_sql_int(&q, d->publish);
    np_sql_text(&q, d->model);
    np_sql_text(&q, d->version);
    np_sql_int(&q, d->created_s);
    np_sql_int(&q, d->last_seen_s);
    np_sql_int(&q, d->silent_s);
    return np_sql_run(&q);
}

int np_store_device_add(struct np_store *store, const struct np_device *device)
{
    struct np_device other;
    int rc = np_sql_begin(store);
    if (rc)
        return rc;
    rc = np_store_device_find(store, device->thumbprint, device->epoch, &other);
    if (rc == 0)
        rc = -EEXIST;
    if (rc == NP_E_NOT_FOUND)
        rc = check_taken(store, device);
    if (rc == 0) {
        rc = insert_device(store, device);
        if (rc == -EEXIST)
            rc = NP_E_CONFLICT; /* the identity was looked at under the same lock: it is the name */
    }
    if (rc == 0)
        rc = np_sql_mark_dirty(store, device->name);
    return np_sql_end(store, rc);
}

static int update_device(struct np_store *store, const struct np_device *d)
{
    static const char text[] =
        "UPDATE device SET token_hash=?, auth_n=?, auth_n_used=?, state=?, nonce_us=?, seq=?, stated=?, published=?,"
        " publish=?, model=?, version=?, last_seen_s=?, silent_s=? WHERE id=?";
    char stated[NP_SQL_ADDRESSES_MAX], published[NP_SQL_ADDRESSES_MAX];
    np_sql_addresses_format(&d->stated, stated);
    np_sql_addresses_format(&d->published, published);
    struct np_sql q = np_sql_start(store, text);
    np_sql_blob(&q, d->token_hash, sizeof d->token_hash);
    np_sql_int(&q, d->auth_n);
    np_sql_int(&q, d->auth_n_used);
    np_sql_int(&q, d->state);
    np_sql_int(&q, d->nonce_us);
    np_sql_int(&q, d->seq);
    np_sql_text(&q, stated);
    np_sql_text(&q, published);
    np_sql_int(&q, d->publish);
    np_sql_text(&q, d->model);
    np_sql_text(&q, d->version);
    np_sql_int(&q, d->last_seen_s);
    np_sql_int(&q, d->silent_s);
    np_sql_text(&q, d->id);
    return np_sql_run(&q);
}

int np_store_device_update(struct np_store *store, const struct np_device *device)
{
    struct np_device old;
    int rc = np_sql_begin(store);
    if (rc)
        return rc;
    rc = np_store_device_get(store, device->id, &old);
    if (rc == 0)
        rc = update_device(store, device);
    if (rc == 0 && (old.state != device->state || old.silent_s != device->silent_s ||
                    !np_addresses_equal(&old.published, &device->published))) {
        rc = np_sql_mark_dirty(store, old.name);
        if (rc == 0)
            rc = np_sql_naming_mark(store, device->id);
    }
    bool blocked = device->state == NP_DEVICE_BLOCKED, was_blocked = old.state == NP_DEVICE_BLOCKED;
    if (rc == 0 && blocked != was_blocked && device->state != NP_DEVICE_RETIRED)
        rc = np_sql_note_block(store, &old, blocked);
    return np_sql_end(store, rc);
}

int np_store_device_get(struct np_store *store, const char *id, struct np_device *out_device)
{
    static const char text[] = "SELECT " DEVICE_COLUMNS " FROM device WHERE id = ?";
    struct np_sql q = np_sql_start(store, text);
    np_sql_text(&q, id);
    return read_one(&q, out_device);
}

int np_store_device_find(struct np_store *store, const uint8_t thumbprint[32], const uint8_t epoch[NP_EPOCH_LEN],
                         struct np_device *out_device)
{
    static const char text[] = "SELECT " DEVICE_COLUMNS " FROM device WHERE thumbprint = ? AND epoch = ?";
    struct np_sql q = np_sql_start(store, text);
    np_sql_blob(&q, thumbprint, 32);
    np_sql_blob(&q, epoch, NP_EPOCH_LEN);
    return read_one(&q, out_device);
}

int np_store_devices_quiet(struct np_store *store, int64_t seen_s, size_t limit, char (*out_ids)[NP_DEVICE_ID_MAX + 1])
{
    static const char text[] = "SELECT id FROM device WHERE state <> 2 AND silent_s = 0 AND last_seen_s <= ?"
                               " ORDER BY last_seen_s LIMIT ?";
    _Static_assert(NP_DEVICE_RETIRED == 2, "the statement's number, and the index's");
    struct np_sql q = np_sql_start(store, text);
    int count = 0;
    np_sql_int(&q, seen_s);
    np_sql_int(&q, (int64_t)limit);
    while ((size_t)count < limit && np_sql_next(&q))
        np_sql_get_text(&q, out_ids[count++], sizeof out_ids[0]);
    int rc = np_sql_finish(&q);
    return rc ? rc : count;
}

int np_store_device_silence(struct np_store *store, const char *id, int64_t seen_s, int64_t now_s)
{
    struct np_device device;
    int rc = np_sql_begin(store);
    if (rc)
        return rc;
    rc = np_store_device_get(store, id, &device);
    if (rc == 0 && (device.last_seen_s > seen_s || device.silent_s || device.state == NP_DEVICE_RETIRED))
        rc = NP_E_STALE;
    if (rc == 0) {
        device.silent_s = now_s;
        rc = np_store_device_update(store, &device);
    }
    if (rc == 0)
        rc = np_sql_retire_name(store, device.name, now_s, false);
    return np_sql_end(store, rc);
}

static int each_device(struct np_sql *q, np_store_device_fn *each, void *ctx)
{
    int stopped = 0;
    while (!stopped && np_sql_next(q)) {
        struct np_device device = {0};
        read_device(q, &device);
        if (!q->rc)
            stopped = each(ctx, &device);
    }
    int rc = np_sql_finish(q);
    return rc ? rc : stopped;
}

/* One slice of a page; notes where it ended. */
struct slice {
    np_store_device_fn *each;
    void *ctx;
    size_t count;
    char after[NP_NAME_MAX + 1];
};

static int sliced(void *ctx, const struct np_device *device)
{
    struct slice *slice = ctx;
    slice->count++;
    memcpy(slice->after, device->name, sizeof slice->after);
    return slice->each(slice->ctx, device);
}

static int read_slice(struct np_store *store, enum np_device_filter filter, size_t limit, struct slice *slice)
{
    static const char all[] = "SELECT " DEVICE_COLUMNS " FROM device WHERE name > ?1 ORDER BY name LIMIT ?2";
    static const char some[] = "SELECT " DEVICE_COLUMNS " FROM device WHERE name > ?1 AND state = ?3"
                               " AND CASE WHEN state = 0 AND silent_s <> 0 THEN 1 ELSE 0 END = ?4"
                               " ORDER BY name LIMIT ?2";
    static const enum np_device_state states[] = {NP_DEVICE_ACTIVE, NP_DEVICE_ACTIVE, NP_DEVICE_ACTIVE,
                                                  NP_DEVICE_BLOCKED, NP_DEVICE_RETIRED};
    struct np_sql q = np_sql_start(store, filter == NP_DEVICES_ALL ? all : some);
    slice->count = 0;
    np_sql_name(&q, slice->after);
    np_sql_int(&q, (int64_t)limit);
    if (filter != NP_DEVICES_ALL) {
        np_sql_int(&q, states[filter]);
        np_sql_int(&q, filter == NP_DEVICES_SILENT);
    }
    return each_device(&q, sliced, slice);
}

int np_store_devices_page(struct np_store *store, enum np_device_filter filter, const char *after, size_t limit,
                          np_store_device_fn *each, void *ctx)
{
    struct slice slice = {.each = each, .ctx = ctx};
    int rc = 0;
    snprintf(slice.after, sizeof slice.after, "%s", after);
    while (rc == 0 && limit > 0) {
        size_t wanted = limit < DEVICES_A_SLICE ? limit : DEVICES_A_SLICE;
        rc = read_slice(store, filter, wanted, &slice);
        limit = slice.count < wanted ? 0 : limit - wanted;
    }
    return rc;
}

/* Devices that were given out already are not given out again. */
struct finding {
    np_store_device_fn *each;
    void *ctx;
    size_t limit, count;
    char (*seen)[NP_DEVICE_ID_MAX + 1];
};

static int found_one(void *ctx, const struct np_device *device)
{
    struct finding *finding = ctx;
    for (size_t i = 0; i < finding->count; i++) {
        if (strcmp(finding->seen[i], device->id) == 0)
            return 0;
    }
    memcpy(finding->seen[finding->count++], device->id, sizeof device->id);
    int stopped = finding->each(finding->ctx, device);
    return stopped ? stopped : finding->count == finding->limit ? FOUND_ENOUGH : 0;
}

int np_store_devices_find(struct np_store *store, const char *text, size_t limit, np_store_device_fn *each, void *ctx)
{
    /* Prefixes as ranges: an index serves them, and nothing in text is a pattern. '~' follows all that may stand in a
     * name or an id, and is the last character of a serial number. */
    static const char by_id[] = "SELECT " DEVICE_COLUMNS " FROM device WHERE id = ?1 AND id < ?2 LIMIT ?3";
    static const char by_name[] =
        "SELECT " DEVICE_COLUMNS " FROM device WHERE name >= ?1 AND name < ?2 ORDER BY name LIMIT ?3";
    static const char by_serial[] = "SELECT " DEVICE_COLUMNS " FROM device WHERE serial <> '' AND serial >= ?1"
                                    " AND serial < ?2 ORDER BY serial, created_s LIMIT ?3";
    static const char by_id_prefix[] =
        "SELECT " DEVICE_COLUMNS " FROM device WHERE id >= ?1 AND id < ?2 ORDER BY id LIMIT ?3";
    static const char by_other_name[] = "SELECT " DEVICE_COLUMNS " FROM device WHERE id IN (SELECT device FROM naming"
                                        " WHERE name >= ?1 AND name < ?2 AND device <> '') ORDER BY name LIMIT ?3";
    static const char *const ways[] = {by_id, by_name, by_other_name, by_serial, by_id_prefix};
    char lower[NP_NAME_MAX + 1], end[NP_NAME_MAX + 3];
    struct finding finding = {.each = each, .ctx = ctx, .limit = limit};
    size_t len = strlen(text);
    if (len == 0 || len > NP_NAME_MAX || limit == 0)
        return 0;
    finding.seen = calloc(limit, sizeof *finding.seen);
    if (!finding.seen)
        return -ENOMEM;
    for (size_t i = 0; i <= len; i++)
        lower[i] = (char)(text[i] >= 'A' && text[i] <= 'Z' ? text[i] + 32 : text[i]);
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < sizeof ways / sizeof *ways; i++) {
        const char *begin = ways[i] == by_name || ways[i] == by_other_name ? lower : text;
        snprintf(end, sizeof end, "%s~%s", begin, ways[i] == by_serial ? "~" : "");
        struct np_sql q = np_sql_start(store, ways[i]);
        np_sql_text(&q, begin);
        np_sql_text(&q, end);
        np_sql_int(&q, (int64_t)limit);
        rc = each_device(&q, found_one, &finding);
    }
    free(finding.seen);
    return rc == FOUND_ENOUGH ? 0 : rc;
}

int np_store_devices_at(struct np_store *store, const struct np_addr *address, size_t limit, np_store_device_fn *each,
                        void *ctx)
{
    static const char text[] = "SELECT " DEVICE_COLUMNS " FROM device WHERE ' ' || stated || ' ' LIKE ?1"
                               " OR ' ' || published || ' ' LIKE ?1 ORDER BY name LIMIT ?2";
    char pattern[NP_ADDR_TEXT_MAX + 4], shown[NP_ADDR_TEXT_MAX];
    snprintf(pattern, sizeof pattern, "%% %s %%", np_addr_format(address, shown));
    struct np_sql q = np_sql_start(store, text);
    np_sql_text(&q, pattern);
    np_sql_int(&q, (int64_t)limit);
    return each_device(&q, each, ctx);
}

static int count(struct np_sql *q, struct np_store_counts *out_counts)
{
    struct np_store_counts counts = {0};
    if (np_sql_next(q)) {
        counts.live = np_sql_get_int(q);
        counts.recent = np_sql_get_int(q);
    }
    int rc = np_sql_finish(q);
    if (rc == 0)
        *out_counts = counts;
    return rc;
}

int np_store_count_serial(struct np_store *store, const char *serial, int64_t since_s,
                          struct np_store_counts *out_counts)
{
    static const char text[] =
        "SELECT count(*) FILTER (WHERE state = 0), count(*) FILTER (WHERE created_s >= ?) FROM device"
        " WHERE serial = ? AND serial <> '' AND credential <> 0";
    _Static_assert(NP_CREDENTIAL_OPEN == 0, "the statement's number");
    struct np_sql q = np_sql_start(store, text);
    np_sql_int(&q, since_s);
    np_sql_text(&q, serial);
    return count(&q, out_counts);
}

int np_store_is_blocked(struct np_store *store, const uint8_t thumbprint[32], const char *serial)
{
    static const char text[] = "SELECT 1 FROM device WHERE state = 1 AND"
                               " (thumbprint = ?1 OR (serial = ?2 AND serial <> '' AND credential <> 0))"
                               " UNION ALL SELECT 1 FROM barred WHERE thumbprint = ?1 OR (serial = ?2 AND serial <> '')"
                               " LIMIT 1";
    _Static_assert(NP_DEVICE_BLOCKED == 1 && NP_CREDENTIAL_OPEN == 0, "the statement's numbers");
    struct np_sql q = np_sql_start(store, text);
    np_sql_blob(&q, thumbprint, 32);
    np_sql_text(&q, serial);
    bool found = np_sql_next(&q);
    int rc = np_sql_finish(&q);
    return rc ? rc : found;
}

int np_store_count_network(struct np_store *store, const char *network, int64_t since_s,
                           struct np_store_counts *out_counts)
{
    /* All that begin with the wider network: what sorts between it and it with '!', the next character after a blank.
     */
    static const char text[] =
        "SELECT count(*) FILTER (WHERE state = 0 AND network = ?1),"
        " count(*) FILTER (WHERE created_s >= ?2 AND network = ?1), count(*) FILTER (WHERE created_s >= ?2) FROM device"
        " WHERE credential = 0 AND network >= ?3 AND network < ?4";
    char from[NP_STORE_NETWORK_MAX], to[NP_STORE_NETWORK_MAX + 1];
    struct np_store_counts counts = {0};
    snprintf(from, sizeof from, "%s", network);
    bool wider = strchr(from, ' ') != NULL;
    from[strcspn(from, " ")] = 0;
    snprintf(to, sizeof to, "%s!", from);
    struct np_sql q = np_sql_start(store, text);
    np_sql_text(&q, network);
    np_sql_int(&q, since_s);
    np_sql_text(&q, from);
    np_sql_text(&q, to);
    if (np_sql_next(&q)) {
        counts.live = np_sql_get_int(&q);
        counts.recent = np_sql_get_int(&q);
        counts.site = np_sql_get_int(&q);
    }
    if (!wider)
        counts.site = 0;
    int rc = np_sql_finish(&q);
    if (rc == 0)
        *out_counts = counts;
    return rc;
}

int np_store_key_is_identity(struct np_store *store, const uint8_t thumbprint[32])
{
    static const char text[] = "SELECT 1 FROM device WHERE thumbprint = ? LIMIT 1";
    struct np_sql q = np_sql_start(store, text);
    np_sql_blob(&q, thumbprint, 32);
    bool found = np_sql_next(&q);
    int rc = np_sql_finish(&q);
    return rc ? rc : found;
}

int np_store_key_owner(struct np_store *store, const uint8_t thumbprint[32], char out_device[NP_DEVICE_ID_MAX + 1])
{
    static const char text[] = "SELECT device FROM used_key WHERE thumbprint = ?";
    char device[NP_DEVICE_ID_MAX + 1] = "";
    struct np_sql q = np_sql_start(store, text);
    np_sql_blob(&q, thumbprint, 32);
    bool found = np_sql_next(&q);
    if (found)
        np_sql_get_text(&q, device, sizeof device);
    int rc = np_sql_finish(&q);
    if (rc)
        return rc;
    if (!found)
        return NP_E_NOT_FOUND;
    memcpy(out_device, device, sizeof device);
    return 0;
}

int np_store_key_count(struct np_store *store, const char *device, int64_t since_s, int64_t *out_count,
                       int64_t *out_oldest_s)
{
    static const char text[] =
        "SELECT count(*), coalesce(min(seen_s), 0) FROM used_key WHERE device = ? AND seen_s >= ?";
    return np_sql_count_since(store, text, device, since_s, out_count, out_oldest_s);
}

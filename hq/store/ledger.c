#include "hq/store/ledger.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "hq/store/sql.h"
#include "resolver/base/error.h"
#include "resolver/base/text.h"

int np_store_ledger_after(struct np_store *store, int64_t seq, size_t limit, np_ledger_fn *each, void *ctx)
{
    static const char text[] = "SELECT seq, at_s, kind, value FROM ledger WHERE seq > ? ORDER BY seq LIMIT ?";
    struct np_sql q = np_sql_start(store, text);
    int stopped = 0;
    np_sql_int(&q, seq);
    np_sql_int(&q, (int64_t)limit);
    while (!stopped && np_sql_next(&q)) {
        struct np_ledger_entry entry = {.seq = np_sql_get_int(&q)};
        entry.at_s = np_sql_get_int(&q);
        entry.kind = (enum np_ledger_kind)np_sql_get_int(&q);
        np_sql_get_text(&q, entry.value, sizeof entry.value);
        if (!q.rc)
            stopped = each(ctx, &entry);
    }
    int rc = np_sql_finish(&q);
    return rc ? rc : stopped;
}

int np_store_ledger_last(struct np_store *store, int64_t *out_seq, int64_t *out_at_s)
{
    static const char text[] = "SELECT seq, at_s FROM ledger ORDER BY seq DESC LIMIT 1";
    struct np_sql q = np_sql_start(store, text);
    int64_t seq = 0, at_s = 0;
    if (np_sql_next(&q)) {
        seq = np_sql_get_int(&q);
        at_s = np_sql_get_int(&q);
    }
    int rc = np_sql_finish(&q);
    if (rc)
        return rc;
    *out_seq = seq;
    *out_at_s = at_s;
    return 0;
}

static int insert(struct np_store *store, const struct np_ledger_entry *entry)
{
    static const char text[] = "INSERT INTO ledger(seq, at_s, kind, value) VALUES(?, ?, ?, ?)";
    struct np_sql q = np_sql_start(store, text);
    np_sql_int(&q, entry->seq);
    np_sql_int(&q, entry->at_s);
    np_sql_int(&q, entry->kind);
    np_sql_text(&q, entry->value);
    return np_sql_run(&q);
}

int np_store_ledger_note(struct np_store *store, enum np_ledger_kind kind, const char *value, int64_t at_s)
{
    struct np_ledger_entry entry = {.at_s = at_s, .kind = kind};
    int64_t last_s;
    int rc = np_sql_begin(store);
    if (rc)
        return rc;
    snprintf(entry.value, sizeof entry.value, "%s", value);
    rc = np_store_ledger_last(store, &entry.seq, &last_s);
    entry.seq++;
    if (rc == 0)
        rc = insert(store, &entry);
    return np_sql_end(store, rc);
}

/* ---- Blocks without a device ---- */

static int bar(struct np_store *store, const uint8_t thumbprint[32], const char *serial, int64_t at_s)
{
    static const char text[] = "INSERT INTO barred(thumbprint, serial, since_s) VALUES(?, ?, ?)"
                               " ON CONFLICT(thumbprint) DO UPDATE SET serial = excluded.serial";
    struct np_sql q = np_sql_start(store, text);
    np_sql_blob(&q, thumbprint, 32);
    np_sql_text(&q, serial);
    np_sql_int(&q, at_s);
    return np_sql_run(&q);
}

static int unbar(struct np_store *store, const uint8_t thumbprint[32], const char *serial)
{
    static const char text[] = "DELETE FROM barred WHERE thumbprint = ? OR (serial = ? AND serial <> '')";
    struct np_sql q = np_sql_start(store, text);
    np_sql_blob(&q, thumbprint, 32);
    np_sql_text(&q, serial);
    return np_sql_run(&q);
}

int np_sql_note_block(struct np_store *store, const struct np_device *device, bool blocked)
{
    char value[NP_LEDGER_VALUE_MAX + 1], hex[NP_HEX_LEN(32)];
    bool proved = device->serial[0] && device->credential != NP_CREDENTIAL_OPEN;
    np_hex_encode(device->thumbprint, 32, hex);
    snprintf(value, sizeof value, "%s %s", hex, proved ? device->serial : "-");
    int rc = blocked ? 0 : unbar(store, device->thumbprint, proved ? device->serial : "");
    return rc ? rc
              : np_store_ledger_note(store, blocked ? NP_LEDGER_BLOCK : NP_LEDGER_UNBLOCK, value, (int64_t)time(NULL));
}

static int take_block(struct np_store *store, const struct np_ledger_entry *entry)
{
    uint8_t thumbprint[32];
    char hex[NP_HEX_LEN(32)];
    const char *serial = entry->value + sizeof hex; /* behind the space */
    if (strlen(entry->value) < sizeof hex + 1 || strlen(serial) > NP_SERIAL_MAX)
        return NP_E_MALFORMED;
    memcpy(hex, entry->value, sizeof hex - 1);
    hex[sizeof hex - 1] = 0;
    if (entry->value[sizeof hex - 1] != ' ' || np_hex_decode_exact(hex, thumbprint, sizeof thumbprint))
        return NP_E_MALFORMED;
    serial = strcmp(serial, "-") == 0 ? "" : serial;
    return entry->kind == NP_LEDGER_BLOCK ? bar(store, thumbprint, serial, entry->at_s)
                                          : unbar(store, thumbprint, serial);
}

int np_store_unbar(struct np_store *store, const char *who, int64_t now_s)
{
    static const char text[] =
        "SELECT thumbprint, serial FROM barred WHERE thumbprint = ? OR (serial = ? AND serial <> '')";
    char value[NP_LEDGER_VALUE_MAX + 1], hex[NP_HEX_LEN(32)], serial[NP_SERIAL_MAX + 1];
    uint8_t thumbprint[32] = {0};
    int count = 0;
    np_hex_decode_exact(who, thumbprint, sizeof thumbprint); /* a serial number: all zero, which is nobody's key */
    int rc = np_sql_begin(store);
    if (rc)
        return rc;
    for (bool found = true; rc == 0 && found; count += found) {
        struct np_sql q = np_sql_start(store, text);
        np_sql_blob(&q, thumbprint, sizeof thumbprint);
        np_sql_text(&q, who);
        uint8_t key[32];
        found = np_sql_next(&q);
        if (found) {
            np_sql_get_bytes(&q, key, sizeof key);
            np_sql_get_text(&q, serial, sizeof serial);
        }
        rc = np_sql_finish(&q);
        if (rc || !found)
            break;
        np_hex_encode(key, sizeof key, hex);
        snprintf(value, sizeof value, "%s %s", hex, serial[0] ? serial : "-");
        rc = unbar(store, key, serial);
        if (rc == 0)
            rc = np_store_ledger_note(store, NP_LEDGER_UNBLOCK, value, now_s);
    }
    rc = np_sql_end(store, rc);
    return rc ? rc : count;
}

/* ---- Taking back ---- */

static int take_name(struct np_store *store, const struct np_ledger_entry *entry)
{
    char name[NP_NAME_MAX + 1];
    uint8_t thumbprint[32];
    size_t len = strcspn(entry->value, " ");
    if (len == 0 || len > NP_NAME_MAX || !entry->value[len] ||
        np_base64url_decode_exact(entry->value + len + 1, thumbprint, sizeof thumbprint))
        return NP_E_MALFORMED;
    memcpy(name, entry->value, len);
    name[len] = 0;
    return np_is_hostname(name) ? np_sql_naming_keep(store, name, thumbprint) : NP_E_MALFORMED;
}

static int carry_out(struct np_store *store, const struct np_ledger_entry *entry)
{
    bool changed;
    switch (entry->kind) {
    case NP_LEDGER_LEFT:
        return np_sql_tombstone(store, entry->value, entry->at_s, true, &changed);
    case NP_LEDGER_SILENT:
        return np_sql_tombstone(store, entry->value, entry->at_s, false, &changed);
    case NP_LEDGER_BLOCK:
    case NP_LEDGER_UNBLOCK:
        return take_block(store, entry);
    case NP_LEDGER_DAY:
        return 0;
    case NP_LEDGER_NAME:
        return take_name(store, entry);
    }
    return NP_E_MALFORMED;
}

/* Is there one like it, behind its number? Another HQ may have taken it from its own file. */
static int is_taken(struct np_store *store, const struct np_ledger_entry *entry)
{
    static const char text[] = "SELECT 1 FROM ledger WHERE seq >= ? AND at_s = ? AND kind = ? AND value = ? LIMIT 1";
    struct np_sql q = np_sql_start(store, text);
    np_sql_int(&q, entry->seq);
    np_sql_int(&q, entry->at_s);
    np_sql_int(&q, entry->kind);
    np_sql_text(&q, entry->value);
    bool found = np_sql_next(&q);
    int rc = np_sql_finish(&q);
    return rc ? rc : found;
}

int np_store_ledger_take(struct np_store *store, const struct np_ledger_entry *entry)
{
    struct np_ledger_entry noted = *entry;
    int64_t last_s;
    int rc = np_sql_begin(store);
    if (rc)
        return rc;
    int taken = is_taken(store, entry);
    if (taken)
        return np_sql_end(store, taken < 0 ? taken : 0);
    rc = np_store_ledger_last(store, &noted.seq, &last_s);
    noted.seq++;
    if (rc == 0)
        rc = carry_out(store, entry);
    if (rc == 0)
        rc = insert(store, &noted);
    return np_sql_end(store, rc);
}

int np_store_name_regain(struct np_store *store, const char *name)
{
    static const char text[] = "DELETE FROM tombstone WHERE name = ?1 AND final = 0"
                               " AND NOT EXISTS (SELECT 1 FROM device d WHERE d.name = ?1)";
    int rc = np_sql_begin(store);
    if (rc)
        return rc;
    struct np_sql q = np_sql_start(store, text);
    np_sql_name(&q, name);
    return np_sql_end(store, np_sql_run(&q));
}

/* ---- Recovery ---- */

int np_store_recovery_get(struct np_store *store, int64_t *out_until_s)
{
    static const char text[] = "SELECT value FROM meta WHERE key = 'recovery_until_s'";
    struct np_sql q = np_sql_start(store, text);
    int64_t until_s = np_sql_next(&q) ? np_sql_get_int(&q) : 0;
    int rc = np_sql_finish(&q);
    if (rc == 0)
        *out_until_s = until_s;
    return rc;
}

int np_store_recovery_set(struct np_store *store, int64_t until_s)
{
    static const char text[] = "INSERT INTO meta(key, value) VALUES('recovery_until_s', ?)"
                               " ON CONFLICT(key) DO UPDATE SET value = excluded.value";
    int rc = np_sql_begin(store);
    if (rc)
        return rc;
    struct np_sql q = np_sql_start(store, text);
    np_sql_int(&q, until_s);
    return np_sql_end(store, np_sql_run(&q));
}

#include "hq/store/audit.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "hq/store/sql.h"
#include "resolver/base/error.h"
#include "resolver/base/text.h"

void np_audit_fill(struct np_audit *out_entry, int64_t at_ms, const char *actor, const char *action,
                   const struct np_device *device, const char *format, ...)
{
    struct np_audit entry = {.at_ms = at_ms};
    char detail[NP_AUDIT_DETAIL_MAX + 1];
    va_list args;
    va_start(args, format);
    vsnprintf(detail, sizeof detail, format, args);
    va_end(args);
    np_text_sanitize(actor, entry.actor, sizeof entry.actor);
    np_text_sanitize(action, entry.action, sizeof entry.action);
    np_text_sanitize(detail, entry.detail, sizeof entry.detail);
    if (device) {
        memcpy(entry.device, device->id, sizeof entry.device);
        memcpy(entry.name, device->name, sizeof entry.name);
        memcpy(entry.serial, device->serial, sizeof entry.serial);
    }
    *out_entry = entry;
}

/* Numbers have no gaps: whoever writes holds the database's lock. */
int np_store_audit_add(struct np_store *store, const struct np_audit *entry)
{
    static const char text[] = "INSERT INTO audit(seq, at_ms, actor, action, device, name, serial, detail)"
                               " SELECT coalesce(max(seq), 0) + 1, ?, ?, ?, ?, ?, ?, ? FROM audit";
    int rc = np_sql_begin(store);
    if (rc)
        return rc;
    struct np_sql q = np_sql_start(store, text);
    np_sql_int(&q, entry->at_ms);
    np_sql_text(&q, entry->actor);
    np_sql_text(&q, entry->action);
    np_sql_text(&q, entry->device);
    np_sql_text(&q, entry->name);
    np_sql_text(&q, entry->serial);
    np_sql_text(&q, entry->detail);
    return np_sql_end(store, np_sql_run(&q));
}

#define COLUMNS "seq, at_ms, actor, action, device, name, serial, detail"

/* The newest ones, turned round. */
static const char all_text[] = "SELECT " COLUMNS " FROM (SELECT " COLUMNS
                               " FROM audit WHERE at_ms >= ?1 ORDER BY seq DESC LIMIT ?2) newest ORDER BY seq";
static const char device_text[] =
    "SELECT " COLUMNS " FROM (SELECT " COLUMNS
    " FROM audit WHERE device = ?3 AND at_ms >= ?1 ORDER BY seq DESC LIMIT ?2) newest ORDER BY seq";

int np_store_audit_each(struct np_store *store, const struct np_audit_filter *filter, np_store_audit_fn *each,
                        void *ctx)
{
    struct np_sql q = np_sql_start(store, filter->device ? device_text : all_text);
    int stopped = 0;
    np_sql_int(&q, filter->since_ms);
    np_sql_int(&q, (int64_t)filter->limit);
    if (filter->device)
        np_sql_text(&q, filter->device);
    while (!stopped && np_sql_next(&q)) {
        struct np_audit entry = {.seq = np_sql_get_int(&q)};
        entry.at_ms = np_sql_get_int(&q);
        np_sql_get_text(&q, entry.actor, sizeof entry.actor);
        np_sql_get_text(&q, entry.action, sizeof entry.action);
        np_sql_get_text(&q, entry.device, sizeof entry.device);
        np_sql_get_text(&q, entry.name, sizeof entry.name);
        np_sql_get_text(&q, entry.serial, sizeof entry.serial);
        np_sql_get_text(&q, entry.detail, sizeof entry.detail);
        if (!q.rc)
            stopped = each(ctx, &entry);
    }
    int rc = np_sql_finish(&q);
    return rc ? rc : stopped;
}

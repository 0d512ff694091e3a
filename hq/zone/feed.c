#include "hq/zone/feed.h"

#include <string.h>

#include "resolver/base/error.h"

#define ENTRY_NAME       1
#define ENTRY_CHALLENGES 2

void np_feed_begin(struct np_writer *w, const struct np_feed_head *head)
{
    np_write_u64(w, head->batch);
    np_write_u32(w, head->serial);
    np_write_u32(w, head->challenge_serial);
    np_write_u8(w, head->flags);
}

size_t np_feed_label(const char *origin, const char *name)
{
    const char *dot = strchr(name, '.');
    size_t len = dot ? (size_t)(dot - name) : 0;
    return len > 0 && len <= NP_TABLE_LABEL_MAX && strcmp(dot + 1, origin) == 0 ? len : 0;
}

/* Takes the entry out again when it did not fit. */
static int end_entry(struct np_writer *w, size_t start)
{
    if (!w->error)
        return 0;
    np_write_rewind(w, start);
    return NP_E_LIMIT;
}

int np_feed_name(struct np_writer *w, const char *origin, const struct np_zone_name *name)
{
    const struct np_addresses *published = &name->published;
    size_t start = w->pos, len = np_feed_label(origin, name->name);
    size_t v4_count = published->v4_count < NP_TABLE_V4_MAX ? published->v4_count : NP_TABLE_V4_MAX;
    size_t v6_count = published->v6_count < NP_TABLE_V6_MAX ? published->v6_count : NP_TABLE_V6_MAX;
    if (len == 0)
        return NP_E_NAME;
    if (!name->present)
        v4_count = v6_count = 0;
    np_write_u8(w, ENTRY_NAME);
    np_write_u8(w, (uint8_t)len);
    np_write_bytes(w, name->name, len);
    np_write_u8(w, name->present);
    np_write_u8(w, (uint8_t)v4_count);
    np_write_u8(w, (uint8_t)v6_count);
    for (size_t i = 0; i < v4_count; i++)
        np_write_bytes(w, published->v4[i].bytes, 4);
    for (size_t i = 0; i < v6_count; i++)
        np_write_bytes(w, published->v6[i].bytes, 16);
    return end_entry(w, start);
}

int np_feed_challenges(struct np_writer *w, const char *origin, const char *name,
                       const char values[NP_ZONE_TXT_MAX][NP_ZONE_TXT_LEN + 1], size_t count)
{
    size_t start = w->pos, len = np_feed_label(origin, name);
    if (len == 0)
        return NP_E_NAME;
    np_write_u8(w, ENTRY_CHALLENGES);
    np_write_u8(w, (uint8_t)len);
    np_write_bytes(w, name, len);
    np_write_u8(w, (uint8_t)count);
    for (size_t i = 0; i < count; i++)
        np_write_bytes(w, values[i], NP_ZONE_TXT_LEN);
    return end_entry(w, start);
}

int np_feed_read_head(struct np_reader *r, struct np_feed_head *out_head)
{
    struct np_feed_head head;
    head.batch = np_read_u64(r);
    head.serial = np_read_u32(r);
    head.challenge_serial = np_read_u32(r);
    head.flags = np_read_u8(r);
    if (r->error)
        return NP_E_MALFORMED;
    *out_head = head;
    return 0;
}

static int apply_name(struct np_reader *r, struct np_table *table, const uint8_t *label, size_t len)
{
    uint8_t present = np_read_u8(r), v4_count = np_read_u8(r), v6_count = np_read_u8(r);
    const uint8_t *v4 = np_read_bytes(r, v4_count * 4u), *v6 = np_read_bytes(r, v6_count * 16u);
    if (r->error)
        return NP_E_MALFORMED;
    return np_table_put(table, (const char *)label, len, present != 0, (const uint8_t(*)[4])v4, v4_count,
                        (const uint8_t(*)[16])v6, v6_count);
}

static int apply_challenges(struct np_reader *r, struct np_table *table, const uint8_t *label, size_t len)
{
    uint8_t count = np_read_u8(r);
    const uint8_t *values = np_read_bytes(r, count * (size_t)NP_ZONE_TXT_LEN);
    if (r->error)
        return NP_E_MALFORMED;
    return np_table_put_txt(table, (const char *)label, len, (const char(*)[NP_ZONE_TXT_LEN])(const void *)values,
                            count);
}

int np_feed_apply(struct np_reader *r, struct np_table *table)
{
    while (np_reader_left(r) > 0) {
        uint8_t type = np_read_u8(r), len = np_read_u8(r);
        const uint8_t *label = np_read_bytes(r, len);
        int rc = NP_E_MALFORMED;
        if (r->error)
            return NP_E_MALFORMED;
        if (type == ENTRY_NAME)
            rc = apply_name(r, table, label, len);
        else if (type == ENTRY_CHALLENGES)
            rc = apply_challenges(r, table, label, len);
        if (rc)
            return rc;
    }
    return r->error ? NP_E_MALFORMED : 0;
}

#include "hq/zone/table.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "resolver/base/error.h"
#include "resolver/name.h"

/* The arena: chunks that never move, handed out in units of 8 bytes. A reference is the number of a unit; 0 is none. */
#define UNIT        8u
#define CHUNK_UNITS (128u * 1024) /* 1 MiB */
#define SIZE_MAX_U  64u           /* largest record in units; the fullest one has 41 */
#define SLOTS_MIN   64u           /* a power of two */

/* A record: this head, the label, then the IPv4 addresses, the IPv6 addresses, the challenge values; unaligned bytes.
 */
struct record {
    uint8_t label_len;
    uint8_t v4_count : 4, v6_count : 4;
    uint8_t txt_count : 4, present : 1;
    uint8_t units;
    uint8_t data[];
};

struct slot {
    uint32_t hash, ref;
};

struct np_table {
    uint64_t key;
    struct slot *slots;
    size_t slot_count, count;
    uint8_t **chunks;
    size_t chunk_count, chunk_room;
    uint32_t next_unit;              /* first never-used unit of the last chunk */
    uint32_t free_units[SIZE_MAX_U]; /* lists of released records by size, linked through their first 4 bytes */
};

static struct record *at(const struct np_table *table, uint32_t ref)
{
    return (struct record *)(void *)(table->chunks[ref / CHUNK_UNITS] + (size_t)(ref % CHUNK_UNITS) * UNIT);
}

int np_table_new(uint64_t key, struct np_table **out_table)
{
    struct np_table *table = calloc(1, sizeof *table);
    struct slot *slots = calloc(SLOTS_MIN, sizeof *slots);
    if (!table || !slots) {
        free(table);
        free(slots);
        return -ENOMEM;
    }
    table->key = key;
    table->slots = slots;
    table->slot_count = SLOTS_MIN;
    table->next_unit = CHUNK_UNITS;
    *out_table = table;
    return 0;
}

void np_table_free(struct np_table *table)
{
    if (!table)
        return;
    for (size_t i = 0; i < table->chunk_count; i++)
        free(table->chunks[i]);
    free(table->chunks);
    free(table->slots);
    free(table);
}

static int add_chunk(struct np_table *table)
{
    if (table->chunk_count == table->chunk_room) {
        size_t room = table->chunk_room ? table->chunk_room * 2 : 16;
        uint8_t **chunks = reallocarray(table->chunks, room, sizeof *chunks);
        if (!chunks)
            return -ENOMEM;
        table->chunks = chunks;
        table->chunk_room = room;
    }
    if (table->chunk_count >= UINT32_MAX / CHUNK_UNITS)
        return NP_E_LIMIT;
    uint8_t *chunk = malloc((size_t)CHUNK_UNITS * UNIT);
    if (!chunk)
        return -ENOMEM;
    table->chunks[table->chunk_count++] = chunk;
    table->next_unit = table->chunk_count == 1 ? 1 : 0; /* reference 0 means none */
    return 0;
}

static int take_units(struct np_table *table, uint32_t units, uint32_t *out_ref)
{
    uint32_t ref = table->free_units[units];
    if (ref) {
        memcpy(&table->free_units[units], at(table, ref), sizeof ref);
        *out_ref = ref;
        return 0;
    }
    if (table->next_unit + units > CHUNK_UNITS) {
        int rc = add_chunk(table);
        if (rc)
            return rc;
    }
    *out_ref = (uint32_t)((table->chunk_count - 1) * CHUNK_UNITS + table->next_unit);
    table->next_unit += units;
    return 0;
}

static void release_units(struct np_table *table, uint32_t ref)
{
    uint32_t units = at(table, ref)->units;
    memcpy(at(table, ref), &table->free_units[units], sizeof ref);
    table->free_units[units] = ref;
}

static uint32_t hash_label(const struct np_table *table, const void *label, size_t len)
{
    struct np_name name = {.len = (uint8_t)(len + 2)};
    name.wire[0] = (uint8_t)len;
    memcpy(name.wire + 1, label, len);
    uint64_t hash = np_name_hash(&name, table->key);
    return (uint32_t)(hash >> 32 ^ hash);
}

static bool label_equal(const struct record *record, const uint8_t *label, size_t len)
{
    if (record->label_len != len)
        return false;
    for (size_t i = 0; i < len; i++) {
        uint8_t c = label[i];
        if (record->data[i] != ((uint8_t)(c - 'A') < 26 ? (uint8_t)(c | 0x20) : c))
            return false;
    }
    return true;
}

/* The label's slot, or the empty one where it belongs. */
static size_t find_slot(const struct np_table *table, uint32_t hash, const void *label, size_t len)
{
    size_t mask = table->slot_count - 1, i = hash & mask;
    while (table->slots[i].ref) {
        if (table->slots[i].hash == hash && label_equal(at(table, table->slots[i].ref), label, len))
            break;
        i = (i + 1) & mask;
    }
    return i;
}

static void view_record(const struct record *record, struct np_table_entry *out_entry)
{
    const uint8_t *p = record->data + record->label_len;
    out_entry->present = record->present;
    out_entry->v4_count = record->v4_count;
    out_entry->v4 = (const uint8_t(*)[4])p;
    p += record->v4_count * 4u;
    out_entry->v6_count = record->v6_count;
    out_entry->v6 = (const uint8_t(*)[16])p;
    p += record->v6_count * 16u;
    out_entry->txt_count = record->txt_count;
    out_entry->txt = (const char(*)[NP_ZONE_TXT_LEN])(const void *)p;
}

bool np_table_get(const struct np_table *table, const void *label, size_t label_len, struct np_table_entry *out_entry)
{
    memset(out_entry, 0, sizeof *out_entry);
    if (label_len == 0 || label_len > NP_TABLE_LABEL_MAX)
        return false;
    uint32_t ref = table->slots[find_slot(table, hash_label(table, label, label_len), label, label_len)].ref;
    if (!ref)
        return false;
    view_record(at(table, ref), out_entry);
    return true;
}

/* Doubles the slots when three quarters are taken. */
static int make_room(struct np_table *table)
{
    if (table->count < table->slot_count / 4 * 3)
        return 0;
    size_t slot_count = table->slot_count * 2, mask = slot_count - 1;
    struct slot *slots = calloc(slot_count, sizeof *slots);
    if (!slots)
        return -ENOMEM;
    for (size_t k = 0; k < table->slot_count; k++) {
        size_t i = table->slots[k].hash & mask;
        if (!table->slots[k].ref)
            continue;
        while (slots[i].ref)
            i = (i + 1) & mask;
        slots[i] = table->slots[k];
    }
    free(table->slots);
    table->slots = slots;
    table->slot_count = slot_count;
    return 0;
}

/* Empties slot i and moves those behind it up, so that no probe stops too early (Knuth 6.4, algorithm R). */
static void remove_slot(struct np_table *table, size_t i)
{
    size_t mask = table->slot_count - 1;
    release_units(table, table->slots[i].ref);
    for (size_t k = (i + 1) & mask; table->slots[k].ref; k = (k + 1) & mask) {
        size_t home = table->slots[k].hash & mask;
        if (((k - home) & mask) >= ((k - i) & mask)) {
            table->slots[i] = table->slots[k];
            i = k;
        }
    }
    table->slots[i] = (struct slot){0, 0};
    table->count--;
}

static void fill_record(struct record *record, const char *label, size_t label_len, const struct np_table_entry *entry)
{
    uint8_t *p = record->data;
    record->label_len = (uint8_t)label_len;
    record->present = entry->present;
    record->v4_count = (uint8_t)(entry->v4_count & 15);
    record->v6_count = (uint8_t)(entry->v6_count & 15);
    record->txt_count = (uint8_t)(entry->txt_count & 15);
    for (size_t i = 0; i < label_len; i++) {
        uint8_t c = (uint8_t)label[i];
        *p++ = (uint8_t)(c - 'A') < 26 ? (uint8_t)(c | 0x20) : c;
    }
    if (entry->v4_count)
        memcpy(p, entry->v4, entry->v4_count * 4);
    p += entry->v4_count * 4;
    if (entry->v6_count)
        memcpy(p, entry->v6, entry->v6_count * 16);
    p += entry->v6_count * 16;
    if (entry->txt_count)
        memcpy(p, entry->txt, entry->txt_count * NP_ZONE_TXT_LEN);
}

/* Replaces what label has by entry, which may point into the old record. */
static int put_entry(struct np_table *table, const char *label, size_t label_len, const struct np_table_entry *entry)
{
    if (entry->v4_count > NP_TABLE_V4_MAX || entry->v6_count > NP_TABLE_V6_MAX || entry->txt_count > NP_ZONE_TXT_MAX)
        return NP_E_LIMIT;
    int rc = make_room(table);
    if (rc)
        return rc;
    uint32_t hash = hash_label(table, label, label_len), ref = 0;
    size_t i = find_slot(table, hash, label, label_len);
    bool wanted = entry->present || entry->txt_count > 0, known = table->slots[i].ref != 0;
    if (!wanted) {
        if (known)
            remove_slot(table, i);
        return 0;
    }
    if (!known && table->count >= NP_TABLE_NAMES_MAX)
        return NP_E_LIMIT;
    size_t size = sizeof(struct record) + label_len + entry->v4_count * 4 + entry->v6_count * 16 +
                  entry->txt_count * NP_ZONE_TXT_LEN;
    uint32_t units = (uint32_t)((size + UNIT - 1) / UNIT);
    rc = take_units(table, units, &ref);
    if (rc)
        return rc;
    fill_record(at(table, ref), label, label_len, entry);
    at(table, ref)->units = (uint8_t)units;
    if (known)
        release_units(table, table->slots[i].ref);
    else
        table->count++;
    table->slots[i] = (struct slot){hash, ref};
    return 0;
}

int np_table_put(struct np_table *table, const char *label, size_t label_len, bool present, const uint8_t (*v4)[4],
                 size_t v4_count, const uint8_t (*v6)[16], size_t v6_count)
{
    struct np_table_entry entry;
    if (label_len == 0 || label_len > NP_TABLE_LABEL_MAX)
        return NP_E_LIMIT;
    np_table_get(table, label, label_len, &entry);
    entry.present = present;
    entry.v4 = v4;
    entry.v4_count = present ? v4_count : 0;
    entry.v6 = v6;
    entry.v6_count = present ? v6_count : 0;
    return put_entry(table, label, label_len, &entry);
}

int np_table_put_txt(struct np_table *table, const char *label, size_t label_len, const char (*txt)[NP_ZONE_TXT_LEN],
                     size_t txt_count)
{
    struct np_table_entry entry;
    if (label_len == 0 || label_len > NP_TABLE_LABEL_MAX)
        return NP_E_LIMIT;
    np_table_get(table, label, label_len, &entry);
    entry.txt = txt;
    entry.txt_count = txt_count;
    return put_entry(table, label, label_len, &entry);
}

size_t np_table_count(const struct np_table *table)
{
    return table->count;
}

size_t np_table_bytes(const struct np_table *table)
{
    return sizeof *table + table->slot_count * sizeof(struct slot) + table->chunk_room * sizeof(uint8_t *) +
           table->chunk_count * (size_t)CHUNK_UNITS * UNIT;
}

#include "hq/zone/audit.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "hq/zone/table.h"
#include "resolver/base/error.h"
#include "resolver/base/random.h"
#include "resolver/message.h"

#define SLOTS_MIN 1024u /* a power of two */

/* A name; its label stands in the text at that place, with a NUL. */
struct entry {
    uint64_t sum; /* of its records */
    uint32_t text;
    uint16_t count;
    bool expected, standing;
};

struct np_audit {
    const struct np_records_zone *zone;
    uint64_t key;
    struct entry *entries;
    size_t count, room;
    uint32_t *slots; /* entry + 1; 0: empty */
    size_t slot_count;
    char *text;
    size_t text_len, text_room;
};

const char *np_audit_word(enum np_audit_finding finding)
{
    static const char *const words[] = {"same", "missing", "different", "extra"};
    return words[finding];
}

/* ---- Numbers for names and records ---- */

static uint64_t mix(uint64_t hash, uint64_t value)
{
    hash = (hash ^ value) * UINT64_C(0x9e3779b97f4a7c15);
    return hash ^ hash >> 29;
}

static uint8_t lower(uint8_t c)
{
    return (uint8_t)(c - 'A') < 26 ? (uint8_t)(c | 0x20) : c;
}

static uint64_t hash_label(const struct np_audit *audit, const char *label, size_t len)
{
    uint64_t hash = mix(audit->key, len);
    for (size_t i = 0; i < len; i++)
        hash = mix(hash, lower((uint8_t)label[i]));
    return hash;
}

/* The names in the data of MX and CNAME are the same in either case; so are owners. */
static uint64_t hash_record(const struct np_audit *audit, const struct np_record *record)
{
    size_t plain = record->type == NP_RR_CNAME ? 0 : record->type == NP_RR_MX ? 2 : SIZE_MAX;
    uint64_t hash = mix(np_name_hash(&record->owner, audit->key), record->type);
    hash = mix(hash, record->rdata_len);
    for (size_t i = 0; i < record->rdata_len; i++)
        hash = mix(hash, i >= plain ? lower(record->rdata[i]) : record->rdata[i]);
    return hash;
}

/* ---- The book of names ---- */

int np_audit_new(const struct np_records_zone *zone, struct np_audit **out_audit)
{
    struct np_audit *audit = calloc(1, sizeof *audit);
    if (!audit)
        return -ENOMEM;
    audit->zone = zone;
    np_random_bytes(&audit->key, sizeof audit->key);
    *out_audit = audit;
    return 0;
}

void np_audit_free(struct np_audit *audit)
{
    if (!audit)
        return;
    free(audit->entries);
    free(audit->slots);
    free(audit->text);
    free(audit);
}

/* Twice the slots, when three quarters are taken. */
static int make_slots(struct np_audit *audit)
{
    if (audit->count < audit->slot_count / 4 * 3)
        return 0;
    size_t slot_count = audit->slot_count ? audit->slot_count * 2 : SLOTS_MIN;
    uint32_t *slots = calloc(slot_count, sizeof *slots);
    if (!slots)
        return -ENOMEM;
    for (size_t i = 0; i < audit->count; i++) {
        const char *label = audit->text + audit->entries[i].text;
        size_t slot = hash_label(audit, label, strlen(label)) & (slot_count - 1);
        while (slots[slot])
            slot = (slot + 1) & (slot_count - 1);
        slots[slot] = (uint32_t)i + 1;
    }
    free(audit->slots);
    audit->slots = slots;
    audit->slot_count = slot_count;
    return 0;
}

static bool is_label(const struct np_audit *audit, const struct entry *entry, const char *label, size_t len)
{
    const char *text = audit->text + entry->text;
    if (strlen(text) != len)
        return false;
    for (size_t i = 0; i < len; i++) {
        if (text[i] != (char)lower((uint8_t)label[i]))
            return false;
    }
    return true;
}

/* The slot of a label: its entry's, or the empty one where it belongs. */
static size_t find_slot(const struct np_audit *audit, const char *label, size_t len)
{
    size_t slot = hash_label(audit, label, len) & (audit->slot_count - 1);
    while (audit->slots[slot] && !is_label(audit, &audit->entries[audit->slots[slot] - 1], label, len))
        slot = (slot + 1) & (audit->slot_count - 1);
    return slot;
}

static void *grow(void *memory, size_t *room, size_t wanted, size_t size)
{
    size_t more = *room ? *room : 1024;
    while (more < wanted)
        more += more / 2;
    void *grown = more == *room ? memory : reallocarray(memory, more, size);
    if (grown)
        *room = more;
    return grown;
}

static int add_entry(struct np_audit *audit, const char *label, size_t len, size_t slot)
{
    struct entry *entries = grow(audit->entries, &audit->room, audit->count + 1, sizeof *entries);
    if (!entries)
        return -ENOMEM;
    audit->entries = entries;
    char *text = grow(audit->text, &audit->text_room, audit->text_len + len + 1, 1);
    if (!text)
        return -ENOMEM;
    audit->text = text;
    if (audit->text_len > UINT32_MAX - NP_TABLE_LABEL_MAX || audit->count >= NP_TABLE_NAMES_MAX)
        return NP_E_LIMIT;
    audit->entries[audit->count] = (struct entry){.text = (uint32_t)audit->text_len};
    for (size_t i = 0; i < len; i++)
        audit->text[audit->text_len++] = (char)lower((uint8_t)label[i]);
    audit->text[audit->text_len++] = 0;
    audit->slots[slot] = (uint32_t)++audit->count;
    return 0;
}

/* ---- What the server has ---- */

/* Which device's name a record belongs to: its label, in the owner. False: to none. */
static bool find_label(const struct np_audit *audit, const struct np_name *owner, const uint8_t **out_label)
{
    static const uint8_t challenge[] = "\17_acme-challenge";
    unsigned depth = np_name_labels(owner) - np_name_labels(&audit->zone->origin);
    const uint8_t *label = owner->wire;
    if (!np_name_within(owner, &audit->zone->origin) || np_name_within(owner, &audit->zone->challenge_origin) ||
        depth < 1 || depth > 2)
        return false;
    if (depth == 2) {
        for (size_t i = 0; i < sizeof challenge - 1; i++) {
            if (lower(label[i]) != challenge[i])
                return false;
        }
        label += sizeof challenge - 1;
    }
    *out_label = label;
    return label[0] > 0 && label[1] != '_' && !memchr(label + 1, 0, label[0]);
}

/* Is it the CNAME that HQ gives to each of its names? */
static bool is_standing(const struct np_audit *audit, const struct np_record *record, const uint8_t *label)
{
    struct np_name target = {.len = (uint8_t)(record->rdata_len < NP_NAME_WIRE_MAX ? record->rdata_len : 1)};
    if (record->type != NP_RR_CNAME || record->rdata_len > NP_NAME_WIRE_MAX)
        return false;
    memcpy(target.wire, record->rdata, target.len);
    struct np_name parent = np_name_parent(&target, 1);
    if (!np_name_equal(&parent, &audit->zone->challenge_origin) || target.wire[0] != label[0])
        return false;
    for (size_t i = 1; i <= label[0]; i++) {
        if (lower(target.wire[i]) != lower(label[i]))
            return false;
    }
    return true;
}

int np_audit_record(struct np_audit *audit, const struct np_record *record)
{
    const uint8_t *label;
    if (!find_label(audit, &record->owner, &label))
        return 0;
    int rc = make_slots(audit);
    if (rc)
        return rc;
    size_t slot = find_slot(audit, (const char *)label + 1, label[0]);
    if (!audit->slots[slot])
        rc = add_entry(audit, (const char *)label + 1, label[0], slot);
    if (rc)
        return rc;
    struct entry *entry = &audit->entries[audit->slots[slot] - 1];
    entry->sum += hash_record(audit, record);
    entry->count = entry->count < UINT16_MAX ? (uint16_t)(entry->count + 1) : UINT16_MAX;
    entry->standing = entry->standing || is_standing(audit, record, label);
    return 0;
}

/* ---- Comparing ---- */

enum np_audit_finding np_audit_expect(struct np_audit *audit, const char *label, const struct np_records *records)
{
    uint64_t sum = 0;
    size_t slot = audit->slot_count ? find_slot(audit, label, strlen(label)) : 0;
    if (!audit->slot_count || !audit->slots[slot])
        return records->count ? NP_AUDIT_MISSING : NP_AUDIT_SAME;
    struct entry *entry = &audit->entries[audit->slots[slot] - 1];
    entry->expected = true;
    for (size_t i = 0; i < records->count; i++)
        sum += hash_record(audit, &records->records[i]);
    if (records->count == 0)
        return NP_AUDIT_EXTRA;
    return entry->count == records->count && entry->sum == sum ? NP_AUDIT_SAME : NP_AUDIT_DIFFERENT;
}

int np_audit_rest(const struct np_audit *audit, np_audit_fn *each, void *ctx)
{
    int stopped = 0;
    for (size_t i = 0; i < audit->count && !stopped; i++) {
        const struct entry *entry = &audit->entries[i];
        if (!entry->expected)
            stopped = each(ctx, audit->text + entry->text, entry->standing);
    }
    return stopped;
}

size_t np_audit_count(const struct np_audit *audit)
{
    return audit->count;
}

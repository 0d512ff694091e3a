/* table: the names directly below a zone and what they have: addresses and challenge values. Made for a million names.
 *
 * An open-addressing hash table of 8-byte slots over an arena of small records: about 45 bytes a name with one IPv4
 * address. Labels are single, lower case, at most 63 bytes. Hashes are keyed, so that nobody who may choose names can
 * choose collisions. No clock, no I/O; only the put functions allocate. */
#ifndef HQ_ZONE_TABLE_H
#define HQ_ZONE_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "hq/zone/zone.h"

#define NP_TABLE_V4_MAX    2 /* IPv4 addresses of a name: what the store publishes */
#define NP_TABLE_V6_MAX    4
#define NP_TABLE_LABEL_MAX 63
#define NP_TABLE_NAMES_MAX (1u << 25) /* far above the 10 million of the largest vendor */

struct np_table;

/* What a name has. The pointers point into the table and live until its next change. */
struct np_table_entry {
    bool present; /* the name exists (a device holds it), even without addresses */
    size_t v4_count, v6_count;
    const uint8_t (*v4)[4];
    const uint8_t (*v6)[16];
    size_t txt_count;
    const char (*txt)[NP_ZONE_TXT_LEN]; /* challenge values, without NUL */
};

/* key: random. Returns 0 or -ENOMEM. */
int np_table_new(uint64_t key, struct np_table **out_table);

/* Frees; NULL is fine. */
void np_table_free(struct np_table *table);

/* Sets a name's existence and addresses; its challenge values stay. Not present: both counts are taken as 0. Returns 0,
 * NP_E_LIMIT (a count, the label, or NP_TABLE_NAMES_MAX) or -ENOMEM; the entry is unchanged then. */
int np_table_put(struct np_table *table, const char *label, size_t label_len, bool present, const uint8_t (*v4)[4],
                 size_t v4_count, const uint8_t (*v6)[16], size_t v6_count);

/* Sets a name's challenge values (NP_ZONE_TXT_LEN characters each), whether it is present or not. Errors as above. */
int np_table_put_txt(struct np_table *table, const char *label, size_t label_len, const char (*txt)[NP_ZONE_TXT_LEN],
                     size_t txt_count);

/* Looks a label up; its case does not matter. False, and a zeroed entry, when the table has nothing of it. */
bool np_table_get(const struct np_table *table, const void *label, size_t label_len, struct np_table_entry *out_entry);

/* Entries, and bytes of memory they take altogether. */
size_t np_table_count(const struct np_table *table);
/* See np_table_count. */
size_t np_table_bytes(const struct np_table *table);

#endif

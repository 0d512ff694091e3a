/* feed: what flows between HQ and its DNS child over the channel (resolver/base/channel.h). Pure.
 *
 * From the parent: CONF (struct np_feed_setup: both ends are the same executable), LSTN (one byte a descriptor: 0 UDP,
 * 1 TCP), and DATA, a batch of changes:
 *
 *     batch number (8), serial (4), challenge zone's serial (4), flags (1), then entries:
 *       1, label length, label, present, v4 count, v6 count, addresses     a name's existence and addresses
 *       2, label length, label, count, values of 43 characters             a name's challenge values
 *
 * A snapshot is a run of batches, the first one flagged RESET (forget everything), the last one LIVE (serve from now
 * on: until then the child keeps serving what it had before). From the child: ACKN with the batch number once a batch
 * is applied, and REDY once, after the first LIVE. */
#ifndef HQ_ZONE_FEED_H
#define HQ_ZONE_FEED_H

#include "hq/store/store.h"
#include "hq/zone/table.h"
#include "hq/zone/zone.h"
#include "resolver/base/channel.h"
#include "resolver/base/cursor.h"

#define NP_FEED_CONF NP_FRAME('C', 'O', 'N', 'F')
#define NP_FEED_LSTN NP_FRAME('L', 'S', 'T', 'N')
#define NP_FEED_DATA NP_FRAME('D', 'A', 'T', 'A')
#define NP_FEED_ACKN NP_FRAME('A', 'C', 'K', 'N')
#define NP_FEED_REDY NP_FRAME('R', 'E', 'D', 'Y')

#define NP_FEED_RESET 1u
#define NP_FEED_LIVE  2u

#define NP_FEED_HEAD_LEN  17
#define NP_FEED_BATCH_MAX 65536 /* bytes of a snapshot's batch: about 3,000 names */

/* The payload of CONF. */
struct np_feed_setup {
    struct np_zone_config config;
    struct np_zone_accounts accounts;
};

/* The head of a batch. */
struct np_feed_head {
    uint64_t batch;
    uint32_t serial, challenge_serial;
    uint8_t flags;
};

/* Begins a batch in w, whose buffer has at least NP_FEED_HEAD_LEN bytes. */
void np_feed_begin(struct np_writer *w, const struct np_feed_head *head);

/* Appends a name's state. zone_len is strlen(origin). Returns 0, NP_E_LIMIT when the buffer is full (nothing was
 * appended), or NP_E_NAME for a name that is not directly below the origin. At most NP_TABLE_V4_MAX and V6_MAX
 * addresses go along. */
int np_feed_name(struct np_writer *w, const char *origin, const struct np_zone_name *name);

/* Appends a name's challenge values. Errors as above. */
int np_feed_challenges(struct np_writer *w, const char *origin, const char *name,
                       const char values[NP_ZONE_TXT_MAX][NP_ZONE_TXT_LEN + 1], size_t count);

/* Reads the head of a batch; r stands before the entries then. Returns 0 or NP_E_MALFORMED. */
int np_feed_read_head(struct np_reader *r, struct np_feed_head *out_head);

/* Applies the entries that are left in r. Returns 0, NP_E_MALFORMED, NP_E_LIMIT or -ENOMEM; entries before the bad one
 * stay applied. */
int np_feed_apply(struct np_reader *r, struct np_table *table);

/* Length of the label when name is "<label>.<origin>", else 0. Case of the origin must match (both are lower case). */
size_t np_feed_label(const char *origin, const char *name);

#endif

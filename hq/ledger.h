/* ledger: the file that outlives the database (hq/store/ledger.h says what stands in it and why). One entry a line, in
 * the order of their numbers, only ever appended:
 *
 *     17 1790000000 left nifty-babbage.devices.example
 *     18 1790003600 block 5f2c...e1 NP-0042
 *
 * The database and the file are compared at the start, and each second by their last entry: what the file has and the
 * database lacks (it was lost, put back, or another server took over with a copy that was behind) is given to it again.
 * Where it has meanwhile other entries under the same numbers, the file is set aside and written anew from it.
 *
 * np_ledger_parse and np_ledger_format are pure. Lifecycle: np_ledger_new (opens the file and takes into the database
 * what that lacks), np_ledger_start, np_ledger_close. */
#ifndef HQ_LEDGER_H
#define HQ_LEDGER_H

#include <stdbool.h>
#include <stddef.h>
#include <uv.h>

#include "hq/store/ledger.h"

#define NP_LEDGER_LINE_MAX  (NP_LEDGER_VALUE_MAX + 64) /* bytes with the newline */
#define NP_LEDGER_WRITE_MS  1000
#define NP_LEDGER_ERROR_MAX 512

struct np_ledger;

/* A line without its newline as an entry. Returns 0 or NP_E_MALFORMED. */
int np_ledger_parse(const char *line, size_t len, struct np_ledger_entry *out_entry);

/* The line of an entry, with its newline and a NUL; its length without that. */
size_t np_ledger_format(const struct np_ledger_entry *entry, char out[NP_LEDGER_LINE_MAX + 1]);

/* Opens the file, or makes it, and gives the database what the file has beyond it: *out_taken entries; 0: they agree,
 * or the file is behind. The start of an unfinished line at its end (a power cut) is removed. store is borrowed.
 * Returns 0, or an error with a sentence in error. */
int np_ledger_new(uv_loop_t *loop, struct np_store *store, const char *path, struct np_ledger **out_ledger,
                  size_t *out_taken, char error[NP_LEDGER_ERROR_MAX]);

/* Begins to append what the database has beyond the file, now and every NP_LEDGER_WRITE_MS. */
void np_ledger_start(struct np_ledger *ledger);

/* Notes once a day that there is nothing to note: for the one HQ that works. */
void np_ledger_keep_days(struct np_ledger *ledger);

/* Appends what is left, and frees; done(ctx) is called from the loop when the memory has gone. */
void np_ledger_close(struct np_ledger *ledger, void (*done)(void *ctx), void *ctx);

#endif

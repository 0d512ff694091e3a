/* ledger: what must outlive the database: names that are never given away again, and who is blocked. Every such change
 * is also an entry of an append-only list, which hq/ledger copies into a file. A database that was lost, or came back
 * from a backup, gets from that file what it lacks; and it is in `recovery` for a while: new names all carry a suffix,
 * so that none of them is one that somebody holds who is not back yet. */
#ifndef HQ_STORE_LEDGER_H
#define HQ_STORE_LEDGER_H

#include <stddef.h>
#include <stdint.h>

#include "hq/store/store.h"

#define NP_LEDGER_VALUE_MAX (NP_NAME_MAX + 64) /* characters: a name, or a key's thumbprint and a serial number */
#define NP_RECOVERY_S       (30 * 86400)       /* by then every box that lives has come back */
#define NP_LEDGER_DAY_S     86400

/* Numbers are stored; words stand in the file. */
#define NP_LEDGER_KIND_MAP(X)                                                                                          \
    X(1, LEFT, "left")       /* the name of a device that has left: nobody's for ever */                               \
    X(2, SILENT, "silent")   /* a name that shows nothing: for its own device alone, by its grant */                   \
    X(3, BLOCK, "block")     /* "<thumbprint in hex> <serial number, or ->" */                                         \
    X(4, UNBLOCK, "unblock") /* likewise */                                                                            \
    X(5, DAY, "day")         /* nothing: a mark, by which the loss of a day is noticed */                              \
    X(6, NAME, "name")       /* "<name> <thumbprint in base64url>": a chosen name, for this key alone */

enum np_ledger_kind {
#define NP_LEDGER_ENUM(number, name, word) NP_LEDGER_##name = number,
    NP_LEDGER_KIND_MAP(NP_LEDGER_ENUM)
#undef NP_LEDGER_ENUM
};

/* An entry. seq counts from 1 without a gap. */
struct np_ledger_entry {
    int64_t seq, at_s;
    enum np_ledger_kind kind;
    char value[NP_LEDGER_VALUE_MAX + 1];
};

/* Return other than 0 to stop; np_store_ledger_after then returns that number. */
typedef int np_ledger_fn(void *ctx, const struct np_ledger_entry *entry);

/* Entries after seq, at most limit. The callback must not write. */
int np_store_ledger_after(struct np_store *store, int64_t seq, size_t limit, np_ledger_fn *each, void *ctx);

/* The newest entry's number and time; both 0 where there is none. Returns 0 or a database error. */
int np_store_ledger_last(struct np_store *store, int64_t *out_seq, int64_t *out_at_s);

/* Appends an entry. Returns 0 or a database error. */
int np_store_ledger_note(struct np_store *store, enum np_ledger_kind kind, const char *value, int64_t at_s);

/* An entry from the file which the database does not have under this number: does what it says, and notes it under the
 * next one, unless that has been done. Returns 0 or a database error. */
int np_store_ledger_take(struct np_store *store, const struct np_ledger_entry *entry);

/* A grant was shown for this name: where nobody holds it, having been silent once is no hindrance any more. Returns 0
 * or a database error. */
int np_store_name_regain(struct np_store *store, const char *name);

/* Lets in again whoever was blocked with this serial number, or this key (64 hexadecimal digits), and is known from the
 * ledger alone, with entries that say so. Returns their number, or a database error. */
int np_store_unbar(struct np_store *store, const char *who, int64_t now_s);

/* Until when is HQ in recovery? 0: it is not. Returns 0 or a database error. */
int np_store_recovery_get(struct np_store *store, int64_t *out_until_s);

/* Begins or (0) ends it. Returns 0 or a database error. */
int np_store_recovery_set(struct np_store *store, int64_t until_s);

#endif

/* backup: copies of the SQLite database, and putting one back. A database server has its own tools (pg_dump). */
#ifndef HQ_STORE_BACKUP_H
#define HQ_STORE_BACKUP_H

#include <stddef.h>
#include <stdint.h>

/* Copies the database at path into the new file `file` (mode 0600), as it is at one moment, while HQ runs. The copy is
 * checked, and is there whole or not at all. Returns 0, or an error with a sentence in error (size bytes): NP_E_UNKNOWN
 * for a database server, -EEXIST where file is there already. */
int np_store_backup(const char *path, const char *file, char *error, size_t size);

/* Puts the copy in `file` in the place of the database at path, which nobody may have open, and begins a recovery until
 * until_s (hq/store/ledger.h). What was there is kept: out_kept (size bytes) is its name now, empty where there was
 * nothing. Returns 0, or an error with a sentence in error. */
int np_store_restore(const char *file, const char *path, int64_t until_s, char *out_kept, char *error, size_t size);

#endif

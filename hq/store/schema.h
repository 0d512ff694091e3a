/* schema: the store's schema and its steps, inside hq/store only. */
#ifndef HQ_STORE_SCHEMA_H
#define HQ_STORE_SCHEMA_H

#include <stdbool.h>
#include <stddef.h>

struct np_store;

/* Looks at the schema of an open database and, unless read_only, brings it up to date. where names the database for a
 * person. Returns as np_store_open does, with error (size bytes) filled in. */
int np_schema_check(struct np_store *store, const char *where, bool read_only, char *error, size_t size);

#endif

/* listing: the devices as `nameplate-hq device list` shows them, on standard output. */
#ifndef HQ_CLI_LISTING_H
#define HQ_CLI_LISTING_H

#include "hq/store/store.h"

/* A table for a person. Returns 0 or a database error. */
int np_listing_table(struct np_store *store);

/* A JSON array. Returns 0, -EIO, -ENOMEM or a database error. */
int np_listing_json(struct np_store *store);

#endif

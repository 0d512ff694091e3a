/* lives: which runs of its program ("lives") a device has told. Part of hq/store, with its rules (hq/store/store.h).
 *
 * A device draws 8 random bytes at each start and tells them with sessions and check-ins. A life that was replaced by
 * another never comes back, unless two boxes have the same identity: the disk of one was copied. hq/api/lives decides;
 * this remembers. Devices that tell no life have no row. */
#ifndef HQ_STORE_LIVES_H
#define HQ_STORE_LIVES_H

#include "hq/store/store.h"

#define NP_LIVES_MAX      4 /* newest lives kept: four copies of one box are seen as well as two */
#define NP_LIVES_RETURNS  3 /* times that are kept */
#define NP_LIVES_PAGE_MAX 1000

/* What is known of a device's lives; zero-initialised: nothing. */
struct np_lives {
    uint8_t lives[NP_LIVES_MAX][NP_LIFE_LEN]; /* the newest first */
    size_t count;
    int64_t returns_s[NP_LIVES_RETURNS]; /* when an old life was back, the newest first; 0: not yet */
    int64_t suspected_s;                 /* since when it is taken for a clone; 0: it is not */
};

/* By device. A device without a row: all zero. Returns 0 or a database error. */
int np_store_lives_get(struct np_store *store, const char *device, struct np_lives *out_lives);

/* Writes them. Returns 0 or a database error. */
int np_store_lives_put(struct np_store *store, const char *device, const struct np_lives *lives);

/* Devices that are suspected to be clones, the longest suspected first, at most limit. The callback must not write. */
int np_store_clones(struct np_store *store, size_t limit, np_store_device_fn *each, void *ctx);

#endif

/* lease: which of several HQs on one database does something (hq/lease.h says what): a row that one of them holds, and
 * the fence by which the database tells his writes from those of one that has lost it. */
#ifndef HQ_STORE_LEASE_H
#define HQ_STORE_LEASE_H

#include "hq/store/store.h"

#define NP_STORE_HOLDER_MAX 96 /* characters of who holds a lease: "host:pid" */

/* A lease. fence grows with every change of the holder; beat says that the holder lives. fence 0: never taken. */
struct np_store_lease {
    char holder[NP_STORE_HOLDER_MAX + 1]; /* for a person; empty: it was given back */
    int64_t fence, beat;
};

/* Reads a lease; all zero where nobody has ever taken it. Returns 0 or a database error. */
int np_store_lease_get(struct np_store *store, const char *name, struct np_store_lease *out_lease);

/* Takes a lease that is still as it was seen. Returns 0 with the new fence, NP_E_STALE (it has moved on), or a database
 * error. Ours once it is committed. */
int np_store_lease_take(struct np_store *store, const char *name, const char *holder, const struct np_store_lease *seen,
                        int64_t *out_fence);

/* Says that its holder lives: the lease's beat is one more, and told. Returns 0, NP_E_STALE (somebody else has taken
 * it), or a database error. */
int np_store_lease_beat(struct np_store *store, const char *name, int64_t fence, int64_t *out_beat);

/* Gives it back. Returns as np_store_lease_beat. */
int np_store_lease_release(struct np_store *store, const char *name, int64_t fence);

/* From here on every transaction of this store begins by checking that the lease (name borrowed) has this fence, and is
 * -EAGAIN where it does not; fence 0 ends that. */
void np_store_fence(struct np_store *store, const char *name, int64_t fence);

/* Has that check found another holder? */
bool np_store_fenced(const struct np_store *store);

#endif

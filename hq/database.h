/* database: opening HQ's database and its ledger, for `serve`. */
#ifndef HQ_DATABASE_H
#define HQ_DATABASE_H

#include <sys/types.h>
#include <uv.h>

#include "hq/config.h"
#include "hq/ledger.h"
#include "hq/store/store.h"

#define NP_DATABASE_ERROR_MAX 1024

/* Zero it. Both are the owner's to close, also after an error. */
struct np_database {
    struct np_store *store;
    struct np_ledger *ledger; /* NULL: none is configured */
};

/* Opens both as the user that will go on using them (uid and gid; -1: as who we are), so that their files are his. A
 * database server that does not answer yet is waited for; what the ledger has beyond the database is taken over, and
 * said to the log. Returns 0, or an error with a sentence in error. */
int np_database_open(uv_loop_t *loop, const struct np_hq_config *config, uid_t uid, gid_t gid,
                     struct np_database *database, char error[NP_DATABASE_ERROR_MAX]);

#endif

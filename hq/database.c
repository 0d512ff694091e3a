#include "hq/database.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "resolver/base/error.h"
#include "resolver/base/log.h"

#define DATABASE_RETRY_S 2

/* A database server that does not answer yet (both machines have just been switched on) is waited for. */
static int open_patiently(const struct np_hq_config *config, struct np_database *database,
                          char error[NP_DATABASE_ERROR_MAX])
{
    char told[NP_DATABASE_ERROR_MAX] = "";
    for (;;) {
        int rc = np_store_open(config->database, false, &database->store, error, NP_DATABASE_ERROR_MAX);
        if (rc != -EAGAIN || !np_store_is_server(config->database))
            return rc;
        if (strcmp(told, error) != 0)
            np_warning("%s; it is tried again every %d s (database)", error, DATABASE_RETRY_S);
        snprintf(told, sizeof told, "%s", error);
        sleep(DATABASE_RETRY_S); /* nothing runs yet, and a signal ends us */
    }
}

/* What the database lacks that once happened: the mark of one that was lost, or came back from a copy. */
static int open_ledger(uv_loop_t *loop, const struct np_hq_config *config, struct np_database *database,
                       char error[NP_DATABASE_ERROR_MAX])
{
    char ledger_error[NP_LEDGER_ERROR_MAX];
    int64_t until_s = 0;
    size_t taken = 0;
    if (!config->ledger[0]) {
        np_notice("no ledger: set 'ledger', so that names stay taken and blocks stay should the database be lost");
        return 0;
    }
    int rc = np_ledger_new(loop, database->store, config->ledger, &database->ledger, &taken, ledger_error);
    if (rc)
        return np_explain(error, NP_DATABASE_ERROR_MAX, rc, "%s", ledger_error);
    if (taken > 0)
        np_warning("the database was behind its ledger by %zu entries, which it has now: it was lost, or is a copy",
                   taken);
    if (np_store_recovery_get(database->store, &until_s) == 0 && until_s > (int64_t)time(NULL))
        np_warning("recovery, for %lld days: new names carry a suffix, and boxes that are not known come back by their "
                   "grants ('nameplate-hq recovery')",
                   (long long)(until_s - (int64_t)time(NULL) + 86399) / 86400);
    return 0;
}

/* Opens the database as the user that will go on using it, so that its files are his. */
int np_database_open(uv_loop_t *loop, const struct np_hq_config *config, uid_t uid, gid_t gid,
                     struct np_database *database, char error[NP_DATABASE_ERROR_MAX])
{
    bool change = uid != (uid_t)-1;
    if (change && (setegid(gid) || seteuid(uid)))
        return np_explain(error, NP_DATABASE_ERROR_MAX, -errno, "cannot become user '%s': %s", config->user,
                          np_strerror(-errno));
    int rc = open_patiently(config, database, error);
    if (rc == 0)
        rc = open_ledger(loop, config, database, error);
    if (change && (seteuid(0) || setegid(0)))
        abort(); /* we were root a moment ago */
    if (rc == NP_E_STORE && change) {
        size_t used = strlen(error);
        snprintf(error + used, NP_DATABASE_ERROR_MAX - used, " (opened as user '%s', to whom its folder must belong)",
                 config->user);
    }
    return rc;
}

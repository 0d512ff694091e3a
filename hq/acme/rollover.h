/* rollover: gives our account at a CA another key (RFC 8555 section 7.3.5), as a program of its own: `nameplate-hq ca
 * rollover`. The server must not run meanwhile, which the account's lock sees to (acme/account.h). A crash at any
 * moment leaves an account that the server finds, and a rollover that the next call finishes. */
#ifndef HQ_ACME_ROLLOVER_H
#define HQ_ACME_ROLLOVER_H

#include <stddef.h>

#include "hq/acme/config.h"
#include "hq/store/store.h"

#define NP_ROLLOVER_ERROR_MAX  1024
#define NP_ROLLOVER_TIMEOUT_MS 120000 /* for the whole conversation with the CA */

/* What has been done. */
struct np_rollover {
    char account[NP_URL_MAX + 1];
    char path[NP_ISSUANCE_PATH_MAX + 48]; /* of the new key */
    bool finished;                        /* one that had been interrupted, after the CA had done its part */
};

/* Runs it for the CA of config, with a loop of its own. store is told of the keys, before and after the CA, so that
 * other HQs know which of their files are old. Returns 0, or an error of np_err with a sentence for a person in error.
 */
int np_rollover_run(const struct np_issuance_config *config, size_t ca, struct np_store *store,
                    struct np_rollover *out_rollover, char error[NP_ROLLOVER_ERROR_MAX]);

#endif

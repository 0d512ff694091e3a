/* leaf: the certificate that HQ itself shows: read from its files, or, where HQ has the private CA's key, made and
 * renewed by itself. */
#ifndef HQ_LEAF_H
#define HQ_LEAF_H

#include <stdint.h>

#include "hq/config.h"
#include "hq/secrets.h"
#include "hq/tls.h"

#define NP_LEAF_ERROR_MAX 1024
#define NP_LEAF_CHECK_MS  (6 * 3600 * 1000) /* how often np_leaf_check wants to be called */

/* Fill config and secrets (borrowed), zero the rest. tls is the owner's to free. */
struct np_leaf {
    const struct np_hq_config *config;
    const struct np_hq_secrets *secrets;
    struct np_tls *tls;
    int64_t not_before_s, not_after_s;
};

/* Makes tls and loads the certificate; a missing or ending one is made anew where that is possible. Returns 0, or an
 * error with a sentence in error. */
int np_leaf_open(struct np_leaf *leaf, char error[NP_LEAF_ERROR_MAX]);

/* Renews it where it is due, else warns of its end. Does nothing where np_leaf_open was not called. */
void np_leaf_check(struct np_leaf *leaf);

#endif

/* server: HQ as one object in one loop: front door, HTTP, api, store, zone and issuance, and who wakes whom.
 *
 *     TLS (frontdoor) -> HTTP (api/web) -> api -> store -> commit -> zone, issuance
 *
 * Lifecycle: np_hq_new (reads secrets and certificate, opens the database, binds the ports: everything that may need
 * root), np_hq_start (after privileges were dropped), np_hq_stop; after its callback np_hq_free. */
#ifndef HQ_SERVER_H
#define HQ_SERVER_H

#include <sys/types.h>
#include <uv.h>

#include "hq/config.h"

#define NP_HQ_ERROR_MAX 1024 /* bytes of an error text */

struct np_hq;

/* Reads, opens and binds. config is borrowed during the call; where config names a user, uid and gid are his and the
 * database is opened as him (else -1). Returns 0, or an error with a sentence for a person in error. */
int np_hq_new(uv_loop_t *loop, const struct np_config *config, uid_t uid, gid_t gid, struct np_hq **out_hq,
              char error[NP_HQ_ERROR_MAX]);

/* Who runs it; called from the loop. */
struct np_hq_events {
    /* Everything answers; listening is a text such as "https 0.0.0.0:443; dns 0.0.0.0:53". */
    void (*ready)(void *ctx, const char *listening);
    /* It cannot go on (another HQ has taken over its work): call np_hq_stop, and end with an error. */
    void (*ended)(void *ctx);
    void *ctx;
};

/* Opens the clients' way in, and starts the DNS child, issuance and the rest: where several HQs have the database, only
 * when this one is to do that work. events is copied. Returns 0 or an error with a sentence. */
int np_hq_start(struct np_hq *hq, const struct np_hq_events *events, char error[NP_HQ_ERROR_MAX]);

/* Stops accepting, lets requests under way come to their end, ends everything and commits; stopped(ctx) is called from
 * the loop when nothing is left in it. */
void np_hq_stop(struct np_hq *hq, void (*stopped)(void *ctx), void *ctx);

/* Frees; NULL is fine. The loop must have run its closing callbacks. */
void np_hq_free(struct np_hq *hq);

#endif

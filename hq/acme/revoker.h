/* revoker: tells the CA which certificates are void (RFC 8555 section 7.6, signed by the account's key). Inside
 * hq/acme: a part of issuance, whose account it uses.
 *
 * What is to be revoked is in the store since the device left, and stays open there until the CA has said yes or the
 * certificate has ended; failures are tried again with backoff. One at a time: nobody waits for it. */
#ifndef HQ_ACME_REVOKER_H
#define HQ_ACME_REVOKER_H

#include "hq/acme/client.h"
#include "hq/store/store.h"

#define NP_REVOKER_BACKOFF_FIRST_MS INT64_C(5000)
#define NP_REVOKER_BACKOFF_CAP_MS   INT64_C(21600000) /* 6 h */
#define NP_REVOKER_AWAY_MS          INT64_C(60000)    /* while the CA's account is not there */

/* The account to revoke a certificate with, by its CA's directory ("": before there was more than one; NULL:
 * whichever); NULL: not now. */
typedef struct np_acme *np_revoker_account_fn(void *ctx, const char *ca);

struct np_revoker {
    np_revoker_account_fn *account;
    void *account_ctx;
    struct np_store *store;
    struct np_revocation current; /* under way while busy */
    bool busy, closing;
    uv_timer_t timer;
};

/* Initialises inside issuance's memory. */
void np_revoker_init(struct np_revoker *revoker, uv_loop_t *loop, struct np_store *store,
                     np_revoker_account_fn *account, void *ctx);

/* Looks into the store for what is due: after a change there, and when an account has become known. Cheap. */
void np_revoker_wake(struct np_revoker *revoker);

/* Stops; closed comes from the loop, with handle->data as set by the caller before this call. */
void np_revoker_close(struct np_revoker *revoker, void *data, uv_close_cb closed);

#endif

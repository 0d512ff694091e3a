/* client: an ACME account's conversation with its CA (RFC 8555): directory, nonces, the account, signed requests.
 *
 * The client brings itself up (directory, newAccount) and keeps itself up: after a failure it tries again with backoff;
 * requests made meanwhile wait. A badNonce answer is repeated with the fresh nonce up to NP_ACME_NONCE_TRIES times
 * (section 6.5); when the CA says that it does not know the account, the account is made again. Once a day the
 * directory is read again.
 *
 * Lifecycle: np_acme_new, np_acme_start, any number of np_acme_post, np_acme_close. Callbacks come from the loop, never
 * from inside a call. */
#ifndef HQ_ACME_CLIENT_H
#define HQ_ACME_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "hq/acme/config.h"
#include "hq/acme/http.h"
#include "hq/acme/key.h"
#include "hq/acme/resource.h"

#define NP_ACME_NONCE_TRIES  10   /* Pebble refuses 5 % of the good nonces by default, to test clients */
#define NP_ACME_NONCES_MAX   64   /* kept for later requests */
#define NP_ACME_WAITING_MAX  1024 /* requests that wait for their turn: far above the orders in flight */
#define NP_ACME_GETS_MAX     4    /* unsigned requests at once */
#define NP_ACME_RETRY_MIN_MS 500
#define NP_ACME_RETRY_MAX_MS (5 * 60 * 1000)
#define NP_ACME_REFRESH_MS   INT64_C(86400000) /* between two looks at the directory: CAs add to it */

struct np_acme;

/* The end of a request; borrowed, valid inside the callback. */
struct np_acme_reply {
    int rc;           /* 0: a 2xx answer; NP_E_ACME: a problem, below; else why there was no answer */
    const char *why;  /* for the log when rc is neither; sanitised */
    int status;       /* HTTP status */
    const char *body; /* len bytes and a NUL */
    size_t len;
    const char *location;
    const char *next;                         /* of a list: the next page; "" when there is none */
    const char (*alternates)[NP_URL_MAX + 1]; /* of a chain: other ones for the same certificate */
    size_t alternate_count;
    int64_t retry_after_ms;
    struct np_acme_problem problem; /* of NP_E_ACME */
    int64_t network_ms;             /* time in the CA's and the network's hands, all tries together */
    unsigned requests;              /* how many tries */
};

/* Called once for each np_acme_post, unless the client is closed before. */
typedef void np_acme_reply_fn(void *ctx, const struct np_acme_reply *reply);

/* With what the account is asked for. */
struct np_acme_identity {
    const struct np_acme_key *key, *next; /* as in np_acme_new */
    bool found_only; /* where the CA does not know the key, no account is made of it: it is an old one */
};

/* What the client tells of itself, and asks, from the loop. */
struct np_acme_events {
    void (*ready)(void *ctx, const char *account_url); /* the account or the directory has become known (again) */
    void (*trouble)(void *ctx); /* directory, nonce or account could not be had; it is tried again */
    /* The account is about to be asked for; identity is filled in as it was last. NULL: it does not change. */
    void (*identify)(void *ctx, struct np_acme_identity *identity);
    /* The CA refuses a request of ours: has the account another key meanwhile? NULL: it has not. */
    bool (*replaced)(void *ctx);
    bool (*allowed)(void *ctx); /* may the CA be asked now (np_http_guard)? NULL: always */
    void *allowed_ctx;
    void *ctx;
};

/* Allocates. config is copied, the keys are borrowed. next (NULL: none) is the key of a rollover that was begun: where
 * the CA knows it, the account has it, and key is not used any more. Returns 0, -errno, or NP_E_KEY for an EAB key file
 * that is no base64url. */
int np_acme_new(uv_loop_t *loop, const struct np_ca_config *config, const struct np_acme_key *key,
                const struct np_acme_key *next, const struct np_acme_events *events, struct np_acme **out_acme);

/* The account's key: which of the two it is, is known once the account is. Borrowed. */
const struct np_acme_key *np_acme_key(const struct np_acme *acme);

/* Begins with the directory. */
void np_acme_start(struct np_acme *acme);

/* POSTs payload (JSON; NULL: POST-as-GET) to url, signed with the account; url NULL means newOrder. accept NULL: JSON.
 * Returns 0, NP_E_LIMIT or -ENOMEM; then, and only then, done is called later. */
int np_acme_post(struct np_acme *acme, const char *url, const char *accept, const char *payload, np_acme_reply_fn *done,
                 void *ctx);

/* GETs url without a signature (renewal information, RFC 9773); at most NP_ACME_GETS_MAX at once, beside the signed
 * requests. The reply has no account's trouble: it is told as it came. Returns 0, NP_E_LIMIT or -ENOMEM; then, and only
 * then, done is called later. */
int np_acme_get(struct np_acme *acme, const char *url, np_acme_reply_fn *done, void *ctx);

/* Is the account known, so that requests are sent? */
bool np_acme_is_ready(const struct np_acme *acme);

/* The account's URL; empty before it was known. Borrowed. */
const char *np_acme_account_url(const struct np_acme *acme);

/* Does a request with this ctx wait here, not yet sent? */
bool np_acme_is_waiting(const struct np_acme *acme, const void *ctx);

/* Forgets the request with this ctx, which must be one that waits; it is not called back. */
void np_acme_cancel(struct np_acme *acme, const void *ctx);

/* What the CA says of itself; zero before it was read. Borrowed. */
const struct np_acme_directory *np_acme_directory(const struct np_acme *acme);

/* URL of the account's list of orders; empty when the CA keeps none or the account is not known yet. Borrowed. */
const char *np_acme_orders_url(const struct np_acme *acme);

/* Drops everything without calling back; done(ctx) comes from the loop when the memory has been freed. */
void np_acme_close(struct np_acme *acme, void (*done)(void *ctx), void *ctx);

#endif

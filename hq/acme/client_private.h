/* What the two files of the ACME client share: client.c has the requests, nonces and their order, client_own.c what the
 * client does for itself: directory, account, and both again. Inside hq/acme. */
#ifndef HQ_ACME_CLIENT_PRIVATE_H
#define HQ_ACME_CLIENT_PRIVATE_H

#include "hq/acme/client.h"
#include "resolver/base/jobs.h"

#define NP_ACME_EAB_KEY_MAX 512 /* bytes: CAs hand out 32 to 64 */
#define NP_ACME_MEDIA_JSON  "application/json"

/* What the client itself is at. */
enum np_acme_stage {
    NP_ACME_STAGE_OFF,
    NP_ACME_STAGE_DIRECTORY, /* the directory is being fetched */
    NP_ACME_STAGE_ACCOUNT,   /* newAccount is under way */
    NP_ACME_STAGE_READY,
    NP_ACME_STAGE_PAUSED /* a failure: the timer begins again */
};

/* A signed request, from np_acme_post to its callback. */
struct np_acme_request {
    struct np_acme *acme;
    struct np_acme_request *next, **link; /* in waiting or sent */
    char *url;                            /* NULL: newOrder */
    char *accept, *payload;
    bool with_jwk;                 /* newAccount */
    const struct np_acme_key *key; /* that signs; NULL: the account's */
    unsigned nonce_failures, key_failures, requests;
    int64_t network_ms;
    np_acme_reply_fn *done;
    void *ctx;
};

/* An unsigned request; done NULL: free. */
struct np_acme_unsigned {
    np_acme_reply_fn *done;
    void *ctx;
};

struct np_acme {
    uv_loop_t *loop;
    struct np_ca_config config;
    const struct np_acme_key *key, *next; /* next: perhaps the account's, not asked for yet */
    bool found_only;                      /* no account is made */
    uint8_t eab_key[NP_ACME_EAB_KEY_MAX];
    size_t eab_key_len;
    struct np_acme_events events;
    struct np_http *http;
    uv_timer_t timer;
    struct np_backoff backoff;
    enum np_acme_stage stage;
    struct np_acme_directory directory;
    char account_url[NP_URL_MAX + 1], orders_url[NP_URL_MAX + 1];
    char nonces[NP_ACME_NONCES_MAX][NP_ACME_NONCE_MAX + 1];
    size_t nonce_count;
    unsigned nonce_fetches;          /* HEAD newNonce under way */
    struct np_acme_request *waiting; /* for a nonce, the account or a free connection; the oldest first */
    struct np_acme_request **waiting_end;
    struct np_acme_request *sent;
    size_t waiting_count, sent_count;
    struct np_acme_unsigned gets[NP_ACME_GETS_MAX];
    void (*closed)(void *ctx);
    void *closed_ctx;
};

/* ---- client.c ---- */

/* Sends what may be sent: everything in the ready stage, only newAccount before; no more at once than there are
 * connections, so that a request's time is the CA's and not libcurl's queue. */
void np_acme_pump(struct np_acme *acme);

/* Keeps the nonce of an answer, where it has one. */
void np_acme_keep_nonce(struct np_acme *acme, const struct np_http_response *response);

/* The HTTP answer as a reply: 2xx is good, the rest a problem. Borrows from response. */
struct np_acme_reply np_acme_make_reply(const struct np_http_response *response);

/* The client's own step `what` failed: says so, and begins again later. */
void np_acme_pause(struct np_acme *acme, const char *what, const struct np_acme_reply *reply);

/* A request as np_acme_post describes it, in no list yet. NULL: out of memory. */
struct np_acme_request *np_acme_request_new(struct np_acme *acme, const char *url, const char *accept,
                                            const char *payload, np_acme_reply_fn *done, void *ctx);

/* Puts a request before all others that wait: newAccount, and what the CA wants repeated. */
void np_acme_request_first(struct np_acme_request *request);

/* Forgets a request that waits. */
void np_acme_request_drop(struct np_acme_request *request);

/* Frees a request that is in no list. */
void np_acme_request_free(struct np_acme_request *request);

/* ---- client_own.c ---- */

/* The client's timer: begins with the directory, and in the ready stage reads it again. */
void np_acme_begin(uv_timer_t *timer);

/* Reads the key of the external account binding, where there is one. Returns 0, -errno or NP_E_KEY. */
int np_acme_read_eab_key(struct np_acme *acme);

#endif

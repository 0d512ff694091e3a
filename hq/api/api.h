/* api: protocol v1 (docs/protocol.md) as a function from request to response. No sockets, no HTTP library: hq/api/web
 * brings the requests; unit tests call it directly.
 *
 * Lifecycle: fill in struct np_api once (zero-initialised, then every member), call np_api_handle for each request, and
 * np_api_response_free. A response may leave HQ only after np_store_commit has returned 0. */
#ifndef HQ_API_API_H
#define HQ_API_API_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "hq/acme/queue.h"
#include "hq/api/stats.h"
#include "hq/crypto.h"
#include "hq/names/vanity.h"
#include "hq/policy.h"
#include "hq/proto/message.h"
#include "hq/store/store.h"

#define NP_API_ORDERS_WEEK  8                /* orders of one device in a week before a known key gets another one */
#define NP_API_KEYS_WEEK    3                /* new TLS keys of one device in a week (DESIGN) */
#define NP_API_ETAG_MAX     64               /* characters of an ETag with its quotes */
#define NP_API_DEAD_WAIT_MS INT64_C(3600000) /* a dead order is taken up again, by the same CSR, after an hour */

/* What the handlers work with. */
struct np_api {
    char url[NP_URL_MAX + 1];   /* HQ's public URL without a final slash: "https://hq.devices.example" */
    char zone[NP_NAME_MAX + 1]; /* device names are one label below */
    char nameservers[NP_NAMESERVERS_MAX][NP_NAME_MAX + 1];
    size_t nameserver_count;
    int64_t ttl_s, poll_s, checkin_s, boot_jitter_s;
    struct np_policy policy;
    struct np_vanity vanity;          /* names that owners choose */
    uint8_t pepper[32];               /* of the auth tokens */
    uint8_t nonce_key[32];            /* of the Replay-Nonces */
    struct np_hq_key *grant_key;      /* borrowed */
    struct np_store *store;           /* borrowed */
    const struct np_outlook *outlook; /* borrowed: how fast issuance is */
    int64_t last_nonce_us;            /* its own: two nonces never have the same time */
};

/* A request as it came. Header members are NULL when absent. All borrowed. */
struct np_api_request {
    const char *method;
    const char *path; /* without query */
    const char *content_type;
    const char *authorization;
    const char *if_none_match;
    const char *body;
    size_t body_len;
    bool too_large; /* more than NP_BODY_MAX came; body is not complete */
    struct np_addr client;
    int64_t now_us; /* Unix time */
};

/* A response. Cache-Control: no-store goes with every one. */
struct np_api_response {
    int status;
    const char *content_type; /* NULL: no body */
    char *body;               /* malloc'd */
    size_t body_len;
    char nonce[NP_NONCE_MAX + 1];   /* Replay-Nonce */
    char etag[NP_API_ETAG_MAX + 1]; /* empty: none */
    const char *allow;              /* of a 405, else NULL */
    int64_t retry_after_s;          /* 0: none */
    enum np_api_route route;        /* for the statistics */
    int store_error;                /* what the store said where status is 500 or 503: for the log */
};

/* Answers one request. Never fails: what goes wrong is a problem document. */
void np_api_handle(struct np_api *api, const struct np_api_request *request, struct np_api_response *out_response);

/* Frees the body. */
void np_api_response_free(struct np_api_response *response);

#endif

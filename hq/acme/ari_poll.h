/* ari_poll: asks a CA for the renewal windows of the certificates that it has made (RFC 9773). Inside hq/acme: a part
 * of issuance, whose client it uses; what an answer means is acme/ari.h's.
 *
 * When a certificate is asked about next is in the database, so that a restart changes nothing, and HQs on one database
 * ask once between them: a question is claimed there first. NP_ARI_AT_ONCE questions are under way at most, NP_ARI_RATE
 * a second: with more certificates than that allows within the CA's Retry-After, each is asked about less often, the
 * one that waits for longest first. A CA that suggests no windows is not asked at all. */
#ifndef HQ_ACME_ARI_POLL_H
#define HQ_ACME_ARI_POLL_H

#include <stdbool.h>
#include <uv.h>

#include "hq/acme/client.h"
#include "hq/store/store.h"

#define NP_ARI_AT_ONCE  NP_ACME_GETS_MAX
#define NP_ARI_RATE     50              /* a second: a million certificates in 5.6 hours */
#define NP_ARI_CLAIM_MS INT64_C(120000) /* a question takes less: http.h */
#define NP_ARI_LOOK_MS  INT64_C(300000) /* longest sleep: other HQs store certificates, too */

struct np_ari_poller;

/* A question under way; done when poller is NULL. */
struct np_ari_question {
    struct np_ari_poller *poller;
    struct np_renewal renewal; /* as it was claimed */
};

struct np_ari_poller {
    struct np_store *store;
    struct np_acme *acme; /* NULL: not started, or closed */
    const char *ca;       /* directory, borrowed */
    bool first;           /* certificates without a CA's name are this one's */
    uv_timer_t timer;
    struct np_ari_question questions[NP_ARI_AT_ONCE];
    size_t under_way;
};

/* Initialises inside a CA's memory. */
void np_ari_poller_init(struct np_ari_poller *poller, uv_loop_t *loop, struct np_store *store, const char *ca,
                        bool first);

/* Begins with what is due, as soon as acme (borrowed) knows its directory. */
void np_ari_poller_start(struct np_ari_poller *poller, struct np_acme *acme);

/* Something is due at at_ms (Unix time; 0: look now). Cheap. */
void np_ari_poller_wake(struct np_ari_poller *poller, int64_t at_ms);

/* Stops; the client must not call back any more. closed comes from the loop, with handle->data as set by the caller
 * before this call. */
void np_ari_poller_close(struct np_ari_poller *poller, void *data, uv_close_cb closed);

#endif

/* order: one certificate's way through ACME as a pure state machine: a stored order and an event give the next state
 * and the next action. No clock, socket, allocation or log inside; acme/issuance.c is the shell that acts.
 *
 *     queued -> ordered -> txt-queued -> txt-visible -> challenged -> ready -> finalizing -> issued -> done
 *        ^___________________________ backoff ______________________________________|          (dead: gave up)
 *
 * The contract with the shell: when np_order_step says `store`, the order is written and the write is on disk before
 * the action is begun. After a crash the shell feeds NP_ORDER_BEGIN: an order with a URL is looked up at the CA and
 * goes on from what the CA says, whatever step was under way, so that nothing is ordered twice. A pending order then
 * goes back to txt-queued, because the challenge values died with the process that published them. */
#ifndef HQ_ACME_ORDER_H
#define HQ_ACME_ORDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "hq/acme/resource.h"
#include "hq/store/store.h"
#include "resolver/base/jobs.h"

#define NP_ORDER_BACKOFF_FIRST_MS (30 * 1000)         /* before the second order for a name */
#define NP_ORDER_BACKOFF_CAP_MS   (6LL * 3600 * 1000) /* Let's Encrypt forgives failed authorizations hourly */
#define NP_ORDER_RETRY_FIRST_MS   500                 /* before a step is repeated after no answer */
#define NP_ORDER_RETRY_CAP_MS     (60 * 1000)
#define NP_ORDER_RETRY_LONG_MS                                                                                         \
    (2 * 60 * 1000)               /* a longer Retry-After before newOrder gives the place in flight back               \
                                   */
#define NP_ORDER_LOOKS_MAX     8  /* then the CA and we will not agree about this order any more */
#define NP_ORDER_POLL_FIRST_MS 20 /* a CA on the same machine validates in 10 ms */
#define NP_ORDER_POLL_CAP_MS   5000
#define NP_ORDER_POLL_LIMIT_MS (60 * 60 * 1000) /* a CA that is not done with an order then never will be */

/* What the shell has to do next, once the order is stored where `store` says so. */
enum np_order_do {
    NP_ORDER_DO_NOTHING,     /* an event out of turn: something else is under way */
    NP_ORDER_DO_NEW_ORDER,   /* POST newOrder; then NP_ORDER_GOT_ORDER */
    NP_ORDER_DO_FETCH_ORDER, /* POST-as-GET order_url; then NP_ORDER_GOT_ORDER */
    NP_ORDER_DO_FETCH_AUTHZ, /* POST-as-GET authorizations[index].url; then NP_ORDER_GOT_AUTHZ */
    NP_ORDER_DO_PUBLISH,     /* hand the TXT values to the zone, wait until they are seen; then NP_ORDER_SHOWN */
    NP_ORDER_DO_CHALLENGE,   /* POST {} to authorizations[index].challenge; then NP_ORDER_CHALLENGE_SENT */
    NP_ORDER_DO_FINALIZE,    /* POST the CSR to finalize_url; then NP_ORDER_GOT_ORDER */
    NP_ORDER_DO_DOWNLOAD,    /* POST-as-GET certificate_url, check the chain; then NP_ORDER_GOT_CHAIN */
    NP_ORDER_DO_WITHDRAW,    /* take the TXT values away; then NP_ORDER_WITHDRAWN */
    NP_ORDER_DO_RELEASE      /* done, dead or in backoff: take the TXT values away and forget the run */
};

/* What happened. */
enum np_order_event_type {
    NP_ORDER_BEGIN,          /* read from the store: new, due again, or left by a crash */
    NP_ORDER_GOT_ORDER,      /* the CA's order */
    NP_ORDER_GOT_AUTHZ,      /* the CA's authorization of `index` */
    NP_ORDER_SHOWN,          /* the name servers show the TXT values */
    NP_ORDER_CHALLENGE_SENT, /* the challenge of `index` was answered */
    NP_ORDER_GOT_CHAIN,      /* a chain that is good for the CSR */
    NP_ORDER_WITHDRAWN,      /* the zone has confirmed */
    NP_ORDER_FAILED          /* the action ended badly */
};

/* How bad a failure is, np_order_failure_of a reply. */
enum np_order_failure {
    NP_ORDER_FAILURE_RETRY,   /* no answer, a 5xx, a 429: the same step again, later */
    NP_ORDER_FAILURE_LOOK,    /* the CA thinks the step is out of turn: look where the order stands */
    NP_ORDER_FAILURE_RESTART, /* this order is lost: a new one, with backoff */
    NP_ORDER_FAILURE_MOVE,    /* this CA is down: a new one, at once, at another */
    NP_ORDER_FAILURE_BARE,    /* newOrder again, at once, without what the CA would not have */
    NP_ORDER_FAILURE_DEAD     /* no order for this CSR will ever do */
};

/* What newOrder may carry beside the names. */
enum np_order_extra {
    NP_ORDER_REPLACES = 1, /* the certificate that is to be replaced (RFC 9773 section 5) */
    NP_ORDER_PROFILE = 2   /* the profile (draft-ietf-acme-profiles) */
};

/* An event with what belongs to its type. Pointers are borrowed for the step. */
struct np_order_event {
    enum np_order_event_type type;
    size_t index;
    const char *order_url; /* GOT_ORDER after NEW_ORDER: its Location */
    const struct np_acme_order *order;
    const struct np_acme_authorization *authz;
    const struct np_acme_challenge *challenge; /* GOT_AUTHZ: the one of it that HQ can meet; NULL: none */
    const char *txt;                           /* GOT_AUTHZ with a challenge: the value that DNS is to show */
    enum np_order_failure failure;
    unsigned without;       /* of FAILURE_BARE: the np_order_extra that is to be left out */
    const char *why;        /* FAILED: for the order's error member */
    int64_t retry_after_ms; /* GOT_ORDER, FAILED: 0 none */
};

/* What the CA has told about an authorization in this process's life. */
enum np_authz_state { NP_AUTHZ_UNKNOWN, NP_AUTHZ_PENDING, NP_AUTHZ_ANSWERED, NP_AUTHZ_VALID };

/* An order being worked on. Only `order` is stored; zero the rest before NP_ORDER_BEGIN. */
struct np_order_run {
    struct np_order order;
    enum np_authz_state authz[NP_SAN_MAX];
    enum np_order_do last; /* the action under way, and its index */
    size_t last_index;
    unsigned retries;         /* of the action under way */
    unsigned looks;           /* how often the CA called a step out of turn */
    unsigned without;         /* np_order_extra bits that the CA would not have */
    int64_t waiting_since_ms; /* since when the CA is being waited for; 0: it is not */
};

/* What to do. */
struct np_order_action {
    enum np_order_do what;
    size_t index;
    int64_t delay_ms;          /* wait so long before it */
    bool store;                /* write run->order first */
    bool unspent;              /* the order has come to nothing, and the CA was not asked to issue */
    bool failed_authorization; /* the CA found no proof: it counts that */
    enum np_order_state from;
};

/* The step. now_ms is Unix time; below draws the jitter. run and *out_action are always written. */
void np_order_step(struct np_order_run *run, const struct np_order_event *event, int64_t now_ms,
                   np_random_below_fn *below, void *ctx, struct np_order_action *out_action);

/* Takes out of an order where it is at a CA: it has not been begun. */
void np_order_forget(struct np_order *order);

/* Judges a failed request by what was being done: rc, HTTP status and problem as in np_acme_reply. */
enum np_order_failure np_order_failure_of(enum np_order_do what, int rc, int status,
                                          const struct np_acme_problem *problem);

/* A newOrder that carried np_order_extra bits was refused (failure, as judged above): which of them to leave out, 0:
 * the refusal is not about them. With alreadyReplaced (RFC 9773 section 5), and with any other problem of the request
 * itself, that is `replaces`; with invalidProfile the profile. */
unsigned np_order_refused_extra(enum np_order_failure failure, unsigned carried, const struct np_acme_problem *problem);

/* Is the CA's order for exactly the names of ours? */
bool np_order_matches(const struct np_order *order, const struct np_acme_order *theirs);

/* Words for the log. Static storage. */
const char *np_order_do_name(enum np_order_do what);

#endif

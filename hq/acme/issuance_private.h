/* What the files of the issuance shell share: issuance.c holds the parts together, ca.c is one CA and our account
 * there, fill.c takes orders out of the queue, job.c works on one, job_txt.c sees to its challenge values, job_chain.c
 * to what comes of it. */
#ifndef HQ_ACME_ISSUANCE_PRIVATE_H
#define HQ_ACME_ISSUANCE_PRIVATE_H

#include "hq/acme/account.h"
#include "hq/acme/adopt.h"
#include "hq/acme/ari_poll.h"
#include "hq/acme/challenge.h"
#include "hq/acme/client.h"
#include "hq/acme/health.h"
#include "hq/acme/issuance.h"
#include "hq/acme/meter.h"
#include "hq/acme/order.h"
#include "hq/acme/queue.h"
#include "hq/acme/revoker.h"
#include "hq/store/account.h"
#include "hq/store/store.h"
#include "hq/zone/check.h"
#include "hq/zone/zone.h"

/* Where an order's time went, in ms. */
struct np_job_times {
    int64_t network_ms; /* in the CA's and the network's hands */
    int64_t polling_ms; /* waiting for the CA to finish something */
    int64_t txt_ms;     /* publishing and asking the name servers */
    int64_t txt_since_ms;
    unsigned requests;
};

struct np_issuance;
struct np_job_txt;

/* A CA and our account there. */
struct np_ca {
    struct np_issuance *issuance;
    size_t index;
    const struct np_ca_config *config; /* in the issuance */
    struct np_account account;
    struct np_acme *acme;
    struct np_adopt adopt;
    struct np_meter meter;
    struct np_ari_poller windows;
    struct np_ca_health health;
    bool down;                      /* as it was last told to the log */
    bool foreign;                   /* likewise: our key is not the account's */
    uint64_t issued, backoff, dead; /* orders since the start: that led to a certificate, failed for now, for good */
    size_t job_count;
};

/* An order being worked on. */
struct np_job {
    struct np_issuance *issuance;
    struct np_ca *ca;
    struct np_job *next, **link;
    struct np_order_run run;
    struct np_order_action action; /* being waited for or done */
    unsigned carried;              /* by the last newOrder: np_order_extra bits */
    struct np_package *package;    /* a good chain that is not stored yet */
    struct np_job_alternates {     /* other chains for it */
        char urls[NP_ACME_ALTERNATES_MAX][NP_URL_MAX + 1];
        size_t count, asked; /* asked > 0: one of them is being asked for */
    } alternates;
    struct np_store_waiter committed;
    uv_timer_t timer;
    const struct np_challenge_method *method;
    struct np_job_txt *txt;   /* a publication under way */
    bool published;           /* the zone has values of ours */
    int64_t begun_ms;         /* of the loop's clock */
    int64_t failing_since_ms; /* of the loop's clock; 0: the last request went well */
    bool resumed;             /* it was under way before this process began */
    bool ended;               /* only the timer's close is being waited for */
    struct np_job_times times;
};

struct np_issuance {
    uv_loop_t *loop;
    struct np_issuance_config config;
    struct np_store *store;
    struct np_zone *zone;
    struct np_ca cas[NP_CA_MAX];
    size_t ca_count;
    struct np_revoker revoker;
    struct np_job *jobs;
    struct np_outlook outlook;
    uv_timer_t timer;        /* the next look at the queue */
    int64_t paused_until_ms; /* Unix time; after a database error */
    bool under_way_wanted;   /* the store may hold orders under way that are no job */
    bool started, closing;
    bool (*allowed)(void *ctx); /* np_issuance_guard */
    void *allowed_ctx;
    unsigned open_handles;
    void (*closed)(void *ctx);
    void *closed_ctx;
};

/* Unix time in ms. */
int64_t np_issuance_now_ms(void);

/* ---- ca.c ---- */

/* Sets up cas[index] from the configuration. */
void np_ca_init(struct np_ca *ca, struct np_issuance *issuance, size_t index);

/* Reads or makes the account's key. Returns 0, -errno or NP_E_KEY. */
int np_ca_load(struct np_ca *ca);

/* Begins to talk to the CA. */
void np_ca_start(struct np_ca *ca);

/* The CA of a stored order or certificate, by its directory; the first where none is stored; NULL where it is not
 * configured any more. */
struct np_ca *np_ca_find(struct np_issuance *issuance, const char *directory);

/* Is the account there, and are orders taken? */
bool np_ca_is_good(const struct np_ca *ca);

/* Is the CA down while another one is good? */
bool np_ca_has_better(const struct np_ca *ca);

/* The CA that orders are begun at. */
struct np_ca *np_ca_choose(struct np_issuance *issuance);

/* Tells changes, and takes orders that can move away from CAs that are down. Returns when to look again, in ms from
 * now; INT64_MAX: no need. */
int64_t np_ca_check(struct np_issuance *issuance);

/* Closes the client; the rest is the issuance's memory. */
void np_ca_close(struct np_ca *ca, void (*done)(void *ctx), void *ctx);

/* Frees what is left after np_ca_close. */
void np_ca_deinit(struct np_ca *ca);

/* ---- fill.c ---- */

/* Takes up orders while there is room. */
void np_issuance_fill(struct np_issuance *issuance);

/* The buckets have changed: what devices are told does, too. */
void np_issuance_look_ahead(struct np_issuance *issuance);

/* Looks at the queue again after so long, unless it is looked at earlier already. */
void np_issuance_look_again(struct np_issuance *issuance, int64_t delay_ms);

/* ---- job.c ---- */

/* Makes a job of a stored order and begins it at ca. Returns 0 or -ENOMEM. */
int np_job_start(struct np_ca *ca, const struct np_order *order, bool resumed);

/* Ends a job: cancels what it waits for and frees it; the store is not touched. Looks for other orders unless the
 * issuance is closing. */
void np_job_end(struct np_job *job);

/* The job's CA is down and another one works: takes the order away from it where it can go. False: it stays. */
bool np_job_leave(struct np_job *job);

/* Something has happened: takes the state machine's next step, stores the state and does the action. Not to be called
 * from inside another step. The job may be gone afterwards. */
void np_job_feed(struct np_job *job, const struct np_order_event *event);

/* The action has failed, why is said to the log and the order: np_job_feed with that. retry_after_ms is the CA's wish;
 * 0: none. */
void np_job_fail(struct np_job *job, enum np_order_failure failure, const char *why, int64_t retry_after_ms);

/* An answer of the CA to what the job has asked: for np_acme_post. */
void np_job_on_reply(void *ctx, const struct np_acme_reply *reply);

/* ---- job_chain.c ---- */

/* Asks for the certificate's chain. Returns 0 (np_job_on_reply comes), NP_E_LIMIT or -ENOMEM. */
int np_job_chain_fetch(struct np_job *job);

/* A chain has come: checks it, asks for the CA's other ones until one leads to the root that is preferred, and feeds
 * GOT_CHAIN, with the default one where none does, or a failure. */
void np_job_chain_take(struct np_job *job, const struct np_acme_reply *reply);

/* A request has failed. Was it for another chain than the default one? Then goes on, and returns true: such a failure
 * costs no certificate. */
bool np_job_chain_missed(struct np_job *job);

/* ---- job_txt.c ---- */

/* Hands the values of the open authorizations to the zone and waits until every name server shows them; then feeds
 * SHOWN, or a failure. Returns 0 (the event comes from the loop), -ENOMEM, or the zone's error. */
int np_job_txt_publish(struct np_job *job);

/* Takes the values out of the zone; feeds WITHDRAWN once that is confirmed. Returns as np_job_txt_publish. */
int np_job_txt_withdraw(struct np_job *job);

/* Takes the values away without waiting: the order has ended one way or the other. */
void np_job_txt_release(struct np_job *job);

/* Forgets a publication under way; what it would have fed does not come any more. */
void np_job_txt_drop(struct np_job *job);

#endif

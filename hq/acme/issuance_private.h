/* What the files of the issuance shell share: the jobs. issuance.c holds the list and its life, job.c works on one. */
#ifndef HQ_ACME_ISSUANCE_PRIVATE_H
#define HQ_ACME_ISSUANCE_PRIVATE_H

#include "hq/acme/adopt.h"
#include "hq/acme/client.h"
#include "hq/acme/issuance.h"
#include "hq/acme/meter.h"
#include "hq/acme/order.h"
#include "hq/acme/queue.h"
#include "hq/acme/revoker.h"
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
    const struct np_ca_config *config; /* in the issuance */
    struct np_acme_key *key;
    struct np_acme *acme;
    struct np_adopt adopt;
    struct np_meter meter;
};

/* An order being worked on. */
struct np_job {
    struct np_issuance *issuance;
    struct np_ca *ca;
    struct np_job *next, **link;
    struct np_order_run run;
    struct np_order_action action; /* being waited for or done */
    struct np_package *package;    /* a good chain that is not stored yet */
    struct np_store_waiter committed;
    uv_timer_t timer;
    struct np_job_txt *txt; /* a publication under way */
    bool published;         /* the zone has values of ours */
    int64_t begun_ms;       /* of the loop's clock */
    bool resumed;           /* it was under way before this process began */
    bool ended;             /* only the timer's close is being waited for */
    struct np_job_times times;
};

struct np_issuance {
    uv_loop_t *loop;
    struct np_issuance_config config;
    struct np_store *store;
    struct np_zone *zone;
    struct np_ca ca;
    struct np_revoker revoker;
    struct np_job *jobs;
    size_t job_count;
    struct np_outlook outlook;
    uv_timer_t timer;        /* orders in backoff, and looking again after a database error */
    int64_t paused_until_ms; /* Unix time; after a database error */
    bool under_way_wanted;   /* the store may hold orders under way that are no job */
    bool started, closing;
    unsigned open_handles;
    void (*closed)(void *ctx);
    void *closed_ctx;
};

/* Unix time in ms. */
int64_t np_issuance_now_ms(void);

/* Makes a job of a stored order and begins it at ca. Returns 0 or -ENOMEM. */
int np_job_start(struct np_ca *ca, const struct np_order *order, bool resumed);

/* Ends a job: cancels what it waits for and frees it; the store is not touched. Looks for other orders unless the
 * issuance is closing. */
void np_job_end(struct np_job *job);

/* The buckets have changed: what devices are told does, too. */
void np_issuance_look_ahead(struct np_issuance *issuance);

/* Takes up orders while there is room. */
void np_issuance_fill(struct np_issuance *issuance);

#endif

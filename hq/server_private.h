/* What the files of the server share: server_open.c makes its parts from the configuration, server.c runs and ends
 * them.
 */
#ifndef HQ_SERVER_PRIVATE_H
#define HQ_SERVER_PRIVATE_H

#include <stdbool.h>
#include <uv.h>

#include "hq/acme/issuance.h"
#include "hq/acme/renewer.h"
#include "hq/admin/admin.h"
#include "hq/api/api.h"
#include "hq/api/web.h"
#include "hq/database.h"
#include "hq/frontdoor.h"
#include "hq/leaf.h"
#include "hq/lease.h"
#include "hq/retention.h"
#include "hq/secrets.h"
#include "hq/server.h"
#include "hq/store/store.h"
#include "hq/zone/zone.h"

struct np_hq {
    uv_loop_t *loop;
    struct np_hq_config config;
    struct np_hq_secrets secrets;
    struct np_store *store;
    struct np_api api;
    struct np_factorycert *factorycert; /* NULL: not taken */
    struct np_leaf leaf;
    struct np_door *door;
    struct np_web *web;
    struct np_zone *zone;
    struct np_issuance *issuance;
    struct np_renewer *renewer;
    struct np_retention *retention;
    struct np_admin *admin;   /* NULL: no operator's listener */
    struct np_ledger *ledger; /* NULL: none */
    struct np_lease *lease;   /* NULL: nobody else has our database */
    bool working;             /* zone, issuance, renewer and retention have been started */
    bool looked;              /* it is known whether they are to be */
    uv_prepare_t prepare;     /* commits what a turn wrote outside of HTTP requests */
    uv_idle_t again;          /* another turn at once: somebody waits for a commit */
    uv_timer_t leaf_timer, ready_timer, others_timer, hear_timer;
    void (*ready)(void *ctx, const char *listening);
    void *ready_ctx;
    void (*ended)(void *ctx);
    bool stopping;
    unsigned closing; /* closes that have not called back */
    void (*stopped)(void *ctx);
    void *stopped_ctx;
};

/* For hq/api/web.h: the end of a turn of HTTP. */
void np_hq_on_committed(void *ctx, int rc);

/* For hq/lease.h: the lease is ours, somebody else's, or lost. */
void np_hq_begin_work(void *ctx);
/* See np_hq_begin_work. */
void np_hq_on_standby(void *ctx);
/* See np_hq_begin_work. */
void np_hq_on_lost(void *ctx);

#endif

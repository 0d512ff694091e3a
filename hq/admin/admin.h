/* admin: the operator's listener (`admin-listen`, loopback unless told otherwise), plain HTTP:
 *
 *     /metrics    for a monitoring system: Prometheus' text format or OpenMetrics, as asked for
 *     /healthz    the process lives
 *     /readyz     store, zone and CA are ready, or why not
 *     /           the dashboard (hq/admin/page), behind the operator's token
 *
 * The first three need no token when they are asked for by an address or localhost; by another host name they do, so
 * that no page of somebody else's can read them through his DNS.
 *
 * Lifecycle: np_admin_new (listens, reads the token: before privileges are dropped), np_admin_start, np_admin_close;
 * after its callback everything in struct np_admin_sources may go. */
#ifndef HQ_ADMIN_ADMIN_H
#define HQ_ADMIN_ADMIN_H

#include <uv.h>

#include "hq/acme/issuance.h"
#include "hq/admin/auth.h"
#include "hq/api/web.h"
#include "hq/frontdoor.h"
#include "hq/store/store.h"
#include "hq/zone/zone.h"
#include "resolver/base/address.h"

struct np_admin;

/* What is shown. All borrowed, and there until np_admin_close has called back. */
struct np_admin_sources {
    const char *database; /* as for np_store_open: the census has a connection of its own */
    struct np_store *store;
    struct np_zone *zone;
    struct np_issuance *issuance;
    struct np_web *web;
    struct np_door *door;
    const bool *working; /* of several HQs this one does the work behind the requests; NULL: there is no other */
};

/* Listens and reads the token's file, which is made where there is none. Returns 0, or an error with a sentence in
 * error. */
int np_admin_new(uv_loop_t *loop, const struct np_endpoint *local, const char *token_path, struct np_admin **out_admin,
                 char error[NP_ADMIN_ERROR_MAX]);

/* Begins to answer. Returns 0, -ENOMEM or NP_E_HTTP. */
int np_admin_start(struct np_admin *admin, const struct np_admin_sources *sources);

/* Ends and frees; done(ctx) is called from the loop. */
void np_admin_close(struct np_admin *admin, void (*done)(void *ctx), void *ctx);

#endif

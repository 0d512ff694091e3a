/* routes: which request to the operator's listener gets which answer. */
#ifndef HQ_ADMIN_ROUTES_H
#define HQ_ADMIN_ROUTES_H

#include "hq/admin/auth.h"
#include "hq/admin/facts.h"
#include "hq/admin/http.h"
#include "hq/store/store.h"

/* What the answers are made of. All borrowed. */
struct np_admin_routes {
    const struct np_admin_auth *auth;
    struct np_store *store;
    void (*gather)(void *ctx, struct np_admin_facts *out_facts);
    void *gather_ctx;
};

/* Answers. Never fails: what goes wrong is an answer, too. */
void np_admin_route(const struct np_admin_routes *routes, const struct np_admin_request *request, int64_t now_s,
                    struct np_admin_response *out_response);

#endif

#include "hq/acme/revoker.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "hq/acme/chain.h"
#include "hq/acme/issuance_private.h"
#include "hq/proto/json.h"
#include "resolver/base/error.h"
#include "resolver/base/jobs.h"
#include "resolver/base/log.h"

#define SLEEP_MAX_MS   INT64_C(3600000)
#define AFTER_ERROR_MS INT64_C(5000)

static uint32_t below(void *ctx, uint32_t bound)
{
    (void)ctx;
    return np_random_below(bound);
}

static void on_timer(uv_timer_t *timer)
{
    np_revoker_wake(timer->data);
}

static void look_again(struct np_revoker *revoker, int64_t delay_ms)
{
    uv_timer_start(&revoker->timer, on_timer, (uint64_t)(delay_ms < SLEEP_MAX_MS ? delay_ms : SLEEP_MAX_MS), 0);
}

/* Writes how the current one stands and goes on with the next. */
static void settle(struct np_revoker *revoker)
{
    revoker->busy = false;
    int rc = np_store_revocation_update(revoker->store, &revoker->current);
    if (rc) {
        np_error("revocation: device %s: %s", revoker->current.device, np_strerror(rc));
        look_again(revoker, AFTER_ERROR_MS);
        return;
    }
    look_again(revoker, 0);
}

static void try_later(struct np_revoker *revoker, const char *why, int64_t retry_after_ms)
{
    struct np_revocation *current = &revoker->current;
    struct np_backoff backoff = {NP_REVOKER_BACKOFF_FIRST_MS, NP_REVOKER_BACKOFF_CAP_MS,
                                 current->attempts > 100 ? 100 : (unsigned)current->attempts};
    int64_t delay_ms = np_backoff_fail(&backoff, retry_after_ms, below, NULL);
    current->attempts++;
    current->next_try_ms = np_issuance_now_ms() + delay_ms;
    np_warning("revocation: device %s, certificate %lld: %s; again in %lld s", current->device, (long long)current->n,
               why, (long long)(delay_ms + 999) / 1000);
    settle(revoker);
}

static void finish(struct np_revoker *revoker, enum np_revocation_state state, const char *how)
{
    revoker->current.state = state;
    np_notice("revocation: device %s, certificate %lld: %s", revoker->current.device, (long long)revoker->current.n,
              how);
    settle(revoker);
}

static void on_reply(void *ctx, const struct np_acme_reply *reply)
{
    struct np_revoker *revoker = ctx;
    if (revoker->closing)
        return;
    if (reply->rc == 0)
        finish(revoker, NP_REVOCATION_DONE, "revoked");
    else if (reply->rc == NP_E_ACME && strcmp(reply->problem.type, "alreadyRevoked") == 0)
        finish(revoker, NP_REVOCATION_DONE, "was revoked already");
    else
        try_later(revoker, reply->rc == NP_E_ACME ? reply->problem.detail : np_strerror(reply->rc),
                  reply->retry_after_ms);
}

/* {"certificate": base64url of the leaf's DER, "reason": n}. */
static int payload_json(const struct np_package *package, enum np_revocation_reason reason, char **out_json)
{
    uint8_t der[NP_CHAIN_LEAF_MAX];
    size_t len = 0;
    int rc = np_chain_leaf(package->chain, strlen(package->chain), der, sizeof der, &len);
    if (rc)
        return rc;
    return np_json_dump_take(json_pack("{s:o,s:i}", "certificate", np_json_base64url(der, len), "reason", (int)reason),
                             out_json);
}

/* The CA cannot be asked now; nothing was tried. */
static void wait_for_account(struct np_revoker *revoker)
{
    revoker->current.next_try_ms = np_issuance_now_ms() + NP_REVOKER_AWAY_MS;
    settle(revoker);
}

static int post_revocation(struct np_revoker *revoker, struct np_acme *acme, const struct np_package *package)
{
    const char *url = np_acme_directory(acme)->revoke_certificate;
    char *payload = NULL;
    int rc = url[0] ? payload_json(package, revoker->current.reason, &payload) : NP_E_MISSING;
    if (rc == 0)
        rc = np_acme_post(acme, url, NULL, payload, on_reply, revoker);
    free(payload);
    return rc;
}

static void ask_the_ca(struct np_revoker *revoker)
{
    struct np_revocation *current = &revoker->current;
    struct np_package *package = calloc(1, sizeof *package);
    revoker->busy = true;
    int rc = package ? np_store_package_get(revoker->store, current->device, current->n, package) : -ENOMEM;
    if (rc == 0 && package->not_after_s * 1000 <= np_issuance_now_ms()) {
        finish(revoker, NP_REVOCATION_MOOT, "has ended meanwhile");
    } else if (rc == 0) {
        struct np_acme *acme = revoker->account(revoker->account_ctx, package->ca);
        if (!acme)
            wait_for_account(revoker);
        else if ((rc = post_revocation(revoker, acme, package)))
            try_later(revoker, np_strerror(rc), 0);
    } else {
        try_later(revoker, np_strerror(rc), 0);
    }
    free(package);
}

void np_revoker_init(struct np_revoker *revoker, uv_loop_t *loop, struct np_store *store,
                     np_revoker_account_fn *account, void *ctx)
{
    *revoker = (struct np_revoker){.store = store, .account = account, .account_ctx = ctx};
    uv_timer_init(loop, &revoker->timer);
    revoker->timer.data = revoker;
}

void np_revoker_wake(struct np_revoker *revoker)
{
    if (revoker->busy || revoker->closing || !revoker->account(revoker->account_ctx, NULL))
        return;
    int64_t now_ms = np_issuance_now_ms();
    int rc = np_store_revocation_next(revoker->store, &revoker->current);
    if (rc == NP_E_NOT_FOUND)
        return;
    if (rc) {
        np_error("revocation: the database: %s", np_strerror(rc));
        look_again(revoker, AFTER_ERROR_MS);
    } else if (revoker->current.next_try_ms > now_ms) {
        look_again(revoker, revoker->current.next_try_ms - now_ms);
    } else {
        ask_the_ca(revoker);
    }
}

void np_revoker_close(struct np_revoker *revoker, void *data, uv_close_cb closed)
{
    revoker->closing = true;
    revoker->timer.data = data;
    uv_close((uv_handle_t *)&revoker->timer, closed);
}

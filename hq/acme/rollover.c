#include "hq/acme/rollover.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hq/acme/account.h"
#include "hq/acme/client.h"
#include "hq/acme/jws.h"
#include "hq/store/account.h"
#include "resolver/base/error.h"
#include "resolver/base/log.h"

/* One conversation with the CA. */
struct rollover {
    uv_loop_t loop;
    uv_timer_t deadline;
    struct np_store *store;
    const struct np_ca_config *config;
    struct np_account account;
    struct np_acme *acme;
    struct np_rollover result;
    bool posted, closing;
    bool asking; /* the change has failed: which key does the CA know? */
    bool known;  /* it has said */
    int rc;
    char *error;
};

static int fail(struct rollover *r, int rc, const char *format, ...) __attribute__((format(printf, 3, 4)));

static int fail(struct rollover *r, int rc, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(r->error, NP_ROLLOVER_ERROR_MAX, format, args);
    va_end(args);
    r->rc = rc;
    return rc;
}

static void end(struct rollover *r)
{
    if (r->closing)
        return;
    r->closing = true;
    uv_close((uv_handle_t *)&r->deadline, NULL);
    np_acme_close(r->acme, NULL, NULL);
}

/* What the other HQs are to know, before the CA does: which keys the account may have. next NULL: it has that key. */
static int note(struct rollover *r, const struct np_acme_key *key, const struct np_acme_key *next)
{
    struct np_store_account account = {.next = ""};
    snprintf(account.url, sizeof account.url, "%s", r->result.account);
    snprintf(account.key, sizeof account.key, "%s", np_acme_key_thumbprint(key));
    if (next)
        snprintf(account.next, sizeof account.next, "%s", np_acme_key_thumbprint(next));
    int rc = np_store_account_put(r->store, r->config->directory, &account);
    return rc ? rc : np_store_commit(r->store);
}

/* The CA knows the new key: so does the disk. */
static void promote(struct rollover *r)
{
    int rc = np_account_promote(&r->account);
    if (rc)
        fail(r, rc, "the account has the key in %s now, which cannot take the place of %s: %s; run this again",
             r->account.next_path, r->account.path, np_strerror(rc));
    else if ((rc = note(r, r->account.next, NULL)))
        np_warning("the database does not know of the new key yet (%s): the next 'serve' with it says so",
                   np_store_error(r->store));
    end(r);
}

static void on_changed(void *ctx, const struct np_acme_reply *reply)
{
    struct rollover *r = ctx;
    if (reply->rc == 0) {
        promote(r);
        return;
    }
    if (reply->rc == NP_E_ACME)
        fail(r, NP_E_ACME, "%s refuses the new key: %s (%d): %s", r->config->directory, reply->problem.type,
             reply->status, reply->problem.detail);
    else
        fail(r, reply->rc, "%s: %s%s%s", r->config->directory, np_strerror(reply->rc),
             reply->why && reply->why[0] ? ": " : "", reply->why ? reply->why : "");
    end(r);
}

static void on_ready(void *ctx, const char *account_url)
{
    struct rollover *r = ctx;
    const char *url = np_acme_directory(r->acme)->key_change;
    char *payload = NULL;
    if (r->posted || r->closing)
        return;
    r->posted = true;
    snprintf(r->result.account, sizeof r->result.account, "%s", account_url);
    r->known = true;
    if (r->account.next && np_acme_key(r->acme) == r->account.next) {
        r->result.finished = !r->asking;
        r->rc = 0;
        promote(r);
        return;
    }
    if (r->asking) {
        end(r);
        return;
    }
    int rc = url[0] ? np_account_make_next(&r->account) : NP_E_MISSING;
    if (rc == 0 && (rc = note(r, r->account.key, r->account.next))) {
        fail(r, rc, "the database cannot be told of the new key (%s); nothing was changed", np_store_error(r->store));
        end(r);
        return;
    }
    if (rc == 0)
        rc = np_acme_key_change_sign(r->account.key, r->account.next, account_url, url, &payload);
    if (rc == 0)
        rc = np_acme_post(r->acme, url, NULL, payload, on_changed, r);
    free(payload);
    if (rc == 0)
        return;
    if (!url[0])
        fail(r, rc, "%s does not change keys: its directory has no keyChange", r->config->directory);
    else
        fail(r, rc, "%s: %s", r->account.next_path, np_strerror(rc));
    end(r);
}

/* The client has said why, and would try again: a person can do that better. */
static void on_trouble(void *ctx)
{
    struct rollover *r = ctx;
    if (!r->closing && !r->asking)
        fail(r, NP_E_HTTP, "the account at %s cannot be had (see above); nothing was changed", r->config->directory);
    end(r);
}

static void on_deadline(uv_timer_t *timer)
{
    struct rollover *r = timer->data;
    if (!r->asking)
        fail(r, -ETIMEDOUT, "%s has not answered in time", r->config->directory);
    end(r);
}

static void converse(struct rollover *r, bool asking)
{
    struct np_acme_events events = {.ready = on_ready, .trouble = on_trouble, .ctx = r};
    uv_loop_init(&r->loop);
    r->asking = asking;
    r->posted = r->closing = r->known = false;
    int rc = np_acme_new(&r->loop, r->config, r->account.key, r->account.next, &events, &r->acme);
    if (rc) {
        fail(r, rc, "%s: %s", r->config->directory, np_strerror(rc));
    } else {
        uv_timer_init(&r->loop, &r->deadline);
        r->deadline.data = r;
        uv_timer_start(&r->deadline, on_deadline, NP_ROLLOVER_TIMEOUT_MS, 0);
        np_acme_start(r->acme);
        uv_run(&r->loop, UV_RUN_DEFAULT);
    }
    uv_loop_close(&r->loop);
}

/* A change that was refused may still have happened: the answer to a first try may have been lost on its way. */
static void change(struct rollover *r)
{
    converse(r, false);
    if (r->rc == 0 || !r->posted || !r->account.next)
        return;
    converse(r, true);
    size_t used = strlen(r->error);
    if (r->rc)
        snprintf(r->error + used, NP_ROLLOVER_ERROR_MAX - used,
                 r->known ? "; the account has its old key" : "; which key it has now is not known: run this again");
}

int np_rollover_run(const struct np_issuance_config *config, size_t ca, struct np_store *store,
                    struct np_rollover *out_rollover, char error[NP_ROLLOVER_ERROR_MAX])
{
    struct rollover *r = calloc(1, sizeof *r);
    if (!r) {
        snprintf(error, NP_ROLLOVER_ERROR_MAX, "out of memory");
        return -ENOMEM;
    }
    r->store = store;
    r->config = &config->cas[ca];
    r->error = error;
    r->rc = np_account_open(&r->account, config->secrets, r->config->prefix, true);
    if (r->rc == -EBUSY)
        fail(r, -EBUSY, "the account is in use: stop nameplate-hq serve, and start it again afterwards");
    else if (r->rc)
        fail(r, r->rc, "%s: %s", r->account.path, np_strerror(r->rc));
    else
        change(r);
    snprintf(r->result.path, sizeof r->result.path, "%s", r->account.path);
    int rc = r->rc;
    if (rc == 0)
        *out_rollover = r->result;
    np_account_close(&r->account);
    free(r);
    return rc;
}

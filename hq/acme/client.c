#include "hq/acme/client.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "hq/acme/client_private.h"
#include "resolver/base/error.h"
#include "resolver/base/log.h"
#include "resolver/base/text.h"

static uint32_t below(void *ctx, uint32_t bound)
{
    (void)ctx;
    return np_random_below(bound);
}

void np_acme_keep_nonce(struct np_acme *acme, const struct np_http_response *response)
{
    if (!response->nonce[0])
        return;
    if (acme->nonce_count == NP_ACME_NONCES_MAX) {
        /* The oldest goes: CAs forget old nonces first. */
        memmove(acme->nonces[0], acme->nonces[1], sizeof acme->nonces - sizeof acme->nonces[0]);
        acme->nonce_count--;
    }
    memcpy(acme->nonces[acme->nonce_count++], response->nonce, sizeof response->nonce);
}

static void post_unlink(struct np_acme_request *request)
{
    struct np_acme *acme = request->acme;
    *request->link = request->next;
    if (request->next)
        request->next->link = request->link;
    if (acme->waiting_end == &request->next)
        acme->waiting_end = request->link;
}

void np_acme_request_first(struct np_acme_request *request)
{
    struct np_acme *acme = request->acme;
    request->next = acme->waiting;
    request->link = &acme->waiting;
    if (request->next)
        request->next->link = &request->next;
    else
        acme->waiting_end = &request->next;
    acme->waiting = request;
    acme->waiting_count++;
}

static void wait_last(struct np_acme_request *request)
{
    struct np_acme *acme = request->acme;
    request->next = NULL;
    request->link = acme->waiting_end;
    *acme->waiting_end = request;
    acme->waiting_end = &request->next;
    acme->waiting_count++;
}

static void mark_sent(struct np_acme_request *request)
{
    struct np_acme *acme = request->acme;
    post_unlink(request);
    acme->waiting_count--;
    request->next = acme->sent;
    request->link = &acme->sent;
    if (request->next)
        request->next->link = &request->next;
    acme->sent = request;
    acme->sent_count++;
}

static void take_back(struct np_acme_request *request)
{
    post_unlink(request);
    request->acme->sent_count--;
}

void np_acme_request_free(struct np_acme_request *request)
{
    free(request->url);
    free(request->accept);
    free(request->payload);
    free(request);
}

void np_acme_request_drop(struct np_acme_request *request)
{
    post_unlink(request);
    request->acme->waiting_count--;
    np_acme_request_free(request);
}

struct np_acme_request *np_acme_request_new(struct np_acme *acme, const char *url, const char *accept,
                                            const char *payload, np_acme_reply_fn *done, void *ctx)
{
    struct np_acme_request *request = calloc(1, sizeof *request);
    if (!request)
        return NULL;
    request->acme = acme;
    request->done = done;
    request->ctx = ctx;
    request->url = url ? strdup(url) : NULL;
    request->accept = strdup(accept ? accept : NP_ACME_MEDIA_JSON);
    request->payload = payload ? strdup(payload) : NULL;
    if ((url && !request->url) || !request->accept || (payload && !request->payload)) {
        np_acme_request_free(request);
        return NULL;
    }
    return request;
}

/* Ends request: its callback, then its memory. */
static void post_finish(struct np_acme_request *request, const struct np_acme_reply *reply)
{
    np_acme_reply_fn *done = request->done;
    void *ctx = request->ctx;
    struct np_acme_reply copy = *reply;
    copy.network_ms = request->network_ms;
    copy.requests = request->requests;
    np_acme_request_free(request);
    done(ctx, &copy);
}

void np_acme_pause(struct np_acme *acme, const char *what, const struct np_acme_reply *reply)
{
    int64_t delay_ms = np_backoff_fail(&acme->backoff, reply->retry_after_ms, below, NULL);
    acme->stage = NP_ACME_STAGE_PAUSED;
    if (reply->rc == NP_E_ACME)
        np_warning("acme: %s of %s refused: %s (%d): %s; again in %lld s", what, acme->config.directory,
                   reply->problem.type, reply->status, reply->problem.detail, (long long)(delay_ms + 999) / 1000);
    else
        np_warning("acme: %s of %s failed: %s%s%s; again in %lld s", what, acme->config.directory,
                   np_strerror(reply->rc), reply->why && reply->why[0] ? ": " : "", reply->why ? reply->why : "",
                   (long long)(delay_ms + 999) / 1000);
    uv_timer_start(&acme->timer, np_acme_begin, (uint64_t)delay_ms, 0);
    acme->events.trouble(acme->events.ctx);
}

struct np_acme_reply np_acme_make_reply(const struct np_http_response *response)
{
    struct np_acme_reply reply = {.rc = response->rc,
                                  .why = response->why,
                                  .status = response->status,
                                  .body = response->body,
                                  .len = response->len,
                                  .location = response->location,
                                  .next = response->links.next,
                                  .alternates = response->links.alternates,
                                  .alternate_count = response->links.alternate_count,
                                  .retry_after_ms = response->retry_after_ms};
    if (reply.rc == 0 && (reply.status < 200 || reply.status > 299)) {
        reply.rc = NP_E_ACME;
        np_acme_problem_parse(response->body, response->len, &reply.problem);
    }
    return reply;
}

static void on_nonce(void *ctx, const struct np_http_response *response)
{
    struct np_acme *acme = ctx;
    struct np_acme_reply reply = np_acme_make_reply(response);
    acme->nonce_fetches--;
    np_acme_keep_nonce(acme, response);
    if (reply.rc == 0 && !response->nonce[0])
        reply.rc = NP_E_MISSING;
    if (reply.rc && acme->nonce_count == 0 && acme->stage != NP_ACME_STAGE_PAUSED)
        np_acme_pause(acme, "newNonce", &reply);
    np_acme_pump(acme);
}

static const char *post_url(const struct np_acme_request *request)
{
    if (request->with_jwk)
        return request->acme->directory.new_account;
    return request->url ? request->url : request->acme->directory.new_order;
}

/* Has the account another key meanwhile, so that it is the signature which is refused? CAs call that unauthorized or
 * malformed, as they do other things: our own file has to be another one by now. */
static bool is_rekeyed(const struct np_acme *acme, const struct np_acme_reply *reply)
{
    const char *type = reply->problem.type;
    return (strcmp(type, "unauthorized") == 0 || strcmp(type, "malformed") == 0) && acme->events.replaced &&
           acme->events.replaced(acme->events.ctx);
}

static void ask_again(struct np_acme *acme)
{
    np_warning("acme: the CA does not know account %s with our key any more: asking for it again", acme->account_url);
    acme->stage = NP_ACME_STAGE_PAUSED;
    uv_timer_start(&acme->timer, np_acme_begin, 0, 0);
}

static void on_answer(void *ctx, const struct np_http_response *response)
{
    struct np_acme_request *request = ctx;
    struct np_acme *acme = request->acme;
    struct np_acme_reply reply = np_acme_make_reply(response);
    request->network_ms += response->took_ms;
    np_acme_keep_nonce(acme, response);
    take_back(request);
    if (reply.rc == NP_E_ACME && strcmp(reply.problem.type, "badNonce") == 0 &&
        ++request->nonce_failures < NP_ACME_NONCE_TRIES) {
        np_acme_request_first(request);
        np_acme_pump(acme);
        return;
    }
    if (reply.rc == NP_E_ACME && !request->with_jwk && acme->stage == NP_ACME_STAGE_READY) {
        bool unknown = strcmp(reply.problem.type, "accountDoesNotExist") == 0;
        bool rekeyed = !unknown && request->key_failures == 0 && is_rekeyed(acme, &reply);
        if (unknown || rekeyed)
            ask_again(acme);
        if (rekeyed) { /* it will be signed with the account's new key */
            request->key_failures++;
            np_acme_request_first(request);
            return;
        }
    }
    post_finish(request, &reply);
    np_acme_pump(acme);
}

/* Sends request with a nonce from the pool. */
static int transmit(struct np_acme_request *request)
{
    struct np_acme *acme = request->acme;
    const char *url = post_url(request);
    char *body = NULL;
    /* The newest nonce first: it is the least likely to be forgotten by the CA. */
    int rc = np_acme_jws_sign(request->key ? request->key : acme->key, request->with_jwk ? NULL : acme->account_url,
                              acme->nonces[--acme->nonce_count], url, request->payload, &body);
    if (rc == 0)
        rc = np_http_send(acme->http, NP_HTTP_POST_JOSE, url, request->accept, body, on_answer, request);
    free(body);
    if (rc)
        return rc;
    request->requests++;
    mark_sent(request);
    return 0;
}

void np_acme_pump(struct np_acme *acme)
{
    if (acme->stage != NP_ACME_STAGE_READY && acme->stage != NP_ACME_STAGE_ACCOUNT)
        return;
    while (acme->waiting && acme->nonce_count > 0 && acme->sent_count < NP_HTTP_CONNECTIONS_MAX &&
           (acme->stage == NP_ACME_STAGE_READY || acme->waiting->with_jwk)) {
        if (transmit(acme->waiting)) {
            /* Out of memory. Never call back from inside np_acme_post: try again a little later. */
            uv_timer_start(&acme->timer, np_acme_begin, NP_ACME_RETRY_MIN_MS, 0);
            return;
        }
    }
    size_t wanted = acme->stage == NP_ACME_STAGE_READY ? acme->waiting_count : acme->waiting && acme->waiting->with_jwk;
    if (wanted > NP_HTTP_CONNECTIONS_MAX - acme->sent_count)
        wanted = NP_HTTP_CONNECTIONS_MAX - acme->sent_count;
    /* Enough nonces for those that could be sent now: each answer brings another one. */
    while (acme->nonce_count == 0 && wanted > acme->nonce_fetches) {
        if (np_http_send(acme->http, NP_HTTP_HEAD, acme->directory.new_nonce, NULL, NULL, on_nonce, acme))
            break;
        acme->nonce_fetches++;
    }
}

int np_acme_new(uv_loop_t *loop, const struct np_ca_config *config, const struct np_acme_key *key,
                const struct np_acme_key *next, const struct np_acme_events *events, struct np_acme **out_acme)
{
    struct np_acme *acme = calloc(1, sizeof *acme);
    if (!acme)
        return -ENOMEM;
    acme->loop = loop;
    acme->config = *config;
    acme->key = key;
    acme->next = next;
    acme->events = *events;
    acme->backoff = (struct np_backoff){NP_ACME_RETRY_MIN_MS, NP_ACME_RETRY_MAX_MS, 0};
    int rc = np_acme_read_eab_key(acme);
    if (rc == 0)
        rc = np_http_new(loop, config->anchors, &acme->http);
    if (rc) {
        free(acme);
        return rc;
    }
    np_http_guard(acme->http, events->allowed, events->allowed_ctx);
    acme->waiting_end = &acme->waiting;
    uv_timer_init(loop, &acme->timer);
    acme->timer.data = acme;
    *out_acme = acme;
    return 0;
}

void np_acme_start(struct np_acme *acme)
{
    np_acme_begin(&acme->timer);
}

int np_acme_post(struct np_acme *acme, const char *url, const char *accept, const char *payload, np_acme_reply_fn *done,
                 void *ctx)
{
    if (acme->waiting_count >= NP_ACME_WAITING_MAX)
        return NP_E_LIMIT;
    struct np_acme_request *request = np_acme_request_new(acme, url, accept, payload, done, ctx);
    if (!request)
        return -ENOMEM;
    wait_last(request);
    np_acme_pump(acme);
    return 0;
}

static void on_got(void *ctx, const struct np_http_response *response)
{
    struct np_acme_unsigned *get = ctx;
    np_acme_reply_fn *done = get->done;
    struct np_acme_reply reply = np_acme_make_reply(response);
    reply.network_ms = response->took_ms;
    reply.requests = 1;
    get->done = NULL; /* the callback may want the place */
    done(get->ctx, &reply);
}

int np_acme_get(struct np_acme *acme, const char *url, np_acme_reply_fn *done, void *ctx)
{
    for (size_t i = 0; i < NP_ACME_GETS_MAX; i++) {
        struct np_acme_unsigned *get = &acme->gets[i];
        if (get->done)
            continue;
        int rc = np_http_send(acme->http, NP_HTTP_GET, url, NP_ACME_MEDIA_JSON, NULL, on_got, get);
        if (rc == 0)
            *get = (struct np_acme_unsigned){.done = done, .ctx = ctx};
        return rc;
    }
    return NP_E_LIMIT;
}

const struct np_acme_key *np_acme_key(const struct np_acme *acme)
{
    return acme->key;
}

const char *np_acme_account_url(const struct np_acme *acme)
{
    return acme->account_url;
}

const char *np_acme_orders_url(const struct np_acme *acme)
{
    return acme->orders_url;
}

bool np_acme_is_ready(const struct np_acme *acme)
{
    return acme->stage == NP_ACME_STAGE_READY;
}

static struct np_acme_request *find_waiting(const struct np_acme *acme, const void *ctx)
{
    struct np_acme_request *request = acme->waiting;
    while (request && request->ctx != ctx)
        request = request->next;
    return request;
}

bool np_acme_is_waiting(const struct np_acme *acme, const void *ctx)
{
    return find_waiting(acme, ctx) != NULL;
}

void np_acme_cancel(struct np_acme *acme, const void *ctx)
{
    struct np_acme_request *request = find_waiting(acme, ctx);
    if (!request)
        return;
    np_acme_request_drop(request);
}

const struct np_acme_directory *np_acme_directory(const struct np_acme *acme)
{
    return &acme->directory;
}

static void on_timer_closed(uv_handle_t *handle)
{
    struct np_acme *acme = handle->data;
    void (*closed)(void *ctx) = acme->closed;
    void *ctx = acme->closed_ctx;
    np_wipe(acme->eab_key, sizeof acme->eab_key);
    free(acme);
    if (closed)
        closed(ctx);
}

static void on_http_closed(void *ctx)
{
    struct np_acme *acme = ctx;
    uv_close((uv_handle_t *)&acme->timer, on_timer_closed);
}

static void free_list(struct np_acme_request *request)
{
    for (struct np_acme_request *next; request; request = next) {
        next = request->next;
        np_acme_request_free(request);
    }
}

void np_acme_close(struct np_acme *acme, void (*done)(void *ctx), void *ctx)
{
    acme->closed = done;
    acme->closed_ctx = ctx;
    uv_timer_stop(&acme->timer);
    free_list(acme->waiting);
    free_list(acme->sent);
    np_http_close(acme->http, on_http_closed, acme);
}

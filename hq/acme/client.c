#include "hq/acme/client.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "hq/proto/json.h"
#include "resolver/base/error.h"
#include "resolver/base/file.h"
#include "resolver/base/jobs.h"
#include "resolver/base/log.h"
#include "resolver/base/text.h"

#define EAB_KEY_FILE_MAX 1024
#define EAB_KEY_MAX      512 /* bytes: CAs hand out 32 to 64 */
#define MEDIA_JSON       "application/json"

/* What the client itself is at. */
enum stage {
    STAGE_OFF,
    STAGE_DIRECTORY, /* the directory is being fetched */
    STAGE_ACCOUNT,   /* newAccount is under way */
    STAGE_READY,
    STAGE_PAUSED /* a failure: the timer begins again */
};

/* A signed request, from np_acme_post to its callback. */
struct post {
    struct np_acme *acme;
    struct post *next, **link; /* in waiting or sent */
    char *url;                 /* NULL: newOrder */
    char *accept, *payload;
    bool with_jwk;                 /* newAccount */
    const struct np_acme_key *key; /* that signs; NULL: the account's */
    unsigned nonce_failures, requests;
    int64_t network_ms;
    np_acme_reply_fn *done;
    void *ctx;
};

/* An unsigned request; done NULL: free. */
struct get {
    np_acme_reply_fn *done;
    void *ctx;
};

struct np_acme {
    uv_loop_t *loop;
    struct np_ca_config config;
    const struct np_acme_key *key, *next; /* next: perhaps the account's, not asked for yet */
    uint8_t eab_key[EAB_KEY_MAX];
    size_t eab_key_len;
    struct np_acme_events events;
    struct np_http *http;
    uv_timer_t timer;
    struct np_backoff backoff;
    enum stage stage;
    struct np_acme_directory directory;
    char account_url[NP_URL_MAX + 1], orders_url[NP_URL_MAX + 1];
    char nonces[NP_ACME_NONCES_MAX][NP_ACME_NONCE_MAX + 1];
    size_t nonce_count;
    unsigned nonce_fetches;              /* HEAD newNonce under way */
    struct post *waiting, **waiting_end; /* for a nonce, the account or a free connection; the oldest first */
    struct post *sent;
    size_t waiting_count, sent_count;
    struct get gets[NP_ACME_GETS_MAX];
    void (*closed)(void *ctx);
    void *closed_ctx;
};

static void pump(struct np_acme *acme);

static uint32_t below(void *ctx, uint32_t bound)
{
    (void)ctx;
    return np_random_below(bound);
}

static void keep_nonce(struct np_acme *acme, const struct np_http_response *response)
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

static void post_unlink(struct post *post)
{
    struct np_acme *acme = post->acme;
    *post->link = post->next;
    if (post->next)
        post->next->link = post->link;
    if (acme->waiting_end == &post->next)
        acme->waiting_end = post->link;
}

/* newAccount goes before all others, and what the CA wants repeated before what is new. */
static void wait_first(struct post *post)
{
    struct np_acme *acme = post->acme;
    post->next = acme->waiting;
    post->link = &acme->waiting;
    if (post->next)
        post->next->link = &post->next;
    else
        acme->waiting_end = &post->next;
    acme->waiting = post;
    acme->waiting_count++;
}

static void wait_last(struct post *post)
{
    struct np_acme *acme = post->acme;
    post->next = NULL;
    post->link = acme->waiting_end;
    *acme->waiting_end = post;
    acme->waiting_end = &post->next;
    acme->waiting_count++;
}

static void mark_sent(struct post *post)
{
    struct np_acme *acme = post->acme;
    post_unlink(post);
    acme->waiting_count--;
    post->next = acme->sent;
    post->link = &acme->sent;
    if (post->next)
        post->next->link = &post->next;
    acme->sent = post;
    acme->sent_count++;
}

static void take_back(struct post *post)
{
    post_unlink(post);
    post->acme->sent_count--;
}

/* Of a post that is in no list. */
static void post_free(struct post *post)
{
    free(post->url);
    free(post->accept);
    free(post->payload);
    free(post);
}

/* In no list yet. */
static struct post *post_new(struct np_acme *acme, const char *url, const char *accept, const char *payload,
                             np_acme_reply_fn *done, void *ctx)
{
    struct post *post = calloc(1, sizeof *post);
    if (!post)
        return NULL;
    post->acme = acme;
    post->done = done;
    post->ctx = ctx;
    post->url = url ? strdup(url) : NULL;
    post->accept = strdup(accept ? accept : MEDIA_JSON);
    post->payload = payload ? strdup(payload) : NULL;
    if ((url && !post->url) || !post->accept || (payload && !post->payload)) {
        post_free(post);
        return NULL;
    }
    return post;
}

/* Ends post: its callback, then its memory. */
static void post_finish(struct post *post, const struct np_acme_reply *reply)
{
    np_acme_reply_fn *done = post->done;
    void *ctx = post->ctx;
    struct np_acme_reply copy = *reply;
    copy.network_ms = post->network_ms;
    copy.requests = post->requests;
    post_free(post);
    done(ctx, &copy);
}

static void begin(uv_timer_t *timer);

/* The client's own step failed: say so and begin again later. */
static void pause_client(struct np_acme *acme, const char *what, const struct np_acme_reply *reply)
{
    int64_t delay_ms = np_backoff_fail(&acme->backoff, reply->retry_after_ms, below, NULL);
    acme->stage = STAGE_PAUSED;
    if (reply->rc == NP_E_ACME)
        np_warning("acme: %s of %s refused: %s (%d): %s; again in %lld s", what, acme->config.directory,
                   reply->problem.type, reply->status, reply->problem.detail, (long long)(delay_ms + 999) / 1000);
    else
        np_warning("acme: %s of %s failed: %s%s%s; again in %lld s", what, acme->config.directory,
                   np_strerror(reply->rc), reply->why && reply->why[0] ? ": " : "", reply->why ? reply->why : "",
                   (long long)(delay_ms + 999) / 1000);
    uv_timer_start(&acme->timer, begin, (uint64_t)delay_ms, 0);
    acme->events.trouble(acme->events.ctx);
}

/* The HTTP answer as a reply: 2xx is good, the rest a problem. */
static struct np_acme_reply make_reply(const struct np_http_response *response)
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
    struct np_acme_reply reply = make_reply(response);
    acme->nonce_fetches--;
    keep_nonce(acme, response);
    if (reply.rc == 0 && !response->nonce[0])
        reply.rc = NP_E_MISSING;
    if (reply.rc && acme->nonce_count == 0 && acme->stage != STAGE_PAUSED)
        pause_client(acme, "newNonce", &reply);
    pump(acme);
}

static const char *post_url(const struct post *post)
{
    if (post->with_jwk)
        return post->acme->directory.new_account;
    return post->url ? post->url : post->acme->directory.new_order;
}

static void on_answer(void *ctx, const struct np_http_response *response)
{
    struct post *post = ctx;
    struct np_acme *acme = post->acme;
    struct np_acme_reply reply = make_reply(response);
    post->network_ms += response->took_ms;
    keep_nonce(acme, response);
    take_back(post);
    if (reply.rc == NP_E_ACME && strcmp(reply.problem.type, "badNonce") == 0 &&
        ++post->nonce_failures < NP_ACME_NONCE_TRIES) {
        wait_first(post);
        pump(acme);
        return;
    }
    if (reply.rc == NP_E_ACME && strcmp(reply.problem.type, "accountDoesNotExist") == 0 && !post->with_jwk &&
        acme->stage == STAGE_READY) {
        np_warning("acme: the CA does not know account %s any more: making it again", acme->account_url);
        acme->stage = STAGE_PAUSED;
        uv_timer_start(&acme->timer, begin, 0, 0);
    }
    post_finish(post, &reply);
    pump(acme);
}

/* Sends post with a nonce from the pool. */
static int transmit(struct post *post)
{
    struct np_acme *acme = post->acme;
    const char *url = post_url(post);
    char *body = NULL;
    /* The newest nonce first: it is the least likely to be forgotten by the CA. */
    int rc = np_acme_jws_sign(post->key ? post->key : acme->key, post->with_jwk ? NULL : acme->account_url,
                              acme->nonces[--acme->nonce_count], url, post->payload, &body);
    if (rc == 0)
        rc = np_http_send(acme->http, NP_HTTP_POST_JOSE, url, post->accept, body, on_answer, post);
    free(body);
    if (rc)
        return rc;
    post->requests++;
    mark_sent(post);
    return 0;
}

/* Sends what may be sent: everything in the ready stage, only newAccount before; no more at once than there are
 * connections, so that a request's time is the CA's and not libcurl's queue. */
static void pump(struct np_acme *acme)
{
    if (acme->stage != STAGE_READY && acme->stage != STAGE_ACCOUNT)
        return;
    while (acme->waiting && acme->nonce_count > 0 && acme->sent_count < NP_HTTP_CONNECTIONS_MAX &&
           (acme->stage == STAGE_READY || acme->waiting->with_jwk)) {
        if (transmit(acme->waiting)) {
            /* Out of memory. Never call back from inside np_acme_post: try again a little later. */
            uv_timer_start(&acme->timer, begin, NP_ACME_RETRY_MIN_MS, 0);
            return;
        }
    }
    size_t wanted = acme->stage == STAGE_READY ? acme->waiting_count : acme->waiting && acme->waiting->with_jwk;
    if (wanted > NP_HTTP_CONNECTIONS_MAX - acme->sent_count)
        wanted = NP_HTTP_CONNECTIONS_MAX - acme->sent_count;
    /* Enough nonces for those that could be sent now: each answer brings another one. */
    while (acme->nonce_count == 0 && wanted > acme->nonce_fetches) {
        if (np_http_send(acme->http, NP_HTTP_HEAD, acme->directory.new_nonce, NULL, NULL, on_nonce, acme))
            break;
        acme->nonce_fetches++;
    }
}

static void on_account(void *ctx, const struct np_acme_reply *reply)
{
    struct np_acme *acme = ctx;
    struct np_acme_account account;
    struct np_acme_reply failed = *reply;
    if (failed.rc == 0)
        failed.rc = np_acme_account_parse(reply->body, reply->len, &account);
    if (failed.rc == 0 && !reply->location[0])
        failed.rc = NP_E_MISSING;
    if (failed.rc == 0 && account.status != NP_ACME_VALID)
        failed.rc = NP_E_REFUSED;
    if (failed.rc) {
        pause_client(acme, "newAccount", &failed);
        return;
    }
    snprintf(acme->account_url, sizeof acme->account_url, "%s", reply->location);
    snprintf(acme->orders_url, sizeof acme->orders_url, "%s", account.orders);
    acme->stage = STAGE_READY;
    np_backoff_reset(&acme->backoff);
    uv_timer_start(&acme->timer, begin, NP_ACME_REFRESH_MS, 0);
    np_info("acme: account %s %s", acme->account_url, reply->status == 201 ? "made" : "found");
    acme->events.ready(acme->events.ctx, acme->account_url);
    pump(acme);
}

static int account_payload(const struct np_acme *acme, char **out_payload)
{
    json_t *object = json_object();
    if (acme->config.terms_agreed)
        json_object_set_new(object, "termsOfServiceAgreed", json_true());
    if (acme->config.contact[0])
        json_object_set_new(object, "contact", json_pack("[s]", acme->config.contact));
    if (acme->config.eab_kid[0]) {
        char *binding;
        int rc = np_acme_eab_sign(acme->key, acme->config.eab_kid, acme->eab_key, acme->eab_key_len,
                                  acme->directory.new_account, &binding);
        if (rc) {
            json_decref(object);
            return rc;
        }
        json_object_set_new(object, "externalAccountBinding", json_loads(binding, 0, NULL));
        free(binding);
    }
    return np_json_dump_take(object, out_payload);
}

static void post_account(struct np_acme *acme, const struct np_acme_key *key, const char *payload,
                         np_acme_reply_fn *done)
{
    struct post *post = post_new(acme, NULL, NULL, payload, done, acme);
    if (!post) {
        pause_client(acme, "newAccount", &(struct np_acme_reply){.rc = -ENOMEM});
        return;
    }
    post->with_jwk = true;
    post->key = key;
    wait_first(post);
    acme->stage = STAGE_ACCOUNT;
    pump(acme);
}

static void make_account(struct np_acme *acme);

/* Is the account's key the next one already? A rollover may have been interrupted before or after the CA did it. */
static void on_next_account(void *ctx, const struct np_acme_reply *reply)
{
    struct np_acme *acme = ctx;
    if (reply->rc == 0) {
        acme->key = acme->next;
        acme->next = NULL;
        on_account(acme, reply);
    } else if (reply->rc == NP_E_ACME && strcmp(reply->problem.type, "accountDoesNotExist") == 0) {
        acme->next = NULL;
        make_account(acme);
    } else {
        pause_client(acme, "newAccount", reply);
    }
}

static void make_account(struct np_acme *acme)
{
    char *payload = NULL;
    if (acme->next) {
        post_account(acme, acme->next, "{\"onlyReturnExisting\":true}", on_next_account);
        return;
    }
    int rc = account_payload(acme, &payload);
    if (rc)
        pause_client(acme, "newAccount", &(struct np_acme_reply){.rc = rc});
    else
        post_account(acme, NULL, payload, on_account);
    free(payload);
}

static void on_directory(void *ctx, const struct np_http_response *response)
{
    struct np_acme *acme = ctx;
    struct np_acme_reply reply = make_reply(response);
    keep_nonce(acme, response);
    if (reply.rc == 0)
        reply.rc = np_acme_directory_parse(response->body, response->len, &acme->directory);
    if (reply.rc == 0 && acme->directory.eab_required && !acme->config.eab_kid[0]) {
        reply.rc = NP_E_CONFIG;
        reply.why = "the CA wants an external account binding: set acme-eab-kid and acme-eab-key-file";
    }
    if (reply.rc)
        pause_client(acme, "directory", &reply);
    else
        make_account(acme);
}

static void on_refreshed(void *ctx, const struct np_http_response *response)
{
    struct np_acme *acme = ctx;
    struct np_acme_directory directory;
    struct np_acme_reply reply = make_reply(response);
    keep_nonce(acme, response);
    if (reply.rc == 0)
        reply.rc = np_acme_directory_parse(response->body, response->len, &directory);
    if (reply.rc || acme->stage != STAGE_READY)
        return; /* what is known goes on to hold */
    acme->directory = directory;
    acme->events.ready(acme->events.ctx, acme->account_url);
}

/* The timer in the ready stage. */
static void refresh(struct np_acme *acme)
{
    pump(acme); /* transmit may have been short of memory */
    uv_timer_start(&acme->timer, begin, NP_ACME_REFRESH_MS, 0);
    np_http_send(acme->http, NP_HTTP_GET, acme->config.directory, MEDIA_JSON, NULL, on_refreshed, acme);
}

static void begin(uv_timer_t *timer)
{
    struct np_acme *acme = timer->data;
    struct np_acme_reply failed = {0};
    if (acme->stage == STAGE_READY) {
        refresh(acme);
        return;
    }
    if (acme->waiting && acme->waiting->with_jwk) { /* of the attempt before */
        struct post *old = acme->waiting;
        post_unlink(old);
        acme->waiting_count--;
        post_free(old);
    }
    acme->stage = STAGE_DIRECTORY;
    failed.rc = np_http_send(acme->http, NP_HTTP_GET, acme->config.directory, MEDIA_JSON, NULL, on_directory, acme);
    if (failed.rc)
        pause_client(acme, "directory", &failed);
}

static int read_eab_key(struct np_acme *acme)
{
    uint8_t *text;
    size_t len;
    if (!acme->config.eab_kid[0])
        return 0;
    int rc = np_file_read(acme->config.eab_hmac_key, EAB_KEY_FILE_MAX, &text, &len);
    if (rc)
        return rc;
    while (len > 0 && (text[len - 1] == '\n' || text[len - 1] == '\r' || text[len - 1] == '='))
        len--;
    long n = np_base64url_decode((const char *)text, len, acme->eab_key, sizeof acme->eab_key);
    np_wipe(text, len);
    free(text);
    if (n <= 0)
        return NP_E_KEY;
    acme->eab_key_len = (size_t)n;
    return 0;
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
    int rc = read_eab_key(acme);
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
    begin(&acme->timer);
}

int np_acme_post(struct np_acme *acme, const char *url, const char *accept, const char *payload, np_acme_reply_fn *done,
                 void *ctx)
{
    if (acme->waiting_count >= NP_ACME_WAITING_MAX)
        return NP_E_LIMIT;
    struct post *post = post_new(acme, url, accept, payload, done, ctx);
    if (!post)
        return -ENOMEM;
    wait_last(post);
    pump(acme);
    return 0;
}

static void on_got(void *ctx, const struct np_http_response *response)
{
    struct get *get = ctx;
    np_acme_reply_fn *done = get->done;
    struct np_acme_reply reply = make_reply(response);
    reply.network_ms = response->took_ms;
    reply.requests = 1;
    get->done = NULL; /* the callback may want the place */
    done(get->ctx, &reply);
}

int np_acme_get(struct np_acme *acme, const char *url, np_acme_reply_fn *done, void *ctx)
{
    for (size_t i = 0; i < NP_ACME_GETS_MAX; i++) {
        struct get *get = &acme->gets[i];
        if (get->done)
            continue;
        int rc = np_http_send(acme->http, NP_HTTP_GET, url, MEDIA_JSON, NULL, on_got, get);
        if (rc == 0)
            *get = (struct get){.done = done, .ctx = ctx};
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
    return acme->stage == STAGE_READY;
}

static struct post *find_waiting(const struct np_acme *acme, const void *ctx)
{
    struct post *post = acme->waiting;
    while (post && post->ctx != ctx)
        post = post->next;
    return post;
}

bool np_acme_is_waiting(const struct np_acme *acme, const void *ctx)
{
    return find_waiting(acme, ctx) != NULL;
}

void np_acme_cancel(struct np_acme *acme, const void *ctx)
{
    struct post *post = find_waiting(acme, ctx);
    if (!post)
        return;
    post_unlink(post);
    acme->waiting_count--;
    post_free(post);
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

static void free_list(struct post *post)
{
    for (struct post *next; post; post = next) {
        next = post->next;
        post_free(post);
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

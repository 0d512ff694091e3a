/* What the ACME client does for itself: the directory, the account with its key, and both again after a failure. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "hq/acme/client_private.h"
#include "hq/proto/json.h"
#include "resolver/base/error.h"
#include "resolver/base/file.h"
#include "resolver/base/log.h"
#include "resolver/base/text.h"

#define EAB_KEY_FILE_MAX     1024
#define ONLY_RETURN_EXISTING "{\"onlyReturnExisting\":true}"

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
        np_acme_pause(acme, "newAccount", &failed);
        return;
    }
    snprintf(acme->account_url, sizeof acme->account_url, "%s", reply->location);
    snprintf(acme->orders_url, sizeof acme->orders_url, "%s", account.orders);
    acme->stage = NP_ACME_STAGE_READY;
    np_backoff_reset(&acme->backoff);
    uv_timer_start(&acme->timer, np_acme_begin, NP_ACME_REFRESH_MS, 0);
    np_info("acme: account %s %s", acme->account_url, reply->status == 201 ? "made" : "found");
    acme->events.ready(acme->events.ctx, acme->account_url);
    np_acme_pump(acme);
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
    struct np_acme_request *request = np_acme_request_new(acme, NULL, NULL, payload, done, acme);
    if (!request) {
        np_acme_pause(acme, "newAccount", &(struct np_acme_reply){.rc = -ENOMEM});
        return;
    }
    request->with_jwk = true;
    request->key = key;
    np_acme_request_first(request);
    acme->stage = NP_ACME_STAGE_ACCOUNT;
    np_acme_pump(acme);
}

static void make_account(struct np_acme *acme);

static void identify(struct np_acme *acme)
{
    struct np_acme_identity identity = {.key = acme->key, .next = acme->next};
    if (!acme->events.identify)
        return;
    acme->events.identify(acme->events.ctx, &identity);
    acme->key = identity.key;
    acme->next = identity.next;
    acme->found_only = identity.found_only;
}

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
        np_acme_pause(acme, "newAccount", reply);
    }
}

/* Our key is not the account's any more, or not yet: a new account would be another one (RFC 8555 section 7.3.1). */
static void on_found_account(void *ctx, const struct np_acme_reply *reply)
{
    struct np_acme *acme = ctx;
    if (reply->rc == NP_E_ACME && strcmp(reply->problem.type, "accountDoesNotExist") == 0)
        np_acme_pause(acme, "newAccount",
                      &(struct np_acme_reply){.rc = NP_E_KEY, .why = "HQ's account has another key than this file"});
    else
        on_account(acme, reply);
}

static void make_account(struct np_acme *acme)
{
    char *payload = NULL;
    if (acme->next) {
        post_account(acme, acme->next, ONLY_RETURN_EXISTING, on_next_account);
        return;
    }
    if (acme->found_only) {
        post_account(acme, NULL, ONLY_RETURN_EXISTING, on_found_account);
        return;
    }
    int rc = account_payload(acme, &payload);
    if (rc)
        np_acme_pause(acme, "newAccount", &(struct np_acme_reply){.rc = rc});
    else
        post_account(acme, NULL, payload, on_account);
    free(payload);
}

static void on_directory(void *ctx, const struct np_http_response *response)
{
    struct np_acme *acme = ctx;
    struct np_acme_reply reply = np_acme_make_reply(response);
    np_acme_keep_nonce(acme, response);
    if (reply.rc == 0)
        reply.rc = np_acme_directory_parse(response->body, response->len, &acme->directory);
    if (reply.rc == 0 && acme->directory.eab_required && !acme->config.eab_kid[0]) {
        reply.rc = NP_E_CONFIG;
        reply.why = "the CA wants an external account binding: set acme-eab-kid and acme-eab-key-file";
    }
    if (reply.rc) {
        np_acme_pause(acme, "directory", &reply);
    } else {
        identify(acme);
        make_account(acme);
    }
}

static void on_refreshed(void *ctx, const struct np_http_response *response)
{
    struct np_acme *acme = ctx;
    struct np_acme_directory directory;
    struct np_acme_reply reply = np_acme_make_reply(response);
    np_acme_keep_nonce(acme, response);
    if (reply.rc == 0)
        reply.rc = np_acme_directory_parse(response->body, response->len, &directory);
    if (reply.rc || acme->stage != NP_ACME_STAGE_READY)
        return; /* what is known goes on to hold */
    acme->directory = directory;
    acme->events.ready(acme->events.ctx, acme->account_url);
}

/* The timer in the ready stage. */
static void refresh(struct np_acme *acme)
{
    np_acme_pump(acme); /* transmit may have been short of memory */
    uv_timer_start(&acme->timer, np_acme_begin, NP_ACME_REFRESH_MS, 0);
    np_http_send(acme->http, NP_HTTP_GET, acme->config.directory, NP_ACME_MEDIA_JSON, NULL, on_refreshed, acme);
}

void np_acme_begin(uv_timer_t *timer)
{
    struct np_acme *acme = timer->data;
    struct np_acme_reply failed = {0};
    if (acme->stage == NP_ACME_STAGE_READY) {
        refresh(acme);
        return;
    }
    if (acme->waiting && acme->waiting->with_jwk) { /* of the attempt before */
        np_acme_request_drop(acme->waiting);
    }
    acme->stage = NP_ACME_STAGE_DIRECTORY;
    failed.rc =
        np_http_send(acme->http, NP_HTTP_GET, acme->config.directory, NP_ACME_MEDIA_JSON, NULL, on_directory, acme);
    if (failed.rc)
        np_acme_pause(acme, "directory", &failed);
}

int np_acme_read_eab_key(struct np_acme *acme)
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

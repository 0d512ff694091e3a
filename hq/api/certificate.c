#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hq/acme/renewal.h"
#include "hq/api/internal.h"
#include "hq/csr.h"
#include "hq/store/naming.h"
#include "resolver/base/error.h"
#include "resolver/base/text.h"

#define WEEK_S      (7 * 86400)
#define ETAG_HASH   9  /* bytes of a chain's hash in its ETag */
#define POLL_SLOW_S 60 /* however long the queue, a device asks once a minute */

/* When the certificate should be there, and how many stand before it. For a dead order, when it may be taken up again.
 */
static int outlook_of(struct np_api_call *call, const struct np_order *order, int64_t *out_eta_s, int64_t *out_position)
{
    struct np_queue_place place = {0};
    if (order->state == NP_ORDER_BACKOFF || (order->state == NP_ORDER_QUEUED && !order->begun)) {
        int rc = np_store_queue_place(call->api->store, order, &place);
        if (rc)
            return np_api_store_failed(call, rc);
    }
    *out_position = place.ahead;
    *out_eta_s = order->state == NP_ORDER_DEAD
                     ? NP_API_DEAD_WAIT_MS / 1000
                     : np_outlook_eta_s(call->api->outlook, order, &place, np_api_now_ms(call));
    return 0;
}

static int answer_order(struct np_api_call *call, const struct np_order *order)
{
    struct np_csr_answer message = {.time_s = np_api_now_s(call)};
    char *json = NULL;
    int rc = outlook_of(call, order, &message.eta_s, &message.position);
    if (rc)
        return rc;
    memcpy(message.order, order->id, sizeof message.order);
    call->response->retry_after_s = call->api->poll_s;
    rc = np_csr_answer_encode(&message, &json);
    return np_api_answer(call, 202, rc, json);
}

/* A key that was seen before: the device's own newest order again, or a refusal. *out_found: it is the device's key,
 * and *out_order its newest order. */
static int find_same(struct np_api_call *call, const struct np_device *device, const uint8_t key[32], bool *out_known,
                     bool *out_found, struct np_order *out_order)
{
    struct np_store *store = call->api->store;
    char owner[NP_DEVICE_ID_MAX + 1];
    *out_known = *out_found = false;
    int rc = np_store_key_is_identity(store, key);
    if (rc < 0)
        return np_api_store_failed(call, rc);
    if (rc > 0)
        return np_refuse(&call->refusal, NP_REFUSE_KEY_REUSED,
                         "the TLS key is a device's identity key; make a new one");
    rc = np_store_key_owner(store, key, owner);
    if (rc == NP_E_NOT_FOUND)
        return 0;
    if (rc)
        return np_api_store_failed(call, rc);
    if (strcmp(owner, device->id) != 0)
        return np_refuse(&call->refusal, NP_REFUSE_KEY_REUSED,
                         "another device has this TLS key; make a new one (was the box cloned with its state?)");
    *out_known = true;
    rc = np_store_order_newest(store, device->id, out_order);
    if (rc == 0)
        *out_found = memcmp(out_order->key, key, 32) == 0;
    return rc && rc != NP_E_NOT_FOUND ? np_api_store_failed(call, rc) : 0;
}

static int check_key_quota(struct np_api_call *call, const struct np_device *device)
{
    int64_t count, oldest_s, now_s = np_api_now_s(call);
    int rc = np_store_key_count(call->api->store, device->id, now_s - WEEK_S, &count, &oldest_s);
    if (rc)
        return np_api_store_failed(call, rc);
    if (count < NP_API_KEYS_WEEK)
        return 0;
    return np_refuse_for(&call->refusal, NP_REFUSE_RATE_LIMITED, oldest_s + WEEK_S - now_s + 1,
                         "the device has brought %lld new TLS keys within a week; it should keep its key",
                         (long long)count);
}

/* An older key again is no new key, but an order more. */
static int check_order_quota(struct np_api_call *call, const struct np_device *device)
{
    int64_t count, oldest_ms, since_ms = np_api_now_ms(call) - WEEK_S * INT64_C(1000);
    int rc = np_store_order_count(call->api->store, device->id, since_ms, &count, &oldest_ms);
    if (rc)
        return np_api_store_failed(call, rc);
    if (count < NP_API_ORDERS_WEEK)
        return 0;
    return np_refuse_for(&call->refusal, NP_REFUSE_RATE_LIMITED, (oldest_ms - since_ms) / 1000 + 1,
                         "the device has had %lld orders within a week; it should keep to one TLS key",
                         (long long)count);
}

static int order_new(struct np_api_call *call, const struct np_device *device, const struct np_csr_request *message,
                     const struct np_csr_expect *names, const uint8_t key[32], struct np_order *order)
{
    *order = (struct np_order){.state = NP_ORDER_QUEUED, .authorization_count = names->name_count};
    np_hq_make_id(order->id);
    memcpy(order->device, device->id, sizeof order->device);
    memcpy(order->key, key, sizeof order->key);
    memcpy(order->csr, message->csr, message->csr_len);
    order->csr_len = message->csr_len;
    for (size_t i = 0; i < names->name_count; i++)
        memcpy(order->authorizations[i].name, names->names[i], sizeof names->names[i]);
    order->priority = device->credential == NP_CREDENTIAL_OPEN ? NP_PRIORITY_OPEN
                      : device->auth_n > 0                     ? NP_PRIORITY_ROUTINE
                                                               : NP_PRIORITY_NEW;
    order->renews = device->auth_n;
    order->created_ms = order->updated_ms = np_api_now_ms(call);
    int rc = np_store_orders_supersede(call->api->store, device->id, order->created_ms);
    if (rc == 0)
        rc = np_store_order_add(call->api->store, order);
    if (rc == NP_E_CONFLICT)
        return np_refuse(&call->refusal, NP_REFUSE_KEY_REUSED, "another device has this TLS key; make a new one");
    return rc ? np_api_store_failed(call, rc) : answer_order(call, order);
}

/* The same CSR after the order was given up: taken up again, but not at every knock. After it has led to a certificate
 * whose renewal is due: renewed. */
static int order_again(struct np_api_call *call, const struct np_device *device, struct np_order *order)
{
    int64_t now_ms = np_api_now_ms(call);
    int renewed = np_api_renew(call, device, order);
    if (renewed)
        return renewed;
    if (order->state == NP_ORDER_DEAD && order->updated_ms <= now_ms - NP_API_DEAD_WAIT_MS) {
        order->state = NP_ORDER_QUEUED;
        order->begun = false;
        order->attempts = 0;
        order->next_try_ms = 0;
        order->order_url[0] = order->finalize_url[0] = order->certificate_url[0] = 0;
        for (size_t i = 0; i < order->authorization_count; i++)
            order->authorizations[i].url[0] = order->authorizations[i].challenge[0] = order->authorizations[i].txt[0] =
                0;
        order->updated_ms = now_ms;
        int rc = np_store_order_update(call->api->store, order);
        if (rc)
            return np_api_store_failed(call, rc);
    }
    return answer_order(call, order);
}

/* The CSR must carry all that the device is called; one for its name alone is taken too, of a device that has not heard
 * yet of the rest, or of its end. *out_expect: the names that it has. */
static int check_csr(struct np_api_call *call, const struct np_device *device, const struct np_csr_request *message,
                     struct np_csr_expect *out_expect, struct np_public_key *out_key)
{
    struct np_csr_expect expect = {.identity = device->identity};
    struct np_names names;
    int rc = np_api_names(call, device, &names, NULL);
    if (rc)
        return rc;
    memcpy(expect.names, names.san, sizeof expect.names);
    expect.name_count = names.san_count;
    rc = np_csr_check(message->csr, message->csr_len, &expect, out_key, &call->refusal);
    if (rc && names.san_count > 1 && strcmp(call->refusal.problem.type, "bad-csr") == 0) {
        struct np_refusal again;
        struct np_csr_expect alone = {.name_count = 1, .identity = device->identity};
        memcpy(alone.names[0], device->name, sizeof alone.names[0]);
        rc = np_csr_check(message->csr, message->csr_len, &alone, out_key, &again);
        expect = alone;
    }
    if (rc == 0)
        *out_expect = expect;
    return rc;
}

/* Is the order for these names? */
static bool same_names(const struct np_order *order, const struct np_csr_expect *expect)
{
    size_t found = 0;
    for (size_t i = 0; i < order->authorization_count; i++) {
        for (size_t k = 0; k < expect->name_count; k++)
            found += strcmp(order->authorizations[i].name, expect->names[k]) == 0;
    }
    return found == expect->name_count && order->authorization_count == expect->name_count;
}

static int take_csr(struct np_api_call *call, const struct np_jws *jws, struct np_device *device)
{
    struct np_csr_request message;
    struct np_message_error error;
    struct np_csr_expect expect;
    struct np_public_key public_key;
    struct np_order order;
    uint8_t key[32];
    bool known, found;
    int rc = np_api_payload(call, np_csr_request_parse((const char *)jws->payload, jws->payload_len, &message, &error),
                            &error);
    if (rc)
        return rc;
    rc = check_csr(call, device, &message, &expect, &public_key);
    if (rc)
        return rc;
    np_jwk_thumbprint(&call->crypto, &public_key, key);
    rc = find_same(call, device, key, &known, &found, &order);
    found = rc == 0 && found && same_names(&order, &expect);
    if (rc == 0 && !found)
        rc = known ? check_order_quota(call, device) : check_key_quota(call, device);
    if (rc)
        return rc;
    rc = np_store_device_update(call->api->store, device); /* the nonce is spent */
    if (rc)
        return np_api_store_failed(call, rc);
    return found ? order_again(call, device, &order) : order_new(call, device, &message, &expect, key, &order);
}

int np_api_csr(struct np_api_call *call)
{
    struct np_jws *jws = NULL;
    struct np_device device;
    int rc = np_api_signed_device(call, &jws, &device);
    if (rc)
        return rc;
    rc = take_csr(call, jws, &device);
    np_jws_free(jws);
    return rc;
}

/* While the certificate is being made, the configured interval; in a queue or a pause, about half the wait. */
static int64_t poll_after(const struct np_api_call *call, int64_t eta_s)
{
    int64_t wait_s = eta_s / 2 < POLL_SLOW_S ? eta_s / 2 : POLL_SLOW_S;
    return wait_s > call->api->poll_s ? wait_s : call->api->poll_s;
}

static int answer_pending(struct np_api_call *call, const struct np_order *order)
{
    struct np_pending_answer message = {.time_s = np_api_now_s(call)};
    char *json = NULL;
    int rc = outlook_of(call, order, &message.eta_s, &message.position);
    if (rc)
        return rc;
    memcpy(message.order, order->id, sizeof message.order);
    snprintf(message.state, sizeof message.state, "%s", np_order_state_name(order->state));
    call->response->retry_after_s = poll_after(call, message.eta_s);
    rc = np_pending_answer_encode(&message, &json);
    return np_api_answer(call, 202, rc, json);
}

/* No CSR has come yet. */
static int answer_none(struct np_api_call *call)
{
    struct np_pending_answer message = {.state = "none", .time_s = np_api_now_s(call)};
    char *json = NULL;
    call->response->retry_after_s = POLL_SLOW_S;
    int rc = np_pending_answer_encode(&message, &json);
    return np_api_answer(call, 202, rc, json);
}

/* RFC 9110 section 13.1.2: any of a list, compared weakly. Our tags hold no comma. */
static bool etag_matches(const char *list, const char *etag)
{
    if (!list)
        return false;
    const char *opaque = etag + 2; /* behind W/ */
    size_t len = strlen(opaque);
    for (const char *at = list; (at = strstr(at, opaque)); at += len) {
        if (at[len] == 0 || at[len] == ',' || at[len] == ' ')
            return true;
    }
    return strcmp(list, "*") == 0;
}

static int answer_package(struct np_api_call *call, const struct np_device *device, const struct np_order *order,
                          const struct np_package *package)
{
    struct np_api_response *response = call->response;
    struct np_package_answer *message;
    char *json = NULL;
    uint8_t hash[32];
    char mark[NP_BASE64URL_LEN(ETAG_HASH)];
    /* Weak (RFC 9110 section 8.8.1): the same package with another "time". The numbers alone do not tell it from one of
     * the same number that was made before HQ was restored from a backup. */
    np_hq_sha256(package->chain, strlen(package->chain), hash);
    np_base64url_encode(hash, ETAG_HASH, mark);
    snprintf(response->etag, sizeof response->etag, "W/\"%lld-%lld-%s\"", (long long)package->n,
             (long long)device->auth_n, mark);
    if (etag_matches(call->request->if_none_match, response->etag)) {
        response->status = 304;
        if (!np_renewal_under_way(order->state))
            return 0;
        int64_t eta_s = 0, position; /* a newer one is on its way */
        int failed = outlook_of(call, order, &eta_s, &position);
        if (failed == 0)
            response->retry_after_s = poll_after(call, eta_s);
        return failed;
    }
    message = calloc(1, sizeof *message);
    int rc = message ? 0 : -1;
    if (message) {
        memcpy(message->chain, package->chain, sizeof message->chain);
        message->n = device->auth_n;
        message->time_s = np_api_now_s(call);
        np_hq_auth_token(call->api->pepper, device->id, device->epoch, device->auth_n, message->auth_token);
        rc = np_package_answer_encode(message, &json);
        np_wipe(message->auth_token, sizeof message->auth_token);
    }
    free(message);
    return np_api_answer(call, 200, rc, json);
}

/* A package is there. In its last quarter its renewal should be under way: where it is not (nobody had seen the device)
 * it is begun. One that has ended helps nobody. */
static int answer_found(struct np_api_call *call, const struct np_device *device, struct np_order *order,
                        const struct np_package *package)
{
    int64_t now_ms = np_api_now_ms(call);
    int rc = 0;
    if (np_renewal_is_urgent(package->not_before_s, package->not_after_s, now_ms))
        rc = np_api_renew(call, device, order);
    if (rc)
        return rc;
    if (package->not_after_s * 1000 <= now_ms)
        return answer_pending(call, order);
    return answer_package(call, device, order, package);
}

int np_api_package(struct np_api_call *call)
{
    struct np_store *store = call->api->store;
    struct np_device device;
    struct np_order order;
    struct np_package *package = NULL;
    bool changed = false;
    int rc = np_api_token_device(call, &device, &changed);
    if (rc)
        return rc;
    if (changed && (rc = np_store_device_update(store, &device)))
        return np_api_store_failed(call, rc);
    rc = np_store_order_newest(store, device.id, &order);
    if (rc == NP_E_NOT_FOUND)
        return answer_none(call);
    if (rc)
        return np_api_store_failed(call, rc);
    package = calloc(1, sizeof *package);
    if (!package)
        return np_api_answer(call, 200, -1, NULL);
    /* By the newest order's key: a certificate for a key that the device has given up helps nobody, and one for the
     * same key is good while its renewal is under way. */
    rc = np_store_package_newest(store, device.id, order.key, package);
    if (rc == 0 && package->n > device.auth_n) /* the HQ that works has stored it since the device was read */
        rc = np_store_device_get(store, device.id, &device);
    if (rc == 0)
        rc = answer_found(call, &device, &order, package);
    else
        rc = rc == NP_E_NOT_FOUND ? answer_pending(call, &order) : np_api_store_failed(call, rc);
    free(package);
    return rc;
}

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "hq/acme/renewer.h"
#include "hq/api/internal.h"
#include "hq/api/judge.h"
#include "hq/store/naming.h"
#include "resolver/base/error.h"

int np_api_renew(struct np_api_call *call, const struct np_device *device, struct np_order *order)
{
    struct np_store *store = call->api->store;
    struct np_renewal renewal;
    struct np_renewal_action action;
    struct np_order last = *order;
    if (order->state != NP_ORDER_DONE)
        return 0;
    int rc = np_store_renewal_get(store, device->id, &renewal);
    if (rc == NP_E_NOT_FOUND || (rc == 0 && np_api_now_ms(call) < renewal.point_ms))
        return 0;
    struct np_naming naming;
    if (rc == 0)
        rc = np_store_naming_get(store, device->id, &naming);
    if (rc == 0 && !np_naming_covers(device, &naming, order))
        return 0; /* for a name that has ended: the device's next CSR is for those that it has */
    if (rc == 0) {
        struct np_renewal_facts facts = {.device = device->state,
                                         .credential = device->credential,
                                         .order = order->state,
                                         .not_before_s = renewal.not_before_s,
                                         .not_after_s = renewal.not_after_s,
                                         .attempts = renewal.attempts,
                                         .window = {renewal.window_from_ms, renewal.window_until_ms},
                                         .now_ms = np_api_now_ms(call)};
        np_renewal_decide(&facts, &action);
        if (action.what == NP_RENEWAL_ORDER)
            rc = np_renewer_order(store, &renewal, &last, &action, np_api_now_ms(call), order);
        if (rc == NP_E_CONFLICT) /* another HQ, or the renewer, was faster: what it has made is the newest */
            rc = np_store_order_newest(store, device->id, order);
    }
    return rc ? np_api_store_failed(call, rc) : 0;
}

/* As a PUT of addresses, but what is not newer changes nothing, and empty lists withdraw nothing. */
static bool take_addresses(struct np_api_call *call, const struct np_checkin_request *message, struct np_device *device)
{
    struct np_rejections ignored;
    if (message->seq <= device->seq || message->addresses.v4_count + message->addresses.v6_count == 0)
        return false;
    device->seq = message->seq;
    device->stated = message->addresses;
    np_api_publish(call, device, true, &ignored);
    return true;
}

static int judge(struct np_api_call *call, const struct np_device *device, const struct np_checkin_request *message,
                 enum np_checkin_verdict *out_verdict)
{
    struct np_store *store = call->api->store;
    struct np_judge_facts facts = {.installed = message->certificate, .n = device->auth_n, .now_s = np_api_now_s(call)};
    struct np_order order;
    int rc = np_store_order_newest(store, device->id, &order);
    if (rc && rc != NP_E_NOT_FOUND)
        return np_api_store_failed(call, rc);
    facts.has_order = rc == 0;
    if (facts.has_order) {
        struct np_package *package = calloc(1, sizeof *package);
        rc = package ? np_store_package_newest(store, device->id, order.key, package) : -ENOMEM;
        facts.has_package = rc == 0;
        if (facts.has_package) {
            facts.not_before_s = package->not_before_s;
            facts.not_after_s = package->not_after_s;
        }
        free(package);
        if (rc && rc != NP_E_NOT_FOUND)
            return np_api_store_failed(call, rc);
        rc = np_api_renew(call, device, &order);
        if (rc)
            return rc;
        facts.order = order.state;
    }
    *out_verdict = np_judge_certificate(&facts);
    return 0;
}

int np_api_checkin(struct np_api_call *call)
{
    const struct np_api_request *request = call->request;
    const struct np_api *api = call->api;
    struct np_checkin_request message;
    struct np_message_error error;
    struct np_device device;
    bool changed = false;
    char *json = NULL;
    if (!request->content_type || strncasecmp(request->content_type, "application/json", 16) != 0)
        return np_refuse(&call->refusal, NP_REFUSE_UNSUPPORTED_MEDIA,
                         "a check-in comes with Content-Type: application/json");
    int rc = np_api_token_device(call, &device, &changed);
    if (rc)
        return rc;
    rc = np_api_payload(call, np_checkin_request_parse(request->body, request->body_len, &message, &error), &error);
    if (rc)
        return rc;
    rc = np_api_tell_life(call, &device, &message.life);
    if (rc)
        return rc;
    if (take_addresses(call, &message, &device))
        changed = true;
    if (strcmp(message.version, device.version) != 0) {
        memcpy(device.version, message.version, sizeof device.version);
        changed = true;
    }
    if (changed && (rc = np_store_device_update(api->store, &device)))
        return np_api_store_failed(call, rc);
    struct np_checkin_answer answer = {.seq = device.seq,
                                       .next_s = np_judge_next_checkin(device.id, np_api_now_s(call), api->checkin_s),
                                       .poll_s = api->poll_s,
                                       .checkin_s = api->checkin_s,
                                       .boot_jitter_s = api->boot_jitter_s,
                                       .time_s = np_api_now_s(call)};
    struct np_names names;
    rc = np_api_names(call, &device, &names, NULL);
    if (rc == 0)
        rc = judge(call, &device, &message, &answer.certificate);
    if (rc)
        return rc;
    memcpy(answer.san, names.san, sizeof answer.san);
    answer.san_count = names.san_count;
    rc = np_checkin_answer_encode(&answer, &json);
    return np_api_answer(call, 200, rc, json);
}

static int retire(struct np_api_call *call, const struct np_jws *jws, const struct np_device *device)
{
    struct np_leave_request message;
    struct np_message_error error;
    int rc = np_api_payload(
        call, np_leave_request_parse((const char *)jws->payload, jws->payload_len, &message, &error), &error);
    if (rc)
        return rc;
    rc = np_store_device_retire(call->api->store, device->id,
                                message.reason == NP_LEAVE_COMPROMISE ? NP_REVOKE_KEY_COMPROMISE : NP_REVOKE_CESSATION,
                                np_api_now_ms(call));
    if (rc)
        return np_api_store_failed(call, rc);
    static const char *const reasons[] = {"reset", "resale", "compromise"};
    return np_api_audit(call, NP_AUDIT_LEAVE, device, "%s", reasons[message.reason]);
}

int np_api_leave(struct np_api_call *call)
{
    struct np_jws *jws = NULL;
    struct np_device device;
    int64_t nonce_us = 0;
    int rc = np_api_signed_by_device(call, &jws, &device, &nonce_us);
    if (rc)
        return rc;
    /* Who has left may say so again; nothing is left that a nonce would protect. */
    if (device.state != NP_DEVICE_RETIRED) {
        rc = np_api_device_admit(call, &device, nonce_us);
        if (rc == 0)
            rc = retire(call, jws, &device);
    }
    np_jws_free(jws);
    if (rc == 0)
        call->response->status = 204;
    return rc;
}

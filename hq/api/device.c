#include <string.h>
#include <strings.h>

#include "hq/api/internal.h"
#include "hq/api/lives.h"
#include "resolver/base/error.h"
#include "resolver/base/text.h"

void np_api_publish(const struct np_api_call *call, struct np_device *device, bool newer,
                    struct np_rejections *out_rejections)
{
    const struct np_policy_statement statement = {.stated = &device->stated,
                                                  .publish = device->publish,
                                                  .credential = device->credential,
                                                  .client = &call->request->client,
                                                  .published = newer ? NULL : &device->published};
    np_policy_publish(&call->api->policy, &statement, &device->published, out_rejections);
}

static int answer_addresses(struct np_api_call *call, const struct np_device *device,
                            const struct np_rejections *rejections)
{
    struct np_addresses_answer message = {
        .seq = device->seq, .published = device->published, .time_s = np_api_now_s(call)};
    char *json = NULL;
    int rc = np_store_zone_serial(call->api->store, &message.serial);
    if (rc)
        return np_api_store_failed(call, rc);
    _Static_assert(sizeof message.rejected == sizeof rejections->why, "the same table");
    memcpy(message.rejected, rejections->why, sizeof message.rejected);
    message.rejected_count = rejections->count;
    rc = np_addresses_answer_encode(&message, &json);
    return np_api_answer(call, 200, rc, json);
}

/* Is the statement new (1), the stored one again (0), or too old (NP_E_REFUSED)? */
static int compare_seq(struct np_api_call *call, const struct np_device *device,
                       const struct np_addresses_request *message)
{
    if (message->seq > device->seq)
        return 1;
    if (message->seq == device->seq && np_addresses_equal(&message->addresses, &device->stated))
        return 0;
    np_refuse(&call->refusal, NP_REFUSE_STALE_SEQ, "seq %lld is not newer than %lld; state the addresses with %lld",
              (long long)message->seq, (long long)device->seq, (long long)device->seq + 1);
    call->refusal.problem.has_seq = true;
    call->refusal.problem.seq = device->seq;
    return NP_E_REFUSED;
}

int np_api_addresses(struct np_api_call *call)
{
    const struct np_api_request *request = call->request;
    struct np_addresses_request message;
    struct np_message_error error;
    struct np_rejections rejections;
    struct np_device device;
    bool changed = false;
    if (!request->content_type || strncasecmp(request->content_type, "application/json", 16) != 0)
        return np_refuse(&call->refusal, NP_REFUSE_UNSUPPORTED_MEDIA,
                         "addresses come with Content-Type: application/json");
    int rc = np_api_token_device(call, &device, &changed);
    if (rc)
        return rc;
    rc = np_api_payload(call, np_addresses_request_parse(request->body, request->body_len, &message, &error), &error);
    int newer = rc ? rc : compare_seq(call, &device, &message);
    if (newer > 0) {
        device.seq = message.seq;
        device.stated = message.addresses;
        device.last_seen_s = np_api_now_s(call);
        changed = true;
    }
    const struct np_addresses before = device.published;
    np_api_publish(call, &device, newer > 0, &rejections);
    changed = changed || !np_addresses_equal(&before, &device.published); /* the policy has changed since */
    /* A refused statement leaves the addresses as they are, but the token was used. */
    if (changed && (rc = np_store_device_update(call->api->store, &device)))
        return np_api_store_failed(call, rc);
    return newer < 0 ? newer : answer_addresses(call, &device, &rejections);
}

int np_api_tell_life(struct np_api_call *call, const struct np_device *device, const struct np_life *life)
{
    struct np_store *store = call->api->store;
    struct np_lives lives;
    if (!life->told)
        return 0;
    int rc = np_store_lives_get(store, device->id, &lives);
    if (rc)
        return np_api_store_failed(call, rc);
    enum np_lives_verdict verdict = np_lives_tell(&lives, life->bytes, np_api_now_s(call));
    if (verdict == NP_LIVES_SAME)
        return 0;
    rc = np_api_lock(call);
    if (rc == 0 && (rc = np_store_lives_put(store, device->id, &lives)))
        rc = np_api_store_failed(call, rc);
    if (rc == 0 && verdict == NP_LIVES_SUSPECTED)
        rc = np_api_audit(call, NP_AUDIT_CLONE, device, "two boxes have its identity, or one a copy of its disk");
    return rc;
}

int np_api_session(struct np_api_call *call)
{
    struct np_session_request wish;
    struct np_message_error error;
    struct np_jws *jws = NULL;
    struct np_device device;
    char *json = NULL;
    int rc = np_api_signed_device(call, &jws, &device);
    if (rc)
        return rc;
    rc = np_api_payload(call, np_session_request_parse((const char *)jws->payload, jws->payload_len, &wish, &error),
                        &error);
    np_jws_free(jws);
    if (rc == 0)
        rc = np_api_tell_life(call, &device, &wish.life);
    if (rc)
        return rc;
    rc = np_store_device_update(call->api->store, &device);
    if (rc)
        return np_api_store_failed(call, rc);
    struct np_session_answer message = {.n = device.auth_n, .seq = device.seq, .time_s = np_api_now_s(call)};
    memcpy(message.device, device.id, sizeof message.device);
    memcpy(message.name, device.name, sizeof message.name);
    np_hq_auth_token(call->api->pepper, device.id, device.epoch, device.auth_n, message.auth_token);
    rc = np_session_answer_encode(&message, &json);
    np_wipe(message.auth_token, sizeof message.auth_token);
    return np_api_answer(call, 200, rc, json);
}

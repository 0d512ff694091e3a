#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hq/api/internal.h"
#include "hq/names/names.h"
#include "hq/store/ledger.h"
#include "hq/store/claims.h"
#include "hq/store/naming.h"
#include "resolver/base/error.h"
#include "resolver/base/random.h"
#include "resolver/base/text.h"

#define NO_ADDRESS_S 600 /* until an operator may have mended the proxy */

static uint32_t kernel_below(void *ctx, uint32_t bound)
{
    (void)ctx;
    return np_random_below(bound);
}

/* What the device may say anew at each enrolment. */
static void take_statement(struct np_api_call *call, const struct np_enrol_request *message, struct np_device *device)
{
    struct np_rejections ignored; /* the next PUT of addresses tells */
    np_hq_sha256(message->token, sizeof message->token, device->token_hash);
    device->auth_n_used = 0; /* the poll token counts again, until an auth token was used */
    device->stated = message->addresses;
    device->publish = message->publish;
    np_api_publish(call, device, true, &ignored);
    memcpy(device->model, message->model, sizeof device->model);
    memcpy(device->version, message->version, sizeof device->version);
}

static int answer(struct np_api_call *call, int status, const struct np_device *device)
{
    const struct np_api *api = call->api;
    struct np_enrol_answer *message = calloc(1, sizeof *message);
    char *json = NULL;
    int rc = -ENOMEM;
    if (!message)
        goto out;
    rc = np_api_names(call, device, &message->names, message->grant);
    if (rc) {
        free(message);
        return rc;
    }
    memcpy(message->device, device->id, sizeof message->device);
    message->ttl_s = api->ttl_s;
    message->seq = device->seq;
    np_random_bytes(message->seed, sizeof message->seed);
    memcpy(message->nameservers, api->nameservers, sizeof message->nameservers);
    message->nameserver_count = api->nameserver_count;
    message->poll_s = api->poll_s;
    message->checkin_s = api->checkin_s;
    message->boot_jitter_s = api->boot_jitter_s;
    message->time_s = np_api_now_s(call);
    rc = np_enrol_answer_encode(message, &json);
    np_wipe(message, sizeof *message);
out:
    free(message);
    return np_api_answer(call, status, rc, json);
}

/* A claim code comes as text: what the store knows of it, and the serial number on its list. */
static int find_claim(struct np_api_call *call, struct np_credential *credential, struct np_claim *out_claim)
{
    uint8_t hash[32];
    np_hq_claim_hash(call->api->policy.master, credential->code, hash);
    int rc = np_store_claim_get(call->api->store, hash, out_claim);
    if (rc == NP_E_NOT_FOUND)
        return np_refuse(&call->refusal, NP_REFUSE_BAD_CREDENTIAL,
                         "this HQ knows no such claim code; compare it with the label");
    if (rc)
        return np_api_store_failed(call, rc);
    memcpy(credential->serial, out_claim->serial, sizeof credential->serial);
    return 0;
}

static int refuse_taken(struct np_api_call *call)
{
    return np_refuse(&call->refusal, NP_REFUSE_BAD_CREDENTIAL,
                     "another device has used this claim code; it is free again when that one leaves "
                     "('nameplate reset'), or by the operator ('nameplate-hq claim release')");
}

static int audit_claim(struct np_api_call *call, const struct np_claim *claim, const struct np_device *device)
{
    char hex[NP_HEX_LEN(4)];
    np_hex_encode(claim->hash, 4, hex);
    return np_api_audit(call, NP_AUDIT_CLAIM, device, "%s", hex);
}

/* A device that is known shows its code again; one that enrolled by other means takes a free one. */
static int repeat_claim(struct np_api_call *call, const struct np_claim *claim, const struct np_device *device)
{
    if (strcmp(claim->device, device->id) == 0)
        return 0;
    int rc = np_store_claim_take(call->api->store, claim->hash, device->id, np_api_now_s(call));
    if (rc == NP_E_CONFLICT)
        return refuse_taken(call);
    return rc ? np_api_store_failed(call, rc) : audit_claim(call, claim, device);
}

static int repeat(struct np_api_call *call, const struct np_enrol_request *message, const struct np_claim *claim,
                  int64_t nonce_us, struct np_device *device)
{
    int rc = np_api_device_admit(call, device, nonce_us);
    if (rc == 0 && claim)
        rc = repeat_claim(call, claim, device);
    if (rc == 0)
        rc = np_api_take_grant(call, message->grant, device);
    if (rc)
        return rc;
    take_statement(call, message, device);
    rc = np_store_device_update(call->api->store, device);
    return rc ? np_api_store_failed(call, rc) : answer(call, 200, device);
}

/* Stores the device, together with its claim code where it enrols by one. */
static int add_device(struct np_api_call *call, const struct np_device *device, const struct np_claim *claim)
{
    return claim ? np_store_device_add_claimed(call->api->store, device, claim->hash)
                 : np_store_device_add(call->api->store, device);
}

/* The name that an earlier grant of this HQ promised to this key comes back where nobody holds it, after HQ's database
 * was lost; with the one before it, where that was still served. Returns NP_E_CONFLICT where there is none. */
static int add_granted(struct np_api_call *call, const struct np_enrol_request *message, const struct np_claim *claim,
                       struct np_device *device)
{
    struct np_store *store = call->api->store;
    struct np_grant grant;
    char old[NP_NAME_MAX + 1];
    if (!np_api_read_grant(call, message->grant, device->thumbprint, &grant))
        return NP_E_CONFLICT;
    memcpy(device->name, grant.name, sizeof grant.name);
    int rc = np_store_name_regain(store, device->name);
    if (rc == 0)
        rc = add_device(call, device, claim);
    if (rc == 0)
        rc = np_store_naming_regain(store, device);
    if (rc == 0 && grant.old[0] && grant.old_until_s > np_api_now_s(call) &&
        snprintf(old, sizeof old, "%s.%s", grant.old, call->api->zone) < (int)sizeof old)
        rc = np_store_naming_restore_old(store, device, old, grant.old_until_s);
    return rc;
}

/* Stores the device under its granted name, or the first proposal that nobody holds. */
static int add_named(struct np_api_call *call, const struct np_enrol_request *message, const struct np_claim *claim,
                     struct np_device *device, bool *out_granted)
{
    int64_t recovery_until_s = 0;
    int rc = np_store_recovery_get(call->api->store, &recovery_until_s);
    if (rc)
        return rc;
    rc = add_granted(call, message, claim, device);
    *out_granted = rc == 0;
    /* After the loss of a database somebody may hold a name that it does not know: none of those has such a suffix. */
    unsigned first = recovery_until_s > np_api_now_s(call) ? NP_NAMES_SUFFIX : 0;
    for (unsigned attempt = first; rc == NP_E_CONFLICT && attempt < NP_NAMES_TRIES; attempt++) {
        char label[NP_LABEL_MAX + 1];
        np_names_propose(attempt, kernel_below, NULL, label);
        if (snprintf(device->name, sizeof device->name, "%s.%s", label, call->api->zone) >= (int)sizeof device->name)
            return NP_E_LIMIT;
        rc = add_device(call, device, claim);
    }
    return rc;
}

/* A blocked device stays blocked after a factory reset, and with another identity key where its serial is proved. */
static int check_blocked(struct np_api_call *call, const struct np_credential *credential, const uint8_t thumbprint[32])
{
    const char *serial = credential->type == NP_CREDENTIAL_OPEN ? "" : credential->serial;
    int blocked = np_store_is_blocked(call->api->store, thumbprint, serial);
    if (blocked < 0)
        return np_api_store_failed(call, blocked);
    return blocked ? np_refuse(&call->refusal, NP_REFUSE_BLOCKED, "the operator has blocked this device") : 0;
}

static int check_quota(struct np_api_call *call, const struct np_credential *credential, const char *network)
{
    struct np_store_counts counts;
    int64_t now_s = np_api_now_s(call);
    int rc =
        credential->type == NP_CREDENTIAL_OPEN
            ? np_store_count_network(call->api->store, network, now_s - NP_POLICY_NETWORK_WINDOW_S, &counts)
            : np_store_count_serial(call->api->store, credential->serial, now_s - NP_POLICY_SERIAL_WINDOW_S, &counts);
    return rc ? np_api_store_failed(call, rc)
              : np_policy_quota(&call->api->policy, credential, &counts, &call->refusal);
}

/* Do the factory lists let this device in? */
static int check_lists(struct np_api_call *call, const struct np_enrol_request *message, const struct np_claim *claim)
{
    const struct np_credential *credential = &message->credential;
    struct np_policy_listing listing = {.listed = claim != NULL, .model = claim ? claim->model : NULL};
    char model[NP_MODEL_MAX + 1] = "";
    int rc = NP_E_NOT_FOUND;
    if (credential->serial[0] && (!listing.model || !listing.model[0]))
        rc = np_store_serial_get(call->api->store, credential->serial, model);
    if (rc && rc != NP_E_NOT_FOUND)
        return np_api_store_failed(call, rc);
    if (rc == 0)
        listing = (struct np_policy_listing){.listed = true, .model = model};
    return np_policy_listed(&call->api->policy, credential, &listing, message->model, &call->refusal);
}

/* What was decided: who it is, by what. */
static int audit_enrolment(struct np_api_call *call, const struct np_claim *claim, bool granted,
                           const struct np_device *device)
{
    int rc = np_api_audit(call, NP_AUDIT_ENROL, device, "%s, model %s, from %s", np_credential_name(device->credential),
                          device->model, device->network);
    if (rc == 0 && claim)
        rc = audit_claim(call, claim, device);
    if (rc == 0 && granted)
        rc = np_api_audit(call, NP_AUDIT_GRANT, device, "its name is back");
    return rc;
}

/* May a device that is not known enrol? Reads only. */
static int check_new(struct np_api_call *call, const struct np_enrol_request *message, const struct np_claim *claim,
                     const uint8_t thumbprint[32])
{
    char owner[NP_DEVICE_ID_MAX + 1], network[NP_STORE_NETWORK_MAX];
    int rc = np_store_key_owner(call->api->store, thumbprint, owner);
    if (rc == 0)
        return np_refuse(&call->refusal, NP_REFUSE_KEY_REUSED,
                         "the identity key is in use as a TLS key; make a separate key for the identity");
    if (rc != NP_E_NOT_FOUND)
        return np_api_store_failed(call, rc);
    np_policy_network(&call->request->client, network);
    if (message->credential.type == NP_CREDENTIAL_OPEN && call->request->client.family == AF_UNSPEC)
        return np_refuse_for(&call->refusal, NP_REFUSE_BUSY, NO_ADDRESS_S,
                             "HQ was not told the connection's address, by which devices without a credential are "
                             "counted; its operator must mend the proxy (X-Forwarded-For)");
    if (claim && claim->device[0])
        return refuse_taken(call);
    rc = check_blocked(call, &message->credential, thumbprint);
    if (rc == 0)
        rc = check_lists(call, message, claim);
    if (rc == 0)
        rc = check_quota(call, &message->credential, network);
    return rc;
}

static int enrol_new(struct np_api_call *call, const struct np_enrol_request *message, const struct np_claim *claim,
                     const struct np_jws *jws, int64_t nonce_us, const uint8_t thumbprint[32])
{
    struct np_device device = {.state = NP_DEVICE_ACTIVE, .credential = message->credential.type};
    bool granted;
    np_policy_network(&call->request->client, device.network);
    np_hq_make_id(device.id);
    device.identity = jws->header.jwk;
    memcpy(device.thumbprint, thumbprint, sizeof device.thumbprint);
    memcpy(device.epoch, message->epoch, sizeof device.epoch);
    memcpy(device.serial, message->credential.serial, sizeof device.serial);
    device.nonce_us = nonce_us;
    device.created_s = device.last_seen_s = np_api_now_s(call);
    take_statement(call, message, &device);
    int rc = add_named(call, message, claim, &device, &granted);
    if (rc == NP_E_STALE)
        return refuse_taken(call); /* through another HQ, since it was looked at */
    if (rc == NP_E_CONFLICT)
        return np_refuse_for(&call->refusal, NP_REFUSE_BUSY, 60, "HQ found no free name; try again");
    if (rc)
        return np_api_store_failed(call, rc);
    rc = audit_enrolment(call, claim, granted, &device);
    return rc ? rc : answer(call, 201, &device);
}

static int parse_message(struct np_api_call *call, const struct np_jws *jws, struct np_enrol_request *out_message)
{
    struct np_message_error error;
    int rc = np_enrol_request_parse((const char *)jws->payload, jws->payload_len, out_message, &error);
    if (rc == NP_E_UNKNOWN && strcmp(error.member, "credential") == 0)
        return np_refuse(&call->refusal, NP_REFUSE_CREDENTIAL_UNSUPPORTED,
                         "this HQ does not know that type of credential");
    return np_api_payload(call, rc, &error);
}

/* What the database says of an enrolment: the claim code, the device where it is known, else whether it may enrol. */
struct finding {
    struct np_claim claim;
    struct np_device device;
    bool by_claim, known;
};

static int look_up(struct np_api_call *call, struct np_enrol_request *message, const uint8_t thumbprint[32],
                   struct finding *found)
{
    found->by_claim = message->credential.type == NP_CREDENTIAL_CLAIM_CODE;
    int rc = found->by_claim ? find_claim(call, &message->credential, &found->claim) : 0;
    if (rc)
        return rc;
    rc = np_store_device_find(call->api->store, thumbprint, message->epoch, &found->device);
    found->known = rc == 0;
    if (rc == NP_E_NOT_FOUND)
        return check_new(call, message, found->by_claim ? &found->claim : NULL, thumbprint);
    return rc ? np_api_store_failed(call, rc) : 0;
}

/* Likewise, with the database's lock. It is not taken for who is refused anyway: anybody may ask. */
static int look_up_locked(struct np_api_call *call, struct np_enrol_request *message, const uint8_t thumbprint[32],
                          struct finding *found)
{
    bool locked = np_store_is_locked(call->api->store);
    int rc = look_up(call, message, thumbprint, found);
    if (rc || locked)
        return rc;
    rc = np_api_lock(call);
    return rc ? rc : look_up(call, message, thumbprint, found);
}

int np_api_enrol(struct np_api_call *call)
{
    struct np_enrol_request message;
    struct finding found;
    struct np_jws *jws = NULL;
    uint8_t thumbprint[32];
    int64_t nonce_us = 0;
    int rc = np_api_signed_parse(call, true, &jws, &nonce_us);
    if (rc)
        return rc;
    rc = np_api_signed_verify(call, jws, &jws->header.jwk);
    if (rc)
        goto out;
    rc = parse_message(call, jws, &message);
    if (rc)
        goto out;
    np_jwk_thumbprint(&call->crypto, &jws->header.jwk, thumbprint);
    rc = np_policy_credential(&call->api->policy, &message.credential, thumbprint, jws->header.nonce, jws->header.url,
                              np_api_now_s(call), &call->refusal);
    if (rc == 0)
        rc = look_up_locked(call, &message, thumbprint, &found);
    if (rc == 0) {
        const struct np_claim *claim = found.by_claim ? &found.claim : NULL;
        rc = found.known ? repeat(call, &message, claim, nonce_us, &found.device)
                         : enrol_new(call, &message, claim, jws, nonce_us, thumbprint);
    }
    np_wipe(message.token, sizeof message.token);
    np_wipe(message.credential.code, sizeof message.credential.code);
out:
    np_jws_free(jws);
    return rc;
}

/* internal: what the handlers of hq/api share. A handler returns 0 with call->response filled in, or NP_E_REFUSED with
 * call->refusal. */
#ifndef HQ_API_INTERNAL_H
#define HQ_API_INTERNAL_H

#include "hq/api/api.h"
#include "hq/refusal.h"
#include "hq/store/audit.h"

/* One request being answered. */
struct np_api_call {
    struct np_api *api;
    const struct np_api_request *request;
    struct np_api_response *response;
    struct np_refusal refusal;
    char device[NP_DEVICE_ID_MAX + 1]; /* from the path; empty where it has none */
    struct np_crypto crypto;           /* verify and sha256 */
};

/* now in seconds and milliseconds. */
static inline int64_t np_api_now_s(const struct np_api_call *call)
{
    return call->request->now_us / 1000000;
}

/* See np_api_now_s. */
static inline int64_t np_api_now_ms(const struct np_api_call *call)
{
    return call->request->now_us / 1000;
}

/* Turns a store's error into busy or internal. */
int np_api_store_failed(struct np_api_call *call, int rc);

/* From here to the commit no other HQ writes (np_store_lock): for handlers that decide by what they read. Only once it
 * is known who asks: everybody else's writes wait for it. What was read before is read again. */
int np_api_lock(struct np_api_call *call);

/* Sets status and JSON body (taken). encode_rc is what the encoder returned. */
int np_api_answer(struct np_api_call *call, int status, int encode_rc, char *json);

/* Parses the signed body and checks media type, signature form, url and nonce; with_jwk tells which kind of key it must
 * have. The signature is not verified yet. The caller frees *out_jws. */
int np_api_signed_parse(struct np_api_call *call, bool with_jwk, struct np_jws **out_jws, int64_t *out_nonce_us);

/* Verifies the signature with key. */
int np_api_signed_verify(struct np_api_call *call, const struct np_jws *jws, const struct np_public_key *key);

/* The device may take part (not blocked, not retired), and the nonce is newer than its last: then the nonce and the
 * time are noted in *device, which the caller stores. */
int np_api_device_admit(struct np_api_call *call, struct np_device *device, int64_t nonce_us);

/* A signed request of a known device (kid) in whatever state: parse, look up, verify. call->device, where set, must be
 * kid. The caller frees *out_jws. */
int np_api_signed_by_device(struct np_api_call *call, struct np_jws **out_jws, struct np_device *out_device,
                            int64_t *out_nonce_us);

/* A whole signed request of a known device (kid): parse, look up, verify, admit. call->device, where set, must be kid.
 */
int np_api_signed_device(struct np_api_call *call, struct np_jws **out_jws, struct np_device *out_device);

/* A request of a known device by token: looks up call->device, checks state and token. *out_changed: the token was used
 * for the first time, or the device was not seen for an hour, and *out_device must be stored. */
int np_api_token_device(struct np_api_call *call, struct np_device *out_device, bool *out_changed);

/* Writes a decision about device to the audit log (hq/store/audit.h), in this request's transaction; format is the
 * detail's. Returns 0, or NP_E_REFUSED where the store failed. */
int np_api_audit(struct np_api_call *call, const char *action, const struct np_device *device, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* A device has told its life (hq/store/lives.h): remembered, and suspected to be a clone where it is time. Returns 0,
 * or NP_E_REFUSED where the store failed. */
int np_api_tell_life(struct np_api_call *call, const struct np_device *device, const struct np_life *life);

/* Turns a payload parser's error into a problem. 0 stays 0. */
int np_api_payload(struct np_api_call *call, int rc, const struct np_message_error *error);

/* Sets device->published by the policy from device->stated; newer: this request states them, else they were looked at
 * before. */
void np_api_publish(const struct np_api_call *call, struct np_device *device, bool newer,
                    struct np_rejections *out_rejections);

/* Begins the renewal of a device that asks, where its time has come and nothing is under way: who was away for long is
 * not made to wait for the renewer's next look. order is the device's newest; it becomes the new one. */
int np_api_renew(struct np_api_call *call, const struct np_device *device, struct np_order *order);

/* What the device is called, all of it, and the grant that says so (NP_GRANT_MAX + 1 bytes; NULL: not wanted). An old
 * name whose time is over is ended first. Returns 0, or NP_E_REFUSED. */
int np_api_names(struct np_api_call *call, const struct np_device *device, struct np_names *out_names, char *out_grant);

/* A known device shows the grant of another name than it has here, and it is its own: the name comes back, where HQ
 * had lost it (with its newest backup, or a day of its database). Returns 0 whether it did or not, or NP_E_REFUSED. */
int np_api_take_grant(struct np_api_call *call, const char *text, struct np_device *device);

/* Reads a grant of this HQ for this key and zone: false where it is none. */
bool np_api_read_grant(struct np_api_call *call, const char *text, const uint8_t thumbprint[32],
                       struct np_grant *out_grant);

/* POST /v1/devices. */
int np_api_enrol(struct np_api_call *call);
/* POST /v1/devices/{id}/csr. */
int np_api_csr(struct np_api_call *call);
/* GET /v1/devices/{id}/package. */
int np_api_package(struct np_api_call *call);
/* PUT /v1/devices/{id}/addresses. */
int np_api_addresses(struct np_api_call *call);
/* POST /v1/devices/{id}/checkin. */
int np_api_checkin(struct np_api_call *call);
/* POST /v1/devices/{id}/leave. */
int np_api_leave(struct np_api_call *call);
/* POST /v1/devices/{id}/name. */
int np_api_name(struct np_api_call *call);
/* POST /v1/time. */
int np_api_time(struct np_api_call *call);
/* POST /v1/session. */
int np_api_session(struct np_api_call *call);

#endif

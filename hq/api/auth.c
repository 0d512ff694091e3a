#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "hq/api/internal.h"
#include "hq/api/judge.h"
#include "hq/api/nonce.h"
#include "resolver/base/error.h"
#include "resolver/base/text.h"

#define STALE_TOKENS 4 /* how far back an auth token is told "stale" rather than "unknown" */

/* Is the media type the wanted one, whatever its parameters? */
static bool is_media(const char *content_type, const char *wanted)
{
    size_t len = strlen(wanted);
    return content_type && strncasecmp(content_type, wanted, len) == 0 &&
           (content_type[len] == 0 || content_type[len] == ';' || content_type[len] == ' ');
}

static int parse_jws(struct np_api_call *call, struct np_jws **out_jws)
{
    const struct np_api_request *request = call->request;
    if (!is_media(request->content_type, "application/jose+json"))
        return np_refuse(&call->refusal, NP_REFUSE_UNSUPPORTED_MEDIA,
                         "a signed request has Content-Type: application/jose+json");
    int rc = np_jws_parse(request->body, request->body_len, out_jws);
    switch (rc) {
    case 0:
        return 0;
    case NP_E_LIMIT:
        return np_refuse(&call->refusal, NP_REFUSE_TOO_LARGE, "the signed request or a member of it is too long");
    case NP_E_UNKNOWN:
        return np_refuse(&call->refusal, NP_REFUSE_BAD_SIGNATURE,
                         "requests are signed with alg ES256, a key on P-256, and neither crit nor b64");
    default:
        return np_refuse(&call->refusal, NP_REFUSE_MALFORMED,
                         "the body is not a flattened JWS with alg, nonce, url and one of jwk and kid: %s",
                         np_strerror(rc));
    }
}

int np_api_signed_parse(struct np_api_call *call, bool with_jwk, struct np_jws **out_jws, int64_t *out_nonce_us)
{
    struct np_jws *jws = NULL;
    char url[NP_URL_MAX * 2];
    int rc = parse_jws(call, &jws);
    if (rc)
        return rc;
    snprintf(url, sizeof url, "%s%s", call->api->url, call->request->path);
    if (jws->header.has_jwk != with_jwk) {
        rc = np_refuse(&call->refusal, NP_REFUSE_MALFORMED,
                       with_jwk ? "this request carries its key as jwk, not as kid"
                                : "this request names its key by kid, the device's id, not by jwk");
        goto fail;
    }
    if (strcmp(jws->header.url, url) != 0) {
        rc =
            np_refuse(&call->refusal, NP_REFUSE_BAD_URL, "signed for %.100s, but this is %.100s", jws->header.url, url);
        goto fail;
    }
    rc = np_nonce_check(call->api->nonce_key, call->request->now_us, jws->header.nonce, out_nonce_us);
    if (rc) {
        rc = np_refuse(&call->refusal, NP_REFUSE_BAD_NONCE,
                       rc == NP_E_STALE ? "the nonce is too old; sign again with this answer's Replay-Nonce"
                                        : "the nonce is not from this HQ; sign again with this answer's Replay-Nonce");
        goto fail;
    }
    *out_jws = jws;
    return 0;
fail:
    np_jws_free(jws);
    return rc;
}

int np_api_signed_verify(struct np_api_call *call, const struct np_jws *jws, const struct np_public_key *key)
{
    int rc = np_jws_verify(&call->crypto, jws, key);
    if (rc == 0)
        return 0;
    return np_refuse(&call->refusal, NP_REFUSE_BAD_SIGNATURE,
                     rc == NP_E_KEY ? "the jwk is no point on P-256"
                                    : "the signature does not verify with the device's identity key");
}

static int check_state(struct np_api_call *call, const struct np_device *device)
{
    switch (device->state) {
    case NP_DEVICE_ACTIVE:
        return 0;
    case NP_DEVICE_BLOCKED:
        return np_refuse(&call->refusal, NP_REFUSE_BLOCKED, "the operator has blocked this device");
    case NP_DEVICE_RETIRED:
        break;
    }
    return np_refuse(&call->refusal, NP_REFUSE_RETIRED, "this device's name has ended; reset the device to enrol anew");
}

int np_api_device_admit(struct np_api_call *call, struct np_device *device, int64_t nonce_us)
{
    int rc = check_state(call, device);
    if (rc)
        return rc;
    struct np_api *api = call->api;
    int64_t now_us = call->request->now_us;
    api->last_nonce_us = np_nonce_seen(api->last_nonce_us, device->nonce_us, now_us);
    if (!np_nonce_follows(nonce_us, device->nonce_us, now_us))
        return np_refuse(&call->refusal, NP_REFUSE_BAD_NONCE,
                         "the nonce is not newer than the last one used; sign again with this answer's Replay-Nonce");
    api->last_nonce_us = np_nonce_seen(api->last_nonce_us, nonce_us, now_us);
    device->nonce_us = nonce_us;
    device->last_seen_s = np_api_now_s(call);
    device->silent_s = 0; /* its name shows its addresses again */
    return 0;
}

static int find_device(struct np_api_call *call, const char *id, struct np_device *out_device)
{
    int rc = np_store_device_get(call->api->store, id, out_device);
    if (rc == NP_E_NOT_FOUND)
        return np_refuse(&call->refusal, NP_REFUSE_UNKNOWN_DEVICE,
                         "this HQ knows no such device; enrol again, with the grant where there is one");
    return rc ? np_api_store_failed(call, rc) : 0;
}

int np_api_lock(struct np_api_call *call)
{
    int rc = np_store_lock(call->api->store);
    return rc ? np_api_store_failed(call, rc) : 0;
}

int np_api_signed_by_device(struct np_api_call *call, struct np_jws **out_jws, struct np_device *out_device,
                            int64_t *out_nonce_us)
{
    struct np_jws *jws = NULL;
    struct np_device device;
    int rc = np_api_signed_parse(call, false, &jws, out_nonce_us);
    if (rc)
        return rc;
    if (call->device[0] && strcmp(call->device, jws->header.kid) != 0)
        rc = np_refuse(&call->refusal, NP_REFUSE_BAD_SIGNATURE, "kid is not the device of the path");
    bool locked = np_store_is_locked(call->api->store);
    if (rc == 0)
        rc = find_device(call, jws->header.kid, &device);
    if (rc == 0)
        rc = np_api_signed_verify(call, jws, &device.identity);
    /* Nobody waits for the database's lock, or makes others wait, before it is known who he is. */
    if (rc == 0 && !locked && (rc = np_api_lock(call)) == 0)
        rc = find_device(call, jws->header.kid, &device);
    if (rc) {
        np_jws_free(jws);
        return rc;
    }
    *out_jws = jws;
    *out_device = device;
    return 0;
}

int np_api_signed_device(struct np_api_call *call, struct np_jws **out_jws, struct np_device *out_device)
{
    struct np_jws *jws = NULL;
    struct np_device device;
    int64_t nonce_us = 0;
    int rc = np_api_signed_by_device(call, &jws, &device, &nonce_us);
    if (rc)
        return rc;
    rc = np_api_device_admit(call, &device, nonce_us);
    if (rc) {
        np_jws_free(jws);
        return rc;
    }
    *out_jws = jws;
    *out_device = device;
    return 0;
}

static bool is_auth_token(const struct np_api *api, const struct np_device *device, int64_t n, const uint8_t token[32])
{
    uint8_t expected[NP_TOKEN_LEN];
    np_hq_auth_token(api->pepper, device->id, device->epoch, n, expected);
    bool equal = np_equal_constant_time(expected, token, sizeof expected);
    np_wipe(expected, sizeof expected);
    return equal;
}

/* Which number the token has. The poll token is good until an auth token was used; then the newest auth token, and
 * while it is unused the one before and the last used one. Number 0 comes from a session before the first package. */
static int check_token(struct np_api_call *call, const struct np_device *device, const uint8_t token[32],
                       int64_t *out_n)
{
    uint8_t hash[32];
    int64_t used = device->auth_n_used, candidates[] = {device->auth_n, device->auth_n - 1, used};
    np_hq_sha256(token, NP_TOKEN_LEN, hash);
    bool poll_token = np_equal_constant_time(hash, device->token_hash, sizeof hash);
    if (poll_token && used == 0) {
        *out_n = 0;
        return 0;
    }
    for (size_t i = 0; i < sizeof candidates / sizeof *candidates; i++) {
        if (candidates[i] >= used && is_auth_token(call->api, device, candidates[i], token)) {
            *out_n = candidates[i];
            return 0;
        }
    }
    bool stale = poll_token;
    for (int64_t n = used - 1; !stale && n >= 0 && n >= used - STALE_TOKENS; n--)
        stale = is_auth_token(call->api, device, n, token);
    if (stale)
        return np_refuse(&call->refusal, NP_REFUSE_STALE_TOKEN,
                         "a newer token has been used since; POST /v1/session gives the current one");
    return np_refuse(&call->refusal, NP_REFUSE_UNKNOWN_TOKEN,
                     "this is no token of the device; POST /v1/session gives the current one");
}

static int look_up(struct np_api_call *call, const uint8_t token[32], struct np_device *device, bool *out_changed)
{
    int64_t n = 0;
    int rc = find_device(call, call->device, device);
    if (rc == 0)
        rc = check_token(call, device, token, &n);
    if (rc == 0)
        rc = check_state(call, device);
    if (rc)
        return rc;
    *out_changed = n > device->auth_n_used;
    if (*out_changed)
        device->auth_n_used = n;
    if (device->silent_s || np_judge_seen(device->last_seen_s, np_api_now_s(call))) {
        device->last_seen_s = np_api_now_s(call);
        device->silent_s = 0;
        *out_changed = true;
    }
    return 0;
}

int np_api_token_device(struct np_api_call *call, struct np_device *out_device, bool *out_changed)
{
    const char *authorization = call->request->authorization;
    uint8_t token[NP_TOKEN_LEN];
    bool reads = strcmp(call->request->method, "GET") == 0; /* polls, of which few write */
    bool locked = np_store_is_locked(call->api->store);
    if (!authorization || strncasecmp(authorization, "Bearer ", 7) != 0 ||
        np_base64url_decode_exact(authorization + 7, token, sizeof token))
        return np_refuse(&call->refusal, NP_REFUSE_UNKNOWN_TOKEN,
                         "this request carries 'Authorization: Bearer' with a token of 32 bytes in base64url");
    int rc = look_up(call, token, out_device, out_changed);
    if (rc == 0 && !locked && (!reads || *out_changed) && (rc = np_api_lock(call)) == 0)
        rc = look_up(call, token, out_device, out_changed);
    np_wipe(token, sizeof token);
    return rc;
}

int np_api_payload(struct np_api_call *call, int rc, const struct np_message_error *error)
{
    if (rc == 0)
        return 0;
    if (error->member[0] == 0)
        return np_refuse(&call->refusal, NP_REFUSE_MALFORMED, "the message is no JSON object without double members");
    return np_refuse(&call->refusal, NP_REFUSE_MALFORMED, "member '%s': %s", error->member, np_strerror(rc));
}

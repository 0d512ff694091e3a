#include "agent/certificate/exchange.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/identity/csr.h"
#include "resolver/base/error.h"

#define RETRY_AFTER_MAX_S (7 * 86400) /* a longer pause is a mistake of the server */

static int enrol_payload(const struct np_exchange_self *self, const struct np_state *device,
                         const struct np_enrol_action *action, const char *url, char **out_json)
{
    struct np_enrol_request m = {.addresses = action->addresses.addresses, .publish = self->publish};
    memcpy(m.epoch, device->epoch, sizeof m.epoch);
    memcpy(m.token, device->token, sizeof m.token);
    memcpy(m.grant, device->grant, sizeof m.grant);
    snprintf(m.model, sizeof m.model, "%s", self->model);
    snprintf(m.version, sizeof m.version, "%s", self->version);
    int rc = np_factory_credential(&self->factory, &device->identity.public, action->nonce, url, &m.credential);
    if (rc == 0)
        rc = np_enrol_request_encode(&m, out_json);
    np_wipe(&m, sizeof m);
    return rc;
}

static int csr_payload(const struct np_state *device, char **out_json)
{
    struct np_csr_request m = {0};
    const char *names[NP_SAN_MAX];
    for (size_t i = 0; i < device->san_count; i++)
        names[i] = device->san[i];
    int rc = np_csr_build(&device->next, names, device->san_count, m.csr, sizeof m.csr, &m.csr_len);
    return rc ? rc : np_csr_request_encode(&m, out_json);
}

static bool is_bearer(enum np_request request)
{
    return request == NP_REQUEST_PACKAGE || request == NP_REQUEST_ADDRESSES || request == NP_REQUEST_CHECKIN;
}

static int kid_payload(const struct np_exchange_self *self, const struct np_state *device,
                       const struct np_enrol_action *action, char **out_json)
{
    if (action->request == NP_REQUEST_CSR)
        return csr_payload(device, out_json);
    if (action->request == NP_REQUEST_LEAVE)
        return np_leave_request_encode(&action->leave, out_json);
    if (action->request == NP_REQUEST_NAME)
        return np_name_request_encode(&action->name, out_json);
    const struct np_session_request session = {.life = self->life};
    return np_session_request_encode(&session, out_json);
}

static int build_signed(const struct np_exchange_self *self, const struct np_state *device,
                        const struct np_enrol_action *action, struct np_exchange *x)
{
    struct np_jws_header header = {0};
    struct np_crypto crypto;
    char *payload = NULL;
    int rc;
    int n = snprintf(header.url, sizeof header.url, "%s%s", self->url, x->path);
    if (n < 0 || (size_t)n >= sizeof header.url)
        return NP_E_LIMIT;
    memcpy(header.nonce, action->nonce, sizeof header.nonce);
    if (action->request == NP_REQUEST_ENROL) {
        header.has_jwk = true;
        header.jwk = device->identity.public;
        rc = enrol_payload(self, device, action, header.url, &payload);
    } else {
        memcpy(header.kid, device->device, sizeof header.kid);
        rc = kid_payload(self, device, action, &payload);
    }
    if (rc)
        return rc;
    np_crypto_init(&crypto, &device->identity);
    rc = np_jws_sign(&crypto, &header, payload, strlen(payload), &x->body);
    np_wipe(payload, strlen(payload));
    free(payload);
    if (rc == 0) {
        x->content_type = "application/jose+json";
        x->body_len = strlen(x->body);
    }
    return rc;
}

static int build_addresses(const struct np_enrol_action *action, struct np_exchange *x)
{
    int rc = np_addresses_request_encode(&action->addresses, &x->body);
    if (rc)
        return rc;
    x->content_type = "application/json";
    x->body_len = strlen(x->body);
    return 0;
}

static int build_time(const struct np_enrol_action *action, struct np_exchange *x)
{
    struct np_time_request m = {0};
    snprintf(m.nonce, sizeof m.nonce, "%.*s", NP_TIME_NONCE_MAX, action->nonce);
    int rc = np_time_request_encode(&m, &x->body);
    if (rc)
        return rc;
    x->content_type = "application/json";
    x->body_len = strlen(x->body);
    return 0;
}

static int build_checkin(const struct np_exchange_self *self, const struct np_enrol_action *action,
                         struct np_exchange *x)
{
    struct np_checkin_request m = action->checkin;
    snprintf(m.version, sizeof m.version, "%s", self->version);
    m.life = self->life;
    int rc = np_checkin_request_encode(&m, &x->body);
    if (rc)
        return rc;
    x->content_type = "application/json";
    x->body_len = strlen(x->body);
    return 0;
}

int np_exchange_build(const struct np_exchange_self *self, const struct np_state *device, const uint8_t *bearer,
                      const struct np_enrol_action *action, struct np_exchange *out_exchange)
{
    struct np_exchange x = {.method = "POST"};
    const char *id = device->device;
    int rc = 0;
    switch (action->request) {
    case NP_REQUEST_NONCE:
        x.method = "HEAD";
        snprintf(x.path, sizeof x.path, "/v1/nonce");
        break;
    case NP_REQUEST_ENROL:
        snprintf(x.path, sizeof x.path, "/v1/devices");
        rc = build_signed(self, device, action, &x);
        break;
    case NP_REQUEST_CSR:
        snprintf(x.path, sizeof x.path, "/v1/devices/%s/csr", id);
        rc = build_signed(self, device, action, &x);
        break;
    case NP_REQUEST_SESSION:
        snprintf(x.path, sizeof x.path, "/v1/session");
        rc = build_signed(self, device, action, &x);
        break;
    case NP_REQUEST_PACKAGE:
        x.method = "GET";
        snprintf(x.path, sizeof x.path, "/v1/devices/%s/package", id);
        /* While another key's certificate is waited for, the installed one is no answer. */
        if (device->has_chain && device->has_auth && !device->has_next)
            memcpy(x.etag, device->etag, sizeof x.etag);
        break;
    case NP_REQUEST_ADDRESSES:
        x.method = "PUT";
        snprintf(x.path, sizeof x.path, "/v1/devices/%s/addresses", id);
        rc = build_addresses(action, &x);
        break;
    case NP_REQUEST_CHECKIN:
        snprintf(x.path, sizeof x.path, "/v1/devices/%s/checkin", id);
        rc = build_checkin(self, action, &x);
        break;
    case NP_REQUEST_LEAVE:
        snprintf(x.path, sizeof x.path, "/v1/devices/%s/leave", id);
        rc = build_signed(self, device, action, &x);
        break;
    case NP_REQUEST_NAME:
        snprintf(x.path, sizeof x.path, "/v1/devices/%s/name", id);
        rc = build_signed(self, device, action, &x);
        break;
    case NP_REQUEST_TIME:
        snprintf(x.path, sizeof x.path, "/v1/time");
        rc = build_time(action, &x);
        break;
    case NP_REQUEST_NONE:
        rc = NP_E_UNKNOWN;
    }
    if (rc == 0 && bearer && is_bearer(action->request))
        np_base64url_encode(bearer, NP_TOKEN_LEN, x.bearer);
    if (rc)
        np_exchange_free(&x);
    else
        *out_exchange = x;
    return rc;
}

void np_exchange_free(struct np_exchange *exchange)
{
    if (!exchange)
        return;
    if (exchange->body)
        np_wipe(exchange->body, exchange->body_len);
    free(exchange->body);
    np_wipe(exchange, sizeof *exchange);
}

static void read_headers(const struct np_exchange_headers *headers, struct np_response *r)
{
    uint8_t bytes[NP_NONCE_MAX];
    const char *nonce = headers->nonce, *etag = headers->etag;
    int64_t seconds = headers->retry_after_s;
    /* RFC 8555 section 6.5.1: a nonce is base64url. */
    if (nonce && strlen(nonce) <= NP_NONCE_MAX && np_base64url_decode(nonce, strlen(nonce), bytes, sizeof bytes) > 0)
        memcpy(r->nonce, nonce, strlen(nonce) + 1);
    if (etag && np_is_token(etag, NP_ETAG_MAX))
        memcpy(r->etag, etag, strlen(etag) + 1);
    if (seconds > 0)
        r->retry_after_ms = (seconds < RETRY_AFTER_MAX_S ? seconds : RETRY_AFTER_MAX_S) * 1000;
}

static void read_problem(const char *body, size_t len, struct np_response *r)
{
    if (np_problem_parse(body, len, &r->problem, NULL) == 0) {
        r->time_s =
            r->request == NP_REQUEST_TIME ? 0 : r->problem.time_s; /* whoever answers that was judged leniently */
        return;
    }
    memset(&r->problem, 0, sizeof r->problem);
    memcpy(r->problem.type, "other", 6);
    r->problem.status = r->status;
}

static void read_body(const char *body, size_t len, struct np_response *r)
{
    switch (r->request) {
    case NP_REQUEST_ENROL:
        r->rc = np_enrol_answer_parse(body, len, &r->enrol, NULL);
        r->time_s = r->rc ? 0 : r->enrol.time_s;
        return;
    case NP_REQUEST_CSR:
        r->rc = np_csr_answer_parse(body, len, &r->csr, NULL);
        r->time_s = r->rc ? 0 : r->csr.time_s;
        return;
    case NP_REQUEST_PACKAGE:
        if (r->status == 200) {
            r->rc = np_package_answer_parse(body, len, &r->package, NULL);
            r->time_s = r->rc ? 0 : r->package.time_s;
        } else if (r->status == 202) {
            r->rc = np_pending_answer_parse(body, len, &r->pending, NULL);
            r->time_s = r->rc ? 0 : r->pending.time_s;
        }
        return;
    case NP_REQUEST_ADDRESSES:
        r->rc = np_addresses_answer_parse(body, len, &r->addresses, NULL);
        r->time_s = r->rc ? 0 : r->addresses.time_s;
        return;
    case NP_REQUEST_SESSION:
        r->rc = np_session_answer_parse(body, len, &r->session, NULL);
        r->time_s = r->rc ? 0 : r->session.time_s;
        return;
    case NP_REQUEST_CHECKIN:
        r->rc = np_checkin_answer_parse(body, len, &r->checkin, NULL);
        r->time_s = r->rc ? 0 : r->checkin.time_s;
        return;
    case NP_REQUEST_NAME:
        r->rc = np_name_answer_parse(body, len, &r->name, NULL);
        r->time_s = r->rc ? 0 : r->name.time_s;
        return;
    case NP_REQUEST_TIME:
        r->rc = np_time_answer_parse(body, len, &r->time, NULL); /* its unsigned time is not taken */
        return;
    case NP_REQUEST_NONCE:
    case NP_REQUEST_LEAVE:
    case NP_REQUEST_NONE:
        return;
    }
}

void np_exchange_parse(enum np_request request, int status, const struct np_exchange_headers *headers, const char *body,
                       size_t len, struct np_response *out_response)
{
    memset(out_response, 0, sizeof *out_response);
    out_response->request = request;
    out_response->status = status;
    read_headers(headers, out_response);
    if (status >= 400)
        read_problem(body, len, out_response);
    else
        read_body(body, len, out_response);
}

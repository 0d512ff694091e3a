#include "hq/api/api.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hq/api/internal.h"
#include "hq/api/nonce.h"
#include "resolver/base/error.h"
#include "resolver/base/random.h"

#define BUSY_RETRY_S 5

static int nonce_only(struct np_api_call *call)
{
    call->response->status = 204;
    return 0;
}

/* One method at a path. "/v1/devices/{}/csr": {} is a device id. HEAD is taken only where it is listed. */
static const struct route {
    const char *path;
    const char *method;
    const char *allow;
    int (*handle)(struct np_api_call *call);
    enum np_api_route route;
} routes[] = {
    {"/v1/nonce", "HEAD", "GET, HEAD", nonce_only, NP_ROUTE_NONCE},
    {"/v1/nonce", "GET", "GET, HEAD", nonce_only, NP_ROUTE_NONCE},
    {"/v1/devices", "POST", "POST", np_api_enrol, NP_ROUTE_ENROL},
    {"/v1/devices/{}/csr", "POST", "POST", np_api_csr, NP_ROUTE_CSR},
    {"/v1/devices/{}/package", "GET", "GET", np_api_package, NP_ROUTE_PACKAGE},
    {"/v1/devices/{}/addresses", "PUT", "PUT", np_api_addresses, NP_ROUTE_ADDRESSES},
    {"/v1/devices/{}/checkin", "POST", "POST", np_api_checkin, NP_ROUTE_CHECKIN},
    {"/v1/devices/{}/leave", "POST", "POST", np_api_leave, NP_ROUTE_LEAVE},
    {"/v1/devices/{}/name", "POST", "POST", np_api_name, NP_ROUTE_NAME},
    {"/v1/session", "POST", "POST", np_api_session, NP_ROUTE_SESSION},
    {"/v1/time", "POST", "POST", np_api_time, NP_ROUTE_TIME},
};

static bool match(const char *pattern, const char *path, char device[NP_DEVICE_ID_MAX + 1])
{
    const char *hole = strstr(pattern, "{}");
    if (!hole)
        return strcmp(pattern, path) == 0;
    size_t head = (size_t)(hole - pattern);
    if (strncmp(pattern, path, head) != 0)
        return false;
    size_t len = strspn(path + head, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_");
    if (len == 0 || len > NP_DEVICE_ID_MAX || strcmp(path + head + len, hole + 2) != 0)
        return false;
    memcpy(device, path + head, len);
    device[len] = 0;
    return true;
}

static int dispatch(struct np_api_call *call)
{
    const struct route *at_path = NULL, *found = NULL;
    for (size_t i = 0; i < sizeof routes / sizeof *routes && !found; i++) {
        if (!match(routes[i].path, call->request->path, call->device))
            continue;
        at_path = &routes[i];
        if (strcmp(routes[i].method, call->request->method) == 0)
            found = at_path;
    }
    if (!at_path)
        return np_refuse(&call->refusal, NP_REFUSE_NOT_FOUND,
                         "there is nothing at %.120s; protocol v1 lives below /v1/", call->request->path);
    call->response->route = at_path->route;
    if (!found) {
        call->response->allow = at_path->allow;
        return np_refuse(&call->refusal, NP_REFUSE_METHOD_NOT_ALLOWED, "%.16s is not possible here, only %s",
                         call->request->method, at_path->allow);
    }
    if (call->request->too_large)
        return np_refuse(&call->refusal, NP_REFUSE_TOO_LARGE, "a request's body may have at most %d bytes",
                         NP_BODY_MAX);
    return found->handle(call);
}

int np_api_store_failed(struct np_api_call *call, int rc)
{
    call->response->store_error = rc;
    if (rc == -EAGAIN)
        return np_refuse_for(&call->refusal, NP_REFUSE_BUSY, BUSY_RETRY_S, "HQ cannot write just now; try again later");
    return np_refuse(&call->refusal, NP_REFUSE_INTERNAL, "HQ's database has failed; its log tells the operator more");
}

int np_api_audit(struct np_api_call *call, const char *action, const struct np_device *device, const char *format, ...)
{
    struct np_audit entry;
    char detail[NP_AUDIT_DETAIL_MAX + 1];
    va_list args;
    va_start(args, format);
    vsnprintf(detail, sizeof detail, format, args);
    va_end(args);
    np_audit_fill(&entry, np_api_now_ms(call), strcmp(action, NP_AUDIT_CLONE) == 0 ? NP_AUDIT_HQ : NP_AUDIT_DEVICE,
                  action, device, "%s", detail);
    int rc = np_store_audit_add(call->api->store, &entry);
    return rc ? np_api_store_failed(call, rc) : 0;
}

int np_api_answer(struct np_api_call *call, int status, int encode_rc, char *json)
{
    if (encode_rc) {
        call->response->store_error = encode_rc;
        return np_refuse(&call->refusal, NP_REFUSE_INTERNAL, "HQ is out of memory");
    }
    call->response->status = status;
    call->response->content_type = "application/json";
    call->response->body = json;
    call->response->body_len = strlen(json);
    return 0;
}

static void answer_problem(struct np_api_call *call)
{
    struct np_api_response *response = call->response;
    char *json = NULL;
    call->refusal.problem.time_s = np_api_now_s(call);
    response->status = call->refusal.problem.status;
    response->retry_after_s = call->refusal.retry_after_s;
    response->etag[0] = 0;
    if (np_problem_encode(&call->refusal.problem, &json) == 0) {
        response->content_type = "application/problem+json";
        response->body = json;
        response->body_len = strlen(json);
    }
}

/* All that a request writes is kept, or nothing of it: what was decided and could not be written down was not decided.
 * A refusal is an answer like another, which may have spent a nonce. */
static int handle(struct np_api_call *call)
{
    struct np_store *store = call->api->store;
    np_store_unit_begin(store);
    int rc = dispatch(call), failed = call->response->store_error;
    int kept = np_store_unit_end(store, failed);
    if (kept == failed)
        return rc;
    np_api_response_free(call->response);
    return np_api_store_failed(call, kept);
}

void np_api_handle(struct np_api *api, const struct np_api_request *request, struct np_api_response *out_response)
{
    struct np_api_call call = {.api = api, .request = request, .response = out_response};
    uint8_t random[8];
    *out_response = (struct np_api_response){0};
    np_hq_crypto(&call.crypto);
    if (handle(&call))
        answer_problem(&call);
    np_random_bytes(random, sizeof random);
    api->last_nonce_us = np_nonce_next(api->last_nonce_us, request->now_us);
    np_nonce_make(api->nonce_key, api->last_nonce_us, random, out_response->nonce);
}

void np_api_response_free(struct np_api_response *response)
{
    free(response->body);
    response->body = NULL;
}

#include "hq/admin/routes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "resolver/base/error.h"

#define READY_TEXT_MAX 1024

/* One request being answered. */
struct call {
    const struct np_admin_routes *routes;
    const struct np_admin_request *request;
    struct np_admin_response *response;
    int64_t now_s;
    bool allowed; /* the token was shown */
};

static void answer_text(struct call *call, int status, const char *text)
{
    call->response->status = status;
    call->response->content_type = "text/plain; charset=utf-8";
    call->response->body = text;
    call->response->body_len = strlen(text);
}

/* Takes over text, malloc'd; NULL is a 500. */
static void answer_take(struct call *call, const char *type, char *text)
{
    if (!text) {
        answer_text(call, 500, "out of memory\n");
        return;
    }
    call->response->status = 200;
    call->response->content_type = type;
    call->response->body = text;
    call->response->body_len = strlen(text);
    call->response->owned = true;
}

static struct np_admin_facts *gather(struct call *call)
{
    struct np_admin_facts *facts = malloc(sizeof *facts);
    if (facts)
        call->routes->gather(call->routes->gather_ctx, facts);
    return facts;
}

static void metrics(struct call *call)
{
    /* OpenMetrics only for who asks for it by name: browsers and curl accept anything. */
    bool strict = call->request->accept && strstr(call->request->accept, "application/openmetrics-text");
    struct np_metrics document;
    struct np_admin_facts *facts = gather(call);
    if (!facts) {
        answer_take(call, NULL, NULL);
        return;
    }
    np_metrics_init(&document, strict ? NP_METRICS_OPENMETRICS : NP_METRICS_PROMETHEUS);
    np_admin_metrics(facts, &document);
    answer_take(call,
                strict ? "application/openmetrics-text; version=1.0.0; charset=utf-8"
                       : "text/plain; version=0.0.4; charset=utf-8",
                np_metrics_finish(&document));
    free(facts);
}

static void health(struct call *call)
{
    answer_text(call, 200, "alive\n");
}

static void readiness(struct call *call)
{
    struct np_admin_facts *facts = gather(call);
    char *text = malloc(READY_TEXT_MAX);
    bool ready = facts && text && np_admin_readiness(facts, text, READY_TEXT_MAX);
    answer_take(call, "text/plain; charset=utf-8", text);
    if (!ready)
        call->response->status = facts ? 503 : 500;
    free(facts);
}

static const struct {
    const char *method, *path;
    bool open; /* needs no token when asked for by an address */
    void (*answer)(struct call *call);
} routes_table[] = {
    {"GET", "/metrics", true, metrics},
    {"GET", "/healthz", true, health},
    {"GET", "/readyz", true, readiness},
};

static void refuse(struct call *call)
{
    answer_text(call, 401,
                "The operator's token is needed: Authorization: Bearer TOKEN, or the login form at /login.\n");
    call->response->headers[0].name = "WWW-Authenticate";
    snprintf(call->response->headers[0].value, sizeof call->response->headers[0].value,
             "Bearer realm=\"nameplate-hq\"");
    call->response->header_count = 1;
}

void np_admin_route(const struct np_admin_routes *routes, const struct np_admin_request *request, int64_t now_s,
                    struct np_admin_response *out_response)
{
    struct call call = {routes, request, out_response, now_s, false};
    const char *method = strcmp(request->method, "HEAD") == 0 ? "GET" : request->method;
    bool at_path = false;
    call.allowed = np_admin_auth_bearer(routes->auth, request->authorization) ||
                   np_admin_auth_cookie(routes->auth, request->cookie, now_s);
    *out_response = (struct np_admin_response){.status = 500};
    for (size_t i = 0; i < sizeof routes_table / sizeof *routes_table; i++) {
        if (strcmp(routes_table[i].path, request->path) != 0)
            continue;
        at_path = true;
        if (strcmp(routes_table[i].method, method) != 0)
            continue;
        if (call.allowed || (routes_table[i].open && np_admin_host_is_literal(request->host)))
            routes_table[i].answer(&call);
        else
            refuse(&call);
        return;
    }
    answer_text(&call, at_path ? 405 : 404,
                at_path ? "This method is not possible here.\n" : "There is nothing here.\n");
}

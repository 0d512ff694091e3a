#include "hq/admin/routes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hq/admin/assets.h"
#include "hq/admin/views.h"
#include "resolver/base/error.h"

#define READY_TEXT_MAX 1024
#define FOUND_MAX      20 /* devices that a search shows */

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

/* ---- The dashboard ---- */

static void asset(struct call *call, const char *type, const unsigned char *data, size_t len)
{
    call->response->status = 200;
    call->response->content_type = type;
    call->response->body = data;
    call->response->body_len = len;
}

static void index_page(struct call *call)
{
    asset(call, "text/html; charset=utf-8", np_asset_index_html, np_asset_index_html_len);
}

/* The page has a line for who has shown a wrong token: everybody else does not get it. */
static void answer_login(struct call *call, bool wrong)
{
    static const char line[] = "<p class=\"wrong\" role=\"alert\">That is not the token.</p>\n";
    const char *page = (const char *)np_asset_login_html;
    const char *at = memmem(page, np_asset_login_html_len, line, sizeof line - 1);
    asset(call, "text/html; charset=utf-8", np_asset_login_html, np_asset_login_html_len);
    if (wrong) {
        call->response->status = 403;
        return;
    }
    char *text = at ? calloc(1, np_asset_login_html_len) : NULL; /* with its NUL, since the line is longer than that */
    if (!text)
        return;
    size_t before = (size_t)(at - page), behind = before + sizeof line - 1;
    memcpy(text, page, before);
    memcpy(text + before, page + behind, np_asset_login_html_len - behind);
    answer_take(call, "text/html; charset=utf-8", text);
}

static void login_page(struct call *call)
{
    answer_login(call, false);
}

static void style(struct call *call)
{
    asset(call, "text/css; charset=utf-8", np_asset_app_css, np_asset_app_css_len);
}

static void script(struct call *call)
{
    asset(call, "text/javascript; charset=utf-8", np_asset_app_js, np_asset_app_js_len);
}

static void icon(struct call *call)
{
    asset(call, "image/svg+xml", np_asset_icon_svg, np_asset_icon_svg_len);
}

static void plot_style(struct call *call)
{
    asset(call, "text/css; charset=utf-8", np_asset_uplot_css, np_asset_uplot_css_len);
}

static void plot_script(struct call *call)
{
    asset(call, "text/javascript; charset=utf-8", np_asset_uplot_js, np_asset_uplot_js_len);
}

static void redirect(struct call *call, const char *where, const char *cookie, long long age_s)
{
    struct np_admin_response *response = call->response;
    response->status = 303;
    response->headers[0].name = "Location";
    snprintf(response->headers[0].value, sizeof response->headers[0].value, "%s", where);
    response->header_count = 1;
    if (!cookie)
        return;
    response->headers[1].name = "Set-Cookie";
    snprintf(response->headers[1].value, sizeof response->headers[1].value,
             NP_ADMIN_COOKIE "=%s; Path=/; Max-Age=%lld; HttpOnly; SameSite=Strict", cookie, age_s);
    response->header_count = 2;
}

static void login(struct call *call)
{
    char cookie[NP_ADMIN_COOKIE_MAX];
    if (call->request->too_large ||
        !np_admin_auth_form(call->routes->auth, call->request->body, call->request->body_len)) {
        answer_login(call, true);
        return;
    }
    np_admin_auth_cookie_make(call->routes->auth, call->now_s, cookie);
    redirect(call, "/", cookie, NP_ADMIN_SESSION_S);
}

/* Another site's form carries no cookie of ours, and so signs nobody out. */
static void logout(struct call *call)
{
    redirect(call, "/login", call->allowed ? "" : NULL, 0);
}

static void answer_json(struct call *call, int rc, char *json)
{
    if (rc)
        answer_text(call, 503, "The database does not answer; HQ's log tells more.\n");
    else
        answer_take(call, "application/json", json);
}

static void overview(struct call *call)
{
    struct np_admin_facts *facts = gather(call);
    char *live = NULL, *census = NULL, *json = NULL;
    if (facts && np_admin_live_json(facts, &live) == 0 &&
        (!facts->census || np_view_census(facts->census, &census) == 0) &&
        asprintf(&json, "{\"census\":%s,\"live\":%s}", census ? census : "null", live) < 0)
        json = NULL;
    answer_take(call, "application/json", json);
    free(live);
    free(census);
    free(facts);
}

/* A JSON array being written. */
struct found {
    struct np_store *store;
    FILE *out;
    size_t count;
};

static int add_found(void *ctx, const struct np_device *device)
{
    struct found *found = ctx;
    char *json = NULL;
    int rc = np_view_device(found->store, device, &json);
    if (rc == 0)
        fprintf(found->out, "%s%s", found->count++ ? "," : "[", json);
    free(json);
    return rc;
}

static void find(struct call *call)
{
    char *json = NULL;
    size_t len;
    struct found found = {call->routes->store, open_memstream(&json, &len), 0};
    if (!found.out) {
        answer_take(call, NULL, NULL);
        return;
    }
    const char *text = call->request->query ? call->request->query : "";
    int rc = np_store_devices_find(found.store, text, FOUND_MAX, add_found, &found);
    fputs(found.count ? "]" : "[]", found.out);
    fclose(found.out);
    answer_json(call, rc, json);
    if (rc)
        free(json);
}

static void device(struct call *call)
{
    struct np_device found;
    char *json = NULL;
    int rc = np_store_device_get(call->routes->store, call->request->query ? call->request->query : "", &found);
    if (rc == NP_E_NOT_FOUND) {
        answer_text(call, 404, "There is no such device.\n");
        return;
    }
    if (rc == 0)
        rc = np_view_device_whole(call->routes->store, &found, &json);
    answer_json(call, rc, json);
}

/* Who may have an answer. */
enum access {
    TOKEN,   /* whoever shows it */
    LITERAL, /* also whoever asks by an address */
    ANYBODY, /* there is nothing to hide */
    PAGE     /* whoever shows the token; others are led to the form */
};

static const struct {
    const char *method, *path;
    enum access access;
    void (*answer)(struct call *call);
} routes_table[] = {
    {"GET", "/metrics", LITERAL, metrics},      {"GET", "/healthz", LITERAL, health},
    {"GET", "/readyz", LITERAL, readiness},     {"GET", "/", PAGE, index_page},
    {"GET", "/login", ANYBODY, login_page},     {"POST", "/login", ANYBODY, login},
    {"POST", "/logout", ANYBODY, logout},       {"GET", "/app.css", ANYBODY, style},
    {"GET", "/app.js", ANYBODY, script},        {"GET", "/icon.svg", ANYBODY, icon},
    {"GET", "/uplot.css", ANYBODY, plot_style}, {"GET", "/uplot.js", ANYBODY, plot_script},
    {"GET", "/api/overview", TOKEN, overview},  {"GET", "/api/devices", TOKEN, find},
    {"GET", "/api/device", TOKEN, device},
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
        enum access access = routes_table[i].access;
        if (call.allowed || access == ANYBODY || (access == LITERAL && np_admin_host_is_literal(request->host)))
            routes_table[i].answer(&call);
        else if (access == PAGE)
            redirect(&call, "/login", NULL, 0);
        else
            refuse(&call);
        return;
    }
    answer_text(&call, at_path ? 405 : 404,
                at_path ? "This method is not possible here.\n" : "There is nothing here.\n");
}

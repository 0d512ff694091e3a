#include "agent/front/answer.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "agent/front/page_json.h"
#include "resolver/base/error.h"
#include "resolver/name.h"

#define URL_MAX  (NP_REQUEST_HOST_MAX + 32)
#define OWN_PATH "/.nameplate/"

/* An answer before it is written. */
struct answer {
    int status;
    bool head;            /* without its body */
    bool retry;           /* Retry-After */
    const char *location; /* "https://host:port", the target follows; NULL: none */
    const char *target;
    bool json, empty, stay; /* a JSON body, none at all, a cookie that remembers the choice to stay */
    struct np_page page;
};

static const char *reason(int status)
{
    static const struct {
        int status;
        const char *text;
    } reasons[] = {
        {200, "OK"},           {204, "No Content"},          {301, "Moved Permanently"},
        {303, "See Other"},    {307, "Temporary Redirect"},  {308, "Permanent Redirect"},
        {400, "Bad Request"},  {404, "Not Found"},           {405, "Method Not Allowed"},
        {414, "URI Too Long"}, {421, "Misdirected Request"}, {431, "Request Header Fields Too Large"},
        {502, "Bad Gateway"},  {503, "Service Unavailable"}, {505, "HTTP Version Not Supported"},
    };
    for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++) {
        if (reasons[i].status == status)
            return reasons[i].text;
    }
    return "Error";
}

static bool ends_in(const char *name, const char *suffix)
{
    size_t len = strlen(name), n = strlen(suffix);
    return len >= n && strcmp(name + len - n, suffix) == 0;
}

/* Same address, whatever the scope: no Host can carry one. */
static bool same_address(const struct np_addr *a, const struct np_addr *b)
{
    return a->family == b->family && memcmp(a->bytes, b->bytes, np_addr_len(a)) == 0;
}

static bool is_own_address(const struct np_view *view, const struct np_addr *addr)
{
    if (np_addr_classify(addr) == NP_ADDR_LOOPBACK)
        return true;
    for (size_t i = 0; i < view->interface_count; i++) {
        const struct np_view_interface *interface = &view->interfaces[i];
        for (size_t k = 0; k < interface->v4_count; k++) {
            if (same_address(&interface->v4[k].addr, addr))
                return true;
        }
        for (size_t k = 0; k < interface->v6_count; k++) {
            if (same_address(&interface->v6[k].addr, addr))
                return true;
        }
    }
    return false;
}

/* The entry that name belongs to: equal, or one label below a wildcard's, as its certificate has it. */
static const struct np_view_own *find_own(const struct np_view *view, const char *text)
{
    struct np_name name;
    if (np_name_parse(text, &name))
        return NULL;
    for (size_t i = 0; i < view->own_count; i++) {
        const struct np_view_own *own = &view->own[i];
        struct np_name parent = np_name_parent(&name, 1);
        if (np_name_equal(&name, &own->name) || (own->wildcard && np_name_equal(&parent, &own->name)))
            return own;
    }
    return NULL;
}

enum np_answer_host np_answer_host(const struct np_view *view, const char *name, const struct np_addr *addr,
                                   const struct np_addr *local)
{
    if (addr->family != AF_UNSPEC)
        return same_address(addr, local) || is_own_address(view, addr) ? NP_ANSWER_NEAR : NP_ANSWER_FOREIGN;
    if (find_own(view, name))
        return NP_ANSWER_NAME;
    if (strcmp(name, "localhost") == 0 || ends_in(name, ".localhost") || ends_in(name, ".local"))
        return NP_ANSWER_NEAR;
    return NP_ANSWER_FOREIGN;
}

static bool leaf_covers(const struct np_x509 *leaf, const char *name)
{
    const char *dot = strchr(name, '.');
    for (size_t i = 0; i < leaf->name_count; i++) {
        const char *pattern = leaf->names[i];
        if (strcmp(pattern, name) == 0 || (strncmp(pattern, "*.", 2) == 0 && dot && strcmp(pattern + 1, dot) == 0))
            return true;
    }
    return false;
}

/* Does https work for this own name now? */
static bool https_works(const struct np_answer_facts *facts, const char *name)
{
    const struct np_view_own *own = find_own(facts->view, name);
    return own && own->https && facts->https_port && facts->leaf && leaf_covers(facts->leaf, name);
}

static void format_url(const struct np_answer_facts *facts, const char *name, const char *path, char out[URL_MAX])
{
    if (facts->https_port == NP_ANSWER_PORT_TLS)
        snprintf(out, URL_MAX, "https://%.253s%s", name, path);
    else
        snprintf(out, URL_MAX, "https://%.253s:%u%s", name, (unsigned)facts->https_port, path);
}

static void write_text(struct np_writer *w, const char *text)
{
    np_write_bytes(w, text, strlen(text));
}

static void write_head(struct np_writer *w, const struct answer *answer, size_t body_len, bool keep_alive)
{
    char policy[NP_PAGE_POLICY_MAX], text[160];
    snprintf(text, sizeof text, "HTTP/1.1 %d %s\r\n", answer->status, reason(answer->status));
    write_text(w, text);
    if (!answer->empty) {
        snprintf(text, sizeof text, "Content-Type: %s; charset=utf-8\r\nContent-Length: %zu\r\n",
                 answer->json ? "application/json" : "text/html", body_len);
        write_text(w, text);
    }
    if (answer->location) {
        write_text(w, "Location: ");
        write_text(w, answer->location);
        write_text(w, answer->target);
        write_text(w, "\r\n");
    }
    if (answer->retry) {
        snprintf(text, sizeof text, "Retry-After: %d\r\n", NP_ANSWER_RETRY_S);
        write_text(w, text);
    }
    if (answer->stay)
        write_text(w, "Set-Cookie: " NP_REQUEST_COOKIE "; Path=/; Max-Age=86400; HttpOnly; SameSite=Lax\r\n");
    if (answer->status == 405)
        write_text(w, "Allow: GET, HEAD\r\n");
    write_text(w, "Content-Security-Policy: ");
    write_text(w, np_page_policy(&answer->page, policy));
    write_text(w, "\r\nX-Content-Type-Options: nosniff\r\nReferrer-Policy: no-referrer\r\nCache-Control: no-store\r\n");
    write_text(w, keep_alive ? "Connection: keep-alive\r\n\r\n" : "Connection: close\r\n\r\n");
}

static void write_answer(struct np_writer *w, const struct answer *answer, bool keep_alive)
{
    /* The head tells the body's length, so the body comes first: behind the room that the head may need. */
    size_t room = np_writer_left(w), gap = room < NP_ANSWER_HEAD_MAX ? room : NP_ANSWER_HEAD_MAX;
    const uint8_t *body = w->data + w->pos + gap;
    struct np_writer page = np_writer_make(w->data + w->pos + gap, room - gap);
    if (answer->json)
        np_page_write_json(&page, &answer->page);
    else if (!answer->empty)
        np_page_write(&page, &answer->page);
    write_head(w, answer, page.pos, keep_alive);
    uint8_t *to = answer->head ? NULL : np_write_reserve(w, page.pos);
    if (to)
        memmove(to, body, page.pos);
}

static void set_error(struct answer *answer, int status)
{
    answer->status = status;
    answer->page.kind = status == 421 ? NP_PAGE_MISDIRECTED : NP_PAGE_ERROR;
    answer->page.status = status;
    answer->page.reason = reason(status);
}

/* Texts that a page borrows. */
struct texts {
    char name[NP_NAME_TEXT_MAX];
    char url[URL_MAX];
    char here[NP_ADDR_TEXT_MAX];
    char addresses[NP_PAGE_ADDRESSES_MAX][NP_ADDR_TEXT_MAX];
};

static void add_address(struct np_page *page, struct texts *texts, const struct np_addr *addr)
{
    if (page->address_count == NP_PAGE_ADDRESSES_MAX || !np_view_usable(addr))
        return;
    char *text = texts->addresses[page->address_count];
    np_addr_format(addr, text);
    for (size_t i = 0; i < page->address_count; i++) {
        if (strcmp(page->addresses[i], text) == 0)
            return;
    }
    page->addresses[page->address_count++] = text;
}

/* The address that was connected to, as a URL has it; none for one that only means something on its own link. */
static void fill_here(struct np_page *page, const struct np_answer_facts *facts, const struct np_addr *local,
                      struct texts *texts)
{
    struct np_endpoint here = {.addr = *local, .port = facts->http_port};
    if (local->family == AF_UNSPEC || local->scope || !here.port)
        return;
    np_endpoint_format(&here, texts->here);
    char *colon = strrchr(texts->here, ':');
    if (here.port == NP_ANSWER_PORT && colon)
        *colon = '\0';
    page->here = texts->here;
}

/* What the device tells about itself. */
static void fill_page(struct np_page *page, const struct np_answer_facts *facts, const struct np_addr *local,
                      struct texts *texts)
{
    const struct np_view *view = facts->view;
    page->news = facts->news;
    fill_here(page, facts, local, texts);
    page->name = view->own_count ? np_name_format(&view->own[0].name, texts->name) : "";
    if (*page->name && https_works(facts, page->name)) {
        format_url(facts, page->name, "/", texts->url);
        page->url = texts->url;
    }
    if (facts->leaf) {
        page->issuer = facts->leaf->issuer;
        page->not_before_s = facts->leaf->not_before_s;
        page->not_after_s = facts->leaf->not_after_s;
    }
    for (size_t i = 0; i < view->interface_count; i++) {
        const struct np_view_interface *interface = &view->interfaces[i];
        for (size_t k = 0; interface->lan && k < interface->v4_count; k++)
            add_address(page, texts, &interface->v4[k].addr);
        for (size_t k = 0; interface->lan && k < interface->v6_count; k++)
            add_address(page, texts, &interface->v6[k].addr);
    }
}

/* What a target asks the front for. */
enum path { PATH_OTHER, PATH_START, PATH_STATUS, PATH_JSON, PATH_ALIVE, PATH_CONTINUE };

static enum path path_of(const char *target)
{
    static const struct {
        const char *text;
        enum path path;
    } paths[] = {
        {"/", PATH_START},
        {"/.nameplate", PATH_STATUS},
        {OWN_PATH, PATH_STATUS},
        {OWN_PATH "status.json", PATH_JSON},
        {OWN_PATH "alive", PATH_ALIVE},
        {OWN_PATH "continue", PATH_CONTINUE},
    };
    size_t len = strcspn(target, "?");
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        if (strlen(paths[i].text) == len && strncmp(paths[i].text, target, len) == 0)
            return paths[i].path;
    }
    return PATH_OTHER;
}

static bool is_own_path(const char *target)
{
    return strncmp(target, OWN_PATH, strlen(OWN_PATH)) == 0 || path_of(target) == PATH_STATUS;
}

bool np_answer_to_backend(const struct np_answer_facts *facts, const struct np_answer_place *place,
                          const struct np_request *request)
{
    if (place->secure || place->backend_failed || !facts->fallback || is_own_path(request->target))
        return false;
    if (request->has_host &&
        np_answer_host(facts->view, request->host, &request->host_addr, &place->local) != NP_ANSWER_NEAR)
        return false;
    return request->stays || request->method == NP_REQUEST_OTHER || path_of(request->target) != PATH_START;
}

/* The device's own pages: for its name over TLS, for its addresses on both ports. */
static void choose_page(struct answer *answer, const struct np_answer_facts *facts, const struct np_answer_place *place,
                        const struct np_request *request)
{
    enum path path = path_of(request->target);
    answer->status = 200;
    if (place->backend_failed && !is_own_path(request->target)) {
        answer->status = 502;
        answer->retry = true;
        answer->page.kind = NP_PAGE_BACKEND;
    } else if (request->method == NP_REQUEST_OTHER) {
        set_error(answer, 405);
    } else if (path == PATH_START) {
        answer->page.kind = place->secure ? NP_PAGE_STATUS : NP_PAGE_START;
        answer->page.go = true;
    } else if (path == PATH_STATUS) {
        answer->page.kind = NP_PAGE_STATUS;
    } else if (path == PATH_JSON) {
        answer->json = true;
    } else if (path == PATH_ALIVE) {
        answer->status = 204;
        answer->empty = true;
    } else if (path == PATH_CONTINUE && facts->fallback && !place->secure) {
        answer->status = 303;
        answer->empty = answer->stay = true;
        answer->location = "/";
        answer->target = "";
    } else {
        answer->status = 404;
        answer->page.kind = NP_PAGE_NOT_FOUND;
    }
}

/* The own name on port 80: to https, or, so that nobody is sent to a dead end, to the name for which https works, or a
 * word on why not yet. */
static void choose_redirect(struct answer *answer, const struct np_answer_facts *facts,
                            const struct np_request *request, char origin[URL_MAX])
{
    bool works = https_works(facts, request->host);
    const char *name = works || !answer->page.url ? request->host : answer->page.name;
    if (path_of(request->target) == PATH_JSON) {
        answer->status = 200;
        answer->json = true; /* the page below asks for it, and could not follow to https */
        return;
    }
    if (!works && !answer->page.url) {
        answer->status = 503;
        answer->retry = true;
        answer->page.name = name;
        answer->page.kind = NP_PAGE_WAITING;
        return;
    }
    format_url(facts, name, "", origin);
    answer->status = request->method == NP_REQUEST_OTHER ? 308 : 301;
    if (!works)
        answer->status = 307; /* for now: a later certificate may carry the alias too */
    answer->page.name = name;
    answer->location = origin;
    answer->target = request->target;
    answer->page.kind = NP_PAGE_MOVED;
    answer->page.url = origin;
}

/* Browsers let a page of a public address not ask a private one (Local Network Access), and a page of http never at
 * all: the name would look dead there. A page of a private address may ask both. */
static bool may_probe(const struct np_answer_place *place, const struct np_request *request, enum np_answer_host host)
{
    return !place->secure && host == NP_ANSWER_NEAR && np_addr_classify(&request->host_addr) != NP_ADDR_GLOBAL;
}

void np_answer_write(struct np_writer *w, const struct np_answer_facts *facts, const struct np_answer_place *place,
                     const struct np_request *request, bool *keep_alive)
{
    struct answer answer = {.head = request->method == NP_REQUEST_HEAD};
    struct texts texts;
    char origin[URL_MAX];
    enum np_answer_host host = request->has_host
                                   ? np_answer_host(facts->view, request->host, &request->host_addr, &place->local)
                                   : NP_ANSWER_NEAR;
    *keep_alive = *keep_alive && request->keep_alive && !request->has_body;
    /* By an address the certificate matches nothing: somebody clicked a warning away, and is shown the name instead. */
    answer.page.secure = place->secure && host == NP_ANSWER_NAME;
    answer.page.fallback = facts->fallback && !place->secure && host == NP_ANSWER_NEAR;
    answer.page.probe = may_probe(place, request, host);
    fill_page(&answer.page, facts, &place->local, &texts);
    if (host == NP_ANSWER_FOREIGN)
        set_error(&answer, 421);
    else if (host == NP_ANSWER_NAME && !place->secure && facts->https_port)
        choose_redirect(&answer, facts, request, origin);
    else
        choose_page(&answer, facts, place, request);
    write_answer(w, &answer, *keep_alive);
}

void np_answer_write_error(struct np_writer *w, long error)
{
    struct answer answer = {0};
    int status = 400;
    if (error == NP_E_VERSION)
        status = 505;
    else if (error == -ENAMETOOLONG)
        status = 414;
    else if (error == NP_E_LIMIT)
        status = 431;
    set_error(&answer, status);
    write_answer(w, &answer, false);
}

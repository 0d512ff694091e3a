#include "agent/front/request.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>
#include <strings.h>

#include "resolver/base/error.h"
#include "resolver/base/text.h"

/* A piece of the input; borrowed. */
struct span {
    const char *at;
    size_t len;
};

/* What the header fields said. */
struct fields {
    bool has_host, has_length, has_coding, close, keep, upgrade, protocol, stays;
    struct span host, length;
};

static bool span_is(struct span span, const char *text)
{
    return span.len == strlen(text) && strncasecmp(span.at, text, span.len) == 0;
}

static bool is_token_char(unsigned char c)
{
    return isalnum(c) || (c != 0 && strchr("!#$%&'*+-.^_`|~", c));
}

static bool is_token(struct span span)
{
    for (size_t i = 0; i < span.len; i++) {
        if (!is_token_char((unsigned char)span.at[i]))
            return false;
    }
    return span.len > 0;
}

/* The span up to the first c, and moves past it. False when there is none. */
static bool split(struct span *rest, char c, struct span *out)
{
    const char *end = memchr(rest->at, c, rest->len);
    if (!end)
        return false;
    *out = (struct span){rest->at, (size_t)(end - rest->at)};
    rest->at = end + 1;
    rest->len -= out->len + 1;
    return true;
}

/* The next line without its CRLF. 1, 0 (not whole yet) or NP_E_HTTP. */
static int next_line(struct span *rest, struct span *out)
{
    struct span line;
    const char *cr = memchr(rest->at, '\r', rest->len), *lf = memchr(rest->at, '\n', rest->len);
    if (!lf)
        return cr && cr != rest->at + rest->len - 1 ? NP_E_HTTP : 0;
    if (!cr || cr != lf - 1)
        return NP_E_HTTP;
    (void)split(rest, '\n', &line);
    *out = (struct span){line.at, line.len - 1};
    return 1;
}

/* host [":" port]; sets host or host_addr. */
static int parse_authority(struct span text, struct np_request *request)
{
    char name[NP_REQUEST_HOST_MAX + 2];
    size_t host_len = text.len;
    const char *colon = NULL;
    bool literal = text.len > 0 && text.at[0] == '[';
    if (literal) {
        const char *end = memchr(text.at, ']', text.len);
        if (!end)
            return NP_E_HTTP;
        host_len = (size_t)(end - text.at) + 1;
        colon = host_len < text.len ? end + 1 : NULL;
    } else if ((colon = memchr(text.at, ':', text.len))) {
        host_len = (size_t)(colon - text.at);
    }
    if (colon && *colon != ':')
        return NP_E_HTTP;
    for (const char *at = colon; at && ++at < text.at + text.len;) {
        if (!isdigit((unsigned char)*at) || at - colon > 5)
            return NP_E_HTTP;
    }
    struct span host = {text.at + literal, host_len - 2 * (size_t)literal};
    if (host.len == 0 || host.len >= sizeof name || memchr(host.at, 0, host.len))
        return NP_E_HTTP;
    for (size_t i = 0; i < host.len; i++)
        name[i] = (char)tolower((unsigned char)host.at[i]);
    name[host.len] = '\0';
    struct np_addr addr;
    if (!strchr(name, '%') && np_addr_parse(name, &addr) == 0 && (addr.family == AF_INET6) == literal) {
        request->host_addr = addr;
        return 0;
    }
    if (name[host.len - 1] == '.')
        name[host.len - 1] = '\0';
    if (literal || !np_is_hostname(name))
        return NP_E_HTTP;
    memcpy(request->host, name, strlen(name) + 1);
    return 0;
}

/* origin-form, or absolute-form, whose authority wins over Host (RFC 9112 section 3.2.2). */
static int parse_target(struct span target, struct np_request *request, bool *out_absolute)
{
    static const char *const schemes[] = {"http://", "https://"};
    *out_absolute = false;
    for (size_t i = 0; i < target.len; i++) {
        unsigned char c = (unsigned char)target.at[i];
        if (c <= 0x20 || c >= 0x7f)
            return NP_E_HTTP;
    }
    for (size_t i = 0; i < sizeof schemes / sizeof *schemes; i++) {
        size_t n = strlen(schemes[i]);
        if (target.len <= n || strncasecmp(target.at, schemes[i], n) != 0)
            continue;
        struct span rest = {target.at + n, target.len - n}, authority = rest;
        while (rest.len > 0 && !strchr("/?#", rest.at[0]))
            rest.at++, rest.len--;
        authority.len -= rest.len;
        if (parse_authority(authority, request))
            return NP_E_HTTP;
        *out_absolute = true;
        target = rest;
        break;
    }
    bool slash = target.len > 0 && target.at[0] == '/';
    if (!slash && (!*out_absolute || (target.len > 0 && target.at[0] != '?')))
        return NP_E_HTTP;
    if (memchr(target.at, '#', target.len))
        return NP_E_HTTP; /* a fragment is never sent */
    if (target.len + !slash > NP_REQUEST_TARGET_MAX)
        return -ENAMETOOLONG;
    char *out = request->target;
    if (!slash)
        *out++ = '/';
    memcpy(out, target.at, target.len);
    out[target.len] = '\0';
    return 0;
}

static int parse_request_line(struct span line, struct np_request *request, bool *out_old, bool *out_absolute)
{
    struct span method, target;
    if (!split(&line, ' ', &method) || !split(&line, ' ', &target) || !is_token(method))
        return NP_E_HTTP;
    if (line.len != 8 || memcmp(line.at, "HTTP/", 5) != 0 || !isdigit((unsigned char)line.at[5]) || line.at[6] != '.' ||
        !isdigit((unsigned char)line.at[7]))
        return NP_E_HTTP;
    if (line.at[5] != '1')
        return NP_E_VERSION;
    *out_old = line.at[7] == '0';
    request->method = NP_REQUEST_OTHER;
    if (method.len == 3 && memcmp(method.at, "GET", 3) == 0)
        request->method = NP_REQUEST_GET;
    if (method.len == 4 && memcmp(method.at, "HEAD", 4) == 0)
        request->method = NP_REQUEST_HEAD;
    if (method.len == 7 && memcmp(method.at, "OPTIONS", 7) == 0 && span_is(target, "*"))
        target.at = "/"; /* asterisk-form: about the server as a whole */
    return parse_target(target, request, out_absolute);
}

static struct span trim(struct span text)
{
    while (text.len > 0 && (text.at[0] == ' ' || text.at[0] == '\t'))
        text.at++, text.len--;
    while (text.len > 0 && (text.at[text.len - 1] == ' ' || text.at[text.len - 1] == '\t'))
        text.len--;
    return text;
}

/* The next item of a list, trimmed, and moves past it. False at the end. */
static bool next_item(struct span *rest, char separator, struct span *out)
{
    if (rest->len == 0)
        return false;
    if (!split(rest, separator, out)) {
        *out = *rest;
        rest->len = 0;
    }
    *out = trim(*out);
    return true;
}

/* False where it names a field that every recipient needs. */
static bool parse_connection(struct span value, struct fields *fields)
{
    for (struct span item; next_item(&value, ',', &item);) {
        if (span_is(item, "host") || span_is(item, "content-length") || span_is(item, "transfer-encoding"))
            return false;
        fields->close |= span_is(item, "close");
        fields->keep |= span_is(item, "keep-alive");
        fields->upgrade |= span_is(item, "upgrade");
    }
    return true;
}

static void parse_cookie(struct span value, struct fields *fields)
{
    for (struct span item; next_item(&value, ';', &item);)
        fields->stays |= item.len == strlen(NP_REQUEST_COOKIE) && memcmp(item.at, NP_REQUEST_COOKIE, item.len) == 0;
}

static int parse_field(struct span line, struct fields *fields)
{
    struct span name;
    if (!split(&line, ':', &name) || !is_token(name))
        return NP_E_HTTP; /* obs-fold and white space before the colon end here too */
    line = trim(line);
    for (size_t i = 0; i < line.len; i++) {
        unsigned char c = (unsigned char)line.at[i];
        if ((c < 0x20 && c != '\t') || c == 0x7f)
            return NP_E_HTTP;
    }
    if (span_is(name, "host")) {
        if (fields->has_host)
            return NP_E_HTTP;
        fields->has_host = true;
        fields->host = line;
    } else if (span_is(name, "content-length")) {
        if (fields->has_length && (line.len != fields->length.len || memcmp(line.at, fields->length.at, line.len) != 0))
            return NP_E_HTTP;
        for (size_t i = 0; i < line.len; i++) {
            if (!isdigit((unsigned char)line.at[i]))
                return NP_E_HTTP;
        }
        if (line.len == 0)
            return NP_E_HTTP;
        fields->has_length = true;
        fields->length = line;
    } else if (span_is(name, "transfer-encoding")) {
        fields->has_coding = true;
    } else if (span_is(name, "connection")) {
        return parse_connection(line, fields) ? 0 : NP_E_HTTP;
    } else if (span_is(name, "upgrade")) {
        fields->protocol |= line.len > 0;
    } else if (span_is(name, "cookie")) {
        parse_cookie(line, fields);
    }
    return 0;
}

/* What the fields together mean. */
static int finish(const struct fields *fields, bool old, bool absolute, struct np_request *request)
{
    if (fields->has_length && fields->has_coding)
        return NP_E_HTTP;
    if (old && fields->has_coding)
        return NP_E_HTTP; /* RFC 9112 section 6.1: treat as faulty framing */
    if (!fields->has_host && !old)
        return NP_E_HTTP;
    struct np_request unused = {0}; /* what Host says beside absolute-form does not count, but is read */
    if (fields->has_host && parse_authority(fields->host, absolute ? &unused : request))
        return NP_E_HTTP;
    request->has_host = fields->has_host || absolute;
    request->keep_alive = old ? fields->keep && !fields->close : !fields->close;
    request->upgrade = fields->upgrade && fields->protocol && !old;
    request->stays = fields->stays;
    request->has_body = fields->has_coding;
    for (size_t i = 0; fields->has_length && i < fields->length.len; i++)
        request->has_body |= fields->length.at[i] != '0';
    return 0;
}

static long parse_head(const char *data, size_t len, struct np_request *request)
{
    struct span rest = {data, len}, line;
    struct fields fields = {0};
    bool old, absolute;
    if (rest.len >= 2 && memcmp(rest.at, "\r\n", 2) == 0)
        rest.at += 2, rest.len -= 2;
    int rc = next_line(&rest, &line);
    if (rc <= 0)
        return rc;
    if ((rc = parse_request_line(line, request, &old, &absolute)))
        return rc;
    for (unsigned count = 0;; count++) {
        if ((rc = next_line(&rest, &line)) <= 0)
            return rc;
        if (line.len == 0)
            break;
        if (count == NP_REQUEST_FIELDS_MAX)
            return NP_E_LIMIT;
        if ((rc = parse_field(line, &fields)))
            return rc;
    }
    if ((rc = finish(&fields, old, absolute, request)))
        return rc;
    return rest.at - data;
}

long np_request_parse(const void *data, size_t len, struct np_request *out_request)
{
    struct np_request request = {0};
    bool cut = len > NP_REQUEST_HEAD_MAX;
    long rc = parse_head(data, cut ? NP_REQUEST_HEAD_MAX : len, &request);
    if (rc == 0 && len >= NP_REQUEST_HEAD_MAX)
        return NP_E_LIMIT;
    if (rc > 0)
        *out_request = request;
    return rc;
}

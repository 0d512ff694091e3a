#include "agent/front/forward.h"

#include <string.h>
#include <strings.h>

/* A piece of the head; borrowed. */
struct span {
    const char *at;
    size_t len;
};

static bool is_word(struct span span, const char *word)
{
    return span.len == strlen(word) && strncasecmp(span.at, word, span.len) == 0;
}

static bool same_word(struct span a, struct span b)
{
    return a.len == b.len && strncasecmp(a.at, b.at, a.len) == 0;
}

static void write_text(struct np_writer *w, const char *text)
{
    np_write_bytes(w, text, strlen(text));
}

/* The line at the start of rest with its CRLF, and moves past it. Empty at the end. */
static struct span next_line(struct span *rest)
{
    const char *lf = memchr(rest->at, '\n', rest->len);
    struct span line = {rest->at, lf ? (size_t)(lf - rest->at) + 1 : rest->len};
    rest->at += line.len;
    rest->len -= line.len;
    return line;
}

static struct span name_of(struct span line)
{
    const char *colon = memchr(line.at, ':', line.len);
    return (struct span){line.at, colon ? (size_t)(colon - line.at) : 0};
}

/* The next option of a Connection field's value, and moves past it. */
static bool next_option(struct span *rest, struct span *out)
{
    static const char between[] = ", \t\r\n";
    while (rest->len > 0 && memchr(between, rest->at[0], sizeof between - 1))
        rest->at++, rest->len--;
    *out = (struct span){rest->at, 0};
    while (rest->len > 0 && !memchr(between, rest->at[0], sizeof between - 1))
        rest->at++, rest->len--, out->len++;
    return out->len > 0;
}

/* Does a Connection field of these lines name the field? */
static bool is_nominated(struct span lines, struct span name)
{
    for (struct span line; (line = next_line(&lines)).len > 0;) {
        struct span field = name_of(line), option;
        if (!is_word(field, "connection"))
            continue;
        struct span value = {line.at + field.len + 1, line.len - field.len - 1};
        while (next_option(&value, &option)) {
            if (same_word(option, name))
                return true;
        }
    }
    return false;
}

/* Fields that end at this hop (RFC 9110 section 7.6.1). Transfer-Encoding does not: the body goes on as it came. */
static bool ends_here(struct span lines, struct span name, bool upgrade)
{
    static const char *const known[] = {"connection", "keep-alive", "proxy-connection", "te"};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (is_word(name, known[i]))
            return true;
    }
    if (is_word(name, "upgrade"))
        return !upgrade;
    return is_nominated(lines, name);
}

/* The authority of absolute-form; empty: the target has another form. */
static struct span authority_of(struct span line, struct span *out_method, struct span *out_after)
{
    struct span found = {line.at, 0};
    const char *space = memchr(line.at, ' ', line.len);
    *out_method = (struct span){line.at, space ? (size_t)(space - line.at) : 0};
    *out_after = (struct span){line.at, 0};
    if (!space || space[1] == '/' || space[1] == '*')
        return found;
    const char *end = line.at + line.len, *slashes = memchr(space, '/', (size_t)(end - space));
    if (!slashes || end - slashes < 2)
        return found;
    found.at = slashes + 2;
    while (found.at + found.len < end && !memchr("/? ", found.at[found.len], 3))
        found.len++;
    const char *after = memchr(found.at, ' ', (size_t)(end - found.at));
    if (after)
        *out_after = (struct span){after, (size_t)(end - after)};
    return found;
}

/* The request line, in origin-form, and the Host that goes with absolute-form. True where that replaces the client's:
 * its own was not looked at (RFC 9112 section 3.2.2). */
static bool write_request_line(struct np_writer *w, struct span line, const struct np_request *request)
{
    struct span method, after, authority = authority_of(line, &method, &after);
    if (authority.len == 0) {
        np_write_bytes(w, line.at, line.len);
        return false;
    }
    bool whole_server = is_word(method, "OPTIONS") && authority.at[authority.len] == ' '; /* section 3.2.4 */
    np_write_bytes(w, method.at, method.len);
    write_text(w, " ");
    write_text(w, whole_server ? "*" : request->target);
    np_write_bytes(w, after.at, after.len);
    write_text(w, "Host: ");
    np_write_bytes(w, authority.at, authority.len);
    write_text(w, "\r\n");
    return true;
}

void np_forward_head(struct np_writer *w, const void *head, size_t len, const struct np_request *request)
{
    struct span rest = {head, len};
    if (rest.len >= 2 && memcmp(rest.at, "\r\n", 2) == 0)
        rest.at += 2, rest.len -= 2; /* the empty line that may stand before (RFC 9112 section 2.2) */
    bool has_host = write_request_line(w, next_line(&rest), request);
    struct span fields = rest;
    for (struct span line; (line = next_line(&rest)).len > 0;) {
        struct span name = name_of(line);
        if (line.len == 2 && memcmp(line.at, "\r\n", 2) == 0)
            write_text(w, request->upgrade ? "Connection: Upgrade, close\r\n" : "Connection: close\r\n");
        else if ((has_host && is_word(name, "host")) || ends_here(fields, name, request->upgrade))
            continue;
        np_write_bytes(w, line.at, line.len);
    }
}

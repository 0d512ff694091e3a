#include "agent/front/forward.h"

#include <string.h>
#include <strings.h>

static bool is_field(const char *line, size_t len, const char *name)
{
    size_t n = strlen(name);
    return len > n && line[n] == ':' && strncasecmp(line, name, n) == 0;
}

static bool is_about_connection(const char *line, size_t len)
{
    return is_field(line, len, "connection") || is_field(line, len, "keep-alive") ||
           is_field(line, len, "proxy-connection");
}

void np_forward_head(struct np_writer *w, const void *head, size_t len, const struct np_request *request)
{
    static const char closing[] = "Connection: close\r\n";
    const char *at = head, *end = at + len;
    if (len >= 2 && memcmp(at, "\r\n", 2) == 0)
        at += 2; /* the empty line that may stand before (RFC 9112 section 2.2) */
    while (at < end) {
        const char *lf = memchr(at, '\n', (size_t)(end - at));
        size_t line = lf ? (size_t)(lf - at) + 1 : (size_t)(end - at);
        bool last = line == 2 && memcmp(at, "\r\n", 2) == 0;
        if (last && !request->upgrade)
            np_write_bytes(w, closing, strlen(closing));
        if (request->upgrade || !is_about_connection(at, line))
            np_write_bytes(w, at, line);
        at += line;
    }
}

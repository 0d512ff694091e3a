#include "agent/upstreams.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "resolver/base/file.h"

struct np_upstreams {
    uv_fs_event_t file, folder;
    uv_timer_t debounce;
    char *path, *folder_path;
    void (*changed)(void *ctx);
    void *ctx;
    unsigned open_handles;
};

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

/* The server of one line, if it is a nameserver line. */
static bool parse_line(const char *line, size_t len, struct np_endpoint *out_server)
{
    static const char keyword[] = "nameserver";
    char address[NP_ADDR_TEXT_MAX];
    size_t n = sizeof keyword - 1, end;
    if (len <= n || memcmp(line, keyword, n) != 0 || !is_blank(line[n]))
        return false;
    while (n < len && is_blank(line[n]))
        n++;
    for (end = n; end < len && !is_blank(line[end]) && line[end] != '#';)
        end++;
    if (end - n >= sizeof address)
        return false;
    memcpy(address, line + n, end - n);
    address[end - n] = 0;
    out_server->port = 53;
    return np_addr_parse(address, &out_server->addr) == 0;
}

size_t np_resolv_conf_parse(const char *text, size_t len, struct np_endpoint *out_servers, size_t max)
{
    size_t count = 0;
    for (size_t pos = 0; pos < len && count < max;) {
        const char *newline = memchr(text + pos, '\n', len - pos);
        size_t line_len = newline ? (size_t)(newline - text) - pos : len - pos;
        struct np_endpoint server;
        bool known = !parse_line(text + pos, line_len, &server);
        for (size_t i = 0; !known && i < count; i++)
            known = np_addr_equal(&out_servers[i].addr, &server.addr);
        if (!known)
            out_servers[count++] = server;
        pos += line_len + 1;
    }
    return count;
}

size_t np_resolv_conf_read(const char *path, struct np_endpoint *out_servers, size_t max)
{
    uint8_t *text;
    size_t len, count;
    if (np_file_read(path, NP_UPSTREAMS_FILE_MAX, &text, &len))
        return 0;
    count = np_resolv_conf_parse((const char *)text, len, out_servers, max);
    free(text);
    return count;
}

static void on_settled(uv_timer_t *timer)
{
    struct np_upstreams *upstreams = timer->data;
    np_upstreams_look(upstreams);
    upstreams->changed(upstreams->ctx);
}

static void on_event(uv_fs_event_t *handle, const char *name, int events, int status)
{
    struct np_upstreams *upstreams = handle->data;
    const char *base = strrchr(upstreams->path, '/');
    (void)events;
    (void)status;
    /* /etc and /run are busy folders: only our file matters there. */
    if (handle == &upstreams->folder && name && strcmp(name, base ? base + 1 : upstreams->path) != 0)
        return;
    uv_timer_start(&upstreams->debounce, on_settled, NP_UPSTREAMS_DEBOUNCE_MS, 0);
}

void np_upstreams_look(struct np_upstreams *upstreams)
{
    /* A replaced file is another inode: the old watch says nothing any more. */
    uv_fs_event_stop(&upstreams->file);
    uv_fs_event_start(&upstreams->file, on_event, upstreams->path, 0);
    if (!uv_is_active((uv_handle_t *)&upstreams->folder))
        uv_fs_event_start(&upstreams->folder, on_event, upstreams->folder_path, 0);
}

int np_upstreams_new(uv_loop_t *loop, const char *path, void (*changed)(void *ctx), void *ctx,
                     struct np_upstreams **out_upstreams)
{
    struct np_upstreams *upstreams = calloc(1, sizeof *upstreams);
    if (!upstreams)
        return -ENOMEM;
    upstreams->path = strdup(path);
    upstreams->folder_path = strdup(path);
    if (!upstreams->path || !upstreams->folder_path) {
        free(upstreams->path);
        free(upstreams->folder_path);
        free(upstreams);
        return -ENOMEM;
    }
    char *slash = strrchr(upstreams->folder_path, '/');
    if (slash)
        slash[slash == upstreams->folder_path ? 1 : 0] = 0;
    else
        memcpy(upstreams->folder_path, ".", path[0] ? 2 : 1);
    upstreams->changed = changed;
    upstreams->ctx = ctx;
    uv_fs_event_init(loop, &upstreams->file);
    uv_fs_event_init(loop, &upstreams->folder);
    uv_timer_init(loop, &upstreams->debounce);
    upstreams->file.data = upstreams->folder.data = upstreams->debounce.data = upstreams;
    upstreams->open_handles = 3;
    np_upstreams_look(upstreams);
    *out_upstreams = upstreams;
    return 0;
}

static void on_closed(uv_handle_t *handle)
{
    struct np_upstreams *upstreams = handle->data;
    if (--upstreams->open_handles > 0)
        return;
    free(upstreams->path);
    free(upstreams->folder_path);
    free(upstreams);
}

void np_upstreams_close(struct np_upstreams *upstreams)
{
    if (!upstreams)
        return;
    uv_close((uv_handle_t *)&upstreams->file, on_closed);
    uv_close((uv_handle_t *)&upstreams->folder, on_closed);
    uv_close((uv_handle_t *)&upstreams->debounce, on_closed);
}

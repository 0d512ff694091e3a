#include "agent/upstreams.h"

#include <errno.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/lease.h"
#include "resolver/base/file.h"

#define LINKS_MAX 8 /* symbolic links followed: the kernel's own limit is 40 */

struct np_upstreams {
    uv_fs_event_t file, folder, target; /* target: the folder at the end of a symbolic link */
    uv_timer_t debounce;
    char *path, *folder_path;
    char target_path[PATH_MAX]; /* the file there; empty: path is no link */
    void (*changed)(void *ctx);
    void *ctx;
    unsigned open_handles;
};

size_t np_upstreams_read(const char *path, struct np_endpoint *servers, size_t count, size_t max)
{
    uint8_t *text;
    size_t len;
    if (np_file_read(path, NP_UPSTREAMS_FILE_MAX, &text, &len))
        return count;
    count = np_lease_parse((const char *)text, len, servers, count, max);
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
    const char *path = handle == &upstreams->target ? upstreams->target_path : upstreams->path;
    const char *base = strrchr(path, '/');
    (void)events;
    (void)status;
    /* /etc and /run are busy folders: only our file matters there. */
    if (handle != &upstreams->file && name && strcmp(name, base ? base + 1 : path) != 0)
        return;
    uv_timer_start(&upstreams->debounce, on_settled, NP_UPSTREAMS_DEBOUNCE_MS, 0);
}

/* The folder of the path, into a buffer as long as the path and two bytes more. */
static void folder_of(const char *path, char *out)
{
    const char *slash = strrchr(path, '/');
    size_t len = slash ? (size_t)(slash - path) : 0;
    if (!slash)
        memcpy(out, ".", 2);
    else if (len == 0)
        memcpy(out, "/", 2);
    else
        snprintf(out, len + 1, "%s", path);
}

/* Follows symbolic links from path to the last name, which need not exist. Returns false when path is no link, or is
 * one that leads nowhere. */
static bool follow(const char *path, char out[PATH_MAX])
{
    char link[PATH_MAX], folder[PATH_MAX + 2];
    if ((size_t)snprintf(out, PATH_MAX, "%s", path) >= PATH_MAX)
        return false;
    for (int i = 0; i < LINKS_MAX; i++) {
        ssize_t len = readlink(out, link, sizeof link - 1);
        if (len <= 0)
            return i > 0;
        link[len] = 0;
        folder_of(out, folder);
        int n = link[0] == '/' ? snprintf(out, PATH_MAX, "%s", link) : snprintf(out, PATH_MAX, "%s/%s", folder, link);
        if (n < 0 || n >= PATH_MAX)
            return false;
    }
    return false;
}

/* Watches the folder that a link leads to. The link itself may lead elsewhere now. */
static void look_at_target(struct np_upstreams *upstreams)
{
    char folder[PATH_MAX + 2];
    uv_fs_event_stop(&upstreams->target);
    if (!follow(upstreams->path, upstreams->target_path)) {
        upstreams->target_path[0] = 0;
        return;
    }
    folder_of(upstreams->target_path, folder);
    uv_fs_event_start(&upstreams->target, on_event, folder, 0);
}

void np_upstreams_look(struct np_upstreams *upstreams)
{
    /* A replaced file is another inode: the old watch says nothing any more. */
    uv_fs_event_stop(&upstreams->file);
    uv_fs_event_start(&upstreams->file, on_event, upstreams->path, 0);
    if (!uv_is_active((uv_handle_t *)&upstreams->folder))
        uv_fs_event_start(&upstreams->folder, on_event, upstreams->folder_path, 0);
    look_at_target(upstreams);
}

int np_upstreams_new(uv_loop_t *loop, const char *path, void (*changed)(void *ctx), void *ctx,
                     struct np_upstreams **out_upstreams)
{
    struct np_upstreams *upstreams = calloc(1, sizeof *upstreams);
    if (!upstreams)
        return -ENOMEM;
    upstreams->path = strdup(path);
    upstreams->folder_path = malloc(strlen(path) + 2);
    if (!upstreams->path || !upstreams->folder_path) {
        free(upstreams->path);
        free(upstreams->folder_path);
        free(upstreams);
        return -ENOMEM;
    }
    folder_of(path, upstreams->folder_path);
    upstreams->changed = changed;
    upstreams->ctx = ctx;
    uv_fs_event_init(loop, &upstreams->file);
    uv_fs_event_init(loop, &upstreams->folder);
    uv_fs_event_init(loop, &upstreams->target);
    uv_timer_init(loop, &upstreams->debounce);
    upstreams->file.data = upstreams->folder.data = upstreams->target.data = upstreams->debounce.data = upstreams;
    upstreams->open_handles = 4;
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
    uv_close((uv_handle_t *)&upstreams->target, on_closed);
    uv_close((uv_handle_t *)&upstreams->debounce, on_closed);
}

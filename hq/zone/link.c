#include "hq/zone/link.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "hq/zone/feed.h"
#include "resolver/base/error.h"
#include "resolver/base/log.h"
#include "resolver/base/sandbox.h"
#include "resolver/base/random.h"
#include "resolver/server.h"

#define RESTART_FIRST_MS 100
#define RESTART_CAP_MS   10000
#define SENDS_A_TURN     16

struct queued {
    struct queued *next;
    uint32_t type;
    uint8_t *data;
    size_t len;
};

/* One child's process and channel. They outlive the child by the time libuv takes to close them. */
struct child {
    uv_process_t process;
    uv_poll_t poll;
    struct np_link *link; /* NULL: the link has gone */
    int fd;
    bool alive;
    unsigned open_handles;
};

struct np_link {
    uv_loop_t *loop;
    struct np_link_owner owner;
    int listeners[NP_LINK_LISTENERS_MAX];
    uint8_t is_tcp[NP_LINK_LISTENERS_MAX];
    size_t listener_count;
    struct child *child;
    struct queued *first, **last;
    size_t queued_bytes;
    bool was_full;
    uv_timer_t restart, silence;
    struct np_backoff backoff;
    uint64_t started_ms;
    unsigned open_handles;
    bool closing;
    void (*closed)(void *ctx);
    void *closed_ctx;
    uint8_t buffer[NP_CHANNEL_FRAME_MAX + 4];
};

static uint32_t below(void *ctx, uint32_t bound)
{
    (void)ctx;
    return np_random_below(bound);
}

static void drop_queue(struct np_link *link)
{
    while (link->first) {
        struct queued *queued = link->first;
        link->first = queued->next;
        free(queued->data);
        free(queued);
    }
    link->last = &link->first;
    link->queued_bytes = 0;
    link->was_full = false;
}

static void on_child_handle_closed(uv_handle_t *handle)
{
    struct child *child = handle->data;
    if (--child->open_handles == 0)
        free(child);
}

static void maybe_closed(struct np_link *link)
{
    if (!link->closing || link->open_handles > 0 || link->child)
        return;
    void (*closed)(void *ctx) = link->closed;
    void *ctx = link->closed_ctx;
    for (size_t i = 0; i < link->listener_count; i++)
        close(link->listeners[i]);
    free(link);
    if (closed)
        closed(ctx);
}

static void on_link_handle_closed(uv_handle_t *handle)
{
    struct np_link *link = handle->data;
    link->open_handles--;
    maybe_closed(link);
}

static int spawn(struct np_link *link);

static void on_restart(uv_timer_t *timer)
{
    struct np_link *link = timer->data;
    int rc = spawn(link);
    if (rc == 0)
        return;
    int64_t delay_ms = np_backoff_fail(&link->backoff, 0, below, NULL);
    np_error("dns: the child cannot be started: %s; again in %lld ms", np_strerror(rc), (long long)delay_ms);
    uv_timer_start(&link->restart, on_restart, (uint64_t)delay_ms, 0);
}

static void on_child_exit(uv_process_t *process, int64_t status, int signal_number)
{
    struct child *child = process->data;
    struct np_link *link = child->link;
    child->alive = false;
    link->child = NULL;
    uv_timer_stop(&link->silence);
    uv_close((uv_handle_t *)&child->poll, on_child_handle_closed);
    uv_close((uv_handle_t *)&child->process, on_child_handle_closed);
    close(child->fd);
    drop_queue(link);
    if (link->closing) {
        maybe_closed(link);
        return;
    }
    if (uv_now(link->loop) - link->started_ms >= NP_LINK_STEADY_MS)
        np_backoff_reset(&link->backoff);
    int64_t delay_ms = np_backoff_fail(&link->backoff, 0, below, NULL);
    np_error("dns: the child ended (%s %d); again in %lld ms", signal_number ? "signal" : "exit code",
             signal_number ? signal_number : (int)status, (long long)delay_ms);
    uv_timer_start(&link->restart, on_restart, (uint64_t)delay_ms, 0);
    link->owner.down(link->owner.ctx);
}

/* Something is wrong with the child: on_child_exit does the rest. */
static void kill_child(struct np_link *link, const char *why)
{
    if (!link->child || !link->child->alive)
        return;
    np_error("dns: %s: ending the child", why);
    uv_poll_stop(&link->child->poll);
    uv_process_kill(&link->child->process, SIGKILL);
}

static void on_silence(uv_timer_t *timer)
{
    kill_child(timer->data, "no answer");
}

static void on_channel(uv_poll_t *poll, int status, int events);

static void watch(struct np_link *link)
{
    uv_poll_start(&link->child->poll, UV_READABLE | (link->first ? UV_WRITABLE : 0), on_channel);
}

/* Sends what the channel takes. */
static void flush(struct np_link *link)
{
    for (int i = 0; i < SENDS_A_TURN && link->first; i++) {
        struct queued *queued = link->first;
        bool is_listeners = queued->type == NP_FEED_LSTN;
        int rc = np_channel_send(link->child->fd, queued->type, queued->data, queued->len,
                                 is_listeners ? link->listeners : NULL, is_listeners ? link->listener_count : 0);
        if (rc == -EAGAIN)
            break;
        if (rc) {
            kill_child(link, np_strerror(rc));
            return;
        }
        link->first = queued->next;
        link->queued_bytes -= queued->len;
        if (!link->first)
            link->last = &link->first;
        free(queued->data);
        free(queued);
    }
    watch(link);
    if (link->was_full && link->queued_bytes < NP_LINK_FULL / 4) {
        link->was_full = false;
        link->owner.drained(link->owner.ctx);
    }
}

static void on_channel(uv_poll_t *poll, int status, int events)
{
    struct child *child = poll->data;
    struct np_link *link = child->link;
    struct np_frame frame;
    if (status < 0 || (events & UV_READABLE)) {
        int rc = np_channel_receive(child->fd, link->buffer, sizeof link->buffer, &frame);
        if (rc == 0) {
            if (uv_is_active((uv_handle_t *)&link->silence))
                uv_timer_again(&link->silence);
            link->owner.frame(link->owner.ctx, &frame);
            np_frame_close_fds(&frame);
        } else if (rc == NP_E_CLOSED) {
            uv_poll_stop(poll); /* it is ending: on_child_exit follows, or the silence watch */
            np_link_expect(link, true);
            return;
        } else if (rc != -EAGAIN) {
            kill_child(link, np_strerror(rc));
            return;
        }
    }
    if (link->child == child && child->alive && !link->closing && (events & UV_WRITABLE))
        flush(link);
}

void np_link_send_take(struct np_link *link, uint32_t type, uint8_t *data, size_t len)
{
    struct queued *queued = link->child ? calloc(1, sizeof *queued) : NULL;
    if (!queued) {
        free(data);
        if (link->child)
            kill_child(link, "out of memory"); /* never a frame lost from the middle */
        return;
    }
    queued->type = type;
    queued->data = data;
    queued->len = len;
    link->queued_bytes += len;
    link->was_full = link->was_full || link->queued_bytes >= NP_LINK_FULL;
    bool idle = !link->first;
    *link->last = queued;
    link->last = &queued->next;
    if (idle)
        flush(link);
}

size_t np_link_queued(const struct np_link *link)
{
    return link->queued_bytes;
}

void np_link_expect(struct np_link *link, bool owed)
{
    if (!owed)
        uv_timer_stop(&link->silence);
    else if (!uv_is_active((uv_handle_t *)&link->silence))
        uv_timer_start(&link->silence, on_silence, NP_LINK_SILENCE_MS, NP_LINK_SILENCE_MS);
}

/* Runs this same executable in its child role, with nothing but standard error and the channel. */
static int run_child(struct np_link *link, struct child *child, int channel_fd)
{
    char name[] = "nameplate-hq", role[] = "child-dns";
    char *argv[] = {name, role, NULL}, *environment[] = {(char *)(uintptr_t)np_sandbox_variable(), NULL};
    uv_stdio_container_t stdio[4] = {{.flags = UV_IGNORE},
                                     {.flags = UV_IGNORE},
                                     {.flags = UV_INHERIT_FD, .data.fd = 2},
                                     {.flags = UV_INHERIT_FD, .data.fd = channel_fd}};
    uv_process_options_t options = {.exit_cb = on_child_exit,
                                    .file = "/proc/self/exe",
                                    .args = argv,
                                    .env = environment,
                                    .stdio = stdio,
                                    .stdio_count = 4};
    return uv_spawn(link->loop, &child->process, &options);
}

static int spawn(struct np_link *link)
{
    int fds[2];
    struct child *child = calloc(1, sizeof *child);
    if (!child)
        return -ENOMEM;
    int rc = np_channel_pair(fds);
    if (rc) {
        free(child);
        return rc;
    }
    child->link = link;
    child->fd = fds[0];
    child->process.data = child->poll.data = child;
    rc = run_child(link, child, fds[1]);
    close(fds[1]);
    child->open_handles = 1; /* a failed spawn leaves an open handle, too */
    if (rc == 0) {
        rc = uv_poll_init(link->loop, &child->poll, child->fd);
        if (rc)
            uv_process_kill(&child->process, SIGKILL);
    }
    if (rc) {
        uv_close((uv_handle_t *)&child->process, on_child_handle_closed);
        close(child->fd);
        return rc;
    }
    child->open_handles = 2;
    child->alive = true;
    link->child = child;
    link->started_ms = uv_now(link->loop);
    uint8_t *kinds = malloc(link->listener_count + 1);
    if (kinds)
        memcpy(kinds, link->is_tcp, link->listener_count);
    watch(link);
    link->owner.up(link->owner.ctx);
    if (kinds)
        np_link_send_take(link, NP_FEED_LSTN, kinds, link->listener_count);
    else
        kill_child(link, "out of memory");
    return 0;
}

int np_link_new(uv_loop_t *loop, const struct np_endpoint *listen, size_t count, const struct np_link_owner *owner,
                struct np_link **out_link, size_t *out_index)
{
    if (count > NP_LINK_LISTENERS_MAX / 2)
        return NP_E_LIMIT;
    struct np_link *link = calloc(1, sizeof *link);
    if (!link)
        return -ENOMEM;
    for (size_t i = 0; i < count * 2; i++) {
        int fd = np_server_open(&listen[i / 2], i % 2 == 1);
        if (fd < 0) {
            while (link->listener_count > 0)
                close(link->listeners[--link->listener_count]);
            free(link);
            *out_index = i / 2;
            return fd;
        }
        link->is_tcp[i] = i % 2 == 1;
        link->listeners[link->listener_count++] = fd;
    }
    link->loop = loop;
    link->owner = *owner;
    link->last = &link->first;
    link->backoff = (struct np_backoff){RESTART_FIRST_MS, RESTART_CAP_MS, 0};
    uv_timer_init(loop, &link->restart);
    uv_timer_init(loop, &link->silence);
    link->restart.data = link->silence.data = link;
    link->open_handles = 2;
    *out_link = link;
    return 0;
}

int np_link_start(struct np_link *link)
{
    return spawn(link);
}

int np_link_pid(const struct np_link *link)
{
    return link->child ? link->child->process.pid : 0;
}

void np_link_close(struct np_link *link, void (*done)(void *ctx), void *ctx)
{
    link->closing = true;
    link->closed = done;
    link->closed_ctx = ctx;
    if (link->child)
        uv_process_kill(&link->child->process, SIGTERM);
    uv_close((uv_handle_t *)&link->restart, on_link_handle_closed);
    uv_close((uv_handle_t *)&link->silence, on_link_handle_closed);
}

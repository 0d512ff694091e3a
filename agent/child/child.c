#include "agent/child/child.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "resolver/base/error.h"
#include "resolver/base/sandbox.h"
#include "resolver/base/jobs.h"
#include "resolver/base/text.h"

#define FRAMES_PER_WAKE 32   /* then the other handles get their turn */
#define REAP_MS         5    /* between the channel's end and waitpid's answer: the kernel closes files first */
#define EXIT_MS         1000 /* from a channel that ended by itself to SIGKILL */
#define ENVIRONMENT_MAX 8
#define FD_SCAN_MAX     65536 /* descriptors tried one by one where close_range(2) is missing */

/* A frame that waits for a slow peer. */
struct queued {
    struct queued *next;
    uint32_t type;
    size_t len;
    int fds[NP_CHANNEL_FDS_MAX];
    size_t fd_count;
    uint8_t payload[];
};

/* The parent's end of one process's channel. It lives until libuv has closed its handle, so each process has its own.
 */
struct link {
    uv_poll_t poll;
    int fd;
    struct np_child *child;
};

enum state {
    STATE_IDLE,    /* nothing runs, nothing is planned */
    STATE_RUNNING, /* the channel is open */
    STATE_ENDING,  /* the channel is closed, the process not yet reaped */
    STATE_WAITING  /* a restart is planned */
};

struct np_child {
    uv_loop_t *loop;
    struct np_child_options options;
    enum state state;
    struct link *link; /* NULL unless RUNNING */
    uv_timer_t timer;  /* ENDING: reap; WAITING: restart */
    int64_t kill_at_ms;
    struct np_backoff backoff;
    struct np_child_status status;
    bool started_before;
    struct queued *queue;
    size_t queue_count, queue_bytes;
    bool closing;
    void (*done)(void *ctx);
    void *done_ctx;
    uint8_t buffer[NP_CHANNEL_FRAME_MAX + 4];
};

static void on_poll(uv_poll_t *poll, int status, int events);
static void on_timer(uv_timer_t *timer);

static uint32_t random_below(void *ctx, uint32_t bound)
{
    (void)ctx;
    return np_random_below(bound);
}

static int64_t now_ms(const struct np_child *child)
{
    return (int64_t)uv_now(child->loop);
}

/* The queue */

static void free_queued(struct queued *item)
{
    for (size_t i = 0; i < item->fd_count; i++)
        close(item->fds[i]);
    np_wipe(item->payload, item->len); /* a CERT frame holds the TLS key */
    free(item);
}

static void drop_queue(struct np_child *child)
{
    while (child->queue) {
        struct queued *item = child->queue;
        child->queue = item->next;
        free_queued(item);
    }
    child->queue_count = child->queue_bytes = 0;
}

static bool is_whole_state(uint32_t type)
{
    return type == NP_FRAME('V', 'I', 'E', 'W') || type == NP_FRAME('C', 'E', 'R', 'T') ||
           type == NP_FRAME('S', 'T', 'A', 'T') || type == NP_FRAME('P', 'E', 'E', 'R') ||
           type == NP_FRAME('C', 'L', 'C', 'K') || type == NP_FRAME('N', 'E', 'W', 'S') ||
           type == NP_FRAME('C', 'O', 'N', 'F');
}

static void unlink_older(struct np_child *child, uint32_t type)
{
    for (struct queued **at = &child->queue; *at;) {
        struct queued *item = *at;
        if (item->type != type) {
            at = &item->next;
            continue;
        }
        *at = item->next;
        child->queue_count--;
        child->queue_bytes -= item->len;
        free_queued(item);
    }
}

static int enqueue(struct np_child *child, uint32_t type, const void *payload, size_t len, const int *fds,
                   size_t fd_count)
{
    if (is_whole_state(type))
        unlink_older(child, type);
    if (child->queue_count >= NP_CHILD_QUEUE_MAX || child->queue_bytes + len > NP_CHILD_QUEUE_BYTES) {
        kill(child->status.pid, SIGKILL); /* it does not read: the channel's end leads to a new one */
        return NP_E_CLOSED;
    }
    struct queued *item = malloc(sizeof *item + len);
    if (!item)
        return -ENOMEM;
    *item = (struct queued){.type = type, .len = len};
    if (len)
        memcpy(item->payload, payload, len);
    for (; item->fd_count < fd_count; item->fd_count++) {
        int fd = fcntl(fds[item->fd_count], F_DUPFD_CLOEXEC, 0);
        if (fd < 0) {
            int rc = -errno;
            free_queued(item);
            return rc;
        }
        item->fds[item->fd_count] = fd;
    }
    struct queued **at = &child->queue;
    while (*at)
        at = &(*at)->next;
    *at = item;
    child->queue_count++;
    child->queue_bytes += len;
    return 0;
}

static void want_events(struct np_child *child)
{
    uv_poll_start(&child->link->poll, UV_READABLE | (child->queue ? UV_WRITABLE : 0), on_poll);
}

/* Sends what fits. After a frame that cannot be sent the process no longer knows what it must: a new one will. */
static void flush_queue(struct np_child *child)
{
    while (child->queue) {
        struct queued *item = child->queue;
        int rc = np_channel_send(child->link->fd, item->type, item->payload, item->len, item->fds, item->fd_count);
        if (rc == -EAGAIN)
            break;
        if (rc && rc != NP_E_CLOSED)
            kill(child->status.pid, SIGKILL);
        child->queue = item->next;
        child->queue_count--;
        child->queue_bytes -= item->len;
        free_queued(item);
    }
    want_events(child);
}

int np_child_send(struct np_child *child, uint32_t type, const void *payload, size_t len, const int *fds,
                  size_t fd_count)
{
    if (child->state != STATE_RUNNING || child->closing)
        return NP_E_CLOSED;
    if (len > NP_CHANNEL_FRAME_MAX || fd_count > NP_CHANNEL_FDS_MAX)
        return NP_E_LIMIT;
    if (!child->queue) {
        int rc = np_channel_send(child->link->fd, type, payload, len, fds, fd_count);
        if (rc != -EAGAIN)
            return rc;
    }
    int rc = enqueue(child, type, payload, len, fds, fd_count);
    want_events(child);
    return rc;
}

/* The process's death */

static void on_link_closed(uv_handle_t *handle)
{
    free(handle->data);
}

static void close_link(struct np_child *child)
{
    if (!child->link)
        return;
    uv_poll_stop(&child->link->poll);
    close(child->link->fd); /* this tells the child to end */
    uv_close((uv_handle_t *)&child->link->poll, on_link_closed);
    child->link = NULL;
    drop_queue(child);
}

static void on_child_closed(uv_handle_t *handle)
{
    struct np_child *child = handle->data;
    void (*done)(void *ctx) = child->done;
    void *ctx = child->done_ctx;
    free(child);
    if (done)
        done(ctx);
}

static void plan_restart(struct np_child *child)
{
    int64_t lived = now_ms(child) - child->status.started_ms;
    if (child->status.ready && lived >= NP_CHILD_RESTART_FORGET_MS)
        np_backoff_reset(&child->backoff);
    child->state = STATE_WAITING;
    uv_timer_start(&child->timer, on_timer, (uint64_t)np_backoff_fail(&child->backoff, 0, random_below, NULL), 0);
}

static void on_reaped(struct np_child *child, int status)
{
    child->status.last_status = status;
    child->status.pid = 0;
    if (child->closing) {
        child->state = STATE_IDLE;
        uv_close((uv_handle_t *)&child->timer, on_child_closed);
        return;
    }
    plan_restart(child);
    child->status.ready = false;
    if (child->options.events.died)
        child->options.events.died(child->options.ctx, child, status);
}

static void try_reap(struct np_child *child)
{
    int status = -1;
    pid_t pid = waitpid(child->status.pid, &status, WNOHANG);
    if (pid == child->status.pid || (pid < 0 && errno == ECHILD)) {
        on_reaped(child, pid < 0 ? -1 : status);
        return;
    }
    if (now_ms(child) >= child->kill_at_ms)
        kill(child->status.pid, SIGKILL); /* repeated until reaped; the pid is ours until then */
    uv_timer_start(&child->timer, on_timer, REAP_MS, 0);
}

static void end_process(struct np_child *child, int64_t grace_ms)
{
    close_link(child);
    child->state = STATE_ENDING;
    child->kill_at_ms = now_ms(child) + grace_ms;
    try_reap(child);
}

static void on_timer(uv_timer_t *timer)
{
    struct np_child *child = timer->data;
    if (child->state == STATE_ENDING)
        try_reap(child);
    else if (child->state == STATE_WAITING)
        (void)np_child_start(child);
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
    struct link *link = poll->data;
    struct np_child *child = link->child;
    (void)status;
    if (events & UV_WRITABLE)
        flush_queue(child);
    for (int i = 0; i < FRAMES_PER_WAKE && child->link == link; i++) {
        struct np_frame frame;
        int rc = np_channel_receive(link->fd, child->buffer, sizeof child->buffer, &frame);
        if (rc == -EAGAIN)
            return;
        if (rc) { /* its end, or a frame that no child of ours sends */
            end_process(child, rc == NP_E_CLOSED ? EXIT_MS : 0);
            return;
        }
        if (frame.type == NP_FRAME('R', 'E', 'D', 'Y'))
            child->status.ready = true;
        if (child->options.events.frame)
            child->options.events.frame(child->options.ctx, child, &frame);
        np_frame_close_fds(&frame);
    }
}

/* Its start */

static void close_all_from(unsigned first)
{
    if (syscall(SYS_close_range, first, ~0u, 0) == 0)
        return;
    long max = sysconf(_SC_OPEN_MAX);
    for (int fd = (int)first; fd < (max > 0 && max < FD_SCAN_MAX ? max : FD_SCAN_MAX); fd++)
        close(fd);
}

/* Between fork and exec: system calls only. */
static void __attribute__((noreturn))
become_child(int channel_fd, pid_t parent, const char *program, char *const *argv, char *const *envp)
{
    sigset_t none;
    sigemptyset(&none);
    for (int signal_number = 1; signal_number < 32; signal_number++)
        signal(signal_number, SIG_DFL);
    sigprocmask(SIG_SETMASK, &none, NULL);
    /* A copy above the standard ones first: the channel may have been given the number 0, 1 or 3. */
    int fd = fcntl(channel_fd, F_DUPFD, NP_CHANNEL_FD + 1);
    int null = open("/dev/null", O_RDWR);
    if (fd < 0 || (null < 0 && errno != ENOENT))
        _exit(127);
    if (null >= 0 && null != 0)
        dup2(null, 0);
    if (null >= 0 && null != 1)
        dup2(null, 1);
    if (dup2(fd, NP_CHANNEL_FD) < 0)
        _exit(127);
    close_all_from(NP_CHANNEL_FD + 1);
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        _exit(127);
    (void)np_sandbox_drop_capabilities(); /* what is left after the exec, the child's own sandbox drops or refuses */
    execve(program, argv, envp);
    _exit(127);
}

/* The few variables that a child may have. Returns a NULL-terminated list of malloc'd strings. */
static int make_environment(const struct np_child *child, char *out[ENVIRONMENT_MAX])
{
    static const char *const passed[] = {"JOURNAL_STREAM", "NP_LOG_PRIORITY", "UBSAN_OPTIONS", "LLVM_PROFILE_FILE"};
    size_t count = 0;
    int rc = 0;
    for (size_t i = 0; i < sizeof passed / sizeof *passed && rc >= 0; i++) {
        const char *value = getenv(passed[i]);
        if (value)
            rc = asprintf(&out[count++], "%s=%s", passed[i], value);
    }
    if (child->options.log_level && rc >= 0)
        rc = asprintf(&out[count++], "NP_LOG_LEVEL=%s", child->options.log_level);
    if (np_sandbox_variable() && rc >= 0)
        rc = asprintf(&out[count++], "%s", np_sandbox_variable());
    out[rc < 0 ? count - 1 : count] = NULL;
    return rc < 0 ? -ENOMEM : 0;
}

static void free_environment(char *environment[ENVIRONMENT_MAX])
{
    for (size_t i = 0; environment[i]; i++)
        free(environment[i]);
}

static int fork_child(struct np_child *child, int channel_fd)
{
    char *environment[ENVIRONMENT_MAX] = {NULL};
    char *argv[3] = {(char *)(uintptr_t) "nameplate", (char *)(uintptr_t)child->options.verb, NULL};
    int rc = make_environment(child, environment);
    if (rc == 0) {
        pid_t parent = getpid(), pid = fork();
        if (pid == 0)
            become_child(channel_fd, parent, child->options.program ? child->options.program : "/proc/self/exe", argv,
                         environment);
        rc = pid < 0 ? -errno : 0;
        if (pid > 0)
            child->status.pid = pid;
    }
    free_environment(environment);
    return rc;
}

static int open_link(struct np_child *child, int fd)
{
    struct link *link = calloc(1, sizeof *link);
    if (!link)
        return -ENOMEM;
    int rc = uv_poll_init(child->loop, &link->poll, fd);
    if (rc < 0) {
        free(link);
        return rc;
    }
    link->fd = fd;
    link->poll.data = link;
    link->child = child;
    child->link = link;
    return 0;
}

static int start_process(struct np_child *child)
{
    int fds[2];
    int rc = np_channel_pair(fds);
    if (rc)
        return rc;
    rc = open_link(child, fds[0]);
    if (rc) {
        close(fds[0]);
        close(fds[1]);
        return rc;
    }
    rc = fork_child(child, fds[1]);
    close(fds[1]);
    if (rc) {
        close_link(child);
        return rc;
    }
    return 0;
}

int np_child_start(struct np_child *child)
{
    if (child->closing || child->state == STATE_RUNNING || child->state == STATE_ENDING)
        return 0;
    uv_timer_stop(&child->timer);
    child->status.started_ms = now_ms(child);
    child->status.ready = false;
    int rc = start_process(child);
    if (rc) {
        plan_restart(child);
        return rc;
    }
    if (child->started_before)
        child->status.restarts++;
    child->started_before = true;
    child->state = STATE_RUNNING;
    want_events(child);
    child->options.events.feed(child->options.ctx, child);
    return 0;
}

int np_child_new(uv_loop_t *loop, const struct np_child_options *options, struct np_child **out_child)
{
    struct np_child *child = calloc(1, sizeof *child);
    if (!child)
        return -ENOMEM;
    child->loop = loop;
    child->options = *options;
    child->status.last_status = -1;
    child->backoff.first_ms = options->restart_first_ms ? options->restart_first_ms : NP_CHILD_RESTART_FIRST_MS;
    child->backoff.cap_ms = options->restart_cap_ms ? options->restart_cap_ms : NP_CHILD_RESTART_CAP_MS;
    uv_timer_init(loop, &child->timer);
    child->timer.data = child;
    *out_child = child;
    return 0;
}

struct np_child_status np_child_status(const struct np_child *child)
{
    return child->status;
}

void np_child_close(struct np_child *child, void (*done)(void *ctx), void *ctx)
{
    if (!child) {
        if (done)
            done(ctx);
        return;
    }
    if (child->closing)
        return;
    child->closing = true;
    child->done = done;
    child->done_ctx = ctx;
    uv_timer_stop(&child->timer);
    if (child->state == STATE_RUNNING) {
        end_process(child, child->options.stop_ms ? child->options.stop_ms : NP_CHILD_STOP_MS);
    } else if (child->state == STATE_ENDING) {
        try_reap(child);
    } else {
        child->state = STATE_IDLE;
        uv_close((uv_handle_t *)&child->timer, on_child_closed);
    }
}

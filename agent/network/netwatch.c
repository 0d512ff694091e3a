#include "agent/network/netwatch.h"

#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/network/netlink.h"
#include "resolver/base/error.h"

#define READS_MAX     64   /* datagrams read in one callback; poll calls again for the rest */
#define REPEATS_MAX   4    /* interrupted dumps that are repeated at once */
#define DATAGRAMS_MAX 4096 /* of one part: a kernel that never says DONE is given up */
#define RETRY_MAX_MS  1000

struct np_netwatch {
    int events_fd, dump_fd;
    uv_poll_t poll;
    uv_timer_t timer; /* the debounce, or a retry */
    unsigned open_handles;
    bool closing, pending;
    unsigned debounce_ms;
    unsigned failures;
    uint32_t seq;
    int64_t first_event_us;
    np_netwatch_fn *changed;
    void *ctx;
    struct np_network *current, *next; /* current->serial is 0 before the first snapshot */
    struct np_netwatch_stats stats;
    uint8_t buffer[NP_NETLINK_DATAGRAM_MAX];
};

static void on_due(uv_timer_t *timer);

static void plan_dump(struct np_netwatch *watch, unsigned delay_ms)
{
    if (watch->closing || watch->pending)
        return;
    watch->pending = true;
    uv_update_time(watch->timer.loop); /* the loop's idea of now may be older than the event */
    uv_timer_start(&watch->timer, on_due, delay_ms, 0);
}

static void note_event(struct np_netwatch *watch)
{
    watch->stats.events++;
    if (watch->first_event_us == 0)
        watch->first_event_us = (int64_t)(uv_hrtime() / 1000);
    plan_dump(watch, watch->debounce_ms);
}

/* One datagram from the kernel itself (any process may send to a netlink socket). Returns its length, 0 for one from
 * somebody else, or -errno. */
static ssize_t receive(int fd, uint8_t *buffer, size_t size)
{
    struct sockaddr_nl from = {0};
    struct iovec iov = {buffer, size};
    struct msghdr message = {.msg_name = &from, .msg_namelen = sizeof from, .msg_iov = &iov, .msg_iovlen = 1};
    ssize_t n;
    do {
        n = recvmsg(fd, &message, MSG_DONTWAIT);
    } while (n < 0 && errno == EINTR);
    if (n < 0)
        return -errno;
    if (message.msg_namelen != sizeof from || from.nl_pid != 0)
        return 0;
    return message.msg_flags & MSG_TRUNC ? -EMSGSIZE : n;
}

static void on_readable(uv_poll_t *poll, int status, int events)
{
    struct np_netwatch *watch = poll->data;
    (void)events;
    /* An overrun is POLLERR to libuv, which then stops watching: without this the first ENOBUFS is the last news. */
    if (status < 0)
        (void)uv_poll_start(poll, UV_READABLE, on_readable);
    for (int i = 0; i < READS_MAX; i++) {
        ssize_t n = receive(watch->events_fd, watch->buffer, sizeof watch->buffer);
        if (n == -EAGAIN)
            return;
        if (n == -ENOBUFS)
            watch->stats.overruns++;
        if (n < 0 || (n > 0 && np_netlink_is_event(watch->buffer, (size_t)n)))
            note_event(watch);
    }
}

/* The kernel fills a dump inside sendto and recvmsg, so that it is complete without waiting: EAGAIN is an error here.
 */
static int dump_part(struct np_netwatch *watch, enum np_netlink_part part)
{
    uint8_t request[NP_NETLINK_REQUEST_MAX];
    struct np_netlink_dump dump = {.network = watch->next, .part = part, .seq = ++watch->seq};
    size_t len = np_netlink_request(part, dump.seq, request);
    struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
    ssize_t sent;
    do {
        sent = sendto(watch->dump_fd, request, len, MSG_DONTWAIT, (struct sockaddr *)&kernel, sizeof kernel);
    } while (sent < 0 && errno == EINTR);
    if (sent < 0)
        return -errno;
    for (int i = 0; i < DATAGRAMS_MAX; i++) {
        ssize_t n = receive(watch->dump_fd, watch->buffer, sizeof watch->buffer);
        if (n < 0)
            return (int)n;
        int rc = np_netlink_feed(&dump, watch->buffer, (size_t)n);
        if (rc)
            return rc < 0 ? rc : 0;
    }
    return NP_E_LIMIT;
}

static int dump_all(struct np_netwatch *watch)
{
    memset(watch->next, 0, sizeof *watch->next);
    for (int part = 0; part < NP_NETLINK_PARTS; part++) {
        int rc = dump_part(watch, (enum np_netlink_part)part);
        if (rc)
            return rc;
    }
    np_network_sort(watch->next);
    watch->stats.dumps++;
    return 0;
}

static int open_socket(uint32_t groups, int buffer)
{
    struct sockaddr_nl local = {.nl_family = AF_NETLINK, .nl_groups = groups};
    int one = 1, fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);
    if (fd < 0)
        return -errno;
    /* FORCE needs CAP_NET_ADMIN; the plain option is cut to net.core.rmem_max, and ENOBUFS is answered anyway. */
    if (buffer && setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &buffer, sizeof buffer) < 0)
        (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &buffer, sizeof buffer);
    if (groups == 0)
        (void)setsockopt(fd, SOL_NETLINK, NETLINK_GET_STRICT_CHK, &one, sizeof one);
    if (bind(fd, (struct sockaddr *)&local, sizeof local) < 0) {
        int rc = -errno;
        close(fd);
        return rc;
    }
    return fd;
}

/* After an unknown failure in the middle of a dump its rest may still stand in the socket, and some kernels refuse a
 * second dump until the first was read to its end: a new socket has no past. */
static void reopen_dump_socket(struct np_netwatch *watch)
{
    int fd = open_socket(0, 0);
    if (fd < 0)
        return; /* the old one may still do */
    close(watch->dump_fd);
    watch->dump_fd = fd;
}

static void deliver(struct np_netwatch *watch)
{
    int64_t first = watch->first_event_us;
    watch->first_event_us = 0;
    if (watch->current->serial && np_network_equal(watch->current, watch->next))
        return;
    struct np_network *old = watch->current;
    watch->current = watch->next;
    watch->next = old;
    watch->current->serial = old->serial + 1;
    watch->current->first_event_us = first ? first : (int64_t)(uv_hrtime() / 1000);
    watch->stats.snapshots++;
    watch->changed(watch->ctx, watch->current);
}

static void on_due(uv_timer_t *timer)
{
    struct np_netwatch *watch = timer->data;
    int rc = 0;
    watch->pending = false;
    for (int i = 0; i < REPEATS_MAX; i++) {
        rc = dump_all(watch);
        if (rc == 0) {
            watch->failures = 0;
            deliver(watch);
            return;
        }
        watch->stats.repeated++;
        reopen_dump_socket(watch);
        if (rc != -EINTR)
            break;
    }
    unsigned delay = watch->debounce_ms ? watch->debounce_ms : 1;
    for (unsigned i = 0; i < watch->failures && delay < RETRY_MAX_MS; i++)
        delay *= 2;
    watch->failures++;
    plan_dump(watch, delay < RETRY_MAX_MS ? delay : RETRY_MAX_MS);
}

static void release(struct np_netwatch *watch)
{
    if (watch->events_fd >= 0)
        close(watch->events_fd);
    if (watch->dump_fd >= 0)
        close(watch->dump_fd);
    free(watch->current);
    free(watch->next);
    free(watch);
}

static void on_closed(uv_handle_t *handle)
{
    struct np_netwatch *watch = handle->data;
    if (--watch->open_handles == 0)
        release(watch);
}

int np_netwatch_new(uv_loop_t *loop, const struct np_netwatch_options *options, np_netwatch_fn *changed, void *ctx,
                    struct np_netwatch **out_watch)
{
    const uint32_t groups =
        RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR | RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_ROUTE;
    struct np_netwatch *watch = calloc(1, sizeof *watch);
    if (!watch)
        return -ENOMEM;
    watch->debounce_ms = options && options->debounce_ms ? options->debounce_ms : NP_NETWATCH_DEBOUNCE_MS;
    watch->changed = changed;
    watch->ctx = ctx;
    watch->events_fd = watch->dump_fd = -1;
    watch->current = calloc(1, sizeof *watch->current);
    watch->next = calloc(1, sizeof *watch->next);
    int rc = watch->current && watch->next ? 0 : -ENOMEM;
    if (rc)
        goto out;
    rc = watch->events_fd =
        open_socket(groups, options && options->receive_buffer ? options->receive_buffer : NP_NETWATCH_BUFFER);
    if (rc < 0)
        goto out;
    rc = watch->dump_fd = open_socket(0, 0);
    if (rc < 0)
        goto out;
    rc = uv_poll_init(loop, &watch->poll, watch->events_fd);
    if (rc < 0)
        goto out;
    uv_timer_init(loop, &watch->timer);
    watch->poll.data = watch->timer.data = watch;
    watch->open_handles = 2;
    rc = uv_poll_start(&watch->poll, UV_READABLE, on_readable);
    if (rc < 0) {
        np_netwatch_close(watch);
        return rc;
    }
    plan_dump(watch, 0);
    *out_watch = watch;
    return 0;
out:
    release(watch);
    return rc;
}

void np_netwatch_look(struct np_netwatch *watch)
{
    plan_dump(watch, watch->debounce_ms);
}

const struct np_netwatch_stats *np_netwatch_stats(const struct np_netwatch *watch)
{
    return &watch->stats;
}

void np_netwatch_close(struct np_netwatch *watch)
{
    if (!watch || watch->closing)
        return;
    watch->closing = true;
    uv_close((uv_handle_t *)&watch->poll, on_closed);
    uv_close((uv_handle_t *)&watch->timer, on_closed);
}

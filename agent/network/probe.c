#include "agent/network/probe.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "resolver/base/error.h"
#include "resolver/base/random.h"
#include "resolver/message.h"

#define TICK_MS    50
#define PACKET_MAX 4096 /* of an answer; we offer NP_DNS_UDP_MAX, some send more */
#define READS_MAX  16   /* of one socket in one turn of the loop */

/* One question. */
struct item {
    struct np_probe_question question;
    uint16_t id;
    bool edns, over;
    unsigned tries;
    int64_t sent_ms; /* the last try; rtt is counted from it */
};

/* One server's socket. */
struct line {
    uv_poll_t poll;
    struct np_probe *probe;
    size_t index;
    int fd;
    bool polled;
    struct item items[NP_PROBE_ITEMS];
};

struct np_probe {
    uv_timer_t timer;
    unsigned open_handles;
    int64_t begin_ms, deadline_ms;
    np_probe_done_fn *done; /* NULL: cancelled, or called */
    void *ctx;
    struct np_probe_server servers[NP_PROBE_SERVERS_MAX];
    struct line lines[NP_PROBE_SERVERS_MAX];
    size_t count;
    uint8_t packet[PACKET_MAX];
};

static int64_t now_ms(struct np_probe *probe)
{
    return (int64_t)(uv_now(probe->timer.loop));
}

static void on_closed(uv_handle_t *handle)
{
    struct np_probe *probe;
    if (handle->type == UV_TIMER) {
        probe = handle->data;
    } else {
        struct line *line = handle->data;
        probe = line->probe;
        close(line->fd);
    }
    if (--probe->open_handles > 0)
        return;
    if (probe->done)
        probe->done(probe->ctx, probe->servers, probe->count);
    free(probe);
}

static void finish(struct np_probe *probe)
{
    if (uv_is_closing((uv_handle_t *)&probe->timer))
        return;
    uv_close((uv_handle_t *)&probe->timer, on_closed);
    for (size_t i = 0; i < probe->count; i++) {
        if (probe->lines[i].polled)
            uv_close((uv_handle_t *)&probe->lines[i].poll, on_closed);
    }
}

static bool all_over(const struct np_probe *probe)
{
    for (size_t i = 0; i < probe->count; i++) {
        for (int k = 0; k < NP_PROBE_ITEMS; k++) {
            if (!probe->lines[i].items[k].over)
                return false;
        }
    }
    return true;
}

static void unreachable(struct line *line, int error)
{
    struct np_probe_server *server = &line->probe->servers[line->index];
    for (int k = 0; k < NP_PROBE_ITEMS; k++) {
        if (line->items[k].over)
            continue;
        line->items[k].over = true;
        server->answers[k] = (struct np_probe_answer){.state = NP_PROBE_UNREACHABLE, .error = error};
    }
}

static void send_item(struct line *line, struct item *item)
{
    uint8_t query[NP_DNS_UDP_PLAIN];
    bool recursion = line->probe->servers[line->index].role != NP_PROBE_ZONE;
    int len = np_probe_write(&item->question, item->id, recursion, item->edns, query, sizeof query);
    if (len < 0 || line->fd < 0)
        return;
    item->tries++;
    item->sent_ms = now_ms(line->probe);
    if (send(line->fd, query, (size_t)len, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 && errno != EAGAIN && errno != EINTR)
        unreachable(line, -errno);
}

/* A server that knows no EDNS says so, and is asked again without. */
static bool without_edns(struct line *line, struct item *item, const struct np_probe_answer *answer)
{
    if (!item->edns || (answer->rcode != NP_RCODE_FORMERR && answer->rcode != NP_RCODE_NOTIMP))
        return false;
    item->edns = false;
    np_random_bytes(&item->id, sizeof item->id);
    send_item(line, item);
    return true;
}

static void take(struct line *line, const uint8_t *packet, size_t len)
{
    struct np_probe_server *server = &line->probe->servers[line->index];
    for (int k = 0; k < NP_PROBE_ITEMS; k++) {
        struct item *item = &line->items[k];
        struct np_probe_answer answer = {.rtt_ms = now_ms(line->probe) - item->sent_ms};
        if (item->over || !np_probe_read(&item->question, item->id, packet, len, &answer))
            continue;
        if (without_edns(line, item, &answer))
            return;
        server->answers[k] = answer;
        item->over = true;
        return;
    }
}

static void on_readable(uv_poll_t *poll, int status, int events)
{
    struct line *line = poll->data;
    struct np_probe *probe = line->probe;
    (void)events;
    if (status < 0)
        (void)uv_poll_start(poll, UV_READABLE, on_readable); /* an ICMP error stops libuv's watch */
    for (int i = 0; i < READS_MAX; i++) {
        ssize_t n = recv(line->fd, probe->packet, sizeof probe->packet, MSG_DONTWAIT);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno != EAGAIN)
            unreachable(line, -errno);
        if (n < 0)
            break;
        take(line, probe->packet, (size_t)n);
    }
    if (all_over(probe))
        finish(probe);
}

static void on_tick(uv_timer_t *timer)
{
    struct np_probe *probe = timer->data;
    int64_t now = now_ms(probe), after = now - probe->begin_ms;
    for (size_t i = 0; i < probe->count; i++) {
        for (int k = 0; k < NP_PROBE_ITEMS; k++) {
            struct item *item = &probe->lines[i].items[k];
            int64_t due = item->tries == 1 ? NP_PROBE_AGAIN_MS : 3 * NP_PROBE_AGAIN_MS;
            if (!item->over && item->tries < NP_PROBE_TRIES && after >= due)
                send_item(&probe->lines[i], item);
        }
    }
    if (now >= probe->deadline_ms || all_over(probe))
        finish(probe);
}

/* A fresh name below "rebind-test" or "plain-test". */
static int fresh_name(const struct np_probe_names *names, const char *label, struct np_name *out_name)
{
    struct np_name parent;
    char text[17];
    uint8_t nonce[8];
    np_random_bytes(nonce, sizeof nonce);
    for (size_t i = 0; i < sizeof nonce; i++)
        snprintf(text + 2 * i, 3, "%02x", nonce[i]);
    int rc = names->zone.len ? np_name_prepend(label, &names->zone, &parent) : NP_E_MISSING;
    return rc ? rc : np_name_prepend(text, &parent, out_name);
}

static int make_question(const struct np_probe_names *names, enum np_probe_item item, struct np_probe_question *out)
{
    *out = (struct np_probe_question){.name = names->own, .type = NP_RR_A, .class = NP_CLASS_IN};
    switch (item) {
    case NP_PROBE_OWN4:
        return 0;
    case NP_PROBE_OWN6:
        out->type = NP_RR_AAAA;
        return 0;
    case NP_PROBE_REBIND:
        return fresh_name(names, "rebind-test", &out->name);
    case NP_PROBE_PLAIN:
        return fresh_name(names, "plain-test", &out->name);
    default:
        out->type = NP_RR_TXT;
        out->class = NP_CLASS_CHAOS;
        return np_name_parse("version.bind", &out->name);
    }
}

static int open_line(struct np_probe *probe, struct line *line)
{
    struct sockaddr_storage sa;
    socklen_t len = np_endpoint_to_sockaddr(&probe->servers[line->index].server, &sa);
    line->fd = socket(sa.ss_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (line->fd < 0)
        return -errno;
    if (connect(line->fd, (struct sockaddr *)&sa, len) < 0 ||
        uv_poll_init(probe->timer.loop, &line->poll, line->fd) < 0) {
        int rc = errno ? -errno : -EIO;
        close(line->fd);
        line->fd = -1;
        return rc;
    }
    line->poll.data = line;
    line->polled = true;
    probe->open_handles++;
    return uv_poll_start(&line->poll, UV_READABLE, on_readable);
}

static void start_line(struct np_probe *probe, size_t index, const struct np_probe_names *names)
{
    struct line *line = &probe->lines[index];
    struct np_probe_server *server = &probe->servers[index];
    memset(server->answers, 0, sizeof server->answers);
    *line = (struct line){.probe = probe, .index = index, .fd = -1};
    for (int k = 0; k < NP_PROBE_ITEMS; k++) {
        struct item *item = &line->items[k];
        server->asked[k] = server->asked[k] && make_question(names, (enum np_probe_item)k, &item->question) == 0;
        item->over = !server->asked[k];
        item->edns = true;
        np_random_bytes(&item->id, sizeof item->id);
    }
    int rc = open_line(probe, line);
    if (rc)
        unreachable(line, rc);
    for (int k = 0; k < NP_PROBE_ITEMS; k++) {
        if (!line->items[k].over)
            send_item(line, &line->items[k]);
    }
}

int np_probe_start(uv_loop_t *loop, const struct np_probe_names *names, const struct np_probe_server *servers,
                   size_t count, unsigned deadline_ms, np_probe_done_fn *done, void *ctx, struct np_probe **out_probe)
{
    if (count == 0 || count > NP_PROBE_SERVERS_MAX)
        return NP_E_LIMIT;
    struct np_probe *probe = calloc(1, sizeof *probe);
    if (!probe)
        return -ENOMEM;
    uv_timer_init(loop, &probe->timer);
    uv_update_time(loop);
    probe->timer.data = probe;
    probe->open_handles = 1;
    probe->done = done;
    probe->ctx = ctx;
    probe->begin_ms = now_ms(probe);
    probe->deadline_ms = probe->begin_ms + (deadline_ms ? deadline_ms : NP_PROBE_DEADLINE_MS);
    memcpy(probe->servers, servers, count * sizeof *servers);
    probe->count = count;
    for (size_t i = 0; i < count; i++)
        start_line(probe, i, names);
    uv_timer_start(&probe->timer, on_tick, TICK_MS, TICK_MS);
    *out_probe = probe;
    return 0;
}

void np_probe_cancel(struct np_probe *probe)
{
    if (!probe)
        return;
    probe->done = NULL;
    finish(probe);
}

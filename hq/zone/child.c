/* The DNS child of HQ: sockets, the table and the answers; no keys, no files, nothing but what comes over descriptor 3.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "hq/zone/answer.h"
#include "hq/zone/feed.h"
#include "resolver/base/error.h"
#include "resolver/base/log.h"
#include "resolver/base/random.h"
#include "resolver/base/sandbox.h"
#include "resolver/server.h"

#define FRAMES_A_TURN 4     /* so that a long snapshot does not keep queries waiting */
#define LIMITED_MS    60000 /* between two log lines about limited responses */

struct child {
    uv_loop_t loop;
    uv_poll_t channel;
    struct np_server *server;
    struct np_zone_view view;
    struct np_table *table;   /* being served */
    struct np_table *loading; /* a snapshot that is not complete yet: served if there is no other; NULL: none */
    bool configured, ready;
    struct np_rrl *rrl; /* NULL: unlimited */
    uint64_t hash_key;
    unsigned limited; /* responses since the last log line */
    int64_t told_ms;
    int exit_code;
    uint8_t buffer[NP_CHANNEL_FRAME_MAX + 4];
};

/* Somebody asks too much, or somebody forges his address. */
static void tell_limited(struct child *child, const struct np_addr *client, int64_t now_ms)
{
    char text[NP_ADDR_TEXT_MAX];
    child->limited++;
    if (child->told_ms && now_ms - child->told_ms < LIMITED_MS)
        return;
    struct np_prefix network = np_prefix_of(client, client->family == AF_INET ? NP_RRL_V4_PREFIX : NP_RRL_V6_PREFIX);
    np_warning(
        "rate limit: %u responses were not sent, the last one to %s: asking too much, or a victim whose address is "
        "forged (dns-rate-limit)",
        child->limited, np_prefix_format(&network, text));
    child->told_ms = now_ms;
    child->limited = 0;
}

static long serve(void *ctx, const struct np_ticket *ticket, const uint8_t *packet, size_t len, uint8_t *out,
                  size_t size)
{
    struct child *child = ctx;
    struct np_zone_class class;
    if (!child->view.table)
        return 0; /* the first batch brings it, and the serials */
    size_t answer = np_zone_answer(&child->view, packet, len, ticket->client.tcp, out, size, &class);
    if (answer == 0 || ticket->client.tcp || !child->rrl)
        return (long)answer;
    int64_t now_ms = (int64_t)uv_now(&child->loop);
    switch (np_rrl_judge(child->rrl, &ticket->client.remote.addr, class.kind, class.subject, now_ms)) {
    case NP_RRL_PASS:
        return (long)answer;
    case NP_RRL_SLIP_TC:
        tell_limited(child, &ticket->client.remote.addr, now_ms);
        return (long)np_zone_answer_truncated(packet, len, out, size);
    default:
        tell_limited(child, &ticket->client.remote.addr, now_ms);
        return 0;
    }
}

static void stop(struct child *child, int exit_code)
{
    child->exit_code = exit_code;
    uv_poll_stop(&child->channel); /* an end of file stays readable: it would stop the loop again while it tidies up */
    uv_stop(&child->loop);
}

static int configure(struct child *child, const struct np_frame *frame)
{
    struct np_feed_setup setup;
    struct np_zone_view view;
    if (frame->len != sizeof setup)
        return NP_E_MALFORMED;
    memcpy(&setup, frame->payload, sizeof setup);
    for (size_t i = 0; i < NP_ZONE_CAA_MAX; i++)
        setup.accounts.url[i][NP_ZONE_CAA_LEN] = 0;
    int rc = np_zone_view_init(&view, &setup.config, &setup.accounts);
    if (rc == 0 && setup.config.rate_limit && !child->rrl)
        rc = np_rrl_new(setup.config.rate_limit, child->hash_key, &child->rrl);
    if (rc)
        return rc;
    view.hash_key = child->hash_key;
    view.serial = child->view.serial;
    view.challenge_serial = child->view.challenge_serial;
    view.table = child->view.table;
    view.loading = child->view.loading;
    child->view = view;
    child->configured = true;
    return 0;
}

static int add_listeners(struct child *child, struct np_frame *frame)
{
    if (frame->len != frame->fd_count)
        return NP_E_MALFORMED;
    for (size_t i = 0; i < frame->fd_count; i++) {
        int rc = np_server_add(child->server, frame->fds[i], frame->payload[i] != 0);
        if (rc)
            return rc;
        frame->fds[i] = -1;
    }
    return 0;
}

static int new_table(struct np_table **out_table)
{
    uint64_t key;
    np_random_bytes(&key, sizeof key);
    return np_table_new(key, out_table);
}

static int start_loading(struct child *child)
{
    if (child->view.table == child->loading)
        child->view.table = NULL;
    np_table_free(child->loading);
    child->loading = NULL;
    int rc = new_table(&child->loading);
    if (rc == 0 && !child->ready) {
        child->view.table = child->loading; /* what is there already is better than nothing */
        child->view.loading = true;
    }
    return rc;
}

/* A batch goes live whole: the loop serves no query in between. */
static int apply(struct child *child, const struct np_frame *frame)
{
    struct np_reader r = np_reader_make(frame->payload, frame->len);
    struct np_feed_head head;
    int rc = np_feed_read_head(&r, &head);
    if (rc == 0 && (head.flags & NP_FEED_RESET))
        rc = start_loading(child);
    if (rc == 0)
        rc = np_feed_apply(&r, child->loading ? child->loading : child->table);
    if (rc)
        return rc;
    if (head.flags & NP_FEED_LIVE && child->loading) {
        np_table_free(child->table);
        child->table = child->loading;
        child->loading = NULL;
        child->view.table = child->table;
        child->view.loading = false;
        np_info("%zu names in %zu KiB, serial %u", np_table_count(child->table), np_table_bytes(child->table) / 1024,
                (unsigned)head.serial);
    }
    if (child->view.table == (child->loading ? child->loading : child->table)) {
        child->view.serial = head.serial;
        child->view.challenge_serial = head.challenge_serial;
    }
    if (head.flags & NP_FEED_LIVE && !child->ready) {
        child->ready = true;
        rc = np_channel_send(NP_CHANNEL_FD, NP_FEED_REDY, NULL, 0, NULL, 0);
        if (rc)
            return rc;
    }
    uint8_t ack[8];
    struct np_writer w = np_writer_make(ack, sizeof ack);
    np_write_u64(&w, head.batch);
    return np_channel_send(NP_CHANNEL_FD, NP_FEED_ACKN, ack, sizeof ack, NULL, 0);
}

static int take_frame(struct child *child, struct np_frame *frame)
{
    if (frame->type == NP_FEED_CONF)
        return configure(child, frame);
    if (frame->type == NP_FEED_LSTN)
        return add_listeners(child, frame);
    if (frame->type == NP_FEED_DATA)
        return child->configured ? apply(child, frame) : NP_E_MALFORMED;
    return 0;
}

static void on_channel(uv_poll_t *poll, int status, int events)
{
    struct child *child = poll->data;
    (void)status;
    (void)events;
    for (int i = 0; i < FRAMES_A_TURN; i++) {
        struct np_frame frame;
        int rc = np_channel_receive(NP_CHANNEL_FD, child->buffer, sizeof child->buffer, &frame);
        if (rc == -EAGAIN)
            return;
        if (rc == NP_E_CLOSED) {
            stop(child, 0);
            return;
        }
        if (rc == 0) {
            rc = take_frame(child, &frame);
            np_frame_close_fds(&frame);
        }
        if (rc) {
            /* The parent starts us again with a whole snapshot: better than to serve a zone that is not known. */
            np_error("channel: %s", np_strerror(rc));
            stop(child, rc == NP_E_CLOSED ? 0 : 1);
            return;
        }
    }
}

/* Nothing of what is done here needs a file, a program, or anybody to be asked: sockets come over the channel. */
static int enter_sandbox(void)
{
    struct np_sandbox_report report;
    char text[NP_SANDBOX_TEXT_MAX];
    int rc = np_sandbox_enter(NP_SANDBOX_DNS, &report);
    if (rc)
        np_error("sandbox: %s", np_strerror(rc));
    else if (report.landlock < 0 || report.seccomp < 0)
        np_warning("this kernel has no whole sandbox: %s", np_sandbox_format(&report, text));
    return rc;
}

static void on_server_closed(void *ctx)
{
    struct child *child = ctx;
    uv_close((uv_handle_t *)&child->channel, NULL);
}

int np_zone_child_main(void)
{
    np_log_init("nameplate-hq[dns]", NP_LOG_INFO);
    if (enter_sandbox())
        return 1;
    struct child *child = calloc(1, sizeof *child);
    if (!child)
        return 1;
    signal(SIGPIPE, SIG_IGN);
    uv_loop_init(&child->loop);
    np_random_bytes(&child->hash_key, sizeof child->hash_key);
    int rc = new_table(&child->table);
    if (rc == 0)
        rc = np_server_new(&child->loop, serve, NULL, child, &child->server);
    if (rc == 0)
        rc = uv_poll_init(&child->loop, &child->channel, NP_CHANNEL_FD);
    if (rc) {
        np_error("%s", np_strerror(rc));
        return 1; /* descriptor 3 is missing, or memory: the process ends, nothing to tidy */
    }
    child->channel.data = child;
    uv_poll_start(&child->channel, UV_READABLE | UV_DISCONNECT, on_channel);
    uv_run(&child->loop, UV_RUN_DEFAULT);
    np_server_close(child->server, on_server_closed, child);
    uv_run(&child->loop, UV_RUN_DEFAULT);
    uv_loop_close(&child->loop);
    np_rrl_free(child->rrl);
    np_table_free(child->loading);
    np_table_free(child->table);
    rc = child->exit_code;
    free(child);
    return rc;
}

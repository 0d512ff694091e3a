#include "hq/zone/check.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "hq/zone/feed.h"
#include "resolver/base/error.h"
#include "resolver/base/log.h"
#include "resolver/base/random.h"

#define CHAIN_MAX 8 /* CNAMEs in one answer */

/* ---- The pure core ---- */

void np_check_init(struct np_check *check, size_t count, struct np_check_health *health, int64_t now_ms)
{
    memset(check, 0, sizeof *check);
    check->count = count < NP_CHECK_SERVERS_MAX ? count : NP_CHECK_SERVERS_MAX;
    check->health = health;
    for (size_t i = 0; i < check->count; i++) {
        check->servers[i].values = true;
        check->servers[i].next_ms = now_ms;
        check->servers[i].pause_ms = NP_CHECK_PAUSE_FIRST_MS;
    }
}

long np_check_next(struct np_check *check, int64_t now_ms)
{
    for (size_t i = 0; i < check->count; i++) {
        struct np_check_server *server = &check->servers[i];
        if (!server->confirmed && !server->asking && server->next_ms <= now_ms) {
            server->asking = true;
            return (long)i;
        }
    }
    return -1;
}

static int64_t skip_ms(const struct np_check_health *health)
{
    return health->skip_ms > 0 ? health->skip_ms : NP_CHECK_SKIP_MS;
}

/* Notes in health whether the server fails. Returns whether it is to be left out. */
static bool note_failure(struct np_check_health *health, size_t index, bool failed, int64_t now_ms)
{
    bool known = health->servers[index].failing && now_ms - health->servers[index].last_ms < NP_CHECK_FORGET_MS;
    health->servers[index].failing = failed;
    health->servers[index].last_ms = now_ms;
    if (!failed)
        return false;
    if (!known)
        health->servers[index].since_ms = now_ms;
    return now_ms - health->servers[index].since_ms >= skip_ms(health);
}

int np_check_take(struct np_check *check, size_t index, enum np_check_result result, int64_t now_ms)
{
    struct np_check_server *server = &check->servers[index];
    struct np_check_health *health = check->health;
    server->asking = false;
    server->next_ms = now_ms;
    if (result != NP_CHECK_FOLLOW) {
        server->next_ms += server->pause_ms;
        server->pause_ms = server->pause_ms * 2 > NP_CHECK_PAUSE_CAP_MS ? NP_CHECK_PAUSE_CAP_MS : server->pause_ms * 2;
    }
    server->confirmed = result == NP_CHECK_SHOWN;
    server->skipped = note_failure(health, index, result == NP_CHECK_FAILED, now_ms); /* but asked on: all may fail */
    if (server->skipped == health->servers[index].told || (result == NP_CHECK_FAILED && !server->skipped))
        return 0;
    health->servers[index].told = server->skipped;
    return server->skipped ? 1 : -1;
}

bool np_check_done(const struct np_check *check)
{
    size_t confirmed = 0;
    for (size_t i = 0; i < check->count; i++) {
        if (check->servers[i].confirmed)
            confirmed += check->servers[i].values;
        else if (!check->servers[i].skipped)
            return false;
    }
    return confirmed > 0;
}

int64_t np_check_due_ms(const struct np_check *check)
{
    int64_t due_ms = INT64_MAX;
    for (size_t i = 0; i < check->count; i++) {
        const struct np_check_server *server = &check->servers[i];
        if (!server->confirmed && !server->asking && server->next_ms < due_ms)
            due_ms = server->next_ms;
    }
    return due_ms;
}

/* Marks which of the values the rdata of a TXT record is. A value may be cut into several character-strings. */
static void mark_value(struct np_reader rdata, const char values[NP_ZONE_TXT_MAX][NP_ZONE_TXT_LEN + 1], size_t count,
                       bool seen[NP_ZONE_TXT_MAX])
{
    char text[NP_ZONE_TXT_LEN + 1] = "";
    size_t len = 0;
    while (np_reader_left(&rdata) > 0) {
        uint8_t n = np_read_u8(&rdata);
        const uint8_t *part = np_read_bytes(&rdata, n);
        if (!part || len + n > NP_ZONE_TXT_LEN)
            return;
        memcpy(text + len, part, n);
        len += n;
    }
    for (size_t i = 0; i < count; i++)
        seen[i] = seen[i] || (len == NP_ZONE_TXT_LEN && memcmp(values[i], text, len) == 0);
}

/* The record of that type and owner in the answer section, after the first `skip` ones. */
static bool find_record(const uint8_t *message, size_t len, const struct np_name *owner, uint16_t type, size_t skip,
                        struct np_rr *out_rr)
{
    struct np_walk walk;
    if (np_walk_start(&walk, message, len))
        return false;
    while (np_walk_next(&walk, out_rr) == 1 && out_rr->section == NP_SECTION_ANSWER) {
        if (out_rr->class == NP_CLASS_IN && out_rr->type == type && np_name_equal(&out_rr->owner, owner) && skip-- == 0)
            return true;
    }
    return false;
}

enum np_check_result np_check_judge(const uint8_t *message, size_t len, const struct np_name *name,
                                    const char values[NP_ZONE_TXT_MAX][NP_ZONE_TXT_LEN + 1], size_t value_count,
                                    struct np_name *out_target)
{
    struct np_walk walk;
    struct np_rr rr;
    struct np_name owner = *name;
    bool seen[NP_ZONE_TXT_MAX] = {false};
    out_target->len = 0;
    if (np_walk_start(&walk, message, len) || !(walk.flags & NP_FLAG_QR) || !np_name_equal(&walk.qname, name) ||
        walk.qtype != NP_RR_TXT)
        return NP_CHECK_FAILED;
    unsigned rcode = walk.flags & 15u;
    if ((rcode != NP_RCODE_NOERROR && rcode != NP_RCODE_NXDOMAIN) || (walk.flags & NP_FLAG_TC))
        return NP_CHECK_FAILED;
    for (int hop = 0; hop < CHAIN_MAX && find_record(message, len, &owner, NP_RR_CNAME, 0, &rr); hop++) {
        struct np_reader r = np_reader_make(message, len);
        np_read_seek(&r, rr.rdata_pos);
        np_name_read(&r, &owner);
        if (r.error)
            return NP_CHECK_FAILED;
    }
    bool any = false, all = value_count > 0;
    for (size_t i = 0; find_record(message, len, &owner, NP_RR_TXT, i, &rr); i++) {
        struct np_reader r = np_reader_make(message, len);
        np_read_seek(&r, rr.rdata_pos);
        mark_value(np_read_sub(&r, rr.rdata_len), values, value_count, seen);
        any = true;
    }
    for (size_t i = 0; i < value_count; i++)
        all = all && seen[i];
    if (any || np_name_equal(&owner, name))
        return all ? NP_CHECK_SHOWN : NP_CHECK_ABSENT;
    *out_target = owner;
    return NP_CHECK_FOLLOW;
}

/* ---- The shell ---- */

struct server {
    struct np_endpoint endpoint;
    char name[NP_NAME_MAX + 1];
    struct np_name first; /* what is asked there first */
    struct np_name qname; /* what is asked next: that, or the end of its CNAME chain */
    unsigned follows;     /* in a row */
    struct question *question;
};

struct np_txt_check {
    uv_loop_t *loop;
    struct np_check core;
    struct server servers[NP_CHECK_SERVERS_MAX];
    struct np_name name, target; /* _acme-challenge.<device>, and where its CNAME leads */
    char values[NP_ZONE_TXT_MAX][NP_ZONE_TXT_LEN + 1];
    size_t value_count;
    uv_timer_t timer;
    void (*done)(void *ctx);
    void *ctx;
};

/* One question under way; it frees itself once its two handles are closed. */
struct question {
    struct np_txt_check *check; /* NULL: over */
    size_t index;
    uint16_t id;
    uv_udp_t udp;
    uv_timer_t timeout;
    unsigned open_handles;
    uint8_t buffer[NP_DNS_UDP_MAX];
};

static void advance(struct np_txt_check *check);

static void on_question_closed(uv_handle_t *handle)
{
    struct question *question = handle->data;
    if (--question->open_handles == 0)
        free(question);
}

static void end_question(struct question *question)
{
    question->check->servers[question->index].question = NULL;
    question->check = NULL;
    uv_close((uv_handle_t *)&question->udp, on_question_closed);
    uv_close((uv_handle_t *)&question->timeout, on_question_closed);
}

static void conclude(struct question *question, enum np_check_result result)
{
    struct np_txt_check *check = question->check;
    size_t index = question->index;
    end_question(question);
    int told = np_check_take(&check->core, index, result, (int64_t)uv_now(check->loop));
    if (told > 0)
        np_error("zone: name server %s has not answered for %lld s: challenges go on without it",
                 check->servers[index].name, (long long)skip_ms(check->core.health) / 1000);
    if (told < 0)
        np_notice("zone: name server %s answers again", check->servers[index].name);
    advance(check);
}

static void on_timeout(uv_timer_t *timer)
{
    conclude(timer->data, NP_CHECK_FAILED);
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    struct question *question = handle->data;
    (void)suggested;
    *buf = uv_buf_init((char *)question->buffer, sizeof question->buffer);
}

static void on_answer(uv_udp_t *udp, ssize_t n, const uv_buf_t *buf, const struct sockaddr *from, unsigned flags)
{
    struct question *question = udp->data;
    struct np_name target;
    (void)buf;
    if (!question->check || (n == 0 && !from))
        return;
    if (n < 0) {
        conclude(question, NP_CHECK_FAILED);
        return;
    }
    /* The socket is connected, so the source is right; a wrong ID is a forgery or a late answer. */
    struct np_reader r = np_reader_make(question->buffer, (size_t)n);
    if (np_read_u16(&r) != question->id || (flags & UV_UDP_PARTIAL))
        return;
    struct np_txt_check *check = question->check;
    struct server *server = &check->servers[question->index];
    enum np_check_result result =
        np_check_judge(question->buffer, (size_t)n, &server->qname, check->values, check->value_count, &target);
    if (!check->core.servers[question->index].values && result == NP_CHECK_FOLLOW)
        result = np_name_equal(&target, &check->target) ? NP_CHECK_SHOWN : NP_CHECK_ABSENT;
    if (result == NP_CHECK_FOLLOW && ++server->follows > CHAIN_MAX)
        result = NP_CHECK_ABSENT; /* CNAMEs in a circle */
    if (result != NP_CHECK_FOLLOW)
        server->follows = 0;
    /* A chain into another zone: ask for its end; when that is not there, begin at the front again. */
    server->qname = result == NP_CHECK_FOLLOW ? target : server->first;
    conclude(question, result);
}

static int send_question(struct question *question, const struct server *server)
{
    uint8_t packet[NP_DNS_UDP_PLAIN];
    struct sockaddr_storage sa;
    int rc = NP_E_DNS;
    if (np_endpoint_to_sockaddr(&server->endpoint, &sa))
        rc = uv_udp_connect(&question->udp, (const struct sockaddr *)&sa);
    if (rc == 0)
        rc = uv_udp_recv_start(&question->udp, on_alloc, on_answer);
    if (rc)
        return rc;
    np_random_bytes(&question->id, sizeof question->id);
    rc = np_query_write(packet, sizeof packet, question->id, 0, &server->qname, NP_RR_TXT, true, false);
    if (rc < 0)
        return rc;
    uv_buf_t buf = uv_buf_init((char *)packet, (unsigned)rc);
    rc = uv_udp_try_send(&question->udp, &buf, 1, NULL);
    return rc < 0 ? rc : 0;
}

/* A question that cannot be sent times out at once; never concluded from here, so that advance is not entered twice. */
static void ask(struct np_txt_check *check, size_t index)
{
    struct server *server = &check->servers[index];
    struct question *question = calloc(1, sizeof *question);
    if (!question) {
        np_check_take(&check->core, index, NP_CHECK_FAILED, (int64_t)uv_now(check->loop));
        return;
    }
    question->check = check;
    question->index = index;
    question->open_handles = 2;
    uv_udp_init(check->loop, &question->udp);
    uv_timer_init(check->loop, &question->timeout);
    question->udp.data = question->timeout.data = question;
    server->question = question;
    int rc = send_question(question, server);
    uv_timer_start(&question->timeout, on_timeout, rc ? 0 : NP_CHECK_TIMEOUT_MS, 0);
}

static void on_check_closed(uv_handle_t *handle)
{
    free(handle->data);
}

void np_txt_check_cancel(struct np_txt_check *check)
{
    for (size_t i = 0; i < check->core.count; i++) {
        if (check->servers[i].question)
            end_question(check->servers[i].question);
    }
    uv_close((uv_handle_t *)&check->timer, on_check_closed);
}

static void on_due(uv_timer_t *timer)
{
    advance(timer->data);
}

static void advance(struct np_txt_check *check)
{
    int64_t now_ms = (int64_t)uv_now(check->loop);
    long index;
    if (np_check_done(&check->core)) {
        void (*done)(void *ctx) = check->done;
        void *ctx = check->ctx;
        np_txt_check_cancel(check);
        done(ctx);
        return;
    }
    while ((index = np_check_next(&check->core, now_ms)) >= 0)
        ask(check, (size_t)index);
    int64_t due_ms = np_check_due_ms(&check->core);
    if (due_ms != INT64_MAX)
        uv_timer_start(&check->timer, on_due, due_ms > now_ms ? (uint64_t)(due_ms - now_ms) : 0, 0);
}

static void add_server(struct np_txt_check *check, const struct np_zone_nameserver *nameserver, bool values,
                       const struct np_name *first)
{
    struct server *server = &check->servers[check->core.count];
    server->endpoint = nameserver->address;
    server->first = server->qname = *first;
    memcpy(server->name, nameserver->name, sizeof server->name);
    check->core.servers[check->core.count++].values = values;
}

/* All that are to be asked. Where the challenge zone has servers of its own, the device zone's have only the CNAME. */
static void add_servers(struct np_txt_check *check, const struct np_zone_config *config)
{
    check->core.count = 0;
    for (size_t i = 0; i < config->nameserver_count; i++)
        add_server(check, &config->nameservers[i], config->challenge_nameserver_count == 0, &check->name);
    for (size_t i = 0; i < config->challenge_nameserver_count; i++)
        add_server(check, &config->challenge_nameservers[i], true, &check->target);
}

/* The two names that are asked for. */
static int make_names(const char *name, const char *origin, struct np_name *out_name, struct np_name *out_target)
{
    struct np_name device, zone, challenge;
    char label[NP_TABLE_LABEL_MAX + 1];
    size_t len = np_feed_label(origin, name);
    if (len == 0 || np_name_parse(name, &device) || np_name_parse(origin, &zone) ||
        np_name_prepend("_acme-challenge", &device, out_name) || np_name_prepend("acme", &zone, &challenge))
        return NP_E_NAME;
    memcpy(label, name, len);
    label[len] = 0;
    return np_name_prepend(label, &challenge, out_target) ? NP_E_NAME : 0;
}

int np_txt_check_start(uv_loop_t *loop, struct np_zone *zone, const char *name,
                       const char values[NP_ZONE_TXT_MAX][NP_ZONE_TXT_LEN + 1], size_t value_count,
                       void (*done)(void *ctx), void *ctx, struct np_txt_check **out_check)
{
    const struct np_zone_config *config = np_zone_settings(zone);
    struct np_txt_check *check = calloc(1, sizeof *check);
    if (!check)
        return -ENOMEM;
    if (make_names(name, config->origin, &check->name, &check->target) || value_count > NP_ZONE_TXT_MAX) {
        free(check);
        return NP_E_NAME;
    }
    check->loop = loop;
    check->done = done;
    check->ctx = ctx;
    check->value_count = value_count;
    memcpy(check->values, values, value_count * sizeof values[0]);
    np_check_init(&check->core, NP_CHECK_SERVERS_MAX, np_zone_health(zone), (int64_t)uv_now(loop));
    add_servers(check, config);
    uv_timer_init(loop, &check->timer);
    check->timer.data = check;
    uv_timer_start(&check->timer, on_due, 0, 0);
    *out_check = check;
    return 0;
}

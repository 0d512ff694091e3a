#include "tests/bench/fleet/box.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "resolver/base/error.h"
#include "resolver/base/random.h"
#include "tests/bench/fleet/crypto.h"

#define SOURCES       0x7f400000u /* 127.64.0.0/10: the boxes' side of the Internet, one address each */
#define STEPS_MAX     100         /* events at one moment: more is a circle */
#define REQUEST_EXTRA 1024        /* bytes of a request's head */

static void step(struct box *box, const struct np_enrol_event *event);
static void send_now(struct box *box);

uint64_t box_now_us(void)
{
    return uv_hrtime() / 1000 + 1;
}

static uint32_t below(void *ctx, uint32_t bound)
{
    (void)ctx;
    return np_random_below(bound);
}

static int64_t now_ms(const struct box *box)
{
    return (int64_t)uv_now(box->shared->loop);
}

static void reach(struct box *box, enum milestone milestone)
{
    box->seen[milestone]++;
    box->shared->reached(box->shared->ctx, box, milestone);
}

/* ---- One request ---- */

static void forget_request(struct box *box)
{
    free(box->request);
    free(box->parser);
    box->request = NULL;
    box->parser = NULL;
    box->sent_us = 0;
}

static void fail_request(struct box *box, int err)
{
    char reason[NP_ENROL_REASON_MAX];
    snprintf(reason, sizeof reason, "HQ: %s", err ? np_strerror(err) : "the connection was closed");
    box->shared->requests[box->kind].failed++;
    forget_request(box);
    struct np_enrol_event event = {.type = NP_EVENT_FAILED, .rc = err ? err : NP_E_CLOSED, .reason = reason};
    step(box, &event);
}

/* What HQ has now. */
static void look_at_answer(struct box *box, const struct np_response *r)
{
    if (r->request == NP_REQUEST_ENROL && r->rc == 0 && (r->status == 200 || r->status == 201)) {
        box->shown = box->addresses;
        reach(box, BOX_NAMED);
    } else if (r->request == NP_REQUEST_CSR && r->status == 202) {
        reach(box, BOX_CSR_TAKEN);
    } else if (r->request == NP_REQUEST_ADDRESSES && r->status == 200) {
        box->shown = box->in_flight.addresses;
        reach(box, BOX_PUSHED);
    } else if (r->request == NP_REQUEST_CHECKIN && r->status == 200) {
        reach(box, BOX_CHECKED_IN);
    }
}

static void on_answer(struct box *box)
{
    struct fleet_shared *shared = box->shared;
    const struct np_http_response *http = &box->parser->response;
    struct tally_requests *tally = &shared->requests[box->kind];
    struct np_exchange_headers headers = {
        .nonce = http->nonce, .etag = http->etag, .retry_after_s = http->retry_after_s};
    tally_add(&tally->times, box_now_us() - box->sent_us);
    tally->statuses[http->status > 0 && http->status < TALLY_STATUS_MAX ? http->status : 0]++;
    np_exchange_parse(box->kind, http->status, &headers, http->body, http->body_len, &shared->response);
    if (http->status == 429 || http->status == 503)
        box->not_before_ms[box->kind] = now_ms(box) + http->retry_after_s * 1000;
    if (!http->keep_alive) {
        link_close(box->link);
        box->link = NULL;
    }
    forget_request(box);
    look_at_answer(box, &shared->response);
    struct np_enrol_event event = {.type = NP_EVENT_RESPONSE, .response = &shared->response};
    step(box, &event);
}

static void on_data(void *ctx, const uint8_t *data, size_t len)
{
    struct box *box = ctx;
    size_t used;
    if (!box->parser)
        return;
    box->heard = true;
    int rc = np_http_parser_feed(box->parser, data, len, &used);
    if (rc == 1)
        on_answer(box);
    if (rc >= 0)
        return;
    link_close(box->link);
    box->link = NULL;
    fail_request(box, rc);
}

/* A kept connection may have died before a byte of the answer came: then, as the agent, once more on a fresh one. */
static void on_ended(void *ctx, int err)
{
    struct box *box = ctx;
    box->link = NULL;
    if (!box->sent_us)
        return;
    box->shared->connections_lost++;
    if (!box->fresh && !box->heard)
        send_now(box);
    else
        fail_request(box, err);
}

static void send_now(struct box *box)
{
    static const struct link_events events = {.data = on_data, .ended = on_ended};
    struct fleet_shared *shared = box->shared;
    box->fresh = !box->link;
    box->heard = false;
    if (!box->link) {
        shared->connections++;
        box->link = link_open(shared->loop, &shared->target, htonl(SOURCES + box->number), &events, box);
    }
    if (box->link)
        link_send(box->link, box->request, box->request_len);
    else
        fail_request(box, NP_E_LIMIT);
}

/* The request as bytes; what agent/tls/hqclient writes. */
static void write_request(struct box *box, const struct np_exchange *x)
{
    size_t room = REQUEST_EXTRA + x->body_len;
    box->request = malloc(room);
    if (!box->request)
        abort();
    int n =
        snprintf(box->request, room, "%s %s HTTP/1.1\r\nHost: %s\r\n%s%s%s%s%s%s", x->method, x->path,
                 box->shared->target.host, x->bearer[0] ? "Authorization: Bearer " : "", x->bearer,
                 x->bearer[0] ? "\r\n" : "", x->etag[0] ? "If-None-Match: " : "", x->etag, x->etag[0] ? "\r\n" : "");
    if (x->content_type)
        n += snprintf(box->request + n, room - (size_t)n, "Content-Type: %s\r\nContent-Length: %zu\r\n\r\n%s",
                      x->content_type, x->body_len, x->body);
    else
        n += snprintf(box->request + n, room - (size_t)n, "\r\n");
    if (n < 0 || (size_t)n >= room)
        abort();
    box->request_len = (size_t)n;
}

/* Sends what the action asks for; false with the event where that fails at once. */
static bool send_request(struct box *box, const struct np_enrol_action *action)
{
    struct np_exchange x;
    if (np_exchange_build(&box->self, &box->state, np_enrol_bearer(&box->enrol), action, &x))
        return false;
    box->kind = action->request;
    box->in_flight = action->addresses;
    box->shared->requests[box->kind].early += now_ms(box) < box->not_before_ms[box->kind];
    write_request(box, &x);
    box->parser = malloc(sizeof *box->parser);
    if (!box->parser)
        abort();
    np_http_parser_init(box->parser, strcmp(x.method, "HEAD") == 0);
    np_exchange_free(&x);
    box->sent_us = box_now_us();
    return true;
}

/* ---- The machine ---- */

static void make_identity(struct box *box)
{
    np_random_bytes(box->state.epoch, sizeof box->state.epoch);
    np_random_bytes(box->state.token, sizeof box->state.token);
    box->state.has_identity = true; /* the key is there since box_init */
}

static void make_key(struct box *box)
{
    box->state.next = box->tls_key;
    box->state.has_next = true;
    if (fleet_make_key(&box->tls_key))
        abort();
}

/* As in agent/agent_hq.c: the key of the CSR under way, then the key in use. */
static void check_package(struct box *box, char why[NP_PACKAGE_WHY_MAX], struct np_enrol_event *out_event)
{
    struct fleet_shared *shared = box->shared;
    const struct np_state *state = &box->state;
    const char *pem = shared->response.package.chain;
    struct np_package_wanted wanted = {.names = state->san, .name_count = state->san_count, .now_s = time(NULL)};
    struct np_enrol_event event = {.type = NP_EVENT_CHECKED,
                                   .rc = NP_E_KEY,
                                   .reason = why,
                                   .response = &shared->response,
                                   .package = &shared->package,
                                   .from_next = true};
    snprintf(why, NP_PACKAGE_WHY_MAX, "there is no key that it could be for");
    if (state->has_next) {
        wanted.key = &state->next.public;
        event.rc = np_package_check(pem, strlen(pem), &wanted, &shared->package, why);
    }
    if (event.rc == NP_E_KEY && state->has_chain) {
        wanted.key = &state->tls.public;
        event.rc = np_package_check(pem, strlen(pem), &wanted, &shared->package, why);
        event.from_next = false;
    }
    *out_event = event;
}

/* Carries an action out, as agent/agent_hq.c. True with the event that ends it. */
static bool act(struct box *box, const struct np_enrol_action *action, char why[NP_PACKAGE_WHY_MAX],
                struct np_enrol_event *out_event)
{
    *out_event = (struct np_enrol_event){.type = NP_EVENT_MADE};
    switch (action->type) {
    case NP_ACTION_NONE:
        return false;
    case NP_ACTION_MAKE_IDENTITY:
        make_identity(box);
        return true;
    case NP_ACTION_MAKE_KEY:
        make_key(box);
        return true;
    case NP_ACTION_STORE:
        out_event->type = NP_EVENT_STORED;
        return true;
    case NP_ACTION_SEND:
        if (send_request(box, action))
            return false;
        *out_event =
            (struct np_enrol_event){.type = NP_EVENT_FAILED, .rc = NP_E_LIMIT, .reason = "it cannot be written"};
        return true;
    case NP_ACTION_CHECK:
        check_package(box, why, out_event);
        return true;
    case NP_ACTION_INSTALL:
        reach(box, BOX_INSTALLED);
        out_event->type = NP_EVENT_TIMER;
        return true;
    case NP_ACTION_ASK_ZONE: /* answered by the timer, from what HQ was heard to have: as the zone would */
        box->asked_zone = true;
        out_event->type = NP_EVENT_TIMER;
        return true;
    case NP_ACTION_FORGET:
        out_event->type = NP_EVENT_TIMER;
        return true;
    }
    return false;
}

static void on_timer(uv_timer_t *timer);

/* The earliest of what the box waits for. */
static void arm(struct box *box)
{
    int64_t at_ms = np_enrol_due(&box->enrol), now = now_ms(box);
    if (box->sent_us && now + BOX_ANSWER_MS < at_ms)
        at_ms = now + BOX_ANSWER_MS;
    if (box->asked_zone)
        at_ms = now;
    if (at_ms == NP_JOB_NEVER)
        uv_timer_stop(&box->timer);
    else
        uv_timer_start(&box->timer, on_timer, at_ms > now ? (uint64_t)(at_ms - now) : 0, 0);
}

static void step(struct box *box, const struct np_enrol_event *event)
{
    struct np_enrol_action action;
    struct np_enrol_event next = *event;
    char why[NP_PACKAGE_WHY_MAX];
    unsigned steps = 0;
    bool had_request = box->sent_us != 0;
    do {
        struct np_enrol_time now = {.now_ms = now_ms(box), .judged_s = time(NULL)};
        if (++steps > STEPS_MAX) {
            fprintf(stderr, "fleet: box %u goes round in a circle\n", box->number);
            abort();
        }
        np_enrol_step(&box->enrol, &now, &next, &action);
    } while (act(box, &action, why, &next));
    if (box->sent_us && !had_request)
        send_now(box);
    arm(box);
}

static void boot(struct box *box)
{
    box->boots = false;
    box->on = true;
    if (!box->begun_us)
        box->begun_us = box_now_us();
    np_enrol_init(&box->enrol, &box->state, false, below, NULL);
    np_enrol_ask_zone_first(&box->enrol);
    step(box, &(struct np_enrol_event){.type = NP_EVENT_START, .entropy = true});
    step(box, &(struct np_enrol_event){.type = NP_EVENT_ADDRESSES, .addresses = &box->addresses, .usable = true});
}

static void on_timer(uv_timer_t *timer)
{
    struct box *box = timer->data;
    if (box->boots) {
        boot(box);
        return;
    }
    if (box->asked_zone) {
        box->asked_zone = false;
        step(box, &(struct np_enrol_event){.type = NP_EVENT_ZONE, .addresses = &box->shown});
        return;
    }
    if (box->sent_us && box_now_us() - box->sent_us > BOX_ANSWER_MS * UINT64_C(1000)) {
        link_close(box->link);
        box->link = NULL;
        fail_request(box, -ETIMEDOUT);
        return;
    }
    step(box, &(struct np_enrol_event){.type = NP_EVENT_TIMER});
}

/* ---- Power, addresses ---- */

int box_init(struct box *box, struct fleet_shared *shared, unsigned number)
{
    memset(box, 0, sizeof *box);
    box->shared = shared;
    box->number = number;
    box->self = (struct np_exchange_self){
        .url = shared->url, .model = "fleet", .version = NP_VERSION, .factory = {.type = NP_CREDENTIAL_FACTORY_SECRET}};
    snprintf(box->self.factory.serial, sizeof box->self.factory.serial, "FLEET-%07u", number);
    fleet_factory_secret(shared->master, box->self.factory.serial, box->self.factory.secret);
    uv_timer_init(shared->loop, &box->timer);
    box->timer.data = box;
    box_renumber(box);
    int rc = fleet_make_key(&box->state.identity);
    return rc ? rc : fleet_make_key(&box->tls_key);
}

void box_power_on(struct box *box, uint64_t delay_ms)
{
    box->boots = true;
    uv_timer_start(&box->timer, on_timer, delay_ms, 0);
}

void box_power_off(struct box *box)
{
    uv_timer_stop(&box->timer);
    link_close(box->link);
    box->link = NULL;
    forget_request(box);
    box->on = box->asked_zone = false;
    memset(box->not_before_ms, 0, sizeof box->not_before_ms); /* it has forgotten that HQ wanted it to wait */
}

void box_renumber(struct box *box)
{
    struct np_addr addr = {.family = AF_INET, .bytes = {192, 168}};
    addr.bytes[2] = (uint8_t)np_random_below(256);
    addr.bytes[3] = (uint8_t)(1 + np_random_below(254));
    box->addresses = (struct np_addresses){.v4 = {addr}, .v4_count = 1};
    if (box->on)
        step(box, &(struct np_enrol_event){.type = NP_EVENT_ADDRESSES, .addresses = &box->addresses, .usable = true});
}

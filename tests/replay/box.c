#include "tests/replay/box.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "resolver/base/error.h"
#include "resolver/base/text.h"

#define JOB_ENROL  0
#define STEPS_MAX  100 /* events at one moment: more is a circle */
#define TIMERS_MAX 100000

int64_t box_true_s(const struct box *box)
{
    return np_clock_build_s() + 86400 + (box->now_ms - BOX_START_MS) / 1000;
}

int64_t box_system_s(const struct box *box)
{
    return box_true_s(box) + box->off_s;
}

int64_t box_judged_s(const struct box *box)
{
    return np_clock_judge(&box->clock, box_system_s(box), box->now_ms / 1000);
}

uint32_t box_below(void *ctx, uint32_t bound)
{
    struct box *box = ctx;
    box->random = box->random * 6364136223846793005u + 1442695040888963407u; /* Knuth's MMIX */
    return bound ? (uint32_t)((box->random >> 33) % bound) : 0;
}

static void note(struct box *box, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void note(struct box *box, const char *format, ...)
{
    va_list args;
    fprintf(box->step->trace, "  %9.3f s  ", (double)(box->now_ms - BOX_START_MS) / 1000);
    va_start(args, format);
    vfprintf(box->step->trace, format, args);
    va_end(args);
    fputc('\n', box->step->trace);
}

/* As in agent/agent_hq.c: the key of the CSR under way, then the key in use. */
static void check_package(struct box *box, char why[NP_PACKAGE_WHY_MAX], struct np_enrol_event *out_event)
{
    const struct np_state *state = &box->state;
    const char *pem = box->response.package.chain;
    struct np_package_wanted wanted = {.names = state->san, .name_count = state->san_count, .now_s = box_judged_s(box)};
    struct np_enrol_event event = {.type = NP_EVENT_CHECKED,
                                   .rc = NP_E_KEY,
                                   .reason = why,
                                   .response = &box->response,
                                   .package = &box->package,
                                   .from_next = true};
    snprintf(why, NP_PACKAGE_WHY_MAX, "there is no key that it could be for");
    if (state->has_next) {
        wanted.key = &state->next.public;
        event.rc = np_package_check(pem, strlen(pem), &wanted, &box->package, why);
    }
    if (event.rc == NP_E_KEY && state->has_chain) {
        wanted.key = &state->tls.public;
        event.rc = np_package_check(pem, strlen(pem), &wanted, &box->package, why);
        event.from_next = false;
    }
    *out_event = event;
}

static void store(struct box *box, struct np_enrol_event *out_event)
{
    bool written = false;
    int rc = box->disk_full ? -ENOSPC : np_flash_save(&box->flash, &box->state, &written);
    box->writes += written;
    if (rc == 0 && box->purge)
        np_flash_purge(&box->flash);
    box->purge = box->purge && rc != 0;
    note(box, rc ? "store: %s" : written ? "stored%s" : "nothing new to store%s", rc ? np_strerror(rc) : "");
    *out_event = (struct np_enrol_event){.type = NP_EVENT_STORED, .rc = rc};
}

static void install(struct box *box)
{
    memcpy(box->installed, box->state.chain, sizeof box->installed);
    box->installs++;
    note(box, "certificate installed");
    dns_view(box);
}

/* The daily check-in goes on under every scenario: HQ keeps what there is. */
static void answer_checkin(struct box *box, struct np_enrol_event *out_event)
{
    struct np_checkin_answer *answer = &box->response.checkin;
    memset(&box->response, 0, sizeof box->response);
    box->response.request = NP_REQUEST_CHECKIN;
    box->response.status = 200;
    answer->next_s = 86400;
    answer->poll_s = box->state.poll_s;
    answer->checkin_s = box->state.checkin_s;
    answer->boot_jitter_s = box->state.boot_jitter_s;
    *out_event = (struct np_enrol_event){.type = NP_EVENT_RESPONSE, .response = &box->response};
}

static bool send_request(struct box *box, const struct np_enrol_action *action, struct np_enrol_event *out_event)
{
    if (box->carry) {
        box->requests++;
        box->enrolments += action->request == NP_REQUEST_ENROL;
        box->csrs += action->request == NP_REQUEST_CSR;
        box->pushes += action->request == NP_REQUEST_ADDRESSES;
        box->times += action->request == NP_REQUEST_TIME;
        box->carry(box->carry_ctx, box, action->request);
        return false;
    }
    if (action->request == NP_REQUEST_CHECKIN && !box->hq.away) {
        answer_checkin(box, out_event);
        return true;
    }
    hq_receive(box, action);
    if (!box->hq.away)
        return false;
    *out_event = (struct np_enrol_event){
        .type = NP_EVENT_FAILED, .rc = -ECONNREFUSED, .reason = "hq.devices.example: connection refused"};
    return true;
}

static bool lost_power(const struct box *box)
{
    return box->medium && memory_disk_is_cut(box->medium);
}

/* As in agent/agent_hq.c. */
static bool act(struct box *box, struct np_enrol_action *action, char why[NP_PACKAGE_WHY_MAX],
                struct np_enrol_event *out_event)
{
    int rc;
    *out_event = (struct np_enrol_event){.type = NP_EVENT_MADE};
    switch (action->type) {
    case NP_ACTION_NONE:
        return false;
    case NP_ACTION_MAKE_IDENTITY:
        np_identity_make(&box->entropy, &box->state);
        note(box, "identity made");
        return true;
    case NP_ACTION_MAKE_KEY:
        np_identity_make_next(&box->entropy, &box->state);
        note(box, "TLS key made");
        return true;
    case NP_ACTION_STORE:
        store(box, out_event);
        return true;
    case NP_ACTION_SEND:
        np_exchange_free(&box->exchange);
        if (action->request == NP_REQUEST_TIME) {
            uint8_t random[24];
            np_entropy_bytes(&box->entropy, random, sizeof random);
            np_base64url_encode(random, sizeof random, box->time_nonce);
            snprintf(action->nonce, sizeof action->nonce, "%s", box->time_nonce);
        }
        rc = np_exchange_build(&box->self, &box->state, np_enrol_bearer(&box->enrol), action, &box->exchange);
        if (rc)
            step_fail(box->step, "a request that can be built", "%s", np_strerror(rc));
        note(box, "-> %s %s", box->exchange.method, box->exchange.path);
        return send_request(box, action, out_event);
    case NP_ACTION_CHECK:
        check_package(box, why, out_event);
        note(box, "package: %s", out_event->rc ? why : "good");
        return true;
    case NP_ACTION_INSTALL:
        install(box);
        out_event->type = NP_EVENT_TIMER;
        return true;
    case NP_ACTION_FORGET:
        note(box, "forgotten");
        box->installed[0] = 0;
        box->purge = true;
        dns_view(box);
        out_event->type = NP_EVENT_TIMER;
        return true;
    case NP_ACTION_ASK_ZONE: /* np_enrol_ask_zone_first is not called: there is no zone here */
        out_event->type = NP_EVENT_TIMER;
        return true;
    }
    return false;
}

/* As np_agent_seed. */
static bool seeded(struct box *box)
{
    if (box->entropy_late)
        return false;
    if (!box->seeded && box->own_random) {
        np_entropy_init_seed(&box->entropy, box->own_random, 32);
        np_identity_seed(&box->entropy, box->self.factory.secret, &box->state);
    }
    box->seeded = true;
    return true;
}

void box_enrol(struct box *box, const struct np_enrol_event *event)
{
    struct np_enrol_action action;
    struct np_enrol_event next = *event;
    char why[NP_PACKAGE_WHY_MAX], name[NP_NAME_MAX + 1];
    unsigned steps = 0;
    do {
        struct np_enrol_time now = {.now_ms = box->now_ms, .judged_s = box_judged_s(box)};
        if (next.type == NP_EVENT_TIMER && !box->enrol.entropy && seeded(box))
            next.type = NP_EVENT_ENTROPY;
        if (++steps > STEPS_MAX)
            step_fail(box->step, "an end of what follows from one event", "%d steps in one moment", STEPS_MAX);
        memcpy(name, box->state.name, sizeof name);
        np_enrol_step(&box->enrol, &now, &next, &action);
        for (size_t i = 0; i < action.transition_count; i++)
            note(box, "%s -> %s (%s)", np_enrol_state_name(action.transitions[i].from),
                 np_enrol_state_name(action.transitions[i].to), action.transitions[i].reason);
        if (strcmp(name, box->state.name) != 0)
            dns_view(box);
    } while (act(box, &action, why, &next) && !lost_power(box));
    np_jobs_reschedule(&box->jobs, JOB_ENROL, np_enrol_due(&box->enrol));
}

/* As in agent/agent_hq.c. */
static void take_time(struct box *box)
{
    struct np_crypto crypto;
    int64_t time_s;
    np_crypto_init(&crypto, NULL);
    box->response.rc = np_time_verify(&crypto, box->response.time.signed_time, &box->hq_key, box->time_nonce, &time_s);
    if (box->response.rc == 0 && !np_clock_sign(&box->clock, time_s, box->now_ms / 1000))
        box->response.rc = NP_E_DATE;
    if (box->response.rc == 0)
        box->state.floor_s = time_s;
}

/* As in agent/agent_hq.c. */
static void arrive(struct box *box)
{
    struct box_arrival arrival = box->arrival;
    struct np_exchange_headers headers = {.nonce = arrival.nonce[0] ? arrival.nonce : NULL,
                                          .etag = arrival.etag[0] ? arrival.etag : NULL,
                                          .retry_after_s = arrival.retry_after_s};
    box->arrival = (struct box_arrival){.at_ms = NP_JOB_NEVER};
    if (arrival.err) {
        note(box, "<- %s", arrival.why);
        box_enrol(box, &(struct np_enrol_event){.type = NP_EVENT_FAILED, .rc = arrival.err, .reason = arrival.why});
        return;
    }
    note(box, "<- %d %.100s", arrival.status, arrival.body ? arrival.body : "");
    np_exchange_parse(box->enrol.inflight, arrival.status, &headers, arrival.body ? arrival.body : "", arrival.body_len,
                      &box->response);
    free(arrival.body);
    if (box->response.request == NP_REQUEST_TIME && arrival.status == 200 && box->response.rc == 0)
        take_time(box);
    if (np_clock_hear(&box->clock, box->response.time_s, box_system_s(box), box->now_ms / 1000))
        box->state.floor_s = box->clock.floor_s;
    if (box->response.request == NP_REQUEST_ENROL && arrival.status < 300 && box->response.rc == 0)
        np_entropy_mix(&box->entropy, "hq-seed", box->response.enrol.seed, sizeof box->response.enrol.seed);
    box_enrol(box, &(struct np_enrol_event){.type = NP_EVENT_RESPONSE, .response = &box->response});
}

int64_t box_due(const struct box *box)
{
    int64_t enrol_ms = box->running ? np_jobs_next_due(&box->jobs) : NP_JOB_NEVER, dns_ms = upstreams_due(box);
    int64_t due_ms = enrol_ms < dns_ms ? enrol_ms : dns_ms;
    if (box->running && box->carry && box->arrival.at_ms < due_ms)
        due_ms = box->arrival.at_ms;
    return due_ms;
}

void box_run(struct box *box)
{
    if (box->running && box->carry && box->arrival.at_ms <= box->now_ms)
        arrive(box);
    if (box->running && !lost_power(box) && np_jobs_take_due(&box->jobs, box->now_ms) == JOB_ENROL)
        box_enrol(box, &(struct np_enrol_event){.type = NP_EVENT_TIMER});
    if (upstreams_due(box) <= box->now_ms)
        upstreams_timer(box);
}

void box_pass(struct box *box, int64_t ms)
{
    int64_t end_ms = box->now_ms + ms;
    for (int i = 0; box_due(box) <= end_ms; i++) {
        if (i == TIMERS_MAX)
            step_fail(box->step, "fewer timers", "%d of them", TIMERS_MAX);
        int64_t due_ms = box_due(box);
        box->now_ms = due_ms > box->now_ms ? due_ms : box->now_ms;
        box_run(box);
    }
    box->now_ms = end_ms;
    if (box->running)
        dns_view(box); /* the certificate's validity may have changed */
}

bool box_certificate_valid(const struct box *box)
{
    struct np_x509 leaf;
    int64_t now_s = box_judged_s(box);
    if (!box->installed[0] || np_enrol_leaf(&box->state, &leaf) || now_s < leaf.not_before_s ||
        now_s > leaf.not_after_s)
        return false;
    for (size_t i = 0; i < leaf.name_count; i++) {
        if (strcmp(leaf.names[i], box->state.name) == 0)
            return true;
    }
    return false;
}

static bool same_routes(const struct np_network *a, const struct np_network *b)
{
    bool same = a->route_count == b->route_count;
    for (size_t i = 0; same && i < a->route_count; i++) {
        const struct np_default_route *x = &a->routes[i], *y = &b->routes[i];
        same = x->family == y->family && x->ifindex == y->ifindex && np_addr_equal(&x->gateway, &y->gateway);
    }
    return same;
}

static bool is_usable(const struct np_address_choice *choice)
{
    for (size_t i = 0; i < choice->interface_count; i++) {
        if (choice->interfaces[i].v4_count || choice->interfaces[i].v6_count)
            return true;
    }
    return false;
}

/* As netwatch (equal: no event) and agent/agent_net.c. */
static void look(struct box *box, bool first)
{
    struct np_address_choice *before = malloc(sizeof *before);
    if (!before)
        abort();
    np_network_sort(&box->network);
    if (first || !np_network_equal(&box->network, &box->delivered)) {
        bool rerouted = !same_routes(&box->network, &box->delivered);
        *before = box->choice;
        box->delivered = box->network;
        box->events++;
        np_addresses_choose(&box->policy, &box->delivered, &box->choice);
        dns_view(box);
        note(box, "the network changed");
        struct np_enrol_event event = {
            .type = NP_EVENT_ADDRESSES, .addresses = &box->choice.publish, .usable = is_usable(&box->choice)};
        if (first || !np_address_choice_equal(before, &box->choice))
            box_enrol(box, &event);
        if (rerouted && !first)
            box_enrol(box, &(struct np_enrol_event){.type = NP_EVENT_ROUTE});
    }
    free(before);
}

void box_look(struct box *box)
{
    if (box->running)
        look(box, false);
}

/* As in agent/agent.c: with every generation damaged the box begins anew. */
static void load(struct box *box)
{
    int rc = 0;
    if (box->medium)
        np_flash_open_on(&box->flash, memory_disk_operations(box->medium), "");
    else
        rc = np_flash_open(&box->flash, box->folder);
    if (rc)
        step_fail(box->step, "a state folder", "%s: %s", box->folder, np_strerror(rc));
    rc = np_flash_load(&box->flash, &box->state, &box->report);
    if (rc < 0 && rc > -1000)
        step_fail(box->step, "a state that can be read", "%s", np_strerror(rc));
    for (unsigned i = 0; i < box->report.damaged_count; i++)
        note(box, "generation %llu is damaged: %s", (unsigned long long)box->report.damaged[i],
             np_strerror(box->report.damage[i]));
    np_clock_init(&box->clock, box->state.floor_s, box->now_ms / 1000);
    box->clock.wants_signed = box->has_hq_key;
}

void box_init(struct box *box)
{
    static const char secret[32] = "replay";
    box->now_ms = BOX_START_MS;
    box->arrival.at_ms = NP_JOB_NEVER;
    box->self = (struct np_exchange_self){.url = BOX_URL,
                                          .model = "replay",
                                          .version = "1",
                                          .factory = {.type = NP_CREDENTIAL_FACTORY_SECRET, .serial = "NP-0001"}};
    memcpy(box->self.factory.secret, secret, sizeof secret);
    dns_init(box);
}

void box_boot(struct box *box)
{
    box_kill(box);
    note(box, "boot");
    load(box);
    box->running = true;
    box->self.publish = box->policy.local_only ? NP_PUBLISH_LOCAL_ONLY : NP_PUBLISH_PUBLIC;
    np_jobs_init(&box->jobs);
    np_enrol_init(&box->enrol, &box->state, box->policy.local_only, box_below, box);
    if (box->has_hq_key)
        np_enrol_ask_time(&box->enrol);
    memset(&box->delivered, 0, sizeof box->delivered);
    memset(&box->choice, 0, sizeof box->choice);
    /* The front is fed with what was stored as soon as it runs. */
    memcpy(box->installed, box->state.has_chain ? box->state.chain : "", box->state.has_chain ? NP_CHAIN_MAX + 1 : 1);
    dns_view(box);
    box_enrol(box, &(struct np_enrol_event){
                       .type = NP_EVENT_START,
                       .entropy = seeded(box),
                       .no_clock = !np_clock_believed(&box->clock, box_system_s(box), box->now_ms / 1000)});
    look(box, true);
}

void box_kill(struct box *box)
{
    if (box->running)
        np_flash_close(&box->flash);
    box->running = false;
    np_exchange_free(&box->exchange);
    free(box->arrival.body);
    box->arrival = (struct box_arrival){.at_ms = NP_JOB_NEVER};
    box->seeded = box->purge = false;
    memset(&box->state, 0, sizeof box->state);
    memset(&box->enrol, 0, sizeof box->enrol);
    box->hq.expected = false;
    box->installed[0] = 0;
    box->question.open = false;
}

const char *box_addresses(const struct np_addresses *a, char *buffer)
{
    char text[NP_ADDR_TEXT_MAX];
    size_t len = 0;
    snprintf(buffer, STEP_TEXT_MAX, "nothing");
    for (size_t i = 0; i < a->v4_count + a->v6_count; i++) {
        const struct np_addr *addr = i < a->v4_count ? &a->v4[i] : &a->v6[i - a->v4_count];
        int n = snprintf(buffer + len, STEP_TEXT_MAX - len, "%s%s", len ? " " : "", np_addr_format(addr, text));
        len += n > 0 && (size_t)n < STEP_TEXT_MAX - len ? (size_t)n : 0;
    }
    return buffer;
}

void box_read_addresses(struct step *step, struct np_addresses *out)
{
    memset(out, 0, sizeof *out);
    if (step_take(step, "nothing"))
        return;
    const char *word = step_word(step, "addresses, or nothing");
    for (; word; word = step_more(step)) {
        struct np_addr addr;
        if (np_addr_parse(word, &addr))
            step_fail(step, "an address", "%s", word);
        if (addr.family == AF_INET && out->v4_count < NP_WIRE_V4_MAX)
            out->v4[out->v4_count++] = addr;
        else if (addr.family == AF_INET6 && out->v6_count < NP_WIRE_V6_MAX)
            out->v6[out->v6_count++] = addr;
        else
            step_fail(step, "fewer addresses", "%s", word);
    }
}

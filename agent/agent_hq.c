#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "agent/agent_private.h"
#include "agent/certificate/pem.h"
#include "agent/identity/identity.h"
#include "resolver/base/error.h"
#include "resolver/base/file.h"
#include "resolver/base/log.h"
#include "resolver/base/notify.h"
#include "resolver/base/random.h"
#include "resolver/base/text.h"

/* Jitter. Before the kernel's pool is ready np_random_below would block, and with it the answer to `nameplate status`
 * that says so: until then the time has to do. */
static uint32_t random_below(void *ctx, uint32_t bound)
{
    const struct np_agent *agent = ctx;
    if (agent->entropy.ready || bound < 2)
        return np_random_below(bound);
    return (uint32_t)(uv_hrtime() / 1000 % bound);
}

static int64_t judged_s(void *ctx)
{
    return np_agent_judged_s(ctx);
}

/* HQ's key for the time lies beside the anchors; a file without one is fine. */
static int load_hq_key(struct np_agent *agent, const char *text, size_t len)
{
    struct np_pem pem = {text, len, 0};
    uint8_t der[128];
    long n = np_pem_next(&pem, "PUBLIC KEY", der, sizeof der);
    int rc = n <= 0 ? (int)n : np_public_key_parse(der, (size_t)n, &agent->hq_key);
    agent->has_hq_key = n > 0 && rc == 0;
    agent->clock.wants_signed = agent->has_hq_key;
    return rc;
}

static int load_anchors(struct np_agent *agent)
{
    const char *path = agent->config->hq_anchors;
    uint8_t *pem;
    size_t len;
    int rc = np_file_read(path, NP_TLS_ANCHORS_FILE_MAX, &pem, &len);
    if (rc == 0) {
        rc = np_tls_anchors_parse((const char *)pem, len, &agent->anchors);
        if (rc == 0)
            rc = load_hq_key(agent, (const char *)pem, len);
        free(pem);
    }
    if (rc)
        np_error("hq-anchors %s: %s", path, np_strerror(rc));
    return rc;
}

int np_agent_hq_start(struct np_agent *agent)
{
    const struct np_agent_config *c = agent->config;
    int rc = load_anchors(agent);
    if (rc)
        return rc;
    rc = np_hqclient_new(&agent->loop, c->hq.text, agent->anchors, judged_s, agent, &agent->hq);
    if (rc) {
        np_error("client for %s: %s", c->hq.text, np_strerror(rc));
        return rc;
    }
    if (c->hq_second.text[0])
        rc = np_hqclient_add_url(agent->hq, c->hq_second.text);
    if (rc) {
        np_error("client for %s: %s", c->hq_second.text, np_strerror(rc));
        return rc;
    }
    agent->self = (struct np_exchange_self){
        .url = c->hq.text, .model = c->model, .version = NP_VERSION, .publish = c->publish, .factory = c->secret};
    np_enrol_init(&agent->enrol, &agent->state, c->policy.local_only, random_below, agent);
    np_enrol_ask_zone_first(&agent->enrol);
    if (agent->has_hq_key)
        np_enrol_ask_time(&agent->enrol);
    agent->begin_ms = np_agent_now_ms(agent);
    return 0;
}

/* HQ has taken a push: what it promised to publish is waited for in the zone. One that is older than the newest change
 * is told as what it is. */
static void pushed(struct np_agent *agent)
{
    const struct np_enrol *e = &agent->enrol;
    char list[NP_EVENT_TEXT_MAX], text[NP_EVENT_TEXT_MAX];
    bool newest = np_addresses_equal(&e->publisher.confirmed, &agent->choice.publish);
    np_agent_list(&e->pushed.published, list, sizeof list);
    snprintf(text, sizeof text, "%.120s%s", list, e->pushed.rejected_count ? "; not all of it (status --why)" : "");
    if (newest)
        np_agent_event_step(agent, NP_HAPPENED_PUSHED, text);
    else
        np_agent_event(agent, NP_HAPPENED_PUSHED, "%.120s, which has changed meanwhile", list);
    np_agent_visible_start(agent, &e->pushed.published);
}

/* The answer counts only with HQ's signature over our nonce. */
static void take_time(struct np_agent *agent)
{
    struct np_crypto crypto;
    int64_t time_s;
    np_crypto_init(&crypto, NULL);
    agent->response.rc =
        np_time_verify(&crypto, agent->response.time.signed_time, &agent->hq_key, agent->time_nonce, &time_s);
    if (agent->response.rc == 0 && !np_clock_sign(&agent->clock, time_s, np_agent_steady_s()))
        agent->response.rc = NP_E_DATE;
    if (agent->response.rc)
        return;
    np_notice("HQ's signed time is taken: the system clock is %lld s off", (long long)time(NULL) - (long long)time_s);
    agent->state.floor_s = time_s;
    np_agent_send_clock(agent);
    np_agent_trust(agent);
    np_agent_update_view(agent);
}

/* HQ's connection was authenticated against the vendor's anchors: its time has certainly come. */
static void hear_time(struct np_agent *agent)
{
    int64_t time_s = agent->response.time_s, system_s = (int64_t)time(NULL);
    if (np_clock_hear(&agent->clock, time_s, system_s, np_agent_steady_s())) {
        agent->state.floor_s = agent->clock.floor_s;
        np_agent_send_clock(agent);
    }
    if (time_s && !np_clock_differs(time_s, system_s))
        np_agent_trust(agent);
}

static void on_done(void *ctx, int err, const char *why, const struct np_http_response *http)
{
    struct np_agent *agent = ctx;
    struct np_enrol_event event = {.type = NP_EVENT_RESPONSE, .response = &agent->response};
    char reason[NP_ENROL_REASON_MAX];
    agent->unanswered = err != 0;
    if (err == NP_E_DNS)
        np_agent_doubt(agent);
    if (err) {
        snprintf(reason, sizeof reason, "%s: %s", agent->config->hq.host, why && why[0] ? why : np_strerror(err));
        event = (struct np_enrol_event){.type = NP_EVENT_FAILED, .rc = err, .reason = reason};
        np_agent_enrol(agent, &event);
        return;
    }
    struct np_exchange_headers headers = {
        .nonce = http->nonce, .etag = http->etag, .retry_after_s = http->retry_after_s};
    np_exchange_parse(agent->enrol.inflight, http->status, &headers, http->body, http->body_len, &agent->response);
    np_debug("HQ: %s: %d", np_request_name(agent->response.request), http->status);
    if (agent->response.request == NP_REQUEST_TIME && http->status == 200 && agent->response.rc == 0)
        take_time(agent);
    hear_time(agent);
    bool good = http->status < 300 && agent->response.rc == 0;
    enum np_request request = agent->response.request;
    if (request == NP_REQUEST_ENROL && good)
        np_entropy_mix(&agent->entropy, "hq-seed", agent->response.enrol.seed, sizeof agent->response.enrol.seed);
    np_agent_enrol(agent, &event);
    if (request == NP_REQUEST_ADDRESSES && good)
        pushed(agent);
    else if (request == NP_REQUEST_ENROL && good && agent->enrol.publisher.has_confirmed)
        np_agent_visible_start(agent, &agent->enrol.publisher.confirmed);
}

/* The factory identity, for an enrolment. A folder that cannot be read is no reason to enrol without a credential: it
 * is read again at the next attempt. */
static int load_factory(struct np_agent *agent, char why[NP_ENROL_REASON_MAX])
{
    char error[NP_FACTORY_ERROR_MAX];
    if (!agent->config->factory[0])
        return 0;
    int rc = np_factory_read(agent->config->factory, &agent->self.factory, error);
    if (rc)
        snprintf(why, NP_ENROL_REASON_MAX, "factory identity: %.230s", error);
    return rc;
}

/* Sends the request; the event of a failure that is known at once. */
static bool send_request(struct np_agent *agent, struct np_enrol_action *action, char why[NP_ENROL_REASON_MAX],
                         struct np_enrol_event *out_event)
{
    struct np_exchange x;
    if (action->request == NP_REQUEST_TIME) {
        uint8_t random[24];
        np_entropy_bytes(&agent->entropy, random, sizeof random);
        np_base64url_encode(random, sizeof random, agent->time_nonce);
        snprintf(action->nonce, sizeof action->nonce, "%s", agent->time_nonce);
    }
    int rc = action->request == NP_REQUEST_ENROL ? load_factory(agent, why) : 0;
    if (rc) {
        *out_event = (struct np_enrol_event){.type = NP_EVENT_FAILED, .rc = rc, .reason = why};
        return true;
    }
    if (!agent->self.life.told) { /* not before a request: at the start the kernel may have no random bytes yet */
        np_random_bytes(agent->self.life.bytes, sizeof agent->self.life.bytes);
        agent->self.life.told = true;
    }
    rc = np_exchange_build(&agent->self, &agent->state, np_enrol_bearer(&agent->enrol), action, &x);
    if (rc == 0) {
        struct np_hq_request request = {.method = x.method,
                                        .path = x.path,
                                        .content_type = x.content_type,
                                        .bearer = x.bearer[0] ? x.bearer : NULL,
                                        .if_none_match = x.etag[0] ? x.etag : NULL,
                                        .body = x.body,
                                        .body_len = x.body_len};
        if (action->request == NP_REQUEST_TIME)
            request.judge_s = np_clock_floor(&agent->clock, np_agent_steady_s());
        rc = np_hqclient_send(agent->hq, &request, on_done, agent);
        np_exchange_free(&x);
    }
    if (rc == 0)
        return false;
    *out_event = (struct np_enrol_event){.type = NP_EVENT_FAILED, .rc = rc, .reason = np_strerror(rc)};
    return true;
}

int np_agent_seed(struct np_agent *agent)
{
    char why[NP_ENROL_REASON_MAX];
    uint8_t secret[NP_IDENTITY_SECRET_LEN];
    int rc = np_entropy_init(&agent->entropy);
    if (rc)
        return rc;
    load_factory(agent, why); /* where it cannot be read the enrolment will say so */
    bool has = np_factory_seed(&agent->self.factory, secret);
    np_identity_seed(&agent->entropy, has ? secret : NULL, &agent->state);
    np_wipe(secret, sizeof secret);
    return 0;
}

/* Checks the package in the response for the key of the CSR under way, then for the key that is in use. */
static void check_package(struct np_agent *agent, char why[NP_PACKAGE_WHY_MAX], struct np_enrol_event *out_event)
{
    const struct np_state *state = &agent->state;
    const char *pem = agent->response.package.chain;
    struct np_package_wanted wanted = {
        .names = state->san, .name_count = state->san_count, .now_s = np_agent_judged_s(agent)};
    struct np_enrol_event event = {.type = NP_EVENT_CHECKED,
                                   .rc = NP_E_KEY,
                                   .reason = why,
                                   .response = &agent->response,
                                   .package = &agent->package,
                                   .from_next = true};
    snprintf(why, NP_PACKAGE_WHY_MAX, "there is no key that it could be for");
    if (state->has_next) {
        wanted.key = &state->next.public;
        event.rc = np_package_check(pem, strlen(pem), &wanted, &agent->package, why);
    }
    if (event.rc == NP_E_KEY && state->has_chain) {
        wanted.key = &state->tls.public;
        event.rc = np_package_check(pem, strlen(pem), &wanted, &agent->package, why);
        event.from_next = false;
    }
    *out_event = event;
}

static void store(struct np_agent *agent, struct np_enrol_event *out_event)
{
    bool written = false;
    int rc = np_flash_save(&agent->flash, &agent->state, &written);
    if (rc)
        np_error("state folder %s: %s", agent->config->state, np_strerror(rc));
    else if (written)
        np_debug("state generation %llu written", (unsigned long long)agent->state.generation);
    if (rc == 0 && agent->purge) {
        np_flash_purge(&agent->flash);
        agent->purge = false;
    }
    if (rc == 0)
        np_agent_deploy_stored(agent);
    *out_event = (struct np_enrol_event){.type = NP_EVENT_STORED, .rc = rc};
}

void np_agent_log_certificate(const struct np_agent *agent, const char *what)
{
    struct np_x509 leaf;
    char until[32] = "?", shown[NP_NAME_MAX + 96];
    struct tm tm;
    if (np_enrol_leaf(&agent->state, &leaf))
        return;
    time_t end = (time_t)leaf.not_after_s;
    if (gmtime_r(&end, &tm))
        strftime(until, sizeof until, "%Y-%m-%d %H:%M:%S UTC", &tm);
    np_notice("certificate %s, valid until %s, issued by %s", what, until, leaf.issuer);
    snprintf(shown, sizeof shown, "STATUS=%s, certificate valid until %s", agent->state.name, until);
    np_notify(shown);
    if (agent->config->https_port == 443)
        np_notice("https://%s/", agent->state.name);
    else
        np_notice("https://%s:%u/", agent->state.name, agent->config->https_port);
}

static void install(struct np_agent *agent)
{
    np_agent_send_certificate(agent);
    np_agent_update_view(agent);
    np_agent_log_certificate(agent, "installed");
    struct np_x509 leaf;
    if (np_enrol_leaf(&agent->state, &leaf) == 0)
        np_agent_event(agent, NP_HAPPENED_CERTIFICATE, "installed, valid for %lld days, issued by %s",
                       (long long)((leaf.not_after_s - np_agent_judged_s(agent)) / 86400), leaf.issuer);
}

/* The box has left HQ: nothing of the old name is served or answered any more. */
static void forget(struct np_agent *agent)
{
    np_notice("this box has left HQ: name, keys and certificate are forgotten");
    np_hqclient_cancel(agent->hq);
    np_agent_zone_stop(agent);
    np_agent_visible_stop(agent);
    np_agent_servers_forget(agent);
    np_agent_event(agent, NP_HAPPENED_NAME, "this box has left HQ, and begins anew");
    np_wipe(&agent->package, sizeof agent->package);
    agent->purge = true;
    np_agent_drop_certificate(agent);
    np_agent_update_view(agent);
}

static enum np_log_level level_of(enum np_enrol_state state)
{
    switch (state) {
    case NP_ENROL_BACKOFF:
    case NP_ENROL_REFUSED:
    case NP_ENROL_BLOCKED:
        return NP_LOG_WARNING;
    case NP_ENROL_NONCE:
    case NP_ENROL_PUSHING:
    case NP_ENROL_FETCHING:
    case NP_ENROL_CHECKING_IN:
    case NP_ENROL_NAMING:
        return NP_LOG_DEBUG;
    default:
        return NP_LOG_INFO;
    }
}

static void log_transitions(const struct np_enrol_action *action)
{
    for (size_t i = 0; i < action->transition_count; i++) {
        const struct np_enrol_transition *t = &action->transitions[i];
        np_log(level_of(t->to), "%s -> %s (%s)", np_enrol_state_name(t->from), np_enrol_state_name(t->to), t->reason);
    }
}

/* Carries an action out. Returns true with the event that ends it, false when that comes later or not at all. */
static bool act(struct np_agent *agent, struct np_enrol_action *action, char why[NP_ENROL_REASON_MAX],
                struct np_enrol_event *out_event)
{
    *out_event = (struct np_enrol_event){.type = NP_EVENT_MADE};
    switch (action->type) {
    case NP_ACTION_NONE:
        return false;
    case NP_ACTION_MAKE_IDENTITY:
        np_identity_make(&agent->entropy, &agent->state);
        np_notice("identity key made: this box is new");
        return true;
    case NP_ACTION_MAKE_KEY:
        np_identity_make_next(&agent->entropy, &agent->state);
        return true;
    case NP_ACTION_STORE:
        store(agent, out_event);
        return true;
    case NP_ACTION_SEND:
        return send_request(agent, action, why, out_event);
    case NP_ACTION_CHECK:
        check_package(agent, why, out_event);
        return true;
    case NP_ACTION_INSTALL:
        install(agent);
        out_event->type = NP_EVENT_TIMER;
        return true;
    case NP_ACTION_ASK_ZONE:
        np_agent_ask_zone(agent);
        out_event->type = NP_EVENT_TIMER;
        return true;
    case NP_ACTION_FORGET:
        forget(agent);
        out_event->type = NP_EVENT_TIMER;
        return true;
    }
    return false;
}

void np_agent_enrol(struct np_agent *agent, const struct np_enrol_event *event)
{
    struct np_enrol_action action;
    struct np_enrol_event next = *event;
    char why[NP_ENROL_REASON_MAX];
    struct np_agent_names before;
    _Static_assert(NP_ENROL_REASON_MAX >= NP_PACKAGE_WHY_MAX, "one room for both reasons");
    bool more = true;
    if (agent->stopping)
        return;
    while (more) {
        struct np_enrol_time now = {.now_ms = np_agent_now_ms(agent), .judged_s = np_agent_judged_s(agent)};
        if (next.type == NP_EVENT_TIMER && !agent->enrol.entropy && (agent->entropy.ready || np_agent_seed(agent) == 0))
            next.type = NP_EVENT_ENTROPY;
        np_agent_names_keep(agent, &before);
        np_enrol_step(&agent->enrol, &now, &next, &action);
        log_transitions(&action);
        np_agent_names_compare(agent, &before);
        more = act(agent, &action, why, &next);
    }
    np_wipe(&action, sizeof action);
    np_agent_event_hq(agent);
    np_agent_was_busy(agent);
    np_jobs_reschedule(&agent->jobs, NP_JOB_ENROL, np_enrol_due(&agent->enrol));
    np_agent_send_news(agent);
    np_agent_arm(agent);
}

void np_agent_enrol_simple(struct np_agent *agent, enum np_enrol_event_type type)
{
    bool believed = np_clock_believed(&agent->clock, (int64_t)time(NULL), np_agent_steady_s());
    struct np_enrol_event event = {.type = type, .entropy = agent->entropy.ready, .no_clock = !believed};
    np_agent_enrol(agent, &event);
}

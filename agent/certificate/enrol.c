#include "agent/certificate/enrol.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "agent/certificate/enrol_private.h"
#include "agent/certificate/pem.h"
#include "resolver/base/error.h"
#include "resolver/base/text.h"

const char *np_enrol_state_name(enum np_enrol_state state)
{
    static const char *const names[] = {
#define NP_ENROL_STATE_NAME(name, text) text,
        NP_ENROL_STATE_MAP(NP_ENROL_STATE_NAME)
#undef NP_ENROL_STATE_NAME
    };
    return (size_t)state < sizeof names / sizeof names[0] ? names[state] : "unknown";
}

const char *np_request_name(enum np_request request)
{
    switch (request) {
    case NP_REQUEST_NONCE:
        return "HEAD nonce";
    case NP_REQUEST_ENROL:
        return "POST devices";
    case NP_REQUEST_CSR:
        return "POST csr";
    case NP_REQUEST_PACKAGE:
        return "GET package";
    case NP_REQUEST_ADDRESSES:
        return "PUT addresses";
    case NP_REQUEST_SESSION:
        return "POST session";
    case NP_REQUEST_CHECKIN:
        return "POST checkin";
    case NP_REQUEST_LEAVE:
        return "POST leave";
    case NP_REQUEST_NAME:
        return "POST name";
    case NP_REQUEST_TIME:
        return "POST time";
    case NP_REQUEST_NONE:
        break;
    }
    return "nothing";
}

void np_enrol_set_state(struct np_enrol *e, struct np_enrol_action *out, enum np_enrol_state state, const char *format,
                        ...)
{
    va_list args;
    char reason[NP_ENROL_REASON_MAX];
    va_start(args, format);
    vsnprintf(reason, sizeof reason, format, args);
    va_end(args);
    if (state == e->state)
        return;
    if (out->transition_count < NP_ENROL_TRANSITIONS_MAX) {
        struct np_enrol_transition *t = &out->transitions[out->transition_count++];
        t->from = e->state;
        t->to = state;
        memcpy(t->reason, reason, sizeof reason);
    }
    e->state = state;
    memcpy(e->reason, reason, sizeof reason);
}

int np_enrol_leaf(const struct np_state *device, struct np_x509 *out_leaf)
{
    uint8_t der[NP_PACKAGE_DER_MAX];
    struct np_pem pem = {device->chain, strlen(device->chain), 0};
    if (!device->has_chain)
        return NP_E_NOT_FOUND;
    long n = np_pem_next(&pem, "CERTIFICATE", der, sizeof der);
    return n > 0 ? np_x509_parse(der, (size_t)n, out_leaf) : n < 0 ? (int)n : NP_E_MALFORMED;
}

void np_enrol_read_installed(struct np_enrol *e)
{
    struct np_x509 leaf;
    e->covered = e->serves = false;
    e->not_before_s = e->not_after_s = 0;
    if (np_enrol_leaf(e->device, &leaf))
        return;
    e->not_before_s = leaf.not_before_s;
    e->not_after_s = leaf.not_after_s;
    np_enrol_promote(e, &leaf);
    e->covered = e->device->device[0] && leaf.name_count == e->device->san_count;
    for (size_t i = 0; i < leaf.name_count; i++)
        e->serves = e->serves || (e->device->device[0] && strcmp(leaf.names[i], e->device->name) == 0);
    for (size_t i = 0; i < e->device->san_count; i++) {
        bool found = false;
        for (size_t j = 0; j < leaf.name_count; j++)
            found = found || strcmp(e->device->san[i], leaf.names[j]) == 0;
        e->covered = e->covered && found;
    }
}

void np_enrol_init(struct np_enrol *e, struct np_state *device, bool local_only, np_random_below_fn *below,
                   void *below_ctx)
{
    memset(e, 0, sizeof *e);
    e->device = device;
    e->below = below;
    e->below_ctx = below_ctx;
    e->local_only = local_only;
    e->state = NP_ENROL_STARTING;
    e->backoff = (struct np_backoff){.first_ms = NP_ENROL_RETRY_MS, .cap_ms = NP_ENROL_RETRY_CAP_MS};
    e->store_backoff = (struct np_backoff){.first_ms = NP_ENROL_STORE_RETRY_MS, .cap_ms = NP_ENROL_STORE_CAP_MS};
    e->identity_stored = device->has_identity;
    e->next_stored = device->has_next;
    np_enrol_use_token(e);
    e->due_ms = e->checkin_ms = NP_JOB_NEVER;
    np_publisher_init(&e->publisher);
    np_enrol_read_installed(e);
    e->want_csr = e->covered && device->has_next; /* another key was under way when the power went */
}

void np_enrol_ask_zone_first(struct np_enrol *e)
{
    e->ask_zone = true;
}

void np_enrol_use_token(struct np_enrol *e)
{
    const struct np_state *d = e->device;
    memcpy(e->token_in_use, d->has_auth ? d->auth_token : d->token, sizeof e->token_in_use);
}

void np_enrol_ask_time(struct np_enrol *e)
{
    e->can_time = true;
}

const uint8_t *np_enrol_bearer(const struct np_enrol *e)
{
    return e->device->has_identity ? e->token_in_use : NULL;
}

int64_t np_enrol_due(const struct np_enrol *e)
{
    return e->due_ms;
}

static void due(struct np_enrol *e, int64_t at_ms)
{
    if (at_ms < e->due_ms)
        e->due_ms = at_ms;
}

static void send_plain(struct np_enrol *e, const struct np_enrol_time *t, struct np_enrol_action *out,
                       enum np_request request, enum np_enrol_state state, const char *reason)
{
    np_enrol_set_state(e, out, state, "%s", reason);
    out->type = NP_ACTION_SEND;
    out->request = request;
    e->inflight = request;
    e->due_ms = NP_JOB_NEVER;
    np_enrol_zone_is_due(e, t); /* that question waits for no answer of HQ */
}

void np_enrol_send_signed(struct np_enrol *e, const struct np_enrol_time *t, struct np_enrol_action *out,
                          enum np_request request, enum np_enrol_state state, const char *reason)
{
    if (!e->nonce[0] || t->now_ms - e->nonce_ms > NP_ENROL_NONCE_MS) {
        e->nonce[0] = 0;
        send_plain(e, t, out, NP_REQUEST_NONCE, NP_ENROL_NONCE, "a signed request needs one");
        return;
    }
    memcpy(out->nonce, e->nonce, sizeof out->nonce);
    e->nonce[0] = 0; /* used once */
    if (request == NP_REQUEST_ENROL) {
        e->stated = e->wanted;
        out->addresses.addresses = e->stated;
    }
    send_plain(e, t, out, request, state, reason);
}

static bool needs_certificate(const struct np_enrol *e)
{
    return !e->covered || e->want_csr;
}

static bool needs_key(const struct np_enrol *e)
{
    return e->device->device[0] && !e->need_enrol && needs_certificate(e) && !e->device->has_next;
}

/* Keys, the state folder: what comes before anything is sent. Returns true when there is something to do or wait for.
 */
static bool decide_local(struct np_enrol *e, const struct np_enrol_time *t, struct np_enrol_action *out)
{
    if (e->install) {
        e->install = false;
        out->type = NP_ACTION_INSTALL;
        return true;
    }
    if (!e->entropy) {
        np_enrol_set_state(e, out, NP_ENROL_WAITING_ENTROPY, "the kernel's random pool is not ready");
        due(e, t->now_ms + NP_ENROL_ENTROPY_MS);
        return true;
    }
    if (!e->device->has_identity) {
        out->type = NP_ACTION_MAKE_IDENTITY;
        return true;
    }
    if (t->now_ms < e->retry_ms && !e->blocked) {
        due(e, e->retry_ms);
        return true;
    }
    if (needs_key(e)) {
        out->type = NP_ACTION_MAKE_KEY; /* before the name is stored: one write for both */
        return true;
    }
    if (e->dirty && t->now_ms >= e->store_ms) {
        out->type = NP_ACTION_STORE;
        return true;
    }
    if (e->dirty)
        due(e, e->store_ms);
    if (!e->identity_stored) {
        np_enrol_set_state(e, out, NP_ENROL_BACKOFF, "%s", e->store_problem);
        return true;
    }
    if (e->blocked)
        np_enrol_set_state(e, out, NP_ENROL_BLOCKED, "%s", e->problem);
    /* Before the first look at the network a request would only fail and be waited for. */
    return e->blocked || !e->network;
}

/* Who we are to HQ: enrolment and session. */
static bool decide_identity(struct np_enrol *e, const struct np_enrol_time *t, struct np_enrol_action *out)
{
    const char *name = e->device->name;
    if (!e->device->device[0] || e->need_enrol) {
        if (!e->usable)
            np_enrol_set_state(e, out, NP_ENROL_WAITING_ADDRESS, "no LAN interface has a usable address");
        else
            np_enrol_send_signed(e, t, out, NP_REQUEST_ENROL, NP_ENROL_ENROLLING,
                                 name[0] ? "HQ does not know this device any more" : "this device has no name yet");
        return true;
    }
    if (e->need_session) {
        np_enrol_send_signed(e, t, out, NP_REQUEST_SESSION, NP_ENROL_SESSION, "HQ did not accept the token");
        return true;
    }
    return false;
}

static bool decide_push(struct np_enrol *e, const struct np_enrol_time *t, struct np_enrol_action *out)
{
    int64_t at_ms = np_publisher_due(&e->publisher, t->now_ms);
    if (at_ms <= t->now_ms && np_publisher_take(&e->publisher, t->now_ms, &out->addresses)) {
        send_plain(e, t, out, NP_REQUEST_ADDRESSES, NP_ENROL_PUSHING, "the addresses to publish differ from HQ's");
        return true;
    }
    if (at_ms > t->now_ms)
        due(e, at_ms);
    return false;
}

static bool decide_checkin(struct np_enrol *e, const struct np_enrol_time *t, struct np_enrol_action *out)
{
    if (t->now_ms < e->checkin_ms) {
        due(e, e->checkin_ms);
        return false;
    }
    np_enrol_fill_checkin(e, t, &out->checkin);
    send_plain(e, t, out, NP_REQUEST_CHECKIN, NP_ENROL_CHECKING_IN, "it is time to");
    return true;
}

static void decide_certificate(struct np_enrol *e, const struct np_enrol_time *t, struct np_enrol_action *out)
{
    bool unstored = !e->csr_accepted && !e->next_stored, held = !e->csr_accepted && t->now_ms < e->csr_hold_ms;
    if (!e->csr_accepted && !held && !unstored) {
        np_enrol_send_signed(e, t, out, NP_REQUEST_CSR, NP_ENROL_SENDING_CSR, "a certificate is needed");
        return;
    }
    if (decide_push(e, t, out) || decide_checkin(e, t, out))
        return;
    if (unstored) {
        np_enrol_set_state(e, out, NP_ENROL_BACKOFF, "%s", e->store_problem);
        return;
    }
    if (held) {
        np_enrol_set_state(e, out, NP_ENROL_BACKOFF, "HQ takes this box's next CSR later");
        due(e, e->csr_hold_ms);
        return;
    }
    np_enrol_set_state(e, out, NP_ENROL_WAITING_PACKAGE, "HQ is getting the certificate");
    if (t->now_ms < e->poll_ms) {
        due(e, e->poll_ms);
        return;
    }
    send_plain(e, t, out, NP_REQUEST_PACKAGE, NP_ENROL_WAITING_PACKAGE, "");
}

int64_t np_enrol_look_ms(const struct np_enrol *e, const struct np_enrol_time *t)
{
    if (e->not_after_s == 0 || e->blocked)
        return NP_JOB_NEVER;
    int64_t wait_ms = 0;
    if (!e->awaited && t->judged_s <= e->not_after_s) {
        wait_ms = (np_renew_from_s(e->not_before_s, e->not_after_s) - t->judged_s) * 1000 + e->look_offset_ms;
        wait_ms = wait_ms < 0 ? 0 : wait_ms;
    }
    int64_t at_ms = t->now_ms + wait_ms;
    return at_ms < e->poll_ms ? e->poll_ms : at_ms;
}

/* The moment after which nothing valid is served: what was planned at the usual pace is now wanted sooner. */
static void look_at_expiry(struct np_enrol *e, const struct np_enrol_time *t)
{
    bool expired = t->judged_s > e->not_after_s;
    if (expired && !e->urgent) {
        e->looks = 0;
        if (!e->poll_ordered && e->poll_ms > t->now_ms)
            e->poll_ms = t->now_ms + (int64_t)e->below(e->below_ctx, (uint32_t)np_enrol_poll_pace(e, 0));
    }
    e->urgent = expired;
    if (!expired && e->not_after_s - t->judged_s < NP_ENROL_DAY_MS / 1000)
        due(e, t->now_ms + (e->not_after_s + 1 - t->judged_s) * 1000);
}

/* With a certificate: push addresses, check in, and look for its successor in the last quarter of its life. */
static void decide_installed(struct np_enrol *e, const struct np_enrol_time *t, struct np_enrol_action *out)
{
    look_at_expiry(e, t);
    if (decide_push(e, t, out) || decide_checkin(e, t, out))
        return;
    int64_t at_ms = np_enrol_look_ms(e, t);
    if (at_ms <= t->now_ms) {
        send_plain(e, t, out, NP_REQUEST_PACKAGE, NP_ENROL_FETCHING,
                   e->urgent    ? "the certificate has expired"
                   : e->awaited ? "HQ has a newer certificate, or gets one"
                                : "the certificate is in the last quarter of its life");
        return;
    }
    np_enrol_set_state(e, out, NP_ENROL_INSTALLED, "%s",
                       e->urgent ? "the certificate has expired; HQ has no newer one yet" : "nothing to do");
    due(e, at_ms < t->now_ms + NP_ENROL_DAY_MS ? at_ms : t->now_ms + NP_ENROL_DAY_MS);
}

static void decide(struct np_enrol *e, const struct np_enrol_time *t, struct np_enrol_action *out)
{
    e->due_ms = NP_JOB_NEVER;
    if (np_enrol_zone_is_due(e, t)) {
        e->zone = NP_ZONE_ASKING;
        out->type = NP_ACTION_ASK_ZONE;
        return;
    }
    if (np_enrol_compare_is_due(e, t)) {
        e->comparing = true;
        out->type = NP_ACTION_ASK_ZONE;
        return;
    }
    if (e->inflight != NP_REQUEST_NONE || e->checking)
        return;
    if (e->want_time && e->entropy && e->network) {
        e->want_time = false;
        e->time_ms = t->now_ms;
        send_plain(e, t, out, NP_REQUEST_TIME, NP_ENROL_ASKING_TIME, "the clock cannot be believed");
        return;
    }
    if (e->leave == NP_LEAVE_UNDER_WAY) {
        np_enrol_decide_leave(e, t, out);
        return;
    }
    if (decide_local(e, t, out) || decide_identity(e, t, out))
        return;
    if (np_enrol_decide_name(e, t, out))
        return;
    if (needs_certificate(e))
        decide_certificate(e, t, out);
    else
        decide_installed(e, t, out);
}

/* The way out, or where we are, changed: what failed for want of it is tried soon; what HQ asked to wait for is not. */
static void retry_soon(struct np_enrol *e, const struct np_enrol_time *t)
{
    if (e->state != NP_ENROL_BACKOFF || e->ordered)
        return;
    np_backoff_reset(&e->backoff);
    int64_t soon_ms = t->now_ms + (int64_t)e->below(e->below_ctx, 250);
    if (soon_ms < e->retry_ms)
        e->retry_ms = soon_ms;
}

static void on_addresses(struct np_enrol *e, const struct np_enrol_time *t, const struct np_enrol_event *event)
{
    bool changed = !np_addresses_equal(&e->wanted, event->addresses), first = !e->network;
    if (changed && !first && event->usable)
        retry_soon(e, t);
    e->network = true;
    e->usable = event->usable;
    e->wanted = *event->addresses;
    if (!e->local_only)
        np_publisher_want(&e->publisher, &e->wanted, t->now_ms);
    if (changed)
        np_enrol_zone_changed(e, t); /* after that: the debounce runs from now */
}

static void on_start(struct np_enrol *e, const struct np_enrol_time *t, bool entropy)
{
    e->entropy = entropy;
    if (!e->device->device[0])
        return;
    if (e->device->leaving == NP_LEAVING_ASKED) {
        e->leave = NP_LEAVE_UNDER_WAY;
        e->leave_resumed = true;
    }
    np_enrol_plan_boot(e, t);
    /* What HQ has is not known after a boot: its 409, or the check-in, will tell the sequence number. */
    if (e->zone == NP_ZONE_SETTLED)
        np_publisher_known(&e->publisher, 0, NULL);
    if (e->local_only)
        np_publisher_withdraw(&e->publisher, t->now_ms);
}

static void on_route(struct np_enrol *e, const struct np_enrol_time *t)
{
    retry_soon(e, t);
    if (e->zone == NP_ZONE_UNKNOWN) {
        e->zone = NP_ZONE_WANTED;
        e->zone_ms = t->now_ms + (int64_t)e->below(e->below_ctx, 250);
    }
}

void np_enrol_step(struct np_enrol *e, const struct np_enrol_time *t, const struct np_enrol_event *event,
                   struct np_enrol_action *out)
{
    memset(out, 0, sizeof *out);
    switch (event->type) {
    case NP_EVENT_START:
        on_start(e, t, event->entropy);
        e->want_time = e->can_time && event->no_clock;
        break;
    case NP_EVENT_TIMER:
        break;
    case NP_EVENT_ENTROPY:
        e->entropy = true;
        break;
    case NP_EVENT_MADE:
        e->dirty = true;
        e->next_stored = e->csr_accepted = false; /* HQ cannot have heard of it */
        break;
    case NP_EVENT_STORED:
        np_enrol_on_stored(e, t, event);
        break;
    case NP_EVENT_ADDRESSES:
        on_addresses(e, t, event);
        break;
    case NP_EVENT_ROUTE:
        on_route(e, t);
        break;
    case NP_EVENT_RESPONSE:
        np_enrol_on_response(e, t, event, out);
        break;
    case NP_EVENT_FAILED:
        np_enrol_on_failed(e, t, event, out);
        break;
    case NP_EVENT_CHECKED:
        np_enrol_on_checked(e, t, event, out);
        break;
    case NP_EVENT_ZONE:
        np_enrol_on_zone(e, t, event);
        break;
    case NP_EVENT_LEAVE:
        np_enrol_on_leave(e, t, event, out);
        break;
    case NP_EVENT_NAME:
        np_enrol_on_wish(e, t, event);
        break;
    case NP_EVENT_RENEW:
        np_enrol_on_renew(e, t);
        break;
    case NP_EVENT_ROTATE:
        np_enrol_on_rotate(e);
        break;
    }
    if (out->type == NP_ACTION_NONE)
        decide(e, t, out);
}

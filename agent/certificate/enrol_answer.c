#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "agent/certificate/enrol_private.h"
#include "agent/identity/clock.h"
#include "resolver/base/error.h"
#include "resolver/base/text.h"

void np_enrol_fail(struct np_enrol *e, const struct np_enrol_time *t, struct np_enrol_action *out,
                   int64_t retry_after_ms, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(e->problem, sizeof e->problem, format, args);
    va_end(args);
    int64_t delay_ms = np_backoff_fail(&e->backoff, retry_after_ms, e->below, e->below_ctx);
    e->retry_ms = t->now_ms + delay_ms;
    e->ordered = retry_after_ms > 0;
    if (e->leave == NP_LEAVE_UNDER_WAY && !e->leave_resumed)
        np_enrol_leave_failed(e, true, e->problem); /* whoever waits for it is told now, and decides */
    np_enrol_ask_failed(e, "", e->problem);
    np_enrol_set_state(e, out, NP_ENROL_BACKOFF, "%.200s; next try in %lld.%lld s", e->problem,
                       (long long)(delay_ms / 1000), (long long)(delay_ms % 1000 / 100));
}

/* A step was taken: nothing is waited for. How long the next failure waits is forgotten only when a token was accepted
 * (np_backoff_reset): enrolments and sessions that lead nowhere must not make a quick circle. */
static void progress(struct np_enrol *e)
{
    e->retry_ms = 0;
    e->ordered = false;
    e->problem[0] = 0;
}

void np_enrol_on_stored(struct np_enrol *e, const struct np_enrol_time *t, const struct np_enrol_event *event)
{
    if (event->rc == 0) {
        e->dirty = false;
        e->identity_stored = e->device->has_identity;
        e->next_stored = e->device->has_next;
        e->store_problem[0] = 0;
        np_backoff_reset(&e->store_backoff);
        np_enrol_use_token(e);
        if (e->leave == NP_LEAVE_FORGETTING || e->leave == NP_LEAVE_UNWRITTEN)
            e->leave = NP_LEAVE_DONE;
        return;
    }
    e->store_ms = t->now_ms + np_backoff_fail(&e->store_backoff, 0, e->below, e->below_ctx);
    snprintf(e->store_problem, sizeof e->store_problem, "the state cannot be written: %s", np_strerror(event->rc));
    if (e->leave == NP_LEAVE_UNDER_WAY && !e->leave_resumed) {
        np_enrol_leave_failed(e, false, e->store_problem); /* a wish that a power cut could lose is not begun */
    } else if (e->leave == NP_LEAVE_FORGETTING) {
        e->leave = NP_LEAVE_UNWRITTEN;
        memcpy(e->leave_problem, e->store_problem, sizeof e->leave_problem);
    }
}

/* HQ's signature of the time is wanted, if it can be had now. */
static bool want_time(struct np_enrol *e, const struct np_enrol_time *t)
{
    bool may = e->can_time && (e->time_ms == 0 || t->now_ms - e->time_ms >= NP_ENROL_TIME_MS);
    e->want_time |= may;
    return may;
}

void np_enrol_on_failed(struct np_enrol *e, const struct np_enrol_time *t, const struct np_enrol_event *event,
                        struct np_enrol_action *out)
{
    if (e->inflight == NP_REQUEST_ADDRESSES)
        np_publisher_failed(&e->publisher, t->now_ms, 0, e->below, e->below_ctx);
    bool dated = event->rc == NP_E_DATE && e->inflight != NP_REQUEST_TIME;
    e->inflight = NP_REQUEST_NONE;
    if (dated && want_time(e, t)) /* is it HQ's certificate that is wrong, or our clock? */
        return;
    np_enrol_fail(e, t, out, 0, "%s", event->reason ? event->reason : np_strerror(event->rc));
}

static int64_t clamp_poll(int64_t ms)
{
    return ms < NP_ENROL_POLL_MIN_MS ? NP_ENROL_POLL_MIN_MS : ms > NP_ENROL_POLL_MAX_MS ? NP_ENROL_POLL_MAX_MS : ms;
}

int64_t np_enrol_poll_pace(const struct np_enrol *e, int64_t retry_after_ms)
{
    if (retry_after_ms > 0)
        return clamp_poll(retry_after_ms);
    return clamp_poll(e->device->poll_s > 0 ? e->device->poll_s * 1000 : NP_ENROL_POLL_MS);
}

static void on_enrolled(struct np_enrol *e, const struct np_enrol_time *t, const struct np_enrol_answer *answer)
{
    struct np_state *d = e->device;
    if (strcmp(d->device, answer->device) != 0) {
        /* Another row at HQ: its auth token is not ours yet, the poll token is. */
        d->has_auth = false;
        np_wipe(d->auth_token, sizeof d->auth_token);
        d->n = 0;
        d->etag[0] = 0;
    }
    memcpy(d->device, answer->device, sizeof d->device);
    memcpy(d->nameservers, answer->nameservers, sizeof d->nameservers);
    d->nameserver_count = answer->nameserver_count;
    d->ttl_s = answer->ttl_s;
    d->poll_s = answer->poll_s;
    d->checkin_s = answer->checkin_s;
    d->boot_jitter_s = answer->boot_jitter_s;
    e->csr_accepted = e->need_enrol = e->need_session = false;
    e->dirty = true;
    np_enrol_use_token(e); /* of the row that HQ has now */
    np_enrol_take_names(e, &answer->names, answer->grant);
    np_publisher_known(&e->publisher, answer->seq, &e->stated);
    e->has_pushed = false; /* what HQ keeps out of the zone is not known yet */
    np_enrol_plan_checkin(e, t);
    e->zone = NP_ZONE_SETTLED;
    e->session_fresh = true;
    progress(e);
}

static void on_csr(struct np_enrol *e, const struct np_enrol_time *t, const struct np_response *r)
{
    /* The first look is when HQ expects to be done; Retry-After is whole seconds and so the floor of later looks only.
     */
    int64_t eta_ms = r->csr.eta_s * 1000;
    e->csr_accepted = true;
    e->looks = 0;
    e->poll_ordered = false;
    e->poll_ms = t->now_ms + (eta_ms > 0 ? clamp_poll(eta_ms) : np_enrol_poll_pace(e, r->retry_after_ms));
    progress(e);
}

static void on_pending(struct np_enrol *e, const struct np_enrol_time *t, const struct np_response *r,
                       struct np_enrol_action *out)
{
    bool dead = strcmp(r->pending.state, "dead") == 0;
    if (dead && e->device->wanted[0])
        np_enrol_want_names(e); /* the CA may not have it */
    if (dead || strcmp(r->pending.state, "none") == 0) {
        /* HQ has nothing to work on: a CSR it lost, or an order that failed for good. A key in use is never dropped. */
        e->csr_accepted = false;
        e->want_csr = e->want_csr || e->covered; /* else one is needed anyhow */
        if (dead && e->dead_ms == 0)
            e->dead_ms = t->now_ms;
        /* The key is seldom why: HQ takes the same CSR up again, and a box may bring few keys. */
        if (dead && e->device->has_next && t->now_ms - e->dead_ms >= NP_ENROL_DEAD_KEY_MS) {
            e->dead_ms = 0;
            e->device->has_next = false;
            np_wipe(&e->device->next, sizeof e->device->next);
            e->dirty = true;
        }
        np_enrol_fail(e, t, out, r->retry_after_ms, "HQ %s",
                      dead ? "gave up this order: the CSR is sent again" : "has no CSR of this device");
        return;
    }
    np_backoff_reset(&e->backoff);
    progress(e);
    if (e->covered || (e->serves && t->judged_s <= e->not_after_s)) { /* what is served meanwhile is good */
        e->awaited = !e->want_csr;
        np_enrol_look_again(e, t, r->retry_after_ms);
        return;
    }
    e->poll_ms = t->now_ms + np_enrol_poll_pace(e, r->retry_after_ms);
    e->poll_ordered = r->retry_after_ms > 0;
}

static void on_package(struct np_enrol *e, const struct np_enrol_time *t, const struct np_response *r,
                       struct np_enrol_action *out)
{
    if (r->status == 202) {
        on_pending(e, t, r, out);
    } else if (r->status == 304) {
        np_backoff_reset(&e->backoff);
        progress(e);
        np_enrol_look_again(e, t, r->retry_after_ms);
    } else {
        e->checking = true;
        out->type = NP_ACTION_CHECK;
    }
}

/* HQ's auth token n. Returns whether it is another one. */
static bool take_auth(struct np_state *d, const uint8_t token[NP_TOKEN_LEN], int64_t n)
{
    if (d->has_auth && d->n == n && memcmp(d->auth_token, token, NP_TOKEN_LEN) == 0)
        return false;
    memcpy(d->auth_token, token, NP_TOKEN_LEN);
    d->n = n;
    d->has_auth = true;
    return true;
}

void np_enrol_on_checked(struct np_enrol *e, const struct np_enrol_time *t, const struct np_enrol_event *event,
                         struct np_enrol_action *out)
{
    struct np_state *d = e->device;
    const struct np_response *r = event->response;
    e->checking = false;
    if (event->rc) {
        if (event->rc == NP_E_KEY) {
            /* Of an older CSR: HQ hears the current one again. Twice: its key was lost, with a generation of the state
             * perhaps. */
            e->csr_accepted = false;
            e->want_csr = e->want_csr || ++e->key_failures > 1;
        }
        if (event->rc == NP_E_NAME && (d->wanted[0] || d->old[0]))
            np_enrol_want_names(e); /* HQ has given the name up, or ended one */
        np_enrol_fail(e, t, out, 0, "HQ's package is refused: %s", event->reason);
        return;
    }
    if (d->has_chain && strcmp(d->chain, event->package->chain) == 0) {
        /* What a 304 would have said: its ETag got lost on the way. The new one is kept without a write of its own. */
        memcpy(d->etag, r->etag, sizeof d->etag);
        e->dirty = take_auth(d, r->package.auth_token, r->package.n) || e->dirty;
        np_backoff_reset(&e->backoff);
        progress(e);
        np_enrol_look_again(e, t, r->retry_after_ms);
        return;
    }
    if (event->from_next) {
        d->tls = d->next;
        np_wipe(&d->next, sizeof d->next);
        d->has_next = e->rotate = false;
    }
    memcpy(d->chain, event->package->chain, sizeof d->chain);
    memcpy(d->etag, r->etag, sizeof d->etag);
    (void)take_auth(d, r->package.auth_token, r->package.n);
    d->has_chain = true;
    e->want_csr = d->has_next || e->rotate; /* a renewal for the key in use came first: the other key is still wanted */
    e->csr_accepted = e->csr_accepted && d->has_next;
    e->dirty = e->install = true;
    e->poll_ms = 0;
    e->awaited = e->urgent = e->poll_ordered = false;
    e->looks = e->key_failures = 0;
    e->dead_ms = 0;
    char name[NP_NAME_MAX + 1];
    memcpy(name, d->name, sizeof name);
    np_enrol_read_installed(e);
    if (strcmp(name, d->name) != 0)
        np_enrol_want_names(e);
    e->look_offset_ms = (int64_t)e->below(e->below_ctx, (uint32_t)np_renew_pace_ms(e->not_before_s, e->not_after_s));
    if (np_renew_is_due(e->not_before_s, e->not_after_s, t->judged_s))
        np_enrol_look_again(e, t, r->retry_after_ms); /* it is old already: the next one is not there at once */
    np_backoff_reset(&e->backoff);
    progress(e);
}

static void on_session(struct np_enrol *e, const struct np_session_answer *answer)
{
    struct np_state *d = e->device;
    e->need_session = false;
    e->session_fresh = true;
    e->need_enrol = !np_enrol_is_called(d, answer->name); /* repeated, it tells all that belongs to the name */
    if (!e->need_enrol && strcmp(answer->name, d->name) != 0)
        np_enrol_want_names(e);
    if (take_auth(d, answer->auth_token, answer->n))
        e->dirty = true;
    np_enrol_use_token(e); /* stored or not: HQ takes no other */
    np_publisher_known(&e->publisher, answer->seq, NULL);
    e->zone = NP_ZONE_SETTLED;
    progress(e);
}

/* The token or the device is not known. A session that was just opened and did not help is no reason for another one at
 * once. */
static void ask_session(struct np_enrol *e, const struct np_enrol_time *t, struct np_enrol_action *out,
                        const char *text)
{
    e->need_session = true;
    if (e->session_fresh)
        np_enrol_fail(e, t, out, 0, "%s", text);
    e->session_fresh = false;
}

static bool is(const struct np_response *r, const char *type)
{
    return strcmp(r->problem.type, type) == 0;
}

static void on_bad_nonce(struct np_enrol *e, const struct np_enrol_time *t, const struct np_response *r,
                         struct np_enrol_action *out, const char *text)
{
    if (++e->nonce_failures > NP_ENROL_NONCE_RETRIES) {
        e->nonce_failures = 0;
        np_enrol_fail(e, t, out, r->retry_after_ms, "%s", text);
    }
}

static void on_refused(struct np_enrol *e, const struct np_enrol_time *t, struct np_enrol_action *out, const char *text)
{
    snprintf(e->problem, sizeof e->problem, "%s", text);
    e->retry_ms = t->now_ms + NP_ENROL_REFUSED_MS + (int64_t)e->below(e->below_ctx, NP_ENROL_REFUSED_MS / 10);
    e->ordered = true;
    np_enrol_set_state(e, out, NP_ENROL_REFUSED, "%s; next try in a day", text);
}

static void postpone_checkin(struct np_enrol *e, const struct np_enrol_time *t)
{
    e->checkin_ms =
        t->now_ms + NP_RENEW_CHECKIN_DEFECT_MS + (int64_t)e->below(e->below_ctx, NP_RENEW_CHECKIN_DEFECT_MS);
}

static void on_problem(struct np_enrol *e, const struct np_enrol_time *t, enum np_request request,
                       const struct np_response *r, struct np_enrol_action *out)
{
    char text[NP_ENROL_REASON_MAX];
    snprintf(text, sizeof text, "HQ answered %s with %d %s%s%.160s", np_request_name(request), r->status,
             r->problem.type, r->problem.detail[0] ? ": " : "", r->problem.detail);
    snprintf(e->problem, sizeof e->problem, "%s", text);
    if (request == NP_REQUEST_TIME) { /* whoever answers was judged at another time: his signed time alone counts */
        np_enrol_fail(e, t, out, 0, "%s", text);
        return;
    }
    bool bearer = request == NP_REQUEST_PACKAGE || request == NP_REQUEST_ADDRESSES || request == NP_REQUEST_CHECKIN;
    if ((request == NP_REQUEST_LEAVE && (is(r, "retired") || is(r, "unknown-device"))) ||
        (is(r, "retired") && e->device->leaving != NP_LEAVING_NOT)) {
        np_enrol_forget(e, t, out); /* HQ has nothing of this device any more, as its owner wanted */
        return;
    }
    if (request == NP_REQUEST_ADDRESSES) {
        if (is(r, "stale-seq") && r->problem.has_seq) {
            e->problem[0] = 0;
            np_publisher_stale(&e->publisher, r->problem.seq, t->now_ms);
            return;
        }
        np_publisher_failed(&e->publisher, t->now_ms, r->retry_after_ms, e->below, e->below_ctx);
    }
    if (request == NP_REQUEST_NAME && np_enrol_on_name_problem(e, t, r)) {
        return;
    } else if (is(r, "bad-nonce")) {
        on_bad_nonce(e, t, r, out, text);
    } else if (is(r, "blocked") || is(r, "retired")) {
        e->blocked = true;
        if (request == NP_REQUEST_LEAVE)
            np_enrol_leave_failed(e, false, text);
        np_enrol_set_state(e, out, NP_ENROL_BLOCKED, "%s", text);
    } else if (is(r, "bad-credential") || is(r, "credential-unsupported")) {
        on_refused(e, t, out, text);
    } else if (r->status == 401 && bearer) {
        ask_session(e, t, out, text);
    } else if (is(r, "unknown-device") && request == NP_REQUEST_SESSION) {
        e->need_session = false;
        e->need_enrol = true;
    } else if (is(r, "unknown-device") && request != NP_REQUEST_ENROL) {
        ask_session(e, t, out, text);
    } else if (request == NP_REQUEST_CHECKIN && r->status < 500 && r->retry_after_ms == 0) {
        postpone_checkin(e, t); /* a defect: nothing else has to wait for it */
    } else if (request == NP_REQUEST_CSR && r->status == 429) {
        /* A quota may last for days, and the home's addresses change meanwhile. */
        e->csr_hold_ms = t->now_ms + np_backoff_fail(&e->backoff, r->retry_after_ms, e->below, e->below_ctx);
    } else {
        if (is(r, "key-reused") && e->device->has_next) {
            e->device->has_next = false; /* never certified: nothing is lost with it */
            np_wipe(&e->device->next, sizeof e->device->next);
            e->dirty = true;
        }
        if (is(r, "bad-csr"))
            e->need_enrol = true; /* perhaps the names are others by now */
        np_enrol_fail(e, t, out, r->retry_after_ms, "%s", text);
    }
}

/* Is this status what the request's answer has? */
static bool expected(enum np_request request, int status)
{
    switch (request) {
    case NP_REQUEST_NONCE:
        return status == 200 || status == 204;
    case NP_REQUEST_ENROL:
        return status == 200 || status == 201;
    case NP_REQUEST_CSR:
        return status == 200 || status == 202;
    case NP_REQUEST_PACKAGE:
        return status == 200 || status == 202 || status == 304;
    case NP_REQUEST_LEAVE:
        return status == 200 || status == 204;
    default:
        return status == 200;
    }
}

static void on_success(struct np_enrol *e, const struct np_enrol_time *t, enum np_request request,
                       const struct np_response *r, struct np_enrol_action *out)
{
    switch (request) {
    case NP_REQUEST_NONCE:
        if (!e->nonce[0])
            np_enrol_fail(e, t, out, r->retry_after_ms, "HQ sent no nonce");
        return;
    case NP_REQUEST_ENROL:
        on_enrolled(e, t, &r->enrol);
        break;
    case NP_REQUEST_CSR:
        on_csr(e, t, r);
        break;
    case NP_REQUEST_SESSION:
        on_session(e, &r->session);
        break;
    case NP_REQUEST_PACKAGE:
        e->session_fresh = false;
        on_package(e, t, r, out);
        return;
    case NP_REQUEST_ADDRESSES:
        e->session_fresh = false;
        np_publisher_done(&e->publisher, t->now_ms);
        e->pushed = r->addresses;
        e->has_pushed = true;
        e->compare_ms = 0; /* the zone follows in its own time */
        np_backoff_reset(&e->backoff);
        progress(e);
        return;
    case NP_REQUEST_CHECKIN:
        e->session_fresh = false;
        np_backoff_reset(&e->backoff);
        progress(e);
        np_enrol_on_checkin(e, t, &r->checkin);
        return;
    case NP_REQUEST_LEAVE:
        np_enrol_forget(e, t, out);
        return;
    case NP_REQUEST_NAME:
        np_enrol_on_name(e, t, &r->name);
        progress(e);
        break;
    case NP_REQUEST_TIME:
        e->retry_ms = 0; /* what failed by the old time may succeed by the new one */
        return;
    case NP_REQUEST_NONE:
        return;
    }
    e->nonce_failures = 0; /* a signed request went through */
}

void np_enrol_on_response(struct np_enrol *e, const struct np_enrol_time *t, const struct np_enrol_event *event,
                          struct np_enrol_action *out)
{
    const struct np_response *r = event->response;
    enum np_request request = e->inflight;
    if (request == NP_REQUEST_NONE || r->request != request)
        return; /* of a request that was given up */
    e->inflight = NP_REQUEST_NONE;
    e->last_contact_ms = t->now_ms;
    if (r->time_s && np_clock_differs(r->time_s, t->judged_s))
        want_time(e, t); /* the clock is wrong, or the time that HQ signed before, or HQ's clock is: let it sign */
    if (r->nonce[0]) {
        memcpy(e->nonce, r->nonce, sizeof e->nonce);
        e->nonce_ms = t->now_ms;
    }
    if (r->status >= 400) {
        on_problem(e, t, request, r, out);
    } else if (r->rc || !expected(request, r->status)) {
        if (request == NP_REQUEST_ADDRESSES)
            np_publisher_failed(&e->publisher, t->now_ms, 0, e->below, e->below_ctx);
        if (request == NP_REQUEST_CHECKIN)
            postpone_checkin(e, t);
        np_enrol_fail(e, t, out, r->retry_after_ms, "HQ's answer to %s (status %d) cannot be used: %s",
                      np_request_name(request), r->status, r->rc ? np_strerror(r->rc) : "unexpected status");
    } else {
        on_success(e, t, request, r, out);
    }
}

#include "hq/acme/order.h"

#include <stdio.h>
#include <string.h>

#include "resolver/base/error.h"

/* What a step is working with. */
struct step {
    struct np_order_run *run;
    int64_t now_ms;
    np_random_below_fn *below;
    void *ctx;
    struct np_order_action *action;
};

const char *np_order_do_name(enum np_order_do what)
{
    static const char *const names[] = {"nothing",          "newOrder", "order",    "authorization", "publish TXT",
                                        "answer challenge", "finalize", "download", "withdraw TXT",  "release"};
    return what <= NP_ORDER_DO_RELEASE ? names[what] : "?";
}

static void set_state(struct step *s, enum np_order_state state)
{
    s->run->order.state = state;
    s->action->store = true;
}

static void act_on(struct step *s, enum np_order_do what, size_t index, int64_t delay_ms)
{
    s->action->what = what;
    s->action->index = index;
    s->action->delay_ms = delay_ms;
    s->run->last = what;
    s->run->last_index = index;
}

static void act(struct step *s, enum np_order_do what)
{
    act_on(s, what, 0, 0);
}

static void set_error(struct step *s, const char *why)
{
    snprintf(s->run->order.error, sizeof s->run->order.error, "%s", why ? why : "");
}

void np_order_forget(struct np_order *order)
{
    order->begun = false;
    order->order_url[0] = order->finalize_url[0] = order->certificate_url[0] = 0;
    for (size_t i = 0; i < order->authorization_count; i++) {
        struct np_order_authorization *authorization = &order->authorizations[i];
        authorization->url[0] = authorization->challenge[0] = authorization->txt[0] = 0;
    }
}

/* Finalizing may have begun where its answer was lost. */
static void note_end(struct step *s)
{
    s->action->unspent = s->run->order.state < NP_ORDER_READY;
}

/* This order is lost or useless: forget its URLs, begin anew later. */
static void restart_later(struct step *s, const char *why, int64_t retry_after_ms)
{
    struct np_order *order = &s->run->order;
    struct np_backoff backoff = {NP_ORDER_BACKOFF_FIRST_MS, NP_ORDER_BACKOFF_CAP_MS,
                                 order->attempts > 100 ? 100 : (unsigned)order->attempts};
    note_end(s);
    set_error(s, why);
    order->next_try_ms = s->now_ms + np_backoff_fail(&backoff, retry_after_ms, s->below, s->ctx);
    order->attempts++;
    np_order_forget(order);
    set_state(s, NP_ORDER_BACKOFF);
    act(s, NP_ORDER_DO_RELEASE);
}

/* Back into the queue, for another CA: nothing is the order's fault. */
static void move(struct step *s, const char *why)
{
    note_end(s);
    set_error(s, why);
    np_order_forget(&s->run->order);
    set_state(s, NP_ORDER_QUEUED);
    act(s, NP_ORDER_DO_RELEASE);
}

static void give_up(struct step *s, const char *why)
{
    note_end(s);
    set_error(s, why);
    set_state(s, NP_ORDER_DEAD);
    act(s, NP_ORDER_DO_RELEASE);
}

/* Looks at the order again after a pause: short at first and then a fifth of what was waited already, so that HQ adds
 * at most that to a CA's own time; the CA's Retry-After is a floor (RFC 8555 section 7.4, 7.5.1). */
static void poll(struct step *s, int64_t retry_after_ms)
{
    struct np_order_run *run = s->run;
    if (run->waiting_since_ms == 0)
        run->waiting_since_ms = s->now_ms;
    int64_t waited_ms = s->now_ms - run->waiting_since_ms, delay_ms = waited_ms / 5;
    if (waited_ms > NP_ORDER_POLL_LIMIT_MS || waited_ms < 0) {
        restart_later(s, "the CA did not finish the order in an hour", 0);
        return;
    }
    if (delay_ms < NP_ORDER_POLL_FIRST_MS)
        delay_ms = NP_ORDER_POLL_FIRST_MS;
    if (delay_ms > NP_ORDER_POLL_CAP_MS)
        delay_ms = NP_ORDER_POLL_CAP_MS;
    act_on(s, NP_ORDER_DO_FETCH_ORDER, 0, delay_ms > retry_after_ms ? delay_ms : retry_after_ms);
}

bool np_order_matches(const struct np_order *order, const struct np_acme_order *theirs)
{
    if (theirs->identifier_count != order->authorization_count)
        return false;
    for (size_t i = 0; i < order->authorization_count; i++) {
        bool found = false;
        for (size_t k = 0; k < theirs->identifier_count; k++)
            found = found || strcmp(order->authorizations[i].name, theirs->identifiers[k]) == 0;
        if (!found)
            return false;
    }
    return true;
}

/* The first authorization that the CA has not told about in this run, or else the next part of the way. */
static void next_authorization(struct step *s)
{
    struct np_order_run *run = s->run;
    bool pending = false;
    for (size_t i = 0; i < run->order.authorization_count; i++) {
        if (run->authz[i] == NP_AUTHZ_UNKNOWN) {
            act_on(s, NP_ORDER_DO_FETCH_AUTHZ, i, 0);
            return;
        }
        pending = pending || run->authz[i] != NP_AUTHZ_VALID;
    }
    if (!pending) {
        poll(s, 0); /* all valid already (authorizations are reused): the order is about to be ready */
        return;
    }
    set_state(s, NP_ORDER_TXT_QUEUED);
    act(s, NP_ORDER_DO_PUBLISH);
}

/* Answers the next challenge, or polls when all are answered. */
static void next_challenge(struct step *s)
{
    struct np_order_run *run = s->run;
    for (size_t i = 0; i < run->order.authorization_count; i++) {
        if (run->authz[i] == NP_AUTHZ_PENDING) {
            act_on(s, NP_ORDER_DO_CHALLENGE, i, 0);
            return;
        }
    }
    set_state(s, NP_ORDER_CHALLENGED);
    run->waiting_since_ms = 0;
    poll(s, 0);
}

static void begin(struct step *s)
{
    struct np_order *order = &s->run->order;
    switch (order->state) {
    case NP_ORDER_DONE:
    case NP_ORDER_DEAD:
        act(s, NP_ORDER_DO_RELEASE);
        return;
    case NP_ORDER_ISSUED:
        act(s, NP_ORDER_DO_WITHDRAW);
        return;
    case NP_ORDER_QUEUED:
    case NP_ORDER_BACKOFF:
        /* On disk before the request: only what was begun can be at the CA without our knowing. */
        if (!order->begun || order->state != NP_ORDER_QUEUED) {
            order->begun = true;
            set_state(s, NP_ORDER_QUEUED);
        }
        act(s, NP_ORDER_DO_NEW_ORDER);
        return;
    default:
        break;
    }
    if (order->order_url[0])
        act(s, NP_ORDER_DO_FETCH_ORDER);
    else
        restart_later(s, "the stored order has no URL", 0);
}

/* newOrder's answer: remember where everything is. */
static void take_order(struct step *s, const struct np_order_event *event)
{
    struct np_order_run *run = s->run;
    struct np_order *order = &run->order;
    const struct np_acme_order *theirs = event->order;
    if (!event->order_url || !event->order_url[0] || !np_order_matches(order, theirs) ||
        theirs->authorization_count != order->authorization_count) {
        restart_later(s, "the CA's order has no Location, or other names than ours", event->retry_after_ms);
        return;
    }
    snprintf(order->order_url, sizeof order->order_url, "%s", event->order_url);
    snprintf(order->finalize_url, sizeof order->finalize_url, "%s", theirs->finalize);
    for (size_t i = 0; i < order->authorization_count; i++) {
        struct np_order_authorization *authorization = &order->authorizations[i];
        snprintf(authorization->url, sizeof authorization->url, "%s", theirs->authorizations[i]);
        authorization->challenge[0] = authorization->txt[0] = 0;
        run->authz[i] = NP_AUTHZ_UNKNOWN;
    }
    set_error(s, "");
    set_state(s, NP_ORDER_ORDERED);
}

static void on_invalid(struct step *s, const struct np_acme_problem *problem, const char *what, int64_t retry_after_ms)
{
    char why[2 * NP_ORDER_ERROR_MAX]; /* set_error cuts it */
    snprintf(why, sizeof why, "%s%s%s%s%s", what, problem->type[0] ? ": " : "", problem->type,
             problem->detail[0] ? ": " : "", problem->detail);
    restart_later(s, why, retry_after_ms);
}

static void on_order(struct step *s, const struct np_order_event *event)
{
    struct np_order_run *run = s->run;
    struct np_order *order = &run->order;
    const struct np_acme_order *theirs = event->order;
    if (order->state == NP_ORDER_QUEUED) {
        take_order(s, event);
        if (order->state != NP_ORDER_ORDERED)
            return;
    }
    switch (theirs->status) {
    case NP_ACME_PENDING:
        if (order->state == NP_ORDER_CHALLENGED && run->authz[0] != NP_AUTHZ_UNKNOWN)
            poll(s, event->retry_after_ms);
        else if (run->waiting_since_ms != 0)
            poll(s, event->retry_after_ms); /* next_authorization found all of them valid */
        else
            next_authorization(s);
        return;
    case NP_ACME_READY:
        run->waiting_since_ms = 0;
        set_state(s, NP_ORDER_READY);
        act(s, NP_ORDER_DO_FINALIZE);
        return;
    case NP_ACME_PROCESSING:
        if (order->state != NP_ORDER_FINALIZING) {
            set_state(s, NP_ORDER_FINALIZING);
            run->waiting_since_ms = 0;
        }
        poll(s, event->retry_after_ms);
        return;
    case NP_ACME_VALID:
        snprintf(order->certificate_url, sizeof order->certificate_url, "%s", theirs->certificate);
        set_state(s, NP_ORDER_FINALIZING);
        act(s, NP_ORDER_DO_DOWNLOAD);
        return;
    case NP_ACME_INVALID:
        s->action->failed_authorization = order->state <= NP_ORDER_CHALLENGED;
        on_invalid(s, &theirs->error, "the CA's order is invalid", event->retry_after_ms);
        return;
    }
}

/* An authorization's URL says nothing about its name, so the slot of the name takes it: what was fetched for slot
 * `index` moves to the slot of its name, and that slot's URL to `index`. Returns the slot or -1. */
static long place(struct np_order_run *run, size_t index, const char *name)
{
    struct np_order *order = &run->order;
    char url[NP_URL_MAX + 1];
    for (size_t i = 0; i < order->authorization_count; i++) {
        if (strcmp(order->authorizations[i].name, name) != 0)
            continue;
        if (i != index && run->authz[i] != NP_AUTHZ_UNKNOWN)
            return -1; /* two authorizations for one name */
        memcpy(url, order->authorizations[i].url, sizeof url);
        memcpy(order->authorizations[i].url, order->authorizations[index].url, sizeof url);
        memcpy(order->authorizations[index].url, url, sizeof url);
        return (long)i;
    }
    return -1;
}

static void on_authorization(struct step *s, const struct np_order_event *event)
{
    struct np_order_run *run = s->run;
    const struct np_acme_authorization *authz = event->authz;
    long slot = event->index < run->order.authorization_count ? place(run, event->index, authz->name) : -1;
    if (slot < 0) {
        restart_later(s, "the CA's authorizations are not for our names", 0);
        return;
    }
    struct np_order_authorization *authorization = &run->order.authorizations[slot];
    if (authz->status == NP_ACME_VALID) {
        run->authz[slot] = NP_AUTHZ_VALID;
        next_authorization(s);
        return;
    }
    const struct np_acme_challenge *challenge = event->challenge;
    if (authz->status != NP_ACME_PENDING || (challenge && challenge->status == NP_ACME_INVALID)) {
        static const struct np_acme_problem none = {.status = 0};
        s->action->failed_authorization = challenge && challenge->status == NP_ACME_INVALID && challenge->error.type[0];
        on_invalid(s, challenge ? &challenge->error : &none, "an authorization is invalid", 0);
        return;
    }
    if (!challenge || !event->txt) {
        give_up(s, "the CA offers no challenge that HQ can meet (acme-challenges)");
        return;
    }
    snprintf(authorization->challenge, sizeof authorization->challenge, "%s", challenge->url);
    snprintf(authorization->txt, sizeof authorization->txt, "%s", event->txt);
    run->authz[slot] = challenge->status == NP_ACME_PENDING ? NP_AUTHZ_PENDING : NP_AUTHZ_ANSWERED;
    next_authorization(s);
}

/* The same action again after a pause; a long pause before newOrder gives the place in flight back. */
static void retry(struct step *s, const struct np_order_event *event)
{
    struct np_order_run *run = s->run;
    struct np_backoff backoff = {NP_ORDER_RETRY_FIRST_MS, NP_ORDER_RETRY_CAP_MS, run->retries};
    int64_t delay_ms = np_backoff_fail(&backoff, event->retry_after_ms, s->below, s->ctx);
    unsigned retries = backoff.failures;
    if (run->last == NP_ORDER_DO_NEW_ORDER && delay_ms > NP_ORDER_RETRY_LONG_MS) {
        restart_later(s, event->why, event->retry_after_ms);
        return;
    }
    set_error(s, event->why);
    s->action->store = true; /* the error is shown to the operator */
    act_on(s, run->last, run->last_index, delay_ms);
    run->retries = retries;
}

static void on_failed(struct step *s, const struct np_order_event *event)
{
    struct np_order_run *run = s->run;
    switch (event->failure) {
    case NP_ORDER_FAILURE_RETRY:
        retry(s, event);
        return;
    case NP_ORDER_FAILURE_LOOK:
        /* Everything is asked again, as after a crash; paced, so that two sides that disagree do not spin. */
        if (++run->looks > NP_ORDER_LOOKS_MAX) {
            restart_later(s, event->why, event->retry_after_ms);
            return;
        }
        for (size_t i = 0; i < run->order.authorization_count; i++)
            run->authz[i] = NP_AUTHZ_UNKNOWN;
        run->waiting_since_ms = 0;
        run->last = NP_ORDER_DO_FETCH_ORDER;
        run->last_index = 0;
        retry(s, event);
        return;
    case NP_ORDER_FAILURE_RESTART:
        restart_later(s, event->why, event->retry_after_ms);
        return;
    case NP_ORDER_FAILURE_MOVE:
        move(s, event->why);
        return;
    case NP_ORDER_FAILURE_BARE:
        run->without |= event->without;
        s->action->store = true; /* it may cost something now */
        act(s, NP_ORDER_DO_NEW_ORDER);
        return;
    case NP_ORDER_FAILURE_DEAD:
        give_up(s, event->why);
        return;
    }
}

/* Is the event an answer to the action under way? */
static bool in_turn(const struct np_order_run *run, const struct np_order_event *event)
{
    switch (event->type) {
    case NP_ORDER_BEGIN:
        return run->last == NP_ORDER_DO_NOTHING;
    case NP_ORDER_GOT_ORDER:
        return run->last == NP_ORDER_DO_NEW_ORDER || run->last == NP_ORDER_DO_FETCH_ORDER ||
               run->last == NP_ORDER_DO_FINALIZE;
    case NP_ORDER_GOT_AUTHZ:
        return run->last == NP_ORDER_DO_FETCH_AUTHZ && event->index == run->last_index;
    case NP_ORDER_SHOWN:
        return run->last == NP_ORDER_DO_PUBLISH;
    case NP_ORDER_CHALLENGE_SENT:
        return run->last == NP_ORDER_DO_CHALLENGE && event->index == run->last_index;
    case NP_ORDER_GOT_CHAIN:
        return run->last == NP_ORDER_DO_DOWNLOAD;
    case NP_ORDER_WITHDRAWN:
        return run->last == NP_ORDER_DO_WITHDRAW;
    case NP_ORDER_FAILED:
        return run->last != NP_ORDER_DO_NOTHING && run->last != NP_ORDER_DO_RELEASE;
    }
    return false;
}

void np_order_step(struct np_order_run *run, const struct np_order_event *event, int64_t now_ms,
                   np_random_below_fn *below, void *ctx, struct np_order_action *out_action)
{
    struct step s = {run, now_ms, below, ctx, out_action};
    *out_action = (struct np_order_action){.what = NP_ORDER_DO_NOTHING, .from = run->order.state};
    if (!in_turn(run, event))
        return;
    if (event->type != NP_ORDER_FAILED)
        run->retries = 0;
    switch (event->type) {
    case NP_ORDER_BEGIN:
        begin(&s);
        break;
    case NP_ORDER_GOT_ORDER:
        on_order(&s, event);
        break;
    case NP_ORDER_GOT_AUTHZ:
        on_authorization(&s, event);
        break;
    case NP_ORDER_SHOWN:
        set_state(&s, NP_ORDER_TXT_VISIBLE);
        next_challenge(&s);
        break;
    case NP_ORDER_CHALLENGE_SENT:
        run->authz[event->index] = NP_AUTHZ_ANSWERED;
        next_challenge(&s);
        break;
    case NP_ORDER_GOT_CHAIN:
        set_error(&s, "");
        set_state(&s, NP_ORDER_ISSUED);
        act(&s, NP_ORDER_DO_WITHDRAW);
        break;
    case NP_ORDER_WITHDRAWN:
        set_state(&s, NP_ORDER_DONE);
        act(&s, NP_ORDER_DO_RELEASE);
        break;
    case NP_ORDER_FAILED:
        on_failed(&s, event);
        break;
    }
    if (out_action->store)
        run->order.updated_ms = now_ms;
}

/* Problems after which no order for the same CSR will be better (RFC 8555 section 6.7). */
static bool is_final(const char *type)
{
    static const char *const final[] = {"badCSR", "badPublicKey", "rejectedIdentifier", "unsupportedIdentifier"};
    for (size_t i = 0; i < sizeof final / sizeof final[0]; i++) {
        if (strcmp(type, final[i]) == 0)
            return true;
    }
    return false;
}

enum np_order_failure np_order_failure_of(enum np_order_do what, int rc, int status,
                                          const struct np_acme_problem *problem)
{
    if (rc != NP_E_ACME)
        return NP_ORDER_FAILURE_RETRY;
    if (is_final(problem->type))
        return NP_ORDER_FAILURE_DEAD;
    if (status == 429 || status >= 500 || strcmp(problem->type, "rateLimited") == 0 ||
        strcmp(problem->type, "badNonce") == 0 || strcmp(problem->type, "accountDoesNotExist") == 0)
        return NP_ORDER_FAILURE_RETRY;
    if (what == NP_ORDER_DO_CHALLENGE || (what == NP_ORDER_DO_FINALIZE && strcmp(problem->type, "orderNotReady") == 0))
        return NP_ORDER_FAILURE_LOOK;
    return NP_ORDER_FAILURE_RESTART;
}

unsigned np_order_refused_extra(enum np_order_failure failure, unsigned carried, const struct np_acme_problem *problem)
{
    if (failure != NP_ORDER_FAILURE_RESTART)
        return 0;
    if (strcmp(problem->type, "invalidProfile") == 0)
        return carried & NP_ORDER_PROFILE;
    return carried & NP_ORDER_REPLACES;
}

/* The way of one order: transitions by a table, and a model CA against which the order is killed before and after every
 * single step and must still end with one order and one certificate. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hq/acme/order.h"
#include "resolver/base/error.h"

#define NOW_MS INT64_C(1790000000000)
#define NAME   "nifty-babbage.devices.example"
#define URL    "https://ca.example/"

static uint32_t no_jitter(void *ctx, uint32_t bound)
{
    (void)ctx;
    return bound ? bound - 1 : 0;
}

static void step(struct np_order_run *run, const struct np_order_event *event, int64_t now_ms,
                 struct np_order_action *action)
{
    np_order_step(run, event, now_ms, no_jitter, NULL, action);
}

static struct np_order_run make_run(enum np_order_state state, size_t names)
{
    struct np_order_run run = {.order = {.id = "o1", .device = "d1", .state = state, .authorization_count = names}};
    snprintf(run.order.authorizations[0].name, sizeof run.order.authorizations[0].name, "%s", NAME);
    if (names > 1)
        snprintf(run.order.authorizations[1].name, sizeof run.order.authorizations[1].name, "*.%s", NAME);
    if (state != NP_ORDER_QUEUED && state != NP_ORDER_BACKOFF)
        snprintf(run.order.order_url, sizeof run.order.order_url, URL "o/1");
    return run;
}

/* The CA's order with the run's names. */
static struct np_acme_order make_order(const struct np_order_run *run, enum np_acme_status status)
{
    struct np_acme_order order = {.status = status, .finalize = URL "f/1"};
    for (size_t i = 0; i < run->order.authorization_count; i++) {
        memcpy(order.identifiers[order.identifier_count++], run->order.authorizations[i].name, NP_NAME_MAX + 1);
        snprintf(order.authorizations[order.authorization_count++], NP_URL_MAX, URL "z/%zu", i);
    }
    if (status == NP_ACME_VALID)
        snprintf(order.certificate, sizeof order.certificate, URL "c/1");
    return order;
}

static struct np_order_event got_order(const struct np_acme_order *order)
{
    return (struct np_order_event){.type = NP_ORDER_GOT_ORDER, .order = order, .order_url = URL "o/1"};
}

static struct np_order_event failed(enum np_order_failure failure, int64_t retry_after_ms)
{
    return (struct np_order_event){
        .type = NP_ORDER_FAILED, .failure = failure, .why = "because", .retry_after_ms = retry_after_ms};
}

/* ---- A model CA ---- */

enum model_limits { MODEL_ORDERS = 4 };

struct model_order {
    enum np_acme_status status;
    enum np_acme_status authz[NP_SAN_MAX];
    int polls_left; /* until a pending validation or an issuance is through */
};

struct model_ca {
    struct model_order orders[MODEL_ORDERS];
    size_t order_count;
    size_t certificates;
    bool swapped; /* authorizations in another order than the identifiers */
};

/* What is on disk, and what the zone shows. */
struct model_hq {
    struct np_order stored;
    bool txt_shown, has_package;
    int writes;
};

static void model_tick(struct model_ca *ca, struct model_order *order, size_t names)
{
    bool answered = true;
    if (order->polls_left > 0) {
        order->polls_left--;
        return;
    }
    for (size_t i = 0; i < names; i++) {
        if (order->authz[i] == NP_ACME_PROCESSING)
            order->authz[i] = NP_ACME_VALID;
        answered = answered && order->authz[i] == NP_ACME_VALID;
    }
    if (order->status == NP_ACME_PENDING && answered) {
        order->status = NP_ACME_READY;
    } else if (order->status == NP_ACME_PROCESSING) {
        order->status = NP_ACME_VALID;
        ca->certificates++;
    }
}

static struct model_order *model_find(struct model_ca *ca, const struct np_order *order)
{
    size_t index = (size_t)(strrchr(order->order_url, '/')[1] - '1');
    assert_true(index < ca->order_count);
    return &ca->orders[index];
}

static void model_order_event(struct model_ca *ca, const struct np_order_run *run, const struct model_order *order,
                              struct np_acme_order *out, struct np_order_event *event)
{
    static char url[64];
    *out = make_order(run, order->status);
    if (ca->swapped && out->authorization_count == 2) {
        snprintf(out->authorizations[0], NP_URL_MAX, URL "z/1");
        snprintf(out->authorizations[1], NP_URL_MAX, URL "z/0");
    }
    snprintf(url, sizeof url, URL "o/%zu", (size_t)(order - ca->orders) + 1);
    *event = got_order(out);
    event->order_url = url;
}

/* Does the action at the CA, and gives the event that HQ sees. */
static void model_do(struct model_ca *ca, struct model_hq *hq, const struct np_order_run *run,
                     const struct np_order_action *action, struct np_acme_order *order_out,
                     struct np_acme_authorization *authz_out, struct np_order_event *event)
{
    const struct np_order *order = &run->order;
    size_t names = order->authorization_count;
    memset(event, 0, sizeof *event);
    event->index = action->index;
    switch (action->what) {
    case NP_ORDER_DO_NEW_ORDER:
        assert_true(ca->order_count < MODEL_ORDERS);
        ca->orders[ca->order_count] = (struct model_order){.status = NP_ACME_PENDING};
        model_order_event(ca, run, &ca->orders[ca->order_count++], order_out, event);
        break;
    case NP_ORDER_DO_FETCH_ORDER:
        model_tick(ca, model_find(ca, order), names);
        model_order_event(ca, run, model_find(ca, order), order_out, event);
        break;
    case NP_ORDER_DO_FETCH_AUTHZ: {
        size_t authz = (size_t)(strrchr(order->authorizations[action->index].url, '/')[1] - '0');
        enum np_acme_status status = model_find(ca, order)->authz[authz];
        *authz_out = (struct np_acme_authorization){.status = status == NP_ACME_VALID ? NP_ACME_VALID : NP_ACME_PENDING,
                                                    .challenges = {{.status = status}},
                                                    .challenge_count = 1};
        memcpy(authz_out->name, order->authorizations[authz].name, NP_NAME_MAX + 1);
        snprintf(authz_out->challenges[0].url, NP_URL_MAX, URL "ch/%zu", authz);
        event->type = NP_ORDER_GOT_AUTHZ;
        event->authz = authz_out;
        event->challenge = &authz_out->challenges[0];
        event->txt = "0123456789012345678901234567890123456789012";
        break;
    }
    case NP_ORDER_DO_PUBLISH:
        hq->txt_shown = true;
        event->type = NP_ORDER_SHOWN;
        break;
    case NP_ORDER_DO_CHALLENGE: {
        const char *url = order->authorizations[action->index].challenge;
        enum np_acme_status *status = &model_find(ca, order)->authz[strrchr(url, '/')[1] - '0'];
        assert_true(hq->txt_shown); /* never answered before the name servers show it */
        assert_int_equal(*status, NP_ACME_PENDING);
        *status = NP_ACME_PROCESSING;
        model_find(ca, order)->polls_left = 2;
        event->type = NP_ORDER_CHALLENGE_SENT;
        break;
    }
    case NP_ORDER_DO_FINALIZE:
        assert_int_equal(model_find(ca, order)->status, NP_ACME_READY);
        model_find(ca, order)->status = NP_ACME_PROCESSING;
        model_find(ca, order)->polls_left = 2;
        model_order_event(ca, run, model_find(ca, order), order_out, event);
        break;
    case NP_ORDER_DO_DOWNLOAD:
        assert_string_equal(order->certificate_url, URL "c/1");
        event->type = NP_ORDER_GOT_CHAIN;
        break;
    case NP_ORDER_DO_WITHDRAW:
        hq->txt_shown = false;
        event->type = NP_ORDER_WITHDRAWN;
        break;
    default:
        fail_msg("%s", np_order_do_name(action->what));
    }
}

static void model_store(struct model_hq *hq, const struct np_order_run *run)
{
    hq->stored = run->order;
    hq->has_package = hq->has_package || run->order.state == NP_ORDER_ISSUED;
    hq->writes++;
}

/* Works on what is stored until it is released, or until `steps_left` steps are done and the process is killed: before
 * the action (after_action false), or after the CA has done it and before HQ has heard of it. Returns the steps done.
 */
static int model_live(struct model_ca *ca, struct model_hq *hq, int kill_at, bool after_action)
{
    struct np_order_run run = {.order = hq->stored};
    struct np_order_event event = {.type = NP_ORDER_BEGIN};
    struct np_order_action action;
    struct np_acme_order order;
    struct np_acme_authorization authz;
    int64_t now_ms = NOW_MS;
    for (int done = 0;; done++) {
        assert_true(done < 100);
        step(&run, &event, now_ms, &action);
        assert_int_not_equal(action.what, NP_ORDER_DO_NOTHING);
        if (action.store)
            model_store(hq, &run);
        assert_int_equal(hq->stored.state, run.order.state); /* no state that is not on disk */
        if (action.what == NP_ORDER_DO_RELEASE) {
            hq->txt_shown = false;
            return done;
        }
        now_ms += action.delay_ms + 1;
        if (done == kill_at && !after_action)
            break;
        model_do(ca, hq, &run, &action, &order, &authz, &event);
        if (done == kill_at)
            break;
    }
    hq->txt_shown = false; /* the zone's values die with the process */
    return kill_at;
}

static void kill_everywhere(size_t names, bool swapped)
{
    struct model_hq fresh = {.stored = make_run(NP_ORDER_QUEUED, names).order};
    struct model_ca ca = {.swapped = swapped};
    struct model_hq hq = fresh;
    int steps = model_live(&ca, &hq, -1, false);
    assert_true(steps > 8);
    assert_int_equal(hq.stored.state, NP_ORDER_DONE);
    assert_int_equal(ca.order_count, 1);
    for (int kill_at = 0; kill_at < steps; kill_at++) {
        for (int after = 0; after < 2; after++) {
            for (int again = 0; again < steps; again++) { /* and once more in the second life */
                memset(&ca, 0, sizeof ca);
                ca.swapped = swapped;
                hq = fresh;
                model_live(&ca, &hq, kill_at, after);
                /* newOrder's own answer is the one thing that cannot be stored before: see acme/adopt.h. */
                bool lost = kill_at == 0 && after;
                if (lost)
                    again = steps;
                model_live(&ca, &hq, again, true);
                lost = lost || (kill_at == 0 && again == 0);
                model_live(&ca, &hq, -1, false);
                assert_int_equal(hq.stored.state, NP_ORDER_DONE);
                assert_true(hq.has_package);
                assert_false(hq.txt_shown);
                assert_int_equal(ca.certificates, 1);
                assert_int_equal(ca.order_count, lost ? 2 : 1);
            }
        }
    }
}

static void test_kill_at_every_step(void **state)
{
    (void)state;
    kill_everywhere(1, false);
}

static void test_kill_at_every_step_with_wildcard(void **state)
{
    (void)state;
    kill_everywhere(2, false);
    kill_everywhere(2, true);
}

/* ---- Transitions ---- */

static void test_begin(void **state)
{
    static const struct {
        enum np_order_state state, next;
        enum np_order_do what;
        bool store;
    } cases[] = {
        {NP_ORDER_QUEUED, NP_ORDER_QUEUED, NP_ORDER_DO_NEW_ORDER, true},
        {NP_ORDER_ORDERED, NP_ORDER_ORDERED, NP_ORDER_DO_FETCH_ORDER, false},
        {NP_ORDER_TXT_QUEUED, NP_ORDER_TXT_QUEUED, NP_ORDER_DO_FETCH_ORDER, false},
        {NP_ORDER_TXT_VISIBLE, NP_ORDER_TXT_VISIBLE, NP_ORDER_DO_FETCH_ORDER, false},
        {NP_ORDER_CHALLENGED, NP_ORDER_CHALLENGED, NP_ORDER_DO_FETCH_ORDER, false},
        {NP_ORDER_READY, NP_ORDER_READY, NP_ORDER_DO_FETCH_ORDER, false},
        {NP_ORDER_FINALIZING, NP_ORDER_FINALIZING, NP_ORDER_DO_FETCH_ORDER, false},
        {NP_ORDER_ISSUED, NP_ORDER_ISSUED, NP_ORDER_DO_WITHDRAW, false},
        {NP_ORDER_DONE, NP_ORDER_DONE, NP_ORDER_DO_RELEASE, false},
        {NP_ORDER_BACKOFF, NP_ORDER_QUEUED, NP_ORDER_DO_NEW_ORDER, true},
        {NP_ORDER_DEAD, NP_ORDER_DEAD, NP_ORDER_DO_RELEASE, false},
    };
    struct np_order_action action;
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct np_order_run run = make_run(cases[i].state, 1);
        step(&run, &(struct np_order_event){.type = NP_ORDER_BEGIN}, NOW_MS, &action);
        assert_int_equal(action.what, cases[i].what);
        assert_int_equal(run.order.state, cases[i].next);
        assert_int_equal(action.store, cases[i].store);
        assert_int_equal(action.from, cases[i].state);
        assert_int_equal(run.order.begun, action.what == NP_ORDER_DO_NEW_ORDER);
    }
    struct np_order_run run = make_run(NP_ORDER_QUEUED, 1); /* killed after newOrder was begun */
    run.order.begun = true;
    step(&run, &(struct np_order_event){.type = NP_ORDER_BEGIN}, NOW_MS, &action);
    assert_int_equal(action.what, NP_ORDER_DO_NEW_ORDER);
    assert_false(action.store);
    run = make_run(NP_ORDER_ORDERED, 1);
    run.order.order_url[0] = 0; /* a database that somebody edited */
    step(&run, &(struct np_order_event){.type = NP_ORDER_BEGIN}, NOW_MS, &action);
    assert_int_equal(run.order.state, NP_ORDER_BACKOFF);
}

/* What the CA says of an order after a restart decides, whatever the stored state. */
static void test_order_status_decides(void **state)
{
    static const struct {
        enum np_acme_status status;
        enum np_order_state next;
        enum np_order_do what;
    } cases[] = {
        {NP_ACME_READY, NP_ORDER_READY, NP_ORDER_DO_FINALIZE},
        {NP_ACME_PROCESSING, NP_ORDER_FINALIZING, NP_ORDER_DO_FETCH_ORDER},
        {NP_ACME_VALID, NP_ORDER_FINALIZING, NP_ORDER_DO_DOWNLOAD},
        {NP_ACME_INVALID, NP_ORDER_BACKOFF, NP_ORDER_DO_RELEASE},
    };
    struct np_order_action action;
    (void)state;
    for (enum np_order_state stored = NP_ORDER_ORDERED; stored <= NP_ORDER_FINALIZING; stored++) {
        for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
            struct np_order_run run = make_run(stored, 1);
            struct np_acme_order order = make_order(&run, cases[i].status);
            struct np_order_event event = got_order(&order);
            step(&run, &(struct np_order_event){.type = NP_ORDER_BEGIN}, NOW_MS, &action);
            step(&run, &event, NOW_MS, &action);
            assert_int_equal(action.what, cases[i].what);
            assert_int_equal(run.order.state, cases[i].next);
            assert_true(action.store || run.order.state == stored);
        }
        struct np_order_run run = make_run(stored, 1);
        struct np_acme_order order = make_order(&run, NP_ACME_PENDING);
        struct np_order_event event = got_order(&order);
        step(&run, &(struct np_order_event){.type = NP_ORDER_BEGIN}, NOW_MS, &action);
        step(&run, &event, NOW_MS, &action);
        assert_int_equal(action.what, NP_ORDER_DO_FETCH_AUTHZ);
    }
}

static struct np_order_run run_at_new_order(size_t names)
{
    struct np_order_run run = make_run(NP_ORDER_QUEUED, names);
    struct np_order_action action;
    step(&run, &(struct np_order_event){.type = NP_ORDER_BEGIN}, NOW_MS, &action);
    return run;
}

static void test_foreign_orders_are_refused(void **state)
{
    struct np_order_action action;
    (void)state;
    for (int i = 0; i < 4; i++) {
        struct np_order_run run = run_at_new_order(2);
        struct np_acme_order order = make_order(&run, NP_ACME_PENDING);
        struct np_order_event event = got_order(&order);
        if (i == 0)
            event.order_url = "";
        else if (i == 1)
            order.identifier_count = 1;
        else if (i == 2)
            snprintf(order.identifiers[1], sizeof order.identifiers[1], "evil.example");
        else
            order.authorization_count = 1;
        step(&run, &event, NOW_MS, &action);
        assert_int_equal(run.order.state, NP_ORDER_BACKOFF);
        assert_int_equal(action.what, NP_ORDER_DO_RELEASE);
        assert_true(run.order.error[0]);
    }
}

static void test_foreign_authorizations_are_refused(void **state)
{
    static const char *const names[] = {"evil.example", "", NAME ".example"};
    struct np_order_action action;
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        struct np_order_run run = run_at_new_order(1);
        struct np_acme_order order = make_order(&run, NP_ACME_PENDING);
        struct np_order_event event = got_order(&order);
        step(&run, &event, NOW_MS, &action);
        assert_int_equal(action.what, NP_ORDER_DO_FETCH_AUTHZ);
        struct np_acme_authorization authz = {.status = NP_ACME_PENDING, .challenge_count = 1};
        snprintf(authz.name, sizeof authz.name, "%s", names[i]);
        event = (struct np_order_event){
            .type = NP_ORDER_GOT_AUTHZ, .authz = &authz, .challenge = &authz.challenges[0], .txt = "x"};
        step(&run, &event, NOW_MS, &action);
        assert_int_equal(run.order.state, NP_ORDER_BACKOFF);
    }
}

static void test_authorization_outcomes(void **state)
{
    static const struct {
        enum np_acme_status status, challenge;
        bool has_challenge;
        enum np_order_state next;
        enum np_order_do what;
    } cases[] = {
        {NP_ACME_PENDING, NP_ACME_PENDING, true, NP_ORDER_TXT_QUEUED, NP_ORDER_DO_PUBLISH},
        {NP_ACME_PENDING, NP_ACME_PROCESSING, true, NP_ORDER_TXT_QUEUED, NP_ORDER_DO_PUBLISH},
        {NP_ACME_VALID, NP_ACME_VALID, true, NP_ORDER_ORDERED, NP_ORDER_DO_FETCH_ORDER},
        {NP_ACME_INVALID, NP_ACME_INVALID, true, NP_ORDER_BACKOFF, NP_ORDER_DO_RELEASE},
        {NP_ACME_PENDING, NP_ACME_INVALID, true, NP_ORDER_BACKOFF, NP_ORDER_DO_RELEASE},
        {NP_ACME_PENDING, NP_ACME_PENDING, false, NP_ORDER_DEAD, NP_ORDER_DO_RELEASE},
        {NP_ACME_INVALID, NP_ACME_INVALID, false, NP_ORDER_BACKOFF, NP_ORDER_DO_RELEASE},
        {NP_ACME_VALID, NP_ACME_VALID, false, NP_ORDER_ORDERED, NP_ORDER_DO_FETCH_ORDER},
    };
    struct np_order_action action;
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct np_order_run run = run_at_new_order(1);
        struct np_acme_order order = make_order(&run, NP_ACME_PENDING);
        struct np_order_event event = got_order(&order);
        step(&run, &event, NOW_MS, &action);
        struct np_acme_authorization authz = {.status = cases[i].status,
                                              .name = NAME,
                                              .challenges = {{.status = cases[i].challenge, .url = URL "ch/0"}},
                                              .challenge_count = cases[i].has_challenge};
        event = (struct np_order_event){.type = NP_ORDER_GOT_AUTHZ,
                                        .authz = &authz,
                                        .challenge = cases[i].has_challenge ? &authz.challenges[0] : NULL,
                                        .txt = cases[i].has_challenge ? "value" : NULL};
        step(&run, &event, NOW_MS, &action);
        assert_int_equal(run.order.state, cases[i].next);
        assert_int_equal(action.what, cases[i].what);
    }
}

static void test_failures(void **state)
{
    struct np_order_action action;
    (void)state;
    struct np_order_run run = run_at_new_order(1);
    struct np_order_event event = failed(NP_ORDER_FAILURE_RETRY, 0);
    int64_t delay_ms = 0;
    for (int i = 0; i < 12; i++) { /* the same step, later and later */
        step(&run, &event, NOW_MS, &action);
        assert_int_equal(action.what, NP_ORDER_DO_NEW_ORDER);
        assert_int_equal(run.order.state, NP_ORDER_QUEUED);
        assert_true(action.delay_ms >= delay_ms && action.delay_ms <= NP_ORDER_RETRY_CAP_MS);
        delay_ms = action.delay_ms;
    }
    assert_true(delay_ms > NP_ORDER_RETRY_CAP_MS / 2);
    assert_string_equal(run.order.error, "because");

    event = failed(NP_ORDER_FAILURE_RETRY, 3600 * 1000); /* the place in flight is given back */
    step(&run, &event, NOW_MS, &action);
    assert_int_equal(run.order.state, NP_ORDER_BACKOFF);
    assert_true(run.order.next_try_ms >= NOW_MS + 3600 * 1000);
    assert_int_equal(run.order.attempts, 1);

    run = make_run(NP_ORDER_READY, 1);
    step(&run, &(struct np_order_event){.type = NP_ORDER_BEGIN}, NOW_MS, &action);
    step(&run, &event, NOW_MS, &action); /* Retry-After is honoured, the URL is kept */
    assert_int_equal(action.what, NP_ORDER_DO_FETCH_ORDER);
    assert_true(action.delay_ms >= 3600 * 1000);
    assert_true(run.order.order_url[0]);

    event = failed(NP_ORDER_FAILURE_RESTART, 0);
    step(&run, &event, NOW_MS, &action);
    assert_int_equal(run.order.state, NP_ORDER_BACKOFF);
    assert_int_equal(run.order.order_url[0], 0);
    assert_int_equal(run.order.authorizations[0].url[0], 0);

    run = make_run(NP_ORDER_READY, 1);
    step(&run, &(struct np_order_event){.type = NP_ORDER_BEGIN}, NOW_MS, &action);
    event = failed(NP_ORDER_FAILURE_DEAD, 0);
    step(&run, &event, NOW_MS, &action);
    assert_int_equal(run.order.state, NP_ORDER_DEAD);
    assert_int_equal(action.what, NP_ORDER_DO_RELEASE);
}

/* The CA does not want what newOrder carried: once more at once, once what it costs now is on disk. */
static void test_bare(void **state)
{
    struct np_order_run run = make_run(NP_ORDER_QUEUED, 1);
    struct np_order_event begin = {.type = NP_ORDER_BEGIN}, refused = failed(NP_ORDER_FAILURE_BARE, 0);
    struct np_order_action action;
    (void)state;
    step(&run, &begin, NOW_MS, &action);
    refused.without = NP_ORDER_REPLACES;
    step(&run, &refused, NOW_MS, &action);
    assert_int_equal(action.what, NP_ORDER_DO_NEW_ORDER);
    assert_int_equal(action.delay_ms, 0);
    assert_true(action.store);
    refused.without = NP_ORDER_PROFILE;
    step(&run, &refused, NOW_MS, &action);
    assert_int_equal(run.without, NP_ORDER_REPLACES | NP_ORDER_PROFILE);
    assert_int_equal(run.order.attempts, 0);
    assert_int_equal(run.order.state, NP_ORDER_QUEUED);
}

static void test_backoff_grows(void **state)
{
    struct np_order_action action;
    struct np_order_run run = make_run(NP_ORDER_QUEUED, 1);
    int64_t last_ms = 0;
    (void)state;
    for (int i = 0; i < 20; i++) {
        struct np_order_run next = {.order = run.order};
        run = next;
        step(&run, &(struct np_order_event){.type = NP_ORDER_BEGIN}, NOW_MS, &action);
        struct np_order_event event = failed(NP_ORDER_FAILURE_RESTART, 0);
        step(&run, &event, NOW_MS, &action);
        int64_t wait_ms = run.order.next_try_ms - NOW_MS;
        assert_true(wait_ms >= NP_ORDER_BACKOFF_FIRST_MS / 2 && wait_ms <= NP_ORDER_BACKOFF_CAP_MS);
        assert_true(wait_ms >= last_ms);
        last_ms = wait_ms;
        assert_int_equal(run.order.attempts, i + 1);
    }
    assert_int_equal(last_ms, NP_ORDER_BACKOFF_CAP_MS);
}

/* A CA and an HQ that disagree about a challenge do not go round for ever. */
static void test_looking_ends(void **state)
{
    struct np_order_action action;
    struct np_order_run run = make_run(NP_ORDER_READY, 1);
    struct np_acme_order order = make_order(&run, NP_ACME_READY);
    (void)state;
    step(&run, &(struct np_order_event){.type = NP_ORDER_BEGIN}, NOW_MS, &action);
    for (int i = 0; i < NP_ORDER_LOOKS_MAX + 1; i++) {
        struct np_order_event event = got_order(&order);
        step(&run, &event, NOW_MS, &action);
        assert_int_equal(action.what, NP_ORDER_DO_FINALIZE);
        event = failed(NP_ORDER_FAILURE_LOOK, 0);
        step(&run, &event, NOW_MS, &action);
        if (i < NP_ORDER_LOOKS_MAX) {
            assert_int_equal(action.what, NP_ORDER_DO_FETCH_ORDER);
            assert_true(action.delay_ms > 0);
        }
    }
    assert_int_equal(run.order.state, NP_ORDER_BACKOFF);
}

static void test_polling_pace(void **state)
{
    struct np_order_action action;
    struct np_order_run run = make_run(NP_ORDER_FINALIZING, 1);
    struct np_acme_order order = make_order(&run, NP_ACME_PROCESSING);
    int64_t now_ms = NOW_MS;
    int polls = 0;
    (void)state;
    step(&run, &(struct np_order_event){.type = NP_ORDER_BEGIN}, now_ms, &action);
    while (now_ms < NOW_MS + 1000) { /* a CA that takes a second: little is lost, and it is not flooded */
        struct np_order_event event = got_order(&order);
        step(&run, &event, now_ms, &action);
        assert_int_equal(action.what, NP_ORDER_DO_FETCH_ORDER);
        assert_true(action.delay_ms <= NP_ORDER_POLL_FIRST_MS + (now_ms - NOW_MS) / 5);
        now_ms += action.delay_ms;
        polls++;
    }
    assert_in_range(polls, 5, 25);
    struct np_order_event event = got_order(&order);
    event.retry_after_ms = 30000; /* the CA's own pace is the slower one */
    step(&run, &event, now_ms, &action);
    assert_int_equal(action.delay_ms, 30000);
    event.retry_after_ms = 0;
    step(&run, &event, NOW_MS + NP_ORDER_POLL_LIMIT_MS + 1, &action);
    assert_int_equal(run.order.state, NP_ORDER_BACKOFF);
}

static void test_events_out_of_turn(void **state)
{
    struct np_order_action action;
    struct np_order_run run = run_at_new_order(1);
    static const enum np_order_event_type types[] = {NP_ORDER_BEGIN,          NP_ORDER_GOT_AUTHZ, NP_ORDER_SHOWN,
                                                     NP_ORDER_CHALLENGE_SENT, NP_ORDER_GOT_CHAIN, NP_ORDER_WITHDRAWN};
    (void)state;
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        step(&run, &(struct np_order_event){.type = types[i]}, NOW_MS, &action);
        assert_int_equal(action.what, NP_ORDER_DO_NOTHING);
        assert_int_equal(run.order.state, NP_ORDER_QUEUED);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kill_at_every_step),
        cmocka_unit_test(test_kill_at_every_step_with_wildcard),
        cmocka_unit_test(test_begin),
        cmocka_unit_test(test_order_status_decides),
        cmocka_unit_test(test_foreign_orders_are_refused),
        cmocka_unit_test(test_foreign_authorizations_are_refused),
        cmocka_unit_test(test_authorization_outcomes),
        cmocka_unit_test(test_failures),
        cmocka_unit_test(test_bare),
        cmocka_unit_test(test_backoff_grows),
        cmocka_unit_test(test_looking_ends),
        cmocka_unit_test(test_polling_pace),
        cmocka_unit_test(test_events_out_of_turn),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

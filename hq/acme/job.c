/* One order at work: the shell around the state machine of order.c. An event goes in, the new state is stored, and once
 * it is on disk the action is done; its end is the next event. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "hq/acme/ari.h"
#include "hq/acme/chain.h"
#include "hq/acme/issuance_private.h"
#include "hq/acme/renewal.h"
#include "hq/proto/json.h"
#include "resolver/base/error.h"
#include "resolver/base/log.h"
#include "resolver/base/text.h"

static uint32_t below(void *ctx, uint32_t bound)
{
    (void)ctx;
    return np_random_below(bound);
}

static int64_t loop_ms(const struct np_job *job)
{
    return (int64_t)uv_now(job->issuance->loop);
}

/* The name that an order is known by in the log. */
static const char *title(const struct np_job *job)
{
    return job->run.order.authorization_count ? job->run.order.authorizations[0].name : job->run.order.id;
}

void np_job_fail(struct np_job *job, enum np_order_failure failure, const char *why, int64_t retry_after_ms)
{
    np_warning("acme: %s: %s: %s", title(job), np_order_do_name(job->action.what), why);
    np_job_feed(job, &(struct np_order_event){
                         .type = NP_ORDER_FAILED, .failure = failure, .why = why, .retry_after_ms = retry_after_ms});
}

static void fail_rc(struct np_job *job, enum np_order_failure failure, int rc)
{
    np_job_fail(job, failure, np_strerror(rc), 0);
}

/* ---- The end of a job ---- */

static void on_timer_closed(uv_handle_t *handle)
{
    struct np_job *job = handle->data;
    free(job->package);
    free(job);
}

void np_job_end(struct np_job *job)
{
    struct np_issuance *issuance = job->issuance;
    *job->link = job->next;
    if (job->next)
        job->next->link = job->link;
    job->ca->job_count--;
    job->ended = true;
    np_job_txt_drop(job);
    np_store_waiter_cancel(issuance->store, &job->committed);
    uv_close((uv_handle_t *)&job->timer, on_timer_closed);
    np_issuance_look_again(issuance, 0);
}

/* The order has moved on in the database: a newer CSR or the operator has ended it, after it was taken out of the
 * queue. Nothing of it has reached the CA. */
static void let_go(struct np_job *job)
{
    np_notice("acme: %s: the order was ended before it was begun", title(job));
    if (np_meter_give_back(&job->ca->meter, &job->run.order))
        np_error("acme: %s: the limits cannot be stored", title(job));
    np_job_end(job);
}

/* The database would not take a state: forget the job, the store still has the state before, and look again later. */
static void abandon(struct np_job *job, int rc)
{
    if (rc == NP_E_STALE) {
        let_go(job);
        return;
    }
    np_error("acme: %s: state %s cannot be stored: %s", title(job), np_order_state_name(job->run.order.state),
             np_strerror(rc));
    job->issuance->under_way_wanted = true;
    job->issuance->paused_until_ms = np_issuance_now_ms() + 5000;
    np_job_end(job);
}

/* ---- The CA's answers ---- */

/* How the CA does with this kind of request: for the choice between CAs. */
static void note_health(struct np_job *job, bool good)
{
    int64_t now_ms = loop_ms(job) + 1;
    np_ca_note(&job->ca->health, job->action.what, good, now_ms);
    if (good)
        job->failing_since_ms = 0;
    else if (job->failing_since_ms == 0)
        job->failing_since_ms = now_ms;
    if (!good) /* nobody else would look when the CA is down */
        np_issuance_look_again(job->issuance, job->issuance->config.switch_after_ms + 1);
}

bool np_job_leave(struct np_job *job)
{
    int64_t account_ms = job->ca->health.failing_since_ms[NP_CA_ACCOUNT], since_ms = job->failing_since_ms;
    if (since_ms == 0 || (account_ms && account_ms < since_ms))
        since_ms = account_ms;
    if (!np_ca_should_leave(job->run.order.state, since_ms ? loop_ms(job) - since_ms : 0))
        return false;
    np_acme_cancel(job->ca->acme, job);
    np_job_fail(job, NP_ORDER_FAILURE_MOVE, "the CA is down, another one works", 0);
    return true;
}

static void on_order(struct np_job *job, const struct np_acme_reply *reply)
{
    struct np_acme_order order;
    int rc = np_acme_order_parse(reply->body, reply->len, &order);
    if (rc) {
        note_health(job, false);
        /* An order that was made but cannot be read must not be made again at once. */
        fail_rc(job, job->action.what == NP_ORDER_DO_NEW_ORDER ? NP_ORDER_FAILURE_RESTART : NP_ORDER_FAILURE_RETRY, rc);
        return;
    }
    np_job_feed(job, &(struct np_order_event){.type = NP_ORDER_GOT_ORDER,
                                              .order = &order,
                                              .order_url = reply->location,
                                              .retry_after_ms = reply->retry_after_ms});
}

static void on_authorization(struct np_job *job, const struct np_acme_reply *reply)
{
    const struct np_ca_config *config = job->ca->config;
    const struct np_acme_challenge *challenge = NULL;
    struct np_acme_authorization authorization;
    char value[NP_TXT_VALUE_MAX + 1];
    int rc = np_acme_authorization_parse(reply->body, reply->len, &authorization);
    if (rc == 0) {
        const struct np_challenge_method *method =
            np_challenge_choose(config->challenges, config->challenge_count, &authorization, &challenge);
        if (method)
            job->method = method;
        if (method)
            rc = method->proof(np_acme_key(job->ca->acme), np_acme_account_url(job->ca->acme), challenge, value);
    }
    if (rc) {
        note_health(job, false);
        fail_rc(job, NP_ORDER_FAILURE_RETRY, rc);
        return;
    }
    np_job_feed(job, &(struct np_order_event){.type = NP_ORDER_GOT_AUTHZ,
                                              .index = job->action.index,
                                              .authz = &authorization,
                                              .challenge = challenge,
                                              .txt = challenge ? value : NULL});
}

/* The CA wants less (429), or a pause (503): noted for all orders that are not begun yet. */
static void note_refusal(struct np_job *job, const struct np_acme_reply *reply)
{
    enum np_limit kind;
    int64_t wait_ms;
    bool limited = reply->status == 429 && (job->action.what == NP_ORDER_DO_NEW_ORDER || reply->retry_after_ms > 0);
    if (!limited && (reply->status != 503 || reply->retry_after_ms == 0))
        return;
    int rc = np_meter_refused(&job->ca->meter, &job->run.order, reply->status, reply->problem.detail,
                              reply->retry_after_ms, np_issuance_now_ms(), &kind, &wait_ms);
    if (rc)
        np_error("acme: %s: the CA's refusal cannot be stored: %s", title(job), np_strerror(rc));
    else if (kind == NP_LIMIT_PAUSE)
        np_warning("acme: no new orders for %lld s: the CA says %d %s", (long long)(wait_ms + 999) / 1000,
                   reply->status, reply->problem.type);
    else
        np_warning("acme: %s: the CA's limit '%s' is reached sooner than thought: %lld s", title(job),
                   np_limit_name(kind), (long long)(wait_ms + 999) / 1000);
    np_issuance_look_ahead(job->issuance);
}

/* A newOrder was refused: perhaps for what it carried beside the names. Then once more without that. */
static bool leave_out(struct np_job *job, enum np_order_failure failure, const struct np_acme_reply *reply,
                      const char *why)
{
    unsigned without = np_order_refused_extra(failure, job->carried, &reply->problem);
    if (!without)
        return false;
    np_notice("acme: %s: newOrder again without %s: %s", title(job),
              without & NP_ORDER_REPLACES ? "'replaces'" : "its profile", why);
    int rc =
        without & NP_ORDER_REPLACES ? np_meter_unreplaced(&job->ca->meter, &job->run.order, np_issuance_now_ms()) : 0;
    if (rc)
        np_error("acme: %s: the limits cannot be stored: %s", title(job), np_strerror(rc));
    np_job_feed(job, &(struct np_order_event){
                         .type = NP_ORDER_FAILED, .failure = NP_ORDER_FAILURE_BARE, .without = without, .why = why});
    return true;
}

static void on_refused(struct np_job *job, const struct np_acme_reply *reply)
{
    enum np_order_failure failure = np_order_failure_of(job->action.what, reply->rc, reply->status, &reply->problem);
    char why[NP_ORDER_ERROR_MAX + 1];
    if (reply->rc == NP_E_ACME)
        snprintf(why, sizeof why, "%d %s: %s", reply->status, reply->problem.type, reply->problem.detail);
    else
        snprintf(why, sizeof why, "%s%s%s", np_strerror(reply->rc), reply->why && reply->why[0] ? ": " : "",
                 reply->why ? reply->why : "");
    note_health(job, reply->rc == NP_E_ACME && reply->status < 500);
    note_refusal(job, reply);
    if (failure == NP_ORDER_FAILURE_RETRY && np_ca_has_better(job->ca) && np_job_leave(job))
        return;
    if (job->action.what == NP_ORDER_DO_NEW_ORDER && leave_out(job, failure, reply, why))
        return;
    np_job_fail(job, failure, why, reply->retry_after_ms);
}

void np_job_on_reply(void *ctx, const struct np_acme_reply *reply)
{
    struct np_job *job = ctx;
    job->times.network_ms += reply->network_ms;
    job->times.requests += reply->requests;
    if (reply->rc && np_job_chain_missed(job))
        return;
    if (reply->rc) {
        on_refused(job, reply);
        return;
    }
    note_health(job, true);
    switch (job->action.what) {
    case NP_ORDER_DO_NEW_ORDER:
        np_meter_taken(&job->ca->meter);
        on_order(job, reply);
        break;
    case NP_ORDER_DO_FETCH_ORDER:
    case NP_ORDER_DO_FINALIZE:
        on_order(job, reply);
        break;
    case NP_ORDER_DO_FETCH_AUTHZ:
        on_authorization(job, reply);
        break;
    case NP_ORDER_DO_CHALLENGE:
        np_job_feed(job, &(struct np_order_event){.type = NP_ORDER_CHALLENGE_SENT, .index = job->action.index});
        break;
    case NP_ORDER_DO_DOWNLOAD:
        np_job_chain_take(job, reply);
        break;
    default:
        break;
    }
}

/* ---- Actions ---- */

/* The identifier by which the CA knows the certificate that the order is to replace; empty: it does not suggest
 * windows, or another one has made the certificate. */
static int replaced_id(const struct np_job *job, char out_id[NP_CHAIN_ARI_ID_SIZE])
{
    const struct np_order *order = &job->run.order;
    out_id[0] = 0;
    if (order->renews == 0 || !np_acme_directory(job->ca->acme)->renewal_info[0])
        return 0;
    struct np_package *package = calloc(1, sizeof *package);
    int rc = package ? np_store_package_get(job->issuance->store, order->device, order->renews, package) : -ENOMEM;
    if (rc == 0 && np_ca_find(job->issuance, package->ca) == job->ca &&
        np_chain_ari_id(package->chain, strlen(package->chain), out_id))
        out_id[0] = 0; /* a leaf without an authority key identifier */
    free(package);
    return rc == NP_E_NOT_FOUND ? 0 : rc;
}

/* The body of newOrder. */
static int order_json(struct np_job *job, char **out_json)
{
    const struct np_order *order = &job->run.order;
    char replaces[NP_CHAIN_ARI_ID_SIZE];
    int rc = replaced_id(job, replaces);
    if (rc)
        return rc;
    json_t *list = json_array();
    for (size_t i = 0; i < order->authorization_count; i++)
        json_array_append_new(list, json_pack("{s:s,s:s}", "type", "dns", "value", order->authorizations[i].name));
    json_t *object = json_pack("{s:o}", "identifiers", list);
    job->carried = 0;
    if (replaces[0] && !(job->run.without & NP_ORDER_REPLACES) &&
        json_object_set_new(object, "replaces", json_string(replaces)) == 0)
        job->carried |= NP_ORDER_REPLACES;
    const char *profile = job->ca->config->profile;
    if (profile[0] && np_acme_offers_profile(np_acme_directory(job->ca->acme), profile) &&
        !(job->run.without & NP_ORDER_PROFILE) && json_object_set_new(object, "profile", json_string(profile)) == 0)
        job->carried |= NP_ORDER_PROFILE;
    return np_json_dump_take(object, out_json);
}

static int csr_json(const struct np_order *order, char **out_json)
{
    return np_json_dump_take(json_pack("{s:o}", "csr", np_json_base64url(order->csr, order->csr_len)), out_json);
}

static int new_order(struct np_job *job)
{
    struct np_adopt_order found;
    char *payload;
    if (np_adopt_take(&job->ca->adopt, &job->run.order, &found)) {
        np_notice("acme: %s: taking over order %s, left by a crash", title(job), found.url);
        np_job_feed(
            job, &(struct np_order_event){.type = NP_ORDER_GOT_ORDER, .order = &found.order, .order_url = found.url});
        return 0;
    }
    int rc = order_json(job, &payload);
    if (rc)
        return rc;
    rc = np_acme_post(job->ca->acme, NULL, NULL, payload, np_job_on_reply, job);
    free(payload);
    return rc;
}

static int finalize(struct np_job *job)
{
    char *payload;
    int rc = csr_json(&job->run.order, &payload);
    if (rc)
        return rc;
    rc = np_acme_post(job->ca->acme, job->run.order.finalize_url, NULL, payload, np_job_on_reply, job);
    free(payload);
    return rc;
}

/* Does the action; what cannot even be begun fails from the timer, so that no event is fed from inside another. */
static void perform(struct np_job *job);

static void on_retry(uv_timer_t *timer)
{
    np_job_fail(timer->data, NP_ORDER_FAILURE_RETRY, "cannot be begun", 0);
}

static void perform(struct np_job *job)
{
    const struct np_order *order = &job->run.order;
    struct np_acme *acme = job->ca->acme;
    int rc = 0;
    switch (job->action.what) {
    case NP_ORDER_DO_NOTHING:
        return;
    case NP_ORDER_DO_NEW_ORDER:
        rc = new_order(job);
        break;
    case NP_ORDER_DO_FETCH_ORDER:
        rc = np_acme_post(acme, order->order_url, NULL, NULL, np_job_on_reply, job);
        break;
    case NP_ORDER_DO_FETCH_AUTHZ:
        rc = np_acme_post(acme, order->authorizations[job->action.index].url, NULL, NULL, np_job_on_reply, job);
        break;
    case NP_ORDER_DO_PUBLISH:
        rc = job->method->publish(job);
        break;
    case NP_ORDER_DO_CHALLENGE:
        rc = np_acme_post(acme, order->authorizations[job->action.index].challenge, NULL, "{}", np_job_on_reply, job);
        break;
    case NP_ORDER_DO_FINALIZE:
        rc = finalize(job);
        break;
    case NP_ORDER_DO_DOWNLOAD:
        rc = np_job_chain_fetch(job);
        break;
    case NP_ORDER_DO_WITHDRAW:
        rc = job->method->withdraw(job);
        break;
    case NP_ORDER_DO_RELEASE:
        job->method->release(job);
        np_job_end(job);
        return;
    }
    if (rc)
        uv_timer_start(&job->timer, on_retry, 0, 0);
}

static void on_delay(uv_timer_t *timer)
{
    perform(timer->data);
}

static void schedule(struct np_job *job)
{
    if (job->action.delay_ms <= 0) {
        perform(job);
        return;
    }
    if (job->action.what == NP_ORDER_DO_FETCH_ORDER && job->run.waiting_since_ms != 0)
        job->times.polling_ms += job->action.delay_ms;
    uv_timer_start(&job->timer, on_delay, (uint64_t)job->action.delay_ms, 0);
}

/* ---- Storing ---- */

/* Where the time went. HQ's own share is what is left when the CA's is taken away: the database, the name servers, and
 * waiting for a place in flight. */
static void log_times(const struct np_job *job)
{
    const struct np_job_times *times = &job->times;
    long long total_ms = (long long)(np_issuance_now_ms() - job->run.order.created_ms);
    long long ca_ms = (long long)(times->network_ms + times->polling_ms);
    np_info(
        "acme: %s: certificate stored %lld ms after its CSR: CA %lld ms in %u requests, polling %lld ms, HQ %lld ms "
        "(TXT %lld ms)%s",
        title(job), total_ms, (long long)times->network_ms, times->requests, (long long)times->polling_ms,
        total_ms - ca_ms, (long long)times->txt_ms, job->resumed ? ", over a restart" : "");
}

static void on_committed(void *ctx, int rc)
{
    struct np_job *job = ctx;
    if (rc) {
        abandon(job, rc);
        return;
    }
    if (job->package) {
        job->ca->issued++;
        log_times(job);
        np_ari_poller_wake(&job->ca->windows, job->package->ask_ms);
        if (!job->resumed)
            np_outlook_note(&job->issuance->outlook, loop_ms(job) - job->begun_ms);
        free(job->package);
        job->package = NULL;
    }
    schedule(job);
}

static int write_order(struct np_job *job)
{
    struct np_issuance *issuance = job->issuance;
    struct np_renewal_window window;
    int64_t n;
    if (!job->package || job->run.order.state != NP_ORDER_ISSUED)
        return np_store_order_update(issuance->store, &job->run.order);
    job->package->created_ms = np_issuance_now_ms();
    np_renewal_window_of_life(job->package->not_before_s, job->package->not_after_s, &window);
    job->package->renew_ms = np_renewal_point(&window, job->run.order.device);
    job->package->ask_ms =
        np_ari_first_ms(job->package->not_before_s, job->package->not_after_s, job->run.order.device);
    return np_store_package_add(issuance->store, &job->run.order, job->package, &n);
}

static void log_change(const struct np_job *job)
{
    const struct np_order *order = &job->run.order;
    if (order->state == job->action.from)
        return;
    job->ca->backoff += order->state == NP_ORDER_BACKOFF;
    job->ca->dead += order->state == NP_ORDER_DEAD;
    if (order->state == NP_ORDER_BACKOFF)
        np_warning("acme: %s: %s -> backoff for %lld s (%s)", title(job), np_order_state_name(job->action.from),
                   (long long)(order->next_try_ms - np_issuance_now_ms()) / 1000, order->error);
    else if (order->state == NP_ORDER_DEAD)
        np_error("acme: %s: %s -> dead (%s)", title(job), np_order_state_name(job->action.from), order->error);
    else
        np_debug("acme: %s: %s -> %s", title(job), np_order_state_name(job->action.from),
                 np_order_state_name(order->state));
}

/* What the end of an order means to the limits. */
static int settle(struct np_job *job)
{
    int rc = 0;
    if (job->action.failed_authorization)
        rc = np_meter_failed(&job->ca->meter, &job->run.order, np_issuance_now_ms());
    if (rc == 0 && job->action.unspent)
        rc = np_meter_give_back(&job->ca->meter, &job->run.order);
    return rc;
}

void np_job_feed(struct np_job *job, const struct np_order_event *event)
{
    struct np_order_action action;
    np_order_step(&job->run, event, np_issuance_now_ms(), below, NULL, &action);
    if (action.what == NP_ORDER_DO_NOTHING)
        return;
    job->action = action;
    log_change(job);
    if (!action.store) {
        schedule(job);
        return;
    }
    int rc = settle(job);
    if (rc == 0)
        rc = write_order(job);
    if (rc)
        abandon(job, rc);
    else
        np_store_after_commit(job->issuance->store, &job->committed);
}

int np_job_start(struct np_ca *ca, const struct np_order *order, bool resumed)
{
    struct np_issuance *issuance = ca->issuance;
    struct np_job *job = calloc(1, sizeof *job);
    if (!job)
        return -ENOMEM;
    job->issuance = issuance;
    job->ca = ca;
    job->method = ca->config->challenges[0]; /* until an authorization says which one it is */
    job->run.order = *order;
    job->resumed = resumed;
    job->begun_ms = loop_ms(job);
    job->committed = (struct np_store_waiter){.done = on_committed, .ctx = job};
    uv_timer_init(issuance->loop, &job->timer);
    job->timer.data = job;
    job->next = issuance->jobs;
    job->link = &issuance->jobs;
    if (job->next)
        job->next->link = &job->next;
    issuance->jobs = job;
    ca->job_count++;
    if (resumed)
        np_info("acme: %s: going on from %s", title(job), np_order_state_name(order->state));
    np_job_feed(job, &(struct np_order_event){.type = NP_ORDER_BEGIN});
    return 0;
}

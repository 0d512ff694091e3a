#include "hq/acme/ari_poll.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hq/acme/ari.h"
#include "hq/acme/chain.h"
#include "hq/acme/issuance_private.h"
#include "resolver/base/error.h"
#include "resolver/base/log.h"

#define TURN_MS        (NP_ARI_AT_ONCE * 1000 / NP_ARI_RATE) /* from one handful of questions to the next */
#define AFTER_ERROR_MS INT64_C(5000)

static void on_timer(uv_timer_t *timer);

static void look_again(struct np_ari_poller *poller, int64_t delay_ms)
{
    if (delay_ms > NP_ARI_LOOK_MS)
        delay_ms = NP_ARI_LOOK_MS;
    uv_timer_start(&poller->timer, on_timer, delay_ms > 0 ? (uint64_t)delay_ms : 0, 0);
}

/* ---- Answers ---- */

static void tell(const struct np_renewal *renewal, const struct np_ari_info *info, int64_t now_ms)
{
    struct np_renewal_window window = {renewal->window_from_ms, renewal->window_until_ms};
    const char *about = info->explanation[0] ? info->explanation : "no explanation";
    if (renewal->point_ms > now_ms)
        np_debug("ari: device %s, certificate %lld: to be renewed in %lld s", renewal->device, (long long)renewal->n,
                 (long long)(renewal->point_ms - now_ms) / 1000);
    else if (np_renewal_is_recalled(&window, renewal->not_before_s, renewal->not_after_s, now_ms))
        np_warning("ari: device %s, certificate %lld: the CA wants it replaced at once (%s)", renewal->device,
                   (long long)renewal->n, about);
    else
        np_info("ari: device %s, certificate %lld: to be renewed now (%s)", renewal->device, (long long)renewal->n,
                about);
}

/* What the answer changes of the row. */
static void apply(struct np_renewal *renewal, const struct np_ari_info *info, int64_t retry_after_ms, int64_t now_ms)
{
    struct np_ari_facts facts = {.device = renewal->device,
                                 .not_before_s = renewal->not_before_s,
                                 .not_after_s = renewal->not_after_s,
                                 .attempts = renewal->attempts,
                                 .early = renewal->early,
                                 .point_ms = renewal->point_ms,
                                 .due_ms = renewal->due_ms,
                                 .known = {renewal->window_from_ms, renewal->window_until_ms}};
    struct np_ari_plan plan;
    np_ari_plan(&facts, &info->window, now_ms, &plan);
    renewal->failures = 0;
    renewal->ask_ms = now_ms + np_ari_pause_ms(renewal->not_before_s, renewal->not_after_s, retry_after_ms);
    renewal->window_from_ms = info->window.from_ms;
    renewal->window_until_ms = info->window.until_ms;
    renewal->point_ms = plan.point_ms;
    renewal->due_ms = plan.due_ms;
    if (plan.moved)
        tell(renewal, info, now_ms);
}

static void note_failure(struct np_renewal *renewal, const struct np_acme_reply *reply, int rc, int64_t now_ms)
{
    renewal->failures++;
    int64_t pause_ms =
        np_ari_retry_ms(renewal->not_before_s, renewal->not_after_s, renewal->failures, reply->retry_after_ms);
    renewal->ask_ms = now_ms + pause_ms;
    np_info("ari: device %s, certificate %lld: %s%s%s; asked again in %lld s", renewal->device, (long long)renewal->n,
            np_strerror(rc), rc == NP_E_ACME ? ": " : "", rc == NP_E_ACME ? reply->problem.detail : "",
            (long long)pause_ms / 1000);
}

/* Writes what came of a question, against the row as it is now: a renewal may have been looked at meanwhile. */
static int settle(struct np_ari_poller *poller, const struct np_renewal *asked, const struct np_acme_reply *reply)
{
    struct np_ari_info info;
    struct np_renewal before, after;
    int64_t now_ms = np_issuance_now_ms();
    int rc = np_store_renewal_get(poller->store, asked->device, &before);
    if (rc == NP_E_NOT_FOUND || (rc == 0 && before.n != asked->n))
        return 0; /* the device has left, or has another certificate */
    if (rc)
        return rc;
    after = before;
    int answered = reply->rc ? reply->rc : np_ari_parse(reply->body, reply->len, &info);
    if (answered)
        note_failure(&after, reply, answered, now_ms);
    else
        apply(&after, &info, reply->retry_after_ms, now_ms);
    rc = np_store_renewal_answer(poller->store, &before, &after);
    return rc == NP_E_CONFLICT ? 0 : rc; /* asked again when the claim is over */
}

static void on_reply(void *ctx, const struct np_acme_reply *reply)
{
    struct np_ari_question *question = ctx;
    struct np_ari_poller *poller = question->poller;
    question->poller = NULL;
    poller->under_way--;
    int rc = settle(poller, &question->renewal, reply);
    if (rc)
        np_error("ari: device %s: %s", question->renewal.device, np_strerror(rc));
}

/* ---- Questions ---- */

static int url_of(struct np_ari_poller *poller, const struct np_renewal *renewal, char out_url[NP_URL_MAX + 1])
{
    char id[NP_CHAIN_ARI_ID_SIZE];
    const char *base = np_acme_directory(poller->acme)->renewal_info;
    struct np_package *package = calloc(1, sizeof *package);
    int rc = package ? np_store_package_get(poller->store, renewal->device, renewal->n, package) : -ENOMEM;
    if (rc == 0)
        rc = np_chain_ari_id(package->chain, strlen(package->chain), id);
    free(package);
    if (rc)
        return rc;
    const char *slash = base[strlen(base) - 1] == '/' ? "" : "/";
    return (size_t)snprintf(out_url, NP_URL_MAX + 1, "%s%s%s", base, slash, id) > NP_URL_MAX ? NP_E_LIMIT : 0;
}

/* A certificate that nobody can be asked about, or need not. */
static int put_off(struct np_ari_poller *poller, const struct np_renewal *renewal, int64_t until_ms)
{
    int rc = np_store_renewal_claim(poller->store, renewal, until_ms);
    return rc == NP_E_CONFLICT ? 0 : rc;
}

static int ask(struct np_ari_poller *poller, const struct np_renewal *renewal, int64_t now_ms)
{
    struct np_ari_question *question = poller->questions;
    char url[NP_URL_MAX + 1];
    if (renewal->not_after_s * 1000 <= now_ms)
        return put_off(poller, renewal, INT64_MAX);
    int rc = url_of(poller, renewal, url);
    if (rc) {
        np_warning("ari: device %s, certificate %lld: %s", renewal->device, (long long)renewal->n, np_strerror(rc));
        return put_off(poller, renewal, now_ms + NP_ARI_ASK_MAX_MS);
    }
    rc = np_store_renewal_claim(poller->store, renewal, now_ms + NP_ARI_CLAIM_MS);
    if (rc)
        return rc == NP_E_CONFLICT ? 0 : rc;
    while (question->poller)
        question++;
    rc = np_acme_get(poller->acme, url, on_reply, question);
    if (rc)
        return rc;
    *question = (struct np_ari_question){.poller = poller, .renewal = *renewal};
    poller->under_way++;
    return 0;
}

/* Rows copied out of the store, to be claimed once it may be written again. */
struct batch {
    struct np_renewal rows[NP_ARI_AT_ONCE];
    size_t count;
};

static int collect(void *ctx, const struct np_renewal *renewal)
{
    struct batch *batch = ctx;
    batch->rows[batch->count++] = *renewal;
    return 0;
}

/* The names that the CA's certificates may go by in the store. */
static size_t names_of(const struct np_ari_poller *poller, const char *out_names[2])
{
    out_names[0] = poller->ca;
    out_names[1] = "";
    return poller->first ? 2 : 1;
}

static int fill(struct np_ari_poller *poller, int64_t now_ms, size_t *out_count)
{
    struct batch batch = {.count = 0};
    const char *names[2];
    size_t name_count = names_of(poller, names), room = NP_ARI_AT_ONCE - poller->under_way;
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < name_count && batch.count < room; i++)
        rc = np_store_renewals_to_ask(poller->store, names[i], now_ms, room - batch.count, collect, &batch);
    for (size_t i = 0; rc == 0 && i < batch.count; i++)
        rc = ask(poller, &batch.rows[i], now_ms);
    *out_count = batch.count;
    return rc;
}

static int sleep_until_next(struct np_ari_poller *poller, int64_t now_ms)
{
    const char *names[2];
    size_t name_count = names_of(poller, names);
    int64_t next_ms = INT64_MAX;
    for (size_t i = 0; i < name_count; i++) {
        int64_t ms = INT64_MAX;
        int rc = np_store_renewals_next_ask(poller->store, names[i], &ms);
        if (rc)
            return rc;
        if (ms < next_ms)
            next_ms = ms;
    }
    int64_t delay_ms = next_ms == INT64_MAX ? NP_ARI_LOOK_MS : next_ms - now_ms;
    look_again(poller, delay_ms < TURN_MS ? TURN_MS : delay_ms);
    return 0;
}

static void on_timer(uv_timer_t *timer)
{
    struct np_ari_poller *poller = timer->data;
    int64_t now_ms = np_issuance_now_ms();
    size_t count = 0;
    if (!poller->acme || !np_acme_is_ready(poller->acme) || !np_acme_directory(poller->acme)->renewal_info[0])
        return; /* np_ari_poller_wake comes with the account */
    int rc = fill(poller, now_ms, &count);
    if (rc == 0 && count == 0)
        rc = sleep_until_next(poller, now_ms);
    else if (rc == 0)
        look_again(poller, TURN_MS);
    if (rc) {
        np_error("ari: %s", np_strerror(rc));
        look_again(poller, AFTER_ERROR_MS);
    }
}

void np_ari_poller_init(struct np_ari_poller *poller, uv_loop_t *loop, struct np_store *store, const char *ca,
                        bool first)
{
    *poller = (struct np_ari_poller){.store = store, .ca = ca, .first = first};
    uv_timer_init(loop, &poller->timer);
    poller->timer.data = poller;
}

void np_ari_poller_start(struct np_ari_poller *poller, struct np_acme *acme)
{
    poller->acme = acme;
    look_again(poller, 0);
}

void np_ari_poller_wake(struct np_ari_poller *poller, int64_t at_ms)
{
    int64_t delay_ms = at_ms - np_issuance_now_ms();
    if (delay_ms < TURN_MS)
        delay_ms = TURN_MS;
    if (!poller->acme ||
        (uv_is_active((uv_handle_t *)&poller->timer) && uv_timer_get_due_in(&poller->timer) <= (uint64_t)delay_ms))
        return;
    look_again(poller, delay_ms);
}

void np_ari_poller_close(struct np_ari_poller *poller, void *data, uv_close_cb closed)
{
    poller->acme = NULL;
    poller->timer.data = data;
    uv_close((uv_handle_t *)&poller->timer, closed);
}

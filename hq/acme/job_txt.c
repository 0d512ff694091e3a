/* The challenge values of one order: to the zone, to every name server's answers, and away again. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hq/acme/issuance_private.h"
#include "resolver/base/error.h"

#define TXT_TIMEOUT_MS (10 * 60 * 1000) /* name servers that do not show a value by then never will */

/* The challenge values of a job on their way to the name servers. Apart from the job, because the zone's callbacks
 * cannot be taken back. */
struct np_job_txt {
    struct np_job *job; /* NULL: nobody is interested any more */
    unsigned pending;   /* confirmations of the zone */
    int rc;
    char names[NP_SAN_MAX][NP_NAME_MAX + 1];
    char values[NP_SAN_MAX][NP_ZONE_TXT_MAX][NP_ZONE_TXT_LEN + 1];
    size_t value_counts[NP_SAN_MAX];
    size_t name_count;
    struct np_job_txt_check {
        struct np_job_txt *txt;
        size_t index;
        struct np_txt_check *check;
    } checks[NP_SAN_MAX];
    size_t shown;
    void (*confirmed)(struct np_job *job, int rc);
};

void np_job_txt_drop(struct np_job *job)
{
    struct np_job_txt *txt = job->txt;
    if (!txt)
        return;
    job->txt = NULL;
    txt->job = NULL;
    for (size_t i = 0; i < txt->name_count; i++) {
        if (txt->checks[i].check)
            np_txt_check_cancel(txt->checks[i].check);
        txt->checks[i].check = NULL;
    }
    if (txt->pending == 0)
        free(txt);
}

/* The name whose _acme-challenge proves this one. */
static const char *base_name(const char *name)
{
    return strncmp(name, "*.", 2) == 0 ? name + 2 : name;
}

static size_t base_index(struct np_job_txt *txt, const char *name)
{
    const char *base = base_name(name);
    for (size_t i = 0; i < txt->name_count; i++) {
        if (strcmp(txt->names[i], base) == 0)
            return i;
    }
    snprintf(txt->names[txt->name_count], sizeof txt->names[0], "%s", base);
    return txt->name_count++;
}

static void on_confirmed(void *ctx, int rc)
{
    struct np_job_txt *txt = ctx;
    if (rc)
        txt->rc = rc;
    if (--txt->pending > 0)
        return;
    if (txt->job)
        txt->confirmed(txt->job, txt->rc);
    else
        free(txt);
}

/* Hands all of the job's values (none: withdraw) to the zone. confirmed is called from the loop. */
static int hand_to_zone(struct np_job *job, bool withdraw, void (*confirmed)(struct np_job *job, int rc))
{
    const struct np_order *order = &job->run.order;
    np_job_txt_drop(job);
    struct np_job_txt *txt = calloc(1, sizeof *txt);
    if (!txt)
        return -ENOMEM;
    txt->job = job;
    txt->confirmed = confirmed;
    for (size_t i = 0; i < order->authorization_count; i++) {
        size_t index = base_index(txt, order->authorizations[i].name);
        bool open = job->run.authz[i] == NP_AUTHZ_PENDING || job->run.authz[i] == NP_AUTHZ_ANSWERED;
        if (!withdraw && open && txt->value_counts[index] < NP_ZONE_TXT_MAX)
            snprintf(txt->values[index][txt->value_counts[index]++], sizeof txt->values[0][0], "%.*s", NP_ZONE_TXT_LEN,
                     order->authorizations[i].txt);
    }
    int rc = 0;
    for (size_t i = 0; i < txt->name_count && rc == 0; i++) {
        rc = np_zone_set_challenges(job->issuance->zone, txt->names[i], txt->values[i], txt->value_counts[i],
                                    on_confirmed, txt);
        if (rc == 0)
            txt->pending++;
    }
    job->txt = txt;
    job->published = !withdraw;
    if (rc)
        np_job_txt_drop(job);
    return rc;
}

static void on_shown(void *ctx)
{
    struct np_job_txt_check *check = ctx;
    struct np_job_txt *txt = check->txt;
    struct np_job *job = txt->job;
    check->check = NULL;
    if (++txt->shown < txt->name_count)
        return;
    uv_timer_stop(&job->timer);
    np_job_txt_drop(job);
    job->times.txt_ms += (int64_t)uv_now(job->issuance->loop) - job->times.txt_since_ms;
    np_job_feed(job, &(struct np_order_event){.type = NP_ORDER_SHOWN});
}

static void on_txt_timeout(uv_timer_t *timer)
{
    struct np_job *job = timer->data;
    np_job_txt_drop(job);
    np_job_fail(job, NP_ORDER_FAILURE_RETRY, "the name servers do not show the TXT", 0);
}

/* The zone has the values: ask the name servers. */
static void on_published(struct np_job *job, int rc)
{
    struct np_job_txt *txt = job->txt;
    for (size_t i = 0; i < txt->name_count && rc == 0; i++) {
        struct np_job_txt_check *check = &txt->checks[i];
        check->txt = txt;
        check->index = i;
        if (txt->value_counts[i] == 0)
            txt->shown++;
        else
            rc = np_txt_check_start(job->issuance->loop, job->issuance->zone, txt->names[i], txt->values[i],
                                    txt->value_counts[i], on_shown, check, &check->check);
    }
    if (rc == 0) {
        uv_timer_start(&job->timer, on_txt_timeout, TXT_TIMEOUT_MS, 0);
        return;
    }
    np_job_txt_drop(job);
    if (rc != NP_E_CLOSED)
        np_job_fail(job, NP_ORDER_FAILURE_RETRY, np_strerror(rc), 0);
}

static void on_withdrawn(struct np_job *job, int rc)
{
    np_job_txt_drop(job);
    if (rc != NP_E_CLOSED)
        np_job_feed(job, &(struct np_order_event){.type = NP_ORDER_WITHDRAWN});
}

int np_job_txt_publish(struct np_job *job)
{
    job->times.txt_since_ms = (int64_t)uv_now(job->issuance->loop);
    return hand_to_zone(job, false, on_published);
}

int np_job_txt_withdraw(struct np_job *job)
{
    return hand_to_zone(job, true, on_withdrawn);
}

void np_job_txt_release(struct np_job *job)
{
    static const char none[NP_ZONE_TXT_MAX][NP_ZONE_TXT_LEN + 1];
    const struct np_order *order = &job->run.order;
    for (size_t i = 0; job->published && i < order->authorization_count; i++)
        np_zone_set_challenges(job->issuance->zone, base_name(order->authorizations[i].name), none, 0, NULL, NULL);
}

/* The chain of one order: from the CA, checked, and to the root that the configuration prefers where the CA has such a
 * one (RFC 8555 section 7.4.2). */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hq/acme/chain.h"
#include "hq/acme/issuance_private.h"
#include "resolver/base/error.h"
#include "resolver/base/log.h"

#define PEM_CHAIN "application/pem-certificate-chain"

int np_job_chain_fetch(struct np_job *job)
{
    free(job->package);
    job->package = NULL;
    job->alternates.count = job->alternates.asked = 0;
    return np_acme_post(job->ca->acme, job->run.order.certificate_url, PEM_CHAIN, NULL, np_job_on_reply, job);
}

static int check(const struct np_job *job, const struct np_acme_reply *reply, struct np_chain_info *out_info)
{
    const struct np_order *order = &job->run.order;
    const char *names[NP_SAN_MAX];
    for (size_t i = 0; i < order->authorization_count; i++)
        names[i] = order->authorizations[i].name;
    return np_chain_check(reply->body, reply->len, order->csr, order->csr_len, names, order->authorization_count,
                          np_issuance_now_ms() / 1000, out_info);
}

static void keep(struct np_job *job, const struct np_acme_reply *reply, const struct np_chain_info *info)
{
    memcpy(job->package->chain, reply->body, reply->len);
    job->package->chain[reply->len] = 0;
    job->package->not_before_s = info->not_before_s;
    job->package->not_after_s = info->not_after_s;
}

static void finish(struct np_job *job)
{
    job->alternates.asked = 0;
    np_job_feed(job, &(struct np_order_event){.type = NP_ORDER_GOT_CHAIN});
}

/* Asks for the next other chain; where there is none more, the default one it is. */
static void ask_on(struct np_job *job)
{
    struct np_job_alternates *alternates = &job->alternates;
    if (alternates->asked < alternates->count &&
        np_acme_post(job->ca->acme, alternates->urls[alternates->asked], PEM_CHAIN, NULL, np_job_on_reply, job) == 0) {
        alternates->asked++;
        return;
    }
    np_notice("acme: %s: the CA has no chain to '%s': its default one is taken", job->run.order.authorizations[0].name,
              job->ca->config->preferred_chain);
    finish(job);
}

static void take_default(struct np_job *job, const struct np_acme_reply *reply)
{
    struct np_chain_info info;
    const char *preferred = job->ca->config->preferred_chain;
    int rc = check(job, reply, &info);
    if (rc) {
        char why[96];
        snprintf(why, sizeof why, "the CA's chain is not good: %s", np_strerror(rc));
        np_job_fail(job, NP_ORDER_FAILURE_RESTART, why, 0);
        return;
    }
    job->package = calloc(1, sizeof *job->package);
    if (!job->package) {
        np_job_fail(job, NP_ORDER_FAILURE_RETRY, np_strerror(-ENOMEM), 0);
        return;
    }
    keep(job, reply, &info);
    if (!preferred[0] || np_chain_leads_to(reply->body, reply->len, preferred)) {
        finish(job);
        return;
    }
    memcpy(job->alternates.urls, reply->alternates, reply->alternate_count * sizeof reply->alternates[0]);
    job->alternates.count = reply->alternate_count;
    ask_on(job);
}

void np_job_chain_take(struct np_job *job, const struct np_acme_reply *reply)
{
    struct np_chain_info info;
    if (job->alternates.asked == 0) {
        take_default(job, reply);
        return;
    }
    if (check(job, reply, &info) || !np_chain_leads_to(reply->body, reply->len, job->ca->config->preferred_chain)) {
        ask_on(job);
        return;
    }
    keep(job, reply, &info);
    finish(job);
}

bool np_job_chain_missed(struct np_job *job)
{
    if (job->action.what != NP_ORDER_DO_DOWNLOAD || job->alternates.asked == 0)
        return false;
    ask_on(job);
    return true;
}

#include "agent/network/publish.h"

#include <string.h>

static bool is_empty(const struct np_addresses *addresses)
{
    return addresses->v4_count + addresses->v6_count == 0;
}

void np_publisher_init(struct np_publisher *publisher)
{
    memset(publisher, 0, sizeof *publisher);
    publisher->changed_ms = NP_JOB_NEVER;
    publisher->tokens_ms = NP_PUBLISH_BURST * NP_PUBLISH_REFILL_MS;
    publisher->tokens_at_ms = NP_JOB_NEVER;
    publisher->backoff = (struct np_backoff){.first_ms = NP_PUBLISH_RETRY_MS, .cap_ms = NP_PUBLISH_RETRY_CAP};
}

/* What is wanted differs from what HQ is known to have. */
static bool needs_push(const struct np_publisher *publisher)
{
    if (!publisher->known || !publisher->has_wanted)
        return false;
    return !publisher->has_confirmed || !np_addresses_equal(&publisher->wanted, &publisher->confirmed);
}

void np_publisher_known(struct np_publisher *publisher, int64_t seq, const struct np_addresses *addresses)
{
    publisher->known = true;
    publisher->retry_ms = 0;
    if (seq > publisher->seq)
        publisher->seq = seq;
    publisher->has_confirmed = addresses != NULL;
    if (addresses)
        publisher->confirmed = *addresses;
}

void np_publisher_heard(struct np_publisher *publisher, int64_t seq)
{
    if (seq > publisher->seq)
        publisher->seq = seq;
}

static void set_wanted(struct np_publisher *publisher, const struct np_addresses *addresses, int64_t now_ms)
{
    if (publisher->has_wanted && np_addresses_equal(&publisher->wanted, addresses))
        return;
    bool needed = needs_push(publisher);
    publisher->wanted = *addresses;
    publisher->has_wanted = true;
    /* The state changed: what failed for the old one says nothing (a server's Retry-After stands). */
    np_backoff_reset(&publisher->backoff);
    publisher->retry_ms = 0;
    if (!needed || publisher->changed_ms == NP_JOB_NEVER)
        publisher->changed_ms = now_ms;
}

void np_publisher_want(struct np_publisher *publisher, const struct np_addresses *addresses, int64_t now_ms)
{
    if (!is_empty(addresses))
        set_wanted(publisher, addresses, now_ms);
}

void np_publisher_withdraw(struct np_publisher *publisher, int64_t now_ms)
{
    static const struct np_addresses none;
    set_wanted(publisher, &none, now_ms);
}

static int64_t tokens_at(const struct np_publisher *publisher, int64_t now_ms)
{
    const int64_t full = NP_PUBLISH_BURST * NP_PUBLISH_REFILL_MS;
    if (publisher->tokens_at_ms == NP_JOB_NEVER)
        return full;
    int64_t tokens = publisher->tokens_ms + (now_ms - publisher->tokens_at_ms);
    return tokens > full ? full : tokens;
}

static int64_t latest(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

int64_t np_publisher_due(const struct np_publisher *publisher, int64_t now_ms)
{
    if (publisher->sending || !needs_push(publisher))
        return NP_JOB_NEVER;
    int64_t due = latest(publisher->retry_ms, publisher->hold_ms);
    if (publisher->changed_ms != NP_JOB_NEVER)
        due = latest(due, publisher->changed_ms + NP_PUBLISH_DEBOUNCE_MS);
    int64_t tokens = tokens_at(publisher, now_ms);
    if (tokens < NP_PUBLISH_REFILL_MS)
        due = latest(due, now_ms + NP_PUBLISH_REFILL_MS - tokens);
    return due;
}

bool np_publisher_take(struct np_publisher *publisher, int64_t now_ms, struct np_addresses_request *out_request)
{
    if (publisher->sending)
        return false;
    if (!needs_push(publisher)) {
        publisher->changed_ms = NP_JOB_NEVER; /* it changed and changed back */
        return false;
    }
    if (np_publisher_due(publisher, now_ms) > now_ms)
        return false;
    publisher->tokens_ms = tokens_at(publisher, now_ms) - NP_PUBLISH_REFILL_MS;
    publisher->tokens_at_ms = now_ms;
    /* A request whose answer was lost is repeated as it was: HQ answers 200 if it has it already. */
    bool again = publisher->unanswered && publisher->inflight_seq == publisher->seq &&
                 np_addresses_equal(&publisher->wanted, &publisher->inflight);
    if (!again)
        publisher->inflight_seq = ++publisher->seq;
    publisher->inflight = publisher->wanted;
    publisher->sending = true;
    publisher->changed_ms = NP_JOB_NEVER;
    out_request->seq = publisher->inflight_seq;
    out_request->addresses = publisher->inflight;
    out_request->withdraw = is_empty(&publisher->inflight);
    return true;
}

void np_publisher_done(struct np_publisher *publisher, int64_t now_ms)
{
    (void)now_ms;
    if (!publisher->sending)
        return;
    publisher->sending = publisher->unanswered = false;
    publisher->confirmed = publisher->inflight;
    publisher->has_confirmed = true;
    publisher->retry_ms = publisher->hold_ms = 0;
    np_backoff_reset(&publisher->backoff);
}

void np_publisher_stale(struct np_publisher *publisher, int64_t hq_seq, int64_t now_ms)
{
    (void)now_ms;
    publisher->sending = publisher->unanswered = false;
    publisher->has_confirmed = false;
    publisher->retry_ms = 0;
    if (hq_seq > publisher->seq)
        publisher->seq = hq_seq;
}

void np_publisher_failed(struct np_publisher *publisher, int64_t now_ms, int64_t retry_after_ms,
                         np_random_below_fn *below, void *ctx)
{
    if (!publisher->sending)
        return;
    publisher->sending = false;
    publisher->unanswered = true;
    publisher->has_confirmed = false; /* HQ may have taken it all the same */
    int64_t delay = np_backoff_fail(&publisher->backoff, retry_after_ms, below, ctx);
    publisher->retry_ms = now_ms + delay;
    if (retry_after_ms > 0)
        publisher->hold_ms = publisher->retry_ms;
}

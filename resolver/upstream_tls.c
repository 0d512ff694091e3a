#include "resolver/upstream_tls.h"

#include <string.h>

#include "resolver/base/error.h"

enum np_upstream_way np_upstream_way(const struct np_upstream_tls *tls, enum np_tls_mode mode, int64_t now_ms)
{
    if (mode == NP_TLS_OFF)
        return NP_UPSTREAM_CLEAR;
    if (now_ms >= tls->until_ms)
        return NP_UPSTREAM_TLS;
    return mode == NP_TLS_OPPORTUNISTIC ? NP_UPSTREAM_CLEAR : NP_UPSTREAM_NOT_NOW;
}

bool np_upstream_tls_opened(struct np_upstream_tls *tls)
{
    bool news = tls->failed;
    tls->opened++;
    if (tls->failed && tls->reason == NP_PEER_NO_DNS)
        return false;
    tls->worked = true;
    tls->failed = false;
    tls->failures = 0;
    tls->until_ms = 0;
    return news;
}

bool np_upstream_tls_answered(struct np_upstream_tls *tls)
{
    if (!tls->failed || tls->reason != NP_PEER_NO_DNS)
        return false;
    tls->worked = true;
    tls->failed = false;
    tls->failures = 0;
    tls->until_ms = 0;
    return true;
}

bool np_upstream_tls_is_network(enum np_peer_reason reason)
{
    return reason == NP_PEER_UNREACHABLE || reason == NP_PEER_REFUSED || reason == NP_PEER_LIMIT ||
           reason == NP_PEER_UNKNOWN;
}

static int64_t strict_pause(const struct np_upstream_tls *tls, enum np_peer_reason reason)
{
    int64_t cap_ms = np_upstream_tls_is_network(reason) ? NP_UPSTREAM_TLS_NETWORK_MS : NP_UPSTREAM_TLS_TRUST_MS;
    int64_t pause_ms = NP_UPSTREAM_TLS_FIRST_MS;
    for (unsigned i = 0; i < tls->failures && pause_ms < cap_ms; i++)
        pause_ms *= 2;
    return pause_ms < cap_ms ? pause_ms : cap_ms;
}

bool np_upstream_tls_failed(struct np_upstream_tls *tls, enum np_tls_mode mode, enum np_peer_reason reason,
                            int64_t now_ms)
{
    bool news = !tls->failed || tls->reason != reason;
    /* Nobody listens on 853: that is what a server without TLS looks like. */
    bool doubtful = np_upstream_tls_is_network(reason) && reason != NP_PEER_REFUSED;
    doubtful |= reason == NP_PEER_NO_DNS && tls->failures == 0;
    if (mode == NP_TLS_OPPORTUNISTIC)
        tls->until_ms = now_ms + (doubtful ? NP_UPSTREAM_TLS_DOUBTFUL_MS : NP_UPSTREAM_TLS_CLEAR_MS);
    else
        tls->until_ms = now_ms + strict_pause(tls, reason);
    tls->worked = false;
    tls->failed = true;
    tls->reason = reason;
    tls->failures++;
    tls->refused++;
    return news;
}

void np_upstream_tls_forgive(struct np_upstream_tls *tls)
{
    tls->failures = 0;
    tls->until_ms = 0;
}

const char *np_upstream_tls_state(const struct np_upstream_tls *tls, enum np_tls_mode mode)
{
    if (mode == NP_TLS_OFF)
        return "off";
    if (tls->failed)
        return np_peer_reason_name(tls->reason);
    return tls->worked ? "works" : "untried";
}

int np_upstream_tls_state_parse(const char *text, struct np_upstream_tls *tls)
{
    tls->worked = strcmp(text, "works") == 0;
    tls->failed = false;
    if (tls->worked || strcmp(text, "off") == 0 || strcmp(text, "untried") == 0)
        return 0;
    for (int i = 0; i < NP_PEER_REASONS; i++) {
        if (strcmp(text, np_peer_reason_name((enum np_peer_reason)i)) != 0)
            continue;
        tls->failed = true;
        tls->reason = (enum np_peer_reason)i;
        return 0;
    }
    return NP_E_UNKNOWN;
}

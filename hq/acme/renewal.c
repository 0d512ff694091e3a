#include "hq/acme/renewal.h"

#include <stdio.h>
#include <string.h>

#include "hq/crypto.h"

#define LOOKS_IN_LIFE 40 /* looks at a renewal under way, as parts of the certificate's life */
#define DOUBLINGS_MAX 10

void np_renewal_window_of_life(int64_t not_before_s, int64_t not_after_s, struct np_renewal_window *out_window)
{
    int64_t life_ms = (not_after_s - not_before_s) * 1000, middle_ms = not_before_s * 1000 + life_ms / 3 * 2;
    *out_window = (struct np_renewal_window){middle_ms - life_ms / 50, middle_ms + life_ms / 50};
}

int64_t np_renewal_point(const struct np_renewal_window *window, const char *device)
{
    int64_t width_ms = window->until_ms - window->from_ms;
    return width_ms > 0 ? window->from_ms + (int64_t)np_hq_spread("renewal", device, (uint64_t)width_ms)
                        : window->from_ms;
}

bool np_renewal_is_urgent(int64_t not_before_s, int64_t not_after_s, int64_t now_ms)
{
    return now_ms >= not_after_s * 1000 - (not_after_s - not_before_s) * 250;
}

bool np_renewal_is_recalled(const struct np_renewal_window *window, int64_t not_before_s, int64_t not_after_s,
                            int64_t now_ms)
{
    struct np_renewal_window own;
    np_renewal_window_of_life(not_before_s, not_after_s, &own);
    return window->until_ms != 0 && window->until_ms <= now_ms && window->until_ms < own.from_ms;
}

int64_t np_renewal_absent_s(int64_t last_seen_s, int64_t now_s, const struct np_store_outage *outages, size_t count)
{
    int64_t absent_s = now_s - last_seen_s;
    for (size_t i = 0; i < count; i++) {
        int64_t from_s = outages[i].from_s > last_seen_s ? outages[i].from_s : last_seen_s;
        int64_t until_s = outages[i].until_s < now_s ? outages[i].until_s : now_s;
        if (until_s > from_s)
            absent_s -= until_s - from_s;
    }
    return absent_s > 0 ? absent_s : 0;
}

bool np_renewal_under_way(enum np_order_state state)
{
    return state != NP_ORDER_DONE && state != NP_ORDER_DEAD;
}

/* The pause before the next look: a small part of the certificate's life, doubled by each order that came to nothing.
 */
static int64_t pause_ms(const struct np_renewal_facts *facts, int64_t attempts)
{
    int64_t pause = (facts->not_after_s - facts->not_before_s) * 1000 / LOOKS_IN_LIFE;
    if (pause < NP_RENEWAL_LOOK_MS)
        pause = NP_RENEWAL_LOOK_MS;
    if (pause > NP_RENEWAL_LOOK_MAX)
        pause = NP_RENEWAL_LOOK_MAX;
    for (int64_t i = 0; i < attempts && i < DOUBLINGS_MAX; i++)
        pause *= 2;
    return pause < NP_RENEWAL_RETRY_MAX ? pause : NP_RENEWAL_RETRY_MAX;
}

void np_renewal_decide(const struct np_renewal_facts *facts, struct np_renewal_action *out_action)
{
    bool urgent = np_renewal_is_urgent(facts->not_before_s, facts->not_after_s, facts->now_ms) ||
                  np_renewal_is_recalled(&facts->window, facts->not_before_s, facts->not_after_s, facts->now_ms);
    struct np_renewal_action action = {.priority = facts->credential == NP_CREDENTIAL_OPEN ? NP_PRIORITY_OPEN
                                                   : urgent                                ? NP_PRIORITY_URGENT
                                                                                           : NP_PRIORITY_ROUTINE};
    /* last_seen is written at most once an hour (np_api_seen): the hour is the device's. */
    if (facts->device != NP_DEVICE_ACTIVE || facts->absent_s > NP_RENEWAL_SEEN_S + 3600) {
        action.what = NP_RENEWAL_PARK;
        action.due_ms = facts->now_ms + NP_RENEWAL_PARK_MS;
    } else if (np_renewal_under_way(facts->order)) {
        action.what = NP_RENEWAL_LOOK;
        action.due_ms = facts->now_ms + pause_ms(facts, 0);
    } else {
        action.what = NP_RENEWAL_ORDER;
        action.due_ms = facts->now_ms + pause_ms(facts, facts->attempts);
    }
    *out_action = action;
}

void np_renewal_order(const struct np_order *last, const char *id, int64_t renews, enum np_order_priority priority,
                      int64_t now_ms, struct np_order *out_order)
{
    struct np_order order = {.state = NP_ORDER_QUEUED,
                             .csr_len = last->csr_len,
                             .authorization_count = last->authorization_count,
                             .priority = priority,
                             .renews = renews,
                             .created_ms = now_ms,
                             .updated_ms = now_ms};
    snprintf(order.id, sizeof order.id, "%s", id);
    memcpy(order.device, last->device, sizeof order.device);
    memcpy(order.key, last->key, sizeof order.key);
    memcpy(order.csr, last->csr, last->csr_len);
    for (size_t i = 0; i < last->authorization_count; i++)
        memcpy(order.authorizations[i].name, last->authorizations[i].name, sizeof order.authorizations[i].name);
    *out_order = order;
}

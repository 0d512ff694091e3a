#include "hq/acme/queue.h"

#define AVERAGE_OVER 8 /* certificates */

struct np_lane np_queue_lane(size_t i)
{
    return (struct np_lane){(enum np_order_priority)(i / 2), i % 2 == 1};
}

void np_outlook_init(struct np_outlook *outlook, int64_t places)
{
    *outlook = (struct np_outlook){.typical_ms = NP_QUEUE_TYPICAL_MS, .places = places, .free = places};
}

void np_outlook_note(struct np_outlook *outlook, int64_t took_ms)
{
    outlook->typical_ms += (took_ms - outlook->typical_ms) / AVERAGE_OVER;
    if (outlook->typical_ms < 1)
        outlook->typical_ms = 1;
}

/* Until an order with so many ahead of it has a place: at once where there is room, else as places become free, each of
 * them once in the typical time. */
static int64_t place_ms(const struct np_outlook *outlook, int64_t ahead)
{
    int64_t behind = ahead + 1 - outlook->free;
    return behind > 0 ? behind * outlook->typical_ms / outlook->places : 0;
}

/* Until the limits let it begin. Only fresh orders draw from what all share; a renewal waits for pauses alone. */
static int64_t limit_ms(const struct np_outlook *outlook, const struct np_order *order, int64_t fresh_ahead,
                        int64_t now_ms)
{
    struct np_limit_view view = outlook->shared;
    enum np_limit kind;
    if (!outlook->limits)
        return 0;
    view.priority = order->priority;
    view.exemption = order->renews ? NP_EXEMPT_RENEWAL : NP_EXEMPT_NONE;
    return np_limits_wait_ms(outlook->limits, &view, fresh_ahead + 1, now_ms, &kind);
}

int64_t np_outlook_eta_s(const struct np_outlook *outlook, const struct np_order *order,
                         const struct np_queue_place *place, int64_t now_ms)
{
    int64_t wait_ms = 0;
    if (order->state == NP_ORDER_DONE || order->state == NP_ORDER_DEAD)
        return 0;
    if (order->state == NP_ORDER_BACKOFF && order->next_try_ms > now_ms)
        wait_ms = order->next_try_ms - now_ms;
    if (order->state == NP_ORDER_BACKOFF || (order->state == NP_ORDER_QUEUED && !order->begun)) {
        int64_t place_wait_ms = place_ms(outlook, place->ahead);
        int64_t limit_wait_ms = limit_ms(outlook, order, place->fresh_ahead, now_ms + wait_ms);
        wait_ms += place_wait_ms > limit_wait_ms ? place_wait_ms : limit_wait_ms;
    }
    return (wait_ms + outlook->typical_ms + 999) / 1000;
}

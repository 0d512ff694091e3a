#include "hq/acme/meter.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "resolver/base/error.h"

#define KEY_MAX (NP_SAN_MAX * (NP_NAME_MAX + 2))

/* The name of the device: the first of the order's, without "*.". */
static const char *device_name(const struct np_order *order)
{
    const char *name = order->authorizations[0].name;
    return strncmp(name, "*.", 2) == 0 ? name + 2 : name;
}

/* The names in their order by strcmp, so that a set has one key. */
static void names_key(const struct np_order *order, char out[KEY_MAX])
{
    const char *last = "";
    size_t used = 0;
    out[0] = 0;
    for (size_t n = 0; n < order->authorization_count; n++) {
        const char *next = NULL;
        for (size_t i = 0; i < order->authorization_count; i++) {
            const char *name = order->authorizations[i].name;
            if (strcmp(name, last) > 0 && (!next || strcmp(name, next) < 0))
                next = name;
        }
        if (!next)
            return;
        used += (size_t)snprintf(out + used, KEY_MAX - used, "%s%s", n ? "," : "", next);
        last = next;
    }
}

/* The key of a kind's bucket; order NULL: only the shared ones have one, the others' is out empty. */
static void bucket_key(const struct np_meter *meter, enum np_limit kind, const struct np_order *order,
                       char out[KEY_MAX])
{
    out[0] = 0;
    if (!order || np_limits_is_shared(meter->limits, kind))
        return;
    if (kind == NP_LIMIT_NAMES)
        names_key(order, out);
    else
        snprintf(out, KEY_MAX, "%s", device_name(order));
}

static int read_bucket(const struct np_meter *meter, enum np_limit kind, const struct np_order *order, int64_t *out_ms)
{
    char key[KEY_MAX];
    if (kind != NP_LIMIT_PAUSE && meter->limits->rules[kind].count == 0)
        return 0;
    bucket_key(meter, kind, order, key);
    return np_store_bucket_get(meter->store, meter->ca, (int)kind, key, out_ms);
}

static int write_bucket(const struct np_meter *meter, enum np_limit kind, const struct np_order *order, int64_t old_ms,
                        int64_t new_ms)
{
    char key[KEY_MAX];
    if (old_ms == new_ms)
        return 0;
    bucket_key(meter, kind, order, key);
    return np_store_bucket_set(meter->store, meter->ca, (int)kind, key, old_ms, new_ms);
}

int np_meter_shared(const struct np_meter *meter, enum np_order_priority priority, struct np_limit_view *out_view)
{
    struct np_limit_view view = {.priority = priority, .exemption = NP_EXEMPT_NONE};
    for (enum np_limit kind = NP_LIMIT_ORDERS; kind < NP_LIMIT_KINDS; kind++) {
        int rc = np_limits_is_shared(meter->limits, kind) ? read_bucket(meter, kind, NULL, &view.full_ms[kind]) : 0;
        if (rc)
            return rc;
    }
    *out_view = view;
    return 0;
}

/* Is it now the time that the CA has suggested for the certificate's renewal? Such an order carries `replaces`. */
static int is_in_window(const struct np_meter *meter, const struct np_order *order, int64_t now_ms, bool *out_inside)
{
    struct np_renewal renewal;
    int rc = np_store_renewal_get(meter->store, order->device, &renewal);
    *out_inside = rc == 0 && renewal.n == order->renews && renewal.window_from_ms > 0 &&
                  now_ms >= renewal.window_from_ms && now_ms < renewal.window_until_ms;
    return rc == NP_E_NOT_FOUND ? 0 : rc;
}

static int exemption_of(const struct np_meter *meter, const struct np_order *order, int64_t now_ms,
                        enum np_exemption *out_exemption)
{
    struct np_package *origin = NULL;
    *out_exemption = NP_EXEMPT_NONE;
    if (order->renews == 0)
        return 0;
    origin = calloc(1, sizeof *origin);
    int rc = origin ? np_store_package_origin(meter->store, order->device, order->renews, origin) : -ENOMEM;
    if (rc == 0 && (!origin->ca[0] || strcmp(origin->ca, meter->ca) == 0)) {
        bool inside = false;
        rc = is_in_window(meter, order, now_ms, &inside);
        if (inside)
            *out_exemption = NP_EXEMPT_ARI;
        else if (now_ms - origin->created_ms < NP_LIMIT_RENEWAL_MS)
            *out_exemption = NP_EXEMPT_RENEWAL;
    }
    free(origin);
    return rc == NP_E_NOT_FOUND ? 0 : rc;
}

int np_meter_view(const struct np_meter *meter, const struct np_order *order, int64_t now_ms,
                  struct np_limit_view *out_view)
{
    struct np_limit_view view = {.priority = order->priority};
    int rc = exemption_of(meter, order, now_ms, &view.exemption);
    for (enum np_limit kind = NP_LIMIT_ORDERS; rc == 0 && kind < NP_LIMIT_KINDS; kind++)
        rc = read_bucket(meter, kind, order, &view.full_ms[kind]);
    if (rc == 0)
        *out_view = view;
    return rc;
}

int np_meter_pay(const struct np_meter *meter, struct np_order *order, const struct np_limit_view *view, int64_t now_ms)
{
    struct np_limit_view paid_view = *view;
    unsigned paid = np_limits_pay(meter->limits, &paid_view, now_ms);
    for (enum np_limit kind = NP_LIMIT_ORDERS; kind < NP_LIMIT_RULES; kind++) {
        int rc = write_bucket(meter, kind, order, view->full_ms[kind], paid_view.full_ms[kind]);
        if (rc == 0)
            continue;
        for (enum np_limit done = NP_LIMIT_ORDERS; done < kind; done++)
            write_bucket(meter, done, order, paid_view.full_ms[done], view->full_ms[done]);
        return rc;
    }
    snprintf(order->ca, sizeof order->ca, "%s", meter->ca);
    order->paid = paid;
    return 0;
}

int np_meter_unreplaced(const struct np_meter *meter, struct np_order *order, int64_t now_ms)
{
    struct np_limit_view view;
    int rc = order->paid ? 0 : np_meter_view(meter, order, now_ms, &view);
    if (order->paid || rc || view.exemption != NP_EXEMPT_ARI)
        return rc;
    view.exemption = NP_EXEMPT_RENEWAL;
    rc = np_meter_pay(meter, order, &view, now_ms);
    return rc == NP_E_CONFLICT ? 0 : rc; /* a token is not worth more */
}

/* Changes a bucket whatever it holds. Another HQ may change it at the same time: then once more. */
static int change(const struct np_meter *meter, enum np_limit kind, const struct np_order *order,
                  int64_t (*to)(const struct np_limit_rule *rule, int64_t full_ms, int64_t now_ms), int64_t now_ms)
{
    int rc = NP_E_CONFLICT;
    if (meter->limits->rules[kind].count == 0)
        return 0;
    for (int i = 0; rc == NP_E_CONFLICT && i < 3; i++) {
        int64_t old_ms = 0;
        rc = read_bucket(meter, kind, order, &old_ms);
        if (rc == 0)
            rc = write_bucket(meter, kind, order, old_ms, to(&meter->limits->rules[kind], old_ms, now_ms));
    }
    return rc == NP_E_CONFLICT ? 0 : rc; /* a token is not worth more */
}

static int64_t give_back(const struct np_limit_rule *rule, int64_t full_ms, int64_t now_ms)
{
    (void)now_ms;
    return np_limit_give_back(rule, full_ms);
}

int np_meter_give_back(const struct np_meter *meter, struct np_order *order)
{
    for (enum np_limit kind = NP_LIMIT_DOMAIN; kind <= NP_LIMIT_NAMES; kind++) {
        if (!(order->paid >> kind & 1))
            continue;
        int rc = change(meter, kind, order, give_back, 0);
        if (rc)
            return rc;
    }
    order->paid = 0;
    return 0;
}

int np_meter_failed(const struct np_meter *meter, const struct np_order *order, int64_t now_ms)
{
    return change(meter, NP_LIMIT_FAILURES, order, np_limit_take, now_ms);
}

int np_meter_refused(struct np_meter *meter, struct np_order *order, int status, const char *detail,
                     int64_t retry_after_ms, int64_t now_ms, enum np_limit *out_kind, int64_t *out_wait_ms)
{
    enum np_limit kind = status == 429 ? np_limit_of_refusal(detail) : NP_LIMIT_PAUSE;
    int64_t old_ms = 0, new_ms;
    if (kind != NP_LIMIT_PAUSE && meter->limits->rules[kind].count == 0)
        kind = NP_LIMIT_PAUSE; /* a limit that we were told there is not */
    *out_kind = kind;
    *out_wait_ms = retry_after_ms > 0 ? retry_after_ms : NP_LIMIT_PAUSE_MS;
    if (kind == NP_LIMIT_PAUSE && status == 429)
        *out_wait_ms = np_limit_pause_ms(retry_after_ms, meter->refusals++);
    int rc = read_bucket(meter, kind, order, &old_ms);
    if (rc)
        return rc;
    if (kind == NP_LIMIT_PAUSE)
        new_ms = now_ms + *out_wait_ms > old_ms ? now_ms + *out_wait_ms : old_ms;
    else
        new_ms = np_limit_exhaust(&meter->limits->rules[kind], old_ms, *out_wait_ms, now_ms);
    order->paid &= ~(INT64_C(1) << kind); /* what the CA says now counts: nothing to give back there */
    rc = write_bucket(meter, kind, order, old_ms, new_ms);
    return rc == NP_E_CONFLICT ? 0 : rc; /* another HQ was told the same */
}

void np_meter_taken(struct np_meter *meter)
{
    meter->refusals = 0;
}

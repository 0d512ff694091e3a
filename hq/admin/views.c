#include "hq/admin/views.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>

#include "hq/proto/json.h"
#include "hq/store/lives.h"
#include "hq/store/naming.h"
#include "resolver/base/error.h"

static const char *state_name(enum np_device_state state)
{
    static const char *const names[] = {"active", "blocked", "retired"};
    return names[state];
}

static json_t *addresses_json(const struct np_addresses *addresses)
{
    json_t *list = json_array();
    char text[NP_ADDR_TEXT_MAX];
    for (size_t i = 0; i < addresses->v4_count; i++)
        json_array_append_new(list, json_string(np_addr_format(&addresses->v4[i], text)));
    for (size_t i = 0; i < addresses->v6_count; i++)
        json_array_append_new(list, json_string(np_addr_format(&addresses->v6[i], text)));
    return list;
}

/* The device's newest certificate, null where it has none or has left. */
static int certificate_json(struct np_store *store, const struct np_device *d, json_t **out_json)
{
    struct np_renewal r;
    int rc = np_store_renewal_get(store, d->id, &r);
    if (rc && rc != NP_E_NOT_FOUND)
        return rc;
    *out_json = rc ? json_null()
                   : json_pack("{s:I,s:I,s:I,s:I,s:I}", "n", (json_int_t)r.n, "not_before", (json_int_t)r.not_before_s,
                               "not_after", (json_int_t)r.not_after_s, "renewal", (json_int_t)(r.point_ms / 1000),
                               "next_look", (json_int_t)(r.due_ms / 1000));
    return 0;
}

static int names_json(struct np_store *store, const struct np_device *d, json_t **out_json)
{
    struct np_naming_row rows[NP_NAMING_PAST_MAX];
    size_t count;
    int rc = np_store_naming_rows(store, d->id, rows, &count);
    if (rc)
        return rc;
    *out_json = json_array();
    for (size_t i = 0; i < count; i++)
        json_array_append_new(*out_json, json_pack("{s:s,s:s,s:I,s:I}", "name", rows[i].name, "role",
                                                   np_naming_role_name(rows[i].role), "asked",
                                                   (json_int_t)rows[i].asked_s, "until", (json_int_t)rows[i].until_s));
    return 0;
}

static int device_json(struct np_store *store, const struct np_device *d, json_t **out_json)
{
    json_t *certificate, *names;
    struct np_lives lives;
    int rc = np_store_lives_get(store, d->id, &lives);
    if (rc == 0)
        rc = certificate_json(store, d, &certificate);
    if (rc)
        return rc;
    rc = names_json(store, d, &names);
    if (rc) {
        json_decref(certificate);
        return rc;
    }
    *out_json = json_pack("{s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:I,s:o,s:I,s:o,s:o,s:I,s:I,s:I,s:I}", "id", d->id, "name",
                          d->name, "serial", d->serial, "state", state_name(d->state), "credential",
                          np_credential_name(d->credential), "model", d->model, "version", d->version, "publish",
                          d->publish == NP_PUBLISH_PUBLIC ? "public" : "local-only", "packages", (json_int_t)d->auth_n,
                          "certificate", certificate, "seq", (json_int_t)d->seq, "stated", addresses_json(&d->stated),
                          "published", addresses_json(&d->published), "created", (json_int_t)d->created_s, "last_seen",
                          (json_int_t)d->last_seen_s, "silent", (json_int_t)d->silent_s, "clone",
                          (json_int_t)lives.suspected_s);
    if (*out_json)
        json_object_set_new(*out_json, "names", names);
    else
        json_decref(names);
    return *out_json ? 0 : -ENOMEM;
}

int np_view_device(struct np_store *store, const struct np_device *device, char **out_json)
{
    json_t *object;
    int rc = device_json(store, device, &object);
    return rc ? rc : np_json_dump_take(object, out_json);
}

static json_t *order_json(const struct np_order *o)
{
    static const char *const priorities[] = {"urgent", "new", "routine", "open"};
    json_t *names = json_array();
    for (size_t i = 0; i < o->authorization_count; i++)
        json_array_append_new(names, json_string(o->authorizations[i].name));
    return json_pack("{s:s,s:s,s:o,s:s,s:s,s:b,s:I,s:s,s:s,s:s,s:I,s:I,s:I,s:I}", "id", o->id, "device", o->device,
                     "names", names, "state", np_order_state_name(o->state), "priority",
                     o->priority <= NP_PRIORITY_OPEN ? priorities[o->priority] : "?", "begun", o->begun, "renews",
                     (json_int_t)o->renews, "ca", o->ca, "url", o->order_url, "error", o->error, "attempts",
                     (json_int_t)o->attempts, "next_try",
                     (json_int_t)(o->state == NP_ORDER_BACKOFF ? o->next_try_ms / 1000 : 0), "created",
                     (json_int_t)(o->created_ms / 1000), "updated", (json_int_t)(o->updated_ms / 1000));
}

int np_view_order(const struct np_order *order, char **out_json)
{
    return np_json_dump_take(order_json(order), out_json);
}

static int add_order(void *ctx, const struct np_order *order)
{
    return json_array_append_new(ctx, order_json(order)) ? -ENOMEM : 0;
}

static int timeline_json(struct np_store *store, const struct np_device *device, json_t *list)
{
    struct np_timeline_event *events = calloc(NP_TIMELINE_MAX, sizeof *events);
    size_t count = 0;
    if (!events)
        return -ENOMEM;
    int rc = np_store_timeline(store, device, NP_TIMELINE_MAX, events, &count);
    for (size_t i = 0; rc == 0 && i < count; i++)
        json_array_append_new(list, json_pack("{s:I,s:s,s:s,s:I,s:s}", "at", (json_int_t)(events[i].at_ms / 1000),
                                              "event", np_timeline_kind_name(events[i].kind), "order", events[i].order,
                                              "n", (json_int_t)events[i].n, "detail", events[i].detail));
    free(events);
    return rc;
}

int np_view_device_whole(struct np_store *store, const struct np_device *device, char **out_json)
{
    json_t *object = NULL, *orders = json_array(), *timeline = json_array();
    int rc = device_json(store, device, &object);
    if (rc == 0)
        rc = np_store_orders_of(store, device->id, NP_VIEW_ORDERS_MAX, add_order, orders);
    if (rc == 0)
        rc = timeline_json(store, device, timeline);
    if (rc) {
        json_decref(object);
        json_decref(orders);
        json_decref(timeline);
        return rc;
    }
    json_object_set_new(object, "orders", orders);
    json_object_set_new(object, "timeline", timeline);
    return np_json_dump_take(object, out_json);
}

/* {"queued": 3, ...}, all states but done. */
static json_t *states_json(const int64_t states[NP_CENSUS_ORDER_STATES])
{
    json_t *object = json_object();
    for (int i = 0; i < NP_CENSUS_ORDER_STATES; i++) {
        if (i != NP_ORDER_DONE)
            json_object_set_new(object, np_order_state_name((enum np_order_state)i), json_integer(states[i]));
    }
    return object;
}

static json_t *certificates_json(const struct np_census *c)
{
    json_t *days = json_array();
    for (size_t i = 0; i < NP_CENSUS_DAYS_MAX; i++)
        json_array_append_new(days, json_integer(c->days[i]));
    return json_pack("{s:I,s:I,s:I,s:o}", "total", (json_int_t)c->certificates, "expired", (json_int_t)c->expired,
                     "overdue", (json_int_t)c->overdue, "days", days);
}

static json_t *orders_json(const struct np_census *c)
{
    json_t *lanes = json_array(), *cas = json_array();
    static const char *const priorities[] = {"urgent", "new", "routine", "open"};
    for (size_t i = 0; i <= NP_PRIORITY_OPEN; i++)
        json_array_append_new(lanes, json_pack("{s:s,s:I,s:I}", "priority", priorities[i], "renewals",
                                               (json_int_t)c->lanes[i][0], "fresh", (json_int_t)c->lanes[i][1]));
    for (size_t i = 0; i < c->ca_count; i++)
        json_array_append_new(cas, json_pack("{s:s,s:o}", "ca", c->cas[i].ca, "states", states_json(c->cas[i].states)));
    return json_pack("{s:o,s:o,s:o}", "states", states_json(c->orders), "waiting", lanes, "cas", cas);
}

int np_view_census(const struct np_census *c, char **out_json)
{
    json_t *versions = json_array(), *errors = json_array();
    for (size_t i = 0; i < c->error_count; i++)
        json_array_append_new(errors, json_pack("{s:s,s:s,s:s,s:s,s:I,s:s}", "order", c->errors[i].order, "device",
                                                c->errors[i].device, "name", c->errors[i].name, "state",
                                                np_order_state_name(c->errors[i].state), "at",
                                                (json_int_t)(c->errors[i].at_ms / 1000), "error", c->errors[i].error));
    for (size_t i = 0; i < c->version_count; i++)
        json_array_append_new(versions, json_pack("{s:s,s:I}", "version", c->versions[i].version, "devices",
                                                  (json_int_t)c->versions[i].count));
    json_t *devices =
        json_pack("{s:I,s:I,s:I,s:I,s:I,s:I}", "active", (json_int_t)c->active, "silent", (json_int_t)c->silent,
                  "blocked", (json_int_t)c->blocked, "retired", (json_int_t)c->retired, "open", (json_int_t)c->open,
                  "seen_day", (json_int_t)c->seen_day);
    return np_json_dump_take(json_pack("{s:I,s:o,s:o,s:o,s:o,s:o,s:I,s:I}", "time", (json_int_t)c->now_s, "devices",
                                       devices, "versions", versions, "certificates", certificates_json(c), "orders",
                                       orders_json(c), "errors", errors, "unpublished", (json_int_t)c->dirty,
                                       "revocations", (json_int_t)c->revocations),
                             out_json);
}

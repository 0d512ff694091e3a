#include "hq/cli/listing.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <time.h>

#include "resolver/base/error.h"

#define TIME_MAX 32

/* What the rows are made with. */
struct listing {
    struct np_store *store;
    json_t *list;
    int rc; /* of the store, from inside a row */
};

static const char *state_name(enum np_device_state state)
{
    static const char *const names[] = {"active", "blocked", "retired"};
    return names[state];
}

/* For the table: an active device whose records are gone says so. */
static const char *shown_state(const struct np_device *d)
{
    return d->state == NP_DEVICE_ACTIVE && d->silent_s ? "silent" : state_name(d->state);
}

/* The device's renewal row; false: it has no certificate to be renewed. */
static bool get_renewal(struct listing *listing, const struct np_device *d, struct np_renewal *out_renewal)
{
    int rc = np_store_renewal_get(listing->store, d->id, out_renewal);
    if (rc && rc != NP_E_NOT_FOUND)
        listing->rc = rc;
    return rc == 0;
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

static json_t *certificate_json(struct listing *listing, const struct np_device *d)
{
    struct np_renewal r;
    if (!get_renewal(listing, d, &r))
        return json_null();
    return json_pack("{s:I,s:I,s:I,s:I,s:I}", "n", (json_int_t)r.n, "not_before", (json_int_t)r.not_before_s,
                     "not_after", (json_int_t)r.not_after_s, "renewal", (json_int_t)(r.point_ms / 1000), "next_look",
                     (json_int_t)(r.due_ms / 1000));
}

static int add_json(void *ctx, const struct np_device *d)
{
    struct listing *listing = ctx;
    json_array_append_new(listing->list,
                          json_pack("{s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:I,s:o,s:I,s:o,s:o,s:I,s:I,s:I}", "id", d->id,
                                    "name", d->name, "serial", d->serial, "state", state_name(d->state), "credential",
                                    d->credential == NP_CREDENTIAL_OPEN ? "open" : "factory-secret", "model", d->model,
                                    "version", d->version, "publish",
                                    d->publish == NP_PUBLISH_PUBLIC ? "public" : "local-only", "packages",
                                    (json_int_t)d->auth_n, "certificate", certificate_json(listing, d), "seq",
                                    (json_int_t)d->seq, "stated", addresses_json(&d->stated), "published",
                                    addresses_json(&d->published), "created", (json_int_t)d->created_s, "last_seen",
                                    (json_int_t)d->last_seen_s, "silent", (json_int_t)d->silent_s));
    return listing->rc;
}

static const char *time_text(int64_t when_s, char out[TIME_MAX])
{
    time_t when = (time_t)when_s;
    struct tm tm;
    strftime(out, TIME_MAX, "%Y-%m-%d %H:%M", gmtime_r(&when, &tm));
    return out;
}

static int print_row(void *ctx, const struct np_device *d)
{
    struct listing *listing = ctx;
    char seen[TIME_MAX], until[TIME_MAX], renewal[TIME_MAX], text[NP_ADDR_TEXT_MAX];
    struct np_renewal r;
    bool has = get_renewal(listing, d, &r);
    printf("%-40s %-16s %-8s %5lld  %-16s  %-16s  %-16s %s\n", d->name, d->serial[0] ? d->serial : "-", shown_state(d),
           (long long)d->auth_n, has ? time_text(r.not_after_s, until) : "-",
           has ? time_text(r.point_ms / 1000, renewal) : "-", time_text(d->last_seen_s, seen),
           d->published.v4_count   ? np_addr_format(&d->published.v4[0], text)
           : d->published.v6_count ? np_addr_format(&d->published.v6[0], text)
                                   : "-");
    return listing->rc;
}

int np_listing_table(struct np_store *store)
{
    struct listing listing = {.store = store};
    printf("%-40s %-16s %-8s %5s  %-16s  %-16s  %-16s %s\n", "NAME", "SERIAL", "STATE", "CERTS", "VALID UNTIL (UTC)",
           "RENEWAL", "LAST SEEN", "ADDRESS");
    return np_store_devices_each(store, print_row, &listing);
}

int np_listing_json(struct np_store *store)
{
    struct listing listing = {.store = store, .list = json_array()};
    if (!listing.list)
        return -ENOMEM;
    int rc = np_store_devices_each(store, add_json, &listing);
    if (rc == 0 && json_dumpf(listing.list, stdout, JSON_INDENT(2)))
        rc = -EIO;
    json_decref(listing.list);
    putchar('\n');
    return rc;
}

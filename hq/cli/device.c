/* `nameplate-hq device ...`: one function an action. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "hq/admin/views.h"
#include "hq/cli/change.h"
#include "hq/cli/find.h"
#include "hq/cli/table.h"
#include "hq/cli/verb.h"
#include "hq/store/browse.h"
#include "hq/store/lives.h"
#include "hq/store/naming.h"
#include "hq/store/store.h"
#include "resolver/base/error.h"

static const char help[] =
    "nameplate-hq device list [--state STATE] [--limit N] [--after NAME] [--json] [--config FILE]\n"
    "nameplate-hq device show DEVICE [--json] [--config FILE]\n"
    "nameplate-hq device find TEXT [--limit N] [--json] [--config FILE]\n"
    "nameplate-hq device block|unblock DEVICE [--reason TEXT] [--config FILE]\n"
    "nameplate-hq device clones [--limit N] [--json] [--config FILE]\n"
    "nameplate-hq device trust DEVICE [--reason TEXT] [--config FILE]\n"
    "nameplate-hq device retire DEVICE [--reason TEXT] [--yes] [--config FILE]\n"
    "\n"
    "'list' shows the devices by name: name, serial number, state, how many certificates it had, when the newest ends\n"
    "and is renewed, when the device was last seen (within an hour), its first published address. Times are UTC.\n"
    "'show' tells all about one device, with its newest orders and what has happened to it. DEVICE is its id, its "
    "name\n"
    "(with or without the zone) or its serial number.\n"
    "'find' lists the devices whose name, serial number or id begins with TEXT, or that state the address TEXT.\n"
    "'block' tells a device to stop asking, and takes its records out of the DNS; what it has stays good until its\n"
    "certificate ends. It cannot enrol anew either, nor any device with the same proved serial number. 'unblock' "
    "takes\n"
    "that back: the device asks again when it is restarted.\n"
    "'clones' lists devices of which several boxes seem to exist with one identity (a disk that was copied); they "
    "keep\n"
    "working. 'trust' says that this one is none.\n"
    "'retire' ends a device for good, as if it had left: its records go, its certificate is revoked, its name is "
    "never\n"
    "given to anybody again. Its serial number and claim code may enrol anew.\n"
    "\n"
    "  --reason TEXT   is kept in the log ('nameplate-hq audit')\n"
    "  --yes           do not ask\n"
    "  --state STATE   of 'list': active, silent, blocked, retired (all)\n"
    "  --limit N       at most N devices (100; 'list --json': all)\n"
    "  --after NAME    of 'list': go on behind that name\n"
    "  --json          JSON, of the shapes docs/schema/devices and device; times in Unix "
    "seconds\n" NP_VERB_CONFIG_OPTION "\n"
    "Exit code: 0 done, 1 no such device, or another failure, 2 usage.\n";

/* What a list is printed with. */
struct listing {
    struct np_store *store;
    bool json;
    size_t limit, count;
    char last[NP_NAME_MAX + 1];
};

/* For the table: an active device whose records are gone says so. */
static int print_row(struct listing *listing, const struct np_device *d)
{
    char seen[NP_TABLE_TIME_MAX], until[NP_TABLE_TIME_MAX], renewal[NP_TABLE_TIME_MAX], text[NP_ADDR_TEXT_MAX];
    struct np_renewal r;
    int rc = np_store_renewal_get(listing->store, d->id, &r);
    if (rc && rc != NP_E_NOT_FOUND)
        return rc;
    if (listing->count == 1)
        printf("%-40s %-16s %-8s %5s  %-17s  %-16s  %-16s %s\n", "NAME", "SERIAL", "STATE", "CERTS",
               "VALID UNTIL (UTC)", "RENEWAL", "LAST SEEN", "ADDRESS");
    printf("%-40s %-16s %-8s %5lld  %-17s  %-16s  %-16s %s\n", d->name, d->serial[0] ? d->serial : "-",
           np_device_filter_name(np_device_shown_state(d)), (long long)d->auth_n,
           rc ? "-" : np_table_time(r.not_after_s, until), rc ? "-" : np_table_time(r.point_ms / 1000, renewal),
           np_table_time(d->last_seen_s, seen),
           d->published.v4_count   ? np_addr_format(&d->published.v4[0], text)
           : d->published.v6_count ? np_addr_format(&d->published.v6[0], text)
                                   : "-");
    return 0;
}

static int list_device(void *ctx, const struct np_device *device)
{
    struct listing *listing = ctx;
    char *json = NULL;
    if (listing->count == listing->limit) {
        listing->count++; /* there are more */
        return 0;
    }
    listing->count++;
    memcpy(listing->last, device->name, sizeof listing->last);
    if (!listing->json)
        return print_row(listing, device);
    int rc = np_view_device(listing->store, device, &json);
    if (rc == 0)
        printf("%s%s", listing->count == 1 ? "[\n" : ",\n", json);
    free(json);
    return rc;
}

/* Ends what list_device began. */
static int end_list(const struct listing *listing, int rc, const char *none)
{
    if (rc)
        return np_verb_store_failed(listing->store, rc);
    if (listing->json)
        puts(listing->count ? "\n]" : "[]");
    else if (listing->count == 0)
        puts(none);
    else if (listing->count > listing->limit)
        printf("There are more: --after %s, or --limit.\n", listing->last);
    return EXIT_SUCCESS;
}

static int parse_filter(const char *word)
{
    for (int i = 0; np_device_filter_name((enum np_device_filter)i); i++) {
        if (strcmp(np_device_filter_name((enum np_device_filter)i), word) == 0)
            return i;
    }
    return -1;
}

static int run_list(int argc, char **argv)
{
    struct np_verb_page page;
    struct listing listing = {0};
    int status = np_verb_read_page(argc, argv, "sla", &page);
    if (status)
        return status;
    if (optind != argc)
        return np_verb_usage_error("device list: '%s' is not expected", argv[optind]);
    int filter = page.state ? parse_filter(page.state) : NP_DEVICES_ALL;
    if (filter < 0)
        return np_verb_usage_error("device list: --state %s: must be active, silent, blocked, retired or all",
                                   page.state);
    status = np_verb_open_store(page.config, true, &listing.store);
    if (status)
        return status;
    listing.json = page.json;
    listing.limit = page.limit ? page.limit : page.json ? SIZE_MAX - 1 : NP_VERB_LIMIT_DEFAULT;
    size_t wanted = listing.limit < NP_VERB_LIMIT_MAX ? listing.limit + 1 : (size_t)INT64_MAX;
    int rc = np_store_devices_page(listing.store, (enum np_device_filter)filter, page.after ? page.after : "", wanted,
                                   list_device, &listing);
    status = end_list(&listing, rc, "There is no such device.");
    np_store_close(listing.store);
    return status;
}

/* ---- find ---- */

static int run_find(int argc, char **argv)
{
    struct np_verb_page page;
    struct listing listing = {0};
    struct np_addr address;
    int status = np_verb_read_page(argc, argv, "l", &page);
    if (status)
        return status;
    if (optind + 1 != argc)
        return np_verb_usage_error("device find needs one text: the beginning of a name, serial number or id");
    status = np_verb_open_store(page.config, true, &listing.store);
    if (status)
        return status;
    listing.json = page.json;
    listing.limit = page.limit ? page.limit : NP_VERB_LIMIT_DEFAULT;
    int rc = np_addr_parse(argv[optind], &address) == 0
                 ? np_store_devices_at(listing.store, &address, listing.limit, list_device, &listing)
                 : np_store_devices_find(listing.store, argv[optind], listing.limit, list_device, &listing);
    bool none = rc == 0 && listing.count == 0;
    if (none && !page.json)
        status = np_find_unknown(listing.store, argv[optind]);
    else
        status = end_list(&listing, rc, "");
    np_store_close(listing.store);
    return none ? NP_EXIT_FAILED : status;
}

/* ---- clones ---- */

static int run_clones(int argc, char **argv)
{
    struct np_verb_page page;
    struct listing listing = {0};
    int status = np_verb_read_page(argc, argv, "l", &page);
    if (status)
        return status;
    if (optind != argc)
        return np_verb_usage_error("device clones: '%s' is not expected", argv[optind]);
    status = np_verb_open_store(page.config, true, &listing.store);
    if (status)
        return status;
    listing.json = page.json;
    listing.limit = page.limit ? page.limit : NP_VERB_LIMIT_DEFAULT;
    int rc = np_store_clones(listing.store, listing.limit, list_device, &listing);
    status = end_list(&listing, rc, "No device is suspected to be a clone.");
    np_store_close(listing.store);
    return status;
}

/* ---- show ---- */

static void print_addresses(const char *title, const struct np_addresses *addresses)
{
    char text[NP_ADDR_TEXT_MAX];
    printf("%-12s", title);
    for (size_t i = 0; i < addresses->v4_count; i++)
        printf("%s%s", i ? " " : "", np_addr_format(&addresses->v4[i], text));
    for (size_t i = 0; i < addresses->v6_count; i++)
        printf("%s%s", i || addresses->v4_count ? " " : "", np_addr_format(&addresses->v6[i], text));
    puts(addresses->v4_count + addresses->v6_count ? "" : "none");
}

static int print_certificate(struct np_store *store, const struct np_device *d)
{
    char until[NP_TABLE_TIME_MAX], renewal[NP_TABLE_TIME_MAX];
    struct np_renewal r;
    int rc = np_store_renewal_get(store, d->id, &r);
    if (rc == 0)
        printf("%-12snumber %lld, until %s, renewal %s%s\n", "certificate", (long long)r.n,
               np_table_time(r.not_after_s, until), np_table_time(r.point_ms / 1000, renewal),
               r.not_after_s <= time(NULL) ? ": EXPIRED" : "");
    else if (rc == NP_E_NOT_FOUND)
        printf("%-12s%s\n", "certificate", d->auth_n ? "none any more" : "none yet");
    return rc == NP_E_NOT_FOUND ? 0 : rc;
}

static int print_order(void *ctx, const struct np_order *order)
{
    size_t *count = ctx;
    if ((*count)++ == 0)
        puts("\nORDERS");
    np_table_order(order, *count == 1);
    return 0;
}

static void print_event(const struct np_timeline_event *event)
{
    char at[NP_TABLE_TIME_MAX], n[32] = "";
    if (event->n)
        snprintf(n, sizeof n, event->kind == NP_TIMELINE_ORDER ? "renews %lld" : "number %lld", (long long)event->n);
    printf("%-16s  %-10s  %-22s  %s%s%s\n", np_table_time(event->at_ms / 1000, at), np_timeline_kind_name(event->kind),
           event->order[0] ? event->order : "-", n, n[0] && event->detail[0] ? ", " : "", event->detail);
}

static int print_timeline(struct np_store *store, const struct np_device *device)
{
    struct np_timeline_event *events = calloc(NP_TIMELINE_MAX, sizeof *events);
    size_t count = 0;
    if (!events)
        return -1;
    int rc = np_store_timeline(store, device, NP_TIMELINE_MAX, events, &count);
    if (rc == 0)
        printf("\n%-16s  %-10s  %-22s  %s\n", "TIMELINE (UTC)", "EVENT", "ORDER", "DETAIL");
    for (size_t i = 0; rc == 0 && i < count; i++)
        print_event(&events[i]);
    free(events);
    return rc;
}

/* Names that its owner has chosen, and those before them. */
static int print_names(struct np_store *store, const struct np_device *d)
{
    struct np_naming_row rows[NP_NAMING_PAST_MAX];
    char at[NP_TABLE_TIME_MAX];
    size_t count;
    int rc = np_store_naming_rows(store, d->id, rows, &count);
    for (size_t i = 0; rc == 0 && i < count; i++) {
        const struct np_naming_row *row = &rows[i];
        if (row->role == NP_NAMING_WANTED)
            printf("%-12s%s, chosen %s; its certificate is awaited\n", "", row->name, np_table_time(row->asked_s, at));
        else if (row->role == NP_NAMING_OLD)
            printf("%-12s%s, served too until %s\n", "", row->name, np_table_time(row->until_s, at));
        else if (row->role == NP_NAMING_GONE)
            printf("%-12s%s, ended %s\n", "", row->name, np_table_time(row->until_s, at));
    }
    return rc;
}

static int print_device(struct np_store *store, const struct np_device *d)
{
    char time[NP_TABLE_TIME_MAX];
    size_t count = 0;
    printf("%-12s%s\n", "name", d->name);
    int rc = print_names(store, d);
    if (rc)
        return rc;
    printf("%-12s%s\n%-12s%s\n", "id", d->id, "serial", d->serial[0] ? d->serial : "-");
    printf("%-12s%s%s\n", "state", np_device_filter_name(np_device_shown_state(d)),
           d->state == NP_DEVICE_ACTIVE && d->silent_s ? ": its name shows nothing until it is seen again" : "");
    struct np_lives lives;
    rc = np_store_lives_get(store, d->id, &lives);
    if (rc)
        return rc;
    if (lives.suspected_s)
        printf("%-12ssuspected since %s: several boxes have its identity\n", "clone",
               np_table_time(lives.suspected_s, time));
    printf("%-12s%s %s, %s\n", "model", d->model[0] ? d->model : "-", d->version,
           d->publish == NP_PUBLISH_PUBLIC ? "published" : "local-only");
    printf("%-12s%s\n", "enrolled", np_table_time(d->created_s, time));
    printf("%-12s%s\n", "last seen", np_table_time(d->last_seen_s, time));
    print_addresses("stated", &d->stated);
    print_addresses("published", &d->published);
    rc = print_certificate(store, d);
    if (rc == 0)
        rc = np_store_orders_of(store, d->id, NP_VIEW_ORDERS_MAX, print_order, &count);
    return rc ? rc : print_timeline(store, d);
}

static int run_show(int argc, char **argv)
{
    struct np_device device;
    struct np_store *store;
    const char *config;
    char *json = NULL;
    bool as_json;
    int status = np_verb_read_options(argc, argv, &config, &as_json);
    if (status)
        return status;
    if (optind + 1 != argc)
        return np_verb_usage_error("device show needs one device: its id, name or serial number");
    status = np_verb_open_store(config, true, &store);
    if (status)
        return status;
    status = np_find_device(store, argv[optind], &device);
    if (status == 0) {
        int rc = as_json ? np_view_device_whole(store, &device, &json) : print_device(store, &device);
        if (rc)
            status = np_verb_store_failed(store, rc);
        else if (as_json)
            puts(json);
    }
    free(json);
    np_store_close(store);
    return status;
}

static int run_device(int argc, char **argv)
{
    static const struct np_verb_action actions[] = {{"list", run_list},
                                                    {"show", run_show},
                                                    {"find", run_find},
                                                    {"block", np_change_block},
                                                    {"unblock", np_change_unblock},
                                                    {"retire", np_change_retire},
                                                    {"clones", run_clones},
                                                    {"trust", np_change_trust}};
    return np_verb_run_action("device", actions, sizeof actions / sizeof *actions, argc, argv);
}

const struct np_verb np_device_verb = {
    .name = "device",
    .run = run_device,
    .synopsis = "  nameplate-hq device list|show|find [--json] [--config FILE]   show the devices\n",
    .help = help,
};

/* `nameplate-hq order list|show|retry`. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "hq/admin/views.h"
#include "hq/cli/find.h"
#include "hq/cli/table.h"
#include "hq/cli/verb.h"
#include "hq/store/audit.h"
#include "hq/store/browse.h"
#include "hq/store/store.h"
#include "resolver/base/config.h"
#include "resolver/base/error.h"

static const char help[] =
    "nameplate-hq order list [--state STATE] [--device DEVICE] [--limit N] [--json] [--config FILE]\n"
    "nameplate-hq order show ORDER [--json] [--config FILE]\n"
    "nameplate-hq order retry ORDER [--config FILE]\n"
    "\n"
    "'list' shows the orders that have not ended well: those at work, those that wait, those in backoff, and those "
    "that\n"
    "HQ gave up (dead); with --device the newest of one device, whatever became of them. Times are UTC.\n"
    "'show' tells all about one order. ORDER is its id, or a device, whose newest order it is then.\n"
    "'retry' puts an order that is in backoff or dead back into the queue, as if it were new. The running server "
    "begins\n"
    "it within seconds, as soon as the CA's limits let it.\n"
    "\n"
    "  --state STATE   queued, ordered, txt-queued, txt-visible, challenged, ready, finalizing, issued, done, "
    "backoff,\n"
    "                  dead\n"
    "  --device DEVICE id, name or serial number\n"
    "  --limit N       at most N orders of a state (100)\n"
    "  --json          JSON, of the shapes docs/schema/orders and order; times in Unix seconds\n" NP_VERB_CONFIG_OPTION
    "\n"
    "Exit code: 0 done, 1 no such order, or it cannot be tried again, or another failure, 2 usage.\n";

/* What a list is printed with. */
struct listing {
    bool json;
    size_t count;
};

static int list_order(void *ctx, const struct np_order *order)
{
    struct listing *listing = ctx;
    char *json = NULL;
    listing->count++;
    if (!listing->json) {
        np_table_order(order, listing->count == 1);
        return 0;
    }
    int rc = np_view_order(order, &json);
    if (rc == 0)
        printf("%s%s", listing->count == 1 ? "[\n" : ",\n", json);
    free(json);
    return rc;
}

/* Those at work first, then the queue in its order, backoff, the dead. */
static int list_open(struct np_store *store, size_t limit, struct listing *listing)
{
    static const enum np_order_state states[] = {
        NP_ORDER_ISSUED,     NP_ORDER_FINALIZING, NP_ORDER_READY,  NP_ORDER_CHALLENGED, NP_ORDER_TXT_VISIBLE,
        NP_ORDER_TXT_QUEUED, NP_ORDER_ORDERED,    NP_ORDER_QUEUED, NP_ORDER_BACKOFF,    NP_ORDER_DEAD};
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < sizeof states / sizeof *states; i++)
        rc = np_store_orders_page(store, states[i], limit, list_order, listing);
    return rc;
}

static int unknown_state(const char *word)
{
    const char *names[NP_CENSUS_ORDER_STATES];
    for (int i = 0; i < NP_CENSUS_ORDER_STATES; i++)
        names[i] = np_order_state_name((enum np_order_state)i);
    const char *near = np_nearest(word, names, NP_CENSUS_ORDER_STATES);
    return near ? np_verb_usage_error("order list: no order is in state '%s', did you mean '%s'?", word, near)
                : np_verb_usage_error("order list: no order is in state '%s'", word);
}

static int list(struct np_store *store, const struct np_verb_page *page, int state)
{
    struct listing listing = {.json = page->json};
    struct np_device device;
    size_t limit = page->limit ? page->limit : NP_VERB_LIMIT_DEFAULT;
    int status = page->device ? np_find_device(store, page->device, &device) : 0;
    if (status)
        return status;
    int rc = page->device ? np_store_orders_of(store, device.id, limit, list_order, &listing)
             : state >= 0 ? np_store_orders_page(store, (enum np_order_state)state, limit, list_order, &listing)
                          : list_open(store, limit, &listing);
    if (rc)
        return np_verb_store_failed(store, rc);
    if (page->json)
        puts(listing.count ? "\n]" : "[]");
    else if (listing.count == 0)
        puts("There is no such order.");
    return EXIT_SUCCESS;
}

static int run_list(int argc, char **argv)
{
    struct np_verb_page page;
    struct np_store *store;
    int status = np_verb_read_page(argc, argv, "lsd", &page);
    if (status)
        return status;
    if (optind != argc)
        return np_verb_usage_error("order list: '%s' is not expected", argv[optind]);
    int state = page.state ? np_order_state_parse(page.state) : -1;
    if (page.state && state < 0)
        return unknown_state(page.state);
    if (page.state && page.device)
        return np_verb_usage_error("order list: --state or --device, not both");
    status = np_verb_open_store(page.config, true, &store);
    if (status)
        return status;
    status = list(store, &page, state);
    np_store_close(store);
    return status;
}

/* ---- show, retry ---- */

/* The order by its id, or the newest of the device that the word means. */
static int find_order(struct np_store *store, const char *word, struct np_order *out_order)
{
    struct np_device device;
    int rc = np_store_order_get(store, word, out_order);
    if (rc == 0)
        return 0;
    if (rc != NP_E_NOT_FOUND)
        return np_verb_store_failed(store, rc);
    int status = np_find_device(store, word, &device);
    if (status)
        return status;
    rc = np_store_order_newest(store, device.id, out_order);
    if (rc == NP_E_NOT_FOUND)
        fprintf(stderr, "nameplate-hq: %s has no order: it has not sent a CSR yet\n", device.name);
    else if (rc)
        np_verb_store_failed(store, rc);
    return rc ? NP_EXIT_FAILED : 0;
}

static void print_line(const char *title, const char *value)
{
    if (value[0])
        printf("%-12s%s\n", title, value);
}

static void print_order(const struct np_order *o)
{
    char time[NP_TABLE_TIME_MAX];
    np_table_order(o, true);
    putchar('\n');
    print_line("device", o->device);
    printf("%-12s%s\n", "updated", np_table_time(o->updated_ms / 1000, time));
    if (o->renews)
        printf("%-12scertificate %lld\n", "renews", (long long)o->renews);
    print_line("ca", o->ca);
    print_line("order", o->order_url);
    print_line("finalize", o->finalize_url);
    print_line("certificate", o->certificate_url);
    for (size_t i = 0; i < o->authorization_count; i++) {
        const struct np_order_authorization *a = &o->authorizations[i];
        printf("%-12s%s%s%s\n", "name", a->name, a->url[0] ? "  " : "", a->url);
        if (a->txt[0])
            printf("%-12s_acme-challenge.%s TXT \"%s\"\n", "", a->name, a->txt);
    }
}

static int run_show(int argc, char **argv)
{
    struct np_order order;
    struct np_store *store;
    const char *config;
    char *json = NULL;
    bool as_json;
    int status = np_verb_read_options(argc, argv, &config, &as_json);
    if (status)
        return status;
    if (optind + 1 != argc)
        return np_verb_usage_error("order show needs one order: its id, or a device");
    status = np_verb_open_store(config, true, &store);
    if (status)
        return status;
    status = find_order(store, argv[optind], &order);
    if (status == 0 && !as_json)
        print_order(&order);
    else if (status == 0 && np_view_order(&order, &json))
        status = np_verb_failed("out of memory");
    else if (status == 0)
        puts(json);
    free(json);
    np_store_close(store);
    return status;
}

/* Why an order cannot be tried again; NULL: it can. */
static const char *obstacle(struct np_store *store, const struct np_order *order)
{
    struct np_order newest;
    struct np_device device;
    if (order->state == NP_ORDER_DONE || order->state == NP_ORDER_ISSUED)
        return "it has led to a certificate";
    if (order->state != NP_ORDER_BACKOFF && order->state != NP_ORDER_DEAD)
        return "it is waiting or at work already";
    if (np_store_device_get(store, order->device, &device))
        return "its device is not known any more";
    if (device.state != NP_DEVICE_ACTIVE)
        return device.state == NP_DEVICE_BLOCKED ? "its device is blocked" : "its device has left";
    if (np_store_order_newest(store, order->device, &newest) || strcmp(newest.id, order->id) != 0)
        return "the device has a newer order";
    return NULL;
}

static int retry(struct np_store *store, const char *word)
{
    struct np_order order;
    int rc = np_store_lock(store); /* what is looked at must hold when it is written */
    int status = rc ? np_verb_store_failed(store, rc) : find_order(store, word, &order);
    if (status)
        return status;
    const char *why = obstacle(store, &order);
    rc = why ? 0 : np_store_order_retry(store, order.id, (int64_t)time(NULL) * 1000);
    if (rc == 0 && !why) {
        struct np_device device;
        rc = np_store_device_get(store, order.device, &device);
        if (rc == 0)
            rc = np_verb_audit(store, NP_AUDIT_ORDER_RETRY, &device, order.id);
        if (rc == 0)
            rc = np_store_commit(store);
    }
    if (rc == NP_E_NOT_FOUND) /* the server was faster */
        why = "it is waiting or at work already";
    if (why) {
        fprintf(stderr, "nameplate-hq: order %s cannot be tried again: %s (it is %s)\n", order.id, why,
                np_order_state_name(order.state));
        return NP_EXIT_FAILED;
    }
    if (rc)
        return np_verb_store_failed(store, rc);
    printf("%s: order %s is in the queue again\n", order.authorizations[0].name, order.id);
    return EXIT_SUCCESS;
}

static int run_retry(int argc, char **argv)
{
    struct np_store *store;
    const char *config;
    bool json;
    int status = np_verb_read_options(argc, argv, &config, &json);
    if (status)
        return status;
    if (optind + 1 != argc || json)
        return np_verb_usage_error("order retry needs one order: its id, or a device");
    status = np_verb_open_store(config, false, &store);
    if (status)
        return status;
    status = retry(store, argv[optind]);
    np_store_close(store);
    return status;
}

static int run_order(int argc, char **argv)
{
    static const struct np_verb_action actions[] = {{"list", run_list}, {"show", run_show}, {"retry", run_retry}};
    return np_verb_run_action("order", actions, sizeof actions / sizeof *actions, argc, argv);
}

const struct np_verb np_order_verb = {
    .name = "order",
    .run = run_order,
    .synopsis =
        "  nameplate-hq order list|show|retry [--json] [--config FILE]   show certificate orders, try one again\n",
    .help = help,
};

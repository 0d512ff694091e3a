/* `nameplate-hq stats`: the fleet in numbers. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "hq/admin/views.h"
#include "hq/cli/table.h"
#include "hq/cli/verb.h"
#include "hq/store/browse.h"

#define ERRORS_SHOWN 5

static const char help[] = "nameplate-hq stats [--json] [--config FILE]\n"
                           "\n"
                           "Shows the fleet in numbers: devices by state and version, certificates by the days they "
                           "have left, orders by state,\n"
                           "names that wait to be published. With a million devices this takes a second or so.\n"
                           "\n"
                           "  --json          JSON, of the shape docs/schema/stats\n" NP_VERB_CONFIG_OPTION;

static void row(const char *title, int64_t count)
{
    printf("  %-28s %10lld\n", title, (long long)count);
}

static void print_devices(const struct np_census *c)
{
    puts("DEVICES");
    row("active", c->active);
    row("  seen in the last day", c->seen_day);
    row("silent", c->silent);
    row("blocked", c->blocked);
    row("left", c->retired);
    if (c->open)
        row("of all, enrolled as open", c->open);
    puts(c->version_count ? "\nVERSIONS" : "");
    for (size_t i = 0; i < c->version_count; i++)
        row(c->versions[i].version[0] ? c->versions[i].version : "-", c->versions[i].count);
}

static void print_certificates(const struct np_census *c)
{
    static const size_t days[] = {1, 3, 7, 14, 30, 60};
    char title[40];
    puts("\nCERTIFICATES");
    row("all", c->certificates);
    row("expired", c->expired);
    for (size_t i = 0; i < sizeof days / sizeof *days; i++) {
        snprintf(title, sizeof title, "end within %zu day%s", days[i], days[i] == 1 ? "" : "s");
        row(title, np_census_expiring(c, days[i]) - c->expired);
    }
    row("renewal a day overdue", c->overdue);
}

static void print_orders(const struct np_census *c)
{
    static const char *const priorities[] = {"urgent", "new devices", "routine renewals", "open devices"};
    char title[40];
    puts("\nORDERS");
    for (int i = 0; i < NP_CENSUS_ORDER_STATES; i++) {
        if (i != NP_ORDER_DONE && (c->orders[i] || i == NP_ORDER_QUEUED))
            row(np_order_state_name((enum np_order_state)i), c->orders[i]);
    }
    for (size_t i = 0; i <= NP_PRIORITY_OPEN; i++) {
        snprintf(title, sizeof title, "waiting: %s", priorities[i]);
        if (c->lanes[i][0] + c->lanes[i][1])
            row(title, c->lanes[i][0] + c->lanes[i][1]);
    }
    for (size_t i = 0; i < c->ca_count; i++) {
        int64_t count = 0;
        for (size_t k = 0; k < NP_CENSUS_ORDER_STATES; k++)
            count += c->cas[i].states[k];
        printf("  %lld at %s\n", (long long)count, c->cas[i].ca[0] ? c->cas[i].ca : "no CA yet");
    }
    char at[NP_TABLE_TIME_MAX];
    if (c->error_count)
        puts("\nLAST ERRORS (UTC)");
    for (size_t i = 0; i < c->error_count && i < ERRORS_SHOWN; i++)
        printf("  %s  %-8s %s: %s\n", np_table_time(c->errors[i].at_ms / 1000, at),
               np_order_state_name(c->errors[i].state), c->errors[i].name, c->errors[i].error);
    puts("\nTO DO");
    row("names to be published", c->dirty);
    row("certificates to be revoked", c->revocations);
}

static int run_stats(int argc, char **argv)
{
    struct np_census *census = calloc(1, sizeof *census);
    struct np_store *store = NULL;
    const char *config;
    char *json = NULL;
    bool as_json;
    int status = census ? np_verb_read_options(argc, argv, &config, &as_json) : np_verb_failed("out of memory");
    if (status == 0 && optind != argc)
        status = np_verb_usage_error("stats: '%s' is not expected", argv[optind]);
    if (status == 0)
        status = np_verb_open_store(config, true, &store);
    if (status == 0) {
        int rc = np_store_census(store, (int64_t)time(NULL), census);
        if (rc == 0 && as_json)
            rc = np_view_census(census, &json);
        if (rc)
            status = np_verb_store_failed(store, rc);
    }
    if (status == 0 && as_json) {
        puts(json);
    } else if (status == 0) {
        print_devices(census);
        print_certificates(census);
        print_orders(census);
    }
    free(json);
    free(census);
    np_store_close(store);
    return status;
}

const struct np_verb np_stats_verb = {
    .name = "stats",
    .run = run_stats,
    .synopsis = "  nameplate-hq stats [--json] [--config FILE]                   the fleet in numbers\n",
    .help = help,
};

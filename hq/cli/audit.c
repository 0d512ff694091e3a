/* `nameplate-hq audit`. */
#include <errno.h>
#include <getopt.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "hq/cli/find.h"
#include "hq/cli/table.h"
#include "hq/cli/verb.h"
#include "hq/store/audit.h"
#include "resolver/base/error.h"
#include "resolver/base/text.h"

static const char help[] =
    "nameplate-hq audit [--since TIME] [--device DEVICE] [--limit N] [--json] [--config FILE]\n"
    "\n"
    "Shows the log of what was decided about devices (who enrolled by what, who left, who is suspected to be a clone)\n"
    "and of what operators did, oldest first. The database refuses to change or delete an entry.\n"
    "\n"
    "  --since TIME      from then on: 2026-11-29, 2026-11-29T10:00:00Z (UTC), 90m, 24h, 7d ago, or Unix seconds\n"
    "  --device DEVICE   one device's: its id, name or serial number\n"
    "  --limit N         the newest N entries (100; --json: all)\n"
    "  --json            JSON, of the shape docs/schema/audit; times in Unix seconds\n" NP_VERB_CONFIG_OPTION;

/* A date or an age in whole hours, days or minutes, as Unix time; -1: neither. */
static int64_t parse_since(const char *text, int64_t now_s)
{
    static const struct {
        char unit;
        int seconds;
    } units[] = {{'m', 60}, {'h', 3600}, {'d', 86400}};
    struct tm tm = {0};
    int64_t number;
    const char *end = strptime(text, "%Y-%m-%dT%H:%M:%SZ", &tm);
    if (!end || *end) {
        memset(&tm, 0, sizeof tm);
        end = strptime(text, "%Y-%m-%d", &tm);
    }
    if (end && !*end)
        return (int64_t)timegm(&tm);
    if (np_parse_int(text, 0, INT64_MAX / 1000, &number) == 0)
        return number;
    size_t len = strlen(text);
    char digits[24];
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        if (len < 2 || len >= sizeof digits || text[len - 1] != units[i].unit)
            continue;
        memcpy(digits, text, len - 1);
        digits[len - 1] = 0;
        if (np_parse_int(digits, 0, 1000000, &number) == 0)
            return now_s - number * units[i].seconds;
    }
    return -1;
}

static int print_row(void *ctx, const struct np_audit *entry)
{
    size_t *count = ctx;
    char at[NP_TABLE_TIME_MAX];
    if ((*count)++ == 0)
        printf("%-16s  %-20s  %-15s  %-40s %-16s %s\n", "TIME (UTC)", "WHO", "WHAT", "NAME", "SERIAL", "DETAIL");
    printf("%-16s  %-20s  %-15s  %-40s %-16s %s\n", np_table_time(entry->at_ms / 1000, at), entry->actor, entry->action,
           entry->name[0] ? entry->name : "-", entry->serial[0] ? entry->serial : "-", entry->detail);
    return 0;
}

static int print_json(void *ctx, const struct np_audit *entry)
{
    size_t *count = ctx;
    json_t *object =
        json_pack("{s:I,s:I,s:s,s:s,s:s,s:s,s:s,s:s}", "seq", (json_int_t)entry->seq, "at",
                  (json_int_t)(entry->at_ms / 1000), "actor", entry->actor, "action", entry->action, "device",
                  entry->device, "name", entry->name, "serial", entry->serial, "detail", entry->detail);
    fputs((*count)++ == 0 ? "[\n" : ",\n", stdout);
    int rc = object && json_dumpf(object, stdout, JSON_COMPACT) == 0 ? 0 : -ENOMEM;
    json_decref(object);
    return rc;
}

static int show(struct np_store *store, const struct np_audit_filter *filter, bool json)
{
    size_t count = 0;
    int rc = np_store_audit_each(store, filter, json ? print_json : print_row, &count);
    if (rc)
        return np_verb_store_failed(store, rc);
    if (json)
        puts(count ? "\n]" : "[]");
    else if (count == 0)
        puts("There is nothing in the log.");
    return EXIT_SUCCESS;
}

static int run_audit(int argc, char **argv)
{
    static const struct option table[] = {
        {"config", required_argument, NULL, 'c'}, {"json", no_argument, NULL, 'j'},
        {"since", required_argument, NULL, 's'},  {"device", required_argument, NULL, 'd'},
        {"limit", required_argument, NULL, 'l'},  {NULL, 0, NULL, 0}};
    const char *config = NP_HQ_CONFIG_DEFAULT, *word = NULL;
    struct np_audit_filter filter = {0};
    struct np_device device;
    struct np_store *store;
    int64_t limit = 0, since_s = 0;
    bool json = false;
    int option;
    while ((option = getopt_long(argc, argv, "c:", table, NULL)) != -1) {
        if (option == 'c')
            config = optarg;
        else if (option == 'j')
            json = true;
        else if (option == 'd')
            word = optarg;
        else if (option == 's' && (since_s = parse_since(optarg, (int64_t)time(NULL))) < 0)
            return np_verb_usage_error("--since %.40s: must be a date (2026-11-29), an age (24h, 7d) or Unix seconds",
                                       optarg);
        else if (option == 'l' && np_parse_int(optarg, 1, INT64_MAX, &limit))
            return np_verb_usage_error("--limit is a number from 1");
        else if (option == '?')
            return np_verb_see_help(argv[0]);
    }
    if (optind != argc)
        return np_verb_usage_error("audit: '%s' is not expected", argv[optind]);
    int status = np_verb_open_store(config, true, &store);
    if (status)
        return status;
    filter.since_ms = since_s * 1000;
    filter.limit = limit ? (size_t)limit : json ? (size_t)INT64_MAX : NP_VERB_LIMIT_DEFAULT;
    if (word && (status = np_find_device(store, word, &device)) == 0)
        filter.device = device.id;
    if (status == 0)
        status = show(store, &filter, json);
    np_store_close(store);
    return status;
}

const struct np_verb np_audit_verb = {
    .name = "audit",
    .run = run_audit,
    .synopsis = "  nameplate-hq audit [--since TIME] [--device DEVICE] [--json]  show who decided what\n",
    .help = help,
};

/* `nameplate-hq zone check|repair`. */
#include "hq/zone/zone.h"

#include <getopt.h>
#include <stdlib.h>

#include "hq/cli/verb.h"
#include "hq/store/audit.h"
#include "hq/zonecheck.h"
#include "resolver/base/error.h"
#include "resolver/base/log.h"

static const char help[] =
    "nameplate-hq zone check [--json] [--config FILE]\n"
    "nameplate-hq zone repair [--json] [--config FILE]\n"
    "\n"
    "Compares what the name servers show with the database, while the server runs: each server that HQ updates is\n"
    "transferred (or asked name by name, as HQ's own is), and what differs is asked for again before it counts.\n"
    "'repair' has what differs published again. Names that are not of devices are left alone.\n"
    "\n"
    "  --json          everything, as a JSON object\n" NP_VERB_CONFIG_OPTION "\n"
    "Exit code: 0 all agrees (repair: what differed was marked), 3 something differs, 1 a server could not be\n"
    "compared, or another failure, 2 usage.\n";

static int repair_zone(struct np_store *store, const struct np_zone_config *zone, struct np_zonecheck *check)
{
    int rc = np_verb_audit(store, NP_AUDIT_ZONE_REPAIR, NULL, zone->origin);
    return rc ? rc : np_zonecheck_repair(store, check); /* which commits */
}

static int check_zone(const struct np_zone_config *zone, struct np_store *store, bool repair, bool json)
{
    struct np_zonecheck check;
    char error[NP_ZONE_ERROR_MAX];
    int rc = np_zonecheck_run(store, zone, &check, error);
    int status = rc ? np_verb_failed(error) : EXIT_SUCCESS;
    if (rc == 0 && repair && (rc = repair_zone(store, zone, &check)))
        status = np_verb_store_failed(store, rc);
    if (rc == 0) {
        if (!json)
            np_zonecheck_print(&check);
        else if ((rc = np_zonecheck_print_json(&check)))
            status = np_verb_failed(np_strerror(rc));
        if (rc == 0 && !np_zonecheck_complete(&check))
            status = NP_EXIT_FAILED;
        else if (rc == 0 && !repair && !np_zonecheck_agrees(&check))
            status = NP_EXIT_DIFFERS;
    }
    np_zonecheck_deinit(&check);
    return status;
}

static int run(int argc, char **argv, bool repair)
{
    struct np_config *config;
    struct np_hq_config values;
    struct np_zone_config zone;
    struct np_store *store;
    const char *config_path;
    char error[1024];
    bool json;
    int status = np_verb_read_options(argc, argv, &config_path, &json);
    if (status)
        return status;
    if (optind != argc)
        return np_verb_usage_error("zone %s: '%s' is not expected", repair ? "repair" : "check", argv[optind]);
    np_log_init("nameplate-hq", NP_LOG_WARNING);
    status = np_verb_load_config(config_path, &config, &values);
    if (status)
        return status;
    int rc = np_zone_config_load(config, &zone, error);
    np_config_free(config);
    if (rc || np_store_open(values.database, !repair, &store, error, sizeof error))
        return np_verb_failed(error);
    status = check_zone(&zone, store, repair, json);
    np_store_close(store);
    return status;
}

static int run_check(int argc, char **argv)
{
    return run(argc, argv, false);
}

static int run_repair(int argc, char **argv)
{
    return run(argc, argv, true);
}

static int run_zone(int argc, char **argv)
{
    static const struct np_verb_action actions[] = {{"check", run_check}, {"repair", run_repair}};
    return np_verb_run_action("zone", actions, sizeof actions / sizeof *actions, argc, argv);
}

const struct np_verb np_zone_verb = {
    .name = "zone",
    .run = run_zone,
    .synopsis =
        "  nameplate-hq zone check|repair [--json] [--config FILE]       compare the name servers with the database\n",
    .help = help,
};

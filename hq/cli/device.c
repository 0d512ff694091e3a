/* `nameplate-hq device ...`: one function an action. */
#include <getopt.h>
#include <stdlib.h>

#include "hq/cli/listing.h"
#include "hq/cli/verb.h"
#include "hq/store/store.h"
#include "resolver/base/error.h"

static const char help[] =
    "nameplate-hq device list [--json] [--config FILE]\n"
    "\n"
    "Shows every device: name, serial number, state, how many certificates it had, when the newest ends and is "
    "renewed,\n"
    "when the device was last seen (within an hour), its first published address. Times are UTC.\n"
    "\n"
    "  --json          everything, as a JSON array; times in Unix seconds\n" NP_VERB_CONFIG_OPTION;

static int run_list(int argc, char **argv)
{
    const char *config;
    struct np_store *store;
    bool json;
    int status = np_verb_read_options(argc, argv, &config, &json);
    if (status)
        return status;
    if (optind != argc)
        return np_verb_usage_error("device list: '%s' is not expected", argv[optind]);
    status = np_verb_open_store(config, true, &store);
    if (status)
        return status;
    int rc = json ? np_listing_json(store) : np_listing_table(store);
    if (rc)
        status = np_verb_failed(rc == NP_E_STORE ? np_store_error(store) : np_strerror(rc));
    np_store_close(store);
    return status;
}

static int run_device(int argc, char **argv)
{
    static const struct np_verb_action actions[] = {{"list", run_list}};
    return np_verb_run_action("device", actions, sizeof actions / sizeof *actions, argc, argv);
}

const struct np_verb np_device_verb = {
    .name = "device",
    .run = run_device,
    .synopsis = "  nameplate-hq device list [--json] [--config FILE]             show the devices\n",
    .help = help,
};

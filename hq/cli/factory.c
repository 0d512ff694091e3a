/* `nameplate-hq factory-secret`. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hq/cli/verb.h"
#include "hq/crypto.h"
#include "hq/factorylist.h"
#include "hq/secrets.h"
#include "resolver/base/text.h"

static const char help[] = "nameplate-hq factory-secret SERIAL [--config FILE]\n"
                           "\n"
                           "Prints the factory-secret file of the device with this serial number, "
                           "derived from the master in HQ's secrets. Put it\n"
                           "on the device, and nowhere else.\n"
                           "\n" NP_VERB_CONFIG_OPTION;

static int run_factory_secret(int argc, char **argv)
{
    struct np_config *config;
    struct np_hq_config values;
    uint8_t master[32], secret[32];
    char hex[NP_HEX_LEN(32)], error[NP_SECRETS_ERROR_MAX];
    const char *config_path;
    bool json;
    int status = np_verb_read_options(argc, argv, &config_path, &json);
    if (status)
        return status;
    if (optind + 1 != argc || json)
        return np_verb_usage_error("factory-secret needs one serial number");
    const char *serial = argv[optind];
    if (!np_factorylist_is_serial(serial)) /* the file is read by the same parser as a configuration */
        return np_verb_usage_error("a serial number has 1 to %d letters, digits and . _ - : /", NP_SERIAL_MAX);
    status = np_verb_load_config(config_path, &config, &values);
    if (status)
        return status;
    np_config_free(config);
    if (np_secrets_load_master(values.secrets, master, error))
        return np_verb_failed(error);
    np_hq_factory_secret(master, serial, secret);
    np_hex_encode(secret, sizeof secret, hex);
    printf("serial = \"%s\"\nsecret = %s\n", serial, hex);
    np_wipe(master, sizeof master);
    np_wipe(secret, sizeof secret);
    np_wipe(hex, sizeof hex);
    return EXIT_SUCCESS;
}

const struct np_verb np_factory_secret_verb = {
    .name = "factory-secret",
    .run = run_factory_secret,
    .synopsis =
        "  nameplate-hq factory-secret SERIAL [--config FILE]            print a device's factory-secret file\n",
    .help = help,
};

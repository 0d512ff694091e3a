/* `nameplate-hq ca rollover`. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hq/acme/rollover.h"
#include "hq/cli/verb.h"
#include "resolver/base/log.h"

static const char help[] =
    "nameplate-hq ca rollover [acme2] [--config FILE]\n"
    "\n"
    "Gives HQ's account at the CA (acme2: at the second CA) a new key. 'nameplate-hq serve' must not run meanwhile;\n"
    "it uses the new key from its next start on. The old key is kept until the CA has agreed: a rollover that was\n"
    "interrupted is finished by running it again, and until then 'serve' works with whichever key the CA knows.\n"
    "Several HQs that share an account need the new file (acme-account.pem in the secrets folder) each.\n"
    "\n" NP_VERB_CONFIG_OPTION;

static int load(const char *path, struct np_issuance_config *out_issuance)
{
    struct np_config *config;
    struct np_hq_config values;
    char error[NP_CONFIG_ERROR_MAX];
    int status = np_verb_load_config(path, &config, &values);
    if (status)
        return status;
    int rc = np_issuance_config_load(config, out_issuance, error);
    np_config_free(config);
    return rc ? np_verb_failed(error) : 0;
}

/* The CA that argv[optind] names, the first one where it names none. Returns 0 or the exit code after a message. */
static int choose(int argc, char **argv, const struct np_issuance_config *config, size_t *out_index)
{
    const char *wanted = optind < argc ? argv[optind] : config->cas[0].prefix;
    if (argc - optind > 1)
        return np_verb_usage_error("ca rollover: '%s' is not expected", argv[optind + 1]);
    for (size_t i = 0; i < config->ca_count; i++) {
        if (strcmp(config->cas[i].prefix, wanted) == 0) {
            *out_index = i;
            return 0;
        }
    }
    return np_verb_usage_error("ca rollover: '%s' is no CA of the configuration: acme, or acme2 where acme2-directory "
                               "is set",
                               wanted);
}

static int run_rollover(int argc, char **argv)
{
    struct np_issuance_config *issuance = calloc(1, sizeof *issuance);
    struct np_rollover done;
    const char *config_path;
    char error[NP_ROLLOVER_ERROR_MAX];
    bool json;
    size_t index = 0;
    int status = issuance ? np_verb_read_options(argc, argv, &config_path, &json) : np_verb_failed("out of memory");
    np_log_init("nameplate-hq", NP_LOG_WARNING);
    if (status == 0 && json)
        status = np_verb_usage_error("ca rollover: '--json' is not expected");
    if (status == 0)
        status = load(config_path, issuance);
    if (status == 0)
        status = choose(argc, argv, issuance, &index);
    if (status == 0 && np_rollover_run(issuance, index, &done, error))
        status = np_verb_failed(error);
    else if (status == 0)
        printf("%s has a new key, %s%s\n", done.account, done.path,
               done.finished ? " (the CA had it already: an interrupted rollover is finished)" : "");
    free(issuance);
    return status;
}

static const struct np_verb_action actions[] = {{"rollover", run_rollover}};

static int run_ca(int argc, char **argv)
{
    return np_verb_run_action("ca", actions, sizeof actions / sizeof *actions, argc, argv);
}

const struct np_verb np_ca_verb = {
    .name = "ca",
    .run = run_ca,
    .synopsis =
        "  nameplate-hq ca rollover [acme2] [--config FILE]              a new key for HQ's account at the CA\n",
    .help = help,
};

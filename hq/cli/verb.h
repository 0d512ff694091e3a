/* verb: what each verb of `nameplate-hq` says about itself, and what the verbs share.
 *
 * Results and help that was asked for go to standard output, everything that went wrong to standard error. */
#ifndef HQ_CLI_VERB_H
#define HQ_CLI_VERB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "hq/config.h"
#include "hq/store/store.h"
#include "resolver/base/config.h"

/* Exit codes, beside EXIT_SUCCESS. */
#define NP_EXIT_FAILED  1
#define NP_EXIT_USAGE   2
#define NP_EXIT_DIFFERS 3 /* what was compared is not the same */

#define NP_HQ_CONFIG_DEFAULT  "/etc/nameplate-hq/nameplate-hq.conf"
#define NP_VERB_CONFIG_OPTION "  --config FILE   the configuration (" NP_HQ_CONFIG_DEFAULT ")\n"
#define NP_VERB_ACTIONS_MAX   16  /* of one verb; more would want a second verb */
#define NP_VERB_LIMIT_DEFAULT 100 /* rows of a table */
#define NP_VERB_LIMIT_MAX     100000000

/* One verb; static storage. */
struct np_verb {
    const char *name;
    int (*run)(int argc, char **argv); /* argv[0] is its title, as getopt begins messages; returns the exit code */
    const char *synopsis;              /* its lines in the program's own help; NULL: it is hidden */
    const char *help;                  /* NULL: it is hidden */
    const struct np_config_key *(*keys)(void); /* the configuration's, which follow the help; NULL: none */
};

/* The verbs, each in its own file. */
extern const struct np_verb np_init_verb, np_serve_verb, np_ca_verb, np_device_verb, np_factory_secret_verb,
    np_zone_verb, np_order_verb, np_stats_verb, np_claim_verb, np_audit_verb, np_import_verb, np_child_dns_verb,
    np_backup_verb, np_restore_verb, np_recovery_verb;

/* An action of a verb that has several: the `list` in `device list`. */
struct np_verb_action {
    const char *name;
    int (*run)(int argc, char **argv); /* as a verb's; the action's own word is no longer in argv */
};

/* Runs the action of verb that argv names, wherever options stand before it. Returns its exit code, or says which
 * actions there are and returns NP_EXIT_USAGE. count: at most NP_VERB_ACTIONS_MAX. */
int np_verb_run_action(const char *verb, const struct np_verb_action *actions, size_t count, int argc, char **argv);

/* Prints "nameplate-hq: ...; see nameplate-hq --help"; returns NP_EXIT_USAGE. */
int np_verb_usage_error(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* After a message of getopt's, which began with the same title ("nameplate-hq VERB"): prints where help is; returns
 * NP_EXIT_USAGE. */
int np_verb_see_help(const char *title);

/* Prints "nameplate-hq: text"; returns NP_EXIT_FAILED. */
int np_verb_failed(const char *text);

/* Prints what went wrong in the database (rc of a function of hq/store); returns NP_EXIT_FAILED. */
int np_verb_store_failed(const struct np_store *store, int rc);

/* Reads --config and --json, the options of most verbs, and leaves what else there is in argv[optind...]. Returns 0, or
 * the exit code after a message. */
int np_verb_read_options(int argc, char **argv, const char **out_config, bool *out_json);

/* The options of verbs that list. Strings are borrowed from argv; NULL or 0: not given. */
struct np_verb_page {
    const char *config; /* always there */
    bool json;
    size_t limit;
    const char *after, *state, *device;
};

/* As np_verb_read_options, with --limit, --after, --state and --device where allowed has their first letter. */
int np_verb_read_page(int argc, char **argv, const char *allowed, struct np_verb_page *out_page);

/* Reads the configuration at path; the caller frees *out_config, which *out_values borrows from. Returns 0, or the exit
 * code after a message. */
int np_verb_load_config(const char *path, struct np_config **out_config, struct np_hq_config *out_values);

/* Opens the database that the configuration at path names; the caller closes it. Returns 0, or the exit code after a
 * message. */
int np_verb_open_store(const char *path, bool read_only, struct np_store **out_store);

/* Writes down what the operator did. detail may be empty. Inside the transaction of what it tells, before its commit.
 * Returns 0 or a database error. */
int np_verb_audit(struct np_store *store, const char *action, const struct np_device *device, const char *detail);

/* np_verb_open_store, and the factory master, which the caller wipes. */
int np_verb_open_factory(const char *path, bool read_only, struct np_store **out_store, uint8_t out_master[32]);

#endif

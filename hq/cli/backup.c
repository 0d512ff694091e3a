/* `nameplate-hq backup`, `restore` and `recovery`: what an operator does before and after a database is lost. */
#include "hq/store/backup.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "hq/cli/verb.h"
#include "hq/store/ledger.h"
#include "resolver/base/error.h"
#include "resolver/base/text.h"

static const char backup_help[] =
    "nameplate-hq backup FILE [--config FILE]\n"
    "\n"
    "Copies the database into FILE, as it is at one moment, while the server runs. FILE must not be there yet; it is\n"
    "there whole, or not at all. Only for SQLite: for PostgreSQL use pg_dump. The secrets folder and the ledger are\n"
    "separate: keep copies of them too.\n"
    "\n" NP_VERB_CONFIG_OPTION;

static const char restore_help[] =
    "nameplate-hq restore FILE [--config FILE]\n"
    "\n"
    "Puts a backup in the place of the database, which the server must not have open; what was there is kept beside\n"
    "it. HQ is then in recovery for 30 days (see 'recovery'), and what the ledger knows beyond the backup is taken\n"
    "over at the next start.\n"
    "\n" NP_VERB_CONFIG_OPTION;

static const char recovery_help[] =
    "nameplate-hq recovery show [--json] [--config FILE]\n"
    "nameplate-hq recovery begin [--config FILE]\n"
    "nameplate-hq recovery end [--config FILE]\n"
    "nameplate-hq recovery unblock WHO [--config FILE]\n"
    "\n"
    "In recovery new names all carry a suffix, so that none of them is the name of a box that the database does not\n"
    "know any more; such a box comes back with its next check-in, and its grant gives it its name again. It begins by\n"
    "itself after 'restore', and when the database lacks what its ledger has; it ends after 30 days. 'begin' and "
    "'end'\n"
    "do either by hand, with the server running. 'unblock' lets a device in again that is blocked by the ledger alone\n"
    "(the database has no row of it): WHO is its serial number, or its key's thumbprint as the ledger has it.\n"
    "\n"
    "  --json          as JSON\n" NP_VERB_CONFIG_OPTION;

/* Reads the options and the one word that both verbs take. */
static int read_file_word(int argc, char **argv, const char *verb, struct np_config **out_config,
                          struct np_hq_config *out_values, const char **out_file)
{
    const char *config_path;
    bool json;
    int status = np_verb_read_options(argc, argv, &config_path, &json);
    if (status)
        return status;
    if (optind + 1 != argc || json)
        return np_verb_usage_error("%s needs one FILE", verb);
    *out_file = argv[optind];
    return np_verb_load_config(config_path, out_config, out_values);
}

static int run_backup(int argc, char **argv)
{
    struct np_config *config;
    struct np_hq_config values;
    const char *file = NULL;
    char error[1024];
    int status = read_file_word(argc, argv, "backup", &config, &values, &file);
    if (status)
        return status;
    int rc = np_store_backup(values.database, file, error, sizeof error);
    np_config_free(config);
    if (rc)
        return np_verb_failed(error);
    printf("%s is a copy of the database. Keep copies of the secrets folder and of the ledger with it.\n", file);
    return EXIT_SUCCESS;
}

static int run_restore(int argc, char **argv)
{
    struct np_config *config;
    struct np_hq_config values;
    const char *file = NULL;
    char error[1024], kept[1024];
    int status = read_file_word(argc, argv, "restore", &config, &values, &file);
    if (status)
        return status;
    int rc = np_store_restore(file, values.database, (int64_t)time(NULL) + NP_RECOVERY_S, kept, error, sizeof error);
    np_config_free(config);
    if (rc)
        return np_verb_failed(error);
    if (kept[0])
        printf("What was there is %s now.\n", kept);
    puts("Restored. HQ is in recovery for 30 days ('nameplate-hq recovery --help'): start it.");
    return EXIT_SUCCESS;
}

static int open_plain(int argc, char **argv, const char *action, bool read_only, bool *out_json,
                      struct np_store **out_store)
{
    const char *config_path;
    int status = np_verb_read_options(argc, argv, &config_path, out_json);
    if (status)
        return status;
    if (optind != argc || (*out_json && !read_only))
        return np_verb_usage_error("recovery %s: '%s' is not expected", action, *out_json ? "--json" : argv[optind]);
    return np_verb_open_store(config_path, read_only, out_store);
}

static int run_show(int argc, char **argv)
{
    struct np_store *store;
    int64_t until_s = 0, seq = 0, at_s = 0;
    char date[NP_TIME_TEXT_MAX];
    bool json;
    int status = open_plain(argc, argv, "show", true, &json, &store);
    if (status)
        return status;
    int rc = np_store_recovery_get(store, &until_s);
    if (rc == 0)
        rc = np_store_ledger_last(store, &seq, &at_s);
    bool on = until_s > (int64_t)time(NULL);
    np_time_format(until_s, date);
    if (rc)
        status = np_verb_store_failed(store, rc);
    else if (json)
        printf("{\"recovery\": %s, \"until_s\": %lld, \"ledger_entries\": %lld}\n", on ? "true" : "false",
               on ? (long long)until_s : 0LL, (long long)seq);
    else if (on)
        printf("in recovery until %s; %lld entries in the ledger\n", date, (long long)seq);
    else
        printf("not in recovery; %lld entries in the ledger\n", (long long)seq);
    np_store_close(store);
    return status;
}

static int set(int argc, char **argv, bool begin)
{
    struct np_store *store;
    bool json;
    int status = open_plain(argc, argv, begin ? "begin" : "end", false, &json, &store);
    if (status)
        return status;
    int rc = np_store_recovery_set(store, begin ? (int64_t)time(NULL) + NP_RECOVERY_S : 0);
    if (rc == 0)
        rc = np_store_commit(store);
    status = rc ? np_verb_store_failed(store, rc) : EXIT_SUCCESS;
    np_store_close(store);
    if (rc == 0)
        puts(begin ? "In recovery, for 30 days." : "The recovery has ended.");
    return status;
}

static int run_begin(int argc, char **argv)
{
    return set(argc, argv, true);
}

static int run_end(int argc, char **argv)
{
    return set(argc, argv, false);
}

static int run_unblock(int argc, char **argv)
{
    struct np_store *store;
    const char *config_path;
    bool json;
    int status = np_verb_read_options(argc, argv, &config_path, &json);
    if (status)
        return status;
    if (optind + 1 != argc || json)
        return np_verb_usage_error("recovery unblock needs a serial number or a thumbprint");
    const char *who = argv[optind];
    status = np_verb_open_store(config_path, false, &store);
    if (status)
        return status;
    int count = np_store_unbar(store, who, (int64_t)time(NULL));
    int rc = count < 0 ? count : np_store_commit(store);
    if (rc)
        status = np_verb_store_failed(store, rc);
    else if (count == 0)
        status = np_verb_failed("nobody is blocked by the ledger alone with that serial number or thumbprint");
    else
        printf("%d unblocked.\n", count);
    np_store_close(store);
    return status;
}

static int run_recovery(int argc, char **argv)
{
    static const struct np_verb_action actions[] = {
        {"show", run_show}, {"begin", run_begin}, {"end", run_end}, {"unblock", run_unblock}};
    return np_verb_run_action("recovery", actions, sizeof actions / sizeof *actions, argc, argv);
}

const struct np_verb np_backup_verb = {
    .name = "backup",
    .run = run_backup,
    .synopsis =
        "  nameplate-hq backup FILE [--config FILE]                      copy the database while it is in use\n",
    .help = backup_help,
};

const struct np_verb np_restore_verb = {
    .name = "restore",
    .run = run_restore,
    .synopsis = "  nameplate-hq restore FILE [--config FILE]                     put such a copy in its place\n",
    .help = restore_help,
};

const struct np_verb np_recovery_verb = {
    .name = "recovery",
    .run = run_recovery,
    .synopsis = "  nameplate-hq recovery show|begin|end [--json] [--config FILE] after a database was lost\n",
    .help = recovery_help,
};

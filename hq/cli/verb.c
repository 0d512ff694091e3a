#include "hq/cli/verb.h"

#include <getopt.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "hq/secrets.h"
#include "hq/store/audit.h"
#include "resolver/base/error.h"
#include "resolver/base/text.h"

int np_verb_usage_error(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fputs("nameplate-hq: ", stderr);
    vfprintf(stderr, format, args);
    fputs("; see nameplate-hq --help\n", stderr);
    va_end(args);
    return NP_EXIT_USAGE;
}

int np_verb_see_help(const char *title)
{
    fprintf(stderr, "see %s --help\n", title);
    return NP_EXIT_USAGE;
}

int np_verb_failed(const char *text)
{
    fprintf(stderr, "nameplate-hq: %s\n", text);
    return NP_EXIT_FAILED;
}

int np_verb_store_failed(const struct np_store *store, int rc)
{
    return np_verb_failed(rc == NP_E_STORE ? np_store_error(store) : np_strerror(rc));
}

int np_verb_read_options(int argc, char **argv, const char **out_config, bool *out_json)
{
    static const struct option table[] = {
        {"config", required_argument, NULL, 'c'}, {"json", no_argument, NULL, 'j'}, {NULL, 0, NULL, 0}};
    int option;
    *out_config = NP_HQ_CONFIG_DEFAULT;
    *out_json = false;
    while ((option = getopt_long(argc, argv, "c:", table, NULL)) != -1) {
        if (option == 'c')
            *out_config = optarg;
        else if (option == 'j')
            *out_json = true;
        else
            return np_verb_see_help(argv[0]);
    }
    return 0;
}

int np_verb_read_page(int argc, char **argv, const char *allowed, struct np_verb_page *out_page)
{
    static const struct option all[] = {{"limit", required_argument, NULL, 'l'},
                                        {"after", required_argument, NULL, 'a'},
                                        {"state", required_argument, NULL, 's'},
                                        {"device", required_argument, NULL, 'd'}};
    struct option table[8] = {{"config", required_argument, NULL, 'c'}, {"json", no_argument, NULL, 'j'}};
    struct np_verb_page page = {.config = NP_HQ_CONFIG_DEFAULT};
    int64_t limit = 0;
    for (size_t i = 0, used = 2; i < sizeof all / sizeof *all; i++) {
        if (strchr(allowed, all[i].val))
            table[used++] = all[i];
    }
    for (int option; (option = getopt_long(argc, argv, "c:", table, NULL)) != -1;) {
        if (option == '?')
            return np_verb_see_help(argv[0]);
        if (option == 'j')
            page.json = true;
        if (option == 'l' && np_parse_int(optarg, 1, NP_VERB_LIMIT_MAX, &limit))
            return np_verb_usage_error("--limit %s: must be a number from 1 to %d", optarg, NP_VERB_LIMIT_MAX);
        const char **text = option == 'c'   ? &page.config
                            : option == 'a' ? &page.after
                            : option == 's' ? &page.state
                            : option == 'd' ? &page.device
                                            : NULL;
        if (text)
            *text = optarg;
    }
    page.limit = (size_t)limit;
    *out_page = page;
    return 0;
}

/* The index in argv of the first word that is neither an option nor a --config's value; argc: none. */
static int find_word(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        if (argv[i][0] != '-')
            return i;
        if (strcmp(argv[i], "--config") == 0 || strcmp(argv[i], "-c") == 0)
            i++;
    }
    return argc;
}

int np_verb_run_action(const char *verb, const struct np_verb_action *actions, size_t count, int argc, char **argv)
{
    char known[NP_VERB_ACTIONS_MAX * 32] = "";
    int at = find_word(argc, argv);
    for (size_t i = 0; i < count; i++) {
        size_t len = strlen(known);
        if (at < argc && strcmp(argv[at], actions[i].name) == 0) {
            memmove(argv + at, argv + at + 1, (size_t)(argc - at) * sizeof *argv); /* with the NULL at the end */
            return actions[i].run(argc - 1, argv);
        }
        snprintf(known + len, sizeof known - len, "%s'%s %s'",
                 i == 0          ? ""
                 : i + 1 < count ? ", "
                                 : " or ",
                 verb, actions[i].name);
    }
    const char *config;
    bool json;
    int status = 0;
    if (at == argc)
        status = np_verb_read_options(argc, argv, &config, &json); /* says which option is none */
    return status ? status : np_verb_usage_error("the verb is %s", known);
}

int np_verb_load_config(const char *path, struct np_config **out_config, struct np_hq_config *out_values)
{
    char error[NP_CONFIG_ERROR_MAX];
    int rc = np_config_load(path, np_hq_config_keys(), out_config, error);
    if (rc)
        return np_verb_failed(error);
    rc = np_hq_config_read(*out_config, out_values, error);
    if (rc == 0)
        return 0;
    np_config_free(*out_config);
    return np_verb_failed(error);
}

int np_verb_open_store(const char *path, bool read_only, struct np_store **out_store)
{
    struct np_config *config;
    struct np_hq_config values;
    char error[1024];
    int status = np_verb_load_config(path, &config, &values);
    if (status)
        return status;
    int rc = np_store_open(values.database, read_only, out_store, error, sizeof error);
    np_config_free(config);
    return rc ? np_verb_failed(error) : 0;
}

int np_verb_open_factory(const char *path, bool read_only, struct np_store **out_store, uint8_t out_master[32])
{
    struct np_config *config;
    struct np_hq_config values;
    char error[NP_SECRETS_ERROR_MAX];
    int status = np_verb_load_config(path, &config, &values);
    if (status)
        return status;
    np_config_free(config);
    if (np_secrets_load_master(values.secrets, out_master, error))
        return np_verb_failed(error);
    return np_verb_open_store(path, read_only, out_store);
}

/* Who works here: the user that sudo was called by, else the process's. */
static void name_operator(char out[NP_AUDIT_ACTOR_MAX + 1])
{
    const char *sudo = getenv("SUDO_USER");
    const struct passwd *entry = getpwuid(getuid());
    snprintf(out, NP_AUDIT_ACTOR_MAX + 1, "operator:%s",
             geteuid() == 0 && sudo && *sudo ? sudo
             : entry                         ? entry->pw_name
                                             : "?");
}

int np_verb_audit(struct np_store *store, const char *action, const struct np_device *device, const char *detail)
{
    struct np_audit entry;
    char operator[NP_AUDIT_ACTOR_MAX + 1];
    name_operator(operator);
    np_audit_fill(&entry, (int64_t)time(NULL) * 1000, operator, action, device, "%s", detail);
    return np_store_audit_add(store, &entry);
}

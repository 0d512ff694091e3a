#include "agent/cli/effective.h"

#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/cli/cli.h"
#include "agent/config.h"
#include "resolver/base/text.h"

json_t *np_config_json(const struct np_config *file, const struct np_config_key *key)
{
    const char *text;
    json_t *list;
    switch (key->type) {
    case NP_CONFIG_STRING:
        text = np_config_string(file, key->name);
        return text ? json_string(text) : json_null();
    case NP_CONFIG_INT:
        return json_integer(np_config_int(file, key->name));
    case NP_CONFIG_BOOL:
        return json_boolean(np_config_bool(file, key->name));
    case NP_CONFIG_LIST:
        list = json_array();
        for (size_t i = 0; i < np_config_list_count(file, key->name); i++)
            json_array_append_new(list, json_string(np_config_list(file, key->name, i)));
        return list;
    }
    return json_null();
}

static void usage(const char *verb)
{
    bool show = strcmp(verb, "show") == 0;
    printf("usage: nameplate config %s [--config FILE]%s\n\n%s\n\n"
           "  --config FILE  the configuration (default " NP_DEFAULT_CONFIG ")\n%s"
           "\nExit status 0: it is right, 1: it is not.\n",
           verb, show ? " [--json]" : "",
           show ? "Prints every key with the value in force, and the line where the file sets it."
                : "Reads the configuration and what it names, and says what is wrong with it.",
           show ? "  --json         the same as JSON (docs/schema/config-show.schema.json)\n" : "");
}

/* 0, or an exit code; -1: help was asked for. */
static int read_options(int argc, char **argv, const char **out_path, bool *out_json)
{
    static const struct option options[] = {{"config", required_argument, NULL, 'c'},
                                            {"json", no_argument, NULL, 'j'},
                                            {"help", no_argument, NULL, 'h'},
                                            {NULL, 0, NULL, 0}};
    *out_path = NP_DEFAULT_CONFIG;
    *out_json = false;
    for (int option; (option = getopt_long(argc, argv, "c:jh", options, NULL)) != -1;) {
        if (option == 'h') {
            usage(argv[0]);
            return -1;
        }
        if (option == 'c')
            *out_path = optarg;
        else if (option == 'j')
            *out_json = true;
        else
            return NP_EXIT_USAGE; /* getopt said why */
    }
    if (optind < argc) {
        fprintf(stderr, "nameplate config %s: unexpected '%s'\n", argv[0], argv[optind]);
        return NP_EXIT_USAGE;
    }
    return 0;
}

/* As the agent would read it at its start. An exit code. */
static int check(const char *verb, const char *path)
{
    char error[NP_CONFIG_ERROR_MAX];
    struct np_agent_config *config = malloc(sizeof *config);
    if (!config)
        return NP_EXIT_FAILURE;
    int rc = np_agent_config_load(path, config, error);
    if (rc)
        fprintf(stderr, "nameplate config %s: %s\n", verb, error);
    np_wipe(config, sizeof *config);
    free(config);
    return rc ? NP_EXIT_FAILURE : NP_EXIT_OK;
}

int np_config_check_main(int argc, char **argv)
{
    const char *path;
    bool json;
    int code = read_options(argc, argv, &path, &json);
    if (code)
        return code < 0 ? NP_EXIT_OK : code;
    if (json) {
        fputs("nameplate config check: --json is for show\n", stderr);
        return NP_EXIT_USAGE;
    }
    code = check(argv[0], path);
    if (code == NP_EXIT_OK)
        printf("%s is right\n", path);
    return code;
}

static void show(const struct np_config *file)
{
    for (const struct np_config_key *key = np_agent_config_keys; key->name; key++) {
        json_t *value = np_config_json(file, key);
        char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_ENSURE_ASCII);
        unsigned line = np_config_line(file, key->name);
        printf("%s%s = %s", json_is_null(value) ? "# " : "", key->name, json_is_null(value) ? "(unset)" : text);
        if (line)
            printf("    # line %u", line);
        puts("");
        free(text);
        json_decref(value);
    }
}

static void show_json(const struct np_config *file, const char *path)
{
    json_t *keys = json_object();
    for (const struct np_config_key *key = np_agent_config_keys; key->name; key++)
        json_object_set_new(
            keys, key->name,
            json_pack("{s:o,s:i}", "value", np_config_json(file, key), "line", (int)np_config_line(file, key->name)));
    json_t *object = json_pack("{s:s,s:o}", "file", path, "keys", keys);
    json_dumpf(object, stdout, JSON_INDENT(2) | JSON_ENSURE_ASCII);
    puts("");
    json_decref(object);
}

int np_config_show_main(int argc, char **argv)
{
    struct np_config *file;
    char error[NP_CONFIG_ERROR_MAX];
    const char *path;
    bool json;
    int code = read_options(argc, argv, &path, &json);
    if (code)
        return code < 0 ? NP_EXIT_OK : code;
    if (np_config_load(path, np_agent_config_keys, &file, error)) {
        fprintf(stderr, "nameplate config show: %s\n", error);
        return NP_EXIT_FAILURE;
    }
    if (json)
        show_json(file, path);
    else
        show(file);
    np_config_free(file);
    return check(argv[0], path);
}

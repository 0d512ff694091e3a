#include "agent/cli/bundle.h"

#include <errno.h>
#include <getopt.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "agent/cli/ask.h"
#include "agent/cli/cli.h"
#include "agent/cli/effective.h"
#include "agent/config.h"
#include "resolver/base/config.h"
#include "resolver/base/error.h"
#include "resolver/base/file.h"
#include "resolver/base/text.h"

#define VERB         "support-bundle"
#define DEFAULT_FILE "nameplate-support.json"

/* What the agent is asked, and under which name its answer stands. */
static const struct {
    const char *member, *request;
} questions[] = {{"status", "status"}, {"doctor", "doctor"}, {"events", "events 0"}};

static void usage(void)
{
    puts("usage: nameplate support-bundle [--output FILE] [--config FILE | --control SOCKET]\n\n"
         "Writes what somebody who helps wants to see into one JSON file\n"
         "(docs/schema/support-bundle.schema.json): version, kernel, configuration, and the\n"
         "agent's status, doctor and events. It has no key, no token and no secret, but it has the box's name, the\n"
         "addresses of the LAN, and the names of its interfaces: read it before you send it to anybody.\n\n"
         "  --output FILE     where it goes; - is standard output (default " DEFAULT_FILE ")\n"
         "  --config FILE     configuration (default " NP_DEFAULT_CONFIG ")\n"
         "  --control SOCKET  the agent's control socket itself\n\n"
         "Exit status 0: written, also where the agent does not run, which it then says.");
}

/* Every key with its value in force. Secrets are in files of their own, of which only the path stands here. */
static json_t *configuration(const char *path)
{
    struct np_config *file;
    char error[NP_CONFIG_ERROR_MAX];
    if (np_config_load(path, np_agent_config_keys, &file, error))
        return json_pack("{s:s}", "error", error);
    json_t *object = json_object();
    for (const struct np_config_key *key = np_agent_config_keys; key->name; key++)
        json_object_set_new(object, key->name, np_config_json(file, key));
    np_config_free(file);
    return object;
}

static json_t *machine(void)
{
    struct utsname name;
    if (uname(&name) < 0)
        return json_null();
    return json_pack("{s:s,s:s,s:s,s:s}", "system", name.sysname, "release", name.release, "version", name.version,
                     "architecture", name.machine);
}

static json_t *answer_to(const char *path, const char *request)
{
    char *text;
    int rc = np_ask(path, request, &text);
    if (rc)
        return json_pack("{s:s}", "error", np_strerror(rc));
    json_t *answer = json_loads(text, 0, NULL);
    free(text);
    return answer ? answer : json_pack("{s:s}", "error", "the agent's answer cannot be read");
}

static json_t *collect(const char *config, const char *control)
{
    char when[NP_TIME_TEXT_MAX];
    json_t *bundle = json_pack("{s:s,s:s,s:o,s:o}", "time", np_time_format(time(NULL), when), "version", NP_VERSION,
                               "machine", machine(), "configuration", configuration(config));
    for (size_t i = 0; bundle && i < sizeof questions / sizeof *questions; i++)
        json_object_set_new(bundle, questions[i].member, answer_to(control, questions[i].request));
    return bundle;
}

static int write_bundle(json_t *bundle, const char *output)
{
    char *text = json_dumps(bundle, JSON_INDENT(2) | JSON_ENSURE_ASCII);
    int rc = text ? 0 : -ENOMEM;
    if (rc == 0 && strcmp(output, "-") == 0)
        puts(text);
    else if (rc == 0)
        rc = np_file_write_atomic(output, text, strlen(text), 0600);
    free(text);
    if (rc)
        fprintf(stderr, "nameplate " VERB ": %s: %s\n", output, np_strerror(rc));
    else if (strcmp(output, "-") != 0)
        printf("%s is written. It has no secret, but names and addresses of this home: read it before you send it.\n",
               output);
    return rc ? NP_EXIT_FAILURE : NP_EXIT_OK;
}

int np_bundle_verb_main(int argc, char **argv)
{
    static const struct option options[] = {{"output", required_argument, NULL, 'o'},
                                            {"config", required_argument, NULL, 'c'},
                                            {"control", required_argument, NULL, 's'},
                                            {"help", no_argument, NULL, 'h'},
                                            {NULL, 0, NULL, 0}};
    const char *config = NULL, *control = NULL, *output = DEFAULT_FILE;
    char path[NP_ASK_PATH_MAX];
    for (int option; (option = getopt_long(argc, argv, "c:o:h", options, NULL)) != -1;) {
        if (option == 'h') {
            usage();
            return NP_EXIT_OK;
        }
        if (option == 'o')
            output = optarg;
        else if (option == 'c')
            config = optarg;
        else if (option == 's')
            control = optarg;
        else
            return NP_EXIT_USAGE; /* getopt said why */
    }
    if (optind < argc) {
        fprintf(stderr, "nameplate " VERB ": unexpected '%s'\n", argv[optind]);
        return NP_EXIT_USAGE;
    }
    if (np_ask_path(VERB, control, config, path))
        return NP_EXIT_FAILURE;
    json_t *bundle = collect(config ? config : NP_DEFAULT_CONFIG, path);
    int code = bundle ? write_bundle(bundle, output) : NP_EXIT_FAILURE;
    json_decref(bundle);
    return code;
}

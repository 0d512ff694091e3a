#include "agent/cli/renew.h"

#include <getopt.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include "agent/cli/ask.h"
#include "agent/cli/cli.h"

static void usage(void)
{
    puts("usage: nameplate renew [--new-key] [--config FILE | --control SOCKET]\n\n"
         "Asks HQ now whether there is a newer certificate, which the agent does by itself in good time. Renewal is "
         "HQ's\n"
         "work: one that has more than a third of its life left is not replaced.\n\n"
         "  --new-key         make another TLS key and get a certificate for it (HQ takes 3 a week); the old one is\n"
         "                    served until the new one is there\n"
         "  --config FILE     configuration that names the run folder (default " NP_DEFAULT_CONFIG ")\n"
         "  --control SOCKET  the agent's control socket itself\n\n"
         "Exit status 0: HQ is asked, `nameplate status` shows what comes of it; 3: the agent is not running or not\n"
         "reachable.");
}

static int ask(const char *path, bool new_key)
{
    char *answer;
    int rc = np_ask(path, new_key ? "renew new-key" : "renew", &answer);
    if (rc)
        return np_ask_unreachable("renew", path, rc);
    json_t *object = json_loads(answer, 0, NULL);
    const char *error = json_string_value(json_object_get(object, "error"));
    bool asked = json_is_true(json_object_get(object, "asked"));
    free(answer);
    if (asked)
        puts(
            new_key
                ? "Another key is made, and HQ is asked for its certificate; `nameplate status` shows when it is there."
                : "HQ is asked; `nameplate status` shows what comes of it.");
    else
        fprintf(stderr, "nameplate renew: %s\n", error ? error : "the agent's answer cannot be read");
    json_decref(object);
    return asked ? NP_EXIT_OK : NP_EXIT_FAILURE;
}

int np_renew_verb_main(int argc, char **argv)
{
    static const struct option options[] = {{"new-key", no_argument, NULL, 'n'},
                                            {"config", required_argument, NULL, 'c'},
                                            {"control", required_argument, NULL, 's'},
                                            {"help", no_argument, NULL, 'h'},
                                            {NULL, 0, NULL, 0}};
    const char *config = NULL, *control = NULL;
    char path[NP_ASK_PATH_MAX];
    bool new_key = false;
    for (int option; (option = getopt_long(argc, argv, "c:h", options, NULL)) != -1;) {
        switch (option) {
        case 'n':
            new_key = true;
            break;
        case 'c':
            config = optarg;
            break;
        case 's':
            control = optarg;
            break;
        case 'h':
            usage();
            return NP_EXIT_OK;
        default:
            return NP_EXIT_USAGE;
        }
    }
    if (optind < argc) {
        fprintf(stderr, "nameplate renew: unexpected '%s'\n", argv[optind]);
        return NP_EXIT_USAGE;
    }
    if (np_ask_path("renew", control, config, path))
        return NP_EXIT_FAILURE;
    return ask(path, new_key);
}

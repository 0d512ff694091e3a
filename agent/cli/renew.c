#include "agent/cli/renew.h"

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
    bool new_key = false;
    const struct np_ask_flag flags[] = {{"new-key", &new_key}, {NULL, NULL}};
    char path[NP_ASK_PATH_MAX];
    int code = np_ask_options(argc, argv, usage, flags, path);
    if (code)
        return code == NP_ASK_HELPED ? NP_EXIT_OK : code;
    return ask(path, new_key);
}

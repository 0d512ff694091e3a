#include "agent/cli/reset.h"

#include <getopt.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "agent/cli/ask.h"
#include "agent/cli/cli.h"

#define ANSWER_S 60 /* longer than a look-up, a connection and two answers of HQ may take */

struct wish {
    const char *reason;
    bool local, yes;
};

static void usage(void)
{
    puts(
        "usage: nameplate reset [--reason reset|resale|compromise] [--local] [--yes] [--config FILE | --control "
        "SOCKET]\n\n"
        "Leaves HQ and makes this box a new device with a new name. HQ takes the old name out of the DNS, revokes its\n"
        "certificate and never gives the name to anybody again. There is no way back to the old name.\n\n"
        "  --reason R        reset (default): begin anew; resale: the box gets another owner; compromise: somebody\n"
        "                    else may have its keys\n"
        "  --local           do not tell HQ: when it cannot be reached. The old name stays in the DNS until HQ's\n"
        "                    operator removes it\n"
        "  --yes             do not ask\n"
        "  --config FILE     configuration that names the run folder (default " NP_DEFAULT_CONFIG ")\n"
        "  --control SOCKET  the agent's control socket itself\n\n"
        "Exit status 0: the box begins anew, or is left alone because you said so, 1: what came in between is said, "
        "2:\n"
        "wrong usage, or nobody to ask and no --yes, 3: the agent is not running or not reachable.");
}

static json_t *ask_json(const char *path, const char *request, int *out_code)
{
    char *answer;
    int rc = np_ask(path, request, &answer);
    if (rc) {
        *out_code = np_ask_unreachable("reset", path, rc);
        return NULL;
    }
    json_t *object = json_loads(answer, 0, NULL);
    const char *error = json_string_value(json_object_get(object, "error"));
    free(answer);
    if (json_is_object(object) && !error)
        return object;
    fprintf(stderr, "nameplate reset: %s\n", error ? error : "the agent's answer cannot be read");
    json_decref(object);
    *out_code = NP_EXIT_FAILURE;
    return NULL;
}

/* Asks on the terminal. True: go on. */
static bool confirm(const char *path, const struct wish *wish, int *out_code)
{
    char line[16] = "";
    json_t *status = ask_json(path, "status", out_code);
    if (!status)
        return false;
    const char *name = json_string_value(json_object_get(status, "name"));
    if (!isatty(STDIN_FILENO)) {
        fputs("nameplate reset: there is no terminal to ask on; give --yes if it is meant\n", stderr);
        *out_code = NP_EXIT_USAGE;
    } else {
        printf("%s will be gone for good%s; this box gets a new name and certificate.\nType yes to go on: ",
               name ? name : "This box's identity",
               wish->local ? " (HQ is not told, its records stay until its operator removes them)" : "");
        fflush(stdout);
        *out_code = NP_EXIT_FAILURE;
        if (fgets(line, sizeof line, stdin) && strcmp(line, "yes\n") == 0)
            *out_code = NP_EXIT_OK;
        else
            fputs("nothing was changed\n", stderr);
    }
    json_decref(status);
    return *out_code == NP_EXIT_OK;
}

static int failed(const char *problem)
{
    fprintf(stderr,
            "nameplate reset: HQ could not be told: %s\nNothing was changed. Try again later, or give --local to leave "
            "without telling HQ.\n",
            problem);
    return NP_EXIT_FAILURE;
}

static int unwritten(const char *problem)
{
    fprintf(
        stderr,
        "nameplate reset: this box begins anew, but %s\nThe old keys stay on the flash until it can be written, and "
        "come back if the box is switched off before; `nameplate status` shows the problem while it lasts.\n",
        problem);
    return NP_EXIT_FAILURE;
}

static int leave(const char *path, const struct wish *wish)
{
    static const struct timespec pause = {.tv_nsec = 200000000};
    char request[64];
    int code = NP_EXIT_FAILURE;
    snprintf(request, sizeof request, "leave %s%s", wish->reason, wish->local ? " local" : "");
    time_t end = time(NULL) + ANSWER_S;
    for (json_t *answer; (answer = ask_json(path, request, &code)) != NULL;) {
        const char *state = json_string_value(json_object_get(answer, "leave"));
        const char *problem = json_string_value(json_object_get(answer, "problem"));
        bool waiting = state && strcmp(state, "under-way") == 0;
        if (!waiting) {
            if (state && strcmp(state, "done") == 0) {
                puts(wish->local ? "This box begins anew; HQ was not told."
                                 : "HQ has let this box go; it begins anew.");
                puts("`nameplate status` shows its new name.");
                code = NP_EXIT_OK;
            } else if (state && strcmp(state, "unwritten") == 0) {
                code = unwritten(problem ? problem : "its state cannot be written");
            } else {
                code = failed(problem ? problem : "the agent was started again meanwhile");
            }
        }
        json_decref(answer);
        if (!waiting)
            return code;
        if (time(NULL) > end)
            return failed("no answer yet; the agent goes on trying this one time (see nameplate status)");
        nanosleep(&pause, NULL); /* the agent answers each question at once: it has no way to tell us later */
        snprintf(request, sizeof request, "leave");
    }
    return code;
}

int np_reset_verb_main(int argc, char **argv)
{
    static const struct option options[] = {{"reason", required_argument, NULL, 'r'},
                                            {"local", no_argument, NULL, 'l'},
                                            {"yes", no_argument, NULL, 'y'},
                                            {"config", required_argument, NULL, 'c'},
                                            {"control", required_argument, NULL, 's'},
                                            {"help", no_argument, NULL, 'h'},
                                            {NULL, 0, NULL, 0}};
    struct wish wish = {.reason = "reset"};
    const char *config = NULL, *control = NULL;
    char path[NP_ASK_PATH_MAX];
    int code = NP_EXIT_OK;
    for (int option; (option = getopt_long(argc, argv, "c:yh", options, NULL)) != -1;) {
        if (option == 'h') {
            usage();
            return NP_EXIT_OK;
        }
        if (option == 'r')
            wish.reason = optarg;
        else if (option == 'l')
            wish.local = true;
        else if (option == 'y')
            wish.yes = true;
        else if (option == 'c')
            config = optarg;
        else if (option == 's')
            control = optarg;
        else
            return NP_EXIT_USAGE;
    }
    if (optind < argc) {
        fprintf(stderr, "nameplate reset: unexpected '%s'\n", argv[optind]);
        return NP_EXIT_USAGE;
    }
    if (strcmp(wish.reason, "reset") != 0 && strcmp(wish.reason, "resale") != 0 &&
        strcmp(wish.reason, "compromise") != 0) {
        fprintf(stderr, "nameplate reset: '%.40s' is no reason: reset, resale or compromise\n", wish.reason);
        return NP_EXIT_USAGE;
    }
    if (np_ask_path("reset", control, config, path))
        return NP_EXIT_FAILURE;
    if (!wish.yes && !confirm(path, &wish, &code))
        return code;
    return leave(path, &wish);
}

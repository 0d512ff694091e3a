#include "agent/cli/rebind.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/cli/ask.h"
#include "agent/cli/cli.h"
#include "agent/network/exceptions.h"
#include "resolver/base/error.h"
#include "resolver/base/text.h"

#define KINDS_MAX 16 /* kinds that a typing error is compared with */

static void usage(FILE *out)
{
    fputs("usage: nameplate config rebind [ROUTER] [--name NAME] [--config FILE | --control SOCKET]\n\n"
          "Prints what lets exactly this box's name pass the DNS rebinding protection of the home's router. ROUTER is "
          "one of\n ",
          out);
    for (size_t i = 0; np_exception_kind(i); i++)
        fprintf(out, " %s", np_exception_kind(i));
    fputs(
        "; without it all are shown.\n\n"
        "  --name NAME       for this name; else the running agent is asked\n"
        "  --config FILE     configuration that names the run folder (default " NP_DEFAULT_CONFIG ")\n"
        "  --control SOCKET  the agent's control socket itself\n\n"
        "Google Wifi and some others have no list of exceptions: let the home's devices ask this box instead.\n\n"
        "Exit status 0: printed, 1: there is nothing to print it from, 3: the agent is not running or not reachable.\n",
        out);
}

static void show(const char *kind, const char *name)
{
    char text[NP_EXCEPTION_MAX];
    const char *at;
    for (size_t i = 0; (at = np_exception_kind(i)); i++) {
        if (kind && strcmp(kind, at) != 0)
            continue;
        np_exception_text(at, name, text, sizeof text);
        if (kind)
            fprintf(stderr, "%s:\n", np_exception_title(at)); /* standard output can go straight into the file */
        else
            printf("%s# %s\n", i ? "\n" : "", np_exception_title(at));
        fputs(text, stdout);
    }
}

static int unknown_kind(const char *kind)
{
    const char *names[KINDS_MAX];
    size_t count = 0;
    while (count < KINDS_MAX && np_exception_kind(count)) {
        names[count] = np_exception_kind(count);
        count++;
    }
    const char *near = np_nearest(kind, names, count);
    fprintf(stderr, "nameplate config rebind: unknown router '%.40s'%s%s%s\n", kind, near ? ", did you mean '" : "",
            near ? near : "", near ? "'?" : "; see nameplate config rebind --help");
    return NP_EXIT_USAGE;
}

int np_rebind_verb_main(int argc, char **argv)
{
    static const struct option options[] = {{"name", required_argument, NULL, 'n'},
                                            {"config", required_argument, NULL, 'c'},
                                            {"control", required_argument, NULL, 's'},
                                            {"help", no_argument, NULL, 'h'},
                                            {NULL, 0, NULL, 0}};
    const char *given = NULL, *config = NULL, *control = NULL;
    for (int option; (option = getopt_long(argc, argv, "c:h", options, NULL)) != -1;) {
        if (option == 'h') {
            usage(stdout);
            return NP_EXIT_OK;
        }
        if (option == 'n')
            given = optarg;
        else if (option == 'c')
            config = optarg;
        else if (option == 's')
            control = optarg;
        else
            return NP_EXIT_USAGE;
    }
    const char *kind = optind < argc ? argv[optind++] : NULL;
    if (optind < argc) {
        fprintf(stderr, "nameplate config rebind: unexpected '%.40s'\n", argv[optind]);
        return NP_EXIT_USAGE;
    }
    if (kind && !np_exception_title(kind))
        return unknown_kind(kind);
    if (given && !np_is_hostname(given)) {
        fprintf(stderr, "nameplate config rebind: '%.80s' is not a host name\n", given);
        return NP_EXIT_USAGE;
    }
    if (given) {
        show(kind, given);
        return NP_EXIT_OK;
    }
    struct np_ask_box *box = calloc(1, sizeof *box);
    int code = box ? np_ask_box("config rebind", control, config, box) : NP_EXIT_FAILURE;
    if (code) {
        fputs("Or give the name: --name NAME\n", stderr);
    } else if (box->name_count > 0) {
        show(kind, box->names[0]);
    } else {
        fputs("nameplate config rebind: this box has no name yet (see nameplate status)\n", stderr);
        code = NP_EXIT_FAILURE;
    }
    np_ask_box_free(box);
    return code;
}

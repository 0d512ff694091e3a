#include "agent/cli/config.h"

#include <stdio.h>
#include <string.h>

#include "agent/cli/cli.h"
#include "agent/cli/dnr.h"
#include "agent/cli/effective.h"
#include "agent/cli/integrate.h"
#include "agent/cli/rebind.h"
#include "agent/cli/redirect.h"
#include "resolver/base/config.h"

static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *help;
} verbs[] = {
    {"check", np_config_check_main, "say what is wrong with the configuration"},
    {"show", np_config_show_main, "show every key with the value in force"},
    {"rebind", np_rebind_verb_main, "let the name pass the DNS rebinding protection of the home's router"},
    {"redirect", np_redirect_verb_main, "lead clients with a DNS server of their own to this box (nftables)"},
    {"integrate", np_integrate_verb_main, "have another resolver ask this box for its own names"},
    {"dnr", np_dnr_verb_main, "have the home's DHCP and routers name this box's DNS over TLS"},
};

#define VERB_COUNT (sizeof verbs / sizeof verbs[0])

static void usage(FILE *out)
{
    fputs("usage: nameplate config WHAT [OPTION...]\n\nThis box's configuration, and lines for other programs of the "
          "home. WHAT is\n",
          out);
    for (size_t i = 0; i < VERB_COUNT; i++)
        fprintf(out, "  %-10s %s\n", verbs[i].name, verbs[i].help);
    fputs("\n`nameplate config WHAT --help` tells more.\n"
          "Exit status: 0 done, 1 failed or wrong, 2 wrong usage, 3 the agent is not reachable.\n",
          out);
}

int np_config_verb_main(int argc, char **argv)
{
    const char *names[VERB_COUNT];
    if (argc > 1 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)) {
        usage(stdout);
        return NP_EXIT_OK;
    }
    for (size_t i = 0; i < VERB_COUNT; i++) {
        if (argc > 1 && strcmp(argv[1], verbs[i].name) == 0)
            return verbs[i].run(argc - 1, argv + 1);
        names[i] = verbs[i].name;
    }
    if (argc < 2) {
        usage(stderr);
        return NP_EXIT_USAGE;
    }
    const char *near = np_nearest(argv[1], names, VERB_COUNT);
    fprintf(stderr, "nameplate config: unknown '%.40s'%s%s%s\n", argv[1], near ? ", did you mean '" : "",
            near ? near : "", near ? "'?" : "; see nameplate config --help");
    return NP_EXIT_USAGE;
}

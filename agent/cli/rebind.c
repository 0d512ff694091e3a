#include "agent/cli/rebind.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/cli/ask.h"
#include "agent/cli/cli.h"
#include "resolver/base/error.h"
#include "resolver/base/text.h"

#define TEXT_MAX 2048

/* before, the name, after. dnsmasq and Unbound take the name with all below it: below the own name nobody else lives.
 */
static const struct {
    const char *kind, *title, *before, *after;
} kinds[] = {
    {"dnsmasq", "dnsmasq: a line in dnsmasq.conf (or a file in /etc/dnsmasq.d/), then restart dnsmasq",
     "rebind-domain-ok=/", "/\n"},
    {"unbound", "Unbound: lines in unbound.conf, then unbound-control reload", "server:\n    private-domain: \"",
     "\"\n"},
    {"openwrt", "OpenWrt: typed in its shell (or: Network, DHCP and DNS, Filter, Domain whitelist)",
     "uci add_list dhcp.@dnsmasq[0].rebind_domain='", "'\nuci commit dhcp\n/etc/init.d/dnsmasq restart\n"},
    {"pfsense", "pfSense and OPNsense: Services, DNS Resolver, General Settings, Custom options",
     "server:\n    private-domain: \"", "\"\n"},
    {"adguard",
     "AdGuard Home lets private addresses pass; where a list blocks the name: Filters, Custom filtering rules", "@@||",
     "^$important\n"},
    {"knot-resolver", "Knot Resolver 5: a line in kresd.conf before other policies, then restart kresd",
     "policy.add(policy.suffix(policy.FLAGS('ALLOW_LOCAL'), policy.todnames({'", ".'})))\n"},
    {"fritzbox", "FRITZ!Box: Home Network, Network, Network Settings, DNS Rebind Protection, Host name exceptions", "",
     "\n"},
};

#define KIND_COUNT (sizeof kinds / sizeof kinds[0])

const char *np_rebind_kind(size_t index)
{
    return index < KIND_COUNT ? kinds[index].kind : NULL;
}

int np_rebind_text(const char *kind, const char *name, char *out, size_t size)
{
    for (size_t i = 0; i < KIND_COUNT; i++) {
        if (strcmp(kinds[i].kind, kind) != 0)
            continue;
        return snprintf(out, size, "%s%s%s", kinds[i].before, name, kinds[i].after);
    }
    return NP_E_UNKNOWN;
}

static void usage(FILE *out)
{
    fputs("usage: nameplate config rebind [ROUTER] [--name NAME] [--config FILE | --control SOCKET]\n\n"
          "Prints what lets exactly this box's name pass the DNS rebinding protection of the home's router. ROUTER is "
          "one of\n ",
          out);
    for (size_t i = 0; i < KIND_COUNT; i++)
        fprintf(out, " %s", kinds[i].kind);
    fputs("; without it all are shown.\n\n"
          "  --name NAME       for this name; else the running agent is asked\n"
          "  --config FILE     configuration that names the run folder (default " NP_DEFAULT_CONFIG ")\n"
          "  --control SOCKET  the agent's control socket itself\n\n"
          "Google Wifi and some others have no list of exceptions: let the home's devices ask this box instead.\n",
          out);
}

static void show(const char *kind, const char *name)
{
    char text[TEXT_MAX];
    for (size_t i = 0; i < KIND_COUNT; i++) {
        if (kind && strcmp(kind, kinds[i].kind) != 0)
            continue;
        np_rebind_text(kinds[i].kind, name, text, sizeof text);
        if (kind)
            fprintf(stderr, "%s:\n", kinds[i].title); /* standard output can go straight into the file */
        else
            printf("%s# %s\n", i ? "\n" : "", kinds[i].title);
        fputs(text, stdout);
    }
}

int np_rebind_verb_main(int argc, char **argv)
{
    static const struct option options[] = {{"name", required_argument, NULL, 'n'},
                                            {"config", required_argument, NULL, 'c'},
                                            {"control", required_argument, NULL, 's'},
                                            {"help", no_argument, NULL, 'h'},
                                            {NULL, 0, NULL, 0}};
    const char *given = NULL, *config = NULL, *control = NULL, *names[KIND_COUNT];
    char unused[TEXT_MAX];
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
    if (kind && np_rebind_text(kind, "x", unused, sizeof unused) < 0) {
        for (size_t i = 0; i < KIND_COUNT; i++)
            names[i] = kinds[i].kind;
        const char *near = np_nearest(kind, names, KIND_COUNT);
        fprintf(stderr, "nameplate config rebind: unknown router '%.40s'%s%s%s\n", kind, near ? ", did you mean '" : "",
                near ? near : "", near ? "'?" : "; see nameplate config rebind --help");
        return NP_EXIT_USAGE;
    }
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

#include "agent/cli/integrate.h"

#include <getopt.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "agent/cli/ask.h"
#include "agent/cli/cli.h"
#include "resolver/base/error.h"
#include "resolver/base/text.h"

static bool is_loopback(const struct np_integrate *what)
{
    return np_addr_classify(&what->server.addr) == NP_ADDR_LOOPBACK;
}

/* dnsmasq, Unbound and Knot Resolver write an address and its port with a character of their own between them. */
static const char *server_text(const struct np_integrate *what, char separator, char buffer[NP_ADDR_TEXT_MAX + 8])
{
    char address[NP_ADDR_TEXT_MAX];
    np_addr_format(&what->server.addr, address);
    snprintf(buffer, NP_ADDR_TEXT_MAX + 8, "%s%c%u", address, separator, what->server.port);
    return buffer;
}

static void dnsmasq_lines(FILE *out, const struct np_integrate *what)
{
    char server[NP_ADDR_TEXT_MAX + 8];
    server_text(what, '#', server);
    for (size_t i = 0; i < what->name_count; i++)
        fprintf(out, "server=/%s/%s\n", what->names[i], server);
    fprintf(out, "server=/_acme-challenge.%s/#\n", what->names[0]);
    fputs("rebind-domain-ok=/", out);
    for (size_t i = 0; i < what->name_count; i++)
        fprintf(out, "%s/", what->names[i]);
    fputs("\n", out);
}

static void write_dnsmasq(FILE *out, const struct np_integrate *what)
{
    fputs("# Answers are kept for their 10 s; min-cache-ttl would keep old addresses longer.\n", out);
    if (is_loopback(what))
        fputs("# With clients in several LANs add-subnet=32,128 lets each hear the address of its own; dnsmasq then "
              "tells "
              "every\n# server its clients' addresses, so have no other server beside this box.\n",
              out);
    dnsmasq_lines(out, what);
}

static void write_openwrt(FILE *out, const struct np_integrate *what)
{
    char server[NP_ADDR_TEXT_MAX + 8];
    server_text(what, '#', server);
    for (size_t i = 0; i < what->name_count; i++)
        fprintf(out,
                "uci add_list dhcp.@dnsmasq[0].server='/%s/%s'\nuci add_list dhcp.@dnsmasq[0].rebind_domain='%s'\n",
                what->names[i], server, what->names[i]);
    fprintf(out, "uci add_list dhcp.@dnsmasq[0].server='/_acme-challenge.%s/#'\n", what->names[0]);
    fputs("uci commit dhcp\n/etc/init.d/dnsmasq restart\n", out);
}

static void write_unbound(FILE *out, const struct np_integrate *what)
{
    char server[NP_ADDR_TEXT_MAX + 8];
    if (is_loopback(what))
        fprintf(out,
                "# With clients in several LANs these let each hear the address of its own:\n"
                "#     module-config: \"subnetcache validator iterator\"\n#     client-subnet-zone: \"%s\"\n"
                "#     max-client-subnet-ipv4: 32\n#     max-client-subnet-ipv6: 128\n",
                what->names[0]);
    fputs("server:\n", out);
    for (size_t i = 0; i < what->name_count; i++) {
        fprintf(out, "    private-domain: \"%s\"\n    domain-insecure: \"%s\"\n", what->names[i], what->names[i]);
        if (i > 0) /* an alias may lie in a zone that Unbound denies by itself: home.arpa, test */
            fprintf(out, "    local-zone: \"%s\" transparent\n", what->names[i]);
    }
    if (is_loopback(what))
        fputs("    do-not-query-localhost: no\n", out);
    server_text(what, '@', server);
    for (size_t i = 0; i < what->name_count; i++)
        fprintf(out, "stub-zone:\n    name: \"%s\"\n    stub-addr: %s\n    stub-no-cache: yes\n", what->names[i],
                server);
}

static void write_adguard(FILE *out, const struct np_integrate *what)
{
    char server[NP_ADDR_TEXT_MAX];
    np_endpoint_format(&what->server, server);
    for (size_t i = 0; i < what->name_count; i++)
        fprintf(out, "[/%s/]%s\n", what->names[i], server);
    fprintf(out, "[/_acme-challenge.%s/]#\n", what->names[0]);
}

static void write_knot(FILE *out, const struct np_integrate *what)
{
    char server[NP_ADDR_TEXT_MAX + 8];
    fputs("nameplate_names = policy.todnames({", out);
    for (size_t i = 0; i < what->name_count; i++)
        fprintf(out, "%s'%s.'", i ? ", " : "", what->names[i]);
    fprintf(out,
            "})\npolicy.add(policy.suffix(policy.FLAGS({'ALLOW_LOCAL', 'NO_CACHE'}), nameplate_names))\n"
            "policy.add(policy.suffix(policy.STUB({'%s'}), nameplate_names))\n",
            server_text(what, '@', server));
}

static const struct {
    const char *kind, *title;
    void (*write)(FILE *out, const struct np_integrate *what);
} kinds[] = {
    {"dnsmasq", "dnsmasq: a file in /etc/dnsmasq.d/, then restart dnsmasq", write_dnsmasq},
    {"openwrt", "OpenWrt: typed in its shell", write_openwrt},
    {"unbound", "Unbound (pfSense, OPNsense: Custom options): lines in unbound.conf, then unbound-control reload",
     write_unbound},
    {"adguard", "AdGuard Home: Settings, DNS settings, Upstream DNS servers: lines above the others", write_adguard},
    {"pihole",
     "Pi-hole: a file /etc/dnsmasq.d/99-nameplate.conf (version 6 reads it after pihole-FTL --config "
     "misc.etc_dnsmasq_d "
     "true), then pihole restartdns",
     dnsmasq_lines},
    {"knot-resolver", "Knot Resolver 5: lines in kresd.conf before other policies, then restart kresd", write_knot},
};

#define KIND_COUNT (sizeof kinds / sizeof kinds[0])

const char *np_integrate_kind(size_t index)
{
    return index < KIND_COUNT ? kinds[index].kind : NULL;
}

int np_integrate_write(FILE *out, const char *kind, const struct np_integrate *what)
{
    for (size_t i = 0; i < KIND_COUNT; i++) {
        if (strcmp(kinds[i].kind, kind) != 0)
            continue;
        kinds[i].write(out, what);
        return 0;
    }
    return NP_E_UNKNOWN;
}

static void usage(FILE *out)
{
    fputs("usage: nameplate config integrate [RESOLVER] [--name NAME]... [--address ADDR[:PORT]] [--json]\n"
          "                                  [--config FILE | --control SOCKET]\n\n"
          "Prints what makes another resolver of the home ask this box for the box's own names, and for nothing else. "
          "RESOLVER is one of\n ",
          out);
    for (size_t i = 0; i < KIND_COUNT; i++)
        fprintf(out, " %s", kinds[i].kind);
    fputs(
        "; without it all are shown.\n\n"
        "  --name NAME       for this name, may be repeated; else every own name that the running agent has\n"
        "  --address ADDR    where the other resolver finds this box, with :PORT where it is not 53; else what the\n"
        "                    running agent listens on: 127.0.0.1 where dns-port is not 53, or its first LAN address\n"
        "  --json            the same as JSON (docs/schema/integrate.schema.json)\n"
        "  --config FILE     configuration that names the run folder (default " NP_DEFAULT_CONFIG ")\n"
        "  --control SOCKET  the agent's control socket itself\n\n"
        "Beside another resolver on the same machine: mode = own-name-only and a dns-port of its own, 5354 say. A "
        "resolver\non another machine needs an address that stays: give this box a fixed lease.\n\n"
        "Exit status 0: printed, 1: there is nothing to print it from, 3: the agent is not running or not reachable.\n",
        out);
}

/* What was typed. */
struct options {
    const char *kind, *address, *control, *config;
    const char *names[NP_ASK_NAMES_MAX];
    size_t name_count;
    bool json;
};

/* The text of one kind, malloc'd; NULL when out of memory. */
static char *lines_of(size_t kind, const struct np_integrate *what)
{
    char *text = NULL;
    size_t len;
    FILE *out = open_memstream(&text, &len);
    if (!out)
        return NULL;
    kinds[kind].write(out, what);
    if (fclose(out) == 0)
        return text;
    free(text);
    return NULL;
}

static json_t *kind_json(size_t kind, const struct np_integrate *what)
{
    json_t *lines = json_array(), *names = json_array();
    char *text = lines_of(kind, what), *rest = text, server[NP_ADDR_TEXT_MAX];
    for (char *line; text && (line = strsep(&rest, "\n"));) {
        if (rest || line[0])
            json_array_append_new(lines, json_string(line));
    }
    free(text);
    for (size_t i = 0; i < what->name_count; i++)
        json_array_append_new(names, json_string(what->names[i]));
    return json_pack("{s:s, s:s, s:o, s:s, s:o}", "kind", kinds[kind].kind, "where", kinds[kind].title, "names", names,
                     "server", np_endpoint_format(&what->server, server), "lines", lines);
}

static int show(const struct options *options, const struct np_integrate *what)
{
    json_t *all = json_array();
    for (size_t i = 0, shown = 0; i < KIND_COUNT; i++) {
        if (options->kind && strcmp(options->kind, kinds[i].kind) != 0)
            continue;
        if (options->json) {
            json_array_append_new(all, kind_json(i, what));
            continue;
        }
        if (options->kind)
            fprintf(stderr, "%s:\n", kinds[i].title); /* standard output can go straight into the file */
        else
            printf("%s# %s\n", shown++ ? "\n" : "", kinds[i].title);
        kinds[i].write(stdout, what);
    }
    if (options->json) {
        json_dumpf(options->kind ? json_array_get(all, 0) : all, stdout, JSON_INDENT(2));
        puts("");
    }
    json_decref(all);
    return NP_EXIT_OK;
}

static int read_options(int argc, char **argv, struct options *out)
{
    static const struct option known[] = {{"name", required_argument, NULL, 'n'},
                                          {"address", required_argument, NULL, 'a'},
                                          {"json", no_argument, NULL, 'j'},
                                          {"config", required_argument, NULL, 'c'},
                                          {"control", required_argument, NULL, 's'},
                                          {"help", no_argument, NULL, 'h'},
                                          {NULL, 0, NULL, 0}};
    for (int option; (option = getopt_long(argc, argv, "c:jh", known, NULL)) != -1;) {
        switch (option) {
        case 'n':
            if (out->name_count == NP_ASK_NAMES_MAX || !np_is_hostname(optarg)) {
                fprintf(stderr, "nameplate config integrate: '%.80s' is not a host name, or one too many\n", optarg);
                return NP_EXIT_USAGE;
            }
            out->names[out->name_count++] = optarg;
            break;
        case 'a':
            out->address = optarg;
            break;
        case 'j':
            out->json = true;
            break;
        case 'c':
            out->config = optarg;
            break;
        case 's':
            out->control = optarg;
            break;
        case 'h':
            usage(stdout);
            return NP_EXIT_OK;
        default:
            return NP_EXIT_USAGE;
        }
    }
    out->kind = optind < argc ? argv[optind++] : NULL;
    if (optind == argc)
        return -1;
    fprintf(stderr, "nameplate config integrate: unexpected '%.40s'\n", argv[optind]);
    return NP_EXIT_USAGE;
}

static int unknown_kind(const char *kind)
{
    const char *names[KIND_COUNT];
    for (size_t i = 0; i < KIND_COUNT; i++)
        names[i] = kinds[i].kind;
    const char *near = np_nearest(kind, names, KIND_COUNT);
    fprintf(stderr, "nameplate config integrate: unknown resolver '%.40s'%s%s%s\n", kind,
            near ? ", did you mean '" : "", near ? near : "", near ? "'?" : "; see nameplate config integrate --help");
    return NP_EXIT_USAGE;
}

/* From what was typed, and from the running agent what was not. Returns an exit code. */
static int find_what(const struct options *options, struct np_ask_box *box, struct np_integrate *out)
{
    bool asks = options->name_count == 0 || !options->address;
    int code = asks ? np_ask_box("config integrate", options->control, options->config, box) : NP_EXIT_OK;
    if (code) {
        fputs("Or give both: --name NAME --address ADDR\n", stderr);
        return code;
    }
    out->names = options->name_count ? options->names : (const char *const *)box->names;
    out->name_count = options->name_count ? options->name_count : box->name_count;
    out->server = box->dns;
    if (options->address && np_endpoint_parse(options->address, 53, &out->server)) {
        fprintf(stderr, "nameplate config integrate: '%.80s' is not an address such as 192.168.1.1 or 127.0.0.1:5354\n",
                options->address);
        return NP_EXIT_USAGE;
    }
    if (out->name_count == 0) {
        fputs("nameplate config integrate: this box has no name yet (see nameplate status)\n", stderr);
        return NP_EXIT_FAILURE;
    }
    if (out->server.addr.family == AF_UNSPEC) {
        fputs("nameplate config integrate: the agent does not answer DNS anywhere (see nameplate status)\n", stderr);
        return NP_EXIT_FAILURE;
    }
    return NP_EXIT_OK;
}

int np_integrate_verb_main(int argc, char **argv)
{
    struct options options = {.kind = NULL};
    struct np_integrate what;
    int code = read_options(argc, argv, &options);
    if (code >= 0)
        return code;
    bool known = !options.kind;
    for (size_t i = 0; i < KIND_COUNT && !known; i++)
        known = strcmp(kinds[i].kind, options.kind) == 0;
    if (!known)
        return unknown_kind(options.kind);
    struct np_ask_box *box = calloc(1, sizeof *box);
    if (!box)
        return NP_EXIT_FAILURE;
    code = find_what(&options, box, &what);
    if (code == NP_EXIT_OK)
        code = show(&options, &what);
    np_ask_box_free(box);
    return code;
}

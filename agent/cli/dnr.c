#include "agent/cli/dnr.h"

#include <getopt.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/cli/ask.h"
#include "agent/cli/cli.h"
#include "agent/dnr.h"
#include "resolver/base/error.h"
#include "resolver/base/text.h"
#include "resolver/view.h"

#define VERB        "config dnr"
#define ODHCPD_LINE 1024 /* bytes: a name, a dozen addresses */

static const char *const kinds[] = {"dnsmasq", "odhcpd"};
#define KIND_COUNT (sizeof kinds / sizeof kinds[0])

/* A LAN interface and what is told there. */
struct lan {
    char name[NP_VIEW_IFNAME_MAX]; /* "": given on the command line */
    struct np_dnr dnr;
};

struct options {
    const char *kind, *name, *config, *control;
    bool json;
    int64_t port;
    size_t lan_count;
    struct lan lans[NP_VIEW_INTERFACES_MAX];
};

static void usage(FILE *out)
{
    fputs(
        "usage: nameplate config dnr [dnsmasq|odhcpd] [--json] [--config FILE | --control SOCKET]\n"
        "       nameplate config dnr [dnsmasq|odhcpd] [--json] --name NAME --address ADDR... [--port N]\n\n"
        "Prints what the home's DHCP server and router say so that devices find the box's DNS over TLS by themselves\n"
        "(DNR, RFC 9463): DHCPv4 option 162, DHCPv6 option 144, the option of router advertisements, and the lines "
        "for\n"
        "dnsmasq or odhcpd. Without dnsmasq or odhcpd all is shown.\n\n"
        "  --name NAME       the name that the certificate carries; else the running agent is asked for all of it\n"
        "  --address ADDR    an address where DNS over TLS is served, may be repeated\n"
        "  --port N          its port (853)\n"
        "  --json            all of it as JSON (docs/schema/dnr.schema.json)\n"
        "  --config FILE     configuration that names the run folder (default " NP_DEFAULT_CONFIG ")\n"
        "  --control SOCKET  the agent's control socket itself\n\n"
        "Exit status 0: printed, 1: there is nothing to print it from, 3: the agent is not running or not reachable.\n",
        out);
}

static int add_address(struct np_dnr *dnr, const char *text)
{
    struct np_addr addr;
    if (np_addr_parse(text, &addr) || !np_view_usable(&addr))
        return NP_E_MALFORMED;
    size_t *count = addr.family == AF_INET ? &dnr->v4_count : &dnr->v6_count;
    if (*count == NP_DNR_ADDRESSES_MAX)
        return NP_E_LIMIT;
    (addr.family == AF_INET ? dnr->v4 : dnr->v6)[(*count)++] = addr;
    return 0;
}

/* What the running agent says. */

/* The port where DNS over TLS is listened for on the address; 0: nowhere. */
static uint16_t dot_port(const json_t *listeners, const char *address)
{
    size_t i;
    const json_t *item;
    json_array_foreach(listeners, i, item)
    {
        const char *kind = json_string_value(json_object_get(item, "kind"));
        const char *local = json_string_value(json_object_get(item, "address"));
        json_int_t port = json_integer_value(json_object_get(item, "port"));
        if (kind && local && strcmp(kind, "dot") == 0 && strcmp(local, address) == 0 &&
            json_is_null(json_object_get(item, "error")) && port > 0 && port <= UINT16_MAX)
            return (uint16_t)port;
    }
    return 0;
}

static void take_interface(struct options *options, const json_t *status, const json_t *interface)
{
    const json_t *listeners = json_object_get(status, "listeners"), *value;
    const char *name = json_string_value(json_object_get(interface, "interface"));
    struct lan *lan = &options->lans[options->lan_count];
    size_t i;
    if (!name || options->lan_count == NP_VIEW_INTERFACES_MAX)
        return;
    memset(lan, 0, sizeof *lan);
    np_text_sanitize(name, lan->name, sizeof lan->name);
    json_array_foreach(json_object_get(interface, "addresses"), i, value)
    {
        const char *address = json_string_value(value);
        uint16_t port = address ? dot_port(listeners, address) : 0;
        if (port && add_address(&lan->dnr, address) == 0)
            lan->dnr.port = port;
    }
    options->lan_count += lan->dnr.v4_count + lan->dnr.v6_count > 0;
}

/* Fills name and lans from a status. Returns an exit code. */
static int take_status(struct options *options, const json_t *status)
{
    const char *name = json_string_value(json_object_get(status, "name"));
    const json_t *answered = json_object_get(json_object_get(status, "addresses"), "answered"), *interface;
    struct np_name wire;
    size_t i;
    if (!name || np_name_parse(name, &wire)) {
        fputs("nameplate " VERB ": this box has no name yet (see nameplate status)\n", stderr);
        return NP_EXIT_FAILURE;
    }
    json_array_foreach(answered, i, interface) take_interface(options, status, interface);
    if (options->lan_count == 0) {
        fputs("nameplate " VERB ": no LAN address listens for DNS over TLS: nameplate status shows an error, or the "
              "configuration\nhas `dot = false` or `dns = false`, or mode or dns-port put this box beside another "
              "resolver (see docs/resolver.md)\n",
              stderr);
        return NP_EXIT_FAILURE;
    }
    for (i = 0; i < options->lan_count; i++)
        options->lans[i].dnr.name = wire;
    return NP_EXIT_OK;
}

static int ask_agent(struct options *options)
{
    char path[NP_ASK_PATH_MAX], *answer;
    if (np_ask_path(VERB, options->control, options->config, path))
        return NP_EXIT_FAILURE;
    int rc = np_ask(path, "status", &answer);
    if (rc) {
        rc = np_ask_unreachable(VERB, path, rc);
        fputs("Or give it all: --name NAME --address ADDR...\n", stderr);
        return rc;
    }
    json_t *status = json_loads(answer, 0, NULL);
    free(answer);
    int code = take_status(options, status);
    json_decref(status);
    return code;
}

/* What is printed. */

/* An option as hex, "" where it says nothing. The error of one that is too long is said. */
static const char *option_text(const struct lan *lan, long (*encode)(const struct np_dnr *, uint8_t *),
                               const char *what, char buffer[NP_DNR_TEXT_MAX])
{
    uint8_t option[NP_DNR_OPTION_MAX];
    long len = encode(&lan->dnr, option);
    buffer[0] = 0;
    if (len >= 0)
        return np_dnr_hex(option, (size_t)len, buffer);
    if (len != NP_E_MISSING)
        fprintf(stderr, "nameplate " VERB ": %s%s%s: too long for one option: give fewer addresses with --address\n",
                lan->name, lan->name[0] ? ": " : "", what);
    return buffer;
}

static void print_option(const struct lan *lan, long (*encode)(const struct np_dnr *, uint8_t *), const char *what,
                         const char *title)
{
    char text[NP_DNR_TEXT_MAX];
    if (option_text(lan, encode, what, text)[0])
        printf("# %s%s%s\n%s\n", lan->name, lan->name[0] ? ": " : "", title, text);
}

static void print_options(const struct lan *lan)
{
    print_option(lan, np_dnr_dhcp4, "DHCPv4", "DHCPv4 option 162");
    print_option(lan, np_dnr_dhcp6, "DHCPv6", "DHCPv6 option 144");
    print_option(lan, np_dnr_ra, "router advertisement", "router advertisement, the whole option of type 144");
}

/* dnsmasq tags each request with the name of the interface that it came in on. */
static void print_dnsmasq(const struct lan *lan)
{
    char v4[NP_DNR_TEXT_MAX], v6[NP_DNR_TEXT_MAX], tag[NP_VIEW_IFNAME_MAX + 8] = "";
    if (lan->name[0])
        snprintf(tag, sizeof tag, "tag:%s,", lan->name);
    if (option_text(lan, np_dnr_dhcp4, "DHCPv4", v4)[0])
        printf("dhcp-option=%s%d,%s\n", tag, NP_DNR_V4_CODE, v4);
    if (option_text(lan, np_dnr_dhcp6, "DHCPv6", v6)[0])
        printf("dhcp-option=%soption6:%d,%s\n", tag, NP_DNR_V6_CODE, v6);
}

static void append_addresses(char line[ODHCPD_LINE], const struct np_addr *list, size_t count)
{
    char text[NP_ADDR_TEXT_MAX];
    for (size_t i = 0; i < count; i++) {
        size_t len = strlen(line);
        snprintf(line + len, ODHCPD_LINE - len, "%s%s", len ? "," : "", np_addr_format(&list[i], text));
    }
}

/* odhcpd makes all three options of this one line. */
static void print_odhcpd(const struct lan *lan)
{
    char addresses[ODHCPD_LINE] = "", name[NP_NAME_TEXT_MAX], port[16] = "";
    append_addresses(addresses, lan->dnr.v4, lan->dnr.v4_count);
    append_addresses(addresses, lan->dnr.v6, lan->dnr.v6_count);
    if (lan->dnr.port != NP_VIEW_UPSTREAM_TLS_PORT)
        snprintf(port, sizeof port, " port=%u", lan->dnr.port);
    if (lan->name[0])
        printf("# %s\n", lan->name);
    printf("uci add_list dhcp.lan.dnr='%d %s %s alpn=dot%s'\n", NP_DNR_PRIORITY, np_name_format(&lan->dnr.name, name),
           addresses, port);
}

static const char *const titles[] = {
    "dnsmasq: lines in dnsmasq.conf (or a file in /etc/dnsmasq.d/), then restart dnsmasq",
    "odhcpd (OpenWrt): typed in its shell; lan stands for the interface's section in /etc/config/dhcp",
};

static void print_kind(const struct options *options, size_t kind)
{
    /* Standard output can go straight into the file. */
    fprintf(options->kind ? stderr : stdout, options->kind ? "%s:\n" : "\n# %s\n", titles[kind]);
    for (size_t i = 0; i < options->lan_count; i++) {
        if (kind == 0)
            print_dnsmasq(&options->lans[i]);
        else
            print_odhcpd(&options->lans[i]);
    }
    if (kind == 1)
        puts("uci commit dhcp\n/etc/init.d/odhcpd restart");
}

static json_t *hex_or_null(const struct lan *lan, long (*encode)(const struct np_dnr *, uint8_t *), const char *what)
{
    char text[NP_DNR_TEXT_MAX];
    return option_text(lan, encode, what, text)[0] ? json_string(text) : json_null();
}

static json_t *lan_json(const struct lan *lan)
{
    json_t *addresses = json_array();
    char text[NP_ADDR_TEXT_MAX];
    for (size_t i = 0; i < lan->dnr.v4_count; i++)
        json_array_append_new(addresses, json_string(np_addr_format(&lan->dnr.v4[i], text)));
    for (size_t i = 0; i < lan->dnr.v6_count; i++)
        json_array_append_new(addresses, json_string(np_addr_format(&lan->dnr.v6[i], text)));
    return json_pack("{s:o, s:o, s:i, s:o, s:o, s:o}", "interface", lan->name[0] ? json_string(lan->name) : json_null(),
                     "addresses", addresses, "port", (int)lan->dnr.port, "dhcpv4_162",
                     hex_or_null(lan, np_dnr_dhcp4, "DHCPv4"), "dhcpv6_144", hex_or_null(lan, np_dnr_dhcp6, "DHCPv6"),
                     "ra_144", hex_or_null(lan, np_dnr_ra, "router advertisement"));
}

static int print_json(const struct options *options)
{
    char name[NP_NAME_TEXT_MAX];
    json_t *lans = json_array();
    for (size_t i = 0; i < options->lan_count; i++)
        json_array_append_new(lans, lan_json(&options->lans[i]));
    json_t *root =
        json_pack("{s:s, s:o}", "name", np_name_format(&options->lans[0].dnr.name, name), "interfaces", lans);
    char *text = root ? json_dumps(root, JSON_INDENT(2) | JSON_ENSURE_ASCII) : NULL;
    json_decref(root);
    if (text)
        puts(text);
    free(text);
    return text ? NP_EXIT_OK : NP_EXIT_FAILURE;
}

static int print_all(const struct options *options)
{
    if (options->json)
        return print_json(options);
    for (size_t i = 0; i < options->lan_count && !options->kind; i++)
        print_options(&options->lans[i]);
    for (size_t i = 0; i < KIND_COUNT; i++) {
        if (!options->kind || strcmp(options->kind, kinds[i]) == 0)
            print_kind(options, i);
    }
    return NP_EXIT_OK;
}

/* Options. */

static int wrong(const char *what, const char *value, const char *why)
{
    fprintf(stderr, "nameplate " VERB ": %s '%.80s' %s\n", what, value, why);
    return NP_EXIT_USAGE;
}

/* Returns -1 to go on, else the exit code. */
static int take_option(struct options *options, int option)
{
    int rc;
    switch (option) {
    case 'h':
        usage(stdout);
        return NP_EXIT_OK;
    case 'n':
        options->name = optarg;
        return -1;
    case 'a':
        options->lan_count = 1;
        rc = add_address(&options->lans[0].dnr, optarg);
        if (rc)
            return wrong("--address", optarg,
                         rc == NP_E_LIMIT ? "is one too many" : "is no address for a LAN's devices");
        return -1;
    case 'p':
        return np_parse_int(optarg, 1, UINT16_MAX, &options->port) ? wrong("--port", optarg, "is no port") : -1;
    case 'j':
        options->json = true;
        return -1;
    case 'c':
        options->config = optarg;
        return -1;
    case 's':
        options->control = optarg;
        return -1;
    default:
        return NP_EXIT_USAGE; /* getopt said why */
    }
}

static int check_given(struct options *options)
{
    if (!options->name && options->lan_count == 0)
        return -1;
    if (!options->name || options->lan_count == 0) {
        fputs("nameplate " VERB ": --name and --address go together\n", stderr);
        return NP_EXIT_USAGE;
    }
    if (!np_is_hostname(options->name) || np_name_parse(options->name, &options->lans[0].dnr.name))
        return wrong("--name", options->name, "is not a host name");
    options->lans[0].dnr.port = (uint16_t)options->port;
    return NP_EXIT_OK;
}

static int read_options(int argc, char **argv, struct options *options)
{
    static const struct option known[] = {
        {"name", required_argument, NULL, 'n'},   {"address", required_argument, NULL, 'a'},
        {"port", required_argument, NULL, 'p'},   {"json", no_argument, NULL, 'j'},
        {"config", required_argument, NULL, 'c'}, {"control", required_argument, NULL, 's'},
        {"help", no_argument, NULL, 'h'},         {NULL, 0, NULL, 0},
    };
    const char *names[KIND_COUNT];
    bool found = false;
    int code = -1;
    options->port = NP_VIEW_UPSTREAM_TLS_PORT;
    for (int option; code < 0 && (option = getopt_long(argc, argv, "c:h", known, NULL)) != -1;)
        code = take_option(options, option);
    if (code >= 0)
        return code;
    options->kind = optind < argc ? argv[optind++] : NULL;
    if (optind < argc)
        return wrong("unexpected", argv[optind], "");
    for (size_t i = 0; i < KIND_COUNT; i++) {
        names[i] = kinds[i];
        found = found || (options->kind && strcmp(options->kind, kinds[i]) == 0);
    }
    if (!options->kind || found)
        return -1;
    const char *near = np_nearest(options->kind, names, KIND_COUNT);
    fprintf(stderr, "nameplate " VERB ": unknown '%.40s'%s%s%s\n", options->kind, near ? ", did you mean '" : "",
            near ? near : "", near ? "'?" : "; known: dnsmasq, odhcpd");
    return NP_EXIT_USAGE;
}

int np_dnr_verb_main(int argc, char **argv)
{
    struct options *options = calloc(1, sizeof *options);
    if (!options)
        return NP_EXIT_FAILURE;
    int code = read_options(argc, argv, options);
    if (code < 0) {
        code = check_given(options);
        if (code < 0)
            code = ask_agent(options);
        if (code == NP_EXIT_OK)
            code = print_all(options);
    }
    free(options);
    return code;
}

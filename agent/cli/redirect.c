#include "agent/cli/redirect.h"

#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "agent/cli/ask.h"
#include "agent/cli/cli.h"
#include "resolver/base/text.h"

/* iifname { "br-lan", "br-guest" } */
static void write_lan(FILE *out, const struct np_redirect *what)
{
    fputs("iifname { ", out);
    for (size_t i = 0; i < what->lan_count; i++)
        fprintf(out, "%s\"%s\"", i ? ", " : "", what->lan[i]);
    fputs(" } ", out);
}

static void write_exceptions(FILE *out, const struct np_redirect *what)
{
    char text[NP_ADDR_TEXT_MAX];
    for (size_t i = 0; i < what->except_count; i++) {
        const struct np_prefix *except = &what->except[i];
        np_prefix_format(except, text);
        fprintf(out, "        %s saddr %s accept\n", except->addr.family == AF_INET ? "ip" : "ip6", text);
    }
}

void np_redirect_write(FILE *out, const struct np_redirect *what)
{
    fputs("table inet nameplate\ndelete table inet nameplate\ntable inet nameplate {\n"
          "    chain to_box {\n        type nat hook prerouting priority dstnat; policy accept;\n",
          out);
    write_exceptions(out, what);
    fputs("        ", out);
    write_lan(out, what);
    fprintf(out, "meta l4proto { tcp, udp } th dport 53 fib daddr type != local redirect to :%u\n    }\n", what->port);
    if (what->reject_dot) {
        fputs("    chain no_dot {\n        type filter hook forward priority filter; policy accept;\n", out);
        write_exceptions(out, what);
        fputs("        ", out);
        write_lan(out, what);
        fputs("tcp dport 853 reject with tcp reset\n        ", out);
        write_lan(out, what);
        fputs("udp dport 853 reject\n    }\n", out);
    }
    fputs("}\n", out);
}

static void usage(FILE *out)
{
    fputs(
        "usage: nameplate config redirect [--lan IF]... [--port N] [--except ADDR[/LEN]]... [--reject-dot]\n"
        "                                 [--config FILE | --control SOCKET]\n\n"
        "Prints nftables rules, for nft -f on the router that this box is: clients on the LAN that ask another DNS\n"
        "server (8.8.8.8, say) are answered by this box, as that server.\n\n"
        "  --lan IF          LAN interface, may be repeated; else those that the running agent has\n"
        "  --port N          where this box answers DNS; else the running agent's dns-port\n"
        "  --except ADDR     a machine of the LAN, or a network, that may ask whom it likes: this box's own upstream\n"
        "                    (a Pi-hole, say) must be one, or its questions come back here\n"
        "  --reject-dot      refuse DNS over TLS and over QUIC (port 853) to others: clients that use it where they "
        "can\n"
        "                    come back to port 53\n"
        "  --config FILE     configuration that names the run folder (default " NP_DEFAULT_CONFIG ")\n"
        "  --control SOCKET  the agent's control socket itself\n\n"
        "DNS over HTTPS looks like any other page and is not redirected.\n\n"
        "Exit status 0: printed, 1: there is nothing to print it from, 3: the agent is not running or not reachable.\n",
        out);
}

/* What was typed. */
struct options {
    const char *control, *config;
    const char *lan[NP_ASK_LAN_MAX];
    struct np_redirect what;
};

static int wrong(const char *option, const char *value)
{
    fprintf(stderr, "nameplate config redirect: --%s %.80s: not valid, or one too many\n", option, value);
    return NP_EXIT_USAGE;
}

/* A name that means itself between the quotes of nft, where '*' would stand for others too. */
static bool is_plain_interface(const char *name)
{
    return np_is_token(name, NP_LINK_NAME_MAX - 1) && !strpbrk(name, "\"/\\*");
}

/* Returns -1 to go on, else the exit code. */
static int take_option(struct options *options, int option)
{
    struct np_redirect *what = &options->what;
    int64_t port;
    switch (option) {
    case 'l':
        if (what->lan_count == NP_ASK_LAN_MAX || !is_plain_interface(optarg))
            return wrong("lan", optarg);
        options->lan[what->lan_count++] = optarg;
        return -1;
    case 'p':
        if (np_parse_int(optarg, 1, UINT16_MAX, &port))
            return wrong("port", optarg);
        what->port = (uint16_t)port;
        return -1;
    case 'e':
        if (what->except_count == NP_REDIRECT_EXCEPT_MAX || np_prefix_parse(optarg, &what->except[what->except_count]))
            return wrong("except", optarg);
        what->except_count++;
        return -1;
    case 'd':
        what->reject_dot = true;
        return -1;
    case 'c':
        options->config = optarg;
        return -1;
    case 's':
        options->control = optarg;
        return -1;
    case 'h':
        usage(stdout);
        return NP_EXIT_OK;
    default:
        return NP_EXIT_USAGE;
    }
}

/* What was not typed, from the running agent. Returns an exit code. */
static int complete(struct options *options, struct np_ask_box *box)
{
    struct np_redirect *what = &options->what;
    int code = np_ask_box("config redirect", options->control, options->config, box);
    if (code) {
        fputs("Or give both: --lan IF --port 53\n", stderr);
        return code;
    }
    if (box->own_name_only) {
        fputs("nameplate config redirect: this box answers for its own names alone (mode = own-name-only): led to it, "
              "the "
              "home would have no DNS\n",
              stderr);
        return NP_EXIT_FAILURE;
    }
    if (what->lan_count == 0) {
        what->lan = (const char *const *)box->lan;
        what->lan_count = box->lan_count;
    }
    for (size_t i = 0; i < what->lan_count; i++) {
        if (!is_plain_interface(what->lan[i]))
            return wrong("lan", what->lan[i]);
    }
    what->port = what->port ? what->port : box->dns.port;
    if (what->lan_count > 0 && what->port)
        return NP_EXIT_OK;
    fputs("nameplate config redirect: the agent answers no DNS on a LAN (see nameplate status)\n", stderr);
    return NP_EXIT_FAILURE;
}

int np_redirect_verb_main(int argc, char **argv)
{
    static const struct option known[] = {
        {"lan", required_argument, NULL, 'l'},    {"port", required_argument, NULL, 'p'},
        {"except", required_argument, NULL, 'e'}, {"reject-dot", no_argument, NULL, 'd'},
        {"config", required_argument, NULL, 'c'}, {"control", required_argument, NULL, 's'},
        {"help", no_argument, NULL, 'h'},         {NULL, 0, NULL, 0}};
    struct options options = {.control = NULL};
    struct np_ask_box *box = NULL;
    int code = -1, option;
    options.what.lan = options.lan;
    while (code < 0 && (option = getopt_long(argc, argv, "c:h", known, NULL)) != -1)
        code = take_option(&options, option);
    if (code < 0 && optind < argc) {
        fprintf(stderr, "nameplate config redirect: unexpected '%.40s'\n", argv[optind]);
        return NP_EXIT_USAGE;
    }
    if (code >= 0)
        return code;
    code = NP_EXIT_OK;
    if (options.what.lan_count == 0 || options.what.port == 0) {
        box = calloc(1, sizeof *box);
        code = box ? complete(&options, box) : NP_EXIT_FAILURE;
    }
    if (code == NP_EXIT_OK)
        np_redirect_write(stdout, &options.what);
    np_ask_box_free(box);
    return code;
}

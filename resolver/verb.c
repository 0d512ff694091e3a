#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "resolver/base/error.h"
#include "resolver/base/file.h"
#include "resolver/base/log.h"
#include "resolver/base/text.h"
#include "resolver/cache.h"
#include "resolver/report.h"
#include "resolver/resolver.h"

#define LISTEN_MAX (NP_SERVER_LISTENERS_MAX / 2) /* UDP and TCP of each */

static const char usage[] =
    "usage: nameplate resolver --view FILE [--listen ADDR]... [--port N] [--upstream ADDR]... [--cache SIZE]\n"
    "                          [--metrics FILE]\n"
    "\n"
    "Runs the resolver alone: answers the own names in the view, forwards everything else.\n"
    "\n"
    "  --view FILE      the snapshot (JSON); SIGHUP reads it again\n"
    "  --listen ADDR    address to serve on, may be repeated; default: loopback and the view's LAN addresses\n"
    "  --port N         port to serve on (53)\n"
    "  --upstream ADDR  server to forward to (ADDR, ADDR:PORT or [ADDR]:PORT, with ' trust-ad' after it to believe "
    "its\n"
    "                   AD bit), may be repeated; replaces the view's. No TLS: that is the agent's\n"
    "  --cache SIZE     memory for answers, 256K to 1G, 0 for none; replaces the view's (4M)\n"
    "  --metrics FILE   write counters there every 15 s, as Prometheus' text format (for node_exporter's textfile\n"
    "                   collector: a name that ends in .prom)\n"
    "  --log-level L    error, warning, notice, info or debug (info)\n"
    "  --help           this text\n"
    "\n"
    "SIGUSR1 logs the counters, and writes them to FILE at once.\n"
    "Exit status 0: ended by SIGTERM, 1: it cannot run; what is wrong is said.\n";

struct options {
    const char *view_path, *metrics_path;
    uint16_t port;
    bool has_cache;
    uint32_t cache;
    size_t listen_count, upstream_count;
    struct np_addr listen[LISTEN_MAX];
    struct np_view_upstream upstreams[NP_VIEW_UPSTREAMS_MAX];
};

struct verb {
    uv_loop_t loop;
    uv_signal_t signals[4];
    struct np_resolver *resolver;
    struct np_report report;
    struct options options;
    struct np_view view;
};

static int wrong(const char *option, const char *value)
{
    fprintf(stderr, "nameplate resolver: --%s %s: not valid\n%s", option, value, usage);
    return 2;
}

static int take_upstream(struct options *options)
{
    const char *why;
    if (options->upstream_count == NP_VIEW_UPSTREAMS_MAX)
        return wrong("upstream", optarg);
    if (np_view_upstream_parse(optarg, &options->upstreams[options->upstream_count], &why)) {
        fprintf(stderr, "nameplate resolver: --upstream %s: %s\n", optarg, why);
        return 2;
    }
    options->upstream_count++;
    return -1;
}

/* Returns -1 to go on, else the exit code. */
static int take_option(struct options *options, int option)
{
    int64_t port;
    enum np_log_level level;
    switch (option) {
    case 'v':
        options->view_path = optarg;
        return -1;
    case 'l':
        if (options->listen_count == LISTEN_MAX || np_addr_parse(optarg, &options->listen[options->listen_count]))
            return wrong("listen", optarg);
        options->listen_count++;
        return -1;
    case 'p':
        if (np_parse_int(optarg, 1, UINT16_MAX, &port))
            return wrong("port", optarg);
        options->port = (uint16_t)port;
        return -1;
    case 'u':
        return take_upstream(options);
    case 'c':
        if (np_cache_parse_size(optarg, &options->cache))
            return wrong("cache", optarg);
        options->has_cache = true;
        return -1;
    case 'm':
        options->metrics_path = optarg;
        return -1;
    case 'L':
        if (np_log_level_parse(optarg, &level))
            return wrong("log-level", optarg);
        np_log_init("nameplate[resolver]", level);
        return -1;
    case 'h':
        fputs(usage, stdout);
        return 0;
    default:
        fputs(usage, stderr);
        return 2;
    }
}

static int read_options(int argc, char **argv, struct options *options)
{
    static const struct option known[] = {
        {"view", required_argument, NULL, 'v'},
        {"listen", required_argument, NULL, 'l'},
        {"port", required_argument, NULL, 'p'},
        {"upstream", required_argument, NULL, 'u'},
        {"cache", required_argument, NULL, 'c'},
        {"log-level", required_argument, NULL, 'L'},
        {"metrics", required_argument, NULL, 'm'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    int option, result = -1;
    options->port = 53;
    optind = 1;
    while (result < 0 && (option = getopt_long(argc, argv, "", known, NULL)) != -1)
        result = take_option(options, option);
    if (result < 0 && (optind < argc || !options->view_path)) {
        fputs(usage, stderr);
        return 2;
    }
    return result;
}

/* TLS to upstreams needs the front, which the agent runs beside its resolver: one that must be asked over TLS cannot be
 * asked from here, and is not silently left out. */
static int refuse_tls(const struct np_view_upstream *servers, size_t count)
{
    char text[NP_VIEW_UPSTREAM_TEXT_MAX];
    for (size_t i = 0; i < count; i++) {
        if (servers[i].tls == NP_TLS_STRICT) {
            np_error("upstream %s: DNS over TLS works under `nameplate agent` alone",
                     np_view_upstream_format(&servers[i], text));
            return NP_E_CONFIG;
        }
        if (servers[i].tls == NP_TLS_OPPORTUNISTIC)
            np_notice("upstream %s is asked in clear text: DNS over TLS works under `nameplate agent` alone",
                      np_view_upstream_format(&servers[i], text));
    }
    return 0;
}

static int check_view(const struct np_view *view)
{
    int rc = refuse_tls(view->upstreams, view->upstream_count);
    for (size_t i = 0; i < view->forward_count && !rc; i++)
        rc = refuse_tls(view->forwards[i].to, view->forwards[i].to_count);
    return rc;
}

/* Reads the view file and puts it in force. */
static int load_view(struct verb *verb)
{
    char error[NP_VIEW_ERROR_MAX] = "";
    uint8_t *text = NULL;
    size_t len;
    int rc = np_file_read(verb->options.view_path, NP_VIEW_TEXT_MAX, &text, &len);
    if (!rc)
        rc = np_view_parse((const char *)text, len, &verb->view, error);
    free(text);
    if (!rc && verb->options.upstream_count > 0) {
        memcpy(verb->view.upstreams, verb->options.upstreams, sizeof verb->view.upstreams);
        verb->view.upstream_count = verb->options.upstream_count;
    }
    if (!rc && verb->options.has_cache)
        verb->view.cache = verb->options.cache;
    if (!rc && check_view(&verb->view))
        return NP_E_CONFIG; /* said why */
    if (!rc)
        rc = np_resolver_set_view(verb->resolver, &verb->view);
    if (rc)
        np_error("%s: %s", verb->options.view_path, error[0] ? error : np_strerror(rc));
    return rc;
}

static void default_listeners(struct verb *verb)
{
    struct options *options = &verb->options;
    (void)np_addr_parse("127.0.0.1", &options->listen[options->listen_count++]);
    (void)np_addr_parse("::1", &options->listen[options->listen_count++]);
    for (size_t i = 0; i < verb->view.interface_count; i++) {
        const struct np_view_interface *interface = &verb->view.interfaces[i];
        size_t count = interface->lan ? interface->v4_count + interface->v6_count : 0;
        for (size_t k = 0; k < count && options->listen_count < LISTEN_MAX; k++) {
            struct np_addr addr =
                k < interface->v4_count ? interface->v4[k].addr : interface->v6[k - interface->v4_count].addr;
            if (addr.family == AF_INET6 && np_addr_classify(&addr) == NP_ADDR_LINK_LOCAL)
                addr.scope = interface->index;
            options->listen[options->listen_count++] = addr;
        }
    }
}

static int add_listener(struct verb *verb, const struct np_addr *addr, bool tcp)
{
    struct np_endpoint local = {*addr, verb->options.port};
    char text[NP_ADDR_TEXT_MAX];
    int rc, fd = np_server_open(&local, tcp);
    if (fd < 0) {
        rc = fd;
    } else if ((rc = np_server_add(np_resolver_server(verb->resolver), fd, tcp)) != 0) {
        close(fd);
    }
    np_endpoint_format(&local, text);
    if (rc)
        np_error("%s (%s): %s", text, tcp ? "TCP" : "UDP", np_strerror(rc));
    else
        np_info("listening on %s (%s)", text, tcp ? "TCP" : "UDP");
    return rc;
}

/* An address named on the command line must be had; of the default ones, any will do. */
static int add_listeners(struct verb *verb)
{
    bool chosen = verb->options.listen_count > 0;
    size_t good = 0;
    if (!chosen)
        default_listeners(verb);
    for (size_t i = 0; i < verb->options.listen_count; i++) {
        for (int tcp = 0; tcp <= 1; tcp++) {
            if (add_listener(verb, &verb->options.listen[i], tcp != 0) == 0)
                good++;
            else if (chosen)
                return -1;
        }
    }
    return good > 0 ? 0 : -1;
}

static void signal_callback(uv_signal_t *handle, int signum)
{
    struct verb *verb = handle->data;
    if (signum == SIGHUP) {
        if (load_view(verb) == 0)
            np_notice("view read again, serial %u", verb->view.serial);
        return;
    }
    if (signum == SIGUSR1) {
        np_report_now(&verb->report);
        return;
    }
    np_report_stop(&verb->report);
    for (size_t i = 0; i < sizeof verb->signals / sizeof *verb->signals; i++)
        uv_close((uv_handle_t *)&verb->signals[i], NULL);
    np_resolver_close(verb->resolver);
}

static int run(struct verb *verb)
{
    static const int signums[] = {SIGHUP, SIGUSR1, SIGINT, SIGTERM};
    int rc = uv_loop_init(&verb->loop);
    if (rc) {
        np_error("%s", np_strerror(rc));
        return 1;
    }
    rc = np_resolver_new(&verb->loop, &verb->resolver);
    if (rc) {
        np_error("%s", np_strerror(rc));
        return 1;
    }
    if (load_view(verb) || add_listeners(verb)) {
        np_resolver_close(verb->resolver);
        rc = 1;
    } else if (np_report_start(&verb->report, &verb->loop, verb->resolver, verb->options.metrics_path)) {
        np_report_stop(&verb->report);
        np_resolver_close(verb->resolver);
        rc = 1;
    }
    for (size_t i = 0; !rc && i < sizeof signums / sizeof *signums; i++) {
        uv_signal_init(&verb->loop, &verb->signals[i]);
        verb->signals[i].data = verb;
        uv_signal_start(&verb->signals[i], signal_callback, signums[i]);
    }
    uv_run(&verb->loop, UV_RUN_DEFAULT);
    (void)uv_loop_close(&verb->loop);
    return rc;
}

int np_resolver_verb_main(int argc, char **argv)
{
    struct verb *verb = calloc(1, sizeof *verb);
    if (!verb)
        return 1;
    signal(SIGPIPE, SIG_IGN);
    np_log_init("nameplate[resolver]", NP_LOG_INFO);
    int result = read_options(argc, argv, &verb->options);
    if (result < 0)
        result = run(verb);
    free(verb);
    return result;
}

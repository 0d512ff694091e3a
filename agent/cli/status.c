#include "agent/cli/status.h"

#include <getopt.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/cli/ask.h"
#include "agent/cli/cli.h"
#include "agent/config.h"

#define SHOWN_BLOCKED 5 /* names; --json has them all */

static const char *text(const json_t *object, const char *member)
{
    const char *value = json_string_value(json_object_get(object, member));
    return value ? value : "";
}

/* On a terminal: the level of a part as a word, coloured unless NO_COLOR is set (no-color.org) or the terminal knows no
 * colours. Elsewhere nothing: whoever reads it by a program takes --json. */
static const char *level(const json_t *status, const char *part)
{
    static const struct {
        const char *word, *plain, *coloured;
    } shown[] = {{"green", "green   ", "\x1b[32mgreen\x1b[0m   "},
                 {"yellow", "yellow  ", "\x1b[33myellow\x1b[0m  "},
                 {"red", "red     ", "\x1b[31mred\x1b[0m     "}};
    const char *word = text(json_object_get(status, "levels"), part), *no = getenv("NO_COLOR"), *term = getenv("TERM");
    bool plain = (no && *no) || !term || strcmp(term, "dumb") == 0;
    for (size_t i = 0; isatty(STDOUT_FILENO) && i < sizeof shown / sizeof *shown; i++) {
        if (strcmp(shown[i].word, word) == 0)
            return plain ? shown[i].plain : shown[i].coloured;
    }
    return "";
}

static void show_list(const json_t *array)
{
    size_t i;
    const json_t *item;
    json_array_foreach(array, i, item)
    {
        printf("%s%s", i ? ", " : "", json_string_value(item) ? json_string_value(item) : "?");
    }
    puts(json_array_size(array) ? "" : "none");
}

static void show_certificate(const json_t *status)
{
    const json_t *certificate = json_object_get(status, "certificate");
    if (!json_is_object(certificate)) {
        printf("certificate  %snone yet\n", level(status, "certificate"));
        return;
    }
    printf("certificate  %s%s until %s (%lld days), issued by %s\n", level(status, "certificate"),
           json_is_true(json_object_get(certificate, "valid")) ? "valid" : "NOT VALID", text(certificate, "not_after"),
           (long long)json_integer_value(json_object_get(certificate, "days_left")), text(certificate, "issuer"));
}

static void show_addresses(const json_t *status)
{
    const json_t *addresses = json_object_get(status, "addresses"), *published, *link;
    size_t i;
    json_array_foreach(json_object_get(addresses, "answered"), i, link)
    {
        printf("%-12s %s%s: ", i ? "" : "answered", i ? "" : level(status, "addresses"), text(link, "interface"));
        show_list(json_object_get(link, "addresses"));
    }
    published = json_object_get(addresses, "published");
    printf("published    ");
    if (json_is_array(published))
        show_list(published);
    else
        puts("not confirmed by HQ since the start");
}

static void show_wait(const char *what, const json_t *seconds)
{
    long long s = (long long)json_integer_value(seconds);
    if (!json_is_integer(seconds))
        printf("%-12s none planned\n", what);
    else if (s >= 2 * 86400)
        printf("%-12s in %lld days\n", what, s / 86400);
    else
        printf("%-12s in %lld s\n", what, s);
}

static void show_hq(const json_t *status)
{
    const json_t *hq = json_object_get(status, "hq"), *last = json_object_get(hq, "last_contact_seconds");
    const json_t *next = json_object_get(hq, "next_action_seconds");
    printf("HQ           %s%s, ", level(status, "hq"), text(hq, "url"));
    if (json_is_integer(last))
        printf("last answer %lld s ago", (long long)json_integer_value(last));
    else
        printf("not asked since the start");
    if (json_is_integer(next))
        printf(", next action in %lld s", (long long)json_integer_value(next));
    puts("");
    show_wait("check-in", json_object_get(hq, "next_checkin_seconds"));
    show_wait("renewal look", json_object_get(hq, "next_look_seconds"));
    printf("state        %s (%s)\n", text(status, "state"), text(status, "reason"));
}

static void show_clock(const json_t *status)
{
    const json_t *clock = json_object_get(status, "clock");
    printf("clock        %s%s%s\n", level(status, "clock"),
           json_is_true(json_object_get(clock, "believed")) ? "believed" : "not believed; certificates are judged at ",
           json_is_true(json_object_get(clock, "believed")) ? "" : text(clock, "judged"));
}

static void show_processes(const json_t *status)
{
    static const char *const names[] = {"agent", "resolver", "front"};
    const json_t *processes = json_object_get(status, "processes");
    printf("processes    %s", level(status, "processes"));
    for (size_t i = 0; i < 3; i++) {
        const json_t *process = json_object_get(processes, names[i]), *ready = json_object_get(process, "ready");
        if (!json_is_object(process))
            continue;
        printf("%s%s %lld%s", i ? " " : "", names[i], (long long)json_integer_value(json_object_get(process, "pid")),
               json_is_false(ready) ? " (not ready)" : "");
    }
    puts("");
}

static void show_listeners(const json_t *status)
{
    const json_t *listener;
    size_t i, open = 0, count = json_array_size(json_object_get(status, "listeners"));
    json_array_foreach(json_object_get(status, "listeners"), i, listener)
    {
        open += json_is_null(json_object_get(listener, "error"));
    }
    printf("listeners    %s%zu of %zu open\n", level(status, "listeners"), open, count);
}

static long long number(const json_t *object, const char *member)
{
    return (long long)json_integer_value(json_object_get(object, member));
}

/* "1.5 us", "12 ms": two digits are what a histogram knows. */
static void show_time(long long ns)
{
    if (ns < 10000)
        printf("%.1f us", (double)ns / 1e3);
    else if (ns < 1000000)
        printf("%.0f us", (double)ns / 1e3);
    else if (ns < 10000000)
        printf("%.1f ms", (double)ns / 1e6);
    else
        printf("%.0f ms", (double)ns / 1e6);
}

static void show_latency(json_t *latency)
{
    const char *name;
    json_t *histogram;
    bool first = true;
    json_object_foreach(latency, name, histogram)
    {
        if (number(histogram, "count") == 0)
            continue;
        printf(first ? "latency      " : "; ");
        first = false;
        printf("%s p50 ", name);
        show_time(number(histogram, "p50_ns"));
        printf(", p99 ");
        show_time(number(histogram, "p99_ns"));
    }
    if (!first)
        puts("");
}

/* How an upstream does, for a person. Capitals: something is wrong with it. */
static const char *health_text(const json_t *upstream)
{
    static const char *const words[][2] = {{"untried", "not asked yet"},           {"alive", "alive"},
                                           {"suspect", "has not answered lately"}, {"dead", "SILENT"},
                                           {"loop", "FORWARDS BACK TO THIS BOX"},  {"itself", "IS THIS BOX ITSELF"}};
    const char *health = text(upstream, "health");
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (strcmp(words[i][0], health) == 0)
            return words[i][1];
    }
    return json_is_true(json_object_get(upstream, "alive")) ? "alive" : "SILENT";
}

static void show_upstreams(const json_t *upstreams)
{
    const json_t *item;
    size_t i;
    json_array_foreach(upstreams, i, item)
    {
        const char *zone = text(item, "zone");
        printf("%-12s %s%s%s: %s", i ? "" : "upstreams", text(item, "address"), strcmp(zone, ".") != 0 ? " for " : "",
               strcmp(zone, ".") != 0 ? zone : "", health_text(item));
        if (json_is_integer(json_object_get(item, "srtt_us"))) {
            printf(", ");
            show_time(number(item, "srtt_us") * 1000);
        }
        printf(", %lld answers, %lld failures\n", number(item, "answers"), number(item, "failures"));
    }
    if (json_array_size(upstreams) == 0)
        puts("upstreams    none");
}

static void show_blocked(const json_t *blocked)
{
    const json_t *item;
    size_t i;
    json_array_foreach(blocked, i, item)
    {
        if (i == SHOWN_BLOCKED)
            break;
        const char *address = text(item, "address");
        printf("%-12s %s, %lld times, last %lld s ago%s%s\n", i ? "" : "blocked", text(item, "name"),
               number(item, "count"), number(item, "last_seconds"), address[0] ? " for " : "", address);
    }
}

/* Every counter under "answers", in the order in which the agent gives them. */
static void show_answers(json_t *answers)
{
    const char *name, *comma = "";
    json_t *count;
    printf("resolver     ");
    json_object_foreach(answers, name, count)
    {
        if (json_integer_value(count) == 0)
            continue;
        printf("%s%lld %s", comma, (long long)json_integer_value(count), name);
        comma = ", ";
    }
    puts(comma[0] ? "" : "no queries yet");
}

static void show_resolver(const json_t *status)
{
    const json_t *resolver = json_object_get(status, "resolver");
    if (!json_is_object(resolver)) {
        printf("upstreams    ");
        show_list(json_object_get(status, "upstreams"));
        return;
    }
    show_answers(json_object_get(resolver, "answers"));
    show_latency(json_object_get(resolver, "latency"));
    show_upstreams(json_object_get(resolver, "upstreams"));
    show_blocked(json_object_get(resolver, "blocked"));
}

static void show_doctor(const json_t *status)
{
    const json_t *doctor = json_object_get(status, "doctor");
    if (json_is_object(doctor))
        printf("doctor       %s%s (%lld s ago)\n", level(status, "doctor"), text(doctor, "summary"),
               number(doctor, "seconds_ago"));
    else
        puts("doctor       not asked yet: nameplate doctor");
}

static void show_naming(const json_t *naming)
{
    const json_t *old = json_object_get(naming, "old");
    if (text(naming, "wanted")[0])
        printf("             %s, once its certificate is there\n", text(naming, "wanted"));
    if (json_is_object(old))
        printf("             %s leads here too, until %s\n", text(old, "name"), text(old, "until"));
}

static void show(const json_t *status)
{
    const json_t *problems = json_object_get(status, "problems"), *item;
    size_t i;
    printf("name         %s%s\n", level(status, "name"), text(status, "name")[0] ? text(status, "name") : "none yet");
    show_naming(json_object_get(status, "naming"));
    if (text(status, "url")[0])
        printf("open         %s\n", text(status, "url"));
    show_certificate(status);
    show_addresses(status);
    show_hq(status);
    show_clock(status);
    show_processes(status);
    show_listeners(status);
    show_resolver(status);
    json_array_foreach(problems, i, item)
    {
        printf("%-12s %s\n", i ? "" : "problems", json_string_value(item) ? json_string_value(item) : "?");
    }
    if (json_array_size(problems) == 0)
        puts("problems     none");
    if (text(status, "name")[0])
        show_doctor(status);
}

/* One address: what becomes of it, and why. */
static void show_address(const json_t *address)
{
    bool answered = json_is_true(json_object_get(address, "answered"));
    bool offered = json_is_true(json_object_get(address, "offered"));
    const char *hq = text(address, "hq");
    printf("  %s/%lld\n", text(address, "address"), number(address, "length"));
    if (answered)
        printf("    answered to clients on this interface%s\n",
               json_is_true(json_object_get(address, "elsewhere")) ? ", and on LAN interfaces without an address" : "");
    else
        printf("    not answered: %s\n", text(address, "answered_why"));
    if (!offered && strcmp(text(address, "offered_code"), text(address, "answered_code")) != 0)
        printf("    not published: %s\n", text(address, "offered_why"));
    else if (!offered)
        puts("    not published: for the same reason");
    else if (hq[0])
        printf("    %s\n", strcmp(hq, "published") == 0 ? "published by HQ" : hq);
    else
        puts("    offered to HQ, which has not confirmed it yet");
}

static void show_why(const json_t *status)
{
    const json_t *interface, *address;
    size_t i, k;
    json_array_foreach(json_object_get(status, "interfaces"), i, interface)
    {
        const json_t *addresses = json_object_get(interface, "addresses");
        printf("%s%s: %s: %s%s%s\n", i ? "\n" : "", text(interface, "interface"),
               json_is_true(json_object_get(interface, "lan")) ? "LAN" : "no LAN", text(interface, "why"),
               json_is_true(json_object_get(interface, "up")) ? "" : "; it is switched off",
               json_is_true(json_object_get(interface, "carrier")) ? "" : "; no carrier");
        json_array_foreach(addresses, k, address)
        {
            show_address(address);
        }
        if (json_array_size(addresses) == 0)
            puts("  no address");
    }
}

/* The agent writes them; what it cannot answer is JSON with an error. */
static int run_metrics(const char *path, const char *format)
{
    char request[NP_CONTROL_REQUEST_MAX], *answer;
    snprintf(request, sizeof request, "metrics %s", format);
    int rc = np_ask(path, request, &answer);
    if (rc)
        return np_ask_unreachable("status", path, rc);
    bool good = answer[0] != '{';
    if (good)
        fputs(answer, stdout);
    else
        fprintf(stderr, "nameplate status: the agent at %s knows no metrics\n", path);
    free(answer);
    return good ? NP_EXIT_OK : NP_EXIT_FAILURE;
}

static int run(const char *path, bool json, bool why)
{
    char *answer;
    int rc = np_ask(path, "status", &answer), code = NP_EXIT_OK;
    if (rc)
        return np_ask_unreachable("status", path, rc);
    json_t *status = json_loads(answer, 0, NULL);
    if (!json_is_object(status)) {
        fprintf(stderr, "nameplate status: the answer from %s cannot be read\n", path);
        code = NP_EXIT_FAILURE;
    } else if (json) {
        fputs(answer, stdout);
    } else if (why) {
        show_why(status);
    } else {
        show(status);
    }
    json_decref(status);
    free(answer);
    return code;
}

int np_status_verb_main(int argc, char **argv)
{
    static const struct option options[] = {{"config", required_argument, NULL, 'c'},
                                            {"control", required_argument, NULL, 's'},
                                            {"json", no_argument, NULL, 'j'},
                                            {"metrics", optional_argument, NULL, 'm'},
                                            {"why", no_argument, NULL, 'w'},
                                            {"help", no_argument, NULL, 'h'},
                                            {NULL, 0, NULL, 0}};
    const char *config = NULL, *control = NULL, *metrics = NULL;
    char path[NP_ASK_PATH_MAX];
    bool json = false, why = false;
    for (int option; (option = getopt_long(argc, argv, "c:jwh", options, NULL)) != -1;) {
        switch (option) {
        case 'c':
            config = optarg;
            break;
        case 's':
            control = optarg;
            break;
        case 'j':
            json = true;
            break;
        case 'w':
            why = true;
            break;
        case 'm':
            metrics = optarg ? optarg : "prometheus";
            break;
        case 'h':
            puts("usage: nameplate status [--why | --json | --metrics[=FORMAT]] [--config FILE | --control SOCKET]\n\n"
                 "On a terminal each part has its level beside it: green (it works), yellow (it works, but not as it "
                 "should, or\nnot for ever) or red (people notice). NO_COLOR=1 leaves the words and takes the "
                 "colours.\n\n"
                 "  --why             every interface and address: answered to whom, published, and why (or why not)\n"
                 "  --json            the whole status as JSON (docs/schema/status.schema.json)\n"
                 "  --metrics         counters for monitoring: prometheus (text format 0.0.4, for node_exporter's "
                 "textfile\n"
                 "                    collector) or openmetrics\n"
                 "  --config FILE     configuration that names the run folder (default " NP_DEFAULT_CONFIG ")\n"
                 "  --control SOCKET  the agent's control socket itself\n\n"
                 "Exit status 3: the agent is not running or not reachable.");
            return NP_EXIT_OK;
        default:
            return NP_EXIT_USAGE;
        }
    }
    if (optind < argc) {
        fprintf(stderr, "nameplate status: unexpected '%s'\n", argv[optind]);
        return NP_EXIT_USAGE;
    }
    if (metrics && strcmp(metrics, "prometheus") != 0 && strcmp(metrics, "openmetrics") != 0) {
        fprintf(stderr, "nameplate status: --metrics=%.40s: must be prometheus or openmetrics\n", metrics);
        return NP_EXIT_USAGE;
    }
    if (np_ask_path("status", control, config, path))
        return NP_EXIT_FAILURE;
    return metrics ? run_metrics(path, metrics) : run(path, json, why);
}

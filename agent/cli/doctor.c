#include "agent/cli/doctor.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/cli/ask.h"
#include "agent/cli/cli.h"
#include "agent/cli/holder.h"

static const char *text(const json_t *object, const char *member)
{
    const char *value = json_string_value(json_object_get(object, member));
    return value ? value : "";
}

/* Who holds the port of a listener that cannot be opened: into the check's text, and as a member. */
static void add_holder(json_t *check, int64_t pid)
{
    const json_t *listener = json_object_get(check, "listener");
    struct np_endpoint wanted = {.port = (uint16_t)json_integer_value(json_object_get(listener, "port"))};
    char holder[64], whole[512];
    if (strcmp(text(check, "code"), "in-use") != 0 || np_addr_parse(text(listener, "address"), &wanted.addr) ||
        !np_holder_describe(pid, strcmp(text(listener, "kind"), "dns-udp") != 0, &wanted, holder, sizeof holder))
        return;
    snprintf(whole, sizeof whole, "%.400s, by %s", text(check, "text"), holder);
    json_object_set_new(check, "text", json_string(whole));
    json_object_set_new(check, "holder", json_string(holder));
}

static void add_holders(json_t *report)
{
    int64_t pid = json_integer_value(json_object_get(report, "agent_pid"));
    json_t *check;
    size_t i;
    json_array_foreach(json_object_get(report, "checks"), i, check)
    {
        add_holder(check, pid);
    }
}

/* The lines that mend it, each way with the place that they go to. */
static void show_mends(const json_t *check)
{
    const json_t *mend, *line;
    size_t i, k;
    json_array_foreach(json_object_get(check, "mend"), i, mend)
    {
        printf("           %s%s\n", i ? "or " : "To mend it: ", text(mend, "where"));
        json_array_foreach(json_object_get(mend, "lines"), k, line)
        {
            printf("               %s\n", json_string_value(line) ? json_string_value(line) : "");
        }
    }
    if (json_array_size(json_object_get(check, "mend")) > 0)
        puts("           or let that resolver ask this box for the name: nameplate config integrate");
}

static void show_check(const json_t *check)
{
    static const char *const marks[][2] = {{"fine", "ok"}, {"note", "--"}, {"unknown", "??"}, {"finding", "!!"}};
    const char *mark = "??";
    for (size_t i = 0; i < sizeof marks / sizeof *marks; i++) {
        if (strcmp(marks[i][0], text(check, "level")) == 0)
            mark = marks[i][1];
    }
    printf("%s  %-12s %s\n", mark, text(check, "check"), text(check, "text"));
    show_mends(check);
}

static void show(const json_t *report)
{
    const json_t *check;
    size_t i, findings = 0;
    json_array_foreach(json_object_get(report, "checks"), i, check)
    {
        show_check(check);
        findings += strcmp(text(check, "level"), "finding") == 0;
    }
    printf("\n%s\n", text(report, "summary"));
    if (findings > 0)
        printf("%zu finding%s, marked with !! above.\n", findings, findings == 1 ? "" : "s");
}

static int exit_code(const json_t *report)
{
    const char *verdict = text(report, "verdict");
    if (strcmp(verdict, "fine") == 0)
        return NP_EXIT_OK;
    return strcmp(verdict, "findings") == 0 ? NP_EXIT_FAILURE : NP_EXIT_UNREACHABLE;
}

static int run(const char *path, bool json)
{
    char *answer;
    int rc = np_ask(path, "doctor", &answer);
    if (rc)
        return np_ask_unreachable("doctor", path, rc);
    json_t *report = json_loads(answer, 0, NULL);
    int code = NP_EXIT_UNREACHABLE;
    free(answer);
    if (!json_is_array(json_object_get(report, "checks"))) {
        fprintf(stderr, "nameplate doctor: the answer from %s cannot be read: %s\n", path,
                text(report, "error")[0] ? text(report, "error") : "it is no report");
    } else {
        add_holders(report);
        code = exit_code(report);
        if (json) {
            json_dumpf(report, stdout, JSON_INDENT(2) | JSON_ENSURE_ASCII);
            puts("");
        } else {
            show(report);
        }
    }
    json_decref(report);
    return code;
}

static void usage(void)
{
    puts("usage: nameplate doctor [--json] [--config FILE | --control SOCKET]\n\n"
         "Why does my name not work? Asks the zone's name servers, every resolver that the home was offered and the\n"
         "gateway for this box's name, looks for filters in the way, checks link, clock, listeners, HQ, certificate "
         "and\n"
         "what is served, and prints the lines that mend what it finds. Takes under 5 seconds.\n\n"
         "  --json            as JSON (docs/schema/doctor.schema.json)\n"
         "  --config FILE     configuration that names the run folder (default " NP_DEFAULT_CONFIG ")\n"
         "  --control SOCKET  the agent's control socket itself\n\n"
         "Exit status: 0 all is fine, 1 findings, 2 wrong usage, 3 it cannot be told (the agent is not reachable, or "
         "not\n"
         "everything could be asked). As root it also names the process that holds a port.");
}

int np_doctor_verb_main(int argc, char **argv)
{
    bool json = false;
    const struct np_ask_flag flags[] = {{"json", &json}, {NULL, NULL}};
    char path[NP_ASK_PATH_MAX];
    int code = np_ask_options(argc, argv, usage, flags, path);
    if (code == NP_EXIT_FAILURE)
        return NP_EXIT_UNREACHABLE; /* 1 would be findings */
    if (code)
        return code == NP_ASK_HELPED ? NP_EXIT_OK : code;
    return run(path, json);
}

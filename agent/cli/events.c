#include "agent/cli/events.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "agent/cli/ask.h"
#include "agent/cli/cli.h"

static const char *text(const json_t *object, const char *member)
{
    const char *value = json_string_value(json_object_get(object, member));
    return value ? value : "";
}

/* The agent's UTC as the time on the wall here; as it came where it cannot be read. */
static void show_time(const char *iso)
{
    struct tm tm = {0};
    char local[32];
    const char *end = strptime(iso, "%Y-%m-%dT%H:%M:%SZ", &tm);
    time_t at = end ? timegm(&tm) : 0;
    if (end && localtime_r(&at, &tm) && strftime(local, sizeof local, "%Y-%m-%d %H:%M:%S", &tm) > 0)
        fputs(local, stdout);
    else
        fputs(iso[0] ? iso : "(no time)", stdout);
}

static void show_event(const json_t *event)
{
    const json_t *took = json_object_get(event, "took_ms"), *change = json_object_get(event, "change");
    show_time(text(event, "at"));
    printf("  %-12s", text(event, "event"));
    if (json_is_integer(change))
        printf("#%-4lld", (long long)json_integer_value(change));
    else
        printf("%5s", "");
    if (json_is_integer(took) && strcmp(text(event, "event"), "seen") != 0)
        printf(" +%lld ms", (long long)json_integer_value(took));
    printf("  %s\n", text(event, "text"));
}

static void show(const json_t *events, bool json)
{
    const json_t *event;
    size_t i;
    json_array_foreach(events, i, event)
    {
        if (json) {
            json_dumpf(event, stdout, JSON_COMPACT | JSON_ENSURE_ASCII);
            puts("");
        } else {
            show_event(event);
        }
    }
    fflush(stdout);
}

/* One answer of the agent; NULL with an exit code and a word why. */
static json_t *ask(const char *path, long long after, bool wait, int *out_code)
{
    char request[NP_CONTROL_REQUEST_MAX], *answer;
    snprintf(request, sizeof request, "events %lld%s", after, wait ? " wait" : "");
    int rc = np_ask(path, request, &answer);
    if (rc) {
        *out_code = np_ask_unreachable("events", path, rc);
        return NULL;
    }
    json_t *object = json_loads(answer, 0, NULL);
    free(answer);
    if (json_is_array(json_object_get(object, "events")))
        return object;
    fprintf(stderr, "nameplate events: the answer from %s cannot be read\n", path);
    json_decref(object);
    *out_code = NP_EXIT_FAILURE;
    return NULL;
}

/* Until the agent is gone: each question waits there until there is news. */
static int follow(const char *path, bool json)
{
    long long last = 0;
    bool first = true;
    int code = NP_EXIT_OK;
    for (json_t *answer; (answer = ask(path, last, !first, &code)); json_decref(answer)) {
        show(json_object_get(answer, "events"), json);
        last = (long long)json_integer_value(json_object_get(answer, "last"));
        first = false;
        if (ferror(stdout)) { /* whoever read it has gone */
            json_decref(answer);
            return NP_EXIT_OK;
        }
    }
    return code;
}

static int run(const char *path, bool json)
{
    int code = NP_EXIT_OK;
    json_t *answer = ask(path, 0, false, &code);
    if (!answer)
        return code;
    if (json) {
        json_dumpf(answer, stdout, JSON_INDENT(2) | JSON_ENSURE_ASCII);
        puts("");
    } else {
        show(json_object_get(answer, "events"), false);
    }
    json_decref(answer);
    return code;
}

static void usage(void)
{
    puts("usage: nameplate events [--follow] [--json] [--config FILE | --control SOCKET]\n\n"
         "What happened on the box since it was started, the last 128 of it: changes of addresses (seen, answered by "
         "the\n"
         "box itself, pushed to HQ, visible at the zone's name servers, each with the time since it was seen and the\n"
         "change's #number), certificates, HQ, the doctor's verdicts.\n\n"
         "  --follow          go on with what happens from now on\n"
         "  --json            as JSON (docs/schema/events.schema.json); with --follow one event a line\n"
         "  --config FILE     configuration that names the run folder (default " NP_DEFAULT_CONFIG ")\n"
         "  --control SOCKET  the agent's control socket itself\n\n"
         "Exit status 3: the agent is not running or not reachable.");
}

int np_events_verb_main(int argc, char **argv)
{
    bool follows = false, json = false;
    const struct np_ask_flag flags[] = {{"follow", &follows}, {"json", &json}, {NULL, NULL}};
    char path[NP_ASK_PATH_MAX];
    int code = np_ask_options(argc, argv, usage, flags, path);
    if (code)
        return code == NP_ASK_HELPED ? NP_EXIT_OK : code;
    return follows ? follow(path, json) : run(path, json);
}

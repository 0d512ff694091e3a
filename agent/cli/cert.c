#include "agent/cli/cert.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/cli/ask.h"
#include "agent/cli/cli.h"

static void usage(void)
{
    puts("usage: nameplate cert [--json] [--config FILE | --control SOCKET]\n\n"
         "Shows the certificate that this box has: names, issuer, validity, and the other servers of the machine that\n"
         "present it.\n\n"
         "  --json            the same as JSON (docs/schema/cert.schema.json)\n"
         "  --config FILE     configuration that names the run folder (default " NP_DEFAULT_CONFIG ")\n"
         "  --control SOCKET  the agent's control socket itself\n\n"
         "Exit status 0: it is valid, 1: it is not, or there is none yet, 3: the agent is not reachable.");
}

static const char *text(const json_t *object, const char *member)
{
    const char *value = json_string_value(json_object_get(object, member));
    return value ? value : "-";
}

static void show(const json_t *status)
{
    const json_t *certificate = json_object_get(status, "certificate"), *name, *target;
    size_t i;
    if (!json_is_object(certificate)) {
        printf("There is no certificate yet (%s: %s).\n", text(status, "state"), text(status, "reason"));
        return;
    }
    bool valid = json_is_true(json_object_get(certificate, "valid"));
    printf("%-8s %s\n", "url", text(status, "url"));
    json_array_foreach(json_object_get(certificate, "names"), i, name)
    {
        printf("%-8s %s\n", i ? "" : "names", json_string_value(name) ? json_string_value(name) : "-");
    }
    printf("%-8s %s\n", "issuer", text(certificate, "issuer"));
    printf("%-8s %s\n%-8s %s, %lld days left%s\n", "from", text(certificate, "not_before"), "until",
           text(certificate, "not_after"), (long long)json_integer_value(json_object_get(certificate, "days_left")),
           valid ? "" : ": NOT VALID now, or not for the name");
    json_array_foreach(json_object_get(json_object_get(status, "deploy"), "targets"), i, target)
    {
        const char *why = text(target, "why");
        printf("%-8s %s: %s%s%s\n", i ? "" : "servers", text(target, "target"), text(target, "outcome"),
               why[0] ? ", " : "", why);
    }
}

static int run(const char *path, bool json)
{
    char *answer;
    int rc = np_ask(path, "status", &answer);
    if (rc)
        return np_ask_unreachable("cert", path, rc);
    json_t *status = json_loads(answer, 0, NULL);
    free(answer);
    if (!json_is_object(status)) {
        fprintf(stderr, "nameplate cert: the answer from %s cannot be read\n", path);
        json_decref(status);
        return NP_EXIT_FAILURE;
    }
    bool valid = json_is_true(json_object_get(json_object_get(status, "certificate"), "valid"));
    if (json) {
        json_t *part = json_pack("{s:O?,s:O?,s:O?,s:O?}", "certificate", json_object_get(status, "certificate"),
                                 "names", json_object_get(status, "names"), "url", json_object_get(status, "url"),
                                 "deploy", json_object_get(status, "deploy"));
        json_dumpf(part, stdout, JSON_INDENT(2) | JSON_ENSURE_ASCII);
        puts("");
        json_decref(part);
    } else {
        show(status);
    }
    json_decref(status);
    return valid ? NP_EXIT_OK : NP_EXIT_FAILURE;
}

int np_cert_verb_main(int argc, char **argv)
{
    bool json = false;
    const struct np_ask_flag flags[] = {{"json", &json}, {NULL, NULL}};
    char path[NP_ASK_PATH_MAX];
    int code = np_ask_options(argc, argv, usage, flags, path);
    if (code)
        return code == NP_ASK_HELPED ? NP_EXIT_OK : code;
    return run(path, json);
}

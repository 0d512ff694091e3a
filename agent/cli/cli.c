#include "agent/cli/cli.h"

#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>

#include "agent/agent.h"
#include "agent/cli/bundle.h"
#include "agent/cli/cert.h"
#include "agent/cli/config.h"
#include "agent/cli/deploy.h"
#include "agent/cli/doctor.h"
#include "agent/cli/events.h"
#include "agent/cli/name.h"
#include "agent/cli/renew.h"
#include "agent/cli/reset.h"
#include "agent/cli/status.h"
#include "agent/config.h"
#include "agent/front/front.h"
#include "agent/identity/clock.h"
#include "resolver/base/config.h"
#include "resolver/base/error.h"
#include "resolver/base/log.h"
#include "resolver/base/sandbox.h"
#include "resolver/base/text.h"
#include "resolver/resolver.h"

static int agent_main(int argc, char **argv);
static int version_main(int argc, char **argv);
static int help_main(int argc, char **argv);
static int resolver_child_main(int argc, char **argv);
static int front_child_main(int argc, char **argv);

/* What can be typed. hidden: the roles of the agent's children. */
struct verb {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *help;
    bool hidden;
};

static const struct verb verbs[] = {
    {"agent", agent_main, "run the daemon: name, certificate, resolver, https", false},
    {"resolver", np_resolver_verb_main, "run the resolver alone, on a view from a file", false},
    {"status", np_status_verb_main, "show what the running agent does", false},
    {"doctor", np_doctor_verb_main, "find out why the box's name does not work, and how to mend it", false},
    {"events", np_events_verb_main, "show what happened: addresses seen, answered, pushed, visible", false},
    {"config", np_config_verb_main, "check or show the configuration; print lines for other programs of the home",
     false},
    {"deploy", np_deploy_verb_main, "give the certificate to other servers of this machine (root)", false},
    {"cert", np_cert_verb_main, "show the certificate, and which servers present it", false},
    {"name", np_name_verb_main, "show the box's names, ask HQ for one of your own choice", false},
    {"renew", np_renew_verb_main, "ask HQ for a newer certificate, or for one with another key", false},
    {"reset", np_reset_verb_main, "leave HQ and begin anew as a new device", false},
    {"support-bundle", np_bundle_verb_main, "write what somebody who helps wants to see, without a secret", false},
    {"version", version_main, "print the version", false},
    {"help", help_main, "print this", false},
    {"child-resolver", resolver_child_main, NULL, true},
    {"child-front", front_child_main, NULL, true},
};

#define VERB_COUNT (sizeof verbs / sizeof verbs[0])

static void usage(FILE *out)
{
    fputs("usage: nameplate VERB [OPTION...]\n\n", out);
    for (size_t i = 0; i < VERB_COUNT; i++) {
        if (!verbs[i].hidden)
            fprintf(out, "  %-14s %s\n", verbs[i].name, verbs[i].help);
    }
    fputs("\n`nameplate VERB --help` tells more. Exit status: 0 done, 1 failed, 2 wrong usage, 3 the agent is not "
          "reachable.\n",
          out);
}

static int help_main(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    usage(stdout);
    return NP_EXIT_OK;
}

static void version_json(void)
{
    char built[32];
    struct tm tm;
    time_t seconds = (time_t)np_clock_build_s();
    gmtime_r(&seconds, &tm);
    strftime(built, sizeof built, "%Y-%m-%dT%H:%M:%SZ", &tm);
    printf("{\"program\": \"nameplate\", \"version\": \"%s\", \"built\": \"%s\"}\n", NP_VERSION, built);
}

static int version_main(int argc, char **argv)
{
    static const struct option options[] = {
        {"json", no_argument, NULL, 'j'}, {"help", no_argument, NULL, 'h'}, {NULL, 0, NULL, 0}};
    bool json = false;
    for (int option; (option = getopt_long(argc, argv, "jh", options, NULL)) != -1;) {
        if (option == 'h') {
            puts("usage: nameplate version [--json]\n\n"
                 "  --json  with the moment of the build, as JSON (docs/schema/version.schema.json)\n\n"
                 "Exit status 0: printed.");
            return NP_EXIT_OK;
        }
        if (option != 'j')
            return NP_EXIT_USAGE; /* getopt said why */
        json = true;
    }
    if (optind < argc) {
        fprintf(stderr, "nameplate version: unexpected '%.40s'\n", argv[optind]);
        return NP_EXIT_USAGE;
    }
    if (json)
        version_json();
    else
        puts("nameplate " NP_VERSION);
    return NP_EXIT_OK;
}

/* A child of the agent: log level from its environment, then no way back out of the sandbox. */
static int enter_child(const char *program, const char *name, enum np_sandbox_role role)
{
    enum np_log_level level = NP_LOG_INFO;
    struct np_sandbox_report report;
    char text[NP_SANDBOX_TEXT_MAX];
    const char *wanted = getenv("NP_LOG_LEVEL");
    if (wanted)
        np_log_level_parse(wanted, &level);
    np_log_init(program, level);
    prctl(PR_SET_NAME, name, 0, 0, 0); /* it was executed as /proc/self/exe: "exe" tells ps readers nothing */
    int rc = np_sandbox_enter(role, &report);
    if (rc)
        np_error("sandbox: %s", np_strerror(rc));
    else if (report.landlock < 0 || report.seccomp < 0)
        np_warning("this kernel has no whole sandbox: %s", np_sandbox_format(&report, text));
    else
        np_debug("sandbox: %s", np_sandbox_format(&report, text));
    return rc;
}

static int resolver_child_main(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    return enter_child("nameplate[resolver]", "np-resolver", NP_SANDBOX_RESOLVER) ? NP_EXIT_FAILURE
                                                                                  : np_resolver_child_main();
}

static int front_child_main(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    return enter_child("nameplate[front]", "np-front", NP_SANDBOX_FRONT) ? NP_EXIT_FAILURE : np_front_child_main();
}

static void agent_usage(FILE *out)
{
    fputs("usage: nameplate agent [--config FILE] [--check]\n\n"
          "  --config FILE  configuration (default " NP_DEFAULT_CONFIG ")\n"
          "  --check        read the configuration, say what is wrong with it, and end\n\n"
          "Exit status 0: ended by SIGTERM, or checked and right, 1: it cannot run; what is wrong is said.\n\n"
          "Keys of the file:\n",
          out);
    np_config_describe(np_agent_config_keys, out);
}

static int agent_main(int argc, char **argv)
{
    static const struct option options[] = {{"config", required_argument, NULL, 'c'},
                                            {"check", no_argument, NULL, 'k'},
                                            {"help", no_argument, NULL, 'h'},
                                            {NULL, 0, NULL, 0}};
    const char *path = NP_DEFAULT_CONFIG;
    char error[NP_CONFIG_ERROR_MAX];
    bool check = false;
    for (int option; (option = getopt_long(argc, argv, "c:h", options, NULL)) != -1;) {
        if (option == 'h') {
            agent_usage(stdout);
            return NP_EXIT_OK;
        }
        if (option == 'c')
            path = optarg;
        else if (option == 'k')
            check = true;
        else
            return NP_EXIT_USAGE; /* getopt said why */
    }
    if (optind < argc) {
        fprintf(stderr, "nameplate agent: unexpected '%s'\n", argv[optind]);
        return NP_EXIT_USAGE;
    }
    struct np_agent_config *config = malloc(sizeof *config);
    if (!config || np_agent_config_load(path, config, error)) {
        fprintf(stderr, "nameplate agent: %s\n", config ? error : "out of memory");
        free(config);
        return NP_EXIT_FAILURE;
    }
    int code = NP_EXIT_OK;
    if (!check) {
        np_log_init("nameplate[agent]", config->log_level);
        code = np_agent_run(config) ? NP_EXIT_FAILURE : NP_EXIT_OK;
    }
    np_wipe(config, sizeof *config);
    free(config);
    return code;
}

int np_cli_main(int argc, char **argv)
{
    const char *names[VERB_COUNT], *name = argc > 1 ? argv[1] : "";
    size_t count = 0;
    if (argc < 2) {
        usage(stderr);
        return NP_EXIT_USAGE;
    }
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0)
        name = "help";
    if (strcmp(name, "--version") == 0)
        name = "version";
    for (size_t i = 0; i < VERB_COUNT; i++) {
        if (strcmp(verbs[i].name, name) == 0)
            return verbs[i].run(argc - 1, argv + 1);
        if (!verbs[i].hidden)
            names[count++] = verbs[i].name;
    }
    const char *near = np_nearest(name, names, count);
    fprintf(stderr, "nameplate: unknown verb '%.40s'%s%s%s\n", name, near ? ", did you mean '" : "", near ? near : "",
            near ? "'?" : "; see nameplate help");
    return NP_EXIT_USAGE;
}

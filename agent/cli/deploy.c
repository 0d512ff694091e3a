#include "agent/cli/deploy.h"

#include <errno.h>
#include <getopt.h>
#include <jansson.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <time.h>
#include <unistd.h>

#include "agent/certificate/deploy.h"
#include "agent/certificate/package.h"
#include "agent/certificate/pem.h"
#include "agent/certificate/x509.h"
#include "agent/cli/cli.h"
#include "agent/config.h"
#include "agent/identity/flash.h"
#include "resolver/base/config.h"
#include "resolver/base/error.h"
#include "resolver/base/file.h"
#include "resolver/base/log.h"
#include "resolver/base/text.h"

#define VERB           "deploy"
#define DEFAULT_FOLDER "/etc/nameplate/deploy.d"
#define LEAF_MAX       16384
#define AFTER_S        30

struct options {
    const char *config, *folder, *report, *after;
    bool check, json, follow;
};

/* The work of one run. */
struct deployment {
    struct np_deploy_target targets[NP_DEPLOY_TARGETS_MAX];
    struct np_deploy_result results[NP_DEPLOY_TARGETS_MAX];
    size_t count;
    struct np_state state;
    struct np_x509 leaf;
    struct np_package package; /* the chain, checked and written anew: what a server gets is certificates alone */
    struct np_deploy_certificate certificate;
};

static void usage(FILE *out)
{
    fputs(
        "usage: nameplate deploy [--check | --follow [--after PROGRAM]] [--config FILE] [--targets FOLDER]\n"
        "                        [--report FILE] [--json]\n\n"
        "Gives the box's certificate and key to other servers of this machine, as root: writes their files, has them\n"
        "reload, and shakes hands with them to see what they really present. The agent has it run after each new\n"
        "certificate (nameplate-deploy.path); to run it by hand does no harm.\n\n"
        "  --check           read the targets, say what is wrong with them, and end\n"
        "  --config FILE     configuration that names the state folder (default " NP_DEFAULT_CONFIG ")\n"
        "  --targets FOLDER  one file for each server (default " DEFAULT_FOLDER ")\n"
        "  --report FILE     write the outcome there, for the agent (its deploy-report =)\n"
        "  --follow          stay, and deploy whenever the agent asks: where no service manager watches its file\n"
        "  --after PROGRAM   with --follow: run it after each time, with the exit status and the certificate's name\n"
        "  --json            print the outcome as JSON (docs/schema/deploy.schema.json)\n\n"
        "Keys of a target's file:\n",
        out);
    np_config_describe(np_deploy_keys, out);
    fputs("\nExit status: 0 every server presents the certificate, 1 one does not, 2 wrong usage or configuration.\n",
          out);
}

/* 0, or an exit code; -1: help was asked for. */
static int read_options(int argc, char **argv, struct options *out_options)
{
    static const struct option options[] = {{"after", required_argument, NULL, 'a'},
                                            {"check", no_argument, NULL, 'k'},
                                            {"config", required_argument, NULL, 'c'},
                                            {"follow", no_argument, NULL, 'f'},
                                            {"json", no_argument, NULL, 'j'},
                                            {"targets", required_argument, NULL, 't'},
                                            {"report", required_argument, NULL, 'r'},
                                            {"help", no_argument, NULL, 'h'},
                                            {NULL, 0, NULL, 0}};
    *out_options = (struct options){.config = NP_DEFAULT_CONFIG, .folder = DEFAULT_FOLDER};
    for (int option; (option = getopt_long(argc, argv, "c:h", options, NULL)) != -1;) {
        if (option == 'h') {
            usage(stdout);
            return -1;
        }
        if (option == 'a')
            out_options->after = optarg;
        else if (option == 'f')
            out_options->follow = true;
        else if (option == 'k')
            out_options->check = true;
        else if (option == 'j')
            out_options->json = true;
        else if (option == 'c')
            out_options->config = optarg;
        else if (option == 't')
            out_options->folder = optarg;
        else if (option == 'r')
            out_options->report = optarg;
        else
            return NP_EXIT_USAGE; /* getopt said why */
    }
    if (optind < argc) {
        fprintf(stderr, "nameplate " VERB ": unexpected '%s'\n", argv[optind]);
        return NP_EXIT_USAGE;
    }
    if ((out_options->check && out_options->follow) || (out_options->after && !out_options->follow)) {
        fprintf(stderr, "nameplate " VERB ": --after goes with --follow, and --check with neither\n");
        return NP_EXIT_USAGE;
    }
    return 0;
}

/* The state folder belongs to another user than root: what is in it is checked as a package of HQ's is. */
static int load_certificate(const char *config_path, struct deployment *d)
{
    struct np_config *file;
    struct np_flash flash;
    struct np_flash_report report;
    char error[NP_CONFIG_ERROR_MAX];
    uint8_t der[LEAF_MAX];
    char why[NP_PACKAGE_WHY_MAX];
    if (np_config_load(config_path, np_agent_config_keys, &file, error)) {
        fprintf(stderr, "nameplate " VERB ": %s\n", error);
        return NP_EXIT_USAGE;
    }
    const char *folder = np_config_string(file, "state");
    np_flash_open_on(&flash, &np_disk_kernel, folder); /* read beside the agent, which holds the lock */
    int rc = np_flash_load(&flash, &d->state, &report);
    if (rc)
        fprintf(stderr, "nameplate " VERB ": the state in %s cannot be read: %s\n", folder, np_strerror(rc));
    else if (!d->state.has_chain)
        fprintf(stderr, "nameplate " VERB ": there is no certificate in %s yet: nothing to deploy\n", folder);
    np_config_free(file);
    if (rc || !d->state.has_chain)
        return NP_EXIT_FAILURE;
    struct np_pem pem = {.text = d->state.chain, .len = strlen(d->state.chain)};
    long len = np_pem_next(&pem, "CERTIFICATE", der, sizeof der);
    if (len <= 0 || np_x509_parse(der, (size_t)len, &d->leaf) || d->leaf.name_count == 0) {
        fprintf(stderr, "nameplate " VERB ": the stored certificate cannot be read\n");
        return NP_EXIT_FAILURE;
    }
    /* The box's clock may be wrong, and whether it serves this certificate is the agent's to say: dates are no reason.
     */
    struct np_package_wanted wanted = {.key = &d->state.tls.public,
                                       .names = (const char(*)[NP_NAME_MAX + 1]) d->leaf.names,
                                       .name_count = d->leaf.name_count,
                                       .now_s = time(NULL)};
    if (wanted.now_s < d->leaf.not_before_s)
        wanted.now_s = d->leaf.not_before_s;
    if (wanted.now_s > d->leaf.not_after_s)
        wanted.now_s = d->leaf.not_after_s;
    if (np_package_check(d->state.chain, strlen(d->state.chain), &wanted, &d->package, why)) {
        fprintf(stderr, "nameplate " VERB ": the stored certificate is not deployed: %s\n", why);
        return NP_EXIT_FAILURE;
    }
    d->certificate =
        (struct np_deploy_certificate){.chain = d->package.chain, .key = &d->state.tls, .name = d->leaf.names[0]};
    np_sha256(der, (size_t)len, d->certificate.leaf_sha256);
    return 0;
}

/* docs/schema/deploy.schema.json */
static json_t *report_of(const struct deployment *d)
{
    char hex[NP_HEX_LEN(32)], when[NP_TIME_TEXT_MAX];
    json_t *targets = json_array();
    np_time_format(time(NULL), when);
    np_hex_encode(d->certificate.leaf_sha256, 32, hex);
    for (size_t i = 0; i < d->count; i++)
        json_array_append_new(targets,
                              json_pack("{s:s,s:s,s:b,s:i,s:s}", "target", d->targets[i].name, "outcome",
                                        np_deploy_outcome_name(d->results[i].outcome), "wrote", d->results[i].wrote,
                                        "attempts", (int)d->results[i].attempts, "why", d->results[i].why));
    return json_pack("{s:s,s:s,s:s,s:o}", "time", when, "name", d->certificate.name, "leaf_sha256", hex, "targets",
                     targets);
}

static int deploy(struct deployment *d, const struct options *options)
{
    int code = NP_EXIT_OK;
    for (size_t i = 0; i < d->count; i++) {
        const struct np_deploy_target *target = &d->targets[i];
        struct np_deploy_result *result = &d->results[i];
        int rc = np_deploy_run(target, &d->certificate, result);
        if (rc) {
            np_error("deploy: %s: %s: %s", target->name, np_deploy_outcome_name(result->outcome), result->why);
            code = NP_EXIT_FAILURE;
        } else if (result->wrote || result->attempts) {
            np_notice("deploy: %s presents the certificate of %s", target->name, d->certificate.name);
        }
    }
    json_t *report = report_of(d);
    char *text = report ? json_dumps(report, JSON_INDENT(2) | JSON_ENSURE_ASCII) : NULL;
    json_decref(report);
    if (!text)
        return NP_EXIT_FAILURE;
    if (options->json)
        puts(text);
    int rc = options->report ? np_file_write_atomic(options->report, text, strlen(text), 0644) : 0;
    if (rc) {
        np_error("deploy: %s cannot be written: %s", options->report, np_strerror(rc));
        code = NP_EXIT_FAILURE;
    }
    free(text);
    return code;
}

/* One run, from the targets' files to the report. */
static int run_once(const struct options *options, char out_name[NP_NAME_MAX + 1])
{
    char error[NP_CONFIG_ERROR_MAX];
    int code = NP_EXIT_OK;
    struct deployment *d = calloc(1, sizeof *d);
    if (!d)
        return NP_EXIT_FAILURE;
    if (np_deploy_targets_load(options->folder, d->targets, &d->count, error)) {
        fprintf(stderr, "nameplate " VERB ": %s\n", error);
        code = NP_EXIT_USAGE;
    } else if (d->count == 0 && !options->follow) {
        fprintf(stderr, "nameplate " VERB ": no target in %s: nothing to do\n", options->folder);
    } else if (options->check) {
        for (size_t i = 0; i < d->count; i++)
            printf("%s: good\n", d->targets[i].name);
    } else {
        code = load_certificate(options->config, d);
        if (code == 0) {
            snprintf(out_name, NP_NAME_MAX + 1, "%s", d->certificate.name);
            code = deploy(d, options);
        }
    }
    np_wipe(d, sizeof *d);
    free(d);
    return code;
}

static void run_after(const char *program, int code, const char *name)
{
    char status[16], why[NP_PROGRAM_WHY_MAX] = "";
    const char *argv[] = {program, status, name, NULL};
    snprintf(status, sizeof status, "%d", code);
    int rc = np_program_run(program, "it", argv, AFTER_S, why);
    if (rc)
        np_warning("deploy: %s: %s", program, why[0] ? why : np_strerror(rc));
}

/* Waits until the agent's file is written anew. 0 or -errno. */
static int wait_for_agent(int fd)
{
    uint8_t events[4096] __attribute__((aligned(__alignof__(struct inotify_event))));
    for (;;) {
        ssize_t n = read(fd, events, sizeof events);
        if (n < 0 && errno != EINTR)
            return -errno;
        for (ssize_t at = 0; at < n;) {
            const struct inotify_event *event = (const void *)(events + at);
            if ((event->len && strcmp(event->name, NP_DEPLOY_TRIGGER) == 0) || (event->mask & IN_Q_OVERFLOW))
                return 0;
            if (event->mask & IN_IGNORED)
                return -ENOENT;
            at += (ssize_t)(sizeof *event + event->len);
        }
    }
}

/* Deploys now, and then whenever the agent asks; ends with an error when its run folder goes. */
static int follow(const struct options *options)
{
    struct np_config *file;
    char error[NP_CONFIG_ERROR_MAX];
    if (np_config_load(options->config, np_agent_config_keys, &file, error)) {
        fprintf(stderr, "nameplate " VERB ": %s\n", error);
        return NP_EXIT_USAGE;
    }
    const char *run = np_config_string(file, "run");
    int fd = inotify_init1(IN_CLOEXEC), rc = fd < 0 ? -errno : 0;
    if (rc == 0 && inotify_add_watch(fd, run, IN_CLOSE_WRITE | IN_MOVED_TO | IN_ONLYDIR) < 0)
        rc = -errno;
    while (rc == 0) {
        char name[NP_NAME_MAX + 1] = "";
        int code = run_once(options, name);
        if (options->after)
            run_after(options->after, code, name);
        rc = wait_for_agent(fd);
    }
    fprintf(stderr, "nameplate " VERB ": %s: %s\n", run, np_strerror(rc));
    if (fd >= 0)
        close(fd);
    np_config_free(file);
    return NP_EXIT_FAILURE;
}

int np_deploy_verb_main(int argc, char **argv)
{
    struct options options;
    int code = read_options(argc, argv, &options);
    if (code)
        return code < 0 ? NP_EXIT_OK : code;
    np_log_init("nameplate[deploy]", NP_LOG_INFO);
    signal(SIGPIPE, SIG_IGN);
    char name[NP_NAME_MAX + 1];
    return options.follow ? follow(&options) : run_once(&options, name);
}

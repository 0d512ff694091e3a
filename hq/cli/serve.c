/* `nameplate-hq serve`: the loop, the signals, the service manager, and giving up root. */
#include <errno.h>
#include <getopt.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>
#include <uv.h>

#include "hq/cli/verb.h"
#include "hq/server.h"
#include "hq/zone/zone.h"
#include "resolver/base/error.h"
#include "resolver/base/log.h"
#include "resolver/base/notify.h"

static const char help[] = "nameplate-hq serve [--config FILE]\n"
                           "\n"
                           "Runs the server in the foreground until SIGTERM or SIGINT; logs go to standard error.\n"
                           "\n" NP_VERB_CONFIG_OPTION;

/* The running program. */
struct service {
    uv_loop_t loop;
    uv_signal_t sigterm, sigint;
    uv_timer_t watchdog;
    struct np_hq *hq;
    bool stopping, failed;
};

static void on_ready(void *ctx, const char *listening)
{
    (void)ctx;
    np_notice("ready: %s", listening);
    np_notify("READY=1");
}

static void stop(struct service *service);

static void on_ended(void *ctx)
{
    struct service *service = ctx;
    service->failed = true;
    np_notify("STOPPING=1");
    stop(service);
}

static void on_stopped(void *ctx)
{
    struct service *service = ctx;
    uv_close((uv_handle_t *)&service->sigterm, NULL);
    uv_close((uv_handle_t *)&service->sigint, NULL);
    uv_close((uv_handle_t *)&service->watchdog, NULL);
}

/* The loop turns: that is all that the service manager wants to know. */
static void on_watchdog(uv_timer_t *handle)
{
    (void)handle;
    np_notify("WATCHDOG=1");
}

static void stop(struct service *service)
{
    if (service->stopping)
        return;
    service->stopping = true;
    np_hq_stop(service->hq, on_stopped, service);
}

static void on_signal(uv_signal_t *handle, int number)
{
    np_notice("stopping: %s", number == SIGTERM ? "SIGTERM" : "SIGINT");
    np_notify("STOPPING=1");
    stop(handle->data);
}

/* Looks up the user to become: -1 and -1 where none is configured. */
static int find_user(const char *name, uid_t *out_uid, gid_t *out_gid)
{
    *out_uid = (uid_t)-1;
    *out_gid = (gid_t)-1;
    if (!*name)
        return 0;
    const struct passwd *entry = getpwnam(name);
    if (!entry) {
        np_error("user = %s: there is no such user; 'adduser --system %s' makes one", name, name);
        return NP_EXIT_FAILED;
    }
    if (geteuid() == entry->pw_uid)
        return 0; /* the service manager has seen to it */
    if (geteuid() != 0) {
        np_error("user = %s: only root can become another user; start as root, or take the line out", name);
        return NP_EXIT_FAILED;
    }
    *out_uid = entry->pw_uid;
    *out_gid = entry->pw_gid;
    return 0;
}

static int drop_privileges(uid_t uid, gid_t gid)
{
    if (uid == (uid_t)-1)
        return 0;
    if (setgroups(0, NULL) || setresgid(gid, gid, gid) || setresuid(uid, uid, uid))
        return -errno;
    return 0;
}

static int start(struct service *service, const struct np_config *config, uid_t uid, gid_t gid)
{
    char error[NP_HQ_ERROR_MAX] = "";
    int rc = np_hq_new(&service->loop, config, uid, gid, &service->hq, error);
    if (rc) {
        np_error("%s", error);
        return rc;
    }
    rc = drop_privileges(uid, gid);
    if (rc) {
        np_error("privileges cannot be dropped: %s", np_strerror(rc));
        return rc;
    }
    /* What a service manager gave us for low ports is ours: the name server's process is born without it. */
    (void)prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
    prctl(PR_SET_DUMPABLE, 0); /* keys are in this process: no core, no ptrace by the same user */
    const struct np_hq_events events = {.ready = on_ready, .ended = on_ended, .ctx = service};
    rc = np_hq_start(service->hq, &events, error);
    if (rc)
        np_error("%s", error);
    return rc;
}

static int serve(const struct np_config *config, const struct np_hq_config *values)
{
    struct service service = {0};
    uid_t uid;
    gid_t gid;
    if (find_user(values->user, &uid, &gid))
        return NP_EXIT_FAILED;
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN); /* a limit on files is to be an error like a full disk */
    uv_loop_init(&service.loop);
    uv_signal_init(&service.loop, &service.sigterm);
    uv_signal_init(&service.loop, &service.sigint);
    uv_timer_init(&service.loop, &service.watchdog);
    service.sigterm.data = service.sigint.data = &service;
    int rc = start(&service, config, uid, gid);
    if (rc == 0) {
        uv_signal_start(&service.sigterm, on_signal, SIGTERM);
        uv_signal_start(&service.sigint, on_signal, SIGINT);
        uint64_t watchdog_ms = (uint64_t)np_notify_watchdog_ms();
        if (watchdog_ms)
            uv_timer_start(&service.watchdog, on_watchdog, 0, watchdog_ms);
    } else if (service.hq) {
        stop(&service);
    } else {
        on_stopped(&service);
    }
    uv_run(&service.loop, UV_RUN_DEFAULT);
    np_hq_free(service.hq);
    int closed = uv_loop_close(&service.loop);
    if (closed)
        np_error("internal error: the loop still has handles (%s)", np_strerror(closed));
    return rc || service.failed ? NP_EXIT_FAILED : EXIT_SUCCESS;
}

static int run_serve(int argc, char **argv)
{
    struct np_config *config;
    struct np_hq_config values;
    const char *config_path;
    bool json;
    int status = np_verb_read_options(argc, argv, &config_path, &json);
    if (status)
        return status;
    if (optind != argc || json)
        return np_verb_usage_error("serve: '%s' is not expected", json ? "--json" : argv[optind]);
    np_log_init("nameplate-hq", NP_LOG_INFO);
    status = np_verb_load_config(config_path, &config, &values);
    if (status)
        return status;
    np_log_init("nameplate-hq", values.log_level);
    status = serve(config, &values);
    np_config_free(config);
    return status;
}

const struct np_verb np_serve_verb = {
    .name = "serve",
    .run = run_serve,
    .synopsis = "  nameplate-hq serve [--config FILE]                            run the server\n",
    .help = help,
    .keys = np_hq_config_keys,
};

/* Hidden: the zone's DNS server, started by serve. */
static int run_child_dns(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    return np_zone_child_main();
}

const struct np_verb np_child_dns_verb = {.name = "child-dns", .run = run_child_dns};

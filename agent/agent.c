#include "agent/agent.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <time.h>

#include "agent/agent_private.h"
#include "resolver/base/error.h"
#include "resolver/base/file.h"
#include "resolver/base/log.h"
#include "resolver/base/memory.h"
#include "resolver/base/notify.h"
#include "resolver/base/random.h"
#include "resolver/base/text.h"

#define TRIM_SOON_MS 2000                         /* what comes with it is over by then */
#define TRIM_LATE_MS (NP_HQCLIENT_IDLE_MS + 5000) /* a kept connection is closed */

int64_t np_agent_now_ms(struct np_agent *agent)
{
    uv_update_time(&agent->loop);
    return (int64_t)uv_now(&agent->loop);
}

int64_t np_agent_steady_s(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_BOOTTIME, &ts);
    return (int64_t)ts.tv_sec;
}

int64_t np_agent_judged_s(const struct np_agent *agent)
{
    return np_clock_judge(&agent->clock, (int64_t)time(NULL), np_agent_steady_s());
}

static void on_timer(uv_timer_t *timer);

void np_agent_arm(struct np_agent *agent)
{
    if (agent->stopping)
        return;
    int64_t due_ms = np_jobs_next_due(&agent->jobs), now_ms = np_agent_now_ms(agent);
    if (due_ms == NP_JOB_NEVER)
        uv_timer_stop(&agent->timer);
    else
        uv_timer_start(&agent->timer, on_timer, due_ms > now_ms ? (uint64_t)(due_ms - now_ms) : 0, 0);
}

void np_agent_was_busy(struct np_agent *agent)
{
    agent->busy_ms = np_agent_now_ms(agent);
    np_jobs_schedule(&agent->jobs, NP_JOB_TRIM, agent->busy_ms + TRIM_SOON_MS);
}

static void trim(struct np_agent *agent)
{
    int64_t later_ms = agent->busy_ms + TRIM_LATE_MS;
    np_memory_trim();
    if (np_agent_now_ms(agent) < later_ms)
        np_jobs_schedule(&agent->jobs, NP_JOB_TRIM, later_ms);
}

/* The loop turns and its jobs are done: that is all that the service manager wants to know. */
static void watchdog(struct np_agent *agent)
{
    int64_t every_ms = np_notify_watchdog_ms();
    if (every_ms == 0)
        return;
    np_notify("WATCHDOG=1");
    np_jobs_reschedule(&agent->jobs, NP_JOB_WATCHDOG, np_agent_now_ms(agent) + every_ms);
}

static void on_timer(uv_timer_t *timer)
{
    struct np_agent *agent = timer->data;
    int job;
    while (!agent->stopping && (job = np_jobs_take_due(&agent->jobs, np_agent_now_ms(agent))) >= 0) {
        switch (job) {
        case NP_JOB_ENROL:
            np_agent_enrol_simple(agent, NP_EVENT_TIMER);
            break;
        case NP_JOB_LISTEN:
            np_agent_listen(agent);
            break;
        case NP_JOB_CERTIFICATE:
            np_agent_update_view(agent);
            np_agent_enrol_simple(agent, NP_EVENT_TIMER); /* the wall clock may have jumped: is it time to look? */
            break;
        case NP_JOB_ZONE:
            np_agent_zone_due(agent);
            break;
        case NP_JOB_DEPLOY:
            np_agent_deploy_look(agent);
            break;
        case NP_JOB_WATCHDOG:
            watchdog(agent);
            break;
        case NP_JOB_REPORT:
            np_agent_report_due(agent);
            break;
        case NP_JOB_EVENTS:
            np_agent_events_due(agent);
            break;
        case NP_JOB_VISIBLE:
            np_agent_visible_due(agent);
            break;
        case NP_JOB_DOCTOR:
            np_agent_doctor_due(agent);
            break;
        case NP_JOB_DOCTOR_SERVERS:
            np_agent_doctor_servers_due(agent);
            break;
        case NP_JOB_TRIM:
            trim(agent);
            break;
        case NP_JOB_DOUBT:
            np_agent_trust(agent);
            break;
        case NP_JOB_DOCTOR_END:
            np_agent_doctor_end_due(agent);
            break;
        }
    }
    np_agent_arm(agent);
}

/* "leave": how it stands. "leave REASON" and "leave REASON local": begins. */
static char *on_leave(struct np_agent *agent, const char *words)
{
    static const char *const reasons[] = {"reset", "resale", "compromise"};
    struct np_enrol_event event = {.type = NP_EVENT_LEAVE};
    size_t i = 0;
    if (!words[0])
        return np_agent_leave_status(agent);
    while (i < 3 && strncmp(words, reasons[i], strlen(reasons[i])) != 0)
        i++;
    const char *rest = i < 3 ? words + strlen(reasons[i]) : "?";
    event.local = strcmp(rest, " local") == 0;
    if (i == 3 || (rest[0] && !event.local))
        return strdup("{\"error\":\"leave wants reset, resale or compromise, and may have local after it\"}\n");
    event.leave = (enum np_leave_reason)i;
    np_agent_enrol(agent, &event);
    return np_agent_leave_status(agent);
}

/* "renew", "renew new-key". */
static char *on_renew(struct np_agent *agent, bool new_key, bool owner)
{
    const struct np_enrol *e = &agent->enrol;
    if (!owner)
        return strdup("{\"error\":\"only root and the agent's own user may ask for a certificate\"}\n");
    if (e->blocked)
        return strdup("{\"error\":\"HQ wants no requests of this box (nameplate status)\"}\n");
    if (!agent->state.has_chain)
        return strdup("{\"error\":\"there is no certificate yet; the box is getting its first one\"}\n");
    np_agent_enrol_simple(agent, new_key ? NP_EVENT_ROTATE : NP_EVENT_RENEW);
    return strdup("{\"asked\":true}\n");
}

static void on_control(void *ctx, uint64_t ticket, const char *request, bool owner)
{
    static const char *const reports[] = {[NP_REPORT_STATUS] = "status",
                                          [NP_REPORT_PROMETHEUS] = "metrics prometheus",
                                          [NP_REPORT_OPENMETRICS] = "metrics openmetrics"};
    struct np_agent *agent = ctx;
    char *answer;
    for (size_t i = 0; i < sizeof reports / sizeof *reports; i++) {
        if (strcmp(request, reports[i]) != 0)
            continue;
        np_agent_report(agent, ticket, (enum np_agent_report)i);
        return;
    }
    if (strcmp(request, "doctor") == 0) {
        np_agent_doctor_asked(agent, ticket);
        return;
    }
    if (strncmp(request, "events ", 7) == 0) {
        np_agent_events_asked(agent, ticket, request + 7);
        return;
    }
    if (strcmp(request, "name") == 0 || strncmp(request, "name ", 5) == 0)
        answer = np_agent_name_asked(agent, request + (request[4] ? 5 : 4), owner);
    else if (strcmp(request, "renew") == 0 || strcmp(request, "renew new-key") == 0)
        answer = on_renew(agent, request[5] != 0, owner);
    else if (strcmp(request, "leave") == 0)
        answer = on_leave(agent, "");
    else if (strncmp(request, "leave ", 6) == 0 && !owner)
        answer = strdup("{\"error\":\"only root and the agent's own user may reset this box\"}\n");
    else if (strncmp(request, "leave ", 6) == 0)
        answer = on_leave(agent, request + 6);
    else
        answer =
            strdup("{\"error\":\"unknown request; known: status, metrics, doctor, events, name, renew, leave\"}\n");
    np_control_answer_take(agent->control, ticket, answer);
}

static void on_child_closed(void *ctx)
{
    (void)ctx;
}

/* Closes everything that has a handle; the loop then runs out. */
static void stop(struct np_agent *agent)
{
    if (agent->stopping)
        return;
    agent->stopping = true;
    uv_close((uv_handle_t *)&agent->timer, NULL);
    uv_close((uv_handle_t *)&agent->sigterm, NULL);
    uv_close((uv_handle_t *)&agent->sigint, NULL);
    uv_close((uv_handle_t *)&agent->sighup, NULL);
    np_agent_zone_stop(agent);
    np_agent_visible_stop(agent);
    np_agent_doctor_stop(agent);
    np_agent_servers_stop(agent);
    np_netwatch_close(agent->watch);
    np_wake_close(agent->wake);
    for (size_t i = 0; i < NP_UPSTREAM_FILES_MAX; i++)
        np_upstreams_close(agent->upstreams[i]);
    np_control_close(agent->control);
    np_child_close(agent->resolver, on_child_closed, NULL);
    np_child_close(agent->front, on_child_closed, NULL);
    if (agent->hq)
        np_hqclient_free(agent->hq, NULL, NULL);
    agent->watch = NULL;
    agent->wake = NULL;
    memset(agent->upstreams, 0, sizeof agent->upstreams);
    agent->control = NULL;
    agent->resolver = agent->front = NULL;
    agent->hq = NULL;
}

static void on_signal(uv_signal_t *handle, int number)
{
    np_notice("stopping (%s)", number == SIGTERM ? "SIGTERM" : "SIGINT");
    np_notify("STOPPING=1");
    stop(handle->data);
}

/* The network's manager says that something is new. The kernel has said so too: this is for what it does not tell, a
 * file of name servers on a file system that cannot be watched, say. */
static void on_hangup(uv_signal_t *handle, int number)
{
    (void)number;
    np_info("SIGHUP: everything is looked at again");
    np_agent_look_again(handle->data);
}

/* Keys are in this process's memory: nobody of the same user reads it, and no core holds it. */
static void harden(void)
{
    struct rlimit none = {0, 0};
#if !defined(__SANITIZE_ADDRESS__)
    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
        np_warning("cannot forbid reading this process's memory: %s", np_strerror(-errno));
#endif
    if (setrlimit(RLIMIT_CORE, &none) < 0)
        np_warning("cannot forbid core dumps: %s", np_strerror(-errno));
    signal(SIGPIPE, SIG_IGN);
}

static int load_state(struct np_agent *agent)
{
    const char *path = agent->config->state;
    int rc = np_flash_open(&agent->flash, path);
    if (rc == -EAGAIN) {
        np_error("state folder %s is in use: another nameplate agent runs", path);
        return rc;
    }
    if (rc) {
        np_error("state folder %s: %s", path, np_strerror(rc));
        return rc;
    }
    rc = np_flash_load(&agent->flash, &agent->state, &agent->flash_report);
    for (unsigned i = 0; i < agent->flash_report.damaged_count; i++)
        np_error("state folder %s: generation %llu is damaged: %s", path,
                 (unsigned long long)agent->flash_report.damaged[i], np_strerror(agent->flash_report.damage[i]));
    if (rc && agent->flash_report.damaged_count == 0) {
        np_error("state folder %s cannot be read: %s", path, np_strerror(rc));
        return rc;
    }
    /* An input or permission error is not damage: with a new identity the box would lose its name over it. */
    if (rc < 0 && rc > -1000) {
        np_error("state folder %s cannot be read, so the box does not start with a new identity", path);
        return rc;
    }
    if (rc == NP_E_VERSION) {
        np_error("state folder %s is of another version of nameplate, so the box does not start with a new identity: "
                 "install that version again, or empty the folder",
                 path);
        return rc;
    }
    if (rc)
        np_error("no generation of the state is whole: the box begins anew, as after a factory reset");
    else if (agent->flash_report.generation)
        np_info("state generation %llu: %s", (unsigned long long)agent->flash_report.generation,
                agent->state.name[0] ? agent->state.name : "not enrolled yet");
    np_clock_init(&agent->clock, agent->state.floor_s, np_agent_steady_s());
    return 0;
}

static void start_control(struct np_agent *agent)
{
    char path[NP_CONFIG_RUN_MAX + sizeof NP_CONTROL_NAME + 1];
    snprintf(path, sizeof path, "%s/%s", agent->config->run, NP_CONTROL_NAME);
    int rc = np_folder_make(agent->config->run, 0755);
    if (rc == 0)
        rc = np_control_new(&agent->loop, path, on_control, agent, &agent->control);
    if (rc)
        np_warning("control socket %s: %s; `nameplate status` will not work", path, np_strerror(rc));
}

static int start(struct np_agent *agent)
{
    int rc = load_state(agent);
    if (rc)
        return rc;
    if (np_agent_seed(agent))
        np_notice("the kernel's random pool is not ready yet: keys are made once it is");
    rc = np_agent_hq_start(agent);
    if (rc)
        return rc;
    start_control(agent);
    rc = np_agent_net_start(agent);
    if (rc)
        return rc;
    np_agent_log_certificate(agent, "from the state folder");
    np_agent_deploy_ask(agent);
    np_agent_event(agent, NP_HAPPENED_START, "nameplate %s starts", NP_VERSION);
    np_agent_doctor_plan(agent, NP_DOCTOR_FIRST_MS + np_random_below(NP_DOCTOR_FIRST_MS));
    np_agent_enrol_simple(agent, NP_EVENT_START);
    np_notify("READY=1");
    watchdog(agent);
    np_agent_arm(agent);
    return 0;
}

int np_agent_run(const struct np_agent_config *config)
{
    struct np_agent *agent = calloc(1, sizeof *agent);
    if (!agent) {
        np_error("%s", np_strerror(-ENOMEM));
        return 1;
    }
    agent->config = config;
    agent->flash.lock_fd = -1;
    np_jobs_init(&agent->jobs);
    harden();
    int rc = uv_loop_init(&agent->loop);
    if (rc) {
        np_error("event loop: %s", np_strerror(rc));
        free(agent);
        return 1;
    }
    uv_timer_init(&agent->loop, &agent->timer);
    uv_signal_init(&agent->loop, &agent->sigterm);
    uv_signal_init(&agent->loop, &agent->sigint);
    uv_signal_init(&agent->loop, &agent->sighup);
    agent->timer.data = agent->sigterm.data = agent->sigint.data = agent->sighup.data = agent;
    uv_signal_start(&agent->sigterm, on_signal, SIGTERM);
    uv_signal_start(&agent->sigint, on_signal, SIGINT);
    uv_signal_start(&agent->sighup, on_hangup, SIGHUP);
    np_notice("nameplate %s starts, HQ is %s", NP_VERSION, config->hq.text);
    rc = start(agent);
    if (rc)
        stop(agent);
    uv_run(&agent->loop, UV_RUN_DEFAULT);
    uv_loop_close(&agent->loop);
    np_listeners_close(&agent->listeners);
    np_agent_dot_close(agent);
    np_flash_close(&agent->flash);
    np_tls_anchors_free(agent->anchors);
    free(agent->view_json);
    free(agent->news_json);
    free(agent->doctor);
    np_wipe(agent, sizeof *agent);
    free(agent);
    return rc ? 1 : 0;
}

/* bench_fleet: thousands of boxes in one process, each with the agent's own state machine, against a real HQ.
 *
 *     bench_fleet BOXES URL SERVER:PORT ANCHORS FACTORY-MASTER [tls13]
 *
 * Reads phases from standard input, a line each, and answers each with a line of JSON when it has ended; ends with its
 * input. NAME=NUMBER parameters follow the phase's name, hq=PID among them (whose CPU time and peak memory are told,
 * apart from those of its DNS process and of the boxes).
 *
 *     enrol     within=MS deadline=S [certificate=0]   every box that is off is switched on, new, within that time, and
 *                                                      wants a name and a certificate (certificate=0: its CSR taken)
 *     power-on  within=MS deadline=S                   all lose their power and come back with another address: each
 *                                                      has it at HQ and has checked in
 *     churn     seconds=S rate=N deadline=S            N boxes a second get another address
 *     steady    seconds=S                              nothing happens but what boxes do by themselves: a day, where
 * HQ's checkin-interval is not more than that; every box checks in renew     deadline=S until every box has one
 * certificate more; none may expire
 *
 * Boxes keep their connections as the agent does, come from addresses of their own (127.64.0.0/10), and check HQ's
 * certificate and every chain. What differs from an agent: TLS and the signatures are OpenSSL's (4 ms of CPU a
 * handshake and 0.4 ms a signature are BearSSL's price), flash is memory, and the zone's answer at boot is what HQ last
 * said. docs/bench.md says what is made of the figures. */
#include <arpa/inet.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "resolver/base/error.h"
#include "resolver/base/random.h"
#include "tests/bench/fleet/box.h"
#include "tests/bench/fleet/crypto.h"

#define TICK_MS    20
#define LINE_SIZE  512
#define LOST_SHOWN 5 /* boxes of which it is told why they are not there yet */

enum phase_kind { PHASE_NONE, PHASE_ENROL, PHASE_POWER_ON, PHASE_CHURN, PHASE_STEADY, PHASE_RENEW, PHASES };

static const char *const phase_names[PHASES] = {"none", "enrol", "power-on", "churn", "steady", "renew"};
static const char *const request_names[BOX_REQUESTS] = {"none",      "nonce",   "enrol",    "csr",  "package",
                                                        "addresses", "session", "check-in", "leave"};
static const char *const milestone_names[BOX_MILESTONES] = {"name", "csr", "certificate", "address", "check-in"};

/* What a line asks for. */
struct phase {
    enum phase_kind kind;
    long within_ms, deadline_s, seconds, rate, certificate;
    pid_t hq;
};

struct fleet {
    uv_loop_t loop;
    uv_poll_t input;
    uv_timer_t tick;
    struct fleet_shared shared;
    struct box *boxes;
    unsigned count;
    char line[LINE_SIZE];
    size_t line_len;
    char host[NP_NAME_MAX + 1];

    struct phase phase;
    uint64_t begun_us;
    unsigned missing;  /* boxes that have not got there */
    unsigned changing; /* boxes whose new address HQ does not have */
    double changes_due;
    struct tally_times served, milestones[BOX_MILESTONES], changes;
    struct tally_use hq, dns, own;
};

static struct tally_use own_use(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (struct tally_use){.cpu_s = (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
                                       (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6};
}

/* ---- The end of a phase ---- */

static json_t *lost_boxes(const struct fleet *fleet)
{
    json_t *list = json_array();
    for (unsigned i = 0; i < fleet->count && json_array_size(list) < LOST_SHOWN; i++) {
        const struct box *box = &fleet->boxes[i];
        if (fleet->phase.kind == PHASE_CHURN ? box->changed_us != 0 : !box->done)
            json_array_append_new(list, json_pack("{s:i, s:s, s:s}", "box", (int)i, "state",
                                                  np_enrol_state_name(box->enrol.state), "reason", box->enrol.reason));
    }
    return list;
}

static json_t *use_since(pid_t pid, const struct tally_use *before)
{
    struct tally_use now = tally_process(pid);
    return json_pack("{s:f, s:I}", "cpu_s", now.cpu_s - before->cpu_s, "peak_rss_kib", (json_int_t)now.peak_rss_kib);
}

static void end_phase(struct fleet *fleet)
{
    unsigned expired = 0;
    json_t *requests = json_object(), *milestones = json_object();
    double seconds = (double)(box_now_us() - fleet->begun_us) / 1e6;
    for (unsigned i = 0; i < fleet->count; i++)
        expired += fleet->boxes[i].expired;
    for (int i = 0; i < BOX_REQUESTS; i++) {
        if (fleet->shared.requests[i].times.count || fleet->shared.requests[i].failed)
            json_object_set_new(requests, request_names[i], tally_requests_json(&fleet->shared.requests[i]));
    }
    for (int i = 0; i < BOX_MILESTONES; i++)
        json_object_set_new(milestones, milestone_names[i], tally_times_json(&fleet->milestones[i]));
    json_t *json = json_pack(
        "{s:s, s:i, s:f, s:i, s:o, s:i, s:I, s:I, s:o, s:o, s:o, s:o, s:o, s:o, s:f}", "phase",
        phase_names[fleet->phase.kind], "boxes", (int)fleet->count, "seconds", seconds, "lost", (int)fleet->missing,
        "lost_boxes", lost_boxes(fleet), "expired", (int)expired, "connections", (json_int_t)fleet->shared.connections,
        "connections_lost", (json_int_t)fleet->shared.connections_lost, "served", tally_times_json(&fleet->served),
        "milestones", milestones, "changes", tally_times_json(&fleet->changes), "requests", requests, "hq",
        use_since(fleet->phase.hq, &fleet->hq), "dns", use_since(tally_child(fleet->phase.hq), &fleet->dns),
        "boxes_cpu_s", own_use().cpu_s - fleet->own.cpu_s);
    json_dumpf(json, stdout, JSON_COMPACT | JSON_REAL_PRECISION(6));
    putchar('\n');
    fflush(stdout);
    json_decref(json);
    fleet->phase.kind = PHASE_NONE;
    uv_timer_stop(&fleet->tick);
}

/* ---- During a phase ---- */

/* Has the box what this phase is about? */
static bool is_done(const struct fleet *fleet, const struct box *box)
{
    switch (fleet->phase.kind) {
    case PHASE_ENROL:
        return box->seen[fleet->phase.certificate ? BOX_INSTALLED : BOX_CSR_TAKEN] > 0;
    case PHASE_POWER_ON:
        return box->seen[BOX_PUSHED] && box->seen[BOX_CHECKED_IN] && np_addresses_equal(&box->shown, &box->addresses);
    case PHASE_CHURN:
        return !box->changed_us;
    case PHASE_STEADY:
        return box->seen[BOX_CHECKED_IN] > 0;
    case PHASE_RENEW:
        return box->seen[BOX_INSTALLED] > 0;
    default:
        return false;
    }
}

static void on_reached(void *ctx, struct box *box, enum milestone milestone)
{
    struct fleet *fleet = ctx;
    uint64_t now = box_now_us();
    if (fleet->phase.kind == PHASE_NONE || !box->begun_us)
        return;
    if (box->seen[milestone] == 1)
        tally_add(&fleet->milestones[milestone], now - box->begun_us);
    if (milestone == BOX_PUSHED && box->changed_us && np_addresses_equal(&box->shown, &box->addresses)) {
        tally_add(&fleet->changes, now - box->changed_us);
        box->changed_us = 0;
        fleet->changing--;
    }
    if (fleet->phase.kind != PHASE_CHURN && !box->done && is_done(fleet, box)) {
        box->done = true;
        fleet->missing--;
        tally_add(&fleet->served, now - box->begun_us);
    }
}

static void change_addresses(struct fleet *fleet)
{
    fleet->changes_due += (double)fleet->phase.rate * TICK_MS / 1000;
    for (; fleet->changes_due >= 1; fleet->changes_due--) {
        struct box *box = &fleet->boxes[np_random_below(fleet->count)];
        struct np_addresses before = box->addresses;
        if (box->changed_us || !box->on)
            continue;
        box->changed_us = box_now_us();
        fleet->changing++;
        box_renumber(box);
        if (np_addresses_equal(&before, &box->addresses)) { /* the same again: no change */
            box->changed_us = 0;
            fleet->changing--;
        }
    }
}

static void look_at_expiry(struct fleet *fleet)
{
    int64_t now_s = time(NULL);
    for (unsigned i = 0; i < fleet->count; i++) {
        struct box *box = &fleet->boxes[i];
        box->expired = box->expired || (box->enrol.not_after_s && box->enrol.not_after_s < now_s);
    }
}

static void on_tick(uv_timer_t *timer)
{
    struct fleet *fleet = timer->data;
    const struct phase *phase = &fleet->phase;
    uint64_t passed_ms = (box_now_us() - fleet->begun_us) / 1000;
    bool timed = phase->kind == PHASE_CHURN || phase->kind == PHASE_STEADY;
    bool over = timed && passed_ms >= (uint64_t)phase->seconds * 1000;
    if (phase->kind == PHASE_RENEW)
        look_at_expiry(fleet);
    if (phase->kind == PHASE_CHURN && !over)
        change_addresses(fleet);
    if (phase->kind == PHASE_CHURN)
        fleet->missing = fleet->changing;
    if (timed ? over && (phase->kind == PHASE_STEADY || !fleet->changing) : fleet->missing == 0)
        end_phase(fleet);
    else if (phase->kind != PHASE_STEADY && passed_ms >= (uint64_t)phase->deadline_s * 1000)
        end_phase(fleet);
}

/* ---- The beginning of a phase ---- */

static void clear(struct fleet *fleet)
{
    fleet->begun_us = box_now_us();
    fleet->missing = fleet->count;
    fleet->changing = 0;
    fleet->changes_due = 0;
    fleet->shared.connections = fleet->shared.connections_lost = 0;
    tally_times_clear(&fleet->served);
    tally_times_clear(&fleet->changes);
    for (int i = 0; i < BOX_MILESTONES; i++)
        tally_times_clear(&fleet->milestones[i]);
    for (int i = 0; i < BOX_REQUESTS; i++)
        tally_requests_clear(&fleet->shared.requests[i]);
    for (unsigned i = 0; i < fleet->count; i++) {
        struct box *box = &fleet->boxes[i];
        memset(box->seen, 0, sizeof box->seen);
        box->begun_us = box->on ? fleet->begun_us : 0;
        box->changed_us = 0;
        box->expired = box->done = false;
    }
}

static void begin(struct fleet *fleet)
{
    const struct phase *phase = &fleet->phase;
    if (phase->kind == PHASE_POWER_ON) {
        for (unsigned i = 0; i < fleet->count; i++)
            box_power_off(&fleet->boxes[i]);
    }
    clear(fleet);
    if (phase->hq) {
        tally_reset_peak(phase->hq);
        tally_reset_peak(tally_child(phase->hq));
    }
    fleet->hq = tally_process(phase->hq);
    fleet->dns = tally_process(tally_child(phase->hq));
    fleet->own = own_use();
    for (unsigned i = 0; i < fleet->count && (phase->kind == PHASE_ENROL || phase->kind == PHASE_POWER_ON); i++) {
        struct box *box = &fleet->boxes[i];
        if (phase->kind == PHASE_POWER_ON)
            box_renumber(box);
        if (!box->on)
            box_power_on(box, (uint64_t)phase->within_ms * i / fleet->count);
    }
    uv_timer_start(&fleet->tick, on_tick, TICK_MS, TICK_MS);
}

static void parameter(struct phase *phase, const char *word)
{
    const struct {
        const char *name;
        long *value;
    } known[] = {{"within=", &phase->within_ms},
                 {"deadline=", &phase->deadline_s},
                 {"seconds=", &phase->seconds},
                 {"rate=", &phase->rate},
                 {"certificate=", &phase->certificate}};
    if (strncmp(word, "hq=", 3) == 0) {
        phase->hq = (pid_t)strtol(word + 3, NULL, 10);
        return;
    }
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (strncmp(word, known[i].name, strlen(known[i].name)) == 0) {
            *known[i].value = strtol(word + strlen(known[i].name), NULL, 10);
            return;
        }
    }
    fprintf(stderr, "fleet: what is '%s'?\n", word);
    exit(2);
}

static void command(struct fleet *fleet, char *line)
{
    char *save = NULL, *name = strtok_r(line, " ", &save);
    struct phase phase = {.deadline_s = 300, .certificate = 1};
    if (!name)
        return;
    while (phase.kind < PHASES && strcmp(phase_names[phase.kind], name) != 0)
        phase.kind++;
    if (phase.kind == PHASES || phase.kind == PHASE_NONE || fleet->phase.kind != PHASE_NONE) {
        fprintf(stderr, "fleet: no phase '%s' now\n", name);
        exit(2);
    }
    for (char *word; (word = strtok_r(NULL, " ", &save));)
        parameter(&phase, word);
    fleet->phase = phase;
    begin(fleet);
}

static void on_input(uv_poll_t *poll, int status, int events)
{
    struct fleet *fleet = poll->data;
    (void)status;
    (void)events;
    ssize_t n = read(STDIN_FILENO, fleet->line + fleet->line_len, sizeof fleet->line - fleet->line_len - 1);
    if (n <= 0)
        exit(0); /* the kernel tidies up ten thousand connections faster than we do */
    fleet->line_len += (size_t)n;
    fleet->line[fleet->line_len] = 0;
    for (char *end; (end = strchr(fleet->line, '\n'));) {
        *end = 0;
        command(fleet, fleet->line);
        fleet->line_len -= (size_t)(end + 1 - fleet->line);
        memmove(fleet->line, end + 1, fleet->line_len + 1);
    }
}

/* ---- The start ---- */

static void die(const char *what)
{
    fprintf(stderr, "fleet: %s\n", what);
    exit(2);
}

static void read_arguments(struct fleet *fleet, int argc, char **argv)
{
    struct fleet_shared *shared = &fleet->shared;
    struct np_endpoint server;
    if (argc != 6 && argc != 7)
        die("usage: bench_fleet BOXES URL SERVER:PORT ANCHORS FACTORY-MASTER [tls13]");
    fleet->count = (unsigned)strtoul(argv[1], NULL, 10);
    if (fleet->count == 0 || fleet->count > 1000000)
        die("from 1 to 1,000,000 boxes");
    snprintf(shared->url, sizeof shared->url, "%s", argv[2]);
    snprintf(fleet->host, sizeof fleet->host, "%s", strncmp(argv[2], "https://", 8) == 0 ? argv[2] + 8 : "");
    fleet->host[strcspn(fleet->host, ":/")] = 0;
    if (!fleet->host[0] || np_endpoint_parse(argv[3], 443, &server) || server.addr.family != AF_INET)
        die("URL is https://HOST[:PORT], SERVER an IPv4 address");
    shared->target.server.sin_family = AF_INET;
    shared->target.server.sin_port = htons(server.port);
    memcpy(&shared->target.server.sin_addr, server.addr.bytes, 4);
    shared->target.host = fleet->host;
    shared->target.tls = link_tls(argv[4], argc == 6);
    if (!shared->target.tls)
        die("the anchors cannot be read");
    if (fleet_read_master(argv[5], shared->master))
        die("the factory master cannot be read");
}

static void make_boxes(struct fleet *fleet)
{
    fleet->boxes = calloc(fleet->count, sizeof *fleet->boxes);
    if (!fleet->boxes)
        die("no memory");
    for (unsigned i = 0; i < fleet->count; i++) {
        if (box_init(&fleet->boxes[i], &fleet->shared, i))
            die("no keys");
    }
}

int main(int argc, char **argv)
{
    static struct fleet fleet;
    struct rlimit files;
    signal(SIGPIPE, SIG_IGN);
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    uv_loop_init(&fleet.loop);
    fleet.shared.loop = &fleet.loop;
    fleet.shared.reached = on_reached;
    fleet.shared.ctx = &fleet;
    read_arguments(&fleet, argc, argv);
    make_boxes(&fleet);
    uv_timer_init(&fleet.loop, &fleet.tick);
    uv_poll_init(&fleet.loop, &fleet.input, STDIN_FILENO);
    fleet.tick.data = fleet.input.data = &fleet;
    uv_poll_start(&fleet.input, UV_READABLE, on_input);
    printf("{\"ready\": %u}\n", fleet.count);
    fflush(stdout);
    uv_run(&fleet.loop, UV_RUN_DEFAULT);
    return 0;
}

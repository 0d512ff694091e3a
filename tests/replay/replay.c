/* replay: runs one scenario on the device's pure cores. tests/replay/README.md says what steps there are.
 *
 *   replay [-v] FILE     exit status 0: as the scenario says; 1: not; -v: shows everything that happened */
#include <libgen.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "resolver/base/error.h"
#include "resolver/base/file.h"
#include "tests/replay/box.h"

static void run(struct box *box, const char *path, FILE *trace, void (*on_fail)(void *ctx), void *ctx);

/* What happened, and the temporary folder. */
struct stage {
    struct box box;
    FILE *trace;
    char *text;
    size_t len;
};

static void pass_until(struct box *box, int64_t at_ms)
{
    if (at_ms < box->now_ms)
        step_fail(box->step, "a later time", "it is %lld ms already", (long long)(box->now_ms - BOX_START_MS));
    box_pass(box, at_ms - box->now_ms);
}

static void do_at(struct box *box)
{
    pass_until(box, BOX_START_MS + step_duration(box->step, step_word(box->step, "a time")));
}

static void do_time(struct box *box)
{
    pass_until(box, box->now_ms + step_duration(box->step, step_word(box->step, "a duration")));
}

/* clock 1970 | right | DURATION off */
static void do_clock(struct box *box)
{
    const char *word = step_word(box->step, "1970, right or a duration");
    if (strcmp(word, "1970") == 0)
        box->off_s = -box_true_s(box);
    else if (strcmp(word, "right") == 0)
        box->off_s = 0;
    else
        box->off_s = step_duration(box->step, word) / 1000;
    if (box->running)
        dns_view(box);
}

static void do_disk(struct box *box)
{
    box->disk_full = strcmp(step_word(box->step, "full or free"), "full") == 0;
}

static void do_entropy(struct box *box)
{
    box->entropy_late = strcmp(step_word(box->step, "late or ready"), "late") == 0;
}

static void do_count(struct box *box)
{
    box->requests = box->pushes = box->enrolments = box->csrs = box->writes = box->installs = box->events = 0;
}

/* Turns a byte of a generation's file, or cuts it there. */
static bool damage_one(struct box *box, uint64_t generation, size_t at, bool cut)
{
    char path[128];
    uint8_t *bytes;
    size_t len;
    snprintf(path, sizeof path, "%s/generation-%llu/state", box->folder, (unsigned long long)generation);
    if (np_file_read(path, NP_STATE_BYTES_MAX, &bytes, &len))
        return false;
    if (at >= len)
        step_fail(box->step, "a byte of the file", "%zu bytes", len);
    bytes[at] ^= 0x40;
    int rc = np_file_write_atomic(path, bytes, cut ? at : len, 0600);
    free(bytes);
    if (rc)
        step_fail(box->step, "a file that can be written", "%s", np_strerror(rc));
    return true;
}

/* damage newest|every generation at byte N | cut at byte N */
static void do_damage(struct box *box)
{
    struct step *step = box->step;
    const char *which = step_word(step, "newest or every");
    bool every = strcmp(which, "every") == 0, any = false;
    if (!step_take(step, "generation"))
        step_fail(step, "damage newest|every generation [cut] at byte N", "something else");
    bool cut = step_take(step, "cut");
    if (!step_take(step, "at") || !step_take(step, "byte"))
        step_fail(step, "damage newest|every generation [cut] at byte N", "something else");
    size_t at = (size_t)step_number(step, step_word(step, "a number"));
    for (uint64_t generation = 200; generation > 0 && !(any && !every); generation--)
        any = damage_one(box, generation, at, cut) || any;
    if (!any)
        step_fail(step, "a stored generation", "none");
}

/* include NAME: the steps of the file parts/NAME beside the scenarios. */
static void do_include(struct box *box)
{
    struct step *outer = box->step;
    char path[STEP_TEXT_MAX], folder[STEP_TEXT_MAX];
    snprintf(folder, sizeof folder, "%s", outer->file);
    snprintf(path, sizeof path, "%.300s/../parts/%.100s", dirname(folder), step_word(outer, "a part's name"));
    run(box, path, outer->trace, outer->on_fail, outer->ctx);
    box->step = outer;
}

static void expect_state(struct box *box)
{
    const char *name = step_word(box->step, "a state"), *reason = step_more(box->step);
    const char *seen = np_enrol_state_name(box->enrol.state);
    if (!box->running || strcmp(name, seen) != 0)
        step_fail(box->step, name, "%s (%s)", box->running ? seen : "switched off", box->enrol.reason);
    if (reason && !strstr(box->enrol.reason, reason))
        step_fail(box->step, reason, "the reason: %s", box->enrol.reason);
}

/* expect timer never | between A and B */
static void expect_timer(struct box *box)
{
    struct step *step = box->step;
    int64_t due_ms = np_jobs_next_due(&box->jobs);
    char text[64];
    if (due_ms == NP_JOB_NEVER)
        snprintf(text, sizeof text, "never");
    else
        snprintf(text, sizeof text, "in %lld ms", (long long)(due_ms - box->now_ms));
    if (step_take(step, "never")) {
        if (due_ms != NP_JOB_NEVER)
            step_fail(step, "no timer", "%s", text);
        return;
    }
    if (!step_take(step, "between"))
        step_fail(step, "expect timer between A and B, or never", "something else");
    int64_t least = step_duration(step, step_word(step, "a duration"));
    if (!step_take(step, "and"))
        step_fail(step, "and", "something else");
    int64_t most = step_duration(step, step_word(step, "a duration"));
    if (due_ms == NP_JOB_NEVER || due_ms - box->now_ms < least || due_ms - box->now_ms > most)
        step_fail(step, "the next timer in that range", "%s", text);
}

/* expect certificate none | valid [until=DURATION] | expired: what the front serves, judged by the box's time. */
static void expect_certificate(struct box *box)
{
    struct step *step = box->step;
    const char *wanted = step_word(step, "none, valid or expired"), *until = step_option(step, "until");
    const char *seen = !box->installed[0] ? "none" : box_certificate_valid(box) ? "valid" : "expired";
    struct np_x509 leaf;
    if (strcmp(wanted, seen) != 0)
        step_fail(step, wanted, "%s", seen);
    if (!until)
        return;
    int64_t left_s = np_enrol_leaf(&box->state, &leaf) ? 0 : leaf.not_after_s - box_true_s(box);
    int64_t off_s = left_s - step_duration(step, until) / 1000;
    if (off_s < -2 || off_s > 2)
        step_fail(step, until, "%lld s from now by HQ's clock", (long long)left_s);
}

/* The HTTPS record of the own name is given only while the certificate is valid. */
static void expect_https(struct box *box)
{
    bool wanted = step_take(box->step, "yes");
    if (!wanted && !step_take(box->step, "no"))
        step_fail(box->step, "yes or no", "something else");
    bool seen = box->view.own_count && box->view.own[0].https;
    if (wanted != seen)
        step_fail(box->step, wanted ? "an HTTPS record" : "no HTTPS record", "the opposite");
}

static void expect_name(struct box *box)
{
    const char *wanted = step_word(box->step, "a name, or none");
    const char *seen = box->state.name[0] ? box->state.name : "none";
    if (strcmp(wanted, seen) != 0)
        step_fail(box->step, wanted, "%s", seen);
}

static void expect_no(struct box *box)
{
    if (!step_take(box->step, "request"))
        step_fail(box->step, "expect no request", "something else");
    if (box->running && box->enrol.inflight != NP_REQUEST_NONE)
        step_fail(box->step, "no request", "%s %s", box->exchange.method, box->exchange.path);
}

static void expect_damaged(struct box *box)
{
    int64_t wanted = step_number(box->step, step_word(box->step, "a number"));
    if (wanted != box->report.damaged_count)
        step_fail(box->step, "that many damaged generations", "%u", box->report.damaged_count);
}

/* expect clock believed | floor */
static void expect_clock(struct box *box)
{
    bool wanted = step_take(box->step, "believed");
    if (!wanted && !step_take(box->step, "floor"))
        step_fail(box->step, "believed or floor", "something else");
    if (wanted != np_clock_believed(&box->clock, box_system_s(box), box->now_ms / 1000))
        step_fail(box->step, wanted ? "the system clock to be believed" : "the floor in its place", "the opposite");
    if (step_take(box->step, "right")) {
        int64_t off_s = box_judged_s(box) - box_true_s(box);
        if (off_s < -60 || off_s > 60)
            step_fail(box->step, "HQ's time within a minute", "%lld s off", (long long)off_s);
    }
}

/* expect COUNTER N | N..M */
static bool expect_counter(struct box *box, const char *name)
{
    const struct {
        const char *name;
        unsigned value;
    } counters[] = {{"requests", box->requests}, {"pushes", box->pushes}, {"enrolments", box->enrolments},
                    {"csrs", box->csrs},         {"writes", box->writes}, {"installs", box->installs},
                    {"events", box->events}};
    for (size_t i = 0; i < sizeof counters / sizeof *counters; i++) {
        if (strcmp(counters[i].name, name) != 0)
            continue;
        char least[32];
        const char *range = step_word(box->step, "a number"), *dots = strstr(range, "..");
        snprintf(least, sizeof least, "%.*s", dots ? (int)(dots - range) : 30, range);
        int64_t from = step_number(box->step, least), to = dots ? step_number(box->step, dots + 2) : from;
        if (counters[i].value < from || counters[i].value > to)
            step_fail(box->step, range, "%u", counters[i].value);
        return true;
    }
    return false;
}

/* A step's name and what it does. */
struct verb {
    const char *name;
    void (*act)(struct box *box);
};

static bool dispatch(struct box *box, const struct verb *verbs, size_t count, const char *word)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(verbs[i].name, word) == 0) {
            verbs[i].act(box);
            return true;
        }
    }
    return false;
}

static void do_expect(struct box *box)
{
    static const struct verb verbs[] = {{"request", hq_expect_request},
                                        {"pushed", hq_expect_pushed},
                                        {"no", expect_no},
                                        {"state", expect_state},
                                        {"timer", expect_timer},
                                        {"certificate", expect_certificate},
                                        {"https", expect_https},
                                        {"name", expect_name},
                                        {"damaged", expect_damaged},
                                        {"clock", expect_clock},
                                        {"answered", dns_expect_answered},
                                        {"answer", dns_expect_answer},
                                        {"asked", upstreams_expect_asked},
                                        {"upstream", upstreams_expect_upstream}};
    const char *word = step_word(box->step, "what to expect");
    if (!dispatch(box, verbs, sizeof verbs / sizeof *verbs, word) && !expect_counter(box, word))
        step_fail(box->step, "something that can be expected", "%s", word);
}

static void run(struct box *box, const char *path, FILE *trace, void (*on_fail)(void *ctx), void *ctx)
{
    static const struct verb verbs[] = {{"at", do_at},
                                        {"time", do_time},
                                        {"boot", box_boot},
                                        {"kill", box_kill},
                                        {"clock", do_clock},
                                        {"disk", do_disk},
                                        {"entropy", do_entropy},
                                        {"count", do_count},
                                        {"damage", do_damage},
                                        {"include", do_include},
                                        {"expect", do_expect},
                                        {"hq", hq_step},
                                        {"network", lan_network},
                                        {"config", lan_config},
                                        {"upstreams", upstreams_set},
                                        {"cache", dns_cache},
                                        {"resolver", dns_resolver},
                                        {"ask", dns_ask},
                                        {"upstream", upstreams_upstream}};
    struct step step = {.file = path, .trace = trace, .on_fail = on_fail, .ctx = ctx};
    FILE *in = fopen(path, "r");
    if (!in) {
        printf("%s cannot be opened\n", path);
        exit(2);
    }
    box->step = &step;
    while (step_read(&step, in)) {
        const char *word = step_word(&step, "a step");
        fprintf(trace, "%s\n", step.text);
        if (!dispatch(box, verbs, sizeof verbs / sizeof *verbs, word))
            step_fail(&step, "a step", "%s", word);
        step_end(&step);
    }
    fclose(in);
}

static void remove_state(const struct box *box)
{
    char path[128];
    for (int generation = 0; generation <= 200; generation++) {
        snprintf(path, sizeof path, "%s/generation-%d/state", box->folder, generation);
        unlink(path);
        snprintf(path, sizeof path, "%s/generation-%d", box->folder, generation);
        rmdir(path);
    }
    snprintf(path, sizeof path, "%s/lock", box->folder);
    unlink(path);
    rmdir(box->folder);
}

static void show(void *ctx)
{
    struct stage *stage = ctx;
    fflush(stage->trace);
    fputs(stage->text, stdout);
    remove_state(&stage->box);
}

int main(int argc, char **argv)
{
    bool verbose = argc > 1 && strcmp(argv[1], "-v") == 0;
    static const char seed[] = "replay";
    if (argc != 2 + verbose) {
        printf("usage: replay [-v] FILE\n");
        return 2;
    }
    struct stage *stage = calloc(1, sizeof *stage);
    if (!stage || !(stage->trace = open_memstream(&stage->text, &stage->len)))
        return 2;
    struct box *box = &stage->box;
    snprintf(box->folder, sizeof box->folder, "/tmp/nameplate-replay-XXXXXX");
    if (!mkdtemp(box->folder))
        return 2;
    box_init(box);
    np_entropy_init_seed(&box->entropy, seed, sizeof seed);
    run(box, argv[1 + verbose], stage->trace, show, stage);
    box_kill(box);
    np_recall_deinit(&box->recall);
    fclose(stage->trace);
    if (verbose)
        fputs(stage->text, stdout);
    remove_state(box);
    free(stage->text);
    free(stage);
    return 0;
}

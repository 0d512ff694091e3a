#include "tests/replay/world.h"

#include "resolver/base/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

static void show(void *ctx)
{
    struct world *world = ctx;
    fflush(world->step.trace);
    size_t from = !getenv("NP_WHOLE") && world->text_len > 60000 ? world->text_len - 60000 : 0;
    fputs(world->text + from, stdout);
    fflush(stdout);
}

void world_check(struct world *world, bool ok, const char *format, ...)
{
    char text[512];
    va_list args;
    if (ok)
        return;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    step_fail(&world->step, text, "otherwise");
}

struct world *world_new(const char *name)
{
    return world_new_on(name, ":memory:");
}

struct world *world_new_on(const char *name, const char *database)
{
    struct world *world = calloc(1, sizeof *world);
    if (!world || !(world->hq = hqcore_new(database)))
        abort();
    world->step = (struct step){
        .file = name, .trace = open_memstream(&world->text, &world->text_len), .on_fail = show, .ctx = world};
    world->now_ms = BOX_START_MS;
    world->random = 1;
    return world;
}

void world_free(struct world *world)
{
    for (size_t i = 0; i < world->count; i++) {
        struct world_box *one = world->boxes[i];
        box_kill(&one->box);
        np_recall_deinit(&one->box.recall);
        memory_disk_free(one->medium);
        free(one);
    }
    hqcore_free(world->hq);
    fclose(world->step.trace);
    free(world->text);
    free(world);
}

int64_t world_true_ms(const struct world *world)
{
    return (np_clock_build_s() + 86400) * 1000 + world->now_ms - BOX_START_MS;
}

static void lose(struct world_box *one, int err, const char *why, int64_t after_ms)
{
    one->box.arrival = (struct box_arrival){.at_ms = one->world->now_ms + after_ms, .err = err, .why = why};
}

static void carry(void *ctx, struct box *box, enum np_request request)
{
    struct world_box *one = ctx;
    struct world *world = one->world;
    struct hqcore_answer answer;
    const struct np_exchange *x = &box->exchange;
    if (world->hq_away || one->unreachable) {
        lose(one, -ECONNREFUSED, "hq.devices.example: connection refused", 1);
        return;
    }
    int64_t ahead_s = box_judged_s(box) - world_true_ms(world) / 1000;
    if (request != NP_REQUEST_TIME && (ahead_s < -WORLD_LEAF_S || ahead_s > WORLD_LEAF_S)) {
        lose(one, NP_E_DATE, "hq.devices.example: its certificate is expired or not yet valid", WORLD_RTT_MS);
        return;
    }
    if (world->lose_requests) {
        world->lose_requests--;
        lose(one, -ETIMEDOUT, "hq.devices.example: the request was lost", WORLD_LOST_MS);
        return;
    }
    struct hqcore_request r = {.method = x->method,
                               .path = x->path,
                               .content_type = x->content_type,
                               .bearer = x->bearer[0] ? x->bearer : NULL,
                               .etag = x->etag[0] ? x->etag : NULL,
                               .body = x->body ? x->body : "",
                               .body_len = x->body_len};
    hqcore_handle(world->hq, &r, (world_true_ms(world) + world->hq_ahead_s * 1000) * 1000, &answer);
    if (world->lose_answers) {
        world->lose_answers--;
        free(answer.body);
        lose(one, -ETIMEDOUT, "hq.devices.example: the answer was lost", WORLD_LOST_MS);
        return;
    }
    box->arrival = (struct box_arrival){.at_ms = world->now_ms + WORLD_RTT_MS,
                                        .status = answer.status,
                                        .retry_after_s = answer.retry_after_s,
                                        .body = answer.body,
                                        .body_len = answer.body_len};
    snprintf(box->arrival.nonce, sizeof box->arrival.nonce, "%.*s", NP_NONCE_MAX, answer.nonce);
    snprintf(box->arrival.etag, sizeof box->arrival.etag, "%.*s", NP_ETAG_MAX, answer.etag);
}

/* br-lan, up, with 192.168.1.1/24. */
static void give_lan(struct box *box)
{
    struct np_link *link = &box->network.links[box->network.link_count++];
    struct np_link_address *address = &box->network.addresses[box->network.address_count++];
    *link = (struct np_link){.index = 2, .name = "br-lan", .kind = NP_LINK_BRIDGE, .up = true, .running = true};
    *address = (struct np_link_address){.ifindex = 2, .preferred_s = 3600, .valid_s = 7200, .prefix.length = 24};
    if (np_addr_parse("192.168.1.1", &address->prefix.addr))
        abort();
    box->policy.role = NP_ROLE_ROUTER;
    snprintf(box->policy.lan[box->policy.lan_count++], sizeof box->policy.lan[0], "br-lan");
}

struct world_box *world_add(struct world *world, const char *serial)
{
    struct world_box *one = calloc(1, sizeof *one);
    if (!one || world->count == WORLD_BOXES)
        abort();
    one->world = world;
    one->medium = memory_disk_new(world->count);
    for (size_t i = 0; i < sizeof one->random; i++)
        one->random[i] = (uint8_t)(i * 7 + world->count);
    one->box.step = &world->step;
    box_init(&one->box);
    snprintf(one->box.self.factory.serial, sizeof one->box.self.factory.serial, "%s", serial);
    hqcore_secret(serial, one->box.self.factory.secret);
    one->box.now_ms = world->now_ms;
    one->box.random = world->count + 1;
    one->box.medium = one->medium;
    one->box.own_random = one->random;
    one->box.carry = carry;
    one->box.carry_ctx = one;
    one->box.has_hq_key = true;
    hqcore_key(world->hq, &one->box.hq_key);
    give_lan(&one->box);
    world->boxes[world->count++] = one;
    return one;
}

void world_use_folder(struct world_box *one, const char *folder)
{
    memory_disk_free(one->medium);
    one->medium = one->box.medium = NULL;
    snprintf(one->box.folder, sizeof one->box.folder, "%s", folder);
}

void world_power_on(struct world_box *one)
{
    if (one->medium && memory_disk_is_cut(one->medium))
        memory_disk_power_on(one->medium, one->world->random);
    one->random[0]++; /* the kernel's pool is another one after each boot */
    memcpy(one->box.self.life.bytes, one->random, sizeof one->box.self.life.bytes);
    one->box.self.life.told = true;
    one->box.now_ms = one->world->now_ms;
    box_boot(&one->box);
}

void world_power_off(struct world_box *one)
{
    box_kill(&one->box);
    if (one->medium)
        memory_disk_power_on(one->medium, one->world->random); /* what was not synced is gone */
}

/* When something happens next. */
static int64_t due_ms(struct world *world)
{
    int64_t due = NP_JOB_NEVER, hq_ms = world->hq_away ? HQCORE_NEVER : hqcore_due_ms(world->hq);
    if (hq_ms != HQCORE_NEVER)
        due = world->now_ms + hq_ms - world_true_ms(world);
    for (size_t i = 0; i < world->count; i++) {
        int64_t box_ms = box_due(&world->boxes[i]->box);
        due = box_ms < due ? box_ms : due;
    }
    return due < world->now_ms ? world->now_ms : due;
}

/* The one thing that is due now. */
static void happen(struct world *world)
{
    if (!world->hq_away && hqcore_due_ms(world->hq) <= world_true_ms(world))
        hqcore_turn(world->hq, world_true_ms(world));
    for (size_t i = 0; i < world->count; i++) {
        struct box *box = &world->boxes[i]->box;
        box->now_ms = world->now_ms;
        if (box->running && box_due(box) <= world->now_ms)
            box_run(box);
        if (box->running && world->boxes[i]->medium && memory_disk_is_cut(world->boxes[i]->medium))
            box_kill(box);
    }
}

static void pass_one(struct world *world, int64_t end_ms)
{
    int64_t due = due_ms(world);
    world->now_ms = due < end_ms ? due : end_ms;
    for (size_t i = 0; i < world->count; i++)
        world->boxes[i]->box.now_ms = world->now_ms;
    if (due > end_ms)
        return;
    bool a_box = false;
    for (size_t i = 0; i < world->count; i++)
        a_box = a_box || box_due(&world->boxes[i]->box) <= world->now_ms;
    if (world->moment)
        world->moment(world->moment_ctx, a_box);
    happen(world);
}

void world_pass(struct world *world, int64_t ms)
{
    int64_t end_ms = world->now_ms + ms;
    for (int i = 0; world->now_ms < end_ms || due_ms(world) <= end_ms; i++) {
        world_check(world, i < WORLD_TIMERS, "fewer than %d events", WORLD_TIMERS);
        pass_one(world, end_ms);
    }
}

void world_wait(struct world_box *one, bool (*holds)(const struct box *box), int64_t most_ms, const char *what)
{
    struct world *world = one->world;
    int64_t end_ms = world->now_ms + most_ms;
    while (!holds(&one->box)) {
        world_check(world, world->now_ms < end_ms, "%s within %lld s; the box is %s: %s (%s)", what,
                    (long long)most_ms / 1000, one->box.running ? "on" : "off",
                    np_enrol_state_name(one->box.enrol.state), one->box.enrol.reason);
        pass_one(world, end_ms);
    }
}

bool world_is_at_rest(const struct box *box)
{
    return box->running && box->enrol.state == NP_ENROL_INSTALLED && box->enrol.inflight == NP_REQUEST_NONE &&
           !box->enrol.dirty && box->enrol.publisher.has_confirmed;
}

bool world_is_installed(const struct box *box)
{
    return world_is_at_rest(box) && box_certificate_valid(box) && !box->enrol.want_csr;
}

bool world_is_installed_anyhow(const struct box *box)
{
    return box->running && box->installed[0] && !box->enrol.dirty;
}

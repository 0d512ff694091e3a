#include <stdio.h>
#include <string.h>

#include "agent/certificate/enrol_private.h"
#include "resolver/base/text.h"

static int64_t below(struct np_enrol *e, int64_t bound_ms)
{
    return bound_ms > 0 ? (int64_t)e->below(e->below_ctx, (uint32_t)bound_ms) : 0;
}

void np_enrol_plan_boot(struct np_enrol *e, const struct np_enrol_time *t)
{
    const struct np_state *d = e->device;
    int64_t jitter_ms = d->boot_jitter_s * 1000;
    bool now = !e->covered || np_renew_is_due(e->not_before_s, e->not_after_s, t->judged_s);
    if (jitter_ms > NP_ENROL_BOOT_JITTER_MAX_MS)
        jitter_ms = NP_ENROL_BOOT_JITTER_MAX_MS;
    e->checkin_ms = t->now_ms + (now ? 0 : below(e, jitter_ms));
    if (now)
        e->look_offset_ms = 0;
    if (e->ask_zone && !e->local_only && d->nameserver_count > 0) {
        e->zone = NP_ZONE_WANTED;
        e->zone_ms = t->now_ms;
    }
}

void np_enrol_plan_checkin(struct np_enrol *e, const struct np_enrol_time *t)
{
    int64_t ms = np_renew_checkin_ms(0, e->device->checkin_s);
    e->checkin_ms = t->now_ms + ms - below(e, ms / 2);
}

void np_enrol_fill_checkin(const struct np_enrol *e, const struct np_enrol_time *t, struct np_checkin_request *out)
{
    const struct np_publisher *p = &e->publisher;
    const char *health = "ok";
    if (e->not_after_s == 0)
        health = "no-certificate";
    else if (t->judged_s > e->not_after_s)
        health = "expired";
    /* What HQ has confirmed with its number; else what is answered here, which changes nothing there. */
    out->seq = p->has_confirmed ? p->seq : 0;
    if (!e->local_only)
        out->addresses = p->has_confirmed ? p->confirmed : e->wanted;
    out->certificate.installed = e->not_after_s != 0;
    out->certificate.n = e->device->n;
    out->certificate.not_after_s = e->not_after_s;
    snprintf(out->health, sizeof out->health, "%s", health);
}

static void take_intervals(struct np_enrol *e, const struct np_checkin_answer *answer)
{
    struct np_state *d = e->device;
    if (d->poll_s == answer->poll_s && d->checkin_s == answer->checkin_s && d->boot_jitter_s == answer->boot_jitter_s)
        return;
    d->poll_s = answer->poll_s;
    d->checkin_s = answer->checkin_s;
    d->boot_jitter_s = answer->boot_jitter_s;
    e->dirty = true;
}

void np_enrol_on_checkin(struct np_enrol *e, const struct np_enrol_time *t, const struct np_checkin_answer *answer)
{
    take_intervals(e, answer);
    e->checkin_ms = t->now_ms + np_renew_checkin_ms(answer->next_s, answer->checkin_s);
    if (e->zone == NP_ZONE_UNKNOWN) {
        e->zone = NP_ZONE_SETTLED;
        np_publisher_known(&e->publisher, answer->seq, NULL);
    } else {
        np_publisher_heard(&e->publisher, answer->seq);
    }
    np_enrol_hear_san(e, answer->san, answer->san_count);
    e->awaited = false;
    switch (answer->certificate) {
    case NP_CHECKIN_KEEP:
        return;
    case NP_CHECKIN_FETCH:
    case NP_CHECKIN_WAIT:
        e->awaited = e->csr_accepted = true;
        e->looks = 0;
        e->poll_ordered = false;
        e->poll_ms = t->now_ms;
        if (answer->certificate == NP_CHECKIN_WAIT)
            np_enrol_look_again(e, t, 0);
        return;
    case NP_CHECKIN_SEND_CSR:
        e->want_csr = true;
        e->csr_accepted = false;
        return;
    }
}

void np_enrol_look_again(struct np_enrol *e, const struct np_enrol_time *t, int64_t retry_after_ms)
{
    enum np_renew_need need = NP_RENEW_ROUTINE;
    if (!e->serves || t->judged_s > e->not_after_s)
        need = NP_RENEW_URGENT;
    else if (e->awaited || e->want_csr || !e->covered)
        need = NP_RENEW_AWAITED;
    int64_t delay_ms = np_renew_delay_ms(need, np_renew_pace_ms(e->not_before_s, e->not_after_s),
                                         np_enrol_poll_pace(e, 0), e->looks, e->below, e->below_ctx);
    if (e->looks < 1000)
        e->looks++;
    e->poll_ordered = retry_after_ms > delay_ms;
    e->poll_ms = t->now_ms + (e->poll_ordered ? retry_after_ms + below(e, retry_after_ms / 10) : delay_ms);
}

static bool is_empty(const struct np_addresses *addresses)
{
    return addresses->v4_count + addresses->v6_count == 0;
}

bool np_enrol_zone_is_due(struct np_enrol *e, const struct np_enrol_time *t)
{
    if (e->zone != NP_ZONE_WANTED || !e->network || e->blocked || is_empty(&e->wanted))
        return false;
    if (t->now_ms >= e->zone_ms)
        return true;
    if (e->zone_ms < e->due_ms)
        e->due_ms = e->zone_ms;
    return false;
}

void np_enrol_zone_changed(struct np_enrol *e, const struct np_enrol_time *t)
{
    if (e->zone == NP_ZONE_WANTED) {
        e->zone_ms = t->now_ms + NP_PUBLISH_DEBOUNCE_MS;
    } else if (e->zone == NP_ZONE_UNKNOWN) {
        /* Not what a boot brought: these are other addresses than a moment ago. */
        e->zone = NP_ZONE_SETTLED;
        np_publisher_known(&e->publisher, 0, NULL);
    }
}

/* Nothing is to be pushed, and nothing is under way. */
static bool is_at_rest(const struct np_enrol *e, int64_t now_ms)
{
    const struct np_publisher *p = &e->publisher;
    return e->zone == NP_ZONE_SETTLED && e->network && p->has_confirmed && !p->sending && !is_empty(&p->confirmed) &&
           np_publisher_due(p, now_ms) == NP_JOB_NEVER;
}

bool np_enrol_compare_is_due(struct np_enrol *e, const struct np_enrol_time *t)
{
    if (!e->ask_zone || e->local_only || e->blocked || e->comparing || e->device->nameserver_count == 0)
        return false;
    if (e->compare_ms == 0)
        e->compare_ms = t->now_ms + NP_ENROL_COMPARE_MS / 2 + below(e, NP_ENROL_COMPARE_MS / 2);
    if (!is_at_rest(e, t->now_ms))
        return false;
    if (t->now_ms >= e->compare_ms) {
        e->compare_ms = t->now_ms + NP_ENROL_COMPARE_MS - below(e, NP_ENROL_COMPARE_MS / 10);
        return true;
    }
    if (e->compare_ms < e->due_ms)
        e->due_ms = e->compare_ms;
    return false;
}

/* What HQ keeps out of the zone by its policy is no difference: it said so in its answer to the push. */
static void on_compared(struct np_enrol *e, const struct np_enrol_time *t, const struct np_enrol_event *event)
{
    e->comparing = false;
    if (event->rc || !is_at_rest(e, t->now_ms) ||
        np_renew_same_addresses(event->addresses, e->has_pushed ? &e->pushed.published : &e->publisher.confirmed))
        return;
    e->compared++;
    np_publisher_known(&e->publisher, 0, NULL);
}

void np_enrol_on_zone(struct np_enrol *e, const struct np_enrol_time *t, const struct np_enrol_event *event)
{
    if (e->comparing) {
        on_compared(e, t, event);
        return;
    }
    if (e->zone != NP_ZONE_ASKING)
        return;
    e->zone = event->rc ? NP_ZONE_UNKNOWN : NP_ZONE_SETTLED;
    if (event->rc == 0)
        np_publisher_known(&e->publisher, 0, np_renew_same_addresses(event->addresses, &e->wanted) ? &e->wanted : NULL);
}

/* The check-in that is due some time is due now; what HQ asked to wait for is waited for. */
void np_enrol_on_renew(struct np_enrol *e, const struct np_enrol_time *t)
{
    if (e->device->device[0])
        e->checkin_ms = t->now_ms;
    if (!e->ordered)
        e->retry_ms = 0;
}

/* A key that is on its way already is another one: the wish is granted with it. The old key and its certificate serve
 * until the new one has one. */
void np_enrol_on_rotate(struct np_enrol *e)
{
    if (!e->covered)
        return;
    e->want_csr = e->rotate = true;
    e->csr_accepted = e->csr_accepted && e->device->has_next;
}

void np_enrol_leave_failed(struct np_enrol *e, bool unsure, const char *text)
{
    e->leave = NP_LEAVE_FAILED;
    e->device->leaving = unsure ? NP_LEAVING_UNSURE : NP_LEAVING_NOT;
    e->dirty = true;
    snprintf(e->leave_problem, sizeof e->leave_problem, "%s", text);
}

void np_enrol_on_leave(struct np_enrol *e, const struct np_enrol_time *t, const struct np_enrol_event *event,
                       struct np_enrol_action *out)
{
    char text[NP_ENROL_REASON_MAX];
    if (event->local || !e->device->device[0]) {
        np_enrol_forget(e, t, out);
    } else if (e->ordered && t->now_ms < e->retry_ms) {
        snprintf(text, sizeof text, "HQ asked this box to wait %lld s more",
                 (long long)((e->retry_ms - t->now_ms + 999) / 1000));
        e->leave = NP_LEAVE_FAILED;
        snprintf(e->leave_problem, sizeof e->leave_problem, "%s", text);
    } else {
        e->leave = NP_LEAVE_UNDER_WAY;
        e->leave_resumed = false;
        e->leave_problem[0] = 0;
        e->device->leaving = NP_LEAVING_ASKED;
        e->device->leave_reason = event->leave;
        e->dirty = true;
        e->retry_ms = e->store_ms = 0;
    }
}

void np_enrol_decide_leave(struct np_enrol *e, const struct np_enrol_time *t, struct np_enrol_action *out)
{
    int64_t from_ms = e->dirty ? e->store_ms : e->leave_resumed ? e->retry_ms : 0;
    if (t->now_ms < from_ms) {
        e->due_ms = from_ms;
    } else if (e->dirty) {
        out->type = NP_ACTION_STORE;
    } else if (e->entropy && e->network) {
        out->leave.reason = e->device->leave_reason;
        np_enrol_send_signed(e, t, out, NP_REQUEST_LEAVE, NP_ENROL_LEAVING, "the owner wants it");
    } else if (!e->entropy) {
        e->due_ms = t->now_ms + NP_ENROL_ENTROPY_MS;
    }
}

void np_enrol_forget(struct np_enrol *e, const struct np_enrol_time *t, struct np_enrol_action *out)
{
    struct np_state *d = e->device;
    uint64_t generation = d->generation;
    int64_t floor_s = d->floor_s, contact_ms = e->last_contact_ms;
    struct np_addresses wanted = e->wanted;
    bool entropy = e->entropy, can_time = e->can_time, network = e->network, usable = e->usable, ask_zone = e->ask_zone;
    enum np_enrol_state state = e->state;
    np_wipe(d, sizeof *d);
    d->generation = generation;
    d->floor_s = floor_s;
    np_enrol_init(e, d, e->local_only, e->below, e->below_ctx);
    e->state = state;
    e->entropy = entropy;
    e->can_time = can_time;
    e->network = network;
    e->usable = usable;
    e->ask_zone = ask_zone;
    e->last_contact_ms = contact_ms;
    e->wanted = wanted;
    e->leave = NP_LEAVE_FORGETTING;
    if (network && !e->local_only)
        np_publisher_want(&e->publisher, &e->wanted, t->now_ms);
    np_enrol_set_state(e, out, NP_ENROL_STARTING, "the box has left HQ and begins anew");
    out->type = NP_ACTION_FORGET;
}

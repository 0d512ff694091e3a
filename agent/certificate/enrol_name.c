/* What the device is called: HQ's answers about its names, and the owner's wish for another one. */
#include <stdio.h>
#include <string.h>

#include "agent/certificate/enrol_private.h"
#include "resolver/base/text.h"

static bool leaf_has(const struct np_x509 *leaf, const char *name)
{
    for (size_t i = 0; i < leaf->name_count; i++) {
        if (strcmp(leaf->names[i], name) == 0)
            return true;
    }
    return false;
}

static bool san_has(const struct np_state *d, const char *name)
{
    for (size_t i = 0; i < d->san_count; i++) {
        if (strcmp(d->san[i], name) == 0)
            return true;
    }
    return false;
}

bool np_enrol_is_called(const struct np_state *device, const char *name)
{
    return strcmp(device->name, name) == 0 || san_has(device, name);
}

void np_enrol_want_names(struct np_enrol *e)
{
    e->need_names = true;
    e->names_ms = 0;
}

void np_enrol_promote(struct np_enrol *e, const struct np_x509 *leaf)
{
    struct np_state *d = e->device;
    if (!d->wanted[0] || !leaf_has(leaf, d->wanted))
        return;
    /* Until HQ has told what else there is to know: its grant for the name, and the end of the one before. */
    e->need_names = true;
    if (strcmp(d->name, d->wanted) == 0)
        return;
    memcpy(d->name, d->wanted, sizeof d->name);
    e->dirty = true;
}

static bool same_san(const struct np_state *d, const char (*san)[NP_NAME_MAX + 1], size_t count)
{
    size_t found = 0;
    for (size_t i = 0; i < count; i++)
        found += san_has(d, san[i]);
    return found == count && count == d->san_count;
}

void np_enrol_hear_san(struct np_enrol *e, const char (*san)[NP_NAME_MAX + 1], size_t count)
{
    if (count > 0 && !same_san(e->device, san, count))
        np_enrol_want_names(e);
}

/* The key was for names that the device does not get: nothing is lost with it. A key that the owner wanted stays. */
static void drop_next(struct np_enrol *e)
{
    struct np_state *d = e->device;
    if (!e->covered || !d->has_next || e->want_csr || e->rotate)
        return;
    d->has_next = false;
    np_wipe(&d->next, sizeof d->next);
    e->csr_accepted = false;
}

void np_enrol_take_names(struct np_enrol *e, const struct np_names *names, const char *grant)
{
    struct np_state *d = e->device;
    struct np_x509 leaf;
    bool changed = !same_san(d, names->san, names->san_count), had = d->name[0] != 0;
    char name[NP_NAME_MAX + 1];
    memcpy(name, d->name, sizeof name);
    memcpy(d->san, names->san, sizeof d->san);
    d->san_count = names->san_count;
    memcpy(d->name, names->name, sizeof d->name);
    memcpy(d->wanted, names->wanted, sizeof d->wanted);
    memcpy(d->old, names->old, sizeof d->old);
    d->old_until_s = names->old_until_s;
    snprintf(d->grant, sizeof d->grant, "%s", grant);
    /* What is served decides what the device is called: a name that HQ has a certificate for already, and the device
     * not yet, is still to come. */
    if (had && san_has(d, name) && np_enrol_leaf(d, &leaf) == 0 && leaf_has(&leaf, name) && !leaf_has(&leaf, d->name)) {
        memcpy(d->wanted, d->name, sizeof d->wanted);
        memcpy(d->name, name, sizeof d->name);
    }
    e->need_names = false;
    e->dirty = true;
    if (changed)
        e->csr_accepted = false;
    np_enrol_read_installed(e);
    if (changed && had)
        drop_next(e);
}

/* ---- The owner's wish ---- */

void np_enrol_ask_failed(struct np_enrol *e, const char *word, const char *text)
{
    if (e->ask != NP_NAME_UNDER_WAY)
        return;
    e->ask = NP_NAME_FAILED;
    e->asking = false;
    if (!e->ask_check && !word[0])
        np_enrol_want_names(e); /* HQ may have heard it all the same */
    snprintf(e->ask_word, sizeof e->ask_word, "%s", word);
    snprintf(e->ask_problem, sizeof e->ask_problem, "%s", text);
}

void np_enrol_on_wish(struct np_enrol *e, const struct np_enrol_time *t, const struct np_enrol_event *event)
{
    char text[96];
    if (e->ask == NP_NAME_UNDER_WAY)
        return; /* one at a time: whoever asks sees which */
    e->ask = NP_NAME_UNDER_WAY;
    e->ask_check = event->check;
    e->ask_word[0] = e->ask_problem[0] = 0;
    memset(&e->offer, 0, sizeof e->offer);
    snprintf(e->ask_label, sizeof e->ask_label, "%s", event->reason);
    if (!e->device->device[0]) {
        np_enrol_ask_failed(e, "", "this box has no name yet: it is getting its first one");
    } else if (e->blocked) {
        np_enrol_ask_failed(e, "", "HQ wants no requests of this box");
    } else if (e->ordered && t->now_ms < e->retry_ms) {
        snprintf(text, sizeof text, "HQ asked this box to wait %lld s more",
                 (long long)((e->retry_ms - t->now_ms + 999) / 1000));
        np_enrol_ask_failed(e, "", text);
    } else {
        e->retry_ms = 0;
    }
}

bool np_enrol_decide_name(struct np_enrol *e, const struct np_enrol_time *t, struct np_enrol_action *out)
{
    const struct np_state *d = e->device;
    bool wish = e->ask == NP_NAME_UNDER_WAY;
    if (d->old[0]) {
        int64_t left_s = d->old_until_s + 1 - t->judged_s;
        if (left_s <= 0)
            e->need_names = true;
        else if (left_s < NP_ENROL_DAY_MS / 1000 && t->now_ms + left_s * 1000 < e->due_ms)
            e->due_ms = t->now_ms + left_s * 1000;
    }
    if (!wish && !e->need_names)
        return false;
    if (!wish && t->now_ms < e->names_ms) {
        e->due_ms = e->names_ms < e->due_ms ? e->names_ms : e->due_ms;
        return false;
    }
    memcpy(out->name.grant, d->grant, sizeof out->name.grant);
    if (wish) {
        memcpy(out->name.name, e->ask_label, sizeof out->name.name);
        out->name.check = e->ask_check;
    }
    np_enrol_send_signed(e, t, out, NP_REQUEST_NAME, NP_ENROL_NAMING,
                         wish ? "the owner asks for a name" : "the names have changed at HQ");
    e->asking = wish && out->request == NP_REQUEST_NAME;
    return true;
}

void np_enrol_on_name(struct np_enrol *e, const struct np_enrol_time *t, const struct np_name_answer *answer)
{
    e->names_ms = t->now_ms + NP_ENROL_NAMES_MS;
    np_enrol_take_names(e, &answer->names, answer->grant);
    if (!e->asking)
        return;
    e->asking = false;
    e->ask = NP_NAME_DONE;
    e->offer = answer->offer;
}

bool np_enrol_on_name_problem(struct np_enrol *e, const struct np_enrol_time *t, const struct np_response *r)
{
    char text[NP_ENROL_REASON_MAX];
    const char *word = r->problem.type;
    bool lost = strcmp(word, "unknown-device") == 0 || strcmp(word, "blocked") == 0 || strcmp(word, "retired") == 0;
    if (lost && e->asking)
        np_enrol_ask_failed(e, word, r->problem.detail[0] ? r->problem.detail : word);
    if (lost || r->status >= 500 || strcmp(word, "bad-nonce") == 0)
        return false;
    e->names_ms = t->now_ms + NP_ENROL_NAMES_MS;
    e->problem[0] = 0; /* an answer like any other: nothing is wrong with this box or with HQ */
    if (!e->asking) {
        e->need_names = e->need_names && r->status == 429;
        return true;
    }
    if (r->status == 404 || r->status == 405)
        snprintf(text, sizeof text, "this HQ is too old to let anybody choose a name");
    else
        snprintf(text, sizeof text, "%.250s", r->problem.detail[0] ? r->problem.detail : word);
    np_enrol_ask_failed(e, r->status == 404 || r->status == 405 ? "vanity-off" : word, text);
    return true;
}

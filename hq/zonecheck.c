#include "hq/zonecheck.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hq/zone/backend.h"
#include "hq/zone/feed.h"
#include "resolver/base/error.h"
#include "resolver/base/text.h"

#define SLICE        1000 /* names of the database at a time */
#define MARKS_A_TURN 500  /* names marked in one transaction, so that the running server gets its turns */

/* What is asked about a name; the last one at its _acme-challenge. */
static const uint16_t asked_types[] = {NP_RR_A, NP_RR_AAAA, NP_RR_MX, NP_RR_TXT, NP_RR_CNAME};
#define ASKED_TYPES (sizeof asked_types / sizeof *asked_types)

/* A comparison at work. */
struct run {
    struct np_store *store;
    struct np_zonecheck *check;
    struct np_records_zone zone;
    struct np_tsig_key keys[2];
    struct np_audit *audit;
    size_t target; /* being compared */
    int rc;
    /* The walk over names to be asked for: the store's, then those that are gone. */
    char after[NP_NAME_MAX + 1];
    bool gone;
    struct np_zone_name slice[SLICE];
    size_t slice_count, slice_next;
    struct np_name asked; /* the name that is being asked for, */
    size_t asked_type;    /* and what next; ASKED_TYPES: nothing more of it */
    /* Findings of this target, to be asked for again. */
    size_t first_finding, next_finding;
};

static struct np_zonecheck_target *target_of(struct run *run)
{
    return &run->check->targets[run->target];
}

/* ---- Findings ---- */

static int keep_finding(struct np_zonecheck *check, const struct np_zonecheck_finding *finding)
{
    if (check->finding_count == NP_ZONECHECK_FINDINGS_MAX)
        return 0;
    if (check->finding_count == check->finding_room) {
        size_t room = check->finding_room ? check->finding_room * 2 : 64;
        struct np_zonecheck_finding *findings = reallocarray(check->findings, room, sizeof *findings);
        if (!findings)
            return -ENOMEM;
        check->findings = findings;
        check->finding_room = room;
    }
    check->findings[check->finding_count++] = *finding;
    return 0;
}

static int add_finding(struct run *run, const struct np_zone_name *name, enum np_audit_finding what)
{
    struct np_zonecheck_finding finding = {
        .target = run->target, .finding = what, .pending = name->version != 0, .should = name->published};
    memcpy(finding.name, name->name, sizeof finding.name);
    return keep_finding(run->check, &finding);
}

/* Counts the target's findings, once they are settled. */
static void count_findings(struct run *run)
{
    struct np_zonecheck_target *target = target_of(run);
    for (size_t i = run->first_finding; i < run->check->finding_count; i++) {
        const struct np_zonecheck_finding *finding = &run->check->findings[i];
        if (finding->pending)
            target->pending++;
        else if (finding->finding == NP_AUDIT_MISSING)
            target->missing++;
        else if (finding->finding == NP_AUDIT_DIFFERENT)
            target->different++;
        else
            target->extra++;
    }
}

/* ---- What a server has ---- */

static void take_record(void *ctx, const struct np_record *record)
{
    struct run *run = ctx;
    if (run->rc == 0)
        run->rc = np_audit_record(run->audit, record);
}

static int take_slice(void *ctx, const struct np_zone_name *name)
{
    struct run *run = ctx;
    run->slice[run->slice_count++] = *name;
    memcpy(run->after, name->name, sizeof run->after);
    return 0;
}

/* The next names of the database: present ones, then those that are gone and should show nothing. */
static int next_slice(struct run *run)
{
    run->slice_count = run->slice_next = 0;
    int rc = run->gone ? np_store_names_gone_after(run->store, run->after, SLICE, take_slice, run)
                       : np_store_names_after(run->store, run->after, SLICE, take_slice, run);
    if (rc == 0 && run->slice_count == 0 && !run->gone) {
        run->gone = true;
        run->after[0] = 0;
        return next_slice(run);
    }
    return rc;
}

static void rewind_names(struct run *run)
{
    run->after[0] = 0;
    run->gone = false;
    run->slice_count = run->slice_next = 0;
    run->asked_type = ASKED_TYPES;
}

static bool next_name(struct run *run, struct np_name *out_name)
{
    for (;;) {
        if (run->slice_next == run->slice_count && run->rc == 0)
            run->rc = next_slice(run);
        if (run->rc || run->slice_next == run->slice_count)
            return false;
        if (np_name_parse(run->slice[run->slice_next++].name, out_name) == 0)
            return true;
    }
}

/* The next question about the name that is being asked for. False: none more. */
static bool next_type(struct run *run, struct np_name *out_owner, uint16_t *out_type)
{
    if (run->asked_type == ASKED_TYPES)
        return false;
    *out_type = asked_types[run->asked_type++];
    *out_owner = run->asked;
    /* A name that is too long for a challenge has none. */
    return *out_type != NP_RR_CNAME || np_name_prepend("_acme-challenge", &run->asked, out_owner) == 0;
}

/* For np_transfer_ask: everything about every name of the database. */
static bool next_question(void *ctx, struct np_name *out_owner, uint16_t *out_type)
{
    struct run *run = ctx;
    while (!next_type(run, out_owner, out_type)) {
        if (!next_name(run, &run->asked))
            return false;
        run->asked_type = 0;
    }
    return true;
}

/* Likewise: the challenge values of every name. */
static bool next_challenge(void *ctx, struct np_name *out_owner, uint16_t *out_type)
{
    struct run *run = ctx;
    struct np_name name;
    char label[NP_TABLE_LABEL_MAX + 1];
    *out_type = NP_RR_TXT;
    while (next_name(run, &name)) {
        if (name.wire[0] == 0)
            continue;
        memcpy(label, name.wire + 1, name.wire[0]);
        label[name.wire[0]] = 0;
        if (np_name_prepend(label, &run->zone.challenge_origin, out_owner) == 0)
            return true;
    }
    return false;
}

static int read_target(struct run *run)
{
    struct np_zonecheck_target *target = target_of(run);
    char why[NP_TRANSFER_WHY_MAX];
    int rc = NP_E_REFUSED;
    if (run->check->config->backend == NP_ZONE_RFC2136) {
        rc = np_transfer_run(&target->server, &run->zone.origin, &run->keys[0], take_record, run, &target->serial,
                             target->error);
        target->transferred = target->has_serial = rc == 0;
        if (rc == 0)
            return run->rc;
    }
    if (rc != NP_E_REFUSED)
        return rc;
    /* Not to be transferred by us: it can be asked, like everybody's. */
    target->error[0] = 0;
    np_audit_free(run->audit);
    run->audit = NULL;
    rc = np_audit_new(&run->zone, &run->audit);
    if (rc)
        return rc;
    rewind_names(run);
    target->has_serial = np_transfer_serial(&target->server, &run->zone.origin, &target->serial, why) == 0;
    rc = np_transfer_ask(&target->server, next_question, take_record, run, target->error);
    return rc ? rc : run->rc;
}

/* ---- Comparing ---- */

static enum np_audit_finding compare(struct run *run, const struct np_zone_name *name)
{
    struct np_records records;
    char label[NP_TABLE_LABEL_MAX + 1];
    size_t len = np_feed_label(run->check->config->origin, name->name);
    if (len == 0 || np_records_name(&run->zone, name, &records))
        return NP_AUDIT_SAME; /* not in this zone: HQ publishes nothing of it */
    memcpy(label, name->name, len);
    label[len] = 0;
    return np_audit_expect(run->audit, label, &records);
}

static int take_extra(void *ctx, const char *label, bool standing)
{
    struct run *run = ctx;
    struct np_zone_name name = {.present = false};
    if (snprintf(name.name, sizeof name.name, "%s.%s", label, run->check->config->origin) >= (int)sizeof name.name)
        return 0;
    int known = standing ? 1 : np_store_name_known(run->store, name.name);
    if (known <= 0) {
        run->rc = known;
        return known != 0; /* the operator's own record: none of ours */
    }
    run->rc = add_finding(run, &name, NP_AUDIT_EXTRA);
    return run->rc != 0;
}

static int compare_all(struct run *run)
{
    rewind_names(run);
    run->check->names = 0;
    for (;;) {
        int rc = next_slice(run);
        if (rc || run->slice_count == 0)
            return rc ? rc : np_audit_rest(run->audit, take_extra, run) ? run->rc : 0;
        for (size_t i = 0; i < run->slice_count; i++) {
            run->check->names += run->slice[i].present;
            enum np_audit_finding what = compare(run, &run->slice[i]);
            rc = what == NP_AUDIT_SAME ? 0 : add_finding(run, &run->slice[i], what);
            if (rc)
                return rc;
        }
    }
}

/* For np_transfer_ask: everything about the target's findings. */
static bool next_doubtful(void *ctx, struct np_name *out_owner, uint16_t *out_type)
{
    struct run *run = ctx;
    while (!next_type(run, out_owner, out_type)) {
        if (run->next_finding == run->check->finding_count)
            return false;
        if (np_name_parse(run->check->findings[run->next_finding++].name, &run->asked) == 0)
            run->asked_type = 0;
    }
    return true;
}

/* Asks once more for what differs, and forgets what is right (or on its way) by now. */
static int ask_again(struct run *run)
{
    struct np_zonecheck *check = run->check;
    np_audit_free(run->audit);
    run->audit = NULL;
    int rc = np_audit_new(&run->zone, &run->audit);
    if (rc)
        return rc;
    run->next_finding = run->first_finding;
    run->asked_type = ASKED_TYPES;
    rc = np_transfer_ask(&target_of(run)->server, next_doubtful, take_record, run, target_of(run)->error);
    if (rc == 0)
        rc = run->rc;
    size_t kept = run->first_finding;
    for (size_t i = run->first_finding; i < check->finding_count && rc == 0; i++) {
        struct np_zonecheck_finding finding = check->findings[i];
        struct np_zone_name name;
        rc = np_store_name_get(run->store, finding.name, &name);
        finding.finding = rc ? finding.finding : compare(run, &name);
        finding.pending = name.version != 0;
        finding.should = name.published;
        if (rc || finding.finding != NP_AUDIT_SAME)
            check->findings[kept++] = finding;
    }
    if (rc == 0)
        check->finding_count = kept;
    return rc;
}

static int check_names(struct run *run)
{
    int rc = np_audit_new(&run->zone, &run->audit);
    if (rc == 0)
        rc = read_target(run);
    if (rc == 0) {
        target_of(run)->names = np_audit_count(run->audit);
        rc = compare_all(run);
    }
    for (int round = 0; round < NP_ZONECHECK_ROUNDS && rc == 0; round++) {
        size_t doubtful = run->check->finding_count - run->first_finding;
        if (doubtful == 0 || doubtful > NP_ZONECHECK_CONFIRM_MAX)
            break;
        rc = ask_again(run);
    }
    np_audit_free(run->audit);
    run->audit = NULL;
    return rc;
}

/* ---- The challenge zone ---- */

/* Values at a name that no order needs: left behind. */
static void take_challenge(void *ctx, const struct np_record *record)
{
    struct run *run = ctx;
    struct np_zone_name leftover = {.present = false};
    char label[NP_NAME_TEXT_MAX], device[NP_NAME_MAX + 1];
    const struct np_name parent = np_name_parent(&record->owner, 1);
    if (run->rc || record->type != NP_RR_TXT || !np_name_equal(&parent, &run->zone.challenge_origin) ||
        record->owner.wire[1] == '_')
        return;
    target_of(run)->names++;
    np_name_format(&record->owner, label);
    label[record->owner.wire[0]] = 0;
    const char *origin = run->check->config->origin;
    if (strlen(label) + strlen(origin) + sizeof ".acme." > sizeof leftover.name)
        return;
    snprintf(device, sizeof device, "%.63s.%.180s", label, origin);
    snprintf(leftover.name, sizeof leftover.name, "%.63s.acme.%.180s", label, origin);
    int needed = np_store_name_ordered(run->store, device);
    if (needed == 0 && run->check->finding_count > run->first_finding &&
        strcmp(run->check->findings[run->check->finding_count - 1].name, leftover.name) == 0)
        return; /* its second value */
    run->rc = needed < 0 ? needed : needed ? 0 : add_finding(run, &leftover, NP_AUDIT_EXTRA);
}

static int check_challenges(struct run *run)
{
    struct np_zonecheck_target *target = target_of(run);
    int rc = np_transfer_run(&target->server, &run->zone.challenge_origin, &run->keys[1], take_challenge, run,
                             &target->serial, target->error);
    target->transferred = target->has_serial = rc == 0;
    if (rc == NP_E_REFUSED) {
        char why[NP_TRANSFER_WHY_MAX];
        target->error[0] = 0;
        rewind_names(run);
        target->has_serial =
            np_transfer_serial(&target->server, &run->zone.challenge_origin, &target->serial, why) == 0;
        rc = np_transfer_ask(&target->server, next_challenge, take_challenge, run, target->error);
    }
    return rc ? rc : run->rc;
}

/* ---- All of it ---- */

static void add_target(struct np_zonecheck *check, const struct np_endpoint *server, bool challenge)
{
    struct np_zonecheck_target *target = &check->targets[check->target_count++];
    *target = (struct np_zonecheck_target){.server = *server, .challenge = challenge};
}

static int add_targets(struct run *run, char error[NP_ZONE_ERROR_MAX])
{
    struct np_zonecheck *check = run->check;
    const struct np_zone_config *config = check->config;
    if (config->backend == NP_ZONE_BUILTIN) {
        for (size_t i = 0; i < config->nameserver_count; i++)
            add_target(check, &config->nameservers[i].address, false);
        return 0;
    }
    for (size_t i = 0; i < config->update.count; i++)
        add_target(check, &config->update.servers[i], false);
    for (size_t i = 0; i < config->challenge.count; i++)
        add_target(check, &config->challenge.servers[i], true);
    int rc = np_zone_key_load(config->update.key_path, &run->keys[0], error);
    return rc ? rc : np_zone_key_load(config->challenge.key_path, &run->keys[1], error);
}

static void ask_nameservers(struct run *run)
{
    struct np_zonecheck *check = run->check;
    for (size_t i = 0; i < check->config->nameserver_count; i++) {
        struct np_zonecheck_nameserver *nameserver = &check->nameservers[check->nameserver_count++];
        nameserver->nameserver = &check->config->nameservers[i];
        nameserver->has_serial = np_transfer_serial(&nameserver->nameserver->address, &run->zone.origin,
                                                    &nameserver->serial, nameserver->error) == 0;
    }
}

int np_zonecheck_run(struct np_store *store, const struct np_zone_config *config, struct np_zonecheck *out_check,
                     char error[NP_ZONE_ERROR_MAX])
{
    struct run *run = calloc(1, sizeof *run);
    *out_check = (struct np_zonecheck){.config = config};
    if (!run) {
        snprintf(error, NP_ZONE_ERROR_MAX, "out of memory");
        return -ENOMEM;
    }
    run->store = store;
    run->check = out_check;
    int rc = np_records_zone_init(&run->zone, config);
    if (rc)
        snprintf(error, NP_ZONE_ERROR_MAX, "zone = %s: %s", config->origin, np_strerror(rc));
    else
        rc = add_targets(run, error);
    for (run->target = 0; run->target < out_check->target_count && rc == 0; run->target++) {
        struct np_zonecheck_target *target = target_of(run);
        run->rc = 0;
        run->first_finding = out_check->finding_count;
        int failed = target->challenge ? check_challenges(run) : check_names(run);
        if (failed == NP_E_STORE || failed == -EAGAIN || failed == -ENOMEM) {
            rc = failed;
            snprintf(error, NP_ZONE_ERROR_MAX, "%s", failed == -ENOMEM ? "out of memory" : np_store_error(run->store));
        } else if (failed) {
            out_check->finding_count = run->first_finding; /* half a comparison is none */
            if (!target->error[0])
                snprintf(target->error, sizeof target->error, "%s", np_strerror(failed));
        }
        count_findings(run);
    }
    if (rc == 0)
        ask_nameservers(run);
    np_wipe(run->keys, sizeof run->keys);
    free(run);
    return rc;
}

bool np_zonecheck_agrees(const struct np_zonecheck *check)
{
    for (size_t i = 0; i < check->target_count; i++) {
        const struct np_zonecheck_target *target = &check->targets[i];
        if (target->missing + target->different + target->extra > 0)
            return false;
    }
    return true;
}

bool np_zonecheck_complete(const struct np_zonecheck *check)
{
    for (size_t i = 0; i < check->target_count; i++) {
        if (check->targets[i].error[0])
            return false;
    }
    return true;
}

int np_zonecheck_repair(struct np_store *store, struct np_zonecheck *check)
{
    for (size_t i = 0; i < check->finding_count; i++) {
        if (check->findings[i].pending)
            continue;
        int rc = np_store_name_mark(store, check->findings[i].name);
        if (rc == 0 && ++check->repaired % MARKS_A_TURN == 0)
            rc = np_store_commit(store);
        if (rc)
            return rc;
    }
    return np_store_commit(store);
}

void np_zonecheck_deinit(struct np_zonecheck *check)
{
    free(check->findings);
    check->findings = NULL;
    check->finding_count = check->finding_room = 0;
}

#include "agent/certificate/deploy.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "agent/certificate/deploy_private.h"
#include "agent/certificate/program.h"
#include "agent/tls/served.h"
#include "resolver/base/error.h"
#include "resolver/base/log.h"
#include "resolver/base/monotonic.h"

#define LOOK_MS      5000 /* for one handshake */
#define LOOK_PAUSE   250  /* ms between looks: a reload is done some time after its program ended */
#define ATTEMPT_S    2    /* before the second attempt; doubled for each further one */
#define RETRY_S_MOST 30

/* What one address presents. */
struct look {
    int rc; /* of np_served_leaf */
    uint8_t leaf[32];
};

static void pause_ms(long ms)
{
    struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    nanosleep(&t, NULL);
}

/* Looks at every address once. Returns 0 when each presents the leaf, else what the first other one does; why says it.
 */
static int look(const struct np_deploy_target *target, const struct np_deploy_certificate *certificate,
                struct look looks[NP_DEPLOY_CHECKS_MAX], char why[NP_DEPLOY_WHY_MAX])
{
    char address[NP_ADDR_TEXT_MAX], said[NP_SERVED_WHY_MAX];
    const char *name = target->server_name[0] ? target->server_name : certificate->name;
    int first = 0;
    for (size_t i = 0; i < target->check_count; i++) {
        struct look *l = &looks[i];
        l->rc = np_served_leaf(&target->checks[i], name, LOOK_MS, l->leaf, said);
        int rc = l->rc;
        if (rc == 0 && memcmp(l->leaf, certificate->leaf_sha256, sizeof l->leaf) != 0)
            rc = NP_E_STALE;
        if (rc == 0 || first)
            continue;
        first = rc;
        snprintf(why, NP_DEPLOY_WHY_MAX, "%s %s%s", np_endpoint_format(&target->checks[i], address),
                 rc == NP_E_STALE ? "presents another certificate" : "presents none: ", rc == NP_E_STALE ? "" : said);
    }
    return first;
}

/* Looks until the leaf is presented everywhere, or the time is over. */
static int look_until(const struct np_deploy_target *target, const struct np_deploy_certificate *certificate,
                      struct look looks[NP_DEPLOY_CHECKS_MAX], char why[NP_DEPLOY_WHY_MAX])
{
    int64_t end_ms = np_monotonic_ms() + target->check_timeout_s * INT64_C(1000);
    int rc;
    while ((rc = look(target, certificate, looks, why)) != 0 && np_monotonic_ms() < end_ms)
        pause_ms(LOOK_PAUSE);
    return rc;
}

/* A target without a program finds its new files by itself. */
static int reload(const struct np_deploy_target *target, char why[NP_DEPLOY_WHY_MAX])
{
    const char *argv[NP_DEPLOY_ARGS_MAX + 1] = {NULL};
    char label[NP_DEPLOY_NAME_MAX + 16];
    if (target->arg_count == 0)
        return 0;
    for (size_t i = 0; i < target->arg_count; i++)
        argv[i] = target->args[i];
    snprintf(label, sizeof label, "%s: the reload", target->name);
    return np_program_run(label, "the reload", argv, target->reload_timeout_s, why);
}

/* Did an address stop to answer that answered before? */
static bool broken(const struct np_deploy_target *target, const struct look *before, const struct look *after)
{
    for (size_t i = 0; i < target->check_count; i++) {
        if (before[i].rc == 0 && after[i].rc != 0)
            return true;
    }
    return false;
}

/* The server gets its old files again. An old certificate that is served is better than a new one that is not. */
static void go_back(const struct np_deploy_files *files, const struct np_deploy_certificate *certificate,
                    const struct look *before, struct np_deploy_result *result)
{
    const struct np_deploy_target *target = files->target;
    struct look after[NP_DEPLOY_CHECKS_MAX];
    char why[NP_DEPLOY_WHY_MAX] = "";
    /* What was presented before, at the first address: all present the same, or the owner mixes on purpose. */
    struct np_deploy_certificate earlier = {.name = certificate->name};
    memcpy(earlier.leaf_sha256, before[0].leaf, sizeof earlier.leaf_sha256);
    int rc = np_deploy_files_put_back(files, why);
    if (rc == 0)
        rc = reload(target, why);
    if (rc == 0)
        look_until(target, &earlier, after, why);
    bool good = rc == 0 && !broken(target, before, after);
    result->outcome = good ? NP_DEPLOY_ROLLED_BACK : NP_DEPLOY_FAILED;
    np_error("deploy: %s: %s%s", target->name,
             good ? "it has its old files again" : "its old files do not help: ", good ? "" : why);
}

/* Reload and look, as often as wanted. */
static int attempt(const struct np_deploy_target *target, const struct np_deploy_certificate *certificate,
                   struct look looks[NP_DEPLOY_CHECKS_MAX], struct np_deploy_result *result, bool *out_reloaded)
{
    unsigned wait_s = ATTEMPT_S;
    for (int rc;;) {
        result->attempts++;
        rc = reload(target, result->why);
        *out_reloaded = rc == 0;
        if (rc == 0)
            rc = look_until(target, certificate, looks, result->why);
        if (rc == 0 || result->attempts >= target->attempts) {
            if (!*out_reloaded)
                look(target, certificate, looks, (char[NP_DEPLOY_WHY_MAX]){0});
            return rc;
        }
        np_warning("deploy: %s: %s; again in %u s", target->name, result->why, wait_s);
        pause_ms(wait_s * 1000L);
        wait_s = wait_s * 2 < RETRY_S_MOST ? wait_s * 2 : RETRY_S_MOST;
    }
}

enum np_deploy_outcome np_deploy_judge(const struct np_deploy_seen *seen)
{
    if (seen->rc == 0)
        return NP_DEPLOY_SERVED;
    /* A reload that failed, or a server that is gone: the new files are the likeliest cause, and the old ones worked.
     */
    if (seen->wrote && seen->earlier && seen->served_before && (!seen->reloaded || seen->broken))
        return NP_DEPLOY_ROLLED_BACK;
    return seen->rc == NP_E_STALE ? NP_DEPLOY_NOT_SERVED : NP_DEPLOY_FAILED;
}

int np_deploy_run(const struct np_deploy_target *target, const struct np_deploy_certificate *certificate,
                  struct np_deploy_result *out_result)
{
    struct np_deploy_files files;
    struct look before[NP_DEPLOY_CHECKS_MAX] = {0}, after[NP_DEPLOY_CHECKS_MAX] = {0};
    struct np_deploy_result result = {.outcome = NP_DEPLOY_FAILED};
    bool reloaded = false;
    int rc = np_deploy_files_init(&files, target, certificate, result.why);
    if (rc)
        goto out;
    int looked = look(target, certificate, before, result.why);
    if (looked == 0 && np_deploy_files_same(&files)) {
        np_debug("deploy: %s: up to date", target->name);
        goto out;
    }
    if (!np_deploy_files_same(&files)) {
        rc = np_deploy_files_put(&files, result.why);
        if (rc)
            goto out;
        result.wrote = true;
        np_info("deploy: %s: new files are in place", target->name);
    }
    rc = attempt(target, certificate, after, &result, &reloaded);
    struct np_deploy_seen seen = {.rc = rc,
                                  .wrote = result.wrote,
                                  .earlier = files.earlier,
                                  .reloaded = reloaded,
                                  .served_before = before[0].rc == 0,
                                  .broken = broken(target, before, after)};
    result.outcome = np_deploy_judge(&seen);
    if (result.outcome == NP_DEPLOY_ROLLED_BACK)
        go_back(&files, certificate, before, &result);
out:
    if (rc == 0) {
        result.outcome = NP_DEPLOY_SERVED;
        result.why[0] = '\0';
    }
    np_deploy_files_deinit(&files);
    *out_result = result;
    return rc;
}

const char *np_deploy_outcome_name(enum np_deploy_outcome outcome)
{
    static const char *const names[] = {"served", "not-served", "rolled-back", "failed"};
    return names[outcome];
}

/* `nameplate-hq ca status`, `ca rollover`, `ca forget`. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <jansson.h>

#include "hq/acme/meter.h"
#include "hq/acme/rollover.h"
#include "hq/acme/survey.h"
#include "hq/cli/table.h"
#include "hq/cli/verb.h"
#include "hq/lease.h"
#include "hq/store/account.h"
#include "hq/store/audit.h"
#include "resolver/base/error.h"
#include "resolver/base/log.h"

static const char help[] =
    "nameplate-hq ca status [--json] [--config FILE]\n"
    "nameplate-hq ca rollover [acme2] [--config FILE]\n"
    "nameplate-hq ca forget [acme2] [--config FILE]\n"
    "\n"
    "'status' asks the CAs of the configuration what they offer, without an account, and says what of the "
    "configuration\n"
    "they do not, and how much of their limits is left.\n"
    "\n"
    "'rollover' gives HQ's account at the CA (acme2: at the second CA) a new key. 'nameplate-hq serve' must not run "
    "meanwhile,\n"
    "on any of the HQs; it uses the new key from its next start on. The old key is kept until the CA has agreed: a "
    "rollover\n"
    "that was interrupted is finished by running it again, and until then 'serve' works with whichever key the CA "
    "knows.\n"
    "Several HQs need the new file (acme-account.pem in the secrets folder) each: one that has the old one still "
    "makes\n"
    "no account of it, but says so and waits for the file.\n"
    "\n"
    "'forget' is for an account whose key is lost: HQ's database forgets it, and 'serve' makes a new one with the key "
    "it has.\n"
    "\n"
    "  --json          JSON, of the shape docs/schema/ca-status\n" NP_VERB_CONFIG_OPTION "\n"
    "Exit code of 'status': 0 all is well, 3 a CA does not offer what the configuration wants, 1 a CA does not answer, "
    "or\n"
    "another failure, 2 usage.\n";

static int load(const char *path, struct np_issuance_config *out_issuance)
{
    struct np_config *config;
    struct np_hq_config values;
    char error[NP_CONFIG_ERROR_MAX];
    int status = np_verb_load_config(path, &config, &values);
    if (status)
        return status;
    int rc = np_issuance_config_load(config, out_issuance, error);
    np_config_free(config);
    return rc ? np_verb_failed(error) : 0;
}

/* The CA that argv[optind] names, the first one where it names none. Returns 0 or the exit code after a message. */
static int choose(int argc, char **argv, const char *verb, const struct np_issuance_config *config, size_t *out_index)
{
    const char *wanted = optind < argc ? argv[optind] : config->cas[0].prefix;
    if (argc - optind > 1)
        return np_verb_usage_error("ca %s: '%s' is not expected", verb, argv[optind + 1]);
    for (size_t i = 0; i < config->ca_count; i++) {
        if (strcmp(config->cas[i].prefix, wanted) == 0) {
            *out_index = i;
            return 0;
        }
    }
    return np_verb_usage_error("ca %s: '%s' is no CA of the configuration: acme, or acme2 where acme2-directory is set",
                               verb, wanted);
}

/* What changes an account: its CA, and the database. */
struct account_verb {
    struct np_issuance_config *issuance;
    size_t index;
    struct np_store *store;
};

/* Reads the options and the configuration, and opens the database. Returns 0 or the exit code after a message;
 * end_account_verb is to be called whatever came of it. */
static int begin_account_verb(int argc, char **argv, const char *verb, struct account_verb *out)
{
    const char *config_path;
    bool json;
    *out = (struct account_verb){.issuance = calloc(1, sizeof *out->issuance)};
    int status =
        out->issuance ? np_verb_read_options(argc, argv, &config_path, &json) : np_verb_failed("out of memory");
    np_log_init("nameplate-hq", NP_LOG_WARNING);
    if (status == 0 && json)
        status = np_verb_usage_error("ca %s: '--json' is not expected", verb);
    if (status == 0)
        status = load(config_path, out->issuance);
    if (status == 0)
        status = choose(argc, argv, verb, out->issuance, &out->index);
    return status ? status : np_verb_open_store(config_path, false, &out->store);
}

static void end_account_verb(struct account_verb *verb)
{
    np_store_close(verb->store);
    free(verb->issuance);
}

/* The account's lock keeps off an HQ on this machine; those on others are known by the database. */
static int check_nobody_works(struct np_store *store)
{
    char holder[NP_STORE_HOLDER_MAX + 1], text[NP_STORE_HOLDER_MAX + 160];
    int works = np_lease_somebody_works(store, holder);
    if (works < 0)
        return np_verb_store_failed(store, works);
    if (!works)
        return 0;
    snprintf(text, sizeof text,
             "the account is in use by %s: stop nameplate-hq serve there too, and start it again "
             "afterwards with the new key",
             holder);
    return np_verb_failed(text);
}

static int run_rollover(int argc, char **argv)
{
    struct account_verb verb;
    struct np_rollover done;
    char error[NP_ROLLOVER_ERROR_MAX];
    int status = begin_account_verb(argc, argv, "rollover", &verb);
    if (status == 0)
        status = check_nobody_works(verb.store);
    if (status == 0 && np_rollover_run(verb.issuance, verb.index, verb.store, &done, error))
        status = np_verb_failed(error);
    else if (status == 0)
        printf("%s has a new key, %s%s\n", done.account, done.path,
               done.finished ? " (the CA had it already: an interrupted rollover is finished)" : "");
    end_account_verb(&verb);
    return status;
}

static int run_forget(int argc, char **argv)
{
    struct account_verb verb;
    struct np_store_account account;
    int status = begin_account_verb(argc, argv, "forget", &verb);
    if (status)
        goto out;
    const char *directory = verb.issuance->cas[verb.index].directory;
    int rc = np_store_account_get(verb.store, directory, &account);
    if (rc == 0)
        rc = np_store_account_forget(verb.store, directory);
    if (rc == 0)
        rc = np_verb_audit(verb.store, NP_AUDIT_FORGET, NULL, account.url);
    if (rc == 0)
        rc = np_store_commit(verb.store);
    if (rc == NP_E_NOT_FOUND)
        status = np_verb_failed("HQ knows of no account there: 'serve' makes one");
    else if (rc)
        status = np_verb_store_failed(verb.store, rc);
    else
        printf("%s is forgotten: 'serve' takes the account that its key has, or makes a new one, at its next start or "
               "next try\n",
               account.url);
out:
    end_account_verb(&verb);
    return status;
}

/* ---- status ---- */

/* All that is known of a CA: what it says, and how its limits stand. */
struct report {
    const struct np_ca_config *config;
    const struct np_ca_survey *survey;
    struct np_limit_view view; /* the buckets that all devices share */
    int64_t now_ms;
};

static json_t *limits_json(const struct report *r)
{
    const struct np_limits *limits = &r->config->limits;
    json_t *list = json_array();
    for (enum np_limit kind = NP_LIMIT_ORDERS; kind < NP_LIMIT_RULES; kind++) {
        const struct np_limit_rule *rule = &limits->rules[kind];
        if (rule->count == 0)
            continue;
        json_t *limit = json_pack("{s:s,s:I,s:I}", "kind", np_limit_name(kind), "count", (json_int_t)rule->count,
                                  "period", (json_int_t)(rule->period_ms / 1000));
        if (np_limits_is_shared(limits, kind))
            json_object_set_new(limit, "left", json_integer(np_limit_level(rule, r->view.full_ms[kind], r->now_ms)));
        json_array_append_new(list, limit);
    }
    return list;
}

static json_t *names_json(const char *names, size_t size, size_t count)
{
    json_t *list = json_array();
    for (size_t i = 0; i < count; i++)
        json_array_append_new(list, json_string(names + i * size));
    return list;
}

static json_t *report_json(const struct report *r)
{
    const struct np_acme_directory *d = &r->survey->directory;
    bool answers = r->survey->rc == 0;
    int64_t paused_ms = r->view.full_ms[NP_LIMIT_PAUSE];
    return json_pack("{s:s,s:s,s:b,s:s,s:I,s:s,s:b,s:o,s:b,s:b,s:b,s:b,s:o,s:o,s:I}", "name", r->config->prefix,
                     "directory", r->config->directory, "answers", answers, "error", r->survey->why, "took_ms",
                     (json_int_t)r->survey->took_ms, "profile", r->config->profile, "fits",
                     answers && np_ca_survey_fits(r->config, r->survey), "profiles",
                     names_json(d->profiles[0], sizeof d->profiles[0], d->profile_count), "renewal_windows",
                     d->renewal_info[0] != 0, "key_change", d->key_change[0] != 0, "binding_wanted", d->eab_required,
                     "binding_configured", r->config->eab_kid[0] != 0, "caa_identities",
                     names_json(d->caa_identities[0], sizeof d->caa_identities[0], d->caa_identity_count), "limits",
                     limits_json(r), "paused_until", (json_int_t)(paused_ms > r->now_ms ? paused_ms / 1000 : 0));
}

static void print_limits(const struct report *r)
{
    const struct np_limits *limits = &r->config->limits;
    char at[NP_TABLE_TIME_MAX];
    for (enum np_limit kind = NP_LIMIT_ORDERS; kind < NP_LIMIT_RULES; kind++) {
        const struct np_limit_rule *rule = &limits->rules[kind];
        if (rule->count == 0 || !np_limits_is_shared(limits, kind))
            continue;
        printf("  limit '%s'%*s %lld of %lld left\n", np_limit_name(kind), 10 - (int)strlen(np_limit_name(kind)), "",
               (long long)np_limit_level(rule, r->view.full_ms[kind], r->now_ms), (long long)rule->count);
    }
    if (r->view.full_ms[NP_LIMIT_PAUSE] > r->now_ms)
        printf("  no new orders until  %s UTC, as it asked\n",
               np_table_time(r->view.full_ms[NP_LIMIT_PAUSE] / 1000, at));
}

static void print_offers(const struct report *r)
{
    const struct np_acme_directory *d = &r->survey->directory;
    printf("  profile              ");
    if (!r->config->profile[0])
        puts("its default one");
    else if (np_acme_offers_profile(d, r->config->profile))
        puts(r->config->profile);
    else
        printf("'%s' is NOT OFFERED: its default one is used\n", r->config->profile);
    for (size_t i = 0; i < d->profile_count; i++)
        printf("%s%s%s", i ? ", " : "  on offer             ", d->profiles[i], i + 1 == d->profile_count ? "\n" : "");
    printf("  renewal windows      %s\n", d->renewal_info[0] ? "yes" : "no: by the certificates' life");
    if (d->eab_required)
        printf("  account binding      %s\n",
               r->config->eab_kid[0] ? "wanted, and configured" : "WANTED: set eab-kid and eab-key-file");
    if (!d->key_change[0])
        puts("  account keys         cannot be changed");
}

static void print_report(const struct report *r, bool first)
{
    printf("%s%s  %s\n", first ? "" : "\n", r->config->prefix, r->config->directory);
    if (r->survey->rc)
        printf("  DOES NOT ANSWER      %s\n", r->survey->why);
    else
        printf("  answers              in %lld ms\n", (long long)r->survey->took_ms);
    if (r->survey->rc == 0)
        print_offers(r);
    print_limits(r);
}

/* Reads how the limits of a CA stand. Returns 0 or a database error. */
static int read_limits(struct np_store *store, struct report *r)
{
    struct np_meter meter = {.store = store, .ca = r->config->directory, .limits = &r->config->limits};
    return np_meter_shared(&meter, NP_PRIORITY_URGENT, &r->view);
}

static int show(struct np_store *store, const struct np_issuance_config *config, const struct np_ca_survey *surveys,
                bool as_json)
{
    json_t *list = json_array();
    int status = EXIT_SUCCESS;
    for (size_t i = 0; i < config->ca_count; i++) {
        struct report report = {.config = &config->cas[i], .survey = &surveys[i], .now_ms = (int64_t)time(NULL) * 1000};
        if (read_limits(store, &report)) {
            json_decref(list);
            return np_verb_failed(np_store_error(store));
        }
        if (as_json)
            json_array_append_new(list, report_json(&report));
        else
            print_report(&report, i == 0);
        if (surveys[i].rc)
            status = NP_EXIT_FAILED;
        else if (status == EXIT_SUCCESS && !np_ca_survey_fits(&config->cas[i], &surveys[i]))
            status = NP_EXIT_DIFFERS;
    }
    if (as_json) {
        json_dumpf(list, stdout, JSON_INDENT(2));
        putchar('\n');
    }
    json_decref(list);
    return status;
}

static int run_status(int argc, char **argv)
{
    struct np_issuance_config *issuance = calloc(1, sizeof *issuance);
    struct np_ca_survey *surveys = calloc(NP_CA_MAX, sizeof *surveys);
    struct np_store *store = NULL;
    const char *config_path;
    bool json;
    int status =
        issuance && surveys ? np_verb_read_options(argc, argv, &config_path, &json) : np_verb_failed("out of memory");
    if (status == 0 && optind != argc)
        status = np_verb_usage_error("ca status: '%s' is not expected", argv[optind]);
    if (status == 0)
        status = load(config_path, issuance);
    if (status == 0)
        status = np_verb_open_store(config_path, true, &store);
    if (status == 0)
        status = np_ca_survey_run(issuance, surveys) ? np_verb_failed("out of memory")
                                                     : show(store, issuance, surveys, json);
    np_store_close(store);
    free(surveys);
    free(issuance);
    return status;
}

static const struct np_verb_action actions[] = {
    {"status", run_status}, {"rollover", run_rollover}, {"forget", run_forget}};

static int run_ca(int argc, char **argv)
{
    return np_verb_run_action("ca", actions, sizeof actions / sizeof *actions, argc, argv);
}

const struct np_verb np_ca_verb = {
    .name = "ca",
    .run = run_ca,
    .synopsis =
        "  nameplate-hq ca status [--json] [--config FILE]               what the CAs offer, and the limits left\n"
        "  nameplate-hq ca rollover [acme2] [--config FILE]              a new key for HQ's account at the CA\n"
        "  nameplate-hq ca forget [acme2] [--config FILE]                the account's key is lost: a new account\n",
    .help = help,
};

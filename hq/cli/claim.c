/* `nameplate-hq claim ...`: one function an action. */
#include <errno.h>
#include <getopt.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "hq/cli/verb.h"
#include "hq/crypto.h"
#include "hq/factorylist.h"
#include "hq/store/audit.h"
#include "hq/store/claims.h"
#include "resolver/base/error.h"
#include "resolver/base/random.h"
#include "resolver/base/text.h"

#define MAKE_MAX 10000000 /* codes in one run: a year of a large factory */
#define BATCH    500      /* codes a commit: the running server waits for no more than that */

static const char help[] =
    "nameplate-hq claim make --count N [--model MODEL] [--config FILE]\n"
    "nameplate-hq claim make --serials FILE.csv [--model MODEL] [--config FILE]\n"
    "nameplate-hq claim show CODE [--json] [--config FILE]\n"
    "nameplate-hq claim release CODE [--config FILE]\n"
    "\n"
    "make     makes claim codes and prints them as CSV (serial, claim_code, model) for the labels: N codes, or one "
    "for\n"
    "         each line of a list with serial numbers. HQ keeps a keyed hash of each and cannot print it again: keep\n"
    "         the output. Each code enrols one device.\n"
    "show     says whether a code is known, free, or which device holds it.\n"
    "release  frees a code, for a box that was exchanged or repaired: the device that used it keeps its name, and the\n"
    "         next one with the label can enrol. A device that leaves ('nameplate reset') frees its code itself.\n"
    "\n"
    "  --model MODEL   only devices of that model may use the codes\n"
    "  --json          as JSON\n" NP_VERB_CONFIG_OPTION;

/* What `claim make` works with. */
struct making {
    struct np_store *store;
    uint8_t master[32];
    const char *model;
    int64_t now_s;
    long long made;
    size_t pending;
    struct np_factorylist_row rows[BATCH]; /* stored, not yet committed */
};

/* The last field of a line, quoted where it must be (RFC 4180). */
static void print_field(const char *text)
{
    bool quote = strpbrk(text, ",\"") != NULL;
    if (quote)
        putchar('"');
    for (; *text; text++)
        fputs(*text == '"' ? "\"\"" : (char[2]){*text, 0}, stdout);
    puts(quote ? "\"" : "");
}

/* A line is printed once its code is stored: a code on a label that HQ does not know would be a box that cannot
 * enrol. */
static int flush(struct making *making)
{
    int rc = np_store_commit(making->store);
    if (rc) {
        /* None of them is stored, and so none may ever be printed. */
        making->made -= (long long)making->pending;
        making->pending = 0;
        np_wipe(making->rows, sizeof making->rows);
        return np_verb_store_failed(making->store, rc);
    }
    for (size_t i = 0; i < making->pending; i++) {
        const struct np_factorylist_row *row = &making->rows[i];
        char text[NP_CLAIM_LEN + 4];
        np_claim_format(row->code, text);
        printf("%s,%s,", row->serial, text);
        print_field(row->model);
    }
    np_wipe(making->rows, sizeof making->rows);
    making->pending = 0;
    if (fflush(stdout) || ferror(stdout))
        return np_verb_failed("the list could not be written; the codes that are missing from it do no harm");
    return 0;
}

static int make_one(struct making *making, const char *serial, const char *model)
{
    struct np_factorylist_row *row = &making->rows[making->pending];
    struct np_claim claim = {.added_s = making->now_s};
    uint8_t random[NP_CLAIM_RANDOM];
    int rc = 0;
    np_random_bytes(random, sizeof random);
    np_claim_make(random, row->code);
    np_wipe(random, sizeof random);
    snprintf(row->serial, sizeof row->serial, "%s", serial);
    snprintf(row->model, sizeof row->model, "%s", model);
    memcpy(claim.serial, row->serial, sizeof claim.serial);
    memcpy(claim.model, row->model, sizeof claim.model);
    np_hq_claim_hash(making->master, row->code, claim.hash);
    if (serial[0])
        rc = np_store_serial_add(making->store, row->serial, row->model, making->now_s);
    if (rc == NP_E_CONFLICT) {
        fprintf(stderr, "nameplate-hq: serial %s is known with another model\n", serial);
        return NP_EXIT_FAILED;
    }
    if (rc == 0 || rc == -EEXIST)
        rc = np_store_claim_add(making->store, &claim); /* two equal codes: 2^-75, and an error */
    if (rc)
        return np_verb_store_failed(making->store, rc);
    making->made++;
    return ++making->pending == BATCH ? flush(making) : 0;
}

static int make_count(struct making *making, int64_t count)
{
    int status = 0;
    while (!status && making->made < count)
        status = make_one(making, "", making->model);
    return status;
}

static int make_for_list(struct making *making, const char *path)
{
    char line[NP_FACTORYLIST_LINE_MAX + 2], error[NP_FACTORYLIST_ERROR_MAX];
    struct np_factorylist list;
    struct np_factorylist_row row;
    long long number = 0;
    int status = 0;
    FILE *file = fopen(path, "re");
    if (!file) {
        fprintf(stderr, "nameplate-hq: %s: %s\n", path, np_strerror(-errno));
        return NP_EXIT_FAILED;
    }
    while (!status && fgets(line, sizeof line, file)) {
        int rc = ++number == 1 ? np_factorylist_heading(line, strlen(line), &list, error)
                               : np_factorylist_line(&list, line, strlen(line), &row, error);
        if (rc == NP_E_NOT_FOUND || (rc == 0 && number == 1))
            continue;
        if (rc == 0 && (!row.serial[0] || row.code[0])) {
            snprintf(error, sizeof error, "a line here has a serial number, and no claim code yet");
            rc = NP_E_MALFORMED;
        }
        if (rc) {
            fprintf(stderr, "nameplate-hq: %s:%lld: %s\n", path, number, error);
            status = NP_EXIT_FAILED;
        } else {
            status = make_one(making, row.serial, row.model[0] ? row.model : making->model);
        }
    }
    fclose(file);
    return status;
}

static int run_make(int argc, char **argv)
{
    static const struct option table[] = {{"config", required_argument, NULL, 'c'},
                                          {"count", required_argument, NULL, 'n'},
                                          {"serials", required_argument, NULL, 's'},
                                          {"model", required_argument, NULL, 'm'},
                                          {NULL, 0, NULL, 0}};
    struct making making = {.model = "", .now_s = (int64_t)time(NULL)};
    const char *config = NP_HQ_CONFIG_DEFAULT, *serials = NULL;
    int64_t count = 0;
    int option;
    while ((option = getopt_long(argc, argv, "c:", table, NULL)) != -1) {
        if (option == 'c')
            config = optarg;
        else if (option == 's')
            serials = optarg;
        else if (option == 'm')
            making.model = optarg;
        else if (option != 'n')
            return np_verb_see_help(argv[0]);
        else if (np_parse_int(optarg, 1, MAKE_MAX, &count))
            return np_verb_usage_error("--count is a number from 1 to %d", MAKE_MAX);
    }
    if (optind != argc || !serials == !count)
        return np_verb_usage_error("claim make needs --count N or --serials FILE.csv");
    if (strlen(making.model) > NP_MODEL_MAX || strpbrk(making.model, "\"\n\r"))
        return np_verb_usage_error("a model has at most %d characters, without quotes", NP_MODEL_MAX);
    int status = np_verb_open_factory(config, false, &making.store, making.master);
    if (status)
        return status;
    puts("serial,claim_code,model");
    status = serials ? make_for_list(&making, serials) : make_count(&making, count);
    char detail[NP_AUDIT_DETAIL_MAX + 1];
    snprintf(detail, sizeof detail, "%lld codes", making.made);
    int rc = np_verb_audit(making.store, NP_AUDIT_CLAIM_MAKE, NULL, detail);
    /* What was made before an error is stored, and so it is told. */
    int flushed = rc ? np_verb_store_failed(making.store, rc) : flush(&making);
    np_store_close(making.store);
    np_wipe(making.master, sizeof making.master);
    return status ? status : flushed;
}

/* The code in the arguments as its hash, and the open database. */
static int open_code(int argc, char **argv, bool read_only, bool *out_json, struct np_store **out_store,
                     uint8_t out_hash[32])
{
    const char *config;
    uint8_t master[32];
    char code[NP_CLAIM_LEN + 1];
    int status = np_verb_read_options(argc, argv, &config, out_json);
    if (status)
        return status;
    if (optind + 1 != argc)
        return np_verb_usage_error("which claim code?");
    int rc = np_claim_parse(argv[optind], code);
    if (rc)
        return np_verb_failed(rc == NP_E_CHECKSUM ? "the code has a wrong character; compare it with the label"
                                                  : "a claim code has 16 letters and digits, as XXXX-XXXX-XXXX-XXXX");
    status = np_verb_open_factory(config, read_only, out_store, master);
    if (status)
        return status;
    np_hq_claim_hash(master, code, out_hash);
    np_wipe(master, sizeof master);
    return 0;
}

static int print_claim(const struct np_claim *claim, const char *name, bool json)
{
    const char *state = claim->device[0] ? "claimed" : "free";
    if (!json) {
        printf("%s%s%s%s%s%s%s\n", state, claim->device[0] ? " by " : "", name, claim->serial[0] ? ", serial " : "",
               claim->serial, claim->model[0] ? ", model " : "", claim->model);
        return 0;
    }
    json_t *object = json_pack("{s:s,s:s,s:s,s:I,s:s,s:s,s:I}", "state", state, "serial", claim->serial, "model",
                               claim->model, "added", (json_int_t)claim->added_s, "device", claim->device, "name", name,
                               "claimed", (json_int_t)claim->claimed_s);
    int rc = object && json_dumpf(object, stdout, JSON_INDENT(2)) == 0 ? 0 : -ENOMEM;
    json_decref(object);
    putchar('\n');
    return rc ? np_verb_failed(np_strerror(rc)) : 0;
}

static int run_show(int argc, char **argv)
{
    struct np_store *store;
    struct np_claim claim;
    struct np_device device = {.name = ""};
    uint8_t hash[32];
    bool json;
    int status = open_code(argc, argv, true, &json, &store, hash);
    if (status)
        return status;
    int rc = np_store_claim_get(store, hash, &claim);
    if (rc == 0 && claim.device[0])
        rc = np_store_device_get(store, claim.device, &device);
    if (rc == NP_E_NOT_FOUND)
        status = np_verb_failed("this HQ knows no such claim code");
    else if (rc)
        status = np_verb_store_failed(store, rc);
    else
        status = print_claim(&claim, device.name, json);
    np_store_close(store);
    return status;
}

static int run_release(int argc, char **argv)
{
    struct np_store *store;
    uint8_t hash[32];
    bool json;
    int status = open_code(argc, argv, false, &json, &store, hash);
    if (status)
        return status;
    char hex[NP_HEX_LEN(4)];
    struct np_claim claim;
    struct np_device holder = {.id = ""};
    int rc = np_store_claim_get(store, hash, &claim);
    if (rc == 0 && claim.device[0])
        rc = np_store_device_get(store, claim.device, &holder);
    if (rc == 0)
        rc = np_store_claim_release(store, hash);
    np_hex_encode(hash, 4, hex);
    if (rc == 0)
        rc = np_verb_audit(store, NP_AUDIT_CLAIM_RELEASE, &holder, hex);
    if (rc == 0)
        rc = np_store_commit(store);
    if (rc == NP_E_NOT_FOUND)
        status = np_verb_failed("this HQ knows no such claim code");
    else if (rc)
        status = np_verb_store_failed(store, rc);
    else
        puts("free");
    np_store_close(store);
    return status;
}

static int run_claim(int argc, char **argv)
{
    static const struct np_verb_action actions[] = {{"make", run_make}, {"show", run_show}, {"release", run_release}};
    return np_verb_run_action("claim", actions, sizeof actions / sizeof *actions, argc, argv);
}

const struct np_verb np_claim_verb = {
    .name = "claim",
    .run = run_claim,
    .synopsis = "  nameplate-hq claim make|show|release [--config FILE]          claim codes for labels\n",
    .help = help,
};

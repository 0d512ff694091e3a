/* `nameplate-hq import`. */
#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "hq/cli/verb.h"
#include "hq/crypto.h"
#include "hq/factorylist.h"
#include "hq/store/audit.h"
#include "hq/store/claims.h"
#include "resolver/base/error.h"
#include "resolver/base/text.h"

#define BATCH       500 /* lines a commit: the running server waits for no more than that */
#define SHOWN_EVERY 10000

static const char help[] =
    "nameplate-hq import FILE.csv [--check] [--json] [--config FILE]\n"
    "\n"
    "Takes over a factory's list: serial numbers with their models, and the claim codes on the labels. The first line\n"
    "names the columns serial, claim_code and model, in any order; others are passed over. Codes are kept as a keyed\n"
    "hash only; factory secrets are derived from the serial and need no list.\n"
    "\n"
    "The whole file is read first: where a line is wrong, it is named and nothing is imported. Lines that are known\n"
    "change nothing, so that an import that was interrupted is simply repeated; a line that says something else than\n"
    "what is stored ends the import there.\n"
    "\n"
    "  --check         only read the file\n"
    "  --json          the counts as JSON\n" NP_VERB_CONFIG_OPTION;

/* A running import. */
struct import {
    const char *path;
    FILE *file;
    struct np_store *store;
    uint8_t master[32];
    struct np_factorylist list;
    bool terminal;
    long long line, lines; /* where it stands; how many there are, once known */
    long long rows, serials_new, serials_known, codes_new, codes_known;
    int64_t now_s;
};

static int fail_at(const struct import *import, const char *text)
{
    fprintf(stderr, "%snameplate-hq: %s:%lld: %s\n", import->terminal ? "\n" : "", import->path, import->line, text);
    return NP_EXIT_FAILED;
}

static void show(const struct import *import, const char *what, bool last)
{
    if (!import->terminal || (!last && import->line % SHOWN_EVERY != 0))
        return;
    fprintf(stderr, "\r%s: %lld", what, import->line);
    if (import->lines)
        fprintf(stderr, " of %lld", import->lines);
    fputs(last ? " lines\n" : " lines", stderr);
}

/* Runs each over the lines of the file. Returns 0 or the exit code after a message. */
static int each_line(struct import *import, int (*each)(struct import *, const struct np_factorylist_row *))
{
    char line[NP_FACTORYLIST_LINE_MAX + 2], error[NP_FACTORYLIST_ERROR_MAX];
    struct np_factorylist_row row;
    rewind(import->file);
    import->line = import->rows = 0;
    while (fgets(line, sizeof line, import->file)) {
        size_t len = strlen(line);
        import->line++;
        if (len == sizeof line - 1 && line[len - 1] != '\n')
            return fail_at(import, "the line is too long (or holds a zero byte)");
        if (import->line == 1) {
            if (np_factorylist_heading(line, len, &import->list, error))
                return fail_at(import, error);
            continue;
        }
        int rc = np_factorylist_line(&import->list, line, len, &row, error);
        if (rc == NP_E_NOT_FOUND)
            continue;
        if (rc)
            return fail_at(import, error);
        import->rows++;
        int status = each ? each(import, &row) : 0;
        if (status)
            return status;
        show(import, each ? "imported" : "read", false);
    }
    if (ferror(import->file))
        return fail_at(import, np_strerror(-errno));
    if (import->line == 0)
        return fail_at(import, "the file is empty");
    show(import, each ? "imported" : "read", true);
    return 0;
}

static int store_failed(const struct import *import, int rc)
{
    char text[400];
    snprintf(text, sizeof text, "%s; what stands before is imported, repeat the import to go on",
             rc == NP_E_STORE ? np_store_error(import->store) : np_strerror(rc));
    return fail_at(import, text);
}

static int count_row(int rc, long long *added, long long *known)
{
    if (rc == 0)
        ++*added;
    else if (rc == -EEXIST)
        ++*known;
    else
        return rc;
    return 0;
}

static int write_row(struct import *import, const struct np_factorylist_row *row)
{
    int rc = 0;
    if (row->serial[0])
        rc = count_row(np_store_serial_add(import->store, row->serial, row->model, import->now_s), &import->serials_new,
                       &import->serials_known);
    if (rc == NP_E_CONFLICT)
        return fail_at(import, "this serial number is known with another model");
    if (rc == 0 && row->code[0]) {
        struct np_claim claim = {.added_s = import->now_s};
        np_hq_claim_hash(import->master, row->code, claim.hash);
        memcpy(claim.serial, row->serial, sizeof claim.serial);
        memcpy(claim.model, row->model, sizeof claim.model);
        rc = count_row(np_store_claim_add(import->store, &claim), &import->codes_new, &import->codes_known);
    }
    return rc == NP_E_CONFLICT ? fail_at(import, "this claim code is known with another serial number or model") : rc;
}

/* Nothing of a wrong line is kept. */
static int add_row(struct import *import, const struct np_factorylist_row *row)
{
    struct import before = *import;
    np_store_unit_begin(import->store);
    int rc = np_store_unit_end(import->store, write_row(import, row));
    if (rc) {
        import->serials_new = before.serials_new;
        import->codes_new = before.codes_new;
    }
    if (rc > 0)
        return rc; /* it has been told */
    if (rc == 0 && import->rows % BATCH == 0)
        rc = np_store_commit(import->store);
    return rc ? store_failed(import, rc) : 0;
}

static int import_lines(struct import *import)
{
    import->now_s = (int64_t)time(NULL);
    char detail[NP_AUDIT_DETAIL_MAX + 1];
    int status = each_line(import, add_row);
    snprintf(detail, sizeof detail, "%.80s: %lld serial numbers, %lld claim codes", import->path, import->serials_new,
             import->codes_new);
    int rc = np_verb_audit(import->store, NP_AUDIT_IMPORT, NULL, detail);
    if (rc == 0)
        rc = np_store_commit(import->store); /* what stands before a wrong line is good */
    return status ? status : rc ? store_failed(import, rc) : 0;
}

static void print_counts(const struct import *import, bool check, bool json)
{
    if (json)
        printf("{\"lines\": %lld, \"serials\": {\"new\": %lld, \"known\": %lld}, "
               "\"claim_codes\": {\"new\": %lld, \"known\": %lld}}\n",
               import->rows, import->serials_new, import->serials_known, import->codes_new, import->codes_known);
    else if (check)
        printf("%lld lines, all good\n", import->rows);
    else
        printf("%lld lines: %lld new serial numbers (%lld known), %lld new claim codes (%lld known)\n", import->rows,
               import->serials_new, import->serials_known, import->codes_new, import->codes_known);
}

static int run(struct import *import, const char *config, bool check, bool json)
{
    int status = 0;
    import->file = fopen(import->path, "re");
    if (!import->file || fseek(import->file, 0, SEEK_END) || ftell(import->file) < 0) {
        fprintf(stderr, "nameplate-hq: %s: %s\n", import->path, import->file ? "is no file" : np_strerror(-errno));
        status = NP_EXIT_FAILED;
    }
    if (!status)
        status = each_line(import, NULL);
    import->lines = import->line;
    if (!status && !check) {
        status = np_verb_open_factory(config, false, &import->store, import->master);
        if (!status)
            status = import_lines(import);
        np_store_close(import->store);
        np_wipe(import->master, sizeof import->master);
    }
    if (!status)
        print_counts(import, check, json);
    if (import->file)
        fclose(import->file);
    return status;
}

static int run_import(int argc, char **argv)
{
    static const struct option table[] = {{"config", required_argument, NULL, 'c'},
                                          {"json", no_argument, NULL, 'j'},
                                          {"check", no_argument, NULL, 'n'},
                                          {NULL, 0, NULL, 0}};
    struct import import = {.terminal = isatty(STDERR_FILENO)};
    const char *config = NP_HQ_CONFIG_DEFAULT;
    bool json = false, check = false;
    int option;
    while ((option = getopt_long(argc, argv, "c:", table, NULL)) != -1) {
        if (option == 'c')
            config = optarg;
        else if (option == 'j')
            json = true;
        else if (option == 'n')
            check = true;
        else
            return np_verb_see_help(argv[0]);
    }
    if (optind + 1 != argc)
        return np_verb_usage_error("import needs one file");
    import.path = argv[optind];
    return run(&import, config, check, json);
}

const struct np_verb np_import_verb = {
    .name = "import",
    .run = run_import,
    .synopsis = "  nameplate-hq import FILE.csv [--check] [--config FILE]        take over a factory's list\n",
    .help = help,
};

#include "hq/cli/cli.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hq/cli/verb.h"
#include "resolver/base/text.h"

#define ID_LEN 22 /* characters of a device's or an order's id */

static int run_version(int argc, char **argv)
{
    (void)argv;
    if (argc > 1)
        return np_verb_usage_error("version takes nothing else");
    puts("nameplate-hq " NP_VERSION);
    return EXIT_SUCCESS;
}

static const char version_help[] = "nameplate-hq version\n\nPrints the program's version.\n";

static const struct np_verb version_verb = {
    .name = "version", .run = run_version, .synopsis = "  nameplate-hq version\n", .help = version_help};
static const struct np_verb version_option = {.name = "--version", .run = run_version, .help = version_help};

static const struct np_verb *const verbs[] = {
    &np_init_verb,    &np_serve_verb,          &np_device_verb, &np_order_verb,  &np_claim_verb,     &np_audit_verb,
    &np_import_verb,  &np_factory_secret_verb, &np_zone_verb,   &np_ca_verb,     &np_stats_verb,     &np_backup_verb,
    &np_restore_verb, &np_recovery_verb,       &version_verb,   &version_option, &np_child_dns_verb,
};

#define VERB_COUNT (sizeof verbs / sizeof *verbs)

static const struct np_verb *find_verb(const char *name)
{
    for (size_t i = 0; i < VERB_COUNT; i++) {
        if (strcmp(verbs[i]->name, name) == 0)
            return verbs[i];
    }
    return NULL;
}

static void print_program_help(FILE *out)
{
    fputs("nameplate-hq: names and certificates for a manufacturer's devices\n\n", out);
    for (size_t i = 0; i < VERB_COUNT; i++) {
        if (verbs[i]->synopsis)
            fputs(verbs[i]->synopsis, out);
    }
    fputs("\nFILE is " NP_HQ_CONFIG_DEFAULT " unless given. 'nameplate-hq VERB --help' tells more about a verb.\n",
          out);
}

static void print_verb_help(const struct np_verb *verb)
{
    fputs(verb->help, stdout);
    if (verb->keys) {
        puts("\nKeys of the file:");
        np_config_describe(verb->keys(), stdout);
    }
}

static int print_help(const char *name)
{
    const struct np_verb *verb = name ? find_verb(name) : NULL;
    if (verb && verb->help)
        print_verb_help(verb);
    else
        print_program_help(stdout);
    return EXIT_SUCCESS;
}

static bool wants_help(int argc, char **argv)
{
    for (int i = 2; i < argc && strcmp(argv[i], "--") != 0; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
            return true;
    }
    return false;
}

static int unknown_verb(const char *name)
{
    const char *names[VERB_COUNT];
    size_t count = 0;
    for (size_t i = 0; i < VERB_COUNT; i++) {
        if (verbs[i]->synopsis)
            names[count++] = verbs[i]->name;
    }
    const char *near = np_nearest(name, names, count);
    return near ? np_verb_usage_error("unknown verb '%s', did you mean '%s'?", name, near)
                : np_verb_usage_error("unknown verb '%s'", name);
}

/* Is this an id (22 characters of base64url) that begins with '-', as one in 64 does, and no option's value? */
static bool is_id(const char *word, const char *before)
{
    static const char base64url[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    bool value = before[0] == '-' && strcmp(before, "--json") != 0 && strlen(before) != ID_LEN;
    return word[0] == '-' && strlen(word) == ID_LEN && strspn(word, base64url) == ID_LEN && !value;
}

/* A copy of argv for getopt, with such ids behind a "--" at the end, unless there is a "--" already. The caller frees
 * it. NULL: out of memory. */
static char **set_ids_apart(int argc, char **argv, int *out_argc)
{
    static char end[] = "--";
    char **words = calloc((size_t)argc + 2, sizeof *words);
    bool apart = true;
    int count = 0;
    for (int i = 1; i < argc; i++)
        apart = apart && strcmp(argv[i], end) != 0;
    for (int i = 0; words && i < argc; i++) {
        if (!apart || i == 0 || !is_id(argv[i], argv[i - 1]))
            words[count++] = argv[i];
    }
    if (words && count < argc)
        words[count++] = end;
    for (int i = 1; words && apart && i < argc; i++) {
        if (is_id(argv[i], argv[i - 1]))
            words[count++] = argv[i];
    }
    *out_argc = count;
    return words;
}

static int run_verb(const struct np_verb *verb, int argc, char **argv)
{
    char title[64];
    int count;
    char **words = set_ids_apart(argc, argv, &count);
    if (!words)
        return np_verb_failed("out of memory");
    snprintf(title, sizeof title, "nameplate-hq %s", verb->name);
    words[1] = title; /* getopt begins its messages with it */
    int status = verb->run(count - 1, words + 1);
    free(words);
    return status;
}

int np_hq_cli_main(int argc, char **argv)
{
    if (argc < 2) {
        print_program_help(stderr);
        return NP_EXIT_USAGE;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "help") == 0 || strcmp(argv[1], "-h") == 0)
        return print_help(argc > 2 ? argv[2] : NULL);
    const struct np_verb *verb = find_verb(argv[1]);
    if (!verb)
        return unknown_verb(argv[1]);
    if (verb->help && wants_help(argc, argv))
        return print_help(verb->name);
    return run_verb(verb, argc, argv);
}

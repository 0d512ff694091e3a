/* config: reading a configuration file ("key = value", lists as {"a", "b"} or one value, # comments) with libconfuse,
 * with errors that name file, line and, for an unknown key, the nearest known one.
 *
 * A program declares its keys in one table; every key has a type, a default as text and a one-line help, so that sample
 * files, `config` verbs and manuals come from the same table. Values are read with the typed getters, by key. */
#ifndef RESOLVER_BASE_CONFIG_H
#define RESOLVER_BASE_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define NP_CONFIG_KEYS_MAX  96    /* keys in one table */
#define NP_CONFIG_LIST_MAX  64    /* values in one list */
#define NP_CONFIG_FILE_MAX  65536 /* bytes of a file */
#define NP_CONFIG_ERROR_MAX 512   /* bytes of an error text */

enum np_config_type { NP_CONFIG_STRING, NP_CONFIG_INT, NP_CONFIG_BOOL, NP_CONFIG_LIST };

/* One key. default_value is text ("300", "true", "a, b" for lists); NULL: unset unless the file sets it. choices, where
 * not NULL, is a NULL-terminated list of the only values a string may have. min and max bound an integer. */
struct np_config_key {
    const char *name;
    enum np_config_type type;
    const char *default_value;
    const char *help;
    const char *const *choices;
    int64_t min, max;
};

struct np_config;

/* Parses text (len bytes; path only names it in errors) by the key table, which is borrowed and ends with name == NULL.
 * On success *out_config is to be freed with np_config_free. Returns 0, -ENOMEM, or NP_E_CONFIG with a text such as
 * "box.conf:3: unknown key 'roel', did you mean 'role'?" in error. */
int np_config_parse(const char *text, size_t len, const char *path, const struct np_config_key *keys,
                    struct np_config **out_config, char error[NP_CONFIG_ERROR_MAX]);

/* np_config_parse on a file. A file that cannot be read is NP_E_CONFIG with the reason in error. */
int np_config_load(const char *path, const struct np_config_key *keys, struct np_config **out_config,
                   char error[NP_CONFIG_ERROR_MAX]);

/* Frees; NULL is fine. */
void np_config_free(struct np_config *config);

/* The value of a string key, NULL when unset. Lives as long as config. Asking for a key that is not in the table or has
 * another type is a programming error and ends the program. */
const char *np_config_string(const struct np_config *config, const char *name);

/* The value of an integer key. An integer key always has a default. */
int64_t np_config_int(const struct np_config *config, const char *name);

/* The value of a boolean key. A boolean key always has a default. */
bool np_config_bool(const struct np_config *config, const char *name);

/* The number of values of a list key. */
size_t np_config_list_count(const struct np_config *config, const char *name);

/* Value index of a list key; NULL past the end. Lives as long as config. */
const char *np_config_list(const struct np_config *config, const char *name, size_t index);

/* The line where the key was set, 0 when it has its default: for errors found later ("box.conf:7: ..."). */
unsigned np_config_line(const struct np_config *config, const char *name);

/* Writes "path:line: " and the formatted text to error, for a value of key name that turned out to be wrong. Returns
 * NP_E_CONFIG, so that it can be returned at once. */
int np_config_fail(const struct np_config *config, const char *name, char error[NP_CONFIG_ERROR_MAX],
                   const char *format, ...) __attribute__((format(printf, 4, 5)));

/* Writes a line for each key, with its help and its default: for a program's --help, from which manuals are made. */
void np_config_describe(const struct np_config_key *keys, FILE *out);

/* The candidate nearest to text by edit distance, or NULL when none is near (distance over a third of its length).
 * count candidates. */
const char *np_nearest(const char *text, const char *const *candidates, size_t count);

#endif

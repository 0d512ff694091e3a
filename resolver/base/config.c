#include "resolver/base/config.h"

#include <confuse.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "resolver/base/error.h"
#include "resolver/base/file.h"
#include "resolver/base/log.h"
#include "resolver/base/text.h"

struct np_config {
    const struct np_config_key *keys;
    size_t key_count;
    char *path;
    cfg_opt_t *options;
    cfg_t *cfg;
    unsigned lines[NP_CONFIG_KEYS_MAX]; /* where a key was set; 0: default */
    char *error;                        /* the caller's buffer, while parsing */
};

/* libconfuse's callbacks carry no pointer of ours; parsing is synchronous, so one pointer a thread serves. */
static _Thread_local struct np_config *parsing;

static int key_index(const struct np_config *config, const char *name)
{
    for (size_t i = 0; i < config->key_count; i++) {
        if (strcmp(config->keys[i].name, name) == 0)
            return (int)i;
    }
    return -1;
}

static size_t edit_distance(const char *a, const char *b)
{
    size_t row[64], la = strlen(a), lb = strlen(b);
    if (la >= 64 || lb >= 64)
        return SIZE_MAX;
    for (size_t j = 0; j <= lb; j++)
        row[j] = j;
    for (size_t i = 1; i <= la; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= lb; j++) {
            size_t replace = diagonal + (a[i - 1] != b[j - 1]);
            size_t least = row[j] + 1 < row[j - 1] + 1 ? row[j] + 1 : row[j - 1] + 1;
            diagonal = row[j];
            row[j] = replace < least ? replace : least;
        }
    }
    return row[lb];
}

const char *np_nearest(const char *text, const char *const *candidates, size_t count)
{
    const char *best = NULL;
    size_t best_distance = strlen(text) / 3 + 1; /* allowed: a third, and always one slip */
    for (size_t i = 0; i < count; i++) {
        size_t distance = edit_distance(text, candidates[i]);
        /* Two letters swapped count as two edits, and are the commonest slip of all. */
        if (distance <= best_distance || (distance == 2 && best_distance < 2 && strlen(text) >= 3)) {
            if (best && distance >= edit_distance(text, best))
                continue;
            best = candidates[i];
        }
    }
    return best;
}

static void report(struct np_config *config, unsigned line, const char *text)
{
    if (config->error[0])
        return; /* the first error is the cause */
    char clean[NP_CONFIG_ERROR_MAX];
    np_text_sanitize(text, clean, sizeof clean);
    snprintf(config->error, NP_CONFIG_ERROR_MAX, "%.200s:%u: %.280s", config->path, line, clean);
}

static void report_unknown(struct np_config *config, unsigned line, const char *name)
{
    const char *names[NP_CONFIG_KEYS_MAX];
    char text[NP_CONFIG_ERROR_MAX];
    for (size_t i = 0; i < config->key_count; i++)
        names[i] = config->keys[i].name;
    const char *near = np_nearest(name, names, config->key_count);
    snprintf(text, sizeof text, "unknown key '%.60s'%s%s%s", name, near ? ", did you mean '" : "", near ? near : "",
             near ? "'?" : "");
    report(config, line, text);
}

__attribute__((format(printf, 2, 0))) static void on_error(cfg_t *cfg, const char *format, va_list args)
{
    char text[NP_CONFIG_ERROR_MAX], name[64];
    vsnprintf(text, sizeof text, format, args);
    const char *quote = strchr(text, '\'');
    if (strncmp(text, "no such option", 14) == 0 && quote) {
        snprintf(name, sizeof name, "%.60s", quote + 1);
        char *end = strrchr(name, '\'');
        if (end)
            *end = 0;
        report_unknown(parsing, (unsigned)cfg->line, name);
        return;
    }
    report(parsing, (unsigned)cfg->line, text);
}

static int check_choice(const struct np_config_key *key, const char *value, char *text, size_t size)
{
    size_t n = 0;
    for (; key->choices[n]; n++) {
        if (strcmp(key->choices[n], value) == 0)
            return 0;
    }
    int used = snprintf(text, size, "%s = %.40s: must be one of", key->name, value);
    for (size_t i = 0; i < n && used > 0 && (size_t)used < size; i++)
        used += snprintf(text + used, size - (size_t)used, " %s", key->choices[i]);
    return NP_E_CONFIG;
}

static int on_value(cfg_t *cfg, cfg_opt_t *option)
{
    struct np_config *config = parsing;
    int index = key_index(config, option->name);
    char text[NP_CONFIG_ERROR_MAX];
    if (index < 0)
        return 0;
    const struct np_config_key *key = &config->keys[index];
    if (key->type == NP_CONFIG_INT) {
        long value = cfg_opt_getnint(option, 0);
        if (value >= key->min && value <= key->max)
            return 0;
        snprintf(text, sizeof text, "%s = %ld: must be from %lld to %lld", key->name, value, (long long)key->min,
                 (long long)key->max);
        report(config, (unsigned)cfg->line, text);
        return -1;
    }
    if (key->type == NP_CONFIG_STRING && key->choices) {
        const char *value = cfg_opt_getnstr(option, 0);
        if (!value || check_choice(key, value, text, sizeof text)) {
            report(config, (unsigned)cfg->line, value ? text : "a value is missing");
            return -1;
        }
    }
    if (key->type == NP_CONFIG_LIST && cfg_opt_size(option) > NP_CONFIG_LIST_MAX) {
        snprintf(text, sizeof text, "%s has more than %d values", key->name, NP_CONFIG_LIST_MAX);
        report(config, (unsigned)cfg->line, text);
        return -1;
    }
    return 0;
}

/* libconfuse takes a list's default as "{a, b}"; those strings live until the options are freed. */
static int make_option(const struct np_config_key *key, cfg_opt_t *out_option)
{
    char *fallback = (char *)(uintptr_t)key->default_value;
    switch (key->type) {
    case NP_CONFIG_STRING: {
        cfg_opt_t option = CFG_STR(key->name, fallback, CFGF_NONE);
        *out_option = option;
        return 0;
    }
    case NP_CONFIG_INT: {
        int64_t value = 0;
        if (!fallback || np_parse_int(fallback, key->min, key->max, &value))
            return NP_E_CONFIG;
        cfg_opt_t option = CFG_INT(key->name, (long)value, CFGF_NONE);
        *out_option = option;
        return 0;
    }
    case NP_CONFIG_BOOL: {
        cfg_opt_t option =
            CFG_BOOL(key->name, fallback && strcmp(fallback, "true") == 0 ? cfg_true : cfg_false, CFGF_NONE);
        *out_option = option;
        return 0;
    }
    case NP_CONFIG_LIST: {
        cfg_opt_t option = CFG_STR_LIST(key->name, fallback, CFGF_NONE);
        *out_option = option;
        return 0;
    }
    }
    return NP_E_CONFIG;
}

/* libconfuse 3.3 counts the lines that have a comment two or three times, keeps its scanner's state of a quote or
 * comment that was never closed for the next file, and silently takes the last of two assignments. So its text is
 * looked at before: comments are blanked, open ends and second assignments refused, and the lines of the keys noted. */
struct scan {
    struct np_config *config;
    char *at;
    unsigned line;
};

static int refuse(const struct scan *scan, unsigned line, const char *text)
{
    report(scan->config, line, text);
    return NP_E_CONFIG;
}

/* From an opening quote to its closing one. */
static int scan_quoted(struct scan *scan)
{
    char quote = *scan->at++;
    unsigned start = scan->line;
    for (; *scan->at != quote; scan->at++) {
        if (*scan->at == '\\' && scan->at[1] && scan->at[1] != '\n')
            scan->at++;
        else if (*scan->at == '\n')
            scan->line++;
        else if (*scan->at == 0)
            return refuse(scan, start, "a quoted value is never closed");
    }
    return 0;
}

/* From the first character of a comment to its last (the line's end is not of it). */
static int scan_comment(struct scan *scan, bool block)
{
    unsigned start = scan->line;
    char *end = block ? strstr(scan->at + 2, "*/") : strchrnul(scan->at, '\n');
    if (!end)
        return refuse(scan, start, "a comment is never closed");
    end += block ? 1 : -1;
    for (; scan->at <= end; scan->at++) {
        if (*scan->at == '\n')
            scan->line++;
        else
            *scan->at = ' ';
    }
    scan->at = end;
    return 0;
}

/* At "=" (or the "=" of "+=", which adds to a list): whose assignment is it? */
static int scan_assignment(struct scan *scan, const char *text)
{
    bool append = scan->at > text && scan->at[-1] == '+';
    const char *end = append ? scan->at - 1 : scan->at;
    while (end > text && strchr(" \t\r", end[-1]))
        end--;
    const char *start = end;
    while (start > text && !strchr(" \t\r\n={}(),\"'", start[-1]))
        start--;
    char name[64], message[128];
    snprintf(name, sizeof name, "%.*s", (int)(end - start < 63 ? end - start : 63), start);
    int index = key_index(scan->config, name);
    if (index < 0)
        return 0; /* libconfuse names it */
    unsigned *line = &scan->config->lines[index];
    if (*line && !append) {
        snprintf(message, sizeof message, "%s is set twice (first in line %u)", name, *line);
        return refuse(scan, scan->line, message);
    }
    if (*line == 0)
        *line = scan->line;
    return 0;
}

static int scan_text(struct np_config *config, char *text)
{
    struct scan scan = {config, text, 1};
    char before = '\n';
    for (int rc = 0; *scan.at; before = *scan.at++) {
        /* "//" and "/ *" begin a comment only where a word could begin: URLs pass. */
        bool word_start = strchr(" \t\r\n={},", before) != NULL;
        if (*scan.at == '\n')
            scan.line++;
        else if (*scan.at == '"' || *scan.at == '\'')
            rc = scan_quoted(&scan);
        else if (*scan.at == '#' || (word_start && scan.at[0] == '/' && scan.at[1] == '/'))
            rc = scan_comment(&scan, false);
        else if (word_start && scan.at[0] == '/' && scan.at[1] == '*')
            rc = scan_comment(&scan, true);
        else if (*scan.at == '=')
            rc = scan_assignment(&scan, text);
        if (rc)
            return rc;
    }
    return 0;
}

static int parse_into(struct np_config *config, const char *text, size_t len)
{
    char *copy = strndup(text, len);
    if (!copy)
        return -ENOMEM;
    if (scan_text(config, copy)) {
        free(copy);
        return NP_E_CONFIG;
    }
    cfg_set_error_function(config->cfg, on_error);
    for (size_t i = 0; i < config->key_count; i++)
        cfg_set_validate_func(config->cfg, config->keys[i].name, on_value);
    parsing = config;
    int result = cfg_parse_buf(config->cfg, copy);
    parsing = NULL;
    free(copy);
    if (result != CFG_SUCCESS) {
        if (!config->error[0])
            report(config, (unsigned)config->cfg->line, "syntax error");
        return NP_E_CONFIG;
    }
    return 0;
}

int np_config_parse(const char *text, size_t len, const char *path, const struct np_config_key *keys,
                    struct np_config **out_config, char error[NP_CONFIG_ERROR_MAX])
{
    error[0] = 0;
    if (len > NP_CONFIG_FILE_MAX || memchr(text, 0, len)) {
        snprintf(error, NP_CONFIG_ERROR_MAX, "%.200s: %s", path,
                 len > NP_CONFIG_FILE_MAX ? "the file is too large" : "the file has a NUL byte: not a text file");
        return NP_E_CONFIG;
    }
    struct np_config *config = calloc(1, sizeof *config);
    int rc = -ENOMEM;
    if (!config)
        return rc;
    config->keys = keys;
    while (keys[config->key_count].name)
        config->key_count++;
    if (config->key_count > NP_CONFIG_KEYS_MAX)
        abort(); /* a table in the program's own source */
    config->error = error;
    config->path = strdup(path);
    config->options = calloc(config->key_count + 1, sizeof *config->options);
    if (!config->path || !config->options)
        goto out;
    for (size_t i = 0; i < config->key_count; i++) {
        if (make_option(&keys[i], &config->options[i]))
            abort(); /* likewise */
    }
    cfg_opt_t end = CFG_END();
    config->options[config->key_count] = end;
    config->cfg = cfg_init(config->options, CFGF_NONE);
    if (!config->cfg)
        goto out;
    rc = parse_into(config, text, len);
    if (rc)
        goto out;
    config->error = NULL;
    *out_config = config;
    config = NULL;
out:
    np_config_free(config);
    return rc;
}

int np_config_load(const char *path, const struct np_config_key *keys, struct np_config **out_config,
                   char error[NP_CONFIG_ERROR_MAX])
{
    uint8_t *data;
    size_t len;
    int rc = np_file_read(path, NP_CONFIG_FILE_MAX, &data, &len);
    if (rc) {
        snprintf(error, NP_CONFIG_ERROR_MAX, "%.200s: %s%s", path, np_strerror(rc),
                 rc == -ENOENT ? " (--config FILE names another)" : "");
        return NP_E_CONFIG;
    }
    rc = np_config_parse((const char *)data, len, path, keys, out_config, error);
    free(data);
    return rc;
}

void np_config_free(struct np_config *config)
{
    if (!config)
        return;
    if (config->cfg)
        cfg_free(config->cfg);
    free(config->options);
    free(config->path);
    free(config);
}

static size_t require_key(const struct np_config *config, const char *name, enum np_config_type type)
{
    int index = key_index(config, name);
    if (index < 0 || config->keys[index].type != type) {
        np_error("internal error: no configuration key '%s' of that type", name);
        abort();
    }
    return (size_t)index;
}

const char *np_config_string(const struct np_config *config, const char *name)
{
    require_key(config, name, NP_CONFIG_STRING);
    return cfg_getstr(config->cfg, name);
}

int64_t np_config_int(const struct np_config *config, const char *name)
{
    require_key(config, name, NP_CONFIG_INT);
    return cfg_getint(config->cfg, name);
}

bool np_config_bool(const struct np_config *config, const char *name)
{
    require_key(config, name, NP_CONFIG_BOOL);
    return cfg_getbool(config->cfg, name) == cfg_true;
}

size_t np_config_list_count(const struct np_config *config, const char *name)
{
    require_key(config, name, NP_CONFIG_LIST);
    return cfg_size(config->cfg, name);
}

const char *np_config_list(const struct np_config *config, const char *name, size_t index)
{
    return index < np_config_list_count(config, name) ? cfg_getnstr(config->cfg, name, (unsigned)index) : NULL;
}

unsigned np_config_line(const struct np_config *config, const char *name)
{
    int index = key_index(config, name);
    return index < 0 ? 0 : config->lines[index];
}

int np_config_fail(const struct np_config *config, const char *name, char error[NP_CONFIG_ERROR_MAX],
                   const char *format, ...)
{
    char text[NP_CONFIG_ERROR_MAX], clean[NP_CONFIG_ERROR_MAX];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    np_text_sanitize(text, clean, sizeof clean);
    unsigned line = np_config_line(config, name);
    if (line)
        snprintf(error, NP_CONFIG_ERROR_MAX, "%.200s:%u: %.280s", config->path, line, clean);
    else
        snprintf(error, NP_CONFIG_ERROR_MAX, "%.200s: %.280s", config->path, clean);
    return NP_E_CONFIG;
}

void np_config_describe(const struct np_config_key *keys, FILE *out)
{
    int width = 0;
    for (const struct np_config_key *key = keys; key->name; key++) {
        int len = (int)strlen(key->name);
        width = len > width ? len : width;
    }
    for (const struct np_config_key *key = keys; key->name; key++) {
        fprintf(out, "  %-*s  %s", width, key->name, key->help);
        if (key->default_value && key->default_value[0])
            fprintf(out, " [%s]", key->default_value);
        fputc('\n', out);
    }
}

#include "tests/replay/script.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "resolver/base/text.h"

static void split(struct step *step)
{
    char *at = step->split;
    memcpy(step->split, step->text, sizeof step->split);
    memset(step->used, 0, sizeof step->used);
    step->count = 0;
    for (;;) {
        while (*at == ' ' || *at == '\t')
            *at++ = 0;
        if (!*at || *at == '#')
            break;
        if (step->count == STEP_WORDS_MAX)
            step_fail(step, "fewer words", "more than %d", STEP_WORDS_MAX);
        char *to = step->words[step->count++] = at;
        bool quoted = false;
        for (; *at && (quoted || (*at != ' ' && *at != '\t')); at++) {
            if (*at == '"')
                quoted = !quoted;
            else
                *to++ = *at;
        }
        if (quoted)
            step_fail(step, "a closing quote", "the end of the line");
        bool last = !*at;
        *to = 0;
        if (last)
            break;
        *at++ = 0;
    }
}

bool step_read(struct step *step, FILE *in)
{
    while (fgets(step->text, sizeof step->text, in)) {
        size_t len = strlen(step->text);
        step->line++;
        if (len + 1 == sizeof step->text)
            step_fail(step, "a shorter line", "%zu characters and more", len);
        while (len && (step->text[len - 1] == '\n' || step->text[len - 1] == ' '))
            step->text[--len] = 0;
        split(step);
        if (step->count)
            return true;
    }
    return false;
}

const char *step_more(struct step *step)
{
    for (size_t i = 0; i < step->count; i++) {
        if (!step->used[i] && !strchr(step->words[i], '=')) {
            step->used[i] = true;
            return step->words[i];
        }
    }
    return NULL;
}

const char *step_word(struct step *step, const char *what)
{
    const char *word = step_more(step);
    if (!word)
        step_fail(step, what, "the end of the line");
    return word;
}

bool step_take(struct step *step, const char *word)
{
    for (size_t i = 0; i < step->count; i++) {
        if (step->used[i] || strchr(step->words[i], '='))
            continue;
        if (strcmp(step->words[i], word) != 0)
            return false;
        step->used[i] = true;
        return true;
    }
    return false;
}

const char *step_option(struct step *step, const char *key)
{
    size_t len = strlen(key);
    for (size_t i = 0; i < step->count; i++) {
        if (!step->used[i] && strncmp(step->words[i], key, len) == 0 && step->words[i][len] == '=') {
            step->used[i] = true;
            return step->words[i] + len + 1;
        }
    }
    return NULL;
}

int64_t step_number(struct step *step, const char *text)
{
    int64_t value;
    if (np_parse_int(text, INT64_MIN / 2, INT64_MAX / 2, &value))
        step_fail(step, "a number", "%s", text);
    return value;
}

int64_t step_option_number(struct step *step, const char *key, int64_t fallback)
{
    const char *text = step_option(step, key);
    return text ? step_number(step, text) : fallback;
}

int64_t step_duration(struct step *step, const char *text)
{
    static const struct {
        const char *name;
        int64_t ms;
    } units[] = {{"ms", 1}, {"s", 1000}, {"min", 60000}, {"h", 3600000}, {"d", 86400000}};
    char *end;
    long long number = strtoll(text, &end, 10);
    for (size_t i = 0; end != text && i < sizeof units / sizeof *units; i++) {
        if (strcmp(end, units[i].name) == 0)
            return number * units[i].ms;
    }
    step_fail(step, "a duration such as 250ms, 2s, 5min, 3h or 10d", "%s", text);
}

void step_end(struct step *step)
{
    for (size_t i = 0; i < step->count; i++) {
        if (!step->used[i])
            step_fail(step, "nothing more that this step understands", "%s", step->words[i]);
    }
}

void step_fail(struct step *step, const char *expected, const char *seen, ...)
{
    va_list args;
    if (step->on_fail)
        step->on_fail(step->ctx);
    printf("%s:%u: %s\n  expected: %s\n  seen:     ", step->file, step->line, step->text, expected);
    va_start(args, seen);
    vprintf(seen, args);
    va_end(args);
    printf("\n");
    exit(1);
}

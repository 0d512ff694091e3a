/* script: one line of a scenario at a time, its words taken one by one, and the one way in which a scenario fails.
 *
 * A line is words between blanks; "double quotes" keep blanks; # begins a comment. key=value words are options and may
 * stand anywhere. A word that nobody took is an error, so that a misspelt step never passes. */
#ifndef TESTS_REPLAY_SCRIPT_H
#define TESTS_REPLAY_SCRIPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define STEP_TEXT_MAX  512
#define STEP_WORDS_MAX 24

/* A line. trace is where everything that happens is written; it is shown when the scenario fails. */
struct step {
    const char *file;
    unsigned line;
    FILE *trace;
    void (*on_fail)(void *ctx); /* called before a failure ends the program */
    void *ctx;
    char text[STEP_TEXT_MAX], split[STEP_TEXT_MAX];
    char *words[STEP_WORDS_MAX];
    bool used[STEP_WORDS_MAX];
    size_t count;
};

/* Reads the next line that is not empty. False at the end of the file. */
bool step_read(struct step *step, FILE *in);

/* The next word that is no option, NULL at the end of the line. */
const char *step_more(struct step *step);

/* Like step_more, but its absence fails the scenario: what says what was wanted. */
const char *step_word(struct step *step, const char *what);

/* Takes the next word if it is this one. */
bool step_take(struct step *step, const char *word);

/* The value of key=value, NULL when the line has none. */
const char *step_option(struct step *step, const char *key);

/* A decimal number; key=number, fallback where the line has none. */
int64_t step_number(struct step *step, const char *text);
/* See step_number. */
int64_t step_option_number(struct step *step, const char *key, int64_t fallback);

/* "250ms", "2s", "5min", "3h", "10d", with a sign or without, in milliseconds. */
int64_t step_duration(struct step *step, const char *text);

/* Fails the scenario unless every word was taken. */
void step_end(struct step *step);

/* Says file, line, step, what was expected and what was seen, and ends the program with status 1. */
void step_fail(struct step *step, const char *expected, const char *seen, ...)
    __attribute__((noreturn, format(printf, 3, 4)));

#endif

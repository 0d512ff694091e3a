/* template: fills in the pages that people edit as HTML (agent/front/pages). Pure.
 *
 * The language is the part of Mustache that is needed here:
 *
 *   {{key}}                the value, escaped for element content and quoted attributes
 *   {{{key}}}              the value as it is: only for files of our own
 *   {{>key}}               the value as a template of its own, filled in where it stands
 *   {{#key}} ... {{/key}}  shown where there is a value; for a list once for each of its items
 *   {{^key}} ... {{/key}}  shown where there is none
 *
 * Sections nest, but not within one of the same key, and a list not within a list. Templates are files of the build,
 * not bytes from outside: a tag without an end is written as it stands. */
#ifndef AGENT_FRONT_TEMPLATE_H
#define AGENT_FRONT_TEMPLATE_H

#include <stddef.h>

#include "resolver/base/cursor.h"

#define NP_TEMPLATE_KEY_MAX 32 /* characters of a key: they are words of our own */

/* Where the values come from. key is not terminated. */
struct np_template_values {
    const void *ctx;
    /* The value of key; index is that of the innermost list's item. NULL counts as "". Valid until the next call. */
    const char *(*value)(const void *ctx, const char *key, size_t key_len, size_t index);
    /* How many items the list key has; -1: it is no list. */
    long (*count)(const void *ctx, const char *key, size_t key_len);
};

/* Writes text with its tags filled in. Over its room, w has the error NP_E_LIMIT. */
void np_template_write(struct np_writer *w, const char *text, size_t len, const struct np_template_values *values);

/* Writes text with & < > " ' escaped (for element content and quoted attributes); control characters become '?'. */
void np_template_escape(struct np_writer *w, const char *text);

#endif

#include "agent/front/template.h"

#include <stdbool.h>
#include <string.h>

#define DEPTH_MAX 16 /* sections and partials within each other: a partial that holds itself ends here */

/* A piece of a template; borrowed. */
struct piece {
    const char *at;
    size_t len;
};

static void put(struct np_writer *w, const char *text)
{
    np_write_bytes(w, text, strlen(text));
}

void np_template_escape(struct np_writer *w, const char *text)
{
    for (; text && *text; text++) {
        unsigned char c = (unsigned char)*text;
        switch (c) {
        case '&':
            put(w, "&amp;");
            break;
        case '<':
            put(w, "&lt;");
            break;
        case '>':
            put(w, "&gt;");
            break;
        case '"':
            put(w, "&quot;");
            break;
        case '\'':
            put(w, "&#39;");
            break;
        default:
            np_write_u8(w, c < 0x20 || c == 0x7f ? '?' : c);
        }
    }
}

/* Where word begins in text; NULL: nowhere. */
static const char *find(struct piece text, const char *word)
{
    return memmem(text.at, text.len, word, strlen(word));
}

static struct piece after(struct piece text, const char *at)
{
    return (struct piece){at, text.len - (size_t)(at - text.at)};
}

/* Splits rest at the end of the section key: what is inside comes out, rest goes on behind "{{/key}}". */
static bool split_section(struct piece *rest, struct piece key, struct piece *out_inside)
{
    char end[NP_TEMPLATE_KEY_MAX + 6] = "{{/";
    if (key.len > NP_TEMPLATE_KEY_MAX)
        return false;
    memcpy(end + 3, key.at, key.len);
    memcpy(end + 3 + key.len, "}}", 3);
    const char *at = find(*rest, end);
    if (!at)
        return false;
    *out_inside = (struct piece){rest->at, (size_t)(at - rest->at)};
    *rest = after(*rest, at + strlen(end));
    return true;
}

static void fill(struct np_writer *w, struct piece text, const struct np_template_values *values, size_t index,
                 unsigned depth);

/* "{{#key}}" or "{{^key}}" with what is inside. */
static void fill_section(struct np_writer *w, char sign, struct piece key, struct piece inside,
                         const struct np_template_values *values, size_t index, unsigned depth)
{
    long count = values->count(values->ctx, key.at, key.len);
    if (count < 0) {
        const char *value = values->value(values->ctx, key.at, key.len, index);
        bool there = value && *value;
        if (there == (sign == '#'))
            fill(w, inside, values, index, depth);
        return;
    }
    for (long i = 0; sign == '#' && i < count; i++)
        fill(w, inside, values, (size_t)i, depth);
    if (sign == '^' && count == 0)
        fill(w, inside, values, index, depth);
}

/* "{{key}}", "{{{key}}}" (raw) or "{{>key}}". */
static void fill_value(struct np_writer *w, bool raw, struct piece key, const struct np_template_values *values,
                       size_t index, unsigned depth)
{
    bool partial = key.len > 0 && key.at[0] == '>';
    const char *value = values->value(values->ctx, key.at + partial, key.len - partial, index);
    if (partial && value)
        fill(w, (struct piece){value, strlen(value)}, values, index, depth);
    else if (raw && value)
        put(w, value);
    else
        np_template_escape(w, value);
}

static void fill(struct np_writer *w, struct piece text, const struct np_template_values *values, size_t index,
                 unsigned depth)
{
    while (text.len > 0 && depth < DEPTH_MAX) {
        const char *open = find(text, "{{");
        size_t before = open ? (size_t)(open - text.at) : text.len;
        np_write_bytes(w, text.at, before);
        text = after(text, text.at + before);
        bool raw = text.len > 2 && text.at[2] == '{';
        const char *close = open ? find(text, raw ? "}}}" : "}}") : NULL;
        if (!close) {
            np_write_bytes(w, text.at, text.len);
            return;
        }
        struct piece key = {text.at + 2 + raw, (size_t)(close - text.at) - 2 - raw}, inside;
        text = after(text, close + 2 + raw);
        char sign = key.len > 0 ? key.at[0] : 0;
        if (sign != '#' && sign != '^') {
            fill_value(w, raw, key, values, index, depth + 1);
            continue;
        }
        key = (struct piece){key.at + 1, key.len - 1};
        if (!split_section(&text, key, &inside))
            return;
        /* A tag that stands alone on its line leaves no empty line behind. */
        if (inside.len > 0 && inside.at[0] == '\n')
            inside = after(inside, inside.at + 1);
        if (text.len > 0 && text.at[0] == '\n')
            text = after(text, text.at + 1);
        fill_section(w, sign, key, inside, values, index, depth + 1);
    }
}

void np_template_write(struct np_writer *w, const char *text, size_t len, const struct np_template_values *values)
{
    fill(w, (struct piece){text, len}, values, 0, 0);
}

/* Statements and schema steps in PostgreSQL's words. */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "hq/store/postgres.h"

/* Text that grows in a buffer of a fixed size. */
struct growing {
    char *out;
    size_t size, len;
};

static void put(struct growing *g, const char *text, size_t len)
{
    if (g->len + len < g->size)
        memcpy(g->out + g->len, text, len);
    g->len += len;
}

static int end(struct growing *g)
{
    if (g->len >= g->size)
        return -ENOSPC;
    g->out[g->len] = 0;
    return 0;
}

/* The length of what is quoted at text ('...' or "..."), with its quotes. */
static size_t quoted(const char *text)
{
    const char *close = strchr(text + 1, text[0]);
    return close ? (size_t)(close - text) + 1 : strlen(text);
}

int np_pg_placeholders(const char *text, char *out, size_t size)
{
    struct growing g = {out, size, 0};
    unsigned count = 0;
    while (*text) {
        if (*text == '\'' || *text == '"') {
            size_t len = quoted(text);
            put(&g, text, len);
            text += len;
        } else if (*text == '?') {
            char number[16];
            put(&g, "$", 1);
            text++;
            if (!isdigit((unsigned char)*text))
                put(&g, number, (size_t)snprintf(number, sizeof number, "%u", ++count));
        } else {
            put(&g, text++, 1);
        }
    }
    return end(&g);
}

static bool is_word(char c)
{
    return isalnum((unsigned char)c) || c == '_';
}

/* Is the text at p the words "a b"? Their length, else 0. */
static size_t is_phrase(const char *p, const char *phrase)
{
    size_t len = strlen(phrase);
    return strncmp(p, phrase, len) == 0 && !is_word(p[len]) ? len : 0;
}

int np_pg_schema(const char *text, char *out, size_t size)
{
    static const struct {
        const char *from, *to;
    } words[] = {
        {"INTEGER", "BIGINT"},         {"BLOB", "BYTEA"}, {"TEXT", "TEXT COLLATE \"C\""}, {"COLLATE NOCASE", ""},
        {"STRICT, WITHOUT ROWID", ""}, {"STRICT", ""},
    };
    struct growing g = {out, size, 0};
    while (*text) {
        size_t len = *text == '\'' || *text == '"' ? quoted(text) : strspn(text, "\n\t (),;.=<>*+-/");
        if (len > 0) {
            put(&g, text, len);
            text += len;
            continue;
        }
        const char *to = NULL;
        for (size_t i = 0; i < sizeof words / sizeof *words && !to; i++) {
            len = is_phrase(text, words[i].from);
            if (len > 0)
                to = words[i].to;
        }
        if (to) {
            put(&g, to, strlen(to));
        } else {
            for (len = 1; is_word(text[0]) && is_word(text[len]); len++)
                ;
            put(&g, text, len);
        }
        text += len;
    }
    return end(&g);
}

#include "hq/factorylist.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "resolver/base/error.h"
#include "resolver/base/text.h"

#define FIELD_MAX 128 /* bytes that are kept of a field: what is longer is too long for every column that counts */

/* The fields of one line, cut to FIELD_MAX. */
struct fields {
    char text[NP_FACTORYLIST_COLUMNS_MAX][FIELD_MAX];
    int count;
};

static int fail(char error[NP_FACTORYLIST_ERROR_MAX], const char *format, ...) __attribute__((format(printf, 2, 3)));

static int fail(char error[NP_FACTORYLIST_ERROR_MAX], const char *format, ...)
{
    char text[NP_FACTORYLIST_ERROR_MAX];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    np_text_sanitize(text, error, NP_FACTORYLIST_ERROR_MAX);
    return NP_E_MALFORMED;
}

/* Without the line break. */
static size_t trimmed(const char *line, size_t len)
{
    if (len && line[len - 1] == '\n')
        len--;
    if (len && line[len - 1] == '\r')
        len--;
    return len;
}

static bool is_blank(const char *line, size_t len)
{
    while (len && (line[len - 1] == ' ' || line[len - 1] == '\t'))
        len--;
    return len == 0;
}

/* Reads one field from *at on, which then stands at the separator or the end. */
static int read_field(const char *line, size_t len, char separator, size_t *at, char out[FIELD_MAX],
                      char error[NP_FACTORYLIST_ERROR_MAX])
{
    size_t used = 0;
    bool quoted = *at < len && line[*at] == '"', closed = false;
    if (quoted)
        ++*at;
    while (*at < len) {
        char c = line[*at];
        if (quoted && c == '"') {
            ++*at;
            if (*at == len || line[*at] != '"') {
                closed = true;
                break;
            }
        } else if (!quoted && c == separator) {
            break;
        } else if (!quoted && c == '"') {
            return fail(error, "a quote in the middle of a field: quote the whole field, and double the quote in it");
        }
        if (used < FIELD_MAX - 1)
            out[used++] = c;
        ++*at;
    }
    out[used] = 0;
    if (quoted && !closed)
        return fail(error, "a quoted field has no end");
    if (*at < len && line[*at] != separator)
        return fail(error, "something stands behind a quoted field");
    return 0;
}

static int split(const char *line, size_t len, char separator, struct fields *out, char error[NP_FACTORYLIST_ERROR_MAX])
{
    size_t at = 0;
    out->count = 0;
    if (memchr(line, 0, len))
        return fail(error, "it holds a zero byte: is this a text file?");
    for (;;) {
        if (out->count == NP_FACTORYLIST_COLUMNS_MAX)
            return fail(error, "it has more than %d columns", NP_FACTORYLIST_COLUMNS_MAX);
        int rc = read_field(line, len, separator, &at, out->text[out->count], error);
        if (rc)
            return rc;
        out->count++;
        if (at >= len)
            return 0;
        at++; /* the separator */
    }
}

/* Without the blanks around it, in place. */
static char *stripped(char *text)
{
    while (*text == ' ' || *text == '\t')
        text++;
    size_t len = strlen(text);
    while (len && (text[len - 1] == ' ' || text[len - 1] == '\t'))
        text[--len] = 0;
    return text;
}

/* "Claim code" and "claim-code" are claim_code. */
static void normalise_heading(char *text)
{
    for (; *text; text++)
        *text = *text == ' ' || *text == '-' ? '_' : (char)tolower((unsigned char)*text);
}

int np_factorylist_heading(const char *line, size_t len, struct np_factorylist *out_list,
                           char error[NP_FACTORYLIST_ERROR_MAX])
{
    struct np_factorylist list = {.serial = -1, .claim_code = -1, .model = -1, .separator = ','};
    const struct {
        const char *name;
        int *column;
    } known[] = {{"serial", &list.serial}, {"claim_code", &list.claim_code}, {"model", &list.model}};
    struct fields fields;
    len = trimmed(line, len);
    if (len >= 3 && memcmp(line, "\xef\xbb\xbf", 3) == 0) {
        line += 3;
        len -= 3;
    }
    if (len && !memchr(line, ',', len) && memchr(line, ';', len))
        list.separator = ';';
    int rc = split(line, len, list.separator, &fields, error);
    if (rc)
        return rc;
    for (int i = 0; i < fields.count; i++) {
        char *name = stripped(fields.text[i]);
        normalise_heading(name);
        for (size_t k = 0; k < sizeof known / sizeof *known; k++) {
            if (strcmp(name, known[k].name) != 0)
                continue;
            if (*known[k].column >= 0)
                return fail(error, "the column '%s' is there twice", known[k].name);
            *known[k].column = i;
        }
    }
    if (list.serial < 0 && list.claim_code < 0)
        return fail(error, "the first line must name the columns: serial, claim_code, model (at least one of the "
                           "first two)");
    list.count = fields.count;
    *out_list = list;
    return 0;
}

bool np_factorylist_is_serial(const char *text)
{
    size_t good = strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-:/");
    return good > 0 && good <= NP_SERIAL_MAX && !text[good];
}

static bool is_model(const char *text)
{
    size_t len = strlen(text);
    for (size_t i = 0; i < len; i++) {
        if (text[i] < 0x20 || text[i] > 0x7e)
            return false;
    }
    return len <= NP_MODEL_MAX;
}

static int take_code(const char *text, char out_code[NP_CLAIM_LEN + 1], char error[NP_FACTORYLIST_ERROR_MAX])
{
    switch (np_claim_parse(text, out_code)) {
    case 0:
        return 0;
    case NP_E_CHECKSUM:
        return fail(error, "claim code '%.40s' has a wrong character: its check character does not fit", text);
    default:
        return fail(error, "'%.40s' is no claim code: %d characters of 0-9 and A-Z without I, L, O, U", text,
                    NP_CLAIM_LEN);
    }
}

int np_factorylist_line(const struct np_factorylist *list, const char *line, size_t len,
                        struct np_factorylist_row *out_row, char error[NP_FACTORYLIST_ERROR_MAX])
{
    struct np_factorylist_row row = {.serial = ""};
    struct fields fields;
    len = trimmed(line, len);
    if (is_blank(line, len))
        return NP_E_NOT_FOUND;
    int rc = split(line, len, list->separator, &fields, error);
    if (rc)
        return rc;
    if (fields.count != list->count)
        return fail(error, "it has %d fields, the first line has %d", fields.count, list->count);
    const char *serial = list->serial < 0 ? "" : stripped(fields.text[list->serial]);
    const char *code = list->claim_code < 0 ? "" : stripped(fields.text[list->claim_code]);
    const char *model = list->model < 0 ? "" : stripped(fields.text[list->model]);
    if (!serial[0] && !code[0])
        return fail(error, "it has neither a serial number nor a claim code");
    if (serial[0] && !np_factorylist_is_serial(serial))
        return fail(error, "serial '%.70s': a serial number has 1 to %d letters, digits and . _ - : /", serial,
                    NP_SERIAL_MAX);
    if (!is_model(model))
        return fail(error, "model '%.70s': a model has at most %d printable ASCII characters", model, NP_MODEL_MAX);
    if (code[0] && (rc = take_code(code, row.code, error)))
        return rc;
    memcpy(row.serial, serial, strlen(serial) + 1);
    memcpy(row.model, model, strlen(model) + 1);
    *out_row = row;
    return 0;
}

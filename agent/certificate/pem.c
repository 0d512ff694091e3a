#include "agent/certificate/pem.h"

#include <bearssl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "resolver/base/error.h"

/* The next line without its end (LF, CRLF or the end of the text); false at the end. */
static bool next_line(struct np_pem *pem, const char **out_line, size_t *out_len)
{
    if (pem->pos >= pem->len)
        return false;
    const char *line = pem->text + pem->pos, *end = memchr(line, '\n', pem->len - pem->pos);
    size_t len = end ? (size_t)(end - line) : pem->len - pem->pos;
    pem->pos += len + (end ? 1 : 0);
    while (len > 0 && (line[len - 1] == '\r' || line[len - 1] == ' ' || line[len - 1] == '\t'))
        len--;
    *out_line = line;
    *out_len = len;
    return true;
}

static bool is_boundary(const char *line, size_t len, const char *word, const char *label)
{
    char wanted[96];
    int n = snprintf(wanted, sizeof wanted, "-----%s %s-----", word, label);
    return n > 0 && (size_t)n == len && memcmp(line, wanted, len) == 0;
}

static int digit(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* Base64 (RFC 4648 section 4) that may be spread over lines. */
struct base64 {
    uint8_t *out;
    size_t size, len;
    unsigned bits, count, padding;
};

static int decode_line(struct base64 *b, const char *line, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (line[i] == '=') {
            b->padding++;
            continue;
        }
        int value = digit(line[i]);
        if (value < 0 || b->padding)
            return NP_E_MALFORMED;
        b->bits = b->bits << 6 | (unsigned)value;
        b->count += 6;
        if (b->count < 8)
            continue;
        if (b->len == b->size)
            return NP_E_LIMIT;
        b->count -= 8;
        b->out[b->len++] = (uint8_t)(b->bits >> b->count);
        b->bits &= (1u << b->count) - 1;
    }
    return 0;
}

/* Padding completes the last group of four; unused bits are zero. */
static bool complete(const struct base64 *b)
{
    unsigned padding = b->count == 2 ? 1 : b->count == 4 ? 2 : 0;
    return b->len > 0 && b->count != 6 && b->bits == 0 && b->padding == padding;
}

long np_pem_next(struct np_pem *pem, const char *label, uint8_t *out, size_t size)
{
    const char *line;
    size_t len;
    do {
        if (!next_line(pem, &line, &len))
            return 0;
    } while (!is_boundary(line, len, "BEGIN", label));
    struct base64 b = {.out = out, .size = size};
    while (next_line(pem, &line, &len)) {
        if (is_boundary(line, len, "END", label))
            return complete(&b) ? (long)b.len : NP_E_MALFORMED;
        int rc = decode_line(&b, line, len);
        if (rc)
            return rc;
    }
    return NP_E_MALFORMED;
}

int np_pem_append(const char *label, const uint8_t *der, size_t len, char *text, size_t size, size_t *pos)
{
    size_t need = br_pem_encode(NULL, der, len, label, BR_PEM_LINE64);
    if (*pos > size || size - *pos <= need)
        return NP_E_LIMIT;
    *pos += br_pem_encode(text + *pos, der, len, label, BR_PEM_LINE64);
    return 0;
}

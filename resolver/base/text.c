#include "resolver/base/text.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "resolver/base/error.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

size_t np_base64url_encode(const void *data, size_t len, char *out)
{
    const uint8_t *in = data;
    size_t n = 0;
    for (size_t i = 0; i < len; i += 3) {
        uint32_t group = (uint32_t)in[i] << 16;
        size_t have = len - i > 2 ? 3 : len - i;
        if (have > 1)
            group |= (uint32_t)in[i + 1] << 8;
        if (have > 2)
            group |= in[i + 2];
        for (size_t k = 0; k <= have; k++)
            out[n++] = alphabet[group >> (18 - 6 * k) & 63];
    }
    out[n] = 0;
    return n;
}

static int value_of(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '-' ? 62 : c == '_' ? 63 : -1;
}

long np_base64url_decode(const char *text, size_t len, void *out, size_t size)
{
    uint8_t *bytes = out;
    size_t need = len / 4 * 3 + (len % 4 ? len % 4 - 1 : 0);
    if (len % 4 == 1)
        return NP_E_MALFORMED;
    if (need > size)
        return NP_E_LIMIT;
    uint32_t group = 0;
    unsigned bits = 0;
    size_t n = 0;
    for (size_t i = 0; i < len; i++) {
        int v = value_of(text[i]);
        if (v < 0)
            return NP_E_MALFORMED;
        group = group << 6 | (uint32_t)v;
        bits += 6;
        if (bits >= 8) {
            bits -= 8;
            bytes[n++] = (uint8_t)(group >> bits);
            group &= (1u << bits) - 1;
        }
    }
    return group == 0 ? (long)n : NP_E_MALFORMED;
}

int np_base64url_decode_exact(const char *text, void *out, size_t size)
{
    long n = np_base64url_decode(text, strlen(text), out, size);
    return n == (long)size ? 0 : NP_E_MALFORMED;
}

void np_hex_encode(const void *data, size_t len, char *out)
{
    static const char digits[] = "0123456789abcdef";
    const uint8_t *in = data;
    for (size_t i = 0; i < len; i++) {
        out[2 * i] = digits[in[i] >> 4];
        out[2 * i + 1] = digits[in[i] & 15];
    }
    out[2 * len] = 0;
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

int np_hex_decode_exact(const char *text, void *out, size_t size)
{
    if (strlen(text) != size * 2)
        return NP_E_MALFORMED;
    for (size_t i = 0; i < size; i++) {
        int high = hex_value(text[2 * i]), low = hex_value(text[2 * i + 1]);
        if (high < 0 || low < 0)
            return NP_E_MALFORMED;
        ((uint8_t *)out)[i] = (uint8_t)(high << 4 | low);
    }
    return 0;
}

bool np_is_hostname(const char *text)
{
    size_t label = 0, total = 0;
    bool letter = false;
    char before = '.';
    for (const char *p = text; *p; p++, total++) {
        char c = *p;
        bool alpha = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        if (c == '.') {
            if (label == 0 || before == '-')
                return false;
            label = 0;
        } else {
            if (!alpha && !(c >= '0' && c <= '9') && c != '-')
                return false;
            if ((c == '-' && label == 0) || ++label > 63)
                return false;
            letter |= alpha;
        }
        before = c;
    }
    return total > 0 && total <= 253 && label > 0 && before != '-' && letter;
}

bool np_is_token(const char *text, size_t max)
{
    size_t n = 0;
    for (; text[n]; n++) {
        if (n == max || text[n] < 0x21 || text[n] > 0x7e)
            return false;
    }
    return n > 0;
}

void np_text_sanitize(const char *text, char *out, size_t size)
{
    size_t n = 0;
    for (; text[n] && n + 1 < size; n++)
        out[n] = text[n] >= 0x20 && text[n] <= 0x7e ? text[n] : '?';
    if (size > 0)
        out[n] = 0;
}

bool np_equal_constant_time(const void *a, const void *b, size_t len)
{
    const volatile uint8_t *x = a, *y = b;
    uint8_t difference = 0;
    for (size_t i = 0; i < len; i++)
        difference |= x[i] ^ y[i];
    return difference == 0;
}

void np_wipe(void *data, size_t len)
{
    explicit_bzero(data, len);
}

int np_parse_int(const char *text, int64_t min, int64_t max, int64_t *out_value)
{
    char *end;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    bool starts_well = (text[0] >= '0' && text[0] <= '9') || (text[0] == '-' && text[1] >= '0' && text[1] <= '9');
    if (!starts_well || *end != 0 || errno == ERANGE || value < min || value > max)
        return NP_E_MALFORMED;
    *out_value = value;
    return 0;
}

int np_parse_size(const char *text, uint64_t min, uint64_t max, uint64_t *out_bytes)
{
    static const char units[] = "KMG";
    uint64_t value = 0;
    if (*text < '0' || *text > '9')
        return NP_E_MALFORMED;
    for (; *text >= '0' && *text <= '9'; text++) {
        uint64_t digit = (uint64_t)(*text - '0');
        if (value > (UINT64_MAX - digit) / 10)
            return NP_E_MALFORMED;
        value = value * 10 + digit;
    }
    const char *unit = *text ? strchr(units, toupper((unsigned char)*text)) : NULL;
    unsigned shift = unit ? (unsigned)(unit - units + 1) * 10 : 0;
    if ((*text && (!unit || text[1])) || value > UINT64_MAX >> shift)
        return NP_E_MALFORMED;
    value <<= shift;
    if (value < min || value > max)
        return NP_E_MALFORMED;
    *out_bytes = value;
    return 0;
}

const char *np_time_format(int64_t at_s, char out[NP_TIME_TEXT_MAX])
{
    time_t at = (time_t)at_s;
    struct tm tm;
    if (!gmtime_r(&at, &tm) || strftime(out, NP_TIME_TEXT_MAX, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
        out[0] = '\0';
    return out;
}

#include "hq/proto/claim.h"

#include <string.h>

#include "resolver/base/error.h"

static const char alphabet[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/* Times x in GF(32) modulo x^5 + x^2 + 1. */
static unsigned times_x(unsigned value)
{
    value <<= 1;
    return value & 32 ? value ^ 0x25 : value;
}

/* The check character's value for the characters' values before it. */
static unsigned check_of(const unsigned values[NP_CLAIM_LEN - 1])
{
    unsigned sum = 0;
    for (size_t i = 0; i < NP_CLAIM_LEN - 1; i++)
        sum = times_x(sum) ^ values[i];
    return times_x(sum);
}

void np_claim_make(const uint8_t random[NP_CLAIM_RANDOM], char out_code[NP_CLAIM_LEN + 1])
{
    unsigned values[NP_CLAIM_LEN - 1], bits = 0, have = 0;
    size_t at = 0;
    for (size_t i = 0; i < NP_CLAIM_LEN - 1; i++) {
        if (have < 5) {
            bits = (bits << 8 | random[at++]) & 0xffff;
            have += 8;
        }
        have -= 5;
        values[i] = bits >> have & 31;
        out_code[i] = alphabet[values[i]];
    }
    out_code[NP_CLAIM_LEN - 1] = alphabet[check_of(values)];
    out_code[NP_CLAIM_LEN] = 0;
}

/* The value of a character as people write it, or -1. */
static int value_of(char c)
{
    if (c >= 'a' && c <= 'z')
        c = (char)(c - 'a' + 'A');
    if (c == 'O')
        c = '0';
    if (c == 'I' || c == 'L')
        c = '1';
    const char *found = c ? strchr(alphabet, c) : NULL;
    return found ? (int)(found - alphabet) : -1;
}

int np_claim_parse(const char *text, char out_code[NP_CLAIM_LEN + 1])
{
    unsigned values[NP_CLAIM_LEN];
    size_t count = 0;
    for (; *text; text++) {
        if (*text == '-' || *text == ' ')
            continue;
        int value = value_of(*text);
        if (value < 0 || count == NP_CLAIM_LEN)
            return NP_E_MALFORMED;
        values[count++] = (unsigned)value;
    }
    if (count != NP_CLAIM_LEN)
        return NP_E_MALFORMED;
    if (check_of(values) != values[NP_CLAIM_LEN - 1])
        return NP_E_CHECKSUM;
    for (size_t i = 0; i < NP_CLAIM_LEN; i++)
        out_code[i] = alphabet[values[i]];
    out_code[NP_CLAIM_LEN] = 0;
    return 0;
}

void np_claim_format(const char code[NP_CLAIM_LEN + 1], char out_text[NP_CLAIM_LEN + 4])
{
    size_t used = 0;
    for (size_t i = 0; i < NP_CLAIM_LEN; i++) {
        if (i && i % 4 == 0)
            out_text[used++] = '-';
        out_text[used++] = code[i];
    }
    out_text[used] = 0;
}

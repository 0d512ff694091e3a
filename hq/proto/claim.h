/* claim: claim codes, as they stand on a box's label: sixteen characters of Crockford's base32, fifteen of them random
 * (75 bits), the last one a check. People type them, so both sides read them kindly: lower case, hyphens and spaces
 * anywhere, O for 0, I and L for 1.
 *
 * The check character makes the sum of c[i] * a^(15-i) over GF(32) zero (x^5 + x^2 + 1, a = x): it finds every single
 * wrong character and every exchange of two, so a typing mistake is told at once and never looks like a stolen code.
 * Pure. */
#ifndef HQ_PROTO_CLAIM_H
#define HQ_PROTO_CLAIM_H

#include <stddef.h>
#include <stdint.h>

#define NP_CLAIM_LEN      16 /* characters of a code in its one plain form */
#define NP_CLAIM_RANDOM   10 /* bytes that a new one is made from: 75 bits are used */
#define NP_CLAIM_TEXT_MAX 40 /* characters of a code as people write it: with hyphens and spaces */

/* A new code from random bytes (the caller's, secret and never used again), NUL-terminated. */
void np_claim_make(const uint8_t random[NP_CLAIM_RANDOM], char out_code[NP_CLAIM_LEN + 1]);

/* Reads a code as a person or a label writes it. Returns 0 with the plain form, NP_E_MALFORMED for anything that has
 * not sixteen characters of the alphabet, NP_E_CHECKSUM when one of them is wrong. */
int np_claim_parse(const char *text, char out_code[NP_CLAIM_LEN + 1]);

/* The form for labels: "7K3M-Q9TD-52XH-0VCR". */
void np_claim_format(const char code[NP_CLAIM_LEN + 1], char out_text[NP_CLAIM_LEN + 4]);

#endif

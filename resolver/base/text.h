/* text: base64url, hex, and checks on untrusted text. All functions are pure. */
#ifndef RESOLVER_BASE_TEXT_H
#define RESOLVER_BASE_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Characters that n bytes need in base64url without padding, with the final NUL. */
#define NP_BASE64URL_LEN(n) (((n)*4 + 2) / 3 + 1)
/* Characters that n bytes need in hex, with the final NUL. */
#define NP_HEX_LEN(n) ((n)*2 + 1)

/* Writes data as base64url without padding (RFC 4648 section 5, as RFC 7515 wants it) and a final NUL to out, which has
 * NP_BASE64URL_LEN(len) bytes. Returns the number of characters without the NUL. */
size_t np_base64url_encode(const void *data, size_t len, char *out);

/* Decodes len characters of text into out (size bytes). Strict: no padding, no white space, unused bits zero. Returns
 * the number of bytes, NP_E_MALFORMED, or NP_E_LIMIT when out is too small. */
long np_base64url_decode(const char *text, size_t len, void *out, size_t size);

/* Decodes text, which must give exactly size bytes. Returns 0 or NP_E_MALFORMED. */
int np_base64url_decode_exact(const char *text, void *out, size_t size);

/* Writes lower-case hex and a final NUL to out, which has NP_HEX_LEN(len) bytes. */
void np_hex_encode(const void *data, size_t len, char *out);

/* Decodes hex of either case, which must give exactly size bytes. Returns 0 or NP_E_MALFORMED. */
int np_hex_decode_exact(const char *text, void *out, size_t size);

/* Is text a non-empty host name of letters, digits and hyphens (RFC 1123 section 2.1): labels of at most 63, at most
 * 253 characters in all, no hyphen first or last in a label, at least one letter, no final dot? */
bool np_is_hostname(const char *text);

#define NP_TIME_TEXT_MAX 32

/* Writes Unix time as "2026-11-29T12:00:00Z" (RFC 3339, UTC) to out, "" where it has no date; returns out. */
const char *np_time_format(int64_t at_s, char out[NP_TIME_TEXT_MAX]);

/* Is text 1 to max printable ASCII characters (0x21 to 0x7e)? */
bool np_is_token(const char *text, size_t max);

/* Copies text with every character outside 0x20..0x7e replaced by '?', cut to size - 1, always terminated. */
void np_text_sanitize(const char *text, char *out, size_t size);

/* Compares len bytes in time that does not depend on their content. */
bool np_equal_constant_time(const void *a, const void *b, size_t len);

/* Overwrites secrets so that the compiler keeps the write. */
void np_wipe(void *data, size_t len);

/* Parses a decimal integer from min to max; the whole text must be the number. Returns 0 or NP_E_MALFORMED. */
int np_parse_int(const char *text, int64_t min, int64_t max, int64_t *out_value);

/* Parses a size in bytes from min to max: a decimal number, alone or with one of the units K, M, G (powers of 1024,
 * either case). Returns 0 or NP_E_MALFORMED. */
int np_parse_size(const char *text, uint64_t min, uint64_t max, uint64_t *out_bytes);

#endif

/* pem: PEM (RFC 7468) to DER and back, by our own strict reader: BearSSL's finds nothing in a text with CRLF line ends
 * and loses the last object of a text without a final newline; this one takes both. Pure. */
#ifndef AGENT_CERTIFICATE_PEM_H
#define AGENT_CERTIFICATE_PEM_H

#include <stddef.h>
#include <stdint.h>

/* A text that is read object by object. */
struct np_pem {
    const char *text;
    size_t len;
    size_t pos;
};

/* Finds the next object with this label ("CERTIFICATE") and decodes it to out (size bytes); objects with other labels
 * and text between objects are passed over. Returns the number of bytes, 0 at the end, NP_E_MALFORMED (no end line,
 * characters that are not base64, an empty object) or NP_E_LIMIT. */
long np_pem_next(struct np_pem *pem, const char *label, uint8_t *out, size_t size);

/* Appends an object as PEM (64 characters a line, LF) to text at *pos (size bytes in all, kept NUL-terminated) and
 * moves *pos. Returns 0 or NP_E_LIMIT. */
int np_pem_append(const char *label, const uint8_t *der, size_t len, char *text, size_t size, size_t *pos);

#endif

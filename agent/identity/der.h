/* der: reading and writing DER (X.690) on the bounded cursor: tags of one byte, definite minimal lengths up to 65535.
 * Enough for keys, certificate requests and certificates; errors are the cursor's sticky ones. Pure. */
#ifndef AGENT_IDENTITY_DER_H
#define AGENT_IDENTITY_DER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "resolver/base/cursor.h"

#define NP_DER_BOOLEAN     0x01
#define NP_DER_INTEGER     0x02
#define NP_DER_BITS        0x03
#define NP_DER_OCTETS      0x04
#define NP_DER_OID         0x06
#define NP_DER_UTC_TIME    0x17
#define NP_DER_GENERALIZED 0x18
#define NP_DER_SEQUENCE    0x30
#define NP_DER_SET         0x31
#define NP_DER_CONTEXT(n)  (0xa0 | (n)) /* constructed context-specific [n] */

/* The tag of the next element without moving; 0 at the end or after an error. */
uint8_t np_der_peek(const struct np_reader *r);

/* Reads the next element, which must have this tag, and returns its content. On an error (NP_E_MALFORMED or
 * NP_E_TRUNCATED) r fails and so does what is returned. */
struct np_reader np_der_read(struct np_reader *r, uint8_t tag);

/* Moves past the next element whatever its tag. */
void np_der_skip(struct np_reader *r);

/* Reads the next element if it has this tag. Returns false and leaves r as it is if it has not. */
bool np_der_read_optional(struct np_reader *r, uint8_t tag, struct np_reader *out_content);

/* Fails r with NP_E_MALFORMED unless everything was read. */
void np_der_end_of(struct np_reader *r);

/* Are the unread bytes of content exactly these? */
bool np_der_is(const struct np_reader *content, const void *bytes, size_t len);

/* Begins an element and returns a mark for np_der_finish. */
size_t np_der_begin(struct np_writer *w, uint8_t tag);

/* Ends the element begun at mark: writes its length, moving the content where the length needs more than one byte. */
void np_der_finish(struct np_writer *w, size_t mark);

/* Writes a whole element. */
void np_der_write(struct np_writer *w, uint8_t tag, const void *content, size_t len);

#endif

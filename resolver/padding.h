/* padding: the EDNS padding option (RFC 7830) by the block-length policy of RFC 8467: over an encrypted channel queries
 * are filled up to a multiple of 128 bytes, and answers to those that were padded to a multiple of 468, so that their
 * sizes tell less. Pure. */
#ifndef RESOLVER_PADDING_H
#define RESOLVER_PADDING_H

#include <stddef.h>
#include <stdint.h>

#define NP_PADDING_OPTION   12  /* RFC 7830 section 3 */
#define NP_PADDING_QUERY    128 /* RFC 8467 section 4.1 */
#define NP_PADDING_RESPONSE 468

/* Adds the option to the message's OPT, with so many zeros that the message fills whole blocks, or all of size bytes
 * where the last block does not fit. The OPT must be the last record, as in the messages that we write ourselves;
 * without one, and where not even the option's head fits, nothing changes. Returns the message's length. */
size_t np_padding_add(uint8_t *message, size_t len, size_t size, size_t block);

#endif

/* rdata: is a record's data what its type wants, as far as others could not tell once it stands in another message?
 * That is: addresses have their length, and the names of the types that may be compressed (RFC 1035, RFC 3597 section
 * 4, and those that are decompressed when they should not be) can be read, point backwards, and end where they must.
 * What stands by itself (text, signatures, parameters) is the client's to judge. Pure; the bytes are hostile. */
#ifndef RESOLVER_RDATA_H
#define RESOLVER_RDATA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "resolver/message.h"

/* Judges the data of a record that np_walk_next gave, in its message of len bytes. Types that are not known are sound.
 */
bool np_rdata_is_sound(const uint8_t *message, size_t len, const struct np_rr *rr);

#endif

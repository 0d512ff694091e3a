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

#define NP_RDATA_NAMES_MAX 2 /* in the data of one record of a type that we know */

/* Judges the data of a record that np_walk_next gave, in its message of len bytes. Types that are not known are sound.
 */
bool np_rdata_is_sound(const uint8_t *message, size_t len, const struct np_rr *rr);

/* Where the names in the data of a sound record begin in the message. Returns their number. */
size_t np_rdata_names(const uint8_t *message, size_t len, const struct np_rr *rr,
                      size_t out_positions[NP_RDATA_NAMES_MAX]);

#endif

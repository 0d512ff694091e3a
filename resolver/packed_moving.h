/* packed_moving: what of a packed answer changes when it is given again: its TTLs, and the order of addresses of one
 * name. And whether the rest can bear it: a hostile pointer may lead into a TTL, so that a name is another one every
 * second. Included by packed.c and packed_moving.c alone. All places are counted from the first record. */
#ifndef RESOLVER_PACKED_MOVING_H
#define RESOLVER_PACKED_MOVING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "resolver/message.h"

#define PACKED_RR_FIXED 10 /* type, class, TTL and rdata length */

/* Addresses that stand one behind the other, with equal TTLs and equal owners that are pointers, so that only the
 * addresses themselves need to change places. */
struct packed_run {
    size_t begin, end; /* from the first one's owner to the last one's end */
    size_t count;
    uint32_t ttl;
};

/* A message on its way to being packed. */
struct packed_moving {
    const uint8_t *message;
    size_t len, start;      /* start: of the first record in the message */
    const uint16_t *places; /* of the TTLs of the records so far, in order */
    size_t count;
    struct packed_run run;
};

/* Are the owner of the record and the names in its data made of bytes that stay as they are? The record's TTL is among
 * the places already. */
bool packed_is_steady(const struct packed_moving *moving, const struct np_rr *rr);

/* Notes a record: it goes on with the run, or begins another one where that has only one so far. */
void packed_extend_run(struct packed_moving *moving, const struct np_rr *rr, uint16_t qtype);

#endif

/* blocked: which names the rebinding filter blocks most, in a table of fixed size: the space-saving algorithm
 * (Metwally, Agrawal, El Abbadi 2005). A name that is new to a full table takes the place of the rarest one and its
 * count, so a name with more than 1/64 of all blocks is always in it, and a count is too high by at most its error.
 * Pure. */
#ifndef RESOLVER_BLOCKED_H
#define RESOLVER_BLOCKED_H

#include <stddef.h>
#include <stdint.h>

#include "resolver/base/address.h"
#include "resolver/name.h"

#define NP_BLOCKED_MAX 64 /* names; about 20 KiB */

/* A name. */
struct np_blocked_name {
    struct np_name name;
    uint64_t count; /* at most error too high */
    uint64_t error;
    uint16_t qtype;      /* of the last one, as the next two */
    struct np_addr addr; /* what the filter found; AF_UNSPEC: a malformed answer */
    int64_t last_ms;
};

/* The table. Zero: empty. */
struct np_blocked {
    size_t count;
    struct np_blocked_name names[NP_BLOCKED_MAX];
};

/* Counts a blocked answer. The name is kept in small letters. */
void np_blocked_add(struct np_blocked *blocked, const struct np_name *name, uint16_t qtype, const struct np_addr *addr,
                    int64_t now_ms);

/* Writes pointers to the names, most frequent first (of equals the latest), at most max of them. Borrowed until the
 * next add. Returns their number. */
size_t np_blocked_top(const struct np_blocked *blocked, const struct np_blocked_name *out_names[], size_t max);

#endif

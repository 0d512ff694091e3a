/* name: domain names in wire form (RFC 1035 section 3.1), always uncompressed and complete with the root label.
 *
 * A struct np_name is a value. Case is kept as it came (answers preserve it); comparison and hashing ignore the case of
 * ASCII letters (RFC 4343). */
#ifndef RESOLVER_NAME_H
#define RESOLVER_NAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "resolver/base/address.h"
#include "resolver/base/cursor.h"

#define NP_NAME_WIRE_MAX 255  /* bytes, RFC 1035 section 2.3.4 */
#define NP_NAME_TEXT_MAX 1024 /* every byte of a name escaped as \DDD, dots and the NUL */

/* A name; len counts the bytes of wire, the final zero label included (the root has len 1). */
struct np_name {
    uint8_t len;
    uint8_t wire[NP_NAME_WIRE_MAX];
};

/* Parses presentation form ("box.example", with or without the final dot; "\." and "\DDD" escapes). "." is the root.
 * Returns 0 or NP_E_MALFORMED. */
int np_name_parse(const char *text, struct np_name *out_name);

/* Writes presentation form without a final dot ("." for the root) to out; everything but letters, digits, '-', '_' and
 * '*' is escaped. Returns out. */
const char *np_name_format(const struct np_name *name, char out[NP_NAME_TEXT_MAX]);

/* Reads a possibly compressed name at r's position in a message (r covers the whole message, so that pointers can be
 * followed). Pointers must go to names that end before, and not into the header. Moves r past the name where it stands.
 * On an error r->error is set.
 */
void np_name_read(struct np_reader *r, struct np_name *out_name);

/* Equal, ignoring case? */
bool np_name_equal(const struct np_name *a, const struct np_name *b);

/* Is name the one in wire form at wire (len bytes), ignoring case? */
bool np_name_is(const struct np_name *name, const uint8_t *wire, size_t len);

/* Is name equal to zone or below it? Everything is at or below the root. */
bool np_name_within(const struct np_name *name, const struct np_name *zone);

/* Does name end with these labels (wire form, len bytes, at a label's border)? np_name_within for a zone that is no
 * struct np_name. */
bool np_name_ends(const struct np_name *name, const uint8_t *labels, size_t len);

/* Number of labels without the root: 2 for "box.example". */
unsigned np_name_labels(const struct np_name *name);

/* name without its first count labels (its ancestor); the root when count is the label count or more. */
struct np_name np_name_parent(const struct np_name *name, unsigned count);

/* label (at most 63 bytes) put before name. Returns 0 or NP_E_LIMIT. */
int np_name_prepend(const char *label, const struct np_name *name, struct np_name *out_name);

/* A hash for tables, case-insensitive, keyed so that a stranger cannot choose names that collide: SipHash-1-3 over the
 * lower-cased bytes. key is random, one a process; the hash must not be shown to anybody. */
uint64_t np_name_hash(const struct np_name *name, uint64_t key);

/* Lower-cases the ASCII letters in place. */
void np_name_lower(struct np_name *name);

/* The reverse name of an address under in-addr.arpa or ip6.arpa (RFC 1035 section 3.5, RFC 3596 section 2.5).
 * addr.family must be AF_INET or AF_INET6. */
void np_name_reverse(const struct np_addr *addr, struct np_name *out_name);

#endif

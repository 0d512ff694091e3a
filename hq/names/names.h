/* names: proposals for device names: an adjective and the surname of a scientist or inventor, "nifty-babbage". Says
 * nothing about serial, MAC or owner. Whether a name is free is the store's unique index to say; after a few collisions
 * proposals carry a short suffix. Pure. */
#ifndef HQ_NAMES_NAMES_H
#define HQ_NAMES_NAMES_H

#include <stdbool.h>
#include <stddef.h>

#include "resolver/base/random.h"

#define NP_LABEL_MAX    63 /* RFC 1035 section 2.3.4 */
#define NP_NAMES_PLAIN  4  /* proposals without suffix; by then one name in a few is taken */
#define NP_NAMES_SUFFIX 8  /* from this proposal on the suffix is long: where names may be held that nobody knows of */
#define NP_NAMES_TRIES  16 /* after so many proposals something else is wrong */

/* Writes proposal number attempt (from 0) to out. The first NP_NAMES_PLAIN are plain pairs, the later ones have a
 * suffix of 4 characters, from attempt 8 on of 7. */
void np_names_propose(unsigned attempt, np_random_below_fn *below, void *ctx, char out[NP_LABEL_MAX + 1]);

/* Is the label one that no device may get: reserved for the zone's own use, or on the list of bad pairs? */
bool np_names_banned(const char *label);

/* Is it one that the zone uses itself, or that somebody would take for the operator's? */
bool np_names_reserved(const char *label);

/* The lists, for tests. Static storage. */
const char *const *np_names_adjectives(size_t *out_count);
/* See np_names_adjectives. */
const char *const *np_names_surnames(size_t *out_count);

#endif

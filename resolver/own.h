/* own: answers for the device's own names, for every type, from the view alone (DESIGN "The resolver's rules" 1-3).
 *
 * Pure and without allocation: np_own_find says what a question is to us, np_own_answer builds the answer. An own name
 * is the apex of a zone that we make up: nothing below it exists but what a wildcard certificate covers, and
 * `_acme-challenge`, which is HQ's. */
#ifndef RESOLVER_OWN_H
#define RESOLVER_OWN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "resolver/message.h"
#include "resolver/view.h"

enum np_own_kind {
    NP_OWN_NONE,  /* not ours */
    NP_OWN_APEX,  /* an own name */
    NP_OWN_BELOW, /* below an own name */
    NP_OWN_PTR,   /* the reverse name of an own address */
    NP_OWN_DNS,   /* _dns below an own name: where DNS over TLS is served (RFC 9461, RFC 9462 section 5) */
    NP_OWN_DS, /* DS at the cut: the parent's to answer, so it is forwarded; np_own_answer gives the offline answer */
    NP_OWN_FORWARD, /* _acme-challenge and below it: forwarded */
};

/* What a question is to us. own is borrowed from the view, NULL for NP_OWN_NONE. */
struct np_own_match {
    enum np_own_kind kind;
    const struct np_view_own *own;
};

/* Looks the question up. The longest own name that qname is at or below decides. */
struct np_own_match np_own_find(const struct np_view *view, const struct np_name *qname, uint16_t qtype);

/* Adds the answer's records to answer, which the caller started (and finishes), with AA set. match is from np_own_find
 * on the same view and question, neither NONE nor FORWARD. ifindex is the interface that the query came in on (0:
 * unknown): its addresses are answered where it is a LAN interface with a usable address of either family, else the
 * primary ones. */
void np_own_answer(const struct np_view *view, const struct np_own_match *match, uint32_t ifindex,
                   struct np_answer *answer);

/* Is one of our names (an own name, the reverse name of an own address, a forwarded zone) strictly below name? Then
 * name is an empty non-terminal and must not get NXDOMAIN (RFC 8020). */
bool np_own_below(const struct np_view *view, const struct np_name *name);

/* Adds a made-up SOA of the zone to the authority section (a negative answer) or the answer section: mname is the zone,
 * rname is hostmaster below it, TTL and minimum are the view's. */
void np_own_soa(const struct np_view *view, const struct np_name *zone, enum np_section section,
                struct np_answer *answer);

#endif

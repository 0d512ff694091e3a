/* special: names that never leave the home (DESIGN "The resolver's rules" 4), answered here unless a zone is sent to a
 * server of its own.
 *
 * RFC 6761 (localhost, invalid, test), RFC 6762 section 22 (local and the link-local reverse zones), RFC 7686 (onion),
 * RFC 9476 (alt), RFC 8375 (home.arpa), RFC 9665 section 10.1 (service.arpa), RFC 9462 section 6.4 (resolver.arpa:
 * there is no designated resolver to be found, since nobody certifies a private address, so NODATA), RFC 6303 and RFC
 * 7793 (reverse zones of private addresses). Besides, use-application-dns.net (np_view.canary), and on a router the
 * addresses of names of a single label, which mean something in the home or nothing. Ordinary are example and
 * example.com, whose answers nobody may make up (RFC 6761 section 6.5), and ipv4only.arpa, which is the upstream's to
 * answer, should that be a DNS64 (RFC 8880). Pure, without allocation. */
#ifndef RESOLVER_SPECIAL_H
#define RESOLVER_SPECIAL_H

#include "resolver/message.h"
#include "resolver/view.h"

enum np_special_kind {
    NP_SPECIAL_NONE,      /* an ordinary name */
    NP_SPECIAL_EMPTY,     /* a zone with nothing in it: NODATA at its apex, NXDOMAIN below */
    NP_SPECIAL_NODATA,    /* NODATA for the apex and everything below (resolver.arpa; a single label) */
    NP_SPECIAL_NOTHING,   /* NXDOMAIN for the apex and everything below (use-application-dns.net) */
    NP_SPECIAL_LOCALHOST, /* loopback's addresses */
    NP_SPECIAL_LOOPBACK   /* loopback's reverse names */
};

/* What a question is. The zone it lies in is the last zone_len bytes of qname. */
struct np_special_match {
    enum np_special_kind kind;
    uint8_t zone_len;
};

/* Looks the question up; the view gives role and canary. DS at the top of a zone under arpa is ordinary: it comes from
 * the parent, which is signed (RFC 8375 section 4 for home.arpa). */
struct np_special_match np_special_find(const struct np_view *view, const struct np_name *qname, uint16_t qtype);

/* Adds the answer's records to answer, which the caller started (and finishes), with AA set. match is from
 * np_special_find, not NONE. The view gives TTL, SOA serial, and the names below that make an empty non-terminal. */
void np_special_answer(const struct np_view *view, const struct np_special_match *match, struct np_answer *answer);

/* The forwarded zone (`zone NAME forward to ADDR`) that qname lies in, the longest; NULL when there is none. */
const struct np_view_forward *np_special_forward(const struct np_view *view, const struct np_name *qname);

#endif

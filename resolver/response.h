/* response: what comes back from an upstream: is it the answer to what was asked, and what does it mean. Pure; the
 * bytes are hostile. How it is given to clients is packed.h's business. */
#ifndef RESOLVER_RESPONSE_H
#define RESOLVER_RESPONSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "resolver/message.h"

/* What was asked of an upstream. */
struct np_asked {
    uint16_t id;
    const struct np_name *qname; /* in the case in which it was sent; borrowed */
    uint16_t qtype;
    bool check_case; /* 0x20: the answer must repeat it exactly */
    bool edns;       /* an OPT was sent */
    bool tcp;
};

enum np_response_verdict {
    NP_RESPONSE_GOOD,      /* an answer: NOERROR, NXDOMAIN or YXDOMAIN, well-formed and complete */
    NP_RESPONSE_FAILED,    /* an answer that another upstream may better: SERVFAIL, REFUSED, ... (well-formed) */
    NP_RESPONSE_BROKEN,    /* from the right place to the right question, but malformed (resolver/rdata.h included) */
    NP_RESPONSE_TRUNCATED, /* TC over UDP: ask again over TCP */
    NP_RESPONSE_CASE,      /* right but for the letters' case: ask again over TCP */
    NP_RESPONSE_NO_EDNS,   /* FORMERR or NOTIMP to a query with an OPT, without one (RFC 6891 section 7): may be a bare
                              header, which repeats no question, so a guesser has less to guess */
    NP_RESPONSE_BARE,      /* another bare header that says that it failed: the same holds */
    NP_RESPONSE_FOREIGN    /* not the answer to this: drop it and wait on */
};

/* Judges len bytes that came from the upstream. */
enum np_response_verdict np_response_check(const struct np_asked *asked, const uint8_t *message, size_t len);

/* Has the message an OPT record? False for one that is malformed. */
bool np_response_has_opt(const uint8_t *message, size_t len);

/* Randomises the case of the name's letters (draft-vixie-dnsext-dns0x20); at least one is a capital then, since clients
 * rarely write any. seed is a secret random number, and a new one for every query. */
void np_response_mix_case(struct np_name *name, uint64_t seed);

/* How many bits of surprise there are in the case of the name's letters when it was drawn like this, rounded down: one
 * each but for the first, whose capital may be the one that is always there; at most 64. */
unsigned np_response_case_bits(const struct np_name *name);

#endif

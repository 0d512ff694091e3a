/* probe_read: what a DNS server answered to a probe, as plain values. Pure; the bytes are hostile.
 *
 * Unlike the resolver (resolver/response.h), which wants the good answers, the probe wants to know what is wrong with
 * the bad ones: an answer with any code is kept, with what tells its maker: flags, EDE (RFC 8914), SOA, software. */
#ifndef AGENT_NETWORK_PROBE_READ_H
#define AGENT_NETWORK_PROBE_READ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "resolver/base/address.h"
#include "resolver/name.h"

#define NP_PROBE_ADDRESSES_MAX 8  /* kept of one answer: a box publishes at most 4 of a family */
#define NP_PROBE_SOFTWARE_MAX  48 /* bytes of version.bind's text that are kept, with the NUL */
#define NP_CLASS_CHAOS         3  /* RFC 1035 section 3.2.4 */

/* What was asked. */
struct np_probe_question {
    struct np_name name;
    uint16_t type, class;
};

enum np_probe_state {
    NP_PROBE_SILENT,      /* nothing came */
    NP_PROBE_UNREACHABLE, /* there is no way there, or nobody listens (ICMP, -errno in error) */
    NP_PROBE_BROKEN,      /* something came that answers the question, and cannot be read */
    NP_PROBE_ANSWERED
};

/* What came back. Zero-initialised: silence. */
struct np_probe_answer {
    enum np_probe_state state;
    int error;      /* UNREACHABLE: -errno */
    uint16_t rcode; /* 12 bits, OPT's share included */
    bool aa, ra, truncated;
    bool soa;                                         /* an SOA stands in the authority section */
    bool alias;                                       /* a CNAME or DNAME stands in the answer */
    uint16_t ede;                                     /* the first extended error; 0xffff: none */
    struct np_addr addresses[NP_PROBE_ADDRESSES_MAX]; /* of the asked type, as they came, each once */
    size_t address_count;                             /* of these */
    uint32_t ttl_s;                                   /* smallest of theirs; 0 where there are none */
    char software[NP_PROBE_SOFTWARE_MAX];             /* of a TXT answer: its first text; printable ASCII, others "?" */
    int64_t rtt_ms;                                   /* set by the shell */
};

/* Reads len bytes that came for the question with that id. Returns true when they belong to it, with *out_answer filled
 * (ANSWERED or BROKEN); false for anything else, which is to be dropped: *out_answer is left alone. */
bool np_probe_read(const struct np_probe_question *question, uint16_t id, const uint8_t *message, size_t len,
                   struct np_probe_answer *out_answer);

/* Writes the query: RD set as asked, an OPT when edns. Returns its length or NP_E_LIMIT. */
int np_probe_write(const struct np_probe_question *question, uint16_t id, bool recursion, bool edns, uint8_t *buffer,
                   size_t size);

#endif

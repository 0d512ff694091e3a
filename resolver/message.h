/* message: DNS messages (RFC 1035, EDNS RFC 6891, EDE RFC 8914): parsing a query, building an answer.
 *
 * Used by the device's resolver and by HQ's built-in authoritative server. No socket, no clock, no allocation: queries
 * are read into a struct np_query, answers are built into the caller's buffer. */
#ifndef RESOLVER_MESSAGE_H
#define RESOLVER_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "resolver/base/address.h"
#include "resolver/base/cursor.h"
#include "resolver/name.h"

#define NP_DNS_UDP_PLAIN   512   /* RFC 1035 section 4.2.1 */
#define NP_DNS_UDP_MAX     1232  /* what we send and offer over UDP: no fragments on any path (DNS Flag Day 2020) */
#define NP_DNS_MESSAGE_MAX 65535 /* over TCP */
#define NP_DNS_HEADER_LEN  12

enum np_rr_type {
    NP_RR_A = 1,
    NP_RR_NS = 2,
    NP_RR_CNAME = 5,
    NP_RR_SOA = 6,
    NP_RR_PTR = 12,
    NP_RR_HINFO = 13,
    NP_RR_MX = 15,
    NP_RR_TXT = 16,
    NP_RR_AAAA = 28,
    NP_RR_SRV = 33,
    NP_RR_OPT = 41,
    NP_RR_DS = 43,
    NP_RR_SVCB = 64,
    NP_RR_HTTPS = 65,
    NP_RR_NXNAME = 128, /* RFC 9824: for bitmaps, never asked for */
    NP_RR_TKEY = 249,
    NP_RR_TSIG = 250,
    NP_RR_IXFR = 251,
    NP_RR_AXFR = 252,
    NP_RR_MAILB = 253,
    NP_RR_MAILA = 254,
    NP_RR_ANY = 255,
    NP_RR_CAA = 257
};
enum np_rr_class { NP_CLASS_IN = 1, NP_CLASS_ANY = 255 };
enum np_rcode {
    NP_RCODE_NOERROR = 0,
    NP_RCODE_FORMERR = 1,
    NP_RCODE_SERVFAIL = 2,
    NP_RCODE_NXDOMAIN = 3,
    NP_RCODE_NOTIMP = 4,
    NP_RCODE_REFUSED = 5,
    NP_RCODE_BADVERS = 16
};
enum np_ede { /* RFC 8914 and the IANA registry; NP_EDE_NONE: none */
              NP_EDE_OTHER = 0,
              NP_EDE_STALE = 3,
              NP_EDE_CACHED_ERROR = 13,
              NP_EDE_BLOCKED = 15,
              NP_EDE_PROHIBITED = 18,
              NP_EDE_STALE_NXDOMAIN = 19,
              NP_EDE_NOT_AUTHORITATIVE = 20,
              NP_EDE_NOT_SUPPORTED = 21,
              NP_EDE_NO_REACHABLE_AUTHORITY = 22,
              NP_EDE_NETWORK_ERROR = 23,
              NP_EDE_INVALID_QUERY_TYPE = 30, /* RFC 9824 */
              NP_EDE_NONE = 0xffff
};
#define NP_FLAG_QR 0x8000u
#define NP_FLAG_AA 0x0400u
#define NP_FLAG_TC 0x0200u
#define NP_FLAG_RD 0x0100u
#define NP_FLAG_RA 0x0080u
#define NP_FLAG_AD 0x0020u
#define NP_FLAG_CD 0x0010u

/* A parsed query. */
struct np_query {
    uint16_t id;
    uint16_t flags; /* the header's second word as it came */
    struct np_name qname;
    uint16_t qtype, qclass;
    const uint8_t *question; /* borrowed: the question's bytes in the packet, uncompressed, case as asked */
    size_t question_len;
    bool edns;
    uint8_t edns_version;
    uint16_t udp_size; /* what the client takes over UDP: 512 without EDNS, never below */
    bool dnssec_ok;
    bool padding;                   /* a padding option came (RFC 7830): over TLS the answer is padded too */
    struct np_prefix client_subnet; /* ECS (RFC 7871); family AF_UNSPEC when absent */
};

/* What a packet is, so that the caller knows the RFC's reaction. */
enum np_query_verdict {
    NP_QUERY_GOOD,    /* answer it */
    NP_QUERY_DROP,    /* no answer: shorter than a header, or QR is set */
    NP_QUERY_FORMERR, /* answer FORMERR: question count is not 1, broken names, broken or repeated OPT, trailing bytes
                       */
    NP_QUERY_NOTIMP,  /* answer NOTIMP: opcode other than QUERY */
    NP_QUERY_BADVERS  /* answer BADVERS: EDNS version over 0 (RFC 6891 section 6.1.3) */
};

/* Parses a packet. For every verdict but DROP, out->id and out->flags are valid, and question is NULL unless it could
 * be read. */
enum np_query_verdict np_query_parse(const uint8_t *packet, size_t len, struct np_query *out);

/* The largest answer that the client takes: 65535 over TCP, over UDP what it offered, capped by NP_DNS_UDP_MAX. */
size_t np_query_limit(const struct np_query *query, bool tcp);

/* An answer under construction. Sections must be written in order: answer, authority, additional. */
struct np_answer {
    struct np_writer writer;
    size_t limit; /* largest message that the client takes; room for the OPT is kept back */
    uint16_t counts[4];
    uint16_t flags;
    uint16_t rcode; /* 12 bits; the upper 8 go into the OPT */
    bool edns, dnssec_ok;
    enum np_ede ede;
    const char *ede_text; /* borrowed until finish; NULL: none */
    int subnet_scope; /* the query's client subnet is repeated with this scope (RFC 7871 section 7.2.1); -1: it is not */
    const struct np_query *query;
    bool truncated;
};

enum np_section { NP_SECTION_ANSWER = 1, NP_SECTION_AUTHORITY = 2, NP_SECTION_ADDITIONAL = 3 };

/* Starts an answer to query in buffer: header and question. limit is np_query_limit; buffer must have limit bytes.
 * flags: AA, RA, AD as the caller decides; QR, and opcode, RD and CD of the query are added. query must outlive the
 * answer. */
void np_answer_start(struct np_answer *answer, const struct np_query *query, uint8_t *buffer, size_t limit,
                     uint16_t flags);

/* Appends a record of class IN. What the end of owner has in common with the qname is written as a pointer to the
 * question (and so has the question's case). rdata is in wire form, uncompressed. A record that does not fit is left
 * out; in the answer section, and in the authority section of an answer without answer records (a negative answer's
 * SOA), this sets TC and later records are ignored too. */
void np_answer_rr(struct np_answer *answer, enum np_section section, const struct np_name *owner, uint16_t type,
                  uint32_t ttl, const void *rdata, size_t rdata_len);

/* Appends an A or AAAA record, by the address's family. */
void np_answer_address(struct np_answer *answer, enum np_section section, const struct np_name *owner, uint32_t ttl,
                       const struct np_addr *addr);

/* Appends an SOA record. In negative answers its TTL is min(ttl, minimum) (RFC 2308 section 3). */
void np_answer_soa(struct np_answer *answer, enum np_section section, const struct np_name *owner, uint32_t ttl,
                   const struct np_name *mname, const struct np_name *rname, uint32_t serial, const uint32_t timers[4]);

/* Finishes: OPT (only where the query had one), EDE, counts, flags. Returns the message's length. */
size_t np_answer_finish(struct np_answer *answer);

/* A whole answer without records: FORMERR, REFUSED, NOTIMP, BADVERS, SERVFAIL, with an EDE where the query had EDNS.
 * Returns its length, 0 when the verdict was DROP or buffer (size bytes) is too small. */
size_t np_answer_error(const struct np_query *query, uint16_t rcode, uint16_t flags, enum np_ede ede, uint8_t *buffer,
                       size_t size);

/* Writes a query: header with id and flags, the question, and an OPT (udp_size NP_DNS_UDP_MAX, DO as asked) when edns
 * is set. Returns its length or NP_E_LIMIT. */
int np_query_write(uint8_t *buffer, size_t size, uint16_t id, uint16_t flags, const struct np_name *qname,
                   uint16_t qtype, bool edns, bool dnssec_ok);

/* One record while walking a message. */
struct np_rr {
    size_t pos; /* where the record begins in the message */
    struct np_name owner;
    uint16_t type, class;
    uint32_t ttl;
    enum np_section section;
    size_t rdata_pos; /* in the message, so that compressed names inside rdata can be read */
    uint16_t rdata_len;
};

/* A walk over the records of a message: start checks header and question, next delivers one record. */
struct np_walk {
    struct np_reader reader;
    uint16_t id, flags;
    uint16_t left[4];
    struct np_name qname;
    uint16_t qtype, qclass;
};

/* Starts over a response of len bytes with exactly one question. Returns 0 or NP_E_MALFORMED. */
int np_walk_start(struct np_walk *walk, const uint8_t *message, size_t len);

/* The next record. Returns 1 with *out_rr, 0 at the end, NP_E_MALFORMED. */
int np_walk_next(struct np_walk *walk, struct np_rr *out_rr);

#endif

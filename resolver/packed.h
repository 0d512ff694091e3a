/* packed: an upstream's answer in the form in which it is kept and given to clients. Pure, without allocation.
 *
 * np_packed_make goes through the hostile message once: header, question and OPT are left out, and noted is where each
 * record's TTL stands and which owners repeat the question's name in full. What is left is compact (an answer with one
 * address has 40 bytes), holds nothing of any client, and is given by np_packed_write with two copies and a
 * subtraction for each record, to any client that asks the same question: pointers (RFC 1035 section 4.1.4) stay
 * right, since header and question have the same length in every answer to it.
 *
 * np_packed_life says how long it may be given again. */
#ifndef RESOLVER_PACKED_H
#define RESOLVER_PACKED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "resolver/message.h"

#define NP_PACKED_TTL_MAX      86400 /* seconds: longer TTLs are cut to this (RFC 8767 section 4 wants a cap) */
#define NP_PACKED_NEGATIVE_MAX 3600  /* seconds, of negative answers (RFC 2308 section 5 recommends 1 to 3 h) */
#define NP_PACKED_EDE_MAX      512   /* bytes of EDE options that are kept: a few sentences */

/* The head. Behind it follow where the TTLs are, owners to change, EDE options, records. Aligned to 2. Only packed.c
 * looks inside. */
struct np_packed {
    uint16_t counts[3];   /* records: answer, authority, additional */
    uint16_t core_len;    /* bytes of answer and authority */
    uint16_t records_len; /* bytes of all sections */
    uint16_t case_count;  /* owners to be given the client's case */
    uint16_t turn_at;     /* where the first address of several stands in the records */
    uint16_t ede_len;
    uint8_t qname_len, rcode;
    uint8_t turn_count; /* addresses whose order may be changed; 0: none */
    uint8_t turn_len;   /* bytes of one */
    bool ad;            /* AD as the upstream set it */
    bool truncated;     /* TC as the upstream set it (over TCP, else it would not be here) */
};

/* Bytes that the largest message needs: its records, at least 11 bytes each, with a TTL and an owner to note. */
#define NP_PACKED_MAX                                                                                                  \
    (sizeof(struct np_packed) + NP_PACKED_EDE_MAX + NP_DNS_MESSAGE_MAX + NP_DNS_MESSAGE_MAX / 11 * 6 + 2)

/* What an answer says, and so how long it may be kept. */
enum np_packed_kind {
    NP_PACKED_TRANSIENT, /* not to be kept: a negative answer without SOA (RFC 2308 section 5: it could go round between
                            two servers for ever), a referral, a truncated answer, a TTL of 0, a name that a pointer
                            makes of a TTL's bytes */
    NP_PACKED_POSITIVE,  /* records of the type that was asked for */
    NP_PACKED_NEGATIVE,  /* NXDOMAIN or NODATA with its SOA, behind a chain of CNAMEs or not */
    NP_PACKED_FAILURE    /* another RCODE */
};

/* How long an answer may be kept. */
struct np_packed_life {
    enum np_packed_kind kind;
    uint32_t ttl_s; /* POSITIVE, NEGATIVE: at least 1 */
};

/* Packs a message that np_response_check found good or failed, into out (size bytes). additional: keep that section;
 * trusted: keep AD. Of the additional section, what stands behind the OPT is left out, for cutting the OPT from its
 * midst would move what pointers point at. TTLs over NP_PACKED_TTL_MAX are cut; a negative answer's SOA gets the TTL of
 * RFC 2308 section 5. Returns the bytes used, NP_E_MALFORMED, or NP_E_LIMIT. *out_life, which may be NULL, is written
 * on success. */
long np_packed_make(const uint8_t *message, size_t len, bool additional, bool trusted, void *out, size_t size,
                    struct np_packed_life *out_life);

/* Packs an answer without records, EDE options or message. Returns the bytes used or NP_E_LIMIT. */
long np_packed_empty(const struct np_name *qname, uint16_t rcode, void *out, size_t size);

/* How an answer is given. */
struct np_packed_how {
    uint32_t age_s;   /* taken off every TTL */
    uint32_t fixed_s; /* when not 0: every TTL is this instead (stale answers, RFC 8767 section 4) */
    unsigned turn;    /* which of several addresses of the name comes first; 0: as the upstream gave them */
    enum np_ede ede;  /* said before the upstream's own; NP_EDE_NONE: nothing */
};

/* Writes the answer for a client whose question has the packed one's name and type: its ID and question (and the
 * question's case where owners repeat it), RA set, AA and Z clear, AD only for a client that set DO or AD, our own OPT
 * where the client had one, with the EDEs that fit. Additional records are given when all fit; when answer and
 * authority do not fit in limit bytes, TC and no records. Returns the length, 0 when not even that fits or the names
 * differ in length. out has limit bytes. */
size_t np_packed_write(const struct np_packed *packed, const struct np_query *client, const struct np_packed_how *how,
                       uint8_t *out, size_t limit);

#endif

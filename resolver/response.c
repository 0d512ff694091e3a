#include "resolver/response.h"

#include <string.h>

#include "resolver/base/error.h"
#include "resolver/rdata.h"

#define FLAG_OPCODE    0x7800u
#define RCODE_MASK     0x000fu
#define RCODE_YXDOMAIN 6

static enum np_response_verdict check_body(struct np_walk *walk, const struct np_asked *asked)
{
    struct np_rr rr;
    bool opt = false;
    unsigned rcode = walk->flags & RCODE_MASK;
    int more;
    while ((more = np_walk_next(walk, &rr)) > 0) {
        if (rr.type != NP_RR_OPT && !np_rdata_is_sound(walk->reader.data, walk->reader.size, &rr))
            return NP_RESPONSE_BROKEN;
        if (rr.type != NP_RR_OPT)
            continue;
        if (rr.section != NP_SECTION_ADDITIONAL || opt || rr.owner.len != 1)
            return NP_RESPONSE_BROKEN;
        opt = true;
        rcode |= rr.ttl >> 24 << 4;
    }
    if (more < 0)
        return NP_RESPONSE_BROKEN;
    if (asked->edns && !opt && (rcode == NP_RCODE_FORMERR || rcode == NP_RCODE_NOTIMP))
        return NP_RESPONSE_NO_EDNS;
    if (rcode == NP_RCODE_NOERROR || rcode == NP_RCODE_NXDOMAIN || rcode == RCODE_YXDOMAIN)
        return NP_RESPONSE_GOOD;
    /* A code that needs the upstream's OPT cannot be given on: the header's share of BADVERS is NOERROR. */
    return rcode > RCODE_MASK ? NP_RESPONSE_BROKEN : NP_RESPONSE_FAILED;
}

enum np_response_verdict np_response_check(const struct np_asked *asked, const uint8_t *message, size_t len)
{
    struct np_reader r = np_reader_make(message, len);
    struct np_walk walk;
    uint16_t id = np_read_u16(&r), flags = np_read_u16(&r), questions = np_read_u16(&r);
    if (len < NP_DNS_HEADER_LEN || r.error || id != asked->id || !(flags & NP_FLAG_QR) || (flags & FLAG_OPCODE))
        return NP_RESPONSE_FOREIGN;
    if (questions == 0 && len == NP_DNS_HEADER_LEN) {
        /* Old servers answer what they do not understand with a bare header. */
        unsigned rcode = flags & RCODE_MASK;
        if (rcode == NP_RCODE_FORMERR || rcode == NP_RCODE_NOTIMP)
            return asked->edns ? NP_RESPONSE_NO_EDNS : NP_RESPONSE_BARE;
        return rcode == NP_RCODE_SERVFAIL || rcode == NP_RCODE_REFUSED ? NP_RESPONSE_BARE : NP_RESPONSE_FOREIGN;
    }
    if (np_walk_start(&walk, message, len) || walk.qtype != asked->qtype || walk.qclass != NP_CLASS_IN ||
        !np_name_equal(&walk.qname, asked->qname))
        return NP_RESPONSE_FOREIGN;
    if (asked->check_case && memcmp(walk.qname.wire, asked->qname->wire, walk.qname.len) != 0)
        return NP_RESPONSE_CASE;
    if ((flags & NP_FLAG_TC) && !asked->tcp)
        return NP_RESPONSE_TRUNCATED;
    return check_body(&walk, asked);
}

bool np_response_has_opt(const uint8_t *message, size_t len)
{
    struct np_walk walk;
    struct np_rr rr;
    if (np_walk_start(&walk, message, len))
        return false;
    while (np_walk_next(&walk, &rr) > 0) {
        if (rr.type == NP_RR_OPT)
            return true;
    }
    return false;
}

static bool is_letter(uint8_t c)
{
    c |= 0x20;
    return c >= 'a' && c <= 'z';
}

/* The next 64 bits that the seed makes (SplitMix64: a stranger cannot tell them from random ones without the seed). */
static uint64_t next_bits(uint64_t *seed)
{
    uint64_t z = *seed += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

#define EACH(byte) (0x0101010101010101u * (byte)) /* in each of eight bytes */

/* 0x20 in each of eight bytes that is a letter, 0 in the others. */
static uint64_t letters_of(uint64_t bytes)
{
    uint64_t small = (bytes | EACH(0x20u)) & EACH(0x7fu);
    uint64_t from_a = small + EACH(0x80u - 'a'), past_z = small + EACH(0x7fu - 'z');
    return (from_a & ~past_z & ~bytes & EACH(0x80u)) >> 2;
}

/* 0x20 in each of eight bytes whose bit is set in the lowest eight. */
static uint64_t spread(uint64_t bits)
{
    uint64_t each = (bits & 0xff) * EACH(1u) & 0x8040201008040201u;
    return ((each + EACH(0x7fu)) & EACH(0x80u)) >> 2;
}

/* Eight bytes at a time, since it is done twice for every query. Length bytes are under 64 and so never letters. */
void np_response_mix_case(struct np_name *name, uint64_t seed)
{
    uint64_t bits = 0;
    bool capital = false;
    for (size_t i = 0; i < name->len; i += 8, bits >>= 8) {
        uint64_t bytes = 0, letters;
        size_t n = name->len - i < 8 ? name->len - i : 8;
        if (i % 64 == 0)
            bits = next_bits(&seed);
        memcpy(&bytes, name->wire + i, n);
        letters = letters_of(bytes);
        bytes = (bytes | letters) ^ (letters & spread(bits));
        capital |= (letters & spread(bits)) != 0;
        memcpy(name->wire + i, &bytes, n);
    }
    for (size_t i = 0; i < name->len && !capital; i++) {
        capital = is_letter(name->wire[i]);
        name->wire[i] &= (uint8_t)(capital ? ~0x20 : 0xff);
    }
}

unsigned np_response_case_bits(const struct np_name *name)
{
    unsigned letters = 0;
    for (size_t i = 0; i < name->len; i++)
        letters += is_letter(name->wire[i]);
    /* Of 2^letters spellings the one without capitals is never drawn. */
    unsigned bits = letters > 0 ? letters - 1 : 0;
    return bits < 64 ? bits : 64;
}

#include "resolver/response.h"

#include <string.h>

#include "resolver/base/error.h"

#define FLAG_OPCODE    0x7800u
#define RCODE_MASK     0x000fu
#define RCODE_YXDOMAIN 6
#define EDNS_DO        0x8000u
#define OPT_LEN        11
#define OPTION_EDE     15
#define EDE_TOTAL_MAX  512 /* bytes of EDEs given on: a few sentences */
#define POINTER_BITS   0xc0

static enum np_response_verdict check_body(struct np_walk *walk, const struct np_asked *asked)
{
    struct np_rr rr;
    bool opt = false;
    unsigned rcode = walk->flags & RCODE_MASK;
    int more;
    while ((more = np_walk_next(walk, &rr)) > 0) {
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
            return asked->edns ? NP_RESPONSE_NO_EDNS : NP_RESPONSE_BROKEN;
        return rcode == NP_RCODE_SERVFAIL || rcode == NP_RCODE_REFUSED ? NP_RESPONSE_BROKEN : NP_RESPONSE_FOREIGN;
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

void np_response_mix_case(struct np_name *name, const uint8_t random[NP_NAME_WIRE_MAX / 8 + 1])
{
    for (size_t i = 0; i < name->len; i++) {
        uint8_t c = (uint8_t)(name->wire[i] | 0x20);
        if (c >= 'a' && c <= 'z')
            name->wire[i] ^= (uint8_t)((random[i / 8] >> i % 8 & 1) << 5);
    }
}

/* What a walk over a response found: where each part ends that may be given on. */
struct layout {
    size_t start; /* of the first record */
    size_t end;   /* of the section's last record that is given */
    uint16_t counts[4];
    size_t opt_pos; /* of the OPT's rdata; 0: none */
    uint16_t opt_len;
};

/* Gives an owner that repeats the qname the client's case, so that our 0x20 does not show in it. A compressed tail
 * points at the question (or at an owner that was done before) and needs nothing. */
static void restore_case(const struct np_rr *rr, const struct np_query *client, uint8_t *out, size_t size)
{
    if (!np_name_equal(&rr->owner, &client->qname))
        return;
    size_t pos = 0;
    while (rr->pos + pos < size && out[rr->pos + pos] != 0 && (out[rr->pos + pos] & POINTER_BITS) == 0)
        pos += out[rr->pos + pos] + 1u;
    if (rr->pos + pos < size && pos < client->qname.len)
        memcpy(out + rr->pos, client->qname.wire, pos);
}

/* Copies the records into out (size bytes), section by section, and notes where they end. Records behind an OPT in the
 * additional section are left out, since cutting the OPT from their midst would move what pointers point at. Returns
 * NP_E_LIMIT when answer and authority do not fit. */
static int copy_records(const uint8_t *message, size_t len, const struct np_query *client, bool additional,
                        uint8_t *out, size_t size, struct layout *layout)
{
    struct np_walk walk;
    struct np_rr rr;
    int more;
    bool full = !additional;
    if (np_walk_start(&walk, message, len) || !np_name_equal(&walk.qname, &client->qname) ||
        walk.qtype != client->qtype)
        return NP_E_MALFORMED;
    layout->start = layout->end = walk.reader.pos;
    while ((more = np_walk_next(&walk, &rr)) > 0) {
        size_t end = rr.rdata_pos + rr.rdata_len;
        if (rr.type == NP_RR_OPT && (rr.section != NP_SECTION_ADDITIONAL || layout->opt_pos))
            return NP_E_MALFORMED;
        if (rr.type == NP_RR_OPT) {
            layout->opt_pos = rr.rdata_pos;
            layout->opt_len = rr.rdata_len;
            full = true;
            continue;
        }
        if (rr.section == NP_SECTION_ADDITIONAL && (full || end > size)) {
            full = true;
            continue;
        }
        if (end > size)
            return NP_E_LIMIT;
        memcpy(out + rr.pos, message + rr.pos, end - rr.pos);
        restore_case(&rr, client, out, end);
        layout->counts[rr.section]++;
        layout->end = end;
    }
    return more < 0 ? NP_E_MALFORMED : 0;
}

/* Appends our OPT with the EDE options of the upstream's (RFC 8914 section 3: they may be passed on). */
static void write_opt(struct np_writer *w, const uint8_t *message, const struct layout *layout,
                      const struct np_query *client)
{
    np_write_u8(w, 0);
    np_write_u16(w, NP_RR_OPT);
    np_write_u16(w, NP_DNS_UDP_MAX);
    np_write_u32(w, client->dnssec_ok ? EDNS_DO : 0);
    size_t length_at = w->pos, total = 0;
    np_write_u16(w, 0);
    struct np_reader options = np_reader_make(layout->opt_pos ? message + layout->opt_pos : NULL, layout->opt_len);
    while (np_reader_left(&options) > 0) {
        uint16_t code = np_read_u16(&options), len = np_read_u16(&options);
        const uint8_t *value = np_read_bytes(&options, len);
        if (options.error || code != OPTION_EDE || len < 2)
            continue;
        if (total + 4 + len > EDE_TOTAL_MAX || np_writer_left(w) < 4u + len)
            break;
        np_write_u16(w, code);
        np_write_u16(w, len);
        np_write_bytes(w, value, len);
        total += 4u + len;
    }
    np_write_u16_at(w, length_at, (uint16_t)total);
}

size_t np_response_rewrite(const uint8_t *message, size_t len, const struct np_query *client,
                           const struct np_response_pass *pass, uint8_t *out, size_t limit)
{
    struct layout layout = {0};
    size_t kept = client->edns ? OPT_LEN : 0;
    struct np_reader head = np_reader_make(message, len);
    (void)np_read_u16(&head);
    uint16_t upstream = np_read_u16(&head);
    if (head.error || limit < NP_DNS_HEADER_LEN + client->question_len + kept || !client->question)
        return 0;
    int rc = copy_records(message, len, client, pass->additional, out, limit - kept, &layout);
    bool truncated = rc == NP_E_LIMIT;
    if (rc && !truncated)
        return 0;
    if (truncated) {
        memset(layout.counts, 0, sizeof layout.counts);
        layout.end = layout.start;
    }
    uint16_t flags = (uint16_t)(NP_FLAG_QR | NP_FLAG_RA | (client->flags & (NP_FLAG_RD | NP_FLAG_CD)) |
                                (upstream & RCODE_MASK) | (truncated ? NP_FLAG_TC : 0));
    if (pass->ad && (upstream & NP_FLAG_AD) && (client->dnssec_ok || (client->flags & NP_FLAG_AD)))
        flags |= NP_FLAG_AD;
    struct np_writer w = np_writer_make(out, limit);
    np_write_u16(&w, client->id);
    np_write_u16(&w, flags);
    np_write_u16(&w, 1);
    np_write_u16(&w, layout.counts[NP_SECTION_ANSWER]);
    np_write_u16(&w, layout.counts[NP_SECTION_AUTHORITY]);
    np_write_u16(&w, (uint16_t)(layout.counts[NP_SECTION_ADDITIONAL] + client->edns));
    np_write_bytes(&w, client->question, client->question_len);
    np_write_reserve(&w, layout.end - layout.start);
    if (client->edns)
        write_opt(&w, message, &layout, client);
    return w.error ? 0 : w.pos;
}

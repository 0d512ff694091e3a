#include "resolver/message.h"

#include <string.h>

#include "resolver/base/error.h"
#include "resolver/padding.h"

#define FLAG_OPCODE   0x7800u
#define EDNS_DO       0x8000u /* RFC 3225, in the OPT's TTL */
#define OPT_LEN       11      /* an OPT without options */
#define OPTION_HEAD   4       /* option code and length */
#define OPTION_SUBNET 8       /* RFC 7871 */
#define OPTION_EDE    15      /* RFC 8914 */
#define POINTER       0xc000u
#define FAMILY_IPV4   1 /* IANA address family numbers, as RFC 7871 uses them */
#define FAMILY_IPV6   2
#define QUERY_NS_MAX  1 /* the SOA of an IXFR query */
#define QUERY_ADD_MAX 8 /* OPT, TSIG, SIG(0), and room for what is to come */

/* RFC 7871 section 6: FAMILY, SOURCE PREFIX-LENGTH, SCOPE PREFIX-LENGTH, and just as many octets as needed, with the
 * unused bits zero (section 7.1.1: otherwise FORMERR). */
static int read_client_subnet(struct np_reader *option, struct np_prefix *out_subnet)
{
    uint16_t family = np_read_u16(option);
    uint8_t source = np_read_u8(option), scope = np_read_u8(option);
    size_t len = np_reader_left(option);
    if (option->error)
        return NP_E_MALFORMED;
    if (family != FAMILY_IPV4 && family != FAMILY_IPV6)
        return 0; /* a family we do not know is as good as absent */
    size_t max = family == FAMILY_IPV4 ? 4 : 16;
    if (source > max * 8 || scope != 0 || len != (source + 7u) / 8)
        return NP_E_MALFORMED;
    struct np_addr addr = {.family = family == FAMILY_IPV4 ? AF_INET : AF_INET6};
    np_read_copy(option, addr.bytes, len);
    struct np_prefix subnet = np_prefix_of(&addr, source);
    if (!np_addr_equal(&subnet.addr, &addr))
        return NP_E_MALFORMED;
    *out_subnet = subnet;
    return 0;
}

static int read_options(struct np_reader options, struct np_query *query)
{
    while (np_reader_left(&options) > 0) {
        uint16_t code = np_read_u16(&options), len = np_read_u16(&options);
        struct np_reader option = np_read_sub(&options, len);
        if (options.error)
            return NP_E_MALFORMED;
        query->padding |= code == NP_PADDING_OPTION;
        if (code == OPTION_SUBNET && read_client_subnet(&option, &query->client_subnet))
            return NP_E_MALFORMED;
    }
    return options.error ? NP_E_MALFORMED : 0;
}

/* One record after the question. Only an OPT matters; anything else is skipped (RFC 8945 section 5.2 leaves a TSIG to
 * servers that have keys). */
static int read_record(struct np_reader *r, enum np_section section, struct np_query *query)
{
    struct np_name owner;
    np_name_read(r, &owner);
    uint16_t type = np_read_u16(r), class = np_read_u16(r);
    uint32_t ttl = np_read_u32(r);
    struct np_reader rdata = np_read_sub(r, np_read_u16(r));
    if (r->error)
        return NP_E_MALFORMED;
    if (type != NP_RR_OPT)
        return 0;
    if (section != NP_SECTION_ADDITIONAL || owner.len != 1 || query->edns)
        return NP_E_MALFORMED;
    query->edns = true;
    query->edns_version = (uint8_t)(ttl >> 16);
    query->dnssec_ok = (ttl & EDNS_DO) != 0;
    query->udp_size = class < NP_DNS_UDP_PLAIN ? NP_DNS_UDP_PLAIN : class;
    return query->edns_version == 0 ? read_options(rdata, query) : 0;
}

static int read_question(struct np_reader *r, struct np_query *query)
{
    size_t start = r->pos;
    np_name_read(r, &query->qname);
    query->qtype = np_read_u16(r);
    query->qclass = np_read_u16(r);
    /* A pointer in the question could only point into the header. */
    if (r->error || r->pos - start != query->qname.len + 4u)
        return NP_E_MALFORMED;
    query->question = r->data + start;
    query->question_len = r->pos - start;
    return 0;
}

static int read_body(struct np_reader *r, const uint16_t counts[4], struct np_query *query)
{
    if (counts[0] != 1 || read_question(r, query))
        return NP_E_MALFORMED;
    if (counts[NP_SECTION_ANSWER] != 0 || counts[NP_SECTION_AUTHORITY] > QUERY_NS_MAX ||
        counts[NP_SECTION_ADDITIONAL] > QUERY_ADD_MAX)
        return NP_E_MALFORMED;
    for (int section = NP_SECTION_ANSWER; section <= NP_SECTION_ADDITIONAL; section++) {
        for (unsigned i = 0; i < counts[section]; i++) {
            if (read_record(r, (enum np_section)section, query))
                return NP_E_MALFORMED;
        }
    }
    return np_reader_left(r) == 0 ? 0 : NP_E_MALFORMED;
}

enum np_query_verdict np_query_parse(const uint8_t *packet, size_t len, struct np_query *out)
{
    struct np_reader r = np_reader_make(packet, len);
    uint16_t counts[4];
    out->id = np_read_u16(&r);
    out->flags = np_read_u16(&r);
    for (int i = 0; i < 4; i++)
        counts[i] = np_read_u16(&r);
    out->question = NULL;
    out->question_len = 0;
    out->qname.len = 1;
    out->qname.wire[0] = 0;
    out->qtype = out->qclass = 0;
    out->edns = out->dnssec_ok = out->padding = false;
    out->edns_version = 0;
    out->udp_size = NP_DNS_UDP_PLAIN;
    out->client_subnet = (struct np_prefix){0};
    if (r.error || (out->flags & NP_FLAG_QR))
        return NP_QUERY_DROP;
    int rc = read_body(&r, counts, out);
    if (out->flags & FLAG_OPCODE)
        return NP_QUERY_NOTIMP;
    if (rc)
        return NP_QUERY_FORMERR;
    return out->edns_version > 0 ? NP_QUERY_BADVERS : NP_QUERY_GOOD;
}

size_t np_query_limit(const struct np_query *query, bool tcp)
{
    if (tcp)
        return NP_DNS_MESSAGE_MAX;
    return query->udp_size < NP_DNS_UDP_MAX ? query->udp_size : NP_DNS_UDP_MAX;
}

void np_answer_start(struct np_answer *answer, const struct np_query *query, uint8_t *buffer, size_t limit,
                     uint16_t flags)
{
    size_t kept = query->edns ? OPT_LEN + OPTION_HEAD + 2 : 0; /* an EDE without text always fits */
    answer->writer = np_writer_make(buffer, limit > kept ? limit - kept : 0);
    answer->limit = limit;
    memset(answer->counts, 0, sizeof answer->counts);
    answer->flags = (uint16_t)(NP_FLAG_QR | flags | (query->flags & (FLAG_OPCODE | NP_FLAG_RD | NP_FLAG_CD)));
    answer->rcode = NP_RCODE_NOERROR;
    answer->edns = query->edns;
    answer->dnssec_ok = query->dnssec_ok;
    answer->ede = NP_EDE_NONE;
    answer->ede_text = NULL;
    answer->subnet_scope = -1;
    answer->query = query;
    answer->truncated = false;
    np_write_reserve(&answer->writer, NP_DNS_HEADER_LEN);
    if (query->question) {
        np_write_bytes(&answer->writer, query->question, query->question_len);
        answer->counts[0] = 1;
    }
}

/* Writes name, its longest ending that is also an ending of the qname as a pointer into the question. */
static void write_name(struct np_answer *answer, const struct np_name *name)
{
    const struct np_name *qname = &answer->query->qname;
    size_t pos = answer->query->question ? 0 : name->len - 1u; /* without a question there is nothing to point at */
    for (; name->wire[pos] != 0; pos += name->wire[pos] + 1u) {
        size_t tail = name->len - pos;
        if (name != qname && !np_name_ends(qname, name->wire + pos, tail))
            continue;
        np_write_bytes(&answer->writer, name->wire, pos);
        np_write_u16(&answer->writer, (uint16_t)(POINTER | (NP_DNS_HEADER_LEN + qname->len - tail)));
        return;
    }
    np_write_bytes(&answer->writer, name->wire, name->len);
}

static size_t begin_record(struct np_answer *answer, const struct np_name *owner, uint16_t type, uint32_t ttl)
{
    size_t start = answer->writer.pos;
    write_name(answer, owner);
    np_write_u16(&answer->writer, type);
    np_write_u16(&answer->writer, NP_CLASS_IN);
    np_write_u32(&answer->writer, ttl);
    return start;
}

/* Counts the record that began at start, or takes it out again when it did not fit. A negative answer that lost its SOA
 * is as incomplete as one that lost its answer. */
static void end_record(struct np_answer *answer, enum np_section section, size_t start)
{
    if (!answer->writer.error) {
        answer->counts[section]++;
        return;
    }
    np_write_rewind(&answer->writer, start);
    if (section == NP_SECTION_ANSWER || (section == NP_SECTION_AUTHORITY && answer->counts[NP_SECTION_ANSWER] == 0))
        answer->truncated = true;
}

void np_answer_rr(struct np_answer *answer, enum np_section section, const struct np_name *owner, uint16_t type,
                  uint32_t ttl, const void *rdata, size_t rdata_len)
{
    if (answer->truncated || answer->writer.error || rdata_len > UINT16_MAX)
        return;
    size_t start = begin_record(answer, owner, type, ttl);
    np_write_u16(&answer->writer, (uint16_t)rdata_len);
    np_write_bytes(&answer->writer, rdata, rdata_len);
    end_record(answer, section, start);
}

void np_answer_address(struct np_answer *answer, enum np_section section, const struct np_name *owner, uint32_t ttl,
                       const struct np_addr *addr)
{
    uint16_t type = addr->family == AF_INET ? NP_RR_A : NP_RR_AAAA;
    np_answer_rr(answer, section, owner, type, ttl, addr->bytes, np_addr_len(addr));
}

void np_answer_soa(struct np_answer *answer, enum np_section section, const struct np_name *owner, uint32_t ttl,
                   const struct np_name *mname, const struct np_name *rname, uint32_t serial, const uint32_t timers[4])
{
    if (answer->truncated || answer->writer.error)
        return;
    if (section == NP_SECTION_AUTHORITY && timers[3] < ttl)
        ttl = timers[3];
    size_t start = begin_record(answer, owner, NP_RR_SOA, ttl);
    size_t length_at = answer->writer.pos;
    np_write_u16(&answer->writer, 0);
    write_name(answer, mname);
    write_name(answer, rname);
    np_write_u32(&answer->writer, serial);
    for (int i = 0; i < 4; i++)
        np_write_u32(&answer->writer, timers[i]);
    np_write_u16_at(&answer->writer, length_at, (uint16_t)(answer->writer.pos - length_at - 2));
    end_record(answer, section, start);
}

/* Left out where it does not fit: then the answer holds for everybody, as one without it does. */
static void write_client_subnet(struct np_writer *w, const struct np_prefix *subnet, uint8_t scope)
{
    size_t len = (subnet->length + 7u) / 8;
    if (np_writer_left(w) < OPTION_HEAD + 4 + len)
        return;
    np_write_u16(w, OPTION_SUBNET);
    np_write_u16(w, (uint16_t)(4 + len));
    np_write_u16(w, subnet->addr.family == AF_INET ? FAMILY_IPV4 : FAMILY_IPV6);
    np_write_u8(w, subnet->length);
    np_write_u8(w, scope);
    np_write_bytes(w, subnet->addr.bytes, len);
}

static void write_opt(struct np_answer *answer)
{
    struct np_writer *w = &answer->writer;
    size_t text_len = answer->ede_text && answer->ede != NP_EDE_NONE ? strlen(answer->ede_text) : 0;
    w->size = answer->limit;
    if (np_writer_left(w) < OPT_LEN + OPTION_HEAD + 2 + text_len)
        text_len = 0;
    np_write_u8(w, 0);
    np_write_u16(w, NP_RR_OPT);
    np_write_u16(w, NP_DNS_UDP_MAX);
    np_write_u32(w, (uint32_t)(answer->rcode >> 4) << 24 | (answer->dnssec_ok ? EDNS_DO : 0));
    size_t length_at = w->pos;
    np_write_u16(w, 0);
    if (answer->ede != NP_EDE_NONE) {
        np_write_u16(w, OPTION_EDE);
        np_write_u16(w, (uint16_t)(2 + text_len));
        np_write_u16(w, (uint16_t)answer->ede);
        np_write_bytes(w, answer->ede_text, text_len);
    }
    if (answer->subnet_scope >= 0)
        write_client_subnet(w, &answer->query->client_subnet, (uint8_t)answer->subnet_scope);
    np_write_u16_at(w, length_at, (uint16_t)(w->pos - length_at - 2));
    answer->counts[NP_SECTION_ADDITIONAL]++;
}

size_t np_answer_finish(struct np_answer *answer)
{
    struct np_writer *w = &answer->writer;
    if (w->error)
        return 0; /* not even the question fitted */
    if (answer->edns)
        write_opt(answer);
    struct np_writer head = np_writer_make(w->data, NP_DNS_HEADER_LEN);
    np_write_u16(&head, answer->query->id);
    np_write_u16(&head, (uint16_t)(answer->flags | (answer->truncated ? NP_FLAG_TC : 0) | (answer->rcode & 15)));
    for (int i = 0; i < 4; i++)
        np_write_u16(&head, answer->counts[i]);
    return w->error ? 0 : w->pos;
}

size_t np_answer_error(const struct np_query *query, uint16_t rcode, uint16_t flags, enum np_ede ede, uint8_t *buffer,
                       size_t size)
{
    struct np_answer answer;
    np_answer_start(&answer, query, buffer, size, flags);
    answer.rcode = rcode;
    answer.ede = ede;
    return np_answer_finish(&answer);
}

int np_query_write(uint8_t *buffer, size_t size, uint16_t id, uint16_t flags, const struct np_name *qname,
                   uint16_t qtype, bool edns, bool dnssec_ok)
{
    struct np_writer w = np_writer_make(buffer, size);
    np_write_u16(&w, id);
    np_write_u16(&w, flags);
    np_write_u16(&w, 1);
    np_write_u16(&w, 0);
    np_write_u16(&w, 0);
    np_write_u16(&w, edns);
    np_write_bytes(&w, qname->wire, qname->len);
    np_write_u16(&w, qtype);
    np_write_u16(&w, NP_CLASS_IN);
    if (edns) {
        np_write_u8(&w, 0);
        np_write_u16(&w, NP_RR_OPT);
        np_write_u16(&w, NP_DNS_UDP_MAX);
        np_write_u32(&w, dnssec_ok ? EDNS_DO : 0);
        np_write_u16(&w, 0);
    }
    return w.error ? w.error : (int)w.pos;
}

int np_walk_start(struct np_walk *walk, const uint8_t *message, size_t len)
{
    walk->reader = np_reader_make(message, len);
    struct np_reader *r = &walk->reader;
    walk->id = np_read_u16(r);
    walk->flags = np_read_u16(r);
    for (int i = 0; i < 4; i++)
        walk->left[i] = np_read_u16(r);
    np_name_read(r, &walk->qname);
    walk->qtype = np_read_u16(r);
    walk->qclass = np_read_u16(r);
    bool good = !r->error && walk->left[0] == 1 && r->pos == NP_DNS_HEADER_LEN + walk->qname.len + 4u;
    walk->left[0] = 0;
    return good ? 0 : NP_E_MALFORMED;
}

/* Most owners are a pointer to the question's name, which has been read. */
static void read_owner(struct np_walk *walk, struct np_name *out_owner)
{
    struct np_reader peek = walk->reader;
    if (np_read_u16(&peek) != (POINTER | NP_DNS_HEADER_LEN)) {
        np_name_read(&walk->reader, out_owner);
        return;
    }
    np_read_skip(&walk->reader, 2);
    out_owner->len = walk->qname.len;
    memcpy(out_owner->wire, walk->qname.wire, walk->qname.len);
}

int np_walk_next(struct np_walk *walk, struct np_rr *out_rr)
{
    struct np_reader *r = &walk->reader;
    int section = NP_SECTION_ANSWER;
    while (section <= NP_SECTION_ADDITIONAL && walk->left[section] == 0)
        section++;
    if (section > NP_SECTION_ADDITIONAL)
        return np_reader_left(r) == 0 && !r->error ? 0 : NP_E_MALFORMED;
    out_rr->pos = r->pos;
    read_owner(walk, &out_rr->owner);
    out_rr->type = np_read_u16(r);
    out_rr->class = np_read_u16(r);
    out_rr->ttl = np_read_u32(r);
    out_rr->section = (enum np_section)section;
    out_rr->rdata_len = np_read_u16(r);
    out_rr->rdata_pos = r->pos;
    np_read_skip(r, out_rr->rdata_len);
    if (r->error)
        return NP_E_MALFORMED;
    walk->left[section]--;
    return 1;
}

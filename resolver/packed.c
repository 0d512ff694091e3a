#include "resolver/packed.h"

#include <string.h>

#include "resolver/base/error.h"
#include "resolver/packed_moving.h"

#define RCODE_MASK   0x000fu
#define EDNS_DO      0x8000u
#define OPT_LEN      11 /* an OPT without options */
#define OPTION_EDE   15 /* RFC 8914 */
#define EDE_LEN      6  /* the option without text */
#define POINTER_BITS 0xc0
#define SOA_TIMERS   16 /* serial, refresh, retry, expire: what stands before the minimum */
#define TTL_OFFSET   6  /* from the end of a record's fixed part back to its TTL: TTL and rdata length */

/* The arrays behind the head. */

static const uint16_t *ttl_places(const struct np_packed *packed)
{
    return (const uint16_t *)(packed + 1);
}

static size_t record_count(const struct np_packed *packed)
{
    return (size_t)packed->counts[0] + packed->counts[1] + packed->counts[2];
}

/* Pairs: where, how many bytes. */
static const uint16_t *case_places(const struct np_packed *packed)
{
    return ttl_places(packed) + record_count(packed);
}

static const uint8_t *ede_options(const struct np_packed *packed)
{
    return (const uint8_t *)(case_places(packed) + packed->case_count * 2u);
}

static const uint8_t *records_of(const struct np_packed *packed)
{
    return ede_options(packed) + packed->ede_len;
}

/* What the first walk found. */
struct survey {
    size_t start;          /* of the first record */
    size_t core_end, end;  /* of answer and authority, of everything that is kept */
    struct np_reader edes; /* the OPT's rdata */
    bool opt;              /* an OPT was seen */
    bool answered;         /* a record of the type asked for is in the answer section */
    bool soa;              /* a whole SOA is in the authority section */
    uint32_t soa_ttl;      /* its TTL by RFC 2308 section 5 */
    uint32_t least_ttl;    /* of all records, after the cap */
};

static uint32_t smaller(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

/* The TTL of a negative answer: the SOA's own or its minimum, whatever is less. */
static void read_soa(const uint8_t *message, size_t len, const struct np_rr *rr, struct survey *survey)
{
    struct np_reader r = np_reader_make(message, len);
    struct np_name name;
    np_read_seek(&r, rr->rdata_pos);
    np_name_read(&r, &name);
    np_name_read(&r, &name);
    np_read_skip(&r, SOA_TIMERS);
    uint32_t minimum = np_read_u32(&r);
    if (r.error || r.pos != rr->rdata_pos + rr->rdata_len)
        return;
    uint32_t ttl = smaller(smaller(rr->ttl, minimum), NP_PACKED_NEGATIVE_MAX);
    survey->soa_ttl = survey->soa ? smaller(survey->soa_ttl, ttl) : ttl;
    survey->soa = true;
}

/* Bytes of the owner that repeat the qname in full, up to a pointer: 0 where it is a pointer altogether. */
static size_t repeated(const struct np_rr *rr, const struct np_name *qname, const uint8_t *message)
{
    size_t pos = 0;
    if ((message[rr->pos] & POINTER_BITS) != 0 || !np_name_equal(&rr->owner, qname))
        return 0;
    while (message[rr->pos + pos] != 0 && (message[rr->pos + pos] & POINTER_BITS) == 0)
        pos += message[rr->pos + pos] + 1u;
    return pos;
}

/* The first walk: counts and measures what is kept. */
static int measure(struct np_walk walk, bool additional, struct np_packed *head, struct survey *survey)
{
    const uint8_t *message = walk.reader.data;
    size_t len = walk.reader.size;
    struct np_rr rr;
    int more;
    *survey = (struct survey){.start = walk.reader.pos, .least_ttl = NP_PACKED_TTL_MAX};
    survey->core_end = survey->end = survey->start;
    while ((more = np_walk_next(&walk, &rr)) > 0) {
        if (rr.type == NP_RR_OPT) {
            if (rr.section != NP_SECTION_ADDITIONAL || survey->opt)
                return NP_E_MALFORMED;
            survey->opt = true;
            survey->edes = np_reader_make(message + rr.rdata_pos, rr.rdata_len);
            continue;
        }
        if (rr.section == NP_SECTION_ADDITIONAL && (survey->opt || !additional))
            continue;
        survey->end = rr.rdata_pos + rr.rdata_len;
        if (rr.section != NP_SECTION_ADDITIONAL)
            survey->core_end = survey->end;
        head->counts[rr.section - NP_SECTION_ANSWER]++;
        head->case_count += repeated(&rr, &walk.qname, message) > 0;
        survey->least_ttl = smaller(survey->least_ttl, rr.ttl);
        if (rr.section == NP_SECTION_ANSWER && (rr.type == walk.qtype || walk.qtype == NP_RR_ANY))
            survey->answered = true;
        if (rr.section == NP_SECTION_AUTHORITY && rr.type == NP_RR_SOA)
            read_soa(message, len, &rr, survey);
    }
    return more < 0 ? NP_E_MALFORMED : 0;
}

/* RFC 2308 section 2. */
static struct np_packed_life judge(const struct np_packed *head, const struct survey *survey)
{
    struct np_packed_life life = {NP_PACKED_TRANSIENT, survey->least_ttl};
    if (head->rcode != NP_RCODE_NOERROR && head->rcode != NP_RCODE_NXDOMAIN)
        return (struct np_packed_life){NP_PACKED_FAILURE, 0};
    if (head->rcode == NP_RCODE_NOERROR && survey->answered) {
        life.kind = NP_PACKED_POSITIVE;
    } else if (survey->soa) {
        life.kind = NP_PACKED_NEGATIVE;
        life.ttl_s = smaller(life.ttl_s, survey->soa_ttl);
    }
    if (life.ttl_s == 0 || head->truncated)
        life.kind = NP_PACKED_TRANSIENT;
    if (life.kind == NP_PACKED_TRANSIENT)
        life.ttl_s = 0;
    return life;
}

static void write_edes(struct np_writer *w, struct np_reader edes)
{
    size_t start = w->pos;
    while (np_reader_left(&edes) > 0) {
        uint16_t code = np_read_u16(&edes), len = np_read_u16(&edes);
        const uint8_t *value = np_read_bytes(&edes, len);
        if (edes.error || code != OPTION_EDE || len < 2)
            continue;
        if (w->pos - start + 4u + len > NP_PACKED_EDE_MAX)
            break;
        np_write_u16(w, code);
        np_write_u16(w, len);
        np_write_bytes(w, value, len);
    }
}

static void put_u32(uint8_t *at, uint32_t v)
{
    struct np_writer w = np_writer_make(at, 4);
    np_write_u32(&w, v);
}

/* The second walk: notes places and changes TTLs. records are the copy that is kept. Returns false when something in it
 * must not be kept. */
static bool note(struct np_walk walk, struct np_packed *head, const struct survey *survey, bool negative,
                 uint16_t *arrays, uint8_t *records)
{
    struct packed_moving moving = {walk.reader.data, walk.reader.size, survey->start, arrays, 0, {0}};
    struct np_rr rr;
    size_t cases = record_count(head);
    bool steady = true;
    while (moving.count < record_count(head) && np_walk_next(&walk, &rr) > 0) {
        if (rr.type == NP_RR_OPT)
            continue;
        size_t ttl_at = rr.rdata_pos - TTL_OFFSET - survey->start;
        size_t same = repeated(&rr, &walk.qname, moving.message);
        uint32_t ttl = smaller(rr.ttl, NP_PACKED_TTL_MAX);
        if (negative && rr.type == NP_RR_SOA && rr.section == NP_SECTION_AUTHORITY)
            ttl = smaller(ttl, survey->soa_ttl);
        arrays[moving.count++] = (uint16_t)ttl_at;
        put_u32(records + ttl_at, ttl);
        if (same > 0) {
            arrays[cases++] = (uint16_t)(rr.pos - survey->start);
            arrays[cases++] = (uint16_t)same;
        }
        steady = steady && packed_is_steady(&moving, &rr);
        packed_extend_run(&moving, &rr, walk.qtype);
    }
    if (moving.run.count > 1) {
        head->turn_count = (uint8_t)moving.run.count;
        head->turn_len = walk.qtype == NP_RR_A ? 4 : 16;
        head->turn_at = (uint16_t)(moving.run.begin + 2 + PACKED_RR_FIXED);
    }
    return steady;
}

long np_packed_make(const uint8_t *message, size_t len, bool additional, bool trusted, void *out, size_t size,
                    struct np_packed_life *out_life)
{
    struct np_packed head = {.counts = {0}};
    struct survey survey;
    struct np_walk walk;
    if (np_walk_start(&walk, message, len) || measure(walk, additional, &head, &survey))
        return NP_E_MALFORMED;
    head.core_len = (uint16_t)(survey.core_end - survey.start);
    head.records_len = (uint16_t)(survey.end - survey.start);
    head.qname_len = walk.qname.len;
    head.rcode = walk.flags & RCODE_MASK;
    head.ad = trusted && (walk.flags & NP_FLAG_AD);
    head.truncated = (walk.flags & NP_FLAG_TC) != 0;
    struct np_packed_life life = judge(&head, &survey);
    size_t arrays_len = (record_count(&head) + head.case_count * 2u) * sizeof(uint16_t);
    struct np_writer w = np_writer_make(out, size);
    np_write_reserve(&w, sizeof head);
    uint16_t *arrays = (uint16_t *)(void *)np_write_reserve(&w, arrays_len);
    size_t edes_at = w.pos;
    write_edes(&w, survey.edes);
    head.ede_len = (uint16_t)(w.pos - edes_at);
    uint8_t *records = np_write_reserve(&w, head.records_len);
    if (w.error)
        return NP_E_LIMIT;
    memcpy(records, message + survey.start, head.records_len);
    if (!note(walk, &head, &survey, life.kind == NP_PACKED_NEGATIVE, arrays, records)) {
        memcpy(records, message + survey.start, head.records_len); /* as it came, no TTL cut */
        life = (struct np_packed_life){life.kind == NP_PACKED_FAILURE ? life.kind : NP_PACKED_TRANSIENT, 0};
    }
    memcpy(out, &head, sizeof head);
    if (out_life)
        *out_life = life;
    return (long)w.pos;
}

long np_packed_empty(const struct np_name *qname, uint16_t rcode, void *out, size_t size)
{
    struct np_packed head = {.qname_len = qname->len, .rcode = rcode & RCODE_MASK};
    if (size < sizeof head)
        return NP_E_LIMIT;
    memcpy(out, &head, sizeof head);
    return sizeof head;
}

/* Our OPT, with an EDE of our own and the upstream's that fit (RFC 8914 section 3: they may be passed on). */
static void write_opt(struct np_writer *w, const struct np_packed *packed, const struct np_query *client,
                      enum np_ede ede)
{
    np_write_u8(w, 0);
    np_write_u16(w, NP_RR_OPT);
    np_write_u16(w, NP_DNS_UDP_MAX);
    np_write_u32(w, client->dnssec_ok ? EDNS_DO : 0);
    size_t length_at = w->pos;
    np_write_u16(w, 0);
    if (ede != NP_EDE_NONE && np_writer_left(w) >= EDE_LEN) {
        np_write_u16(w, OPTION_EDE);
        np_write_u16(w, 2);
        np_write_u16(w, (uint16_t)ede);
    }
    struct np_reader options = np_reader_make(ede_options(packed), packed->ede_len);
    while (np_reader_left(&options) > 0) {
        size_t start = options.pos;
        (void)np_read_u16(&options);
        uint16_t len = np_read_u16(&options);
        np_read_skip(&options, len);
        if (options.error || np_writer_left(w) < options.pos - start)
            break;
        np_write_bytes(w, ede_options(packed) + start, options.pos - start);
    }
    np_write_u16_at(w, length_at, (uint16_t)(w->pos - length_at - 2));
}

static void age_records(const struct np_packed *packed, size_t count, const struct np_packed_how *how, uint8_t *records)
{
    const uint16_t *places = ttl_places(packed);
    for (size_t i = 0; i < count; i++) {
        uint8_t *at = records + places[i];
        uint32_t ttl = (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
        ttl = how->fixed_s ? how->fixed_s : ttl > how->age_s ? ttl - how->age_s : 0;
        at[0] = (uint8_t)(ttl >> 24);
        at[1] = (uint8_t)(ttl >> 16);
        at[2] = (uint8_t)(ttl >> 8);
        at[3] = (uint8_t)ttl;
    }
}

/* Our 0x20 must not show in what the client gets. */
static void restore_case(const struct np_packed *packed, const struct np_query *client, size_t len, uint8_t *records)
{
    const uint16_t *places = case_places(packed);
    for (size_t i = 0; i < packed->case_count; i++, places += 2) {
        if (places[0] + (size_t)places[1] <= len && places[1] < client->qname.len)
            memcpy(records + places[0], client->qname.wire, places[1]);
    }
}

/* Puts another of the addresses first. records is a copy. */
static void turn_addresses(const struct np_packed *packed, unsigned turn, uint8_t *records)
{
    const uint8_t *from = records_of(packed) + packed->turn_at;
    size_t len = packed->turn_len, step = 2 + PACKED_RR_FIXED + len;
    unsigned first = turn % packed->turn_count;
    for (unsigned i = 0; i < packed->turn_count; i++) {
        memcpy(records + packed->turn_at + i * step, from + first * step, len);
        first = first + 1 == packed->turn_count ? 0 : first + 1;
    }
}

size_t np_packed_write(const struct np_packed *packed, const struct np_query *client, const struct np_packed_how *how,
                       uint8_t *out, size_t limit)
{
    size_t opt = client->edns ? OPT_LEN : 0, start = NP_DNS_HEADER_LEN + client->question_len;
    if (!client->question || client->qname.len != packed->qname_len || limit < start + opt)
        return 0;
    size_t room = limit - start - opt, len = packed->records_len;
    uint16_t answer = packed->counts[0], authority = packed->counts[1], additional = packed->counts[2];
    if (len > room) {
        len = packed->core_len;
        additional = 0;
    }
    bool truncated = len > room;
    if (truncated) {
        len = 0;
        answer = authority = 0;
    }
    uint16_t flags = (uint16_t)(NP_FLAG_QR | NP_FLAG_RA | (client->flags & (NP_FLAG_RD | NP_FLAG_CD)) | packed->rcode |
                                (truncated || packed->truncated ? NP_FLAG_TC : 0));
    if (packed->ad && (client->dnssec_ok || (client->flags & NP_FLAG_AD)))
        flags |= NP_FLAG_AD;
    struct np_writer w = np_writer_make(out, limit);
    np_write_u16(&w, client->id);
    np_write_u16(&w, flags);
    np_write_u16(&w, 1);
    np_write_u16(&w, answer);
    np_write_u16(&w, authority);
    np_write_u16(&w, (uint16_t)(additional + client->edns));
    np_write_bytes(&w, client->question, client->question_len);
    np_write_bytes(&w, records_of(packed), len);
    age_records(packed, (size_t)answer + authority + additional, how, out + start);
    if (how->turn > 0 && packed->turn_count > 0 && len > 0)
        turn_addresses(packed, how->turn, out + start);
    restore_case(packed, client, len, out + start);
    if (client->edns)
        write_opt(&w, packed, client, how->ede);
    return w.error ? 0 : w.pos;
}

#include "agent/network/probe_read.h"

#include <string.h>

#include "resolver/base/cursor.h"
#include "resolver/message.h"

#define FLAG_OPCODE 0x7800u
#define RCODE_MASK  0x000fu
#define RR_DNAME    39
#define OPTION_EDE  15 /* RFC 8914 section 2 */

static void keep_address(struct np_probe_answer *answer, const uint8_t *data, const struct np_rr *rr)
{
    struct np_addr addr = np_addr_from_bytes(data, rr->rdata_len);
    if (addr.family != (rr->type == NP_RR_A ? AF_INET : AF_INET6)) {
        answer->state = NP_PROBE_BROKEN;
        return;
    }
    if (answer->address_count == 0 || rr->ttl < answer->ttl_s)
        answer->ttl_s = rr->ttl;
    for (size_t i = 0; i < answer->address_count; i++) {
        if (np_addr_equal(&answer->addresses[i], &addr))
            return;
    }
    if (answer->address_count < NP_PROBE_ADDRESSES_MAX)
        answer->addresses[answer->address_count++] = addr;
}

/* The first character string (RFC 1035 section 3.3.14). */
static void keep_text(struct np_probe_answer *answer, const uint8_t *data, size_t len)
{
    struct np_reader r = np_reader_make(data, len);
    size_t text_len = np_read_u8(&r), kept = 0;
    const uint8_t *text = np_read_bytes(&r, text_len);
    if (answer->software[0] || !text)
        return;
    for (; kept < text_len && kept < NP_PROBE_SOFTWARE_MAX - 1; kept++)
        answer->software[kept] = text[kept] >= 0x20 && text[kept] < 0x7f ? (char)text[kept] : '?';
    answer->software[kept] = 0;
}

static void keep_ede(struct np_probe_answer *answer, const uint8_t *data, size_t len)
{
    struct np_reader r = np_reader_make(data, len);
    while (np_reader_left(&r) > 0) {
        uint16_t code = np_read_u16(&r), option_len = np_read_u16(&r);
        struct np_reader option = np_read_sub(&r, option_len);
        uint16_t info = np_read_u16(&option);
        if (code == OPTION_EDE && !option.error && answer->ede == NP_EDE_NONE)
            answer->ede = info;
    }
}

static void keep(struct np_probe_answer *answer, const struct np_probe_question *question, const struct np_rr *rr,
                 const uint8_t *data)
{
    if (rr->type == NP_RR_OPT) {
        answer->rcode |= (uint16_t)(rr->ttl >> 24 << 4);
        keep_ede(answer, data, rr->rdata_len);
    } else if (rr->section == NP_SECTION_AUTHORITY) {
        answer->soa |= rr->type == NP_RR_SOA;
    } else if (rr->section == NP_SECTION_ANSWER && (rr->type == NP_RR_CNAME || rr->type == RR_DNAME)) {
        answer->alias = true;
    } else if (rr->section == NP_SECTION_ANSWER && rr->type == question->type) {
        if (rr->type == NP_RR_A || rr->type == NP_RR_AAAA)
            keep_address(answer, data, rr);
        else if (rr->type == NP_RR_TXT)
            keep_text(answer, data, rr->rdata_len);
    }
}

bool np_probe_read(const struct np_probe_question *question, uint16_t id, const uint8_t *message, size_t len,
                   struct np_probe_answer *out_answer)
{
    struct np_reader head = np_reader_make(message, len);
    struct np_walk walk;
    struct np_rr rr;
    uint16_t seen_id = np_read_u16(&head), flags = np_read_u16(&head), questions = np_read_u16(&head);
    struct np_probe_answer answer = {
        .state = NP_PROBE_ANSWERED, .rcode = flags & RCODE_MASK, .ede = NP_EDE_NONE, .rtt_ms = out_answer->rtt_ms};
    int more;
    if (len < NP_DNS_HEADER_LEN || seen_id != id || !(flags & NP_FLAG_QR) || (flags & FLAG_OPCODE))
        return false;
    answer.aa = (flags & NP_FLAG_AA) != 0;
    answer.ra = (flags & NP_FLAG_RA) != 0;
    answer.truncated = (flags & NP_FLAG_TC) != 0;
    if (questions == 0 && len == NP_DNS_HEADER_LEN && answer.rcode != NP_RCODE_NOERROR) {
        *out_answer = answer; /* old servers refuse with a bare header */
        return true;
    }
    if (np_walk_start(&walk, message, len) || walk.qtype != question->type || walk.qclass != question->class ||
        !np_name_equal(&walk.qname, &question->name))
        return false;
    while ((more = np_walk_next(&walk, &rr)) > 0)
        keep(&answer, question, &rr, message + rr.rdata_pos);
    if (more < 0 && !answer.truncated)
        answer.state = NP_PROBE_BROKEN;
    *out_answer = answer;
    return true;
}

int np_probe_write(const struct np_probe_question *question, uint16_t id, bool recursion, bool edns, uint8_t *buffer,
                   size_t size)
{
    int len =
        np_query_write(buffer, size, id, recursion ? NP_FLAG_RD : 0, &question->name, question->type, edns, false);
    if (len > 0 && question->class != NP_CLASS_IN) {
        struct np_writer w = {.data = buffer, .size = size, .pos = (size_t)len};
        np_write_u16_at(&w, NP_DNS_HEADER_LEN + question->name.len + 2u, question->class);
    }
    return len;
}

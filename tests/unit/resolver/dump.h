/* dump: DNS messages as one line of text, so that tests are tables of strings. Not for programs. */
#ifndef TESTS_UNIT_RESOLVER_DUMP_H
#define TESTS_UNIT_RESOLVER_DUMP_H

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "resolver/message.h"

#define DUMP_MAX 4096

struct dump {
    char text[DUMP_MAX];
    size_t len;
};

static inline void __attribute__((format(printf, 2, 3))) dump_add(struct dump *dump, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int n = vsnprintf(dump->text + dump->len, DUMP_MAX - dump->len, format, args);
    va_end(args);
    if (n > 0 && dump->len + (size_t)n < DUMP_MAX)
        dump->len += (size_t)n;
}

static inline const char *dump_type(uint16_t type, char buffer[16])
{
    static const struct {
        uint16_t type;
        const char *name;
    } types[] = {{1, "A"},      {2, "NS"},   {5, "CNAME"},  {6, "SOA"},  {12, "PTR"}, {13, "HINFO"},
                 {15, "MX"},    {16, "TXT"}, {28, "AAAA"},  {33, "SRV"}, {43, "DS"},  {64, "SVCB"},
                 {65, "HTTPS"}, {41, "OPT"}, {46, "RRSIG"}, {255, "ANY"}};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        if (types[i].type == type)
            return types[i].name;
    }
    snprintf(buffer, 16, "TYPE%u", type);
    return buffer;
}

static inline void dump_name_at(struct dump *dump, struct np_reader *r)
{
    struct np_name name;
    char text[NP_NAME_TEXT_MAX];
    np_name_read(r, &name);
    dump_add(dump, " %s", r->error ? "?" : np_name_format(&name, text));
}

static inline void dump_rdata(struct dump *dump, const uint8_t *message, size_t len, const struct np_rr *rr)
{
    struct np_reader r = np_reader_make(message, len);
    char text[NP_ADDR_TEXT_MAX];
    np_read_seek(&r, rr->rdata_pos);
    if (rr->type == NP_RR_A || rr->type == NP_RR_AAAA) {
        struct np_addr addr = np_addr_from_bytes(np_read_bytes(&r, rr->rdata_len), rr->rdata_len);
        dump_add(dump, " %s", np_addr_format(&addr, text));
    } else if (rr->type == NP_RR_PTR || rr->type == NP_RR_CNAME || rr->type == NP_RR_NS) {
        dump_name_at(dump, &r);
    } else if (rr->type == NP_RR_SOA) {
        dump_name_at(dump, &r);
        dump_name_at(dump, &r);
        for (int i = 0; i < 5; i++)
            dump_add(dump, " %u", np_read_u32(&r));
    } else if (rr->type == NP_RR_MX) {
        dump_add(dump, " %u", np_read_u16(&r));
        dump_name_at(dump, &r);
    } else {
        dump_add(dump, " ");
        for (size_t i = 0; i < rr->rdata_len; i++)
            dump_add(dump, "%02x", np_read_u8(&r));
    }
}

/* "NOERROR qr aa rd ra question A; AN owner A 10 192.0.2.1; AU ..." */
static inline const char *dump_message(struct dump *dump, const uint8_t *message, size_t len)
{
    static const char *const rcodes[16] = {"NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED"};
    static const struct {
        uint16_t bit;
        const char *name;
    } flags[] = {{NP_FLAG_AA, "aa"}, {NP_FLAG_TC, "tc"}, {NP_FLAG_RD, "rd"},
                 {NP_FLAG_RA, "ra"}, {NP_FLAG_AD, "ad"}, {NP_FLAG_CD, "cd"}};
    static const char *const sections[] = {"", "AN", "AU", "AD"};
    struct np_walk walk;
    struct np_rr rr;
    char text[NP_NAME_TEXT_MAX], type[16];
    int more;
    dump->len = 0;
    dump->text[0] = 0;
    if (np_walk_start(&walk, message, len))
        return "malformed";
    dump_add(dump, "%s", rcodes[walk.flags & 15] ? rcodes[walk.flags & 15] : "OTHER");
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++) {
        if (walk.flags & flags[i].bit)
            dump_add(dump, " %s", flags[i].name);
    }
    dump_add(dump, " %s %s", np_name_format(&walk.qname, text), dump_type(walk.qtype, type));
    while ((more = np_walk_next(&walk, &rr)) > 0) {
        dump_add(dump, "; %s %s %s", sections[rr.section], np_name_format(&rr.owner, text), dump_type(rr.type, type));
        if (rr.type == NP_RR_OPT)
            dump_add(dump, " %u %08x", rr.class, rr.ttl);
        else
            dump_add(dump, " %u", rr.ttl);
        dump_rdata(dump, message, len, &rr);
    }
    if (more < 0)
        dump_add(dump, "; malformed");
    return dump->text;
}

/* A name that must parse. */
static inline struct np_name dump_name(const char *text)
{
    struct np_name name = {0};
    if (np_name_parse(text, &name))
        fprintf(stderr, "bad name in a test: %s\n", text);
    return name;
}

/* A query packet in buffer (512 bytes). Returns its length. */
static inline size_t dump_query(uint8_t *buffer, const char *name, uint16_t type, uint16_t flags, bool edns,
                                bool dnssec)
{
    struct np_name qname = dump_name(name);
    int len = np_query_write(buffer, 512, 0x1234, flags, &qname, type, edns, dnssec);
    return len < 0 ? 0 : (size_t)len;
}

#endif

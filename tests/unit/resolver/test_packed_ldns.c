/* Packed answers beside ldns: messages that ldns wrote, with its own compression, come out of the packed form as ldns
 * reads them, record for record. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <ldns/ldns.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "resolver/packed.h"

#define MESSAGES 4000
#define AGE_S    100

static const char *const owners[] = {"www.example.", "WWW.Example.", "a.www.example.", "cdn.example.net.",
                                     "example.",     "ns1.example.", "x.y.z.example.", "."};
static const char *const names[] = {"www.example.", "ns1.example.", "mail.a.www.example.", "cdn.example.net.", "."};

/* Records; %s is a name. */
static const char *const rdata[] = {
    "A 192.0.2.1",
    "A 198.51.100.255",
    "AAAA 2001:db8::1",
    "CNAME %s",
    "NS %s",
    "PTR %s",
    "DNAME %s",
    "MX 10 %s",
    "SRV 1 2 443 %s",
    "SOA %s hostmaster.example. 1 2 3 4 5",
    "TXT \"one\" \"two\"",
    "RP %s %s",
    "AFSDB 1 %s",
    "NAPTR 10 20 \"u\" \"E2U+sip\" \"!^.*$!sip:a@example!\" %s",
    "HINFO \"a\" \"b\"",
    "CAA 0 issue \"ca.example\"",
    "TLSA 3 1 1 0000000000000000000000000000000000000000000000000000000000000000",
    "SSHFP 1 1 00000000000000000000",
    "DS 1 13 2 0000000000000000000000000000000000000000000000000000000000000000",
    "NSEC %s A MX RRSIG NSEC",
    "RRSIG A 13 2 3600 20300101000000 20200101000000 12345 example. AAAA",
    "TYPE65280 \\# 4 01020304",
};

static uint32_t next_random(uint64_t *state, uint32_t bound)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)((*state >> 33) % bound);
}

static ldns_rr *random_record(uint64_t *state)
{
    const char *name = names[next_random(state, sizeof names / sizeof *names)];
    char data[256], text[512];
    ldns_rr *rr;
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    snprintf(data, sizeof data, rdata[next_random(state, sizeof rdata / sizeof *rdata)], name, name);
#pragma GCC diagnostic pop
    snprintf(text, sizeof text, "%s %u IN %s", owners[next_random(state, sizeof owners / sizeof *owners)],
             next_random(state, 4) ? next_random(state, 1000) : next_random(state, UINT32_MAX), data);
    if (ldns_rr_new_frm_str(&rr, text, 0, NULL, NULL) != LDNS_STATUS_OK)
        fail_msg("%s", text);
    return rr;
}

/* A response as ldns writes it; malloc'd. */
static uint8_t *random_message(uint64_t *state, size_t *out_len)
{
    ldns_pkt *packet = ldns_pkt_new();
    ldns_rr *question;
    uint8_t *wire;
    assert_int_equal(ldns_rr_new_question_frm_str(&question, "www.example. IN A", NULL, NULL), LDNS_STATUS_OK);
    ldns_pkt_push_rr(packet, LDNS_SECTION_QUESTION, question);
    ldns_pkt_set_qr(packet, true);
    ldns_pkt_set_ra(packet, true);
    ldns_pkt_set_rcode(packet, next_random(state, 4) ? LDNS_RCODE_NOERROR : LDNS_RCODE_NXDOMAIN);
    static const ldns_pkt_section sections[] = {LDNS_SECTION_ANSWER, LDNS_SECTION_AUTHORITY, LDNS_SECTION_ADDITIONAL};
    for (size_t i = 0; i < 3; i++) {
        for (uint32_t count = next_random(state, 6); count > 0; count--)
            ldns_pkt_push_rr(packet, sections[i], random_record(state));
    }
    if (next_random(state, 2))
        ldns_pkt_set_edns_udp_size(packet, 1232);
    assert_int_equal(ldns_pkt2wire(&wire, packet, out_len), LDNS_STATUS_OK);
    ldns_pkt_free(packet);
    return wire;
}

static void compare(const ldns_rr_list *was, const ldns_rr_list *is)
{
    assert_int_equal(ldns_rr_list_rr_count(was), ldns_rr_list_rr_count(is));
    for (size_t i = 0; i < ldns_rr_list_rr_count(was); i++) {
        const ldns_rr *old = ldns_rr_list_rr(was, i), *new = ldns_rr_list_rr(is, i);
        uint32_t ttl = ldns_rr_ttl(old) < NP_PACKED_TTL_MAX ? ldns_rr_ttl(old) : NP_PACKED_TTL_MAX;
        assert_int_equal(ldns_rr_compare(old, new), 0);
        assert_in_range(ldns_rr_ttl(new), 0, ttl > AGE_S ? ttl - AGE_S : 0);
    }
}

/* One message at one size. Returns whether it was whole. */
static bool check(const ldns_pkt *was, const struct np_packed *packed, size_t limit)
{
    static const struct np_name qname = {.len = 13, .wire = "\3wWw\7EXAMPLE"};
    struct np_packed_how how = {.age_s = AGE_S, .ede = NP_EDE_NONE};
    uint8_t packet[64], out[4096];
    struct np_query query;
    ldns_pkt *is;
    int n = np_query_write(packet, sizeof packet, 7, NP_FLAG_RD, &qname, NP_RR_A, true, false);
    assert_int_equal(np_query_parse(packet, (size_t)n, &query), NP_QUERY_GOOD);
    size_t len = np_packed_write(packed, &query, &how, out, limit);
    assert_in_range(len, 1, limit);
    assert_int_equal(ldns_wire2pkt(&is, out, len), LDNS_STATUS_OK);
    assert_int_equal(ldns_pkt_get_rcode(is), ldns_pkt_get_rcode(was));
    assert_int_equal(ldns_pkt_id(is), 7);
    bool whole = !ldns_pkt_tc(is);
    if (whole) {
        compare(ldns_pkt_answer(was), ldns_pkt_answer(is));
        compare(ldns_pkt_authority(was), ldns_pkt_authority(is));
        if (ldns_pkt_arcount(is) > 0)
            compare(ldns_pkt_additional(was), ldns_pkt_additional(is));
    }
    ldns_pkt_free(is);
    return whole;
}

static void test_like_ldns(void **state)
{
    (void)state;
    union {
        struct np_packed head;
        uint8_t bytes[NP_PACKED_MAX];
    } *packed = test_malloc(sizeof *packed);
    uint64_t random = 1;
    unsigned small = 0, kept = 0;
    for (int i = 0; i < MESSAGES; i++) {
        struct np_packed_life life;
        ldns_pkt *was;
        size_t len;
        uint8_t *wire = random_message(&random, &len);
        assert_true(np_packed_make(wire, len, true, false, packed, sizeof *packed, &life) > 0);
        assert_int_equal(ldns_wire2pkt(&was, wire, len), LDNS_STATUS_OK);
        assert_true(check(was, &packed->head, 4096));
        small += check(was, &packed->head, 250);
        kept += life.ttl_s > 0;
        ldns_pkt_free(was);
        free(wire);
    }
    assert_in_range(small, MESSAGES / 10, MESSAGES - MESSAGES / 10); /* some were cut */
    assert_in_range(kept, MESSAGES / 10, MESSAGES);
    test_free(packed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_like_ldns)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

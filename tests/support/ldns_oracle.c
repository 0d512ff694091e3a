/* What ldns makes of DNS packets, for tests/net/test_differential.py: packets on standard input, each with a length in
 * 4 bytes before it; a line of JSON for each. ldns crashes on some: whoever runs this starts it again. */
#include <arpa/inet.h>
#include <ctype.h>
#include <ldns/ldns.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PACKET_MAX 65536

static void print_rdf(const ldns_rdf *rdf)
{
    const uint8_t *bytes = ldns_rdf_data(rdf);
    bool name = ldns_rdf_get_type(rdf) == LDNS_RDF_TYPE_DNAME;
    for (size_t i = 0; i < ldns_rdf_size(rdf); i++)
        printf("%02x", name ? (unsigned)tolower(bytes[i]) : bytes[i]);
}

static void print_record(const ldns_rr *rr, int section, bool first)
{
    printf("%s[%d, \"", first ? "" : ", ", section);
    print_rdf(ldns_rr_owner(rr));
    printf("\", %d, %d", ldns_rr_get_type(rr), ldns_rr_get_class(rr));
    if (section > 0) {
        printf(", %u, \"", ldns_rr_ttl(rr));
        for (size_t i = 0; i < ldns_rr_rd_count(rr); i++) {
            if (ldns_rr_rdf(rr, i))
                print_rdf(ldns_rr_rdf(rr, i));
        }
        putchar('"');
    }
    putchar(']');
}

static void print_packet(const ldns_pkt *pkt)
{
    const ldns_rr_list *sections[] = {ldns_pkt_question(pkt), ldns_pkt_answer(pkt), ldns_pkt_authority(pkt),
                                      ldns_pkt_additional(pkt)};
    bool first = true;
    printf("{\"id\": %u, \"rcode\": %u, \"edns\": %s, \"do\": %s, \"size\": %u, \"records\": [", ldns_pkt_id(pkt),
           ldns_pkt_get_rcode(pkt), ldns_pkt_edns(pkt) ? "true" : "false", ldns_pkt_edns_do(pkt) ? "true" : "false",
           ldns_pkt_edns_udp_size(pkt));
    for (int section = 0; section < 4; section++) {
        for (size_t i = 0; i < ldns_rr_list_rr_count(sections[section]); i++) {
            print_record(ldns_rr_list_rr(sections[section], i), section, first);
            first = false;
        }
    }
    printf("]}\n");
}

/* Of some types ldns reads more or less than the record has, and goes on wherever that led it. With one more record
 * behind it such a packet cannot be read, or not as before. */
static bool is_astray(const ldns_pkt *pkt, uint8_t *packet, size_t len)
{
    static const uint8_t record[] = {0, 0xff, 0, 0, 1, 0, 0, 0, 0, 0, 0};
    uint16_t count = (uint16_t)(packet[10] << 8 | packet[11]);
    ldns_pkt *again = NULL;
    memcpy(packet + len, record, sizeof record);
    packet[10] = (uint8_t)((count + 1) >> 8);
    packet[11] = (uint8_t)(count + 1);
    bool astray =
        ldns_wire2pkt(&again, packet, len + sizeof record) != LDNS_STATUS_OK ||
        ldns_rr_list_rr_count(ldns_pkt_additional(again)) != ldns_rr_list_rr_count(ldns_pkt_additional(pkt)) + 1;
    ldns_pkt_free(again);
    return astray;
}

int main(void)
{
    static uint8_t packet[PACKET_MAX + 16];
    uint32_t length;
    while (fread(&length, sizeof length, 1, stdin) == 1) {
        size_t len = ntohl(length);
        ldns_pkt *pkt = NULL;
        if (len > PACKET_MAX || fread(packet, 1, len, stdin) != len)
            return 1;
        if (ldns_wire2pkt(&pkt, packet, len) == LDNS_STATUS_OK && !is_astray(pkt, packet, len))
            print_packet(pkt);
        else
            printf("null\n");
        fflush(stdout);
        ldns_pkt_free(pkt);
    }
    return 0;
}

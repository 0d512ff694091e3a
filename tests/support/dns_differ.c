/* What our parsers make of DNS packets, for tests/net/test_differential.py: packets on standard input, each as a letter
 * (Q: a client's query, R: an upstream's response) and a length in 4 bytes before it; a line of JSON for each. */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "resolver/local.h"
#include "resolver/packed.h"
#include "resolver/response.h"

#define PACKET_MAX 65536

static const char view_json[] =
    "{\"version\":1,\"role\":\"router\",\"own\":[{\"name\":\"nifty-babbage.devices.example\",\"https\":true,\"dot\":"
    "true},"
    "{\"name\":\"w.example\",\"https\":true,\"wildcard\":true}],\"zone\":\"devices.example\",\"interfaces\":["
    "{\"index\":3,\"lan\":true,\"v4\":[\"192.168.1.1/24\",\"192.168.1.2/24\"],\"v6\":[\"fd42::1/64\"]}],"
    "\"primary\":{\"v4\":[\"192.168.1.1\"],\"v6\":[\"fd42::1\"]}}";

static uint8_t packet[PACKET_MAX], out[NP_DNS_MESSAGE_MAX];
static union {
    struct np_packed head;
    uint8_t bytes[NP_PACKED_MAX];
} packed;

static void print_hex(const char *name, const uint8_t *bytes, size_t len)
{
    printf(", \"%s\": \"", name);
    for (size_t i = 0; i < len; i++)
        printf("%02x", bytes[i]);
    putchar('"');
}

static void print_question(const struct np_name *qname, uint16_t qtype, uint16_t qclass)
{
    struct np_name name = *qname;
    np_name_lower(&name);
    print_hex("qname", name.wire, name.len);
    printf(", \"qtype\": %u, \"qclass\": %u", qtype, qclass);
}

static void judge_query(const struct np_view *view, size_t len)
{
    struct np_query query;
    struct np_client client = {.ifindex = 3};
    size_t out_len;
    enum np_query_verdict verdict = np_query_parse(packet, len, &query);
    printf("{\"verdict\": %d", verdict);
    if (verdict == NP_QUERY_GOOD) {
        print_question(&query.qname, query.qtype, query.qclass);
        printf(", \"edns\": %s, \"do\": %s, \"size\": %u", query.edns ? "true" : "false",
               query.dnssec_ok ? "true" : "false", query.udp_size);
    }
    enum np_local_kind kind = np_local_answer(view, &client, packet, len, &query, out, NP_DNS_UDP_MAX, &out_len);
    if (kind == NP_LOCAL_FORWARD)
        out_len = np_local_offline(view, &client, &query, NP_EDE_NETWORK_ERROR, out, NP_DNS_UDP_MAX);
    if (kind != NP_LOCAL_DROPPED)
        print_hex("answer", out, out_len);
    printf("}\n");
}

/* The response as a client gets it that asked its very question. */
static void give(const char *name, const struct np_walk *walk, bool edns, size_t limit)
{
    uint8_t asked[NP_DNS_UDP_PLAIN];
    struct np_query query;
    struct np_packed_how how = {.ede = NP_EDE_NONE};
    int n = np_query_write(asked, sizeof asked, 0x4242, NP_FLAG_RD, &walk->qname, walk->qtype, edns, edns);
    if (n > 0 && np_query_parse(asked, (size_t)n, &query) == NP_QUERY_GOOD)
        print_hex(name, out, np_packed_write(&packed.head, &query, &how, out, limit));
}

static void judge_response(size_t len)
{
    struct np_walk walk, records;
    struct np_rr rr;
    unsigned counts[4] = {0};
    if (np_walk_start(&walk, packet, len)) {
        printf("{\"verdict\": -1}\n");
        return;
    }
    struct np_asked asked = {.id = walk.id, .qname = &walk.qname, .qtype = walk.qtype, .tcp = true};
    printf("{\"verdict\": %d", np_response_check(&asked, packet, len));
    print_question(&walk.qname, walk.qtype, walk.qclass);
    records = walk;
    while (np_walk_next(&records, &rr) > 0)
        counts[rr.section] += rr.type != NP_RR_OPT;
    printf(", \"counts\": [%u, %u, %u]", counts[1], counts[2], counts[3]);
    if (np_packed_make(packet, len, true, false, &packed, sizeof packed, NULL) > 0) {
        give("stream", &walk, true, NP_DNS_MESSAGE_MAX);
        give("plain", &walk, false, NP_DNS_UDP_PLAIN);
    }
    printf("}\n");
}

int main(void)
{
    char error[NP_VIEW_ERROR_MAX];
    struct np_view *view = malloc(sizeof *view);
    uint32_t length;
    int kind;
    if (!view || np_view_parse(view_json, sizeof view_json - 1, view, error))
        return 1;
    while ((kind = getchar()) != EOF && fread(&length, sizeof length, 1, stdin) == 1) {
        size_t len = ntohl(length);
        if (len > sizeof packet || fread(packet, 1, len, stdin) != len)
            return 1;
        if (kind == 'Q')
            judge_query(view, len);
        else
            judge_response(len);
        fflush(stdout);
    }
    free(view);
    return 0;
}

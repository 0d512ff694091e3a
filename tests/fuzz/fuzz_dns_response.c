/* An upstream's packet: matched, filtered, packed and given to a client that asked its very question. The first byte
 * chooses the client's EDNS, DO, transport and size. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "resolver/packed.h"
#include "resolver/rdata.h"
#include "resolver/rebind.h"
#include "resolver/response.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(int condition, const char *what)
{
    if (condition)
        return;
    fprintf(stderr, "broken: %s\n", what);
    abort();
}

/* Counts records by section; of a good answer each is sound; the filter must find nothing private in what a client is
 * given. */
static void check_rewritten(const struct np_view *view, const uint8_t *out, size_t len, bool good, bool filtered)
{
    struct np_walk walk;
    struct np_rr rr;
    int more;
    require(np_walk_start(&walk, out, len) == 0, "question");
    require((walk.flags & NP_FLAG_QR) && !(walk.flags & (NP_FLAG_AA | 0x40)), "flags");
    while ((more = np_walk_next(&walk, &rr)) > 0) {
        require(rr.type != NP_RR_OPT || rr.section == NP_SECTION_ADDITIONAL, "OPT");
        require(!good || np_rdata_is_sound(out, len, &rr), "rdata");
    }
    require(more == 0, "records");
    if (filtered)
        require(np_rebind_check(view, out, len, NULL) == NP_REBIND_PASS, "filter");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char view_json[] = "{\"version\":1,\"role\":\"router\",\"zone\":\"devices.example\",\"interfaces\":["
                                    "{\"index\":3,\"lan\":true,\"v4\":[\"192.168.1.1/24\"]}],"
                                    "\"rebind\":{\"allow\":[\"ok.example\",\"*.plex.direct\"]}}";
    static struct np_view view;
    static uint8_t out[NP_DNS_MESSAGE_MAX];
    static union {
        struct np_packed head;
        uint8_t bytes[NP_PACKED_MAX];
    } packed;
    char error[NP_VIEW_ERROR_MAX];
    uint8_t packet[512];
    struct np_walk walk;
    struct np_query query;
    if (view.interface_count == 0)
        require(np_view_parse(view_json, sizeof view_json - 1, &view, error) == 0, error);
    if (size < 1)
        return 0;
    uint8_t mode = data[0];
    data++;
    size--;
    enum np_rebind filter = np_rebind_check(&view, data, size, NULL);
    if (np_walk_start(&walk, data, size) || walk.qclass != NP_CLASS_IN)
        return 0;
    struct np_asked asked = {.id = walk.id,
                             .qname = &walk.qname,
                             .qtype = walk.qtype,
                             .check_case = true,
                             .edns = mode & 1,
                             .tcp = (mode & 4) != 0};
    enum np_response_verdict verdict = np_response_check(&asked, data, size);
    int n = np_query_write(packet, sizeof packet, 7, NP_FLAG_RD, &walk.qname, walk.qtype, mode & 1, mode & 2);
    require(n > 0 && np_query_parse(packet, (size_t)n, &query) == NP_QUERY_GOOD, "query");
    struct np_packed_how how = {.ede = NP_EDE_NONE};
    size_t limit = mode & 4 ? NP_DNS_MESSAGE_MAX : mode & 0x10 ? NP_DNS_UDP_MAX : NP_DNS_UDP_PLAIN;
    long packed_len = np_packed_make(data, size, filter == NP_REBIND_PASS, mode & 8, &packed, sizeof packed, NULL);
    size_t len = packed_len > 0 ? np_packed_write(&packed.head, &query, &how, out, limit) : 0;
    require(len <= limit, "size");
    bool good = verdict == NP_RESPONSE_GOOD || verdict == NP_RESPONSE_FAILED;
    require(!good || len > 0, "a good response can be given on");
    if (len > 0)
        check_rewritten(&view, out, len, good, filter != NP_REBIND_BLOCK);
    return 0;
}

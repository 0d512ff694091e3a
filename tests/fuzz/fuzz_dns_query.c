/* A client's packet: parsed, judged, answered from the view. The first byte chooses interface, mode and transport. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "resolver/local.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char view_json[] =
    "{\"version\":1,\"role\":\"router\",\"own\":[{\"name\":\"nifty-babbage.devices.example\",\"https\":true,\"dot\":"
    "true},"
    "{\"name\":\"w.example\",\"https\":true,\"wildcard\":true},{\"name\":\"a.b.w.example\"}],"
    "\"zone\":\"devices.example\",\"interfaces\":[{\"index\":3,\"lan\":true,\"v4\":[\"192.168.1.1/24\"],"
    "\"v6\":[\"fd42::1/64\",\"fe80::1/64\"]},{\"index\":4,\"lan\":true,\"v4\":[\"192.168.4.1/24\"]}],"
    "\"primary\":{\"v4\":[\"192.168.1.1\"],\"v6\":[\"fd42::1\"]},"
    "\"forward\":[{\"zone\":\"lan\",\"to\":[\"127.0.0.1\"]},{\"zone\":\"x.home.arpa\",\"to\":[\"127.0.0.1\"]}]}";

static void require(int condition, const char *what)
{
    if (condition)
        return;
    fprintf(stderr, "broken: %s\n", what);
    abort();
}

/* Every answer is a message that can be walked (or a bare header), to the same ID, within the client's size. */
static void check_answer(const struct np_query *query, bool tcp, const uint8_t *out, size_t len)
{
    struct np_walk walk;
    struct np_rr rr;
    int more;
    if (len == 0)
        return;
    require(len <= np_query_limit(query, tcp), "size");
    require((out[0] << 8 | out[1]) == query->id && (out[2] & 0x80), "header");
    if (!query->question) {
        require(out[5] == 0, "question count");
        return;
    }
    require(np_walk_start(&walk, out, len) == 0, "question");
    while ((more = np_walk_next(&walk, &rr)) > 0)
        continue;
    require(more == 0, "records");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct np_view view;
    static uint8_t out[NP_DNS_MESSAGE_MAX];
    char error[NP_VIEW_ERROR_MAX];
    struct np_query query;
    struct np_client client = {0};
    size_t len;
    if (view.own_count == 0)
        require(np_view_parse(view_json, sizeof view_json - 1, &view, error) == 0, error);
    if (size < 1)
        return 0;
    client.tcp = data[0] & 0x80;
    client.ifindex = data[0] & 7;
    view.mode = data[0] & 0x40 ? NP_MODE_OWN_NAME_ONLY : NP_MODE_FULL;
    (void)np_addr_parse(data[0] & 0x40 ? "127.0.0.1" : "192.168.1.77", &client.remote.addr);
    size_t room = client.tcp ? NP_DNS_MESSAGE_MAX : NP_DNS_UDP_MAX;
    enum np_local_kind kind = np_local_answer(&view, &client, data + 1, size - 1, &query, out, room, &len);
    if (kind == NP_LOCAL_DROPPED)
        return 0;
    check_answer(&query, client.tcp, out, len);
    if (kind != NP_LOCAL_FORWARD) {
        require(len > 0, "an answer");
        return 0;
    }
    require(len == 0, "nothing for what is forwarded");
    len = np_local_offline(&view, &client, &query, NP_EDE_NETWORK_ERROR, out, room);
    check_answer(&query, client.tcp, out, len);
    len = np_local_blocked(&view, &client, &query, out, room);
    check_answer(&query, client.tcp, out, len);
    return 0;
}

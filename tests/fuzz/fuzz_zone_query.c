/* hq/zone/answer: any packet gives an answer that parses, is no longer than allowed, and carries its question's ID. The
 * first byte chooses UDP or TCP. */
#include <stdlib.h>
#include <string.h>

#include "hq/zone/answer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct np_zone_view *make_view(void)
{
    static const uint8_t v4[1][4] = {{192, 168, 1, 7}};
    static const char txt[2][NP_ZONE_TXT_LEN];
    static struct np_zone_config config = {.origin = "devices.example",
                                           .nameserver_count = 1,
                                           .nameservers = {{.name = "ns1.devices.example"}},
                                           .host = "hq.infra.devices.example",
                                           .caa = {"ca.example"},
                                           .caa_count = 1,
                                           .ttl_s = 60};
    static struct np_zone_view view;
    static struct np_table *table;
    if (table)
        return &view;
    (void)np_addr_parse("192.168.0.1", &config.probe_private[0]);
    config.probe_private_count = 1;
    (void)np_addr_parse("192.0.2.53", &config.nameservers[0].address.addr);
    if (np_zone_view_init(&view, &config, NULL) || np_table_new(1, &table) ||
        np_table_put(table, "a", 1, true, v4, 1, NULL, 0) || np_table_put_txt(table, "a", 1, txt, 2))
        abort();
    view.table = table;
    return &view;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t out[NP_DNS_MESSAGE_MAX];
    struct np_walk walk;
    struct np_rr rr;
    int rc;
    if (size == 0 || size > NP_DNS_MESSAGE_MAX)
        return 0;
    bool tcp = data[0] & 1;
    size_t limit = tcp ? NP_DNS_MESSAGE_MAX : NP_DNS_UDP_MAX;
    struct np_zone_class class;
    size_t cut = np_zone_answer_truncated(data + 1, size - 1, out, limit);
    if (cut > limit || (cut && !(out[2] & 2)))
        abort();
    size_t len = np_zone_answer(make_view(), data + 1, size - 1, tcp, out, limit, &class);
    if (len == 0)
        return 0;
    if (len < NP_DNS_HEADER_LEN || len > limit || memcmp(out, data + 1, 2) != 0 || !(out[2] & 0x80))
        abort();
    if (out[5] == 0) /* no question: an error answer to what could not be read */
        return 0;
    if (np_walk_start(&walk, out, len))
        abort();
    while ((rc = np_walk_next(&walk, &rr)) == 1) {
    }
    if (rc)
        abort();
    return 0;
}

#include "resolver/listen.h"

#include <jansson.h>
#include <string.h>

#include "resolver/base/error.h"

static int parse_kind(const char *text, enum np_listen_kind *out_kind)
{
    static const char *const kinds[] = {
        [NP_LISTEN_DNS_UDP] = "dns-udp", [NP_LISTEN_DNS_TCP] = "dns-tcp", [NP_LISTEN_HTTP] = "http",
        [NP_LISTEN_HTTPS] = "https",     [NP_LISTEN_DOT] = "dot",
    };
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (strcmp(text, kinds[i]) != 0)
            continue;
        *out_kind = (enum np_listen_kind)i;
        return 0;
    }
    return NP_E_UNKNOWN;
}

static int parse_item(json_t *object, struct np_listen *out_item)
{
    const char *address, *kind;
    json_int_t port, ifindex = 0;
    if (json_unpack(object, "{s:s, s:I, s:s, s?I}", "address", &address, "port", &port, "kind", &kind, "ifindex",
                    &ifindex))
        return NP_E_MALFORMED;
    if (np_addr_parse(address, &out_item->local.addr) || parse_kind(kind, &out_item->kind) || port < 1 ||
        port > UINT16_MAX || ifindex < 0 || ifindex > INT32_MAX)
        return NP_E_MALFORMED;
    out_item->local.port = (uint16_t)port;
    out_item->ifindex = (uint32_t)ifindex;
    if (out_item->local.addr.family == AF_INET6 && out_item->local.addr.scope == 0 &&
        np_addr_classify(&out_item->local.addr) == NP_ADDR_LINK_LOCAL)
        out_item->local.addr.scope = out_item->ifindex;
    return 0;
}

int np_listen_parse(const char *text, size_t len, struct np_listen out_items[NP_CHANNEL_FDS_MAX])
{
    json_t *root = json_loadb(text, len, JSON_REJECT_DUPLICATES, NULL);
    size_t count = json_array_size(root);
    int rc = json_is_array(root) ? 0 : NP_E_MALFORMED;
    if (count > NP_CHANNEL_FDS_MAX)
        rc = NP_E_LIMIT;
    for (size_t i = 0; i < count && !rc; i++)
        rc = parse_item(json_array_get(root, i), &out_items[i]);
    json_decref(root);
    return rc ? rc : (int)count;
}

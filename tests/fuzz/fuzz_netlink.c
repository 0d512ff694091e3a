/* agent/network/netlink: the first byte says which part of a dump the rest is taken for (4: notifications). The corpus
 * holds dumps recorded from a kernel. */
#include <stdlib.h>
#include <string.h>

#include "agent/network/addresses.h"
#include "agent/network/netlink.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct np_network *network)
{
    if (network->link_count > NP_NETWORK_LINKS_MAX || network->address_count > NP_NETWORK_ADDRESSES_MAX ||
        network->route_count > NP_NETWORK_ROUTES_MAX)
        abort();
    for (size_t i = 0; i < network->link_count; i++) {
        if (!memchr(network->links[i].name, 0, NP_LINK_NAME_MAX))
            abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct np_network network;
    static struct np_address_choice choice;
    if (size == 0)
        return 0;
    unsigned part = data[0] % (NP_NETLINK_PARTS + 1);
    if (part == NP_NETLINK_PARTS) {
        (void)np_netlink_is_event(data + 1, size - 1);
        return 0;
    }
    struct np_netlink_dump dump = {.network = &network, .part = (enum np_netlink_part)part, .seq = 1};
    memset(&network, 0, sizeof network);
    if (part != NP_NETLINK_LINKS) /* a link for addresses and routes to lie on */
        network.links[network.link_count++] = (struct np_link){.index = 3, .name = "eth0", .up = true, .running = true};
    (void)np_netlink_feed(&dump, data + 1, size - 1);
    check(&network);
    np_network_sort(&network);
    check(&network);
    struct np_address_policy policy = {
        .role = size % 2 ? NP_ROLE_HOST : NP_ROLE_ROUTER, .lan = {"eth0"}, .lan_count = 1};
    np_addresses_choose(&policy, &network, &choice);
    return 0;
}

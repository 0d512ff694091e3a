#include "resolver/base/admit.h"

#include "resolver/base/error.h"

int np_admit_add_subnet(struct np_admit *admit, const struct np_prefix *prefix, uint32_t ifindex)
{
    if (admit->subnet_count == NP_ADMIT_SUBNETS_MAX)
        return NP_E_LIMIT;
    admit->subnets[admit->subnet_count++] = (struct np_admit_subnet){*prefix, ifindex};
    return 0;
}

int np_admit_add_allow(struct np_admit *admit, const struct np_prefix *prefix)
{
    if (admit->allow_count == NP_ADMIT_ALLOW_MAX)
        return NP_E_LIMIT;
    admit->allow[admit->allow_count++] = *prefix;
    return 0;
}

static bool is_lan_interface(const struct np_admit *admit, uint32_t ifindex)
{
    for (size_t i = 0; i < admit->subnet_count; i++) {
        if (admit->subnets[i].ifindex == ifindex)
            return true;
    }
    return false;
}

bool np_admit(const struct np_admit *admit, const struct np_addr *source, uint32_t ifindex)
{
    struct np_addr inner;
    uint32_t loopback = admit->loopback_ifindex ? admit->loopback_ifindex : 1;
    enum np_addr_class class = np_addr_classify(source);
    if (class == NP_ADDR_MAPPED && np_addr_embedded_v4(source, &inner)) {
        source = &inner;
        class = np_addr_classify(source);
    }
    switch (class) {
    case NP_ADDR_NONE:
    case NP_ADDR_UNSPECIFIED:
    case NP_ADDR_MULTICAST:
        return false;
    case NP_ADDR_LOOPBACK:
        return ifindex == loopback || ifindex == 0;
    case NP_ADDR_LINK_LOCAL:
        if (source->family == AF_INET6)
            return ifindex == loopback || is_lan_interface(admit, ifindex);
        break;
    default:
        break;
    }
    /* The kernel delivers what this host sends to itself on loopback, with a LAN address as its source. */
    for (size_t i = 0; i < admit->subnet_count; i++) {
        const struct np_admit_subnet *subnet = &admit->subnets[i];
        if ((subnet->ifindex == ifindex || ifindex == loopback) && np_prefix_contains(&subnet->prefix, source))
            return true;
    }
    for (size_t i = 0; i < admit->allow_count; i++) {
        if (np_prefix_contains(&admit->allow[i], source))
            return true;
    }
    return false;
}

/* network: what the kernel's interfaces, addresses and default routes are, as one plain value.
 *
 * struct np_network is a snapshot: filled whole by agent/network/netwatch, judged by agent/network/addresses, compared
 * with np_network_equal. It owns nothing. It is large (about 30 KB): keep it in a struct, not on the stack. */
#ifndef AGENT_NETWORK_NETWORK_H
#define AGENT_NETWORK_NETWORK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "resolver/base/address.h"

#define NP_LINK_NAME_MAX         16  /* IFNAMSIZ, final NUL included */
#define NP_NETWORK_LINKS_MAX     32  /* a gateway has 5 to 15; ports of a bridge give way when there are more */
#define NP_NETWORK_ADDRESSES_MAX 512 /* of all interfaces; IPv6 alone may have 16 autoconfigured ones a link */
#define NP_NETWORK_ROUTES_MAX    32  /* default routes of the main table */
#define NP_LIFETIME_FOREVER      UINT32_MAX

/* What kind of link it is, as far as choosing addresses needs it. From IFLA_INFO_KIND and the ARPHRD type. */
enum np_link_kind {
    NP_LINK_PHYSICAL, /* Ethernet or Wi-Fi without a kind: a real card */
    NP_LINK_LOOPBACK,
    NP_LINK_BRIDGE,
    NP_LINK_VLAN,
    NP_LINK_BOND,   /* bond, team */
    NP_LINK_VETH,   /* veth, macvlan, ipvlan: a container's own card, or the host's end of one */
    NP_LINK_PPP,    /* PPPoE and friends */
    NP_LINK_TUNNEL, /* tun, wireguard, sit, gre, ipip, vti, ... */
    NP_LINK_OTHER   /* dummy, ifb and whatever comes */
};

/* One interface. */
struct np_link {
    uint32_t index;
    char name[NP_LINK_NAME_MAX];
    bool up;      /* IFF_UP: switched on */
    bool running; /* IFF_RUNNING: it carries packets; a pulled cable leaves up and clears this */
    bool loopback;
    bool point_to_point;
    bool bridge_port; /* enslaved to a bridge: its addresses are the bridge's */
    enum np_link_kind kind;
    uint32_t master; /* interface index of the bridge, bond or VRF it belongs to; 0: none */
};

/* One address of an interface. For IPv4 the kernel's IFA_F_SECONDARY and for IPv6 IFA_F_TEMPORARY are the same bit:
 * they are told apart here by family. */
struct np_link_address {
    uint32_t ifindex;
    struct np_prefix prefix; /* the address itself (host bits kept) and the length of its subnet */
    struct np_addr peer;     /* the other end of a point-to-point link; AF_UNSPEC: none */
    uint8_t scope;           /* RT_SCOPE_*: 0 universe, 253 link, 254 host */
    uint32_t flags;          /* IFA_FLAGS, 32 bits, as the kernel gave them */
    bool secondary;          /* IPv4: not the first of its subnet */
    bool temporary;          /* IPv6: RFC 8981 privacy address */
    bool deprecated;         /* preferred lifetime is over: still valid, not for new uses */
    bool tentative;          /* IPv6: duplicate address detection has not ended (optimistic ones too) */
    bool dad_failed;         /* IPv6: somebody else has it */
    uint32_t preferred_s;    /* lifetimes at the time of the dump; NP_LIFETIME_FOREVER */
    uint32_t valid_s;
};

/* One default route of the main table (one entry a next hop). */
struct np_default_route {
    uint8_t family;
    uint32_t ifindex;
    uint32_t metric;
    struct np_addr gateway; /* AF_UNSPEC where the link itself is the way (PPP) */
};

/* The snapshot. Links are in order of index; addresses by ifindex, IPv4 before IPv6, then numerically, so that the
 * order does not depend on the history; routes by family, metric, ifindex. */
struct np_network {
    struct np_link links[NP_NETWORK_LINKS_MAX];
    size_t link_count;
    struct np_link_address addresses[NP_NETWORK_ADDRESSES_MAX];
    size_t address_count;
    struct np_default_route routes[NP_NETWORK_ROUTES_MAX];
    size_t route_count;
    unsigned dropped;       /* links, addresses and routes that were over a limit (or of a dropped link) */
    uint64_t serial;        /* counts the snapshots of one watcher, from 1 */
    int64_t first_event_us; /* CLOCK_MONOTONIC of the first kernel event that this snapshot covers; of the dump where
                             * there was none (the first snapshot, or a lost event) */
};

/* The link of that index or name, borrowed; NULL when there is none. */
const struct np_link *np_network_link(const struct np_network *network, uint32_t index);
/* See np_network_link. */
const struct np_link *np_network_link_named(const struct np_network *network, const char *name);

/* The same but for lifetimes, serial and time? A DHCP renewal changes lifetimes only and is no change. */
bool np_network_equal(const struct np_network *a, const struct np_network *b);

/* Has an interface lost an address that it had before? Connections from that address are dead then, and no end of theirs
 * says so. */
bool np_network_lost_address(const struct np_network *before, const struct np_network *now);

/* Puts links, addresses and routes into the order that is documented at the struct, and drops addresses and routes of
 * links that are not in the snapshot, counting them in dropped. */
void np_network_sort(struct np_network *network);

#endif

#include "agent/network/netlink.h"

#include <errno.h>
#include <linux/if.h>
#include <linux/if_arp.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <string.h>

#include "resolver/base/cursor.h"
#include "resolver/base/error.h"
#include "resolver/base/text.h"

static uint16_t read_u16_host(struct np_reader *r)
{
    uint16_t value;
    np_read_copy(r, &value, sizeof value);
    return value;
}

static uint32_t read_u32_host(struct np_reader *r)
{
    uint32_t value;
    np_read_copy(r, &value, sizeof value);
    return value;
}

static void write_u16_host(struct np_writer *w, uint16_t value)
{
    np_write_bytes(w, &value, sizeof value);
}

static void write_u32_host(struct np_writer *w, uint32_t value)
{
    np_write_bytes(w, &value, sizeof value);
}

/* Moves past the padding to a multiple of 4; the last one of a buffer may lack it. */
static void skip_padding(struct np_reader *r, size_t len)
{
    size_t padding = (4 - len % 4) % 4, left = np_reader_left(r);
    np_read_skip(r, padding < left ? padding : left);
}

struct message {
    uint16_t type, flags;
    uint32_t seq;
    struct np_reader body;
};

/* The next message of a datagram; false at its end or after an error. */
static bool next_message(struct np_reader *r, struct message *out)
{
    if (np_reader_left(r) == 0)
        return false;
    uint32_t len = read_u32_host(r);
    out->type = read_u16_host(r);
    out->flags = read_u16_host(r);
    out->seq = read_u32_host(r);
    (void)read_u32_host(r); /* the port it was sent to: ours, or the group's 0 */
    if (!r->error && len < sizeof(struct nlmsghdr))
        np_reader_fail(r, NP_E_MALFORMED);
    out->body = np_read_sub(r, r->error ? 0 : len - sizeof(struct nlmsghdr));
    skip_padding(r, len);
    return !r->error;
}

/* The next attribute; false at the end or after an error. */
static bool next_attribute(struct np_reader *r, uint16_t *out_type, struct np_reader *out_value)
{
    if (np_reader_left(r) == 0)
        return false;
    uint16_t len = read_u16_host(r);
    *out_type = read_u16_host(r) & NLA_TYPE_MASK;
    if (!r->error && len < sizeof(struct nlattr))
        np_reader_fail(r, NP_E_MALFORMED);
    *out_value = np_read_sub(r, r->error ? 0 : len - sizeof(struct nlattr));
    skip_padding(r, len);
    return !r->error;
}

/* A name or kind: NUL-terminated by the kernel, but never believed to be. */
static void read_text(struct np_reader *value, char *out, size_t size)
{
    char raw[64] = {0};
    size_t len = np_reader_left(value);
    if (len > sizeof raw - 1)
        len = sizeof raw - 1;
    np_read_copy(value, raw, len);
    np_text_sanitize(raw, out, size);
}

static struct np_addr read_addr(struct np_reader *value, uint8_t family)
{
    size_t len = family == AF_INET ? 4 : 16;
    if (np_reader_left(value) != len)
        np_reader_fail(value, NP_E_MALFORMED);
    uint8_t bytes[16];
    np_read_copy(value, bytes, len);
    return value->error ? (struct np_addr){0} : np_addr_from_bytes(bytes, len);
}

static enum np_link_kind kind_of(uint16_t arp_type, const char *kind)
{
    static const struct {
        const char *name;
        enum np_link_kind kind;
    } kinds[] = {
        {"bridge", NP_LINK_BRIDGE}, {"vlan", NP_LINK_VLAN},     {"bond", NP_LINK_BOND},
        {"team", NP_LINK_BOND},     {"veth", NP_LINK_VETH},     {"macvlan", NP_LINK_VETH},
        {"ipvlan", NP_LINK_VETH},   {"macvtap", NP_LINK_VETH},  {"dsa", NP_LINK_PHYSICAL},
        {"ppp", NP_LINK_PPP},       {"tun", NP_LINK_TUNNEL},    {"wireguard", NP_LINK_TUNNEL},
        {"sit", NP_LINK_TUNNEL},    {"gre", NP_LINK_TUNNEL},    {"gretap", NP_LINK_TUNNEL},
        {"ip6gre", NP_LINK_TUNNEL}, {"ipip", NP_LINK_TUNNEL},   {"ip6tnl", NP_LINK_TUNNEL},
        {"vti", NP_LINK_TUNNEL},    {"vti6", NP_LINK_TUNNEL},   {"xfrm", NP_LINK_TUNNEL},
        {"vxlan", NP_LINK_TUNNEL},  {"geneve", NP_LINK_TUNNEL}, {"l2tpeth", NP_LINK_TUNNEL},
        {"amt", NP_LINK_TUNNEL},    {"ovpn", NP_LINK_TUNNEL},
    };
    if (arp_type == ARPHRD_LOOPBACK)
        return NP_LINK_LOOPBACK;
    if (arp_type == ARPHRD_PPP)
        return NP_LINK_PPP;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (strcmp(kinds[i].name, kind) == 0)
            return kinds[i].kind;
    }
    if (arp_type == ARPHRD_NONE || arp_type == ARPHRD_TUNNEL || arp_type == ARPHRD_TUNNEL6 || arp_type == ARPHRD_SIT ||
        arp_type == ARPHRD_IPGRE)
        return NP_LINK_TUNNEL; /* an out-of-tree tunnel, or one made before kinds were */
    return kind[0] ? NP_LINK_OTHER : NP_LINK_PHYSICAL;
}

static void add_link(struct np_network *network, const struct np_link *link)
{
    for (size_t i = 0; i < network->link_count; i++) {
        if (network->links[i].index == link->index) { /* renamed or repeated within one dump */
            network->links[i] = *link;
            return;
        }
    }
    if (network->link_count < NP_NETWORK_LINKS_MAX) {
        network->links[network->link_count++] = *link;
        return;
    }
    network->dropped++;
    for (size_t i = 0; i < network->link_count && !link->bridge_port; i++) {
        if (network->links[i].bridge_port) {
            network->links[i] = *link;
            return;
        }
    }
}

static void parse_link_info(struct np_reader *info, char *kind, size_t kind_size, char *port, size_t port_size)
{
    struct np_reader value;
    uint16_t type;
    while (next_attribute(info, &type, &value)) {
        if (type == IFLA_INFO_KIND)
            read_text(&value, kind, kind_size);
        else if (type == IFLA_INFO_SLAVE_KIND)
            read_text(&value, port, port_size);
    }
}

static int parse_link(struct np_network *network, struct np_reader *body)
{
    struct np_link link = {0};
    char kind[24] = "", port[24] = "";
    uint8_t family = np_read_u8(body);
    np_read_skip(body, 1);
    uint16_t arp_type = read_u16_host(body);
    link.index = read_u32_host(body);
    uint32_t flags = read_u32_host(body);
    np_read_skip(body, 4);
    if (!body->error && family != AF_UNSPEC)
        return 0; /* a bridge's view of its port */
    struct np_reader value;
    uint16_t type;
    while (next_attribute(body, &type, &value)) {
        if (type == IFLA_IFNAME)
            read_text(&value, link.name, sizeof link.name);
        else if (type == IFLA_MASTER)
            link.master = read_u32_host(&value);
        else if (type == IFLA_LINKINFO)
            parse_link_info(&value, kind, sizeof kind, port, sizeof port);
        np_reader_fail(body, value.error);
    }
    if (body->error || link.index == 0 || link.index > INT32_MAX)
        return NP_E_MALFORMED;
    link.up = flags & IFF_UP;
    link.running = link.up && (flags & IFF_RUNNING);
    link.loopback = flags & IFF_LOOPBACK;
    link.point_to_point = flags & IFF_POINTOPOINT;
    link.bridge_port = strcmp(port, "bridge") == 0;
    link.kind = kind_of(arp_type, kind);
    add_link(network, &link);
    return 0;
}

static int parse_address(struct np_network *network, struct np_reader *body)
{
    struct np_link_address address = {.preferred_s = NP_LIFETIME_FOREVER, .valid_s = NP_LIFETIME_FOREVER};
    struct np_addr local = {0}, other = {0};
    uint8_t family = np_read_u8(body);
    address.prefix.length = np_read_u8(body);
    address.flags = np_read_u8(body); /* the low 8 bits; IFA_FLAGS has all 32 */
    address.scope = np_read_u8(body);
    address.ifindex = read_u32_host(body);
    if (!body->error && family != AF_INET && family != AF_INET6)
        return 0;
    struct np_reader value;
    uint16_t type;
    while (next_attribute(body, &type, &value)) {
        if (type == IFA_LOCAL) {
            local = read_addr(&value, family);
        } else if (type == IFA_ADDRESS) {
            other = read_addr(&value, family);
        } else if (type == IFA_FLAGS) {
            address.flags = read_u32_host(&value);
        } else if (type == IFA_CACHEINFO) {
            address.preferred_s = read_u32_host(&value);
            address.valid_s = read_u32_host(&value);
        }
        np_reader_fail(body, value.error);
    }
    if (body->error || address.prefix.length > (family == AF_INET ? 32 : 128))
        return NP_E_MALFORMED;
    /* IPv4 always has IFA_LOCAL, IPv6 only where there is a peer; IFA_ADDRESS is the peer then. */
    address.prefix.addr = local.family != AF_UNSPEC ? local : other;
    if (address.prefix.addr.family == AF_UNSPEC)
        return NP_E_MALFORMED;
    if (local.family != AF_UNSPEC && other.family != AF_UNSPEC && !np_addr_equal(&local, &other))
        address.peer = other;
    if (family == AF_INET6 && np_addr_classify(&address.prefix.addr) == NP_ADDR_LINK_LOCAL)
        address.prefix.addr.scope = address.ifindex;
    address.secondary = family == AF_INET && (address.flags & IFA_F_SECONDARY);
    address.temporary = family == AF_INET6 && (address.flags & IFA_F_TEMPORARY);
    address.deprecated = address.flags & IFA_F_DEPRECATED;
    address.dad_failed = family == AF_INET6 && (address.flags & IFA_F_DADFAILED);
    address.tentative = family == AF_INET6 && (address.flags & IFA_F_TENTATIVE);
    if (network->address_count < NP_NETWORK_ADDRESSES_MAX)
        network->addresses[network->address_count++] = address;
    else
        network->dropped++;
    return 0;
}

static void add_route(struct np_network *network, const struct np_default_route *route)
{
    if (network->route_count < NP_NETWORK_ROUTES_MAX)
        network->routes[network->route_count++] = *route;
    else
        network->dropped++;
}

/* RTA_GATEWAY is of the route's family, RTA_VIA (an IPv4 route by an IPv6 gateway) names its own. */
static void read_gateway(struct np_reader *value, uint16_t type, uint8_t family, struct np_addr *out)
{
    if (type == RTA_VIA)
        family = (uint8_t)read_u16_host(value);
    if (!value->error && (family == AF_INET || family == AF_INET6))
        *out = read_addr(value, family);
}

static void parse_next_hops(struct np_network *network, struct np_reader *hops, const struct np_default_route *route)
{
    while (np_reader_left(hops) > 0) {
        struct np_default_route hop = *route;
        uint16_t len = read_u16_host(hops);
        uint8_t flags = np_read_u8(hops);
        np_read_skip(hops, 1);
        hop.ifindex = read_u32_host(hops);
        if (!hops->error && len < sizeof(struct rtnexthop))
            np_reader_fail(hops, NP_E_MALFORMED);
        struct np_reader body = np_read_sub(hops, hops->error ? 0 : len - sizeof(struct rtnexthop)), value;
        skip_padding(hops, len);
        uint16_t type;
        while (next_attribute(&body, &type, &value)) {
            if (type == RTA_GATEWAY || type == RTA_VIA)
                read_gateway(&value, type, route->family, &hop.gateway);
            np_reader_fail(&body, value.error);
        }
        np_reader_fail(hops, body.error);
        if (!hops->error && !(flags & RTNH_F_DEAD))
            add_route(network, &hop);
    }
}

struct route_head {
    uint8_t family, dst_len, table, type;
    uint32_t flags;
};

static struct route_head read_route_head(struct np_reader *body)
{
    struct route_head head;
    head.family = np_read_u8(body);
    head.dst_len = np_read_u8(body);
    np_read_skip(body, 2); /* source length, TOS */
    head.table = np_read_u8(body);
    np_read_skip(body, 2); /* protocol, scope */
    head.type = np_read_u8(body);
    head.flags = read_u32_host(body);
    return head;
}

static int parse_route(struct np_network *network, struct np_reader *body, uint8_t family)
{
    struct route_head head = read_route_head(body);
    if (!body->error && (head.family != family || head.dst_len != 0 || head.type != RTN_UNICAST ||
                         (head.flags & (RTM_F_CLONED | RTNH_F_DEAD))))
        return 0;
    struct np_default_route route = {.family = family};
    struct np_reader value, hops = np_reader_make(NULL, 0);
    uint32_t table = head.table;
    uint16_t type;
    while (next_attribute(body, &type, &value)) {
        if (type == RTA_TABLE)
            table = read_u32_host(&value);
        else if (type == RTA_OIF)
            route.ifindex = read_u32_host(&value);
        else if (type == RTA_PRIORITY)
            route.metric = read_u32_host(&value);
        else if (type == RTA_GATEWAY || type == RTA_VIA)
            read_gateway(&value, type, family, &route.gateway);
        else if (type == RTA_MULTIPATH)
            hops = value;
        np_reader_fail(body, value.error);
    }
    if (body->error)
        return NP_E_MALFORMED;
    if (table != RT_TABLE_MAIN)
        return 0;
    parse_next_hops(network, &hops, &route);
    if (hops.error)
        return NP_E_MALFORMED;
    if (route.ifindex && hops.size == 0)
        add_route(network, &route);
    return 0;
}

static int take_message(struct np_netlink_dump *dump, struct message *message)
{
    switch (dump->part) {
    case NP_NETLINK_LINKS:
        return message->type == RTM_NEWLINK ? parse_link(dump->network, &message->body) : 0;
    case NP_NETLINK_ADDRESSES:
        return message->type == RTM_NEWADDR ? parse_address(dump->network, &message->body) : 0;
    case NP_NETLINK_ROUTES_V4:
        return message->type == RTM_NEWROUTE ? parse_route(dump->network, &message->body, AF_INET) : 0;
    case NP_NETLINK_ROUTES_V6:
        return message->type == RTM_NEWROUTE ? parse_route(dump->network, &message->body, AF_INET6) : 0;
    default:
        return -EINVAL;
    }
}

/* NLMSG_ERROR and NLMSG_DONE both begin with a number: 0 or a negative errno. */
static int finish(const struct np_netlink_dump *dump, struct message *message)
{
    int32_t err = np_reader_left(&message->body) >= 4 ? (int32_t)read_u32_host(&message->body) : 0;
    if (err > 0 || err < -4095)
        return NP_E_MALFORMED;
    if (err == -ENOENT && (dump->part == NP_NETLINK_ROUTES_V4 || dump->part == NP_NETLINK_ROUTES_V6))
        err = 0;
    if (err)
        return err;
    return dump->interrupted ? -EINTR : 1;
}

int np_netlink_feed(struct np_netlink_dump *dump, const uint8_t *data, size_t len)
{
    struct np_reader r = np_reader_make(data, len);
    struct message message;
    while (next_message(&r, &message)) {
        if (message.seq != dump->seq)
            continue;
        if (message.flags & NLM_F_DUMP_INTR)
            dump->interrupted = true;
        if (message.type == NLMSG_DONE || message.type == NLMSG_ERROR)
            return finish(dump, &message);
        if (message.type == NLMSG_OVERRUN)
            return -ENOBUFS;
        int rc = take_message(dump, &message);
        if (rc)
            return rc;
    }
    return r.error ? NP_E_MALFORMED : 0;
}

bool np_netlink_is_event(const uint8_t *data, size_t len)
{
    struct np_reader r = np_reader_make(data, len);
    struct message message;
    while (next_message(&r, &message)) {
        switch (message.type) {
        case RTM_NEWLINK:
        case RTM_DELLINK:
        case RTM_NEWADDR:
        case RTM_DELADDR:
            return true;
        case RTM_NEWROUTE:
        case RTM_DELROUTE: {
            /* A routing daemon may change thousands of others. */
            struct route_head head = read_route_head(&message.body);
            if (message.body.error || head.dst_len == 0)
                return true;
            break;
        }
        default:
            break;
        }
    }
    return r.error != 0;
}

static void write_body(struct np_writer *w, enum np_netlink_part part)
{
    static const uint8_t zero[16];
    switch (part) {
    case NP_NETLINK_LINKS:
        np_write_bytes(w, zero, sizeof(struct ifinfomsg));
        write_u16_host(w, 8);
        write_u16_host(w, IFLA_EXT_MASK);
        write_u32_host(w, RTEXT_FILTER_SKIP_STATS);
        break;
    case NP_NETLINK_ADDRESSES:
        np_write_bytes(w, zero, sizeof(struct ifaddrmsg));
        break;
    default:
        np_write_u8(w, part == NP_NETLINK_ROUTES_V4 ? AF_INET : AF_INET6);
        np_write_bytes(w, zero, 3);
        np_write_u8(w, RT_TABLE_MAIN); /* a filter where the socket is strict, ignored elsewhere */
        np_write_bytes(w, zero, 7);
        break;
    }
}

size_t np_netlink_request(enum np_netlink_part part, uint32_t seq, uint8_t buffer[NP_NETLINK_REQUEST_MAX])
{
    uint8_t body[NP_NETLINK_REQUEST_MAX];
    struct np_writer b = np_writer_make(body, sizeof body), w = np_writer_make(buffer, NP_NETLINK_REQUEST_MAX);
    write_body(&b, part);
    write_u32_host(&w, (uint32_t)(sizeof(struct nlmsghdr) + b.pos));
    write_u16_host(&w, part == NP_NETLINK_LINKS       ? RTM_GETLINK
                       : part == NP_NETLINK_ADDRESSES ? RTM_GETADDR
                                                      : RTM_GETROUTE);
    write_u16_host(&w, NLM_F_REQUEST | NLM_F_DUMP);
    write_u32_host(&w, seq);
    write_u32_host(&w, 0);
    np_write_bytes(&w, body, b.pos);
    return w.pos;
}

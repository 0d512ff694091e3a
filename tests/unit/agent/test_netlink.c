/* rtnetlink's bytes: dumps recorded from a kernel (tests/fuzz/corpus/netlink) and messages written by hand. */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if.h>
#include <linux/if_arp.h>
#include <linux/rtnetlink.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "agent/network/netlink.h"
#include "resolver/base/cursor.h"
#include "resolver/base/error.h"
#include "resolver/base/file.h"

static struct np_network network;

/* A recorded part: the file's first byte is the part, the rest its datagrams one after the other. */
static uint8_t *load(const char *name, size_t *out_len)
{
    char path[1024];
    uint8_t *data;
    const char *source = getenv("NP_SOURCE_DIR");
    snprintf(path, sizeof path, "%s/tests/fuzz/corpus/netlink/%s", source ? source : ".", name);
    if (np_file_read(path, 1 << 20, &data, out_len))
        fail_msg("no %s", path);
    return data;
}

/* Netlink speaks the machine's own byte order, and the records are of a little-endian one. */
static void skip_unless_recorded_here(void)
{
    if (htons(1) == 1)
        skip();
}

static int feed(const uint8_t *data, size_t len, enum np_netlink_part part)
{
    struct np_netlink_dump dump = {.network = &network, .part = part, .seq = 1};
    /* A copy of the exact size: AddressSanitizer sees one byte too many. */
    uint8_t *exact = malloc(len ? len : 1);
    if (len)
        memcpy(exact, data, len);
    int rc = np_netlink_feed(&dump, exact, len);
    free(exact);
    return rc;
}

static int feed_file(const char *name)
{
    size_t len;
    uint8_t *data = load(name, &len);
    int rc = feed(data + 1, len - 1, (enum np_netlink_part)data[0]);
    free(data);
    return rc;
}

static const struct np_link_address *address_named(const char *text)
{
    char found[NP_ADDR_TEXT_MAX];
    for (size_t i = 0; i < network.address_count; i++) {
        if (strcmp(np_prefix_format(&network.addresses[i].prefix, found), text) == 0)
            return &network.addresses[i];
    }
    fail_msg("no address %s", text);
    return NULL;
}

static void test_recorded(void **state)
{
    char text[NP_ADDR_TEXT_MAX];
    (void)state;
    skip_unless_recorded_here();
    memset(&network, 0, sizeof network);
    assert_int_equal(feed_file("links"), 1);
    assert_int_equal(feed_file("addresses"), 1);
    assert_int_equal(feed_file("routes4"), 1);
    assert_int_equal(feed_file("routes6"), 1);
    np_network_sort(&network);
    assert_int_equal(network.dropped, 0);
    assert_int_equal(network.link_count, 9);
    assert_int_equal(np_network_link_named(&network, "lo")->kind, NP_LINK_LOOPBACK);
    assert_int_equal(np_network_link_named(&network, "br-lan")->kind, NP_LINK_BRIDGE);
    assert_int_equal(np_network_link_named(&network, "tun0")->kind, NP_LINK_TUNNEL);
    assert_false(np_network_link_named(&network, "tun0")->up);
    const struct np_link *port = np_network_link_named(&network, "peer1");
    assert_true(port->bridge_port);
    assert_int_equal(port->master, np_network_link_named(&network, "br-lan")->index);
    const struct np_link *eth0 = np_network_link_named(&network, "eth0");
    assert_true(eth0->up && eth0->running && !eth0->loopback && eth0->kind == NP_LINK_VETH && eth0->index == 3);

    assert_true(address_named("192.168.1.10/24")->secondary);
    assert_false(address_named("192.168.1.9/24")->secondary);
    assert_false(address_named("192.168.1.10/24")->temporary); /* the same bit as IPv6's temporary */
    assert_true(address_named("10.5.0.9/16")->deprecated);
    assert_int_equal(address_named("10.5.0.9/16")->preferred_s, 0);
    assert_in_range(address_named("10.5.0.9/16")->valid_s, 3500, 3600);
    assert_true(address_named("192.168.1.9/24")->valid_s == NP_LIFETIME_FOREVER);
    assert_string_equal(np_addr_format(&address_named("10.0.0.1/32")->peer, text), "10.0.0.2");
    assert_string_equal(np_addr_format(&address_named("2001:db8::1/128")->peer, text), "2001:db8::2");
    assert_int_equal(address_named("192.168.1.9/24")->peer.family, AF_UNSPEC);
    assert_true(address_named("fd01::9/64")->deprecated);
    assert_false(address_named("fd42::9/64")->temporary);
    assert_true(address_named("fd42::fff3:1b3c:9c79:ff0e/64")->temporary);
    assert_false(address_named("fd42::fff3:1b3c:9c79:ff0e/64")->secondary); /* the same bit as IPv4's secondary */
    assert_true(address_named("fd88::1/64")->tentative);
    size_t failed = 0;
    for (size_t i = 0; i < network.address_count; i++)
        failed += network.addresses[i].dad_failed;
    assert_int_equal(failed, 1);
    assert_int_equal(address_named("fe80::ff:fe00:1%3/64")->ifindex, 3);

    static const struct {
        int family;
        const char *link;
        uint32_t metric;
        const char *gateway;
    } routes[] = {
        {4, "eth0", 100, "192.168.1.254"}, {4, "br-lan", 200, "-"},        {4, "eth0", 300, "192.168.1.253"},
        {4, "br-lan", 300, "192.168.7.2"}, {6, "eth0", 400, "fe80::5"},    {6, "eth0", 1024, "fe80::1"},
        {6, "eth0", 2000, "fe80::2"},      {6, "br-lan", 2000, "fe80::1"},
    };
    assert_int_equal(network.route_count, sizeof routes / sizeof *routes);
    for (size_t i = 0; i < network.route_count; i++) {
        assert_int_equal(network.routes[i].family, routes[i].family == 4 ? AF_INET : AF_INET6);
        assert_int_equal(network.routes[i].ifindex, np_network_link_named(&network, routes[i].link)->index);
        assert_int_equal(network.routes[i].metric, routes[i].metric);
        assert_string_equal(np_addr_format(&network.routes[i].gateway, text), routes[i].gateway);
    }
}

/* Cut anywhere, a dump is either unfinished (cut between messages) or malformed, never complete. */
static void test_truncated_anywhere(void **state)
{
    static const char *const names[] = {"links", "addresses", "routes4", "routes6"};
    (void)state;
    skip_unless_recorded_here();
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        size_t len, whole = 0;
        uint8_t *data = load(names[i], &len);
        for (size_t cut = 0; cut < len - 1; cut++) {
            memset(&network, 0, sizeof network);
            int rc = feed(data + 1, cut, (enum np_netlink_part)data[0]);
            /* The number after DONE may be missing: the message has a length of its own. */
            if (rc != 0 && rc != NP_E_MALFORMED)
                fail_msg("%s cut at %zu: %d", names[i], cut, rc);
            whole += rc == 0;
            (void)np_netlink_is_event(data + 1, cut);
        }
        assert_in_range(whole, 2, 64);
        free(data);
    }
}

/* Every byte changed to a few values: no crash, no read outside (AddressSanitizer's to see). */
static void test_damaged_anywhere(void **state)
{
    static const char *const names[] = {"addresses", "routes4"};
    static const uint8_t values[] = {0, 1, 3, 0x7f, 0xff};
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        size_t len;
        uint8_t *data = load(names[i], &len);
        for (size_t at = 1; at < len; at++) {
            uint8_t kept = data[at];
            for (size_t k = 0; k < sizeof values; k++) {
                memset(&network, 0, sizeof network);
                data[at] = values[k];
                (void)feed(data + 1, len - 1, (enum np_netlink_part)data[0]);
            }
            data[at] = kept;
        }
        free(data);
    }
}

/* Messages by hand */

struct built {
    uint8_t bytes[8192];
    struct np_writer w;
};

static void put16(struct built *b, uint16_t value)
{
    np_write_bytes(&b->w, &value, 2);
}

static void put32(struct built *b, uint32_t value)
{
    np_write_bytes(&b->w, &value, 4);
}

static void put_header(struct built *b, uint32_t len, uint16_t type, uint16_t flags, uint32_t seq)
{
    put32(b, len);
    put16(b, type);
    put16(b, flags);
    put32(b, seq);
    put32(b, 77);
}

static void put_done(struct built *b, uint16_t type, uint16_t flags, int32_t error)
{
    put_header(b, 20, type, flags, 1);
    put32(b, (uint32_t)error);
}

static void put_attribute(struct built *b, uint16_t type, const void *data, uint16_t len)
{
    put16(b, (uint16_t)(4 + len));
    put16(b, type);
    np_write_bytes(&b->w, data, len);
    np_write_bytes(&b->w, "\0\0\0", (4 - len % 4) % 4);
}

static void put_link(struct built *b, uint32_t index, const char *name, uint16_t arp, const char *kind,
                     const char *port)
{
    size_t start = b->w.pos;
    uint32_t total;
    put_header(b, 0, RTM_NEWLINK, 2, 1);
    np_write_u8(&b->w, AF_UNSPEC);
    np_write_u8(&b->w, 0);
    put16(b, arp);
    put32(b, index);
    put32(b, IFF_UP | IFF_RUNNING);
    put32(b, 0);
    put_attribute(b, IFLA_IFNAME, name, (uint16_t)(strlen(name) + 1));
    if (kind) {
        struct built info = {.w = np_writer_make(info.bytes, sizeof info.bytes)};
        put_attribute(&info, IFLA_INFO_KIND, kind, (uint16_t)strlen(kind)); /* without its NUL */
        if (port)
            put_attribute(&info, IFLA_INFO_SLAVE_KIND, port, (uint16_t)(strlen(port) + 1));
        put_attribute(b, IFLA_LINKINFO | NLA_F_NESTED, info.bytes, (uint16_t)info.w.pos);
    }
    total = (uint32_t)(b->w.pos - start);
    memcpy(b->bytes + start, &total, 4);
}

static struct built begin(void)
{
    memset(&network, 0, sizeof network);
    return (struct built){.w = {.size = 8192}};
}

static int feed_built(struct built *b, enum np_netlink_part part)
{
    assert_int_equal(b->w.error, 0);
    return feed(b->bytes, b->w.pos, part);
}

#define BEGIN(b)                                                                                                       \
    struct built b = begin();                                                                                          \
    b.w.data = b.bytes

static void test_ends(void **state)
{
    static const struct {
        uint16_t type, flags;
        int32_t error;
        enum np_netlink_part part;
        int expected;
    } rows[] = {
        {NLMSG_DONE, 2, 0, NP_NETLINK_LINKS, 1},
        {NLMSG_DONE, 2 | NLM_F_DUMP_INTR, 0, NP_NETLINK_LINKS, -EINTR},
        {NLMSG_ERROR, 0, -EBUSY, NP_NETLINK_LINKS, -EBUSY},
        {NLMSG_DONE, 2, -ENOMEM, NP_NETLINK_ADDRESSES, -ENOMEM},
        {NLMSG_ERROR, 0, -ENOENT, NP_NETLINK_ROUTES_V4, 1}, /* no such table yet */
        {NLMSG_DONE, 2, -ENOENT, NP_NETLINK_ROUTES_V6, 1},
        {NLMSG_ERROR, 0, -ENOENT, NP_NETLINK_LINKS, -ENOENT},
        {NLMSG_ERROR, 0, 5, NP_NETLINK_LINKS, NP_E_MALFORMED},
        {NLMSG_ERROR, 0, INT32_MIN, NP_NETLINK_LINKS, NP_E_MALFORMED},
        {NLMSG_OVERRUN, 0, 0, NP_NETLINK_LINKS, -ENOBUFS},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        BEGIN(b);
        put_done(&b, rows[i].type, rows[i].flags, rows[i].error);
        assert_int_equal(feed_built(&b, rows[i].part), rows[i].expected);
    }
    BEGIN(b);
    put_header(&b, 20, NLMSG_DONE, 0, 99); /* of an older dump */
    put32(&b, 0);
    assert_int_equal(feed_built(&b, NP_NETLINK_LINKS), 0);
    BEGIN(c);
    put_header(&c, 15, NLMSG_DONE, 0, 1);
    assert_int_equal(feed_built(&c, NP_NETLINK_LINKS), NP_E_MALFORMED);
}

static void test_kinds(void **state)
{
    static const struct {
        uint16_t arp;
        const char *kind;
        enum np_link_kind expected;
    } rows[] = {
        {ARPHRD_ETHER, NULL, NP_LINK_PHYSICAL},    {ARPHRD_ETHER, "vlan", NP_LINK_VLAN},
        {ARPHRD_ETHER, "bridge", NP_LINK_BRIDGE},  {ARPHRD_ETHER, "bond", NP_LINK_BOND},
        {ARPHRD_ETHER, "veth", NP_LINK_VETH},      {ARPHRD_PPP, NULL, NP_LINK_PPP},
        {ARPHRD_PPP, "ppp", NP_LINK_PPP},          {ARPHRD_NONE, "wireguard", NP_LINK_TUNNEL},
        {ARPHRD_NONE, NULL, NP_LINK_TUNNEL},       {ARPHRD_SIT, "sit", NP_LINK_TUNNEL},
        {ARPHRD_ETHER, "dummy", NP_LINK_OTHER},    {ARPHRD_ETHER, "dsa", NP_LINK_PHYSICAL},
        {ARPHRD_LOOPBACK, NULL, NP_LINK_LOOPBACK},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        BEGIN(b);
        put_link(&b, 7, "x0", rows[i].arp, rows[i].kind, NULL);
        assert_int_equal(feed_built(&b, NP_NETLINK_LINKS), 0);
        assert_int_equal(network.link_count, 1);
        assert_int_equal(network.links[0].kind, rows[i].expected);
    }
}

static void test_hostile_name(void **state)
{
    (void)state;
    BEGIN(b);
    put_link(&b, 7, "e\x1b[31mth\xff-and-far-too-long-for-a-name", ARPHRD_ETHER, NULL, NULL);
    assert_int_equal(feed_built(&b, NP_NETLINK_LINKS), 0);
    assert_string_equal(network.links[0].name, "e?[31mth?-and-f");
}

/* More links than fit: ports of a bridge give way, and what is left out is counted. */
static void test_too_many_links(void **state)
{
    (void)state;
    BEGIN(b);
    char name[16];
    for (uint32_t i = 1; i <= NP_NETWORK_LINKS_MAX; i++) {
        snprintf(name, sizeof name, "veth%u", (unsigned)i);
        put_link(&b, i, name, ARPHRD_ETHER, "veth", i % 2 ? "bridge" : NULL);
    }
    put_link(&b, 500, "pppoe-wan", ARPHRD_PPP, NULL, NULL);
    put_link(&b, 501, "veth501", ARPHRD_ETHER, "veth", "bridge");
    assert_int_equal(feed_built(&b, NP_NETLINK_LINKS), 0);
    assert_int_equal(network.link_count, NP_NETWORK_LINKS_MAX);
    assert_int_equal(network.dropped, 2);
    assert_non_null(np_network_link_named(&network, "pppoe-wan"));
    assert_null(np_network_link_named(&network, "veth1"));
    assert_null(np_network_link_named(&network, "veth501"));
}

static void put_address(struct built *b, uint32_t index, uint32_t host)
{
    uint32_t v4 = htonl(host);
    put_header(b, 16 + 8 + 8, RTM_NEWADDR, 2, 1);
    np_write_u8(&b->w, AF_INET);
    np_write_u8(&b->w, 24);
    put16(b, 0);
    put32(b, index);
    put_attribute(b, IFA_LOCAL, &v4, 4);
}

static void test_too_many_addresses(void **state)
{
    (void)state;
    memset(&network, 0, sizeof network);
    for (uint32_t i = 0; i < NP_NETWORK_ADDRESSES_MAX + 3; i++) {
        struct built b = {.w = {.size = 64}};
        b.w.data = b.bytes;
        put_address(&b, 1, 0x0a000001 + i);
        assert_int_equal(feed(b.bytes, b.w.pos, NP_NETLINK_ADDRESSES), 0);
    }
    assert_int_equal(network.address_count, NP_NETWORK_ADDRESSES_MAX);
    assert_int_equal(network.dropped, 3);
    np_network_sort(&network); /* and no link that they could be on */
    assert_int_equal(network.address_count, 0);
}

static void test_bad_messages(void **state)
{
    (void)state;
    BEGIN(b); /* a prefix longer than the family */
    put_address(&b, 1, 1);
    b.bytes[17] = 33;
    assert_int_equal(feed_built(&b, NP_NETLINK_ADDRESSES), NP_E_MALFORMED);
    b.bytes[17] = 24;
    b.bytes[16] = AF_INET6; /* an address of 4 bytes in IPv6 */
    assert_int_equal(feed_built(&b, NP_NETLINK_ADDRESSES), NP_E_MALFORMED);
    b.bytes[16] = 99; /* a family that we do not know is not ours to judge */
    assert_int_equal(feed_built(&b, NP_NETLINK_ADDRESSES), 0);
    assert_int_equal(network.address_count, 0);
    b.bytes[16] = AF_INET;
    b.bytes[24] = 3; /* an attribute shorter than its own head */
    b.bytes[25] = 0;
    assert_int_equal(feed_built(&b, NP_NETLINK_ADDRESSES), NP_E_MALFORMED);
    BEGIN(c);
    put_link(&c, 0, "zero", ARPHRD_ETHER, NULL, NULL);
    assert_int_equal(feed_built(&c, NP_NETLINK_LINKS), NP_E_MALFORMED);
}

static void test_requests(void **state)
{
    static const size_t lengths[NP_NETLINK_PARTS] = {40, 24, 28, 28};
    (void)state;
    for (int part = 0; part < NP_NETLINK_PARTS; part++) {
        uint8_t buffer[NP_NETLINK_REQUEST_MAX];
        uint32_t len;
        size_t n = np_netlink_request((enum np_netlink_part)part, 0x01020304, buffer);
        memcpy(&len, buffer, 4);
        assert_int_equal(n, lengths[part]);
        assert_int_equal(len, n);
    }
}

static void put_route(struct built *b, uint16_t type, uint8_t dst_len)
{
    put_header(b, 28, type, 0, 0);
    np_write_u8(&b->w, AF_INET);
    np_write_u8(&b->w, dst_len);
    np_write_bytes(&b->w, "\0\0\0\0\0\0\0\0\0", 10);
}

/* One IPv4 default route over interface 3, metric 7; what is asked for differs from that. */
static int feed_default(uint8_t type, uint32_t flags, uint32_t table, uint16_t gateway_type, const void *gateway,
                        uint16_t gateway_len)
{
    static const uint8_t head[] = {AF_INET, 0, 0, 0, 0 /* table: RTA_TABLE says */, 0, 0};
    uint32_t oif = 3, metric = 7;
    BEGIN(b);
    put_header(&b, 0, RTM_NEWROUTE, 2, 1);
    np_write_bytes(&b.w, head, sizeof head);
    np_write_u8(&b.w, type);
    put32(&b, flags);
    put_attribute(&b, RTA_TABLE, &table, 4);
    put_attribute(&b, RTA_OIF, &oif, 4);
    put_attribute(&b, RTA_PRIORITY, &metric, 4);
    if (gateway_len)
        put_attribute(&b, gateway_type, gateway, gateway_len);
    uint32_t total = (uint32_t)b.w.pos;
    memcpy(b.bytes, &total, 4);
    return feed_built(&b, NP_NETLINK_ROUTES_V4);
}

static void test_routes_by_hand(void **state)
{
    static const uint8_t v4[] = {192, 0, 2, 1};
    uint8_t via[18] = {0};
    uint16_t family = AF_INET6;
    char text[NP_ADDR_TEXT_MAX];
    (void)state;
    assert_int_equal(feed_default(RTN_UNICAST, 0, RT_TABLE_MAIN, RTA_GATEWAY, v4, 4), 0);
    assert_int_equal(network.route_count, 1);
    assert_int_equal(network.routes[0].metric, 7);
    memcpy(via, &family, 2); /* RFC 8950: an IPv4 route by an IPv6 neighbour */
    via[2] = 0xfe, via[3] = 0x80, via[17] = 5;
    assert_int_equal(feed_default(RTN_UNICAST, 0, RT_TABLE_MAIN, RTA_VIA, via, sizeof via), 0);
    assert_string_equal(np_addr_format(&network.routes[0].gateway, text), "fe80::5");
    assert_int_equal(feed_default(RTN_UNICAST, 0, 100, RTA_GATEWAY, v4, 4), 0); /* a VPN's own table */
    assert_int_equal(network.route_count, 0);
    assert_int_equal(feed_default(RTN_BLACKHOLE, 0, RT_TABLE_MAIN, RTA_GATEWAY, v4, 4), 0);
    assert_int_equal(network.route_count, 0);
    assert_int_equal(feed_default(RTN_UNICAST, RTNH_F_DEAD, RT_TABLE_MAIN, RTA_GATEWAY, v4, 4), 0);
    assert_int_equal(network.route_count, 0);
    assert_int_equal(feed_default(RTN_UNICAST, RTM_F_CLONED, RT_TABLE_MAIN, RTA_GATEWAY, v4, 4), 0);
    assert_int_equal(network.route_count, 0);
    assert_int_equal(feed_default(RTN_UNICAST, RTNH_F_LINKDOWN, RT_TABLE_MAIN, RTA_GATEWAY, v4, 4), 0);
    assert_int_equal(network.route_count, 1); /* a pulled cable changes no choice */
    assert_int_equal(feed_default(RTN_UNICAST, 0, RT_TABLE_MAIN, RTA_GATEWAY, v4, 3), NP_E_MALFORMED);
    assert_int_equal(feed_default(RTN_UNICAST, 0, RT_TABLE_MAIN, RTA_VIA, via, 17), NP_E_MALFORMED);
    static const struct rtnexthop hop_too_short = {.rtnh_len = 7, .rtnh_ifindex = 3};
    assert_int_equal(feed_default(RTN_UNICAST, 0, RT_TABLE_MAIN, RTA_MULTIPATH, &hop_too_short, 8), NP_E_MALFORMED);
    static const struct rtnexthop hop_too_long = {.rtnh_len = 9, .rtnh_ifindex = 3};
    assert_int_equal(feed_default(RTN_UNICAST, 0, RT_TABLE_MAIN, RTA_MULTIPATH, &hop_too_long, 8), NP_E_MALFORMED);
    static const struct rtnexthop dead_hop = {.rtnh_len = 8, .rtnh_flags = RTNH_F_DEAD, .rtnh_ifindex = 3};
    assert_int_equal(feed_default(RTN_UNICAST, 0, RT_TABLE_MAIN, RTA_MULTIPATH, &dead_hop, 8), 0);
    assert_int_equal(network.route_count, 0);
}

static void test_events(void **state)
{
    (void)state;
    BEGIN(b);
    put_route(&b, RTM_NEWROUTE, 24);
    put_route(&b, RTM_DELROUTE, 16);
    assert_false(np_netlink_is_event(b.bytes, b.w.pos));
    put_route(&b, RTM_DELROUTE, 0);
    assert_true(np_netlink_is_event(b.bytes, b.w.pos));
    BEGIN(c);
    put_address(&c, 1, 1);
    assert_true(np_netlink_is_event(c.bytes, c.w.pos));
    assert_true(np_netlink_is_event(c.bytes, 9)); /* broken: the dump will tell */
    assert_false(np_netlink_is_event(c.bytes, 0));
}

static void test_equal(void **state)
{
    static struct np_network other;
    (void)state;
    skip_unless_recorded_here();
    memset(&network, 0, sizeof network);
    feed_file("links");
    feed_file("addresses");
    feed_file("routes4");
    other = network;
    assert_true(np_network_equal(&network, &other));
    other.addresses[0].valid_s = 5; /* a DHCP renewal */
    other.serial = 9;
    assert_true(np_network_equal(&network, &other));
    other.addresses[0].flags ^= IFA_F_DEPRECATED;
    assert_false(np_network_equal(&network, &other));
    other = network;
    other.links[1].running = !other.links[1].running;
    assert_false(np_network_equal(&network, &other));
    other = network;
    other.routes[0].metric++;
    assert_false(np_network_equal(&network, &other));
    other = network;
    other.address_count--;
    assert_false(np_network_equal(&network, &other));
}

static void test_lost_address(void **state)
{
    static struct np_network now;
    (void)state;
    skip_unless_recorded_here();
    memset(&network, 0, sizeof network);
    assert_false(np_network_lost_address(&network, &now));
    feed_file("links");
    feed_file("addresses");
    assert_false(np_network_lost_address(&now, &network)); /* all are new */
    now = network;
    now.addresses[0].valid_s = 5;
    now.addresses[0].prefix.length--;
    assert_false(np_network_lost_address(&network, &now));
    for (size_t i = 0; i < network.address_count; i++) {
        now = network;
        now.addresses[i].prefix.addr.bytes[3] ^= 1; /* another one in its place */
        assert_true(np_network_lost_address(&network, &now));
        now = network;
        now.addresses[i].ifindex += 1000; /* it has moved to another interface */
        assert_true(np_network_lost_address(&network, &now));
        now = network;
        now.addresses[i] = now.addresses[--now.address_count];
        assert_true(np_network_lost_address(&network, &now));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_recorded),
        cmocka_unit_test(test_truncated_anywhere),
        cmocka_unit_test(test_damaged_anywhere),
        cmocka_unit_test(test_ends),
        cmocka_unit_test(test_kinds),
        cmocka_unit_test(test_hostile_name),
        cmocka_unit_test(test_too_many_links),
        cmocka_unit_test(test_too_many_addresses),
        cmocka_unit_test(test_bad_messages),
        cmocka_unit_test(test_requests),
        cmocka_unit_test(test_routes_by_hand),
        cmocka_unit_test(test_events),
        cmocka_unit_test(test_equal),
        cmocka_unit_test(test_lost_address),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

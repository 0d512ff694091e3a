/* Situations of homes, and what the box answers and publishes in each. A situation is written as lines of text that a
 * person can read:
 *
 *   link INDEX NAME KIND [down] [nocarrier] [port]
 *   addr NAME ADDRESS/LENGTH [secondary] [temporary] [deprecated] [tentative] [dadfailed] [peer ADDRESS]
 *   default 4|6 NAME METRIC */
#ifndef TESTS_UNIT_AGENT_SITUATIONS_H
#define TESTS_UNIT_AGENT_SITUATIONS_H

#include "agent/network/addresses.h"

/* Answers are "NAME: ADDRESS ADDRESS; NAME: ..." in the choice's order. */
struct situation {
    const char *name;
    const char
        *role; /* "host" or "router", then the LAN interfaces, then options: "+shared" "+local-only" "+no-global" */
    const char *network;
    const char *answers, *primary, *publish;
    const char *reason_for; /* one address whose verdict is looked at; NULL: none */
    enum np_address_reason answered, published;
};

static const struct situation situations[] = {
    {"a router with one LAN bridge and a CGNAT WAN", "router br-lan",
     "link 2 eth0 physical\nlink 3 eth1 physical port\nlink 4 br-lan bridge\n"
     "addr eth0 100.64.3.7/10\naddr br-lan 192.168.1.1/24\naddr br-lan fd42::1/64\naddr br-lan fe80::1/64\n"
     "default 4 eth0 0\n",
     "br-lan: 192.168.1.1 fd42::1", "192.168.1.1 fd42::1", "192.168.1.1 fd42::1", "100.64.3.7", NP_ADDRESS_NOT_LAN,
     NP_ADDRESS_NOT_LAN},
    {"double NAT: the WAN is a private net, and still no LAN", "router br-lan",
     "link 2 wan physical\nlink 3 br-lan bridge\naddr wan 192.168.178.20/24\naddr br-lan 192.168.1.1/24\n"
     "default 4 wan 0\n",
     "br-lan: 192.168.1.1", "192.168.1.1", "192.168.1.1", "192.168.178.20", NP_ADDRESS_NOT_LAN, NP_ADDRESS_NOT_LAN},
    {"double NAT with the same subnet on both sides", "router br-lan",
     "link 2 wan physical\nlink 3 br-lan bridge\naddr wan 192.168.1.20/24\naddr br-lan 192.168.1.1/24\n"
     "default 4 wan 0\n",
     "br-lan: 192.168.1.1", "192.168.1.1", "192.168.1.1", NULL, 0, 0},
    {"a router with PPPoE", "router br-lan",
     "link 2 eth0 physical\nlink 3 br-lan bridge\nlink 9 pppoe-wan ppp\naddr br-lan 192.168.1.1/24\n"
     "addr pppoe-wan 93.184.216.34/32 peer 62.155.1.1\ndefault 4 pppoe-wan 0\n",
     "br-lan: 192.168.1.1", "192.168.1.1", "192.168.1.1", "93.184.216.34", NP_ADDRESS_NOT_LAN, NP_ADDRESS_NOT_LAN},
    {"a router with LAN and guest VLAN", "router br-lan eth0.20",
     "link 2 eth0 physical\nlink 3 br-lan bridge\nlink 5 eth0.20 vlan\naddr br-lan 192.168.1.1/24\n"
     "addr eth0.20 192.168.20.1/24\n",
     "br-lan: 192.168.1.1; eth0.20: 192.168.20.1", "192.168.1.1 192.168.20.1", "192.168.1.1 192.168.20.1", NULL, 0, 0},
    {"a router with three LANs: two are published", "router lan1 lan2 lan3",
     "link 2 lan1 physical\nlink 3 lan2 physical\nlink 4 lan3 physical\naddr lan1 192.168.1.1/24\n"
     "addr lan2 10.0.0.1/24\naddr lan3 172.16.0.1/24\n",
     "lan1: 192.168.1.1; lan2: 10.0.0.1; lan3: 172.16.0.1", "192.168.1.1 10.0.0.1", "192.168.1.1 10.0.0.1",
     "172.16.0.1", NP_ADDRESS_USED, NP_ADDRESS_OVER_LIMIT},
    {"a router without `lan =` has no LAN: never guessed", "router",
     "link 2 eth0 physical\nlink 3 br-lan bridge\naddr eth0 10.1.2.3/8\naddr br-lan 192.168.1.1/24\ndefault 4 eth0 0\n",
     "", "", "", "192.168.1.1", NP_ADDRESS_NOT_LAN, NP_ADDRESS_NOT_LAN},
    {"a router whose guest bridge has no clients", "router br-lan br-guest",
     "link 3 br-lan bridge\nlink 4 br-guest bridge nocarrier\naddr br-lan 192.168.1.1/24\naddr br-guest "
     "192.168.2.1/24\n",
     "br-lan: 192.168.1.1; br-guest: 192.168.2.1", "192.168.1.1 192.168.2.1", "192.168.1.1 192.168.2.1", NULL, 0, 0},
    {"a NAS on one cable", "host",
     "link 1 lo loopback\nlink 2 eth0 physical\naddr lo 127.0.0.1/8\naddr eth0 192.168.178.40/24\n"
     "addr eth0 fe80::40/64\ndefault 4 eth0 100\n",
     "eth0: 192.168.178.40", "192.168.178.40", "192.168.178.40", "127.0.0.1", NP_ADDRESS_LOOPBACK, NP_ADDRESS_LOOPBACK},
    {"a NAS with cable and Wi-Fi: the lower metric first", "host",
     "link 2 wlan0 physical\nlink 3 eth0 physical\naddr wlan0 192.168.178.41/24\naddr eth0 192.168.178.40/24\n"
     "default 4 wlan0 600\ndefault 4 eth0 100\n",
     "eth0: 192.168.178.40; wlan0: 192.168.178.41", "192.168.178.40 192.168.178.41", "192.168.178.40 192.168.178.41",
     NULL, 0, 0},
    {"two cards, only one with the default route", "host",
     "link 2 eth0 physical\nlink 3 eth1 physical\naddr eth0 192.168.1.9/24\naddr eth1 10.10.0.1/24\ndefault 4 eth0 0\n",
     "eth0: 192.168.1.9", "192.168.1.9", "192.168.1.9", "10.10.0.1", NP_ADDRESS_NOT_LAN, NP_ADDRESS_NOT_LAN},
    {"two cards, named by the owner", "host eth1 eth0",
     "link 2 eth0 physical\nlink 3 eth1 physical\naddr eth0 192.168.1.9/24\naddr eth1 10.10.0.1/24\ndefault 4 eth0 0\n",
     "eth1: 10.10.0.1; eth0: 192.168.1.9", "10.10.0.1 192.168.1.9", "10.10.0.1 192.168.1.9", NULL, 0, 0},
    {"a NAS with docker", "host",
     "link 2 eth0 physical\nlink 3 docker0 bridge\nlink 4 veth12 veth port\nlink 5 br-0123456789ab bridge\n"
     "addr eth0 192.168.1.9/24\naddr docker0 172.17.0.1/16\naddr br-0123456789ab 172.18.0.1/16\ndefault 4 eth0 0\n",
     "eth0: 192.168.1.9", "192.168.1.9", "192.168.1.9", "172.17.0.1", NP_ADDRESS_NOT_LAN, NP_ADDRESS_NOT_LAN},
    {"a NAS with docker and without a default route", "host",
     "link 2 eth0 physical\nlink 3 docker0 bridge\nlink 5 br-0123456789ab bridge\naddr eth0 192.168.1.9/24\n"
     "addr docker0 172.17.0.1/16\naddr br-0123456789ab 172.18.0.1/16\n",
     "eth0: 192.168.1.9", "192.168.1.9", "192.168.1.9", NULL, 0, 0},
    {"a container with its own card and no default route", "host",
     "link 1 lo loopback\nlink 2 eth0 veth\naddr lo 127.0.0.1/8\naddr eth0 10.0.3.5/24\n", "eth0: 10.0.3.5", "10.0.3.5",
     "10.0.3.5", NULL, 0, 0},
    {"a VPN takes the default route: still the cable", "host",
     "link 2 eth0 physical\nlink 7 wg0 tunnel\naddr eth0 192.168.1.9/24\naddr wg0 10.66.0.2/32\ndefault 4 wg0 0\n"
     "default 4 eth0 100\n",
     "eth0: 192.168.1.9", "192.168.1.9", "192.168.1.9", "10.66.0.2", NP_ADDRESS_NOT_LAN, NP_ADDRESS_NOT_LAN},
    {"only a tun has the default route", "host",
     "link 2 eth0 physical\nlink 7 tun0 tunnel\naddr eth0 192.168.1.9/24\naddr tun0 10.8.0.6/32 peer 10.8.0.5\n"
     "default 4 tun0 0\n",
     "eth0: 192.168.1.9", "192.168.1.9", "192.168.1.9", NULL, 0, 0},
    {"a host on a bridge", "host",
     "link 2 eth0 physical port\nlink 3 br0 bridge\naddr br0 192.168.1.9/24\ndefault 4 br0 0\n", "br0: 192.168.1.9",
     "192.168.1.9", "192.168.1.9", NULL, 0, 0},
    {"every kind of IPv6 address", "host",
     "link 2 eth0 physical\naddr eth0 192.168.1.9/24\naddr eth0 fe80::9/64\naddr eth0 fd42::9/64\n"
     "addr eth0 fd42::aaaa/64 temporary\naddr eth0 2a00:1::9/64\naddr eth0 2a00:1::bbbb/64 temporary\n"
     "addr eth0 2a00:1::cccc/64 deprecated\ndefault 4 eth0 0\n",
     "eth0: 192.168.1.9 fd42::9 2a00:1::9 2a00:1::cccc", "192.168.1.9 fd42::9", "192.168.1.9 fd42::9", "2a00:1::9",
     NP_ADDRESS_USED, NP_ADDRESS_GLOBAL},
    {"temporary addresses are for going out", "host",
     "link 2 eth0 physical\naddr eth0 fd42::9/64\naddr eth0 fd42::aaaa/64 temporary\ndefault 6 eth0 0\n",
     "eth0: fd42::9", "fd42::9", "fd42::9", "fd42::aaaa", NP_ADDRESS_TEMPORARY, NP_ADDRESS_TEMPORARY},
    {"duplicate address detection still runs", "host",
     "link 2 eth0 physical\naddr eth0 192.168.1.9/24\naddr eth0 fd42::9/64 tentative\ndefault 4 eth0 0\n",
     "eth0: 192.168.1.9", "192.168.1.9", "192.168.1.9", "fd42::9", NP_ADDRESS_TENTATIVE, NP_ADDRESS_TENTATIVE},
    {"duplicate address detection failed", "host",
     "link 2 eth0 physical\naddr eth0 192.168.1.9/24\naddr eth0 fd42::9/64 tentative dadfailed\ndefault 4 eth0 0\n",
     "eth0: 192.168.1.9", "192.168.1.9", "192.168.1.9", "fd42::9", NP_ADDRESS_DAD_FAILED, NP_ADDRESS_DAD_FAILED},
    {"a deprecated ULA beside a preferred one: answered last, not published", "host",
     "link 2 eth0 physical\naddr eth0 fd01::9/64 deprecated\naddr eth0 fd02::9/64\ndefault 6 eth0 0\n",
     "eth0: fd02::9 fd01::9", "fd02::9 fd01::9", "fd02::9", "fd01::9", NP_ADDRESS_USED, NP_ADDRESS_DEPRECATED},
    {"a deprecated ULA alone is better than none", "host",
     "link 2 eth0 physical\naddr eth0 fd01::9/64 deprecated\ndefault 6 eth0 0\n", "eth0: fd01::9", "fd01::9", "fd01::9",
     NULL, 0, 0},
    {"link-local addresses only", "host",
     "link 2 eth0 physical\naddr eth0 169.254.3.4/16\naddr eth0 fe80::9/64\ndefault 6 eth0 0\n", "eth0:", "", "",
     "169.254.3.4", NP_ADDRESS_LINK_LOCAL, NP_ADDRESS_LINK_LOCAL},
    {"nothing at all", "host", "link 1 lo loopback\naddr lo 127.0.0.1/8\naddr lo ::1/128\n", "", "", "", "::1",
     NP_ADDRESS_LOOPBACK, NP_ADDRESS_LOOPBACK},
    {"the cable of the only card is pulled: the addresses stay", "host",
     "link 2 eth0 physical nocarrier\naddr eth0 192.168.1.9/24\ndefault 4 eth0 0\n", "eth0: 192.168.1.9", "192.168.1.9",
     "192.168.1.9", NULL, 0, 0},
    {"the cable is pulled and Wi-Fi is there", "host",
     "link 2 eth0 physical nocarrier\nlink 3 wlan0 physical\naddr eth0 192.168.1.9/24\naddr wlan0 192.168.1.10/24\n"
     "default 4 eth0 100\ndefault 4 wlan0 600\n",
     "eth0: 192.168.1.9; wlan0: 192.168.1.10", "192.168.1.10", "192.168.1.10", "192.168.1.9", NP_ADDRESS_USED,
     NP_ADDRESS_NO_CARRIER},
    {"the cable is pulled, and it alone has IPv6", "host",
     "link 2 eth0 physical nocarrier\nlink 3 wlan0 physical\naddr eth0 fd42::9/64\naddr wlan0 192.168.1.10/24\n"
     "default 6 eth0 100\ndefault 4 wlan0 600\n",
     "wlan0: 192.168.1.10; eth0: fd42::9", "192.168.1.10 fd42::9", "192.168.1.10 fd42::9", NULL, 0, 0},
    {"the card is switched off", "host eth0", "link 2 eth0 physical down\naddr eth0 192.168.1.9/24\n", "", "", "",
     "192.168.1.9", NP_ADDRESS_LINK_DOWN, NP_ADDRESS_LINK_DOWN},
    {"renumbered: both while the kernel has both", "host",
     "link 2 eth0 physical\naddr eth0 192.168.1.9/24\naddr eth0 10.0.0.9/24\ndefault 4 eth0 0\n",
     "eth0: 10.0.0.9 192.168.1.9", "10.0.0.9 192.168.1.9", "10.0.0.9 192.168.1.9", NULL, 0, 0},
    {"renumbered: the old one is gone", "host", "link 2 eth0 physical\naddr eth0 10.0.0.9/24\ndefault 4 eth0 0\n",
     "eth0: 10.0.0.9", "10.0.0.9", "10.0.0.9", NULL, 0, 0},
    {"a secondary address of the same subnet comes after the first", "host",
     "link 2 eth0 physical\naddr eth0 192.168.1.5/24 secondary\naddr eth0 192.168.1.9/24\ndefault 4 eth0 0\n",
     "eth0: 192.168.1.9 192.168.1.5", "192.168.1.9 192.168.1.5", "192.168.1.9 192.168.1.5", NULL, 0, 0},
    {"secondary addresses of one card do not push out the other card's first", "host eth0 eth1",
     "link 2 eth0 physical\nlink 3 eth1 physical\naddr eth0 192.168.1.9/24\naddr eth0 192.168.1.10/24 secondary\n"
     "addr eth1 10.0.0.9/24\n",
     "eth0: 192.168.1.9 192.168.1.10; eth1: 10.0.0.9", "192.168.1.9 10.0.0.9", "192.168.1.9 10.0.0.9", "192.168.1.10",
     NP_ADDRESS_USED, NP_ADDRESS_OVER_LIMIT},
    {"one address with two prefix lengths is one", "host eth0",
     "link 2 eth0 physical\naddr eth0 192.168.1.9/24\naddr eth0 192.168.1.9/32\n", "eth0: 192.168.1.9", "192.168.1.9",
     "192.168.1.9", NULL, 0, 0},
    {"IPv6 only with a GUA", "host",
     "link 2 eth0 physical\naddr eth0 2a00:1::9/64\naddr eth0 fe80::9/64\ndefault 6 eth0 1024\n", "eth0: 2a00:1::9",
     "2a00:1::9", "", "2a00:1::9", NP_ADDRESS_USED, NP_ADDRESS_GLOBAL},
    {"global addresses switched off", "host +no-global",
     "link 2 eth0 physical\naddr eth0 2a00:1::9/64\naddr eth0 fd42::9/64\ndefault 6 eth0 1024\n", "eth0: fd42::9",
     "fd42::9", "fd42::9", "2a00:1::9", NP_ADDRESS_GLOBAL_OFF, NP_ADDRESS_GLOBAL_OFF},
    {"a host with a public IPv4 address", "host", "link 2 eth0 physical\naddr eth0 8.8.4.4/24\ndefault 4 eth0 0\n",
     "eth0: 8.8.4.4", "8.8.4.4", "", "8.8.4.4", NP_ADDRESS_USED, NP_ADDRESS_GLOBAL},
    {"a host inside 100.64/10", "host", "link 2 eth0 physical\naddr eth0 100.64.0.9/24\ndefault 4 eth0 0\n",
     "eth0: 100.64.0.9", "100.64.0.9", "", "100.64.0.9", NP_ADDRESS_USED, NP_ADDRESS_SHARED},
    {"a host inside 100.64/10 whose vendor publishes that", "host +shared",
     "link 2 eth0 physical\naddr eth0 100.64.0.9/24\ndefault 4 eth0 0\n", "eth0: 100.64.0.9", "100.64.0.9",
     "100.64.0.9", NULL, 0, 0},
    {"publish = local-only", "router br-lan +local-only", "link 3 br-lan bridge\naddr br-lan 192.168.1.1/24\n",
     "br-lan: 192.168.1.1", "192.168.1.1", "", "192.168.1.1", NP_ADDRESS_USED, NP_ADDRESS_LOCAL_ONLY},
    {"more ULAs than are published", "host",
     "link 2 eth0 physical\naddr eth0 fd01::9/64\naddr eth0 fd02::9/64\naddr eth0 fd03::9/64\naddr eth0 fd04::9/64\n"
     "addr eth0 fd05::9/64\ndefault 6 eth0 0\n",
     "eth0: fd01::9 fd02::9 fd03::9 fd04::9 fd05::9", "fd01::9 fd02::9 fd03::9 fd04::9",
     "fd01::9 fd02::9 fd03::9 fd04::9", "fd05::9", NP_ADDRESS_USED, NP_ADDRESS_OVER_LIMIT},
    {"the LAN interface is not there yet", "router br-lan", "link 2 eth0 physical\naddr eth0 10.0.0.2/24\n", "", "", "",
     "10.0.0.2", NP_ADDRESS_NOT_LAN, NP_ADDRESS_NOT_LAN},
    {"a router with PPPoE behind a modem with a private address of its own", "router br-lan",
     "link 2 wan physical\nlink 3 br-lan bridge\nlink 9 pppoe-wan ppp\naddr wan 192.168.100.2/24\n"
     "addr br-lan 192.168.1.1/24\naddr pppoe-wan 62.1.2.3/32 peer 62.155.1.1\ndefault 4 pppoe-wan 0\n",
     "br-lan: 192.168.1.1", "192.168.1.1", "192.168.1.1", "192.168.100.2", NP_ADDRESS_NOT_LAN, NP_ADDRESS_NOT_LAN},
    {"a router with PPPoE whose ISP gives a private address", "router br-lan",
     "link 3 br-lan bridge\nlink 9 pppoe-wan ppp\naddr br-lan 192.168.1.1/24\n"
     "addr pppoe-wan 10.64.7.9/32 peer 10.64.0.1\ndefault 4 pppoe-wan 0\n",
     "br-lan: 192.168.1.1", "192.168.1.1", "192.168.1.1", "10.64.7.9", NP_ADDRESS_NOT_LAN, NP_ADDRESS_NOT_LAN},
    {"a host that dials in by PPPoE itself: the line is no LAN", "host",
     "link 2 eth0 physical\nlink 9 ppp0 ppp\naddr eth0 192.168.1.9/24\naddr ppp0 10.64.7.9/32 peer 10.64.0.1\n"
     "default 4 ppp0 0\n",
     "eth0: 192.168.1.9", "192.168.1.9", "192.168.1.9", "10.64.7.9", NP_ADDRESS_NOT_LAN, NP_ADDRESS_NOT_LAN},
    {"CGNAT and 464XLAT on the WAN", "router br-lan",
     "link 2 wan physical\nlink 3 br-lan bridge\nlink 4 clat tunnel\naddr wan 100.71.0.5/10\naddr clat 192.0.0.4/32\n"
     "addr br-lan 192.168.1.1/24\ndefault 4 clat 0\ndefault 6 wan 512\n",
     "br-lan: 192.168.1.1", "192.168.1.1", "192.168.1.1", "192.0.0.4", NP_ADDRESS_NOT_LAN, NP_ADDRESS_NOT_LAN},
    {"a router whose ISP delegates a prefix: GUA and ULA on the LAN", "router br-lan",
     "link 2 wan physical\nlink 3 br-lan bridge\naddr wan 2a00:1:0:1::2/64\naddr br-lan 192.168.1.1/24\n"
     "addr br-lan fd42::1/64\naddr br-lan 2a00:1:9:1::1/64\ndefault 6 wan 512\n",
     "br-lan: 192.168.1.1 fd42::1 2a00:1:9:1::1", "192.168.1.1 fd42::1", "192.168.1.1 fd42::1", "2a00:1:9:1::1",
     NP_ADDRESS_USED, NP_ADDRESS_GLOBAL},
    {"a router after the ISP's prefix changed: the old one is deprecated", "router br-lan",
     "link 3 br-lan bridge\naddr br-lan 192.168.1.1/24\naddr br-lan 2a00:1:9:1::1/64 deprecated\n"
     "addr br-lan 2a00:1:a:1::1/64\n",
     "br-lan: 192.168.1.1 2a00:1:a:1::1 2a00:1:9:1::1", "192.168.1.1", "192.168.1.1", "2a00:1:9:1::1", NP_ADDRESS_USED,
     NP_ADDRESS_GLOBAL},
    {"an IPv6-only router with ULA", "router br-lan",
     "link 2 wan physical\nlink 3 br-lan bridge\naddr br-lan fd42::1/64\naddr br-lan fe80::1/64\ndefault 6 wan 512\n",
     "br-lan: fd42::1", "fd42::1", "fd42::1", "fe80::1%3", NP_ADDRESS_LINK_LOCAL, NP_ADDRESS_LINK_LOCAL},
    {"the LAN named is a port of a bridge: the addresses are the bridge's", "router eth1",
     "link 2 wan physical\nlink 3 eth1 physical port\nlink 4 br-lan bridge\naddr br-lan 192.168.1.1/24\n"
     "default 4 wan 0\n",
     "eth1:", "", "", "192.168.1.1", NP_ADDRESS_NOT_LAN, NP_ADDRESS_NOT_LAN},
    {"tagged VLANs of one card: the owner's, not the cameras'", "host eth0.10",
     "link 2 eth0 physical\nlink 3 eth0.10 vlan\nlink 4 eth0.66 vlan\naddr eth0.10 192.168.10.5/24\n"
     "addr eth0.66 192.168.66.5/24\ndefault 4 eth0.10 0\n",
     "eth0.10: 192.168.10.5", "192.168.10.5", "192.168.10.5", "192.168.66.5", NP_ADDRESS_NOT_LAN, NP_ADDRESS_NOT_LAN},
    {"a VLAN carries the default route of a host", "host",
     "link 2 eth0 physical\nlink 3 eth0.10 vlan\naddr eth0 169.254.9.9/16\naddr eth0.10 192.168.10.5/24\n"
     "default 4 eth0.10 0\n",
     "eth0.10: 192.168.10.5", "192.168.10.5", "192.168.10.5", "169.254.9.9", NP_ADDRESS_NOT_LAN, NP_ADDRESS_NOT_LAN},
    {"a bond of two cards", "host",
     "link 2 eth0 physical\nlink 3 eth1 physical\nlink 4 bond0 bond\naddr bond0 192.168.1.9/24\ndefault 4 bond0 0\n",
     "bond0: 192.168.1.9", "192.168.1.9", "192.168.1.9", NULL, 0, 0},
    {"a NAS that is also a VM host: its guests' bridge is no LAN", "host",
     "link 2 eth0 physical\nlink 3 virbr0 bridge\nlink 4 vnet0 other port\naddr eth0 192.168.1.9/24\n"
     "addr virbr0 192.168.122.1/24\ndefault 4 eth0 100\n",
     "eth0: 192.168.1.9", "192.168.1.9", "192.168.1.9", "192.168.122.1", NP_ADDRESS_NOT_LAN, NP_ADDRESS_NOT_LAN},
    {"a container whose card has the default route", "host",
     "link 1 lo loopback\nlink 2 eth0 veth\naddr lo 127.0.0.1/8\naddr eth0 172.17.0.3/16\ndefault 4 eth0 0\n",
     "eth0: 172.17.0.3", "172.17.0.3", "172.17.0.3", NULL, 0, 0},
    {"docker's bridge named by the owner is a LAN", "host docker0",
     "link 2 eth0 physical\nlink 3 docker0 bridge\naddr eth0 192.168.1.9/24\naddr docker0 172.17.0.1/16\n"
     "default 4 eth0 0\n",
     "docker0: 172.17.0.1", "172.17.0.1", "172.17.0.1", "192.168.1.9", NP_ADDRESS_NOT_LAN, NP_ADDRESS_NOT_LAN},
    {"a VPN with a private address beside the cable, named by nobody", "host",
     "link 2 eth0 physical\nlink 7 wg0 tunnel\naddr eth0 192.168.1.9/24\naddr wg0 10.66.0.2/24\naddr wg0 fd66::2/64\n"
     "default 4 eth0 100\n",
     "eth0: 192.168.1.9", "192.168.1.9", "192.168.1.9", "fd66::2", NP_ADDRESS_NOT_LAN, NP_ADDRESS_NOT_LAN},
    {"a VPN that the owner names: its clients are the home's", "router br-lan wg0",
     "link 3 br-lan bridge\nlink 7 wg0 tunnel\naddr br-lan 192.168.1.1/24\naddr wg0 10.66.0.1/24\n",
     "br-lan: 192.168.1.1; wg0: 10.66.0.1", "192.168.1.1 10.66.0.1", "192.168.1.1 10.66.0.1", NULL, 0, 0},
    {"IPv4 by Wi-Fi and IPv6 by cable", "host",
     "link 2 eth0 physical\nlink 3 wlan0 physical\naddr eth0 fd42::9/64\naddr wlan0 192.168.1.10/24\n"
     "default 4 wlan0 600\ndefault 6 eth0 1024\n",
     "wlan0: 192.168.1.10; eth0: fd42::9", "192.168.1.10 fd42::9", "192.168.1.10 fd42::9", NULL, 0, 0},
    {"two uplinks in two subnets of one home", "host",
     "link 2 eth0 physical\nlink 3 eth1 physical\naddr eth0 192.168.1.9/24\naddr eth1 192.168.2.9/24\n"
     "default 4 eth0 100\ndefault 4 eth1 200\n",
     "eth0: 192.168.1.9; eth1: 192.168.2.9", "192.168.1.9 192.168.2.9", "192.168.1.9 192.168.2.9", NULL, 0, 0},
    {"two cards in the same subnet with one address each", "host",
     "link 2 eth0 physical\nlink 3 eth1 physical\naddr eth0 192.168.1.9/24\naddr eth1 192.168.1.10/24\n"
     "default 4 eth0 100\ndefault 4 eth1 200\n",
     "eth0: 192.168.1.9; eth1: 192.168.1.10", "192.168.1.9 192.168.1.10", "192.168.1.9 192.168.1.10", NULL, 0, 0},
    {"the same address on two cards is one", "host eth0 eth1",
     "link 2 eth0 physical\nlink 3 eth1 physical\naddr eth0 192.168.1.9/24\naddr eth1 192.168.1.9/24\n",
     "eth0: 192.168.1.9; eth1: 192.168.1.9", "192.168.1.9", "192.168.1.9", NULL, 0, 0},
    {"cable and Wi-Fi both without carrier: what there is stays", "host",
     "link 2 eth0 physical nocarrier\nlink 3 wlan0 physical nocarrier\naddr eth0 192.168.1.9/24\n"
     "addr wlan0 192.168.1.10/24\ndefault 4 eth0 100\ndefault 4 wlan0 600\n",
     "eth0: 192.168.1.9; wlan0: 192.168.1.10", "192.168.1.9 192.168.1.10", "192.168.1.9 192.168.1.10", NULL, 0, 0},
    {"a subnet replaced by the same one: the new address, while the old one is deprecated", "host",
     "link 2 eth0 physical\naddr eth0 192.168.1.9/24 deprecated\naddr eth0 192.168.1.30/24 secondary\n"
     "default 4 eth0 0\n",
     "eth0: 192.168.1.30 192.168.1.9", "192.168.1.30 192.168.1.9", "192.168.1.30", "192.168.1.9", NP_ADDRESS_USED,
     NP_ADDRESS_DEPRECATED},
    {"an IPv4 address that nobody renewed is deprecated, and the only one", "host",
     "link 2 eth0 physical\naddr eth0 192.168.1.9/24 deprecated\ndefault 4 eth0 0\n", "eth0: 192.168.1.9",
     "192.168.1.9", "192.168.1.9", NULL, 0, 0},
    {"a lease lost: link-local took its place", "host eth0",
     "link 2 eth0 physical\naddr eth0 169.254.7.7/16\naddr eth0 fe80::9/64\n", "eth0:", "", "", "fe80::9%2",
     NP_ADDRESS_LINK_LOCAL, NP_ADDRESS_LINK_LOCAL},
    {"a tentative address that is also link-local", "host eth0",
     "link 2 eth0 physical\naddr eth0 fe80::9/64 tentative\naddr eth0 192.168.1.9/24\n", "eth0: 192.168.1.9",
     "192.168.1.9", "192.168.1.9", "fe80::9%2", NP_ADDRESS_LINK_LOCAL, NP_ADDRESS_LINK_LOCAL},
    {"IPv6 only, all of it temporary", "host",
     "link 2 eth0 physical\naddr eth0 2a00:1::bbbb/64 temporary\naddr eth0 fe80::9/64\ndefault 6 eth0 0\n", "eth0:", "",
     "", "2a00:1::bbbb", NP_ADDRESS_TEMPORARY, NP_ADDRESS_TEMPORARY},
    {"IPv6 only with ULA, GUA and a deprecated GUA", "host",
     "link 2 eth0 physical\naddr eth0 fd42::9/64\naddr eth0 2a00:1::9/64\naddr eth0 2a00:2::9/64 deprecated\n"
     "default 6 eth0 0\n",
     "eth0: fd42::9 2a00:1::9 2a00:2::9", "fd42::9", "fd42::9", "2a00:2::9", NP_ADDRESS_USED, NP_ADDRESS_GLOBAL},
    {"a loopback alias is nobody's address but this machine's", "host lo eth0",
     "link 1 lo loopback\nlink 2 eth0 physical\naddr lo 127.0.0.1/8\naddr lo 10.255.0.1/32\naddr eth0 192.168.1.9/24\n",
     "lo: 10.255.0.1; eth0: 192.168.1.9", "10.255.0.1 192.168.1.9", "10.255.0.1 192.168.1.9", "127.0.0.1",
     NP_ADDRESS_LOOPBACK, NP_ADDRESS_LOOPBACK},
    {"a point-to-point LAN: both ends are in it", "router ptp0",
     "link 2 ptp0 physical\naddr ptp0 192.168.9.1/32 peer 192.168.9.2\n", "ptp0: 192.168.9.1", "192.168.9.1",
     "192.168.9.1", NULL, 0, 0},
    {"addresses of the benchmarking and documentation blocks that somebody configured", "host",
     "link 2 eth0 physical\naddr eth0 198.18.0.9/24\ndefault 4 eth0 0\n", "eth0: 198.18.0.9", "198.18.0.9", "",
     "198.18.0.9", NP_ADDRESS_USED, NP_ADDRESS_GLOBAL},
    {"a multicast address on a card is a mistake", "host eth0",
     "link 2 eth0 physical\naddr eth0 239.1.1.1/32\naddr eth0 192.168.1.9/24\n", "eth0: 192.168.1.9", "192.168.1.9",
     "192.168.1.9", "239.1.1.1", NP_ADDRESS_UNUSABLE, NP_ADDRESS_UNUSABLE},
    {"6to4 and NAT64 forms are not for clients", "host eth0",
     "link 2 eth0 physical\naddr eth0 2002:c0a8:109::1/64\naddr eth0 64:ff9b::c0a8:109/96\naddr eth0 192.168.1.9/24\n",
     "eth0: 192.168.1.9", "192.168.1.9", "192.168.1.9", "2002:c0a8:109::1", NP_ADDRESS_UNUSABLE, NP_ADDRESS_UNUSABLE},
    {"local-only on a host with everything", "host +local-only",
     "link 2 eth0 physical\naddr eth0 192.168.1.9/24\naddr eth0 fd42::9/64\naddr eth0 2a00:1::9/64\ndefault 4 eth0 0\n",
     "eth0: 192.168.1.9 fd42::9 2a00:1::9", "192.168.1.9 fd42::9", "", "fd42::9", NP_ADDRESS_USED,
     NP_ADDRESS_LOCAL_ONLY},
    {"the card with the default route is switched off", "host",
     "link 2 eth0 physical down\nlink 3 wlan0 physical\naddr eth0 192.168.1.9/24\naddr wlan0 192.168.1.10/24\n"
     "default 4 wlan0 600\n",
     "wlan0: 192.168.1.10", "192.168.1.10", "192.168.1.10", "192.168.1.9", NP_ADDRESS_NOT_LAN, NP_ADDRESS_NOT_LAN},
};

/* Why each interface is a LAN interface, or is none: "NAME word; NAME word" in the order of the snapshot. */
static const struct {
    const char *name, *role, *network, *links;
} interfaces[] = {
    {"named by the owner", "router br-lan",
     "link 1 lo loopback\nlink 2 wan physical\nlink 3 eth1 physical port\nlink 4 br-lan bridge\nlink 5 wg0 tunnel\n",
     "lo loopback; wan not-named; eth1 port; br-lan named; wg0 not-named"},
    {"a router's LAN is never guessed", "router",
     "link 1 lo loopback\nlink 2 eth0 physical\naddr eth0 192.168.1.1/24\n", "lo loopback; eth0 unnamed"},
    {"a host's is found by its default route", "host",
     "link 1 lo loopback\nlink 2 eth0 physical\nlink 3 eth1 physical\nlink 4 eth2 physical\nlink 5 wg0 tunnel\n"
     "link 6 docker0 bridge\nlink 7 veth1 veth port\nlink 8 eth3 physical down\naddr eth0 192.168.1.9/24\n"
     "addr eth1 10.0.0.9/24\naddr docker0 172.17.0.1/16\ndefault 4 eth0 0\ndefault 4 wg0 10\n",
     "lo loopback; eth0 route; eth1 no-route; eth2 no-address; wg0 tunnel; docker0 container; veth1 port; eth3 down"},
    {"without a default route: the ordinary ones", "host",
     "link 2 eth0 physical\nlink 3 docker0 bridge\naddr eth0 192.168.1.9/24\naddr docker0 172.17.0.1/16\n",
     "eth0 plain; docker0 container"},
    {"in a container: its own card", "host", "link 1 lo loopback\nlink 2 eth0 veth\naddr eth0 10.0.3.5/24\n",
     "lo loopback; eth0 card"},
};

#endif

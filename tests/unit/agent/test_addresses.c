/* Situations of homes, and what the box answers and publishes in each. A situation is written as lines of text that a
 * person can read:
 *
 *   link INDEX NAME KIND [down] [nocarrier] [port]
 *   addr NAME ADDRESS/LENGTH [secondary] [temporary] [deprecated] [tentative] [dadfailed] [peer ADDRESS]
 *   default 4|6 NAME METRIC */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "agent/network/addresses.h"
#include "resolver/base/admit.h"

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
};

static enum np_link_kind kind_of(const char *word)
{
    static const char *const words[] = {
        [NP_LINK_PHYSICAL] = "physical", [NP_LINK_LOOPBACK] = "loopback", [NP_LINK_BRIDGE] = "bridge",
        [NP_LINK_VLAN] = "vlan",         [NP_LINK_BOND] = "bond",         [NP_LINK_VETH] = "veth",
        [NP_LINK_PPP] = "ppp",           [NP_LINK_TUNNEL] = "tunnel",     [NP_LINK_OTHER] = "other",
    };
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (strcmp(words[i], word) == 0)
            return (enum np_link_kind)i;
    }
    fail_msg("no kind %s", word);
    return NP_LINK_OTHER;
}

static char *next_word(char **at)
{
    char *word = strsep(at, " ");
    if (!word)
        fail_msg("a word is missing");
    return word;
}

static uint32_t index_of(const struct np_network *network, const char *name)
{
    const struct np_link *link = np_network_link_named(network, name);
    if (!link)
        fail_msg("no link %s", name);
    return link->index;
}

static void read_address(struct np_network *network, char *at)
{
    struct np_link_address *address = &network->addresses[network->address_count++];
    address->ifindex = index_of(network, next_word(&at));
    char *text = next_word(&at), *slash = strchr(text, '/');
    *slash = 0;
    address->prefix.length = (uint8_t)strtol(slash + 1, NULL, 10);
    assert_int_equal(np_addr_parse(text, &address->prefix.addr), 0);
    if (np_addr_classify(&address->prefix.addr) == NP_ADDR_LINK_LOCAL && address->prefix.addr.family == AF_INET6)
        address->prefix.addr.scope = address->ifindex;
    for (char *word; (word = strsep(&at, " "));) {
        address->secondary |= strcmp(word, "secondary") == 0;
        address->temporary |= strcmp(word, "temporary") == 0;
        address->deprecated |= strcmp(word, "deprecated") == 0;
        address->tentative |= strcmp(word, "tentative") == 0;
        address->dad_failed |= strcmp(word, "dadfailed") == 0;
        if (strcmp(word, "peer") == 0)
            assert_int_equal(np_addr_parse(next_word(&at), &address->peer), 0);
    }
}

static void read_network(const char *text, struct np_network *network)
{
    char *copy = strdup(text), *rest = copy;
    memset(network, 0, sizeof *network);
    for (char *line; (line = strsep(&rest, "\n")) && *line;) {
        char *at = line, *what = next_word(&at);
        if (strcmp(what, "link") == 0) {
            struct np_link *link = &network->links[network->link_count++];
            link->index = (uint32_t)strtol(next_word(&at), NULL, 10);
            snprintf(link->name, sizeof link->name, "%s", next_word(&at));
            link->kind = kind_of(next_word(&at));
            link->loopback = link->kind == NP_LINK_LOOPBACK;
            link->up = link->running = true;
            for (char *word; (word = strsep(&at, " "));) {
                link->bridge_port |= strcmp(word, "port") == 0;
                link->running &= strcmp(word, "nocarrier") != 0 && strcmp(word, "down") != 0;
                link->up &= strcmp(word, "down") != 0;
            }
        } else if (strcmp(what, "addr") == 0) {
            read_address(network, at);
        } else {
            struct np_default_route *route = &network->routes[network->route_count++];
            route->family = strcmp(next_word(&at), "4") == 0 ? AF_INET : AF_INET6;
            route->ifindex = index_of(network, next_word(&at));
            route->metric = (uint32_t)strtol(next_word(&at), NULL, 10);
        }
    }
    free(copy);
    np_network_sort(network);
    assert_int_equal(network->dropped, 0);
}

static struct np_address_policy read_policy(const char *text)
{
    struct np_address_policy policy = {0};
    char copy[128], *at = copy;
    snprintf(copy, sizeof copy, "%s", text);
    policy.role = strcmp(next_word(&at), "router") == 0 ? NP_ROLE_ROUTER : NP_ROLE_HOST;
    for (char *word; (word = strsep(&at, " "));) {
        if (word[0] != '+')
            snprintf(policy.lan[policy.lan_count++], NP_LINK_NAME_MAX, "%s", word);
        policy.publish_shared |= strcmp(word, "+shared") == 0;
        policy.local_only |= strcmp(word, "+local-only") == 0;
        policy.no_global |= strcmp(word, "+no-global") == 0;
    }
    return policy;
}

static void append(char *out, size_t size, const char *separator, const char *text)
{
    size_t len = strlen(out);
    snprintf(out + len, size - len, "%s%s", separator, text);
}

static void print_set(const struct np_addresses *set, char *out, size_t size)
{
    char text[NP_ADDR_TEXT_MAX];
    out[0] = 0;
    for (size_t i = 0; i < set->v4_count; i++)
        append(out, size, *out ? " " : "", np_addr_format(&set->v4[i], text));
    for (size_t i = 0; i < set->v6_count; i++)
        append(out, size, *out ? " " : "", np_addr_format(&set->v6[i], text));
}

static void print_answers(const struct np_address_choice *choice, char *out, size_t size)
{
    char text[NP_ADDR_TEXT_MAX];
    out[0] = 0;
    for (size_t i = 0; i < choice->interface_count; i++) {
        const struct np_choice_interface *interface = &choice->interfaces[i];
        append(out, size, *out ? "; " : "", interface->name);
        append(out, size, ":", "");
        for (size_t k = 0; k < interface->v4_count; k++)
            append(out, size, " ", np_addr_format(&interface->v4[k].addr, text));
        for (size_t k = 0; k < interface->v6_count; k++)
            append(out, size, " ", np_addr_format(&interface->v6[k].addr, text));
    }
}

static void expect(const char *situation, const char *what, const char *got, const char *wanted)
{
    if (strcmp(got, wanted) != 0)
        fail_msg("%s: %s is '%s', wanted '%s'", situation, what, got, wanted);
}

/* The same facts found in another order must give the same choice. */
static void turn_round(struct np_network *network)
{
    for (size_t i = 0; i < network->address_count / 2; i++) {
        struct np_link_address kept = network->addresses[i];
        network->addresses[i] = network->addresses[network->address_count - 1 - i];
        network->addresses[network->address_count - 1 - i] = kept;
    }
    np_network_sort(network);
}

static void test_situations(void **state)
{
    static struct np_network network;
    static struct np_address_choice choice, again;
    char text[1024];
    (void)state;
    for (size_t i = 0; i < sizeof situations / sizeof *situations; i++) {
        const struct situation *row = &situations[i];
        struct np_address_policy policy = read_policy(row->role);
        read_network(row->network, &network);
        np_addresses_choose(&policy, &network, &choice);
        print_answers(&choice, text, sizeof text);
        expect(row->name, "answered", text, row->answers);
        print_set(&choice.primary, text, sizeof text);
        expect(row->name, "primary", text, row->primary);
        print_set(&choice.publish, text, sizeof text);
        expect(row->name, "published", text, row->publish);
        bool found = !row->reason_for;
        for (size_t k = 0; k < network.address_count && row->reason_for; k++) {
            np_addr_format(&network.addresses[k].prefix.addr, text);
            if (strcmp(text, row->reason_for) != 0)
                continue;
            found = true;
            expect(row->name, "reason for not answering", np_address_reason_text(choice.verdicts[k].answered),
                   np_address_reason_text(row->answered));
            expect(row->name, "reason for not publishing", np_address_reason_text(choice.verdicts[k].published),
                   np_address_reason_text(row->published));
        }
        if (!found)
            fail_msg("%s: no address %s", row->name, row->reason_for);
        turn_round(&network);
        np_addresses_choose(&policy, &network, &again);
        assert_true(np_address_choice_equal(&choice, &again));
    }
}

static void choose(const char *role, const char *text, struct np_address_choice *out)
{
    static struct np_network network;
    struct np_address_policy policy = read_policy(role);
    read_network(text, &network);
    np_addresses_choose(&policy, &network, out);
}

static bool admitted(const struct np_address_choice *choice, const char *text, uint32_t ifindex)
{
    struct np_admit admit = {0};
    struct np_addr addr;
    for (size_t i = 0; i < choice->subnet_count; i++)
        assert_int_equal(np_admit_add_subnet(&admit, &choice->subnets[i].prefix, choice->subnets[i].ifindex), 0);
    assert_int_equal(np_addr_parse(text, &addr), 0);
    return np_admit(&admit, &addr, ifindex);
}

static void test_subnets(void **state)
{
    static struct np_address_choice choice;
    (void)state;
    choose("router br-lan eth2",
           "link 2 wan physical\nlink 3 br-lan bridge\nlink 4 eth2 physical\naddr wan 10.0.0.5/8\n"
           "addr br-lan 192.168.1.1/24\naddr br-lan fd42::1/64\naddr br-lan fd42::aaaa/64 temporary\n"
           "addr eth2 fe80::2/64\naddr br-lan 10.9.9.1/0\naddr br-lan fd77::1/64 dadfailed\n",
           &choice);
    assert_true(admitted(&choice, "192.168.1.77", 3));
    assert_true(admitted(&choice, "fd42::77", 3));
    assert_true(admitted(&choice, "fe80::77", 4)); /* a LAN with link-local addresses only */
    assert_false(admitted(&choice, "fe80::77", 2));
    assert_false(admitted(&choice, "10.0.0.77", 2));
    assert_false(admitted(&choice, "192.168.1.77", 2)); /* a LAN source spoofed on the WAN */
    assert_false(admitted(&choice, "8.8.8.8", 3));      /* a /0 is no subnet */
    assert_false(admitted(&choice, "fd77::5", 3));
    size_t ula = 0;
    for (size_t i = 0; i < choice.subnet_count; i++)
        ula += choice.subnets[i].prefix.length == 64 && choice.subnets[i].prefix.addr.bytes[1] == 0x42;
    assert_int_equal(ula, 1); /* two addresses, one subnet */
}

static void test_view(void **state)
{
    static struct np_address_choice choice;
    static struct np_view view;
    (void)state;
    choose("router br-lan",
           "link 3 br-lan bridge\naddr br-lan 192.168.1.1/24\naddr br-lan fd42::1/64\n"
           "addr br-lan fd42::aaaa/64 temporary\naddr br-lan fe80::1/64\n",
           &choice);
    memset(&view, 0, sizeof view);
    view.serial = 17;
    view.interface_count = 9;
    np_address_choice_to_view(&choice, &view);
    assert_int_equal(view.serial, 17); /* what is not ours stays */
    assert_int_equal(view.interface_count, 1);
    assert_int_equal(view.interfaces[0].index, 3);
    assert_string_equal(view.interfaces[0].name, "br-lan");
    assert_true(view.interfaces[0].lan);
    assert_int_equal(view.interfaces[0].v4_count, 1);
    assert_int_equal(view.interfaces[0].v4[0].length, 24);
    assert_int_equal(view.interfaces[0].v4[0].addr.bytes[3], 1); /* host bits are kept */
    assert_int_equal(view.interfaces[0].v6_count, 2);
    assert_int_equal(view.interfaces[0].v6[1].addr.scope, 0);
    assert_int_equal(np_addr_classify(&view.interfaces[0].v6[1].addr), NP_ADDR_LINK_LOCAL);
    assert_int_equal(view.primary_v4_count, 1);
    assert_int_equal(view.primary_v6_count, 1);
}

static void test_missing_and_equal(void **state)
{
    static struct np_address_choice a, b;
    (void)state;
    choose("router br-lan br-guest", "link 3 br-lan bridge\naddr br-lan 192.168.1.1/24\n", &a);
    assert_int_equal(a.missing_lan_count, 1);
    assert_string_equal(a.missing_lan[0], "br-guest");
    choose("router br-lan", "link 3 br-lan bridge nocarrier\naddr br-lan 192.168.1.1/24\n", &b);
    assert_true(np_address_choice_equal(&a, &b)); /* carrier alone is no difference for a router */
    choose("router br-lan", "link 3 br-lan bridge\naddr br-lan 192.168.1.1/25\n", &b);
    assert_false(np_address_choice_equal(&a, &b));
    choose("router br-lan", "link 4 br-lan bridge\naddr br-lan 192.168.1.1/24\n", &b);
    assert_false(np_address_choice_equal(&a, &b));
    choose("router br-lan", "link 3 br-lan bridge\naddr br-lan 192.168.1.1/24\naddr br-lan fe80::1/64\n", &b);
    assert_false(np_address_choice_equal(&a, &b));
}

/* Every table full: nothing is written past its end. */
static void test_limits(void **state)
{
    static struct np_network network;
    static struct np_address_choice choice;
    struct np_address_policy policy = {.role = NP_ROLE_HOST};
    (void)state;
    memset(&network, 0, sizeof network);
    for (uint32_t i = 0; i < NP_NETWORK_LINKS_MAX; i++) {
        struct np_link *link = &network.links[network.link_count++];
        *link = (struct np_link){.index = i + 1, .up = true, .running = true};
        snprintf(link->name, sizeof link->name, "eth%u", (unsigned)i);
    }
    for (uint32_t i = 0; i < NP_NETWORK_ADDRESSES_MAX; i++) {
        struct np_link_address *address = &network.addresses[network.address_count++];
        uint8_t bytes[4] = {10, (uint8_t)(i >> 8), (uint8_t)i, 1};
        *address = (struct np_link_address){.ifindex = i % NP_NETWORK_LINKS_MAX + 1};
        address->prefix = (struct np_prefix){np_addr_from_bytes(bytes, 4), 24};
    }
    np_addresses_choose(&policy, &network, &choice);
    assert_int_equal(choice.interface_count, NP_NETWORK_LINKS_MAX);
    assert_int_equal(choice.interfaces[0].v4_count, NP_CHOICE_V4_MAX);
    assert_int_equal(choice.subnet_count, NP_ADMIT_SUBNETS_MAX);
    assert_int_equal(choice.publish.v4_count, NP_PUBLISH_V4_MAX);
    size_t over = 0;
    for (size_t i = 0; i < network.address_count; i++)
        over += choice.verdicts[i].answered == NP_ADDRESS_OVER_LIMIT;
    assert_int_equal(over, NP_NETWORK_ADDRESSES_MAX - NP_NETWORK_LINKS_MAX * NP_CHOICE_V4_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_situations),        cmocka_unit_test(test_subnets), cmocka_unit_test(test_view),
        cmocka_unit_test(test_missing_and_equal), cmocka_unit_test(test_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* agent/network/addresses on the situations of situations.h, and its limits. */
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
#include "tests/unit/agent/situations.h"

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

/* A LAN interface is one that is picked, and the other way round; one that is named but switched off answers nothing.
 */
static void check_links(const char *name, const struct np_network *network, const struct np_address_choice *choice)
{
    for (size_t i = 0; i < network->link_count; i++) {
        bool lan = false;
        for (size_t k = 0; k < choice->interface_count; k++)
            lan |= choice->interfaces[k].index == network->links[i].index;
        if (lan != (choice->links[i] < NP_PICK_LOOPBACK && network->links[i].up))
            fail_msg("%s: %s is %s", name, network->links[i].name, np_pick_reason_text(choice->links[i]));
    }
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
        check_links(row->name, &network, &choice);
        turn_round(&network);
        np_addresses_choose(&policy, &network, &again);
        assert_true(np_address_choice_equal(&choice, &again));
    }
}

static void test_interfaces(void **state)
{
    static struct np_network network;
    static struct np_address_choice choice;
    (void)state;
    for (size_t i = 0; i < sizeof interfaces / sizeof *interfaces; i++) {
        struct np_address_policy policy = read_policy(interfaces[i].role);
        char text[1024] = "";
        read_network(interfaces[i].network, &network);
        np_addresses_choose(&policy, &network, &choice);
        for (size_t k = 0; k < network.link_count; k++) {
            append(text, sizeof text, k ? "; " : "", network.links[k].name);
            append(text, sizeof text, " ", np_pick_reason_word(choice.links[k]));
        }
        expect(interfaces[i].name, "why", text, interfaces[i].links);
    }
}

/* Every reason has a text and a word of its own. */
static void test_reasons(void **state)
{
    (void)state;
    for (int i = 0; i <= NP_ADDRESS_LOCAL_ONLY; i++) {
        assert_true(strlen(np_address_reason_text(i)) > 3);
        assert_true(strspn(np_address_reason_word(i), "abcdefghijklmnopqrstuvwxyz-") ==
                    strlen(np_address_reason_word(i)));
        for (int k = 0; k < i; k++)
            assert_string_not_equal(np_address_reason_word(i), np_address_reason_word(k));
    }
    for (int i = 0; i <= NP_PICK_NO_ADDRESS; i++) {
        for (int k = 0; k < i; k++)
            assert_string_not_equal(np_pick_reason_word(i), np_pick_reason_word(k));
    }
    assert_string_equal(np_address_reason_word(NP_ADDRESS_DAD_FAILED), "dad-failed");
    assert_string_equal(np_address_reason_word(NP_ADDRESS_LOCAL_ONLY + 1), "unknown");
    assert_string_equal(np_pick_reason_text(NP_PICK_NO_ADDRESS + 1), "unknown");
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
        cmocka_unit_test(test_situations), cmocka_unit_test(test_interfaces), cmocka_unit_test(test_reasons),
        cmocka_unit_test(test_subnets),    cmocka_unit_test(test_view),       cmocka_unit_test(test_missing_and_equal),
        cmocka_unit_test(test_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

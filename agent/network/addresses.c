#include "agent/network/addresses.h"

#include <stdlib.h>
#include <string.h>

#include "resolver/base/error.h"

/* The LAN interfaces that were picked, best first. */
struct picked {
    const struct np_link *links[NP_CHOICE_INTERFACES_MAX];
    enum np_pick_reason reasons[NP_CHOICE_INTERFACES_MAX];
    size_t count;
};

static bool is_picked(const struct picked *picked, uint32_t index)
{
    for (size_t i = 0; i < picked->count; i++) {
        if (picked->links[i]->index == index)
            return true;
    }
    return false;
}

static void pick(struct picked *picked, const struct np_link *link, enum np_pick_reason reason)
{
    if (!link || picked->count == NP_CHOICE_INTERFACES_MAX || is_picked(picked, link->index))
        return;
    picked->reasons[picked->count] = reason;
    picked->links[picked->count++] = link;
}

static bool is_hex(const char *text, size_t len)
{
    return strlen(text) == len && strspn(text, "0123456789abcdef") == len;
}

/* Bridges that container and VM programs make for their own guests: never a person's LAN unless named. */
static bool is_container_bridge(const struct np_link *link)
{
    static const char *const prefixes[] = {"docker", "virbr", "lxcbr", "lxdbr", "incusbr", "podman", "cni"};
    if (link->kind != NP_LINK_BRIDGE)
        return false;
    for (size_t i = 0; i < sizeof prefixes / sizeof *prefixes; i++) {
        if (strncmp(link->name, prefixes[i], strlen(prefixes[i])) == 0)
            return true;
    }
    return strncmp(link->name, "br-", 3) == 0 && is_hex(link->name + 3, 12); /* a docker network */
}

/* Made for guests: a container's card, or the bridge between them. */
static bool is_guests(const struct np_link *link)
{
    return link->kind == NP_LINK_VETH || link->kind == NP_LINK_OTHER || is_container_bridge(link);
}

static bool is_tunnel(const struct np_link *link)
{
    return link->kind == NP_LINK_TUNNEL || link->kind == NP_LINK_PPP;
}

static bool has_usable_address(const struct np_network *network, uint32_t index)
{
    for (size_t i = 0; i < network->address_count; i++) {
        enum np_addr_class class = np_addr_classify(&network->addresses[i].prefix.addr);
        if (network->addresses[i].ifindex == index && class != NP_ADDR_LINK_LOCAL && class != NP_ADDR_LOOPBACK)
            return true;
    }
    return false;
}

/* A host without `lan =`; see the head of addresses.h. */
static void pick_for_host(const struct np_network *network, struct picked *picked)
{
    for (size_t i = 0; i < network->route_count; i++) {
        const struct np_link *link = np_network_link(network, network->routes[i].ifindex);
        if (link && link->up && !link->loopback && !is_tunnel(link))
            pick(picked, link, NP_PICK_ROUTE);
    }
    for (int own_card = 1; own_card >= 0 && picked->count == 0; own_card--) {
        for (size_t i = 0; i < network->link_count; i++) {
            const struct np_link *link = &network->links[i];
            bool container = is_guests(link);
            if (!link->up || link->loopback || link->bridge_port || is_tunnel(link) ||
                !has_usable_address(network, link->index))
                continue;
            if (own_card ? !container : link->kind == NP_LINK_VETH)
                pick(picked, link, own_card ? NP_PICK_PLAIN : NP_PICK_CARD);
        }
    }
}

static void pick_lan(const struct np_address_policy *policy, const struct np_network *network, struct picked *picked,
                     struct np_address_choice *out)
{
    for (size_t i = 0; i < policy->lan_count && i < NP_LAN_MAX; i++) {
        const struct np_link *link = np_network_link_named(network, policy->lan[i]);
        if (link)
            pick(picked, link, NP_PICK_NAMED);
        else
            memcpy(out->missing_lan[out->missing_lan_count++], policy->lan[i], NP_LINK_NAME_MAX);
    }
    if (policy->lan_count == 0 && policy->role == NP_ROLE_HOST)
        pick_for_host(network, picked);
}

/* Why an interface that was not picked is none; what a person would look at first comes first. */
static enum np_pick_reason judge_unpicked(const struct np_address_policy *policy, const struct np_network *network,
                                          const struct np_link *link)
{
    if (link->loopback)
        return NP_PICK_LOOPBACK;
    if (policy->lan_count > 0)
        return link->bridge_port ? NP_PICK_PORT : NP_PICK_NOT_NAMED;
    if (policy->role == NP_ROLE_ROUTER)
        return NP_PICK_UNNAMED;
    if (!link->up)
        return NP_PICK_DOWN;
    if (link->bridge_port)
        return NP_PICK_PORT;
    if (is_tunnel(link))
        return NP_PICK_TUNNEL;
    if (is_guests(link))
        return NP_PICK_CONTAINER;
    return has_usable_address(network, link->index) ? NP_PICK_NO_ROUTE : NP_PICK_NO_ADDRESS;
}

static void judge_links(const struct np_address_policy *policy, const struct np_network *network,
                        const struct picked *picked, struct np_address_choice *out)
{
    for (size_t i = 0; i < network->link_count; i++) {
        out->links[i] = (uint8_t)judge_unpicked(policy, network, &network->links[i]);
        for (size_t j = 0; j < picked->count; j++) {
            if (picked->links[j] == &network->links[i])
                out->links[i] = (uint8_t)picked->reasons[j];
        }
    }
}

static bool is_global(enum np_addr_class class)
{
    /* Documentation and benchmarking ranges that somebody really configured serve their own subnet like global ones. */
    return class == NP_ADDR_GLOBAL || class == NP_ADDR_RESERVED;
}

static enum np_address_reason judge_answer(const struct np_address_policy *policy, const struct np_network *network,
                                           const struct picked *picked, const struct np_link_address *address)
{
    enum np_addr_class class = np_addr_classify(&address->prefix.addr);
    const struct np_link *link = np_network_link(network, address->ifindex);
    if (class == NP_ADDR_LOOPBACK)
        return NP_ADDRESS_LOOPBACK;
    if (!link || !is_picked(picked, address->ifindex))
        return NP_ADDRESS_NOT_LAN;
    if (!link->up)
        return NP_ADDRESS_LINK_DOWN;
    if (address->dad_failed)
        return NP_ADDRESS_DAD_FAILED;
    if (class == NP_ADDR_LINK_LOCAL)
        return NP_ADDRESS_LINK_LOCAL;
    if (class != NP_ADDR_PRIVATE && class != NP_ADDR_SHARED && class != NP_ADDR_ULA && !is_global(class))
        return NP_ADDRESS_UNUSABLE;
    if (address->tentative)
        return NP_ADDRESS_TENTATIVE;
    if (address->temporary)
        return NP_ADDRESS_TEMPORARY;
    return is_global(class) && policy->no_global ? NP_ADDRESS_GLOBAL_OFF : NP_ADDRESS_USED;
}

/* An answered address on its way into the sets. */
struct candidate {
    const struct np_link_address *address;
    const struct np_link *link;
    size_t index; /* in the snapshot */
    size_t rank;  /* of its interface among the LAN interfaces */
    bool global;
};

struct candidates {
    struct candidate rows[NP_NETWORK_ADDRESSES_MAX];
    size_t count;
};

/* Best first: preferred before deprecated, first addresses of subnets before secondary ones, then the private before
 * the global, the interfaces' order, and the address itself, so that the order has no history. */
static int order_candidates(const void *x, const void *y)
{
    const struct candidate *a = x, *b = y;
    if (a->address->deprecated != b->address->deprecated)
        return a->address->deprecated ? 1 : -1;
    if (a->address->secondary != b->address->secondary)
        return a->address->secondary ? 1 : -1;
    if (a->global != b->global)
        return a->global ? 1 : -1;
    if (a->rank != b->rank)
        return a->rank < b->rank ? -1 : 1;
    int order = np_addr_compare(&a->address->prefix.addr, &b->address->prefix.addr);
    return order ? order : (int)a->address->prefix.length - (int)b->address->prefix.length;
}

static bool is_v4(const struct candidate *candidate)
{
    return candidate->address->prefix.addr.family == AF_INET;
}

/* The same address may stand on one interface with two lengths, and on two interfaces. */
static bool holds(const struct np_addresses *set, const struct np_addr *addr)
{
    const struct np_addr *list = addr->family == AF_INET ? set->v4 : set->v6;
    size_t count = addr->family == AF_INET ? set->v4_count : set->v6_count;
    for (size_t i = 0; i < count; i++) {
        if (np_addr_equal(&list[i], addr))
            return true;
    }
    return false;
}

static bool add_to_set(struct np_addresses *set, const struct np_addr *addr)
{
    bool v4 = addr->family == AF_INET;
    if (holds(set, addr))
        return true;
    if (v4 ? set->v4_count >= NP_PUBLISH_V4_MAX : set->v6_count >= NP_PUBLISH_V6_MAX)
        return false;
    if (v4)
        set->v4[set->v4_count++] = *addr;
    else
        set->v6[set->v6_count++] = *addr;
    return true;
}

static bool add_to_interface(struct np_choice_interface *interface, const struct np_prefix *prefix)
{
    bool v4 = prefix->addr.family == AF_INET;
    struct np_prefix *list = v4 ? interface->v4 : interface->v6;
    size_t *count = v4 ? &interface->v4_count : &interface->v6_count;
    for (size_t i = 0; i < *count; i++) {
        if (np_addr_equal(&list[i].addr, &prefix->addr))
            return true;
    }
    if (*count >= (v4 ? NP_CHOICE_V4_MAX : NP_CHOICE_V6_MAX))
        return false;
    list[(*count)++] = *prefix;
    return true;
}

static enum np_address_reason judge_class(const struct np_address_policy *policy, const struct candidate *candidate)
{
    if (policy->local_only)
        return NP_ADDRESS_LOCAL_ONLY;
    if (candidate->global)
        return NP_ADDRESS_GLOBAL;
    bool shared = np_addr_classify(&candidate->address->prefix.addr) == NP_ADDR_SHARED;
    return shared && !policy->publish_shared ? NP_ADDRESS_SHARED : NP_ADDRESS_USED;
}

/* Another candidate of the family that passes the class test and is better in the way asked for? */
static bool better_exists(const struct np_address_policy *policy, const struct candidates *candidates,
                          const struct candidate *than, bool by_carrier)
{
    for (size_t i = 0; i < candidates->count; i++) {
        const struct candidate *other = &candidates->rows[i];
        if (is_v4(other) != is_v4(than) || judge_class(policy, other) != NP_ADDRESS_USED)
            continue;
        if (by_carrier ? other->link->running : !other->address->deprecated)
            return true;
    }
    return false;
}

static enum np_address_reason judge_publish(const struct np_address_policy *policy, const struct candidates *candidates,
                                            const struct candidate *candidate)
{
    enum np_address_reason reason = judge_class(policy, candidate);
    if (reason != NP_ADDRESS_USED)
        return reason;
    if (policy->role == NP_ROLE_HOST && !candidate->link->running && better_exists(policy, candidates, candidate, true))
        return NP_ADDRESS_NO_CARRIER;
    if (candidate->address->deprecated && better_exists(policy, candidates, candidate, false))
        return NP_ADDRESS_DEPRECATED;
    return NP_ADDRESS_USED;
}

/* Two passes: the LAN's own addresses, and the global ones only where that gave nothing at all. */
static void fill_primary(const struct np_address_policy *policy, const struct candidates *candidates,
                         struct np_addresses *primary)
{
    for (int global = 0; global <= 1 && primary->v4_count + primary->v6_count == 0; global++) {
        bool carrier[2] = {false, false};
        for (size_t i = 0; i < candidates->count; i++) {
            const struct candidate *row = &candidates->rows[i];
            if (row->global == (global != 0) && row->link->running)
                carrier[is_v4(row)] = true;
        }
        for (size_t i = 0; i < candidates->count; i++) {
            const struct candidate *row = &candidates->rows[i];
            bool silent = policy->role == NP_ROLE_HOST && !row->link->running && carrier[is_v4(row)];
            if (row->global == (global != 0) && !silent)
                (void)add_to_set(primary, &row->address->prefix.addr);
        }
    }
}

static void add_subnet(struct np_address_choice *out, const struct np_link_address *address)
{
    const struct np_addr *addr = address->peer.family != AF_UNSPEC ? &address->peer : &address->prefix.addr;
    struct np_prefix subnet = np_prefix_of(addr, address->prefix.length);
    if (subnet.length == 0)
        return; /* "everybody" is no subnet */
    for (size_t i = 0; i < out->subnet_count; i++) {
        const struct np_admit_subnet *row = &out->subnets[i];
        if (row->ifindex == address->ifindex && row->prefix.length == subnet.length &&
            np_addr_equal(&row->prefix.addr, &subnet.addr))
            return;
    }
    if (out->subnet_count < NP_ADMIT_SUBNETS_MAX)
        out->subnets[out->subnet_count++] = (struct np_admit_subnet){subnet, address->ifindex};
}

static void start_interfaces(const struct picked *picked, struct np_address_choice *out)
{
    for (size_t i = 0; i < picked->count; i++) {
        if (!picked->links[i]->up)
            continue;
        struct np_choice_interface *interface = &out->interfaces[out->interface_count++];
        interface->index = picked->links[i]->index;
        interface->running = picked->links[i]->running;
        memcpy(interface->name, picked->links[i]->name, sizeof interface->name);
    }
}

static struct np_choice_interface *interface_of(struct np_address_choice *out, uint32_t index, size_t *out_rank)
{
    for (size_t i = 0; i < out->interface_count; i++) {
        if (out->interfaces[i].index == index) {
            *out_rank = i;
            return &out->interfaces[i];
        }
    }
    return NULL;
}

/* Judges every address by itself, gathers the answered ones, the subnets and the link-local addresses. */
static void gather(const struct np_address_policy *policy, const struct np_network *network,
                   const struct picked *picked, struct candidates *candidates, struct np_address_choice *out)
{
    for (size_t i = 0; i < network->address_count; i++) {
        const struct np_link_address *address = &network->addresses[i];
        enum np_address_reason reason = judge_answer(policy, network, picked, address);
        out->verdicts[i] = (struct np_address_verdict){(uint8_t)reason, (uint8_t)reason};
        size_t rank = 0;
        struct np_choice_interface *interface = interface_of(out, address->ifindex, &rank);
        if (!interface || address->dad_failed)
            continue;
        if (reason != NP_ADDRESS_LOOPBACK && reason != NP_ADDRESS_UNUSABLE)
            add_subnet(out, address);
        if (reason == NP_ADDRESS_LINK_LOCAL && address->prefix.addr.family == AF_INET6 && !address->tentative &&
            interface->link_local.addr.family == AF_UNSPEC)
            interface->link_local = address->prefix;
        if (reason == NP_ADDRESS_USED) {
            bool global = is_global(np_addr_classify(&address->prefix.addr));
            const struct np_link *link = np_network_link(network, address->ifindex);
            candidates->rows[candidates->count++] = (struct candidate){address, link, i, rank, global};
        }
    }
    qsort(candidates->rows, candidates->count, sizeof *candidates->rows, order_candidates);
}

void np_addresses_choose(const struct np_address_policy *policy, const struct np_network *network,
                         struct np_address_choice *out_choice)
{
    struct picked picked = {.count = 0};
    struct candidates candidates;
    candidates.count = 0;
    memset(out_choice, 0, sizeof *out_choice);
    pick_lan(policy, network, &picked, out_choice);
    judge_links(policy, network, &picked, out_choice);
    start_interfaces(&picked, out_choice);
    gather(policy, network, &picked, &candidates, out_choice);
    for (size_t i = 0; i < candidates.count; i++) {
        const struct candidate *row = &candidates.rows[i];
        struct np_address_verdict *verdict = &out_choice->verdicts[row->index];
        if (!add_to_interface(&out_choice->interfaces[row->rank], &row->address->prefix))
            verdict->answered = NP_ADDRESS_OVER_LIMIT;
        verdict->published = (uint8_t)judge_publish(policy, &candidates, row);
        if (verdict->published == NP_ADDRESS_USED && !add_to_set(&out_choice->publish, &row->address->prefix.addr))
            verdict->published = NP_ADDRESS_OVER_LIMIT;
    }
    fill_primary(policy, &candidates, &out_choice->primary);
}

void np_address_choice_to_view(const struct np_address_choice *choice, struct np_view *view)
{
    _Static_assert(NP_CHOICE_INTERFACES_MAX <= NP_VIEW_INTERFACES_MAX, "a view holds every interface");
    _Static_assert(NP_CHOICE_V4_MAX <= NP_VIEW_ADDRESSES_MAX, "and its IPv4 addresses");
    _Static_assert(NP_CHOICE_V6_MAX < NP_VIEW_ADDRESSES_MAX, "and its IPv6 addresses with the link-local one");
    _Static_assert(NP_PUBLISH_V4_MAX <= NP_VIEW_PRIMARY_MAX && NP_PUBLISH_V6_MAX <= NP_VIEW_PRIMARY_MAX, "primary");
    memset(view->interfaces, 0, sizeof view->interfaces);
    view->interface_count = choice->interface_count;
    for (size_t i = 0; i < choice->interface_count; i++) {
        const struct np_choice_interface *from = &choice->interfaces[i];
        struct np_view_interface *to = &view->interfaces[i];
        to->index = from->index;
        to->lan = true;
        memcpy(to->name, from->name, sizeof to->name);
        to->v4_count = from->v4_count;
        to->v6_count = from->v6_count;
        memcpy(to->v4, from->v4, from->v4_count * sizeof *to->v4);
        memcpy(to->v6, from->v6, from->v6_count * sizeof *to->v6);
        if (from->link_local.addr.family != AF_UNSPEC) {
            to->v6[to->v6_count] = from->link_local;
            to->v6[to->v6_count++].addr.scope = 0; /* the interface says it */
        }
    }
    view->primary_v4_count = choice->primary.v4_count;
    view->primary_v6_count = choice->primary.v6_count;
    memcpy(view->primary_v4, choice->primary.v4, choice->primary.v4_count * sizeof *view->primary_v4);
    memcpy(view->primary_v6, choice->primary.v6, choice->primary.v6_count * sizeof *view->primary_v6);
}

const char *np_address_reason_text(enum np_address_reason reason)
{
    static const char *const texts[] = {
#define REASON(name, word, text) [name] = text,
        NP_ADDRESS_REASON_MAP(REASON)
#undef REASON
    };
    return (size_t)reason < sizeof texts / sizeof *texts ? texts[reason] : "unknown";
}

const char *np_pick_reason_text(enum np_pick_reason reason)
{
    static const char *const texts[] = {
#define REASON(name, word, text) [name] = text,
        NP_PICK_REASON_MAP(REASON)
#undef REASON
    };
    return (size_t)reason < sizeof texts / sizeof *texts ? texts[reason] : "unknown";
}

const char *np_address_reason_word(enum np_address_reason reason)
{
    static const char *const texts[] = {
#define REASON(name, word, text) [name] = word,
        NP_ADDRESS_REASON_MAP(REASON)
#undef REASON
    };
    return (size_t)reason < sizeof texts / sizeof *texts ? texts[reason] : "unknown";
}

const char *np_pick_reason_word(enum np_pick_reason reason)
{
    static const char *const texts[] = {
#define REASON(name, word, text) [name] = word,
        NP_PICK_REASON_MAP(REASON)
#undef REASON
    };
    return (size_t)reason < sizeof texts / sizeof *texts ? texts[reason] : "unknown";
}

static bool prefixes_equal(const struct np_prefix *a, size_t a_count, const struct np_prefix *b, size_t b_count)
{
    if (a_count != b_count)
        return false;
    for (size_t i = 0; i < a_count; i++) {
        if (a[i].length != b[i].length || !np_addr_equal(&a[i].addr, &b[i].addr))
            return false;
    }
    return true;
}

bool np_address_choice_equal(const struct np_address_choice *a, const struct np_address_choice *b)
{
    if (a->interface_count != b->interface_count || a->subnet_count != b->subnet_count ||
        !np_addresses_equal(&a->primary, &b->primary) || !np_addresses_equal(&a->publish, &b->publish))
        return false;
    for (size_t i = 0; i < a->interface_count; i++) {
        const struct np_choice_interface *x = &a->interfaces[i], *y = &b->interfaces[i];
        if (x->index != y->index || strcmp(x->name, y->name) != 0 ||
            !prefixes_equal(x->v4, x->v4_count, y->v4, y->v4_count) ||
            !prefixes_equal(x->v6, x->v6_count, y->v6, y->v6_count) ||
            !prefixes_equal(&x->link_local, 1, &y->link_local, 1))
            return false;
    }
    for (size_t i = 0; i < a->subnet_count; i++) {
        if (a->subnets[i].ifindex != b->subnets[i].ifindex ||
            !prefixes_equal(&a->subnets[i].prefix, 1, &b->subnets[i].prefix, 1))
            return false;
    }
    return true;
}

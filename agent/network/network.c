#include "agent/network/network.h"

#include <stdlib.h>
#include <string.h>

const struct np_link *np_network_link(const struct np_network *network, uint32_t index)
{
    for (size_t i = 0; i < network->link_count; i++) {
        if (network->links[i].index == index)
            return &network->links[i];
    }
    return NULL;
}

const struct np_link *np_network_link_named(const struct np_network *network, const char *name)
{
    for (size_t i = 0; i < network->link_count; i++) {
        if (strcmp(network->links[i].name, name) == 0)
            return &network->links[i];
    }
    return NULL;
}

static bool links_equal(const struct np_link *a, const struct np_link *b)
{
    return a->index == b->index && strcmp(a->name, b->name) == 0 && a->up == b->up && a->running == b->running &&
           a->loopback == b->loopback && a->point_to_point == b->point_to_point && a->bridge_port == b->bridge_port &&
           a->kind == b->kind && a->master == b->master;
}

/* Lifetimes are left out: a DHCP renewal is no change. Their end shows in the flags. */
static bool addresses_equal(const struct np_link_address *a, const struct np_link_address *b)
{
    return a->ifindex == b->ifindex && a->prefix.length == b->prefix.length &&
           np_addr_equal(&a->prefix.addr, &b->prefix.addr) && np_addr_equal(&a->peer, &b->peer) &&
           a->scope == b->scope && a->flags == b->flags;
}

static bool routes_equal(const struct np_default_route *a, const struct np_default_route *b)
{
    return a->family == b->family && a->ifindex == b->ifindex && a->metric == b->metric &&
           np_addr_equal(&a->gateway, &b->gateway);
}

bool np_network_equal(const struct np_network *a, const struct np_network *b)
{
    if (a->link_count != b->link_count || a->address_count != b->address_count || a->route_count != b->route_count ||
        a->dropped != b->dropped)
        return false;
    for (size_t i = 0; i < a->link_count; i++) {
        if (!links_equal(&a->links[i], &b->links[i]))
            return false;
    }
    for (size_t i = 0; i < a->address_count; i++) {
        if (!addresses_equal(&a->addresses[i], &b->addresses[i]))
            return false;
    }
    for (size_t i = 0; i < a->route_count; i++) {
        if (!routes_equal(&a->routes[i], &b->routes[i]))
            return false;
    }
    return true;
}

bool np_network_lost_address(const struct np_network *before, const struct np_network *now)
{
    for (size_t i = 0; i < before->address_count; i++) {
        const struct np_link_address *had = &before->addresses[i];
        size_t k = 0;
        while (k < now->address_count && (now->addresses[k].ifindex != had->ifindex ||
                                          !np_addr_equal(&now->addresses[k].prefix.addr, &had->prefix.addr)))
            k++;
        if (k == now->address_count)
            return true;
    }
    return false;
}

static int order_numbers(uint32_t a, uint32_t b)
{
    return a == b ? 0 : a < b ? -1 : 1;
}

static int order_links(const void *x, const void *y)
{
    const struct np_link *a = x, *b = y;
    return order_numbers(a->index, b->index);
}

static int order_addresses(const void *x, const void *y)
{
    const struct np_link_address *a = x, *b = y;
    int order = order_numbers(a->ifindex, b->ifindex);
    if (!order)
        order = np_addr_compare(&a->prefix.addr, &b->prefix.addr); /* AF_INET is below AF_INET6 */
    if (!order)
        order = order_numbers(a->prefix.length, b->prefix.length);
    return order ? order : np_addr_compare(&a->peer, &b->peer);
}

static int order_routes(const void *x, const void *y)
{
    const struct np_default_route *a = x, *b = y;
    int order = order_numbers(a->family, b->family);
    if (!order)
        order = order_numbers(a->metric, b->metric);
    if (!order)
        order = order_numbers(a->ifindex, b->ifindex);
    return order ? order : np_addr_compare(&a->gateway, &b->gateway);
}

void np_network_sort(struct np_network *network)
{
    size_t kept = 0;
    for (size_t i = 0; i < network->address_count; i++) {
        if (np_network_link(network, network->addresses[i].ifindex))
            network->addresses[kept++] = network->addresses[i];
        else
            network->dropped++;
    }
    network->address_count = kept;
    kept = 0;
    for (size_t i = 0; i < network->route_count; i++) {
        if (np_network_link(network, network->routes[i].ifindex))
            network->routes[kept++] = network->routes[i];
        else
            network->dropped++;
    }
    network->route_count = kept;
    qsort(network->links, network->link_count, sizeof *network->links, order_links);
    qsort(network->addresses, network->address_count, sizeof *network->addresses, order_addresses);
    qsort(network->routes, network->route_count, sizeof *network->routes, order_routes);
}

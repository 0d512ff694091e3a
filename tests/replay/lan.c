#include <string.h>

#include "tests/replay/box.h"

static struct np_link *find(struct np_network *network, const char *name)
{
    for (size_t i = 0; i < network->link_count; i++) {
        if (strcmp(network->links[i].name, name) == 0)
            return &network->links[i];
    }
    return NULL;
}

static enum np_link_kind kind_of(const char *name)
{
    static const struct {
        const char *prefix;
        enum np_link_kind kind;
    } kinds[] = {{"lo", NP_LINK_LOOPBACK}, {"br-", NP_LINK_BRIDGE}, {"docker", NP_LINK_BRIDGE}, {"veth", NP_LINK_VETH},
                 {"ppp", NP_LINK_PPP},     {"wg", NP_LINK_TUNNEL},  {"tun", NP_LINK_TUNNEL}};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (strncmp(name, kinds[i].prefix, strlen(kinds[i].prefix)) == 0)
            return kinds[i].kind;
    }
    return NP_LINK_PHYSICAL;
}

static struct np_link *add(struct box *box, const char *name)
{
    struct np_network *network = &box->network;
    uint32_t index = 1;
    if (network->link_count == NP_NETWORK_LINKS_MAX || strlen(name) >= NP_LINK_NAME_MAX)
        step_fail(box->step, "an interface's name, and not too many of them", "%s", name);
    for (size_t i = 0; i < network->link_count; i++)
        index = network->links[i].index >= index ? network->links[i].index + 1 : index;
    struct np_link *link = &network->links[network->link_count++];
    *link = (struct np_link){.index = index, .kind = kind_of(name)};
    snprintf(link->name, sizeof link->name, "%s", name);
    link->loopback = link->kind == NP_LINK_LOOPBACK;
    return link;
}

static void clear(struct np_network *network, uint32_t index)
{
    size_t kept = 0;
    for (size_t i = 0; i < network->address_count; i++) {
        if (network->addresses[i].ifindex != index)
            network->addresses[kept++] = network->addresses[i];
    }
    network->address_count = kept;
    kept = 0;
    for (size_t i = 0; i < network->route_count; i++) {
        if (network->routes[i].ifindex != index)
            network->routes[kept++] = network->routes[i];
    }
    network->route_count = kept;
}

/* [deprecated:|tentative:|temporary:|secondary:]ADDRESS/LENGTH */
static void add_address(struct box *box, uint32_t index, const char *word)
{
    struct np_network *network = &box->network;
    struct np_link_address *address = &network->addresses[network->address_count++];
    static const struct {
        const char *word;
        uint32_t bit;
        size_t member;
    } flags[] = {{"deprecated:", 0x20, offsetof(struct np_link_address, deprecated)},
                 {"tentative:", 0x40, offsetof(struct np_link_address, tentative)},
                 {"temporary:", 0x01, offsetof(struct np_link_address, temporary)},
                 {"secondary:", 0x01, offsetof(struct np_link_address, secondary)},
                 {"failed:", 0x08, offsetof(struct np_link_address, dad_failed)}};
    *address = (struct np_link_address){.ifindex = index, .preferred_s = 3600, .valid_s = 7200};
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++) {
        size_t len = strlen(flags[i].word);
        if (strncmp(word, flags[i].word, len) == 0) {
            address->flags |= flags[i].bit;
            *(bool *)((char *)address + flags[i].member) = true;
            word += len;
        }
    }
    char text[NP_ADDR_TEXT_MAX];
    const char *slash = strchr(word, '/');
    size_t len = slash ? (size_t)(slash - word) : sizeof text;
    if (len >= sizeof text)
        step_fail(box->step, "ADDRESS/LENGTH", "%s", word);
    memcpy(text, word, len);
    text[len] = 0;
    int64_t length = step_number(box->step, slash + 1);
    if (np_addr_parse(text, &address->prefix.addr) || length < 0 || length > 128)
        step_fail(box->step, "ADDRESS/LENGTH", "%s", word);
    address->prefix.length = (uint8_t)length;
}

static void add_route(struct box *box, uint32_t index, const char *gateway)
{
    struct np_default_route *route = &box->network.routes[box->network.route_count++];
    *route = (struct np_default_route){.ifindex = index, .family = AF_INET};
    if (np_addr_parse(gateway, &route->gateway))
        step_fail(box->step, "route=ADDRESS", "%s", gateway);
    route->family = route->gateway.family;
}

/* network IF [gone | down | unplugged | renewed] [ADDRESS/LENGTH...] [route=GATEWAY]: the interface's whole state. */
void lan_network(struct box *box)
{
    struct step *step = box->step;
    struct np_network *network = &box->network;
    const char *name = step_word(step, "an interface"), *gateway = step_option(step, "route");
    struct np_link *link = find(network, name);
    if (step_take(step, "renewed")) {
        for (size_t i = 0; link && i < network->address_count; i++) {
            if (network->addresses[i].ifindex == link->index)
                network->addresses[i].valid_s += 3600;
        }
        box_look(box);
        return;
    }
    if (!link)
        link = add(box, name);
    uint32_t index = link->index;
    clear(network, index);
    if (step_take(step, "gone")) {
        *link = network->links[--network->link_count];
        box_look(box);
        return;
    }
    link->up = !step_take(step, "down");
    link->running = link->up && !step_take(step, "unplugged");
    for (const char *word; (word = step_more(step));) {
        if (network->address_count == NP_NETWORK_ADDRESSES_MAX)
            step_fail(step, "fewer addresses", "%s", word);
        add_address(box, index, word);
    }
    if (gateway && network->route_count < NP_NETWORK_ROUTES_MAX)
        add_route(box, index, gateway);
    box_look(box);
}

/* config [role=router|host] [lan=IF[,IF]] [publish=public|local-only]: from the next boot on. */
void lan_config(struct box *box)
{
    struct step *step = box->step;
    const char *role = step_option(step, "role"), *lan = step_option(step, "lan"),
               *publish = step_option(step, "publish");
    if (role)
        box->policy.role = strcmp(role, "router") == 0 ? NP_ROLE_ROUTER : NP_ROLE_HOST;
    if (publish)
        box->policy.local_only = strcmp(publish, "local-only") == 0;
    if (lan)
        box->policy.lan_count = 0;
    while (lan && *lan && box->policy.lan_count < NP_LAN_MAX) {
        size_t len = strcspn(lan, ",");
        if (len >= NP_LINK_NAME_MAX)
            step_fail(step, "an interface's name", "%s", lan);
        char *to = box->policy.lan[box->policy.lan_count++];
        memcpy(to, lan, len);
        to[len] = 0;
        lan += len + (lan[len] == ',');
    }
}

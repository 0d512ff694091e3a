#include <jansson.h>
#include <string.h>

#include "agent/agent_private.h"

static bool has(const struct np_addresses *set, const struct np_addr *addr)
{
    const struct np_addr *list = addr->family == AF_INET ? set->v4 : set->v6;
    size_t count = addr->family == AF_INET ? set->v4_count : set->v6_count;
    for (size_t i = 0; i < count; i++) {
        if (np_addr_equal(&list[i], addr))
            return true;
    }
    return false;
}

/* What HQ said of it in its answer to the last push: "published", "ADDRESS: why not"; null: it was not asked. */
static json_t *hq_says(const struct np_agent *agent, const struct np_addr *addr)
{
    const struct np_enrol *e = &agent->enrol;
    char text[NP_ADDR_TEXT_MAX];
    if (!e->has_pushed)
        return has(&e->publisher.confirmed, addr) && e->publisher.has_confirmed ? json_string("published")
                                                                                : json_null();
    if (has(&e->pushed.published, addr))
        return json_string("published");
    np_addr_format(addr, text);
    size_t len = strlen(text);
    for (size_t i = 0; i < e->pushed.rejected_count; i++) {
        const char *why = e->pushed.rejected[i];
        if (strncmp(why, text, len) == 0 && why[len] == ':')
            return json_string(why);
    }
    return json_null();
}

static json_t *address_json(const struct np_agent *agent, size_t i)
{
    const struct np_link_address *address = &agent->network.addresses[i];
    const struct np_address_verdict *verdict = &agent->choice.verdicts[i];
    enum np_address_reason answered = verdict->answered, published = verdict->published;
    struct np_addr plain = address->prefix.addr;
    char text[NP_ADDR_TEXT_MAX];
    plain.scope = 0; /* the interface it is listed under says it */
    np_addr_format(&plain, text);
    return json_pack("{s:s,s:i,s:b,s:s,s:s,s:b,s:s,s:s,s:b,s:o}", "address", text, "length",
                     (int)address->prefix.length, "answered", answered == NP_ADDRESS_USED, "answered_code",
                     np_address_reason_word(answered), "answered_why", np_address_reason_text(answered), "offered",
                     published == NP_ADDRESS_USED, "offered_code", np_address_reason_word(published), "offered_why",
                     np_address_reason_text(published), "elsewhere", has(&agent->choice.primary, &plain), "hq",
                     published == NP_ADDRESS_USED ? hq_says(agent, &plain) : json_null());
}

json_t *np_agent_why(const struct np_agent *agent)
{
    const struct np_network *network = &agent->network;
    json_t *array = json_array();
    for (size_t i = 0; i < network->link_count; i++) {
        const struct np_link *link = &network->links[i];
        enum np_pick_reason reason = agent->choice.links[i];
        json_t *addresses = json_array();
        for (size_t k = 0; k < network->address_count; k++) {
            if (network->addresses[k].ifindex == link->index)
                json_array_append_new(addresses, address_json(agent, k));
        }
        json_array_append_new(array, json_pack("{s:s,s:b,s:b,s:b,s:s,s:s,s:o}", "interface", link->name, "lan",
                                               reason < NP_PICK_LOOPBACK && link->up, "up", link->up, "carrier",
                                               link->running, "code", np_pick_reason_word(reason), "why",
                                               np_pick_reason_text(reason), "addresses", addresses));
    }
    return array;
}

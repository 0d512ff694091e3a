#include <stdlib.h>

#include "hq/frontdoor_private.h"

/* The address that is counted: all of an IPv4 address, the /64 of an IPv6 one. */
static struct np_addr counted(const struct np_addr *addr)
{
    struct np_addr plain = *addr;
    plain.scope = 0;
    return plain.family == AF_INET6 ? np_prefix_of(&plain, 64).addr : plain;
}

static struct np_door_peer **find(struct np_door_peers *peers, const struct np_addr *addr)
{
    uint32_t hash = peers->hash_key;
    for (size_t i = 0; i < np_addr_len(addr); i++)
        hash = (hash ^ addr->bytes[i]) * 16777619u; /* FNV-1a, with a secret start */
    struct np_door_peer **at = &peers->buckets[(hash ^ hash >> 16) % NP_DOOR_BUCKETS];
    while (*at && !np_addr_equal(&(*at)->addr, addr))
        at = &(*at)->next;
    return at;
}

struct np_door_peer *np_door_peer_take(struct np_door_peers *peers, const struct np_addr *client, unsigned max)
{
    struct np_addr addr = counted(client);
    struct np_door_peer **at = find(peers, &addr);
    if (!*at) {
        *at = calloc(1, sizeof **at);
        if (!*at)
            return NULL;
        (*at)->addr = addr;
    }
    if ((*at)->count >= max)
        return NULL;
    (*at)->count++;
    return *at;
}

void np_door_peer_release(struct np_door_peers *peers, struct np_door_peer *peer)
{
    if (!peer || --peer->count > 0)
        return;
    struct np_door_peer **at = find(peers, &peer->addr);
    *at = peer->next;
    free(peer);
}

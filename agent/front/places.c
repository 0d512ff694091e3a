#include "agent/front/front_private.h"
#include "resolver/base/error.h"

/* How readily a connection gives its place: those that cost most and have shown least come first. */
enum readiness { NEVER, QUIET, BETWEEN_REQUESTS, NOT_BEGUN };

static enum readiness readiness_of(const struct np_front_connection *connection)
{
    if (connection->ending)
        return NEVER; /* it is about to free its place by itself */
    switch (connection->mode) {
    case NP_FRONT_QUEUED:
    case NP_FRONT_HANDSHAKE:
        return NOT_BEGUN;
    case NP_FRONT_HTTP:
        return connection->out ? NEVER : connection->requests == 0 ? NOT_BEGUN : BETWEEN_REQUESTS;
    case NP_FRONT_RELAY:
        break;
    }
    return uv_now(connection->front->loop) - connection->moved_ms >= NP_FRONT_QUIET_MS ? QUIET : NEVER;
}

static bool same_client(const struct np_addr *a, const struct np_addr *b)
{
    return np_addr_equal(a, b) || np_addr_same_network(a, b);
}

static bool is_dot(const struct np_front_connection *connection)
{
    return connection->kind == NP_LISTEN_DOT;
}

/* Of two connections that could go: is a to go first? */
static bool goes_before(const struct np_front_connection *a, const struct np_front_connection *b)
{
    enum readiness of_a = readiness_of(a), of_b = readiness_of(b);
    return of_a != of_b ? of_a > of_b : a->number < b->number;
}

/* The connection of the client (network: of its whole /64) that can go first, on the same kind of port; NULL: none. */
static struct np_front_connection *find_own(struct np_front *front, bool dot, const struct np_addr *remote,
                                            bool network)
{
    struct np_front_connection *found = NULL;
    for (size_t i = 0; i < NP_FRONT_CONNECTIONS_MAX; i++) {
        struct np_front_connection *connection = front->connections[i];
        if (!connection || is_dot(connection) != dot || readiness_of(connection) == NEVER)
            continue;
        const struct np_addr *addr = &connection->client.remote.addr;
        if (network ? !np_addr_same_network(addr, remote) : !np_addr_equal(addr, remote))
            continue;
        if (!found || goes_before(connection, found))
            found = connection;
    }
    return found;
}

static size_t count_client(const struct np_front *front, const struct np_addr *remote)
{
    size_t count = 0;
    for (size_t i = 0; i < NP_FRONT_CONNECTIONS_MAX; i++)
        count += front->connections[i] && same_client(&front->connections[i]->client.remote.addr, remote);
    return count;
}

/* The connection that can go first among those of the clients who have most, all ports together; NULL where nobody has
 * more than the newcomer would with one more. */
static struct np_front_connection *find_greedy(struct np_front *front, const struct np_addr *remote)
{
    struct np_front_connection *found = NULL;
    size_t most = count_client(front, remote) + 1;
    for (size_t i = 0; i < NP_FRONT_CONNECTIONS_MAX; i++) {
        struct np_front_connection *connection = front->connections[i];
        if (!connection || readiness_of(connection) == NEVER)
            continue;
        size_t count = count_client(front, &connection->client.remote.addr);
        if (count < most || (count == most && !found))
            continue;
        if (count > most || goes_before(connection, found)) {
            most = count;
            found = connection;
        }
    }
    return found;
}

static int evict(struct np_front *front, struct np_front_connection *connection)
{
    if (!connection)
        return NP_E_LIMIT;
    int slot = (int)connection->slot;
    front->stats.evicted++;
    np_front_connection_evict(connection);
    return slot;
}

int np_front_find_place(struct np_front *front, bool dot, const struct np_addr *remote)
{
    int slot = NP_E_LIMIT;
    size_t same = 0, neighbours = 0, limit = dot ? NP_FRONT_DOT_PER_CLIENT : NP_FRONT_PER_CLIENT_MAX;
    for (int i = 0; i < NP_FRONT_CONNECTIONS_MAX; i++) {
        const struct np_front_connection *connection = front->connections[i];
        if (!connection)
            slot = i;
        if (!connection || dot != is_dot(connection))
            continue;
        same += np_addr_equal(&connection->client.remote.addr, remote);
        neighbours += np_addr_same_network(&connection->client.remote.addr, remote);
    }
    if (same >= limit)
        return evict(front, find_own(front, dot, remote, false));
    if (neighbours >= NP_FRONT_NETWORK_CLIENTS * limit)
        return evict(front, find_own(front, dot, remote, true));
    return slot >= 0 ? slot : evict(front, find_greedy(front, remote));
}

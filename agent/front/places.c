#include "agent/front/front_private.h"
#include "resolver/base/error.h"

/* How readily a connection gives its place: those that cost most and have shown least come first. A busy one gives it
 * only to somebody who has fewer. */
enum readiness { BUSY, QUIET, BETWEEN_REQUESTS, NOT_BEGUN };

static enum readiness readiness_of(const struct np_front_connection *connection)
{
    if (connection->ending)
        return BUSY; /* it frees its place by itself, once what was written has left */
    switch (connection->mode) {
    case NP_FRONT_QUEUED:
    case NP_FRONT_HANDSHAKE:
        return NOT_BEGUN;
    case NP_FRONT_HTTP:
        return connection->out ? BUSY : connection->requests == 0 ? NOT_BEGUN : BETWEEN_REQUESTS;
    case NP_FRONT_RELAY:
        break;
    }
    return uv_now(connection->front->loop) - connection->moved_ms >= NP_FRONT_QUIET_MS ? QUIET : BUSY;
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
        if (!connection || is_dot(connection) != dot || readiness_of(connection) == BUSY)
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

/* The connections of one address; of its kind of port where dot is not NULL. */
static size_t count_address(const struct np_front *front, const struct np_addr *remote, const bool *dot)
{
    size_t count = 0;
    for (size_t i = 0; i < NP_FRONT_CONNECTIONS_MAX; i++) {
        const struct np_front_connection *connection = front->connections[i];
        count += connection && (!dot || is_dot(connection) == *dot) &&
                 np_addr_equal(&connection->client.remote.addr, remote);
    }
    return count;
}

/* The connection that can go first among those of the clients who have most, all ports together; NULL where nobody has
 * more than the newcomer would with one more. Busy ones are left alone. */
static struct np_front_connection *find_greedy(struct np_front *front, const struct np_addr *remote)
{
    struct np_front_connection *found = NULL;
    size_t most = count_client(front, remote) + 1;
    for (size_t i = 0; i < NP_FRONT_CONNECTIONS_MAX; i++) {
        struct np_front_connection *connection = front->connections[i];
        if (!connection || readiness_of(connection) == BUSY)
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

/* Of two busy connections: the one of the address with most is to go first, then the older one. */
static struct np_front_connection *heavier(struct np_front_connection *a, size_t of_a, struct np_front_connection *b,
                                           size_t of_b)
{
    if (of_a != of_b)
        return of_a > of_b ? a : b;
    return a->number < b->number ? a : b;
}

/* Nothing but busy connections among the newcomer's neighbours: the oldest of the address that has most of them on that
 * kind of port; NULL where no address has more than the newcomer would. */
static struct np_front_connection *find_busy_neighbour(struct np_front *front, bool dot, const struct np_addr *remote)
{
    struct np_front_connection *found = NULL;
    size_t most = 0, own = count_address(front, remote, &dot) + 1;
    for (size_t i = 0; i < NP_FRONT_CONNECTIONS_MAX; i++) {
        struct np_front_connection *connection = front->connections[i];
        const struct np_addr *addr = connection ? &connection->client.remote.addr : NULL;
        if (!connection || is_dot(connection) != dot || !np_addr_same_network(addr, remote))
            continue;
        size_t count = count_address(front, addr, &dot);
        if (count <= own || (found && heavier(connection, count, found, most) == found))
            continue;
        most = count;
        found = connection;
    }
    return found;
}

/* Nothing but busy connections at all: the oldest of the address that has most, among the clients who have most, all
 * ports together; NULL where no client has more than the newcomer would. So whoever is alone with its few gets a place,
 * however many prefixes somebody else talks from. */
static struct np_front_connection *find_busy(struct np_front *front, const struct np_addr *remote)
{
    struct np_front_connection *found = NULL;
    size_t most = count_client(front, remote) + 1, most_address = 0;
    for (size_t i = 0; i < NP_FRONT_CONNECTIONS_MAX; i++) {
        struct np_front_connection *connection = front->connections[i];
        if (!connection)
            continue;
        size_t count = count_client(front, &connection->client.remote.addr);
        if (count < most || (count == most && !found))
            continue;
        size_t of_address = count_address(front, &connection->client.remote.addr, NULL);
        if (count == most && heavier(connection, of_address, found, most_address) == found)
            continue;
        most = count;
        most_address = of_address;
        found = connection;
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
    struct np_front_connection *found;
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
    if (neighbours >= NP_FRONT_NETWORK_CLIENTS * limit) {
        found = find_own(front, dot, remote, true);
        return evict(front, found ? found : find_busy_neighbour(front, dot, remote));
    }
    if (slot >= 0)
        return slot;
    found = find_greedy(front, remote);
    return evict(front, found ? found : find_busy(front, remote));
}

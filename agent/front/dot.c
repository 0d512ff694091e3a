#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/front/front_private.h"
#include "resolver/base/error.h"
#include "resolver/base/log.h"

/* Gives the resolver one end of a pair and relays to the other. */
static int hand_over(struct np_front_connection *connection)
{
    struct np_front *front = connection->front;
    struct np_peer_message message = {.client = connection->client};
    int pair[2];
    if (!front->peer)
        return NP_E_CLOSED;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
        return -errno;
    int rc = np_front_relay_adopt(connection, pair[0]);
    if (rc) {
        close(pair[0]);
        close(pair[1]);
        return rc;
    }
    return np_peer_send_take(front->peer, NP_PEER_CLIENT, &message, pair[1]);
}

void np_front_dot_start(struct np_front_connection *connection)
{
    char text[NP_ADDR_TEXT_MAX];
    const char *name = np_stream_server_name(connection->tls);
    connection->front->stats.dot_handshakes++;
    int rc = np_front_connection_is_for_us(connection, name) ? hand_over(connection) : NP_E_NAME;
    if (!rc)
        return;
    np_debug("DNS over TLS for %s: %s", np_endpoint_format(&connection->client.remote, text), np_strerror(rc));
    np_front_connection_end(connection);
}

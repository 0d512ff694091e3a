#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include "resolver/forward_private.h"

int np_forward_tcp_open(struct connection *connection)
{
    struct sockaddr_storage sa;
    if (connection->remote->server.tls == NP_TLS_STRICT)
        return NP_E_TLS;
    socklen_t len = np_endpoint_to_sockaddr(&connection->remote->state.endpoint, &sa);
    int one = 1, rc = 0, fd = socket(sa.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    /* Queries leave together already (np_dns_stream_flush); Nagle would only hold the next ones back. */
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (connect(fd, (struct sockaddr *)&sa, len) && errno != EINPROGRESS)
        rc = -errno;
    if (!rc)
        rc = np_forward_stream_opened(connection, fd);
    if (rc)
        close(fd);
    return rc;
}

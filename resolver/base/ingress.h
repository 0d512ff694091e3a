/* ingress: where a datagram or an accepted connection came in: the interface, and the local address that was asked. */
#ifndef RESOLVER_BASE_INGRESS_H
#define RESOLVER_BASE_INGRESS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "resolver/base/address.h"

/* Reads IP_PKTINFO or IPV6_PKTINFO from a received message. Without one both outputs stay as they are and the result is
 * true; false means that the packet was sent to a broadcast or multicast address, which nothing may answer from. */
bool np_ingress_read(struct msghdr *header, struct np_addr *out_local, uint32_t *out_ifindex);

/* The ingress interface of an accepted TCP socket of that family (AF_INET or AF_INET6), 0 when the kernel does not
 * tell. Linux keeps the SYN's packet information for a socket that asked for it (ip(7) does not say so). */
uint32_t np_ingress_of_accepted(int fd, int family);

#endif

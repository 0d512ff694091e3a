/* netlink: rtnetlink's bytes, written and parsed. Pure: no socket; agent/network/netwatch is the shell around it.
 *
 * Netlink is host-endian, so integers are read in the machine's own order here and only here. A dump is asked for in
 * four parts (enum np_netlink_part), each answered by datagrams that go through np_netlink_feed into a struct
 * np_network. See rtnetlink(7); the bounded cursor guards every access. */
#ifndef AGENT_NETWORK_NETLINK_H
#define AGENT_NETWORK_NETLINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/network/network.h"

#define NP_NETLINK_REQUEST_MAX  64    /* bytes of the largest request */
#define NP_NETLINK_DATAGRAM_MAX 32768 /* the kernel cuts dumps into pieces of at most this size (af_netlink.c) */

/* The parts of a full dump, asked for in this order. The two families' routes are asked for one by one, since a strict
 * dump over all families trips over those that know no tables. */
enum np_netlink_part {
    NP_NETLINK_LINKS,
    NP_NETLINK_ADDRESSES,
    NP_NETLINK_ROUTES_V4,
    NP_NETLINK_ROUTES_V6,
    NP_NETLINK_PARTS
};

/* Writes the dump request of that part to buffer (NP_NETLINK_REQUEST_MAX bytes). Returns its length. */
size_t np_netlink_request(enum np_netlink_part part, uint32_t seq, uint8_t buffer[NP_NETLINK_REQUEST_MAX]);

/* A part that is being received. */
struct np_netlink_dump {
    struct np_network *network; /* borrowed; what is found is added to it */
    enum np_netlink_part part;
    uint32_t seq;     /* messages with another one are left over from an older dump and ignored */
    bool interrupted; /* NLM_F_DUMP_INTR was seen */
};

/* Takes one datagram. Returns 0 when more is to come, 1 when the part is complete, -EINTR when it is complete but was
 * interrupted by a change (dump again), NP_E_MALFORMED, or the kernel's -errno. A table that does not exist yet
 * (-ENOENT for routes) is complete and empty. */
int np_netlink_feed(struct np_netlink_dump *dump, const uint8_t *data, size_t len);

/* Does a datagram of notifications hold anything that a new dump could show: links, addresses, default routes? Broken
 * ones count as "yes": the dump is what is believed. */
bool np_netlink_is_event(const uint8_t *data, size_t len);

#endif

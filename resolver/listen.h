/* listen: the JSON of the LSTN and DROP frames by which the agent hands its children sockets:
 * [{"address":"192.168.1.1","port":53,"kind":"dns-udp","ifindex":3}, ...], one descriptor an element in LSTN. */
#ifndef RESOLVER_LISTEN_H
#define RESOLVER_LISTEN_H

#include <stddef.h>
#include <stdint.h>

#include "resolver/base/address.h"
#include "resolver/base/channel.h"

enum np_listen_kind { NP_LISTEN_DNS_UDP, NP_LISTEN_DNS_TCP, NP_LISTEN_HTTP, NP_LISTEN_HTTPS, NP_LISTEN_DOT };

/* One socket. The endpoint's address has ifindex as its scope where it is link-local. */
struct np_listen {
    struct np_endpoint local;
    enum np_listen_kind kind;
    uint32_t ifindex;
};

/* Parses len bytes of JSON into out_items (NP_CHANNEL_FDS_MAX of them). Returns the number of elements, or
 * NP_E_MALFORMED, NP_E_LIMIT. */
int np_listen_parse(const char *text, size_t len, struct np_listen out_items[NP_CHANNEL_FDS_MAX]);

#endif

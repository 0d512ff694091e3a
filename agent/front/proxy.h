/* proxy: the PROXY protocol (HAProxy's proxy-protocol.txt, versions 1 and 2): the few bytes before a relayed connection
 * that tell a backend who the client is. Written only, never read. Pure. */
#ifndef AGENT_FRONT_PROXY_H
#define AGENT_FRONT_PROXY_H

#include <stdbool.h>

#include "resolver/base/address.h"
#include "resolver/base/cursor.h"

#define NP_PROXY_MAX 512 /* bytes of a header: version 2 with a server name of 253 characters has 330 */

enum np_proxy { NP_PROXY_NONE, NP_PROXY_V1, NP_PROXY_V2 };

/* A client's connection. */
struct np_proxy_client {
    struct np_endpoint remote, local;
    bool tls;                /* it came over TLS 1.2 */
    const char *server_name; /* by SNI; "" for none. Borrowed */
};

/* Writes the header; nothing for NP_PROXY_NONE. Version 2 also carries the server name (PP2_TYPE_AUTHORITY), and, for
 * TLS, its version (PP2_TYPE_SSL) and ALPN. An IPv4-mapped IPv6 address is not expected: sockets are of one family. */
void np_proxy_write(struct np_writer *w, enum np_proxy version, const struct np_proxy_client *client);

/* "none", "v1", "v2". Static storage. */
const char *np_proxy_name(enum np_proxy version);

/* The version of that name. Returns 0 or NP_E_MALFORMED. */
int np_proxy_parse(const char *text, enum np_proxy *out_version);

#endif

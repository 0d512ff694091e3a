/* forwarded: the client's address as the proxy in front of HQ tells it. Pure.
 *
 * Believed only from the Unix socket: there is no standard (RFC 7239 describes the header and standardises another),
 * but every proxy appends the address of its own client to X-Forwarded-For, or adds a header line with it at the end.
 * So the last entry of the last line is the proxy's word; all before it is what the client says of itself. */
#ifndef HQ_API_FORWARDED_H
#define HQ_API_FORWARDED_H

#include "resolver/base/address.h"

/* Reads the last entry of value (NULL: there is no such header): an IPv4 or IPv6 address, in brackets where they are
 * IPv6's, perhaps with a port; a mapped IPv4 address as what it is. Returns 0, NP_E_NOT_FOUND (NULL or empty) or
 * NP_E_MALFORMED. */
int np_forwarded_client(const char *value, struct np_addr *out_client);

#endif

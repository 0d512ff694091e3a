/* request: reading the head of an HTTP/1.x request (RFC 9112), strictly. Pure.
 *
 * The caller collects bytes and asks again with all of them until the head is whole. Refused are: a bare CR or LF,
 * obs-fold, white space before a colon, control characters, a missing (HTTP/1.1) or repeated or unreadable Host, both
 * Content-Length and Transfer-Encoding, two different Content-Lengths, a Connection that names Host or one of these
 * (RFC 9110 section 7.6.1: they are for the last recipient). What is kept is safe to be put into a header:
 * the target has visible ASCII only and begins with "/", the host is a host name or an address. Bodies are not read. */
#ifndef AGENT_FRONT_REQUEST_H
#define AGENT_FRONT_REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "resolver/base/address.h"

#define NP_REQUEST_HEAD_MAX   8192 /* bytes of a head with its empty line: room for a browser's cookies */
#define NP_REQUEST_TARGET_MAX 2048 /* characters of a target: what browsers and their bookmarks get along with */
#define NP_REQUEST_HOST_MAX   253  /* characters of a host name (RFC 1035) */
#define NP_REQUEST_COOKIE     "nameplate=stay" /* of somebody who has chosen to stay at the address (answer.h) */
#define NP_REQUEST_FIELDS_MAX 64               /* header fields of one head */

/* The methods that make a difference here. */
enum np_request_method { NP_REQUEST_GET, NP_REQUEST_HEAD, NP_REQUEST_OTHER };

/* A request's head. */
struct np_request {
    enum np_request_method method;
    char target[NP_REQUEST_TARGET_MAX + 1]; /* path and query */
    char host[NP_REQUEST_HOST_MAX + 1]; /* lower case, without port and final dot; "" when host_addr is set or absent */
    struct np_addr host_addr;           /* AF_UNSPEC unless the host is an address; never with a scope */
    bool has_host;                      /* always true in HTTP/1.1 */
    bool keep_alive;                    /* the client wants to go on (RFC 9112 section 9.3) */
    bool has_body;                      /* a body follows the head; it is not read here */
    bool upgrade;                       /* it wants another protocol on the connection, as WebSocket does, and says
                                           which (RFC 9110 section 7.8: in Connection and in Upgrade, not in HTTP/1.0) */
    bool stays;                         /* with the cookie of somebody who stays at the address (answer.h) */
};

/* Parses the head at the start of data. Returns its length, 0 when more bytes are needed, NP_E_HTTP (answer 400),
 * NP_E_VERSION (505), -ENAMETOOLONG (the target; 414) or NP_E_LIMIT (431). One empty line before it is passed over (RFC
 * 9112 section 2.2). */
long np_request_parse(const void *data, size_t len, struct np_request *out_request);

#endif

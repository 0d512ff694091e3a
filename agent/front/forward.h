/* forward: the head of a request as the backend gets it, over http at an address. Pure.
 *
 * One request a connection: the Host of each was looked at, and the pages below /.nameplate/ stay the front's own. So
 * the backend is asked to close after its answer (RFC 9112 section 9.6), and hop-by-hop fields about the connection go.
 * A request for an upgrade (WebSocket) passes as it is: nothing of HTTP follows on its connection. */
#ifndef AGENT_FRONT_FORWARD_H
#define AGENT_FRONT_FORWARD_H

#include "agent/front/request.h"
#include "resolver/base/cursor.h"

#define NP_FORWARD_MORE 32 /* bytes that a head may grow by */

/* Writes the head, of len bytes as np_request_parse has accepted it into request. Over its room, w has the error
 * NP_E_LIMIT. */
void np_forward_head(struct np_writer *w, const void *head, size_t len, const struct np_request *request);

#endif

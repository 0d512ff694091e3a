/* forward: the head of a request as the backend gets it, over http at an address. Pure.
 *
 * One request a connection: the Host of each was looked at, and the pages below /.nameplate/ stay the front's own. So
 * the backend is asked to close after its answer (RFC 9112 section 9.6), and what is for this hop alone goes: fields
 * about the connection, and those that Connection names (RFC 9110 section 7.6.1). An upgrade (WebSocket) is passed on,
 * with "close" beside it: a backend that takes it speaks no HTTP any more, one that does not reads no second request.
 * absolute-form becomes origin-form, with the Host that was looked at (RFC 9112 section 3.2.2). */
#ifndef AGENT_FRONT_FORWARD_H
#define AGENT_FRONT_FORWARD_H

#include "agent/front/request.h"
#include "resolver/base/cursor.h"

#define NP_FORWARD_MORE 64 /* bytes that a head may grow by */

/* Writes the head, of len bytes as np_request_parse has accepted it into request. Over its room, w has the error
 * NP_E_LIMIT. */
void np_forward_head(struct np_writer *w, const void *head, size_t len, const struct np_request *request);

#endif

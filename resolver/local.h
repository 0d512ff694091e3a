/* local: everything that the resolver decides about a query without asking anybody: malformed ones, own names, special
 * names, what is refused. Pure and without allocation. */
#ifndef RESOLVER_LOCAL_H
#define RESOLVER_LOCAL_H

#include <stddef.h>
#include <stdint.h>

#include "resolver/message.h"
#include "resolver/server.h"
#include "resolver/view.h"

/* What became of a query, for the counters. */
enum np_local_kind {
    NP_LOCAL_DROPPED,
    NP_LOCAL_OWN,
    NP_LOCAL_SPECIAL,
    NP_LOCAL_ERROR,  /* answered with FORMERR, NOTIMP, BADVERS or REFUSED */
    NP_LOCAL_FORWARD /* nothing was written: *out_query is to be forwarded */
};

/* Judges one packet and writes its answer to out (size bytes: NP_DNS_UDP_MAX, or NP_DNS_MESSAGE_MAX over TCP).
 * *out_len is the answer's length; *out_query is filled for every kind but DROPPED and borrows from packet. */
enum np_local_kind np_local_answer(const struct np_view *view, const struct np_client *client, const uint8_t *packet,
                                   size_t len, struct np_query *out_query, uint8_t *out, size_t size, size_t *out_len);

/* The answer over UDP to a client over its rate: TC and nothing else, so that it comes again over TCP. Returns its
 * length, 0 (no answer) for what is no good query. */
size_t np_local_truncated(const struct np_view *view, const uint8_t *packet, size_t len, uint8_t *out, size_t size);

/* The answer to a query for which there is no place among those that wait for upstreams: SERVFAIL with EDE 0 and a text
 * (RFC 8914 section 4.1). Returns its length. */
size_t np_local_busy(const struct np_client *client, const struct np_query *query, uint8_t *out, size_t size);

/* The answer to a query that was to be forwarded when no upstream answered: SERVFAIL with the EDE, or for DS at an own
 * name NODATA (an insecure delegation, as it is online). Returns its length. */
size_t np_local_offline(const struct np_view *view, const struct np_client *client, const struct np_query *query,
                        enum np_ede ede, uint8_t *out, size_t size);

/* The same where the upstream sent the question back to us: EDE 0 with a text that says so. Also what that upstream
 * gets. Returns its length. */
size_t np_local_looped(const struct np_view *view, const struct np_client *client, const struct np_query *query,
                       uint8_t *out, size_t size);

/* The answer where the rebinding filter blocks: NODATA with EDE 15, and a made-up SOA, without which some stubs keep a
 * negative answer very long. Returns its length. */
size_t np_local_blocked(const struct np_view *view, const struct np_client *client, const struct np_query *query,
                        uint8_t *out, size_t size);

#endif

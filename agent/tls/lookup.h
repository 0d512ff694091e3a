/* lookup: the addresses of a host, asked by c-ares at name servers that the caller names.
 *
 * The device never asks the system's resolver: on a router that is itself. One look-up is one c-ares channel, which is
 * gone with it, so that its source port and ID are never used for long. A and AAAA are asked together;
 * when one of them has brought addresses the other is waited for NP_LOOKUP_GRACE_MS at most. */
#ifndef AGENT_TLS_LOOKUP_H
#define AGENT_TLS_LOOKUP_H

#include <stddef.h>
#include <uv.h>

#include "resolver/base/address.h"

#define NP_LOOKUP_ADDRESSES_MAX 8 /* addresses that are handed on */
#define NP_LOOKUP_SERVERS_MAX   8 /* name servers that are asked, in order */
#define NP_LOOKUP_TRY_MS        1500
#define NP_LOOKUP_TRIES         2
#define NP_LOOKUP_GRACE_MS      200 /* RFC 8305 section 3: Resolution Delay, with room for a slow router */

struct np_lookup;

/* The end. err 0: count (1 or more) addresses, IPv6 and IPv4 in turn; NP_E_NOT_FOUND: the servers say
 * that it has none of either family; NP_E_DNS: no useful answer; why says so for a person. The look-up's memory is gone
 * after it. */
typedef void np_lookup_done_fn(void *ctx, int err, const char *why, const struct np_addr *addresses, size_t count);

/* Starts. done is called exactly once, later. Returns 0, NP_E_MISSING (no name server), NP_E_DNS (c-ares cannot start)
 * or -ENOMEM. */
int np_lookup_start(uv_loop_t *loop, const char *host, const struct np_endpoint *servers, size_t server_count,
                    np_lookup_done_fn *done, void *ctx, struct np_lookup **out_lookup);

/* Gives it up: done is not called any more. */
void np_lookup_cancel(struct np_lookup *lookup);

#endif

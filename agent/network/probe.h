/* probe: asks DNS servers whether the box's name works through them, all at once; what the answers mean is
 * probe_judge's business.
 *
 * Raw UDP, since c-ares hides what tells a filter: codes, flags, EDE. One connected socket a server, so that answers
 * come from there alone; identifiers and the fresh names from the kernel's random. A question is repeated at
 * NP_PROBE_AGAIN_MS, and asked without EDNS where EDNS is refused; no TCP: a truncated answer says enough.
 *
 * Lifecycle: np_probe_start, then exactly one done(), after which the probe's memory is gone; or np_probe_cancel. */
#ifndef AGENT_NETWORK_PROBE_H
#define AGENT_NETWORK_PROBE_H

#include <uv.h>

#include "agent/network/probe_judge.h"

#define NP_PROBE_DEADLINE_MS 2500 /* a resolver that has to ask around takes up to 2 s; the doctor has 5 */
#define NP_PROBE_AGAIN_MS    600  /* the second try; the third one after as long again twice */
#define NP_PROBE_TRIES       3

struct np_probe;

/* What is asked for. Borrowed until np_probe_start returns. */
struct np_probe_names {
    struct np_name own;
    struct np_name zone; /* where rebind-test and plain-test are; len 0: not known, these are not asked */
};

/* The end: the servers as they were given, with their answers. Borrowed for the call. */
typedef void np_probe_done_fn(void *ctx, const struct np_probe_server *servers, size_t count);

/* Asks each server the items that its asked says (1 to NP_PROBE_SERVERS_MAX servers; answers are ignored and begin
 * anew). done is called from the loop when all have answered, or after deadline_ms (0: NP_PROBE_DEADLINE_MS). Returns
 * 0, NP_E_LIMIT or -ENOMEM. */
int np_probe_start(uv_loop_t *loop, const struct np_probe_names *names, const struct np_probe_server *servers,
                   size_t count, unsigned deadline_ms, np_probe_done_fn *done, void *ctx, struct np_probe **out_probe);

/* Gives it up: done is not called any more. NULL is fine. */
void np_probe_cancel(struct np_probe *probe);

#endif

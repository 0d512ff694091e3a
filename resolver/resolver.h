/* resolver: the device's split-horizon resolver, the parts tied together: sockets, own names, special names, the
 * forwarding engine, the rebinding filter.
 *
 * It runs as a child of the agent (np_resolver_child_main), fed over a channel, or alone (np_resolver_verb_main).
 * Lifecycle of a struct np_resolver: new, set_view, add listeners, run the loop, close. */
#ifndef RESOLVER_RESOLVER_H
#define RESOLVER_RESOLVER_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "resolver/server.h"
#include "resolver/stats.h"
#include "resolver/view.h"

struct np_resolver;

/* Allocates a resolver on loop with an empty view (it admits loopback alone and has no upstreams). Returns 0 or -errno.
 */
int np_resolver_new(uv_loop_t *loop, struct np_resolver **out_resolver);

/* Replaces the view, which is copied. Queries in flight go on. Returns 0 or -ENOMEM (the old view stays). */
int np_resolver_set_view(struct np_resolver *resolver, const struct np_view *view);

/* The server, for adding and removing listeners. Borrowed. */
struct np_server *np_resolver_server(struct np_resolver *resolver);

/* A front will come (np_resolver_set_peer_take): servers are asked over TLS where the view says so, and questions to
 * them wait for it. Without this call, clear text is all there is. */
void np_resolver_expect_peer(struct np_resolver *resolver);

/* Takes over fd, the resolver's end of the channel to the front (resolver/peer.h), in the place of an earlier one. */
void np_resolver_set_peer_take(struct np_resolver *resolver, int fd);

/* The counters and how the upstreams do, now. */
void np_resolver_stats(const struct np_resolver *resolver, struct np_stats *out_stats);

/* Closes sockets and drops queries; the memory goes once the loop has run. */
void np_resolver_close(struct np_resolver *resolver);

/* The child role: reads frames from descriptor 3 (LSTN, DROP, VIEW, PEER, STAT), answers REDY after the first view and
 * STAT to each STAT, serves until the channel ends. Returns the exit code: 0, or 1 when it could not start. The caller
 * has set the log up and entered the sandbox. */
int np_resolver_child_main(void);

/* `nameplate resolver [options]`: runs the resolver in the foreground until SIGINT or SIGTERM; argv[0] is the verb.
 * SIGHUP reads the view anew. Returns the exit code: 0, 1 failed, 2 wrong usage. */
int np_resolver_verb_main(int argc, char **argv);

#endif

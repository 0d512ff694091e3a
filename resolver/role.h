/* role: the loop that the agent's two children share: frames from descriptor 3 (LSTN, DROP, VIEW, PEER, STAT and what a
 * role has besides), REDY after the first view, the end when the channel closes. */
#ifndef RESOLVER_ROLE_H
#define RESOLVER_ROLE_H

#include <stdbool.h>
#include <uv.h>

#include "resolver/base/channel.h"
#include "resolver/listen.h"
#include "resolver/view.h"

/* What a role does with what it is told. Every function but other must be set. */
struct np_role_child {
    /* Does this role serve sockets of that kind? Others are closed without a word. */
    bool (*serves)(enum np_listen_kind kind);
    /* Takes a listening descriptor over. 0, or a negative np_err (then the descriptor is closed by the caller). */
    int (*listen)(void *ctx, const struct np_listen *what, int fd);
    /* Closes the listener of that endpoint and kind, if there is one. */
    void (*drop)(void *ctx, const struct np_listen *what);
    /* Takes a snapshot; view is borrowed and stays until the next one. 0 or a negative np_err. */
    int (*set_view)(void *ctx, const struct np_view *view);
    /* Takes over this process's end of the channel between the two children (resolver/peer.h), for an earlier one. */
    void (*set_peer_take)(void *ctx, int fd);
    /* Counters as malloc'd JSON, NULL when out of memory. */
    char *(*stats)(void *ctx);
    /* A frame of another type; its payload is wiped afterwards. NULL: ignored. */
    void (*other)(void *ctx, struct np_frame *frame);
    /* The agent is gone: close every handle, so that the loop ends. */
    void (*close)(void *ctx);
};

/* Runs the loop until the channel closes and every handle with it. loop is initialised; it is closed at the end.
 * Returns the process's exit status: 0, or 1 when it could not start (logged). */
int np_role_run(uv_loop_t *loop, const struct np_role_child *child, void *ctx);

#endif

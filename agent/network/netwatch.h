/* netwatch: watches the kernel's interfaces, addresses and default routes by raw rtnetlink.
 *
 * Netlink's notifications are only a hint: after the first one the debounce is waited out, everything is dumped anew
 * and compared with what was known; when something other than lifetimes differs, changed() is called once with the
 * whole new snapshot. A lost notification (ENOBUFS) is answered by the same full dump. A dump that the kernel marks as
 * interrupted is repeated. The first snapshot is delivered from the loop soon after the start, even where nothing is
 * configured yet. When a dump fails it is tried again after the debounce and then ever more slowly (to 1 s).
 *
 * Lifecycle: np_netwatch_new, (callbacks), np_netwatch_close; the memory goes when the loop has closed the handles.
 * No privileges are needed. Works in the network namespace of the calling thread at np_netwatch_new. */
#ifndef AGENT_NETWORK_NETWATCH_H
#define AGENT_NETWORK_NETWATCH_H

#include <stdint.h>
#include <uv.h>

#include "agent/network/network.h"

#define NP_NETWATCH_DEBOUNCE_MS 20            /* DESIGN: the local answer is right in under 100 ms */
#define NP_NETWATCH_BUFFER      (1024 * 1024) /* the default overflows after some 256 notifications */

struct np_netwatch;

/* Called from the loop with the new snapshot, borrowed until the next call. np_netwatch_close may be called inside. */
typedef void np_netwatch_fn(void *ctx, const struct np_network *network);

/* What tests change; NULL where a default is fine. Zero members mean the default. */
struct np_netwatch_options {
    unsigned debounce_ms;
    int receive_buffer; /* bytes of SO_RCVBUF */
};

/* Counters since the start. */
struct np_netwatch_stats {
    uint64_t events;    /* notifications that mattered */
    uint64_t overruns;  /* ENOBUFS: the kernel had to drop notifications */
    uint64_t dumps;     /* full dumps that came to an end */
    uint64_t repeated;  /* dumps begun again: interrupted or failed */
    uint64_t snapshots; /* calls of changed() */
};

/* Opens the sockets, subscribes and plans the first dump. options may be NULL. Returns 0 or -errno. */
int np_netwatch_new(uv_loop_t *loop, const struct np_netwatch_options *options, np_netwatch_fn *changed, void *ctx,
                    struct np_netwatch **out_watch);

/* Dumps and compares soon, as after a notification: after a suspend, or whenever the owner has reason to doubt. */
void np_netwatch_look(struct np_netwatch *watch);

/* The counters, borrowed. */
const struct np_netwatch_stats *np_netwatch_stats(const struct np_netwatch *watch);

/* Stops and frees (from the loop, later). changed() is not called any more. NULL is fine. */
void np_netwatch_close(struct np_netwatch *watch);

#endif

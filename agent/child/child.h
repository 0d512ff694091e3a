/* child: one child process of the agent (the resolver, the front): started, fed, restarted.
 *
 * The child is the agent's own executable with a hidden verb ("child-resolver", "child-front"), descriptor 3 being its
 * end of a channel (resolver/base/channel.h), 0 and 1 /dev/null, 2 the agent's standard error, everything else closed.
 * It has no_new_privs, no capabilities (not even inheritable or ambient ones) and an environment of a few variables. It
 * ends when its channel does; PR_SET_PDEATHSIG (SIGKILL) is only the second rope, since it does not survive every exec
 * and not the death of a thread.
 *
 * After each start feed() is called: the owner sends everything that the child must know (LSTN with descriptors, CERT,
 * VIEW). When the child dies or closes its channel, what was queued is forgotten, and it is started again with backoff
 * (100 ms, doubling to 30 s; forgotten after 60 s of life with REDY seen).
 *
 * Frames that the peer is too slow for are queued (NP_CHILD_QUEUE_MAX frames, NP_CHILD_QUEUE_BYTES). VIEW, CERT, CONF,
 * PEER, CLCK, NEWS and STAT replace an older queued frame of the same type: only the newest state counts. A child that
 * does not read until the queue is full is taken for hung, killed and started anew.
 *
 * Lifecycle: np_child_new, np_child_start, (callbacks), np_child_close; the memory goes when the process has been
 * reaped and the handles are closed. Deaths are seen by the channel's end and waitpid(2) on the one pid: no SIGCHLD
 * handler, so it lives beside uv_spawn and any other use. */
#ifndef AGENT_CHILD_CHILD_H
#define AGENT_CHILD_CHILD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <uv.h>

#include "resolver/base/channel.h"

#define NP_CHILD_QUEUE_MAX         64
#define NP_CHILD_QUEUE_BYTES       (1024 * 1024)
#define NP_CHILD_RESTART_FIRST_MS  100
#define NP_CHILD_RESTART_CAP_MS    30000
#define NP_CHILD_RESTART_FORGET_MS 60000
#define NP_CHILD_STOP_MS           2000 /* from closing the channel to SIGKILL */

struct np_child;

/* What the owner is told; every member but feed may be NULL. ctx is the options'. np_child_close may be called inside
 * any of them. */
struct np_child_events {
    /* A new process runs: send it everything. */
    void (*feed)(void *ctx, struct np_child *child);
    /* A frame came (REDY and others). Take descriptors out of it by setting them to -1; the rest are closed. */
    void (*frame)(void *ctx, struct np_child *child, struct np_frame *frame);
    /* The process has ended; status is waitpid's, -1 where it is unknown. A restart is planned already. */
    void (*died)(void *ctx, struct np_child *child, int status);
};

/* How to start it. Strings and events are copied or borrowed as said. */
struct np_child_options {
    const char *verb;      /* argv[1], static storage: "child-resolver" */
    const char *log_level; /* given as NP_LOG_LEVEL in its environment ("info"); static storage; NULL: not set */
    const char *program;   /* static storage; NULL: /proc/self/exe. For tests */
    struct np_child_events events; /* copied */
    void *ctx;
    /* Tests shorten these; 0: the constants above. */
    int64_t restart_first_ms, restart_cap_ms, stop_ms;
};

/* What is known of it. */
struct np_child_status {
    pid_t pid;          /* 0: not running */
    bool ready;         /* REDY was received from this process */
    unsigned restarts;  /* starts after the first */
    int last_status;    /* waitpid's of the last death; -1: unknown or none */
    int64_t started_ms; /* uv_now of the last start */
};

/* Allocates; starts nothing. Returns 0 or -errno. */
int np_child_new(uv_loop_t *loop, const struct np_child_options *options, struct np_child **out_child);

/* Starts the process, now. feed() is called before it returns. Returns 0 or -errno; when the fork itself fails a retry
 * is planned all the same. Calling it while it runs does nothing. */
int np_child_start(struct np_child *child);

/* Sends one frame, or queues it (see above). The descriptors stay the caller's; queued ones are duplicated. Returns 0,
 * NP_E_CLOSED when no process runs (feed() will come), NP_E_LIMIT for a frame that no channel takes, or -errno. */
int np_child_send(struct np_child *child, uint32_t type, const void *payload, size_t len, const int *fds,
                  size_t fd_count);

/* What is known of it now. */
struct np_child_status np_child_status(const struct np_child *child);

/* Stops it for good: closes the channel, waits NP_CHILD_STOP_MS, kills, reaps, frees, and then calls done(ctx) from the
 * loop (done may be NULL). No events are called any more. NULL is fine (done is called at once then). */
void np_child_close(struct np_child *child, void (*done)(void *ctx), void *ctx);

#endif

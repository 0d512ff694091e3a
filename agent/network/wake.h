/* wake: tells when the system's clock was set, or the machine was suspended and runs again.
 *
 * What was planned by elapsed time is then late or early, and what the kernel told meanwhile may be lost: the owner
 * looks at everything anew. The kernel says so by itself through a timer on CLOCK_REALTIME that never goes off but is
 * cancelled (TFD_TIMER_CANCEL_ON_SET, timerfd_create(2)): no polling, no wake-ups.
 *
 * Lifecycle: np_wake_new, woken() from the loop, np_wake_close; the memory goes when the loop has closed the handle. */
#ifndef AGENT_NETWORK_WAKE_H
#define AGENT_NETWORK_WAKE_H

#include <uv.h>

struct np_wake;

/* Watches from now on. woken(ctx) is called once for each time it happened. Returns 0 or -errno. */
int np_wake_new(uv_loop_t *loop, void (*woken)(void *ctx), void *ctx, struct np_wake **out_wake);

/* Stops and frees (from the loop, later). NULL is fine. */
void np_wake_close(struct np_wake *wake);

#endif

/* control: the agent's control socket: a Unix stream socket (mode 0660) that takes one request line and gives one
 * answer.
 *
 * "doctor\n" makes a round and gives what it found (agent/agent_doctor.h), "events N\n" the events after number N, and
 * "events N wait\n" waits up to 4 s for one (agent/events.h); both as JSON.
 * "status\n" gives the status as JSON (agent/cli/status.h), "metrics prometheus\n" and "metrics openmetrics\n" what can
 * be counted (resolver/base/metrics.h). "leave REASON\n" (reset, resale, compromise) begins to
 * leave HQ, "leave REASON local\n" leaves without telling it; both, and "leave\n" alone, answer at once how it stands:
 * {"leave": "none" | "under-way" | "failed" | "unwritten" | "done", "problem": null | "why it failed", "name": null |
 * "the name"}. "name check LABEL\n" and "name request LABEL\n" begin to ask HQ whether the box may have that name, and
 * for it; both, and "name\n" alone, answer at once how it stands: {"ask": "none" | "under-way" | "failed" | "done",
 * "asked": the label, "check": whether it was a check, "problem": null | {"type": HQ's word or null, "detail": ...},
 * "offer": null | {"name", "until", "public": [sentences]}, "name", "wanted", "old": null | {"name", "until"}}.
 * Anything else gives {"error": "..."}. The connection is closed after the answer. Who may connect is the file's mode
 * and group; to begin to leave, and to ask for a name, is for root and the agent's own user alone. Lifecycle:
 * np_control_new, np_control_close; the memory goes when the loop has closed the handles. */
#ifndef AGENT_CONTROL_H
#define AGENT_CONTROL_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#define NP_CONTROL_CLIENTS_MAX 8    /* people and a watchdog */
#define NP_CONTROL_REQUEST_MAX 128  /* bytes of the request line */
#define NP_CONTROL_TIMEOUT_MS  5000 /* from connecting to the end of the answer */
#define NP_CONTROL_NAME        "control.sock"

struct np_control;

/* Takes a request line (without its newline), to be answered now or later by np_control_answer_take with the ticket.
 * owner: the peer is root or the agent's own user (SO_PEERCRED), and so may do more than look. */
typedef void np_control_fn(void *ctx, uint64_t ticket, const char *request, bool owner);

/* Binds path (an old socket file is removed) and listens. Returns 0 or -errno. */
int np_control_new(uv_loop_t *loop, const char *path, np_control_fn *answer, void *ctx,
                   struct np_control **out_control);

/* Answers a request once: text is malloc'd and taken over; NULL (out of memory) closes the connection. Nothing happens
 * where the client has gone meanwhile. */
void np_control_answer_take(struct np_control *control, uint64_t ticket, char *text);

/* Removes the socket's file, closes every connection and frees (from the loop, later). NULL is fine. */
void np_control_close(struct np_control *control);

#endif

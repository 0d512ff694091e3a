/* agent: the daemon on the device. Ties the parts together and decides nothing by itself: the enrolment machine
 * (agent/certificate/enrol), the choice of addresses (agent/network/addresses) and the listeners say what is to be
 * done; this is the shell that moves the bytes.
 *
 *   netwatch -> choice -> listeners, view -> resolver and front (LSTN, VIEW, DROP)
 *   resolv.conf -> upstreams -> view, HQ's look-up
 *   enrolment machine <-> HQ (hqclient), state folder (store) -> certificate -> front (CERT), view
 *   control.sock <- `nameplate status`
 *
 * One loop, one thread, one timer over a job planner. */
#ifndef AGENT_AGENT_H
#define AGENT_AGENT_H

#include "agent/config.h"

/* Runs until SIGTERM or SIGINT. Returns the process's exit code: 0 after a clean stop, 1 when it could not start
 * (logged). config is borrowed. */
int np_agent_run(const struct np_agent_config *config);

#endif

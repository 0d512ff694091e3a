/* agent_doctor: the doctor's rounds inside the agent: who is asked, when, and what is kept of it. What the answers mean
 * is agent/network/probe_judge; how it is told is agent/agent_doctor_checks.c.
 *
 * A round for a person (`nameplate doctor`) asks the zone's servers, the home's resolvers, the gateway and the own
 * resolver, shakes hands with the own front and with HQ, all at once, and ends after NP_DOCTOR_ROUND_MS whatever has
 * not answered. A round of the agent's own (after a push, once a day) leaves out the handshakes. */
#ifndef AGENT_AGENT_DOCTOR_H
#define AGENT_AGENT_DOCTOR_H

#include <stdbool.h>
#include <stdint.h>

#include "agent/control.h"
#include "agent/network/probe.h"
#include "agent/tls/lookup.h"
#include "agent/tls/stream.h"

#define NP_DOCTOR_ROUND_MS   4000 /* under the 5 s that `nameplate doctor` may take */
#define NP_DOCTOR_SERVERS_MS 1400 /* for finding the zone's servers; those of before are asked where that fails */
#define NP_DOCTOR_ZONE_MS    2000 /* for their answers */
#define NP_DOCTOR_DAY_MS     86400000
#define NP_DOCTOR_TROUBLE_MS 3600000 /* instead, while something is in the way: the owner may have mended it */
#define NP_DOCTOR_MOVED_MS   30000   /* after the way out, or the resolvers, have changed */
#define NP_DOCTOR_FIRST_MS   60000   /* after a start: enrolment and first push are done by then */
#define NP_DOCTOR_PAST_MAX   NP_PROBE_PAST_MAX

/* How a handshake went. */
struct np_doctor_shake {
    bool asked, over;
    int err;       /* 0: it worked */
    char why[160]; /* for a person, where it did not */
    int64_t took_ms;
    bool has_digest; /* of the certificate that was shown */
    uint8_t digest[32];
    struct np_endpoint remote;
};

struct np_agent;
struct np_doctor_call;

/* What a round is doing, and what the last one found. */
struct np_agent_doctor {
    struct np_agent *agent;
    bool running, full;
    bool wants_servers; /* the zone's servers are being looked for */
    int64_t begin_ms;
    unsigned open_parts;
    struct np_probe *home, *zone;
    struct np_lookup *hq_lookup;
    struct np_doctor_call *front_call, *hq_call;
    struct np_doctor_shake front, hq;
    struct np_probe_server servers[NP_PROBE_SERVERS_MAX];
    size_t count;
    bool has_result, was_full; /* of the last round */
    struct np_probe_result result;
    int64_t at_s, at_ms, took_ms;
    uint64_t tickets[NP_CONTROL_CLIENTS_MAX];
    size_t ticket_count;
};

/* Do the home's devices ask this box for everything? */
bool np_agent_is_homes_resolver(const struct np_agent *agent);

/* Gives the last round's verdict to the front, for its pages. */
void np_agent_doctor_tell_front(struct np_agent *agent);

/* The last round as JSON (docs/schema/doctor.schema.json), malloc'd; NULL when out of memory.
 * agent/agent_doctor_checks.c makes it. */
char *np_agent_doctor_write(struct np_agent *agent);

#endif

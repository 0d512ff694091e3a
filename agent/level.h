/* level: how the box does, as a colour: what `nameplate status` and the status page show of each part, and of the
 * whole. Pure: facts go in.
 *
 * Green: it works, nobody has to do anything. Yellow: it works, but not as it should, or not for ever; the box mends it
 * by itself, or somebody should look. Red: people notice, or will for certain. HQ's own view of a box (a clone, say) is
 * not known here: HQ shows that to its operator. */
#ifndef AGENT_LEVEL_H
#define AGENT_LEVEL_H

#include <stdbool.h>
#include <stdint.h>

#include "agent/certificate/enrol.h"
#include "agent/front/news.h"

#define NP_LEVEL_LATE_S   (7LL * 86400)  /* a certificate is in its last days; a short-lived one in its last quarter */
#define NP_LEVEL_MISSED_S (2LL * 86400)  /* HQ was silent for longer than from one check-in to the next */
#define NP_LEVEL_SILENT_S (14LL * 86400) /* after so long HQ takes the name out of the zone */

/* What is known. */
struct np_level_facts {
    enum np_enrol_state state;
    bool failing;     /* the last request to HQ went wrong */
    int64_t silent_s; /* since HQ's last answer, or since the start */
    bool has_name, has_certificate;
    bool valid;             /* the certificate, now and for the name */
    int64_t left_s, life_s; /* of it */
    bool clock_right;       /* the system clock is believed, or a few seconds off */
    bool has_address;       /* one that LAN clients can use */
    bool starting;          /* a process, not ready yet or again */
    unsigned listeners, listeners_failed;
    bool unstored; /* the state cannot be written */
    bool damaged;  /* a stored generation was damaged at the start */
    enum np_verdict_kind verdict;
};

#define NP_LEVEL_PART_MAP(X)                                                                                           \
    X(name)                                                                                                            \
    X(certificate)                                                                                                     \
    X(hq)                                                                                                              \
    X(clock)                                                                                                           \
    X(addresses)                                                                                                       \
    X(processes)                                                                                                       \
    X(listeners)                                                                                                       \
    X(state_folder)                                                                                                    \
    X(doctor)

/* The level of each part, and of the whole: the worst. */
struct np_levels {
#define NP_LEVEL_MEMBER(part) enum np_level part;
    NP_LEVEL_PART_MAP(NP_LEVEL_MEMBER)
#undef NP_LEVEL_MEMBER
    enum np_level whole;
};

/* Judges. */
void np_level_judge(const struct np_level_facts *facts, struct np_levels *out_levels);

#endif

/* enrol_private: what enrol.c (what to do next) and enrol_answer.c (what an answer means) share. */
#ifndef AGENT_CERTIFICATE_ENROL_PRIVATE_H
#define AGENT_CERTIFICATE_ENROL_PRIVATE_H

#include "agent/certificate/enrol.h"

/* The one setter of the state: notes old, new and the reason in the action. The same state again changes nothing. */
void np_enrol_set_state(struct np_enrol *e, struct np_enrol_action *out, enum np_enrol_state state, const char *format,
                        ...) __attribute__((format(printf, 4, 5)));

/* Reads dates and names of the stored chain's leaf into the machine. */
void np_enrol_read_installed(struct np_enrol *e);

/* NP_EVENT_STORED. */
void np_enrol_on_stored(struct np_enrol *e, const struct np_enrol_time *t, const struct np_enrol_event *event,
                        struct np_enrol_action *out);

/* NP_EVENT_RESPONSE. */
void np_enrol_on_response(struct np_enrol *e, const struct np_enrol_time *t, const struct np_enrol_event *event,
                          struct np_enrol_action *out);

/* NP_EVENT_FAILED. */
void np_enrol_on_failed(struct np_enrol *e, const struct np_enrol_time *t, const struct np_enrol_event *event,
                        struct np_enrol_action *out);

/* NP_EVENT_CHECKED. */
void np_enrol_on_checked(struct np_enrol *e, const struct np_enrol_time *t, const struct np_enrol_event *event,
                         struct np_enrol_action *out);

#endif

/* enrol_private: what enrol.c (what to do next) and enrol_answer.c (what an answer means) share. */
#ifndef AGENT_CERTIFICATE_ENROL_PRIVATE_H
#define AGENT_CERTIFICATE_ENROL_PRIVATE_H

#include "agent/certificate/enrol.h"

/* The one setter of the state: notes old, new and the reason in the action. The same state again changes nothing. */
void np_enrol_set_state(struct np_enrol *e, struct np_enrol_action *out, enum np_enrol_state state, const char *format,
                        ...) __attribute__((format(printf, 4, 5)));

/* Reads dates and names of the stored chain's leaf into the machine. */
void np_enrol_read_installed(struct np_enrol *e);

/* Backs off: nothing is sent before the delay is over. A wish to leave has failed with it. */
void np_enrol_fail(struct np_enrol *e, const struct np_enrol_time *t, struct np_enrol_action *out,
                   int64_t retry_after_ms, const char *format, ...) __attribute__((format(printf, 5, 6)));

/* From now on the newest token of the state is shown to HQ. */
void np_enrol_use_token(struct np_enrol *e);

/* HQ's poll interval, or the Retry-After that came (0: none), within bounds. */
int64_t np_enrol_poll_pace(const struct np_enrol *e, int64_t retry_after_ms);

/* A package was asked for and there is no newer one: plans the next look. */
void np_enrol_look_again(struct np_enrol *e, const struct np_enrol_time *t, int64_t retry_after_ms);

/* NP_EVENT_START: plans the first check-in and whether the zone is asked. */
void np_enrol_plan_boot(struct np_enrol *e, const struct np_enrol_time *t);

/* Plans the check-in after an enrolment, spread over the second half of its interval. */
void np_enrol_plan_checkin(struct np_enrol *e, const struct np_enrol_time *t);

/* Fills a check-in. */
void np_enrol_fill_checkin(const struct np_enrol *e, const struct np_enrol_time *t, struct np_checkin_request *out);

/* The answer to a check-in. */
void np_enrol_on_checkin(struct np_enrol *e, const struct np_enrol_time *t, const struct np_checkin_answer *answer);

/* Is it time to ask the zone? Plans the timer when it is not yet. */
bool np_enrol_zone_is_due(struct np_enrol *e, const struct np_enrol_time *t);

/* Is it time to compare what the zone has with what HQ promised? Plans it, and the timer, when it is not yet. Only
 * where all is at rest: what differs then is nobody's push under way. */
bool np_enrol_compare_is_due(struct np_enrol *e, const struct np_enrol_time *t);

/* The addresses to publish have changed since the question was planned or asked. */
void np_enrol_zone_changed(struct np_enrol *e, const struct np_enrol_time *t);

/* NP_EVENT_ZONE. */
void np_enrol_on_zone(struct np_enrol *e, const struct np_enrol_time *t, const struct np_enrol_event *event);

/* NP_EVENT_RENEW. */
void np_enrol_on_renew(struct np_enrol *e, const struct np_enrol_time *t);

/* NP_EVENT_ROTATE. */
void np_enrol_on_rotate(struct np_enrol *e);

/* NP_EVENT_LEAVE. */
void np_enrol_on_leave(struct np_enrol *e, const struct np_enrol_time *t, const struct np_enrol_event *event,
                       struct np_enrol_action *out);

/* The wish to leave has failed; text says why. unsure: HQ may have heard it all the same. */
void np_enrol_leave_failed(struct np_enrol *e, bool unsure, const char *text);

/* A wish to leave is under way: it is stored, then told to HQ. */
void np_enrol_decide_leave(struct np_enrol *e, const struct np_enrol_time *t, struct np_enrol_action *out);

/* Sends a signed request with the nonce at hand, or fetches one first. */
void np_enrol_send_signed(struct np_enrol *e, const struct np_enrol_time *t, struct np_enrol_action *out,
                          enum np_request request, enum np_enrol_state state, const char *reason);

/* HQ has let the device go, or need not be told: everything but the addresses and the clock's floor is forgotten. */
void np_enrol_forget(struct np_enrol *e, const struct np_enrol_time *t, struct np_enrol_action *out);

/* Is name one of those that the device has? */
bool np_enrol_is_called(const struct np_state *device, const char *name);

/* What HQ calls the device is asked for, without waiting. */
void np_enrol_want_names(struct np_enrol *e);

/* The installed leaf, where it carries the wanted name: that is the device's name now. */
void np_enrol_promote(struct np_enrol *e, const struct np_x509 *leaf);

/* HQ has said what the certificate must carry: where that is something else, the names are asked for. */
void np_enrol_hear_san(struct np_enrol *e, const char (*san)[NP_NAME_MAX + 1], size_t count);

/* HQ has said what the device is called. */
void np_enrol_take_names(struct np_enrol *e, const struct np_names *names, const char *grant);

/* NP_EVENT_NAME. */
void np_enrol_on_wish(struct np_enrol *e, const struct np_enrol_time *t, const struct np_enrol_event *event);

/* The owner's question has come to nothing; word is HQ's, empty where it is not known whether HQ heard it. */
void np_enrol_ask_failed(struct np_enrol *e, const char *word, const char *text);

/* Is there something to ask about names? Sends it; else plans the timer for the end of an old name. */
bool np_enrol_decide_name(struct np_enrol *e, const struct np_enrol_time *t, struct np_enrol_action *out);

/* The answer to a question about names. */
void np_enrol_on_name(struct np_enrol *e, const struct np_enrol_time *t, const struct np_name_answer *answer);

/* A problem as its answer: true where that is all that there is to it. */
bool np_enrol_on_name_problem(struct np_enrol *e, const struct np_enrol_time *t, const struct np_response *r);

/* NP_EVENT_STORED. */
void np_enrol_on_stored(struct np_enrol *e, const struct np_enrol_time *t, const struct np_enrol_event *event);

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

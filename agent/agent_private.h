/* agent_private: the agent's one top struct, and what its files offer each other. */
#ifndef AGENT_AGENT_PRIVATE_H
#define AGENT_AGENT_PRIVATE_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "agent/agent_doctor.h"
#include "agent/certificate/enrol.h"
#include "agent/certificate/exchange.h"
#include "agent/child/child.h"
#include "agent/config.h"
#include "agent/control.h"
#include "agent/events.h"
#include "agent/front/news.h"
#include "agent/identity/clock.h"
#include "agent/identity/entropy.h"
#include "agent/identity/state.h"
#include "agent/identity/flash.h"
#include "agent/level.h"
#include "agent/listeners.h"
#include "agent/network/addresses.h"
#include "agent/network/netwatch.h"
#include "agent/network/wake.h"
#include "agent/tls/hqclient.h"
#include "agent/tls/lookup.h"
#include "agent/upstreams.h"
#include "resolver/base/jobs.h"
#include "resolver/base/text.h"
#include "resolver/stats.h"
#include "resolver/view.h"

enum np_agent_job {
    NP_JOB_ENROL,
    NP_JOB_LISTEN,
    NP_JOB_CERTIFICATE,
    NP_JOB_ZONE,
    NP_JOB_REPORT,
    NP_JOB_DEPLOY,
    NP_JOB_WATCHDOG,
    NP_JOB_EVENTS,         /* who follows the events is answered with nothing */
    NP_JOB_VISIBLE,        /* the zone's servers are asked whether the last push shows */
    NP_JOB_DOCTOR,         /* a round of the agent's own */
    NP_JOB_DOCTOR_SERVERS, /* the doctor waits no longer for the zone's servers to be found */
    NP_JOB_DOCTOR_END,     /* ... nor for anything */
    NP_JOB_DOUBT,          /* the clock was doubted for long enough */
    NP_JOB_TRIM            /* freed memory goes back */
};

#define NP_CERTIFICATE_LOOK_MS 3600000 /* the wall clock may jump: validity is looked at again at least this often */

#define NP_ZONE_DEADLINE_MS 10000 /* for asking the zone, its name servers' addresses included */

#define NP_REPORT_WAIT_MS 500 /* for the resolver's counters, before a report does without them */

/* What a client of the control socket wants to see. */
enum np_agent_report { NP_REPORT_STATUS, NP_REPORT_PROMETHEUS, NP_REPORT_OPENMETRICS };

/* One that waits for the resolver's counters. */
struct np_agent_waiting {
    uint64_t ticket;
    enum np_agent_report what;
};

/* One that waits for the next event. */
struct np_agent_follower {
    uint64_t ticket, after;
};

#define NP_AGENT_NAMESERVERS_MAX 4 /* of the zone's that are asked: a zone has two to four */
#define NP_AGENT_SERVERS_MAX     6 /* addresses of these */

struct np_agent_lookup {
    struct np_agent *agent;
    struct np_lookup *lookup; /* NULL: over */
};

/* Where the zone's name servers are, looked up when somebody wants to know and kept. */
struct np_agent_servers {
    struct np_endpoint found[NP_AGENT_SERVERS_MAX], next[NP_AGENT_SERVERS_MAX];
    size_t count, next_count;
    int64_t found_ms;
    struct np_agent_lookup lookups[NP_AGENT_NAMESERVERS_MAX];
    unsigned pending;
    bool asking, for_visible, for_doctor;
};

enum np_visible_state { NP_VISIBLE_UNKNOWN, NP_VISIBLE_ASKING, NP_VISIBLE_YES, NP_VISIBLE_NO };

/* Whether the zone shows what HQ has taken. */
struct np_visible {
    enum np_visible_state state;
    struct np_addresses wanted;
    struct np_probe *probe;
    int64_t begin_ms;
    unsigned tries;
    size_t asked, right; /* servers at the last look */
};

/* Everything. About 400 KiB, on the heap. */
struct np_agent {
    const struct np_agent_config *config;
    uv_loop_t loop;
    uv_timer_t timer;
    uv_signal_t sigterm, sigint, sighup;
    struct np_jobs jobs;
    bool stopping;

    struct np_entropy entropy;
    struct np_clock clock;
    struct np_flash flash;
    struct np_flash_report flash_report;
    struct np_state state;

    struct np_enrol enrol;
    struct np_exchange_self self;
    struct np_response response;
    struct np_package package; /* the one that is being checked */
    struct np_tls_anchors *anchors;
    bool has_hq_key; /* of the anchors' file: what HQ signs the time with */
    struct np_public_key hq_key;
    char time_nonce[NP_TIME_NONCE_MAX + 1];
    struct np_hqclient *hq;

    struct np_lookup *zone_lookup; /* of the zone's name server, then of the own name there */
    size_t zone_server;            /* which of state.nameservers */
    bool zone_asking, purge;       /* purge: with the next write older generations go */

    struct np_netwatch *watch;
    struct np_wake *wake;
    struct np_network network; /* the last snapshot, copied */
    struct np_address_choice choice;
    bool has_choice;
    struct np_listeners listeners;
    struct np_upstreams *upstreams[NP_UPSTREAM_FILES_MAX];  /* by the configuration's files */
    struct np_view_upstream servers[NP_VIEW_UPSTREAMS_MAX]; /* in force */
    size_t server_count;
    size_t own_server_count; /* named, but this box itself: left out */
    struct np_endpoint
        lookup_servers[NP_VIEW_UPSTREAMS_MAX]; /* of these, whom the agent itself may ask in clear text */
    size_t lookup_server_count;
    bool doubting;    /* the clock, to find HQ: np_agent_doubt */
    int64_t doubt_ms; /* since when, or the last time; 0: never */
    bool has_lookup;  /* where there is none of these: the resolver itself, at lookup_local */
    int lookup_fds[2];
    struct np_endpoint lookup_local;

    struct np_view view;
    char *view_json; /* what was sent last */
    uint32_t view_serial;
    struct np_child *resolver, *front; /* NULL where the configuration needs none */

    unsigned deploy_looks;            /* since the root oneshot was asked last */
    char deploy_leaf[NP_HEX_LEN(32)]; /* SHA-256 of what it was asked for last */

    struct np_news news; /* for the pages of the front; the verdict in it is the probe's */
    char *news_json;     /* what was sent last */
    bool unanswered;     /* the last request to HQ got no answer */
    int64_t begin_ms;    /* when the agent started */
    int64_t busy_ms;     /* when it last did something that takes memory */

    struct np_control *control;
    struct np_agent_waiting waiting[NP_CONTROL_CLIENTS_MAX];
    size_t waiting_count;
    struct np_events events;
    struct np_agent_follower followers[NP_CONTROL_CLIENTS_MAX];
    size_t follower_count;
    bool hq_fails; /* the last event about HQ said so */
    struct np_agent_servers zone_servers;
    struct np_visible visible;
    struct np_addr past[NP_DOCTOR_PAST_MAX]; /* addresses that were offered to HQ before, newest first */
    size_t past_count;
    struct np_agent_doctor *doctor; /* NULL before its first round */
    struct np_stats *counters;      /* the resolver's, while a report is made; NULL: it did not tell them */
};

/* Milliseconds of the loop's clock, refreshed. */
int64_t np_agent_now_ms(struct np_agent *agent);

/* Arms the one timer for the earliest job. */
void np_agent_arm(struct np_agent *agent);

/* Something was done that takes memory: what is freed of it goes back to the kernel soon, and once more when the
 * connection to HQ that may have come with it is closed. */
void np_agent_was_busy(struct np_agent *agent);

/* Seconds of a clock that nobody sets and that runs on in suspend. */
int64_t np_agent_steady_s(void);

/* The time of certificates: the clock's judgement of the system's. */
int64_t np_agent_judged_s(const struct np_agent *agent);

/* Is the stored certificate valid now and good for the device's name? */
bool np_agent_certificate_valid(const struct np_agent *agent);

/* Makes the client for HQ and the machine, on the loaded state. Returns 0 or an error that was logged. */
int np_agent_hq_start(struct np_agent *agent);

/* Seeds the generator, from the kernel and from what only this box has. 0, or -EAGAIN while the kernel's pool is not
 * ready. */
int np_agent_seed(struct np_agent *agent);

/* One event for the enrolment machine, and every action that follows from it. */
void np_agent_enrol(struct np_agent *agent, const struct np_enrol_event *event);

/* np_agent_enrol with an event that has nothing but its type. */
void np_agent_enrol_simple(struct np_agent *agent, enum np_enrol_event_type type);

/* Logs the stored certificate and the URL, if there is one: "certificate installed, valid until ...". */
void np_agent_log_certificate(const struct np_agent *agent, const char *what);

/* Starts children, netwatch and the watch of resolv.conf. Returns 0 or an error that was logged. */
int np_agent_net_start(struct np_agent *agent);

/* Looks at interfaces, addresses, name servers and the certificate's validity at once, whatever was seen before. */
void np_agent_look_again(struct np_agent *agent);

/* Opens listeners that are due, and hands them out. */
void np_agent_listen(struct np_agent *agent);

/* Makes the view anew and sends it where it differs; plans the next look at the certificate's validity. */
void np_agent_update_view(struct np_agent *agent);

/* Gives the front the certificate that the state holds. */
void np_agent_send_certificate(struct np_agent *agent);

/* Sends a child a frame; text is its payload. What cannot be sent is logged, and feed comes with the next process. */
void np_agent_tell(struct np_agent *agent, struct np_child *child, uint32_t type, const char *text, const int *fds,
                   size_t fd_count);

/* Where every upstream must be asked over TLS, the agent's own look-ups go to its resolver: opens the sockets for it.
 */
void np_agent_dot_open(struct np_agent *agent);

/* Closes them. */
void np_agent_dot_close(struct np_agent *agent);

/* Tells a new child what it needs for DNS over TLS (anchors, clock, look-up sockets), and gives the two children a
 * channel to each other. */
void np_agent_dot_feed(struct np_agent *agent, struct np_child *child);

/* Tells the front what time it certainly is: after the clock's floor has moved. */
void np_agent_send_clock(struct np_agent *agent);

/* HQ could not be found. Where only servers of DNS over TLS can be asked, and HQ could say what time it is, their
 * certificates are judged at the floor for a while, at most so often: the clock may be ahead of them. */
void np_agent_doubt(struct np_agent *agent);

/* The system clock is right, HQ has signed a better time, or HQ was looked for long enough: an end of that. */
void np_agent_trust(struct np_agent *agent);

/* Tells the front what its pages say, where that has changed: after an event of the enrolment machine, a new view, a
 * new verdict. */
void np_agent_send_news(struct np_agent *agent);

/* What is in the way of the name: what the agent knows without asking anybody, else the probe's word. */
enum np_verdict_kind np_agent_verdict(const struct np_agent *agent);

/* How the box does, in colours. */
void np_agent_levels(struct np_agent *agent, struct np_levels *out_levels);

/* The probe's verdict on the own name, which is copied; shown while the agent itself knows nothing worse. */
void np_agent_set_verdict(struct np_agent *agent, const struct np_verdict *verdict);

/* The addresses were chosen anew: they go into the history. */
void np_agent_note_addresses(struct np_agent *agent);

/* Takes the certificate away from the front. */
void np_agent_drop_certificate(struct np_agent *agent);

/* Begins to ask the zone's name servers for the own name; NP_EVENT_ZONE comes later, once. */
void np_agent_ask_zone(struct np_agent *agent);

/* NP_JOB_ZONE is due. */
void np_agent_zone_due(struct np_agent *agent);

/* Gives the question up. */
void np_agent_zone_stop(struct np_agent *agent);

/* What the box is called beside its name: the member "naming" of the status, a new reference. */
json_t *np_agent_naming(const struct np_agent *agent);

/* Answers a control client's "name" with words behind it (agent/control.h), malloc'd; NULL when out of memory. */
char *np_agent_name_asked(struct np_agent *agent, const char *words, bool owner);

/* What the box was called before a step. */
struct np_agent_names {
    char name[NP_NAME_MAX + 1], wanted[NP_NAME_MAX + 1], old[NP_NAME_MAX + 1];
    char san[NP_SAN_MAX][NP_NAME_MAX + 1];
    size_t san_count;
};

/* Keeps it. */
void np_agent_names_keep(const struct np_agent *agent, struct np_agent_names *out);

/* After the step: events and the view, where it is called otherwise now. */
void np_agent_names_compare(struct np_agent *agent, const struct np_agent_names *before);

/* How a wish to leave stands, as JSON (agent/control.h), malloc'd; NULL when out of memory. */
char *np_agent_leave_status(const struct np_agent *agent);

/* Answers a control client with a report: at once, or once the resolver has told its counters. */
void np_agent_report(struct np_agent *agent, uint64_t ticket, enum np_agent_report what);

/* Asks the resolver for its counters; np_agent_take_counters comes later, if all is well. Returns 0, or NP_E_CLOSED
 * where no resolver runs, or -errno. */
int np_agent_ask_counters(struct np_agent *agent);

/* A STAT frame came from the resolver: answers who waits for it. */
void np_agent_take_counters(struct np_agent *agent, const struct np_frame *frame);

/* NP_JOB_REPORT is due: answers who waits, without counters. */
void np_agent_report_due(struct np_agent *agent);

/* What can be counted, as metrics in that format, malloc'd; NULL when out of memory. */
char *np_agent_metrics(struct np_agent *agent, enum np_metrics_format format);

/* Is it an address of this box on which a resolver of ours may listen? */
bool np_agent_is_self(const struct np_agent *agent, const struct np_endpoint *server);

/* An event that belongs to no change of addresses; who follows is told. */
void np_agent_event(struct np_agent *agent, enum np_happening what, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The choice has changed: begins the next change, at the time of the kernel's first event. */
void np_agent_event_change(struct np_agent *agent);

/* The newest change has come so far (np_events_step). */
void np_agent_event_step(struct np_agent *agent, enum np_happening what, const char *text);

/* After each step of the machine: an event when HQ begins to fail, or to answer again. */
void np_agent_event_hq(struct np_agent *agent);

/* Answers a control client's "events AFTER [wait]". */
void np_agent_events_asked(struct np_agent *agent, uint64_t ticket, const char *words);

/* NP_JOB_EVENTS is due. */
void np_agent_events_due(struct np_agent *agent);

/* The addresses as "192.168.1.9, fd42::9" ("no address"). Returns out. */
const char *np_agent_list(const struct np_addresses *set, char *out, size_t size);

/* Looks the zone's name servers up; np_agent_visible_servers and np_agent_doctor_servers are called for whoever has set
 * its flag in zone_servers, perhaps from inside. */
void np_agent_servers_want(struct np_agent *agent);

/* Gives that up. */
void np_agent_servers_stop(struct np_agent *agent);

/* Gives it up and forgets what was found: another zone. */
void np_agent_servers_forget(struct np_agent *agent);

/* HQ has promised to publish these: asks the zone's servers until all that can be asked show them. */
void np_agent_visible_start(struct np_agent *agent, const struct np_addresses *wanted);

/* NP_JOB_VISIBLE is due. */
void np_agent_visible_due(struct np_agent *agent);

/* The zone's servers are known, or cannot be found. */
void np_agent_visible_servers(struct np_agent *agent);

/* Asks no more. */
void np_agent_visible_stop(struct np_agent *agent);

/* Answers a control client's "doctor" with a round of its own. */
void np_agent_doctor_asked(struct np_agent *agent, uint64_t ticket);

/* Plans a round of the agent's own so much later, unless one is planned for earlier. */
void np_agent_doctor_plan(struct np_agent *agent, int64_t delay_ms);

/* NP_JOB_DOCTOR, NP_JOB_DOCTOR_SERVERS and NP_JOB_DOCTOR_END are due. */
void np_agent_doctor_due(struct np_agent *agent);
/* See np_agent_doctor_due. */
void np_agent_doctor_servers_due(struct np_agent *agent);
/* See np_agent_doctor_due. */
void np_agent_doctor_end_due(struct np_agent *agent);

/* The zone's servers are known, or cannot be found. */
void np_agent_doctor_servers(struct np_agent *agent);

/* Gives a round up; nobody is answered any more. */
void np_agent_doctor_stop(struct np_agent *agent);

/* The last round's verdict for the status, a new reference; JSON null before the first. */
json_t *np_agent_doctor_brief(struct np_agent *agent);

/* "2026-11-29T18:20:31Z", a new reference; JSON null for a time that has no such form. */
json_t *np_agent_iso_time(int64_t at_s);

/* Every interface and address of the last snapshot, and what became of it: the member "interfaces" of the status. NULL
 * when out of memory. */
json_t *np_agent_why(const struct np_agent *agent);

/* The status as JSON (agent/cli/status.h), malloc'd; NULL when out of memory. */
char *np_agent_status(struct np_agent *agent);

/* Asks the root oneshot to give the certificate to other servers of the machine, where the configuration wants that. */
void np_agent_deploy_ask(struct np_agent *agent);

/* After the state was written: asks where the certificate is another one than it was asked for last. The oneshot reads
 * the state folder, so a certificate that could not be stored is not given to anybody. */
void np_agent_deploy_stored(struct np_agent *agent);

/* NP_JOB_DEPLOY: looks at the oneshot's report, and asks again while it is not good, and once a day. */
void np_agent_deploy_look(struct np_agent *agent);

/* What became of it, for the status (null: not wanted); a sentence in problems for each server that does not present
 * the certificate. New reference. */
json_t *np_agent_deploy_status(const struct np_agent *agent, json_t *problems);

#endif

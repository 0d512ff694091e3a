/* enrol: from a box that nobody knows to one with a name, a certificate and published addresses: the state machine of
 * protocol v1's device side (docs/protocol.md).
 *
 * Pure: no clock, socket, file or allocation. The owner (agent/agent.c) brings events with the time and carries out the
 * one action that each step returns; actions that are done at once (store, make a key, check a package) are answered by
 * their own event straight away. What the device remembers is the owner's struct np_state, which the machine changes
 * and the owner writes when told to store.
 *
 *   waiting-entropy -> waiting-address -> nonce -> enrolling -> sending-csr -> waiting-package -> installed
 *                                                                              installed <-> pushing-address, fetching
 *   installed, waiting-package <-> checking-in (daily at the second HQ gave)
 *   any -> leaving (the owner gives the box up; stored first, and taken up again after a restart) -> starting, as a
 *          new device
 *   any -> session (the token was not accepted) -> where it was
 *   any -> backoff (full jitter, doubling, Retry-After kept) -> where it was
 *   any -> refused (HQ does not take the credential: once a day), blocked (HQ wants no more requests: none until
 * restart)
 *
 * A name that the owner has chosen: HQ gives it as `wanted`, and san has it; the box makes a key and sends a CSR for
 * all of san, while what is installed goes on being served under the name that it has. With the certificate that
 * carries the wanted name that is the box's name; the one before is `old`, and answered too, until HQ's san is without
 * it.
 *
 * Rules: one request at a time; no answer of HQ deletes a key, a name or a certificate that may be valid; only
 * NP_EVENT_LEAVE, which a person asks for, makes it forget who it is. What the state holds is stored before anything is
 * sent. Where the flash cannot be written the box goes on with what it has: it serves, pushes and fetches, with the
 * token that is stored; only what a power cut would make it forget (its identity, the key of a CSR) is not shown to HQ
 * before it is stored.
 *
 * After a boot the zone is asked first (np_enrol_ask_zone_first): addresses that it has already are not pushed. From
 * then on it is asked hourly: where it has something else than HQ promised, the addresses are pushed again. The
 * check-in follows after a random part of HQ's boot jitter, or at once when the certificate is missing, expired or in
 * its last quarter. When the device looks for a new certificate is agent/certificate/renew. */
#ifndef AGENT_CERTIFICATE_ENROL_H
#define AGENT_CERTIFICATE_ENROL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/certificate/package.h"
#include "agent/certificate/renew.h"
#include "agent/identity/state.h"
#include "agent/network/publish.h"
#include "hq/proto/message.h"
#include "resolver/base/jobs.h"

#define NP_ENROL_REASON_MAX         256
#define NP_ENROL_TRANSITIONS_MAX    4      /* changes of state in one step */
#define NP_ENROL_RETRY_MS           1000   /* first retry; doubles to the cap */
#define NP_ENROL_RETRY_CAP_MS       900000 /* 15 min: HQ was away, people are waiting */
#define NP_ENROL_REFUSED_MS         86400000
#define NP_ENROL_NONCE_MS           1800000 /* a nonce is good for an hour; half of it is sure */
#define NP_ENROL_ENTROPY_MS         250     /* how often getrandom is asked again */
#define NP_ENROL_NONCE_RETRIES      5       /* badNonce in a row before backing off */
#define NP_ENROL_POLL_MS            2000    /* where HQ names no pace */
#define NP_ENROL_POLL_MIN_MS        250
#define NP_ENROL_POLL_MAX_MS        3600000
#define NP_ENROL_BOOT_JITTER_MAX_MS 86400000
#define NP_ENROL_DEAD_KEY_MS        259200000 /* 3 days of dead orders: then another key is tried (HQ takes 3 a week) */
#define NP_ENROL_DAY_MS             86400000
#define NP_ENROL_COMPARE_MS         3600000 /* how often what the zone has is compared with what HQ said it would have */
#define NP_ENROL_TIME_MS            3600000 /* HQ is asked the time at most so often for one reason */
#define NP_ENROL_NAMES_MS           600000 /* what the box is called is asked at most so often without a person's wish */
#define NP_ENROL_STORE_RETRY_MS     1000   /* first repetition of a write that failed; doubles to the cap */
#define NP_ENROL_STORE_CAP_MS       900000 /* a disk that was full for days is noticed to be free within 15 min */

#define NP_ENROL_STATE_MAP(X)                                                                                          \
    X(NP_ENROL_STARTING, "starting")                                                                                   \
    X(NP_ENROL_WAITING_ENTROPY, "waiting-entropy")                                                                     \
    X(NP_ENROL_STORING, "storing")                                                                                     \
    X(NP_ENROL_WAITING_ADDRESS, "waiting-address")                                                                     \
    X(NP_ENROL_NONCE, "nonce")                                                                                         \
    X(NP_ENROL_ENROLLING, "enrolling")                                                                                 \
    X(NP_ENROL_SENDING_CSR, "sending-csr")                                                                             \
    X(NP_ENROL_WAITING_PACKAGE, "waiting-package")                                                                     \
    X(NP_ENROL_INSTALLED, "installed")                                                                                 \
    X(NP_ENROL_PUSHING, "pushing-address")                                                                             \
    X(NP_ENROL_FETCHING, "fetching")                                                                                   \
    X(NP_ENROL_CHECKING_IN, "checking-in")                                                                             \
    X(NP_ENROL_NAMING, "asking-name")                                                                                  \
    X(NP_ENROL_ASKING_TIME, "asking-time")                                                                             \
    X(NP_ENROL_LEAVING, "leaving")                                                                                     \
    X(NP_ENROL_SESSION, "session")                                                                                     \
    X(NP_ENROL_BACKOFF, "backoff")                                                                                     \
    X(NP_ENROL_REFUSED, "refused")                                                                                     \
    X(NP_ENROL_BLOCKED, "blocked")

/* The states. */
enum np_enrol_state {
#define NP_ENROL_STATE_ENUM(name, text) name,
    NP_ENROL_STATE_MAP(NP_ENROL_STATE_ENUM)
#undef NP_ENROL_STATE_ENUM
};

/* What can be asked of HQ. */
enum np_request {
    NP_REQUEST_NONE,
    NP_REQUEST_NONCE,
    NP_REQUEST_ENROL,
    NP_REQUEST_CSR,
    NP_REQUEST_PACKAGE,
    NP_REQUEST_ADDRESSES,
    NP_REQUEST_SESSION,
    NP_REQUEST_CHECKIN,
    NP_REQUEST_LEAVE,
    NP_REQUEST_NAME,
    NP_REQUEST_TIME /* the owner makes the nonce, and verifies the answer before it gives it on */
};

/* An answer of HQ, parsed (agent/certificate/exchange). Large: one lives in the owner. */
struct np_response {
    enum np_request request;
    int status;
    int64_t retry_after_ms; /* 0: none */
    int64_t time_s;         /* 0: none */
    char nonce[NP_NONCE_MAX + 1];
    char etag[NP_ETAG_MAX + 1];
    int rc; /* of parsing the body, where one was expected: not 0 means the answer below is not there */
    struct np_problem problem; /* status 400 and above; type "other" where the body was no problem document of ours */
    union {
        struct np_enrol_answer enrol;
        struct np_csr_answer csr;
        struct np_pending_answer pending; /* package, 202 */
        struct np_package_answer package; /* package, 200 */
        struct np_addresses_answer addresses;
        struct np_session_answer session;
        struct np_checkin_answer checkin;
        struct np_time_answer time;
        struct np_name_answer name;
    };
};

enum np_enrol_event_type {
    NP_EVENT_START,     /* once, after the state was loaded; entropy */
    NP_EVENT_TIMER,     /* np_enrol_due has come */
    NP_EVENT_ENTROPY,   /* the generator is seeded */
    NP_EVENT_MADE,      /* the key that was asked for is in the state */
    NP_EVENT_STORED,    /* rc: of the write */
    NP_EVENT_ADDRESSES, /* the choice changed: addresses, usable */
    NP_EVENT_ROUTE,     /* the way to the Internet changed: what failed may work now */
    NP_EVENT_RESPONSE,  /* response */
    NP_EVENT_FAILED,    /* the request did not get an answer: reason */
    NP_EVENT_CHECKED,   /* the package was checked: rc, reason, package, from_next */
    NP_EVENT_ZONE,      /* the zone was asked: rc (0: it answered), addresses (what it has for the own name) */
    NP_EVENT_LEAVE,     /* a person wants the box to leave HQ: leave, local */
    NP_EVENT_RENEW,     /* a person wants to know now whether there is a newer certificate */
    NP_EVENT_ROTATE,    /* a person wants another TLS key: the certificate is replaced once HQ has one for it */
    NP_EVENT_NAME       /* a person wants another name for the box, or to know whether he may: reason (the label), check
                         */
};

/* An event. Pointers are borrowed for the step. */
struct np_enrol_event {
    enum np_enrol_event_type type;
    int rc;
    const char *reason;
    bool entropy;                         /* START: the generator is seeded already */
    bool no_clock;                        /* START: the system clock is not believed, and HQ's signature of the time can
                                             be verified */
    const struct np_addresses *addresses; /* what should be published */
    bool usable;                          /* the box has an address that LAN clients can use */
    const struct np_response *response;   /* RESPONSE and CHECKED */
    const struct np_package *package;     /* CHECKED with rc 0 */
    bool from_next;                       /* CHECKED: it is for state->next, not for state->tls */
    enum np_leave_reason leave;           /* LEAVE */
    bool local;                           /* LEAVE: without telling HQ */
    bool check;                           /* NAME: nothing is to be changed */
};

enum np_enrol_action_type {
    NP_ACTION_NONE,          /* wait for an event, or the timer at np_enrol_due */
    NP_ACTION_MAKE_IDENTITY, /* identity key, epoch and token into the state; then MADE */
    NP_ACTION_MAKE_KEY,      /* a TLS key into state->next; then MADE */
    NP_ACTION_STORE,         /* write the state; then STORED */
    NP_ACTION_SEND,          /* request; then RESPONSE or FAILED */
    NP_ACTION_CHECK,         /* check the package in the response; then CHECKED with the same response */
    NP_ACTION_INSTALL,       /* serve state->tls and state->chain from now on; then step with TIMER */
    NP_ACTION_ASK_ZONE,      /* ask the zone's name servers for the own name; step with TIMER now, ZONE comes later */
    NP_ACTION_FORGET         /* the state is empty: serve nothing of the old name, let no copy of the old state stay
                                behind the next STORE; then step with TIMER */
};

/* A change of state, for the log. */
struct np_enrol_transition {
    enum np_enrol_state from, to;
    char reason[NP_ENROL_REASON_MAX];
};

/* What one step wants. */
struct np_enrol_action {
    enum np_enrol_action_type type;
    enum np_request request;               /* SEND */
    char nonce[NP_NONCE_MAX + 1];          /* SEND of a signed request */
    struct np_addresses_request addresses; /* SEND of NP_REQUEST_ADDRESSES; of NP_REQUEST_ENROL: what to state */
    struct np_checkin_request checkin;     /* SEND of NP_REQUEST_CHECKIN, but for the version */
    struct np_leave_request leave;         /* SEND of NP_REQUEST_LEAVE */
    struct np_name_request name;           /* SEND of NP_REQUEST_NAME */
    struct np_enrol_transition transitions[NP_ENROL_TRANSITIONS_MAX];
    size_t transition_count;
};

/* The time of a step. */
struct np_enrol_time {
    int64_t now_ms;   /* monotonic */
    int64_t judged_s; /* Unix time to judge certificates by */
};

/* Whether the zone is asked before addresses are pushed after a boot. */
enum np_zone_question {
    NP_ZONE_SETTLED, /* not needed, or answered */
    NP_ZONE_WANTED,  /* once the addresses have stood still */
    NP_ZONE_ASKING,
    NP_ZONE_UNKNOWN /* it could not be asked: again when the way out changes; else the check-in settles it */
};

/* How a wish to leave stands. */
enum np_leave_progress {
    NP_LEAVE_NONE,
    NP_LEAVE_UNDER_WAY,
    NP_LEAVE_FAILED,     /* leave_problem says why; nothing has changed */
    NP_LEAVE_FORGETTING, /* the box has begun anew, which is not stored yet */
    NP_LEAVE_UNWRITTEN,  /* likewise, and it cannot be: leave_problem says why */
    NP_LEAVE_DONE        /* the box has begun anew */
};

/* How a person's question about a name stands. */
enum np_name_progress {
    NP_NAME_NONE,
    NP_NAME_UNDER_WAY,
    NP_NAME_FAILED, /* ask_word and ask_problem say why */
    NP_NAME_DONE    /* HQ has given it, or (check) would: offer */
};

/* The machine. All members are private but for state, reason and the ones marked. */
struct np_enrol {
    struct np_state *device; /* borrowed */
    np_random_below_fn *below;
    void *below_ctx;

    enum np_enrol_state state;               /* readable */
    char reason[NP_ENROL_REASON_MAX];        /* readable: why it is in that state */
    int64_t last_contact_ms;                 /* readable: of the last answer; 0: none yet */
    char problem[NP_ENROL_REASON_MAX];       /* readable: the last failure, empty when the last request went well */
    char store_problem[NP_ENROL_REASON_MAX]; /* readable: why the state cannot be stored; empty: it is */
    struct np_publisher publisher;           /* readable */
    int64_t checkin_ms;                      /* readable: the next check-in; NP_JOB_NEVER: none planned */
    enum np_leave_progress leave;            /* readable */
    char leave_problem[NP_ENROL_REASON_MAX]; /* readable */
    enum np_name_progress ask;               /* readable, with what belongs to it: */
    bool ask_check;
    char ask_label[NP_NAME_MAX + 1], ask_word[64], ask_problem[NP_ENROL_REASON_MAX];
    struct np_name_offer offer;

    struct np_addresses_answer pushed; /* readable: HQ's answer to the last push that it took */
    bool has_pushed;                   /* readable: there was one since the start, for this name */

    bool local_only, entropy, network, usable, dirty, install, checking;
    bool csr_accepted, want_csr, need_session, need_enrol, session_fresh, blocked, refused, ordered;
    enum np_request inflight;
    struct np_addresses wanted, stated;
    char nonce[NP_NONCE_MAX + 1];
    int64_t nonce_ms;
    unsigned nonce_failures;
    bool covered;                      /* the installed leaf has the names of the last enrolment, and no other */
    bool serves;                       /* it has the device's name at least: while it is valid nothing is urgent */
    int64_t not_before_s, not_after_s; /* of the installed leaf; 0: none */
    struct np_backoff backoff;
    int64_t retry_ms, poll_ms, due_ms;
    struct np_backoff store_backoff;
    int64_t store_ms;                   /* when a write that failed is tried again */
    bool identity_stored, next_stored;  /* what the flash has of the state's keys */
    uint8_t token_in_use[NP_TOKEN_LEN]; /* the newest one that is stored, or that HQ insisted on */
    int64_t csr_hold_ms;                /* HQ wants no CSR before; addresses and check-ins do not wait for it */
    bool poll_ordered;                  /* poll_ms is HQ's Retry-After */
    bool awaited, urgent;               /* enum np_renew_need */
    unsigned looks;                     /* in a row that brought nothing */
    int64_t dead_ms;                    /* since when HQ gives up every order for the CSR under way; 0: it does not */
    unsigned key_failures;              /* packages in a row that were for no key of ours */
    int64_t look_offset_ms;             /* the first look's part of the fleet's spread */
    bool ask_zone;
    enum np_zone_question zone;
    int64_t zone_ms;          /* when it is asked */
    int64_t compare_ms;       /* when it is asked next whether it still has what HQ promised; 0: not planned */
    bool comparing;           /* that question is under way */
    unsigned compared;        /* readable: answers that differed, since the start */
    bool can_time, want_time; /* a signed time can be verified; is wanted */
    int64_t time_ms;          /* when it was asked for last; 0: never */
    bool rotate;              /* the owner wants another key, which has no certificate yet */
    bool need_names;          /* HQ has other names for this box than it knows */
    bool asking;              /* the request under way is a person's question */
    int64_t names_ms;         /* HQ is not asked for them before */
    bool leave_resumed;       /* under way since before a restart: nobody waits for its end, and failures are no end */
};

/* Begins with what was stored. device stays the caller's and must outlive the machine; local_only: addresses that HQ
 * published earlier are withdrawn; below with its ctx is the source of jitter. */
void np_enrol_init(struct np_enrol *enrol, struct np_state *device, bool local_only, np_random_below_fn *below,
                   void *below_ctx);

/* After a boot, pushes only what the zone does not have: the owner can carry out NP_ACTION_ASK_ZONE. Call before
 * NP_EVENT_START. */
void np_enrol_ask_zone_first(struct np_enrol *enrol);

/* The owner can verify a time that HQ signs: where HQ's certificate is not valid by the clock (NP_EVENT_FAILED with
 * NP_E_DATE), or an answer of HQ says another time than the one that is judged by, it is asked for, at most once in
 * NP_ENROL_TIME_MS. Call before NP_EVENT_START. */
void np_enrol_ask_time(struct np_enrol *enrol);

/* When the machine will next ask HQ for a new package by itself (monotonic ms, at or before now: as soon as it may).
 * NP_JOB_NEVER: before there is a certificate, and for a device that HQ blocked. */
int64_t np_enrol_look_ms(const struct np_enrol *enrol, const struct np_enrol_time *time);

/* Takes one event and says what to do now. *out_action is written whole. */
void np_enrol_step(struct np_enrol *enrol, const struct np_enrol_time *time, const struct np_enrol_event *event,
                   struct np_enrol_action *out_action);

/* The leaf of the stored chain, for the status: 0, NP_E_NOT_FOUND when there is none, or what np_x509_parse says. */
int np_enrol_leaf(const struct np_state *device, struct np_x509 *out_leaf);

/* When to step with NP_EVENT_TIMER if nothing else happens; NP_JOB_NEVER: not at all. */
int64_t np_enrol_due(const struct np_enrol *enrol);

/* The token to poll and push with. Borrowed from the machine; NULL before there is an identity. */
const uint8_t *np_enrol_bearer(const struct np_enrol *enrol);

/* "waiting-package" and so on. Never NULL; static storage. */
const char *np_enrol_state_name(enum np_enrol_state state);

/* "POST /v1/devices" and so on, for the log. Never NULL; static storage. */
const char *np_request_name(enum np_request request);

#endif

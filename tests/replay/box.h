/* box: one device made of the agent's pure cores, under a clock, a network and an HQ that the scenario scripts.
 *
 * It is the agent's shell (agent/agent_hq.c, agent/agent_net.c) without loop, sockets and processes: events go into the
 * enrolment machine, its actions are carried out. Real are the cores, the requests' bytes (exchange), the check of
 * packages, the resolver's answers and the state folder, which lies in a temporary folder and survives `boot`. */
#ifndef TESTS_REPLAY_BOX_H
#define TESTS_REPLAY_BOX_H

#include <stdbool.h>
#include <stdint.h>

#include "agent/certificate/enrol.h"
#include "agent/certificate/exchange.h"
#include "agent/identity/clock.h"
#include "agent/identity/flash.h"
#include "agent/identity/identity.h"
#include "agent/network/addresses.h"
#include "resolver/attempt.h"
#include "resolver/message.h"
#include "resolver/recall.h"
#include "tests/replay/script.h"
#include "tests/support/memory_disk.h"

#define BOX_URL      "https://hq.devices.example"
#define BOX_TRIES    32
#define DNS_ID       0x1234
#define BOX_START_MS 60000 /* of the monotonic clock when the scenario begins: 0 means "never" to some cores */

/* HQ as the scenario plays it, and what it saw. */
struct hq {
    bool away;     /* every request fails at once */
    bool expected; /* the request that waits was named by the scenario */
    unsigned nonces;
    char nonce[NP_NONCE_MAX + 1]; /* the newest that the device was given; empty: used */
    char device[NP_DEVICE_ID_MAX + 1], name[NP_NAME_MAX + 1];
    int64_t seq, n;
    struct np_public_key identity, csr_key;
    bool has_identity;
    uint8_t csr[NP_CSR_MAX]; /* of the newest CSR */
    size_t csr_len;
    bool csr_same;                         /* the newest CSR has the bytes of the one before */
    struct np_addresses_request addresses; /* of the request that waits */
    struct np_enrol_request enrol;         /* likewise */
    const char *bearer; /* "poll", "auth", "older" (an auth token that was given before), "none" or "other" */
};

/* An answer that is on its way to the box, or the end of the hope for one. */
struct box_arrival {
    int64_t at_ms; /* NP_JOB_NEVER: none */
    int err;       /* not 0: no answer came, and why */
    const char *why;
    int status;
    char nonce[NP_NONCE_MAX + 1], etag[NP_ETAG_MAX + 1];
    int64_t retry_after_s;
    char *body; /* malloc'd */
    size_t body_len;
};

/* A question that was forwarded. */
struct question {
    bool open;
    bool waited_for, told_late; /* by a client; has it been told that it takes long */
    uint8_t packet[512];
    size_t len;
    uint32_t ifindex;
    struct np_query query;
    struct np_attempt attempt;
    int64_t due_ms, start_ms;
    struct {
        size_t server;
        struct np_name name; /* as it was sent */
        struct np_try try;
        bool open, ping, seen;
    } tries[BOX_TRIES];
    size_t try_count;
    uint8_t fallback[512];
    size_t fallback_len;
};

/* Everything. */
struct box {
    struct step *step; /* the one that runs */
    char folder[64];
    int64_t now_ms; /* monotonic; HQ's clock runs with it */
    int64_t off_s;  /* the system clock is wrong by so much */
    bool disk_full, entropy_late, running;
    struct memory_disk *medium; /* borrowed; NULL: the folder */
    /* Takes box->exchange to HQ and sets box->arrival. NULL: the scenario plays HQ. */
    void (*carry)(void *ctx, struct box *box, enum np_request request);
    void *carry_ctx;
    struct box_arrival arrival;
    bool purge, seeded;
    bool has_hq_key; /* HQ's, for the time */
    struct np_public_key hq_key;
    char time_nonce[NP_TIME_NONCE_MAX + 1];
    const uint8_t *own_random; /* the kernel's 32 bytes at each boot; NULL: the generator goes on through boots */

    struct np_network network;   /* as the kernel has it */
    struct np_network delivered; /* as the agent last saw it */
    struct np_address_policy policy;

    struct np_entropy entropy;
    struct np_clock clock;
    struct np_flash flash;
    struct np_flash_report report;
    struct np_state state;
    struct np_enrol enrol;
    struct np_exchange_self self;
    struct np_exchange exchange; /* the request that waits */
    struct np_response response;
    struct np_package package;
    struct np_address_choice choice;
    struct np_jobs jobs;
    struct np_view view, view_before;
    char installed[NP_CHAIN_MAX + 1]; /* what the front was given last */
    uint64_t random;

    unsigned requests, pushes, enrolments, csrs, times, writes, installs, events;

    struct hq hq;
    struct np_upstream upstreams[NP_VIEW_UPSTREAMS_MAX];
    size_t upstream_count;
    bool no_streams[NP_VIEW_UPSTREAMS_MAX]; /* by upstream: its streams fail */
    struct np_hedge hedge;
    struct question question;
    uint32_t cache; /* bytes; 0: none */
    enum np_mode mode;
    enum np_filter filter;
    bool no_canary;
    size_t allow_count;
    struct np_view_pattern allow[NP_VIEW_REBIND_MAX];
    struct np_recall recall;
    uint8_t answer[NP_DNS_MESSAGE_MAX]; /* what the client got last */
    size_t answer_len;
    int64_t answer_ms;
};

/* Seconds since 1970 by HQ's clock, and by the box's. */
int64_t box_true_s(const struct box *box);
/* See box_true_s. */
int64_t box_system_s(const struct box *box);

/* The time by which the box judges certificates. */
int64_t box_judged_s(const struct box *box);

/* A box out of the factory, before its first boot: serial number NP-0001. The rest of the struct is zero. */
void box_init(struct box *box);

/* When the box has something to do by itself; NP_JOB_NEVER. */
int64_t box_due(const struct box *box);

/* Does what is due at box->now_ms. */
void box_run(struct box *box);

/* Power on (a running box loses its power first). */
void box_boot(struct box *box);

/* Power off, without any warning. */
void box_kill(struct box *box);

/* One event for the enrolment machine, and every action that follows from it. */
void box_enrol(struct box *box, const struct np_enrol_event *event);

/* Lets the time pass, with every timer in its turn. */
void box_pass(struct box *box, int64_t ms);

/* Takes the kernel's network over as the agent does: nothing where it is equal to what was seen. */
void box_look(struct box *box);

/* Is the installed certificate valid now and for the box's name? */
bool box_certificate_valid(const struct box *box);

/* A number below bound, always the same ones. */
uint32_t box_below(void *ctx, uint32_t bound);

/* The request has left the box: HQ looks at it. */
void hq_receive(struct box *box, const struct np_enrol_action *action);

/* `hq ...` and `expect request ...`, `expect pushed ...`, `expect no request`. */
void hq_step(struct box *box);
/* See hq_step. */
void hq_expect_request(struct box *box);
/* See hq_step. */
void hq_expect_pushed(struct box *box);

/* `network ...`, `config ...`. */
void lan_network(struct box *box);
/* See lan_network. */
void lan_config(struct box *box);

/* Makes the view for the resolver. */
void dns_view(struct box *box);

/* No cache as yet. */
void dns_init(struct box *box);
/* `cache SIZE`: from now on the resolver has one. */
void dns_cache(struct box *box);

/* `resolver ...`. */
void dns_resolver(struct box *box);
/* `ask ...`: a client's question. */
void dns_ask(struct box *box);
/* `expect answered on IF ADDRESS...`: the own name's A and AAAA there. */
void dns_expect_answered(struct box *box);
/* `expect answer RCODE [ADDRESS...] [within=DURATION] [ede=NUMBER] [ttl=NUMBER]`: what `ask` got. */
void dns_expect_answer(struct box *box);

/* `upstreams ...`: whom the resolver forwards to. */
void upstreams_set(struct box *box);
/* `upstream ADDRESS ...`: what one does. */
void upstreams_upstream(struct box *box);
/* `expect asked ADDRESS... [tcp|ping]`: which were asked since this was last expected. */
void upstreams_expect_asked(struct box *box);
/* `expect upstream ADDRESS HEALTH [case=] [edns=]`: what is thought of one. */
void upstreams_expect_upstream(struct box *box);

/* Does no upstream answer? ctx is the box. */
bool upstreams_offline(void *ctx, const struct np_name *qname);

/* The question in box->question is forwarded. */
void upstreams_ask(struct box *box);

/* When the forwarded question wants to be looked at; NP_JOB_NEVER. */
int64_t upstreams_due(const struct box *box);

/* That time has come. */
void upstreams_timer(struct box *box);

/* Addresses as text, for messages; buffer has STEP_TEXT_MAX bytes. */
const char *box_addresses(const struct np_addresses *addresses, char *buffer);

/* Reads a word list of addresses until the end of the line. */
void box_read_addresses(struct step *step, struct np_addresses *out);

#endif

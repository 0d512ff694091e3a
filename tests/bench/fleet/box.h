/* box: one device: the agent's enrolment machine (agent/certificate/enrol) and codec (exchange) as agent/agent_hq.c
 * runs them, with a connection of its own to a real HQ. What a box would store on flash is kept in memory and survives
 * box_power_off. Keys are made beforehand. */
#ifndef TESTS_BENCH_FLEET_BOX_H
#define TESTS_BENCH_FLEET_BOX_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "agent/certificate/enrol.h"
#include "agent/certificate/exchange.h"
#include "agent/tls/http.h"
#include "tests/bench/fleet/link.h"
#include "tests/bench/fleet/tally.h"

#define BOX_REQUESTS  (NP_REQUEST_LEAVE + 1)
#define BOX_ANSWER_MS 30000 /* as the agent's NP_HQCLIENT_ANSWER_MS */

/* What a box can get to. */
enum milestone { BOX_NAMED, BOX_CSR_TAKEN, BOX_INSTALLED, BOX_PUSHED, BOX_CHECKED_IN, BOX_MILESTONES };

struct box;

/* What all boxes share. */
struct fleet_shared {
    uv_loop_t *loop;
    struct link_target target;
    char url[NP_URL_MAX + 1];
    uint8_t master[32]; /* of the factory secrets */
    struct tally_requests requests[BOX_REQUESTS];
    uint64_t connections;      /* begun */
    uint64_t connections_lost; /* ended before an answer, or not made: HQ's refusals are among them */
    void (*reached)(void *ctx, struct box *box, enum milestone milestone);
    void *ctx;
    struct np_response response; /* large: one for all, since a step ends before the next begins */
    struct np_package package;
};

/* One box. */
struct box {
    struct fleet_shared *shared;
    unsigned number;
    struct np_state state;
    struct np_private_key tls_key; /* the next one to be used */
    struct np_enrol enrol;
    struct np_exchange_self self;
    struct np_addresses addresses; /* of its LAN side */
    struct np_addresses shown;     /* what HQ was last heard to have */
    uv_timer_t timer;
    bool on, boots, asked_zone;

    struct link *link;
    struct np_http_parser *parser; /* while an answer is awaited */
    char *request;
    size_t request_len;
    enum np_request kind;
    bool fresh, heard;                     /* the connection was made for this request; a byte of the answer has come */
    uint64_t sent_us;                      /* 0: no request is under way */
    int64_t not_before_ms[BOX_REQUESTS];   /* Retry-After of a refusal, by the kind of request */
    struct np_addresses_request in_flight; /* of a PUT */

    uint64_t begun_us;             /* in this phase; 0: not yet */
    uint64_t changed_us;           /* a new address since then, not yet at HQ; 0: none */
    unsigned seen[BOX_MILESTONES]; /* how often, in this phase */
    bool expired, done;            /* in this phase */
};

/* A box that has never been switched on. Returns 0 or NP_E_KEY. */
int box_init(struct box *box, struct fleet_shared *shared, unsigned number);

/* Power on, in so many milliseconds. */
void box_power_on(struct box *box, uint64_t delay_ms);

/* Power off: what is not stored is gone, the connection with it. */
void box_power_off(struct box *box);

/* The LAN gave it another address. */
void box_renumber(struct box *box);

/* Microseconds of a steady clock; never 0. */
uint64_t box_now_us(void);

#endif

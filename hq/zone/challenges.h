/* challenges: the challenge values that the zone is to show, and who waits until it does. In memory only: the orders in
 * the store are their source.
 *
 * Each change of a name's values gives it the next version. The backend sends what a name has now and, once the name
 * servers have it, confirms the version that it sent: whoever waits for that version or an earlier one is told. A name
 * without values is forgotten when its removal is confirmed. */
#ifndef HQ_ZONE_CHALLENGES_H
#define HQ_ZONE_CHALLENGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "hq/zone/zone.h"

/* A name's challenge values. */
struct np_challenge {
    struct np_challenge *next;
    char name[NP_NAME_MAX + 1]; /* the device's: "nifty-babbage.devices.example" */
    char values[NP_ZONE_TXT_MAX][NP_ZONE_TXT_LEN + 1];
    size_t count;
    uint64_t version;
    uint64_t sent;                           /* the backend's: the version that it has sent; 0: none */
    uint64_t confirmed[NP_ZONE_SERVERS_MAX]; /* likewise: what each server has */
};

struct np_challenge_waiter;

/* All of them. Zero-initialised it is empty. */
struct np_challenges {
    struct np_challenge *first;
    size_t count;
    struct np_challenge_waiter *waiters;
    uint64_t last_version;
};

/* Replaces the values of name; done (may be NULL) is called by np_challenges_confirm or np_challenges_close. Returns 0,
 * NP_E_LIMIT (values, their length, or NP_ZONE_CHALLENGES_MAX names) or -ENOMEM. */
int np_challenges_set(struct np_challenges *challenges, const char *name,
                      const char values[NP_ZONE_TXT_MAX][NP_ZONE_TXT_LEN + 1], size_t count, np_zone_done_fn *done,
                      void *ctx);

/* The name's entry; NULL when it has none. */
struct np_challenge *np_challenges_find(const struct np_challenges *challenges, const char *name);

/* The name servers show what name had at version. The callbacks may set others. */
void np_challenges_confirm(struct np_challenges *challenges, const char *name, uint64_t version);

/* Nothing will be confirmed any more: tells who waits (NP_E_CLOSED) and frees everything. */
void np_challenges_close(struct np_challenges *challenges);

#endif

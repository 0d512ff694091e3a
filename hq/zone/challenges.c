#include "hq/zone/challenges.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "resolver/base/error.h"

/* Somebody who waits until a name's values of that version are shown. */
struct np_challenge_waiter {
    struct np_challenge_waiter *next;
    char name[NP_NAME_MAX + 1];
    uint64_t version;
    np_zone_done_fn *done;
    void *ctx;
};

struct np_challenge *np_challenges_find(const struct np_challenges *challenges, const char *name)
{
    struct np_challenge *challenge = challenges->first;
    while (challenge && strcmp(challenge->name, name) != 0)
        challenge = challenge->next;
    return challenge;
}

int np_challenges_set(struct np_challenges *challenges, const char *name,
                      const char values[NP_ZONE_TXT_MAX][NP_ZONE_TXT_LEN + 1], size_t count, np_zone_done_fn *done,
                      void *ctx)
{
    struct np_challenge *challenge = np_challenges_find(challenges, name);
    size_t name_len = strnlen(name, NP_NAME_MAX + 1);
    if (count > NP_ZONE_TXT_MAX || name_len > NP_NAME_MAX ||
        (!challenge && challenges->count >= NP_ZONE_CHALLENGES_MAX))
        return NP_E_LIMIT;
    for (size_t i = 0; i < count; i++) {
        if (strnlen(values[i], NP_ZONE_TXT_LEN + 1) != NP_ZONE_TXT_LEN)
            return NP_E_LIMIT;
    }
    struct np_challenge_waiter *waiter = done ? calloc(1, sizeof *waiter) : NULL;
    struct np_challenge *added = challenge ? NULL : calloc(1, sizeof *added);
    if ((done && !waiter) || (!challenge && !added)) {
        free(waiter);
        free(added);
        return -ENOMEM;
    }
    if (added) {
        memcpy(added->name, name, name_len + 1);
        added->next = challenges->first;
        challenges->first = challenge = added;
        challenges->count++;
    }
    if (count)
        memcpy(challenge->values, values, count * sizeof values[0]);
    challenge->count = count;
    challenge->version = ++challenges->last_version;
    if (waiter) {
        *waiter = (struct np_challenge_waiter){
            .next = challenges->waiters, .version = challenge->version, .done = done, .ctx = ctx};
        memcpy(waiter->name, name, name_len + 1);
        challenges->waiters = waiter;
    }
    return 0;
}

/* Calls and frees the waiters of a list that nobody else sees any more. */
static void tell(struct np_challenge_waiter *waiter, int rc)
{
    while (waiter) {
        struct np_challenge_waiter *next = waiter->next;
        waiter->done(waiter->ctx, rc);
        free(waiter);
        waiter = next;
    }
}

static void forget(struct np_challenges *challenges, const char *name, uint64_t version)
{
    for (struct np_challenge **link = &challenges->first; *link; link = &(*link)->next) {
        struct np_challenge *challenge = *link;
        if (strcmp(challenge->name, name) != 0)
            continue;
        if (challenge->count == 0 && challenge->version == version) {
            *link = challenge->next;
            challenges->count--;
            free(challenge);
        }
        return;
    }
}

void np_challenges_confirm(struct np_challenges *challenges, const char *name, uint64_t version)
{
    struct np_challenge_waiter *told = NULL, **last = &told;
    for (struct np_challenge_waiter **link = &challenges->waiters; *link;) {
        struct np_challenge_waiter *waiter = *link;
        if (waiter->version > version || strcmp(waiter->name, name) != 0) {
            link = &waiter->next;
            continue;
        }
        *link = waiter->next;
        waiter->next = NULL;
        *last = waiter;
        last = &waiter->next;
    }
    forget(challenges, name, version);
    tell(told, 0);
}

void np_challenges_close(struct np_challenges *challenges)
{
    struct np_challenge_waiter *waiters = challenges->waiters;
    challenges->waiters = NULL;
    while (challenges->first) {
        struct np_challenge *challenge = challenges->first;
        challenges->first = challenge->next;
        free(challenge);
    }
    challenges->count = 0;
    tell(waiters, NP_E_CLOSED);
}

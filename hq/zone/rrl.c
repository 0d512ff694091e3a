#include "hq/zone/rrl.h"

#include <errno.h>
#include <stdlib.h>

struct account {
    uint32_t tag;     /* of network, kind and subject; 0: free */
    uint32_t seen_ms; /* wraps; compared by difference */
    int32_t balance;  /* in thousandths of a response */
    uint32_t limited; /* responses in debt, for the slip */
};

struct np_rrl {
    uint64_t key;
    int64_t rate;
    struct account accounts[NP_RRL_SETS][NP_RRL_WAYS];
};

int np_rrl_new(unsigned rate, uint64_t key, struct np_rrl **out_rrl)
{
    struct np_rrl *rrl = calloc(1, sizeof *rrl);
    if (!rrl)
        return -ENOMEM;
    rrl->key = key;
    rrl->rate = rate < 1 ? 1 : rate > NP_RRL_RATE_MAX ? NP_RRL_RATE_MAX : rate;
    *out_rrl = rrl;
    return 0;
}

void np_rrl_free(struct np_rrl *rrl)
{
    free(rrl);
}

static uint64_t mix(uint64_t hash, uint64_t value)
{
    hash = (hash ^ value) * UINT64_C(0x9e3779b97f4a7c15);
    return hash ^ hash >> 32;
}

static uint64_t hash_account(const struct np_rrl *rrl, const struct np_addr *client, enum np_rrl_kind kind,
                             uint64_t subject)
{
    struct np_addr plain = *client;
    plain.scope = 0;
    const struct np_prefix network =
        np_prefix_of(&plain, client->family == AF_INET ? NP_RRL_V4_PREFIX : NP_RRL_V6_PREFIX);
    uint64_t hash = mix(rrl->key, (uint64_t)network.addr.family << 8 | kind);
    for (size_t i = 0; i < 7; i++) /* the bytes of a /56 */
        hash = mix(hash, network.addr.bytes[i]);
    return mix(mix(hash, subject), rrl->key);
}

/* The account, or the place that it takes. */
static struct account *find(struct np_rrl *rrl, uint64_t hash, uint32_t now_ms, bool *out_known)
{
    struct account *set = rrl->accounts[hash % NP_RRL_SETS], *oldest = set;
    uint32_t tag = (uint32_t)(hash >> 32) | 1u;
    for (size_t i = 0; i < NP_RRL_WAYS; i++) {
        if (set[i].tag == tag) {
            *out_known = true;
            return &set[i];
        }
        if (oldest->tag != 0 && (set[i].tag == 0 || now_ms - set[i].seen_ms > now_ms - oldest->seen_ms))
            oldest = &set[i];
    }
    *out_known = false;
    *oldest = (struct account){.tag = tag, .seen_ms = now_ms};
    return oldest;
}

enum np_rrl_verdict np_rrl_judge(struct np_rrl *rrl, const struct np_addr *client, enum np_rrl_kind kind,
                                 uint64_t subject, int64_t now_ms)
{
    bool known;
    struct account *account = find(rrl, hash_account(rrl, client, kind, subject), (uint32_t)now_ms, &known);
    int64_t most = rrl->rate * 1000, least = -rrl->rate * 1000 * NP_RRL_WINDOW_S;
    int64_t elapsed_ms = (uint32_t)now_ms - account->seen_ms; /* each ms earns rate thousandths */
    int64_t balance = known ? account->balance + elapsed_ms * rrl->rate : most;
    balance = (balance > most ? most : balance) - 1000;
    account->balance = (int32_t)(balance < least ? least : balance);
    account->seen_ms = (uint32_t)now_ms;
    if (balance >= 0) {
        account->limited = 0;
        return NP_RRL_PASS;
    }
    account->limited++;
    return kind != NP_RRL_ERROR && account->limited % NP_RRL_SLIP == 0 ? NP_RRL_SLIP_TC : NP_RRL_DROP;
}

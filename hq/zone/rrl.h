/* rrl: response rate limiting, as BIND and Knot do it: who forges a victim's address gets little out of us, and who is
 * real comes over TCP. Pure: the time goes in.
 *
 * An account is a network (IPv4 /24, IPv6 /56) and a kind of response: an answer to one name and type, NODATA of one
 * name, NXDOMAIN of one zone (whatever random names are asked for), any error. It earns `rate` responses a second, has
 * at most a second's worth in hand, and may be NP_RRL_WINDOW_S seconds' worth in debt, so that a flood that stops is
 * not forgotten at once. In debt, every NP_RRL_SLIP-th response goes out truncated (TC), which costs the victim no
 * more than the question and brings a real client to TCP; the others go nowhere, and so do all errors.
 *
 * The table is fixed. Its hash is keyed; a new account takes the place of the one of its set that was silent longest.
 */
#ifndef HQ_ZONE_RRL_H
#define HQ_ZONE_RRL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "resolver/base/address.h"

#define NP_RRL_SETS      8192 /* of NP_RRL_WAYS accounts: 32,768 in 512 KiB */
#define NP_RRL_WAYS      4
#define NP_RRL_WINDOW_S  15
#define NP_RRL_SLIP      2
#define NP_RRL_V4_PREFIX 24
#define NP_RRL_V6_PREFIX 56
#define NP_RRL_RATE_MAX  100000

enum np_rrl_kind { NP_RRL_ANSWER, NP_RRL_NODATA, NP_RRL_NXDOMAIN, NP_RRL_ERROR };

enum np_rrl_verdict {
    NP_RRL_PASS,
    NP_RRL_SLIP_TC, /* send it truncated */
    NP_RRL_DROP
};

struct np_rrl;

/* rate: responses a second of one account, 1 to NP_RRL_RATE_MAX; key: random. Returns 0 or -ENOMEM. */
int np_rrl_new(unsigned rate, uint64_t key, struct np_rrl **out_rrl);

/* Frees; NULL is fine. */
void np_rrl_free(struct np_rrl *rrl);

/* May this response go to the client? subject tells responses of one kind apart: a hash of name and type, of the name,
 * of the zone; 0 for errors. now_ms never goes back. */
enum np_rrl_verdict np_rrl_judge(struct np_rrl *rrl, const struct np_addr *client, enum np_rrl_kind kind,
                                 uint64_t subject, int64_t now_ms);

#endif

#include "hq/api/judge.h"

#include "hq/acme/renewal.h"
#include "hq/crypto.h"

#define NEXT_MAX_S (30 * 86400)

bool np_judge_seen(int64_t last_seen_s, int64_t now_s)
{
    return now_s - last_seen_s >= NP_JUDGE_SEEN_S || last_seen_s > now_s;
}

int64_t np_judge_next_checkin(const char *device, int64_t now_s, int64_t interval_s)
{
    if (interval_s < 1)
        interval_s = 1;
    int64_t slot_s = (int64_t)np_hq_spread("check-in", device, (uint64_t)interval_s);
    int64_t earliest_s = now_s + (interval_s + 1) / 2;
    int64_t next_s = earliest_s - now_s + ((slot_s - earliest_s) % interval_s + interval_s) % interval_s;
    return next_s > NEXT_MAX_S ? NEXT_MAX_S : next_s < 1 ? 1 : next_s;
}

enum np_checkin_verdict np_judge_certificate(const struct np_judge_facts *f)
{
    bool usable = f->has_package && f->not_after_s > f->now_s;
    int64_t quarter_s = f->has_package ? (f->not_after_s - f->not_before_s) / 4 : 0;
    bool in_need = !f->installed.installed || f->installed.not_after_s - quarter_s <= f->now_s;
    if (usable && (!f->installed.installed || f->installed.n < f->n || f->installed.not_after_s < f->not_after_s))
        return NP_CHECKIN_FETCH;
    if (!f->has_order)
        return NP_CHECKIN_SEND_CSR;
    if (!in_need)
        return NP_CHECKIN_KEEP;
    if (f->order == NP_ORDER_DEAD || (f->order == NP_ORDER_DONE && !usable))
        return NP_CHECKIN_SEND_CSR;
    return np_renewal_under_way(f->order) ? NP_CHECKIN_WAIT : NP_CHECKIN_KEEP;
}

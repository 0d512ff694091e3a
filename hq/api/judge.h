/* judge: what a check-in decides. Pure: no store, no clock. */
#ifndef HQ_API_JUDGE_H
#define HQ_API_JUDGE_H

#include <stdbool.h>
#include <stdint.h>

#include "hq/store/store.h"

#define NP_JUDGE_SEEN_S 3600 /* how old a device's last_seen may become before it is written again */

/* Is it time to write that the device was seen? At most once an hour, so that a request costs no write; also when the
 * stored time lies in the future (HQ's clock was set back). */
bool np_judge_seen(int64_t last_seen_s, int64_t now_s);

/* Seconds until the device's next check-in: at its own second of the interval (hashed from its id), between half an
 * interval and one and a half away, so that early, late and repeated check-ins all come back to it. At least 1, at most
 * 30 days. */
int64_t np_judge_next_checkin(const char *device, int64_t now_s, int64_t interval_s);

/* What is known of a device's certificate at a check-in. */
struct np_judge_facts {
    struct np_checkin_certificate installed; /* what the device says */
    bool has_package;                        /* of the newest order's key */
    int64_t n;                               /* that a fetch gives */
    int64_t not_before_s, not_after_s;       /* of the package */
    bool has_order;
    enum np_order_state order; /* of the newest */
    int64_t now_s;
};

/* What the device is to do. The order is looked at after a renewal that is due was begun. A device that has a
 * certificate with more than a quarter of its life left is never told to wait or to send a CSR because of a renewal
 * that is slow. */
enum np_checkin_verdict np_judge_certificate(const struct np_judge_facts *facts);

#endif

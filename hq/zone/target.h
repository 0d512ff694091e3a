/* target: one name server that HQ updates (RFC 2136) for one zone: its outbox (what goes out when), its connection
 * (how), the key, and what the log tells about it. What is written about a name is the owner's.
 *
 * Lifecycle: np_target_new, np_outbox_add on np_target_outbox and np_target_pump, ..., np_target_close. */
#ifndef HQ_ZONE_TARGET_H
#define HQ_ZONE_TARGET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "hq/zone/outbox.h"
#include "hq/zone/records.h"
#include "hq/zone/tsig.h"
#include "hq/zone/zone.h"

#define NP_TARGET_TELL_MS 600000 /* between two log lines about a server that goes on failing */
#define NP_TARGET_NAMES   10     /* refused names that are told one by one in that time */

struct np_target;

/* Who owns it. All are called from the loop; none may close the target. */
struct np_target_owner {
    void *ctx;
    /* Something may be sent: call np_target_pump soon, when the store may be read. */
    void (*wants)(void *ctx);
    /* What the name is to show now; notes in the item (mark, challenge) what that is. Returns 0, or an error that stops
     * this message. */
    int (*describe)(void *ctx, struct np_outbox_item *item, struct np_records *out_records);
    /* The server shows it. */
    void (*done)(void *ctx, struct np_target *target, const struct np_outbox_item *item);
    /* The zone is not the one that HQ wrote last: it may have come back from a copy. */
    void (*fenced)(void *ctx);
};

/* zone is "devices.example"; key is borrowed; rrs as for np_outbox_init. Returns 0, -ENOMEM or NP_E_MALFORMED. */
int np_target_new(uv_loop_t *loop, const struct np_endpoint *server, const char *zone, const struct np_tsig_key *key,
                  size_t rrs, const struct np_target_owner *owner, struct np_target **out_target);

/* Its outbox, to add names to and to look at. */
struct np_outbox *np_target_outbox(struct np_target *target);

/* Sends what may go now. */
void np_target_pump(struct np_target *target);

/* Has the server failed for skip_ms without a break? Then nobody waits for it. */
bool np_target_is_dead(const struct np_target *target, int64_t skip_ms);

/* What it does, for hq/admin. */
void np_target_report(const struct np_target *target, struct np_zone_update_report *out_report);

/* "192.0.2.53:53", borrowed. */
const char *np_target_title(const struct np_target *target);

/* Gives up and frees; the memory goes in the next turns of the loop. */
void np_target_close(struct np_target *target);

#endif

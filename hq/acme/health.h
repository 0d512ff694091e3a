/* health: is a CA at work, or do orders go to the next one? Pure; times are any clock that only goes forward.
 *
 * Each kind of request has its own streak of failures (no answer, an answer that is none, or 5xx), because a CA may
 * take orders and issue nothing. A streak that lasts for `after` makes the CA down: orders are begun elsewhere, and
 * those at work there leave when they fail. While it is down one order at a time is tried there; a success of the kind
 * that failed ends it. */
#ifndef HQ_ACME_HEALTH_H
#define HQ_ACME_HEALTH_H

#include <stdbool.h>
#include <stdint.h>

#include "hq/acme/order.h"

#define NP_CA_ACCOUNT     NP_ORDER_DO_NOTHING /* the kind of directory, nonces and newAccount */
#define NP_CA_KINDS       (NP_ORDER_DO_RELEASE + 1)
#define NP_CA_PROBE_MS    INT64_C(120000) /* between two orders that are tried at a CA that is down */
#define NP_CA_PATIENCE_MS INT64_C(300000) /* with an order whose certificate may be made already */

/* Zero: all is well. */
struct np_ca_health {
    int64_t failing_since_ms[NP_CA_KINDS]; /* 0: not failing; times are 1 or more */
    int64_t probe_ms;                      /* an order may be tried from then on */
};

/* A request of this kind went well or badly. */
void np_ca_note(struct np_ca_health *health, enum np_order_do kind, bool good, int64_t now_ms);

/* Has something been failing for after_ms? */
bool np_ca_is_down(const struct np_ca_health *health, int64_t after_ms, int64_t now_ms);

/* When the CA will be down if nothing goes well; INT64_MAX: nothing fails. */
int64_t np_ca_down_at(const struct np_ca_health *health, int64_t after_ms);

/* At a CA that is down: may an order be tried now? */
bool np_ca_may_probe(const struct np_ca_health *health, int64_t now_ms);

/* One was begun there. */
void np_ca_probed(struct np_ca_health *health, int64_t now_ms);

/* Should an order in this state, which has been failing for so long, leave a CA that is down? At once as long as no
 * certificate can have been made. */
bool np_ca_should_leave(enum np_order_state state, int64_t failing_ms);

#endif

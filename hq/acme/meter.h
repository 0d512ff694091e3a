/* meter: a CA's rate limits (acme/limits.h) in the database, where all HQs share them.
 *
 * An order pays when it is begun, in the transaction that stores it as begun; what it paid is stored with it, so that a
 * crash neither pays twice nor forgets. One that ends before the CA was asked to issue gets back what it paid for a
 * certificate, but not its newOrder. */
#ifndef HQ_ACME_METER_H
#define HQ_ACME_METER_H

#include "hq/acme/limits.h"
#include "hq/store/store.h"

/* Caller's memory; nothing to free. */
struct np_meter {
    struct np_store *store;
    const char *ca;                 /* borrowed: the directory, which the buckets go by */
    const struct np_limits *limits; /* borrowed */
    unsigned refusals;              /* that did not say why, since the last order that was taken */
};

/* What a fresh order of this priority draws from the buckets that all share: for the queue as a whole. Returns 0 or a
 * database error. */
int np_meter_shared(const struct np_meter *meter, enum np_order_priority priority, struct np_limit_view *out_view);

/* How the limits see an order. Returns 0 or a database error. */
int np_meter_view(const struct np_meter *meter, const struct np_order *order, int64_t now_ms,
                  struct np_limit_view *out_view);

/* Takes what the order costs out of the buckets as view has them and notes it in order->ca and order->paid; the caller
 * stores the order. Returns 0, NP_E_CONFLICT when another HQ was faster (read the view again), or a database error. */
int np_meter_pay(const struct np_meter *meter, struct np_order *order, const struct np_limit_view *view,
                 int64_t now_ms);

/* The CA will not have `replaces`: an order that was to count for nothing because of it counts as a renewal. Pays for
 * that and notes it in order->paid; the caller stores the order. Returns 0 or a database error. */
int np_meter_unreplaced(const struct np_meter *meter, struct np_order *order, int64_t now_ms);

/* The order has come to nothing and the CA was not asked to issue: gives back, and notes it in order->paid. Returns 0
 * or a database error. */
int np_meter_give_back(const struct np_meter *meter, struct np_order *order);

/* The CA has found no proof for the order's names. Returns 0 or a database error. */
int np_meter_failed(const struct np_meter *meter, const struct np_order *order, int64_t now_ms);

/* The CA refuses an order for now (429 or 503) and says how long, 0: it does not. Writes what it means into the bucket
 * that the refusal speaks of, and takes it out of order->paid; the caller stores the order. *out_kind tells which,
 * *out_wait_ms for how long. Returns 0 or a database error. */
int np_meter_refused(struct np_meter *meter, struct np_order *order, int status, const char *detail,
                     int64_t retry_after_ms, int64_t now_ms, enum np_limit *out_kind, int64_t *out_wait_ms);

/* The CA has taken an order. */
void np_meter_taken(struct np_meter *meter);

#endif

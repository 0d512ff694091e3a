/* renewal: when a certificate is renewed, and what to do about a device whose time has come. Pure: plain values and the
 * time go in, a decision comes out; acme/renewer.c is the shell that acts.
 *
 * The way of a renewal: when a package is stored, a window in its life gives the point (np_renewal_point), which is
 * stored with it as the time of the next look. At a look np_renewal_decide says: order (from the stored CSR), look
 * again later (an order is under way, or was given up a moment ago), or park (nobody has seen the device for long). A
 * look always sets the next one, so that no device is forgotten whatever fails. */
#ifndef HQ_ACME_RENEWAL_H
#define HQ_ACME_RENEWAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "hq/store/store.h"

#define NP_RENEWAL_SEEN_S    (30 * 86400)      /* longer away: not renewed */
#define NP_RENEWAL_PARK_MS   INT64_C(86400000) /* between looks at such a device */
#define NP_RENEWAL_LOOK_MS   INT64_C(1000)     /* shortest pause between two looks */
#define NP_RENEWAL_LOOK_MAX  INT64_C(3600000)  /* longest while nothing has failed */
#define NP_RENEWAL_RETRY_MAX INT64_C(86400000) /* longest after failures */
#define NP_RENEWAL_OUTAGE_S  3600              /* HQ away for less is not noted */
#define NP_RENEWAL_BEAT_S    600               /* between two marks that HQ lives */

/* When a certificate should be renewed, in Unix ms. */
struct np_renewal_window {
    int64_t from_ms, until_ms;
};

/* The window that follows from the certificate's life alone: around two thirds, 4 % of it wide. Where the CA says a
 * window of its own (acme/ari.h), that one takes this one's place. */
void np_renewal_window_of_life(int64_t not_before_s, int64_t not_after_s, struct np_renewal_window *out_window);

/* The device's own point in the window: hashed from its id, so that renewals spread and stay where they are. */
int64_t np_renewal_point(const struct np_renewal_window *window, const char *device);

/* Is a quarter of the life or less left? */
bool np_renewal_is_urgent(int64_t not_before_s, int64_t not_after_s, int64_t now_ms);

/* Has the CA moved the window (zero: there is none) into the past, before the time that the life itself gives? So it
 * says that it is about to revoke, and the certificate is urgent. */
bool np_renewal_is_recalled(const struct np_renewal_window *window, int64_t not_before_s, int64_t not_after_s,
                            int64_t now_ms);

/* For how long a device has been silent at now_s, less the time in which HQ itself was away. Outages may be in any
 * order but do not overlap. */
int64_t np_renewal_absent_s(int64_t last_seen_s, int64_t now_s, const struct np_store_outage *outages, size_t count);

/* What there is to know about a device at a look. */
struct np_renewal_facts {
    enum np_device_state device;
    enum np_credential_type credential;
    int64_t absent_s;          /* np_renewal_absent_s */
    enum np_order_state order; /* of the newest order */
    int64_t not_before_s, not_after_s;
    int64_t attempts;                /* orders made since the last package */
    struct np_renewal_window window; /* of the CA (acme/ari.h); zero: it has not said one */
    int64_t now_ms;
};

enum np_renewal_do {
    NP_RENEWAL_PARK,  /* nobody needs it now */
    NP_RENEWAL_LOOK,  /* an order is under way: its priority may have to rise */
    NP_RENEWAL_ORDER, /* make an order */
};

/* The decision. */
struct np_renewal_action {
    enum np_renewal_do what;
    int64_t due_ms; /* of the next look */
    enum np_order_priority priority;
};

/* What to do at a look. */
void np_renewal_decide(const struct np_renewal_facts *facts, struct np_renewal_action *out_action);

/* Is the order one that leads to a certificate without anybody's help (queued to issued, or in backoff)? */
bool np_renewal_under_way(enum np_order_state state);

/* A new order for the key, CSR and names of last, to replace package `renews`; id is the new one's. */
void np_renewal_order(const struct np_order *last, const char *id, int64_t renews, enum np_order_priority priority,
                      int64_t now_ms, struct np_order *out_order);

#endif

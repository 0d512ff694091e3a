/* issuance: from stored CSRs to stored certificate chains, over ACME with DNS-01 (RFC 8555).
 *
 * The shell around the pure state machine of acme/order.h. It takes the orders that wait in the store, at most
 * NP_ISSUANCE_IN_FLIGHT at once, stores every state before the network step that follows it, and after a crash goes on
 * from the stored URLs without a second order at the CA. The challenge's TXT is published through the zone and the
 * challenge answered once every name server shows it (zone/check). The issued chain is checked (acme/chain.h) and
 * becomes the device's package n+1 in the same transaction that makes the order `done`, with the point of its renewal
 * (acme/renewal.h). Certificates of devices that have left are revoked (acme/revoker.h).
 *
 * Lifecycle: np_issuance_config_load, np_issuance_new, np_issuance_guard where several HQs share the work,
 * np_issuance_load (makes or reads the account keys: before the secrets folder becomes unreadable), np_issuance_start,
 * np_issuance_wake after each stored CSR, np_issuance_close; after its callback the zone, the store and the loop may
 * go. Of several HQs on one database only one may be between start and close. One thread: the loop's. */
#ifndef HQ_ACME_ISSUANCE_H
#define HQ_ACME_ISSUANCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "hq/acme/config.h"
#include "hq/acme/limits.h"

#define NP_ISSUANCE_IN_FLIGHT 256 /* orders worked on at once: a real CA takes 5 to 10 s for each */

struct np_issuance;
struct np_outlook;
struct np_store;
struct np_zone;

/* Allocates. config is copied; store and zone are borrowed and outlive the issuance. Returns 0 or -ENOMEM. */
int np_issuance_new(uv_loop_t *loop, const struct np_issuance_config *config, struct np_store *store,
                    struct np_zone *zone, struct np_issuance **out_issuance);

/* Before each exchange with a CA allowed(ctx) is asked: is this HQ (still) the one that issues? */
void np_issuance_guard(struct np_issuance *issuance, bool (*allowed)(void *ctx), void *ctx);

/* Reads the account keys or makes them. Returns 0, -errno or NP_E_KEY. */
int np_issuance_load(struct np_issuance *issuance);

/* Begins with what the store holds. An unreachable CA is no error: it is tried again with backoff. */
void np_issuance_start(struct np_issuance *issuance);

/* Looks at the limits only, for the outlook: what an HQ does that does not issue itself. */
void np_issuance_watch(struct np_issuance *issuance);

/* There are orders in the store that are due (or may be). Cheap; call it after a CSR was stored. */
void np_issuance_wake(struct np_issuance *issuance);

/* How fast certificates are made at this moment (acme/queue.h). Borrowed, lives as long as the issuance. */
const struct np_outlook *np_issuance_outlook(const struct np_issuance *issuance);

/* What one CA does, for hq/admin. */
struct np_issuance_ca {
    const char *directory; /* borrowed */
    bool ready;            /* our account there is known */
    bool down;             /* nothing has worked for acme-switch-after */
    size_t in_flight;      /* orders worked on */
    uint64_t issued, backoff, dead;
    int64_t pause_ms; /* until orders may be begun again; 0: now */
    struct {
        int64_t size; /* 0: there is no such limit, or it is no limit that all devices share */
        int64_t left;
    } limits[NP_LIMIT_RULES];
};

/* Writes what each CA does, at most NP_CA_MAX; returns their number. */
size_t np_issuance_cas(const struct np_issuance *issuance, struct np_issuance_ca out_cas[NP_CA_MAX]);

/* There are certificates in the store that are to be revoked. Cheap. */
void np_issuance_wake_revoker(struct np_issuance *issuance);

/* Stops where it is (the store knows how to go on) and closes everything; done(ctx) is called from the loop when the
 * memory has been freed. */
void np_issuance_close(struct np_issuance *issuance, void (*done)(void *ctx), void *ctx);

#endif

/* policy: what the operator's configuration allows: who may enrol, and which of a device's addresses are published.
 * Pure: no clock, no store; the counts that limits need are passed in. */
#ifndef HQ_POLICY_H
#define HQ_POLICY_H

#include <stdbool.h>
#include <stdint.h>

#include "hq/factorycert.h"
#include "hq/proto/message.h"
#include "hq/refusal.h"
#include "hq/store/store.h"

#define NP_POLICY_SERIAL_WINDOW_S  (30 * 86400) /* over which a serial's enrolments are counted */
#define NP_POLICY_NETWORK_WINDOW_S 86400        /* over which a network's `open` enrolments are counted */
#define NP_POLICY_SITE_NETWORKS    8 /* a /48 may enrol as many as so many of its /64s: a home may have a /48 */

/* The rules. Zero-initialised nobody may enrol. */
struct np_policy {
    bool factory_secret;                              /* credential accepted */
    bool open;                                        /* likewise */
    bool claim_code;                                  /* likewise */
    const struct np_factorycert *factory_certificate; /* borrowed; NULL: not accepted */
    bool listed_only;                                 /* a factory serial must be on the imported lists */
    uint8_t master[32];                               /* of the factory secrets and the claim codes' hashes */
    int64_t serial_live;                              /* live names of one serial */
    int64_t serial_recent;                            /* enrolments of one serial in its window */
    int64_t network_recent;                           /* `open` enrolments of one network in its window */
    bool publish_shared;                              /* 100.64/10 may be published (RFC 6598) */
    bool publish_global; /* global IPv6 addresses of the connection's own /64 may be published */
};

/* Does the policy take that kind of credential, and does it prove what it says? nonce and url are those of the signed
 * request, thumbprint is of its key. now_s is Unix time. The serial that a factory certificate names is set. A claim
 * code is only read here, and brought into its plain form: whether it is free the store knows. Returns 0 or
 * NP_E_REFUSED. */
int np_policy_credential(const struct np_policy *policy, struct np_credential *credential, const uint8_t thumbprint[32],
                         const char *nonce, const char *url, int64_t now_s, struct np_refusal *out_refusal);

/* What the factory lists say of the serial number or claim code that a device has shown. */
struct np_policy_listing {
    bool listed;       /* the serial number is on a list, or the claim code is */
    const char *model; /* borrowed; NULL or empty: the lists name none */
};

/* May a device with that credential that says it is of model enrol, seeing the lists? Returns 0 or NP_E_REFUSED. */
int np_policy_listed(const struct np_policy *policy, const struct np_credential *credential,
                     const struct np_policy_listing *listing, const char *model, struct np_refusal *out_refusal);

/* May one more device enrol, seeing the counts of its serial (or, for `open`, of its network)? Returns 0 or
 * NP_E_REFUSED. */
int np_policy_quota(const struct np_policy *policy, const struct np_credential *credential,
                    const struct np_store_counts *counts, struct np_refusal *out_refusal);

/* The network whose `open` enrolments count together: the /24 of an IPv4 address; of an IPv6 address the /48 and the
 * /64
 * ("2001:db8:1::/48 2001:db8:1:2::/64"); "-" for none. */
void np_policy_network(const struct np_addr *client, char out[NP_STORE_NETWORK_MAX]);

/* Why some addresses stay out. */
struct np_rejections {
    char why[NP_WIRE_V4_MAX + NP_WIRE_V6_MAX][NP_WHY_MAX + 1]; /* "203.0.113.9: a global address, ..." */
    size_t count;
};

/* What a device states, and what is known beside it. All borrowed. */
struct np_policy_statement {
    const struct np_addresses *stated;
    enum np_publish publish;
    enum np_credential_type credential;
    const struct np_addr *client; /* where the statement's connection came from */
    /* For a statement that is looked at again: what was published for it. Its global addresses have shown their /64
     * once and need not again, whatever way the device came this time. NULL: a new statement. */
    const struct np_addresses *published;
};

/* Which of the stated addresses the zone shows: RFC 1918 and ULA; 100.64/10 where allowed; a global IPv6 address where
 * allowed, inside the /64 that the connection came from, and never for `open` (nobody may have HQ point at a stranger's
 * machine); nothing else. Each once, in the order stated, at most NP_STORE_V4_MAX and NP_STORE_V6_MAX; none for
 * local-only. out_published may be what the statement points to. */
void np_policy_publish(const struct np_policy *policy, const struct np_policy_statement *statement,
                       struct np_addresses *out_published, struct np_rejections *out_rejections);

#endif

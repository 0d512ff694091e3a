/* records: what other name servers are to show for HQ, as plain records: of a device's name, of its challenge values,
 * and of the zone itself. What zone/answer.c answers by itself is here what zone/update sends and zone/audit compares.
 * Pure.
 *
 *     <device>                   A AAAA, null MX (RFC 7505), TXT "v=spf1 -all"; no other type: the name is HQ's alone
 *     _acme-challenge.<device>   CNAME <device>.acme.<zone>
 *     <device>.acme.<zone>       TXT, while an order needs them (in the challenge zone)
 *     <zone>                     CAA, where `caa` is configured
 *     <HQ's host>                A AAAA, where it lies in the zone and `hq-address` is configured
 *     *.rebind-test, *.plain-test  A AAAA, null MX, TXT: the probe addresses
 *     _nameplate.<zone>, and likewise in the challenge zone: TXT, the epoch (zone/outbox.h)
 *
 * SOA, NS, delegation and whatever else stands in the zone are its operator's. */
#ifndef HQ_ZONE_RECORDS_H
#define HQ_ZONE_RECORDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "hq/store/store.h"
#include "hq/zone/zone.h"
#include "resolver/name.h"

#define NP_RECORD_RDATA_MAX 256
#define NP_RECORDS_MAX      24 /* in one struct np_records: the zone's own are the most */

/* One record of class IN. */
struct np_record {
    struct np_name owner;
    uint16_t type;
    uint32_t ttl;
    uint8_t rdata[NP_RECORD_RDATA_MAX];
    size_t rdata_len;
};

/* What some owners are to show: everything of these owners and types goes, these records come. */
struct np_records {
    struct {
        struct np_name owner;
        uint16_t type; /* NP_RR_ANY: all of the owner's */
    } cleared[NP_RECORDS_MAX];
    size_t cleared_count;
    struct np_record records[NP_RECORDS_MAX];
    size_t count;
};

/* The names that the rest is made of. */
struct np_records_zone {
    struct np_name origin, challenge_origin;
    uint32_t ttl_s;
};

/* From the configuration. Returns 0, NP_E_MALFORMED or NP_E_LIMIT. */
int np_records_zone_init(struct np_records_zone *zone, const struct np_zone_config *config);

/* Of a device's name, present or not. Returns 0, or NP_E_NAME for a name that is not directly below the origin. */
int np_records_name(const struct np_records_zone *zone, const struct np_zone_name *name,
                    struct np_records *out_records);

/* Of a challenge name ("nifty-babbage.acme.devices.example"): count values, none to clear it. Returns 0 or NP_E_NAME.
 */
int np_records_challenge(const struct np_records_zone *zone, const char *name,
                         const char values[NP_ZONE_TXT_MAX][NP_ZONE_TXT_LEN + 1], size_t count,
                         struct np_records *out_records);

/* Of the zone itself; accounts as for np_zone_view_init. Returns 0, NP_E_MALFORMED or NP_E_LIMIT. */
int np_records_own(const struct np_records_zone *zone, const struct np_zone_config *config,
                   const struct np_zone_accounts *accounts, struct np_records *out_records);

/* The epoch's record: _nameplate below the origin that is asked for. Returns 0 or NP_E_LIMIT. */
int np_records_epoch(const struct np_name *origin, const char *epoch, struct np_record *out_record);

/* The rdata of CAA "issue" (RFC 8659 section 4.1), bound to the account where one is given (RFC 8657). Returns 0 or
 * NP_E_LIMIT. */
int np_records_caa(const char *issuer, const char *account, uint8_t out_rdata[NP_RECORD_RDATA_MAX],
                   size_t *out_rdata_len);

/* Are two records the same but for TTL and the case of owner and names in rdata? */
bool np_record_equal(const struct np_record *a, const struct np_record *b);

#endif

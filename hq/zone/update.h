/* update: dynamic updates (RFC 2136), built and signed with ldns, and what their answers mean.
 *
 * Lifecycle: np_update_new, any of require, clear and add, np_update_sign, np_update_free. ldns's own objects stay
 * inside, and it never sees a byte that came from the network: answers are read by cursor (zone/tsig). */
#ifndef HQ_ZONE_UPDATE_H
#define HQ_ZONE_UPDATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "hq/zone/outbox.h"
#include "hq/zone/records.h"
#include "hq/zone/tsig.h"

#define NP_UPDATE_WHY_MAX 256 /* characters of what an answer means */

struct np_update;

/* A message that has been signed. */
struct np_update_message {
    uint8_t *wire; /* malloc'd; the caller frees it */
    size_t len;
    uint8_t mac[NP_TSIG_MAC_MAX];
    size_t mac_len;
};

/* An empty update of the zone. Returns 0 or -ENOMEM. */
int np_update_new(const struct np_name *zone, struct np_update **out_update);

/* Frees; NULL is fine. */
void np_update_free(struct np_update *update);

/* The server shall do nothing unless the record's owner and type have exactly this record (RFC 2136 section 2.4.2).
 * Returns 0 or -ENOMEM. */
int np_update_require(struct np_update *update, const struct np_record *record);

/* Deletes what records clears and adds what they hold. Returns 0 or -ENOMEM; the update is of no use then. */
int np_update_put(struct np_update *update, const struct np_records *records);

/* The records of the update section so far. */
size_t np_update_count(const struct np_update *update);

/* Encodes with the message ID and signs. Returns 0, -ENOMEM, or NP_E_LIMIT for a message over 65535 bytes. */
int np_update_sign(struct np_update *update, uint16_t id, const struct np_tsig_key *key,
                   struct np_update_message *out_message);

/* A signed query for the zone's transfer (AXFR, RFC 5936). Returns 0 or -ENOMEM. */
int np_update_axfr(const struct np_name *zone, uint16_t id, const struct np_tsig_key *key,
                   struct np_update_message *out_message);

/* What an answer to an update means. */
struct np_update_verdict {
    enum np_outbox_outcome outcome;
    char why[NP_UPDATE_WHY_MAX]; /* for the operator: what happened, and what to do; empty for NP_OUTBOX_DONE */
};

/* Judges an answer to the update of zone that was signed with key and had this MAC. Returns 0, or NP_E_SIGNATURE for
 * one that nobody who has the key sent, or that is broken: go on waiting. */
int np_update_judge(const struct np_tsig_key *key, const char *zone, const uint8_t *mac, size_t mac_len,
                    const uint8_t *answer, size_t len, int64_t now_s, struct np_update_verdict *out_verdict);

#endif

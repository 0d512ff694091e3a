/* transfer: what a name server says that a zone contains: by a zone transfer (AXFR, RFC 5936), signed, or name by name.
 *
 * Pure: np_transfer_take reads one message of a transfer, np_transfer_answer one answer; both give out plain records,
 * with the names in their data decompressed. np_transfer_run and np_transfer_ask are the conversations. */
#ifndef HQ_ZONE_TRANSFER_H
#define HQ_ZONE_TRANSFER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "hq/zone/records.h"
#include "hq/zone/talk.h"
#include "hq/zone/tsig.h"

#define NP_TRANSFER_WHY_MAX 256
#define NP_TRANSFER_WINDOW  30 /* questions on their way at once: our own server takes 64 */

/* Called for each record of the types that HQ publishes. A record whose data is longer than a struct np_record holds
 * comes cut, and so equals none of ours. */
typedef void np_transfer_fn(void *ctx, const struct np_record *record);

/* How far a transfer is. Zero-initialised: it begins. */
struct np_transfer {
    bool begun; /* its first SOA was seen */
    uint32_t serial;
};

/* Reads one message of the transfer of zone. Returns 1 at the end (the SOA came again), 0 when more follow, NP_E_DNS
 * with *out_rcode for an error, or NP_E_MALFORMED. */
int np_transfer_take(struct np_transfer *transfer, const struct np_name *zone, const uint8_t *message, size_t len,
                     np_transfer_fn *each, void *ctx, unsigned *out_rcode);

/* Reads the answer section of an answer to a question for owner and type. Returns 0 (NXDOMAIN too), NP_E_DNS with
 * *out_rcode, or NP_E_MALFORMED. */
int np_transfer_answer(const struct np_name *owner, uint16_t type, const uint8_t *message, size_t len,
                       np_transfer_fn *each, void *ctx, unsigned *out_rcode);

/* Transfers zone from the server, signed with key. What each was called for counts only when this returns 0. Else
 * NP_E_REFUSED where the server does not do that for us, or another error; why tells a person. */
int np_transfer_run(const struct np_endpoint *server, const struct np_name *zone, const struct np_tsig_key *key,
                    np_transfer_fn *each, void *ctx, uint32_t *out_serial, char why[NP_TRANSFER_WHY_MAX]);

/* Gives the next question; false: no more. */
typedef bool np_transfer_next_fn(void *ctx, struct np_name *out_owner, uint16_t *out_type);

/* Asks a server many questions, several at a time, over one connection (or more, where it ends one). Returns 0 or an
 * error with why. */
int np_transfer_ask(const struct np_endpoint *server, np_transfer_next_fn *next, np_transfer_fn *each, void *ctx,
                    char why[NP_TRANSFER_WHY_MAX]);

/* The serial of a zone at a server. Returns 0 or an error with why. */
int np_transfer_serial(const struct np_endpoint *server, const struct np_name *zone, uint32_t *out_serial,
                       char why[NP_TRANSFER_WHY_MAX]);

#endif

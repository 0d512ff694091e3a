/* audit: does a zone show what the store says? Pure: records as a server has them go in, then what each name should
 * show, and out comes what is missing, different, or there though nobody has it.
 *
 * A name's records are kept as one number (a keyed sum over them) with their count, so that a zone of a million names
 * takes some 60 MB. Only device names are looked at: one label below the origin with its _acme-challenge. TTLs, and the
 * types that HQ does not publish (DNSSEC's among them), are not compared. */
#ifndef HQ_ZONE_AUDIT_H
#define HQ_ZONE_AUDIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "hq/zone/records.h"

enum np_audit_finding {
    NP_AUDIT_SAME,
    NP_AUDIT_MISSING,   /* the name should show something and shows nothing */
    NP_AUDIT_DIFFERENT, /* it shows something else */
    NP_AUDIT_EXTRA      /* it shows something, and no device has it */
};

/* "same", "missing", "different", "extra". Static storage. */
const char *np_audit_word(enum np_audit_finding finding);

struct np_audit;

/* An empty audit of the zone (borrowed). Returns 0 or -ENOMEM. */
int np_audit_new(const struct np_records_zone *zone, struct np_audit **out_audit);

/* Frees; NULL is fine. */
void np_audit_free(struct np_audit *audit);

/* The server has this record. Returns 0 or -ENOMEM. */
int np_audit_record(struct np_audit *audit, const struct np_record *record);

/* What the name of label should show (np_records_name): how does what the server has compare? Each name once. */
enum np_audit_finding np_audit_expect(struct np_audit *audit, const char *label, const struct np_records *records);

/* Return other than 0 to stop; np_audit_rest then returns that number. standing: the name has the CNAME into the
 * challenge zone that only HQ makes. */
typedef int np_audit_fn(void *ctx, const char *label, bool standing);

/* Every name with records that np_audit_expect was not called for. */
int np_audit_rest(const struct np_audit *audit, np_audit_fn *each, void *ctx);

/* Names with records. */
size_t np_audit_count(const struct np_audit *audit);

#endif

/* audit: the log of decisions about who a device is, and of what operators did. Part of hq/store, with its rules (see
 * hq/store/store.h): an entry is written in the transaction of what it tells.
 *
 * Append-only: the database itself refuses to change or delete an entry (triggers), and entries are numbered without
 * gaps. Entries are self-contained, so that they can be read without the rows they are about. They hold no secret: no
 * token, no claim code. */
#ifndef HQ_STORE_AUDIT_H
#define HQ_STORE_AUDIT_H

#include "hq/store/store.h"

#define NP_AUDIT_ACTOR_MAX  64
#define NP_AUDIT_ACTION_MAX 24
#define NP_AUDIT_DETAIL_MAX 200

/* Actions. */
#define NP_AUDIT_ENROL         "enrol"           /* a device was taken in; detail: by what */
#define NP_AUDIT_CLAIM         "claim"           /* it used a claim code; detail: the beginning of the code's hash */
#define NP_AUDIT_GRANT         "grant"           /* an earlier grant brought its name back */
#define NP_AUDIT_LEAVE         "leave"           /* it left; detail: why */
#define NP_AUDIT_CLONE         "clone-suspected" /* two lives of it alternate */
#define NP_AUDIT_BLOCK         "block"
#define NP_AUDIT_UNBLOCK       "unblock"
#define NP_AUDIT_RETIRE        "retire"
#define NP_AUDIT_TRUST         "trust" /* the operator says that it is no clone */
#define NP_AUDIT_CLAIM_MAKE    "claim-make"
#define NP_AUDIT_CLAIM_RELEASE "claim-release"
#define NP_AUDIT_NAME_ASK      "name-ask"     /* its owner has chosen a name; detail: which, from where */
#define NP_AUDIT_NAME_CHANGE   "name-change"  /* the first certificate with it is there */
#define NP_AUDIT_NAME_END      "name-end"     /* the name before is not served any more */
#define NP_AUDIT_NAME_REFUSED  "name-refused" /* it got no certificate; detail: why */
#define NP_AUDIT_IMPORT        "import"
#define NP_AUDIT_ORDER_RETRY   "order-retry"
#define NP_AUDIT_ZONE_REPAIR   "zone-repair"
#define NP_AUDIT_FORGET        "account-forget" /* the key of HQ's account at a CA was lost; detail: its URL */

#define NP_AUDIT_DEVICE "device" /* actors: a device by its request; HQ by itself; "operator:NAME" */
#define NP_AUDIT_HQ     "hq"

/* An entry. */
struct np_audit {
    int64_t seq; /* set by the log, from 1 */
    int64_t at_ms;
    char actor[NP_AUDIT_ACTOR_MAX + 1];
    char action[NP_AUDIT_ACTION_MAX + 1];
    char device[NP_DEVICE_ID_MAX + 1]; /* this and the two below: empty where it is about no device */
    char name[NP_NAME_MAX + 1];
    char serial[NP_SERIAL_MAX + 1];
    char detail[NP_AUDIT_DETAIL_MAX + 1];
};

/* Fills in an entry: device may be NULL; format is the detail's. Characters outside of printable ASCII are replaced. */
void np_audit_fill(struct np_audit *out_entry, int64_t at_ms, const char *actor, const char *action,
                   const struct np_device *device, const char *format, ...) __attribute__((format(printf, 6, 7)));

/* Appends. Returns 0 or a database error. */
int np_store_audit_add(struct np_store *store, const struct np_audit *entry);

/* What to show. */
struct np_audit_filter {
    int64_t since_ms;   /* 0: from the beginning */
    const char *device; /* an id; NULL: all */
    size_t limit;       /* the newest ones */
};

/* Return other than 0 to stop; np_store_audit_each then returns that number. */
typedef int np_store_audit_fn(void *ctx, const struct np_audit *entry);

/* The entries that the filter lets through, oldest first. The callback must not write. */
int np_store_audit_each(struct np_store *store, const struct np_audit_filter *filter, np_store_audit_fn *each,
                        void *ctx);

#endif

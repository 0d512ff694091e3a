/* browse: what an operator looks at: pages of devices and orders, one device's history, and the census, the numbers of
 * the whole fleet. Reading only; all of it works on a store that was opened read_only.
 *
 * Pages go by an index and cost what they show. The census reads indexes from end to end: with a million devices it
 * takes a second or so, and so belongs in a process or thread of its own (hq/admin/census). */
#ifndef HQ_STORE_BROWSE_H
#define HQ_STORE_BROWSE_H

#include "hq/store/store.h"

/* ---- Pages ---- */

/* Which devices to show. */
enum np_device_filter {
    NP_DEVICES_ALL,
    NP_DEVICES_ACTIVE, /* and shown in the zone */
    NP_DEVICES_SILENT, /* active, and not shown, because nobody has seen them */
    NP_DEVICES_BLOCKED,
    NP_DEVICES_RETIRED
};

/* The filter's word: "all", "active", "silent", "blocked", "retired". Static storage; NULL past the last one. */
const char *np_device_filter_name(enum np_device_filter filter);

/* What `filter` a device belongs to: never NP_DEVICES_ALL. */
enum np_device_filter np_device_shown_state(const struct np_device *device);

/* Devices whose name follows after ("": from the first one), by name, at most limit. The callback must not write. */
int np_store_devices_page(struct np_store *store, enum np_device_filter filter, const char *after, size_t limit,
                          np_store_device_fn *each, void *ctx);

/* Devices that text may mean, at most limit, each once, the surest first: its id or name, then names, serial numbers
 * and ids that begin with it (a name also without the zone). The callback must not write. */
int np_store_devices_find(struct np_store *store, const char *text, size_t limit, np_store_device_fn *each, void *ctx);

/* Devices that state or publish this address, at most limit: reads every row. The callback must not write. */
int np_store_devices_at(struct np_store *store, const struct np_addr *address, size_t limit, np_store_device_fn *each,
                        void *ctx);

/* Orders in one state, the earliest to be served first, at most limit. The callback must not write. */
int np_store_orders_page(struct np_store *store, enum np_order_state state, size_t limit, np_store_order_fn *each,
                         void *ctx);

/* The newest orders of a device, at most limit. The callback must not write. */
int np_store_orders_of(struct np_store *store, const char *device, size_t limit, np_store_order_fn *each, void *ctx);

/* The order's state by its word; -1: there is no such state. */
int np_order_state_parse(const char *word);

/* ---- One device ---- */

#define NP_TIMELINE_KIND_MAP(X)                                                                                        \
    X(ENROLLED, "enrolled")                                                                                            \
    X(ORDER, "order")           /* a CSR was stored, or a renewal began */                                             \
    X(BACKOFF, "backoff")       /* the order failed, and will be tried again; its last state */                        \
    X(DEAD, "dead")             /* the order was given up */                                                           \
    X(PACKAGE, "package")       /* a certificate was stored */                                                         \
    X(SILENT, "silent")         /* its records went */                                                                 \
    X(TOMBSTONE, "left")        /* its name is nobody else's for ever */                                               \
    X(SEEN, "seen")             /* the last request, within an hour */                                                 \
    X(REVOCATION, "revocation") /* of a certificate: the CA is to be told, at that time the next try */

enum np_timeline_kind {
#define NP_TIMELINE_ENUM(name, text) NP_TIMELINE_##name,
    NP_TIMELINE_KIND_MAP(NP_TIMELINE_ENUM)
#undef NP_TIMELINE_ENUM
};

/* The kind's word, as above. Static storage. */
const char *np_timeline_kind_name(enum np_timeline_kind kind);

#define NP_TIMELINE_MAX 200 /* events: the newest; a year of a healthy device has 20 */

/* Something that happened to a device. */
struct np_timeline_event {
    int64_t at_ms;
    enum np_timeline_kind kind;
    char order[NP_DEVICE_ID_MAX + 1]; /* empty: none */
    int64_t n;                        /* of the package, or the one that the order renews; 0: none */
    char detail[NP_ORDER_ERROR_MAX + 1];
};

/* What is known of a device's past, oldest first: the newest events, at most limit (at most NP_TIMELINE_MAX). out has
 * room for limit. Returns 0 or a database error. */
int np_store_timeline(struct np_store *store, const struct np_device *device, size_t limit,
                      struct np_timeline_event *out_events, size_t *out_count);

/* ---- The fleet ---- */

#define NP_CENSUS_VERSIONS_MAX 24  /* the commonest; devices may state any */
#define NP_CENSUS_CAS_MAX      8   /* of orders: more were never configured at once */
#define NP_CENSUS_DAYS_MAX     120 /* of the plot; certificates live 45 to 90 days */
#define NP_CENSUS_ORDER_STATES (NP_ORDER_DEAD + 1)

/* Devices that state this software version. */
struct np_census_version {
    char version[NP_MODEL_MAX + 1];
    int64_t count;
};

/* Orders that have not ended, at one CA (empty: not begun at any). */
struct np_census_ca {
    char ca[NP_URL_MAX + 1];
    int64_t states[NP_CENSUS_ORDER_STATES]; /* those of done are not counted */
};

#define NP_CENSUS_ERRORS_MAX 20

/* An order that has failed. */
struct np_census_error {
    char order[NP_DEVICE_ID_MAX + 1], device[NP_DEVICE_ID_MAX + 1], name[NP_NAME_MAX + 1];
    enum np_order_state state; /* backoff or dead */
    int64_t at_ms;
    char error[NP_ORDER_ERROR_MAX + 1];
};

/* The numbers of the whole fleet at one moment. */
struct np_census {
    int64_t now_s;
    int64_t active, silent, blocked, retired; /* devices; each is in one of them */
    int64_t open;                             /* of all, those that enrolled with `open` */
    int64_t seen_day;                         /* active ones whose last request is less than a day old */
    struct np_census_version versions[NP_CENSUS_VERSIONS_MAX]; /* of the active and silent, the commonest first */
    size_t version_count;
    int64_t certificates;                   /* the newest ones of devices that have not left */
    int64_t expired;                        /* of them */
    int64_t days[NP_CENSUS_DAYS_MAX];       /* that end within so many whole days and no more; the last one: or later */
    int64_t overdue;                        /* whose renewal point is more than a day past */
    int64_t orders[NP_CENSUS_ORDER_STATES]; /* done ones are not counted: 0 */
    int64_t lanes[NP_PRIORITY_OPEN + 1][2]; /* waiting, by priority and whether fresh */
    struct np_census_ca cas[NP_CENSUS_CAS_MAX];
    size_t ca_count;
    struct np_census_error errors[NP_CENSUS_ERRORS_MAX]; /* the newest first */
    size_t error_count;
    int64_t dirty;       /* names whose records are to be published */
    int64_t revocations; /* that the CA is still to be told */
};

/* Counts. Returns 0 or a database error. */
int np_store_census(struct np_store *store, int64_t now_s, struct np_census *out_census);

/* Of the certificates, those that end in less than so many days, the expired ones included. */
int64_t np_census_expiring(const struct np_census *census, size_t days);

/* The version of the oldest dirty mark, and the newest version that was given out; 0: nothing is dirty. By an index: to
 * be asked every second. Returns 0 or a database error. */
int np_store_dirty_oldest(struct np_store *store, int64_t *out_oldest, int64_t *out_newest);

#endif

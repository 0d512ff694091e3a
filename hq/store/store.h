/* store: everything that HQ remembers: in one SQLite file (WAL, synchronous=FULL), or in a PostgreSQL database that
 * several HQs may share. No SQL outside hq/store, no type of either library in this header.
 *
 * Lifecycle: np_store_open, any of the functions below from one thread, np_store_close (which takes back what was not
 * committed).
 *
 * Group commit. Each writing function is atomic by itself (a savepoint) and sees all earlier ones, but is not on disk
 * when it returns: it joins the transaction of the current loop turn, which np_store_commit ends. The server calls
 * np_store_commit once in every loop turn (and before any answer leaves), so that fifty requests share one fsync. Who
 * must not act before his write is durable (issuance before a network step) queues a np_store_waiter or calls
 * np_store_commit himself. When a commit fails, all writes since the last one are gone, waiters are called with the
 * error, and nobody may have told the outside that they happened.
 *
 * Several HQs on one database (PostgreSQL): a transaction that writes holds a lock that all of them share, from its
 * first write or np_store_lock to its end, so that what is read in it still holds when it is written. The server ends
 * the transaction of an HQ that has come to a halt in it. While the database is away everything is -EAGAIN; the
 * connection comes back by itself.
 *
 * Names are full domain names, lower case, without final dot. Times are Unix times in the unit of their suffix. Errors
 * of the database are NP_E_STORE, with np_store_error for the log; a full disk or a lock held too long is -EAGAIN. */
#ifndef HQ_STORE_STORE_H
#define HQ_STORE_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "hq/proto/message.h"

#define NP_STORE_SCHEMA      13   /* a database with a higher number is refused */
#define NP_STORE_V4_MAX      2    /* IPv4 addresses published for a name */
#define NP_STORE_V6_MAX      4    /* IPv6 addresses published for a name */
#define NP_STORE_NETWORK_MAX 48   /* characters of the network that an enrolment came from, two IPv6 prefixes */
#define NP_ORDER_ERROR_MAX   400  /* characters of an order's last error: a CA's detail has 320 */
#define NP_TXT_VALUE_MAX     64   /* characters of a DNS-01 TXT value: base64url of a SHA-256 has 43 */
#define NP_STORE_SERIALS     4096 /* serials reserved at once: one write in so many challenge changes */
#define NP_STORE_OUTAGES_MAX 64   /* times that HQ was away which are remembered */

struct np_store;

/* Opens the database and, unless read_only, brings its schema up to date. where is the path of an SQLite file (made
 * unless read_only), or "postgresql://..." as libpq knows it (the database must be there; its schema is made). Returns
 * 0, NP_E_VERSION for a schema newer than NP_STORE_SCHEMA, NP_E_NOT_FOUND (read_only, no such file), -EAGAIN
 * (PostgreSQL: the server does not answer, or not yet), or NP_E_STORE; error (size bytes) then holds a sentence for a
 * person. */
int np_store_open(const char *where, bool read_only, struct np_store **out_store, char *error, size_t size);

/* Is where the URL of a database server, which several HQs can share? */
bool np_store_is_server(const char *where);

/* where as it may be shown and logged: without a password. */
void np_store_describe(const char *where, char *out, size_t size);

/* Closes; what np_store_commit has not made durable is undone: who ends in the middle of something has not done it.
 * NULL is fine. Waiters are called. */
void np_store_close(struct np_store *store);

/* From here to the next np_store_commit nobody else writes. For who decides by what he reads and then writes; the
 * writing functions do it by themselves. Returns 0, or a database error. */
int np_store_lock(struct np_store *store);

/* Does it hold already: is the running transaction one that writes? */
bool np_store_is_locked(const struct np_store *store);

/* What is written from here to np_store_unit_end is one thing: a request with all that belongs to it, though it takes
 * several of the functions below. Not to be nested, and not over a commit. */
void np_store_unit_begin(struct np_store *store);

/* The unit's end. rc other than 0: a part of it has failed, and all that was written since np_store_unit_begin is
 * undone; the rest of the transaction stays. Returns rc, or the error of keeping it. */
int np_store_unit_end(struct np_store *store, int rc);

/* Ends the running transaction: 0 when all writes so far are on disk (or there were none), else -EAGAIN or NP_E_STORE
 * and they are gone. Calls the waiters. */
int np_store_commit(struct np_store *store);

/* Called once the writes before its queueing are on disk (rc 0) or lost (rc < 0). May write and queue again. */
struct np_store_waiter {
    void (*done)(void *ctx, int rc);
    void *ctx;
    struct np_store_waiter *next; /* this and the rest are the store's */
    bool queued;
    int rc;
};

/* Queues waiter (the caller's memory, kept until done was called or the waiter was cancelled). done is never called
 * from inside this function. */
void np_store_after_commit(struct np_store *store, struct np_store_waiter *waiter);

/* Is somebody waiting for a commit? After np_store_commit this says that a callback queued again: commit once more
 * before the loop goes to sleep. */
bool np_store_awaited(const struct np_store *store);

/* Takes waiter out of the queue; harmless when it is not in it. */
void np_store_waiter_cancel(struct np_store *store, struct np_store_waiter *waiter);

enum np_store_event {
    NP_STORE_NAMES_CHANGED = 1,      /* a name became dirty: wake the zone publisher */
    NP_STORE_ORDERS_CHANGED = 2,     /* an order was queued: wake issuance */
    NP_STORE_RENEWALS_CHANGED = 4,   /* a package has its renewal point: wake the renewer */
    NP_STORE_REVOCATIONS_CHANGED = 8 /* a certificate is to be revoked: wake issuance */
};
#define NP_STORE_ALL_CHANGED                                                                                           \
    (NP_STORE_NAMES_CHANGED | NP_STORE_ORDERS_CHANGED | NP_STORE_RENEWALS_CHANGED | NP_STORE_REVOCATIONS_CHANGED)

/* What was committed since the last call: a set of np_store_event bits. The server asks after each commit. */
unsigned np_store_take_events(struct np_store *store);

/* What other HQs on the same database have committed since the last call: a set of np_store_event bits; all of them
 * after the connection was lost. Costs no question to the database. */
unsigned np_store_heard(struct np_store *store);

/* How long a write waits for another program that holds the database's lock (5 s unless told otherwise). */
void np_store_set_patience(struct np_store *store, int ms);

/* The database library's own text about the last NP_E_STORE, for the log. Borrowed until the next call. */
const char *np_store_error(const struct np_store *store);

/* ---- Devices ---- */

enum np_device_state {
    NP_DEVICE_ACTIVE,
    NP_DEVICE_BLOCKED, /* by the operator: stops asking, serves until notAfter; its name shows nothing */
    NP_DEVICE_RETIRED  /* left, or replaced */
};

/* A device: an identity key in an epoch. id, identity, thumbprint, epoch, serial, credential and created_s never
 * change, and name only as hq/store/naming.h says. */
struct np_device {
    char id[NP_DEVICE_ID_MAX + 1];
    struct np_public_key identity;
    uint8_t thumbprint[32]; /* of identity, RFC 7638; unique together with the epoch */
    uint8_t epoch[NP_EPOCH_LEN];
    uint8_t token_hash[32]; /* SHA-256 of the poll token */
    int64_t auth_n;         /* the newest auth token's number, 0: none yet */
    int64_t auth_n_used;    /* the highest number that the device has used since it enrolled, 0: none */
    char name[NP_NAME_MAX + 1];
    char serial[NP_SERIAL_MAX + 1]; /* empty: none (open) */
    enum np_credential_type credential;
    enum np_device_state state;
    char network[NP_STORE_NETWORK_MAX]; /* where it enrolled from: for the quotas of open enrolment */
    int64_t nonce_us;                   /* issue time of the last accepted nonce */
    int64_t seq;                        /* of the last accepted address statement, 0: none but the enrolment's */
    struct np_addresses stated;
    struct np_addresses published; /* at most NP_STORE_V4_MAX and NP_STORE_V6_MAX */
    enum np_publish publish;
    char model[NP_MODEL_MAX + 1];
    char version[NP_MODEL_MAX + 1];
    int64_t created_s;
    int64_t last_seen_s;
    int64_t silent_s; /* since when its name shows nothing, because nobody has seen it; 0: it shows what it should */
};

/* Stores a new device, its name, and the name's dirty mark. Returns 0, NP_E_CONFLICT when the name is taken or
 * tombstoned (try another), -EEXIST when identity and epoch are there already, or a database error. */
int np_store_device_add(struct np_store *store, const struct np_device *device);

/* Writes everything of a known device that may change; marks its name dirty where published, state or silence differ
 * from what is stored. Returns 0, NP_E_NOT_FOUND, or a database error. */
int np_store_device_update(struct np_store *store, const struct np_device *device);

/* By id. Returns 0, NP_E_NOT_FOUND, or a database error. */
int np_store_device_get(struct np_store *store, const char *id, struct np_device *out_device);

/* By identity key and epoch. Returns 0, NP_E_NOT_FOUND, or a database error. */
int np_store_device_find(struct np_store *store, const uint8_t thumbprint[32], const uint8_t epoch[NP_EPOCH_LEN],
                         struct np_device *out_device);

/* Return other than 0 to stop; np_store_devices_* (hq/store/browse.h) then return that number. */
typedef int np_store_device_fn(void *ctx, const struct np_device *device);

/* The ids of at most limit devices that have not left, show their names and were last seen at or before seen_s, the
 * longest silent first (by an index). out_ids has room for limit. Returns their number or a database error. */
int np_store_devices_quiet(struct np_store *store, int64_t seen_s, size_t limit, char (*out_ids)[NP_DEVICE_ID_MAX + 1]);

/* A device has been silent for too long: its name shows nothing from now on, and is tombstoned, until
 * np_store_device_update brings it back with silent_s 0. Only while it is as np_store_devices_quiet found it with this
 * seen_s: one that has come back since is left alone. Returns 0, NP_E_STALE (it has, or has left, or is silent),
 * NP_E_NOT_FOUND, or a database error. */
int np_store_device_silence(struct np_store *store, const char *id, int64_t seen_s, int64_t now_s);

/* For the limits of enrolment. */
struct np_store_counts {
    int64_t live;   /* active devices */
    int64_t recent; /* enrolments at or after since_s, whatever became of them */
    int64_t site;   /* np_store_count_network only: likewise, of the wider network that it names before it, else 0 */
};

/* Counts the devices of a serial number that have proved it: not those of `open`, which may state any. */
int np_store_count_serial(struct np_store *store, const char *serial, int64_t since_s,
                          struct np_store_counts *out_counts);

/* Has the operator blocked a device with this identity key, in whatever epoch, or one that has proved this serial
 * number (empty: not looked at)? 1, 0, or a database error. */
int np_store_is_blocked(struct np_store *store, const uint8_t thumbprint[32], const char *serial);

/* Counts the devices that enrolled with `open` from a network ("192.0.2.0/24", or a wider one before it:
 * "2001:db8:1::/48 2001:db8:1:2::/64"). */
int np_store_count_network(struct np_store *store, const char *network, int64_t since_s,
                           struct np_store_counts *out_counts);

/* ---- Keys that were seen ---- */

/* Was the key with this thumbprint (RFC 7638) ever anybody's identity? 1, 0, or a database error. */
int np_store_key_is_identity(struct np_store *store, const uint8_t thumbprint[32]);

/* Whose TLS key is it? Returns 0 with the device's id, NP_E_NOT_FOUND when it was never seen, or a database error. */
int np_store_key_owner(struct np_store *store, const uint8_t thumbprint[32], char out_device[NP_DEVICE_ID_MAX + 1]);

/* How many new TLS keys device has brought at or after since_s, and when the oldest of those was (0: none)? */
int np_store_key_count(struct np_store *store, const char *device, int64_t since_s, int64_t *out_count,
                       int64_t *out_oldest_s);

/* ---- Orders and packages ---- */

/* Each state is stored (and committed) before the network step that leads to the next one, so that a crash resumes at
 * the URL that is stored. */
#define NP_ORDER_STATE_MAP(X)                                                                                          \
    X(QUEUED, "queued")           /* CSR stored; next: newOrder */                                                     \
    X(ORDERED, "ordered")         /* order_url stored; next: fetch the authorizations */                               \
    X(TXT_QUEUED, "txt-queued")   /* txt values stored; next: hand them to the zone */                                 \
    X(TXT_VISIBLE, "txt-visible") /* every name server shows them; next: answer the challenges */                      \
    X(CHALLENGED, "challenged")   /* challenges answered; next: poll the authorizations */                             \
    X(READY, "ready")             /* order ready; next: finalize */                                                    \
    X(FINALIZING, "finalizing")   /* CSR sent; next: poll the order, download the chain */                             \
    X(ISSUED, "issued")           /* chain stored; next: take the TXT away */                                          \
    X(DONE, "done")               /* nothing more to do */                                                             \
    X(BACKOFF, "backoff")         /* failed; from next_try_ms on: as queued */                                         \
    X(DEAD, "dead")               /* gave up: error says why */

enum np_order_state {
#define NP_ORDER_STATE_ENUM(name, text) NP_ORDER_##name,
    NP_ORDER_STATE_MAP(NP_ORDER_STATE_ENUM)
#undef NP_ORDER_STATE_ENUM
};

/* The state's word, as in the map above. Static storage; "?" for a number that is none. */
const char *np_order_state_name(enum np_order_state state);

/* Who goes first. */
enum np_order_priority {
    NP_PRIORITY_URGENT,  /* a certificate in its last quarter */
    NP_PRIORITY_NEW,     /* a device without certificate */
    NP_PRIORITY_ROUTINE, /* renewal in good time */
    NP_PRIORITY_OPEN     /* devices that enrolled with `open` */
};

/* One authorization of an order: one name of the certificate. */
struct np_order_authorization {
    char name[NP_NAME_MAX + 1];     /* as in the CSR; "*." for a wildcard */
    char url[NP_URL_MAX + 1];       /* empty until ordered */
    char challenge[NP_URL_MAX + 1]; /* the dns-01 challenge's URL; empty until known */
    char txt[NP_TXT_VALUE_MAX + 1]; /* what _acme-challenge must show; empty until known */
};

/* An order. id, device, key, csr, names, renews and created_ms never change; the rest is issuance's. */
struct np_order {
    char id[NP_DEVICE_ID_MAX + 1];
    char device[NP_DEVICE_ID_MAX + 1];
    uint8_t key[32]; /* thumbprint of the CSR's public key */
    uint8_t csr[NP_CSR_MAX];
    size_t csr_len;
    struct np_order_authorization authorizations[NP_SAN_MAX];
    size_t authorization_count;
    enum np_order_state state;
    char order_url[NP_URL_MAX + 1];
    char finalize_url[NP_URL_MAX + 1];
    char certificate_url[NP_URL_MAX + 1];
    char error[NP_ORDER_ERROR_MAX + 1];
    char ca[NP_URL_MAX + 1]; /* directory of the CA that it was begun at; empty: not begun */
    bool begun;              /* newOrder may have reached the CA */
    int64_t paid;            /* what it has taken out of the CA's buckets: 1 << kind of hq/acme/limits.h */
    int64_t attempts;        /* how often it came to backoff */
    int64_t next_try_ms;
    enum np_order_priority priority;
    int64_t renews; /* number of the package that it is to replace; 0: the device has none */
    int64_t created_ms;
    int64_t updated_ms; /* set by the caller of np_store_order_update */
    /* The store's: how the row stood when it was read or last written. As zeroed it is a new order's. */
    struct {
        enum np_order_state state;
        bool begun;
    } stored;
};

/* Stores a new order (state queued) and its TLS key as seen. A key seen before for the same device is fine. Returns 0,
 * NP_E_CONFLICT when the key belongs to another device or is an identity, or a database error. */
int np_store_order_add(struct np_store *store, const struct np_order *order);

/* Writes state, urls, txt values, error, ca, begun, paid, attempts, next_try_ms and updated_ms, unless the order has
 * moved on since it was read (order->stored): a newer CSR or the operator has ended it, or it was taken up again.
 * Returns 0, NP_E_STALE (it has moved on, or is gone: nothing was written), or a database error. */
int np_store_order_update(struct np_store *store, struct np_order *order);

/* By id. Returns 0, NP_E_NOT_FOUND, or a database error. */
int np_store_order_get(struct np_store *store, const char *id, struct np_order *out_order);

/* The device's newest order. Returns 0, NP_E_NOT_FOUND, or a database error. */
int np_store_order_newest(struct np_store *store, const char *device, struct np_order *out_order);

/* A new CSR of device makes its orders that wait (in the queue or in backoff) useless: they are dead. Returns 0 or a
 * database error. */
int np_store_orders_supersede(struct np_store *store, const char *device, int64_t now_ms);

/* How many orders of device were made at or after since_ms, and when the oldest of those was (0: none)? Returns 0 or a
 * database error. */
int np_store_order_count(struct np_store *store, const char *device, int64_t since_ms, int64_t *out_count,
                         int64_t *out_oldest_ms);

/* Return other than 0 to stop; np_store_orders_* then return that number. */
typedef int np_store_order_fn(void *ctx, const struct np_order *order);

/* Orders that were begun and have not ended: queued with `begun` to issued. For issuance's start. The callback must not
 * write: copy, and write afterwards. */
int np_store_orders_under_way(struct np_store *store, np_store_order_fn *each, void *ctx);

/* The queue holds the orders that are `queued` and not begun, in lanes: by priority, and in each priority those that
 * renew something before the fresh ones; in a lane by age. */
struct np_lane {
    enum np_order_priority priority;
    bool fresh;
};

#define NP_STORE_POSITION_EXACT 128
#define NP_STORE_POSITION_MAX   10000 /* a longer queue is not counted to its end */

/* The lane of an order. */
struct np_lane np_order_lane(const struct np_order *order);

/* The first orders of a lane, at most limit, without those whose device has another one begun. The callback must not
 * write. */
int np_store_queue_each(struct np_store *store, struct np_lane lane, size_t limit, np_store_order_fn *each, void *ctx);

/* How many orders stand before one, and how many of them are fresh; at most NP_STORE_POSITION_MAX. Exact up to
 * NP_STORE_POSITION_EXACT; further back within 32, as the queue was up to 3 seconds ago. */
struct np_queue_place {
    int64_t ahead, fresh_ahead;
};

/* The place of an order in the queue. Returns 0 or a database error. */
int np_store_queue_place(struct np_store *store, const struct np_order *order, struct np_queue_place *out_place);

/* Puts orders whose backoff is over at now_ms back into the queue. Returns 0 or a database error. */
int np_store_queue_refill(struct np_store *store, int64_t now_ms);

/* When the next order in backoff becomes due; INT64_MAX: none. Returns 0 or a database error. */
int np_store_queue_next_try(struct np_store *store, int64_t *out_ms);

/* Raises an order that waits (queued or in backoff) to a more urgent priority; others stay as they are. Returns 0 or a
 * database error. */
int np_store_order_hurry(struct np_store *store, const char *id, enum np_order_priority priority);

/* An order in backoff or dead goes back into the queue as if it were new. Returns 0, NP_E_NOT_FOUND when it is in
 * another state (or there is none), or a database error. */
int np_store_order_retry(struct np_store *store, const char *id, int64_t now_ms);

/* A certificate as the device fetches it. n counts the device's packages from 1 and is the number of its auth token. */
struct np_package {
    char device[NP_DEVICE_ID_MAX + 1];
    char order[NP_DEVICE_ID_MAX + 1];
    char ca[NP_URL_MAX + 1]; /* the CA's directory; empty: before there was more than one */
    int64_t n;
    char chain[NP_CHAIN_MAX + 1]; /* PEM, leaf first */
    int64_t not_before_s, not_after_s;
    int64_t created_ms;
    int64_t renew_ms; /* np_store_package_add only: when to look after its renewal */
    int64_t ask_ms;   /* np_store_package_add only: when to ask the CA for its renewal window */
};

/* Stores the order's result in one step: the package with the next n, the device's auth_n, the order as issued (its
 * other fields as in order), and the renewal; for a device that has left meanwhile a revocation instead. package->n is
 * ignored; device, order and ca are taken from order. Returns 0, NP_E_STALE (as np_store_order_update),
 * NP_E_NOT_FOUND, or a database error. */
int np_store_package_add(struct np_store *store, struct np_order *order, const struct np_package *package,
                         int64_t *out_n);

/* The device's newest package for the TLS key with this thumbprint. Returns 0, NP_E_NOT_FOUND, or a database error. */
int np_store_package_newest(struct np_store *store, const char *device, const uint8_t key[32],
                            struct np_package *out_package);

/* Where and when the device's package n was made (ca and created_ms of *out_package; the rest is not written). Returns
 * 0, NP_E_NOT_FOUND, or a database error. */
int np_store_package_origin(struct np_store *store, const char *device, int64_t n, struct np_package *out_package);

/* The device's package n. Returns 0, NP_E_NOT_FOUND, or a database error. */
int np_store_package_get(struct np_store *store, const char *device, int64_t n, struct np_package *out_package);

/* ---- Rate limits of CAs ---- */

/* The bucket of a CA (its directory), a kind (hq/acme/limits.h) and a key: the time at which it will be full again, 0
 * where none is kept. Returns 0 or a database error. */
int np_store_bucket_get(struct np_store *store, const char *ca, int kind, const char *key, int64_t *out_full_ms);

/* Writes a bucket, unless another HQ has changed it since it was read as old_ms. Returns 0, NP_E_CONFLICT, or a
 * database error. */
int np_store_bucket_set(struct np_store *store, const char *ca, int kind, const char *key, int64_t old_ms,
                        int64_t new_ms);

/* Forgets buckets that are full at now_ms. Returns 0 or a database error. */
int np_store_buckets_purge(struct np_store *store, int64_t now_ms);

/* ---- Renewals ---- */

/* When to look after the renewal of a device's newest certificate. One row for each device that has one and has not
 * left. */
struct np_renewal {
    char device[NP_DEVICE_ID_MAX + 1];
    int64_t n; /* the package's */
    int64_t not_before_s, not_after_s;
    int64_t point_ms; /* where in the certificate's life it is to be renewed */
    int64_t due_ms;   /* the next look */
    int64_t attempts; /* orders made since the package was stored */
    int64_t early;    /* renewals that came before half of a certificate's life was over, less those that did not */
    int64_t ask_ms;   /* the next question to the CA about its renewal window */
    int64_t failures; /* such questions in a row that came to nothing */
    int64_t window_from_ms, window_until_ms; /* what the CA has said; 0: nothing yet */
    char ca[NP_URL_MAX + 1];                 /* the CA's directory; empty: before there was more than one */
};

/* Return other than 0 to stop; np_store_renewals_due then returns that number. */
typedef int np_store_renewal_fn(void *ctx, const struct np_renewal *renewal);

/* Rows with due_ms at or before now_ms, the earliest first, at most limit (by an index). The callback must not write.
 */
int np_store_renewals_due(struct np_store *store, int64_t now_ms, size_t limit, np_store_renewal_fn *each, void *ctx);

/* When the next row is due; INT64_MAX: none. Returns 0 or a database error. */
int np_store_renewals_next(struct np_store *store, int64_t *out_ms);

/* By device. Returns 0, NP_E_NOT_FOUND, or a database error. */
int np_store_renewal_get(struct np_store *store, const char *device, struct np_renewal *out_renewal);

/* Writes due_ms and attempts of after, where the row still has those of before. Returns 0, NP_E_CONFLICT (another look
 * was faster, another package came, or the device has left), or a database error. */
int np_store_renewal_update(struct np_store *store, const struct np_renewal *before, const struct np_renewal *after);

/* Likewise, together with the order (state queued) that the look has led to: only while last is still the device's
 * newest order, as it was read, and the device is active. Two HQs that look at one row make one order. Returns as
 * np_store_renewal_update and np_store_order_add. */
int np_store_renewal_order(struct np_store *store, const struct np_renewal *before, const struct np_renewal *after,
                           const struct np_order *last, const struct np_order *order);

/* Rows of a CA (its directory) with ask_ms at or before now_ms, the earliest first, at most limit (by an index). The
 * callback must not write. Returns 0, what a callback returned, or a database error. */
int np_store_renewals_to_ask(struct np_store *store, const char *ca, int64_t now_ms, size_t limit,
                             np_store_renewal_fn *each, void *ctx);

/* When the next of them is due; INT64_MAX: none. Returns 0 or a database error. */
int np_store_renewals_next_ask(struct np_store *store, const char *ca, int64_t *out_ms);

/* Moves a row's ask_ms to until_ms, unless another HQ has been faster: the question is ours until then. Returns 0,
 * NP_E_CONFLICT, or a database error. */
int np_store_renewal_claim(struct np_store *store, const struct np_renewal *renewal, int64_t until_ms);

/* Writes what came of a question: ask_ms, failures and the window, and point_ms and due_ms of after in the place of
 * before's. Returns 0, NP_E_CONFLICT where the row is not as before says (a look, another package), or a database
 * error. */
int np_store_renewal_answer(struct np_store *store, const struct np_renewal *before, const struct np_renewal *after);

/* A time in which HQ was away. */
struct np_store_outage {
    int64_t from_s, until_s;
};

/* Notes that HQ lives at now_s. Where the last mark is more than gap_s old, the time since is noted as an outage.
 * Returns 0 or a database error. */
int np_store_heartbeat(struct np_store *store, int64_t now_s, int64_t gap_s);

/* The newest outages, at most NP_STORE_OUTAGES_MAX. Returns 0 or a database error. */
int np_store_outages(struct np_store *store, struct np_store_outage out_outages[NP_STORE_OUTAGES_MAX],
                     size_t *out_count);

/* ---- Leaving ---- */

/* RFC 5280 section 5.3.1. */
enum np_revocation_reason { NP_REVOKE_KEY_COMPROMISE = 1, NP_REVOKE_CESSATION = 5 };

/* Ends a device in one step: retired, its addresses gone, its name dirty and tombstoned, its renewal gone, its waiting
 * orders dead, every certificate that has not ended queued for revocation, and its claim codes free. Repeating it
 * changes nothing. Returns 0, NP_E_NOT_FOUND, or a database error. */
int np_store_device_retire(struct np_store *store, const char *id, enum np_revocation_reason reason, int64_t now_ms);

/* The operator blocks a device: it is told to stop asking, its name shows nothing, its waiting orders are dead. What
 * was issued stays good until it ends. Returns 0 (also when it was blocked), NP_E_REFUSED when it has left,
 * NP_E_NOT_FOUND, or a database error. */
int np_store_device_block(struct np_store *store, const char *id, int64_t now_ms);

/* Takes the block away: its name shows what it did before. Returns 0, NP_E_REFUSED when it is not blocked,
 * NP_E_NOT_FOUND, or a database error. */
int np_store_device_unblock(struct np_store *store, const char *id);

enum np_revocation_state {
    NP_REVOCATION_OPEN, /* to be told to the CA */
    NP_REVOCATION_DONE,
    NP_REVOCATION_MOOT /* the certificate ended before the CA took it */
};

/* A certificate to be revoked at the CA: package n of device. */
struct np_revocation {
    char device[NP_DEVICE_ID_MAX + 1];
    int64_t n;
    enum np_revocation_reason reason;
    enum np_revocation_state state;
    int64_t attempts;
    int64_t next_try_ms;
};

/* The open one that is due first, whenever that is. Returns 0, NP_E_NOT_FOUND, or a database error. */
int np_store_revocation_next(struct np_store *store, struct np_revocation *out_revocation);

/* Writes state, attempts and next_try_ms. Returns 0 or a database error. */
int np_store_revocation_update(struct np_store *store, const struct np_revocation *revocation);

/* ---- Names: what the zone shows ---- */

/* A name and what is to be published for it now. present false: the name is gone, or shows nothing. version tells one
 * dirty mark from the next. */
struct np_zone_name {
    char name[NP_NAME_MAX + 1];
    bool present; /* an active device that is not silent holds it: it exists, even without addresses */
    struct np_addresses published;
    int64_t version;
};

/* Return other than 0 to stop; np_store_names_after and np_store_dirty_after then return that number. */
typedef int np_store_name_fn(void *ctx, const struct np_zone_name *name);

/* At most limit present names that follow the name after ("": from the first one), in their order: a walk over all of
 * them in slices, between which names may come and go. The callback must not write. */
int np_store_names_after(struct np_store *store, const char *after, size_t limit, np_store_name_fn *each, void *ctx);

/* Likewise, names of devices that have left, are blocked or silent: they are to show nothing. */
int np_store_names_gone_after(struct np_store *store, const char *after, size_t limit, np_store_name_fn *each,
                              void *ctx);

/* Was the name ever a device's? 1, 0, or a database error. */
int np_store_name_known(struct np_store *store, const char *name);

/* Is an order under way (or waiting) for the device of that name? 1, 0, or a database error. */
int np_store_name_ordered(struct np_store *store, const char *name);

/* Dirty names with their current state whose mark is newer than the version after (0: all), oldest first, at most
 * limit. The callback must not write. */
int np_store_dirty_after(struct np_store *store, int64_t after, size_t limit, np_store_name_fn *each, void *ctx);

/* What is to be published for a name now, whether it is dirty (version of its mark) or not (0). A name that no device
 * has is not present. Returns 0 or a database error. */
int np_store_name_get(struct np_store *store, const char *name, struct np_zone_name *out_name);

/* Marks a name dirty: it is published again as it is, or removed where no device has it. Returns 0 or a database error.
 */
int np_store_name_mark(struct np_store *store, const char *name);

/* The publisher has confirmed the state it read with this version: the mark goes, unless the name was marked again
 * meanwhile. Returns 0 or a database error. */
int np_store_dirty_done(struct np_store *store, const char *name, int64_t version);

/* Never give this name to anybody again (a label that left). Returns 0 or a database error. */
int np_store_tombstone_add(struct np_store *store, const char *name, int64_t now_s);

/* The zone's serial: grows with every change of a name, never goes back as long as the clock does not (it is at least
 * the Unix time of the last change). Returns 0 or a database error. */
int np_store_zone_serial(struct np_store *store, int64_t *out_serial);

/* Reserves the NP_STORE_SERIALS numbers from *out_from on for a serial that is not stored itself: at least at_least,
 * and above all that were ever reserved. They may be used once this is committed. Returns 0 or a database error. */
int np_store_serials_reserve(struct np_store *store, int64_t at_least, int64_t *out_from);

#endif

/* zone: the device zone and its challenge zone, published (`nameplate-hq serve`). By `zone-backend`:
 *
 * - builtin: an authoritative server of our own, a child process without keys or files (zone/child.c, hidden role
 *   `child-dns`): the parent opens the sockets, starts the child, feeds it a snapshot and then the changes, and starts
 *   it again with backoff and a new snapshot when it dies. What is served is in zone/table.h and zone/answer.h.
 * - rfc2136: dynamic updates signed with TSIG to other name servers (zone/rfc2136.c): BIND, Knot, PowerDNS. What they
 *   are to show is in zone/records.h; secondaries, transfers and DNSSEC are theirs.
 *
 * Dirty names: whoever changes a device's row marks its name dirty in the same transaction (hq/store) and then calls
 * np_zone_wake. The zone writes the name's current state and clears the mark only once the servers have confirmed it,
 * so that a crash of either side loses nothing, and nothing old comes back.
 *
 * Lifecycle: np_zone_config_load, np_zone_new (opens the sockets, reads the keys: before privileges are dropped),
 * np_zone_start, ..., np_zone_close, and after its callback the store and the loop may go. One thread: the loop's. */
#ifndef HQ_ZONE_ZONE_H
#define HQ_ZONE_ZONE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "hq/proto/message.h"
#include "resolver/base/address.h"
#include "resolver/base/config.h"

#define NP_ZONE_NAMESERVERS_MAX 8  /* as many as a device is told (NP_NAMESERVERS_MAX) */
#define NP_ZONE_LISTEN_MAX      16 /* `dns-listen` entries; each is a UDP and a TCP socket */
#define NP_ZONE_HOST_MAX        8  /* `hq-address` entries */
#define NP_ZONE_SERVERS_MAX     4  /* that are updated, for each of the two zones */
#define NP_ZONE_PATH_MAX        512
#define NP_ZONE_ERROR_MAX       768   /* bytes of an error text */
#define NP_ZONE_CAA_MAX         4     /* issuer domains */
#define NP_ZONE_PROBE_MAX       2     /* one address of each family */
#define NP_ZONE_TXT_MAX         4     /* challenge values at one name: one a SAN */
#define NP_ZONE_TXT_LEN         43    /* characters: base64url of a SHA-256 (RFC 8555 section 8.4) */
#define NP_ZONE_CAA_LEN         120   /* characters of one issuer domain or of the account's URL */
#define NP_ZONE_SKIP_MS         60000 /* the default of nameserver-skip-after */
#define NP_ZONE_CHALLENGE_S     1     /* TTL of challenge values, and of "there is none": they change within seconds */
#define NP_ZONE_CHALLENGES_MAX  1024  /* names with challenge values at once: far above the orders in flight */

struct np_check_health;
struct np_store;
struct np_zone;

/* A name server of the zone. The port is where HQ itself asks it (53 in real life). */
struct np_zone_nameserver {
    char name[NP_NAME_MAX + 1];
    struct np_endpoint address;
};

enum np_zone_backend_kind { NP_ZONE_BUILTIN, NP_ZONE_RFC2136 };

/* The servers that are updated for a zone, and with which key. Each is updated by itself: secondaries of theirs are not
 * named here. */
struct np_zone_servers {
    struct np_endpoint servers[NP_ZONE_SERVERS_MAX];
    size_t count;
    char key_path[NP_ZONE_PATH_MAX]; /* the TSIG key's file (zone/tsig.h) */
};

/* The URLs of our ACME accounts, one a CAA record; empty: not known (yet). */
struct np_zone_accounts {
    char url[NP_ZONE_CAA_MAX][NP_ZONE_CAA_LEN + 1];
};

/* What the zone contains besides the devices, and where it is served. A plain value; no secrets. */
struct np_zone_config {
    enum np_zone_backend_kind backend;
    struct np_zone_servers update;    /* of rfc2136: the device zone's */
    struct np_zone_servers challenge; /* likewise, the challenge zone's */
    char origin[NP_NAME_MAX + 1];     /* "devices.example" */
    /* One entry an address: a name server with two addresses has two entries of the same name. The first is the SOA's
     * MNAME. */
    struct np_zone_nameserver nameservers[NP_ZONE_NAMESERVERS_MAX];
    size_t nameserver_count;
    /* Those of the challenge zone, where they are others: HQ asks them for challenge values. */
    struct np_zone_nameserver challenge_nameservers[NP_ZONE_NAMESERVERS_MAX];
    size_t challenge_nameserver_count;
    char host[NP_NAME_MAX + 1]; /* HQ's own host name from its URL; empty when it lies outside the zone */
    struct np_addr host_addresses[NP_ZONE_HOST_MAX];
    size_t host_address_count;
    char caa[NP_ZONE_CAA_MAX][NP_ZONE_CAA_LEN + 1]; /* issuer domains; none: no CAA record */
    size_t caa_count;
    uint32_t ttl_s;                                  /* of everything but the challenges */
    struct np_addr probe_private[NP_ZONE_PROBE_MAX]; /* *.rebind-test.<zone> */
    size_t probe_private_count;
    struct np_addr probe_public[NP_ZONE_PROBE_MAX]; /* *.plain-test.<zone> */
    size_t probe_public_count;
    struct np_endpoint listen[NP_ZONE_LISTEN_MAX];
    size_t listen_count;
    int64_t skip_ms;     /* a name server that has failed for so long is not waited for by challenges */
    unsigned rate_limit; /* responses a second of one kind to one network (zone/rrl.h); 0: unlimited */
};

/* Reads the keys zone, zone-backend, url, nameservers, hq-address, caa, ttl, probe-private, probe-public, dns-listen,
 * dns-rate-limit, nameserver-skip-after, and those of rfc2136: update-servers, update-key, acme-update-servers,
 * acme-update-key, acme-nameservers. Returns 0, or NP_E_CONFIG with a text in error. */
int np_zone_config_load(const struct np_config *config, struct np_zone_config *out_zone,
                        char error[NP_CONFIG_ERROR_MAX]);

/* Allocates, and opens the listening sockets or reads the TSIG keys. config is copied; store is borrowed and outlives
 * the zone. Returns 0, or an error with a sentence for a person in error. */
int np_zone_new(uv_loop_t *loop, const struct np_zone_config *config, struct np_store *store, struct np_zone **out_zone,
                char error[NP_ZONE_ERROR_MAX]);

/* Before each write to another name server allowed(ctx) is asked: does this HQ (still) publish the zone? */
void np_zone_guard(struct np_zone *zone, bool (*allowed)(void *ctx), void *ctx);

/* Begins to publish. Returns 0 or -errno; a child that dies later is started again from inside. */
int np_zone_start(struct np_zone *zone);

/* There are dirty names in the store (or may be). Cheap; call it after every transaction that marked one. */
void np_zone_wake(struct np_zone *zone);

/* Called once when the servers have confirmed a challenge change (0), or will never (NP_E_CLOSED: the zone was closed).
 */
typedef void np_zone_done_fn(void *ctx, int rc);

/* Sets the challenge TXT values of a device's name ("nifty-babbage.devices.example"), replacing what was there; count 0
 * removes them. They live in the parent's memory (the orders in the store are their source) and survive a crash of the
 * servers. Of several servers that are updated, one that has failed for skip_ms is not waited for, as long as
 * another one has confirmed. done is called from the loop, never from inside this call; it may be NULL. Returns 0,
 * NP_E_NAME (not directly below the zone), NP_E_LIMIT or -ENOMEM. */
int np_zone_set_challenges(struct np_zone *zone, const char *name,
                           const char values[NP_ZONE_TXT_MAX][NP_ZONE_TXT_LEN + 1], size_t count, np_zone_done_fn *done,
                           void *ctx);

/* Adds accounturi=<url> to a CAA record (RFC 8657), once the account at that CA is known; caa is the record's number in
 * the configuration. Returns 0 or NP_E_LIMIT (too long, or no such record). */
int np_zone_set_account(struct np_zone *zone, size_t caa, const char *url);

/* The zone's configuration, borrowed: the name servers are asked by zone/check. */
const struct np_zone_config *np_zone_settings(const struct np_zone *zone);

/* What is remembered of the zone's name servers, for zone/check. Borrowed; in the order of nameservers, then
 * challenge_nameservers. */
struct np_check_health *np_zone_health(struct np_zone *zone);

/* May HQ say that it is ready? With builtin: is the child up, with the whole snapshot applied? */
bool np_zone_ready(const struct np_zone *zone);

/* The builtin child's process id, 0 when there is none. For `status` and tests. */
int np_zone_child_pid(const struct np_zone *zone);

#define NP_ZONE_WHY_MAX 200 /* bytes of a reason */

/* A server that HQ updates, for one zone. */
struct np_zone_update_report {
    char server[NP_ADDR_TEXT_MAX];
    char zone[NP_NAME_MAX + 1];
    int64_t failing_ms;        /* how long it has failed without a break; 0: it does not */
    size_t waiting;            /* names taken up that it does not show yet */
    size_t refused;            /* names that it refuses */
    char why[NP_ZONE_WHY_MAX]; /* it fails; else empty */
};

/* What HQ knows of the name servers, for hq/admin. */
struct np_zone_report {
    bool ready;
    struct {
        const char *name; /* borrowed */
        struct np_endpoint address;
        int64_t failing_ms; /* how long it has failed when challenges were looked for; 0: it does not */
    } nameservers[2 * NP_ZONE_NAMESERVERS_MAX];
    size_t nameserver_count;
    struct np_zone_update_report updates[2 * NP_ZONE_SERVERS_MAX];
    size_t update_count;
};

/* See struct np_zone_report. */
void np_zone_report(const struct np_zone *zone, struct np_zone_report *out_report);

/* Ends the child and closes everything; done(ctx) is called from the loop when the memory has been freed. */
void np_zone_close(struct np_zone *zone, void (*done)(void *ctx), void *ctx);

/* The whole life of the child process (`nameplate-hq child-dns`; descriptor 3 is its channel). Returns the exit code.
 */
int np_zone_child_main(void);

#endif

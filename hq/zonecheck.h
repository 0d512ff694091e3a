/* zonecheck: `nameplate-hq zone check` and `zone repair`: what the name servers show is compared with the database,
 * while the server runs.
 *
 * Each server that HQ updates is transferred (AXFR, signed), or asked name by name where it transfers nothing, and so
 * is HQ's own. What differs is asked for once more before it counts, since names go on changing meanwhile; a name whose
 * change is still on its way is pending, not wrong. Repairing is marking names dirty: the running server writes them.
 *
 * Lifecycle: np_zonecheck_run, then any of repair and the printers, np_zonecheck_deinit. */
#ifndef HQ_ZONECHECK_H
#define HQ_ZONECHECK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "hq/store/store.h"
#include "hq/zone/audit.h"
#include "hq/zone/transfer.h"
#include "hq/zone/zone.h"

#define NP_ZONECHECK_TARGETS_MAX  (2 * NP_ZONE_SERVERS_MAX + NP_ZONE_NAMESERVERS_MAX)
#define NP_ZONECHECK_FINDINGS_MAX 100000 /* that are kept, and repaired at once; all are counted */
#define NP_ZONECHECK_CONFIRM_MAX  1000   /* that are asked for again: more of them cannot be a race */
#define NP_ZONECHECK_ROUNDS       3      /* of asking again */
#define NP_ZONECHECK_SHOWN        20     /* findings in the table; the JSON has them all */

/* What one server shows of one zone. */
struct np_zonecheck_target {
    struct np_endpoint server;
    bool challenge;   /* of acme.<zone> */
    bool transferred; /* else asked */
    bool has_serial;
    uint32_t serial;
    size_t names; /* that it shows */
    size_t missing, different, extra, pending;
    char error[NP_TRANSFER_WHY_MAX]; /* empty: it was compared */
};

/* A name server that the world asks. */
struct np_zonecheck_nameserver {
    const struct np_zone_nameserver *nameserver;
    bool has_serial;
    uint32_t serial;
    char error[NP_TRANSFER_WHY_MAX];
};

/* A name that is not what it should be. */
struct np_zonecheck_finding {
    char name[NP_NAME_MAX + 1];
    size_t target;
    enum np_audit_finding finding;
    bool pending; /* its change is on its way */
    struct np_addresses should;
};

/* The result. */
struct np_zonecheck {
    const struct np_zone_config *config; /* borrowed */
    size_t names;                        /* in the database */
    struct np_zonecheck_target targets[NP_ZONECHECK_TARGETS_MAX];
    size_t target_count;
    struct np_zonecheck_nameserver nameservers[NP_ZONE_NAMESERVERS_MAX];
    size_t nameserver_count;
    struct np_zonecheck_finding *findings;
    size_t finding_count, finding_room;
    size_t repaired; /* names that were marked */
};

/* Compares. store and config are borrowed and outlive the result. Returns 0 (servers that could not be compared have
 * their error), or an error with a sentence in error. */
int np_zonecheck_run(struct np_store *store, const struct np_zone_config *config, struct np_zonecheck *out_check,
                     char error[NP_ZONE_ERROR_MAX]);

/* Does everything agree? Pending names do not count. */
bool np_zonecheck_agrees(const struct np_zonecheck *check);

/* Could every server be compared? */
bool np_zonecheck_complete(const struct np_zonecheck *check);

/* Marks what differs dirty, and commits. Returns 0 or a database error. */
int np_zonecheck_repair(struct np_store *store, struct np_zonecheck *check);

/* Prints a table for a person. */
void np_zonecheck_print(const struct np_zonecheck *check);

/* Prints JSON (docs/schema/zone-check.schema.json). Returns 0, -ENOMEM or -EIO. */
int np_zonecheck_print_json(const struct np_zonecheck *check);

/* Frees what the result holds. */
void np_zonecheck_deinit(struct np_zonecheck *check);

#endif

/* facts: what HQ knows about itself at one moment, for the metrics and the dashboard. Gathered by hq/admin/admin; all
 * pointers are borrowed until the loop goes on. */
#ifndef HQ_ADMIN_FACTS_H
#define HQ_ADMIN_FACTS_H

#include "hq/acme/issuance.h"
#include "hq/api/stats.h"
#include "hq/frontdoor.h"
#include "hq/store/browse.h"
#include "hq/zone/zone.h"
#include "resolver/base/metrics.h"

/* Plain values. */
struct np_admin_facts {
    int64_t now_s, started_s;
    const struct np_census *census; /* NULL: not taken yet */
    int64_t census_age_ms, census_took_ms;
    bool standby;          /* another HQ publishes and issues; of zone and CAs nothing is known here */
    bool store_good;       /* the database answers */
    char store_error[256]; /* why not */
    int64_t lag_ms;        /* of publishing */
    struct np_zone_report zone;
    struct np_issuance_ca cas[NP_CA_MAX];
    size_t ca_count;
    int64_t typical_ms;                  /* from an order's beginning to its certificate */
    int64_t eta_s[NP_PRIORITY_OPEN + 1]; /* of an order without certificate that came now, by priority */
    const struct np_api_stats *requests;
    const struct np_door_stats *door;
    int64_t rss_bytes, open_fds; /* of this process; 0: not known */
    double cpu_s;
};

/* Writes them all as metrics; docs/operations.md lists the names. */
void np_admin_metrics(const struct np_admin_facts *facts, struct np_metrics *metrics);

/* Are devices served and certificates made? Writes one line for each part that says so, or why not; returns whether all
 * are ready. */
bool np_admin_readiness(const struct np_admin_facts *facts, char *out, size_t size);

/* All but the census as one JSON object for the dashboard. *out_json is malloc'd. Returns 0 or -ENOMEM. */
int np_admin_live_json(const struct np_admin_facts *facts, char **out_json);

#endif

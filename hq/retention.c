#include "hq/retention.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "hq/acme/renewal.h"
#include "hq/store/naming.h"
#include "resolver/base/error.h"
#include "resolver/base/log.h"

#define AFTER_ERROR_MS 5000

struct np_retention {
    struct np_store *store;
    int64_t limit_s;
    uv_timer_t timer;
    size_t silenced; /* since the last log line */
    void (*closed)(void *ctx);
    void *closed_ctx;
};

int64_t np_retention_cutoff_s(int64_t now_s, int64_t limit_s, const struct np_store_outage *outages, size_t count)
{
    /* The absence never grows with last_seen, and outages can only make it shorter: search between "no outage" and
     * "away all the time". */
    int64_t low = now_s - limit_s, high = now_s - limit_s;
    for (size_t i = 0; i < count; i++)
        low -= outages[i].until_s > outages[i].from_s ? outages[i].until_s - outages[i].from_s : 0;
    while (low < high) {
        int64_t middle = low + (high - low + 1) / 2;
        if (np_renewal_absent_s(middle, now_s, outages, count) >= limit_s)
            low = middle;
        else
            high = middle - 1;
    }
    return low;
}

static int silence(struct np_retention *retention, int64_t now_s, size_t *out_count)
{
    struct np_store_outage outages[NP_STORE_OUTAGES_MAX];
    char ids[NP_RETENTION_BATCH][NP_DEVICE_ID_MAX + 1];
    size_t outage_count = 0;
    int rc = np_store_outages(retention->store, outages, &outage_count);
    if (rc)
        return rc;
    int64_t seen_s = np_retention_cutoff_s(now_s, retention->limit_s + NP_RETENTION_SEEN_S, outages, outage_count);
    int found = np_store_devices_quiet(retention->store, seen_s, NP_RETENTION_BATCH, ids);
    for (int i = 0; i < found; i++) {
        rc = np_store_device_silence(retention->store, ids[i], seen_s, now_s);
        if (rc && rc != NP_E_STALE) /* it came back meanwhile */
            return rc;
    }
    *out_count = found > 0 ? (size_t)found : 0;
    return found < 0 ? found : 0;
}

/* Names whose time is over go, and the next look comes when the next one ends. */
static int end_names(struct np_retention *retention, int64_t now_s, uint64_t *next_ms)
{
    int64_t next_s = INT64_MAX;
    int ended = np_store_naming_end_due(retention->store, NULL, now_s, NP_RETENTION_BATCH);
    int rc = ended < 0 ? ended : np_store_naming_next_end(retention->store, &next_s);
    if (ended > 0)
        np_info("retention: %d names end that were followed by chosen ones", ended);
    if (rc == 0 && next_s <= now_s)
        *next_ms = NP_RETENTION_PAUSE_MS;
    else if (rc == 0 && next_s - now_s < NP_RETENTION_LOOK_MS / 1000 && (uint64_t)(next_s - now_s) * 1000 < *next_ms)
        *next_ms = (uint64_t)(next_s - now_s) * 1000;
    return rc;
}

static void on_timer(uv_timer_t *timer)
{
    struct np_retention *retention = timer->data;
    size_t count = 0;
    uint64_t next_ms = NP_RETENTION_LOOK_MS;
    int rc = silence(retention, (int64_t)time(NULL), &count);
    retention->silenced += count;
    if (rc) {
        np_error("retention: silent devices cannot be looked for: %s", np_store_error(retention->store));
        next_ms = AFTER_ERROR_MS;
    } else if (count == NP_RETENTION_BATCH) {
        next_ms = NP_RETENTION_PAUSE_MS;
    } else if (retention->silenced) {
        np_notice("retention: the records of %zu devices go, which nobody has seen for %lld days", retention->silenced,
                  (long long)retention->limit_s / 86400);
        retention->silenced = 0;
    }
    if (rc == 0 && end_names(retention, (int64_t)time(NULL), &next_ms)) {
        np_error("retention: names cannot be ended: %s", np_store_error(retention->store));
        next_ms = AFTER_ERROR_MS;
    }
    uv_timer_start(timer, on_timer, next_ms, 0);
}

int np_retention_new(uv_loop_t *loop, struct np_store *store, int64_t limit_s, struct np_retention **out_retention)
{
    struct np_retention *retention = calloc(1, sizeof *retention);
    if (!retention)
        return -ENOMEM;
    retention->store = store;
    retention->limit_s = limit_s;
    uv_timer_init(loop, &retention->timer);
    retention->timer.data = retention;
    *out_retention = retention;
    return 0;
}

void np_retention_start(struct np_retention *retention)
{
    uv_timer_start(&retention->timer, on_timer, 0, 0);
}

static void on_closed(uv_handle_t *handle)
{
    struct np_retention *retention = handle->data;
    void (*closed)(void *ctx) = retention->closed;
    void *ctx = retention->closed_ctx;
    free(retention);
    if (closed)
        closed(ctx);
}

void np_retention_close(struct np_retention *retention, void (*done)(void *ctx), void *ctx)
{
    retention->closed = done;
    retention->closed_ctx = ctx;
    uv_close((uv_handle_t *)&retention->timer, on_closed);
}

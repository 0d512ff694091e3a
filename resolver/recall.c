#include "resolver/recall.h"

#include <string.h>

#include "resolver/base/random.h"
#include "resolver/local.h"
#include "resolver/special.h"

void np_recall_init(struct np_recall *recall, np_recall_offline_fn *is_offline, void *ctx)
{
    memset(recall, 0, offsetof(struct np_recall, packed));
    recall->is_offline = is_offline;
    recall->ctx = ctx;
}

void np_recall_deinit(struct np_recall *recall)
{
    np_cache_free(recall->cache);
    recall->cache = NULL;
}

/* Are there servers whose AD bit was believed and is no longer? */
static bool lost_trust(const struct np_view *before, const struct np_view *view)
{
    for (size_t i = 0; i < before->upstream_count; i++) {
        bool trusted = !before->upstreams[i].trusted;
        for (size_t k = 0; k < view->upstream_count && !trusted; k++)
            trusted = np_view_upstream_equal(&before->upstreams[i], &view->upstreams[k]);
        if (!trusted)
            return true;
    }
    return false;
}

static bool same_upstreams(const struct np_view *a, const struct np_view *b)
{
    bool same = a->upstream_count == b->upstream_count;
    for (size_t i = 0; i < a->upstream_count && same; i++)
        same = np_view_upstream_equal(&a->upstreams[i], &b->upstreams[i]);
    return same;
}

int np_recall_fit(struct np_recall *recall, const struct np_view *before, const struct np_view *view)
{
    if (view->cache == 0) {
        np_recall_deinit(recall);
        return 0;
    }
    if (!recall->cache) {
        uint64_t key;
        np_random_bytes(&key, sizeof key);
        return np_cache_new(view->cache, key, &recall->cache);
    }
    if (!np_view_same_forwards(before, view) || lost_trust(before, view))
        np_cache_flush(recall->cache);
    if (!np_rebind_same(before, view))
        np_cache_doubt(recall->cache);
    if (!same_upstreams(before, view))
        np_cache_forgive(recall->cache);
    return view->cache == np_cache_stats(recall->cache)->size ? 0 : np_cache_resize(recall->cache, view->cache);
}

static struct np_cache_key key_of(const struct np_query *query)
{
    return (struct np_cache_key){&query->qname, query->qtype, query->dnssec_ok, (query->flags & NP_FLAG_CD) != 0};
}

static size_t limit_of(const struct np_client *client, const struct np_query *query, size_t size)
{
    size_t limit = np_query_limit(query, client->tcp);
    return limit < size ? limit : size;
}

static void write_found(struct np_recall *recall, const struct np_view *view, const struct np_client *client,
                        const struct np_query *query, const struct np_cache_found *found, uint8_t *out, size_t size,
                        struct np_recalled *recalled)
{
    bool stale = found->state == NP_CACHE_STALE;
    recalled->kind = stale ? NP_RECALL_STALE : NP_RECALL_FRESH;
    recalled->is_blocked = found->is_blocked;
    if (found->is_blocked) {
        recalled->blocked = found->blocked;
        recalled->len = np_local_blocked(view, client, query, out, size);
        return;
    }
    struct np_packed_how how = {.age_s = found->age_s, .turn = recall->turn++, .ede = NP_EDE_NONE};
    if (stale) {
        how.fixed_s = NP_CACHE_STALE_TTL_S;
        how.ede = found->packed->rcode == NP_RCODE_NXDOMAIN ? NP_EDE_STALE_NXDOMAIN : NP_EDE_STALE;
    }
    recalled->len = np_packed_write(found->packed, query, &how, out, limit_of(client, query, size));
}

static void write_failure(const struct np_view *view, const struct np_client *client, const struct np_query *query,
                          const struct np_packed *said, uint32_t age_s, enum np_ede ede, uint8_t *out, size_t size,
                          struct np_recalled *recalled)
{
    struct np_packed_how how = {.age_s = age_s, .ede = ede};
    recalled->kind = NP_RECALL_FAILURE;
    recalled->is_blocked = false;
    recalled->len = said ? np_packed_write(said, query, &how, out, limit_of(client, query, size))
                         : np_local_offline(view, client, query, ede, out, size);
}

/* A zone that the owner sends to a server of his own is home's: its addresses are private by nature. */
static enum np_rebind filter(const struct np_view *view, const struct np_name *qname, const uint8_t *message,
                             size_t len, struct np_addr *out_addr)
{
    return np_special_forward(view, qname) ? NP_REBIND_PASS : np_rebind_check(view, message, len, out_addr);
}

/* Would today's filter let the answer pass? What it blocked then is asked for again, to see. */
static bool still_passes(struct np_recall *recall, const struct np_view *view, const struct np_query *query,
                         const struct np_cache_found *found)
{
    struct np_packed_how how = {.ede = NP_EDE_NONE};
    struct np_query whole = *query;
    struct np_addr addr;
    whole.edns = false;
    if (found->is_blocked)
        return false;
    size_t len = np_packed_write(found->packed, &whole, &how, recall->scratch, sizeof recall->scratch);
    return len > 0 && filter(view, &query->qname, recall->scratch, len, &addr) == NP_REBIND_PASS;
}

/* Puts the filter's word under a doubtful answer; what does not pass is as good as not found. */
static void settle(struct np_recall *recall, const struct np_view *view, const struct np_query *query,
                   struct np_cache_found *found)
{
    struct np_cache_key key = key_of(query);
    if (!found->doubtful)
        return;
    bool good = still_passes(recall, view, query, found);
    np_cache_judged(recall->cache, &key, good);
    if (!good)
        found->state = NP_CACHE_MISS;
}

/* Can no upstream be reached? When they are back, what failed without them is forgotten. The servers of a forwarded
 * zone say nothing of the others: one that is down must not undo what is known of names elsewhere. */
static bool look_offline(struct np_recall *recall, const struct np_view *view, const struct np_name *qname)
{
    bool offline = recall->is_offline(recall->ctx, qname);
    if (np_special_forward(view, qname))
        return offline;
    if (recall->was_offline && !offline)
        np_cache_forgive(recall->cache);
    recall->was_offline = offline;
    return offline;
}

/* What the cache has for a client, who does not wait for upstreams that do not answer. */
static void look_up(struct np_recall *recall, const struct np_view *view, const struct np_query *query, int64_t now_ms,
                    struct np_cache_found *found)
{
    struct np_cache_key key = key_of(query);
    np_cache_find(recall->cache, &key, now_ms, found);
    if (found->state == NP_CACHE_FAILURE && recall->was_offline && !look_offline(recall, view, &query->qname))
        found->state = NP_CACHE_MISS;
    else if (found->state == NP_CACHE_MISS && found->has_stale && look_offline(recall, view, &query->qname))
        np_cache_find_stale(recall->cache, &key, true, now_ms, found);
    settle(recall, view, query, found);
}

void np_recall_query(struct np_recall *recall, const struct np_view *view, const struct np_client *client,
                     const struct np_query *query, int64_t now_ms, uint8_t *out, size_t size,
                     struct np_recalled *out_recalled)
{
    struct np_cache_found found;
    out_recalled->kind = NP_RECALL_NOTHING;
    out_recalled->len = 0;
    out_recalled->refresh = false;
    if (!recall->cache)
        return;
    look_up(recall, view, query, now_ms, &found);
    if (found.state == NP_CACHE_MISS)
        return;
    out_recalled->refresh = found.refresh;
    if (found.state == NP_CACHE_FAILURE)
        write_failure(view, client, query, found.packed, found.age_s, found.packed ? NP_EDE_CACHED_ERROR : found.ede,
                      out, size, out_recalled);
    else
        write_found(recall, view, client, query, &found, out, size, out_recalled);
}

void np_recall_take(struct np_recall *recall, const struct np_view *view, const struct np_forward_result *result,
                    int64_t now_ms)
{
    struct np_cache_key key = {result->qname, result->qtype, result->dnssec_ok, result->checking_disabled};
    struct np_packed_life life = {NP_PACKED_FAILURE, 0};
    recall->filter = NP_REBIND_PASS;
    recall->packed_len = 0;
    if (result->message) {
        recall->filter = filter(view, result->qname, result->message, result->len, &recall->blocked);
        recall->packed_len = np_packed_make(result->message, result->len, recall->filter == NP_REBIND_PASS,
                                            result->trusted, &recall->packed, sizeof recall->packed, &life);
    }
    bool packed = recall->packed_len > 0;
    recall->ede = packed ? NP_EDE_NONE : result->message ? NP_EDE_OTHER : result->ede;
    recall->failed = !packed || life.kind == NP_PACKED_FAILURE;
    if (!recall->cache)
        return;
    if (!result->message)
        (void)look_offline(recall, view, result->qname);
    if (recall->failed)
        np_cache_fail(recall->cache, &key, packed ? &recall->packed.head : NULL,
                      packed ? (size_t)recall->packed_len : 0, recall->ede, now_ms);
    else if (recall->filter == NP_REBIND_BLOCK)
        np_cache_put_blocked(recall->cache, &key, &recall->blocked, &life, now_ms);
    else
        np_cache_put(recall->cache, &key, &recall->packed.head, (size_t)recall->packed_len, &life, now_ms);
}

/* Something old is better than nothing. Returns whether there was something. */
static bool give_stale(struct np_recall *recall, const struct np_view *view, const struct np_client *client,
                       const struct np_query *query, int64_t now_ms, uint8_t *out, size_t size,
                       struct np_recalled *recalled)
{
    struct np_cache_key key = key_of(query);
    struct np_cache_found found;
    if (!recall->cache)
        return false;
    np_cache_find_stale(recall->cache, &key, false, now_ms, &found);
    settle(recall, view, query, &found);
    if (found.state == NP_CACHE_MISS)
        return false;
    write_found(recall, view, client, query, &found, out, size, recalled);
    return recalled->len > 0;
}

void np_recall_give(struct np_recall *recall, const struct np_view *view, const struct np_client *client,
                    const struct np_query *query, int64_t now_ms, uint8_t *out, size_t size,
                    struct np_recalled *out_recalled)
{
    const struct np_packed *packed = recall->packed_len > 0 ? &recall->packed.head : NULL;
    out_recalled->refresh = false;
    if (!recall->failed) {
        struct np_cache_found found = {
            .state = NP_CACHE_FRESH,
            .is_blocked = recall->filter == NP_REBIND_BLOCK,
            .blocked = recall->blocked,
            .packed = packed,
        };
        write_found(recall, view, client, query, &found, out, size, out_recalled);
    } else if (!give_stale(recall, view, client, query, now_ms, out, size, out_recalled)) {
        write_failure(view, client, query, packed, 0, recall->ede, out, size, out_recalled);
    }
}

void np_recall_late(struct np_recall *recall, const struct np_view *view, const struct np_client *client,
                    const struct np_query *query, int64_t now_ms, uint8_t *out, size_t size,
                    struct np_recalled *out_recalled)
{
    struct np_cache_key key = key_of(query);
    out_recalled->kind = NP_RECALL_NOTHING;
    out_recalled->len = 0;
    out_recalled->refresh = false;
    if (give_stale(recall, view, client, query, now_ms, out, size, out_recalled))
        np_cache_late(recall->cache, &key, now_ms);
}

/* recall: what is answered out of the cache, what is kept of an upstream's answer, and what a client is told when there
 * is none. Ties cache, packed answers and the rebinding filter together. Pure: the clock comes in, bytes and decisions
 * go out; asking is the caller's.
 *
 * For a query: np_recall_query; when it says so, the question is asked. Once a question has ended: np_recall_take, then
 * np_recall_give for each client that waited for it. When a question takes long: np_recall_late for each of them.
 *
 * Stale answers (RFC 8767) are given when a question has failed, when it takes longer than NP_FORWARD_LATE_MS, and
 * at once when no upstream answers anything at all. */
#ifndef RESOLVER_RECALL_H
#define RESOLVER_RECALL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "resolver/cache.h"
#include "resolver/forward.h"
#include "resolver/message.h"
#include "resolver/packed.h"
#include "resolver/rebind.h"
#include "resolver/server.h"
#include "resolver/view.h"

/* Does no upstream for the name answer anything at present? */
typedef bool np_recall_offline_fn(void *ctx, const struct np_name *qname);

/* The cache, and the answer that np_recall_take saw last. */
struct np_recall {
    np_recall_offline_fn *is_offline;
    void *ctx;
    bool was_offline;       /* when it was asked last */
    struct np_cache *cache; /* NULL: none is wanted, or there is no memory for it */
    long packed_len;        /* of packed; not above 0: there is none */
    unsigned turn;          /* counts answers, so that each begins with another address */
    bool failed;            /* no upstream gave an answer */
    enum np_ede ede;        /* then, and none said so: why */
    enum np_rebind filter;
    struct np_addr blocked; /* filter BLOCK: for which address */
    union {
        struct np_packed head;
        uint8_t bytes[NP_PACKED_MAX];
    } packed;
    uint8_t scratch[NP_DNS_HEADER_LEN + NP_NAME_WIRE_MAX + 4 + NP_CACHE_ANSWER_MAX];
};

enum np_recall_kind {
    NP_RECALL_NOTHING, /* no answer here: ask, or wait on */
    NP_RECALL_FRESH,   /* an answer */
    NP_RECALL_STALE,   /* an old one */
    NP_RECALL_FAILURE  /* that there is none */
};

/* What a client is told. */
struct np_recalled {
    enum np_recall_kind kind;
    size_t len;             /* of the answer that was written; 0 with NOTHING */
    bool refresh;           /* ask for nobody, so that the cache has it anew */
    bool is_blocked;        /* the filter has blocked it */
    struct np_addr blocked; /* then: for which address; AF_UNSPEC: a malformed record */
};

/* No cache, until the first view. is_offline is called with ctx. */
void np_recall_init(struct np_recall *recall, np_recall_offline_fn *is_offline, void *ctx);

/* Frees the cache. */
void np_recall_deinit(struct np_recall *recall);

/* Makes the cache fit the view that follows on before: its size, and nothing in it that would now be judged or asked
 * otherwise. Returns 0, or NP_E_LIMIT or -ENOMEM when the cache has not the size that is wanted. */
int np_recall_fit(struct np_recall *recall, const struct np_view *before, const struct np_view *view);

/* Answers the query out of the cache. out has size bytes. */
void np_recall_query(struct np_recall *recall, const struct np_view *view, const struct np_client *client,
                     const struct np_query *query, int64_t now_ms, uint8_t *out, size_t size,
                     struct np_recalled *out_recalled);

/* A question has ended: filters and packs its answer, keeps it, or notes that it failed. */
void np_recall_take(struct np_recall *recall, const struct np_view *view, const struct np_forward_result *result,
                    int64_t now_ms);

/* Tells one of its clients, by what np_recall_take saw. Never NOTHING, but len may be 0: the answer cannot be written.
 */
void np_recall_give(struct np_recall *recall, const struct np_view *view, const struct np_client *client,
                    const struct np_query *query, int64_t now_ms, uint8_t *out, size_t size,
                    struct np_recalled *out_recalled);

/* The question is under way for NP_FORWARD_LATE_MS: tells its client something stale, where there is something. */
void np_recall_late(struct np_recall *recall, const struct np_view *view, const struct np_client *client,
                    const struct np_query *query, int64_t now_ms, uint8_t *out, size_t size,
                    struct np_recalled *out_recalled);

#endif

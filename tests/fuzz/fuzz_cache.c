/* An upstream's packet through the cache and back: what is kept is given with the same records, the same RCODE and
 * TTLs that are never larger, at every age, for every client that asked its question. The first byte chooses the
 * client's EDNS, DO, transport and size, the next two the age in seconds. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "resolver/cache.h"
#include "resolver/response.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define START_MS 5000000

static void require(int condition, const char *what)
{
    if (condition)
        return;
    fprintf(stderr, "broken: %s\n", what);
    abort();
}

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* The next record that is not an OPT and, unless additional is wanted, not of the additional section. */
static int next_record(struct np_walk *walk, struct np_rr *rr)
{
    int more;
    while ((more = np_walk_next(walk, rr)) > 0 && rr->type == NP_RR_OPT)
        continue;
    return more;
}

/* A sum over addresses that does not depend on their order. */
static uint64_t weigh(const uint8_t *bytes, size_t len)
{
    uint64_t hash = 0xcbf29ce484222325u;
    for (size_t i = 0; i < len; i++)
        hash = (hash ^ bytes[i]) * 0x100000001b3u;
    return hash;
}

static int is_address(const struct np_rr *rr)
{
    return rr->section == NP_SECTION_ANSWER && (rr->type == NP_RR_A || rr->type == NP_RR_AAAA);
}

/* Byte for byte, but for the TTL, and addresses, which may change places. */
static void same_record(const uint8_t *was, const struct np_rr *a, const uint8_t *is, const struct np_rr *b,
                        uint32_t age_s)
{
    require(a->section == b->section && a->type == b->type && a->class == b->class, "type");
    require(np_name_equal(&a->owner, &b->owner), "owner");
    require(a->rdata_len == b->rdata_len, "rdata length");
    require(is_address(a) || memcmp(was + a->rdata_pos, is + b->rdata_pos, a->rdata_len) == 0, "rdata");
    uint64_t most = smaller(a->ttl, NP_PACKED_TTL_MAX);
    require(b->ttl <= (most > age_s ? most - age_s : 0), "TTL");
}

/* Everything of the packet is in the answer, in order; or, where it was too long, TC and nothing; or only the
 * additional section is shorter. */
static void same_records(const uint8_t *was, size_t was_len, const uint8_t *is, size_t is_len, uint32_t age_s)
{
    struct np_walk a, b;
    struct np_rr x, y;
    uint64_t before = 0, after = 0;
    require(np_walk_start(&a, was, was_len) == 0 && np_walk_start(&b, is, is_len) == 0, "question");
    require((a.flags & 15) == (b.flags & 15), "RCODE");
    int more_a = next_record(&a, &x), more_b = next_record(&b, &y);
    if (b.flags & NP_FLAG_TC) {
        require(more_b == 0, "truncated and empty");
        return;
    }
    while (more_b > 0) {
        require(more_a > 0, "no record comes from nowhere");
        same_record(was, &x, is, &y, age_s);
        before += is_address(&x) ? weigh(was + x.rdata_pos, x.rdata_len) : 0;
        after += is_address(&y) ? weigh(is + y.rdata_pos, y.rdata_len) : 0;
        more_a = next_record(&a, &x);
        more_b = next_record(&b, &y);
    }
    require(more_b == 0, "well-formed");
    require(before == after, "addresses");
    require(more_a == 0 || x.section == NP_SECTION_ADDITIONAL, "answer and authority are whole");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct np_cache *cache;
    static uint8_t out[NP_DNS_MESSAGE_MAX];
    static union {
        struct np_packed head;
        uint8_t bytes[NP_PACKED_MAX];
    } packed;
    uint8_t packet[512];
    struct np_walk walk;
    struct np_query query;
    struct np_packed_life life;
    if (!cache)
        require(np_cache_new(NP_CACHE_SIZE_MIN, 7, &cache) == 0, "memory");
    if (size < 3)
        return 0;
    uint8_t mode = data[0];
    uint32_t age_s = (uint32_t)data[1] << 8 | data[2];
    data += 3;
    size -= 3;
    if (np_walk_start(&walk, data, size) || walk.qclass != NP_CLASS_IN)
        return 0;
    struct np_asked asked = {.id = walk.id, .qname = &walk.qname, .qtype = walk.qtype, .tcp = true};
    enum np_response_verdict verdict = np_response_check(&asked, data, size);
    if (verdict != NP_RESPONSE_GOOD && verdict != NP_RESPONSE_FAILED)
        return 0;
    long len = np_packed_make(data, size, !(mode & 0x20), mode & 8, &packed, sizeof packed, &life);
    require(len > 0, "a good answer is packed");
    require((life.kind == NP_PACKED_POSITIVE || life.kind == NP_PACKED_NEGATIVE) == (life.ttl_s > 0), "life");
    require(life.ttl_s <= (life.kind == NP_PACKED_NEGATIVE ? NP_PACKED_NEGATIVE_MAX : NP_PACKED_TTL_MAX), "cap");
    struct np_cache_key key = {&walk.qname, walk.qtype, mode & 2, false};
    np_cache_flush(cache);
    np_cache_put(cache, &key, &packed.head, (size_t)len, &life, START_MS);

    int n = np_query_write(packet, sizeof packet, 7, NP_FLAG_RD, &walk.qname, walk.qtype, mode & 1, mode & 2);
    require(n > 0 && np_query_parse(packet, (size_t)n, &query) == NP_QUERY_GOOD, "query");
    struct np_cache_found found;
    np_cache_find(cache, &key, START_MS + (int64_t)age_s * 1000, &found);
    require(found.state == NP_CACHE_MISS || (len <= NP_CACHE_ANSWER_MAX && age_s < life.ttl_s), "kept too long");
    if (found.state == NP_CACHE_MISS) {
        require(life.ttl_s == 0 || age_s >= life.ttl_s || len > NP_CACHE_ANSWER_MAX, "lost");
        return 0;
    }
    require(found.age_s == age_s, "age");
    struct np_packed_how how = {.age_s = found.age_s, .turn = mode >> 6, .ede = NP_EDE_NONE};
    size_t limit = mode & 4 ? NP_DNS_MESSAGE_MAX : mode & 0x10 ? NP_DNS_UDP_MAX : NP_DNS_UDP_PLAIN;
    size_t out_len = np_packed_write(found.packed, &query, &how, out, limit);
    require(out_len > 0 && out_len <= limit, "size");
    same_records(data, size, out, out_len, age_s);
    return 0;
}

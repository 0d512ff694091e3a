#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "resolver/base/error.h"
#include "resolver/cache.h"
#include "tests/unit/resolver/dump.h"

#define SECOND 1000
#define START  (1000000 * SECOND)

/* A cache under test, its clock, and room for messages. */
struct bench {
    struct np_cache *cache;
    int64_t now_ms;
    bool offline;
    struct np_cache_found found; /* by the last get */
    struct np_name qname;
    struct np_query query;
    uint8_t packet[512], message[8192 + 512], out[8192 + 512];
    union {
        struct np_packed head;
        uint8_t bytes[NP_PACKED_MAX];
    } packed;
    struct dump dump;
};

static int setup(void **state)
{
    struct bench *b = test_calloc(1, sizeof *b);
    b->now_ms = START;
    *state = b;
    return np_cache_new(NP_CACHE_SIZE_DEFAULT, 42, &b->cache);
}

static int teardown(void **state)
{
    struct bench *b = *state;
    np_cache_free(b->cache);
    test_free(b);
    return 0;
}

static struct np_cache_key key_of(struct bench *b, const char *name, uint16_t type, bool dnssec_ok, bool cd)
{
    b->qname = dump_name(name);
    return (struct np_cache_key){&b->qname, type, dnssec_ok, cd};
}

static void ask(struct bench *b, const char *name, uint16_t type, bool dnssec_ok)
{
    size_t n = dump_query(b->packet, name, type, NP_FLAG_RD, dnssec_ok, dnssec_ok);
    assert_int_equal(np_query_parse(b->packet, n, &b->query), NP_QUERY_GOOD);
}

/* Puts an upstream's answer: addresses (count of them, from 192.0.2.1 on), or with an RCODE and a SOA's TTL a negative
 * one. */
static void put(struct bench *b, const char *name, bool dnssec_ok, uint16_t rcode, unsigned count, uint32_t ttl)
{
    static const uint32_t timers[4] = {1, 2, 3, 86400};
    struct np_cache_key key = key_of(b, name, NP_RR_A, dnssec_ok, false);
    struct np_name zone = dump_name("example");
    struct np_packed_life life;
    struct np_answer answer;
    ask(b, name, NP_RR_A, dnssec_ok);
    np_answer_start(&answer, &b->query, b->message, sizeof b->message, NP_FLAG_RA);
    answer.rcode = rcode;
    for (unsigned i = 1; i <= count; i++) {
        uint8_t bytes[4] = {192, 0, (uint8_t)(i >> 8), (uint8_t)i};
        np_answer_rr(&answer, NP_SECTION_ANSWER, &b->qname, NP_RR_A, ttl, bytes, 4);
    }
    if (count == 0)
        np_answer_soa(&answer, NP_SECTION_AUTHORITY, &zone, ttl, &zone, &zone, 1, timers);
    size_t n = np_answer_finish(&answer);
    long len = np_packed_make(b->message, n, true, true, &b->packed, sizeof b->packed, &life);
    assert_true(len > 0);
    np_cache_put(b->cache, &key, &b->packed.head, (size_t)len, &life, b->now_ms);
}

/* What was found, as text: "-" for a miss, with "stale" or "failed" before the answer. */
static const char *describe(struct bench *b, const char *name, uint16_t type, bool dnssec_ok)
{
    char text[NP_ADDR_TEXT_MAX];
    if (b->found.state == NP_CACHE_MISS)
        return "-";
    if (b->found.is_blocked || !b->found.packed) {
        b->dump.len = 0;
        if (b->found.is_blocked)
            dump_add(&b->dump, "blocked %s", np_addr_format(&b->found.blocked, text));
        else
            dump_add(&b->dump, "failed %d", b->found.ede);
        return b->dump.text;
    }
    ask(b, name, type, dnssec_ok);
    struct np_packed_how how = {.age_s = b->found.age_s, .ede = NP_EDE_NONE};
    if (b->found.state == NP_CACHE_STALE)
        how.fixed_s = NP_CACHE_STALE_TTL_S;
    size_t n = np_packed_write(b->found.packed, &b->query, &how, b->out, sizeof b->out);
    assert_true(n > 0);
    return dump_message(&b->dump, b->out, n);
}

static const char *get(struct bench *b, const char *name, uint16_t type, bool dnssec_ok, bool cd)
{
    struct np_cache_key key = key_of(b, name, type, dnssec_ok, cd);
    np_cache_find(b->cache, &key, b->now_ms, &b->found);
    return describe(b, name, type, dnssec_ok);
}

/* The same for what is wanted most often. */
static enum np_cache_state find(struct bench *b, const char *name)
{
    (void)get(b, name, NP_RR_A, false, false);
    return b->found.state;
}

static enum np_cache_state find_stale(struct bench *b, const char *name)
{
    struct np_cache_key key = key_of(b, name, NP_RR_A, false, false);
    np_cache_find_stale(b->cache, &key, b->offline, b->now_ms, &b->found);
    return b->found.state;
}

/* The question fails: said by an upstream with SERVFAIL, or by nobody. */
static void fail_question(struct bench *b, const char *name, bool said)
{
    struct np_cache_key key = key_of(b, name, NP_RR_A, false, false);
    long len = np_packed_empty(&b->qname, NP_RCODE_SERVFAIL, &b->packed, sizeof b->packed);
    np_cache_fail(b->cache, &key, said ? &b->packed.head : NULL, said ? (size_t)len : 0, NP_EDE_NETWORK_ERROR,
                  b->now_ms);
}

static void test_key(void **state)
{
    struct bench *b = *state;
    put(b, "www.Example", false, 0, 1, 60);
    assert_string_equal(get(b, "wWW.example", NP_RR_A, false, false),
                        "NOERROR rd ra wWW.example A; AN wWW.example A 60 192.0.0.1");
    assert_string_equal(get(b, "www.example", NP_RR_AAAA, false, false), "-");
    assert_string_equal(get(b, "www.example", NP_RR_A, true, false), "-");
    assert_string_equal(get(b, "www.example", NP_RR_A, false, true), "-");
    assert_string_equal(get(b, "ww.example", NP_RR_A, false, false), "-");
    assert_string_equal(get(b, "www.examplf", NP_RR_A, false, false), "-");
    assert_string_equal(get(b, "a.www.example", NP_RR_A, false, false), "-");
    put(b, "www.example", true, 0, 2, 60);
    assert_string_equal(get(b, "www.example", NP_RR_A, true, false),
                        "NOERROR rd ra www.example A; AN www.example A 60 192.0.0.1; AN www.example A 60 192.0.0.2; "
                        "AD . OPT 1232 00008000 ");
    assert_string_equal(get(b, "www.example", NP_RR_A, false, false),
                        "NOERROR rd ra www.example A; AN www.example A 60 192.0.0.1");
    assert_int_equal(np_cache_stats(b->cache)->entries, 2);
    assert_int_equal(np_cache_stats(b->cache)->hits, 3);
    assert_int_equal(np_cache_stats(b->cache)->misses, 6);
}

/* Counts down by whole seconds, never over what is left, and ends when it is at 0. */
static void test_ageing(void **state)
{
    struct bench *b = *state;
    static const struct {
        int64_t at_ms;
        const char *want;
    } rows[] = {
        {0, "60"},    {499, "60"},  {500, "59"},  {1499, "59"}, {1500, "58"},
        {58500, "1"}, {59499, "1"}, {59500, "-"}, {60000, "-"},
    };
    b->now_ms = START + 500; /* in the middle of a second */
    put(b, "www.example", false, 0, 1, 60);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char want[128];
        b->now_ms = START + 500 + rows[i].at_ms;
        snprintf(want, sizeof want, "NOERROR rd ra www.example A; AN www.example A %s 192.0.0.1", rows[i].want);
        assert_string_equal(get(b, "www.example", NP_RR_A, false, false), rows[i].want[0] == '-' ? "-" : want);
    }
}

static void test_negative(void **state)
{
    struct bench *b = *state;
    put(b, "none.example", false, NP_RCODE_NXDOMAIN, 0, 60);
    put(b, "nodata.example", false, 0, 0, 7200);
    b->now_ms += 59 * SECOND;
    assert_string_equal(get(b, "none.example", NP_RR_A, false, false),
                        "NXDOMAIN rd ra none.example A; AU example SOA 1 example example 1 1 2 3 86400");
    b->now_ms += 1 * SECOND;
    assert_string_equal(get(b, "none.example", NP_RR_A, false, false), "-");
    b->now_ms += (3600 - 60 - 1) * SECOND;
    assert_string_equal(get(b, "nodata.example", NP_RR_A, false, false),
                        "NOERROR rd ra nodata.example A; AU example SOA 1 example example 1 1 2 3 86400");
    b->now_ms += 1 * SECOND;
    assert_string_equal(get(b, "nodata.example", NP_RR_A, false, false), "-");
    assert_int_equal(np_cache_stats(b->cache)->negative, 2);
}

/* What may not be kept is not, and leaves what was known to its end, and as a stale answer. */
static void test_not_kept(void **state)
{
    struct bench *b = *state;
    put(b, "www.example", false, 0, 1, 0);
    assert_int_equal(find(b, "www.example"), NP_CACHE_MISS);
    assert_int_equal(find_stale(b, "www.example"), NP_CACHE_MISS);
    put(b, "www.example", false, 0, 1, 60);
    put(b, "www.example", false, 0, 2, 0);
    assert_string_equal(get(b, "www.example", NP_RR_A, false, false),
                        "NOERROR rd ra www.example A; AN www.example A 60 192.0.0.1");
    put(b, "big.example", false, 0, 400, 60);
    assert_int_equal(find(b, "big.example"), NP_CACHE_FRESH);
    b->now_ms += 60 * SECOND;
    put(b, "big.example", false, 0, 500, 60);
    assert_int_equal(find(b, "big.example"), NP_CACHE_MISS);
    assert_int_equal(find_stale(b, "big.example"), NP_CACHE_STALE);
    assert_int_equal(np_cache_stats(b->cache)->refused, 3);
    assert_int_equal(np_cache_stats(b->cache)->entries, 2);
}

/* A newer answer replaces the older one, smaller, equal or larger, without eating memory while it fits. */
static void test_replacing(void **state)
{
    struct bench *b = *state;
    static const unsigned counts[] = {1, 1, 2, 40, 40, 39, 1, 3, 8, 1};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        put(b, "www.example", false, 0, counts[i], (uint32_t)(100 + i));
        char want[64];
        snprintf(want, sizeof want, "AN www.example A %zu 192.0.0.%u", 100 + i, counts[i]);
        assert_non_null(strstr(get(b, "www.example", NP_RR_A, false, false), want));
        assert_int_equal(np_cache_stats(b->cache)->entries, 1);
    }
    size_t bytes = np_cache_stats(b->cache)->bytes;
    for (int i = 0; i < 100000; i++)
        put(b, "www.example", false, 0, 1 + (unsigned)i % 2, 60);
    assert_in_range(np_cache_stats(b->cache)->bytes, 0, bytes + 200);
}

static void test_blocked(void **state)
{
    struct bench *b = *state;
    struct np_cache_key key = key_of(b, "evil.example", NP_RR_A, false, false);
    struct np_packed_life life = {NP_PACKED_POSITIVE, 60};
    struct np_addr addr;
    assert_int_equal(np_addr_parse("192.168.1.1", &addr), 0);
    np_cache_put_blocked(b->cache, &key, &addr, &life, b->now_ms);
    assert_string_equal(get(b, "evil.example", NP_RR_A, false, false), "blocked 192.168.1.1");
    put(b, "evil.example", false, 0, 1, 60);
    assert_string_equal(get(b, "evil.example", NP_RR_A, false, false),
                        "NOERROR rd ra evil.example A; AN evil.example A 60 192.0.0.1");
    b->now_ms += 60 * SECOND;
    assert_string_equal(get(b, "evil.example", NP_RR_A, false, false), "-");
}

static void test_flush_and_resize(void **state)
{
    struct bench *b = *state;
    char name[64];
    for (int i = 0; i < 5000; i++) {
        snprintf(name, sizeof name, "host-%d.example", i);
        put(b, name, false, 0, 1, 60);
    }
    assert_int_equal(np_cache_resize(b->cache, NP_CACHE_SIZE_MIN - 1), NP_E_LIMIT);
    assert_int_equal(np_cache_resize(b->cache, 16 << 20), 0);
    assert_int_equal(np_cache_stats(b->cache)->entries, 5000);
    assert_int_equal(np_cache_stats(b->cache)->size, 16 << 20);
    for (int i = 0; i < 5000; i++) {
        snprintf(name, sizeof name, "host-%d.example", i);
        assert_string_not_equal(get(b, name, NP_RR_A, false, false), "-");
    }
    assert_int_equal(np_cache_resize(b->cache, NP_CACHE_SIZE_MIN), 0);
    assert_in_range(np_cache_stats(b->cache)->entries, 1000, 4000);
    assert_string_not_equal(get(b, "host-4999.example", NP_RR_A, false, false), "-");
    np_cache_flush(b->cache);
    assert_int_equal(np_cache_stats(b->cache)->entries, 0);
    assert_string_equal(get(b, "host-4999.example", NP_RR_A, false, false), "-");
    assert_int_equal(np_cache_stats(b->cache)->inserted, 5000);
    assert_true(np_cache_stats(b->cache)->evicted >= 1000);
}

/* 200,000 names that nobody asks for again, beside 500 that somebody does. */
static void test_flood(void **state)
{
    struct bench *b = *state;
    char name[64];
    for (int i = 0; i < 200000; i++) {
        snprintf(name, sizeof name, "unique-%d.flood.example", i);
        put(b, name, false, i % 3 ? NP_RCODE_NXDOMAIN : 0, i % 3 ? 0 : 2, 3600);
        if (i % 20 != 0)
            continue;
        snprintf(name, sizeof name, "hot-%d.example", i / 20 % 500);
        if (strcmp(get(b, name, NP_RR_A, false, false), "-") == 0)
            put(b, name, false, 0, 2, 3600);
    }
    const struct np_cache_stats *stats = np_cache_stats(b->cache);
    assert_int_equal(stats->misses, 500);
    assert_true(stats->bytes <= NP_CACHE_SIZE_DEFAULT);
    assert_true(stats->evicted > 150000);
}

static void test_stale(void **state)
{
    struct bench *b = *state;
    put(b, "www.example", false, 0, 1, 60);
    put(b, "none.example", false, NP_RCODE_NXDOMAIN, 0, 60);
    b->now_ms += 60 * SECOND;
    /* While upstreams answer, nothing stale is found by itself. */
    assert_int_equal(find(b, "www.example"), NP_CACHE_MISS);
    assert_int_equal(find_stale(b, "www.example"), NP_CACHE_STALE);
    assert_int_equal(find_stale(b, "none.example"), NP_CACHE_STALE);
    assert_int_equal(find_stale(b, "other.example"), NP_CACHE_MISS);
    /* After a failure it is, until the next try; the failure itself is not told. */
    fail_question(b, "www.example", true);
    assert_string_equal(get(b, "www.example", NP_RR_A, false, false),
                        "NOERROR rd ra www.example A; AN www.example A 30 192.0.0.1");
    assert_false(b->found.refresh);
    b->now_ms += 2 * SECOND;
    assert_int_equal(find(b, "www.example"), NP_CACHE_MISS);
    /* When it is late others do not wait either. */
    struct np_cache_key key = key_of(b, "www.example", NP_RR_A, false, false);
    np_cache_late(b->cache, &key, b->now_ms);
    assert_int_equal(find(b, "www.example"), NP_CACHE_STALE);
    b->now_ms += NP_CACHE_LATE_S * SECOND;
    assert_int_equal(find(b, "www.example"), NP_CACHE_MISS);
    /* It comes anew. */
    np_cache_late(b->cache, &key, b->now_ms);
    put(b, "www.example", false, 0, 2, 60);
    assert_int_equal(find(b, "www.example"), NP_CACHE_FRESH);
    /* A day after its end it is too old. */
    b->now_ms += (60 + NP_CACHE_STALE_S - 1) * SECOND;
    assert_int_equal(find_stale(b, "www.example"), NP_CACHE_STALE);
    b->now_ms += SECOND;
    assert_int_equal(find_stale(b, "www.example"), NP_CACHE_MISS);
    fail_question(b, "www.example", false);
    assert_int_equal(find_stale(b, "www.example"), NP_CACHE_MISS);
    assert_int_equal(find(b, "www.example"), NP_CACHE_FAILURE);
    assert_int_equal(np_cache_stats(b->cache)->stale, 5);
    assert_int_equal(np_cache_stats(b->cache)->hits, 1);
    assert_int_equal(np_cache_stats(b->cache)->failures, 1);
}

/* Stale answers when nothing can be reached: asked anew now and then, all the same. */
static void test_offline(void **state)
{
    struct bench *b = *state;
    unsigned refreshes = 0;
    put(b, "www.example", false, 0, 1, 60);
    b->offline = true;
    b->now_ms += 60 * SECOND;
    assert_int_equal(find(b, "www.example"), NP_CACHE_MISS);
    assert_true(b->found.has_stale);
    for (int i = 0; i < 1000; i++, b->now_ms += 10) {
        assert_int_equal(find_stale(b, "www.example"), NP_CACHE_STALE);
        refreshes += b->found.refresh;
        assert_int_equal(find(b, "www.example"), NP_CACHE_STALE);
    }
    assert_in_range(refreshes, 5, 10);
    assert_int_equal(find(b, "other.example"), NP_CACHE_MISS);
    assert_false(b->found.has_stale);
    np_cache_forgive(b->cache);
    assert_int_equal(find(b, "www.example"), NP_CACHE_MISS);
}

/* For how many seconds from now on the failure is remembered. */
static int64_t remembered_s(struct bench *b, const char *name)
{
    int64_t begin_ms = b->now_ms;
    while (find(b, name) != NP_CACHE_MISS)
        b->now_ms += 100;
    return (b->now_ms - begin_ms) / SECOND;
}

/* Nothing is answered at all, as when a router whose line is down says SERVFAIL: never remembered for long. */
static void test_outage(void **state)
{
    struct bench *b = *state;
    static const int64_t wanted[] = {1, 2, 4, 4, 4, 4};
    put(b, "www.example", false, 0, 1, 60);
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
        fail_question(b, "bad.example", true);
        assert_in_range(remembered_s(b, "bad.example"), wanted[i], wanted[i] + 1);
    }
    /* Others are answered again, even if it is that there is no such name, and this one is not. */
    put(b, "none.example", false, NP_RCODE_NXDOMAIN, 0, 60);
    fail_question(b, "bad.example", true);
    assert_in_range(remembered_s(b, "bad.example"), 64, 65);
}

/* RFC 9520 section 3.2: at least a second, longer each time, never over five minutes. */
static void test_failures(void **state)
{
    struct bench *b = *state;
    static const int64_t said[] = {1, 2, 4, 8, 16, 32, 64, 128, 256, 299, 299}, nobody[] = {1, 2, 4, 4, 4};
    for (int64_t offset = 0; offset < SECOND; offset += 333) { /* whatever part of a second it is */
        b->now_ms = b->now_ms / SECOND * SECOND + SECOND + offset;
        np_cache_flush(b->cache);
        for (size_t i = 0; i < sizeof said / sizeof *said; i++) {
            put(b, "www.example", false, 0, 1, 60); /* upstreams are well otherwise */
            fail_question(b, "bad.example", true);
            assert_string_equal(get(b, "bad.example", NP_RR_A, false, false), "SERVFAIL rd ra bad.example A");
            assert_in_range(remembered_s(b, "bad.example"), said[i], said[i] + 1);
        }
        for (size_t i = 0; i < sizeof nobody / sizeof *nobody; i++) {
            fail_question(b, "gone.example", false);
            assert_string_equal(get(b, "gone.example", NP_RR_A, false, false), "failed 23");
            assert_in_range(remembered_s(b, "gone.example"), nobody[i], nobody[i] + 1);
        }
    }
    assert_string_equal(get(b, "gone.example", NP_RR_AAAA, false, false), "-");
    assert_string_equal(get(b, "gone.example", NP_RR_A, true, false), "-");
    /* Five minutes later it begins anew. */
    fail_question(b, "bad.example", true);
    b->now_ms += 600 * SECOND + SECOND;
    fail_question(b, "bad.example", true);
    assert_in_range(remembered_s(b, "bad.example"), 1, 2);
    /* An answer ends it. */
    fail_question(b, "bad.example", true);
    put(b, "bad.example", false, 0, 1, 60);
    assert_int_equal(find(b, "bad.example"), NP_CACHE_FRESH);
    b->now_ms += 60 * SECOND;
    np_cache_flush(b->cache);
    fail_question(b, "bad.example", true);
    assert_in_range(remembered_s(b, "bad.example"), 1, 2);
}

/* When an upstream comes back nothing bad is remembered. */
static void test_forgiving(void **state)
{
    struct bench *b = *state;
    for (int i = 0; i < 8; i++) {
        fail_question(b, "bad.example", true);
        put(b, "other.example", false, 0, 1, 1);
        b->now_ms += 200 * SECOND;
    }
    fail_question(b, "bad.example", true);
    put(b, "www.example", false, 0, 1, 1);
    b->now_ms += SECOND;
    fail_question(b, "www.example", false);
    assert_int_equal(find(b, "bad.example"), NP_CACHE_FAILURE);
    assert_int_equal(find(b, "www.example"), NP_CACHE_STALE);
    np_cache_forgive(b->cache);
    assert_int_equal(find(b, "bad.example"), NP_CACHE_MISS);
    assert_int_equal(find(b, "www.example"), NP_CACHE_MISS);
    fail_question(b, "bad.example", true);
    assert_in_range(remembered_s(b, "bad.example"), 1, 2);
}

/* What an upstream says at length about a failure is not kept, only its RCODE. */
static void test_long_failure(void **state)
{
    struct bench *b = *state;
    struct np_cache_key key = key_of(b, "bad.example", NP_RR_A, false, false);
    struct np_answer answer;
    ask(b, "bad.example", NP_RR_A, false);
    np_answer_start(&answer, &b->query, b->message, sizeof b->message, NP_FLAG_RA);
    answer.rcode = NP_RCODE_REFUSED;
    for (int i = 0; i < 100; i++)
        np_answer_rr(&answer, NP_SECTION_ANSWER, &b->qname, NP_RR_A, 60, "abcd", 4);
    size_t n = np_answer_finish(&answer);
    long len = np_packed_make(b->message, n, true, false, &b->packed, sizeof b->packed, NULL);
    assert_true(len > 1000);
    np_cache_fail(b->cache, &key, &b->packed.head, (size_t)len, NP_EDE_NONE, b->now_ms);
    assert_string_equal(get(b, "bad.example", NP_RR_A, false, false), "REFUSED rd ra bad.example A");
    assert_in_range(np_cache_stats(b->cache)->bytes, 1, 128);
}

/* In the last tenth of its TTL, when it was asked for before, and once. */
static void test_prefetch(void **state)
{
    struct bench *b = *state;
    static const struct {
        uint32_t ttl;
        unsigned uses; /* before */
        int64_t at_s;
        bool refresh;
    } rows[] = {
        {100, 2, 89, false}, {100, 2, 90, true},       {100, 2, 99, true},      {100, 1, 95, true},
        {100, 0, 95, false}, {10, 2, 8, false},        {10, 2, 9, true},        {9, 2, 8, false},
        {1, 2, 0, false},    {86400, 2, 77759, false}, {86400, 2, 77760, true},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        np_cache_flush(b->cache);
        put(b, "www.example", false, 0, 1, rows[i].ttl);
        for (unsigned k = 0; k < rows[i].uses; k++)
            assert_int_equal(find(b, "www.example"), NP_CACHE_FRESH);
        b->now_ms += rows[i].at_s * SECOND;
        assert_int_equal(find(b, "www.example"), NP_CACHE_FRESH);
        if (b->found.refresh != rows[i].refresh)
            fail_msg("row %zu", i);
        assert_int_equal(find(b, "www.example"), NP_CACHE_FRESH);
        assert_false(b->found.refresh && rows[i].refresh); /* one in flight */
    }
    assert_int_equal(np_cache_stats(b->cache)->prefetches, 6);
    /* It failed: again after a while, and the answer is good until its end. */
    np_cache_flush(b->cache);
    put(b, "www.example", false, 0, 1, 100);
    (void)find(b, "www.example");
    b->now_ms += 90 * SECOND;
    (void)find(b, "www.example");
    assert_true(b->found.refresh);
    fail_question(b, "www.example", false);
    assert_int_equal(find(b, "www.example"), NP_CACHE_FRESH);
    assert_false(b->found.refresh);
    b->now_ms += 2 * SECOND;
    assert_int_equal(find(b, "www.example"), NP_CACHE_FRESH);
    assert_true(b->found.refresh);
    /* It came: from the beginning. */
    put(b, "www.example", false, 0, 1, 100);
    (void)find(b, "www.example");
    assert_false(b->found.refresh);
}

/* Another filter: what was judged before is doubtful until it was looked at again. */
static void test_doubt(void **state)
{
    struct bench *b = *state;
    put(b, "a.example", false, 0, 1, 60);
    put(b, "b.example", false, 0, 1, 60);
    (void)find(b, "a.example");
    assert_false(b->found.doubtful);
    np_cache_doubt(b->cache);
    (void)find(b, "a.example");
    assert_true(b->found.doubtful);
    struct np_cache_key key = key_of(b, "a.example", NP_RR_A, false, false);
    np_cache_judged(b->cache, &key, true);
    (void)find(b, "a.example");
    assert_false(b->found.doubtful);
    key = key_of(b, "b.example", NP_RR_A, false, false);
    np_cache_judged(b->cache, &key, false);
    assert_int_equal(find(b, "b.example"), NP_CACHE_MISS);
    b->now_ms += 60 * SECOND;
    np_cache_doubt(b->cache);
    assert_int_equal(find_stale(b, "a.example"), NP_CACHE_STALE);
    assert_true(b->found.doubtful);
    put(b, "a.example", false, 0, 1, 60);
    (void)find(b, "a.example");
    assert_false(b->found.doubtful);
    for (int i = 0; i < UINT16_MAX; i++) /* the numbers come round */
        np_cache_doubt(b->cache);
    assert_int_equal(find(b, "a.example"), NP_CACHE_MISS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        TEST(test_key),       TEST(test_ageing),       TEST(test_negative),         TEST(test_not_kept),
        TEST(test_blocked),   TEST(test_replacing),    TEST(test_flush_and_resize), TEST(test_flood),
        TEST(test_stale),     TEST(test_offline),      TEST(test_failures),         TEST(test_outage),
        TEST(test_forgiving), TEST(test_long_failure), TEST(test_prefetch),         TEST(test_doubt),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

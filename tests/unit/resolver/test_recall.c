/* Queries, upstream answers and time in; what clients get out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "resolver/recall.h"
#include "tests/unit/resolver/dump.h"

#define SECOND 1000

/* A router whose LAN is 192.168.1.0/24, and the message being made. */
struct bench {
    struct np_recall recall;
    struct np_view view, next;
    struct np_client client;
    struct np_query query;
    struct np_name qname;
    int64_t now_ms;
    bool offline, trusted;
    uint16_t flags; /* of the client's queries, beside RD */
    struct np_recalled recalled;
    uint8_t packet[512], upstream_packet[512], message[4096], out[4096];
    struct dump dump;
    char text[DUMP_MAX];
};

static void load(struct bench *b, struct np_view *view, const char *more)
{
    char json[1024], error[NP_VIEW_ERROR_MAX];
    snprintf(json, sizeof json,
             "{\"version\":1,\"own\":[{\"name\":\"box.devices.example\"}],\"zone\":\"devices.example\"%s}", more);
    if (np_view_parse(json, strlen(json), view, error))
        fail_msg("%s", error);
    (void)b;
}

#define ROUTER ",\"role\":\"router\",\"interfaces\":[{\"index\":3,\"lan\":true,\"v4\":[\"192.168.1.1/24\"]}]"

static bool is_offline(void *ctx, const struct np_name *qname)
{
    struct bench *b = ctx;
    (void)qname;
    return b->offline;
}

static int setup(void **state)
{
    struct bench *b = test_calloc(1, sizeof *b);
    b->now_ms = 5000 * SECOND;
    np_recall_init(&b->recall, is_offline, b);
    load(b, &b->view, ROUTER);
    *state = b;
    return np_recall_fit(&b->recall, &b->view, &b->view);
}

static int teardown(void **state)
{
    struct bench *b = *state;
    np_recall_deinit(&b->recall);
    test_free(b);
    return 0;
}

static void change_view(struct bench *b, const char *more)
{
    load(b, &b->next, more);
    assert_int_equal(np_recall_fit(&b->recall, &b->view, &b->next), 0);
    b->view = b->next;
}

/* What was told, as text, with its kind before it. */
static const char *told(struct bench *b)
{
    static const char *const kinds[] = {"nothing", "", "stale ", "failure "};
    if (b->recalled.kind == NP_RECALL_NOTHING) {
        assert_int_equal(b->recalled.len, 0);
        return kinds[0];
    }
    assert_true(b->recalled.len > 0);
    snprintf(b->text, sizeof b->text, "%s%s%s", kinds[b->recalled.kind], b->recalled.is_blocked ? "blocked " : "",
             dump_message(&b->dump, b->out, b->recalled.len));
    return b->text;
}

static void prepare(struct bench *b, const char *name, uint16_t type)
{
    size_t n = dump_query(b->packet, name, type, (uint16_t)(NP_FLAG_RD | b->flags), true, false);
    assert_int_equal(np_query_parse(b->packet, n, &b->query), NP_QUERY_GOOD);
}

static const char *ask(struct bench *b, const char *name, uint16_t type)
{
    prepare(b, name, type);
    np_recall_query(&b->recall, &b->view, &b->client, &b->query, b->now_ms, b->out, sizeof b->out, &b->recalled);
    return told(b);
}

/* The question ends with the message in b->message (len bytes), or with none and that EDE; its client is told. */
static const char *end(struct bench *b, const char *name, uint16_t type, size_t len, enum np_ede ede)
{
    b->qname = dump_name(name);
    struct np_forward_result result = {
        .qname = &b->qname,
        .qtype = type,
        .message = len ? b->message : NULL,
        .len = len,
        .trusted = b->trusted,
        .ede = ede,
    };
    prepare(b, name, type);
    np_recall_take(&b->recall, &b->view, &result, b->now_ms);
    np_recall_give(&b->recall, &b->view, &b->client, &b->query, b->now_ms, b->out, sizeof b->out, &b->recalled);
    return told(b);
}

/* An upstream answers: with the address (NULL: none, but an SOA), TTL 60. */
static const char *answer(struct bench *b, const char *name, uint16_t rcode, const char *addr_text)
{
    static const uint32_t timers[4] = {1, 2, 3, 60};
    struct np_name zone = dump_name("example");
    struct np_query query;
    struct np_answer answer;
    struct np_addr addr;
    size_t n = dump_query(b->upstream_packet, name, NP_RR_A, NP_FLAG_RD | NP_FLAG_AD, true, false);
    assert_int_equal(np_query_parse(b->upstream_packet, n, &query), NP_QUERY_GOOD);
    np_answer_start(&answer, &query, b->message, sizeof b->message, NP_FLAG_RA | NP_FLAG_AD);
    answer.rcode = rcode;
    if (addr_text) {
        assert_int_equal(np_addr_parse(addr_text, &addr), 0);
        np_answer_address(&answer, NP_SECTION_ANSWER, &query.qname, 60, &addr);
    } else if (rcode == NP_RCODE_NOERROR || rcode == NP_RCODE_NXDOMAIN) {
        np_answer_soa(&answer, NP_SECTION_AUTHORITY, &zone, 60, &zone, &zone, 1, timers);
    } else {
        answer.ede = NP_EDE_OTHER;
        answer.ede_text = "bogus";
    }
    return end(b, name, NP_RR_A, np_answer_finish(&answer), NP_EDE_NONE);
}

static const char *no_answer(struct bench *b, const char *name)
{
    return end(b, name, NP_RR_A, 0, NP_EDE_NO_REACHABLE_AUTHORITY);
}

static const char *late(struct bench *b, const char *name)
{
    prepare(b, name, NP_RR_A);
    np_recall_late(&b->recall, &b->view, &b->client, &b->query, b->now_ms, b->out, sizeof b->out, &b->recalled);
    return told(b);
}

#define OPT         "; AD . OPT 1232 00000000 "
#define PUBLIC(ttl) "NOERROR rd ra www.example A; AN www.example A " ttl " 9.9.9.9" OPT

static void test_fresh(void **state)
{
    struct bench *b = *state;
    assert_string_equal(ask(b, "www.example", NP_RR_A), "nothing");
    assert_string_equal(answer(b, "www.example", 0, "9.9.9.9"), PUBLIC("60"));
    b->now_ms += 7 * SECOND;
    assert_string_equal(ask(b, "www.example", NP_RR_A), PUBLIC("53"));
    assert_string_equal(answer(b, "none.example", NP_RCODE_NXDOMAIN, NULL),
                        "NXDOMAIN rd ra none.example A; AU example SOA 60 example example 1 1 2 3 60" OPT);
    b->now_ms += 7 * SECOND;
    assert_string_equal(ask(b, "none.example", NP_RR_A),
                        "NXDOMAIN rd ra none.example A; AU example SOA 53 example example 1 1 2 3 60" OPT);
    b->now_ms += 53 * SECOND;
    assert_string_equal(ask(b, "none.example", NP_RR_A), "nothing");
}

static void test_without_cache(void **state)
{
    struct bench *b = *state;
    change_view(b, ROUTER ",\"cache\":0");
    assert_null(b->recall.cache);
    assert_string_equal(answer(b, "www.example", 0, "9.9.9.9"), PUBLIC("60"));
    assert_string_equal(ask(b, "www.example", NP_RR_A), "nothing");
    assert_string_equal(no_answer(b, "www.example"), "failure SERVFAIL rd ra www.example A" OPT "000f00020016");
    assert_string_equal(late(b, "www.example"), "nothing");
    change_view(b, ROUTER ",\"cache\":262144");
    assert_string_equal(answer(b, "www.example", 0, "9.9.9.9"), PUBLIC("60"));
    assert_string_equal(ask(b, "www.example", NP_RR_A), PUBLIC("60"));
}

static void test_failures(void **state)
{
    struct bench *b = *state;
    /* What an upstream says is given on, and from memory with EDE 13 before its own. */
    assert_string_equal(answer(b, "bad.example", NP_RCODE_SERVFAIL, NULL),
                        "failure SERVFAIL rd ra bad.example A" OPT "000f00070000626f677573");
    assert_string_equal(ask(b, "bad.example", NP_RR_A),
                        "failure SERVFAIL rd ra bad.example A" OPT "000f0002000d000f00070000626f677573");
    b->now_ms += 2 * SECOND;
    assert_string_equal(ask(b, "bad.example", NP_RR_A), "nothing");
    /* Nobody said anything. */
    assert_string_equal(no_answer(b, "gone.example"), "failure SERVFAIL rd ra gone.example A" OPT "000f00020016");
    assert_string_equal(ask(b, "gone.example", NP_RR_A), "failure SERVFAIL rd ra gone.example A" OPT "000f00020016");
    b->now_ms += 2 * SECOND;
    assert_string_equal(ask(b, "gone.example", NP_RR_A), "nothing");
    /* DS at the own name is NODATA, as it is online. */
    const char *nodata = "failure NOERROR aa rd ra box.devices.example DS; AU box.devices.example SOA 10 ";
    assert_memory_equal(end(b, "box.devices.example", NP_RR_DS, 0, NP_EDE_NETWORK_ERROR), nodata, strlen(nodata));
    assert_memory_equal(ask(b, "box.devices.example", NP_RR_DS), nodata, strlen(nodata));
    /* A message that cannot be packed is no answer. */
    memset(b->message, 0, 40);
    assert_string_equal(end(b, "odd.example", NP_RR_A, 40, NP_EDE_NONE),
                        "failure SERVFAIL rd ra odd.example A" OPT "000f00020000");
}

/* A zone with servers of its own that is down and comes back changes nothing for names elsewhere. */
static void test_failures_elsewhere(void **state)
{
    struct bench *b = *state;
    change_view(b, ROUTER ",\"forward\":[{\"zone\":\"corp.example\",\"to\":[\"10.9.0.1\"]}]");
    no_answer(b, "fail.org");
    assert_memory_equal(ask(b, "fail.org", NP_RR_A), "failure", 7);
    b->offline = true; /* the servers of corp.example */
    no_answer(b, "www.corp.example");
    b->offline = false;
    assert_memory_equal(ask(b, "fail.org", NP_RR_A), "failure", 7);
}

static void test_stale(void **state)
{
    struct bench *b = *state;
    answer(b, "www.example", 0, "9.9.9.9");
    answer(b, "none.example", NP_RCODE_NXDOMAIN, NULL);
    b->now_ms += 60 * SECOND;
    assert_string_equal(late(b, "other.example"), "nothing");
    assert_string_equal(ask(b, "www.example", NP_RR_A), "nothing");
    /* It takes long: this client is told, and those who come next, while it is on its way. */
    assert_string_equal(late(b, "www.example"), "stale " PUBLIC("30") "000f00020003");
    assert_string_equal(ask(b, "www.example", NP_RR_A), "stale " PUBLIC("30") "000f00020003");
    assert_false(b->recalled.refresh);
    b->now_ms += 3 * SECOND;
    assert_string_equal(answer(b, "www.example", 0, "8.8.8.8"),
                        "NOERROR rd ra www.example A; AN www.example A 60 8.8.8.8" OPT);
    b->now_ms += 60 * SECOND;
    /* It fails: stale, whatever the upstream says, and again for a moment. */
    assert_string_equal(ask(b, "www.example", NP_RR_A), "nothing");
    const char *stale = "stale NOERROR rd ra www.example A; AN www.example A 30 8.8.8.8" OPT "000f00020003";
    assert_string_equal(answer(b, "www.example", NP_RCODE_SERVFAIL, NULL), stale);
    assert_string_equal(ask(b, "www.example", NP_RR_A), stale);
    b->now_ms += 2 * SECOND;
    assert_string_equal(ask(b, "www.example", NP_RR_A), "nothing");
    assert_string_equal(no_answer(b, "www.example"), stale);
    assert_string_equal(no_answer(b, "none.example"),
                        "stale NXDOMAIN rd ra none.example A; AU example SOA 30 example example 1 1 2 3 60" OPT
                        "000f00020013");
    /* Offline: at once; asked for anew now and then. */
    b->offline = true;
    b->now_ms += 600 * SECOND;
    assert_string_equal(ask(b, "www.example", NP_RR_A), stale);
    assert_true(b->recalled.refresh);
    assert_string_equal(ask(b, "www.example", NP_RR_A), stale);
    assert_false(b->recalled.refresh);
    assert_string_equal(ask(b, "other.example", NP_RR_A), "nothing");
    /* They are back: no stale answers any more, and no failures. */
    assert_string_equal(no_answer(b, "gone.example"), "failure SERVFAIL rd ra gone.example A" OPT "000f00020016");
    assert_string_equal(ask(b, "gone.example", NP_RR_A), "failure SERVFAIL rd ra gone.example A" OPT "000f00020016");
    b->offline = false;
    assert_string_equal(ask(b, "gone.example", NP_RR_A), "nothing");
    assert_string_equal(ask(b, "www.example", NP_RR_A), "nothing");
    /* So does a view with others. */
    assert_string_equal(no_answer(b, "www.example"), stale);
    assert_string_equal(ask(b, "www.example", NP_RR_A), stale);
    change_view(b, ROUTER ",\"upstreams\":[\"192.0.2.53\"]");
    assert_string_equal(ask(b, "www.example", NP_RR_A), "nothing");
}

/* AD is shown when the upstream that set it is trusted, to clients that asked for it, and no longer when trust ends. */
static void test_trust(void **state)
{
    struct bench *b = *state;
    const char *trusting = ROUTER ",\"upstreams\":[\"192.0.2.53 trust-ad\"]";
    b->flags = NP_FLAG_AD;
    assert_string_equal(answer(b, "www.example", 0, "9.9.9.9"), PUBLIC("60"));
    change_view(b, trusting);
    b->trusted = true;
    const char *with_ad = "NOERROR rd ra ad www.example A; AN www.example A 60 9.9.9.9" OPT;
    assert_string_equal(ask(b, "www.example", NP_RR_A), PUBLIC("60"));
    assert_string_equal(answer(b, "www.example", 0, "9.9.9.9"), with_ad);
    assert_string_equal(ask(b, "www.example", NP_RR_A), with_ad);
    b->flags = 0;
    assert_string_equal(ask(b, "www.example", NP_RR_A), PUBLIC("60"));
    b->flags = NP_FLAG_AD;
    change_view(b, ROUTER ",\"upstreams\":[\"192.0.2.53 trust-ad\",\"192.0.2.54\"]");
    assert_string_equal(ask(b, "www.example", NP_RR_A), with_ad);
    change_view(b, ROUTER ",\"upstreams\":[\"192.0.2.53\",\"192.0.2.54\"]");
    assert_string_equal(ask(b, "www.example", NP_RR_A), "nothing");
    assert_string_equal(late(b, "www.example"), "nothing");
}

static void test_prefetch(void **state)
{
    struct bench *b = *state;
    answer(b, "www.example", 0, "9.9.9.9");
    ask(b, "www.example", NP_RR_A);
    b->now_ms += 54 * SECOND;
    assert_string_equal(ask(b, "www.example", NP_RR_A), PUBLIC("6"));
    assert_true(b->recalled.refresh);
    assert_string_equal(ask(b, "www.example", NP_RR_A), PUBLIC("6"));
    assert_false(b->recalled.refresh);
    answer(b, "www.example", 0, "9.9.9.9");
    assert_string_equal(ask(b, "www.example", NP_RR_A), PUBLIC("60"));
}

#define BLOCKED(name)                                                                                                  \
    "blocked NOERROR rd ra " name " A; AU " name " SOA 10 " name " hostmaster." name " 0 3600 600 86400 10" OPT        \
    "000f0002000f"

/* What the filter blocks is blocked from the cache, stale or fresh; nothing of it is kept. */
static void test_filter(void **state)
{
    struct bench *b = *state;
    char text[NP_ADDR_TEXT_MAX];
    assert_string_equal(answer(b, "evil.example", 0, "10.0.0.1"), BLOCKED("evil.example"));
    assert_string_equal(ask(b, "evil.example", NP_RR_A), BLOCKED("evil.example"));
    assert_string_equal(np_addr_format(&b->recalled.blocked, text), "10.0.0.1");
    b->now_ms += 60 * SECOND;
    assert_string_equal(ask(b, "evil.example", NP_RR_A), "nothing");
    assert_string_equal(no_answer(b, "evil.example"), "stale " BLOCKED("evil.example"));
    /* The last answer that was packed must not be what a client gets when there is none. */
    answer(b, "evil.example", 0, "10.0.0.1");
    assert_string_equal(no_answer(b, "other.example"), "failure SERVFAIL rd ra other.example A" OPT "000f00020016");
}

/* A view with another filter judges what is there. */
static void test_filter_changes(void **state)
{
    struct bench *b = *state;
    const char *host = ",\"interfaces\":[{\"index\":3,\"lan\":true,\"v4\":[\"192.168.1.1/24\"]}]";
    answer(b, "www.example", 0, "9.9.9.9");
    answer(b, "evil.example", 0, "10.0.0.1");
    answer(b, "nas.devices.example", 0, "192.168.1.9");
    /* A host does not filter: what was blocked is asked again, the rest stays. */
    change_view(b, host);
    assert_string_equal(ask(b, "www.example", NP_RR_A), PUBLIC("60"));
    assert_string_equal(ask(b, "evil.example", NP_RR_A), "nothing");
    answer(b, "evil.example", 0, "10.0.0.1");
    assert_string_not_equal(ask(b, "evil.example", NP_RR_A), "nothing");
    /* Another address on the LAN: nothing has changed for the filter. */
    change_view(b, ",\"interfaces\":[{\"index\":3,\"lan\":true,\"v4\":[\"192.168.1.77/24\"]}]");
    assert_string_not_equal(ask(b, "evil.example", NP_RR_A), "nothing");
    /* A router again: the private address that was kept meanwhile must not pass, the connected one may. */
    change_view(b, ROUTER);
    assert_string_equal(ask(b, "evil.example", NP_RR_A), "nothing");
    assert_string_equal(ask(b, "www.example", NP_RR_A), PUBLIC("60"));
    assert_string_equal(ask(b, "nas.devices.example", NP_RR_A),
                        "NOERROR rd ra nas.devices.example A; AN nas.devices.example A 60 192.168.1.9" OPT);
    /* The LAN is renumbered: that address is now a stranger's, stale or fresh. */
    change_view(b, ",\"role\":\"router\",\"interfaces\":[{\"index\":3,\"lan\":true,\"v4\":[\"192.168.2.1/24\"]}]");
    b->now_ms += 60 * SECOND;
    assert_string_equal(late(b, "nas.devices.example"), "nothing");
    assert_string_equal(late(b, "www.example"), "stale " PUBLIC("30") "000f00020003");
    /* An exception by name, and its end. */
    const char *excepting = ROUTER ",\"rebind\":{\"filter\":\"on\",\"allow\":[\"evil.example\"]}";
    change_view(b, excepting);
    assert_string_equal(answer(b, "evil.example", 0, "10.0.0.1"),
                        "NOERROR rd ra evil.example A; AN evil.example A 60 10.0.0.1" OPT);
    change_view(b, ROUTER);
    assert_string_equal(ask(b, "evil.example", NP_RR_A), "nothing");
    assert_string_equal(late(b, "evil.example"), "nothing");
}

/* A zone that goes elsewhere from now on, or no longer: nothing of it may be kept. */
static void test_forwards_change(void **state)
{
    struct bench *b = *state;
    answer(b, "a.home.example", NP_RCODE_NXDOMAIN, NULL);
    change_view(b, ROUTER ",\"forward\":[{\"zone\":\"home.example\",\"to\":[\"127.0.0.1:5353\"]}]");
    assert_string_equal(ask(b, "a.home.example", NP_RR_A), "nothing");
    assert_string_equal(late(b, "a.home.example"), "nothing");
    assert_string_equal(answer(b, "a.home.example", 0, "192.168.9.9"),
                        "NOERROR rd ra a.home.example A; AN a.home.example A 60 192.168.9.9" OPT);
    change_view(b, ROUTER ",\"forward\":[{\"zone\":\"home.example\",\"to\":[\"127.0.0.1:5353\"]}],\"serial\":2");
    assert_string_not_equal(ask(b, "a.home.example", NP_RR_A), "nothing");
    change_view(b, ROUTER);
    assert_string_equal(ask(b, "a.home.example", NP_RR_A), "nothing");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        TEST(test_fresh),          TEST(test_without_cache),   TEST(test_failures), TEST(test_failures_elsewhere),
        TEST(test_stale),          TEST(test_trust),           TEST(test_prefetch), TEST(test_filter),
        TEST(test_filter_changes), TEST(test_forwards_change),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Messages of protocol v1: each comes back as it went, and each member that is wrong is named. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hq/proto/message.h"
#include "resolver/base/error.h"
#include "resolver/base/text.h"

static void add(struct np_addr *list, size_t *count, const char *text)
{
    assert_int_equal(np_addr_parse(text, &list[(*count)++]), 0);
}

/* Every kind of message by the same shape, for the tests that hold for all. */
typedef int parse_fn(const char *json, size_t len, void *out, struct np_message_error *error);

#define ADAPT(name)                                                                                                    \
    static int parse_##name(const char *json, size_t len, void *out, struct np_message_error *error)                   \
    {                                                                                                                  \
        return np_##name##_parse(json, len, out, error);                                                               \
    }
ADAPT(enrol_request)
ADAPT(enrol_answer)
ADAPT(name_request)
ADAPT(name_answer)
ADAPT(csr_request)
ADAPT(csr_answer)
ADAPT(pending_answer)
ADAPT(package_answer)
ADAPT(addresses_request)
ADAPT(addresses_answer)
ADAPT(session_answer)
ADAPT(session_request)
ADAPT(checkin_request)
ADAPT(checkin_answer)
ADAPT(leave_request)
ADAPT(problem)

static struct np_enrol_request make_enrol_request(void)
{
    struct np_enrol_request m = {.credential = {.type = NP_CREDENTIAL_FACTORY_SECRET, .serial = "NP-0001"},
                                 .grant = "a.b.c",
                                 .model = "WAX 200",
                                 .version = "1.4.2",
                                 .publish = NP_PUBLISH_LOCAL_ONLY};
    memset(m.epoch, 1, sizeof m.epoch);
    memset(m.token, 2, sizeof m.token);
    memset(m.credential.mac, 3, sizeof m.credential.mac);
    add(m.addresses.v4, &m.addresses.v4_count, "192.168.1.1");
    add(m.addresses.v6, &m.addresses.v6_count, "fd42::1");
    return m;
}

static struct np_enrol_answer make_enrol_answer(void)
{
    struct np_enrol_answer m = {.device = "AAAAAAAAAAAAAAAAAAAAA-",
                                .names = {.name = "nifty-babbage.devices.example",
                                          .san = {"nifty-babbage.devices.example", "*.nifty-babbage.devices.example"},
                                          .san_count = 2},
                                .ttl_s = 60,
                                .seq = 7,
                                .nameservers = {"ns1.devices.example", "ns2.devices.example"},
                                .nameserver_count = 2,
                                .grant = "a.b.c",
                                .poll_s = 1,
                                .checkin_s = 86400,
                                .boot_jitter_s = 600,
                                .time_s = 1790000000};
    memset(m.seed, 4, sizeof m.seed);
    return m;
}

/* Good JSON of each kind, as another implementation would write it: other order, white space, unknown members. */
static const struct sample {
    parse_fn *parse;
    const char *json;
    size_t size;
} samples[] = {
    {parse_enrol_request,
     "{ \"publish\":\"public\", \"version\":\"1\", \"model\":\"m\", \"unknown\":{\"x\":[1]},\n"
     "\"addresses\":{\"v4\":[],\"v6\":[]}, \"credential\":{\"type\":\"open\"},\n"
     "\"token\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\", \"epoch\":\"AAAAAAAAAAAAAAAAAAAAAA\" }",
     sizeof(struct np_enrol_request)},
    {parse_enrol_answer,
     "{\"device\":\"d\",\"name\":\"a.example\",\"san\":[\"a.example\"],\"ttl\":1,\"seq\":0,"
     "\"seed\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\",\"nameservers\":[],\"grant\":\"g\","
     "\"intervals\":{\"poll\":1,\"checkin\":60,\"boot_jitter\":0},\"time\":1}",
     sizeof(struct np_enrol_answer)},
    {parse_csr_request, "{\"csr\":\"AAAA\"}", sizeof(struct np_csr_request)},
    {parse_csr_answer, "{\"order\":\"o\",\"eta\":0,\"position\":0,\"time\":1}", sizeof(struct np_csr_answer)},
    {parse_pending_answer, "{\"state\":\"queued\",\"eta\":2,\"time\":1}", sizeof(struct np_pending_answer)},
    {parse_package_answer,
     "{\"chain\":\"-----BEGIN\\n\",\"auth_token\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\",\"n\":1,\"time\":1}",
     sizeof(struct np_package_answer)},
    {parse_addresses_request, "{\"seq\":1,\"v4\":[\"10.0.0.1\"],\"v6\":[]}", sizeof(struct np_addresses_request)},
    {parse_addresses_answer,
     "{\"seq\":1,\"serial\":2,\"published\":{\"v4\":[],\"v6\":[\"fd00::1\"]},\"rejected\":[\"8.8.8.8: global\"],"
     "\"time\":1}",
     sizeof(struct np_addresses_answer)},
    {parse_session_answer,
     "{\"device\":\"d\",\"name\":\"a.example\",\"auth_token\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\",\"n\":0,"
     "\"seq\":0,\"time\":1}",
     sizeof(struct np_session_answer)},
    {parse_problem, "{\"type\":\"urn:nameplate:problem:busy\",\"status\":503}", sizeof(struct np_problem)},
    {parse_checkin_request,
     "{\"health\":\"ok\",\"version\":\"1\",\"certificate\":{\"not_after\":2,\"n\":1},\"v6\":[],\"v4\":[],\"seq\":0}",
     sizeof(struct np_checkin_request)},
    {parse_checkin_answer,
     "{\"certificate\":\"fetch\",\"seq\":7,\"next\":60,"
     "\"intervals\":{\"poll\":1,\"checkin\":60,\"boot_jitter\":0},\"time\":1}",
     sizeof(struct np_checkin_answer)},
    {parse_leave_request, "{\"reason\":\"resale\"}", sizeof(struct np_leave_request)},
    {parse_session_request, "{\"life\":\"AAAAAAAAAAA\"}", sizeof(struct np_session_request)},
    {parse_name_request, "{\"check\":true,\"name\":\"kitchen\",\"grant\":\"g\"}", sizeof(struct np_name_request)},
    {parse_name_answer,
     "{\"name\":\"a.example\",\"san\":[\"b.example\",\"a.example\"],\"wanted\":\"b.example\","
     "\"old\":{\"name\":\"c.example\",\"until\":7},\"grant\":\"g\","
     "\"offer\":{\"name\":\"d.example\",\"until\":8,\"public\":[\"A sentence.\"]},\"time\":1}",
     sizeof(struct np_name_answer)},
};

static void test_samples_and_their_prefixes(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof samples / sizeof *samples; i++) {
        struct np_message_error error;
        uint8_t *out = malloc(samples[i].size), *before = malloc(samples[i].size);
        memset(out, 0xa5, samples[i].size);
        memcpy(before, out, samples[i].size);
        size_t len = strlen(samples[i].json);
        for (size_t cut = 0; cut < len; cut++) {
            assert_int_equal(samples[i].parse(samples[i].json, cut, out, &error), NP_E_MALFORMED);
            assert_memory_equal(out, before, samples[i].size); /* outputs are written only on success */
        }
        int rc = samples[i].parse(samples[i].json, len, out, &error);
        if (rc)
            fail_msg("sample %zu: %s: %s", i, error.member, np_strerror(rc));
        free(out);
        free(before);
    }
}

/* Each member in turn is left out, of another type, or there twice. */
static void test_each_member_is_needed(void **state)
{
    (void)state;
    static const struct {
        size_t sample;
        const char *cut, *put, *member;
        int rc;
    } rows[] = {
        {0, "\"epoch\":\"AAAAAAAAAAAAAAAAAAAAAA\"", "\"e\":1", "epoch", NP_E_MISSING},
        {0, "\"epoch\":\"AAAAAAAAAAAAAAAAAAAAAA\"", "\"epoch\":\"AAAA\"", "epoch", NP_E_MALFORMED},
        {0, "\"epoch\":\"AAAAAAAAAAAAAAAAAAAAAA\"", "\"epoch\":\"AAAAAAAAAAAAAAAAAAAAAB\"", "epoch", NP_E_MALFORMED},
        {0, "\"epoch\":\"AAAAAAAAAAAAAAAAAAAAAA\"", "\"epoch\":7", "epoch", NP_E_TYPE},
        {0, "\"open\"", "\"password\"", "credential", NP_E_UNKNOWN},
        {0, "\"open\"", "\"claim-code\"", "code", NP_E_MISSING},
        {0, "\"open\"", "\"claim-code\",\"code\":\"01234567890123456789012345678901234567890\"", "code", NP_E_LIMIT},
        {0, "\"open\"", "\"factory-certificate\",\"signature\":\"\"", "chain", NP_E_MISSING},
        {0, "\"open\"", "\"factory-certificate\",\"chain\":[]", "chain", NP_E_LIMIT},
        {0, "\"open\"", "\"factory-certificate\",\"chain\":[\"AA\",\"AA\",\"AA\",\"AA\"]", "chain", NP_E_LIMIT},
        {0, "\"open\"", "\"factory-certificate\",\"chain\":[\"\"]", "chain", NP_E_MALFORMED},
        {0, "\"open\"", "\"factory-certificate\",\"chain\":[7]", "chain", NP_E_TYPE},
        {0, "\"open\"", "\"factory-certificate\",\"chain\":[\"AA==\"]", "chain", NP_E_MALFORMED},
        {0, "\"open\"", "\"factory-certificate\",\"chain\":[\"AA\"]", "signature", NP_E_MISSING},
        {0, "\"open\"", "\"factory-secret\"", "serial", NP_E_MISSING},
        {0, "\"open\"", "\"factory-secret\",\"serial\":\"\",\"mac\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"",
         "serial", NP_E_MALFORMED},
        {0, "{\"type\":\"open\"}", "[]", "credential", NP_E_TYPE},
        {0, "\"public\"", "\"sometimes\"", "publish", NP_E_UNKNOWN},
        {0, "\"model\":\"m\"", "\"model\":\"m\\u000a\"", "model", NP_E_MALFORMED},
        {0, "\"model\":\"m\"", "\"model\":\"\xc3\xa4\"", "model", NP_E_MALFORMED},
        {0, "\"v4\":[]", "\"v4\":[\"fd00::1\"]", "addresses", NP_E_MALFORMED},
        {1, "\"device\":\"d\"", "\"device\":\"a/b\"", "device", NP_E_MALFORMED},
        {1, "\"device\":\"d\"", "\"device\":\"\"", "device", NP_E_MALFORMED},
        {1, "\"name\":\"a.example\"", "\"name\":\"a..example\"", "name", NP_E_MALFORMED},
        {1, "\"name\":\"a.example\"", "\"name\":\"*.example\"", "name", NP_E_MALFORMED},
        {1, "[\"a.example\"]", "[]", "san", NP_E_MALFORMED},
        {1, "[\"a.example\"]", "[\"a.b\",\"a.b\",\"a.b\",\"a.b\",\"a.b\"]", "san", NP_E_LIMIT},
        {1, "[\"a.example\"]", "[7]", "san", NP_E_TYPE},
        {1, "\"ttl\":1", "\"ttl\":0", "ttl", NP_E_LIMIT},
        {1, "\"ttl\":1", "\"ttl\":1.5", "ttl", NP_E_TYPE},
        {1, "\"poll\":1", "\"poll\":0", "poll", NP_E_LIMIT},
        {2, "\"AAAA\"", "\"\"", "csr", NP_E_MALFORMED},
        {2, "\"AAAA\"", "\"AAA=\"", "csr", NP_E_MALFORMED},
        {3, "\"position\":0", "\"position\":-1", "position", NP_E_LIMIT},
        {4, "\"queued\"", "\"0123456789012345678901234\"", "state", NP_E_LIMIT},
        {5, "\"n\":1", "\"n\":0", "n", NP_E_LIMIT},
        {5, "\"-----BEGIN\\n\"", "\"\"", "chain", NP_E_MALFORMED},
        {6, "\"10.0.0.1\"", "", "withdraw", NP_E_MISSING},
        {6, "\"10.0.0.1\"", "\"10.0.0.01\"", "v4", NP_E_MALFORMED},
        {6, "\"10.0.0.1\"",
         "\"10.0.0.1\",\"10.0.0.2\",\"10.0.0.3\",\"10.0.0.4\",\"10.0.0.5\",\"10.0.0.6\",\"10.0.0.7\",\"10.0.0.8\","
         "\"10.0.0.9\"",
         "v4", NP_E_LIMIT},
        {6, "\"v6\":[]", "\"v6\":[\"fe80::1%1\"]", "v6", NP_E_MALFORMED},
        {6, "\"v6\":[]", "\"v6\":[],\"withdraw\":1", "withdraw", NP_E_TYPE},
        {6, "\"seq\":1", "\"seq\":9007199254740993", "seq", NP_E_LIMIT},
        {7, "\"serial\":2", "\"serial\":4294967296", "serial", NP_E_LIMIT},
        {8, "\"n\":0", "\"n\":-1", "n", NP_E_LIMIT},
        {9, "\"status\":503", "\"status\":99", "status", NP_E_LIMIT},
        {6, "\"seq\":1", "\"seq\":1,\"seq\":1", "", NP_E_MALFORMED},
        {10, "\"seq\":0", "\"seq\":-1", "seq", NP_E_LIMIT},
        {10, "\"certificate\":", "\"c\":", "certificate", NP_E_MISSING},
        {10, "{\"not_after\":2,\"n\":1}", "7", "certificate", NP_E_TYPE},
        {10, "\"not_after\":2", "\"after\":2", "not_after", NP_E_MISSING},
        {10, "\"n\":1", "\"n\":-1", "n", NP_E_LIMIT},
        {10, "\"ok\"", "\"a\\nb\"", "health", NP_E_MALFORMED},
        {11, "\"next\":60", "\"next\":0", "next", NP_E_LIMIT},
        {11, "\"next\":60", "\"next\":2592001", "next", NP_E_LIMIT},
        {11, "\"fetch\"", "7", "certificate", NP_E_TYPE},
        {11, "\"checkin\":60", "\"checkin\":59", "checkin", NP_E_LIMIT},
        {12, "\"resale\"", "\"boredom\"", "reason", NP_E_UNKNOWN},
        {12, "\"reason\"", "\"why\"", "reason", NP_E_MISSING},
        {13, "\"AAAAAAAAAAA\"", "\"AAAAAAAAAA\"", "life", NP_E_MALFORMED},
        {13, "\"AAAAAAAAAAA\"", "7", "life", NP_E_TYPE},
        {10, "\"ok\"", "\"ok\",\"life\":null", "life", NP_E_TYPE},
        {1, "\"ttl\":1", "\"ttl\":1,\"wanted\":\"*.example\"", "wanted", NP_E_MALFORMED},
        {1, "\"ttl\":1", "\"ttl\":1,\"old\":\"a.example\"", "old", NP_E_TYPE},
        {11, "\"seq\":7", "\"seq\":7,\"san\":[7]", "san", NP_E_TYPE},
        {11, "\"seq\":7", "\"seq\":7,\"san\":[\"a.b\",\"a.b\",\"a.b\",\"a.b\",\"a.b\"]", "san", NP_E_LIMIT},
        {14, "true", "1", "check", NP_E_TYPE},
        {14, "\"kitchen\"", "7", "name", NP_E_TYPE},
        {14, "\"kitchen\"",
         "\"k\xc3\xbc"
         "che\"",
         "name", NP_E_MALFORMED},
        {15, "[\"b.example\",\"a.example\"]", "[]", "san", NP_E_MALFORMED},
        {15, "\"until\":7", "\"until\":-1", "until", NP_E_LIMIT},
        {15, "\"c.example\"", "\"c..example\"", "name", NP_E_MALFORMED},
        {15, "\"d.example\"", "\"\"", "name", NP_E_MALFORMED},
        {15, "\"A sentence.\"", "7", "public", NP_E_TYPE},
        {15, "\"A sentence.\"", "\"\",\"\",\"\",\"\",\"\",\"\",\"\"", "public", NP_E_LIMIT},
        {15, "\"grant\":\"g\"", "\"g\":1", "grant", NP_E_MISSING},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct sample *sample = &samples[rows[i].sample];
        char json[2048];
        struct np_message_error error;
        void *out = malloc(sample->size);
        const char *at = strstr(sample->json, rows[i].cut);
        assert_non_null(at);
        snprintf(json, sizeof json, "%.*s%s%s", (int)(at - sample->json), sample->json, rows[i].put,
                 at + strlen(rows[i].cut));
        int rc = sample->parse(json, strlen(json), out, &error);
        if (rc != rows[i].rc || strcmp(error.member, rows[i].member) != 0)
            fail_msg("row %zu: %s at '%s'", i, np_err_name(rc), error.member);
        free(out);
    }
}

/* What is written is read, and the members that are absent stay empty. */
static void test_names(void **state)
{
    (void)state;
    struct np_name_answer a = {.names = {.name = "a.example", .san = {"b.example", "a.example"}, .san_count = 2},
                               .grant = "g",
                               .time_s = 5},
                          read;
    struct np_message_error error;
    char *json = NULL;
    for (int more = 0; more < 2; more++) {
        assert_int_equal(np_name_answer_encode(&a, &json), 0);
        assert_int_equal(strstr(json, "wanted") != NULL || strstr(json, "old") != NULL || strstr(json, "offer") != NULL,
                         more);
        assert_int_equal(np_name_answer_parse(json, strlen(json), &read, &error), 0);
        assert_memory_equal(&read, &a, sizeof a);
        free(json);
        snprintf(a.names.wanted, sizeof a.names.wanted, "b.example");
        snprintf(a.names.old, sizeof a.names.old, "c.example");
        a.names.old_until_s = 9;
        snprintf(a.offer.name, sizeof a.offer.name, "d.example");
        a.offer.public_count = 1;
        memset(a.offer.becomes_public[0], 'x', NP_PUBLIC_LEN);
    }
    struct np_name_request r = {.check = true, .name = "kitchen", .grant = "g"}, again;
    assert_int_equal(np_name_request_encode(&r, &json), 0);
    assert_int_equal(np_name_request_parse(json, strlen(json), &again, &error), 0);
    assert_memory_equal(&again, &r, sizeof r);
    free(json);
    assert_int_equal(np_name_request_parse("{}", 2, &again, &error), 0);
    assert_false(again.check || again.name[0] || again.grant[0]);
}

static void test_enrolment(void **state)
{
    (void)state;
    struct np_enrol_request m = make_enrol_request(), read;
    struct np_enrol_answer a = make_enrol_answer(), answer;
    struct np_message_error error;
    char *json = NULL;
    assert_int_equal(np_enrol_request_encode(&m, &json), 0);
    assert_int_equal(np_enrol_request_parse(json, strlen(json), &read, &error), 0);
    free(json);
    assert_memory_equal(read.epoch, m.epoch, sizeof m.epoch);
    assert_memory_equal(read.token, m.token, sizeof m.token);
    assert_int_equal(read.credential.type, m.credential.type);
    assert_string_equal(read.credential.serial, m.credential.serial);
    assert_memory_equal(read.credential.mac, m.credential.mac, 32);
    assert_string_equal(read.grant, m.grant);
    assert_true(np_addresses_equal(&read.addresses, &m.addresses));
    assert_string_equal(read.model, m.model);
    assert_string_equal(read.version, m.version);
    assert_int_equal(read.publish, m.publish);

    assert_int_equal(np_enrol_answer_encode(&a, &json), 0);
    assert_int_equal(np_enrol_answer_parse(json, strlen(json), &answer, &error), 0);
    free(json);
    assert_string_equal(answer.device, a.device);
    assert_string_equal(answer.names.name, a.names.name);
    assert_int_equal(answer.names.san_count, 2);
    assert_string_equal(answer.names.san[1], a.names.san[1]);
    assert_int_equal(answer.ttl_s, a.ttl_s);
    assert_int_equal(answer.seq, a.seq);
    assert_memory_equal(answer.seed, a.seed, 32);
    assert_int_equal(answer.nameserver_count, 2);
    assert_string_equal(answer.nameservers[1], a.nameservers[1]);
    assert_string_equal(answer.grant, a.grant);
    assert_int_equal(answer.poll_s, a.poll_s);
    assert_int_equal(answer.checkin_s, a.checkin_s);
    assert_int_equal(answer.boot_jitter_s, a.boot_jitter_s);
    assert_int_equal(answer.time_s, a.time_s);
}

/* Every type of credential, the largest chain too; and a chain of one byte more. */
static void test_credentials(void **state)
{
    static struct np_enrol_request m, read;
    struct np_message_error error;
    char *json = NULL;
    (void)state;
    for (int type = 0; type < NP_CREDENTIAL_TYPES; type++) {
        enum np_credential_type named;
        assert_int_equal(np_credential_parse(np_credential_name((enum np_credential_type)type), &named), 0);
        assert_int_equal(named, type);
        m = make_enrol_request();
        m.credential.type = (enum np_credential_type)type;
        snprintf(m.credential.code, sizeof m.credential.code, "04HM-ASW9-NF6Y-Y09Z");
        memset(m.credential.signature, 5, sizeof m.credential.signature);
        memset(m.credential.chain, 6, sizeof m.credential.chain);
        m.credential.certificate_count = 3;
        m.credential.certificate_len[0] = 1000;
        m.credential.certificate_len[1] = 2048;
        m.credential.certificate_len[2] = 24;
        assert_int_equal(np_enrol_request_encode(&m, &json), 0);
        assert_int_equal(np_enrol_request_parse(json, strlen(json), &read, &error), 0);
        free(json);
        assert_int_equal(read.credential.type, type);
        if (type == NP_CREDENTIAL_OPEN || type == NP_CREDENTIAL_FACTORY_SECRET)
            assert_string_equal(read.credential.serial, "NP-0001");
        if (type == NP_CREDENTIAL_CLAIM_CODE)
            assert_string_equal(read.credential.code, "04HM-ASW9-NF6Y-Y09Z");
        if (type == NP_CREDENTIAL_FACTORY_CERTIFICATE) {
            assert_memory_equal(read.credential.chain, m.credential.chain, sizeof m.credential.chain);
            assert_memory_equal(read.credential.certificate_len, m.credential.certificate_len,
                                sizeof m.credential.certificate_len);
            assert_memory_equal(read.credential.signature, m.credential.signature, 64);
        }
    }
    /* One byte more than fits: 1000 + 2048 + 25. */
    char *big = malloc(8192), text[NP_BASE64URL_LEN(2048)];
    int n = snprintf(big, 8192, "{\"credential\":{\"type\":\"factory-certificate\",\"chain\":[");
    static const size_t lengths[] = {1000, 2048, 25};
    for (size_t i = 0; i < 3; i++) {
        np_base64url_encode(m.credential.chain, lengths[i], text);
        n += snprintf(big + n, 8192 - (size_t)n, "%s\"%s\"", i ? "," : "", text);
    }
    n += snprintf(big + n, 8192 - (size_t)n,
                  "]},\"epoch\":\"AAAAAAAAAAAAAAAAAAAAAA\","
                  "\"token\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"}");
    assert_int_equal(np_enrol_request_parse(big, (size_t)n, &read, &error), NP_E_LIMIT);
    assert_string_equal(error.member, "chain");
    free(big);
    assert_string_equal(np_credential_name((enum np_credential_type)NP_CREDENTIAL_TYPES), "?");
}

/* The largest of everything still fits where it has to. */
static void test_limits(void **state)
{
    (void)state;
    struct np_package_answer *m = calloc(1, sizeof *m), *read = malloc(sizeof *read);
    struct np_csr_request csr = {.csr_len = NP_CSR_MAX}, csr_read;
    struct np_message_error error;
    char *json = NULL;
    memset(m->chain, '\n', NP_CHAIN_MAX); /* each takes two characters in JSON */
    for (size_t i = 0; i < NP_CHAIN_MAX; i += 65)
        memset(m->chain + i, 'A', i + 64 < NP_CHAIN_MAX ? 64 : NP_CHAIN_MAX - i);
    m->n = 1;
    assert_int_equal(np_package_answer_encode(m, &json), 0);
    assert_true(strlen(json) <= NP_PACKAGE_MAX);
    assert_int_equal(np_package_answer_parse(json, strlen(json), read, &error), 0);
    assert_string_equal(read->chain, m->chain);
    free(json);
    /* One more. */
    json = malloc(NP_CHAIN_MAX + 200);
    int used = snprintf(json, 32, "{\"chain\":\"");
    memset(json + used, 'A', NP_CHAIN_MAX + 1);
    snprintf(json + used + NP_CHAIN_MAX + 1, 160,
             "\",\"auth_token\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\",\"n\":1,\"time\":1}");
    assert_int_equal(np_package_answer_parse(json, strlen(json), read, &error), NP_E_LIMIT);
    assert_string_equal(error.member, "chain");
    free(json);
    assert_int_equal(np_csr_request_encode(&csr, &json), 0);
    assert_int_equal(np_csr_request_parse(json, strlen(json), &csr_read, &error), 0);
    assert_int_equal(csr_read.csr_len, NP_CSR_MAX);
    free(json);
    json = malloc(2048);
    snprintf(json, 2048, "{\"csr\":\"%0*d\"}", (NP_CSR_MAX + 3) * 4 / 3 / 4 * 4, 0);
    assert_int_equal(np_csr_request_parse(json, strlen(json), &csr_read, &error), NP_E_LIMIT);
    free(json);
    free(m);
    free(read);
}

static void test_addresses(void **state)
{
    (void)state;
    struct np_addresses_request m = {.seq = 3}, read;
    struct np_addresses_answer a = {.seq = 3, .serial = 4000000000, .rejected = {"8.8.8.8: why"}, .rejected_count = 1};
    struct np_addresses_answer answer;
    struct np_message_error error;
    char *json = NULL;
    add(m.addresses.v4, &m.addresses.v4_count, "10.0.0.1");
    add(m.addresses.v6, &m.addresses.v6_count, "fd00::1");
    a.published = m.addresses;
    assert_int_equal(np_addresses_request_encode(&m, &json), 0);
    assert_int_equal(np_addresses_request_parse(json, strlen(json), &read, &error), 0);
    assert_int_equal(read.seq, 3);
    assert_true(np_addresses_equal(&read.addresses, &m.addresses));
    assert_false(read.withdraw);
    free(json);
    struct np_addresses_request gone = {.seq = 4, .withdraw = true};
    assert_int_equal(np_addresses_request_encode(&gone, &json), 0);
    assert_int_equal(np_addresses_request_parse(json, strlen(json), &read, &error), 0);
    assert_true(read.withdraw);
    free(json);
    assert_int_equal(np_addresses_answer_encode(&a, &json), 0);
    assert_int_equal(np_addresses_answer_parse(json, strlen(json), &answer, &error), 0);
    assert_int_equal(answer.serial, a.serial);
    assert_true(np_addresses_equal(&answer.published, &a.published));
    assert_string_equal(answer.rejected[0], a.rejected[0]);
    free(json);
    struct np_addresses other = m.addresses;
    other.v4[0].bytes[3] ^= 1;
    assert_false(np_addresses_equal(&other, &m.addresses));
    other = m.addresses;
    other.v6_count = 0;
    assert_false(np_addresses_equal(&other, &m.addresses));
}

static void test_checkin(void **state)
{
    (void)state;
    struct np_checkin_request m = {.seq = 7,
                                   .certificate = {.installed = true, .n = 3, .not_after_s = 1803096000},
                                   .version = "1.4.2",
                                   .health = "ok"},
                              read;
    struct np_message_error error;
    char *json = NULL;
    add(m.addresses.v4, &m.addresses.v4_count, "192.168.1.1");
    assert_int_equal(np_checkin_request_encode(&m, &json), 0);
    assert_int_equal(np_checkin_request_parse(json, strlen(json), &read, &error), 0);
    free(json);
    assert_true(read.certificate.installed);
    assert_int_equal(read.certificate.n, 3);
    assert_int_equal(read.certificate.not_after_s, 1803096000);
    assert_int_equal(read.seq, 7);
    assert_true(np_addresses_equal(&read.addresses, &m.addresses));
    assert_string_equal(read.version, "1.4.2");
    assert_string_equal(read.health, "ok");
    m.certificate.installed = false;
    assert_int_equal(np_checkin_request_encode(&m, &json), 0);
    assert_non_null(strstr(json, "\"certificate\":null"));
    assert_int_equal(np_checkin_request_parse(json, strlen(json), &read, &error), 0);
    free(json);
    assert_false(read.certificate.installed);
}

static void test_checkin_answers(void **state)
{
    (void)state;
    struct np_message_error error;
    struct np_checkin_answer read;
    char *json = NULL;
    for (int verdict = NP_CHECKIN_KEEP; verdict <= NP_CHECKIN_WAIT; verdict++) {
        struct np_checkin_answer m = {.certificate = (enum np_checkin_verdict)verdict,
                                      .seq = 8,
                                      .next_s = 85012,
                                      .poll_s = 1,
                                      .checkin_s = 86400,
                                      .boot_jitter_s = 600,
                                      .time_s = 1790000000};
        assert_int_equal(np_checkin_answer_encode(&m, &json), 0);
        assert_int_equal(np_checkin_answer_parse(json, strlen(json), &read, &error), 0);
        free(json);
        assert_int_equal(read.certificate, m.certificate);
        assert_int_equal(read.seq, m.seq);
        assert_int_equal(read.next_s, m.next_s);
        assert_int_equal(read.poll_s, m.poll_s);
        assert_int_equal(read.checkin_s, m.checkin_s);
        assert_int_equal(read.boot_jitter_s, m.boot_jitter_s);
        assert_int_equal(read.time_s, m.time_s);
    }
    /* A later HQ may know more words: nothing is done then. */
    static const char later[] = "{\"certificate\":\"dance\",\"seq\":7,\"next\":60,"
                                "\"intervals\":{\"poll\":1,\"checkin\":60,\"boot_jitter\":0},\"time\":1}";
    assert_int_equal(np_checkin_answer_parse(later, strlen(later), &read, &error), 0);
    assert_int_equal(read.certificate, NP_CHECKIN_KEEP);
}

static void test_leave(void **state)
{
    (void)state;
    struct np_message_error error;
    char *json = NULL;
    for (int reason = NP_LEAVE_RESET; reason <= NP_LEAVE_COMPROMISE; reason++) {
        struct np_leave_request m = {.reason = (enum np_leave_reason)reason}, read;
        assert_int_equal(np_leave_request_encode(&m, &json), 0);
        assert_int_equal(np_leave_request_parse(json, strlen(json), &read, &error), 0);
        free(json);
        assert_int_equal(read.reason, reason);
    }
}

static void test_problems(void **state)
{
    (void)state;
    struct np_problem m = {
        .type = "stale-seq", .status = 409, .detail = "a \"quoted\" text", .has_seq = true, .seq = 7};
    struct np_problem read;
    struct np_message_error error;
    char *json = NULL;
    assert_int_equal(np_problem_encode(&m, &json), 0);
    assert_int_equal(np_problem_parse(json, strlen(json), &read, &error), 0);
    assert_string_equal(read.type, "stale-seq");
    assert_string_equal(read.detail, m.detail);
    assert_int_equal(read.status, 409);
    assert_true(read.has_seq && read.seq == 7);
    assert_int_equal(read.time_s, 0);
    free(json);
    static const struct {
        const char *json, *type;
    } rows[] = {
        {"{\"type\":\"about:blank\",\"status\":502,\"detail\":\"bad gateway\"}", "other"},
        {"{\"type\":\"urn:ietf:params:acme:error:badNonce\",\"status\":400}", "other"},
        {"{\"type\":\"urn:nameplate:problem:busy\",\"status\":503,\"detail\":7,\"seq\":-1,\"time\":\"x\"}", "busy"},
        {"{\"type\":\"urn:nameplate:problem:"
         "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\",\"status\":503}",
         "other"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_int_equal(np_problem_parse(rows[i].json, strlen(rows[i].json), &read, &error), 0);
        assert_string_equal(read.type, rows[i].type);
        assert_false(read.has_seq);
    }
    /* What a proxy wrote must not reach a log as it came. */
    static const char nasty[] = "{\"type\":\"x\",\"status\":500,\"detail\":\"a\\u001b[31m\\nb\"}";
    assert_int_equal(np_problem_parse(nasty, strlen(nasty), &read, &error), 0);
    assert_string_equal(read.detail, "a?[31m?b");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_samples_and_their_prefixes),
        cmocka_unit_test(test_each_member_is_needed),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_enrolment),
        cmocka_unit_test(test_credentials),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_addresses),
        cmocka_unit_test(test_checkin),
        cmocka_unit_test(test_checkin_answers),
        cmocka_unit_test(test_leave),
        cmocka_unit_test(test_problems),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

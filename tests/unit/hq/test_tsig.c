/* TSIG: key files; answers that are signed by ldns, the second opinion, are believed, and nothing else is; what the
 * answers to an update mean. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <ldns/ldns.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "hq/zone/tsig.h"
#include "hq/zone/update.h"
#include "resolver/base/error.h"
#include "resolver/message.h"

#define SECRET "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="
#define ZONE   "devices.example"

static struct np_tsig_key make_key(const char *algorithm, const char *name)
{
    struct np_tsig_key key;
    char text[256];
    snprintf(text, sizeof text, "key \"%s\" { algorithm %s; secret \"%s\"; };", name, algorithm, SECRET);
    assert_int_equal(np_tsig_key_parse(text, &key), 0);
    return key;
}

static void test_key_files(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int rc;
    } files[] = {
        {"key \"hq\" {\n\talgorithm hmac-sha256;\n\tsecret \"" SECRET "\";\n};\n", 0}, /* tsig-keygen */
        {"key hq { secret " SECRET "; algorithm HMAC-SHA256; };", 0},
        {"# a comment\nkey HQ. { // another\n algorithm hmac-sha256; secret \"" SECRET "\"; };", 0},
        {"hmac-sha256:hq:" SECRET "\n", 0}, /* keymgr, kdig -y */
        {"hmac-sha256:hq:" SECRET " x", NP_E_MALFORMED},
        {"key hq { algorithm hmac-md5; secret " SECRET "; };", NP_E_UNKNOWN},
        {"hmac-sha1:hq:" SECRET, NP_E_UNKNOWN},
        {"", NP_E_MALFORMED},
        {"# nothing", NP_E_MALFORMED},
        {"key hq { algorithm hmac-sha256; };", NP_E_MALFORMED},
        {"key hq { algorithm hmac-sha256; secret \"\"; };", NP_E_MALFORMED},
        {"key hq { algorithm hmac-sha256; secret MDE; };", NP_E_MALFORMED},
        {"key hq { algorithm hmac-sha256; secret M=E=; };", NP_E_MALFORMED},
        {"key hq { algorithm hmac-sha256; secret ====; };", NP_E_MALFORMED},
        {"key hq { algorithm hmac-sha256; secret \"MDE*\"; };", NP_E_MALFORMED},
        {"hmac-sha256:hq", NP_E_MALFORMED},
        {"hmac-sha256::" SECRET, NP_E_LIMIT},
        {"key a { algorithm hmac-sha256; secret " SECRET "; }; key b { algorithm hmac-sha256; secret " SECRET "; };",
         NP_E_MALFORMED},
        {"key a..b { algorithm hmac-sha256; secret " SECRET "; };", NP_E_MALFORMED},
    };
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        struct np_tsig_key key = {.name = ""};
        int rc = np_tsig_key_parse(files[i].text, &key);
        if (rc != files[i].rc)
            fail_msg("file %zu: %d", i, rc);
        if (rc)
            continue;
        assert_string_equal(key.name, "hq");
        assert_int_equal(key.algorithm, NP_TSIG_SHA256);
        assert_int_equal(key.secret_len, 32);
        assert_memory_equal(key.secret, "01234567890123456789012345678901", 32);
    }
    /* A secret may begin as a comment does. */
    struct np_tsig_key key;
    assert_int_equal(np_tsig_key_parse("key hq { algorithm hmac-sha256; secret \"//hN\"; };", &key), 0);
    assert_memory_equal(key.secret, "\xff\xf8\x4d", 3);
    assert_int_equal(np_tsig_key_parse("hmac-sha256:hq://hN", &key), 0);
    assert_int_equal(np_tsig_key_parse("key hq { algorithm hmac-sha256; secret \"//hN; };", &key), NP_E_MALFORMED);
    char longest[2 * NP_TSIG_BASE64_MAX];
    snprintf(longest, sizeof longest, "hmac-sha512:hq:%0*d", NP_TSIG_BASE64_MAX, 0);
    assert_int_equal(np_tsig_key_parse(longest, &key), NP_E_LIMIT); /* 129 bytes */
    longest[strlen(longest) - 1] = '=';
    assert_int_equal(np_tsig_key_parse(longest, &key), 0);
    assert_int_equal(key.secret_len, NP_TSIG_SECRET_MAX);
    assert_int_equal(key.algorithm, NP_TSIG_SHA512);
}

/* ---- Updates as they go out ---- */

static struct np_records some_records(void)
{
    struct np_records records;
    struct np_records_zone zone;
    struct np_zone_config config = {.origin = ZONE, .ttl_s = 60};
    struct np_zone_name name = {.name = "nifty-babbage." ZONE, .present = true};
    assert_int_equal(np_addr_parse("192.168.1.7", &name.published.v4[name.published.v4_count++]), 0);
    assert_int_equal(np_addr_parse("fd00::7", &name.published.v6[name.published.v6_count++]), 0);
    assert_int_equal(np_records_zone_init(&zone, &config), 0);
    assert_int_equal(np_records_name(&zone, &name, &records), 0);
    return records;
}

static struct np_update_message make_update(const struct np_tsig_key *key, size_t *out_count)
{
    struct np_update_message message;
    struct np_update *update = NULL;
    struct np_record epoch;
    struct np_name zone;
    struct np_records records = some_records();
    assert_int_equal(np_name_parse(ZONE, &zone), 0);
    assert_int_equal(np_update_new(&zone, &update), 0);
    assert_int_equal(np_records_epoch(&zone, "epoch=1", &epoch), 0);
    assert_int_equal(np_update_require(update, &epoch), 0);
    assert_int_equal(np_update_put(update, &records), 0);
    *out_count = np_update_count(update);
    assert_int_equal(np_update_sign(update, 0x1234, key, &message), 0);
    np_update_free(update);
    return message;
}

static void test_update_on_the_wire(void **state)
{
    (void)state;
    struct np_tsig_key key = make_key("hmac-sha256", "hq");
    size_t count = 0;
    struct np_update_message message = make_update(&key, &count);
    static const uint8_t header[] = {0x12, 0x34, 0x28, 0x00, 0, 1, 0, 1, 0, 7, 0, 1}; /* opcode 5, and no RD */
    struct np_walk walk;
    struct np_rr rr;
    unsigned any = 0, in = 0, tsig = 0;
    assert_int_equal(count, 7); /* 2 deletions, A, AAAA, MX, TXT, CNAME */
    assert_memory_equal(message.wire, header, sizeof header);
    assert_int_equal(np_walk_start(&walk, message.wire, message.len), 0);
    assert_int_equal(walk.qtype, NP_RR_SOA);
    assert_int_equal(walk.qclass, NP_CLASS_IN);
    int rc;
    while ((rc = np_walk_next(&walk, &rr)) == 1) {
        if (rr.section == NP_SECTION_ANSWER) {
            assert_int_equal(rr.type, NP_RR_TXT);
            assert_int_equal(rr.class, NP_CLASS_IN);
            assert_int_equal(rr.ttl, 0); /* RFC 2136 section 2.4.2 */
        } else if (rr.type == NP_RR_TSIG) {
            tsig++;
        } else if (rr.class == NP_CLASS_ANY) {
            any++;
            assert_int_equal(rr.type, NP_RR_ANY);
            assert_int_equal(rr.ttl, 0);
            assert_int_equal(rr.rdata_len, 0);
        } else {
            in++;
            assert_int_equal(rr.ttl, 60);
        }
    }
    assert_int_equal(rc, 0);
    assert_int_equal(any, 2);
    assert_int_equal(in, 5);
    assert_int_equal(tsig, 1);
    assert_int_equal(message.mac_len, 32);
    free(message.wire);
}

/* ---- Answers, signed by ldns ---- */

struct answer {
    uint8_t *wire;
    size_t len;
};

static ldns_rdf *mac_rdf(const uint8_t *mac, size_t len)
{
    uint8_t data[2 + NP_TSIG_MAC_MAX] = {(uint8_t)(len >> 8), (uint8_t)len};
    memcpy(data + 2, mac, len);
    return ldns_rdf_new_frm_data(LDNS_RDF_TYPE_INT16_DATA, len + 2, data);
}

/* An answer to an update: rcode, signed with the key for that request (mac NULL: not at all). */
static struct answer make_answer(const struct np_tsig_key *key, unsigned rcode, const uint8_t *mac, size_t mac_len)
{
    struct answer answer = {0};
    char algorithm[24];
    ldns_rr_list *none = ldns_rr_list_new();
    ldns_pkt *packet = ldns_update_pkt_new(ldns_dname_new_frm_str(ZONE), LDNS_RR_CLASS_IN, none, none, none);
    ldns_rr_list_free(none);
    ldns_pkt_set_rd(packet, false);
    ldns_pkt_set_qr(packet, true);
    ldns_pkt_set_id(packet, 0x1234);
    ldns_pkt_set_rcode(packet, rcode);
    if (mac) {
        ldns_rdf *request = mac_rdf(mac, mac_len);
        snprintf(algorithm, sizeof algorithm, "%s.", np_tsig_algorithm_name(key->algorithm));
        assert_int_equal(ldns_pkt_tsig_sign(packet, key->name, key->base64, 300, algorithm, request), LDNS_STATUS_OK);
        ldns_rdf_deep_free(request);
    }
    assert_int_equal(ldns_pkt2wire(&answer.wire, packet, &answer.len), LDNS_STATUS_OK);
    ldns_pkt_free(packet);
    return answer;
}

static int check(const struct np_tsig_key *key, const uint8_t *mac, size_t mac_len, const uint8_t *wire, size_t len,
                 int64_t now_s)
{
    struct np_tsig_check c;
    struct np_tsig_answer tsig;
    np_tsig_check_init(&c, key, mac, mac_len);
    int rc = np_tsig_check(&c, wire, len, now_s, &tsig);
    np_tsig_check_deinit(&c);
    return rc;
}

static void test_good_answers(void **state)
{
    (void)state;
    static const char *const algorithms[] = {"hmac-sha256", "hmac-sha512"};
    uint8_t mac[NP_TSIG_MAC_MAX] = {1, 2, 3};
    for (size_t i = 0; i < 2; i++) {
        struct np_tsig_key key = make_key(algorithms[i], "Hq.Key");
        size_t mac_len = i ? 64 : 32;
        int64_t now_s = (int64_t)time(NULL);
        struct answer answer = make_answer(&key, 0, mac, mac_len);
        assert_int_equal(check(&key, mac, mac_len, answer.wire, answer.len, now_s), 0);
        assert_int_equal(check(&key, mac, mac_len, answer.wire, answer.len, now_s + 290), 0);
        assert_int_equal(check(&key, mac, mac_len, answer.wire, answer.len, now_s + 310), NP_E_DATE);
        assert_int_equal(check(&key, mac, mac_len, answer.wire, answer.len, now_s - 310), NP_E_DATE);
        /* The server may have given the message another ID on the way: the original one is signed. */
        answer.wire[0] ^= 0x55;
        assert_int_equal(check(&key, mac, mac_len, answer.wire, answer.len, now_s), 0);
        free(answer.wire);
    }
}

static void test_no_other_is_believed(void **state)
{
    (void)state;
    struct np_tsig_key key = make_key("hmac-sha256", "hq"), other_name = make_key("hmac-sha256", "other"),
                       other_algorithm = make_key("hmac-sha512", "hq"), other_secret = key;
    uint8_t mac[32] = {1, 2, 3}, other_mac[32] = {4};
    int64_t now_s = (int64_t)time(NULL);
    struct answer answer = make_answer(&key, 0, mac, sizeof mac);
    other_secret.secret[0] ^= 1;
    assert_int_equal(check(&other_name, mac, 32, answer.wire, answer.len, now_s), NP_E_KEY);
    assert_int_equal(check(&other_algorithm, mac, 32, answer.wire, answer.len, now_s), NP_E_KEY);
    assert_int_equal(check(&other_secret, mac, 32, answer.wire, answer.len, now_s), NP_E_SIGNATURE);
    assert_int_equal(check(&key, other_mac, 32, answer.wire, answer.len, now_s), NP_E_SIGNATURE);
    for (size_t len = 0; len < answer.len; len++) {
        if (check(&key, mac, 32, answer.wire, len, now_s) == 0)
            fail_msg("cut to %zu", len);
    }
    for (size_t i = 0; i < answer.len; i++) {
        for (unsigned bit = 0; bit < 8; bit++) {
            answer.wire[i] ^= (uint8_t)(1u << bit);
            int rc = check(&key, mac, 32, answer.wire, answer.len, now_s);
            /* The ID is not what is signed, and names are the same in either case. */
            bool letter = bit == 5 && ((answer.wire[i] | 0x20) >= 'a' && (answer.wire[i] | 0x20) <= 'z');
            if (rc == 0 && i >= 2 && !letter)
                fail_msg("bit %u of byte %zu", bit, i);
            answer.wire[i] ^= (uint8_t)(1u << bit);
        }
    }
    free(answer.wire);
    answer = make_answer(&key, 0, NULL, 0);
    assert_int_equal(check(&key, mac, 32, answer.wire, answer.len, now_s), NP_E_SIGNATURE);
    free(answer.wire);
}

/* Exactly one TSIG, and nothing behind it. */
static void test_where_the_tsig_stands(void **state)
{
    (void)state;
    struct np_tsig_key key = make_key("hmac-sha256", "hq");
    uint8_t mac[32] = {1, 2, 3}, twice[1024];
    int64_t now_s = (int64_t)time(NULL);
    struct answer answer = make_answer(&key, 0, mac, sizeof mac);
    size_t start = NP_DNS_HEADER_LEN + sizeof ZONE + 1 + 4, tsig_len = answer.len - start;
    memcpy(twice, answer.wire, answer.len);
    memcpy(twice + answer.len, answer.wire + start, tsig_len);
    twice[11] = 2;
    assert_int_equal(check(&key, mac, 32, twice, answer.len + tsig_len, now_s), NP_E_MALFORMED);
    /* In the authority section, in the answer section, followed by another record, by a byte. */
    memcpy(twice, answer.wire, answer.len);
    twice[9] = 1;
    twice[11] = 0;
    assert_int_equal(check(&key, mac, 32, twice, answer.len, now_s), NP_E_MALFORMED);
    twice[9] = 0;
    twice[7] = 1;
    assert_int_equal(check(&key, mac, 32, twice, answer.len, now_s), NP_E_MALFORMED);
    twice[7] = 0;
    twice[11] = 2;
    static const uint8_t a[] = {0, 0, 1, 0, 1, 0, 0, 0, 1, 0, 4, 10, 0, 0, 1};
    memcpy(twice + answer.len, a, sizeof a);
    assert_int_equal(check(&key, mac, 32, twice, answer.len + sizeof a, now_s), NP_E_MALFORMED);
    twice[11] = 1;
    assert_int_equal(check(&key, mac, 32, twice, answer.len + 1, now_s), NP_E_MALFORMED);
    free(answer.wire);
}

/* ---- Streams ---- */

static struct answer stream_message(const struct np_tsig_key *key, const uint8_t *mac, size_t mac_len, bool first,
                                    bool signed_too, uint8_t out_mac[NP_TSIG_MAC_MAX])
{
    struct answer answer = {0};
    ldns_pkt *packet = ldns_pkt_query_new(ldns_dname_new_frm_str(ZONE), LDNS_RR_TYPE_AXFR, LDNS_RR_CLASS_IN, LDNS_QR);
    ldns_rdf *before = mac_rdf(mac, mac_len);
    if (signed_too) {
        assert_int_equal(
            ldns_pkt_tsig_sign_next(packet, key->name, key->base64, 300, "hmac-sha256.", before, first ? 0 : 1),
            LDNS_STATUS_OK);
        memcpy(out_mac, ldns_rdf_data(ldns_rr_rdf(ldns_pkt_tsig(packet), 3)) + 2, 32);
    }
    assert_int_equal(ldns_pkt2wire(&answer.wire, packet, &answer.len), LDNS_STATUS_OK);
    ldns_rdf_deep_free(before);
    ldns_pkt_free(packet);
    return answer;
}

static void test_stream(void **state)
{
    (void)state;
    struct np_tsig_key key = make_key("hmac-sha256", "hq");
    uint8_t mac[NP_TSIG_MAC_MAX] = {9}, next[NP_TSIG_MAC_MAX];
    int64_t now_s = (int64_t)time(NULL);
    struct np_tsig_check c;
    struct np_tsig_answer tsig;
    np_tsig_check_init(&c, &key, mac, 32);
    struct answer first = stream_message(&key, mac, 32, true, true, next);
    assert_int_equal(np_tsig_check(&c, first.wire, first.len, now_s, &tsig), 0);
    memcpy(mac, next, sizeof mac);
    struct answer second = stream_message(&key, mac, 32, false, true, next);
    /* A message left out, or come twice, is seen. */
    struct np_tsig_check again = c;
    assert_int_equal(np_tsig_check(&again, first.wire, first.len, now_s, &tsig), NP_E_SIGNATURE);
    assert_int_equal(np_tsig_check(&c, second.wire, second.len, now_s, &tsig), 0);
    again = c;
    assert_int_equal(np_tsig_check(&again, second.wire, second.len, now_s, &tsig), NP_E_SIGNATURE);
    /* Unsigned ones are believed with the next signed one, up to 99 of them. */
    struct answer plain = stream_message(&key, mac, 32, false, false, next);
    for (unsigned i = 0; i < NP_TSIG_UNSIGNED; i++)
        assert_int_equal(np_tsig_check(&c, plain.wire, plain.len, now_s, &tsig), NP_E_MISSING);
    assert_int_equal(np_tsig_check(&c, plain.wire, plain.len, now_s, &tsig), NP_E_SIGNATURE);
    np_tsig_check_deinit(&c);
    free(first.wire);
    free(second.wire);
    free(plain.wire);
}

/* ---- Verdicts ---- */

static void test_verdicts(void **state)
{
    (void)state;
    static const struct {
        unsigned rcode;
        bool is_signed;
        int rc;
        enum np_outbox_outcome outcome;
        const char *why;
    } rows[] = {
        {0, true, 0, NP_OUTBOX_DONE, ""},
        {0, false, NP_E_SIGNATURE, NP_OUTBOX_DONE, ""}, /* anybody can say so */
        {8, true, 0, NP_OUTBOX_FENCED, "another HQ"},
        {8, false, 0, NP_OUTBOX_FAILED, "without a signature"},
        {5, true, 0, NP_OUTBOX_REFUSED, "update-policy"},
        {5, false, 0, NP_OUTBOX_FAILED, "does not know the TSIG key 'hq'"},
        {10, true, 0, NP_OUTBOX_REFUSED, "NOTZONE"},
        {1, true, 0, NP_OUTBOX_REFUSED, "FORMERR"},
        {2, true, 0, NP_OUTBOX_BROKEN, "its log"},
        {2, false, 0, NP_OUTBOX_FAILED, "its log"},
        {9, true, 0, NP_OUTBOX_FAILED, "does not serve devices.example"},
        {9, false, 0, NP_OUTBOX_FAILED, "does not serve devices.example"},
        {4, false, 0, NP_OUTBOX_FAILED, "dynamic updates"},
        {6, true, 0, NP_OUTBOX_REFUSED, "rcode 6"},
    };
    struct np_tsig_key key = make_key("hmac-sha256", "hq");
    uint8_t mac[32] = {7};
    int64_t now_s = (int64_t)time(NULL);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct np_update_verdict verdict = {.outcome = NP_OUTBOX_UNSENT};
        struct answer answer = make_answer(&key, rows[i].rcode, rows[i].is_signed ? mac : NULL, sizeof mac);
        int rc = np_update_judge(&key, ZONE, mac, sizeof mac, answer.wire, answer.len, now_s, &verdict);
        if (rc != rows[i].rc || (rc == 0 && (verdict.outcome != rows[i].outcome || !strstr(verdict.why, rows[i].why))))
            fail_msg("row %zu: %d, %d, %s", i, rc, (int)verdict.outcome, verdict.why);
        free(answer.wire);
    }
}

/* A NOTAUTH whose TSIG has an error: BADKEY and BADSIG come without a MAC. */
static void test_tsig_errors(void **state)
{
    (void)state;
    static const struct {
        uint16_t error;
        uint64_t server_time;
        const char *why;
    } rows[] = {
        {16, 0, "another secret"},
        {17, 0, "does not know the TSIG key 'hq' with hmac-sha256"},
        {18, 1790000600, "its clock is 600 s ahead of HQ's"},
        {18, 1789999000, "its clock is 1000 s behind HQ's"},
        {18, 0, "differ"},
        {22, 0, "BADTRUNC"},
        {99, 0, "TSIG error 99"},
    };
    struct np_tsig_key key = make_key("hmac-sha256", "hq");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        uint8_t wire[256], mac[32] = {0};
        struct np_writer w = np_writer_make(wire, sizeof wire);
        struct np_update_verdict verdict;
        static const uint8_t header[] = {0x12, 0x34, 0xa8, 9, 0, 0, 0, 0, 0, 0, 0, 1};
        np_write_bytes(&w, header, sizeof header);
        np_write_bytes(&w, "\2hq", 4);
        np_write_u16(&w, NP_RR_TSIG);
        np_write_u16(&w, NP_CLASS_ANY);
        np_write_u32(&w, 0);
        np_write_u16(&w, (uint16_t)(13 + 16 + (rows[i].server_time ? 6 : 0)));
        np_write_bytes(&w, "\013hmac-sha256", 13);
        np_write_u16(&w, 0);
        np_write_u32(&w, 1790000000);
        np_write_u16(&w, 300);
        np_write_u16(&w, 0);
        np_write_u16(&w, 0x1234);
        np_write_u16(&w, rows[i].error);
        np_write_u16(&w, rows[i].server_time ? 6 : 0);
        if (rows[i].server_time) {
            np_write_u16(&w, 0);
            np_write_u32(&w, (uint32_t)rows[i].server_time);
        }
        assert_int_equal(w.error, 0);
        assert_int_equal(np_update_judge(&key, ZONE, mac, 32, wire, w.pos, 1790000000, &verdict), 0);
        assert_int_equal(verdict.outcome, NP_OUTBOX_FAILED);
        if (!strstr(verdict.why, rows[i].why))
            fail_msg("row %zu: %s", i, verdict.why);
        for (size_t len = 0; len < w.pos; len++)
            assert_int_equal(np_update_judge(&key, ZONE, mac, 32, wire, len, 1790000000, &verdict), NP_E_SIGNATURE);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_key_files),
        cmocka_unit_test(test_update_on_the_wire),
        cmocka_unit_test(test_good_answers),
        cmocka_unit_test(test_no_other_is_believed),
        cmocka_unit_test(test_where_the_tsig_stands),
        cmocka_unit_test(test_stream),
        cmocka_unit_test(test_verdicts),
        cmocka_unit_test(test_tsig_errors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

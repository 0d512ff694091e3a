/* The state as bytes: round trip, every cut, every damaged byte, records that do not belong together. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "agent/identity/state.h"
#include "resolver/base/cursor.h"
#include "resolver/base/error.h"
#include "tests/support/test_ca.h"

static uint8_t bytes[NP_STATE_BYTES_MAX];

static void fill(struct np_state *s)
{
    memset(s, 0, sizeof *s);
    s->floor_s = 1795320000;
    s->has_identity = s->has_auth = s->has_next = s->has_chain = true;
    s->leaving = NP_LEAVING_UNSURE;
    s->leave_reason = NP_LEAVE_COMPROMISE;
    s->identity = test_ca_key(1);
    s->next = test_ca_key(2);
    s->tls = test_ca_key(3);
    memset(s->epoch, 0xe0, sizeof s->epoch);
    memset(s->token, 0x70, sizeof s->token);
    memset(s->auth_token, 0xa0, sizeof s->auth_token);
    s->n = 3;
    snprintf(s->device, sizeof s->device, "abcdefghijklmnopqrstuv");
    snprintf(s->name, sizeof s->name, "nifty-babbage.devices.example");
    snprintf(s->san[0], sizeof s->san[0], "nifty-babbage.devices.example");
    snprintf(s->san[1], sizeof s->san[1], "*.nifty-babbage.devices.example");
    s->san_count = 2;
    snprintf(s->grant, sizeof s->grant, "a.b.c");
    snprintf(s->nameservers[0], sizeof s->nameservers[0], "ns1.devices.example");
    s->nameserver_count = 1;
    snprintf(s->wanted, sizeof s->wanted, "kitchen.devices.example");
    snprintf(s->old, sizeof s->old, "pantry.devices.example");
    s->old_until_s = 1795320000;
    s->ttl_s = 60;
    s->poll_s = 1;
    s->checkin_s = 86400;
    s->boot_jitter_s = 600;
    snprintf(s->chain, sizeof s->chain, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    snprintf(s->etag, sizeof s->etag, "\"abc\"");
}

static size_t encode(const struct np_state *s)
{
    size_t len = 0;
    assert_int_equal(np_state_encode(s, bytes, sizeof bytes, &len), 0);
    return len;
}

/* Puts length and checksum right after a change to the records. */
static size_t seal(size_t len)
{
    struct np_writer w = np_writer_make(bytes, len);
    w.pos = len;
    np_write_u16_at(&w, 16, (uint16_t)(len >> 16));
    np_write_u16_at(&w, 18, (uint16_t)len);
    np_sha256(bytes, len - 32, bytes + len - 32);
    return len;
}

static void round_trip(void **state)
{
    (void)state;
    static struct np_state a, b;
    fill(&a);
    size_t len = encode(&a);
    assert_int_equal(np_state_parse(bytes, len, &b), 0);
    assert_memory_equal(&a, &b, sizeof a);
    memset(&a, 0, sizeof a);
    len = encode(&a);
    assert_int_equal(np_state_parse(bytes, len, &b), 0);
    assert_memory_equal(&a, &b, sizeof a);
}

static void every_cut(void **state)
{
    (void)state;
    static struct np_state a, b;
    fill(&a);
    size_t len = encode(&a);
    for (size_t n = 0; n < len; n++) {
        uint8_t *exact = malloc(n ? n : 1);
        memcpy(exact, bytes, n);
        assert_int_equal(np_state_parse(exact, n, &b), NP_E_TRUNCATED);
        free(exact);
    }
    assert_int_equal(np_state_parse(bytes, len + 1, &b), NP_E_TRUNCATED);
}

static void every_byte(void **state)
{
    (void)state;
    static struct np_state a, b;
    fill(&a);
    size_t len = encode(&a);
    for (size_t i = 0; i < len; i++) {
        bytes[i] ^= 0x20;
        int rc = np_state_parse(bytes, len, &b);
        assert_true(rc == (i < 15 ? NP_E_MALFORMED : i < 16 ? NP_E_VERSION : i < 20 ? NP_E_TRUNCATED : NP_E_CHECKSUM));
        bytes[i] ^= 0x20;
    }
}

/* Records behind the header: tag, length, value; then what the parser must say. */
static void bad_records(void **state)
{
    (void)state;
    static struct np_state b;
    static const struct {
        uint8_t records[64];
        size_t len;
        int rc;
    } cases[] = {
        {{0}, 0, 0},
        {{0x7f, 0xff, 0, 0, 0, 2, 1, 2}, 8, 0}, /* of a later version: passed over */
        {{0, 1, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 1, 0, 1, 0, 0, 0, 8}, 20, NP_E_TRUNCATED}, /* the second is cut */
        {{0, 1, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0}, 13, NP_E_TRUNCATED},                      /* a short number */
        {{0, 1, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0}, 15, NP_E_MALFORMED},                /* a long one */
        {{0, 1, 0, 0, 0, 8, 0xff, 0, 0, 0, 0, 0, 0, 0}, 14, NP_E_MALFORMED},                /* a negative one */
        {{0, 1, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 1, 0, 1, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 1}, 28, NP_E_MALFORMED},
        {{0, 12, 0, 0, 0, 32}, 38, NP_E_KEY},                   /* a key of zeros */
        {{0, 5, 0, 0, 0, 1, 'x'}, 7, NP_E_MALFORMED},           /* a device without identity */
        {{0, 6, 0, 0, 0, 1, 7}, 7, NP_E_MALFORMED},             /* control character */
        {{0, 6, 0, 0, 0, 0}, 6, NP_E_MALFORMED},                /* empty text */
        {{0, 7, 0, 0, 0, 3, 'a', 'b', 'c'}, 9, NP_E_MALFORMED}, /* a name without its NUL */
        {{0, 7, 0, 0, 0, 2, '-', 0}, 8, NP_E_MALFORMED},        /* no name */
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        memcpy(bytes, "nameplate state\x01", 16);
        memcpy(bytes + 20, cases[i].records, cases[i].len);
        size_t len = seal(20 + cases[i].len + 32);
        int rc = np_state_parse(bytes, len, &b);
        if (rc != cases[i].rc)
            print_error("case %zu: %s\n", i, np_err_name(rc));
        assert_int_equal(rc, cases[i].rc);
    }
}

static void fits_always(void **state)
{
    (void)state;
    static struct np_state a, b;
    fill(&a);
    memset(a.chain, 'A', NP_CHAIN_MAX);
    memset(a.grant, 'g', NP_GRANT_MAX);
    for (size_t i = 0; i < NP_SAN_MAX; i++) {
        for (size_t j = 0; j < NP_NAME_MAX; j++)
            a.san[i][j] = j % 64 == 63 ? '.' : 'a';
    }
    a.san_count = NP_SAN_MAX;
    for (size_t i = 0; i < NP_NAMESERVERS_MAX; i++)
        memcpy(a.nameservers[i], a.san[0], sizeof a.san[0]);
    a.nameserver_count = NP_NAMESERVERS_MAX;
    size_t len = encode(&a), short_len;
    assert_int_equal(np_state_parse(bytes, len, &b), 0);
    assert_memory_equal(&a, &b, sizeof a);
    assert_int_equal(np_state_encode(&a, bytes, len - 1, &short_len), NP_E_LIMIT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(round_trip),  cmocka_unit_test(every_cut),   cmocka_unit_test(every_byte),
        cmocka_unit_test(bad_records), cmocka_unit_test(fits_always),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Over TLS, in clear text, or not at all. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "resolver/base/error.h"
#include "resolver/upstream_tls.h"

static void test_off(void **state)
{
    (void)state;
    struct np_upstream_tls tls = {0};
    assert_int_equal(np_upstream_way(&tls, NP_TLS_OFF, 0), NP_UPSTREAM_CLEAR);
    assert_string_equal(np_upstream_tls_state(&tls, NP_TLS_OFF), "off");
}

/* Never in clear text, whatever happens; tried again with growing pauses, up to a limit that its reason sets. */
static void test_strict(void **state)
{
    (void)state;
    for (int reason = 0; reason < NP_PEER_REASONS; reason++) {
        struct np_upstream_tls tls = {0};
        int64_t now = 1000, pause = 0,
                limit = np_upstream_tls_is_network((enum np_peer_reason)reason) ? NP_UPSTREAM_TLS_NETWORK_MS
                                                                                : NP_UPSTREAM_TLS_TRUST_MS;
        assert_int_equal(np_upstream_way(&tls, NP_TLS_STRICT, now), NP_UPSTREAM_TLS);
        for (int i = 0; i < 20; i++) {
            assert_int_equal(np_upstream_tls_failed(&tls, NP_TLS_STRICT, (enum np_peer_reason)reason, now), i == 0);
            assert_int_equal(np_upstream_way(&tls, NP_TLS_STRICT, now), NP_UPSTREAM_NOT_NOW);
            assert_true(tls.until_ms - now >= pause && tls.until_ms - now <= limit);
            pause = tls.until_ms - now;
            assert_int_equal(np_upstream_way(&tls, NP_TLS_STRICT, tls.until_ms - 1), NP_UPSTREAM_NOT_NOW);
            now = tls.until_ms;
            assert_int_equal(np_upstream_way(&tls, NP_TLS_STRICT, now), NP_UPSTREAM_TLS);
        }
        assert_int_equal(pause, limit);
        assert_string_equal(np_upstream_tls_state(&tls, NP_TLS_STRICT),
                            np_peer_reason_name((enum np_peer_reason)reason));
        /* Another reason is news; that it works is; that it goes on working is not. */
        enum np_peer_reason other = reason == NP_PEER_DATE ? NP_PEER_NAME : NP_PEER_DATE;
        assert_true(np_upstream_tls_failed(&tls, NP_TLS_STRICT, other, now));
        assert_true(np_upstream_tls_opened(&tls));
        assert_false(np_upstream_tls_opened(&tls));
        assert_int_equal(np_upstream_way(&tls, NP_TLS_STRICT, now), NP_UPSTREAM_TLS);
        assert_string_equal(np_upstream_tls_state(&tls, NP_TLS_STRICT), "works");
        assert_int_equal(tls.opened, 2);
        assert_int_equal(tls.refused, 21);
        /* After that a failure begins with the shortest pause again. */
        assert_true(np_upstream_tls_failed(&tls, NP_TLS_STRICT, (enum np_peer_reason)reason, now));
        assert_int_equal(tls.until_ms, now + NP_UPSTREAM_TLS_FIRST_MS);
        np_upstream_tls_forgive(&tls);
        assert_int_equal(np_upstream_way(&tls, NP_TLS_STRICT, now), NP_UPSTREAM_TLS);
    }
}

static void test_opportunistic(void **state)
{
    (void)state;
    static const struct {
        enum np_peer_reason reason;
        int64_t clear_ms;
    } rows[] = {
        {NP_PEER_REFUSED, NP_UPSTREAM_TLS_CLEAR_MS},        {NP_PEER_NO_TLS, NP_UPSTREAM_TLS_CLEAR_MS},
        {NP_PEER_UNREACHABLE, NP_UPSTREAM_TLS_DOUBTFUL_MS}, {NP_PEER_LIMIT, NP_UPSTREAM_TLS_DOUBTFUL_MS},
        {NP_PEER_UNKNOWN, NP_UPSTREAM_TLS_DOUBTFUL_MS},     {NP_PEER_NO_DNS, NP_UPSTREAM_TLS_DOUBTFUL_MS},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct np_upstream_tls tls = {0};
        assert_int_equal(np_upstream_way(&tls, NP_TLS_OPPORTUNISTIC, 0), NP_UPSTREAM_TLS);
        assert_true(np_upstream_tls_failed(&tls, NP_TLS_OPPORTUNISTIC, rows[i].reason, 1000));
        assert_int_equal(np_upstream_way(&tls, NP_TLS_OPPORTUNISTIC, 1000 + rows[i].clear_ms - 1), NP_UPSTREAM_CLEAR);
        assert_int_equal(np_upstream_way(&tls, NP_TLS_OPPORTUNISTIC, 1000 + rows[i].clear_ms), NP_UPSTREAM_TLS);
    }
}

/* TLS stands each time, and no answer comes: handshakes are no proof, an answer is. */
static void test_no_dns(void **state)
{
    (void)state;
    struct np_upstream_tls strict = {0}, opportunistic = {0};
    int64_t now = 1000, pause = 0;
    for (int i = 0; i < 10; i++) {
        assert_false(np_upstream_tls_opened(&strict));
        assert_int_equal(np_upstream_tls_failed(&strict, NP_TLS_STRICT, NP_PEER_NO_DNS, now), i == 0);
        assert_false(np_upstream_tls_opened(&strict)); /* one that was on its way ends no pause */
        assert_int_equal(np_upstream_way(&strict, NP_TLS_STRICT, now), NP_UPSTREAM_NOT_NOW);
        assert_true(strict.until_ms - now > pause || pause == NP_UPSTREAM_TLS_TRUST_MS);
        assert_string_equal(np_upstream_tls_state(&strict, NP_TLS_STRICT), "no-dns");
        pause = strict.until_ms - now;
        now = strict.until_ms;
    }
    assert_int_equal(pause, NP_UPSTREAM_TLS_TRUST_MS);
    assert_int_equal(strict.opened, 20);
    assert_true(np_upstream_tls_answered(&strict));
    assert_false(np_upstream_tls_answered(&strict));
    assert_string_equal(np_upstream_tls_state(&strict, NP_TLS_STRICT), "works");
    assert_true(np_upstream_tls_failed(&strict, NP_TLS_STRICT, NP_PEER_NO_DNS, now));
    assert_int_equal(strict.until_ms, now + NP_UPSTREAM_TLS_FIRST_MS);
    /* Once may be chance, twice in a row is not. */
    np_upstream_tls_failed(&opportunistic, NP_TLS_OPPORTUNISTIC, NP_PEER_NO_DNS, 1000);
    assert_int_equal(opportunistic.until_ms, 1000 + NP_UPSTREAM_TLS_DOUBTFUL_MS);
    np_upstream_tls_opened(&opportunistic);
    np_upstream_tls_failed(&opportunistic, NP_TLS_OPPORTUNISTIC, NP_PEER_NO_DNS, 20000);
    assert_int_equal(opportunistic.until_ms, 20000 + NP_UPSTREAM_TLS_CLEAR_MS);
    assert_true(np_upstream_tls_answered(&opportunistic)); /* late, but it came */
    assert_int_equal(np_upstream_way(&opportunistic, NP_TLS_OPPORTUNISTIC, 20001), NP_UPSTREAM_TLS);
    /* An answer makes nothing good that a new stream has not. */
    np_upstream_tls_failed(&opportunistic, NP_TLS_OPPORTUNISTIC, NP_PEER_NO_TLS, 30000);
    assert_false(np_upstream_tls_answered(&opportunistic));
    assert_int_equal(np_upstream_way(&opportunistic, NP_TLS_OPPORTUNISTIC, 30001), NP_UPSTREAM_CLEAR);
}

static void test_states(void **state)
{
    (void)state;
    static const char *const words[] = {"untried",       "works",     "unreachable", "refused", "no-tls",
                                        "name-mismatch", "untrusted", "expired",     "limit",   "unknown-upstream",
                                        "no-dns"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        struct np_upstream_tls tls = {0};
        assert_int_equal(np_upstream_tls_state_parse(words[i], &tls), 0);
        assert_string_equal(np_upstream_tls_state(&tls, NP_TLS_STRICT), words[i]);
    }
    struct np_upstream_tls tls = {0};
    assert_int_equal(np_upstream_tls_state_parse("off", &tls), 0);
    assert_int_equal(np_upstream_tls_state_parse("sometimes", &tls), NP_E_UNKNOWN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_off), cmocka_unit_test(test_strict),
                                       cmocka_unit_test(test_opportunistic), cmocka_unit_test(test_no_dns),
                                       cmocka_unit_test(test_states)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

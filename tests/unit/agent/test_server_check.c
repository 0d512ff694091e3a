/* How a DNS server's certificate is judged: a client and a server of BearSSL in memory, without a socket; and the
 * bundle of anchors that it is judged by. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include <cmocka.h>

#include "agent/certificate/pem.h"
#include "agent/tls/server_check.h"
#include "resolver/base/error.h"
#include "tests/unit/agent/certs.h"

#define DAY 86400

static struct certs certs;

struct pair {
    br_ssl_client_context client;
    br_ssl_server_context server;
    struct np_server_check check;
    uint8_t client_buffer[BR_SSL_BUFSIZE_BIDI], server_buffer[BR_SSL_BUFSIZE_BIDI];
};

/* Moves what one has to send to the other, in pieces of at most step bytes. */
static bool move(br_ssl_engine_context *from, br_ssl_engine_context *to, size_t step)
{
    size_t out_len, in_len;
    unsigned char *out = br_ssl_engine_sendrec_buf(from, &out_len), *in = br_ssl_engine_recvrec_buf(to, &in_len);
    if (!out || !in)
        return false;
    size_t n = out_len < in_len ? out_len : in_len;
    n = n < step ? n : step;
    memcpy(in, out, n);
    br_ssl_engine_sendrec_ack(from, n);
    br_ssl_engine_recvrec_ack(to, n);
    return true;
}

static bool is_open(const br_ssl_engine_context *engine)
{
    return br_ssl_engine_current_state(engine) & BR_SSL_SENDAPP;
}

/* The client's error once the handshake is over: 0 when it stands. */
static int shake(const char *leaf, const char *name, const struct np_server_check_rules *rules,
                 const br_ssl_session_parameters *session, br_ssl_session_parameters *out_session, size_t step)
{
    static br_ssl_session_cache_lru cache;
    static unsigned char store[4096];
    struct pair *pair = test_calloc(1, sizeof *pair);
    struct np_tls_identity *identity = certs_identity(&certs, leaf);
    br_ssl_engine_context *client = &pair->client.eng, *server = &pair->server.eng;
    assert_non_null(identity);
    if (!session)
        br_ssl_session_cache_lru_init(&cache, store, sizeof store);
    np_tls_profile_server(&pair->server, identity, &cache);
    np_tls_profile_public(&pair->client);
    np_server_check_init(&pair->check, rules, &pair->client);
    br_ssl_engine_set_buffer(client, pair->client_buffer, sizeof pair->client_buffer, 1);
    br_ssl_engine_set_buffer(server, pair->server_buffer, sizeof pair->server_buffer, 1);
    if (session)
        br_ssl_engine_set_session_parameters(client, session);
    assert_true(br_ssl_client_reset(&pair->client, name, session != NULL));
    assert_true(br_ssl_server_reset(&pair->server));
    while (move(client, server, step) || move(server, client, step))
        ;
    int error = br_ssl_engine_last_error(client);
    if (error == 0) {
        assert_true(is_open(client) && is_open(server));
        if (out_session)
            br_ssl_engine_get_session_parameters(client, out_session);
    }
    np_server_check_deinit(&pair->check);
    np_tls_identity_unref(identity);
    test_free(pair);
    return error;
}

static void test_strict(void **state)
{
    (void)state;
    struct np_tls_anchors *root = certs_anchors(&certs, "root.pem"), *other = certs_anchors(&certs, "other.pem");
    int64_t now_s = (int64_t)time(NULL);
    static const struct {
        const char *name;
        int days; /* from now */
        bool other, believed;
        int error;
    } rows[] = {
        {CERTS_NAME, 0, false, true, 0},
        {CERTS_NAME, 0, false, false, 0},
        {"evil.example", 0, false, true, BR_ERR_X509_BAD_SERVER_NAME},
        {"evil.example", 0, false, false, BR_ERR_X509_BAD_SERVER_NAME},
        {CERTS_NAME, 0, true, true, BR_ERR_X509_NOT_TRUSTED},
        {CERTS_NAME, 0, true, false, BR_ERR_X509_NOT_TRUSTED},
        {CERTS_NAME, 25, false, true, BR_ERR_X509_EXPIRED}, /* the leaf has 20 days */
        {CERTS_NAME, 25, false, false, BR_ERR_X509_EXPIRED},
        {CERTS_NAME, -400, false, true, BR_ERR_X509_EXPIRED},
        {CERTS_NAME, -400, false, false, 0}, /* not valid yet, and nobody knows the time */
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct np_server_check_rules rules = {rows[i].other ? other : root, now_s + rows[i].days * DAY,
                                              rows[i].believed};
        for (size_t step = 61; step < 20000; step *= 300) {
            int error = shake("leaf.pem", rows[i].name, &rules, NULL, NULL, step);
            /* A root of the same name and another key may be met as a bad signature. */
            if (error != rows[i].error && !(rows[i].other && error == BR_ERR_X509_BAD_SIGNATURE))
                fail_msg("row %zu, step %zu: %d, %s", i, step, error, np_tls_error_text(error));
        }
    }
    np_tls_anchors_free(root);
    np_tls_anchors_free(other);
}

static void test_unchecked(void **state)
{
    (void)state;
    struct np_server_check_rules rules = {NULL, 0, true};
    for (size_t step = 61; step < 20000; step *= 300) {
        assert_int_equal(shake("leaf.pem", NULL, &rules, NULL, NULL, step), 0);
        assert_int_equal(shake("byrsa.pem", "whatever.example", &rules, NULL, NULL, step), 0);
    }
}

/* A session goes on without its certificate being judged again, and under the same number. */
static void test_resumed(void **state)
{
    (void)state;
    struct np_tls_anchors *root = certs_anchors(&certs, "root.pem");
    struct np_server_check_rules now = {root, (int64_t)time(NULL), true},
                                 later = {root, (int64_t)time(NULL) + 400 * DAY, true};
    br_ssl_session_parameters first, second;
    assert_int_equal(shake("leaf.pem", CERTS_NAME, &now, NULL, &first, 5000), 0);
    assert_int_equal(first.session_id_len, 32);
    assert_int_equal(shake("leaf.pem", CERTS_NAME, &later, &first, &second, 5000), 0);
    assert_memory_equal(first.session_id, second.session_id, 32);
    assert_int_equal(shake("leaf.pem", CERTS_NAME, &later, NULL, NULL, 5000), BR_ERR_X509_EXPIRED);
    np_tls_anchors_free(root);
}

/* The X.509 engine as a server could feed it: leaves cut anywhere, empty ones, none at all. */
static void test_odd_chains(void **state)
{
    (void)state;
    struct np_tls_anchors *root = certs_anchors(&certs, "root.pem");
    struct np_tls_identity *identity = certs_identity(&certs, "leaf.pem");
    br_ssl_client_context *client = test_malloc(sizeof *client);
    size_t pem_len;
    char *pem = certs_read(&certs, "leaf.pem", &pem_len);
    uint8_t der[2048];
    struct np_pem reader = {.text = pem, .len = pem_len};
    long n = np_pem_next(&reader, "CERTIFICATE", der, sizeof der);
    assert_true(n > 0);
    for (int strict = 0; strict <= 1; strict++) {
        for (long cut = 0; cut < n; cut++) {
            struct np_server_check check;
            struct np_server_check_rules rules = {strict ? root : NULL, (int64_t)time(NULL), false};
            np_tls_profile_public(client);
            np_server_check_init(&check, &rules, client);
            const br_x509_class **ctx = &check.vtable;
            (*ctx)->start_chain(ctx, CERTS_NAME);
            (*ctx)->start_cert(ctx, (uint32_t)cut);
            for (long i = 0; i < cut; i += 50)
                (*ctx)->append(ctx, der + i, (size_t)(cut - i < 50 ? cut - i : 50));
            (*ctx)->end_cert(ctx);
            assert_int_not_equal((*ctx)->end_chain(ctx), 0);
            np_server_check_deinit(&check);
        }
        struct np_server_check check;
        struct np_server_check_rules rules = {strict ? root : NULL, (int64_t)time(NULL), false};
        np_server_check_init(&check, &rules, client);
        check.vtable->start_chain(&check.vtable, CERTS_NAME);
        assert_int_not_equal(check.vtable->end_chain(&check.vtable), 0);
        /* Begun, and never ended. */
        check.vtable->start_chain(&check.vtable, CERTS_NAME);
        check.vtable->start_cert(&check.vtable, 1000);
        np_server_check_deinit(&check);
    }
    free(pem);
    test_free(client);
    np_tls_identity_unref(identity);
    np_tls_anchors_free(root);
}

static void test_profile(void **state)
{
    (void)state;
    br_ssl_client_context *client = test_malloc(sizeof *client);
    np_tls_profile_public(client);
    assert_int_equal(client->eng.version_min, BR_TLS12);
    assert_int_equal(client->eng.suites_num, 6);
    assert_non_null(client->eng.irsavrfy);
    for (size_t i = 0; i < 6; i++) {
        for (size_t k = 0; k < i; k++)
            assert_int_not_equal(client->eng.suites_buf[i], client->eng.suites_buf[k]);
    }
    test_free(client);
}

/* The system's bundle: what cannot be used is passed over; none usable, or too many, is an error. */
static void test_bundle(void **state)
{
    (void)state;
    static const char *const files[] = {"root.pem", "ed25519.pem", "rsa.pem", "secp256k1.pem", "other.pem"};
    char *text = calloc(1, 65536);
    struct np_tls_anchors *anchors = NULL;
    size_t skipped = 99, count = 0, len;
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        char *pem = certs_read(&certs, files[i], &len);
        assert_non_null(pem);
        strncat(text, pem, 65535 - strlen(text));
        free(pem);
    }
    assert_int_equal(np_tls_bundle_parse(text, strlen(text), &anchors, &skipped), 0);
    (void)np_tls_anchors_list(anchors, &count);
    assert_int_equal(count, 3);
    assert_int_equal(skipped, 2);
    np_tls_anchors_free(anchors);
    /* A vendor's file must be good as a whole. */
    assert_true(np_tls_anchors_parse(text, strlen(text), &anchors) < 0);
    char *bad = certs_read(&certs, "ed25519.pem", &len);
    assert_int_equal(np_tls_bundle_parse(bad, len, &anchors, &skipped), NP_E_MISSING);
    free(bad);
    free(text);
    char *one = certs_read(&certs, "root.pem", &len), *many = malloc(len * (NP_TLS_BUNDLE_MAX + 1));
    for (size_t i = 0; i <= NP_TLS_BUNDLE_MAX; i++)
        memcpy(many + i * len, one, len);
    assert_int_equal(np_tls_bundle_parse(many, len * NP_TLS_BUNDLE_MAX, &anchors, &skipped), 0);
    np_tls_anchors_free(anchors);
    assert_int_equal(np_tls_bundle_parse(many, len * (NP_TLS_BUNDLE_MAX + 1), &anchors, &skipped), NP_E_LIMIT);
    free(one);
    free(many);
    np_tls_anchors_free(NULL);
}

static int setup(void **state)
{
    static const char more[] =
        "exec >more.log 2>&1\n"
        "openssl req -x509 -newkey ed25519 -nodes -keyout ed.key -out ed25519.pem -subj /CN=Ed -days 30\n"
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:secp256k1 -nodes -keyout k1.key -out secp256k1.pem "
        "-subj /CN=K1 -days 30\n";
    (void)state;
    return certs_make(&certs) || certs_run(certs.folder, more);
}

static int teardown(void **state)
{
    (void)state;
    certs_remove(&certs);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_strict),     cmocka_unit_test(test_unchecked), cmocka_unit_test(test_resumed),
        cmocka_unit_test(test_odd_chains), cmocka_unit_test(test_profile),   cmocka_unit_test(test_bundle),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}

/* Factory certificates: which chains prove a serial number, and which do not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hq/crypto.h"
#include "hq/factorycert.h"
#include "resolver/base/error.h"

#define NOW_S INT64_C(1790000000) /* 2026-09-21 */

/* A certificate to be made. Strings may be NULL. */
struct recipe {
    const char *subject, *issuer; /* CNs; subject NULL: none */
    const char *serial, *serial_again;
    const char *constraints, *key_usage, *extended;
    const char *not_before, *not_after; /* ASN.1 times; NULL: a year to either side */
    const EVP_MD *digest;               /* NULL: SHA-256 */
};

static void extension(X509 *certificate, int nid, const char *value)
{
    if (!value)
        return;
    X509_EXTENSION *made = X509V3_EXT_conf_nid(NULL, NULL, nid, value);
    assert_non_null(made);
    X509_add_ext(certificate, made, -1);
    X509_EXTENSION_free(made);
}

static void set_time(ASN1_TIME *time, const char *text, int64_t otherwise_s)
{
    if (text)
        assert_int_equal(ASN1_TIME_set_string(time, text), 1);
    else
        ASN1_TIME_set(time, (time_t)otherwise_s);
}

static void name(X509_NAME *out, const char *field, const char *text)
{
    if (text)
        assert_int_equal(
            X509_NAME_add_entry_by_txt(out, field, V_ASN1_UTF8STRING, (const unsigned char *)text, -1, -1, 0), 1);
}

static X509 *make(const struct recipe *r, EVP_PKEY *key, EVP_PKEY *signer)
{
    X509 *certificate = X509_new();
    X509_NAME *issuer = X509_NAME_new();
    X509_set_version(certificate, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(certificate), 7);
    name(X509_get_subject_name(certificate), "CN", r->subject);
    name(X509_get_subject_name(certificate), "serialNumber", r->serial);
    name(X509_get_subject_name(certificate), "serialNumber", r->serial_again);
    name(issuer, "CN", r->issuer);
    X509_set_issuer_name(certificate, issuer);
    X509_NAME_free(issuer);
    set_time(X509_getm_notBefore(certificate), r->not_before, NOW_S - 365 * 86400);
    set_time(X509_getm_notAfter(certificate), r->not_after, NOW_S + 365 * 86400);
    X509_set_pubkey(certificate, key);
    extension(certificate, NID_basic_constraints, r->constraints);
    extension(certificate, NID_key_usage, r->key_usage);
    extension(certificate, NID_ext_key_usage, r->extended);
    assert_true(X509_sign(certificate, signer, r->digest ? r->digest : EVP_sha256()) > 0);
    return certificate;
}

static const struct recipe root_recipe = {
    .subject = "Root", .issuer = "Root", .constraints = "critical,CA:TRUE", .key_usage = "critical,keyCertSign"};
static const struct recipe line_recipe = {.subject = "Line 7",
                                          .issuer = "Root",
                                          .constraints = "critical,CA:TRUE,pathlen:0",
                                          .key_usage = "critical,keyCertSign"};

/* A factory: its root and a line's CA below it. */
struct factory {
    EVP_PKEY *root_key, *line_key, *leaf_key;
    X509 *root, *line;
    struct np_factorycert *by_root, *by_line, *undated;
};

static struct np_factorycert *anchored(X509 *anchor, bool dates)
{
    struct np_factorycert *check = NULL;
    BIO *bio = BIO_new(BIO_s_mem());
    char *pem;
    assert_int_equal(PEM_write_bio_X509(bio, anchor), 1);
    long len = BIO_get_mem_data(bio, &pem);
    assert_int_equal(np_factorycert_new(pem, (size_t)len, dates, &check), 0);
    BIO_free(bio);
    return check;
}

static int setup(void **state)
{
    struct factory *f = calloc(1, sizeof *f);
    f->root_key = EVP_EC_gen("P-384");
    f->line_key = EVP_EC_gen("P-256");
    f->leaf_key = EVP_EC_gen("P-256");
    f->root = make(&root_recipe, f->root_key, f->root_key);
    f->line = make(&line_recipe, f->line_key, f->root_key);
    f->by_root = anchored(f->root, true);
    f->by_line = anchored(f->line, true);
    f->undated = anchored(f->root, false);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct factory *f = *state;
    np_factorycert_free(f->by_root);
    np_factorycert_free(f->by_line);
    np_factorycert_free(f->undated);
    X509_free(f->root);
    X509_free(f->line);
    EVP_PKEY_free(f->root_key);
    EVP_PKEY_free(f->line_key);
    EVP_PKEY_free(f->leaf_key);
    free(f);
    return 0;
}

static const uint8_t covered[] = "what a request's signature covers";

static void append(struct np_credential *credential, X509 *certificate)
{
    uint8_t *der = NULL;
    int len = i2d_X509(certificate, &der);
    size_t at = 0;
    for (size_t i = 0; i < credential->certificate_count; i++)
        at += credential->certificate_len[i];
    assert_true(len > 0 && at + (size_t)len <= sizeof credential->chain);
    memcpy(credential->chain + at, der, (size_t)len);
    credential->certificate_len[credential->certificate_count++] = (size_t)len;
    OPENSSL_free(der);
}

/* r||s over covered. */
static void sign(struct np_credential *credential, EVP_PKEY *key)
{
    uint8_t der[160];
    size_t len = sizeof der;
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    assert_int_equal(EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, key), 1);
    assert_int_equal(EVP_DigestSign(ctx, der, &len, covered, sizeof covered), 1);
    EVP_MD_CTX_free(ctx);
    const uint8_t *at = der;
    ECDSA_SIG *sig = d2i_ECDSA_SIG(NULL, &at, (long)len);
    BN_bn2binpad(ECDSA_SIG_get0_r(sig), credential->signature, 32);
    BN_bn2binpad(ECDSA_SIG_get0_s(sig), credential->signature + 32, 32);
    ECDSA_SIG_free(sig);
}

/* A box's credential: its leaf below the line, the line's certificate beside it. */
static struct np_credential credential_of(const struct factory *f, const struct recipe *leaf)
{
    struct np_credential credential = {.type = NP_CREDENTIAL_FACTORY_CERTIFICATE};
    X509 *certificate = make(leaf, f->leaf_key, f->line_key);
    append(&credential, certificate);
    append(&credential, f->line);
    sign(&credential, f->leaf_key);
    X509_free(certificate);
    return credential;
}

/* NULL: it is taken; else what the refusal must hold. */
static void expect(const struct np_factorycert *check, struct np_credential credential, const char *why)
{
    struct np_refusal refusal;
    int rc = np_factorycert_check(check, &credential, covered, sizeof covered, NOW_S, &refusal);
    if (!why) {
        if (rc)
            fail_msg("%s", refusal.problem.detail);
        assert_string_equal(credential.serial, "NP-0001");
        return;
    }
    assert_int_equal(rc, NP_E_REFUSED);
    assert_string_equal(refusal.problem.type, "bad-credential");
    if (!strstr(refusal.problem.detail, why))
        fail_msg("%s: %s", why, refusal.problem.detail);
    assert_string_equal(credential.serial, "");
}

static void test_leaves(void **state)
{
    static const char long_serial[] = "12345678901234567890123456789012345678901234567890123456789012345";
    const struct {
        struct recipe recipe;
        const char *why;
    } rows[] = {
        {{.subject = "box", .serial = "NP-0001"}, NULL},
        {{.serial = "NP-0001"}, NULL},
        {{.serial = "NP-0001", .key_usage = "digitalSignature", .extended = "clientAuth"}, NULL},
        {{.serial = "NP-0001", .constraints = "critical,CA:FALSE", .extended = "serverAuth,clientAuth"}, NULL},
        {{.serial = "NP-0001", .extended = "anyExtendedKeyUsage"}, NULL},
        {{.serial = "NP-0001", .not_after = "99991231235959Z"}, NULL}, /* RFC 5280 section 4.1.2.5: no end */
        {{.serial = "NP-0001", .not_after = "20260101000000Z"}, "has expired"},
        {{.serial = "NP-0001", .not_before = "20270101000000Z"}, "not yet valid"},
        {{.serial = "NP-0001", .constraints = "critical,CA:TRUE"}, ""}, /* below pathlen:0, or as a CA */
        {{.serial = "NP-0001", .key_usage = "keyAgreement"}, "digitalSignature"},
        {{.serial = "NP-0001", .extended = "serverAuth"}, "clientAuth"},
        {{.subject = "NP-0001"}, "exactly one serialNumber"},
        {{.serial = "NP-0001", .serial_again = "NP-0002"}, "exactly one serialNumber"},
        {{.serial = "NP 0001"}, "without blanks"},
        {{.serial = "NP-\xc3\xa9"}, "without blanks"},
        {{.serial = long_serial}, "1 to 64"},
        {{.serial = "NP-0001", .digest = EVP_sha1()}, "too weak"},
        {{.serial = "NP-0001", .issuer = "Line 8"}, "unable to get"},
    };
    const struct factory *f = *state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct recipe recipe = rows[i].recipe;
        if (!recipe.issuer)
            recipe.issuer = "Line 7";
        struct np_credential credential = credential_of(f, &recipe);
        expect(f->by_root, credential, rows[i].why);
        expect(f->by_line, credential, rows[i].why); /* the line's CA as the anchor, without a root */
        bool dates = recipe.not_before || recipe.not_after;
        expect(f->undated, credential, dates ? NULL : rows[i].why);
    }
}

static void test_paths(void **state)
{
    const struct factory *f = *state;
    const struct recipe good = {.serial = "NP-0001", .issuer = "Line 7"};
    struct np_credential credential = credential_of(f, &good), lone = credential;
    lone.certificate_count = 1;
    expect(f->by_root, lone, "unable to get local issuer");
    expect(f->by_line, lone, NULL);
    lone.certificate_count = 0;
    expect(f->by_root, lone, "empty");
    /* Somebody else's CA of the same name. */
    struct factory *other;
    setup((void **)&other);
    expect(other->by_root, credential, "");
    expect(other->by_line, credential, "");
    teardown((void **)&other);
    /* The line's certificate as a device's, with the line's key. */
    struct np_credential line = {.type = NP_CREDENTIAL_FACTORY_CERTIFICATE};
    append(&line, f->line);
    sign(&line, f->line_key);
    expect(f->by_root, line, "a CA's");
    expect(f->by_line, line, "a CA's");
    /* A line that is no CA. */
    struct recipe lame = line_recipe;
    lame.constraints = "critical,CA:FALSE";
    lame.key_usage = "digitalSignature";
    X509 *middle = make(&lame, f->line_key, f->root_key), *leaf = make(&good, f->leaf_key, f->line_key);
    struct np_credential forged = {.type = NP_CREDENTIAL_FACTORY_CERTIFICATE};
    append(&forged, leaf);
    append(&forged, middle);
    sign(&forged, f->leaf_key);
    expect(f->by_root, forged, "invalid CA");
    X509_free(middle);
    X509_free(leaf);
}

static void test_signatures(void **state)
{
    const struct factory *f = *state;
    const struct recipe good = {.serial = "NP-0001", .issuer = "Line 7"};
    struct np_credential credential = credential_of(f, &good), wrong = credential;
    struct np_refusal refusal;
    wrong.signature[63] ^= 1;
    expect(f->by_root, wrong, "signature");
    memset(wrong.signature, 0, sizeof wrong.signature);
    expect(f->by_root, wrong, "signature");
    sign(&wrong, f->line_key); /* not the leaf's */
    expect(f->by_root, wrong, "signature");
    /* Over another request. */
    assert_int_equal(np_factorycert_check(f->by_root, &credential, covered, sizeof covered - 1, NOW_S, &refusal),
                     NP_E_REFUSED);
}

static void test_keys(void **state)
{
    const struct factory *f = *state;
    const struct recipe good = {.serial = "NP-0001", .issuer = "Line 7"};
    struct {
        EVP_PKEY *leaf, *line;
        const char *why;
    } rows[] = {
        {EVP_EC_gen("P-256"), EVP_RSA_gen(2048), NULL}, /* a factory's CA may be on RSA */
        {EVP_EC_gen("P-256"), EVP_RSA_gen(1024), "too weak"},
        {EVP_EC_gen("P-384"), EVP_EC_gen("P-256"), "P-256"},
        {EVP_RSA_gen(2048), EVP_EC_gen("P-256"), "P-256"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct np_credential credential = {.type = NP_CREDENTIAL_FACTORY_CERTIFICATE};
        X509 *line = make(&line_recipe, rows[i].line, f->root_key), *leaf = make(&good, rows[i].leaf, rows[i].line);
        append(&credential, leaf);
        append(&credential, line);
        if (rows[i].why)
            memset(credential.signature, 1, sizeof credential.signature);
        else
            sign(&credential, rows[i].leaf);
        expect(f->by_root, credential, rows[i].why);
        X509_free(leaf);
        X509_free(line);
        EVP_PKEY_free(rows[i].leaf);
        EVP_PKEY_free(rows[i].line);
    }
}

/* Cut at each byte, with bytes behind, with each byte of the leaf changed: never more than a refusal. */
static void test_damage(void **state)
{
    const struct factory *f = *state;
    const struct recipe good = {.serial = "NP-0001", .issuer = "Line 7"};
    struct np_credential credential = credential_of(f, &good), damaged;
    size_t len = credential.certificate_len[0];
    for (size_t i = 0; i < len; i++) {
        damaged = credential;
        damaged.certificate_count = 1;
        damaged.certificate_len[0] = i;
        expect(f->by_line, damaged, "");
        damaged = credential;
        damaged.chain[i] ^= 0x41;
        expect(f->by_line, damaged, "");
    }
    damaged = credential;
    damaged.certificate_count = 1;
    damaged.certificate_len[0] = len + 1;
    expect(f->by_line, damaged, "no X.509");
}

static void test_anchors(void **state)
{
    const struct factory *f = *state;
    struct np_factorycert *check = NULL;
    const struct recipe good = {.serial = "NP-0001", .issuer = "Line 7"};
    X509 *leaf = make(&good, f->leaf_key, f->line_key);
    BIO *bio = BIO_new(BIO_s_mem());
    char *pem;
    assert_int_equal(np_factorycert_new("", 0, true, &check), NP_E_NOT_FOUND);
    assert_int_equal(np_factorycert_new("nothing\n", 8, true, &check), NP_E_NOT_FOUND);
    PEM_write_bio_X509(bio, f->root);
    PEM_write_bio_X509(bio, leaf);
    long len = BIO_get_mem_data(bio, &pem);
    assert_int_equal(np_factorycert_new(pem, (size_t)len, true, &check), NP_E_MALFORMED); /* a leaf is no anchor */
    assert_int_equal(np_factorycert_new(pem, (size_t)len - 40, true, &check), NP_E_MALFORMED);
    BIO_free(bio);
    /* Two CAs of one name, without key ids: the second counts, too. */
    struct factory *other;
    setup((void **)&other);
    bio = BIO_new(BIO_s_mem());
    PEM_write_bio_X509(bio, other->line);
    PEM_write_bio_X509(bio, other->root);
    PEM_write_bio_X509(bio, f->line);
    len = BIO_get_mem_data(bio, &pem);
    assert_int_equal(np_factorycert_new(pem, (size_t)len, true, &check), 0);
    expect(check, credential_of(f, &good), NULL);
    expect(check, credential_of(other, &good), NULL);
    np_factorycert_free(check);
    /* As many as there may be, and one more. */
    for (size_t i = 3; i < NP_FACTORYCERT_ANCHORS_MAX; i++)
        PEM_write_bio_X509(bio, f->root);
    len = BIO_get_mem_data(bio, &pem);
    assert_int_equal(np_factorycert_new(pem, (size_t)len, true, &check), 0);
    np_factorycert_free(check);
    PEM_write_bio_X509(bio, f->root);
    len = BIO_get_mem_data(bio, &pem);
    assert_int_equal(np_factorycert_new(pem, (size_t)len, true, &check), NP_E_LIMIT);
    BIO_free(bio);
    X509_free(leaf);
    teardown((void **)&other);
    np_factorycert_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_leaves, setup, teardown),
        cmocka_unit_test_setup_teardown(test_paths, setup, teardown),
        cmocka_unit_test_setup_teardown(test_signatures, setup, teardown),
        cmocka_unit_test_setup_teardown(test_keys, setup, teardown),
        cmocka_unit_test_setup_teardown(test_damage, setup, teardown),
        cmocka_unit_test_setup_teardown(test_anchors, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "agent/certificate/package.h"

#include <bearssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/certificate/pem.h"
#include "resolver/base/error.h"

#define DN_MAX        1024     /* bytes of a subject name */
#define DAYS_TO_1970  719528LL /* br_x509_minimal counts from year 0 */
#define RSA_BYTES_MIN 256

/* The certificates as DER, one after the other. */
struct chain {
    uint8_t der[NP_PACKAGE_CERTIFICATES_MAX][NP_PACKAGE_DER_MAX];
    size_t len[NP_PACKAGE_CERTIFICATES_MAX];
    size_t count;
};

/* A certificate as the issuer of the one before. */
struct issuer {
    br_x509_decoder_context decoder;
    br_x509_trust_anchor anchor;
    uint8_t dn[DN_MAX];
    size_t dn_len;
    bool dn_too_long;
};

static int decode(const char *pem, size_t len, struct chain *chain, char *why)
{
    struct np_pem reader = {pem, len, 0};
    if (len > NP_CHAIN_MAX) {
        snprintf(why, NP_PACKAGE_WHY_MAX, "the chain has more than %d bytes", NP_CHAIN_MAX);
        return NP_E_LIMIT;
    }
    uint8_t buffer[NP_PACKAGE_DER_MAX];
    for (;;) {
        long n = np_pem_next(&reader, "CERTIFICATE", buffer, sizeof buffer);
        if (n == 0)
            break;
        if (n > 0 && chain->count == NP_PACKAGE_CERTIFICATES_MAX)
            n = NP_E_LIMIT;
        if (n < 0) {
            snprintf(why, NP_PACKAGE_WHY_MAX, "certificate %zu cannot be read: %s", chain->count + 1,
                     np_strerror((int)n));
            return (int)n;
        }
        memcpy(chain->der[chain->count], buffer, (size_t)n);
        chain->len[chain->count++] = (size_t)n;
    }
    if (chain->count == 0) {
        snprintf(why, NP_PACKAGE_WHY_MAX, "it holds no certificate");
        return NP_E_MALFORMED;
    }
    return 0;
}

static void append_dn(void *ctx, const void *data, size_t len)
{
    struct issuer *issuer = ctx;
    if (len > sizeof issuer->dn - issuer->dn_len) {
        issuer->dn_too_long = true;
        return;
    }
    memcpy(issuer->dn + issuer->dn_len, data, len);
    issuer->dn_len += len;
}

/* Makes an anchor of a certificate. Its key points into the decoder. */
static int make_issuer(struct issuer *issuer, const uint8_t *der, size_t len)
{
    memset(issuer, 0, sizeof *issuer);
    br_x509_decoder_init(&issuer->decoder, append_dn, issuer);
    br_x509_decoder_push(&issuer->decoder, der, len);
    br_x509_pkey *key = br_x509_decoder_get_pkey(&issuer->decoder);
    if (!key || issuer->dn_too_long || !br_x509_decoder_isCA(&issuer->decoder))
        return NP_E_CHAIN;
    issuer->anchor.dn.data = issuer->dn;
    issuer->anchor.dn.len = issuer->dn_len;
    issuer->anchor.flags = BR_X509_TA_CA;
    issuer->anchor.pkey = *key;
    return 0;
}

/* Is certificate i signed by certificate i + 1? Returns 0 or a BR_ERR_* code. */
static unsigned check_link(const uint8_t *der, size_t len, const struct issuer *issuer, int64_t now_s)
{
    br_x509_minimal_context context;
    br_x509_minimal_init(&context, &br_sha256_vtable, &issuer->anchor, 1);
    br_x509_minimal_set_rsa(&context, br_rsa_pkcs1_vrfy_get_default());
    br_x509_minimal_set_ecdsa(&context, br_ec_get_default(), br_ecdsa_vrfy_asn1_get_default());
    br_x509_minimal_set_hash(&context, br_sha256_ID, &br_sha256_vtable);
    br_x509_minimal_set_hash(&context, br_sha384_ID, &br_sha384_vtable);
    br_x509_minimal_set_hash(&context, br_sha512_ID, &br_sha512_vtable);
    br_x509_minimal_set_minrsa(&context, RSA_BYTES_MIN);
    br_x509_minimal_set_time(&context, (uint32_t)(DAYS_TO_1970 + now_s / 86400), (uint32_t)(now_s % 86400));
    /* Names are compared by our own walk: NULL asks for no check here. */
    const br_x509_class **vtable = &context.vtable;
    (*vtable)->start_chain(vtable, NULL);
    (*vtable)->start_cert(vtable, (uint32_t)len);
    (*vtable)->append(vtable, der, len);
    (*vtable)->end_cert(vtable);
    return (*vtable)->end_chain(vtable);
}

static int check_links(const struct chain *chain, int64_t now_s, char *why)
{
    struct issuer *issuer = malloc(sizeof *issuer);
    int rc = 0;
    if (!issuer)
        return NP_E_LIMIT;
    for (size_t i = 0; rc == 0 && i + 1 < chain->count; i++) {
        rc = make_issuer(issuer, chain->der[i + 1], chain->len[i + 1]);
        if (rc) {
            snprintf(why, NP_PACKAGE_WHY_MAX, "certificate %zu is not a CA's", i + 2);
            break;
        }
        unsigned err = check_link(chain->der[i], chain->len[i], issuer, now_s);
        if (err) {
            rc = NP_E_CHAIN;
            snprintf(why, NP_PACKAGE_WHY_MAX, "certificate %zu is not signed by certificate %zu (BearSSL error %u)",
                     i + 1, i + 2, err);
        }
    }
    free(issuer);
    return rc;
}

static bool has_name(const struct np_x509 *leaf, const char *name)
{
    for (size_t i = 0; i < leaf->name_count; i++) {
        if (strcmp(leaf->names[i], name) == 0)
            return true;
    }
    return false;
}

static int check_names(const struct np_x509 *leaf, const struct np_package_wanted *wanted, char *why)
{
    for (size_t i = 0; i < wanted->name_count; i++) {
        if (!has_name(leaf, wanted->names[i])) {
            snprintf(why, NP_PACKAGE_WHY_MAX, "it is not for %.100s", wanted->names[i]);
            return NP_E_NAME;
        }
    }
    if (leaf->other_names || leaf->name_count != wanted->name_count) {
        snprintf(why, NP_PACKAGE_WHY_MAX, "it carries names that are not ours");
        return NP_E_NAME;
    }
    return 0;
}

static int check_dates(const struct np_x509 *x509, size_t number, int64_t now_s, char *why)
{
    if (now_s < x509->not_before_s) {
        snprintf(why, NP_PACKAGE_WHY_MAX, "certificate %zu is not valid for another %lld s", number,
                 (long long)(x509->not_before_s - now_s));
        return NP_E_DATE;
    }
    if (now_s > x509->not_after_s) {
        snprintf(why, NP_PACKAGE_WHY_MAX, "certificate %zu ended %lld s ago", number,
                 (long long)(now_s - x509->not_after_s));
        return NP_E_DATE;
    }
    return 0;
}

static int check_all_dates(const struct chain *chain, int64_t now_s, char *why)
{
    struct np_x509 x509;
    for (size_t i = 0; i < chain->count; i++) {
        int rc = np_x509_parse(chain->der[i], chain->len[i], &x509);
        if (rc) {
            snprintf(why, NP_PACKAGE_WHY_MAX, "certificate %zu cannot be read: %s", i + 1, np_strerror(rc));
            return rc;
        }
        rc = check_dates(&x509, i + 1, now_s, why);
        if (rc)
            return rc;
    }
    return 0;
}

static int check_leaf(const struct chain *chain, const struct np_package_wanted *wanted, struct np_x509 *out_leaf,
                      char *why)
{
    int rc = np_x509_parse(chain->der[0], chain->len[0], out_leaf);
    if (rc) {
        snprintf(why, NP_PACKAGE_WHY_MAX, "certificate 1 cannot be read: %s", np_strerror(rc));
        return rc;
    }
    if (!out_leaf->has_p256 || memcmp(&out_leaf->key, wanted->key, sizeof out_leaf->key) != 0) {
        snprintf(why, NP_PACKAGE_WHY_MAX, "it is for another key");
        return NP_E_KEY;
    }
    return check_names(out_leaf, wanted, why);
}

int np_package_check(const char *pem, size_t len, const struct np_package_wanted *wanted,
                     struct np_package *out_package, char why[NP_PACKAGE_WHY_MAX])
{
    struct np_package *package = calloc(1, sizeof *package);
    struct chain *chain = calloc(1, sizeof *chain);
    int rc = NP_E_LIMIT;
    snprintf(why, NP_PACKAGE_WHY_MAX, "out of memory");
    if (!package || !chain)
        goto out;
    rc = decode(pem, len, chain, why);
    if (rc == 0)
        rc = check_leaf(chain, wanted, &package->leaf, why);
    if (rc == 0)
        rc = check_all_dates(chain, wanted->now_s, why);
    if (rc == 0)
        rc = check_links(chain, wanted->now_s, why);
    size_t pos = 0;
    for (size_t i = 0; rc == 0 && i < chain->count; i++)
        rc = np_pem_append("CERTIFICATE", chain->der[i], chain->len[i], package->chain, sizeof package->chain, &pos);
    if (rc)
        goto out;
    package->certificate_count = chain->count;
    why[0] = 0;
    *out_package = *package;
out:
    free(package);
    free(chain);
    return rc;
}

#include "hq/pki.h"

#include <errno.h>
#include <limits.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hq/proto/message.h"
#include "resolver/base/error.h"

#define DAY_S INT64_C(86400)

static int set_serial(X509 *certificate)
{
    unsigned char bytes[16]; /* random: 20 bytes at most, and positive (RFC 5280 section 4.1.2.2) */
    if (RAND_bytes(bytes, sizeof bytes) != 1)
        return 0;
    bytes[0] = (unsigned char)((bytes[0] & 0x7f) | 0x40);
    BIGNUM *number = BN_bin2bn(bytes, sizeof bytes, NULL);
    int good = number && BN_to_ASN1_INTEGER(number, X509_get_serialNumber(certificate));
    BN_free(number);
    return good;
}

static int add_extension(X509 *certificate, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509V3_set_ctx(&ctx, issuer, certificate, NULL, NULL, 0);
    X509V3_set_ctx_nodb(&ctx);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    int good = extension && X509_add_ext(certificate, extension, -1);
    X509_EXTENSION_free(extension);
    return good;
}

/* The parts that both kinds have. NULL when out of memory. */
static X509 *begin(struct np_hq_key *key, const char *name, int64_t from_s, int64_t days)
{
    X509 *certificate = X509_new();
    X509_NAME *subject = certificate ? X509_get_subject_name(certificate) : NULL;
    if (certificate && X509_set_version(certificate, X509_VERSION_3) && set_serial(certificate) &&
        X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, (const unsigned char *)name, -1, -1, 0) &&
        ASN1_TIME_set(X509_getm_notBefore(certificate), from_s) &&
        ASN1_TIME_set(X509_getm_notAfter(certificate), from_s + days * DAY_S) &&
        X509_set_pubkey(certificate, np_hq_key_handle(key)))
        return certificate;
    X509_free(certificate);
    return NULL;
}

static int finish(X509 *certificate, struct np_hq_key *ca_key, char **out_pem)
{
    int rc = -ENOMEM;
    char *data;
    BIO *bio = BIO_new(BIO_s_mem());
    if (bio && X509_sign(certificate, np_hq_key_handle(ca_key), EVP_sha256()) && PEM_write_bio_X509(bio, certificate)) {
        long len = BIO_get_mem_data(bio, &data);
        char *pem = len > 0 ? strndup(data, (size_t)len) : NULL;
        if (pem) {
            *out_pem = pem;
            rc = 0;
        }
    }
    BIO_free(bio);
    return rc;
}

int np_pki_make_ca(struct np_hq_key *key, const char *name, int64_t now_s, char **out_pem)
{
    int rc = -ENOMEM;
    X509 *certificate = begin(key, name, now_s - DAY_S, NP_PKI_CA_DAYS);
    if (certificate && X509_set_issuer_name(certificate, X509_get_subject_name(certificate)) &&
        add_extension(certificate, certificate, NID_basic_constraints, "critical,CA:TRUE,pathlen:0") &&
        add_extension(certificate, certificate, NID_key_usage, "critical,keyCertSign,cRLSign") &&
        add_extension(certificate, certificate, NID_subject_key_identifier, "hash"))
        rc = finish(certificate, key, out_pem);
    X509_free(certificate);
    ERR_clear_error();
    return rc;
}

static X509 *parse(const char *pem, size_t len)
{
    BIO *bio = len <= INT_MAX ? BIO_new_mem_buf(pem, (int)len) : NULL;
    X509 *certificate = bio ? PEM_read_bio_X509(bio, NULL, NULL, NULL) : NULL;
    BIO_free(bio);
    ERR_clear_error();
    return certificate;
}

int np_pki_make_leaf(struct np_hq_key *ca_key, const char *ca_pem, struct np_hq_key *leaf_key, const char *host,
                     int64_t now_s, char **out_pem)
{
    char names[NP_NAME_MAX + 8];
    int rc = NP_E_CHAIN;
    X509 *certificate = NULL, *ca = parse(ca_pem, strlen(ca_pem));
    if (!ca || X509_check_private_key(ca, np_hq_key_handle(ca_key)) != 1)
        goto out;
    rc = -ENOMEM;
    snprintf(names, sizeof names, "DNS:%s", host);
    /* A CN has at most 64 characters (RFC 5280 appendix A.1); the name that counts is the SAN's. */
    certificate = begin(leaf_key, strlen(host) <= 64 ? host : "nameplate-hq", now_s - DAY_S, NP_PKI_LEAF_DAYS);
    if (certificate && X509_set_issuer_name(certificate, X509_get_subject_name(ca)) &&
        add_extension(certificate, ca, NID_basic_constraints, "critical,CA:FALSE") &&
        add_extension(certificate, ca, NID_key_usage, "critical,digitalSignature") &&
        add_extension(certificate, ca, NID_ext_key_usage, "serverAuth") &&
        add_extension(certificate, ca, NID_subject_alt_name, names) &&
        add_extension(certificate, ca, NID_authority_key_identifier, "keyid:always"))
        rc = finish(certificate, ca_key, out_pem);
out:
    X509_free(certificate);
    X509_free(ca);
    ERR_clear_error();
    return rc;
}

static int to_unix(const ASN1_TIME *time, int64_t *out_s)
{
    int days, seconds;
    ASN1_TIME *epoch = ASN1_TIME_set(NULL, 0);
    int good = epoch && ASN1_TIME_diff(&days, &seconds, epoch, time);
    ASN1_TIME_free(epoch);
    if (good)
        *out_s = days * DAY_S + seconds;
    return good;
}

int np_pki_validity(const char *pem, size_t len, int64_t *out_not_before_s, int64_t *out_not_after_s)
{
    int64_t from, to;
    X509 *certificate = parse(pem, len);
    int good = certificate && to_unix(X509_get0_notBefore(certificate), &from) &&
               to_unix(X509_get0_notAfter(certificate), &to);
    X509_free(certificate);
    ERR_clear_error();
    if (!good)
        return NP_E_CHAIN;
    *out_not_before_s = from;
    *out_not_after_s = to;
    return 0;
}

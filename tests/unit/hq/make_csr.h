/* make_csr: PKCS#10 requests of every kind for the tests, by libcrypto. */
#ifndef TESTS_UNIT_HQ_MAKE_CSR_H
#define TESTS_UNIT_HQ_MAKE_CSR_H

#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdint.h>
#include <string.h>

/* What is asked for. Strings may be NULL. */
struct csr_recipe {
    const char *cn;
    const char *country;   /* a second part of the subject */
    const char *san;       /* libcrypto's syntax: "DNS:a.example,DNS:b.example" */
    const char *san_again; /* a second subjectAltName */
    const char *key_usage;
    const char *constraints;
    const EVP_MD *digest; /* NULL: SHA-256 */
    int bad_signature;
};

/* Adds the named extension to the list. */
static inline void csr_extension(STACK_OF(X509_EXTENSION) * list, int nid, const char *value)
{
    if (value)
        sk_X509_EXTENSION_push(list, X509V3_EXT_conf_nid(NULL, NULL, nid, value));
}

/* Writes the DER to out (size bytes) and returns its length. */
static inline size_t csr_make(EVP_PKEY *key, const struct csr_recipe *recipe, uint8_t *out, size_t size)
{
    X509_REQ *request = X509_REQ_new();
    X509_NAME *subject = X509_REQ_get_subject_name(request);
    STACK_OF(X509_EXTENSION) *extensions = sk_X509_EXTENSION_new_null();
    X509_REQ_set_version(request, X509_REQ_VERSION_1);
    X509_REQ_set_pubkey(request, key);
    if (recipe->cn)
        X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, (const unsigned char *)recipe->cn, -1, -1, 0);
    if (recipe->country)
        X509_NAME_add_entry_by_txt(subject, "C", MBSTRING_ASC, (const unsigned char *)recipe->country, -1, -1, 0);
    csr_extension(extensions, NID_subject_alt_name, recipe->san);
    csr_extension(extensions, NID_subject_alt_name, recipe->san_again);
    csr_extension(extensions, NID_key_usage, recipe->key_usage);
    csr_extension(extensions, NID_basic_constraints, recipe->constraints);
    if (sk_X509_EXTENSION_num(extensions) > 0)
        X509_REQ_add_extensions(request, extensions);
    sk_X509_EXTENSION_pop_free(extensions, X509_EXTENSION_free);
    X509_REQ_sign(request, key, recipe->digest ? recipe->digest : EVP_sha256());
    unsigned char *der = NULL;
    int len = i2d_X509_REQ(request, &der);
    X509_REQ_free(request);
    if (len <= 0 || (size_t)len > size)
        return 0;
    memcpy(out, der, (size_t)len);
    OPENSSL_free(der);
    if (recipe->bad_signature)
        out[len - 1] ^= 1;
    return (size_t)len;
}

#endif

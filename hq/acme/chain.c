#include "hq/acme/chain.h"

#include <stdbool.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include "resolver/base/error.h"

struct certificates {
    X509 *list[NP_CHAIN_CERTIFICATES_MAX];
    size_t count;
};

static int parse(const char *pem, size_t len, struct certificates *out)
{
    BIO *bio = BIO_new_mem_buf(pem, (int)len);
    X509 *certificate;
    int rc = 0;
    if (!bio)
        return NP_E_MALFORMED;
    while ((certificate = PEM_read_bio_X509(bio, NULL, NULL, NULL))) {
        if (out->count == NP_CHAIN_CERTIFICATES_MAX) {
            X509_free(certificate);
            rc = NP_E_LIMIT;
            break;
        }
        out->list[out->count++] = certificate;
    }
    /* The end of the file is the one good reason to stop. */
    if (rc == 0 && (out->count == 0 || ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE))
        rc = NP_E_MALFORMED;
    ERR_clear_error();
    BIO_free(bio);
    return rc;
}

static int check_key(X509 *leaf, const uint8_t *csr, size_t csr_len)
{
    const uint8_t *p = csr;
    X509_REQ *request = d2i_X509_REQ(NULL, &p, (long)csr_len);
    EVP_PKEY *wanted = request ? X509_REQ_get0_pubkey(request) : NULL, *key = X509_get0_pubkey(leaf);
    bool good = wanted && key && EVP_PKEY_eq(wanted, key) == 1;
    X509_REQ_free(request);
    return good ? 0 : NP_E_KEY;
}

static bool is_wanted(const GENERAL_NAME *name, const char *const *names, size_t count)
{
    if (name->type != GEN_DNS)
        return false;
    const char *text = (const char *)ASN1_STRING_get0_data(name->d.dNSName);
    size_t len = (size_t)ASN1_STRING_length(name->d.dNSName);
    for (size_t i = 0; i < count; i++) {
        if (strlen(names[i]) == len && strncasecmp(names[i], text, len) == 0)
            return true;
    }
    return false;
}

/* As many names as wanted, each of them wanted, none twice (a CA does not repeat one, and neither does a CSR that
 * passed). */
static int check_names(X509 *leaf, const char *const *names, size_t count)
{
    GENERAL_NAMES *list = X509_get_ext_d2i(leaf, NID_subject_alt_name, NULL, NULL);
    bool good = list && (size_t)sk_GENERAL_NAME_num(list) == count;
    for (int i = 0; good && i < sk_GENERAL_NAME_num(list); i++) {
        good = is_wanted(sk_GENERAL_NAME_value(list, i), names, count);
        for (int k = 0; good && k < i; k++)
            good = GENERAL_NAME_cmp(sk_GENERAL_NAME_value(list, i), sk_GENERAL_NAME_value(list, k)) != 0;
    }
    GENERAL_NAMES_free(list);
    return good ? 0 : NP_E_NAME;
}

static int unix_time(const ASN1_TIME *when, int64_t *out_s)
{
    struct tm tm;
    if (ASN1_TIME_to_tm(when, &tm) != 1)
        return NP_E_DATE;
    *out_s = (int64_t)timegm(&tm);
    return 0;
}

static int check_links(const struct certificates *chain)
{
    for (size_t i = 0; i + 1 < chain->count; i++) {
        EVP_PKEY *key = X509_get0_pubkey(chain->list[i + 1]);
        if (!key || X509_check_issued(chain->list[i + 1], chain->list[i]) != X509_V_OK ||
            X509_verify(chain->list[i], key) != 1)
            return NP_E_CHAIN;
    }
    return 0;
}

int np_chain_check(const char *pem, size_t len, const uint8_t *csr, size_t csr_len, const char *const *names,
                   size_t name_count, int64_t now_s, struct np_chain_info *out_info)
{
    struct certificates chain = {.count = 0};
    struct np_chain_info info = {0};
    if (len > NP_CHAIN_MAX)
        return NP_E_LIMIT;
    int rc = parse(pem, len, &chain);
    if (rc == 0)
        rc = check_key(chain.list[0], csr, csr_len);
    if (rc == 0)
        rc = check_names(chain.list[0], names, name_count);
    if (rc == 0)
        rc = unix_time(X509_get0_notBefore(chain.list[0]), &info.not_before_s);
    if (rc == 0)
        rc = unix_time(X509_get0_notAfter(chain.list[0]), &info.not_after_s);
    if (rc == 0 && (info.not_after_s <= info.not_before_s || info.not_after_s <= now_s))
        rc = NP_E_DATE;
    if (rc == 0)
        rc = check_links(&chain);
    info.certificates = chain.count;
    for (size_t i = 0; i < chain.count; i++)
        X509_free(chain.list[i]);
    ERR_clear_error();
    if (rc == 0)
        *out_info = info;
    return rc;
}

/* The leaf of a chain, for X509_free; NULL where there is none. */
static X509 *read_leaf(const char *pem, size_t len)
{
    BIO *bio = len <= NP_CHAIN_MAX ? BIO_new_mem_buf(pem, (int)len) : NULL;
    X509 *leaf = bio ? PEM_read_bio_X509(bio, NULL, NULL, NULL) : NULL;
    BIO_free(bio);
    ERR_clear_error();
    return leaf;
}

int np_chain_leaf(const char *pem, size_t len, uint8_t *out_der, size_t size, size_t *out_len)
{
    X509 *leaf = read_leaf(pem, len);
    int needed = leaf ? i2d_X509(leaf, NULL) : 0, rc = NP_E_MALFORMED;
    if (needed > 0 && (size_t)needed > size)
        rc = NP_E_LIMIT;
    else if (needed > 0) {
        uint8_t *p = out_der;
        *out_len = (size_t)i2d_X509(leaf, &p);
        rc = 0;
    }
    X509_free(leaf);
    return rc;
}

bool np_chain_leads_to(const char *pem, size_t len, const char *root)
{
    struct certificates chain = {.count = 0};
    char name[256] = "";
    if (len <= NP_CHAIN_MAX && parse(pem, len, &chain) == 0)
        X509_NAME_get_text_by_NID(X509_get_issuer_name(chain.list[chain.count - 1]), NID_commonName, name, sizeof name);
    for (size_t i = 0; i < chain.count; i++)
        X509_free(chain.list[i]);
    ERR_clear_error();
    return name[0] && strcasecmp(name, root) == 0;
}

/* A serial number's DER content: positive numbers have a zero byte before a high bit. Returns its length or 0. */
static size_t serial_content(const ASN1_INTEGER *serial, uint8_t out[NP_CHAIN_SERIAL_MAX])
{
    const uint8_t *bytes = ASN1_STRING_get0_data(serial);
    size_t len = (size_t)ASN1_STRING_length(serial), zero = len > 0 && bytes[0] & 0x80;
    if (len == 0 || len + zero > NP_CHAIN_SERIAL_MAX || ASN1_STRING_type(serial) != V_ASN1_INTEGER)
        return 0;
    out[0] = 0;
    memcpy(out + zero, bytes, len);
    return len + zero;
}

int np_chain_ari_id(const char *pem, size_t len, char out_id[NP_CHAIN_ARI_ID_SIZE])
{
    uint8_t serial[NP_CHAIN_SERIAL_MAX];
    X509 *leaf = read_leaf(pem, len);
    const ASN1_OCTET_STRING *issuer = leaf ? X509_get0_authority_key_id(leaf) : NULL;
    size_t serial_len = leaf ? serial_content(X509_get0_serialNumber(leaf), serial) : 0;
    size_t issuer_len = issuer ? (size_t)ASN1_STRING_length(issuer) : 0;
    int rc = issuer_len == 0 || serial_len == 0 ? NP_E_MALFORMED : issuer_len > NP_CHAIN_KEY_ID_MAX ? NP_E_LIMIT : 0;
    if (rc == 0) {
        size_t n = np_base64url_encode(ASN1_STRING_get0_data(issuer), issuer_len, out_id);
        out_id[n++] = '.';
        np_base64url_encode(serial, serial_len, out_id + n);
    }
    X509_free(leaf);
    return rc;
}

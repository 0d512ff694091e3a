#include "hq/factorycert.h"

#include <errno.h>
#include <limits.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>

#include "hq/crypto.h"
#include "resolver/base/error.h"
#include "resolver/base/text.h"

#define SECURITY_LEVEL 2 /* RSA of 2048 bits, 112 bits of security in all: SHA-1 does not pass */

/* Each anchor has a store of its own: libcrypto goes by the issuer's name alone where certificates carry no key ids,
 * and would not try the second of two CAs of one name (a CA whose key was changed). */
struct np_factorycert {
    X509_STORE *anchors[NP_FACTORYCERT_ANCHORS_MAX];
    size_t anchor_count;
    bool dates;
};

/* ---- The anchors ---- */

static int add_anchor(struct np_factorycert *check, X509 *certificate)
{
    if (X509_check_ca(certificate) <= 0)
        return NP_E_MALFORMED;
    if (check->anchor_count == NP_FACTORYCERT_ANCHORS_MAX)
        return NP_E_LIMIT;
    X509_STORE *store = X509_STORE_new();
    if (!store || !X509_STORE_add_cert(store, certificate)) {
        X509_STORE_free(store);
        return -ENOMEM;
    }
    check->anchors[check->anchor_count++] = store;
    return 0;
}

static int add_anchors(struct np_factorycert *check, BIO *bio)
{
    X509 *certificate;
    while ((certificate = PEM_read_bio_X509(bio, NULL, NULL, NULL))) {
        int rc = add_anchor(check, certificate);
        X509_free(certificate);
        if (rc)
            return rc;
    }
    /* The end of the file is an error of its own kind; another one is a damaged object. */
    unsigned long why = ERR_peek_last_error();
    if (ERR_GET_LIB(why) != ERR_LIB_PEM || ERR_GET_REASON(why) != PEM_R_NO_START_LINE)
        return NP_E_MALFORMED;
    return check->anchor_count ? 0 : NP_E_NOT_FOUND;
}

int np_factorycert_new(const char *pem, size_t len, bool dates, struct np_factorycert **out_check)
{
    int rc = -ENOMEM;
    BIO *bio = NULL;
    struct np_factorycert *check = calloc(1, sizeof *check);
    if (!check)
        goto out;
    rc = NP_E_LIMIT;
    if (len > NP_FACTORYCERT_FILE_MAX)
        goto out;
    rc = -ENOMEM;
    check->dates = dates;
    bio = BIO_new_mem_buf(pem, (int)len);
    if (!bio)
        goto out;
    rc = add_anchors(check, bio);
out:
    BIO_free(bio);
    ERR_clear_error();
    if (rc)
        np_factorycert_free(check);
    else
        *out_check = check;
    return rc;
}

void np_factorycert_free(struct np_factorycert *check)
{
    if (!check)
        return;
    for (size_t i = 0; i < check->anchor_count; i++)
        X509_STORE_free(check->anchors[i]);
    free(check);
}

/* ---- A device's chain ---- */

static int bad(struct np_refusal *out_refusal, const char *why)
{
    return np_refuse(out_refusal, NP_REFUSE_BAD_CREDENTIAL, "the factory certificate is refused: %s", why);
}

/* The certificates of the credential: the leaf, and the others to build a path from. */
static int read_chain(const struct np_credential *credential, X509 **out_leaf, STACK_OF(X509) * others,
                      struct np_refusal *out_refusal)
{
    const unsigned char *at = credential->chain;
    for (size_t i = 0; i < credential->certificate_count; i++) {
        const unsigned char *end = at + credential->certificate_len[i];
        X509 *certificate = d2i_X509(NULL, &at, (long)credential->certificate_len[i]);
        if (!certificate || at != end) {
            X509_free(certificate);
            return bad(out_refusal, "one of the chain is no X.509 certificate in DER");
        }
        if (i == 0)
            *out_leaf = certificate;
        else if (!sk_X509_push(others, certificate))
            X509_free(certificate); /* out of memory: there is no path then */
    }
    return *out_leaf ? 0 : bad(out_refusal, "the chain is empty");
}

/* The path to one anchor: X509_V_OK or the error. */
static int path_error(X509_STORE *anchor, bool dates, X509 *leaf, STACK_OF(X509) * others, int64_t now_s)
{
    int error = X509_V_ERR_OUT_OF_MEM;
    X509_STORE_CTX *ctx = X509_STORE_CTX_new();
    if (!ctx || !X509_STORE_CTX_init(ctx, anchor, leaf, others))
        goto out;
    X509_VERIFY_PARAM *param = X509_STORE_CTX_get0_param(ctx);
    X509_VERIFY_PARAM_set_auth_level(param, SECURITY_LEVEL);
    X509_VERIFY_PARAM_set_depth(param, NP_CREDENTIAL_CERTS_MAX);
    X509_VERIFY_PARAM_set_flags(param, X509_V_FLAG_PARTIAL_CHAIN);
    if (dates)
        X509_VERIFY_PARAM_set_time(param, (time_t)now_s);
    else
        X509_VERIFY_PARAM_set_flags(param, X509_V_FLAG_NO_CHECK_TIME); /* a time that is set would count all the same */
    if (X509_verify_cert(ctx) == 1) {
        error = X509_V_OK;
    } else {
        error = X509_STORE_CTX_get_error(ctx);
        error = error == X509_V_OK ? X509_V_ERR_UNSPECIFIED : error;
    }
out:
    X509_STORE_CTX_free(ctx);
    return error;
}

static int check_path(const struct np_factorycert *check, X509 *leaf, STACK_OF(X509) * others, int64_t now_s,
                      struct np_refusal *out_refusal)
{
    int why = X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY;
    for (size_t i = 0; i < check->anchor_count; i++) {
        int error = path_error(check->anchors[i], check->dates, leaf, others, now_s);
        if (error == X509_V_OK)
            return 0;
        if (error != X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY)
            why = error; /* of the anchor that it leads to */
    }
    return bad(out_refusal, X509_verify_cert_error_string(why));
}

static int check_use(X509 *leaf, struct np_refusal *out_refusal)
{
    uint32_t extended = X509_get_extended_key_usage(leaf); /* UINT32_MAX: it has none */
    if (X509_check_ca(leaf))
        return bad(out_refusal, "its first certificate is a CA's, not a device's");
    if (!(X509_get_key_usage(leaf) & KU_DIGITAL_SIGNATURE))
        return bad(out_refusal, "its keyUsage does not have digitalSignature");
    if (!(extended & (XKU_SSL_CLIENT | XKU_ANYEKU)))
        return bad(out_refusal, "its extendedKeyUsage does not have clientAuth");
    return 0;
}

static int read_serial(const X509 *leaf, char out_serial[NP_SERIAL_MAX + 1], struct np_refusal *out_refusal)
{
    const X509_NAME *subject = X509_get_subject_name(leaf);
    char serial[NP_SERIAL_MAX + 1];
    int at = X509_NAME_get_index_by_NID(subject, NID_serialNumber, -1);
    if (at < 0 || X509_NAME_get_index_by_NID(subject, NID_serialNumber, at) >= 0)
        return bad(out_refusal, "its subject must have exactly one serialNumber");
    const ASN1_STRING *text = X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at));
    int len = ASN1_STRING_length(text);
    if (len <= 0 || len > NP_SERIAL_MAX)
        return bad(out_refusal, "its serialNumber must have 1 to 64 characters");
    memcpy(serial, ASN1_STRING_get0_data(text), (size_t)len);
    serial[len] = 0;
    if (strlen(serial) != (size_t)len || !np_is_token(serial, NP_SERIAL_MAX))
        return bad(out_refusal, "its serialNumber must be printable ASCII without blanks");
    memcpy(out_serial, serial, sizeof serial);
    return 0;
}

static int read_key(const X509 *leaf, struct np_public_key *out_key, struct np_refusal *out_refusal)
{
    const unsigned char *point;
    const void *parameters;
    int point_len, type;
    X509_ALGOR *algorithm;
    ASN1_OBJECT *oid;
    const ASN1_OBJECT *object;
    if (!X509_PUBKEY_get0_param(&oid, &point, &point_len, &algorithm, X509_get_X509_PUBKEY(leaf)))
        return bad(out_refusal, "it has no readable public key");
    X509_ALGOR_get0(&object, &type, &parameters, algorithm);
    if (OBJ_obj2nid(oid) != NID_X9_62_id_ecPublicKey || type != V_ASN1_OBJECT ||
        OBJ_obj2nid(parameters) != NID_X9_62_prime256v1 || point_len != 65 || point[0] != 4)
        return bad(out_refusal, "its key must be an EC key on P-256, the curve by name, the point uncompressed");
    memcpy(out_key->x, point + 1, 32);
    memcpy(out_key->y, point + 33, 32);
    return 0;
}

static int check_signature(const X509 *leaf, const struct np_credential *credential, const uint8_t *input, size_t len,
                           struct np_refusal *out_refusal)
{
    struct np_public_key key;
    struct np_crypto crypto;
    uint8_t hash[32];
    int rc = read_key(leaf, &key, out_refusal);
    if (rc)
        return rc;
    np_hq_crypto(&crypto);
    np_hq_sha256(input, len, hash);
    if (crypto.verify(&key, hash, credential->signature))
        return bad(out_refusal, "the signature over this request does not verify with its key");
    return 0;
}

int np_factorycert_check(const struct np_factorycert *check, struct np_credential *credential, const uint8_t *input,
                         size_t len, int64_t now_s, struct np_refusal *out_refusal)
{
    X509 *leaf = NULL;
    STACK_OF(X509) *others = sk_X509_new_null();
    int rc = others ? read_chain(credential, &leaf, others, out_refusal) : bad(out_refusal, "out of memory");
    if (rc == 0)
        rc = check_path(check, leaf, others, now_s, out_refusal);
    if (rc == 0)
        rc = check_use(leaf, out_refusal);
    if (rc == 0)
        rc = check_signature(leaf, credential, input, len, out_refusal);
    if (rc == 0)
        rc = read_serial(leaf, credential->serial, out_refusal);
    sk_X509_pop_free(others, X509_free);
    X509_free(leaf);
    ERR_clear_error();
    return rc;
}

#include "hq/csr.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdbool.h>
#include <string.h>
#include <strings.h>

#include "resolver/base/error.h"

static int bad(struct np_refusal *out_refusal, const char *why)
{
    return np_refuse(out_refusal, NP_REFUSE_BAD_CSR, "the CSR is refused: %s", why);
}

/* The point of the request's key. The encoding is looked at, not only the meaning: CAs refuse explicit curve parameters
 * and compressed points that libcrypto would take. */
static int read_key(X509_REQ *request, struct np_public_key *out_key, struct np_refusal *out_refusal)
{
    const unsigned char *point;
    const void *parameters;
    int point_len, type;
    X509_ALGOR *algorithm;
    ASN1_OBJECT *oid;
    const ASN1_OBJECT *object;
    X509_PUBKEY *spki = X509_REQ_get_X509_PUBKEY(request);
    if (!spki || !X509_PUBKEY_get0_param(&oid, &point, &point_len, &algorithm, spki))
        return bad(out_refusal, "it has no readable public key");
    X509_ALGOR_get0(&object, &type, &parameters, algorithm);
    if (OBJ_obj2nid(oid) != NID_X9_62_id_ecPublicKey || type != V_ASN1_OBJECT ||
        OBJ_obj2nid(parameters) != NID_X9_62_prime256v1)
        return bad(out_refusal, "its key must be an EC key on P-256, the curve given by name");
    if (point_len != 65 || point[0] != 4)
        return bad(out_refusal, "its public key must be an uncompressed point");
    memcpy(out_key->x, point + 1, 32);
    memcpy(out_key->y, point + 33, 32);
    return 0;
}

static int check_signature(X509_REQ *request, struct np_refusal *out_refusal)
{
    EVP_PKEY *pkey = X509_REQ_get0_pubkey(request); /* decodes the point: off the curve there is none */
    if (!pkey)
        return bad(out_refusal, "its public key is no point on P-256");
    if (X509_REQ_get_signature_nid(request) != NID_ecdsa_with_SHA256)
        return bad(out_refusal, "it must be signed with ECDSA and SHA-256");
    if (X509_REQ_verify(request, pkey) != 1)
        return bad(out_refusal, "its signature does not verify with its own key");
    return 0;
}

/* Index of the name, or -1. */
static int find_name(const struct np_csr_expect *expect, const ASN1_STRING *text)
{
    const char *data = (const char *)ASN1_STRING_get0_data(text);
    int len = ASN1_STRING_length(text);
    for (size_t i = 0; i < expect->name_count; i++) {
        if (len > 0 && strlen(expect->names[i]) == (size_t)len && strncasecmp(expect->names[i], data, (size_t)len) == 0)
            return (int)i;
    }
    return -1;
}

static int check_subject(X509_REQ *request, const struct np_csr_expect *expect, struct np_refusal *out_refusal)
{
    const X509_NAME *subject = X509_REQ_get_subject_name(request);
    int count = X509_NAME_entry_count(subject);
    if (count == 0)
        return 0;
    const X509_NAME_ENTRY *entry = X509_NAME_get_entry(subject, 0);
    if (count > 1 || OBJ_obj2nid(X509_NAME_ENTRY_get_object(entry)) != NID_commonName)
        return bad(out_refusal, "its subject may hold a CN and nothing else");
    if (find_name(expect, X509_NAME_ENTRY_get_data(entry)) < 0)
        return bad(out_refusal, "its CN is not the device's name");
    return 0;
}

static int check_names(const GENERAL_NAMES *names, const struct np_csr_expect *expect, struct np_refusal *out_refusal)
{
    bool seen[NP_SAN_MAX] = {false};
    if (sk_GENERAL_NAME_num(names) != (int)expect->name_count)
        return bad(out_refusal, "its subjectAltName must hold exactly the device's names");
    for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
        int index = name->type == GEN_DNS ? find_name(expect, name->d.dNSName) : -1;
        if (index < 0 || seen[index])
            return bad(out_refusal, "its subjectAltName holds something else than the device's names");
        seen[index] = true;
    }
    return 0;
}

static int check_extensions(X509_REQ *request, const struct np_csr_expect *expect, struct np_refusal *out_refusal)
{
    int rc = 0, found = 0;
    STACK_OF(X509_EXTENSION) *extensions = X509_REQ_get_extensions(request);
    for (int i = 0; rc == 0 && i < sk_X509_EXTENSION_num(extensions); i++) {
        X509_EXTENSION *extension = sk_X509_EXTENSION_value(extensions, i);
        int nid = OBJ_obj2nid(X509_EXTENSION_get_object(extension));
        if (nid == NID_subject_alt_name) {
            GENERAL_NAMES *names = X509V3_EXT_d2i(extension);
            if (!names)
                rc = bad(out_refusal, "its subjectAltName cannot be read");
            else if (found++)
                rc = bad(out_refusal, "it has more than one subjectAltName");
            else
                rc = check_names(names, expect, out_refusal);
            GENERAL_NAMES_free(names);
        } else if (nid != NID_key_usage && nid != NID_ext_key_usage) {
            rc = bad(out_refusal, "it asks for an extension other than subjectAltName");
        }
    }
    sk_X509_EXTENSION_pop_free(extensions, X509_EXTENSION_free);
    if (rc == 0 && !found)
        rc = bad(out_refusal, "it has no subjectAltName");
    return rc;
}

int np_csr_check(const uint8_t *der, size_t len, const struct np_csr_expect *expect, struct np_public_key *out_key,
                 struct np_refusal *out_refusal)
{
    struct np_public_key key;
    const unsigned char *at = der;
    if (len == 0 || len > NP_CSR_MAX)
        return bad(out_refusal, "it is empty or longer than 1024 bytes");
    X509_REQ *request = d2i_X509_REQ(NULL, &at, (long)len);
    int rc = 0;
    if (!request || at != der + len)
        rc = bad(out_refusal, request ? "there are bytes behind it" : "it is no PKCS#10 request in DER");
    if (rc == 0)
        rc = read_key(request, &key, out_refusal);
    if (rc == 0)
        rc = check_signature(request, out_refusal);
    if (rc == 0)
        rc = check_subject(request, expect, out_refusal);
    if (rc == 0)
        rc = check_extensions(request, expect, out_refusal);
    /* By x alone: the point with the other y belongs to the negated private key, which is as good as the same. */
    if (rc == 0 && memcmp(key.x, expect->identity.x, 32) == 0)
        rc = np_refuse(out_refusal, NP_REFUSE_KEY_REUSED,
                       "the TLS key is the device's identity key; make a separate key for TLS");
    X509_REQ_free(request);
    ERR_clear_error();
    if (rc == 0)
        *out_key = key;
    return rc;
}

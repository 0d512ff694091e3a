#include "agent/identity/csr.h"

#include <bearssl.h>
#include <string.h>

#include "agent/identity/der.h"
#include "resolver/base/error.h"
#include "resolver/base/text.h"

static const uint8_t OID_EC_PUBLIC_KEY[] = {0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01};
static const uint8_t OID_P256[] = {0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07};
static const uint8_t OID_ECDSA_SHA256[] = {0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02};
static const uint8_t OID_EXTENSION_REQUEST[] = {0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x0e};
static const uint8_t OID_SUBJECT_ALT_NAME[] = {0x55, 0x1d, 0x11};

static void write_public_key(struct np_writer *w, const struct np_public_key *key)
{
    uint8_t point[65];
    size_t info = np_der_begin(w, NP_DER_SEQUENCE), part = np_der_begin(w, NP_DER_SEQUENCE);
    np_der_write(w, NP_DER_OID, OID_EC_PUBLIC_KEY, sizeof OID_EC_PUBLIC_KEY);
    np_der_write(w, NP_DER_OID, OID_P256, sizeof OID_P256);
    np_der_finish(w, part);
    np_public_key_encode(key, point);
    part = np_der_begin(w, NP_DER_BITS);
    np_write_u8(w, 0);
    np_write_bytes(w, point, sizeof point);
    np_der_finish(w, part);
    np_der_finish(w, info);
}

/* The attributes: one extensionRequest with the SAN extension. */
static void write_names(struct np_writer *w, const char *const *names, size_t count)
{
    static const uint8_t yes[] = {0xff};
    size_t attributes = np_der_begin(w, NP_DER_CONTEXT(0)), attribute = np_der_begin(w, NP_DER_SEQUENCE);
    np_der_write(w, NP_DER_OID, OID_EXTENSION_REQUEST, sizeof OID_EXTENSION_REQUEST);
    size_t set = np_der_begin(w, NP_DER_SET), extensions = np_der_begin(w, NP_DER_SEQUENCE);
    size_t extension = np_der_begin(w, NP_DER_SEQUENCE);
    np_der_write(w, NP_DER_OID, OID_SUBJECT_ALT_NAME, sizeof OID_SUBJECT_ALT_NAME);
    np_der_write(w, NP_DER_BOOLEAN, yes, sizeof yes);
    size_t value = np_der_begin(w, NP_DER_OCTETS), general_names = np_der_begin(w, NP_DER_SEQUENCE);
    for (size_t i = 0; i < count; i++)
        np_der_write(w, 0x82 /* [2] dNSName */, names[i], strlen(names[i]));
    np_der_finish(w, general_names);
    np_der_finish(w, value);
    np_der_finish(w, extension);
    np_der_finish(w, extensions);
    np_der_finish(w, set);
    np_der_finish(w, attribute);
    np_der_finish(w, attributes);
}

static int write_signature(struct np_writer *w, const struct np_private_key *key, const uint8_t *info, size_t len)
{
    uint8_t hash[32], signature[80]; /* r||s grows by at most 9 bytes as DER */
    np_sha256(info, len, hash);
    int rc = np_key_sign(key, hash, signature);
    if (rc)
        return rc;
    size_t signature_len = br_ecdsa_raw_to_asn1(signature, 64), part = np_der_begin(w, NP_DER_SEQUENCE);
    np_der_write(w, NP_DER_OID, OID_ECDSA_SHA256, sizeof OID_ECDSA_SHA256);
    np_der_finish(w, part);
    part = np_der_begin(w, NP_DER_BITS);
    np_write_u8(w, 0);
    np_write_bytes(w, signature, signature_len);
    np_der_finish(w, part);
    return w->error;
}

int np_csr_build(const struct np_private_key *key, const char *const *names, size_t count, uint8_t *out, size_t size,
                 size_t *out_len)
{
    static const uint8_t version[] = {0};
    if (count == 0 || count > NP_CSR_NAMES_MAX)
        return count ? NP_E_LIMIT : NP_E_NAME;
    for (size_t i = 0; i < count; i++) {
        if (!np_is_hostname(strncmp(names[i], "*.", 2) == 0 ? names[i] + 2 : names[i]))
            return NP_E_NAME;
    }
    struct np_writer w = np_writer_make(out, size);
    size_t request = np_der_begin(&w, NP_DER_SEQUENCE), info_at = w.pos, info = np_der_begin(&w, NP_DER_SEQUENCE);
    np_der_write(&w, NP_DER_INTEGER, version, sizeof version);
    np_der_write(&w, NP_DER_SEQUENCE, NULL, 0); /* the subject: nobody */
    write_public_key(&w, &key->public);
    write_names(&w, names, count);
    np_der_finish(&w, info);
    if (w.error)
        return w.error;
    int rc = write_signature(&w, key, out + info_at, w.pos - info_at);
    if (rc)
        return rc;
    np_der_finish(&w, request);
    if (w.error)
        return w.error;
    *out_len = w.pos;
    return 0;
}

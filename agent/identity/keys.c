#include "agent/identity/keys.h"

#include <bearssl.h>
#include <stdlib.h>
#include <string.h>

#include "agent/identity/der.h"
#include "resolver/base/error.h"
#include "resolver/base/text.h"

static const uint8_t OID_EC_PUBLIC_KEY[] = {0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01};
static const uint8_t OID_P256[] = {0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07};
static const uint8_t VERSION_0[] = {0}, VERSION_1[] = {1};

/* The order of P-256 (FIPS 186-4 D.1.2.3). */
static const uint8_t ORDER[32] = {0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff, 0xff,
                                  0xff, 0xff, 0xff, 0xff, 0xff, 0xbc, 0xe6, 0xfa, 0xad, 0xa7, 0x17,
                                  0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51};

static int fill_public(struct np_private_key *key)
{
    uint8_t buffer[BR_EC_KBUF_PUB_MAX_SIZE];
    br_ec_private_key private = {BR_EC_secp256r1, key->scalar, NP_KEY_SCALAR_LEN};
    br_ec_public_key public;
    if (br_ec_compute_pub(br_ec_get_default(), &public, buffer, &private) == 0)
        return NP_E_KEY;
    return np_public_key_decode(public.q, public.qlen, &key->public);
}

int np_key_generate(struct np_entropy *entropy, struct np_private_key *out_key)
{
    uint8_t buffer[BR_EC_KBUF_PRIV_MAX_SIZE];
    struct np_private_key key;
    br_ec_private_key private;
    size_t len = br_ec_keygen(np_entropy_prng(entropy), br_ec_get_default(), &private, buffer, BR_EC_secp256r1);
    if (len != NP_KEY_SCALAR_LEN)
        return NP_E_KEY;
    memcpy(key.scalar, private.x, NP_KEY_SCALAR_LEN);
    np_wipe(buffer, sizeof buffer);
    int rc = fill_public(&key);
    if (rc == 0)
        *out_key = key;
    np_wipe(&key, sizeof key);
    return rc;
}

int np_key_from_scalar(const uint8_t scalar[NP_KEY_SCALAR_LEN], struct np_private_key *out_key)
{
    struct np_private_key key;
    uint8_t any = 0;
    for (size_t i = 0; i < NP_KEY_SCALAR_LEN; i++)
        any |= scalar[i];
    if (!any || memcmp(scalar, ORDER, sizeof ORDER) >= 0)
        return NP_E_KEY;
    memcpy(key.scalar, scalar, NP_KEY_SCALAR_LEN);
    int rc = fill_public(&key);
    if (rc == 0)
        *out_key = key;
    np_wipe(&key, sizeof key);
    return rc;
}

/* RFC 5915 ECPrivateKey. parameters_known: PKCS#8 named the curve already. */
static int parse_sec1(struct np_reader *r, bool parameters_known, struct np_private_key *out_key)
{
    struct np_private_key key;
    uint8_t scalar[NP_KEY_SCALAR_LEN];
    struct np_reader sequence = np_der_read(r, NP_DER_SEQUENCE), part, inner;
    np_der_end_of(r);
    part = np_der_read(&sequence, NP_DER_INTEGER);
    bool good = np_der_is(&part, VERSION_1, sizeof VERSION_1);
    part = np_der_read(&sequence, NP_DER_OCTETS);
    good = good && np_reader_left(&part) == sizeof scalar;
    np_read_copy(&part, scalar, sizeof scalar);
    if (np_der_read_optional(&sequence, NP_DER_CONTEXT(0), &part)) {
        inner = np_der_read(&part, NP_DER_OID);
        np_der_end_of(&part);
        good = good && !part.error && np_der_is(&inner, OID_P256, sizeof OID_P256);
    } else if (!parameters_known) {
        good = false;
    }
    bool has_public = np_der_read_optional(&sequence, NP_DER_CONTEXT(1), &part);
    struct np_public_key public = {0};
    if (has_public) {
        inner = np_der_read(&part, NP_DER_BITS);
        np_der_end_of(&part);
        good = good && np_read_u8(&inner) == 0 && !part.error && np_reader_left(&inner) == 65;
        const uint8_t *point = np_read_bytes(&inner, 65);
        good = good && point && np_public_key_decode(point, 65, &public) == 0;
    }
    np_der_end_of(&sequence);
    int rc = !good || r->error || sequence.error ? NP_E_MALFORMED : np_key_from_scalar(scalar, &key);
    np_wipe(scalar, sizeof scalar);
    if (rc)
        return rc;
    if (has_public && memcmp(&public, &key.public, sizeof public) != 0)
        rc = NP_E_KEY;
    else
        *out_key = key;
    np_wipe(&key, sizeof key);
    return rc;
}

/* RFC 5958 OneAsymmetricKey; version 1's attributes and public key are not written by any tool we know for EC. */
static int parse_pkcs8(struct np_reader *r, struct np_private_key *out_key)
{
    struct np_reader sequence = np_der_read(r, NP_DER_SEQUENCE), version, algorithm, oid, curve, key;
    np_der_end_of(r);
    version = np_der_read(&sequence, NP_DER_INTEGER);
    algorithm = np_der_read(&sequence, NP_DER_SEQUENCE);
    oid = np_der_read(&algorithm, NP_DER_OID);
    curve = np_der_read(&algorithm, NP_DER_OID);
    np_der_end_of(&algorithm);
    key = np_der_read(&sequence, NP_DER_OCTETS);
    np_der_end_of(&sequence);
    if (r->error || sequence.error || algorithm.error || !np_der_is(&version, VERSION_0, sizeof VERSION_0) ||
        !np_der_is(&oid, OID_EC_PUBLIC_KEY, sizeof OID_EC_PUBLIC_KEY) || !np_der_is(&curve, OID_P256, sizeof OID_P256))
        return NP_E_MALFORMED;
    return parse_sec1(&key, true, out_key);
}

int np_key_parse(const void *der, size_t len, struct np_private_key *out_key)
{
    if (len > NP_KEY_DER_MAX)
        return NP_E_MALFORMED;
    struct np_reader r = np_reader_make(der, len), probe = r;
    /* Both forms begin SEQUENCE, INTEGER; then an OCTET STRING (SEC1) or a SEQUENCE (PKCS#8). */
    struct np_reader sequence = np_der_read(&probe, NP_DER_SEQUENCE);
    np_der_skip(&sequence);
    return np_der_peek(&sequence) == NP_DER_SEQUENCE ? parse_pkcs8(&r, out_key) : parse_sec1(&r, false, out_key);
}

static void write_sec1(struct np_writer *w, const struct np_private_key *key, bool parameters)
{
    uint8_t point[65];
    size_t sequence = np_der_begin(w, NP_DER_SEQUENCE), part, inner;
    np_der_write(w, NP_DER_INTEGER, VERSION_1, sizeof VERSION_1);
    np_der_write(w, NP_DER_OCTETS, key->scalar, NP_KEY_SCALAR_LEN);
    if (parameters) {
        part = np_der_begin(w, NP_DER_CONTEXT(0));
        np_der_write(w, NP_DER_OID, OID_P256, sizeof OID_P256);
        np_der_finish(w, part);
    }
    np_public_key_encode(&key->public, point);
    part = np_der_begin(w, NP_DER_CONTEXT(1));
    inner = np_der_begin(w, NP_DER_BITS);
    np_write_u8(w, 0);
    np_write_bytes(w, point, sizeof point);
    np_der_finish(w, inner);
    np_der_finish(w, part);
    np_der_finish(w, sequence);
}

void np_key_encode_sec1(const struct np_private_key *key, uint8_t out_der[NP_KEY_SEC1_LEN])
{
    struct np_writer w = np_writer_make(out_der, NP_KEY_SEC1_LEN);
    write_sec1(&w, key, true);
    if (w.error || w.pos != NP_KEY_SEC1_LEN)
        abort(); /* a fixed layout */
}

void np_key_encode_pkcs8(const struct np_private_key *key, uint8_t out_der[NP_KEY_PKCS8_LEN])
{
    struct np_writer w = np_writer_make(out_der, NP_KEY_PKCS8_LEN);
    size_t sequence = np_der_begin(&w, NP_DER_SEQUENCE), part;
    np_der_write(&w, NP_DER_INTEGER, VERSION_0, sizeof VERSION_0);
    part = np_der_begin(&w, NP_DER_SEQUENCE);
    np_der_write(&w, NP_DER_OID, OID_EC_PUBLIC_KEY, sizeof OID_EC_PUBLIC_KEY);
    np_der_write(&w, NP_DER_OID, OID_P256, sizeof OID_P256);
    np_der_finish(&w, part);
    part = np_der_begin(&w, NP_DER_OCTETS);
    write_sec1(&w, key, false);
    np_der_finish(&w, part);
    np_der_finish(&w, sequence);
    if (w.error || w.pos != NP_KEY_PKCS8_LEN)
        abort(); /* a fixed layout */
}

void np_public_key_encode(const struct np_public_key *key, uint8_t out_point[65])
{
    out_point[0] = 0x04;
    memcpy(out_point + 1, key->x, 32);
    memcpy(out_point + 33, key->y, 32);
}

int np_public_key_decode(const uint8_t *point, size_t len, struct np_public_key *out_key)
{
    if (len != 65 || point[0] != 0x04)
        return NP_E_KEY;
    memcpy(out_key->x, point + 1, 32);
    memcpy(out_key->y, point + 33, 32);
    return 0;
}

int np_public_key_parse(const void *der, size_t len, struct np_public_key *out_key)
{
    /* SEQUENCE { SEQUENCE { id-ecPublicKey, prime256v1 }, BIT STRING without unused bits } */
    static const uint8_t head[] = {0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01,
                                   0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00};
    if (len != sizeof head + 65 || memcmp(der, head, sizeof head) != 0)
        return NP_E_MALFORMED;
    return np_public_key_decode((const uint8_t *)der + sizeof head, 65, out_key) ? NP_E_MALFORMED : 0;
}

int np_key_sign(const struct np_private_key *key, const uint8_t hash[32], uint8_t out_signature[64])
{
    uint8_t scalar[NP_KEY_SCALAR_LEN];
    memcpy(scalar, key->scalar, sizeof scalar); /* br_ec_private_key has no const */
    br_ec_private_key private = {BR_EC_secp256r1, scalar, sizeof scalar};
    size_t len = br_ecdsa_sign_raw_get_default()(br_ec_get_default(), &br_sha256_vtable, hash, &private, out_signature);
    np_wipe(scalar, sizeof scalar);
    return len == 64 ? 0 : NP_E_KEY;
}

int np_key_verify(const struct np_public_key *key, const uint8_t hash[32], const uint8_t signature[64])
{
    uint8_t point[65], product[65];
    static const uint8_t one[] = {1};
    const br_ec_impl *ec = br_ec_get_default();
    np_public_key_encode(key, point);
    /* Multiplying by one tells a point that is off the curve from a wrong signature. */
    memcpy(product, point, sizeof product);
    if (!ec->mul(product, sizeof product, one, sizeof one, BR_EC_secp256r1))
        return NP_E_KEY;
    br_ec_public_key public = {BR_EC_secp256r1, point, sizeof point};
    return br_ecdsa_vrfy_raw_get_default()(ec, hash, 32, &public, signature, 64) ? 0 : NP_E_SIGNATURE;
}

void np_sha256(const void *data, size_t len, uint8_t out_hash[32])
{
    br_sha256_context context;
    br_sha256_init(&context);
    br_sha256_update(&context, data, len);
    br_sha256_out(&context, out_hash);
}

void np_hmac_sha256(const void *key, size_t key_len, const void *data, size_t len, uint8_t out_mac[32])
{
    br_hmac_key_context key_context;
    br_hmac_context context;
    br_hmac_key_init(&key_context, &br_sha256_vtable, key, key_len);
    br_hmac_init(&context, &key_context, 32);
    br_hmac_update(&context, data, len);
    br_hmac_out(&context, out_mac);
    np_wipe(&key_context, sizeof key_context);
    np_wipe(&context, sizeof context);
}

static int sign(void *ctx, const uint8_t hash[32], uint8_t out_signature[64])
{
    return np_key_sign(ctx, hash, out_signature);
}

void np_crypto_init(struct np_crypto *crypto, const struct np_private_key *key)
{
    *crypto = (struct np_crypto){
        .ctx = (void *)(uintptr_t)key, .sha256 = np_sha256, .sign = key ? sign : NULL, .verify = np_key_verify};
}

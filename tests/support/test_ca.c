#include "tests/support/test_ca.h"

#include <bearssl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "agent/certificate/pem.h"
#include "agent/identity/der.h"

static const uint8_t OID_ECDSA_SHA256[] = {0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02};
static const uint8_t OID_EC_PUBLIC_KEY[] = {0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01};
static const uint8_t OID_P256[] = {0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07};
static const uint8_t OID_COMMON_NAME[] = {0x55, 0x04, 0x03};
static const uint8_t OID_SAN[] = {0x55, 0x1d, 0x11}, OID_BASIC_CONSTRAINTS[] = {0x55, 0x1d, 0x13};
static const uint8_t YES[] = {0xff}, VERSION_3[] = {2}, SERIAL[] = {0x2a};

struct np_private_key test_ca_key(uint8_t number)
{
    struct np_entropy entropy;
    struct np_private_key key;
    np_entropy_init_seed(&entropy, &number, 1);
    assert_int_equal(np_key_generate(&entropy, &key), 0);
    return key;
}

static void write_algorithm(struct np_writer *w)
{
    size_t part = np_der_begin(w, NP_DER_SEQUENCE);
    np_der_write(w, NP_DER_OID, OID_ECDSA_SHA256, sizeof OID_ECDSA_SHA256);
    np_der_finish(w, part);
}

static void write_name(struct np_writer *w, const char *name)
{
    size_t sequence = np_der_begin(w, NP_DER_SEQUENCE);
    if (name[0]) {
        size_t set = np_der_begin(w, NP_DER_SET), attribute = np_der_begin(w, NP_DER_SEQUENCE);
        np_der_write(w, NP_DER_OID, OID_COMMON_NAME, sizeof OID_COMMON_NAME);
        np_der_write(w, 0x0c, name, strlen(name));
        np_der_finish(w, attribute);
        np_der_finish(w, set);
    }
    np_der_finish(w, sequence);
}

static void write_time(struct np_writer *w, int64_t at_s)
{
    time_t at = (time_t)at_s;
    struct tm tm;
    char text[32];
    gmtime_r(&at, &tm);
    strftime(text, sizeof text, "%Y%m%d%H%M%SZ", &tm);
    if (tm.tm_year < 150) /* RFC 5280 section 4.1.2.5: UTCTime through 2049, without the century */
        np_der_write(w, NP_DER_UTC_TIME, text + 2, strlen(text) - 2);
    else
        np_der_write(w, NP_DER_GENERALIZED, text, strlen(text));
}

static void write_key(struct np_writer *w, const struct np_public_key *key)
{
    uint8_t point[66] = {0};
    size_t info = np_der_begin(w, NP_DER_SEQUENCE), part = np_der_begin(w, NP_DER_SEQUENCE);
    np_der_write(w, NP_DER_OID, OID_EC_PUBLIC_KEY, sizeof OID_EC_PUBLIC_KEY);
    np_der_write(w, NP_DER_OID, OID_P256, sizeof OID_P256);
    np_der_finish(w, part);
    np_public_key_encode(key, point + 1);
    np_der_write(w, NP_DER_BITS, point, sizeof point);
    np_der_finish(w, info);
}

static size_t begin_extension(struct np_writer *w, const uint8_t *oid, size_t len, size_t *extension)
{
    *extension = np_der_begin(w, NP_DER_SEQUENCE);
    np_der_write(w, NP_DER_OID, oid, len);
    np_der_write(w, NP_DER_BOOLEAN, YES, sizeof YES);
    return np_der_begin(w, NP_DER_OCTETS);
}

static void write_extensions(struct np_writer *w, const struct test_certificate *c)
{
    size_t explicit = np_der_begin(w, NP_DER_CONTEXT(3)), list = np_der_begin(w, NP_DER_SEQUENCE), extension, value;
    if (c->ca) {
        value = begin_extension(w, OID_BASIC_CONSTRAINTS, sizeof OID_BASIC_CONSTRAINTS, &extension);
        size_t sequence = np_der_begin(w, NP_DER_SEQUENCE);
        np_der_write(w, NP_DER_BOOLEAN, YES, sizeof YES);
        np_der_finish(w, sequence);
        np_der_finish(w, value);
        np_der_finish(w, extension);
    }
    if (c->san_count) {
        value = begin_extension(w, OID_SAN, sizeof OID_SAN, &extension);
        size_t sequence = np_der_begin(w, NP_DER_SEQUENCE);
        for (size_t i = 0; i < c->san_count; i++)
            np_der_write(w, 0x82, c->sans[i], strlen(c->sans[i]));
        np_der_finish(w, sequence);
        np_der_finish(w, value);
        np_der_finish(w, extension);
    }
    np_der_finish(w, list);
    np_der_finish(w, explicit);
}

size_t test_ca_der(const struct test_certificate *c, uint8_t *out, size_t size)
{
    uint8_t hash[32], signature[80] = {0};
    struct np_writer w = np_writer_make(out, size);
    size_t certificate = np_der_begin(&w, NP_DER_SEQUENCE), at = w.pos, tbs = np_der_begin(&w, NP_DER_SEQUENCE);
    size_t part = np_der_begin(&w, NP_DER_CONTEXT(0));
    np_der_write(&w, NP_DER_INTEGER, VERSION_3, sizeof VERSION_3);
    np_der_finish(&w, part);
    np_der_write(&w, NP_DER_INTEGER, SERIAL, sizeof SERIAL);
    write_algorithm(&w);
    write_name(&w, c->issuer);
    part = np_der_begin(&w, NP_DER_SEQUENCE);
    write_time(&w, c->not_before_s);
    write_time(&w, c->not_after_s);
    np_der_finish(&w, part);
    write_name(&w, c->subject);
    write_key(&w, c->key);
    write_extensions(&w, c);
    np_der_finish(&w, tbs);
    np_sha256(out + at, w.pos - at, hash);
    assert_int_equal(np_key_sign(c->signer, hash, signature + 1), 0);
    write_algorithm(&w);
    size_t len = br_ecdsa_raw_to_asn1(signature + 1, 64);
    np_der_write(&w, NP_DER_BITS, signature, len + 1);
    np_der_finish(&w, certificate);
    assert_int_equal(w.error, 0);
    return w.pos;
}

void test_ca_pem(const struct test_certificate *certificate, char *text, size_t size)
{
    uint8_t der[2048];
    size_t pos = strlen(text), len = test_ca_der(certificate, der, sizeof der);
    assert_int_equal(np_pem_append("CERTIFICATE", der, len, text, size, &pos), 0);
}

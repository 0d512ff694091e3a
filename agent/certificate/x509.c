#include "agent/certificate/x509.h"

#include <string.h>

#include "agent/identity/der.h"
#include "agent/identity/keys.h"
#include "resolver/base/error.h"
#include "resolver/base/text.h"

static const uint8_t OID_COMMON_NAME[] = {0x55, 0x04, 0x03};
static const uint8_t OID_ORGANISATION[] = {0x55, 0x04, 0x0a};
static const uint8_t OID_SUBJECT_ALT_NAME[] = {0x55, 0x1d, 0x11};
static const uint8_t OID_EC_PUBLIC_KEY[] = {0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01};
static const uint8_t OID_P256[] = {0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07};

static unsigned read_digits(struct np_reader *r, unsigned count)
{
    unsigned value = 0;
    for (unsigned i = 0; i < count; i++) {
        uint8_t c = np_read_u8(r);
        if (c < '0' || c > '9')
            np_reader_fail(r, NP_E_MALFORMED);
        value = value * 10 + (c & 15u);
    }
    return value;
}

/* Days from 1970-01-01 in the proleptic Gregorian calendar, years counted from March so that leap days come last. */
static int64_t days_from_civil(int64_t year, unsigned month, unsigned day)
{
    year -= month <= 2;
    int64_t era = year / 400;
    unsigned year_of_era = (unsigned)(year - era * 400);
    unsigned day_of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
    return era * 146097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719468;
}

/* RFC 5280 section 4.1.2.5: UTCTime YYMMDDHHMMSSZ (1950 to 2049) or GeneralizedTime YYYYMMDDHHMMSSZ. */
static int64_t read_time(struct np_reader *r)
{
    struct np_reader t;
    unsigned year;
    if (np_der_read_optional(r, NP_DER_UTC_TIME, &t)) {
        year = read_digits(&t, 2);
        year += year < 50 ? 2000 : 1900;
    } else {
        t = np_der_read(r, NP_DER_GENERALIZED);
        year = read_digits(&t, 4);
    }
    unsigned month = read_digits(&t, 2), day = read_digits(&t, 2);
    unsigned hour = read_digits(&t, 2), minute = read_digits(&t, 2), second = read_digits(&t, 2);
    if (np_read_u8(&t) != 'Z' || month < 1 || month > 12 || day < 1 || day > 31 || hour > 23 || minute > 59 ||
        second > 59)
        np_reader_fail(&t, NP_E_MALFORMED);
    np_der_end_of(&t);
    if (t.error) {
        np_reader_fail(r, t.error);
        return 0;
    }
    return ((days_from_civil(year, month, day) * 24 + hour) * 60 + minute) * 60 + second;
}

/* The value of the attribute in a Name (RFC 5280 section 4.1.2.4), whatever its string type. */
static void find_attribute(struct np_reader name, const uint8_t *oid, size_t oid_len, char *out, size_t size)
{
    while (np_reader_left(&name) > 0) {
        struct np_reader set = np_der_read(&name, NP_DER_SET), attribute = np_der_read(&set, NP_DER_SEQUENCE);
        struct np_reader type = np_der_read(&attribute, NP_DER_OID),
                         value = np_der_read(&attribute, np_der_peek(&attribute));
        char text[NP_X509_TEXT_MAX + 1];
        size_t len = np_reader_left(&value);
        if (name.error || attribute.error)
            return;
        if (!np_der_is(&type, oid, oid_len))
            continue;
        len = len < sizeof text ? len : sizeof text - 1;
        np_read_copy(&value, text, len);
        text[len] = 0;
        np_text_sanitize(text, out, size);
        return;
    }
}

static void read_key(struct np_reader *info, struct np_x509 *x509)
{
    struct np_reader algorithm = np_der_read(info, NP_DER_SEQUENCE), oid = np_der_read(&algorithm, NP_DER_OID), curve;
    struct np_reader bits = np_der_read(info, NP_DER_BITS);
    np_der_end_of(info);
    if (info->error || !np_der_is(&oid, OID_EC_PUBLIC_KEY, sizeof OID_EC_PUBLIC_KEY))
        return;
    curve = np_der_read(&algorithm, NP_DER_OID);
    if (algorithm.error || !np_der_is(&curve, OID_P256, sizeof OID_P256) || np_read_u8(&bits) != 0)
        return;
    size_t len = np_reader_left(&bits);
    const uint8_t *point = np_read_bytes(&bits, len);
    x509->has_p256 = point && np_public_key_decode(point, len, &x509->key) == 0;
}

static void read_names(struct np_reader *value, struct np_x509 *x509)
{
    struct np_reader names = np_der_read(value, NP_DER_SEQUENCE);
    while (np_reader_left(&names) > 0) {
        struct np_reader name;
        if (!np_der_read_optional(&names, 0x82, &name)) {
            x509->other_names = true;
            np_der_skip(&names);
            continue;
        }
        size_t len = np_reader_left(&name);
        if (len == 0 || len > NP_NAME_MAX || x509->name_count == NP_X509_NAMES_MAX) {
            x509->other_names = true;
            continue;
        }
        char *out = x509->names[x509->name_count++];
        np_read_copy(&name, out, len);
        out[len] = 0;
        for (size_t i = 0; i < len; i++) {
            if (out[i] >= 'A' && out[i] <= 'Z')
                out[i] = (char)(out[i] + 'a' - 'A');
            if (out[i] <= 0x20 || out[i] > 0x7e)
                np_reader_fail(value, NP_E_MALFORMED);
        }
    }
    if (names.error)
        np_reader_fail(value, names.error);
}

static void read_extensions(struct np_reader *explicit, struct np_x509 *x509)
{
    struct np_reader extensions = np_der_read(explicit, NP_DER_SEQUENCE);
    while (np_reader_left(&extensions) > 0) {
        struct np_reader extension = np_der_read(&extensions, NP_DER_SEQUENCE), critical;
        struct np_reader oid = np_der_read(&extension, NP_DER_OID);
        np_der_read_optional(&extension, NP_DER_BOOLEAN, &critical);
        struct np_reader value = np_der_read(&extension, NP_DER_OCTETS);
        if (extension.error) {
            np_reader_fail(explicit, extension.error);
            return;
        }
        if (np_der_is(&oid, OID_SUBJECT_ALT_NAME, sizeof OID_SUBJECT_ALT_NAME))
            read_names(&value, x509);
        if (value.error)
            np_reader_fail(explicit, value.error);
    }
    if (extensions.error)
        np_reader_fail(explicit, extensions.error);
}

int np_x509_parse(const void *der, size_t len, struct np_x509 *out_x509)
{
    struct np_reader r = np_reader_make(der, len), part = {0};
    struct np_reader certificate = np_der_read(&r, NP_DER_SEQUENCE), tbs = np_der_read(&certificate, NP_DER_SEQUENCE);
    struct np_x509 *x509 = out_x509;
    memset(x509, 0, sizeof *x509);
    np_der_end_of(&r);
    np_der_read_optional(&tbs, NP_DER_CONTEXT(0), &part); /* version */
    np_der_read(&tbs, NP_DER_INTEGER);                    /* serial number */
    np_der_read(&tbs, NP_DER_SEQUENCE);                   /* signature algorithm */
    struct np_reader issuer = np_der_read(&tbs, NP_DER_SEQUENCE);
    struct np_reader validity = np_der_read(&tbs, NP_DER_SEQUENCE);
    x509->not_before_s = read_time(&validity);
    x509->not_after_s = read_time(&validity);
    np_der_read(&tbs, NP_DER_SEQUENCE); /* subject */
    struct np_reader info = np_der_read(&tbs, NP_DER_SEQUENCE);
    if (r.error || certificate.error || tbs.error || validity.error)
        return r.error ? r.error : NP_E_MALFORMED;
    find_attribute(issuer, OID_COMMON_NAME, sizeof OID_COMMON_NAME, x509->issuer, sizeof x509->issuer);
    if (!x509->issuer[0])
        find_attribute(issuer, OID_ORGANISATION, sizeof OID_ORGANISATION, x509->issuer, sizeof x509->issuer);
    read_key(&info, x509);
    while (np_reader_left(&tbs) > 0) {
        if (np_der_read_optional(&tbs, NP_DER_CONTEXT(3), &part))
            read_extensions(&part, x509);
        else
            np_der_skip(&tbs); /* unique ids, which nobody uses */
        if (part.error)
            return NP_E_MALFORMED;
    }
    return info.error || tbs.error ? NP_E_MALFORMED : 0;
}

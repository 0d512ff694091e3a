#include "agent/tls/profile.h"

#include "resolver/base/error.h"

/* One entry for each BearSSL error that can be met here; code is what a caller decides by. */
struct error_entry {
    int error;
    int code;
    const char *text;
};

static const struct error_entry errors[] = {
    {BR_ERR_OK, 0, "no error"},
    {BR_ERR_BAD_PARAM, NP_E_TLS, "invalid parameter"},
    {BR_ERR_BAD_STATE, NP_E_TLS, "call in a wrong state"},
    {BR_ERR_UNSUPPORTED_VERSION, NP_E_TLS, "no common TLS version (1.2 is needed)"},
    {BR_ERR_BAD_VERSION, NP_E_TLS, "record with another TLS version"},
    {BR_ERR_BAD_LENGTH, NP_E_TLS, "record with an invalid length"},
    {BR_ERR_TOO_LARGE, NP_E_TLS, "record or message too large"},
    {BR_ERR_BAD_MAC, NP_E_TLS, "record damaged or forged"},
    {BR_ERR_NO_RANDOM, NP_E_TLS, "no random bytes"},
    {BR_ERR_UNKNOWN_TYPE, NP_E_TLS, "not TLS"},
    {BR_ERR_UNEXPECTED, NP_E_TLS, "message out of order"},
    {BR_ERR_BAD_CCS, NP_E_TLS, "malformed ChangeCipherSpec"},
    {BR_ERR_BAD_ALERT, NP_E_TLS, "malformed alert"},
    {BR_ERR_BAD_HANDSHAKE, NP_E_TLS, "malformed handshake message"},
    {BR_ERR_OVERSIZED_ID, NP_E_TLS, "session ID too long"},
    {BR_ERR_BAD_CIPHER_SUITE, NP_E_TLS, "no common cipher suite (ECDHE-ECDSA with an AEAD is needed)"},
    {BR_ERR_BAD_COMPRESSION, NP_E_TLS, "compression was asked for"},
    {BR_ERR_BAD_FRAGLEN, NP_E_TLS, "maximum fragment length does not match"},
    {BR_ERR_BAD_SECRENEG, NP_E_TLS, "secure renegotiation does not match"},
    {BR_ERR_EXTRA_EXTENSION, NP_E_TLS, "extension that was not asked for"},
    {BR_ERR_BAD_SNI, NP_E_TLS, "malformed server name extension"},
    {BR_ERR_BAD_HELLO_DONE, NP_E_TLS, "malformed ServerHelloDone"},
    {BR_ERR_LIMIT_EXCEEDED, NP_E_TLS, "public key too large"},
    {BR_ERR_BAD_FINISHED, NP_E_TLS, "handshake was tampered with"},
    {BR_ERR_RESUME_MISMATCH, NP_E_TLS, "resumed session does not match"},
    {BR_ERR_INVALID_ALGORITHM, NP_E_TLS, "no common curve or hash"},
    {BR_ERR_BAD_SIGNATURE, NP_E_TLS, "key exchange with a wrong signature"},
    {BR_ERR_WRONG_KEY_USAGE, NP_E_CHAIN, "certificate's key is not for this use"},
    {BR_ERR_NO_CLIENT_AUTH, NP_E_TLS, "no client certificate"},
    {BR_ERR_IO, NP_E_TLS, "input or output failed"},
    {BR_ERR_X509_INVALID_VALUE, NP_E_CHAIN, "malformed certificate (invalid value)"},
    {BR_ERR_X509_TRUNCATED, NP_E_CHAIN, "malformed certificate (truncated)"},
    {BR_ERR_X509_EMPTY_CHAIN, NP_E_CHAIN, "no certificate was sent"},
    {BR_ERR_X509_INNER_TRUNC, NP_E_CHAIN, "malformed certificate (inner element truncated)"},
    {BR_ERR_X509_BAD_TAG_CLASS, NP_E_CHAIN, "malformed certificate (tag class)"},
    {BR_ERR_X509_BAD_TAG_VALUE, NP_E_CHAIN, "malformed certificate (tag value)"},
    {BR_ERR_X509_INDEFINITE_LENGTH, NP_E_CHAIN, "malformed certificate (indefinite length)"},
    {BR_ERR_X509_EXTRA_ELEMENT, NP_E_CHAIN, "malformed certificate (extra element)"},
    {BR_ERR_X509_UNEXPECTED, NP_E_CHAIN, "malformed certificate (unexpected element)"},
    {BR_ERR_X509_NOT_CONSTRUCTED, NP_E_CHAIN, "malformed certificate (not constructed)"},
    {BR_ERR_X509_NOT_PRIMITIVE, NP_E_CHAIN, "malformed certificate (not primitive)"},
    {BR_ERR_X509_PARTIAL_BYTE, NP_E_CHAIN, "malformed certificate (bits)"},
    {BR_ERR_X509_BAD_BOOLEAN, NP_E_CHAIN, "malformed certificate (boolean)"},
    {BR_ERR_X509_OVERFLOW, NP_E_CHAIN, "malformed certificate (overflow)"},
    {BR_ERR_X509_BAD_DN, NP_E_CHAIN, "malformed certificate (name)"},
    {BR_ERR_X509_BAD_TIME, NP_E_CHAIN, "malformed certificate (time)"},
    {BR_ERR_X509_UNSUPPORTED, NP_E_CHAIN, "certificate with unsupported features"},
    {BR_ERR_X509_LIMIT_EXCEEDED, NP_E_CHAIN, "certificate's key is too large"},
    {BR_ERR_X509_WRONG_KEY_TYPE, NP_E_CHAIN, "certificate's key type does not fit"},
    {BR_ERR_X509_BAD_SIGNATURE, NP_E_CHAIN, "certificate with a wrong signature"},
    {BR_ERR_X509_TIME_UNKNOWN, NP_E_DATE, "time is unknown"},
    {BR_ERR_X509_EXPIRED, NP_E_DATE, "certificate expired or not yet valid"},
    {BR_ERR_X509_DN_MISMATCH, NP_E_CHAIN, "certificate chain is out of order"},
    {BR_ERR_X509_BAD_SERVER_NAME, NP_E_NAME, "name mismatch: the certificate is for another name"},
    {BR_ERR_X509_CRITICAL_EXTENSION, NP_E_CHAIN, "certificate with an unknown critical extension"},
    {BR_ERR_X509_NOT_CA, NP_E_CHAIN, "certificate chain goes through one that is no CA"},
    {BR_ERR_X509_FORBIDDEN_KEY_USAGE, NP_E_CHAIN, "certificate's key usage forbids this"},
    {BR_ERR_X509_WEAK_PUBLIC_KEY, NP_E_CHAIN, "certificate's key is too weak"},
    {BR_ERR_X509_NOT_TRUSTED, NP_E_CHAIN, "unknown issuer: the chain does not lead to a trusted certificate"},
};

/* Alerts that the peer sent (RFC 5246 section 7.2.2, RFC 8446 section 6.2, RFC 7301). */
static const struct error_entry alerts[] = {
    {10, NP_E_TLS, "the peer refused: unexpected message"},
    {20, NP_E_TLS, "the peer refused: bad record"},
    {22, NP_E_TLS, "the peer refused: record overflow"},
    {40, NP_E_TLS, "the peer refused: no common parameters"},
    {42, NP_E_TLS, "the peer refused: bad certificate"},
    {43, NP_E_TLS, "the peer refused: unsupported certificate"},
    {44, NP_E_TLS, "the peer refused: certificate revoked"},
    {45, NP_E_TLS, "the peer refused: certificate expired"},
    {46, NP_E_TLS, "the peer refused: certificate unknown"},
    {47, NP_E_TLS, "the peer refused: illegal parameter"},
    {48, NP_E_TLS, "the peer refused: unknown issuer"},
    {49, NP_E_TLS, "the peer refused: access denied"},
    {50, NP_E_TLS, "the peer refused: decode error"},
    {51, NP_E_TLS, "the peer refused: decrypt error"},
    {70, NP_E_TLS, "the peer refused: protocol version"},
    {71, NP_E_TLS, "the peer refused: insufficient security"},
    {80, NP_E_TLS, "the peer refused: internal error"},
    {86, NP_E_TLS, "the peer refused: inappropriate fallback"},
    {90, NP_E_TLS, "the peer gave up"},
    {112, NP_E_TLS, "the peer refused: unknown name"},
    {120, NP_E_TLS, "the peer refused: no common application protocol"},
};

/* Alerts that BearSSL sent by itself. */
static const struct error_entry sent[] = {
    {10, NP_E_TLS, "refused: renegotiation"},
    {40, NP_E_TLS, "no common parameters (TLS 1.2 with ECDHE-ECDSA, an AEAD and SHA-256 or SHA-384 is needed)"},
    {70, NP_E_TLS, "no common TLS version (1.2 is needed)"},
    {112, NP_E_TLS, "refused: unknown name"},
    {120, NP_E_TLS, "no common application protocol"},
};

static const struct error_entry *find(int error)
{
    const struct error_entry *list = errors;
    size_t count = sizeof errors / sizeof *errors;
    if (error >= BR_ERR_SEND_FATAL_ALERT) {
        error -= BR_ERR_SEND_FATAL_ALERT;
        list = sent;
        count = sizeof sent / sizeof *sent;
    } else if (error >= BR_ERR_RECV_FATAL_ALERT) {
        error -= BR_ERR_RECV_FATAL_ALERT;
        list = alerts;
        count = sizeof alerts / sizeof *alerts;
    }
    for (size_t i = 0; i < count; i++) {
        if (list[i].error == error)
            return &list[i];
    }
    return NULL;
}

const char *np_tls_error_text(int error)
{
    const struct error_entry *entry = find(error);
    return entry ? entry->text : "TLS error";
}

int np_tls_error_code(int error)
{
    const struct error_entry *entry = find(error);
    return entry ? entry->code : NP_E_TLS;
}

int np_tls_error_alert(int error)
{
    switch (np_tls_error_code(error)) {
    case NP_E_DATE:
        return 45; /* certificate_expired */
    case NP_E_NAME:
        return 46; /* certificate_unknown: "some other issue" with it */
    case NP_E_CHAIN:
        return error == BR_ERR_X509_NOT_TRUSTED || error == BR_ERR_X509_BAD_SIGNATURE ? 48 /* unknown_ca */
                                                                                      : 42 /* bad_certificate */;
    default:
        return 0;
    }
}

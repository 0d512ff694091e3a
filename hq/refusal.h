/* refusal: why HQ says no: one of protocol v1's problem words (docs/protocol.md) with its HTTP status, and a sentence
 * for the person who reads the device's log, with what to do. */
#ifndef HQ_REFUSAL_H
#define HQ_REFUSAL_H

#include <stdint.h>

#include "hq/proto/message.h"

#define NP_REFUSAL_MAP(X)                                                                                              \
    X(MALFORMED, "malformed", 400)                                                                                     \
    X(TOO_LARGE, "too-large", 413)                                                                                     \
    X(UNSUPPORTED_MEDIA, "unsupported-media", 415)                                                                     \
    X(NOT_FOUND, "not-found", 404)                                                                                     \
    X(METHOD_NOT_ALLOWED, "method-not-allowed", 405)                                                                   \
    X(BAD_SIGNATURE, "bad-signature", 400)                                                                             \
    X(BAD_NONCE, "bad-nonce", 400)                                                                                     \
    X(BAD_URL, "bad-url", 400)                                                                                         \
    X(BAD_CREDENTIAL, "bad-credential", 403)                                                                           \
    X(CREDENTIAL_UNSUPPORTED, "credential-unsupported", 403)                                                           \
    X(UNKNOWN_DEVICE, "unknown-device", 404)                                                                           \
    X(UNKNOWN_TOKEN, "unknown-token", 401)                                                                             \
    X(STALE_TOKEN, "stale-token", 401)                                                                                 \
    X(BLOCKED, "blocked", 403)                                                                                         \
    X(RETIRED, "retired", 410)                                                                                         \
    X(BAD_CSR, "bad-csr", 400)                                                                                         \
    X(KEY_REUSED, "key-reused", 409)                                                                                   \
    X(STALE_SEQ, "stale-seq", 409)                                                                                     \
    X(VANITY_OFF, "vanity-off", 403)                                                                                   \
    X(BAD_NAME, "bad-name", 422)                                                                                       \
    X(NAME_RESERVED, "name-reserved", 422)                                                                             \
    X(NAME_TAKEN, "name-taken", 409)                                                                                   \
    X(NAME_NOT_NOW, "name-not-now", 409)                                                                               \
    X(RATE_LIMITED, "rate-limited", 429)                                                                               \
    X(BUSY, "busy", 503)                                                                                               \
    X(INTERNAL, "internal", 500)

enum np_refusal_word {
#define NP_REFUSAL_ENUM(name, word, status) NP_REFUSE_##name,
    NP_REFUSAL_MAP(NP_REFUSAL_ENUM)
#undef NP_REFUSAL_ENUM
};

/* A problem document and its Retry-After (0: none). */
struct np_refusal {
    struct np_problem problem;
    int64_t retry_after_s;
};

/* Fills *out_refusal (time and seq stay unset) with the word, its status and the formatted detail. Returns
 * NP_E_REFUSED, so that it can be returned at once. */
int np_refuse(struct np_refusal *out_refusal, enum np_refusal_word word, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* np_refuse with a Retry-After. */
int np_refuse_for(struct np_refusal *out_refusal, enum np_refusal_word word, int64_t retry_after_s, const char *format,
                  ...) __attribute__((format(printf, 4, 5)));

#endif

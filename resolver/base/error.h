/* error: one table of error numbers for every nameplate program.
 *
 * A function that can fail returns 0 (or a non-negative count) or a negative number. -errno values pass through
 * unchanged (libuv's codes are -errno on Linux); nameplate's own codes start at -1001 and come from the table below. */
#ifndef RESOLVER_BASE_ERROR_H
#define RESOLVER_BASE_ERROR_H

#include <stddef.h>

#define NP_ERR_MAP(X)                                                                                                  \
    X(NP_E_MALFORMED, -1001, "malformed input")                                                                        \
    X(NP_E_TRUNCATED, -1002, "input ends too early")                                                                   \
    X(NP_E_LIMIT, -1003, "over a limit")                                                                               \
    X(NP_E_TYPE, -1004, "wrong type")                                                                                  \
    X(NP_E_MISSING, -1005, "a required member is missing")                                                             \
    X(NP_E_UNKNOWN, -1006, "unknown name or value")                                                                    \
    X(NP_E_SIGNATURE, -1007, "signature does not verify")                                                              \
    X(NP_E_KEY, -1008, "unusable key")                                                                                 \
    X(NP_E_CHECKSUM, -1009, "checksum does not match")                                                                 \
    X(NP_E_VERSION, -1010, "unsupported version")                                                                      \
    X(NP_E_NAME, -1011, "name does not match")                                                                         \
    X(NP_E_DATE, -1012, "outside the validity period")                                                                 \
    X(NP_E_CHAIN, -1013, "certificate chain does not verify")                                                          \
    X(NP_E_STALE, -1014, "stale value")                                                                                \
    X(NP_E_CONFLICT, -1015, "conflict with what is stored")                                                            \
    X(NP_E_REFUSED, -1016, "refused by policy")                                                                        \
    X(NP_E_NOT_FOUND, -1017, "not found")                                                                              \
    X(NP_E_TLS, -1018, "TLS failure")                                                                                  \
    X(NP_E_HTTP, -1019, "HTTP protocol error")                                                                         \
    X(NP_E_ACME, -1020, "ACME server reported an error")                                                               \
    X(NP_E_STORE, -1021, "database error")                                                                             \
    X(NP_E_CLOSED, -1022, "closed by the peer")                                                                        \
    X(NP_E_CONFIG, -1023, "configuration error")                                                                       \
    X(NP_E_DNS, -1024, "DNS failure")

/* The codes themselves. */
enum np_err {
    NP_OK = 0,
#define NP_ERR_ENUM(name, number, text) name = number,
    NP_ERR_MAP(NP_ERR_ENUM)
#undef NP_ERR_ENUM
};

/* The message for err (0, -errno or an np_err), in English, without a final full stop. Never NULL; static storage. */
const char *np_strerror(int err);

/* Writes the formatted text, for a person, to out of size bytes; returns err: for an error that is explained and given
 * on in one line. */
int np_explain(char *out, size_t size, int err, const char *format, ...) __attribute__((format(printf, 4, 5)));

/* The symbolic name ("NP_E_LIMIT", "ENOENT"), for logs and --json. Never NULL; static storage. */
const char *np_err_name(int err);

#endif

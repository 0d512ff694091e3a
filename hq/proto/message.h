/* message: the bodies of protocol v1 as plain structs, and their JSON (docs/protocol.md). One codec for both sides.
 *
 * Encoders return malloc'd compact JSON in *out_json (the caller frees it) and 0 or -ENOMEM. Parsers take len bytes (no
 * NUL needed), ignore unknown members, refuse duplicate ones, and return 0, NP_E_MALFORMED (not a JSON object),
 * NP_E_MISSING, NP_E_TYPE, NP_E_LIMIT, NP_E_UNKNOWN or -ENOMEM; with an error they name the member in error->member. */
#ifndef HQ_PROTO_MESSAGE_H
#define HQ_PROTO_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "hq/proto/claim.h"
#include "hq/proto/jws.h"
#include "resolver/base/address.h"

#define NP_NAME_MAX             253         /* characters of a domain name without its final dot */
#define NP_SERIAL_MAX           64          /* characters of a serial number */
#define NP_MODEL_MAX            64          /* characters of model and of version */
#define NP_SAN_MAX              4           /* names in a certificate */
#define NP_NAMESERVERS_MAX      8           /* name servers of the zone */
#define NP_WIRE_V4_MAX          8           /* addresses that a message may carry; HQ publishes at most 2 */
#define NP_WIRE_V6_MAX          8           /* likewise; at most 4 */
#define NP_CSR_MAX              1024        /* bytes of DER; a P-256 CSR with one name has about 250 */
#define NP_CHAIN_MAX            20000       /* bytes of PEM: a leaf and a few intermediates */
#define NP_PACKAGE_MAX          (32 * 1024) /* bytes of the package answer */
#define NP_TOKEN_LEN            32          /* bytes of a poll token and of an auth token */
#define NP_EPOCH_LEN            16          /* bytes */
#define NP_LIFE_LEN             8           /* bytes: of one device's runs no two are alike */
#define NP_CREDENTIAL_CERT_MAX  2048 /* bytes of DER of one certificate in a credential: RSA ones have 1 to 1.5 KiB */
#define NP_CREDENTIAL_CERTS_MAX 3    /* a leaf and two intermediates */
#define NP_CREDENTIAL_CHAIN_MAX                                                                                        \
    3072                  /* bytes of DER of all of them; twice in base64url that is two thirds of a body              \
                           */
#define NP_WHY_MAX    96  /* characters of one reason */
#define NP_PUBLIC_MAX 6   /* sentences about what becomes public with a name */
#define NP_PUBLIC_LEN 240 /* characters of one */

/* Where a parser stopped. */
struct np_message_error {
    char member[48];
};

/* LAN addresses as a device states them. */
struct np_addresses {
    struct np_addr v4[NP_WIRE_V4_MAX];
    size_t v4_count;
    struct np_addr v6[NP_WIRE_V6_MAX];
    size_t v6_count;
};

/* Same addresses in the same order? */
bool np_addresses_equal(const struct np_addresses *a, const struct np_addresses *b);

/* HQ stores these numbers. */
#define NP_CREDENTIAL_MAP(X)                                                                                           \
    X(OPEN, "open")                                                                                                    \
    X(FACTORY_SECRET, "factory-secret")                                                                                \
    X(CLAIM_CODE, "claim-code")                                                                                        \
    X(FACTORY_CERTIFICATE, "factory-certificate")

enum np_credential_type {
#define NP_CREDENTIAL_ENUM(name, text) NP_CREDENTIAL_##name,
    NP_CREDENTIAL_MAP(NP_CREDENTIAL_ENUM)
#undef NP_CREDENTIAL_ENUM
};

#define NP_CREDENTIAL_TYPES 4 /* how many there are */

/* The type's word, as in the map above. Static storage; "?" for a number that is none. */
const char *np_credential_name(enum np_credential_type type);

/* The type with that word: 0 or NP_E_UNKNOWN. */
int np_credential_parse(const char *word, enum np_credential_type *out_type);

/* How a device proves that the vendor made it. The parser sets, by type: serial and mac (factory-secret); serial, may
 * be empty (open); code, not looked into (claim-code); certificates and signature (factory-certificate). */
struct np_credential {
    enum np_credential_type type;
    char serial[NP_SERIAL_MAX + 1];
    uint8_t mac[32];
    char code[NP_CLAIM_TEXT_MAX + 1];
    uint8_t chain[NP_CREDENTIAL_CHAIN_MAX]; /* DER, leaf first, one behind the other */
    size_t certificate_len[NP_CREDENTIAL_CERTS_MAX];
    size_t certificate_count;
    uint8_t signature[64]; /* r||s */
};

enum np_publish { NP_PUBLISH_PUBLIC, NP_PUBLISH_LOCAL_ONLY };

/* POST /v1/devices (signed payload). */
struct np_enrol_request {
    uint8_t epoch[NP_EPOCH_LEN];
    uint8_t token[NP_TOKEN_LEN];
    struct np_credential credential;
    char grant[NP_GRANT_MAX + 1]; /* empty: none */
    struct np_addresses addresses;
    char model[NP_MODEL_MAX + 1];
    char version[NP_MODEL_MAX + 1];
    enum np_publish publish;
};

/* What a device is called. san is what its certificate must carry. A name that its owner has chosen is `wanted` until
 * HQ has a certificate with it; then it is the name, and the one before is `old` until old_until_s. */
struct np_names {
    char name[NP_NAME_MAX + 1];
    char san[NP_SAN_MAX][NP_NAME_MAX + 1];
    size_t san_count;
    char wanted[NP_NAME_MAX + 1]; /* empty: none */
    char old[NP_NAME_MAX + 1];    /* likewise */
    int64_t old_until_s;
};

/* Its answer, 201 or 200. Times in seconds. */
struct np_enrol_answer {
    char device[NP_DEVICE_ID_MAX + 1];
    struct np_names names;
    int64_t ttl_s;
    int64_t seq; /* the highest address sequence that HQ has */
    uint8_t seed[32];
    char nameservers[NP_NAMESERVERS_MAX][NP_NAME_MAX + 1];
    size_t nameserver_count;
    char grant[NP_GRANT_MAX + 1];
    int64_t poll_s, checkin_s, boot_jitter_s; /* intervals */
    int64_t time_s;
};

/* POST /v1/devices/{id}/csr (signed payload). */
struct np_csr_request {
    uint8_t csr[NP_CSR_MAX];
    size_t csr_len;
};

/* Its answer, 202. */
struct np_csr_answer {
    char order[NP_DEVICE_ID_MAX + 1];
    int64_t eta_s;
    int64_t position;
    int64_t time_s;
};

/* GET /v1/devices/{id}/package, 202: still under way. state is the order's ("queued", "issued", ...). */
struct np_pending_answer {
    char state[24];
    char order[NP_DEVICE_ID_MAX + 1]; /* empty: no CSR has come yet */
    int64_t eta_s;
    int64_t position;
    int64_t time_s;
};

/* GET /v1/devices/{id}/package, 200. */
struct np_package_answer {
    char chain[NP_CHAIN_MAX + 1]; /* PEM, leaf first */
    uint8_t auth_token[NP_TOKEN_LEN];
    int64_t n;
    int64_t time_s;
};

/* PUT /v1/devices/{id}/addresses. */
struct np_addresses_request {
    int64_t seq; /* 1 or more */
    struct np_addresses addresses;
    bool withdraw; /* empty lists are meant */
};

/* Its answer, 200, and the extra members of the 409 problem (seq and what is stored). */
struct np_addresses_answer {
    int64_t seq;
    int64_t serial; /* of the zone */
    struct np_addresses published;
    char rejected[NP_WIRE_V4_MAX + NP_WIRE_V6_MAX][NP_WHY_MAX + 1]; /* "10.0.0.1: why" */
    size_t rejected_count;
    int64_t time_s;
};

/* Which run of its program a device is in: random bytes, made at each start and kept in memory alone. */
struct np_life {
    bool told; /* older devices do not */
    uint8_t bytes[NP_LIFE_LEN];
};

/* POST /v1/session (signed with kid). */
struct np_session_request {
    struct np_life life;
};

/* Its answer, 200. */
struct np_session_answer {
    char device[NP_DEVICE_ID_MAX + 1];
    char name[NP_NAME_MAX + 1];
    uint8_t auth_token[NP_TOKEN_LEN];
    int64_t n;
    int64_t seq;
    int64_t time_s;
};

/* What the device says of its certificate in a check-in. */
struct np_checkin_certificate {
    bool installed;
    int64_t n;           /* of the package it came with */
    int64_t not_after_s; /* Unix time */
};

/* POST /v1/devices/{id}/checkin (bearer). The addresses are taken as by PUT addresses with the same seq. */
struct np_checkin_request {
    int64_t seq; /* 0 or more; 0: nothing was pushed since the boot, the lists are what is answered locally */
    struct np_addresses addresses;
    struct np_checkin_certificate certificate;
    char version[NP_MODEL_MAX + 1];
    char health[NP_MODEL_MAX + 1]; /* "ok", or one word for what is wrong */
    struct np_life life;
};

/* What HQ wants the device to do about its certificate. */
enum np_checkin_verdict {
    NP_CHECKIN_KEEP,     /* nothing */
    NP_CHECKIN_FETCH,    /* a newer package is there: get it */
    NP_CHECKIN_SEND_CSR, /* HQ has no CSR it can use: send one */
    NP_CHECKIN_WAIT      /* an order is under way: poll the package */
};

/* Its answer, 200. next_s: seconds until the next check-in, spread by HQ over its day. */
struct np_checkin_answer {
    enum np_checkin_verdict certificate;
    int64_t seq; /* the highest that HQ has */
    int64_t next_s;
    int64_t poll_s, checkin_s, boot_jitter_s; /* intervals, as at enrolment */
    char san[NP_SAN_MAX][NP_NAME_MAX + 1];    /* as in struct np_names; none: an older HQ, which does not tell */
    size_t san_count;
    int64_t time_s;
};

/* POST /v1/devices/{id}/name (signed with kid). Without a name it only asks what the device is called. */
struct np_name_request {
    char name[NP_NAME_MAX + 1];   /* a label, not looked into; empty: none */
    bool check;                   /* would it be given? Nothing is changed */
    char grant[NP_GRANT_MAX + 1]; /* the one that the device has; empty: none */
};

/* What a name would mean: the answer to a check. */
struct np_name_offer {
    char name[NP_NAME_MAX + 1]; /* the whole of it; empty: there is no offer */
    int64_t until_s;            /* the present name leads here at least until then */
    char becomes_public[NP_PUBLIC_MAX][NP_PUBLIC_LEN + 1];
    size_t public_count;
};

/* Its answer, 200. */
struct np_name_answer {
    struct np_names names;
    char grant[NP_GRANT_MAX + 1];
    struct np_name_offer offer;
    int64_t time_s;
};

/* Why a device leaves. */
enum np_leave_reason { NP_LEAVE_RESET, NP_LEAVE_RESALE, NP_LEAVE_COMPROMISE };

/* POST /v1/devices/{id}/leave (signed with kid). Its answer is 204. */
struct np_leave_request {
    enum np_leave_reason reason;
};

/* POST /v1/time: neither signed nor with a token. */
struct np_time_request {
    char nonce[NP_TIME_NONCE_MAX + 1];
};

/* Its answer. */
struct np_time_answer {
    char signed_time[NP_SIGNED_TIME_MAX + 1]; /* np_time_sign's */
    int64_t time_s;
};

/* Every error answer: RFC 9457, media type application/problem+json. type is "urn:nameplate:problem:" and one word. */
struct np_problem {
    char type[64]; /* the word alone: "bad-nonce" */
    int status;
    char detail[256];
    int64_t time_s; /* 0: not given */
    bool has_seq;   /* stale-seq: what HQ has */
    int64_t seq;
};

/* JSON of a message; see the head of this file. */
int np_enrol_request_encode(const struct np_enrol_request *message, char **out_json);
/* See the head of this file. */
int np_enrol_request_parse(const char *json, size_t len, struct np_enrol_request *out, struct np_message_error *error);
/* See the head of this file. */
int np_enrol_answer_encode(const struct np_enrol_answer *message, char **out_json);
/* See the head of this file. */
int np_enrol_answer_parse(const char *json, size_t len, struct np_enrol_answer *out, struct np_message_error *error);
/* See the head of this file. */
int np_csr_request_encode(const struct np_csr_request *message, char **out_json);
/* See the head of this file. */
int np_csr_request_parse(const char *json, size_t len, struct np_csr_request *out, struct np_message_error *error);
/* See the head of this file. */
int np_time_request_encode(const struct np_time_request *message, char **out_json);
/* See the head of this file. */
int np_time_request_parse(const char *json, size_t len, struct np_time_request *out, struct np_message_error *error);
/* See the head of this file. */
int np_time_answer_encode(const struct np_time_answer *message, char **out_json);
/* See the head of this file. */
int np_time_answer_parse(const char *json, size_t len, struct np_time_answer *out, struct np_message_error *error);
/* See the head of this file. */
int np_csr_answer_encode(const struct np_csr_answer *message, char **out_json);
/* See the head of this file. */
int np_csr_answer_parse(const char *json, size_t len, struct np_csr_answer *out, struct np_message_error *error);
/* See the head of this file. */
int np_pending_answer_encode(const struct np_pending_answer *message, char **out_json);
/* See the head of this file. */
int np_pending_answer_parse(const char *json, size_t len, struct np_pending_answer *out,
                            struct np_message_error *error);
/* See the head of this file. */
int np_package_answer_encode(const struct np_package_answer *message, char **out_json);
/* See the head of this file. */
int np_package_answer_parse(const char *json, size_t len, struct np_package_answer *out,
                            struct np_message_error *error);
/* See the head of this file. */
int np_addresses_request_encode(const struct np_addresses_request *message, char **out_json);
/* See the head of this file. */
int np_addresses_request_parse(const char *json, size_t len, struct np_addresses_request *out,
                               struct np_message_error *error);
/* See the head of this file. */
int np_addresses_answer_encode(const struct np_addresses_answer *message, char **out_json);
/* See the head of this file. */
int np_addresses_answer_parse(const char *json, size_t len, struct np_addresses_answer *out,
                              struct np_message_error *error);
/* See the head of this file. */
int np_session_request_encode(const struct np_session_request *message, char **out_json);
/* See the head of this file. */
int np_session_request_parse(const char *json, size_t len, struct np_session_request *out,
                             struct np_message_error *error);
/* See the head of this file. */
int np_session_answer_encode(const struct np_session_answer *message, char **out_json);
/* See the head of this file. */
int np_session_answer_parse(const char *json, size_t len, struct np_session_answer *out,
                            struct np_message_error *error);
/* See the head of this file. */
int np_checkin_request_encode(const struct np_checkin_request *message, char **out_json);
/* See the head of this file. */
int np_checkin_request_parse(const char *json, size_t len, struct np_checkin_request *out,
                             struct np_message_error *error);
/* See the head of this file. */
int np_checkin_answer_encode(const struct np_checkin_answer *message, char **out_json);
/* See the head of this file. An unknown verdict counts as keep: a later HQ may know more than we do. */
int np_checkin_answer_parse(const char *json, size_t len, struct np_checkin_answer *out,
                            struct np_message_error *error);
/* See the head of this file. */
int np_leave_request_encode(const struct np_leave_request *message, char **out_json);
/* See the head of this file. */
int np_leave_request_parse(const char *json, size_t len, struct np_leave_request *out, struct np_message_error *error);
/* See the head of this file. */
int np_name_request_encode(const struct np_name_request *message, char **out_json);
/* See the head of this file. */
int np_name_request_parse(const char *json, size_t len, struct np_name_request *out, struct np_message_error *error);
/* See the head of this file. */
int np_name_answer_encode(const struct np_name_answer *message, char **out_json);
/* See the head of this file. */
int np_name_answer_parse(const char *json, size_t len, struct np_name_answer *out, struct np_message_error *error);
/* See the head of this file. */
int np_problem_encode(const struct np_problem *message, char **out_json);
/* See the head of this file. A type outside our URN space gives the word "other". */
int np_problem_parse(const char *json, size_t len, struct np_problem *out, struct np_message_error *error);

#endif

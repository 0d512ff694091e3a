/* resource: the JSON that an ACME server sends (RFC 8555 section 7.1, problems RFC 7807), as plain structs.
 *
 * Pure and fuzzed (tests/fuzz/fuzz_acme_json.c): the CA is verified by TLS but its bytes are still checked. Every URL
 * is https, printable and at most NP_URL_MAX characters; every text that may reach a log is sanitised. Parsers return
 * 0, NP_E_MALFORMED, NP_E_MISSING, NP_E_TYPE, NP_E_LIMIT or NP_E_UNKNOWN, and write out only on success. */
#ifndef HQ_ACME_RESOURCE_H
#define HQ_ACME_RESOURCE_H

#include <stdbool.h>
#include <stddef.h>

#include "hq/proto/message.h"

#define NP_ACME_BODY_MAX  (64 * 1024) /* bytes of any answer: a chain has 2 to 6 KiB, a directory 1 KiB */
#define NP_ACME_TOKEN_MAX 128         /* characters of a challenge token: CAs use 43 */
#define NP_ACME_DETAIL_MAX                                                                                             \
    320 /* characters of a problem's detail that are kept: Boulder's name a limit at their end                         \
         */
#define NP_ACME_CAA_MAX            8   /* domains of the CA in CAA records that are kept */
#define NP_ACME_CHALLENGES_MAX     8   /* of an authorization: CAs offer 1 to 4 */
#define NP_ACME_CHALLENGE_TYPE_MAX 31  /* characters: "dns-persist-01" has 14 */
#define NP_ACME_ALTERNATES_MAX     4   /* chains beside the default one that are looked at: Let's Encrypt had 3 */
#define NP_ACME_PROFILES_MAX       16  /* profiles that are kept: Let's Encrypt has 4 */
#define NP_ACME_PROFILE_LEN        64  /* characters of a profile's name */
#define NP_ACME_LIST_MAX           256 /* orders of an account's list that are looked at after a crash */

/* A problem document, or the error member of an order or a challenge. */
struct np_acme_problem {
    char type[48]; /* the last part of "urn:ietf:params:acme:error:badNonce"; "other" outside that space; empty: none */
    char detail[NP_ACME_DETAIL_MAX + 1];
    int status;
};

/* The directory (section 7.1.1). */
struct np_acme_directory {
    char new_nonce[NP_URL_MAX + 1];
    char new_account[NP_URL_MAX + 1];
    char new_order[NP_URL_MAX + 1];
    char revoke_certificate[NP_URL_MAX + 1]; /* empty: the CA revokes nothing */
    char key_change[NP_URL_MAX + 1];         /* empty: accounts keep their key */
    char renewal_info[NP_URL_MAX + 1];       /* empty: the CA suggests no renewal windows (RFC 9773) */
    bool eab_required;
    char profiles[NP_ACME_PROFILES_MAX][NP_ACME_PROFILE_LEN + 1]; /* the kinds of certificates on offer, by name */
    size_t profile_count;
    char caa_identities[NP_ACME_CAA_MAX][NP_NAME_MAX + 1]; /* the domains that CAA names the CA by; lower case */
    size_t caa_identity_count;
};

enum np_acme_status {
    NP_ACME_PENDING,
    NP_ACME_READY,
    NP_ACME_PROCESSING,
    NP_ACME_VALID,
    NP_ACME_INVALID /* and revoked, deactivated, expired: no longer of use */
};

/* An order (section 7.1.3). */
struct np_acme_order {
    enum np_acme_status status;
    char identifiers[NP_SAN_MAX][NP_NAME_MAX + 1];
    size_t identifier_count;
    char authorizations[NP_SAN_MAX][NP_URL_MAX + 1];
    size_t authorization_count;
    char finalize[NP_URL_MAX + 1];
    char certificate[NP_URL_MAX + 1]; /* empty unless valid */
    struct np_acme_problem error;
};

/* A challenge of an authorization (section 8). */
struct np_acme_challenge {
    char type[NP_ACME_CHALLENGE_TYPE_MAX + 1];
    enum np_acme_status status;
    char url[NP_URL_MAX + 1];
    char token[NP_ACME_TOKEN_MAX + 1]; /* empty: it has none */
    struct np_acme_problem error;
};

/* An authorization (section 7.1.4). */
struct np_acme_authorization {
    enum np_acme_status status;
    char name[NP_NAME_MAX + 1]; /* "*." put before it where `wildcard` is set */
    struct np_acme_challenge challenges[NP_ACME_CHALLENGES_MAX];
    size_t challenge_count;
};

/* What is of interest in an account (section 7.1.2). */
struct np_acme_account {
    enum np_acme_status status;
    char orders[NP_URL_MAX + 1]; /* empty: the CA keeps no list (Boulder does not) */
};

/* A list of order URLs (section 7.1.2.1). */
struct np_acme_list {
    char (*urls)[NP_URL_MAX + 1]; /* malloc'd, at most NP_ACME_LIST_MAX */
    size_t count;
};

/* Parses a directory. */
int np_acme_directory_parse(const char *json, size_t len, struct np_acme_directory *out);

/* Parses an order. */
int np_acme_order_parse(const char *json, size_t len, struct np_acme_order *out);

/* Parses an authorization. A challenge that is not as it should be is left out: it may be of a type that is nobody's
 * here. */
int np_acme_authorization_parse(const char *json, size_t len, struct np_acme_authorization *out);

/* Parses an account. */
int np_acme_account_parse(const char *json, size_t len, struct np_acme_account *out);

/* Parses a list of orders; the last NP_ACME_LIST_MAX are kept. The caller frees out->urls. */
int np_acme_list_parse(const char *json, size_t len, struct np_acme_list *out);

/* Parses a problem document. Never fails: a body that is none gives type "other" and an empty detail. */
void np_acme_problem_parse(const char *body, size_t len, struct np_acme_problem *out);

/* Does the directory offer the profile of that name (draft-ietf-acme-profiles)? */
bool np_acme_offers_profile(const struct np_acme_directory *directory, const char *profile);

/* What Link headers (RFC 8288) point to, absolute. Zero before the first header. */
struct np_acme_links {
    char next[NP_URL_MAX + 1]; /* of a list, its next page (RFC 8555 section 7.1.2.1); empty: none */
    char alternates[NP_ACME_ALTERNATES_MAX][NP_URL_MAX + 1]; /* of a chain, other ones (section 7.4.2) */
    size_t alternate_count;
};

/* Adds the links of one header's value: <https://...>;rel="next", <https://...>;rel="alternate". What is not a URL that
 * this client follows is left out. */
void np_acme_links_add(const char *value, struct np_acme_links *links);

/* Is text a URL as this client follows them: "https://", printable, no quotes, not too long? */
bool np_acme_is_url(const char *text);

/* Is text 1 to NP_ACME_NONCE_MAX base64url characters (section 6.5.1)? */
bool np_acme_is_nonce(const char *text);

/* Retry-After (RFC 9110 section 10.2.3) in ms from now: delta seconds or an HTTP date, 0 when absent or senseless,
 * capped at a week. now_s is the Unix time that a date is compared with. */
long long np_acme_retry_after_ms(const char *value, long long now_s);

#endif

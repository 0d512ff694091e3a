/* tsig: transaction signatures (RFC 8945): a key from its file, and whether what a name server answers is signed with
 * it. Signing is zone/update's.
 *
 * Nothing of an answer is believed before its signature is: the TSIG is looked for by cursor (exactly one, the last
 * record), its key, algorithm, MAC, time and fudge are checked, and a MAC that was cut is not taken. A stream of
 * messages (a zone transfer) is checked message by message; those between two signatures become believed with the
 * latter one (RFC 8945 section 5.3.1). */
#ifndef HQ_ZONE_TSIG_H
#define HQ_ZONE_TSIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "hq/proto/message.h"
#include "resolver/name.h"

#define NP_TSIG_FUDGE_S    300 /* RFC 8945 section 10 */
#define NP_TSIG_SECRET_MAX 128 /* bytes of a secret; tsig-keygen makes 32 or 64 */
#define NP_TSIG_BASE64_MAX 172 /* characters of it in base64 */
#define NP_TSIG_MAC_MAX    64  /* bytes: SHA-512 */
#define NP_TSIG_FILE_MAX   4096
#define NP_TSIG_UNSIGNED   99 /* messages of a stream between two signed ones, RFC 8945 section 5.3.1 */

enum np_tsig_algorithm { NP_TSIG_SHA256, NP_TSIG_SHA512 };

/* RFC 8945 section 3. */
enum np_tsig_error {
    NP_TSIG_OK = 0,
    NP_TSIG_BADSIG = 16,
    NP_TSIG_BADKEY = 17,
    NP_TSIG_BADTIME = 18,
    NP_TSIG_BADTRUNC = 22
};

/* A key. A plain value; whoever holds it wipes it. */
struct np_tsig_key {
    char name[NP_NAME_MAX + 1]; /* without final dot, lower case */
    struct np_name wire_name;
    enum np_tsig_algorithm algorithm;
    char base64[NP_TSIG_BASE64_MAX + 1];
    uint8_t secret[NP_TSIG_SECRET_MAX];
    size_t secret_len;
};

/* "hmac-sha256" or "hmac-sha512". Static storage. */
const char *np_tsig_algorithm_name(enum np_tsig_algorithm algorithm);

/* Reads a key as tsig-keygen writes it (key "NAME" { algorithm hmac-sha256; secret "BASE64"; };) or as keymgr and kdig
 * do (hmac-sha256:NAME:BASE64). Returns 0, NP_E_UNKNOWN for another algorithm, NP_E_LIMIT, or NP_E_MALFORMED. */
int np_tsig_key_parse(const char *text, struct np_tsig_key *out_key);

/* What the answer's TSIG says beside its signature. */
struct np_tsig_answer {
    bool present;             /* there is exactly one TSIG, at the end */
    enum np_tsig_error error; /* unverified unless np_tsig_check returned 0 */
    int64_t server_time_s;    /* of BADTIME; 0: not said */
};

struct np_tsig_pending;

/* The check of one answer, or of a stream of them. */
struct np_tsig_check {
    const struct np_tsig_key *key;
    uint8_t mac[NP_TSIG_MAC_MAX]; /* of the request, then of the last signed message */
    size_t mac_len;
    bool first; /* no signed message was seen yet */
    unsigned unsigned_count;
    struct np_tsig_pending *pending; /* the digest over the unsigned messages; NULL: none */
};

/* Begins; mac is the request's. key is borrowed. */
void np_tsig_check_init(struct np_tsig_check *check, const struct np_tsig_key *key, const uint8_t *mac, size_t mac_len);

/* Frees what a stream with unsigned messages holds. */
void np_tsig_check_deinit(struct np_tsig_check *check);

/* Checks one message at now_s. Returns 0 when it (and everything before it in the stream) is signed with the key;
 * NP_E_MISSING without a TSIG: not believed yet (NP_E_SIGNATURE when it is the first one or one too many);
 * NP_E_MALFORMED for a broken message, several TSIGs or one that is not the last; NP_E_KEY for another key or
 * algorithm; NP_E_SIGNATURE; NP_E_DATE outside the fudge; -ENOMEM. */
int np_tsig_check(struct np_tsig_check *check, const uint8_t *message, size_t len, int64_t now_s,
                  struct np_tsig_answer *out_answer);

#endif

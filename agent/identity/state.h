/* state: what the device remembers: who it is, its name, keys, tokens and certificate; as a plain value and as bytes.
 *
 * The bytes are one self-describing file: a magic with the format's version, the length of the whole, records (16-bit
 * tag, 32-bit length, value; a tag at most once, unknown tags skipped so that a later version's file can be read), and
 * SHA-256 over everything before it. Encoder and parser are pure; agent/identity/flash writes the file. The addresses'
 * sequence number is not kept: after a boot HQ's 409 tells it. Wipe a state that goes with np_wipe. */
#ifndef AGENT_IDENTITY_STATE_H
#define AGENT_IDENTITY_STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/identity/keys.h"
#include "hq/proto/message.h"

#define NP_STATE_BYTES_MAX 65536 /* chain 20000, names and grant under 8 KiB: three times what there can be */
#define NP_ETAG_MAX        72    /* characters; a longer ETag is not kept and If-None-Match not sent */

/* How far a wish to leave HQ has come. It is stored before HQ is told, so that a power cut leaves no box that HQ has
 * let go and that does not know it. */
enum np_leaving {
    NP_LEAVING_NOT,
    NP_LEAVING_ASKED, /* the owner wants it, and nobody was told that it failed: it goes on after a restart */
    NP_LEAVING_UNSURE /* the owner was told that it failed, but HQ may have heard: only HQ's `retired` brings it on */
};

/* The device. Zero-initialised it is a box that has never been switched on. */
struct np_state {
    uint64_t generation; /* of the file it came from; set by the store */
    int64_t floor_s;     /* the clock's floor when it was written (0: none) */

    bool has_identity; /* the three below, made together */
    struct np_private_key identity;
    uint8_t epoch[NP_EPOCH_LEN];
    uint8_t token[NP_TOKEN_LEN];

    char device[NP_DEVICE_ID_MAX + 1]; /* empty: not enrolled; then nothing up to checkin_s is set */
    char name[NP_NAME_MAX + 1];
    char san[NP_SAN_MAX][NP_NAME_MAX + 1];
    size_t san_count;
    char grant[NP_GRANT_MAX + 1];
    char nameservers[NP_NAMESERVERS_MAX][NP_NAME_MAX + 1];
    size_t nameserver_count;
    int64_t ttl_s, poll_s, checkin_s, boot_jitter_s;
    char wanted[NP_NAME_MAX + 1]; /* a name that the owner has chosen, not in use yet; empty: none */
    char old[NP_NAME_MAX + 1];    /* the name before, that still leads here; empty: none */
    int64_t old_until_s;

    enum np_leaving leaving;
    enum np_leave_reason leave_reason; /* of leaving */

    bool has_auth; /* HQ's auth token n, stored before its first use */
    uint8_t auth_token[NP_TOKEN_LEN];
    int64_t n;

    bool has_next; /* the TLS key of the CSR that is under way; empty once its certificate is installed */
    struct np_private_key next;

    bool has_chain; /* the installed certificate: its key, PEM (leaf first, LF, ends with one), its package's ETag */
    struct np_private_key tls;
    char chain[NP_CHAIN_MAX + 1];
    char etag[NP_ETAG_MAX + 1];
};

/* Writes the state to out (size bytes; NP_STATE_BYTES_MAX always is enough). Returns 0 or NP_E_LIMIT. */
int np_state_encode(const struct np_state *state, uint8_t *out, size_t size, size_t *out_len);

/* Parses; *out_state is written whole on success and may be wiped on an error. Returns 0, NP_E_MALFORMED,
 * NP_E_TRUNCATED (shorter or longer than it says), NP_E_CHECKSUM, NP_E_VERSION (of another version of the format),
 * NP_E_KEY or NP_E_LIMIT. */
int np_state_parse(const void *data, size_t len, struct np_state *out_state);

#endif

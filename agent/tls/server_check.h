/* server_check: how the certificate of a DNS server is judged (RFC 8310): a BearSSL X.509 engine around others.
 *
 * Strict: BearSSL's own check of chain, dates and name against anchors. Where the clock is not believed (a box without
 * a battery, before it has asked anybody the time, which it cannot without DNS), a leaf that is not valid yet is judged
 * at the moment from which it is: an expired one stays expired, since the time that certainly has passed is known
 * (agent/identity/clock.h). Unchecked: the leaf's key is taken as it comes, against eavesdroppers alone. */
#ifndef AGENT_TLS_SERVER_CHECK_H
#define AGENT_TLS_SERVER_CHECK_H

#include <bearssl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/tls/anchors.h"

/* What a check goes by. */
struct np_server_check_rules {
    const struct np_tls_anchors *anchors; /* NULL: unchecked. Borrowed as long as the check */
    int64_t now_s;                        /* the time to judge by */
    bool clock_believed;
};

/* One connection's check. About 4 KiB; members are server_check.c's. */
struct np_server_check {
    const br_x509_class *vtable; /* first: BearSSL sees this */
    struct np_server_check_rules rules;
    union {
        br_x509_minimal_context strict;
        br_x509_decoder_context unchecked;
    } engine;
    unsigned certificate; /* which of the chain comes: 0 is the leaf */
    uint8_t *leaf;        /* its bytes, held back until its dates are known; NULL: not held back */
    size_t leaf_len, leaf_size;
    br_sha256_context digest; /* of the leaf's bytes, where it is not checked: whoever asks compares them */
};

/* Sets the check up, and the client to use it. */
void np_server_check_init(struct np_server_check *check, const struct np_server_check_rules *rules,
                          br_ssl_client_context *client);

/* Frees what it holds. */
void np_server_check_deinit(struct np_server_check *check);

#endif

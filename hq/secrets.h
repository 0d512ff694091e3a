/* secrets: the folder of HQ's keys. Made by `init`, read once by `serve`, never written afterwards.
 *
 *     pepper           of the auth tokens             64 hex digits
 *     nonce-key        of the Replay-Nonces           64 hex digits
 *     factory-master   of the factory secrets         64 hex digits
 *     grant-key.pem    signs the grants               P-256
 *     tls-ca-key.pem   signs HQ's own certificate     P-256; with tls-ca.pem; both absent where HQ's certificate comes
 *     tls-ca.pem       its certificate                from elsewhere */
#ifndef HQ_SECRETS_H
#define HQ_SECRETS_H

#include <stddef.h>
#include <stdint.h>

#include "hq/crypto.h"

#define NP_SECRETS_ERROR_MAX 768 /* bytes of an error text: a path and a sentence */

/* What the folder holds. */
struct np_hq_secrets {
    uint8_t pepper[32], nonce_key[32], factory_master[32];
    struct np_hq_key *grant_key;
    struct np_hq_key *ca_key; /* NULL: none */
    char *ca_pem;             /* NULL: none */
};

/* Makes all files in the existing folder, which must have none of them; host is named in the CA's subject. *out_secrets
 * is to be released by np_secrets_deinit. Returns 0, -EEXIST, -errno or -ENOMEM, with a sentence in error. */
int np_secrets_make(const char *folder, const char *host, int64_t now_s, struct np_hq_secrets *out_secrets,
                    char error[NP_SECRETS_ERROR_MAX]);

/* Reads the folder. Returns 0, or NP_E_KEY or -errno with a sentence in error. */
int np_secrets_load(const char *folder, struct np_hq_secrets *out_secrets, char error[NP_SECRETS_ERROR_MAX]);

/* Reads factory-master alone. As np_secrets_load. */
int np_secrets_load_master(const char *folder, uint8_t out_master[32], char error[NP_SECRETS_ERROR_MAX]);

/* Wipes and releases. */
void np_secrets_deinit(struct np_hq_secrets *secrets);

#endif

/* factory: the identity that the factory gave the box: a folder of small files, read when the box is to enrol, never
 * written. What each credential is for HQ stands in docs/factory.md.
 *
 *     key.pem, certificate.pem   a factory certificate (leaf first, then the CAs between it and the vendor's), its key
 *     secret                     serial = and secret =, as nameplate-hq factory-secret prints it
 *     claim-code                 the label's code, for boxes whose owner does not type it in
 *
 * Where several are there, the first in this order is used. */
#ifndef AGENT_IDENTITY_FACTORY_H
#define AGENT_IDENTITY_FACTORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/identity/keys.h"
#include "hq/proto/message.h"

#define NP_FACTORY_FILE_MAX  16384 /* bytes of one of the files: a chain of three has under 5 KiB in PEM */
#define NP_FACTORY_ERROR_MAX 640   /* bytes of an error text: a path and a sentence */

/* A factory identity: plain value, secret: wipe it with np_wipe. type NP_CREDENTIAL_OPEN: none. */
struct np_factory {
    enum np_credential_type type;
    char serial[NP_SERIAL_MAX + 1]; /* factory-secret */
    uint8_t secret[32];             /* factory-secret */
    char code[NP_CLAIM_LEN + 1];    /* claim-code */
    struct np_private_key key;      /* factory-certificate, with the three below as in struct np_credential */
    uint8_t chain[NP_CREDENTIAL_CHAIN_MAX];
    size_t certificate_len[NP_CREDENTIAL_CERTS_MAX];
    size_t certificate_count;
};

/* Reads the folder. Returns 0, NP_E_NOT_FOUND where none of the files is there, or NP_E_CONFIG, -errno or -ENOMEM; with
 * an error a sentence for a person in error. */
int np_factory_read(const char *folder, struct np_factory *out_factory, char error[NP_FACTORY_ERROR_MAX]);

/* Reads one file of type `secret`. Returns and error as np_factory_read. */
int np_factory_read_secret(const char *path, struct np_factory *out_factory, char error[NP_FACTORY_ERROR_MAX]);

/* Parses the PEM texts of a factory certificate and its key (NUL-terminated) into key and chain. Pure. Returns 0, or
 * NP_E_CONFIG with what is wrong in error. */
int np_factory_parse_certificate(const char *key_pem, const char *chain_pem, struct np_factory *out_factory,
                                 char error[NP_FACTORY_ERROR_MAX]);

/* What only this box has of it, for the random generator: 32 bytes. false: it has nothing. */
bool np_factory_seed(const struct np_factory *factory, uint8_t out_seed[32]);

/* Fills in the credential for a request with that nonce and URL, signed by identity. Returns 0 or NP_E_KEY. */
int np_factory_credential(const struct np_factory *factory, const struct np_public_key *identity, const char *nonce,
                          const char *url, struct np_credential *out_credential);

#endif

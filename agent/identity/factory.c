#include "agent/identity/factory.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/certificate/pem.h"
#include "agent/certificate/x509.h"
#include "resolver/base/config.h"
#include "resolver/base/error.h"
#include "resolver/base/file.h"
#include "resolver/base/text.h"

#define PATH_SIZE 512

static const struct np_config_key secret_keys[] = {
    {"serial", NP_CONFIG_STRING, NULL, "serial number", NULL, 0, 0},
    {"secret", NP_CONFIG_STRING, NULL, "64 hex digits", NULL, 0, 0},
    {NULL, NP_CONFIG_STRING, NULL, NULL, NULL, 0, 0},
};

/* ---- secret ---- */

int np_factory_read_secret(const char *path, struct np_factory *out_factory, char error[NP_FACTORY_ERROR_MAX])
{
    struct np_factory factory = {.type = NP_CREDENTIAL_FACTORY_SECRET};
    struct np_config *file;
    int rc = np_config_load(path, secret_keys, &file, error);
    if (rc)
        return rc;
    const char *serial = np_config_string(file, "serial"), *secret = np_config_string(file, "secret");
    if (!serial || !np_is_token(serial, NP_SERIAL_MAX))
        rc = np_config_fail(file, "serial", error, "serial = must give the serial number, 1 to %d printable characters",
                            NP_SERIAL_MAX);
    else if (!secret || np_hex_decode_exact(secret, factory.secret, sizeof factory.secret))
        rc = np_config_fail(file, "secret", error, "secret = must be 64 hex digits (nameplate-hq factory-secret %s)",
                            serial);
    else
        memcpy(factory.serial, serial, strlen(serial) + 1);
    np_config_free(file);
    if (rc == 0)
        *out_factory = factory;
    np_wipe(&factory, sizeof factory);
    return rc;
}

/* ---- certificate.pem, key.pem ---- */

static int parse_key(const char *pem, struct np_factory *factory, char error[NP_FACTORY_ERROR_MAX])
{
    static const char *const labels[] = {"PRIVATE KEY", "EC PRIVATE KEY"};
    uint8_t der[NP_KEY_DER_MAX];
    long n = 0;
    for (size_t i = 0; i < 2 && n == 0; i++) {
        struct np_pem reader = {.text = pem, .len = strlen(pem)};
        n = np_pem_next(&reader, labels[i], der, sizeof der);
    }
    int rc = n > 0 ? np_key_parse(der, (size_t)n, &factory->key) : NP_E_KEY;
    np_wipe(der, sizeof der);
    return rc ? np_explain(error, NP_FACTORY_ERROR_MAX, NP_E_CONFIG,
                           "key.pem must hold a private key on P-256, in PEM, without a passphrase")
              : 0;
}

static int parse_chain(const char *pem, struct np_factory *factory, char error[NP_FACTORY_ERROR_MAX])
{
    struct np_pem reader = {.text = pem, .len = strlen(pem)};
    size_t used = 0;
    for (;;) {
        uint8_t der[NP_CREDENTIAL_CERT_MAX];
        long n = np_pem_next(&reader, "CERTIFICATE", der, sizeof der);
        if (n == NP_E_LIMIT)
            return np_explain(error, NP_FACTORY_ERROR_MAX, NP_E_CONFIG,
                              "certificate.pem: a certificate has more than %d bytes", NP_CREDENTIAL_CERT_MAX);
        if (n < 0)
            return np_explain(error, NP_FACTORY_ERROR_MAX, NP_E_CONFIG,
                              "certificate.pem is damaged: not all of it is PEM");
        if (n == 0)
            break;
        if (factory->certificate_count == NP_CREDENTIAL_CERTS_MAX || used + (size_t)n > sizeof factory->chain)
            return np_explain(error, NP_FACTORY_ERROR_MAX, NP_E_CONFIG,
                              "certificate.pem has more than %d certificates or %d bytes of them; leave the root out",
                              NP_CREDENTIAL_CERTS_MAX, NP_CREDENTIAL_CHAIN_MAX);
        memcpy(factory->chain + used, der, (size_t)n);
        used += (size_t)n;
        factory->certificate_len[factory->certificate_count++] = (size_t)n;
    }
    return factory->certificate_count
               ? 0
               : np_explain(error, NP_FACTORY_ERROR_MAX, NP_E_CONFIG, "certificate.pem holds no certificate");
}

int np_factory_parse_certificate(const char *key_pem, const char *chain_pem, struct np_factory *out_factory,
                                 char error[NP_FACTORY_ERROR_MAX])
{
    struct np_factory factory = {.type = NP_CREDENTIAL_FACTORY_CERTIFICATE};
    struct np_x509 leaf;
    int rc = parse_key(key_pem, &factory, error);
    if (rc == 0)
        rc = parse_chain(chain_pem, &factory, error);
    if (rc == 0 && np_x509_parse(factory.chain, factory.certificate_len[0], &leaf))
        rc = np_explain(error, NP_FACTORY_ERROR_MAX, NP_E_CONFIG,
                        "certificate.pem: the first certificate cannot be read");
    if (rc == 0 && (!leaf.has_p256 || memcmp(&leaf.key, &factory.key.public, sizeof leaf.key) != 0))
        rc =
            np_explain(error, NP_FACTORY_ERROR_MAX, NP_E_CONFIG,
                       "key.pem is not the key of the first certificate in certificate.pem: the box's own comes first");
    if (rc == 0)
        *out_factory = factory;
    np_wipe(&factory, sizeof factory);
    return rc;
}

/* ---- The folder ---- */

/* A whole file of the folder as text. -ENOENT is no error text's worth yet. */
static int read_text(const char *folder, const char *name, char **out_text, char error[NP_FACTORY_ERROR_MAX])
{
    char path[PATH_SIZE];
    uint8_t *data;
    size_t len;
    if (snprintf(path, sizeof path, "%s/%s", folder, name) >= (int)sizeof path)
        return np_explain(error, NP_FACTORY_ERROR_MAX, NP_E_LIMIT, "%.100s...: the path is too long", folder);
    int rc = np_file_read(path, NP_FACTORY_FILE_MAX, &data, &len);
    if (rc)
        return np_explain(error, NP_FACTORY_ERROR_MAX, rc, "%s: %s", path, np_strerror(rc));
    if (strlen((char *)data) != len) {
        np_wipe(data, len);
        free(data);
        return np_explain(error, NP_FACTORY_ERROR_MAX, NP_E_CONFIG, "%s: holds a zero byte, and must be a text", path);
    }
    *out_text = (char *)data;
    return 0;
}

static void free_text(char *text)
{
    if (text)
        np_wipe(text, strlen(text));
    free(text);
}

/* Puts the folder before a sentence that begins with a file's name. */
static void name_folder(const char *folder, char error[NP_FACTORY_ERROR_MAX])
{
    char text[NP_FACTORY_ERROR_MAX];
    memcpy(text, error, sizeof text);
    snprintf(error, NP_FACTORY_ERROR_MAX, "%.400s/%.230s", folder, text);
}

static int read_certificate(const char *folder, struct np_factory *out_factory, char error[NP_FACTORY_ERROR_MAX])
{
    char *key = NULL, *chain = NULL, other[NP_FACTORY_ERROR_MAX];
    int rc = read_text(folder, "certificate.pem", &chain, error);
    int key_rc = read_text(folder, "key.pem", &key, rc == -ENOENT ? other : error);
    if (rc == -ENOENT && key_rc == -ENOENT)
        rc = NP_E_NOT_FOUND;
    else if (rc == -ENOENT && key_rc == 0)
        rc = np_explain(error, NP_FACTORY_ERROR_MAX, NP_E_CONFIG,
                        "%s has key.pem, but no certificate.pem: a factory certificate needs both", folder);
    else if (rc == 0 && key_rc == -ENOENT)
        rc = np_explain(error, NP_FACTORY_ERROR_MAX, NP_E_CONFIG,
                        "%s has certificate.pem, but no key.pem: a factory certificate needs both", folder);
    else if (rc == 0)
        rc = key_rc;
    if (rc == 0 && (rc = np_factory_parse_certificate(key, chain, out_factory, error)))
        name_folder(folder, error);
    free_text(key);
    free_text(chain);
    return rc;
}

static int read_secret(const char *folder, struct np_factory *out_factory, char error[NP_FACTORY_ERROR_MAX])
{
    char path[PATH_SIZE], *text = NULL;
    int rc = read_text(folder, "secret", &text, error); /* says whether it is there */
    free_text(text);
    if (rc)
        return rc == -ENOENT ? NP_E_NOT_FOUND : rc;
    snprintf(path, sizeof path, "%s/secret", folder);
    return np_factory_read_secret(path, out_factory, error);
}

static int read_claim_code(const char *folder, struct np_factory *out_factory, char error[NP_FACTORY_ERROR_MAX])
{
    struct np_factory factory = {.type = NP_CREDENTIAL_CLAIM_CODE};
    char *text = NULL;
    int rc = read_text(folder, "claim-code", &text, error);
    if (rc)
        return rc == -ENOENT ? NP_E_NOT_FOUND : rc;
    text[strcspn(text, "\r\n")] = 0;
    rc = np_claim_parse(text, factory.code);
    free_text(text);
    if (rc == 0)
        *out_factory = factory;
    np_wipe(&factory, sizeof factory);
    if (rc == NP_E_CHECKSUM)
        return np_explain(error, NP_FACTORY_ERROR_MAX, NP_E_CONFIG,
                          "%s/claim-code has a wrong character; compare it with the label", folder);
    return rc ? np_explain(error, NP_FACTORY_ERROR_MAX, NP_E_CONFIG,
                           "%s/claim-code must be one line of %d letters and digits, as XXXX-XXXX-XXXX-XXXX", folder,
                           NP_CLAIM_LEN)
              : 0;
}

int np_factory_read(const char *folder, struct np_factory *out_factory, char error[NP_FACTORY_ERROR_MAX])
{
    int rc = read_certificate(folder, out_factory, error);
    if (rc == NP_E_NOT_FOUND)
        rc = read_secret(folder, out_factory, error);
    if (rc == NP_E_NOT_FOUND)
        rc = read_claim_code(folder, out_factory, error);
    if (rc == NP_E_NOT_FOUND)
        np_explain(error, NP_FACTORY_ERROR_MAX, rc,
                   "%s has no factory identity: neither certificate.pem with key.pem, nor secret, nor claim-code",
                   folder);
    return rc;
}

/* ---- Using it ---- */

bool np_factory_seed(const struct np_factory *factory, uint8_t out_seed[32])
{
    switch (factory->type) {
    case NP_CREDENTIAL_OPEN:
        return false;
    case NP_CREDENTIAL_FACTORY_SECRET:
        memcpy(out_seed, factory->secret, 32);
        return true;
    case NP_CREDENTIAL_CLAIM_CODE:
        np_sha256(factory->code, NP_CLAIM_LEN, out_seed);
        return true;
    case NP_CREDENTIAL_FACTORY_CERTIFICATE:
        np_sha256(factory->key.scalar, sizeof factory->key.scalar, out_seed);
        return true;
    }
    return false;
}

int np_factory_credential(const struct np_factory *factory, const struct np_public_key *identity, const char *nonce,
                          const char *url, struct np_credential *out_credential)
{
    struct np_credential c = {.type = factory->type};
    uint8_t input[NP_FACTORY_MAC_INPUT_MAX], thumbprint[32], hash[32];
    struct np_crypto crypto;
    int rc = 0;
    np_crypto_init(&crypto, NULL);
    np_jwk_thumbprint(&crypto, identity, thumbprint);
    size_t len = np_factory_mac_input(thumbprint, nonce, url, input);
    switch (factory->type) {
    case NP_CREDENTIAL_OPEN:
        break;
    case NP_CREDENTIAL_FACTORY_SECRET:
        memcpy(c.serial, factory->serial, sizeof c.serial);
        np_hmac_sha256(factory->secret, sizeof factory->secret, input, len, c.mac);
        break;
    case NP_CREDENTIAL_CLAIM_CODE:
        memcpy(c.code, factory->code, sizeof factory->code);
        break;
    case NP_CREDENTIAL_FACTORY_CERTIFICATE:
        memcpy(c.chain, factory->chain, sizeof c.chain);
        memcpy(c.certificate_len, factory->certificate_len, sizeof c.certificate_len);
        c.certificate_count = factory->certificate_count;
        np_sha256(input, len, hash);
        rc = np_key_sign(&factory->key, hash, c.signature);
        break;
    }
    if (rc == 0)
        *out_credential = c;
    np_wipe(&c, sizeof c);
    return rc;
}

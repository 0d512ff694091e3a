#include "hq/secrets.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "hq/pki.h"
#include "resolver/base/error.h"
#include "resolver/base/file.h"
#include "resolver/base/random.h"
#include "resolver/base/text.h"

#define PATH_MAX_LEN 640

static void path_of(const char *folder, const char *file, char out[PATH_MAX_LEN])
{
    snprintf(out, PATH_MAX_LEN, "%.560s/%s", folder, file);
}

static int fail(char error[NP_SECRETS_ERROR_MAX], const char *path, const char *why, int rc)
{
    snprintf(error, NP_SECRETS_ERROR_MAX, "%s: %s", path, why);
    return rc;
}

/* Writes a new file that only the owner may read. */
static int write_new(const char *folder, const char *file, const char *text, char error[NP_SECRETS_ERROR_MAX])
{
    char path[PATH_MAX_LEN];
    path_of(folder, file, path);
    if (access(path, F_OK) == 0)
        return fail(error, path, "is there already, and is not overwritten", -EEXIST);
    int rc = np_file_write_atomic(path, text, strlen(text), 0600);
    return rc ? fail(error, path, np_strerror(rc), rc) : 0;
}

static int make_random(const char *folder, const char *file, uint8_t out_bytes[32], char error[NP_SECRETS_ERROR_MAX])
{
    char hex[NP_HEX_LEN(32) + 1];
    np_random_bytes(out_bytes, 32);
    np_hex_encode(out_bytes, 32, hex);
    hex[64] = '\n';
    hex[65] = 0;
    int rc = write_new(folder, file, hex, error);
    np_wipe(hex, sizeof hex);
    return rc;
}

static int make_key(const char *folder, const char *file, struct np_hq_key **out_key, char error[NP_SECRETS_ERROR_MAX])
{
    struct np_hq_key *key = NULL;
    char *pem = NULL;
    int rc = np_hq_key_make(&key);
    if (rc == 0)
        rc = np_hq_key_pem(key, &pem);
    if (rc) {
        np_hq_key_free(key);
        return fail(error, file, np_strerror(rc), rc);
    }
    rc = write_new(folder, file, pem, error);
    np_wipe(pem, strlen(pem));
    free(pem);
    if (rc)
        np_hq_key_free(key);
    else
        *out_key = key;
    return rc;
}

int np_secrets_make(const char *folder, const char *host, int64_t now_s, struct np_hq_secrets *out_secrets,
                    char error[NP_SECRETS_ERROR_MAX])
{
    struct np_hq_secrets s = {0};
    char name[65];
    int rc = make_random(folder, "pepper", s.pepper, error);
    if (rc == 0)
        rc = make_random(folder, "nonce-key", s.nonce_key, error);
    if (rc == 0)
        rc = make_random(folder, "factory-master", s.factory_master, error);
    if (rc == 0)
        rc = make_key(folder, "grant-key.pem", &s.grant_key, error);
    if (rc == 0)
        rc = make_key(folder, "tls-ca-key.pem", &s.ca_key, error);
    if (rc == 0) {
        snprintf(name, sizeof name, "nameplate HQ %.50s", host);
        rc = np_pki_make_ca(s.ca_key, name, now_s, &s.ca_pem);
        rc = rc ? fail(error, "tls-ca.pem", np_strerror(rc), rc) : write_new(folder, "tls-ca.pem", s.ca_pem, error);
    }
    if (rc)
        np_secrets_deinit(&s);
    else
        *out_secrets = s;
    return rc;
}

/* A whole small file, NUL-terminated. */
static int read_file(const char *folder, const char *file, char **out_text, size_t *out_len,
                     char error[NP_SECRETS_ERROR_MAX])
{
    char path[PATH_MAX_LEN];
    uint8_t *data;
    path_of(folder, file, path);
    int rc = np_file_read(path, NP_PKI_PEM_MAX, &data, out_len);
    if (rc)
        return fail(error, path, np_strerror(rc), rc);
    *out_text = (char *)data;
    return 0;
}

static int load_bytes(const char *folder, const char *file, uint8_t out_bytes[32], char error[NP_SECRETS_ERROR_MAX])
{
    char *text;
    size_t len;
    int rc = read_file(folder, file, &text, &len, error);
    if (rc)
        return rc;
    text[strcspn(text, "\r\n")] = 0;
    if (np_hex_decode_exact(text, out_bytes, 32)) {
        char path[PATH_MAX_LEN];
        path_of(folder, file, path);
        rc = fail(error, path, "must be one line of 64 hex digits", NP_E_KEY);
    }
    np_wipe(text, len);
    free(text);
    return rc;
}

static int load_key(const char *folder, const char *file, struct np_hq_key **out_key, char error[NP_SECRETS_ERROR_MAX])
{
    char *text;
    size_t len;
    int rc = read_file(folder, file, &text, &len, error);
    if (rc)
        return rc;
    rc = np_hq_key_parse(text, len, out_key);
    np_wipe(text, len);
    free(text);
    if (rc) {
        char path[PATH_MAX_LEN];
        path_of(folder, file, path);
        return fail(error, path, "must be a P-256 private key in PEM", rc);
    }
    return 0;
}

int np_secrets_load_master(const char *folder, uint8_t out_master[32], char error[NP_SECRETS_ERROR_MAX])
{
    return load_bytes(folder, "factory-master", out_master, error);
}

int np_secrets_load(const char *folder, struct np_hq_secrets *out_secrets, char error[NP_SECRETS_ERROR_MAX])
{
    struct np_hq_secrets s = {0};
    size_t len;
    int rc = load_bytes(folder, "pepper", s.pepper, error);
    if (rc == 0)
        rc = load_bytes(folder, "nonce-key", s.nonce_key, error);
    if (rc == 0)
        rc = np_secrets_load_master(folder, s.factory_master, error);
    if (rc == 0)
        rc = load_key(folder, "grant-key.pem", &s.grant_key, error);
    if (rc == 0) {
        rc = load_key(folder, "tls-ca-key.pem", &s.ca_key, error);
        if (rc == 0)
            rc = read_file(folder, "tls-ca.pem", &s.ca_pem, &len, error);
        else if (rc == -ENOENT)
            rc = 0; /* the operator brings HQ's certificate himself */
    }
    if (rc)
        np_secrets_deinit(&s);
    else
        *out_secrets = s;
    return rc;
}

void np_secrets_deinit(struct np_hq_secrets *secrets)
{
    np_hq_key_free(secrets->grant_key);
    np_hq_key_free(secrets->ca_key);
    free(secrets->ca_pem);
    np_wipe(secrets, sizeof *secrets);
}

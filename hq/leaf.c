#include "hq/leaf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "hq/pki.h"
#include "resolver/base/error.h"
#include "resolver/base/file.h"
#include "resolver/base/log.h"
#include "resolver/base/text.h"

#define CHAIN_FILE_MAX 65536

/* Signs a new leaf with the private CA and begins to use it. Its files are replaced where that is allowed: where not
 * (privileges are dropped), the next start does it again. */
static int renew_leaf(struct np_leaf *leaf)
{
    struct np_hq_key *key = NULL;
    char *key_pem = NULL, *leaf_pem = NULL;
    int rc = np_hq_key_make(&key);
    if (rc == 0)
        rc = np_hq_key_pem(key, &key_pem);
    if (rc == 0)
        rc = np_pki_make_leaf(leaf->secrets->ca_key, leaf->secrets->ca_pem, key, leaf->config->host, time(NULL),
                              &leaf_pem);
    if (rc == 0)
        rc = np_tls_load(leaf->tls, leaf_pem, strlen(leaf_pem), key_pem, strlen(key_pem));
    if (rc == 0)
        rc = np_pki_validity(leaf_pem, strlen(leaf_pem), &leaf->not_before_s, &leaf->not_after_s);
    if (rc == 0) {
        /* The key first: a crash between the two leaves a pair that does not match, which np_leaf_open repairs. */
        int written = np_file_write_atomic(leaf->config->tls_key, key_pem, strlen(key_pem), 0600);
        if (written == 0)
            written = np_file_write_atomic(leaf->config->tls_certificate, leaf_pem, strlen(leaf_pem), 0644);
        np_notice("HQ's own certificate was renewed%s%s", written ? "; not stored: " : "",
                  written ? np_strerror(written) : "");
    }
    if (key_pem)
        np_wipe(key_pem, strlen(key_pem));
    free(key_pem);
    free(leaf_pem);
    np_hq_key_free(key);
    return rc;
}

/* Reads the configured certificate and key into TLS. */
static int load_leaf(struct np_leaf *leaf, char error[NP_LEAF_ERROR_MAX])
{
    uint8_t *chain = NULL, *key = NULL;
    size_t chain_len = 0, key_len = 0;
    int rc = np_file_read(leaf->config->tls_certificate, CHAIN_FILE_MAX, &chain, &chain_len);
    if (rc) {
        np_explain(error, NP_LEAF_ERROR_MAX, rc, "%s: %s (tls-certificate)", leaf->config->tls_certificate,
                   np_strerror(rc));
        goto out;
    }
    rc = np_file_read(leaf->config->tls_key, CHAIN_FILE_MAX, &key, &key_len);
    if (rc) {
        np_explain(error, NP_LEAF_ERROR_MAX, rc, "%s: %s (tls-key)", leaf->config->tls_key, np_strerror(rc));
        goto out;
    }
    rc = np_tls_load(leaf->tls, (char *)chain, chain_len, (char *)key, key_len);
    if (rc == 0)
        rc = np_pki_validity((char *)chain, chain_len, &leaf->not_before_s, &leaf->not_after_s);
    if (rc)
        np_explain(error, NP_LEAF_ERROR_MAX, rc, "%s and %s are no certificate and its key: %s",
                   leaf->config->tls_certificate, leaf->config->tls_key, np_strerror(rc));
out:
    if (key)
        np_wipe(key, key_len);
    free(key);
    free(chain);
    return rc;
}

int np_leaf_open(struct np_leaf *leaf, char error[NP_LEAF_ERROR_MAX])
{
    int rc = np_tls_new(&leaf->tls);
    if (rc)
        return np_explain(error, NP_LEAF_ERROR_MAX, rc, "TLS: %s", np_strerror(rc));
    rc = load_leaf(leaf, error);
    if (leaf->secrets->ca_key && (rc || np_pki_is_due(leaf->not_before_s, leaf->not_after_s, time(NULL)))) {
        rc = renew_leaf(leaf);
        if (rc)
            np_explain(error, NP_LEAF_ERROR_MAX, rc, "HQ's own certificate cannot be made: %s", np_strerror(rc));
    }
    return rc;
}

void np_leaf_check(struct np_leaf *leaf)
{
    if (!leaf->tls || !np_pki_is_due(leaf->not_before_s, leaf->not_after_s, time(NULL)))
        return;
    if (!leaf->secrets->ca_key) {
        np_warning("HQ's own certificate (%s) is near its end: replace it and restart", leaf->config->tls_certificate);
        return;
    }
    int rc = renew_leaf(leaf);
    if (rc)
        np_error("HQ's own certificate could not be renewed: %s", np_strerror(rc));
}

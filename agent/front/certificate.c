#include "agent/front/certificate.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "agent/certificate/pem.h"
#include "agent/identity/keys.h"
#include "resolver/base/error.h"
#include "resolver/base/text.h"

#define LEAF_MAX 8192 /* bytes of DER: a leaf with a few names is under 2 KiB */

static int parse_leaf(const char *chain, size_t len, struct np_x509 *out_leaf)
{
    uint8_t der[LEAF_MAX];
    struct np_pem pem = {.text = chain, .len = len};
    long n = np_pem_next(&pem, "CERTIFICATE", der, sizeof der);
    if (n <= 0)
        return n == 0 ? NP_E_MISSING : (int)n;
    return np_x509_parse(der, (size_t)n, out_leaf);
}

static int parse_key(const char *text, struct np_private_key *out_key)
{
    uint8_t der[NP_KEY_DER_MAX];
    long n = np_base64url_decode(text, strlen(text), der, sizeof der);
    int rc = n < 0 ? (int)n : np_key_parse(der, (size_t)n, out_key);
    np_wipe(der, sizeof der);
    return rc;
}

static int fill(json_t *root, struct np_front_certificate *certificate)
{
    const char *chain, *key_text;
    struct np_private_key key;
    if (json_unpack(root, "{s:s, s:s}", "chain", &chain, "key", &key_text))
        return NP_E_MALFORMED;
    int rc = parse_leaf(chain, strlen(chain), &certificate->leaf);
    if (!rc)
        rc = parse_key(key_text, &key);
    if (rc)
        return rc;
    if (!certificate->leaf.has_p256 || memcmp(&certificate->leaf.key, &key.public, sizeof key.public) != 0)
        rc = NP_E_KEY;
    if (!rc)
        rc = np_tls_identity_new(chain, strlen(chain), &key, &certificate->identity);
    np_wipe(&key, sizeof key);
    return rc;
}

/* jansson gives its memory back unwiped: the key's text is overwritten in place first. */
static void wipe_key(json_t *root)
{
    const char *text = json_string_value(json_object_get(root, "key"));
    if (text)
        np_wipe((char *)(uintptr_t)text, strlen(text));
}

int np_front_certificate_parse(const char *text, size_t len, struct np_front_certificate **out_certificate)
{
    json_t *root = json_loadb(text, len, JSON_REJECT_DUPLICATES, NULL);
    struct np_front_certificate *certificate = calloc(1, sizeof *certificate);
    int rc = -ENOMEM;
    if (certificate)
        rc = json_is_object(root) ? fill(root, certificate) : NP_E_MALFORMED;
    wipe_key(root);
    json_decref(root);
    if (rc) {
        np_front_certificate_free(certificate);
        return rc;
    }
    *out_certificate = certificate;
    return 0;
}

void np_front_certificate_free(struct np_front_certificate *certificate)
{
    if (!certificate)
        return;
    np_tls_identity_unref(certificate->identity);
    free(certificate);
}

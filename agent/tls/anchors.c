#include "agent/tls/anchors.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/certificate/pem.h"
#include "resolver/base/error.h"

#define CERT_DER_MAX     8192 /* bytes of one certificate; an ML-DSA one would be larger, but BearSSL knows none */
#define DN_MAX           2048 /* bytes of an anchor's subject */
#define RSA_MODULUS_MAX  512  /* bytes: BearSSL checks keys up to 4096 bits */
#define RSA_EXPONENT_MAX 16

struct np_tls_anchors {
    br_x509_trust_anchor *list; /* dn.data of each is one block with the key behind it */
    size_t count, size;
};

/* What a parse is allowed. */
struct rules {
    size_t file_max, max;
    size_t *skipped; /* NULL: nothing may be passed over */
};

struct subject {
    uint8_t bytes[DN_MAX];
    size_t len;
};

static void append_dn(void *ctx, const void *bytes, size_t len)
{
    struct subject *subject = ctx;
    if (subject->len > DN_MAX || len > DN_MAX - subject->len) {
        subject->len = DN_MAX + 1; /* too long, from here on */
        return;
    }
    memcpy(subject->bytes + subject->len, bytes, len);
    subject->len += len;
}

/* Bytes that the key takes, 0 for one that cannot be used. */
static size_t key_size(const br_x509_pkey *key)
{
    if (key->key_type == BR_KEYTYPE_EC)
        return key->key.ec.qlen;
    if (key->key_type != BR_KEYTYPE_RSA || key->key.rsa.nlen > RSA_MODULUS_MAX || key->key.rsa.elen > RSA_EXPONENT_MAX)
        return 0;
    return key->key.rsa.nlen + key->key.rsa.elen;
}

static void copy_key(const br_x509_pkey *key, uint8_t *to, br_x509_pkey *out_key)
{
    *out_key = *key;
    if (key->key_type == BR_KEYTYPE_EC) {
        memcpy(to, key->key.ec.q, key->key.ec.qlen);
        out_key->key.ec.q = to;
        return;
    }
    memcpy(to, key->key.rsa.n, key->key.rsa.nlen);
    memcpy(to + key->key.rsa.nlen, key->key.rsa.e, key->key.rsa.elen);
    out_key->key.rsa.n = to;
    out_key->key.rsa.e = to + key->key.rsa.nlen;
}

static int make_room(struct np_tls_anchors *anchors)
{
    if (anchors->count < anchors->size)
        return 0;
    size_t size = anchors->size ? anchors->size * 2 : NP_TLS_ANCHORS_MAX;
    br_x509_trust_anchor *list = realloc(anchors->list, size * sizeof *list);
    if (!list)
        return -ENOMEM;
    anchors->list = list;
    anchors->size = size;
    return 0;
}

static int add(struct np_tls_anchors *anchors, const uint8_t *der, size_t len)
{
    struct subject subject = {.len = 0};
    br_x509_decoder_context decoder;
    br_x509_decoder_init(&decoder, append_dn, &subject);
    br_x509_decoder_push(&decoder, der, len);
    const br_x509_pkey *key = br_x509_decoder_get_pkey(&decoder);
    if (!key)
        return NP_E_MALFORMED;
    size_t key_len = key_size(key);
    if (subject.len > DN_MAX || key_len == 0)
        return NP_E_LIMIT;
    int rc = make_room(anchors);
    uint8_t *block = rc ? NULL : malloc(subject.len + key_len);
    if (!block)
        return -ENOMEM;
    br_x509_trust_anchor *anchor = &anchors->list[anchors->count++];
    memcpy(block, subject.bytes, subject.len);
    anchor->dn.data = block;
    anchor->dn.len = subject.len;
    anchor->flags = br_x509_decoder_isCA(&decoder) ? BR_X509_TA_CA : 0;
    copy_key(key, block + subject.len, &anchor->pkey);
    return 0;
}

static int fill(struct np_tls_anchors *anchors, const char *pem, size_t len, const struct rules *rules)
{
    uint8_t der[CERT_DER_MAX];
    struct np_pem reader = {.text = pem, .len = len};
    for (;;) {
        long n = np_pem_next(&reader, "CERTIFICATE", der, sizeof der);
        if (n <= 0)
            return n < 0 ? (int)n : anchors->count ? 0 : NP_E_MISSING;
        int rc = anchors->count < rules->max ? add(anchors, der, (size_t)n) : NP_E_LIMIT;
        if (rc && (!rules->skipped || rc == -ENOMEM || anchors->count == rules->max))
            return rc;
        if (rc)
            ++*rules->skipped;
    }
}

static int parse(const char *pem, size_t len, const struct rules *rules, struct np_tls_anchors **out_anchors)
{
    if (len > rules->file_max)
        return NP_E_LIMIT;
    struct np_tls_anchors *anchors = calloc(1, sizeof *anchors);
    if (!anchors)
        return -ENOMEM;
    int rc = fill(anchors, pem, len, rules);
    if (rc) {
        np_tls_anchors_free(anchors);
        return rc;
    }
    *out_anchors = anchors;
    return 0;
}

int np_tls_anchors_parse(const char *pem, size_t len, struct np_tls_anchors **out_anchors)
{
    const struct rules rules = {NP_TLS_ANCHORS_FILE_MAX, NP_TLS_ANCHORS_MAX, NULL};
    return parse(pem, len, &rules, out_anchors);
}

int np_tls_bundle_parse(const char *pem, size_t len, struct np_tls_anchors **out_anchors, size_t *out_skipped)
{
    const struct rules rules = {NP_TLS_BUNDLE_FILE_MAX, NP_TLS_BUNDLE_MAX, out_skipped};
    *out_skipped = 0;
    return parse(pem, len, &rules, out_anchors);
}

const br_x509_trust_anchor *np_tls_anchors_list(const struct np_tls_anchors *anchors, size_t *out_count)
{
    *out_count = anchors->count;
    return anchors->list;
}

void np_tls_anchors_free(struct np_tls_anchors *anchors)
{
    if (!anchors)
        return;
    for (size_t i = 0; i < anchors->count; i++)
        free(anchors->list[i].dn.data);
    free(anchors->list);
    free(anchors);
}

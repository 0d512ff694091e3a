#include "agent/tls/profile.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "agent/certificate/pem.h"
#include "resolver/base/error.h"
#include "resolver/base/random.h"
#include "resolver/base/text.h"

#define CERT_DER_MAX    8192   /* bytes of one certificate; an ML-DSA one would be larger, but BearSSL knows none */
#define DAYS_TO_1970    719528 /* BearSSL counts days from the year 0 */
#define RSA_MODULUS_MIN 256    /* bytes: 2048 bits */
#define INJECTED_RANDOM 48     /* bytes for the engine's HMAC-DRBG */
#define SECONDS_A_DAY   86400

struct np_tls_identity {
    unsigned references;
    br_x509_certificate chain[NP_TLS_CHAIN_MAX];
    size_t count;
    uint8_t scalar[NP_KEY_SCALAR_LEN];
    br_ec_private_key key;
    size_t der_len;
    uint8_t der[]; /* the certificates one after the other */
};

/* The server's chain and key. */

/* Is the leaf's key ours? A chain with another key would make every handshake fail at the client. */
static bool leaf_has_key(const br_x509_certificate *leaf, const struct np_private_key *key)
{
    br_x509_decoder_context decoder;
    br_x509_decoder_init(&decoder, NULL, NULL);
    br_x509_decoder_push(&decoder, leaf->data, leaf->data_len);
    const br_x509_pkey *found = br_x509_decoder_get_pkey(&decoder);
    uint8_t point[65];
    np_public_key_encode(&key->public, point);
    return found && found->key_type == BR_KEYTYPE_EC && found->key.ec.curve == BR_EC_secp256r1 &&
           found->key.ec.qlen == sizeof point && memcmp(found->key.ec.q, point, sizeof point) == 0;
}

static int identity_fill(struct np_tls_identity *identity, const char *pem, size_t len)
{
    struct np_pem reader = {.text = pem, .len = len};
    for (;;) {
        uint8_t *to = identity->der + identity->der_len;
        long n = np_pem_next(&reader, "CERTIFICATE", to, len - identity->der_len);
        if (n <= 0)
            return n < 0 ? (int)n : identity->count ? 0 : NP_E_MISSING;
        if (identity->count == NP_TLS_CHAIN_MAX)
            return NP_E_LIMIT;
        identity->chain[identity->count++] = (br_x509_certificate){.data = to, .data_len = (size_t)n};
        identity->der_len += (size_t)n;
    }
}

int np_tls_identity_new(const char *chain_pem, size_t len, const struct np_private_key *key,
                        struct np_tls_identity **out_identity)
{
    if (len > NP_TLS_CHAIN_MAX * (size_t)CERT_DER_MAX)
        return NP_E_LIMIT;
    /* DER is shorter than its PEM. */
    struct np_tls_identity *identity = calloc(1, sizeof *identity + len);
    if (!identity)
        return -ENOMEM;
    int rc = identity_fill(identity, chain_pem, len);
    if (!rc && !leaf_has_key(&identity->chain[0], key))
        rc = NP_E_KEY;
    if (rc) {
        free(identity);
        return rc;
    }
    identity->references = 1;
    memcpy(identity->scalar, key->scalar, sizeof identity->scalar);
    identity->key =
        (br_ec_private_key){.curve = BR_EC_secp256r1, .x = identity->scalar, .xlen = sizeof identity->scalar};
    *out_identity = identity;
    return 0;
}

struct np_tls_identity *np_tls_identity_ref(struct np_tls_identity *identity)
{
    identity->references++;
    return identity;
}

void np_tls_identity_unref(struct np_tls_identity *identity)
{
    if (!identity || --identity->references > 0)
        return;
    np_wipe(identity->scalar, sizeof identity->scalar);
    free(identity);
}

/* The profile. */

static bool aes_in_hardware(void)
{
    return br_aes_x86ni_ctr_get_vtable() && br_ghash_pclmul_get();
}

/* AES, then ChaCha20: the order where the processor has AES; else the other way round. */
static const uint16_t ecdsa_suites[][3] = {
    {BR_TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, BR_TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
     BR_TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384},
    {BR_TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, BR_TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
     BR_TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384},
};
static const uint16_t public_suites[][6] = {
    {BR_TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, BR_TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
     BR_TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, BR_TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
     BR_TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, BR_TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384},
    {BR_TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, BR_TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
     BR_TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, BR_TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
     BR_TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, BR_TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384},
};

/* What client and server have in common. */
static void profile_engine(br_ssl_engine_context *engine)
{
    br_ssl_engine_set_versions(engine, BR_TLS12, BR_TLS12);
    br_ssl_engine_set_suites(engine, ecdsa_suites[aes_in_hardware()],
                             sizeof ecdsa_suites[0] / sizeof ecdsa_suites[0][0]);
    br_ssl_engine_set_hash(engine, br_sha256_ID, &br_sha256_vtable);
    br_ssl_engine_set_hash(engine, br_sha384_ID, &br_sha384_vtable);
    br_ssl_engine_set_prf_sha256(engine, &br_tls12_sha256_prf);
    br_ssl_engine_set_prf_sha384(engine, &br_tls12_sha384_prf);
    br_ssl_engine_set_default_aes_gcm(engine);
    br_ssl_engine_set_default_chapol(engine);
    br_ssl_engine_set_default_ec(engine);
    br_ssl_engine_set_default_ecdsa(engine);
    br_ssl_engine_add_flags(engine, BR_OPT_NO_RENEGOTIATION);

    /* BearSSL's own seeder trusts RDRAND alone where there is one: the kernel's bytes come first and are enough. */
    uint8_t random[INJECTED_RANDOM];
    np_random_bytes(random, sizeof random);
    br_ssl_engine_inject_entropy(engine, random, sizeof random);
    np_wipe(random, sizeof random);
}

void np_tls_x509_set_time(br_x509_minimal_context *x509, int64_t now_s)
{
    int64_t time_s = now_s > 0 ? now_s : 0;
    br_x509_minimal_set_time(x509, (uint32_t)(DAYS_TO_1970 + time_s / SECONDS_A_DAY),
                             (uint32_t)(time_s % SECONDS_A_DAY));
}

void np_tls_x509_init(br_x509_minimal_context *x509, const struct np_tls_anchors *anchors, int64_t now_s)
{
    size_t count;
    const br_x509_trust_anchor *list = np_tls_anchors_list(anchors, &count);
    br_x509_minimal_init(x509, &br_sha256_vtable, list, count);
    br_x509_minimal_set_hash(x509, br_sha256_ID, &br_sha256_vtable);
    br_x509_minimal_set_hash(x509, br_sha384_ID, &br_sha384_vtable);
    br_x509_minimal_set_hash(x509, br_sha512_ID, &br_sha512_vtable);
    br_x509_minimal_set_ecdsa(x509, br_ec_get_default(), br_ecdsa_vrfy_asn1_get_default());
    br_x509_minimal_set_rsa(x509, br_rsa_pkcs1_vrfy_get_default()); /* a vendor's root may be RSA; the leaf is not */
    br_x509_minimal_set_minrsa(x509, RSA_MODULUS_MIN);
    np_tls_x509_set_time(x509, now_s);
}

void np_tls_profile_client(br_ssl_client_context *client, br_x509_minimal_context *x509,
                           const struct np_tls_anchors *anchors, int64_t now_s)
{
    br_ssl_client_zero(client);
    profile_engine(&client->eng);
    np_tls_x509_init(x509, anchors, now_s);
    br_ssl_engine_set_x509(&client->eng, &x509->vtable);
}

void np_tls_profile_public(br_ssl_client_context *client)
{
    br_ssl_client_zero(client);
    profile_engine(&client->eng);
    br_ssl_engine_set_suites(&client->eng, public_suites[aes_in_hardware()],
                             sizeof public_suites[0] / sizeof public_suites[0][0]);
    br_ssl_engine_set_hash(&client->eng, br_sha512_ID, &br_sha512_vtable); /* RSA signatures over SHA-512 */
    br_ssl_engine_set_default_rsavrfy(&client->eng);
}

void np_tls_profile_server(br_ssl_server_context *server, const struct np_tls_identity *identity,
                           br_ssl_session_cache_lru *cache)
{
    br_ssl_server_zero(server);
    profile_engine(&server->eng);
    /* With AES hardware both suites are fast here, so the client chooses; without, ours costs a tenth. */
    if (!aes_in_hardware())
        br_ssl_engine_add_flags(&server->eng, BR_OPT_ENFORCE_SERVER_PREFERENCES);
    br_ssl_server_set_single_ec(server, identity->chain, identity->count, &identity->key, BR_KEYTYPE_SIGN,
                                BR_KEYTYPE_EC, br_ec_get_default(), br_ecdsa_sign_asn1_get_default());
    if (cache)
        br_ssl_server_set_cache(server, &cache->vtable);
}

static int64_t cpu_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

int64_t np_tls_handshake_us(void)
{
    uint8_t scalar[NP_KEY_SCALAR_LEN], point[65], signature[80];
    const br_ec_impl *ec = br_ec_get_default();
    int64_t before_us = cpu_us();
    memset(scalar, 0x5a, sizeof scalar); /* nobody's key */
    br_ec_private_key key = {.curve = BR_EC_secp256r1, .x = scalar, .xlen = sizeof scalar};
    size_t len = ec->mulgen(point, scalar, sizeof scalar, BR_EC_secp256r1);
    (void)ec->mul(point, len, scalar, sizeof scalar, BR_EC_secp256r1);
    (void)br_ecdsa_sign_asn1_get_default()(ec, &br_sha256_vtable, point, &key, signature);
    int64_t took_us = cpu_us() - before_us;
    return took_us > 0 ? took_us : 1;
}

#include "hq/tls.h"

#include <errno.h>
#include <limits.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <string.h>

#include "resolver/base/error.h"

struct np_tls {
    SSL_CTX *ctx;
};

struct np_tls_stream {
    SSL *ssl;
    BIO *in, *out; /* owned by ssl */
};

/* HTTP/1.1 where the client offers ALPN at all; who offers only something else gets no ALPN and may see for himself. */
static int select_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_len, const unsigned char *in,
                       unsigned in_len, void *ctx)
{
    static const unsigned char wanted[] = "\x08http/1.1";
    (void)ssl;
    (void)ctx;
    unsigned char *chosen;
    if (SSL_select_next_proto(&chosen, out_len, wanted, sizeof wanted - 1, in, in_len) != OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_NOACK;
    *out = chosen;
    return SSL_TLSEXT_ERR_OK;
}

int np_tls_new(struct np_tls **out_tls)
{
    static const unsigned char session_context[] = "nameplate-hq";
    struct np_tls *tls = calloc(1, sizeof *tls);
    if (!tls)
        return -ENOMEM;
    tls->ctx = SSL_CTX_new(TLS_server_method());
    if (!tls->ctx)
        goto fail;
    if (!SSL_CTX_set_min_proto_version(tls->ctx, TLS1_2_VERSION) ||
        !SSL_CTX_set_cipher_list(tls->ctx, "ECDHE+AESGCM:ECDHE+CHACHA20:!aNULL") ||
        !SSL_CTX_set1_groups_list(tls->ctx, "X25519:P-256") ||
        !SSL_CTX_set_session_id_context(tls->ctx, session_context, sizeof session_context - 1))
        goto fail;
    /* The order is the client's where it has no AES hardware: SSL_OP_PRIORITIZE_CHACHA sees that from its list. */
    SSL_CTX_set_options(tls->ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE |
                                      SSL_OP_PRIORITIZE_CHACHA);
    SSL_CTX_set_mode(tls->ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE);
    SSL_CTX_set_session_cache_mode(tls->ctx, SSL_SESS_CACHE_SERVER);
    SSL_CTX_sess_set_cache_size(tls->ctx, NP_TLS_SESSIONS);
    SSL_CTX_set_timeout(tls->ctx, NP_TLS_SESSION_S);
    SSL_CTX_set_num_tickets(tls->ctx, 1);
    SSL_CTX_set_alpn_select_cb(tls->ctx, select_alpn, NULL);
    *out_tls = tls;
    return 0;
fail:
    ERR_clear_error();
    np_tls_free(tls);
    return -ENOMEM;
}

static BIO *memory(const char *data, size_t len)
{
    return len <= INT_MAX ? BIO_new_mem_buf(data, (int)len) : NULL;
}

/* The certificates behind the leaf. */
static int load_rest(BIO *bio, STACK_OF(X509) * rest)
{
    X509 *certificate;
    while ((certificate = PEM_read_bio_X509(bio, NULL, NULL, NULL))) {
        if (!sk_X509_push(rest, certificate)) {
            X509_free(certificate);
            return -ENOMEM;
        }
    }
    return 0;
}

int np_tls_load(struct np_tls *tls, const char *chain, size_t chain_len, const char *key, size_t key_len)
{
    int rc = -ENOMEM;
    BIO *chain_bio = memory(chain, chain_len), *key_bio = memory(key, key_len);
    STACK_OF(X509) *rest = sk_X509_new_null();
    X509 *leaf = NULL;
    EVP_PKEY *pkey = NULL;
    if (!chain_bio || !key_bio || !rest)
        goto out;
    rc = NP_E_CHAIN;
    leaf = PEM_read_bio_X509(chain_bio, NULL, NULL, NULL);
    if (!leaf || load_rest(chain_bio, rest))
        goto out;
    rc = NP_E_KEY;
    pkey = PEM_read_bio_PrivateKey(key_bio, NULL, NULL, NULL);
    if (!pkey || X509_check_private_key(leaf, pkey) != 1)
        goto out;
    rc = SSL_CTX_use_cert_and_key(tls->ctx, leaf, pkey, rest, 1) == 1 ? 0 : NP_E_CHAIN;
out:
    EVP_PKEY_free(pkey);
    X509_free(leaf);
    sk_X509_pop_free(rest, X509_free);
    BIO_free(key_bio);
    BIO_free(chain_bio);
    ERR_clear_error();
    return rc;
}

void np_tls_free(struct np_tls *tls)
{
    if (!tls)
        return;
    SSL_CTX_free(tls->ctx);
    free(tls);
}

int np_tls_stream_new(struct np_tls *tls, struct np_tls_stream **out_stream)
{
    struct np_tls_stream *stream = calloc(1, sizeof *stream);
    if (!stream)
        return -ENOMEM;
    stream->ssl = SSL_new(tls->ctx);
    stream->in = BIO_new(BIO_s_mem());
    stream->out = BIO_new(BIO_s_mem());
    if (!stream->ssl || !stream->in || !stream->out) {
        SSL_free(stream->ssl);
        BIO_free(stream->in);
        BIO_free(stream->out);
        free(stream);
        return -ENOMEM;
    }
    BIO_set_mem_eof_return(stream->in, -1);
    BIO_set_mem_eof_return(stream->out, -1);
    SSL_set_bio(stream->ssl, stream->in, stream->out);
    SSL_set_accept_state(stream->ssl);
    *out_stream = stream;
    return 0;
}

int np_tls_stream_feed(struct np_tls_stream *stream, const void *data, size_t len)
{
    return len <= INT_MAX && BIO_write(stream->in, data, (int)len) == (int)len ? 0 : -ENOMEM;
}

/* libssl's queue is a thread's, so errors of one connection must not be seen by the next. */
static int failure(struct np_tls_stream *stream, int result)
{
    int why = SSL_get_error(stream->ssl, result);
    ERR_clear_error();
    switch (why) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE:
        return 0;
    case SSL_ERROR_ZERO_RETURN:
        return NP_E_CLOSED;
    default:
        return NP_E_TLS;
    }
}

int np_tls_stream_handshake(struct np_tls_stream *stream)
{
    int result = SSL_do_handshake(stream->ssl);
    return result == 1 ? 1 : failure(stream, result);
}

bool np_tls_stream_resumed(const struct np_tls_stream *stream)
{
    return SSL_session_reused(stream->ssl) == 1;
}

long np_tls_stream_read(struct np_tls_stream *stream, void *out, size_t size)
{
    int result = SSL_read(stream->ssl, out, size > INT_MAX ? INT_MAX : (int)size);
    return result > 0 ? result : failure(stream, result);
}

int np_tls_stream_write(struct np_tls_stream *stream, const void *data, size_t len)
{
    const uint8_t *at = data;
    while (len > 0) {
        int result = SSL_write(stream->ssl, at, len > INT_MAX ? INT_MAX : (int)len);
        if (result <= 0) {
            failure(stream, result);
            return NP_E_TLS; /* a memory BIO always takes what is written */
        }
        at += result;
        len -= (size_t)result;
    }
    return 0;
}

void np_tls_stream_shutdown(struct np_tls_stream *stream)
{
    if (SSL_is_init_finished(stream->ssl))
        SSL_shutdown(stream->ssl);
    ERR_clear_error();
}

int np_tls_stream_output(struct np_tls_stream *stream, size_t prefix, void **out_block, size_t *out_len)
{
    size_t len = BIO_ctrl_pending(stream->out);
    *out_len = 0;
    if (len == 0)
        return 0;
    char *block = len <= INT_MAX ? malloc(prefix + len) : NULL;
    if (!block)
        return -ENOMEM;
    if (BIO_read(stream->out, block + prefix, (int)len) != (int)len) {
        free(block);
        return -ENOMEM;
    }
    *out_block = block;
    *out_len = len;
    return 0;
}

void np_tls_stream_free(struct np_tls_stream *stream)
{
    if (!stream)
        return;
    SSL_free(stream->ssl);
    free(stream);
}

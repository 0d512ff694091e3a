/* tls: HQ's side of TLS as a machine over bytes (libssl with memory BIOs): no sockets, no timers. TLS 1.3 and 1.2,
 * ECDHE with AEADs only; resumption by tickets, and by session ids for the agents (BearSSL knows no tickets).
 *
 * struct np_tls is the certificate and its settings, shared by all connections; np_tls_load replaces the certificate
 * for connections that begin later. struct np_tls_stream is one connection. */
#ifndef HQ_TLS_H
#define HQ_TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NP_TLS_RECORD_MAX (16 * 1024) /* plaintext of one record (RFC 8446 section 5.1) */
#define NP_TLS_SESSIONS   8192        /* in the cache for clients without tickets: about 1 KB each */
#define NP_TLS_SESSION_S  3600        /* how long a session may be resumed */

struct np_tls;
struct np_tls_stream;

/* Makes the settings, without a certificate yet. Returns 0 or -ENOMEM. */
int np_tls_new(struct np_tls **out_tls);

/* Reads chain (PEM, leaf first) and key (PEM). Returns 0, NP_E_KEY (unreadable, or the key is not the leaf's) or
 * NP_E_CHAIN; the old certificate then stays. */
int np_tls_load(struct np_tls *tls, const char *chain, size_t chain_len, const char *key, size_t key_len);

/* Frees; NULL is fine. Streams that are open keep what they need. */
void np_tls_free(struct np_tls *tls);

/* A new server-side connection. Returns 0 or -ENOMEM. */
int np_tls_stream_new(struct np_tls *tls, struct np_tls_stream **out_stream);

/* Takes ciphertext that came from the client. Returns 0 or -ENOMEM. */
int np_tls_stream_feed(struct np_tls_stream *stream, const void *data, size_t len);

/* Goes on with the handshake. Returns 1 when it is complete, 0 when more bytes are needed, NP_E_TLS when it failed (an
 * alert may wait in np_tls_stream_output). */
int np_tls_stream_handshake(struct np_tls_stream *stream);

/* Was the handshake, now complete, an abbreviated one? */
bool np_tls_stream_resumed(const struct np_tls_stream *stream);

/* Decrypts. Returns the number of bytes, 0 when more ciphertext is needed, NP_E_CLOSED after the client's close_notify,
 * or NP_E_TLS. */
long np_tls_stream_read(struct np_tls_stream *stream, void *out, size_t size);

/* Encrypts all len bytes into the output. Returns 0 or NP_E_TLS. */
int np_tls_stream_write(struct np_tls_stream *stream, const void *data, size_t len);

/* Puts close_notify into the output. */
void np_tls_stream_shutdown(struct np_tls_stream *stream);

/* The ciphertext to be sent, malloc'd with prefix bytes of room before it (the caller's request header): 0 with
 * *out_len 0 when there is none, or -ENOMEM. */
int np_tls_stream_output(struct np_tls_stream *stream, size_t prefix, void **out_block, size_t *out_len);

/* Frees; NULL is fine. */
void np_tls_stream_free(struct np_tls_stream *stream);

#endif

/* stream: one TLS connection on a libuv loop, client or server, by BearSSL.
 *
 * Lifecycle: np_stream_connect or np_stream_accept; on_ready once the handshake is done; np_stream_write and on_data;
 * then np_stream_close (or the peer, or an error), and exactly one on_closed, after which the stream's memory is gone.
 * Nothing is ever freed inside another callback of the stream. Callbacks may call any function of this file. Limits:
 * one handshake deadline, one idle deadline (both in ms, given at the start); 34 KiB of memory a stream, of which an
 * idle one has touched a third. The process must ignore SIGPIPE: libuv writes without MSG_NOSIGNAL. */
#ifndef AGENT_TLS_STREAM_H
#define AGENT_TLS_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "agent/tls/profile.h"
#include "agent/tls/server_check.h"
#include "resolver/base/address.h"

#define NP_STREAM_CLOSE_MS 2000 /* how long a close waits for the peer's close_notify */

struct np_stream;

/* What the owner hears. Only on_closed must be set. */
struct np_stream_events {
    /* The handshake is done; writing is possible. */
    void (*on_ready)(void *ctx, struct np_stream *stream);
    /* Decrypted bytes. Returns how many were taken (0 to len); if fewer than len, no more come until np_stream_resume.
     */
    size_t (*on_data)(void *ctx, struct np_stream *stream, const uint8_t *data, size_t len);
    /* There is room again after np_stream_write took less than it was given. */
    void (*on_writable)(void *ctx, struct np_stream *stream);
    /* The end. err: 0 (close_notify seen or own close), NP_E_CLOSED (the peer went without close_notify), -ETIMEDOUT,
     * NP_E_CHAIN, NP_E_DATE or NP_E_NAME (the server's certificate), NP_E_TLS, or -errno; why is a text for a person,
     * never NULL. */
    void (*on_closed)(void *ctx, int err, const char *why);
};

/* What is common to both directions. */
struct np_stream_options {
    uv_loop_t *loop;
    struct np_stream_events events;
    void *ctx;
    uint64_t handshake_ms;  /* deadline for connecting and the handshake together */
    uint64_t idle_ms;       /* without a byte either way; 0: none */
    uint64_t close_ms;      /* instead of NP_STREAM_CLOSE_MS; 0: that */
    const char *protocol;   /* what is offered or taken by ALPN (RFC 7301); NULL: "http/1.1". Static storage */
    bool protocol_required; /* a peer that speaks ALPN, but not this protocol, is refused; one without ALPN is not */
};

/* Connects to an address and does the handshake. server_name is what the certificate must carry and what SNI says; NULL
 * or empty is refused with NP_E_NAME, since BearSSL would then check no name at all. now_s is the time certificates are
 * judged at. Returns 0 with *out_stream (errors from then on come by on_closed), NP_E_NAME, -ENOMEM or -errno. */
int np_stream_connect(const struct np_stream_options *options, const struct np_endpoint *remote,
                      const char *server_name, const struct np_tls_anchors *anchors, int64_t now_s,
                      struct np_stream **out_stream);

/* A server of the public web, and how it is asked. Borrowed, but for what the rules name, until the call returns. */
struct np_stream_target {
    struct np_endpoint remote;
    const char *server_name; /* SNI, and what is checked; "" only where nothing is checked */
    struct np_server_check_rules rules;
    const br_ssl_session_parameters *session; /* to be resumed; NULL: a new one */
};

/* As np_stream_connect, for servers of the public web: RSA certificates too, resumption, and the rules of
 * agent/tls/server_check.h. A resumed session is not judged again. */
int np_stream_connect_public(const struct np_stream_options *options, const struct np_stream_target *target,
                             struct np_stream **out_stream);

/* The session, to be resumed later; from on_ready on. It holds a master secret: wipe it when it is not needed. Returns
 * true when this one was resumed itself. */
bool np_stream_session(const struct np_stream *stream, br_ssl_session_parameters *out_session);

/* SHA-256 of the bytes of the certificate that the server has shown; from on_ready on, for a connection of
 * np_stream_connect_public without anchors that did not resume. Returns false for any other. */
bool np_stream_peer_digest(const struct np_stream *stream, uint8_t out_digest[32]);

/* Serves TLS on a connected descriptor, which becomes the stream's on success. cache may be NULL; it must outlive the
 * stream. Returns 0, -ENOMEM or -errno. */
int np_stream_accept(const struct np_stream_options *options, int fd, struct np_tls_identity *identity,
                     br_ssl_session_cache_lru *cache, struct np_stream **out_stream);

/* The server name that the client asked for (SNI), "" when none. Valid from on_ready on, as long as the stream. */
const char *np_stream_server_name(const struct np_stream *stream);

/* Encrypts and sends. Returns how many bytes were taken (0 to len); if fewer than len, on_writable comes when there is
 * room. 0 before on_ready and after np_stream_close. */
size_t np_stream_write(struct np_stream *stream, const void *data, size_t len);

/* How many bytes np_stream_write would take now. After 0, on_writable comes when there is room. Lets a relay read from
 * its other side no more than it can pass on. */
size_t np_stream_room(struct np_stream *stream);

/* Delivers again after on_data took less than it was given. */
void np_stream_resume(struct np_stream *stream);

/* Sends what was written, then close_notify; waits at most NP_STREAM_CLOSE_MS for the peer's (idle_ms, while the peer
 * has not yet taken what was written). No on_data or on_writable
 * comes any more; on_closed does. A second call does nothing. */
void np_stream_close(struct np_stream *stream);

/* Closes the socket at once. on_closed still comes, with err 0. */
void np_stream_abort(struct np_stream *stream);

#endif

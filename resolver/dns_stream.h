/* dns_stream: a connected stream of DNS messages (RFC 7766) on a descriptor, whoever connected it: a TCP socket, or a
 * UNIX one whose other end speaks TLS for us.
 *
 * Messages out are gathered and leave together at np_dns_stream_flush, in as few segments as the network allows;
 * messages in are given one by one, in the order in which they came. It knows nothing of questions, idle times and
 * retries: forward_stream.c does.
 *
 * Lifecycle: np_dns_stream_new on a non-blocking descriptor (for TCP, connect may still be under way),
 * np_dns_stream_send and np_dns_stream_flush, np_dns_stream_close once, by the owner, at any time, also from inside an
 * event; the memory goes, and closed() is called, from the loop later. */
#ifndef RESOLVER_DNS_STREAM_H
#define RESOLVER_DNS_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#define NP_DNS_STREAM_OUT_MAX  65536 /* bytes waiting to leave: hundreds of queries; past that send says NP_E_LIMIT */
#define NP_DNS_STREAM_TURN_MAX (128 * 1024) /* bytes read in one go, so that other sockets get their turn */

struct np_dns_stream;

/* What happens, told from the loop. After ended the stream does nothing more and waits for np_dns_stream_close. */
struct np_dns_stream_events {
    void (*opened)(void *ctx); /* the connection stands (told once, also for one that stood from the beginning) */
    void (*message)(void *ctx, const uint8_t *message, size_t len); /* borrowed until it returns */
    void (*drained)(void *ctx);       /* everything has left after np_dns_stream_send said NP_E_LIMIT */
    void (*ended)(void *ctx, int rc); /* NP_E_CLOSED: by the peer, in order; -errno */
    void (*closed)(void *ctx);        /* the last call: the memory has been freed */
};

/* Takes the descriptor over (on success). events must outlive the stream. Returns 0 or -errno. */
int np_dns_stream_new(uv_loop_t *loop, int fd, const struct np_dns_stream_events *events, void *ctx,
                      struct np_dns_stream **out_stream);

/* Puts a message (at most 65535 bytes, copied) behind what waits to leave. Returns 0, NP_E_LIMIT when too much waits,
 * NP_E_CLOSED after the end, or -ENOMEM. */
int np_dns_stream_send(struct np_dns_stream *stream, const uint8_t *message, size_t len);

/* Gives the network what waits; what it does not take now leaves by itself. Nothing leaves before opened. drained may
 * be called from in here; an error shows later, as ended. */
void np_dns_stream_flush(struct np_dns_stream *stream);

/* Closes the descriptor now. Only closed() is called after this. */
void np_dns_stream_close(struct np_dns_stream *stream);

#endif

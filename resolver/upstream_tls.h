/* upstream_tls: how a server is asked now: over TLS, in clear text, or not at all (RFC 8310). Pure: times come in.
 *
 * Strict never gives clear text: while TLS is not to be had, the server is not asked, and TLS is tried again with
 * growing pauses. Opportunistic gives clear text for a while then: minutes where the server has no TLS, seconds where
 * it could not be reached, since that may have been the network.
 *
 * A handshake proves little: what ends it may answer no DNS. A stream that gave no answer (NP_PEER_NO_DNS) is a failure
 * too, and one that only an answer makes good, not the next handshake. */
#ifndef RESOLVER_UPSTREAM_TLS_H
#define RESOLVER_UPSTREAM_TLS_H

#include <stdbool.h>
#include <stdint.h>

#include "resolver/peer.h"
#include "resolver/view.h"

#define NP_UPSTREAM_TLS_FIRST_MS    500   /* a strict server is tried again after this, doubling */
#define NP_UPSTREAM_TLS_NETWORK_MS  4000  /* up to this where the network or the front was the reason */
#define NP_UPSTREAM_TLS_TRUST_MS    30000 /* up to this where the server was: it takes a person to mend a certificate */
#define NP_UPSTREAM_TLS_CLEAR_MS    300000 /* an opportunistic server without TLS is asked in clear text for this long */
#define NP_UPSTREAM_TLS_DOUBTFUL_MS 10000  /* ... and one that was not reached, for this long */

/* What is known about TLS with one server. Zero: nothing yet. */
struct np_upstream_tls {
    bool worked; /* the last try gave a stream */
    bool failed; /* the last try gave none */
    enum np_peer_reason reason;
    unsigned failures;        /* in a row; where no DNS came: since the last answer */
    int64_t until_ms;         /* no TLS before this */
    uint64_t opened, refused; /* counters: streams that came, tries that gave none */
};

/* How a server is asked. */
enum np_upstream_way { NP_UPSTREAM_CLEAR, NP_UPSTREAM_TLS, NP_UPSTREAM_NOT_NOW };

/* How the server of that mode is asked at now_ms. */
enum np_upstream_way np_upstream_way(const struct np_upstream_tls *tls, enum np_tls_mode mode, int64_t now_ms);

/* A stream came. Returns true when that is news: the try before had failed, and not for want of an answer. */
bool np_upstream_tls_opened(struct np_upstream_tls *tls);

/* An answer came over a stream. Returns true when that is news: the last one had given none. */
bool np_upstream_tls_answered(struct np_upstream_tls *tls);

/* No stream came, or one that gave no answer (NP_PEER_NO_DNS; the first such is doubtful: a server may just begin anew,
 * or a question take long). Returns true when that is news: TLS had worked or was not tried, or the reason is another.
 */
bool np_upstream_tls_failed(struct np_upstream_tls *tls, enum np_tls_mode mode, enum np_peer_reason reason,
                            int64_t now_ms);

/* A word for how TLS with the server stands: "off", "untried", "works", or np_peer_reason_name of what went wrong.
 * Static. */
const char *np_upstream_tls_state(const struct np_upstream_tls *tls, enum np_tls_mode mode);

/* Reads such a word into worked, failed and reason. Returns 0 or NP_E_UNKNOWN. */
int np_upstream_tls_state_parse(const char *text, struct np_upstream_tls *tls);

/* The network may be another one: TLS may be tried at once. */
void np_upstream_tls_forgive(struct np_upstream_tls *tls);

/* Was it the network that kept the stream from coming, and not the server's TLS? */
bool np_upstream_tls_is_network(enum np_peer_reason reason);

#endif

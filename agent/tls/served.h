/* served: which certificate a TLS server really presents. One handshake, in blocking steps with a deadline, for
 * programs that have nothing else to do meanwhile: the deploying oneshot, and verbs that a person types.
 *
 * "Renewed but not served" is what fails most often with certificates in the field: a reload that does nothing, a
 * second server on the port, a path that another file of the configuration overrides. So it is never concluded from an
 * exit status. The handshake is completed, so that the server is known to have the leaf's key; the chain is not judged:
 * which leaf it is, is what is asked. */
#ifndef AGENT_TLS_SERVED_H
#define AGENT_TLS_SERVED_H

#include <stddef.h>
#include <stdint.h>

#include "resolver/base/address.h"

#define NP_SERVED_DER_MAX 16384 /* bytes of a leaf; a longer one is somebody else's */
#define NP_SERVED_WHY_MAX 128

/* Connects to remote, says server_name in SNI (NULL or empty: none) and does a TLS 1.2 handshake, all within
 * timeout_ms. Writes SHA-256 of the leaf's DER. Returns 0; -errno (-ECONNREFUSED, -ETIMEDOUT: nobody answers), NP_E_TLS
 * (an answer, but no handshake: no TLS, TLS 1.3 alone, an alert for this name), NP_E_CLOSED or NP_E_LIMIT; why then
 * says for a person what happened. The process must ignore SIGPIPE. */
int np_served_leaf(const struct np_endpoint *remote, const char *server_name, unsigned timeout_ms,
                   uint8_t out_sha256[32], char why[NP_SERVED_WHY_MAX]);

#endif

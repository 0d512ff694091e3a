/* hqclient: HTTPS requests to HQ over one kept connection.
 *
 * Lifecycle: np_hqclient_new, np_hqclient_send one request at a time, np_hqclient_free. The host of HQ's URL is looked
 * up by c-ares at the name servers given (the kernel's resolver is never asked: on a router it is ourselves); its
 * addresses are tried IPv6 and IPv4 in turn, the next one NP_HQCLIENT_STAGGER_MS later or at once when one fails, while
 * the earlier ones go on (RFC 8305 in the small); the first that finishes TLS is used. A request is repeated once on a
 * fresh connection when the kept one turns out to have died before a byte of the answer came. The certificate is
 * checked against the vendor's own anchors and nothing else.
 */
#ifndef AGENT_TLS_HQCLIENT_H
#define AGENT_TLS_HQCLIENT_H

#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "agent/tls/http.h"
#include "agent/tls/profile.h"
#include "resolver/base/address.h"

#define NP_HQCLIENT_SERVERS_MAX 8     /* name servers for the look-up */
#define NP_HQCLIENT_LOOKUP_MS   5000  /* deadline of the look-up */
#define NP_HQCLIENT_CONNECT_MS  10000 /* deadline of one connection with its handshake */
#define NP_HQCLIENT_STAGGER_MS  500   /* between tries: RFC 8305's 250 ms are for TCP, ours do TLS on a small CPU */
#define NP_HQCLIENT_ANSWER_MS   30000 /* deadline of one answer */
#define NP_HQCLIENT_IDLE_MS     60000 /* a kept connection is closed after this */
#define NP_HQCLIENT_URLS_MAX    2     /* places where HQ is */
#define NP_HQCLIENT_WHY_MAX     200   /* bytes of a failure's text */

struct np_hqclient;

/* What to ask. All texts are borrowed until the send returns. */
struct np_hq_request {
    const char *method;        /* "GET", "HEAD", "POST", "PUT" */
    const char *path;          /* "/v1/nonce" */
    const char *content_type;  /* NULL without a body */
    const char *bearer;        /* base64url token for Authorization, or NULL */
    const char *if_none_match; /* ETag with its quotes, or NULL */
    const void *body;
    size_t body_len;
    /* Not 0: HQ's certificate is judged at that time, or from when on it is valid where that is later: to ask for the
     * time, and for nothing else. The connection is not kept, and a kept one is not used. */
    int64_t judge_s;
};

/* The end of a request. err 0: response is the answer, borrowed for the call. Otherwise response is NULL: NP_E_DNS
 * (HQ's host was not found), NP_E_CHAIN, NP_E_DATE or NP_E_NAME (HQ's certificate), NP_E_TLS, NP_E_HTTP, NP_E_LIMIT,
 * NP_E_CLOSED, -ETIMEDOUT, -ECONNREFUSED or another -errno, and why a sentence for a person. */
typedef void np_hq_done_fn(void *ctx, int err, const char *why, const struct np_http_response *response);

/* Makes a client for url ("https://host[:port]", no path but "/"). anchors is borrowed. now_s tells the time
 * certificates are judged at, at each connection. Returns 0, NP_E_MALFORMED (url) or -ENOMEM. */
int np_hqclient_new(uv_loop_t *loop, const char *url, const struct np_tls_anchors *anchors, int64_t (*now_s)(void *ctx),
                    void *ctx, struct np_hqclient **out_client);

/* Another place where the same HQ is, checked by the same anchors: after a request that got no answer the next one goes
 * to the other place, and they stay there until it fails in turn. Returns 0, NP_E_MALFORMED or NP_E_LIMIT. */
int np_hqclient_add_url(struct np_hqclient *client, const char *url);

/* The host that is asked now. Borrowed. */
const char *np_hqclient_host(const struct np_hqclient *client);

/* The name servers for the next look-up, at most NP_HQCLIENT_SERVERS_MAX; the rest is ignored. */
void np_hqclient_set_servers(struct np_hqclient *client, const struct np_endpoint *servers, size_t count);

/* Sends a request; done is called exactly once, never before this function returned. Returns 0, -EBUSY while a request
 * is under way, NP_E_LIMIT (a path over 2048 or another text over 90 characters), NP_E_MALFORMED (a space or a control
 * character, or an empty text, in one of them) or -ENOMEM. */
int np_hqclient_send(struct np_hqclient *client, const struct np_hq_request *request, np_hq_done_fn *done, void *ctx);

/* Gives the request under way up: its done is not called any more. The connection is closed. */
void np_hqclient_cancel(struct np_hqclient *client);

/* Closes a kept connection, so that the next request looks up and connects anew, and begins a request that is under way
 * anew (every request to HQ may be repeated): call after a change of network, where connections may be dead without
 * anybody telling. */
void np_hqclient_disconnect(struct np_hqclient *client);

/* Cancels, closes and frees once the loop has run the close callbacks; closed(ctx) is called then (may be NULL). */
void np_hqclient_free(struct np_hqclient *client, void (*closed)(void *ctx), void *ctx);

#endif
